"""The company's keys in the askar wallet, which never leave the wallet's process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from acapy_agent.core.profile import Profile
from aries_askar import Key, KeyAlg  # type: ignore[import-untyped]

from credentials.keys import Signer, did_key, key_method, multikey
from schemas.errors import Unavailable

ISSUER = "meguri-issuer"
WITNESS = "meguri-witness"
_CATEGORY, _RECORD = "meguri", "identity"


@dataclass(frozen=True, slots=True)
class AskarSigner:
    """Signs with a key of the askar wallet, fetched once, in the name of a DID that lists it."""

    key: Key
    did: str
    verification_method: str

    def sign(self, data: bytes, /) -> bytes:
        """Return the 64 bytes of the Ed25519 signature."""
        return bytes(self.key.sign_message(data))


async def issuer(profile: Profile, name: str = ISSUER) -> AskarSigner:
    """Return the signer of the company's issuer key, a did:key, which is made the first time."""
    async with profile.transaction() as session:
        entry = await session.handle.fetch_key(name)
        if entry is None:
            key = Key.generate(KeyAlg.ED25519)
            await session.handle.insert_key(name, key)
            await session.commit()
        else:
            key = entry.key
    did = did_key(bytes(key.get_public_bytes()))
    return AskarSigner(key, did, key_method(did))


async def has_issuer(profile: Profile) -> bool:
    """Say whether the wallet holds the key of a company that is known by its did:key."""
    async with profile.session() as session:
        return await session.handle.fetch_key(ISSUER) is not None


@dataclass(frozen=True, slots=True)
class AskarSafe:
    """Keeps the keys of a did:webvh in the wallet, each under its multikey, and the record of them."""

    profile: Profile

    async def record(self) -> str | None:
        """Return the record, if there is one."""
        async with self.profile.session() as session:
            entry = await session.handle.fetch(_CATEGORY, _RECORD)
        return bytes(entry.value).decode() if entry is not None else None

    async def keep(self, record: str) -> None:
        """Keep a record; when this returns, it survives a power cut."""
        async with self._change() as handle:
            known = await handle.fetch(_CATEGORY, _RECORD, for_update=True)
            write = handle.insert if known is None else handle.replace
            await write(_CATEGORY, _RECORD, record.encode())

    async def make_key(self) -> str:
        """Make a key and return its multikey."""
        key = Key.generate(KeyAlg.ED25519)
        name = multikey(bytes(key.get_public_bytes()))
        async with self._change() as handle:
            await handle.insert_key(name, key)
        return name

    async def drop_key(self, multikey: str) -> None:
        """Destroy a key, if it is there."""
        async with self._change() as handle:
            if await handle.fetch_key(multikey) is not None:
                await handle.remove_key(multikey)

    async def signer(self, multikey: str, did: str = "") -> Signer:
        """Return what signs with a key, in the name of a DID or else of the key itself."""
        async with self.profile.session() as session:
            entry = await session.handle.fetch_key(multikey)
        if entry is None:
            raise Unavailable("the wallet has lost the key {key}", key=multikey)
        did = did or f"did:key:{multikey}"
        return AskarSigner(entry.key, did, f"{did}#{multikey}")

    @asynccontextmanager
    async def _change(self) -> AsyncIterator[Any]:
        async with self.profile.transaction() as session:
            yield session.handle
            await session.commit()
