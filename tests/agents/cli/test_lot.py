"""Many cells at once at the terminal: here, on a cluster, broken off and taken up again."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from agents.cli.front import run
from agents.cli.lot import safe
from analysis.lifetime import job
from analysis.lifetime.history import History, Observation

SUPPORTED = ("--at", "600:900:100", "--method", "gp-ml-rbf-lot")


def seen(cell: int, count: int = 12) -> list[tuple[float, float]]:
    return [
        (50.0 * i + 3 * ((cell * i) % 5), 99 - (2 + cell % 3) * (i / 10) ** 1.2 - 0.05 * ((cell + i) % 4))
        for i in range(count)
    ]


def table(place: Path, cells: int) -> Path:
    rows = [f"m,c{cell},{cycle},{soh / 50:.6f},2" for cell in range(cells) for cycle, soh in seen(cell)]
    # One that rises and one seen twice only: they have their reason in the table, and stop nobody else.
    rows += [f"m,=rising,{cycle},{2 * (2 - soh / 100):.6f},2" for cycle, soh in seen(0)]
    rows += ["m,short,0,2,2", "m,short,100,1.9,2"]
    place.write_text("dataset,cell,cycle,capacity_Ah,nominal_Ah\n" + "\n".join(rows) + "\n", "utf-8")
    return place


@pytest.fixture
def fade(tmp_path: Path) -> Path:
    return table(tmp_path / "fade.csv", 9)


def forecast_lot(fade: Path, out: Path, *more: object) -> int:
    return run(["lifetime", "forecast-lot", str(fade), "--out", str(out), *SUPPORTED, *map(str, more)])


def lot(cells: int) -> list[job.Cell]:
    return [
        job.Cell("m", f"c{i}", History(tuple(Observation(c, s) for c, s in seen(i, 12 + i % 3))))
        for i in range(cells)
    ]


@pytest.mark.parametrize("method", ["gp-ml-rbf-lot", "gp-linear-trend"])
def test_a_cell_s_row_does_not_hang_on_the_piece_it_is_in(method: str) -> None:
    task = job.Task((600.0, 900.0), 70.0, method)
    cells = lot(7)
    together = [row for part in job.pieces(cells, 7) for row in job.piece(task, part)]
    apart = [row for part in job.pieces(list(reversed(cells)), 2) for row in job.piece(task, part)]
    for one, other in zip(together, apart, strict=True):
        assert one["cell"] == other["cell"]
        assert one["mean_pct"] == pytest.approx(other["mean_pct"], abs=1e-5)
        assert one["sd_pct"] == pytest.approx(other["sd_pct"], abs=1e-5)


def test_the_lot_s_method_forecasts_what_the_one_cell_s_does_nearly() -> None:
    cells = lot(6)
    both = [job.piece(job.Task((600.0, 650.0), 70.0, name), cells) for name in ("gp-ml-rbf-lot", "gp-ml-rbf")]
    for one, other in zip(*both, strict=True):
        for quantity in ("mean_pct", "sd_pct"):
            assert one[quantity] == pytest.approx(other[quantity], abs=0.1)
        for level, figures in other["quantiles_pct"].items():
            assert one["quantiles_pct"][level] == pytest.approx(figures, abs=0.15)


def test_a_table_has_a_row_for_each_cell_and_cycle_or_the_reason(
    fade: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.csv"
    assert forecast_lot(fade, out, "--piece", 4) == 0
    said = capsys.readouterr()
    assert "11" in said.out
    assert "11 of 11 cells" in said.err
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert sum(row["words"] == "" for row in rows) == 9 * 4
    reasons = {row["cell"]: row["words"] for row in rows if row["mean_pct"] == ""}
    assert set(reasons) == {"'=rising", "short"}
    assert "too few" in reasons["short"]
    assert not out.with_name("out.csv.job").exists()
    for row in rows:
        if row["mean_pct"]:
            assert float(row["low_pct"]) < float(row["mean_pct"]) < float(row["high_pct"])


def test_the_same_rows_as_json_lines(fade: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert forecast_lot(fade, out) == 0
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert len(rows) == 11
    assert {row["cell"] for row in rows if "not_assessable" in row} == {"=rising", "short"}


def test_what_is_done_is_not_done_again(
    fade: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.csv"
    made: list[int] = []
    real = job.piece

    def broken_off_at_third(task: job.Task, cells: Any) -> Any:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(len(cells))
        return real(task, cells)

    monkeypatch.setattr("agents.cli.lot.piece", broken_off_at_third)
    assert forecast_lot(fade, out, "--piece", 3) == 130
    assert "goes on from here" in capsys.readouterr().err
    assert not out.exists()
    monkeypatch.setattr("agents.cli.lot.piece", real)
    monkeypatch.setattr("agents.cli.lot.Progress.add", lambda progress, cells: made.append(cells))
    assert forecast_lot(fade, out, "--piece", 3) == 0
    assert made == [3, 3, 3, 2]
    assert "6 of 11 cells are done already" in capsys.readouterr().err
    whole = tmp_path / "whole.csv"
    assert forecast_lot(fade, whole, "--piece", 3) == 0
    assert out.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("change", [("--threshold", 80), ("--piece", 4)])
def test_pieces_of_another_job_are_not_mixed_in(
    fade: Path, tmp_path: Path, change: tuple[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.csv"
    (tmp_path / "out.csv.job").mkdir()
    (tmp_path / "out.csv.job" / "job.json").write_text('{"job": "sha256:0"}', "utf-8")
    assert forecast_lot(fade, out, *change) != 0
    assert "pieces of another job" in capsys.readouterr().err
    assert forecast_lot(fade, out, *change, "--anew") == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "out.txt"), "neither a .csv nor a .jsonl"),
        (("--method", "guess"), "no method guess"),
        (("--at", "900,600"), "rise"),
        (("--threshold", "0"), "between 0 and 100"),
        (("--at", "nan"), "neither"),
        (("--out", "/no/such/folder/out.csv"), "cannot be written"),
    ],
)
def test_what_makes_no_sense_is_said_before_the_work(
    options: tuple[str, ...], words: str, fade: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {"--out": str(tmp_path / "out.csv"), "--at": "600", "--method": "gp-default"}
    given |= dict(zip(options[::2], options[1::2], strict=True))
    line = ["lifetime", "forecast-lot", str(fade), *(part for pair in given.items() for part in pair)]
    assert run(line) != 0
    assert words in capsys.readouterr().err


def test_nothing_in_the_table_is_a_formula() -> None:
    assert safe("=HYPERLINK(1)") == "'=HYPERLINK(1)"
    assert safe("") == ""
    assert safe("c=1") == "c=1"


@pytest.mark.slow
def test_a_killed_job_goes_on_where_it_was(tmp_path: Path) -> None:
    fade, out = table(tmp_path / "fade.csv", 400), tmp_path / "out.csv"
    line = [sys.executable, "-m", "agents.cli", "lifetime", "forecast-lot", str(fade), "--out", str(out)]
    line += ["--at", "600,900", "--piece", "8", "--method", "gp-linear-trend"]
    began = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    pieces = out.with_name("out.csv.job")
    until = monotonic() + 120
    while len(list(pieces.glob("0*.jsonl"))) < 3 and monotonic() < until:
        sleep(0.02)
    os.kill(began.pid, signal.SIGKILL)
    began.wait()
    kept = {path: path.stat().st_mtime_ns for path in pieces.glob("0*.jsonl")}
    assert kept
    assert not out.exists()
    ended = subprocess.run(line, capture_output=True, text=True, timeout=240, check=True)
    assert "are done already" in ended.stderr
    assert len(list(csv.DictReader(out.open(encoding="utf-8")))) == 400 * 2 + 2


CLUSTER = """
from distributed import LocalCluster

if __name__ == "__main__":
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as two:
        print(two.scheduler_address, flush=True)
        input()
"""
OTHER = """
import sys
from analysis.lifetime import job
from agents.cli.front import run
job._CODE = ("analysis:code.py",)
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Two workers and their scheduler, as processes of their own: other tests change asyncio in this one."""
    if not os.environ.get("CI"):
        pytest.importorskip("distributed", reason="needs the extra “cluster”")
    place = tmp_path_factory.mktemp("cluster") / "cluster.py"
    place.write_text(CLUSTER, "utf-8")
    with subprocess.Popen(
        [sys.executable, str(place)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    ) as process:
        assert process.stdout
        address = process.stdout.readline().strip()
        assert address.startswith("tcp://127.0.0.1:")
        yield address
        process.communicate("\n", timeout=60)


def in_a_process(fade: Path, out: Path, *more: object, code: str = "") -> subprocess.CompletedProcess[str]:
    begin = ["-c", code] if code else ["-m", "agents.cli"]
    line = [sys.executable, *begin, "lifetime", "forecast-lot", str(fade), "--out", str(out), *SUPPORTED]
    return subprocess.run([*line, *map(str, more)], capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.slow
def test_two_workers_make_the_table_that_one_machine_makes(cluster: str, tmp_path: Path) -> None:
    fade = table(tmp_path / "fade.csv", 40)
    here, there = tmp_path / "here.jsonl", tmp_path / "there.jsonl"
    options = ("--piece", 4, "--method", "gp-linear-trend")
    assert forecast_lot(fade, here, *options) == 0
    done = in_a_process(fade, there, *options, "--cluster", cluster)
    assert done.returncode == 0, done.stderr
    assert here.read_bytes() == there.read_bytes()


@pytest.mark.slow
def test_a_worker_of_another_version_is_not_asked(cluster: str, fade: Path, tmp_path: Path) -> None:
    done = in_a_process(fade, tmp_path / "out.csv", "--cluster", cluster, code=OTHER)
    assert done.returncode != 0
    assert "another version" in done.stderr


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_said_so(fade: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    quick = OTHER.replace("sys.exit", "from agents.cli import lot\nlot.PATIENCE_S = '1s'\nsys.exit")
    done = in_a_process(fade, tmp_path / "out.csv", "--cluster", "tcp://127.0.0.1:9", code=quick)
    assert done.returncode != 0
    assert "does not answer" in done.stderr
    assert "keyword" not in done.stderr
