"""Checking whatever is sealed, wherever it comes from, without an agent and believing nobody in between."""

import asyncio
import json
import re
import sys
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from credentials import seals, strict, webvh
from credentials.report import Report
from credentials.resolution import ByMethod, Cached, KeyResolver
from schemas.errors import Fault, Invalid, Unavailable, Unknown
from schemas.items import read_uri

MAX_BYTES: Final = webvh.MAX_CHARACTERS
MAX_FETCHES: Final = 100
PATIENCE_S: Final = 60.0
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass
class Web:
    """Fetches what a check needs: so much, so long, and from a public address or where the user said.

    What is fetched is named by whoever sealed the thing, so an unnamed host inside the user's network is
    left alone.
    """

    hosts: Mapping[str, str] = field(default_factory=dict)
    offline: bool = False
    patience_s: float = PATIENCE_S
    max_bytes: int = MAX_BYTES
    fetched: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._until = time.monotonic() + self.patience_s

    def fetch(self, url: str, /) -> bytes:
        """Return what a stranger's link leads to, or raise a Fault."""
        if url in self.fetched:
            return self.fetched[url]
        if self.offline:
            raise Unavailable("nothing is fetched: --offline")
        if len(self.fetched) >= MAX_FETCHES:
            raise Unavailable("more than {limit} things would have to be fetched", limit=MAX_FETCHES)
        parts = _split(url)
        base = self.hosts.get(parts.netloc.lower())
        if base is None and parts.scheme != "https":
            raise Invalid("{url} is fetched over https only", url=url[:200])
        self.fetched[url] = self._got(url if base is None else base + _target(url), public=base is None)
        return self.fetched[url]

    def open(self, url: str, /) -> bytes:
        """Return what the user's own link leads to, wherever that is."""
        if self.offline:
            raise Unavailable("nothing is fetched: --offline")
        base = self.hosts.get(_split(url).netloc.lower())
        self.fetched[url] = self._got(url if base is None else base + _target(url), public=False)
        return self.fetched[url]

    def _got(self, url: str, *, public: bool) -> bytes:
        from agents.links import EVERYWHERE, PUBLIC, Nearer, fetched  # aiohttp behind it, needed here only

        allowed = PUBLIC if public else EVERYWHERE
        try:
            return asyncio.run(fetched(url, self.max_bytes, allowed, self._left()))
        except Nearer:
            host = _split(url).hostname
            raise Invalid("{host} is inside our network; say where it is with --at", host=host) from None
        except Unknown as fault:
            raise Unknown("{url} cannot be fetched: {why}", url=url, why=fault) from fault
        except Fault as fault:
            raise Unavailable("{url} cannot be fetched: {why}", url=url, why=fault) from fault

    def _left(self) -> float:
        left = self._until - time.monotonic()
        if left <= 0:
            raise Unavailable("its server does not answer in time")
        return left


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        if known and not parts.username:
            return parts
    except ValueError:
        pass
    raise Invalid("{url} is no web address", url=url[:200])


def _target(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def hosts(given: tuple[str, ...]) -> dict[str, str]:
    """Read where hosts are reached instead, each `HOST=URL`."""
    hosts: dict[str, str] = {}
    for text in given:
        host, _, url = text.partition("=")
        if not host or not url:
            raise Invalid("--at is written HOST=URL, not {text}", text=text[:200])
        _split(url)
        hosts[host.lower()] = url.rstrip("/")
    return hosts


@dataclass(frozen=True)
class Source:
    """What is to be checked, and where it was found."""

    name: str
    data: bytes

    @classmethod
    def of(cls, name: str, web: Web) -> "Source":
        """Read a file, standard input, a web address, or the log of a DID."""
        if name.startswith("did:webvh:"):
            url = webvh.place(name).log
            return cls(url, web.fetch(url))
        if name.startswith(("http://", "https://")):
            return cls(name, web.open(name))
        try:
            with nullcontext(sys.stdin.buffer) if name == "-" else Path(name).open("rb") as stream:
                data = stream.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", "") or error
            raise Invalid("{file} cannot be read: {why}", file=name, why=why) from error
        if len(data) > MAX_BYTES:
            raise Invalid("{file} is larger than {limit} bytes", file=name, limit=MAX_BYTES)
        return cls(name, data)

    def beside(self, name: str, web: Web) -> bytes | None:
        """Read what lies beside it under another name, if anything does."""
        if self.name.startswith(("http://", "https://")):
            try:
                return web.open(urljoin(self.name, name))
            except Unknown:
                return None
        try:
            return None if self.name == "-" else Path(self.name).with_name(name).read_bytes()
        except OSError:
            return None


@dataclass(frozen=True)
class Verdict:
    """What was checked, and what came of it."""

    what: str
    seal: str
    report: Report
    facts: Mapping[str, str]


def examine(
    source: Source, web: Web, *, now: datetime, challenge: str | None = None, domain: str | None = None
) -> Verdict:
    """Check what was found, whatever it is."""
    if (did := webvh.subject(source.data)) is not None:
        witnesses = source.beside("did-witness.json", web)
        if witnesses is None and not web.offline:
            witnesses = _published(did, web)
        report = webvh.verify(did, source.data, witnesses, now=now)
        return Verdict("DID log", webvh.METHOD, report, {"DID": did, **_log_facts(source.data)})
    resolver = ByMethod(
        {
            "key": KeyResolver(),
            "web": webvh.WebResolver(web.fetch),
            "webvh": webvh.WebvhResolver(web.fetch, lambda: now),
        }
    )
    sealed = _found_in(seals.read(source.data, limit=MAX_BYTES))
    report = seals.verify(
        sealed,
        Cached(resolver, time.monotonic),
        now=now,
        statuses=lambda url: seals.read(web.fetch(url), limit=MAX_BYTES),
        challenge=challenge,
        domain=domain,
    )
    return Verdict(seals.what(report.document), seals.suite(sealed), report, facts_of(report.document or {}))


# What a DID URL names


@dataclass(frozen=True)
class Stated:
    """One statement that was found, by its id, and what came of checking it."""

    id: str
    verdict: Verdict


@dataclass(frozen=True)
class Resolved:
    """What stands under a DID URL: where, and what is stated there."""

    did: str
    url: str
    statements: tuple[Stated, ...]


def resolved(name: str, web: Web, *, now: datetime) -> Resolved:
    """Find what a company has published under a DID URL of its own, and check it.

    The DID's log, checked with its witnesses' approvals, names the site where its files stand; so nobody but
    the issuer learns what is asked for, and of another issuer's statements none counts.
    """
    did, kind, path = _named(name)
    document = webvh.WebvhResolver(web.fetch, lambda: now).resolve(did)
    if document.deactivated or not document.files:
        raise Unknown("{did} names no site where its statements stand", did=did)
    url = f"{document.files}/{kind}/{path}"
    try:
        found = strict.loads(web.fetch(url), limit=MAX_BYTES)
    except Unknown:
        raise Unknown(
            "nothing is published under {name}; a member may ask its issuer for it over disclosure/1.0",
            name=name[:400],
        ) from None
    told: Any = [found]
    if kind == "items":
        told = found.get("credentials") if isinstance(found, dict) else None
    if not isinstance(told, list) or not told or not all(isinstance(one, dict) for one in told):
        raise Invalid("what is at {url} is none of our items and statements", url=url)
    return Resolved(did, url, tuple(_stated(one, did, kind, path, web, now) for one in told))


def _named(name: str) -> tuple[str, str, str]:
    """Return the DID that a DID URL is of, and whether it names an item or a statement, and which."""
    did, _, rest = name.partition("/")
    kind, _, id = rest.partition("/")
    webvh.place(did)
    if kind == "items":
        return did, kind, read_uri(name)[1]
    if kind == "credentials" and _UUID.fullmatch(id):
        return did, kind, id
    raise Invalid("{name} names neither an item nor a statement: DID/items/CODE or DID/credentials/UUID",
                  name=name[:400])  # fmt: skip


def _stated(document: dict[str, Any], did: str, kind: str, path: str, web: Web, now: datetime) -> Stated:
    id, subject = str(document.get("id", "")), document.get("credentialSubject")
    about = subject.get("item") if isinstance(subject, dict) else None
    if (about if kind == "items" else id.removeprefix("urn:uuid:")) != path:
        raise Invalid("another thing stands there than was asked for: {id}", id=id[:400])
    verdict = examine(Source(id, json.dumps(document).encode()), web, now=now)
    if verdict.report.verified and verdict.report.author != did:
        raise Invalid("it is a statement of another issuer: {did}", did=str(verdict.report.author)[:120])
    return Stated(id, verdict)


def _found_in(document: object) -> object:
    """Return the credential in what `meguri credential ID --json` wrote beside it, or the thing itself."""
    inner = document.get("document") if isinstance(document, dict) else None
    return inner if isinstance(inner, dict) and "proof" in inner else document


def _published(did: str, web: Web) -> bytes | None:
    try:
        return web.fetch(webvh.place(did).witnesses)
    except Fault:
        return None  # the report then says which approvals are missing


def _log_facts(log: bytes) -> dict[str, str]:
    return {"versions": str(len(log.strip().split(b"\n")))}


def facts_of(document: Mapping[str, Any]) -> dict[str, str]:
    """Say in short what a document says of itself; nothing here is believed yet."""
    types = document.get("type")
    subjects = document.get("credentialSubject")
    abouts = [
        str(one["id"])
        for one in (subjects if isinstance(subjects, list) else [subjects])
        if isinstance(one, dict) and one.get("id")
    ]
    facts = {
        "type": ", ".join(
            str(one) for one in (types if isinstance(types, list) else [types]) if one not in seals.KINDS
        ),
        "about": ", ".join(abouts),
    }
    for name, member in (("from", "validFrom"), ("until", "validUntil")):
        if isinstance(document.get(member), str):
            facts[name] = str(document[member])
    return {name: text for name, text in facts.items() if text}
