"""What cells of one battery model did before: mean and covariance of their fade, carried to the next cell.

Each cell of the fleet is looked at from several moments of its life. Seen from a moment `now`, its curve over
x = cycle/now runs from 0 to H, the band's horizon; moments are chosen so that its record reaches that far.
All these curves, and ln now beside them, are draws of one Gaussian:

    y(x) = φ(x)ᵀz + e,   e ~ N(0, v),   z ~ N(m, S)

φ are hat functions on fixed knots with one more coordinate for ln now; m, S, v maximise the likelihood of
the observations as they were made (no interpolation before fitting) times an inverse-Wishart prior whose
mean is a straight line with a once-integrated Wiener process. They are found by expectation-maximisation.
Conditioned on what a new cell has shown, the same Gaussian is the forecast. Its spread is then multiplied by
one figure for each band, so that 90 % intervals held 90 % of what cells left out of the fit did (split
conformal). Sources: G. M. James, T. J. Hastie, C. A. Sugar, Biometrika 87 (2000) 587 (reduced-rank
mixed effects for irregular curves); J. Lei et al., J. Am. Stat. Assoc. 113 (2018) 1094 (conformal).

Beside it stands the forecast from the cell alone. Both are put to the cell's own past, and weighted by the
inverse square of their scores there, after J. M. Bates, C. W. J. Granger, Oper. Res. Q. 20 (1969) 451.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from analysis.lifetime import gp
from analysis.lifetime.history import VERSION, History
from analysis.lifetime.predictive import Array, Predictive, crps_gaussian, single
from analysis.result import NotAssessable

METHOD: Final = "fleet-weighted"
CELL_ONLY: Final = "gp-linear-trend"
MINIMUM_CELLS: Final = 10
MINIMUM_OBSERVATIONS: Final = 2
LIMITS: Final = (
    "For the battery model, and the way of use, of its fleet; another chemistry's fleet misleads.",
    "It supposes that the cell goes on at least as far as cells of the fleet did from such a moment.",
    "Past about 70 % of life bands are too narrow: a knee that has not begun is foreseen only on average.",
    "Not beyond three times the cycles observed, where no figure is given.",
)
HORIZONS: Final = tuple(3.0 / 1.2**k for k in (5, 4, 3, 2, 1, 0))
MOMENTS: Final = (0.6, 0.8, 1.0)

_PAST_KNOTS: Final = 8
_AHEAD_KNOTS: Final = 8
_PER_CURVE: Final = 60
_LEAST_PER_CURVE: Final = 8
_STEPS: Final = 30
_FOLDS: Final = 5
_PRIOR_COUNT: Final = 5.0
_PRIOR_LEVEL, _PRIOR_SLOPE, _PRIOR_WANDER, _PRIOR_LOG_NOW = 0.2, 1.0, 1.2, 0.05
_COVERAGE, _NORMAL = 0.9, 1.6448536269514722
_ORIGINS: Final = (0.5, 0.65, 0.8)
_FLOOR_PCT: Final = 0.05
_ODDS: Final = 3.0
_TYPICAL: Final = 0.98
_DISTRUST: Final = 0.1


@dataclass(frozen=True, slots=True)
class Band:
    """The fitted Gaussian for forecasts up to `horizon` times the cycles seen."""

    horizon: float
    knots: Array
    mean: Array
    covariance: Array
    variance_noise: float
    widening: float
    farthest: float


@dataclass(frozen=True, slots=True)
class Fleet:
    """A fitted fleet of one battery model."""

    model: str
    cells: int
    observations: int
    lowest_pct: float
    longest_cycle: float
    bands: tuple[Band, ...]
    data_digest: str = ""


def fit(model: str, histories: Sequence[History], data_digest: str = "") -> Fleet | NotAssessable:
    """Fit a fleet to the histories of ten cells or more of one model, or say why there are too few."""
    usable = [h for h in histories if len(h.observations) >= _LEAST_PER_CURVE]
    if len(usable) < MINIMUM_CELLS:
        words = (
            f"{len(usable)} cells with at least {_LEAST_PER_CURVE} observations are too few for a fleet; "
            f"{MINIMUM_CELLS} are the least."
        )
        return NotAssessable("too-few-cells", words, METHOD, VERSION)
    bands = [band for horizon in HORIZONS if (band := _band(usable, horizon))]
    if not bands:
        words = "No record is long enough to learn from; each needs 8 observations over its moments."
        return NotAssessable("too-few-cells", words, METHOD, VERSION)
    return Fleet(
        model=model,
        cells=len(usable),
        observations=sum(len(h.observations) for h in usable),
        lowest_pct=min(o.soh_pct for h in usable for o in h.observations),
        longest_cycle=max(h.last for h in usable),
        bands=tuple(bands),
        data_digest=data_digest,
    )


@dataclass(frozen=True, slots=True)
class _Curve:
    moment: int
    now: float
    x: Array
    y: Array
    basis: Array


def _knots(horizon: float) -> Array:
    return np.concatenate([np.linspace(0, 1, _PAST_KNOTS), np.linspace(1, horizon, _AHEAD_KNOTS)[1:]])


def hats(x: Array, knots: Array) -> Array:
    """Return the hat functions at x, shape (n, knots + 1); straight on beyond the last knot."""
    at = np.clip(np.searchsorted(knots, x, side="right") - 1, 0, len(knots) - 2)
    share = (x - knots[at]) / (knots[at + 1] - knots[at])
    out = np.zeros((len(x), len(knots) + 1))
    rows = np.arange(len(x))
    out[rows, at], out[rows, at + 1] = 1 - share, share
    return out


def _with_now(basis: Array, y: Array, now: float) -> tuple[Array, Array]:
    unit = np.zeros((1, basis.shape[1]))
    unit[0, -1] = 1.0
    return np.vstack([basis, unit]), np.append(y, math.log(now))


def _curves(history: History, horizon: float, knots: Array) -> list[_Curve]:
    cycle = np.array([o.cycle for o in history.observations])
    soh = np.array([o.soh_pct for o in history.observations])
    out = []
    for which, moment in enumerate(MOMENTS):
        now = history.last * moment / horizon
        reach = cycle <= now * horizon * (1 + 1e-12)
        if now <= 0 or (cycle <= now).sum() < _LEAST_PER_CURVE // 2 or reach.sum() < _LEAST_PER_CURVE:
            continue
        picked = np.unique(np.round(np.linspace(0, reach.sum() - 1, _PER_CURVE)).astype(int))
        x, y = cycle[reach][picked] / now, soh[reach][picked]
        out.append(_Curve(which, now, x, y, hats(x, knots)))
    return out


def _prior(knots: Array) -> Array:
    s, t = np.meshgrid(knots, knots)
    low = np.minimum(s, t)
    out = np.zeros((len(knots) + 1, len(knots) + 1))
    out[:-1, :-1] = (
        _PRIOR_LEVEL + _PRIOR_SLOPE * s * t + _PRIOR_WANDER * (low**3 / 3 + np.abs(s - t) * low * low / 2)
    )
    out[-1, -1] = _PRIOR_LOG_NOW
    return out


def _gaussian(curves: Sequence[_Curve], knots: Array) -> tuple[Array, Array, float]:
    """Return m, S, v by expectation-maximisation, a fixed number of steps from a fixed start."""
    rows = [_with_now(c.basis, c.y, c.now) for c in curves]
    gram = np.array([b.T @ b for b, _ in rows])
    onto = np.array([b.T @ y for b, y in rows])
    square = np.array([y @ y for _, y in rows])
    count = sum(len(y) for _, y in rows)
    prior = _prior(knots)
    size = len(prior)
    mean = np.linalg.solve(gram.sum(axis=0) + 1e-3 * np.eye(size), onto.sum(axis=0))
    covariance, noise = 10 * prior, 0.1
    for _ in range(_STEPS):
        spread = np.linalg.inv(np.linalg.inv(covariance) + gram / noise)
        each = mean + np.einsum("jkl,jl->jk", spread, onto - gram @ mean) / noise
        mean = each.mean(axis=0)
        off = each - mean
        covariance = (spread.sum(axis=0) + off.T @ off + _PRIOR_COUNT * prior) / (len(rows) + _PRIOR_COUNT)
        rest = square - 2 * np.sum(each * onto, axis=1)
        rest += np.einsum("jk,jkl,jl->j", each, gram, each) + np.einsum("jkl,jlk->j", spread, gram)
        noise = max(float(rest.sum()) / count, 1e-4)
    return mean, (covariance + covariance.T) / 2, noise


def _band(histories: Sequence[History], horizon: float) -> Band | None:
    knots = _knots(horizon)
    cells = [curves for h in histories if (curves := _curves(h, horizon, knots))]
    if len(cells) < MINIMUM_CELLS:
        return None
    strain: dict[int, list[Array]] = {}
    distances: list[float] = []
    for fold in range(_FOLDS):
        learnt = [c for i, cell in enumerate(cells) if i % _FOLDS != fold for c in cell]
        fitted = Band(horizon, knots, *_gaussian(learnt, knots), 1.0, math.inf)
        for curve in (c for i, cell in enumerate(cells) if i % _FOLDS == fold for c in cell):
            past, ahead = curve.x <= 1, curve.x > 1
            mean, covariance, distance = _conditioned(
                fitted, curve.now, curve.x[past], curve.y[past], 0.0, curve.x[ahead]
            )
            distances.append(distance)
            sd = np.sqrt(np.diag(covariance) + fitted.variance_noise)
            strain.setdefault(curve.moment, []).append(np.abs(curve.y[ahead] - mean) / sd)
    widening = max([1.0, *(_kept(np.concatenate(each)) for each in strain.values())])
    mean, covariance, noise = _gaussian([c for cell in cells for c in cell], knots)
    farthest = float(np.quantile(distances, _TYPICAL))
    return Band(horizon, knots, mean, covariance, noise, widening, farthest)


def _kept(strain: Array) -> float:
    """Return by what to multiply the spread so that 90 % of these stay inside their 90 % intervals."""
    place = min(len(strain) - 1, math.ceil(_COVERAGE * (len(strain) + 1)) - 1)
    return float(np.sort(strain)[place]) / _NORMAL


def _conditioned(
    band: Band, now: float, x: Array, y: Array, more_noise: Array | float, at: Array
) -> tuple[Array, Array, float]:
    """Return mean and covariance of the latent curve at `at`, given observations y at x and ln now.

    And how unlike the fleet these are: their squared Mahalanobis distance over their number.
    """
    basis, value = _with_now(hats(x, band.knots), y, now)
    noise = np.append(np.broadcast_to(band.variance_noise + more_noise, x.shape), band.variance_noise)
    ahead = hats(at, band.knots)
    across = basis @ band.covariance
    half = np.linalg.inv(np.linalg.cholesky(across @ basis.T + np.diag(noise)))
    pulled = half @ across @ ahead.T
    white = half @ (value - basis @ band.mean)
    covariance = ahead @ band.covariance @ ahead.T - pulled.T @ pulled
    return ahead @ band.mean + pulled.T @ white, covariance, float(white @ white) / len(white)


def roughness(history: History) -> float:
    """Return the variance of a cell's observations about a straight line through each one's neighbours.

    Pseudo-residuals a·y_(i-1) + b·y_(i+1) - y_i over their norm; the median of their squares over 0.4549,
    that of χ²₁. Source: T. Gasser, L. Sroka, C. Jennen-Steinmetz, Biometrika 73 (1986) 625.
    """
    x = np.array([o.cycle for o in history.observations])
    y = np.array([o.soh_pct for o in history.observations])
    if len(x) < gp.MINIMUM_OBSERVATIONS:
        return 0.0
    a = (x[2:] - x[1:-1]) / (x[2:] - x[:-2])
    b = 1 - a
    rest = (a * y[:-2] + b * y[2:] - y[1:-1]) / np.sqrt(a * a + b * b + 1)
    return float(np.median(rest * rest)) / 0.4549


@dataclass(frozen=True, slots=True)
class Part:
    """One source: mean and covariance of the latent curve, noise SD, and whether it knows such cells."""

    mean: Array
    covariance: Array
    noise_sd_pct: float
    typical: bool = True


def from_fleet(history: History, fleet: Fleet, cycles: Array) -> Part | None:
    """Return the forecast from the fleet alone; None beyond its farthest horizon."""
    reach = float(cycles[-1]) / history.last
    band = next((b for b in fleet.bands if reach <= b.horizon * (1 + 1e-9)), None)
    if band is None:
        return None
    seen = history.observations
    x = np.array([o.cycle for o in seen]) / history.last
    y = np.array([o.soh_pct for o in seen])
    noise = max(band.variance_noise, roughness(history))
    more = noise - band.variance_noise + np.array([o.sd_pct for o in seen]) ** 2
    mean, covariance, distance = _conditioned(band, history.last, x, y, more, cycles / history.last)
    wide = band.widening
    return Part(mean, wide**2 * covariance, wide * math.sqrt(noise), distance <= band.farthest)


def from_cell(history: History, cycles: Array) -> Part | NotAssessable:
    """Return the forecast from the cell alone, by gp-linear-trend."""
    fitted = gp.fit(history)
    if isinstance(fitted, NotAssessable):
        return fitted
    if cycles[-1] > fitted.horizon:
        words = f"Cycle {cycles[-1]:g} lies beyond {fitted.horizon:g}, three times the observed span."
        return NotAssessable("horizon", words, CELL_ONLY, VERSION)
    mean, covariance = joint(fitted, cycles)
    return Part(mean, covariance, math.sqrt(fitted.variance_noise))


def joint(fitted: gp.Posterior, cycles: Array) -> tuple[Array, Array]:
    """Return mean and joint covariance of gp-linear-trend's latent curve on a grid."""
    t = (cycles - fitted.last) / fitted.span
    wander = fitted.variance_wander
    cross = wander * _wiener(t, fitted.x)
    basis, seen = _line(t), _line(fitted.x)
    through = basis - cross @ fitted.kernel_inverse @ seen
    covariance = (
        wander * _wiener(t, t)
        - cross @ fitted.kernel_inverse @ cross.T
        + through @ fitted.line_covariance @ through.T
    )
    return basis @ fitted.line + cross @ fitted.weights, (covariance + covariance.T) / 2


def _line(t: Array) -> Array:
    return np.column_stack([np.ones_like(t), t])


def _wiener(s: Array, t: Array) -> Array:
    left, right = np.abs(s)[:, None], np.abs(t)[None, :]
    low = np.minimum(left, right)
    return np.where(s[:, None] * t[None, :] > 0, low**3 / 3 + np.abs(left - right) * low**2 / 2, 0.0)


# Weighing both by the cell's own past


def _truncated(history: History, count: int) -> History:
    return History(history.observations[:count])


def past_scores(history: History, fleet: Fleet) -> tuple[float, float] | None:
    """Return the mean scores (CRPS) of fleet and cell alone on the cell's own past, or None if too short.

    From three earlier moments both forecast what the cell then did.
    """
    total = len(history.observations)
    fleet_scores, cell_scores = [], []
    for origin in _ORIGINS:
        count = round(origin * total)
        if count < gp.MINIMUM_OBSERVATIONS or count >= total:
            continue
        past = _truncated(history, count)
        held = history.observations[count:]
        reach = min(past.last * HORIZONS[-1], past.last + 2 * (past.last - past.first))
        held = tuple(o for o in held if o.cycle <= reach)
        if not held:
            continue
        at = np.array([o.cycle for o in held])
        y = np.array([o.soh_pct for o in held])
        by_fleet, by_cell = from_fleet(past, fleet, at), from_cell(past, at)
        if by_fleet is None:
            continue
        fleet_scores.append(_score(by_fleet, y))
        cell_scores.append(
            _score(by_cell, y) if not isinstance(by_cell, NotAssessable) else np.abs(y - _level(past))
        )
    if not fleet_scores:
        return None
    c_fleet = max(float(np.concatenate(fleet_scores).mean()), _FLOOR_PCT)
    c_cell = max(float(np.concatenate(cell_scores).mean()), _FLOOR_PCT)
    return c_fleet, c_cell


def fleet_share(history: History, fleet: Fleet) -> float:
    """Return the fleet's weight o/(1 + o) beside the cell alone, o = 3 (C_cell/C_fleet)².

    C are the mean scores on the cell's own past; 3, the odds before they are asked, because a fleet of
    the very model has seen the later life of which the cell's past can tell nothing.
    """
    scores = past_scores(history, fleet)
    odds = _ODDS * (scores[1] / scores[0]) ** 2 if scores else _ODDS
    return odds / (1 + odds)


def _level(history: History) -> float:
    return history.observations[-1].soh_pct


def _score(made: Part, y: Array) -> Array:
    sd = np.sqrt(np.maximum(np.diag(made.covariance), 0) + made.noise_sd_pct**2)
    return crps_gaussian(y, made.mean, sd)


def forecast(
    history: History, cycles: tuple[float, ...], fleet: Fleet | None = None, model: str = ""
) -> Predictive | NotAssessable:
    """Forecast by fleet and cell together, or by what there is of the two, or say why neither can.

    A fleet of another model than the cell's is not used.
    """
    grid = np.array(cycles)
    alone = from_cell(history, grid)
    if fleet is None or (model and model != fleet.model):
        if isinstance(alone, NotAssessable) or fleet is None:
            return _cell_only(alone, cycles, ())
        words = f"The fleet is of model {fleet.model}, the cell of {model}: by the cell's own past alone."
        return _cell_only(alone, cycles, (words,))
    no = _refusal(history)
    if no:
        return no
    lot = from_fleet(history, fleet, grid)
    if lot is None:
        if isinstance(alone, NotAssessable):
            return alone
        reach = fleet.bands[-1].horizon * history.last
        return _no("horizon", f"Cycle {cycles[-1]:g} lies beyond {reach:g}, where the fleet's reach ends.")
    if isinstance(alone, NotAssessable):
        if not lot.typical:
            return _no(
                "unlike", f"No cell of the fleet that went on as far was like this one. And: {alone.words}"
            )
        words = f"By the fleet alone; the cell's own past gives no forecast: {alone.words}"
        return _mixture(cycles, fleet, (lot,), np.ones(1), (words,))
    if not lot.typical:
        words = "No cell of the fleet that went on as far was like this one: by its own past alone."
        return _cell_only(alone, cycles, (words,))
    share = fleet_share(history, fleet)
    warnings: tuple[str, ...] = ()
    if share < _DISTRUST:
        warnings = ("The fleet foretold this cell's own past badly; it counts for little here.",)
    return _mixture(cycles, fleet, (lot, alone), np.array([share, 1 - share]), warnings)


def _refusal(history: History) -> NotAssessable | None:
    if len(history.observations) < MINIMUM_OBSERVATIONS or history.last <= 0:
        return _no("too-few", f"{MINIMUM_OBSERVATIONS} observations are the least, with cycles between.")
    soh = [o.soh_pct for o in history.observations]
    if min(soh) == max(soh):
        return _no("constant", "The state of health never changed; there is no fade to carry forward.")
    return None


def _cell_only(
    alone: Part | NotAssessable, cycles: tuple[float, ...], warnings: tuple[str, ...]
) -> Predictive | NotAssessable:
    if isinstance(alone, NotAssessable):
        return alone
    made = single(cycles, alone.mean, alone.covariance, alone.noise_sd_pct, CELL_ONLY, VERSION, gp.LIMITS[:3])
    return replace(made, warnings=warnings, notes=(("fleet weight", 0.0),))


def _mixture(
    cycles: tuple[float, ...],
    fleet: Fleet,
    parts: tuple[Part, ...],
    weights: Array,
    warnings: tuple[str, ...],
) -> Predictive:
    means = np.array([p.mean for p in parts])
    if float((weights @ means).min()) < fleet.lowest_pct:
        warnings += (f"Below {fleet.lowest_pct:.4g} %, where no cell of the fleet has been seen.",)
    return Predictive(
        cycles=cycles,
        weights=weights,
        means=means,
        covariances=np.array([p.covariance for p in parts]),
        noise_sd_pct=math.sqrt(float(weights @ np.array([p.noise_sd_pct**2 for p in parts]))),
        method=METHOD,
        version=VERSION,
        limits=LIMITS,
        warnings=warnings,
        notes=(("fleet weight", float(weights[0])), ("fleet cells", float(fleet.cells))),
    )


def _no(reason: str, words: str) -> NotAssessable:
    return NotAssessable(reason, words, METHOD, VERSION)
