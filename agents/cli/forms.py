"""A form on the command line: options for a model's fields, and how to read back what was given."""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, get_args

import click
from click.shell_completion import CompletionItem
from pydantic import BaseModel

from agents.cli.client import digest_of
from agents.forms import Field, fields_of
from credentials import strict
from schemas.errors import Invalid

MOST_BYTES: Final = 8 << 20  # as much as an agent takes with one action
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SPLIT = re.compile(r"[\s,、]+")
PREFIX: Final = "field_"
LONGEST_METAVAR: Final = 24


def flag(name: str) -> str:
    """Return the option for a field."""
    return "--" + name.replace("_", "-")


class Filled(click.ParamType[str]):
    """A field's text; the form itself judges it, here as behind every other door."""

    def __init__(self, field: Field, numbers: bool) -> None:
        self.field = field
        self.name = metavar(field, numbers)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what stands for the value in the help."""
        return self.name

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the choices, or have the shell complete files."""
        if self.field.shape == "evidence" or incomplete.startswith("@"):
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(one) for one in self.field.choices if one.startswith(incomplete)]


def metavar(field: Field, numbers: bool = False) -> str:
    """Return what stands for a field's value in the help."""
    match field.shape:
        case "choice" | "choices":
            short = "|".join(field.choices)
            return short if len(short) <= LONGEST_METAVAR else "CHOICE"
        case "rows":
            return ",".join(f"{one.name}=…" for one in field.fields)
        case "date":
            return "YYYY-MM-DD"
        case "month":
            return "YYYY-MM"
        case "number":
            return "NUMBER"
        case "lines" if numbers:
            return "NUMBER"
        case "code" | "codes":
            return "CODE"
        case "evidence":
            return "FILE"
        case "json":
            return "JSON|@FILE"
        case _:
            return "TEXT"


class FieldOption(click.Option):
    """The option for one field of a form."""

    def __init__(self, names: list[str], field: Field, **more: Any) -> None:
        self.field = field
        super().__init__(names, help=field.title, **more)

    def told(self, say: Callable[..., str]) -> str:
        """Return the help: what the field is, its choices and limits, whether it is needed."""
        field = self.field
        limits = [f"≥ {field.least}" if field.least else "", f"≤ {field.most}" if field.most else ""]
        marks = [" ".join(one for one in limits if one)]
        marks.append(" | ".join(field.choices) if metavar(field) == "CHOICE" else "")
        if field.shape == "rows":
            needed = ", ".join(one.name for one in field.fields if one.required)
            marks += [say("needed: {names}", names=needed) if needed else "", say("or JSON, or @FILE")]
        marks += [say("may be repeated") if self.multiple else "", say("required") if field.required else ""]
        if field.default not in (None, "", (), []) and not field.required:
            marks.append(say("default: {value}", value=field.default))
        words = " ".join(say(part) for part in (field.title, field.help) if part)
        return words + "".join(f" [{mark}]" for mark in marks if mark)


class Form:
    """A pydantic model as options."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model
        self.fields = fields_of(model)
        # Numbers hold no comma, so that several fit into one word.
        self.numbers = frozenset(
            name
            for name, info in model.model_fields.items()
            if get_args(info.annotation) and get_args(info.annotation)[0] in (int, float, Decimal)
        )

    def options(self) -> list[click.Parameter]:
        """Return one option for each field."""
        return [self._option(field) for field in self.fields]

    def _option(self, field: Field) -> click.Option:
        numbers = field.name in self.numbers
        names = [flag(field.name), PREFIX + field.name]
        if field.shape == "tick":
            names[0] = f"{names[0]}/--no-{names[0][2:]}"
            return FieldOption(names, field, default=None)
        several = field.shape in {"choices", "codes", "lines", "rows", "evidence"}
        return FieldOption(names, field, type=Filled(field, numbers), multiple=several, default=None)

    def read(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Path]]:
        """Return the form's data as JSON would give it, and the files to be uploaded, by digest."""
        data: dict[str, Any] = {}
        files: dict[str, Path] = {}
        for field in self.fields:
            given = values.get(PREFIX + field.name)
            if given is None or given == ():
                continue
            if field.shape == "evidence":
                data[field.name] = list(_evidence(given, files))
            else:
                data[field.name] = self._value(field, given)
        return data, files

    def _value(self, field: Field, given: Any) -> Any:
        match field.shape:
            case "tick":
                return bool(given)
            case "json":
                return _json(given, flag(field.name))
            case "rows":
                return [row for text in given for row in _rows(field, text)]
            case "codes" | "choices":
                whole = any(_SPLIT.search(choice) for choice in field.choices)
                return [part for text in given for part in _words(text, split=not whole)]
            case "lines":
                return [part for text in given for part in _words(text, split=field.name in self.numbers)]
            case _:
                return given


def read_data(text: str) -> dict[str, Any]:
    """Return a whole form given as JSON, in a file or from standard input."""
    data = _json(text, "--data")
    if not isinstance(data, dict):
        raise Invalid("{option}: give one JSON object", option="--data")
    return data


def _file(text: str) -> str:
    """Return what `@FILE` or `-` stands for."""
    try:
        if text == "-":
            return sys.stdin.read(MOST_BYTES + 1)
        with Path(text[1:]).expanduser().open(encoding="utf-8") as file:
            return file.read(MOST_BYTES + 1)
    except (OSError, UnicodeError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise Invalid("{file} cannot be read: {why}", file=text[1:] or text, why=why) from error


def _json(text: str, option: str) -> Any:
    if text == "-" or text.startswith("@"):
        text = _file(text)
    try:
        return strict.loads(text, limit=MOST_BYTES)
    except Invalid as error:
        raise Invalid("{option}: {words}", option=option, words=str(error)) from error


def _words(text: str, *, split: bool) -> Iterator[str]:
    """Return the values one word stands for: `@FILE` has one a line, `@@…` is a text that begins with @."""
    if text.startswith("@@"):
        yield text[1:]
    elif text.startswith("@"):
        lines = _file(text).splitlines()
        yield from (part for line in lines for part in (_SPLIT.split(line) if split else [line]) if part)
    elif split and text:
        yield from (part for part in _SPLIT.split(text) if part)
    else:
        yield text


def _rows(field: Field, text: str) -> list[Any]:
    """Return the rows that one word stands for: `name=value,name=value`, JSON, or a file of JSON or CSV."""
    if text.startswith("@") and text.lower().endswith(".csv"):
        return [{k: v for k, v in row.items() if k and v} for row in csv.DictReader(_file(text).splitlines())]
    if text == "-" or text.startswith(("@", "{", "[")):
        found = _json(text, flag(field.name))
        return found if isinstance(found, list) else [found]
    names = "|".join(re.escape(one.name) for one in field.fields)
    # A comma separates only where a field's name follows, so that reasons may hold commas.
    parts = re.split(rf",\s*(?=(?:{names})=)", text)
    row: dict[str, Any] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not equals or name.strip() not in {one.name for one in field.fields}:
            raise Invalid(
                "{option}: “{text}” is not of the form {form}",
                option=flag(field.name),
                text=part[:80],
                form=metavar(field),
            )
        row[name.strip()] = value
    return [row]


def _evidence(given: Sequence[str], files: dict[str, Path]) -> Iterator[str]:
    """Return digests; a file counts by its own, which is all it takes to check the form before the upload."""
    for text in given:
        place = Path(text).expanduser() if text.startswith("~") else Path(text)
        if _DIGEST.fullmatch(text) and not place.exists():
            yield text
        else:
            digest = digest_of(place)
            files[digest] = place
            yield digest


def written(form: BaseModel) -> list[str]:
    """Return the words of a command line that say what a form holds."""
    words: list[str] = []
    data = form.model_dump(mode="json")
    for field in fields_of(type(form)):
        value = data[field.name]
        name = flag(field.name)
        if value is None:
            continue
        if field.shape == "tick":
            words.append(name if value else f"--no-{name[2:]}")
        elif field.shape in {"rows", "codes", "choices", "lines", "evidence"}:
            for one in value:
                text = json.dumps(one, ensure_ascii=False) if isinstance(one, dict) else str(one)
                words.append(f"{name}={'@' if text.startswith('@') else ''}{text}")
        elif field.shape == "json":
            words.append(f"{name}={json.dumps(value, ensure_ascii=False)}")
        else:
            words.append(f"{name}={value}")
    return words
