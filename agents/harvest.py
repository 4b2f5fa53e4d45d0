"""The registry of credentials: what issuers have published, read from their own sites, checked and indexed.

Nothing is believed of a site. Each statement must verify, be its issuer's own, of a type that the issuer may
state and the framework opens to everyone, and say of its item what it says of it. What is wrong is refused by
itself, with the reason, and the rest goes on. The index holds no statements, only what they are found by;
whoever wants one gets it from its issuer. So it can be read anew from the issuers at any time.
"""

import asyncio
import logging
import re
from asyncio import gather
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import pairwise
from time import monotonic
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agents.lookup import MOST_FOR_ONE, Known
from agents.ports import Desk, Entry, Fetch, Question, Source
from agents.role import Books
from agents.service import Agent, roles_of
from agents.tokens import asked, tokens
from credentials import strict
from credentials.moments import moment
from credentials.vc import digest
from schemas.errors import Fault, Forbidden, Invalid, Unavailable, Unknown
from schemas.items import item_uri, read_code

LOG = logging.getLogger(__name__)

NOT_READ = ""
"""The site of an issuer that is not to be read, though its DID may name one."""

MOST_PAGE = 4 << 20
MOST_PAGES = 2000
MOST_S = 600.0
"""How large a page of a feed may be, and how many pages and how long one issuer is read at a time."""
MOST_AT_ONCE = 4
MOST_ON_A_PAGE = 500
MOST_REFUSED = 20
"""Of so many refusals the reasons are kept, the latest."""

MOST_WORDS = 1000
MOST_ASKED = 40
LONGEST_TEXT = 200
MOST_SEARCHES = 2
MOST_WAITING = 20
"""So many search at once, so that the company's own people still find a free reader; so many may wait."""

_NO_WORD = re.compile(
    r"did:.*|urn:.*|https?:.*|sha256:.*|[0-9a-f]{40,}|[zu][1-9A-HJ-NP-Za-km-z_-]{40,}|[-+.,0-9eE]+"
    r"|\d{4}-\d\d-\d\dT.*",
    re.S,
)
_MODELS = ("model", "pack_model", "vehicle_model")


# What a statement is found by


def of_type(type_: str) -> str:
    """Return the word by which statements of a type are found."""
    return f"t:{type_}"


def of_issuer(did: str) -> str:
    """Return the word by which an issuer's statements are found; DIDs are long, so a part of a digest."""
    return f"i:{sha256(did.encode()).hexdigest()[:16]}"


def of_item(code: str) -> str:
    """Return the word by which statements about an item are found."""
    return f"c:{code}"


def of_model(words: frozenset[str]) -> frozenset[str]:
    """Return the words by which statements about a model are found."""
    return frozenset(f"m:{word}" for word in words)


def entry_of(document: Mapping[str, Any], type_: str, issuer: str) -> Entry:
    """Return what the index keeps of a statement."""
    claim = document["credentialSubject"]
    item = str(claim.get("item", ""))
    model = " / ".join(dict.fromkeys(str(claim[name]) for name in _MODELS if claim.get(name)))
    words = {of_type(type_), of_issuer(issuer), *of_model(tokens(model)), *tokens(model)}
    if item:
        words.add(of_item(item))
    for text in _texts(claim):
        words |= tokens(text)
        if len(words) > MOST_WORDS:
            break
    return Entry(
        id=str(document["id"]),
        issuer=issuer,
        type=type_,
        item=item,
        model=model[:LONGEST_TEXT],
        at=moment(document["validFrom"]),
        digest=digest(document),
        words=frozenset(sorted(words)[:MOST_WORDS] if len(words) > MOST_WORDS else words),
    )


def _issuer(document: Mapping[str, Any]) -> str:
    """Return whom an unchecked document names as its issuer, or nothing."""
    named = document.get("issuer")
    return str(named.get("id", "") if isinstance(named, Mapping) else named or "")


def _of_model(entry: Entry, model: str) -> Entry:
    """Return an entry that is found by its item's model too."""
    words = tokens(model)
    return replace(entry, model=model, words=entry.words | of_model(words) | words)


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts in a claim that a person may look for; not addresses, digests and figures."""
    match value:
        case str():
            if not _NO_WORD.fullmatch(value):
                yield value
        case Mapping():
            for one in value.values():
                yield from _texts(one)
        case list() | tuple():
            for one in value:
                yield from _texts(one)


class Search(BaseModel):
    """What is searched for."""

    model_config = ConfigDict(frozen=True)

    text: str = Field(default="", max_length=LONGEST_TEXT, title="Words")
    type: str = Field(default="", max_length=60, title="Kind of statement")
    issuer: str = Field(default="", max_length=400, title="Issuer, by DID or name")
    model: str = Field(default="", max_length=LONGEST_TEXT, title="Model")
    item: str = Field(default="", max_length=40, title="Item code")
    since: str = Field(default="", pattern=r"^(\d{4}-\d\d-\d\d)?$", title="Issued since (day)")
    until: str = Field(default="", pattern=r"^(\d{4}-\d\d-\d\d)?$", title="Issued until (day)")
    after: str = Field(default="", pattern=r"^\d{0,19}$", title="Go on after (`next` of the page before)")
    limit: int = Field(default=20, ge=1, le=100, title="How many at most")


def question(search: Search, books: Books) -> Question:
    """Return what a search asks of the index."""
    words = asked(search.text) | of_model(asked(search.model))
    for name in ("text", "model"):
        if getattr(search, name).strip() and not asked(getattr(search, name)):
            raise Invalid("there is no word in what you search for")
    if len(words) > MOST_ASKED:
        raise Invalid("ask for fewer words at once: at most {limit}", limit=MOST_ASKED)
    if search.type:
        words |= {of_type(search.type.strip())}
    if search.issuer:
        words |= {of_issuer(did_of(search.issuer.strip(), books))}
    if search.item:
        words |= {of_item(read_code(search.item))}
    return Question(
        words=words,
        since=moment(f"{search.since}T00:00:00Z") if search.since else None,
        until=moment(f"{search.until}T23:59:59Z") if search.until else None,
        below=min(int(search.after), 2**62) if search.after else None,
        limit=search.limit,
    )


def did_of(name: str, books: Books) -> str:
    """Return the DID of an issuer, given by DID or by its name in the register."""
    if name.startswith("did:"):
        return name
    found = [entry.did for entry in books.members() if entry.name == name]
    if len(found) != 1:
        raise Unknown("the register names no issuer “{name}”", name=name[:80])
    return found[0]


# Reading


class FeedEntry(BaseModel):
    """One change that a site tells."""

    number: int = Field(ge=1, le=2**62)
    id: str = Field(min_length=1, max_length=400)
    credential: dict[str, Any] | None


class FeedPage(BaseModel):
    """One page of a site's feed."""

    issuer: str = Field(max_length=2100)
    entries: tuple[FeedEntry, ...] = Field(max_length=MOST_ON_A_PAGE)
    next: int = Field(ge=0, le=2**62)
    more: bool


@dataclass
class Harvested:
    """What came of reading one issuer."""

    issuer: str
    indexed: int = 0
    removed: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    problem: str = ""


type Site = Callable[[str], Awaitable[str]]
"""Says where an issuer publishes: `await site(did)`, or nothing."""


async def nowhere(did: str) -> str:
    """Say of nobody where they publish."""
    return ""


class Harvest:
    """Reads issuers' sites into the index, now and then or when told to, and answers searches in it."""

    def __init__(self, agent: Agent, fetch: Fetch, site: Site = nowhere, *, every_s: float = 0.0) -> None:
        self.agent = agent
        self.fetch = fetch
        self.site = site
        self.every_s = every_s
        self.running = False
        self._gate = asyncio.Semaphore(MOST_AT_ONCE)
        self._searches = asyncio.Semaphore(MOST_SEARCHES)
        self._waiting = 0
        self._one_at_a_time = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    # In the background

    def start(self) -> Self:
        """Begin to read every issuer now and then, if that is wanted."""
        if self.every_s > 0:
            self._spawn(self._now_and_then())
        return self

    def begin(self, issuer: str = "", *, anew: bool = False) -> None:
        """Read in the background: everything or one issuer; `anew`, after forgetting all."""
        self.running = True
        self._spawn(self.rebuild() if anew else self.harvest(issuer))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work, name="harvest")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def stop(self) -> None:
        """Stop; what was read stays, and the next run goes on from there."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await gather(*tasks, return_exceptions=True)

    async def _now_and_then(self) -> None:
        while True:
            try:
                await self.harvest()
            except Exception:
                LOG.exception("the issuers could not be read")
            await asyncio.sleep(self.every_s)

    # Reading issuers

    async def rebuild(self) -> list[Harvested]:
        """Forget the whole index, and read it from the issuers again."""
        await self.agent.store.write(lambda desk: desk.index.clear())
        return await self.harvest()

    async def harvest(self, issuer: str = "") -> list[Harvested]:
        """Read what is new at every issuer's site, or at one's; return what came of it."""
        async with self._one_at_a_time:
            self.running = True
            try:
                await self._discover()
                sources = await self.agent.store.read(lambda desk: desk.index.sources())
                wanted = [one for one in sources if one.site and issuer in ("", one.issuer)]
                if issuer and not wanted:
                    raise Unknown("the issuer {did} is not indexed here", did=issuer[:120])
                return list(await gather(*(self._read(source) for source in wanted)))
            finally:
                self.running = False

    async def _discover(self) -> None:
        """Add those of the register whose DIDs say where they publish, or say another place now."""

        def listed(desk: Desk) -> dict[str, str | None]:
            known = {source.issuer: source.site for source in desk.index.sources()}
            members = [entry.did for entry in desk.members() if desk.framework().may_deal(entry.status)]
            return {did: known.get(did) for did in (desk.company.did, *members)}

        for did, before in (await self.agent.store.read(listed)).items():
            site = "" if before == NOT_READ else await self.site(did)
            if site and site != before:
                try:
                    await self.add(did, site)
                except Fault as fault:
                    LOG.warning("%s cannot be read: %s", ascii(did[:120]), fault.template)

    async def add(self, issuer: str, site: str) -> None:
        """Have an issuer's site read from now on."""
        if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", site) or len(site) > LONGEST_TEXT:
            raise Invalid("“{url}” is not the address of a site", url=site[:80])
        fresh = Source(issuer, site.rstrip("/"))

        def work(desk: Desk) -> None:
            if not roles_of(desk, issuer, desk.authority()):
                raise Forbidden("the company is not a member")
            known = next((one for one in desk.index.sources() if one.issuer == issuer), None)
            if known is None or known.site != fresh.site:
                desk.index.keep_source(fresh)

        await self.agent.store.write(work)

    async def drop(self, issuer: str) -> None:
        """Read an issuer's site no more, whatever its DID says, and forget what was indexed of it."""

        def work(desk: Desk) -> None:
            desk.index.drop_source(issuer)
            desk.index.keep_source(Source(issuer, NOT_READ))

        await self.agent.store.write(work)

    async def _read(self, source: Source) -> Harvested:
        came = Harvested(source.issuer)
        async with self._gate:
            try:
                await self._read_pages(source, came)
            except Fault as fault:
                came.problem = str(fault)
            except Exception:
                LOG.exception("a site could not be read")
                came.problem = "something went wrong here"
        await self.agent.store.write(lambda desk: self._note(desk, came))
        return came

    async def _read_pages(self, source: Source, came: Harvested) -> None:
        standing = await self.agent.store.read(lambda desk: self._standing(desk, source.issuer))
        if standing:
            raise Forbidden("no member in good standing: {status}", status=standing)
        begun, since = monotonic(), source.next
        for _ in range(MOST_PAGES):
            page = await self._page(source, since)
            judged = await self._judged(source.issuer, page, came)
            await self.agent.store.write(
                lambda desk, page=page, judged=judged: self._take(desk, source, page, judged)  # type: ignore[misc]
            )
            since = page.next
            if not page.more:
                return
            if monotonic() - begun > MOST_S:
                break
        raise Unavailable("it has more than is read at a time; the rest comes the next time")

    def _standing(self, desk: Desk, issuer: str) -> str:
        """Return the standing of an issuer that may not be indexed, or nothing."""
        if issuer == desk.authority():
            return ""
        status = next((entry.status for entry in desk.members() if entry.did == issuer), "no member")
        return "" if desk.framework().may_deal(status) else status

    async def _page(self, source: Source, since: int) -> FeedPage:
        url = f"{source.site}/published?since={since}"
        try:
            page = FeedPage.model_validate(
                strict.loads(await self.fetch.get(url, MOST_PAGE), limit=MOST_PAGE)
            )
        except ValidationError as error:
            raise Invalid("its feed cannot be read") from error
        numbers = [since, *(entry.number for entry in page.entries)]
        if page.issuer != source.issuer:
            raise Invalid("the site is of another issuer: {did}", did=page.issuer[:120])
        ordered = all(a < b for a, b in pairwise(numbers))
        if not ordered or page.next < numbers[-1] or (page.more and page.next <= since):
            raise Invalid("its feed does not go on from where it was asked to")
        return page

    async def _judged(self, issuer: str, page: FeedPage, came: Harvested) -> list[Entry]:
        """Return the entries of what may be indexed, once all is looked up that this needs."""

        async def run(known: Known) -> tuple[list[Entry], Harvested]:
            told = Harvested(issuer)
            found = await self.agent.store.read(lambda desk: self._judge(desk, known, issuer, page, told))
            return found, told

        found, told = await self.agent.lookup.with_known(run, most=MOST_FOR_ONE)
        came.indexed += told.indexed
        came.removed += told.removed
        came.refused |= told.refused
        return found

    def _judge(self, desk: Desk, known: Known, issuer: str, page: FeedPage, came: Harvested) -> list[Entry]:
        """Return the entries of what may be indexed, and note the reason against what may not.

        Raises `Unavailable` where that cannot be told now, so that the page is read again another time.
        """
        found: dict[str, Entry] = {}
        for told in page.entries:
            if told.credential is None:
                came.removed += 1
                continue
            try:
                found[told.id] = self._checked(desk, known, issuer, told.id, told.credential)
                came.indexed += 1
            except Unavailable:
                if not known.wanted:
                    raise
            except Fault as fault:
                came.refused[told.id] = str(fault)
        return self._with_models(desk, list(found.values()))

    def _checked(self, desk: Desk, known: Known, issuer: str, id: str, document: dict[str, Any]) -> Entry:
        if document.get("id") != id:
            raise Invalid("it has another id than the feed says")
        # Before it is checked: a site shall not have us look up whomever it names.
        if (by := _issuer(document)) != issuer:
            raise Forbidden("it is a statement of another issuer: {did}", did=by[:120])
        type_, _ = self.agent.check(document, desk, known)
        if not desk.framework().may_publish(type_):
            raise Forbidden("the framework does not let “{type}” be shown to everyone", type=type_)
        claim = document["credentialSubject"]
        if code := claim.get("item"):
            subject = str(claim.get("id", ""))
            if subject != item_uri(subject.partition("/items/")[0], code):
                raise Invalid("it speaks of two items")
        return entry_of(document, type_, issuer)

    def _with_models(self, desk: Desk, entries: list[Entry]) -> list[Entry]:
        """Return entries with the model that their issuer, when it registered the item, said it is of.

        Where that is said only now, what is indexed of the item already comes along, to be indexed anew.
        """
        by_item: dict[str, list[Entry]] = {}
        for one in entries:
            if one.item:
                by_item.setdefault(one.item, []).append(one)
        found = {one.id: one for one in entries}
        for item, some in by_item.items():
            words = frozenset({of_item(item), of_issuer(some[0].issuer)})
            known = [
                one for one in desk.index.search(Question(words=words, limit=100)) if one.id not in found
            ]
            model = next(
                (one.model for one in (*some, *known) if one.type == "ItemIdentity" and one.model), ""
            )
            found |= {one.id: _of_model(one, model) for one in (*some, *known) if model and not one.model}
        return list(found.values())

    def _take(self, desk: Desk, source: Source, page: FeedPage, judged: list[Entry]) -> None:
        good = {entry.id for entry in judged}
        gone = [told.id for told in page.entries if told.id not in good]
        if gone:
            desk.index.drop(source.issuer, gone)
        if judged:
            desk.index.add(judged)
        known = next(one for one in desk.index.sources() if one.issuer == source.issuer)
        desk.index.keep_source(replace(known, next=page.next))

    def _note(self, desk: Desk, came: Harvested) -> None:
        for known in desk.index.sources():
            if known.issuer == came.issuer:
                refused = dict(list({**known.refused, **came.refused}.items())[-MOST_REFUSED:])
                desk.index.keep_source(replace(known, at=desk.now, problem=came.problem, refused=refused))

    # Searching

    async def search(self, search: Search) -> tuple[list[Entry], dict[str, str], str]:
        """Return the statements found, where each issuer's site is, and after what to go on, or nothing."""
        if self._waiting >= MOST_WAITING:
            raise Unavailable("too many search at once; please try again soon")
        self._waiting += 1
        try:
            async with self._searches:
                return await self.agent.store.read(lambda desk: self._found(desk, search))
        finally:
            self._waiting -= 1

    def _found(self, desk: Desk, search: Search) -> tuple[list[Entry], dict[str, str], str]:
        asked_for = question(search, desk)
        found = desk.index.search(replace(asked_for, limit=search.limit + 1))
        shown = found[: search.limit]
        sites = {one.issuer: one.site for one in desk.index.sources()}
        return shown, sites, str(shown[-1].place) if len(found) > len(shown) else ""
