"""VC-API: what is asked of it by programs that know nothing of us, and what it refuses."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from agents import accounts
from agents.role import Rank
from agents.web import site
from agents.web.vcapi import MOST_A_MINUTE, contexts
from credentials import integrity, jwt, rdf
from credentials.form import V2
from credentials.keys import LocalSigner
from credentials.resolution import KeyResolver
from credentials.vc import credential, presentation
from schemas.errors import Invalid
from tests.agents.web.world import House, Street

STRANGER = LocalSigner.from_seed(b"s" * 32)
EXAMPLES = "https://www.w3.org/ns/credentials/examples/v2"


@pytest.fixture
async def house(street: Street) -> House:
    house = street.open("Minato", "collector")
    await house.keep_user("chief", "admin")
    await house.keep_user("worker", "operator")
    return house


@asynccontextmanager
async def programs(
    house: House, vc_api: str = "loopback", user: str = ""
) -> AsyncIterator[TestClient[Any, Any]]:
    """A program at a house's site, perhaps with a user's token."""
    headers = {}
    if user:
        rank: Rank = "admin" if user == "chief" else "operator"
        token = await accounts._keep_token(house.store, user, "test", rank, timedelta(hours=1))
        headers["Authorization"] = f"Bearer {token}"
    app = site(replace(house.context(), vc_api=vc_api))
    async with TestClient(TestServer(app), headers=headers) as client:
        yield client


async def told(client: TestClient[Any, Any], path: str, body: Any, **more: Any) -> tuple[int, Any]:
    async with client.post(path, json=body, **more) as answer:
        text = await answer.text()
        return answer.status, json.loads(text) if answer.content_type.endswith("json") else text


def plain(**change: Any) -> dict[str, Any]:
    return {
        "@context": [V2],
        "type": ["VerifiableCredential"],
        "credentialSubject": {"id": "did:example:cell", "name": "Cell"},
    } | change


async def test_what_is_issued_verifies_here_and_anywhere(house: House) -> None:
    async with programs(house) as client:
        status, sealed = await told(client, "/credentials/issue", {"credential": plain(), "options": {}})
        assert (status, sealed["issuer"]) == (201, house.did)
        assert sealed["proof"]["cryptosuite"] == "eddsa-jcs-2022"
        now = await house.store.read(lambda desk: desk.now)
        assert integrity.verify(sealed, KeyResolver(), now=now).verified
        status, report = await told(client, "/credentials/verify", {"verifiableCredential": sealed})
        assert (status, report["verified"], report["errors"]) == (200, True, [])
        sealed["credentialSubject"]["name"] = "Other"
        status, report = await told(client, "/credentials/verify", {"verifiableCredential": sealed})
        assert (status, report["verified"]) == (400, False)
        assert report["type"] == "https://w3id.org/security#PROOF_VERIFICATION_ERROR"


async def test_a_token_comes_in_an_envelope(house: House) -> None:
    async with programs(house) as client:
        body = {"credential": plain(), "options": {"mediaType": "application/vc+jwt"}}
        status, sealed = await told(client, "/credentials/issue", body)
        assert (status, sealed["type"]) == (201, "EnvelopedVerifiableCredential")
        status, report = await told(client, "/credentials/verify", {"verifiableCredential": sealed})
        assert (status, report["verified"]) == (200, True)
        body["options"]["mediaType"] = "text/plain"
        assert (await told(client, "/credentials/issue", body))[0] == 422


async def test_a_credential_may_be_given_a_status(house: House) -> None:
    async with programs(house) as client:
        body = {"credential": plain(), "options": {"credentialStatus": True}}
        status, sealed = await told(client, "/credentials/issue", body)
        purposes = {one["statusPurpose"] for one in sealed["credentialStatus"]}
        assert (status, purposes) == (201, {"revocation", "suspension"})
        path = sealed["credentialStatus"][0]["statusListCredential"].removeprefix(house.agent.site)
        wanted = {"application/ld+json, application/json": "application/ld+json", "*/*": "application/vc"}
        for accept, given in wanted.items():
            async with client.get(path, headers={"Accept": accept}) as answer:
                assert (answer.status, answer.content_type) == (200, given)
        _, bare = await told(client, "/credentials/issue", {"credential": plain()})
        assert "credentialStatus" not in bare


async def test_a_presentation_answers_its_challenge(house: House) -> None:
    now = await house.store.read(lambda desk: desk.now)
    inner = integrity.seal(
        credential(STRANGER.did, [], {"soh": 1}, id="urn:uuid:1", valid_from=now), STRANGER, created=now
    )
    asked = {"challenge": "n-1", "domain": "us"}
    shown = presentation(STRANGER.did, [inner])
    bare = {name: value for name, value in shown.items() if name != "holder"}
    async with programs(house) as client:
        for sealed in (
            integrity.seal(shown, STRANGER, created=now, purpose="authentication", **asked),  # type: ignore[arg-type]
            integrity.seal(bare, STRANGER, created=now, purpose="authentication", **asked),  # type: ignore[arg-type]
            {
                "@context": V2,
                "type": "EnvelopedVerifiablePresentation",
                "id": f"data:application/vp+jwt,{jwt.seal(shown, STRANGER, created=now, **asked)}",  # type: ignore[arg-type]
            },
        ):
            body = {"verifiablePresentation": sealed, "options": asked}
            status, report = await told(client, "/presentations/verify", body)
            assert (status, report["verified"]) == (200, True), report
            body["options"] = asked | {"challenge": "n-2"}
            assert (await told(client, "/presentations/verify", body))[0] == 400
        assert (await told(client, "/presentations/verify", {"verifiablePresentation": inner}))[0] == 422
        assert (await told(client, "/presentations/verify", {"verifiablePresentation": 1}))[0] == 422
        odd = {"verifiablePresentation": inner, "options": {"challenge": 1}}
        assert (await told(client, "/presentations/verify", odd))[0] == 422


async def test_who_has_things_verified_from_elsewhere_without_end_waits(house: House) -> None:
    async with programs(house) as client:
        elsewhere = {"Host": "agent.example"}
        for expected in [422] * MOST_A_MINUTE + [429]:
            async with client.post("/credentials/verify", json={}, headers=elsewhere) as answer:
                assert answer.status == expected
        assert answer.content_type == "application/problem+json"
        assert (await told(client, "/credentials/verify", {}))[0] == 422


async def test_it_is_off_unless_configured(house: House) -> None:
    async with programs(house, "off") as client:
        for path in ("/credentials/issue", "/credentials/verify", "/presentations/verify"):
            assert (await told(client, path, {}))[0] in (404, 405)


async def test_only_an_administrator_has_things_issued_unless_all_here_may(house: House) -> None:
    body = {"credential": plain()}
    async with programs(house, "on") as client:
        assert (await told(client, "/credentials/issue", body))[0] == 401
        assert (await told(client, "/credentials/verify", {"verifiableCredential": {}}))[0] == 422
    async with programs(house, "on", "worker") as client:
        assert (await told(client, "/credentials/issue", body))[0] == 403
    async with programs(house, "on", "chief") as client:
        assert (await told(client, "/credentials/issue", body))[0] == 201
    async with programs(house, "loopback") as client:
        assert (await told(client, "/credentials/issue", body))[0] == 201
        foreign = {"Host": "meguri.example"}
        assert (await told(client, "/credentials/issue", body, headers=foreign))[0] == 401
        site_ = {"Sec-Fetch-Site": "cross-site"}
        assert (await told(client, "/credentials/issue", body, headers=site_))[0] == 403


MAPPED = {"Cell": "https://example.org/Cell"}
RESOURCE = {"id": V2, "digestSRI": "sha256-WZVc7WaX1h4D8rJVb+vlMIqxaEKEb1tYbX8fet7JJzQ="}


@pytest.mark.parametrize(
    "change",
    [
        {"type": ["VerifiableCredential", "Cell"], "@context": [V2, MAPPED]},
        {"type": ["VerifiableCredential", "Cell"], "@context": [V2, EXAMPLES]},
        {"name": {"@value": "セル", "@language": "ja"}},
        {"termsOfUse": {"type": "https://example.org/Terms"}},
        {"relatedResource": RESOURCE},
        {"credentialSchema": {"id": "https://example.org/schema", "type": "JsonSchema"}},
    ],
)
async def test_whatever_is_well_said_is_sealed(house: House, change: dict[str, Any]) -> None:
    async with programs(house) as client:
        status, sealed = await told(client, "/credentials/issue", {"credential": plain(**change)})
        assert status == 201, sealed


@pytest.mark.parametrize(
    "change",
    [
        {"@context": ["https://www.w3.org/2018/credentials/v1"]},
        {"@context": [V2, "https://nowhere.example/context"]},
        {"@context": [V2, {"VerifiableCredential": "https://example.org/other"}]},
        {"@context": [V2, {"Cell": "https ://no"}], "type": ["VerifiableCredential", "Cell"]},
        {"type": ["VerifiableCredential", "Cell"], "@context": [V2, {"@vocab": None}]},
        {"type": "Cell"},
        {"statusEntry": {"type": "BitstringStatusListEntry"}},
        {"credentialStatus": {"type": "BitstringStatusListEntry", "statusListIndex": True}},
        {"issuer": STRANGER.did},
        {"issuer": None},
        {"credentialSubject": {}},
        {"proof": {"type": "DataIntegrityProof"}},
        {"validFrom": "yesterday"},
        {"name": {"@value": "セル", "url": "x"}},
        {"issuer": {"id": "?", "name": 1}},
        {"termsOfUse": {"id": "https://example.org/x"}},
        {"evidence": [{}]},
        {"credentialSchema": {"type": "JsonSchema"}},
        {"relatedResource": [V2]},
        {"relatedResource": {"id": V2}},
        {"relatedResource": [RESOURCE, RESOURCE]},
        {"relatedResource": {"id": V2, "digestMultibase": "uAAAA"}},
        {"relatedResource": {"digestMultibase": "uAAAA"}},
    ],
)
async def test_nothing_malformed_is_sealed(house: House, change: dict[str, Any]) -> None:
    async with programs(house) as client:
        status, answer = await told(client, "/credentials/issue", {"credential": plain(**change)})
        assert status in (400, 403, 422), json.dumps(answer)
        assert answer["detail"]


@pytest.mark.parametrize("body", [[], {}, {"credential": []}, {"credential": {}, "options": 1}])
async def test_what_is_no_request_is_told_so(house: House, body: Any) -> None:
    async with programs(house) as client:
        status, answer = await told(client, "/credentials/issue", body)
        assert status in (400, 422)
        assert answer["detail"]


def test_what_a_document_defines_itself_means_something() -> None:
    rdf.meaningful(plain(**{"@context": [V2, MAPPED], "type": ["VerifiableCredential", "Cell"]}), contexts())
    with pytest.raises(Invalid, match="no meaning"):
        rdf.meaningful(plain(colour="red"), contexts())
