"""Which keys speak for a DID.

A resolver is a port: it answers from what it holds, or raises Unknown, Invalid or Unavailable.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from credentials import keys
from schemas.errors import Invalid, Unknown

_DID = re.compile("did:([a-z0-9]+):[A-Za-z0-9._:%-]{1,2000}")

PURPOSES = frozenset({"assertionMethod", "authentication", "capabilityInvocation", "capabilityDelegation"})


@dataclass(frozen=True, slots=True)
class Method:
    """One public key of a DID, and what its holder may do with it."""

    id: str
    controller: str
    public_key: bytes
    purposes: frozenset[str] = PURPOSES


@dataclass(frozen=True, slots=True)
class DidDocument:
    """What a DID resolves to, as far as seals need it."""

    id: str
    methods: tuple[Method, ...]
    deactivated: bool = False

    def method(self, id: str, /) -> Method | None:
        """Find one of its keys by the key's DID URL."""
        return next((method for method in self.methods if method.id == id), None)


class Resolver(Protocol):
    """Whoever can say which keys speak for a DID."""

    def resolve(self, did: str, /) -> DidDocument:
        """Return the document of a DID, or raise Invalid, Unknown or Unavailable."""


def method_name(did: str, /) -> str:
    """Return the method of a DID, such as `key` or `webvh`, or raise Invalid where the text is no DID."""
    match = _DID.fullmatch(did)
    if not match:
        raise Invalid("{did} is not a DID.", did=ascii(did[:120]))
    return match[1]


def speaking_key(resolver: Resolver, did: str, url: str, purpose: str, /) -> bytes:
    """Return the public key named `url` that may speak for a DID in this way, or raise a Fault."""
    document = resolver.resolve(did)
    method = document.method(url)
    if document.id != did or method is None or method.controller != did:
        raise Invalid("{signer} has no key {key}.", signer=did, key=url)
    if document.deactivated:
        raise Invalid("{signer} has been given up by its owner.", signer=did)
    if purpose not in method.purposes:
        raise Invalid("The key {key} may not be used for {purpose}.", key=url, purpose=purpose)
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
