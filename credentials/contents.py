"""What a credential or presentation says, looked at apart from its seal."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from credentials import form, status
from credentials.rdf import Contexts
from credentials.report import Findings, Report
from credentials.resolution import Resolver
from credentials.status import Statuses
from schemas.errors import Invalid

WORDS = {
    "type": "It says what it is.",
    "context": "It says what its words mean.",
    "id": "Its id is a URL, or it has none.",
    "members": "What else it says has the form that it should.",
    "issuer": "It names its issuer.",
    "holder": "It tells who presents it.",
    "subject": "It says something of a subject.",
    "credentials": "What it presents are credentials.",
    **status.WORDS,
    "period": "It is valid now.",
}
"""What each check says when it passes."""


def examine(
    found: Findings,
    document: Mapping[str, Any],
    resolver: Resolver,
    /,
    *,
    now: datetime,
    expected_author: str | None,
    statuses: Statuses | None,
    challenge: str | None = None,
    domain: str | None = None,
    contexts: Contexts | None = None,
    speaker: str | None = None,
) -> None:
    """Note what a document says of itself; `found.author` becomes its issuer or holder.

    A presentation need not name its holder; it is then presented by `speaker`, whose key is said to seal it.

    What it presents, and its status lists, may be sealed otherwise than itself. A credential in it that is
    bound to a key answers the same `challenge` and `domain`.
    """
    from credentials.seals import presented, verify  # which needs every kind of seal, and each of them this

    kind = found.ask("type", form.kind, document) or form.CREDENTIAL
    found.ask("context", form.contexts, document)
    found.ask("id", form.identifier, document)
    found.ask("members", form.members, document)
    if kind == form.CREDENTIAL:
        found.author = found.ask("issuer", _author, document, "issuer", expected_author)
        found.ask("subject", form.subjects, document)
        if status.is_list(document):
            found.ask("list", status.listed, document)
        issuer = found.author or ""

        def judge(sealed: object) -> Report:
            return verify(sealed, resolver, now=now, expected_issuer=issuer)

        status.examine(found, document, statuses, judge)
    else:
        shown = document if speaker is None or "holder" in document else {"holder": speaker}
        found.author = found.ask("holder", _author, shown, "holder", expected_author)
        for credential in found.ask("credentials", form.presented, document) or ():
            found.credentials.append(
                presented(
                    credential,
                    resolver,
                    now=now,
                    statuses=statuses,
                    challenge=challenge,
                    domain=domain,
                    contexts=contexts,
                )
            )
    found.ask("period", _period, document, now)


def _author(document: Mapping[str, Any], member: str, expected: str | None) -> str:
    who = form.author(document, member)
    if expected is not None and who != expected:
        raise Invalid("It is from {author}, but should be from {expected}.", author=who, expected=expected)
    return who


def _period(document: Mapping[str, Any], now: datetime) -> None:
    start, end = form.period(document)
    if start and start > now + form.SKEW:
        raise Invalid("It is not yet valid: it begins on {start}.", start=start.isoformat())
    if end and end < now:
        raise Invalid("It has expired: it ended on {until}.", until=end.isoformat())
