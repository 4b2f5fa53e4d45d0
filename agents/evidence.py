"""Photos and files: a vault that knows them by their digest, and sealed blobs that carry the large ones.

A blob is a file encrypted for one recipient, with a key of its own that travels inside the encrypted
message. So whoever serves or finds the blob learns nothing but its size. Its form, after the STREAM
construction of Hoang, Reyhanitabar, Rogaway and Vizár (2015): the file in chunks of 65,536 bytes, each by
AES-256-GCM with the tag behind it. The nonce is the chunk's number (11 bytes, big-endian, from 0) and one
byte that is 1 on the last chunk and 0 on the others, so that chunks cannot be cut off, swapped or repeated
unnoticed. A file of n bytes makes a blob of n + 16·max(1, ⌈n/65536⌉) bytes.
"""

import asyncio
import hashlib
import json
import logging
import os
import random
import re
import secrets
import tempfile
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, BinaryIO, Literal, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from agents.ports import AwaitedFile, Desk, Store
from schemas.errors import Fault, Invalid, Unavailable, Unknown

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from agents.links import Reach

LOG = logging.getLogger(__name__)

MOST_FILE_BYTES = 50_000_000
"""The largest file we take."""

CHUNK = 65_536
TAG = 16
KEY_BYTES = 32

OTHER = "application/octet-stream"
_MARKS = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"), (b"%PDF-", "application/pdf"))
_DIGEST = re.compile("[0-9a-f]{64}")
_BLOB = re.compile("[A-Za-z0-9_-]{32,64}")


class TooLarge(Invalid):
    """More bytes came than are taken."""

    code = "too-large"


@dataclass(frozen=True)
class Stored:
    """A file in the vault."""

    digest: str
    size: int
    media_type: str


@dataclass(frozen=True)
class Blob:
    """A file sealed for one recipient: where it is served, and what opens it."""

    id: str
    key: str


def sniff(head: bytes) -> str:
    """Return the media type that a file's first bytes show; only pictures and PDF are told apart."""
    return next((media_type for mark, media_type in _MARKS if head.startswith(mark)), OTHER)


def clean_name(name: str) -> str:
    """Return a file's name without folders, control characters and tricks, at most 120 characters long."""
    last = re.split(r"[/\\]", name)[-1]
    kept = "".join(c for c in last if unicodedata.category(c)[0] != "C" and c not in '<>:"|?*')
    kept = " ".join(kept.split()).lstrip(". ")
    stem, dot, end = kept.rpartition(".")
    if len(kept) > 120 and dot and len(end) <= 10:  # noqa: PLR2004
        kept = stem[: 119 - len(end)] + dot + end
    return kept[:120] or "file"


def is_digest(text: str) -> bool:
    """Say whether a text is a SHA-256 digest in lower-case hex."""
    return _DIGEST.fullmatch(text) is not None


def blob_size(size: int) -> int:
    """Return how many bytes the blob of a file of `size` bytes has."""
    return size + TAG * max(1, -(-size // CHUNK))


class Draft:
    """A file on its way into the vault; it enters whole, or not at all."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self.file = file
        self._limit = limit
        self._hash = hashlib.sha256()
        self._head = b""
        self.size = 0

    def write(self, data: bytes) -> None:
        """Add bytes; raise `TooLarge` when they become too many."""
        self.size += len(data)
        if self.size > self._limit:
            raise TooLarge("the file is larger than {limit} bytes", limit=self._limit)
        if len(self._head) < 16:  # noqa: PLR2004
            self._head += data[:16]
        self._hash.update(data)
        self.file.write(data)

    @property
    def stored(self) -> Stored:
        """Return what has been written so far, as it will be stored."""
        return Stored(self._hash.hexdigest(), self.size, sniff(self._head))


class Vault:
    """A company's files, each kept once under its SHA-256 digest, and its blobs under unguessable names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("files", "blobs", "sealed", "parts"):
            (folder / name).mkdir(parents=True, exist_ok=True, mode=0o700)

    # Files

    def put(self, data: bytes | Iterable[bytes], *, limit: int = MOST_FILE_BYTES, expect: str = "") -> Stored:
        """Keep a file, and survive a power cut; raise `Invalid` if too large or not of digest `expect`."""
        with self._draft(limit) as (draft, path):
            for part in (data,) if isinstance(data, bytes) else data:
                draft.write(part)
            return self._enter(draft, path, expect)

    async def put_stream(
        self, parts: AsyncIterable[bytes], *, limit: int = MOST_FILE_BYTES, expect: str = ""
    ) -> Stored:
        """Keep a file that comes in parts, such as an upload."""
        with self._draft(limit) as (draft, path):
            async for part in parts:
                draft.write(part)
            return await asyncio.to_thread(self._enter, draft, path, expect)

    def holds(self, digest: str) -> bool:
        """Say whether the file with this digest is here."""
        return is_digest(digest) and self._place(digest).is_file()

    def path(self, digest: str) -> Path:
        """Return where a file lies; raise `Unknown` when it is not here."""
        if not self.holds(digest):
            raise Unknown("there is no file {digest} here", digest=digest[:64])
        return self._place(digest)

    def open(self, digest: str) -> BinaryIO:
        """Open a file for reading."""
        return self.path(digest).open("rb")

    def get(self, digest: str) -> bytes:
        """Return a file's bytes, after checking that they still have its digest."""
        data = self.path(digest).read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise Unavailable("the file {digest} is damaged on our disk", digest=digest)
        return data

    def _place(self, digest: str) -> Path:
        return self.folder / "files" / digest[:2] / digest

    @contextmanager
    def _draft(self, limit: int) -> Iterator[tuple[Draft, Path]]:
        path = None
        try:
            handle, name = tempfile.mkstemp(dir=self.folder / "files", prefix="new-")
            path = Path(name)
            with os.fdopen(handle, "wb") as file:
                yield Draft(file, limit), path
        except OSError as error:
            if isinstance(error, ConnectionError | TimeoutError):
                raise  # where the file comes from, not where it goes to
            raise Unavailable(
                "the file cannot be kept: {reason}", reason=error.strerror or type(error).__name__
            ) from error
        finally:
            if path:
                path.unlink(missing_ok=True)

    def _enter(self, draft: Draft, path: Path, expect: str) -> Stored:
        stored = draft.stored
        if expect and stored.digest != expect:
            raise Invalid("the file does not have the digest stated")
        place = self._place(stored.digest)
        if not place.is_file():
            place.parent.mkdir(exist_ok=True, mode=0o700)
            _keep(draft.file, path, place)
        return stored

    # Blobs we serve

    def seal_blob(self, digest: str, recipient: str = "") -> Blob:
        """Return a file's blob for one recipient, sealing it the first time, with a key of its own."""
        note = self.folder / "sealed" / hashlib.sha256(f"{digest} {recipient}".encode()).hexdigest()
        with suppress(FileNotFoundError):
            known = Blob(**json.loads(note.read_text("utf-8")))
            if (self.folder / "blobs" / known.id).is_file():
                return known
        key = secrets.token_bytes(KEY_BYTES)
        blob = Blob(secrets.token_urlsafe(24), urlsafe_b64encode(key).decode().rstrip("="))
        with self.open(digest) as plain:
            self._save(self.folder / "blobs" / blob.id, seal(plain, key))
        self._save(note, (json.dumps({"id": blob.id, "key": blob.key}).encode(),))
        return blob

    def blob(self, id: str) -> Path:
        """Return where a blob lies; raise `Unknown` when there is none of this name."""
        path = self.folder / "blobs" / id
        if not _BLOB.fullmatch(id) or not path.is_file():
            raise Unknown("there is no such file here")
        return path

    def _save(self, place: Path, parts: Iterable[bytes]) -> None:
        handle, name = tempfile.mkstemp(dir=place.parent, prefix="new.")
        path = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                for part in parts:
                    file.write(part)
                _keep(file, path, place)
        finally:
            path.unlink(missing_ok=True)

    # Blobs we fetch

    def part(self, link: str) -> Path:
        """Return where the part of a blob fetched so far is kept."""
        return self.folder / "parts" / hashlib.sha256(link.encode()).hexdigest()

    def unseal(self, path: Path, key: str, *, expect: str, size: int) -> Stored:
        """Open a fetched blob and keep the file in it; raise `Invalid` unless it is the one expected."""
        with self._draft(size) as (draft, temporary), path.open("rb") as sealed:
            for part in unseal(sealed, read_key(key)):
                draft.write(part)
            return self._enter(draft, temporary, expect)


def _keep(file: BinaryIO, path: Path, place: Path) -> None:
    """Give a file its place, so that after a power cut it is there whole or not at all."""
    file.flush()
    os.fsync(file.fileno())
    path.replace(place)
    folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_key(text: str) -> bytes:
    """Read a blob's key, or raise `Invalid`."""
    try:
        key = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, TypeError):
        key = b""
    if len(key) != KEY_BYTES:
        raise Invalid("the key of the file is no key")
    return key


def seal(plain: BinaryIO, key: bytes) -> Iterator[bytes]:
    """Encrypt a file chunk by chunk."""
    cipher = AESGCM(key)
    number, chunk = 0, plain.read(CHUNK)
    while True:
        following = plain.read(CHUNK)
        yield cipher.encrypt(_nonce(number, last=not following), chunk, None)
        if not following:
            return
        number, chunk = number + 1, following


def unseal(sealed: BinaryIO, key: bytes) -> Iterator[bytes]:
    """Decrypt a blob chunk by chunk; raise `Invalid` where it is not as it was sealed."""
    cipher = AESGCM(key)
    number, chunk = 0, sealed.read(CHUNK + TAG)
    while True:
        following = sealed.read(CHUNK + TAG)
        try:
            yield cipher.decrypt(_nonce(number, last=not following), chunk, None)
        except (InvalidTag, ValueError):
            raise Invalid("the file was changed on its way") from None
        if not following:
            return
        number, chunk = number + 1, following


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if last else b"\x00")


type Report = Callable[[AwaitedFile, str], Awaitable[None]]
"""Tells a peer why a file of theirs is refused."""


class Fetcher:
    """Fetches the files that peers announced: resumes after any cut, opens, checks and keeps them."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        report: Report,
        reach: "Reach | None" = None,
        *,
        shortest_s: float = 1.0,
        longest_s: float = 3600.0,
        at_once: int = 3,
        timeout_s: float = 60.0,
    ) -> None:
        self.store = store
        self.vault = vault
        self.report = report
        self.reach = reach
        self.shortest_s = shortest_s
        self.longest_s = longest_s
        self.timeout_s = timeout_s
        self.at_once = at_once
        self._event = asyncio.Event()
        self._failures: dict[str, int] = {}
        self._rest_until: dict[str, float] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._busy: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> Self:
        """Begin; what an earlier run left half-fetched is taken up again."""
        self._task = asyncio.create_task(self._run(), name="fetch evidence")
        return self

    def wake(self) -> None:
        """There may be something new to fetch; what failed before is tried again at once."""
        self._rest_until.clear()
        self._event.set()

    async def stop(self) -> None:
        """Stop; what is half-fetched stays."""
        tasks = [task for task in (self._task, *self._running.values()) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            self._event.clear()
            try:
                await self._begin()
            except Exception:
                LOG.exception("could not look for files to fetch")
            rests = [until - monotonic() for until in self._rest_until.values()]
            with suppress(TimeoutError):
                await asyncio.wait_for(self._event.wait(), max(0.05, min(rests, default=self.longest_s)))

    async def _begin(self) -> None:
        now = monotonic()
        self._rest_until = {digest: until for digest, until in self._rest_until.items() if until > now}
        for awaited in await self.store.read(lambda books: books.awaited_evidence()):
            digest, peer = awaited.evidence.digest, awaited.peer
            # A few at once from each peer, so that a slow one keeps only its own files waiting.
            if self._busy[peer] >= self.at_once:
                continue
            if digest not in self._running and digest not in self._rest_until:
                task = asyncio.create_task(self._one(awaited), name=f"fetch {digest[:12]}")
                self._running[digest] = task
                self._busy[peer] += 1
                task.add_done_callback(partial(self._done, digest, peer))

    def _done(self, digest: str, peer: str, _: object) -> None:
        self._running.pop(digest, None)
        self._busy[peer] -= 1
        self._event.set()

    async def _one(self, awaited: AwaitedFile) -> None:
        digest = awaited.evidence.digest
        try:
            stored = await self._fetch(awaited)
        except Invalid as fault:
            LOG.warning("file %s from peer %s refused: %s", digest[:12], awaited.peer, fault)
            await self._note(awaited, "refused")
            await self.report(awaited, str(fault))
        except (Fault, OSError, TimeoutError) as error:
            self._later(digest, error)
        except Exception as error:
            if not type(error).__module__.startswith("aiohttp"):
                LOG.exception("could not fetch file %s", digest[:12])
            self._later(digest, error)
        else:
            LOG.info("file %s of %d bytes fetched from peer %s", digest[:12], stored.size, awaited.peer)
            self._failures.pop(digest, None)
            await self._note(awaited, "held", stored.media_type)

    def _later(self, digest: str, error: BaseException) -> None:
        failures = self._failures[digest] = self._failures.get(digest, 0) + 1
        longest = min(self.longest_s, self.shortest_s * 2.0 ** min(failures, 30))
        rest = self.shortest_s / 2 + random.uniform(0, longest)
        self._rest_until[digest] = monotonic() + rest
        LOG.info(
            "file %s not fetched (%s); next try in %.0f s", digest[:12], error or type(error).__name__, rest
        )

    async def _note(
        self, awaited: AwaitedFile, state: Literal["held", "refused"], media_type: str = ""
    ) -> None:
        evidence = replace(
            awaited.evidence, state=state, media_type=media_type or awaited.evidence.media_type
        )

        def work(desk: Desk) -> None:
            desk.keep_evidence(evidence)

        await self.store.write(work)

    async def _fetch(self, awaited: AwaitedFile) -> Stored:
        from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

        from agents.links import Resolver, check_link, host_of, public_only

        evidence, link = awaited.evidence, awaited.link
        if self.vault.holds(evidence.digest):
            path = self.vault.path(evidence.digest)
            with path.open("rb") as file:
                return Stored(evidence.digest, path.stat().st_size, sniff(file.read(16)))
        allowed = await (self.reach or public_only)(awaited.peer, host_of(link))
        check_link(link, allowed)
        if not 0 <= evidence.size <= MOST_FILE_BYTES:
            raise Invalid("the file is larger than {limit} bytes", limit=MOST_FILE_BYTES)
        read_key(awaited.key)
        part = self.vault.part(link)
        try:
            async with ClientSession(
                connector=TCPConnector(resolver=Resolver(allowed)),
                timeout=ClientTimeout(total=None, sock_connect=10, sock_read=self.timeout_s),
                cookie_jar=DummyCookieJar(),
                auto_decompress=False,
            ) as http:
                await self._download(http, link, part, blob_size(evidence.size))
            stored = await asyncio.to_thread(
                self.vault.unseal, part, awaited.key, expect=evidence.digest, size=evidence.size
            )
        except Invalid:
            part.unlink(missing_ok=True)
            raise
        part.unlink(missing_ok=True)
        return stored

    async def _download(self, http: "ClientSession", link: str, part: Path, whole: int) -> None:
        """Bring the part we have up to the whole, by Range where some of it is here already."""
        with part.open("ab") as file:
            have = file.tell()
            if have > whole:
                file.truncate(have := 0)
            if have == whole:
                return
            headers = {"Range": f"bytes={have}-"} if have else {}
            async with http.get(link, headers=headers, allow_redirects=False) as response:
                if response.status == 206 and have:  # noqa: PLR2004
                    if not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                        raise Unavailable("the file's server sent another part than asked for")
                elif response.status in (200, 416):
                    file.truncate(have := 0)
                if response.status not in (200, 206):
                    raise Unavailable("the file's server answered {status}", status=response.status)
                async for data in response.content.iter_chunked(1 << 18):
                    have += len(data)
                    if have > whole:
                        raise Invalid("the file is larger than stated")
                    file.write(data)
                if have < whole and response.content_length is None:
                    raise Unavailable("the file's server broke off")
            if have < whole:
                raise Invalid("the file is smaller than stated")
