import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from agents.roles import ROLES
from governance.framework import ANY, FRAMEWORK, Text, framework_of, read_framework
from governance.methods import METHODS
from protocols.catalogue import PROTOCOLS
from protocols.disclosure import Purpose
from schemas import terms
from schemas.claims import CLAIMS, DiagnosisResult
from schemas.errors import Invalid

TEXT = (Path(__file__).parents[2] / "governance" / "framework.toml").read_text("utf-8")


def test_every_side_of_every_protocol_has_its_roles_and_no_other_side_does() -> None:
    spoken = {(p.name, side) for p in PROTOCOLS.values() for side in {s.sender for s in p.steps}}
    sides = FRAMEWORK.rules.protocols
    assert {(name, side) for name, rules in sides.items() for side in rules} == spoken
    assert all(roles for rules in sides.values() for roles in rules.values())


def test_every_type_of_claim_has_its_issuers_and_no_other_does() -> None:
    assert set(FRAMEWORK.rules.claims) == set(CLAIMS)
    assert all(rule.issuers for rule in FRAMEWORK.rules.claims.values())


@pytest.mark.parametrize("name", CLAIMS)
def test_the_schemas_are_the_ones_we_publish(name: str) -> None:
    """Fails when a claim type changed: then write the digest shown here into the framework."""
    assert FRAMEWORK.rules.claims[name].schema_digest == terms.schema_digest(name)


@pytest.mark.parametrize("name", CLAIMS)
def test_what_is_open_is_a_field_of_its_claim(name: str) -> None:
    fields = set(CLAIMS[name].model_fields)
    assert set(FRAMEWORK.rules.claims[name].fields) <= fields
    for contract in FRAMEWORK.rules.contracts.values():
        assert set(contract.claims.get(name, ())) <= fields | {ANY}


def test_the_purposes_are_those_that_can_be_asked_for() -> None:
    assert set(FRAMEWORK.rules.purposes) == set(get_args(Purpose))
    under_contract = {one for contract in FRAMEWORK.rules.contracts.values() for one in contract.purposes}
    assert under_contract == set(get_args(Purpose))


def test_the_roles_are_those_that_can_be_played() -> None:
    assert set(FRAMEWORK.roles) == set(ROLES)


def test_a_grade_needs_what_a_diagnosis_can_state() -> None:
    needed = {need.measurement for grade in FRAMEWORK.rules.grades for need in grade.needs}
    assert needed <= set(DiagnosisResult.model_fields)


def test_nothing_that_tells_of_a_deal_may_be_published() -> None:
    for name, field in (
        ("ItemIdentity", "part_of"),
        ("ItemIdentity", "made_of"),
        ("HandlingRecord", "events"),
        ("HandOverReceipt", "item"),
        ("Introduction", "connection_did"),
    ):
        assert FRAMEWORK.opening(name, field) != "public"


@pytest.mark.parametrize(
    ("role", "claim", "field", "purpose", "contract", "may"),
    [
        ("recycler", "VehicleHistory", "findings", "recycling", "material-recovery", True),
        ("recycler", "VehicleHistory", "odometer_km", "recycling", "material-recovery", False),
        ("recycler", "VehicleHistory", "findings", "warranty", "material-recovery", False),
        ("dismantler", "VehicleHistory", "findings", "recycling", "material-recovery", False),
        ("stranger", "VehicleHistory", "findings", "safety", "safe-handling", False),
        ("collector", "VehicleHistory", "odometer_km", "purchase", "purchase-assessment", True),
        ("collector", "VehicleHistory", "chassis_digest", "purchase", "purchase-assessment", False),
        ("collector", "StorageRecord", "place", "purchase", "purchase-assessment", False),
        ("collector", "HandOverReceipt", "item", "purchase", "purchase-assessment", False),
        ("collector", "HandlingRecord", "events", "purchase", "no such contract", False),
        ("stranger", "TechnicalData", "rated_capacity_ah", "", "", True),
        ("collector", "Gossip", "words", "purchase", "purchase-assessment", False),
    ],
)
def test_who_may_see_what_and_why(
    role: str, claim: str, field: str, purpose: str, contract: str, may: bool
) -> None:
    assert FRAMEWORK.may_see(role, claim, field, purpose, contract) is may


def test_all_that_people_read_in_it_is_in_both_languages() -> None:
    texts = list(texts_of(FRAMEWORK.rules))
    assert len(texts) > 40
    for text in texts:
        assert re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", text.ja), text
        assert not re.search(r"[\u3040-\u30ff\u4e00-\u9fff]", text.en), text


def texts_of(value: object) -> Iterator[Text]:
    if isinstance(value, Text):
        yield value
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from texts_of(getattr(value, name))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from texts_of(one)
    elif isinstance(value, tuple):
        for one in value:
            yield from texts_of(one)


def test_the_prescribed_methods_are_the_ones_we_hold_byte_for_byte() -> None:
    """Fails when a method's code changed: give it a new version, then write its digest into the framework."""
    held = {(m.name, m.version, m.purpose): m.code_digest for m in METHODS}
    assert {(m.name, m.version, m.purpose): m.code_digest for m in FRAMEWORK.rules.methods} == held
    assert all(FRAMEWORK.prescribes(m.name, m.version, m.code_digest) for m in METHODS)
    assert not FRAMEWORK.prescribes(METHODS[0].name, METHODS[0].version, "sha256:00")


@pytest.mark.parametrize(
    ("role", "protocol", "side", "may"),
    [
        ("dismantler", "collection/1.0", "dismantler", True),
        ("collector", "collection/1.0", "dismantler", False),
        ("collector", "delivery/1.0", "supplier", True),
        ("recycler", "delivery/1.0", "supplier", False),
        ("recycler", "delivery/1.0", "receiver", True),
        ("governance-authority", "delivery/1.0", "receiver", False),
        ("governance-authority", "audit/1.0", "authority", True),
        ("reuse-manufacturer", "audit/1.0", "member", True),
        ("governance-authority", "disclosure/1.0", "holder", True),
        ("stranger", "disclosure/1.0", "asker", False),
        ("dismantler", "tea/1.0", "host", False),
    ],
)
def test_who_may_take_which_side(role: str, protocol: str, side: str, may: bool) -> None:
    assert FRAMEWORK.may_play(role, protocol, side) is may


def test_only_the_authority_admits_and_certifies() -> None:
    for claim in ("Accreditation", "MembershipRegister", "AuditCertificate"):
        assert [r for r in FRAMEWORK.roles if FRAMEWORK.may_issue(r, claim)] == ["governance-authority"]
    assert not FRAMEWORK.may_issue("dismantler", "DiagnosisResult")
    assert not FRAMEWORK.may_issue("collector", "Gossip")


def test_only_an_accredited_member_opens_dealings() -> None:
    assert [name for name in FRAMEWORK.rules.statuses if FRAMEWORK.may_deal(name)] == ["accredited"]
    assert not FRAMEWORK.may_deal("unheard of")


def test_a_framework_cannot_be_changed_in_place() -> None:
    with pytest.raises(TypeError):
        FRAMEWORK.roles["dismantler"] = FRAMEWORK.roles["recycler"]  # type: ignore[index]
    with pytest.raises(TypeError):
        FRAMEWORK.document["name"] = "x"  # type: ignore[index]


def test_its_digest_follows_the_rules_and_not_their_layout() -> None:
    assert read_framework("# a comment\n" + TEXT).digest == FRAMEWORK.digest
    assert read_framework(TEXT.replace("may_deal = true", "may_deal = false")).digest != FRAMEWORK.digest


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name =",
        "{",
        '{"name": "one", "name": "two"}',
        TEXT.replace('["dismantler", "collector"]', '["pirate"]'),
        TEXT.replace("purpose", "use"),
        TEXT.replace("version = 1\n", "version = 0\n", 1),
        TEXT.replace("version = 1\n", "version = 2026-04-01\n", 1),
        TEXT.replace("version = 1\n", "version = 1\ncolour = 3\n", 1),
        TEXT.replace("Asia/Tokyo", "Mars/Olympus"),
        TEXT.replace("sha256:", "md5:"),
        TEXT.replace("entries = 131072", "entries = 1024"),
        TEXT.replace('purposes = ["audit"]', 'purposes = ["gossip"]'),
        TEXT.replace("at_least = 90", "at_least = nan"),
        TEXT.replace('name = "B"', 'name = "A"'),
    ],
)
def test_a_broken_framework_is_refused(text: str) -> None:
    assert text != TEXT
    with pytest.raises(Invalid, match=r"framework|time zone"):
        read_framework(text)


def test_a_text_of_tomorrow_is_read_as_far_as_it_is_understood() -> None:
    """Members take a version that their authority signed, though it may say more than they know of."""
    said = tomllib.loads(TEXT) | {"colour": "green"}
    assert framework_of(said).rules == FRAMEWORK.rules
    assert framework_of(said).digest != FRAMEWORK.digest


def test_it_reads_the_same_from_json() -> None:
    assert read_framework(json.dumps(tomllib.loads(TEXT))).digest == FRAMEWORK.digest


def test_the_text_is_toml_that_others_can_read() -> None:
    assert tomllib.loads(TEXT)["version"] == FRAMEWORK.version
