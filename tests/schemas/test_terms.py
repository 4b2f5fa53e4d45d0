from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime
from hashlib import sha256
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import Field

from credentials import rdf, strict
from credentials.vc import credential
from schemas import terms
from schemas.claims import CLAIMS, CONTEXT, Claim
from schemas.items import mint
from tests.credentials.json_values import changed, places, without

DID, OTHER = "did:web:collector.example", "did:web:dismantler.example"
PACK = "P3F9KQ27MH-5"
WHEN = "2026-04-01T09:30:00Z"
DIGEST = "zQmdigest"
EVENT = {
    "id": "11111111-1111-4111-8111-111111111111",
    "item": PACK,
    "kind": "pack",
    "what": "received",
    "when": WHEN,
    "who": "worker-7",
    "where": "yard-3",
    "how": "forklift",
    "details": {"seal": "intact", "temperatures_c": [21.5, 22], "wet": False},
    "evidence": [DIGEST],
    "exchange": "x-1",
    "message": "m-1",
    "corrects": None,
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "ItemIdentity": {
        "item": PACK, "kind": "pack", "part_of": mint("vehicle"), "made_of": [mint("cell", PACK, 17)],
        "position": "row 2", "model": "AZE0", "chemistry": "LMO", "mass_kg": "294.0",
    },
    "VehicleHistory": {
        "item": PACK, "vehicle": mint("vehicle"), "vehicle_model": "ZE0", "pack_model": "AZE0",
        "chassis_digest": DIGEST, "first_registration": "2014-03", "odometer_km": 81234,
        "capacity_low_pct": "70", "capacity_high_pct": "77.5", "capacity_source": "display",
        "findings": ["wet"],
    },
    "HandlingRecord": {"item": PACK, "events": [EVENT]},
    "DiagnosisResult": {
        "item": PACK, "measured_at": WHEN, "soh_pct": "81.2", "lower_pct": "79", "upper_pct": "83",
        "coverage": "0.9", "not_assessable": "", "method": "polarisation", "method_version": "1",
        "inputs_digest": DIGEST, "measurement_digest": DIGEST, "ohmic_resistance_ohm": "0.00095",
        "ocv_v": "3.652", "temperature_c": "25.1", "soc_pct": "50", "instruments": ["analyser 4711"],
    },
    "HandOverReceipt": {
        "item": PACK, "from_did": OTHER, "to_did": DID, "truck": "T-1", "distance_km": "42",
        "load_share": "0.5", "fuel_economy_km_per_l": "6.1", "findings": ["leak"], "confirms_digest": DIGEST,
    },
    "Introduction": {"did": DID, "connection_did": OTHER},
    "Accreditation": {"did": DID, "name": "Collector", "roles": ["collector"], "framework": "1"},
    "MembershipRegister": {
        "did": DID, "version": 3,
        "members": [
            {"did": OTHER, "name": "D.", "roles": ["dismantler"], "status": "accredited", "since": WHEN}
        ],
    },
    "Prediction": {"subject": DIGEST, "statement": {"cycles": [100, 200], "mean_pct": [79.5, 74]}},
    "AuditCertificate": {
        "did": DID, "prediction_digest": DIGEST, "method": "gp", "method_version": "2", "tolerance": "1e-6",
        "max_deviation": "0", "audited_on": "2026-04-01",
    },
}  # fmt: skip


def stated(name: str) -> dict[str, Any]:
    """A credential with this claim, as an agent would issue it."""
    claim = CLAIMS[name].model_validate(EXAMPLES[name])
    subject = {"id": f"{DID}/items/{PACK}"} | claim.model_dump(mode="json", exclude_none=True)
    return credential(
        DID, [name], subject, id="urn:uuid:1", valid_from=datetime.fromisoformat(WHEN), contexts=[CONTEXT]
    )


def errors(name: str, document: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(terms.schema(name)).iter_errors(document)]


def names(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from names(item) if name not in {"details", "statement"} else ()
    elif isinstance(value, list):
        for item in value:
            yield from names(item)


def test_every_claim_has_an_example_with_every_field() -> None:
    assert EXAMPLES.keys() == CLAIMS.keys()
    for name, claim in CLAIMS.items():
        assert EXAMPLES[name].keys() == claim.model_fields.keys()


@pytest.mark.parametrize("name", CLAIMS)
def test_what_is_issued_fits_its_schema(name: str) -> None:
    Draft202012Validator.check_schema(terms.schema(name))
    assert errors(name, stated(name)) == []


@pytest.mark.parametrize("name", CLAIMS)
def test_what_does_not_fit_is_found(name: str) -> None:
    document = stated(name)
    for field, info in CLAIMS[name].model_fields.items():
        path = ("credentialSubject", field)
        if info.is_required():
            assert errors(name, without(document, path)), field
        assert errors(name, changed(document, path, [[]])), field
    other = "Introduction" if name != "Introduction" else "Prediction"
    assert errors(other, document)


@pytest.mark.parametrize("name", CLAIMS)
def test_every_word_of_a_credential_has_a_meaning(name: str) -> None:
    document = deepcopy(stated(name))
    subject = document["credentialSubject"]
    for path in sorted(places(subject), key=len, reverse=True):
        if path and subject_at(subject, path) in ([], "", None):
            subject = without(subject, path)
    quads = rdf.canonical_quads(document | {"credentialSubject": subject}, rdf.published()).decode()
    assert f"<{terms.VOCABULARY}{name}>" in quads
    for word in set(names(subject)) - {"id", "name"}:
        assert f"<{terms.VOCABULARY}{word}>" in quads, word


def subject_at(value: Any, path: Any) -> Any:
    for name in path:
        value = value[name]
    return value


def test_the_order_of_what_is_listed_is_part_of_what_is_said() -> None:
    document = stated("VehicleHistory")
    subject = document["credentialSubject"] | {"findings": ["wet", "leak"]}
    one, other = (
        rdf.canonical_quads(document | {"credentialSubject": subject | {"findings": order}}, rdf.published())
        for order in (["wet", "leak"], ["leak", "wet"])
    )
    assert one != other


def test_every_field_has_a_title() -> None:
    assert [
        (model.__name__, name) for model, name, info in terms.fields() if name != "id" and not info.title
    ] == []


def test_every_field_is_a_word_of_the_context() -> None:
    words = set(names(terms.context()))
    assert {name for _, name, _ in terms.fields()} <= words | {"name"}


def test_a_word_with_two_meanings_is_refused() -> None:
    class One(Claim):
        figure: str = Field(title="Figure")

    class Two(Claim):
        figure: int = Field(title="Figure")

    with pytest.raises(ValueError, match="figure means two things"):
        terms._terms(One, Two)


def test_what_is_published_is_named_by_its_digest() -> None:
    published = terms.files()
    assert len(published) == 1 + len(CLAIMS)
    for name, text in published.items():
        stem, digest, *_ = name.split(".")
        assert sha256(text).hexdigest() == digest
        assert strict.loads(text) == (terms.context() if stem == "context" else terms.schema(stem))
