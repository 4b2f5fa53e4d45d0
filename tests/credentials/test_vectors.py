"""The W3C's test vectors of Data Integrity EdDSA Cryptosuites v1.0."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from credentials import base58, rdf
from credentials.canonical import canonical
from credentials.integrity import seal, verify
from credentials.keys import LocalSigner
from credentials.report import Report
from credentials.resolution import KeyResolver

VECTORS = Path(__file__).parents[3] / "shared/reference/vc-di-eddsa"
NOW = datetime(2026, 4, 1, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not VECTORS.is_dir(), reason=f"the W3C vectors are not at {VECTORS}")


def vector(name: str) -> Any:
    text = (VECTORS / name).read_text()
    return json.loads(text) if name.endswith("json") else text.strip()


def signer_of(pair: dict[str, str]) -> LocalSigner:
    raw = base58.decode(pair["privateKeyMultibase"][1:])
    assert raw.startswith(b"\x80\x26")  # multicodec ed25519-priv
    signer = LocalSigner.from_seed(raw[2:])
    assert signer.did == "did:key:" + pair["publicKeyMultibase"]
    return signer


def refused(report: Report) -> set[str]:
    return {check.name for check in report.refusals}


def test_the_document_and_proof_are_hashed_as_printed() -> None:
    assert canonical(vector("unsigned.json")).decode() == vector("eddsa-jcs-2022/canonDocJCS.txt")
    config = canonical(vector("eddsa-jcs-2022/proofConfigJCS.json"))
    assert config.decode() == vector("eddsa-jcs-2022/proofCanonJCS.txt")
    assert sha256(config).hexdigest() == vector("eddsa-jcs-2022/proofHashJCS.txt")


def test_it_signs_to_the_same_bytes() -> None:
    config = vector("eddsa-jcs-2022/proofConfigJCS.json")
    sealed = seal(
        vector("unsigned.json"),
        signer_of(vector("keyPair.json")),
        created=datetime.fromisoformat(config["created"]),
    )
    assert sealed == vector("eddsa-jcs-2022/signedJCS.json")


def test_the_signature_verifies_though_the_key_is_not_the_issuers() -> None:
    # The vector's issuer is a web address and its key a did:key, so nothing binds one to the other.
    report = verify(vector("eddsa-jcs-2022/signedJCS.json"), KeyResolver(), now=NOW)
    assert refused(report) == {"proof.signer", "signers"}
    assert any(check.name == "proof.signature" and check.passed for check in report.checks)


def test_a_changed_vector_has_a_wrong_signature() -> None:
    sealed = vector("eddsa-jcs-2022/signedJCS.json")
    sealed["name"] += "!"
    assert "proof.signature" in refused(verify(sealed, KeyResolver(), now=NOW))


EXAMPLES_CONTEXT = {
    "https://www.w3.org/ns/credentials/examples/v2": {
        "@context": {"@vocab": "https://www.w3.org/ns/credentials/examples#"}
    }
}
CONTEXTS = {**rdf.published(), **EXAMPLES_CONTEXT}


def test_the_document_and_proof_are_written_as_rdf_as_printed() -> None:
    document = rdf.canonical_quads(vector("unsigned.json"), CONTEXTS)
    config = rdf.canonical_quads(vector("eddsa-rdfc-2022/proofConfigDataInt.json"), CONTEXTS)
    assert document.decode().strip() == vector("eddsa-rdfc-2022/canonDocDataInt.txt")
    assert config.decode().strip() == vector("eddsa-rdfc-2022/proofCanonDataInt.txt")
    assert sha256(document).hexdigest() == vector("eddsa-rdfc-2022/docHashDataInt.txt")
    assert sha256(config).hexdigest() == vector("eddsa-rdfc-2022/proofHashDataInt.txt")


@pytest.mark.parametrize(
    ("name", "proofs"),
    [
        ("eddsa-rdfc-2022/signedDataInt", 1),
        ("proof-set-chain/signedProofSet1", 1),
        ("proof-set-chain/signedProofSet2", 2),
        ("proof-set-chain/signedProofChain1", 3),
        ("proof-set-chain/signedProofChain2", 4),
    ],
)
def test_seals_over_rdf_sets_and_chains_verify(name: str, proofs: int) -> None:
    sealed = vector(f"{name}.json")
    report = verify(sealed, KeyResolver(), now=NOW, contexts=CONTEXTS)
    assert refused(report) == {"proof.signer", "signers"}  # the issuer is a web address, as above
    right = [check for check in report.checks if check.name == "proof.signature" and check.passed]
    assert len(right) == proofs
    changed = verify(sealed | {"name": "x"}, KeyResolver(), now=NOW, contexts=CONTEXTS)
    wrong = [check for check in changed.checks if check.name == "proof.signature" and not check.passed]
    assert len(wrong) == proofs


def test_the_suite_of_2020_is_refused_as_unknown() -> None:
    report = verify(
        vector("Ed25519Signature2020/signedEdSig.json"), KeyResolver(), now=NOW, contexts=CONTEXTS
    )
    assert "proof.suite" in refused(report)
