"""Sixty-four cells at a time through one processor core: what `batch` asks for, compiled by Numba.

For one cell, R(ℓ)_ij = exp(-(x_i - x_j)²/2ℓ²) is brought to tridiagonal form by Householder's reflections,
the first of which lays y on the first axis: R = H T Hᵀ, Hᵀy = |y| e₁. For every ratio g = n²/s² then

    δ_N = a_N + g,   δ_i = a_i + g - b_i²/δ_{i+1},   ln det(R + gI) = Σ ln δ_i,   yᵀ(R + gI)⁻¹y = |y|²/δ₁

take N divisions each, and no eigenvector is needed. The lengths halve their squares from the longest to the
shortest, so that R at the next is R∘R: no exponential but the first. A parabola through the best of the
sixteen and its neighbours gives the seventeenth. The arrays' last axis runs over cells, which the compiler
lays side by side in a register; 64 of them, because it asks before each such loop whether arrays overlap.
Source: G. H. Golub, C. F. Van Loan, Matrix Computations (4th ed., 2013), sections 8.3.1 and 4.3.6.
"""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import numba
import numpy as np

from analysis.lifetime.predictive import Array

WIDTH: Final = 64
LONGEST: Final = 20.0
OCTAVES: Final = 16
_COARSE: Final = 10
_LOWEST: Final = math.log(1e-9)
_HIGHEST: Final = math.log(1e3)
_GOLDEN: Final = (math.sqrt(5.0) - 1) / 2
_NARROWED: Final = 9
_NOTHING: Final = 1e-300

_MAY_KEEP: Final = os.access(Path(__file__).parent, os.W_OK)


def _compiled[F: Callable[..., Any]](function: F) -> F:
    compile_ = numba.njit(cache=_MAY_KEEP, fastmath={"contract", "nsz", "arcp"}, error_model="numpy")
    return cast("F", compile_(function))


@_compiled
def _tridiagonal(a: Array, v: Array, p: Array, diagonal: Array, off: Array) -> None:
    """Bring bordered matrices (N+1, N+1, WIDTH), lower triangles, to tridiagonal form; `a` is used up."""
    n = a.shape[0]
    norm, scale = np.empty(WIDTH), np.empty(WIDTH)
    for k in range(n - 1):
        for c in range(WIDTH):
            norm[c] = 0.0
            diagonal[k, c] = a[k, k, c]
        for i in range(k + 1, n):
            for c in range(WIDTH):
                v[i, c] = a[i, k, c]
                norm[c] += v[i, c] * v[i, c]
        for c in range(WIDTH):
            alpha = -math.copysign(math.sqrt(norm[c]), v[k + 1, c])
            off[k, c] = alpha
            rest = norm[c] - alpha * v[k + 1, c]
            v[k + 1, c] -= alpha
            # vᵀv = 2 rest; nothing is left to reflect where the column is nothing already.
            scale[c] = 1.0 / rest if rest > _NOTHING else 0.0
        for i in range(k + 1, n):
            for c in range(WIDTH):
                p[i, c] = 0.0
        for i in range(k + 1, n):
            for c in range(WIDTH):
                norm[c] = a[i, i, c] * v[i, c]
            for j in range(k + 1, i):
                for c in range(WIDTH):
                    norm[c] += a[i, j, c] * v[j, c]
                    p[j, c] += a[i, j, c] * v[i, c]
            for c in range(WIDTH):
                p[i, c] += norm[c]
        for c in range(WIDTH):
            norm[c] = 0.0
        for i in range(k + 1, n):
            for c in range(WIDTH):
                p[i, c] *= scale[c]
                norm[c] += p[i, c] * v[i, c]
        for i in range(k + 1, n):
            for c in range(WIDTH):
                p[i, c] -= 0.5 * scale[c] * norm[c] * v[i, c]
        for i in range(k + 1, n):
            for j in range(k + 1, i + 1):
                for c in range(WIDTH):
                    a[i, j, c] -= v[i, c] * p[j, c] + p[i, c] * v[j, c]
    for c in range(WIDTH):
        diagonal[n - 1, c] = a[n - 1, n - 1, c]


@_compiled
def _scores(diagonal: Array, off: Array, log_ratio: Array, score: Array, signal: Array) -> None:
    """Put -2 ln L without its constant, and s², for one ln g of each lane."""
    n = diagonal.shape[0] - 1
    delta, ratio, product, log = np.empty(WIDTH), np.empty(WIDTH), np.empty(WIDTH), np.empty(WIDTH)
    for c in range(WIDTH):
        ratio[c] = math.exp(log_ratio[c])
        delta[c] = max(diagonal[n, c] + ratio[c], 0.5 * ratio[c])
        product[c], log[c] = delta[c], 0.0
    for i in range(n - 1, 0, -1):
        for c in range(WIDTH):
            # In exact arithmetic no δ is below g.
            delta[c] = max(diagonal[i, c] + ratio[c] - off[i, c] * off[i, c] / delta[c], 0.5 * ratio[c])
            product[c] *= delta[c]
        if i % 16 == 0:
            for c in range(WIDTH):
                log[c] += math.log(product[c])
                product[c] = 1.0
    for c in range(WIDTH):
        signal[c] = off[0, c] * off[0, c] / (delta[c] * n)
        score[c] = n * math.log(signal[c]) + log[c] + math.log(product[c])


@_compiled
def _best_ratio(diagonal: Array, off: Array, score: Array, log_ratio: Array, signal: Array) -> None:
    """Put the least -2 ln L over ln g, that ln g, and s²: the best of ten, then golden section beside it."""
    step = (_HIGHEST - _LOWEST) / (_COARSE - 1)
    at, found, s = np.empty(WIDTH), np.empty(WIDTH), np.empty(WIDTH)
    low, high = np.empty(WIDTH), np.empty(WIDTH)
    left, right, f_left, f_right = np.empty(WIDTH), np.empty(WIDTH), np.empty(WIDTH), np.empty(WIDTH)
    for c in range(WIDTH):
        score[c] = math.inf
    for i in range(_COARSE):
        for c in range(WIDTH):
            at[c] = _LOWEST + step * i
        _scores(diagonal, off, at, found, s)
        for c in range(WIDTH):
            if found[c] < score[c]:
                score[c], log_ratio[c], signal[c] = found[c], at[c], s[c]
    for c in range(WIDTH):
        low[c], high[c] = max(log_ratio[c] - step, _LOWEST), min(log_ratio[c] + step, _HIGHEST)
        left[c] = high[c] - _GOLDEN * (high[c] - low[c])
        right[c] = low[c] + _GOLDEN * (high[c] - low[c])
    _scores(diagonal, off, left, f_left, s)
    _scores(diagonal, off, right, f_right, s)
    for _ in range(_NARROWED):
        for c in range(WIDTH):
            if f_left[c] < f_right[c]:
                high[c], right[c], f_right[c] = right[c], left[c], f_left[c]
                left[c] = high[c] - _GOLDEN * (high[c] - low[c])
                at[c] = left[c]
            else:
                low[c], left[c], f_left[c] = left[c], right[c], f_right[c]
                right[c] = low[c] + _GOLDEN * (high[c] - low[c])
                at[c] = right[c]
        _scores(diagonal, off, at, found, s)
        for c in range(WIDTH):
            if at[c] == left[c]:
                f_left[c] = found[c]
            else:
                f_right[c] = found[c]
            if found[c] < score[c]:
                score[c], log_ratio[c], signal[c] = found[c], at[c], s[c]


@_compiled
def _bordered(correlation: Array, y: Array, a: Array) -> None:
    """Lay y beside the correlation: [[0, ·], [y, R]]."""
    n = y.shape[0]
    for c in range(WIDTH):
        a[0, 0, c] = 0.0
    for i in range(n):
        for c in range(WIDTH):
            a[i + 1, 0, c] = y[i, c]
        for j in range(i + 1):
            for c in range(WIDTH):
                a[i + 1, j + 1, c] = correlation[i, j, c]


@_compiled
def _fit(x: Array, y: Array, out: Array) -> None:
    """Put ℓ, g, s² and -2 ln L of each cell, (4, blocks, WIDTH), for x and y of shape (blocks, N, WIDTH)."""
    blocks, n, _ = x.shape
    a = np.empty((n + 1, n + 1, WIDTH))
    v, p = np.empty((n + 1, WIDTH)), np.empty((n + 1, WIDTH))
    diagonal, off = np.empty((n + 1, WIDTH)), np.empty((n + 1, WIDTH))
    square, correlation = np.empty((n, n, WIDTH)), np.empty((n, n, WIDTH))
    score, log_ratio, signal = np.empty(WIDTH), np.empty(WIDTH), np.empty(WIDTH)
    grid = np.empty((OCTAVES, WIDTH))
    middle, width = np.empty(WIDTH), np.empty(WIDTH)
    for b in range(blocks):
        best = out[:, b]
        for c in range(WIDTH):
            best[3, c] = math.inf
            middle[c] = 0.0
        for i in range(n):
            for j in range(i + 1):
                for c in range(WIDTH):
                    d = x[b, i, c] - x[b, j, c]
                    square[i, j, c] = -0.5 * d * d
                    correlation[i, j, c] = math.exp(square[i, j, c] / (LONGEST * LONGEST))
        for k in range(OCTAVES):
            length = LONGEST * 2.0 ** (-0.5 * k)
            _bordered(correlation, y[b], a)
            _tridiagonal(a, v, p, diagonal, off)
            _best_ratio(diagonal, off, score, log_ratio, signal)
            for c in range(WIDTH):
                grid[k, c] = score[c]
                if score[c] < best[3, c]:
                    best[0, c], best[1, c], best[2, c], best[3, c] = length, log_ratio[c], signal[c], score[c]
                    middle[c] = k
            for i in range(n):
                for j in range(i):
                    for c in range(WIDTH):
                        correlation[i, j, c] *= correlation[i, j, c]
        # Between the lengths of the grid: where a parabola through the best and its neighbours is least.
        for c in range(WIDTH):
            k = int(middle[c])
            width[c] = 0.0
            if 0 < k < OCTAVES - 1:
                fall, rise = grid[k - 1, c] - grid[k, c], grid[k + 1, c] - grid[k, c]
                if fall + rise > 0:
                    width[c] = 0.5 * (fall - rise) / (fall + rise)
        for c in range(WIDTH):
            width[c] = LONGEST * 2.0 ** (-0.5 * (middle[c] + width[c]))
        for i in range(n):
            for j in range(i + 1):
                for c in range(WIDTH):
                    correlation[i, j, c] = math.exp(square[i, j, c] / (width[c] * width[c]))
        _bordered(correlation, y[b], a)
        _tridiagonal(a, v, p, diagonal, off)
        _best_ratio(diagonal, off, score, log_ratio, signal)
        for c in range(WIDTH):
            if score[c] < best[3, c]:
                best[0, c], best[1, c], best[2, c], best[3, c] = width[c], log_ratio[c], signal[c], score[c]


def fit(x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    """Return ℓ, g, s² and -2 ln L without its constant, each (cells,), for x and y of shape (cells, N)."""
    cells, n = x.shape
    blocks = -(-cells // WIDTH)
    rows = np.minimum(np.arange(blocks * WIDTH), cells - 1)  # the last block is filled up with its last cell
    out = np.empty((4, blocks, WIDTH))

    def laid(table: Array) -> Array:
        return np.ascontiguousarray(table[rows].reshape(blocks, WIDTH, n).transpose(0, 2, 1))

    _fit(laid(x), laid(y), out)
    length, log_ratio, signal, score = out.reshape(4, -1)[:, :cells]
    return length, np.exp(log_ratio), signal, score
