"""The DID's and the registry's routes: who may call them, and what they answer."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from agents import accounts
from agents.dids import Registrar
from agents.identity import Identity
from agents.web import site
from tests.agents.test_identity import Counter, Pocket
from tests.governance.registered import REGISTRY, WITNESS, Holder

from .conftest import Town
from .world import House, browsing


class Program:
    """A program with a token at a house's site."""

    def __init__(self, client: TestClient[Any, Any]) -> None:
        self.client = client

    async def ask(self, method: str, path: str, status: int = 200, **body: Any) -> Any:
        async with self.client.request(method, "/api/v1" + path, json=body or None) as answer:
            assert answer.status == status, await answer.text()
            return await answer.json(content_type=None) if status != 204 else None


@asynccontextmanager
async def program(house: House, rank: Any = "admin", **more: Any) -> AsyncIterator[Program]:
    visitor = accounts.Visitor("chief", "admin", "en", "session", "")
    token = await accounts.new_token(house.store, visitor, "test", rank, 1)
    app = site(replace(house.context(), **more))
    async with TestClient(TestServer(app), headers={"Authorization": f"Bearer {token}"}) as client:
        yield Program(client)


async def test_a_did_key_is_shown_and_cannot_be_changed(town: Town) -> None:
    async with program(town.dismantler) as one:
        shown = await one.ask("GET", "/did")
        assert shown["did"] == town.dismantler.did
        assert [key["until"] for key in shown["keys"]] == [None]
        await one.ask("POST", "/did/rotate", 409, **{"leaked_since": None})
        await one.ask("DELETE", "/did/services/site", 409)
        await one.ask("GET", "/registrations", 404)


async def test_a_did_is_rotated_gets_services_and_is_given_up(town: Town) -> None:
    registrar = Registrar(town.authority.store, REGISTRY, WITNESS)
    pocket = Pocket()
    counter = Counter(registrar, pocket.fuse)
    identity = await Identity.begun(pocket, counter.about, await registrar.admit("kita"))
    identity.office = counter
    await identity.settle()
    async with program(town.dismantler, identity=identity) as one:
        async with one.client.get("/published/log", params={"did": identity.did}) as answer:
            assert await answer.text() == (await registrar.log("kita")).log
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
        async with one.client.get("/published/log", params={"did": town.collector.did}) as answer:
            assert answer.status == 404
        before = await one.ask("GET", "/did")
        assert before["web"] == "did:web:registry.meguri.example:kita"
        url = "https://kita.example"
        await one.ask("POST", "/did/services", 201, name="site", type="LinkedDomains", url=url)
        await one.ask("POST", "/did/services", 422, name="whois", type="LinkedDomains", url=url)
        now = datetime.now(UTC).isoformat()
        after = await one.ask("POST", "/did/rotate", leaked_since=now)
        assert [bool(key["until"]) for key in after["keys"]] == [True, False]
        assert after["services"] == [{"name": "site", "type": "LinkedDomains", "url": url}]
        await one.ask("POST", "/did/rotate", 422, leaked_since="2100-01-01T00:00:00Z")
        await one.ask("POST", "/did/rotate", 422, leaked_since="2026-01-01T00:00:00")
        await one.ask("DELETE", "/did/services/site", 204)
        await one.ask("POST", "/did/deactivate", 422, confirm="yes")
        ended = await one.ask("POST", "/did/deactivate", confirm=identity.did)
        assert ended["deactivated"]
        assert len(ended["versions"]) == 5
        await one.ask("POST", "/did/rotate", 409, leaked_since=None)


async def test_the_authority_admits_names_and_takes_codes_back(town: Town) -> None:
    registrar = Registrar(town.authority.store, REGISTRY, WITNESS)
    async with program(town.authority, registrar=registrar) as one:
        code = (await one.ask("POST", "/registrations", 201, name="kita", days=3))["code"]
        assert code.startswith("kita.")
        (listed,) = await one.ask("GET", "/registrations")
        assert (listed["name"], listed["did"]) == ("kita", "")
        await one.ask("POST", "/registrations", 422, name="Kita!")
        await one.ask("DELETE", "/registrations/kita", 204)
        assert await one.ask("GET", "/registrations") == []


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_a_manager_admits_names_on_a_page_and_ends_codes(town: Town, language: str) -> None:
    house = town.authority
    house.registrar = Registrar(house.store, REGISTRY, WITNESS)
    await house.keep_user("boss", "manager")
    await house.keep_user("hand", "operator")
    async with browsing(house, "boss", language) as browser:
        assert 'href="/registrations"' in await browser.get("/more")
        page, status = await browser.post("/registrations", "/registrations", name="kita", days=3)
        assert status == 200
        (admission,) = await house.registrar.admissions()
        code = re.search("kita[.][A-Za-z0-9_-]{27}", page)
        assert code
        listed = await browser.get("/registrations")
        assert code[0] not in listed
        assert "<time " in listed
        assert "&lt;" not in listed
        for name, days in (("Kita!", "3"), ("minato", "0"), ("minato", "x"), ("", "3"), ("m" * 41, "1")):
            page, status = await browser.post("/registrations", "/registrations", name=name, days=days)
            assert status == 422
            assert 'role="alert"' in page
        assert await house.registrar.admissions() == [admission]
        async with browsing(house, "hand") as other:
            assert "kita" in await other.get("/registrations")
            assert 'action="/registrations' not in await other.get("/registrations")
            assert (await other.post("/account", "/registrations", name="sakura", days=3))[1] == 403
            assert (await other.post("/account", "/registrations/kita/dismiss"))[1] == 403
        where = await browser.post("/registrations", "/registrations/kita/dismiss")
        assert where == ("/registrations", 303)
        assert await house.registrar.admissions() == []
        holder = Holder("kita")
        await house.registrar.take("kita", holder.first(), await house.registrar.admit("kita"))
        assert "did:webvh:" in await browser.get("/registrations")
        _, status = await browser.post("/registrations", "/registrations", name="kita", days=3)
        assert status == 409


async def test_where_no_registry_is_kept_there_is_no_page_of_names(town: Town) -> None:
    await town.collector.keep_user("boss", "manager")
    async with browsing(town.collector, "boss") as browser:
        assert "/registrations" not in await browser.get("/more")
        await browser.get("/registrations", 404)


async def test_only_administrators_change_the_did_and_only_managers_admit(town: Town) -> None:
    registrar = Registrar(town.authority.store, REGISTRY, WITNESS)
    async with program(town.authority, "manager", registrar=registrar) as one:
        await one.ask("POST", "/did/rotate", 403, **{"leaked_since": None})
        await one.ask("POST", "/registrations", 201, name="kita")
    async with program(town.authority, "operator", registrar=registrar) as one:
        await one.ask("POST", "/registrations", 403, name="minato")
        await one.ask("DELETE", "/registrations/kita", 403)
    async with (
        browsing(town.authority) as browser,
        browser.client.get("/api/v1/did") as answer,
    ):
        assert answer.status == 401
