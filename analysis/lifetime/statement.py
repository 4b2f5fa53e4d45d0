"""A forecast as it is stated to others, so that whoever holds its inputs can make it again.

Nothing here names a cell: the subject is a salted pseudonym, and only who knows both code and salt can
tie it to an item. The inputs carry the subject too, so their digest fits one statement alone.

`run` is the door of the whole tool: plain inputs in, plain figures out. An auditor calls it in a kept copy
of this very code, so it takes and gives nothing but JSON.
"""

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from analysis.lifetime.document import FleetDocument, fleet_of
from analysis.lifetime.forecasts import Past, forecast
from analysis.lifetime.history import VERSION, History, Observation
from analysis.lifetime.predictive import Predictive
from analysis.result import NotAssessable, digest
from schemas.errors import Fault

FORMAT: Final = "meguri-forecast/1.1"
DECIMALS: Final = 6
LEVELS: Final = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
MINIMUM_SALT_BYTES: Final = 16
MOST_OBSERVATIONS: Final = 2000
MOST_CYCLES: Final = 400
MOST_LOT: Final = 300
PATHS: Final = 4000
_STEPS: Final = 40


class Observed(BaseModel):
    """One observation of the inputs."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    cycle: FiniteFloat
    soh_pct: FiniteFloat
    sd_pct: FiniteFloat = 0.0


class Inputs(BaseModel):
    """Everything a forecast is made from; it goes to the auditor alone.

    `fleet` is the digest of a fleet's document, `lot` holds the histories of the lot's other cells,
    `check_ups` names the sealed check-ups that the observations come from, the oldest first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal["meguri-forecast/1.1"] = FORMAT
    subject: str = Field(max_length=200)
    model: str = Field(default="", max_length=200)
    method: str = Field(max_length=80)
    cycles: tuple[FiniteFloat, ...] = Field(min_length=1, max_length=MOST_CYCLES)
    threshold_pct: FiniteFloat = Field(gt=0, lt=150)
    seed: int = Field(default=0, ge=0, lt=2**32)
    observations: tuple[Observed, ...] = Field(max_length=MOST_OBSERVATIONS)
    fleet: str = Field(default="", max_length=80)
    lot: tuple[tuple[Observed, ...], ...] = Field(default=(), max_length=MOST_LOT)
    check_ups: tuple[str, ...] = Field(default=(), max_length=MOST_OBSERVATIONS)

    def history(self) -> History:
        """Return the history, or raise Invalid."""
        return _history(self.observations)

    def digest(self) -> str:
        """Return the digest of these inputs."""
        return digest(self.model_dump(mode="json"))


def _history(observed: Sequence[Observed]) -> History:
    return History(tuple(Observation(o.cycle, o.soh_pct, o.sd_pct) for o in observed))


def pseudonym(item: str, salt: bytes) -> str:
    """Return a name for `item` that only who knows `salt` (16 random bytes or more) can tie to it."""
    if len(salt) < MINIMUM_SALT_BYTES:
        raise ValueError("a salt of fewer than 16 bytes can be guessed")
    return "urn:meguri:subject:" + hmac.new(salt, item.encode(), hashlib.sha256).hexdigest()


def figures(inputs: Inputs, fleet: FleetDocument | None = None) -> dict[str, Any] | NotAssessable:
    """Forecast from `inputs` and return every figure stated, or say why there is no forecast.

    Raises Invalid for inputs that make no sense.
    """
    history = inputs.history()
    past = Past(
        history,
        inputs.model,
        fleet_of(fleet) if fleet else None,
        tuple(_history(one) for one in inputs.lot),
    )
    asked = tuple(inputs.cycles)
    # First passage needs the way there, also where few cycles are asked for.
    way: list[float] = []
    if asked[-1] > history.last:
        way = np.linspace(history.last, asked[-1], _STEPS + 1).tolist()
    grid = sorted({*asked, *way}) if tuple(sorted(asked)) == asked else list(asked)
    made = forecast(past, grid, inputs.method)
    if isinstance(made, NotAssessable):
        return made
    return {"format": FORMAT, "method": inputs.method, "version": VERSION} | _stated(made, grid, inputs)


def _stated(made: Predictive, grid: list[float], inputs: Inputs) -> dict[str, Any]:
    at = [grid.index(cycle) for cycle in inputs.cycles]

    def column(values: Any) -> list[float]:
        return [round(float(values[i]), DECIMALS) for i in at]

    ahead = np.array(grid) >= inputs.observations[-1].cycle
    when = np.sort(made.first_passage(inputs.threshold_pct, PATHS, inputs.seed)) if ahead.any() else None

    def passed(share: float) -> float | None:
        cycle = math.inf if when is None else float(when[math.ceil(share * len(when)) - 1])
        return round(cycle, 2) if math.isfinite(cycle) else None

    return {
        "made_by": made.method,
        "threshold_pct": inputs.threshold_pct,
        "cycles": list(inputs.cycles),
        "mean_pct": column(made.mean()),
        "sd_pct": column(made.sd(observed=False)),
        "quantiles_pct": {str(level): column(made.quantile(level, observed=False)) for level in LEVELS},
        "below_threshold": column(made.below(inputs.threshold_pct)),
        "noise_sd_pct": round(made.noise_sd_pct, DECIMALS),
        "end_of_life": {"earliest": passed(0.05), "median": passed(0.5), "latest": passed(0.95)},
        "notes": {name: round(value, DECIMALS) for name, value in made.notes},
        "warnings": list(made.warnings),
        "limits": list(made.limits),
    }


def run(inputs: Mapping[str, Any], fleet: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Make a forecast from JSON and return it as JSON: figures, why there are none, or what is wrong."""
    try:
        read = Inputs.model_validate(inputs)
        kept = None if fleet is None else FleetDocument.model_validate(fleet)
        made = figures(read, kept)
    except ValidationError as wrong:
        first = wrong.errors(include_url=False, include_input=False)[0]
        return {"invalid": f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:400]}
    except Fault as fault:
        return {"invalid": str(fault)[:400]}
    if isinstance(made, NotAssessable):
        return {"not_assessable": made.reason, "words": made.words}
    return {"figures": made}
