"""Every text that people may come to read, collected from the code, with the place where it is said."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

from jinja2 import nodes
from pydantic import BaseModel
from pydantic_core._pydantic_core import list_all_errors

from agents.forms import Field, fields_of
from agents.role import RANKS, Action
from agents.roles import ROLES
from agents.roles import diagnosis as roles_diagnosis
from agents.roles.common import COMMON
from agents.web import openapi, pages, problems, public, render, rest
from analysis import electrical
from analysis.soh import algorithms, model
from credentials import integrity, jwt, sdjwt, seals, webvh
from governance import diagnosis, grading
from governance.framework import OPENINGS, Fee
from instruments import care, station
from protocols.catalogue import PROTOCOLS
from protocols.membership import MEMBERSHIP
from quality import lifecycle
from schemas import errors, terms
from schemas.claims import CLAIMS
from schemas.events import ANNULLED, CORRECTED, Event
from schemas.items import KINDS

ROOT = Path(__file__).parents[2]
ROOMS = (
    "agents", "analysis", "credentials", "governance", "instruments", "protocols", "quality", "schemas",
)  # fmt: skip
# What a person can cause in a form, of all that pydantic may say.
PYDANTIC = {
    "missing", "extra_forbidden", "string_type", "string_too_short", "string_too_long",
    "string_pattern_mismatch", "int_type", "int_parsing", "int_from_float", "float_type", "float_parsing",
    "decimal_type", "decimal_parsing", "finite_number", "greater_than", "greater_than_equal", "less_than",
    "less_than_equal", "literal_error", "date_type", "date_parsing", "date_from_datetime_parsing",
    "date_from_datetime_inexact", "bool_type", "bool_parsing", "uuid_type", "uuid_parsing", "tuple_type",
    "list_type", "dict_type", "too_short", "too_long", "int_parsing_size",
}  # fmt: skip

type Text = tuple[str, str]  # the place, the English


def all_texts() -> set[Text]:
    """Collect every text."""
    return {
        (place, text)
        for source in (
            _pages,
            _faults,
            _protocols,
            _actions,
            _items,
            _framework,
            _diagnosis,
            _pydantic,
            _figures,
        )
        for place, text in source()
        if text
    }


@cache
def sources() -> tuple[tuple[Path, ast.Module], ...]:
    """Return every module of ours."""
    paths = (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))
    return tuple((path, ast.parse(path.read_text("utf-8"))) for path in paths)


def _constants(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from _constants(body)
            yield from _constants(orelse)


def _name(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _pages() -> Iterator[Text]:
    environment = render.environment()
    for template in environment.list_templates():
        assert environment.loader is not None
        source, _, _ = environment.loader.get_source(environment, template)
        for call in environment.parse(source).find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name == "t":
                for one in call.args[0].find_all(nodes.Const) if call.args else ():
                    yield "", str(one.value)
                if call.args and isinstance(call.args[0], nodes.Const):
                    yield "", str(call.args[0].value)
    for module in (pages, public, render, rest, openapi):
        assert module.__file__ is not None
        for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))):
            if isinstance(node, ast.Call) and _name(node.func) == "t" and node.args:
                for text in _constants(node.args[0]):
                    yield "", text
    for path, tree in sources():
        if "cli" in path.parts or path.name == "plots.py":
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and _name(node.func) == "say" and node.args:
                    yield from (("", text) for text in _constants(node.args[0]))
    for words in (
        *problems.TITLES.values(),
        *render.PROTOCOL_TITLES.values(),
        *pages.STAGES.values(),
        *pages.STATES.values(),
    ):
        yield "", words
    for seal in (integrity, jwt, sdjwt, webvh, seals):
        yield from (("", words) for words in seal.WORDS.values())
    for seen in (care, station):
        yield from (("", words) for words in seen.WORDS.values())


def _faults() -> Iterator[Text]:
    trees = [tree for _, tree in sources()]
    kinds = {name for name, one in vars(errors).items() if isinstance(one, type)}
    classes = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while found := {
        one.name for one in classes if one.name not in kinds and any(_name(b) in kinds for b in one.bases)
    }:
        kinds |= found
    own = {
        one.name: call.args[0]
        for one in classes
        if one.name in kinds
        for call in ast.walk(one)
        if isinstance(call, ast.Call) and _name(call.func) == "__init__" and call.args
    }
    for template in own.values():
        yield from (("", text) for text in _constants(template))
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node.func) in kinds - set(own) and node.args:
                yield from (("", text) for text in _constants(node.args[0]))
    for path, tree in sources():
        for node in ast.walk(tree) if "governance" in path.parts else ():
            if isinstance(node, ast.Call) and _name(node.func) in {"_same", "_known"}:
                yield from (("", text) for text in _constants(node.args[0]))
    for path, tree in sources():
        if path.relative_to(ROOT).parts[0] in {"protocols", "schemas"} or "roles" in path.parts:
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and _name(node.func) == "ValueError" and node.args:
                    yield from (("", text) for text in _constants(node.args[0]))


def _fields(fields: tuple[Field, ...]) -> Iterator[Text]:
    for one in fields:
        yield "", one.title
        yield "", one.help
        yield from (("claim" if choice in CLAIMS else "choice", choice) for choice in one.choices)
        yield from _fields(one.fields)


def _protocols() -> Iterator[Text]:
    for protocol in PROTOCOLS.values():
        if protocol.name == "receipt/1.0":
            continue
        yield from ((protocol.name, state) for state in protocol.states if state != "new")
        yield from (("side", side) for side in protocol.sides)
        for message in protocol.messages.values():
            yield protocol.name, render.sentence(message)
            yield from _fields(fields_of(message))


def actions() -> Iterator[Action[Any]]:
    """Yield every action of every role."""
    for role in (COMMON, *ROLES.values()):
        yield from role.actions


def _actions() -> Iterator[Text]:
    for action in actions():
        yield "", action.title
        yield "action", render.sentence(action.run)
        yield from _fields(fields_of(action.form))
    yield from (("side", name) for name in (*ROLES, *RANKS))


def _framework() -> Iterator[Text]:
    for word in (*OPENINGS, *get_args(Fee.model_fields["every"].annotation)):
        yield "choice", word


def _items() -> Iterator[Text]:
    yield from (("kind", kind) for kind in KINDS)
    for name in CLAIMS:
        yield "claim", name
    for word in terms.words():
        yield "", render.title_of(word.name)
    yield from ((MEMBERSHIP.name, status) for status in ("accredited", "suspended", "withdrawn", "resigned"))
    yield from (("job", state) for state in ("queued", "running", "done", "failed", "stopped"))
    yield from (
        ("event", what) for what in sorted({step.event for step in lifecycle.LIFE} | {CORRECTED, ANNULLED})
    )
    yield from (("event", state) for step in lifecycle.LIFE for state in (step.state, step.next_state))
    for name, info in Event.model_fields.items():
        if name != "id":
            yield "", info.title or ""
    for name in detail_names():
        yield "", render.title_of(name)
    for path, tree in sources():
        for node in ast.walk(tree) if "roles" in path.parts else ():
            if isinstance(node, ast.Call) and _name(node.func) == "Start":
                yield from (("job", text) for text in _constants(node.args[0]))


def detail_names() -> set[str]:
    """Name what is recorded with events and jobs: the keys of every `details` and `progress`."""
    names: set[str] = set()
    for path, tree in sources():
        if not {"roles", "gateways"} & set(path.parts):
            continue
        for node in ast.walk(tree):
            value: ast.AST | None = None
            match node:
                case ast.keyword(arg="details" | "progress", value=value):
                    pass
                case ast.Assign(targets=[ast.Name(id="details" | "progress")], value=value):
                    pass
                case ast.Call(func=ast.Name(id="Start"), args=[_, value]):
                    pass
            for one in ast.walk(value) if value is not None else ():
                if isinstance(one, ast.Dict):
                    names |= {text for key in one.keys if key is not None for text in _constants(key)}
    return names


def _diagnosis() -> Iterator[Text]:
    yield from (("", words) for words in grading.WORDS)
    yield from (("", words) for words in (*station.UNSEEN.values(), roles_diagnosis.DISAGREE))
    yield from (("", words) for words in (*model.WORDS.values(), *model.CARD.values(), *diagnosis.SENTENCES))
    yield from (("", words) for words in electrical.WORDS.values())
    yield from (("choice", name) for name in (*algorithms.algorithms(), *diagnosis.GATES))


def _pydantic() -> Iterator[Text]:
    for one in list_all_errors():
        if one["type"] in PYDANTIC:
            yield "", one["message_template_python"]


AUDITS = {Path("governance/audit.py"), Path("governance/sampling.py")}
# Under these names, or as what these calls are told, stand the words that go with a figure or with none.
TOLD = {"words", "warnings", "LIMITS", "INTERPOLATION"}
TELLING = {"NotAssessable": 1, "_no": 1, "Finding": 1, "_found": 1, "append": 0, "Forecaster": 1}


def _figures() -> Iterator[Text]:
    """What the methods of lifetime and the audit say, filled where it is said and known by its shape."""
    for path, tree in sources():
        room = path.relative_to(ROOT)
        if "lifetime" not in room.parts and room not in AUDITS:
            continue
        if room.parts[0] == "agents":
            continue
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=[target], value=value) if _name(target) in TOLD:
                    yield from _shaped(value)
                case (
                    ast.AnnAssign(target=target, value=value) | ast.AugAssign(target=target, value=value)
                ) if _name(target) in TOLD:
                    yield from _shaped(value)
                case ast.Call(func=func, args=args) if _name(func) in TELLING:
                    if len(args) > TELLING[_name(func)]:
                        yield from _shaped(args[TELLING[_name(func)]])


def _shaped(node: ast.AST | None) -> Iterator[Text]:
    match node:
        case ast.Constant(value=str(text)) if " " in text:
            yield "", text
        case ast.JoinedStr(values=parts):
            names = iter("abcdefgh")
            text = "".join(
                str(part.value) if isinstance(part, ast.Constant) else "{" + next(names) + "}"
                for part in parts
            )
            if " " in text:
                yield "", text
        case ast.Tuple(elts=elts):
            for one in elts:
                yield from _shaped(one)
        case ast.IfExp(body=body, orelse=orelse):
            yield from _shaped(body)
            yield from _shaped(orelse)


def models() -> Iterator[type[BaseModel]]:
    """Yield every form and every message."""
    for action in actions():
        yield action.form
    for protocol in PROTOCOLS.values():
        yield from protocol.messages.values()
