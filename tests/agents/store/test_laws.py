"""What holds whatever happens: all or nothing, in order, and never lost once said to be saved."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from threading import Event
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import make_url

from agents.ports import Desk
from agents.store import SqlStore, open_store
from protocols.exchange import Exchange
from schemas.errors import Invalid, Unavailable

from .company import US, begin, connect, steps, wander

ROOT = Path(__file__).parents[3]


class Broken(Exception):
    pass


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(random=st.randoms(use_true_random=True), works=st.integers(1, 12))
async def test_what_fails_leaves_nothing_and_memory_agrees_with_the_database(
    url: str, random: Random, works: int
) -> None:
    threads = [(str(uuid4()), side) for side in ("collector", "dismantler", "collector")]
    true: dict[str, Exchange] = {}

    def work(desk: Desk, seed: int) -> dict[str, Exchange]:
        """Take some steps; some are undone, and some works fail at the end."""
        random = Random(seed)
        peer = connect(desk)
        seen: dict[str, Exchange] = {}
        for _ in range(random.randint(1, 6)):
            thread, side = random.choice(threads)
            if random.random() < 0.4:
                try:
                    with desk.savepoint():
                        wander(desk, wander(desk, begin(desk, peer, thread, side), random), random)
                        if random.random() < 0.5:
                            with desk.savepoint():
                                wander(desk, begin(desk, peer, thread, side), random)
                        raise Broken
                except Broken:
                    continue
            seen[thread] = wander(desk, begin(desk, peer, thread, side), random)
        if random.random() < 0.3:
            raise Broken
        return seen

    store = open_store(url, US)
    try:
        seeds = [random.randrange(10**9) for _ in range(works)]
        outcomes = await asyncio.gather(
            *(store.write(lambda desk, s=s: work(desk, s)) for s in seeds),  # type: ignore[misc]
            return_exceptions=True,
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                assert isinstance(outcome, Broken)
            else:
                true |= outcome
        true = {thread: exchange for thread, exchange in true.items() if exchange.said}
        for thread, _ in threads:
            assert await store.write(lambda desk, t=thread: desk.exchange(t)) == true.get(thread)  # type: ignore[misc]
            assert await store.read(lambda desk, t=thread: desk.exchange(t)) == true.get(thread)  # type: ignore[misc]
    finally:
        store.close()
    store = open_store(url, US)
    try:
        for thread, _ in threads:
            assert await store.write(lambda desk, t=thread: desk.exchange(t)) == true.get(thread)  # type: ignore[misc]
            states = {d.thread: d.state for d in await store.read(lambda desk: desk.dealings())}
            assert states.get(thread) == (true[thread].state if thread in true else None)
    finally:
        store.close()


async def test_works_that_wait_together_share_a_commit(store: SqlStore) -> None:
    go = Event()
    order: list[int] = []

    def hold(_: Desk) -> None:
        go.wait()

    def work(desk: Desk, n: int) -> int:
        order.append(n)
        if n == 3:
            desk.note_done("three", "t")
            raise Broken
        desk.note_done(str(n), "t")
        return id(desk.connection.get_transaction())  # type: ignore[attr-defined]

    first = asyncio.ensure_future(store.write(hold))
    await asyncio.sleep(0.1)  # longer than one commit gathers works for
    rest = [asyncio.ensure_future(store.write(lambda desk, n=n: work(desk, n))) for n in range(6)]  # type: ignore[misc]
    await asyncio.sleep(0)
    go.set()
    await first
    outcomes = await asyncio.gather(*rest, return_exceptions=True)
    assert order == list(range(6))
    assert isinstance(outcomes.pop(3), Broken)
    assert len(set(outcomes)) == 1
    done = [await store.read(lambda desk, n=n: desk.done(str(n))) for n in range(6)]  # type: ignore[misc]
    assert done == ["t", "t", "t", None, "t", "t"]
    assert await store.read(lambda desk: desk.done("three")) is None


async def test_a_caller_that_gives_up_harms_nobody(store: SqlStore) -> None:
    go = Event()

    def hold(desk: Desk) -> None:
        go.wait()
        desk.note_done("held", "t")

    running = asyncio.ensure_future(store.write(hold))
    queued = asyncio.ensure_future(store.write(lambda desk: desk.note_done("queued", "t")))
    after = asyncio.ensure_future(store.write(lambda desk: desk.done("held")))
    await asyncio.sleep(0.01)
    running.cancel()
    queued.cancel()
    await asyncio.sleep(0)
    go.set()
    assert await after == "t"
    assert await store.read(lambda desk: desk.done("queued")) is None
    assert running.cancelled()
    assert queued.cancelled()


async def test_an_ending_event_loop_does_not_end_the_writer(store: SqlStore) -> None:
    def elsewhere() -> None:
        async def give_up() -> None:
            asyncio.ensure_future(store.write(lambda desk: desk.note_done("elsewhere", "t")))  # noqa: RUF006
            await asyncio.sleep(0)

        asyncio.run(give_up())

    await asyncio.to_thread(elsewhere)
    assert await store.write(lambda _: 7) == 7


async def test_errors_of_any_kind_reach_their_caller(store: SqlStore) -> None:
    def stop(_: Desk) -> None:
        raise StopIteration

    with pytest.raises(RuntimeError):
        await store.write(stop)
    with pytest.raises(ZeroDivisionError):
        await store.write(lambda _: 1 / 0)
    assert await store.write(lambda _: 1) == 1


async def test_a_work_that_reads_may_not_write(store: SqlStore) -> None:
    with pytest.raises(RuntimeError):
        await store.read(lambda desk: desk.set("name", "value"))
    with pytest.raises(Unavailable):  # the database itself refuses what slips through
        await store.read(lambda desk: desk.settle("p", ["m"], "taken"))


async def test_text_that_cannot_be_kept_is_refused_in_words_and_harms_nobody(store: SqlStore) -> None:
    with pytest.raises(Invalid):
        await store.write(lambda desk: desk.set("name", "\ud800"))
    assert await store.write(lambda desk: desk.setting("name")) is None


async def test_a_closed_store_says_so(url: str) -> None:
    store = open_store(url, US)
    last = asyncio.ensure_future(store.write(lambda desk: desk.note_done("last", "t")))
    await asyncio.sleep(0)
    store.close()
    await last
    with pytest.raises(Unavailable):
        await store.write(lambda desk: desk.done("last"))
    with pytest.raises(Unavailable):
        await store.read(lambda desk: desk.done("last"))
    store.close()
    again = open_store(url, US)
    assert await again.read(lambda desk: desk.done("last")) == "t"
    again.close()


async def test_a_killed_process_has_lost_nothing_it_called_saved(url: str) -> None:
    for round_ in range(2):
        diary = subprocess.Popen(  # noqa: ASYNC220, nothing else waits for this loop
            [sys.executable, "-m", "tests.agents.store.diary", url, str(round_)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert diary.stdout is not None
        said = [diary.stdout.readline().strip() for _ in range(60)]
        diary.send_signal(signal.SIGKILL)
        said += [line.strip() for line in diary.stdout if line.endswith("\n")]
        diary.wait()
        diary.stdout.close()
        store = open_store(url, US)
        try:
            for line in said:
                thread, state, count = line.split()
                exchange = await store.read(lambda desk, t=thread: desk.exchange(t))  # type: ignore[misc]
                assert exchange is not None
                # What came after it may have been saved too, and not yet said.
                assert steps(exchange) >= int(count)
                assert steps(exchange) > int(count) or exchange.state == state
                letters = await store.read(lambda desk, t=thread: desk.letters(t))  # type: ignore[misc]
                assert {letter.id for letter in letters} == {one.id for one in exchange.said}
        finally:
            store.close()


async def test_commits_wait_for_the_disk(store: SqlStore) -> None:
    def work(desk: Desk) -> object:
        connection = desk.connection  # type: ignore[attr-defined]
        if connection.dialect.name == "sqlite":
            return connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        return connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"

    assert await store.write(work)


async def test_a_full_database_says_so_and_works_again_when_there_is_room(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/x.db", US)
    try:
        await store.write(lambda desk: desk.set("kept", "yes"))

        def fill(desk: Desk) -> None:
            connection = desk.connection  # type: ignore[attr-defined]
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            desk.set("kept", "no")
            desk.set("large", "x" * 1_000_000)

        with pytest.raises(Unavailable, match="full"):
            await store.write(fill)
        assert await store.write(lambda desk: (desk.setting("kept"), desk.setting("large"))) == ("yes", None)
        await store.write(lambda desk: desk.set("large", "x" * 1_000_000))
        assert await store.read(lambda desk: desk.setting("large")) == "x" * 1_000_000
    finally:
        store.close()


def test_a_disk_that_fills_up_at_the_commit_keeps_nothing_of_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.agents.store.full", f"sqlite:///{tmp_path}/x.db"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    assert done.stdout.split() == ["yes", "unavailable", "yes", "again"], done.stderr


async def test_a_lost_connection_says_so_and_comes_back(postgresql_url: str) -> None:
    store = open_store(postgresql_url, US)
    server = make_url(postgresql_url).set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        await store.write(lambda desk: desk.set("kept", "yes"))
        await store.read(lambda desk: desk.setting("kept"))

        def lose(desk: Desk) -> None:
            desk.set("kept", "no")
            with psycopg.connect(server, autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid != pg_backend_pid()"
                )

        with pytest.raises(Unavailable):
            await store.write(lose)
        assert await store.write(lambda desk: desk.setting("kept")) == "yes"
        for _ in range(3):  # each reader's connection is found lost once
            try:
                await store.read(lambda desk: desk.setting("kept"))
            except Unavailable:
                continue
        assert await store.read(lambda desk: desk.setting("kept")) == "yes"
    finally:
        store.close()
