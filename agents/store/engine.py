"""Connections to the two kinds of database, the lock on it, and its migrations."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from time import sleep
from typing import Any

from sqlalchemy import URL, Connection, Engine, NullPool, QueuePool, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, ProgrammingError

from agents.store.tables import REVISION
from schemas.errors import Invalid, Unavailable

# Names this program among the advisory locks of a PostgreSQL database.
_LOCK = 0x6D65677572690001
_LOCK_TRIES = 20


def read_url(text: str) -> URL:
    """Return a database's URL with its driver, or raise `Invalid`."""
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise Invalid("the database's URL cannot be read; it looks like sqlite:///path/meguri.db") from error
    kind = url.get_backend_name()
    if kind == "sqlite":
        if not url.database or ":memory:" in url.database or url.query:
            raise Invalid("an SQLite database is a file: sqlite:///path/meguri.db")
        return url.set(drivername="sqlite+pysqlite")
    if kind in ("postgresql", "postgres"):
        return url.set(drivername="postgresql+psycopg")
    raise Invalid("“{kind}” is not a database we can use: name SQLite or PostgreSQL", kind=kind[:40])


def make_engine(url: URL, *, reading: bool, size: int = 1) -> Engine:
    """Return an engine whose connections are set up for writing, or for reading a snapshot."""
    arguments: dict[str, Any] = {"timeout": 5} if url.get_backend_name() == "sqlite" else {}
    pool: dict[str, Any] = {"poolclass": NullPool}
    if reading:
        pool = {"poolclass": QueuePool, "pool_size": size, "max_overflow": 0}
    engine = create_engine(url, connect_args=arguments, **pool)
    if url.get_backend_name() == "sqlite":
        _set_up_sqlite(engine, reading=reading)
    else:
        _set_up_postgresql(engine, reading=reading)
    return engine


def _set_up_sqlite(engine: Engine, *, reading: bool) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        # The driver opens transactions by itself, late and not before a SAVEPOINT; we say BEGIN ourselves.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA busy_timeout = 5000")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA temp_store = MEMORY")
        if reading:
            cursor.execute("PRAGMA query_only = ON")
            # Pages are read where the system keeps them, not copied one by one: a search touches thousands.
            cursor.execute("PRAGMA mmap_size = 1073741824")
        else:
            # With a write-ahead log, readers see the books as they stood and nobody waits. FULL syncs the
            # log at every commit, so that what is committed survives a power cut; NORMAL, the usual
            # advice, would only keep the file whole and could lose the last commits.
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.execute("PRAGMA synchronous = FULL")
            cursor.execute("PRAGMA journal_size_limit = 67108864")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # IMMEDIATE takes the write lock at once: taken later, it could fail in the middle of a work.
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _set_up_postgresql(engine: Engine, *, reading: bool) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.autocommit = True
        connection.execute("SET TIME ZONE 'UTC'")
        if reading:
            connection.execute(
                "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
            )
        else:
            # A server may be set to answer before its log is on disk; what we commit survives power loss.
            connection.execute(
                "SELECT set_config('synchronous_commit', 'on', false)"
                " WHERE current_setting('synchronous_commit') = 'off'"
            )
        connection.autocommit = False


class Claim:
    """The sole right of one process to write a company's database.

    What the writer remembers, and the order it keeps, hold only while nobody else writes. SQLite's claim is
    a lock on a file beside the database, PostgreSQL's an advisory lock that its connection holds; both end
    with the process, however it ends.
    """

    def __init__(self, url: URL) -> None:
        self._url = url
        self._file: int | None = None
        self._engine = make_engine(url, reading=False)
        if url.get_backend_name() == "sqlite":
            self._take_file()

    def _take_file(self) -> None:
        place = Path(self._url.database or "")
        try:
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # For the owner alone, as are the files SQLite puts beside it.
            os.close(os.open(place, os.O_RDWR | os.O_CREAT, 0o600))
            self._file = os.open(f"{place}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            reason = error.strerror or str(error)
            raise Unavailable(
                "the database {place} cannot be opened: {reason}", place=place, reason=reason
            ) from error
        try:
            flock(self._file, LOCK_EX | LOCK_NB)
        except OSError as error:
            self.release()
            raise _taken() from error

    def connect(self) -> Connection:
        """Return a connection for the writer, with the lock on the database."""
        try:
            connection = self._engine.connect()
            if self._url.get_backend_name() == "postgresql":
                _lock(connection)
        except DBAPIError as error:
            reason = " ".join(str(error.orig).split())[:200]
            raise Unavailable("the company's database cannot be opened: {reason}", reason=reason) from error
        return connection

    def release(self) -> None:
        """Let another process have the database."""
        self._engine.dispose()
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _lock(connection: Connection) -> None:
    # A server notices the end of a connection a moment later, so one that was just closed may still hold it.
    for _ in range(_LOCK_TRIES):
        got = connection.exec_driver_sql("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).scalar()
        connection.commit()
        if got:
            return
        sleep(0.05)
    connection.close()
    raise _taken()


def _taken() -> Unavailable:
    return Unavailable("another process has this company's database open: an agent runs already")


def bring_up_to_date(connection: Connection) -> None:
    """Migrate the database unless it stands where this program expects it."""
    version = None
    # No such table: a new database.
    with suppress(OperationalError, ProgrammingError):
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    connection.rollback()
    if version == REVISION:
        return
    # Only now: importing it takes as long as all the rest of opening.
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    if version is not None:
        try:
            ScriptDirectory.from_config(config).get_revision(version)
        except CommandError as error:
            raise Unavailable(
                "the database was written by a newer version of this program ({version}); update the program",
                version=version,
            ) from error
    try:
        with connection.begin():
            command.upgrade(config, "head")
    except DBAPIError as error:
        reason = " ".join(str(error.orig).split())[:200]
        raise Unavailable("the database cannot be brought up to date: {reason}", reason=reason) from error


@contextmanager
def let_go_on_failure(let_go: Callable[[], None]) -> Iterator[None]:
    """Call `let_go` when the block fails."""
    try:
        yield
    except BaseException:
        let_go()
        raise
