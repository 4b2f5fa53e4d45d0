"""Hioki BT4560, a battery impedance meter with variable frequency, as a table of commands.

What public sources do not confirm stands in `Meter`, so another firmware is another `Meter` and not another
driver. See the README of this room.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal

from instruments.commands import Ask, Identity, Instrument, Table, Tell
from instruments.transport import Link, Refused
from schemas.errors import Invalid

type Rate = Literal["FAST", "MED", "SLOW"]

INPUT_BUFFER_BYTES = 256


@dataclass(frozen=True)
class Meter:
    """What differs between models and firmware, and is not confirmed by a public source.

    `waves` is how many periods of the test current one reading takes at each rate, and `delay_waves` how many
    pass before: the defaults give about 70 s and 220 s for 19 points from 1 kHz to 0.1 Hz, near the 68 s and
    222 s that are known for MED and SLOW. `sentinel` is the magnitude from which a figure is no measurement.
    """

    low_hz: float = 0.1
    high_hz: float = 1050.0
    ranges_ohm: tuple[float, ...] = (0.003, 0.01, 0.1)
    fast_waves: float = 1.0
    med_waves: float = 2.0
    slow_waves: float = 8.0
    delay_waves: float = 0.8
    sentinel: float = 1e8
    baud_rate: int = 9600

    def reading_s(self, frequency_hz: float, rate: Rate) -> float:
        """Return how long one reading takes: t = (waves + delay) / f, in seconds."""
        waves = {"FAST": self.fast_waves, "MED": self.med_waves, "SLOW": self.slow_waves}[rate]
        return (waves + self.delay_waves) / frequency_hz


class Contact(StrEnum):
    """What a reading says of the contacts."""

    GOOD = "good"
    OPEN = "open"
    REVERSED = "reversed"
    OVER_RANGE = "over-range"


@dataclass(frozen=True)
class Reading:
    """Resistance, reactance and voltage at one frequency, and what they say of the contacts."""

    frequency_hz: float
    real_ohm: float
    imag_ohm: float
    voltage_v: float
    contact: Contact

    @property
    def impedance_ohm(self) -> complex:
        """Return the complex impedance."""
        return complex(self.real_ohm, self.imag_ohm)


def numbers(reply: str) -> tuple[float, float, float]:
    """Read `R,X,V`; figures like `+1.06571E-03`, and no NaN."""
    resistance, reactance, voltage = (float(part) for part in reply.split(","))
    if not all(map(math.isfinite, (resistance, reactance, voltage))):
        raise ValueError(reply)
    return resistance, reactance, voltage


COMMANDS: Table = {
    "reset": Ask("*RST;*CLS;*IDN?", Identity.read, timeout_s=5.0),
    "identify": Ask("*IDN?", Identity.read),
    # One message, not ten: two small writes in a row wait 44 ms for the peer's delayed acknowledgement.
    "set-up": Ask(
        ":FUNC RV;:RANG {range_ohm:.0E};:AUT OFF;:SAMP:RATE Z,{rate};:SAMP:RATE V,{rate}"
        ";:SAMP:DEL:MODE WAVE;:LIM OFF;:ZERO:CROSS ON;:CALC:AVER {average};:ADJ:SLOP ON"
        ";:TRIG:SOUR EXT;:INIT:CONT ON;:MEAS:VAL 1;*ESR?",
        int,
        timeout_s=5.0,
    ),
    "measure": Ask(":FREQ {frequency_hz:g};*TRG;*WAI;:FETCH?", numbers),
    "events": Ask("*ESR?", int),
    "zero-adjust-one": Ask(":ADJ? SPOT", int, timeout_s=5.0),
    "zero-adjust-all": Ask(":ADJ? ALL", int, timeout_s=30.0),
    "local": Tell(":SYST:LOC"),
}


class BT4560(Instrument):
    """The impedance meter."""

    table: ClassVar[Table] = COMMANDS

    def __init__(self, link: Link, meter: Meter | None = None) -> None:
        super().__init__(link)
        self.meter = meter or Meter()
        self.rate: Rate = "MED"
        self.range_ohm = self.meter.ranges_ohm[-1]

    def identify(self) -> Identity:
        """Ask who it is."""
        identity: Identity = self.say("identify")
        return identity

    def set_up(self, *, rate: Rate, range_ohm: float, average: int = 1) -> Identity:
        """Bring the meter into a known state and return who it is."""
        identity: Identity = self.say("reset")
        events: int = self.say("set-up", rate=rate, range_ohm=range_ohm, average=average)
        if events:
            raise Refused(
                "{model} {serial} refuses the set-up (event status {events})",
                model=identity.model,
                serial=identity.serial,
                events=events,
            )
        self.rate, self.range_ohm = rate, range_ohm
        return identity

    def measure(self, frequency_hz: float, *, margin_s: float = 2.0) -> Reading:
        """Measure at one frequency; the time-out is the reading's own length and a margin.

        Raises Garbled, Silent or Disconnected; a bad contact is no error but stands in the reading.
        """
        timeout_s = self.meter.reading_s(frequency_hz, self.rate) + margin_s
        figures: tuple[float, float, float] = self.say(
            "measure", timeout_s=timeout_s, frequency_hz=frequency_hz
        )
        return Reading(frequency_hz, *figures, contact=self._contact(*figures))

    def check(self) -> None:
        """Raise Refused if the meter saw an error or restarted since it was last asked."""
        events: int = self.say("events")
        if events:
            raise Refused("the meter reports event status {events}", events=events)

    def zero_adjust(self, *, every_frequency: bool = True) -> None:
        """Adjust zero with the shorting bar in place; the reply 0 means done."""
        if self.say("zero-adjust-all" if every_frequency else "zero-adjust-one"):
            raise Refused("the meter refuses the zero adjustment")

    def release(self) -> None:
        """Give the front panel back to the operator."""
        self.say("local")

    def check_frequencies(self, frequencies_hz: tuple[float, ...]) -> None:
        """Raise Invalid if the meter cannot measure at one of `frequencies_hz`."""
        for frequency_hz in frequencies_hz:
            if not self.meter.low_hz <= frequency_hz <= self.meter.high_hz:
                raise Invalid("the meter cannot measure at {frequency} Hz", frequency=frequency_hz)

    def _contact(self, resistance: float, reactance: float, voltage: float) -> Contact:
        if abs(voltage) > self.meter.sentinel:
            return Contact.OPEN
        if max(abs(resistance), abs(reactance)) >= self.meter.sentinel:
            return Contact.OVER_RANGE
        if voltage < 0:
            return Contact.REVERSED
        return Contact.GOOD
