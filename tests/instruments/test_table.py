"""Measurements as files: what is written is read back, and what was changed is refused."""

import asyncio
import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.soh.table import read
from instruments.measurement import Measurement
from instruments.rack import populate, serve
from instruments.shift import Journal
from instruments.station import Station
from instruments.table import from_json, load, main, read_csv, save, to_json, write_csv
from schemas.errors import Invalid, Unknown
from tests.instruments.test_station import QUICK, measurements


def table(*rows: Measurement) -> str:
    file = io.StringIO(newline="")
    write_csv(rows, file)
    return file.getvalue()


def lines(text: str) -> list[str]:
    return io.StringIO(text, newline="").readlines()


@settings(max_examples=50, deadline=None)
@given(st.lists(measurements(), max_size=3, unique_by=lambda each: each.digest))
def test_measurements_survive_either_form(given_: list[Measurement]) -> None:
    assert read_csv(io.StringIO(table(*given_), newline="")) == tuple(given_)
    again = from_json(json.loads(json.dumps(to_json(given_))))
    assert again == tuple(given_)
    assert [each.transcript for each in again] == [each.transcript for each in given_]


async def measured() -> Measurement:
    async with serve(populate(["A"]), time_scale=0) as rack:
        station = Station(rack.meter_resource, rack.switch_resource, settings=QUICK)
        (one,) = await asyncio.to_thread(station.diagnose, {101: "A"}, "operator 7", 25.0, soc_pct=50.0)
    assert isinstance(one, Measurement)
    return one


@pytest.mark.parametrize("text", ['=HYPERLINK("http://x")', "+1", "-1", "@SUM(A1)", "\t=1", "'=1", "'", "-"])
async def test_no_spreadsheet_takes_what_a_file_says_for_a_formula(text: str) -> None:
    one = replace(await measured(), rack=text, operator=text, zero_adjustment=text)
    (row, *_) = csv.DictReader(lines(table(one)))
    for name in ("rack", "operator", "zero_adjustment"):
        assert not row[name].startswith(("=", "+", "-", "@", "\t", "\r"))
    assert read_csv(lines(table(one))) == (one.without_transcript(),)


@pytest.mark.parametrize("figure", [10**400, -(10**400), "1" * 5000, [], {}, None])
async def test_a_figure_that_is_none_is_refused(figure: object) -> None:
    document = (await measured()).to_json()
    for changed in (document | {"ocv_v": figure}, document | {"real_ohm": [figure]}):
        with pytest.raises(Invalid):
            Measurement.from_json(changed)


@pytest.mark.parametrize(
    ("name", "value"),
    [("rack", 5), ("operator", None), ("cell", ["A"]), ("channel", "101"), ("attempts", True)],
)
async def test_what_is_of_another_kind_is_refused_before_it_spoils_a_table(name: str, value: object) -> None:
    with pytest.raises(Invalid, match="another kind"):
        Measurement.from_json((await measured()).to_json() | {name: value})


async def test_a_table_of_measurements_is_a_file_of_spectra() -> None:
    one = await measured()
    (sample,) = read(lines(table(one)), "E5")
    assert (sample.name, sample.cell) == (one.digest, "A")
    assert sample.spectrum.real_ohm == one.real_ohm
    assert sample.spectrum.closing_1khz_ohm == complex(*one.closing_ohm)
    assert (sample.spectrum.temperature_c, sample.spectrum.soc_pct) == (25.0, 50.0)


async def test_a_changed_table_is_refused() -> None:
    one = await measured()
    text = table(one)
    for old, new in (("operator 7", "operator 8"), (repr(one.real_ohm[0]), "0.5")):
        with pytest.raises(Invalid):
            read_csv(lines(text.replace(old, new, 1)))
        with pytest.raises(Invalid):
            read_csv(lines(text.replace(old, new)))
    with pytest.raises(Invalid, match="lacks"):
        read_csv(lines(text.replace("relay_count", "relays")))


async def test_files_are_converted_by_their_endings(tmp_path: Path) -> None:
    one = await measured()
    with Journal(tmp_path / "shift.journal") as journal:
        journal.note(one)
    for source, target in (("shift.journal", "a.csv"), ("a.csv", "b.json"), ("b.json", "c.csv")):
        assert main([str(tmp_path / source), str(tmp_path / target)]) == 0
        assert load(tmp_path / target) == (one,)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "c.csv").read_bytes()


def test_what_cannot_be_converted_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe")
    for name in ("missing.csv", "missing.journal", "bad.json", "bad.csv", "what.txt"):
        with pytest.raises((Invalid, Unknown)):
            load(tmp_path / name)
        assert main([str(tmp_path / name), str(tmp_path / "out.json")]) == 2
    assert main([]) == 2
    with pytest.raises(Invalid):
        save((), tmp_path / "out.txt")
    documents: list[object] = [None, [], {}, {"format": "meguri.measurements/1"}]
    for document in documents:
        with pytest.raises(Invalid):
            from_json(document)
    assert "neither" in capsys.readouterr().err
