"""Reading JSON so that two readers cannot see two things.

Python's own reader keeps the last of two members with one name, takes NaN, and rounds what it cannot hold.
Each of these lets a signed text mean something else to someone else, so here each is refused.
"""

import json
from typing import Any, Never

from credentials.canonical import canonical
from schemas.errors import Invalid

MAX_BYTES = 1 << 20
_SAFE = 2**53 - 1
_SAFE_DIGITS = 16
_MOST_DIGITS = 22  # a sign and those of the last double that JCS writes without an exponent


def loads(text: bytes | bytearray | str, /, *, limit: int = MAX_BYTES) -> Any:
    """Read one JSON value of at most `limit` bytes, or raise Invalid saying what is wrong with the text."""
    size = len(text)
    if size <= limit and isinstance(text, str):
        size = len(text.encode("utf-8", "surrogatepass"))
    if size > limit:
        raise Invalid("The text is larger than {limit} bytes.", limit=limit)
    try:
        if not isinstance(text, str):
            text = text.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_whole, parse_float=float
        )
    except UnicodeDecodeError:
        raise Invalid("The text is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise Invalid(
            "The text is not JSON (line {line}, column {column}).", line=error.lineno, column=error.colno
        ) from None
    except RecursionError:
        raise Invalid("The text nests too deep.") from None
    canonical(value)  # refuses depth, lone surrogates and numbers that JSON cannot carry
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Invalid("The name {name} stands twice in one object.", name=ascii(twice)[:80])
    return members


def _no_constant(name: str) -> Never:
    raise Invalid("{name} is no JSON number.", name=name)


def _whole(digits: str) -> int | float:
    """Read a whole number; beyond 2^53 only where it is the very double that others take it for."""
    if len(digits) < _SAFE_DIGITS:
        return int(digits)
    if len(digits) <= _MOST_DIGITS:  # to read a long row of digits costs quadratic time
        number = int(digits)
        if -_SAFE <= number <= _SAFE:
            return number
        if canonical(float(digits)) == digits.encode():
            return float(digits)
    raise Invalid("A whole number has more digits than JSON carries exactly (beyond 2^53).")
