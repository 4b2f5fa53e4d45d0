"""The gates before an item is shipped: each says in words whether it stands open, and why."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from quality.lifecycle import Life, may_follow
from schemas.handling import Use


@dataclass(frozen=True, slots=True)
class GateResult:
    """One gate: whether it is open, in words."""

    gate: str
    passed: bool
    words: str


def gates(lineage: Sequence[Life], held: Collection[str], purpose: Use) -> tuple[GateResult, ...]:
    """Put an item to every gate for `purpose`; it may be shipped when all are passed.

    `lineage` is the item's own life first, then those it came out of (cell, module, pack, vehicle);
    `held` are the claim types held and verified about any of them. History before the reuse of cells is
    asked for by IEC 63338:2024. Recycling asks for the identity alone: what is unsafe must leave too.
    """
    item = lineage[0]
    results = [
        _claim(held, "ItemIdentity", "identity", "The item's identity"),
        GateResult(
            "in-hand", "shipped" in may_follow(item.kind, item.state), f"The {item.kind} is {item.state}."
        ),
    ]
    if purpose == "reuse":
        results += [
            _claim(held, "VehicleHistory", "history", "The history of its first life"),
            _claim(held, "DiagnosisResult", "diagnosis-stated", "A signed diagnosis"),
            _diagnosis(item),
            _conforming(item),
            _safety(lineage),
        ]
    return tuple(results)


def _claim(held: Collection[str], claim: str, gate: str, words: str) -> GateResult:
    there = claim in held
    return GateResult(gate, there, f"{words} is {'held and verified' if there else 'missing'}.")


def _diagnosis(item: Life) -> GateResult:
    last = next((e for e in reversed(item.standing) if e.what in {"diagnosed", "skipped"}), None)
    if last is None:
        return GateResult("diagnosis", False, "It was never diagnosed.")
    if last.what == "skipped":
        return GateResult("diagnosis", False, f"It could not be measured: {last.details.get('reason')}.")
    if last.details.get("result") == "not-assessable":
        return GateResult("diagnosis", False, "Its diagnosis gave no state of health.")
    return GateResult("diagnosis", True, "It was diagnosed.")


def _conforming(item: Life) -> GateResult:
    quarantined = item.state == "quarantined"
    return GateResult(
        "conforming", not quarantined, "It is set aside as nonconforming." if quarantined else "It conforms."
    )


def _safety(lineage: Sequence[Life]) -> GateResult:
    open_findings = sorted(set().union(*(_open(life) for life in lineage)) - _released(lineage[0]))
    if not open_findings:
        return GateResult("safety", True, "No safety finding is open.")
    return GateResult("safety", False, f"Safety findings not released: {', '.join(open_findings)}.")


def _open(life: Life) -> set[str]:
    """Return the findings of one life that no later release of that same item covers."""
    found: set[str] = set()
    for event in life.standing:
        named = _named(event.details.get("findings"))
        if event.what == "released":
            found -= named
        else:
            found |= named
    return found


def _released(item: Life) -> set[str]:
    """Return what a person released for the item itself: it also covers what its pack was found with."""
    releases = (e for e in item.standing if e.what == "released")
    return set().union(*(_named(e.details.get("findings")) for e in releases)) - _open(item)


def _named(findings: object) -> set[str]:
    if isinstance(findings, str):
        findings = findings.split(",")
    return {str(f).strip() for f in findings} - {""} if isinstance(findings, list | tuple) else set()
