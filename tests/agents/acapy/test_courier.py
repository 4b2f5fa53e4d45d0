"""Messages arrive once each, however badly the street treats them."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.acapy.courier import Breaker, full_jitter
from agents.acapy.wire import PROBLEM_TYPE, RECEIPT_TYPE, wire_type, write_problems, write_receipt
from agents.ports import Delivery
from protocols.disclosure import DISCLOSURE
from protocols.receipt import MOST_IN_A_BUNDLE, Problem
from tests.fakes import FAST, House, Street, until

QUESTION = {"item": "P3F9KQ27MT-I", "purpose": "safety"}
PATIENT = replace(FAST, receipt_s=60.0, longest_s=90.0)
ASKED = wire_type(DISCLOSURE.name, "ask")


@pytest.fixture
async def street(tmp_path: Path) -> AsyncIterator[Street]:
    street = Street(tmp_path)
    yield street
    await street.close()


async def pair(street: Street, **options: object) -> tuple[House, House, str]:
    """Open a collector and a dismantler who know each other; return them, and her name for him."""
    host = await street.open("collector", "collector", **options)  # type: ignore[arg-type]
    caller = await street.open("dismantler", "dismantler", **options)  # type: ignore[arg-type]
    peer = await street.connect(caller, host)
    await until(caller.settled)
    await until(host.settled)
    return caller, host, peer.id


async def ask(caller: House, peer: str, times: int) -> list[str]:
    """Say so many messages, each in an exchange of its own."""
    done = await asyncio.gather(*(caller.do("ask-disclosure", peer, **QUESTION) for _ in range(times)))
    return list(done)


async def statuses(house: House) -> Counter[Delivery]:
    return Counter(letter.status for letter in await house.letters(outward=True))


def reports(street: Street) -> list[dict[str, Any]]:
    return [m for messages in street.carried for m in messages if m["@type"] == PROBLEM_TYPE]


async def test_a_message_is_done_when_the_other_agent_has_committed_it(street: Street) -> None:
    caller, host, peer = await pair(street)
    (thread,) = await ask(caller, peer, 1)
    await until(caller.settled)
    assert await host.state(thread) == "asked"
    assert await statuses(caller) == {"taken": 2}


@pytest.mark.parametrize("seed", range(3))
async def test_a_street_that_loses_doubles_and_swaps_changes_nothing(street: Street, seed: int) -> None:
    caller, host, peer = await pair(street)
    street.lost, street.twice, street.delay_s, street.random = 0.3, 0.3, 0.05, Random(seed)
    threads = []
    for _ in range(6):
        threads += await ask(caller, peer, 10)
        await asyncio.sleep(0.02)
    refused = threads[::3]
    for thread in refused:
        await until(lambda thread=thread: host.state(thread))  # type: ignore[misc]
        await host.do("refuse-disclosure", thread, reason="not ours to tell")
    await until(caller.settled)
    await until(host.settled)
    wanted = {thread: "refused" if thread in refused else "asked" for thread in threads}
    for house in (host, caller):
        assert {thread: await house.state(thread) for thread in threads} == wanted
    arrived = Counter(letter.thread for letter in await host.letters(outward=False))
    assert {arrived[thread] for thread in threads} == {1}


async def test_messages_to_one_peer_share_envelopes_and_a_single_one_goes_bare(street: Street) -> None:
    caller, _, peer = await pair(street, timing=PATIENT)
    street.carried.clear()
    await ask(caller, peer, 450)
    await until(caller.settled)
    envelopes = [sum(m["@type"] == ASKED for m in messages) for messages in street.carried]
    assert sum(envelopes) == 450
    assert max(map(len, street.carried)) <= MOST_IN_A_BUNDLE
    assert len([size for size in envelopes if size]) < 100
    street.carried.clear()
    await ask(caller, peer, 1)
    await until(caller.settled)
    assert [[m["@type"] for m in messages] for messages in street.carried] == [[ASKED], [RECEIPT_TYPE]]


async def test_a_peer_that_was_away_catches_up_when_it_is_back_and_others_are_not_held_up(
    street: Street,
) -> None:
    caller, host, peer = await pair(street, timing=replace(FAST, longest_s=3600.0, shortest_s=900.0))
    await host.crash()
    threads = await ask(caller, peer, 250)
    await until(lambda: caller.postman.reaches()[0].state == "open")
    assert caller.postman.reaches()[0].problem == "nobody is at home"
    other = await street.open("recycler", "recycler")
    await street.connect(caller, other)
    await host.start()  # its knock says that it is back
    await until(caller.settled)
    assert {await host.state(thread) for thread in threads} == {"asked"}
    assert caller.postman.reaches()[0].state == "closed"


async def test_what_is_queued_outlives_the_sender(street: Street) -> None:
    caller, host, peer = await pair(street)
    street.lost = 1.0
    threads = await ask(caller, peer, 30)
    await until(lambda: caller.postman.reaches()[0].in_flight == 30)
    await caller.crash()
    street.lost = 0.0
    await caller.start()
    await until(caller.settled)
    assert {await host.state(thread) for thread in threads} == {"asked"}


async def test_what_the_receiver_lost_after_taking_the_envelope_comes_again_at_its_knock(
    street: Street,
) -> None:
    caller, host, peer = await pair(street, timing=replace(FAST, receipt_s=3600.0, longest_s=7200.0))
    street.lost = 1.0
    threads = await ask(caller, peer, 5)
    await until(lambda: caller.postman.reaches()[0].in_flight == 5)
    street.lost = 0.0
    await host.crash()
    await asyncio.sleep(FAST.knock_rest_s)
    await host.start()
    await until(caller.settled)
    assert {await host.state(thread) for thread in threads} == {"asked"}


async def test_crashes_on_both_sides_lose_and_double_nothing(street: Street) -> None:
    caller, host, peer = await pair(street)
    street.delay_s = 0.01
    threads: list[str] = []
    for number in range(8):
        threads += await ask(caller, peer, 20)
        victim = (caller, host)[number % 2]
        await victim.crash()
        await asyncio.sleep(0.01)
        await victim.start()
    await until(caller.settled)
    arrived = Counter(letter.thread for letter in await host.letters(outward=False))
    assert {thread: arrived[thread] for thread in threads} == dict.fromkeys(threads, 1)


async def test_a_refused_message_is_told_in_both_languages_and_undone(street: Street) -> None:
    caller, host, peer = await pair(street)
    await host.trust([host])
    (thread,) = await ask(caller, peer, 1)
    await until(caller.settled)
    assert await host.state(thread) == ""
    assert await caller.state(thread) == "new"
    (letter,) = await caller.store.read(lambda desk: desk.letters(thread))
    assert letter.status == "refused"
    assert json.loads(letter.problem)["code"] == "forbidden"
    (problem,) = reports(street)[-1]["problems"]
    assert problem["en"] == "the company is not a member"
    assert problem["ja"] not in ("", problem["en"])


async def test_receipts_and_reports_are_never_answered(street: Street) -> None:
    caller, host, _ = await pair(street, timing=PATIENT)
    line = street.line(host, caller)
    await asyncio.sleep(0.1)
    street.carried.clear()
    for value in (
        write_receipt(["unknown"]),
        write_problems([Problem(id="unknown", code="malformed", en="no")]),
        {"@type": RECEIPT_TYPE, "@id": "1", "taken": "all of them"},
        write_problems([]) | {"problems": None},
    ):
        await host.letterbox.take(line, value)
    await asyncio.sleep(0.1)
    assert street.carried == []


async def test_what_cannot_be_taken_is_refused_in_words_and_leaves_no_exchange(street: Street) -> None:
    caller, host, _ = await pair(street)
    line = street.line(host, caller)
    head = {"@id": "m-1", "~thread": {"thid": "t-1", "sender_order": 0}}
    for value, words in (
        ({"@type": "https://w3id.org/meguri/disclosure/1.0/ask"} | head, "not a valid ask"),
        ({"@type": "https://w3id.org/meguri/receipt/1.0/bundle", "messages": "all"} | head, "a bundle holds"),
    ):
        street.carried.clear()
        await host.letterbox.take(line, value | {"@id": words[-5:].strip()})
        (report,) = await until(lambda: reports(street))
        assert words in report["problems"][0]["en"]
    assert await host.state("t-1") == ""


async def test_a_letter_in_a_declined_bundle_does_not_take_the_others_down(street: Street) -> None:
    caller, host, peer = await pair(street, timing=replace(FAST, most_attempts=3))
    await host.crash()
    good = await ask(caller, peer, 5)
    bad = await caller.do("ask-disclosure", peer, **QUESTION, note="Bad")
    street.declines = lambda text: '"Bad"' in text
    await host.start()
    await until(caller.settled)
    assert {await host.state(thread) for thread in good} == {"asked"}
    (letter,) = await caller.store.read(lambda desk: desk.letters(bad))
    assert (letter.status, letter.attempts) == ("dead", 3)
    assert "3 times" in letter.problem
    street.declines = lambda text: False
    await caller.store.write(lambda desk: desk.revive(peer, letter.id))
    caller.postman.wake(frozenset({peer}))
    await until(caller.settled)
    assert await host.state(bad) == "asked"


async def test_a_message_nobody_acknowledged_for_a_month_is_given_up(street: Street) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=31)
    street.away.add("collector")
    caller = await street.open("dismantler", "dismantler", clock=lambda: long_ago)
    host = await street.open("collector", "collector")
    street.away.add("collector")
    peer = await street.connect(caller, host, introduce=False)
    await caller.do("introduce", peer.id)
    (dead,) = await until(lambda: caller.store.read(lambda desk: desk.dead_letters()))
    assert "30 days" in dead.problem


async def test_a_message_for_which_there_is_no_connection_is_given_up_in_time(street: Street) -> None:
    caller, _, peer = await pair(street, timing=replace(FAST, unroutable=timedelta(seconds=0.3)))
    street.unroutable = True
    await ask(caller, peer, 1)
    (dead,) = await until(lambda: caller.store.read(lambda desk: desk.dead_letters()))
    assert "no connection" in dead.problem


async def test_no_more_is_in_flight_than_the_window_allows(street: Street) -> None:
    caller, _, peer = await pair(street, timing=replace(FAST, window=7, receipt_s=0.3))
    street.lost = 1.0
    await ask(caller, peer, 30)
    await until(lambda: caller.postman.reaches()[0].in_flight == 7)
    street.lost = 0.0
    most = 0
    while not await caller.settled():
        most = max(most, caller.postman.reaches()[0].in_flight)
        await asyncio.sleep(0.005)
    assert most <= 7


async def test_another_thread_may_wake_the_courier(street: Street) -> None:
    caller, host, peer = await pair(street)
    await caller.postman.stop()
    (thread,) = await ask(caller, peer, 1)
    caller.postman._stopped = False
    await asyncio.to_thread(caller.postman.wake, frozenset({peer}))
    await until(caller.settled)
    assert await host.state(thread) == "asked"


@given(st.floats(0.01, 10), st.floats(10, 1000), st.integers(0, 10_000))
def test_jitter_stays_between_nothing_and_the_longest_rest(
    shortest: float, longest: float, failures: int
) -> None:
    assert 0 <= full_jitter(shortest, longest, failures) <= longest


def test_a_breaker_opens_lets_one_probe_through_and_closes() -> None:
    breaker = Breaker(1000.0, 2000.0)
    states = [breaker.state]
    assert breaker.fail() > 0
    states.append(breaker.state)
    breaker.until = monotonic() - 1
    states.append(breaker.state)
    assert breaker.rest_s == 0.0
    breaker.succeed()
    assert [*states, breaker.state] == ["closed", "open", "half-open", "closed"]
