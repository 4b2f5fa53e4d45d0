"""What is shown on request: to whom it may be, under the contract named, field by field, and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import bound
from agents.lookup import Known
from agents.ports import Desk
from agents.role import Held
from agents.roles.disclosures import NAMING, check_terms, permitted, share
from credentials import envelope, integrity, jwt, sdjwt
from credentials.keys import LocalSigner
from credentials.resolution import DidDocument, KeyResolver
from credentials.seals import verify
from credentials.vc import presentation
from governance.framework import FRAMEWORK, framework_of
from protocols.disclosure import DISCLOSURE, Ask
from schemas.claims import CLAIMS
from schemas.errors import Forbidden, Misstep, Unknown
from tests.scenarios.town import (
    AUTHORITY,
    COLLECTOR,
    DISMANTLER,
    RECYCLER,
    REUSE_MANUFACTURER,
    Town,
    collect,
    parcel,
    town,
    words_of,
)

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[Town, str]:
    """A pack that was collected: the dismantler has stated its history, the collector holds that."""

    async def play() -> tuple[Town, str]:
        folder = tmp_path_factory.mktemp("played")
        async with town(folder, DISMANTLER, COLLECTOR, REUSE_MANUFACTURER, RECYCLER) as made:
            await made.introduce(DISMANTLER, REUSE_MANUFACTURER)
            _, pack = await collect(made)
            return made, pack

    return asyncio.run(play())


@dataclass
class Scene:
    """A town of one's own, and the pack in it."""

    town: Town
    pack: str

    async def ask(self, asker: str = COLLECTOR, holder: str = DISMANTLER, **form: Any) -> str:
        form = {"item": self.pack, "purpose": "purchase"} | form
        return (await self.town.do(asker, "ask-disclosure", holder, **form)).thread

    async def answered(self, asker: str = COLLECTOR, holder: str = DISMANTLER, **form: Any) -> str:
        thread = await self.ask(asker, holder, **form)
        await self.town.do(holder, "answer-disclosure", thread)
        return thread

    async def asked(self, thread: str, who: str = COLLECTOR) -> Ask:
        return (await self.town.exchange(who, thread)).last(Ask)

    async def shown(self, thread: str, who: str = COLLECTOR) -> list[Held]:
        def work(desk: Desk) -> list[Held]:
            ids = [id for letter in desk.letters(thread) for id in letter.credentials]
            return [held for id in ids if (held := desk.credential(id)) and held.type != "Accreditation"]

        return await self.town.read(who, work)

    async def refused(self, ask: Ask, thread: str, asker: str = COLLECTOR, holder: str = DISMANTLER) -> str:
        """Hand a question over, in a new exchange; return why it is refused, or nothing."""
        message = parcel(DISCLOSURE, "ask", ask.model_dump(mode="json"), thread=thread)
        return await self.give(asker, holder, message)

    async def give(self, sender: str, to: str, message: Any) -> str:
        peers = await self.town.read(to, lambda desk: desk.peers())
        (peer,) = [peer.id for peer in peers if peer.name == sender]
        (verdict,) = await self.town.give(to, peer, message)
        return "" if verdict.taken else words_of(verdict)

    async def accreditation(self, who: str) -> Held:
        did = self.town.keys[who].did
        return (await self.town.read(who, lambda desk: desk.credentials(did, "Accreditation")))[-1]

    def question(self, **change: Any) -> Ask:
        contract = str(change.get("contract", "purchase-assessment"))
        known = contract in FRAMEWORK.rules.contracts
        terms = FRAMEWORK.terms(contract) if known else ""
        return Ask(
            **({"item": self.pack, "purpose": "purchase", "contract": contract, "terms": terms} | change)
        )

    def presented(
        self, ask: Ask, thread: str, *documents: Any, who: str = COLLECTOR, to: str = DISMANTLER
    ) -> Ask:
        key = self.town.keys[who]
        payload = presentation(key.did, list(documents))
        asked: Any = {"challenge": ask.question(thread), "domain": self.town.keys[to].did}
        return ask.model_copy(update={"presentation": jwt.seal(payload, key, created=NOW, **asked)})


@pytest.fixture
async def scene(played: tuple[Town, str], tmp_path: Path) -> AsyncIterator[Scene]:
    made, pack = played
    again = made.copy(tmp_path)
    yield Scene(again, pack)
    again.close()


# Laws


@given(
    st.sampled_from([*FRAMEWORK.roles]),
    st.sampled_from([*CLAIMS]),
    st.sampled_from([*FRAMEWORK.rules.purposes]),
    st.sampled_from([*FRAMEWORK.rules.contracts, ""]),
)
def test_nothing_private_and_nothing_beyond_the_contract_is_permitted(
    role: str, claim_type: str, purpose: Any, contract: str
) -> None:
    fields = {"id": "urn:uuid:1"} | dict.fromkeys(CLAIMS[claim_type].model_fields, "x")
    held = Held("urn:uuid:1", claim_type, "P3F9KQ27MH-5", "did:x", NOW, "", {"credentialSubject": fields})
    asked = Ask(item="P3F9KQ27MH-5", purpose=purpose, contract=contract)
    for name in set(permitted(FRAMEWORK, asked, [role], held)) - NAMING:
        assert FRAMEWORK.opening(claim_type, name) != "private"
        assert FRAMEWORK.may_see(role, claim_type, name, purpose, contract)
    assert permitted(FRAMEWORK, asked, [], held) == tuple(name for name in fields if name in NAMING)


async def test_the_asker_is_shown_what_its_contract_permits_sealed_for_its_key(scene: Scene) -> None:
    t = scene.town
    before = await t.read(COLLECTOR, lambda desk: desk.credentials(scene.pack))
    thread = await scene.answered(claim_types=["VehicleHistory"])
    assert await t.states(thread, COLLECTOR, DISMANTLER) == {"disclosed-in-part"}
    (held,) = await scene.shown(thread)
    (kept,) = await scene.shown(thread, DISMANTLER)
    assert held.document == kept.document
    assert held.bound
    assert "chassis_digest" not in held.claim
    assert "chassis_digest" not in str(envelope.opened(held.document))
    assert held.claim["odometer_km"] == 48213
    report = await t.agents[COLLECTOR].lookup.verified(held.document)
    assert report.verified, report.reason
    assert report.document
    assert report.document["termsOfUse"]["id"].endswith(FRAMEWORK.terms("purchase-assessment"))
    token, _ = envelope.opened(held.document)
    assert sdjwt.bound_key(token) == t.keys[COLLECTOR].key.public_key().public_bytes_raw()
    asked: Any = {"audience": "did:example:next", "nonce": "n"}
    now = datetime.now(UTC)  # the other tests of a long run came between it and the import
    onward = sdjwt.present(token, [], holder=t.keys[COLLECTOR], now=now, **asked)
    found = sdjwt.verify(onward, KeyResolver(), now=now, **asked)
    assert {check.name for check in found.refusals} == {"status"}  # which is not looked up here
    # It stands with its exchange: nothing else that is done with the item rests on it.
    assert await t.read(COLLECTOR, lambda desk: desk.credentials(scene.pack)) == before


async def test_it_no_longer_verifies_when_it_was_to_be_deleted(scene: Scene) -> None:
    thread = await scene.answered(claim_types=["VehicleHistory"])
    (held,) = await scene.shown(thread)
    message: Any = (await scene.town.exchange(COLLECTOR, thread)).said[-1].message
    days = FRAMEWORK.rules.contracts["purchase-assessment"].retention_days
    assert abs((message.until - NOW.date()).days - days) <= 1
    after = NOW + timedelta(days=days + 2)
    refused = verify(held.document, KeyResolver(), now=after).refusals
    assert ["It has expired" in str(check) for check in refused if check.name == "period"] == [True]


async def test_it_is_revoked_with_the_statement_that_it_is_a_part_of(scene: Scene) -> None:
    t = scene.town
    (held,) = await scene.shown(await scene.answered(claim_types=["VehicleHistory"]))
    (mine,) = await t.read(DISMANTLER, lambda desk: desk.credentials(scene.pack, "VehicleHistory"))
    await t.do(DISMANTLER, "revoke-credential", credential=mine.id, reason="another pack")
    t.ahead = timedelta(hours=2)
    assert (
        await t.agents[COLLECTOR].lookup.verified(held.document)
    ).reason == "It was revoked by its issuer."
    with pytest.raises((Unknown, Forbidden)):
        await scene.answered(claim_types=["VehicleHistory"])


async def test_what_another_issued_is_passed_on_whole_or_not_at_all(scene: Scene) -> None:
    thread = await scene.answered(REUSE_MANUFACTURER, COLLECTOR)
    shown = await scene.shown(thread, REUSE_MANUFACTURER)
    assert {(held.type, held.bound) for held in shown if held.issuer == scene.town.keys[DISMANTLER].did} == {
        ("ItemIdentity", False)
    }
    message: Any = (await scene.town.exchange(REUSE_MANUFACTURER, thread)).said[-1].message
    withheld = {one.claim_type: one.reason for one in message.withheld}
    assert withheld["VehicleHistory"] == "only its issuer can show a part of it"
    assert "contract" in withheld["HandOverReceipt"]


async def test_what_a_person_holds_back_is_held_back(scene: Scene) -> None:
    thread = await scene.ask()
    form = {"withhold": ["VehicleHistory"], "reason": "sold already"}
    await scene.town.do(DISMANTLER, "answer-disclosure", thread, **form)
    assert {held.type for held in await scene.shown(thread)} == {"ItemIdentity"}
    message: Any = (await scene.town.exchange(COLLECTOR, thread)).said[-1].message
    assert {one.claim_type: one.reason for one in message.withheld}["VehicleHistory"] == "sold already"


async def test_without_a_contract_only_what_is_public_is_shown(scene: Scene) -> None:
    # A dismantler may ask for no purchase assessment, so its question names no contract.
    thread = await scene.ask(DISMANTLER, COLLECTOR, item=scene.pack, purpose="purchase")
    ask = await scene.asked(thread, DISMANTLER)
    assert (ask.contract, ask.presentation) == ("", "")
    with pytest.raises(Forbidden, match="nothing of this may be shown"):
        await scene.town.say(COLLECTOR, "answer-disclosure", thread)
    with pytest.raises(Forbidden, match="only to who names a contract"):
        await scene.ask(DISMANTLER, COLLECTOR, claim_types=["VehicleHistory"])


# Bad questions: each refused in its own words


async def test_a_presentation_made_for_another_exchange_is_refused(scene: Scene) -> None:
    first = await scene.asked(await scene.ask())
    assert "another question, exchange or company" in await scene.refused(first, str(uuid4()))


async def test_a_presentation_made_for_another_question_is_refused(scene: Scene) -> None:
    thread = str(uuid4())
    ask = scene.presented(scene.question(), thread, (await scene.accreditation(COLLECTOR)).document)
    more = ask.model_copy(update={"note": "and all the rest"})
    assert "another question, exchange or company" in await scene.refused(more, thread)
    assert await scene.refused(ask, thread) == ""


async def test_a_presentation_made_to_another_company_is_refused(scene: Scene) -> None:
    thread = str(uuid4())
    accreditation = (await scene.accreditation(COLLECTOR)).document
    ask = scene.presented(scene.question(), thread, accreditation, to=REUSE_MANUFACTURER)
    assert "another" in await scene.refused(ask, thread)


async def test_a_presentation_by_another_company_is_refused(scene: Scene) -> None:
    thread = str(uuid4())
    accreditation = (await scene.accreditation(RECYCLER)).document
    ask = scene.presented(scene.question(), thread, accreditation, who=RECYCLER)
    assert "should be from" in await scene.refused(ask, thread)


async def test_the_accreditation_of_another_company_is_refused(scene: Scene) -> None:
    thread = str(uuid4())
    ask = scene.presented(scene.question(), thread, (await scene.accreditation(RECYCLER)).document)
    assert "something else than its accreditation" in await scene.refused(ask, thread)


async def test_an_expired_accreditation_is_refused(scene: Scene) -> None:
    thread = str(uuid4())
    document = {k: v for k, v in (await scene.accreditation(COLLECTOR)).document.items() if k != "proof"}
    document["validFrom"], document["validUntil"] = "2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z"
    old = integrity.seal(document, scene.town.keys[AUTHORITY], created=NOW)
    said = await scene.refused(scene.presented(scene.question(), thread, old), thread)
    assert said.startswith("the presentation of who asks does not hold: It has expired")


async def test_a_question_that_does_not_show_who_asks_is_refused(scene: Scene) -> None:
    assert "does not show who asks" in await scene.refused(scene.question(), str(uuid4()))
    thread = str(uuid4())
    assert "does not show who asks" in await scene.refused(scene.presented(scene.question(), thread), thread)


async def test_a_presentation_that_is_none_is_refused(scene: Scene) -> None:
    for text in ("x", "a.b.c", str((await scene.accreditation(COLLECTOR)).document)):
        ask = scene.question(presentation=text)
        assert (await scene.refused(ask, str(uuid4()))).startswith(
            "the presentation of who asks does not hold"
        )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"contract": "tea"}, "the framework has no contract “tea”"),
        ({"terms": "sha256:old"}, "of another version of the framework than the one in force"),
        ({"purpose": "recycling"}, "is not for the purpose “recycling”"),
        (
            {"contract": "audit-by-authority", "purpose": "audit"},
            "in none of its roles may the asker use the contract “audit-by-authority”",
        ),
        ({"claim_types": ("HandOverReceipt",)}, "does not permit “HandOverReceipt”"),
    ],
)
async def test_more_than_the_framework_permits_is_refused(
    scene: Scene, change: dict[str, Any], words: str
) -> None:
    thread = str(uuid4())
    accreditation = (await scene.accreditation(COLLECTOR)).document
    ask = scene.presented(scene.question(**change), thread, accreditation)
    assert words in await scene.refused(ask, thread)


@pytest.mark.parametrize(
    ("form", "fault"),
    [
        ({"contract": "tea"}, Unknown),
        ({"contract": "material-recovery"}, Forbidden),
        ({"contract": "audit-by-authority", "purpose": "audit"}, Forbidden),
        ({"claim_types": ["HandOverReceipt"]}, Forbidden),
    ],
)
async def test_nobody_asks_for_more_than_the_framework_permits(
    scene: Scene, form: dict[str, Any], fault: type[Exception]
) -> None:
    with pytest.raises(fault):
        await scene.ask(**form)


async def test_what_is_private_is_asked_for_in_vain(scene: Scene) -> None:
    rules: Any = json.loads(json.dumps(dict(FRAMEWORK.document), default=str))
    rules["claims"]["VehicleHistory"]["opening"] = "private"
    closed, us = framework_of(rules), scene.town.keys[DISMANTLER].did
    terms = closed.terms("purchase-assessment")
    asked = scene.question(terms=terms, claim_types=("VehicleHistory",), presentation="x")
    with pytest.raises(Forbidden, match="“VehicleHistory” is private: it never leaves its holder"):
        check_terms(closed, asked, [COLLECTOR])
    held = await scene.town.read(DISMANTLER, lambda desk: desk.credentials(scene.pack, "VehicleHistory")[-1])
    part = share(closed, asked, [COLLECTOR], held, us)
    assert (part.given, part.why_not) == (None, "it is private")
    assert share(FRAMEWORK, scene.question(presentation="x"), [COLLECTOR], held, us).given


async def membership(scene: Scene) -> str:
    """Return the authority's thread of the collector's membership."""

    def work(desk: Desk) -> str:
        (peer,) = [peer.id for peer in desk.peers() if peer.name == COLLECTOR]
        return next(d.thread for d in desk.dealings("membership/1.0", limit=100) if d.peer == peer)

    return await scene.town.read(AUTHORITY, work)


async def test_a_suspended_member_neither_asks_nor_is_answered(scene: Scene) -> None:
    thread = await scene.ask()
    await scene.town.do(AUTHORITY, "suspend", await membership(scene), reason="late with reports")
    with pytest.raises(Forbidden, match="no member in good standing: suspended"):
        await scene.town.say(DISMANTLER, "answer-disclosure", thread)
    with pytest.raises(Forbidden, match="suspended"):
        await scene.ask()
    fresh = str(uuid4())
    ask = scene.presented(scene.question(), fresh, (await scene.accreditation(COLLECTOR)).document)
    assert "no member in good standing: suspended" in await scene.refused(ask, fresh)


class Rotated(Known):
    """Resolves a company's DID after it gave up the key it had."""

    def __init__(self, did: str) -> None:
        self.did = did
        self.wanted = set()

    def resolve(self, did: str, /) -> DidDocument:
        found = KeyResolver().resolve(did)
        return replace(found, methods=()) if did == self.did else found


async def test_who_changed_its_key_since_has_to_ask_again(scene: Scene) -> None:
    did = scene.town.keys[COLLECTOR].did
    asked = await scene.asked(await scene.ask())
    public = scene.town.keys[COLLECTOR].key.public_key().public_bytes_raw()
    assert bound.reader_key(asked, did, Rotated(""), NOW) == public
    with pytest.raises(Misstep, match="has changed its key since"):
        bound.reader_key(asked, did, Rotated(did), NOW)


# Bad answers


async def answer(scene: Scene, thread: str, key: LocalSigner, *fields: str) -> Any:
    """An answer of the dismantler's with these fields of the pack's history, sealed for a key."""
    mine = await scene.town.read(DISMANTLER, lambda desk: desk.credentials(scene.pack, "VehicleHistory")[-1])
    document = {k: v for k, v in mine.document.items() if k != "proof"} | {"id": f"urn:uuid:{uuid4()}"}
    document["credentialSubject"] = {name: mine.claim[name] for name in ("id", "item", *fields)}
    token = sdjwt.seal(
        document,
        scene.town.keys[DISMANTLER],
        created=NOW,
        vct="urn:vct",
        hidden=[("credentialSubject", name) for name in fields],
        holder=key.key.public_key().public_bytes_raw(),
    )
    sealed = envelope.enveloped(token, bound.MEDIA_TYPE)
    return parcel(DISCLOSURE, "disclose", thread=thread, seen=1, credentials=[sealed])


async def test_an_answer_that_shows_more_than_the_contract_permits_is_refused(scene: Scene) -> None:
    thread = await scene.ask()
    message = await answer(scene, thread, scene.town.keys[COLLECTOR], "odometer_km", "chassis_digest")
    said = await scene.give(DISMANTLER, COLLECTOR, message)
    assert said.startswith("the answer shows chassis_digest of “VehicleHistory”")


async def test_an_answer_sealed_for_another_is_refused(scene: Scene) -> None:
    thread = await scene.ask()
    message = await answer(scene, thread, scene.town.keys[RECYCLER], "odometer_km")
    assert "bound to another key than ours" in await scene.give(DISMANTLER, COLLECTOR, message)


async def test_a_changed_answer_is_refused(scene: Scene) -> None:
    thread = await scene.ask()
    message = await answer(scene, thread, scene.town.keys[COLLECTOR], "odometer_km")
    first = dict(message.credentials[0])
    token = first["id"].split("~")
    first["id"] = "~".join([token[0], token[1][:-2] + "AA", ""])
    assert "does not verify" in await scene.give(
        DISMANTLER, COLLECTOR, replace(message, credentials=(first,))
    )


async def test_what_is_shown_to_one_is_not_passed_on(scene: Scene) -> None:
    thread = await scene.answered()
    (held,) = [one for one in await scene.shown(thread) if one.type == "VehicleHistory"]

    def work(desk: Desk) -> list[str]:
        return [one.id for one in desk.credentials(scene.pack)]

    assert held.id not in await scene.town.read(COLLECTOR, work)
    second = await scene.answered(REUSE_MANUFACTURER, COLLECTOR)
    assert held.id not in {one.id for one in await scene.shown(second, REUSE_MANUFACTURER)}
