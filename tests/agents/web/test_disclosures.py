"""What was shown to whom, on the page, over REST and at the command line: the same on both sides."""

import json
from typing import Any

import pytest

from tests.agents.web.conftest import Town
from tests.agents.web.world import House, browsing


@pytest.fixture
async def pack(town: Town) -> str:
    """A pack of the dismantler's, of which the collector has been shown what a purchase needs."""
    thread = await town.request()
    exchange = await town.dismantler.store.read(lambda desk: desk.exchange(thread))
    assert exchange
    pack: str = exchange.said[0].message.pack  # type: ignore[attr-defined]
    asked = await town.collector.do("ask-disclosure", town.to_dismantler, item=pack, purpose="purchase")
    await town.dismantler.do("answer-disclosure", asked)
    return pack


async def listed(house: House, **query: str) -> list[dict[str, Any]]:
    async with browsing(house, "chief") as browser:
        path = "/api/v1/disclosures" + ("?about=" + query["about"] if query else "")
        found: list[dict[str, Any]] = json.loads(await browser.get(path))
        return found


async def test_both_sides_keep_the_same(town: Town, pack: str) -> None:
    (ours,), (theirs,) = await listed(town.collector), await listed(town.dismantler)
    assert (ours["given"], theirs["given"]) == (False, True)
    for name in ("thread", "item", "purpose", "contract", "terms", "presented", "withheld", "until"):
        assert ours[name] == theirs[name]
    assert (ours["item"], ours["contract"], ours["presented"]) == (pack, "purchase-assessment", True)
    fields = {one["type"]: set(one["fields"]) for one in ours["shown"]}
    assert fields == {one["type"]: set(one["fields"]) for one in theirs["shown"]}
    assert "odometer_km" in fields["VehicleHistory"]
    assert "chassis_digest" not in fields["VehicleHistory"]
    assert "chassis_digest" in ours["withheld"]["VehicleHistory"]
    assert await listed(town.collector, about=pack) == [ours]
    assert await listed(town.collector, about="P0000000000") == []


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["We asked", "Assessment before a purchase", "To be deleted by", "Held back"]),
        ("ja", ["当社からの照会", "購入前の評価", "消去期限"]),
    ],
)
async def test_the_page_tells_who_was_shown_what(
    town: Town, pack: str, language: str, words: list[str]
) -> None:
    async with browsing(town.collector, "chief", language) as browser:
        assert 'href="/disclosures"' in await browser.get("/more")
        page = await browser.get("/disclosures")
        assert [one for one in [pack, *words] if one not in page] == []
        thread = (await listed(town.collector))[0]["thread"]
        exchange = await browser.get(f"/exchanges/{thread}")
        assert "eyJ" not in exchange  # the presentation is for agents, not for people
        assert exchange.count("✓") >= 2


async def test_nothing_shown_is_said_so(town: Town) -> None:
    async with browsing(town.authority, "chief") as browser:
        assert "Nothing was shown yet" in await browser.get("/disclosures")
    async with browsing(town.authority) as stranger, stranger.client.get("/api/v1/disclosures") as answer:
        assert answer.status == 401
