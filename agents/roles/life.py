"""Words for what happens to items, and the pieces of their story that roles share."""

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from agents.role import Books, Case, Held, Issue, Item, Record, ancestry
from protocols.exchange import Message
from quality.lifecycle import Life
from schemas.claims import HandlingRecord
from schemas.errors import Invalid, Unknown
from schemas.events import Event
from schemas.items import Code, kind_of


class Form(BaseModel):
    """What a person fills in."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, str_max_length=4000)


class Nothing(Form):
    """A form without fields: the button alone says it."""


def say[M: Message](message: type[M], form: BaseModel) -> M:
    """Return the message with those fields of the form that it has."""
    return message.model_validate({name: getattr(form, name) for name in message.model_fields})


def happened(
    case: Case,
    item: str,
    what: str,
    *,
    where: str = "",
    how: str = "",
    details: Mapping[str, Any] | None = None,
    evidence: tuple[str, ...] = (),
    who: str = "",
    lasting: bool = False,
) -> Record:
    """Return the event `what` in the life of an item, now, by the person who acts.

    It belongs to the exchange at hand and is annulled when the message it goes with is refused or overtaken,
    unless it is `lasting`: true whatever becomes of the exchange.
    """
    return Record(
        Event(
            item=item,
            kind=kind_of(item),
            what=what,
            when=case.books.now,
            where=where,
            who=who or case.user or case.books.company.name,
            how=how,
            details=dict(details or {}),
            evidence=evidence,
            exchange=case.exchange.thread if case.exchange and not lasting else "",
        )
    )


def known(books: Books, codes: Iterable[Code], kind: str | None = None) -> list[Item]:
    """Return these items; raise `Unknown` for the first that is not here, `Invalid` for another kind."""
    found: list[Item] = []
    for code in codes:
        item = books.item(code)
        if item is None:
            raise Unknown("we have no item {code}", code=code)
        if kind and item.kind != kind:
            raise Invalid("{code} is a {kind}, not a {wanted}", code=code, kind=item.kind, wanted=kind)
        found.append(item)
    return found


def latest(
    books: Books, about: str, type: str, fitting: Callable[[Held], bool] = lambda held: True
) -> Held | None:
    """Return our newest fitting credential of a type about an item, only without one the newest of others."""
    held = [one for one in books.in_force(about, type) if fitting(one)]
    return next(reversed([one for one in held if not one.source] or held), None)


def only_about(case: Case, codes: Container[str]) -> None:
    """Raise `Invalid` for the first attached statement about an item that is not at hand."""
    for held in case.credentials:
        if held.about not in codes:
            raise Invalid(
                "an attached {type} is about {code}, which is not at hand",
                type=held.type,
                code=held.about[:40],
            )


def lineage(books: Books, code: str) -> list[Life]:
    """Return an item's life here, then the lives of what it came out of, as far as we know them."""
    return [Life(one.code, one.kind, books.events(one.code, ours=True)) for one in ancestry(books, code)]


def handling_record(books: Books, item: str, *now: Record) -> Issue | None:
    """Return our record of an item's handling, `now` included, as others may read it: no names of people."""
    events = tuple(
        event.model_copy(update={"who": books.company.did, "exchange": "", "message": ""})
        for event in (*books.events(item, ours=True), *(record.event for record in now))
    )
    return Issue(HandlingRecord(item=item, events=events), item) if events else None
