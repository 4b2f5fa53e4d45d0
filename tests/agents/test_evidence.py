"""The vault keeps files whole or not at all; a sealed blob opens only as it was sealed."""

import hashlib
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.evidence import (
    CHUNK,
    TAG,
    Vault,
    blob_size,
    clean_name,
    seal,
    sniff,
    unseal,
)
from schemas.errors import Invalid, Unavailable, Unknown

KEY = bytes(range(32))
SIZES = st.sampled_from([0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK - 5]) | st.integers(0, 200)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    return Vault(tmp_path / "vault")


def sealed(plain: bytes, key: bytes = KEY) -> bytes:
    return b"".join(seal(io.BytesIO(plain), key))


def opened(blob: bytes, key: bytes = KEY) -> bytes:
    return b"".join(unseal(io.BytesIO(blob), key))


@settings(max_examples=40, deadline=None)
@given(SIZES)
def test_what_is_sealed_opens_to_the_same_and_has_the_size_foretold(size: int) -> None:
    plain = bytes(size)
    blob = sealed(plain)
    assert opened(blob) == plain
    assert len(blob) == blob_size(size)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.data())
def test_no_blob_opens_once_a_bit_is_changed_or_its_end_cut_off(size: int, data: st.DataObject) -> None:
    blob = bytearray(sealed(bytes(size)))
    if data.draw(st.booleans()):
        blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del blob[data.draw(st.integers(0, len(blob) - 1)) :]
    with pytest.raises(Invalid, match="changed"):
        opened(bytes(blob))


def test_chunks_cannot_be_swapped_dropped_repeated_or_added() -> None:
    whole = CHUNK + TAG
    blob = sealed(bytes(CHUNK) + b"\x01" * CHUNK + b"\x02" * 9)
    first, second, third = blob[:whole], blob[whole : 2 * whole], blob[2 * whole :]
    for other in (
        second + first + third,
        first + third,
        first + second,
        first + first + second + third,
        blob + third,
    ):
        with pytest.raises(Invalid, match="changed"):
            opened(other)


def test_another_key_opens_nothing() -> None:
    with pytest.raises(Invalid, match="changed"):
        opened(sealed(b"a photo"), bytes(32))


def test_a_file_is_kept_once_under_its_digest(vault: Vault) -> None:
    data = b"\xff\xd8\xff" + b"pixels"
    stored = vault.put(data)
    assert stored == vault.put([data[:4], data[4:]])
    assert stored.digest == hashlib.sha256(data).hexdigest()
    assert stored.media_type == "image/jpeg"
    assert vault.get(stored.digest) == data
    assert vault.path(stored.digest).parent.name == stored.digest[:2]
    assert [path.name for path in (vault.folder / "files").rglob("*") if path.is_file()] == [stored.digest]


def test_a_file_too_large_or_of_another_digest_leaves_nothing_behind(vault: Vault) -> None:
    with pytest.raises(Invalid, match="larger"):
        vault.put(b"abc", limit=2)
    with pytest.raises(Invalid, match="digest"):
        vault.put(b"abc", expect="0" * 64)
    assert list((vault.folder / "files").rglob("*")) == []


async def test_a_stream_is_kept_as_a_whole_is(vault: Vault) -> None:
    async def parts():
        for number in range(3):
            yield bytes([number]) * 1000

    stored = await vault.put_stream(parts())
    assert stored.size == 3000
    with pytest.raises(Invalid, match="larger"):
        await vault.put_stream(parts(), limit=2999)


@pytest.mark.parametrize("name", ["", "0" * 63, "../../etc/passwd", "0" * 64, "A" * 64])
def test_what_is_not_here_is_unknown(vault: Vault, name: str) -> None:
    with pytest.raises(Unknown):
        vault.path(name)
    with pytest.raises(Unknown):
        vault.blob(name)


def test_a_file_damaged_on_disk_is_not_given_out(vault: Vault) -> None:
    stored = vault.put(b"as it was")
    vault.path(stored.digest).write_bytes(b"as it is not")
    with pytest.raises(Unavailable, match="damaged"):
        vault.get(stored.digest)


def test_each_recipient_gets_a_blob_and_key_of_its_own_and_the_same_ones_again(vault: Vault) -> None:
    stored = vault.put(b"x" * 100_000)
    one, other = vault.seal_blob(stored.digest, "peer-1"), vault.seal_blob(stored.digest, "peer-2")
    assert one.id != other.id
    assert one.key != other.key
    assert vault.seal_blob(stored.digest, "peer-1") == one
    assert vault.blob(one.id).stat().st_size == blob_size(stored.size)
    elsewhere = Vault(vault.folder / "other")
    got = elsewhere.unseal(vault.blob(one.id), one.key, expect=stored.digest, size=stored.size)
    assert got == stored


def test_a_blob_of_another_file_is_refused(vault: Vault) -> None:
    stored, other = vault.put(b"the photo"), vault.put(b"another 1")
    blob = vault.seal_blob(other.digest)
    with pytest.raises(Invalid, match="digest"):
        vault.unseal(vault.blob(blob.id), blob.key, expect=stored.digest, size=stored.size)


@given(st.text(max_size=300))
def test_a_clean_name_is_one_plain_short_name(name: str) -> None:
    clean = clean_name(name)
    assert 0 < len(clean) <= 120
    assert not set(clean) & set('/\\<>:"|?*\0\n\r')
    assert not clean.startswith((".", " "))
    assert clean_name(clean) == clean


def test_a_long_name_keeps_its_ending() -> None:
    assert clean_name("C:\\photos\\" + "a" * 300 + ".jpeg") == "a" * 115 + ".jpeg"


def test_pictures_and_pdf_are_told_by_their_bytes() -> None:
    assert sniff(b"%PDF-1.7") == "application/pdf"
    assert sniff(b"\x89PNG\r\n\x1a\n....") == "image/png"
    assert sniff(b"<html><script>") == "application/octet-stream"
