"""Points in time as credentials write them: RFC 3339 with a zone, and nothing looser."""

import re
from datetime import UTC, datetime

from schemas.errors import Invalid

_STAMP = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"
)


def moment(text: object, /) -> datetime:
    """Read a date with time and zone, or raise Invalid."""
    if isinstance(text, str) and _STAMP.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass
    shown = text if isinstance(text, str) else type(text).__name__
    raise Invalid("{text} is not a date with time and zone, such as 2026-04-01T09:30:00Z.", text=shown)


def stamp(when: datetime, /) -> str:
    """Write a point in time in UTC to the second, as in 2026-04-01T09:30:00Z."""
    return zoned(when).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def zoned(when: datetime, /) -> datetime:
    """Return the point in time, or raise Invalid where it has no zone and so is none."""
    if when.tzinfo is None:
        raise Invalid("The time {when} has no time zone.", when=when.isoformat())
    return when
