"""The courier's in-memory street: real agents, couriers and letterboxes, and between them only text.

What ACA-Py and the network do in life, `Lane` does here: it carries the JSON text of an envelope to the other
house, well or badly. Timing is a thousandfold faster than in life.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any
from uuid import uuid4

from agents.acapy.courier import Declined, Postman, Speller, Timing, Unreachable, Unroutable
from agents.acapy.inbound import Letterbox, Line
from agents.acapy.wire import BUNDLE_TYPE, loads
from agents.evidence import Fetcher, Vault
from agents.lookup import Lookup
from agents.ports import Desk, Letter
from agents.role import Company, Held, Peer
from agents.roles import play
from agents.service import Agent
from agents.store import SqlStore, open_store
from agents.words import translate
from credentials.integrity import seal
from credentials.keys import LocalSigner
from credentials.vc import credential, digest
from schemas.claims import CONTEXT, Accreditation, Member, MembershipRegister
from tests.agents.pages import Sites

AUTHORITY = LocalSigner.generate()
FAST = Timing(receipt_s=0.05, shortest_s=0.01, longest_s=0.1, gather_s=0.002, knock_rest_s=0.02)


async def until(what: "Callable[[], Any]", seconds: float = 30.0) -> Any:
    """Wait until something is so, and return it; give up after a time that only a failure takes."""
    for _ in range(int(seconds / 0.01)):
        found = what()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to be so")


@dataclass
class House:
    """One company: its agent with its courier and letterbox."""

    street: "Street"
    name: str
    signer: LocalSigner
    store: SqlStore
    vault: Vault
    roles: tuple[str, ...]
    timing: Timing
    agent: Agent = field(init=False)
    postman: Postman = field(init=False)
    letterbox: Letterbox = field(init=False)
    fetcher: Fetcher | None = None
    reports: list[str] = field(default_factory=list)

    async def start(self, *, knock: bool = True) -> None:
        """Start, the first time or again: nothing but the store and the vault is left from before."""
        speller = Speller(self.store, self.vault, self.street.blobs_url)
        self.postman = Postman(self.store, speller, Lane(self), translate, self.timing)
        site = self.street.sites.open(self.store, self.name)
        lookup = Lookup(self.street.sites, self.store)
        self.agent = Agent(play(self.roles), self.store, self.postman, self.signer, lookup, site)
        self.letterbox = Letterbox(self.agent, self.store, self.vault, self.postman, self.fetcher)
        self.street.away.discard(self.name)
        await self.postman.start(knock=knock)

    async def crash(self) -> None:
        """Lose everything that is only in memory."""
        self.street.away.add(self.name)
        await self.postman.stop()

    async def trust(self, houses: Iterable["House"]) -> None:
        """Hold a register in which these companies are members."""
        since = datetime(2026, 1, 1, tzinfo=UTC)
        members = tuple(
            Member(did=one.signer.did, name=one.name, roles=one.roles, status="accredited", since=since)
            for one in houses
        )
        register = MembershipRegister(did=AUTHORITY.did, version=1, members=members)
        own = Accreditation(did=self.signer.did, name=self.name, roles=self.roles, framework="of the street")
        document = seal(
            credential(
                AUTHORITY.did,
                ("Accreditation",),
                {"id": own.did} | own.model_dump(mode="json"),
                id=f"urn:uuid:{uuid4()}",
                valid_from=since,
                contexts=(CONTEXT,),
            ),
            AUTHORITY,
            created=since,
        )
        held = Held(
            document["id"], "Accreditation", own.did, AUTHORITY.did, since, digest(document), document, "-"
        )

        def work(desk: Desk) -> None:
            desk.set("authority", register.did)
            desk.set("register", register.model_dump_json())
            if not desk.credentials(own.did, "Accreditation"):
                desk.keep_credential(held)

        await self.store.write(work)

    async def do(self, action: str, to: str = "", **form: object) -> str:
        """Do an action and return its thread."""
        return (await self.agent.perform(action, form, to)).thread

    async def peer(self, other: "House") -> Peer:
        """Return what this house calls another one."""
        return await self.store.read(
            lambda desk: next(p for p in desk.peers() if p.connection == self.street.connection(self, other))
        )

    async def letters(self, *, outward: bool) -> list[Letter]:
        """Return every message row of this house."""

        def work(desk: Desk) -> list[Letter]:
            threads = [dealing.thread for dealing in desk.dealings(limit=100_000)]
            return [letter for thread in threads for letter in desk.letters(thread, outward=outward)]

        return await self.store.read(work)

    async def state(self, thread: str) -> str:
        """Return the state of an exchange here, or nothing."""
        exchange = await self.store.read(lambda desk: desk.exchange(thread))
        return exchange.state if exchange else ""

    async def settled(self) -> bool:
        """Say whether every message of ours has its final status."""
        return not await self.store.read(lambda desk: desk.destinations())


@dataclass
class Street:
    """Where the houses stand, and how badly things arrive: shares lost and doubled, and the longest delay."""

    folder: Path
    lost: float = 0.0
    twice: float = 0.0
    delay_s: float = 0.0
    random: Random = field(default_factory=lambda: Random(1))
    away: set[str] = field(default_factory=set)
    declines: Callable[[str], bool] = lambda text: False
    unroutable: bool = False
    blobs_url: str = ""
    houses: dict[str, House] = field(default_factory=dict)
    sites: Sites = field(default_factory=Sites)
    carried: list[list[dict[str, Any]]] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def open(
        self,
        name: str,
        *roles: str,
        timing: Timing = FAST,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> House:
        """Open a company's house."""
        signer = LocalSigner.generate()
        home = self.folder / name
        store = open_store(f"sqlite:///{home / 'books.db'}", Company(signer.did, name, roles), clock)
        house = self.houses[name] = House(self, name, signer, store, Vault(home / "vault"), roles, timing)
        await house.start()
        for known in self.houses.values():
            await known.trust(self.houses.values())
        return house

    def connection(self, one: House, other: House) -> str:
        """Name the connection between two houses."""
        return "-".join(sorted((one.name, other.name)))

    def line(self, one: House, other: House) -> Line:
        """Return the connection from one house to another, as the first sees it."""
        return Line(self.connection(one, other), f"did:peer:{one.name}", f"did:peer:{other.name}")

    async def connect(self, one: House, other: House, *, introduce: bool = True) -> Peer:
        """Connect two houses; return what the first calls the other."""
        peer = await one.letterbox.peer(self.line(one, other))
        await other.letterbox.peer(self.line(other, one))
        if introduce:
            await one.do("introduce", peer.id)
            await until(lambda: self._introduced(one, peer))
        return peer

    async def _introduced(self, house: House, peer: Peer) -> bool:
        known = await house.store.read(lambda desk: desk.peer(peer.id))
        return bool(known and known.did)

    async def close(self) -> None:
        """Close all houses."""
        for house in self.houses.values():
            await house.postman.stop()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        for house in self.houses.values():
            house.store.close()


@dataclass
class Lane:
    """The carrier of one house."""

    house: House

    async def carry(self, peer: Peer, text: str) -> None:
        """Hand an envelope to the other house, as well as the street allows."""
        street = self.house.street
        await asyncio.sleep(0)
        if street.unroutable:
            raise Unroutable("there is no road")
        other = next(
            house
            for name, house in street.houses.items()
            if name != self.house.name and street.connection(self.house, house) == peer.connection
        )
        if other.name in street.away or self.house.name in street.away:
            raise Unreachable("nobody is at home")
        if street.declines(text):
            raise Declined("HTTP 400")
        value = loads(text)
        street.carried.append(value["messages"] if value["@type"] == BUNDLE_TYPE else [value])
        for _ in range(1 + (street.random.random() < street.twice)):
            if street.random.random() >= street.lost:
                task = asyncio.create_task(
                    self._arrive(other, value, street.random.random() * street.delay_s)
                )
                street.tasks.add(task)
                task.add_done_callback(street.tasks.discard)

    async def _arrive(self, other: House, value: dict[str, Any], delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        street = self.house.street
        if other.name not in street.away:
            await other.letterbox.take(street.line(other, self.house), value)
