"""A whole lot forecast in pieces: any of them can be made anywhere, in any order, and again.

What a piece holds depends on its task and cells alone, so that a job begun on one machine can be taken up on
another. Cells of gp-ml-rbf-lot that have been seen equally often are fitted together by `batch`.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np

from analysis.code import code_digest
from analysis.lifetime import batch, regression
from analysis.lifetime.document import FleetDocument, fleet_of
from analysis.lifetime.forecasts import DEFAULT, FORECASTERS, Past, forecast
from analysis.lifetime.history import History
from analysis.lifetime.predictive import Array, Predictive, normal_cdf
from analysis.result import NotAssessable, digest
from schemas.errors import Invalid

LOT: Final = "gp-ml-rbf-lot"
LOT_VERSION: Final = "1.0"
LEVELS: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
METHODS: Final = (*FORECASTERS, LOT)
_CODE: Final = tuple(
    f"analysis.lifetime:{name}.py"
    for name in (
        "batch",
        "fleet",
        "forecasts",
        "gp",
        "history",
        "job",
        "lanes",
        "predictive",
        "regression",
        "weibull",
    )
)
_ROUNDED: Final = 6
_LEAST: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the lot."""

    model: str
    name: str
    history: History


@dataclass(frozen=True, slots=True)
class Task:
    """What is to be found out of every cell."""

    cycles: tuple[float, ...]
    threshold_pct: float = 70.0
    method: str = DEFAULT
    fleet: FleetDocument | None = None

    def digest(self, data_digest: str) -> str:
        """Return the digest of this task with its data and the code that does it."""
        return digest(
            {
                "cycles": list(self.cycles),
                "threshold_pct": self.threshold_pct,
                "method": self.method,
                "fleet": self.fleet.digest() if self.fleet else None,
                "data": data_digest,
                "code": job_code(),
            }
        )


def job_code() -> str:
    """Return the digest of the code that makes a piece."""
    return code_digest(*_CODE)


def pieces(cells: Sequence[Cell], size: int) -> list[tuple[Cell, ...]]:
    """Return the lot in pieces of so many cells, always the same."""
    ordered = sorted(cells, key=lambda cell: (cell.model, cell.name))
    return [tuple(ordered[first : first + size]) for first in range(0, len(ordered), size)]


def piece(task: Task, cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """Forecast the cells of one piece, in their order; a cell that cannot be has the reason in its row."""
    fleet = fleet_of(task.fleet) if task.fleet else None
    found: dict[int, Predictive | NotAssessable | dict[str, Any]] = {}
    if task.method == LOT:
        found |= _together(task, cells)
    else:
        for i, cell in enumerate(cells):
            past = Past(cell.history, cell.model, fleet)
            try:
                found[i] = forecast(past, task.cycles, task.method)
            except Invalid as wrong:
                found[i] = NotAssessable("invalid", str(wrong), task.method, "")
    return [{"model": cell.model, "cell": cell.name, **_row(found[i], task)} for i, cell in enumerate(cells)]


def _row(made: Predictive | NotAssessable | dict[str, Any], task: Task) -> dict[str, Any]:
    if isinstance(made, NotAssessable):
        told = {"method": made.method, "version": made.version}
        return told | {"not_assessable": made.reason, "words": made.words}
    return figures(made, task.threshold_pct) if isinstance(made, Predictive) else made


def figures(made: Predictive, threshold_pct: float) -> dict[str, Any]:
    """Return a forecast as plain figures, rounded to six decimals."""
    return {
        "method": made.method,
        "version": made.version,
        "cycles": list(made.cycles),
        "mean_pct": plain(made.mean()),
        "sd_pct": plain(made.sd()),
        "quantiles_pct": {str(level): plain(made.quantile(level)) for level in LEVELS},
        "latent_sd_pct": plain(made.sd(observed=False)),
        "noise_sd_pct": round(made.noise_sd_pct, _ROUNDED),
        "threshold_pct": threshold_pct,
        "below_threshold": plain(made.below(threshold_pct)),
        "notes": dict(made.notes),
        "warnings": list(made.warnings),
        "limits": list(made.limits),
    }


def plain(values: Array) -> list[float]:
    """Return an array as a list of figures, rounded to six decimals."""
    return [round(float(v), _ROUNDED) for v in values]


def _together(task: Task, cells: Sequence[Cell]) -> dict[int, Any]:
    found: dict[int, Any] = {}
    alike: dict[int, list[int]] = defaultdict(list)
    for i, cell in enumerate(cells):
        no = regression.refusal(cell.history, task.cycles, LOT)
        if no is None and task.cycles[0] < cell.history.first:
            words = "The cycles of a forecast rise, from the first observation on."
            no = NotAssessable("invalid", words, LOT, LOT_VERSION)
        if no is not None:
            found[i] = no
        else:
            alike[len(cell.history.observations)].append(i)
    grid = np.array(task.cycles)
    for rows in alike.values():
        seen = [cells[i].history.observations for i in rows]
        fits = batch.fit(
            np.array([[o.cycle for o in one] for one in seen]),
            np.array([[o.soh_pct for o in one] for one in seen]),
        )
        ahead = np.broadcast_to(grid, (len(rows), len(grid)))
        mean, sd = fits.forecast(ahead), fits.deviation(ahead)
        noise = np.sqrt(fits.noise) * fits.y_sd
        for row, i in enumerate(rows):
            found[i] = _normal(task, mean[row], sd[row], float(noise[row]))
    return found


def _normal(task: Task, mean: Array, sd: Array, noise: float) -> dict[str, Any] | NotAssessable:
    if float(mean.min()) <= 0:
        words = f"The curve falls to nothing before cycle {task.cycles[-1]:g}."
        return NotAssessable("exhausted", words, LOT, LOT_VERSION)
    latent = np.sqrt(np.maximum(sd * sd - noise * noise, _LEAST**2))
    below = normal_cdf((task.threshold_pct - mean) / latent)
    return {
        "method": LOT,
        "version": LOT_VERSION,
        "cycles": list(task.cycles),
        "mean_pct": plain(mean),
        "sd_pct": plain(sd),
        "quantiles_pct": {str(level): plain(mean + NormalDist().inv_cdf(level) * sd) for level in LEVELS},
        "latent_sd_pct": plain(latent),
        "noise_sd_pct": round(noise, _ROUNDED),
        "threshold_pct": task.threshold_pct,
        "below_threshold": plain(below),
        "notes": {},
        "warnings": [],
        "limits": [regression.INTERPOLATION, *regression.LIMITS],
    }
