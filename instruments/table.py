"""Measurements as files that other programs read: a CSV of one row a frequency, and JSON.

`python -m instruments.table FROM TO` converts by the names' endings: `.csv`, `.json`, and `.journal` of a
shift (to read only). Either form gives equal measurements back; transcripts travel in JSON alone.
"""

import csv
import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TextIO

from instruments.measurement import Measurement
from instruments.shift import Journal
from schemas.errors import Fault, Invalid, Unknown

FORMAT: Final = "meguri.measurements/1"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "'")
"""What a spreadsheet takes a text for a formula by; an apostrophe before it says that it is a text."""
POINT: Final = ("freq_hz", "re_ohm", "im_ohm")
TEXTS: Final = ("cell", "rack", "operator", "started", "finished", "transcript_sha256")
NUMBERS: Final = ("channel", "relay_count", "attempts", "ocv_v", "drift", "voltage_drift_v")
COLUMNS: Final = (
    "spectrum",  # the measurement's digest: what is read back must have it
    *TEXTS,
    *NUMBERS,
    "temp_c",
    "soc_pct",
    "zero_adjustment",
    "closing_re_ohm",
    "closing_im_ohm",
    "meter",
    "switch",
    "settings",
    *POINT,
)


def write_csv(measurements: Iterable[Measurement], file: TextIO) -> None:
    """Write one row a frequency; `meguri soh` reads it as it is."""
    out = csv.DictWriter(file, COLUMNS)
    out.writeheader()
    for each in measurements:
        values = each.to_json(transcript=False)
        row = {name: values[name] for name in (*NUMBERS, "soc_pct")}
        row |= {name: _plain(values[name] or "") for name in (*TEXTS, "zero_adjustment")}
        row |= {name: json.dumps(values[name]) for name in ("meter", "switch", "settings")}
        row |= {"spectrum": each.digest, "temp_c": values["temperature_c"]}
        row["closing_re_ohm"], row["closing_im_ohm"] = values["closing_ohm"]
        for point in zip(each.frequencies_hz, each.real_ohm, each.imag_ohm, strict=True):
            out.writerow(row | dict(zip(POINT, point, strict=True)))


def _plain(text: str) -> str:
    """Return a text that no spreadsheet runs; operators and racks are named by whoever sent the file."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _told(text: str) -> str:
    """Return the text that `_plain` wrote."""
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def read_csv(lines: Iterable[str]) -> tuple[Measurement, ...]:
    """Read what `write_csv` wrote; raise Invalid if a column is missing or anything was changed."""
    rows = csv.DictReader(lines)
    missing = set(COLUMNS) - set(rows.fieldnames or ())
    if missing:
        raise Invalid("the file lacks the columns {columns}", columns=", ".join(sorted(missing)))
    found: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        found.setdefault(row["spectrum"], []).append(row)
    return tuple(_measurement(digest, points) for digest, points in found.items())


def _measurement(digest: str, rows: Sequence[Mapping[str, str]]) -> Measurement:
    first = rows[0]
    constant = [name for name in COLUMNS if name not in POINT]
    if any(row[name] != first[name] for row in rows for name in constant):
        raise Invalid("the rows of {spectrum} differ in what they share", spectrum=digest)
    try:
        document: dict[str, Any] = {name: _told(first[name]) for name in TEXTS}
        document |= {name: float(first[name]) for name in ("ocv_v", "drift", "voltage_drift_v")}
        document |= {name: int(first[name]) for name in ("channel", "relay_count", "attempts")}
        document |= {name: json.loads(first[name]) for name in ("meter", "switch", "settings")}
        document |= {
            "format": "meguri.measurement/1",
            "temperature_c": float(first["temp_c"]),
            "soc_pct": float(first["soc_pct"]) if first["soc_pct"] else None,
            "zero_adjustment": _told(first["zero_adjustment"]) or None,
            "closing_ohm": [float(first["closing_re_ohm"]), float(first["closing_im_ohm"])],
            "frequencies_hz": [float(row["freq_hz"]) for row in rows],
            "real_ohm": [float(row["re_ohm"]) for row in rows],
            "imag_ohm": [float(row["im_ohm"]) for row in rows],
        }
    except (ValueError, TypeError, OverflowError) as error:
        raise Invalid("{spectrum} cannot be read: {error}", spectrum=digest, error=error) from error
    measurement = Measurement.from_json(document)
    if measurement.digest != digest:
        raise Invalid("{spectrum} was changed: its digest does not fit", spectrum=digest)
    return measurement


def to_json(measurements: Iterable[Measurement]) -> dict[str, Any]:
    """Return the JSON document of several measurements, transcripts included where they are at hand."""
    several = list(measurements)
    rows, digests = [each.to_json() for each in several], [each.digest for each in several]
    return {"format": FORMAT, "digests": digests, "measurements": rows}


def from_json(document: object) -> tuple[Measurement, ...]:
    """Read the JSON document; raise Invalid if it is anything else."""
    if not isinstance(document, Mapping) or document.get("format") != FORMAT:
        raise Invalid("this is no file in the format {format}", format=FORMAT)
    rows = document.get("measurements")
    if not isinstance(rows, list):
        raise Invalid("this is no file in the format {format}", format=FORMAT)
    found = tuple(Measurement.from_json(row) for row in rows)
    digests = document.get("digests", [each.digest for each in found])
    if digests != [each.digest for each in found]:
        wrong = next((m.cell for m, d in zip(found, digests, strict=False) if m.digest != d), "")
        raise Invalid("the measurement of {cell} was changed: its digest does not fit", cell=wrong)
    return found


def parse(content: bytes) -> tuple[Measurement, ...]:
    """Read the content of a file, CSV or JSON by how it begins; raise Invalid where it is neither."""
    try:
        text = content.decode("utf-8-sig")
        found = from_json(json.loads(text)) if text.lstrip()[:1] == "{" else read_csv(io.StringIO(text))
    except (UnicodeError, json.JSONDecodeError, csv.Error, RecursionError) as error:
        raise Invalid("the file cannot be read: {why}", why=error) from error
    if not found:
        raise Invalid("the file holds no measurement")
    return found


def spell(measurements: Iterable[Measurement], kind: Literal["csv", "json"]) -> str:
    """Return measurements as the content of a file."""
    if kind == "json":
        return json.dumps(to_json(measurements), ensure_ascii=False)
    file = io.StringIO(newline="")
    write_csv(measurements, file)
    return file.getvalue()


def load(path: Path) -> tuple[Measurement, ...]:
    """Read a file by its ending."""
    try:
        match path.suffix:
            case ".csv":
                with path.open(encoding="utf-8", newline="") as lines:
                    return read_csv(lines)
            case ".json":
                return from_json(json.loads(path.read_text("utf-8")))
            case ".journal":
                path.stat()  # a journal that is not there would be begun
                with Journal(path) as journal:
                    return tuple(o for o in journal.outcomes.values() if isinstance(o, Measurement))
    except FileNotFoundError:
        raise Unknown("there is no file {path}", path=path) from None
    except (OSError, UnicodeError, json.JSONDecodeError) as error:
        raise Invalid("{file} cannot be read: {why}", file=path, why=error) from error
    raise Invalid("{file} is neither .csv nor .json nor .journal", file=path)


def save(measurements: Iterable[Measurement], path: Path) -> None:
    """Write a file by its ending."""
    if path.suffix == ".json":
        path.write_text(json.dumps(to_json(measurements), ensure_ascii=False), "utf-8")
    elif path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            write_csv(measurements, file)
    else:
        raise Invalid("{file} is neither .csv nor .json", file=path)


def main(argv: Sequence[str] | None = None) -> int:
    """Convert one file into another."""
    given = sys.argv[1:] if argv is None else list(argv)
    if len(given) != 2:  # noqa: PLR2004 - from and to
        sys.stderr.write("python -m instruments.table FROM TO\n")
        return 2
    try:
        save(load(Path(given[0])), Path(given[1]))
    except (Fault, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
