"""Capacity tables as CSV: dataset (the battery model), cell, cycle, capacity_Ah, nominal_Ah; maybe date."""

import csv
import gzip
import hashlib
import io
import math
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Final

from analysis.lifetime.history import History, Observation
from schemas.errors import Invalid

COLUMNS: Final = ("dataset", "cell", "cycle", "capacity_Ah", "nominal_Ah")
MOST_BYTES: Final = 512 * 1024 * 1024
_ZIPPED: Final = b"\x1f\x8b"
_FULL: Final = 100.0


def read_fade(path: Path) -> dict[str, dict[str, History]]:
    """Return histories by model and cell; state of health is capacity over nominal capacity.

    Rows may come in any order and the file may be gzipped. Raises Invalid, with the line, for anything
    that is not a capacity: wrong columns, no number, nothing above 0, a cycle told twice.
    """
    found: dict[str, dict[str, dict[float, float]]] = {}
    for line, row in _rows(path):
        model, cell = (row["dataset"] or "").strip(), (row["cell"] or "").strip()
        cycle = _number(row, "cycle", line)
        capacity, nominal = _number(row, "capacity_Ah", line), _number(row, "nominal_Ah", line)
        if cycle < 0:
            raise Invalid("Line {line}: cycle {cycle:g} is negative.", line=line, cycle=cycle)
        if capacity <= 0 or nominal <= 0:
            raise Invalid("Line {line}: a capacity is not above 0.", line=line)
        seen = found.setdefault(model, {}).setdefault(cell, {})
        if cycle in seen:
            raise Invalid(
                "Line {line}: cycle {cycle:g} of cell {cell} is there twice.",
                line=line,
                cycle=cycle,
                cell=cell,
            )
        seen[cycle] = _FULL * capacity / nominal
    if not found:
        raise Invalid("The table holds no observation.")
    return {
        model: {
            cell: History(tuple(Observation(c, s) for c, s in sorted(seen.items())))
            for cell, seen in cells.items()
        }
        for model, cells in found.items()
    }


def read_paces(path: Path) -> dict[str, dict[str, float]]:
    """Return cycles a day by model and cell, of cells with two dates or more in the optional column `date`.

    Over the whole of what is dated: (last cycle - first)/(last day - first). Raises Invalid, with the line,
    for what is no date, and for a date that goes back while the cycles go on.
    """
    dated: dict[tuple[str, str], list[tuple[float, date, int]]] = {}
    for line, row in _rows(path):
        text = (row.get("date") or "").strip()
        if not text:
            continue
        try:
            day = date.fromisoformat(text[:10])
        except ValueError as error:
            raise Invalid(
                "Line {line}: “{text}” is no date like 2026-04-01.", line=line, text=text[:40]
            ) from error
        key = (row["dataset"] or "").strip(), (row["cell"] or "").strip()
        dated.setdefault(key, []).append((_number(row, "cycle", line), day, line))
    found: dict[str, dict[str, float]] = {}
    for (model, cell), seen in dated.items():
        seen.sort()
        for (_, before, _), (_, after, line) in pairwise(seen):
            if after < before:
                raise Invalid(
                    "Line {line}: the date {date} of cell {cell} goes back while its cycles go on.",
                    line=line,
                    date=after,
                    cell=cell,
                )
        days = (seen[-1][1] - seen[0][1]).days
        if days > 0 and seen[-1][0] > seen[0][0]:
            found.setdefault(model, {})[cell] = (seen[-1][0] - seen[0][0]) / days
    return found


def file_digest(path: Path) -> str:
    """Return `sha256:` and the digest of a table's content, unzipped."""
    return "sha256:" + hashlib.sha256(_content(path)).hexdigest()


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        if not raw.startswith(_ZIPPED):
            return raw
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, EOFError) as error:
        why = getattr(error, "strerror", None) or error
        raise Invalid("{file} cannot be read: {why}", file=path.name, why=why) from error
    if len(content) > MOST_BYTES:
        raise Invalid("{file} is too large.", file=path.name)
    return content


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str | None]]]:
    try:
        text = _content(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Invalid("{file} is not a text in UTF-8.", file=path.name) from error
    reader = csv.DictReader(io.StringIO(text))
    if reader.fieldnames is None:
        raise Invalid("{file} is empty.", file=path.name)
    missing = [name for name in COLUMNS if name not in reader.fieldnames]
    if missing:
        raise Invalid("{file} lacks the columns: {names}.", file=path.name, names=", ".join(missing))
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise Invalid("{file} cannot be read: {why}", file=path.name, why=error) from error


def _number(row: Mapping[str, str | None], name: str, line: int) -> float:
    text = (row[name] or "").strip()
    try:
        figure = float(text)
    except ValueError:
        figure = math.nan
    if not math.isfinite(figure):
        raise Invalid("Line {line}: {name} “{text}” is not a number.", line=line, name=name, text=text[:40])
    return figure
