"""Audits by sample: neither side chooses the draw; what is left out or swapped is found, and who is late."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.gateways.auditor import Auditor
from agents.ports import Parcel
from agents.role import Held, Item
from agents.roles.sampling import errands, sample_of
from credentials.vc import digest
from governance.sampling import commitment, drawn, fresh_seed
from protocols.exchange import Exchange
from protocols.sampling import MOST_DECLARED, SAMPLING, Announce, Declare, Decline, Draw, Find, Remind, Submit
from schemas.claims import Prediction
from schemas.errors import Invalid, Misstep
from tests.governance.stated import fleet
from tests.scenarios.town import AUTHORITY, COLLECTOR, WORKSHOP, Town, parcel, sealed, town, words_of

names = st.lists(st.text("0123456789abcdef", min_size=4, max_size=8), unique=True, max_size=30)
seeds = st.binary(min_size=32, max_size=32).map(bytes.hex)
FADE = [{"cycle": 50 * n, "soh_pct": round(95 - 0.7 * n - 0.02 * n * n, 2), "sd_pct": 0.3} for n in range(9)]
DAY = timedelta(days=1)
SHARE: dict[str, object] = {"share_pct": 100, "least_count": 1}


# The draw


@given(names, seeds, st.integers(0, 100), st.integers(1, 10), st.randoms())
def test_the_draw_is_the_same_for_both_whatever_order_they_hold_the_list_in(
    declared: list[str], seed: str, share: int, least: int, random: Any
) -> None:
    first = drawn(declared, seed, share, least, 50)
    random.shuffle(declared)
    assert drawn(declared, seed, share, least, 50) == first


@given(names, seeds, st.integers(0, 100), st.integers(1, 10), st.integers(1, 20))
def test_as_many_are_drawn_as_was_announced_and_none_that_was_not_declared(
    declared: list[str], seed: str, share: int, least: int, most: int
) -> None:
    found = drawn(declared, seed, share, least, most)
    assert len(set(found)) == len(found)
    assert set(found) <= set(declared)
    assert len(found) <= most
    assert len(found) >= min(most, len(declared), least)
    assert 100 * len(found) >= min(100 * most, share * len(declared))


def test_each_prediction_is_drawn_as_often_as_any_other() -> None:
    declared = [f"{n:04x}" for n in range(10)]
    counts = dict.fromkeys(declared, 0)
    for n in range(2000):
        (name,) = drawn(declared, f"{n:064x}", 10, 1, 50)
        counts[name] += 1
    # 200 each, standard deviation 13.4: five of them.
    assert all(133 <= count <= 267 for count in counts.values())


def test_one_prediction_more_or_less_gives_another_draw_and_another_seed_another_seal() -> None:
    declared = [f"{n:04x}" for n in range(40)]
    seed = fresh_seed()
    before = drawn(declared, seed, 25, 1, 50)
    assert before != drawn([*declared[:-1], "ffff"], seed, 25, 1, 50)
    assert before != drawn(declared, fresh_seed(), 25, 1, 50)
    assert commitment(seed) != commitment(fresh_seed())


# A member with three predictions


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Town, str]:
    async def play() -> tuple[Town, str]:
        async with town(tmp_path_factory.mktemp("sampling"), COLLECTOR) as t:
            code = "P3F9KQ27MH-C001-I"
            item = Item(code, "cell", t.keys[COLLECTOR].did, model="warwick-5ah")
            await t.write(COLLECTOR, lambda desk: desk.keep_item(item))
            for cycles in ([500], [600], [700]):
                form: dict[str, Any] = {"item": code, "history": FADE, "cycles": cycles, "threshold_pct": 70}
                await t.do(COLLECTOR, "predict-life", "", **form)
            return t, code

    return asyncio.run(play())


@pytest.fixture
async def t(made: tuple[Town, str], tmp_path: Path) -> AsyncIterator[Town]:
    """The day after: the same town, with books of its own."""
    again = made[0].copy(tmp_path)
    again.sites = made[0].sites
    again.ahead = DAY
    yield again
    again.close()


def plan(t: Town, **more: object) -> dict[str, object]:
    """A plan for the day before, due in ten days."""
    day = t.now().date()
    period = {"first_day": str(day - DAY), "last_day": str(day - DAY), "due": str(day + 10 * DAY)}
    return SHARE | period | more


async def stated(t: Town) -> list[Held]:
    did = t.keys[COLLECTOR].did
    return await t.read(COLLECTOR, lambda desk: desk.issued(did, "Prediction", date(2020, 1, 1)))


async def peer(t: Town, who: str) -> str:
    (found,) = await t.read(who, lambda desk: desk.peers())
    return found.id


async def codes(t: Town, thread: str) -> list[str]:
    exchange = await t.exchange(AUTHORITY, thread)
    assert exchange.state == "found"
    return [finding.code for finding in exchange.last(Find).findings]


async def certificates(t: Town, who: str) -> list[Held]:
    did = t.keys[COLLECTOR].did
    return await t.read(who, lambda desk: desk.credentials(did, "SamplingCertificate"))


async def watch(t: Town) -> None:
    await Auditor(t.agents[AUTHORITY], WORKSHOP).watch()


async def test_the_certificate_says_what_was_covered(t: Town) -> None:
    made = await stated(t)
    await t.do(COLLECTOR, "revoke-credential", credential=made[1].id, reason="made anew")
    thread = (await t.do(AUTHORITY, "announce-sampling", COLLECTOR, **plan(t))).thread
    assert not t.refusals
    assert await t.states(thread, AUTHORITY, COLLECTOR) == {"certified"}
    (held,) = await certificates(t, COLLECTOR)
    day = str(t.now().date() - DAY)
    assert (held.claim["first_day"], held.claim["last_day"]) == (day, day)
    counted = [held.claim[name] for name in ("declared_count", "withdrawn_count", "passed_count")]
    assert counted == [3, 1, 2]
    assert set(held.claim["sampled_digests"]) == {made[0].digest, made[2].digest}


async def test_both_sides_draw_the_same_and_only_what_is_drawn_is_sent(t: Town) -> None:
    form = plan(t, share_pct=0)
    thread = (await t.do(AUTHORITY, "announce-sampling", COLLECTOR, **form)).thread
    ours, theirs = await t.exchange(AUTHORITY, thread), await t.exchange(COLLECTOR, thread)
    seed = ours.last(Draw).seed
    assert sample_of(ours, seed) == sample_of(theirs, seed)
    assert [one.prediction for one in ours.last(Submit).made] == list(sample_of(ours, seed))
    (held,) = await certificates(t, AUTHORITY)
    assert (held.claim["declared_count"], held.claim["passed_count"]) == (3, 1)


async def test_nothing_that_is_sent_names_an_item_a_buyer_or_a_price(t: Town, made: tuple[Town, str]) -> None:
    thread = (await t.do(AUTHORITY, "announce-sampling", COLLECTOR, **plan(t))).thread
    exchange = await t.exchange(AUTHORITY, thread)
    said = [one.message.model_dump(mode="json") for one in exchange.said if one.sender == "member"]
    did = t.keys[COLLECTOR].did
    about = {s["subject"] for one in exchange.last(Submit).made for s in [one.inputs]}
    given = await t.read(AUTHORITY, lambda desk: [h for a in about for h in desk.credentials(a)])
    assert {held.type for held in given} == {"Prediction", "CheckUps"}
    text = json.dumps([said, [held.document for held in given]])
    assert made[1] not in text
    assert "price" not in text
    assert {word.partition("#")[0] for word in text.split('"') if word.startswith("did:")} == {did}


async def test_the_fleets_that_predictions_were_made_with_are_sent_once(t: Town) -> None:
    learned = fleet()
    item = Item("P3F9KQ27MH-C002-G", "cell", t.keys[COLLECTOR].did, model=learned.model)
    await t.write(COLLECTOR, lambda desk: desk.keep_item(item))
    await t.do(COLLECTOR, "adopt-fleet", "", fleet=learned.model_dump(mode="json"))
    for cycles in ([500], [600]):
        form: dict[str, Any] = {"item": item.code, "history": FADE, "cycles": cycles, "threshold_pct": 70}
        await t.do(COLLECTOR, "predict-life", "", **form)
    t.ahead += DAY
    thread = (await t.do(AUTHORITY, "announce-sampling", COLLECTOR, **plan(t))).thread
    sent = (await t.exchange(AUTHORITY, thread)).last(Submit)
    assert [one.named for one in sent.fleets] == [learned.digest()]
    assert len(sent.made) == 2
    assert await t.states(thread, AUTHORITY, COLLECTOR) == {"certified"}


async def test_a_member_that_made_nothing_gets_a_certificate_that_says_so(t: Town) -> None:
    day = str(t.now().date() - 30 * DAY)
    form = plan(t, first_day=day, last_day=day)
    await t.do(AUTHORITY, "announce-sampling", COLLECTOR, **form)
    (held,) = await certificates(t, COLLECTOR)
    assert (held.claim["declared_count"], held.claim["passed_count"]) == (0, 0)


# Who cheats


async def announced(t: Town, **more: object) -> str:
    """Announce to a member that does not answer by itself."""
    with t.closed(AUTHORITY, COLLECTOR):
        return (await t.say(AUTHORITY, "announce-sampling", COLLECTOR, **plan(t, **more))).thread


async def say(
    t: Town, thread: str, kind: str, body: dict[str, Any], order: int, documents: Sequence[Any] = ()
) -> str:
    """Say something to the authority that an honest member's agent would not; return the refusal."""
    told = parcel(SAMPLING, kind, body, thread=thread, order=order, seen=order, credentials=list(documents))
    (verdict,) = await t.give(AUTHORITY, await peer(t, AUTHORITY), told)
    return "" if verdict.taken else words_of(verdict)


async def test_a_prediction_that_the_authority_knows_of_cannot_be_left_out(t: Town) -> None:
    known, *others = await stated(t)
    await t.do(COLLECTOR, "request-audit", AUTHORITY, prediction=known.id)
    thread = await announced(t)
    await say(t, thread, "declare", {"standing": [one.digest for one in others]}, 1)
    assert await codes(t, thread) == ["left-out"]
    (finding,) = (await t.exchange(AUTHORITY, thread)).last(Find).findings
    assert finding.prediction == known.digest


async def submission(t: Town, thread: str) -> tuple[dict[str, Any], list[Any]]:
    """Return what the honest member would submit for the first prediction alone."""
    first = (await stated(t))[0]
    records = await t.read(COLLECTOR, lambda desk: desk.prediction_inputs(first.about))
    assert records
    item = str(records["item"])
    kept = await t.read(COLLECTOR, lambda desk: desk.measurements(item))
    check_ups = await t.read(COLLECTOR, lambda desk: desk.credentials(first.about, "CheckUps"))
    body = {"made": [{"prediction": first.digest, "inputs": dict(kept[0]["inputs"])}]}
    await say(t, thread, "declare", {"standing": [first.digest]}, 1)
    return json.loads(json.dumps(body)), [first.document, *(one.document for one in check_ups)]


async def test_what_an_honest_member_sends_is_certified_so_that_the_others_fail_for_what_they_changed(
    t: Town,
) -> None:
    thread = await announced(t)
    body, documents = await submission(t, thread)
    assert not await say(t, thread, "submit", body, 2, documents)
    await t.audit()
    assert (await t.exchange(AUTHORITY, thread)).state == "certified"


async def test_a_prediction_swapped_for_another_is_found(t: Town) -> None:
    thread = await announced(t)
    body, documents = await submission(t, thread)
    other = (await stated(t))[1]
    body["made"][0]["prediction"] = other.digest
    assert not await say(t, thread, "submit", body, 2, [other.document, *documents[1:]])
    await t.audit()
    assert await codes(t, thread) == ["not-submitted"]


async def test_another_prediction_under_the_drawn_ones_digest_is_found(t: Town) -> None:
    thread = await announced(t)
    body, documents = await submission(t, thread)
    other = (await stated(t))[1]
    assert not await say(t, thread, "submit", body, 2, [other.document, *documents[1:]])
    await t.audit()
    assert await codes(t, thread) == ["not-submitted"]


async def test_altered_inputs_and_check_ups_kept_back_are_found(t: Town) -> None:
    thread = await announced(t)
    body, documents = await submission(t, thread)
    body["made"][0]["inputs"]["observations"][0]["soh_pct"] += 1
    assert not await say(t, thread, "submit", body, 2, documents[:1])
    await t.audit()
    assert {"wrong-inputs", "missing-check-ups"} <= set(await codes(t, thread))


async def test_a_drawn_prediction_that_is_revoked_instead_of_sent_is_found(t: Town) -> None:
    with t.closed(AUTHORITY, COLLECTOR):
        thread = (await t.say(AUTHORITY, "announce-sampling", COLLECTOR, **plan(t))).thread
    t.shut = {(AUTHORITY, COLLECTOR)}
    announce = (await t.exchange(AUTHORITY, thread)).last(Announce).model_dump(mode="json")
    opening = parcel(SAMPLING, "announce", announce, thread=thread, id=thread)
    assert (await t.give(COLLECTOR, await peer(t, COLLECTOR), opening))[0].taken
    bad = (await stated(t))[0]
    await t.do(COLLECTOR, "revoke-credential", credential=bad.id, reason="it would not hold")
    t.shut = set()
    t.bells[AUTHORITY].rung = t.bells[COLLECTOR].rung = True
    await t.carry()
    assert await codes(t, thread) == ["not-submitted"]
    (finding,) = (await t.exchange(COLLECTOR, thread)).last(Find).findings
    assert finding.prediction == bad.digest


async def test_a_prediction_of_another_period_is_no_answer(t: Town) -> None:
    thread = await announced(t)
    key = t.keys[COLLECTOR]
    claim = Prediction(subject="urn:meguri:subject:1", statement={"a": 1})
    today = sealed(key, claim, claim.subject, at=t.now())
    name = digest(today)
    assert not await say(t, thread, "declare", {"standing": [name]}, 1)
    body = {"made": [{"prediction": name, "inputs": {}}]}
    assert not await say(t, thread, "submit", body, 2, [today])
    await t.audit()
    assert await codes(t, thread) == ["other-period"]


async def test_who_has_declared_cannot_declare_again(t: Town) -> None:
    thread = await announced(t)
    await submission(t, thread)
    there = await peer(t, AUTHORITY)
    letters = await t.read(AUTHORITY, lambda desk: desk.letters(thread, outward=True))
    await t.agents[AUTHORITY].settle(there, [letter.id for letter in letters], [])
    words = await say(t, thread, "declare", {"standing": []}, 2)
    assert words == "member may not send declare when the exchange is drawn"


async def test_the_member_sends_nothing_for_a_seed_that_was_not_sealed(t: Town) -> None:
    seed, other = fresh_seed(), fresh_seed()
    body = plan(t, every_days=0, commitment=commitment(seed))
    opening = parcel(SAMPLING, "announce", body)
    there = await peer(t, COLLECTOR)

    def draw(seed: str, order: int, seen: int) -> Parcel:
        return parcel(SAMPLING, "draw", {"seed": seed}, thread=opening.thread, order=order, seen=seen)

    t.shut = {(AUTHORITY, COLLECTOR), (COLLECTOR, AUTHORITY)}
    assert (await t.give(COLLECTOR, there, opening))[0].taken
    (verdict,) = await t.give(COLLECTOR, there, draw(other, 2, 1))
    assert words_of(verdict) == "the seed is not the one that was sealed before we declared"
    exchange = await t.exchange(COLLECTOR, opening.thread)
    assert (exchange.state, [type(s.message) for s in exchange.by("member")]) == ("declared", [Declare])
    assert (await t.give(COLLECTOR, there, draw(seed, 3, 1)))[0].taken
    assert (await t.exchange(COLLECTOR, opening.thread)).state == "submitted"


# Who is late, dies, or cannot


async def test_who_does_not_answer_is_reminded_once_and_then_found_out(t: Town) -> None:
    thread = await announced(t)
    t.shut = {(AUTHORITY, COLLECTOR), (COLLECTOR, AUTHORITY)}

    async def said() -> Exchange:
        await watch(t)
        return await t.exchange(AUTHORITY, thread)

    assert [type(one.message) for one in (await said()).said] == [Announce]
    with pytest.raises(Misstep, match="the member has until"):
        await t.say(AUTHORITY, "record-sampling", thread)
    for days in (7, 8, 10):
        t.ahead = (1 + days) * DAY
        assert [type(one.message) for one in (await said()).said] == [Announce, Remind]
    t.ahead = 12 * DAY
    assert (await said()).state == "found"
    assert await codes(t, thread) == ["no-answer"]
    t.shut = set()
    for bell in t.bells.values():
        bell.rung = True
    await t.carry()
    assert await t.states(thread, AUTHORITY, COLLECTOR) == {"found"}


async def test_an_authority_that_dies_before_it_has_audited_answers_once_afterwards(t: Town) -> None:
    thread = await announced(t)
    body, documents = await submission(t, thread)
    await say(t, thread, "submit", body, 2, documents)
    t.start(AUTHORITY)
    await t.audit()
    t.start(AUTHORITY)
    await t.audit()
    assert (await t.exchange(AUTHORITY, thread)).state == "certified"
    assert len(await certificates(t, AUTHORITY)) == 1


async def test_who_made_too_many_says_so(t: Town) -> None:
    first = (await stated(t))[0]

    def keep(desk: Any) -> None:
        for n in range(MOST_DECLARED):
            more = Held(f"urn:uuid:{n}", first.type, "urn:x", first.issuer, first.at, f"{n}", first.document)
            desk.keep_credential(more)

    await t.write(COLLECTOR, keep)
    thread = (await t.do(AUTHORITY, "announce-sampling", COLLECTOR, **plan(t))).thread
    assert await t.states(thread, AUTHORITY, COLLECTOR) == {"declined"}
    reason = (await t.exchange(AUTHORITY, thread)).last(Decline).reason
    assert reason == f"More than {MOST_DECLARED} predictions were made in the period."


# Again and again


async def test_a_schedule_opens_the_next_by_itself_when_its_period_is_over(t: Town) -> None:
    first = (await t.do(AUTHORITY, "announce-sampling", COLLECTOR, **plan(t, every_days=2))).thread
    assert not await t.read(AUTHORITY, errands)
    for days, opened in ((1, 1), (2, 2), (2, 2)):
        t.ahead = (1 + days) * DAY
        for agent in t.agents.values():
            await agent.renew()
        await watch(t)
        await t.carry()
        found = await t.read(AUTHORITY, lambda desk: desk.dealings(SAMPLING.name))
        assert len(found) == opened
    threads = [one.thread for one in found]
    assert {one.state for one in found} == {"certified"}
    one = (await t.exchange(AUTHORITY, first)).last(Announce)
    (next_,) = [thread for thread in threads if thread != first]
    two = (await t.exchange(AUTHORITY, next_)).last(Announce)
    assert (two.first_day, two.last_day) == (one.last_day + DAY, one.last_day + 2 * DAY)
    assert two.due - t.now().date() == 10 * DAY
    assert two.commitment != one.commitment


async def test_a_plan_without_repeat_ends_the_schedule_and_so_does_suspension(t: Town) -> None:
    await t.do(AUTHORITY, "announce-sampling", COLLECTOR, **plan(t, every_days=1))
    t.ahead = 5 * DAY
    (due,) = await t.read(AUTHORITY, errands)
    assert due.action == "announce-sampling"
    (membership,) = await t.read(AUTHORITY, lambda desk: desk.dealings("membership/1.0"))
    await t.do(AUTHORITY, "suspend", membership.thread, reason="audit overdue")
    assert not await t.read(AUTHORITY, errands)
    await t.do(AUTHORITY, "reinstate", membership.thread, reason="audited")
    assert await t.read(AUTHORITY, errands)
    await t.do(AUTHORITY, "announce-sampling", COLLECTOR, **plan(t))
    assert not await t.read(AUTHORITY, errands)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"first_day": "2026-02-02", "last_day": "2026-02-01"}, "the period ends before it begins"),
        ({"last_day": "2099-01-01"}, "the period is not over yet"),
        ({"due": "2026-01-01"}, "the day to answer by must lie ahead"),
        ({"share_pct": 101}, "share_pct"),
        ({"least_count": 0}, "least_count"),
        ({"every_days": -1}, "every_days"),
        ({"due": "soon"}, "due"),
    ],
)
async def test_a_plan_that_makes_no_sense_is_refused_in_words(
    t: Town, form: dict[str, object], words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        await t.say(AUTHORITY, "announce-sampling", COLLECTOR, **plan(t, **form))
