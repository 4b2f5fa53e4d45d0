"""A company that keeps a DID in a registry, with its keys at hand; everything it writes can be bent."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from credentials import strict, webvh
from credentials.keys import LocalSigner, multikey
from credentials.webvh import History
from governance import dids
from governance.dids import Kept, Registry

START = datetime(2026, 4, 1, 9, tzinfo=UTC)
WITNESS = LocalSigner.from_seed(b"w" * 32)
REGISTRY = Registry("registry.meguri.example", WITNESS.did)


def key(seed: str) -> LocalSigner:
    return LocalSigner.from_seed(sha256(seed.encode()).digest())


def public(signer: LocalSigner) -> str:
    return multikey(signer.key.public_key().public_bytes_raw())


@dataclass
class Holder:
    """Writes one entry after another, each an hour later, and has the registry's rules judge them."""

    name: str = "kita"
    kept: Kept = field(init=False)
    seals: list[LocalSigner] = field(default_factory=list)
    registry: Registry = REGISTRY

    def __post_init__(self) -> None:
        self.kept = Kept(self.name)

    @property
    def number(self) -> int:
        return len(self.kept.lines)

    @property
    def now(self) -> datetime:
        return START + timedelta(hours=self.number)

    def update_key(self, ahead: int = 0) -> LocalSigner:
        return key(f"{self.name} update {self.number + ahead}")

    def first(self, **more: Any) -> dict[str, Any]:
        self.seals = [key(f"{self.name} seal 0")]
        after = public(self.update_key(1))
        return dids.begun(
            self.registry, self.name, public(self.seals[0]), self.update_key(), after, when=self.now, **more
        )

    @property
    def history(self) -> History:
        return dids.checked(self.kept, self.registry, now=self.now)

    def next(self, document: Any = None) -> dict[str, Any]:
        after = public(self.update_key(1))
        return dids.continued(self.history, self.update_key(), after, when=self.now, document=document)

    def rotated(self, **more: Any) -> dict[str, Any]:
        self.seals.append(key(f"{self.name} seal {len(self.seals)}"))
        document = self.history.last.document
        return self.next(dids.rekeyed(document, public(self.seals[-1]), when=self.now, **more))

    def bent(
        self, signer: LocalSigner | None = None, document: Any = None, **parameters: Any
    ) -> dict[str, Any]:
        """Return an entry rightly sealed that says what it likes."""
        own = {
            "updateKeys": [public(self.update_key())],
            "nextKeyHashes": [webvh.key_hash(public(self.update_key(1)))],
        }
        signer = signer or self.update_key()
        return webvh.appended(
            self.history, signer, when=self.now, parameters=own | parameters, document=document
        )

    def take(self, entry: object) -> Kept:
        self.kept = dids.followed(self.kept, entry, self.registry, WITNESS, now=self.now)
        return self.kept

    def entries(self) -> list[dict[str, Any]]:
        return [strict.loads(line) for line in self.kept.lines]

    def sealer(self, number: int = -1) -> LocalSigner:
        seal = self.seals[number]
        return LocalSigner(seal.key, self.history.did, f"{self.history.did}#{public(seal)}")


def begun(name: str = "kita") -> Holder:
    holder = Holder(name)
    holder.take(holder.first())
    return holder
