"""A diagnosis job survives crashes, a rack that is away, and a person who stops it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable

import pytest

from agents.gateways.bench import Bench
from agents.ports import Desk
from agents.role import Job
from instruments.rack import Rack, Trouble, populate, serve
from tests.scenarios.town import COLLECTOR, DISMANTLER, Town, collect, job, take_apart, town

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


async def test_a_stopped_job_stays_stopped_and_keeps_what_it_has(t: Town, rack: Rack) -> None:
    working = bench(t, rack)
    work = asyncio.create_task(working.work(await the_job(t)))
    await until(t, lambda found: outcomes(found) >= 1)
    await t.do(COLLECTOR, "stop-diagnosis")
    await work
    found = await the_job(t)
    assert rack.closed is None
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
