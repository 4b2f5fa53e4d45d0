"""A session at the terminal, from the scans to the summary, and its picture."""

import asyncio
import json
import math
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instruments.picture import Trace, svg
from instruments.rack import Trouble, populate, serve
from instruments.session import scans
from instruments.sw1001 import Mainframe
from schemas.errors import Invalid

ROOT = Path(__file__).parents[2]
RELAYS = Mainframe().relays()
cells = st.text("ABCDEFGHJKLMNPQRSTUVWXYZ", min_size=1, max_size=8).filter(lambda c: c.lower() != "start")


@given(st.dictionaries(st.sampled_from(RELAYS), cells, max_size=33), st.randoms())
def test_two_scans_a_cell_in_either_order(load: dict[int, str], random: object) -> None:
    unique = {channel: f"{cell}-{channel}x" for channel, cell in load.items()}
    flip = random.random  # type: ignore[attr-defined]
    lines = [
        line
        for channel, cell in unique.items()
        for line in ((str(channel), cell) if flip() < 0.5 else (cell, str(channel)))
    ]
    assert scans([*lines, "start", "ignored"]) == (unique,)


def test_a_scan_is_taken_back_by_undo() -> None:
    assert scans(["A", "101", "B", "102", "undo", "B", "103"]) == ({101: "A", 103: "B"},)
    assert scans(["A", "101", "B", "undo", "A2", "102"]) == ({101: "A", 102: "A2"},)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["A", "A"], "A was scanned just now; scan its channel"),
        (["A", "B"], "scan the channel of A first, or undo"),
        (["A", "101", "A"], "A is on channel 101 already"),
        (["A", "101", "101"], "channel 101 is taken by A"),
        (["101", "102"], "scan the cell on channel 101 first, or undo"),
        (["A", "999"], "there is no channel 999 here"),
        (["A", "2:101"], "there is no channel 2:101 here"),
        (["undo"], "there is nothing to undo"),
    ],
)
def test_a_wrong_scan_is_told_and_changes_nothing(lines: list[str], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        scans(lines)
    told: list[str] = []
    tidy = [*lines, "undo", "undo", "undo"]
    scans(tidy, tell=lambda fault: told.append(str(fault)))
    assert told[0] == words


@pytest.mark.parametrize("lines", [["A"], ["101"], ["A", "101", "B"]])
def test_a_scan_without_partner_is_told(lines: list[str]) -> None:
    with pytest.raises(Invalid, match="was scanned without"):
        scans(lines)


def session(
    meter: str, switch: str, folder: Path, scanned: str, *more: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "instruments.session", "--meter", meter, "--switch", switch]
    command += ["--operator", "operator 7", "--temperature", "25", "--soc", "50", *more]
    command += ["--journal", str(folder / "shift.journal"), "--picture", str(folder / "spectra.svg")]
    return subprocess.run(
        command, cwd=ROOT, input=scanned, capture_output=True, text=True, check=False, timeout=120
    )


async def test_a_session_measures_draws_and_goes_on(tmp_path: Path) -> None:
    load = populate(["A", "B", "C"], troubles={102: Trouble.REVERSED})
    async with serve(load, time_scale=0) as rack:
        place = (rack.meter_resource, rack.switch_resource, tmp_path)
        done = await asyncio.to_thread(session, *place, "A\n101\nB\n102\nstart\n")
        assert (done.returncode, done.stdout) == (0, "2 cells: 1 measured, 1 skipped, 0 open\n")
        assert "reversed" in done.stderr
        (tmp_path / "care.toml").write_text("[calibrated_until]\nSIM000000 = 2020-01-01\n")
        again = await asyncio.to_thread(
            session, *place, "A\n101\nB\n102\nC\n103\n", "--json", "--care", str(tmp_path / "care.toml")
        )
        found = json.loads(again.stdout)
        assert (found["cells"], found["measured"], list(found["skipped"])) == (3, 2, ["B"])
        assert found["warnings"]["the calibration of SIM000000 ended on 2020-01-01"] == ["A", "C"]
        assert rack.relay_counts == {101: 1, 102: 2, 103: 1}
        picture = (tmp_path / "spectra.svg").read_text()
        assert [t.text for t in ElementTree.fromstring(picture).iter() if t.tag.endswith("title")].count(
            "A"
        ) == 2


async def test_a_session_that_cannot_begin_says_why(tmp_path: Path) -> None:
    gone = "TCPIP::127.0.0.1::1::SOCKET"
    done = await asyncio.to_thread(session, gone, gone, tmp_path, "A\n")
    assert done.returncode == 2
    assert "scanned without a channel" in done.stderr


figures = st.floats(-1e3, 1e3)


@given(
    st.lists(
        st.lists(st.tuples(st.floats(1e-3, 1e5), figures, figures), max_size=5).map(
            lambda rows: Trace("<a & b>", tuple(r[0] for r in rows), tuple(complex(r[1], r[2]) for r in rows))
        ),
        max_size=3,
    )
)
def test_any_spectrum_is_drawn_inside_the_paper(traces: list[Trace]) -> None:
    picture = ElementTree.fromstring(svg(traces))
    drawn = [t for t in traces if t.frequencies_hz]
    paths = [p.attrib["d"] for p in picture.iter() if p.tag.endswith("path") and "stroke-width" in p.attrib]
    assert len(paths) == 2 * len(drawn)
    for path in paths:
        for pair in path.removeprefix("M").split("L"):
            x, y = map(float, pair.split())
            assert math.isfinite(x)
            assert 0 <= x <= 800
            assert 0 <= y <= 300
