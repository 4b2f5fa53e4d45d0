"""The station's page: scans told at once, buttons that do what the actions do, and a part that changes."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Literal

import pytest
from aiohttp import FormData

from agents.measurements import hand_out
from agents.ports import Desk, Sight, Spot, Sweep
from agents.role import Item
from agents.roles.station import RACKS, load_of
from instruments.measurement import Measurement
from instruments.rack import populate, serve
from instruments.station import Station
from instruments.table import parse, spell
from schemas.events import Event
from schemas.items import mint
from tests.instruments.test_station import QUICK

from .conftest import Town
from .world import Browser, browsing


@dataclass
class Racks:
    """Racks that do nothing but remember, with what they are made to show."""

    sight: Sight = field(default_factory=lambda: Sight(1, (Spot(1), Spot(2))))
    halted: list[str] = field(default_factory=list)

    def wake(self) -> None:
        """Leave it waiting."""

    def halt(self, job: str) -> None:
        self.halted.append(job)

    def look(self) -> Sight:
        return self.sight


@dataclass
class Bay:
    browser: Browser
    racks: Racks
    cells: list[str]

    async def press(self, do: str, **fields: str) -> tuple[str, int]:
        return await self.browser.post("/station", "/station", do=do, **fields)

    async def scan(self, *scans: str) -> None:
        for scan in scans:
            assert await self.press("scan", scan=scan) == ("/station", 303), scan


@pytest.fixture
async def bay(town: Town) -> AsyncIterator[Bay]:
    agent = town.collector.agent
    racks = agent.works = Racks()
    pack = mint("pack")
    cells = [mint("cell", pack, n) for n in range(1, 5)]

    def work(desk: Desk) -> None:
        desk.keep_note(RACKS, {"racks": 2})
        for code in cells:
            desk.keep_item(Item(code, "cell", town.collector.did, part_of=pack))
            details = {"part_of": pack, "position": "1"}
            desk.keep_event(
                Event(item=code, kind="cell", what="extracted", when=desk.now, who="W-03", details=details)
            )

    await town.collector.store.write(work)
    async with browsing(town.collector, "chief") as browser:
        yield Bay(browser, racks, cells)


async def test_two_scans_a_cell_and_a_start_are_all_there_is_to_do(bay: Bay) -> None:
    await bay.scan(bay.cells[0])
    assert f"Scan the channel of {bay.cells[0]}" in await bay.browser.get("/station")
    await bay.scan("1:101", "2:111", bay.cells[1].lower())
    page = await bay.browser.get("/station")
    assert "Start: 2 cells" in page
    assert await bay.press("start", temperature_c="25", soc_pct="50") == ("/station", 303)
    page = await bay.browser.get("/station")
    assert 'value="stop"' in page
    assert 'value="start"' not in page
    assert 'id="scan"' not in page, "with every rack at work there is nothing to scan"
    assert await bay.press("stop") == ("/station", 303)
    assert len(bay.racks.halted) == 1
    assert "Start: 2 cells" in await bay.browser.get("/station")


async def test_a_wrong_scan_is_told_where_the_next_is_awaited(bay: Bay) -> None:
    await bay.scan(bay.cells[0], "1:101")
    wrong = {
        bay.cells[0]: "is on channel 1:101 already",
        "1:101": "is taken by",
        "3:101": "There is no channel 3:101 here",
        bay.cells[1][:-1] + ("A" if bay.cells[1][-1] != "A" else "B"): "check character does not fit",
        mint("cell", mint("pack"), 9): "We have no item",
        "<b>": "is not an item code",
        "": "Scan",
    }
    for scan, words in wrong.items():
        page, status = await bay.press("scan", scan=scan)
        assert status == 422 or (status, words) == (404, "We have no item"), scan
        assert words in page, scan
        assert 'role="alert"' in page
        assert 'id="scan"' in page
        assert "<b>" not in page.split('role="alert"')[1].split("</p>")[0].replace("<b>✕", "")
    load = await bay.browser.house.store.read(load_of)
    assert list(load.cells.values()) == [bay.cells[0]]


async def test_the_part_that_changes_is_sent_only_when_it_has_changed(bay: Bay) -> None:
    await bay.scan(bay.cells[0], "1:101")
    client = bay.browser.client
    async with client.get("/station/live") as first:
        tag = first.headers["ETag"]
        assert first.status == 200
    async with client.get("/station/live", headers={"If-None-Match": tag}) as same:
        assert (same.status, await same.read()) == (304, b"")
    sweep = Sweep(1, 101, bay.cells[0], (1000.0, 500.0), (0.023 + 0.001j, 0.024 - 0.001j))
    elsewhere = Sweep(2, 101, "gone", (1000.0,), (0.02 + 0j,))
    bay.racks.sight = Sight(2, (Spot(1, "j", 101, bay.cells[0], "sweep", 2, 19), Spot(2)), (sweep, elsewhere))
    async with client.get("/station/live", headers={"If-None-Match": tag}) as changed:
        text = await changed.text()
        assert changed.status == 200
    assert text.count("<svg") == 2
    assert "C001</text>" in text, "the spectrum that is coming bears its cell's name"
    assert "gone" not in text


async def test_the_api_tells_the_same(bay: Bay) -> None:
    await bay.scan(bay.cells[0], "1:101", bay.cells[1])
    async with bay.browser.client.get("/api/v1/station") as response:
        found = await response.json()
    assert (found["cell"], found["total"], found["done"], found["running"]) == (bay.cells[1], 1, 0, False)
    states = {one["place"]: one["state"] for rack in found["racks"] for one in rack["channels"]}
    assert len(states) == 66
    assert states["1:101"] == "waiting"


async def test_the_page_holds_to_the_policy_of_the_site(bay: Bay) -> None:
    await bay.scan(bay.cells[0], "1:101")
    async with bay.browser.client.get("/station") as response:
        page, policy = await response.text(), response.headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*\bsrc=)|\sstyle=|\son\w+=", page)


async def test_a_company_without_a_station_has_none(town: Town) -> None:
    async with browsing(town.dismantler, "chief") as browser:
        assert "/station" not in await browser.get("/")
        await browser.get("/station", 404)
        await browser.get("/station/live", 404)


async def a_measurement(cell: str) -> Measurement:
    async with serve(populate([cell]), time_scale=0) as rack:
        station = Station(rack.meter_resource, rack.switch_resource, settings=QUICK)
        (one,) = await asyncio.to_thread(station.diagnose, {101: cell}, "W-07", 25.0, soc_pct=50.0)
    assert isinstance(one, Measurement)
    return one


@pytest.mark.parametrize("kind", ["csv", "json"])
async def test_measurements_go_out_and_come_in_once(bay: Bay, kind: Literal["csv", "json"]) -> None:
    one = (await a_measurement(bay.cells[0])).without_transcript()
    client, token = bay.browser.client, {"X-CSRF-Token": await bay.browser.csrf("/station")}
    for count in ("taken", "known"):
        async with client.post("/api/v1/measurements", data=spell([one], kind), headers=token) as response:
            found = await response.json()
            assert (response.status, found[count], found["refused"]) == (200, [bay.cells[0]], {})
    async with client.get("/api/v1/measurements", params={"format": kind}) as response:
        assert parse(await response.read()) == (one,)
        assert response.headers["Content-Disposition"].endswith(f'measurements.{kind}"')
    async with client.get(
        "/api/v1/measurements", params={"item": bay.cells[1], "format": "json"}
    ) as response:
        assert (await response.json())["measurements"] == []


async def test_a_bad_file_gets_clear_words_and_changes_nothing(bay: Bay) -> None:
    one = await a_measurement(bay.cells[0])
    table, document = spell([one], "csv"), json.loads(spell([one], "json"))
    figure = f",{one.real_ohm[0]},"
    changed = document | {"measurements": [document["measurements"][0] | {"ocv_v": 3.9}]}
    bad: dict[str, tuple[bytes, str]] = {
        "nothing": (b"", "lacks the columns"),
        "no text": (b"\xff\xfe\x00", "cannot be read"),
        "no JSON": (b"{", "cannot be read"),
        "another JSON": (b'{"format": "x"}', "no file in the format"),
        "no rows": (b'{"format": "meguri.measurements/1", "measurements": []}', "holds no measurement"),
        "no measurement": (b'{"format": "meguri.measurements/1", "measurements": [1]}', "no measurement in"),
        "another CSV": (b"a,b\n1,2\n", "lacks the columns"),
        "a changed figure": (table.replace(figure, ",0.5,", 1).encode(), "was changed"),
        "a figure that is none": (table.replace(figure, ",nan,", 1).encode(), "finite figures only"),
        "a column cut off": ("\n".join(row[:40] for row in table.splitlines()).encode(), "lacks the columns"),
        "a changed JSON": (json.dumps(changed).encode(), "was changed"),
        "a deep JSON": (b'{"a":' * 100_000, "cannot be read"),
    }
    client, token = bay.browser.client, {"X-CSRF-Token": await bay.browser.csrf("/station")}
    for name, (content, words) in bad.items():
        async with client.post("/api/v1/measurements", data=content, headers=token) as response:
            problem = await response.json()
            assert (response.status, words in problem["detail"]) == (422, True), (name, problem)
    strange = await a_measurement(mint("cell", mint("pack"), 1))
    async with client.post("/api/v1/measurements", data=spell([strange], "json"), headers=token) as response:
        found = await response.json()
        assert "we have no item" in found["refused"][strange.cell]
    assert await bay.browser.house.store.read(lambda desk: hand_out(desk, "csv").count("\n")) == 1


async def test_a_file_is_taken_in_by_the_page(bay: Bay) -> None:
    one = await a_measurement(bay.cells[0])
    form = FormData({"csrf": await bay.browser.csrf("/station")})
    form.add_field("file", spell([one], "csv").encode(), filename="a.csv")
    async with bay.browser.client.post("/station/measurements", data=form) as response:
        assert "1 measurements taken in, 0 known before, 0 refused" in await response.text()
