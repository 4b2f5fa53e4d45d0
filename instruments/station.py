"""The diagnosis station: one meter behind one switch, measuring channel by channel.

A fast analyser may stand behind the same switch; cells are then swept, or analysed, one shift each.
"""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from instruments.analyser import Adapter, Analyser, Analysis, Unseen
from instruments.bt4560 import BT4560, Contact, Meter, Reading
from instruments.commands import Identity
from instruments.measurement import Measurement, Outcome, Reason, Settings, Skipped, sweep_hz
from instruments.sw1001 import SW1001, Mainframe
from instruments.transport import (
    Disconnected,
    Garbled,
    LinkFault,
    Refused,
    Silent,
    Stopped,
    Transcript,
    VisaLink,
    transcript_digest,
)
from schemas.errors import Invalid, Misstep, Unavailable

__all__ = [
    "Measurement",
    "Outcome",
    "Progress",
    "Reason",
    "RelayUnknown",
    "Settings",
    "Skipped",
    "Station",
    "sweep_hz",
]

type Stage = Literal["close", "pre-check", "sweep", "analysis", "retry", "measured", "skipped"]

ATTEMPTS = 2

WORDS: Mapping[Reason, str] = {
    Reason.OPEN: "bad contact: the meter sees no cell on channel {channel}",
    Reason.REVERSED: "reversed polarity: the meter reads {voltage_v} V",
    Reason.OVER_RANGE: "over range: the impedance does not fit {range_ohm} ohm, or the contact is poor",
    Reason.VOLTAGE: "the cell shows {voltage_v} V, outside {low_v} to {high_v} V",
    Reason.VOLTAGE_DRIFT: "the voltage moved by {voltage_v} V during the sweep",
    Reason.DRIFT: "the contact moved: the impedance changed by {drift_pct} % during the sweep",
}
FAULTS: tuple[tuple[type[LinkFault], Reason], ...] = (
    (Silent, Reason.SILENT),
    (Disconnected, Reason.DISCONNECTED),
    (Garbled, Reason.GARBLED),
    (Refused, Reason.REFUSED),
)
CONTACTS: Mapping[Contact, Reason] = {
    Contact.OPEN: Reason.OPEN,
    Contact.REVERSED: Reason.REVERSED,
    Contact.OVER_RANGE: Reason.OVER_RANGE,
}
UNSEEN: Mapping[Contact, str] = {
    Contact.OPEN: "bad contact: the analyser sees no cell on channel {channel}",
    Contact.REVERSED: "reversed polarity, says the analyser on channel {channel}",
    Contact.OVER_RANGE: "over range, says the analyser on channel {channel}",
}


class RelayUnknown(Unavailable):
    """The switch does not confirm that every relay is open."""


class _Unfit(Exception):
    def __init__(self, reason: Reason, words: str) -> None:
        super().__init__(words)
        self.reason, self.words = reason, words


@dataclass(frozen=True)
class Progress:
    """Where the station is: on which channel, in which stage, at which point of how many."""

    rack: str
    channel: int
    cell: str
    stage: Stage
    point: int = 0
    points: int = 0
    reading: Reading | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True)
class _Order:
    """What holds for every channel of a diagnosis."""

    operator: str
    temperature_c: float
    soc_pct: float | None
    zero_adjustment: str | None  # of this meter
    tell: Callable[[Progress], None]
    fast: bool
    front: Identity  # of the meter, or of the analyser
    switch: Identity
    preamble: str


_held: set[str] = set()
_held_lock = threading.Lock()


class Station:
    """One rack: an impedance meter and a switch, by their VISA resource names.

    Nothing is opened before the first `diagnose`. One diagnosis at a time runs on a switch in a process;
    several racks are several stations in several threads.
    """

    def __init__(
        self,
        meter_resource: str,
        switch_resource: str,
        *,
        rack: str = "rack",
        settings: Settings | None = None,
        backend: str = "@py",
        meter: Meter | None = None,
        mainframe: Mainframe | None = None,
        analyser_resource: str = "",
        analyser: Adapter | None = None,
        stop: threading.Event | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.rack = rack
        self.settings = settings or Settings()
        self._stop = stop or threading.Event()
        self._clock = clock
        self._transcript = Transcript()

        def link(resource: str, name: str, baud_rate: int) -> VisaLink:
            return VisaLink(
                resource,
                name=name,
                transcript=self._transcript,
                stop=self._stop,
                backend=backend,
                baud_rate=baud_rate if resource.upper().startswith("ASRL") else None,
            )

        self._meter_link = link(meter_resource, "meter", (meter or Meter()).baud_rate)
        self._switch_link = link(switch_resource, "switch", (mainframe or Mainframe()).baud_rate)
        self._meter = BT4560(self._meter_link, meter)
        self._switch = SW1001(self._switch_link, mainframe)
        self._analyser_link = link(analyser_resource, "analyser", 9600)
        self._analyser: Analyser | None = analyser(self._analyser_link) if analyser else None

    def stop(self) -> None:
        """Stop at once, from any thread: the running channel is not recorded and its relay opens."""
        self._stop.set()

    @property
    def stopped(self) -> bool:
        """Say whether it was stopped; a stopped station stays stopped."""
        return self._stop.is_set()

    def wait(self, seconds: float) -> None:
        """Let time pass, but no longer than until somebody stops the station."""
        self._stop.wait(seconds)

    def diagnose(
        self,
        channel_to_cell: Mapping[int, str],
        operator: str,
        temperature_c: float,
        *,
        soc_pct: float | None = None,
        zero_adjustment: str | Mapping[str, str] | None = None,
        fast: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> tuple[Outcome, ...]:
        """Measure every channel and return one outcome for each, in order; blocks until done."""
        return tuple(
            self.outcomes(
                channel_to_cell,
                operator,
                temperature_c,
                soc_pct=soc_pct,
                zero_adjustment=zero_adjustment,
                fast=fast,
                on_progress=on_progress,
            )
        )

    def outcomes(
        self,
        channel_to_cell: Mapping[int, str],
        operator: str,
        temperature_c: float,
        *,
        soc_pct: float | None = None,
        zero_adjustment: str | Mapping[str, str] | None = None,
        fast: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Generator[Outcome]:
        """Measure channel by channel, handing over each outcome as soon as it stands.

        With `fast` each cell is analysed by the fast analyser, instead of being swept.
        The relay is open whenever an outcome is handed over, and when the iteration ends for whatever reason.
        A stopped station stays stopped: it reports every further channel as skipped.
        Raises Invalid before anything moves, Unavailable if the instruments cannot be reached at the start,
        RelayUnknown if the switch does not confirm that it opened.
        """
        channels = dict(channel_to_cell)
        self._check(channels, operator, temperature_c, soc_pct)
        if fast and self._analyser is None:
            raise Invalid("{rack} has no fast analyser", rack=self.rack)
        tell = on_progress or (lambda _: None)
        with self._rack_held():
            # The switch first: it opens what an earlier run may have left closed.
            switch = self._switch.set_up()
            try:
                front = self._set_up_front(fast)
                preamble = self._transcript.text()
                zero = zero_adjustment
                if zero is not None and not isinstance(zero, str):
                    zero = zero.get(front.serial)
                order = _Order(operator, temperature_c, soc_pct, zero, tell, fast, front, switch, preamble)
                for channel, cell in channels.items():
                    start = len(self._transcript)
                    try:
                        outcome = self._channel(channel, cell, order)
                    finally:
                        self._open_relays()
                    self._transcript.forget(start)
                    stage: Stage = "skipped" if isinstance(outcome, Skipped) else "measured"
                    tell(Progress(self.rack, channel, cell, stage, outcome=outcome))
                    yield outcome
            finally:
                self._open_relays()

    def _check(
        self, channels: Mapping[int, str], operator: str, temperature_c: float, soc_pct: float | None
    ) -> None:
        for channel in channels:
            self._switch.check_channel(channel)
        if len(set(channels.values())) != len(channels):
            raise Invalid("a cell cannot be on two channels")
        if not operator.strip():
            raise Invalid("a measurement needs an operator")
        if not -40 <= temperature_c <= 100:  # noqa: PLR2004 - also refuses NaN
            raise Invalid("{temperature} °C is no temperature of a cell room", temperature=temperature_c)
        if soc_pct is not None and not 0 <= soc_pct <= 100:  # noqa: PLR2004 - also refuses NaN
            raise Invalid("{soc} % is no state of charge", soc=soc_pct)
        self._meter.check_frequencies((*self.settings.frequencies_hz, self.settings.check_hz))

    @contextmanager
    def _rack_held(self) -> Iterator[None]:
        resource = self._switch_link.resource
        with _held_lock:
            if resource in _held:
                raise Misstep("a diagnosis is running on {rack}", rack=self.rack)
            _held.add(resource)
        try:
            yield
        finally:
            self._meter_link.close()
            self._switch_link.close()
            self._analyser_link.close()
            self._transcript.forget(0)
            with _held_lock:
                _held.discard(resource)

    def _set_up_front(self, fast: bool) -> Identity:
        if fast and self._analyser is not None:
            return self._analyser.identify()
        chosen = self.settings
        return self._meter.set_up(rate=chosen.rate, range_ohm=chosen.range_ohm, average=chosen.average)

    def _open_relays(self) -> None:
        """Open every relay, over a new connection if the old one fails."""
        with self._switch_link.unstoppable():
            for last in (False, True):
                try:
                    self._switch.open()
                except LinkFault as error:
                    if last:
                        raise RelayUnknown(
                            "{resource} does not confirm that its relays are open; switch it off before you "
                            "touch the cells ({error})",
                            resource=self._switch_link.resource,
                            error=error,
                        ) from error
                else:
                    return

    def _channel(
        self,
        channel: int,
        cell: str,
        order: _Order,
    ) -> Outcome:
        start, began = len(self._transcript), self._clock()
        attempt = 0
        while True:
            attempt += 1
            try:
                made = self._attempt(channel, cell, order, again=attempt > 1)
                break
            except (_Unfit, LinkFault) as error:
                reason, words = _why(error)
                if attempt < ATTEMPTS and reason is not Reason.STOPPED:
                    continue
                text = order.preamble + self._transcript.text(start)
                return Skipped(
                    cell, channel, reason, words, self.rack, attempt, transcript_digest(text), text
                )
        text = order.preamble + self._transcript.text(start)
        record = Analysis if order.fast else Measurement
        return record(
            cell=cell,
            channel=channel,
            rack=self.rack,
            temperature_c=float(order.temperature_c),
            soc_pct=None if order.soc_pct is None else float(order.soc_pct),
            operator=order.operator,
            started=began,
            finished=self._clock(),
            switch=order.switch,
            attempts=attempt,
            transcript_sha256=transcript_digest(text),
            transcript=text,
            **made,
        )

    def _attempt(self, channel: int, cell: str, order: _Order, *, again: bool) -> dict[str, Any]:
        """Close the relay and measure; raise at the first thing that is not right."""
        if again:
            order.tell(Progress(self.rack, channel, cell, "retry"))
            self._switch.set_up()  # either may have restarted
            self._set_up_front(order.fast)
        order.tell(Progress(self.rack, channel, cell, "close", points=len(self.settings.frequencies_hz)))
        self._switch.close(channel)
        relay_count = {"relay_count": self._switch.relay_count(channel)}
        if order.fast and self._analyser is not None:
            return relay_count | self._analysed(self._analyser, channel, cell, order)
        return relay_count | self._swept(channel, cell, order)

    def _analysed(self, analyser: Analyser, channel: int, cell: str, order: _Order) -> dict[str, Any]:
        """Have the fast analyser say what it says, and check that it can be about a cell."""
        order.tell(Progress(self.rack, channel, cell, "analysis"))
        try:
            shown = analyser.analyse(cell)
        except Unseen as unseen:
            raise _Unfit(CONTACTS[unseen.contact], UNSEEN[unseen.contact].format(channel=channel)) from unseen
        except LinkFault:
            raise
        except Exception as error:  # an adapter of others must not end a shift
            raise Garbled("the analyser's adapter broke off: {error}", error=repr(error)[:200]) from error
        self._check_voltage(shown.voltage_v)
        return asdict(shown) | {"analyser": order.front}

    def _check_voltage(self, voltage_v: float) -> None:
        low_v, high_v = self.settings.voltage_window_v
        if not low_v <= voltage_v <= high_v:
            raise _unfit(Reason.VOLTAGE, voltage_v=voltage_v, low_v=low_v, high_v=high_v)

    def _swept(self, channel: int, cell: str, order: _Order) -> dict[str, Any]:
        """Pre-check, sweep, check again."""
        chosen, points = self.settings, len(self.settings.frequencies_hz)
        first = self._good(channel, chosen.check_hz)
        self._check_voltage(first.voltage_v)
        order.tell(Progress(self.rack, channel, cell, "pre-check", points=points, reading=first))
        readings: list[Reading] = []
        for point, frequency_hz in enumerate(chosen.frequencies_hz, start=1):
            reading = self._good(channel, frequency_hz)
            readings.append(reading)
            order.tell(Progress(self.rack, channel, cell, "sweep", point, points, reading))
        last = self._good(channel, chosen.check_hz)
        self._meter.check()
        moved_v = abs(last.voltage_v - first.voltage_v)
        if moved_v >= chosen.voltage_drift_v:
            raise _unfit(Reason.VOLTAGE_DRIFT, voltage_v=round(moved_v, 4))
        if _drift(first, last) > chosen.drift_limit:
            raise _unfit(Reason.DRIFT, drift_pct=round(100 * _drift(first, last), 2))
        return {
            "frequencies_hz": tuple(reading.frequency_hz for reading in readings),
            "real_ohm": tuple(reading.real_ohm for reading in readings),
            "imag_ohm": tuple(reading.imag_ohm for reading in readings),
            "ocv_v": first.voltage_v,
            "settings": chosen,
            "meter": order.front,
            "zero_adjustment": order.zero_adjustment,
            "drift": _drift(first, last),
            "voltage_drift_v": moved_v,
            "closing_ohm": (last.real_ohm, last.imag_ohm),
        }

    def _good(self, channel: int, frequency_hz: float) -> Reading:
        """Measure at one frequency; raise if the contacts are not good."""
        reading = self._meter.measure(frequency_hz, margin_s=self.settings.margin_s)
        if reading.contact is not Contact.GOOD:
            raise _unfit(
                CONTACTS[reading.contact],
                channel=channel,
                voltage_v=reading.voltage_v,
                range_ohm=self.settings.range_ohm,
            )
        return reading


def _drift(first: Reading, last: Reading) -> float:
    """Return |Z2 - Z1| / |Z1|, without unit."""
    return abs(last.impedance_ohm - first.impedance_ohm) / abs(first.impedance_ohm)


def _unfit(reason: Reason, **values: object) -> _Unfit:
    return _Unfit(reason, WORDS[reason].format(**values))


def _why(error: _Unfit | LinkFault) -> tuple[Reason, str]:
    if isinstance(error, _Unfit):
        return error.reason, error.words
    if isinstance(error, Stopped):
        return Reason.STOPPED, str(error)
    return next((reason, str(error)) for kind, reason in FAULTS if isinstance(error, kind))
