"""The company's books in its own SQL database: SQLite in a file, or PostgreSQL."""

from collections.abc import Callable
from datetime import UTC, datetime

from agents.ports import Desk
from agents.role import Company
from agents.store.engine import Claim, bring_up_to_date, let_go_on_failure, make_engine, read_url
from agents.store.threads import READERS, Readers, Writer

__all__ = ["SqlStore", "open_store"]


def _now() -> datetime:
    return datetime.now(UTC)


def open_store(url: str, company: Company, clock: Callable[[], datetime] = _now) -> "SqlStore":
    """Open the company's database, making or migrating it where needed.

    Raises `Invalid` for a URL we cannot use, and `Unavailable` when the database cannot be reached, is
    open in another process, or was written by a newer version.
    """
    place = read_url(url)
    claim = Claim(place)
    with let_go_on_failure(claim.release):
        connection = claim.connect()
        with let_go_on_failure(connection.close):
            bring_up_to_date(connection)
        writer = Writer(claim.connect, connection, company, clock)
    readers = Readers(
        make_engine(place, reading=True, size=READERS), company, clock, writer.cache, writer.register
    )
    return SqlStore(claim, writer, readers)


class SqlStore:
    """The store port over an SQL database; any number of tasks may share it, one process may."""

    def __init__(self, claim: Claim, writer: Writer, readers: Readers) -> None:
        self._claim = claim
        self._writer = writer
        self._readers = readers

    async def read[T](self, work: Callable[[Desk], T]) -> T:
        """Run `work` on the books as they stand; it may look at everything and change nothing."""
        return await self._readers.read(work)

    async def write[T](self, work: Callable[[Desk], T]) -> T:
        """Run `work` in one transaction; when this returns, what it wrote survives a power cut.

        Where `work` raises, nothing of it stays. Raises `Unavailable` when the database did not take it.
        """
        return await self._writer.write(work)

    def close(self) -> None:
        """Finish the works in hand and let go of the database."""
        self._writer.close()
        self._readers.close()
        self._claim.release()
