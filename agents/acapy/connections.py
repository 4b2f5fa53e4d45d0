"""How companies connect: invitations, and making sure that who is connected has introduced itself."""

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from acapy_agent.connections.models.conn_record import ConnRecord
from acapy_agent.core.error import BaseError
from acapy_agent.core.event_bus import EventBus, EventWithMetadata
from acapy_agent.core.profile import Profile
from acapy_agent.protocols.out_of_band.v1_0.manager import OutOfBandManager
from acapy_agent.protocols.out_of_band.v1_0.messages.invitation import HSProto, InvitationMessage

from agents.acapy.inbound import Letterbox, line_of
from agents.ports import Desk
from agents.service import Agent
from schemas.errors import Fault, Invalid, Unavailable

LOG = logging.getLogger(__name__)

CONNECTED = re.compile("^acapy::record::connections::(active|completed|response)$")
REPORTED = re.compile("^acapy::problem_report$")
MOST_IN_AN_INVITATION = 20_000


class Connections:
    """The company's connections. ACA-Py's events only hint at changes: its records are what counts."""

    def __init__(
        self, profile: Profile, agent: Agent, letterbox: Letterbox, name: str, *, again_s: float = 300.0
    ) -> None:
        self.profile = profile
        self.agent = agent
        self.letterbox = letterbox
        self.name = name
        self.again_s = again_s
        self._hint = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    # Invitations

    async def create(self) -> str:
        """Return the URL of a new invitation; it lets one company connect."""
        try:
            made = await OutOfBandManager(self.profile).create_invitation(
                my_label=self.name,
                hs_protos=[HSProto.DIDEX_1_1, HSProto.RFC23],
                auto_accept=True,
            )
        except BaseError as error:
            raise Unavailable("no invitation could be made: {reason}", reason=error) from error
        return str(made.invitation.to_url())

    async def accept(self, url: str) -> str:
        """Accept an invitation and return the connection's id; raise `Invalid` for what is none."""
        try:
            invitation = InvitationMessage.from_url(url) if len(url) < MOST_IN_AN_INVITATION else None
        except (BaseError, ValueError):
            invitation = None
        if invitation is None:
            raise Invalid("this is no invitation")
        try:
            accepted = await OutOfBandManager(self.profile).receive_invitation(invitation, auto_accept=True)
        except (BaseError, ValueError) as error:
            LOG.warning("an invitation could not be accepted: %s", error)
            raise Invalid("the invitation cannot be accepted: {reason}", reason=error) from error
        self._hint.set()
        return str(accepted.connection_id)

    # Introductions

    async def start(self) -> None:
        """Reconcile now, at every hint, and now and then."""
        bus = self.profile.inject(EventBus)
        bus.subscribe(CONNECTED, self._hinted)
        bus.subscribe(REPORTED, self._reported)
        self._task = asyncio.create_task(self._run(), name="reconcile connections")

    async def stop(self) -> None:
        """Stop."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _hinted(self, profile: Profile, event: EventWithMetadata) -> None:
        self._hint.set()

    async def _reported(self, profile: Profile, event: EventWithMetadata) -> None:
        """Say that ACA-Py over there could not read something; our own courier sends it again or gives up."""
        description = event.payload.get("description") if isinstance(event.payload, dict) else None
        code = description.get("code") if isinstance(description, dict) else ""
        LOG.warning("an ACA-Py problem report came: %s", ascii(code)[:80])

    async def _run(self) -> None:
        while True:
            self._hint.clear()
            try:
                await self.reconcile()
            except Exception:
                LOG.exception("could not go through the connections")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hint.wait(), self.again_s)

    async def reconcile(self) -> None:
        """Note every established connection, and introduce ourselves where we were invited."""
        records = await self._records()
        await self._forget_others({str(record.connection_id) for record in records})
        for record in records:
            if not record.is_ready or not record.my_did or not record.their_did:
                continue
            id = str(record.connection_id)
            peer = await self.letterbox.peer(line_of(id, record.my_did, record.their_did))
            invited_us = ConnRecord.Role.get(record.their_role) is ConnRecord.Role.RESPONDER
            if not invited_us or not _completed(record):
                continue
            key = f"introduce:{id}"
            if await self.agent.store.read(_done(key)):
                continue
            try:
                await self.agent.perform("introduce", {}, peer.id, key=key)
            except Fault as fault:
                LOG.warning("could not introduce ourselves to peer %s: %s", peer.id, fault)

    async def _forget_others(self, ids: set[str]) -> None:
        """Forget connections that ACA-Py no longer has; the companies stay."""
        peers = await self.agent.store.read(lambda desk: desk.peers())
        if gone := [peer.connection for peer in peers if peer.connection and peer.connection not in ids]:
            LOG.warning("%d connections are gone from the wallet", len(gone))

            def work(desk: Desk) -> None:
                for connection in gone:
                    desk.forget(connection)

            await self.agent.store.write(work)
            self.letterbox.forget()

    async def _records(self) -> Any:
        async with self.profile.session() as session:
            return await ConnRecord.query(session)


def _completed(record: Any) -> bool:
    return ConnRecord.State.get(record.state) is ConnRecord.State.COMPLETED


def _done(key: str) -> Callable[[Desk], bool]:
    return lambda desk: desk.done(key) is not None
