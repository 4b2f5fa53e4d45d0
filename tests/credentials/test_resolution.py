"""Keys that were taken back: what they sealed before stays believed, what they seal after is not."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import integrity, jwt, sdjwt
from credentials.keys import LocalSigner, multikey
from credentials.resolution import DidDocument, did_document
from credentials.vc import credential
from schemas.errors import Invalid

DID = "did:web:collector.example"
KEY = LocalSigner.from_seed(b"k" * 32)
SIGNER = LocalSigner(KEY.key, DID, f"{DID}#old")
TAKEN_BACK = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
NOW = TAKEN_BACK + timedelta(days=400)


def document(**more: object) -> dict[str, Any]:
    public = multikey(KEY.key.public_key().public_bytes_raw())
    method = {"id": f"{DID}#old", "type": "Multikey", "controller": DID, "publicKeyMultibase": public}
    return {"id": DID, "verificationMethod": [method | more], "assertionMethod": [f"{DID}#old"]}


@dataclass
class Known:
    """Answers with one document."""

    document: DidDocument

    def resolve(self, did: str, /) -> DidDocument:
        return self.document


def known(**more: object) -> Known:
    return Known(did_document(document(**more)))


@dataclass
class Remembering(Known):
    """Remembers a document from before a rotation."""

    now: DidDocument

    def anew(self, did: str, /) -> DidDocument:
        return self.now


def test_a_key_that_is_not_remembered_is_asked_for() -> None:
    bare = did_document({"id": DID})
    sealed = integrity.seal(payload(TAKEN_BACK), SIGNER, created=TAKEN_BACK)
    assert integrity.verify(sealed, Remembering(bare, did_document(document())), now=NOW).verified
    assert not integrity.verify(sealed, Remembering(bare, bare), now=NOW).verified


def payload(when: datetime) -> dict[str, Any]:
    return credential(DID, ["Diagnosis"], {"id": "urn:x:1"}, id="urn:x:2", valid_from=when)


@given(st.integers(-400 * 86400, 300 * 86400), st.sampled_from(["revoked", "expires"]))
def test_a_seal_counts_exactly_when_it_was_made_before_its_key_was_taken_back(
    seconds: int, word: str
) -> None:
    when = TAKEN_BACK + timedelta(seconds=seconds)
    resolver = known(**{word: "2026-04-01T09:30:00Z"})
    sealed = integrity.seal(payload(when), SIGNER, created=when)
    assert integrity.verify(sealed, resolver, now=NOW).verified == (seconds < 0)
    token = jwt.seal(payload(when), SIGNER, created=when)
    assert jwt.verify(token, resolver, now=NOW).verified == (seconds < 0)
    hiding = sdjwt.seal(payload(when), SIGNER, created=when, vct="https://x.example/d", hidden=[])
    assert sdjwt.verify(hiding, resolver, now=NOW).verified == (seconds < 0)


def test_the_reason_names_the_key_and_the_day() -> None:
    sealed = integrity.seal(payload(NOW), SIGNER, created=NOW)
    report = integrity.verify(sealed, known(revoked="2026-04-01T09:30:00Z"), now=NOW)
    assert report.reason == f"The key {DID}#old was taken back on 2026-04-01T09:30:00+00:00."


def test_a_seal_without_a_date_does_not_count_once_its_key_was_taken_back() -> None:
    sealed = integrity.seal(payload(TAKEN_BACK), SIGNER, created=TAKEN_BACK - timedelta(days=1))
    del sealed["proof"]["created"]
    assert "was taken back" in integrity.verify(sealed, known(revoked="2026-04-01T09:30:00Z"), now=NOW).reason


@pytest.mark.parametrize("when", ["yesterday", None, 5, "2026-04-01T09:30:00"])
def test_a_key_taken_back_at_no_time_makes_no_document(when: object) -> None:
    with pytest.raises(Invalid):
        did_document(document(revoked=when))
