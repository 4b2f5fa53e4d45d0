"""A trace tells what is known of an item, and what of it holds."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.role import Held
from protocols.disclosure import DISCLOSURE
from schemas.claims import ItemIdentity
from schemas.errors import Invalid, Misstep, Unknown
from schemas.items import item_uri, mint
from tests.scenarios.town import (
    COLLECTOR,
    DISMANTLER,
    RECYCLER,
    Town,
    collect,
    parcel,
    sealed,
    take_apart,
    town,
)


@pytest.fixture
async def t(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path, DISMANTLER, COLLECTOR, RECYCLER) as made:
        yield made


async def tell(t: Town, who: str, *identities: ItemIdentity) -> None:
    """Have a company tell the collector of items."""
    key = t.keys[who]
    peers = await t.read(COLLECTOR, lambda desk: desk.peers())
    (peer,) = [peer.id for peer in peers if peer.name == who]
    for one in identities:
        asked = await t.do(COLLECTOR, "ask-disclosure", who, item=one.item, purpose="safety")
        document = sealed(key, one, item_uri(key.did, one.item))
        answer = parcel(DISCLOSURE, "disclose", thread=asked.thread, seen=1, credentials=[document])
        (verdict,) = await t.give(COLLECTOR, peer, answer)
        assert verdict.taken


async def test_what_is_no_code_or_names_nothing_is_said_to_be_so(t: Town) -> None:
    with pytest.raises(Invalid, match="is not an item code"):
        await t.trace(COLLECTOR, "a box")
    with pytest.raises(Unknown, match="we have no item P"):
        await t.trace(COLLECTOR, mint("pack"))


async def test_a_code_is_found_as_people_type_it(t: Town) -> None:
    _, pack = await collect(t)
    assert (await t.trace(COLLECTOR, f" {pack.lower()} ")).code == pack


async def test_a_trace_is_json_with_all_of_it(t: Town) -> None:
    _, pack = await collect(t)
    trace = await t.trace(COLLECTOR, pack)
    told = json.loads(json.dumps(trace.to_json()))
    assert [link["code"] for link in told["chain"]] == [link.code for link in trace.chain]
    assert len(told["events"]) == len(trace.events)
    assert all(statement["verifies"] for statement in told["credentials"])


async def test_a_credential_that_was_tampered_with_here_shows_as_not_verifying(t: Town) -> None:
    _, pack = await collect(t)
    (held,) = await t.read(COLLECTOR, lambda desk: desk.credentials(pack, "VehicleHistory"))
    subject = dict(held.claim) | {"odometer_km": 1}
    document = dict(held.document) | {"credentialSubject": subject, "id": "urn:uuid:forged"}
    forged = Held("urn:uuid:forged", held.type, pack, held.issuer, held.at, "0", document, held.source)
    await t.write(COLLECTOR, lambda desk: desk.keep_credential(forged))
    told = {one.id: one for one in (await t.trace(COLLECTOR, pack)).credentials}
    assert told[held.id].verifies
    assert not told["urn:uuid:forged"].verifies
    assert "signature is wrong" in told["urn:uuid:forged"].why_not


async def test_others_cannot_say_that_our_item_is_something_else(t: Town) -> None:
    _, pack = await collect(t)
    (cell,) = await take_apart(t, pack, 1)
    claim = ItemIdentity(item=cell, kind="cell", part_of=mint("pack"), position="99", chemistry="LFP")
    await tell(t, RECYCLER, claim)
    trace = await t.trace(COLLECTOR, cell)
    link = next(link for link in trace.chain if link.code == cell)
    assert (link.position, link.chemistry, link.registrar) == ("1", "NMC", COLLECTOR)
    assert pack in [link.code for link in trace.chain]


async def test_a_circle_of_items_is_gone_round_once(t: Town) -> None:
    """Somebody says that the vehicle is part of the cell that came out of it."""
    _, pack = await collect(t)
    (cell,) = await take_apart(t, pack, 1)
    (vehicle,) = await t.codes(COLLECTOR, "vehicle")
    await tell(t, RECYCLER, ItemIdentity(item=vehicle, kind="vehicle", part_of=cell))
    codes = [link.code for link in (await t.trace(COLLECTOR, cell)).chain]
    assert sorted(codes) == sorted({vehicle, pack, cell})
    form: dict[str, object] = {"items": [cell], "purpose": "reuse", "price_jpy": 1}
    with pytest.raises(Misstep, match="may not be shipped for reuse"):
        await t.say(COLLECTOR, "offer-lot", RECYCLER, **form)
