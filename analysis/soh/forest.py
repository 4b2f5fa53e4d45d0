"""Extremely randomised regression trees, grown many at a time and kept as plain arrays."""

from dataclasses import dataclass

import numpy as np

type Array = np.ndarray

LARGEST_TABLE = 4_000_000
LEAF = -1


@dataclass(frozen=True, slots=True)
class Forest:
    """Nodes of all trees in one table: `feature` is -1 at a leaf; the first `trees` nodes are the roots."""

    feature: Array
    threshold: Array
    child: Array  # of the lower side; the upper side stands next to it
    value: Array
    trees: int

    def each(self, x: Array) -> Array:
        """Return what each tree says of each row of `x`, shape (trees, m)."""
        node = np.repeat(np.arange(self.trees)[:, None], len(x), axis=1)
        rows = np.arange(len(x))[None, :]
        while True:
            feature = self.feature[node]
            inner = feature != LEAF
            if not inner.any():
                return self.value[node]
            above = x[rows, np.maximum(feature, 0)] > self.threshold[node]
            node = np.where(inner, self.child[node] + above, node)

    def mean(self, x: Array) -> Array:
        """Return the mean over the trees, shape (m,)."""
        answer: Array = self.each(x).mean(axis=0)
        return answer


def grow(x: Array, y: Array, members: Array, random: np.random.Generator) -> Forest:
    """Grow one tree on each row of `members`, until every leaf holds one value of y.

    x: (n, d), y: (n,), members: (trees, n) of bool. At each node every feature gets one cut, uniform between
    its smallest and largest value there; the cut that lessens the squares most is taken. Source: P. Geurts,
    D. Ernst, L. Wehenkel, Machine Learning 63 (2006) 3.
    """
    feature: list[Array] = []
    threshold: list[Array] = []
    child: list[Array] = []
    value: list[Array] = []
    level, made = members, len(members)
    while len(level):
        chosen, cut = _cuts(x, y, level, random)
        split = chosen != LEAF
        made_here = np.full(len(level), LEAF)
        made_here[split] = made + 2 * np.arange(int(split.sum()))
        feature.append(chosen)
        threshold.append(cut)
        child.append(made_here)
        value.append((level @ y) / level.sum(axis=1))
        parents = level[split]
        low = cut[split][:, None] >= x[:, chosen[split]].T
        level = np.stack([parents & low, parents & ~low], axis=1).reshape(-1, x.shape[0])
        made += len(level)
    table = [np.concatenate(part) for part in (feature, threshold, child, value)]
    return Forest(table[0], table[1], table[2], table[3], len(members))


def _cuts(x: Array, y: Array, level: Array, random: np.random.Generator) -> tuple[Array, Array]:
    """Return the feature and threshold of each node, or LEAF where there is nothing left to part."""
    feature, cut = np.full(len(level), LEAF), np.zeros(len(level))
    spread = np.where(level, y, -np.inf).max(axis=1) - np.where(level, y, np.inf).min(axis=1)
    todo = np.flatnonzero(spread > 0)
    size = max(1, LARGEST_TABLE // x.size)
    for at in (todo[start : start + size] for start in range(0, len(todo), size)):
        inside = level[at][:, :, None]
        low = np.where(inside, x, np.inf).min(axis=1)
        high = np.where(inside, x, -np.inf).max(axis=1)
        cuts = low + (high - low) * random.random(low.shape)
        cuts = np.where(cuts >= high, low, cuts)  # rounding must not put everything on one side
        below = inside & (x[None] <= cuts[:, None, :])
        n_below, y_below = below.sum(axis=1), np.einsum("bnd,n->bd", below, y)
        n, total = level[at].sum(axis=1)[:, None], (level[at] @ y)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = y_below**2 / n_below + (total - y_below) ** 2 / (n - n_below)
        gain[~((n_below > 0) & (n_below < n))] = -np.inf
        best = gain.argmax(axis=1)
        row = np.arange(len(at))
        fine = np.isfinite(gain[row, best])
        feature[at[fine]], cut[at[fine]] = best[fine], cuts[row, best][fine]
    return feature, cut
