import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.cli.front import run
from analysis.lifetime import fleet, forecasts, gp, regression, weibull
from analysis.lifetime.document import FleetDocument, document, fleet_of, read_fleet
from analysis.lifetime.forecasts import FORECASTERS, Past
from analysis.lifetime.history import History, Observation
from analysis.lifetime.predictive import Array, Predictive, crps_ensemble, crps_gaussian, passages
from analysis.result import NotAssessable
from schemas.errors import Invalid


def cell(number: int, life: float = 800, count: int = 60, share: float = 1.0, knee: float = 1.0) -> History:
    """A made-up cell that falls from about 98 % to about 80 % over its life, faster at the end."""
    drawn = np.random.default_rng(number)
    life = life * math.exp(0.25 * drawn.standard_normal())
    start, power = 98 + 0.5 * drawn.standard_normal(), 1.2 + 0.5 * drawn.random() * knee
    u = np.linspace(0, share, count)
    soh = start - 18 * u**power + 0.05 * drawn.standard_normal(count)
    return History(tuple(Observation(float(c * life), float(s)) for c, s in zip(u, soh, strict=True)))


@pytest.fixture(scope="module")
def fitted() -> fleet.Fleet:
    made = fleet.fit("made-up", [cell(n) for n in range(20)], "sha256:00")
    assert isinstance(made, fleet.Fleet)
    return made


def ahead(history: History, times: float = 1.9, count: int = 12) -> tuple[float, ...]:
    return tuple(float(c) for c in np.linspace(history.last * 1.05, history.last * times, count))


def forecast(past: Past, cycles: Sequence[float], method: str = forecasts.DEFAULT) -> Predictive:
    made = forecasts.forecast(past, cycles, method)
    assert isinstance(made, Predictive), made
    return made


# Distributions


def mixture(*parts: tuple[float, float, float], noise: float = 0.0) -> Predictive:
    weights, means, sds = (np.array(v) for v in zip(*parts, strict=True))
    return Predictive((1.0,), weights, means[:, None], (sds**2)[:, None, None], noise, "m", "1", ())


@given(st.floats(-30, 30), st.floats(0.01, 10))
def test_a_mixture_of_one_scores_as_its_gaussian(y: float, sd: float) -> None:
    expected = crps_gaussian(np.array([y]), np.zeros(1), np.array([sd]))
    assert mixture((1.0, 0.0, sd)).crps(np.array([y])) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_score_is_the_integral_of_the_squared_distance_of_distributions() -> None:
    made = mixture((0.3, 80.0, 1.0), (0.7, 85.0, 2.0), noise=0.5)
    grid = np.linspace(60, 110, 20001)
    cdf = np.array([float(made.below(g, observed=True)[0]) for g in grid[::10]])
    integral = np.trapezoid((cdf - (grid[::10] >= 83.0)) ** 2, grid[::10])
    assert made.crps(np.array([83.0]))[0] == pytest.approx(integral, rel=5e-3)
    drawn = made.paths(20000, observed=True)
    assert crps_ensemble(np.array([83.0]), drawn)[0] == pytest.approx(integral, rel=3e-2)


@given(st.floats(0.001, 0.999))
def test_a_quantile_undoes_the_distribution(level: float) -> None:
    made = mixture((0.3, 80.0, 1.0), (0.7, 85.0, 2.0))
    assert made.below(made.quantile(level, observed=False))[0] == pytest.approx(level, abs=1e-9)


def test_joint_paths_have_the_covariance_they_are_drawn_from() -> None:
    covariance = np.array([[1.0, 0.8], [0.8, 2.0]])
    made = Predictive((1.0, 2.0), np.ones(1), np.array([[5.0, 4.0]]), covariance[None], 0.0, "m", "1", ())
    paths = made.paths(40000, seed=3)
    assert np.cov(paths.T) == pytest.approx(covariance, abs=0.05)
    assert (made.paths(10, seed=3) == made.paths(10, seed=3)).all()


def test_a_path_that_recovers_has_still_fallen_below() -> None:
    paths = np.array([[90.0, 70.0, 85.0], [90.0, 85.0, 81.0]])
    assert passages(paths, np.array([0.0, 10.0, 20.0]), 80.0).tolist() == [5.0, math.inf]


# Gaussian processes


@pytest.mark.parametrize("kernel", ["rbf", "matern32"])
@pytest.mark.parametrize("line", [False, True])
def test_the_gradient_is_that_of_the_likelihood(kernel: regression.Kernel, line: bool) -> None:
    data = regression.standardise(cell(1, count=15, share=0.5), line)
    distance = np.abs(data.x[:, None] - data.x[None])
    theta = np.log(np.array([1.7, 0.8, 0.02]))
    _, gradient = regression.objective(theta, distance, data, kernel)
    for i in range(3):
        step = 1e-5 * np.eye(3)[i]
        up = regression.objective(theta + step, distance, data, kernel)[0]
        down = regression.objective(theta - step, distance, data, kernel)[0]
        assert (up - down) / 2e-5 == pytest.approx(gradient[i], rel=1e-5, abs=1e-6)


def sklearn_model(theta: Array, optimise: bool) -> object:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    signal, length, noise = np.exp(theta)
    kernel = ConstantKernel(signal, (1e-3, 1e3)) * RBF(length, (0.05, 20)) + WhiteKernel(noise, (1e-6, 1))
    return GaussianProcessRegressor(
        kernel, optimizer="fmin_l_bfgs_b" if optimise else None, n_restarts_optimizer=0
    )


def test_the_forecast_is_that_of_scikit_learn_with_the_same_hyperparameters() -> None:
    seen = cell(2, count=20, share=0.5)
    data = regression.standardise(seen, False)
    theta = np.log(np.array([1.0, math.sqrt(0.2), 0.1]))
    model = sklearn_model(theta, False)
    model.fit(data.x[:, None], data.y)  # type: ignore[attr-defined]
    at = np.array(ahead(seen))
    mean, sd = model.predict(  # type: ignore[attr-defined]
        ((at - data.x_mean) / data.x_sd)[:, None], return_std=True
    )
    made = forecast(Past(seen), tuple(at), "gp-default")
    assert made.mean() == pytest.approx(data.y_mean + data.y_sd * mean, rel=1e-9)
    assert made.sd() == pytest.approx(data.y_sd * sd, rel=1e-7)


def test_the_likelihood_is_at_least_that_which_scikit_learn_finds() -> None:
    for number in range(5):
        data = regression.standardise(cell(number, count=30, share=0.5), False)
        distance = np.abs(data.x[:, None] - data.x[None])
        model = sklearn_model(np.log(np.array([1.0, 1.0, 0.01])), True)
        model.fit(data.x[:, None], data.y)  # type: ignore[attr-defined]
        theirs = -model.log_marginal_likelihood_value_  # type: ignore[attr-defined]
        ours = regression.objective(regression.maximise(data, "rbf"), distance, data, "rbf")[0]
        assert ours <= theirs + 1e-4


def test_noise_is_not_part_of_the_latent_curve() -> None:
    """The source's sample program adds the noise to k(x*, x), and is then certain at every observed x."""
    seen = cell(3, count=20, share=0.5)
    at = tuple(o.cycle for o in seen.observations)
    made = forecast(Past(seen), at, "gp-default")
    assert (made.sd(observed=False) > 0).all()
    assert (made.sd(observed=False) < made.sd()).all()
    assert np.abs(made.mean() - [o.soh_pct for o in seen.observations]).max() > 0


def test_quadrature_carries_nearly_all_of_the_posterior() -> None:
    made = forecast(Past(cell(4, count=30, share=0.5)), ahead(cell(4, count=30, share=0.5)), "gp-bayes")
    assert dict(made.notes)["quadrature weight carried"] > 0.2
    assert made.weights.sum() == pytest.approx(1)


# Weibull


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.6, 8), st.floats(0.0, 0.8), st.integers(8, 60))
def test_the_weibull_fit_is_that_of_scipy(seed: int, shape: float, censored: float, count: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    drawn = np.random.default_rng(seed)
    life = 1000 * drawn.weibull(shape, count)
    end = np.quantile(life, 1 - censored)
    t, failed = np.minimum(life, end), life < end
    made = weibull.fit(t.tolist(), failed.tolist())
    if isinstance(made, NotAssessable):
        assert failed.sum() < 3
        return
    data = stats.CensoredData(uncensored=t[failed], right=t[~failed])
    wanted, _, scale = stats.weibull_min.fit(data, floc=0)

    def loss(a: float, b: float) -> float:
        return -float(
            stats.weibull_min.logpdf(t[failed], a, scale=b).sum()
            + stats.weibull_min.logsf(t[~failed], a, scale=b).sum()
        )

    assert loss(made.shape, made.scale) <= loss(wanted, scale) + 1e-6
    assert made.shape == pytest.approx(wanted, rel=2e-2)


def test_leaving_out_survivors_makes_life_look_short() -> None:
    life = 1000 * np.random.default_rng(5).weibull(3, 400)
    t, failed = np.minimum(life, np.quantile(life, 0.4)), life < np.quantile(life, 0.4)
    whole, cut = weibull.fit(t.tolist(), failed.tolist()), weibull.fit(t[failed].tolist(), [True] * 160)
    assert isinstance(whole, weibull.Weibull)
    assert isinstance(cut, weibull.Weibull)
    truth = 1000 * (-math.log(0.9)) ** (1 / 3)
    assert whole.quantile(0.1) == pytest.approx(truth, rel=0.1)
    assert cut.quantile(0.1) < 0.9 * truth
    line = weibull.rank_line(t.tolist(), failed.tolist())
    assert isinstance(line, weibull.RankLine)
    assert line.shape == pytest.approx(whole.shape, rel=0.2)


# The fleet


def test_the_fleet_foresees_what_the_cell_alone_cannot(fitted: fleet.Fleet) -> None:
    together, alone = [], []
    for number in range(100, 112):
        whole = cell(number)
        past = History(whole.observations[:30])
        held = whole.observations[30:]
        cycles = tuple(o.cycle for o in held if o.cycle <= 1.99 * past.last)
        y = np.array([o.soh_pct for o in held if o.cycle <= 1.99 * past.last])
        together.append(forecast(Past(past, "made-up", fitted), cycles).crps(y).mean())
        alone.append(forecast(Past(past), cycles).crps(y).mean())
    assert np.mean(together) < np.mean(alone)


def test_a_fleet_of_another_model_is_not_used(fitted: fleet.Fleet) -> None:
    seen = cell(200, share=0.5, count=30)
    told = forecast(Past(seen, "another", fitted), ahead(seen))
    assert told.method == fleet.CELL_ONLY
    assert "another" in told.warnings[0]
    assert (told.mean() == forecast(Past(seen), ahead(seen)).mean()).all()


def test_a_cell_unlike_any_of_the_fleet_is_forecast_alone(fitted: fleet.Fleet) -> None:
    odd = cell(201, share=0.5, count=30)
    low = History(tuple(Observation(o.cycle, o.soh_pct - 25) for o in odd.observations))
    told = forecast(Past(low, "made-up", fitted), ahead(low))
    assert told.method == fleet.CELL_ONLY
    assert dict(told.notes)["fleet weight"] == 0


def test_too_few_cells_make_no_fleet() -> None:
    made = fleet.fit("few", [cell(n) for n in range(9)])
    assert isinstance(made, NotAssessable)
    assert made.reason == "too-few-cells"


def test_a_fleet_survives_its_document(fitted: fleet.Fleet, tmp_path: Path) -> None:
    said = document(fitted)
    assert FleetDocument.model_validate_json(said.model_dump_json()).digest() == said.digest()
    place = tmp_path / "fleet.json"
    place.write_text(said.model_dump_json(), "utf-8")
    seen = cell(202, share=0.5, count=30)
    a, b = (forecast(Past(seen, "made-up", f), ahead(seen)) for f in (fitted, read_fleet(place)))
    assert (a.mean() == b.mean()).all()
    with pytest.raises(Invalid):
        fleet_of(said.model_copy(update={"method": "tea-leaves"}))
    for bad in ("", "{}", said.model_dump_json().replace('"widening":', '"narrowing":')):
        place.write_text(bad, "utf-8")
        with pytest.raises(Invalid):
            read_fleet(place)


def test_the_joint_covariance_of_the_line_and_wander_agrees_with_its_own_deviations() -> None:
    seen = cell(7, share=0.5, count=30)
    posterior = gp.fit(seen)
    assert isinstance(posterior, gp.Posterior)
    grid = np.array(ahead(seen))
    mean, covariance = fleet.joint(posterior, grid)
    wanted_mean, wanted_sd = posterior.latent(grid)
    assert mean == pytest.approx(wanted_mean)
    assert np.sqrt(np.diag(covariance)) == pytest.approx(wanted_sd)


# Every method


@pytest.mark.parametrize("method", sorted(FORECASTERS))
def test_every_method_is_deterministic_says_its_limits_and_keeps_its_quantiles_in_order(
    method: str, fitted: fleet.Fleet
) -> None:
    seen = cell(300, share=0.5, count=30)
    past = Past(seen, "made-up", fitted, [cell(n) for n in range(20)])
    cycles = ahead(seen)
    made, again = forecast(past, cycles, method), forecast(past, cycles, method)
    assert (made.mean() == again.mean()).all()
    assert made.limits
    assert made.version
    assert (made.quantile(0.05) <= made.quantile(0.5)).all()
    assert (made.quantile(0.5) <= made.quantile(0.95)).all()
    assert made.paths(50).shape == (50, len(cycles))


@pytest.mark.parametrize("method", sorted(set(FORECASTERS) - {"weibull"}))
def test_every_method_refuses_what_holds_no_fade(method: str, fitted: fleet.Fleet) -> None:
    def flat(*soh: float) -> Past:
        return Past(History(tuple(Observation(10.0 * i, s) for i, s in enumerate(soh))), "made-up", fitted)

    rising = flat(*(90 + 0.1 * i for i in range(12)))
    for past in (flat(95.0), flat(*[95.0] * 12), rising):
        made = forecasts.forecast(past, (120.0,), method)
        assert isinstance(made, NotAssessable)
        assert made.words


def test_cycles_that_make_no_grid_are_refused() -> None:
    past = Past(cell(1, share=0.5))
    for cycles in ((), (1e9, 2.0), (math.nan,), (-5.0,)):
        with pytest.raises(Invalid):
            forecasts.forecast(past, cycles)
    with pytest.raises(Invalid):
        forecasts.forecast(past, (500.0,), "tea leaves")
    assert isinstance(forecasts.forecast(past, (1e9,)), NotAssessable)


def test_of_a_very_long_history_a_part_is_used_and_this_is_said(fitted: fleet.Fleet) -> None:
    long = cell(302, share=0.5, count=1500)
    for method in ("fleet-weighted", "gp-linear-trend", "gp-ml-matern32-line"):
        made = forecast(Past(long, "made-up", fitted), (long.last * 1.2,), method)
        assert any("Of 1500 observations 100" in w for w in made.warnings)


def test_a_knee_is_told() -> None:
    u = np.linspace(0, 1, 40)
    bent = History(tuple(Observation(500 * float(x), 98 - 2 * float(x) - 8 * float(x) ** 4) for x in u))
    straight = History(tuple(Observation(500 * float(x), 98 - 6 * float(x)) for x in u))
    assert any("knee may have begun" in w for w in forecast(Past(bent), (510.0, 520.0)).warnings)
    assert forecasts.knee(straight)[0] == pytest.approx(1)


def test_a_longer_promise_is_less_sure(fitted: fleet.Fleet) -> None:
    past = Past(cell(301, share=0.5, count=30), "made-up", fitted)
    left = []
    for likely in (0.95, 0.8, 0.5):
        made = forecasts.remaining(past, 80.0, likely)
        assert isinstance(made, forecasts.Remaining)
        left.append(made.cycles)
    assert 0 < left[0] < left[1] < left[2]
    never = forecasts.remaining(past, 20.0)
    assert isinstance(never, forecasts.Remaining)
    assert never.whole_reach
    one = History(past.history.observations[:1])
    assert isinstance(forecasts.remaining(Past(one), 80.0), NotAssessable)


# The command line


def table(path: Path, cells: dict[str, History], model: str = "made-up") -> Path:
    rows = ["dataset,cell,cycle,capacity_Ah,nominal_Ah"]
    rows += [
        f"{model},{name},{o.cycle},{o.soh_pct * 0.02},2.0"
        for name, h in cells.items()
        for o in h.observations
    ]
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


def test_the_command_line_fits_a_fleet_and_forecasts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fade = table(tmp_path / "fade.csv", {str(n): cell(n) for n in range(12)})
    out = tmp_path / "fleet.json"
    assert run(["lifetime", "fit-fleet", str(fade), "--model", "made-up", "--out", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cells"] == 12
    seen = cell(400, share=0.5, count=30)
    history = table(tmp_path / "history.csv", {"x": seen})
    at = ",".join(map(str, ahead(seen)))
    assert run(["lifetime", "forecast", str(history), "--fleet", str(out), "--at", at, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["method"] == "fleet-weighted"
    assert len(told["mean_pct"]) == len(told["quantiles_pct"]["0.95"]) == 12
    assert run(["lifetime", "forecast", str(history), "--at", "500:600:50"]) == 0
    assert "likely" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("a,b\n1,2\n", "lacks the columns"),
        ("dataset,cell,cycle,capacity_Ah,nominal_Ah\n", "no observation"),
        ("dataset,cell,cycle,capacity_Ah,nominal_Ah\nm,1,5,nan,2\n", "not a number"),
        ("dataset,cell,cycle,capacity_Ah,nominal_Ah\nm,1,5,-1,2\n", "not above 0"),
        ("dataset,cell,cycle,capacity_Ah,nominal_Ah\nm,1,-5,1,2\n", "negative"),
        ("dataset,cell,cycle,capacity_Ah,nominal_Ah\nm,1,5,1,2\nm,1,5,1,2\n", "twice"),
        ("dataset,cell,cycle,capacity_Ah,nominal_Ah\nm,1,5,1,2\n", "too few"),
    ],
)
def test_a_table_that_holds_no_history_is_refused_in_words(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "history.csv"
    place.write_text(text, "utf-8")
    assert run(["lifetime", "forecast", str(place), "--at", "9"]) != 0
    assert words in capsys.readouterr().err


def test_rows_may_come_in_any_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = cell(401, share=0.5, count=20)
    place = table(tmp_path / "history.csv", {"x": seen})
    head, *rows = place.read_text("utf-8").splitlines()
    told = []
    for order in (rows, rows[::-1]):
        place.write_text("\n".join([head, *order]), "utf-8")
        assert run(["lifetime", "forecast", str(place), "--at", str(seen.last * 1.5), "--json"]) == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
