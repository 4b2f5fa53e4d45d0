"""The reuse manufacturer buys cells, builds products, forecasts their life and has the forecast audited."""

import secrets
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agents.role import Action, Case, Effect, Issue, Keep, Role, Send
from agents.roles.collector import GradeForm, StoreForm, grade_items, store_items
from agents.roles.deliveries import RECEIVER, SUPPLIER
from agents.roles.diagnosis import DIAGNOSIS, DUTIES
from agents.roles.life import Form, happened, known
from analysis.result import NotAssessable, digest
from protocols.audit import AUDIT, RequestAudit, Withdraw
from schemas.claims import ItemIdentity, Prediction
from schemas.errors import Invalid, Unknown
from schemas.items import Code, mint

HISTORY = "meguri.history/1"


class BuildForm(Form):
    """A product made of items."""

    items: tuple[Code, ...] = Field(min_length=1, max_length=2000, title="Items built in")
    model: str = Field(min_length=1, max_length=80, title="Product model")


class CheckUp(BaseModel):
    """One check-up of an item."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    cycle: Decimal = Field(ge=0, le=1_000_000, title="Cycles")
    soh_pct: Decimal = Field(gt=0, le=150, title="State of health (%)")
    sd_pct: Decimal = Field(default=Decimal("0.5"), ge=0, le=50, title="Standard deviation (%)")


class PredictForm(Form):
    """What is known of an item's fade, and how far to look ahead."""

    item: Code = Field(title="Item code")
    history: tuple[CheckUp, ...] = Field(min_length=1, max_length=2000, title="Check-ups")
    cycles: tuple[Decimal, ...] = Field(min_length=1, max_length=200, title="Cycles to forecast")
    threshold_pct: Decimal = Field(default=Decimal(70), gt=0, lt=100, title="End of life at (%)")


class AuditForm(Form):
    """Which prediction to have audited."""

    prediction: str = Field(min_length=1, max_length=200, title="Prediction (credential)")


def build_product(form: BuildForm, case: Case) -> list[Effect]:
    """Register a product and what it is made of."""
    known(case.books, form.items)
    if len(set(form.items)) < len(form.items):
        raise Invalid("an item is named twice")
    code = mint("product")
    identity = ItemIdentity(item=code, kind="product", made_of=form.items, model=form.model)
    return [
        Issue(identity, code),
        happened(case, code, "registered", details={"model": form.model}),
        *(
            happened(case, item, "built-in", details={"product": code, "position": str(place)})
            for place, item in enumerate(form.items, 1)
        ),
    ]


def predict_life(form: PredictForm, case: Case) -> list[Effect]:
    """Forecast an item's state of health by the prescribed method, and state it about a pseudonym.

    The salt that ties the pseudonym to the item stays here, with the inputs.
    """
    from analysis.lifetime.history import History, Observation  # numpy behind these, needed here only
    from analysis.lifetime.statement import pseudonym, state

    known(case.books, [form.item])
    salt = secrets.token_bytes(16)
    history = History(
        tuple(Observation(float(o.cycle), float(o.soh_pct), float(o.sd_pct)) for o in form.history)
    )
    subject = pseudonym(form.item, salt)
    made = state(subject, history, tuple(float(c) for c in form.cycles), float(form.threshold_pct))
    if isinstance(made, NotAssessable):
        raise Invalid("not assessable: {why}", why=made.words)
    record: dict[str, Any] = {
        "format": HISTORY,
        "item": form.item,
        "salt": salt.hex(),
        "subject": subject,
        "inputs": made.inputs.model_dump(mode="json"),
    }
    claim = Prediction(subject=subject, statement=made.statement.model_dump(mode="json"))
    return [Keep(form.item, digest(record), record), Issue(claim, subject)]


def request_audit(form: AuditForm, case: Case) -> list[Effect]:
    """Send a prediction and its inputs to the authority; neither says which item it is about."""
    held = case.books.credential(form.prediction)
    if held is None or held.type != "Prediction" or held.source:
        raise Unknown("we have issued no prediction {id}", id=form.prediction[:80])
    record = case.books.prediction_inputs(held.about)
    if record is None:
        raise Unknown("the inputs of this prediction are not here")
    return [Send(RequestAudit(inputs=dict(record["inputs"])), credentials=(held.id,))]


def withdraw_audit(form: Withdraw, case: Case) -> list[Effect]:
    """Take the request back."""
    return [Send(form)]


REUSE_MANUFACTURER = Role(
    "reuse-manufacturer",
    actions=(
        *RECEIVER.actions,
        *SUPPLIER.actions,
        Action("store-items", "Store items", StoreForm, store_items),
        *DIAGNOSIS,
        Action("grade-items", "Grade items", GradeForm, grade_items),
        Action("build-product", "Build a product", BuildForm, build_product),
        Action("predict-life", "Forecast an item's life", PredictForm, predict_life, rank="manager"),
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
    duties=(*RECEIVER.duties, *SUPPLIER.duties, *DUTIES),
)
