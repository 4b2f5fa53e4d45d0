"""Whether a measurement was taken in good order: zero adjustment, calibrations, relays and the room.

Nothing here stops a measurement; it says what to see to, and the words can stand beside the result.
"""

import csv
import tomllib
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from instruments.measurement import Measurement
from schemas.errors import Invalid


class Concern(StrEnum):
    """What there may be to see to."""

    ZERO_MISSING = "zero-missing"
    ZERO_OLD = "zero-old"
    ZERO_OTHER = "zero-other"
    CALIBRATION_UNKNOWN = "calibration-unknown"
    CALIBRATION_DUE = "calibration-due"
    CALIBRATION_OVER = "calibration-over"
    RELAY_OLD = "relay-old"
    ROOM_UNKNOWN = "room-unknown"
    ROOM_DIFFERS = "room-differs"
    ROOM_UNSTEADY = "room-unsteady"


WORDS: Mapping[Concern, str] = {
    Concern.ZERO_MISSING: "no zero adjustment is named",
    Concern.ZERO_OLD: "the zero adjustment {id} is from {at}, older than {hours} h",
    Concern.ZERO_OTHER: "the zero adjustment {id} is not of this meter, range and rate",
    Concern.CALIBRATION_UNKNOWN: "no calibration of {serial} is on record",
    Concern.CALIBRATION_DUE: "the calibration of {serial} ends on {until}",
    Concern.CALIBRATION_OVER: "the calibration of {serial} ended on {until}",
    Concern.RELAY_OLD: "the relay of channel {channel} was switched {count} times; {limit} are its life",
    Concern.ROOM_UNKNOWN: "the room's temperature then is not on record",
    Concern.ROOM_DIFFERS: "the room had {room} °C, but {told} °C was told",
    Concern.ROOM_UNSTEADY: "the room's temperature moved by {moved} K in the hour before",
}


@dataclass(frozen=True)
class Warning:
    """One thing to see to, as a code and in words."""

    concern: Concern
    words: str


@dataclass(frozen=True)
class ZeroAdjustment:
    """A zero adjustment with the shorting bar: when, by whom, of which meter, for which range and rate."""

    id: str
    at: datetime
    by: str
    meter_serial: str
    range_ohm: float
    rate: str


@dataclass(frozen=True)
class Climate:
    """One reading of the room: temperature, humidity, and what the air-conditioning was set to."""

    at: datetime
    temperature_c: float
    humidity_pct: float | None = None
    air_conditioning: str = ""


@dataclass(frozen=True)
class Limits:
    """From when on there is a warning; the relays' life is not in a public source, so a setting."""

    zero_valid: timedelta = timedelta(hours=24)
    calibration_notice: timedelta = timedelta(days=30)
    relay_life: int = 1_000_000
    room_reading_age: timedelta = timedelta(minutes=15)
    room_difference_c: float = 1.0
    room_movement_k: float = 2.0
    settling: timedelta = timedelta(hours=1)


@dataclass(frozen=True)
class Care:
    """What is on record of the instruments and the room; readings of the room in order of time."""

    zero_adjustments: Mapping[str, ZeroAdjustment] = field(default_factory=dict)
    calibrated_until: Mapping[str, date] = field(default_factory=dict)
    room: tuple[Climate, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if any(a.at > b.at for a, b in zip(self.room, self.room[1:], strict=False)):
            raise Invalid("the readings of the room are not in order of time")

    def room_at(self, moment: datetime) -> Climate | None:
        """Return the last reading before `moment`, or None where there is none recent enough."""
        place = bisect_right(self.room, moment, key=lambda reading: reading.at)
        if not place or moment - self.room[place - 1].at > self.limits.room_reading_age:
            return None
        return self.room[place - 1]

    def warnings(self, measurement: Measurement) -> tuple[Warning, ...]:
        """Return everything there is to see to about one measurement."""
        return (
            *self._zero(measurement),
            *self._calibrations(measurement),
            *self._relay(measurement),
            *self._room(measurement),
        )

    def _zero(self, measurement: Measurement) -> Iterable[Warning]:
        zero = self.zero_adjustments.get(measurement.zero_adjustment or "")
        if zero is None:
            yield _warning(Concern.ZERO_MISSING)
            return
        chosen = measurement.settings
        if (zero.meter_serial, zero.range_ohm, zero.rate) != (
            measurement.meter.serial,
            chosen.range_ohm,
            chosen.rate,
        ):
            yield _warning(Concern.ZERO_OTHER, id=zero.id)
        age = measurement.started - zero.at
        if not timedelta(0) <= age <= self.limits.zero_valid:
            hours = f"{self.limits.zero_valid / timedelta(hours=1):g}"
            yield _warning(Concern.ZERO_OLD, id=zero.id, at=zero.at.isoformat(), hours=hours)

    def _calibrations(self, measurement: Measurement) -> Iterable[Warning]:
        today = measurement.started.astimezone(UTC).date()
        for serial in dict.fromkeys((measurement.meter.serial, measurement.switch.serial)):
            until = self.calibrated_until.get(serial)
            if until is None:
                yield _warning(Concern.CALIBRATION_UNKNOWN, serial=serial)
            elif until < today:
                yield _warning(Concern.CALIBRATION_OVER, serial=serial, until=until)
            elif until - today <= self.limits.calibration_notice:
                yield _warning(Concern.CALIBRATION_DUE, serial=serial, until=until)

    def _relay(self, measurement: Measurement) -> Iterable[Warning]:
        if measurement.relay_count >= self.limits.relay_life:
            yield _warning(
                Concern.RELAY_OLD,
                channel=measurement.channel,
                count=measurement.relay_count,
                limit=self.limits.relay_life,
            )

    def _room(self, measurement: Measurement) -> Iterable[Warning]:
        now = self.room_at(measurement.started)
        if now is None:
            yield _warning(Concern.ROOM_UNKNOWN)
            return
        if abs(now.temperature_c - measurement.temperature_c) > self.limits.room_difference_c:
            room, told = f"{now.temperature_c:.1f}", f"{measurement.temperature_c:.1f}"
            yield _warning(Concern.ROOM_DIFFERS, room=room, told=told)
        since = measurement.started - self.limits.settling
        lately = [r.temperature_c for r in self.room if since <= r.at <= measurement.finished]
        moved = max(lately, default=0.0) - min(lately, default=0.0)
        if moved > self.limits.room_movement_k:
            yield _warning(Concern.ROOM_UNSTEADY, moved=f"{moved:.1f}")


def read_room(lines: Iterable[str]) -> tuple[Climate, ...]:
    """Read the room's record from CSV: at (ISO 8601 with zone), temp_c, humidity_pct, air_conditioning."""
    found = []
    for number, row in enumerate(csv.DictReader(lines), start=2):
        try:
            at = datetime.fromisoformat(row["at"])
            if at.tzinfo is None:
                raise ValueError(row["at"])
            humidity = row.get("humidity_pct")
            found.append(
                Climate(
                    at,
                    float(row["temp_c"]),
                    float(humidity) if humidity else None,
                    row.get("air_conditioning") or "",
                )
            )
        except (KeyError, TypeError, ValueError):
            raise Invalid("line {line} of the room's record cannot be read", line=number) from None
    return tuple(sorted(found, key=lambda reading: reading.at))


def read(text: str, room: Iterable[str] = ()) -> Care:
    """Read what is on record from TOML, and the room's from the lines of a CSV file.

    `[calibrated_until]` names dates by serial number, each `[[zero_adjustment]]` holds the fields of
    `ZeroAdjustment`, `[limits]` may hold `relay_life`, `zero_valid_h` and `calibration_notice_d`.
    """
    try:
        found = tomllib.loads(text)
        limits = dict(found.get("limits", {}))
        chosen = Limits()
        if "relay_life" in limits:
            chosen = replace(chosen, relay_life=int(limits.pop("relay_life")))
        if "zero_valid_h" in limits:
            chosen = replace(chosen, zero_valid=timedelta(hours=float(limits.pop("zero_valid_h"))))
        if "calibration_notice_d" in limits:
            notice = timedelta(days=float(limits.pop("calibration_notice_d")))
            chosen = replace(chosen, calibration_notice=notice)
        zeros = [ZeroAdjustment(**each) for each in found.get("zero_adjustment", ())]
        until = dict(found.get("calibrated_until", {}))
        right = all(isinstance(z.at, datetime) and z.at.tzinfo for z in zeros)
        if limits or not right or not all(isinstance(day, date) for day in until.values()):
            raise ValueError(", ".join(limits) or "a date or time that is none")
    except (TypeError, ValueError, AttributeError) as error:
        raise Invalid("the record of the instruments cannot be read: {error}", error=error) from error
    return Care({z.id: z for z in zeros}, until, read_room(room), chosen)


def _warning(concern: Concern, **values: object) -> Warning:
    return Warning(concern, WORDS[concern].format(**values))
