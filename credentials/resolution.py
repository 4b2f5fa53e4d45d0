"""Which keys speak for a DID.

A resolver is a port: it answers from what it holds, or raises Unknown, Invalid or Unavailable.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol, runtime_checkable

from credentials import keys
from credentials.moments import moment
from schemas.errors import Invalid, Unknown

_DID = re.compile("did:([a-z0-9]+):[A-Za-z0-9._:%-]{1,2000}")

_SITE = re.compile(r"https?://[^\s/?#]+(/[^\s?#]*)?")

_KEY_TYPES = ("Multikey", "Ed25519VerificationKey2020")

PURPOSES = frozenset({"assertionMethod", "authentication", "capabilityInvocation", "capabilityDelegation"})


@dataclass(frozen=True, slots=True)
class Method:
    """One public key of a DID, what its holder may do with it, and until when, if it was taken back."""

    id: str
    controller: str
    public_key: bytes
    purposes: frozenset[str] = PURPOSES
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class DidDocument:
    """What a DID resolves to, as far as seals need it, and the address under which its files stand.

    What follows a slash in a DID URL is found there: the service `#files` of did:webvh 1.0.
    """

    id: str
    methods: tuple[Method, ...]
    deactivated: bool = False
    files: str = ""

    def method(self, id: str, /) -> Method | None:
        """Find one of its keys by the key's DID URL."""
        return next((method for method in self.methods if method.id == id), None)


class Resolver(Protocol):
    """Whoever can say which keys speak for a DID."""

    def resolve(self, did: str, /) -> DidDocument:
        """Return the document of a DID, or raise Invalid, Unknown or Unavailable."""


@runtime_checkable
class Renewing(Protocol):
    """A resolver that may answer with what it remembers, and can be told that this is not enough."""

    def anew(self, did: str, /) -> DidDocument:
        """Return the document of a DID as it is now, or at least as it was a moment ago."""


def method_name(did: str, /) -> str:
    """Return the method of a DID, such as `key` or `webvh`, or raise Invalid where the text is no DID."""
    match = _DID.fullmatch(did)
    if not match:
        raise Invalid("{did} is not a DID.", did=ascii(did[:120]))
    return match[1]


def speaking_key(resolver: Resolver, did: str, url: str, purpose: str, /, *, when: datetime | None) -> bytes:
    """Return the public key named `url` that may speak for a DID in this way, or raise a Fault.

    `when` is the time that the seal names; of a key that was taken back, only what it sealed before counts.
    """
    document = resolver.resolve(did)
    method = document.method(url)
    if method is None and isinstance(resolver, Renewing):  # the key may be newer than what is remembered
        document = resolver.anew(did)
        method = document.method(url)
    if document.id != did or method is None or method.controller != did:
        raise Invalid("{signer} has no key {key}.", signer=did, key=url)
    if document.deactivated:
        raise Invalid("{signer} has been given up by its owner.", signer=did)
    if purpose not in method.purposes:
        raise Invalid("The key {key} may not be used for {purpose}.", key=url, purpose=purpose)
    if method.until is not None and (when is None or when >= method.until):
        raise Invalid("The key {key} was taken back on {until}.", key=url, until=method.until.isoformat())
    return method.public_key


@dataclass(frozen=True, slots=True)
class KeyResolver:
    """Resolves did:key: the DID is the key, so nothing is asked of anyone."""

    def resolve(self, did: str, /) -> DidDocument:
        """Return the document of an Ed25519 did:key."""
        return _key_document(did)


@lru_cache(maxsize=4096)
def _key_document(did: str) -> DidDocument:
    if method_name(did) != "key":
        raise Unknown("{did} is not a did:key.", did=did)
    key = keys.public_key(did.removeprefix("did:key:"))
    return DidDocument(did, (Method(keys.key_method(did), did, key),))


def did_document(value: object, /) -> DidDocument:
    """Read a DID document in JSON: its Ed25519 keys, and what each may do; or raise Invalid."""
    if not isinstance(value, dict) or not isinstance(value.get("id"), str):
        raise Invalid("The DID document is none.")
    did: str = value["id"]
    method_name(did)
    uses: dict[str, set[str]] = {}
    listed = [item for item in _items(value, "verificationMethod") if isinstance(item, dict)]
    for purpose in sorted(PURPOSES):
        for item in _items(value, purpose):
            listed += [item] if isinstance(item, dict) else []
            uses.setdefault(_named(did, item), set()).add(purpose)
    methods: dict[str, Method | None] = {}
    for item in listed:
        name = _named(did, item)
        if name in methods:
            raise Invalid("The DID document names the key {key} twice.", key=name)
        methods[name] = _method(name, item, frozenset(uses.get(name, ())))
    kept = tuple(method for method in methods.values() if method is not None)
    return DidDocument(did, kept, files=_files(did, value))


def _files(did: str, document: dict[str, Any]) -> str:
    listed = document.get("service")
    for item in listed if isinstance(listed, list) else ():
        url = item.get("serviceEndpoint") if isinstance(item, dict) else None
        if isinstance(url, str) and item.get("id") in (f"{did}#files", "#files") and _SITE.fullmatch(url):
            return url.rstrip("/")
    return ""


def _items(document: dict[str, Any], name: str) -> list[Any]:
    items = document.get(name, [])
    if not isinstance(items, list):
        raise Invalid("The DID document is none.")
    return items


def _named(did: str, item: Any) -> str:
    name = item.get("id") if isinstance(item, dict) else item
    if not isinstance(name, str):
        raise Invalid("The DID document is none.")
    return did + name if name.startswith("#") else name


def _method(name: str, item: dict[str, Any], purposes: frozenset[str]) -> Method | None:
    """Read a key, or nothing where it is of a kind that seals nothing here."""
    key, controller = item.get("publicKeyMultibase"), item.get("controller")
    if item.get("type") not in _KEY_TYPES or not isinstance(key, str) or not key.startswith("z6Mk"):
        return None
    # W3C Controlled Identifiers 1.0: no proof of that time or later is to be believed.
    ends = [moment(item[end]) for end in ("revoked", "expires") if end in item]
    owner = controller if isinstance(controller, str) else ""
    return Method(name, owner, keys.public_key(key), purposes, min(ends, default=None))


@dataclass(slots=True)
class Cached:
    """Keeps what another resolver answered, refusals not, for a while and up to a number of DIDs."""

    resolver: Resolver
    clock: Callable[[], float]
    seconds: float = 300
    most: int = 4096
    _kept: OrderedDict[str, tuple[float, DidDocument]] = field(default_factory=OrderedDict)

    def resolve(self, did: str, /) -> DidDocument:
        """Return the document of a DID, perhaps as it was a while ago."""
        now = self.clock()
        kept = self._kept.get(did)
        if kept is not None and kept[0] > now:
            return kept[1]
        document = self.resolver.resolve(did)
        self._kept[did] = (now + self.seconds, document)
        self._kept.move_to_end(did)
        while len(self._kept) > self.most:
            self._kept.popitem(last=False)
        return document

    def forget(self, did: str, /) -> None:
        """Ask afresh the next time, as after a change of keys was announced."""
        self._kept.pop(did, None)


@dataclass(frozen=True, slots=True)
class ByMethod:
    """Asks, for each DID, the resolver of its method."""

    resolvers: Mapping[str, Resolver]

    def resolve(self, did: str, /) -> DidDocument:
        """Return the document of a DID whose method is known here."""
        name = method_name(did)
        if name not in self.resolvers:
            raise Unknown("DIDs of the method {method} are not known here.", method=name)
        return self.resolvers[name].resolve(did)
