"""One byte form for one JSON value: the JSON Canonicalization Scheme, RFC 8785.

The same bytes as the `rfc8785` package writes (a test compares them), about four times as fast: nearly the
whole cost of a seal is here, not in the signature.
"""

from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from math import inf
from typing import Any

import rfc8785

from schemas.errors import Invalid

MAX_DEPTH = 64
"""Lists and objects may stand inside one another this deep."""

_SAFE = 2**53 - 1
_LEAST_PLAIN = 1e-4
"""From here on, Python and ECMAScript write a fraction with the same characters."""


def canonical(value: object) -> bytes:
    """Return the RFC 8785 bytes of a JSON value, or raise Invalid where it has none."""
    parts: list[str] = []
    _write(value, MAX_DEPTH, parts.append)
    try:
        return "".join(parts).encode()
    except UnicodeEncodeError:
        raise Invalid("A text holds half of a character (a lone surrogate).") from None


def _write(value: Any, room: int, put: Callable[[str], None]) -> None:
    kind = type(value)
    if kind is str:
        put(encode_basestring(value))
    elif kind is dict:
        _write_members(value, room, put)
    elif kind is list or kind is tuple:
        _write_elements(value, room, put)
    elif value is None:
        put("null")
    elif value is True:
        put("true")
    elif value is False:
        put("false")
    elif kind is int:
        put(_integer(value))
    elif kind is float:
        put(_fraction(value))
    else:
        _write(_unwrapped(value), room, put)


def _write_members(value: dict[Any, Any], room: int, put: Callable[[str], None]) -> None:
    if not room:
        raise Invalid("The text nests more than {depth} levels deep.", depth=MAX_DEPTH)
    separator = "{"
    for key in _ordered(value):
        put(separator)
        put(encode_basestring(key))
        put(":")
        item = value[key]
        if type(item) is str:  # most members are: spare them a call
            put(encode_basestring(item))
        else:
            _write(item, room - 1, put)
        separator = ","
    put("}" if separator == "," else "{}")


def _write_elements(value: list[Any] | tuple[Any, ...], room: int, put: Callable[[str], None]) -> None:
    if not room:
        raise Invalid("The text nests more than {depth} levels deep.", depth=MAX_DEPTH)
    separator = "["
    for item in value:
        put(separator)
        _write(item, room - 1, put)
        separator = ","
    put("]" if separator == "," else "[]")


def _ordered(value: dict[Any, Any]) -> list[str]:
    """Sort names by UTF-16 code units, which is code point order unless one lies beyond the BMP."""
    by_code_point = True
    for key in value:
        if type(key) is not str:
            raise Invalid("A member's name is not a text.")
        if not key.isascii() and max(key) > "\uffff":
            by_code_point = False
    return sorted(value) if by_code_point else sorted(value, key=_utf_16)


def _utf_16(name: str) -> bytes:
    return name.encode("utf-16-be", "surrogatepass")


def _integer(value: int) -> str:
    if not -_SAFE <= value <= _SAFE:
        raise Invalid("A whole number has more digits than JSON carries exactly (beyond 2^53).")
    return str(value)


def _fraction(value: float) -> str:
    if value.is_integer():
        if -_SAFE <= value <= _SAFE:
            return str(int(value))
    elif _LEAST_PLAIN <= abs(value) < inf:
        return repr(value)
    try:
        return rfc8785.dumps(value).decode()
    except rfc8785.CanonicalizationError:
        raise Invalid("A number is not finite.") from None


def _unwrapped(value: object) -> object:
    """Reduce enumerations, named tuples and other kinds of JSON values to the plain kind."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple):
        return list(value)
    raise Invalid("A value of kind {kind} is no JSON.", kind=type(value).__name__)
