"""Tests of cells come in as a CSV file, and the class they make is told at the terminal and on the page."""

import json
from pathlib import Path

from tests.agents.cli.conftest import Meguri, Town
from tests.agents.test_electrical import CAPACITY


def test_a_file_of_tests_makes_classes_of_cells_that_had_none(
    town: Town, meguri: Meguri, tmp_path: Path
) -> None:
    cells = [town.cell(), town.cell()]
    before = meguri("grade", cells[0])
    assert (before.status, before.out.strip()) == (
        0,
        f"? {cells[0]}  not gradable: needs soh_pct",
    )
    rows = [CAPACITY | {"item": cells[0]}, CAPACITY | {"item": cells[1], "discharge_ah": 42}]
    rows[1] = rows[1] | {"charge_ah": 43, "charge_wh": 160, "discharge_wh": 151}
    file = tmp_path / "tests.csv"
    lines = [",".join(rows[0]), *(",".join(str(row[name]) for name in rows[0]) for row in rows)]
    file.write_text("\n".join(lines), "utf-8")
    done = meguri("record-test", "--tests", f"@{file}")
    assert done.status == 0, done.err
    told = [json.loads(meguri("grade", cell, "--json").out) for cell in cells]
    assert [one["grade"] for one in told] == ["A", "B"]
    again = meguri("record-test", "--tests", f"@{file}")
    assert again.status == 0, again.err
    found = json.loads(meguri("item", cells[0], "--json").out)
    (kept,) = found["tests"]
    assert (kept["kind"], kept["record"]["serial"]) == ("capacity", "C-17")
    assert len([one for one in found["credentials"] if one["type"] == "DiagnosisResult"]) == 1


def test_a_bad_row_is_named_and_nothing_of_the_file_is_taken(
    town: Town, meguri: Meguri, tmp_path: Path
) -> None:
    cell, other = town.cell(), town.cell()
    rows = [CAPACITY | {"item": cell}, CAPACITY | {"item": other, "discharge_ah": 45500}]
    file = tmp_path / "tests.json"
    file.write_text(json.dumps(rows), "utf-8")
    done = meguri("record-test", "--tests", f"@{file}")
    assert done.status == 2
    assert "is the unit right?" in done.err
    assert json.loads(meguri("item", cell, "--json").out)["tests"] == []


def test_who_has_no_model_is_told_so(meguri: Meguri) -> None:
    models = meguri("models")
    assert models.status == 0
    assert models.out.strip()
