import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from pydantic import Field

from credentials import rdf, strict
from credentials.vc import credential
from schemas import terms
from schemas.claims import CLAIMS, CONTEXT, Claim
from schemas.items import mint
from schemas.units import unit_of
from tests.credentials.json_values import changed, places, without

JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
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
    "CarbonFootprint": {
        "item": PACK, "boundary": "transport", "period_from": "2026-04-01", "period_until": "2026-04-30",
        "emissions_kg": "25.6", "lower_kg": "24", "upper_kg": "27", "emissions_g_per_kwh": "1067",
        "functional_unit": "1 kWh of remaining capacity",
        "stages": [{"stage": "transport", "emissions_kg": "25.6", "activity": "9.9 L", "factor": "2.6 kg/L"}],
        "allocation": "equally per pack", "avoided_kg": "0", "data_quality": "measured", "method": "fuel",
        "method_version": "1", "inputs_digest": DIGEST, "evidence_digests": [DIGEST],
    },
    "DismantlingGuide": {
        "item": PACK, "steps": ["Pull the service plug."], "tools": ["insulated gloves"],
        "hazards": ["high voltage"], "discharge_to_v": "60", "evidence_digests": [DIGEST],
    },
    "DueDiligence": {
        "item": PACK, "standard": "OECD guidance, 3rd edition", "materials": ["cobalt"],
        "reported_on": "2026-03-31", "verifier": "an auditor", "remarks": "none",
        "evidence_digests": [DIGEST],
    },
    "GovernanceFramework": {"did": DID, "version": 2, "holds_from": WHEN, "rules": {"name": "rules"}},
    "MaterialContent": {
        "item": PACK, "cobalt_kg": "7", "nickel_kg": "21", "lithium_kg": "6", "manganese_kg": "8",
        "graphite_kg": "40", "copper_kg": "20", "critical_materials": ["cobalt"], "recycled_pct": "0",
        "content_source": "the model", "residual_value_jpy": 30000, "valued_on": "2026-04-01",
        "evidence_digests": [DIGEST],
    },
    "Nonconformity": {
        "item": PACK, "found_at": WHEN, "found_in": "disassembly", "requirement": "no leak",
        "defect": "wet cell", "findings": ["wet"], "separated_at": WHEN, "disposition": "disposal",
        "disposal": "fire-proof box", "evidence_digests": [DIGEST],
    },
    "SafetyTest": {
        "item": PACK, "standard": "UN 38.3, rev. 7", "tested_model": "AZE0", "passed": True,
        "tested_on": "2026-02-01", "laboratory": "a laboratory", "remarks": "T.1 to T.8",
        "evidence_digests": [DIGEST],
    },
    "StorageRecord": {
        "item": PACK, "place": "yard-3", "stored_from": WHEN, "stored_until": WHEN,
        "lowest_temperature_c": "4.5", "highest_temperature_c": "31", "highest_humidity_pct": "70",
        "soc_before_pct": "40", "soc_after_pct": "39", "findings": ["wet"], "evidence_digests": [DIGEST],
    },
    "TechnicalData": {
        "item": PACK, "manufacturer": "a maker", "made_on": "2014-02-01", "rated_capacity_ah": "66",
        "rated_energy_kwh": "24", "nominal_voltage_v": "360", "lower_voltage_v": "240",
        "upper_voltage_v": "403", "rated_power_w": "90000", "rated_resistance_ohm": "0.1",
        "rated_efficiency_pct": "95", "cycle_life_count": 2000, "cycle_life_test": "IEC 62660-1",
        "current_rate_per_h": "1", "exhaustion_pct": "70", "coldest_c": "-20", "hottest_c": "45",
        "connector": "service plug", "allowed_spread_pct": "3",
    },
    "VehicleHistory": {
        "item": PACK, "vehicle": mint("vehicle"), "vehicle_model": "ZE0", "pack_model": "AZE0",
        "chassis_digest": DIGEST, "first_registration": "2014-03", "odometer_km": 81234,
        "capacity_low_pct": "70", "capacity_high_pct": "77.5", "capacity_source": "display",
        "findings": ["wet"], "origin": "accident", "first_life_ended": "2026-03-01",
        "end_reason": "rear collision", "region": "JP-01", "charge_count": 900, "fast_charge_count": 40,
        "cycle_count": 700, "abnormalities": ["impact"], "fault_codes": ["P31AC"],
        "repairs": ["one module, 2020"], "previous_uses": ["none known"],
    },
    "HandlingRecord": {"item": PACK, "events": [EVENT]},
    "DiagnosisResult": {
        "item": PACK, "measured_at": WHEN, "soh_pct": "81.2", "lower_pct": "79", "upper_pct": "83",
        "coverage": "0.9", "not_assessable": "", "gate_closed": "", "method": "polarisation",
        "method_version": "1", "code_digest": DIGEST, "model_digest": DIGEST, "model_signer": DID,
        "model_source": "simulated cells", "inputs_digest": DIGEST, "measurement_digest": DIGEST,
        "transcript_digest": DIGEST, "measured_by": OTHER, "ohmic_resistance_ohm": "0.00095",
        "gates": [{"gate": "likeness", "figure": "1.2", "limit": "3", "is_open": True}],
        "algorithms": [
            {"algorithm": "extra-trees", "algorithm_version": "1.0", "soh_pct": "81", "lower_pct": "79",
             "upper_pct": "83", "voice_pct": "70"}
        ],
        "figures": [
            {"quantity": "capacity_ah", "value": "53.1", "lower": "53.0", "upper": "53.2", "formula": "C = Q"}
        ],
        "ocv_v": "3.652", "temperature_c": "25.1", "soc_pct": "50", "instruments": ["analyser 4711"],
        "capacity_ah": "53.1", "capacity_fade_pct": "18.8", "dc_resistance_ohm": "0.0012",
        "resistance_rise_pct": "30", "power_w": "70000", "power_fade_pct": "22",
        "self_discharge_pct_per_month": "2", "efficiency_pct": "93", "spread_pct": "1.5",
    },
    "MeasurementRecord": {
        "item": PACK, "cell_model": "m", "measured_at": WHEN, "measurement_digest": DIGEST,
        "transcript_digest": DIGEST, "measurement": {"format": "meguri.measurement/1"},
    },
    "SohModel": {
        "cell_model": "m", "method": "reconciled-spectrum",
        "method_version": "1.0", "model_digest": DIGEST, "training_digest": DIGEST,
        "model_source": "simulated cells", "suits": "p", "training": "19 cells", "quality": ["q"],
        "limits": "l",
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
    "CheckUps": {
        "subject": DIGEST, "before_count": 3, "previous_digest": DIGEST,
        "check_ups": [
            {"run_count": "100", "found_soh_pct": "91.5", "sd_pct": "0.5", "diagnosis_digest": DIGEST}
        ],
    },
    "Prediction": {"subject": DIGEST, "statement": {"cycles": [100, 200], "mean_pct": [79.5, 74]}},
    "AuditCertificate": {
        "did": DID, "prediction_digest": DIGEST, "method": "gp", "method_version": "2",
        "code_digest": DIGEST, "inputs_digest": DIGEST, "observations_count": 12, "tolerance": "1e-6",
        "max_deviation": "0", "audited_on": "2026-04-01",
    },
    "SamplingCertificate": {
        "did": DID, "first_day": "2026-01-01", "last_day": "2026-03-31", "declared_count": 40,
        "withdrawn_count": 2, "passed_count": 4, "declaration_digest": DIGEST,
        "sampled_digests": [DIGEST], "audited_on": "2026-04-08",
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
            yield from names(item) if name not in {"details", "statement", "rules", "measurement"} else ()
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


def test_every_word_is_defined_in_both_languages() -> None:
    """A field without its meaning beside it, or with another meaning than elsewhere, fails here."""
    for word in terms.words():
        for text in (word.means.en, word.means.ja):
            assert text.endswith((".", "。")), word.name
        assert JAPANESE.search(word.means.ja), word.name
        assert not JAPANESE.search(word.means.en), word.name
    for name in CLAIMS:
        assert terms.meaning(name).en.endswith(".")
        assert JAPANESE.search(terms.meaning(name).ja), name


def test_every_quantity_says_its_unit_in_its_name() -> None:
    """A number that is no count of editions, no share and without a unit says nothing."""
    kinds = {name: terms._plain(info.annotation)[0] for _, name, info in terms.fields()}
    bare = {name for name, kind in kinds.items() if kind in {int, Decimal, float} and not unit_of(name)}
    # Of a figure of a test the quantity beside it names the unit: `capacity_ah`.
    assert bare == {"coverage", "version"} | {"value", "lower", "upper"}


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("mass_kg", ("kg", "kg")),
        ("fuel_economy_km_per_l", ("km/L", "km/L")),
        ("emissions_g_per_kwh", ("g/kWh", "g/(kW.h)")),
        ("current_rate_per_h", ("1/h", "/h")),
        ("kg", None),
        ("model", None),
        ("coverage", None),
    ],
)
def test_a_unit_is_read_off_a_name(name: str, unit: tuple[str, str] | None) -> None:
    assert unit_of(name) == unit


def test_the_vocabulary_defines_every_class_and_every_word() -> None:
    graph = {entry["@id"]: entry for entry in terms.vocabulary()["@graph"]}
    spoken = {name for _, name, _ in terms.fields()} - {"id", "name"}
    assert graph.keys() == {terms.VOCABULARY + name for name in {*CLAIMS, *spoken}} | {
        "https://schema.org/name"
    }
    assert graph[terms.VOCABULARY + "mass_kg"]["qudt:ucumCode"] == "kg"
    for entry in graph.values():
        assert [comment["@language"] for comment in entry["rdfs:comment"]] == ["en", "ja"]


def test_each_file_of_the_room_is_one_claim_type() -> None:
    files = {path.stem for path in Path(terms.__file__).with_name("claims").glob("*.py")} - {"__init__"}
    made = {"".join(part.capitalize() for part in stem.split("_")) for stem in files}
    assert made == set(CLAIMS)


def test_what_is_published_is_named_by_its_digest() -> None:
    published = terms.files()
    assert len(published) == 2 + len(CLAIMS)
    for name, text in published.items():
        stem, digest, *_ = name.split(".")
        assert sha256(text).hexdigest() == digest
        made = {"context": terms.context, "vocabulary": terms.vocabulary}
        assert strict.loads(text) == (made[stem]() if stem in made else terms.schema(stem))
