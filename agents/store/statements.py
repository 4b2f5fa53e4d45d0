"""The statements of the message path, made ready once.

For the few statements that every message needs, SQLAlchemy would spend several times as long about each as
the database does in it. So they are compiled by it once, and then handed to the driver as they are.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Dialect, Text, bindparam, insert, literal, literal_column, or_, select, update

from agents.store.tables import exchange, message, peer, setting

# Written out in the statements, so that the indexes over only such rows can serve them.
QUEUED, WAITING, DEAD, AWAITED = (
    literal_column(f"'{state}'", Text) for state in ("queued", "waiting", "dead", "awaited")
)

LETTER = (
    message.c.peer,
    message.c.id,
    message.c.outward,
    message.c.thread,
    message.c.protocol,
    message.c.kind,
    message.c.sender_order,
    message.c.seen,
    message.c.body,
    message.c.credentials,
    message.c.evidence,
    message.c.status,
    message.c.problem,
    message.c.at,
    message.c.attempts,
    message.c.next_at,
    message.c.sent_at,
)
PEER = (peer.c.id, peer.c.connection, peer.c.our_did, peer.c.their_did, peer.c.did, peer.c.name)


class Prepared:
    """One statement: its text, and how values go in and come out."""

    def __init__(self, statement: Any, dialect: Dialect, columns: Sequence[str] | None = None) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        self.text: str = compiled.string
        self._order: Sequence[str] | None = compiled.positiontup
        self._into = {}
        for name, bind in compiled.binds.items():
            if (convert := bind.type.dialect_impl(dialect).bind_processor(dialect)) is not None:
                self._into[name] = convert
        self._fixed = {name: value for name, value in compiled.params.items() if value is not None}
        self._out = []
        for place, column in enumerate(compiled._result_columns):  # noqa: SLF001, its only list of them
            convert = column.type.dialect_impl(dialect).result_processor(dialect, None)
            if convert is not None:
                self._out.append((place, convert))

    def fill(self, values: dict[str, Any]) -> Any:
        """Return the values as the driver wants them."""
        filled = self._fixed | values
        for name, convert in self._into.items():
            filled[name] = convert(filled[name])
        return filled if self._order is None else tuple([filled[name] for name in self._order])

    def read(self, row: Sequence[Any]) -> Sequence[Any]:
        """Return a row that the driver gave, converted."""
        if not self._out:
            return row
        read = list(row)
        for place, convert in self._out:
            read[place] = convert(read[place])
        return read


class Statements:
    """The statements for one kind of database."""

    def __init__(self, dialect: Dialect) -> None:
        if dialect.name == "sqlite":
            from sqlalchemy.dialects.sqlite import insert as upsert
        else:
            from sqlalchemy.dialects.postgresql import insert as upsert  # type: ignore[assignment]
        self.insert = upsert
        letter = select(*LETTER)
        self.letter = Prepared(
            letter.where(message.c.peer == bindparam("p"), message.c.id == bindparam("i")), dialect
        )
        self.waiting = Prepared(
            (
                letter.where(
                    message.c.peer == bindparam("p"),
                    message.c.thread == bindparam("t"),
                    message.c.sender_order == bindparam("o"),
                    message.c.status == WAITING,
                )
                .order_by(message.c.number)
                .limit(1)
            ),
            dialect,
        )
        # A message that came early has a row already, which now takes its final form.
        fresh = self.insert(message).inline()
        kept = ("peer", "id", "number", "outward")
        self.post = Prepared(
            fresh.on_conflict_do_update(
                index_elements=[message.c.peer, message.c.id],
                set_={c.name: fresh.excluded[c.name] for c in message.c if c.name not in kept},
                where=message.c.status == WAITING,
            ),
            dialect,
            [c.name for c in message.c if c.name != "number"],
        )
        self.place = Prepared(
            (
                update(message)
                .where(message.c.peer == bindparam("p"), message.c.id == bindparam("i"))
                .values(place=bindparam("place"), seen=bindparam("seen"))
            ),
            dialect,
        )
        self.open = Prepared(insert(exchange), dialect)
        self.advance = Prepared(
            (
                update(exchange)
                .where(exchange.c.thread == bindparam("t"))
                .values({name: bindparam(name) for name in ("state", "about", "ours", "updated", "version")})
            ),
            dialect,
        )
        self.exchange = Prepared(
            select(exchange.c.version, exchange.c.protocol, exchange.c.side, exchange.c.peer).where(
                exchange.c.thread == bindparam("t")
            ),
            dialect,
        )
        self.said = Prepared(
            (
                select(
                    message.c.id,
                    message.c.outward,
                    message.c.sender_order,
                    message.c.seen,
                    message.c.kind,
                    message.c.body,
                    message.c.status,
                    message.c.problem,
                )
                .where(message.c.thread == bindparam("t"), message.c.place.is_not(None))
                .order_by(message.c.place)
            ),
            dialect,
        )
        self.setting = Prepared(select(setting.c.value).where(setting.c.name == bindparam("n")), dialect)
        self.peer = Prepared(select(*PEER).where(peer.c.id == bindparam("i")), dialect)
        self.attempted = (
            update(message)
            .where(
                message.c.peer == bindparam("p"),
                message.c.id.in_(bindparam("ids", expanding=True)),
                message.c.status == QUEUED,
            )
            .values(attempts=message.c.attempts + 1, next_at=bindparam("due"), sent_at=bindparam("now"))
        )
        self.settle = (
            update(message)
            .where(
                message.c.peer == bindparam("p"),
                message.c.id.in_(bindparam("ids", expanding=True)),
                message.c.outward,
                # What the peer had kept for its turn it may still refuse when the turn comes.
                or_(
                    message.c.status.in_((QUEUED, DEAD)),
                    (message.c.status == "taken") & (bindparam("final", type_=Text) == "refused"),
                ),
                message.c.status != bindparam("final"),
            )
            .values(status=bindparam("final"), problem=bindparam("words"), done_at=bindparam("now"))
            .returning(message.c.number, *LETTER)
        )
        # A message that was tried before may be on its way; one that was not is never overtaken.
        earlier = message.alias("earlier")
        never_tried = (
            select(literal(1))
            .where(
                earlier.c.peer == message.c.peer,
                earlier.c.thread == message.c.thread,
                earlier.c.number < message.c.number,
                earlier.c.status == QUEUED,
                earlier.c.attempts == 0,
                earlier.c.next_at > bindparam("now"),
            )
            .exists()
        )
        queued = letter.where(message.c.peer == bindparam("p"), message.c.status == QUEUED)
        self.queued = Prepared(queued.order_by(message.c.number).limit(bindparam("most")), dialect)
        self.due = Prepared(
            (
                queued.where(message.c.next_at <= bindparam("now"), ~never_tried)
                .order_by(message.c.number)
                .limit(bindparam("most"))
            ),
            dialect,
        )


_MADE: dict[str, Statements] = {}


def statements(dialect: Dialect) -> Statements:
    """Return the statements for a kind of database."""
    if (made := _MADE.get(dialect.name)) is None:
        made = _MADE[dialect.name] = Statements(dialect)
    return made
