"""Bad input gets a clear answer in words, and nothing is half-done."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from agents.ports import Desk, Enclosure, Parcel, Verdict
from agents.role import Held
from credentials.keys import LocalSigner
from protocols.catalogue import PROTOCOLS
from protocols.collection import COLLECTION
from protocols.delivery import DELIVERY
from protocols.disclosure import DISCLOSURE
from protocols.exchange import Exchange, Protocol
from protocols.introduction import INTRODUCTION
from protocols.membership import MEMBERSHIP
from protocols.receipt import RECEIPT
from schemas.claims import (
    Accreditation,
    Claim,
    HandlingRecord,
    HandOverReceipt,
    Introduction,
    ItemIdentity,
    MembershipRegister,
)
from schemas.errors import Fault, Forbidden, Invalid, Misstep, Unknown
from schemas.events import Event
from schemas.items import item_uri, mint
from tests.protocols.readme import examples, readme, sections
from tests.scenarios.town import (
    AUTHORITY,
    COLLECTOR,
    DISMANTLER,
    HAND_OVER,
    PACK,
    REUSE_MANUFACTURER,
    Town,
    parcel,
    sealed,
    town,
    words_of,
)

REQUEST: dict[str, object] = {"vehicle": "VXW1K2M3N4-2", "pack": "PXW1K2M3N4-E", **PACK}


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """Three members who know each other, at rest."""

    async def settle() -> Town:
        folder = tmp_path_factory.mktemp("settled")
        async with town(folder, DISMANTLER, COLLECTOR, REUSE_MANUFACTURER) as made:
            return made

    return asyncio.run(settle())


async def ask(t: Town, **pack: object) -> str:
    """Request a collection; return the thread."""
    return (await t.do(DISMANTLER, "request-collection", COLLECTOR, **(dict(PACK) | pack))).thread


async def pack_of(t: Town, thread: str) -> str:
    pack: str = (await t.exchange(COLLECTOR, thread)).said[0].message.pack  # type: ignore[attr-defined]
    return pack


async def scheduled(t: Town) -> str:
    """Bring a collection to where the pack may be handed over; return the thread."""
    thread = await ask(t)
    await t.do(COLLECTOR, "quote-collection", thread, price_jpy=1, valid_until="2099-01-31")
    await t.do(DISMANTLER, "accept-quote", thread)
    await t.do(COLLECTOR, "propose-date", thread, pickup="2099-01-15")
    await t.do(DISMANTLER, "agree-date", thread)
    return thread


async def tell(t: Town, item: str, document: Mapping[str, Any]) -> str:
    """Have the dismantler answer the collector's question about an item; return why that was refused."""
    asked = await t.do(COLLECTOR, "ask-disclosure", DISMANTLER, item=item, purpose="safety")
    message = parcel(DISCLOSURE, "disclose", thread=asked.thread, seen=1, credentials=[document])
    (verdict,) = await give(t, DISMANTLER, COLLECTOR, message)
    return "" if verdict.taken else words_of(verdict)


async def peer_of(t: Town, who: str, other: str) -> str:
    """Return the id under which a company knows another."""
    peers = await t.read(who, lambda desk: desk.peers())
    (found,) = [peer.id for peer in peers if peer.name == other]
    return found


async def give(t: Town, sender: str, to: str, *parcels: Parcel) -> list[Verdict]:
    return await t.give(to, await peer_of(t, to, sender), *parcels)


async def refused(t: Town, sender: str, to: str, message: Parcel) -> str:
    """Hand a message over that must be refused with nothing changed but its row; return why."""
    before = t.tables(to)
    (verdict,) = await give(t, sender, to, message)
    assert not verdict.taken
    after = t.tables(to)
    changed = {name for name in after if after[name] != before[name]}
    assert changed <= {"message", "exchange"}
    assert before["message"] == after["message"][: len(before["message"])]
    # At most the exchange counts one more message of theirs, which says nothing.
    assert [(row[0], row[4]) for row in before["exchange"]] == [(r[0], r[4]) for r in after["exchange"]]
    return f"{verdict.code}: {words_of(verdict)}"


async def undone(t: Town, who: str, kind: type[Fault], action: str, to: str = "", **form: object) -> str:
    """Try an action that must fail and change nothing; return why."""
    before = t.tables(who)
    with pytest.raises(kind) as fault:
        await t.say(who, action, to, **form)
    assert t.tables(who) == before
    return str(fault.value)


# What people ask for


async def test_nobody_does_what_their_company_does_not_do(t: Town) -> None:
    assert "no action “accept-quote”" in await undone(t, COLLECTOR, Unknown, "accept-quote", await ask(t))


async def test_nobody_goes_on_with_an_exchange_that_is_not_there(t: Town) -> None:
    assert "no exchange “nowhere”" in await undone(t, DISMANTLER, Unknown, "accept-quote", "nowhere")


async def test_nobody_deals_with_a_company_that_is_not_known(t: Town) -> None:
    words = await undone(t, DISMANTLER, Unknown, "request-collection", "Nobody & Co.", **PACK)
    assert words == "we know no company “Nobody & Co.”"


async def test_nobody_acts_out_of_turn(t: Town) -> None:
    thread = await ask(t)
    words = await undone(t, DISMANTLER, Misstep, "accept-quote", thread)
    assert words == "“accept-quote” is not possible now: the exchange is requested"


async def test_nobody_accepts_twice(t: Town) -> None:
    thread = await ask(t)
    await t.do(COLLECTOR, "quote-collection", thread, price_jpy=1, valid_until="2099-01-31")
    await t.do(DISMANTLER, "accept-quote", thread)
    assert "is accepted" in await undone(t, DISMANTLER, Misstep, "accept-quote", thread)


async def test_a_role_asks_a_company_only_for_what_that_company_is_admitted_for(t: Town) -> None:
    await t.introduce(DISMANTLER, REUSE_MANUFACTURER)
    words = await undone(t, DISMANTLER, Forbidden, "request-collection", REUSE_MANUFACTURER, **PACK)
    assert words == "reuse-manufacturer is not admitted as collector in collection/1.0"


async def test_who_ranks_too_low_may_not(t: Town) -> None:
    thread = await ask(t)
    form = {"price_jpy": 1, "valid_until": "2099-01-31"}
    with pytest.raises(Forbidden, match="needs the rank of manager"):
        await t.agents[COLLECTOR].perform("quote-collection", form, thread, rank="operator")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"odometer_km": -1}, "odometer_km: Input should be greater than or equal to 0"),
        ({"odometer_km": "many"}, "odometer_km: Input should be a valid integer"),
        ({"capacity_low_pct": "NaN"}, "capacity_low_pct: Input should be a finite number"),
        ({"capacity_low_pct": "Infinity"}, "capacity_low_pct: Input should be a finite number"),
        ({"capacity_low_pct": "90", "capacity_high_pct": "80"}, "the lower capacity is above the upper one"),
        ({"pack": "a box"}, "“a box” is not an item code: a code looks like P3F9KQ27MH-5"),
        ({"pack": "PXW1K2M3N4-D"}, "“PXW1K2M3N4-D” is mistyped: its check character does not fit"),
        ({"chassis_number": "?"}, "chassis_number: String should match pattern"),
        ({"first_registration": "2014-13"}, "first_registration: String should match pattern"),
        ({"findings": ["haunted"]}, "findings.0: Input should be 'wet', 'leak', 'heat', 'swelling'"),
        ({"note": "x" * 1001}, "note: String should have at most 1000 characters"),
        ({"photos": ["0" * 64] * 21}, "photos: Tuple should have at most 20 items"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"place": ""}, "place: String should have at least 1 character"),
    ],
)
async def test_a_form_filled_wrongly_names_the_field(t: Town, wrong: dict[str, object], words: str) -> None:
    said = await undone(t, DISMANTLER, Invalid, "request-collection", COLLECTOR, **(dict(PACK) | wrong))
    assert said.startswith("please correct: ")
    assert words in said


@pytest.mark.parametrize(
    ("wrong", "kind", "words"),
    [
        ({"pack": mint("cell", mint("pack"), 1)}, Invalid, "is a cell, not a pack"),
        ({"vehicle": mint("pack")}, Invalid, "is a pack, not a vehicle"),
        ({"photos": ["0" * 64]}, Unknown, "we have no file 000"),
    ],
)
async def test_a_request_for_what_is_not_there_changes_nothing(
    t: Town, wrong: dict[str, object], kind: type[Fault], words: str
) -> None:
    form = dict(PACK) | wrong
    assert words in await undone(t, DISMANTLER, kind, "request-collection", COLLECTOR, **form)


@pytest.mark.parametrize(
    ("action", "form"),
    [
        ("store-items", {"items": ["PXW1K2M3N4-E"], "place": "A"}),
        ("grade-items", {"items": ["PXW1K2M3N4-E"]}),
        ("weigh-materials", {"pack": "PXW1K2M3N4-E", "metal_kg": 1}),
        ("note-nonconformity", {"item": "PXW1K2M3N4-E", "what": "it hums"}),
        ("annul-event", {"item": "PXW1K2M3N4-E", "event": str(uuid4()), "reason": "no"}),
        ("diagnose-cells", {"cells": ["PXW1K2M3N4-E"], "temperature_c": 25}),
        ("record-skip", {"cell": "PXW1K2M3N4-E", "reason": "open", "words": "bad contact"}),
        ("release-item", {"item": "PXW1K2M3N4-E", "findings": ["wet"], "reason": "dry", "worker": "W"}),
        (
            "disassemble-pack",
            {
                "pack": "PXW1K2M3N4-E",
                "cells": 1,
                "cell_model": "m",
                "chemistry": "NMC",
                "bench": "B",
                "worker": "W",
            },
        ),
    ],
)
async def test_an_item_nobody_has_heard_of_is_not_worked_on(
    t: Town, action: str, form: dict[str, object]
) -> None:
    assert await undone(t, COLLECTOR, Unknown, action, "", **form) == "we have no item PXW1K2M3N4-E"


async def test_an_item_of_another_kind_is_not_worked_on(t: Town) -> None:
    pack = await pack_of(t, await scheduled(t))
    identity = ItemIdentity(item=pack, kind="pack")
    assert not await tell(t, pack, _by(t, DISMANTLER, identity))
    form = {"cells": [pack], "temperature_c": 25}
    assert "is a pack, not a cell" in await undone(t, COLLECTOR, Invalid, "diagnose-cells", "", **form)


async def test_two_clicks_at_once_open_one_exchange(t: Town) -> None:
    agent = t.agents[DISMANTLER]
    click = [agent.perform("request-collection", PACK, COLLECTOR, key="click-1") for _ in range(5)]
    done = await asyncio.gather(*click)
    await t.carry()
    assert len({one.thread for one in done}) == 1
    for who in (DISMANTLER, COLLECTOR):
        assert len(await t.read(who, lambda desk: desk.dealings(COLLECTION.name))) == 1
    assert len(await t.codes(DISMANTLER, "pack")) == 1


async def test_of_two_different_clicks_at_once_one_stands_on_both_sides(t: Town) -> None:
    thread = await ask(t)
    await t.do(COLLECTOR, "quote-collection", thread, price_jpy=1, valid_until="2099-01-31")
    clicks = [
        t.say(DISMANTLER, "withdraw-request", thread, reason="sold"),
        t.say(DISMANTLER, "accept-quote", thread),
    ]
    outcomes = await asyncio.gather(*clicks, return_exceptions=True)
    await t.carry()
    assert [isinstance(one, Misstep) for one in outcomes] == [False, True]
    assert await t.states(thread, DISMANTLER, COLLECTOR) == {"withdrawn"}


# What comes off the wire


def _by(t: Town, who: str, claim: Claim, about: str = "") -> dict[str, Any]:
    """Return a claim sealed by a company of the town."""
    item = getattr(claim, "item", "")
    return sealed(t.keys[who], claim, about or (item_uri(t.keys[who].did, item) if item else t.keys[who].did))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"odometer_km": -1}, "odometer_km: Input should be greater than or equal to 0"),
        ({"odometer_km": None}, "odometer_km: Input should be a valid integer"),
        ({"capacity_low_pct": "NaN"}, "capacity_low_pct: Input should be a finite number"),
        ({"pack": "PXW1K2M3N4-D"}, "is mistyped"),
        ({"pack": {"a": [1]}}, "pack: Input should be a valid string"),
        ({"findings": ["haunted"]}, "findings.0"),
        ({"place": "x" * 100_000}, "place: String should have at most 200 characters"),
        ({"capacity_low_pct": "90", "capacity_high_pct": "80"}, "the lower capacity is above the upper one"),
    ],
)
async def test_a_malformed_message_is_refused_with_the_place(
    t: Town, wrong: dict[str, object], words: str
) -> None:
    said = await refused(t, DISMANTLER, COLLECTOR, parcel(COLLECTION, "request", REQUEST | wrong))
    assert said.startswith("malformed: not a valid request: ")
    assert words in said
    assert await t.read(COLLECTOR, lambda desk: desk.dealings(COLLECTION.name)) == []


async def test_a_message_without_its_fields_is_refused(t: Town) -> None:
    said = await refused(t, DISMANTLER, COLLECTOR, parcel(COLLECTION, "request"))
    assert said == "malformed: not a valid request: vehicle: Field required"


async def test_a_message_of_an_unknown_type_is_refused(t: Town) -> None:
    strange = replace(parcel(COLLECTION, "request", REQUEST), type="https://didcomm.org/poetry/1.0/sonnet")
    assert await refused(t, DISMANTLER, COLLECTOR, strange) == (
        "unknown: we do not speak https://didcomm.org/poetry/1.0/sonnet"
    )


async def test_a_receipt_opens_no_exchange(t: Town) -> None:
    said = await refused(t, DISMANTLER, COLLECTOR, parcel(RECEIPT, "receipt", {"taken": []}))
    assert said == "unknown: there is no such exchange with you"


async def test_a_message_from_the_wrong_side_is_refused(t: Town) -> None:
    thread = await ask(t)
    quote = {"price_jpy": 1, "valid_until": "2099-01-31"}
    said = await refused(
        t, DISMANTLER, COLLECTOR, parcel(COLLECTION, "quote", quote, thread=thread, order=2, seen=0)
    )
    assert said == "out-of-step: dismantler may not send quote when the exchange is requested"


async def test_nobody_opens_an_exchange_from_the_wrong_side_or_in_the_middle(t: Town) -> None:
    offer = parcel(COLLECTION, "request", REQUEST)
    assert await refused(t, COLLECTOR, DISMANTLER, offer) == (
        "forbidden: collector is not admitted as dismantler in collection/1.0"
    )
    accept = parcel(COLLECTION, "accept")
    assert await refused(t, DISMANTLER, COLLECTOR, accept) == "unknown: there is no such exchange with you"


async def test_a_message_in_the_wrong_state_is_refused_and_the_exchange_goes_on(t: Town) -> None:
    thread = await ask(t)
    too_soon = parcel(COLLECTION, "accept", thread=thread, order=2, seen=0)
    said = await refused(t, DISMANTLER, COLLECTOR, too_soon)
    assert said == "out-of-step: dismantler may not send accept when the exchange is requested"
    withdraw = parcel(COLLECTION, "withdraw", {"reason": "sold"}, thread=thread, order=3, seen=0)
    (verdict,) = await give(t, DISMANTLER, COLLECTOR, withdraw)
    assert verdict.taken
    assert (await t.exchange(COLLECTOR, thread)).state == "withdrawn"


async def test_a_message_that_comes_again_is_taken_once(t: Town) -> None:
    message = parcel(COLLECTION, "request", REQUEST)
    assert [v.taken for v in await give(t, DISMANTLER, COLLECTOR, message)] == [True]
    before = t.tables(COLLECTOR)
    assert [v.taken for v in await give(t, DISMANTLER, COLLECTOR, message, message)] == [True, True]
    assert t.tables(COLLECTOR) == before


async def test_a_refused_message_that_comes_again_is_refused_with_the_same_words(t: Town) -> None:
    message = parcel(COLLECTION, "request", REQUEST | {"odometer_km": -1})
    first = await refused(t, DISMANTLER, COLLECTOR, message)
    before = t.tables(COLLECTOR)
    assert await refused(t, DISMANTLER, COLLECTOR, message) == first
    assert t.tables(COLLECTOR) == before


@pytest.mark.parametrize("change", [{"body": REQUEST | {"odometer_km": 1}}, {"thread": "t"}, {"order": 2}])
async def test_another_message_under_a_known_id_is_refused(t: Town, change: dict[str, Any]) -> None:
    message = parcel(COLLECTION, "request", REQUEST)
    await give(t, DISMANTLER, COLLECTOR, message)
    before = t.tables(COLLECTOR)
    said = await refused(t, DISMANTLER, COLLECTOR, replace(message, **change))
    assert said == "malformed: another message has had this id before"
    assert t.tables(COLLECTOR) == before


async def test_the_id_of_one_of_our_messages_is_not_taken_for_theirs(t: Town) -> None:
    thread = await ask(t)
    await t.do(COLLECTOR, "quote-collection", thread, price_jpy=1, valid_until="2099-01-31")
    ours = (await t.exchange(COLLECTOR, thread)).by(COLLECTOR)[0].id
    echo = parcel(COLLECTION, "accept", thread=thread, order=2, seen=1, id=ours)
    assert "another message" in await refused(t, DISMANTLER, COLLECTOR, echo)


async def test_a_stale_message_under_a_new_id_is_refused(t: Town) -> None:
    thread = await ask(t)
    again = parcel(COLLECTION, "request", REQUEST, thread=thread, order=1)
    said = await refused(t, DISMANTLER, COLLECTOR, again)
    assert said == "out-of-step: message 1 came where 2 was due"


async def test_an_early_message_waits_and_is_taken_in_its_turn(t: Town) -> None:
    opening = parcel(COLLECTION, "request", REQUEST)
    second = parcel(COLLECTION, "withdraw", {"reason": "sold"}, thread=opening.thread, order=2)
    (kept,) = await give(t, DISMANTLER, COLLECTOR, second)
    assert kept.taken
    assert await t.read(COLLECTOR, lambda desk: desk.dealings(COLLECTION.name)) == []
    (taken,) = await give(t, DISMANTLER, COLLECTOR, opening)
    assert taken.taken
    assert (await t.exchange(COLLECTOR, opening.thread)).state == "withdrawn"


async def test_an_early_message_that_turns_out_wrong_is_refused_when_its_turn_comes(t: Town) -> None:
    opening = parcel(COLLECTION, "request", REQUEST)
    second = parcel(COLLECTION, "agree-date", thread=opening.thread, order=2)
    await give(t, DISMANTLER, COLLECTOR, second)
    verdicts = await give(t, DISMANTLER, COLLECTOR, opening)
    assert [(v.id, v.taken) for v in verdicts] == [(opening.id, True), (second.id, False)]
    assert (await t.exchange(COLLECTOR, opening.thread)).state == "requested"


async def test_what_waited_behind_a_refused_opening_is_refused_with_it(t: Town) -> None:
    opening = parcel(COLLECTION, "request", REQUEST | {"odometer_km": -1})
    second = parcel(COLLECTION, "withdraw", {"reason": "sold"}, thread=opening.thread, order=2)
    third = parcel(COLLECTION, "withdraw", {"reason": "sold"}, thread=opening.thread, order=3)
    await give(t, DISMANTLER, COLLECTOR, second)
    verdicts = await give(t, DISMANTLER, COLLECTOR, opening)
    assert [(v.id, v.taken) for v in verdicts] == [(opening.id, False), (second.id, False)]
    assert not (await give(t, DISMANTLER, COLLECTOR, third))[0].taken
    assert await t.read(COLLECTOR, lambda desk: desk.dealings(COLLECTION.name)) == []


@pytest.mark.parametrize("order", [-7, 0, 100_000, 2**31 - 1])
async def test_a_hostile_order_is_refused(t: Town, order: int) -> None:
    thread = await ask(t)
    message = parcel(COLLECTION, "withdraw", {"reason": "x"}, thread=thread, order=order)
    said = await refused(t, DISMANTLER, COLLECTOR, message)
    assert said == f"out-of-step: message {order} came where 2 was due"


@pytest.mark.parametrize("seen", [-1, 1, 2**31 - 1])
async def test_nobody_answers_what_was_never_said(t: Town, seen: int) -> None:
    thread = await ask(t)
    message = parcel(COLLECTION, "withdraw", {"reason": "x"}, thread=thread, order=2, seen=seen)
    said = await refused(t, DISMANTLER, COLLECTOR, message)
    assert said == "out-of-step: the message claims to answer something that was never said"


async def test_the_exchange_of_another_company_stays_out_of_reach(t: Town) -> None:
    thread = await ask(t)
    before = await t.exchange(COLLECTOR, thread)
    for order in (1, 2, 3):
        for protocol, kind in ((COLLECTION, "withdraw"), (DELIVERY, "order"), (DISCLOSURE, "ask")):
            body = {"reason": "x", "item": REQUEST["pack"], "purpose": "safety"}
            message = parcel(protocol, kind, body, thread=thread, order=order)
            said = await refused(t, REUSE_MANUFACTURER, COLLECTOR, message)
            assert said == "unknown: there is no such exchange with you"
    assert await t.exchange(COLLECTOR, thread) == before


async def test_a_message_of_another_protocol_does_not_fit_in(t: Town) -> None:
    thread = await ask(t)
    message = parcel(
        DISCLOSURE, "ask", {"item": REQUEST["pack"], "purpose": "safety"}, thread=thread, order=2
    )
    assert await refused(t, DISMANTLER, COLLECTOR, message) == "unknown: there is no such exchange with you"


async def test_a_file_with_another_digest_is_refused_and_the_message_with_it(t: Town) -> None:
    forged = Enclosure("0" * 64, "photo.jpg", "image/jpeg", 3, problem="does not have the digest stated")
    message = parcel(COLLECTION, "request", REQUEST, enclosures=[forged])
    said = await refused(t, DISMANTLER, COLLECTOR, message)
    assert said == "malformed: the file “photo.jpg” does not have the digest stated"


async def test_verdicts_on_messages_that_are_not_ours_change_nothing(t: Town) -> None:
    thread = await ask(t)
    before = {who: t.tables(who) for who in (DISMANTLER, COLLECTOR)}
    theirs = (await t.exchange(COLLECTOR, thread)).said[0].id
    strange = Verdict("never-said", "malformed", "no")
    at_collector = await peer_of(t, COLLECTOR, DISMANTLER)
    await t.agents[COLLECTOR].settle(
        at_collector, [theirs, "never-said"], [strange, replace(strange, id=theirs)]
    )
    reuse = await peer_of(t, COLLECTOR, REUSE_MANUFACTURER)
    await t.do(COLLECTOR, "quote-collection", thread, price_jpy=1, valid_until="2099-01-31")
    quote = (await t.exchange(COLLECTOR, thread)).said[1].id
    await t.agents[COLLECTOR].settle(reuse, [], [Verdict(quote, "malformed", "no")])
    assert await t.states(thread, DISMANTLER, COLLECTOR) == {"quoted"}
    assert t.tables(DISMANTLER)["event"] == before[DISMANTLER]["event"]


# Credentials


def _event(item: str, who: str, **fields: Any) -> Event:
    from datetime import UTC, datetime

    return Event(item=item, kind="pack", what="stored", when=datetime.now(UTC), who=who, where="A", **fields)


def _forgeries(t: Town) -> dict[str, tuple[dict[str, Any], str]]:
    stranger = LocalSigner.generate()
    pack = str(REQUEST["pack"])
    me = t.keys[DISMANTLER].did
    good = _by(t, DISMANTLER, ItemIdentity(item=pack, kind="pack", model="ZE0"))
    changed = good | {"credentialSubject": good["credentialSubject"] | {"model": "AZE0"}}
    unsealed = {name: value for name, value in good.items() if name != "proof"}
    another = t.keys[COLLECTOR].did
    rating = Accreditation(did=me, name="d", roles=("recycler",), framework="f")
    return {
        "a changed claim": (changed, "does not verify"),
        "no proof": (unsealed, "does not verify"),
        "another issuer": (good | {"issuer": another}, "does not verify"),
        "another issuer's key": (
            sealed(stranger, ItemIdentity(item=pack, kind="pack"), item_uri(another, pack), another),
            "does not verify",
        ),
        "a non-member": (
            sealed(stranger, ItemIdentity(item=pack, kind="pack"), item_uri(stranger.did, pack)),
            "the issuer of an attached ItemIdentity may not issue it",
        ),
        "a role that may not": (_by(t, DISMANTLER, rating, me), "an attached Accreditation may not issue it"),
        "an unknown type": (good | {"type": ["VerifiableCredential", "Poem"]}, "does not verify"),
        "not a credential": ({"hello": "world"}, ""),
        "a kind that is not the code's": (
            _by(t, DISMANTLER, ItemIdentity(item=pack, kind="cell")),
            "an attached ItemIdentity states what its issuer cannot",
        ),
        "the story of another item": (
            _by(t, DISMANTLER, HandlingRecord(item=pack, events=(_event(mint("pack"), me),))),
            "an attached HandlingRecord states what its issuer cannot",
        ),
        "a story in another's name": (
            _by(t, DISMANTLER, HandlingRecord(item=pack, events=(_event(pack, another),))),
            "an attached HandlingRecord states what its issuer cannot",
        ),
        "a story in our people's name": (
            _by(t, DISMANTLER, HandlingRecord(item=pack, events=(_event(pack, "W-07"),))),
            "an attached HandlingRecord states what its issuer cannot",
        ),
        "a receipt between others": (
            _by(
                t,
                DISMANTLER,
                HandOverReceipt.model_validate(
                    {
                        "item": pack,
                        "from_did": "did:key:a",
                        "to_did": "did:key:b",
                        "truck": "1",
                        "distance_km": 1,
                        "load_share": 1,
                        "fuel_economy_km_per_l": 1,
                    }
                ),
            ),
            "an attached HandOverReceipt states what its issuer cannot",
        ),
    }


@pytest.mark.parametrize(
    "forgery",
    [
        "a changed claim",
        "no proof",
        "another issuer",
        "another issuer's key",
        "a non-member",
        "a role that may not",
        "an unknown type",
        "not a credential",
        "a kind that is not the code's",
        "the story of another item",
        "a story in another's name",
        "a story in our people's name",
        "a receipt between others",
    ],
)
async def test_a_forged_credential_is_refused_and_the_message_with_it(t: Town, forgery: str) -> None:
    document, words = _forgeries(t)[forgery]
    asked = await t.do(COLLECTOR, "ask-disclosure", DISMANTLER, item=str(REQUEST["pack"]), purpose="safety")
    message = parcel(DISCLOSURE, "disclose", thread=asked.thread, seen=1, credentials=[document])
    said = await refused(t, DISMANTLER, COLLECTOR, message)
    assert said.startswith("malformed: ")
    assert words in said


async def _registers(t: Town) -> tuple[str, Held, Exchange]:
    """Return the collector's membership thread, the register it holds, and its exchange."""

    def find(desk: Desk) -> tuple[str, Held, Exchange]:
        (dealing,) = desk.dealings(MEMBERSHIP.name)
        exchange = desk.exchange(dealing.thread)
        assert exchange is not None
        return dealing.thread, desk.credentials(desk.authority(), "MembershipRegister")[-1], exchange

    return await t.read(COLLECTOR, find)


def _register(message: str, exchange: Exchange, *documents: Mapping[str, Any]) -> Parcel:
    orders = len(exchange.by("authority")), len(exchange.by("member"))
    return parcel(
        MEMBERSHIP,
        "register",
        {"version": 1},
        thread=message,
        order=orders[0] + 1,
        seen=orders[1],
        credentials=documents,
    )


async def test_a_register_signed_by_somebody_else_is_refused(t: Town) -> None:
    thread, held, exchange = await _registers(t)
    claim = MembershipRegister.model_validate(dict(held.claim) | {"version": 99})
    forged = sealed(t.keys[DISMANTLER], claim, claim.did)
    message = _register(thread, exchange, forged)
    assert "what its issuer cannot" in await refused(t, AUTHORITY, COLLECTOR, message)
    own = claim.model_copy(update={"did": t.keys[DISMANTLER].did})
    message = _register(thread, await t.exchange(COLLECTOR, thread), sealed(t.keys[DISMANTLER], own, own.did))
    assert "may not issue it" in await refused(t, AUTHORITY, COLLECTOR, message)


async def test_a_register_message_without_a_register_is_refused(t: Town) -> None:
    thread, _, exchange = await _registers(t)
    said = await refused(t, AUTHORITY, COLLECTOR, _register(thread, exchange))
    assert said == "malformed: no register is attached"


async def test_an_older_register_does_not_take_the_place_of_a_newer_one(t: Town) -> None:
    thread, old, exchange = await _registers(t)
    membership = await t.read(DISMANTLER, lambda desk: desk.dealings(MEMBERSHIP.name))
    await t.do(AUTHORITY, "suspend", membership[0].thread, reason="audit overdue")
    assert await _status(t, COLLECTOR, DISMANTLER) == "suspended"
    replay = _register(thread, await t.exchange(COLLECTOR, thread), old.document)
    assert (await give(t, AUTHORITY, COLLECTOR, replay))[0].taken
    assert await _status(t, COLLECTOR, DISMANTLER) == "suspended"
    assert exchange.state == "accredited"


async def _status(t: Town, at: str, name: str) -> str:
    members = await t.read(at, lambda desk: desk.members())
    return next((member.status for member in members if member.name == name), "")


# Strangers, and members in bad standing


async def test_who_has_not_introduced_itself_opens_nothing(t: Town) -> None:
    t.found("stranger", (DISMANTLER,))
    theirs, ours = await t.connect("stranger", COLLECTOR)
    (verdict,) = await t.give(COLLECTOR, ours.id, parcel(COLLECTION, "request", REQUEST))
    assert (verdict.code, words_of(verdict)) == ("forbidden", "the company has not introduced itself yet")
    words = await undone(t, "stranger", Forbidden, "request-collection", theirs.id, **PACK)
    assert words == "the company has not introduced itself yet"


async def test_who_is_not_a_member_opens_nothing(t: Town) -> None:
    t.found("stranger", (DISMANTLER,))
    await t.introduce("stranger", COLLECTOR)
    said = await refused(t, "stranger", COLLECTOR, parcel(COLLECTION, "request", REQUEST))
    assert said == "forbidden: the company is not a member"
    words = await undone(t, "stranger", Forbidden, "request-collection", COLLECTOR, **PACK)
    assert words == "we are not a member yet"


async def test_only_the_authority_is_asked_for_membership(t: Town) -> None:
    t.found("stranger", (DISMANTLER,))
    await t.introduce("stranger", COLLECTOR)
    done = await t.do("stranger", "apply-for-membership", COLLECTOR, name="stranger", roles=[DISMANTLER])
    assert t.refusals == ["forbidden: only the governance authority admits members"]
    assert (await t.exchange("stranger", done.thread)).state == "new"


async def test_a_member_applies_once(t: Town) -> None:
    form: dict[str, object] = {"name": "another name", "roles": [COLLECTOR]}
    words = await undone(t, DISMANTLER, Misstep, "apply-for-membership", AUTHORITY, **form)
    assert words == "we have applied already, or are a member"
    said = await refused(t, DISMANTLER, AUTHORITY, parcel(MEMBERSHIP, "apply", form))
    assert said == "out-of-step: the company has applied already, or is a member"


def _hello(key: LocalSigner, their_did: str, name: str = "dismantler") -> Parcel:
    claim = Introduction(did=key.did, connection_did=their_did)
    return parcel(
        INTRODUCTION, "hello", {"name": name, "did": key.did}, credentials=[sealed(key, claim, key.did)]
    )


async def test_an_introduction_does_not_hold_on_another_connection(t: Town) -> None:
    t.found("stranger", (DISMANTLER,))
    _, ours = await t.connect("stranger", COLLECTOR)
    overheard = _hello(t.keys[DISMANTLER], "did:peer:dismantler")
    (verdict,) = await t.give(COLLECTOR, ours.id, overheard)
    assert words_of(verdict) == "the introduction does not prove which company is at the other end"
    peer = await t.read(COLLECTOR, lambda desk: desk.peer(ours.id))
    assert peer is not None
    assert peer.did == ""


async def test_a_known_connection_does_not_become_another_companys(t: Town) -> None:
    peer = await peer_of(t, COLLECTOR, DISMANTLER)
    before = await t.read(COLLECTOR, lambda desk: desk.peer(peer))
    assert before is not None
    stranger = LocalSigner.generate()
    (verdict,) = await t.give(COLLECTOR, peer, _hello(stranger, before.their_did, "stranger"))
    assert words_of(verdict) == "this connection belongs to another company"
    assert await t.read(COLLECTOR, lambda desk: desk.peer(peer)) == before


async def _membership(t: Town, name: str) -> str:
    (dealing,) = await t.read(name, lambda desk: desk.dealings(MEMBERSHIP.name))
    return dealing.thread


async def test_a_suspended_member_opens_nothing_but_finishes_what_was_begun(t: Town) -> None:
    thread = await scheduled(t)
    await t.do(AUTHORITY, "suspend", await _membership(t, DISMANTLER), reason="audit overdue")
    words = await undone(t, DISMANTLER, Forbidden, "request-collection", COLLECTOR, **PACK)
    assert words == "dismantler is no member in good standing: suspended"
    said = await refused(t, DISMANTLER, COLLECTOR, parcel(COLLECTION, "request", REQUEST))
    assert said == "forbidden: dismantler is no member in good standing: suspended"
    await t.do(COLLECTOR, "record-hand-over", thread, pack=await pack_of(t, thread), **HAND_OVER)
    await t.do(DISMANTLER, "sign-receipt", thread)
    assert await t.states(thread, DISMANTLER, COLLECTOR) == {"received"}
    await t.do(AUTHORITY, "reinstate", await _membership(t, DISMANTLER), reason="done")
    assert await t.states(await ask(t), DISMANTLER, COLLECTOR) == {"requested"}


async def test_a_member_that_does_not_know_yet_of_its_suspension_is_refused_by_the_other(t: Town) -> None:
    with t.closed(AUTHORITY, DISMANTLER):
        await t.do(AUTHORITY, "suspend", await _membership(t, DISMANTLER), reason="audit overdue")
        done = await t.do(DISMANTLER, "request-collection", COLLECTOR, **PACK)
    assert t.refusals == ["forbidden: dismantler is no member in good standing: suspended"]
    exchange = await t.exchange(DISMANTLER, done.thread)
    assert (exchange.state, exchange.standing) == ("new", ())
    pack = str(exchange.said[0].message.pack)  # type: ignore[attr-defined]
    life = await t.life(DISMANTLER, pack)
    assert life.state == "registered"
    assert [event.what for event in life.events] == ["registered", "requested", "annulled"]
    assert "no member in good standing" in life.events[-1].how
    assert await t.codes(COLLECTOR, "pack") == []


async def test_a_withdrawn_member_opens_nothing(t: Town) -> None:
    await t.do(AUTHORITY, "withdraw-accreditation", await _membership(t, COLLECTOR), reason="fraud")
    assert await t.states(await _membership(t, COLLECTOR), AUTHORITY, COLLECTOR) == {"withdrawn"}
    words = await undone(t, DISMANTLER, Forbidden, "request-collection", COLLECTOR, **PACK)
    assert words == "collector is no member in good standing: withdrawn"


@pytest.mark.parametrize("who", [AUTHORITY, COLLECTOR])
async def test_whose_membership_ends_has_an_accreditation_no_more(t: Town, who: str) -> None:
    """Even for those who do not read the register."""
    held = (await _accreditations(t))[-1]
    assert (await t.agents[DISMANTLER].lookup.verified(held.document)).verified
    thread = await _membership(t, COLLECTOR)
    if who == AUTHORITY:  # that it was revoked by hand before stands in nobody's way
        await t.do(AUTHORITY, "revoke-credential", credential=held.id, reason="found out")
    action = "withdraw-accreditation" if who == AUTHORITY else "resign"
    await t.do(who, action, thread, reason="closed")
    for agent in t.agents.values():
        for pointer in held.document["credentialStatus"]:
            agent.lookup.forget(pointer["statusListCredential"])
    report = await t.agents[DISMANTLER].lookup.verified(held.document)
    assert report.reason == "It was revoked by its issuer."
    others = {one.id for one in await _accreditations(t, DISMANTLER)}
    marked = await t.read(AUTHORITY, lambda desk: {id for id in (held.id, *others) if desk.standing(id)})
    assert marked == {held.id}
    form: dict[str, object] = {"name": COLLECTOR, "roles": [COLLECTOR]}
    done = await t.do(COLLECTOR, "apply-for-membership", AUTHORITY, **form)
    await t.do(AUTHORITY, "accredit", done.thread)
    again = (await _accreditations(t))[-1]
    assert again.id != held.id
    assert (await t.agents[DISMANTLER].lookup.verified(again.document)).verified


async def _accreditations(t: Town, of: str = COLLECTOR) -> list[Held]:
    return await t.read(AUTHORITY, lambda desk: desk.credentials(t.keys[of].did, "Accreditation"))


async def test_who_resigned_is_struck_off_and_may_apply_again(t: Town) -> None:
    await t.do(COLLECTOR, "resign", await _membership(t, COLLECTOR), reason="retired")
    assert await _status(t, DISMANTLER, COLLECTOR) == "resigned"
    form: dict[str, object] = {"name": COLLECTOR, "roles": [COLLECTOR]}
    done = await t.do(COLLECTOR, "apply-for-membership", AUTHORITY, **form)
    await t.do(AUTHORITY, "accredit", done.thread)
    assert await _status(t, DISMANTLER, COLLECTOR) == "accredited"


# Duties


async def test_a_duty_that_fails_leaves_nothing_behind(t: Town) -> None:
    thread = await scheduled(t)
    pack = await pack_of(t, thread)
    body = {"pack": pack, **HAND_OVER}
    receipt = HandOverReceipt.model_validate(
        {
            "item": pack,
            "from_did": t.keys[COLLECTOR].did,
            "to_did": t.keys[DISMANTLER].did,
            "truck": "4-12",
            "distance_km": 1,
            "load_share": 1,
            "fuel_economy_km_per_l": 1,
        }
    )
    document = _by(t, COLLECTOR, receipt)
    message = parcel(COLLECTION, "hand-over", body, thread=thread, order=3, seen=3, credentials=[document])
    said = await refused(t, COLLECTOR, DISMANTLER, message)
    assert said == "malformed: the receipt attached does not say what the hand-over says"


async def test_a_hand_over_of_another_pack_is_refused(t: Town) -> None:
    thread = await scheduled(t)
    body = {"pack": REQUEST["pack"], **HAND_OVER}
    message = parcel(COLLECTION, "hand-over", body, thread=thread, order=3, seen=3)
    assert "is not the pack of this collection" in await refused(t, COLLECTOR, DISMANTLER, message)


async def test_a_receipt_that_says_something_else_than_the_hand_over_is_refused(t: Town) -> None:
    thread = await scheduled(t)
    pack = await pack_of(t, thread)
    receipt = HandOverReceipt.model_validate(
        {
            "item": pack,
            "from_did": t.keys[DISMANTLER].did,
            "to_did": t.keys[COLLECTOR].did,
            "truck": "4-12",
            "distance_km": "999",
            "load_share": "0.5",
            "fuel_economy_km_per_l": "6.2",
        }
    )
    message = parcel(
        COLLECTION,
        "hand-over",
        {"pack": pack, **HAND_OVER},
        thread=thread,
        order=3,
        seen=3,
        credentials=[_by(t, COLLECTOR, receipt)],
    )
    assert "does not say what the hand-over says" in await refused(t, COLLECTOR, DISMANTLER, message)


async def test_a_receipt_that_confirms_nothing_is_refused_and_the_transport_annulled(t: Town) -> None:
    thread = await scheduled(t)
    pack = await pack_of(t, thread)
    await t.do(COLLECTOR, "record-hand-over", thread, pack=pack, **HAND_OVER)
    message = parcel(COLLECTION, "sign-receipt", thread=thread, order=4, seen=3)
    said = await refused(t, DISMANTLER, COLLECTOR, message)
    assert said == "malformed: the receipt attached does not confirm ours"
    assert await t.whats(COLLECTOR, pack) == ["requested"]


async def test_a_pack_in_hand_is_not_requested_again(t: Town) -> None:
    thread = await scheduled(t)
    pack = await pack_of(t, thread)
    await t.do(COLLECTOR, "record-hand-over", thread, pack=pack, **HAND_OVER)
    await t.do(DISMANTLER, "sign-receipt", thread)
    said = await refused(t, DISMANTLER, COLLECTOR, parcel(COLLECTION, "request", REQUEST | {"pack": pack}))
    assert said == f"malformed: {pack} has been collected already"


async def test_a_disputed_receipt_is_written_anew_and_signed(t: Town) -> None:
    thread = await scheduled(t)
    pack = await pack_of(t, thread)
    await t.do(COLLECTOR, "record-hand-over", thread, pack=pack, **HAND_OVER)
    await t.do(DISMANTLER, "dispute-receipt", thread, reason="the truck was another")
    await t.do(COLLECTOR, "record-hand-over", thread, pack=pack, **(dict(HAND_OVER) | {"truck": "9-99"}))
    await t.do(DISMANTLER, "sign-receipt", thread)
    assert await t.states(thread, DISMANTLER, COLLECTOR) == {"received"}
    for who in (DISMANTLER, COLLECTOR):
        assert (await t.life(who, pack)).events[-1].details["truck"] == "9-99"


async def test_nothing_is_held_back_by_a_name_that_is_no_kind_of_statement(t: Town) -> None:
    pack = await pack_of(t, await ask(t))
    asked = await t.do(COLLECTOR, "ask-disclosure", DISMANTLER, item=pack, purpose="safety")
    form = {"withhold": ["VehicleHistry"]}
    words = await undone(t, DISMANTLER, Invalid, "answer-disclosure", asked.thread, **form)
    assert words == "there is no kind of statement “VehicleHistry”"


# Whatever else comes

JUNK: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**70,
    0.1,
    "",
    "NaN",
    "x" * 5000,
    "\\u0000 \ud800",
    [],
    [[]],
    {},
    {"a": {"b": [None]}},
    ["wet"] * 3000,
)


def _spoilt() -> list[tuple[Protocol, str, dict[str, Any]]]:
    """Return every message as its protocol's README shows it, then with each field missing or junk."""
    bodies = []
    for protocol in PROTOCOLS.values():
        for kind, section in sections(readme(protocol)).items():
            for example in examples(section)[:1]:
                body = {name: value for name, value in example.items() if name[:1] not in "@~"}
                bodies.append((protocol, kind, body))
                for name in body:
                    bodies.append((protocol, kind, {n: v for n, v in body.items() if n != name}))
                    bodies += [(protocol, kind, body | {name: junk}) for junk in JUNK]
    return bodies


@pytest.mark.parametrize("running", [False, True], ids=["on its own", "in a running exchange"])
async def test_whatever_comes_gets_an_answer(t: Town, running: bool) -> None:
    threads = [await scheduled(t) if running else ""]
    if running:
        threads += [dealing.thread for dealing in await t.read(COLLECTOR, lambda desk: desk.dealings())]
    before = t.tables(COLLECTOR)
    orders = dict.fromkeys(threads, 1)
    for thread in filter(None, threads):
        exchange = await t.exchange(COLLECTOR, thread)
        orders[thread] = len(exchange.by(exchange.protocol.other(exchange.side))) + 1
    parcels = []
    for number, (protocol, kind, body) in enumerate(_spoilt()):
        thread = threads[number % len(threads)]
        parcels.append(parcel(protocol, kind, body, thread=thread, order=orders[thread], seen=0))
        orders[thread] += bool(thread)
    assert len(parcels) > 500
    verdicts = await give(t, DISMANTLER, COLLECTOR, *parcels)
    assert {verdict.id for verdict in verdicts} == {one.id for one in parcels}
    assert all(words_of(verdict) for verdict in verdicts if not verdict.taken)
    after = t.tables(COLLECTOR)
    for table in ("credential", "setting", "measurement", "qualification", "job", "peer"):
        assert after[table] == before[table]
