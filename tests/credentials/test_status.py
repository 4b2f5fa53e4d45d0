import gzip
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credentials import base64url, jose, seals, status
from credentials.integrity import seal, verify
from credentials.keys import LocalSigner
from credentials.report import Report
from credentials.resolution import KeyResolver
from credentials.status import LEAST, MOST, Ledger, allocated, decode, encode, entry, is_set, marked, opened
from credentials.vc import credential
from schemas.errors import Fault, Invalid, Unavailable
from tests.credentials.json_values import values

NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
COLLECTOR = LocalSigner.from_seed(b"c" * 32)
STRANGER = LocalSigner.from_seed(b"s" * 32)
REVOKED, SUSPENDED = "https://collector.example/status/1", "https://collector.example/status/2"
EMPTY = bytes(LEAST // 8)
SEVENTH = b"\x01" + EMPTY[1:]


def listed(bits: bytes = EMPTY, url: str = REVOKED, purpose: Any = "revocation", **change: Any) -> Any:
    """A sealed status list, with its payload changed before the sealing."""
    signer = change.pop("signer", COLLECTOR)
    subject = change.pop("subject", {})
    payload = status.status_list(
        signer.did, url, bits, purpose=purpose, valid_from=NOW - DAY, valid_until=NOW + DAY
    )
    payload |= change
    payload["credentialSubject"] = payload["credentialSubject"] | subject
    return seal(payload, signer, created=NOW)


def diagnosis(*entries: Any) -> Any:
    payload = credential(
        COLLECTOR.did, [], {"soh": 0.9}, id="urn:uuid:1", valid_from=NOW - DAY, status=entries
    )
    return seal(payload, COLLECTOR, created=NOW)


def unlooked(payload: Any) -> str:
    """A token signed without looking at what is in it."""
    header = {"alg": "EdDSA", "typ": "vc+jwt", "kid": COLLECTOR.verification_method}
    return jose.compact(header, payload, COLLECTOR)


def report(document: Any, *lists: Any, now: datetime = NOW) -> Report:
    return verify(document, KeyResolver(), now=now, statuses=served(*lists))


def served(*lists: Any) -> Callable[[str], Any]:
    by_url = {one["id"]: one for one in lists}

    def fetch(url: str) -> Any:
        if url not in by_url:
            raise Unavailable("{url} does not answer.", url=url)
        return by_url[url]

    return fetch


def refused(document: Any, *lists: Any, now: datetime = NOW) -> dict[str, str]:
    return {check.name: str(check) for check in report(document, *lists, now=now).refusals}


def packed(data: bytes) -> str:
    return "u" + urlsafe_b64encode(gzip.compress(data, mtime=0)).rstrip(b"=").decode()


# The bits


chances = st.integers(0, 2**32).map(Random)
indices = st.sets(st.integers(0, LEAST - 1), max_size=20)


@given(indices, st.integers(0, LEAST - 1))
@settings(deadline=None)
def test_a_list_reads_as_it_was_written(on: set[int], other: int) -> None:
    given = Ledger(EMPTY, b"\xff" * (LEAST // 8), EMPTY)
    bits = decode(encode(marked(given, on).bits))
    assert all(is_set(bits, index) for index in on)
    assert is_set(bits, other) == (other in on)
    assert int.from_bytes(bits).bit_count() == len(on)


@given(st.binary(max_size=200))
def test_base64url_reads_what_it_wrote_and_no_other_text(data: bytes) -> None:
    text = base64url.encode(data)
    assert base64url.decode(text) == data
    for other in (text + "=", text + "\n", " " + text, text + "é"):
        with pytest.raises(Invalid):
            base64url.decode(other)


def test_one_row_of_bytes_has_one_text() -> None:
    assert base64url.decode("AA") == b"\0"
    with pytest.raises(Invalid):
        base64url.decode("AB")


def test_the_first_entry_is_the_leftmost_bit() -> None:
    assert is_set(b"\x80", 0)
    assert is_set(b"\x01", 7)
    assert not is_set(b"\x80", 7)


def test_the_standards_own_example_is_an_empty_list() -> None:
    # Bitstring Status List v1.0, section 2.2, example 3
    text = "uH4sIAAAAAAAAA-3BMQEAAADCoPVPbQwfoAAAAAAAAAAAAAAAAAAAAIC3AYbSVKsAQAAA"
    assert decode(text) == EMPTY


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "not written in multibase base64url"),
        ("z" + encode(EMPTY)[1:], "not written in multibase base64url"),
        (encode(EMPTY) + "=", "not in base64url"),
        (encode(EMPTY)[:-8], "cut off"),
        ("uAAAA", "not packed with gzip"),
        ("u", "cut off"),
        (packed(EMPTY[1:]), "fewer than 131072 entries"),
        (packed(bytes(MOST // 8 + 1)), "more than 16777216 entries"),
        (packed(bytes(1 << 29)), "more than 16777216 entries"),
        (
            "u" + urlsafe_b64encode(gzip.compress(EMPTY, mtime=0) * 2).rstrip(b"=").decode(),
            "Something else follows",
        ),
        ("u" + "A" * (status.MAX_TEXT + 1), "more than 4194304 characters"),
    ],
    ids=range(11),
)
def test_a_list_that_is_no_list_is_refused_with_the_reason(text: Any, reason: str) -> None:
    with pytest.raises(Invalid, match=reason):
        decode(text)


@given(st.text() | st.binary().map(lambda data: "u" + base64url.encode(data)) | values)
def test_any_other_text_is_refused(text: Any) -> None:
    with pytest.raises(Invalid):
        decode(text)


# The ledger


@given(chances, st.integers(1, 300))
@settings(max_examples=20, deadline=None)
def test_nobody_gets_an_entry_that_another_has(random: Random, count: int) -> None:
    ledger = opened(random=random)
    first, ledger = allocated(ledger, count, random=random)
    second, ledger = allocated(ledger, count, random=random)
    assert len({*first, *second}) == 2 * count
    assert not any(is_set(ledger.decoys, index) for index in (*first, *second))
    assert ledger.room == LEAST - LEAST // 32 - 2 * count


@given(chances, st.integers(1, 30))
@settings(max_examples=20, deadline=None)
def test_what_is_suspended_and_resumed_is_in_force_again(random: Random, count: int) -> None:
    mine, ledger = allocated(opened(random=random), count, random=random)
    off = marked(ledger, mine, purpose="suspension", random=random)
    assert all(is_set(off.bits, index) for index in mine)
    again = marked(off, mine[:1], purpose="suspension", on=False, random=random)
    assert [is_set(again.bits, index) for index in mine] == [False] + [True] * (count - 1)


@given(chances)
@settings(max_examples=20, deadline=None)
def test_only_what_was_asked_for_and_decoys_change(random: Random) -> None:
    mine, ledger = allocated(opened(random=random), 50, random=random)
    after = marked(ledger, mine[:3], random=random)
    changed = int.from_bytes(after.bits) ^ int.from_bytes(ledger.bits)
    others = changed & ~int.from_bytes(ledger.decoys)
    assert others.bit_count() == 3
    assert int.from_bytes(ledger.bits) & ~int.from_bytes(after.bits) == 0


def test_entries_are_drawn_from_the_whole_list_and_not_in_a_row() -> None:
    drawn, _ = allocated(opened(random=Random(1)), 1000, random=Random(2))
    assert min(drawn) < LEAST // 50
    assert max(drawn) > LEAST - LEAST // 50
    assert list(drawn) != sorted(drawn)


def test_some_decoys_are_set_from_the_beginning() -> None:
    ledger = opened(random=Random(1))
    assert int.from_bytes(ledger.decoys).bit_count() == LEAST // 32
    assert int.from_bytes(ledger.bits).bit_count() == LEAST // 256


def test_a_full_list_is_not_filled_to_the_last_entry() -> None:
    ledger = replace(opened(), given=b"\xff" * (LEAST // 8 - LEAST // 64) + bytes(LEAST // 64))
    with pytest.raises(Unavailable, match="begin another"):
        allocated(ledger)


def test_a_revocation_is_for_ever_and_of_something_given() -> None:
    (mine,), ledger = allocated(opened())
    with pytest.raises(Invalid, match="stays revoked"):
        marked(ledger, [mine], on=False)
    free = next(index for index in range(LEAST) if not is_set(ledger.given, index))
    decoy = next(index for index in range(LEAST) if is_set(ledger.decoys, index))
    for nobodys in (free, decoy, LEAST, -1):
        with pytest.raises(Invalid):
            marked(ledger, [nobodys])


@pytest.mark.parametrize("entries", [0, LEAST - 8, LEAST + 1, MOST + 8])
def test_a_list_has_a_size_that_others_take(entries: int) -> None:
    with pytest.raises(Invalid):
        opened(entries)
    with pytest.raises(Invalid):
        encode(bytes(min(entries, LEAST - 8) // 8))


# The verifier's look


def test_a_credential_in_force_verifies_with_its_evidence() -> None:
    document = diagnosis(entry(REVOKED, 6, "revocation"), entry(SUSPENDED, 8, "suspension"))
    found = report(document, listed(SEVENTH), listed(SEVENTH, SUSPENDED, "suspension"))
    assert found.reason == ""
    assert [check.evidence["index"] for check in found.checks if check.name == "status.standing"] == [
        "6",
        "8",
    ]


def test_a_revoked_credential_is_refused_as_such() -> None:
    document = diagnosis(entry(REVOKED, 7, "revocation"))
    assert refused(document, listed(SEVENTH)) == {"status.standing": "It was revoked by its issuer."}


def test_a_suspended_credential_is_refused_as_such_until_it_is_resumed() -> None:
    document = diagnosis(entry(REVOKED, 1, "revocation"), entry(SUSPENDED, 7, "suspension"))
    off, on = listed(SEVENTH, SUSPENDED, "suspension"), listed(EMPTY, SUSPENDED, "suspension")
    assert refused(document, listed(), off) == {"status.standing": "It is suspended by its issuer."}
    assert report(document, listed(), on).verified


def test_without_lists_at_hand_a_status_is_refused() -> None:
    found = verify(diagnosis(entry(REVOKED, 6, "revocation")), KeyResolver(), now=NOW)
    assert "cannot be looked up here" in found.reason


def test_a_status_inside_a_list_is_refused() -> None:
    nested = listed(credentialStatus=entry(SUSPENDED, 1, "revocation"))
    found = refused(diagnosis(entry(REVOKED, 6, "revocation")), nested, listed(url=SUSPENDED))
    assert "cannot be looked up here" in found["status.list"]


@pytest.mark.parametrize(
    ("served", "reason"),
    [
        ([], f"The status list {REVOKED} cannot be had: {REVOKED} does not answer."),
        ([listed(signer=STRANGER)], f"It is from {STRANGER.did}, but should be from {COLLECTOR.did}"),
        ([listed(validUntil="2026-04-01T09:29:59Z")], "It has expired"),
        ([listed(validFrom="2026-04-01T09:35:00Z")], "It is not yet valid"),
        ([listed() | {"name": "forged"}], "The signature is wrong"),
        ([listed() | {"proof": []}], "its list of proofs is empty"),
        ([listed(url=SUSPENDED) | {"id": REVOKED}], "The signature is wrong"),
        ([listed(type=["VerifiableCredential"])], f"What stands at {REVOKED} is no status list"),
        ([listed(subject={"type": "StatusList2021"})], "It calls itself a status list, but holds none."),
        ([listed(purpose="suspension")], f"The status list {REVOKED} is not for revocation"),
        ([listed(subject={"statusPurpose": None})], "does not say what it is for"),
        ([listed(subject={"statusSize": 2})], "more than one bit an entry"),
        ([listed(subject={"encodedList": "u"})], "cut off"),
        ([listed(subject={"encodedList": packed(bytes(1 << 29))})], "unpacks to more than"),
    ],
)
def test_a_wrong_list_is_refused_with_the_reason(served: list[Any], reason: str) -> None:
    found = refused(diagnosis(entry(REVOKED, 6, "revocation")), *served)
    assert reason in found["status.list"]
    assert found["status.standing"] == "Whether it is in force could not be found out."


def test_another_list_of_the_same_issuer_does_not_stand_in() -> None:
    document = diagnosis(entry(REVOKED, 7, "revocation"))
    found = verify(document, KeyResolver(), now=NOW, statuses=lambda url: listed(url=SUSPENDED))
    assert f"What stands at {REVOKED} is another list, {SUSPENDED}." in found.reason


def test_an_entry_beyond_the_list_is_refused() -> None:
    found = refused(diagnosis(entry(REVOKED, LEAST, "revocation")), listed())
    assert found["status.list"] == "The status list has no entry 131072."


ENTRY = entry(REVOKED, 6, "revocation")


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([], "Its list of status entries is empty."),
        (None, "of a kind unknown here"),
        (ENTRY | {"type": "StatusList2021Entry"}, "of a kind unknown here"),
        (ENTRY | {"statusPurpose": "message"}, "the unknown purpose message"),
        (ENTRY | {"statusListIndex": 6}, "does not name its entry by a number, written as a text"),
        (ENTRY | {"statusListIndex": "06"}, "does not name its entry by a number"),
        (ENTRY | {"statusListIndex": "-6"}, "does not name its entry by a number"),
        (ENTRY | {"statusListIndex": "６"}, "does not name its entry by a number"),
        (ENTRY | {"statusListCredential": "here"}, "does not name its list by a URL"),
        (ENTRY | {"id": REVOKED}, "is not a URL of its own"),
        (ENTRY | {"statusSize": 2}, "has more than one bit"),
        ([ENTRY, ENTRY | {"statusListIndex": "9"}], "two status entries in one list"),
        ([ENTRY] * 9, "more than 8 status entries"),
    ],
)
def test_a_malformed_entry_is_refused_with_the_reason(entries: Any, reason: str) -> None:
    payload = {name: value for name, value in diagnosis().items() if name != "proof"}
    document = unlooked(payload | {"credentialStatus": entries})
    found = seals.verify(document, KeyResolver(), now=NOW, statuses=served(listed()))
    assert reason in {check.name: str(check) for check in found.refusals}["status"]


@given(values, values)
@settings(deadline=None)
def test_whatever_stands_for_entry_and_list_gets_a_report(pointer: Any, document: Any) -> None:
    payload = {name: value for name, value in diagnosis().items() if name != "proof"}
    odd = unlooked(payload | {"credentialStatus": pointer})
    assert not seals.verify(odd, KeyResolver(), now=NOW, statuses=lambda url: document).verified
    found = verify(diagnosis(ENTRY), KeyResolver(), now=NOW, statuses=lambda url: document)
    assert {check.name for check in found.refusals} == {"status.list", "status.standing"}


@given(
    st.dictionaries(
        st.sampled_from(["type", "statusPurpose", "statusListIndex", "statusListCredential", "statusSize"]),
        values,
        min_size=1,
    )
)
@settings(deadline=None)
def test_any_entry_with_the_right_names_is_read_or_refused(change: dict[str, Any]) -> None:
    try:
        (read,) = status.entries({"credentialStatus": ENTRY | change})
    except Fault:
        return
    assert isinstance(read.index, int)


@given(st.dictionaries(st.sampled_from(["type", "statusPurpose", "encodedList", "statusSize"]), values))
@settings(deadline=None)
def test_any_subject_of_a_list_gets_a_report(subject: dict[str, Any]) -> None:
    found = report(diagnosis(ENTRY), listed(subject=subject))
    assert found.verified or {check.name for check in found.refusals} == {"status.list", "status.standing"}


def test_a_presentation_is_refused_for_a_revoked_credential_in_it() -> None:
    from credentials.vc import presentation

    shown = seal(
        presentation(STRANGER.did, [diagnosis(entry(REVOKED, 7, "revocation"))]), STRANGER, created=NOW
    )
    assert report(shown, listed(SEVENTH)).reason == "It was revoked by its issuer."
    assert report(shown, listed()).verified
