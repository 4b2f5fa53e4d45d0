"""Companies on a street, for the site's tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .world import REQUEST, House, Street, admit


@dataclass
class Town:
    """A dismantler and a collector, both members."""

    street: Street
    authority: House
    dismantler: House
    collector: House
    to_collector: str
    to_dismantler: str

    async def request(self) -> str:
        """Have the dismantler request a collection; return its thread."""
        return await self.dismantler.do("request-collection", self.to_collector, **REQUEST)


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    street = Street(tmp_path)
    yield street
    street.close()


@pytest.fixture
async def town(street: Street) -> Town:
    authority = street.open("Battery Office", "governance-authority")
    dismantler = street.open("Sakura Recycling", "dismantler")
    collector = street.open("Minato Collection", "collector")
    await admit(authority, dismantler, collector)
    near, far = await street.connect(dismantler, collector)
    for house in (authority, dismantler, collector):
        await house.keep_user("chief")
    return Town(street, authority, dismantler, collector, near, far)
