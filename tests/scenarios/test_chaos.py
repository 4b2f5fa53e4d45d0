"""Both agents are killed again and again, and nothing is lost and nothing doubled."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from bench.chaos import EVENTS, Books, Load, Outcome, Row, compare, storm
from bench.rig.processes import Agent


@pytest.mark.slow
async def test_nothing_is_lost_or_doubled_while_both_agents_are_killed(tmp_path: Path) -> None:
    outcome = await storm(tmp_path, messages=200, kills=4, seed=7)
    assert (outcome.messages, outcome.kills) == (200, 4)
    assert (outcome.lost, outcome.doubled, outcome.differing) == (0, 0, 0), outcome.wrong


# The comparison itself: one exchange, as it ought to be, and then with one thing wrong.

REQUEST = Row("m1", "t1", "request", 1, "taken", {"pack": "P1"})
DECLINE = Row("m2", "t1", "decline", 2, "taken", {"reason": "no"})


def books(role: str, **changes: Any) -> Books:
    sent, got = (REQUEST, DECLINE) if role == "dismantler" else (DECLINE, REQUEST)
    right: dict[str, Any] = {
        "sent": (sent,),
        "got": (got,),
        "states": {"t1": "declined"},
        "events": {"P1": EVENTS[role]},
    }
    return Books(**(right | changes))


async def judged(dismantler: Books, collector: Books, tmp_path: Path) -> Outcome:
    async with ClientSession() as session:
        agent = Agent("meguri", tmp_path, "Nobody", "collector")
        load = Load(session, agent, agent, 1, asked={"P1": "t1"}, declined={"t1"})
        return compare(dismantler, collector, load, kills=0, killed_starting=0, seconds=0)


async def test_books_that_agree_are_found_right(tmp_path: Path) -> None:
    outcome = await judged(books("dismantler"), books("collector"), tmp_path)
    assert (outcome.messages, outcome.lost, outcome.doubled, outcome.differing) == (2, 0, 0, 0)


@pytest.mark.parametrize(
    ("figure", "side", "changes"),
    [
        ("lost", "collector", {"got": ()}),
        ("lost", "dismantler", {"sent": (Row("m1", "t1", "request", 1, "queued", {"pack": "P1"}),)}),
        ("lost", "collector", {"events": {"P1": Counter(("requested",))}}),
        ("doubled", "collector", {"got": (REQUEST, REQUEST)}),
        ("doubled", "collector", {"got": (REQUEST, Row("m3", "t3", "request", 1, "taken", {"pack": "P1"}))}),
        ("doubled", "dismantler", {"events": {"P1": EVENTS["dismantler"] + Counter(("requested",))}}),
        ("differing", "collector", {"got": (Row("m1", "t1", "request", 1, "taken", {"pack": "P2"}),)}),
        ("differing", "dismantler", {"states": {"t1": "requested"}}),
    ],
)
async def test_books_with_one_thing_wrong_are_found_out(
    figure: str, side: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    sides = {role: books(role, **(changes if role == side else {})) for role in EVENTS}
    outcome = await judged(sides["dismantler"], sides["collector"], tmp_path)
    assert getattr(outcome, figure) == 1, outcome
