"""A form on a page: how to read back what came in, and what to show."""

import csv
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from agents.forms import Field
from credentials import strict
from schemas.errors import Invalid

MOST_ROWS = 2000


# What came in


def from_file(one: Field, data: bytes) -> Any:
    """Return what a file holds for a field: rows as CSV, anything else as JSON; raise Invalid for neither."""
    if one.shape != "rows":
        return strict.loads(data, limit=len(data))
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise Invalid("The text is not UTF-8.") from None
    return [{k.strip(): v for k, v in row.items() if k and v} for row in csv.DictReader(lines)]


Posted = Mapping[str, Sequence[str]]


def read_posted(fields: Sequence[Field], posted: Posted, prefix: str = "") -> dict[str, Any]:
    """Return a form's data as JSON would give it; what was left empty is left out."""
    data: dict[str, Any] = {}
    for one in fields:
        value = _value(one, posted, prefix + one.name)
        if value not in (None, "", []):
            data[one.name] = value
    return data


def _value(one: Field, posted: Posted, name: str) -> Any:
    given = [text.replace("\r\n", "\n") for text in posted.get(name, ())]
    last = given[-1].strip() if given else ""
    match one.shape:
        case "tick":
            return bool(last)
        case "choices" | "evidence":
            return [text for text in given if text]
        case "codes" | "lines":
            split = r"[\s,、]+" if one.shape == "codes" else r"\n"
            return [part.strip() for text in given for part in re.split(split, text) if part.strip()]
        case "rows":
            return [row for _, row in sorted(_rows(one, posted, name))]
        case "json" if last:
            try:
                return json.loads(last)
            except (ValueError, RecursionError):
                return last
        case _:
            return last


def _rows(one: Field, posted: Posted, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    pattern = re.compile(re.escape(name) + r"-(\d{1,4})-")
    numbers = {int(found[1]) for key in posted if (found := pattern.match(key))}
    for number in sorted(numbers)[:MOST_ROWS]:
        row = read_posted(one.fields, posted, f"{name}-{number}-")
        if any(value not in (False, None) for value in row.values()):
            yield number, row


def shown(fields: Sequence[Field], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what each field shows: what was given before, else its default."""
    values: dict[str, Any] = {}
    for one in fields:
        value = data.get(one.name, one.default)
        if one.shape == "rows":
            rows = value if isinstance(value, list | tuple) else ()
            values[one.name] = [
                shown(one.fields, row.model_dump(mode="json") if isinstance(row, BaseModel) else row)
                for row in rows
                if isinstance(row, Mapping | BaseModel)
            ]
        elif one.shape in {"choices", "evidence"}:
            values[one.name] = [str(v) for v in value] if isinstance(value, list | tuple) else []
        elif one.shape in {"codes", "lines"}:
            values[one.name] = (
                "\n".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")
            )
        elif one.shape == "tick":
            values[one.name] = bool(value)
        elif one.shape == "json":
            values[one.name] = (
                value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) if value else ""
            )
        else:
            values[one.name] = "" if value is None else str(value)
    return values
