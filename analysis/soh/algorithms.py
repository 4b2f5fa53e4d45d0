"""The algorithms that read a state of health from a stored spectrum, all behind one interface.

Further ones come from other distributions through the entry point group `meguri.soh`; each entry names an
`Algorithm`. What an algorithm learns is plain JSON, so a model file never holds code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

import numpy as np

from analysis.soh import forest, gpr, zarc
from analysis.soh.polarisation import resistance
from analysis.soh.samples import GRID_HZ, Sample, resampled
from schemas.errors import Invalid

type Array = np.ndarray
type Learned = dict[str, Any]

GROUP = "meguri.soh"
TREES = 64
CAPACITIVE_HZ = 50.0


@runtime_checkable
class Algorithm(Protocol):
    """One way from a spectrum to a state of health in %.

    `steady` says that a constant contact resistance in series does not change the answer; only such
    algorithms have a voice in the reconciliation.
    """

    @property
    def name(self) -> str:
        """Name it; stable."""
        ...

    @property
    def version(self) -> str:
        """Return the version of its method."""
        ...

    @property
    def steady(self) -> bool:
        """Say whether a constant contact resistance leaves the answer alone."""
        ...

    def features(self, samples: Sequence[Sample]) -> Array:
        """Return what it reads of each sample, shape (n, d); a row of NaN where it cannot be read."""
        ...

    def learn(self, x: Array, y: Array) -> Learned:
        """Learn from features (n, d) and states of health (n,); plain JSON."""
        ...

    def predict(self, learned: Learned, x: Array) -> Array:
        """Return the state of health in % for features (m, d), shape (m,)."""
        ...

    def left_out(self, x: Array, y: Array, groups: Array) -> Array:
        """Return for each row what is predicted by having learnt from the other groups only."""
        ...


def leave_out(algorithm: Algorithm, x: Array, y: Array, groups: Array) -> Array:
    """Return for each row what `algorithm` predicts having learnt from all rows of other groups."""
    answer = np.empty(len(y))
    for group in np.unique(groups):
        out = groups == group
        answer[out] = algorithm.predict(algorithm.learn(x[~out], y[~out]), x[out])
    return answer


@dataclass(frozen=True, slots=True)
class Line:
    """SoH = a + b·x, least squares, of one figure of the spectrum."""

    name: str
    version: str
    steady: bool
    figure: Callable[[Sequence[Sample]], list[float | None]]

    def features(self, samples: Sequence[Sample]) -> Array:
        """Return the one figure of each sample."""
        return np.array([np.nan if x is None else x for x in self.figure(samples)], dtype=float)[:, None]

    def learn(self, x: Array, y: Array) -> Learned:
        """Return intercept (%) and slope (% per unit of the figure)."""
        centre = float(x.mean())
        deviation = x[:, 0] - centre
        slope = float(deviation @ (y - y.mean()) / max(float(deviation @ deviation), 1e-30))
        return {"intercept": float(y.mean()) - slope * centre, "slope": slope}

    def predict(self, learned: Learned, x: Array) -> Array:
        """Return a + b·x."""
        answer: Array = learned["intercept"] + learned["slope"] * x[:, 0]
        return answer

    def left_out(self, x: Array, y: Array, groups: Array) -> Array:
        """Return the answers to groups it has not seen."""
        return leave_out(self, x, y, groups)


@dataclass(frozen=True, slots=True)
class GaussianProcess:
    """A Gaussian process on the contact-shifted spectrum."""

    name: str = "gpr-shifted-spectrum"
    version: str = "1.0"
    steady: bool = True

    def features(self, samples: Sequence[Sample]) -> Array:
        """Return the contact-shifted spectra."""
        return shapes(samples)

    def learn(self, x: Array, y: Array) -> Learned:
        """Return the posterior."""
        process = gpr.fit(x, y)
        return {
            "centre": process.centre.tolist(),
            "scale": process.scale.tolist(),
            "points": process.points.tolist(),
            "weights": process.weights.tolist(),
            "length": process.length,
            "linear": process.linear,
            "offset": process.offset,
            "spread": process.spread,
        }

    def predict(self, learned: Learned, x: Array) -> Array:
        """Return the posterior mean."""
        arrays = [np.asarray(learned[name]) for name in ("centre", "scale", "points", "weights")]
        numbers = [float(learned[name]) for name in ("length", "linear", "offset", "spread")]
        return gpr.Process(arrays[0], arrays[1], arrays[2], arrays[3], *numbers).mean(x)

    def left_out(self, x: Array, y: Array, groups: Array) -> Array:
        """Return the answers to groups it has not seen."""
        return leave_out(self, x, y, groups)


@dataclass(frozen=True, slots=True)
class Trees:
    """Extremely randomised trees on the contact-shifted spectrum; the same seed always."""

    name: str = "extra-trees"
    version: str = "1.0"
    steady: bool = True

    def features(self, samples: Sequence[Sample]) -> Array:
        """Return the contact-shifted spectra."""
        return shapes(samples)

    def learn(self, x: Array, y: Array) -> Learned:
        """Return the nodes of all trees."""
        grown = forest.grow(x, y, np.ones((TREES, len(y)), dtype=bool), np.random.default_rng(0))
        return {
            "trees": grown.trees,
            "feature": grown.feature.tolist(),
            "threshold": grown.threshold.tolist(),
            "child": grown.child.tolist(),
            "value": [round(v, 6) for v in grown.value.tolist()],
        }

    def predict(self, learned: Learned, x: Array) -> Array:
        """Return the mean over the trees."""
        arrays = {name: np.asarray(learned[name]) for name in ("feature", "threshold", "child", "value")}
        return forest.Forest(**arrays, trees=int(learned["trees"])).mean(x)

    def left_out(self, x: Array, y: Array, groups: Array) -> Array:
        """Return the answers to groups it has not seen, all trees of all groups grown together."""
        names, group = np.unique(groups, return_inverse=True)
        members = np.repeat(np.arange(len(names)), TREES)[:, None] != group[None, :]
        each = forest.grow(x, y, members, np.random.default_rng(0)).each(x)
        means = each.reshape(len(names), TREES, len(y)).mean(axis=1)
        answer: Array = means[group, np.arange(len(y))]
        return answer


def shapes(samples: Sequence[Sample]) -> Array:
    """Return Re Z(f) - Re Z(1 kHz) at the 18 lower grid frequencies and Im Z(f) below 50 Hz, in ohm.

    A constant contact resistance drops out of the differences; above 50 Hz the imaginary part tells more of
    the cabling's inductance than of the cell.
    """
    capacitive = np.asarray(GRID_HZ) < CAPACITIVE_HZ
    rows = []
    for sample in samples:
        z = resampled(sample.spectrum)
        if z is None:
            rows.append(np.full(len(GRID_HZ) - 1 + int(capacitive.sum()), np.nan))
        else:
            rows.append(np.concatenate([z.real[1:] - z.real[0], z.imag[capacitive]]))
    return np.array(rows)


def _ohmic(samples: Sequence[Sample]) -> list[float | None]:
    readings = [sample.spectrum.at(1000.0) for sample in samples]
    return [None if z is None else z.real for z in readings]


def _arc(samples: Sequence[Sample]) -> list[float | None]:
    grids = [resampled(sample.spectrum) for sample in samples]
    known = [i for i, z in enumerate(grids) if z is not None]
    found: list[float | None] = [None] * len(grids)
    if known:
        arcs = zarc.fit(np.asarray(GRID_HZ), np.array([grids[i] for i in known])).r1_ohm
        for i, r1 in zip(known, arcs, strict=True):
            found[i] = float(r1)
    return found


OHMIC = Line("ohmic-resistance", "1.0", False, _ohmic)
POLARISATION = Line(
    "polarisation-resistance-line", "1.0", True, lambda samples: [resistance(s.spectrum) for s in samples]
)
ZARC = Line("one-zarc", "1.0", True, _arc)
VENDOR = Line("vendor", "1.0", False, lambda samples: [s.vendor_soh_pct for s in samples])
GPR = GaussianProcess()
TREE_ENSEMBLE = Trees()
BUILT_IN: tuple[Algorithm, ...] = (OHMIC, POLARISATION, ZARC, GPR, TREE_ENSEMBLE, VENDOR)


@cache
def algorithms() -> dict[str, Algorithm]:
    """Return every algorithm by name: our own, then those of other distributions, which replace none."""
    found: dict[str, Algorithm] = {each.name: each for each in BUILT_IN}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        each = entry.load()
        if not isinstance(each, Algorithm):
            raise Invalid("{entry} is no algorithm for states of health", entry=entry.value)
        if each.name in found:
            raise Invalid("there are two algorithms called {name}", name=each.name)
        found[each.name] = each
    return found
