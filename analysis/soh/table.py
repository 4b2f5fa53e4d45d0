"""Spectra as they stand in a CSV file, read without trust."""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from analysis.soh.samples import Sample, resampled
from analysis.soh.spectrum import Spectrum
from schemas.errors import Invalid

MOST_ROWS = 5_000_000


def read(lines: Iterable[str], cell_model: str) -> tuple[Sample, ...]:
    """Read spectra from the lines of a CSV file, one row a frequency.

    Needed are `freq_hz` and either `re_ohm` and `im_ohm` or `zmod_ohm` and `phase_deg`; rows belong together
    by `spectrum`, or where there is no such column by cell, temperature and state of charge. Optional are
    `cell`, `temp_c`, `soc_pct`, `soh_pct`, `cell_model`, `closing_re_ohm`, `closing_im_ohm`, `fault` and
    `vendor_soh_pct`; empty means unknown. Columns are separated by commas, semicolons or tabs; with the
    latter two, figures may have a decimal comma. Raises Invalid with the line that cannot be read.
    """
    rows = _rows(lines)
    columns = set(rows.fieldnames or ())
    if "freq_hz" not in columns or not (
        {"re_ohm", "im_ohm"} <= columns or {"zmod_ohm", "phase_deg"} <= columns
    ):
        raise Invalid(
            "the file needs the columns freq_hz, re_ohm and im_ohm, or zmod_ohm and phase_deg; "
            "it has {columns}",
            columns=", ".join(sorted(columns))[:200] or "–",
        )
    identity = ("spectrum",) if "spectrum" in columns else ("cell", "temp_c", "soc_pct")
    found: dict[tuple[str, ...], list[Mapping[str, str | None]]] = {}
    points: dict[tuple[str, ...], list[tuple[float, float, float]]] = {}
    for number, row in enumerate(rows, start=2):
        if number > MOST_ROWS:
            raise Invalid("the file has more than {rows} rows", rows=MOST_ROWS)
        try:
            key = tuple((row.get(column) or "").strip() for column in identity)
            points.setdefault(key, []).append(_point(row))
        except (TypeError, ValueError, KeyError):
            raise Invalid("line {line} of the file cannot be read", line=number) from None
        found.setdefault(key, []).append(row)
    if not points:
        raise Invalid("the file holds no spectrum")
    return tuple(_sample(key, found[key], points[key], cell_model) for key in points)


def _rows(lines: Iterable[str]) -> "csv.DictReader[str]":
    """Return the rows of a table, with any of the usual separators, by their names in small letters."""
    found = iter(lines)
    head = next(found, "")
    separator = max(",;\t", key=head.count)
    if separator != ",":
        found = (line.replace(",", ".") for line in found)
    names = next(csv.reader([head.lstrip("\ufeff")], delimiter=separator), [])
    return csv.DictReader(found, [name.strip().lower() for name in names], delimiter=separator)


def left_out(samples: Iterable[Sample]) -> dict[str, int]:
    """Count the spectra that no model can learn from, by what is wrong with them."""
    found = dict.fromkeys(("no measured soh_pct", "not finite", "a fault", "a gap in the sweep"), 0)
    for sample in samples:
        if sample.soh_pct is None:
            found["no measured soh_pct"] += 1
        elif not sample.spectrum.finite:
            found["not finite"] += 1
        elif sample.faults:
            found["a fault"] += 1
        elif resampled(sample.spectrum) is None:
            found["a gap in the sweep"] += 1
    return {what: count for what, count in found.items() if count}


def with_capacities(samples: Iterable[Sample], lines: Iterable[str]) -> tuple[Sample, ...]:
    """Return the samples with the measured states of health of a CSV file, columns `cell` and `soh_pct`.

    Raises Invalid for a line that cannot be read, and for a cell that is there with two figures.
    """
    known: dict[str, float] = {}
    for number, row in enumerate(_rows(lines), start=2):
        try:
            cell, soh_pct = row["cell"].strip(), float(row["soh_pct"])
        except (KeyError, TypeError, ValueError, AttributeError):
            raise Invalid("line {line} of the file cannot be read", line=number) from None
        if not math.isfinite(soh_pct) or known.setdefault(cell, soh_pct) != soh_pct:
            raise Invalid("line {line} of the file cannot be read", line=number)
    return tuple(replace(s, soh_pct=known.get(s.cell, s.soh_pct)) for s in samples)


def _point(row: Mapping[str, str | None]) -> tuple[float, float, float]:
    frequency = float(row["freq_hz"] or "")
    if row.get("re_ohm") and row.get("im_ohm"):
        return frequency, float(row["re_ohm"] or ""), float(row["im_ohm"] or "")
    size, phase = float(row["zmod_ohm"] or ""), math.radians(float(row["phase_deg"] or ""))
    return frequency, size * math.cos(phase), size * math.sin(phase)


def _sample(
    key: tuple[str, ...],
    rows: list[Mapping[str, str | None]],
    points: list[tuple[float, float, float]],
    cell_model: str,
) -> Sample:
    name = "/".join(key)

    def said(column: str) -> str:
        values = {(row.get(column) or "").strip() for row in rows}
        if len(values) > 1:
            raise Invalid("the rows of {spectrum} differ in {column}", spectrum=name, column=column)
        return values.pop()

    def figure(column: str) -> float | None:
        text = said(column)
        try:
            value = float(text) if text else None
        except ValueError:
            raise Invalid("{column} of {spectrum} is no number", spectrum=name, column=column) from None
        return None if value is None or math.isnan(value) else value

    closing_re, closing_im = figure("closing_re_ohm"), figure("closing_im_ohm")
    frequencies, real, imag = (tuple(part) for part in zip(*points, strict=True))
    return Sample(
        name=name,
        cell=said("cell"),
        spectrum=Spectrum(
            frequencies_hz=frequencies,
            real_ohm=real,
            imag_ohm=imag,
            cell_model=said("cell_model") or cell_model,
            temperature_c=figure("temp_c"),
            soc_pct=figure("soc_pct"),
            closing_1khz_ohm=None if closing_re is None else complex(closing_re, closing_im or 0.0),
        ),
        soh_pct=figure("soh_pct"),
        vendor_soh_pct=figure("vendor_soh_pct"),
        faults=tuple(part for part in said("fault").split(";") if part),
    )
