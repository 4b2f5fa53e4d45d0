import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.lifetime import warranty
from analysis.lifetime.predictive import Array, Predictive, single
from analysis.lifetime.warranty import Terms, Tier
from schemas.errors import Invalid

TERMS = Terms(80, 1000, 5, 200, (Tier(0.5, 100.0), Tier(1.0, 50.0)), discount_rate=0.02)


def wiener(paths: int, steps: int, drift: float, sd: float, seed: int = 1) -> Array:
    drawn = np.random.default_rng(seed).standard_normal((paths, steps)) * sd / math.sqrt(steps)
    fall = np.cumsum(drift / steps + drawn, axis=1)
    return np.column_stack([np.zeros(paths), -fall])


def line(mean: float, end: float, sd: float = 0.0) -> Predictive:
    grid = TERMS.grid(500)
    u = np.linspace(0, 1, len(grid))
    return single(grid, mean + (end - mean) * u, sd**2 * np.outer(u, u), 0.1, "m", "1", ())


@pytest.mark.parametrize("drift", [0.0, 0.5, 1.0])
def test_first_passage_is_the_closed_form_of_a_wiener_process(drift: float) -> None:
    sd, distance, steps = 1.0, 1.5, 12
    truth = warranty.passage_probability(distance, drift, sd, 1.0)
    paths = wiener(200_000, steps, drift, sd)
    bridged = np.isfinite(warranty.passage_shares(paths, -distance, sd**2 / steps)).mean()
    coarse = np.isfinite(warranty.passage_shares(paths, -distance)).mean()
    marginal = (paths[:, -1] < -distance).mean()
    assert bridged == pytest.approx(truth, abs=0.004)
    assert marginal < coarse < truth


def test_the_expected_shortfall_of_capacity_is_the_closed_form() -> None:
    made = line(95, 81, sd=3.0)
    drawn = np.maximum(80 - made.paths(200_000)[:, -1], 0).mean()
    assert warranty.shortfall(made, 80) == pytest.approx(drawn, rel=0.02)


def test_a_sure_claim_costs_its_discounted_tier() -> None:
    made = warranty.price(line(95, 65), TERMS, paths=100)
    assert made.claim_probability == 1
    assert made.mean == pytest.approx(100 * math.exp(-0.02 * 2.5), rel=1e-6)
    early = warranty.price(line(95, 75), TERMS, paths=100)
    assert early.mean == pytest.approx(50 * math.exp(-0.02 * 3.75), rel=1e-6)


def test_a_cell_that_never_falls_costs_nothing() -> None:
    assert warranty.price(line(95, 90), TERMS, paths=100).mean == 0


def test_a_cell_already_below_claims_at_once() -> None:
    assert warranty.price(line(79, 70), TERMS, paths=100).mean == pytest.approx(100)


@given(st.floats(70, 85), st.floats(70, 85))
def test_a_higher_promise_never_costs_less(a: float, b: float) -> None:
    low, high = sorted((a, b))
    made = line(95, 78, sd=4.0)
    costs = [
        warranty.price(made, Terms(t, 1000, 5, 200, (Tier(1.0, 100.0),)), paths=500).mean for t in (low, high)
    ]
    assert costs[0] <= costs[1]


def test_the_nearer_of_both_limits_ends_the_term() -> None:
    assert Terms(80, 1000, 2, 200, (Tier(1.0, 1.0),)).span == 400
    assert Terms(80, 300, 2, 200, (Tier(1.0, 1.0),)).span == 300


def test_a_common_factor_leaves_the_mean_and_fattens_the_tail() -> None:
    cell = warranty.price(line(95, 84, sd=3.0), TERMS, paths=4000)
    alone, together = (warranty.lot_price([cell] * 200, rho, scenarios=4000) for rho in (0.0, 0.3))
    assert isinstance(alone, warranty.LotPrice)
    assert isinstance(together, warranty.LotPrice)
    assert alone.mean == pytest.approx(together.mean)
    assert alone.mean == pytest.approx(200 * cell.mean)
    assert together.value_at_risk > 1.5 * alone.value_at_risk
    assert together.expected_shortfall >= together.value_at_risk
    assert alone.value_at_risk < 2 * alone.mean


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold_pct": 0.0},
        {"cycles": -1.0},
        {"years": math.nan},
        {"tiers": ()},
        {"tiers": (Tier(0.5, 1.0),)},
        {"tiers": (Tier(1.0, -1.0),)},
        {"discount_rate": -0.1},
    ],
)
def test_terms_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    good: dict[str, object] = {
        "threshold_pct": 80.0,
        "cycles": 1000.0,
        "years": 5.0,
        "cycles_per_year": 200.0,
        "tiers": (Tier(1.0, 1.0),),
    }
    with pytest.raises(Invalid):
        Terms(**(good | wrong))  # type: ignore[arg-type]
