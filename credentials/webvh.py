"""did:webvh 1.0: a DID whose whole history is a signed log that anyone can check; and did:web beside it.

Each entry of the log holds a DID document, follows from the one before by its hash, and is signed by a key
that the one before allowed, or (pre-rotation) had committed to by hash. Witnesses, if named, must have
approved. Reading is written here and not left to the `did-webvh` package (1.0.1), with which the tests
compare: that counts a witness named twice as two, takes other suites than the specification and keeps the
last of two members with one name; and it needs an event loop and the wallet's library where this is pure.

Stricter than the specification in this: no nulls for parameters, the last entry must be of the DID that was
asked for, a proof of an entry cannot expire, and the name of the host is written in ASCII.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote, unquote

from credentials import base58, keys, strict
from credentials.canonical import canonical
from credentials.form import SKEW
from credentials.moments import moment, stamp, zoned
from credentials.report import Findings, Report
from credentials.resolution import DidDocument, did_document
from schemas.errors import Fault, Invalid, Unknown

METHOD = "did:webvh:1.0"
PLACEHOLDER = "{SCID}"
MAX_CHARACTERS = 16 << 20
MAX_ENTRIES = 10_000
MAX_PROOFS = 8

_MULTIHASH = b"\x12\x20"  # sha2-256, 32 bytes
_SCID = re.compile("Qm[1-9A-HJ-NP-Za-km-z]{44}")
_LABEL = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile("0x[0-9a-f]*|[0-9]+")
_PORT = re.compile("[1-9][0-9]{0,4}")
_WITNESS = re.compile("did:key:(z6Mk[1-9A-HJ-NP-Za-km-z]{44})")
_PARTS = frozenset({"versionId", "versionTime", "parameters", "state", "proof"})
_LONGEST_TTL = 1 << 31

type Fetch = Callable[[str], bytes]
"""The port to the web: returns what stands at an https URL, or raises a Fault."""

WORDS = {
    "log": "The log of the DID can be read.",
    "entry.form": "Entry {entry} has all its parts and no others.",
    "entry.hash": "Entry {entry} follows from what was before; nothing was changed.",
    "entry.time": "Entry {entry} was made after the one before.",
    "entry.rules": "Entry {entry} sets what may be set, to keys that were committed to.",
    "entry.state": "Entry {entry} is of this DID.",
    "entry.proof": "Entry {entry} is signed by a key that was allowed to.",
    "entry.witnesses": "Entry {entry} was approved by enough witnesses.",
    "log.did": "The log is of the DID that was asked for.",
}
"""What each check says when it passes."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for the entries of a log: the parameters in force after an entry."""

    scid: str = ""
    update_keys: tuple[str, ...] = ()
    next_key_hashes: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()
    threshold: int = 0
    watchers: tuple[str, ...] = ()
    portable: bool = False
    deactivated: bool = False
    ttl: int = 3600


@dataclass(frozen=True, slots=True)
class Version:
    """One checked entry: the DID document of its time, and the rules from then on."""

    number: int
    id: str
    time: datetime
    document: Mapping[str, Any]
    rules: Rules
    approvers: tuple[str, ...] = ()
    """The witnesses of whom enough had to approve this entry."""
    needed: int = 0


@dataclass(frozen=True, slots=True)
class History:
    """A log that was checked from its first entry to its last."""

    did: str
    versions: tuple[Version, ...]

    @property
    def last(self) -> Version:
        """The version in force."""
        return self.versions[-1]

    def at(self, when: datetime, /) -> Version:
        """Return the version that was in force at a time."""
        zoned(when)
        held = [version for version in self.versions if version.time <= when]
        if not held:
            raise Invalid("{did} did not exist yet on {when}.", did=self.did, when=when.isoformat())
        return held[-1]


# Where it stands


@dataclass(frozen=True, slots=True)
class Place:
    """What a did:webvh says in its name: the hash of its first entry, and where its log is published."""

    scid: str
    host: str
    path: tuple[str, ...]

    @property
    def folder(self) -> str:
        """The https URL of the folder in which its files are."""
        return "/".join((f"https://{self.host}", *(self.path or (".well-known",)), ""))

    @property
    def log(self) -> str:
        """The https URL of its log."""
        return self.folder + "did.jsonl"

    @property
    def witnesses(self) -> str:
        """The https URL of its witnesses' approvals."""
        return self.folder + "did-witness.json"


def place(did: str, /) -> Place:
    """Read a did:webvh, or raise Invalid where it is none or leads anywhere but to a named host."""
    parts = did.split(":")
    if parts[:2] != ["did", "webvh"] or len(parts) < 4 or not _SCID.fullmatch(parts[2]):  # noqa: PLR2004
        raise Invalid("{did} is not a did:webvh.", did=ascii(did[:120]))
    return Place(parts[2], _host(parts[3]), tuple(_segment(part) for part in parts[4:]))


def _host(text: str) -> str:
    name, colon, port = _decoded(text).lower().partition(":")
    labels = name.split(".")
    if colon and not (_PORT.fullmatch(port) and int(port) < 1 << 16):
        raise Invalid("{host} is not the name of a host.", host=ascii(text[:120]))
    if (
        len(labels) < 2  # noqa: PLR2004 - a name without dot is local to whoever asks
        or _NUMBER.fullmatch(labels[-1])  # an IP address
        or not all(_LABEL.fullmatch(label) for label in labels)
    ):
        raise Invalid("{host} is not the name of a host.", host=ascii(text[:120]))
    return name + colon + port


def _segment(text: str) -> str:
    part = _decoded(text)
    if part in {"", ".", ".."} or set(part) & set("/\\\0") or part != part.strip():
        raise Invalid("{part} is not part of a path.", part=ascii(text[:120]))
    return quote(part, safe="-._~!$&'()*+,;=@")


def _decoded(text: str) -> str:
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise Invalid("{part} is not part of a path.", part=ascii(text[:120]))
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Invalid("{part} is not part of a path.", part=ascii(text[:120])) from None


# Checking a log


def subject(text: bytes, /) -> str | None:
    """Return the DID that a log is of by its last entry, unchecked; nothing where the text is no log."""
    if len(text) > MAX_CHARACTERS:
        return None
    try:
        first, last = (
            strict.loads(line) for line in (text.split(b"\n", 1)[0], text.strip().rsplit(b"\n")[-1])
        )
    except Invalid:
        return None
    match first, last:
        case {"versionId": _}, {"state": {"id": str(did)}}:
            return did
    return None


def verify(did: str, log: str | bytes, witnesses: str | bytes | None, /, *, now: datetime) -> Report:
    """Report on the log of a DID and its witnesses' approvals; `document` is the DID document in force."""
    return _examined(did, log, lambda: witnesses, now)[0]


def history(did: str, log: str | bytes, witnesses: str | bytes | None, /, *, now: datetime) -> History:
    """Return the checked history of a DID, or raise Invalid with the first reason against it."""
    return _proven(*_examined(did, log, lambda: witnesses, now))


def _proven(report: Report, found: History) -> History:
    if not report.verified:
        check = report.refusals[0]
        raise Invalid(check.words, **check.evidence)
    return found


def _examined(
    did: str, log: str | bytes, witnesses: Callable[[], str | bytes | None], now: datetime
) -> tuple[Report, History]:
    zoned(now)
    found = Findings(WORDS)
    found.author = did
    versions: list[Version] = []
    for number, entry in enumerate(found.ask("log", _entries, log) or [], 1):
        found.about = {"entry": str(number)}
        version = _version(found, entry, versions, now)
        if version is None:
            return found.report(), History(did, tuple(versions))
        versions.append(version)
    if not versions:
        return found.report(), History(did, ())
    approvals: Mapping[str, int] = {}
    wanted = {name for version in versions for name in version.approvers}
    if wanted:
        approvals = _approvals(witnesses(), {version.id: version.number for version in versions}, wanted)
    for version in versions:
        found.about = {"entry": str(version.number)}
        if version.approvers:
            found.ask("entry.witnesses", _witnessed, version, approvals)
    found.about = {}
    found.document = versions[-1].document
    found.ask("log.did", _same_did, did, versions)
    return found.report(), History(did, tuple(versions))


def _entries(log: str | bytes) -> list[dict[str, Any]]:
    if len(log) > MAX_CHARACTERS:
        raise Invalid("The log is larger than {limit} bytes.", limit=MAX_CHARACTERS)
    try:
        text = log.decode() if isinstance(log, bytes) else log
    except UnicodeDecodeError:
        raise Invalid("The text is not UTF-8.") from None
    lines = text.removesuffix("\n").split("\n")
    if len(lines) > MAX_ENTRIES:
        raise Invalid("The log has more than {limit} entries.", limit=MAX_ENTRIES)
    entries = [strict.loads(line) for line in lines]
    if not all(isinstance(entry, dict) for entry in entries):
        raise Invalid("An entry of the log is not a JSON object.")
    return entries


def _version(found: Findings, entry: dict[str, Any], before: list[Version], now: datetime) -> Version | None:
    """Check one entry against those before, and stop at the first thing wrong with it."""
    last = before[-1] if before else None
    try:
        name = "entry.form"
        _formed(entry)
        found.hold(name)
        name = "entry.rules"
        rules = _rules(entry["parameters"], last)
        found.hold(name)
        name = "entry.hash"
        _hashed(entry, last, rules.scid)
        found.hold(name)
        name = "entry.time"
        time = _time(entry["versionTime"], last, now)
        found.hold(name)
        name = "entry.state"
        _state(entry["state"], last, rules)
        found.hold(name)
        name = "entry.proof"
        _signed(entry, _allowed(last, rules))
        found.hold(name)
    except Fault as reason:
        found.refuse(name, reason)
        return None
    approvers = rules if last is None or not last.rules.witnesses else last.rules
    return Version(
        len(before) + 1,
        entry["versionId"],
        time,
        entry["state"],
        rules,
        approvers.witnesses,
        approvers.threshold,
    )


def _formed(entry: dict[str, Any]) -> None:
    if set(entry) != _PARTS:
        raise Invalid("The entry lacks a part, or has one too many.")
    if not isinstance(entry["parameters"], dict) or not isinstance(entry["state"], dict):
        raise Invalid("The entry lacks a part, or has one too many.")
    proofs = entry["proof"]
    if not isinstance(proofs, list) or not 0 < len(proofs) <= MAX_PROOFS:
        raise Invalid("The entry has no proof, or more than {limit}.", limit=MAX_PROOFS)
    if not all(isinstance(proof, dict) for proof in proofs):
        raise Invalid("The entry has no proof, or more than {limit}.", limit=MAX_PROOFS)
    seals = [proof["proofValue"] for proof in proofs if isinstance(proof.get("proofValue"), str)]
    if len(set(seals)) != len(seals):
        raise Invalid("It carries one proof twice.")


def _hashed(entry: dict[str, Any], last: Version | None, scid: str) -> None:
    content = {name: value for name, value in entry.items() if name != "proof"}
    number = 1 if last is None else last.number + 1
    if last is None:
        text = canonical(content | {"versionId": PLACEHOLDER}).decode()
        if text.count(PLACEHOLDER) != 1 or scid not in text:
            raise Invalid("The first entry does not carry its own hash as it should.")
        if _hash(canonical(strict.loads(text.replace(scid, PLACEHOLDER)))) != scid:
            raise Invalid("The DID is not made from this first entry.")
    before = scid if last is None else last.id
    if entry["versionId"] != f"{number}-{_hash(canonical(content | {'versionId': before}))}":
        raise Invalid("The entry does not follow from the one before: something was changed.")


def _time(text: object, last: Version | None, now: datetime) -> datetime:
    time = moment(text)
    if time.utcoffset() != timedelta():
        raise Invalid("The entry gives its time in another zone than UTC.")
    if last is not None and time <= last.time:
        raise Invalid("The entry is not later than the one before.")
    if time > now + SKEW:
        raise Invalid("The entry was made in the future, on {time}.", time=time.isoformat())
    return time


def _rules(parameters: dict[str, Any], last: Version | None) -> Rules:
    rules = Rules() if last is None else last.rules
    if rules.deactivated:
        raise Invalid("The DID was given up; nothing can follow.")
    for name, value in parameters.items():
        if name not in _READERS:
            raise Invalid("The entry sets a parameter unknown here ({name}).", name=name)
        rules = replace(rules, **_READERS[name](value))
    if last is None:
        for name in ("method", "scid", "updateKeys"):
            if name not in parameters:
                raise Invalid("The first entry does not set {name}.", name=name)
    else:
        if "scid" in parameters:
            raise Invalid("Only the first entry may set {name}.", name="scid")
        if parameters.get("portable"):
            raise Invalid("Only the first entry may set {name}.", name="portable")
        _committed(parameters, last.rules)
    return rules


def _committed(parameters: dict[str, Any], before: Rules) -> None:
    if not before.next_key_hashes:
        return
    for name in ("updateKeys", "nextKeyHashes"):
        if name not in parameters:
            raise Invalid("The entry must set {name}, since the one before committed to its keys.", name=name)
    for key in parameters["updateKeys"]:
        if key_hash(key) not in before.next_key_hashes:
            raise Invalid("The entry before did not commit to the key {key}.", key=key)


def _read_method(value: object) -> dict[str, Any]:
    if value != METHOD:
        raise Invalid("The log follows rules unknown here ({method}).", method=value)
    return {}


def _read_scid(value: object) -> dict[str, Any]:
    if not isinstance(value, str) or not _SCID.fullmatch(value):
        raise Invalid("The entry sets {name} to what it cannot be.", name="scid")
    return {"scid": value}


def _read_keys(value: object) -> dict[str, Any]:
    texts = _texts("updateKeys", value)
    for text in texts:
        keys.public_key(text)
    return {"update_keys": texts}


def _read_witness(value: object) -> dict[str, Any]:
    if value == {}:
        return {"witnesses": (), "threshold": 0}
    match value:
        case {"threshold": int(threshold), "witnesses": [_, *_] as named, **more} if not more:
            names = tuple(
                one["id"] if isinstance(one, dict) and set(one) == {"id"} else None for one in named
            )
        case _:
            raise Invalid("The entry sets {name} to what it cannot be.", name="witness")
    for name in names:
        if not isinstance(name, str) or not (key := _WITNESS.fullmatch(name)):
            raise Invalid("A witness is named by something else than its did:key.")
        keys.public_key(key[1])
    if len(set(names)) != len(names):
        raise Invalid("A witness is named twice.")
    if isinstance(threshold, bool) or not 1 <= threshold <= len(names):
        raise Invalid(
            "{threshold} of {count} witnesses cannot approve.", threshold=threshold, count=len(names)
        )
    return {"witnesses": names, "threshold": threshold}


def _read_ttl(value: object) -> dict[str, Any]:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LONGEST_TTL:
        raise Invalid("The entry sets {name} to what it cannot be.", name="ttl")
    return {"ttl": value}


def _read_flag(name: str) -> Callable[[object], dict[str, Any]]:
    def read(value: object) -> dict[str, Any]:
        if not isinstance(value, bool):
            raise Invalid("The entry sets {name} to what it cannot be.", name=name)
        return {name: value}

    return read


_READERS: Mapping[str, Callable[[object], dict[str, Any]]] = {
    "method": _read_method,
    "scid": _read_scid,
    "updateKeys": _read_keys,
    "nextKeyHashes": lambda value: {"next_key_hashes": _texts("nextKeyHashes", value)},
    "witness": _read_witness,
    "watchers": lambda value: {"watchers": _texts("watchers", value)},
    "portable": _read_flag("portable"),
    "deactivated": _read_flag("deactivated"),
    "ttl": _read_ttl,
}


def _texts(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Invalid("The entry sets {name} to what it cannot be.", name=name)
    return tuple(value)


def _state(document: dict[str, Any], last: Version | None, rules: Rules) -> None:
    did = document.get("id")
    if not isinstance(did, str) or place(did).scid != rules.scid:
        raise Invalid("The entry is of another DID.")
    if last is not None and did != last.document["id"]:
        known = document.get("alsoKnownAs")
        if not rules.portable:
            raise Invalid("The DID has moved, which it may not.")
        if not isinstance(known, list) or last.document["id"] not in known:
            raise Invalid("The DID has moved and does not name where it was.")
    did_document(document)


def _allowed(last: Version | None, rules: Rules) -> tuple[str, ...]:
    """Return whose signature an entry needs: pre-rotation has committed to the keys of the entry itself."""
    return rules.update_keys if last is None or last.rules.next_key_hashes else last.rules.update_keys


def _signed(entry: dict[str, Any], allowed: Collection[str]) -> None:
    content = {name: value for name, value in entry.items() if name != "proof"}
    for proof in entry["proof"]:
        key = _approval(content, proof)
        if key not in allowed:
            raise Invalid("The key {key} was not allowed to sign the entry.", key=key)


def _approval(content: dict[str, Any], proof: Any) -> str:
    """Return the multikey that has signed a content, or raise Invalid."""
    if not isinstance(proof, dict):
        raise Invalid("Its proof is neither an object nor a list of objects.")
    if proof.get("type") != "DataIntegrityProof":
        raise Invalid("Its proof is of the unknown type {type}.", type=proof.get("type"))
    if proof.get("cryptosuite") != "eddsa-jcs-2022":
        raise Invalid("Its proof uses the unknown suite {suite}.", suite=proof.get("cryptosuite"))
    if proof.get("proofPurpose") != "assertionMethod":
        raise Invalid(
            "Its proof was made for {found}, not for {purpose}.",
            found=proof.get("proofPurpose"),
            purpose="assertionMethod",
        )
    if "expires" in proof:
        raise Invalid("The proof of an entry cannot expire.")
    if "created" in proof:
        moment(proof["created"])
    method, seal = proof.get("verificationMethod"), proof.get("proofValue")
    if not isinstance(method, str) or not isinstance(seal, str):
        raise Invalid("Its proof does not name the key that made it.")
    key = method.removeprefix("did:key:").split("#")[0]
    if method != f"did:key:{key}#{key}":
        raise Invalid("Its proof does not name the key that made it.")
    config = {name: value for name, value in proof.items() if name != "proofValue"}
    data = sha256(canonical(config)).digest() + sha256(canonical(content)).digest()
    if not keys.signed_by(keys.public_key(key), data, keys.signature(seal)):
        raise Invalid("The signature is wrong: something was changed, or another key made it.")
    return key


def _approvals(
    text: str | bytes | None, versions: Mapping[str, int], wanted: Collection[str]
) -> Mapping[str, int]:
    """Return up to which version each witness wanted has approved; what is not right is passed over."""
    found: dict[str, int] = {}
    try:
        entries = strict.loads(text or "[]", limit=MAX_CHARACTERS)
    except Invalid:
        return found
    for entry in entries if isinstance(entries, list) else ():
        name = entry.get("versionId") if isinstance(entry, dict) else None
        if not isinstance(name, str) or name not in versions:
            continue
        proofs = entry.get("proof")
        for proof in proofs if isinstance(proofs, list) else [proofs]:
            method = proof.get("verificationMethod") if isinstance(proof, dict) else None
            if str(method).split("#")[0] not in wanted:
                continue  # before any signature is checked: anyone can add any number of these
            try:
                witness = "did:key:" + _approval({"versionId": name}, proof)
            except Invalid:
                continue
            found[witness] = max(found.get(witness, 0), versions[name])
    return found


def _witnessed(version: Version, approvals: Mapping[str, int]) -> None:
    approved = [name for name in version.approvers if approvals.get(name, 0) >= version.number]
    if len(approved) < version.needed:
        raise Invalid(
            "{count} of the {needed} witnesses needed have approved.",
            count=len(approved),
            needed=version.needed,
        )


def _same_did(did: str, versions: Sequence[Version]) -> None:
    if versions[-1].document["id"] != did:
        raise Invalid("The log is of {found}, not of {did}.", found=versions[-1].document["id"], did=did)


# Resolving


@dataclass(frozen=True, slots=True)
class WebvhResolver:
    """Resolves did:webvh: fetches the log and the approvals, and believes neither before checking."""

    fetch: Fetch
    clock: Callable[[], datetime]

    def history(self, did: str, /) -> History:
        """Return the checked history of a DID, or raise a Fault."""
        where = place(did)

        def witnesses() -> bytes | None:
            try:
                return self.fetch(where.witnesses)
            except Unknown:
                return None

        return _proven(*_examined(did, self.fetch(where.log), witnesses, self.clock()))

    def resolve(self, did: str, /) -> DidDocument:
        """Return the document of a DID as it is now."""
        last = self.history(did).last
        return replace(did_document(last.document), deactivated=last.rules.deactivated)


@dataclass(frozen=True, slots=True)
class WebResolver:
    """Resolves did:web: believes what the host says, for there is nothing to check."""

    fetch: Fetch

    def resolve(self, did: str, /) -> DidDocument:
        """Return the document that stands where the DID says."""
        parts = did.split(":")
        if parts[:2] != ["did", "web"] or len(parts) < 3:  # noqa: PLR2004
            raise Invalid("{did} is not a did:web.", did=ascii(did[:120]))
        where = Place("", _host(parts[2]), tuple(_segment(part) for part in parts[3:]))
        found = did_document(strict.loads(self.fetch(where.folder + "did.json")))
        if found.id != did:
            raise Invalid("The log is of {found}, not of {did}.", found=found.id, did=did)
        return found


# Writing a log


def created(
    document: Mapping[str, Any],
    signer: keys.Signer,
    /,
    *,
    when: datetime,
    parameters: Mapping[str, Any],
) -> dict[str, Any]:
    """Make the first entry; the document and the parameters hold `{SCID}` where the DID's hash will stand."""
    preliminary = {
        "versionId": PLACEHOLDER,
        "versionTime": stamp(when),
        "parameters": {"method": METHOD, "scid": PLACEHOLDER, **parameters},
        "state": dict(document),
    }
    text = canonical(preliminary).decode()
    scid = _hash(text.encode())
    return _sealed(strict.loads(text.replace(PLACEHOLDER, scid)), 1, scid, signer, when)


def appended(
    before: History,
    signer: keys.Signer,
    /,
    *,
    when: datetime,
    parameters: Mapping[str, Any],
    document: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Make the next entry, which sets `parameters` and, if given, another DID document."""
    last = before.last
    entry = {
        "versionId": last.id,
        "versionTime": stamp(when),
        "parameters": dict(parameters),
        "state": dict(last.document if document is None else document),
    }
    return _sealed(entry, last.number + 1, last.id, signer, when)


def _sealed(
    content: dict[str, Any], number: int, before: str, signer: keys.Signer, when: datetime
) -> dict[str, Any]:
    entry = content | {"versionId": before}
    entry["versionId"] = f"{number}-{_hash(canonical(entry))}"
    return entry | {"proof": [approval(entry, signer, when=when)]}


def approval(content: Mapping[str, Any], signer: keys.Signer, /, *, when: datetime) -> dict[str, Any]:
    """Sign an entry, or as a witness `{"versionId": …}`, with the key of a did:key."""
    config = {
        "type": "DataIntegrityProof",
        "cryptosuite": "eddsa-jcs-2022",
        "verificationMethod": signer.verification_method,
        "created": stamp(when),
        "proofPurpose": "assertionMethod",
    }
    data = sha256(canonical(config)).digest() + sha256(canonical(content)).digest()
    return config | {"proofValue": keys.multibase(signer.sign(data))}


def line(entry: Mapping[str, Any], /) -> str:
    """Write an entry as a line of the log."""
    return canonical(entry).decode() + "\n"


def key_hash(multikey: str, /) -> str:
    """Return the hash by which an entry commits to a key of the next (`nextKeyHashes`)."""
    return _hash(multikey.encode())


def web_document(found: History, /) -> dict[str, Any]:
    """Return the DID document in force as that of the did:web with the same host and path."""
    last = found.last
    text = canonical(last.document).decode().replace(f"did:webvh:{last.rules.scid}:", "did:web:")
    document: dict[str, Any] = strict.loads(text)
    names = [name for name in document.get("alsoKnownAs", []) if name != document["id"]]
    return document | {"alsoKnownAs": list(dict.fromkeys([*names, found.did]))}


def _hash(data: bytes) -> str:
    return base58.encode(_MULTIHASH + sha256(data).digest())
