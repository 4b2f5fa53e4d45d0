"""The company's database, table by table; `migrations` builds exactly this.

Rows whose order counts carry a `number` that the database gives them, for clocks may be set back.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    DDL,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.event import listen
from sqlalchemy.types import TypeEngine

# The revision the tables below stand at; a test holds it to the newest migration.
REVISION = "0007"


class Moment(TypeDecorator[datetime]):
    """A point in time, kept in UTC; SQLite keeps it as text of one width, so that it sorts."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep text where there is no type for a time with its zone."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Return what is stored; a time without its zone could mean anything and is refused."""
        if value is None:
            return None
        if value.tzinfo is None or value.utcoffset() is None:
            raise ValueError(f"a time without its zone cannot be kept: {value.isoformat()}")
        if value.tzinfo is not UTC:
            value = value.astimezone(UTC)
        return value.isoformat(timespec="microseconds") if dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the time in UTC."""
        if value is None:
            return None
        return datetime.fromisoformat(value) if dialect.name == "sqlite" else value.astimezone(UTC)


class Json(TypeDecorator[Mapping[str, Any]]):
    """A JSON object, kept as the text it was: a database's own JSON type may reorder or refuse it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Mapping[str, Any] | None, dialect: Dialect) -> str | None:
        """Return the object's text."""
        return None if value is None else json.dumps(value, default=dict, allow_nan=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Mapping[str, Any] | None:
        """Return the object."""
        return None if value is None else json.loads(value)


class Names(TypeDecorator[tuple[str, ...]]):
    """A list of names, in order."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: tuple[str, ...] | None, dialect: Dialect) -> str:
        """Return the list's text."""
        return json.dumps(value) if value else "[]"

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[str, ...]:
        """Return the list."""
        return tuple(json.loads(value)) if value and value != "[]" else ()


class Words(TypeDecorator[frozenset[str]]):
    """A set of words without blanks in them, as the index over them wants it."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep an array where there is one, else text with blanks between the words."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else ARRAY(Text()))

    def process_bind_param(self, value: frozenset[str] | None, dialect: Dialect) -> Any:
        """Return what is stored."""
        words = sorted(value or ())
        return " ".join(words) if dialect.name == "sqlite" else words

    def process_result_value(self, value: Any, dialect: Dialect) -> frozenset[str]:
        """Return the set."""
        return frozenset(value.split() if dialect.name == "sqlite" else value)


def number() -> Column[int]:
    """Return a key that counts rows in the order they were written."""
    return Column(
        "number", BigInteger().with_variant(Integer(), "sqlite"), Identity(always=False), primary_key=True
    )


METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

peer = Table(
    "peer",
    METADATA,
    number(),
    Column("id", Text, nullable=False, unique=True),
    Column("connection", Text, unique=True),
    Column("our_did", Text, nullable=False),
    Column("their_did", Text, nullable=False),
    Column("did", Text, nullable=False, index=True),
    Column("name", Text, nullable=False),
)

# Ids under which a company was known before we learnt that it was one we knew.
alias = Table(
    "alias",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("peer", Text, ForeignKey("peer.id"), nullable=False, index=True),
)

exchange = Table(
    "exchange",
    METADATA,
    Column("thread", Text, primary_key=True),
    Column("protocol", Text, nullable=False),
    Column("side", Text, nullable=False),
    Column("peer", Text, ForeignKey("peer.id"), nullable=False, index=True),
    Column("state", Text, nullable=False),
    Column("about", Text, nullable=False, index=True),
    Column("ours", Boolean, nullable=False),
    Column("opened", Moment, nullable=False),
    Column("updated", Moment, nullable=False),
    Column("version", Integer, nullable=False),
    Index("ix_exchange_updated", "updated", "thread"),
    Index("ix_exchange_protocol_state", "protocol", "state"),
    Index(
        "ix_exchange_ours", "updated", "thread", sqlite_where=text("ours = 1"), postgresql_where=text("ours")
    ),
)

# The inbox and the outbox. `place` is a message's place in its exchange, and nothing for one that never
# got there: early, refused before its turn, or from a stranger.
message = Table(
    "message",
    METADATA,
    number(),
    Column("peer", Text, ForeignKey("peer.id"), nullable=False),
    Column("id", Text, nullable=False),
    Column("outward", Boolean, nullable=False),
    Column("thread", Text, nullable=False),
    Column("place", Integer),
    Column("protocol", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("sender_order", Integer, nullable=False),
    Column("seen", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("credentials", Names, nullable=False),
    Column("evidence", Names, nullable=False),
    Column("status", Text, nullable=False),
    Column("problem", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_at", Moment, nullable=False),
    Column("sent_at", Moment),
    Column("done_at", Moment),
    UniqueConstraint("peer", "id"),
    UniqueConstraint("thread", "place"),
    Index(
        "ix_message_queued",
        "peer",
        "number",
        "next_at",
        sqlite_where=text("status = 'queued'"),
        postgresql_where=text("status = 'queued'"),
    ),
    Index(
        "ix_message_waiting",
        "peer",
        "thread",
        "sender_order",
        sqlite_where=text("status = 'waiting'"),
        postgresql_where=text("status = 'waiting'"),
    ),
    Index(
        "ix_message_dead",
        "number",
        sqlite_where=text("status = 'dead'"),
        postgresql_where=text("status = 'dead'"),
    ),
)

item = Table(
    "item",
    METADATA,
    Column("code", Text, primary_key=True),
    Column("kind", Text, nullable=False, index=True),
    Column("registrar", Text, nullable=False),
    Column("part_of", Text, index=True),
    Column("made_of", Names, nullable=False),
    Column("position", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("model_folded", Text, nullable=False),
    Column("chemistry", Text, nullable=False),
    Column("mass_kg", Text),
)

# What a lot or product is made of, to be found from the part.
part = Table(
    "part",
    METADATA,
    Column("item", Text, primary_key=True),
    Column("container", Text, ForeignKey("item.code"), primary_key=True, index=True),
)

credential = Table(
    "credential",
    METADATA,
    number(),
    Column("id", Text, nullable=False, unique=True),
    Column("type", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("digest", Text, nullable=False),
    Column("document", Json, nullable=False),
    Column("source", Text, nullable=False),
    # The message of an exchange that it stands or falls with.
    Column("message", Text, nullable=False, server_default=""),
    Index("ix_credential_about", "about", "type"),
    Index(
        "ix_credential_message",
        "message",
        sqlite_where=text("message <> ''"),
        postgresql_where=text("message <> ''"),
    ),
)

# What became of credentials, ours and others', one row for each change; the last one counts.
standing = Table(
    "standing",
    METADATA,
    number(),
    Column("credential", Text, nullable=False, index=True),
    Column("what", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("who", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("successor", Text, nullable=False),
)

# Our status lists: of the three rows of bits only `bits` is ever published, sealed in `edition`.
status_list = Table(
    "status_list",
    METADATA,
    number(),
    Column("id", Text, nullable=False, unique=True),
    Column("url", Text, nullable=False, unique=True),
    Column("issuer", Text, nullable=False),
    Column("purpose", Text, nullable=False),
    Column("bits", LargeBinary, nullable=False),
    Column("given", LargeBinary, nullable=False),
    Column("decoys", LargeBinary, nullable=False),
    Column("edition", Text, nullable=False),
    Column("signed", Moment, nullable=False),
)

# What is shown to everyone, and what was once: of each credential the last change. The numbers count the
# changes and are never used twice, so that who has read up to one misses nothing.
publication = Table(
    "publication",
    METADATA,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("credential", Text, ForeignKey("credential.id"), nullable=False, unique=True),
    Column("about", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("shown", Boolean, nullable=False),
    Index("ix_publication_about", "about", "number"),
)

event = Table(
    "event",
    METADATA,
    number(),
    Column("id", Text, nullable=False, unique=True),
    Column("item", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("body", Text, nullable=False),
    Column("source", Text, nullable=False),
    Index("ix_event_item", "item", "at"),
)

evidence = Table(
    "evidence",
    METADATA,
    number(),
    Column("digest", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("link", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("peer", Text, nullable=False),
    Index(
        "ix_evidence_awaited",
        "number",
        sqlite_where=text("state = 'awaited'"),
        postgresql_where=text("state = 'awaited'"),
    ),
)

measurement = Table(
    "measurement",
    METADATA,
    number(),
    Column("item", Text, nullable=False),
    Column("digest", Text, nullable=False),
    # The pseudonym a kept prediction is stated about, where the measurement is one.
    Column("subject", Text, nullable=False, index=True),
    Column("measurement", Json, nullable=False),
    UniqueConstraint("item", "digest"),
)

# Models of states of health; the statement about one is a credential.
model = Table(
    "model",
    METADATA,
    number(),
    Column("digest", Text, nullable=False, unique=True),
    Column("cell_model", Text, nullable=False, index=True),
    Column("signer", Text, nullable=False),
    Column("credential", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("in_use", Boolean, nullable=False),
    Column("document", Json, nullable=False),
)

qualification = Table(
    "qualification",
    METADATA,
    Column("worker", Text, primary_key=True),
    Column("qualification", Text, primary_key=True),
)

setting = Table(
    "setting",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

done = Table(
    "done",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("thread", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

job = Table(
    "job",
    METADATA,
    number(),
    Column("id", Text, nullable=False, unique=True),
    Column("job", Text, nullable=False),
    Column("details", Json, nullable=False),
    Column("state", Text, nullable=False, index=True),
    Column("progress", Json, nullable=False),
    Column("at", Moment, nullable=False),
)

# What was fetched from elsewhere: DID logs and status lists, by DID or URL.
copy = Table(
    "copy",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("parts", Json, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("at", Moment, nullable=False, index=True),
    Column("edition", Text, nullable=False),
)

# The issuers whose published statements are indexed, and what is indexed of them.
source = Table(
    "source",
    METADATA,
    number(),
    Column("issuer", Text, nullable=False, unique=True),
    Column("site", Text, nullable=False),
    Column("next", BigInteger, nullable=False),
    Column("at", Moment),
    Column("problem", Text, nullable=False),
    Column("refused", Json, nullable=False),
)

# A place tells when the statement was issued, in its upper digits; so every list is in the order of time, and
# a span of time is a span of places.
indexed = Table(
    "indexed",
    METADATA,
    Column("place", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    Column("source", BigInteger, ForeignKey("source.number"), nullable=False),
    Column("id", Text, nullable=False),
    Column("type", Text, nullable=False),
    Column("item", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("words", Words, nullable=False),
    UniqueConstraint("source", "id"),
)

# Words lead to places: by an inverted index of PostgreSQL's, or by SQLite's full-text search over the column.
# `detail=none`: which words, not where. What stands between blanks is one word.
WORDS_INDEX = "CREATE INDEX ix_indexed_words ON indexed USING gin (words) WITH (fastupdate = off)"
WORDS_TABLE = (
    "CREATE VIRTUAL TABLE indexed_words USING fts5(words, content='indexed', content_rowid='place',"
    " detail='none', columnsize=0, tokenize=\"ascii tokenchars '!#$%&()*+,-./:;<=>?@[]^_`{|}~'\")"
)
for _when, _dialect, _statement in (
    ("after_create", "postgresql", WORDS_INDEX),
    ("after_create", "sqlite", WORDS_TABLE),
    ("before_drop", "sqlite", "DROP TABLE indexed_words"),
):
    _made = DDL(_statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
    listen(indexed, _when, _made.execute_if(dialect=_dialect))


def is_by_hand(name: str | None) -> bool:
    """Say whether SQLAlchemy's tables know nothing of a table or index: those that find words."""
    return (name or "").startswith(("indexed_words", "ix_indexed_words"))


account = Table(
    "account",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("secret", Text, nullable=False),
    Column("rank", Text, nullable=False),
    Column("language", Text, nullable=False),
)

# “pass” without a foreign key to the account: a one-time link comes before the user it makes.
entry = Table(
    "pass",
    METADATA,
    number(),
    Column("digest", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("user", Text, nullable=False, index=True),
    Column("rank", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("csrf", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("expires", Moment, nullable=False, index=True),
)

login_failure = Table(
    "login_failure",
    METADATA,
    number(),
    Column("who", Text, nullable=False),
    Column("at", Moment, nullable=False, index=True),
    Index("ix_login_failure_who", "who", "at"),
)

# The registry of DIDs, kept by a governance authority. The authority's own DID has no name.
did = Table(
    "did",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("approvals", Text, nullable=False),
    Column("whois", Text, nullable=False),
)

did_entry = Table(
    "did_entry",
    METADATA,
    Column("name", Text, ForeignKey("did.name"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("line", Text, nullable=False),
)

# Names that may be registered, each once, by whoever has the code with this digest.
did_code = Table(
    "did_code",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("expires", Moment, nullable=False),
)

# Rows are added to these and never changed or removed, which triggers see to.
APPEND_ONLY = ("event", "measurement", "did_entry", "standing")
