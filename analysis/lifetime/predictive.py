"""A forecast as a distribution: a mixture of joint Gaussians over a grid of cycles, and its scores.

One shape serves every method. A Gaussian process is a mixture of one; Bayesian quadrature has one component
for each node; a fleet has its own beside the cell's; a set of Weibull paths has one without spread for each.

    f = (f(c_1) … f(c_m)) ~ Σ_k w_k N(μ_k, Σ_k),     y = f + e,  e ~ N(0, s²)     all in % state of health

f is the latent curve, of which a warranty speaks; y is what a next check-up would read.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

type Array = np.ndarray[Any, np.dtype[np.float64]]

_SQRT2 = math.sqrt(2.0)
_erf = np.frompyfunc(math.erf, 1, 1)
_BISECTIONS = 45
_CLOSED_FORM_UP_TO = 24
_DRAWS = 2000
_JITTER = 1e-10


def normal_cdf(z: Array) -> Array:
    """Return Φ(z), elementwise."""
    return 0.5 * (1.0 + np.asarray(_erf(np.asarray(z, dtype=float) / _SQRT2), dtype=float))


def normal_pdf(z: Array) -> Array:
    """Return φ(z), elementwise."""
    return np.exp(-0.5 * np.square(z)) / math.sqrt(2 * math.pi)


def crps_gaussian(y: Array, mean: Array, sd: Array) -> Array:
    """Return the continuous ranked probability score of N(mean, sd²), in the unit of y.

    CRPS = s [z(2Φ(z) - 1) + 2φ(z) - 1/√π], z = (y - m)/s; |y - m| where s = 0.
    Source: T. Gneiting, A. E. Raftery, J. Am. Stat. Assoc. 102 (2007) 359, equation 21.
    """
    safe = np.where(sd > 0, sd, 1.0)
    z = (y - mean) / safe
    score = safe * (z * (2 * normal_cdf(z) - 1) + 2 * normal_pdf(z) - 1 / math.sqrt(math.pi))
    return np.where(sd > 0, score, np.abs(y - mean))


def crps_ensemble(y: Array, draws: Array) -> Array:
    """Return the score of an ensemble, shape (draws, m), at y, shape (m,): E|X - y| - ½ E|X - X'|."""
    ordered = np.sort(draws, axis=0)
    count = len(ordered)
    rank = (2 * np.arange(1, count + 1) - count - 1)[:, None]
    spread = np.sum(rank * ordered, axis=0) / count**2
    return np.asarray(np.abs(ordered - y).mean(axis=0) - spread, dtype=float)


@dataclass(frozen=True, slots=True)
class Predictive:
    """A predictive distribution on a grid, with its method, its limits and what it warns of."""

    cycles: tuple[float, ...]
    weights: Array
    means: Array
    covariances: Array
    noise_sd_pct: float
    method: str
    version: str
    limits: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[tuple[str, float], ...] = ()

    def _variances(self, observed: bool) -> Array:
        latent = np.maximum(np.einsum("kii->ki", self.covariances), 0.0)
        out: Array = latent + (self.noise_sd_pct**2 if observed else 0.0)
        return out

    def mean(self) -> Array:
        """Return the mean at each cycle, shape (m,)."""
        out: Array = self.weights @ self.means
        return out

    def sd(self, observed: bool = True) -> Array:
        """Return the standard deviation at each cycle, of an observation or of the latent curve."""
        second = self.weights @ (self._variances(observed) + np.square(self.means - self.mean()))
        return np.sqrt(second)

    def below(self, level_pct: Array | float, observed: bool = False) -> Array:
        """Return the probability of being below a level at each cycle, shape (m,)."""
        sd = np.sqrt(self._variances(observed))
        gap = np.asarray(level_pct, dtype=float) - self.means
        z = np.where(sd > 0, gap / np.where(sd > 0, sd, 1.0), np.where(gap >= 0, np.inf, -np.inf))
        out: Array = self.weights @ normal_cdf(z)
        return out

    def quantile(self, level: float, observed: bool = True) -> Array:
        """Return the quantile at each cycle, by bisection of the mixture's distribution."""
        reach = 10 * np.sqrt(self._variances(observed)) + 1e-9
        low, high = (self.means - reach).min(axis=0), (self.means + reach).max(axis=0)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            under = self.below(middle, observed) < level
            low, high = np.where(under, middle, low), np.where(under, high, middle)
        return np.asarray((low + high) / 2, dtype=float)

    def crps(self, y: Array) -> Array:
        """Return the score of observations y at the grid's cycles, shape (m,), in % state of health.

        Few components: Σ w_k A(y - μ_k, σ_k²) - ½ ΣΣ w_k w_l A(μ_k - μ_l, σ_k² + σ_l²) with
        A(d, v) = 2√v φ(d/√v) + d (2Φ(d/√v) - 1). Many: the ensemble of 2000 paths.
        """
        if len(self.weights) > _CLOSED_FORM_UP_TO:
            return crps_ensemble(y, self.paths(_DRAWS, observed=True))
        variance = self._variances(True)
        to_y = self.weights @ _absolute(y - self.means, variance)
        between = _absolute(self.means[:, None] - self.means[None], variance[:, None] + variance[None])
        return np.asarray(to_y - 0.5 * np.einsum("k,l,klm->m", self.weights, self.weights, between))

    def covered(self, y: Array, level: float = 0.9) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Say for each observation whether it lies in the central interval of that probability."""
        tail = (1 - level) / 2
        return (y >= self.quantile(tail)) & (y <= self.quantile(1 - tail))

    def paths(self, count: int, seed: int = 0, observed: bool = False) -> Array:
        """Draw joint paths over the grid, shape (count, m); the same seed gives the same paths.

        Each component gets its share of paths by systematic sampling; rising pieces are kept as they are.
        """
        drawn = np.random.default_rng(seed)
        places = (np.arange(count) + drawn.random()) / count
        which = np.searchsorted(np.cumsum(self.weights) / self.weights.sum(), places).clip(
            0, len(self.weights) - 1
        )
        normal = drawn.standard_normal((count, len(self.cycles)))
        out = self.means[which].copy()
        for k in np.unique(which):
            rows = which == k
            out[rows] += normal[rows] @ root(self.covariances[k]).T
        if observed:
            out += self.noise_sd_pct * drawn.standard_normal(out.shape)
        return drawn.permutation(out)

    def first_passage(self, threshold_pct: float, count: int = 4000, seed: int = 0) -> Array:
        """Return the cycle at which each drawn latent path first falls below the threshold; inf: never."""
        return passages(self.paths(count, seed), np.array(self.cycles), threshold_pct)


def passages(paths: Array, cycles: Array, threshold_pct: float) -> Array:
    """Return the first cycle below the threshold on each path, a straight line between grid cycles."""
    under = paths < threshold_pct
    at = under.argmax(axis=1)
    rows = np.arange(len(paths))
    before = np.maximum(at - 1, 0)
    here, earlier = paths[rows, at], paths[rows, before]
    share = np.where(at > 0, (earlier - threshold_pct) / np.where(at > 0, earlier - here, 1.0), 0.0)
    when = cycles[before] + share * (cycles[at] - cycles[before])
    return np.where(under.any(axis=1), when, np.inf)


def root(covariance: Array) -> Array:
    """Return L with L Lᵀ = the covariance, which may be of less than full rank."""
    scale = float(np.trace(covariance)) / max(len(covariance), 1)
    if scale <= 0:
        return np.zeros_like(covariance)
    try:
        return np.linalg.cholesky(covariance + _JITTER * scale * np.eye(len(covariance)))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def single(
    cycles: tuple[float, ...],
    mean: Array,
    covariance: Array,
    noise_sd_pct: float,
    method: str,
    version: str,
    limits: tuple[str, ...],
) -> Predictive:
    """Return a distribution of one joint Gaussian."""
    return Predictive(cycles, np.ones(1), mean[None], covariance[None], noise_sd_pct, method, version, limits)


def _absolute(distance: Array, variance: Array) -> Array:
    sd = np.sqrt(variance)
    safe = np.where(sd > 0, sd, 1.0)
    z = distance / safe
    smooth = 2 * safe * normal_pdf(z) + distance * (2 * normal_cdf(z) - 1)
    return np.where(sd > 0, smooth, np.abs(distance))
