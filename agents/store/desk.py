"""The desk: a company's books in one transaction, as statements on the tables."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any
from uuid import uuid4

from pydantic import ValidationError
from sqlalchemy import (
    Connection,
    Executable,
    and_,
    case,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.exc import StatementError

from agents.ports import AwaitedFile, Copy, Delivery, Letter, Pass, Roll, Spares, User
from agents.role import (
    Adopted,
    Company,
    Dealing,
    Evidence,
    Held,
    Item,
    Job,
    JobState,
    Peer,
    Publication,
    Standing,
)
from agents.store import tables
from agents.store.cache import Cache, Layers
from agents.store.index import SqlIndex
from agents.store.statements import AWAITED, DEAD, LETTER, PEER, QUEUED, WAITING, Prepared, statements
from agents.store.tables import (
    account,
    alias,
    credential,
    did,
    did_code,
    did_entry,
    done,
    entry,
    evidence,
    exchange,
    item,
    job,
    login_failure,
    measurement,
    message,
    part,
    peer,
    publication,
    qualification,
    setting,
)
from agents.store.tables import event as event_table
from agents.store.tables import model as model_table
from credentials.status import Ledger, Purpose
from governance.dids import Kept as Log
from governance.framework import Framework
from governance.versions import Versions
from protocols.catalogue import PROTOCOLS
from protocols.exchange import Exchange, Message, Protocol, Said, Unreadable
from schemas.claims import GovernanceFramework, Member, MembershipRegister
from schemas.errors import Forbidden, Invalid, Misstep, Unavailable, Unknown
from schemas.events import Event

LOG = logging.getLogger(__name__)

FAILURES_KEPT = timedelta(days=7)
_IDS_AT_ONCE = 500
COPIES_KEPT = 5000
COPIED_BYTES_KEPT = 256 << 20
_PEERS = ("peers", "")

type Kept = tuple[int, Exchange]
type Values = dict[str, Any]

_ITEM = (
    item.c.code,
    item.c.kind,
    item.c.registrar,
    item.c.part_of,
    item.c.made_of,
    item.c.position,
    item.c.model,
    item.c.chemistry,
    item.c.mass_kg,
)
_HELD = (
    credential.c.id,
    credential.c.type,
    credential.c.about,
    credential.c.issuer,
    credential.c.at,
    credential.c.digest,
    credential.c.document,
    credential.c.source,
)
_STANDING = tuple(
    tables.standing.c[name] for name in ("credential", "what", "at", "who", "reason", "successor")
)
_ROLL = tuple(
    tables.status_list.c[name]
    for name in ("id", "url", "issuer", "purpose", "bits", "given", "decoys", "edition", "signed")
)
_ADOPTED = (
    model_table.c.digest,
    model_table.c.cell_model,
    model_table.c.signer,
    model_table.c.credential,
    model_table.c.at,
    model_table.c.in_use,
)
_EVIDENCE = (evidence.c.digest, evidence.c.name, evidence.c.media_type, evidence.c.size, evidence.c.state)
_JOB = (job.c.id, job.c.job, job.c.details, job.c.state, job.c.progress, job.c.at)
_USER = (account.c.name, account.c.secret, account.c.rank, account.c.language)
_PASS = (
    entry.c.digest,
    entry.c.kind,
    entry.c.user,
    entry.c.rank,
    entry.c.label,
    entry.c.csrf,
    entry.c.at,
    entry.c.expires,
)


class Register:
    """The register of members and the versions of the framework that we hold, each read once a change."""

    def __init__(self) -> None:
        self._read: tuple[str, tuple[Member, ...]] = ("", ())
        self._versions: tuple[str, Versions] = ("[]", Versions())

    def members(self, text: str) -> tuple[Member, ...]:
        """Return the members that the register's text names."""
        known, members = self._read
        if text != known:
            members = MembershipRegister.model_validate_json(text).members
            self._read = text, members
        return members

    def versions(self, text: str, find: Callable[[str], Held | None]) -> Versions:
        """Return the versions that the credentials state whose ids and digests the text lists."""
        known, versions = self._versions
        if text != known:
            versions = Versions()
            for id, _ in json.loads(text):
                if (held := find(id)) is not None:
                    versions = versions.plus(GovernanceFramework.model_validate(held.claim))
            self._versions = text, versions
        return versions


def unavailable(error: BaseException) -> Unavailable:
    """Return what to tell whoever asked when the database fails."""
    reason = " ".join(str(getattr(error, "orig", None) or error).split())
    return Unavailable("the company's database does not answer: {reason}", reason=reason[:200])


class SqlDesk:
    """The books in one transaction; see `agents.role.Books` and `agents.ports.Desk` for what each does."""

    def __init__(
        self,
        connection: Connection,
        company: Company,
        now: datetime,
        layers: Layers,
        committed: Cache,
        register: Register,
        *,
        reading: bool = False,
    ) -> None:
        self._reading = reading
        self.connection = connection
        self.company = company
        self.now = now
        # Set once the transaction is beyond saving; from then on nothing more is tried in it.
        self.lost: Unavailable | None = None
        self._sql = statements(connection.dialect)
        self._driver = connection.dialect.loaded_dbapi
        self._cursor = connection.connection.cursor()
        self._layers = layers
        self._committed = committed
        self._register = register
        self._posted: Letter | None = None
        self._depth = 0

    # Statements

    def _ready(self) -> None:
        if self._posted is not None:
            letter, self._posted = self._posted, None
            self._write_message(letter, None)
        if self.lost is not None:
            raise self.lost

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Put a failure of the database in words, and note when the transaction is lost with it."""
        try:
            yield
        except StatementError as error:
            if error.orig is None:
                raise
            raise self._words(error.orig) from error
        except Exception as error:
            raise self._words(error) from error

    def _words(self, error: BaseException) -> BaseException:
        if isinstance(error, (self._driver.DataError, UnicodeEncodeError, OverflowError)):
            return Invalid("it holds characters or figures that cannot be stored")
        if isinstance(error, self._driver.Error) and not isinstance(error, self._driver.IntegrityError):
            self.lost = unavailable(error)
            return self.lost
        return error

    def _all(self, statement: Executable, values: Values | None = None) -> Sequence[Any]:
        self._ready()
        with self._told():
            return self.connection.execute(statement, values).all()

    def _first(self, statement: Executable, values: Values | None = None) -> Any:
        self._ready()
        with self._told():
            return self.connection.execute(statement, values).first()

    def _value(self, statement: Executable, values: Values | None = None) -> Any:
        row = self._first(statement, values)
        return row[0] if row is not None else None

    def _write(self, statement: Executable, values: Values | list[Values] | None = None) -> int:
        """Execute, and return how many rows it touched."""
        if self._reading:
            raise RuntimeError("a work that reads may not write")
        self._ready()
        with self._told():
            return self.connection.execute(statement, values).rowcount

    def _run(self, prepared: Prepared, values: Values) -> Any:
        """Execute a prepared statement, and return the driver's cursor."""
        self._ready()
        try:
            self._cursor.execute(prepared.text, prepared.fill(values))
        except Exception as error:
            raise self._words(error) from error
        return self._cursor

    def _run_first(self, prepared: Prepared, values: Values) -> Any:
        row = self._run(prepared, values).fetchone()
        return prepared.read(row) if row is not None else None

    def _run_all(self, prepared: Prepared, values: Values) -> list[Any]:
        return [prepared.read(row) for row in self._run(prepared, values).fetchall()]

    def _keep(self, table: Any, *key: str, **values: Any) -> bool:
        """Add a row; return False, changing nothing, where there is one of this key."""
        statement = self._sql.insert(table).inline().on_conflict_do_nothing(index_elements=key)
        return self._write(statement, values) == 1

    def _put(self, table: Any, key: str, **values: Any) -> None:
        """Add a row, or change the one of this key."""
        fresh = self._sql.insert(table).inline()
        changes = {name: fresh.excluded[name] for name in values if name != key}
        self._write(fresh.on_conflict_do_update(index_elements=[key], set_=changes), values)

    def _raw(self, command: str) -> None:
        if self.lost is not None:
            raise self.lost
        try:
            self._cursor.execute(command)
        except self._driver.Error as error:
            self.lost = unavailable(error)
            raise self.lost from error

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo what the block wrote when it raises, and let the error pass."""
        self._flush()
        name = f"s{self._depth}"
        self._raw(f"SAVEPOINT {name}")
        self._depth += 1
        self._layers.open()
        try:
            yield
            self._flush()
            self._raw(f"RELEASE SAVEPOINT {name}")
        except BaseException:
            self._posted = None
            self._layers.drop()
            self._depth -= 1
            if self.lost is None:
                self._raw(f"ROLLBACK TO SAVEPOINT {name}")
                self._raw(f"RELEASE SAVEPOINT {name}")
            raise
        self._layers.keep()
        self._depth -= 1

    # Exchanges

    def exchange(self, thread: str) -> Exchange | None:
        """Return one exchange."""
        kept = self._kept(thread)
        return kept[1] if kept else None

    def _kept(self, thread: str) -> Kept | None:
        return self._layers.recall(("exchange", thread), lambda: self._load(thread))

    def _load(self, thread: str) -> Kept | None:
        row = self._run_first(self._sql.exchange, {"t": thread})
        if row is None:
            return None
        version, name, side, peer = row
        kept: Kept | None = self._committed.peek(("exchange", thread))
        if kept is not None and kept[0] == version:
            return kept
        protocol = PROTOCOLS[name]
        other = protocol.other(side)
        said = tuple(
            Said(
                id,
                side if outward else other,
                order,
                seen,
                _read(protocol, kind, body, refused=status == "refused" and not outward),
                problem if status == "refused" else "",
            )
            for id, outward, order, seen, kind, body, status, problem in self._run_all(
                self._sql.said, {"t": thread}
            )
        )
        return version, Exchange(thread, protocol, side, peer, said)

    def save(self, exchange: Exchange, said: Said, *, about: str, ours: bool) -> None:
        """Save an exchange after `said`, whose message row is written apart."""
        known = self._peer_id(exchange.peer)
        if known != exchange.peer:
            exchange = replace(exchange, peer=known)
        place = len(exchange.said) - 1
        if exchange.said[place].id != said.id:
            place = next(n for n, one in enumerate(exchange.said) if one.id == said.id)
        said = exchange.said[place]
        letter = self._posted
        if letter is not None and (letter.peer, letter.id) == (known, said.id):
            # Posted a moment ago, so that one statement can write the row with its place.
            self._posted = None
            self._write_message(
                letter if letter.seen == said.seen else replace(letter, seen=said.seen), place
            )
        elif (
            self._run(self._sql.place, {"p": known, "i": said.id, "place": place, "seen": said.seen}).rowcount
            != 1
        ):
            raise Unknown("there is no message {id} to save the exchange after", id=said.id[:60])
        kept = self._kept(exchange.thread)
        version = kept[0] + 1 if kept else 1
        values = {
            "state": exchange.state,
            "about": about,
            "ours": ours,
            "updated": self.now,
            "version": version,
        }
        if kept:
            self._run(self._sql.advance, {"t": exchange.thread, **values})
        else:
            values |= {
                "thread": exchange.thread,
                "protocol": exchange.protocol.name,
                "side": exchange.side,
                "peer": known,
                "opened": self.now,
            }
            self._run(self._sql.open, values)
        self._layers.put(("exchange", exchange.thread), (version, exchange))

    def dealings(
        self,
        protocol: str | None = None,
        states: Sequence[str] = (),
        about: str | None = None,
        ours: bool | None = None,
        limit: int = 1000,
        offset: int = 0,
    ) -> list[Dealing]:
        """List exchanges, the latest change first."""
        c = exchange.c
        query = select(c.thread, c.protocol, c.side, c.peer, c.state, c.about, c.ours, c.opened, c.updated)
        if protocol is not None:
            query = query.where(c.protocol == protocol)
        if states:
            query = query.where(c.state.in_(states))
        if about is not None:
            query = query.where(c.about == about)
        if ours is not None:
            query = query.where(c.ours if ours else ~c.ours)
        query = query.order_by(c.updated.desc(), c.thread.desc()).limit(limit).offset(offset)
        return [Dealing(*row) for row in self._all(query)]

    # Messages

    def post(self, letter: Letter) -> None:
        """Write a message row, in or out; a row that waited for its turn is replaced."""
        if self._reading:
            raise RuntimeError("a work that reads may not write")
        self._flush()
        known = self._peer_id(letter.peer)
        self._posted = letter if known == letter.peer else replace(letter, peer=known)

    def _flush(self) -> None:
        if self._posted is not None:
            letter, self._posted = self._posted, None
            self._write_message(letter, None)

    def _write_message(self, letter: Letter, place: int | None) -> None:
        written = self._run(
            self._sql.post,
            {
                "peer": letter.peer,
                "id": letter.id,
                "outward": letter.outward,
                "thread": letter.thread,
                "place": place,
                "protocol": letter.protocol,
                "kind": letter.kind,
                "sender_order": letter.order,
                "seen": letter.seen,
                "body": letter.body,
                "credentials": letter.credentials,
                "evidence": letter.evidence,
                "status": letter.status,
                "problem": letter.problem,
                "at": letter.at,
                "attempts": letter.attempts,
                "next_at": letter.next_at,
                "sent_at": letter.sent_at,
                "done_at": None if letter.outward or letter.status == "waiting" else self.now,
            },
        ).rowcount
        if not written and place is not None:
            raise Misstep("message {id} has been taken already", id=letter.id[:60])

    def letter(self, peer: str, id: str) -> Letter | None:
        """Return one message row."""
        row = self._run_first(self._sql.letter, {"p": self._peer_id(peer), "i": id})
        return Letter(*row) if row is not None else None

    def letters(self, thread: str, *, outward: bool | None = None) -> list[Letter]:
        """Return the message rows of a thread, oldest first."""
        query = select(*LETTER).where(message.c.thread == thread).order_by(message.c.number)
        if outward is not None:
            query = query.where(message.c.outward if outward else ~message.c.outward)
        return [Letter(*row) for row in self._all(query)]

    def waiting(self, peer: str, thread: str, order: int) -> Letter | None:
        """Return the message that arrived early and is due now."""
        row = self._run_first(self._sql.waiting, {"p": self._peer_id(peer), "t": thread, "o": order})
        return Letter(*row) if row is not None else None

    def stalled(self) -> list[tuple[str, str]]:
        """List the peers and threads in which messages wait for their turn."""
        query = select(message.c.peer, message.c.thread).where(message.c.status == WAITING).distinct()
        return [(peer, thread) for peer, thread in self._all(query)]

    def settle(self, peer: str, ids: Sequence[str], status: Delivery, problem: str = "") -> list[Letter]:
        """Give outward messages their final status; return those that changed, oldest first.

        What was refused stays so; what was taken (or kept for its turn) may only be refused later.
        """
        values = {"p": self._peer_id(peer), "final": status, "words": problem, "now": self.now}
        rows = [row for some in _some(ids) for row in self._all(self._sql.settle, values | {"ids": some})]
        return [Letter(*row[1:]) for row in sorted(rows, key=lambda row: row[0])]

    def destinations(self) -> list[tuple[str, datetime]]:
        """List the peers with queued messages, each with the time its earliest one is due."""
        query = (
            select(message.c.peer, func.min(message.c.next_at))
            .where(message.c.status == QUEUED)
            .group_by(message.c.peer)
            .order_by(func.min(message.c.next_at))
        )
        return [(peer, due) for peer, due in self._all(query)]

    def due(self, peer: str, limit: int, *, not_before: bool = True) -> list[Letter]:
        """Return queued messages to a peer, in the order they were said; only those due now, unless told.

        One that was tried before and is not due again does not hold back what was said after it, since the
        receiver keeps the order; one that was never tried does.
        """
        values: Values = {"p": self._peer_id(peer), "most": limit}
        if not_before:
            rows = self._run_all(self._sql.due, values | {"now": self.now})
        else:
            rows = self._run_all(self._sql.queued, values)
        return [Letter(*row) for row in rows]

    def attempted(self, peer: str, ids: Sequence[str], next_at: datetime) -> None:
        """Count a delivery attempt, and say when the next one is due if nobody acknowledges."""
        for some in _some(ids):
            values = {"p": self._peer_id(peer), "ids": some, "due": next_at, "now": self.now}
            self._write(self._sql.attempted, values)

    def dead_letters(self, limit: int = 1000) -> list[Letter]:
        """List the messages nobody could deliver, the latest first."""
        query = select(*LETTER).where(message.c.status == DEAD).order_by(message.c.number.desc())
        return [Letter(*row) for row in self._all(query.limit(limit))]

    def tally(self) -> Mapping[str, int]:
        """Count the messages that are queued, wait for their turn, or are dead."""
        statuses = {"queued": QUEUED, "waiting": WAITING, "dead": DEAD}
        count = func.count()
        return {
            name: self._value(select(count).select_from(message).where(message.c.status == status))
            for name, status in statuses.items()
        }

    def census(self) -> Mapping[tuple[str, str], int]:
        """Count the exchanges by protocol and state."""
        kind = exchange.c.protocol, exchange.c.state
        return {
            (protocol, state): n
            for protocol, state, n in self._all(select(*kind, func.count()).group_by(*kind))
        }

    def revive(self, peer: str, id: str) -> Letter:
        """Queue a dead letter again, as if it were new; raise `Unknown` where there is none."""
        revived = (
            update(message)
            .where(message.c.peer == self._peer_id(peer), message.c.id == id, message.c.status == DEAD)
            .values(status="queued", problem="", attempts=0, next_at=self.now, sent_at=None, done_at=None)
            .returning(*LETTER)
        )
        row = self._first(revived)
        if row is None:
            raise Unknown("there is no undelivered message {id}", id=id[:60])
        return Letter(*row)

    # Connected companies

    def _aliases(self) -> Mapping[str, str]:
        return self._layers.recall(("aliases", ""), self._load_aliases)

    def _load_aliases(self) -> dict[str, str]:
        return {row.id: row.peer for row in self._all(select(alias.c.id, alias.c.peer))}

    def _peer_id(self, id: str) -> str:
        return self._aliases().get(id, id)

    def peer(self, id: str) -> Peer | None:
        """Return one connected agent by its id, also by one it had before we knew which company it is."""
        id = self._peer_id(id)

        def load() -> Peer | None:
            row = self._run_first(self._sql.peer, {"i": id})
            return _peer(row) if row is not None else None

        return self._layers.recall(("peer", id), load)

    def peers(self) -> list[Peer]:
        """List the connected agents, the ones known longest first."""

        def load() -> tuple[Peer, ...]:
            return tuple(_peer(row) for row in self._all(select(*PEER).order_by(peer.c.number)))

        return list(self._layers.recall(_PEERS, load))

    def contact(self, connection: str, our_did: str, their_did: str) -> Peer:
        """Return the peer of a connection, noting it first when it is new."""
        row = self._first(select(*PEER).where(peer.c.connection == connection))
        if row is not None:
            return _peer(row)
        new = Peer(str(uuid4()), connection, our_did, their_did)
        values = {"id": new.id, "connection": connection, "our_did": our_did, "their_did": their_did}
        self._write(insert(peer).inline(), values | {"did": "", "name": ""})
        self._layers.put(("peer", new.id), new)
        self._layers.forget(_PEERS)
        return new

    def forget(self, connection: str) -> None:
        """Forget a connection that no longer exists; the company and what was exchanged stay."""
        known = self._value(select(peer.c.id).where(peer.c.connection == connection))
        if known is None:
            return
        self._write(update(peer).where(peer.c.id == known).values(connection=None))
        self._layers.forget(("peer", known))
        self._layers.forget(_PEERS)

    def identify(self, peer: str, did: str, name: str) -> None:
        """Note which company a peer is; an older connection with the same company is replaced.

        A company that lost its wallet, or was invited twice, comes back over a new connection, and so as a
        new peer. Its exchanges, and the messages still queued for it, name the older one. So the older id
        stays the company's identity and takes over the connection that proved itself last; what has been
        said over the new one becomes part of the older one's history, and the new id stays good as another
        name for the old one, since work in hand may still hold it.
        """
        known = self.peer(peer)
        if known is None:
            raise Unknown("we know no peer {id}", id=peer[:60])
        if known.did not in ("", did):
            raise Forbidden("this connection belongs to {name} already", name=known.name or known.did)
        c = tables.peer.c
        same = self._all(select(c.id).where(or_(c.did == did, c.id == known.id)).order_by(c.number))
        oldest, *rest = (id for (id,) in same)
        for newer in rest:
            self._merge(newer, oldest)
        values = {
            "connection": known.connection or None,
            "our_did": known.our_did,
            "their_did": known.their_did,
        }
        self._write(update(tables.peer).where(c.id == oldest).values(did=did, name=name, **values))
        self._layers.forget(("peer", oldest))
        self._layers.forget(_PEERS)

    def _merge(self, newer: str, oldest: str) -> None:
        """Give everything of one peer to another, and keep its id as another name of it."""
        for (thread,) in self._all(select(exchange.c.thread).where(exchange.c.peer == newer)):
            self._layers.forget(("exchange", thread))
        moved = update(exchange).where(exchange.c.peer == newer)
        self._write(moved.values(peer=oldest, version=exchange.c.version + 1))
        # A message may have come over both connections: the row that counts in an exchange stays.
        twin = message.alias("twin")
        both = select(message.c.id, message.c.place).where(
            message.c.peer == newer,
            select(literal(1)).where(twin.c.peer == oldest, twin.c.id == message.c.id).exists(),
        )
        for id, place in self._all(both):
            loser = newer if place is None else oldest
            self._write(delete(message).where(message.c.peer == loser, message.c.id == id))
        self._write(update(message).where(message.c.peer == newer).values(peer=oldest))
        for table in (evidence, credential):
            column = table.c.peer if table is evidence else table.c.source
            self._write(update(table).where(column == newer).values({column.name: oldest}))
        self._write(update(alias).where(alias.c.peer == newer).values(peer=oldest))
        self._write(insert(alias).values(id=newer, peer=oldest))
        self._write(delete(tables.peer).where(tables.peer.c.id == newer))
        names = {id: oldest if meant == newer else meant for id, meant in self._aliases().items()}
        self._layers.put(("aliases", ""), names | {newer: oldest})
        self._layers.put(("peer", newer), None)

    # The register and other settings

    def setting(self, name: str) -> str | None:
        """Return a setting."""
        value: str | None = self._layers.recall(
            ("setting", name),
            lambda: row[0] if (row := self._run_first(self._sql.setting, {"n": name})) else None,
        )
        return value

    def set(self, name: str, value: str) -> None:
        """Change a setting."""
        self._put(setting, "name", name=name, value=value)
        self._layers.put(("setting", name), value)

    def members(self) -> tuple[Member, ...]:
        """List the companies of the register we hold."""
        return self._register.members(self.setting("register") or "") if self.setting("register") else ()

    def frameworks(self) -> Versions:
        """Return the versions of the governance framework that we hold."""
        return self._register.versions(self.setting("frameworks") or "[]", self.credential)

    def framework(self, at: datetime | None = None) -> Framework:
        """Return the version of the governance framework that holds now, or held at a moment."""
        return self.frameworks().at(at or self.now)

    def authority(self) -> str:
        """Return the DID of the governance authority we trust, or nothing."""
        if (trusted := self.setting("authority")) is not None:
            return trusted
        return self.company.did if "governance-authority" in self.company.roles else ""

    # Items and what is known of them

    def item(self, code: str) -> Item | None:
        """Return one item."""
        row = self._first(select(*_ITEM).where(item.c.code == code))
        return Item(*row) if row is not None else None

    def items(
        self,
        kind: str | None = None,
        part_of: str | None = None,
        text: str = "",
        limit: int = 1000,
        offset: int = 0,
    ) -> list[Item]:
        """List items by code; `text` is how the code begins, or a part of the model's name."""
        query = select(*_ITEM).order_by(item.c.code).limit(limit).offset(offset)
        if kind is not None:
            query = query.where(item.c.kind == kind)
        if part_of is not None:
            query = query.where(item.c.part_of == part_of)
        if text:
            query = query.where(
                or_(
                    item.c.code.startswith(text.upper(), autoescape=True),
                    item.c.model_folded.contains(text.casefold(), autoescape=True),
                )
            )
        return [Item(*row) for row in self._all(query)]

    def containers(self, code: str) -> list[Item]:
        """List the lots and products made of an item."""
        query = select(*_ITEM).join(part, part.c.container == item.c.code).where(part.c.item == code)
        return [Item(*row) for row in self._all(query.order_by(item.c.code))]

    def keep_item(self, item: Item) -> None:
        """Add or complete an item: its registrar may change what it said, others only add to it."""
        if (known := self.item(item.code)) is not None:
            item = _completed(known, item)
            if item == known:
                return
        values = {
            "code": item.code,
            "kind": item.kind,
            "registrar": item.registrar,
            "part_of": item.part_of,
            "made_of": item.made_of,
            "position": item.position,
            "model": item.model,
            "model_folded": item.model.casefold(),
            "chemistry": item.chemistry,
            "mass_kg": item.mass_kg,
        }
        self._put(tables.item, "code", **values)
        if known is not None and known.made_of != item.made_of:
            self._write(delete(part).where(part.c.container == item.code))
        if item.made_of and (known is None or known.made_of != item.made_of):
            rows = [{"container": item.code, "item": code} for code in dict.fromkeys(item.made_of)]
            self._write(insert(part), rows)

    def events(self, item: str, *, ours: bool = False) -> tuple[Event, ...]:
        """Return what happened to an item, oldest first; only what we recorded ourselves if asked."""
        c = event_table.c
        query = select(c.body).where(c.item == item).order_by(c.at, c.number)
        if ours:
            query = query.where(c.source == "")
        return tuple(Event.model_validate_json(body) for (body,) in self._all(query))

    def keep_event(self, event: Event, source: str = "") -> None:
        """Append an event, once; `source` is the credential it came in."""
        values = {"item": event.item, "at": event.when, "body": event.model_dump_json(), "source": source}
        # Each company chooses its own ids, so that none can take those of another's events.
        id = f"{event.id} {event.who}" if source else str(event.id)
        if self._keep(event_table, "id", id=id, **values):
            return
        known = self._value(select(event_table.c.body).where(event_table.c.id == id))
        if Event.model_validate_json(known) != event:
            raise Invalid("another event has the id {id}: events are never changed", id=str(event.id))

    def credentials(self, about: str, type: str | None = None) -> list[Held]:
        """List the credentials about an item or company, oldest first."""
        query = select(*_HELD).where(credential.c.about == about)
        if type is not None:
            query = query.where(credential.c.type == type)
        return [Held(*row) for row in self._all(query.order_by(credential.c.at, credential.c.number))]

    def issued(self, issuer: str, type: str, since: date) -> list[Held]:
        """List the credentials of a type by one company that we have had since a day, oldest first."""
        begin, c = datetime.combine(since, time(), UTC), credential.c
        query = select(*_HELD).where(c.type == type, c.issuer == issuer, c.at >= begin)
        return [Held(*row) for row in self._all(query.order_by(c.at, c.number))]

    def in_force(self, about: str, type: str | None = None) -> list[Held]:
        """List those of these credentials that we do not know to be revoked or suspended."""
        s, later = tables.standing, tables.standing.alias("later")
        last = (
            ~select(literal(1))
            .where(later.c.credential == s.c.credential, later.c.number > s.c.number)
            .exists()
        )
        query = select(s.c.credential).join(credential, credential.c.id == s.c.credential)
        query = query.where(credential.c.about == about, s.c.what != "reinstated", last)
        fallen = {id for (id,) in self._all(query)}
        return [held for held in self.credentials(about, type) if held.id not in fallen]

    def standing(self, credential: str) -> Standing | None:
        """Return what became of a credential last, or nothing where it was never revoked or suspended."""
        c = tables.standing.c
        query = select(*_STANDING).where(c.credential == credential).order_by(c.number.desc()).limit(1)
        row = self._first(query)
        return Standing(*row) if row is not None else None

    def keep_standing(self, standing: Standing) -> None:
        """Append what became of a credential."""
        self._write(insert(tables.standing).inline(), asdict(standing))

    def issued_with(self, message: str) -> list[Held]:
        """List the credentials of ours that stand or fall with a message."""
        c = credential.c
        return [Held(*row) for row in self._all(select(*_HELD).where(c.message == message, c.message != ""))]

    # Our status lists

    def rolls(self) -> list[Roll]:
        """List our status lists, oldest first."""
        return [_roll(row) for row in self._all(select(*_ROLL).order_by(tables.status_list.c.number))]

    def roll(self, url: str) -> Roll | None:
        """Return one of our status lists."""
        row = self._first(select(*_ROLL).where(tables.status_list.c.url == url))
        return _roll(row) if row is not None else None

    def keep_roll(self, roll: Roll) -> None:
        """Add a status list, or change it."""
        values = {name: getattr(roll, name) for name in ("url", "issuer", "purpose", "edition", "signed")}
        values |= {name: getattr(roll.ledger, name) for name in ("bits", "given", "decoys")}
        self._put(tables.status_list, "id", id=roll.id, **values)

    def edition(self, name: str) -> str | None:
        """Return the sealed edition of a list of ours, by its id or URL."""
        c = tables.status_list.c
        edition: str | None = self._value(select(c.edition).where(or_(c.id == name, c.url == name)))
        return edition

    def spares(self, purpose: Purpose) -> Spares:
        """Return the entries of a list that are ready to be used; they are in memory only."""
        return self._layers.recall(("spares", purpose), lambda: Spares("", "", ()))

    def keep_spares(self, purpose: Purpose, spares: Spares) -> None:
        """Change which entries are ready to be used."""
        self._layers.put(("spares", purpose), spares)

    def credential(self, id: str) -> Held | None:
        """Return one credential."""
        row = self._first(select(*_HELD).where(credential.c.id == id))
        return Held(*row) if row is not None else None

    def credential_at(self, about: str, type: str, at: datetime) -> Held | None:
        """Return the newest credential of a type about a company that we had issued at a moment."""
        column = credential.c
        ours = (column.about == about, column.type == type, column.source == "", column.at <= at)
        row = self._first(select(*_HELD).where(*ours).order_by(column.at.desc()).limit(1))
        return Held(*row) if row is not None else None

    def keep_credential(self, held: Held, message: str = "") -> None:
        """Add a credential, once; `message` is the one of an exchange that it stands or falls with."""
        added = self._keep(
            credential,
            "id",
            id=held.id,
            type=held.type,
            about=held.about,
            issuer=held.issuer,
            at=held.at,
            digest=held.digest,
            document=held.document,
            source=self._peer_id(held.source) if held.source else "",
            message=message,
        )
        if added:
            return
        if self._value(select(credential.c.digest).where(credential.c.id == held.id)) != held.digest:
            raise Invalid("another credential has the id {id}", id=held.id[:80])

    def published(self, about: str = "", id: str = "") -> list[Held]:
        """List our credentials that are shown to everyone: those about an item or company, or the one."""
        c = publication.c
        query = select(*_HELD).join(publication, c.credential == credential.c.id).where(c.shown)
        query = query.where(c.about == about) if about else query.where(c.credential == id)
        return [Held(*row) for row in self._all(query.order_by(c.number))]

    def publications(self, since: int = 0, limit: int = 1000) -> list[Publication]:
        """List what was published or taken back after change number `since`, in that order."""
        c = publication.c
        query = select(c.number, c.at, c.shown, *_HELD).join(credential, c.credential == credential.c.id)
        rows = self._all(query.where(c.number > since).order_by(c.number).limit(limit))
        return [
            Publication(number, held[0], at, Held(*held) if shown else None)
            for number, at, shown, *held in rows
        ]

    def publish(self, id: str, about: str) -> None:
        """Note that a credential is shown to everyone from now on, as one about an item or company."""
        self._put(publication, "credential", credential=id, about=about, **self._change(shown=True))

    def unpublish(self, id: str) -> None:
        """Note that a credential is shown to everyone no more."""
        known = publication.c.credential == id, publication.c.shown
        if not self._write(update(publication).where(*known), self._change(shown=False)):
            raise Unknown("there is no published credential “{id}”", id=id[:80])

    def _change(self, *, shown: bool) -> Values:
        last = self._value(select(func.max(publication.c.number))) or 0
        return {"number": last + 1, "at": self.now, "shown": shown}

    def evidence(self, digest: str) -> Evidence | None:
        """Return one file's entry."""
        row = self._first(select(*_EVIDENCE).where(evidence.c.digest == digest))
        return Evidence(*row) if row is not None else None

    def keep_evidence(self, evidence: Evidence, *, link: str = "", key: str = "", peer: str = "") -> None:
        """Add a file's entry, or complete it; a file we hold stays held."""
        fresh = self._sql.insert(tables.evidence).inline()
        new, old = fresh.excluded, tables.evidence.c
        # Link, key and peer belong together: a new link replaces all three.
        found = {name: case((new.link != "", new[name]), else_=old[name]) for name in ("link", "key", "peer")}
        changes = {name: new[name] for name in ("name", "media_type", "size", "state")} | found
        # While a file is awaited from one peer, no other says where it lies or how large it is.
        ours = or_(old.state != "awaited", new.state != "awaited", old.peer == "", new.peer == old.peer)
        statement = fresh.on_conflict_do_update(
            index_elements=["digest"], set_=changes, where=and_(old.state != "held", ours)
        )
        values = {
            "digest": evidence.digest,
            "name": evidence.name,
            "media_type": evidence.media_type,
            "size": evidence.size,
            "state": evidence.state,
            "link": link,
            "key": key,
            "peer": self._peer_id(peer) if peer else "",
        }
        self._write(statement, values)

    def awaited_evidence(self) -> list[AwaitedFile]:
        """List the files we were told of and have yet to fetch."""
        c = evidence.c
        query = select(*_EVIDENCE, c.link, c.key, c.peer).where(c.state == AWAITED).order_by(c.number)
        return [AwaitedFile(Evidence(*row[:5]), *row[5:]) for row in self._all(query)]

    def measurements(self, item: str, latest: int | None = None) -> list[Mapping[str, Any]]:
        """List the stored measurements of a cell, oldest first, each in its JSON form; or the latest few."""
        c = measurement.c
        query = select(c.measurement).where(c.item == item).order_by(c.number.desc()).limit(latest)
        return [m for (m,) in reversed(self._all(query))]

    def prediction_inputs(self, subject: str) -> Mapping[str, Any] | None:
        """Return the kept inputs of the prediction about a pseudonym."""
        c = measurement.c
        if not subject:
            return None
        found: Mapping[str, Any] | None = self._value(
            select(c.measurement).where(c.subject == subject).order_by(c.number.desc()).limit(1)
        )
        return found

    def keep_measurement(self, item: str, digest: str, measurement: Mapping[str, Any]) -> None:
        """Keep a measurement, once."""
        subject = str(measurement.get("subject", ""))
        values = {"item": item, "digest": digest, "subject": subject, "measurement": measurement}
        self._keep(tables.measurement, "item", "digest", **values)

    def models(self, cell_model: str | None = None, *, in_use: bool = False) -> list[Adopted]:
        """List the models of states of health we have adopted, oldest first."""
        c = model_table.c
        query = select(*_ADOPTED).order_by(c.number)
        if cell_model is not None:
            query = query.where(c.cell_model == cell_model)
        if in_use:
            query = query.where(c.in_use)
        return [Adopted(*row) for row in self._all(query)]

    def model(self, digest: str) -> Mapping[str, Any] | None:
        """Return one adopted model itself."""
        c = model_table.c
        found: Mapping[str, Any] | None = self._value(select(c.document).where(c.digest == digest))
        return found

    def keep_model(self, model: Adopted, document: Mapping[str, Any]) -> None:
        """Keep a model of states of health, or use it again."""
        values = {name: getattr(model, name) for name in model.__dataclass_fields__}
        self._put(model_table, "digest", **values, document=document)

    def set_model_aside(self, digest: str) -> bool:
        """Note that a model is used no more; return whether it was in use."""
        c = model_table.c
        return self._write(update(model_table).where(c.digest == digest, c.in_use).values(in_use=False)) == 1

    def qualifications(self, worker: str) -> frozenset[str]:
        """Return what a worker is trained for."""
        c = qualification.c
        return frozenset(name for (name,) in self._all(select(c.qualification).where(c.worker == worker)))

    def qualify(self, worker: str, qualification: str) -> None:
        """Note that a worker is trained for something."""
        values = {"worker": worker, "qualification": qualification}
        self._keep(tables.qualification, "worker", "qualification", **values)

    def note(self, name: str) -> Mapping[str, Any]:
        """Return what a role noted under a name; nothing where it has not."""
        value = self.setting(f"note {name}")
        found: Mapping[str, Any] = json.loads(value) if value else {}
        return found

    def keep_note(self, name: str, value: Mapping[str, Any]) -> None:
        """Note something under a name, in place of what stood there."""
        self.set(f"note {name}", json.dumps(value, ensure_ascii=False))

    # Clicks and jobs

    def done(self, key: str) -> str | None:
        """Return the thread an earlier click with this key led to, if there was one."""
        thread: str | None = self._value(select(done.c.thread).where(done.c.key == key))
        return thread

    def note_done(self, key: str, thread: str) -> None:
        """Remember what a click led to."""
        self._keep(done, "key", key=key, thread=thread, at=self.now)

    def start(self, job: str, details: Mapping[str, Any]) -> str:
        """Queue a long piece of work; return its id."""
        id = str(uuid4())
        values = {"id": id, "job": job, "details": details, "state": "queued", "progress": {}, "at": self.now}
        self._write(insert(tables.job).inline(), values)
        return id

    def job(self, id: str) -> Job | None:
        """Return one job."""
        row = self._first(select(*_JOB).where(job.c.id == id))
        return Job(*row) if row is not None else None

    def jobs(self, *states: JobState) -> list[Job]:
        """List jobs in these states (all if none is named), oldest first."""
        query = select(*_JOB).order_by(job.c.number)
        if states:
            query = query.where(job.c.state.in_(states))
        return [Job(*row) for row in self._all(query)]

    def note_job(self, id: str, state: JobState, progress: Mapping[str, Any]) -> None:
        """Note how far a job has come."""
        changed = self._write(update(job).where(job.c.id == id), {"state": state, "progress": progress})
        if changed != 1:
            raise Unknown("there is no job {id}", id=id[:60])

    # What was fetched from elsewhere

    def copy(self, name: str) -> Copy | None:
        """Return the copy of a DID's log or a status list."""
        c = tables.copy.c
        row = self._first(select(c.name, c.parts, c.at, c.edition).where(c.name == name))
        return Copy(*row) if row is not None else None

    def keep_copy(self, copy: Copy) -> None:
        """Keep a copy in the place of the one before; of too many, those fetched longest ago go."""
        c = tables.copy.c
        size = sum(len(part) for part in copy.parts.values())
        values = {"parts": copy.parts, "size": size, "at": copy.at, "edition": copy.edition}
        self._put(tables.copy, "name", name=copy.name, **values)
        count, total = self._first(select(func.count(), func.sum(c.size)))
        if count <= COPIES_KEPT and total <= COPIED_BYTES_KEPT:
            return
        for name, size in self._all(select(c.name, c.size).where(c.name != copy.name).order_by(c.at)):
            if count <= COPIES_KEPT and total <= COPIED_BYTES_KEPT:
                return
            self._write(delete(tables.copy).where(c.name == name))
            count, total = count - 1, total - size

    # The registry of DIDs

    def did_log(self, name: str) -> Log | None:
        """Return the log that is registered under a name; no name is the authority's own."""
        approvals = self._value(select(did.c.approvals).where(did.c.name == name))
        if approvals is None:
            return None
        query = select(did_entry.c.line).where(did_entry.c.name == name).order_by(did_entry.c.number)
        return Log(name, tuple(row[0] for row in self._all(query)), approvals)

    def keep_did_entry(self, id: str, log: Log) -> None:
        """Add the last entry of a log, and its witness's approvals."""
        if not self._keep(did, "name", name=log.name, id=id, approvals=log.approvals, whois=""):
            change = update(did).where(did.c.name == log.name)
            self._write(change.values(approvals=log.approvals))
        self._write(
            insert(did_entry).inline(), {"name": log.name, "number": len(log.lines), "line": log.lines[-1]}
        )

    def dids(self) -> list[tuple[str, str]]:
        """List the names that are registered, each with its DID."""
        return [(row.name, row.id) for row in self._all(select(did.c.name, did.c.id).order_by(did.c.name))]

    def whois(self, name: str) -> str:
        """Return the presentation that the holder of a DID shows of itself, or nothing."""
        return str(self._value(select(did.c.whois).where(did.c.name == name)) or "")

    def keep_whois(self, name: str, text: str) -> None:
        """Keep what the holder of a DID shows of itself."""
        self._write(update(did).where(did.c.name == name).values(whois=text))

    def did_code(self, name: str) -> str | None:
        """Return the digest of the code with which a name can be registered, if it has not expired."""
        query = select(did_code.c.digest).where(did_code.c.name == name, did_code.c.expires > self.now)
        digest: str | None = self._value(query)
        return digest

    def did_codes(self) -> list[tuple[str, datetime]]:
        """List the names for which there is a code, each with the time when it expires."""
        query = select(did_code.c.name, did_code.c.expires).where(did_code.c.expires > self.now)
        return [(row.name, row.expires) for row in self._all(query.order_by(did_code.c.name))]

    def keep_did_code(self, name: str, digest: str, expires: datetime) -> None:
        """Let whoever has a code register a name; a code before it ends."""
        self._write(delete(did_code).where(did_code.c.expires <= self.now))
        self._put(did_code, "name", name=name, digest=digest, expires=expires)

    def drop_did_code(self, name: str) -> None:
        """End the code for a name."""
        self._write(delete(did_code).where(did_code.c.name == name))

    @cached_property
    def index(self) -> SqlIndex:
        """Return the index of what others have published."""
        return SqlIndex(self._all, self._write, self._put, self.connection)

    # Who may use this agent

    def user(self, name: str) -> User | None:
        """Return one user."""
        row = self._first(select(*_USER).where(account.c.name == name))
        return User(*row) if row is not None else None

    def users(self) -> list[User]:
        """List the users by name."""
        return sorted((User(*row) for row in self._all(select(*_USER))), key=lambda user: user.name)

    def keep_user(self, user: User) -> None:
        """Add or change a user."""
        values = {"secret": user.secret, "rank": user.rank, "language": user.language}
        self._put(account, "name", name=user.name, **values)

    def drop_user(self, name: str) -> None:
        """Remove a user with all sessions and tokens."""
        self._write(delete(entry).where(entry.c.user == name))
        self._write(delete(account).where(account.c.name == name))

    def keep_pass(self, entry: Pass) -> None:
        """Keep a session, token or one-time link by its digest; what has expired is cleared away."""
        self._write(delete(tables.entry).where(tables.entry.c.expires <= self.now))
        self._put(
            tables.entry,
            "digest",
            digest=entry.digest,
            kind=entry.kind,
            user=entry.user,
            rank=entry.rank,
            label=entry.label,
            csrf=entry.csrf,
            at=entry.at,
            expires=entry.expires,
        )

    def passed(self, digest: str) -> Pass | None:
        """Return the session, token or one-time link with this digest, if it has not expired."""
        query = select(*_PASS).where(entry.c.digest == digest, entry.c.expires > self.now)
        row = self._first(query)
        return Pass(*row) if row is not None else None

    def passes(self, user: str) -> list[Pass]:
        """List a user's sessions and tokens that have not expired, oldest first."""
        query = select(*_PASS).where(entry.c.user == user, entry.c.expires > self.now)
        return [Pass(*row) for row in self._all(query.order_by(entry.c.number))]

    def drop_pass(self, digest: str) -> None:
        """End a session, token or one-time link."""
        self._write(delete(entry).where(entry.c.digest == digest))

    def note_failure(self, who: str) -> None:
        """Note a failed login of a name or address; those long past are cleared away."""
        self._write(delete(login_failure).where(login_failure.c.at < self.now - FAILURES_KEPT))
        self._write(insert(login_failure).inline(), {"who": who, "at": self.now})

    def failures(self, who: str, since: datetime) -> int:
        """Count failed logins since a time; those of a time to come are of a clock that was wrong."""
        at = login_failure.c.at
        query = select(func.count()).where(login_failure.c.who == who, at >= since, at <= self.now)
        return int(self._value(query))


def _roll(row: Any) -> Roll:
    id, url, issuer, purpose, bits, given, decoys, edition, signed = row
    return Roll(id, url, issuer, purpose, Ledger(bits, given, decoys), edition, signed)


def _some(ids: Sequence[str]) -> Iterator[list[str]]:
    """Yield the ids in lots that fit a statement."""
    for start in range(0, len(ids), _IDS_AT_ONCE):
        yield list(ids[start : start + _IDS_AT_ONCE])


def _peer(row: Any) -> Peer:
    id, connection, our_did, their_did, did, name = row
    return Peer(id, connection or "", our_did, their_did, did, name)


def _read(protocol: Protocol, kind: str, body: str, *, refused: bool) -> Message:
    """Return the message of a row, as the service held it when it was saved."""
    if refused:
        return Unreadable()
    try:
        # By way of the parsed object, as it came off the wire, so that both readings agree to the letter.
        return protocol.messages[kind].model_validate(json.loads(body))
    except (KeyError, ValueError, ValidationError):
        LOG.exception("a stored %s of %s cannot be read any more", kind, protocol.name)
        return Unreadable()


def _completed(known: Item, told: Item) -> Item:
    """Return what is known of an item, with what is told of it now."""
    if told.registrar != known.registrar:
        # What an item is like, others may add; where it belongs, only its registrar says.
        return replace(
            known,
            model=known.model or told.model,
            chemistry=known.chemistry or told.chemistry,
            mass_kg=known.mass_kg or told.mass_kg,
        )
    return replace(
        known,
        part_of=told.part_of or known.part_of,
        made_of=told.made_of or known.made_of,
        position=told.position or known.position,
        model=told.model or known.model,
        chemistry=told.chemistry or known.chemistry,
        mass_kg=told.mass_kg or known.mass_kg,
    )
