"""Two companies speak at once: both come to hold the same, and so do the lives of their items."""

import asyncio
from random import Random

import pytest

from agents.ports import Desk, Verdict
from protocols.collection import COLLECTION
from quality.lifecycle import Life
from schemas.events import Event
from tests.scenarios.town import (
    AUTHORITY,
    COLLECTOR,
    DISMANTLER,
    HAND_OVER,
    PACK,
    RECYCLER,
    Street,
    Town,
    collect,
    take_apart,
    town,
)

QUOTE: dict[str, object] = {"price_jpy": -900, "valid_until": "2099-01-31"}
DAY: dict[str, object] = {"pickup": "2099-01-15"}
CALLED_OFF = ("declined", "withdrawn", "cancelled")


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """Members at rest; the collector has a pack's cells graded and ready to go."""

    async def settle() -> Town:
        async with town(tmp_path_factory.mktemp("settled"), DISMANTLER, COLLECTOR, RECYCLER) as made:
            _, pack = await collect(made)
            cells = await take_apart(made, pack, 3)
            await made.do(COLLECTOR, "store-items", items=cells, place="B-1")
            await made.do(COLLECTOR, "grade-items", items=cells)
            return made

    return asyncio.run(settle())


async def requested(t: Town) -> tuple[str, str]:
    thread = (await t.do(DISMANTLER, "request-collection", COLLECTOR, **PACK)).thread
    pack: str = (await t.exchange(DISMANTLER, thread)).said[0].message.pack  # type: ignore[attr-defined]
    return thread, pack


async def accepted(t: Town) -> tuple[str, str]:
    thread, pack = await requested(t)
    await t.do(COLLECTOR, "quote-collection", thread, **QUOTE)
    await t.do(DISMANTLER, "accept-quote", thread)
    return thread, pack


async def scheduled(t: Town) -> tuple[str, str]:
    thread, pack = await accepted(t)
    await t.do(COLLECTOR, "propose-date", thread, **DAY)
    await t.do(DISMANTLER, "agree-date", thread)
    return thread, pack


async def offered(t: Town) -> tuple[str, list[str]]:
    cells = await t.codes(COLLECTOR, "cell")
    form: dict[str, object] = {"items": cells, "purpose": "recycling", "price_jpy": 10}
    thread = (await t.do(COLLECTOR, "offer-lot", RECYCLER, **form)).thread
    lot: str = (await t.exchange(COLLECTOR, thread)).said[0].message.lot  # type: ignore[attr-defined]
    return thread, [lot, *cells]


async def lives(t: Town, who: str, *codes: str) -> list[str]:
    return [(await t.life(who, code)).state for code in codes]


async def test_the_dismantler_cancels_while_the_collector_proposes_a_date(t: Town) -> None:
    thread, pack = await accepted(t)
    with t.closed(DISMANTLER, COLLECTOR):
        await t.do(DISMANTLER, "cancel-collection", thread, reason="sold")
        await t.do(COLLECTOR, "propose-date", thread, **DAY)
    await t.carry()
    assert await t.states(thread, DISMANTLER, COLLECTOR) == {"cancelled"}
    assert [s.message.kind for s in (await t.exchange(COLLECTOR, thread)).overtaken] == ["propose-date"]
    for who in (DISMANTLER, COLLECTOR):
        assert await lives(t, who, pack) == ["registered"]
    assert t.refusals == []


async def test_the_dismantler_cancels_while_the_collector_records_the_hand_over(t: Town) -> None:
    thread, pack = await scheduled(t)
    with t.closed(DISMANTLER, COLLECTOR):
        await t.do(COLLECTOR, "record-hand-over", thread, pack=pack, **HAND_OVER)
        await t.do(DISMANTLER, "cancel-collection", thread, reason="sold")
    await t.carry()
    assert await t.states(thread, DISMANTLER, COLLECTOR) == {"cancelled"}
    for who in (DISMANTLER, COLLECTOR):
        assert await lives(t, who, pack) == ["registered"]
    again = (await t.do(DISMANTLER, "request-collection", COLLECTOR, **(dict(PACK) | {"pack": pack}))).thread
    assert await t.states(again, DISMANTLER, COLLECTOR) == {"requested"}


async def test_both_cancel_and_the_second_record_is_annulled_with_its_reason(t: Town) -> None:
    thread, pack = await scheduled(t)
    with t.closed(DISMANTLER, COLLECTOR):
        await t.do(DISMANTLER, "cancel-collection", thread, reason="sold")
        await t.do(COLLECTOR, "cancel-collection", thread, reason="no truck")
    await t.carry()
    assert await t.states(thread, DISMANTLER, COLLECTOR) == {"cancelled"}
    assert await t.whats(DISMANTLER, pack) == ["registered", "requested", "cancelled"]
    assert await t.whats(COLLECTOR, pack) == ["requested", "cancelled", "annulled", "cancelled"]
    life = await t.life(COLLECTOR, pack)
    assert [event.details.get("reason") for event in life.standing] == [None, "sold"]
    assert life.events[2].how == "“cancel” was overtaken by a message of the other side"
    assert life.events[2].corrects == life.events[1].id
    assert t.refusals == []


async def test_a_request_is_withdrawn_while_it_is_declined(t: Town) -> None:
    thread, pack = await requested(t)
    with t.closed(DISMANTLER, COLLECTOR):
        await t.do(COLLECTOR, "decline-collection", thread, reason="too far")
        await t.do(DISMANTLER, "withdraw-request", thread, reason="sold")
    await t.carry()
    assert await t.states(thread, DISMANTLER, COLLECTOR) == {"withdrawn"}
    for who in (DISMANTLER, COLLECTOR):
        assert await lives(t, who, pack) == ["registered"]


async def test_an_offer_is_withdrawn_while_it_is_ordered(t: Town) -> None:
    thread, codes = await offered(t)
    with t.closed(RECYCLER, COLLECTOR):
        await t.do(RECYCLER, "order-lot", thread)
        await t.do(COLLECTOR, "withdraw-offer", thread, reason="burnt")
    await t.carry()
    assert await t.states(thread, RECYCLER, COLLECTOR) == {"withdrawn"}
    assert await lives(t, COLLECTOR, *codes) == ["dissolved", *["graded"] * 3]
    assert (await t.exchange(COLLECTOR, thread)).overtaken[0].message.kind == "order"


async def test_an_order_is_cancelled_while_the_lot_is_shipped(t: Town) -> None:
    thread, codes = await offered(t)
    await t.do(RECYCLER, "order-lot", thread)
    with t.closed(RECYCLER, COLLECTOR):
        await t.do(RECYCLER, "cancel-order", thread, reason="full")
        await t.do(COLLECTOR, "ship-lot", thread, carrier="Yamato")
    await t.carry()
    assert await t.states(thread, RECYCLER, COLLECTOR) == {"shipped"}
    assert await lives(t, COLLECTOR, *codes) == ["shipped"] * 4
    await t.do(RECYCLER, "accept-lot", thread)
    assert await t.states(thread, RECYCLER, COLLECTOR) == {"accepted"}


async def test_a_dissolved_lot_is_no_link_of_the_chain(t: Town) -> None:
    thread, (lot, cell, *_) = await offered(t)
    assert lot in [link.code for link in (await t.trace(COLLECTOR, cell)).chain]
    await t.do(RECYCLER, "decline-lot", thread, reason="full")
    assert lot not in [link.code for link in (await t.trace(COLLECTOR, cell)).chain]


async def test_an_application_is_retracted_while_it_is_granted(t: Town) -> None:
    t.found("newcomer", (DISMANTLER,))
    await t.introduce("newcomer", AUTHORITY)
    form: dict[str, object] = {"name": "newcomer", "roles": [DISMANTLER]}
    thread = (await t.do("newcomer", "apply-for-membership", AUTHORITY, **form)).thread
    with t.closed("newcomer", AUTHORITY):
        await t.do(AUTHORITY, "accredit", thread)
        assert "newcomer" in await _members(t, COLLECTOR)
        await t.do("newcomer", "retract-application", thread, reason="changed our minds")
    await t.carry()
    assert await t.states(thread, "newcomer", AUTHORITY) == {"retracted"}
    for who in (AUTHORITY, COLLECTOR, RECYCLER):
        assert "newcomer" not in await _members(t, who)


async def _members(t: Town, at: str) -> list[str]:
    return [member.name for member in await t.read(at, lambda desk: desk.members())]


async def _refuse(t: Town, thread: str) -> None:
    """Have the collector's last message refused by its receiver, as a peer may for reasons of its own."""
    exchange = await t.exchange(COLLECTOR, thread)
    refusal = Verdict(exchange.by(exchange.side)[-1].id, "malformed", "we cannot read {this}")
    await t.agents[COLLECTOR].settle(exchange.peer, [], [refusal])


async def test_a_lot_whose_offer_is_refused_is_unpacked(t: Town) -> None:
    cells = await t.codes(COLLECTOR, "cell")
    form: dict[str, object] = {"items": cells, "purpose": "recycling", "price_jpy": 10}
    thread = (await t.say(COLLECTOR, "offer-lot", RECYCLER, **form)).thread
    await _refuse(t, thread)
    assert await lives(t, COLLECTOR, *cells) == ["graded"] * 3
    events = (await t.life(COLLECTOR, cells[0])).events
    assert events[-1].how == "“offer” was refused: we cannot read {this}"
    await offered(t)


async def test_what_people_did_since_stays_when_a_message_is_refused_late(t: Town) -> None:
    thread, codes = await offered(t)
    await t.say(COLLECTOR, "withdraw-offer", thread, reason="burnt")
    form: dict[str, object] = {"items": codes[1:2], "purpose": "recycling", "price_jpy": 10}
    await t.say(COLLECTOR, "offer-lot", RECYCLER, **form)
    await _refuse(t, thread)
    assert await lives(t, COLLECTOR, *codes) == ["assembled", "lotted", "lotted", "lotted"]
    assert "unlotted" in [event.what for event in (await t.life(COLLECTOR, codes[1])).standing]


async def test_a_message_that_counts_only_now_is_heeded_then(t: Town) -> None:
    """Our cancelling overtook theirs; theirs counts when ours turns out to be refused."""
    thread, pack = await scheduled(t)
    with t.closed(DISMANTLER, COLLECTOR):
        await t.do(DISMANTLER, "cancel-collection", thread, reason="sold")
        await t.do(COLLECTOR, "cancel-collection", thread, reason="no truck")
        exchange = await t.exchange(DISMANTLER, thread)
        ours = exchange.by(DISMANTLER)[-1].id
        t.shut = {(DISMANTLER, COLLECTOR)}
        t.bells[COLLECTOR].rung = True
        await t.carry()
        assert [s.message.kind for s in (await t.exchange(DISMANTLER, thread)).overtaken] == ["cancel"]
        await t.agents[DISMANTLER].settle(exchange.peer, [], [Verdict(ours, "forbidden", "no")])
    life = await t.life(DISMANTLER, pack)
    assert [e.what for e in life.events] == ["registered", "requested", "cancelled", "annulled", "cancelled"]
    assert life.standing[-1].details["reason"] == "no truck"
    assert (await t.exchange(DISMANTLER, thread)).state == "cancelled"


FORMS: dict[str, dict[str, object]] = {
    "quote-collection": QUOTE,
    "decline-collection": {"reason": "too far"},
    "withdraw-request": {"reason": "sold"},
    "propose-date": DAY,
    "ask-other-date": {"reason": "closed"},
    "cancel-collection": {"reason": "no"},
    "dispute-receipt": {"reason": "wrong truck"},
    "decline-lot": {"reason": "full"},
    "withdraw-offer": {"reason": "burnt"},
    "cancel-order": {"reason": "full"},
    "ship-lot": {"carrier": "Yamato"},
    "return-items": {"carrier": "Yamato"},
}


async def quarrel(t: Town, random: Random, thread: str, sides: tuple[str, str], code: str) -> None:
    """Let both sides do whatever the table lets them, whenever they like, while the street does its worst."""
    for _ in range(30):
        await t.tick()
        who = random.choice(sides)
        exchange = await t.read(who, lambda desk: desk.exchange(thread))
        if exchange is None or random.random() < 0.3:
            continue
        fitting = t.agents[who].play.fitting(exchange)
        if not fitting:
            continue
        action = random.choice(fitting).name
        form = FORMS.get(action, {})
        if action == "record-hand-over":
            form = {"pack": code, **HAND_OVER}
        if action == "accept-lot-in-part":
            form = {"rejected": [{"item": code, "reason": "dented"}]}
        await t.say(who, action, thread, **form)
    await t.carry()


def bad(seed: int) -> Street:
    return Street(lost=0.2, twice=0.2, late=0.5, random=Random(seed))


@pytest.mark.parametrize("seed", range(10))
async def test_however_a_collection_goes_both_companies_tell_the_same_story(t: Town, seed: int) -> None:
    random = Random(seed)
    for _ in range(3):
        t.street = Street()
        thread, pack = await requested(t)
        t.street = bad(random.randrange(1 << 30))
        await quarrel(t, random, thread, (DISMANTLER, COLLECTOR), pack)
        (state,) = await t.states(thread, DISMANTLER, COLLECTOR)
        expected = (
            "registered" if state in CALLED_OFF else "collected" if state == "received" else "requested"
        )
        assert await lives(t, DISMANTLER, pack) == [expected]
        assert await lives(t, COLLECTOR, pack) == [expected]
        ours, theirs = await t.exchange(DISMANTLER, thread), await t.exchange(COLLECTOR, thread)
        assert [s.id for s in ours.standing] == [s.id for s in theirs.standing]
    assert t.refusals == []


AT_THE_SUPPLIER = {
    "offered": "lotted",
    "ordered": "lotted",
    "declined": "graded",
    "withdrawn": "graded",
    "cancelled": "graded",
    "shipped": "shipped",
    "accepted": "delivered",
    "accepted-in-part": "rejected",
    "returning": "rejected",
    "closed": "returned",
}
AT_THE_RECEIVER = {"accepted": "accepted", "accepted-in-part": "refused", "returning": "sent-back"}


@pytest.mark.parametrize("seed", range(10))
async def test_however_a_delivery_goes_both_companies_tell_the_same_story(t: Town, seed: int) -> None:
    random = Random(seed)
    thread, (_, first, *_) = await offered(t)
    t.street = bad(seed)
    await quarrel(t, random, thread, (RECYCLER, COLLECTOR), first)
    (state,) = await t.states(thread, RECYCLER, COLLECTOR)
    assert await lives(t, COLLECTOR, first) == [AT_THE_SUPPLIER[state]]
    expected = AT_THE_RECEIVER.get(state, "sent-back" if state == "closed" else "new")
    assert await lives(t, RECYCLER, first) == [expected]
    assert t.refusals == []


# Many at once


SCRIPT: dict[str, tuple[str, str]] = {
    "requested": (COLLECTOR, "quote-collection"),
    "quoted": (DISMANTLER, "accept-quote"),
    "accepted": (COLLECTOR, "propose-date"),
    "date-proposed": (DISMANTLER, "agree-date"),
    "scheduled": (COLLECTOR, "record-hand-over"),
    "handed-over": (DISMANTLER, "sign-receipt"),
}


@pytest.mark.parametrize("seed", [1, 2])
async def test_many_collections_at_once_over_a_bad_street_all_happen_once(t: Town, seed: int) -> None:
    t.street = bad(seed)
    count = 8
    for _ in range(count):
        await t.say(DISMANTLER, "request-collection", COLLECTOR, **PACK)
    moved = True
    while moved:
        moved = await t.tick()
        for who in (DISMANTLER, COLLECTOR):
            for thread, state, pack in await t.read(who, _open):
                actor, action = SCRIPT[state]
                if actor == who:
                    form = (
                        {"pack": pack, **HAND_OVER} if action == "record-hand-over" else FORMS.get(action, {})
                    )
                    await t.say(who, action, thread, **form)
                    moved = True
    for who in (DISMANTLER, COLLECTOR):
        books = await t.books(who)
        side = who
        assert books["exchange", COLLECTION.name, side, "received"] == count + 1
        assert books["event", "pack", "collected", "ours"] == count + 1
        assert books["event", "pack", "requested", "ours"] == count + 1
        assert {status for *_, status in (k for k in books if k[0] == "message")} == {"taken"}
        for pack in await t.codes(who, "pack"):
            assert await _doubled(t, who, pack) == []
    assert t.refusals == []


def _open(desk: Desk) -> list[tuple[str, str, str]]:
    return [(d.thread, d.state, d.about) for d in desk.dealings(COLLECTION.name) if d.state in SCRIPT]


async def _doubled(t: Town, who: str, code: str) -> list[Event]:
    """Return the events that stand twice in an item's life."""
    life: Life = await t.life(who, code)
    whats = [event.what for event in life.standing]
    return [event for event in life.standing if whats.count(event.what) > 1]
