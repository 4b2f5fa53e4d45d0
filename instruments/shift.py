"""A shift: all cells of all racks, racks side by side, every outcome written down before the next cell.

Whatever ends it, a stop, a fault of a rack or a power cut, the journal says which cells are done, and the
next run goes on with the others: no cell is lost, and none is recorded twice.
"""

import fcntl
import json
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from instruments.analyser import Analysis
from instruments.measurement import Measurement, Outcome, Reason, Skipped
from instruments.station import Progress, Station
from schemas.errors import Invalid, Misstep, Unavailable

TRIES = 3
PAUSE_S = 1.0


class Journal:
    """Outcomes by cell in a file of lines, one JSON object each; a line cut short is dropped."""

    def __init__(self, path: Path) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self._lock = threading.Lock()
        self._file = path.open("a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise Misstep("another shift is writing {file}", file=path) from None
        self._file.seek(0)
        content = self._file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._file.truncate(len(whole))
        try:
            for line in whole.splitlines():
                outcome = _outcome(json.loads(line))
                self.outcomes[outcome.cell] = outcome
        except (ValueError, TypeError, KeyError, Invalid) as error:
            self._file.close()
            raise Invalid("{file} is no journal of a shift: {error}", file=path, error=error) from error

    def note(self, outcome: Outcome) -> None:
        """Write an outcome down, to stay; raise Misstep where the cell has one already."""
        kinds = {Measurement: "measured", Analysis: "analysed", Skipped: "skipped"}
        kind = kinds[type(outcome)]
        line = json.dumps({kind: outcome.to_json()}, ensure_ascii=False).encode() + b"\n"
        with self._lock:
            if outcome.cell in self.outcomes:
                raise Misstep("{cell} has an outcome already", cell=outcome.cell)
            self._file.write(line)
            self._file.flush()
            os.fsync(self._file.fileno())
            self.outcomes[outcome.cell] = outcome

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _outcome(document: Mapping[str, Any]) -> Outcome:
    ((kind, values),) = document.items()
    if kind == "measured":
        return Measurement.from_json(values)
    if kind == "analysed":
        return Analysis.from_json(values)
    return Skipped(**dict(values) | {"reason": Reason(values["reason"])})


@dataclass(frozen=True)
class Summary:
    """What a shift came to: the outcomes of its cells, and the racks that gave up, in words."""

    outcomes: Mapping[str, Outcome]
    broken: Mapping[str, str] = field(default_factory=dict)
    stopped: bool = False


@dataclass(frozen=True)
class Order:
    """What holds for every cell of a shift; a zero adjustment is told for all meters, or by serial number.

    `fast`: the cells are analysed by the racks' fast analysers, instead of being swept.
    """

    operator: str
    temperature_c: float
    soc_pct: float | None = None
    zero_adjustment: str | Mapping[str, str] | None = None
    fast: bool = False


def run(
    loads: Mapping[Station, Mapping[int, str]],
    order: Order,
    journal: Journal,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    on_written: Callable[[Outcome], None] | None = None,
    tries: int = TRIES,
    pause_s: float = PAUSE_S,
) -> Summary:
    """Measure the cells of every rack that have no outcome yet, racks in parallel; blocks until done.

    A rack whose instruments cannot be reached, or whose switch does not confirm that it opened, is tried
    again `tries` times in a row and then given up; the others go on. `Station.stop` ends a rack at once; its
    cells without outcome stay open for the next run. `on_written` hears of each outcome once it stands in the
    journal, in the thread of its rack. Raises Invalid for a cell that is on two racks.
    """
    cells = [cell for load in loads.values() for cell in load.values()]
    if len(set(cells)) != len(cells):
        raise Invalid("a cell cannot be on two channels")
    broken: dict[str, str] = {}
    stopped = threading.Event()

    def work(station: Station, load: Mapping[int, str]) -> None:
        failures = 0
        while todo := {ch: cell for ch, cell in load.items() if cell not in journal.outcomes}:
            try:
                for outcome in station.outcomes(
                    todo,
                    order.operator,
                    order.temperature_c,
                    soc_pct=order.soc_pct,
                    zero_adjustment=order.zero_adjustment,
                    fast=order.fast,
                    on_progress=on_progress,
                ):
                    if isinstance(outcome, Skipped) and outcome.reason is Reason.STOPPED:
                        stopped.set()
                        return
                    journal.note(outcome)
                    if on_written is not None:
                        on_written(outcome)
                    failures = 0
            except Unavailable as fault:
                failures += 1
                if station.stopped or failures > tries:
                    broken[station.rack] = str(fault)
                    return
                station.wait(pause_s)

    with ThreadPoolExecutor(max_workers=max(len(loads), 1)) as racks:
        for each in [racks.submit(work, station, load) for station, load in loads.items()]:
            each.result()
    return Summary(
        {cell: journal.outcomes[cell] for cell in cells if cell in journal.outcomes}, broken, stopped.is_set()
    )
