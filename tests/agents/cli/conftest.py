import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import web

from agents import accounts
from agents.cli.call import Call
from agents.cli.front import run
from agents.config import Config
from agents.evidence import Vault
from agents.lookup import Lookup
from agents.ports import Desk, Parcel
from agents.role import Company, Item, Peer
from agents.roles import ROLES, play
from agents.service import Agent
from agents.store import SqlStore, open_store
from agents.web import Context, site
from credentials.keys import LocalSigner
from protocols.membership import MEMBERSHIP, Apply
from schemas.errors import Invalid
from schemas.events import Event
from schemas.items import mint
from tests.agents.pages import Sites

THEIR_DID = LocalSigner.generate().did


class Quiet:
    """A courier of an agent whose peers are all away."""

    def wake(self, peers: frozenset[str]) -> None:
        return


class Door:
    """Invitations of an agent whose peers are all away."""

    async def create(self) -> str:
        return "https://agent.example/?oob=eyJ9"

    async def accept(self, url: str) -> str:
        if "oob=" not in url:
            raise Invalid("this is no invitation")
        return "connection-1"


@dataclass(frozen=True)
class Town:
    """A company's agent with its site, behind a loopback port, and the folder it lives in."""

    home: Path
    url: str
    agent: Agent
    store: SqlStore
    peer: str
    pack: str
    loop: asyncio.AbstractEventLoop

    def do[T](self, work: Awaitable[T]) -> T:
        async def whole() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(whole(), self.loop).result(30)

    def cell(self) -> str:
        """Take a new cell into the books."""

        def work(desk: Desk) -> str:
            number = len(desk.items(part_of=self.pack)) + 1
            code = mint("cell", self.pack, number)
            desk.keep_item(
                Item(code, "cell", desk.company.did, part_of=self.pack, position=str(number), model="E5")
            )
            desk.keep_event(Event(item=code, kind="cell", what="accepted", when=desk.now, who="Kita 解体"))
            return code

        return self.do(self.store.write(work))

    def applies(self, name: str) -> str:
        """Have the other company apply for membership; return the thread."""
        thread = str(uuid4())
        form = Apply(name=name, roles=("collector",)).model_dump(mode="json")
        parcel = Parcel(f"apply-{thread}", f"{MEMBERSHIP.uri}/apply", thread, 1, 0, form)

        def meet(desk: Desk) -> Peer:
            peer = desk.contact(thread, f"did:peer:us-{thread}", f"did:peer:them-{thread}")
            desk.identify(peer.id, LocalSigner.generate().did, name)
            return desk.peer(peer.id) or peer

        async def receive() -> None:
            (verdict,) = await self.agent.receive(await self.store.write(meet), [parcel])
            assert verdict.taken, verdict

        self.do(receive())
        return thread


@dataclass(frozen=True)
class Ended:
    """What a command left behind."""

    status: int
    out: str
    err: str


type Meguri = Callable[..., Ended]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    home = tmp_path_factory.mktemp("home")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    signer = LocalSigner.generate()
    store = open_store(f"sqlite:///{home / 'books.db'}", Company(signer.did, "Kita 解体", tuple(ROLES)))
    agent = Agent(play(ROLES), store, Quiet(), signer, Lookup(Sites(), store), "")
    runners: list[web.AppRunner] = []
    codes = {"vehicle": mint("vehicle"), "pack": mint("pack")}

    def settle(desk: Desk) -> str:
        desk.set("authority", signer.did)
        peer = desk.contact("connection-0", "did:peer:us", "did:peer:them")
        desk.identify(peer.id, THEIR_DID, "Minato Battery Collection")
        desk.keep_item(Item(codes["vehicle"], "vehicle", signer.did, model="リーフ ZE1"))
        desk.keep_item(Item(codes["pack"], "pack", signer.did, part_of=codes["vehicle"]))
        return peer.id

    async def open_doors() -> tuple[str, str]:
        peer = await store.write(settle)
        context = Context(agent, Vault(home / "vault"), Door(), "http://127.0.0.1")
        runner = web.AppRunner(site(context), access_log=None)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        config = Config(home, "Kita 解体", tuple(ROLES), web_port=port, didcomm_port=1, admin_port=0)
        config.save()
        agent.site = config.local_url
        await accounts.local_token(store, home)
        return peer, config.local_url

    peer, url = asyncio.run_coroutine_threadsafe(open_doors(), loop).result(60)
    yield Town(home, url, agent, store, peer, codes["pack"], loop)
    asyncio.run_coroutine_threadsafe(runners[0].cleanup(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    store.close()


@pytest.fixture
def meguri(
    town: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Meguri:
    """Run a command in this process, as a user of the town's agent."""

    def command(*args: str, **environ: str) -> Ended:
        told = {"HOME": str(tmp_path), "MEGURI_HOME": str(town.home)} | environ
        capsys.readouterr()
        status = run(list(args), Call({name: value for name, value in told.items() if value}))
        said = capsys.readouterr()
        return Ended(status, said.out, said.err)

    return command
