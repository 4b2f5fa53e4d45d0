"""Presentations as tokens, and tokens in envelopes: strict as everywhere, with a reason for each refusal."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credentials import integrity, jose, jwt, sdjwt, seals
from credentials.envelope import MEDIA_TYPES, enveloped, is_envelope, opened
from credentials.form import V2
from credentials.keys import LocalSigner
from credentials.report import Report
from credentials.resolution import KeyResolver
from credentials.vc import credential, presentation
from schemas.errors import Invalid
from tests.credentials.json_values import values

NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
COLLECTOR = LocalSigner.from_seed(b"c" * 32)
RECYCLER = LocalSigner.from_seed(b"r" * 32)
STRANGER = LocalSigner.from_seed(b"s" * 32)
DIAGNOSIS = credential(
    COLLECTOR.did,
    [],
    {"soh": 0.91, "volt": 3.6},
    id="urn:uuid:1",
    valid_from=NOW - DAY,
    valid_until=NOW + DAY,
)
VC = jwt.seal(DIAGNOSIS, COLLECTOR, created=NOW)
HIDING = sdjwt.seal(
    DIAGNOSIS,
    COLLECTOR,
    created=NOW,
    vct="urn:vct:1",
    hidden=[("credentialSubject", "soh")],
    holder=RECYCLER.key.public_key().public_bytes_raw(),
)
ASKED: Any = {"challenge": "nonce-1", "domain": "did:example:asker"}
BOUND = sdjwt.present(
    HIDING, [], holder=RECYCLER, audience=ASKED["domain"], nonce=ASKED["challenge"], now=NOW
)
WITHIN = enveloped(VC, "application/vc+jwt")
SHOWN = presentation(
    RECYCLER.did,
    [
        WITHIN,
        enveloped(BOUND, "application/dc+sd-jwt"),
        integrity.seal(DIAGNOSIS, COLLECTOR, created=NOW),
    ],
)
VP = jwt.seal(SHOWN, RECYCLER, created=NOW, **ASKED)


def report(sealed: object, **options: Any) -> Report:
    return seals.verify(sealed, KeyResolver(), **({"now": NOW} | options))


def refused(sealed: object, **options: Any) -> dict[str, str]:
    found = report(sealed, **options)
    assert found.verified == (not found.refusals)
    return {check.name: str(check) for check in found.refusals}


# Laws


def test_a_presentation_in_a_token_shows_credentials_with_every_seal() -> None:
    found = report(VP, **ASKED)
    assert found.reason == ""
    assert found.document == SHOWN
    assert [inner.author for inner in found.credentials] == [COLLECTOR.did] * 3
    assert [inner.document["credentialSubject"] for inner in found.credentials if inner.document] == [
        {"soh": 0.91, "volt": 3.6},
        {"volt": 3.6},
        {"soh": 0.91, "volt": 3.6},
    ]


@pytest.mark.parametrize(
    ("token", "media_type", "asked"),
    [
        (VC, "application/vc+jwt", {}),
        (BOUND, "application/dc+sd-jwt", ASKED),
        (VP, "application/vp+jwt", ASKED),
    ],
)
def test_what_is_in_an_envelope_is_judged_as_if_bare(
    token: str, media_type: str, asked: dict[str, str]
) -> None:
    envelope = enveloped(token, media_type)
    assert is_envelope(envelope)
    assert opened(envelope) == (token, media_type)
    bare, within = report(token, **asked), report(envelope, **asked)
    assert within.verified
    assert (within.document, within.author, within.signers) == (bare.document, bare.author, bare.signers)


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_letter_of_a_presented_token_can_be_changed(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(VP) - 1))
    other = VP[:place] + data.draw(st.sampled_from("AZaz09-_.~ é")) + VP[place + 1 :]
    if other != VP:
        assert refused(other, **ASKED)


@given(
    st.dictionaries(
        st.sampled_from(["@context", "id", "type", "x"]),
        values | st.sampled_from([V2, *MEDIA_TYPES.values()]),
    )
)
@settings(deadline=None)
def test_any_change_of_an_envelope_gets_a_report(change: dict[str, Any]) -> None:
    found = report(WITHIN | change)
    if found.verified:
        assert (WITHIN | change)["id"] == WITHIN["id"]


@given(st.binary(max_size=200) | values.map(lambda value: str(value).encode()))
def test_any_bytes_are_read_or_refused_in_words(data: bytes) -> None:
    try:
        found = seals.read(data)
    except Invalid:
        return
    assert refused(found)


# Bad inputs


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({}, "token.question"),
        (ASKED | {"challenge": "nonce-2"}, "token.question"),
        (ASKED | {"domain": "did:example:other"}, "token.question"),
    ],
)
def test_an_answer_to_another_question_is_refused(asked: dict[str, str], name: str) -> None:
    assert name in refused(VP, **asked)


def test_a_credential_alone_answers_no_question() -> None:
    assert "answers no question" in refused(VC, **ASKED)["token.question"]


def test_a_credential_bound_to_a_key_is_not_presented_by_another() -> None:
    stolen = presentation(STRANGER.did, [enveloped(HIDING, "application/dc+sd-jwt")])
    found = refused(jwt.seal(stolen, STRANGER, created=NOW, **ASKED), **ASKED)
    assert found["binding"] == "It was not presented by the key that it was issued to."


def test_a_presentation_by_another_than_its_holder_is_refused() -> None:
    assert "token.signer" in refused(jwt.seal(SHOWN, STRANGER, created=NOW, **ASKED), **ASKED)


def test_a_presentation_is_no_better_than_what_it_presents() -> None:
    forged = jose.compact(
        {"alg": "EdDSA", "typ": "vc+jwt", "kid": COLLECTOR.verification_method}, DIAGNOSIS, STRANGER
    )
    shown = presentation(RECYCLER.did, [enveloped(forged, "application/vc+jwt")])
    found = report(jwt.seal(shown, RECYCLER, created=NOW), now=NOW)
    assert not found.verified
    assert "signature" in found.reason


def test_a_credential_does_not_answer_a_question() -> None:
    with pytest.raises(Invalid, match="Only a presentation"):
        jwt.seal(DIAGNOSIS, COLLECTOR, created=NOW, challenge="x")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"issuer": COLLECTOR.did}, "says nothing but"),
        ({"@context": None}, "no list @context"),
        ({"@context": ["https://example.org/other"]}, "first @context"),
        ({"id": None}, "does not hold its token"),
        ({"id": VC}, "does not hold its token"),
        ({"id": "data:application/vc+jwt"}, "does not hold its token"),
        ({"id": f"data:application/vp+jwt,{VC}"}, "of another type"),
        ({"id": f"data:application/dc+sd-jwt,{VC}"}, "of another type"),
        ({"id": f"data:application/vc+jwt,{BOUND}"}, "of another type"),
        ({"id": f"data:application/vc+jwt,{VP}"}, "of another type"),
        ({"id": f"data:text/plain,{VC}"}, "of another type"),
    ],
)
def test_a_wrong_envelope_is_refused_with_the_reason(change: dict[str, Any], reason: str) -> None:
    assert reason in refused(WITHIN | change)["envelope"]


def test_nothing_else_is_put_into_an_envelope() -> None:
    with pytest.raises(Invalid, match="is put into an envelope"):
        enveloped(VC, "text/plain")


def test_a_token_that_is_both_is_neither() -> None:
    both = DIAGNOSIS | {"type": ["VerifiableCredential", "VerifiablePresentation"], "holder": COLLECTOR.did}
    header = {"alg": "EdDSA", "typ": "vp+jwt", "kid": COLLECTOR.verification_method}
    assert "type" in refused(jose.compact(header, both, COLLECTOR))
