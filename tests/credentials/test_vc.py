from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from base58 import b58encode
from hypothesis import given

from credentials.canonical import canonical
from credentials.keys import LocalSigner
from credentials.strict import loads
from credentials.vc import content_digest, credential, digest, presentation, reference
from schemas.errors import Invalid
from tests.credentials.json_values import shuffled, values

NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
ISSUER = LocalSigner.from_seed(b"i" * 32).did
CELL = {"id": "urn:uuid:11111111-1111-4111-8111-111111111111", "massKilogram": 0.79}


def test_a_payload_is_a_credential_of_version_2() -> None:
    assert credential(ISSUER, ["Diagnosis"], CELL, id="urn:uuid:a", valid_from=NOW) == {
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "id": "urn:uuid:a",
        "type": ["VerifiableCredential", "Diagnosis"],
        "issuer": ISSUER,
        "validFrom": "2026-04-01T09:30:00Z",
        "credentialSubject": CELL,
    }


def test_times_are_written_in_utc() -> None:
    japan = timezone(timedelta(hours=9))
    document = credential(
        ISSUER,
        [],
        CELL,
        id="urn:uuid:a",
        valid_from=NOW.astimezone(japan),
        valid_until=(NOW + timedelta(days=1)).astimezone(japan),
    )
    assert document["validFrom"] == "2026-04-01T09:30:00Z"
    assert document["validUntil"] == "2026-04-02T09:30:00Z"


def test_related_credentials_and_evidence_are_named_by_digest() -> None:
    first = credential(ISSUER, ["Identity"], CELL, id="urn:uuid:a", valid_from=NOW)
    photo = {"id": "urn:uuid:p", "type": ["Photo"], "digestMultibase": content_digest(b"photo")}
    second = credential(
        ISSUER, [], CELL, id="urn:uuid:b", valid_from=NOW, related=[reference(first)], evidence=[photo]
    )
    assert second["relatedResource"] == [{"id": "urn:uuid:a", "digestMultibase": digest(first)}]
    assert second["evidence"] == [photo]


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "nobody"},
        {"subject": {}},
        {"subject": []},
        {"subject": {"id": "no url"}},
        {"id": ""},
        {"contexts": ["not a url"]},
        {"types": ["Diagnosis", "Diagnosis"]},
        {"types": ["VerifiablePresentation"]},
        {"valid_from": NOW.replace(tzinfo=None)},
        {"valid_until": NOW - timedelta(seconds=1)},
    ],
)
def test_a_payload_nobody_could_verify_is_not_built(change: dict[str, Any]) -> None:
    parts: dict[str, Any] = {"issuer": ISSUER, "types": ["Diagnosis"], "subject": CELL, "id": "urn:uuid:a"}
    parts = parts | {"valid_from": NOW} | change
    with pytest.raises(Invalid):
        credential(parts.pop("issuer"), parts.pop("types"), parts.pop("subject"), **parts)


def test_a_presentation_needs_a_holder() -> None:
    assert presentation(ISSUER, [])["holder"] == ISSUER
    with pytest.raises(Invalid, match="holder"):
        presentation("", [])


@given(values)
def test_a_digest_is_of_the_value_and_not_of_its_writing(value: Any) -> None:
    assert digest(value) == digest(shuffled(value)) == digest(loads(canonical(value)))


@given(values, values)
def test_different_values_have_different_digests(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (canonical(one) == canonical(other))


def test_the_digest_of_an_empty_object_is_as_others_compute_it() -> None:
    sha256 = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # of the two bytes `{}`
    assert digest({}) == "z" + b58encode(bytes.fromhex("1220" + sha256)).decode()
