import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.lifetime.history import History, Observation
from analysis.lifetime.statement import Stated, pseudonym, state
from governance.audit import Certified, Findings, recompute

SUBJECT = pseudonym("P3F9KQ27MT-C017-W", b"sixteen random b")
CYCLES = tuple(float(c) for c in range(300, 901, 60))


def stated() -> Stated:
    seen = tuple(
        Observation(float(c), 100 - 0.02 * c - 1e-5 * c * c + 0.2 * math.sin(c), 0.1)
        for c in range(0, 301, 20)
    )
    made = state(SUBJECT, History(seen), CYCLES, 80.0)
    assert isinstance(made, Stated)
    return made


STATED = stated()


def codes(statement: object, inputs: object) -> list[str]:
    outcome = recompute(statement, inputs)  # type: ignore[arg-type]
    assert isinstance(outcome, Findings)
    return [f.code for f in outcome.findings]


def test_what_was_honestly_stated_is_certified() -> None:
    outcome = recompute(STATED.statement, STATED.inputs)
    assert isinstance(outcome, Certified)
    assert outcome.max_deviation <= 1e-6
    assert outcome.figures == len(CYCLES) * 9 + 4
    assert outcome.statement_digest == STATED.statement.digest()


def test_it_is_certified_again_after_a_journey_through_json() -> None:
    statement = json.loads(json.dumps(STATED.statement.model_dump(mode="json")))
    inputs = json.loads(json.dumps(STATED.inputs.model_dump(mode="json")))
    assert recompute(statement, inputs) == recompute(STATED.statement, STATED.inputs)


def test_nothing_stated_names_the_cell() -> None:
    everything = STATED.statement.model_dump_json() + STATED.inputs.model_dump_json()
    assert "P3F9KQ27MT" not in everything
    assert pseudonym("A", b"a" * 16) != pseudonym("A", b"b" * 16)
    with pytest.raises(ValueError, match="guessed"):
        pseudonym("A", b"short")


@settings(max_examples=20, deadline=None)
@given(
    column=st.sampled_from(["mean_pct", "sd_pct"]),
    at=st.integers(0, len(CYCLES) - 1),
    by=st.floats(1e-4, 5) | st.floats(-5, -1e-4),
)
def test_no_edited_figure_passes(column: str, at: int, by: float) -> None:
    figures = list(getattr(STATED.statement, column))
    figures[at] += by
    edited = STATED.statement.model_copy(update={column: tuple(figures)})
    outcome = recompute(edited, STATED.inputs)
    assert isinstance(outcome, Findings)
    assert [f.code for f in outcome.findings] == ["deviates"]
    assert f"{column}[{at}]" in outcome.findings[0].evidence


@settings(max_examples=20, deadline=None)
@given(at=st.integers(0, 15), by=st.floats(0.01, 2))
def test_no_edited_input_passes(at: int, by: float) -> None:
    inputs = STATED.inputs.model_dump(mode="json")
    inputs["observations"][at]["soh_pct"] -= by
    assert codes(STATED.statement, inputs) == ["wrong-inputs"]


def test_a_cherry_picked_history_is_found() -> None:
    inputs = STATED.inputs.model_dump(mode="json")
    del inputs["observations"][-1]
    assert codes(STATED.statement, inputs) == ["wrong-inputs"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"method": "tea-leaves"}, "unknown-method"),
        ({"method": "polarisation-resistance"}, "unknown-method"),
        ({"version": "0.9"}, "unknown-version"),
        ({"code_digest": "sha256:00"}, "other-code"),
        ({"inputs_digest": "sha256:00"}, "wrong-inputs"),
        ({"subject": "urn:meguri:subject:00"}, "other-subject"),
        ({"mean_pct": (math.nan,) * len(CYCLES)}, "non-finite"),
        ({"threshold_pct": math.inf}, "non-finite"),
        ({"mean_pct": (90.0,)}, "malformed"),
        ({"limits": ()}, "other-limits"),
        ({"quantiles_pct": {}}, "other-figures"),
        ({"cycles": (*CYCLES[:-1], 1e6)}, "not-assessable"),
        ({"cycles": tuple(reversed(CYCLES))}, "bad-inputs"),
        ({"threshold_pct": 60.0}, "deviates"),
    ],
)
def test_each_fault_is_found_by_its_name(change: dict[str, object], code: str) -> None:
    assert codes(STATED.statement.model_copy(update=change), STATED.inputs) == [code] * len(
        codes(STATED.statement.model_copy(update=change), STATED.inputs)
    )


def test_what_cannot_be_read_is_malformed_and_never_an_exception() -> None:
    assert codes({}, {}) == ["malformed"]
    assert codes({"subject": 3}, STATED.inputs) == ["malformed"]


def test_an_end_of_life_withheld_is_found() -> None:
    end = STATED.statement.end_of_life
    assert end.median is not None
    edited = STATED.statement.model_copy(update={"end_of_life": end.model_copy(update={"median": None})})
    assert codes(edited, STATED.inputs) == ["deviates"]
