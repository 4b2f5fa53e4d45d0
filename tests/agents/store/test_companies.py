"""The companies we are connected with, however often they come back."""

from typing import Any

import pytest

from agents.ports import Desk
from agents.store import SqlStore, open_store
from protocols.collection import Quote, Request
from protocols.exchange import Exchange, Said
from schemas.errors import Forbidden, Unknown

from .company import US, WORDS, begin, connect, hear, say, write

REQUEST, QUOTE = WORDS[Request], WORDS[Quote]
DID = "did:example:nagoya"


async def test_a_connection_is_one_peer(store: SqlStore) -> None:
    first = await store.write(connect)
    assert await store.write(connect) == first
    assert await store.write(lambda desk: connect(desk, "two")) != first
    assert await store.read(lambda desk: desk.peer(first.id)) == first
    assert len(await store.read(lambda desk: desk.peers())) == 2
    assert (first.did, first.name, first.their_did) == ("", "", "did:peer:one")


async def test_a_forgotten_connection_leaves_the_company(store: SqlStore) -> None:
    peer = await store.write(connect)
    await store.write(lambda desk: desk.identify(peer.id, DID, "Nagoya Parts"))
    await store.write(lambda desk: desk.forget("connection one"))
    await store.write(lambda desk: desk.forget("connection never"))
    found = await store.write(lambda desk: desk.peer(peer.id))
    assert found is not None
    assert (found.connection, found.did) == ("", DID)
    assert (await store.write(connect)).id != peer.id


async def test_who_a_peer_is_is_noted_once(store: SqlStore) -> None:
    peer = await store.write(connect)
    await store.write(lambda desk: desk.identify(peer.id, DID, "Nagoya Parts"))
    await store.write(lambda desk: desk.identify(peer.id, DID, "Nagoya Parts Ltd"))
    for found in (
        await store.read(lambda desk: desk.peer(peer.id)),
        await store.write(lambda desk: desk.peer(peer.id)),
    ):
        assert found is not None
        assert (found.id, found.did, found.name) == (peer.id, DID, "Nagoya Parts Ltd")
    with pytest.raises(Forbidden):
        await store.write(lambda desk: desk.identify(peer.id, "did:example:other", "Somebody"))
    with pytest.raises(Unknown):
        await store.write(lambda desk: desk.identify("nobody", DID, "Nagoya Parts"))


def come_back(desk: Desk) -> dict[str, Any]:
    """A company we know and deal with proves itself over a new connection."""
    old = connect(desk, "old")
    desk.identify(old.id, DID, "Nagoya Parts")
    before = say(desk, hear(desk, begin(desk, old, "before"), REQUEST), QUOTE)
    new = connect(desk, "new")
    greeting = hear(desk, begin(desk, new, "greeting"), REQUEST)
    # One message came over both connections: once in its exchange, once refused as a stranger's.
    twice = Said(before.said[0].id, "dismantler", 1, 0, REQUEST)
    desk.post(write(desk, Exchange("before", before.protocol, "collector", new.id), twice, status="refused"))
    desk.identify(new.id, DID, "Nagoya Parts")
    # Work in hand still holds the new id.
    return {"old": old.id, "new": new.id, "before": before, "after": say(desk, greeting, QUOTE)}


async def test_a_company_that_comes_back_keeps_its_identity_and_its_history(url: str) -> None:
    store = open_store(url, US)
    was = await store.write(come_back)
    for _ in range(2):
        for ask in (store.read, store.write):
            peer = await ask(lambda desk: desk.peer(was["old"]))
            assert peer is not None
            assert (peer.id, peer.connection, peer.their_did) == (
                was["old"],
                "connection new",
                "did:peer:new",
            )
            assert await ask(lambda desk: desk.peer(was["new"])) == peer
            assert await ask(lambda desk: desk.peers()) == [peer]
            assert await ask(lambda desk: desk.exchange("before")) == was["before"]
            greeting = await ask(lambda desk: desk.exchange("greeting"))
            assert greeting is not None
            assert greeting.peer == was["old"]
            assert greeting.said == was["after"].said
            queued = await ask(lambda desk: desk.due(was["old"], 10))
            assert [letter.thread for letter in queued] == ["before", "greeting"]
            assert await ask(lambda desk: desk.due(was["new"], 10)) == queued
            assert len(await ask(lambda desk: desk.letters("before"))) == 2
            assert [peer for peer, _ in await ask(lambda desk: desk.destinations())] == [was["old"]]
        assert (await store.write(lambda desk: connect(desk, "new"))).id == was["old"]
        store.close()
        store = open_store(url, US)
    store.close()


async def test_a_company_may_come_back_any_number_of_times(store: SqlStore) -> None:
    ids = []
    for n in range(4):
        peer = await store.write(lambda desk, n=n: connect(desk, str(n)))  # type: ignore[misc]
        await store.write(lambda desk, p=peer: desk.identify(p.id, DID, "Nagoya Parts"))  # type: ignore[misc]
        ids.append(peer.id)
    found = {(await store.read(lambda desk, i=id: desk.peer(i))) for id in ids}  # type: ignore[misc]
    (peer,) = (one for one in found if one is not None)
    assert (peer.id, peer.connection) == (ids[0], "connection 3")


async def test_a_failed_identification_leaves_both(store: SqlStore) -> None:
    def fail(desk: Desk) -> None:
        come_back(desk)
        raise ZeroDivisionError

    old = await store.write(lambda desk: connect(desk, "old"))
    with pytest.raises(ZeroDivisionError):
        await store.write(fail)
    assert await store.write(lambda desk: desk.peers()) == [old]
    assert await store.write(lambda desk: desk.peer(old.id)) == old
    assert await store.write(lambda desk: desk.exchange("before")) is None
