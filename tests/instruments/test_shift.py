"""A shift over several racks: nothing lost, nothing twice, whatever breaks it off."""

import asyncio
import json
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instruments.measurement import Measurement, Settings, Skipped, sweep_hz
from instruments.rack import Rack, SwitchTrouble, Trouble, populate, serve
from instruments.shift import Journal, Order, Summary, run
from instruments.station import Progress, Station
from schemas.errors import Invalid, Misstep

QUICK = Settings(frequencies_hz=sweep_hz(1000.0, 100.0, 4), margin_s=1.0)
ORDER = Order("operator 7", 25.0, 50.0)


def station(rack: Rack, name: str = "left") -> Station:
    return Station(rack.meter_resource, rack.switch_resource, rack=name, settings=QUICK)


def load(rack: Rack) -> dict[int, str]:
    return {channel: cell.code for channel, cell in rack.cells.items()}


async def work(loads: Mapping[Station, Mapping[int, str]], path: Path, **more: float) -> Summary:
    with Journal(path) as journal:
        return await asyncio.to_thread(run, loads, ORDER, journal, pause_s=0.01, **more)  # type: ignore[arg-type]


async def test_two_racks_side_by_side_into_one_journal(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        left = await stack.enter_async_context(serve(populate(["A", "B"]), time_scale=0))
        right = await stack.enter_async_context(
            serve(populate(["C", "D"], troubles={102: Trouble.OPEN}), time_scale=0, seed=1)
        )
        path = tmp_path / "journal"
        loads = {station(left): load(left), station(right, "right"): load(right)}
        summary = await work(loads, path)
        assert list(summary.outcomes) == ["A", "B", "C", "D"]
        assert isinstance(summary.outcomes["D"], Skipped)
        assert (summary.broken, summary.stopped) == ({}, False)
        counts = dict(left.relay_counts), dict(right.relay_counts)
        again = await work({station(left): load(left), station(right, "right"): load(right)}, path)
        assert again.outcomes == summary.outcomes
        assert (left.relay_counts, right.relay_counts) == counts


async def test_a_stopped_shift_goes_on_where_it_ended(tmp_path: Path) -> None:
    async with serve(populate(["A", "B", "C"]), time_scale=0) as rack:
        first = station(rack)

        def watch(step: Progress) -> None:
            if (step.cell, step.stage, step.point) == ("B", "sweep", 2):
                first.stop()

        path = tmp_path / "journal"
        with Journal(path) as journal:
            summary = await asyncio.to_thread(run, {first: load(rack)}, ORDER, journal, on_progress=watch)
        assert (list(summary.outcomes), summary.stopped, rack.closed) == (["A"], True, None)
        summary = await work({station(rack): load(rack)}, path)
        assert list(summary.outcomes) == ["A", "B", "C"]
        assert rack.relay_counts == {101: 1, 102: 2, 103: 1}


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([t for t in SwitchTrouble if t is not SwitchTrouble.SILENT]), st.integers(1, 25))
def test_trouble_at_the_switch_costs_no_cell(tmp_path: Path, trouble: SwitchTrouble, after: int) -> None:
    async def whole() -> None:
        async with serve(populate(["A", "B", "C"]), time_scale=0) as rack:
            rack.trip_switch(trouble, after)
            path = tmp_path / f"{trouble}-{after}"
            path.unlink(missing_ok=True)
            summary = await work({station(rack): load(rack)}, path)
            assert set(summary.outcomes) == {"A", "B", "C"}
            assert rack.closed is None

    asyncio.run(whole())


async def test_a_rack_that_is_away_is_given_up_and_the_other_goes_on(tmp_path: Path) -> None:
    async with serve({}, time_scale=0) as gone:
        pass
    async with serve(populate(["A"]), time_scale=0) as rack:
        summary = await work(
            {station(gone, "gone"): {101: "X"}, station(rack): load(rack)}, tmp_path / "j", tries=1
        )
    assert list(summary.outcomes) == ["A"]
    assert list(summary.broken) == ["gone"]


async def test_a_line_cut_short_by_a_power_cut_is_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    async with serve(populate(["A", "B"]), time_scale=0) as rack:
        await work({station(rack): load(rack)}, path)
        whole = path.read_bytes()
        path.write_bytes(whole[:-100])
        summary = await work({station(rack): load(rack)}, path)
    assert list(summary.outcomes) == ["A", "B"]
    assert path.read_bytes().startswith(whole[: whole.index(b"\n") + 1])
    assert [*map(list, map(json.loads, path.read_text().splitlines()))] == [["measured"], ["measured"]]
    with Journal(path) as journal:
        assert journal.outcomes == summary.outcomes
        assert all(isinstance(each, Measurement) and each.transcript for each in journal.outcomes.values())


async def test_a_journal_has_one_writer_and_one_outcome_a_cell(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path) as journal:
        with pytest.raises(Misstep):
            Journal(path)
        async with serve(populate(["A"]), time_scale=0) as rack:
            (outcome,) = await asyncio.to_thread(station(rack).diagnose, load(rack), "operator 7", 25.0)
        journal.note(outcome)
        with pytest.raises(Misstep, match="already"):
            journal.note(outcome)


@pytest.mark.parametrize(
    "content", ["nonsense\n", "{}\n", '{"measured": {}}\n', '{"skipped": {"reason": "x"}}\n']
)
def test_what_is_no_journal_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "journal"
    path.write_text(content)
    with pytest.raises(Invalid, match="no journal"):
        Journal(path)


def test_a_cell_is_on_one_rack_only(tmp_path: Path) -> None:
    a, b = (Station("TCPIP::127.0.0.1::1::SOCKET", "TCPIP::127.0.0.1::1::SOCKET", rack=n) for n in "ab")
    with Journal(tmp_path / "journal") as journal, pytest.raises(Invalid):
        run({a: {101: "A"}, b: {101: "A"}}, ORDER, journal)
