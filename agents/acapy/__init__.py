"""The one place that knows ACA-Py: an ACA-Py plugin, and the start of ACA-Py with it.

ACA-Py imports this package as a plugin and calls `setup`. Everything else is wired by `agents.acapy.start`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from acapy_agent.config.injection_context import InjectionContext


async def setup(context: "InjectionContext") -> None:
    """Teach ACA-Py our message types, and to read what peers send strictly."""
    from acapy_agent.core.protocol_registry import ProtocolRegistry
    from acapy_agent.transport.wire_format import BaseWireFormat

    from agents.acapy.envelope import StrictFormat
    from agents.acapy.wire import Wire
    from protocols.catalogue import MESSAGES

    # ACA-Py registers the types of plugins that have no `setup`; one that has must do it.
    context.inject(ProtocolRegistry).register_message_types(dict.fromkeys(MESSAGES, Wire))
    context.injector.bind_instance(BaseWireFormat, StrictFormat())  # type: ignore[type-abstract, no-untyped-call]
