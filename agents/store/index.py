"""The index of what others have published, as statements on its tables.

Whatever is searched for is a set of words: those of texts, and one each for type, issuer, model and item. The
latest statements that have them all come first. So there is one index for all questions, and one way to ask.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import batched
from time import monotonic
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
    column,
    delete,
    func,
    insert,
    literal,
    literal_column,
    select,
    table,
    text,
    update,
)

from agents.ports import Entry, Question, Source
from agents.store import tables
from agents.store.tables import Words, indexed, source
from schemas.errors import Invalid, Unavailable, Unknown

LONGEST_S = 2.0
"""A search that takes longer is given up."""

# A place is the second it was issued at, and below that, digits drawn from the statement's name.
_BELOW = 29
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = 0, 1 << 33  # seconds
_AT_ONCE = 500
_TRIES = 64
# So many of the latest statements are looked through one by one before PostgreSQL's inverted index is asked:
# it fetches and sorts all that have the words. Of 1,000,000, both cost alike where 0.5 % have them.
_LOOKED_THROUGH = (500, 4000)
_STEPS = 1000  # of SQLite's machine, between two looks at the clock

_SOURCE = (source.c.issuer, source.c.site, source.c.next, source.c.at, source.c.problem, source.c.refused)
_ENTRY = (
    indexed.c.place,
    indexed.c.id,
    indexed.c.type,
    indexed.c.item,
    indexed.c.model,
    indexed.c.digest,
    indexed.c.words,
)
_WORDS = table("indexed_words", column("rowid"), column("words", Words), column("indexed_words"))
_FIND = insert(_WORDS).values(rowid=bindparam("rowid"), words=bindparam("words"))


def place_of(entry: Entry) -> int:
    """Return where a statement stands unless another stands there already."""
    seconds = (entry.at - _EPOCH) // timedelta(seconds=1)
    if not _FIRST <= seconds < _LAST:
        raise Invalid("it was issued at a time that cannot be: {at}", at=entry.at.isoformat())
    name = f"{entry.issuer} {entry.id}".encode()
    return seconds << _BELOW | int.from_bytes(blake2b(name, digest_size=8).digest()) >> (64 - _BELOW)


def moment_of(place: int) -> datetime:
    """Return when what stands at a place was issued."""
    return _EPOCH + timedelta(seconds=place >> _BELOW)


def _edge(when: datetime) -> int:
    """Return the first place of a second."""
    return min(max((when - _EPOCH) // timedelta(seconds=1), _FIRST), _LAST) << _BELOW


class SqlIndex:
    """The index in one transaction; see `agents.ports.Index` for what each does."""

    def __init__(
        self,
        rows: Callable[..., Sequence[Any]],
        change: Callable[..., int],
        put: Callable[..., None],
        connection: Connection,
    ) -> None:
        self._rows = rows
        self._change = change
        self._put = put
        self._connection = connection
        self._lite = connection.dialect.name == "sqlite"

    # Issuers

    def sources(self) -> list[Source]:
        """List the issuers that are read."""
        return [Source(*row) for row in self._rows(select(*_SOURCE).order_by(source.c.number))]

    def keep_source(self, source: Source) -> None:
        """Add an issuer, or note how far it was read."""
        values = {name: getattr(source, name) for name in ("site", "next", "at", "problem", "refused")}
        self._put(tables.source, "issuer", issuer=source.issuer, **values)

    def drop_source(self, issuer: str) -> None:
        """Forget an issuer with everything indexed of it."""
        number = self._number(issuer)
        self._forget(indexed.c.source == number)
        self._change(delete(source).where(source.c.number == number))

    def _number(self, issuer: str) -> int:
        row = self._rows(select(source.c.number).where(source.c.issuer == issuer))
        if not row:
            raise Unknown("the issuer {did} is not indexed here", did=issuer[:120])
        return int(row[0][0])

    # Statements

    def add(self, entries: Sequence[Entry]) -> None:
        """Index statements of known issuers, in the place of what was known under the same ids."""
        numbers = {issuer: self._number(issuer) for issuer in {one.issuer for one in entries}}
        latest = {(one.issuer, one.id): one for one in entries}
        ids: dict[int, list[str]] = {}
        for issuer, id in latest:
            ids.setdefault(numbers[issuer], []).append(id)
        for number, some in ids.items():
            self._drop(number, some)
        # In the order of places: SQLite's full-text search writes out all it has gathered at each step back.
        wanted = sorted((place_of(one), name) for name, one in latest.items())
        for some_wanted in batched(wanted, _AT_ONCE, strict=False):
            places = self._free([place for place, _ in some_wanted])
            found = [latest[name] for _, name in some_wanted]
            rows = [
                {
                    "place": place,
                    "source": numbers[one.issuer],
                    "id": one.id,
                    "type": one.type,
                    "item": one.item,
                    "model": one.model,
                    "digest": one.digest,
                    "words": one.words,
                }
                for one, place in zip(found, places, strict=True)
            ]
            self._change(insert(indexed).inline(), rows)
            if self._lite:
                self._change(_FIND, [{"rowid": row["place"], "words": row["words"]} for row in rows])

    def _free(self, wanted: list[int]) -> list[int]:
        """Return for each place wanted the next free one."""
        query = select(indexed.c.place).where(indexed.c.place.in_(bindparam("places", expanding=True)))
        taken = {row[0] for row in self._rows(query, {"places": wanted})}
        found = []
        for place in wanted:
            for free in range(place, place + _TRIES):
                if free not in taken and (free == place or not self._rows(query, {"places": [free]})):
                    break
            else:
                raise Invalid("too many statements were issued in the same second")
            taken.add(free)
            found.append(free)
        return found

    def drop(self, issuer: str, ids: Sequence[str]) -> None:
        """Forget statements of an issuer."""
        self._drop(self._number(issuer), ids)

    def _drop(self, number: int, ids: Sequence[str]) -> None:
        for some in batched(ids, _AT_ONCE, strict=False):
            self._forget(indexed.c.source == number, indexed.c.id.in_(some))

    def _forget(self, *which: ColumnElement[bool]) -> None:
        if self._lite:
            rows = select(literal("delete"), indexed.c.place, indexed.c.words).where(*which)
            self._change(insert(_WORDS).from_select(["indexed_words", "rowid", "words"], rows))
        self._change(delete(indexed).where(*which))

    def clear(self) -> None:
        """Forget every statement, and read every issuer from the beginning."""
        if self._lite:
            self._change(text("INSERT INTO indexed_words(indexed_words) VALUES ('delete-all')"))
        self._change(delete(indexed))
        self._change(update(source).values(next=0, at=None, problem="", refused={}))

    # Searching

    def search(self, question: Question) -> list[Entry]:
        """Return what answers a question; raise `Unavailable` where it would take too long."""
        with self._limited(LONGEST_S):
            if self._lite or not question.words:
                return self._read(self._found(question))
            return self._read_postgresql(question)

    def _span(self, question: Question, place: Any) -> list[Any]:
        limits = []
        if question.below is not None:
            limits.append(place < question.below)
        if question.until is not None:
            limits.append(place < _edge(question.until + timedelta(seconds=1)))
        if question.since is not None:
            limits.append(place >= _edge(question.since))
        return limits

    def _found(self, question: Question) -> Select[Any]:
        """Return the query of a browse, or of SQLite's search: its hits come in the order of places."""
        rows = select(*_ENTRY, source.c.issuer).join(source, source.c.number == indexed.c.source)
        place: Any = indexed.c.place
        if question.words:
            place = _WORDS.c.rowid
            rows = rows.join(_WORDS, _WORDS.c.rowid == indexed.c.place)
            rows = rows.where(literal_column("indexed_words").op("MATCH")(_match(question.words)))
        return rows.where(*self._span(question, place)).order_by(place.desc()).limit(question.limit)

    def _read_postgresql(self, question: Question) -> list[Entry]:
        """Look through the latest first, more of them where some fit, and then ask the inverted index."""
        fits = indexed.c.words.op("@>")(question.words)
        places: list[int] = []
        rest = question
        for most in _LOOKED_THROUGH:
            newest = (
                select(indexed.c.place, indexed.c.words)
                .where(*self._span(rest, indexed.c.place))
                .order_by(indexed.c.place.desc())
                .limit(most)
                .subquery()
            )
            hit = func.array_agg(newest.c.place).filter(newest.c.words.op("@>")(question.words))
            least, seen, found = self._rows(select(func.min(newest.c.place), func.count(), hit))[0]
            places += sorted(found or (), reverse=True)
            if len(places) >= question.limit or seen < most:
                return self._at(places[: question.limit])
            rest = replace(rest, below=least)
            if not found:
                break
        # MATERIALIZED, lest the planner looks through all again for what is rare.
        hits = select(indexed.c.place).where(fits, *self._span(rest, indexed.c.place))
        some = hits.cte("hits").prefix_with("MATERIALIZED")
        latest = select(some.c.place).order_by(some.c.place.desc()).limit(question.limit - len(places))
        return self._at(places + [row[0] for row in self._rows(latest)])

    def _at(self, places: list[int]) -> list[Entry]:
        rows = select(*_ENTRY, source.c.issuer).join(source, source.c.number == indexed.c.source)
        rows = rows.where(indexed.c.place.in_(bindparam("places", expanding=True)))
        return self._read(rows.order_by(indexed.c.place.desc()), {"places": places}) if places else []

    def _read(self, query: Select[Any], values: dict[str, Any] | None = None) -> list[Entry]:
        return [
            Entry(id, issuer, type, item, model, moment_of(place), digest, words, place)
            for place, id, type, item, model, digest, words, issuer in self._rows(query, values)
        ]

    @contextmanager
    def _limited(self, seconds: float) -> Iterator[None]:
        """Give up what takes longer, wherever the database does the work."""
        if not self._lite:
            self._rows(select(func.set_config("statement_timeout", f"{max(1, seconds * 1000):.0f}", True)))
            try:
                yield
            except Unavailable as fault:
                raise _too_long(fault) from fault
            self._rows(select(func.set_config("statement_timeout", "0", True)))
            return
        end = monotonic() + seconds
        driver: Any = self._connection.connection.driver_connection
        driver.set_progress_handler(lambda: monotonic() > end, _STEPS)
        try:
            yield
        except Unavailable as fault:
            raise _too_long(fault) from fault
        finally:
            driver.set_progress_handler(None, 0)


def _match(words: frozenset[str]) -> str:
    """Return SQLite's way to ask for all of some words."""
    return " ".join('"' + word.replace('"', "") + '"' for word in sorted(words))


def _too_long(fault: Unavailable) -> Unavailable:
    reason = str(fault.values.get("reason", ""))
    if "interrupted" in reason or "statement timeout" in reason:
        return Unavailable("the search takes too long; ask for something rarer, or for a shorter time")
    return fault
