"""The registry's door: what everybody reads, and what hostile clients send."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from agents.dids import MOST_BYTES, Registrar
from agents.web import Context, site
from agents.web.dids import MOST_POSTED
from credentials import webvh
from credentials.resolution import did_document
from governance import dids
from schemas.errors import Unknown
from tests.governance.registered import REGISTRY, START, WITNESS, Holder

from .world import Street


class Desk:
    """A registry behind its site, and a client of it."""

    def __init__(self, client: TestClient[Any, Any], registrar: Registrar) -> None:
        self.client, self.registrar = client, registrar

    async def post(self, path: str, body: Any, status: int = 200) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.client.post(path, data=data, headers={"Content-Type": "application/json"}) as answer:
            text = await answer.text()
            assert answer.status == status, text
            return json.loads(text) if text else None

    async def get(self, path: str, status: int = 200) -> str:
        async with self.client.get(path) as answer:
            assert answer.status == status, await answer.text()
            return await answer.text()

    async def register(self, name: str = "kita") -> Holder:
        holder = Holder(name)
        code = await self.registrar.admit(name)
        await self.post(f"/dids/{name}", {"entry": holder.first(), "code": code})
        holder.kept = await self.registrar.log(name)
        return holder


@pytest.fixture
def street_of_its_own(tmp_path: Path) -> Iterator[Street]:
    (tmp_path / "other").mkdir()
    street = Street(tmp_path / "other")
    yield street
    street.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    street = Street(tmp_path)
    house = street.open("Battery Office", "governance-authority")
    registrar = Registrar(house.store, REGISTRY, WITNESS)
    context = Context(
        house.agent, house.vault, street.invitations(house), "http://127.0.0.1:1", registrar=registrar
    )
    own = Holder("")
    await registrar.take("", own.first())
    async with TestClient(TestServer(site(context))) as client:
        yield Desk(client, registrar)
    street.close()


@pytest.mark.parametrize("folder", ["", "/dids"])
async def test_whoever_asks_finds_what_verifies(desk: Desk, folder: str) -> None:
    holder = await desk.register()
    for name, kept, did in (
        ("kita", holder.kept, holder.history.did),
        (".well-known", await desk.registrar.log(""), (await desk.registrar.history("")).did),
    ):
        log, approvals = [
            await desk.get(f"{folder}/{name}/{file}") for file in ("did.jsonl", "did-witness.json")
        ]
        assert log == kept.log
        report = webvh.verify(did, log, approvals, now=START.replace(year=2100))
        assert report.verified
        web = json.loads(await desk.get(f"{folder}/{name}/did.json"))
        assert did in web["alsoKnownAs"]
        assert did_document(web).id == dids.twin(did)
    assert json.loads(await desk.get("/dids")) == {"host": REGISTRY.host, "witness": WITNESS.did}


@pytest.mark.parametrize("folder", ["", "/dids"])
async def test_who_follows_a_did_url_is_sent_to_the_site_that_the_did_names(desk: Desk, folder: str) -> None:
    """Only the issuer knows whether something stands there: the private and the made up look alike."""
    holder = Holder("kita")
    code = await desk.registrar.admit("kita")
    await desk.registrar.take("kita", holder.first(site="https://kita.example/x"), code)
    await desk.registrar.take("sakura", Holder("sakura").first(), await desk.registrar.admit("sakura"))
    for path, place in (
        ("items/P3F9KQ27MH", "items/P3F9KQ27MH"),
        ("items/nonsense", "items/nonsense"),
        ("credentials/%2e%2e%2f?x=1", "credentials/..%2F"),
    ):
        url = f"{folder}/kita/{path}"
        async with desk.client.get(URL(url, encoded=True), allow_redirects=False) as answer:
            assert answer.status == 307
            assert answer.headers["Location"] == f"https://kita.example/x/{place}"
    for path in ("nobody/items/P3F9KQ27MH", "sakura/items/P3F9KQ27MH", "kita/status/1"):
        await desk.get(f"{folder}/{path}", 404)
    holder.kept = await desk.registrar.log("kita")
    await desk.registrar.take("kita", dids.ended(holder.history, holder.update_key(), when=holder.now))
    await desk.get(f"{folder}/kita/items/P3F9KQ27MH", 404)


async def test_what_nobody_registered_is_not_there(desk: Desk) -> None:
    for path in (
        "/kita/did.jsonl",
        "/kita/did-witness.json",
        "/kita/did.json",
        "/kita/whois.vp",
        "/whois.vp",
    ):
        await desk.get(path, 404)


@pytest.mark.parametrize("path", ["/dids/kita", "/dids/minato", "/dids/.well-known", "/dids/%2e%2e%2fkita"])
async def test_nobody_posts_to_anothers_name(desk: Desk, path: str) -> None:
    await desk.register()
    intruder = Holder("minato")
    before = await desk.get("/kita/did.jsonl")
    async with desk.client.post(path, json={"entry": intruder.first(), "code": "minato.guess"}) as answer:
        assert answer.status in {403, 404, 409, 422}
    assert await desk.get("/kita/did.jsonl") == before


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b'{"entry": {}, "entry": {}}', 400),
        (b'{"entry": 1e999}', 400),
        (b"[" * 100_000, 400),
        (b"\xff", 400),
        (b'{"more": 1}', 422),
        (b'{"code": 5}', 422),
        (b'{"entry": null}', 422),
        (b'{"entry": {}}', 422),
        (b'{"entry": "' + b"x" * MOST_BYTES + b'"}', 413),
    ],
)
async def test_any_bytes_are_answered_in_words(desk: Desk, body: bytes, status: int) -> None:
    await desk.register()
    problem = await desk.post("/dids/kita", body, status)
    assert problem["detail"]


async def test_nobody_begins_the_authoritys_own_did_for_it(
    street_of_its_own: Street,
) -> None:
    """Its first entry needs no code, so it is not taken at the door: the books may be new, or restored."""
    house = street_of_its_own.open("Battery Office", "governance-authority")
    registrar = Registrar(house.store, REGISTRY, WITNESS)
    context = Context(
        house.agent,
        house.vault,
        street_of_its_own.invitations(house),
        "http://127.0.0.1:1",
        registrar=registrar,
    )
    async with TestClient(TestServer(site(context))) as client:
        await Desk(client, registrar).post("/dids/.well-known", {"entry": Holder("").first()}, 404)
    with pytest.raises(Unknown):
        await registrar.log("")


async def test_who_posts_without_end_waits_and_who_reads_need_not(desk: Desk) -> None:
    holder = await desk.register()
    for _ in range(MOST_POSTED - 1):
        await desk.post("/dids/kita", b"", 400)
    problem = await desk.post("/dids/kita", {"entry": holder.next()}, 429)
    assert problem["code"] == "too-many-tries"
    assert await desk.get("/kita/did.json")


async def test_ten_thousand_entries_are_refused_at_once(desk: Desk) -> None:
    holder = await desk.register()
    entry = holder.next() | {"versionId": holder.next()["versionId"].replace("2-", "10001-", 1)}
    assert (await desk.post("/dids/kita", {"entry": entry}, 409))["code"] == "out-of-step"
    many = {"entry": [holder.next()] * 10_000}
    await desk.post("/dids/kita", many, 413)


async def test_a_fork_a_rollback_and_an_uncommitted_key_change_nothing(desk: Desk) -> None:
    holder = await desk.register()
    twin = Holder("kita")
    twin.kept = holder.kept
    fork = twin.next({**twin.history.last.document, "service": []})
    await desk.post("/dids/kita", {"entry": holder.rotated()})
    holder.kept = await desk.registrar.log("kita")
    before = await desk.get("/kita/did.jsonl")
    await desk.post("/dids/kita", {"entry": fork}, 409)
    thief = Holder("thief").update_key()
    await desk.post("/dids/kita", {"entry": holder.bent(thief)}, 422)
    await desk.post("/dids/kita", {"entry": holder.bent(witness={})}, 422)
    await desk.post("/dids/kita", {"entry": holder.entries()[0]})  # an old one again: nothing happens
    assert await desk.get("/kita/did.jsonl") == before
