"""Measurements and what they say: the models we use, results made from them, and made again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import Field

from agents.role import (
    Action,
    AdoptModel,
    Books,
    Case,
    Duty,
    Effect,
    Held,
    Issue,
    Item,
    Send,
    SetAside,
)
from agents.roles.life import Form, happened, known
from governance.grading import Figure, NotGradable, because, figures_of, grade, worst_of
from instruments.analyser import FORMAT as ANALYSIS_FORMAT
from instruments.analyser import Analysis
from instruments.measurement import FORMAT, Measurement
from protocols.diagnosis import DIAGNOSIS as PROTOCOL
from protocols.diagnosis import MOST_ASKED, Answer, Asked, RequestDiagnosis
from protocols.diagnosis import Refuse as RefuseDiagnosis
from protocols.diagnosis import Withdraw as WithdrawDiagnosis
from quality.lifecycle import Life, may_follow
from schemas.claims import DiagnosisResult, MeasurementRecord
from schemas.errors import Invalid, Misstep, Unknown
from schemas.items import Code, kind_of

if TYPE_CHECKING:
    from analysis.soh.model import Model

DISAGREE = "the analyser says {said}, the spectrum {low} to {high} %"
SAME_VISIT = timedelta(days=1)
MOST_AT_ONCE = 200
"""The most cells that are diagnosed again in one go: each takes some milliseconds of everybody's time."""


@dataclass(frozen=True)
class _Document:
    """A model by its digest, read only when it is not known yet."""

    digest: str
    read: Callable[[str], Mapping[str, Any] | None] = field(compare=False)


@lru_cache(maxsize=8)
def _model(document: _Document) -> "Model":
    from analysis.soh.model import Model  # numpy behind it

    return Model.of(document.read(document.digest))


def assessed(books: Books, item: Item, measured: Measurement, by: str = "") -> tuple[DiagnosisResult, ...]:
    """Return what our models in use say of a stored measurement, the result that counts last.

    The one place where a measurement becomes results; `by` is the company that measured, if not we.
    """
    from governance.diagnosis import Trained, results  # numpy behind it, needed for this alone

    adopted = books.models(item.model, in_use=True) if item.model else []
    models = [Trained(_model(_Document(one.digest, books.model)), one.signer) for one in adopted]
    return results(measured, item.model, models, by, None if by else vendors_word(books, measured))


def spectra(books: Books, code: str) -> list[Measurement]:
    """Return the stored impedance spectra of an item, oldest first."""
    return [Measurement.from_json(m) for m in books.measurements(code) if m.get("format") == FORMAT]


def vendors_word(books: Books, measured: Measurement) -> Analysis | None:
    """Return what a fast analyser said of the cell nearest to a measurement, and within a day of it."""
    said = [
        Analysis.from_json(m) for m in books.measurements(measured.cell) if m.get("format") == ANALYSIS_FORMAT
    ]

    def away(one: Analysis) -> timedelta:
        return abs(one.finished - measured.finished)

    return min((one for one in said if away(one) <= SAME_VISIT), key=away, default=None)


def vendor_value(said: Analysis) -> str:
    """Return what an analyser said in words, with the interval it states if it states one."""
    low, high = said.interval
    return f"{said.soh_pct:g} %" + (f" ({low:g} – {high:g} %)" if low < high else "")


def disagreement(books: Books, measured: Measurement, result: DiagnosisResult) -> list[str]:
    """Return, in words, that the vendor's value and ours contradict each other: their intervals are apart."""
    said = vendors_word(books, measured)
    if said is None or result.lower_pct is None or result.upper_pct is None:
        return []
    low, high = said.interval
    if low <= result.upper_pct and high >= result.lower_pct:
        return []
    return [DISAGREE.format(said=vendor_value(said), low=result.lower_pct, high=result.upper_pct)]


def told(result: DiagnosisResult) -> dict[str, str]:
    """Return what an event records of a result."""
    value = f"{result.soh_pct} %" if result.soh_pct is not None else "not-assessable"
    return {"method": f"{result.method} {result.method_version}", "result": value}


def proposed(books: Books, code: str) -> tuple[str, str]:
    """Return the reuse class that the framework's rules give an item, empty for none, and why in words.

    Our own results count, and only without any those of others; what has none is known by its parts.
    """
    grades, figures = books.framework().rules.grades, _figures(books, code, set())
    found = grade(grades, figures)
    return "" if isinstance(found, NotGradable) else found.name, because(grades, figures)


def _figures(books: Books, code: str, seen: set[str]) -> dict[str, Figure]:
    if code in seen:  # what is part of what is told by others too, and may lead in a circle
        return {}
    seen.add(code)
    held = books.credentials(code, "DiagnosisResult")
    stated = [one for one in held if not one.source] or held
    if stated:
        return figures_of(DiagnosisResult.model_validate(one.claim) for one in stated)
    parts = [one.code for one in books.items(part_of=code) if one.kind in {"module", "cell"}]
    return worst_of([_figures(books, part, seen) for part in parts])


class AdoptForm(Form):
    """A trained model, as `meguri soh train` wrote it."""

    file: dict[str, Any] = Field(title="File of the model")
    signer: str = Field(
        default="",
        max_length=400,
        title="DID of its signer",
        description="Needed only where the signer is no member of ours: you vouch for it yourself.",
    )
    ours: bool = Field(
        default=False,
        title="We trained it ourselves: sign it",
        description="A model without a signature is used only when we sign it.",
    )


class SetAsideForm(Form):
    """A model that is to be used no more."""

    model: str = Field(min_length=1, max_length=80, title="Model digest")


class AgainForm(Form):
    """Whose stored measurements to assess again."""

    items: tuple[Code, ...] = Field(min_length=1, max_length=MOST_AT_ONCE, title="Items")


def adopt_model(form: AdoptForm, case: Case) -> list[Effect]:
    """Use a trained model for our diagnoses, once its signature, training data and domain are checked."""
    from governance.models import about, read_model, statement

    model, credential = read_model(form.file)
    if credential is None and not form.ours:
        raise Invalid("the model is not signed; if you trained it yourselves, have it signed")
    if form.ours and form.signer:
        raise Invalid("either the model is ours, or somebody else signed it")
    said = statement(model)
    sealed = None if form.ours else credential
    return [AdoptModel(model.document, said, about(model.digest), sealed, form.signer)]


def set_model_aside(form: SetAsideForm, case: Case) -> list[Effect]:
    """Use a model no more; what was stated by it stays."""
    found = [one.digest for one in case.books.models(in_use=True) if one.digest.startswith(form.model)]
    if len(found) != 1:
        raise Unknown("no model {digest} is in use here", digest=form.model)
    return [SetAside(found[0])]


def diagnose_again(form: AgainForm, case: Case) -> list[Effect]:
    """Assess the newest stored measurement of each cell again, by the models now in use."""
    from governance.diagnosis import is_same

    effects: list[Effect] = []
    for item in known(case.books, dict.fromkeys(form.items)):
        measured = spectra(case.books, item.code)[-1:]
        if not measured:
            raise Unknown("we have no measurement of {code}", code=item.code)
        held = case.books.credentials(item.code, "DiagnosisResult")
        earlier = [DiagnosisResult.model_validate(one.claim) for one in held if not one.source]
        found = assessed(case.books, item, measured[0])
        fresh = [result for result in found if not any(is_same(result, one) for one in earlier)]
        effects += [Issue(result, item.code) for result in fresh]
        life = Life(item.code, item.kind, case.books.events(item.code, ours=True))
        if fresh and "diagnosed" in may_follow(life.kind, life.state):
            digest = measured[0].digest
            effects.append(
                happened(case, item.code, "diagnosed", details=told(fresh[-1]), evidence=(digest,))
            )
    if not effects:
        raise Invalid("nothing new: the same models have assessed these measurements already")
    return effects


# Over diagnosis/1.0: another company's word on our measurements, or ours on another's


WAITING = ("requested",)


class RequestForm(Form):
    """Whose newest measurements another company is to assess."""

    items: tuple[Code, ...] = Field(min_length=1, max_length=MOST_ASKED, title="Items")
    note: str = Field(default="", max_length=1000, title="Note")


def request_diagnosis(form: RequestForm, case: Case) -> list[Effect]:
    """Have another company assess the newest stored measurement of each cell by its own methods."""
    records = [_record(case.books, item) for item in known(case.books, dict.fromkeys(form.items))]
    asked = tuple(Asked(item=r.item, measurement_digest=r.measurement_digest) for r in records)
    for dealing in case.books.dealings(PROTOCOL.name, WAITING):
        exchange = case.books.exchange(dealing.thread)
        if dealing.peer == case.them.id and exchange and exchange.side == PROTOCOL.opener:
            twice = set(asked) & set(exchange.last(RequestDiagnosis).measurements)
            if twice:
                code = min(one.item for one in twice)
                raise Misstep("this company has been asked about {code} already", code=code)
    message = RequestDiagnosis(measurements=asked, note=form.note)
    return [Send(message, credentials=tuple(Issue(record, record.item) for record in records))]


def _record(books: Books, item: Item) -> MeasurementRecord:
    """Return the newest measurement of an item as others may have it: without the name of who measured."""
    found = spectra(books, item.code)[-1:]
    if not found:
        raise Unknown("we have no measurement of {code}", code=item.code)
    measured = replace(found[0], operator="", transcript="")
    return MeasurementRecord(
        item=item.code,
        cell_model=item.model,
        measured_at=measured.finished,
        measurement_digest=measured.digest,
        transcript_digest=measured.transcript_sha256,
        measurement=measured.to_json(),
    )


def check_request(message: RequestDiagnosis, case: Case) -> list[Effect]:
    """Refuse a request whose records are not whole, not the sender's own, or with us already."""
    found = {}
    for held in case.credentials:
        record = _read(held, case.them.did)
        found[record.item, record.measurement_digest] = record
    wanted = [(asked.item, asked.measurement_digest) for asked in message.measurements]
    if len(set(wanted)) < len(wanted):
        raise Invalid("a measurement is named twice")
    if found.keys() != set(wanted):
        raise Invalid("the measurements attached are not those named")
    for dealing in case.books.dealings(PROTOCOL.name, WAITING):
        exchange = case.books.exchange(dealing.thread)
        other = exchange and dealing.peer == case.them.id and dealing.thread != case.here.thread
        if (
            exchange
            and other
            and set(exchange.last(RequestDiagnosis).measurements) & set(message.measurements)
        ):
            raise Misstep("the same measurements wait for our answer already")
    return []


def _read(held: Held, client: str) -> MeasurementRecord:
    record = MeasurementRecord.model_validate(held.claim)
    measured = Measurement.from_json(record.measurement)
    said = (record.item, record.measurement_digest, record.transcript_digest)
    if held.issuer != client or (measured.cell, measured.digest, measured.transcript_sha256) != said:
        raise Invalid("the measurement of {code} was changed, or is not the sender's own", code=record.item)
    return record


class AnswerForm(Form):
    """What there is to say with the results."""

    note: str = Field(default="", max_length=1000, title="Note")


def answer_diagnosis(form: AnswerForm, case: Case) -> list[Effect]:
    """Assess the measurements by our algorithms and models, and answer with sealed results."""
    results: list[Issue] = []
    for asked in case.here.last(RequestDiagnosis).measurements:
        held = [
            h for h in case.books.credentials(asked.item, "MeasurementRecord") if h.issuer == case.them.did
        ]
        records = [_read(one, case.them.did) for one in held]
        record = next(r for r in reversed(records) if r.measurement_digest == asked.measurement_digest)
        # Of our own books nothing but the models: the client says what its cells are.
        item = Item(record.item, kind_of(record.item), case.them.did, model=record.cell_model)
        measured = Measurement.from_json(record.measurement)
        results += [Issue(r, record.item) for r in assessed(case.books, item, measured, case.them.did)]
    return [Send(Answer(note=form.note), credentials=tuple(results))]


def refuse_diagnosis(form: RefuseDiagnosis, case: Case) -> list[Effect]:
    """Do not assess these measurements, and say why."""
    return [Send(form)]


def withdraw_diagnosis(form: WithdrawDiagnosis, case: Case) -> list[Effect]:
    """Take the request back."""
    return [Send(form)]


def check_results(message: Answer, case: Case) -> list[Effect]:
    """Refuse an answer that is not the assessor's own, not of what was asked, or leaves something out."""
    asked = {(one.item, one.measurement_digest) for one in case.here.last(RequestDiagnosis).measurements}
    found = set()
    for held in case.credentials:
        result = DiagnosisResult.model_validate(held.claim)
        named = (result.item, result.measurement_digest)
        ours = (held.issuer, result.measured_by) == (case.them.did, case.books.company.did)
        if named not in asked or not ours:
            raise Invalid("a result attached is not the assessor's own, or not of what was asked")
        found.add(named)
    if asked - found:
        raise Invalid("there is no result for {code}", code=min(asked - found)[0])
    return []


DUTIES: tuple[Duty[Any], ...] = (
    Duty(PROTOCOL, RequestDiagnosis, check_request),
    Duty(PROTOCOL, Answer, check_results),
)

DIAGNOSIS: tuple[Action[Any], ...] = (
    Action(
        "request-diagnosis",
        "Have measurements assessed",
        RequestForm,
        request_diagnosis,
        PROTOCOL,
        (RequestDiagnosis,),
        opens=True,
    ),
    Action(
        "answer-diagnosis",
        "Assess and answer",
        AnswerForm,
        answer_diagnosis,
        PROTOCOL,
        (Answer,),
        rank="manager",
    ),
    Action(
        "refuse-diagnosis",
        "Refuse to assess",
        RefuseDiagnosis,
        refuse_diagnosis,
        PROTOCOL,
        (RefuseDiagnosis,),
        rank="manager",
    ),
    Action(
        "withdraw-diagnosis",
        "Withdraw the request",
        WithdrawDiagnosis,
        withdraw_diagnosis,
        PROTOCOL,
        (WithdrawDiagnosis,),
    ),
    Action("adopt-model", "Adopt a model", AdoptForm, adopt_model, rank="manager"),
    Action("set-model-aside", "Set a model aside", SetAsideForm, set_model_aside, rank="manager"),
    Action("diagnose-again", "Assess stored measurements again", AgainForm, diagnose_again),
)
