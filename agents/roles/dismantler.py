"""The dismantler takes packs out of cars and has them fetched."""

import hashlib

from pydantic import Field

from agents.role import Action, Case, Duty, Effect, Issue, Record, Role, Send
from agents.roles.life import Nothing, happened, only_about, say
from protocols.collection import (
    COLLECTION,
    Accept,
    AgreeDate,
    AskOtherDate,
    Cancel,
    Decline,
    Dispute,
    HandOver,
    Request,
    SignReceipt,
    Withdraw,
)
from protocols.exchange import Because
from schemas.claims import HandOverReceipt, ItemIdentity, VehicleHistory
from schemas.errors import Invalid
from schemas.items import Code, kind_of, mint


class RequestForm(Request):
    """The pack to be fetched; new codes are made unless the vehicle and pack have some."""

    vehicle: Code = Field(default_factory=lambda: mint("vehicle"), title="Vehicle code (empty: a new one)")
    pack: Code = Field(default_factory=lambda: mint("pack"), title="Pack code (empty: a new one)")
    photos: tuple[str, ...] = Field(
        default=(), max_length=20, title="Photos", json_schema_extra={"evidence": True}
    )


def request_collection(form: RequestForm, case: Case) -> list[Effect]:
    """Ask the collector to fetch the pack; register it and its first life in our books."""
    books = case.books
    for code, kind in ((form.vehicle, "vehicle"), (form.pack, "pack")):
        if kind_of(code) != kind:
            raise Invalid("{code} is a {kind}, not a {wanted}", code=code, kind=kind_of(code), wanted=kind)
    vehicle = ItemIdentity(item=form.vehicle, kind="vehicle", model=form.vehicle_model)
    pack = ItemIdentity(item=form.pack, kind="pack", part_of=form.vehicle, model=form.pack_model)
    history = VehicleHistory(
        item=form.pack,
        vehicle=form.vehicle,
        vehicle_model=form.vehicle_model,
        pack_model=form.pack_model,
        chassis_digest=chassis_digest(form.chassis_number, form.vehicle),
        first_registration=form.first_registration,
        odometer_km=form.odometer_km,
        capacity_low_pct=form.capacity_low_pct,
        capacity_high_pct=form.capacity_high_pct,
        capacity_source=form.capacity_source,
        findings=form.findings,
    )
    effects: list[Effect] = []
    if books.item(form.vehicle) is None:
        effects += [
            Issue(vehicle, form.vehicle, lasting=True),
            happened(case, form.vehicle, "registered", lasting=True),
        ]
    if books.item(form.pack) is None:
        effects += [
            Issue(pack, form.pack, lasting=True),
            happened(case, form.pack, "registered", lasting=True),
        ]
    elif any(
        d.about == form.pack and d.state not in COLLECTION.ends for d in books.dealings(COLLECTION.name)
    ):
        raise Invalid("a collection of {code} is under way already", code=form.pack)
    details = {"findings": form.findings, "odometer_km": form.odometer_km}
    return [
        *effects,
        Issue(history, form.pack),
        happened(case, form.pack, "requested", where=form.place, details=details, evidence=form.photos),
        Send(say(Request, form), evidence=form.photos),
    ]


def chassis_digest(chassis_number: str, vehicle: str) -> str:
    """Return what stands for the chassis number in a credential: SHA-256 of it and the vehicle's code.

    The code's 45 random bits keep those who do not know it from guessing chassis numbers.
    """
    return hashlib.sha256(f"{vehicle}|{chassis_number}".encode()).hexdigest()


def called_off(message: Because, case: Case) -> list[Effect]:
    """Note that the pack will not be fetched after all."""
    pack = case.here.last(Request).pack
    return [happened(case, pack, "cancelled", details={"reason": message.reason})]


def accept_quote(form: Nothing, case: Case) -> list[Effect]:
    """Accept the price."""
    return [Send(Accept())]


def withdraw_request(form: Withdraw, case: Case) -> list[Effect]:
    """Take the request back."""
    return [Send(form), *called_off(form, case)]


def agree_date(form: Nothing, case: Case) -> list[Effect]:
    """Agree to the day."""
    return [Send(AgreeDate())]


def ask_other_date(form: AskOtherDate, case: Case) -> list[Effect]:
    """Ask for another day."""
    return [Send(form)]


def cancel_collection(form: Cancel, case: Case) -> list[Effect]:
    """Call the collection off."""
    return [Send(form), *called_off(form, case)]


def receipt_of(over: HandOver, from_did: str, to_did: str) -> HandOverReceipt:
    """Return the receipt that says what a hand-over says."""
    return HandOverReceipt(
        item=over.pack,
        from_did=from_did,
        to_did=to_did,
        truck=over.truck,
        distance_km=over.odometer_back_km - over.odometer_out_km,
        load_share=over.load_share,
        fuel_economy_km_per_l=over.fuel_economy_km_per_l,
        findings=over.findings,
    )


def check_hand_over(message: HandOver, case: Case) -> list[Effect]:
    """Refuse a hand-over of another pack, or without a receipt that the collector signed for it."""
    if message.pack != case.here.last(Request).pack:
        raise Invalid("{code} is not the pack of this collection", code=message.pack)
    only_about(case, (message.pack,))
    said = receipt_of(message, case.books.company.did, case.them.did)
    for held in case.credentials:
        if held.type == "HandOverReceipt" and held.issuer == case.them.did:
            if HandOverReceipt.model_validate(held.claim) == said:
                return []
            raise Invalid("the receipt attached does not say what the hand-over says")
    raise Invalid("the collector's receipt is not attached")


def sign_receipt(form: Nothing, case: Case) -> list[Effect]:
    """Confirm the hand-over with a receipt of our own, and pass on what we know of the pack."""
    books, over = case.books, case.here.last(HandOver)
    receipts = books.in_force(over.pack, "HandOverReceipt")
    theirs = next((held for held in reversed(receipts) if held.issuer == case.them.did), None)
    if theirs is None:
        raise Invalid("the collector's receipt is not here")
    receipt = HandOverReceipt.model_validate(theirs.claim)
    ours = Issue(receipt.model_copy(update={"confirms_digest": theirs.digest}), over.pack)
    request = case.here.last(Request)
    known = tuple(
        held.id
        for item in (request.vehicle, request.pack)
        for held in books.in_force(item)
        if held.type in ("ItemIdentity", "VehicleHistory") and not held.source
    )
    return [Send(SignReceipt(), credentials=(ours, *known)), transport(case)]


def transport(case: Case) -> Record:
    """Return the event of the pack's transport as the hand-over tells it."""
    over = case.here.last(HandOver)
    details = {
        "truck": over.truck,
        "distance_km": str(over.odometer_back_km - over.odometer_out_km),
        "load_share": str(over.load_share),
        "fuel_economy_km_per_l": str(over.fuel_economy_km_per_l),
        "findings": over.findings,
    }
    return happened(case, over.pack, "collected", details=details)


def dispute_receipt(form: Dispute, case: Case) -> list[Effect]:
    """Say what is not right with the receipt."""
    return [Send(form)]


CANCEL = Action(
    "cancel-collection", "Cancel the collection", Cancel, cancel_collection, COLLECTION, (Cancel,)
)

DISMANTLER = Role(
    "dismantler",
    actions=(
        Action(
            "request-collection",
            "Request a collection",
            RequestForm,
            request_collection,
            COLLECTION,
            (Request,),
            opens=True,
        ),
        Action(
            "accept-quote", "Accept the price", Nothing, accept_quote, COLLECTION, (Accept,), rank="manager"
        ),
        Action(
            "withdraw-request", "Withdraw the request", Withdraw, withdraw_request, COLLECTION, (Withdraw,)
        ),
        Action("agree-date", "Agree to the day", Nothing, agree_date, COLLECTION, (AgreeDate,)),
        Action(
            "ask-other-date", "Ask for another day", AskOtherDate, ask_other_date, COLLECTION, (AskOtherDate,)
        ),
        CANCEL,
        Action("sign-receipt", "Sign the receipt", Nothing, sign_receipt, COLLECTION, (SignReceipt,)),
        Action("dispute-receipt", "Dispute the receipt", Dispute, dispute_receipt, COLLECTION, (Dispute,)),
    ),
    duties=(
        Duty(COLLECTION, Decline, called_off),
        Duty(COLLECTION, Cancel, called_off),
        Duty(COLLECTION, HandOver, check_hand_over),
    ),
)
