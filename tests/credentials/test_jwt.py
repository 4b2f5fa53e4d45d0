import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto.jwk import JWK  # type: ignore[import-untyped]
from jwcrypto.jws import JWS  # type: ignore[import-untyped]

from credentials import base64url, integrity, jose, status
from credentials.jwt import WORDS, seal, verify
from credentials.keys import LocalSigner
from credentials.report import Report
from credentials.resolution import KeyResolver
from credentials.vc import credential
from schemas.errors import Invalid
from tests.credentials.json_values import values

NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
COLLECTOR = LocalSigner.from_seed(b"c" * 32)
STRANGER = LocalSigner.from_seed(b"s" * 32)
CELL = "urn:uuid:11111111-1111-4111-8111-111111111111"
DIAGNOSIS = credential(
    COLLECTOR.did,
    ["Diagnosis"],
    {"id": CELL, "電圧": 3.652, "impedances": [{"ohm": 4.2e-05}, {"ohm": 0.00095}]},
    id="urn:uuid:22222222-2222-4222-8222-222222222222",
    valid_from=NOW - DAY,
    valid_until=NOW + DAY,
)
SEALED = seal(DIAGNOSIS, COLLECTOR, created=NOW)
HEADER, PAYLOAD = (json.loads(base64url.decode(part)) for part in SEALED.split(".")[:2])


def report(text: object, **options: Any) -> Report:
    return verify(text, KeyResolver(), **({"now": NOW} | options))


def refused(text: object, **options: Any) -> dict[str, str]:
    found = report(text, **options)
    assert found.verified == (not found.refusals)
    return {check.name: str(check) for check in found.refusals}


def token(header: Any = None, payload: Any = None, signer: LocalSigner = COLLECTOR) -> str:
    """A rightly signed token with other header or payload members."""
    return jose.compact(HEADER | (header or {}), PAYLOAD | (payload or {}), signer)


def raw(header: str, payload: str) -> str:
    """A rightly signed token of just these texts."""
    text = f"{base64url.encode(header.encode())}.{base64url.encode(payload.encode())}"
    return f"{text}.{base64url.encode(COLLECTOR.sign(text.encode()))}"


# Laws


def test_what_is_sealed_verifies_and_reads_as_the_credential() -> None:
    found = report(SEALED)
    assert found.reason == ""
    assert found.document == DIAGNOSIS
    assert (found.author, found.signers) == (COLLECTOR.did, (COLLECTOR.did,))
    assert {check.name for check in found.checks} == set(WORDS) - {
        "holder", "credentials", "list", "status.list", "status.standing", "token.question",
    }  # fmt: skip


@given(values, st.binary(min_size=32, max_size=32))
def test_whatever_is_said_can_be_sealed_and_read_back(claim: Any, seed: bytes) -> None:
    signer = LocalSigner.from_seed(seed)
    document = credential(signer.did, [], {"claim": claim}, id="urn:uuid:1", valid_from=NOW)
    found = report(seal(document, signer, created=NOW))
    assert found.reason == ""
    assert found.document == document


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_letter_can_be_changed(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(SEALED) - 1))
    letter = data.draw(
        st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=~ é")
    )
    other = SEALED[:place] + letter + SEALED[place + 1 :]
    if other != SEALED:
        assert refused(other)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_nothing_can_be_cut_or_added(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(SEALED)))
    end = data.draw(st.integers(start, len(SEALED)))
    added = data.draw(st.text("Ab1.-_", max_size=4))
    other = SEALED[:start] + added + SEALED[end:]
    if other != SEALED:
        assert refused(other)


@given(st.text() | st.binary() | values | st.from_regex(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"))
def test_any_value_gets_a_report(text: object) -> None:
    assert refused(text)


@given(values, values)
@settings(deadline=None)
def test_any_signed_json_gets_a_report(header: Any, payload: Any) -> None:
    assert refused(raw(json.dumps(header), json.dumps(payload)))


@given(
    st.dictionaries(st.sampled_from([*HEADER, "jwk", "crit", "iss"]), values),
    st.dictionaries(st.sampled_from([*PAYLOAD, "nbf", "vc", "credentialStatus"]), values),
)
@settings(deadline=None)
def test_any_token_with_the_right_names_gets_a_report(header: Any, payload: Any) -> None:
    found = report(token(header, payload))
    assert found.verified == (not found.refusals)


# Each refusal has its reason


@pytest.mark.parametrize(
    ("change", "name", "reason"),
    [
        ({"typ": "JWT"}, "header", "It is a token of type JWT, not vc+jwt."),
        ({"typ": "vc+sd-jwt"}, "header", "of type vc+sd-jwt"),
        ({"alg": "none"}, "header", "It is signed with none, not with EdDSA."),
        ({"alg": "HS256"}, "header", "It is signed with HS256"),
        ({"alg": "eddsa"}, "header", "It is signed with eddsa"),
        ({"alg": ["EdDSA"]}, "header", "It is signed with a list"),
        ({"jwk": {"kty": "OKP"}}, "header", "brings a key along (jwk)"),
        ({"jku": "https://evil.example"}, "header", "brings a key along (jku)"),
        ({"x5c": []}, "header", "brings a key along (x5c)"),
        ({"crit": ["b64"]}, "header", "changes how it is to be read (crit)"),
        ({"b64": False}, "header", "changes how it is to be read (b64)"),
        ({"kid": None}, "signer", "does not name the key"),
        ({"kid": COLLECTOR.did}, "signer", "does not name the key"),
        ({"kid": "#key-1"}, "signer", "does not name the key"),
        ({"kid": STRANGER.verification_method}, "signer", f"The key of {STRANGER.did} sealed it"),
        ({"iss": STRANGER.did}, "signer", "Its header names another issuer"),
        ({"kid": COLLECTOR.did + "#other"}, "key", "has no key"),
    ],
)
def test_a_wrong_header_is_refused_with_the_reason(change: dict[str, Any], name: str, reason: str) -> None:
    assert reason in refused(token(change))[f"token.{name}"]


@pytest.mark.parametrize(
    ("change", "name", "reason"),
    [
        ({"iss": STRANGER.did}, "token.claims", "The token's iss is not that of the credential in it."),
        ({"jti": "urn:uuid:2"}, "token.claims", "The token's jti is not"),
        ({"sub": "urn:uuid:2"}, "token.claims", "The token's sub is not"),
        ({"credentialSubject": [{"a": 1}, {"b": 2}]}, "token.claims", "The token's sub is not"),
        ({"vc": {}}, "token.claims", "something that its type does not know (vc)"),
        ({"proof": {}}, "token.claims", "something that its type does not know (proof)"),
        (
            {"type": ["VerifiablePresentation"], "holder": COLLECTOR.did},
            "token.header",
            "It is a token of type vc+jwt, not vp+jwt.",
        ),
        ({"exp": 1775035799}, "token.period", "It has expired: it ended on 2026-04-01T09:29:59+00:00"),
        ({"nbf": 1775035900}, "token.period", "It is not yet valid"),
        ({"iat": 1775035900}, "token.period", "The token was made in the future"),
        ({"nbf": 1775000000, "exp": 1774999999}, "token.period", "before it begins"),
        ({"exp": "1775035799"}, "token.period", "Its exp is not a time in seconds"),
        ({"exp": True}, "token.period", "Its exp is not a time in seconds"),
        ({"exp": None}, "token.period", "Its exp is not a time in seconds"),
        ({"exp": 1e300}, "token.period", "Its exp is not a time in seconds"),
        ({"validUntil": "2026-04-01T09:29:59Z"}, "period", "It has expired"),
        ({"@context": None}, "context", "It has no list @context"),
        ({"credentialSubject": {}}, "subject", "It says nothing of any subject."),
    ],
)
def test_a_wrong_content_is_refused_with_the_reason(change: dict[str, Any], name: str, reason: str) -> None:
    assert reason in refused(token(payload=change))[name]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "not a signed token of three parts"),
        ("a.b", "not a signed token of three parts"),
        (SEALED + ".", "not a signed token of three parts"),
        (SEALED + "~", "not in base64url|signature"),
        (raw('{"alg":"EdDSA","alg":"none"}', "{}"), "The name 'alg' stands twice in one object."),
        (raw(json.dumps(HEADER), '{"a":1,"a":2}'), "The name 'a' stands twice in one object."),
        (raw(json.dumps(HEADER), '{"a":NaN}'), "NaN is no JSON number."),
        (raw("[]", "{}"), "The header or content of the token is not a JSON object."),
        (raw(json.dumps(HEADER), "[]"), "The header or content of the token is not a JSON object."),
        ("A" * jose.MAX_CHARACTERS + "..", "more than 2097152 characters"),
    ],
    ids=range(10),
)
def test_a_text_that_is_no_token_is_refused_with_the_reason(text: Any, reason: str) -> None:
    assert any(part in " ".join(refused(text).values()) for part in reason.split("|"))


def test_a_token_without_signature_is_refused() -> None:
    unsigned = token({"alg": "none"}).rsplit(".", 1)[0] + "."
    assert {"token.header", "token.signature"} <= set(refused(unsigned))


def test_a_token_signed_by_another_in_the_issuers_name_is_refused() -> None:
    assert refused(token(signer=STRANGER)) == {
        "token.signature": "The signature is wrong: something was changed, or another key made it."
    }


def test_a_credential_of_another_issuer_than_expected_is_refused() -> None:
    assert report(SEALED, expected_issuer=COLLECTOR.did).verified
    assert "should be from" in refused(SEALED, expected_issuer=STRANGER.did)["issuer"]


def test_a_status_is_looked_up_in_a_list_that_is_a_token_too() -> None:
    url = "https://collector.example/status/1"
    document = seal(
        DIAGNOSIS | {"credentialStatus": status.entry(url, 7, "revocation")}, COLLECTOR, created=NOW
    )

    def listed(bits: bytes) -> str:
        payload = status.status_list(
            COLLECTOR.did, url, bits, purpose="revocation", valid_from=NOW, valid_until=NOW + DAY
        )
        return seal(payload, COLLECTOR, created=NOW)

    clear = bytes(status.LEAST // 8)
    assert report(document, statuses=lambda _: listed(clear)).verified
    assert report(document, statuses=lambda _: listed(b"\x01" + clear[1:])).reason.startswith(
        "It was revoked"
    )
    assert "cannot be looked up here" in report(document).reason


@pytest.mark.parametrize(
    "document",
    [
        DIAGNOSIS | {"issuer": ""},
        DIAGNOSIS | {"iss": STRANGER.did},
        DIAGNOSIS | {"extra": 2**53},
        integrity.seal(DIAGNOSIS, COLLECTOR, created=NOW),
    ],
)
def test_what_could_not_be_verified_is_not_sealed(document: Any) -> None:
    with pytest.raises(Invalid):
        seal(document, COLLECTOR, created=NOW)


def test_a_time_without_zone_is_the_callers_mistake() -> None:
    with pytest.raises(Invalid, match="no time zone"):
        report(SEALED, now=NOW.replace(tzinfo=None))


# An independent implementation


def test_jwcrypto_verifies_what_we_sign_and_we_what_it_signs() -> None:
    raw_key = COLLECTOR.key.private_bytes_raw()
    public = COLLECTOR.key.public_key().public_bytes_raw()
    key = JWK(kty="OKP", crv="Ed25519", d=base64url.encode(raw_key), x=base64url.encode(public))
    theirs = JWS()
    theirs.deserialize(SEALED)
    theirs.verify(key, alg="EdDSA")
    assert json.loads(theirs.payload) == PAYLOAD
    made = JWS(json.dumps(PAYLOAD).encode())
    made.add_signature(key, alg="EdDSA", protected=json.dumps(HEADER))
    assert report(made.serialize(compact=True)).verified
