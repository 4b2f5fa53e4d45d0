"""What must be looked up elsewhere before a statement can be checked: DID logs and status lists.

Checking is pure and never waits: it looks into what is `Known`, which notes what it lacks. That is fetched,
and the check is made again (`Lookup.with_known`). What was fetched and found right is kept, in memory and in
the company's books, and stays in use until it is due to be asked for anew; where that fails, until it
expires. Nothing that is served meanwhile, an older edition least of all, takes its place.

An issuer whose status list we fetch learns that we look at one of the list's 131,072 entries or more, not at
which, and not when: others' copies and our own are used for a while.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from agents.links import EVERYWHERE, PUBLIC, Nearness, around, fetched, host_of
from agents.ports import Copy, Desk, Fetch, Store
from agents.role import Change
from credentials import seals, strict, webvh
from credentials.form import SKEW
from credentials.moments import moment
from credentials.report import Report
from credentials.resolution import DidDocument, KeyResolver, did_document, method_name
from schemas.errors import Fault, Invalid, Unavailable, Unknown

LOG = logging.getLogger(__name__)

MOST_LOG = 2 << 20
MOST_LIST = 1 << 20
MOST_REGISTRY = 64 << 20
"""The longest DID log, the largest status list and the largest registry of DIDs that we fetch, in bytes."""

SOONEST = timedelta(seconds=30)
"""How long what was fetched, or the reason why it could not be, is used before anyone asks again."""
LATEST = timedelta(hours=1)
AGAIN = timedelta(seconds=1)
"""How long after another the registry is asked at the soonest."""
ALL_REST = timedelta(minutes=10)
"""How long what the registry has answered is used for DIDs that were not asked for before."""
LIST_REST = timedelta(minutes=5)
"""How long a status list is used that does not say how long it may be."""
USABLE = timedelta(days=1)
"""How long what cannot be fetched anew is used, unless it expires before."""

MOST_KEPT = 1024
MOST_AT_ONCE = 16
MOST_ROUNDS = 16
MOST_FOR_A_CHECK = 1000
MOST_FOR_ONE = 100
"""How many DIDs and lists are looked up for one check, and for one document or one issuer's page."""

_KEYS = KeyResolver()


class Wanting(Exception):
    """What a check needs has to be looked up first; whoever has begun something undoes it and tries again."""


class Web:
    """Fetches over HTTP: from public addresses, from where we are ourselves, and from the registry."""

    def __init__(self, home: str = "", registry: str = "", *, timeout_s: float = 10.0) -> None:
        self._home = home
        self._registry = registry.rstrip("/")
        self._timeout_s = timeout_s

    async def get(self, url: str, most: int, /) -> bytes:
        """Return what stands at a URL, up to `most` bytes of it, or raise a Fault."""
        return await fetched(url, most, await self._allowed(url), self._timeout_s)

    async def _allowed(self, url: str) -> frozenset[Nearness]:
        if self._registry and url.startswith(self._registry + "/"):
            return EVERYWHERE
        return PUBLIC | await around(host_of(self._home)) if self._home else PUBLIC


@dataclass(frozen=True, slots=True)
class Kept:
    """What was found of a DID or a status list, or why nothing was, and how long that holds."""

    value: DidDocument | Report | Fault
    at: datetime
    due: datetime
    until: datetime
    edition: str = ""

    def is_fresh(self, now: datetime) -> bool:
        """Say whether nobody needs to be asked; of what is from a time to come, nobody knows the age."""
        return self.at - SKEW <= now < self.due

    def is_usable(self, now: datetime) -> bool:
        """Say whether it may be used where it cannot be had anew."""
        return not isinstance(self.value, Fault) and self.at - SKEW <= now < self.until


class Known:
    """What one check may look at: a resolver of DIDs and a port to status lists, which never wait.

    `wanted` is what was asked for and has to be looked up first, `trouble` why something cannot be just now;
    `seen` is for whoever checks, to note which credentials were found in another standing than before.
    """

    def __init__(self, lookup: "Lookup", most: int = MOST_FOR_A_CHECK) -> None:
        self._lookup = lookup
        self._room = most
        self._found: dict[str, Kept] = {}
        self.wanted: set[str] = set()
        self.trouble: Unavailable | None = None
        self.seen: dict[str, Change] = {}
        self._renewed: set[str] = set()

    def resolve(self, did: str, /) -> DidDocument:
        """Return the document of a did:key, or of a did:webvh that was looked up."""
        method = method_name(did)
        if method == "key":
            return _KEYS.resolve(did)
        if method != "webvh":
            raise Unknown("DIDs of the method {method} are not known here.", method=method)
        webvh.place(did)
        found = self._find(did)
        assert isinstance(found, DidDocument)
        return found

    def anew(self, did: str, /) -> DidDocument:
        """Return the document of a DID as it is now: what is kept may lack a key that was added since."""
        document = self.resolve(did)
        if method_name(did) == "key" or did in self._renewed:
            return document
        self._renewed.add(did)
        self._found.pop(did, None)
        self._lookup.forget(did)
        self.wanted.add(did)
        raise Unavailable("{name} has not been looked up", name=did)

    def status_list(self, url: str, /) -> Report:
        """Return the report on a status list that was looked up."""
        found = self._find(url)
        assert isinstance(found, Report)
        return found

    def _find(self, name: str) -> DidDocument | Report:
        kept = self._found.get(name) or self._lookup.peek(name)
        if kept is None:
            self.wanted.add(name)
            raise Unavailable("{name} has not been looked up", name=name)
        self._found[name] = kept  # within one check, one answer
        if not isinstance(kept.value, Fault):
            return kept.value
        if isinstance(kept.value, Unavailable):
            self.trouble = kept.value
        raise type(kept.value)(kept.value.template, **kept.value.values)

    async def complete(self) -> None:
        """Look up what was wanted; raise `Unavailable` where that is more than anyone may have us ask for."""
        wanted, self.wanted, self.trouble = sorted(self.wanted), set(), None
        some = wanted[: self._room]
        self._room -= len(some)
        found = await asyncio.gather(*(self._lookup.look(name) for name in some))
        self._found.update(zip(some, found, strict=True))
        if len(some) < len(wanted):
            raise Unavailable("too much would have to be looked up")


class Lookup:
    """Fetches, checks and keeps DID logs and status lists; each is asked for once however many need it.

    DIDs with `did_host` in them are fetched from the site `registry`, all at once, from REGISTRY/dids/logs.
    """

    def __init__(
        self,
        fetch: Fetch,
        store: Store | None = None,
        *,
        registry: str = "",
        did_host: str = "",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.fetch = fetch
        self.store = store
        self.clock = clock
        self._registry = registry.rstrip("/")
        self._folder = f"https://{did_host}/" if did_host and registry else ""
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._flights: dict[str, asyncio.Task[Kept]] = {}
        self._gate = asyncio.Semaphore(MOST_AT_ONCE)
        self._all: tuple[datetime, dict[str, dict[str, str]]] | None = None
        self._asking: asyncio.Task[None] | None = None

    def known(self) -> Known:
        """Return what one check may look at."""
        return Known(self)

    async def with_known[T](self, run: Callable[[Known], Awaitable[T]], *, most: int = MOST_FOR_A_CHECK) -> T:
        """Run what checks statements until nothing that it needs is wanting, and return its result.

        `run` either goes through to its end or, where it would leave something behind, raises `Wanting`.
        """
        known = Known(self, most)
        for _ in range(MOST_ROUNDS):
            try:
                found = await run(known)
            except Wanting:
                pass
            else:
                if not known.wanted:
                    return found
            await known.complete()
        raise Unavailable("too much would have to be looked up")

    async def verified(self, sealed: object, **asked: Any) -> Report:
        """Report on a sealed document, its status included; `asked` is handed on to `seals.verify`."""

        async def run(known: Known) -> Report:
            # A presentation of a thousand credentials takes a while; others go on meanwhile.
            return await asyncio.to_thread(
                seals.verify, sealed, known, now=self.clock(), statuses=known.status_list, **asked
            )

        return await self.with_known(run, most=MOST_FOR_ONE)

    async def site(self, did: str) -> str:
        """Return the site that a DID names for its holder's files, or nothing."""

        async def run(known: Known) -> str:
            try:
                document = known.resolve(did)
            except Fault:
                return ""
            return "" if document.deactivated else document.files

        return await self.with_known(run)

    def peek(self, name: str) -> Kept | None:
        """Return what is kept of a DID or a list, if nobody needs to be asked; any thread may call this."""
        kept = self._kept.get(name)
        return kept if kept is not None and kept.is_fresh(self.clock()) else None

    def forget(self, name: str) -> None:
        """Look something up anew the next time, such as a DID whose keys were just changed."""
        if (kept := self._kept.get(name)) is not None:
            self._kept[name] = replace(kept, due=kept.at - 2 * SKEW)

    async def look(self, name: str) -> Kept:
        """Return what is found of a DID or at the URL of a status list."""
        if (kept := self.peek(name)) is not None:
            return kept
        if (flight := self._flights.get(name)) is None:
            flight = self._flights[name] = asyncio.create_task(self._fly(name), name=f"look up {name[:60]}")
            flight.add_done_callback(lambda _: self._flights.pop(name, None))
        return await asyncio.shield(flight)

    async def close(self) -> None:
        """Stop what is under way."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def _fly(self, name: str) -> Kept:
        kept = await self._find(name)
        self._kept[name] = kept
        self._kept.move_to_end(name)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return kept

    async def _find(self, name: str) -> Kept:
        now = self.clock()
        if (ours := await self._published(name)) is not None:
            return ours
        before = self._kept.get(name)
        if before is None or isinstance(before.value, Fault):
            before = await self._recalled(name) or before
        if before is not None and before.is_fresh(now):
            return before
        try:
            parts = await self._load(name)
            kept = await self._read(name, parts, self.clock(), before.edition if before else "")
        except Fault as fault:
            if before is not None and before.is_usable(now):
                LOG.warning("%s cannot be looked up anew: %s", ascii(name[:120]), fault.template)
                return replace(before, due=min(now + SOONEST, before.until))
            return Kept(fault, now, now + SOONEST, now, before.edition if before else "")
        await self._keep(Copy(name, parts, kept.at, kept.edition))
        return kept

    async def _load(self, name: str) -> dict[str, str]:
        if not name.startswith("did:"):
            return {"list": await self._get(name, MOST_LIST)}
        where = webvh.place(name)
        if self._folder and where.log.startswith(self._folder):
            return await self._registered(name)
        return await self._load_apart(where)

    async def _load_apart(self, where: webvh.Place) -> dict[str, str]:
        parts = {"log": await self._get(where.log, MOST_LOG)}
        if '"witness' in parts["log"]:
            with suppress(Unknown):  # then too few have approved
                parts["witnesses"] = await self._get(where.witnesses, MOST_LOG)
        return parts

    async def _registered(self, did: str) -> dict[str, str]:
        """Return a DID's files out of all that the registry publishes: it shall not learn whom we deal with.

        What it answers is used for others a while, but not where a DID is asked for anew.
        """
        before = self._kept.get(did)
        if (
            self._all is None
            or self.clock() - self._all[0] > ALL_REST
            or (before and before.at >= self._all[0])
        ):
            if self._asking is None:
                self._asking = asyncio.create_task(self._ask_all(), name="look up the registry")
                self._asking.add_done_callback(lambda _: setattr(self, "_asking", None))
            await asyncio.shield(self._asking)
        assert self._all is not None
        if did not in self._all[1]:
            raise Unknown("its server has no such thing")
        return self._all[1][did]

    async def _ask_all(self) -> None:
        if self._all is not None and abs(self.clock() - self._all[0]) < AGAIN:
            await asyncio.sleep(AGAIN.total_seconds())  # whoever forges keys shall not keep us busy with it
        at = self.clock()
        found: dict[str, dict[str, str]] = {}
        for line in (await self._get(f"{self._registry}/dids/logs", MOST_REGISTRY)).splitlines():
            match strict.loads(line, limit=2 * MOST_LOG + (1 << 10)):
                case {"did": str(did), "log": str(log), "witnesses": str(witnesses)}:
                    found[did] = {"log": log, "witnesses": witnesses}
        self._all = at, found

    async def _get(self, url: str, most: int) -> str:
        async with self._gate:
            content = await self.fetch.get(url, most)
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise Invalid("The text is not UTF-8.") from None

    async def _read(self, name: str, parts: Mapping[str, str], at: datetime, before: str) -> Kept:
        """Check what was fetched at a time; `before` is the edition that it must not be older than."""
        if name.startswith("did:"):
            return await asyncio.to_thread(_read_log, name, parts, at, before)
        sealed: Any = parts["list"]
        if sealed.lstrip().startswith("{"):
            sealed = strict.loads(sealed, limit=MOST_LIST)

        async def run(known: Known) -> Report:
            report = seals.verify(sealed, known, now=self.clock())
            if known.trouble is not None and not known.wanted:
                raise known.trouble
            return report

        return _read_list(await self.with_known(run), at, before)

    async def _published(self, name: str) -> Kept | None:
        """Return a status list of ours as we publish it; nobody needs to be asked."""
        if self.store is None or name.startswith("did:"):
            return None
        now = self.clock()
        try:
            edition = await self.store.read(lambda desk: desk.edition(name))
            return await self._read(name, {"list": edition}, now, "") if edition is not None else None
        except Fault as fault:
            return Kept(fault, now, now + SOONEST, now)

    async def _recalled(self, name: str) -> Kept | None:
        """Return what the books hold of it, checked anew: nobody needs to believe the books."""
        if self.store is None:
            return None
        now = self.clock()
        try:
            copy = await self.store.read(lambda desk: desk.copy(name))
        except Fault as fault:
            return Kept(fault, now, now + SOONEST, now)  # or an older edition could pass for a new one
        if copy is None:
            return None
        try:
            return await self._read(name, copy.parts, copy.at, "")
        except Fault as fault:
            return Kept(fault, copy.at, copy.at, copy.at, copy.edition)

    async def _keep(self, copy: Copy) -> None:
        if self.store is None:
            return

        def work(desk: Desk) -> None:
            desk.keep_copy(copy)

        try:
            await self.store.write(work)
        except Fault as fault:
            LOG.warning("what was looked up is kept in memory only: %s", fault.template)


def _read_log(did: str, parts: Mapping[str, str], at: datetime, before: str) -> Kept:
    found = webvh.history(did, parts["log"], parts.get("witnesses"), now=at)
    if before and all(version.id != before for version in found.versions):
        raise Invalid("An older edition of it is served than one that we have seen.")
    last = found.last
    document = replace(did_document(last.document), deactivated=last.rules.deactivated)
    rest = timedelta(seconds=last.rules.ttl)
    return Kept(document, at, at + _within(rest), at + USABLE, last.id)


def _read_list(report: Report, at: datetime, before: str) -> Kept:
    if not report.verified or report.document is None:
        check = report.refusals[0]
        raise Invalid(check.words, **check.evidence)
    document = report.document
    begun = document.get("validFrom")
    if begun is None:
        raise Invalid("It does not say since when it is valid.")
    if before and moment(begun) < moment(before):
        raise Invalid("An older edition of it is served than one that we have seen.")
    end = document.get("validUntil")
    until = at + USABLE if end is None else moment(end)
    subject = document["credentialSubject"]
    ttl = subject.get("ttl") if isinstance(subject, Mapping) else None
    rest = timedelta(milliseconds=ttl) if isinstance(ttl, int) and 0 <= ttl <= 1 << 40 else LIST_REST
    return Kept(report, at, min(at + _within(rest), until), until, begun)


def _within(rest: timedelta) -> timedelta:
    return min(max(rest, SOONEST), LATEST)
