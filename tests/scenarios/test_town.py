"""One pack's whole journey through five companies' agents, chapter by chapter."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agents.role import Job
from agents.trace import Trace
from schemas.claims import Member
from tests.scenarios.town import (
    AUTHORITY,
    COLLECTOR,
    DISMANTLER,
    RECYCLER,
    REUSE_MANUFACTURER,
    Street,
    Town,
    collect,
    diagnose,
    take_apart,
    town,
)

MEMBERS = (DISMANTLER, COLLECTOR, REUSE_MANUFACTURER, RECYCLER)
BAD = 2
FADE = [(0, 92.4), (100, 91.8), (200, 91.3), (300, 90.7), (400, 90.2), (500, 89.5), (600, 89.1), (700, 88.4)]


@dataclass
class Journey:
    """What is known after each chapter."""

    members: tuple[Member, ...] = ()
    threads: dict[str, str] = field(default_factory=dict)
    states: dict[str, set[str]] = field(default_factory=dict)
    lives: dict[str, str] = field(default_factory=dict)
    pack: str = ""
    cells: list[str] = field(default_factory=list)
    job: Job | None = None
    rejected: str = ""
    product: str = ""
    trace: Trace | None = None
    traces: dict[str, Trace] = field(default_factory=dict)
    register: dict[str, int] = field(default_factory=dict)
    certificate: list[Any] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    books: dict[str, Any] = field(default_factory=dict)
    unsettled: list[str] = field(default_factory=list)


async def travel(t: Town) -> Journey:  # noqa: PLR0915, it is a long way
    """Play the journey."""
    j = Journey(members=await t.read(RECYCLER, lambda desk: desk.members()))

    async def note(chapter: str, thread: str, *companies: str) -> None:
        j.threads[chapter] = thread
        j.states[chapter] = await t.states(thread, *companies)

    thread, j.pack = await collect(t)
    await note("collection", thread, DISMANTLER, COLLECTOR)
    j.lives["pack at the dismantler"] = (await t.life(DISMANTLER, j.pack)).state
    j.cells = await take_apart(t, j.pack, 6)
    await t.do(COLLECTOR, "weigh-materials", pack=j.pack, metal_kg="30.5", harness_kg="2")
    j.job = await diagnose(t, j.cells, BAD)
    j.lives["bad cell"] = (await t.life(COLLECTOR, j.cells[BAD])).state
    await t.do(COLLECTOR, "grade-items", items=j.cells)
    good = [cell for cell in j.cells if cell != j.cells[BAD]]
    j.rejected = good[-1]

    lot: dict[str, object] = {"items": good, "purpose": "reuse", "price_jpy": 5_000}
    thread = (await t.do(COLLECTOR, "offer-lot", REUSE_MANUFACTURER, **lot)).thread
    await t.do(REUSE_MANUFACTURER, "order-lot", thread)
    await t.do(COLLECTOR, "ship-lot", thread, carrier="Yamato")
    await note("shipped", thread, COLLECTOR, REUSE_MANUFACTURER)
    part = [{"item": j.rejected, "reason": "dented"}]
    await t.do(REUSE_MANUFACTURER, "accept-lot-in-part", thread, rejected=part)
    await t.do(REUSE_MANUFACTURER, "return-items", thread, carrier="Yamato")
    j.lives["rejected cell on its way"] = (await t.life(COLLECTOR, j.rejected)).state
    await t.do(COLLECTOR, "confirm-return", thread)
    await note("reuse", thread, COLLECTOR, REUSE_MANUFACTURER)

    await t.do(COLLECTOR, "store-items", items=[j.rejected], place="C-9")
    await t.do(COLLECTOR, "grade-items", items=[j.rejected])
    rest: dict[str, object] = {"items": [j.cells[BAD], j.rejected], "purpose": "recycling", "price_jpy": -300}
    thread = (await t.do(COLLECTOR, "offer-lot", RECYCLER, **rest)).thread
    await t.do(RECYCLER, "order-lot", thread)
    await t.do(COLLECTOR, "ship-lot", thread, carrier="Yamato")
    await t.do(RECYCLER, "accept-lot", thread)
    await note("recycling", thread, COLLECTOR, RECYCLER)
    await t.do(RECYCLER, "recycle-items", items=rest["items"], result="black mass", black_mass_kg="0.11")

    await t.do(REUSE_MANUFACTURER, "build-product", items=good[:-1], model="Lantern 1")
    (j.product,) = await t.codes(REUSE_MANUFACTURER, "product")
    history = [{"cycle": c, "soh_pct": s, "sd_pct": 0.3} for c, s in FADE]
    forecast: dict[str, object] = {
        "item": good[0],
        "history": history,
        "cycles": [1000, 1500, 2000],
        "threshold_pct": 80,
    }
    predicted = await t.do(REUSE_MANUFACTURER, "predict-life", "", **forecast)
    asked = await t.do(REUSE_MANUFACTURER, "request-audit", AUTHORITY, prediction=predicted.issued[0])
    await note("audit", asked.thread, REUSE_MANUFACTURER, AUTHORITY)

    question: dict[str, object] = {"item": good[0], "purpose": "warranty"}
    asked = await t.do(RECYCLER, "ask-disclosure", COLLECTOR, **question)
    await t.do(COLLECTOR, "answer-disclosure", asked.thread, withhold=["HandlingRecord"], reason="ours")
    await note("disclosure", asked.thread, RECYCLER, COLLECTOR)

    j.lives |= {
        "pack": (await t.life(COLLECTOR, j.pack)).state,
        "used cell at the collector": (await t.life(COLLECTOR, good[0])).state,
        "used cell": (await t.life(REUSE_MANUFACTURER, good[0])).state,
        "rejected cell at the buyer": (await t.life(REUSE_MANUFACTURER, j.rejected)).state,
        "rejected cell": (await t.life(COLLECTOR, j.rejected)).state,
        "rejected cell at the recycler": (await t.life(RECYCLER, j.rejected)).state,
        "product": (await t.life(REUSE_MANUFACTURER, j.product)).state,
    }
    for company, code in ((REUSE_MANUFACTURER, good[0]), (COLLECTOR, j.cells[BAD]), (RECYCLER, j.rejected)):
        j.traces[company] = await t.trace(company, code)
    j.refusals = t.refusals
    for name in t.agents:
        j.books[name] = await t.books(name)
        j.unsettled += [one.kind for one in await t.letters(name) if one.status != "taken"]
    return j


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Journey:
    async def play() -> Journey:
        async with town(tmp_path_factory.mktemp("town"), *MEMBERS) as t:
            return await travel(t)

    return asyncio.run(play())


def test_every_company_is_a_member_in_its_role(played: Journey) -> None:
    assert {m.name: (m.roles, m.status) for m in played.members} == {
        name: ((name,), "accredited") for name in (AUTHORITY, *MEMBERS)
    }


def test_both_sides_hold_every_exchange_in_one_state(played: Journey) -> None:
    assert played.states == {
        "collection": {"received"},
        "shipped": {"shipped"},
        "reuse": {"closed"},
        "recycling": {"accepted"},
        "audit": {"certified"},
        "disclosure": {"disclosed-in-part"},
    }


def test_every_item_ends_where_the_journey_left_it(played: Journey) -> None:
    assert played.lives == {
        "pack at the dismantler": "collected",
        "bad cell": "unmeasured",
        "rejected cell on its way": "rejected",
        "pack": "disassembled",
        "used cell at the collector": "delivered",
        "used cell": "built-in",
        "rejected cell at the buyer": "sent-back",
        "rejected cell": "delivered",
        "rejected cell at the recycler": "recycled",
        "product": "registered",
    }


def test_the_cell_with_the_bad_contact_is_skipped_and_it_shows(played: Journey) -> None:
    assert played.job is not None
    assert played.job.state == "done"
    outcomes = played.job.progress["outcomes"]
    assert outcomes.pop(played.cells[BAD]).startswith("skipped: bad contact")
    assert set(outcomes.values()) == {"measured"}
    skipped = [e for e in played.traces[COLLECTOR].events if e.what == "skipped"]
    assert [(e.item, e.details["reason"]) for e in skipped] == [(played.cells[BAD], "open")]


def test_the_trace_leads_from_the_vehicle_to_the_product(played: Journey) -> None:
    chain = played.traces[REUSE_MANUFACTURER].chain
    assert [link.kind for link in chain] == ["vehicle", "pack", "cell", "lot", "product"]
    assert [link.registrar for link in chain] == [
        DISMANTLER,
        DISMANTLER,
        COLLECTOR,
        COLLECTOR,
        REUSE_MANUFACTURER,
    ]
    assert (chain[1].code, chain[2].code, chain[4].code) == (played.pack, played.cells[0], played.product)
    assert chain[2].position == "1"


def test_every_credential_in_every_trace_verifies(played: Journey) -> None:
    for trace in played.traces.values():
        assert trace.credentials
        assert [(c.type, c.why_not) for c in trace.credentials if not c.verifies] == []


def test_the_buyer_holds_all_that_was_said_of_its_cell_and_the_audit_of_its_forecast(
    played: Journey,
) -> None:
    stated = {(c.type, c.issuer_name) for c in played.traces[REUSE_MANUFACTURER].credentials}
    assert stated >= {
        ("ItemIdentity", DISMANTLER),
        ("VehicleHistory", DISMANTLER),
        ("ItemIdentity", COLLECTOR),
        ("DiagnosisResult", COLLECTOR),
        ("HandlingRecord", COLLECTOR),
        ("ItemIdentity", REUSE_MANUFACTURER),
        ("Prediction", REUSE_MANUFACTURER),
        ("AuditCertificate", AUTHORITY),
    }


def test_the_buyer_sees_who_did_what_in_order_and_no_name_of_another_companys_people(
    played: Journey,
) -> None:
    cell = played.cells[0]
    events = [e for e in played.traces[REUSE_MANUFACTURER].events if e.item == cell]
    assert [(e.what, e.by) for e in events] == [
        ("extracted", COLLECTOR),
        ("diagnosed", COLLECTOR),
        ("graded", COLLECTOR),
        ("lotted", COLLECTOR),
        ("shipped", COLLECTOR),
        ("accepted", REUSE_MANUFACTURER),
        ("built-in", REUSE_MANUFACTURER),
    ]
    assert {e.who for e in events if e.by == COLLECTOR} == {""}


def test_nothing_was_refused_and_every_message_is_settled(played: Journey) -> None:
    assert played.refusals == []
    assert played.unsettled == []


@pytest.mark.parametrize("seed", [1, 2])
def test_a_bad_street_changes_nothing_in_the_books(played: Journey, tmp_path: Path, seed: int) -> None:
    async def play() -> Journey:
        street = Street(lost=0.25, twice=0.25, late=0.3, random=Random(seed))
        async with town(tmp_path, *MEMBERS, street=street) as t:
            return await travel(t)

    again = asyncio.run(play())
    assert again.books == played.books
    assert (again.states, again.lives) == (played.states, played.lives)
    assert again.unsettled == []
