"""What every analysis answers: a number with its method and domain, or why there is none."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import rfc8785

type Plain = str | int | float | bool | Sequence["Plain"] | Mapping[str, "Plain"] | None


def digest(value: Plain) -> str:
    """Return `sha256:` and the hex SHA-256 of `value` in canonical JSON (RFC 8785)."""
    return "sha256:" + hashlib.sha256(rfc8785.dumps(value)).hexdigest()


@dataclass(frozen=True, slots=True)
class Range:
    """The closed interval of one quantity; its unit is in the name (`temperature_c`)."""

    quantity: str
    lower: float
    upper: float

    def holds(self, figure: float) -> bool:
        """Say whether `figure` is finite and inside."""
        return math.isfinite(figure) and self.lower <= figure <= self.upper


@dataclass(frozen=True, slots=True)
class Domain:
    """Where a method was calibrated, and so may speak."""

    subject: str
    ranges: tuple[Range, ...]
    words: str

    def range(self, quantity: str) -> Range:
        """Return the range of `quantity`."""
        return next(r for r in self.ranges if r.quantity == quantity)


@dataclass(frozen=True, slots=True)
class Check:
    """One gate a measurement passed, failed, or (with no figure) could not be put to."""

    name: str
    figure: float | None
    limit: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that carries its interval, its method and where that method holds."""

    value: float
    lower: float
    upper: float
    coverage: float
    unit: str
    method: str
    version: str
    model_digest: str
    inputs_digest: str
    domain: Domain
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True)
class NotAssessable:
    """No number: a reason (a stable code) and the same in words."""

    reason: str
    words: str
    method: str
    version: str
    inputs_digest: str | None = None
    checks: tuple[Check, ...] = ()
