"""The diagnosis station at the terminal, live with small spectra; measurements as files."""

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import click

from agents.cli.call import Call, Group, argument, command, group, option
from agents.cli.paper import Paper, Text, bad, faint, good, loud
from schemas.errors import Invalid

SECTION: Final = "Workshop"
PAUSE_S: Final = 0.5
WIDE, HIGH, BETWEEN = 28, 6, 16
_FILE = click.Path(path_type=Path, dir_okay=False)
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a Braille character, by row and column


def plotted(points: Sequence[tuple[float, float]], wide: int = WIDE, high: int = HIGH) -> list[str]:
    """Draw a curve through points as lines of Braille characters, each a raster of two by four.

    Nothing without points.
    """
    if not points:
        return []
    steps = [n / BETWEEN for n in range(BETWEEN)]
    pairs = pairwise(points)
    between = [tuple(a + t * (b - a) for a, b in zip(p, q, strict=True)) for p, q in pairs for t in steps]
    raster = [[0] * wide for _ in range(high)]
    lows = [min(point[axis] for point in points) for axis in (0, 1)]
    spans = [max(point[axis] for point in points) - low or 1.0 for axis, low in enumerate(lows)]
    for x, y in (*between, points[-1]):
        across = round((x - lows[0]) / spans[0] * (2 * wide - 1))
        down = round((1 - (y - lows[1]) / spans[1]) * (4 * high - 1))
        raster[down // 4][across // 2] |= _DOTS[down % 4][across % 2]
    return ["".join(chr(0x2800 + dots) for dots in row) for row in raster]


def _spectra(sweep: Mapping[str, Any]) -> Iterator[str]:
    """Yield a spectrum as lines, Nyquist and Bode beside each other."""
    impedances = list(zip(sweep["real_ohm"], sweep["imag_ohm"], strict=True))
    nyquist = plotted([(real, -imag) for real, imag in impedances])
    bode = plotted(
        [(math.log10(f), math.hypot(*z)) for f, z in zip(sweep["frequencies_hz"], impedances, strict=True)]
    )
    if nyquist:
        low, high = (1e3 * end(real for real, _ in impedances) for end in (min, max))
        fast, slow = sweep["frequencies_hz"][0], sweep["frequencies_hz"][-1]
        yield f"{f'Nyquist, Re {low:.1f} – {high:.1f} mΩ':{WIDE}}   Bode, {slow:g} – {fast:g} Hz"
    for left, right in zip(nyquist, bode, strict=True):
        yield f"{left}   {right}"


def _draw(call: Call, paper: Paper, found: Mapping[str, Any]) -> None:
    marks = {"measured": good("✓"), "skipped": bad("✗"), "measuring": loud("◔"), "waiting": faint("·")}
    state = call.say("measuring") if found["running"] else call.say("at rest")
    paper.title(call.say("Station"), "  ", loud(state), f"  {found['done']}/{found['total']}")
    for waiting in (found["cell"], found["place"]):
        if waiting:
            paper.line(call.say("{scan} waits for its partner", scan=waiting))
    for rack in found["racks"]:
        point = f"{rack['point']}/{rack['points']}" if rack["points"] and rack["busy"] else ""
        paper.line(loud(call.say("Rack {rack}", rack=rack["rack"])), "  ", faint(point))
        if rack["problem"]:
            paper.line("  ", bad(call.told(rack["problem"])))
        rows: list[list[Text]] = [
            [marks[one["state"]], str(one["channel"]), one["cell"], call.told(one["words"])]
            for one in rack["channels"]
            if one["state"] in marks
        ]
        if rows:
            paper.table(["", call.say("channel"), call.say("cell"), ""], rows, flexible=3)
        going = [s for s in found["sweeps"] if s["rack"] == rack["rack"] and s["channel"] == rack["channel"]]
        for sweep in going:
            for line in _spectra(sweep):
                paper.line("  ", line)
    for words in found["see_to"]:
        paper.line(bad("! "), call.told(words))


@command("station", option("--watch", "Stay and show every change, until nothing is measured.", is_flag=True))
def station(call: Call, watch: bool) -> None:
    """The diagnosis station: each channel's state, and the spectra as they come."""
    live = watch and sys.stdout.isatty() and not call.json
    told: set[tuple[str, str, str]] = set()
    while True:
        found = call.client.get("/station")
        if live:
            call.paper.write("\x1b[H\x1b[2J")
            _draw(call, call.paper, found)
        elif watch and not call.json:
            for rack in found["racks"]:
                for one in rack["channels"]:
                    now = (one["place"], one["cell"], one["state"])
                    if one["state"] in {"measured", "skipped"} and now not in told:
                        told.add(now)
                        words = call.told(one["words"])
                        call.paper.line(*now[:2], "  ", call.term(one["state"], "event"), "  ", words)
        if not watch or not found["running"]:
            break
        time.sleep(PAUSE_S)
    if not watch or call.json:
        call.show(found, lambda paper: _draw(call, paper, found))


def _alone(call: Call) -> None:
    raise click.UsageError(
        call.say("there are “meguri measurements export” and “meguri measurements import”")
    )


measurements: Group = group(
    "measurements", _alone, "Measurements as files that other programs read: CSV and JSON."
)


@measurements.add(
    "export",
    argument("file", "Where to write them; its ending says how: .csv or .json.", type=_FILE),
    option("--item", "Only of this cell, or of the cells of this pack.", default=""),
)
def export(call: Call, file: Path, item: str) -> None:
    """Write measurements to a file."""
    kind = file.suffix.lower().removeprefix(".")
    if kind not in {"csv", "json"}:
        raise Invalid("{file} is neither .csv nor .json", file=file)
    content = call.client.download("/measurements", format=kind, item=item)
    try:
        file.write_bytes(content)
    except OSError as error:
        raise Invalid("{file} cannot be written: {why}", file=file, why=error.strerror) from error
    call.show({"file": str(file), "bytes": len(content)}, lambda paper: paper.line(good("✓ "), str(file)))


@measurements.add("import", argument("file", "A file of measurements, CSV or JSON.", type=_FILE))
def take_in(call: Call, file: Path) -> None:
    """Take in the measurements of a file, each once."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise Invalid("{file} cannot be read: {why}", file=file, why=error.strerror) from error
    found = call.client.send("/measurements", content)

    def draw(paper: Paper) -> None:
        counts = {name: len(found[name]) for name in ("taken", "known", "refused")}
        words = "{taken} measurements taken in, {known} known before, {refused} refused"
        paper.line(bad("✗ ") if found["refused"] else good("✓ "), call.say(words, **counts))
        for cell, why in found["refused"].items():
            paper.line("  ", cell, "  ", call.told(why))

    call.show(found, draw)
    if found["refused"]:
        raise click.exceptions.Exit(1)


COMMANDS: Final = {"station": station, "measurements": measurements}
