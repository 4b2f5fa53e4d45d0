"""Measurements and what they say: the models we use, results made from them, and made again."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import Field

from agents.role import Action, AdoptModel, Books, Case, Effect, Issue, Item, SetAside
from agents.roles.life import Form, happened, known
from instruments.measurement import FORMAT, Measurement
from quality.lifecycle import Life, may_follow
from schemas.claims import DiagnosisResult
from schemas.errors import Invalid, Unknown
from schemas.items import Code

if TYPE_CHECKING:
    from analysis.soh.model import Model

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


def diagnosed(books: Books, item: Item, measured: Measurement, by: str = "") -> tuple[DiagnosisResult, ...]:
    """Return what our models in use say of a stored measurement, the result that counts last.

    The one place where a measurement becomes results; `by` is the company that measured, if not we.
    """
    from governance.diagnosis import Trained, results  # numpy behind it, needed for this alone

    adopted = books.models(item.model, in_use=True) if item.model else []
    models = [Trained(_model(_Document(one.digest, books.model)), one.signer) for one in adopted]
    return results(measured, item.model, models, by)


def spectra(books: Books, code: str) -> list[Measurement]:
    """Return the stored impedance spectra of an item, oldest first."""
    return [Measurement.from_json(m) for m in books.measurements(code) if m.get("format") == FORMAT]


def told(result: DiagnosisResult) -> dict[str, str]:
    """Return what an event records of a result."""
    value = f"{result.soh_pct} %" if result.soh_pct is not None else "not-assessable"
    return {"method": f"{result.method} {result.method_version}", "result": value}


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
        found = diagnosed(case.books, item, measured[0])
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


DIAGNOSIS: tuple[Action[Any], ...] = (
    Action("adopt-model", "Adopt a model", AdoptForm, adopt_model, rank="manager"),
    Action("set-model-aside", "Set a model aside", SetAsideForm, set_model_aside, rank="manager"),
    Action("diagnose-again", "Assess stored measurements again", AgainForm, diagnose_again),
)
