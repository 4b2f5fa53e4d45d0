"""The threads that keep the database off the event loop: one that writes, a few that read."""

import logging
from asyncio import AbstractEventLoop, Future, get_running_loop
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from agents.ports import Desk
from agents.role import Company
from agents.store.cache import Cache, Layers
from agents.store.desk import Register, SqlDesk, unavailable
from schemas.errors import Unavailable

LOG = logging.getLogger(__name__)

WORKS_A_COMMIT = 256
SECONDS_A_COMMIT = 0.05
READERS = 3


class Work(NamedTuple):
    """A piece of work that waits for its turn, and whom to tell."""

    run: Callable[[Desk], Any]
    future: Future[Any]
    loop: AbstractEventLoop


class Outcome(NamedTuple):
    """What came of a work."""

    work: Work
    value: Any = None
    error: BaseException | None = None


class Writer:
    """The one thread that writes, in the order of asking; works that wait together share a commit.

    A commit waits for the disk, and costs much more than the work itself. While it waits, others queue up,
    and the next commit serves them all: the busier the agent, the cheaper each message. Each work has a
    savepoint of its own, so that one that raises takes nobody with it.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        connection: Connection,
        company: Company,
        clock: Callable[[], datetime],
    ) -> None:
        self.cache = Cache()
        self.register = Register()
        self._connect = connect
        self._connection: Connection | None = connection
        self._company = company
        self._clock = clock
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._closed = False
        self._asking = Lock()
        self._thread = Thread(target=self._run, name="meguri-writer", daemon=True)
        self._thread.start()

    async def write[T](self, run: Callable[[Desk], T]) -> T:
        """Run a work in its turn; return once it is on disk."""
        loop = get_running_loop()
        future: Future[T] = loop.create_future()
        with self._asking:
            if self._closed:
                raise Unavailable("the company's database is closed")
            self._queue.put(Work(run, future, loop))
        return await future

    def close(self) -> None:
        """Do what is queued, then stop."""
        with self._asking:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._queue.get()) is not None:
            if self._transact(work):
                break
        if self._connection is not None:
            with suppress(DBAPIError):
                self._connection.close()

    def _transact(self, work: Work | None) -> bool:
        """Run a work and those queued behind it, and commit them together; say whether to stop then."""
        outcomes: list[Outcome] = []
        layers = Layers(self.cache)
        try:
            if self._connection is None:
                self._connection = self._connect()
            transaction = self._connection.begin()
            latest = monotonic() + SECONDS_A_COMMIT
            while work is not None:
                if not work.future.cancelled():
                    self._do(work, layers, outcomes)
                if len(outcomes) >= WORKS_A_COMMIT or monotonic() >= latest:
                    break
                work = self._queue.get_nowait()
        except Empty:
            pass
        except Exception as error:
            assert work is not None
            if not outcomes or outcomes[-1].work is not work:
                outcomes.append(Outcome(work))
            self._lose(outcomes, error)
            return False
        try:
            transaction.commit()
        except Exception as error:
            self._lose(outcomes, error)
        else:
            layers.commit()
            _tell(outcomes)
        return work is None

    def _do(self, work: Work, layers: Layers, outcomes: list[Outcome]) -> None:
        """Run one work in a savepoint; raise only when the whole transaction is lost with it."""
        assert self._connection is not None
        desk = SqlDesk(self._connection, self._company, self._clock(), layers, self.cache, self.register)
        try:
            with desk.savepoint():
                value = work.run(desk)
            outcomes.append(Outcome(work, value))
        except BaseException as error:
            outcomes.append(Outcome(work, None, error))
        if desk.lost is not None:
            raise desk.lost

    def _lose(self, outcomes: list[Outcome], error: BaseException) -> None:
        """Tell everyone that nothing was kept, forget what was remembered, and start on a new connection."""
        LOG.error("the database did not take %d works: %s", len(outcomes), error)
        told = error if isinstance(error, Unavailable) else unavailable(error)
        self.cache.clear()
        if self._connection is not None:
            with suppress(Exception):
                # Not to be used again, whatever state it is in: the next work opens another.
                self._connection.invalidate()
            with suppress(Exception):
                self._connection.close()
            self._connection = None
        _tell(Outcome(work, None, Unavailable(told.template, **told.values)) for work, _, _ in outcomes)


class Readers:
    """A few threads that read, each from the books as they stood when it began."""

    def __init__(
        self,
        engine: Engine,
        company: Company,
        clock: Callable[[], datetime],
        cache: Cache,
        register: Register,
    ) -> None:
        self._engine = engine
        self._company = company
        self._clock = clock
        self._cache = cache
        self._register = register
        self._pool = ThreadPoolExecutor(READERS, thread_name_prefix="meguri-reader")
        self._closed = False

    async def read[T](self, run: Callable[[Desk], T]) -> T:
        """Run a work on a snapshot of the books."""
        if self._closed:
            raise Unavailable("the company's database is closed")
        return await get_running_loop().run_in_executor(self._pool, self._read, run)

    def close(self) -> None:
        """Finish what is being read, and stop."""
        self._closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._engine.dispose()

    def _read[T](self, run: Callable[[Desk], T]) -> T:
        try:
            with self._engine.connect() as connection, connection.begin():
                known = self._cache, self._register
                now = self._clock()
                return run(SqlDesk(connection, self._company, now, Layers(), *known, reading=True))
        except DBAPIError as error:
            raise unavailable(error) from error


def _tell(outcomes: Iterable[Outcome]) -> None:
    """Wake each caller with its outcome, each event loop once."""
    loops: dict[AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        loops.setdefault(outcome.work.loop, []).append(outcome)
    for loop, theirs in loops.items():
        with suppress(RuntimeError):  # the loop has ended, and nobody waits any more
            loop.call_soon_threadsafe(_resolve, theirs)


def _resolve(outcomes: list[Outcome]) -> None:
    for work, value, error in outcomes:
        if work.future.done():  # cancelled: what was done stays done
            continue
        if error is None:
            work.future.set_result(value)
        elif isinstance(error, StopIteration):  # which a future cannot carry
            work.future.set_exception(RuntimeError("a work raised StopIteration"))
        else:
            work.future.set_exception(error)
