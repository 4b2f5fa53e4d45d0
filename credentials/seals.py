"""Verifying whatever the seal: Data Integrity, `vc+jwt`, `vp+jwt`, `dc+sd-jwt`, bare or in an envelope."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from credentials import envelope, form, integrity, jose, jwt, sdjwt, status, strict
from credentials.rdf import Contexts
from credentials.report import Findings, Report
from credentials.resolution import Resolver
from credentials.status import Statuses
from schemas.errors import Invalid

KINDS: Final = frozenset({form.CREDENTIAL, form.PRESENTATION})
MAX_BYTES: Final = 4 << 20

WORDS: Final = {"envelope": "It is in an envelope that says what is in it."}
"""What each check says when it passes, beside those of the seals themselves."""


def read(data: bytes, /, *, limit: int = MAX_BYTES) -> object:
    """Read what may be sealed, a JSON object or a token as text, or raise Invalid."""
    if len(data) > limit:
        raise Invalid("The text is larger than {limit} bytes.", limit=limit)
    if data.strip()[:1] in (b"{", b"[", b'"'):
        return strict.loads(data, limit=limit)
    text = data.strip().decode("ascii", "replace")
    if not text or any(part.isspace() or part == "\ufffd" for part in text):
        raise Invalid("It is neither JSON nor a signed token.")
    return text


def verify(
    sealed: object,
    resolver: Resolver,
    /,
    *,
    now: datetime,
    expected_issuer: str | None = None,
    statuses: Statuses | None = None,
    challenge: str | None = None,
    domain: str | None = None,
    contexts: Contexts | None = None,
) -> Report:
    """Report on a sealed credential or presentation: a JSON object, or a token as text.

    With `challenge` and `domain` it must be a presentation that answers them; of a presentation that answers
    a question nobody is told of, nothing can be believed. `contexts` are those that a seal over RDF may use.
    """
    if envelope.is_envelope(sealed):
        return _opened(
            sealed,
            resolver,
            now=now,
            expected_issuer=expected_issuer,
            statuses=statuses,
            challenge=challenge,
            domain=domain,
            contexts=contexts,
        )
    if isinstance(sealed, str):
        if "~" not in sealed:
            return jwt.verify(
                sealed,
                resolver,
                now=now,
                expected_issuer=expected_issuer,
                statuses=statuses,
                challenge=challenge,
                domain=domain,
                contexts=contexts,
            )
        return sdjwt.verify(
            sealed,
            resolver,
            now=now,
            expected_issuer=expected_issuer,
            statuses=statuses,
            audience=domain,
            nonce=challenge,
        )
    return integrity.verify(
        sealed,
        resolver,
        now=now,
        expected_issuer=expected_issuer,
        purpose=_purpose(sealed, challenge),
        statuses=statuses,
        challenge=challenge,
        domain=domain,
        contexts=contexts,
    )


def presented(
    sealed: object,
    resolver: Resolver,
    /,
    *,
    now: datetime,
    statuses: Statuses | None = None,
    challenge: str | None = None,
    domain: str | None = None,
    contexts: Contexts | None = None,
) -> Report:
    """Report on a credential in a presentation; one that is bound to a key answers the same question."""
    bound = challenge is not None and domain is not None and _is_bound(sealed)
    return verify(
        sealed,
        resolver,
        now=now,
        statuses=statuses,
        challenge=challenge if bound else None,
        domain=domain if bound else None,
        contexts=contexts,
    )


def _is_bound(sealed: object) -> bool:
    try:
        token = envelope.opened(sealed)[0] if isinstance(sealed, dict) else sealed
        return isinstance(token, str) and "~" in token and "cnf" in jose.parsed(token.split("~")[0]).payload
    except Invalid:
        return False  # it is refused for what it is


def _opened(sealed: Any, resolver: Resolver, /, **options: Any) -> Report:
    found = Findings(WORDS)
    inside = found.ask("envelope", envelope.opened, sealed)
    if inside is None:
        return found.report()
    token, media_type = inside
    disclosing = media_type == f"application/{sdjwt.TYPE}"
    if disclosing is not ("~" in token):
        found.checks.clear()
        other = Invalid("The envelope is of another type than what is in it, {type}.", type=media_type)
        found.refuse("envelope", other)
        return found.report()
    report = verify(token, resolver, **options)
    kind = form.ENVELOPED_PRESENTATION if _is_presentation(report.document) else form.ENVELOPED_CREDENTIAL
    if kind != envelope.MEDIA_TYPES[media_type]:
        found.checks.clear()
        other = Invalid("The envelope is of another type than what is in it, {type}.", type=media_type)
        found.refuse("envelope", other)
    return Report(
        (*found.checks, *report.checks), report.author, report.signers, report.credentials, report.document
    )


def _purpose(sealed: object, challenge: str | None) -> str:
    """Return what a seal must be for: a presentation that answers nobody may also assert what it shows."""
    if not isinstance(sealed, dict) or not _is_presentation(sealed):
        return "assertionMethod"
    proof = sealed.get("proof")
    asserts = isinstance(proof, dict) and proof.get("proofPurpose") == "assertionMethod"
    return "assertionMethod" if asserts and challenge is None else "authentication"


def _is_presentation(document: Mapping[str, Any] | None) -> bool:
    types = (document or {}).get("type")
    return form.PRESENTATION in types if isinstance(types, list) else types == form.PRESENTATION


def what(document: Mapping[str, Any] | None, /) -> str:
    """Say what a document is: a credential, a presentation, a status list, or nothing known."""
    if document is None:
        return "nothing known here"
    if _is_presentation(document):
        return "presentation"
    return "status list" if status.is_list(document) else "credential"


def suite(sealed: object, /) -> str:
    """Name the kind of seal, unchecked: a cryptosuite of Data Integrity, or the type of the token."""
    try:
        if envelope.is_envelope(sealed):
            sealed = envelope.opened(sealed)[0]  # type: ignore[arg-type]
        if isinstance(sealed, str):
            found = jose.parsed(sealed.split("~")[0]).header.get("typ")
        else:
            proofs = sealed.get("proof") if isinstance(sealed, dict) else None
            proof = proofs[0] if isinstance(proofs, list) and proofs else proofs
            found = proof.get("cryptosuite") if isinstance(proof, dict) else None
    except Invalid:
        return ""
    return found if isinstance(found, str) and re.fullmatch(r"[a-z0-9+-]{1,40}", found) else ""
