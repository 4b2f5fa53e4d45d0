"""Nothing is lost and nothing is doubled while both agents are killed again and again.

A dismantler asks a collector to fetch packs, the collector declines each: two messages an exchange, one each
way, with what they cause in both companies' books. Meanwhile one or the other process gets SIGKILL at random
moments of work, of rest and of starting, and is started again at once. Whoever asked an agent for something
asks again with the same idempotency key until it answers. In the end both databases are compared.
Run `python bench/chaos.py [--json] [--messages 2000] [--kills 20] [--seed 1]`.
"""

import argparse
import asyncio
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: its folder would stand before the room of the same name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from aiohttp import ClientError, ClientSession, ClientTimeout

from bench.rig.processes import Agent, admit, connect, running
from schemas.items import mint

LANES = 8
CATCH_UP_S = 180.0
WHILE_STARTING = 0.3
"""The share of kills that hit an agent which has not finished starting after the kill before."""
EVENTS = {
    "dismantler": Counter(("registered", "requested", "cancelled")),
    "collector": Counter(("requested", "cancelled")),
}
"""What must have happened, once each, to every pack in each company's books."""


@dataclass(frozen=True)
class Outcome:
    """What the two databases say in the end."""

    messages: int
    kills: int
    killed_starting: int
    lost: int
    doubled: int
    differing: int
    repeated: int
    """Requests that had to be asked for again."""
    seconds: float
    wrong: tuple[str, ...] = ()
    """The first few things that are wrong, in words."""

    def as_json(self) -> dict[str, Any]:
        """Return the figures."""
        return {name: value for name, value in vars(self).items() if name != "wrong"}


@dataclass
class Load:
    """What is asked of the two agents: requests by one, answers by the other, until all are answered."""

    session: ClientSession
    dismantler: Agent
    collector: Agent
    number: int
    asked: dict[str, str] = field(default_factory=dict)
    """The thread of each pack's request, once the dismantler's agent has said that it is saved."""
    declined: set[str] = field(default_factory=set)
    repeated: int = 0
    _allowed: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def allow(self, number: int) -> None:
        """Let so many more requests go out."""
        for _ in range(number):
            self._allowed.release()

    async def insist(self, agent: Agent, action: str, to: str, key: str, **form: object) -> Any:
        """Ask for an action until the agent, which may be dead just now, says that it is done."""
        while True:
            try:
                return await agent.do(self.session, action, to, key, **form)
            except (ClientError, OSError, TimeoutError):
                self.repeated += 1
                await asyncio.sleep(0.1)

    async def ask(self) -> None:
        """Ask for packs to be fetched."""
        numbers = iter(range(self.number))

        async def lane() -> None:
            for n in numbers:
                await self._allowed.acquire()
                vehicle, pack = mint("vehicle"), mint("pack")
                done = await self.insist(
                    self.dismantler,
                    "request-collection",
                    self.collector.name,
                    f"request {n}",
                    vehicle=vehicle,
                    pack=pack,
                    vehicle_model="ZE0",
                    pack_model="24 kWh",
                    chassis_number=f"ZE0-{n:06d}",
                    first_registration="2014-03",
                    odometer_km=48_213,
                    capacity_low_pct="72.5",
                    capacity_high_pct="78.75",
                    capacity_source="vehicle display",
                    place="Yard 2",
                    note=f"request {n}",
                )
                self.asked[pack] = done["thread"]

        await asyncio.gather(*(lane() for _ in range(LANES)))

    async def decline(self) -> None:
        """Decline each request that reaches the collector."""
        query = {"protocol": "collection/1.0", "state": "requested", "limit": "100"}
        while len(self.declined) < self.number:
            try:
                found = await self.collector.call(self.session, "GET", "/api/v1/exchanges", params=query)
            except (ClientError, OSError, TimeoutError):
                await asyncio.sleep(0.2)
                continue
            threads = [one["thread"] for one in found if one["thread"] not in self.declined]
            for start in range(0, len(threads), LANES):
                await asyncio.gather(*(self._decline(thread) for thread in threads[start : start + LANES]))
            await asyncio.sleep(0.05)

    async def _decline(self, thread: str) -> None:
        await self.insist(
            self.collector, "decline-collection", thread, f"decline {thread}", reason=f"declined {thread}"
        )
        self.declined.add(thread)


@dataclass
class Storm:
    """Kills one or the other agent, again and again."""

    session: ClientSession
    agents: tuple[Agent, Agent]
    load: Load
    kills: int
    dice: random.Random
    killed_starting: int = 0

    async def rage(self) -> None:
        """Kill at random moments, each time with new work under way, and start again at once."""
        share, rest = divmod(self.load.number, self.kills + 1)
        self.load.allow(share + rest)
        victim = self.dice.choice(self.agents)
        for _ in range(self.kills):
            if self.dice.random() < WHILE_STARTING:
                await asyncio.sleep(self.dice.uniform(0, 4))
            else:
                await self.ready()
                victim = self.dice.choice(self.agents)
                await asyncio.sleep(self.dice.uniform(0, 1.5))
            self.killed_starting += not await self.is_ready(victim)
            await victim.kill()
            await victim.start()
            self.load.allow(share)
        await self.ready()

    async def ready(self) -> None:
        """Wait until both agents are ready."""
        for agent in self.agents:
            await agent.ready(self.session)

    async def is_ready(self, agent: Agent) -> bool:
        """Say whether an agent is ready just now."""
        try:
            async with self.session.get(agent.url + "/ready") as answer:
                return answer.status == 200
        except (ClientError, OSError, TimeoutError):
            return False


async def storm(folder: Path, messages: int, kills: int, seed: int) -> Outcome:
    """Send messages through a storm of kills, and say what the books hold in the end."""
    settings = {"MEGURI_LONGEST_REST_S": "5"}  # else an agent that was away would be tried again in minutes
    authority, dismantler, collector = (
        Agent("meguri", folder / role, name, role, driven=False, settings=settings)
        for role, name in (
            ("governance-authority", "Authority"),
            ("dismantler", "Kita"),
            ("collector", "Minato"),
        )
    )
    begun = time.monotonic()
    async with (
        ClientSession(timeout=ClientTimeout(30)) as session,
        running(session, dismantler, collector),
    ):
        async with running(session, authority):
            await connect(session, authority, dismantler)
            await connect(session, authority, collector)
            await admit(session, authority, dismantler, collector)
            await connect(session, collector, dismantler)
        load = Load(session, dismantler, collector, messages // 2)
        raging = Storm(session, (dismantler, collector), load, kills, random.Random(seed))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(load.ask())
            tasks.create_task(load.decline())
            tasks.create_task(raging.rage())
        await caught_up(dismantler, collector)
    return compare(
        Books.read(dismantler.home),
        Books.read(collector.home),
        load,
        kills=kills,
        killed_starting=raging.killed_starting,
        seconds=time.monotonic() - begun,
    )


async def caught_up(*agents: Agent) -> None:
    """Wait until no agent has anything left to say; give up when that takes too long, and let it show."""
    deadline = time.monotonic() + CATCH_UP_S
    while time.monotonic() < deadline:
        if not any(Books.read(agent.home).unsettled for agent in agents):
            return
        await asyncio.sleep(0.5)


# What is in the books


@dataclass(frozen=True)
class Row:
    """One message as a company's database holds it."""

    id: str
    thread: str
    kind: str
    place: int | None
    status: str
    body: Any


@dataclass(frozen=True)
class Books:
    """What a company's database holds of the collections."""

    sent: tuple[Row, ...]
    got: tuple[Row, ...]
    states: Mapping[str, str]
    events: Mapping[str, Counter[str]]
    """How often each thing happened to each pack."""

    @classmethod
    def read(cls, home: Path) -> "Books":
        """Read a company's SQLite database."""
        with closing(sqlite3.connect(f"file:{home / 'books.db'}?mode=ro", uri=True)) as books:
            rows = books.execute(
                "SELECT outward, id, thread, kind, place, status, body FROM message"
                " WHERE protocol = 'collection/1.0' ORDER BY number"
            ).fetchall()
            states = dict(
                books.execute("SELECT thread, state FROM exchange WHERE protocol = 'collection/1.0'")
            )
            happened = [
                (item, json.loads(body)["what"])
                for item, body in books.execute("SELECT item, body FROM event WHERE item LIKE 'P%'")
            ]
        events: dict[str, Counter[str]] = {}
        for item, what in happened:
            events.setdefault(item, Counter())[what] += 1
        sent, got = (
            tuple(
                Row(id, thread, kind, place, status, json.loads(body))
                for way, id, thread, kind, place, status, body in rows
                if way == outward
            )
            for outward in (1, 0)
        )
        return cls(sent, got, states, events)

    @property
    def unsettled(self) -> int:
        """Return how many of the company's messages nobody has acknowledged."""
        return sum(row.status != "taken" for row in self.sent)


def compare(
    dismantler: Books, collector: Books, load: Load, *, kills: int, killed_starting: int, seconds: float
) -> Outcome:
    """Count what was asked for and is missing, and what is there more than once or is not the same."""
    lost: list[str] = []
    doubled: list[str] = []
    differing: list[str] = []
    requests = Counter(row.body["pack"] for row in dismantler.sent if row.kind == "request")
    answers = Counter(row.thread for row in collector.sent if row.kind == "decline")
    for wanted, said, what in (
        (load.asked.keys(), requests, "request for pack"),
        (load.declined, answers, "answer in exchange"),
    ):
        lost += [f"{what} {one} was never said" for one in wanted if not said[one]]
        doubled += [f"{what} {one} was said {times} times" for one, times in said.items() if times > 1]
    for sender, receiver in ((dismantler, collector), (collector, dismantler)):
        arrived: dict[str, list[Row]] = {}
        for row in receiver.got:
            arrived.setdefault(row.id, []).append(row)
        for row in sender.sent:
            there = arrived.pop(row.id, [])
            if row.status != "taken" or not there:
                lost.append(f"{row.kind} {row.id} is {row.status}, and there {len(there)} times")
            doubled += [f"{row.kind} {row.id} came again" for _ in there[1:]]
            differing += [
                f"{row.kind} {row.id} is not what was sent"
                for one in there
                if (one.thread, one.kind, one.place, one.status, one.body)
                != (row.thread, row.kind, row.place, "taken", row.body)
            ]
        doubled += [f"message {id} was never sent" for id in arrived]
    differing += [
        f"exchange {thread} is {dismantler.states.get(thread)} and {collector.states.get(thread)}"
        for thread in dismantler.states.keys() | collector.states.keys()
        if not dismantler.states.get(thread) == collector.states.get(thread) == "declined"
    ]
    for role, books in (("dismantler", dismantler), ("collector", collector)):
        for pack in load.asked.keys() | books.events.keys():
            found = books.events.get(pack, Counter())
            lost += [f"{role}: {pack} was not {what}" for what in (EVENTS[role] - found).elements()]
            doubled += [f"{role}: {pack} was also {what}" for what in (found - EVENTS[role]).elements()]
    return Outcome(
        messages=len(dismantler.sent) + len(collector.sent),
        kills=kills,
        killed_starting=killed_starting,
        lost=len(lost),
        doubled=len(doubled),
        differing=len(differing),
        repeated=load.repeated,
        seconds=round(seconds, 1),
        wrong=(*lost[:5], *doubled[:5], *differing[:5]),
    )


def main() -> int:
    """Print a table, or JSON; return 1 when anything was lost, doubled or changed."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--messages", type=int, default=2000, help="how many messages, half each way")
    arguments.add_argument("--kills", type=int, default=20, help="how often one of the processes is killed")
    arguments.add_argument("--seed", type=int, default=1, help="what decides the moments")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(storm(Path(folder), options.messages, options.kills, options.seed))
    if options.json:
        print(json.dumps(outcome.as_json()))
    else:
        for words, value in (
            ("messages, acknowledged and compared", outcome.messages),
            ("kills", outcome.kills),
            ("of them while starting", outcome.killed_starting),
            ("lost", outcome.lost),
            ("doubled", outcome.doubled),
            ("not the same on both sides", outcome.differing),
            ("asked again with the same key", outcome.repeated),
            ("seconds", outcome.seconds),
        ):
            print(f"{words:<40}{value:>10}")
    for words in outcome.wrong:
        print(words, file=sys.stderr)
    return 1 if outcome.lost or outcome.doubled or outcome.differing else 0


if __name__ == "__main__":
    sys.exit(main())
