"""Whether a spectrum looks like those of the conditions it is said to have been taken under."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

type Array = np.ndarray

COMPONENTS = 3
WIDENING = 1.3
LEAST_VARIANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Likeness:
    """A probabilistic principal component model of the spectra of one condition."""

    centre: Array
    scale: Array
    axes: Array
    variances: Array
    rest: float

    def figures(self, x: Array) -> tuple[Array, Array]:
        """Return for each row the squared Mahalanobis distance a feature, and the log likelihood."""
        away = x / self.scale - self.centre
        scores = away @ self.axes.T
        outside = ((away - scores @ self.axes) ** 2).sum(axis=1)
        distance = (scores**2 / self.variances).sum(axis=1) + outside / self.rest
        volume = np.log(self.variances).sum() + (x.shape[1] - len(self.variances)) * np.log(self.rest)
        return distance / x.shape[1], -0.5 * (distance + volume)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "axes": self.axes.tolist(),
            "variances": self.variances.tolist(),
            "rest": self.rest,
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Likeness":
        """Read it back."""
        arrays = {name: np.asarray(values[name]) for name in ("centre", "scale", "axes", "variances")}
        return cls(**arrays, rest=float(values["rest"]))


def learn(x: Array, scale: Array) -> Likeness:
    """Learn from the spectra of one condition, (n, d), divided by a scale common to all conditions, (d,).

    x/scale ~ N(μ, Σ), Σ = three principal directions with their variances (widened by 1.3, for few cells
    show too little of it) and the mean of the remaining variances in every other direction.
    Source: M. E. Tipping, C. M. Bishop, J. R. Stat. Soc. B 61 (1999) 611.
    """
    scaled = x / scale
    centre = scaled.mean(axis=0)
    _, singular, axes = np.linalg.svd(scaled - centre, full_matrices=False)
    variances = singular**2 / max(len(x) - 1, 1)
    rest = max(float(variances[COMPONENTS:].sum()) / max(x.shape[1] - COMPONENTS, 1), LEAST_VARIANCE)
    kept = np.maximum(WIDENING * variances[:COMPONENTS], rest)
    return Likeness(centre, scale, axes[:COMPONENTS], kept, rest)


def margins(likelihoods: Sequence[float], own: int) -> float | None:
    """Return by how much the best other condition explains a spectrum better than its own; None if alone."""
    others = [value for i, value in enumerate(likelihoods) if i != own]
    return max(others) - likelihoods[own] if others else None
