import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credentials.canonical import canonical
from credentials.integrity import WORDS, seal, verify
from credentials.keys import LocalSigner, multikey
from credentials.report import Report
from credentials.resolution import ByMethod, DidDocument, KeyResolver, Method
from credentials.vc import credential, presentation
from schemas.errors import Invalid, Unavailable
from tests.credentials.json_values import at, changed, places, shuffled, texts, values, without

NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
COLLECTOR = LocalSigner.from_seed(b"c" * 32)
DISMANTLER = LocalSigner.from_seed(b"d" * 32)
STRANGER = LocalSigner.from_seed(b"s" * 32)
ONE, TWO, THREE = "urn:uuid:1", "urn:uuid:2", "urn:uuid:3"

DIAGNOSIS = credential(
    COLLECTOR.did,
    ["Diagnosis"],
    {
        "id": "urn:uuid:11111111-1111-4111-8111-111111111111",
        "電圧": 3.652,
        "\U0001f50b": {"soh": 0.9, "tiny": 1e-7, "cycles": 90.0, "good": True, "note": None},
        "impedances": [{"frequency": 1000, "ohm": 4.2e-05}, {"frequency": 0.1, "ohm": 0.00095}],
    },
    id="urn:uuid:22222222-2222-4222-8222-222222222222",
    valid_from=NOW - DAY,
    valid_until=NOW + DAY,
    contexts=["https://example.com/terms/v1", {"soh": "https://example.com/terms#soh"}],
)


def sealed(document: Mapping[str, Any] = DIAGNOSIS, signer: LocalSigner = COLLECTOR, **options: Any) -> Any:
    return seal(document, signer, **({"created": NOW} | options))


def report(document: object, **options: Any) -> Report:
    return verify(document, KeyResolver(), **({"now": NOW} | options))


def refused(document: object, **options: Any) -> dict[str, str]:
    """Why it is refused: the sentence of each check that failed, by name."""
    found = report(document, **options)
    assert found.verified == (not found.refusals)
    return {check.name: str(check) for check in found.refusals}


SEALED = sealed()
RECEIPT = sealed(
    sealed(id=ONE, expires=NOW + DAY, challenge="c", domain="d"),
    DISMANTLER,
    id=TWO,
    challenge="c",
    domain="d",
)
CHAIN = sealed(RECEIPT, previous=[ONE, TWO], challenge="c", domain="d")
WANTED = {"cosigners": {DISMANTLER.did}, "challenge": "c", "domain": "d"}
SHOWN = sealed(
    presentation(DISMANTLER.did, [SEALED, sealed(DIAGNOSIS | {"id": THREE})]),
    DISMANTLER,
    purpose="authentication",
)
EXAMPLES: dict[str, tuple[Any, dict[str, Any]]] = {
    "credential": (SEALED, {}),
    "receipt": (RECEIPT, WANTED),
    "chain": (CHAIN, WANTED),
    "presentation": (SHOWN, {"purpose": "authentication"}),
}
examples = st.sampled_from(sorted(EXAMPLES))


# Laws


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_sealed_verifies(name: str) -> None:
    document, wanted = EXAMPLES[name]
    found = report(document, **wanted)
    assert found.refusals == ()
    assert found.verified
    assert {check.name for check in found.checks} <= set(WORDS)


@given(values, st.binary(min_size=32, max_size=32))
def test_whatever_is_said_can_be_sealed_and_read_back(claim: Any, seed: bytes) -> None:
    signer = LocalSigner.from_seed(seed)
    document = credential(signer.did, [], {"claim": claim}, id=ONE, valid_from=NOW)
    before = canonical(document)
    document = seal(document, signer, created=NOW)
    assert report(json.loads(json.dumps(document))).reason == ""
    assert report(shuffled(document)).verified
    assert canonical({name: value for name, value in document.items() if name != "proof"}) == before


@given(examples, st.data(), values)
@settings(max_examples=400, deadline=None)
def test_nothing_can_be_replaced(name: str, data: st.DataObject, new: Any) -> None:
    document, wanted = EXAMPLES[name]
    other = changed(document, data.draw(st.sampled_from(places(document))), new)
    if not (isinstance(other, dict) and canonical(other) == canonical(document)):
        assert refused(other, **wanted)


@given(examples, st.data())
@settings(max_examples=200, deadline=None)
def test_no_letter_can_be_changed(name: str, data: st.DataObject) -> None:
    document, wanted = EXAMPLES[name]
    place = data.draw(
        st.sampled_from([path for path in places(document) if isinstance(at(document, path), str)])
    )
    text = at(document, place)
    cut = data.draw(st.integers(0, len(text)))
    other = text[:cut] + data.draw(texts) + text[data.draw(st.integers(cut, min(cut + 2, len(text)))) :]
    if other != text:
        assert refused(changed(document, place, other), **wanted)


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_can_be_left_out(name: str) -> None:
    document, wanted = EXAMPLES[name]
    for path in places(document)[1:]:
        if (name, path) != ("chain", ("proof", 2)):  # the chain without its last link is the receipt
            assert refused(without(document, path), **wanted), path


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_can_be_added(name: str) -> None:
    document, wanted = EXAMPLES[name]
    for path in places(document):
        inside = at(document, path)
        if isinstance(inside, dict):
            assert refused(changed(document, path, inside | {"added": 1}), **wanted), path
        if isinstance(inside, list):
            assert refused(changed(document, path, [*inside, "urn:added"]), **wanted), path


@given(values)
def test_any_json_gets_a_report(document: Any) -> None:
    assert refused(document)


@given(st.dictionaries(st.sampled_from([*SEALED, "holder", "credentialStatus"]), values), values)
@settings(deadline=None)
def test_any_document_with_the_right_names_gets_a_report(members: dict[str, Any], proof: Any) -> None:
    assert refused(SEALED | members | {"proof": proof})
    assert refused(SEALED | {"proof": [SEALED["proof"], SEALED["proof"] | members]})


@given(st.dictionaries(st.sampled_from([*CHAIN["proof"][0], "previousProof"]), values, min_size=1))
@settings(deadline=None)
def test_any_proof_with_the_right_names_gets_a_report(members: dict[str, Any]) -> None:
    proof = SEALED["proof"] | members
    if proof != SEALED["proof"]:
        assert refused(SEALED | {"proof": proof})


@pytest.mark.parametrize(
    "document",
    [{1: 2}, {"a": object()}, {"a": {1, 2}}, b"", object(), SEALED | {"proof": {"proofValue": object()}}],
)
def test_what_is_no_json_gets_a_report_too(document: object) -> None:
    assert refused(document)


def test_deep_and_circular_documents_get_a_report() -> None:
    deep: Any = "x"
    for _ in range(100_000):
        deep = {"a": deep}
    circular: dict[str, Any] = {}
    circular["proof"] = circular
    for place in ("credentialSubject", "@context", "issuer", "type", "proof", "validFrom"):
        assert refused(SEALED | {place: deep})
        assert refused(SEALED | {place: circular})
    for member in SEALED["proof"]:
        assert refused(SEALED | {"proof": SEALED["proof"] | {member: deep}})


# Each refusal has its reason


@pytest.mark.parametrize(
    ("change", "name", "reason"),
    [
        ({"@context": None}, "context", "It has no list @context to say what its words mean."),
        ({"@context": ["https://example.com/a"]}, "context", "Its first @context is not https://www.w3.org"),
        ({"@context": [*DIAGNOSIS["@context"], 7]}, "context", "neither a web address nor a definition"),
        ({"type": None}, "type", "It does not say of which type it is."),
        ({"type": ["Diagnosis"]}, "type", "neither VerifiableCredential nor VerifiablePresentation"),
        ({"type": ["VerifiableCredential", "VerifiableCredential"]}, "type", "names one of its types twice"),
        ({"id": "no url"}, "id", "Its id is not a URL."),
        ({"issuer": {"name": "x"}}, "issuer", "Its issuer is not a DID or other URL."),
        ({"credentialSubject": {}}, "subject", "It says nothing of any subject."),
        ({"credentialSubject": [{"a": 1}, {}]}, "subject", "It says nothing of any subject."),
        ({"credentialSubject": {"id": 5}}, "subject", "The id of its subject is not a URL."),
        ({"validFrom": "yesterday"}, "period", "yesterday is not a date with time and zone"),
        ({"validFrom": "2026-04-01T09:30:00"}, "period", "is not a date with time and zone"),
        ({"validFrom": "2026-02-30T09:30:00Z"}, "period", "is not a date with time and zone"),
        ({"validFrom": "２０２６-04-01T09:30:00Z"}, "period", "is not a date with time and zone"),
        ({"validUntil": 1775000000}, "period", "int is not a date with time and zone"),
        (
            {"validFrom": "2026-04-01T09:32:00Z"},
            "period",
            "not yet valid: it begins on 2026-04-01T09:32:00+00:00",
        ),
        (
            {"validUntil": "2026-04-01T09:29:59Z"},
            "period",
            "has expired: it ended on 2026-04-01T09:29:59+00:00",
        ),
        ({"validUntil": "0001-01-01T00:00:00+14:00"}, "period", "It ends (0001-01-01 00:00:00+14:00) before"),
        ({"credentialStatus": {"id": "urn:x:1"}}, "status", "which cannot be looked up here"),
        ({"proof": []}, "proof", "It is not sealed: its list of proofs is empty."),
        ({"proof": None}, "proof", "Its proof is neither an object nor a list of objects."),
        ({"proof": [SEALED["proof"], "x"]}, "proof", "Its proof is neither an object nor a list of objects."),
        ({"proof": [SEALED["proof"]] * 33}, "proof", "It has more than 32 proofs."),
        ({"proof": [SEALED["proof"]] * 2}, "proof", "It carries one proof twice."),
        ({"proof": [SEALED["proof"] | {"id": ONE}] * 2}, "proof", "Two of its proofs have the same id."),
        ({"proof": SEALED["proof"] | {"id": ["x"]}}, "proof", "The id of one of its proofs is not a URL."),
    ],
)
def test_a_wrong_credential_is_refused_with_the_reason(
    change: dict[str, Any], name: str, reason: str
) -> None:
    assert reason in refused(SEALED | change)[name]


@pytest.mark.parametrize(
    ("change", "name", "reason"),
    [
        ({"type": "Ed25519Signature2020"}, "suite", "of the unknown type Ed25519Signature2020"),
        ({"cryptosuite": "ecdsa-jcs-2019"}, "suite", "the unknown suite ecdsa-jcs-2019"),
        ({"cryptosuite": None}, "suite", "the unknown suite nothing"),
        ({"@context": DIAGNOSIS["@context"][:1]}, "context", "made for another @context"),
        ({"created": "2026-04-01"}, "period", "2026-04-01 is not a date with time and zone"),
        ({"created": "2026-04-01T10:00:00Z"}, "period", "Its proof was made in the future"),
        ({"expires": "2026-04-01T09:29:59Z"}, "period", "Its proof expired on 2026-04-01T09:29:59+00:00"),
        ({"proofPurpose": "authentication"}, "purpose", "made for authentication, not for assertionMethod"),
        ({"challenge": "c"}, "question", "or answers one that was not"),
        ({"domain": "d"}, "question", "made for another domain"),
        ({"domain": ["d"]}, "question", "made for another domain"),
        ({"verificationMethod": COLLECTOR.did}, "signer", "does not name the key"),
        (
            {"verificationMethod": STRANGER.verification_method},
            "signer",
            f"The key of {STRANGER.did} sealed it",
        ),
        ({"verificationMethod": COLLECTOR.did + "#other"}, "key", "has no key"),
        ({"verificationMethod": "did:web:example.com#k"}, "key", "is not a did:key"),
        ({"previousProof": THREE}, "chain", f"builds on {THREE}, which is not here"),
        ({"previousProof": []}, "chain", "does not say which proofs it builds on"),
        ({"id": ONE, "previousProof": ONE}, "chain", "builds on itself"),
        ({"proofValue": None}, "signature", "Its proof holds no signature."),
        ({"proofValue": SEALED["proof"]["proofValue"] + " "}, "signature", "not 64 bytes in multibase"),
        ({"proofValue": "u" + SEALED["proof"]["proofValue"][1:]}, "signature", "not 64 bytes in multibase"),
        ({"proofValue": "z" + "1" * 64}, "signature", "something was changed, or another key made it"),
        ({"added": 2**53}, "signature", "A whole number has more digits"),
    ],
)
def test_a_wrong_proof_is_refused_with_the_reason(change: dict[str, Any], name: str, reason: str) -> None:
    assert reason in refused(SEALED | {"proof": SEALED["proof"] | change})[f"proof.{name}"]


def test_a_document_without_proof_is_refused() -> None:
    assert refused(DIAGNOSIS) == {
        "proof": "It is not sealed: it has no proof.",
        "signers": f"{COLLECTOR.did} has not signed it.",
    }


def test_a_credential_sealed_by_another_than_its_issuer_is_refused() -> None:
    assert refused(sealed(signer=STRANGER)) == {
        "proof.signer": f"The key of {STRANGER.did} sealed it, but {COLLECTOR.did} should have.",
        "signers": f"{COLLECTOR.did} has not signed it.",
    }


def test_a_credential_of_another_issuer_than_expected_is_refused() -> None:
    assert report(SEALED, expected_issuer=COLLECTOR.did).verified
    assert refused(SEALED, expected_issuer=STRANGER.did)["issuer"] == (
        f"It is from {COLLECTOR.did}, but should be from {STRANGER.did}."
    )


def test_a_changed_credential_is_refused_for_its_signature_alone() -> None:
    changed = SEALED | {"credentialSubject": {"soh": 1}}
    assert set(refused(changed)) == {"proof.signature", "signers"}


def test_a_clock_a_little_ahead_of_ours_is_forgiven_but_an_expired_credential_is_not() -> None:
    early = sealed(DIAGNOSIS | {"validFrom": "2026-04-01T09:30:30Z"}, created=NOW + timedelta(seconds=30))
    assert report(early).verified
    assert report(SEALED, now=NOW + DAY).verified
    assert set(refused(SEALED, now=NOW + DAY + timedelta(seconds=1))) == {"period"}


def test_long_and_unprintable_values_are_shown_short_and_printable() -> None:
    (check,) = [c for c in report(SEALED | {"validFrom": "{x}\n" * 1000}).checks if c.name == "period"]
    assert len(str(check)) < 300
    proof = SEALED["proof"] | {"cryptosuite": {"a": ["b"] * 100}}
    assert refused(SEALED | {"proof": proof})["proof.suite"] == "Its proof uses the unknown suite an object."


# Proof sets, chains, presentations


def test_every_proof_of_a_set_must_hold() -> None:
    for number in (0, 1):
        proofs = [dict(proof) for proof in RECEIPT["proof"]]
        proofs[number]["proofValue"] = SEALED["proof"]["proofValue"]
        (wrong, signers) = report(RECEIPT | {"proof": proofs}, **WANTED).refusals
        assert (wrong.name, wrong.evidence["proof"], signers.name) == (
            "proof.signature",
            str(number + 1),
            "signers",
        )


def test_both_sides_of_a_receipt_must_have_signed() -> None:
    one_sided = sealed(challenge="c", domain="d")
    assert refused(one_sided, **WANTED) == {"signers": f"{DISMANTLER.did} has not signed it."}
    assert report(RECEIPT, **WANTED).signers == (COLLECTOR.did, DISMANTLER.did)


def test_a_signer_whom_nobody_named_is_refused() -> None:
    assert "proof.signer" in refused(RECEIPT, challenge="c", domain="d")
    assert "proof.signer" in refused(sealed(RECEIPT, STRANGER, challenge="c", domain="d"), **WANTED)


def test_a_chain_covers_the_proofs_it_builds_on() -> None:
    first = sealed(id=ONE)
    second = sealed(first, DISMANTLER, id=TWO, previous=[ONE])
    cosigners = {DISMANTLER.did}
    assert report(second, cosigners=cosigners).verified
    # Another right proof of the same issuer under the same id is still not the one that was covered.
    other = sealed(id=ONE, created=NOW - timedelta(hours=1))
    assert set(refused(second | {"proof": [other["proof"], second["proof"][1]]}, cosigners=cosigners)) == {
        "proof.signature",
        "signers",
    }
    assert "proof.chain" in refused(second | {"proof": second["proof"][1:]}, cosigners=cosigners)


def test_a_chain_may_not_build_on_what_is_not_there() -> None:
    with pytest.raises(Invalid, match="which is not here"):
        sealed(previous=[ONE])
    with pytest.raises(Invalid, match="same id"):
        sealed(sealed(id=ONE), id=ONE)


def test_a_presentation_answers_its_challenge_and_domain_alone() -> None:
    shown = sealed(
        presentation(DISMANTLER.did, [SEALED]),
        DISMANTLER,
        purpose="authentication",
        challenge="nonce-1",
        domain="collector.example",
    )
    asked = {"purpose": "authentication", "challenge": "nonce-1", "domain": "collector.example"}
    assert report(shown, **asked).verified
    assert set(refused(shown, **(asked | {"challenge": "nonce-2"}))) == {"proof.question"}
    assert set(refused(shown, **(asked | {"domain": "other.example"}))) == {"proof.question"}
    assert set(refused(shown, purpose="authentication")) == {"proof.question"}
    assert "proof.purpose" in refused(shown, **(asked | {"purpose": "assertionMethod"}))


def test_a_presentation_is_no_better_than_what_it_presents() -> None:
    forged = SEALED | {"credentialSubject": {"soh": 1}}
    shown = sealed(presentation(DISMANTLER.did, [SEALED, forged]), DISMANTLER, purpose="authentication")
    found = report(shown, purpose="authentication")
    assert [inner.verified for inner in found.credentials] == [True, False]
    assert not found.verified
    assert "signature" in found.reason


def test_a_presentation_by_another_than_its_holder_is_refused() -> None:
    shown = sealed(presentation(DISMANTLER.did, [SEALED]), STRANGER, purpose="authentication")
    assert set(refused(shown, purpose="authentication")) == {"proof.signer", "signers"}


def test_a_presentation_presents_credentials_and_nothing_else() -> None:
    others: list[Any] = [SHOWN, "x", {"type": "EnvelopedVerifiablePresentation"}, []]
    for inside in others:
        found = refused(SHOWN | {"verifiableCredential": inside}, purpose="authentication")
        assert "credentials" in found


# The port


@dataclass(frozen=True)
class Known:
    """A resolver that knows one company."""

    document: DidDocument

    def resolve(self, did: str, /) -> DidDocument:
        if did != self.document.id:
            raise Unavailable("The registry of {did} cannot be reached.", did=did)
        return self.document


@dataclass(frozen=True)
class Company:
    """A signer under a DID that is not its key."""

    did: str = "did:webvh:Qm1:collector.example"
    verification_method: str = "did:webvh:Qm1:collector.example#key-1"

    def sign(self, data: bytes, /) -> bytes:
        return COLLECTOR.sign(data)


def test_keys_come_from_the_resolver_with_what_they_may_do() -> None:
    company = Company()
    key = Method(company.verification_method, company.did, COLLECTOR.key.public_key().public_bytes_raw())
    document = DidDocument(company.did, (key,))
    payload = seal(DIAGNOSIS | {"issuer": {"id": company.did, "name": "Collector"}}, company, created=NOW)

    def reason(document: DidDocument) -> str:
        return verify(payload, ByMethod({"webvh": Known(document)}), now=NOW).reason

    assert multikey(key.public_key) in COLLECTOR.did
    assert reason(document) == ""
    assert "given up" in reason(replace(document, deactivated=True))
    assert "may not be used for assertionMethod" in reason(
        replace(document, methods=(replace(key, purposes=frozenset({"authentication"})),))
    )
    assert "has no key" in reason(replace(document, methods=(replace(key, controller=STRANGER.did),)))
    assert "has no key" in reason(replace(document, methods=()))
    assert "cannot be reached" in reason(replace(document, id="did:webvh:Qm2:other.example"))


# Sealing and the report as values


@pytest.mark.parametrize(
    "change",
    [{"@context": []}, {"type": []}, {"issuer": ""}, {"validFrom": "soon"}, {"extra": 2**53}, {"proof": []}],
)
def test_what_could_not_be_verified_is_not_sealed(change: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        sealed(DIAGNOSIS | change)


def test_sealing_leaves_the_payload_as_it_was() -> None:
    before = canonical(DIAGNOSIS)
    sealed()
    assert canonical(DIAGNOSIS) == before


def test_a_time_without_zone_is_the_callers_mistake() -> None:
    with pytest.raises(Invalid, match="no time zone"):
        report(SEALED, now=NOW.replace(tzinfo=None))
    with pytest.raises(Invalid, match="no time zone"):
        sealed(created=NOW.replace(tzinfo=None))


def test_a_report_is_a_value_and_json() -> None:
    for document, wanted in EXAMPLES.values():
        found = report(document, **wanted)
        assert found == report(document, **wanted)
        assert pickle.loads(pickle.dumps(found)) == found
        assert json.loads(json.dumps(found.as_json())) == found.as_json()
        assert found.as_json()["verified"]
    assert not Report(()).verified
