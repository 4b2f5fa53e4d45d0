"""What the station hands over for each channel: an immutable measurement, or why there is none."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import rfc8785

from instruments.analyser import Analysis
from instruments.bt4560 import Rate
from instruments.commands import Identity
from instruments.transport import transcript_digest
from schemas.errors import Invalid

FORMAT = "meguri.measurement/1"


def sweep_hz(high_hz: float = 1000.0, low_hz: float = 0.1, points: int = 19) -> tuple[float, ...]:
    """Return frequencies from high to low, evenly spaced in their logarithm, to four digits."""
    step = (math.log10(low_hz) - math.log10(high_hz)) / (points - 1)
    return tuple(float(f"{10 ** (math.log10(high_hz) + step * n):.4g}") for n in range(points))


@dataclass(frozen=True)
class Settings:
    """How the station measures, and from when on it refuses a value.

    `drift_limit` is relative to |Z| at the check frequency, `voltage_drift_v` the change of the voltage
    during a sweep at which the meter itself would complain; `voltage_window_v` is what a cell may show.
    """

    frequencies_hz: tuple[float, ...] = sweep_hz()
    check_hz: float = 1000.0
    rate: Rate = "MED"
    range_ohm: float = 0.1
    average: int = 1
    drift_limit: float = 0.01
    voltage_drift_v: float = 0.01
    voltage_window_v: tuple[float, float] = (1.0, 5.0)
    margin_s: float = 2.0

    def __post_init__(self) -> None:
        falling = all(a > b for a, b in zip(self.frequencies_hz, self.frequencies_hz[1:], strict=False))
        if not self.frequencies_hz or not falling or self.frequencies_hz[-1] <= 0:
            raise Invalid("the frequencies of a sweep must be positive and fall from high to low")
        object.__setattr__(self, "voltage_window_v", tuple(self.voltage_window_v))


class Reason(StrEnum):
    """Why a channel has no measurement."""

    OPEN = "open"
    REVERSED = "reversed"
    OVER_RANGE = "over-range"
    VOLTAGE = "voltage"
    VOLTAGE_DRIFT = "voltage-drift"
    DRIFT = "drift"
    SILENT = "silent"
    DISCONNECTED = "disconnected"
    GARBLED = "garbled"
    REFUSED = "refused"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Measurement:
    """One cell's impedance spectrum as the instruments gave it, with all that is needed to judge it.

    Impedances are real and imaginary parts in ohm, in the order of the frequencies in hertz, inductive
    reactance positive. `drift` is |Z2 - Z1| / |Z1| between the readings at the check frequency before and
    after the sweep, `closing_ohm` the real and imaginary part of the latter. `transcript` is every byte
    exchanged, from the set-up on (see `instruments.transport.Transcript`); it may be left out, its digest
    may not.
    """

    cell: str
    channel: int
    rack: str
    frequencies_hz: tuple[float, ...]
    real_ohm: tuple[float, ...]
    imag_ohm: tuple[float, ...]
    ocv_v: float
    temperature_c: float
    soc_pct: float | None
    operator: str
    started: datetime
    finished: datetime
    settings: Settings
    meter: Identity
    switch: Identity
    relay_count: int
    zero_adjustment: str | None
    attempts: int
    drift: float
    voltage_drift_v: float
    closing_ohm: tuple[float, float]
    transcript_sha256: str
    transcript: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        if not len(self.frequencies_hz) == len(self.real_ohm) == len(self.imag_ohm) > 0:
            raise Invalid("a spectrum has as many resistances and reactances as frequencies")
        figures = (*self.frequencies_hz, *self.real_ohm, *self.imag_ohm, self.ocv_v, self.temperature_c)
        if not all(
            map(
                math.isfinite,
                (*figures, *self.closing_ohm, self.drift, self.voltage_drift_v, self.soc_pct or 0.0),
            )
        ):
            raise Invalid("a measurement holds finite figures only")
        if self.started.tzinfo is None or self.finished.tzinfo is None:
            raise Invalid("the times of a measurement need a time zone")
        if self.transcript and transcript_digest(self.transcript) != self.transcript_sha256:
            raise Invalid("the transcript does not match its digest")

    @property
    def impedances_ohm(self) -> tuple[complex, ...]:
        """Return the spectrum as complex numbers."""
        return tuple(map(complex, self.real_ohm, self.imag_ohm))

    @property
    def digest(self) -> str:
        """Return the SHA-256, in hexadecimal, of the JSON form without transcript in RFC 8785's spelling."""
        return hashlib.sha256(rfc8785.dumps(self.to_json(transcript=False))).hexdigest()

    def to_json(self, *, transcript: bool = True) -> dict[str, Any]:
        """Return the measurement as JSON values; reading them back gives an equal measurement.

        Numbers are the shortest decimals that give the same binary64, times are UTC in ISO 8601.
        """
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        for name in ("frequencies_hz", "real_ohm", "imag_ohm", "closing_ohm"):
            values[name] = list(values[name])
        for name in ("started", "finished"):
            values[name] = values[name].astimezone(UTC).isoformat()
        for name in ("settings", "meter", "switch"):
            values[name] = {
                key: list(value) if isinstance(value, tuple) else value
                for key, value in asdict(values[name]).items()
            }
        if not (transcript and self.transcript):
            del values["transcript"]
        return {"format": FORMAT} | values

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Measurement":
        """Read the JSON form; raise Invalid if it is anything else."""
        if not isinstance(document, Mapping) or document.get("format") != FORMAT:
            raise Invalid("this is no measurement in the format {format}", format=FORMAT)
        values = {key: value for key, value in document.items() if key != "format"}
        try:
            settings = dict(values["settings"])
            settings["frequencies_hz"] = _floats(settings["frequencies_hz"])
            settings["voltage_window_v"] = _floats(settings["voltage_window_v"])
            for name in ("check_hz", "range_ohm", "drift_limit", "voltage_drift_v", "margin_s"):
                settings[name] = float(settings[name])
            for name in ("frequencies_hz", "real_ohm", "imag_ohm", "closing_ohm"):
                values[name] = _floats(values[name])
            for name in ("ocv_v", "temperature_c", "drift", "voltage_drift_v"):
                values[name] = float(values[name])
            if values["soc_pct"] is not None:
                values["soc_pct"] = float(values["soc_pct"])
            for name in ("cell", "rack", "operator", "transcript_sha256"):
                _of(str, values[name])
            for name in ("channel", "relay_count", "attempts"):
                _of(int, values[name])
            _of(str | None, values["zero_adjustment"])
            for name in ("started", "finished"):
                values[name] = datetime.fromisoformat(values[name])
            values["settings"] = Settings(**settings)
            values["meter"], values["switch"] = Identity(**values["meter"]), Identity(**values["switch"])
            return cls(**values)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise Invalid("the measurement cannot be read: {error}", error=repr(error)) from error

    def without_transcript(self) -> "Measurement":
        """Return the same measurement without the bytes themselves; its digest stays."""
        return replace(self, transcript="")


@dataclass(frozen=True)
class Skipped:
    """A channel that was not measured, with the reason as a code and in words."""

    cell: str
    channel: int
    reason: Reason
    words: str
    rack: str = "rack"
    attempts: int = 0
    transcript_sha256: str = transcript_digest("")
    transcript: str = field(default="", repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values, without the transcript's bytes."""
        values = asdict(self) | {"reason": str(self.reason)}
        del values["transcript"]
        return values


type Outcome = Measurement | Analysis | Skipped


def _of(kind: Any, value: Any) -> None:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{value!r:.40} is of another kind than it must be")


def _floats(values: Any) -> tuple[float, ...]:
    if isinstance(values, str):
        raise TypeError("a list of numbers, not text")
    return tuple(float(value) for value in values)
