"""A few companies' agents in one process, on real databases, with a street instead of a network."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from agents import accounts
from agents.dids import Registrar
from agents.evidence import Vault
from agents.harvest import Harvest
from agents.lookup import Lookup
from agents.ports import Desk, Letter, Parcel, User
from agents.role import Company, Rank
from agents.roles import play
from agents.service import Agent
from agents.store import SqlStore, open_store
from agents.web import Context, site
from credentials.keys import LocalSigner
from protocols.catalogue import PROTOCOLS
from schemas.errors import Invalid
from tests.agents.pages import Sites

PASSWORD = "correct horse battery"
REQUEST: dict[str, Any] = {
    "vehicle_model": "Leaf ZE1",
    "pack_model": "40 kWh",
    "chassis_number": "ZE1-012345",
    "first_registration": "2019-04",
    "odometer_km": 81234,
    "capacity_low_pct": "70",
    "capacity_high_pct": "78.5",
    "capacity_source": "vehicle display",
    "findings": ["wet"],
    "place": "Yard 3",
}


@dataclass
class House:
    """One company: its agent, its books and its files."""

    name: str
    role: str
    agent: Agent
    store: SqlStore
    vault: Vault
    street: "Street"
    breakers: dict[str, str] = field(default_factory=dict)
    waiting_for: dict[str, str] = field(default_factory=dict)
    harvest: Harvest | None = None
    registrar: Registrar | None = None

    @property
    def did(self) -> str:
        return self.agent.signer.did

    def context(self, public_url: str = "http://127.0.0.1:8032") -> Context:
        return Context(
            self.agent,
            self.vault,
            self.street.invitations(self),
            public_url,
            lambda: self.waiting_for,
            lambda: self.breakers,
            harvest=self.harvest,
            registrar=self.registrar,
        )

    async def do(self, action: str, to: str = "", /, **data: Any) -> str:
        """Do an action, have everything delivered, and return the thread."""
        done = await self.agent.perform(action, data, to, user="test")
        await self.street.deliver()
        return done.thread

    async def keep_user(self, name: str, rank: Rank = "admin", password: str = PASSWORD) -> None:
        secret = await accounts.hashed(password)
        await self.store.write(lambda desk: desk.keep_user(User(name, secret, rank)))


class Waking:
    def wake(self, peers: frozenset[str]) -> None:
        """Nothing waits on this street: whoever wants delivery calls for it."""


@dataclass
class Street:
    """Carries messages between houses when told to."""

    folder: Path
    houses: dict[str, House] = field(default_factory=dict)
    wires: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    sites: Sites = field(default_factory=Sites)

    def open(self, name: str, role: str) -> House:
        """Open a house."""
        signer = LocalSigner.generate()
        home = self.folder / role
        home.mkdir()
        store = open_store(f"sqlite:///{home / 'books.db'}", Company(signer.did, name, (role,)))
        site = self.sites.open(store, role)
        lookup = Lookup(self.sites, store)
        agent = Agent(play((role,)), store, Waking(), signer, lookup, site)
        house = self.houses[role] = House(name, role, agent, store, Vault(home / "vault"), self)
        return house

    async def connect(self, one: House, other: House, *, introduce: bool = True) -> tuple[str, str]:
        """Connect two houses; return what each calls the other."""
        dids = f"did:peer:4{one.role}", f"did:peer:4{other.role}"
        near = await one.store.write(lambda desk: desk.contact(f"c-{other.role}", dids[0], dids[1]))
        far = await other.store.write(lambda desk: desk.contact(f"c-{one.role}", dids[1], dids[0]))
        self.wires[one.role, near.id] = other.role, far.id
        self.wires[other.role, far.id] = one.role, near.id
        if introduce:
            await one.do("introduce", near.id)
        return near.id, far.id

    async def deliver(self) -> None:
        """Carry everything that is queued, and what that causes, until all is quiet."""
        moved = True
        while moved:
            moved = False
            for house in list(self.houses.values()):
                for peer in await house.store.read(lambda desk: [p for p, _ in desk.destinations()]):
                    moved = await self._carry(house, peer) or moved

    async def _carry(self, house: House, peer: str) -> bool:
        wire = self.wires.get((house.role, peer))
        if wire is None:
            return False

        def load(desk: Desk) -> list[Parcel]:
            return [_parcel(desk, letter) for letter in desk.due(peer, 1000, not_before=False)]

        parcels = await house.store.read(load)
        other, name = self.houses[wire[0]], wire[1]
        them = await other.store.read(lambda desk: desk.peer(name))
        assert them is not None
        verdicts = await other.agent.receive(them, parcels)
        taken = [verdict.id for verdict in verdicts if verdict.taken]
        await house.agent.settle(peer, taken, [verdict for verdict in verdicts if not verdict.taken])
        return bool(verdicts)

    def invitations(self, house: House) -> "Doorstep":
        return Doorstep(self, house)

    def close(self) -> None:
        for house in self.houses.values():
            house.store.close()


@dataclass
class Doorstep:
    """Invitations on this street: the other house's name in a link."""

    street: Street
    house: House

    async def create(self) -> str:
        return f"https://street.example/{self.house.role}?oob=eyJA"

    async def accept(self, url: str) -> str:
        found = self.street.houses.get(URL(url).path.strip("/"))
        if found is None or found is self.house:
            raise Invalid("this is no invitation")
        near, _ = await self.street.connect(self.house, found, introduce=False)
        return near


def _parcel(desk: Desk, letter: Letter) -> Parcel:
    held = [desk.credential(id) for id in letter.credentials]
    return Parcel(
        letter.id,
        f"{PROTOCOLS[letter.protocol].uri}/{letter.kind}",
        letter.thread,
        letter.order,
        letter.seen,
        json.loads(letter.body),
        tuple(one.document for one in held if one),
    )


async def admit(authority: House, *companies: House) -> None:
    """Have companies join, all connected with the authority."""
    for company in companies:
        near, _ = await authority.street.connect(company, authority)
        thread = await company.do("apply-for-membership", near, name=company.name, roles=[company.role])
        await authority.do("accredit", thread)


@asynccontextmanager
async def browsing(
    house: House, user: str = "", language: str = "en", **settings: Any
) -> AsyncIterator["Browser"]:
    """A browser at a house's site, logged in as `user` if one is named."""
    server = TestServer(site(house.context(**settings)))
    async with TestClient(server, headers={"Accept-Language": language}) as client:
        browser = Browser(client, house)
        if user:
            await browser.log_in(user)
        yield browser


@dataclass
class Browser:
    """Fetches pages and posts their forms as a person's browser does."""

    client: TestClient[Any, Any]
    house: House

    async def log_in(self, name: str, password: str = PASSWORD) -> int:
        _, status = await self.post("/login", "/login", name=name, password=password)
        return status

    async def get(self, path: str, status: int = 200) -> str:
        async with self.client.get(path) as response:
            text = await response.text()
            assert response.status == status, (path, response.status, text[:2000])
            return text

    async def csrf(self, page: str) -> str:
        return (await self.get(page)).split('name="csrf" value="')[1].split('"')[0]

    async def post(self, page: str, target: str, **fields: Any) -> tuple[str, int]:
        """Open `page`, take its CSRF token, and post to `target`; return where it leads, or the text."""
        data: list[tuple[str, str]] = [("csrf", await self.csrf(page))]
        for name, value in fields.items():
            values: Iterable[Any] = value if isinstance(value, list) else (value,)
            data += [(name, str(one)) for one in values]
        async with self.client.post(target, data=data, allow_redirects=False) as response:
            text = await response.text()
            return response.headers.get("Location", text), response.status
