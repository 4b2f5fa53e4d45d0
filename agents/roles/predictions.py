"""Who knows cells forecasts their life, keeps the fleets it learns from, and has its forecasts audited.

Check-ups are sealed under a pseudonym as they are told, each naming those before. So whoever makes a forecast
again sees whether the history is whole, and learns of no item, no buyer and no price.
"""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.role import Action, Books, Case, Effect, Held, Issue, Keep, Role, Send
from agents.roles.life import Form, known
from analysis.result import NotAssessable, digest
from protocols.audit import AUDIT, RequestAudit, Withdraw
from schemas.claims import CheckUp, CheckUps, DiagnosisResult, Prediction
from schemas.errors import Invalid, Misstep, Unknown
from schemas.items import Code

HISTORY = "meguri.history/2"
MOST_SIBLINGS = 300
FLEET_WEIGHTED, CELL_ONLY, BY_LOT = "fleet-weighted", "gp-linear-trend", "weibull"

MethodName = Literal[
    "default",
    "fleet-weighted",
    "gp-linear-trend",
    "weibull",
    "gp-default",
    "gp-ml-rbf",
    "gp-ml-matern32",
    "gp-ml-rbf-line",
    "gp-ml-matern32-line",
    "gp-bayes",
]


class CheckUpRow(BaseModel):
    """One check-up of an item."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    cycle: Decimal = Field(ge=0, le=1_000_000, max_digits=24, title="Cycles")
    soh_pct: Decimal = Field(gt=0, le=150, max_digits=24, title="State of health (%)")
    sd_pct: Decimal = Field(
        default=Decimal("0.5"), ge=0, le=50, max_digits=24, title="Standard deviation (%)"
    )
    diagnosis: str = Field(default="", max_length=200, title="Diagnosis it is from (credential)")


class PredictForm(Form):
    """What is known of an item's fade, and how far to look ahead."""

    item: Code = Field(title="Item code")
    history: tuple[CheckUpRow, ...] = Field(
        default=(), max_length=2000, title="Check-ups, as far as not told before"
    )
    cycles: tuple[Decimal, ...] = Field(min_length=1, max_length=200, title="Cycles to forecast")
    threshold_pct: Decimal = Field(default=Decimal(70), gt=0, lt=100, title="End of life at (%)")
    method: MethodName = Field(default="default", title="Method")


class AdoptFleetForm(Form):
    """A fleet as `meguri lifetime fit-fleet` writes it."""

    fleet: dict[str, object] = Field(title="Fleet (JSON)")


class AuditForm(Form):
    """Which prediction to have audited."""

    prediction: str = Field(min_length=1, max_length=200, title="Prediction (credential)")


@dataclass(frozen=True)
class Known:
    """What is kept of an item's past: its pseudonym with the salt, and the check-ups sealed so far."""

    subject: str
    salt: bytes
    sealed: tuple[CheckUps, ...]

    @property
    def entries(self) -> dict[Decimal, CheckUp]:
        """Return the check-ups by cycle."""
        return {entry.run_count: entry for claim in self.sealed for entry in claim.check_ups}


def _records(books: Books, item: str) -> list[Mapping[str, Any]]:
    return [one for one in books.measurements(item) if one.get("format") == HISTORY]


def past_of(books: Books, item: str) -> Known | None:
    """Return what is kept of an item's past, if a forecast was ever made of it here."""
    records = _records(books, item)
    if not records:
        return None
    subject = str(records[-1]["subject"])
    sealed = tuple(
        CheckUps.model_validate(held.claim)
        for held in books.credentials(subject, "CheckUps")
        if held.issuer == books.company.did
    )
    return Known(subject, bytes.fromhex(str(records[-1]["salt"])), sealed)


def fleet_place(model: str) -> str:
    """Return under which name the fleets of a battery model are kept."""
    return f"fleet {model}"


def fleet_kept(books: Books, model: str, named: str = "") -> Mapping[str, Any] | None:
    """Return the newest fleet kept of this very model, or the one of this digest."""
    kept = books.measurements(fleet_place(model)) if model else []
    return next((one for one in reversed(kept) if not named or digest(dict(one)) == named), None)


def adopt_fleet(form: AdoptFleetForm, case: Case) -> list[Effect]:
    """Keep a fleet; forecasts of its very model learn from it from now on."""
    from analysis.lifetime.document import read_document  # numpy behind these, needed here only

    document = read_document(form.fleet)
    return [Keep(fleet_place(document.model), document.digest(), document.model_dump(mode="json"))]


def predict_life(form: PredictForm, case: Case) -> list[Effect]:
    """Forecast an item's state of health by a prescribed method, and state it about a pseudonym.

    New check-ups are sealed first. The salt that ties the pseudonym to the item stays here.
    """
    from analysis.lifetime.document import read_document  # numpy behind these, needed here only
    from analysis.lifetime.statement import Inputs, figures, pseudonym
    from governance.audit import link, state
    from governance.tools import present_digest

    (item,) = known(case.books, [form.item])
    past = past_of(case.books, form.item)
    if past is None:
        salt = secrets.token_bytes(16)
        past = Known(pseudonym(form.item, salt), salt, ())
    told = past.entries
    fresh = _fresh(form, case.books, past)
    entries = sorted((*told.values(), *fresh), key=lambda entry: entry.run_count)
    sealed = list(past.sealed)
    if fresh:
        previous = link(sealed[-1]) if sealed else ""
        before = sum(len(claim.check_ups) for claim in sealed)
        sealed.append(
            CheckUps(
                subject=past.subject, before_count=before, previous_digest=previous, check_ups=tuple(fresh)
            )
        )
    method, fleet = _method(form.method, case.books, item.model)
    inputs = Inputs.model_validate(
        {
            "subject": past.subject,
            "model": item.model,
            "method": method,
            "cycles": [float(c) for c in form.cycles],
            "threshold_pct": float(form.threshold_pct),
            "observations": [observed(entry) for entry in entries],
            "fleet": digest(dict(fleet)) if fleet else "",
            "lot": _siblings(case.books, form.item, item.model) if method == BY_LOT else [],
            "check_ups": [link(claim) for claim in sealed],
        }
    )
    made = figures(inputs, read_document(fleet) if fleet else None)
    if isinstance(made, NotAssessable):
        raise Invalid("not assessable: {why}", why=made.words)
    record: dict[str, Any] = {
        "format": HISTORY,
        "item": form.item,
        "salt": past.salt.hex(),
        "subject": past.subject,
        "inputs": inputs.model_dump(mode="json"),
    }
    claim = Prediction(subject=past.subject, statement=state(made, inputs, present_digest()))
    return [
        Keep(form.item, digest(record), record),
        Issue(claim, past.subject),
        *([Issue(sealed[-1], past.subject)] if fresh else []),
    ]


def observed(entry: CheckUp) -> dict[str, float]:
    """Return a sealed check-up as an observation."""
    return {
        "cycle": float(entry.run_count),
        "soh_pct": float(entry.found_soh_pct),
        "sd_pct": float(entry.sd_pct),
    }


def _fresh(form: PredictForm, books: Books, past: Known) -> list[CheckUp]:
    """Return the check-ups of the form that were not told before; raise `Invalid` where one is told anew."""
    told, fresh = past.entries, dict[Decimal, CheckUp]()
    for row in form.history:
        entry = CheckUp(
            run_count=row.cycle,
            found_soh_pct=row.soh_pct,
            sd_pct=row.sd_pct,
            diagnosis_digest=_evidence(row, form, books, past),
        )
        before = told.get(row.cycle)
        if before and (before.found_soh_pct, before.sd_pct) != (row.soh_pct, row.sd_pct):
            raise Invalid(
                "the check-up at cycle {cycle} is sealed already: {soh} %",
                cycle=row.cycle,
                soh=before.found_soh_pct,
            )
        if row.cycle in fresh:
            raise Invalid("Cycle {cycle:g} stands in the history twice.", cycle=row.cycle)
        if not before:
            fresh[row.cycle] = entry
    return sorted(fresh.values(), key=lambda entry: entry.run_count)


def _evidence(row: CheckUpRow, form: PredictForm, books: Books, past: Known) -> str:
    """Return the salted digest of the diagnosis that a check-up is from."""
    if not row.diagnosis:
        return ""
    held = books.credential(row.diagnosis)
    if held is None or held.type != "DiagnosisResult" or held.about != form.item:
        raise Unknown("we hold no diagnosis {id} of {code}", id=row.diagnosis[:80], code=form.item)
    found = DiagnosisResult.model_validate(held.claim).soh_pct
    if found != row.soh_pct:
        raise Invalid(
            "the diagnosis says {found} %, not {told} %", found=found if found else "–", told=row.soh_pct
        )
    return "sha256:" + hmac.new(past.salt, held.digest.encode(), hashlib.sha256).hexdigest()


def _method(asked: MethodName, books: Books, model: str) -> tuple[str, Mapping[str, Any] | None]:
    """Return the method meant, with the fleet it needs: by default the fleet's, where one is kept."""
    fleet = fleet_kept(books, model)
    if asked == "default":
        return (FLEET_WEIGHTED, fleet) if fleet else (CELL_ONLY, None)
    if asked == FLEET_WEIGHTED and fleet is None:
        raise Unknown("we keep no fleet of the model “{model}”", model=model)
    return asked, fleet if asked == FLEET_WEIGHTED else None


def _siblings(books: Books, item: str, model: str) -> list[list[dict[str, float]]]:
    """Return the histories kept of other items of the same model."""
    others = [one.code for one in books.items(text=model, limit=5000) if one.model == model] if model else []
    found = []
    for code in others:
        records = _records(books, code) if code != item else []
        if records:
            found.append([dict(one) for one in records[-1]["inputs"]["observations"]])
    return found[:MOST_SIBLINGS]


def prediction_of(books: Books, id: str) -> tuple[Held, Mapping[str, Any]]:
    """Return a prediction of ours and its inputs; raise `Unknown` where there is none."""
    held = books.credential(id)
    if held is None or held.type != "Prediction" or held.issuer != books.company.did:
        raise Unknown("we have issued no prediction {id}", id=id[:80])
    newest = books.prediction_inputs(held.about)
    named = held.claim["statement"].get("inputs_digest")
    for record in _records(books, str(newest["item"])) if newest else []:
        if digest(dict(record["inputs"])) == named:
            return held, record["inputs"]
    raise Unknown("the inputs of this prediction are not here")


def check_ups_for(books: Books, prediction: Held) -> tuple[str, ...]:
    """Return the ids of our sealed check-ups about a prediction's subject."""
    return tuple(
        held.id
        for held in books.credentials(prediction.about, "CheckUps")
        if held.issuer == books.company.did
    )


def request_audit(form: AuditForm, case: Case) -> list[Effect]:
    """Send a prediction, its inputs and the sealed check-ups to the authority; none says which item it is."""
    held, inputs = prediction_of(case.books, form.prediction)
    if held not in case.books.in_force(held.about, held.type):
        raise Misstep("this prediction is revoked or suspended")
    fleet = None
    if inputs["fleet"] and not _has(case, str(inputs["fleet"])):
        fleet = fleet_kept(case.books, str(inputs["model"]), str(inputs["fleet"]))
        if fleet is None:
            raise Unknown("the inputs of this prediction are not here")
    request = RequestAudit(inputs=dict(inputs), fleet=dict(fleet) if fleet else None)
    return [Send(request, credentials=(held.id, *check_ups_for(case.books, held)))]


def _has(case: Case, fleet: str) -> bool:
    """Say whether the authority was sent this fleet before, in an audit that it has finished."""
    for dealing in case.books.dealings(AUDIT.name, ("certified", "found"), limit=200):
        exchange = case.books.exchange(dealing.thread) if dealing.peer == case.them.id else None
        sent = exchange.last(RequestAudit).fleet if exchange else None
        if sent and digest(dict(sent)) == fleet:
            return True
    return False


def withdraw_audit(form: Withdraw, case: Case) -> list[Effect]:
    """Take the request back."""
    return [Send(form)]


PREDICTOR = Role(
    "predictor",
    actions=(
        Action("predict-life", "Forecast an item's life", PredictForm, predict_life, rank="manager"),
        Action("adopt-fleet", "Keep a fleet to learn from", AdoptFleetForm, adopt_fleet, rank="manager"),
        Action(
            "request-audit",
            "Have a forecast audited",
            AuditForm,
            request_audit,
            AUDIT,
            (RequestAudit,),
            opens=True,
            rank="manager",
        ),
        Action(
            "withdraw-audit",
            "Withdraw the audit request",
            Withdraw,
            withdraw_audit,
            AUDIT,
            (Withdraw,),
            rank="manager",
        ),
    ),
)
