"""Opening: who may, what is made, and that migrations and tables agree."""

import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Text, delete, inspect, text, update
from sqlalchemy.exc import IntegrityError

from agents.role import Standing
from agents.store import SqlStore, open_store, tables
from agents.store.engine import make_engine, read_url
from governance.dids import Kept as Log
from schemas.errors import Fault, Invalid, Unavailable
from schemas.events import Event

from .company import PACK, US

MIGRATIONS = Path(tables.__file__).parent / "migrations"


@contextmanager
def connection(url: str) -> Iterator[Connection]:
    engine = make_engine(read_url(url), reading=False)
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def shape(connection: Connection) -> dict[str, Any]:
    """Everything a database says of its tables, triggers aside."""
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type != 'trigger'")
        # The order of a table's columns and constraints is of no account, nor which of them stands last.
        lines = {
            name: sorted(filter(None, (part.strip(' \t)"') for part in re.split("[,\n]", sql or ""))))
            for name, sql in rows
        }
        return {name: sql for name, sql in lines.items() if "alembic_version" not in name}
    seen = inspect(connection)
    found: dict[str, Any] = {
        table: (
            [
                (str(c["type"]), {**c, "type": None})
                for c in sorted(seen.get_columns(table), key=lambda c: c["name"])
            ],
            seen.get_pk_constraint(table),
            sorted(seen.get_foreign_keys(table), key=str),
            sorted(seen.get_unique_constraints(table), key=str),
        )
        for table in seen.get_table_names()
        if table != "alembic_version"
    }
    indexes = connection.exec_driver_sql(
        "SELECT indexname, indexdef FROM pg_indexes"
        " WHERE schemaname = 'public' AND tablename != 'alembic_version'"
    )
    return found | {row.indexname: row.indexdef for row in indexes}


def test_the_migrations_build_the_tables(url: str) -> None:
    open_store(url, US).close()
    with connection(url) as open_:
        known = {"include_name": lambda name, *_: not tables.is_by_hand(name)}
        assert compare_metadata(MigrationContext.configure(open_, opts=known), tables.METADATA) == []
        migrated = shape(open_)
        open_.rollback()
        with open_.begin():
            tables.METADATA.drop_all(open_)
            if open_.dialect.name == "postgresql":
                open_.execute(
                    text("DROP FUNCTION " + ", ".join(f"{name}_stays" for name in tables.APPEND_ONLY))
                )
            tables.METADATA.create_all(open_)
        assert shape(open_) == migrated


def test_the_code_stands_at_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == tables.REVISION


def test_a_newer_database_is_refused_in_words(url: str) -> None:
    open_store(url, US).close()
    with connection(url) as open_, open_.begin():
        open_.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Unavailable, match="newer"):
        open_store(url, US)
    with connection(url) as open_, open_.begin():
        open_.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": tables.REVISION})
    open_store(url, US).close()


def test_a_second_opener_is_refused_in_words(url: str) -> None:
    store = open_store(url, US)
    with pytest.raises(Unavailable, match="another process"):
        open_store(url, US)
    other = "from agents.store import open_store; from tests.agents.store.company import US; import sys;"
    run = [sys.executable, "-c", other + " open_store(sys.argv[1], US).close()", url]
    refused = subprocess.run(run, cwd=MIGRATIONS.parents[2], capture_output=True, text=True, check=False)
    assert "another process has this company's database open" in refused.stderr
    store.close()
    subprocess.run(run, cwd=MIGRATIONS.parents[2], check=True)


def test_opening_again_migrates_nothing_and_needs_no_alembic(url: str) -> None:
    open_store(url, US).close()
    code = (
        "import sys; from agents.store import open_store; from tests.agents.store.company import US;"
        " open_store(sys.argv[1], US).close(); assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, url], cwd=MIGRATIONS.parents[2], check=True)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "cannot be read"),
        ("mysql://localhost/x", "mysql"),
        ("sqlite://", "is a file"),
        ("sqlite:///:memory:", "is a file"),
    ],
)
def test_an_unusable_url_is_refused_in_words(url: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        open_store(url, US)


def test_a_place_that_cannot_be_written_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Unavailable, match="cannot be opened"):
        open_store(f"sqlite:///{tmp_path}/file/x.db", US)
    with pytest.raises(Fault):
        open_store(f"sqlite:///{tmp_path}", US)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "x.db"
    place.write_bytes(b"these are my notes, and no database at all" * 100)
    with pytest.raises(Unavailable):
        open_store(f"sqlite:///{place}", US)
    assert place.read_bytes().startswith(b"these are my notes")


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="cannot be opened"):
        open_store("postgresql://nobody@127.0.0.1:1/x", US)


def test_the_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/company/x.db", US)
    files = list((tmp_path / "company").iterdir())
    assert len(files) == 4
    assert {file.stat().st_mode & 0o077 for file in (*files, tmp_path / "company")} == {0}
    store.close()


def event() -> Event:
    return Event(item=PACK, kind="pack", what="received", when=datetime.now(UTC), who="Welder")


@pytest.mark.parametrize("name", tables.APPEND_ONLY)
async def test_the_database_itself_keeps_what_was_appended(store: SqlStore, name: str) -> None:
    table = tables.METADATA.tables[name]
    await store.write(lambda desk: desk.keep_event(event()))
    await store.write(lambda desk: desk.keep_measurement(PACK, "0" * 64, {"ohm": 0.001}))
    await store.write(lambda desk: desk.keep_did_entry("did:x", Log("kita", ("{}",))))
    await store.write(lambda desk: desk.keep_standing(Standing("urn:uuid:1", "revoked", desk.now)))
    some = next(one for one in table.c if isinstance(one.type, Text) and not one.primary_key)
    for statement in (update(table).values({some.name: "P"}), delete(table)):
        with pytest.raises(IntegrityError, match="never changed or removed"):
            await store.write(lambda desk, s=statement: desk.connection.execute(s))  # type: ignore[misc]
    assert len(await store.read(lambda desk: desk.events(PACK))) == 1
    assert len(await store.read(lambda desk: desk.measurements(PACK))) == 1
    assert await store.read(lambda desk: desk.did_log("kita")) == Log("kita", ("{}",))
    assert await store.read(lambda desk: desk.standing("urn:uuid:1")) is not None


async def test_a_time_without_its_zone_is_refused(store: SqlStore) -> None:
    with pytest.raises(ValueError, match="zone"):
        await store.read(lambda desk: desk.failures("x", datetime(2026, 1, 1)))
    with pytest.raises(ValueError, match="zone"):
        await store.write(lambda desk: desk.attempted("p", ["m"], datetime(2026, 1, 1)))


def test_every_question_of_the_message_path_is_answered_by_an_index(tmp_path: Path) -> None:
    from agents.store.statements import Prepared, statements

    place = tmp_path / "x.db"
    open_store(f"sqlite:///{place}", US).close()
    engine = make_engine(read_url(f"sqlite:///{place}"), reading=True)
    known = statements(engine.dialect)
    database = sqlite3.connect(place)
    plans = {}
    for name, statement in vars(known).items():
        if isinstance(statement, Prepared) and not statement.text.startswith("INSERT"):
            blanks = [None] * statement.text.count("?")
            rows = database.execute("EXPLAIN QUERY PLAN " + statement.text, blanks).fetchall()
            plans[name] = [row[3] for row in rows]
    database.close()
    engine.dispose()
    assert len(plans) > 6
    for name, plan in plans.items():
        assert not any(step.startswith("SCAN") or "TEMP B-TREE" in step for step in plan), (name, plan)
    assert any("ix_message_waiting" in step for step in plans["waiting"])
    assert any("ix_message_queued" in step for step in plans["due"])
