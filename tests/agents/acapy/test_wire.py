"""What we write on the wire reads back as it was said, and what others write is read without trust."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from acapy_agent.core.protocol_registry import ProtocolRegistry
from acapy_agent.messaging.models.base import BaseModelError
from hypothesis import given
from hypothesis import strategies as st

from agents.acapy.wire import (
    BUNDLE_TYPE,
    MOST_INLINE,
    Attached,
    Wire,
    dumps,
    loads,
    read,
    read_problems,
    read_receipt,
    side_of,
    unbundle,
    write,
    write_bundle,
    write_problems,
    write_receipt,
)
from agents.ports import Letter
from credentials import base58
from protocols.catalogue import MESSAGES
from protocols.collection import COLLECTION
from protocols.receipt import MOST_IN_A_BUNDLE, RECEIPT, Problem
from schemas.errors import Invalid

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SPOKEN = sorted(uri for uri, (protocol, _) in MESSAGES.items() if protocol is not RECEIPT)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.from_regex("[a-z_]{1,12}", fullmatch=True), inner, max_size=4)
    ),
    max_leaves=10,
)
BODIES = st.dictionaries(st.from_regex("[a-z][a-z_]{0,20}", fullmatch=True), JSON, max_size=6)


def letter(uri: str, order: int = 1, seen: int = 0, body: dict[str, Any] | None = None) -> Letter:
    protocol, message = MESSAGES[uri]
    return Letter(
        "peer",
        "id-1",
        True,
        "thread-1",
        protocol.name,
        message.kind,
        order,
        seen,
        json.dumps(body or {}),
        (),
        (),
        "queued",
        "",
        NOW,
        0,
        NOW,
    )


def carried(value: dict[str, Any]) -> dict[str, Any]:
    return Wire.deserialize(loads(dumps(Wire(value).serialize()))).value  # type: ignore[return-value]


@given(st.sampled_from(SPOKEN), st.integers(1, 9999), st.integers(0, 9999), BODIES)
def test_every_message_reads_back_as_it_was_written(
    uri: str, order: int, seen: int, body: dict[str, Any]
) -> None:
    protocol, message = MESSAGES[uri]
    for side in {step.sender for step in protocol.steps if step.message is message}:
        parcel = read(carried(write(letter(uri, order, seen, body), side))).parcel
        assert (parcel.id, parcel.type, parcel.thread) == ("id-1", uri, "thread-1")
        assert (parcel.order, parcel.seen, parcel.body) == (order, seen, body)


def test_orders_count_from_zero_on_the_wire() -> None:
    value = write(letter(COLLECTION.uri + "/quote", 1, 1), "collector")
    assert value["~thread"] == {
        "thid": "thread-1",
        "sender_order": 0,
        "received_orders": {"dismantler": 0},
    }


def test_acapy_takes_every_type_of_ours() -> None:
    registry = ProtocolRegistry()  # type: ignore[no-untyped-call]
    registry.register_message_types(dict.fromkeys(MESSAGES, Wire))
    for uri in MESSAGES:
        assert registry.resolve_message_class(uri) is Wire
        wire = Wire({"@type": uri, "@id": "1"})
        assert (wire._type, wire._message_type, wire._id, wire._thread_id) == (uri, uri, "1", "1")


def test_the_side_is_known_from_the_kind_or_the_first_place() -> None:
    for uri in SPOKEN:
        protocol, message = MESSAGES[uri]
        senders = {step.sender for step in protocol.steps if step.message is message}
        side = side_of(letter(uri, 3, 2))
        assert {side} == senders if len(senders) == 1 else side == ""


def test_credentials_and_files_travel_as_attachments() -> None:
    photo, film = b"\xff\xd8\xff small", b"large"
    digest = hashlib.sha256(photo).hexdigest()
    files = (
        Attached(digest, "photo.jpg", "image/jpeg", len(photo), data=photo),
        Attached(
            hashlib.sha256(film).hexdigest(),
            "film.bin",
            "video/mp4",
            5_000_000,
            link="https://files.example/blobs/x",
            key="k",
        ),
    )
    value = carried(write(letter(SPOKEN[0]), MESSAGES[SPOKEN[0]][0].opener, [{"id": "urn:uuid:1"}], files))
    opened = read(value)
    assert opened.parcel.credentials == ({"id": "urn:uuid:1"},)
    assert opened.files == (photo,)
    small, large = opened.parcel.enclosures
    assert (small.digest, small.name, small.media_type, small.held, small.problem) == (
        digest,
        "photo.jpg",
        "image/jpeg",
        True,
        "",
    )
    assert (large.size, large.link, large.key, large.held, large.problem) == (
        5_000_000,
        "https://files.example/blobs/x",
        "k",
        False,
        "",
    )


def test_a_digest_may_be_a_multihash() -> None:
    digest = hashlib.sha256(b"x").digest()
    data = {"base64": GOOD, "sha256": "z" + base58.encode(b"\x12\x20" + digest)}
    opened = read({"@type": SPOKEN[0], "@id": "1", "~attach": [{"data": data}]})
    assert opened.parcel.enclosures[0].held
    assert opened.parcel.enclosures[0].digest == digest.hex()


GOOD = base64.b64encode(b"x").decode()
RIGHT = hashlib.sha256(b"x").hexdigest()


@pytest.mark.parametrize(
    ("attached", "words"),
    [
        ("nothing", "no list"),
        ([3], "no data"),
        ([{"data": {"json": "a text"}}], "no JSON object"),
        ([{"data": {"base64": GOOD}}], "without a digest"),
        ([{"data": {"base64": GOOD, "sha256": "0" * 64}}], "digest stated"),
        ([{"data": {"base64": "A" * 3 * MOST_INLINE, "sha256": RIGHT}}], "too large"),
        ([{"data": {"links": ["file:///etc/passwd"], "sha256": RIGHT, "key": "k"}, "byte_count": 1}], "link"),
        (
            [{"data": {"links": ["https://x"], "sha256": RIGHT, "key": "k"}, "byte_count": 50_000_001}],
            "larger",
        ),
        ([{"data": {"links": ["https://x"], "sha256": RIGHT, "key": "k"}}], "no stated size"),
        ([{"data": {"links": ["https://x"], "sha256": RIGHT}, "byte_count": 1}], "key"),
    ],
)
def test_a_file_we_cannot_take_says_why(attached: object, words: str) -> None:
    opened = read({"@type": SPOKEN[0], "@id": "1", "~attach": attached})
    assert words in opened.parcel.enclosures[0].problem
    assert opened.files == ()


@given(st.dictionaries(st.sampled_from(["thid", "sender_order", "received_orders"]), JSON), JSON)
def test_no_header_breaks_the_reading(thread: dict[str, Any], attached: Any) -> None:
    value = {"@type": SPOKEN[0], "@id": "1", "~thread": thread, "~attach": attached}
    try:
        parcel = read(Wire.deserialize(value).value).parcel
    except BaseModelError:
        return
    assert parcel.order >= 0
    assert parcel.seen >= 0


@pytest.mark.parametrize("number", [True, -1, 1.0, "0", None, 2**40])
def test_what_is_no_order_becomes_one_that_no_message_has(number: object) -> None:
    assert read({"@type": SPOKEN[0], "@id": "1", "~thread": {"sender_order": number}}).parcel.order == 0


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"@type": SPOKEN[0]},
        {"@type": SPOKEN[0], "@id": 5},
        {"@type": SPOKEN[0], "@id": "x" * 101},
        {"@type": SPOKEN[0], "@id": "1", "~thread": {"thid": "é"}},
        [],
    ],
)
def test_a_message_needs_a_type_an_id_and_a_plain_thread(value: Any) -> None:
    with pytest.raises(BaseModelError):
        Wire.deserialize(value)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        '{"a":NaN}',
        '{"a":1e999}',
        '{"a":"\\u0000"}',
        '{"a":"\\ud800"}',
        "[" * 100 + "]" * 100,
        "[]",
        "{",
    ],
)
def test_text_that_could_be_read_in_two_ways_is_not_read(text: str) -> None:
    with pytest.raises(Invalid):
        loads(text)


def test_a_bundle_holds_messages_and_no_bundle() -> None:
    inner = [write(letter(uri), MESSAGES[uri][0].opener) for uri in SPOKEN[:3]]
    assert unbundle(carried(write_bundle(inner))) == inner
    wrong: tuple[object, ...] = ([write_bundle([])], {}, [1], inner * MOST_IN_A_BUNDLE)
    for messages in wrong:
        with pytest.raises(Invalid):
            unbundle({"@type": BUNDLE_TYPE, "@id": "1", "messages": messages})


def test_receipts_and_problems_read_back() -> None:
    assert read_receipt(carried(write_receipt(["a", "b"]))) == ("a", "b")
    problem = Problem(id="a", code="malformed", en="no", ja="否")
    assert read_problems(carried(write_problems([problem]))) == (problem,)
    for wrong in (None, "a", [1], ["x"] * (MOST_IN_A_BUNDLE + 1)):
        with pytest.raises(Invalid):
            read_receipt({"taken": wrong})
        with pytest.raises(Invalid):
            read_problems({"problems": wrong})
