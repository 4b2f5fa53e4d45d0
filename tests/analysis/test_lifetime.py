import csv
import gzip
import json
import math
from itertools import pairwise
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analysis.lifetime import gp
from analysis.lifetime.history import History, Observation
from analysis.lifetime.statement import Inputs, run
from analysis.result import NotAssessable
from schemas.errors import Invalid

DATA = Path(__file__).parents[3] / "shared" / "data" / "capacity_fade.csv.gz"


def history(*rows: tuple[float, ...]) -> History:
    return History(tuple(Observation(*row) for row in rows))


def fading(bend: float = 1e-5, count: int = 16, sd: float = 0.0) -> History:
    cycles = [20.0 * i for i in range(count)]
    return history(*((c, 100 - 0.02 * c - bend * c * c + 0.2 * math.sin(c), sd) for c in cycles))


def forecast(seen: History, *cycles: float, threshold: float = 80.0) -> gp.Forecast:
    made = gp.forecast(seen, cycles, threshold)
    assert isinstance(made, gp.Forecast), made
    return made


AHEAD = tuple(float(c) for c in range(300, 901, 50))


def test_the_posterior_is_the_one_of_the_textbook() -> None:
    """Against the joint Gaussian with the line's prior made very wide, and W started at the last cycle."""
    seen = fading(count=12, sd=0.1)
    fitted = gp.fit(seen)
    assert isinstance(fitted, gp.Posterior)
    at = np.array([50.0, 130.0, 220.0, 300.0, 440.0])
    every = (np.array([o.cycle for o in seen.observations] + list(at)) - 220) / 220

    def wiener(s: float, t: float) -> float:
        m = min(abs(s), abs(t))
        return m**3 / 3 + abs(abs(s) - abs(t)) * m * m / 2 if s * t > 0 else 0.0

    wide = 1e7
    k = np.array([[fitted.variance_wander * wiener(s, t) + wide * (1 + s * t) for t in every] for s in every])
    n = len(seen.observations)
    noisy = k[:n, :n] + np.eye(n) * (fitted.variance_noise + 0.01)
    y = np.array([o.soh_pct for o in seen.observations])
    mean = k[n:, :n] @ np.linalg.solve(noisy, y)
    sd = np.sqrt(np.diag(k[n:, n:] - k[n:, :n] @ np.linalg.solve(noisy, k[:n, n:])))
    got_mean, got_sd = fitted.latent(at)
    assert got_mean == pytest.approx(mean, abs=1e-3)
    assert got_sd == pytest.approx(sd, rel=1e-3)


def test_the_hyperparameters_lie_at_a_peak() -> None:
    seen = fading()
    fitted = gp.fit(seen)
    assert isinstance(fitted, gp.Posterior)
    x = fitted.x
    y = np.array([o.soh_pct for o in reversed(seen.observations)])
    data = (gp._integrated_wiener(x, x), np.zeros(len(x)), gp._line(x), y)
    theta = np.log([fitted.variance_wander, fitted.variance_noise])
    value, gradient, hessian, _ = gp._objective(theta, *data)
    assert np.abs(gradient).max() < 1e-6
    assert np.linalg.eigvalsh(hessian).min() > 0
    step = 1e-4
    for i in (0, 1):
        there = theta + step * np.eye(2)[i]
        back = theta - step * np.eye(2)[i]
        up, down = gp._objective(there, *data), gp._objective(back, *data)
        assert (up[0] - down[0]) / (2 * step) == pytest.approx(gradient[i], abs=1e-5)
        assert (up[1] - down[1]) / (2 * step) == pytest.approx(hessian[i], rel=1e-4, abs=1e-5)
        assert min(up[0], down[0]) > value


@settings(max_examples=25, deadline=None)
@given(
    st.integers(5, 40),
    st.floats(0.005, 0.05),
    st.floats(0, 5e-5),
    st.floats(0.01, 1),
    st.integers(0, 2**32 - 1),
)
def test_a_rounding_error_in_the_inputs_stays_one(
    count: int, slope: float, bend: float, noise: float, seed: int
) -> None:
    """Two machines differ by rounding; the figures may then differ by the stated tolerance at most."""
    drawn = np.random.default_rng(seed)
    cycles = np.linspace(0, 300, count)
    y = 100 - slope * cycles - bend * cycles**2 + noise * drawn.standard_normal(count)
    nudged = y * (1 + 1e-15 * drawn.standard_normal(count))
    a, b = (
        gp.forecast(history(*((float(c), float(s)) for c, s in zip(cycles, v, strict=True))), AHEAD[:8], 80.0)
        for v in (y, nudged)
    )
    assume(isinstance(a, gp.Forecast))
    assert isinstance(a, gp.Forecast)
    assert isinstance(b, gp.Forecast)
    assert a.mean_pct == pytest.approx(b.mean_pct, rel=gp.RELATIVE_TOLERANCE)
    assert a.sd_pct == pytest.approx(b.sd_pct, rel=gp.RELATIVE_TOLERANCE)


def test_the_same_history_gives_the_same_figures() -> None:
    assert forecast(fading(), *AHEAD) == forecast(fading(), *AHEAD)


def test_uncertainty_grows_with_the_distance_and_the_quantiles_keep_their_order() -> None:
    made = forecast(fading(), *AHEAD)
    assert all(a < b for a, b in pairwise(made.sd_pct))
    columns = [made.quantiles_pct(level) for level in gp.LEVELS]
    for low, high in pairwise(columns):
        assert all(a < b for a, b in zip(low, high, strict=True))
    assert made.quantiles_pct(0.5) == pytest.approx(made.mean_pct)


def test_the_latent_curve_excludes_the_noise_and_a_new_observation_includes_it() -> None:
    seen = fading()
    made = forecast(seen, *(o.cycle for o in seen.observations))
    assert all(0 < s < made.noise_sd_pct for s in made.sd_pct[2:-2])
    assert made.observed_sd_pct() == pytest.approx([math.hypot(s, made.noise_sd_pct) for s in made.sd_pct])


def test_a_vaguer_measurement_makes_a_vaguer_forecast() -> None:
    sharp, vague = forecast(fading(sd=0.0), 300.0), forecast(fading(sd=2.0), 300.0)
    assert vague.sd_pct[0] > sharp.sd_pct[0]


def test_the_end_of_life_is_where_the_curve_meets_the_threshold() -> None:
    end = forecast(fading(), 300.0).end_of_life
    assert end.earliest is not None
    assert end.median is not None
    assert end.earliest < end.median
    assert end.latest is None or end.median < end.latest
    at = forecast(fading(), end.earliest, end.median)
    assert at.mean_pct[1] == pytest.approx(80, abs=1e-6)
    assert at.quantiles_pct(0.05)[0] == pytest.approx(80, abs=1e-6)


def test_an_end_of_life_beyond_the_horizon_is_not_told() -> None:
    end = forecast(fading(), 300.0, threshold=1.0).end_of_life
    assert (end.earliest, end.median, end.latest) == (None, None, None)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ((), "empty"),
        (((0, 100), (10, math.nan)), "not a finite"),
        (((0, 100), (math.inf, 99)), "not a finite"),
        (((0, 100), (10, 99), (10, 98)), "twice"),
        (((0, 100), (20, 99), (10, 98)), "not in order"),
        (((0, 100), (10, -5)), "not between"),
        (((0, 100), (10, 100_000)), "not between"),
        (((-1, 100), (10, 99)), "negative"),
        (((0, 100, -1), (10, 99)), "negative"),
    ],
)
def test_a_history_that_is_wrong_is_refused_in_words(rows: tuple[tuple[float, ...], ...], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        history(*rows)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([(0.0, 100.0)], "too-few"),
        ([(10.0 * i, 100.0 - i) for i in range(4)], "too-few"),
        ([(10.0 * i, 97.0) for i in range(10)], "constant"),
        ([(10.0 * i, 90.0 + i) for i in range(10)], "rising"),
        ([(10.0 * i, 100.0 - 3 * i if i < 7 else 70.0 + 2 * i) for i in range(12)], "rising"),
        ([(10.0 * i, 100.0 - 9 * i) for i in range(10)], "exhausted"),
    ],
)
def test_a_history_without_fade_gets_no_forecast(rows: list[tuple[float, float]], reason: str) -> None:
    made = gp.forecast(history(*rows), (250.0 if reason == "exhausted" else 120.0,))
    assert isinstance(made, NotAssessable)
    assert made.reason == reason


def test_beyond_three_spans_there_is_no_number() -> None:
    made = gp.forecast(fading(), (900.1,))
    assert isinstance(made, NotAssessable)
    assert made.reason == "horizon"


@pytest.mark.parametrize("cycles", [(), (math.nan,), (400.0, 300.0), (400.0, 400.0), (-1.0, 300.0)])
def test_a_grid_that_is_none_is_refused(cycles: tuple[float, ...]) -> None:
    with pytest.raises(Invalid, match="forecast"):
        gp.forecast(fading(), cycles)


@pytest.mark.parametrize("threshold", [0.0, 100.0, -3.0, math.nan])
def test_a_threshold_that_is_none_is_refused(threshold: float) -> None:
    with pytest.raises(Invalid, match="threshold"):
        gp.forecast(fading(), (400.0,), threshold)


def asked(**change: Any) -> dict[str, Any]:
    seen = [{"cycle": o.cycle, "soh_pct": o.soh_pct, "sd_pct": o.sd_pct} for o in fading().observations]
    base = {"subject": "urn:x", "method": "gp-linear-trend", "cycles": list(AHEAD), "threshold_pct": 80.0}
    return base | {"observations": seen} | change


def test_the_tool_gives_the_same_again_after_json_its_figures_rounded() -> None:
    made = run(asked())
    assert json.loads(json.dumps(run(json.loads(json.dumps(asked()))))) == made
    figures = made["figures"]
    assert all(round(m, 6) == m for m in figures["mean_pct"])
    assert figures["limits"]
    assert figures["cycles"] == list(AHEAD)
    assert Inputs.model_validate(asked()).digest() == Inputs.model_validate(asked()).digest()


def test_the_end_of_life_is_found_on_the_way_also_where_one_cycle_is_asked_for() -> None:
    whole, last = (
        run(asked(cycles=cycles))["figures"]["end_of_life"] for cycles in (list(AHEAD), [AHEAD[-1]])
    )
    for name in ("earliest", "median"):
        assert whole[name] == pytest.approx(last[name], rel=0.05)


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ({"method": "tea-leaves"}, "invalid"),
        ({"observations": []}, "invalid"),
        ({"cycles": [math.nan]}, "invalid"),
        ({"more": 1}, "invalid"),
        ({"observations": asked()["observations"][:2]}, "not_assessable"),
        ({"cycles": [1e9]}, "not_assessable"),
    ],
)
def test_the_tool_answers_inputs_it_cannot_use_in_words(change: dict[str, Any], answer: str) -> None:
    assert set(run(asked(**change))) - {"words"} == {answer}


@pytest.mark.skipif(not DATA.exists(), reason="the measured fade (../shared/data) is not here")
def test_the_second_half_of_life_is_forecast_from_the_first_as_well_as_this_method_can() -> None:
    """Every eighth cell: 30 check-ups of the first half forecast 30 points of the second."""
    cells: dict[tuple[str, str], dict[float, float]] = {}
    with gzip.open(DATA, "rt") as file:
        for row in csv.DictReader(file):
            soh = 100 * float(row["capacity_Ah"]) / float(row["nominal_Ah"])
            cells.setdefault((row["dataset"], row["cell"]), {})[float(row["cycle"])] = soh
    normal = NormalDist()
    scores, inside = [], []
    for fade in list(cells.values())[::8]:
        points = sorted(fade.items())
        half = len(points) // 2
        first = np.unique(np.linspace(0, half - 1, 30).round().astype(int))
        second = np.unique(np.linspace(half, len(points) - 1, 30).round().astype(int))
        made = gp.forecast(history(*(points[i] for i in first)), tuple(points[i][0] for i in second), 80.0)
        if isinstance(made, NotAssessable):
            continue
        for i, mean, sd in zip(second, made.mean_pct, made.observed_sd_pct(), strict=True):
            z = (points[i][1] - mean) / sd
            scores.append(sd * (z * (2 * normal.cdf(z) - 1) + 2 * normal.pdf(z) - 1 / math.sqrt(math.pi)))
            inside.append(abs(z) < normal.inv_cdf(0.95))
    assert len(scores) > 800
    assert np.mean(scores) < 1.95
    assert 0.7 < np.mean(inside) < 0.97
