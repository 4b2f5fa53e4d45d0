"""The authority's registry of DIDs, a Verifiable Data Registry: who may register, what is kept and served.

Whoever has the one-time code for a name registers its first entry; every later one proves itself, by the key
that the entry before committed to. The whole log is checked away from the writer, and again nothing is
written but onto the log that was checked: of two entries at once, one wins.
"""

import asyncio
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from agents.ports import Desk, Store
from agents.service import issuer_of
from credentials import integrity, strict
from credentials.canonical import canonical
from credentials.keys import Signer
from credentials.moments import moment
from credentials.report import Report
from credentials.resolution import DidDocument, did_document
from credentials.webvh import History
from governance import dids
from governance.dids import Kept, Registry
from schemas.errors import Forbidden, Invalid, Misstep, Unknown

MOST_BYTES: Final = 256 << 10
"""How long what is posted may be."""
LIVES: Final = timedelta(days=7)
"""How long a code for a name is good."""


@dataclass(frozen=True)
class Admission:
    """A code that was given out and not used."""

    name: str
    expires: datetime


@dataclass(frozen=True)
class _Known:
    """Resolves DIDs by histories that were checked."""

    histories: Mapping[str, History]

    def resolve(self, did: str, /) -> DidDocument:
        if did not in self.histories:
            raise Unknown("{did} is not registered here", did=did)
        last = self.histories[did].last
        return replace(did_document(last.document), deactivated=last.rules.deactivated)


class Registrar:
    """Keeps the registry's logs in the authority's books, and approves them as their witness."""

    def __init__(self, store: Store, registry: Registry, witness: Signer) -> None:
        self.store = store
        self.registry = registry
        self._witness = witness
        # Checking takes a while and anybody can ask for it: one at a time keeps the other readers free.
        self._checking = asyncio.Semaphore(1)
        self._logs: str | None = None
        self._taken = 0

    async def about(self) -> Registry:
        """Return what everybody knows of the registry."""
        return self.registry

    async def admit(self, name: str, lives: timedelta = LIVES) -> str:
        """Return a one-time code with which a company registers a name; the code before it ends."""
        if not dids.NAME.fullmatch(name):
            raise Invalid(
                "a name in the registry is of small letters, digits and dashes: not “{name}”", name=name[:60]
            )
        code = f"{name}.{secrets.token_urlsafe(20)}"

        def work(desk: Desk) -> None:
            if desk.did_log(name) is not None:
                raise Misstep("the name “{name}” is registered already", name=name)
            desk.keep_did_code(name, _digest(code), desk.now + lives)

        await self.store.write(work)
        return code

    async def admissions(self) -> list[Admission]:
        """List the codes that were given out and not used."""
        return await self.store.read(lambda desk: [Admission(*row) for row in desk.did_codes()])

    async def dismiss(self, name: str) -> None:
        """End the code for a name."""
        await self.store.write(lambda desk: desk.drop_did_code(name))

    async def registered(self) -> list[tuple[str, str]]:
        """List the names that are registered, each with its DID."""
        return await self.store.read(lambda desk: desk.dids())

    async def take(self, name: str, entry: object, code: str = "") -> Kept:
        """Append an entry to the log of a name, and return the log; one that is there changes nothing."""

        def check(desk: Desk) -> tuple[Kept | None, Kept]:
            before = desk.did_log(name)
            if before is None and name:
                _may_register(desk, name, code)
            kept = before or Kept(name)
            return before, dids.followed(kept, entry, self.registry, self._witness, now=desk.now)

        async with self._checking:
            before, after = await self.store.read(check)
        if before is not None and after.lines == before.lines:
            return after
        id = str(strict.loads(after.lines[-1])["state"]["id"])

        def keep(desk: Desk) -> None:
            if desk.did_log(name) != before:
                raise Misstep("another entry of this DID was faster")
            if before is None and name:
                _may_register(desk, name, code)
                desk.drop_did_code(name)
            desk.keep_did_entry(id, after)

        await self.store.write(keep)
        self._taken, self._logs = self._taken + 1, None
        return after

    async def log(self, name: str) -> Kept:
        """Return the log of a name, or raise `Unknown`."""
        kept = await self.store.read(lambda desk: desk.did_log(name))
        if kept is None:
            raise Unknown("nobody has registered “{name}” here", name=name[:60])
        return kept

    async def logs(self) -> str:
        """Return every log with its approvals, a line of JSON each; who asks does not tell about whom."""
        if (kept := self._logs) is not None:
            return kept
        taken = self._taken
        found = await self.store.read(lambda desk: [(id, desk.did_log(name)) for name, id in desk.dids()])
        lines = [{"did": id, "log": kept.log, "witnesses": kept.approvals} for id, kept in found if kept]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        if taken == self._taken:
            self._logs = text
        return text

    async def history(self, name: str) -> History:
        """Return the checked history of a name, or raise `Unknown`."""

        def check(desk: Desk) -> History:
            kept = desk.did_log(name)
            if kept is None:
                raise Unknown("nobody has registered “{name}” here", name=name[:60])
            return dids.checked(kept, self.registry, now=desk.now)

        async with self._checking:
            return await self.store.read(check)

    async def web_document(self, name: str) -> str:
        """Return the text of a name's `did.json`."""
        return dids.web_document(await self.history(name))

    async def site(self, name: str) -> str:
        """Return the site where the files of a name's DID stand, or raise `Unknown`."""
        entry = strict.loads((await self.log(name)).lines[-1])
        site = "" if entry["parameters"].get("deactivated") else did_document(entry["state"]).files
        if not site:
            raise Unknown("the DID of “{name}” names no site", name=name[:60])
        return site

    async def whois(self, name: str) -> str:
        """Return what the holder of a name shows of itself, or raise `Unknown`."""
        text = await self.store.read(lambda desk: desk.whois(name))
        if not text:
            raise Unknown("nobody shows anything of itself under “{name}” here", name=name[:60])
        return text

    async def show(self, name: str, presentation: Mapping[str, Any]) -> None:
        """Keep what the holder of a name shows of itself: what the authority has stated of it."""
        found, own = await self.history(name), await self.history("")
        resolver = _Known({found.did: found, own.did: own})

        def check(desk: Desk) -> Report:
            return integrity.verify(
                presentation, resolver, now=desk.now, statuses=lambda url: _status_list(desk, url)
            )

        async with self._checking:
            report = await self.store.read(check)
        if not report.verified:
            raise Invalid("the presentation does not verify: {words}", words=report.reason)
        if report.author != found.did:
            raise Forbidden("this is not a presentation of the holder of {did}", did=found.did)
        shown = presentation.get("verifiableCredential", ())
        if not isinstance(shown, list | tuple):
            shown = [shown]
        if any(_stated(one) != (own.did, found.did) for one in shown):
            raise Forbidden("what is shown must be stated by the authority, of {did}", did=found.did)
        text = canonical(presentation).decode()

        def keep(desk: Desk) -> None:
            if (before := desk.whois(name)) and _made(strict.loads(before)) > _made(presentation):
                raise Misstep("a later presentation is shown already")
            desk.keep_whois(name, text)

        await self.store.write(keep)


def _may_register(desk: Desk, name: str, code: str) -> None:
    digest = desk.did_code(name)
    if digest is None or not hmac.compare_digest(digest, _digest(code)):
        raise Forbidden("the code for “{name}” is not known here, was used, or has expired", name=name[:60])


def _status_list(desk: Desk, url: str) -> object:
    """Return a status list of our own."""
    if (edition := desk.edition(url)) is None:
        raise Unknown("the status list {url} is not ours", url=url[:200])
    return strict.loads(edition)


def _digest(code: str) -> str:
    return sha256(code.encode()).hexdigest()


def _stated(credential: Mapping[str, Any]) -> tuple[str, str]:
    """Return who states a credential, and of whom."""
    subject = credential.get("credentialSubject")
    of = str(subject.get("did") or subject.get("id", "")) if isinstance(subject, Mapping) else ""
    return issuer_of(credential), of


def _made(presentation: Mapping[str, Any]) -> datetime:
    proofs = presentation["proof"] if isinstance(presentation["proof"], list) else [presentation["proof"]]
    return max(moment(proof["created"]) for proof in proofs)
