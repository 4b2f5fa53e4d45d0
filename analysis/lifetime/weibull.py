"""Weibull life by threshold: after how many cycles cells fall below a state of health.

    S(t) = exp(-(t/η)^β),   ln L = Σ_failed [ln β - β ln η + (β - 1) ln t_i] - Σ_all (t_i/η)^β

Cells that have not fallen below are right-censored: they count with S(t) alone. Leaving them out makes the
early failures look like all there is. The scale follows from the shape, η^β = Σ t^β / r, and the shape
solves one equation, Σ t^β ln t / Σ t^β - 1/β - (Σ_failed ln t)/r = 0, by Newton's steps on ln β.
Source: W. Q. Meeker, L. A. Escobar, Statistical Methods for Reliability Data (1998), sections 8.2, 8.4.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from analysis.lifetime.history import VERSION, History
from analysis.lifetime.predictive import Array, Predictive
from analysis.result import NotAssessable
from schemas.errors import Invalid

METHOD: Final = "weibull"
MINIMUM_FAILURES: Final = 3
LIMITS: Final = (
    "It speaks of cells of one model as a lot; of one cell it knows only how far it has come.",
    "Not for another model, chemistry or way of use than the lot's.",
    "Below the lowest state of health that three cells of the lot have reached it says nothing.",
)
_STEPS: Final = 200
_STOP: Final = 1e-12
_PATHS: Final = 99
_LEVELS: Final = 25
_MOST_STEP: Final = 1.0


@dataclass(frozen=True, slots=True)
class Weibull:
    """A fitted life: shape β, scale η in cycles, the standard errors of their logarithms, and the counts."""

    shape: float
    scale: float
    shape_log_sd: float
    scale_log_sd: float
    failures: int
    censored: int

    def survival(self, cycles: Array) -> Array:
        """Return the share that is still above the threshold after these cycles."""
        return np.exp(-((np.asarray(cycles, dtype=float) / self.scale) ** self.shape))

    def quantile(self, share: float) -> float:
        """Return the cycles by which this share has fallen below (0.1: the B10 life)."""
        return float(self.scale * (-math.log1p(-share)) ** (1 / self.shape))


@dataclass(frozen=True, slots=True)
class RankLine:
    """The line of a Weibull plot, ln(-ln(1 - F)) against ln t; for the eye, not for the figure."""

    shape: float
    scale: float
    cycles: tuple[float, ...]
    shares: tuple[float, ...]


def fit(cycles: Sequence[float], failed: Sequence[bool]) -> Weibull | NotAssessable:
    """Fit by maximum likelihood with right-censoring, or say why there is no fit.

    `cycles[i]` is when cell i fell below (`failed[i]`), or when it was last seen above.
    """
    t, dead = _checked(cycles, failed)
    failures = int(dead.sum())
    if failures < MINIMUM_FAILURES:
        words = f"{failures} cells fell below the threshold; {MINIMUM_FAILURES} are the least."
        return NotAssessable("too-few-failures", words, METHOD, VERSION)
    if np.ptp(t[dead]) == 0 and t[dead][0] == t.max():
        words = "All cells fell below at the same cycle; no spread can be fitted."
        return NotAssessable("no-spread", words, METHOD, VERSION)
    log = np.log(t) - math.log(float(t.max()))
    mean_log = float(log[dead].mean())
    start = 1.2 / max(float(log[dead].std()), 1e-3)
    v = math.log(start)
    for _ in range(_STEPS):
        shape = math.exp(v)
        powers = np.exp(shape * log)
        total = powers.sum()
        first, second = powers @ log / total, powers @ (log * log) / total
        value = first - 1 / shape - mean_log
        slope = shape * (second - first * first) + 1 / shape
        step = max(-_MOST_STEP, min(_MOST_STEP, float(value / slope)))
        v -= step
        if abs(step) < _STOP:
            break
    shape = math.exp(v)
    powers = np.exp(shape * log)
    scale = float(t.max()) * (powers.sum() / failures) ** (1 / shape)
    # Observed information in (ln β, ln η): with u = β ln(t/η) and w = eᵘ, Σw = r at the optimum.
    u = shape * (np.log(t) - math.log(scale))
    w = np.exp(u)
    across = -shape * float(w @ u)
    information = np.array([[failures + float(w @ (u * u)), across], [across, shape**2 * failures]])
    covariance = np.linalg.inv(information)
    return Weibull(
        shape,
        scale,
        math.sqrt(float(covariance[0, 0])),
        math.sqrt(float(covariance[1, 1])),
        failures,
        len(t) - failures,
    )


def rank_line(cycles: Sequence[float], failed: Sequence[bool]) -> RankLine | NotAssessable:
    """Return the rank-regression line of a Weibull plot, ranks adjusted for censored cells.

    Ranks after L. G. Johnson, median ranks after A. Benard, (i - 0.3)/(n + 0.4); ln t regressed on the rank.
    """
    t, dead = _checked(cycles, failed)
    if int(dead.sum()) < MINIMUM_FAILURES or np.ptp(t[dead]) == 0:
        words = "A line needs three cells that fell below, at different cycles."
        return NotAssessable("too-few-failures", words, METHOD, VERSION)
    order = np.lexsort((~dead, t))
    rank, count = 0.0, len(t)
    times, shares = [], []
    for place, i in enumerate(order):
        if dead[i]:
            rank += (count + 1 - rank) / (1 + count - place)
            times.append(float(t[i]))
            shares.append((rank - 0.3) / (count + 0.4))
    y = np.log(-np.log1p(-np.array(shares)))
    x = np.log(np.array(times))
    per_rank = float(np.polyfit(y, x, 1)[0])
    scale = math.exp(float(x.mean() - per_rank * y.mean()))
    return RankLine(1 / per_rank, scale, tuple(times), tuple(shares))


def passage(history: History, threshold_pct: float) -> tuple[float, bool]:
    """Return when a history first falls below the threshold, or its last cycle and False."""
    seen = history.observations
    for i, here in enumerate(seen):
        if here.soh_pct < threshold_pct:
            if i == 0:
                return here.cycle, True
            before = seen[i - 1]
            share = (before.soh_pct - threshold_pct) / (before.soh_pct - here.soh_pct)
            return before.cycle + share * (here.cycle - before.cycle), True
    return history.last, False


def forecast(
    history: History, lot: Sequence[History], cycles: tuple[float, ...]
) -> Predictive | NotAssessable:
    """Forecast one cell from its lot: a Weibull life for each of 25 levels below where it stands.

    The path of rank u falls below each level at that level's quantile u, counted given that the cell has
    not fallen below yet; where a lower level would be met earlier, it is met at the same time.
    """
    now = float(np.median([o.soh_pct for o in history.observations[-3:]]))
    lowest = sorted(min(o.soh_pct for o in h.observations) for h in lot)
    if len(lowest) < MINIMUM_FAILURES or lowest[MINIMUM_FAILURES - 1] >= now:
        words = "Fewer than three cells of the lot have ever been below where this one stands."
        return NotAssessable("too-few-failures", words, METHOD, VERSION)
    ranks = (np.arange(_PATHS) + 0.5) / _PATHS
    levels, times = [now], [np.full(_PATHS, history.last)]
    for level in np.linspace(now, lowest[MINIMUM_FAILURES - 1], _LEVELS + 1)[1:]:
        seen = [passage(h, float(level)) for h in lot]
        life = fit([max(t, 1e-6) for t, _ in seen], [f for _, f in seen])
        if isinstance(life, NotAssessable):
            continue
        alive = (history.last / life.scale) ** life.shape
        left = life.scale * (alive - np.log1p(-ranks)) ** (1 / life.shape)
        levels.append(float(level))
        times.append(np.maximum(left, times[-1]))
    grid = np.array(cycles)
    at = np.array(times)
    paths = np.empty((_PATHS, len(grid)))
    for p in range(_PATHS):
        paths[p] = np.interp(grid, at[:, p], levels)
        paths[p, grid < history.last] = now
    return Predictive(
        cycles,
        np.full(_PATHS, 1 / _PATHS),
        paths,
        np.zeros((_PATHS, len(grid), len(grid))),
        0.1,
        METHOD,
        VERSION,
        LIMITS,
    )


def _checked(
    cycles: Sequence[float], failed: Sequence[bool]
) -> tuple[Array, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    t = np.array(cycles, dtype=float)
    dead = np.array(failed, dtype=bool)
    if len(t) != len(dead):
        raise Invalid("Each life needs to say whether it ended or is still going on.")
    if not np.all(np.isfinite(t)) or np.any(t <= 0):
        raise Invalid("A life in cycles is not a number above 0.")
    return t, dead
