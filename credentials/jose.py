"""Signed tokens as JOSE writes them (RFC 7515, compact): `header.payload.signature`, Ed25519 only.

Of JOSE this needs base64url, JSON and one algorithm, so it is written here, over the same keys and the same
strict reader as every seal. A general library would bring what must then be switched off again: other
algorithms, keys out of the token itself, the last of two members with one name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from credentials import base64url, keys, strict
from credentials.canonical import canonical
from credentials.form import SKEW, is_url
from credentials.moments import zoned
from credentials.report import Findings
from credentials.resolution import Resolver, speaking_key
from schemas.errors import Invalid

ALGORITHM = "EdDSA"
MAX_CHARACTERS = 2 << 20

_FOREIGN_KEYS = ("jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256")
_ALTERING = ("crit", "b64", "zip", "enc")
_LATEST = 253_402_300_799  # the last second of the year 9999

WORDS = {
    "readable": "It is JSON that every reader reads alike.",
    "token.header": "It is a {typ}, signed with EdDSA, and its header brings neither keys nor surprises.",
    "token.signer": "It is signed by one who may sign this.",
    "token.key": "The key belongs to its signer and may be used for this.",
    "token.signature": "Its signature is right: nothing was changed.",
    "token.period": "The token is valid now.",
}
"""What each check says when it passes."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as read: nothing in it is believed yet."""

    header: dict[str, Any]
    payload: dict[str, Any]
    signed: bytes
    signature: bytes


def compact(header: Mapping[str, Any], payload: Mapping[str, Any], signer: keys.Signer, /) -> str:
    """Write and sign a token."""
    text = ".".join(base64url.encode(canonical(part)) for part in (header, payload))
    return f"{text}.{base64url.encode(signer.sign(text.encode()))}"


def parsed(text: object, /) -> Token:
    """Read a token, or raise Invalid where it is none or can be read in two ways."""
    if not isinstance(text, str) or text.count(".") != 2:  # noqa: PLR2004
        raise Invalid("It is not a signed token of three parts.")
    if len(text) > MAX_CHARACTERS:
        raise Invalid("The token has more than {limit} characters.", limit=MAX_CHARACTERS)
    first, second, third = text.split(".")
    header, payload = (strict.loads(base64url.decode(part), limit=MAX_CHARACTERS) for part in (first, second))
    if not isinstance(header, dict) or not isinstance(payload, dict):
        raise Invalid("The header or content of the token is not a JSON object.")
    return Token(header, payload, f"{first}.{second}".encode(), base64url.decode(third))


def examine(
    found: Findings,
    token: Token,
    resolver: Resolver,
    /,
    *,
    typ: str,
    author: str | None,
    purpose: str = "assertionMethod",
) -> None:
    """Note whether a token is what it should be and signed by a key of `author`, found by its `kid`."""
    found.about = {"typ": typ}
    found.ask("token.header", header_right, token.header, typ)
    found.about = {}
    method = found.ask("token.signer", _signer, token.header, author)
    key = found.ask("token.key", _key, resolver, method, purpose, token)
    if found.ask("token.signature", signature_right, token, key) and author is not None:
        found.signers.append(author)


def header_right(header: Mapping[str, Any], typ: str, /) -> None:
    """Raise Invalid unless a header says what it should and nothing that changes how the token is read."""
    if header.get("typ") != typ:
        raise Invalid("It is a token of type {found}, not {typ}.", found=header.get("typ"), typ=typ)
    if header.get("alg") != ALGORITHM:
        raise Invalid("It is signed with {algorithm}, not with EdDSA.", algorithm=header.get("alg"))
    for name in _FOREIGN_KEYS:
        if name in header:
            raise Invalid("Its header brings a key along ({name}).", name=name)
    for name in _ALTERING:
        if name in header:
            raise Invalid("Its header changes how it is to be read ({name}).", name=name)


def signature_right(token: Token, key: bytes | None, /) -> bool:
    """Return true where the signature is the key's, or raise Invalid."""
    if key is None:
        raise Invalid("The signature could not be checked.")
    if not keys.signed_by(key, token.signed, token.signature):
        raise Invalid("The signature is wrong: something was changed, or another key made it.")
    return True


def in_time(payload: Mapping[str, Any], now: datetime, /) -> None:
    """Raise Invalid unless the token holds now, as far as `nbf`, `exp` and `iat` say."""
    start, end, issued = (instant(payload, name) for name in ("nbf", "exp", "iat"))
    if start and end and end < start:
        raise Invalid("It ends ({until}) before it begins ({start}).", until=end, start=start)
    if start and start > now + SKEW:
        raise Invalid("It is not yet valid: it begins on {start}.", start=start.isoformat())
    if end and end < now:
        raise Invalid("It has expired: it ended on {until}.", until=end.isoformat())
    if issued and issued > now + SKEW:
        raise Invalid("The token was made in the future, on {issued}.", issued=issued.isoformat())


def instant(payload: Mapping[str, Any], name: str, /) -> datetime | None:
    """Return the point in time that a claim names in seconds since 1970, if it is there."""
    if name not in payload:
        return None
    seconds = payload[name]
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= _LATEST:
        raise Invalid("Its {name} is not a time in seconds since 1970.", name=name)
    return datetime.fromtimestamp(seconds, UTC)


def seconds(when: datetime, /) -> int:
    """Write a point in time in whole seconds since 1970."""
    return int(zoned(when).timestamp())


def _signer(header: Mapping[str, Any], author: str | None) -> str:
    method = header.get("kid")
    if not is_url(method) or str(method).count("#") != 1:
        raise Invalid("Its header does not name the key that signed it.")
    signer = str(method).split("#")[0]
    if author is None:
        raise Invalid("Nobody can tell whose key should have sealed it.")
    if signer != author:
        raise Invalid(
            "The key of {signer} sealed it, but {author} should have.", signer=signer, author=author
        )
    if header.get("iss", author) != author:
        raise Invalid("Its header names another issuer, {issuer}.", issuer=header.get("iss"))
    return str(method)


def _key(resolver: Resolver, method: str | None, purpose: str, token: Token) -> bytes:
    if method is None:
        raise Invalid("Nobody can tell which key should have signed it.")
    when = instant(token.payload, "iat")
    return speaking_key(resolver, method.split("#")[0], method, purpose, when=when)
