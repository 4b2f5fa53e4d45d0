"""Every fault at random moments: nothing wrong recorded, no relay left closed, no cell lost or doubled.

Each trial is a shift of three cells on a simulated rack with one fault: a trouble at one channel, one at the
relay mainframe, a stop by the operator, or a power cut (SIGKILL) of the process that measures; after the last
two the shift is run again. A figure is wrong where it is not the cell's own within the noise. Run
`python bench/faults.py [--json] [--times 200]`.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # run as a script: its folder would stand before the room of the same name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from instruments.measurement import Measurement, Settings, sweep_hz
from instruments.rack import Rack, RackCell, SwitchTrouble, Trouble, populate, serve
from instruments.shift import Journal, Order, run
from instruments.station import Progress, Station

ORDER = Order("bench", 25.0, 50.0)
SETTINGS = Settings(frequencies_hz=sweep_hz(1000.0, 100.0, 6), margin_s=1.5)
READINGS = len(SETTINGS.frequencies_hz) + 2
SWITCH_MESSAGES = 22  # of a shift of three cells
NOISE = 2e-4
AT_ONCE = 20
CELLS = 3
KINDS = (*(f"cell {t}" for t in Trouble), *(f"switch {t}" for t in SwitchTrouble), "stop", "power cut")


@dataclass(frozen=True)
class Found:
    """What one trial left behind."""

    wrong: int
    left_closed: int
    lost: int
    doubled: int
    good_cells_skipped: int


def shift(meter: str, switch: str, load: dict[int, str], path: Path) -> None:
    """Run one shift to its end; the process that a power cut ends."""
    with Journal(path) as journal:
        run({Station(meter, switch, settings=SETTINGS): load}, ORDER, journal, pause_s=0.02)


def right(measurement: Measurement, cell: RackCell) -> bool:
    """Say whether a measurement is the cell's own within the noise and the meter's digits."""
    near = all(
        abs(got - (true := cell.spectrum.impedance(f))) <= (6 * NOISE + 1e-5) * abs(true)
        for f, got in zip(measurement.frequencies_hz, measurement.impedances_ohm, strict=True)
    )
    return near and abs(measurement.ocv_v - cell.ocv_v) < 1e-4 and measurement.cell == cell.code


def judged(path: Path, rack: Rack, touched: int | None) -> Found:
    """Compare the journal with the rack."""
    with Journal(path) as journal:
        outcomes = dict(journal.outcomes)
    written = Counter(next(iter(json.loads(line).values()))["cell"] for line in path.read_text().splitlines())
    at = {cell.code: channel for channel, cell in rack.cells.items()}
    wrong = sum(
        isinstance(outcome, Measurement)
        and not (outcome.channel == at[code] and right(outcome, rack.cells[at[code]]))
        for code, outcome in outcomes.items()
    )
    return Found(
        wrong=wrong,
        left_closed=int(rack.closed is not None),
        lost=len(set(at) - set(outcomes)),
        doubled=sum(count - 1 for count in written.values()),
        good_cells_skipped=sum(
            not isinstance(outcome, Measurement) and at[code] != touched for code, outcome in outcomes.items()
        ),
    )


async def trial(kind: str, seed: int, folder: Path) -> Found:
    """Inject one fault of this kind at a random moment and look what it did."""
    chance = random.Random(f"{kind} {seed}")
    what, _, which = kind.partition(" ")
    relays = chance.sample(range(101, 112), CELLS)
    channel = chance.choice(relays)
    cells = dict(zip(relays, populate([f"{seed}-{n}" for n in range(CELLS)]).values(), strict=True))
    if what == "cell":
        hurt = populate(["x"], troubles={101: Trouble(which)})[101].trouble
        cells[channel] = RackCell(cells[channel].code, cells[channel].spectrum, trouble=hurt)
    path = folder / f"{kind} {seed}"
    load = {at: cell.code for at, cell in cells.items()}
    async with serve(cells, time_scale=0, seed=seed, noise=NOISE, strike_within=READINGS) as rack:
        place = (rack.meter_resource, rack.switch_resource)
        if what == "switch":
            rack.trip_switch(SwitchTrouble(which), chance.randint(1, SWITCH_MESSAGES))
        if what == "stop":
            await asyncio.to_thread(
                stopped_shift, place, load, path, chance.randint(1, CELLS * (READINGS + 1))
            )
        if what == "power":
            await cut_shift(rack, load, path, chance.uniform(0, 0.15))
        await asyncio.to_thread(shift, *place, load, path)
        return judged(path, rack, channel if what == "cell" else None)


def stopped_shift(place: tuple[str, str], load: dict[int, str], path: Path, after: int) -> None:
    """Run a shift and stop it at a step of its progress."""
    station = Station(*place, settings=SETTINGS)
    steps = 0

    def watch(_: Progress) -> None:
        nonlocal steps
        steps += 1
        if steps == after:
            station.stop()

    with Journal(path) as journal:
        run({station: load}, ORDER, journal, on_progress=watch, pause_s=0.02)


async def cut_shift(rack: Rack, load: dict[int, str], path: Path, after_s: float) -> None:
    """Run a shift in another process and kill that process some time after it began to talk."""
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=shift, args=(rack.meter_resource, rack.switch_resource, load, path))
    await asyncio.to_thread(process.start)
    while rack.switch_messages == 0 and process.is_alive():  # noqa: ASYNC110 - the rack keeps no events
        await asyncio.sleep(0.001)
    await asyncio.sleep(after_s)
    process.kill()
    await asyncio.to_thread(process.join)


async def measure(times: int, tell: Callable[[str, Counter[str]], None]) -> dict[str, int]:
    """Inject every kind `times` times; return the sums."""
    total: Counter[str] = Counter()
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(kind: str, seed: int, folder: Path) -> Found:
        async with gate:
            return await trial(kind, seed, folder)

    with tempfile.TemporaryDirectory() as name:
        for kind in KINDS:
            found = await asyncio.gather(*(one(kind, seed, Path(name)) for seed in range(times)))
            sums = Counter({"injected": times})
            for each in found:
                sums.update({key: getattr(each, key) for key in Found.__dataclass_fields__})
            tell(kind, sums)
            total.update(sums)
    return {key: total[key] for key in ("injected", *Found.__dataclass_fields__)}


def main() -> int:
    """Print a table, or JSON; the status says whether anything was wrong."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--times", type=int, default=200, help="how often each fault is injected")
    chosen = arguments.parse_args()
    multiprocessing.get_context("forkserver").set_forkserver_preload(["bench.faults", "pyvisa_py", "pyvisa"])
    heads = ("injected", *Found.__dataclass_fields__)

    def tell(kind: str, sums: Counter[str]) -> None:
        if not chosen.json:
            print(f"{kind:20}" + "".join(f"{sums[head]:>20}" for head in heads), flush=True)

    if not chosen.json:
        print(" " * 20 + "".join(f"{head.replace('_', ' '):>20}" for head in heads))
    figures = asyncio.run(measure(chosen.times, tell))
    if chosen.json:
        print(json.dumps(figures))
    else:
        tell("all", Counter(figures))
    return int(any(figures[name] for name in ("wrong", "left_closed", "lost", "doubled")))


if __name__ == "__main__":
    sys.exit(main())
