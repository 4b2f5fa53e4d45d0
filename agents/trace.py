"""Where an item comes from and what it became: the chain, each event, each credential and if it verifies."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.role import Books, Held, Item, ancestry, member
from quality.lifecycle import Life
from schemas.errors import Fault, Invalid, Unknown
from schemas.events import Event
from schemas.items import read_code

type Checked = Callable[[Held, Books], object]


@dataclass(frozen=True)
class Link:
    """One item of the chain; `relation` says how it hangs on the one before."""

    code: str
    kind: str
    relation: str
    position: str
    model: str
    chemistry: str
    mass_kg: str | None
    registrar: str
    asked_for: bool


@dataclass(frozen=True)
class Happening:
    """One event in the life of an item of the chain; `by` is the company whose record it is."""

    id: str
    item: str
    kind: str
    what: str
    when: datetime
    where: str
    who: str
    by: str
    how: str
    details: Mapping[str, Any]
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """One credential about an item of the chain, and what checking it said just now.

    `since` tells from when we know that it was revoked or suspended.
    """

    id: str
    about: str
    type: str
    issuer: str
    issuer_name: str
    at: datetime
    verifies: bool
    why_not: str
    since: datetime | None
    claim: Mapping[str, Any]


@dataclass(frozen=True)
class Trace:
    """All we know of one item."""

    code: str
    chain: tuple[Link, ...]
    events: tuple[Happening, ...]
    credentials: tuple[Statement, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""

        def plain(value: Any) -> Any:
            if isinstance(value, Mapping):
                return {str(key): plain(one) for key, one in value.items()}
            if isinstance(value, list | tuple):
                return [plain(one) for one in value]
            return value.isoformat() if isinstance(value, datetime) else value

        fields: dict[str, Any] = {"code": self.code}
        for name in ("chain", "events", "credentials"):
            fields[name] = [
                plain({k: getattr(one, k) for k in one.__dataclass_fields__}) for one in getattr(self, name)
            ]
        return fields


def trace(books: Books, code: str, check: Checked) -> Trace:
    """Follow an item up to its vehicle and down to the lots and products made of it.

    `check` raises `Fault` for a credential that does not hold. Raises `Invalid` for what is no code and
    `Unknown` for an item we have never heard of.
    """
    code = read_code(code)
    chain = _chain(books, code)
    events = [_happening(books, event) for link in chain for event in books.events(link.code)]
    told = {held.id: held for link in chain for held in books.credentials(link.code)}
    told |= {held.id: held for link in chain for held in _predicted(books, link.code)}
    statements = (_statement(books, held, check) for held in told.values())
    return Trace(
        code,
        tuple(chain),
        tuple(sorted(events, key=lambda e: e.when)),
        tuple(sorted(statements, key=lambda s: s.at)),
    )


def _chain(books: Books, code: str) -> list[Link]:
    above = ancestry(books, code)
    if not above:
        raise Unknown("we have no item {code}", code=code)
    seen = {one.code for one in above}
    links = [_link(books, one, "part of" if n else "", code) for n, one in enumerate(reversed(above))]
    below = books.containers(code)
    while below:
        fresh = [one for one in below if one.code not in seen and not _dissolved(books, one)]
        seen |= {one.code for one in fresh}
        links += [_link(books, one, "went into", code) for one in fresh]
        below = [further for one in fresh for further in books.containers(one.code)]
    if not books.containers(code):
        links += [_link(books, one, "made of", code) for c in above[0].made_of if (one := books.item(c))]
    return links


def _dissolved(books: Books, item: Item) -> bool:
    """Say whether this was a lot of ours that was never sold."""
    events = books.events(item.code, ours=True)
    return bool(events) and Life(item.code, item.kind, events).state in ("new", "dissolved")


def _link(books: Books, item: Item, relation: str, asked_for: str) -> Link:
    return Link(
        item.code,
        item.kind,
        relation,
        item.position,
        item.model,
        item.chemistry,
        item.mass_kg,
        name_of(books, item.registrar),
        item.code == asked_for,
    )


def name_of(books: Books, did: str) -> str:
    """Return a company's name by the register, or its DID where the register does not list it."""
    entry = member(books, did)
    own = books.company
    return entry.name if entry else own.name if own.did == did else did


def _happening(books: Books, event: Event) -> Happening:
    foreign = event.who.startswith("did:")
    company = name_of(books, event.who) if foreign else books.company.name
    return Happening(
        str(event.id),
        event.item,
        event.kind,
        event.what,
        event.when,
        event.where,
        "" if foreign else event.who,
        company,
        event.how,
        dict(event.details),
        event.evidence,
    )


def _predicted(books: Books, code: str) -> list[Held]:
    """Return the predictions about an item that we made, and the audit certificates that cover them."""
    subjects = [record["subject"] for record in books.measurements(code) if "subject" in record]
    predictions = [held for subject in subjects for held in books.credentials(subject, "Prediction")]
    digests = {held.digest for held in predictions}
    audits = books.credentials(books.company.did, "AuditCertificate")
    return [*predictions, *(held for held in audits if held.claim.get("prediction_digest") in digests)]


def _sole_registrar(books: Books, held: Held) -> None:
    """Raise `Invalid` where others, too, say they registered the item: nobody can tell who did."""
    if held.type == "ItemIdentity":
        issuers = dict.fromkeys(one.issuer for one in books.credentials(held.about, held.type))
        if len(issuers) > 1:
            names = ", ".join(name_of(books, did) for did in issuers)
            raise Invalid("{code} was registered by several companies: {names}", code=held.about, names=names)


def _statement(books: Books, held: Held, check: Checked) -> Statement:
    why_not = ""
    try:
        check(held, books)
        _sole_registrar(books, held)
    except Fault as fault:
        why_not = str(fault)
    standing = books.standing(held.id) if why_not else None
    return Statement(
        held.id,
        held.about,
        held.type,
        held.issuer,
        name_of(books, held.issuer),
        held.at,
        not why_not,
        why_not,
        standing.at if standing else None,
        dict(held.claim),
    )
