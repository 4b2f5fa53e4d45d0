"""What comes in: from ACA-Py's dispatcher to the agent, and the answers to it."""

import asyncio
import logging
from asyncio import to_thread
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol

from acapy_agent.messaging.base_handler import BaseHandler
from acapy_agent.messaging.request_context import RequestContext
from acapy_agent.messaging.responder import BaseResponder

from agents.acapy.courier import Postman
from agents.acapy.wire import (
    BUNDLE_TYPE,
    PROBLEM_TYPE,
    RECEIPT_TYPE,
    Wire,
    read,
    read_problems,
    read_receipt,
    unbundle,
)
from agents.evidence import Fetcher, Vault
from agents.ports import Enclosure, Parcel, Store, Verdict
from agents.role import Books, Peer
from agents.service import roles_of
from protocols.introduction import INTRODUCTION
from protocols.receipt import MOST_IN_A_BUNDLE
from schemas.errors import Fault, Invalid

LOG = logging.getLogger(__name__)


class Inbound(BaseHandler):
    """The one handler of all our messages."""

    async def handle(self, context: RequestContext, responder: BaseResponder) -> None:
        """Take in what came over an established connection; whatever else comes leaves no trace."""
        letterbox = context.inject_or(Letterbox)
        wire = context.message
        if letterbox is None or not isinstance(wire, Wire):
            LOG.warning("a message came before we could take it; its sender will send it again")
            return
        line = proven(context)
        if line is None:
            LOG.warning("a %s from nobody we are connected with is dropped", wire._type)  # noqa: SLF001
            return
        await letterbox.take(line, wire.value)


@dataclass(frozen=True)
class Line:
    """An established connection: its id, and the DIDs at its ends."""

    connection: str
    our_did: str
    their_did: str


def line_of(connection: str, our_did: str, their_did: str) -> Line:
    """Return a connection's line, its DIDs spelt the same at both ends."""
    return Line(connection, short_did(our_did), short_did(their_did))


def short_did(did: str) -> str:
    """Return a did:peer:4 without the document it may carry behind it; its hash alone names the same DID."""
    return ":".join(did.split(":")[:3]) if did.startswith("did:peer:4") else did


def proven(context: RequestContext) -> Line | None:
    """Return the connection a message came over, if its sender's key belongs to the peer of that connection.

    ACA-Py also looks a connection up by the invitation that a message names as its parent thread, and takes
    messages that are not encrypted at all. So whoever has seen an invitation could speak for the other side:
    the DID of the key that encrypted the message has to be the one at the connection's other end.
    """
    connection, receipt = context.connection_record, context.message_receipt
    if connection is None or not context.connection_ready or receipt is None or not receipt.sender_verkey:
        return None
    line = line_of(str(connection.connection_id), connection.my_did or "", connection.their_did or "")
    if not line.our_did or short_did(receipt.recipient_did or "") != line.our_did:
        return None
    if not line.their_did or short_did(receipt.sender_did or "") != line.their_did:
        return None
    return line


@dataclass
class _Tray:
    """A peer's parcels that wait for the ones before them; so all that waits shares one commit.

    `unjudged` are those that got no verdict: most likely because the peer's word on a message of ours has
    been overtaken by them. They are looked at again when it comes; the peer would send them again in time.
    """

    parcels: list[Parcel] = field(default_factory=list)
    unjudged: list[Parcel] = field(default_factory=list)
    heard: int = 0
    """How often the peer has told us of messages of ours."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Receiver(Protocol):
    """The part of the agent that takes messages in."""

    async def receive(self, peer: Peer, parcels: Sequence[Parcel]) -> list[Verdict]:
        """Take in what a peer sent."""
        ...

    async def settle(self, peer: str, taken: Sequence[str], problems: Sequence[Verdict]) -> list[Verdict]:
        """Note what became of our messages; return verdicts on theirs that waited for it."""
        ...

    async def resume(self) -> dict[str, list[Verdict]]:
        """Take messages that can be judged by now; return verdicts by peer."""
        ...


class Letterbox:
    """Takes in what peers send: opens bundles, keeps small files, and has receipts given."""

    def __init__(
        self,
        agent: Receiver,
        store: Store,
        vault: Vault,
        postman: Postman,
        fetcher: Fetcher | None = None,
    ) -> None:
        self.agent = agent
        self.store = store
        self.vault = vault
        self.postman = postman
        self.fetcher = fetcher
        self.received = 0
        self._peers: dict[str, Peer] = {}
        self._trays: dict[str, _Tray] = {}
        self._busy: set[asyncio.Task[None]] = set()
        self._closed = False

    async def close(self, seconds: float = 0.5) -> None:
        """Take nothing more, and finish what is in hand; what is not taken comes again."""
        self._closed = True
        if self._busy:
            await asyncio.wait(self._busy, timeout=seconds)

    async def peer(self, line: Line) -> Peer:
        """Return the peer at the other end of a connection, noting it first when it is new."""
        if (known := self._peers.get(line.connection)) is not None:
            return known
        found = await self.store.read(
            lambda books: next((peer for peer in books.peers() if peer.connection == line.connection), None)
        )
        if found is None:
            found = await self.store.write(
                lambda desk: desk.contact(line.connection, line.our_did, line.their_did)
            )
        self._peers[line.connection] = found
        return found

    def forget(self, connection: str = "") -> None:
        """Look peers up anew: who is behind a connection may have changed."""
        if connection:
            self._peers.pop(connection, None)
        else:
            self._peers.clear()

    async def take(self, line: Line, value: Mapping[str, Any]) -> None:
        """Take in one message or bundle, and answer what is in it."""
        if self._closed:
            return
        task = asyncio.ensure_future(self._take(line, value))
        self._busy.add(task)
        task.add_done_callback(self._busy.discard)
        await task

    async def _take(self, line: Line, value: Mapping[str, Any]) -> None:
        peer = await self.peer(line)
        try:
            messages = unbundle(value) if value["@type"] == BUNDLE_TYPE else [value]
        except Invalid as fault:
            self.postman.heard(peer.id)
            self.postman.acknowledge(peer.id, [_refused(str(value["@id"]), fault)])
            return
        receipts = [m for m in messages if m["@type"] == RECEIPT_TYPE]
        reports = [m for m in messages if m["@type"] == PROBLEM_TYPE]
        knock = any(m.get("taken") == [] for m in receipts)
        self.postman.heard(peer.id, knock=knock)
        await self._settle(peer, receipts, reports)
        parcels = self._unjudged(peer) if receipts or reports else []
        rest = [m for m in messages if m["@type"] not in (RECEIPT_TYPE, PROBLEM_TYPE)]
        parcels += await self._open(peer, rest)
        if parcels:
            await self._receive(peer, parcels)
            if any(parcel.type.startswith(INTRODUCTION.uri) for parcel in parcels):
                self.forget()

    async def resume(self) -> None:
        """Judge what could not be judged before, and answer it."""
        for peer, late in (await self.agent.resume()).items():
            self.postman.acknowledge(peer, late)

    def _unjudged(self, peer: Peer) -> list[Parcel]:
        """Take the parcels that got no verdict."""
        tray = self._tray(peer)
        tray.heard += 1
        unjudged, tray.unjudged = tray.unjudged, []
        return unjudged

    async def _open(self, peer: Peer, messages: Sequence[Mapping[str, Any]]) -> list[Parcel]:
        """Read messages, and keep the small files that came inside from a member."""
        opened = [read(message) for message in messages]
        if any(one.files for one in opened) and not await self.store.read(partial(_is_listed, peer.id)):
            return [
                replace(one.parcel, enclosures=tuple(map(_unkept, one.parcel.enclosures))) for one in opened
            ]
        for content in (content for one in opened for content in one.files):
            await to_thread(self.vault.put, content)
        return [one.parcel for one in opened]

    async def _receive(self, peer: Peer, parcels: list[Parcel]) -> None:
        tray = self._tray(peer)
        tray.parcels += parcels
        async with tray.lock:
            # Those before us may have taken ours along.
            while batch := tray.parcels[:MOST_IN_A_BUNDLE]:
                del tray.parcels[: len(batch)]
                heard = tray.heard
                verdicts = await self.agent.receive(peer, batch)
                self.received += len(verdicts)
                self.postman.acknowledge(peer.id, verdicts)
                judged = {verdict.id for verdict in verdicts}
                unjudged = [parcel for parcel in batch if parcel.id not in judged]
                # What they wait for may have come while they were looked at.
                (tray.unjudged if heard == tray.heard else tray.parcels).extend(unjudged)
                del tray.unjudged[:-MOST_IN_A_BUNDLE]
        if self.fetcher and any(enclosure.link for parcel in parcels for enclosure in parcel.enclosures):
            self.fetcher.wake()

    def _tray(self, peer: Peer) -> _Tray:
        return self._trays.setdefault(peer.id, _Tray())

    async def _settle(
        self, peer: Peer, receipts: Sequence[Mapping[str, Any]], reports: Sequence[Mapping[str, Any]]
    ) -> None:
        """Settle our messages by what the peer says of them; what we cannot read is never answered."""
        taken: list[str] = []
        problems: list[Verdict] = []
        for value in (*receipts, *reports):
            try:
                if value["@type"] == RECEIPT_TYPE:
                    taken += read_receipt(value)
                else:
                    problems += [
                        Verdict(problem.id, problem.code or "refused", problem.en)
                        for problem in read_problems(value)
                    ]
            except Invalid as fault:
                LOG.warning("a receipt from peer %s cannot be read: %s", peer.id, fault)
        for problem in problems:
            # The peer's own words, so that none of them is a line of the log.
            id, code = ascii(problem.id)[1:-1], ascii(problem.code)[1:-1]
            LOG.warning("peer %s refused %s as %s", peer.id, id, code)
        if taken or problems:
            late = await self.agent.settle(peer.id, taken, problems)
            self.postman.settled(peer.id, [*taken, *(problem.id for problem in problems)])
            if late:
                self.postman.acknowledge(peer.id, late)


def _is_listed(peer: str, books: Books) -> bool:
    known = books.peer(peer)
    return known is not None and bool(roles_of(books, known.did, books.authority()))


def _unkept(enclosure: Enclosure) -> Enclosure:
    return replace(enclosure, held=False, problem="comes from a company that is not a member")


def _refused(id: str, fault: Fault) -> Verdict:
    return Verdict(id, fault.code, fault.template, {name: str(value) for name, value in fault.values.items()})
