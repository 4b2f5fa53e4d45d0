"""Real agents, each with ACA-Py, a wallet, a database and a site, talk to each other over loopback."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from acapy_agent.connections.models.conn_record import ConnRecord
from acapy_agent.did.did_key import DIDKey
from acapy_agent.protocols.out_of_band.v1_0.messages.invitation import InvitationMessage
from acapy_agent.wallet.base import BaseWallet
from acapy_agent.wallet.key_type import ED25519
from aiohttp import ClientSession

from agents.acapy.courier import Declined
from agents.acapy.envelope import Post
from agents.acapy.start import Running, agent
from agents.acapy.wire import wire_type
from agents.config import Config
from agents.evidence import blob_size
from agents.role import Evidence, Peer
from credentials.keys import public_key, signed_by
from protocols.membership import MEMBERSHIP
from schemas.errors import Forbidden, Invalid, Unavailable
from tests.fakes import until

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROLES = {"Authority": "governance-authority", "Dita": "dismantler", "Cole": "collector"}
PACK = {
    "vehicle_model": "Example EV 40",
    "pack_model": "EX-40A",
    "chassis_number": "EXA10-0123456",
    "first_registration": "2018-03",
    "odometer_km": 86420,
    "capacity_low_pct": "66.25",
    "capacity_high_pct": "72.5",
    "capacity_source": "vehicle display",
    "place": "Yard 2",
}


def free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def config(home: Path, name: str, **changes: Any) -> Config:
    didcomm, web, admin = free_ports(3)
    settings = {"didcomm_port": didcomm, "web_port": web, "admin_port": admin, "longest_rest_s": 2.0}
    return Config(home, name, (ROLES[name],), **(settings | changes))


@dataclass
class Town:
    """The companies, the connections between them, and how to stop and start one."""

    folder: Path
    configs: dict[str, Config] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    stacks: dict[str, AsyncExitStack] = field(default_factory=dict)
    peers: dict[tuple[str, str], str] = field(default_factory=dict)

    async def start(self, name: str) -> Running:
        self.configs.setdefault(name, config(self.folder / name, name))
        self.stacks[name] = AsyncExitStack()
        self.running[name] = await self.stacks[name].enter_async_context(agent(self.configs[name]))
        return self.running[name]

    async def stop(self, name: str) -> None:
        await self.stacks.pop(name).aclose()

    async def connect(self, inviter: str, invited: str) -> None:
        url = await self.running[inviter].connections.create()
        await self.running[invited].connections.accept(url)
        for one, other in ((inviter, invited), (invited, inviter)):
            peer = await until(lambda one=one, other=other: self.known(one, other))  # type: ignore[misc]
            self.peers[one, other] = peer.id

    async def known(self, one: str, other: str) -> Peer | None:
        did = self.running[other].agent.signer.did
        peers = await self.running[one].store.read(lambda desk: desk.peers())
        return next((peer for peer in peers if peer.did == did), None)

    async def do(self, who: str, action: str, to: str, **form: object) -> str:
        return (await self.running[who].agent.perform(action, form, self.peers.get((who, to), to))).thread

    async def state(self, who: str, thread: str) -> str:
        exchange = await self.running[who].store.read(lambda desk: desk.exchange(thread))
        return exchange.state if exchange else ""

    async def reaches(self, who: str, thread: str, state: str) -> None:
        async def there() -> bool:
            return await self.state(who, thread) == state

        await until(there)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Town]:
    town = Town(tmp_path_factory.mktemp("town"))
    town.configs["Dita"] = config(town.folder / "Dita", "Dita", admin_port=0)
    for name in ROLES:
        await town.start(name)
    for inviter, invited in (("Authority", "Dita"), ("Authority", "Cole"), ("Cole", "Dita")):
        await town.connect(inviter, invited)
    for name in ("Dita", "Cole"):
        thread = await town.do(name, "apply-for-membership", "Authority", name=name, roles=[ROLES[name]])
        await town.reaches("Authority", thread, "applied")
        await town.do("Authority", "accredit", thread)
        await town.reaches(name, thread, "accredited")
    for name in ("Dita", "Cole"):
        store = town.running[name].store
        await until(lambda store=store: _members(store, 3))  # type: ignore[misc]
    yield town
    for name in list(town.stacks):
        await town.stop(name)


async def _members(store: Any, number: int) -> bool:
    return len(await store.read(lambda desk: desk.members())) == number


async def test_who_connects_introduces_itself_and_may_join(town: Town) -> None:
    for one, other in (("Dita", "Authority"), ("Authority", "Cole"), ("Cole", "Dita")):
        known = await town.known(one, other)
        assert known
        assert known.name == other


async def test_an_agent_without_acapys_admin_api_accepts_invitations_too(town: Town) -> None:
    """ACA-Py itself then gives its managers no way to send, and accepting would fail."""
    assert town.configs["Dita"].admin_port == 0
    for inviter in ("Authority", "Cole"):
        assert await town.known("Dita", inviter)


async def test_small_files_travel_inside_and_large_ones_are_fetched(town: Town) -> None:
    dita, cole = town.running["Dita"], town.running["Cole"]
    small, large = (
        dita.vault.put(b"\xff\xd8\xff small"),
        dita.vault.put(b"\x89PNG\r\n\x1a\n" + bytes(5_000_000)),
    )
    for stored, name in ((small, "left.jpg"), (large, "film.png")):
        entry = Evidence(stored.digest, name, stored.media_type, stored.size)
        await dita.store.write(lambda desk, entry=entry: desk.keep_evidence(entry))  # type: ignore[misc]
    thread = await town.do("Dita", "request-collection", "Cole", **PACK, photos=[small.digest, large.digest])
    await town.reaches("Cole", thread, "requested")
    assert cole.vault.holds(small.digest)
    await until(lambda: cole.vault.holds(large.digest))
    assert cole.vault.get(large.digest) == dita.vault.get(large.digest)
    blobs = [path.stat().st_size for path in (dita.vault.folder / "blobs").iterdir()]
    assert blobs == [blob_size(large.size)]


async def test_a_company_that_was_down_catches_up(town: Town) -> None:
    await town.stop("Cole")
    threads = [await town.do("Dita", "request-collection", "Cole", **PACK) for _ in range(3)]
    await until(lambda: any(reach.state != "closed" for reach in town.running["Dita"].postman.reaches()))
    await town.start("Cole")
    for thread in threads:
        await town.reaches("Cole", thread, "requested")
    await town.do("Cole", "decline-collection", threads[0], reason="no room")
    await town.reaches("Dita", threads[0], "declined")


async def test_a_refusal_reaches_the_sender_in_words(town: Town) -> None:
    dita = town.running["Dita"]
    thread = await town.do("Dita", "request-collection", "Cole", **PACK)
    await town.reaches("Cole", thread, "requested")
    await town.do("Cole", "decline-collection", thread, reason="no room")
    await town.reaches("Dita", thread, "declined")
    peer = await dita.store.read(lambda desk: desk.peer(town.peers["Dita", "Cole"]))
    assert peer
    message = {
        "@type": wire_type("collection/1.0", "accept"),
        "@id": "late-1",
        "~thread": {"thid": thread, "sender_order": 1, "received_orders": {"collector": 0}},
    }
    post = Post(dita.profile)
    await post.carry(peer, json.dumps(message))
    await post.close()
    cole = town.running["Cole"]
    name = town.peers["Cole", "Dita"]
    letter = await until(lambda: cole.store.read(lambda desk: desk.letter(name, "late-1")))
    assert letter.status == "refused"
    assert "out-of-step" in letter.problem
    assert await town.state("Cole", thread) == "declined"


async def test_text_that_says_two_things_is_declined_at_the_door(town: Town) -> None:
    dita = town.running["Dita"]
    peer = await dita.store.read(lambda desk: desk.peer(town.peers["Dita", "Cole"]))
    assert peer
    post = Post(dita.profile)
    head = f'"@type": "{wire_type("collection/1.0", "accept")}", "@id": "1"'
    for text in (f'{{{head}, "@id": "2"}}', f'{{{head}, "n": NaN}}', f'{{{head}, "n": "\\u0000"}}'):
        with pytest.raises(Declined):
            await post.carry(peer, text)
    await post.close()


async def test_who_has_only_seen_an_invitation_cannot_speak_for_a_member(town: Town) -> None:
    """ACA-Py finds a connection by the invitation a message names; we ask whose key packed it."""
    authority, dita = town.running["Authority"], town.running["Dita"]
    url = await authority.connections.create()
    invitation = InvitationMessage.from_url(url)
    await dita.connections.accept(url)
    await until(lambda: _connected(authority, 3))
    await until(lambda: _quiet(authority, dita))
    message = json.dumps(
        {
            "@type": wire_type(MEMBERSHIP.name, "apply"),
            "@id": "forged-1",
            "~thread": {"thid": "forged-1", "pthid": invitation._id, "sender_order": 0},
            "name": "Dita",
            "roles": ["dismantler"],
        }
    )
    async with dita.profile.session() as session:
        key = (await session.inject(BaseWallet).create_signing_key(ED25519)).verkey
        service: Any = (invitation.services or ())[0]
        to = service.recipient_keys[0].removeprefix("did:key:").split("#")[0]
        raw = DIDKey.from_did(f"did:key:{to}").public_key_b58
        packed = await Post(dita.profile).format.encode_message(session, message, [raw], [], key)
    before, received = await authority.store.read(lambda desk: desk.dealings()), authority.letterbox.received
    async with ClientSession() as http:
        for body, kind, status in (
            (packed, "application/ssi-agent-wire", 200),
            (message, "application/json", 400),
        ):
            async with http.post(
                authority.config.endpoint, data=body, headers={"Content-Type": kind}
            ) as response:
                assert response.status == status
    await asyncio.sleep(0.3)
    assert authority.letterbox.received == received
    assert await authority.store.read(lambda desk: desk.exchange("forged-1")) is None
    assert await authority.store.read(lambda desk: desk.dealings()) == before


async def _quiet(*all: Running) -> bool:
    """Say whether everybody has introduced themselves and nothing is on its way."""
    for running in all:
        if await running.store.read(lambda desk: desk.destinations()):
            return False
    return all[1].letterbox.received > 0 and not await _strangers(all[0])


async def _strangers(running: Running) -> bool:
    return any(not peer.did for peer in await running.store.read(lambda desk: desk.peers()))


async def _connected(running: Running, number: int) -> bool:
    async with running.profile.session() as session:
        records: Any = await ConnRecord.query(session)
    return sum(record.state in ("active", "completed") for record in records) >= number


async def test_a_company_that_connects_twice_stays_one_company(town: Town) -> None:
    authority, dita = town.running["Authority"], town.running["Dita"]
    before = await authority.store.read(lambda desk: {peer.did for peer in desk.peers()})
    await dita.connections.accept(await authority.connections.create())
    await until(lambda: _quiet(authority, dita))
    after = await authority.store.read(lambda desk: [peer.did for peer in desk.peers()])
    assert sorted(after) == sorted(before)
    for asking, asked in (("Dita", "Authority"), ("Authority", "Dita")):
        thread = await town.do(asking, "ask-disclosure", asked, item="P3F9KQ27MT-I", purpose="safety")
        await town.reaches(asked, thread, "asked")


async def test_a_large_file_changed_on_its_way_is_refused_and_its_owner_told(
    town: Town, caplog: pytest.LogCaptureFixture
) -> None:
    dita, cole = town.running["Dita"], town.running["Cole"]
    stored = dita.vault.put(b"\x89PNG\r\n\x1a\n" + b"1" * 300_000)
    entry = Evidence(stored.digest, "film.png", stored.media_type, stored.size)
    await dita.store.write(lambda desk: desk.keep_evidence(entry))
    blob = dita.vault.blob(dita.vault.seal_blob(stored.digest, town.peers["Dita", "Cole"]).id)
    blob.write_bytes(blob.read_bytes()[:-1] + b"?")
    await town.do("Dita", "request-collection", "Cole", **PACK, photos=[stored.digest])

    async def refused() -> bool:
        found = await cole.store.read(lambda desk: desk.evidence(stored.digest))
        return found is not None and found.state == "refused"

    await until(refused)
    await until(lambda: f"refused file:{stored.digest}" in caplog.text)
    assert not cole.vault.holds(stored.digest)


@pytest.mark.parametrize("url", ["", "https://example.org", "https://example.org?oob=AAAA", "x" * 30_000])
async def test_what_is_no_invitation_is_said_to_be_none(town: Town, url: str) -> None:
    with pytest.raises(Invalid, match="no invitation"):
        await town.running["Dita"].connections.accept(url)


async def test_the_issuer_key_stays_the_same_and_signs(town: Town) -> None:
    signer = town.running["Dita"].agent.signer
    assert len(signer.sign(b"data")) == 64
    await town.stop("Dita")
    again = await town.start("Dita")
    assert again.agent.signer.did == signer.did
    assert signed_by(
        public_key(signer.did.removeprefix("did:key:")), b"data", again.agent.signer.sign(b"data")
    )


async def test_a_second_agent_in_the_same_folder_or_on_the_same_port_does_not_start(
    town: Town, tmp_path: Path
) -> None:
    running = town.configs["Cole"]
    with pytest.raises(Unavailable, match="already running"):
        await _started(config(running.home, "Cole"))
    for port in ("didcomm_port", "web_port", "admin_port"):
        with pytest.raises(Unavailable, match=str(getattr(running, port))):
            await _started(config(tmp_path / port, "Cole", **{port: getattr(running, port)}))


async def test_a_wallet_with_another_key_and_books_of_another_company_are_not_opened(
    town: Town, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    await _started(config(home, "Dita"))
    (home / "wallet.key").rename(home / "lost.key")
    with pytest.raises(Forbidden, match="does not open"):
        await _started(config(home, "Dita"))
    (home / "wallet.key").unlink()
    (home / "wallet.key").write_text((home / "lost.key").read_text())
    with pytest.raises(Invalid, match="others may read"):
        await _started(config(home, "Dita"))
    (home / "wallet").rename(home / "lost")
    (home / "wallet.key").unlink()
    with pytest.raises(Forbidden, match="the database is"):
        await _started(config(home, "Dita"))


async def _started(config: Config) -> None:
    async with agent(config):
        pass


async def test_the_site_answers_when_all_is_ready_and_says_nothing_of_acapy_outside(town: Town) -> None:
    settings = town.configs["Cole"]
    async with ClientSession() as http:
        async with http.get(f"{settings.local_url}/ready") as response:
            assert response.status == 200
        async with http.get(f"http://127.0.0.1:{settings.admin_port}/connections") as response:
            assert response.status == 401
    for name in ("wallet.key", "admin.key", "token"):
        assert (settings.home / name).stat().st_mode & 0o077 == 0
