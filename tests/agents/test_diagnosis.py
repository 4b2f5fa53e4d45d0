"""A company's own models: adopted with their signature, used on every measurement, run again at any time."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from agents.words import recall
from analysis.soh.model import Model, train
from analysis.soh.table import read
from credentials.keys import LocalSigner
from governance.framework import FRAMEWORK
from governance.models import sealed
from instruments.spectra import SIMULATED, example_table
from schemas.claims import DiagnosisResult
from schemas.errors import Fault, Forbidden, Invalid, Unknown
from tests.scenarios.town import (
    COLLECTOR,
    DISMANTLER,
    REUSE_MANUFACTURER,
    Town,
    collect,
    diagnose,
    take_apart,
    town,
)

CELLS = "warwick-5ah"


@pytest.fixture(scope="module")
def model() -> Model:
    """Learn from what the simulated rack's cells show."""
    return train(read(example_table(), CELLS), CELLS, source=SIMULATED)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A collector with three cells, measured before it had any model."""

    async def settle() -> Town:
        folder = tmp_path_factory.mktemp("settled")
        async with town(folder, DISMANTLER, COLLECTOR, REUSE_MANUFACTURER) as made:
            _, pack = await collect(made)
            await diagnose(made, await take_apart(made, pack, 3))
            return made

    return asyncio.run(settle())


async def results(t: Town, code: str, who: str = COLLECTOR) -> list[DiagnosisResult]:
    held = await t.read(who, lambda desk: desk.credentials(code, "DiagnosisResult"))
    return [DiagnosisResult.model_validate(one.claim) for one in held]


async def adopt(t: Town, content: Mapping[str, Any], **form: object) -> None:
    await t.do(COLLECTOR, "adopt-model", "", file=content, **form)


async def refused(t: Town, kind: type[Fault], action: str, **form: object) -> str:
    before = t.tables(COLLECTOR)
    with pytest.raises(kind) as fault:
        await t.say(COLLECTOR, action, "", **form)
    assert t.tables(COLLECTOR) == before
    return str(fault.value)


async def test_without_a_model_the_polarisation_resistance_answers(t: Town) -> None:
    cell, *_ = await t.codes(COLLECTOR, "cell")
    (found,) = await results(t, cell)
    assert (found.method, found.model_digest) != ("", "")
    assert found.method == "polarisation-resistance"
    assert found.ohmic_resistance_ohm is not None
    assert found.ohmic_resistance_ohm > 0
    assert FRAMEWORK.prescribes(found.method, found.method_version, found.code_digest)


async def test_a_result_names_model_signer_code_inputs_gates_and_what_each_algorithm_says(
    t: Town, model: Model
) -> None:
    await adopt(t, {"model": model.document}, ours=True)
    _, pack = await collect(t)
    (cell,) = await take_apart(t, pack, 1)
    await diagnose(t, [cell])
    (found,) = await results(t, cell)
    assert (found.method, found.model_digest) == ("reconciled-spectrum", model.digest)
    assert found.model_signer == t.keys[COLLECTOR].did
    assert found.model_source == SIMULATED
    assert FRAMEWORK.prescribes(found.method, found.method_version, found.code_digest)
    assert found.soh_pct is not None
    assert found.lower_pct is not None
    assert found.upper_pct is not None
    assert found.lower_pct < found.soh_pct < found.upper_pct
    assert all(gate.is_open for gate in found.gates)
    assert {"likeness", "disagreement", "kramers-kronig"} <= {gate.gate for gate in found.gates}
    assert {each.algorithm for each in found.algorithms} >= {"gpr-shifted-spectrum", "one-zarc"}
    assert len(found.inputs_digest) == len(found.code_digest) == len("sha256:") + 64


async def test_every_stored_measurement_is_assessed_again_once_there_is_something_new(
    t: Town, model: Model
) -> None:
    cells = await t.codes(COLLECTOR, "cell")
    words = await refused(t, Invalid, "diagnose-again", items=cells)
    assert words.startswith("nothing new")
    await adopt(t, {"model": model.document}, ours=True)
    await t.do(COLLECTOR, "diagnose-again", items=cells)
    for cell in cells:
        methods = [found.method for found in await results(t, cell)]
        assert methods == ["polarisation-resistance", "reconciled-spectrum"]
        assert (await t.whats(COLLECTOR, cell))[-1] == "diagnosed"
        assert len({found.measurement_digest for found in await results(t, cell)}) == 1
    await refused(t, Invalid, "diagnose-again", items=cells)


async def test_outside_its_domain_a_model_gives_the_reason_and_never_a_number(t: Town, model: Model) -> None:
    await adopt(t, {"model": model.document}, ours=True)
    _, pack = await collect(t)
    (cell,) = await take_apart(t, pack, 1)
    await diagnose(t, [cell], soc_pct="90")
    (found,) = await results(t, cell)
    assert (found.soh_pct, found.lower_pct, found.upper_pct) == (None, None, None)
    assert found.gate_closed == "state-of-charge"
    assert found.not_assessable.startswith("90 % is not within 2 of a charge")
    assert recall(found.not_assessable, "ja").startswith("充電率 90 % が")


async def test_a_model_set_aside_is_used_no_more_and_may_be_used_again(t: Town, model: Model) -> None:
    await adopt(t, {"model": model.document}, ours=True)
    await t.do(COLLECTOR, "set-model-aside", model=model.digest)
    cells = await t.codes(COLLECTOR, "cell")
    await refused(t, Invalid, "diagnose-again", items=cells)
    await refused(t, Unknown, "set-model-aside", model=model.digest)
    await adopt(t, {"model": model.document}, ours=True)
    await t.do(COLLECTOR, "diagnose-again", items=cells)
    assert (await results(t, cells[0]))[-1].method == "reconciled-spectrum"
    assert len(await t.read(COLLECTOR, lambda desk: desk.models())) == 1


async def test_a_members_signature_counts_and_a_strangers_only_when_somebody_vouches(
    t: Town, model: Model
) -> None:
    now = datetime.now(UTC)
    await adopt(t, sealed(model, t.keys[REUSE_MANUFACTURER], now))
    (adopted,) = await t.read(COLLECTOR, lambda desk: desk.models(CELLS, in_use=True))
    assert adopted.signer == t.keys[REUSE_MANUFACTURER].did
    stranger = LocalSigner.generate()
    content = sealed(model, stranger, now)
    words = await refused(t, Invalid, "adopt-model", file=content)
    assert "may not issue it" in words
    await refused(t, Invalid, "adopt-model", file=content, signer=t.keys[COLLECTOR].did)
    await adopt(t, content, signer=stranger.did)
    (adopted,) = await t.read(COLLECTOR, lambda desk: desk.models(CELLS, in_use=True))
    assert adopted.signer == stranger.did


def spoilt(model: Model, key: LocalSigner) -> dict[str, dict[str, Any]]:
    """Return files that are almost models."""
    good = sealed(model, key, datetime.now(UTC))

    def changed(**parts: object) -> dict[str, Any]:
        return {**good, "model": {**good["model"], **parts}}

    condition = good["model"]["conditions"][0]
    fit = {**condition["fits"][0], "version": "9"}
    return {
        "nothing": {},
        "no model": {"model": 3},
        "another format": changed(format="x"),
        "another cell model": changed(cell_model="another"),
        "other figures": changed(likeness_limit=99.0),
        "no conditions": changed(conditions=[]),
        "few cells": changed(conditions=[{**condition, "cells": 3}]),
        "no domain": changed(conditions=[{**condition, "soh_pct": [-5, 300]}]),
        "no training": changed(training={**good["model"]["training"], "digest": "me"}),
        "an algorithm that is not here": changed(
            conditions=[{**condition, "fits": [fit, *condition["fits"][1:]]}]
        ),
        "no seal": {"model": good["model"]},
        "a seal that is none": {**good, "credential": 5},
        "a broken seal": {**good, "credential": {**good["credential"], "validFrom": "2020-01-01T00:00:00Z"}},
    }


async def test_a_file_that_was_changed_or_says_too_little_is_not_adopted(t: Town, model: Model) -> None:
    for name, content in spoilt(model, t.keys[COLLECTOR]).items():
        words = await refused(t, Invalid, "adopt-model", file=json.loads(json.dumps(content)))
        assert words, name
        assert recall(words, "ja") != words or "Error" in words, words


async def test_only_a_manager_adopts_a_model(t: Town, model: Model) -> None:
    with pytest.raises(Forbidden):
        await t.agents[COLLECTOR].perform(
            "adopt-model", {"file": {"model": model.document}, "ours": True}, rank="operator"
        )


async def test_who_has_no_measurement_says_so(t: Town) -> None:
    _, pack = await collect(t)
    (cell,) = await take_apart(t, pack, 1)
    assert await refused(t, Unknown, "diagnose-again", items=[cell]) == f"we have no measurement of {cell}"


async def test_a_reuse_lot_still_travels_with_the_results_of_both_methods(t: Town, model: Model) -> None:
    cells = await t.codes(COLLECTOR, "cell")
    await adopt(t, {"model": model.document}, ours=True)
    await t.do(COLLECTOR, "diagnose-again", items=cells)
    await t.do(COLLECTOR, "grade-items", items=cells)
    form: dict[str, object] = {"items": cells, "purpose": "reuse", "price_jpy": 10}
    thread = (await t.do(COLLECTOR, "offer-lot", REUSE_MANUFACTURER, **form)).thread
    await t.do(REUSE_MANUFACTURER, "order-lot", thread)
    await t.do(COLLECTOR, "ship-lot", thread, carrier="Yamato")
    assert t.refusals == []
    assert len(await results(t, cells[0], REUSE_MANUFACTURER)) == 2
