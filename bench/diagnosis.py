"""What a diagnosis costs beside the instruments' own time, whether racks slow each other, and a long shift.

A simulated rack of 33 cells in a process of its own takes its nominal times, scaled by `--scale`, and tells
how long its instruments were really at work (a busy machine wakes them late); all other time is ours. Scaled
down, our share is larger than in a shop: there it is about `--scale` times as much. Then two racks at once,
and a shift of 1,000 cells with every kind of trouble on instruments that answer at once; the same once more
through a collector's agent with its books, on two racks, where every input of the operator is counted.
`python bench/diagnosis.py [--json] [--scale 0.05] [--cells 1000]`
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

if not __package__:  # run as a script: its folder would stand before the room of the same name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from agents.gateways.bench import Bench
from agents.lookup import Lookup
from agents.ports import Desk
from agents.role import Company, Item
from agents.roles import play
from agents.service import Agent
from agents.store import open_store
from credentials.keys import LocalSigner
from instruments.bt4560 import Meter
from instruments.measurement import Measurement, Settings
from instruments.rack import Timing, Trouble, populate, serve
from instruments.shift import Journal, Order, run
from instruments.station import Station
from instruments.sw1001 import Mainframe
from schemas.claims import Member, MembershipRegister
from schemas.errors import Unknown
from schemas.events import Event
from schemas.items import mint

ROOT = Path(__file__).resolve().parents[1]
FULL = len(Mainframe().relays())
ORDER = Order("bench", 25.0, 50.0)
FAULTY = 0.12


class Shelf:
    """A simulated rack in a process of its own."""

    def __init__(self, scale: float, seed: int) -> None:
        command = [sys.executable, "-m", "instruments.rack", "--time-scale", str(scale), "--seed", str(seed)]
        self._program = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self.place: dict[str, str] = json.loads(self._line())

    def _line(self) -> str:
        assert self._program.stdout is not None
        return self._program.stdout.readline()

    def end(self) -> float:
        """End it; return how long its instruments were at work, in seconds."""
        self._program.terminate()
        busy_s: float = json.loads(self._line())["busy_s"]
        self._program.wait()
        return busy_s


def own_s(cells: int, settings: Settings) -> float:
    """Return what the instruments themselves take for `cells` good cells, in nominal seconds."""
    meter, relay_s = Meter(), Timing().relay_s
    readings = (settings.check_hz, *settings.frequencies_hz, settings.check_hz)
    sweep_s = sum(meter.reading_s(f, settings.rate) for f in readings)
    return cells * (sweep_s + 2 * relay_s) + 2 * relay_s


def timed(count: int, scale: float, folder: Path) -> tuple[float, float]:
    """Measure `count` full racks side by side; return the wall time and the longest work of one, in s."""
    shelves = [Shelf(scale, seed) for seed in range(count)]
    loads = {
        Station(shelf.place["meter"], shelf.place["switch"], rack=f"rack {n}"): {
            channel: f"{n}-{channel}" for channel in Mainframe().relays()
        }
        for n, shelf in enumerate(shelves)
    }
    with Journal(folder / f"{count} racks") as journal:
        start = time.perf_counter()
        summary = run(loads, ORDER, journal)
        wall = time.perf_counter() - start
    busy = max(shelf.end() for shelf in shelves)
    measured = sum(isinstance(outcome, Measurement) for outcome in summary.outcomes.values())
    if measured != count * FULL or summary.broken:
        raise SystemExit(f"only {measured} of {count * FULL} cells were measured: {summary.broken}")
    return wall, busy


async def long_shift(cells: int, folder: Path) -> dict[str, float]:
    """Measure `cells` cells load by load, about an eighth of them in trouble; nobody is asked anything."""
    chance = random.Random(4)
    codes = [f"CELL-{n:04d}" for n in range(cells)]
    outcomes: Counter[str] = Counter()
    wrong_reason = closed = 0
    start = time.perf_counter()
    with Journal(folder / "shift") as journal:
        for first in range(0, cells, FULL):
            load = codes[first : first + FULL]
            relays = Mainframe().relays()[: len(load)]
            troubles = {c: chance.choice(list(Trouble)) for c in relays if chance.random() < FAULTY}
            async with serve(populate(load, troubles=troubles), time_scale=0, seed=first) as here:
                station = Station(here.meter_resource, here.switch_resource, settings=Settings(margin_s=1.0))
                await asyncio.to_thread(
                    run, {station: dict(zip(relays, load, strict=True))}, ORDER, journal, pause_s=0.05
                )
                closed += here.closed is not None
            for channel, code in zip(relays, load, strict=True):
                measured = isinstance(journal.outcomes.get(code), Measurement)
                outcomes["measured" if measured else "skipped"] += code in journal.outcomes
                wrong_reason += (not measured) and channel not in troubles
        lost = cells - len(journal.outcomes)
    return {
        "shift_cells": cells,
        "shift_measured": outcomes["measured"],
        "shift_skipped": outcomes["skipped"],
        "shift_good_cells_skipped": wrong_reason,
        "shift_lost": lost,
        "shift_left_closed": closed,
        "shift_wall_s": time.perf_counter() - start,
    }


class Away:
    """A courier with nobody to write to, and a web where nobody is."""

    def wake(self, peers: frozenset[str]) -> None:
        """Leave it lying."""

    async def get(self, url: str, most: int, /) -> bytes:
        """Find nothing."""
        raise Unknown("nobody is at {url}", url=url)


def collector(folder: Path, codes: list[str]) -> Agent:
    """Return the agent of an accredited collector that took a pack apart into these cells."""
    key = LocalSigner.generate()
    store = open_store(f"sqlite:///{folder / 'books.db'}", Company(key.did, "bench", ("collector",)))
    now = datetime.now(UTC)
    member = Member(did=key.did, name="bench", roles=("collector",), status="accredited", since=now)
    register = MembershipRegister(did="did:key:authority", version=1, members=(member,))

    def work(desk: Desk) -> None:
        desk.set("register", register.model_dump_json())
        for code in codes:
            desk.keep_item(Item(code, "cell", key.did, model="warwick-5ah", chemistry="NMC"))
            part = {"part_of": "bench", "position": "1"}
            desk.keep_event(
                Event(item=code, kind="cell", what="extracted", when=now, who="bench", details=part)
            )

    asyncio.run(store.write(work))
    return Agent(play(("collector",)), store, Away(), key, Lookup(Away(), store), "https://bench.example")


async def agents_shift(agent: Agent, codes: list[str], folder: Path) -> dict[str, float]:
    """Measure cells through an agent, two racks a load; only what the operator must do is done."""
    chance, scans, starts, measured, skipped, wrong = random.Random(4), 0, 0, 0, 0, 0
    places = [f"{rack}:{channel}" for rack in (1, 2) for channel in Mainframe().relays()]
    start = time.perf_counter()
    for first in range(0, len(codes), len(places)):
        load = dict(zip(places, codes[first : first + len(places)], strict=False))
        bad = {place: chance.choice(list(Trouble)) for place in load if chance.random() < FAULTY}
        async with AsyncExitStack() as stack:
            racks = []
            for number in ("1", "2"):
                troubles = {int(p[2:]): kind for p, kind in bad.items() if p[0] == number}
                cells = populate([f"{number}-{n}" for n in range(FULL)], troubles=troubles)
                racks.append(await stack.enter_async_context(serve(cells, time_scale=0, seed=first)))
            resources = [(rack.meter_resource, rack.switch_resource) for rack in racks]
            bench = agent.works = Bench(
                agent, resources, folder / "shifts", settings=Settings(margin_s=1.0), poll_s=0.05
            )
            await bench.settle()
            for place, code in load.items():
                for scan in (code, place):
                    await agent.perform("scan", {"scan": scan})
                    scans += 1
            done = await agent.perform("diagnose-cells", {"temperature_c": "25", "soc_pct": "50"})
            starts += 1
            job = await agent.store.read(lambda desk, id=done.jobs[0]: desk.job(id))  # type: ignore[misc]
            while job is not None and job.state in {"queued", "running"}:
                await bench.work(job)
                job = await agent.store.read(lambda desk, id=job.id: desk.job(id))  # type: ignore[misc]
            outcomes = job.progress["outcomes"] if job else {}
            measured += sum(words == "measured" for words in outcomes.values())
            skipped += sum(words.startswith("skipped") for words in outcomes.values())
            wrong += sum(outcomes.get(code) != "measured" for place, code in load.items() if place not in bad)
            await agent.perform("unload-rack", {})
    kept = await agent.store.read(lambda desk: sum(len(desk.measurements(code)) for code in codes))
    return {
        "operator_inputs_per_cell": scans / len(codes),
        "operator_starts_per_load": starts / -(-len(codes) // len(places)),
        "agent_shift_cells": len(codes),
        "agent_shift_measured": measured,
        "agent_shift_skipped": skipped,
        "agent_shift_good_cells_skipped": wrong,
        "agent_shift_lost": len(codes) - measured - skipped,
        "agent_shift_doubled": kept - measured,
        "agent_shift_wall_s": time.perf_counter() - start,
    }


def measure(scale: float, cells: int) -> dict[str, float]:
    """Measure every figure."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (one, busy), (two, _) = timed(1, scale, folder), timed(2, scale, folder)
        figures = {
            "scale": scale,
            "instruments_nominal_s": own_s(FULL, Settings()) * scale,
            "instruments_s": busy,
            "one_rack_s": one,
            "two_racks_s": two,
            "overhead_share": (one - busy) / one,
            "overhead_share_at_nominal_time": (one - busy) / (one - busy + busy / scale),
            "two_rack_ratio": two / one,
        }
        figures |= asyncio.run(long_shift(cells, folder))
        packs = [mint("pack") for _ in range(0, cells, 100)]
        codes = [mint("cell", packs[n // 100], n % 100 + 1) for n in range(cells)]
        agent = collector(folder, codes)
        return figures | asyncio.run(agents_shift(agent, codes, folder))


def main() -> None:
    """Print a table, or JSON."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--scale", type=float, default=0.05, help="factor on all times of the instruments")
    arguments.add_argument("--cells", type=int, default=1000, help="cells of the long shift")
    chosen = arguments.parse_args()
    figures = measure(chosen.scale, chosen.cells)
    if chosen.json:
        print(json.dumps({name: round(value, 5) for name, value in figures.items()}))
        return
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):34} {value:12.4f}")


if __name__ == "__main__":
    main()
