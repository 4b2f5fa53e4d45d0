"""The company's issuer key, which never leaves the wallet's process."""

from dataclasses import dataclass

from acapy_agent.core.profile import Profile
from aries_askar import Key, KeyAlg  # type: ignore[import-untyped]

from credentials.keys import did_key, key_method

ISSUER = "meguri-issuer"


@dataclass(frozen=True, slots=True)
class AskarSigner:
    """Signs with a key of the askar wallet, fetched once; its DID is the key's did:key."""

    key: Key
    did: str

    @property
    def verification_method(self) -> str:
        """The DID URL under which others find the public key."""
        return key_method(self.did)

    def sign(self, data: bytes, /) -> bytes:
        """Return the 64 bytes of the Ed25519 signature."""
        return bytes(self.key.sign_message(data))


async def issuer(profile: Profile, name: str = ISSUER) -> AskarSigner:
    """Return the signer of the company's issuer key, which is made the first time."""
    async with profile.transaction() as session:
        entry = await session.handle.fetch_key(name)
        if entry is None:
            key = Key.generate(KeyAlg.ED25519)
            await session.handle.insert_key(name, key)
            await session.commit()
        else:
            key = entry.key
    return AskarSigner(key, did_key(bytes(key.get_public_bytes())))
