"""What the commands say of tests and classes of cells; nothing of a file with a bad row is taken."""

import json
from pathlib import Path

from tests.agents.cli.conftest import Meguri, Town
from tests.agents.test_electrical import CAPACITY


def test_what_is_missing_for_a_class_is_said(town: Town, meguri: Meguri) -> None:
    cell = town.cell()
    told = meguri("grade", cell)
    assert (told.status, told.out.strip()) == (0, f"? {cell}  not gradable: needs SOH")
    assert json.loads(meguri("grade", cell, "--json").out)["grade"] is None


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
