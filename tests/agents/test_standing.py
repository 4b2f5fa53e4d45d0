"""Our status lists: what is issued has its entries, and what is marked is seen by whoever holds it."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from agents import standing
from agents.evidence import Vault
from agents.ports import Desk, Roll, Verdict
from agents.role import Held
from agents.store import SqlStore
from agents.web import Context, site
from credentials import status
from credentials.keys import LocalSigner
from protocols.introduction import INTRODUCTION
from schemas.errors import Forbidden, Invalid, Misstep, Unavailable, Unknown
from tests.agents.clock import Clock
from tests.scenarios.town import (
    AUTHORITY,
    COLLECTOR,
    DISMANTLER,
    HAND_OVER,
    PACK,
    Town,
    collect,
    parcel,
    town,
    words_of,
)

SITE = "https://sakura.example"
SIGNER = LocalSigner.generate()


@pytest.fixture
async def t(tmp_path: Path) -> AsyncIterator[Town]:
    async with town(tmp_path, DISMANTLER, COLLECTOR) as made:
        yield made


async def one(t: Town, who: str, about: str, type_: str) -> Held:
    (held,) = await t.read(who, lambda desk: desk.credentials(about, type_))
    return held


async def reasons(t: Town, who: str, code: str) -> dict[str, str]:
    """Return why each credential about an item does not hold at a company, as it looks now."""
    for list_ in list(t.agents[who].lookup._kept):
        t.agents[who].lookup.forget(list_)
    return {held.id: held.why_not for held in (await t.trace(who, code)).credentials if held.about == code}


async def mark(t: Town, who: str, what: str, id: str, reason: str = "weighed wrongly") -> str:
    done = await t.say(who, f"{what}-credential", credential=id, reason=reason)
    return "".join(done.issued)


async def rolls(t: Town, who: str) -> dict[str, Roll]:
    return {roll.url: roll for roll in await t.read(who, lambda desk: desk.rolls())}


def pointers(held: Held) -> dict[str, status.Entry]:
    return {entry.purpose: entry for entry in status.entries(held.document)}


# Issuing


async def test_what_is_issued_has_an_entry_in_each_list_but_for_what_needs_none(t: Town) -> None:
    _, pack = await collect(t)
    for who in (DISMANTLER, COLLECTOR, AUTHORITY):
        for about in (pack, *(key.did for key in t.keys.values())):
            for held in await t.read(who, lambda desk, about=about: desk.credentials(about)):  # type: ignore[misc]
                wanted = set() if held.type in standing.WITHOUT else set(status.PURPOSES)
                assert set(pointers(held)) == wanted, held.type


async def test_issuing_changes_nothing_that_is_published(t: Town) -> None:
    await collect(t)
    before = {url: roll.edition for url, roll in (await rolls(t, DISMANTLER)).items()}
    await collect(t)
    assert {url: roll.edition for url, roll in (await rolls(t, DISMANTLER)).items()} == before
    assert len(before) == len(status.PURPOSES)


async def test_no_entry_tells_in_which_deal_for_whom_or_when_it_was_given(store: SqlStore) -> None:
    count = 512

    def work(desk: Desk) -> list[list[dict[str, str]]]:
        return [standing.entries(desk, SIGNER, SITE) for _ in range(count)]

    found = await store.write(work)
    for number, purpose in enumerate(status.PURPOSES):
        entries = [pair[number] for pair in found]
        assert {entry["statusListCredential"] for entry in entries} == {entries[0]["statusListCredential"]}
        assert {entry["statusPurpose"] for entry in entries} == {purpose}
        indices = [int(entry["statusListIndex"]) for entry in entries]
        assert len(set(indices)) == count
        # Drawn evenly, whatever came before: a chance of 1 in a million for each to fail.
        sixteenths = [sum(i * 16 // status.LEAST == part for i in indices) for part in range(16)]
        assert all(abs(n - count / 16) < 5 * (count / 16) ** 0.5 for n in sixteenths), sixteenths
        rising = sum(a < b for a, b in pairwise(indices))
        assert abs(rising - count / 2) < 5 * (count / 12) ** 0.5
    same = sum(a["statusListIndex"] == b["statusListIndex"] for a, b in found)
    assert same < 4, "the two entries of a credential have nothing to do with each other"


async def test_no_entry_is_given_twice_though_the_agent_crashes(store: SqlStore, clock: Clock) -> None:
    seen: set[str] = set()
    for _ in range(4):
        for _ in range(3):
            (entry, _) = await store.write(lambda desk: standing.entries(desk, SIGNER, SITE))
            assert entry["id"] not in seen
            seen.add(entry["id"])
        store._writer.cache.clear()  # all that a crash loses

    def broken(desk: Desk) -> None:
        seen.add(standing.entries(desk, SIGNER, SITE)[0]["id"])
        raise Invalid("undone")

    with pytest.raises(Invalid):
        await store.write(broken)
    (entry, _) = await store.write(lambda desk: standing.entries(desk, SIGNER, SITE))
    roll = (await store.read(lambda desk: desk.rolls()))[0]
    assert status.is_set(roll.ledger.given, int(entry["statusListIndex"]))


async def test_a_list_that_is_nearly_full_is_followed_by_another(store: SqlStore) -> None:
    await store.write(lambda desk: standing.entries(desk, SIGNER, SITE))
    (first, *_) = await store.read(lambda desk: desk.rolls())
    full = replace(first, ledger=replace(first.ledger, given=b"\xff" * (status.LEAST // 8)))
    await store.write(lambda desk: desk.keep_roll(full))
    store._writer.cache.clear()
    entry, _ = await store.write(lambda desk: standing.entries(desk, SIGNER, SITE))
    assert entry["statusListCredential"] != first.url
    assert len(await store.read(lambda desk: desk.rolls())) == 3


# Marking


async def test_who_holds_it_sees_that_it_was_revoked_and_from_when_it_is_known(t: Town) -> None:
    _, pack = await collect(t)
    held = await one(t, COLLECTOR, pack, "VehicleHistory")
    assert set((await reasons(t, COLLECTOR, pack)).values()) == {""}
    await mark(t, DISMANTLER, "revoke", held.id)
    for who in (COLLECTOR, DISMANTLER):
        assert {r for r in (await reasons(t, who, pack)).values() if r} == {"It was revoked by its issuer."}
        known = await t.read(who, lambda desk: desk.standing(held.id))
        assert known is not None
        assert known.what == "revoked"
        since = {s.id: s.since for s in (await t.trace(who, pack)).credentials}
        assert since[held.id] == known.at
        assert held not in await t.read(who, lambda desk: desk.in_force(pack, "VehicleHistory"))


async def test_why_it_was_revoked_and_by_whom_stays_in_the_issuers_books(t: Town) -> None:
    _, pack = await collect(t)
    held = await one(t, DISMANTLER, pack, "VehicleHistory")
    await mark(t, DISMANTLER, "revoke", held.id, "the odometer was turned back")
    await reasons(t, COLLECTOR, pack)
    told = await t.read(DISMANTLER, lambda desk: desk.standing(held.id))
    seen = await t.read(COLLECTOR, lambda desk: desk.standing(held.id))
    assert told is not None
    assert seen is not None
    assert (told.reason, told.who) == ("the odometer was turned back", "W-07")
    assert (seen.reason, seen.who) == ("", "")
    assert "odometer was turned" not in "".join(r.edition for r in (await rolls(t, DISMANTLER)).values())


async def test_an_edition_changes_by_more_than_what_was_marked_at_times(
    store: SqlStore, clock: Clock
) -> None:
    changed = []
    for _ in range(24):
        entry, _ = await store.write(lambda desk: standing.entries(desk, SIGNER, SITE))
        before = (await store.read(lambda desk: desk.rolls()))[0].ledger.bits
        held = Held(
            "urn:uuid:" + entry["id"][-6:], "X", "", SIGNER.did, clock(), "", {"credentialStatus": entry}
        )
        await store.write(lambda desk, held=held: standing.mark(desk, SIGNER, [held], "revoked"))  # type: ignore[misc]
        after = (await store.read(lambda desk: desk.rolls()))[0].ledger.bits
        changed.append((int.from_bytes(before) ^ int.from_bytes(after)).bit_count())
    assert min(changed) >= 1
    assert max(changed) > 1


async def test_a_suspension_can_be_lifted_and_a_revocation_cannot(t: Town) -> None:
    _, pack = await collect(t)
    held = await one(t, COLLECTOR, pack, "VehicleHistory")
    await mark(t, DISMANTLER, "suspend", held.id)
    assert "It is suspended by its issuer." in (await reasons(t, COLLECTOR, pack)).values()
    with pytest.raises(Misstep, match="suspended already"):
        await mark(t, DISMANTLER, "suspend", held.id)
    await mark(t, DISMANTLER, "reinstate", held.id)
    assert set((await reasons(t, COLLECTOR, pack)).values()) == {""}
    known = await t.read(COLLECTOR, lambda desk: desk.standing(held.id))
    assert known is not None
    assert known.what == "reinstated"
    with pytest.raises(Misstep, match="not suspended"):
        await mark(t, DISMANTLER, "reinstate", held.id)
    await mark(t, DISMANTLER, "suspend", held.id)
    await mark(t, DISMANTLER, "revoke", held.id)
    for what in ("revoke", "suspend", "reinstate", "refresh"):
        with pytest.raises(Misstep, match="revoked already"):
            await mark(t, DISMANTLER, what, held.id)


async def test_what_is_issued_anew_says_the_same_and_the_old_one_falls(t: Town) -> None:
    _, pack = await collect(t)
    old = await one(t, DISMANTLER, pack, "VehicleHistory")
    new = await mark(t, DISMANTLER, "refresh", old.id)
    found = {held.id: held for held in await t.read(DISMANTLER, lambda desk: desk.credentials(pack))}
    assert found[new].claim == old.claim
    assert pointers(found[new]).keys() == pointers(old).keys()
    assert found[new].document["credentialStatus"] != old.document["credentialStatus"]
    why = await reasons(t, DISMANTLER, pack)
    assert (why[new], why[old.id]) == ("", "It was revoked by its issuer.")
    known = await t.read(DISMANTLER, lambda desk: desk.standing(old.id))
    assert known is not None
    assert known.successor == new


async def test_nobody_marks_what_is_not_theirs_or_has_no_entry_or_without_the_rank(t: Town) -> None:
    _, pack = await collect(t)
    theirs = await one(t, COLLECTOR, pack, "VehicleHistory")
    before = t.tables(COLLECTOR)
    for id in (theirs.id, "urn:uuid:nothing", "x" * 400):
        with pytest.raises(Unknown, match="we issued no credential"):
            await mark(t, COLLECTOR, "revoke", id)
    register = (await t.read(AUTHORITY, lambda desk: desk.credentials(t.keys[AUTHORITY].did)))[-1]
    with pytest.raises(Invalid, match="no entry in a status list"):
        await mark(t, AUTHORITY, "revoke", register.id)
    form = {"credential": theirs.id, "reason": "x"}
    with pytest.raises(Forbidden, match="rank of manager"):
        await t.agents[DISMANTLER].perform("revoke-credential", form, rank="operator")
    assert t.tables(COLLECTOR) == before


async def test_bits_and_records_are_saved_together_or_not_at_all(t: Town) -> None:
    _, pack = await collect(t)
    held = await one(t, DISMANTLER, pack, "VehicleHistory")
    before = t.tables(DISMANTLER)

    def broken(desk: Desk) -> None:
        standing.mark(desk, t.keys[DISMANTLER], [held], "revoked")
        raise Unavailable("lost")

    with pytest.raises(Unavailable):
        await t.write(DISMANTLER, broken)
    assert t.tables(DISMANTLER) == before


async def test_on_a_full_disk_nothing_is_marked_and_the_last_edition_stays(t: Town) -> None:
    _, pack = await collect(t)
    held = await one(t, DISMANTLER, pack, "VehicleHistory")
    before = t.tables(DISMANTLER)

    def full(desk: Any) -> None:
        desk.connection.exec_driver_sql("PRAGMA max_page_count = 1")
        standing.mark(desk, t.keys[DISMANTLER], [held], "suspended", reason="x" * 500_000)

    with pytest.raises(Unavailable, match="full"):
        await t.write(DISMANTLER, full)
    assert t.tables(DISMANTLER) == before
    await mark(t, DISMANTLER, "suspend", held.id)


# Renewing


async def test_lists_are_signed_anew_before_they_expire_and_say_the_same(
    store: SqlStore, clock: Clock
) -> None:
    await store.write(lambda desk: standing.entries(desk, SIGNER, SITE))
    before = await store.read(lambda desk: desk.rolls())
    assert await store.write(lambda desk: standing.renew(desk, SIGNER)) == 0
    clock.wait(days=1)
    assert await store.write(lambda desk: standing.renew(desk, LocalSigner.generate())) == 0
    assert await store.write(lambda desk: standing.renew(desk, SIGNER)) == 2
    after = await store.read(lambda desk: desk.rolls())
    assert [one.ledger for one in after] == [one.ledger for one in before]
    assert all(a.edition != b.edition for a, b in zip(after, before, strict=True))
    assert standing.VALID > 2 * standing.RENEWED
    clock.wait(hours=-3)  # a clock that was ahead
    assert await store.write(lambda desk: standing.renew(desk, SIGNER)) == 2


async def test_a_clock_set_back_a_little_makes_no_edition_look_older(store: SqlStore, clock: Clock) -> None:
    entry, _ = await store.write(lambda desk: standing.entries(desk, SIGNER, SITE))
    first = (await store.read(lambda desk: desk.rolls()))[0]
    clock.wait(seconds=-30)
    held = Held("urn:uuid:1", "X", "", SIGNER.did, clock(), "", {"credentialStatus": entry})
    await store.write(lambda desk: standing.mark(desk, SIGNER, [held], "revoked"))
    second = (await store.read(lambda desk: desk.rolls()))[0]
    assert second.signed >= first.signed
    assert second.edition != first.edition


# Messages


async def test_a_message_with_a_revoked_statement_is_refused_in_words(t: Town) -> None:
    thread = (await t.do(DISMANTLER, "request-collection", COLLECTOR, **PACK)).thread
    pack = (await t.exchange(DISMANTLER, thread)).said[0].message.pack  # type: ignore[attr-defined]
    await t.do(COLLECTOR, "quote-collection", thread, price_jpy=12_000, valid_until="2099-01-31")
    await t.do(DISMANTLER, "accept-quote", thread)
    await t.do(COLLECTOR, "propose-date", thread, pickup="2099-01-15")
    await t.do(DISMANTLER, "agree-date", thread)
    with t.closed(COLLECTOR, DISMANTLER):
        await t.do(COLLECTOR, "record-hand-over", thread, pack=pack, **HAND_OVER)
        receipt = await one(t, COLLECTOR, pack, "HandOverReceipt")
        await mark(t, COLLECTOR, "revoke", receipt.id)
    await t.carry()
    assert any("It was revoked by its issuer." in refusal for refusal in t.refusals)


async def test_what_was_issued_with_a_message_falls_with_it_and_what_is_lasting_stays(t: Town) -> None:
    thread, pack = await collect(t)
    receipt = next(
        held
        for held in await t.read(DISMANTLER, lambda desk: desk.credentials(pack, "HandOverReceipt"))
        if not held.source
    )
    identity = await one(t, DISMANTLER, pack, "ItemIdentity")
    history = await one(t, DISMANTLER, pack, "VehicleHistory")
    letters = await t.read(DISMANTLER, lambda desk: desk.letters(thread, outward=True))
    signed = next(letter for letter in letters if letter.kind == "sign-receipt")
    agent = t.agents[DISMANTLER]
    await agent.settle(signed.peer, (), [Verdict(signed.id, "malformed", "the receipt is blurred", {})])
    why = await reasons(t, DISMANTLER, pack)
    assert why[receipt.id] == "It was revoked by its issuer."
    assert (why[identity.id], why[history.id]) == ("", "")
    known = await t.read(DISMANTLER, lambda desk: desk.standing(receipt.id))
    assert known is not None
    assert "the receipt is blurred" in known.reason
    await agent.settle(signed.peer, (), [Verdict(signed.id, "malformed", "the receipt is blurred", {})])
    assert (await reasons(t, COLLECTOR, pack))[receipt.id] == "It was revoked by its issuer."


async def test_without_network_no_verdict_is_given_and_the_message_is_taken_when_it_is_back(t: Town) -> None:
    thread = (await t.do(DISMANTLER, "request-collection", COLLECTOR, **PACK)).thread
    pack = (await t.exchange(DISMANTLER, thread)).said[0].message.pack  # type: ignore[attr-defined]
    await t.do(COLLECTOR, "quote-collection", thread, price_jpy=12_000, valid_until="2099-01-31")
    await t.do(DISMANTLER, "accept-quote", thread)
    await t.do(COLLECTOR, "propose-date", thread, pickup="2099-01-15")
    await t.do(DISMANTLER, "agree-date", thread)
    t.sites.away.add(t.agents[COLLECTOR].site)
    await t.say(COLLECTOR, "record-hand-over", thread, pack=pack, **HAND_OVER)
    for _ in range(3):
        await t.tick()
    assert (await t.exchange(DISMANTLER, thread)).state == "scheduled"
    assert t.refusals == []
    t.sites.away.clear()
    t.agents[DISMANTLER].lookup._kept.clear()
    t.bells[COLLECTOR].rung = True
    await t.carry()
    assert await t.states(thread, COLLECTOR, DISMANTLER) == {"handed-over"}


async def test_a_strangers_status_list_is_not_fetched(t: Town) -> None:
    t.found("recycler")
    _, ours = await t.connect("recycler", DISMANTLER, 1)
    document = {"credentialStatus": status.entry("https://inner.example/status/1", 1, "revocation")}
    asked = len(t.sites.asked)
    hello = parcel(
        INTRODUCTION, "hello", {"name": "X", "did": t.keys["recycler"].did}, credentials=[document]
    )
    (verdict,) = await t.give(DISMANTLER, ours.id, hello)
    assert "for members only" in words_of(verdict)
    assert len(t.sites.asked) == asked


# The site


class Nobody:
    async def create(self) -> str:
        return ""

    async def accept(self, url: str) -> str:
        return ""


async def test_lists_are_published_to_everyone_and_may_be_kept_for_a_while(t: Town, tmp_path: Path) -> None:
    await collect(t)
    agent = t.agents[DISMANTLER]
    context = Context(agent, Vault(tmp_path / "vault"), Nobody(), agent.site)
    async with TestClient(TestServer(site(context))) as client:
        for url, roll in (await rolls(t, DISMANTLER)).items():
            path = url.removeprefix(agent.site)
            async with client.get(path) as answer:
                assert (answer.status, answer.content_type) == (200, "application/vc")
                assert answer.headers["Cache-Control"] == "public, max-age=300"
                assert answer.headers["Access-Control-Allow-Origin"] == "*"
                assert "Set-Cookie" not in answer.headers
                assert await answer.text() == roll.edition
                tag = answer.headers["ETag"]
            async with client.get(path, headers={"If-None-Match": tag}) as answer:
                assert (answer.status, await answer.text()) == (304, "")
            async with client.get(path, headers={"If-None-Match": '"another"'}) as answer:
                assert answer.status == 200
            document = json.loads(roll.edition)
            assert (await agent.lookup.verified(document)).verified
            assert document["id"] == url
        for path in ("/status/x", "/status/", "/status/..%2f..%2fbooks.db", f"/status/{'x' * 5000}"):
            async with client.get(path) as answer:
                assert answer.status == 404
