"""Five companies in one process: real agents over real databases and wires, and a street between them.

The street stands where the courier and ACA-Py stand in life: it takes what is queued, spells it as JSON,
and hands it over, well or badly. `Street()` is a perfect one; a bad one loses, doubles, delays and swaps.
"""

import shutil
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any
from uuid import uuid4

from agents.acapy import wire
from agents.gateways.auditor import Auditor
from agents.gateways.bench import Bench
from agents.lookup import Lookup
from agents.ports import Desk, Enclosure, Letter, Parcel, Verdict
from agents.role import Company, Item, Job, Peer
from agents.roles import play
from agents.service import Agent, Done
from agents.store import SqlStore, open_store
from agents.trace import Trace, trace
from credentials.integrity import seal
from credentials.keys import LocalSigner
from credentials.vc import credential
from governance.tools import Workshop
from instruments.load import RELAYS
from instruments.rack import Trouble, populate, serve
from protocols.exchange import Exchange, Protocol
from quality.lifecycle import Life
from schemas.claims import CONTEXT, Claim
from schemas.events import Event
from schemas.items import kind_of
from tests.agents.pages import Sites

AUTHORITY, DISMANTLER, COLLECTOR = "governance-authority", "dismantler", "collector"
REUSE_MANUFACTURER, RECYCLER = "reuse-manufacturer", "recycler"
MOST_TICKS = 2000
WORKSHOP = Workshop()

PACK: Mapping[str, object] = {
    "vehicle_model": "ZE0",
    "pack_model": "24 kWh",
    "chassis_number": "ZE0-012345",
    "first_registration": "2014-03",
    "odometer_km": 48213,
    "capacity_low_pct": "72.5",
    "capacity_high_pct": "78.75",
    "capacity_source": "vehicle display",
    "place": "yard 3",
}
HAND_OVER: Mapping[str, object] = {
    "truck": "4-12",
    "odometer_out_km": "1200",
    "odometer_back_km": "1260.5",
    "load_share": "0.5",
    "fuel_economy_km_per_l": "6.2",
}


@dataclass(frozen=True)
class Envelope:
    """Something on its way to one peer of one company: messages, or verdicts on messages."""

    to: str
    peer: str
    messages: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()


@dataclass
class Street:
    """How well things arrive: shares of what is lost, comes twice, and is late."""

    lost: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    random: Random = field(default_factory=lambda: Random(1))

    @property
    def perfect(self) -> bool:
        return not (self.lost or self.twice or self.late)

    def arriving(self, air: list[Envelope]) -> list[Envelope]:
        """Take from the air what arrives now, in the order it arrives."""
        now: list[Envelope] = []
        staying: list[Envelope] = []
        for envelope in air:
            if self.random.random() < self.late:
                staying.append(envelope)
            elif self.random.random() >= self.lost:
                now += [envelope] * (2 if self.random.random() < self.twice else 1)
        air[:] = staying
        if not self.perfect:
            self.random.shuffle(now)
        return now


class Bell:
    """What an agent rings when it has something to be carried."""

    def __init__(self) -> None:
        self.rung = False

    def wake(self, peers: frozenset[str]) -> None:
        self.rung = True


@cache
def blank() -> Path:
    """Return a database with its tables and nothing in them, made once."""
    path = Path(mkdtemp(prefix="meguri-")) / "blank.sqlite3"
    open_store(f"sqlite:///{path}", Company("did:key:nobody", "nobody", ())).close()
    return path


class Town:
    """Companies by name, and the street between them."""

    def __init__(self, folder: Path, street: Street | None = None) -> None:
        self.folder = folder
        self.street = street or Street()
        self.agents: dict[str, Agent] = {}
        self.stores: dict[str, SqlStore] = {}
        self.bells: dict[str, Bell] = {}
        self.keys: dict[str, LocalSigner] = {}
        self.roles: dict[str, tuple[str, ...]] = {}
        self.links: dict[tuple[str, str], tuple[str, str]] = {}
        self.shut: set[tuple[str, str]] = set()
        self.air: list[Envelope] = []
        self.verdicts: list[Verdict] = []
        self.sites = Sites()
        self.ahead = timedelta()

    def now(self) -> datetime:
        """Return the time by the town's clock, which may be put forward and back."""
        return datetime.now(UTC) + self.ahead

    # Setting up

    def found(self, name: str, roles: tuple[str, ...] | None = None) -> Agent:
        """Set up a company; its role is its name unless told."""
        self.keys[name] = LocalSigner.generate()
        shutil.copy(blank(), self.folder / f"{name}.sqlite3")
        return self.start(name, roles or (name,))

    def start(self, name: str, roles: tuple[str, ...] | None = None) -> Agent:
        """Start a company's agent, once more if it ran before: nothing but its key and database is left."""
        roles = roles or self.roles[name]
        self.roles[name] = roles
        if name in self.stores:
            self.stores[name].close()
        company = Company(self.keys[name].did, name, roles)
        store = open_store(f"sqlite:///{self.folder}/{name}.sqlite3", company, self.now)
        bell = Bell()
        site = self.sites.open(store, name)
        lookup = Lookup(self.sites, store, clock=self.now)
        agent = Agent(play(roles), store, bell, self.keys[name], lookup, site)
        self.agents[name], self.stores[name], self.bells[name] = agent, store, bell
        return agent

    def copy(self, folder: Path) -> "Town":
        """Return the same town once more, as it was left when it was closed, with books of its own."""
        again = Town(folder)
        again.keys, again.links = self.keys, dict(self.links)
        for name, roles in self.roles.items():
            shutil.copy(self.folder / f"{name}.sqlite3", folder)
            again.start(name, roles)
        return again

    async def connect(self, caller: str, host: str, number: int = 0) -> tuple[Peer, Peer]:
        """Connect two agents without introducing them; return each one's peer, the caller's first."""
        name, ends = f"{caller}-{host}-{number}", (f"did:peer:{caller}", f"did:peer:{host}")
        theirs = await self.write(caller, lambda desk: desk.contact(f"c-{name}", ends[0], ends[1]))
        ours = await self.write(host, lambda desk: desk.contact(f"c-{name}", ends[1], ends[0]))
        self.links[caller, theirs.id] = host, ours.id
        self.links[host, ours.id] = caller, theirs.id
        return theirs, ours

    async def introduce(self, caller: str, host: str) -> None:
        """Connect two agents and have them say which companies they are."""
        peer, _ = await self.connect(caller, host)
        await self.do(caller, "introduce", peer.id)

    async def admit(self, *names: str) -> dict[str, str]:
        """Have companies join; return the threads of their membership."""
        threads = {}
        for name in names:
            await self.introduce(name, AUTHORITY)
            done = await self.do(name, "apply-for-membership", AUTHORITY, name=name, roles=[name])
            await self.do(AUTHORITY, "accredit", done.thread)
            threads[name] = done.thread
        return threads

    # What people do

    async def say(self, who: str, action: str, to: str = "", **form: object) -> Done:
        """Do an action and leave what it says in the outbox."""
        return await self.agents[who].perform(action, form, to, user="W-07")

    async def do(self, who: str, action: str, to: str = "", **form: object) -> Done:
        """Do an action and wait until the street is quiet."""
        done = await self.say(who, action, to, **form)
        await self.carry()
        return done

    # Looking

    async def read[T](self, who: str, work: Callable[[Desk], T]) -> T:
        return await self.stores[who].read(work)

    async def write[T](self, who: str, work: Callable[[Desk], T]) -> T:
        return await self.stores[who].write(work)

    async def exchange(self, who: str, thread: str) -> Exchange:
        found = await self.read(who, lambda desk: desk.exchange(thread))
        assert found is not None
        return found

    async def states(self, thread: str, *who: str) -> set[str]:
        """Return the states in which companies hold an exchange: one, when they agree."""
        return {(await self.exchange(name, thread)).state for name in who}

    async def life(self, who: str, code: str) -> Life:
        """Return an item's life as a company recorded it."""
        events = await self.read(who, lambda desk: desk.events(code, ours=True))
        return Life(code, kind_of(code), events)

    async def whats(self, who: str, code: str) -> list[str]:
        """Name the events a company recorded in an item's life."""
        return [event.what for event in (await self.life(who, code)).events]

    async def codes(self, who: str, kind: str, part_of: str | None = None) -> list[str]:
        items: list[Item] = await self.read(who, lambda desk: desk.items(kind=kind, part_of=part_of))
        return [item.code for item in items]

    async def trace(self, who: str, code: str) -> Trace:
        agent = self.agents[who]
        return await agent.look(lambda desk, known: trace(desk, code, partial(agent.judge, known=known)))

    async def letters(self, who: str, *, outward: bool | None = None) -> list[Letter]:
        """List all messages of a company, in and out."""

        def work(desk: Desk) -> list[Letter]:
            threads = [dealing.thread for dealing in desk.dealings(limit=10_000)]
            return [one for thread in threads for one in desk.letters(thread, outward=outward)]

        return await self.read(who, work)

    async def books(self, who: str) -> Counter[tuple[str, ...]]:
        """Return what a company's books come to, without what no two runs have alike: codes and ids."""

        def work(desk: Desk) -> Counter[tuple[str, ...]]:
            tally: Counter[tuple[str, ...]] = Counter()
            for dealing in desk.dealings(limit=10_000):
                tally["exchange", dealing.protocol, dealing.side, dealing.state] += 1
                for letter in desk.letters(dealing.thread):
                    tally["message", letter.kind, "out" if letter.outward else "in", letter.status] += 1
            abouts = {peer.did for peer in desk.peers()} | {desk.company.did}
            for item in desk.items(limit=10_000):
                abouts.add(item.code)
                ours: tuple[Event, ...] = desk.events(item.code, ours=True)
                tally["item", item.kind, Life(item.code, item.kind, ours).state] += 1
                for event in desk.events(item.code):
                    tally["event", event.kind, event.what, "ours" if event in ours else "theirs"] += 1
            for about in abouts:
                for held in desk.credentials(about):
                    tally["credential", held.type, "given" if held.source else "ours"] += 1
            return tally

        return await self.read(who, work)

    def tables(self, who: str) -> dict[str, list[tuple[object, ...]]]:
        """Return all that a company's database holds, by table."""
        with sqlite3.connect(f"file:{self.folder}/{who}.sqlite3?mode=ro", uri=True) as database:
            names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            return {name: database.execute(f'SELECT * FROM "{name}"').fetchall() for (name,) in names}

    # The street

    async def carry(self) -> None:
        """Carry until nobody has anything to say, and the authority has nothing to audit."""
        for _ in range(MOST_TICKS):
            if not await self.tick() and not await self.audit():
                return
        raise AssertionError("the street does not come to rest")

    async def audit(self) -> bool:
        """Have the authority audit what it was asked to; say whether there was anything."""
        if AUTHORITY not in self.agents:
            return False
        return await Auditor(self.agents[AUTHORITY], WORKSHOP).catch_up()

    async def tick(self) -> bool:
        """Send what is queued and hand over what arrives; say whether anything was under way."""
        for name, bell in self.bells.items():
            if bell.rung:
                bell.rung = await self.send_from(name)
        moved = bool(self.air)
        for envelope in self.street.arriving(self.air):
            await self.hand_over(envelope)
        return moved or bool(self.air) or any(bell.rung for bell in self.bells.values())

    async def send_from(self, name: str) -> bool:
        """Put a company's queued messages in the air; say whether they have to be sent again for sure."""
        again = False
        for peer, _ in await self.read(name, lambda desk: desk.destinations()):
            to, there = self.links[name, peer]
            if (name, to) in self.shut:
                continue
            messages = await self.read(name, partial(spelt, peer=peer))
            if self.street.perfect:
                self.air.append(Envelope(to, there, tuple(messages)))
            else:
                self.air += [Envelope(to, there, (message,)) for message in messages]
                again = True
        return again

    async def hand_over(self, envelope: Envelope) -> None:
        """Give an envelope to its addressee, whose verdicts go back the same way."""
        agent = self.agents[envelope.to]
        taken = [verdict.id for verdict in envelope.verdicts if verdict.taken]
        refused = [verdict for verdict in envelope.verdicts if not verdict.taken]
        if envelope.verdicts:
            verdicts = await agent.settle(envelope.peer, taken, refused)
        else:
            parcels = [wire.read(wire.loads(text)).parcel for text in envelope.messages]
            verdicts = await self.give(envelope.to, envelope.peer, *parcels)
            if len({verdict.id for verdict in verdicts}) < len({parcel.id for parcel in parcels}):
                to, _ = self.links[envelope.to, envelope.peer]
                self.bells[to].rung = True  # what has no verdict has to come again
        if verdicts:
            to, there = self.links[envelope.to, envelope.peer]
            back = Envelope(to, there, verdicts=tuple(verdicts))
            if self.street.perfect and (envelope.to, to) not in self.shut:
                await self.hand_over(back)
            else:
                self.air.append(back)

    async def give(self, to: str, peer: str, *parcels: Parcel) -> list[Verdict]:
        """Hand parcels to a company as if they came from one of its peers; return its verdicts."""
        known = await self.read(to, lambda desk: desk.peer(peer))
        assert known is not None
        verdicts = await self.agents[to].receive(known, parcels)
        self.verdicts += verdicts
        return verdicts

    @property
    def refusals(self) -> list[str]:
        """Return in words what anybody refused."""
        return [f"{v.code}: {words_of(v)}" for v in self.verdicts if not v.taken]

    @contextmanager
    def closed(self, *names: str) -> Iterator[None]:
        """Keep two companies' messages from each other, both ways, so that they cross."""
        self.shut = {(a, b) for a in names for b in names if a != b}
        yield
        self.shut = set()
        for name in names:
            self.bells[name].rung = True

    def close(self) -> None:
        for store in self.stores.values():
            store.close()


@asynccontextmanager
async def town(folder: Path, *names: str, street: Street | None = None) -> AsyncIterator[Town]:
    """Found companies, have all but the authority admitted, and introduce the collector to the others."""
    made = Town(folder, street)
    try:
        made.found(AUTHORITY)
        for name in names:
            made.found(name)
        await made.admit(*names)
        for name in names:
            if COLLECTOR in names and name != COLLECTOR:
                await made.introduce(COLLECTOR, name)
        yield made
    finally:
        made.close()


def sealed(
    key: LocalSigner, claim: Claim, about: str, issuer: str = "", at: datetime | None = None
) -> dict[str, Any]:
    """Return a claim sealed with a key, now or at another time; a forger may name another issuer."""
    at = at or datetime.now(UTC)
    subject = {"id": about} | claim.model_dump(mode="json", exclude_none=True)
    document = credential(
        issuer or key.did,
        (type(claim).__name__,),
        subject,
        id=f"urn:uuid:{uuid4()}",
        valid_from=at,
        contexts=(CONTEXT,),
    )
    return dict(seal(document, key, created=at))


def parcel(
    protocol: Protocol,
    kind: str,
    body: Mapping[str, Any] | None = None,
    *,
    thread: str = "",
    order: int = 1,
    seen: int = 0,
    id: str = "",
    credentials: Sequence[Mapping[str, Any]] = (),
    enclosures: Sequence[Enclosure] = (),
) -> Parcel:
    """Return a message as it would come off the wire; a new thread unless told."""
    return Parcel(
        id or str(uuid4()),
        f"{protocol.uri}/{kind}",
        thread or str(uuid4()),
        order,
        seen,
        dict(body or {}),
        tuple(credentials),
        tuple(enclosures),
    )


def words_of(verdict: Verdict) -> str:
    """Return a verdict as a person would read it."""
    return verdict.template.format(**(verdict.values or {}))


async def collect(town: Town, **pack: object) -> tuple[str, str]:
    """Have a pack collected from request to signed receipt; return the thread and the pack's code."""
    thread = (await town.do(DISMANTLER, "request-collection", COLLECTOR, **(dict(PACK) | pack))).thread
    pack_code = (await town.exchange(DISMANTLER, thread)).said[0].message.pack  # type: ignore[attr-defined]
    await town.do(COLLECTOR, "quote-collection", thread, price_jpy=12_000, valid_until="2099-01-31")
    await town.do(DISMANTLER, "accept-quote", thread)
    await town.do(COLLECTOR, "propose-date", thread, pickup="2099-01-15")
    await town.do(DISMANTLER, "agree-date", thread)
    await town.do(COLLECTOR, "record-hand-over", thread, pack=pack_code, **HAND_OVER)
    await town.do(DISMANTLER, "sign-receipt", thread)
    return thread, pack_code


async def take_apart(town: Town, pack: str, cells: int) -> list[str]:
    """Store a pack and take it apart to cells; return their codes in order."""
    await town.do(COLLECTOR, "qualify-worker", worker="W-07", qualification="high-voltage disassembly")
    await town.do(COLLECTOR, "store-items", items=[pack], place="A-1")
    await town.do(
        COLLECTOR,
        "disassemble-pack",
        pack=pack,
        cells=cells,
        cell_model="warwick-5ah",
        chemistry="NMC",
        cell_mass_kg="0.07",
        bench="B-2",
        worker="W-07",
    )
    return sorted(await town.codes(COLLECTOR, "cell", part_of=pack))


def spelt(desk: Desk, peer: str) -> list[str]:
    """Return the messages queued for a peer, as they travel."""
    texts = []
    for letter in desk.due(peer, 200, not_before=False):
        exchange = desk.exchange(letter.thread)
        assert exchange is not None
        held = [desk.credential(id) for id in letter.credentials]
        documents = [one.document for one in held if one is not None]
        texts.append(wire.dumps(wire.write(letter, exchange.side, documents)))
    return texts


async def diagnose(town: Town, cells: Sequence[str], *bad: int, soc_pct: str | None = "50") -> Job:
    """Measure cells on a rack of their own, with bad contacts at some places (from 0); return the job."""
    done = await town.say(COLLECTOR, "diagnose-cells", cells=cells, temperature_c="25", soc_pct=soc_pct)
    troubles = {RELAYS[place]: Trouble.OPEN for place in bad}
    async with serve(populate(cells, troubles=troubles), time_scale=0) as rack:
        racks = [(rack.meter_resource, rack.switch_resource)]
        bench = Bench(town.agents[COLLECTOR], racks, town.folder / "shifts")
        await bench.work(await job(town, done.jobs[0]))
    return await job(town, done.jobs[0])


async def job(town: Town, id: str) -> Job:
    found = await town.read(COLLECTOR, lambda desk: desk.job(id))
    assert found is not None
    return found
