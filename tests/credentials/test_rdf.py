"""Seals over RDF, which we check and never make: this file makes them only to have something to check."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib import resources
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credentials import keys, rdf
from credentials.form import V2
from credentials.integrity import RDF_SUITE, seal, verify
from credentials.keys import LocalSigner
from credentials.report import Report
from credentials.resolution import KeyResolver
from credentials.vc import credential
from schemas.errors import Fault, Invalid
from tests.credentials.json_values import at, changed, places, shuffled, texts, values, without

NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
COLLECTOR = LocalSigner.from_seed(b"c" * 32)
TERMS = "https://example.com/terms/v1"
CONTEXTS = {
    **rdf.published(),
    TERMS: {
        "@context": {
            "@protected": True,
            **{
                name: f"https://example.com/terms#{name}"
                for name in ("Diagnosis", "soh", "impedances", "ohm", "hertz", "good", "note")
            },
            "cell": {"@id": "https://example.com/terms#cell", "@type": "@id"},
        }
    },
}
DIAGNOSIS = credential(
    COLLECTOR.did,
    ["Diagnosis"],
    {
        "id": "urn:uuid:11111111-1111-4111-8111-111111111111",
        "soh": 0.91,
        "good": True,
        "note": '電圧 "3.6"\nstable',
        "cell": "urn:uuid:3",
        "impedances": [{"ohm": 4.2e-05, "hertz": 1000}, {"ohm": 0.00095, "hertz": 0.1}],
    },
    id="urn:uuid:22222222-2222-4222-8222-222222222222",
    valid_from=NOW - DAY,
    valid_until=NOW + DAY,
    contexts=[TERMS],
)


def sealed(document: Any = DIAGNOSIS, **change: Any) -> Any:
    config = {
        "type": "DataIntegrityProof",
        "cryptosuite": RDF_SUITE,
        "created": "2026-04-01T09:30:00Z",
        "verificationMethod": COLLECTOR.verification_method,
        "proofPurpose": "assertionMethod",
    } | change
    parts = (config | {"@context": document["@context"]}, document)
    data = b"".join(sha256(rdf.canonical_quads(part, CONTEXTS)).digest() for part in parts)
    return document | {"proof": config | {"proofValue": keys.multibase(COLLECTOR.sign(data))}}


def report(document: Any) -> Report:
    return verify(document, KeyResolver(), now=NOW, contexts=CONTEXTS)


SEALED = sealed()


def meaning(value: Any) -> Any:
    """What RDF makes of a value: one is a list of one, and a list neither has an order nor counts."""
    if isinstance(value, dict):
        return frozenset((name, meaning(item)) for name, item in value.items())
    if isinstance(value, list | tuple):
        return frozenset(
            each for item in value for each in meaning([item] if isinstance(item, list) else item)
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        return frozenset([("number", f"{value:.15E}")])
    return frozenset([(type(value).__name__, value)])


def refused_or_the_same(other: Any) -> None:
    found = report(other)
    assert found.verified == (not found.refusals)
    if found.verified:
        assert meaning(other) == meaning(SEALED)


# Laws


def test_what_others_seal_over_rdf_verifies_however_it_is_written() -> None:
    assert report(SEALED).reason == ""
    assert report(shuffled(SEALED)).verified
    assert report(SEALED | {"type": SEALED["type"][::-1]}).verified  # a list is a set to RDF


@given(st.data(), values)
@settings(max_examples=150, deadline=None)
def test_nothing_can_be_replaced(data: st.DataObject, new: Any) -> None:
    refused_or_the_same(changed(SEALED, data.draw(st.sampled_from(places(SEALED))), new))


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_no_letter_can_be_changed(data: st.DataObject) -> None:
    place = data.draw(st.sampled_from([path for path in places(SEALED) if isinstance(at(SEALED, path), str)]))
    text = at(SEALED, place)
    cut = data.draw(st.integers(0, len(text)))
    other = text[:cut] + data.draw(texts) + text[data.draw(st.integers(cut, min(cut + 2, len(text)))) :]
    if other != text:
        assert not report(changed(SEALED, place, other)).verified


def test_nothing_can_be_left_out() -> None:
    for path in places(SEALED)[1:]:
        assert not report(without(SEALED, path)).verified, path


@pytest.mark.parametrize("added", [1, None, [], {}, "x", "urn:x:y", [None], [[]], {"@id": "urn:x"}])
@pytest.mark.parametrize(
    "name", ["added", "soh", "@index", "@nest", "@reverse", "_:x", "urn:x", "@type", "@language"]
)
def test_nothing_can_be_added(name: str, added: Any) -> None:
    for path in places(SEALED):
        inside = at(SEALED, path)
        if isinstance(inside, dict) and name not in inside and path != ("@context",):
            other = changed(SEALED, path, inside | {name: added})
            assert not report(other).verified, path


# Each refusal has its reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"soc": 50}, "One of its words has no meaning in its @context"),
        ({"note": None}, "It holds a null"),
        ({"note": []}, "It holds an empty list"),
        ({"note": {}}, "It holds an empty object"),
        ({"note": [["a"]]}, "It holds a list within a list"),
        ({"note": {"@value": "a", "@direction": "rtl"}}, "It uses the word @direction"),
        ({"note": {"@list": ["a"]}}, "It uses the word @list"),
        ({"note": {"@context": {"a": "urn:a"}}}, "The context an object is not known here."),
        ({"note": "a\tb"}, "It holds a control character."),
        ({"cell": "_:b0"}, "It names a part that has no name (_:b0)."),
        ({"cell": "cell-17"}, "It names something by a relative address (cell-17)."),
        ({"cell": "a b:c"}, "It names something by a relative address"),
        ({"type": "Undefined"}, "It names something by a relative address (Undefined)."),
        ({"@id": "urn:x"}, "Its JSON-LD cannot be processed."),
        ({"impedances": [{"impedances": [{"good": True}] * 9}] * 2}, "look alike and have no id"),
    ],
)
def test_what_a_seal_over_rdf_would_not_cover_is_refused(change: dict[str, Any], reason: str) -> None:
    document = SEALED | {"credentialSubject": SEALED["credentialSubject"] | change}
    (found,) = [str(check) for check in report(document).refusals if check.name == "proof.signature"]
    assert reason in found


@pytest.mark.parametrize("context", ["https://example.com/unknown", {"soc": "https://example.com/terms#soh"}])
def test_contexts_come_from_the_cache_alone(context: Any) -> None:
    assert "is not known here" in report(SEALED | {"@context": [*SEALED["@context"], context]}).reason
    assert "is not known here" in verify(SEALED, KeyResolver(), now=NOW).reason


def test_a_word_without_meaning_in_the_proof_is_refused() -> None:
    with pytest.raises(Invalid, match="One of its words has no meaning"):
        sealed(unknown="x")
    assert not report(SEALED | {"proof": SEALED["proof"] | {"unknown": "x"}}).verified


def test_seals_over_rdf_and_over_text_stand_side_by_side() -> None:
    both = seal(SEALED, COLLECTOR, created=NOW)
    assert [check.passed for check in report(both).checks if check.name == "proof.signature"] == [True, True]


@given(values)
@settings(deadline=None, max_examples=50)
def test_any_json_has_quads_or_a_reason(value: Any) -> None:
    with suppress(Fault):
        assert isinstance(rdf.canonical_quads({"@context": V2, "name": value}, CONTEXTS), bytes)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        # VCDM 2.0, appendix B.1; Data Integrity 1.0, section 2.4.1
        ("credentials-v2", "59955ced6697d61e03f2b2556febe5308ab16842846f5b586d7f1f7adec92734"),
        ("data-integrity-v2", "67f21e6e33a6c14e5ccfd2fc7865f7474fb71a04af7e94136cb399dfac8ae8f4"),
    ],
)
def test_the_contexts_kept_here_are_those_of_the_recommendations(name: str, digest: str) -> None:
    kept = resources.files("credentials").joinpath("contexts", f"{name}.jsonld").read_bytes()
    assert sha256(kept).hexdigest() == digest
