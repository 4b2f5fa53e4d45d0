"""A company's own DID: a change that breaks off anywhere ends as it was or as it was to be."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agents.dids import Registrar
from agents.identity import Identity, Spent
from agents.role import Company
from agents.store import SqlStore, open_store
from credentials import integrity, webvh
from credentials.keys import LocalSigner, Signer
from credentials.resolution import DidDocument, did_document
from credentials.vc import credential
from governance.dids import OVERLAP, Kept, Registry
from schemas.errors import Fault, Forbidden, Invalid, Misstep, Unavailable
from tests.governance.registered import REGISTRY, START, WITNESS, public

from .clock import Clock

DAY = timedelta(days=1)


class Killed(BaseException):
    """The process is gone."""


@dataclass
class Fuse:
    """Kills the process at the n-th step, just before or just after it has happened."""

    at: int = 0
    late: bool = False
    step: int = 0

    def burn(self, *, done: bool) -> None:
        self.step += not done
        if self.step == self.at and done == self.late:
            raise Killed


@dataclass
class Pocket:
    """The wallet in memory."""

    fuse: Fuse = field(default_factory=Fuse)
    text: str | None = None
    keys: dict[str, LocalSigner] = field(default_factory=dict)

    async def record(self) -> str | None:
        return self.text

    async def keep(self, record: str) -> None:
        self.fuse.burn(done=False)
        self.text = record
        self.fuse.burn(done=True)

    async def make_key(self) -> str:
        self.fuse.burn(done=False)
        key = LocalSigner.generate()
        self.keys[public(key)] = key
        self.fuse.burn(done=True)
        return public(key)

    async def drop_key(self, multikey: str) -> None:
        self.fuse.burn(done=False)
        self.keys.pop(multikey, None)
        self.fuse.burn(done=True)

    async def signer(self, multikey: str, did: str = "") -> Signer:
        key = self.keys[multikey]
        return LocalSigner(key.key, did, f"{did}#{multikey}") if did else key


@dataclass
class Counter:
    """The registry at hand, on a line that can be cut."""

    registrar: Registrar
    fuse: Fuse = field(default_factory=Fuse)
    away: bool = False

    async def about(self) -> Registry:
        self.reach()
        return REGISTRY

    async def take(self, name: str, entry: object, code: str = "") -> object:
        self.reach()
        self.fuse.burn(done=False)
        kept = await self.registrar.take(name, entry, code)
        self.fuse.burn(done=True)
        return kept

    async def log(self, name: str) -> Kept:
        self.reach()
        return await self.registrar.log(name)

    async def show(self, name: str, presentation: Mapping[str, Any]) -> None:
        self.reach()
        await self.registrar.show(name, presentation)

    def reach(self) -> None:
        if self.away:
            raise Unavailable("the registry cannot be reached")


@dataclass
class World:
    """A registry, and a company with a wallet, whose process starts and ends."""

    clock: Clock
    registrar: Registrar
    pocket: Pocket = field(default_factory=Pocket)
    site: str = ""

    def __post_init__(self) -> None:
        self.counter = Counter(self.registrar, self.pocket.fuse)

    async def start(self, registration: str = "") -> Identity:
        identity = await Identity.begun(
            self.pocket, self.counter.about, registration, self.clock, site=self.site
        )
        identity.office = self.counter
        await identity.settle()
        return identity

    async def document(self) -> Any:
        """Return what the registry tells everybody."""
        return (await self.registrar.history("kita")).last.document

    async def registered(self) -> Identity:
        return await self.start(await self.registrar.admit("kita"))

    async def is_whole(self, identity: Identity) -> None:
        """Look at it as everybody does, and at whether its keys are all there."""
        kept = await self.registrar.log("kita")
        assert identity.standing.kept == kept
        assert identity.standing.change is None
        found = webvh.history(identity.did, kept.log, kept.approvals, now=self.clock() + DAY)
        assert webvh.key_hash(identity.standing.next) in found.last.rules.next_key_hashes
        assert set(self.pocket.keys) >= {identity.standing.issuer, identity.standing.next}
        document = credential(
            identity.did, ["Thing"], {"id": "urn:x:1"}, id="urn:x:2", valid_from=self.clock()
        )
        sealed = integrity.seal(document, identity.signer, created=self.clock())
        assert integrity.verify(sealed, Known(did_document(found.last.document)), now=self.clock()).verified


@dataclass
class Known:
    document: DidDocument

    def resolve(self, did: str, /) -> DidDocument:
        return self.document


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[SqlStore]:
    clock.now = START
    office = Company("did:key:z6Mk", "Office", ("governance-authority",))
    store = open_store(f"sqlite:///{tmp_path}/books.db", office, clock)
    yield store
    store.close()


@pytest.fixture
def world(clock: Clock, store: SqlStore) -> World:
    return World(clock, Registrar(store, REGISTRY, WITNESS))


async def test_a_did_says_where_its_company_publishes_and_once_only(world: World) -> None:
    world.site = "https://kita.example"
    identity = await world.registered()
    assert did_document(await world.document()).files == "https://kita.example"
    await identity.list_site("https://kita.example")
    assert len(identity.standing.kept.lines) == 1
    await identity.list_site("https://moved.example")
    assert did_document(await world.document()).files == "https://moved.example"
    assert len(identity.standing.kept.lines) == 2
    await world.is_whole(identity)
    with pytest.raises(Invalid):
        await identity.add_service("files", "LinkedDomains", "https://other.example")
    await identity.deactivate(identity.did)
    await identity.list_site("https://kita.example")
    assert len(identity.standing.kept.lines) == 3


CHANGES = {
    "rotate": lambda one: one.rotate(),
    "serve": lambda one: one.add_service("site", "LinkedDomains", "https://kita.example"),
}


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, 12))
async def test_a_registration_cut_off_anywhere_is_taken_up_again(world: World, step: int, late: bool) -> None:
    code = await world.registrar.admit("kita")
    fuse = world.pocket.fuse
    fuse.at, fuse.late = step, late
    with suppress(Killed):
        await world.start(code)
    fuse.at = 0
    await world.is_whole(await world.start(code))


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", range(1, 9))
@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_cut_off_anywhere_ends_as_it_was_or_was_to_be(
    world: World, name: str, step: int, late: bool
) -> None:
    identity = await world.registered()
    before = identity.standing.kept
    world.clock.wait(hours=1)
    fuse = world.pocket.fuse
    fuse.step, fuse.at, fuse.late = 0, step, late
    with suppress(Killed):
        await CHANGES[name](identity)
    fuse.at = 0
    after = await world.start()
    assert after.did == identity.did
    assert len(after.standing.kept.lines) - len(before.lines) in {0, 1}
    await world.is_whole(after)
    world.clock.wait(hours=1)
    await after.rotate()
    await world.is_whole(after)


async def test_no_key_is_left_that_is_of_no_use(world: World) -> None:
    identity = await world.registered()
    for _ in range(3):
        world.clock.wait(hours=1)
        await identity.rotate()
    assert set(world.pocket.keys) == {identity.standing.issuer, identity.standing.next}


async def test_what_the_registry_does_not_hear_is_told_later(world: World) -> None:
    identity = await world.registered()
    old = identity.signer
    world.clock.wait(hours=1)
    world.counter.away = True
    with pytest.raises(Unavailable, match="as soon as it answers"):
        await identity.rotate()
    assert identity.signer == old  # others do not know the new key yet
    with pytest.raises(Unavailable):
        await identity.settle()
    world.counter.away = False
    world.clock.wait(hours=1)
    await identity.settle()
    assert identity.signer != old
    await world.is_whole(identity)


async def test_a_rotation_that_waited_too_long_is_dropped(world: World) -> None:
    identity = await world.registered()
    world.counter.away = True
    with pytest.raises(Unavailable):
        await identity.rotate()
    world.counter.away = False
    world.clock.wait(seconds=OVERLAP.total_seconds())
    with pytest.raises(Unavailable, match="make it again"):
        await identity.settle()
    await world.is_whole(identity)
    await identity.rotate()
    await world.is_whole(identity)


async def test_at_the_first_start_there_is_no_half_identity(world: World) -> None:
    code = await world.registrar.admit("kita")
    world.counter.away = True
    with pytest.raises(Unavailable):
        await world.start(code)
    assert world.pocket.text is None
    assert not world.pocket.keys
    world.counter.away = False
    await world.is_whole(await world.start(code))


async def test_a_wrong_code_can_be_put_right(world: World) -> None:
    code = await world.registrar.admit("kita")
    with pytest.raises(Forbidden):
        await world.start("kita.guess")
    with pytest.raises(Invalid, match="no registration code"):
        await world.start("kita")
    with pytest.raises(Forbidden):
        await world.start("minato.guess")
    await world.is_whole(await world.start(code))


async def test_two_copies_of_a_wallet_do_not_go_apart(world: World) -> None:
    identity = await world.registered()
    copy = Pocket(Fuse(), world.pocket.text, dict(world.pocket.keys))
    world.clock.wait(hours=1)
    await identity.rotate()
    other = World(world.clock, world.registrar, copy)
    world.clock.wait(hours=1)
    restored = await other.start()
    with pytest.raises(Forbidden, match="another history"):
        await restored.add_service("site", "LinkedDomains", "https://kita.example")
    await world.is_whole(identity)


async def test_a_did_is_given_up_for_good(world: World) -> None:
    identity = await world.registered()
    world.clock.wait(hours=1)
    with pytest.raises(Invalid, match="repeat it"):
        await identity.deactivate("yes")
    await identity.deactivate(identity.did)
    assert isinstance(identity.signer, Spent)
    with pytest.raises(Forbidden, match="given up"):
        identity.signer.sign(b"")
    with pytest.raises(Misstep):
        await identity.rotate()
    again = await world.start()
    assert isinstance(again.signer, Spent)
    assert (await world.registrar.history("kita")).last.rules.deactivated


async def test_services_come_and_go(world: World) -> None:
    identity = await world.registered()
    world.clock.wait(hours=1)
    await identity.add_service("site", "LinkedDomains", "https://kita.example")
    world.clock.wait(hours=1)
    await identity.add_service("didcomm", "DIDCommMessaging", "https://kita.example/didcomm")
    await identity.remove_service("site")  # within the same second: entries still follow each other
    document = identity.history.last.document
    assert [one["id"] for one in document["service"]] == [f"{identity.did}#didcomm"]
    with pytest.raises(Invalid):
        await identity.remove_service("site")
    world.clock.wait(hours=1)
    await world.is_whole(identity)


async def test_nothing_leaks_at_a_time_to_come(world: World) -> None:
    identity = await world.registered()
    with pytest.raises(Fault, match="to come"):
        await identity.rotate(world.clock() + DAY)
    world.clock.wait(hours=2)
    await identity.rotate(START + timedelta(hours=1))
    await world.is_whole(identity)
