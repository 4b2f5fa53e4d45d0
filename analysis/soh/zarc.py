"""One-ZARC equivalent circuit, fitted to many spectra at once by variable projection."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from schemas.errors import Invalid

type Array = np.ndarray

STEPS = 60
TOLERANCE = 1e-6
LEAST_POINTS = 6
ALPHA = (0.2, 1.0)


@dataclass(frozen=True, slots=True)
class Circuits:
    """The circuits of B spectra: every field has shape (B,); `residual` is the rms of |ΔZ|/|Z|."""

    r0_ohm: Array
    l_h: Array
    r1_ohm: Array
    tau_s: Array
    alpha: Array
    sigma: Array
    residual: Array

    def impedance(self, frequencies_hz: Array) -> Array:
        """Return Z of each circuit at each frequency, shape (B, n), in ohm."""
        basis, _ = _basis(2 * np.pi * np.asarray(frequencies_hz), np.log(self.tau_s), self.alpha)
        linear = np.stack([self.r0_ohm, self.l_h, self.r1_ohm, self.sigma], axis=-1)
        whole: Array = (basis @ linear[..., None])[..., 0]
        return whole


def fit(frequencies_hz: Array, impedance_ohm: Array) -> Circuits:
    """Fit Z(ω) = R0 + jωL + R1/(1 + (jωτ)^α) + σ(1 - j)/√ω to each row of `impedance_ohm`.

    Frequencies: (n,) in hertz, n ≥ 6; impedances: (B, n) complex, in ohm. Weighted with 1/|Z|, real and
    imaginary parts together. R0, L, R1, σ enter linearly and are eliminated (variable projection with
    Kaufman's Jacobian); ln τ and α, 0.2 to 1, are found by Levenberg-Marquardt steps from the best of a
    coarse grid. Raises Invalid for too few points. Source: G. Golub, V. Pereyra, Inverse Problems 19 (2003)
    R1; L. Kaufman, BIT 15 (1975) 49.
    """
    omega = 2 * np.pi * np.asarray(frequencies_hz, dtype=float)
    z = np.atleast_2d(np.asarray(impedance_ohm, dtype=complex))
    if len(omega) < LEAST_POINTS or z.shape[1] != len(omega) or omega.min() <= 0:
        raise Invalid(
            "a circuit needs an impedance at each of at least {points} frequencies", points=LEAST_POINTS
        )
    weight = 1 / np.abs(z)
    target = _real(z * weight)
    log_tau, alpha = _start(omega, weight, target)
    cost, rest, jacobian = _project(omega, weight, target, log_tau, alpha)
    damping = np.full(len(z), 1e-2)
    moving = np.ones(len(z), dtype=bool)
    for _ in range(STEPS):
        at = np.flatnonzero(moving)
        if not len(at):
            break
        j, r = jacobian[at], rest[at]
        normal = np.swapaxes(j, 1, 2) @ j
        diagonal = np.einsum("bii->bi", normal)
        normal = normal + (damping[at, None] * diagonal + 1e-14)[:, :, None] * np.eye(2)
        step = -np.linalg.solve(normal, np.swapaxes(j, 1, 2) @ r[..., None])[..., 0]
        step = np.clip(step, -1.0, 1.0)
        tau_next = np.clip(log_tau[at] + step[:, 0], -np.log(omega.max()) - 3, -np.log(omega.min()) + 3)
        alpha_next = np.clip(alpha[at] + step[:, 1], *ALPHA)
        cost_next, rest_next, jacobian_next = _project(omega, weight[at], target[at], tau_next, alpha_next)
        better = cost_next < cost[at]
        gained = (cost[at] - cost_next) / cost[at]
        took, kept = at[better], at[~better]
        log_tau[took], alpha[took] = tau_next[better], alpha_next[better]
        cost[took], rest[took] = cost_next[better], rest_next[better]
        jacobian[took] = jacobian_next[better]
        damping[took] *= 0.2
        damping[kept] *= 8.0
        moving[took[gained[better] < TOLERANCE]] = False
        moving[kept[damping[kept] > 1e6]] = False  # noqa: PLR2004 - no direction leads down any more
    basis, _ = _basis(omega, log_tau, alpha)
    linear = _solver(_real(basis * weight[..., None]))(target[..., None])
    r0, inductance, r1, sigma = linear[..., 0].T
    return Circuits(r0, inductance, r1, np.exp(log_tau), alpha, sigma, np.sqrt(cost / len(omega)))


def _real(values: Array) -> Array:
    """Stack real above imaginary parts along axis 1."""
    return np.concatenate([values.real, values.imag], axis=1)


def _basis(omega: Array, log_tau: Array, alpha: Array) -> tuple[Array, Array]:
    """Return the four columns, (B, n, 4), and d(arc)/d(ln τ, α), (B, n, 2)."""
    log_s = np.log(omega)[None, :] + log_tau[:, None] + 0.5j * np.pi
    power = np.exp(alpha[:, None] * log_s)
    arc = 1 / (1 + power)
    columns = np.empty((*arc.shape, 4), dtype=complex)
    columns[..., 0], columns[..., 1], columns[..., 2] = 1.0, 1j * omega, arc
    columns[..., 3] = (1 - 1j) / np.sqrt(omega)
    slope = -(arc**2) * power
    return columns, np.stack([slope * alpha[:, None], slope * log_s], axis=-1)


def _solver(a: Array) -> Callable[[Array], Array]:
    """Return what solves the least squares of each row, by normal equations with columns of length one."""
    size = np.sqrt(np.einsum("bmk,bmk->bk", a, a))
    turned = np.swapaxes(a / size[:, None, :], 1, 2)
    normal = turned @ np.swapaxes(turned, 1, 2) + 1e-12 * np.eye(a.shape[2])
    inverse = np.linalg.inv(normal) @ turned / size[:, :, None]
    return lambda b: inverse @ b


def _project(
    omega: Array, weight: Array, target: Array, log_tau: Array, alpha: Array
) -> tuple[Array, Array, Array]:
    """Return cost (B,), residual (B, 2n) and Kaufman's Jacobian (B, 2n, 2), the linear part eliminated."""
    basis, slopes = _basis(omega, log_tau, alpha)
    a = _real(basis * weight[..., None])
    solve = _solver(a)
    linear = solve(target[..., None])
    rest = (a @ linear)[..., 0] - target
    moved = _real(slopes * weight[..., None]) * linear[:, 2:3, :]
    return (rest**2).sum(axis=1), rest, moved - a @ solve(moved)


def _start(omega: Array, weight: Array, target: Array) -> tuple[Array, Array]:
    """Return for each row the best (ln τ, α) of a coarse grid."""
    places = np.linspace(-np.log(omega.max()), -np.log(omega.min()), 6)[1:-1]
    log_tau, alpha = (grid.ravel() for grid in np.meshgrid(places, (0.55, 0.85)))
    basis, _ = _basis(omega, log_tau, alpha)
    a = _real((basis[None] * weight[:, None, :, None]).reshape(-1, len(omega), 4))
    wanted = np.repeat(target, len(alpha), axis=0)[..., None]
    linear = _solver(a)(wanted)
    cost = ((a @ linear - wanted)[..., 0] ** 2).sum(axis=1)
    cost[linear[:, 2, 0] < 0] += 1.0  # an arc turned inside out is a last resort
    best = cost.reshape(len(target), -1).argmin(axis=1)
    return log_tau[best], alpha[best]
