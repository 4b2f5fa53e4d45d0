"""How our messages are spelt in DIDComm v1 JSON, and the one class in which ACA-Py carries all of them.

Headers: `@type`, `@id`, `~thread: {thid, sender_order, received_orders}` (Aries RFC 0008). A side's own
messages count from 0 on the wire and from 1 in a `Parcel`; `received_orders` holds, under the other side's
name, the number of the last of its messages that the sender had seen, and is empty before the first.

Attachments: `~attach` (Aries RFC 0017). Credentials as `data.json`; files of up to 64 KiB as `data.base64`
with `data.sha256` (hex); larger ones as `data.links` to a blob (see `agents.evidence`) with the digest of
the file itself, its `byte_count`, and the blob's key as `data.key`.

Reading judges as little as it can: what is wrong with a body, an order or a credential is found by the
service, which answers in words. Here a message needs only a type and an id; what cannot be read becomes a
number no order has (0) or a file with a problem. Limits are kept here.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from acapy_agent.messaging.base_message import BaseMessage, DIDCommVersion
from acapy_agent.messaging.models.base import BaseModelError

from agents.evidence import MOST_FILE_BYTES, clean_name, is_digest, sniff
from agents.ports import Enclosure, Letter, Parcel
from credentials import base58, strict
from protocols.catalogue import PROTOCOLS
from protocols.exchange import DOCUMENT
from protocols.receipt import MOST_IN_A_BUNDLE, RECEIPT, Problem
from schemas.errors import Invalid

if TYPE_CHECKING:
    from acapy_agent.messaging.base_handler import BaseHandler

MOST_ON_THE_WIRE = 8 << 20
"""The largest message we send or take, in bytes of JSON before it is packed."""

MOST_INLINE = 64 << 10
MOST_INLINE_TOGETHER = 256 << 10
MOST_ATTACHMENTS = 4000
MOST_FILES = 100
MOST_IN_A_NAME = 100

BUNDLE_TYPE = f"{RECEIPT.uri}/bundle"
RECEIPT_TYPE = f"{RECEIPT.uri}/receipt"
PROBLEM_TYPE = f"{RECEIPT.uri}/problem-report"

_MULTIHASH = b"\x12\x20"
_FAR = (1 << 31) - 1

type Document = Mapping[str, Any]


class Wire(BaseMessage):
    """Any of our messages, as the JSON object ACA-Py carries."""

    def __init__(self, value: Document) -> None:
        self.value = value

    @property
    def _type(self) -> str:
        return str(self.value["@type"])

    _message_type = _type  # what BaseResponder.send reads, though BaseMessage does not say so

    @property
    def _id(self) -> str:
        return str(self.value["@id"])

    @property
    def _thread_id(self) -> str:
        return thread_of(self.value)

    @property
    def Handler(self) -> "type[BaseHandler]":  # noqa: N802, ACA-Py's name
        """Return the one handler of all our messages."""
        from agents.acapy.inbound import Inbound

        return Inbound

    def serialize(self, msg_format: DIDCommVersion = DIDCommVersion.v1) -> dict[str, Any]:
        """Return the JSON object."""
        return dict(self.value)

    @classmethod
    def deserialize(cls, value: dict[str, Any], msg_format: DIDCommVersion = DIDCommVersion.v1) -> "Wire":
        """Take an object with a type and an id; ACA-Py answers a `BaseModelError` with a problem report."""
        try:
            check_headers(value)
        except Invalid as fault:
            raise BaseModelError(str(fault)) from fault
        return cls(value)


# Writing


@dataclass(frozen=True)
class Attached:
    """A file that goes with a letter: its bytes when it travels inside, else its link and key."""

    digest: str
    name: str
    media_type: str
    size: int
    data: bytes | None = None
    link: str = ""
    key: str = ""


def wire_type(protocol: str, kind: str) -> str:
    """Return the message type of a kind in a protocol."""
    return f"{DOCUMENT}/{protocol}/{kind}"


@cache
def _senders(protocol: str, kind: str) -> frozenset[str]:
    return frozenset(step.sender for step in PROTOCOLS[protocol].steps if step.message.kind == kind)


def side_of(letter: Letter) -> str:
    """Name the side a letter speaks for, or nothing where its kind and place do not tell."""
    table = PROTOCOLS[letter.protocol]
    senders = _senders(letter.protocol, letter.kind)
    if len(senders) == 1:
        return next(iter(senders))
    return table.opener if (letter.order, letter.seen) == (1, 0) else ""


def write(
    letter: Letter, side: str, credentials: Sequence[Document] = (), files: Sequence[Attached] = ()
) -> dict[str, Any]:
    """Spell a letter of ours, said by `side` of its protocol."""
    other = PROTOCOLS[letter.protocol].other(side)
    value: dict[str, Any] = {
        "@type": wire_type(letter.protocol, letter.kind),
        "@id": letter.id,
        "~thread": {
            "thid": letter.thread,
            "sender_order": letter.order - 1,
            "received_orders": {other: letter.seen - 1} if letter.seen else {},
        },
    } | json.loads(letter.body)
    attached = [_credential(number, document) for number, document in enumerate(credentials)]
    attached += [_file(file) for file in files]
    return value | {"~attach": attached} if attached else value


def _credential(number: int, document: Document) -> dict[str, Any]:
    return {
        "@id": f"credential-{number}",
        "mime-type": "application/vc",
        "data": {"json": document},
    }


def _file(file: Attached) -> dict[str, Any]:
    if file.data is not None:
        data: dict[str, Any] = {"base64": base64.b64encode(file.data).decode(), "sha256": file.digest}
    else:
        data = {"links": [file.link], "sha256": file.digest, "key": file.key}
    return {
        "@id": file.digest,
        "mime-type": file.media_type,
        "filename": file.name,
        "byte_count": file.size,
        "data": data,
    }


def write_receipt(taken: Sequence[str]) -> dict[str, Any]:
    """Say which messages are committed here; naming none just says that we are there."""
    return {"@type": RECEIPT_TYPE, "@id": str(uuid4()), "taken": list(taken)}


def write_problems(problems: Sequence[Problem]) -> dict[str, Any]:
    """Say which messages were refused, and why."""
    listed = [problem.model_dump(mode="json") for problem in problems]
    return {"@type": PROBLEM_TYPE, "@id": str(uuid4()), "problems": listed}


def write_bundle(messages: Sequence[Document]) -> dict[str, Any]:
    """Put several messages into one."""
    return {"@type": BUNDLE_TYPE, "@id": str(uuid4()), "messages": list(messages)}


def dumps(value: Document) -> str:
    """Write a message as the compact JSON that is packed."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


# Reading


def check_headers(value: object) -> None:
    """Raise `Invalid` unless this is an object with a type, an id and a thread of sane length and shape."""
    if not isinstance(value, dict):
        raise Invalid("a message is a JSON object")
    for name in ("@type", "@id"):
        if not _plain(value.get(name)):
            raise Invalid("the message has no {name}", name=name)
    if not _plain(thread_of(value)):
        raise Invalid("the message has no {name}", name="~thread")


def _plain(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MOST_IN_A_NAME and name.isascii() and name.isprintable()


def thread_of(value: Document) -> str:
    """Return the thread a message belongs to: the one it names, else its own id."""
    head = value.get("~thread")
    named = head.get("thid") if isinstance(head, Mapping) else None
    return str(value["@id"] if named is None else named)


def loads(text: str) -> dict[str, Any]:
    """Read a message as it was packed: strictly, so that no two readers see two messages in it.

    Raise `Invalid` for names that stand twice, numbers and half characters JSON cannot carry, text that nests
    too deep or is too large, and for the character NUL, which databases do not store.
    """
    value = strict.loads(text, limit=MOST_ON_THE_WIRE)
    if "\\u0000" in text and _holds_nul(value):
        raise Invalid("the message holds the character NUL")
    if not isinstance(value, dict):
        raise Invalid("a message is a JSON object")
    return value


def _holds_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_holds_nul(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(map(_holds_nul, value))


def unbundle(value: Document) -> list[dict[str, Any]]:
    """Return the messages in a bundle, in order, or raise `Invalid`; a bundle holds no bundle."""
    messages = value.get("messages")
    if not isinstance(messages, list) or len(messages) > MOST_IN_A_BUNDLE:
        raise Invalid("a bundle holds a list of at most {limit} messages", limit=MOST_IN_A_BUNDLE)
    for message in messages:
        check_headers(message)
        if message["@type"] == BUNDLE_TYPE:
            raise Invalid("a bundle holds no bundle")
    return messages


@dataclass(frozen=True)
class Opened:
    """A message read off the wire, and the small files that came inside it, still to be kept."""

    parcel: Parcel
    files: tuple[bytes, ...] = ()


def read(value: Document) -> Opened:
    """Read one message whose headers are sound."""
    head = value.get("~thread")
    thread = head if isinstance(head, Mapping) else {}
    received = thread.get("received_orders")
    numbers = list(received.values()) if isinstance(received, Mapping) else []
    credentials, enclosures, files = _attachments(value.get("~attach", []))
    parcel = Parcel(
        id=value["@id"],
        type=value["@type"],
        thread=thread_of(value),
        order=_count(thread.get("sender_order", 0)),
        seen=_count(numbers[0]) if len(numbers) == 1 else 0,
        body={name: part for name, part in value.items() if name[:1] not in "@~"},
        credentials=tuple(credentials),
        enclosures=tuple(enclosures),
    )
    return Opened(parcel, tuple(files))


def _count(number: object) -> int:
    """Return an order on the wire counted from 1; what is no order becomes 0, which no message has."""
    sane = isinstance(number, int) and not isinstance(number, bool) and 0 <= number < _FAR
    return number + 1 if sane else 0  # type: ignore[operator]


def _attachments(attached: object) -> tuple[list[Document], list[Enclosure], list[bytes]]:
    credentials: list[Document] = []
    enclosures: list[Enclosure] = []
    files: list[bytes] = []
    if not isinstance(attached, list) or len(attached) > MOST_ATTACHMENTS:
        return [], [_unread("attachments", "are no list, or too many")], []
    for one in attached:
        data = one.get("data") if isinstance(one, Mapping) else None
        if not isinstance(data, Mapping):
            enclosures.append(_unread("attachment", "has no data"))
        elif "json" in data:
            if isinstance(data["json"], Mapping):
                credentials.append(data["json"])
            else:
                enclosures.append(_unread("credential", "is no JSON object"))
        else:
            enclosure, content = _enclosure(one, data)
            enclosures.append(enclosure)
            if content is not None:
                files.append(content)
    if len(enclosures) > MOST_FILES:
        return [], [_unread("files", "are too many")], []
    if sum(map(len, files)) > 4 * MOST_INLINE_TOGETHER:
        enclosures.append(_unread("attachments", "are too large to come inside a message"))
        files.clear()
    return credentials, enclosures, files


def _unread(name: str, problem: str) -> Enclosure:
    return Enclosure("", name, "", 0, problem=problem)


def _enclosure(one: Document, data: Document) -> tuple[Enclosure, bytes | None]:
    """Read a file, and its bytes if it came inside and is what it says."""
    name = clean_name(str(one.get("filename") or "file")[:400])
    digest = _digest(data.get("sha256"))
    if not digest:
        return _unread(name, "comes without a digest we can read"), None
    if isinstance(inline := data.get("base64"), str):
        if len(inline) > 2 * MOST_INLINE:
            return _unread(name, "is too large to come inside a message"), None
        try:
            content = base64.b64decode(inline.replace("-", "+").replace("_", "/") + "==", validate=False)
        except (binascii.Error, ValueError):
            return _unread(name, "is not in base64"), None
        if hashlib.sha256(content).hexdigest() != digest:
            return Enclosure(digest, name, "", len(content), problem="does not have the digest stated"), None
        return Enclosure(digest, name, sniff(content), len(content), held=True), content
    links, key, size = data.get("links"), data.get("key"), one.get("byte_count")
    link = links[0] if isinstance(links, list) and links and isinstance(links[0], str) else ""
    if not link.startswith(("https://", "http://")) or len(link) > 2000 or not isinstance(key, str):  # noqa: PLR2004
        return _unread(name, "comes without a link and key we can follow"), None
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= MOST_FILE_BYTES:
        return _unread(name, f"is larger than {MOST_FILE_BYTES} bytes, or of no stated size"), None
    media_type = one.get("mime-type")
    stated = media_type if isinstance(media_type, str) and _plain(media_type) else ""
    return Enclosure(digest, name, stated, size, link=link, key=key[:100]), None


def _digest(stated: object) -> str:
    """Read a SHA-256 digest, in hex or as a multibase multihash (`zQm…`)."""
    if not isinstance(stated, str) or len(stated) > 64:  # noqa: PLR2004
        return ""
    if stated.startswith("zQm"):
        try:
            raw = base58.decode(stated[1:])
        except (Invalid, ValueError):
            return ""
        return raw[2:].hex() if raw.startswith(_MULTIHASH) and len(raw) == 34 else ""  # noqa: PLR2004
    return stated.lower() if is_digest(stated.lower()) else ""


def read_receipt(value: Document) -> tuple[str, ...]:
    """Return the ids a receipt names, or raise `Invalid`."""
    taken = value.get("taken")
    if not isinstance(taken, list) or len(taken) > MOST_IN_A_BUNDLE or not all(map(_plain, taken)):
        raise Invalid("a receipt lists at most {limit} message ids", limit=MOST_IN_A_BUNDLE)
    return tuple(taken)


def read_problems(value: Document) -> tuple[Problem, ...]:
    """Return the problems a report names, or raise `Invalid`."""
    from pydantic import ValidationError

    from protocols.receipt import ProblemReport

    try:
        return ProblemReport.model_validate({"problems": value.get("problems")}).problems
    except ValidationError as error:
        raise Invalid("the problem report cannot be read") from error
