from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.store import SqlStore, open_store

from .company import US, Clock


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/company/meguri.db"
    return str(request.getfixturevalue("postgresql_url"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[SqlStore]:
    store = open_store(url, US, clock)
    yield store
    store.close()
