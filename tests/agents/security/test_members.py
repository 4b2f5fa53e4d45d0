"""What a member may try with statements of its own: it speaks for itself, and of what it was asked."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from agents.ports import Verdict
from agents.role import Item
from agents.roles.deliveries import line
from agents.roles.life import latest
from agents.service import find_peer
from credentials.integrity import seal
from protocols.collection import COLLECTION
from protocols.disclosure import DISCLOSURE
from protocols.introduction import INTRODUCTION
from schemas.claims import Claim, DiagnosisResult, HandlingRecord, ItemIdentity
from schemas.events import Event
from schemas.items import item_uri, mint
from tests.scenarios.town import (
    COLLECTOR,
    DISMANTLER,
    PACK,
    REUSE_MANUFACTURER,
    Town,
    collect,
    diagnose,
    parcel,
    sealed,
    take_apart,
    town,
    words_of,
)

REQUEST: dict[str, object] = {"vehicle": "VXW1K2M3N4-2", "pack": "PXW1K2M3N4-E", **PACK}
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """Three members who know each other, at rest."""

    async def settle() -> Town:
        folder = tmp_path_factory.mktemp("settled")
        async with town(folder, DISMANTLER, COLLECTOR, REUSE_MANUFACTURER) as made:
            await made.introduce(DISMANTLER, REUSE_MANUFACTURER)
            return made

    return asyncio.run(settle())


def by(t: Town, who: str, claim: Claim, about: str = "") -> dict[str, Any]:
    """Return a statement that a company sealed."""
    return sealed(t.keys[who], claim, about or item_uri(t.keys[who].did, str(getattr(claim, "item", ""))))


async def give(t: Town, sender: str, to: str, message: Any) -> str:
    """Hand a message over; return why it was refused, or nothing."""
    peers = await t.read(to, lambda desk: desk.peers())
    (peer,) = [peer.id for peer in peers if peer.name == sender]
    (verdict,) = await t.give(to, peer, message)
    return "" if verdict.taken else f"{verdict.code}: {words_of(verdict)}"


def diagnosis(cell: str, soh_pct: str) -> DiagnosisResult:
    return DiagnosisResult(
        item=cell,
        measured_at=NOW,
        soh_pct=Decimal(soh_pct),
        lower_pct=Decimal(soh_pct),
        upper_pct=Decimal(soh_pct),
        coverage=Decimal("0.95"),
        method="m",
        method_version="1",
        inputs_digest="",
        measurement_digest="",
        ohmic_resistance_ohm=Decimal("0.01"),
        ocv_v=Decimal("3.7"),
        temperature_c=Decimal(25),
        instruments=(),
    )


async def ask(t: Town, item: str, asker: str = COLLECTOR, holder: str = REUSE_MANUFACTURER) -> str:
    return (await t.do(asker, "ask-disclosure", holder, item=item, purpose="purchase")).thread


async def test_a_statement_nobody_asked_for_is_refused(t: Town) -> None:
    pack = str(REQUEST["pack"])
    document = by(t, DISMANTLER, ItemIdentity(item=pack, kind="pack", model="ZE0"))
    message = parcel(COLLECTION, "request", REQUEST, credentials=[document])
    assert "go with “request”" in await give(t, DISMANTLER, COLLECTOR, message)


async def test_a_disclosure_speaks_only_of_what_was_asked(t: Town) -> None:
    asked, other = mint("cell", mint("pack"), 1), mint("cell", mint("pack"), 2)
    thread = await ask(t, asked)
    document = by(t, REUSE_MANUFACTURER, diagnosis(other, "1"))
    message = parcel(DISCLOSURE, "disclose", thread=thread, seen=1, credentials=[document])
    assert other in await give(t, REUSE_MANUFACTURER, COLLECTOR, message)
    document = by(t, REUSE_MANUFACTURER, diagnosis(asked, "1"))
    message = parcel(DISCLOSURE, "disclose", thread=thread, order=2, seen=1, credentials=[document])
    assert await give(t, REUSE_MANUFACTURER, COLLECTOR, message) == ""


async def test_our_own_diagnosis_counts_before_what_others_say_of_our_cells(t: Town) -> None:
    _, pack = await collect(t)
    (cell,) = await take_apart(t, pack, 1)
    await diagnose(t, [cell])
    ours = await t.read(COLLECTOR, lambda desk: latest(desk, cell, "DiagnosisResult"))
    assert ours
    thread = await ask(t, cell)
    lie = by(t, REUSE_MANUFACTURER, diagnosis(cell, "1"))
    message = parcel(DISCLOSURE, "disclose", thread=thread, seen=1, credentials=[lie])
    assert await give(t, REUSE_MANUFACTURER, COLLECTOR, message) == ""
    assert len(await t.read(COLLECTOR, lambda desk: desk.credentials(cell, "DiagnosisResult"))) == 2
    assert await t.read(COLLECTOR, lambda desk: latest(desk, cell, "DiagnosisResult")) == ours
    assert (await t.read(COLLECTOR, lambda desk: line(desk, cell))).soh_pct == Decimal(ours.claim["soh_pct"])


async def test_nobody_moves_an_item_that_another_registered_in_the_chain(t: Town) -> None:
    await collect(t)
    vehicle = (await t.codes(COLLECTOR, "vehicle"))[0]
    foreign, cell = mint("pack"), mint("cell", mint("pack"), 1)
    thread = await ask(t, vehicle)
    lie = ItemIdentity(item=vehicle, kind="vehicle", part_of=foreign, made_of=(cell,), position="9")
    message = parcel(
        DISCLOSURE, "disclose", thread=thread, seen=1, credentials=[by(t, REUSE_MANUFACTURER, lie)]
    )
    assert await give(t, REUSE_MANUFACTURER, COLLECTOR, message) == ""
    item: Item | None = await t.read(COLLECTOR, lambda desk: desk.item(vehicle))
    assert item
    assert (item.part_of, item.made_of, item.position) == (None, (), "")
    assert item.registrar == t.keys[DISMANTLER].did


async def test_a_trace_says_when_two_companies_claim_to_have_registered_an_item(t: Town) -> None:
    _, pack = await collect(t)
    thread = await ask(t, pack)
    lie = by(t, REUSE_MANUFACTURER, ItemIdentity(item=pack, kind="pack", model="ZE0"))
    assert all(s.verifies for s in (await t.trace(COLLECTOR, pack)).credentials)
    message = parcel(DISCLOSURE, "disclose", thread=thread, seen=1, credentials=[lie])
    assert await give(t, REUSE_MANUFACTURER, COLLECTOR, message) == ""
    told = [s for s in (await t.trace(COLLECTOR, pack)).credentials if s.type == "ItemIdentity"]
    doubted = {s.issuer_name for s in told if not s.verifies and s.about == pack}
    assert doubted == {DISMANTLER, REUSE_MANUFACTURER}
    assert "registered by" in next(s.why_not for s in told if s.about == pack)


async def test_an_event_id_taken_by_one_company_does_not_silence_another(t: Town) -> None:
    pack, id = mint("pack"), uuid4()

    def record(who: str, where: str) -> dict[str, Any]:
        did = t.keys[who].did
        event = Event(id=id, item=pack, kind="pack", what="stored", when=NOW, who=did, where=where)
        return by(t, who, HandlingRecord(item=pack, events=(event,)))

    for holder in (REUSE_MANUFACTURER, DISMANTLER):
        thread = await ask(t, pack, holder=holder)
        message = parcel(DISCLOSURE, "disclose", thread=thread, seen=1, credentials=[record(holder, holder)])
        assert await give(t, holder, COLLECTOR, message) == ""
    events = await t.read(COLLECTOR, lambda desk: desk.events(pack))
    assert {event.where for event in events} == {REUSE_MANUFACTURER, DISMANTLER}


async def test_our_own_record_that_comes_back_to_us_is_taken_and_told_once(t: Town) -> None:
    _, pack = await collect(t)
    thread = await ask(t, pack, DISMANTLER, COLLECTOR)
    before = await t.read(DISMANTLER, lambda desk: desk.events(pack))
    told = [
        e.model_copy(update={"who": t.keys[DISMANTLER].did, "exchange": "", "message": ""}) for e in before
    ]
    document = by(t, DISMANTLER, HandlingRecord(item=pack, events=tuple(told)))
    message = parcel(DISCLOSURE, "disclose", thread=thread, seen=1, credentials=[document])
    assert await give(t, COLLECTOR, DISMANTLER, message) == ""
    assert await t.read(DISMANTLER, lambda desk: desk.events(pack)) == before


async def test_a_credential_id_taken_by_one_company_does_not_silence_another(t: Town) -> None:
    pack = mint("pack")
    true = by(t, DISMANTLER, ItemIdentity(item=pack, kind="pack", model="true"))
    false = by(t, REUSE_MANUFACTURER, ItemIdentity(item=pack, kind="pack", model="false"))
    false.pop("proof")
    false = dict(seal(false | {"id": true["id"]}, t.keys[REUSE_MANUFACTURER], created=NOW))
    for holder, document in ((REUSE_MANUFACTURER, false), (DISMANTLER, true)):
        thread = await ask(t, pack, holder=holder)
        message = parcel(DISCLOSURE, "disclose", thread=thread, seen=1, credentials=[document])
        assert await give(t, holder, COLLECTOR, message) == ""
    held = await t.read(COLLECTOR, lambda desk: desk.credentials(pack))
    assert [one.document for one in held] == [false, true]


@pytest.mark.parametrize("id", [None, "urn:x:" + "1" * 3000], ids=["none", "far too long"])
async def test_a_credential_whose_id_cannot_be_kept_is_refused_in_words(t: Town, id: str | None) -> None:
    pack = mint("pack")
    thread = await ask(t, pack)
    document = by(t, REUSE_MANUFACTURER, ItemIdentity(item=pack, kind="pack"))
    bare = {name: value for name, value in document.items() if name not in ("id", "proof")}
    document = dict(seal(bare | ({"id": id} if id else {}), t.keys[REUSE_MANUFACTURER], created=NOW))
    message = parcel(DISCLOSURE, "disclose", thread=thread, seen=1, credentials=[document])
    said = await give(t, REUSE_MANUFACTURER, COLLECTOR, message)
    assert said.startswith("malformed: an attached credential")
    assert len(said) < 400


async def test_a_credential_of_a_single_type_that_is_text_is_refused_in_words(t: Town) -> None:
    thread = await ask(t, mint("pack"))
    for odd in ({"type": "VerifiableCredential"}, {"credentialSubject": [{"id": "did:key:a"}] * 2}):
        document = by(t, REUSE_MANUFACTURER, ItemIdentity(item=mint("pack"), kind="pack")) | odd
        document.pop("proof")
        document = dict(seal(document, t.keys[REUSE_MANUFACTURER], created=NOW))
        order = len((await t.exchange(COLLECTOR, thread)).by("holder")) + 1
        message = parcel(DISCLOSURE, "disclose", thread=thread, order=order, seen=1, credentials=[document])
        assert (await give(t, REUSE_MANUFACTURER, COLLECTOR, message)).startswith("malformed: an attached")


async def test_an_introduction_brings_no_pile_of_statements(t: Town) -> None:
    from schemas.claims import Introduction

    did = t.keys[DISMANTLER].did
    heap = [by(t, DISMANTLER, Introduction(did=did, connection_did="x"), did)] * 20
    message = parcel(INTRODUCTION, "hello", {"name": "d", "did": did}, credentials=heap)
    assert "more statements" in await give(t, DISMANTLER, COLLECTOR, message)


async def test_a_company_that_calls_itself_by_anothers_did_does_not_stand_in_its_way(t: Town) -> None:
    did = t.keys[DISMANTLER].did
    t.found("stranger", (DISMANTLER,))
    _, ours = await t.connect("stranger", COLLECTOR)
    await t.write(COLLECTOR, lambda desk: desk.identify(ours.id, t.keys["stranger"].did, did))
    found = await t.read(COLLECTOR, lambda desk: find_peer(desk, did))
    assert found.name == DISMANTLER


async def test_nobody_unmakes_a_deal_by_refusing_what_it_has_built_upon(t: Town) -> None:
    thread, pack = await collect(t)
    exchange = await t.exchange(COLLECTOR, thread)
    ours = [said for said in exchange.said if said.sender == exchange.side]
    for said in ours:
        await t.agents[COLLECTOR].settle(
            exchange.peer, [], [Verdict(said.id, "malformed", "changed our mind")]
        )
    assert await t.exchange(COLLECTOR, thread) == exchange
    assert await t.whats(COLLECTOR, pack) == ["requested", "collected"]
