"""The fast analyser: what an adapter must keep to, and a shift in which it answers, or does not."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from instruments.analyser import Adapter, Analysis, Shown, SimulatedAnalyser, Unseen, adapter
from instruments.bt4560 import Contact
from instruments.commands import Identity
from instruments.measurement import Outcome, Reason, Skipped
from instruments.rack import Rack, RackCell, Trouble, populate, serve
from instruments.shift import Journal, Order
from instruments.shift import run as run_shift
from instruments.spectra import circuits
from instruments.station import Measurement, Station
from instruments.transport import Garbled, Link, transcript_digest
from schemas.errors import Invalid, Unknown
from tests.instruments.script import Script, script
from tests.instruments.test_station import QUICK, codes, named

IMPATIENT: Adapter = partial(SimulatedAnalyser, timeout_s=1.0)
NOON = datetime(2026, 5, 11, 12, tzinfo=UTC)
percent = st.floats(0, 150).map(lambda figure: round(figure, 1))


def station(rack: Rack, made: Adapter = IMPATIENT, *, name: str = "rack") -> Station:
    addresses = (rack.meter_resource, rack.switch_resource)
    return Station(
        *addresses, rack=name, settings=QUICK, analyser_resource=rack.analyser_resource, analyser=made
    )


async def analysed(cells: Mapping[int, RackCell], made: Adapter = IMPATIENT) -> tuple[Outcome, ...]:
    async with serve(cells, time_scale=0) as rack:
        outcomes = await asyncio.to_thread(
            station(rack, made).diagnose, codes(cells), "W-07", 25.0, soc_pct=50.0, fast=True
        )
        assert rack.closed is None
        return outcomes


# The adapter's law


@given(st.lists(percent, min_size=3, max_size=3).map(sorted), st.booleans())
def test_what_an_analyser_shows_is_read_as_it_was_said(ends: list[float], stated: bool) -> None:
    low, health, high = ends
    interval = f"{low},{high}" if stated else "-,-"
    with script((":ANALyse?", f"{health},{interval},0.02310,3.680")) as link:
        shown = SimulatedAnalyser(link).analyse("CELL-001")
    assert shown == Shown(health, 3.68, 0.0231, *((low, high) if stated else (None, None)))


@pytest.mark.parametrize(
    "reply",
    [
        *("", "84.1", "84.1,83,85,0.02", "a,b,c,d,e", "nan,-,-,0.02,3.7", "inf,-,-,0.02,3.7"),
        *("-1,-,-,0.02,3.7", "151,-,-,0.02,3.7", "84,85,86,0.02,3.7", "84,82,83,0.02,3.7"),
        *("84,83,-,0.02,3.7", "OPEN!", "84,83,85,0,,"),
    ],
)
def test_what_cannot_be_of_a_cell_is_garbage_and_never_a_value(reply: str) -> None:
    with pytest.raises(Garbled):
        SimulatedAnalyser(Script((":ANALyse?", reply))).analyse("CELL-001")


@pytest.mark.parametrize(
    ("reply", "contact"),
    [("OPEN", Contact.OPEN), ("REVERSED", Contact.REVERSED), ("OVER", Contact.OVER_RANGE)],
)
def test_a_cell_it_does_not_see_is_told_as_such(reply: str, contact: Contact) -> None:
    with pytest.raises(Unseen) as unseen:
        SimulatedAnalyser(Script((":ANALyse?", reply))).analyse("CELL-001")
    assert unseen.value.contact is contact


def test_it_says_who_it_is_and_an_adapter_is_found_by_its_name() -> None:
    link = Script(("*IDN?", "MEGURI,FAST-ANALYSER,SIM000000,SIMULATED"))
    assert adapter("simulated")(link).identify().firmware == "SIMULATED"
    with pytest.raises(Unknown, match="goiku"):
        adapter("goiku")


# The record


def analysis(**changes: object) -> Analysis:
    known = Analysis(
        cell="CELL-001",
        channel=101,
        rack="1",
        soh_pct=84.1,
        lower_pct=82.5,
        upper_pct=85.7,
        resistance_ohm=0.0231,
        voltage_v=3.68,
        temperature_c=25.0,
        soc_pct=50.0,
        operator="W-07",
        started=NOON,
        finished=NOON,
        analyser=Identity("A", "B", "C", "D"),
        switch=Identity("E", "F", "G", "H"),
        relay_count=1,
        attempts=1,
        transcript_sha256=transcript_digest("x"),
        transcript="x",
    )
    return replace(known, **changes)  # type: ignore[arg-type]


@given(percent, st.none() | percent)
def test_an_analysis_reads_back_equal_and_its_digest_holds_every_figure(
    health: float, charge: float | None
) -> None:
    one = analysis(soh_pct=health, lower_pct=None, upper_pct=None, soc_pct=charge)
    assert Analysis.from_json(json.loads(json.dumps(one.to_json()))) == one
    assert one.without_transcript().digest == one.digest
    assume(health != 84.2)
    assert replace(one, soh_pct=84.2).digest != one.digest


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("soh_pct", float("nan")), ("lower_pct", 99.0), ("transcript", "y"), ("finished", "noon")],
        *[("finished", "2026-05-11T12:00:00"), ("format", "x"), ("more", 1), ("analyser", {})],
    ],
)
def test_what_is_no_analysis_is_refused(name: str, value: object) -> None:
    with pytest.raises(Invalid):
        Analysis.from_json(analysis().to_json() | {name: value})


# At the station


async def test_every_cell_gets_the_vendors_value_with_who_said_it_and_every_byte() -> None:
    cells = populate(named(19))
    aged = {circuit.circuit: circuit.soh_pct for circuit in circuits()}
    for outcome in await analysed(cells):
        assert isinstance(outcome, Analysis)
        assert abs(outcome.soh_pct - aged[cells[outcome.channel].spectrum]) < 5  # type: ignore[index]
        assert outcome.interval[0] < outcome.soh_pct < outcome.interval[1]
        assert (outcome.analyser.maker, outcome.analyser.model, outcome.analyser.firmware) == (
            "MEGURI",
            "FAST-ANALYSER",
            "SIMULATED",
        )
        assert (outcome.operator, outcome.temperature_c, outcome.soc_pct) == ("W-07", 25.0, 50.0)
        assert 'analyser> ":ANALyse?' in outcome.transcript
        assert outcome.transcript_sha256 == transcript_digest(outcome.transcript)


async def test_each_fault_of_the_analyser_skips_its_cell_with_the_reason_and_the_others_go_on() -> None:
    faults = {
        Trouble.OPEN: Reason.OPEN,
        Trouble.REVERSED: Reason.REVERSED,
        Trouble.OVER_RANGE: Reason.OVER_RANGE,
        Trouble.SILENT: Reason.SILENT,
        Trouble.GARBAGE: Reason.GARBLED,
        Trouble.DISCONNECT: Reason.DISCONNECTED,
    }
    cells = populate(named(7), troubles=dict(enumerate(faults, start=101)))
    *bad, good = await analysed(cells)
    assert [outcome.reason for outcome in bad if isinstance(outcome, Skipped)] == list(faults.values())
    assert all(outcome.attempts == 2 and outcome.words for outcome in bad if isinstance(outcome, Skipped))
    assert isinstance(good, Analysis)


async def test_an_adapter_that_breaks_is_a_fault_like_any_other() -> None:
    class Broken(SimulatedAnalyser):
        def analyse(self, cell: str) -> Shown:
            raise ZeroDivisionError(cell)

    (outcome,) = await analysed(populate(named(1)), Broken)
    assert isinstance(outcome, Skipped)
    assert outcome.reason is Reason.GARBLED
    assert "ZeroDivisionError" in outcome.words


async def test_a_voltage_no_cell_has_is_no_value() -> None:
    cells = {101: replace(populate(named(1))[101], ocv_v=0.2)}
    (outcome,) = await analysed(cells)
    assert isinstance(outcome, Skipped)
    assert outcome.reason is Reason.VOLTAGE


async def test_a_station_without_an_analyser_says_so_before_anything_moves() -> None:
    async with serve(populate(named(1)), time_scale=0) as rack:
        bare = Station(rack.meter_resource, rack.switch_resource)
        with pytest.raises(Invalid, match="no fast analyser"):
            await asyncio.to_thread(bare.diagnose, {101: "CELL-001"}, "W-07", 25.0, fast=True)
        assert rack.relay_counts == {}


async def test_the_same_station_sweeps_and_analyses_and_no_cell_twice(tmp_path: Path) -> None:
    cells = populate(named(3), troubles={102: Trouble.OPEN})
    async with serve(cells, time_scale=0) as rack:
        for fast, kind in ((True, Analysis), (False, Measurement), (True, Analysis)):
            order = Order("W-07", 25.0, 50.0, fast=fast)
            with Journal(tmp_path / f"{fast}.journal") as journal:
                load = {station(rack): codes(cells)}
                summary = await asyncio.to_thread(run_shift, load, order, journal)
            assert [type(one) for one in summary.outcomes.values()] == [kind, Skipped, kind]
        assert rack.relay_counts == {101: 2, 102: 4, 103: 2}


def test_an_adapter_of_ones_own_needs_a_link_and_two_methods() -> None:
    class Own:
        def __init__(self, link: Link) -> None:
            self.link = link

        def identify(self) -> Identity:
            return Identity("a", "b", "c", "d")

        def analyse(self, cell: str) -> Shown:
            return Shown(80.0, 3.7)

    own: Adapter = Own
    assert own(Script()).analyse("CELL-001").lower_pct is None
