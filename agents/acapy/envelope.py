"""How messages are packed, posted and unpacked, by the wallet's keys."""

from asyncio import to_thread
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from acapy_agent.connections.base_manager import BaseConnectionManager, BaseConnectionManagerError
from acapy_agent.connections.models.connection_target import ConnectionTarget
from acapy_agent.core.profile import Profile, ProfileSession
from acapy_agent.messaging.base_message import DIDCommVersion
from acapy_agent.messaging.util import time_now
from acapy_agent.resolver.base import ResolverError
from acapy_agent.storage.error import StorageError
from acapy_agent.transport.error import WireFormatError, WireFormatParseError
from acapy_agent.transport.inbound.receipt import MessageReceipt
from acapy_agent.transport.pack_format import V1PackWireFormat
from acapy_agent.transport.wire_format import DIDCOMM_V0_MIME_TYPE
from acapy_agent.wallet.error import WalletError
from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

from agents.acapy.courier import Declined, Unreachable, Unroutable
from agents.acapy.wire import loads
from agents.role import Peer
from schemas.errors import Invalid

LARGE = 256 << 10
TIMEOUT = ClientTimeout(total=60, connect=5, sock_connect=5)
_TARGET_S = 600.0


class StrictFormat(V1PackWireFormat):
    """ACA-Py's format of packed messages, but that only what is packed is read: strictly, and once.

    ACA-Py reads the decrypted text with Python's own reader, which keeps the last of two members with one
    name and takes NaN. It also takes what is not packed at all, from anybody: nothing we speak needs that.
    """

    async def parse_message(
        self, session: ProfileSession, message_body: str | bytes
    ) -> tuple[dict[str, object], MessageReceipt]:
        """Return the message in an envelope and what is known of its sender."""
        receipt = MessageReceipt()
        try:
            text = await self.unpack(session, message_body, receipt)
        except Exception as error:  # what is no envelope fails in many ways
            raise WireFormatParseError("the message is not packed for us") from error
        try:
            # A large one takes seconds to read; meanwhile others are served.
            value = loads(text) if len(text) < LARGE else await to_thread(loads, text)
        except Invalid as fault:
            raise WireFormatParseError(str(fault)) from fault
        receipt.in_time = time_now()  # type: ignore[assignment]  # as ACA-Py does
        receipt.didcomm_version = DIDCommVersion.v1
        receipt.raw_message = text
        thread, transport = value.get("~thread"), value.get("~transport")
        thread = thread if isinstance(thread, dict) else {}
        receipt.thread_id = str(thread.get("thid") or value.get("@id"))
        if parent := thread.get("pthid"):
            receipt.parent_thread_id = str(parent)
        if isinstance(transport, dict):
            receipt.direct_response_mode = str(transport.get("return_route") or "none")
        return value, receipt


@dataclass
class Post:
    """Packs messages for peers with the wallet's keys, and posts them over HTTP."""

    profile: Profile
    format: V1PackWireFormat = field(default_factory=V1PackWireFormat)
    _targets: dict[str, tuple[ConnectionTarget, float]] = field(default_factory=dict)
    _http: ClientSession | None = None

    async def carry(self, peer: Peer, text: str) -> None:
        """Return once the peer's agent has it; raise `Unreachable`, `Declined` or `Unroutable`."""
        target = await self._target(peer)
        try:
            async with self.profile.session() as session:
                packed = await self.format.encode_message(
                    session, text, target.recipient_keys, target.routing_keys, str(target.sender_key)
                )
        except (WireFormatError, WalletError) as error:
            raise Unroutable(f"the message cannot be packed: {error}") from error
        try:
            async with self._session().post(
                str(target.endpoint),
                data=packed,
                headers={"Content-Type": DIDCOMM_V0_MIME_TYPE},
                allow_redirects=False,
            ) as response:
                status, reason = response.status, response.reason
        except (ClientError, OSError, TimeoutError) as error:
            self._targets.pop(peer.connection, None)
            raise Unreachable(str(error) or type(error).__name__) from error
        if status in (400, 413, 415, 422):
            raise Declined(f"HTTP {status} {reason}")
        if status >= 300:  # noqa: PLR2004
            raise Unreachable(f"HTTP {status} {reason}")

    async def endpoint(self, peer: Peer) -> str:
        """Return the address a peer is reached at, or raise `Unroutable`."""
        return str((await self._target(peer)).endpoint)

    async def close(self) -> None:
        """Close the connections kept open."""
        if self._http:
            await self._http.close()

    def _session(self) -> ClientSession:
        if self._http is None:
            connector = TCPConnector(limit=200, limit_per_host=8, keepalive_timeout=30)
            self._http = ClientSession(timeout=TIMEOUT, connector=connector, cookie_jar=DummyCookieJar())
        return self._http

    async def _target(self, peer: Peer) -> ConnectionTarget:
        """Return where and with which keys to reach a peer; looked up anew every few minutes."""
        if not peer.connection:
            raise Unroutable("there is no connection to this company")
        known = self._targets.get(peer.connection)
        if known and known[1] > monotonic():
            return known[0]
        found: list[ConnectionTarget] = []
        with suppress(BaseConnectionManagerError, StorageError, WalletError, ResolverError):
            found = await BaseConnectionManager(self.profile).get_connection_targets(
                connection_id=peer.connection
            )
        for target in found:
            if target.recipient_keys and str(target.endpoint).startswith(("http://", "https://")):
                self._targets[peer.connection] = target, monotonic() + _TARGET_S
                return target
        raise Unroutable("there is no working connection to this company")
