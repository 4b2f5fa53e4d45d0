"""A change of the rules: signed, sent to all, in force from its day, and no earlier statement undone."""

import asyncio
import json
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agents.ports import Desk
from agents.service import Done
from governance.framework import FRAMEWORK
from governance.versions import Versions
from protocols.exchange import Exchange
from protocols.membership import MEMBERSHIP
from schemas.claims import GovernanceFramework, ItemIdentity
from schemas.errors import Fault, Forbidden, Invalid
from schemas.items import item_uri, mint
from tests.scenarios.town import (
    AUTHORITY,
    COLLECTOR,
    DISMANTLER,
    PACK,
    RECYCLER,
    Town,
    parcel,
    sealed,
    town,
    words_of,
)

TEXT = (Path(__file__).parents[2] / "governance" / "framework.toml").read_text("utf-8")
DAY = timedelta(days=1)
JAPAN = timedelta(hours=9)


def rules(version: int = 2, **changed: Any) -> dict[str, Any]:
    """The bundled rules with another number, and some tables changed."""
    return tomllib.loads(TEXT) | {"version": version} | changed


def without_dismantlers(version: int = 2) -> dict[str, Any]:
    """Rules by which a dismantler registers no item any more."""
    changed = rules(version)
    changed["claims"]["ItemIdentity"]["issuers"] = ["collector", "reuse-manufacturer"]
    return changed


def tomorrow(t: Town) -> date:
    """The day after today, where the rules are at home."""
    return (t.now() + JAPAN + DAY).date()


async def put(t: Town, document: Mapping[str, Any], day: date | None = None) -> Done:
    day = day or (t.now() + JAPAN).date()
    return await t.do(
        AUTHORITY, "put-framework-in-force", rules=json.dumps(document), holds_from=day.isoformat()
    )


async def held(t: Town, who: str) -> Versions:
    return await t.read(who, lambda desk: desk.frameworks())


async def in_force(t: Town, who: str, at: datetime | None = None) -> int:
    return await t.read(who, lambda desk: desk.framework(at).version)


async def membership(t: Town, who: str) -> Exchange:
    def find(desk: Desk) -> Exchange:
        (dealing,) = desk.dealings(MEMBERSHIP.name)
        exchange = desk.exchange(dealing.thread)
        assert exchange is not None
        return exchange

    return await t.read(who, find)


async def tell(t: Town, who: str, document: Mapping[str, Any], version: int) -> str:
    """Hand a member a version as if the authority's agent had sent it; return why it was refused."""
    exchange = await membership(t, who)
    message = parcel(
        MEMBERSHIP,
        "framework",
        {"version": version, "holds_from": document["credentialSubject"]["holds_from"]},
        thread=exchange.thread,
        order=len(exchange.by("authority")) + 1,
        seen=len(exchange.by("member")),
        credentials=[document],
    )
    (verdict,) = await t.give(who, exchange.peer, message)
    return "" if verdict.taken else words_of(verdict)


def stated(t: Town, document: Mapping[str, Any], **changed: Any) -> GovernanceFramework:
    version = document["version"]
    claim = {"did": t.keys[AUTHORITY].did, "version": version, "holds_from": t.now() + DAY, "rules": document}
    return GovernanceFramework.model_validate(claim | changed)


async def test_who_joins_holds_what_the_authority_holds(tmp_path: Path) -> None:
    async with town(tmp_path, DISMANTLER) as t:
        await put(t, rules(2), tomorrow(t))
        await put(t, rules(3), tomorrow(t) + DAY)
        t.found(RECYCLER)
        await t.admit(RECYCLER)
        versions = [(one.version, one.digest, one.holds_from) for one in await held(t, AUTHORITY)]
        assert [version for version, _, _ in versions] == [1, 2, 3]
        assert versions[0][1] == FRAMEWORK.digest
        for who in (DISMANTLER, RECYCLER):
            assert [(one.version, one.digest, one.holds_from) for one in await held(t, who)] == versions
        assert not t.refusals


async def test_a_version_holds_from_its_day_whichever_way_the_clock_jumps(tmp_path: Path) -> None:
    async with town(tmp_path, COLLECTOR) as t:
        await put(t, rules(2), tomorrow(t))
        for ahead, version in ((0, 1), (2, 2), (0, 1), (400, 2), (-400, 1), (2, 2)):
            t.ahead = timedelta(days=ahead)
            for who in (AUTHORITY, COLLECTOR):
                assert await in_force(t, who) == version


async def test_what_was_said_is_judged_by_the_version_of_its_day(tmp_path: Path) -> None:
    async with town(tmp_path, DISMANTLER, COLLECTOR) as t:
        key, pack = t.keys[DISMANTLER], mint("pack")
        claim = ItemIdentity(item=pack, kind="pack")
        old = sealed(key, claim, item_uri(key.did, pack))
        await put(t, without_dismantlers(), tomorrow(t))
        t.ahead = 3 * DAY
        new = sealed(key, claim, item_uri(key.did, pack), at=t.now())
        check = partial(t.agents[COLLECTOR].check, known=t.agents[COLLECTOR].lookup.known())
        assert await t.read(COLLECTOR, lambda desk: check(old, desk)) == ("ItemIdentity", key.did)
        with pytest.raises(Invalid, match="may not issue"):
            await t.read(COLLECTOR, lambda desk: check(new, desk))
        t.ahead = timedelta()
        again = sealed(key, claim, item_uri(key.did, pack))
        assert await t.read(COLLECTOR, lambda desk: check(again, desk))


async def test_a_company_may_issue_what_the_version_of_today_lets_it(tmp_path: Path) -> None:
    async with town(tmp_path, DISMANTLER, COLLECTOR) as t:
        await put(t, without_dismantlers())
        with pytest.raises(Forbidden, match="may not issue"):
            await t.do(DISMANTLER, "request-collection", COLLECTOR, **PACK)


async def test_a_seal_that_the_framework_does_not_know_does_not_count(tmp_path: Path) -> None:
    async with town(tmp_path, DISMANTLER, COLLECTOR) as t:
        key, pack = t.keys[DISMANTLER], mint("pack")
        document = sealed(key, ItemIdentity(item=pack, kind="pack"), item_uri(key.did, pack))
        narrow = rules(2, suites={"issue": ["vc+jwt"], "did_methods": ["did:key"]})
        assert await tell(t, COLLECTOR, sealed(t.keys[AUTHORITY], stated(t, narrow), "urn:f"), 2) == ""
        t.ahead = 2 * DAY
        late = sealed(key, ItemIdentity(item=pack, kind="pack"), item_uri(key.did, pack), at=t.now())
        check = partial(t.agents[COLLECTOR].check, known=t.agents[COLLECTOR].lookup.known())
        assert await t.read(COLLECTOR, lambda desk: check(document, desk))
        with pytest.raises(Invalid, match="a seal that the framework does not know"):
            await t.read(COLLECTOR, lambda desk: check(late, desk))


async def test_a_forged_version_is_refused(tmp_path: Path) -> None:
    async with town(tmp_path, DISMANTLER, COLLECTOR) as t:
        forger = t.keys[DISMANTLER]
        before = [one.digest for one in await held(t, COLLECTOR)]
        claim = stated(t, rules(9))
        assert "states what its issuer cannot" in await tell(t, COLLECTOR, sealed(forger, claim, "urn:f"), 9)
        own = stated(t, rules(9), did=forger.did)
        assert "may not issue it" in await tell(t, COLLECTOR, sealed(forger, own, "urn:f"), 9)
        named = sealed(forger, claim, "urn:f", issuer=t.keys[AUTHORITY].did)
        assert "does not verify" in await tell(t, COLLECTOR, named, 9)
        assert [one.digest for one in await held(t, COLLECTOR)] == before


@pytest.mark.parametrize(
    ("changed", "number", "words"),
    [
        ({"version": 3}, 3, "number is not that of its rules"),
        ({}, 3, "no framework of this version is attached"),
        ({"holds_from": datetime(2020, 1, 1, tzinfo=UTC)}, 2, "from before it was signed"),
        ({"rules": {"version": 2}}, 2, "The framework cannot be read"),
        ({"rules": rules(2) | {"roles": {}}}, 2, "names a role it does not have"),
    ],
)
async def test_a_version_that_cannot_be_is_refused(
    tmp_path: Path, changed: dict[str, Any], number: int, words: str
) -> None:
    async with town(tmp_path, COLLECTOR) as t:
        claim = stated(t, rules(2), **changed)
        assert words in await tell(t, COLLECTOR, sealed(t.keys[AUTHORITY], claim, "urn:f"), number)
        assert (await held(t, COLLECTOR)).newest.version == 1


async def test_there_is_no_way_back_to_an_older_version(tmp_path: Path) -> None:
    async with town(tmp_path, COLLECTOR) as t:
        await put(t, rules(3))
        key = t.keys[AUTHORITY]
        older = sealed(key, stated(t, without_dismantlers(2)), "urn:f")
        assert await tell(t, COLLECTOR, older, 2) == ""
        assert [one.version for one in await held(t, COLLECTOR)] == [1, 3]
        other = sealed(key, stated(t, without_dismantlers(3)), "urn:f")
        assert "another version 3 of the framework is held" in await tell(t, COLLECTOR, other, 3)
        t.ahead = 2 * DAY
        assert await in_force(t, COLLECTOR) == 3
        with pytest.raises(Invalid, match="it must be greater than 3"):
            await put(t, rules(2))


async def test_of_two_put_in_force_at_once_one_is_refused(tmp_path: Path) -> None:
    async with town(tmp_path, COLLECTOR) as t:
        outcomes = await asyncio.gather(
            put(t, rules(2), tomorrow(t)), put(t, without_dismantlers(2), tomorrow(t)), return_exceptions=True
        )
        (refused,) = [one for one in outcomes if isinstance(one, BaseException)]
        assert isinstance(refused, Invalid)
        await t.carry()
        ours, theirs = await held(t, AUTHORITY), await held(t, COLLECTOR)
        assert [one.version for one in theirs] == [1, 2]
        assert theirs.newest.digest == ours.newest.digest


async def test_a_later_version_may_overtake_one_whose_day_has_not_come(tmp_path: Path) -> None:
    async with town(tmp_path, COLLECTOR) as t:
        await put(t, rules(2), tomorrow(t) + 10 * DAY)
        await put(t, rules(3), tomorrow(t))
        for days in (0, 2, 20):
            t.ahead = timedelta(days=days)
            assert await in_force(t, COLLECTOR) == (3 if days else 1)


async def test_a_member_takes_what_it_does_not_understand_yet(tmp_path: Path) -> None:
    async with town(tmp_path, COLLECTOR) as t:
        tomorrows = rules(2, quotas={"cells": 3})
        tomorrows["roles"]["insurer"] = {"en": "Insures.", "ja": "保険を引き受ける。", "rank": 1}
        assert await tell(t, COLLECTOR, sealed(t.keys[AUTHORITY], stated(t, tomorrows), "urn:f"), 2) == ""
        newest = (await held(t, COLLECTOR)).newest
        assert "insurer" in newest.roles
        assert newest.document["quotas"] == {"cells": 3}


async def test_the_suspended_hear_of_it_and_who_has_left_does_not(tmp_path: Path) -> None:
    async with town(tmp_path, DISMANTLER, COLLECTOR, RECYCLER) as t:
        threads = {name: (await membership(t, name)).thread for name in (DISMANTLER, RECYCLER)}
        await t.do(AUTHORITY, "suspend", threads[DISMANTLER], reason="audit overdue")
        await t.do(RECYCLER, "resign", threads[RECYCLER], reason="closing down")
        await put(t, rules(2))
        newest = {name: (await held(t, name)).newest.version for name in (DISMANTLER, COLLECTOR, RECYCLER)}
        assert newest == {DISMANTLER: 2, COLLECTOR: 2, RECYCLER: 1}
        assert not t.refusals


def changed(path: str, value: Any) -> dict[str, Any]:
    """The next rules with one thing in them changed, or taken out."""
    document = rules(2)
    *way, last = path.split("/")
    place = document
    for name in way:
        place = place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return document


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (rules(1), "it must be greater than 1"),
        (changed("roles/pirate", {"en": "Takes.", "ja": "奪う。"}), "does not know: pirate"),
        (changed("claims/Gossip", rules()["claims"]["Introduction"]), "does not know: Gossip"),
        (changed("claims/DueDiligence", None), "lacks a claim type: DueDiligence"),
        (changed("claims/SafetyTest/schema", "sha256:" + "0" * 64), "another schema of SafetyTest"),
        (changed("claims/SafetyTest/fields", {"smell": "limited"}), "SafetyTest has no field smell"),
        (changed("claims/MembershipRegister/issuers", ["collector"]), "no longer issue MembershipRegister"),
        (changed("protocols/tea~1.0", {"host": ["any"]}), "does not know: tea~1.0"),
        (changed("statuses/accredited/may_deal", False), "nobody could deal"),
        (
            changed("methods", [dict(rules()["methods"][0], code_digest="sha256:00")]),
            f"does not have: {rules()['methods'][0]['name']}",
        ),
        (changed("suites/issue", ["vc+jwt"]), "does not allow the seal"),
        (changed("colour", "green"), "colour: Extra inputs"),
        (changed("legal/time_zone", "Mars/Olympus"), "no time zone Mars/Olympus"),
        (
            changed("grades", [dict(rules()["grades"][0], needs=[{"measurement": "taste"}])]),
            "no diagnosis states: taste",
        ),
    ],
)
async def test_rules_that_nobody_could_live_by_are_refused_in_words(
    settled: Town, document: dict[str, Any], words: str
) -> None:
    before = settled.tables(AUTHORITY)
    with pytest.raises(Invalid) as refused:
        await put(settled, document)
    assert words in str(refused.value)
    assert settled.tables(AUTHORITY) == before


@pytest.mark.parametrize(("text", "words"), [("", "rules"), ("name =", "cannot be read"), ("{", "not JSON")])
async def test_a_text_that_is_no_framework_is_refused(settled: Town, text: str, words: str) -> None:
    with pytest.raises(Fault, match=words):
        await settled.do(AUTHORITY, "put-framework-in-force", rules=text, holds_from="2099-01-01")


async def test_a_day_gone_by_is_refused(settled: Town) -> None:
    with pytest.raises(Invalid, match="2025-01-01 has gone by"):
        await put(settled, rules(2), date(2025, 1, 1))


async def test_only_an_administrator_of_the_authority_puts_a_framework_in_force(settled: Town) -> None:
    form = {"rules": json.dumps(rules(2)), "holds_from": "2099-01-01"}
    with pytest.raises(Forbidden, match="needs the rank"):
        await settled.agents[AUTHORITY].perform("put-framework-in-force", form, rank="manager")
    with pytest.raises(Fault, match="no action"):
        await settled.do(COLLECTOR, "put-framework-in-force", **form)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """An authority and a member, at rest; nothing that a test here tries changes anything."""

    async def settle() -> Town:
        folder = tmp_path_factory.mktemp("framework")
        async with town(folder, COLLECTOR) as made:
            return made

    left = asyncio.run(settle())
    return left.copy(tmp_path_factory.mktemp("again"))
