"""The vault keeps files whole or not at all; a sealed blob opens only as it was sealed."""

import hashlib
import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.evidence import (
    CHUNK,
    TAG,
    Blob,
    Fetcher,
    Stored,
    Vault,
    blob_size,
    clean_name,
    seal,
    sniff,
    unseal,
)
from agents.links import Nearness
from agents.ports import AwaitedFile
from agents.role import Company, Evidence
from agents.store import SqlStore, open_store
from schemas.errors import Invalid, Unavailable, Unknown
from tests.fakes import until

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
    async def parts() -> AsyncIterator[bytes]:
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


@dataclass
class Lender:
    """A company that serves a blob, now and then badly."""

    vault: Vault
    cut_after: list[int] = field(default_factory=list)
    """After how many bytes each of the next answers breaks off."""
    statuses: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    change: Callable[[bytes], bytes] = lambda blob: blob

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.headers.get("Range", ""))
        if self.statuses:
            raise web.HTTPFound("http://127.0.0.1:1/") if self.statuses.pop() == 302 else web.HTTPNotFound()
        blob = self.change(self.vault.blob(request.match_info["id"]).read_bytes())
        begin = request.http_range.start or 0
        response = web.StreamResponse(status=206 if begin else 200)
        response.content_length = len(blob) - begin
        if begin:
            response.headers["Content-Range"] = f"bytes {begin}-{len(blob) - 1}/{len(blob)}"
        await response.prepare(request)
        if self.cut_after:
            await response.write(blob[begin : begin + self.cut_after.pop(0)])
            assert request.transport
            request.transport.close()
        else:
            await response.write(blob[begin:])
        return response


@dataclass
class Borrower:
    """A company that was told of a file, and the server it is to fetch it from."""

    store: SqlStore
    vault: Vault
    lender: Lender
    server: BaseTestServer
    stored: Stored
    blob: Blob
    refusals: list[tuple[str, str]] = field(default_factory=list)

    def fetcher(self) -> Fetcher:
        async def report(awaited: AwaitedFile, words: str) -> None:
            self.refusals.append((awaited.evidence.digest, words))

        async def near(peer: str, host: str) -> frozenset[Nearness]:
            return frozenset({"loopback"})

        return Fetcher(self.store, self.vault, report, near, shortest_s=0.01, longest_s=0.05).start()

    async def told(self, **changes: object) -> None:
        entry = Evidence(self.stored.digest, "film.bin", "video/mp4", self.stored.size, "awaited")
        link, key = str(self.server.make_url(f"/blobs/{self.blob.id}")), self.blob.key
        link, key = str(changes.pop("link", link)), str(changes.pop("key", key))
        entry = replace(entry, **changes)  # type: ignore[arg-type]
        await self.store.write(lambda desk: desk.keep_evidence(entry, link=link, key=key, peer=""))

    async def state(self) -> str:
        entry = await self.store.read(lambda desk: desk.evidence(self.stored.digest))
        return entry.state if entry else ""


@pytest.fixture
async def borrower(tmp_path: Path) -> AsyncIterator[Borrower]:
    lender = Lender(Vault(tmp_path / "lender"))
    stored = lender.vault.put(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20_000)
    blob = lender.vault.seal_blob(stored.digest, "borrower")
    app = web.Application()
    app.router.add_get("/blobs/{id}", lender.serve)
    store = open_store(f"sqlite:///{tmp_path / 'books.db'}", Company("did:key:z", "Borrower", ()))
    async with TestServer(app) as server:
        yield Borrower(store, Vault(tmp_path / "vault"), lender, server, stored, blob)
    store.close()


async def test_a_large_file_is_fetched_over_a_line_that_breaks_and_only_the_rest_is_asked_for(
    borrower: Borrower,
) -> None:
    borrower.lender.cut_after = [1_500_000, 700_000]
    fetcher = borrower.fetcher()
    await borrower.told()
    fetcher.wake()
    await until(lambda: borrower.vault.holds(borrower.stored.digest))
    await until(lambda: _is(borrower, "held"))
    await fetcher.stop()
    first, second, third = (int(asked[6:-1] or 0) if asked else 0 for asked in borrower.lender.asked)
    assert 0 == first < second < third
    entry = await borrower.store.read(lambda desk: desk.evidence(borrower.stored.digest))
    assert entry
    assert entry.media_type == "image/png", "what a file is, its bytes say, not the peer"
    assert list((borrower.vault.folder / "parts").iterdir()) == []


async def _is(borrower: Borrower, state: str) -> bool:
    return await borrower.state() == state


async def test_what_was_half_fetched_is_taken_up_again_after_a_restart(borrower: Borrower) -> None:
    borrower.lender.cut_after = [2_000_000]
    await borrower.told()
    fetcher = borrower.fetcher()
    await until(lambda: len(borrower.lender.asked) > 0)
    await until(lambda: any(part.stat().st_size for part in (borrower.vault.folder / "parts").iterdir()))
    await fetcher.stop()
    fetcher = borrower.fetcher()
    await until(lambda: _is(borrower, "held"))
    await fetcher.stop()
    assert borrower.lender.asked[-1].startswith("bytes=")


async def test_a_changed_blob_is_refused_and_its_owner_told(borrower: Borrower) -> None:
    borrower.lender.change = lambda blob: blob[:-1] + bytes([blob[-1] ^ 1])
    await borrower.told()
    fetcher = borrower.fetcher()
    await until(lambda: _is(borrower, "refused"))
    await until(lambda: borrower.refusals)
    await fetcher.stop()
    assert borrower.refusals == [(borrower.stored.digest, "the file was changed on its way")]
    assert not borrower.vault.holds(borrower.stored.digest)
    assert len(borrower.lender.asked) == 1, "what is refused is not asked for again"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 5}, "larger than stated"),
        ({"size": 50_000_001}, "larger than 50000000"),
        ({"size": 6_000_000}, "smaller than stated"),
        ({"key": "no key"}, "no key"),
        ({"link": "ftp://example.org/x"}, "not one we follow"),
    ],
)
async def test_a_file_not_as_announced_is_refused(
    borrower: Borrower, changes: dict[str, object], words: str
) -> None:
    await borrower.told(**changes)
    fetcher = borrower.fetcher()
    await until(lambda: borrower.refusals)
    await fetcher.stop()
    assert words in borrower.refusals[0][1]
    assert await borrower.state() == "refused"


async def test_a_server_that_fails_or_sends_us_elsewhere_is_asked_again(borrower: Borrower) -> None:
    borrower.lender.statuses = [302, 404, 302]
    await borrower.told()
    fetcher = borrower.fetcher()
    await until(lambda: _is(borrower, "held"))
    await fetcher.stop()
    assert len(borrower.lender.asked) == 4
