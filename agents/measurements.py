"""Measurements in and out of the books, as files that other programs write and read: CSV and JSON."""

from asyncio import to_thread
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

from agents.ports import Desk
from agents.role import Rank
from agents.service import Agent
from instruments.measurement import FORMAT, Measurement
from instruments.table import parse, spell
from schemas.errors import Fault, Forbidden, Invalid, Unavailable

type Kind = Literal["csv", "json"]
KINDS: tuple[Kind, ...] = get_args(Kind.__value__)
MEDIA_TYPES: dict[Kind, str] = {"csv": "text/csv", "json": "application/json"}
MOST_BYTES = 64 << 20
MOST_CELLS = 10_000


@dataclass(frozen=True)
class Intake:
    """What came of a file: cells taken in, cells whose measurement we had, and why others were refused."""

    taken: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    refused: dict[str, str] = field(default_factory=dict)


async def take_in(agent: Agent, content: bytes, *, user: str, rank: Rank) -> Intake:
    """Record every measurement of a file, once; raise Invalid and record none where it cannot be read."""
    if len(content) > MOST_BYTES:
        raise Invalid("the file is larger than {limit} MB", limit=MOST_BYTES >> 20)
    taken, known, refused = list[str](), list[str](), dict[str, str]()
    for measured in await to_thread(parse, content):  # a large file takes seconds
        # However it came in before, by another file or from our own racks: once is enough.
        before = await agent.store.read(partial(held, cells=[measured.cell]))
        if any(one.digest == measured.digest for one in before):
            known.append(measured.cell)
            continue
        form: dict[str, Any] = {"measurement": measured.without_transcript().to_json()}
        try:
            key = f"import {measured.digest}"
            await agent.perform("record-measurement", form, user=user, rank=rank, key=key)
            taken.append(measured.cell)
        except (Forbidden, Unavailable):
            raise
        except Fault as fault:
            refused[measured.cell] = str(fault)
    return Intake(tuple(taken), tuple(known), refused)


def held(desk: Desk, cells: Sequence[str]) -> list[Measurement]:
    """Return the impedance measurements of these cells, by cell and then the oldest first."""
    return [
        Measurement.from_json(document)
        for cell in cells
        for document in desk.measurements(cell)
        if document.get("format") == FORMAT
    ]


def hand_out(desk: Desk, kind: str, item: str = "") -> str:
    """Return the measurements of a cell, of what came out of a pack, or of all cells, as CSV or JSON."""
    chosen = next((one for one in KINDS if one == kind), None)
    if chosen is None:
        raise Invalid("{kind} is neither csv nor json", kind=kind[:20])
    if item:
        parts = desk.items(kind="cell", part_of=item, limit=MOST_CELLS)
        cells = [one.code for one in parts] or [item]
    else:
        cells = [one.code for one in desk.items(kind="cell", limit=MOST_CELLS)]
    return spell(held(desk, cells), chosen)
