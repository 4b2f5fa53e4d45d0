"""The W3C's test vectors of Data Integrity EdDSA Cryptosuites v1.0."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from credentials import base58
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


@pytest.mark.parametrize("name", ["signedProofSet2", "signedProofChain2"])
def test_sets_and_chains_of_a_suite_unknown_here_are_refused_as_such(name: str) -> None:
    # The printed sets and chains are all eddsa-rdfc-2022.
    report = verify(vector(f"proof-set-chain/{name}.json"), KeyResolver(), now=NOW)
    assert {"proof.suite", "proof.signature"} <= refused(report)
    assert "proof.chain" not in refused(report)
    assert "Its proof uses the unknown suite eddsa-rdfc-2022." in [str(check) for check in report.refusals]
