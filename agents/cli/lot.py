"""A lot's forecasts on this machine or a cluster, piece by piece, so that nothing done is done again.

Each finished piece is a file in the folder `OUT.job`, written whole or not at all. The folder knows what it
is for by the digest of task, data and code. When all pieces are there, they become the table, and it goes.
"""

import csv
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any, Final

from agents.cli.call import Call
from analysis.lifetime.job import Cell, Task, job_code, piece
from schemas.errors import Invalid, Unavailable

COLUMNS: Final = (
    "model",
    "cell",
    "method",
    "version",
    "cycle",
    "mean_pct",
    "sd_pct",
    "low_pct",
    "high_pct",
    "below_threshold",
    "words",
)
SUFFIXES: Final = (".csv", ".jsonl")
IN_FLIGHT: Final = 4
PATIENCE_S: Final = "15s"
RETRIES: Final = 3

type Rows = list[dict[str, Any]]


class Folder:
    """The folder of one job, with its finished pieces."""

    def __init__(self, out: Path, digest: str, anew: bool) -> None:
        self.out = out
        self.place = out.with_name(out.name + ".job")
        mark = self.place / "job.json"
        try:
            if anew and self.place.exists():
                shutil.rmtree(self.place)
            self.place.mkdir(exist_ok=True)
            if not mark.exists():
                _keep(mark, json.dumps({"job": digest}))
            known = json.loads(mark.read_text("utf-8"))
        except OSError as error:
            raise Invalid("{file} cannot be written: {why}", file=self.place, why=error.strerror) from error
        except ValueError:
            known = {}
        if known.get("job") != digest:
            raise Invalid(
                "{folder} holds pieces of another job, by its data, options or code: add --anew to drop them",
                folder=self.place,
            )

    def has(self, number: int) -> bool:
        """Say whether a piece is finished."""
        return self._piece(number).exists()

    def keep(self, number: int, rows: Rows) -> None:
        """Keep a finished piece."""
        try:
            _keep(self._piece(number), "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows))
        except OSError as error:
            raise Unavailable(
                "{file} cannot be written: {why}", file=self.place, why=error.strerror
            ) from error

    def finish(self, count: int) -> tuple[int, int]:
        """Write the table and remove the folder; return how many cells, and how many are not assessable."""
        cells = refused = 0
        fresh = self.out.with_name(f".{self.out.name}.new")
        try:
            with fresh.open("w", encoding="utf-8", newline="") as file:
                table = csv.writer(file, lineterminator="\n")
                if self.out.suffix == ".csv":
                    table.writerow(COLUMNS)
                for number in range(count):
                    for line in self._piece(number).read_text("utf-8").splitlines():
                        row = json.loads(line)
                        cells += 1
                        refused += "not_assessable" in row
                        if self.out.suffix == ".csv":
                            table.writerows(_flat(row))
                        else:
                            file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.out)
            shutil.rmtree(self.place)
        except OSError as error:
            raise Unavailable("{file} cannot be written: {why}", file=self.out, why=error.strerror) from error
        return cells, refused

    def _piece(self, number: int) -> Path:
        return self.place / f"{number:06d}.jsonl"


def _keep(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _flat(row: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    head = tuple(safe(str(row[name])) for name in ("model", "cell", "method", "version"))
    if "not_assessable" in row:
        yield (*head, "", "", "", "", "", "", safe(row["words"]))
        return
    words = safe(" ".join(row["warnings"]))
    low, high = row["quantiles_pct"]["0.05"], row["quantiles_pct"]["0.95"]
    for i, cycle in enumerate(row["cycles"]):
        figures = (row["mean_pct"][i], row["sd_pct"][i], low[i], high[i], row["below_threshold"][i])
        yield (*head, cycle, *figures, words)


def safe(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def here(task: Task, todo: Sequence[tuple[int, tuple[Cell, ...]]]) -> Iterator[tuple[int, Rows]]:
    """Make the pieces on this machine, one after the other."""
    for number, cells in todo:
        yield number, piece(task, cells)


@contextmanager
def _cluster(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError:
        raise Unavailable("--cluster needs the extra “cluster”: install Meguri as meguri[cluster]") from None
    try:
        client = Client(address, timeout=PATIENCE_S, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise Unavailable(
            "the cluster at {address} does not answer: {why}", address=address, why=error
        ) from error
    try:
        yield client
    finally:
        client.close(timeout=PATIENCE_S)


def there(
    address: str, task: Task, todo: Sequence[tuple[int, tuple[Cell, ...]]]
) -> Iterator[tuple[int, Rows]]:
    """Make the pieces on a Dask cluster, as its workers get done; a few for each wait there, not all.

    Raises `Unavailable` where the cluster is not there, has no worker or is lost, and `Invalid` where a
    worker has other code than we.
    """
    with _cluster(address) as client:
        from concurrent.futures import CancelledError

        from distributed import as_completed

        try:
            codes = client.run(job_code)
        except Exception as error:
            raise Invalid(
                "a worker of the cluster has no Meguri of this version: {why}", why=error
            ) from error
        if not codes:
            raise Unavailable("the cluster at {address} has no worker", address=address)
        if other := sorted(worker for worker, code in codes.items() if code != job_code()):
            raise Invalid("the worker {worker} has another version of Meguri", worker=other[0])
        waiting = iter(todo)
        numbers: dict[Any, int] = {}

        def next_one() -> Any:
            number, cells = next(waiting, (None, ()))
            if number is None:
                return None
            future = client.submit(piece, task, cells, pure=False, retries=RETRIES)
            numbers[future.key] = number
            return future

        first = [future for _ in range(IN_FLIGHT * len(codes)) if (future := next_one()) is not None]
        done = as_completed(first, loop=client.loop)
        try:
            for future in done:
                yield numbers.pop(future.key), future.result()
                if (following := next_one()) is not None:
                    done.add(following)
        except (OSError, CancelledError, RuntimeError) as error:
            raise Unavailable(
                "the cluster at {address} was lost: {why}", address=address, why=error
            ) from error
        if numbers:
            raise Unavailable("the cluster at {address} was lost: {why}", address=address, why="no answer")


class Progress:
    """How far a job has come: one moving line on a terminal, elsewhere a line for each tenth."""

    def __init__(self, call: Call, cells: int, kept: int) -> None:
        self._call = call
        self._cells = cells
        self._kept = self._done = kept
        self._live = sys.stderr.isatty()
        self._told = 10 * kept // max(cells, 1)
        self._began = monotonic()
        if kept:
            call.note("going on: {kept} of {cells} cells are done already", kept=kept, cells=cells)

    def add(self, cells: int) -> None:
        """Count cells that are done."""
        self._done += cells
        passed = max(monotonic() - self._began, 1e-9)
        rate = (self._done - self._kept) / passed
        words = self._call.say(
            "{done} of {cells} cells, {rate:.0f} a second, {left:.0f} s to go",
            done=self._done,
            cells=self._cells,
            rate=rate,
            left=(self._cells - self._done) / rate,
        )
        tenth = 10 * self._done // self._cells
        if self._live:
            sys.stderr.write(f"\r\x1b[K{words}" + ("\n" if self._done == self._cells else ""))
            sys.stderr.flush()
        elif tenth > self._told:
            self._call.note("{words}", words=words)
        self._told = tenth
