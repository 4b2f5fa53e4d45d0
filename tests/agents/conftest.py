"""Books of one company, and the clock they go by."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.role import Company
from agents.store import SqlStore, open_store
from tests.agents.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[SqlStore]:
    store = open_store(f"sqlite:///{tmp_path}/books.db", Company("did:key:z6Mk", "Sakura", ()), clock)
    yield store
    store.close()
