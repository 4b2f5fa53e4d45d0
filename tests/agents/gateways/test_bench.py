"""The station in the agent: a diagnosis survives crashes, a rack that is away, and a person who stops it."""

import asyncio
import json
import multiprocessing
import random
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from agents.gateways.bench import Bench
from agents.lookup import Lookup
from agents.ports import Desk
from agents.role import Company, Item, Job
from agents.roles import play
from agents.roles.station import load_of, places_of
from agents.service import Agent
from agents.store import open_store
from credentials.keys import LocalSigner
from instruments.analyser import FORMAT as ANALYSIS
from instruments.analyser import Analysis
from instruments.rack import Rack, Trouble, populate, serve
from instruments.shift import Journal, Order, run
from instruments.station import Station
from schemas.claims import DiagnosisResult
from schemas.errors import Fault, Invalid, Misstep, Unknown
from schemas.events import Event
from schemas.items import mint
from tests.agents.pages import Sites
from tests.scenarios.town import COLLECTOR, DISMANTLER, Bell, Town, collect, job, take_apart, town

CELLS = 4


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A collector with the cells of a pack, and a diagnosis asked for."""

    async def settle() -> Town:
        async with town(tmp_path_factory.mktemp("settled"), DISMANTLER, COLLECTOR) as made:
            _, pack = await collect(made)
            cells = await take_apart(made, pack, CELLS)
            await made.say(COLLECTOR, "diagnose-cells", cells=cells, temperature_c="25", soc_pct="50")
            return made

    return asyncio.run(settle())


@pytest.fixture
async def rack() -> AsyncIterator[Rack]:
    cells = populate([f"cell {n}" for n in range(CELLS)], troubles={102: Trouble.OPEN})
    async with serve(cells, time_scale=0) as made:
        yield made


def bench(t: Town, rack: Rack) -> Bench:
    racks = [(rack.meter_resource, rack.switch_resource)]
    made = t.agents[COLLECTOR].works = Bench(t.agents[COLLECTOR], racks, t.folder / "shifts", poll_s=0.01)
    return made


async def the_job(t: Town) -> Job:
    (one,) = await t.read(COLLECTOR, lambda desk: desk.jobs())
    return one


async def until(t: Town, good: Callable[[Job], bool]) -> None:
    """Wait until the job is as it should be."""
    for _ in range(12_000):
        if good(await the_job(t)):
            return
        await asyncio.sleep(0.005)
    raise AssertionError("the job never came that far")


async def ended(t: Town, id: str) -> None:
    for _ in range(6_000):
        if (await job(t, id)).state not in {"queued", "running"}:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the job never ended")


def outcomes(found: Job) -> int:
    return len(found.progress.get("outcomes", {}))


async def recorded(t: Town) -> Counter[str]:
    """Count what was recorded, cell by cell and in all."""

    def work(desk: Desk) -> Counter[str]:
        tally: Counter[str] = Counter()
        for item in desk.items(kind="cell"):
            whats = [event.what for event in desk.events(item.code, ours=True)]
            tally["diagnosed"] += whats.count("diagnosed")
            tally["skipped"] += whats.count("skipped")
            tally["measurements"] += len(desk.measurements(item.code))
            tally["results"] += len(desk.credentials(item.code, "DiagnosisResult"))
        return tally

    return await t.read(COLLECTOR, work)


ONCE = Counter({"diagnosed": 3, "skipped": 1, "measurements": 3, "results": 3})


async def test_every_cell_gets_one_outcome(t: Town, rack: Rack) -> None:
    await bench(t, rack).work(await the_job(t))
    found = await the_job(t)
    assert found.state == "done"
    assert [words.split(":")[0] for words in found.progress["outcomes"].values()] == [
        "measured",
        "skipped",
        "measured",
        "measured",
    ]
    assert await recorded(t) == ONCE


@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_a_job_cut_short_is_resumed_and_no_cell_is_measured_twice(
    t: Town, rack: Rack, after: int
) -> None:
    running = asyncio.create_task(bench(t, rack).run())
    await until(t, lambda found: outcomes(found) >= after)
    running.cancel()
    await asyncio.wait({running})
    assert rack.closed is None
    cut = await the_job(t)
    done_before = outcomes(cut)
    assert cut.state in ("running", "queued", "done")
    moves = sum(rack.relay_counts.values())

    t.start(COLLECTOR)
    again = asyncio.create_task(bench(t, rack).run())
    await until(t, lambda found: found.state == "done")
    again.cancel()
    await asyncio.wait({again})
    assert await recorded(t) == ONCE
    # A cell is tried at most twice, the one with the bad contact; what had its outcome is left alone.
    assert sum(rack.relay_counts.values()) - moves <= CELLS - done_before + 1


async def test_a_cell_recorded_just_before_a_crash_is_not_measured_again(t: Town, rack: Rack) -> None:
    """The record is there, but the note of how far the job has come is not."""
    before = await the_job(t)
    await bench(t, rack).work(before)
    relays = dict(rack.relay_counts)
    await t.write(COLLECTOR, lambda desk: desk.note_job(before.id, "running", {}))
    await bench(t, rack).work(await the_job(t))
    after = await the_job(t)
    assert after.state == "done"
    assert sum(words == "measured" for words in after.progress["outcomes"].values()) == 3
    assert sum(words.startswith("skipped: bad contact") for words in after.progress["outcomes"].values()) == 1
    assert rack.relay_counts == relays
    assert await recorded(t) == ONCE


async def test_a_job_waits_with_its_reason_while_the_instruments_are_away(t: Town, rack: Rack) -> None:
    nowhere = [("TCPIP::127.0.0.1::9::SOCKET", "TCPIP::127.0.0.1::9::SOCKET")]
    away = Bench(t.agents[COLLECTOR], nowhere, t.folder / "shifts", poll_s=0)
    await away.work(await the_job(t))
    found = await the_job(t)
    assert found.state == "queued"
    assert found.progress["problem"]
    await bench(t, rack).work(found)
    assert (await the_job(t)).state == "done"
    assert (await the_job(t)).progress["problem"] == ""
    assert await recorded(t) == ONCE


async def test_a_stopped_job_stays_stopped_and_keeps_what_it_has(t: Town) -> None:
    async with serve(populate([f"cell {n}" for n in range(CELLS)]), time_scale=0.02) as rack:
        work = asyncio.create_task(bench(t, rack).work(await the_job(t)))
        await until(t, lambda found: outcomes(found) >= 1)
        await t.do(COLLECTOR, "stop-diagnosis")
        await work
        assert rack.closed is None
    found = await the_job(t)
    assert found.state == "stopped"
    tally = await recorded(t)
    assert tally["diagnosed"] + tally["skipped"] == len(found.progress["outcomes"])
    assert tally["measurements"] == tally["results"] == tally["diagnosed"]


async def test_a_cell_that_may_not_be_diagnosed_does_not_hold_up_the_others(t: Town, rack: Rack) -> None:
    first = next(iter((await the_job(t)).details["places"].values()))
    await t.do(COLLECTOR, "note-nonconformity", item=first, what="swollen")
    await bench(t, rack).work(await the_job(t))
    found = await job(t, (await the_job(t)).id)
    assert found.state == "done"
    assert found.progress["outcomes"][first].startswith("not recorded: A cell that is quarantined cannot")
    assert (await recorded(t))["measurements"] == 2


async def test_what_stands_in_the_journal_but_not_in_the_books_is_not_measured_again(
    t: Town, rack: Rack
) -> None:
    """As after a power cut between the two: the racks had gone on, the books had not."""
    the = await the_job(t)
    load = {place.channel: cell for place, cell in places_of(the).items()}
    path = t.folder / "shifts" / f"{the.id}.journal"
    path.parent.mkdir()
    with Journal(path) as journal:
        station = Station(rack.meter_resource, rack.switch_resource, rack="1")
        await asyncio.to_thread(run, {station: load}, Order("W-07", 25.0, 50.0), journal)
    with path.open("ab") as file:
        file.write(b'{"measured": {"cell": ')  # the line that the power cut off
    relays = dict(rack.relay_counts)
    await bench(t, rack).work(the)
    assert (await the_job(t)).state == "done"
    assert rack.relay_counts == relays
    assert await recorded(t) == ONCE


async def test_several_racks_are_one_shift_told_by_two_scans_a_cell(t: Town, rack: Rack) -> None:
    await t.do(COLLECTOR, "stop-diagnosis")
    cells = list(places_of(await the_job(t)).values())
    async with serve(populate([f"other {n}" for n in range(2)]), time_scale=0) as second:
        racks = [(r.meter_resource, r.switch_resource) for r in (rack, second)]
        agent = t.agents[COLLECTOR]
        working = agent.works = Bench(agent, racks, t.folder / "shifts", poll_s=0.01)
        running = asyncio.create_task(working.run())
        await working.settle()
        await t.do(COLLECTOR, "unload-rack")
        for cell, place in zip(cells, ("1:101", "1:102", "2:101", "2:102"), strict=True):
            await t.do(COLLECTOR, "scan", scan=cell)
            await t.do(COLLECTOR, "scan", scan=place)
        await t.do(COLLECTOR, "record-room", temperature_c="24.8")
        done = await t.do(COLLECTOR, "diagnose-cells", soc_pct="50")
        await ended(t, done.jobs[0])
        assert second.relay_counts == {101: 1, 102: 1}
        assert await recorded(t) == ONCE
        sight = working.look()
        assert {(s.rack, s.channel) for s in sight.sweeps if s.whole} == {(1, 101), (2, 101), (2, 102)}
        again = await t.do(COLLECTOR, "repeat-cells")
        assert list(places_of(await job(t, again.jobs[0])).values()) == [cells[1]]
        running.cancel()
        await asyncio.wait({running})
    measured = await t.read(COLLECTOR, lambda desk: desk.measurements(cells[2]))
    assert [(m["rack"], m["channel"], m["temperature_c"]) for m in measured] == [("2", 101, 24.8)]


async def test_a_stop_counts_even_before_the_rack_has_begun(t: Town, rack: Rack) -> None:
    the = await the_job(t)
    await t.do(COLLECTOR, "stop-diagnosis")
    await bench(t, rack).work(the)
    found = await the_job(t)
    assert (found.state, found.progress["outcomes"], rack.relay_counts) == ("stopped", {}, {})
    await t.do(COLLECTOR, "diagnose-cells", temperature_c="25", soc_pct="50")  # what was left is taken up
    later = (await t.read(COLLECTOR, lambda desk: desk.jobs()))[-1]
    await bench(t, rack).work(later)
    assert await recorded(t) == ONCE


async def test_a_wrong_scan_is_told_at_once_and_changes_nothing(t: Town) -> None:
    cells = list(places_of(await the_job(t)).values())

    async def told(kind: type[Fault], scan: str) -> str:
        with pytest.raises(kind) as caught:
            await t.do(COLLECTOR, "scan", scan=scan)
        return str(caught.value)

    assert "rack 1 is measuring" in await told(Misstep, "undo")
    await t.do(COLLECTOR, "stop-diagnosis")
    before = await t.read(COLLECTOR, load_of)
    assert "is on channel 101 already" in await told(Invalid, cells[0])
    assert "channel 101 is taken by" in await told(Invalid, "101")
    assert "there is no channel 199 here" in await told(Invalid, "199")
    assert "there is no channel 2:101 here" in await told(Invalid, "2:101")
    other = "A" if cells[0][-1] != "A" else "B"
    assert "its check character does not fit" in await told(Invalid, cells[0][:-1] + other)
    assert "is not an item code" in await told(Invalid, "hello")
    unknown = mint("cell", "P123456789", 1)
    assert "we have no item" in await told(Unknown, unknown)
    assert await t.read(COLLECTOR, load_of) == before


async def test_a_cell_that_is_anothers_or_set_aside_is_not_taken(t: Town) -> None:
    await t.do(COLLECTOR, "stop-diagnosis")
    cells = list(places_of(await the_job(t)).values())
    await t.do(COLLECTOR, "unload-rack")
    await t.do(COLLECTOR, "note-nonconformity", item=cells[0], what="swollen")
    with pytest.raises(Misstep, match="cannot be measured: it is quarantined"):
        await t.do(COLLECTOR, "scan", scan=cells[0])
    theirs = Item(mint("cell", "P123456789", 1), "cell", "did:key:another")
    await t.write(COLLECTOR, lambda desk: desk.keep_item(theirs))
    with pytest.raises(Misstep, match="belongs to another company"):
        await t.do(COLLECTOR, "scan", scan=theirs.code)


async def test_what_there_is_to_see_to_stands_with_the_diagnosis(t: Town, rack: Rack) -> None:
    await t.do(COLLECTOR, "record-calibration", serial="SIM000000", calibrated_until="2020-01-31")
    await t.do(COLLECTOR, "record-room", temperature_c="22.5")
    await bench(t, rack).work(await the_job(t))
    cell = next(iter(places_of(await the_job(t)).values()))
    (event,) = [e for e in await t.read(COLLECTOR, lambda d: d.events(cell)) if e.what == "diagnosed"]
    assert event.details["see_to"] == (
        "no zero adjustment is named",
        "the calibration of SIM000000 ended on 2020-01-31",
        "the room had 22.5 °C, but 25.0 °C was told",
    )


def serve_until_killed(folder: str, seed: bytes, racks: list[tuple[str, str]]) -> None:
    """Be the collector's agent, with nothing but its key, its books and its journals."""
    key = LocalSigner.from_seed(seed)
    company = Company(key.did, COLLECTOR, (COLLECTOR,))
    store = open_store(f"sqlite:///{folder}/{COLLECTOR}.sqlite3", company)
    sites = Sites()
    site = sites.open(store, COLLECTOR)
    agent = Agent(play((COLLECTOR,)), store, Bell(), key, Lookup(sites, store), site)
    asyncio.run(Bench(agent, racks, Path(folder) / "shifts", poll_s=0.01).run())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
async def test_an_agent_killed_in_the_middle_of_a_shift_measures_no_cell_twice(t: Town, seed: int) -> None:
    chance = random.Random(seed)
    cells = populate([f"cell {n}" for n in range(CELLS)], troubles={102: Trouble.OPEN})
    secret = t.keys[COLLECTOR].key.private_bytes_raw()
    t.stores[COLLECTOR].close()
    cuts = 0
    async with serve(cells, time_scale=0.01) as rack:
        racks = [(rack.meter_resource, rack.switch_resource)]
        for _ in range(4):
            process = multiprocessing.get_context("spawn").Process(
                target=serve_until_killed, args=(str(t.folder), secret, racks)
            )
            await asyncio.to_thread(process.start)
            before = rack.switch_messages
            while rack.switch_messages == before and process.is_alive():  # noqa: ASYNC110 - no events there
                await asyncio.sleep(0.005)
            await asyncio.sleep(chance.uniform(0.05, 1.2))
            process.kill()
            await asyncio.to_thread(process.join)
            cuts += process.exitcode == -signal.SIGKILL
            t.start(COLLECTOR)
            whole = outcomes(await the_job(t)) == CELLS
            if whole:
                break
            t.stores[COLLECTOR].close()
        else:
            t.start(COLLECTOR)
        await bench(t, rack).work(await the_job(t))
        assert rack.closed is None
    assert cuts >= 1
    assert (await the_job(t)).state == "done"
    assert await recorded(t) == ONCE
    lines = (t.folder / "shifts" / f"{(await the_job(t)).id}.journal").read_text().splitlines()
    written = [next(iter(json.loads(line).values()))["cell"] for line in lines]
    assert len(written) == len(set(written)) == CELLS


# A fast analyser behind the same switch


def with_analyser(t: Town, rack: Rack) -> Bench:
    racks = [(rack.meter_resource, rack.switch_resource, "simulated", rack.analyser_resource)]
    made = t.agents[COLLECTOR].works = Bench(t.agents[COLLECTOR], racks, t.folder / "shifts", poll_s=0.01)
    return made


async def asked(t: Town, working: Bench, by: str) -> Job:
    """Begin the diagnosis anew, measured in this way."""
    if (await the_job(t)).state == "queued":
        await t.do(COLLECTOR, "stop-diagnosis")
    await working.settle()
    done = await t.do(COLLECTOR, "diagnose-cells", temperature_c="25", soc_pct="50", by=by)
    return await job(t, done.jobs[0])


async def analyses(t: Town, cell: str) -> list[Analysis]:
    kept = await t.read(COLLECTOR, lambda desk: desk.measurements(cell))
    return [Analysis.from_json(one) for one in kept if one["format"] == ANALYSIS]


async def results(t: Town, cell: str) -> list[DiagnosisResult]:
    held = await t.read(COLLECTOR, lambda desk: desk.credentials(cell, "DiagnosisResult"))
    return [DiagnosisResult.model_validate(one.claim) for one in held]


def see_to(event: Event) -> tuple[str, ...]:
    told = event.details["see_to"]
    assert isinstance(told, tuple)
    return tuple(map(str, told))


async def test_both_puts_the_vendors_value_beside_what_the_spectrum_says(t: Town, rack: Rack) -> None:
    working = with_analyser(t, rack)
    the = await asked(t, working, "both")
    await working.work(the)
    found = await job(t, the.id)
    assert found.state == "done"
    first, bad, *_ = places_of(the).values()
    assert found.progress["analysed"][first] == found.progress["outcomes"][first] == "measured"
    assert found.progress["analysed"][bad].startswith("skipped: bad contact: the analyser sees no cell")
    assert found.progress["outcomes"][bad].startswith("skipped: bad contact: the meter sees no cell")
    (said,) = await analyses(t, first)
    (result,) = await results(t, first)
    (vendor,) = (one for one in result.algorithms if one.algorithm == "vendor")
    assert float(vendor.soh_pct) == said.soh_pct
    assert (float(vendor.lower_pct or 0), float(vendor.upper_pct or 0)) == said.interval
    assert vendor.voice_pct == 0
    assert str(said.analyser) in result.instruments
    alone = [one for one in result.algorithms if one.algorithm != "vendor"]
    assert result.soh_pct is not None
    assert all(one.voice_pct > 0 for one in alone), "the answer is made without the vendor's value"
    assert await analyses(t, bad) == []
    events = await t.read(COLLECTOR, lambda desk: [e.what for e in desk.events(first, ours=True)])
    assert events[-2:] == ["analysed", "diagnosed"]


async def test_fast_alone_is_on_record_and_is_no_diagnosis(t: Town, rack: Rack) -> None:
    working = with_analyser(t, rack)
    the = await asked(t, working, "fast")
    await working.work(the)
    load = await t.read(COLLECTOR, load_of)
    first, bad, *_ = places_of(the).values()
    assert load.outcomes[first] == ""
    assert "the analyser sees no cell" in load.outcomes[bad]
    assert len(await analyses(t, first)) == 1
    assert await results(t, first) == []
    event = (await t.read(COLLECTOR, lambda desk: desk.events(first, ours=True)))[-1]
    assert (event.what, len(event.evidence)) == ("analysed", 1)
    assert str(event.details["result"]).startswith(f"{(await analyses(t, first))[0].soh_pct:g} %")
    again = await t.do(COLLECTOR, "repeat-cells")
    assert (await job(t, again.jobs[0])).details["by"] == "fast"


async def test_an_analyser_that_is_away_holds_up_no_sweep(t: Town, rack: Rack) -> None:
    rack.analyser_resource = "TCPIP::127.0.0.1::9::SOCKET"
    working = with_analyser(t, rack)
    the = await asked(t, working, "both")
    await working.work(the)
    found = await job(t, the.id)
    assert found.state == "done"
    assert "127.0.0.1::9" in found.progress["problem"]
    assert all(words.startswith("skipped: ") for words in found.progress["analysed"].values())
    assert sum(words == "measured" for words in found.progress["outcomes"].values()) == 3


async def test_a_vendors_value_that_contradicts_ours_is_told(t: Town, rack: Rack) -> None:
    rack.cells = {**rack.cells, 101: replace(rack.cells[101], soh_pct=40.0)}
    working = with_analyser(t, rack)
    the = await asked(t, working, "both")
    await working.work(the)
    first = next(iter(places_of(the).values()))
    (event,) = [e for e in await t.read(COLLECTOR, lambda d: d.events(first)) if e.what == "diagnosed"]
    assert any(re.match(r"the analyser says [34]\d.* the spectrum", words) for words in see_to(event))


async def test_both_resumed_after_a_crash_analyses_and_sweeps_each_cell_once(t: Town, rack: Rack) -> None:
    working = with_analyser(t, rack)
    the = await asked(t, working, "both")
    running = asyncio.create_task(working.work(the))
    await asyncio.sleep(0.3)
    running.cancel()
    await asyncio.wait({running})
    assert rack.closed is None
    t.start(COLLECTOR)
    await with_analyser(t, rack).work(await job(t, the.id))
    assert (await job(t, the.id)).state == "done"
    for cell in places_of(the).values():
        kept = await t.read(COLLECTOR, lambda desk, cell=cell: desk.measurements(cell))  # type: ignore[misc]
        assert len({one["format"] for one in kept}) == len(kept)


async def test_a_rack_without_an_analyser_is_named_before_anything_begins(t: Town, rack: Rack) -> None:
    working = bench(t, rack)
    with pytest.raises(Invalid, match="rack 1 has no fast analyser"):
        await asked(t, working, "fast")


async def test_from_when_on_the_station_warns_is_the_companys_to_say(t: Town, rack: Rack) -> None:
    await t.do(COLLECTOR, "set-care-limits", relay_life=1)
    await bench(t, rack).work(await the_job(t))
    cell = next(iter(places_of(await the_job(t)).values()))
    (event,) = [e for e in await t.read(COLLECTOR, lambda d: d.events(cell)) if e.what == "diagnosed"]
    assert "the relay of channel 101 was switched 1 times; 1 are its life" in see_to(event)
