"""The methods of forecasting by name: one history in, one predictive distribution out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import numpy as np

from analysis.lifetime import fleet as lot
from analysis.lifetime import regression, weibull
from analysis.lifetime.fleet import Fleet
from analysis.lifetime.history import HIGHEST_SOH_PCT, History
from analysis.lifetime.predictive import Array, Predictive
from analysis.result import NotAssessable
from schemas.errors import Invalid

MAXIMUM_CYCLES: Final = 2000
MOST_OBSERVATIONS: Final = 100
_REMAINING_STEPS: Final = 81
_REACHES: Final = (0.5, 1.0, 1.5, 2.0)
_BEND, _SURE, _LEAST = 1.5, 3.0, 8


@dataclass(frozen=True, slots=True)
class Past:
    """What a forecast may use: the cell's history and model, a fleet, and the lot's own histories."""

    history: History
    model: str = ""
    fleet: Fleet | None = None
    lot: Sequence[History] = ()


type Run = Callable[[Past, tuple[float, ...]], Predictive | NotAssessable]


@dataclass(frozen=True, slots=True)
class Forecaster:
    """A method by its name, with what it is in one sentence."""

    name: str
    words: str
    run: Run


def _likelihood(kernel: regression.Kernel, line: bool) -> Run:
    return lambda past, cycles: regression.by_likelihood(past.history, cycles, kernel, line)


FORECASTERS: Final = {
    f.name: f
    for f in (
        Forecaster(
            lot.METHOD,
            "The fleet of the very model and the cell's own past, weighted by how each foretold that past.",
            lambda past, cycles: lot.forecast(past.history, cycles, past.fleet, past.model),
        ),
        Forecaster(
            lot.CELL_ONLY,
            "The cell's own past: a straight line and a slow wander about it (integrated Wiener process).",
            lambda past, cycles: lot.forecast(past.history, cycles),
        ),
        Forecaster(
            weibull.METHOD,
            "How many cycles cells of the lot took to each state of health, survivors counted.",
            lambda past, cycles: weibull.forecast(past.history, past.lot, cycles),
        ),
        Forecaster(
            "gp-default",
            "Gaussian process with the framework's default hyperparameters.",
            lambda past, cycles: regression.by_default(past.history, cycles),
        ),
        Forecaster("gp-ml-rbf", "Gaussian process by maximum likelihood, smooth.", _likelihood("rbf", False)),
        Forecaster(
            "gp-ml-matern32",
            "Gaussian process by maximum likelihood, rough.",
            _likelihood("matern32", False),
        ),
        Forecaster(
            "gp-ml-rbf-line",
            "Gaussian process by maximum likelihood, smooth, about a straight line.",
            _likelihood("rbf", True),
        ),
        Forecaster(
            "gp-ml-matern32-line",
            "Gaussian process by maximum likelihood, rough, about a straight line.",
            _likelihood("matern32", True),
        ),
        Forecaster(
            "gp-bayes",
            "Gaussian process with its hyperparameters integrated over, about a straight line.",
            lambda past, cycles: regression.by_quadrature(past.history, cycles),
        ),
    )
}
DEFAULT: Final = lot.METHOD
# Beside those: to check gp-bayes with. It takes minutes, and another machine draws other numbers.
SAMPLED: Final = "gp-bayes-nuts"


def _sampled(past: Past, cycles: tuple[float, ...]) -> Predictive | NotAssessable:
    from analysis.lifetime.sampling import by_sampling

    return by_sampling(past.history, cycles)


def forecast(past: Past, cycles: Sequence[float], method: str = DEFAULT) -> Predictive | NotAssessable:
    """Forecast at these cycles by a named method, or say why it cannot.

    Raises Invalid for an unknown method, or cycles that are none, not finite, not rising, or before the
    first observation.
    """
    run = _sampled if method == SAMPLED else FORECASTERS[method].run if method in FORECASTERS else None
    if run is None:
        raise Invalid("There is no method {name}.", name=method)
    grid = tuple(float(c) for c in cycles)
    if not grid or not all(map(math.isfinite, grid)):
        raise Invalid("A forecast needs cycles, each a finite number.")
    if len(grid) > MAXIMUM_CYCLES:
        raise Invalid(
            "{count} cycles are too many; {most} are the most.", count=len(grid), most=MAXIMUM_CYCLES
        )
    if any(b <= a for a, b in pairwise(grid)) or grid[0] < past.history.first:
        raise Invalid("The cycles of a forecast rise, from the first observation on.")
    count = len(past.history.observations)
    past = replace(past, history=thinned(past.history))
    made = run(past, grid)
    if isinstance(made, NotAssessable):
        return made
    if count > MOST_OBSERVATIONS:
        words = f"Of {count} observations {MOST_OBSERVATIONS} were used, evenly spaced in their order."
        made = replace(made, warnings=(*made.warnings, words))
    if float(made.mean().min()) <= 0:
        words = f"The curve falls to nothing before cycle {grid[-1]:g}."
        return NotAssessable("exhausted", words, made.method, made.version)
    return replace(made, warnings=(*made.warnings, *_knees(past.history, made)))


def thinned(history: History) -> History:
    """Return at most 100 of the observations, the first and the last among them; more tell hardly more."""
    seen = history.observations
    if len(seen) <= MOST_OBSERVATIONS:
        return history
    at = np.round(np.linspace(0, len(seen) - 1, MOST_OBSERVATIONS)).astype(int)
    return History(tuple(seen[i] for i in at))


@dataclass(frozen=True, slots=True)
class Remaining:
    """For how many more cycles a cell is so likely to stay above a threshold: at least so many, if whole."""

    cycles: float
    whole_reach: bool
    likely: float
    threshold_pct: float
    forecast: Predictive


def remaining(
    past: Past, threshold_pct: float, likely: float = 0.8, method: str = DEFAULT
) -> Remaining | NotAssessable:
    """Return for how many cycles from now the latent curve stays above the threshold, with that probability.

    By first passage of joint paths, on the nearest of four horizons that holds the answer.
    """
    if not 0 < threshold_pct < HIGHEST_SOH_PCT or not 0 < likely < 1:
        raise Invalid("A threshold is a state of health in %, a probability between 0 and 1.")
    last, span = past.history.last, past.history.last - past.history.first
    if span <= 0:
        return NotAssessable("too-few", "One observation tells no fade.", method, "")
    found: Remaining | None = None
    for reach in _REACHES:
        made = forecast(past, np.linspace(last, last + reach * span, _REMAINING_STEPS).tolist(), method)
        if isinstance(made, NotAssessable):
            return found or made
        when = np.sort(made.first_passage(threshold_pct))
        left = float(when[math.floor((1 - likely) * len(when))])
        whole = math.isinf(left)
        found = Remaining((made.cycles[-1] if whole else left) - last, whole, likely, threshold_pct, made)
        if not whole:
            break
    assert found is not None
    return found


def knee(history: History) -> tuple[float, float]:
    """Return how many times as fast as on average a cell fades at the end, and how sure the bend is (t).

    From the parabola through all observations: the ratio of its slopes, and its curvature over that one's
    standard error, negative where the curve bends down. (1, 0) where there are too few to say.
    """
    x = np.array([o.cycle for o in history.observations])
    y = np.array([o.soh_pct for o in history.observations])
    if len(x) < _LEAST:
        return 1.0, 0.0
    t = (x - x[0]) / (x[-1] - x[0])
    basis = np.column_stack([np.ones_like(t), t, t * t])
    normal = np.linalg.inv(basis.T @ basis)
    b = normal @ basis.T @ y
    rest = y - basis @ b
    error = math.sqrt(float(rest @ rest) / (len(x) - 3) * float(normal[2, 2]))
    average, end = float(b[1] + b[2]), float(b[1] + 2 * b[2])
    if average >= 0:
        return 1.0, 0.0
    return end / average, float(b[2]) / error if error > 0 else math.copysign(math.inf, float(b[2]))


def _knees(history: History, made: Predictive) -> tuple[str, ...]:
    ratio, sure = knee(history)
    out = []
    if ratio > _BEND and sure < -_SURE:
        out.append(f"A knee may have begun: at the end this cell fades {ratio:.1f} times its average.")
    mean = made.mean()
    span, seen = history.last - history.first, history.observations
    ahead = np.array(made.cycles) >= history.last
    if span > 0 and ahead.sum() > 1:
        behind = (seen[-1].soh_pct - seen[0].soh_pct) / span
        first, last = (float(v) for v in mean[ahead][[0, -1]])
        width = float(np.ptp(np.array(made.cycles)[ahead]))
        if behind < 0 and (last - first) / width < _BEND * behind:
            fast = (last - first) / width / behind
            out.append(f"A knee is expected: ahead this cell fades {fast:.1f} times as fast as so far.")
    return tuple(out)


def persistence(history: History, cycles: Array) -> Array:
    """Return the last observation for every cycle: what a forecast must beat."""
    return np.full(len(cycles), history.observations[-1].soh_pct)
