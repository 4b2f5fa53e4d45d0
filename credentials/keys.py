"""Ed25519 keys as credentials name them: multikeys, did:key, and the port that signs."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from credentials import base58
from schemas.errors import Invalid

_ED25519 = b"\xed\x01"  # multicodec ed25519-pub
_MULTIKEY = re.compile("z6Mk[1-9A-HJ-NP-Za-km-z]{44}")
_SIGNATURE = re.compile("z[1-9A-HJ-NP-Za-km-z]{64,88}")
_DID_KEY = "did:key:"


class Signer(Protocol):
    """Whoever can sign in the name of a DID; the private key stays behind it."""

    @property
    def did(self) -> str:
        """The DID in whose name it signs."""

    @property
    def verification_method(self) -> str:
        """The DID URL under which others find the public key."""

    def sign(self, data: bytes, /) -> bytes:
        """Return the 64 bytes of the Ed25519 signature."""


@dataclass(frozen=True, slots=True)
class LocalSigner:
    """A signer whose key lives in this process, for tests, tools and simulated companies."""

    key: Ed25519PrivateKey
    did: str
    verification_method: str

    @classmethod
    def generate(cls) -> Self:
        """Make a signer with a new key and its did:key."""
        return cls._of(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes, /) -> Self:
        """Make the signer whose private key is these 32 bytes."""
        if len(seed) != 32:  # noqa: PLR2004 - an Ed25519 private key
            raise Invalid("An Ed25519 seed has 32 bytes, not {size}.", size=len(seed))
        return cls._of(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def _of(cls, key: Ed25519PrivateKey) -> Self:
        did = did_key(key.public_key().public_bytes_raw())
        return cls(key, did, key_method(did))

    def sign(self, data: bytes, /) -> bytes:
        """Return the 64 bytes of the Ed25519 signature."""
        return self.key.sign(data)


def multikey(public_key: bytes, /) -> str:
    """Write the 32 bytes of an Ed25519 public key as a multikey, `z6Mk…`."""
    if len(public_key) != 32:  # noqa: PLR2004
        raise Invalid("An Ed25519 public key has 32 bytes, not {size}.", size=len(public_key))
    return multibase(_ED25519 + public_key)


@lru_cache(maxsize=4096)
def public_key(text: str, /) -> bytes:
    """Read the 32 bytes of an Ed25519 public key from its multikey."""
    if _MULTIKEY.fullmatch(text):
        raw = base58.decode(text[1:])
        if len(raw) == 34 and raw.startswith(_ED25519):  # noqa: PLR2004
            return raw[2:]
    raise Invalid("{text} is not an Ed25519 multikey.", text=ascii(text[:80]))


def did_key(public_key: bytes, /) -> str:
    """Name an Ed25519 public key by its did:key."""
    return _DID_KEY + multikey(public_key)


def key_method(did: str, /) -> str:
    """Return the one verification method of a did:key."""
    return f"{did}#{did.removeprefix(_DID_KEY)}"


def multibase(data: bytes, /) -> str:
    """Write bytes as multibase base58btc, `z…`."""
    return "z" + base58.encode(data)


def signature(text: str, /) -> bytes:
    """Read the 64 bytes of a signature from multibase base58btc."""
    if _SIGNATURE.fullmatch(text):
        raw = base58.decode(text[1:])
        if len(raw) == 64:  # noqa: PLR2004
            return raw
    raise Invalid("The signature is not 64 bytes in multibase base58btc.")


def signed_by(public_key: bytes, data: bytes, seal: bytes, /) -> bool:
    """Say whether `seal` is this key's Ed25519 signature over `data`."""
    try:
        _opened(public_key).verify(seal, data)
    except (InvalidSignature, ValueError):
        return False
    return True


@lru_cache(maxsize=4096)
def _opened(public_key: bytes) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(public_key)
