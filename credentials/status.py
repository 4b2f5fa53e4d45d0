"""Whether a credential was revoked or suspended: the W3C's Bitstring Status List v1.0.

One list serves many credentials: each holds the index of its bit, and whoever fetches the list learns nothing
of which credential they look at. So that a list tells its readers no more than that, indices are drawn at
random, and some belong to no credential at all (decoys): they change along with real ones.

Stricter than the standard in this: a list must be by the issuer of the credential, must carry the address it
was asked for as its id, and has one bit an entry; an entry that is not understood makes the check fail.
"""

import re
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from random import Random, SystemRandom
from typing import Any, Literal, get_args

from credentials import base64url, form
from credentials.report import Findings, Report
from credentials.vc import credential
from schemas.errors import Fault, Invalid, Unavailable

Purpose = Literal["revocation", "suspension"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
LIST_TYPE = "BitstringStatusListCredential"
ENTRY_TYPE = "BitstringStatusListEntry"

LEAST = 131_072
"""A list has at least so many entries, or its readers could be told apart (the standard's own figure)."""
MOST = 1 << 24
MAX_TEXT = 4 << 20
MAX_ENTRIES = 8
"""A credential may point to so many lists."""

_INDEX = re.compile("0|[1-9][0-9]{0,8}")
_GZIP = 31  # zlib's name for a gzip stream with the largest window
_LEVEL = 6  # 9 takes twenty times as long for a tenth of the size

type Statuses = Callable[[str], object]
"""The port to status lists: returns the sealed list at a URL as read from there, or raises a Fault.

Where many credentials point to one list, it may return the list's Report instead, made a moment ago.
"""

type Judge = Callable[[object], Report]
"""Says of a sealed status list whether it verifies, by the issuer that is expected."""

WORDS = {
    "list": "It is a status list that can be read.",
    "status": "It says where its status stands, or has none.",
    "status.list": "Status list {list} was found, is of its issuer and valid.",
    "status.standing": "By status list {list}, it is in force ({purpose}, number {index}).",
}
"""What each check says when it passes."""


def encode(bits: bytes, /) -> str:
    """Write a list's bits, the first entry in the highest bit: `u` and base64url of gzip."""
    if not LEAST <= len(bits) * 8 <= MOST:
        raise Invalid("A status list has {least} to {most} entries.", least=LEAST, most=MOST)
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return "u" + base64url.encode(packer.compress(bits) + packer.flush())


def decode(text: object, /) -> bytes:
    """Read a list's bits, at most MOST of them whatever the text would unpack to, or raise Invalid."""
    if not isinstance(text, str) or not text.startswith("u"):
        raise Invalid("The status list is not written in multibase base64url.")
    if len(text) > MAX_TEXT:
        raise Invalid("The status list has more than {limit} characters.", limit=MAX_TEXT)
    return _unpacked(text)


@lru_cache(maxsize=64)
def _unpacked(text: str) -> bytes:
    packed = base64url.decode(text[1:])
    unpacker = zlib.decompressobj(_GZIP)
    try:
        bits = unpacker.decompress(packed, MOST // 8 + 1)
    except zlib.error:
        raise Invalid("The status list is not packed with gzip.") from None
    if len(bits) * 8 > MOST:
        raise Invalid("The status list unpacks to more than {most} entries.", most=MOST)
    if not unpacker.eof:
        raise Invalid("The status list is cut off.")
    if unpacker.unused_data:
        raise Invalid("Something else follows the status list.")
    if len(bits) * 8 < LEAST:
        raise Invalid("The status list has fewer than {least} entries.", least=LEAST)
    return bits


def is_set(bits: bytes, index: int, /) -> bool:
    """Say whether an entry's bit is set."""
    if not 0 <= index < len(bits) * 8:
        raise Invalid("The status list has no entry {index}.", index=index)
    return bool(bits[index >> 3] >> (7 - (index & 7)) & 1)


# What the issuer keeps


@dataclass(frozen=True, slots=True)
class Ledger:
    """What an issuer keeps of one of its lists; only `bits` are ever published.

    `given` are the entries that belong to a credential, or to none for ever: the decoys.
    """

    bits: bytes
    given: bytes
    decoys: bytes

    @property
    def room(self) -> int:
        """How many entries are still to be had."""
        return len(self.given) * 8 - int.from_bytes(self.given).bit_count()


def opened(entries: int = LEAST, /, *, decoys: int | None = None, random: Random | None = None) -> Ledger:
    """Begin a list in which one entry of 32 (or as many as `decoys` says) is a decoy, some of them set."""
    if entries % 8 or not LEAST <= entries <= MOST:
        raise Invalid("A status list has {least} to {most} entries.", least=LEAST, most=MOST)
    chance = random or SystemRandom()
    count = entries // 32 if decoys is None else decoys
    drawn = chance.sample(range(entries), count)
    false = _with(bytes(entries // 8), drawn, True)
    return Ledger(_with(bytes(entries // 8), drawn[: count // 8], True), false, false)


def allocated(
    ledger: Ledger, count: int = 1, /, *, random: Random | None = None
) -> tuple[tuple[int, ...], Ledger]:
    """Draw entries that nobody has, at random, and return them with the ledger in which they are given."""
    entries = len(ledger.given) * 8
    if count > ledger.room - entries // 8:
        raise Unavailable(
            "The status list is nearly full; begin another."
        )  # or the last ones could be guessed
    chance = random or SystemRandom()
    drawn: dict[int, None] = {}
    while len(drawn) < count:
        index = chance.randrange(entries)
        if not is_set(ledger.given, index):
            drawn[index] = None
    return tuple(drawn), replace(ledger, given=_with(ledger.given, drawn, True))


def marked(
    ledger: Ledger,
    indices: Collection[int],
    /,
    *,
    purpose: Purpose = "revocation",
    on: bool = True,
    random: Random | None = None,
) -> Ledger:
    """Set the bits of some entries, or clear them again; as many decoys or fewer change with them.

    What is revoked stays revoked, so only a suspension can be cleared.
    """
    if not on and purpose == "revocation":
        raise Invalid("What was revoked stays revoked.")
    for index in indices:
        if not is_set(ledger.given, index) or is_set(ledger.decoys, index):
            raise Invalid("Entry {index} of the status list was given to nobody.", index=index)
    chance = random or SystemRandom()
    decoys = _places(ledger.decoys)
    others = [index for index in decoys if is_set(ledger.bits, index) is not on]
    # Each edition changes by more than what is asked, so that two of them do not tell how much that was.
    along = chance.sample(others, min(len(others), chance.randint(0, max(2, len(indices)))))
    return replace(ledger, bits=_with(_with(ledger.bits, indices, on), along, on))


def _with(bits: bytes, indices: Collection[int], on: bool) -> bytes:
    new = bytearray(bits)
    for index in indices:
        if on:
            new[index >> 3] |= 128 >> (index & 7)
        else:
            new[index >> 3] &= ~(128 >> (index & 7))
    return bytes(new)


def _places(bits: bytes) -> list[int]:
    return [at * 8 + bit for at, byte in enumerate(bits) if byte for bit in range(8) if byte & 128 >> bit]


# What is published


def status_list(
    issuer: str | Mapping[str, Any],
    url: str,
    bits: bytes,
    /,
    *,
    purpose: Purpose,
    valid_from: datetime,
    valid_until: datetime,
    ttl: timedelta | None = None,
) -> dict[str, Any]:
    """Build the payload of a list to be sealed and published at `url`; others may keep it for `ttl`."""
    subject: dict[str, Any] = {
        "id": f"{url}#list",
        "type": "BitstringStatusList",
        "statusPurpose": purpose,
        "encodedList": encode(bits),
    }
    if ttl is not None:
        subject["ttl"] = int(ttl / timedelta(milliseconds=1))
    return credential(issuer, [LIST_TYPE], subject, id=url, valid_from=valid_from, valid_until=valid_until)


def entry(url: str, index: int, purpose: Purpose, /) -> dict[str, str]:
    """Point to an entry of a list: one `credentialStatus` of a credential."""
    return {
        "id": f"{url}#{index}",
        "type": ENTRY_TYPE,
        "statusPurpose": purpose,
        "statusListIndex": str(index),
        "statusListCredential": url,
    }


# What a verifier looks at


@dataclass(frozen=True, slots=True)
class Entry:
    """Where the status of a credential stands."""

    url: str
    index: int
    purpose: Purpose


def entries(document: Mapping[str, Any], /) -> tuple[Entry, ...]:
    """Return where a credential's status stands, or raise Invalid; none where it has no status."""
    if "credentialStatus" not in document:
        return ()
    found = document["credentialStatus"]
    found = list(found) if isinstance(found, list | tuple) else [found]
    if not found:
        raise Invalid("Its list of status entries is empty.")
    if len(found) > MAX_ENTRIES:
        raise Invalid("It has more than {limit} status entries.", limit=MAX_ENTRIES)
    read = tuple(_entry(item) for item in found)
    if len({(item.url, item.purpose) for item in read}) != len(read):
        raise Invalid("It has two status entries in one list.")
    return read


def _entry(item: Any) -> Entry:
    if not isinstance(item, dict) or item.get("type") != ENTRY_TYPE:
        raise Invalid("Its status is of a kind unknown here.")
    purpose, index, url = (
        item.get(name) for name in ("statusPurpose", "statusListIndex", "statusListCredential")
    )
    if purpose not in PURPOSES:
        raise Invalid("Its status has the unknown purpose {purpose}.", purpose=purpose)
    if not isinstance(index, str) or not _INDEX.fullmatch(index):
        raise Invalid("Its status does not name its entry by a number, written as a text.")
    if not isinstance(url, str) or not form.is_url(url):
        raise Invalid("Its status does not name its list by a URL.")
    if "id" in item and (not form.is_url(item["id"]) or item["id"] == url):
        raise Invalid("The id of its status is not a URL of its own.")
    if item.get("statusSize", 1) != 1 or isinstance(item.get("statusSize"), bool):
        raise Invalid("Its status has more than one bit.")
    return Entry(url, int(index), purpose)


def is_list(document: Mapping[str, Any], /) -> bool:
    """Say whether a credential is, by its type, a status list."""
    types = document.get("type")
    return LIST_TYPE in types if isinstance(types, list | tuple) else types == LIST_TYPE


def listed(document: Mapping[str, Any], /) -> bytes:
    """Return the bits of a status list, whatever its purpose, or raise Invalid."""
    subject = document.get("credentialSubject")
    if not isinstance(subject, dict) or subject.get("type") != "BitstringStatusList":
        raise Invalid("It calls itself a status list, but holds none.")
    if not subject.get("statusPurpose"):
        raise Invalid("The status list does not say what it is for.")
    return decode(subject.get("encodedList"))


def examine(found: Findings, document: Mapping[str, Any], statuses: Statuses | None, judge: Judge) -> None:
    """Look up each status of a credential, and note what the lists say."""
    pointers = found.ask("status", _entries, document, statuses)
    if not pointers or statuses is None:
        return
    about = found.about
    for pointer in pointers:
        found.about = {
            **about, "list": pointer.url, "purpose": pointer.purpose, "index": str(pointer.index)
        }  # fmt: skip
        bits = found.ask("status.list", _bits, pointer, statuses, judge, found.author)
        found.ask("status.standing", _standing, pointer, bits)
    found.about = about


def _entries(document: Mapping[str, Any], statuses: Statuses | None) -> tuple[Entry, ...]:
    if "credentialStatus" in document and statuses is None:
        raise Invalid("Whether it was revoked stands in a status list, which cannot be looked up here.")
    return entries(document)


def _bits(pointer: Entry, statuses: Statuses, judge: Judge, issuer: str | None) -> bytes:
    try:
        sealed = statuses(pointer.url)
    except Fault as reason:
        raise Unavailable(
            "The status list {list} cannot be had: {reason}", list=pointer.url, reason=reason
        ) from reason
    report = sealed if isinstance(sealed, Report) else judge(sealed)
    if not report.verified:
        raise Invalid(
            "The status list {list} is not to be trusted: {reason}", list=pointer.url, reason=report.reason
        )
    if report.author != issuer:
        raise Invalid(
            "The status list {list} is by {author}, not by the issuer.",
            list=pointer.url,
            author=report.author,
        )
    return read(report.document, pointer)


def read(document: Any, pointer: Entry, /) -> bytes:
    """Return the bits of a list whose seal was found right, if it is the one that an entry points to."""
    if not is_list(document):
        raise Invalid("What stands at {list} is no status list.", list=pointer.url)
    if document.get("id") != pointer.url:
        raise Invalid("What stands at {list} is another list, {id}.", list=pointer.url, id=document.get("id"))
    subject = document["credentialSubject"]
    if not isinstance(subject, dict) or subject.get("type") != "BitstringStatusList":
        raise Invalid("What stands at {list} is no status list.", list=pointer.url)
    purposes = subject.get("statusPurpose")
    if pointer.purpose not in (purposes if isinstance(purposes, list | tuple) else [purposes]):
        raise Invalid(
            "The status list {list} is not for {purpose}.", list=pointer.url, purpose=pointer.purpose
        )
    if subject.get("statusSize", 1) != 1 or isinstance(subject.get("statusSize"), bool):
        raise Invalid("The status list {list} has more than one bit an entry.", list=pointer.url)
    bits = decode(subject.get("encodedList"))
    is_set(bits, pointer.index)
    return bits


def _standing(pointer: Entry, bits: bytes | None) -> None:
    if bits is None:
        raise Invalid("Whether it is in force could not be found out.")
    if is_set(bits, pointer.index):
        if pointer.purpose == "revocation":
            raise Invalid("It was revoked by its issuer.")
        raise Invalid("It is suspended by its issuer.")
