"""The collector fetches packs, takes them apart, measures and grades the cells, and passes them on."""

from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from agents.role import Action, Case, Duty, Effect, Issue, Keep, Qualify, Role, Send
from agents.roles import station
from agents.roles.deliveries import SUPPLIER
from agents.roles.diagnosis import DIAGNOSIS, DUTIES, assessed, disagreement, proposed, told, vendor_value
from agents.roles.dismantler import CANCEL, called_off, receipt_of, transport
from agents.roles.electrical import RECORD_TEST
from agents.roles.life import Form, happened, known, lineage, only_about
from agents.roles.predictions import PREDICTOR
from agents.roles.sampling import SAMPLED_DUTIES
from instruments.analyser import Analysis
from instruments.measurement import Measurement
from protocols.collection import (
    COLLECTION,
    Cancel,
    Decline,
    HandOver,
    ProposeDate,
    Quote,
    Request,
    SignReceipt,
    Withdraw,
)
from quality.lifecycle import Life, may_follow
from schemas.claims import HandOverReceipt, ItemIdentity
from schemas.errors import Invalid
from schemas.handling import Qualification, SafetyFinding
from schemas.items import Code, kind_of, mint

# Collection


def note_request(message: Request, case: Case) -> list[Effect]:
    """Begin our own record of the pack, unless we have it in hand."""
    life = Life(message.pack, kind_of(message.pack), case.books.events(message.pack, ours=True))
    if any(event.what == "collected" for event in life.standing):
        raise Invalid("{code} has been collected already", code=message.pack)
    details = {"findings": message.findings, "odometer_km": message.odometer_km}
    return [
        happened(case, message.pack, "requested", where=message.place, details=details, who=case.them.name)
    ]


def quote_collection(form: Quote, case: Case) -> list[Effect]:
    """Quote a price."""
    if form.valid_until < case.books.now.date():
        raise Invalid("the quote would be out of date already")
    return [Send(form)]


def decline_collection(form: Decline, case: Case) -> list[Effect]:
    """Do not fetch the pack."""
    return [Send(form), *called_off(form, case)]


def propose_date(form: ProposeDate, case: Case) -> list[Effect]:
    """Propose a day."""
    if form.pickup < case.books.now.date():
        raise Invalid("that day is over")
    return [Send(form)]


def record_hand_over(form: HandOver, case: Case) -> list[Effect]:
    """Say that we took the pack over, with a receipt signed by us."""
    request = case.here.last(Request)
    if form.pack != request.pack:
        raise Invalid("{code} is not the pack of this collection", code=form.pack)
    receipt = receipt_of(form, case.them.did, case.books.company.did)
    return [Send(form, credentials=(Issue(receipt, form.pack),))]


def take_over(message: SignReceipt, case: Case) -> list[Effect]:
    """Check that the receipt attached confirms ours, and note the transport."""
    over, request = case.here.last(HandOver), case.here.last(Request)
    only_about(case, (request.vehicle, request.pack))
    ours = [h for h in case.books.in_force(over.pack, "HandOverReceipt") if not h.source][-1:]
    said = receipt_of(over, case.them.did, case.books.company.did)
    confirmed = [
        HandOverReceipt.model_validate(h.claim)
        for h in case.credentials
        if h.type == "HandOverReceipt" and h.issuer == case.them.did
    ]
    if not any(said.model_copy(update={"confirms_digest": h.digest}) in confirmed for h in ours):
        raise Invalid("the receipt attached does not confirm ours")
    return [transport(case)]


# In the workshop


class StoreForm(Form):
    """What was put where."""

    items: tuple[Code, ...] = Field(min_length=1, max_length=500, title="Items")
    place: str = Field(min_length=1, max_length=120, title="Place")


class DisassembleForm(Form):
    """A pack taken apart."""

    pack: Code = Field(title="Pack code")
    cells: int = Field(ge=1, le=999, title="Number of cells")
    cell_model: str = Field(min_length=1, max_length=80, title="Cell model")
    chemistry: Literal["NMC", "LFP", "NCA", "LMO", "unknown"] = Field(title="Chemistry")
    cell_mass_kg: Decimal | None = Field(default=None, gt=0, le=50, title="Mass of a cell (kg)")
    bench: str = Field(min_length=1, max_length=40, title="Bench")
    worker: str = Field(min_length=1, max_length=40, title="Worker code")
    result: str = Field(
        default="in order", min_length=1, max_length=400, title="Result of the visual inspection"
    )
    findings: tuple[SafetyFinding, ...] = Field(default=(), title="Safety findings")


class WeighForm(Form):
    """The sorted materials of a pack, in kilograms."""

    pack: Code = Field(title="Pack code")
    metal_kg: Decimal = Field(default=Decimal(0), ge=0, le=2000, title="Metal (kg)")
    resin_kg: Decimal = Field(default=Decimal(0), ge=0, le=2000, title="Resin (kg)")
    harness_kg: Decimal = Field(default=Decimal(0), ge=0, le=2000, title="Harness (kg)")
    other_kg: Decimal = Field(default=Decimal(0), ge=0, le=2000, title="Other (kg)")


class MeasuredForm(Form):
    """A measurement as the station wrote it."""

    measurement: dict[str, Any] = Field(title="Measurement")
    job: str = Field(default="", max_length=40, title="Job it was made in")


class AnalysedForm(Form):
    """What a fast analyser said of a cell, as the station wrote it."""

    analysis: dict[str, Any] = Field(title="Analysis")
    job: str = Field(default="", max_length=40, title="Job it was made in")


class SkippedForm(Form):
    """A cell that could not be measured."""

    cell: Code = Field(title="Cell code")
    reason: str = Field(min_length=1, max_length=40, title="Reason")
    words: str = Field(min_length=1, max_length=400, title="In words")
    by: Literal["sweep", "fast"] = Field(default="sweep", title="Measured by")
    job: str = Field(default="", max_length=40, title="Job it was tried in")


class GradeForm(Form):
    """Which items to grade, by the framework's rules or by hand."""

    items: tuple[Code, ...] = Field(min_length=1, max_length=999, title="Items")
    grade: str = Field(default="", max_length=40, title="Grade (none: as the rules propose)")


class QualifyForm(Form):
    """What a worker is trained for."""

    worker: str = Field(min_length=1, max_length=40, pattern=r"^[\w .-]+$", title="Worker code")
    qualification: Qualification = Field(title="Qualification")


class ReleaseForm(Form):
    """A finding that was looked into and no longer stands in the way."""

    item: Code = Field(title="Item code")
    findings: tuple[SafetyFinding, ...] = Field(min_length=1, title="Safety findings")
    reason: str = Field(min_length=1, max_length=400, title="Reason")
    worker: str = Field(min_length=1, max_length=40, title="Worker code")


def store_items(form: StoreForm, case: Case) -> list[Effect]:
    """Note where items are put; what is stored already is moved."""
    known(case.books, form.items)
    effects: list[Effect] = []
    for code in form.items:
        life = lineage(case.books, code)[0]
        stored = "stored" in may_follow(life.kind, life.state)
        effects.append(happened(case, code, "stored" if stored else "moved", where=form.place))
    return effects


def disassemble_pack(form: DisassembleForm, case: Case) -> list[Effect]:
    """Take the pack apart; each cell gets its code, its place in the pack, and its identity."""
    known(case.books, [form.pack], "pack")
    if case.books.items(kind="cell", part_of=form.pack, limit=1):
        raise Invalid("the cells of {code} are registered already", code=form.pack)
    details = {"bench": form.bench, "result": form.result, "findings": form.findings}
    effects: list[Effect] = [
        happened(case, form.pack, "disassembled", where=form.bench, who=form.worker, details=details)
    ]
    for number in range(1, form.cells + 1):
        code = mint("cell", form.pack, number)
        identity = ItemIdentity(
            item=code,
            kind="cell",
            part_of=form.pack,
            position=f"{number}",
            model=form.cell_model,
            chemistry=form.chemistry,
            mass_kg=form.cell_mass_kg,
        )
        place = {"part_of": form.pack, "position": f"{number}"}
        effects += [
            Issue(identity, code),
            happened(case, code, "extracted", where=form.bench, who=form.worker, details=place),
        ]
    return effects


def weigh_materials(form: WeighForm, case: Case) -> list[Effect]:
    """Register the sorted materials of a pack with their weights."""
    known(case.books, [form.pack], "pack")
    if case.books.items(kind="material", part_of=form.pack, limit=1):
        raise Invalid(
            "the materials of {code} are weighed already; annul the record to correct it", code=form.pack
        )
    masses = {
        "metal": form.metal_kg,
        "resin": form.resin_kg,
        "harness": form.harness_kg,
        "other": form.other_kg,
    }
    effects: list[Effect] = []
    for number, (material, mass) in enumerate(masses.items(), 1):
        if mass:
            code = mint("material", form.pack, number)
            identity = ItemIdentity(
                item=code, kind="material", part_of=form.pack, model=material, mass_kg=mass
            )
            effects += [
                Issue(identity, code),
                happened(case, code, "weighed", details={"mass_kg": str(mass), "material": material}),
            ]
    if not effects:
        raise Invalid("nothing was weighed")
    return effects


def record_measurement(form: MeasuredForm, case: Case) -> list[Effect]:
    """Keep a measurement and issue what our models say about the cell's state of health."""
    measured = Measurement.from_json(form.measurement)
    (item,) = known(case.books, [measured.cell], "cell")
    results = assessed(case.books, item, measured)
    care = station.care_of(case.books).warnings(measured)
    see_to = [*(warning.words for warning in care), *disagreement(case.books, measured, results[-1])]
    details = {**told(results[-1]), "see_to": see_to}
    return [
        Keep(measured.cell, measured.digest, measured.to_json()),
        *(Issue(result, measured.cell) for result in results),
        happened(
            case,
            measured.cell,
            "diagnosed",
            details=details,
            evidence=(measured.digest,),
            who=measured.operator,
        ),
        *station.came_of(case, form.job, measured.cell),
    ]


def record_analysis(form: AnalysedForm, case: Case) -> list[Effect]:
    """Keep what a fast analyser said; by itself it is no state of health, and no diagnosis."""
    said = Analysis.from_json(form.analysis)
    known(case.books, [said.cell], "cell")
    details = {"analyser": str(said.analyser), "result": vendor_value(said)}
    return [
        Keep(said.cell, said.digest, said.to_json()),
        happened(case, said.cell, "analysed", details=details, evidence=(said.digest,), who=said.operator),
        *station.came_of(case, form.job, said.cell),
    ]


def record_skip(form: SkippedForm, case: Case) -> list[Effect]:
    """Note that a cell could not be measured, and why."""
    known(case.books, [form.cell], "cell")
    details = {"reason": form.reason, "words": form.words}
    # Where the analyser saw nothing, what a spectrum said before stands as it did.
    by_analyser = {"result": "none", **details}
    return [
        happened(case, form.cell, "skipped", how=form.words, details=details)
        if form.by == "sweep"
        else happened(case, form.cell, "analysed", how=form.words, details=by_analyser),
        *station.came_of(case, form.job, form.cell, form.words),
    ]


def grade_items(form: GradeForm, case: Case) -> list[Effect]:
    """Grade items as the framework's rules propose or a person decides; the not gradable go to recycling."""
    known(case.books, form.items)
    framework = case.books.framework()
    if form.grade and form.grade not in {each.name for each in framework.rules.grades}:
        raise Invalid("there is no grade “{grade}”", grade=form.grade)
    effects: list[Effect] = []
    for code in form.items:
        grade, why = proposed(case.books, code)
        details = {
            "grade": form.grade or grade or "recycling",
            "rule": f"by hand, beside {framework.title}" if form.grade else framework.title,
            "because": why,
        }
        effects.append(happened(case, code, "graded", details=details))
    return effects


def qualify_worker(form: QualifyForm, case: Case) -> list[Effect]:
    """Note what a worker is trained for."""
    return [Qualify(form.worker, form.qualification)]


def release_item(form: ReleaseForm, case: Case) -> list[Effect]:
    """Release an item from safety findings, by a person qualified to judge."""
    known(case.books, [form.item])
    details = {"reason": form.reason, "findings": form.findings}
    return [happened(case, form.item, "released", who=form.worker, how=form.reason, details=details)]


COLLECTOR = Role(
    "collector",
    actions=(
        Action(
            "quote-collection",
            "Quote a price",
            Quote,
            quote_collection,
            COLLECTION,
            (Quote,),
            rank="manager",
        ),
        Action(
            "decline-collection",
            "Decline the request",
            Decline,
            decline_collection,
            COLLECTION,
            (Decline,),
            rank="manager",
        ),
        Action("propose-date", "Propose a day", ProposeDate, propose_date, COLLECTION, (ProposeDate,)),
        CANCEL,
        Action(
            "record-hand-over", "Record the hand-over", HandOver, record_hand_over, COLLECTION, (HandOver,)
        ),
        Action(
            "qualify-worker", "Note what a worker is trained for", QualifyForm, qualify_worker, rank="manager"
        ),
        Action("store-items", "Store items", StoreForm, store_items),
        Action("disassemble-pack", "Disassemble a pack", DisassembleForm, disassemble_pack),
        Action("weigh-materials", "Weigh the sorted materials", WeighForm, weigh_materials),
        *station.ACTIONS,
        Action("record-measurement", "Record a measurement", MeasuredForm, record_measurement),
        Action("record-analysis", "Record what an analyser said", AnalysedForm, record_analysis),
        RECORD_TEST,
        Action("record-skip", "Record that a cell was not measured", SkippedForm, record_skip),
        *DIAGNOSIS,
        Action("grade-items", "Grade items", GradeForm, grade_items),
        Action("release-item", "Release from a safety finding", ReleaseForm, release_item),
        *SUPPLIER.actions,
        *PREDICTOR.actions,
    ),
    duties=(
        Duty(COLLECTION, Request, note_request),
        Duty(COLLECTION, Withdraw, called_off),
        Duty(COLLECTION, Cancel, called_off),
        Duty(COLLECTION, SignReceipt, take_over),
        *DUTIES,
        *SUPPLIER.duties,
        *SAMPLED_DUTIES,
    ),
)
