import json
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jwcrypto.jwk import JWK  # type: ignore[import-untyped]
from sd_jwt.common import SDObj  # type: ignore[import-untyped]
from sd_jwt.holder import SDJWTHolder  # type: ignore[import-untyped]
from sd_jwt.issuer import SDJWTIssuer  # type: ignore[import-untyped]
from sd_jwt.verifier import SDJWTVerifier  # type: ignore[import-untyped]

from credentials import base64url, integrity, jose, jwt, seals, status
from credentials.canonical import canonical
from credentials.keys import LocalSigner
from credentials.report import Report
from credentials.resolution import KeyResolver
from credentials.sdjwt import CLAIMS, WORDS, Path, disclosable, present, seal, verify
from credentials.vc import credential
from schemas.errors import Invalid
from tests.credentials.json_values import at, places, texts, values, without

NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
COLLECTOR = LocalSigner.from_seed(b"c" * 32)
MAKER = LocalSigner.from_seed(b"m" * 32)
STRANGER = LocalSigner.from_seed(b"s" * 32)
VCT = "https://example.com/credentials/diagnosis"
SUBJECT = "credentialSubject"
DIAGNOSIS = credential(
    COLLECTOR.did,
    ["Diagnosis"],
    {
        "id": "urn:uuid:11111111-1111-4111-8111-111111111111",
        "電圧": 3.652,
        "soh": {"value": 0.91, "lower": 0.89, "method": {"name": "polarisation", "version": "1"}},
        "impedances": [{"ohm": 4.2e-05, "hertz": 1000}, {"ohm": 0.00095, "hertz": 1}, 7],
    },
    id="urn:uuid:22222222-2222-4222-8222-222222222222",
    valid_from=NOW - DAY,
    valid_until=NOW + DAY,
)
HIDDEN: list[Path] = [
    (SUBJECT, "id"),
    (SUBJECT, "電圧"),
    (SUBJECT, "soh"),
    (SUBJECT, "soh", "lower"),
    (SUBJECT, "soh", "method", "version"),
    (SUBJECT, "impedances", 0),
    (SUBJECT, "impedances", 1),
    (SUBJECT, "impedances", 1, "ohm"),
]


def public(signer: LocalSigner) -> bytes:
    return signer.key.public_key().public_bytes_raw()


SEALED = seal(DIAGNOSIS, COLLECTOR, created=NOW, vct=VCT, hidden=HIDDEN, holder=public(MAKER))
ASKED = {"audience": "did:example:asker", "nonce": "n-1"}
SHOWN = present(SEALED, [(SUBJECT, "soh"), (SUBJECT, "impedances", 1, "ohm")], holder=MAKER, now=NOW, **ASKED)
HEADER, PAYLOAD = (json.loads(base64url.decode(part)) for part in SEALED.split("~")[0].split(".")[:2])


def report(text: object, **options: Any) -> Report:
    return verify(text, KeyResolver(), **({"now": NOW} | options))


def refused(text: object, **options: Any) -> dict[str, str]:
    found = report(text, **options)
    assert found.verified == (not found.refusals)
    return {check.name: str(check) for check in found.refusals}


def signed(payload: Any, *disclosures: str, header: Any = None, signer: LocalSigner = COLLECTOR) -> str:
    """A rightly signed token over this payload, with these disclosures."""
    claims = {"iss": COLLECTOR.did, "vct": VCT, "iat": jose.seconds(NOW)}
    token = jose.compact(HEADER | (header or {}), claims | payload, signer)
    return "~".join([token, *disclosures, ""])


def disclosure(*parts: Any) -> str:
    return base64url.encode(json.dumps(parts).encode())


def digest(text: str) -> str:
    return base64url.encode(sha256(text.encode()).digest())


def body(**subject: Any) -> Any:
    return DIAGNOSIS | {SUBJECT: {"a": 1} | subject}


# Laws


def test_what_is_sealed_verifies_and_reads_as_the_credential() -> None:
    found = report(SEALED)
    assert found.reason == ""
    assert found.document == DIAGNOSIS
    assert (found.author, found.signers) == (COLLECTOR.did, (COLLECTOR.did,))


def test_what_is_presented_shows_what_was_chosen_and_around_it() -> None:
    found = report(SHOWN, **ASKED)
    assert found.reason == ""
    assert {check.name for check in found.checks} <= set(WORDS)
    assert found.document is not None
    assert found.document[SUBJECT] == {
        "soh": {"value": 0.91, "method": {"name": "polarisation"}},
        "impedances": [{"ohm": 0.00095, "hertz": 1}, 7],
    }


@given(values, st.data())
@settings(deadline=None, max_examples=60)
def test_any_choice_of_hidden_and_shown_parts_reads_back(claim: Any, data: st.DataObject) -> None:
    document = credential(COLLECTOR.did, [], {"claim": claim, "open": 1}, id="urn:uuid:1", valid_from=NOW)
    reserved = {"_sd", "...", "_sd_alg"}
    inside = [path for path in places(document) if path[:1] == (SUBJECT,) and len(path) > 1]
    assume(not any(reserved & {*path} for path in inside))
    hidden = data.draw(st.lists(st.sampled_from(inside), unique=True, max_size=6))
    sealed = seal(document, COLLECTOR, created=NOW, vct=VCT, hidden=hidden)
    assert report(sealed).document == document
    shown = data.draw(st.lists(st.sampled_from(hidden), unique=True)) if hidden else []
    presented = report(present(sealed, shown)).document
    expected: Any = document
    kept = {path[:length] for path in shown for length in range(1, len(path) + 1)}
    for path in sorted(hidden, key=lambda path: (len(path), str(path)), reverse=True):
        if path not in kept:
            expected = gap(expected, path)
    assert presented == closed(expected)


class Gap:
    """Stands where an element of a list was, so that places keep their numbers."""


def gap(value: Any, path: Path) -> Any:
    holder = at(value, path[:-1])
    if isinstance(holder, dict):
        return without(value, path)
    from tests.credentials.json_values import changed

    return changed(value, path, Gap)


def closed(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: closed(item) for name, item in value.items()}
    return [closed(item) for item in value if item is not Gap] if isinstance(value, list) else value


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_no_letter_can_be_changed(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(SHOWN) - 1))
    letter = data.draw(
        st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=~ é")
    )
    other = SHOWN[:place] + letter + SHOWN[place + 1 :]
    if other != SHOWN:
        assert refused(other, **ASKED)


def test_no_disclosure_can_be_left_out_added_or_moved_once_presented() -> None:
    token, *disclosures, binding = SHOWN.split("~")
    for number in range(len(disclosures)):
        rest = disclosures[:number] + disclosures[number + 1 :]
        assert refused("~".join([token, *rest, binding]), **ASKED)
    more = next(text for text in SEALED.split("~")[1:-1] if text not in disclosures)
    found = refused("~".join([token, *disclosures, more, binding]), **ASKED)
    assert found["binding"] == "It was presented with other disclosures."
    assert "binding" in refused("~".join([token, *reversed(disclosures), binding]), **ASKED)


@given(st.text() | values | st.from_regex(r"[A-Za-z0-9_-]*(\.[A-Za-z0-9_-]*){2}(~[A-Za-z0-9_.-]*){1,3}"))
def test_any_value_gets_a_report(text: object) -> None:
    assert refused(text)
    assert refused(text, **ASKED)


@given(values, st.lists(values, max_size=3))
@settings(deadline=None)
def test_any_signed_json_with_any_disclosures_gets_a_report(payload: Any, shown: list[Any]) -> None:
    parts = [base64url.encode(canonical(part)) for part in (HEADER, payload)]
    text = ".".join(parts)
    token = f"{text}.{base64url.encode(COLLECTOR.sign(text.encode()))}"
    assert refused("~".join([token, *(base64url.encode(canonical(each)) for each in shown), ""]))


@given(st.dictionaries(st.sampled_from([*PAYLOAD, "nbf", "status", "_sd", "..."]), values), values)
@settings(deadline=None)
def test_any_token_with_the_right_names_gets_a_report(members: Any, inside: Any) -> None:
    for text in (signed(PAYLOAD | members), signed(body(_sd=inside)), signed(body(b=[{"...": inside}]))):
        found = report(text)
        assert found.verified == (not found.refusals)


@given(values, texts)
@settings(deadline=None)
def test_any_confirmation_and_answer_gets_a_report(confirmation: Any, answer: str) -> None:
    found = refused(signed(PAYLOAD | {"cnf": confirmation}) + answer, **ASKED)
    assert {"binding", "readable"} & set(found)


# What can be learnt without being told


def test_decoys_hide_how_much_is_hidden() -> None:
    counts = [
        len(at(PAYLOAD, (SUBJECT, "_sd"))),
        sum("..." in str(each) for each in PAYLOAD[SUBJECT]["impedances"]),
    ]
    assert counts == [4, 4]
    assert PAYLOAD[SUBJECT]["_sd"] == sorted(PAYLOAD[SUBJECT]["_sd"])


def test_the_same_credential_sealed_twice_has_no_digest_in_common() -> None:
    again = seal(DIAGNOSIS, COLLECTOR, created=NOW, vct=VCT, hidden=HIDDEN)
    assert not set(SEALED.split("~")[1:-1]) & set(again.split("~")[1:-1])


def test_what_was_not_shown_is_nowhere_in_the_presentation() -> None:
    texts = [base64url.decode(part) for part in SHOWN.replace("~", ".").split(".") if part]
    assert not any("電圧".encode() in text or b"urn:uuid:1111" in text for text in texts)


# Each refusal has its reason


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        (None, "readable", "no token with disclosures"),
        (jwt.seal(DIAGNOSIS, COLLECTOR, created=NOW), "readable", "no token with disclosures"),
        ("~", "readable", "not a signed token of three parts"),
        (signed(DIAGNOSIS, ""), "readable", "The text is not JSON"),
        (signed(DIAGNOSIS, disclosure()), "readable", "malformed, or uses a reserved name"),
        (signed(DIAGNOSIS, disclosure("s")), "readable", "malformed"),
        (signed(DIAGNOSIS, disclosure(1, "n", 2)), "readable", "malformed"),
        (signed(DIAGNOSIS, disclosure("s", "_sd", [])), "readable", "uses a reserved name"),
        (signed(DIAGNOSIS, disclosure("s", "...", "x")), "readable", "uses a reserved name"),
        (signed(DIAGNOSIS, base64url.encode(b'["s","n",{"a":1,"a":2}]')), "readable", "stands twice"),
        (signed(DIAGNOSIS, *[disclosure("s", "n", 1)] * 2), "readable", "It discloses one thing twice."),
        (signed(DIAGNOSIS, *["AA"] * 4097), "readable", "more than 4096 things"),
        (signed(DIAGNOSIS, disclosure("s", "n", 1)), "disclosures", "something that was not sealed"),
        (signed(body(_sd=["x"])), "disclosures", "A digest of something hidden is malformed."),
        (signed(body(_sd="x")), "disclosures", "A digest of something hidden is malformed."),
        (signed(body(b=[{"...": 1}])), "disclosures", "A digest of something hidden is malformed."),
        (signed(body(b=[{"...": "A" * 43, "c": 1}])), "disclosures", "A digest of something hidden is malf"),
        (signed(body(_sd=["A" * 43] * 2)), "disclosures", "One digest stands in two places."),
        (
            signed(body(_sd=["A" * 43], b=[{"...": "A" * 43}])),
            "disclosures",
            "One digest stands in two places.",
        ),
        (signed(body(b={"_sd_alg": "sha-256"})), "disclosures", "stands for something hidden"),
        (signed(body(b={"...": "A" * 43})), "disclosures", "stands for something hidden"),
        (signed(DIAGNOSIS | {"_sd_alg": "sha-512"}), "disclosures", "made with sha-512, not with sha-256"),
        (signed(DIAGNOSIS | {"_sd_alg": None}), "disclosures", "made with nothing"),
    ],
    ids=range(23),
)
def test_wrong_disclosures_are_refused_with_the_reason(text: Any, name: str, reason: str) -> None:
    assert reason in refused(text)[name]


NAMED, ELEMENT = disclosure("s", "a", 2), disclosure("s", 2)
INNER = disclosure("s", "b", {"_sd": [digest(disclosure("s", "c", 1))]})


@pytest.mark.parametrize(
    ("subject", "disclosures", "reason"),
    [
        ({"_sd": [digest(NAMED)]}, [NAMED], "What is disclosed as a stands there already."),
        ({"_sd": [digest(ELEMENT)]}, [ELEMENT], "An element of a list is disclosed as a member"),
        ({"b": [{"...": digest(NAMED)}]}, [NAMED], "An element of a list is disclosed as a member"),
        ({"_sd": [digest(INNER)]}, [disclosure("s", "c", 1)], "something that was not sealed"),
        (
            {"_sd": [digest(INNER), digest(disclosure("s", "c", 1))]},
            [INNER],
            "One digest stands in two places.",
        ),
    ],
)
def test_a_disclosure_belongs_to_its_place(subject: Any, disclosures: list[str], reason: str) -> None:
    assert reason in refused(signed(body(**subject), *disclosures))["disclosures"]


def test_what_the_seal_rests_on_cannot_be_disclosed_later() -> None:
    for name in ("exp", "nbf", "cnf", "vct", "iss", "status", "validUntil", "credentialStatus", "issuer"):
        hidden = disclosure("s", name, 1)
        members = {key: value for key, value in DIAGNOSIS.items() if key != name} | {"_sd": [digest(hidden)]}
        claims = {"iss": COLLECTOR.did, "vct": VCT}
        claims.pop(name, None)
        text = "~".join([jose.compact(HEADER, claims | members, COLLECTOR), hidden, ""])
        assert refused(text)["disclosures"] == f"{name} cannot be hidden."


def test_disclosures_nested_without_end_are_refused() -> None:
    inner: Any = 1
    chain: list[str] = []
    for _ in range(100):
        chain.append(disclosure("s", "a", inner))
        inner = {"_sd": [digest(chain[-1])]}
    found = refused(signed(DIAGNOSIS | {SUBJECT: inner}, *chain))
    assert "nests more than" in found["disclosures"]


@pytest.mark.parametrize(
    ("change", "name", "reason"),
    [
        ({"vct": None}, "token.claims", "does not say of which type"),
        ({"iss": STRANGER.did}, "token.claims", "The token's iss is not"),
        ({"status": {"status_list": {}}}, "token.claims", "Its status is of a kind unknown here."),
        ({"vc": {}}, "token.claims", "something that its type does not know (vc)"),
        ({"exp": 1775035799}, "token.period", "It has expired"),
        ({"nbf": 1775035900}, "token.period", "It is not yet valid"),
        ({"validUntil": "2026-04-01T09:29:59Z"}, "period", "It has expired"),
        ({"credentialStatus": {}}, "status", "cannot be looked up here"),
        ({SUBJECT: {"_sd": ["A" * 43]}}, "subject", "It says nothing of any subject."),
    ],
)
def test_a_wrong_content_is_refused_with_the_reason(change: dict[str, Any], name: str, reason: str) -> None:
    assert reason in refused(signed(DIAGNOSIS | change))[name]


@pytest.mark.parametrize(
    ("header", "name", "reason"),
    [
        ({"typ": "vc+sd-jwt"}, "token.header", "of type vc+sd-jwt, not dc+sd-jwt"),
        ({"alg": "none"}, "token.header", "signed with none"),
        ({"jwk": {}}, "token.header", "brings a key along"),
        ({"kid": STRANGER.verification_method}, "token.signer", f"The key of {STRANGER.did} sealed it"),
    ],
)
def test_a_wrong_header_is_refused_with_the_reason(header: dict[str, Any], name: str, reason: str) -> None:
    assert reason in refused(signed(DIAGNOSIS, header=header))[name]


# Key binding


def test_a_presentation_answers_its_question_alone() -> None:
    assert refused(SHOWN, **(ASKED | {"nonce": "n-2"})) == {
        "binding.question": "It answers another question than was asked."
    }
    assert refused(SHOWN, **(ASKED | {"audience": "did:example:other"})) == {
        "binding.question": "It was presented to did:example:asker, not to did:example:other."
    }
    assert refused(SHOWN) == {"binding.question": "It answers a question that nobody asked."}


def test_a_presentation_that_was_asked_for_needs_the_holders_key() -> None:
    unbound = present(SEALED, [(SUBJECT, "soh")])
    assert refused(unbound, **ASKED)["binding"] == "It was not presented by the key that it was issued to."
    for thief in (STRANGER, COLLECTOR):
        stolen = present(SEALED, [(SUBJECT, "soh")], holder=thief, now=NOW, **ASKED)
        assert "The signature is wrong" in refused(stolen, **ASKED)["binding"]


def test_a_credential_issued_to_no_key_cannot_be_presented_by_one() -> None:
    bearer = seal(DIAGNOSIS, COLLECTOR, created=NOW, vct=VCT, hidden=HIDDEN)
    shown = present(bearer, HIDDEN, holder=MAKER, now=NOW, **ASKED)
    assert refused(shown, **ASKED)["binding"] == "It was issued to no key that could present it."


def test_an_old_presentation_is_refused_and_one_from_the_future_too() -> None:
    assert report(SHOWN, now=NOW + timedelta(minutes=5), **ASKED).verified
    late = refused(SHOWN, now=NOW + timedelta(minutes=5, seconds=1), **ASKED)
    assert late == {"binding.time": "It was presented too long ago, on 2026-04-01T09:30:00+00:00."}
    assert "in the future" in refused(SHOWN, now=NOW - timedelta(minutes=2), **ASKED)["binding.time"]


@pytest.mark.parametrize(
    ("header", "claims", "name", "reason"),
    [
        ({"typ": "JWT"}, {}, "binding", "of type JWT, not kb+jwt"),
        ({"alg": "none"}, {}, "binding", "signed with none"),
        ({"jwk": {}}, {}, "binding", "brings a key along"),
        ({}, {"sd_hash": "x"}, "binding", "other disclosures"),
        ({}, {"sd_hash": None}, "binding", "other disclosures"),
        ({}, {"iat": None}, "binding.time", "not a time in seconds"),
        ({}, {"exp": 1775035799}, "binding.time", "It has expired"),
        ({}, {"aud": ["did:example:asker"]}, "binding.question", "It was presented to a list"),
    ],
)
def test_a_wrong_answer_is_refused_with_the_reason(header: Any, claims: Any, name: str, reason: str) -> None:
    presented = present(SEALED, [(SUBJECT, "soh")])
    right = {"aud": ASKED["audience"], "nonce": ASKED["nonce"], "iat": jose.seconds(NOW)}
    right |= {"sd_hash": digest(presented)}
    answer = jose.compact({"alg": "EdDSA", "typ": "kb+jwt"} | header, right | claims, MAKER)
    assert reason in refused(presented + answer, **ASKED)[name]


def test_an_answer_without_time_is_refused() -> None:
    presented = present(SEALED, [(SUBJECT, "soh")])
    claims = {"aud": ASKED["audience"], "nonce": ASKED["nonce"], "sd_hash": digest(presented)}
    answer = jose.compact({"alg": "EdDSA", "typ": "kb+jwt"}, claims, MAKER)
    assert refused(presented + answer, **ASKED) == {"binding.time": "It does not say when it was presented."}


def test_the_caller_asks_with_audience_and_nonce_or_with_neither() -> None:
    for half in ({"audience": "a"}, {"nonce": "n"}):
        with pytest.raises(Invalid, match="both the audience and the nonce"):
            report(SEALED, **half)


# Sealing and presenting


@pytest.mark.parametrize(
    ("change", "hidden"),
    [
        ({"issuer": ""}, []),
        ({"cnf": {}}, []),
        ({"exp": 1}, []),
        ({"_sd": []}, []),
        ({SUBJECT: {"...": 1}}, []),
        ({}, [()]),
        ({}, [("issuer",)]),
        ({}, [("validUntil",)]),
        ({}, [(SUBJECT, "nothing")]),
        ({}, [(SUBJECT, "impedances", 3)]),
    ],
)
def test_what_could_not_be_verified_is_not_sealed(change: Any, hidden: list[Path]) -> None:
    with pytest.raises(Invalid):
        seal(DIAGNOSIS | change, COLLECTOR, created=NOW, vct=VCT, hidden=hidden)


def test_only_what_was_hidden_can_be_shown_and_only_once() -> None:
    assert set(disclosable(SEALED)) == set(HIDDEN)
    with pytest.raises(Invalid, match="nothing at credentialSubject/weight to show"):
        present(SEALED, [(SUBJECT, "weight")])
    with pytest.raises(Invalid, match="presentation already"):
        present(SHOWN, [])
    with pytest.raises(Invalid, match="who asks, what, and when"):
        present(SEALED, [], holder=MAKER)


# Whatever the seal


def test_any_seal_is_verified_with_any_seal_of_its_status_list() -> None:
    url = "https://collector.example/status/1"
    document = DIAGNOSIS | {"credentialStatus": status.entry(url, 7, "revocation")}
    sealed: list[Any] = [
        integrity.seal(document, COLLECTOR, created=NOW),
        jwt.seal(document, COLLECTOR, created=NOW),
        seal(document, COLLECTOR, created=NOW, vct=VCT, hidden=HIDDEN),
    ]
    for bits, reason in ((b"", ""), (b"\x01", "It was revoked by its issuer.")):
        payload = status.status_list(
            COLLECTOR.did, url, bits.ljust(status.LEAST // 8, b"\0"), purpose="revocation",
            valid_from=NOW, valid_until=NOW + DAY,
        )  # fmt: skip
        for listed in (
            integrity.seal(payload, COLLECTOR, created=NOW),
            jwt.seal(payload, COLLECTOR, created=NOW),
        ):
            for one in sealed:
                found = seals.verify(one, KeyResolver(), now=NOW, statuses={url: listed}.__getitem__)
                assert found.reason == reason


@given(st.text() | values)
def test_any_value_gets_a_report_whatever_its_seal(value: Any) -> None:
    assert not seals.verify(value, KeyResolver(), now=NOW).verified


# An independent implementation


@cache
def jwk(signer: LocalSigner) -> Any:
    raw = signer.key.private_bytes_raw()
    return JWK(kty="OKP", crv="Ed25519", d=base64url.encode(raw), x=base64url.encode(public(signer)))


def test_the_sd_jwt_package_reads_what_we_seal_and_present() -> None:
    theirs = SDJWTVerifier(SEALED, lambda issuer, header: jwk(COLLECTOR)).get_verified_payload()
    assert {name: value for name, value in theirs.items() if name not in CLAIMS} == DIAGNOSIS
    found = SDJWTVerifier(SHOWN, lambda issuer, header: jwk(COLLECTOR))
    found._verify_key_binding_jwt(ASKED["audience"], ASKED["nonce"], "EdDSA")
    expected = report(SHOWN, **ASKED).document
    theirs = found.get_verified_payload()
    assert {name: value for name, value in theirs.items() if name not in CLAIMS} == expected


def test_we_read_what_the_sd_jwt_package_seals_and_presents() -> None:
    subject = DIAGNOSIS[SUBJECT]
    claims = {name: value for name, value in DIAGNOSIS.items() if name != "validUntil"} | {
        "iss": COLLECTOR.did,
        "vct": VCT,
        SUBJECT: {
            SDObj("soh"): {"value": 0.91, SDObj("lower"): 0.89},
            "impedances": [SDObj(subject["impedances"][0]), 7],
        },
    }
    issuer = SDJWTIssuer(
        claims,
        jwk(COLLECTOR),
        JWK.from_json(jwk(MAKER).export_public()),
        sign_alg="EdDSA",
        add_decoy_claims=True,
        extra_header_parameters=HEADER,
    )
    holder = SDJWTHolder(issuer.sd_jwt_issuance)
    holder.create_presentation(
        {SUBJECT: {"soh": {"lower": True}}}, ASKED["nonce"], ASKED["audience"], jwk(MAKER), sign_alg="EdDSA"
    )
    now = datetime.now(UTC)  # the package writes the time of its own clock
    found = report(holder.sd_jwt_presentation, now=now, **ASKED)
    assert found.reason == ""
    assert found.document is not None
    assert found.document[SUBJECT] == {"soh": {"value": 0.91, "lower": 0.89}, "impedances": [7]}
    assert report(issuer.sd_jwt_issuance, now=now).verified
