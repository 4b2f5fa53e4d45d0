"""What somebody connected who is no member can do to us: be refused, and leave next to nothing behind."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from acapy_agent.transport.error import WireFormatParseError

from agents.acapy.envelope import StrictFormat
from agents.acapy.wire import wire_type
from agents.ports import Parcel, Verdict
from agents.service import roles_of
from protocols.collection import COLLECTION
from protocols.introduction import INTRODUCTION
from protocols.membership import MEMBERSHIP
from tests import fakes
from tests.scenarios.town import AUTHORITY, COLLECTOR, DISMANTLER, PACK, Town, parcel, town

REQUEST: dict[str, object] = {"vehicle": "VXW1K2M3N4-2", "pack": "PXW1K2M3N4-E", **PACK}
STRANGER = "stranger"


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A collector, and a stranger who has told its name and nothing more."""

    async def settle() -> Town:
        async with town(tmp_path_factory.mktemp("settled"), COLLECTOR) as made:
            made.found(STRANGER, (DISMANTLER,))
            await made.introduce(STRANGER, COLLECTOR)
            await made.introduce(STRANGER, AUTHORITY)
            return made

    return asyncio.run(settle())


@pytest.fixture
async def t(settled: Town, tmp_path: Path) -> AsyncIterator[Town]:
    copy = settled.copy(tmp_path)
    yield copy
    copy.close()


async def give(t: Town, to: str, *messages: Parcel) -> list[Verdict]:
    peers = await t.read(to, lambda desk: desk.peers())
    (peer,) = [peer.id for peer in peers if peer.name == STRANGER]
    return await t.give(to, peer, *messages)


def size(t: Town, who: str) -> int:
    """Return how much a company's messages come to."""
    return sum(len(str(row)) for row in t.tables(who)["message"])


@pytest.mark.parametrize(
    ("to", "protocol", "kind"),
    [
        (COLLECTOR, COLLECTION, "accept"),
        (COLLECTOR, INTRODUCTION, "hello"),
        (COLLECTOR, MEMBERSHIP, "retract"),
        (AUTHORITY, MEMBERSHIP, "retract"),
    ],
)
async def test_a_stranger_has_nothing_large_wait_here(t: Town, to: str, protocol: Any, kind: str) -> None:
    before = size(t, to)
    body = {"note": "x" * 1_000_000}
    verdicts = await give(t, to, *(parcel(protocol, kind, body, order=order) for order in range(2, 12)))
    assert not any(verdict.taken for verdict in verdicts)
    assert size(t, to) - before < 20_000


async def test_who_has_told_no_name_is_not_the_authority_of_one_that_trusts_nobody(t: Town) -> None:
    t.found("newcomer", (DISMANTLER,))
    assert await t.read("newcomer", lambda desk: roles_of(desk, "", desk.authority())) == ()


async def test_what_is_refused_from_a_stranger_is_not_kept_whole(t: Town) -> None:
    before = size(t, COLLECTOR)
    message = parcel(COLLECTION, "request", REQUEST | {"note": "x" * 1_000_000})
    other = Parcel(message.id, message.type, message.thread, 1, 0, REQUEST | {"note": "y" * 1_000_000})
    (first,) = await give(t, COLLECTOR, message)
    (again,) = await give(t, COLLECTOR, message)
    assert first == again
    assert not first.taken
    (different,) = await give(t, COLLECTOR, other)
    assert "had this id before" in different.template
    assert size(t, COLLECTOR) - before < 5_000


async def test_a_small_application_that_was_taken_back_may_come_in_any_order(t: Town) -> None:
    thread = str(uuid4())
    apply = parcel(MEMBERSHIP, "apply", {"name": STRANGER, "roles": [DISMANTLER]}, thread=thread)
    retract = parcel(MEMBERSHIP, "retract", {"reason": "changed our mind"}, thread=thread, order=2)
    assert [verdict.taken for verdict in await give(t, AUTHORITY, retract, apply)] == [True, True]
    assert (await t.exchange(AUTHORITY, thread)).state == "retracted"


@pytest.mark.parametrize("member", [False, True])
async def test_a_file_of_a_stranger_is_not_kept(tmp_path: Path, member: bool) -> None:
    import base64
    import hashlib

    street = fakes.Street(tmp_path)
    try:
        a = await street.open("a", DISMANTLER)
        b = await street.open("b", COLLECTOR)
        await street.connect(a, b)
        if not member:
            await b.trust([b])
        data = b"\xff\xd8\xff" + b"x" * 1000
        attached = {
            "data": {
                "base64": base64.b64encode(data).decode(),
                "sha256": hashlib.sha256(data).hexdigest(),
            }
        }
        body = {"chassis_number": "x", "capacity_source": "display"} | REQUEST
        message = {"@type": wire_type("collection/1.0", "request"), "@id": "m1", "~attach": [attached]} | body
        await b.letterbox.take(street.line(b, a), json.loads(json.dumps(message)))
        assert b.vault.holds(hashlib.sha256(data).hexdigest()) == member
        assert (await b.state("m1") == "requested") == member
    finally:
        await street.close()


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"@type": wire_type("membership/1.0", "apply"), "@id": "1"}),
        json.dumps({"@type": "https://didcomm.org/connections/1.0/problem_report", "@id": "1"}),
        '{"a":' * 100_000,
        "[" * 100_000,
        '{"protected": "%%%", "recipients": [{}]}',
        '{"protected": "eyJhbGciOiJBdXRoY3J5cHQifQ", "ciphertext": "x", "iv": "x", "tag": "x"}',
        "\ud800",
        "",
    ],
)
async def test_what_is_not_packed_for_us_is_not_read(body: str) -> None:
    class Session:
        def inject_or(self, _: object) -> object:
            from acapy_agent.wallet.askar import AskarWallet

            return AskarWallet(self)  # type: ignore[arg-type]

        handle = None

    with pytest.raises(WireFormatParseError):
        await StrictFormat().parse_message(Session(), body)  # type: ignore[arg-type, no-untyped-call]
