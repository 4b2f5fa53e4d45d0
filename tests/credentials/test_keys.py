from contextlib import suppress

import base58 as reference
import pytest
from hypothesis import given
from hypothesis import strategies as st

from credentials import base58
from credentials.keys import LocalSigner, did_key, key_method, multikey, public_key, signature, signed_by
from credentials.resolution import ByMethod, KeyResolver
from schemas.errors import Invalid, Unknown

KEY = "z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"


@given(st.binary(max_size=70))
def test_base58_is_written_and_read_as_the_base58_package_does(data: bytes) -> None:
    assert base58.encode(data) == reference.b58encode(data).decode()
    assert base58.decode(base58.encode(data)) == data


@given(st.binary(min_size=32, max_size=32))
def test_a_multikey_round_trips(key: bytes) -> None:
    assert public_key(multikey(key)) == key


@given(st.integers(0, len(KEY) - 1), st.characters())
def test_two_multikeys_never_name_one_key(place: int, character: str) -> None:
    other = KEY[:place] + character + KEY[place + 1 :]
    if other != KEY:
        with suppress(Invalid):
            assert public_key(other) != public_key(KEY)


@pytest.mark.parametrize(
    "text", ["", "z", KEY + " ", " " + KEY, KEY + "\n", KEY[:-1], KEY + "1", "u" + KEY[1:]]
)
def test_a_multikey_is_read_to_the_letter(text: str) -> None:
    with pytest.raises(Invalid):
        public_key(text)


def test_a_signature_is_64_bytes_read_to_the_letter() -> None:
    text = "z" + base58.encode(b"\xff" * 64)
    assert signature(text) == b"\xff" * 64
    assert signature("z" + base58.encode(bytes(64))) == bytes(64)
    for other in (text + " ", text[1:], text + "1", "z1" + text[1:], "z" + "0" * 88, "z" + "z" * 88):
        with pytest.raises(Invalid):
            signature(other)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=80), st.binary(max_size=80))
def test_a_signature_holds_for_its_own_data_and_key_alone(seed: bytes, data: bytes, other: bytes) -> None:
    signer = LocalSigner.from_seed(seed)
    key = public_key(signer.verification_method.split("#")[1])
    assert signed_by(key, data, signer.sign(data))
    assert signed_by(key, other, signer.sign(data)) == (other == data)
    assert not signed_by(public_key(KEY), data, signer.sign(data))


def test_signers_are_new_each_time_and_the_same_for_the_same_seed() -> None:
    assert LocalSigner.generate().did != LocalSigner.generate().did
    assert LocalSigner.from_seed(b"7" * 32).did == LocalSigner.from_seed(b"7" * 32).did
    with pytest.raises(Invalid, match="32 bytes, not 5"):
        LocalSigner.from_seed(b"short")


def test_a_did_key_resolves_to_the_key_it_is() -> None:
    signer = LocalSigner.generate()
    document = KeyResolver().resolve(signer.did)
    method = document.method(signer.verification_method)
    assert method
    assert (document.id, method.controller, did_key(method.public_key)) == (signer.did,) * 3
    assert method.id == key_method(signer.did)
    assert document.method(signer.did + "#other") is None


@pytest.mark.parametrize(
    ("did", "reason"),
    [
        ("", "is not a DID"),
        ("https://example.com", "is not a DID"),
        ("did:key:", "is not a DID"),
        (f"did:key:{KEY}#{KEY}", "is not a DID"),
        (f"did:key:{KEY}/../x", "is not a DID"),
        (f"did:key:{KEY}\n", "is not a DID"),
        ("did:key:z6LSbysY2xFMRpGMhb7tFTLMpeuPRaqaWM1yECx2AtzE3KCc", "is not an Ed25519 multikey"),
        (f"did:key:{KEY}:{KEY}", "is not an Ed25519 multikey"),
        ("did:web:example.com", "method web are not known"),
    ],
)
def test_a_did_that_cannot_be_resolved_is_refused_in_words(did: str, reason: str) -> None:
    with pytest.raises((Invalid, Unknown), match=reason):
        ByMethod({"key": KeyResolver()}).resolve(did)
