"""A station session at the terminal: scan a cell, scan its channel, again and again, then start.

Each scan is one line. A channel is a number the switch has (`101`), on a second rack `2:101`; anything else
is a cell. `start`, or the end of the input, begins; `undo` takes back the last scan. At a terminal a wrong
scan is told at once and does not count.
"""

import argparse
import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from instruments.care import Care, read
from instruments.load import Load
from instruments.measurement import Measurement, Outcome, Settings, Skipped
from instruments.picture import Trace, svg
from instruments.shift import Journal, Order, Summary, run
from instruments.station import Progress, Station
from schemas.errors import Fault, Invalid

START = "start"
BAR = 20


def scans(
    lines: Iterable[str], racks: int = 1, tell: Callable[[Invalid], None] | None = None
) -> tuple[dict[int, str], ...]:
    """Return which cell is on which channel, by rack; raise Invalid where a scan is wrong or has no partner.

    With `tell`, a wrong scan is told there at once, and the next one counts.
    """
    load = Load(racks)
    for line in lines:
        scan = line.strip()
        if not scan:
            continue
        if scan.lower() == START:
            break
        try:
            load = load.scanned(scan)
        except Invalid as fault:
            if tell is None:
                raise
            tell(fault)
    if load.cell:
        raise Invalid("{cell} was scanned without a channel", cell=load.cell)
    if load.place is not None:
        raise Invalid("channel {channel} was scanned without a cell", channel=load.place.channel)
    return tuple(load.on(rack) for rack in range(1, racks + 1))


class Screen:
    """Tells how far each rack is: a moving line on a terminal, a line an outcome elsewhere."""

    def __init__(self, picture: Path | None, already: Iterable[Outcome]) -> None:
        self._live = sys.stderr.isatty()
        self._picture = picture
        self._traces = [_trace(outcome) for outcome in already if isinstance(outcome, Measurement)]

    def __call__(self, step: Progress) -> None:
        """Show one step."""
        outcome = step.outcome
        if outcome is not None:
            words = f"skipped: {outcome.words}" if isinstance(outcome, Skipped) else "measured"
            self._write(f"{step.rack} {step.channel} {step.cell}  {words}", last=True)
            if isinstance(outcome, Measurement):
                self._traces.append(_trace(outcome))
                self._draw()
        elif self._live:
            done = BAR * step.point // max(step.points, 1)
            reading = step.reading
            figures = (
                f"{reading.frequency_hz:8.4g} Hz {1e3 * abs(reading.impedance_ohm):8.3f} mΩ"
                if reading
                else ""
            )
            bar = "█" * done + "·" * (BAR - done)
            self._write(f"{step.rack} {step.channel} {step.cell}  {step.stage:9} {bar} {figures}", last=False)

    def _write(self, text: str, *, last: bool) -> None:
        clean = "".join(c if c.isprintable() else "?" for c in text)
        if self._live and not last:  # a line that wraps would not be overwritten by the next
            clean = clean[: shutil.get_terminal_size().columns - 1]
        sys.stderr.write(f"\r\x1b[K{clean}" if self._live else clean)
        sys.stderr.write("\n" if last else "")
        sys.stderr.flush()

    def _draw(self) -> None:
        if self._picture is not None:
            fresh = self._picture.with_name(f".{self._picture.name}.new")
            fresh.write_text(svg(self._traces), "utf-8")
            fresh.replace(self._picture)


def _trace(measured: Measurement) -> Trace:
    return Trace(measured.cell, measured.frequencies_hz, measured.impedances_ohm)


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        """Raise Invalid."""
        raise Invalid("the arguments cannot be used: {why}", why=message)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a session; 0: every cell has an outcome, 3: not all, 2: it could not begin."""
    parser = Parser(
        prog="meguri measure",
        description="Measure all cells of one rack or several. Scans come from standard input, a line each: "
        "a cell, its channel, and so on; `start` or the end of input begins. Interrupt to stop safely; the "
        "same command goes on where it ended.",
    )
    parser.add_argument(
        "--meter", action="append", required=True, help="VISA resource of a meter; one a rack"
    )
    parser.add_argument("--switch", action="append", required=True, help="VISA resource of its switch")
    parser.add_argument("--operator", required=True)
    parser.add_argument("--temperature", type=float, required=True, help="of the room, in °C")
    parser.add_argument("--soc", type=float, help="state of charge in %%, where it is known")
    parser.add_argument("--zero", help="the zero adjustment that holds, by its name")
    parser.add_argument("--rate", choices=["FAST", "MED", "SLOW"], default="MED")
    parser.add_argument("--journal", type=Path, default=Path("shift.journal"), help="default: %(default)s")
    parser.add_argument("--picture", type=Path, help="SVG of the spectra, drawn anew after each cell")
    parser.add_argument("--care", type=Path, help="TOML with zero adjustments and calibrations, for warnings")
    parser.add_argument("--room", type=Path, help="CSV of the room's temperature: at, temp_c, …")
    parser.add_argument("--json", action="store_true", help="the summary as one JSON document")
    try:
        asked = parser.parse_args(argv)
        if len(asked.meter) != len(asked.switch):
            raise Invalid("a rack needs one meter and one switch")
        loads = scans(sys.stdin, len(asked.meter), _wrong if sys.stdin.isatty() else None)
        stations = [
            Station(meter, switch, rack=f"rack-{n}", settings=Settings(rate=asked.rate))
            for n, (meter, switch) in enumerate(zip(asked.meter, asked.switch, strict=True), start=1)
        ]

        def stop(*_: object) -> None:
            for station in stations:
                station.stop()

        signal.signal(signal.SIGINT, stop)
        care = _care(asked.care, asked.room)
        order = Order(asked.operator, asked.temperature, asked.soc, asked.zero)
        with Journal(asked.journal) as journal:
            screen = Screen(asked.picture, journal.outcomes.values())
            summary = run(dict(zip(stations, loads, strict=True)), order, journal, on_progress=screen)
    except (Fault, OSError) as error:
        sys.stderr.write(f"meguri: {error}\n")
        return 2
    with suppress(BrokenPipeError):
        _report(summary, sum(map(len, loads)), care, as_json=asked.json)
    return 0 if len(summary.outcomes) == sum(map(len, loads)) else 3


def _wrong(fault: Invalid) -> None:
    sys.stderr.write(f"✗ {fault}\n")


def _care(care: Path | None, room: Path | None) -> Care | None:
    if care is None and room is None:
        return None
    lines = room.read_text("utf-8").splitlines(keepends=True) if room else ()
    return read(care.read_text("utf-8") if care else "", lines)


def _report(summary: Summary, cells: int, care: Care | None, *, as_json: bool) -> None:
    warnings: dict[str, list[str]] = {}
    for outcome in summary.outcomes.values():
        if care is not None and isinstance(outcome, Measurement):
            for warning in care.warnings(outcome):
                warnings.setdefault(warning.words, []).append(outcome.cell)
    measured = sum(isinstance(outcome, Measurement) for outcome in summary.outcomes.values())
    document: dict[str, Any] = {
        "cells": cells,
        "measured": measured,
        "skipped": {o.cell: o.words for o in summary.outcomes.values() if isinstance(o, Skipped)},
        "open": cells - len(summary.outcomes),
        "broken": dict(summary.broken),
        "warnings": warnings,
        "stopped": summary.stopped,
    }
    if as_json:
        sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")
        return
    skipped = len(document["skipped"])
    sys.stdout.write(f"{cells} cells: {measured} measured, {skipped} skipped, {document['open']} open\n")
    for words, touched in warnings.items():
        sys.stdout.write(f"see to it: {words} ({len(touched)} cells)\n")
    for rack, words in summary.broken.items():
        sys.stdout.write(f"{rack} gave up: {words}\n")


if __name__ == "__main__":
    raise SystemExit(main())
