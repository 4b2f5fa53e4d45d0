"""The versions of the framework, and which of them holds when.

At any moment the greatest version whose day has come holds; before any was signed, the one that comes with
the software. So the answer hangs on the moment asked about alone, whichever way a clock has jumped.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from governance.framework import FRAMEWORK, Framework, framework_of
from schemas.claims import GovernanceFramework
from schemas.errors import Invalid


@dataclass(frozen=True)
class Versions:
    """The signed versions a company holds, in the order of their numbers."""

    signed: tuple[Framework, ...] = ()
    bundled: Framework = FRAMEWORK

    def __iter__(self) -> Iterator[Framework]:
        """Yield every version, the bundled one only until the first is signed."""
        yield from self.signed or (self.bundled,)

    @property
    def newest(self) -> Framework:
        """Return the version with the greatest number, whether its day has come or not."""
        return self.signed[-1] if self.signed else self.bundled

    def at(self, moment: datetime) -> Framework:
        """Return the version that holds at a moment."""
        return next((one for one in reversed(self.signed) if one.holds_from <= moment), self.bundled)

    def number(self, version: int) -> Framework | None:
        """Return the version of this number."""
        return next((one for one in self if one.version == version), None)

    def takes(self, stated: GovernanceFramework, signed_at: datetime) -> bool:
        """Say whether a signed version is newer than those held; raise `Invalid` for one that cannot be.

        A version must not reach back before it was signed: what was right when it was said stays right.
        """
        framework = signed(stated)
        if framework.version != stated.version:
            raise Invalid("the framework's number is not that of its rules")
        if stated.holds_from < signed_at:
            raise Invalid("the framework would hold from before it was signed")
        if self.signed and stated.version <= self.newest.version:
            held = self.number(stated.version)
            if held is not None and held.digest != framework.digest:
                raise Invalid(
                    "another version {version} of the framework is held already", version=held.version
                )
            return False
        return True

    def plus(self, stated: GovernanceFramework) -> "Versions":
        """Return these versions and one more."""
        return Versions((*self.signed, signed(stated)), self.bundled)


def signed(stated: GovernanceFramework) -> Framework:
    """Return the version that a credential states."""
    return framework_of(stated.rules, stated.holds_from)


def begins(framework: Framework, day: date, now: datetime) -> datetime:
    """Return the moment from which a version holds that is to hold from a day, by its own clock.

    Today is from now on; raises `Invalid` for a day gone by.
    """
    zone = ZoneInfo(framework.rules.legal.time_zone)
    today = now.astimezone(zone).date()
    if day < today:
        raise Invalid("{day} has gone by; the framework holds from today at the earliest", day=day)
    return instant(now) if day == today else datetime.combine(day, time(), zone)


def instant(now: datetime) -> datetime:
    """Return a moment to the second, as credentials state when they begin to be valid."""
    return now.replace(microsecond=0)
