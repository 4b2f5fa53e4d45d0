"""A driver is a table of commands; this is what a row is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from instruments.transport import Garbled, Link


@dataclass(frozen=True)
class Tell:
    """A message without reply; the template's fields are filled when it is sent."""

    template: str


@dataclass(frozen=True)
class Ask[T]:
    """A message with a reply, the function that reads the reply, and how long it may take."""

    template: str
    read: Callable[[str], T]
    timeout_s: float = 2.0


type Command = Tell | Ask[Any]
type Table = Mapping[str, Command]


@dataclass(frozen=True)
class Identity:
    """What an instrument says of itself to `*IDN?`."""

    maker: str
    model: str
    serial: str
    firmware: str

    @classmethod
    def read(cls, reply: str) -> "Identity":
        """Read `maker,model,serial,firmware`."""
        maker, model, serial, firmware = (part.strip() for part in reply.split(","))
        return cls(maker, model, serial, firmware)

    def __str__(self) -> str:
        """Name it as statements do."""
        return f"{self.maker} {self.model}, serial {self.serial}, firmware {self.firmware}"


class Instrument:
    """An instrument at the end of a link, spoken to through a table."""

    table: ClassVar[Table] = {}

    def __init__(self, link: Link) -> None:
        self.link = link

    def say(self, command: str, *, timeout_s: float | None = None, **fields: object) -> Any:
        """Send the row called `command` and return what its reader makes of the reply."""
        row = self.table[command]
        message = row.template.format(**fields)
        if isinstance(row, Tell):
            return self.link.tell(message)
        reply = self.link.ask(message, row.timeout_s if timeout_s is None else timeout_s)
        try:
            return row.read(reply)
        except (ValueError, IndexError):
            raise Garbled(
                "{resource} answered {message} with {reply}, which cannot be read",
                resource=self.link.resource,
                message=message,
                reply=repr(reply[:80]),
            ) from None
