"""How an item's story looks on a terminal."""

from typing import Any

from agents.cli import drawing
from agents.cli.call import Call
from agents.cli.paper import Paper


def link(code: str, kind: str, relation: str, *, asked_for: bool = False) -> dict[str, Any]:
    facts = {"position": "", "model": "", "chemistry": "", "mass_kg": None, "registrar": "Kita"}
    return {"code": code, "kind": kind, "relation": relation, "asked_for": asked_for} | facts


def drawn(found: dict[str, Any], width: int | None = None, **environ: str) -> list[str]:
    written: list[str] = []
    drawing.trace(Call(environ), Paper(written.append, width=width), found)
    return "".join(written).splitlines()


CHAIN = [
    link("V1", "vehicle", ""),
    link("P1", "pack", "part of"),
    link("C1", "cell", "part of", asked_for=True),
    link("L1", "lot", "went into"),
    link("R1", "product", "went into"),
]


def sealed(*, verifies: bool, why_not: str = "") -> dict[str, Any]:
    who = {"id": "urn:uuid:1", "issuer": "did:key:z", "issuer_name": "Minato", "at": "2026-04-01T00:00:00Z"}
    return {"about": "C1", "type": "DiagnosisResult", "verifies": verifies, "why_not": why_not} | who


def test_the_chain_is_a_tree() -> None:
    lines = drawn({"code": "C1", "chain": CHAIN, "events": [], "credentials": []})
    assert lines[1:6] == [
        "  vehicle V1  Kita",
        "  └─ pack P1  Kita",
        "     └─ cell C1  Kita  ◀",
        "        ├─ went into lot L1  Kita",
        "        └─ went into product R1  Kita",
    ]


def test_a_credential_that_does_not_verify_says_why_and_is_counted() -> None:
    credentials = [sealed(verifies=True), sealed(verifies=False, why_not="The signature is wrong.")]
    lines = drawn({"code": "C1", "chain": CHAIN, "events": [], "credentials": credentials})
    assert any(line.startswith("  ✗ Diagnosis") for line in lines)
    assert "      The signature is wrong." in lines
    assert lines[-1] == "✗ 1 of 2 credentials do not verify"


def test_a_long_note_wraps_under_its_event() -> None:
    who = {"who": "Foreman", "by": "Minato", "when": "2026-04-01T00:00:00Z", "where": ""}
    event = {
        "item": "C1",
        "what": "graded",
        "how": "a rule " * 20,
        "details": {"grade": "A", "lot": ""},
    } | who
    lines = drawn({"code": "C1", "chain": [], "events": [event], "credentials": []}, width=60)
    assert all(len(line) <= 60 for line in lines)
    assert any("Minato (Foreman)" in line for line in lines)
    assert any(line.startswith(" " * 20) and line.endswith("Grade: A") for line in lines)


def test_it_is_told_in_japanese() -> None:
    lines = drawn({"code": "C1", "chain": CHAIN, "events": [], "credentials": []}, LANG="ja_JP.UTF-8")
    assert lines[0] == "C1 の来歴"
    assert "車両 V1" in lines[1]
