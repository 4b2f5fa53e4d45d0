"""The rules of the authority's registry of DIDs, beyond those of did:webvh.

Every DID of a registry stands under one host, each log under a name of its own. Each entry commits to the
key of the next, and names the registry's witness, who approves what was checked from the first entry to the
last. The same history is the did:web of that host and name.

Keys that seal are added and taken back, never removed: one that was replaced stays listed with the date from
which it counts no more (`expires`, or `revoked` where it had leaked; W3C Controlled Identifiers 1.0), so that
what it sealed before goes on verifying.
"""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from credentials import keys, strict, webvh
from credentials.canonical import canonical
from credentials.moments import moment, stamp
from credentials.webvh import History
from schemas.errors import Invalid, Misstep

NAME = re.compile("[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
MOST_ENTRIES = 200
MOST_BYTES = 32 << 10
"""How long one entry may be."""
MOST_SERVICES = 20
OVERLAP = timedelta(days=1)
"""How long a replaced key goes on counting: what is on its way arrives, and who remembers it asks again."""

CONTEXTS = ("https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1")
SITE = "files"
RESERVED = frozenset({"whois", SITE})

_VERSION = re.compile("([1-9][0-9]{0,8})-Qm[1-9A-HJ-NP-Za-km-z]{44}")
_SERVICE = re.compile("[a-z][a-z0-9-]{0,39}")
_ENDPOINT = re.compile(r"https?://[!-~]{1,2000}")


@dataclass(frozen=True, slots=True)
class Registry:
    """What everybody knows of a registry: the host in its DIDs, and the did:key of its witness."""

    host: str
    witness: str

    def __post_init__(self) -> None:
        webvh.place(f"did:webvh:{'Qm' + '1' * 44}:{self.host}")

    @property
    def witnesses(self) -> dict[str, Any]:
        """The parameter by which a log names the witness."""
        return {"threshold": 1, "witnesses": [{"id": self.witness}]}


@dataclass(frozen=True, slots=True)
class Kept:
    """The log of a name in the registry, and its witness's approvals; no name is the authority's own."""

    name: str
    lines: tuple[str, ...] = ()
    approvals: str = "[]"

    @property
    def log(self) -> str:
        """The text of `did.jsonl`."""
        return "".join(self.lines)


# What the registry takes


def followed(
    kept: Kept, entry: object, registry: Registry, witness: keys.Signer, /, *, now: datetime
) -> Kept:
    """Return the log with one more entry, approved, or raise Misstep or Invalid.

    An entry that is in it changes nothing. What is returned verifies for anybody: all of it was checked as
    an outsider checks it.
    """
    line = _line(entry)
    number, version = _place_in_log(line)
    if number <= len(kept.lines):
        if kept.lines[number - 1] == line:
            return kept
        raise Misstep("entry {entry} of this DID is another one here", entry=number)
    if number > len(kept.lines) + 1:
        raise Misstep("entry {due} is due, not {entry}", due=len(kept.lines) + 1, entry=number)
    if number > MOST_ENTRIES:
        raise Invalid("the registry keeps no more than {limit} entries of a DID", limit=MOST_ENTRIES)
    approved = {
        "versionId": version,
        "proof": [webvh.approval({"versionId": version}, witness, when=now)],
    }
    # Of a witness the latest approval tells, but who read the log a moment ago still needs the one before.
    approvals = json.dumps([*strict.loads(kept.approvals)[-1:], approved])
    after = Kept(kept.name, (*kept.lines, line), approvals)
    ruled(checked(after, registry, now=now), registry)
    return after


def _line(entry: object) -> str:
    if not isinstance(entry, dict):
        raise Invalid("an entry is a JSON object")
    line = webvh.line(entry)
    if len(line) > MOST_BYTES:
        raise Invalid("the entry is larger than {limit} bytes", limit=MOST_BYTES)
    return line


def _place_in_log(line: str) -> tuple[int, str]:
    version = strict.loads(line).get("versionId")
    found = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if found is None:
        raise Invalid("the entry does not say which one it is")
    return int(found[1]), found[0]


def checked(kept: Kept, registry: Registry, /, *, now: datetime) -> History:
    """Return the history of a log of the registry as anybody would find it, or raise Invalid."""
    try:
        did = strict.loads(kept.lines[-1])["state"]["id"]
        where = webvh.place(did)
    except (LookupError, TypeError, AttributeError):
        raise Invalid("the entry is not of a DID of this registry") from None
    if (where.host, where.path) != (registry.host, (kept.name,) if kept.name else ()):
        raise Invalid("the entry is of another DID than the one of this name")
    return webvh.history(did, kept.log, kept.approvals, now=now)


def ruled(found: History, registry: Registry, /) -> None:
    """Raise Invalid unless the last entry keeps the registry's own rules."""
    rules, document = found.last.rules, found.last.document
    if (rules.witnesses, rules.threshold) != ((registry.witness,), 1):
        raise Invalid("the entry does not name the registry's witness, and nobody else")
    if rules.portable:
        raise Invalid("a DID of this registry stays here: it cannot be portable")
    if rules.watchers:
        raise Invalid("a DID of this registry names no watchers")
    if not rules.deactivated and not (rules.update_keys and rules.next_key_hashes):
        raise Invalid("the entry does not commit to the key of the next one")
    if twin(found.did) not in document.get("alsoKnownAs", ()):
        raise Invalid("the document does not name its did:web, {did}", did=twin(found.did))


def twin(did: str, /) -> str:
    """Return the did:web of the same host and name."""
    _, _, _, rest = did.split(":", 3)
    return f"did:web:{rest}"


# What a company writes


def begun(
    registry: Registry,
    name: str,
    issuer: str,
    signer: keys.Signer,
    next_key: str,
    /,
    *,
    when: datetime,
    site: str = "",
) -> dict[str, Any]:
    """Make the first entry of a DID; `issuer` and `next_key` are multikeys, `signer` the first update key.

    At `site` stand the files of the DID, what its holder publishes above all.
    """
    if name and not NAME.fullmatch(name):
        raise Invalid(
            "a name in the registry is of small letters, digits and dashes: not “{name}”", name=name[:60]
        )
    did = ":".join(("did", "webvh", webvh.PLACEHOLDER, registry.host, *([name] if name else [])))
    document = {
        "@context": [*CONTEXTS],
        "id": did,
        "alsoKnownAs": [twin(did)],
        **_listed(did, [_method(did, issuer)]),
    }
    parameters = {
        "updateKeys": [_multikey(signer)],
        "nextKeyHashes": [webvh.key_hash(next_key)],
        "witness": registry.witnesses,
    }
    if site:
        document = with_site(document, site)
    return webvh.created(document, signer, when=when, parameters=parameters)


def continued(
    before: History,
    signer: keys.Signer,
    next_key: str,
    /,
    *,
    when: datetime,
    document: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Make the next entry, signed by the key that the last committed to, and commit to another."""
    parameters = {"updateKeys": [_multikey(signer)], "nextKeyHashes": [webvh.key_hash(next_key)]}
    return webvh.appended(before, signer, when=after(before, when), parameters=parameters, document=document)


def ended(before: History, signer: keys.Signer, /, *, when: datetime) -> dict[str, Any]:
    """Make the last entry of a DID: given up, and nothing can follow."""
    parameters = {"updateKeys": [_multikey(signer)], "nextKeyHashes": [], "deactivated": True}
    return webvh.appended(before, signer, when=after(before, when), parameters=parameters)


def after(before: History, when: datetime, /) -> datetime:
    """Return the time of the next entry: entries are a second apart at least."""
    return max(when, before.last.time + timedelta(seconds=1))


def _multikey(signer: keys.Signer) -> str:
    return signer.verification_method.partition("#")[2]


def _method(did: str, multikey: str) -> dict[str, Any]:
    return {
        "id": f"{did}#{multikey}",
        "type": "Multikey",
        "controller": did,
        "publicKeyMultibase": multikey,
    }


def _listed(did: str, methods: list[dict[str, Any]]) -> dict[str, Any]:
    names = [method["id"] for method in methods]
    return {"verificationMethod": methods, "authentication": names, "assertionMethod": names}


def rekeyed(
    document: Mapping[str, Any], multikey: str, /, *, when: datetime, leaked_since: datetime | None = None
) -> dict[str, Any]:
    """Return a document in which a new key seals; those before count until a day from now.

    Where the wallet leaked, no key counts from that time on, and those that began later count for nothing.
    """
    did = document["id"]
    methods = deepcopy(list(document["verificationMethod"]))
    for method in methods:
        ends = [moment(method[word]) for word in ("revoked", "expires") if word in method]
        if leaked_since is not None:
            if not ends or min(ends) > leaked_since:
                method["revoked"] = stamp(leaked_since)
        elif not ends:
            method["expires"] = stamp(when + OVERLAP)
    return {**document, **_listed(did, [*methods, _method(did, multikey)])}


def with_service(document: Mapping[str, Any], name: str, kind: str, endpoint: str, /) -> dict[str, Any]:
    """Return a document with a service, added or changed."""
    if not _SERVICE.fullmatch(name) or name in RESERVED:
        raise Invalid("a service cannot be called “{name}”", name=name[:60])
    if not re.fullmatch("[A-Za-z][A-Za-z0-9]{0,59}", kind):
        raise Invalid("“{type}” is no type of service", type=kind[:60])
    return _with(document, name, kind, endpoint)


def with_site(document: Mapping[str, Any], site: str, /) -> dict[str, Any]:
    """Return a document that says at which site its holder's files stand, as did:webvh 1.0 writes it."""
    return _with(document, SITE, "relativeRef", site)


def _with(document: Mapping[str, Any], name: str, kind: str, endpoint: str) -> dict[str, Any]:
    if not _ENDPOINT.fullmatch(endpoint):
        raise Invalid("“{url}” is no web address", url=endpoint[:120])
    id = f"{document['id']}#{name}"
    new = {"id": id, "type": kind, "serviceEndpoint": endpoint}
    others = [one for one in document.get("service", ()) if one["id"] != id]
    if len(others) >= MOST_SERVICES:
        raise Invalid("a DID has {limit} services at most", limit=MOST_SERVICES)
    return {**document, "service": [*others, new]}


def without_service(document: Mapping[str, Any], name: str, /) -> dict[str, Any]:
    """Return a document without one of its services."""
    id = f"{document['id']}#{name}"
    others = [one for one in document.get("service", ()) if one["id"] != id]
    if len(others) == len(document.get("service", ())):
        raise Invalid("there is no service called “{name}”", name=name[:60])
    rest = {key: value for key, value in document.items() if key != "service"}
    return rest | ({"service": others} if others else {})


# What it serves


def web_document(found: History, /) -> str:
    """Return the text of `did.json`, the same DID as did:web."""
    return canonical(webvh.web_document(found)).decode()
