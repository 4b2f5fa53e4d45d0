"""The station against the simulated rack, through PyVISA over real sockets."""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instruments.commands import Identity
from instruments.rack import Rack, RackCell, Trouble, populate, serve
from instruments.spectra import circuits, replays
from instruments.station import (
    Measurement,
    Outcome,
    Progress,
    Reason,
    RelayUnknown,
    Settings,
    Skipped,
    Station,
    sweep_hz,
)
from instruments.transport import Disconnected, transcript_digest
from schemas.errors import Invalid, Misstep

DATA = Path(__file__).parents[3] / "shared" / "data" / "eis_soh.csv.gz"
QUICK = Settings(frequencies_hz=sweep_hz(1000.0, 100.0, 6), margin_s=20.0)
NOISE = 2e-4


def codes(cells: Mapping[int, RackCell]) -> dict[int, str]:
    return {channel: cell.code for channel, cell in cells.items()}


def named(count: int) -> list[str]:
    return [f"CELL-{n:03d}" for n in range(1, count + 1)]


async def run(
    cells: Mapping[int, RackCell],
    chosen: Settings | None = None,
    *,
    prepare: Callable[[Station, Rack], Callable[[Progress], None] | None] = lambda *_: None,
    seed: int = 0,
) -> tuple[tuple[Outcome, ...], Rack]:
    async with serve(cells, time_scale=0, noise=NOISE, seed=seed) as rack:
        station = Station(rack.meter_resource, rack.switch_resource, settings=chosen)
        outcomes = await asyncio.to_thread(
            station.diagnose,
            codes(cells),
            "operator 7",
            25.0,
            soc_pct=50.0,
            on_progress=prepare(station, rack),
        )
        assert rack.closed is None
        return outcomes, rack


def assert_right(measurement: Outcome, cell: RackCell) -> None:
    """The recovered spectrum is the rack's own, within six standard deviations and the meter's digits."""
    assert isinstance(measurement, Measurement)
    assert measurement.cell == cell.code
    for frequency_hz, got in zip(measurement.frequencies_hz, measurement.impedances_ohm, strict=True):
        true = cell.spectrum.impedance(frequency_hz)
        assert abs(got - true) <= (6 * NOISE + 1e-5) * abs(true)
    assert measurement.ocv_v == pytest.approx(cell.ocv_v)


async def test_a_full_rack_with_one_open_cell() -> None:
    cells = populate(named(33), troubles={205: Trouble.OPEN})
    outcomes, rack = await run(cells)
    assert [outcome.channel for outcome in outcomes] == list(cells)
    for outcome in outcomes:
        if outcome.channel == 205:
            assert isinstance(outcome, Skipped)
            assert (outcome.reason, outcome.attempts) == (Reason.OPEN, 2)
            assert "205" in outcome.words
        else:
            assert_right(outcome, cells[outcome.channel])
    assert rack.relay_counts == {channel: 1 + (channel == 205) for channel in cells}


async def test_a_measured_spectrum_is_replayed_and_recovered() -> None:
    if not DATA.exists():
        pytest.skip("the public measurements in ../shared/data are not here")
    cells = populate(named(3), data=DATA)
    outcomes, _ = await run(cells)
    for outcome in outcomes:
        assert_right(outcome, cells[outcome.channel])


def test_the_circuits_are_as_near_to_the_measurements_as_they_say() -> None:
    if not DATA.exists():
        pytest.skip("the public measurements in ../shared/data are not here")
    spectra = replays(DATA)
    assert {aged.name for aged in circuits()} <= set(spectra)
    for aged in circuits():
        spectrum = spectra[aged.name]
        off = [
            abs(aged.circuit.impedance(f) - z) ** 2 / abs(z) ** 2
            for f, z in zip(spectrum.frequencies_hz, spectrum.impedances_ohm, strict=True)
            if 0.1 <= f <= 1000.0
        ]
        assert len(off) == 41
        assert (sum(off) / len(off)) ** 0.5 == pytest.approx(aged.residual, rel=0.01)
        assert aged.residual < 0.0035


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    troubles=st.dictionaries(
        st.sampled_from([101, 102, 103, 104]),
        st.sampled_from([trouble for trouble in Trouble if trouble is not Trouble.SILENT]),
        min_size=1,
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_trouble_on_any_channel_harms_that_channel_alone(troubles: dict[int, Trouble], seed: int) -> None:
    cells = populate(named(4), troubles=troubles)
    outcomes, rack = asyncio.run(run(cells, QUICK, seed=seed))
    for outcome in outcomes:
        if outcome.channel in troubles:
            assert isinstance(outcome, Skipped)
            assert outcome.transcript_sha256 == transcript_digest(outcome.transcript)
        else:
            assert_right(outcome, cells[outcome.channel])
    assert [outcome.channel for outcome in outcomes] == list(cells)
    assert rack.closed is None


async def test_a_silent_meter_costs_only_its_channel() -> None:
    cells = populate(named(3), troubles={102: Trouble.SILENT})
    first, second, third = (await run(cells, replace(QUICK, margin_s=1.0)))[0]
    assert isinstance(second, Skipped)
    assert second.reason is Reason.SILENT
    assert_right(first, cells[101])
    assert_right(third, cells[103])


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (Trouble.OPEN, Reason.OPEN),
        (Trouble.SENSE_OPEN, Reason.OPEN),
        (Trouble.RETURN_CABLE, Reason.OVER_RANGE),
        (Trouble.STEP, Reason.DRIFT),
        (Trouble.FLAKY, Reason.OPEN),
        (Trouble.REVERSED, Reason.REVERSED),
        (Trouble.OVER_RANGE, Reason.OVER_RANGE),
        (Trouble.DRIFTING, Reason.DRIFT),
        (Trouble.GARBAGE, Reason.GARBLED),
        (Trouble.DISCONNECT, Reason.DISCONNECTED),
        (Trouble.RESET, Reason.REFUSED),
    ],
)
async def test_each_trouble_is_called_by_its_name(trouble: Trouble, reason: Reason) -> None:
    ((outcome,), _) = await run(populate(["A"], troubles={101: trouble}), QUICK)
    assert isinstance(outcome, Skipped)
    assert outcome.reason is reason


async def test_a_cell_that_is_no_cell_is_skipped_for_its_voltage() -> None:
    cells = populate(["A"])
    ((outcome,), _) = await run({101: replace(cells[101], ocv_v=0.2)}, QUICK)
    assert isinstance(outcome, Skipped)
    assert outcome.reason is Reason.VOLTAGE


async def test_every_figure_stands_in_the_transcript() -> None:
    outcomes, _ = await run(populate(named(2)), QUICK)
    for measurement in outcomes:
        assert isinstance(measurement, Measurement)
        for figures in zip(measurement.real_ohm, measurement.imag_ohm, strict=True):
            assert ",".join(f"{figure:+.5E}" for figure in figures) in measurement.transcript
        assert transcript_digest(measurement.transcript) == measurement.transcript_sha256
    first, second = outcomes
    assert ":CLOS 102" not in first.transcript
    assert ":CLOS 101" not in second.transcript


async def test_progress_is_told_point_by_point() -> None:
    seen: list[Progress] = []
    outcomes, _ = await run(
        populate(["A", "B"], troubles={102: Trouble.OPEN}), QUICK, prepare=lambda *_: seen.append
    )
    stages = [(step.channel, step.stage, step.point) for step in seen]
    assert stages == [
        (101, "close", 0),
        (101, "pre-check", 0),
        *((101, "sweep", point) for point in range(1, 7)),
        (101, "measured", 0),
        (102, "close", 0),
        (102, "retry", 0),
        (102, "close", 0),
        (102, "skipped", 0),
    ]
    assert tuple(step.outcome for step in seen if step.outcome) == outcomes


async def test_a_stop_leaves_no_relay_closed_and_records_nothing_more() -> None:
    def prepare(station: Station, rack: Rack) -> Callable[[Progress], None]:
        def watch(step: Progress) -> None:
            if (step.channel, step.stage, step.point) == (102, "sweep", 3):
                station.stop()

        return watch

    cells = populate(named(4))
    first, *others = (await run(cells, QUICK, prepare=prepare))[0]
    assert_right(first, cells[101])
    for outcome in others:
        assert isinstance(outcome, Skipped)
        assert outcome.reason is Reason.STOPPED


async def test_a_stop_does_not_wait_for_a_long_reading() -> None:
    async with serve(populate(["A"]), time_scale=1e6) as rack:
        rack.timing = replace(rack.timing, relay_s=0)
        station = Station(rack.meter_resource, rack.switch_resource)
        closed = threading.Event()

        def watch(step: Progress) -> None:
            if step.stage == "close":
                closed.set()

        running = asyncio.create_task(
            asyncio.to_thread(station.diagnose, {101: "A"}, "operator 7", 25.0, on_progress=watch)
        )
        await asyncio.to_thread(closed.wait)
        await asyncio.sleep(0.1)  # the reading, which would take 2,800 s, has begun
        station.stop()
        (outcome,) = await running
        assert isinstance(outcome, Skipped)
        assert outcome.reason is Reason.STOPPED
        assert rack.closed is None


async def test_an_error_of_the_listener_opens_the_relay() -> None:
    def listener(step: Progress) -> None:
        if step.stage == "sweep":
            raise ZeroDivisionError

    cells = populate(["A"])
    async with serve(cells, time_scale=0) as rack:
        station = Station(rack.meter_resource, rack.switch_resource, settings=QUICK)
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(station.diagnose, codes(cells), "operator 7", 25.0, on_progress=listener)
        assert rack.closed is None
        assert rack.relay_counts == {101: 1}
        (outcome,) = await asyncio.to_thread(station.diagnose, codes(cells), "operator 7", 25.0)
        assert_right(outcome, cells[101])


async def test_whoever_stops_listening_leaves_the_relay_open() -> None:
    cells = populate(named(3))
    async with serve(cells, time_scale=0) as rack:
        station = Station(rack.meter_resource, rack.switch_resource, settings=QUICK)

        def one() -> Outcome:
            running = station.outcomes(codes(cells), "operator 7", 25.0)
            outcome = next(running)
            assert rack.closed is None
            running.close()
            return outcome

        assert_right(await asyncio.to_thread(one), cells[101])
        assert list(rack.relay_counts) == [101]


async def test_two_racks_run_at_once_and_one_rack_is_used_once() -> None:
    cells = populate(named(2))
    async with serve(cells, time_scale=0) as left, serve(cells, time_scale=0, seed=1) as right:
        a = Station(left.meter_resource, left.switch_resource, settings=QUICK)
        b = Station(right.meter_resource, right.switch_resource, settings=QUICK)
        intruder = Station(left.meter_resource, left.switch_resource)
        refused: list[Exception] = []

        def watch(step: Progress) -> None:
            if step.stage == "close":
                try:
                    intruder.diagnose({101: "X"}, "operator 8", 25.0)
                except Misstep as error:
                    refused.append(error)

        both = await asyncio.gather(
            asyncio.to_thread(a.diagnose, codes(cells), "operator 7", 25.0, on_progress=watch),
            asyncio.to_thread(b.diagnose, codes(cells), "operator 7", 25.0),
        )
    for outcomes in both:
        for outcome in outcomes:
            assert_right(outcome, cells[outcome.channel])
    assert len(refused) == 2


async def test_instruments_that_are_away_are_named() -> None:
    async with serve({}, time_scale=0) as rack:
        gone = rack.resources()
    station = Station(gone["meter"], gone["switch"])
    with pytest.raises(Disconnected, match=gone["switch"]):
        await asyncio.to_thread(station.diagnose, {101: "A"}, "operator 7", 25.0)


async def test_a_switch_that_dies_is_reported_as_dangerous() -> None:
    cells = populate(["A"])
    async with serve(cells, time_scale=0) as rack, AsyncExitStack() as until_it_dies:
        other = await until_it_dies.enter_async_context(serve(cells, time_scale=0))
        station = Station(rack.meter_resource, other.switch_resource, settings=QUICK)
        loop = asyncio.get_running_loop()
        leave = asyncio.Event()
        left = threading.Event()

        def watch(step: Progress) -> None:
            if step.stage == "close":
                loop.call_soon_threadsafe(leave.set)
                left.wait()

        running = asyncio.create_task(
            asyncio.to_thread(station.diagnose, {101: "A"}, "operator 7", 25.0, on_progress=watch)
        )
        await leave.wait()
        await until_it_dies.aclose()
        left.set()
        with pytest.raises(RelayUnknown, match="switch it off"):
            await running


@pytest.mark.parametrize(
    "wrong",
    [
        {"channel_to_cell": {112: "A"}},
        {"channel_to_cell": {101: "A", 102: "A"}},
        {"operator": " "},
        {"temperature_c": float("nan")},
        {"temperature_c": 250.0},
        {"soc_pct": -1.0},
        {"soc_pct": float("nan")},
    ],
)
def test_wrong_input_is_refused_before_anything_moves(wrong: dict[str, Any]) -> None:
    station = Station("TCPIP::127.0.0.1::1::SOCKET", "TCPIP::127.0.0.1::1::SOCKET")
    right: dict[str, Any] = {"channel_to_cell": {101: "A"}, "operator": "operator 7", "temperature_c": 25.0}
    with pytest.raises(Invalid):
        station.diagnose(**right | wrong)


finite = st.floats(allow_nan=False, allow_infinity=False)
moments = st.datetimes(timezones=st.just(UTC))


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    count = draw(st.integers(1, 5))
    row = st.lists(finite, min_size=count, max_size=count).map(tuple)
    transcript = draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
    return Measurement(
        cell=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=8)),
        channel=draw(st.integers(101, 311)),
        rack="rack",
        frequencies_hz=draw(row),
        real_ohm=draw(row),
        imag_ohm=draw(row),
        ocv_v=draw(finite),
        temperature_c=draw(finite),
        soc_pct=draw(st.none() | finite),
        operator="operator 7",
        started=draw(moments),
        finished=draw(moments),
        settings=Settings(rate=draw(st.sampled_from(["FAST", "MED", "SLOW"]))),
        meter=Identity("HIOKI", "BT4560", "1", "V1"),
        switch=Identity("HIOKI", "SW1001", "1", "V1"),
        relay_count=draw(st.integers(0, 10**9)),
        zero_adjustment=draw(st.none() | st.just("Z1")),
        attempts=1,
        drift=draw(finite),
        closing_ohm=(draw(finite), draw(finite)),
        voltage_drift_v=draw(finite),
        transcript_sha256=transcript_digest(transcript),
        transcript=transcript,
    )


@given(measurements())
def test_a_measurement_survives_its_json(measurement: Measurement) -> None:
    for spelled in (json.dumps(measurement.to_json()), rfc8785.dumps(measurement.to_json())):
        again = Measurement.from_json(json.loads(spelled))
        assert again == measurement
        assert again.transcript == measurement.transcript
        assert again.digest == measurement.digest == again.without_transcript().digest


@given(measurements(), st.sampled_from(["cell", "ocv_v", "real_ohm", "started", "settings", "operator"]))
def test_a_changed_measurement_has_another_digest(measurement: Measurement, name: str) -> None:
    changes: dict[str, Any] = {
        "cell": measurement.cell + "x",
        "ocv_v": measurement.ocv_v / 2 + 1.0,
        "real_ohm": (*measurement.real_ohm[:-1], measurement.real_ohm[-1] / 2 + 1.0),
        "started": datetime(1, 1, 1, tzinfo=UTC)
        if measurement.started.year > 1
        else datetime(2, 1, 1, tzinfo=UTC),
        "settings": replace(measurement.settings, average=2),
        "operator": "operator 8",
    }
    changed = replace(measurement, **{name: changes[name]})
    assert (changed.digest == measurement.digest) == (changed == measurement)


def test_what_is_no_measurement_is_refused() -> None:
    good = {"format": "meguri.measurement/1"}
    documents: list[Any] = [{}, good, [], good | {"real_ohm": "12"}, {"format": "other"}]
    for document in documents:
        with pytest.raises(Invalid):
            Measurement.from_json(document)
