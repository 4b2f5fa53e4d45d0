"""The API does what the pages do, and its document says so."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import OpenAPIV31SpecValidator

from agents import accounts
from agents.roles import ROLES
from agents.web.openapi import document
from agents.web.rest import API, ROUTES
from schemas.items import mint

from .conftest import Town
from .world import PASSWORD, REQUEST, Browser, House, browsing


@dataclass
class Program:
    """A program that speaks to an agent with a token."""

    browser: Browser
    token: str

    async def __call__(
        self, method: str, path: str, body: Any = None, status: int = 200, **headers: str
    ) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named["Authorization"] = f"Bearer {self.token}"
        async with self.browser.client.request(method, API + path, json=body, headers=named) as answer:
            text = await answer.text()
            assert answer.status == status, (path, answer.status, text[:2000])
            return json.loads(text) if text else None


async def program(house: House, browser: Browser) -> Program:
    _, visitor = await accounts.Door(house.store).enter("chief", PASSWORD, "127.0.0.9")
    return Program(browser, await accounts.new_token(house.store, visitor, "test", "admin"))


@pytest.fixture
async def dismantler(town: Town) -> AsyncIterator[Program]:
    async with browsing(town.dismantler) as browser:
        yield await program(town.dismantler, browser)


@pytest.fixture
async def collector(town: Town) -> AsyncIterator[Program]:
    async with browsing(town.collector) as browser:
        yield await program(town.collector, browser)


async def test_a_request_is_quoted_and_accepted(town: Town, dismantler: Program, collector: Program) -> None:
    body = REQUEST | {"to": "Minato Collection"}
    done = await dismantler("POST", "/actions/request-collection", body, 201)
    assert done["state"] == "requested"
    assert len(done["issued"]) == 3
    await town.street.deliver()

    (waiting,) = await collector("GET", "/exchanges?ours=true")
    assert waiting["thread"] == done["thread"]
    assert waiting["peer"]["name"] == "Sakura Recycling"
    quote = {"to": done["thread"], "price_jpy": 31000, "valid_until": "2999-01-31"}
    assert (await collector("POST", "/actions/quote-collection", quote, 201))["state"] == "quoted"
    await town.street.deliver()

    story = await dismantler("GET", f"/exchanges/{done['thread']}")
    assert [message["kind"] for message in story["messages"]] == ["request", "quote"]
    assert [action["name"] for action in story["actions"]] == ["accept-quote", "withdraw-request"]
    assert story["messages"][0]["delivery"] == "taken"
    await dismantler("POST", "/actions/accept-quote", {"to": done["thread"]}, 201)


async def test_the_same_key_does_it_once(dismantler: Program, town: Town) -> None:
    body = REQUEST | {"to": town.to_collector}
    first = await dismantler("POST", "/actions/request-collection", body, 201, Idempotency_Key="a")
    again = await dismantler("POST", "/actions/request-collection", body, 201, Idempotency_Key="a")
    other = await dismantler("POST", "/actions/request-collection", body, 201, Idempotency_Key="b")
    assert first["thread"] == again["thread"] != other["thread"]
    assert len(await dismantler("GET", "/exchanges?protocol=collection/1.0")) == 2


async def test_wrong_fields_are_named(dismantler: Program, town: Town) -> None:
    body = REQUEST | {"to": town.to_collector, "odometer_km": -1, "pack": "P"}
    problem = await dismantler("POST", "/actions/request-collection", body, 422, Accept_Language="ja")
    assert problem["type"].endswith("/problems/malformed")
    assert problem["title"] == "入力内容をご確認ください"
    assert set(problem["fields"]) == {"odometer_km", "pack"}
    assert problem["fields"]["odometer_km"] == "0 以上にしてください"


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/actions/fly", {}, 404, "unknown"),
        ("/actions/accept-quote", {"to": "nowhere"}, 404, "unknown"),
        ("/actions/request-collection", REQUEST | {"to": "nobody"}, 404, "unknown"),
        ("/actions/request-collection", REQUEST | {"to": "Battery Office"}, 403, "forbidden"),
    ],
)
async def test_each_fault_has_its_status(
    dismantler: Program, path: str, body: Any, status: int, code: str
) -> None:
    assert (await dismantler("POST", path, body, status))["code"] == code


async def test_what_comes_out_of_step_is_told(dismantler: Program, town: Town) -> None:
    thread = await town.request()
    problem = await dismantler("POST", "/actions/accept-quote", {"to": thread}, 409)
    assert problem["code"] == "out-of-step"


async def test_an_item_tells_its_life(dismantler: Program, town: Town) -> None:
    pack = mint("pack")
    await town.dismantler.do("request-collection", town.to_collector, **REQUEST, pack=pack)
    (found,) = await dismantler("GET", f"/items?kind=pack&text={pack[:5].lower()}")
    assert found["code"] == pack
    story = await dismantler("GET", f"/items/{pack}")
    assert [event["what"] for event in story["events"]] == ["registered", "requested"]
    assert {one["type"] for one in story["credentials"]} == {"ItemIdentity", "VehicleHistory"}
    assert all(one["verified"] for one in story["credentials"])
    (dealing,) = story["dealings"]
    assert dealing["about"] == pack
    traced = await dismantler("GET", f"/items/{pack}/trace")
    assert traced["code"] == pack
    assert [link["kind"] for link in traced["chain"]] == ["vehicle", "pack"]
    await dismantler("GET", f"/items/{mint('pack')}", status=404)
    await dismantler("GET", "/items/nonsense", status=422)
    await dismantler("GET", "/items?limit=0", status=422)
    await dismantler("GET", "/items?limit=5&limit=6", status=422)

    sealed = await dismantler("GET", f"/credentials/{story['credentials'][0]['id']}")
    assert (await dismantler("POST", "/verify", sealed["document"]))["verified"]
    forged = sealed["document"] | {"validFrom": "2020-01-01T00:00:00Z"}
    report = await dismantler("POST", "/verify", forged)
    assert not report["verified"]
    assert "proof.signature" in {check["name"] for check in report["checks"] if not check["passed"]}
    assert not (await dismantler("POST", "/verify", {"x": 1}))["verified"]


async def test_a_file_goes_in_and_comes_out(dismantler: Program) -> None:
    data = b"%PDF-1.7 " + bytes(range(256)) * 5000
    headers = {"Authorization": f"Bearer {dismantler.token}", "Content-Type": "application/pdf"}
    client = dismantler.browser.client
    url = f"{API}/evidence?name=a.pdf"
    async with client.post(url, data=data, headers=headers) as answer:
        assert answer.status == 201
        found = await answer.json()
    digest = sha256(data).hexdigest()
    assert found == {
        "digest": digest,
        "name": "a.pdf",
        "media_type": "application/pdf",
        "size": len(data),
        "state": "held",
    }
    part = headers | {"Range": "bytes=10-19"}
    async with client.get(f"{API}/evidence/{digest}", headers=part) as answer:
        assert answer.status == 206
        assert await answer.read() == data[10:20]
    await dismantler("GET", "/evidence/../secrets", status=404)


async def test_a_file_that_is_too_large_is_refused(
    dismantler: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.web.gate.MOST_FILE_BYTES", 1000)
    headers = {"Authorization": f"Bearer {dismantler.token}"}
    async with dismantler.browser.client.post(f"{API}/evidence", data=b"x" * 1001, headers=headers) as answer:
        assert answer.status == 413
        assert answer.content_type == "application/problem+json"


async def test_a_blob_is_served_in_parts_to_who_knows_its_name(town: Town) -> None:
    stored = town.dismantler.vault.put(b"x" * 200_000)
    blob = town.dismantler.vault.seal_blob(stored.digest)
    async with browsing(town.dismantler) as browser:
        async with browser.client.get(f"/blobs/{blob.id}", headers={"Range": "bytes=100-"}) as answer:
            assert answer.status == 206
            sealed = await answer.read()
        assert sealed == town.dismantler.vault.blob(blob.id).read_bytes()[100:]
        await browser.get("/blobs/" + "A" * 32, 404)
        await browser.get("/blobs/..%2fbooks.db", 404)


async def test_dead_letters_are_tried_again(dismantler: Program, town: Town) -> None:
    del town.street.wires["dismantler", town.to_collector]
    thread = await town.request()

    def bury(desk: Any) -> None:
        (letter,) = desk.letters(thread)
        desk.settle(town.to_collector, (letter.id,), "dead", "nobody answers")

    await town.dismantler.store.write(bury)
    (letter,) = await dismantler("GET", "/dead-letters")
    assert letter["kind"] == "request"
    assert letter["peer"]["name"] == "Minato Collection"
    await dismantler("POST", f"/dead-letters/{letter['peer']['id']}/{letter['id']}/retry", status=204)
    assert await dismantler("GET", "/dead-letters") == []
    await dismantler("POST", "/dead-letters/x/y/retry", status=404)


async def test_who_asks_is_told_who_they_are(dismantler: Program, town: Town) -> None:
    assert (await dismantler("GET", "/company"))["standing"] == "accredited"
    assert (await dismantler("GET", "/session"))["user"] == "chief"
    town.dismantler.breakers[town.to_collector] = "open"
    peers = {peer["name"]: peer for peer in await dismantler("GET", "/peers")}
    assert peers["Minato Collection"]["breaker"] == "open"
    members = {member["name"]: member for member in await dismantler("GET", "/members")}
    assert members["Sakura Recycling"]["us"]
    assert members["Minato Collection"]["peer"]["standing"] == "accredited"
    assert await dismantler("GET", "/jobs") == []
    await dismantler("GET", "/jobs/none", status=404)


async def test_users_and_tokens_are_managed(dismantler: Program) -> None:
    link = await dismantler("POST", "/users", {"name": "Clerk", "rank": "operator"}, 201)
    assert link["url"].startswith("http://127.0.0.1:8032/welcome/")
    await dismantler("PATCH", "/users/clerk", {"rank": "manager"}, 204)
    users = {user["name"]: user for user in await dismantler("GET", "/users")}
    assert (users["clerk"]["rank"], users["clerk"]["has_password"]) == ("manager", False)
    assert "secret" not in json.dumps(users)
    await dismantler("DELETE", "/users/clerk", status=204)
    await dismantler("DELETE", "/users/chief", status=409)
    made = await dismantler("POST", "/tokens", {"label": "x"}, 201)
    assert made["token"].startswith("meguri_")
    found = {token["label"]: token["id"] for token in await dismantler("GET", "/tokens")}
    await dismantler("DELETE", f"/tokens/{found['x']}", status=204)
    assert (await dismantler("POST", "/invitations", status=201))["url"].startswith("https://")
    await dismantler("POST", "/invitations/accept", {"url": "nonsense"}, 422)
    await dismantler("DELETE", "/session", status=204)
    await dismantler("GET", "/company", status=401)


async def openapi(house: House, browser: Browser) -> dict[str, Any]:
    found: dict[str, Any] = document(house.context(), house.name)
    token = (await program(house, browser)).token
    async with browser.client.get("/openapi.json", headers={"Authorization": f"Bearer {token}"}) as answer:
        assert await answer.json() == json.loads(json.dumps(found))
    return found


async def test_the_document_is_valid_and_lists_every_action(town: Town) -> None:
    async with browsing(town.collector) as browser:
        found = await openapi(town.collector, browser)
    OpenAPIV31SpecValidator(found).validate()
    for schema in found["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for action in town.collector.agent.play.actions.values():
        operation = found["paths"][f"{API}/actions/{action.name}"]["post"]
        assert operation["summary"] == action.title
    for one in ROUTES:
        assert one.method.lower() in found["paths"][API + one.path]
    ids = [operation["operationId"] for path in found["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids))


async def test_every_role_has_a_valid_document(town: Town) -> None:
    for role in set(ROLES) - {"collector", "dismantler", "governance-authority"}:
        house = town.street.open(role, role)
        OpenAPIV31SpecValidator(document(house.context(), role)).validate()


async def test_answers_are_as_the_document_says(dismantler: Program, town: Town) -> None:
    thread = await town.request()
    found = document(town.dismantler.context(), "x")
    (pack,) = await dismantler("GET", "/items?kind=pack")
    for path in (
        "/company", "/members", "/peers", "/exchanges", f"/exchanges/{thread}", "/actions", "/items",
        f"/items/{pack['code']}", "/dead-letters", "/jobs", "/users", "/tokens", "/session",
    ):  # fmt: skip
        template = path.replace(thread, "{thread}").replace(pack["code"], "{code}")
        answer = found["paths"][API + template]["get"]["responses"]["200"]
        schema = answer["content"]["application/json"]["schema"] | {"components": found["components"]}
        Draft202012Validator(schema).validate(await dismantler("GET", path))
