from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from governance.framework import FRAMEWORK, Grade, Need, Text
from governance.grading import Figure, NotGradable, grade

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
