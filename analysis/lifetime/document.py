"""A fleet as a JSON document that can be signed: figures, and the digests of its data and code."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from analysis.code import code_digest
from analysis.lifetime import fleet as lot
from analysis.lifetime.fleet import Band, Fleet
from analysis.lifetime.history import VERSION
from analysis.result import digest
from schemas.errors import Invalid

FORMAT: Final = "meguri-fleet/1.0"
CODE: Final = tuple(f"analysis.lifetime:{name}.py" for name in ("history", "gp", "predictive", "fleet"))
MOST_BYTES: Final = 4 * 1024 * 1024
_MOST_KNOTS: Final = 64

type Row = tuple[FiniteFloat, ...]


class BandDocument(BaseModel):
    """The fitted Gaussian of one horizon."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    horizon: FiniteFloat = Field(gt=1, le=10)
    knots: Row = Field(min_length=2, max_length=_MOST_KNOTS)
    mean: Row
    covariance: tuple[Row, ...]
    variance_noise: FiniteFloat = Field(gt=0)
    widening: FiniteFloat = Field(ge=1, le=100)
    farthest: FiniteFloat = Field(gt=0)

    @model_validator(mode="after")
    def _fits(self) -> "BandDocument":
        size = len(self.knots) + 1
        if len(self.mean) != size or {len(row) for row in (self.covariance, *self.covariance)} != {size}:
            raise ValueError("its figures are not of one size")
        if any(b <= a for a, b in zip(self.knots, self.knots[1:], strict=False)):
            raise ValueError("its knots do not rise")
        matrix = np.array(self.covariance)
        if not np.allclose(matrix, matrix.T) or np.linalg.eigvalsh(matrix)[0] <= 0:
            raise ValueError("its covariance is none")
        return self


class FleetDocument(BaseModel):
    """A fitted fleet with its provenance."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal["meguri-fleet/1.0"] = "meguri-fleet/1.0"
    model: str = Field(min_length=1, max_length=200)
    method: str = Field(max_length=80)
    version: str = Field(max_length=20)
    code_digest: str = Field(max_length=200)
    data_digest: str = Field(max_length=200)
    cells: int = Field(ge=lot.MINIMUM_CELLS)
    observations: int = Field(gt=0)
    lowest_pct: FiniteFloat
    longest_cycle: FiniteFloat
    bands: tuple[BandDocument, ...] = Field(min_length=1, max_length=20)
    limits: tuple[str, ...] = ()

    def digest(self) -> str:
        """Return the digest of this document in canonical JSON."""
        return digest(self.model_dump(mode="json"))


def fleet_code() -> str:
    """Return the digest of the code of fleet-weighted."""
    return code_digest(*CODE)


def document(fitted: Fleet) -> FleetDocument:
    """Return a fleet as its document."""
    return FleetDocument(
        model=fitted.model,
        method=lot.METHOD,
        version=VERSION,
        code_digest=fleet_code(),
        data_digest=fitted.data_digest,
        cells=fitted.cells,
        observations=fitted.observations,
        lowest_pct=fitted.lowest_pct,
        longest_cycle=fitted.longest_cycle,
        bands=tuple(
            BandDocument(
                horizon=b.horizon,
                knots=tuple(map(float, b.knots)),
                mean=tuple(map(float, b.mean)),
                covariance=tuple(tuple(map(float, row)) for row in b.covariance),
                variance_noise=b.variance_noise,
                widening=b.widening,
                farthest=b.farthest,
            )
            for b in fitted.bands
        ),
        limits=lot.LIMITS,
    )


def fleet_of(said: FleetDocument) -> Fleet:
    """Return the fleet that a document describes; raises Invalid for another method's."""
    if said.method != lot.METHOD:
        raise Invalid(
            "The fleet was fitted by {method}; {ours} is needed.", method=said.method, ours=lot.METHOD
        )
    bands = tuple(
        Band(
            b.horizon,
            np.array(b.knots),
            np.array(b.mean),
            np.array(b.covariance),
            b.variance_noise,
            b.widening,
            b.farthest,
        )
        for b in sorted(said.bands, key=lambda band: band.horizon)
    )
    return Fleet(
        said.model,
        said.cells,
        said.observations,
        said.lowest_pct,
        said.longest_cycle,
        bands,
        said.data_digest,
    )


def read_document(value: Mapping[str, Any]) -> FleetDocument:
    """Return a fleet's document from JSON, or raise Invalid in words."""
    try:
        document = FleetDocument.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Invalid("This is no fleet: {where} {why}", where=where, why=first["msg"]) from error
    fleet_of(document)
    return document


def read_fleet(path: Path) -> Fleet:
    """Read a fleet's document, or raise Invalid in words."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise Invalid("{file} is too large for a fleet.", file=path.name)
        return fleet_of(FleetDocument.model_validate_json(path.read_bytes()))
    except OSError as error:
        raise Invalid("{file} cannot be read: {why}", file=path.name, why=error.strerror) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Invalid(
            "{file} is no fleet: {where} {why}", file=path.name, where=where, why=first["msg"]
        ) from error
