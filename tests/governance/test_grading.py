from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from governance.framework import FRAMEWORK, Grade, Need, Text
from governance.grading import Figure, NotGradable, because, figures_of, grade, worst_of
from schemas.claims import DiagnosisResult

GRADES = FRAMEWORK.rules.grades
TITLE = Text(en="A", ja="甲")
CAPACITY = (
    Grade(
        name="first",
        title=TITLE,
        use="reuse",
        needs=(
            Need(measurement="capacity_ah", at_least=Decimal(50)),
            Need(measurement="resistance_rise_pct", at_most=Decimal(50)),
            Need(measurement="soh_pct", at_least=Decimal(80), interval_at_most=Decimal(10)),
        ),
    ),
    Grade(name="rest", title=TITLE, use="recycling"),
)

percents = st.decimals(0, 100, places=2)
figures = st.tuples(percents, percents, percents).map(sorted).map(lambda f: Figure(f[1], f[0], f[2]))


def measured(**figures: str) -> dict[str, Figure]:
    return {name: Figure(Decimal(figure)) for name, figure in figures.items()}


@given(figures)
def test_the_whole_interval_decides(figure: Figure) -> None:
    found = grade(GRADES, {"soh_pct": figure})
    assert isinstance(found, Grade)
    least = figure.least
    wanted = "A" if least >= 90 else "B" if least >= 80 else "C" if least >= 70 else "recycling"
    assert found.name == wanted


@given(figures, figures)
def test_who_is_better_is_graded_no_worse(one: Figure, other: Figure) -> None:
    places = [
        GRADES.index(found) for f in (one, other) if isinstance(found := grade(GRADES, {"soh_pct": f}), Grade)
    ]
    if one.least >= other.least:
        assert places[0] <= places[1]


def test_what_is_missing_is_said_and_no_lower_class_given() -> None:
    assert grade(GRADES, {}) == NotGradable(("soh_pct",))
    assert grade(CAPACITY, measured(soh_pct="85")) == NotGradable(("capacity_ah", "resistance_rise_pct"))


def test_a_broken_limit_decides_though_something_is_missing() -> None:
    found = grade(CAPACITY, measured(resistance_rise_pct="80"))
    assert isinstance(found, Grade)
    assert found.name == "rest"


def test_all_limits_met_is_the_class() -> None:
    found = grade(CAPACITY, measured(capacity_ah="55", resistance_rise_pct="50", soh_pct="80"))
    assert isinstance(found, Grade)
    assert found.name == "first"


def test_an_interval_too_wide_is_no_proof() -> None:
    wide = measured(capacity_ah="55", resistance_rise_pct="50") | {
        "soh_pct": Figure(Decimal(90), Decimal(84), Decimal(95))
    }
    found = grade(CAPACITY, wide)
    assert isinstance(found, Grade)
    assert found.name == "rest"


def test_without_a_class_for_the_rest_nothing_is_given() -> None:
    assert grade(CAPACITY[:1], measured(capacity_ah="1")) == NotGradable(())


def stated(soh: str | None, **more: object) -> DiagnosisResult:
    """A result with this state of health, or one that gives none."""
    interval = {} if soh is None else {"lower_pct": Decimal(soh) - 2, "upper_pct": Decimal(soh) + 2}
    return DiagnosisResult.model_validate(
        {
            "item": "P3F9KQ27MH-C001-I",
            "measured_at": "2026-04-22T01:10:00Z",
            "soh_pct": soh,
            "not_assessable": "" if soh else "Temperature was not recorded.",
            "method": "m",
            "method_version": "1",
            "inputs_digest": "",
            "measurement_digest": "",
            "temperature_c": 25,
            "instruments": (),
        }
        | interval
        | more
    )


def test_the_answer_says_why() -> None:
    assert because(GRADES, figures_of([stated("94")])) == "class A because SOH 92–96 % (✓ ≥ 90)"
    assert because(GRADES, figures_of([stated("60")])) == "class recycling because SOH 58–62 % (✗ ≥ 70)"
    assert because(GRADES, {}) == "not gradable: needs SOH"
    assert because(CAPACITY, figures_of([stated("94")])) == ("not gradable: needs C, resistance_rise_pct")


def test_the_newest_result_of_each_quantity_counts_and_one_without_a_figure_takes_the_older_away() -> None:
    told = [stated("94"), stated("81", capacity_ah="48.2"), stated(None, measurement_digest="x")]
    assert figures_of(told[:2])["soh_pct"] == Figure(Decimal(81), Decimal(79), Decimal(83))
    assert "soh_pct" not in figures_of(told)
    assert figures_of(told)["capacity_ah"] == Figure(Decimal("48.2"))


@given(st.lists(figures, min_size=1, max_size=5))
def test_a_whole_is_no_better_than_its_worst_part(parts: list[Figure]) -> None:
    whole = worst_of([{"soh_pct": part} for part in parts])
    found = grade(GRADES, whole)
    assert isinstance(found, Grade)
    for part in parts:
        one = grade(GRADES, {"soh_pct": part})
        assert isinstance(one, Grade)
        assert GRADES.index(found) >= GRADES.index(one)


def test_a_part_that_was_not_measured_keeps_the_whole_from_a_grade() -> None:
    assert worst_of([{"soh_pct": Figure(Decimal(95))}, {}]) == {}
