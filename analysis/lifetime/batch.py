"""Many cells at once: the Gaussian process by maximum likelihood for a whole lot, on one core.

The model is that of gp-ml-rbf. For one length scale ℓ the correlation matrix is decomposed once,
R(ℓ) = Q diag(λ) Qᵀ; then, with z = Qᵀy and the ratio g = n²/s²,

    s²(ℓ, g) = (1/N) Σ z_i²/(λ_i + g),    -2 ln L = N ln s² + Σ ln(λ_i + g) + N (1 + ln 2π)

needs no more matrices. The log likelihood reached lies within 0.1 of the best. Known measurement variances
are not used.

Cells checked at the same places of their span (standardised cycles equal) share the decompositions, and ln g
is refined by Newton's steps at each of 28 ℓ. Others go through `lanes`, with the extra `fast` (Numba);
without it they are decomposed in one stacked call for each ℓ, which takes ten times as long and more.
Source: C. E. Rasmussen, C. K. I. Williams (2006), section 5.4.1.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

import numpy as np

from analysis.lifetime.predictive import Array
from schemas.errors import Invalid

LENGTHS: Final = np.exp(np.linspace(np.log(0.1), np.log(20.0), 28))
_RATIOS: Final = np.exp(np.linspace(np.log(1e-8), np.log(10.0), 12))
_LOWEST, _HIGHEST = float(np.log(1e-9)), float(np.log(1e3))
_NEWTON_STEPS: Final = 4
_FINE: Final = 1e-12
_BLOCK: Final = 2048
_MATRIX: Final = 2


@dataclass(frozen=True, slots=True)
class Fits:
    """Fitted hyperparameters, one for each cell, in standardised units, and what a forecast needs."""

    length: Array
    signal: Array
    noise: Array
    log_likelihood: Array
    x: Array
    weights: Array
    x_mean: Array
    x_sd: Array
    y_mean: Array
    y_sd: Array

    def forecast(self, cycles: Array) -> Array:
        """Return the mean at cycles, shape (cells, m), in % state of health."""
        out = np.empty(cycles.shape)
        for part in _parts(len(out)):
            out[part] = (self._cross(cycles, part) @ self.weights[part, :, None])[:, :, 0]
        out *= (self.signal * self.y_sd)[:, None]
        out += self.y_mean[:, None]
        return out

    def deviation(self, cycles: Array) -> Array:
        """Return the standard deviation of an observation at cycles, shape (cells, m), in % state of health.

        That of the noise-free curve is √(sd² - noise·y_sd²).
        """
        out = np.empty(cycles.shape)
        diagonal = np.arange(self.x.shape[1])
        for part in _parts(len(out)):
            cross = self._cross(cycles, part)
            own = _correlation(self.x[part] / self.length[part, None], 1.0)
            own[:, diagonal, diagonal] += (self.noise / self.signal)[part, None]
            explained = np.einsum("cij,cij->ci", cross @ np.linalg.inv(own), cross)
            out[part] = self.signal[part, None] * np.maximum(1 - explained, 0) + self.noise[part, None]
        return np.sqrt(out) * self.y_sd[:, None]

    def _cross(self, cycles: Array, part: slice) -> Array:
        """Return the correlations of the curve at cycles with the observations, (cells, m, observations)."""
        t = (cycles[part] - self.x_mean[part, None]) / self.x_sd[part, None]
        distance = (t[:, :, None] - self.x[part, None, :]) / self.length[part, None, None]
        distance *= distance
        distance *= -0.5
        return np.exp(distance, out=distance)


def _parts(count: int) -> list[slice]:
    return [slice(first, first + _BLOCK) for first in range(0, count, _BLOCK)]


def fit(cycles: Array, soh_pct: Array) -> Fits:
    """Fit every cell; both arrays are (cells, observations), cycles rising along each row.

    Raises Invalid for other shapes, figures that are not finite, or a cell that never changes.
    """
    if cycles.ndim != _MATRIX or cycles.shape != soh_pct.shape or cycles.shape[1] < 3:  # noqa: PLR2004
        raise Invalid("A batch is two tables of one shape, each cell a row of three figures or more.")
    if not (np.isfinite(cycles).all() and np.isfinite(soh_pct).all()):
        raise Invalid("The batch holds a figure that is not a finite number.")
    x_mean, x_sd = cycles.mean(axis=1), cycles.std(axis=1)
    y_mean, y_sd = soh_pct.mean(axis=1), soh_pct.std(axis=1)
    if (x_sd <= 0).any() or (y_sd <= 0).any():
        raise Invalid("A cell of the batch never changes.")
    x = (cycles - x_mean[:, None]) / x_sd[:, None]
    y = (soh_pct - y_mean[:, None]) / y_sd[:, None]
    length, ratio, signal, best = likeliest(x, y, compiled=find_spec("numba") is not None)
    weights = _weights(x, y, length, ratio) / signal[:, None]
    return Fits(length, signal, signal * ratio, best, x, weights, x_mean, x_sd, y_mean, y_sd)


def likeliest(x: Array, y: Array, *, compiled: bool) -> tuple[Array, Array, Array, Array]:
    """Return ℓ, g, s² and ln L, each (cells,), for standardised x and y of shape (cells, observations)."""
    if len(x) > 1 and np.abs(x - x[0]).max() < _FINE * 1e3:
        return _shared(x[0], y)
    if compiled:
        from analysis.lifetime import lanes

        length, ratio, signal, score = lanes.fit(x, y)
        return length, ratio, signal, -0.5 * (score + y.shape[1] * (1 + np.log(2 * np.pi)))
    parts = [_own(x[part], y[part]) for part in _parts(len(x))]
    length, ratio, signal, best = (np.concatenate(column) for column in zip(*parts, strict=True))
    return length, ratio, signal, best


def _correlation(x: Array, length: float) -> Array:
    distance = (x[..., :, None] - x[..., None, :]) / length
    return np.asarray(np.exp(-0.5 * distance * distance))


def _spectrum(x: Array, length: float) -> tuple[Array, Array]:
    values, vectors = np.linalg.eigh(_correlation(x, length))
    return np.maximum(values, 0.0), vectors


def _best_ratio(values: Array, square: Array) -> tuple[Array, Array, Array]:
    """Return -2 ln L without its constant, ln g and s², each (cells,), for spectra λ and squares z²."""
    count = square.shape[1]
    scores = np.empty((len(_RATIOS), len(square)))
    for i, ratio in enumerate(_RATIOS):
        total = values + ratio
        over = np.reciprocal(total)
        explained = square @ over if over.ndim == 1 else np.einsum("ij,ij->i", square, over)
        scores[i] = count * np.log(explained) + np.log(total).sum(axis=-1)
    log_ratio = np.log(_RATIOS)[scores.argmin(axis=0)]
    for _ in range(_NEWTON_STEPS):
        g = np.exp(log_ratio)
        over = 1 / (values + g[:, None])
        zo = square * over
        a, b = zo.sum(axis=1), (zo * over).sum(axis=1)
        c = (zo * over * over).sum(axis=1)
        one, two = over.sum(axis=1), (over * over).sum(axis=1)
        slope = g * (one - count * b / a)
        bend = slope + g * g * (count * (2 * c / a - (b / a) ** 2) - two)
        step = np.where(bend > 0, slope / np.where(bend > 0, bend, 1.0), np.sign(slope))
        log_ratio = np.clip(log_ratio - np.clip(step, -1, 1), _LOWEST, _HIGHEST)
    total = values + np.exp(log_ratio)[:, None]
    signal = (square / total).mean(axis=1)
    score = count * np.log(signal) + np.log(total).sum(axis=1)
    return score, log_ratio, signal


def _kept(best: tuple[Array, ...], found: tuple[Array, Array, Array], length: float) -> tuple[Array, ...]:
    score, log_ratio, signal = found
    better = score < best[0]
    new = (score, log_ratio, signal, np.full(len(score), length))
    return tuple(np.where(better, n, o) for n, o in zip(new, best, strict=True))


def _start(count: int) -> tuple[Array, ...]:
    return (np.full(count, np.inf), np.zeros(count), np.ones(count), np.ones(count))


def _finished(best: tuple[Array, ...], count: int) -> tuple[Array, Array, Array, Array]:
    score, log_ratio, signal, length = best
    likelihood = -0.5 * (score + count * (1 + np.log(2 * np.pi)))
    return length, np.exp(log_ratio), signal, likelihood


def _shared(x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    best = _start(len(y))
    for length in LENGTHS:
        values, vectors = _spectrum(x, float(length))
        best = _kept(best, _best_ratio(values, np.square(y @ vectors)), float(length))
    return _finished(best, y.shape[1])


def _own(x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    best = _start(len(y))
    for length in LENGTHS:
        values, vectors = _spectrum(x, float(length))
        z = np.einsum("cij,ci->cj", vectors, y)
        best = _kept(best, _best_ratio(values, np.square(z)), float(length))
    return _finished(best, y.shape[1])


def _weights(x: Array, y: Array, length: Array, ratio: Array) -> Array:
    """Return (s²R + n²I)⁻¹y times s², for each cell."""
    out = np.empty(y.shape)
    diagonal = np.arange(y.shape[1])
    for part in _parts(len(x)):
        k = _correlation(x[part] / length[part, None], 1.0)
        k[:, diagonal, diagonal] += ratio[part, None]
        out[part] = np.linalg.solve(k, y[part, :, None])[:, :, 0]
    return out
