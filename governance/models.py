"""A trained model as a file that companies pass on: the model, and a sealed statement that vouches for it.

The file is JSON, `{"model": …, "credential": …}`; the credential is a `SohModel` about the model's digest.
"""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import uuid4

from analysis.soh.algorithms import algorithms
from analysis.soh.model import MINIMUM_CELLS, Model
from credentials.integrity import seal, verify
from credentials.keys import Signer
from credentials.resolution import Resolver
from credentials.vc import credential
from schemas.claims import CONTEXT, SohModel
from schemas.errors import Invalid

DIGEST_LENGTH = len("sha256:") + 64
HIGHEST_SOH_PCT = 150.0


def statement(model: Model) -> SohModel:
    """Return what whoever signs a model states: its card in words, and the digests of it and its training."""
    card = model.card
    return SohModel(
        cell_model=model.cell_model,
        method=model.document["method"],
        method_version=model.document["version"],
        model_digest=model.digest,
        training_digest=str(model.training["digest"]),
        model_source=str(model.training.get("source", "")),
        suits=card["purpose"],
        training=card["training"],
        quality=tuple(card["quality"]),
        limits=card["limits"],
    )


def about(digest: str) -> str:
    """Return what a statement about the model of this digest is about."""
    return "urn:meguri:soh-model:" + digest.removeprefix("sha256:")


def sealed(model: Model, signer: Signer, now: datetime) -> dict[str, Any]:
    """Return a model's file, signed."""
    claim = statement(model)
    document = credential(
        signer.did,
        (type(claim).__name__,),
        {"id": about(claim.model_digest)} | claim.model_dump(mode="json", exclude_none=True),
        id=uuid4().urn,
        valid_from=now,
        contexts=(CONTEXT,),
    )
    return {"model": model.document, "credential": seal(document, signer, created=now)}


def signer_of(model: Model, document: Mapping[str, Any], resolver: Resolver, now: datetime) -> str:
    """Return who signed a model; raise Invalid where the seal does not hold or is about another model."""
    report = verify(document, resolver, now=now)
    subject = document.get("credentialSubject")
    said = statement(model).model_dump(mode="json", exclude_none=True)
    same = isinstance(subject, Mapping) and said == {k: v for k, v in subject.items() if k != "id"}
    if not report.verified or not same:
        raise Invalid("the seal does not fit the model: something was changed")
    return str(report.author)


def read_model(content: object) -> tuple[Model, Mapping[str, Any] | None]:
    """Return the model in a file's content and the credential with it, unverified; raise Invalid for neither.

    The model must be whole: trained on enough cells, at conditions and states of health that can be, by
    algorithms that are here.
    """
    if not isinstance(content, Mapping) or "model" not in content:
        raise Invalid("this is no file of a model of states of health")
    try:
        model = Model.of(content["model"])
        _check(model)
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise Invalid("the model cannot be read: {error}", error=repr(error)) from error
    found = content.get("credential")
    if found is not None and not isinstance(found, Mapping):
        raise Invalid("this is no file of a model of states of health")
    return model, found


def _check(model: Model) -> None:
    training = str(model.training["digest"])
    if len(training) != DIGEST_LENGTH or not training.startswith("sha256:"):
        raise Invalid("the model does not name its training data by their digest")
    if not model.cell_model.strip():
        raise Invalid("the model does not say for which cells it is")
    if not model.conditions or min(c.cells for c in model.conditions) < MINIMUM_CELLS:
        raise Invalid("the model was trained on fewer than {cells} cells", cells=MINIMUM_CELLS)
    for at in model.conditions:
        low, high = at.soh_pct
        figures = (at.temperature_c, at.soc_pct, low, high, at.rmse_pct, at.half_width_pct)
        if not all(map(math.isfinite, figures)) or not (
            0 < low <= high <= HIGHEST_SOH_PCT and 0 <= at.soc_pct <= 100  # noqa: PLR2004 - per cent
        ):
            raise Invalid("the model's domain is none a cell can be in")
        if sum(fit.weight for fit in at.fits) <= 0 or at.half_width_pct <= 0:
            raise Invalid("the model's intervals were not calibrated")
        for fit in at.fits:
            known = algorithms().get(fit.algorithm)
            if known is None or known.version != fit.version:
                raise Invalid(
                    "the model needs the algorithm {name} {version}", name=fit.algorithm, version=fit.version
                )
