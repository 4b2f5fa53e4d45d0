"""Fast analysers, which give a state of health of their own in seconds: the interface, and a simulated one.

No maker publishes a protocol, so a real one is an adapter of its maker's or yours: a class that takes the
link to the device and has these two methods, named in the entry point group `meguri.analysers`. What it says
is recorded as the vendor's value, beside what the spectrum says, and never mixed into it.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from importlib.metadata import entry_points
from typing import Any, ClassVar, Final, Protocol

import rfc8785

from instruments.bt4560 import Contact
from instruments.commands import Ask, Identity, Instrument, Table
from instruments.transport import Link, transcript_digest
from schemas.errors import Invalid, Unknown

GROUP: Final = "meguri.analysers"
FORMAT: Final = "meguri.analysis/1"
SIMULATED: Final = "simulated"
HIGHEST_PCT: Final = 150.0


class Unseen(Exception):
    """The analyser sees no good cell; `contact` says what it sees."""

    def __init__(self, contact: Contact) -> None:
        super().__init__(contact)
        self.contact = contact


@dataclass(frozen=True)
class Shown:
    """What an analyser shows of one cell: state of health with the interval it states, if any; ohm, volt."""

    soh_pct: float
    voltage_v: float
    resistance_ohm: float | None = None
    lower_pct: float | None = None
    upper_pct: float | None = None

    def __post_init__(self) -> None:
        told = (self.soh_pct, self.voltage_v, self.resistance_ohm, self.lower_pct, self.upper_pct)
        ends = (self.lower_pct, self.soh_pct, self.upper_pct)
        whole = None not in ends
        if (
            not all(math.isfinite(figure) for figure in told if figure is not None)
            or not 0 <= self.soh_pct <= HIGHEST_PCT
            or (self.lower_pct is None) != (self.upper_pct is None)
            or (whole and list(ends) != sorted(end for end in ends if end is not None))
        ):
            raise Invalid("what the analyser shows are no figures of a cell")

    @classmethod
    def read(cls, reply: str) -> "Shown":
        """Read `SOH,LOW,HIGH,OHM,VOLT`, low and high `-` where no interval is stated; or what it sees."""
        if reply in _SEEN:
            raise Unseen(_SEEN[reply])
        health, low, high, ohm, volt = reply.split(",")
        ends = (None, None) if (low, high) == ("-", "-") else (float(low), float(high))
        try:
            return cls(float(health), float(volt), float(ohm), *ends)
        except Invalid as fault:
            raise ValueError(str(fault)) from fault


_SEEN: Mapping[str, Contact] = {
    "OPEN": Contact.OPEN,
    "REVERSED": Contact.REVERSED,
    "OVER": Contact.OVER_RANGE,
}


class Analyser(Protocol):
    """A fast analyser behind the switch of a rack, at the end of a link."""

    def identify(self) -> Identity:
        """Ask who it is."""
        ...

    def analyse(self, cell: str) -> Shown:
        """Analyse the cell that is connected now; blocks until done.

        Raises Unseen where it sees no good cell, a LinkFault of `instruments.transport` where the talk with
        it fails, and that is Garbled where what it says cannot be read.
        """
        ...


type Adapter = Callable[[Link], Analyser]


class SimulatedAnalyser(Instrument):
    """The adapter of the analyser that `instruments.rack` plays; its dialect is ours and nobody else's."""

    table: ClassVar[Table] = {
        "identify": Ask("*IDN?", Identity.read),
        "analyse": Ask(":ANALyse?", Shown.read, timeout_s=30.0),
    }

    def __init__(self, link: Link, *, timeout_s: float | None = None) -> None:
        super().__init__(link)
        self._timeout_s = timeout_s

    def identify(self) -> Identity:
        """Ask who it is: it says that it is simulated."""
        found: Identity = self.say("identify")
        return found

    def analyse(self, cell: str) -> Shown:
        """Analyse the cell that is connected now."""
        found: Shown = self.say("analyse", timeout_s=self._timeout_s)
        return found


def adapter(name: str) -> Adapter:
    """Return the analyser's adapter of this name: the simulated one, or one that a distribution brings."""
    if name == SIMULATED:
        return SimulatedAnalyser
    for entry in entry_points(group=GROUP, name=name):
        found: Adapter = entry.load()
        return found
    raise Unknown("there is no adapter for an analyser called {name}", name=name)


@dataclass(frozen=True)
class Analysis:
    """What a fast analyser said of one cell, unchanged: the vendor's value and all there is to judge it by.

    `lower_pct` and `upper_pct` are the interval the analyser itself states; None where it states none.
    `transcript` is every byte exchanged (see `instruments.transport.Transcript`).
    """

    cell: str
    channel: int
    rack: str
    soh_pct: float
    lower_pct: float | None
    upper_pct: float | None
    resistance_ohm: float | None
    voltage_v: float
    temperature_c: float
    soc_pct: float | None
    operator: str
    started: datetime
    finished: datetime
    analyser: Identity
    switch: Identity
    relay_count: int
    attempts: int
    transcript_sha256: str
    transcript: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        Shown(self.soh_pct, self.voltage_v, self.resistance_ohm, self.lower_pct, self.upper_pct)
        if not math.isfinite(self.temperature_c) or not math.isfinite(self.soc_pct or 0.0):
            raise Invalid("a measurement holds finite figures only")
        if self.started.tzinfo is None or self.finished.tzinfo is None:
            raise Invalid("the times of a measurement need a time zone")
        if self.transcript and transcript_digest(self.transcript) != self.transcript_sha256:
            raise Invalid("the transcript does not match its digest")

    @property
    def digest(self) -> str:
        """Return the SHA-256, in hexadecimal, of the JSON form without transcript in RFC 8785's spelling."""
        return hashlib.sha256(rfc8785.dumps(self.without_transcript().to_json())).hexdigest()

    @property
    def interval(self) -> tuple[float, float]:
        """Return the interval the analyser states; without one, the value twice."""
        whole = self.lower_pct is not None and self.upper_pct is not None
        return (self.lower_pct, self.upper_pct) if whole else (self.soh_pct, self.soh_pct)  # type: ignore[return-value]

    def without_transcript(self) -> "Analysis":
        """Return the same analysis without the bytes themselves; its digest stays."""
        return replace(self, transcript="")

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; reading them back gives an equal analysis."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        for name in ("started", "finished"):
            values[name] = values[name].astimezone(UTC).isoformat()
        for name in ("analyser", "switch"):
            values[name] = asdict(values[name])
        if not self.transcript:
            del values["transcript"]
        return {"format": FORMAT} | values

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Analysis":
        """Read the JSON form; raise Invalid if it is anything else."""
        if not isinstance(document, Mapping) or document.get("format") != FORMAT:
            raise Invalid("this is no analysis in the format {format}", format=FORMAT)
        values = {key: value for key, value in document.items() if key != "format"}
        try:
            for name in ("soh_pct", "voltage_v", "temperature_c"):
                values[name] = float(values[name])
            for name in ("lower_pct", "upper_pct", "resistance_ohm", "soc_pct"):
                values[name] = None if values[name] is None else float(values[name])
            for name in ("channel", "relay_count", "attempts"):
                values[name] = int(values[name])
            for name in ("started", "finished"):
                values[name] = datetime.fromisoformat(values[name])
            for name in ("analyser", "switch"):
                values[name] = Identity(**values[name])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise Invalid("the analysis cannot be read: {error}", error=repr(error)) from error
