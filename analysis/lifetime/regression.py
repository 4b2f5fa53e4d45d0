"""Gaussian-process regression of one cell's fade, by three ways of choosing the hyperparameters.

    y_i = h(x_i)ᵀb + f(x_i) + e_i,   f ~ GP(0, s² k(|x - x'|/ℓ)),   e_i ~ N(0, n² + sd_i²)

x and y are standardised by the mean and standard deviation of the observations. h is nothing (a constant of
zero after standardising) or a line with a flat prior, whose restricted likelihood is then maximised.

    RBF          k(r) = exp(-r²/2)
    Matérn-3/2   k(r) = (1 + √3 r) exp(-√3 r)

The latent f leaves the noise out, in the covariance of a forecast with the data as in that of the forecast
with itself: at an observed x its variance is small but not nothing. A new observation has it.
Source: C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), 2.2, 2.7, 5.4.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from analysis.lifetime.history import VERSION, History
from analysis.lifetime.predictive import Array, Predictive, single
from analysis.result import NotAssessable

MINIMUM_OBSERVATIONS: Final = 5
MAXIMUM_OBSERVATIONS: Final = 500
# The source's kernel is θ1·exp(-d²/θ2) + θ3·δ, so ℓ² = θ2/2.
DEFAULT_THETA: Final = (1.0, 0.4, 0.1)
INTERPOLATION: Final = "Between observations only: beyond the last one it returns to its mean."
LIMITS: Final = (
    "Not beyond three times the observed span of cycles, where no figure is given.",
    "Less sure than it says past about 70 % of life: a knee that has not begun is not foreseen.",
    "It knows this cell alone, and nothing of its model or chemistry.",
)
HORIZON_SPANS: Final = 3.0

type Kernel = Literal["rbf", "matern32"]

# ln of s², ℓ, n² in standardised units.
_LOWER: Final = np.log(np.array([1e-3, 0.05, 1e-6]))
_UPPER: Final = np.log(np.array([1e3, 20.0, 1.0]))
_COARSE_LENGTHS: Final = np.exp(np.linspace(math.log(0.1), math.log(15.0), 9))
_RIVAL: Final = 6.0
_COARSE_RATIOS: Final = np.exp(np.linspace(math.log(1e-7), math.log(10.0), 12))
_STEPS: Final = 60
_STOP: Final = 1e-6
_SQRT3: Final = math.sqrt(3.0)
_MATRIX: Final = 2


@dataclass(frozen=True, slots=True)
class Standardised:
    """One cell's observations in standard units."""

    x: Array
    y: Array
    known: Array
    basis: Array
    x_mean: float
    x_sd: float
    y_mean: float
    y_sd: float


def standardise(history: History, line: bool) -> Standardised:
    """Return the observations standardised by their own mean and standard deviation."""
    cycle = np.array([o.cycle for o in history.observations])
    soh = np.array([o.soh_pct for o in history.observations])
    sd = np.array([o.sd_pct for o in history.observations])
    x_sd, y_sd = float(cycle.std()), float(soh.std())
    x, y = (cycle - cycle.mean()) / x_sd, (soh - soh.mean()) / y_sd
    basis = _basis(x, line)
    return Standardised(x, y, np.square(sd / y_sd), basis, float(cycle.mean()), x_sd, float(soh.mean()), y_sd)


def _basis(x: Array, line: bool) -> Array:
    return np.column_stack([np.ones_like(x), x]) if line else np.zeros((len(x), 0))


def correlation(distance: Array, length: float, kernel: Kernel) -> tuple[Array, Array]:
    """Return k(d/ℓ) and its derivative by ln ℓ."""
    r = distance / length
    if kernel == "rbf":
        square = r * r
        k = np.exp(-0.5 * square)
        return k, square * k
    fall = np.exp(-_SQRT3 * r)
    return (1 + _SQRT3 * r) * fall, 3 * r * r * fall


def objective(theta: Array, distance: Array, data: Standardised, kernel: Kernel) -> tuple[float, Array]:
    """Return the negative log (restricted) likelihood and its gradient by ln s², ln ℓ, ln n².

    With P = K⁻¹ - K⁻¹H(HᵀK⁻¹H)⁻¹HᵀK⁻¹ and K_i = ∂K/∂θ_i the gradient is ½[tr(P K_i) - yᵀP K_i P y].
    """
    signal, length, noise = (float(v) for v in np.exp(theta))
    k, by_length = correlation(distance, length, kernel)
    count = len(data.y)
    diagonal = np.arange(count)
    full = signal * k
    full[diagonal, diagonal] += noise + data.known
    lower = np.linalg.cholesky(full)
    p = np.linalg.inv(full)
    value = float(np.log(lower[diagonal, diagonal]).sum())
    if data.basis.shape[1]:
        pushed = p @ data.basis
        normal = data.basis.T @ pushed
        p = p - pushed @ np.linalg.solve(normal, pushed.T)
        value += 0.5 * float(np.linalg.slogdet(normal)[1])
    py = p @ data.y
    value += 0.5 * float(data.y @ py) + 0.5 * (count - data.basis.shape[1]) * math.log(2 * math.pi)
    inner = p - np.outer(py, py)
    gradient = 0.5 * np.array(
        [
            signal * np.vdot(inner, k),
            signal * np.vdot(inner, by_length),
            noise * np.trace(inner),
        ]
    )
    return value, gradient


def maximise(data: Standardised, kernel: Kernel) -> Array:
    """Return ln s², ln ℓ, ln n² at the best optimum in fixed bounds, from the two best valleys of a grid."""
    distance = np.abs(data.x[:, None] - data.x[None])
    found = [_climb(start, distance, data, kernel) for start in _valleys(distance, data, kernel)]
    return min(found, key=lambda end: end[0])[1]


def _valleys(distance: Array, data: Standardised, kernel: Kernel) -> list[Array]:
    """Return where to start: for each ℓ of a grid the best n²/s², s² in closed form; of these the valleys.

    The second valley counts where its -2 ln L comes within 6 of the first's. One decomposition for each ℓ
    serves all ratios, as in `by_quadrature`; known variances wait for the climb.
    """
    k = np.array([correlation(distance, float(length), kernel)[0] for length in _COARSE_LENGTHS])
    y = data.y
    if data.basis.shape[1]:
        contrasts = np.linalg.svd(data.basis.T)[2][data.basis.shape[1] :]
        k, y = contrasts @ k @ contrasts.T, contrasts @ y
    values, vectors = np.linalg.eigh(k)
    square = np.square(y @ vectors)
    total = np.maximum(values, 0.0)[:, None, :] + _COARSE_RATIOS[:, None]
    signal = (square[:, None, :] / total).mean(axis=2)
    score = len(y) * np.log(signal) + np.log(total).sum(axis=2)
    ratio = score.argmin(axis=1)
    low = score[np.arange(len(score)), ratio]
    padded = np.concatenate([[np.inf], low, [np.inf]])
    valleys = np.flatnonzero((low <= padded[:-2]) & (low <= padded[2:]))
    best = valleys[np.argsort(low[valleys], kind="stable")][:2]
    best = best[low[best] <= low[best[0]] + _RIVAL]
    starts = [
        np.log(
            np.array(
                [
                    signal[i, ratio[i]],
                    _COARSE_LENGTHS[i],
                    signal[i, ratio[i]] * _COARSE_RATIOS[ratio[i]],
                ]
            )
        )
        for i in best
    ]
    return [np.clip(start, _LOWER, _UPPER) for start in starts]


def _climb(start: Array, distance: Array, data: Standardised, kernel: Kernel) -> tuple[float, Array]:
    """Follow BFGS steps, clipped to the box; variables held at a bound leave the step."""
    theta = start.copy()
    value, gradient = objective(theta, distance, data, kernel)
    # Of the order of the Fisher information's inverse: n² is told by each observation, s² by few.
    first = np.diag([1.0, 0.1, 2.0 / len(data.y)])
    inverse = first
    for _ in range(_STEPS):
        held = ((theta <= _LOWER) & (gradient > 0)) | ((theta >= _UPPER) & (gradient < 0))
        free = np.where(held, 0.0, gradient)
        if float(np.abs(free).max()) < _STOP:
            break
        step = np.where(held, 0.0, inverse @ free)
        if float(step @ free) <= 0:
            inverse, step = first, first @ free
        step = step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        length = 1.0
        while True:
            there = np.clip(theta - length * step, _LOWER, _UPPER)
            after, slope = objective(there, distance, data, kernel)
            if after <= value - 1e-4 * float(free @ (theta - there)) or length < _STOP:
                break
            length *= 0.3
        moved, turned = there - theta, slope - gradient
        if after > value or float(np.abs(moved).max()) < _STOP * _STOP:
            break
        along = float(moved @ turned)
        if along > 1e-12:  # noqa: PLR2004 - rounding
            push = np.eye(3) - np.outer(moved, turned) / along
            inverse = push @ inverse @ push.T + np.outer(moved, moved) / along
        theta, value, gradient = there, after, slope
    return value, theta


def latent(data: Standardised, theta: Array, at: Array, kernel: Kernel, line: bool) -> tuple[Array, Array]:
    """Return mean (m,) and covariance (m, m) of the noise-free curve at cycles `at`, in % state of health."""
    signal, length, noise = (float(v) for v in np.exp(theta))
    t = (at - data.x_mean) / data.x_sd
    full = signal * correlation(np.abs(data.x[:, None] - data.x[None]), length, kernel)[0]
    full[np.diag_indices_from(full)] += noise + data.known
    cross = signal * correlation(np.abs(t[:, None] - data.x[None]), length, kernel)[0]
    own = signal * correlation(np.abs(t[:, None] - t[None]), length, kernel)[0]
    half = np.linalg.inv(np.linalg.cholesky(full))
    pulled = half @ cross.T
    white = half @ data.y
    mean = pulled.T @ white
    covariance = own - pulled.T @ pulled
    if line:
        basis = half @ data.basis
        normal = np.linalg.inv(basis.T @ basis)
        b = normal @ basis.T @ white
        through = _basis(t, line) - pulled.T @ basis
        mean = mean + through @ b
        covariance = covariance + through @ normal @ through.T
    return data.y_mean + data.y_sd * mean, data.y_sd**2 * covariance


def refusal(history: History, cycles: tuple[float, ...], method: str) -> NotAssessable | None:
    """Return why no curve can be fitted to this history or carried as far, if so."""
    seen = history.observations
    if len(seen) < MINIMUM_OBSERVATIONS:
        words = f"{len(seen)} observations are too few; {MINIMUM_OBSERVATIONS} are the least."
        return NotAssessable("too-few", words, method, VERSION)
    if len(seen) > MAXIMUM_OBSERVATIONS:
        words = f"{len(seen)} observations are too many; {MAXIMUM_OBSERVATIONS} are the most."
        return NotAssessable("too-many", words, method, VERSION)
    soh = np.array([o.soh_pct for o in seen])
    if np.ptp(soh) == 0:
        words = "The state of health never changed; there is no fade to carry forward."
        return NotAssessable("constant", words, method, VERSION)
    cycle = np.array([o.cycle for o in seen])
    if float((cycle - cycle.mean()) @ (soh - soh.mean())) >= 0:
        words = "The state of health rises over the history; there is no fade to carry forward."
        return NotAssessable("rising", words, method, VERSION)
    horizon = history.last + (HORIZON_SPANS - 1) * (history.last - history.first)
    if cycles[-1] > horizon:
        words = f"Cycle {cycles[-1]:g} lies beyond {horizon:g}, three times the observed span."
        return NotAssessable("horizon", words, method, VERSION)
    return None


def by_default(history: History, cycles: tuple[float, ...]) -> Predictive | NotAssessable:
    """Forecast with the framework's default hyperparameters, whatever the data say."""
    no = refusal(history, cycles, "gp-default")
    if no:
        return no
    signal, square, noise = DEFAULT_THETA
    theta = np.log(np.array([signal, math.sqrt(square / 2), noise]))
    return _forecast(history, cycles, theta, "rbf", False, "gp-default", (INTERPOLATION, *LIMITS))


def by_likelihood(
    history: History, cycles: tuple[float, ...], kernel: Kernel = "rbf", line: bool = False
) -> Predictive | NotAssessable:
    """Forecast with the hyperparameters under which the observations are most likely."""
    method = f"gp-ml-{kernel}" + ("-line" if line else "")
    no = refusal(history, cycles, method)
    if no:
        return no
    theta = maximise(standardise(history, line), kernel)
    limits = LIMITS if line else (INTERPOLATION, *LIMITS)
    return _forecast(history, cycles, theta, kernel, line, method, limits)


def _forecast(
    history: History,
    cycles: tuple[float, ...],
    theta: Array,
    kernel: Kernel,
    line: bool,
    method: str,
    limits: tuple[str, ...],
) -> Predictive:
    data = standardise(history, line)
    mean, covariance = latent(data, theta, np.array(cycles), kernel, line)
    noise = data.y_sd * math.exp(0.5 * float(theta[2]))
    return single(cycles, mean, covariance, noise, method, VERSION, limits)


# Bayesian quadrature

_LENGTHS: Final = np.exp(np.linspace(math.log(0.3), math.log(10.0), 15))
_SIGNALS: Final = np.exp(np.linspace(math.log(0.02), math.log(300.0), 15))
_NOISES: Final = np.exp(np.linspace(math.log(1e-6), math.log(0.3), 19))
# ln-normal priors of s², ℓ, n² in standardised units: medians and spreads of the logarithm.
PRIOR_MEAN: Final = np.log(np.array([1.0, 2.0, 3e-3]))
PRIOR_SD: Final = np.array([2.0, 1.0, 2.5])
_CARRIED: Final = 0.995
_MOST_KEPT: Final = 400


def by_quadrature(history: History, cycles: tuple[float, ...]) -> Predictive | NotAssessable:
    """Forecast with every hyperparameter of a fixed grid, each weighted by its posterior probability.

    p(θ|y) ∝ N(Qy; 0, s²λ(ℓ) + n²) p(θ), where A R(ℓ) Aᵀ = QᵀλQ is decomposed once for each ℓ. A's rows are
    orthonormal contrasts that annul the line, so that this is the restricted likelihood. The likeliest
    nodes that together carry 99.5 % of the weight are kept, at most 400, and made to sum to one. (The 24 of
    version 1.0 carried half of it, and its intervals were a tenth too narrow.) Known measurement variances
    enter by their mean.
    """
    no = refusal(history, cycles, "gp-bayes")
    if no:
        return no
    data = standardise(history, True)
    contrasts = np.linalg.svd(data.basis.T)[2][_MATRIX:]
    distance = np.abs(data.x[:, None] - data.x[None])
    seen = float(data.known.mean())
    log = np.empty((len(_LENGTHS), len(_SIGNALS), len(_NOISES)))
    for i, length in enumerate(_LENGTHS):
        k = correlation(distance, float(length), "rbf")[0]
        values, vectors = np.linalg.eigh(contrasts @ k @ contrasts.T)
        square = np.square(vectors.T @ (contrasts @ data.y))
        total = _SIGNALS[:, None, None] * np.maximum(values, 0.0) + (_NOISES + seen)[None, :, None]
        log[i] = -0.5 * np.sum(np.log(total) + square / total, axis=2)
    for axis, grid in enumerate((_LENGTHS, _SIGNALS, _NOISES)):
        which = (1, 0, 2)[axis]
        pulled = -0.5 * np.square((np.log(grid) - PRIOR_MEAN[which]) / PRIOR_SD[which])
        log += pulled.reshape([-1 if a == axis else 1 for a in range(3)])
    weight = np.exp(log - log.max()).ravel()
    likeliest = np.argsort(-weight, kind="stable")[:_MOST_KEPT]
    enough = int(np.searchsorted(np.cumsum(weight[likeliest]), _CARRIED * weight.sum())) + 1
    best = likeliest[:enough]
    share = weight[best] / weight[best].sum()
    carried = float(weight[best].sum() / weight.sum())
    means, covariances, noise = [], [], 0.0
    for node, part in zip(best, share, strict=True):
        at_length, at_signal, at_noise = np.unravel_index(int(node), log.shape)
        theta = np.log(np.array([_SIGNALS[at_signal], _LENGTHS[at_length], _NOISES[at_noise]]))
        mean, covariance = latent(data, theta, np.array(cycles), "rbf", True)
        means.append(mean)
        covariances.append(covariance)
        noise += float(part) * float(_NOISES[at_noise]) * data.y_sd**2
    return Predictive(
        cycles=cycles,
        weights=share,
        means=np.array(means),
        covariances=np.array(covariances),
        noise_sd_pct=math.sqrt(noise),
        method="gp-bayes",
        version=VERSION,
        limits=LIMITS,
        notes=(("quadrature weight carried", carried),),
    )
