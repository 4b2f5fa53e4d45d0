"""Gaussian-process regression of fade: a straight line, a slow wander about it, and noise.

    y_i = f(x_i) + e_i,    f(x) = a + b·x + s_w·W(x),    e_i ~ N(0, s_n² + sd_i²)

x = (cycle - last) / (last - first), dimensionless; y in % state of health; a, b flat priors; W the
once-integrated Wiener process, started at the last observation and running both ways: on one side
cov W(s), W(t) = m³/3 + ||s| - |t||·m²/2 with m = min(|s|, |t|), across the two sides 0. With a flat prior
on the line the model is the same wherever W starts; started there, a forecast is the line alone plus
s_w²·x³/3 of variance, and no two large numbers are subtracted. The mean of f is the cubic smoothing
spline. Source: C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006),
sections 2.7 and 6.3.1.

ln s_w² and ln s_n² maximise the restricted likelihood times weak log-normal priors, found by Newton's
method from the best point of a fixed grid: no random number anywhere. The priors keep the optimum
inside and round, so that two machines reach the same one well within the stated tolerance.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import numpy as np

from analysis.lifetime.history import VERSION, History
from analysis.result import NotAssessable
from schemas.errors import Invalid

METHOD = "gp-linear-trend"
RELATIVE_TOLERANCE = 1e-9
MINIMUM_OBSERVATIONS = 5
MAXIMUM_OBSERVATIONS = 500
HORIZON_SPANS = 3.0
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
LIMITS = (
    "Not beyond three times the observed span of cycles, where no figure is given.",
    "Less sure than it says past about 70 % of life: a knee that has not begun is not foreseen.",
    "It knows this cell alone; a fleet of the same model forecasts better.",
    "Each cycle's distribution stands alone; the cost of a warranty needs whole paths.",
)

type Array = np.ndarray[Any, np.dtype[np.float64]]

# Medians of s_w (% per span^1.5) and s_n (%), and spreads of the logarithm of their squares. Fade bends
# later than it has been seen to, so the prior of the wander is on the generous side and the narrower one.
_PRIOR_MEAN = np.log(np.array([10.0, 0.3]) ** 2)
_PRIOR_SD = np.array([1.0, 2.0])
_GRID_SD = np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0])
_NEWTON_STEPS = 100
_NEWTON_STOP = 1e-9


@dataclass(frozen=True, slots=True)
class EndOfLife:
    """Cycles at which the latent curve falls below the threshold with 5, 50, 95 % probability; None: later.

    Each is read off that cycle's own distribution, so `earliest` is a little late for a first passage.
    """

    threshold_pct: float
    earliest: float | None
    median: float | None
    latest: float | None


@dataclass(frozen=True, slots=True)
class Forecast:
    """The predictive distribution of the latent curve on a grid of cycles; `noise_sd_pct` is not in it."""

    cycles: tuple[float, ...]
    mean_pct: tuple[float, ...]
    sd_pct: tuple[float, ...]
    noise_sd_pct: float
    end_of_life: EndOfLife
    method: str = METHOD
    version: str = VERSION
    limits: tuple[str, ...] = LIMITS

    def quantiles_pct(self, level: float) -> tuple[float, ...]:
        """Return the latent curve's quantile at `level` for each cycle."""
        z = _normal_quantile(level)
        return tuple(m + z * s for m, s in zip(self.mean_pct, self.sd_pct, strict=True))

    def observed_sd_pct(self) -> tuple[float, ...]:
        """Return the standard deviation of a new observation, noise included, for each cycle."""
        return tuple(math.hypot(s, self.noise_sd_pct) for s in self.sd_pct)


@dataclass(frozen=True, slots=True)
class Posterior:
    """The fitted curve: it answers for any cycle up to its horizon."""

    last: float
    span: float
    x: Array
    variance_wander: float
    variance_noise: float
    weights: Array
    line: Array
    kernel_inverse: Array
    line_covariance: Array

    @property
    def first(self) -> float:
        """Return the first cycle the method answers for."""
        return self.last - self.span

    @property
    def horizon(self) -> float:
        """Return the last cycle the method answers for."""
        return self.last + (HORIZON_SPANS - 1) * self.span

    def latent(self, cycles: Array) -> tuple[Array, Array]:
        """Return mean and standard deviation (%) of the noise-free curve at `cycles`, shape (m,)."""
        t = (cycles - self.last) / self.span
        cross = self.variance_wander * _integrated_wiener(t, self.x)
        basis = _line(t)
        through = basis - cross @ self.kernel_inverse @ _line(self.x)
        variance = (
            self.variance_wander * np.abs(t) ** 3 / 3
            - np.einsum("ij,jk,ik->i", cross, self.kernel_inverse, cross)
            + np.einsum("ij,jk,ik->i", through, self.line_covariance, through)
        )
        return basis @ self.line + cross @ self.weights, np.sqrt(np.maximum(variance, 0.0))


def fit(history: History) -> Posterior | NotAssessable:
    """Fit the curve to a history, or say why this method cannot."""
    seen = history.observations
    if len(seen) < MINIMUM_OBSERVATIONS:
        return _no("too-few", f"{len(seen)} observations are too few; {MINIMUM_OBSERVATIONS} are the least.")
    if len(seen) > MAXIMUM_OBSERVATIONS:
        raise Invalid("{count} observations are too many; {most} are the most.", count=len(seen), most=500)
    span = history.last - history.first
    x = (np.array([o.cycle for o in reversed(seen)]) - history.last) / span
    y = np.array([o.soh_pct for o in reversed(seen)])
    known = np.array([o.sd_pct for o in reversed(seen)]) ** 2
    if np.ptp(y) == 0:
        return _no("constant", "The state of health never changed; there is no fade to carry forward.")
    if np.polyfit(x, y, 1)[0] >= 0:
        return _no("rising", "The state of health rises over the history; this method is for fade.")
    wander = _integrated_wiener(x, x)
    basis = _line(x)
    theta = _maximum(wander, known, basis, y)
    variance_wander, variance_noise = (float(v) for v in np.exp(theta))
    inverse = np.linalg.inv(variance_wander * wander + np.diag(variance_noise + known))
    line_covariance = np.linalg.inv(basis.T @ inverse @ basis)
    line = line_covariance @ basis.T @ inverse @ y
    if line[1] >= 0:
        return _no("rising", "At the end of the history the state of health rises; there is no fade.")
    return Posterior(
        last=history.last,
        span=span,
        x=x,
        variance_wander=variance_wander,
        variance_noise=variance_noise,
        weights=inverse @ (y - basis @ line),
        line=line,
        kernel_inverse=inverse,
        line_covariance=line_covariance,
    )


def forecast(
    history: History, cycles: tuple[float, ...], threshold_pct: float = 70.0
) -> Forecast | NotAssessable:
    """Forecast state of health at `cycles` and the end of life at `threshold_pct`, or say why not.

    Raises Invalid for a grid that is empty, not finite, not rising or before the first observation,
    or a threshold not between 0 and 100 %.
    """
    _check_grid(history, cycles, threshold_pct)
    posterior = fit(history)
    if isinstance(posterior, NotAssessable):
        return posterior
    if cycles[-1] > posterior.horizon:
        return _no(
            "horizon",
            f"Cycle {cycles[-1]:g} lies beyond {posterior.horizon:g}, three times the observed span.",
        )
    mean, sd = posterior.latent(np.array(cycles))
    if mean.min() <= 0:
        return _no("exhausted", f"The curve falls to nothing before cycle {cycles[-1]:g}.")
    return Forecast(
        cycles=cycles,
        mean_pct=tuple(map(float, mean)),
        sd_pct=tuple(map(float, sd)),
        noise_sd_pct=math.sqrt(posterior.variance_noise),
        end_of_life=_end_of_life(posterior, threshold_pct),
    )


def _check_grid(history: History, cycles: tuple[float, ...], threshold_pct: float) -> None:
    if not cycles or not all(map(math.isfinite, cycles)):
        raise Invalid("A forecast needs cycles, each a finite number.")
    if any(b <= a for a, b in pairwise(cycles)) or cycles[0] < history.first:
        raise Invalid("The cycles of a forecast rise, from the first observation on.")
    if not 0 < threshold_pct < 100:  # noqa: PLR2004 - per cent
        raise Invalid("The threshold {threshold:g} % is not between 0 and 100 %.", threshold=threshold_pct)


def _no(reason: str, words: str) -> NotAssessable:
    return NotAssessable(reason, words, METHOD, VERSION)


def _line(t: Array) -> Array:
    return np.column_stack([np.ones_like(t), t])


def _integrated_wiener(s: Array, t: Array) -> Array:
    left, right = np.abs(s)[:, None], np.abs(t)[None, :]
    low = np.minimum(left, right)
    one_side = s[:, None] * t[None, :] > 0
    return np.where(one_side, low**3 / 3 + np.abs(left - right) * low**2 / 2, 0.0)


def _objective(
    theta: Array, wander: Array, known: Array, basis: Array, y: Array
) -> tuple[float, Array, Array, Array]:
    """Return the penalised negative log restricted likelihood, its gradient, Hessian and Fisher information.

    With P = K⁻¹ - K⁻¹H(HᵀK⁻¹H)⁻¹HᵀK⁻¹ and K_i = ∂K/∂θ_i = exp(θ_i)·(part i):
    gradient ½[tr(P K_i) - yᵀP K_i P y], Hessian -½ tr(P K_i P K_j) + yᵀP K_i P K_j P y plus the
    gradient itself on the diagonal, Fisher information ½ tr(P K_i P K_j).
    """
    parts = (math.exp(theta[0]) * wander, math.exp(theta[1]) * np.eye(len(y)))
    kernel = parts[0] + parts[1] + np.diag(known)
    inverse = np.linalg.inv(kernel)
    normal = basis.T @ inverse @ basis
    p = inverse - inverse @ basis @ np.linalg.solve(normal, basis.T @ inverse)
    py = p @ y
    pulled = (theta - _PRIOR_MEAN) / _PRIOR_SD**2
    value = 0.5 * (np.linalg.slogdet(kernel)[1] + np.linalg.slogdet(normal)[1] + y @ py)
    value += 0.5 * float((theta - _PRIOR_MEAN) @ pulled)
    pk = [p @ part for part in parts]
    kpy = [part @ py for part in parts]
    slope = np.array([0.5 * (np.trace(pk[i]) - py @ kpy[i]) for i in (0, 1)])
    traces = np.array([[0.5 * np.sum(pk[i] * pk[j].T) for j in (0, 1)] for i in (0, 1)])
    bends = np.array([[kpy[i] @ p @ kpy[j] for j in (0, 1)] for i in (0, 1)])
    prior = np.diag(1 / _PRIOR_SD**2)
    hessian = bends - traces + np.diag(slope) + prior
    return float(value), slope + pulled, hessian, traces + prior


def _maximum(wander: Array, known: Array, basis: Array, y: Array) -> Array:
    """Return the ln variances at the optimum: Newton's steps, Fisher's where the surface is not convex."""
    data = (wander, known, basis, y)
    starts = [_PRIOR_MEAN + _PRIOR_SD * np.array([i, j]) for i in _GRID_SD for j in _GRID_SD]
    theta: Array = min(starts, key=lambda start: _objective(start, *data)[0])
    value, gradient, hessian, fisher = _objective(theta, *data)
    for _ in range(_NEWTON_STEPS):
        convex = hessian[0, 0] > 0 and np.linalg.det(hessian) > 0
        step = np.linalg.solve(hessian if convex else fisher, gradient)
        length = 1.0 / max(1.0, float(np.abs(step).max()) / 2)
        # Near the optimum the value is all rounding; there the gradient alone leads on.
        slack = 1e-8 * max(1.0, abs(value))
        while True:
            after = _objective(theta - length * step, *data)
            if after[0] <= value + slack or length < _NEWTON_STOP:
                break
            length /= 2
        theta = theta - length * step
        value, gradient, hessian, fisher = after
        if float(np.abs(length * step).max()) < _NEWTON_STOP:
            break
    return theta


def _end_of_life(posterior: Posterior, threshold_pct: float) -> EndOfLife:
    earliest, median, latest = (
        _crossing(posterior, threshold_pct, _normal_quantile(level)) for level in (0.05, 0.5, 0.95)
    )
    return EndOfLife(threshold_pct, earliest, median, latest)


def _crossing(posterior: Posterior, threshold_pct: float, z: float) -> float | None:
    """Return the first cycle at which mean + z·sd falls to the threshold, or None."""

    def above(cycle: float) -> bool:
        mean, sd = posterior.latent(np.array([cycle]))
        return bool(mean[0] + z * sd[0] > threshold_pct)

    cycles = np.linspace(posterior.first, posterior.horizon, 601)
    mean, sd = posterior.latent(cycles)
    below = np.flatnonzero(mean + z * sd <= threshold_pct)
    if below.size == 0:
        return None
    at = int(below[0])
    if at == 0:
        return float(cycles[0])
    low, high = float(cycles[at - 1]), float(cycles[at])
    while high - low > 1e-10 * posterior.span:
        middle = (low + high) / 2
        low, high = (middle, high) if above(middle) else (low, middle)
    return (low + high) / 2


def _normal_quantile(level: float) -> float:
    return NormalDist().inv_cdf(level)
