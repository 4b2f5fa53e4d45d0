"""Messages and exchanges: the inbox, the outbox, and what they add up to."""

from contextlib import suppress
from datetime import timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.ports import Desk, Letter
from agents.store import SqlStore, open_store
from protocols.collection import COLLECTION, Quote, Request, Withdraw
from protocols.exchange import Exchange, Said
from schemas.errors import Misstep, Unknown

from .company import PACK, US, WORDS, Clock, begin, connect, hear, refuse, say, take_back, write

REQUEST, QUOTE = WORDS[Request], WORDS[Quote]


def quoted(desk: Desk, thread: str = "") -> Exchange:
    return say(desk, hear(desk, begin(desk, connect(desk), thread), REQUEST), QUOTE)


async def test_what_was_saved_is_read_back(store: SqlStore) -> None:
    saved = await store.write(quoted)
    assert await store.read(lambda desk: desk.exchange(saved.thread)) == saved
    assert await store.write(lambda desk: desk.exchange(saved.thread)) == saved


async def test_exchanges_are_counted_by_protocol_and_state(store: SqlStore) -> None:
    assert await store.read(lambda desk: desk.census()) == {}
    await store.write(lambda desk: quoted(desk, "one"))
    await store.write(lambda desk: quoted(desk, "two"))
    assert await store.read(lambda desk: desk.census()) == {(COLLECTION.name, "quoted"): 2}


async def test_an_exchange_is_rebuilt_from_its_messages(url: str) -> None:
    def work(desk: Desk) -> Exchange:
        after = refuse(desk, quoted(desk), seen=7)
        return say(desk, take_back(desk, after, after.by("collector")[0].id), QUOTE)

    store = open_store(url, US)
    saved = await store.write(work)
    store.close()
    again = open_store(url, US)
    try:
        assert await again.read(lambda desk: desk.exchange(saved.thread)) == saved
        assert await again.write(lambda desk: desk.exchange(saved.thread)) == saved
        assert [(s.order, s.seen, bool(s.void)) for s in saved.said] == [
            (1, 0, False),
            (1, 1, True),
            (2, 1, True),
            (2, 2, False),
        ]
    finally:
        again.close()


async def test_a_letter_comes_back_as_it_was_written(store: SqlStore) -> None:
    def work(desk: Desk) -> Letter:
        exchange = begin(desk, connect(desk))
        letter = write(desk, exchange, Said("m1", "collector", 1, 0, QUOTE))
        desk.post(letter)
        assert desk.letter(letter.peer, "m1") == letter
        return letter

    letter = await store.write(work)
    assert await store.read(lambda desk: desk.letter(letter.peer, "m1")) == letter
    assert await store.read(lambda desk: desk.letters(letter.thread)) == [letter]
    assert await store.read(lambda desk: desk.letters(letter.thread, outward=False)) == []
    assert await store.read(lambda desk: desk.letter(letter.peer, "m2")) is None


async def test_the_same_message_is_written_once(store: SqlStore) -> None:
    def work(desk: Desk, body: str) -> None:
        exchange = begin(desk, connect(desk), "t")
        letter = write(desk, exchange, Said("m1", "dismantler", 1, 0, REQUEST))
        desk.post(Letter(**(letter.__dict__ | {"body": body})))

    await store.write(lambda desk: work(desk, "first"))
    await store.write(lambda desk: work(desk, "second"))
    letters = await store.read(lambda desk: desk.letters("t"))
    assert [letter.body for letter in letters] == ["first"]


async def test_a_message_taken_already_takes_no_second_place(store: SqlStore) -> None:
    saved = await store.write(quoted)

    def again(desk: Desk) -> None:
        first = saved.said[0]
        desk.post(write(desk, saved, first))
        desk.save(saved, first, about=PACK, ours=True)

    with pytest.raises(Misstep):
        await store.write(again)
    assert await store.read(lambda desk: desk.exchange(saved.thread)) == saved


async def test_a_message_that_came_early_waits_for_its_turn(store: SqlStore) -> None:
    def early(desk: Desk) -> Exchange:
        exchange = begin(desk, connect(desk), "t")
        desk.post(write(desk, exchange, Said("m2", "dismantler", 2, 0, WORDS[Withdraw]), status="waiting"))
        return exchange

    exchange = await store.write(early)
    assert await store.read(lambda desk: desk.exchange("t")) is None
    assert await store.read(lambda desk: desk.waiting(exchange.peer, "t", 1)) is None

    def turn(desk: Desk) -> Exchange:
        after = hear(desk, exchange, REQUEST)
        waiting = desk.waiting(exchange.peer, "t", 2)
        assert waiting is not None
        said = Said("m2", "dismantler", 2, 0, WORDS[Withdraw])
        after = after.after(said)
        desk.post(write(desk, after, said))
        desk.save(after, said, about=PACK, ours=False)
        return after

    after = await store.write(turn)
    assert after.state == "withdrawn"
    assert await store.read(lambda desk: desk.exchange("t")) == after
    assert await store.read(lambda desk: desk.waiting(exchange.peer, "t", 2)) is None
    assert len(await store.read(lambda desk: desk.letters("t"))) == 2


async def test_a_refused_opening_is_on_record_and_in_no_exchange(store: SqlStore) -> None:
    def work(desk: Desk) -> Exchange:
        exchange = begin(desk, connect(desk), "t")
        refused = write(
            desk, exchange, Said("m0", "dismantler", 1, 0, REQUEST), status="refused", problem="{}"
        )
        desk.post(refused)
        assert desk.exchange("t") is None
        return hear(desk, exchange, REQUEST)

    saved = await store.write(work)
    assert await store.read(lambda desk: desk.exchange("t")) == saved
    assert [letter.status for letter in await store.read(lambda desk: desk.letters("t"))] == [
        "refused",
        "taken",
    ]


async def test_an_exchange_is_not_saved_without_its_message(store: SqlStore) -> None:
    def work(desk: Desk) -> None:
        exchange = begin(desk, connect(desk))
        said = Said("m1", "dismantler", 1, 0, REQUEST)
        desk.save(exchange.after(said), said, about="", ours=True)

    with pytest.raises(Unknown):
        await store.write(work)


async def test_a_savepoint_undoes_its_block_alone(store: SqlStore) -> None:
    def work(desk: Desk) -> Exchange:
        exchange = hear(desk, begin(desk, connect(desk)), REQUEST)
        with suppress(ZeroDivisionError), desk.savepoint():
            say(desk, exchange, QUOTE)
            _ = 1 / 0
        assert desk.exchange(exchange.thread) == exchange
        with desk.savepoint():
            pass
        return exchange

    saved = await store.write(work)
    assert await store.read(lambda desk: desk.exchange(saved.thread)) == saved
    assert len(await store.read(lambda desk: desk.letters(saved.thread))) == 1


# What the courier carries


def post(desk: Desk, thread: str, order: int, peer: str = "") -> str:
    """Queue a message."""
    exchange = Exchange(thread, COLLECTION, "collector", peer or connect(desk).id)
    id = str(uuid4())
    desk.post(write(desk, exchange, Said(id, "collector", order, 0, QUOTE)))
    return id


async def test_messages_are_carried_in_the_order_they_were_said(store: SqlStore, clock: Clock) -> None:
    ids = []
    for order, thread in ((1, "a"), (1, "b"), (2, "a"), (3, "a"), (2, "b")):
        ids.append(await store.write(lambda desk, t=thread, o=order: post(desk, t, o)))  # type: ignore[misc]
        clock.pass_(seconds=-1)  # a clock set back does not turn them around
    clock.pass_(minutes=1)
    peer = await store.read(lambda desk: desk.peers()[0].id)
    assert [letter.id for letter in await store.read(lambda desk: desk.due(peer, 10))] == ids
    assert [letter.id for letter in await store.read(lambda desk: desk.due(peer, 2))] == ids[:2]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from("abcc"), st.integers(0, 40)), max_size=30))
async def test_no_message_overtakes_one_of_its_thread_that_was_never_sent(
    store: SqlStore, clock: Clock, steps: list[tuple[str, int]]
) -> None:
    peer = (await store.write(lambda desk: connect(desk, str(uuid4())))).id
    orders = {"a": 0, "b": 0}
    tried: set[str] = set()
    for step, seconds in steps:
        if step in orders:
            orders[step] += 1
            await store.write(lambda desk, t=step: post(desk, t, orders[t], peer))  # type: ignore[misc]
            clock.pass_(seconds=-seconds)
            continue
        clock.pass_(seconds=seconds)
        due = await store.read(lambda desk: desk.due(peer, 3))
        everything = await store.read(lambda desk: desk.due(peer, 100, not_before=False))
        sent: set[str] = set()
        for letter in due:
            earlier = {e.id for e in everything if e.thread == letter.thread and e.order < letter.order}
            assert earlier <= sent | tried
            sent.add(letter.id)
        tried |= sent
        ids, next_at = sorted(tried), clock.now + timedelta(seconds=20)
        await store.write(lambda desk, i=ids, n=next_at: desk.attempted(peer, i, n))  # type: ignore[misc]


async def test_an_attempt_puts_a_message_off(store: SqlStore, clock: Clock) -> None:
    id = await store.write(lambda desk: post(desk, "a", 1))
    peer = await store.read(lambda desk: desk.peers()[0].id)
    soon = clock.now + timedelta(seconds=30)
    assert await store.read(lambda desk: desk.destinations()) == [(peer, clock.now)]
    await store.write(lambda desk: desk.attempted(peer, [id], soon))
    assert await store.read(lambda desk: desk.destinations()) == [(peer, soon)]
    assert await store.read(lambda desk: desk.due(peer, 10)) == []
    (letter,) = await store.read(lambda desk: desk.due(peer, 10, not_before=False))
    assert (letter.attempts, letter.next_at, letter.sent_at) == (1, soon, clock.now)
    clock.pass_(seconds=30)
    assert len(await store.read(lambda desk: desk.due(peer, 10))) == 1


async def test_a_settled_message_stays_settled(store: SqlStore) -> None:
    ids = await store.write(lambda desk: [post(desk, "a", n) for n in range(1, 1202)])
    peer = await store.read(lambda desk: desk.peers()[0].id)
    changed = await store.write(lambda desk: desk.settle(peer, ids[::-1], "taken"))
    assert [letter.id for letter in changed] == ids
    assert {letter.status for letter in changed} == {"taken"}
    assert await store.write(lambda desk: desk.settle(peer, ids, "taken")) == []
    assert await store.write(lambda desk: desk.settle(peer, ids, "dead")) == []
    assert await store.read(lambda desk: desk.destinations()) == []


async def test_what_was_kept_for_its_turn_may_be_refused_later_and_then_stays_refused(
    store: SqlStore,
) -> None:
    id = await store.write(lambda desk: post(desk, "a", 1))
    peer = await store.read(lambda desk: desk.peers()[0].id)
    await store.write(lambda desk: desk.settle(peer, [id], "taken"))
    (refused,) = await store.write(lambda desk: desk.settle(peer, [id], "refused", "no"))
    assert (refused.status, refused.problem) == ("refused", "no")
    assert await store.write(lambda desk: desk.settle(peer, [id], "taken")) == []


async def test_nobody_settles_what_others_said(store: SqlStore) -> None:
    exchange = await store.write(quoted)
    theirs = exchange.said[0].id
    assert await store.write(lambda desk: desk.settle(exchange.peer, [theirs], "refused", "no")) == []
    assert await store.write(lambda desk: desk.settle("a stranger", [exchange.said[1].id], "taken")) == []


async def test_a_dead_letter_is_seen_and_queued_again(store: SqlStore, clock: Clock) -> None:
    first, second = [
        await store.write(lambda desk, n=n: post(desk, "a", n))  # type: ignore[misc]
        for n in (1, 2)
    ]
    peer = await store.read(lambda desk: desk.peers()[0].id)
    await store.write(lambda desk: desk.attempted(peer, [first], clock.now))
    await store.write(lambda desk: desk.settle(peer, [first, second], "dead", "nobody is there"))
    dead = await store.read(lambda desk: desk.dead_letters())
    assert [(letter.id, letter.problem) for letter in dead] == [
        (second, "nobody is there"),
        (first, "nobody is there"),
    ]
    assert await store.read(lambda desk: desk.due(peer, 10, not_before=False)) == []
    assert await store.read(lambda desk: desk.tally()) == {"queued": 0, "waiting": 0, "dead": 2}
    clock.pass_(days=2)
    letter = await store.write(lambda desk: desk.revive(peer, first))
    assert (letter.status, letter.attempts, letter.next_at, letter.problem, letter.sent_at) == (
        "queued",
        0,
        clock.now,
        "",
        None,
    )
    assert await store.read(lambda desk: desk.due(peer, 10)) == [letter]
    assert await store.read(lambda desk: desk.tally()) == {"queued": 1, "waiting": 0, "dead": 1}
    with pytest.raises(Unknown):
        await store.write(lambda desk: desk.revive(peer, first))
