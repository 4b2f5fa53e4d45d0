"""Credentials sealed as SD-JWT VC (`dc+sd-jwt`): the holder shows some claims and hides the others.

What can be hidden is replaced by the digest of a disclosure, ``base64url(sha256(base64url([salt, name,
value])))`` (RFC 9901); who gets the disclosure can check it against the signed digest. A presentation
ends with a token in which the holder's key answers who asked (`aud`), what was asked (`nonce`) and with what
(`sd_hash`).

The signed payload is the same VCDM 2.0 credential that the other seals carry, plus `vct`, so what was
disclosed is read and checked alike. Stricter than the standards in this: EdDSA and sha-256 alone; every
disclosure must be used; what the seal itself rests on cannot be hidden.
"""

import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from credentials import base64url, contents, form, jose, jwt, strict
from credentials.canonical import MAX_DEPTH, canonical
from credentials.keys import Signer
from credentials.moments import moment, zoned
from credentials.report import Findings, Report
from credentials.resolution import Resolver
from credentials.status import Statuses
from schemas.errors import Invalid

TYPE = "dc+sd-jwt"
BINDING_TYPE = "kb+jwt"
FRESH = timedelta(minutes=5)
"""A presentation was made at most so long before it is verified."""
MAX_CHARACTERS = 4 << 20
MAX_DISCLOSURES = 4096

OPEN = frozenset(
    {"@context", "id", "type", "issuer", "validFrom", "validUntil", "credentialStatus", "credentialSubject"}
)
"""Members of a credential that are always shown, though much inside the subject may be hidden."""
CLAIMS = frozenset({"iss", "vct", "iat", "nbf", "exp", "cnf", "sub", "jti"})
_NEVER_HIDDEN = OPEN | CLAIMS | {"vct#integrity", "status", "aud"}
_RESERVED = frozenset({"_sd", "...", "_sd_alg"})
_DIGEST = re.compile("[A-Za-z0-9_-]{43}")
_LEAST_PADDED = 4

type Path = tuple[str | int, ...]
"""Where something stands in a credential: names of members and places in lists, from the outside in."""

WORDS = (
    contents.WORDS
    | jose.WORDS
    | {
        "disclosures": "What is disclosed is what was sealed.",
        "token.claims": "The token says the same as the credential in it.",
        "binding": "The key it was issued to presents it, and nothing was added or taken away since.",
        "binding.question": "It was presented to us, in answer to our question.",
        "binding.time": "It was presented just now.",
    }
)
"""What each check says when it passes."""


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One thing that can be shown: a member of an object, or (without name) an element of a list."""

    text: str
    name: str | None
    value: Any

    @property
    def digest(self) -> str:
        """The digest that stands in its place."""
        return _digest(self.text)


# Sealing


def seal(
    document: Mapping[str, Any],
    signer: Signer,
    /,
    *,
    created: datetime,
    vct: str,
    hidden: Collection[Path],
    holder: bytes | None = None,
    expires: datetime | None = None,
) -> str:
    """Return the credential with what stands at `hidden` taken out, and all its disclosures after it.

    `holder` is the Ed25519 public key that alone may present it. Decoys fill each place from which something
    was taken up to a power of two, so that nobody can count what is hidden.
    """
    form.well_formed(document)
    jwt.sealable(document, CLAIMS | {"aud", "status"})
    if expires is None and "validUntil" in document:
        expires = moment(document["validUntil"])
    for path in hidden:
        if not path or (path[0] in _NEVER_HIDDEN and len(path) == 1):
            raise Invalid("{path} cannot be hidden.", path="/".join(map(str, path)))
    claims: dict[str, Any] = {
        "iss": form.author(document, "issuer"),
        "iat": jose.seconds(created),
        "vct": vct,
        "_sd_alg": "sha-256",
    }
    if expires is not None:
        claims["exp"] = jose.seconds(expires)
    if holder is not None:
        claims["cnf"] = {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(holder)}}
    disclosures: list[str] = []
    body = _veiled(dict(document), set(hidden), (), disclosures)
    if left := _unreached(document, hidden):
        raise Invalid("There is nothing at {path} to hide.", path="/".join(map(str, left)))
    _same({**claims, **body})
    header = {"alg": jose.ALGORITHM, "typ": TYPE, "kid": signer.verification_method}
    return "~".join([jose.compact(header, {**claims, **body}, signer), *disclosures, ""])


def _veiled(value: Any, hidden: set[Path], here: Path, disclosures: list[str]) -> Any:
    """Return a value with what is hidden in it replaced by digests; the disclosures are added to the list."""
    if isinstance(value, Mapping):
        if _RESERVED & value.keys():
            raise Invalid("A name that stands for something hidden (_sd, …) is used for something else.")
        shown: dict[str, Any] = {}
        digests: list[str] = []
        for name, item in value.items():
            inside = _veiled(item, hidden, (*here, name), disclosures)
            if (*here, name) in hidden:
                disclosures.append(_disclosed([_salt(), name, inside]))
                digests.append(_digest(disclosures[-1]))
            else:
                shown[name] = inside
        if digests:
            digests += [_decoy() for _ in range(_padding(len(digests)))]
            shown["_sd"] = sorted(digests)
        return shown
    if isinstance(value, list | tuple):
        items: list[Any] = []
        count = 0
        for place, item in enumerate(value):
            inside = _veiled(item, hidden, (*here, place), disclosures)
            if (*here, place) in hidden:
                disclosures.append(_disclosed([_salt(), inside]))
                inside = {"...": _digest(disclosures[-1])}
                count += 1
            items.append(inside)
        return items + [{"...": _decoy()} for _ in range(_padding(count) if count else 0)]
    return value


def _unreached(document: Mapping[str, Any], hidden: Collection[Path]) -> Path | None:
    there = set(_paths(document, ()))
    return next((path for path in sorted(hidden, key=str) if path not in there), None)


def _paths(value: Any, here: Path) -> Iterator[Path]:
    members: Any = (
        value.items()
        if isinstance(value, Mapping)
        else enumerate(value)
        if isinstance(value, list | tuple)
        else ()
    )
    for name, item in members:
        yield (*here, name)
        yield from _paths(item, (*here, name))


def _padding(count: int) -> int:
    return max(_LEAST_PADDED, 1 << (count - 1).bit_length()) - count


def _salt() -> str:
    return base64url.encode(secrets.token_bytes(16))


def _decoy() -> str:
    return base64url.encode(sha256(secrets.token_bytes(32)).digest())


def _disclosed(parts: list[Any]) -> str:
    return base64url.encode(canonical(parts))


def _digest(text: str) -> str:
    return base64url.encode(sha256(text.encode()).digest())


# Presenting


def disclosed(text: str, /) -> dict[str, Any]:
    """Return the credential with what is disclosed of it, unchecked: `verify` says whether it holds."""
    payload = _unveiled(_parts(text))
    return {name: value for name, value in payload.items() if name not in CLAIMS}


def bound_key(text: str, /) -> bytes:
    """Return the Ed25519 public key that alone may present it, unchecked, or raise Invalid without one."""
    return _holder_key(_parts(text).token.payload.get("cnf"))


def disclosable(text: str, /) -> dict[Path, str]:
    """Return where what can be hidden stands, and the disclosure that shows it; outer ones come first.

    Places in a list count its hidden elements.
    """
    parts = _parts(text)
    veil = _Veil({each.digest: each for each in parts.disclosures})
    veil.lifted(parts.token.payload)
    return {path: found.text for path, found in veil.found.items()}


def present(
    text: str,
    shown: Collection[Path],
    /,
    *,
    holder: Signer | None = None,
    audience: str | None = None,
    nonce: str | None = None,
    now: datetime | None = None,
) -> str:
    """Return the credential with only what stands at `shown` (and around it) disclosed.

    With `holder` it ends with the answer of the holder's key to who asks (`audience`) and what (`nonce`).
    """
    parts = _parts(text)
    if parts.binding:
        raise Invalid("It is a presentation already.")
    known = disclosable(text)
    for path in shown:
        if path not in known:
            raise Invalid("There is nothing at {path} to show.", path="/".join(map(str, path)))
    needed = {path[:length] for path in shown for length in range(1, len(path) + 1)}
    chosen = [disclosure for path, disclosure in known.items() if path in needed]
    presented = "~".join([parts.text, *chosen, ""])
    if holder is None:
        return presented
    if audience is None or nonce is None or now is None:
        raise Invalid("A presentation answers who asks, what, and when.")
    claims = {"aud": audience, "nonce": nonce, "iat": jose.seconds(now), "sd_hash": _digest(presented)}
    return presented + jose.compact({"alg": jose.ALGORITHM, "typ": BINDING_TYPE}, claims, holder)


# Verifying


def verify(
    text: object,
    resolver: Resolver,
    /,
    *,
    now: datetime,
    expected_issuer: str | None = None,
    statuses: Statuses | None = None,
    audience: str | None = None,
    nonce: str | None = None,
) -> Report:
    """Look at everything a credential with hidden claims must fulfil; `document` is what was disclosed.

    With `audience` and `nonce` it must be a presentation that answers them; without, it must be none.
    """
    zoned(now)
    if (audience is None) != (nonce is None):
        raise Invalid("Who asks for a presentation sets both the audience and the nonce.")
    found = Findings(WORDS)
    parts = found.ask("readable", _parts, text)
    if parts is None:
        return found.report()
    payload = found.ask("disclosures", _unveiled, parts)
    if payload is None:
        return found.report()
    found.document = {name: value for name, value in payload.items() if name not in CLAIMS}
    contents.examine(
        found,
        found.document,
        resolver,
        now=now,
        expected_author=expected_issuer,
        statuses=statuses,
    )
    found.ask("token.claims", _same, payload)
    found.ask("token.period", jose.in_time, payload, now)
    jose.examine(found, parts.token, resolver, typ=TYPE, author=found.author)
    if parts.binding or nonce is not None:
        answer = found.ask("binding", _bound, parts, payload.get("cnf"))
        found.ask("binding.question", _answered, answer, audience, nonce)
        found.ask("binding.time", _timely, answer, now)
    return found.report()


@dataclass(frozen=True, slots=True)
class _Parts:
    text: str
    token: jose.Token
    disclosures: tuple[Disclosure, ...]
    binding: str
    presented: str


def _parts(text: object) -> _Parts:
    if not isinstance(text, str) or "~" not in text:
        raise Invalid("It is no token with disclosures.")
    if len(text) > MAX_CHARACTERS:
        raise Invalid("The token has more than {limit} characters.", limit=MAX_CHARACTERS)
    if text.count("~") > MAX_DISCLOSURES + 1:
        raise Invalid("It discloses more than {limit} things.", limit=MAX_DISCLOSURES)
    first, *middle, last = text.split("~")
    disclosures = tuple(_disclosure(each) for each in middle)
    if len(set(middle)) != len(middle):
        raise Invalid("It discloses one thing twice.")
    return _Parts(first, jose.parsed(first), disclosures, last, text[: len(text) - len(last)])


def _disclosure(text: str) -> Disclosure:
    parts = strict.loads(base64url.decode(text), limit=MAX_CHARACTERS)
    match parts:
        case [str(), str(name), value] if name not in _RESERVED:
            return Disclosure(text, name, value)
        case [str(), value]:
            return Disclosure(text, None, value)
    raise Invalid("One of its disclosures is malformed, or uses a reserved name.")


@dataclass(slots=True)
class _Veil:
    """Puts what is disclosed into its places, once each."""

    disclosures: Mapping[str, Disclosure]
    found: dict[Path, Disclosure] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)

    def lifted(self, value: Any, here: Path = (), depth: int = 0) -> Any:
        if depth > MAX_DEPTH:
            raise Invalid("The text nests more than {depth} levels deep.", depth=MAX_DEPTH)
        if isinstance(value, dict):
            return self._members(value, here, depth)
        if isinstance(value, list):
            return self._elements(value, here, depth)
        return value

    def _members(self, value: dict[str, Any], here: Path, depth: int) -> dict[str, Any]:
        if "..." in value or (here and "_sd_alg" in value):
            raise Invalid("A name that stands for something hidden (_sd, …) is used for something else.")
        result = {
            name: self.lifted(item, (*here, name), depth + 1)
            for name, item in value.items()
            if name not in {"_sd", "_sd_alg"}
        }
        digests = value.get("_sd", [])
        if not isinstance(digests, list):
            raise Invalid("A digest of something hidden is malformed.")
        for digest in digests:
            disclosure = self._taken(digest)
            if disclosure is None:
                continue
            name = disclosure.name
            if name is None:
                raise Invalid("An element of a list is disclosed as a member of an object, or the reverse.")
            if name in value or name in result:
                raise Invalid("What is disclosed as {name} stands there already.", name=name)
            if not here and name in _NEVER_HIDDEN:
                raise Invalid("{path} cannot be hidden.", path=name)
            self.found[(*here, name)] = disclosure
            result[name] = self.lifted(disclosure.value, (*here, name), depth + 1)
        return result

    def _elements(self, value: list[Any], here: Path, depth: int) -> list[Any]:
        result: list[Any] = []
        for place, item in enumerate(value):
            if not (isinstance(item, dict) and "..." in item):
                result.append(self.lifted(item, (*here, place), depth + 1))
                continue
            if len(item) != 1:
                raise Invalid("A digest of something hidden is malformed.")
            disclosure = self._taken(item["..."])
            if disclosure is None:
                continue
            if disclosure.name is not None:
                raise Invalid("An element of a list is disclosed as a member of an object, or the reverse.")
            self.found[(*here, place)] = disclosure
            result.append(self.lifted(disclosure.value, (*here, place), depth + 1))
        return result

    def _taken(self, digest: object) -> Disclosure | None:
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise Invalid("A digest of something hidden is malformed.")
        if digest in self.seen:
            raise Invalid("One digest stands in two places.")
        self.seen.add(digest)
        return self.disclosures.get(digest)


def _unveiled(parts: _Parts) -> dict[str, Any]:
    payload = parts.token.payload
    if payload.get("_sd_alg", "sha-256") != "sha-256":
        raise Invalid(
            "Its digests are made with {algorithm}, not with sha-256.", algorithm=payload["_sd_alg"]
        )
    veil = _Veil({each.digest: each for each in parts.disclosures})
    result: dict[str, Any] = veil.lifted(payload)
    if len(veil.found) != len(parts.disclosures):
        raise Invalid("It discloses something that was not sealed.")
    return result


def _same(payload: Mapping[str, Any]) -> None:
    for name in ("vc", "vp", "proof"):
        if name in payload:
            raise Invalid("The token holds something that its type does not know ({name}).", name=name)
    if not isinstance(payload.get("vct"), str) or not payload["vct"]:
        raise Invalid("The token does not say of which type its credential is (vct).")
    if "status" in payload:
        raise Invalid("Its status is of a kind unknown here.")
    if form.kind(payload) != form.CREDENTIAL:
        raise Invalid("The token holds no credential.")
    issuer = payload.get("issuer")
    said = {"iss": issuer.get("id") if isinstance(issuer, dict) else issuer, "jti": payload.get("id")}
    for name, value in said.items():
        if payload.get(name, value) != value:
            raise Invalid("The token's {name} is not that of the credential in it.", name=name)


def _bound(parts: _Parts, confirmation: object) -> dict[str, Any]:
    if not parts.binding:
        raise Invalid("It was not presented by the key that it was issued to.")
    key = _holder_key(confirmation)
    token = jose.parsed(parts.binding)
    jose.header_right(token.header, BINDING_TYPE)
    jose.signature_right(token, key)
    if token.payload.get("sd_hash") != _digest(parts.presented):
        raise Invalid("It was presented with other disclosures.")
    return token.payload


def _holder_key(confirmation: object) -> bytes:
    match confirmation:
        case {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": str(x), **more}} if "d" not in more:
            key = base64url.decode(x)
            if len(key) == 32:  # noqa: PLR2004 - an Ed25519 public key
                return key
    raise Invalid("It was issued to no key that could present it.")


def _answered(answer: dict[str, Any] | None, audience: str | None, nonce: str | None) -> None:
    if answer is None:
        raise Invalid("What it answers could not be found out.")
    if nonce is None:
        raise Invalid("It answers a question that nobody asked.")
    if answer.get("aud") != audience:
        raise Invalid(
            "It was presented to {found}, not to {audience}.", found=answer.get("aud"), audience=audience
        )
    if answer.get("nonce") != nonce:
        raise Invalid("It answers another question than was asked.")


def _timely(answer: dict[str, Any] | None, now: datetime) -> None:
    if answer is None:
        raise Invalid("When it was presented could not be found out.")
    made = jose.instant(answer, "iat")
    if made is None:
        raise Invalid("It does not say when it was presented.")
    jose.in_time(answer, now)
    if made < now - FRESH:
        raise Invalid("It was presented too long ago, on {made}.", made=made.isoformat())
