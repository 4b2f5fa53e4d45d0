"""gp-bayes with its hyperparameters drawn by NUTS instead of laid on a grid: to check the grid, with PyMC.

The model and the priors are gp-bayes's own (`regression.by_quadrature`):

    ln s², ln ℓ, ln n² ~ N(prior mean, prior sd²),   C y ~ N(0, C (s² R(ℓ) + (n² + v) I) Cᵀ)

C are contrasts that leave a straight line out, v the mean of the known measurement variances, all in
standardised units. It takes seconds to minutes a cell, and another machine draws other numbers: it is no
prescribed method. Needs the extra `pymc`.
Source: M. D. Hoffman, A. Gelman, J. Mach. Learn. Res. 15 (2014) 1593.
"""

import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, Final

import numpy as np

from analysis.lifetime import regression
from analysis.lifetime.history import History
from analysis.lifetime.predictive import Array, Predictive
from analysis.result import NotAssessable
from schemas.errors import Unavailable

METHOD: Final = "gp-bayes-nuts"
VERSION: Final = "1.0"
_CHAINS: Final = 2
_KEPT: Final = 400
_WORST: Final = 1.05


@dataclass(frozen=True, slots=True)
class Draws:
    """Draws of ln s², ln ℓ, ln n², shape (n, 3), with R̂ (near 1 where the chains agree) and the ESS."""

    theta: Array
    r_hat: float
    effective: float


def draw(history: History, count: int = 1000, seed: int = 0) -> Draws:
    """Return `count` draws from each of two chains; raises Unavailable without PyMC."""
    if find_spec("pymc") is None:
        raise Unavailable("gp-bayes-nuts needs the extra “pymc”: install Meguri as meguri[pymc]")
    import arviz
    import pymc
    import pytensor.tensor as pt

    data = regression.standardise(history, True)
    contrasts = np.linalg.svd(data.basis.T)[2][data.basis.shape[1] :]
    square = np.square(data.x[:, None] - data.x[None])
    centre, spread = regression.PRIOR_MEAN, regression.PRIOR_SD
    with pymc.Model():
        # In units of the prior's spread, so that a step is of one size in all three.
        z = pymc.Normal("z", 0.0, 1.0, shape=3)
        signal, length, noise = (pt.exp(centre[i] + spread[i] * z[i]) for i in range(3))
        kernel = signal * pt.exp(-0.5 * square / length**2)
        seen = contrasts @ kernel @ contrasts.T + (noise + data.known.mean()) * np.eye(len(contrasts))
        pymc.MvNormal("y", np.zeros(len(contrasts)), cov=seen, observed=contrasts @ data.y)
        trace: Any = pymc.sample(
            count,
            tune=count,
            chains=_CHAINS,
            cores=1,
            random_seed=seed,
            target_accept=0.95,
            progressbar=False,
            compute_convergence_checks=False,
        )
    drawn = np.asarray(trace.posterior["z"])
    theta = centre + spread * drawn.reshape(-1, 3)
    return Draws(theta, float(arviz.rhat(trace)["z"].max()), float(arviz.ess(trace)["z"].min()))


def by_sampling(
    history: History, cycles: tuple[float, ...], count: int = 1000, seed: int = 0
) -> Predictive | NotAssessable:
    """Draw hyperparameters from their posterior and forecast with them, or say why not."""
    no = regression.refusal(history, cycles, METHOD)
    if no:
        return no
    drawn = draw(history, count, seed)
    if not drawn.r_hat < _WORST:
        words = f"The chains do not agree (R̂ {drawn.r_hat:.2f}): no posterior was found."
        return NotAssessable("not-converged", words, METHOD, VERSION)
    return forecast(history, cycles, drawn)


def forecast(history: History, cycles: tuple[float, ...], drawn: Draws) -> Predictive:
    """Forecast with hyperparameters drawn from their posterior, each as likely as the other."""
    data = regression.standardise(history, True)
    kept = drawn.theta[:: max(1, len(drawn.theta) // _KEPT)]
    curves = [regression.latent(data, theta, np.array(cycles), "rbf", True) for theta in kept]
    noise = float(np.exp(kept[:, 2]).mean()) * data.y_sd**2
    return Predictive(
        cycles=cycles,
        weights=np.full(len(kept), 1 / len(kept)),
        means=np.array([mean for mean, _ in curves]),
        covariances=np.array([covariance for _, covariance in curves]),
        noise_sd_pct=math.sqrt(noise),
        method=METHOD,
        version=VERSION,
        limits=regression.LIMITS,
        notes=(("R-hat", drawn.r_hat), ("effective draws", drawn.effective)),
    )
