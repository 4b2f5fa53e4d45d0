"""What a member's link may make our agent ask for: files of others lie elsewhere, not in our own house."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agents.acapy.wire import MOST_FILES, read
from agents.evidence import Fetcher, Vault, blob_size
from agents.links import PUBLIC, Nearness, Resolver, around, check_link, nearness
from agents.ports import AwaitedFile
from agents.role import Company, Evidence
from agents.store import SqlStore, open_store
from schemas.errors import Invalid
from tests.fakes import until

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


@pytest.mark.parametrize(
    ("address", "near"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("0.0.0.0", "loopback"),
        ("::", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("::7f00:1", "loopback"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::a00:1", "private"),
        ("64:ff9b::808:808", "public"),
        ("169.254.169.254", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("10.0.0.1", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("fd00::1", "private"),
        ("224.0.0.1", "private"),
        ("8.8.8.8", "public"),
        ("2001:4860:4860::8888", "public"),
    ],
)
def test_an_address_is_as_near_as_it_is(address: str, near: str) -> None:
    assert nearness(address) == near


@pytest.mark.parametrize(
    "link",
    [
        "http://127.0.0.1:8031/status",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://①②⑦.⓪.⓪.①:8031/status",  # what IDNA makes an address of
        "http://１６９.254.169.254/",
        "https://127。0。0。1/",
        "http://[64:ff9b::a00:1]/",
        "file:///etc/passwd",
        "http://[broken/",
        "http:///nowhere",
    ],
)
def test_a_link_into_our_house_is_not_followed(link: str) -> None:
    with pytest.raises(Invalid, match="the link to the file"):
        check_link(link, PUBLIC)


@pytest.mark.parametrize("name", ["localhost", "2130706433", "0x7f.1"])
async def test_a_name_is_judged_by_what_it_resolves_to(name: str) -> None:
    with pytest.raises(Invalid, match="into a network"):
        await Resolver(PUBLIC).resolve(name, 80)
    assert await around(name) == {"loopback"}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = open_store(f"sqlite:///{tmp_path / 'books.db'}", Company("did:key:z", "Borrower", ()))
    yield opened
    opened.close()


def awaited(number: int) -> Evidence:
    return Evidence(f"{number:064x}", "film", "", 5, "awaited")


async def announce(store: SqlStore, number: int, link: str, peer: str) -> None:
    await store.write(lambda desk: desk.keep_evidence(awaited(number), link=link, key=KEY, peer=peer))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_nothing_on_our_machine_is_asked_for_a_file(tmp_path: Path, store: SqlStore, host: str) -> None:
    asked, refusals = [], []

    async def serve(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(body=bytes(blob_size(5)))

    async def report(file: AwaitedFile, words: str) -> None:
        refusals.append(words)

    app = web.Application()
    app.router.add_get("/{path}", serve)
    async with TestServer(app) as server:
        link = f"http://{host}:{server.port}/admin"
        await store.write(lambda desk: desk.keep_evidence(awaited(1), link=link, key=KEY, peer="p"))
        fetcher = Fetcher(store, Vault(tmp_path / "vault"), report).start()
        await until(lambda: refusals)
        await fetcher.stop()
    assert asked == []
    assert "into a network" in refusals[0]


async def test_a_peer_whose_server_is_slow_keeps_only_its_own_files_waiting(
    tmp_path: Path, store: SqlStore
) -> None:
    import asyncio

    asked: list[str] = []
    over = asyncio.Event()

    async def serve(request: web.Request) -> web.Response:
        asked.append(request.path)
        if "slow" in request.path:
            await over.wait()
        return web.Response(status=404)

    async def report(file: AwaitedFile, words: str) -> None:
        """Nothing is refused here."""

    async def near(peer: str, host: str) -> frozenset[Nearness]:
        return frozenset({"loopback"})

    app = web.Application()
    app.router.add_get("/{path}", serve)
    async with TestServer(app) as server:
        for number in range(20):
            kind, peer = ("slow", "a") if number < 19 else ("quick", "b")
            link = str(server.make_url(f"/{kind}-{number}"))
            await announce(store, number, link, peer)
        fetcher = Fetcher(store, Vault(tmp_path / "vault"), report, near, at_once=3).start()
        await until(lambda: "/quick-19" in asked)
        assert len([path for path in asked if "slow" in path]) <= 3
        over.set()
        await fetcher.stop()


def test_a_message_brings_no_flood_of_files() -> None:
    one = {
        "data": {"links": ["https://a.example/x"], "sha256": "0" * 64, "key": KEY},
        "byte_count": 5,
    }
    message = {"@type": "t", "@id": "i", "~attach": [one] * (MOST_FILES + 1)}
    (enclosure,) = read(message).parcel.enclosures
    assert enclosure.problem == "are too many"


async def test_nobody_leads_us_astray_on_the_way_to_anothers_file(store: SqlStore) -> None:
    true, false = "https://a.example/x", "https://b.example/x"

    async def note(file: Evidence, link: str, peer: str) -> None:
        await store.write(lambda desk: desk.keep_evidence(file, link=link, key=KEY, peer=peer))

    await note(awaited(1), true, "a")
    await note(replace(awaited(1), size=7, name="another"), false, "b")
    (file,) = await store.read(lambda desk: desk.awaited_evidence())
    assert (file.link, file.peer, file.evidence) == (true, "a", awaited(1))
    await note(awaited(1), f"{true}/moved", "a")
    (file,) = await store.read(lambda desk: desk.awaited_evidence())
    assert file.link == f"{true}/moved"
    await note(replace(awaited(1), state="refused"), "", "")
    assert await store.read(lambda desk: desk.awaited_evidence()) == []
    await note(awaited(1), false, "b")
    (file,) = await store.read(lambda desk: desk.awaited_evidence())
    assert (file.link, file.peer) == (false, "b"), "after a refusal another may give it"
    await note(replace(awaited(1), state="held"), "", "c")
    assert await store.read(lambda desk: desk.awaited_evidence()) == []
