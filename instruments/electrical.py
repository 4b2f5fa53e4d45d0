"""Tests with a cycler or a voltmeter as records: what was done to a cell, how, and what was read.

Each is kept as it is, by its digest; what it means is worked out from it, as often as wanted.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any, ClassVar, Literal, get_args

import rfc8785

from schemas.errors import Invalid

FORMAT = "meguri.test/1"
type Kind = Literal["capacity", "ocv-rest", "dc-resistance", "self-discharge"]
KINDS: tuple[Kind, ...] = get_args(Kind.__value__)
MOST_V, MOST_A, MOST_AH, MOST_OHM = 1500.0, 5000.0, 5000.0, 10.0
SLACK = 1.02
"""Current and time are told to a hundredth; more charge than this above their product cannot have flowed."""


@dataclass(frozen=True, kw_only=True)
class Test:
    """What every test records: the cell, when, under which conditions, with what, by whom, from which file.

    `current_a` is positive for a discharge; `accuracy_pct` is the limit of error of charge and current in %
    of the reading, `error_v` that of a voltage; `file_sha256` is the digest of the instrument's own file.
    """

    __test__: ClassVar[bool] = False  # for pytest: this is none of its tests
    kind: ClassVar[Kind]
    cell: str
    began: datetime
    ended: datetime
    temperature_c: float
    current_a: float | None = None
    lower_v: float | None = None
    upper_v: float | None = None
    rest_h: float | None = None
    instrument: str
    serial: str
    calibrated_on: date
    operator: str
    accuracy_pct: float
    error_v: float
    file_sha256: str

    def __post_init__(self) -> None:
        for name, value in self._figures():
            if not math.isfinite(value):
                raise Invalid("{name} of {code} is not a finite number", name=name, code=self.cell)
            if value < 0 and name not in {"temperature_c", "current_a"}:
                raise Invalid("{name} of {code} is below zero", name=name, code=self.cell)
            limit = next((most for end, most in _LARGEST if name.endswith(end)), None)
            if limit is not None and abs(value) > limit:
                raise Invalid(
                    "{name} of {code} is {figure}, more than {limit}: is the unit right?",
                    name=name,
                    code=self.cell,
                    figure=f"{value:g}",
                    limit=f"{limit:g}",
                )
        if self.began.tzinfo is None or self.ended.tzinfo is None:
            raise Invalid("the times of a test need a time zone")
        if self.ended <= self.began:
            raise Invalid("the test of {code} ends before it begins", code=self.cell)
        if self.calibrated_on > self.began.date():
            raise Invalid("the instrument was calibrated only after the test of {code}", code=self.cell)
        if self.lower_v is not None and self.upper_v is not None and self.lower_v >= self.upper_v:
            raise Invalid("the lower voltage limit of {code} is not below the upper one", code=self.cell)
        if error := next(self._wrong(), None):
            raise error

    def _figures(self) -> Iterator[tuple[str, float]]:
        for each in fields(self):
            value = getattr(self, each.name)
            for one in value if isinstance(value, tuple) else (value,):
                if isinstance(one, float):
                    yield each.name, one

    def _wrong(self) -> Iterator[Invalid]:
        yield from ()

    @property
    def hours(self) -> float:
        """Return how long it took."""
        return (self.ended - self.began).total_seconds() / 3600

    @property
    def digest(self) -> str:
        """Return the SHA-256, in hexadecimal, of the JSON form in RFC 8785's spelling."""
        return hashlib.sha256(rfc8785.dumps(self.to_json())).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values; times are UTC in ISO 8601."""
        values: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}
        times = {name: values[name].astimezone(UTC).isoformat() for name in ("began", "ended")}
        return {
            "format": FORMAT,
            "kind": self.kind,
            **values,
            **times,
            "calibrated_on": self.calibrated_on.isoformat(),
        }


_LARGEST = (("_v", MOST_V), ("_a", MOST_A), ("_ah", MOST_AH), ("_wh", MOST_AH * 5), ("_pct", 100.0))


@dataclass(frozen=True, kw_only=True)
class Capacity(Test):
    """A charge and a discharge between voltage limits."""

    kind: ClassVar[Kind] = "capacity"
    discharge_ah: float
    charge_ah: float | None = None
    charge_wh: float | None = None
    discharge_wh: float | None = None
    soc_from_pct: float
    soc_to_pct: float
    rated_ah: float | None = None

    def _wrong(self) -> Iterator[Invalid]:
        if not self.discharge_ah or self.rated_ah == 0:
            yield Invalid("discharge_ah and rated_ah of {code} must be above zero", code=self.cell)
        if self.current_a is None or self.lower_v is None or self.upper_v is None:
            yield Invalid("a capacity needs current and both voltage limits: {code}", code=self.cell)
            return
        for charge in (self.charge_ah, self.discharge_ah):
            if charge and charge > SLACK * abs(self.current_a) * self.hours:
                yield Invalid(
                    "{charge} Ah cannot have flowed in {hours} h at {current} A: is the unit right? {code}",
                    charge=f"{charge:g}",
                    hours=f"{self.hours:.3g}",
                    current=f"{abs(self.current_a):g}",
                    code=self.cell,
                )
        for energy, charge in ((self.charge_wh, self.charge_ah), (self.discharge_wh, self.discharge_ah)):
            if energy is not None and charge:
                mean = energy / charge
                if not self.lower_v <= mean <= self.upper_v:
                    yield Invalid(
                        "{energy} Wh for {charge} Ah is outside the voltage limits: right unit? {code}",
                        energy=f"{energy:g}",
                        charge=f"{charge:g}",
                        code=self.cell,
                    )
        if self.rated_ah and not 0.1 <= self.discharge_ah / self.rated_ah <= 1.5:  # noqa: PLR2004
            yield Invalid(
                "{charge} Ah is no capacity of a cell rated {rated} Ah: is the unit right? {code}",
                charge=f"{self.discharge_ah:g}",
                rated=f"{self.rated_ah:g}",
                code=self.cell,
            )


@dataclass(frozen=True, kw_only=True)
class OcvRest(Test):
    """Voltages read at rest, by seconds since it began."""

    kind: ClassVar[Kind] = "ocv-rest"
    times_s: tuple[float, ...]
    voltages_v: tuple[float, ...]

    def _wrong(self) -> Iterator[Invalid]:
        if len(self.times_s) != len(self.voltages_v) or len(self.times_s) < 2:  # noqa: PLR2004
            yield Invalid(
                "a rest needs two readings or more, each a time and a voltage: {code}", code=self.cell
            )
            return
        if any(a >= b for a, b in pairwise(self.times_s)):
            yield Invalid("the readings of {code} are not in order of time", code=self.cell)
        if self.times_s[-1] > SLACK * self.hours * 3600:
            yield Invalid("the readings of {code} go on after the test has ended", code=self.cell)


@dataclass(frozen=True, kw_only=True)
class DcResistance(Test):
    """A pulse: the voltage before it, and some seconds into it."""

    kind: ClassVar[Kind] = "dc-resistance"
    before_v: float
    after_v: float
    pulse_s: float
    soc_from_pct: float | None = None

    def _wrong(self) -> Iterator[Invalid]:
        if not self.pulse_s or self.pulse_s > SLACK * self.hours * 3600:
            yield Invalid("the pulse of {code} must last, and no longer than the test", code=self.cell)
        if self.current_a and abs(self.before_v - self.after_v) / abs(self.current_a) > MOST_OHM:
            yield Invalid("more than {limit} Ω: are the units of {code} right?", limit=10, code=self.cell)


@dataclass(frozen=True, kw_only=True)
class SelfDischarge(Test):
    """Voltage or capacity before and after a rest that lasts from begin to end."""

    kind: ClassVar[Kind] = "self-discharge"
    before_v: float | None = None
    after_v: float | None = None
    before_ah: float | None = None
    after_ah: float | None = None
    slope_pct_per_v: float | None = None

    def _wrong(self) -> Iterator[Invalid]:
        voltages, charges = (self.before_v, self.after_v), (self.before_ah, self.after_ah)
        whole = [None not in pair for pair in (voltages, charges)]
        if whole.count(True) != 1 or any(v is not None for v in (charges if whole[0] else voltages)):
            yield Invalid("give two voltages or two capacities of {code}, before and after", code=self.cell)
        if self.before_ah == 0:
            yield Invalid("{name} of {code} must be above zero", name="before_ah", code=self.cell)


KIND_OF: Mapping[Kind, type[Test]] = {
    each.kind: each for each in (Capacity, OcvRest, DcResistance, SelfDischarge)
}


def from_json(document: Mapping[str, Any]) -> Test:
    """Read a record's JSON form; raise Invalid if it is anything else."""
    try:
        if document["format"] != FORMAT:
            raise ValueError(document["format"])
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in document.items()}
        del values["format"]
        for name in ("began", "ended"):
            values[name] = datetime.fromisoformat(values[name])
        values["calibrated_on"] = date.fromisoformat(values["calibrated_on"])
        return KIND_OF[values.pop("kind")](**values)
    except (KeyError, TypeError, ValueError) as error:
        raise Invalid("the test cannot be read: {error}", error=repr(error)) from error
