"""docs/diagnosis.md: its commands run as they stand there, and its tables name what there is."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from analysis.soh.algorithms import BUILT_IN
from instruments.rack import Trouble
from instruments.spectra import circuits

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "diagnosis.md").read_text("utf-8")
SCRIPTS = re.findall(r"^```sh\n(.*?)^```", PAGE, re.M | re.S)


def test_its_commands_run_as_they_stand(tmp_path: Path) -> None:
    with (tmp_path / "capacity.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["cell", "soh_pct"])
        rows.writerows([f"CELL-{n:03d}", aged.soh_pct] for n, aged in enumerate(circuits(), 1))
    script = "\n".join(["set -e", "trap 'kill $(jobs -p)' EXIT", *SCRIPTS])
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "19 cells: 18 measured, 1 skipped, 0 open" in done.stdout
    assert "rack-1 104 CELL-004  skipped: bad contact: the meter sees no cell on channel 104" in done.stderr
    answers = json.loads((tmp_path / "answers.json").read_text())
    truth = {f"CELL-{n:03d}": aged.soh_pct for n, aged in enumerate(circuits(), 1)}
    assert len(answers) == 18
    assert sum(abs(a["value"] - truth[a["cell"]]) < 1 for a in answers if a["assessable"]) >= 15
    assert (tmp_path / "spectra.svg").read_text().count("<path") >= 36


def test_every_algorithm_and_trouble_is_named() -> None:
    assert [each.name for each in BUILT_IN if f"| `{each.name}` |" not in PAGE] == []
    assert [str(each) for each in Trouble if f"`{each}`" not in PAGE] == []


def test_every_gate_is_named() -> None:
    source = (ROOT / "analysis" / "soh" / "model.py").read_text("utf-8")
    gates = re.findall(r'(?:_check\(|return )"([a-z-]+)",', source)
    assert set(gates) >= {"fault", "likeness", "contact-drift"}
    assert [gate for gate in gates if f"`{gate}`" not in PAGE] == []
