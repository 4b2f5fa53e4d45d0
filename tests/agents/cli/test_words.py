"""Everything the command line says, it also says in Japanese."""

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import click
import pytest

import agents.cli
from agents.cli.actions import everything
from agents.cli.call import PLACE
from agents.cli.front import ROOMS, SECTIONS, front
from agents.words import catalogue, placeholders
from schemas.errors import Fault

FOLDER = Path(agents.cli.__file__).parent
SAYING = {"say", "note"} | {kind.__name__ for kind in Fault.__subclasses__()}
SAYING |= {inner.__name__ for kind in Fault.__subclasses__() for inner in kind.__subclasses__()}


def told() -> Iterator[str]:
    """List what stands in the code as something to say, or as help."""
    for file in sorted(FOLDER.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            spoken = (
                node.args[:1] if name in SAYING else node.args[1:2] if name in {"option", "argument"} else []
            )
            spoken += [keyword.value for keyword in node.keywords if keyword.arg == "help"]
            for one in spoken:
                if isinstance(one, ast.Constant) and isinstance(one.value, str) and " " in one.value:
                    yield one.value


def helped() -> Iterator[str]:
    """List the help of every command."""

    def of(command: click.Command) -> Iterator[str]:
        for paragraph in (command.help or "").split("\n\n"):
            yield " ".join(paragraph.split())
        for param in command.params:
            words = getattr(param, "words", "") or getattr(param, "help", "")
            if words:
                yield words
        if isinstance(command, click.Group):
            for inner in command.commands.values():
                yield from of(inner)

    yield " ".join((front().help or "").split())
    yield from SECTIONS
    for room in ROOMS:
        for command in import_module(f"agents.cli.{room}").COMMANDS.values():
            yield from of(command)
    for action in everything().actions.values():
        yield action.title


@pytest.mark.parametrize("text", sorted({*told(), *helped()} - {""}))
def test_it_is_said_in_japanese_too(text: str) -> None:
    found = catalogue("ja").find(text, PLACE)
    assert found is not None
    assert placeholders(found) <= placeholders(text)
