"""Lots: offered, ordered, shipped with their credentials, taken in item by item."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import Field

from agents.role import Action, Books, Case, Duty, Effect, Held, Issue, Role, Send
from agents.roles.life import Form, Nothing, handling_record, happened, known, latest, lineage, only_about
from protocols.delivery import (
    DELIVERY,
    Accept,
    AcceptInPart,
    Cancel,
    ConfirmReturn,
    Decline,
    Line,
    Offer,
    Order,
    Rejection,
    Return,
    Ship,
    Withdraw,
)
from protocols.exchange import Because
from quality.gates import gates
from schemas.claims import DiagnosisResult, ItemIdentity
from schemas.errors import Invalid, Misstep
from schemas.handling import Use
from schemas.items import Code, mint


class OfferForm(Form):
    """The lot to offer."""

    items: tuple[Code, ...] = Field(min_length=1, max_length=2000, title="Items")
    purpose: Use = Field(title="Purpose")
    price_jpy: int = Field(ge=-1_000_000_000, le=1_000_000_000, title="Price (yen; below zero: we pay you)")
    note: str = Field(default="", max_length=1000, title="Note")


def _speaks_of_health(held: Held) -> bool:
    return DiagnosisResult.model_validate(held.claim).speaks_of_health


def line(books: Books, code: str) -> Line:
    """Return what a buyer needs to know of an item: grade, state of health, chemistry, mass."""
    item = books.item(code)
    diagnosis = latest(books, code, "DiagnosisResult", _speaks_of_health)
    graded = next((e for e in reversed(books.events(code, ours=True)) if e.what == "graded"), None)
    soh = diagnosis.claim.get("soh_pct") if diagnosis else None
    return Line(
        item=code,
        grade=str(graded.details.get("grade", "")) if graded else "",
        soh_pct=Decimal(soh) if soh is not None else None,
        chemistry=item.chemistry if item else "",
        mass_kg=Decimal(item.mass_kg) if item and item.mass_kg else None,
    )


def check_gates(books: Books, code: str, purpose: Use) -> None:
    """Raise `Misstep` with every reason why an item may not be shipped for this purpose."""
    lives = lineage(books, code)
    held = {held.type for life in lives for held in books.in_force(life.item)}
    closed = [result.words for result in gates(lives, held, purpose) if not result.passed]
    if closed:
        raise Misstep(
            "{code} may not be shipped for {purpose}: {why}", code=code, purpose=purpose, why=" ".join(closed)
        )


def offer_lot(form: OfferForm, case: Case) -> list[Effect]:
    """Pack items that pass their gates into a lot, and offer it."""
    known(case.books, form.items)
    if len(set(form.items)) < len(form.items):
        raise Invalid("an item is in the lot twice")
    for code in form.items:
        check_gates(case.books, code, form.purpose)
    lot = mint("lot")
    lines = tuple(line(case.books, code) for code in form.items)
    return [
        Issue(ItemIdentity(item=lot, kind="lot", made_of=form.items), lot),
        happened(case, lot, "lotted", details={"lot": lot}),
        *(happened(case, code, "lotted", details={"lot": lot}) for code in form.items),
        Send(Offer(lot=lot, purpose=form.purpose, lines=lines, price_jpy=form.price_jpy, note=form.note)),
    ]


def unlotted(message: Because, case: Case) -> list[Effect]:
    """Take the lot apart again: it was not sold."""
    codes = _offered(case.here.last(Offer))
    return [happened(case, code, "unlotted", how=message.reason) for code in codes]


def withdraw_offer(form: Withdraw, case: Case) -> list[Effect]:
    """Take the lot off offer."""
    return [Send(form), *unlotted(form, case)]


def ship_lot(form: Ship, case: Case) -> list[Effect]:
    """Send the lot off with everything the buyer may check: identities, histories, handling, diagnoses."""
    books, offer = case.books, case.here.last(Offer)
    codes = [line.item for line in offer.lines]
    details = {"carrier": form.carrier, "purpose": offer.purpose}
    ancestors = dict.fromkeys(life.item for code in codes for life in lineage(books, code)[1:])
    shipped = {code: happened(case, code, "shipped", details=details) for code in (offer.lot, *codes)}
    attached: list[str | Issue] = []
    for code in (offer.lot, *codes, *ancestors):
        wanted = ("ItemIdentity", "VehicleHistory", "DiagnosisResult")
        attached += [held.id for held in books.in_force(code) if held.type in wanted]
        attached += [held.id for held in books.in_force(code, "HandlingRecord") if held.source]
        now = (shipped[code],) if code in shipped else ()
        if (record := handling_record(books, code, *now)) is not None:
            attached.append(record)
    return [
        *shipped.values(),
        Send(form, credentials=tuple(attached)),
    ]


def all_delivered(message: Accept, case: Case) -> list[Effect]:
    """Note that everything was accepted."""
    return _delivered(case, {}, who=case.them.name)


def delivered_in_part(message: AcceptInPart, case: Case) -> list[Effect]:
    """Note what was accepted and what was not."""
    return _delivered(case, _reasons(case, message.rejected), who=case.them.name)


def _delivered(case: Case, reasons: Mapping[str, str], *, who: str = "") -> list[Effect]:
    return [
        happened(case, code, "rejected", details={"reason": reasons[code]}, who=who)
        if code in reasons
        else happened(case, code, "accepted", who=who)
        for code in _offered(case.here.last(Offer))
    ]


def _offered(offer: Offer) -> tuple[str, ...]:
    return (*(line.item for line in offer.lines), offer.lot)


def _reasons(case: Case, rejected: Sequence[Rejection]) -> dict[str, str]:
    reasons = {rejection.item: rejection.reason for rejection in rejected}
    lines = {line.item for line in case.here.last(Offer).lines}
    if strange := reasons.keys() - lines:
        raise Invalid("{code} is not in the lot", code=min(strange))
    return reasons


def confirm_return(form: Nothing, case: Case) -> list[Effect]:
    """Confirm that the rejected items are back."""
    rejected = case.here.last(AcceptInPart).rejected
    return [
        *(happened(case, r.item, "returned", details={"reason": r.reason}) for r in rejected),
        Send(ConfirmReturn()),
    ]


def order_lot(form: Order, case: Case) -> list[Effect]:
    """Order the lot."""
    return [Send(form)]


def decline_lot(form: Decline, case: Case) -> list[Effect]:
    """Do not take the lot."""
    return [Send(form)]


def cancel_order(form: Cancel, case: Case) -> list[Effect]:
    """Cancel our order."""
    return [Send(form)]


def check_shipment(message: Ship, case: Case) -> list[Effect]:
    """Refuse a shipment that is not what was offered.

    The lot must be made of the items offered, each with its identity, and for reuse with a diagnosis whose
    state of health is the one offered.
    """
    offer = case.here.last(Offer)
    stated = {(held.about, held.type): held.claim for held in case.credentials}
    measured = [(h.about, h.claim.get("soh_pct")) for h in case.credentials if h.type == "DiagnosisResult"]

    def statement(code: str, type_: str) -> Mapping[str, Any]:
        if (code, type_) not in stated:
            raise Invalid("the {type} of {code} is missing", type=type_, code=code)
        return stated[code, type_]

    only_about(case, _at_hand(case, _offered(offer)))
    lot = ItemIdentity.model_validate(statement(offer.lot, "ItemIdentity"))
    if set(lot.made_of) != {item.item for item in offer.lines}:
        raise Invalid("the lot {code} is not made of the items offered", code=offer.lot)
    for item in offer.lines:
        statement(item.item, "ItemIdentity")
        if offer.purpose == "reuse":
            statement(item.item, "DiagnosisResult")
            found = [Decimal(soh) for code, soh in measured if code == item.item and soh is not None]
            if item.soh_pct not in found:
                raise Invalid("the diagnosis of {code} is not the one offered", code=item.item)
    return []


def _at_hand(case: Case, codes: Sequence[str]) -> set[str]:
    """Return these items and, by the identities attached, what they came out of."""
    above: dict[str, set[str]] = {}
    for held in case.credentials:
        if held.type == "ItemIdentity" and (parent := held.claim.get("part_of")):
            above.setdefault(held.about, set()).add(parent)
    found, fresh = set(codes), set(codes)
    while fresh:
        fresh = set().union(*(above.get(code, ()) for code in fresh)) - found
        found |= fresh
    return found


def accept_lot(form: Nothing, case: Case) -> list[Effect]:
    """Accept everything that arrived."""
    return [*_delivered(case, {}), Send(Accept())]


def accept_lot_in_part(form: AcceptInPart, case: Case) -> list[Effect]:
    """Accept all but some items, and say why."""
    return [*_delivered(case, _reasons(case, form.rejected)), Send(form)]


def return_items(form: Return, case: Case) -> list[Effect]:
    """Send the rejected items back."""
    rejected = case.here.last(AcceptInPart).rejected
    details = {"carrier": form.carrier}
    return [*(happened(case, r.item, "returned", details=details) for r in rejected), Send(form)]


SUPPLIER = Role(
    "supplier",
    actions=(
        Action(
            "offer-lot", "Offer a lot", OfferForm, offer_lot, DELIVERY, (Offer,), opens=True, rank="manager"
        ),
        Action(
            "withdraw-offer",
            "Withdraw the offer",
            Withdraw,
            withdraw_offer,
            DELIVERY,
            (Withdraw,),
            rank="manager",
        ),
        Action("ship-lot", "Ship the lot", Ship, ship_lot, DELIVERY, (Ship,)),
        Action(
            "confirm-return",
            "Confirm that returned items are back",
            Nothing,
            confirm_return,
            DELIVERY,
            (ConfirmReturn,),
        ),
    ),
    duties=(
        Duty(DELIVERY, Decline, unlotted),
        Duty(DELIVERY, Cancel, unlotted),
        Duty(DELIVERY, Accept, all_delivered),
        Duty(DELIVERY, AcceptInPart, delivered_in_part),
    ),
)

RECEIVER = Role(
    "receiver",
    actions=(
        Action("order-lot", "Order the lot", Order, order_lot, DELIVERY, (Order,), rank="manager"),
        Action("decline-lot", "Decline the lot", Decline, decline_lot, DELIVERY, (Decline,), rank="manager"),
        Action("cancel-order", "Cancel the order", Cancel, cancel_order, DELIVERY, (Cancel,), rank="manager"),
        Action("accept-lot", "Accept everything", Nothing, accept_lot, DELIVERY, (Accept,)),
        Action(
            "accept-lot-in-part",
            "Accept all but some items",
            AcceptInPart,
            accept_lot_in_part,
            DELIVERY,
            (AcceptInPart,),
        ),
        Action("return-items", "Send rejected items back", Return, return_items, DELIVERY, (Return,)),
    ),
    duties=(Duty(DELIVERY, Ship, check_shipment),),
)
