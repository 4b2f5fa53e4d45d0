"""What docs/actions.md shows: the facts of an action rendered from the code, and the page read back."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from agents.cli.actions import everything
from agents.role import Action
from agents.roles import ROLES
from agents.roles.common import COMMON

PAGE = Path(__file__).parents[2] / "docs" / "actions.md"
_PART = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.M | re.S)
_SECTION = re.compile(r"^### (\S+)\n(.*?)(?=^##|\Z)", re.M | re.S)
_SHAPE = re.compile(
    r"\n> (?P<facts>.+?)\n\n(?P<prose>.+?)\n\n```sh\n(?P<sh>.+?)\n```\n\n```json\n(?P<json>.+?)\n```\n*", re.S
)


class Section(NamedTuple):
    """What the page says of one action."""

    name: str
    part: str
    facts: str
    prose: str
    sh: str
    json: str


def sections() -> list[Section]:
    """Return all sections of the page, in its order."""
    found = []
    for part, text in _PART.findall(PAGE.read_text("utf-8")):
        for name, inside in _SECTION.findall(text):
            shape = _SHAPE.fullmatch(inside)
            assert shape, f"{name}: a section is facts, words, a command and a JSON body"
            found.append(Section(name, part, *shape.group("facts", "prose", "sh", "json")))
    return found


def facts(action: Action[Any]) -> str:
    """Say in one line who may do an action, with which rank, in which states, and what is said with it."""
    roles = [role.name for role in ROLES.values() if action in role.actions]
    who = "every company" if action in COMMON.actions else ", ".join(roles)
    parts = [f"{who} · {action.rank} · "]
    protocol = action.protocol
    if protocol is None:
        return parts[0] + "its own records"
    steps = [step for step in protocol.steps if step.message in action.sends]
    after: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for state in dict.fromkeys(step.state for step in steps):
        after[tuple(dict.fromkeys(s.next_state for s in steps if s.state == state))].append(state)
    sides = " or ".join(dict.fromkeys(step.sender for step in steps))
    link = f"[{protocol.name}](../protocols/{protocol.name.partition('/')[0]}/README.md)"
    ways = "; ".join(f"{', '.join(states)} → {' or '.join(ends)}" for ends, states in after.items())
    says = " or ".join(f"`{message.kind}`" for message in action.sends)
    return parts[0] + f"{link} as {sides}: {ways} · says {says}"


ACTIONS: dict[str, Action[Any]] = dict(everything().actions)


def spoken(action: Action[Any]) -> frozenset[str]:
    """Return every name and text in the code of an action, and of the duties that its message calls for."""
    duties = [duty for role in ROLES.values() for duty in role.duties]
    answers = [duty.run for duty in duties if duty.protocol is action.protocol and duty.on in action.sends]
    seen: set[object] = set()
    return frozenset(word for run in (action.run, *answers) for word in _words(run, seen))


def _words(run: Any, seen: set[object]) -> Iterator[str]:
    if run in seen:
        return
    seen.add(run)
    yield from re.findall(r"\w+", str(run.__annotations__.get("return", "")))
    codes = [run.__code__]
    while codes:
        code = codes.pop()
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                codes.append(constant)
            else:
                yield from (one for one in _flat(constant) if isinstance(one, str))
        for name in code.co_names:
            yield name
            value = run.__globals__.get(name)
            if isinstance(value, str):
                yield value
            elif isinstance(value, FunctionType) and value.__module__.startswith("agents.roles"):
                yield from _words(value, seen)


def _flat(constant: object) -> tuple[object, ...]:
    return constant if isinstance(constant, tuple) else (constant,)
