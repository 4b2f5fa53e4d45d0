"""Two companies and one measurement: what each may ask of the other, and what neither takes."""

import asyncio
from typing import Any

import pytest

from analysis.soh.model import Model, train
from analysis.soh.table import read
from governance.diagnosis import Trained, results
from instruments.measurement import Measurement
from instruments.spectra import SIMULATED, example_table
from protocols.diagnosis import DIAGNOSIS, MOST_ASKED, Refuse
from schemas.claims import DiagnosisResult, MeasurementRecord
from schemas.errors import Fault, Forbidden, Invalid, Misstep, Unknown
from schemas.items import item_uri, mint
from tests.scenarios.town import (
    AUTHORITY,
    COLLECTOR,
    DISMANTLER,
    RECYCLER,
    REUSE_MANUFACTURER,
    Town,
    collect,
    diagnose,
    parcel,
    sealed,
    take_apart,
    town,
)

CELLS = "warwick-5ah"


@pytest.fixture(scope="module")
def model() -> Model:
    return train(read(example_table(), CELLS), CELLS, source=SIMULATED)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Town:
    """A collector with two measured cells and no model; a reuse manufacturer with a model of its own."""

    async def settle() -> Town:
        folder = tmp_path_factory.mktemp("settled")
        async with town(folder, DISMANTLER, COLLECTOR, REUSE_MANUFACTURER, RECYCLER) as made:
            _, pack = await collect(made)
            await diagnose(made, await take_apart(made, pack, 2))
            await made.do(REUSE_MANUFACTURER, "adopt-model", "", file={"model": model.document}, ours=True)
            return made

    return asyncio.run(settle())


async def ask(t: Town, *cells: str, to: str = REUSE_MANUFACTURER) -> str:
    return (await t.do(COLLECTOR, "request-diagnosis", to, items=cells)).thread


async def refused(t: Town, kind: type[Fault], action: str, to: str = "", **form: object) -> str:
    with pytest.raises(kind) as fault:
        await t.say(COLLECTOR, action, to, **form)
    return str(fault.value)


async def stated(t: Town, who: str, code: str, issuer: str) -> list[DiagnosisResult]:
    held = await t.read(who, lambda desk: desk.credentials(code, "DiagnosisResult"))
    did = t.keys[issuer].did
    return [DiagnosisResult.model_validate(one.claim) for one in held if one.issuer == did]


async def test_another_company_assesses_the_same_measurement_by_its_own_model(t: Town, model: Model) -> None:
    cells = await t.codes(COLLECTOR, "cell")
    thread = await ask(t, *cells)
    assert await t.states(thread, COLLECTOR, REUSE_MANUFACTURER) == {"requested"}
    await t.do(REUSE_MANUFACTURER, "answer-diagnosis", thread)
    assert await t.states(thread, COLLECTOR, REUSE_MANUFACTURER) == {"answered"}
    assert t.refusals == []
    for cell in cells:
        (found,) = await stated(t, COLLECTOR, cell, REUSE_MANUFACTURER)
        assert found.method == "reconciled-spectrum"
        assert (found.model_digest, found.model_signer) == (model.digest, t.keys[REUSE_MANUFACTURER].did)
        assert found.measured_by == t.keys[COLLECTOR].did
        (kept,) = await t.read(COLLECTOR, lambda desk, cell=cell: desk.measurements(cell))  # type: ignore[misc]
        own = results(
            Measurement.from_json(kept), CELLS, [Trained(model, found.model_signer)], found.measured_by
        )
        assert [(r.soh_pct, r.inputs_digest, r.gates) for r in own] == [
            (found.soh_pct, found.inputs_digest, found.gates)
        ]
        assert len(await stated(t, COLLECTOR, cell, COLLECTOR)) == 1


async def test_nobody_else_learns_of_it_and_no_name_of_a_worker_leaves_the_house(t: Town) -> None:
    before = {who: t.tables(who) for who in (AUTHORITY, DISMANTLER, RECYCLER)}
    cells = await t.codes(COLLECTOR, "cell")
    thread = await ask(t, *cells)
    await t.do(REUSE_MANUFACTURER, "answer-diagnosis", thread)
    assert {who: t.tables(who) for who in before} == before
    held = await t.read(REUSE_MANUFACTURER, lambda desk: desk.credentials(cells[0], "MeasurementRecord"))
    record = MeasurementRecord.model_validate(held[0].claim)
    assert (record.measurement["operator"], "transcript" in record.measurement) == ("", False)
    kept = await t.read(COLLECTOR, lambda desk: desk.measurements(cells[0]))
    assert kept[0]["operator"] == "W-07"


async def test_the_assessor_may_refuse_with_a_reason_and_the_client_may_withdraw(t: Town) -> None:
    first, second = await t.codes(COLLECTOR, "cell")
    thread = await ask(t, first)
    await t.do(REUSE_MANUFACTURER, "refuse-diagnosis", thread, reason="not for this buyer")
    assert (await t.exchange(COLLECTOR, thread)).last(Refuse).reason == "not for this buyer"
    thread = await ask(t, second)
    await t.do(COLLECTOR, "withdraw-diagnosis", thread, reason="measured anew")
    assert await t.states(thread, COLLECTOR, REUSE_MANUFACTURER) == {"withdrawn"}
    with pytest.raises(Misstep):
        await t.say(REUSE_MANUFACTURER, "answer-diagnosis", thread)


async def test_cells_of_another_model_are_answered_with_the_reason_and_no_number(t: Town) -> None:
    code = mint("cell", mint("pack"), 1)
    documents, asked = await records(t, cell_model="another", item=code)
    thread = await give(t, documents, asked)
    await t.do(REUSE_MANUFACTURER, "answer-diagnosis", thread)
    (found,) = await stated(t, REUSE_MANUFACTURER, code, REUSE_MANUFACTURER)
    assert (found.soh_pct, found.gate_closed) == (None, "cell-model")
    assert "another" in found.not_assessable


async def test_the_same_is_not_asked_twice_while_it_waits(t: Town) -> None:
    first, second = await t.codes(COLLECTOR, "cell")
    thread = await ask(t, first, second)
    words = await refused(t, Misstep, "request-diagnosis", REUSE_MANUFACTURER, items=[second])
    assert words == f"this company has been asked about {second} already"
    await t.do(REUSE_MANUFACTURER, "answer-diagnosis", thread)
    await ask(t, first)


async def test_what_was_not_measured_and_too_much_at_once_is_not_asked(t: Town) -> None:
    _, pack = await collect(t)
    (cell,) = await take_apart(t, pack, 1)
    words = await refused(t, Unknown, "request-diagnosis", REUSE_MANUFACTURER, items=[cell])
    assert words == f"we have no measurement of {cell}"
    many = [mint("cell", pack, n) for n in range(1, MOST_ASKED + 2)]
    await refused(t, Invalid, "request-diagnosis", REUSE_MANUFACTURER, items=many)


async def test_only_who_may_assess_is_asked(t: Town) -> None:
    cell, _ = await t.codes(COLLECTOR, "cell")
    for to in (RECYCLER, DISMANTLER):
        words = await refused(t, Forbidden, "request-diagnosis", to, items=[cell])
        assert words == f"{to} is not admitted as assessor in diagnosis/1.0"


# What a hostile client might send


async def records(
    t: Town, key: str = COLLECTOR, **changes: Any
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return a sealed record of the first cell's measurement, with changes, and the entry that names it."""
    cell, *_ = await t.codes(COLLECTOR, "cell")
    (kept,) = await t.read(COLLECTOR, lambda desk: desk.measurements(cell))
    item = changes.get("item", cell)
    measured = Measurement.from_json({**kept, "operator": "", "cell": item})
    fields: dict[str, Any] = {
        "item": item,
        "cell_model": CELLS,
        "measured_at": measured.finished,
        "measurement_digest": measured.digest,
        "transcript_digest": measured.transcript_sha256,
        "measurement": measured.to_json(),
    }
    claim = MeasurementRecord.model_validate(fields | changes)
    asked = {"item": item, "measurement_digest": claim.measurement_digest}
    return [sealed(t.keys[key], claim, item_uri(t.keys[key].did, item))], asked


async def give(t: Town, documents: list[dict[str, Any]], *asked: dict[str, str], taken: bool = True) -> str:
    """Hand the reuse manufacturer a request from the collector; return its thread."""
    peers = await t.read(REUSE_MANUFACTURER, lambda desk: desk.peers())
    (peer,) = [peer.id for peer in peers if peer.name == COLLECTOR]
    request = parcel(DIAGNOSIS, "request-diagnosis", {"measurements": list(asked)}, credentials=documents)
    (verdict,) = await t.give(REUSE_MANUFACTURER, peer, request)
    assert verdict.taken is taken, verdict
    return request.thread


async def test_a_tampered_or_borrowed_measurement_is_refused(t: Town) -> None:
    good, asked = await records(t)
    measurement = MeasurementRecord.model_validate(good[0]["credentialSubject"]).measurement
    better = {**measurement, "real_ohm": [r * 0.9 for r in measurement["real_ohm"]]}  # type: ignore[attr-defined]
    for documents, named in (
        await records(t, measurement=better),
        await records(t, measurement={"format": "meguri.measurement/1"}),
        await records(t, transcript_digest="0" * 64),
        await records(t, key=REUSE_MANUFACTURER),
    ):
        await give(t, documents, named, taken=False)
    forged = {**good[0], "credentialSubject": {**good[0]["credentialSubject"], "measurement": better}}
    await give(t, [forged], asked, taken=False)
    await give(t, [], asked, taken=False)
    await give(t, good, {**asked, "measurement_digest": "0" * 64}, taken=False)
    await give(t, good, asked, asked, taken=False)
    await give(t, good, asked)
    await give(t, good, asked, taken=False)
    assert "out-of-step: the same measurements wait for our answer already" in t.refusals


async def test_more_measurements_than_are_taken_are_refused_at_the_door(t: Town) -> None:
    documents, asked = await records(t)
    await give(t, documents, *[asked] * 2000, taken=False)


async def test_an_answer_about_something_else_is_refused(t: Town) -> None:
    first, _ = await t.codes(COLLECTOR, "cell")
    thread = await ask(t, first)
    (own,) = await stated(t, COLLECTOR, first, COLLECTOR)
    key = t.keys[REUSE_MANUFACTURER]
    peers = await t.read(COLLECTOR, lambda desk: desk.peers())
    (peer,) = [peer.id for peer in peers if peer.name == REUSE_MANUFACTURER]
    other = own.model_copy(update={"measured_by": t.keys[COLLECTOR].did, "measurement_digest": "0" * 64})
    for order, claims in enumerate(([], [other], [own]), 1):
        documents = [sealed(key, claim, item_uri(key.did, first)) for claim in claims]
        answer = parcel(DIAGNOSIS, "answer", {}, thread=thread, credentials=documents, order=order, seen=1)
        (verdict,) = await t.give(COLLECTOR, peer, answer)
        assert not verdict.taken
        assert (await t.exchange(COLLECTOR, thread)).state == "requested"
