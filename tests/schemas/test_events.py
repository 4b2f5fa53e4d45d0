from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.events import Event

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WORDS = st.text(max_size=20)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS: st.SearchStrategy[Any] = st.one_of(WORDS, NUMBERS, st.booleans(), st.none())


def event(**fields: Any) -> Event:
    return Event(**{"item": "P1", "kind": "pack", "what": "stored", "when": NOON, "who": "worker 7"} | fields)


@given(st.dictionaries(WORDS, SCALARS | st.lists(SCALARS, max_size=3), max_size=4))
def test_an_event_is_equal_again_after_json(details: dict[str, Any]) -> None:
    told = event(details=details, evidence=["zQm1"])
    assert Event.model_validate_json(told.model_dump_json()) == told
    assert Event.model_validate(told.model_dump(mode="json")) == told


def test_an_event_cannot_be_edited() -> None:
    told = event(details={"mass_kg": 3})
    with pytest.raises(ValidationError):
        told.where = "elsewhere"  # type: ignore[misc]
    with pytest.raises(TypeError):
        told.details["mass_kg"] = 4  # type: ignore[index]


def test_its_time_is_kept_in_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    told = event(when=datetime(2026, 3, 2, 21, tzinfo=tokyo))
    assert told.when == NOON
    assert told.when.tzinfo is UTC


@pytest.mark.parametrize(
    "wrong",
    [
        {"when": datetime(2026, 3, 2, 12)},
        {"item": ""},
        {"who": ""},
        {"what": ""},
        {"kind": "unicorn"},
        {"details": {"mass_kg": float("nan")}},
        {"colour": "red"},
        {"what": "corrected"},
        {"what": "annulled"},
        {"corrects": "00000000-0000-4000-8000-000000000000"},
    ],
)
def test_what_is_no_event_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        event(**wrong)
