"""A company's own DID: its keys and its log in the wallet, and what it tells the registry of it.

Every change is kept in the wallet before the registry hears of it, and told again until the registry has it;
to hear an entry twice changes nothing there. So a crash at any point leaves the DID as it was or as it was
to be, never without its keys. Until the registry has taken a new key, the one before goes on sealing.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol, Self

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar

from agents.ports import Store
from credentials import integrity, strict, webvh
from credentials.keys import Signer
from credentials.moments import moment
from credentials.resolution import did_document
from credentials.vc import presentation
from credentials.webvh import History
from governance import dids
from governance.dids import Kept, Registry
from schemas.errors import Fault, Forbidden, Invalid, Misstep, Unavailable, Unknown

LOG = logging.getLogger(__name__)

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
_SHOWN = "whois-shown"
_MOST_LOG = 8 << 20


class Safe(Protocol):
    """The wallet: keys that never leave it, and beside them one record of what they are for."""

    async def record(self) -> str | None:
        """Return the record, if there is one."""
        ...

    async def keep(self, record: str) -> None:
        """Keep a record; when this returns, it survives a power cut."""
        ...

    async def make_key(self) -> str:
        """Make a key and return its multikey."""
        ...

    async def drop_key(self, multikey: str) -> None:
        """Destroy a key, if it is there."""
        ...

    async def signer(self, multikey: str, did: str = "") -> Signer:
        """Return what signs with a key, in the name of a DID or else of the key itself."""
        ...


class Office(Protocol):
    """The registry of DIDs, as a company reaches it."""

    async def about(self) -> Registry:
        """Return what everybody knows of the registry."""
        ...

    async def take(self, name: str, entry: object, code: str = "") -> object:
        """Have an entry appended; one that is there changes nothing."""
        ...

    async def log(self, name: str) -> Kept:
        """Return the log of a name with its approvals, or raise `Unknown`."""
        ...

    async def show(self, name: str, presentation: Mapping[str, Any]) -> None:
        """Have a presentation shown to whoever asks who the company is."""
        ...


@dataclass(frozen=True)
class Change:
    """An entry that the registry has yet to take, and the keys that stand when it has."""

    line: str
    issuer: str
    next: str
    signed_by: str
    code: str = ""


@dataclass(frozen=True)
class Standing:
    """What the wallet records: the log as the registry has it, and which keys are for what.

    `issuer` seals; `next` is the key that the last entry has committed to.
    """

    registry: Registry
    kept: Kept
    issuer: str = ""
    next: str = ""
    change: Change | None = None

    def to_json(self) -> str:
        """Write it for keeping."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> Self:
        """Read what was kept."""
        found = json.loads(text)
        kept = found["kept"]
        return cls(
            Registry(**found["registry"]),
            Kept(kept["name"], tuple(kept["lines"]), kept["approvals"]),
            found["issuer"],
            found["next"],
            Change(**found["change"]) if found["change"] else None,
        )

    @property
    def did(self) -> str:
        """The DID, which the first entry has fixed, be it registered or not."""
        line = self.kept.lines[0] if self.kept.lines else self.change.line if self.change else ""
        return str(strict.loads(line)["state"]["id"])


@dataclass(frozen=True)
class Spent:
    """Signs nothing: the DID was given up."""

    did: str
    verification_method: str

    def sign(self, data: bytes, /) -> bytes:
        """Refuse."""
        raise Forbidden("this company has given up its DID; it seals nothing any more")


class Identity:
    """A company's did:webvh, or the authority's own."""

    def __init__(self, safe: Safe, standing: Standing, clock: Callable[[], datetime]) -> None:
        self._safe = safe
        self._clock = clock
        self._lock = asyncio.Lock()
        self._late = asyncio.Event()
        self.standing = standing
        self.office: Office | None = None
        self.signer: Signer = Spent(standing.did, f"{standing.did}#")
        self.changed: Callable[[Signer], None] = lambda _: None

    @property
    def did(self) -> str:
        """The DID."""
        return self.standing.did

    @property
    def history(self) -> History:
        """The checked history, as the registry has it."""
        now = max(self._clock(), moment(strict.loads(self.standing.kept.lines[-1])["versionTime"]))
        return dids.checked(self.standing.kept, self.standing.registry, now=now)

    # Beginning

    @classmethod
    async def begun(
        cls,
        safe: Safe,
        registry: Callable[[], Awaitable[Registry]],
        registration: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        site: str = "",
    ) -> Self:
        """Return the identity in a wallet; the first time, make its keys and its first entry.

        `registration` is the code that the authority gave for a name; the authority itself needs none.
        The first entry says at which site the company publishes.
        """
        name, _, secret = registration.partition(".")
        if registration and not secret:
            raise Invalid("“{code}” is no registration code: it looks like name.secret", code=name[:60])
        record = await safe.record()
        known = standing = Standing.read(record) if record else None
        if standing is None or (registration and not standing.kept.lines and standing.kept.name != name):
            for key in _unused(standing):
                await safe.drop_key(key)
            standing = await _first(safe, await registry(), name, registration, clock(), site)
        elif registration and standing.change is not None and not standing.kept.lines:
            standing = replace(standing, change=replace(standing.change, code=registration))
        if standing != known:
            await safe.keep(standing.to_json())
        identity = cls(safe, standing, clock)
        await identity._take_up()
        return identity

    async def settle(self) -> None:
        """Tell the registry the change that it has yet to take, if there is one."""
        async with self._lock:
            await self._settle()

    async def _settle(self) -> None:
        standing = self.standing
        change = standing.change
        if change is None:
            return
        office = self._at_hand()
        if await self._is_stale(office, standing, change):
            await self._drop(standing, change)
            raise Unavailable("the change of the DID waited too long for the registry: please make it again")
        try:
            await office.take(standing.kept.name, strict.loads(change.line), change.code)
        except Misstep:
            pass  # it may be there, with others after it; the log will tell
        except Invalid:
            if standing.kept.lines:
                await self._drop(standing, change)
            raise
        kept = await office.log(standing.kept.name)
        known = (*standing.kept.lines, change.line)
        if kept.lines[: len(known)] != known:
            raise Forbidden("the registry has another history of {did} than this wallet", did=self.did)
        if len(kept.lines) > len(known):
            raise Forbidden(
                "the registry has later entries of {did} than this wallet: restore the latest copy of it",
                did=self.did,
            )
        dids.checked(kept, standing.registry, now=self._clock() + dids.OVERLAP)
        await self._stand(replace(standing, kept=kept, issuer=change.issuer, next=change.next, change=None))
        for key in {change.signed_by, standing.issuer} - {change.issuer, change.next, ""}:
            await self._safe.drop_key(key)

    async def _is_stale(self, office: Office, standing: Standing, change: Change) -> bool:
        """Say whether a rotation waited so long that the old key, by its own words, counts no more."""
        made = moment(strict.loads(change.line)["versionTime"])
        if not standing.kept.lines or change.issuer == standing.issuer:
            return False
        if self._clock() < made + dids.OVERLAP / 2:
            return False
        return change.line not in (await office.log(standing.kept.name)).lines

    async def _drop(self, standing: Standing, change: Change) -> None:
        await self._stand(replace(standing, change=None))
        for key in {change.issuer, change.next} - {standing.issuer, standing.next, ""}:
            await self._safe.drop_key(key)

    async def _stand(self, standing: Standing) -> None:
        await self._safe.keep(standing.to_json())
        self.standing = standing
        await self._take_up()

    async def _take_up(self) -> None:
        """Seal with the key in force from now on."""
        if self.standing.kept.lines:
            document = strict.loads(self.standing.kept.lines[-1])
            if document["parameters"].get("deactivated"):
                self.signer = Spent(self.did, f"{self.did}#{self.standing.issuer}")
            else:
                self.signer = await self._safe.signer(self.standing.issuer, self.did)
            self.changed(self.signer)

    def _at_hand(self) -> Office:
        if self.office is None:
            raise Unavailable("the settings name no registry: set registry and did_host")
        return self.office

    # Changes

    async def rotate(self, leaked_since: datetime | None = None) -> None:
        """Replace the key that seals, and with it the keys that change the DID.

        What was sealed before goes on verifying; where the wallet had leaked, what was sealed since does not.
        """
        now = self._clock()
        if leaked_since is not None and leaked_since > now:
            raise Invalid("a key cannot have leaked at a time to come")

        async def entry(before: History, signer: Signer, next_key: str) -> tuple[dict[str, Any], str]:
            issuer = await self._safe.make_key()
            document = dids.rekeyed(before.last.document, issuer, when=now, leaked_since=leaked_since)
            return dids.continued(before, signer, next_key, when=now, document=document), issuer

        await self._change(entry)

    async def add_service(self, name: str, kind: str, endpoint: str) -> None:
        """List a service in the DID document, or change it."""
        await self._rewrite(lambda document: dids.with_service(document, name, kind, endpoint))

    async def remove_service(self, name: str) -> None:
        """Take a service out of the DID document."""
        await self._rewrite(lambda document: dids.without_service(document, name))

    async def list_site(self, site: str) -> None:
        """Say in the DID document at which site the company publishes, unless it says so already."""
        document = strict.loads(self.standing.kept.lines[-1])["state"]
        if did_document(document).files != site and not isinstance(self.signer, Spent):
            await self._rewrite(lambda document: dids.with_site(document, site))

    async def _rewrite(self, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
        async def entry(before: History, signer: Signer, next_key: str) -> tuple[dict[str, Any], str]:
            document = change(before.last.document)
            made = dids.continued(before, signer, next_key, when=self._clock(), document=document)
            return made, self.standing.issuer

        await self._change(entry)

    async def deactivate(self, confirmation: str) -> None:
        """Give the DID up for good; the confirmation is the DID itself."""
        if confirmation != self.did:
            raise Invalid("to give the DID up for good, repeat it: {did}", did=self.did)

        async def entry(before: History, signer: Signer, next_key: str) -> tuple[dict[str, Any], str]:
            return dids.ended(before, signer, when=self._clock()), self.standing.issuer

        await self._change(entry)

    async def _change(
        self, make: Callable[[History, Signer, str], Awaitable[tuple[dict[str, Any], str]]]
    ) -> None:
        async with self._lock:
            await self._settle()
            self._at_hand()
            standing = self.standing
            before = self.history
            if before.last.rules.deactivated:
                raise Misstep("the DID was given up; nothing can follow")
            signer = await self._safe.signer(standing.next)
            next_key = await self._safe.make_key()
            entry, issuer = await make(before, signer, next_key)
            change = Change(webvh.line(entry), issuer, next_key, standing.next)
            await self._stand(replace(standing, change=change))
            try:
                await self._settle()
            except (Unavailable, Unknown) as fault:
                self._late.set()
                raise Unavailable(
                    "the change is kept, and told to the registry as soon as it answers: {reason}",
                    reason=fault,
                ) from fault

    async def run(self, store: Store, site: str, *, poll_s: float = 5.0) -> None:
        """Tell the registry what it has yet to hear, and show there what the authority says of us."""
        pause, listed = SHORTEST_PAUSE_S, False
        while True:
            try:
                await self.settle()
                if not listed:
                    listed = True  # what cannot be told now is kept; what is refused now would be again
                    await self.list_site(site)
                await self.introduce(store)
            except Fault as fault:
                LOG.warning("the registry has not taken all of our DID: %s", fault)
                pause = min(2 * pause, LONGEST_PAUSE_S)
                await asyncio.sleep(pause)
            else:
                pause = SHORTEST_PAUSE_S
                await asyncio.sleep(poll_s)

    async def introduce(self, store: Store) -> None:
        """Show the registry's visitors our accreditation, when it or our key has changed."""
        found = await store.read(
            lambda desk: (
                desk.setting(_SHOWN),
                [
                    held
                    for held in desk.credentials(self.did, "Accreditation")
                    if held.issuer == desk.authority()
                ],
                desk.now,
            )
        )
        shown, held, now = found
        if not held or isinstance(self.signer, Spent):
            return
        new = f"{held[-1].digest} {self.signer.verification_method}"
        if new == shown:
            return
        document = presentation(self.did, [held[-1].document])
        sealed = integrity.seal(document, self.signer, created=now)
        await self._at_hand().show(self.standing.kept.name, sealed)
        await store.write(lambda desk: desk.set(_SHOWN, new))


def _unused(standing: Standing | None) -> set[str]:
    """Return the keys of a first entry that nobody took."""
    change = standing.change if standing else None
    return {change.issuer, change.next, change.signed_by} if change else set()


async def _first(safe: Safe, registry: Registry, name: str, code: str, now: datetime, site: str) -> Standing:
    issuer, update, next_key = [await safe.make_key() for _ in range(3)]
    entry = dids.begun(registry, name, issuer, await safe.signer(update), next_key, when=now, site=site)
    change = Change(webvh.line(entry), issuer, next_key, update, code)
    return Standing(registry, Kept(name), change=change)


# The registry at the other end of the network

_FAULTS: Mapping[str, type[Fault]] = {
    one.code: one for one in (Invalid, Unknown, Misstep, Forbidden, Unavailable)
}


class Branch:
    """Reaches the registry over HTTP, at the site of the authority."""

    def __init__(self, url: str, host: str, *, timeout_s: float = 15.0) -> None:
        self._url = url.rstrip("/")
        self._host = host
        self._timeout = ClientTimeout(total=timeout_s)

    async def about(self) -> Registry:
        """Return what everybody knows of the registry."""
        found = strict.loads(await self._ask("GET", "/dids"))
        try:
            registry = Registry(str(found["host"]), str(found["witness"]))
        except (LookupError, TypeError):
            raise Unavailable("there is no registry of DIDs at {url}", url=self._url) from None
        if self._host and registry.host != self._host:
            raise Invalid(
                "the registry at {url} is of {host}, not of {wanted}",
                url=self._url,
                host=registry.host,
                wanted=self._host,
            )
        return registry

    async def take(self, name: str, entry: object, code: str = "") -> object:
        """Have an entry appended; one that is there changes nothing."""
        posted = {"entry": entry} | ({"code": code} if code else {})
        return await self._ask("POST", f"/dids/{name}", posted)

    async def log(self, name: str) -> Kept:
        """Return the log of a name with its approvals, or raise `Unknown`."""
        lines = (await self._ask("GET", f"/dids/{name}/did.jsonl")).splitlines(keepends=True)
        return Kept(name, tuple(lines), await self._ask("GET", f"/dids/{name}/did-witness.json"))

    async def show(self, name: str, presentation: Mapping[str, Any]) -> None:
        """Have a presentation shown to whoever asks who the company is."""
        await self._ask("POST", f"/dids/{name}/whois", dict(presentation))

    async def _ask(self, method: str, path: str, body: object = None) -> str:
        try:
            async with (
                ClientSession(timeout=self._timeout, cookie_jar=DummyCookieJar()) as http,
                http.request(method, self._url + path, json=body, allow_redirects=False) as answer,
            ):
                content = await answer.content.read(_MOST_LOG + 1)
                while not answer.content.at_eof() and len(content) <= _MOST_LOG:
                    content += await answer.content.read(_MOST_LOG)
                status = answer.status
        except (ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unavailable("the registry at {url} cannot be reached", url=self._url) from error
        text = content.decode("utf-8", "replace")
        if len(content) > _MOST_LOG:
            raise Unavailable("the registry at {url} answers more than anybody could use", url=self._url)
        if status >= 300:  # noqa: PLR2004
            raise self._problem(status, text)
        return text

    def _problem(self, status: int, text: str) -> Fault:
        try:
            problem = strict.loads(text)
            kind, words = _FAULTS[problem["code"]], str(problem["detail"])
        except (Fault, LookupError, TypeError):
            return Unavailable("the registry at {url} answered {status}", url=self._url, status=status)
        return kind("the registry says: {words}", words=words[:500])
