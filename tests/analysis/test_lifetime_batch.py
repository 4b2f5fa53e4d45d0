import math

import numpy as np
import pytest

from analysis.lifetime import batch, regression
from analysis.lifetime.history import History, Observation
from analysis.lifetime.predictive import Array
from schemas.errors import Invalid


def lot(cells: int, even: bool) -> tuple[Array, Array]:
    drawn = np.random.default_rng(8)
    cycles = np.linspace(0, 500, 20) * np.exp(0.2 * drawn.standard_normal((cells, 1)))
    if not even:
        cycles = 10 + np.sort(cycles + 3 * np.abs(drawn.standard_normal(cycles.shape)), axis=1)
    bend = 1 + drawn.random((cells, 1))
    return cycles, 98 - 10 * (cycles / cycles[:, -1:]) ** bend + 0.1 * drawn.standard_normal(cycles.shape)


@pytest.mark.parametrize("even", [True, False])
@pytest.mark.parametrize("compiled", [True, False])
def test_a_batch_finds_what_one_cell_at_a_time_finds(
    even: bool, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not compiled:
        monkeypatch.setattr(batch, "find_spec", lambda name: None)
    cycles, soh = lot(6, even)
    fits = batch.fit(cycles, soh)
    deviation = fits.deviation(cycles[:, -1:] + np.array([5.0, 20.0]))
    ahead = cycles[:, -1:] + np.array([5.0, 20.0])
    together = fits.forecast(ahead)
    for i in range(6):
        seen = History(tuple(Observation(float(c), float(s)) for c, s in zip(cycles[i], soh[i], strict=True)))
        data = regression.standardise(seen, False)
        distance = np.abs(data.x[:, None] - data.x[None])
        best = -regression.objective(regression.maximise(data, "rbf"), distance, data, "rbf")[0]
        assert best - 0.1 <= fits.log_likelihood[i] <= best + 1e-3
        theta = np.log(np.array([fits.signal[i], fits.length[i], fits.noise[i]]))
        again = -regression.objective(theta, distance, data, "rbf")[0]
        assert again == pytest.approx(fits.log_likelihood[i], abs=1e-6)
        mean, covariance = regression.latent(data, theta, ahead[i], "rbf", False)
        assert together[i] == pytest.approx(mean, rel=1e-6)
        observed = np.sqrt(np.diag(covariance) + fits.noise[i] * fits.y_sd[i] ** 2)
        assert deviation[i] == pytest.approx(observed, rel=1e-6)


@pytest.mark.parametrize("count", [1, 64, 65])
def test_a_cell_s_fit_does_not_hang_on_its_company(count: int) -> None:
    cycles, soh = lot(count, even=False)
    together = batch.fit(cycles, soh)
    alone = batch.fit(cycles[-1:], soh[-1:])
    assert together.length[-1] == alone.length[0]
    assert together.log_likelihood[-1] == alone.log_likelihood[0]


def test_observations_without_noise_and_very_many_are_fitted_too() -> None:
    x = np.linspace(0, 1, 150)[None] * np.array([[900.0], [1100.0]])
    fits = batch.fit(x + 1, 95 - 5 * (x / 1000) ** 2)
    assert np.isfinite(fits.log_likelihood).all()
    assert fits.forecast(x[:, -1:] + 1) == pytest.approx(95 - 5 * (x[:, -1:] / 1000) ** 2, abs=0.01)


def test_a_batch_that_makes_no_sense_is_refused() -> None:
    good = np.arange(8.0).reshape(2, 4)
    for cycles, soh in ((good, good[:1]), (good[0], good[0]), (good, good * math.nan), (good, good * 0 + 90)):
        with pytest.raises(Invalid):
            batch.fit(cycles, soh)
