from typing import Any, get_args

import pytest

from quality.gates import GateResult, gates
from quality.lifecycle import Life
from schemas.handling import SafetyFinding, Use
from tests.quality.test_lifecycle import SKILLED, change, event, life

ALL = ("ItemIdentity", "VehicleHistory", "DiagnosisResult")
CELL = life("cell", "extracted", "diagnosed", "graded")
PACK = life("pack", "requested", "collected", "stored", "disassembled")


def shut(results: tuple[GateResult, ...]) -> list[str]:
    return [r.gate for r in results if not r.passed]


def found(*findings: str) -> Life:
    return Life("X", "pack").after(event("requested", "pack", details={"findings": findings}))


def grown(lived: Life, what: str, **fields: Any) -> Life:
    return lived.after(event(what, lived.kind, **fields), SKILLED)


def test_a_diagnosed_cell_with_its_history_may_go_to_reuse() -> None:
    results = gates((CELL, PACK), ALL, "reuse")
    assert not shut(results)
    assert all(r.words for r in results)


@pytest.mark.parametrize(
    ("missing", "gate"),
    [("ItemIdentity", "identity"), ("VehicleHistory", "history"), ("DiagnosisResult", "diagnosis-stated")],
)
def test_without_a_credential_its_gate_stays_shut(missing: str, gate: str) -> None:
    assert shut(gates((CELL, PACK), [c for c in ALL if c != missing], "reuse")) == [gate]


@pytest.mark.parametrize("finding", get_args(SafetyFinding))
def test_a_safety_finding_of_the_pack_holds_back_its_cells(finding: str) -> None:
    results = gates((CELL, found(finding)), ALL, "reuse")
    assert shut(results) == ["safety"]
    assert finding in results[-1].words


def test_a_finding_released_for_the_cell_holds_it_back_no_more() -> None:
    released = grown(CELL, "released", details={"findings": ("wet",)})
    assert not shut(gates((released, found("wet")), ALL, "reuse"))
    assert shut(gates((released, found("wet", "accident")), ALL, "reuse")) == ["safety"]
    assert shut(gates((CELL, found("wet")), ALL, "reuse")) == ["safety"]


def test_a_finding_after_the_release_counts_again() -> None:
    released = grown(CELL, "released", details={"findings": ("swelling",)})
    again = grown(grown(released, "diagnosed", details={"findings": ("swelling",)}), "graded")
    assert shut(gates((again,), ALL, "reuse")) == ["safety"]


def test_a_finding_that_was_a_mistake_is_corrected_away() -> None:
    pack = found("heat")
    corrected = pack.after(change("corrected", pack.events[0], details={"findings": ()}))
    assert not shut(gates((CELL, corrected), ALL, "reuse"))


def test_a_cell_never_measured_or_not_assessable_is_no_reuse_cell() -> None:
    skipped = life("cell", "extracted", "skipped", "graded")
    assert shut(gates((skipped,), ALL, "reuse")) == ["diagnosis"]
    unclear = grown(
        grown(life("cell", "extracted"), "diagnosed", details={"result": "not-assessable"}), "graded"
    )
    assert shut(gates((unclear,), ALL, "reuse")) == ["diagnosis"]
    assert "diagnosis" in shut(gates((life("cell", "extracted"),), ALL, "reuse"))


def test_a_nonconforming_cell_goes_to_recycling_alone() -> None:
    aside = grown(CELL, "nonconforming")
    assert shut(gates((aside,), ALL, "reuse")) == ["conforming"]
    assert not shut(gates((aside,), ("ItemIdentity",), "recycling"))


@pytest.mark.parametrize("purpose", ["reuse", "recycling"])
def test_what_is_no_longer_here_cannot_be_shipped(purpose: Use) -> None:
    assert shut(gates((grown(CELL, "shipped"),), ALL, purpose)) == ["in-hand"]
