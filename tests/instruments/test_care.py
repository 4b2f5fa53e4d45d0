"""What there is to see to beside a measurement."""

import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.care import WORDS, Care, Climate, Concern, Limits, ZeroAdjustment, read, read_room
from instruments.commands import Identity
from instruments.measurement import Measurement, Settings
from instruments.transport import transcript_digest
from schemas.errors import Invalid

NOON = datetime(2026, 5, 11, 12, 0, tzinfo=UTC)
MEASUREMENT = Measurement(
    cell="A",
    channel=101,
    rack="rack",
    frequencies_hz=(1000.0,),
    real_ohm=(0.02,),
    imag_ohm=(0.0,),
    ocv_v=3.7,
    temperature_c=25.0,
    soc_pct=50.0,
    operator="operator 7",
    started=NOON,
    finished=NOON + timedelta(minutes=2),
    settings=Settings(),
    meter=Identity("HIOKI", "BT4560", "M1", "V1"),
    switch=Identity("HIOKI", "SW1001", "S1", "V1"),
    relay_count=1000,
    zero_adjustment="Z1",
    attempts=1,
    drift=0.0,
    voltage_drift_v=0.0,
    closing_ohm=(0.02, 0.0),
    transcript_sha256=transcript_digest(""),
)
ZERO = ZeroAdjustment("Z1", NOON - timedelta(hours=3), "operator 7", "M1", 0.1, "MED")
GOOD = Care(
    zero_adjustments={"Z1": ZERO},
    calibrated_until={"M1": date(2027, 1, 1), "S1": date(2027, 1, 1)},
    room=(
        Climate(NOON - timedelta(minutes=40), 24.6),
        Climate(NOON - timedelta(minutes=5), 25.2, 40.0, "25 °C"),
    ),
)


def concerns(care: Care, measurement: Measurement = MEASUREMENT) -> list[Concern]:
    found = care.warnings(measurement)
    assert all(warning.words and "{" not in warning.words for warning in found)
    return [warning.concern for warning in found]


def test_in_good_order_there_is_nothing_to_say() -> None:
    assert concerns(GOOD) == []


def zero(**changes: object) -> Care:
    return replace(GOOD, zero_adjustments={"Z1": replace(ZERO, **changes)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("care", "concern"),
    [
        (replace(GOOD, zero_adjustments={}), Concern.ZERO_MISSING),
        (zero(at=NOON - timedelta(hours=25)), Concern.ZERO_OLD),
        (zero(at=NOON + timedelta(hours=1)), Concern.ZERO_OLD),
        (zero(range_ohm=0.01), Concern.ZERO_OTHER),
        (zero(meter_serial="M2"), Concern.ZERO_OTHER),
        (zero(rate="SLOW"), Concern.ZERO_OTHER),
        (replace(GOOD, calibrated_until={"M1": date(2027, 1, 1)}), Concern.CALIBRATION_UNKNOWN),
        (
            replace(GOOD, calibrated_until={**GOOD.calibrated_until, "S1": date(2026, 5, 10)}),
            Concern.CALIBRATION_OVER,
        ),
        (
            replace(GOOD, calibrated_until={**GOOD.calibrated_until, "S1": date(2026, 5, 11)}),
            Concern.CALIBRATION_DUE,
        ),
        (replace(GOOD, limits=Limits(relay_life=1000)), Concern.RELAY_OLD),
        (replace(GOOD, room=()), Concern.ROOM_UNKNOWN),
        (replace(GOOD, room=(Climate(NOON - timedelta(minutes=16), 25.0),)), Concern.ROOM_UNKNOWN),
        (replace(GOOD, room=(Climate(NOON, 22.0),)), Concern.ROOM_DIFFERS),
        (
            replace(GOOD, room=(Climate(NOON - timedelta(minutes=50), 21.0), Climate(NOON, 25.0))),
            Concern.ROOM_UNSTEADY,
        ),
    ],
)
def test_each_concern_is_called_by_its_name(care: Care, concern: Concern) -> None:
    assert concerns(care) == [concern]


def test_every_concern_has_words() -> None:
    assert set(WORDS) == set(Concern)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.floats(-20, 60)), max_size=20))
def test_the_room_is_read_back_in_order(readings: list[tuple[int, float]]) -> None:
    rows = [f"{(NOON + timedelta(seconds=s)).isoformat()},{c!r},,\n" for s, c in readings]
    room = read_room(["at,temp_c,humidity_pct,air_conditioning\n", *rows])
    assert sorted(r.temperature_c for r in room) == sorted(c for _, c in readings)
    for reading in Care(room=room).room:
        found = Care(room=room).room_at(reading.at)
        assert found is not None
        assert found.at == reading.at


@pytest.mark.parametrize(
    "row", ["noon,25,,\n", "2026-05-11T12:00:00,25,,\n", "2026-05-11T12:00:00Z,warm,,\n"]
)
def test_a_wrong_line_of_the_room_is_named(row: str) -> None:
    with pytest.raises(Invalid, match="line 2"):
        read_room(["at,temp_c,humidity_pct,air_conditioning\n", row])


def test_a_room_out_of_order_is_refused() -> None:
    with pytest.raises(Invalid):
        Care(room=tuple(reversed(GOOD.room)))


def test_the_page_shows_a_record_that_is_read() -> None:
    page = (Path(__file__).parents[2] / "docs" / "diagnosis.md").read_text("utf-8")
    (example,) = re.findall(r"^```toml\n((?:(?!```).)*zero_adjustment.*?)^```", page, re.M | re.S)
    care = read(example + "[limits]\nrelay_life = 5\nzero_valid_h = 8\ncalibration_notice_d = 10\n")
    assert care.zero_adjustments["Z-0511"].meter_serial in care.calibrated_until
    assert (care.limits.relay_life, care.limits.zero_valid) == (5, timedelta(hours=8))
    assert Concern.ZERO_OTHER in concerns(care, replace(MEASUREMENT, zero_adjustment="Z-0511"))
    assert read("") == Care()


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "limits = 5",
        "[limits]\nmeasure = 1",
        "[[zero_adjustment]]\nid = 1",
        '[calibrated_until]\nA = "soon"',
    ],
)
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        read(text)
