import tomllib
from pathlib import Path

import pytest

from governance.framework import FRAMEWORK, read_framework
from governance.methods import METHODS
from protocols.catalogue import PROTOCOLS
from schemas.claims import CLAIMS
from schemas.errors import Invalid

TEXT = (Path(__file__).parents[2] / "governance" / "framework.toml").read_text("utf-8")


def test_every_side_of_every_protocol_has_its_roles_and_no_other_side_does() -> None:
    spoken = {(p.name, side) for p in PROTOCOLS.values() for side in {s.sender for s in p.steps}}
    assert set(FRAMEWORK.sides) == spoken
    assert all(FRAMEWORK.sides.values())


def test_every_type_of_claim_has_its_issuers_and_no_other_does() -> None:
    assert set(FRAMEWORK.claims) == set(CLAIMS)
    assert all(FRAMEWORK.claims.values())


def test_the_prescribed_methods_are_the_ones_we_hold_byte_for_byte() -> None:
    """Fails when a method's code changed: give it a new version, then write its digest into the framework."""
    held = {(m.name, m.version, m.purpose): m.code_digest for m in METHODS}
    assert {(m.name, m.version, m.purpose): m.code_digest for m in FRAMEWORK.methods} == held
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
    assert [name for name in FRAMEWORK.statuses if FRAMEWORK.may_deal(name)] == ["accredited"]
    assert not FRAMEWORK.may_deal("unheard of")


def test_a_framework_cannot_be_changed_in_place() -> None:
    with pytest.raises(TypeError):
        FRAMEWORK.roles["dismantler"] = "x"  # type: ignore[index]


def test_its_digest_follows_the_rules_and_not_their_layout() -> None:
    assert read_framework("# a comment\n" + TEXT).digest == FRAMEWORK.digest
    assert read_framework(TEXT.replace("may_deal = true", "may_deal = false")).digest != FRAMEWORK.digest


@pytest.mark.parametrize(
    "text",
    ["", "name =", TEXT.replace('["dismantler", "collector"]', '["pirate"]'), TEXT.replace("purpose", "use")],
)
def test_a_broken_framework_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="framework"):
        read_framework(text)


def test_the_text_is_toml_that_others_can_read() -> None:
    assert tomllib.loads(TEXT)["version"] == FRAMEWORK.version
