"""What a protocol's README shows: rendered from the table, and read back from the text."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from protocols.exchange import START, Protocol

ROOM = Path(__file__).parents[2] / "protocols"
_SECTION = re.compile(r"^### `([a-z0-9-]+)`\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
_JSON = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def readme(protocol: Protocol) -> str:
    """Return the README of a protocol's folder."""
    return (ROOM / protocol.name.partition("/")[0] / "README.md").read_text("utf-8")


def table(protocol: Protocol) -> str:
    """Return the protocol's steps as a Markdown table."""
    rows = [(s.state, s.sender, f"`{s.message.kind}`", s.next_state) for s in protocol.steps]
    lines = [("State", "Sender", "Message", "Next state"), ("---",) * 4, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def diagram(protocol: Protocol) -> str:
    """Return the protocol's states as a Mermaid diagram."""
    edges: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for step in protocol.steps:
        edges[step.state, step.next_state, step.message.kind].append(step.sender)
    name = {state: state.replace("-", "_") for state in protocol.states}
    if all(step.next_state != START for step in protocol.steps):
        name[START] = "[*]"
    lines = [f'state "{s}" as {name[s]}' for s in protocol.states if "-" in s]
    for (state, after, kind), senders in edges.items():
        who = "either" if len(senders) > 1 else senders[0]
        lines.append(f"{name[state]} --> {name[after]} : {kind} ({who})")
    lines += [f"{name[s]} --> [*]" for s in protocol.states if s in protocol.ends]
    body = "\n".join(f"    {line}" for line in lines)
    return f"```mermaid\nstateDiagram-v2\n{body}\n```"


def sections(text: str) -> dict[str, str]:
    """Return the text under each message's heading, by kind."""
    return dict(_SECTION.findall(text))


def examples(section: str) -> list[dict[str, Any]]:
    """Return the JSON examples in a section."""
    return [json.loads(block) for block in _JSON.findall(section)]
