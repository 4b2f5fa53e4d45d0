"""The framework and the vocabulary, for everyone; and what registries are asked."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from agents.accounts import Hurried
from agents.web.gate import Pace
from agents.web.trqp import MOST_BYTES
from credentials.resolution import KeyResolver
from credentials.seals import verify
from governance.framework import FRAMEWORK
from schemas import terms
from schemas.claims import CLAIMS
from tests.agents.texts import ROOT

from .world import House, Street, admit, browsing

SCHEMAS = ROOT.parent / "shared" / "reference" / "trqp"
JSON = {"Accept": "application/json"}


@pytest.fixture
async def houses(street: Street) -> tuple[House, House]:
    authority = street.open("Battery Office", "governance-authority")
    collector = street.open("Minato", "collector")
    await admit(authority, collector)
    await collector.keep_user("chief")
    return authority, collector


async def put(authority: House, version: int, **changed: Any) -> None:
    rules = json.loads(json.dumps(dict(FRAMEWORK.document))) | {"version": version} | changed
    today = datetime.now(UTC) + timedelta(hours=9)
    await authority.do("put-framework-in-force", rules=json.dumps(rules), holds_from=str(today.date()))


# Pages


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_anybody_reads_the_rules_in_their_language(houses: tuple[House, House], language: str) -> None:
    for house in houses:
        async with browsing(house, language=language) as browser:
            page = await browser.get("/framework")
            for text in (
                *FRAMEWORK.rules.roles.values(),
                *(one.title for one in FRAMEWORK.rules.contracts.values()),
                FRAMEWORK.rules.legal.court,
            ):
                assert getattr(text, language) in page
            assert ("signed by the authority" if language == "en" else "署名") in page


async def test_each_version_has_its_page_and_the_present_one_is_shown_first(
    houses: tuple[House, House],
) -> None:
    authority, collector = houses
    await put(authority, 2, fees=[])
    async with browsing(collector) as browser:
        page = await browser.get("/framework")
        assert "Meguri governance framework 2" in page
        assert "Fees" not in page
        assert "Fees" in await browser.get("/framework?version=1")
        async with browser.client.get("/framework?version=3") as answer:
            assert answer.status == 404
        async with browser.client.get("/framework?at=tomorrow") as answer:
            assert answer.status == 422


async def test_programs_get_the_rules_as_the_authority_sealed_them(houses: tuple[House, House]) -> None:
    authority, collector = houses
    async with browsing(collector) as browser:
        async with browser.client.get("/framework", headers={"Accept": "application/vc"}) as answer:
            assert answer.content_type == "application/vc"
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            document = await answer.json(content_type=None)
        report = verify(document, KeyResolver(), now=datetime.now(UTC))
        assert report.verified
        assert document["issuer"] == authority.agent.signer.did
        assert document["credentialSubject"]["id"] == f"{authority.agent.signer.did}/framework"
        async with browser.client.get("/framework", headers=JSON) as answer:
            told = await answer.json()
        assert told["rules"] == document["credentialSubject"]["rules"]
        assert told["in_force"]
        assert told["digest"] == FRAMEWORK.digest


async def test_before_anything_is_signed_the_bundled_rules_are_shown_and_said_to_be_so(
    street: Street,
) -> None:
    alone = street.open("Kita", "dismantler")
    async with browsing(alone) as browser:
        assert "comes with the software" in await browser.get("/framework")
        async with browser.client.get("/framework", headers={"Accept": "application/vc"}) as answer:
            assert answer.status == 404


@pytest.mark.parametrize("language", ["en", "ja"])
async def test_the_vocabulary_is_read_in_both_languages(houses: tuple[House, House], language: str) -> None:
    async with browsing(houses[1], language=language) as browser:
        page = await browser.get("/terms")
        assert f'lang="{language}"' in page
        for word in terms.words():
            assert f'id="{word.name}"' in page
            assert word.means.ja in page
        for name in CLAIMS:
            assert f'id="{name}"' in page


async def test_what_stands_under_a_digest_never_changes(houses: tuple[House, House]) -> None:
    async with browsing(houses[1]) as browser:
        for name, text in terms.files().items():
            async with browser.client.get(f"/terms/v1/{name}") as answer:
                assert await answer.read() == text
                assert sha256(text).hexdigest() in answer.headers["ETag"]
                assert "immutable" in answer.headers["Cache-Control"]
                assert answer.headers["Access-Control-Allow-Origin"] == "*"
                kind = "application/ld+json" if name.endswith("ld") else "application/schema+json"
                assert answer.content_type == kind
        async with browser.client.get("/terms/v1/context.00.jsonld") as answer:
            assert answer.status == 404
        async with browser.client.get("/terms", headers={"Accept": "application/ld+json"}) as answer:
            assert await answer.json(content_type=None) == terms.vocabulary()


# The Trust Registry Query Protocol


async def ask(house: House, query: str, **question: Any) -> tuple[int, dict[str, Any]]:
    async with browsing(house) as browser, browser.client.post(f"/{query}", json=question) as answer:
        found: dict[str, Any] = await answer.json(content_type=None)
        return answer.status, found


def question(houses: tuple[House, House], action: str, resource: str, **more: Any) -> dict[str, Any]:
    authority, collector = houses
    return {
        "entity_id": collector.agent.signer.did,
        "authority_id": authority.agent.signer.did,
        "action": action,
        "resource": resource,
    } | more


def fits(name: str, document: dict[str, Any]) -> None:
    """Hold a document against the protocol's own schema, where it is at hand."""
    path: Path = SCHEMAS / f"trqp_{name}.schema.json"
    if not path.exists():
        pytest.skip("the schemas of the protocol are not at hand")
    Draft202012Validator(json.loads(path.read_text("utf-8"))).validate(document)


@pytest.mark.parametrize(
    ("action", "resource", "context", "yes"),
    [
        ("issue", "DiagnosisResult", {}, True),
        ("issue", "Accreditation", {}, False),
        ("issue", "Gossip", {}, False),
        ("act-as", "collector", {}, True),
        ("act-as", "recycler", {}, False),
        ("take-side", "delivery/1.0/supplier", {}, True),
        ("take-side", "audit/1.0/authority", {}, False),
        ("take-side", "/", {}, False),
        ("see", "TechnicalData", {}, True),
        ("see", "VehicleHistory.findings", {}, False),
        ("see", "VehicleHistory.findings", {"purpose": "safety", "contract": "safe-handling"}, True),
        ("steal", "everything", {}, False),
    ],
)
async def test_what_a_member_may_do_is_answered_from_the_framework(
    houses: tuple[House, House], action: str, resource: str, context: dict[str, str], yes: bool
) -> None:
    asked = question(houses, action, resource, context=context)
    fits("authorization_request", asked)
    status, told = await ask(houses[0], "authorization", **asked)
    assert (status, told["authorized"]) == (200, yes)
    assert told["message"]
    assert {name: told[name] for name in asked if asked[name]} == {n: v for n, v in asked.items() if v}
    fits("authorization_response", told)


async def test_standing_and_time_count(houses: tuple[House, House]) -> None:
    authority, collector = houses
    admitted = datetime.now(UTC)
    (dealing,) = await authority.store.read(lambda desk: desk.dealings("membership/1.0"))
    await authority.do("suspend", dealing.thread, reason="audit overdue")

    async def at(when: datetime | None) -> bool:
        context = {"time": when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")} if when else {}
        asked = question(houses, "issue", "DiagnosisResult", context=context)
        status, told = await ask(authority, "authorization", **asked)
        assert status == 200
        assert ("time_requested" in told) is bool(when)
        fits("authorization_response", told)
        return bool(told["authorized"])

    assert not await at(None)
    assert await at(admitted)
    assert not await at(admitted - timedelta(days=1))
    assert not await at(admitted + timedelta(days=1))
    assert collector.name == "Minato"


async def test_who_is_no_member_is_not_authorised_and_the_authority_is(houses: tuple[House, House]) -> None:
    asked = question(houses, "issue", "DiagnosisResult", entity_id="did:key:stranger")
    assert not (await ask(houses[0], "authorization", **asked))[1]["authorized"]
    asked = question(houses, "issue", "Accreditation", entity_id=houses[0].agent.signer.did)
    assert (await ask(houses[0], "authorization", **asked))[1]["authorized"]


async def test_other_authorities_are_recognised_where_the_framework_says_so(
    houses: tuple[House, House],
) -> None:
    authority, _ = houses
    other = "did:web:other.example"
    asked = question(houses, "issue", "DiagnosisResult", entity_id=other)
    fits("recognition_request", asked)
    assert not (await ask(authority, "recognition", **asked))[1]["recognized"]
    recognised = [{"did": other, "actions": ["issue"], "resources": ["DiagnosisResult"]}]
    await put(authority, 2, recognised=recognised)
    status, told = await ask(authority, "recognition", **asked)
    assert (status, told["recognized"]) == (200, True)
    fits("recognition_response", told)
    more = asked | {"resource": "Accreditation"}
    assert not (await ask(authority, "recognition", **more))[1]["recognized"]
    own = asked | {"entity_id": authority.agent.signer.did}
    assert (await ask(authority, "recognition", **own))[1]["recognized"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b'{"entity_id": "a", "entity_id": "b"}', 400),
        (b'{"entity_id": "did:key:a"}', 400),
        (b'{"entity_id": "a", "authority_id": "b", "action": 3, "resource": "r"}', 400),
        (
            b'{"entity_id": "a", "authority_id": "b", "action": "a", "resource": "r",'
            b' "context": {"time": "now"}}',
            400,
        ),
        (
            b'{"entity_id": "a", "authority_id": "b", "action": "a", "resource": "r",'
            b' "context": {"time": "2026-04-01T09:00:00+09:00"}}',
            400,
        ),
        (b'{"entity_id": "a", "authority_id": "b", "action": "a", "resource": "r"}', 404),
        (b'"' + b"x" * MOST_BYTES + b'"', 413),
    ],
)
async def test_a_question_that_is_none_is_refused_as_a_problem(
    houses: tuple[House, House], body: bytes, status: int
) -> None:
    async with browsing(houses[0]) as browser:
        for query in ("authorization", "recognition"):
            async with browser.client.post(f"/{query}", data=body) as answer:
                assert answer.status == status
                assert answer.content_type == "application/problem+json"
                assert (await answer.json(content_type=None))["detail"]


async def test_only_the_authority_answers_for_the_registry(houses: tuple[House, House]) -> None:
    async with browsing(houses[1]) as browser, browser.client.post("/authorization", json={}) as answer:
        assert answer.status in {404, 405}


async def test_a_question_leaves_nothing_behind(houses: tuple[House, House]) -> None:
    authority, _ = houses
    before = await authority.store.read(lambda desk: desk.tally())
    await ask(authority, "authorization", **question(houses, "issue", "DiagnosisResult"))
    assert await authority.store.read(lambda desk: desk.tally()) == before


def test_a_network_that_asks_too_much_waits() -> None:
    now = [0.0]
    pace = Pace(3, lambda: now[0])
    for _ in range(3):
        pace.count("192.0.2.1")
    with pytest.raises(Hurried) as hurried:
        pace.count("192.0.2.1")
    assert hurried.value.seconds == 60
    pace.count("192.0.2.2")
    now[0] = 61
    pace.count("192.0.2.1")
