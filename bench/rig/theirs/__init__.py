"""A plugin that makes a bare ACA-Py send basic messages, and count what comes in."""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acapy_agent.config.injection_context import InjectionContext
from acapy_agent.core.event_bus import EventBus, EventWithMetadata
from acapy_agent.core.profile import Profile
from acapy_agent.core.util import STARTUP_EVENT_PATTERN
from acapy_agent.messaging.responder import BaseResponder
from acapy_agent.protocols.basicmessage.v1_0.messages.basicmessage import BasicMessage

from bench.rig.orders import at_once, obey, until

RECEIVED = re.compile("^acapy::basicmessage::received$")


@dataclass
class Basic:
    """ACA-Py's own sending of basic messages, from within its process."""

    profile: Profile
    received: int = 0
    at: list[float] = field(default_factory=list)

    async def count(self, profile: Profile, event: EventWithMetadata) -> None:
        """Count a message that ACA-Py's handler has taken."""
        self.received += 1
        self.at.append(time.monotonic())

    async def send(self, number: int, connection: str, width: int, text: str) -> dict[str, Any]:
        """Give messages to ACA-Py to send."""
        responder = self.profile.inject(BaseResponder)  # type: ignore[type-abstract]
        start = time.monotonic()

        async def one(_: int) -> None:
            await responder.send(BasicMessage(content=text), connection_id=connection)

        await at_once(number, width, one)
        return {"started": start, "seconds": time.monotonic() - start, "sent": number}

    async def drive(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one order."""
        match order:
            case {"send": int(number), "to": str(to), "width": int(width), "text": str(text)}:
                return await self.send(number, to, width, text)
            case {"received": _}:
                return {"received": self.received}
            case {"await": int(number)}:
                await until(lambda: self.received >= number)
                return {"received": self.received, "at": self.at[number - 1]}
        raise ValueError(f"no such order: {order}")


async def setup(context: InjectionContext) -> None:
    """Start when ACA-Py has started."""
    context.inject(EventBus).subscribe(STARTUP_EVENT_PATTERN, started)


async def started(profile: Profile, event: EventWithMetadata) -> None:
    """Listen for orders."""
    basic = Basic(profile)
    profile.inject(EventBus).subscribe(RECEIVED, basic.count)
    global _task  # noqa: PLW0603, the loop keeps only weak references
    _task = asyncio.create_task(obey(basic.drive))


_task: "asyncio.Task[None] | None" = None
