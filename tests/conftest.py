"""What every room's tests may ask for."""

import os
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import settings
from sqlalchemy import make_url

if TYPE_CHECKING:
    from tests.scenarios.town import Town

POSTGRESQL = "MEGURI_TEST_POSTGRESQL"

# A busy machine is no reason to fail.
settings.register_profile("meguri", deadline=None)
settings.load_profile("meguri")


@pytest.fixture
def postgresql_url() -> Iterator[str]:
    """A fresh, empty database on the server that MEGURI_TEST_POSTGRESQL names, dropped afterwards."""
    server = os.environ.get(POSTGRESQL)
    if not server:
        reason = (
            f"no PostgreSQL: {POSTGRESQL} names no server, such as postgresql+psycopg://me@127.0.0.1/postgres"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    url = make_url(server)
    name = f"meguri_{uuid.uuid4().hex}"
    maintenance = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0'.encode())
    yield url.set(database=name).render_as_string(hide_password=False)
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


@pytest.fixture
async def t(settled: "Town", tmp_path: Path) -> "AsyncIterator[Town]":
    """A copy of a module's town, which a test may change as it likes."""
    copy = settled.copy(tmp_path)
    yield copy
    copy.close()
