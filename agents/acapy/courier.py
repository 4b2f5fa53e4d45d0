"""Carries saved messages to peers until their agents' applications acknowledge them.

One task per peer with something to carry. It takes what is due from the desk, puts it into one bundle with
the receipts that wait for that peer, has it carried, and then waits: a message is done when the peer's
receipt comes, and is carried again when none does. What is in flight is known in memory only; after a crash
everything not acknowledged goes out once more, and the peer drops what it has already.

A peer that cannot be reached costs one attempt now and then (the circuit breaker): at most every `longest_s`,
and at once when it is heard again. An agent that starts knocks at its peers' doors with an empty receipt, so
what waited for it comes within seconds.

Waiting goes by the monotonic clock. The due times on the desk only matter to an agent that restarts, and to
new messages, which are due when written; so a clock that jumps delays nothing.
"""

import asyncio
import logging
import random
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any, Literal, Protocol

from agents.acapy.wire import (
    MOST_INLINE,
    MOST_INLINE_TOGETHER,
    MOST_ON_THE_WIRE,
    Attached,
    dumps,
    side_of,
    write,
    write_bundle,
    write_problems,
    write_receipt,
)
from agents.evidence import Vault
from agents.ports import Desk, Letter, Store, Verdict
from agents.role import Books, Evidence, Peer
from protocols.receipt import MOST_IN_A_BUNDLE, Problem
from schemas.errors import Fault, Unknown

LOG = logging.getLogger(__name__)

type Translate = Callable[[str, Mapping[str, str], str], str]
"""Fills a template in a language: `translate(template, values, "ja")`."""


class Unreachable(Exception):
    """The peer's agent did not answer."""


class Declined(Exception):
    """The peer's agent answered, but would not have this message."""


class Unroutable(Exception):
    """There is no working connection over which to send."""


class Carrier(Protocol):
    """Packs a message for a peer and hands it to the peer's agent."""

    async def carry(self, peer: Peer, text: str) -> None:
        """Return once the peer's agent has it; raise `Unreachable`, `Declined` or `Unroutable`."""
        ...


@dataclass(frozen=True)
class Timing:
    """How patient the courier is; times in seconds."""

    receipt_s: float = 10.0
    """How long to wait for a receipt before a message is carried again; doubles each time."""
    shortest_s: float = 1.0
    longest_s: float = 300.0
    gather_s: float = 0.005
    """How long receipts wait for company."""
    most_attempts: int = 20
    oldest: timedelta = timedelta(days=30)
    unroutable: timedelta = timedelta(days=1)
    window: int = 1000
    bundle_bytes: int = 512 << 10
    knock_rest_s: float = 5.0


def full_jitter(shortest_s: float, longest_s: float, failures: int) -> float:
    """Return a wait, at random up to shortest·2^failures seconds and never beyond the longest."""
    return random.uniform(0, min(longest_s, shortest_s * 2.0 ** min(failures, 40)))


@dataclass
class Breaker:
    """Lets nothing through to a peer that does not answer, but for one probe after each rest."""

    shortest_s: float = 1.0
    longest_s: float = 300.0
    failures: int = 0
    until: float = 0.0

    def fail(self) -> float:
        """Open, and return how long."""
        self.failures += 1
        rest = self.shortest_s / 4 + full_jitter(self.shortest_s, self.longest_s, self.failures)
        self.until = monotonic() + min(rest, self.longest_s)
        return self.rest_s

    def succeed(self) -> None:
        """Close."""
        self.failures, self.until = 0, 0.0

    @property
    def rest_s(self) -> float:
        """Return the seconds until a probe may go through."""
        return max(0.0, self.until - monotonic()) if self.failures else 0.0

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """Name the state."""
        if not self.failures:
            return "closed"
        return "open" if self.rest_s else "half-open"


@dataclass(frozen=True)
class Reach:
    """How a peer can be reached just now; for the members page and /metrics."""

    peer: str
    state: Literal["closed", "open", "half-open"]
    failures: int
    retry_in_s: float
    in_flight: int
    problem: str


@dataclass(frozen=True)
class Spelt:
    """A letter as JSON text, or why it cannot be spelt."""

    letter: Letter
    text: str = ""
    problem: str = ""


class Speller:
    """Spells letters: gathers the credentials and files that go with them."""

    def __init__(self, store: Store, vault: Vault, blobs_url: str = "") -> None:
        self.store = store
        self.vault = vault
        self.blobs_url = blobs_url
        self._sides: dict[str, str] = {}

    async def spell(self, peer: Peer, letters: Sequence[Letter]) -> AsyncIterator[Spelt]:
        """Write each letter as JSON text, in order."""
        gathered = await self.store.read(lambda desk: [self._gather(desk, letter) for letter in letters])
        for one in gathered:
            yield await self._spell(peer, *one)

    def _gather(
        self, books: Books, letter: Letter
    ) -> tuple[Letter, str, list[Mapping[str, Any]], list[Evidence]]:
        credentials = [held.document for id in letter.credentials if (held := books.credential(id))]
        files = [file for digest in letter.evidence if (file := books.evidence(digest))]
        if len(credentials) != len(letter.credentials) or len(files) != len(letter.evidence):
            return letter, "", [], []
        return letter, self._side(books, letter), credentials, files

    def _side(self, books: Books, letter: Letter) -> str:
        if side := side_of(letter) or self._sides.get(letter.thread, ""):
            return side
        exchange = books.exchange(letter.thread)
        side = exchange.side if exchange else ""
        if len(self._sides) > 10_000:  # noqa: PLR2004
            self._sides.clear()
        self._sides[letter.thread] = side
        return side

    async def _spell(
        self,
        peer: Peer,
        letter: Letter,
        side: str,
        credentials: list[Mapping[str, Any]],
        files: list[Evidence],
    ) -> Spelt:
        if not side:
            return Spelt(letter, problem="what belongs to the message is gone")
        try:
            attached = await to_thread(self._attach, peer, files) if files else []
            text = dumps(write(letter, side, credentials, attached))
        except (Fault, OSError, ValueError) as error:
            return Spelt(letter, problem=f"the message cannot be written: {error}")
        if len(text.encode()) > MOST_ON_THE_WIRE:
            return Spelt(letter, problem=f"the message is larger than {MOST_ON_THE_WIRE} bytes")
        return Spelt(letter, text)

    def _attach(self, peer: Peer, files: list[Evidence]) -> list[Attached]:
        attached, room = [], MOST_INLINE_TOGETHER
        for file in files:
            head = (file.digest, file.name, file.media_type, file.size)
            if file.size <= min(MOST_INLINE, room):
                room -= file.size
                attached.append(Attached(*head, data=self.vault.get(file.digest)))
                continue
            if not self.blobs_url:
                raise Unknown("we have no address from which others can fetch files")
            blob = self.vault.seal_blob(file.digest, peer.id)
            attached.append(Attached(*head, link=f"{self.blobs_url}/{blob.id}", key=blob.key))
        return attached


@dataclass
class _Route:
    """What the courier knows of one peer."""

    peer: str
    breaker: Breaker
    event: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    dirty: bool = False
    """There may be letters that are due."""
    overdue: bool = False
    """There may be letters that are not due by the clock, but are to go now."""
    knock: bool = False
    knocked_at: float = -1e9
    taken: dict[str, None] = field(default_factory=dict)
    problems: dict[str, Problem] = field(default_factory=dict)
    flight: dict[str, float] = field(default_factory=dict)
    """Ids of messages carried and not acknowledged, each with the time to carry it again."""
    alone: int = 0
    """How many messages are to go one by one, after a bundle was declined."""
    problem: str = ""

    @property
    def answers(self) -> bool:
        return bool(self.taken or self.problems)


class Postman:
    """The courier: implements `agents.ports.Courier`."""

    def __init__(
        self,
        store: Store,
        speller: Speller,
        carrier: Carrier,
        translate: Translate | None = None,
        timing: Timing | None = None,
        *,
        at_once: int = 16,
    ) -> None:
        self.store = store
        self.speller = speller
        self.carrier = carrier
        self.translate = translate
        self.timing = timing or Timing()
        self.sent = 0
        self.settled_count = 0
        self._routes: dict[str, _Route] = {}
        self._gate = asyncio.Semaphore(at_once)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = True

    # What others tell us

    def wake(self, peers: frozenset[str]) -> None:
        """There is something to carry to these peers; return at once. Any thread may call."""
        loop = self._loop
        if loop is None or self._stopped:
            return
        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here:
            self._wake(peers)
        else:
            with suppress(RuntimeError):  # the loop has just closed; the next start finds the messages
                loop.call_soon_threadsafe(self._wake, peers)

    def _wake(self, peers: frozenset[str]) -> None:
        for peer in peers:
            route = self._route(peer)
            route.dirty = True
            self._rouse(route)

    def acknowledge(self, peer: str, verdicts: Sequence[Verdict]) -> None:
        """Tell a peer what became of its messages, as soon as may be; forgotten if we stop before."""
        route = self._route(peer)
        for verdict in verdicts:
            if verdict.taken:
                route.taken[verdict.id] = None
            else:
                route.problems[verdict.id] = self._problem(verdict)
        self._rouse(route)

    def heard(self, peer: str, *, knock: bool = False) -> None:
        """A peer has spoken, so it is there; a knock says it has just started and may have lost things."""
        route = self._route(peer)
        away = route.breaker.failures > 0
        route.breaker.succeed()
        if knock and monotonic() - route.knocked_at > self.timing.knock_rest_s:
            route.knocked_at = monotonic()
            away = True
        if away:
            route.flight.clear()
            route.dirty = route.overdue = True
            self._rouse(route)

    def settled(self, peer: str, ids: Sequence[str]) -> None:
        """These messages of ours are done with."""
        route = self._routes.get(peer)
        self.settled_count += len(ids)
        if route is None:
            return
        for id in ids:
            route.flight.pop(id, None)
        if route.dirty:
            self._rouse(route)  # there was no room

    def reaches(self) -> list[Reach]:
        """List how each peer we have dealt with since the start can be reached."""
        return [
            Reach(
                route.peer,
                route.breaker.state,
                route.breaker.failures,
                route.breaker.rest_s,
                len(route.flight),
                route.problem,
            )
            for route in self._routes.values()
        ]

    # Start and stop

    async def start(self, *, knock: bool = True) -> None:
        """Take up what an earlier run left, and tell the peers that we are here."""
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        destinations, peers = await self.store.read(lambda desk: (desk.destinations(), desk.peers()))
        for peer, _ in destinations:
            route = self._route(peer)
            route.dirty = route.overdue = True
        if knock:
            for known in peers:
                self._route(known.id).knock = True
        for route in list(self._routes.values()):
            self._rouse(route)

    async def stop(self) -> None:
        """Stop at once; what is not acknowledged goes out again after the next start."""
        self._stopped = True
        tasks = [route.task for route in self._routes.values() if route.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # One peer's task

    def _route(self, peer: str) -> _Route:
        if (route := self._routes.get(peer)) is None:
            breaker = Breaker(self.timing.shortest_s, self.timing.longest_s)
            route = self._routes[peer] = _Route(peer, breaker)
        return route

    def _rouse(self, route: _Route) -> None:
        route.event.set()
        if (route.task is None or route.task.done()) and not self._stopped:
            route.task = asyncio.create_task(self._serve(route), name=f"carry to {route.peer}")

    async def _serve(self, route: _Route) -> None:
        """Carry to one peer until nothing is left to do or to wait for."""
        while await self._rest(route):
            try:
                async with self._gate:
                    await self._round(route)
            except Exception as error:
                rest = route.breaker.fail()
                route.dirty = route.overdue = True
                route.problem = str(error) or type(error).__name__
                LOG.exception("carrying to peer %s failed; next try in %.1f s", route.peer, rest)

    async def _rest(self, route: _Route) -> bool:
        """Wait until there is something to do; return False when there is nothing to wait for either."""
        while True:
            route.event.clear()
            now = monotonic()
            if any(until <= now for until in route.flight.values()):
                route.flight = {id: until for id, until in route.flight.items() if until > now}
                route.dirty = route.overdue = True
            letters = route.dirty and len(route.flight) < self.timing.window
            busy = letters or route.answers or route.knock
            if busy and (rest := route.breaker.rest_s):
                wait: float | None = rest
            elif busy:
                if not letters:
                    await asyncio.sleep(self.timing.gather_s)
                return True
            elif route.flight:
                wait = max(0.01, min(route.flight.values()) - now)
            else:
                return False
            with suppress(TimeoutError):
                await asyncio.wait_for(route.event.wait(), wait)

    async def _round(self, route: _Route) -> None:
        """Carry one envelope."""
        peer, letters, overdue = await self._take(route)
        if peer is not None and peer.id != route.peer:
            self._join(route, self._route(peer.id))
            return
        knock, route.knock = route.knock, False
        texts, taken, problems = self._answers(route, knock=knock)
        fitting = (
            [] if route.alone and texts else await self._fitting(route, peer, letters, sum(map(len, texts)))
        )
        if len(fitting) < len(letters):
            route.dirty, route.overdue = True, route.overdue or overdue
        carried = [one.letter for one in fitting]
        texts += [one.text for one in fitting]
        if peer is None or not texts:
            return
        wait = self._launch(route, carried)
        try:
            await self.carrier.carry(peer, _bundle(texts))
        except (Unreachable, Unroutable) as error:
            await self._failed(route, carried, error)
            if carried or route.breaker.failures <= 3:  # noqa: PLR2004, else they ask again by sending again
                route.taken = dict.fromkeys(taken) | route.taken
                route.problems = {problem.id: problem for problem in problems} | route.problems
            return
        except Declined as error:
            route.problem = str(error)
            route.alone = len(carried) if len(carried) > 1 else max(0, route.alone - 1)
            LOG.warning("peer %s declined %d messages: %s", route.peer, len(carried), error)
        else:
            route.breaker.succeed()
            route.problem = ""
            route.alone = max(0, route.alone - 1)
        if carried:
            self.sent += len(carried)
            ids, next_at = [letter.id for letter in carried], datetime.now(UTC) + timedelta(seconds=wait)
            await self.store.write(lambda desk: desk.attempted(route.peer, ids, next_at))

    def _join(self, route: _Route, other: _Route) -> None:
        """Go on under a peer's first name: it has connected anew and proved to be a company we knew."""
        del self._routes[route.peer]
        other.taken |= route.taken
        other.problems |= route.problems
        other.flight |= route.flight
        other.dirty = other.overdue = True
        other.knock |= route.knock
        route.taken, route.problems, route.flight = {}, {}, {}
        route.dirty = route.knock = False
        self._rouse(other)

    async def _take(self, route: _Route) -> tuple[Peer | None, list[Letter], bool]:
        """Return the peer, the letters to carry to it now, and whether some may not be due by the clock."""
        room = self.timing.window - len(route.flight)
        wanted, overdue = route.dirty and room > 0, route.overdue
        limit = min(room, MOST_IN_A_BUNDLE) + (len(route.flight) if overdue else 0)
        if wanted:
            route.dirty = route.overdue = False

        def work(desk: Desk) -> tuple[Peer | None, list[Letter]]:
            due = desk.due(route.peer, limit, not_before=not overdue) if wanted else []
            return desk.peer(route.peer), due

        peer, letters = await self.store.read(work)
        fresh = [letter for letter in letters if letter.id not in route.flight]
        now, timing = datetime.now(UTC), self.timing
        old = [letter for letter in fresh if now - letter.at > timing.oldest]
        worn = [letter for letter in fresh if letter.attempts >= timing.most_attempts and letter not in old]
        await self._bury(route, old, f"nobody acknowledged the message within {timing.oldest.days} days")
        await self._bury(
            route, worn, f"their agent took the message {timing.most_attempts} times without an answer"
        )
        done = {letter.id for letter in (*old, *worn)}
        going = [letter for letter in fresh if letter.id not in done][:MOST_IN_A_BUNDLE]
        if wanted and (len(letters) == limit or len(going) + len(done) < len(fresh)):
            route.dirty, route.overdue = True, route.overdue or overdue
        return peer, going, overdue

    async def _fitting(
        self, route: _Route, peer: Peer | None, letters: list[Letter], size: int
    ) -> list[Spelt]:
        """Spell the letters that fit into one envelope, in order; those that cannot be spelt are given up."""
        fitting: list[Spelt] = []
        if peer is None or not letters:
            return []
        async for one in self.speller.spell(peer, letters):
            if one.problem:
                await self._bury(route, [one.letter], one.problem)
                continue
            size += len(one.text)
            full = len(fitting) >= (1 if route.alone else MOST_IN_A_BUNDLE - 3)
            if fitting and (full or size > self.timing.bundle_bytes):
                break
            fitting.append(one)
        return fitting

    def _launch(self, route: _Route, carried: list[Letter]) -> float:
        """Count letters as in flight, before they are: the receipt may be quicker than the reply."""
        tries = max((letter.attempts for letter in carried), default=0)
        base = self.timing.receipt_s
        wait = base + full_jitter(base, max(0.0, self.timing.longest_s - base), tries)
        until = monotonic() + wait
        route.flight |= {letter.id: until for letter in carried}
        return wait

    async def _failed(self, route: _Route, carried: list[Letter], error: Exception) -> None:
        """Note that a peer was not reached; its letters stay as they were."""
        rest = route.breaker.fail()
        route.problem = str(error)
        LOG.info("peer %s is not reached (%s); next try in %.1f s", route.peer, error, rest)
        for letter in carried:
            route.flight.pop(letter.id, None)
        if carried:
            route.dirty = route.overdue = True
        if isinstance(error, Unroutable):
            now = datetime.now(UTC)
            old = [letter for letter in carried if now - letter.at > self.timing.unroutable]
            await self._bury(route, old, "there is no connection to this company any more")

    def _answers(self, route: _Route, *, knock: bool) -> tuple[list[str], list[str], list[Problem]]:
        """Take the receipts that wait, as JSON texts; what does not fit waits on."""
        taken = list(route.taken)[:MOST_IN_A_BUNDLE]
        problems = list(route.problems.values())[:MOST_IN_A_BUNDLE]
        for id in taken:
            del route.taken[id]
        for problem in problems:
            del route.problems[problem.id]
        texts = [dumps(write_receipt([]))] if knock else []
        if taken:
            texts.append(dumps(write_receipt(taken)))
        if problems:
            texts.append(dumps(write_problems(problems)))
        return texts, taken, problems

    async def _bury(self, route: _Route, letters: list[Letter], problem: str) -> None:
        if not letters:
            return
        ids = [letter.id for letter in letters]
        LOG.error("%d messages to peer %s given up: %s", len(ids), route.peer, problem)
        await self.store.write(lambda desk: desk.settle(route.peer, ids, "dead", problem))

    def _problem(self, verdict: Verdict) -> Problem:
        values = dict(verdict.values or {})
        japanese = self.translate(verdict.template, values, "ja") if self.translate else ""
        return Problem(
            id=verdict.id, code=verdict.code, en=fill(verdict.template, values)[:2000], ja=japanese[:2000]
        )


def fill(template: str, values: Mapping[str, str]) -> str:
    """Fill a template, which stays as it is where its values are missing."""
    try:
        return template.format(**values) if values else template
    except (KeyError, IndexError, ValueError):
        return template


def _bundle(texts: list[str]) -> str:
    """Put messages, already JSON, into one; a single one goes as it is."""
    if len(texts) == 1:
        return texts[0]
    head, tail = dumps(write_bundle([])).split("[]")
    return f"{head}[{','.join(texts)}]{tail}"
