"""Hioki SW1001 and SW1002, relay mainframes, as a table of commands."""

from dataclasses import dataclass
from typing import ClassVar

from instruments.commands import Ask, Identity, Instrument, Table
from instruments.transport import Link, Refused
from schemas.errors import Invalid


@dataclass(frozen=True)
class Mainframe:
    """Slots and channels; the SW1001 has 3 slots, and a module 11 channels of four wires."""

    slots: int = 3
    channels: int = 11
    baud_rate: int = 115200

    def relays(self) -> tuple[int, ...]:
        """Return every channel number: the slot and two digits."""
        return tuple(
            100 * slot + channel
            for slot in range(1, self.slots + 1)
            for channel in range(1, self.channels + 1)
        )


def counts(reply: str) -> tuple[int, ...]:
    """Read the relay counts of one slot, one a channel."""
    return tuple(int(part) for part in reply.split(","))


COMMANDS: Table = {
    "identify": Ask("*IDN?", Identity.read),
    "clear": Ask("*CLS;*ESR?", int),
    "four-wire": Ask(":SYST:MOD:WIRE:MODE {slot},WIRE4;*OPC?", int),
    # `*OPC?` answers when the contacts have come to rest, `*ESR?` whether they were moved at all.
    "close": Ask(":CLOS {channel};*OPC?;*ESR?", lambda reply: tuple(map(int, reply.split(";")))),
    "open": Ask(":OPEN;*OPC?", int),
    "counts": Ask(":SYST:MOD:COUN? {slot}", counts),
    "error": Ask(":SYST:ERR?", str),
    "self-test": Ask("*TST?", int, timeout_s=30.0),
}


class SW1001(Instrument):
    """The relay mainframe; closing a channel opens the previous one by itself."""

    table: ClassVar[Table] = COMMANDS

    def __init__(self, link: Link, mainframe: Mainframe | None = None) -> None:
        super().__init__(link)
        self.mainframe = mainframe or Mainframe()

    def set_up(self) -> Identity:
        """Open every relay, set all slots to four wires and return who it is."""
        identity: Identity = self.say("identify")
        self.say("clear")
        self.open()
        for slot in range(1, self.mainframe.slots + 1):
            self.say("four-wire", slot=slot)
        return identity

    def close(self, channel: int) -> None:
        """Connect the meter to `channel` and wait until the contacts rest."""
        self.check_channel(channel)
        _, events = self.say("close", channel=channel)
        if events:
            raise Refused(
                "the switch refuses channel {channel}: {error}", channel=channel, error=self.say("error")
            )

    def open(self) -> None:
        """Disconnect every cell."""
        self.say("open")

    def relay_count(self, channel: int) -> int:
        """Return how often the relay of `channel` has been switched."""
        slot, number = divmod(channel, 100)
        every: tuple[int, ...] = self.say("counts", slot=slot)
        return every[number - 1] if len(every) > 1 else every[0]

    def check_channel(self, channel: int) -> None:
        """Raise Invalid if the mainframe has no such channel."""
        if channel not in self.mainframe.relays():
            raise Invalid("the switch has no channel {channel}", channel=channel)
