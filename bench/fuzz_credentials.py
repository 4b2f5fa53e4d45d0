"""Changed credentials, tokens, status lists and DID logs: none may verify, none may crash the verifier.

Half the changes are of letters (one cut out, put in, or exchanged, a stretch doubled or moved), half of what
the JSON says (a value put in the place of another, a member taken out or added), now and then signed anew by
a stranger. What still says the same (only blanks, say) is not counted as tried.
Run `python bench/fuzz_credentials.py [--json] [--count N] [--seed N]`.
"""

import argparse
import json
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

if not __package__:  # run as a script: its folder would stand before the room of the same name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from credentials import base64url, integrity, jwt, keys, rdf, sdjwt, seals, status, strict, webvh
from credentials.canonical import canonical
from credentials.keys import LocalSigner, multikey
from credentials.report import Report
from credentials.resolution import KeyResolver
from credentials.vc import credential, presentation
from schemas.claims import CONTEXT
from schemas.errors import Fault

COUNT = 100_000
NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
DAY = timedelta(days=1)
ISSUER, HOLDER, WITNESS, STRANGER = (
    LocalSigner.from_seed(letter * 32) for letter in (b"i", b"h", b"w", b"s")
)
LIST = "https://issuer.example/status/1"
ASKED: dict[str, Any] = {"audience": "did:example:asker", "nonce": "n-1"}
RESOLVER = KeyResolver()
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 2**53, 1e308, "", "\0", "did:key:z6Mk", "none", [], {}, [[]], {"id": None},
    "9999-12-31T23:59:59Z", "https://x.example", {"@context": "x"}, "_sd", "...", "\ud800", "𝕏" * 40,
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """Something that verifies, how it is read from text and looked at."""

    text: str
    look: Callable[[str], bool]
    structured: bool = True


def document(**more: Any) -> dict[str, Any]:
    """Build a credential with its status in a list."""
    subject = {
        "id": "urn:uuid:1",
        "item": "P3F9KQ27MH-5",
        "method": "a",
        "soh_pct": "81.2",
        "findings": ["wet", "x"],
    }
    period = {"valid_from": NOW - DAY, "valid_until": NOW + DAY}
    more |= {"id": "urn:uuid:2", "contexts": [CONTEXT], **period}
    return credential(ISSUER.did, ["DiagnosisResult"], subject, **more)


def kinds() -> dict[str, Kind]:
    """Build one of each, with how it is verified."""
    bits = bytes(status.LEAST // 8)
    payload = status.status_list(
        ISSUER.did, LIST, bits, purpose="revocation", valid_from=NOW - DAY, valid_until=NOW + DAY
    )
    listed = integrity.seal(payload, ISSUER, created=NOW)
    with_status = document(status=[status.entry(LIST, 7, "revocation")])
    sealed = integrity.seal(with_status, ISSUER, created=NOW)
    chain = integrity.seal(
        integrity.seal(document(), ISSUER, created=NOW, id="urn:uuid:p"),
        HOLDER,
        created=NOW,
        previous=["urn:uuid:p"],
    )
    shown = integrity.seal(presentation(HOLDER.did, [sealed]), HOLDER, created=NOW, purpose="authentication")
    hidden: list[sdjwt.Path] = [("credentialSubject", "soh_pct"), ("credentialSubject", "findings", 0)]
    selective = sdjwt.seal(
        with_status, ISSUER, created=NOW, vct="https://x.example/t", hidden=hidden,
        holder=HOLDER.key.public_key().public_bytes_raw(),
    )  # fmt: skip
    presented = sdjwt.present(selective, hidden[:1], holder=HOLDER, now=NOW, **ASKED)
    did, log, approvals = history()

    def found(report: Report) -> bool:
        report.as_json()
        return report.verified

    def value(text: str) -> object:
        try:
            return strict.loads(text)
        except Fault:
            return None

    def statuses(url: str) -> object:
        return listed

    return {
        "eddsa-jcs-2022": Kind(
            json.dumps(sealed),
            lambda text: found(seals.verify(value(text), RESOLVER, now=NOW, statuses=statuses)),
        ),
        "proof chain": Kind(
            json.dumps(chain),
            lambda text: found(integrity.verify(value(text), RESOLVER, now=NOW, cosigners={HOLDER.did})),
        ),
        "presentation": Kind(
            json.dumps(shown),
            lambda text: found(
                integrity.verify(value(text), RESOLVER, now=NOW, purpose="authentication", statuses=statuses)
            ),
        ),
        "eddsa-rdfc-2022": Kind(
            json.dumps(over_rdf()),
            lambda text: found(integrity.verify(value(text), RESOLVER, now=NOW)),
            False,
        ),
        "status list": Kind(
            json.dumps(listed),
            lambda text: found(seals.verify(sealed, RESOLVER, now=NOW, statuses=lambda url: value(text))),
        ),
        "vc+jwt": Kind(
            jwt.seal(with_status, ISSUER, created=NOW),
            lambda text: found(seals.verify(text, RESOLVER, now=NOW, statuses=statuses)),
        ),
        "dc+sd-jwt": Kind(
            presented, lambda text: found(sdjwt.verify(text, RESOLVER, now=NOW, statuses=statuses, **ASKED))
        ),
        "did:webvh": Kind(log, lambda text: found(webvh.verify(did, text, approvals, now=NOW))),
    }


def over_rdf() -> dict[str, Any]:
    """Seal over RDF, which only others do."""
    payload = document()
    config = {
        "type": "DataIntegrityProof", "cryptosuite": integrity.RDF_SUITE, "created": "2026-04-01T09:30:00Z",
        "verificationMethod": ISSUER.verification_method, "proofPurpose": "assertionMethod",
    }  # fmt: skip
    parts = (config | {"@context": payload["@context"]}, payload)
    data = b"".join(sha256(rdf.canonical_quads(part, rdf.published())).digest() for part in parts)
    return payload | {"proof": config | {"proofValue": keys.multibase(ISSUER.sign(data))}}


def history() -> tuple[str, str, str]:
    """Write a log of two entries with pre-rotation and a witness."""

    def public(signer: LocalSigner) -> str:
        return multikey(signer.key.public_key().public_bytes_raw())

    first = webvh.created(
        {"id": "did:webvh:{SCID}:issuer.example"},
        ISSUER,
        when=NOW - DAY,
        parameters={
            "updateKeys": [public(ISSUER)],
            "nextKeyHashes": [webvh.key_hash(public(HOLDER))],
            "witness": {"threshold": 1, "witnesses": [{"id": WITNESS.did}]},
        },
    )
    did = str(first["state"]["id"])
    so_far = webvh.History(did, (webvh.Version(1, first["versionId"], NOW, first["state"], webvh.Rules()),))
    second = webvh.appended(
        so_far, HOLDER, when=NOW, parameters={"updateKeys": [public(HOLDER)], "nextKeyHashes": []}
    )
    content = {"versionId": second["versionId"]}
    approvals = [content | {"proof": [webvh.approval(content, WITNESS, when=NOW)]}]
    return did, webvh.line(first) + webvh.line(second), json.dumps(approvals)


def scribbled(text: str, chance: Random) -> str:
    """Change some letters."""
    at, other = chance.randrange(len(text)), chance.randrange(len(text))
    length = chance.choice((1, 1, 1, 2, 8, 64))
    match chance.randrange(5):
        case 0:
            return text[:at] + text[at + length :]
        case 1:
            return text[:at] + chance.choice('{}[]",:~.-_=A0z \n\0é') * length + text[at:]
        case 2:
            return text[:at] + chance.choice('ABCabc012{}"[]~.') + text[at + 1 :]
        case 3:
            return text[:at] + text[other : other + length] + text[at:]
        case _:
            return (
                text[:at]
                + text[at + length : at + 2 * length]
                + text[at : at + length]
                + text[at + 2 * length :]
            )


def reworded(value: Any, chance: Random) -> Any:
    """Change something in a JSON value, at a place drawn at random."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        name = chance.choice([*value])
        rest = {key: item for key, item in value.items() if key != name}
        match chance.randrange(8):
            case 0:
                return rest
            case 1:
                return value | {
                    chance.choice(("added", "proof", "exp", "crit", "_sd", "id", name * 2)): chance.choice(
                        ODD
                    )
                }
            case _:
                return value | {name: reworded(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        at = chance.randrange(len(value))
        match chance.randrange(6):
            case 0:
                return value[:at] + value[at + 1 :]
            case 1:
                return [*value, chance.choice([*value, *ODD])]
            case _:
                return [*value[:at], reworded(value[at], chance), *value[at + 1 :]]
    return chance.choice(ODD)


def restated(text: str, chance: Random) -> str:
    """Change what a document, token or log says, leaving it well written."""
    if text.startswith("{") and "\n" not in text:
        return json.dumps(reworded(json.loads(text), chance))
    if text.startswith("{"):
        lines = text.splitlines()
        at = chance.randrange(len(lines))
        lines[at] = json.dumps(reworded(json.loads(lines[at]), chance))
        return "\n".join(lines) + "\n"
    parts = text.split("~")
    at = chance.randrange(len(parts))
    if "." not in parts[at]:
        inner = reworded(json.loads(base64url.decode(parts[at])), chance) if parts[at] else []
        parts[at] = base64url.encode(json.dumps(inner).encode())
        return "~".join(parts)
    header, payload, signature = parts[at].split(".")
    pieces = [json.loads(base64url.decode(piece)) for piece in (header, payload)]
    which = chance.randrange(2)
    pieces[which] = reworded(pieces[which], chance)
    said = ".".join(base64url.encode(json.dumps(piece).encode()) for piece in pieces)
    if chance.random() < 0.3:
        signature = base64url.encode(STRANGER.sign(said.encode()))
    parts[at] = f"{said}.{signature}"
    return "~".join(parts)


def says_the_same(one: str, other: str) -> bool:
    """Say whether two texts hold the same JSON: one document, or a log line by line."""
    if one == other or not one.startswith("{"):
        return one == other
    lines = one.count("\n")
    try:
        return [canonical(strict.loads(part)) for part in split(one, lines)] == [
            canonical(strict.loads(part)) for part in split(other, lines)
        ]
    except Fault:
        return False


def split(text: str, lines: int) -> list[str]:
    """Return the lines of a log, or a document as a whole."""
    return text.removesuffix("\n").split("\n") if lines else [text]


def figures(count: int, seed: int) -> dict[str, Any]:
    """Change and verify `count` times, and count what should not be."""
    chance = Random(seed)
    all_kinds = kinds()
    names = [*all_kinds]
    found: Counter[str] = Counter()
    each: Counter[str] = Counter()
    for name, kind in all_kinds.items():
        assert kind.look(kind.text), name
    start = time.perf_counter()
    while found["tried"] < count:
        name = names[found["tried"] % len(names)]
        kind = all_kinds[name]
        structured = kind.structured and chance.random() < 0.5
        changed = restated(kind.text, chance) if structured else scribbled(kind.text, chance)
        if says_the_same(kind.text, changed):
            continue
        found["tried"] += 1
        each[name] += 1
        try:
            verified = kind.look(changed)
        except Exception:
            traceback.print_exc()
            print(f"CRASHED {name}: {changed[:2000]!r}", file=sys.stderr)
            found["crashed"] += 1
            continue
        if verified:
            print(f"VERIFIED {name}: {changed!r}", file=sys.stderr)
            found["verified"] += 1
    seconds = time.perf_counter() - start
    return {
        "tried": found["tried"],
        "verified": found["verified"],
        "crashed": found["crashed"],
        "seed": seed,
        "seconds": round(seconds, 1),
        "kinds": dict(each),
    }


def main() -> None:
    """Print what was found as a table, or as one JSON object; fail where anything was."""
    parser = argparse.ArgumentParser(description="Changed credentials, tokens and DID logs.")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--seed", type=int, default=20260401)
    chosen = parser.parse_args()
    found = figures(chosen.count, chosen.seed)
    if chosen.json:
        print(json.dumps(found))
    else:
        print(f"{found['tried']:,} tried in {found['seconds']:.0f} s, seed {found['seed']}")
        print(f"{found['verified']} verified, {found['crashed']} crashed\n")
        for name, count in found["kinds"].items():
            print(f"{name:20}{count:>10,}")
    if found["verified"] or found["crashed"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
