"""The grid of gp-bayes against hyperparameters that PyMC draws from the same posterior."""

import os

import numpy as np
import pytest

from analysis.lifetime import regression, sampling
from analysis.lifetime.forecasts import Past, forecast
from analysis.lifetime.history import History, Observation
from analysis.lifetime.predictive import Predictive
from analysis.result import NotAssessable
from schemas.errors import Unavailable

AT = (300.0, 725.0, 900.0, 1100.0)


def worn(count: int = 30) -> History:
    noise = 0.15 * np.random.default_rng(5).standard_normal(count)
    return History(
        tuple(Observation(25.0 * i, 99 - 6 * (i / 29) ** 1.4 + float(noise[i])) for i in range(count))
    )


def test_without_its_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="meguri\\[pymc\\]"):
        forecast(Past(worn()), AT, "gp-bayes-nuts")


def test_it_refuses_what_the_grid_refuses() -> None:
    made = forecast(Past(worn(3)), AT, "gp-bayes-nuts")
    assert isinstance(made, NotAssessable)
    assert made.reason == "too-few"


def test_the_kept_nodes_of_the_grid_carry_nearly_all_its_weight() -> None:
    made = regression.by_quadrature(worn(), AT)
    assert isinstance(made, Predictive)
    assert dict(made.notes)["quadrature weight carried"] > 0.99


@pytest.mark.slow
def test_the_grid_says_what_sampling_says() -> None:
    if not os.environ.get("CI"):
        pytest.importorskip("pymc", reason="needs the extra “pymc”")
    drawn = sampling.draw(worn(), 500, seed=1)
    assert drawn.r_hat < 1.05
    by_draws = sampling.forecast(worn(), AT, drawn)
    by_grid = regression.by_quadrature(worn(), AT)
    assert isinstance(by_grid, Predictive)
    # Monte-Carlo error of a mean is sd/√ESS, of a standard deviation about sd/√(2 ESS): four of them.
    error = 4 / np.sqrt(drawn.effective)
    assert np.abs(by_draws.mean() - by_grid.mean()).max() < (error * by_grid.sd()).max()
    assert np.abs(by_draws.sd() / by_grid.sd() - 1).max() < error / np.sqrt(2) + 0.01
    for level in (0.05, 0.95):
        apart = np.abs(by_draws.quantile(level) - by_grid.quantile(level)) / by_grid.sd()
        assert apart.max() < 2 * error
