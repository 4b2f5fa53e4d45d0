"""The check in the reader's browser says what our own check says: run by Node, where there is one."""

import json
import shutil
import subprocess
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from credentials import status, webvh
from credentials.canonical import canonical
from credentials.integrity import seal, verify
from credentials.keys import LocalSigner
from credentials.resolution import DidDocument, KeyResolver, did_document
from credentials.vc import credential

SCRIPT = Path(__file__).parents[3] / "agents/web/static/verify.js"
VECTORS = Path(__file__).parents[4] / "shared/reference/vc-di-eddsa/eddsa-jcs-2022"
NODE = shutil.which("node")
NOW = datetime(2026, 4, 1, tzinfo=UTC)
SIGNER = LocalSigner.from_seed(b"\x05" * 32)

pytestmark = pytest.mark.skipif(NODE is None, reason="no Node: the browser's check is not run")

RUN = """
import { readFileSync } from "node:fs";
const { examine, parse, canonical } = await import(process.argv[1]);
const cases = JSON.parse(readFileSync(0, "utf8"));
const out = [];
for (const one of cases) {
  if (one.canonical !== undefined) {
    try { out.push(canonical(parse(one.canonical))); } catch { out.push(null); }
    continue;
  }
  const site = {
    log: async () => { if (one.log === undefined) throw new Error("none"); return one.log; },
    list: async () => one.list,
  };
  out.push(await examine(one.text, site, one.now));
}
console.log(JSON.stringify(out));
"""


def run(*cases: dict[str, Any]) -> list[Any]:
    """Have Node go through some cases with the page's own script."""
    at = {"now": NOW.timestamp() * 1000}
    done = subprocess.run(
        [str(NODE), "--experimental-default-type=module", "--input-type=module", "-e", RUN, SCRIPT.as_uri()],
        input=json.dumps([at | case for case in cases]),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: list[Any] = json.loads(done.stdout)
    return found


def states(found: list[dict[str, str]]) -> dict[str, str]:
    return {one["check"]: one["state"] for one in found}


def sealed(**more: Any) -> dict[str, Any]:
    payload = credential(
        SIGNER.did, ("ItemIdentity",), {"id": "urn:x:1", "model": "リーフ \U00020bb7", "soh": 0.1},
        id="urn:uuid:00000000-0000-4000-8000-000000000001", valid_from=NOW - timedelta(days=1), **more,
    )  # fmt: skip
    return seal(payload, SIGNER, created=NOW - timedelta(hours=1))


def test_the_script_is_small_and_asks_nobody_else() -> None:
    text = SCRIPT.read_text("utf-8")
    assert len(text.encode()) < 20_000
    assert "http" not in text.replace("https://www.w3.org/ns/credentials/v2", "")
    assert not {"eval(", "innerHTML", "Function("} & set(text.split())


def test_what_is_sealed_right_verifies() -> None:
    (found,) = run({"text": json.dumps(sealed(), ensure_ascii=False)})
    assert states(found) == dict.fromkeys(("readable", "form", "period", "signature"), "held")


def tampered() -> dict[str, str]:
    """Return documents that are wrong, each in its way."""
    good = sealed()

    def change(*path: Any, to: Any) -> str:
        document = deepcopy(good)
        place = document
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = to
        return json.dumps(document)

    other = LocalSigner.from_seed(b"\x06" * 32)
    theirs = seal({name: value for name, value in good.items() if name != "proof"}, other, created=NOW)
    text = json.dumps(good)
    return {
        "a figure": change("credentialSubject", "soh", to=0.2),
        "a word more": change("credentialSubject", "more", to="x"),
        "another issuer": change("issuer", to=other.did),
        "another key": change("proof", "verificationMethod", to=other.verification_method),
        "another purpose": change("proof", "proofPurpose", to="authentication"),
        "another suite": change("proof", "cryptosuite", to="eddsa-rdfc-2022"),
        "another context": change("proof", "@context", to=["https://x.example"]),
        "no proof": change("proof", to=[]),
        "a proof that is none": change("proof", to="x"),
        "a proof twice": change("proof", to=[good["proof"], good["proof"]]),
        "another signature": change("proof", "proofValue", to=theirs["proof"]["proofValue"]),
        "expired": json.dumps(seal(_payload(valid_until=NOW - timedelta(days=1)), SIGNER, created=NOW)),
        "not yet valid": json.dumps(seal(_payload(valid_from=NOW + timedelta(days=1)), SIGNER, created=NOW)),
        "from the future": json.dumps(seal(_payload(), SIGNER, created=NOW + timedelta(days=1))),
        "a name twice": text[:-1] + ', "type": ["VerifiableCredential"]}',
        "no number": text[:-1] + ', "x": NaN}',
        "a long number": text[:-1] + ', "x": 12345678901234567890}',
        "half a character": text[:-1] + ', "x": "\\ud800"}',
        "nested too deep": text[:-1] + ', "x": ' + "[" * 100 + "]" * 100 + "}",
        "more behind": text + "x",
        "no object": "[]",
        "nothing": "",
        "a challenge nobody set": json.dumps(seal(_payload(), SIGNER, created=NOW, challenge="x")),
    }


def _payload(**more: Any) -> dict[str, Any]:
    fields = {"valid_from": NOW - timedelta(days=2)} | more
    return credential(SIGNER.did, ("X",), {"id": "urn:x:1", "a": 1}, id="urn:x:2", **fields)


def test_what_is_wrong_does_not_verify_here_nor_there() -> None:
    cases = tampered()
    for how, found in zip(cases, run(*({"text": text} for text in cases.values())), strict=True):
        assert "failed" in states(found).values(), how
    for how in ("a figure", "another issuer", "another key", "expired", "from the future"):
        assert not verify(json.loads(cases[how]), KeyResolver(), now=NOW).verified, how


def test_proofs_that_build_on_others_are_checked_with_them() -> None:
    first = seal(_payload(), SIGNER, created=NOW, id="urn:proof:1")
    chain = seal(first, SIGNER, created=NOW, previous=["urn:proof:1"])
    broken = deepcopy(chain)
    broken["proof"] = [broken["proof"][1]]
    right, wrong = run({"text": json.dumps(chain)}, {"text": json.dumps(broken)})
    assert states(right)["signature"] == "held"
    assert states(wrong)["signature"] == "failed"


VALUES = [
    '{"\\u20ac": 1, "\\r": 2, "\\ufb33": 3, "1": 4, "\\ud83d\\ude00": 5, "\\u0080": 6, "\\u00f6": 7}',
    "[333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001, -0, 1e21, 100000000000000000000]",
    '{"b": [null, true, false, {"y": "\\u000f\\n\\"\\\\/", "x": "A"}], "a": "é\\u0301"}',
    '"\\u2028"', "[]", "{}", " 1 ",
    "01", "1.", "+1", "[1,]", '{"a":1,}', "'a'", '"\t"', "nul", '{"a":1 "b":2}', "1e999", "[1 2]", "\x00",
]  # fmt: skip


def test_json_is_read_and_written_as_our_own_reader_and_writer_do() -> None:
    from credentials import strict
    from schemas.errors import Invalid

    for text, found in zip(VALUES, run(*({"canonical": text} for text in VALUES)), strict=True):
        try:
            expected: str | None = canonical(strict.loads(text)).decode()
        except Invalid:
            expected = None
        assert found == expected, text


def log_of(*, rotated: bool = False, ends: dict[str, str] | None = None) -> tuple[str, str, LocalSigner]:
    """Return a DID, its log and the signer that may speak for it; `rotated`, after a change of keys."""
    update, later, key = (LocalSigner.from_seed(bytes([n]) * 32) for n in (7, 8, 9))
    multikey = update.did.removeprefix("did:key:")
    next_ = later.did.removeprefix("did:key:")
    did = "did:webvh:{SCID}:registry.example:minato"
    document = {
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": did,
        "verificationMethod": [
            {"id": f"{did}#key", "type": "Multikey", "controller": did, "publicKeyMultibase": key.did[8:]}
        ],
        "assertionMethod": [f"{did}#key"],
    }
    parameters = {"updateKeys": [multikey], "nextKeyHashes": [webvh.key_hash(next_)]}
    begun = NOW - timedelta(days=3)
    lines = webvh.line(webvh.created(document, update, when=begun, parameters=parameters))
    found = webvh.history(json.loads(lines)["state"]["id"], lines, None, now=NOW)
    if rotated:
        changes = {"updateKeys": [next_], "nextKeyHashes": []}
        last = deepcopy(found.last.document)
        last["verificationMethod"][0] |= ends or {}
        when = begun + timedelta(hours=1)
        lines += webvh.line(webvh.appended(found, later, when=when, parameters=changes, document=last))
    own = LocalSigner(key.key, found.did, f"{found.did}#key")
    return found.did, lines, own


@pytest.mark.parametrize("rotated", [False, True])
def test_a_log_of_a_did_leads_to_the_issuers_key_and_a_changed_one_does_not(rotated: bool) -> None:
    did, log, signer = log_of(rotated=rotated)
    payload = credential(
        did, ("X",), {"id": "urn:x:1", "a": 1}, id="urn:x:2", valid_from=NOW - timedelta(days=1)
    )
    text = json.dumps(seal(payload, signer, created=NOW - timedelta(hours=1)))
    changed = [
        log.replace('"threshold"', '"x"') if "threshold" in log else log.replace("Multikey", "Multikeys"),
        log.replace("registry.example:minato", "registry.example:sakura"),
        log + log.splitlines()[0] + "\n",
        "",
        "x",
    ]
    right, *wrong = run({"text": text, "log": log}, *({"text": text, "log": one} for one in changed))
    assert states(right) == dict.fromkeys(("readable", "form", "period", "signature"), "held") | {
        "log": "open"
    }
    for found in wrong:
        assert states(found)["signature"] == "failed"
    (away,) = run({"text": text})
    assert states(away)["signature"] == "open"


@pytest.mark.parametrize("word", ["expires", "revoked"])
@pytest.mark.parametrize(("hours", "state"), [(1, "failed"), (3, "held")])
def test_a_key_that_was_taken_back_counts_for_what_it_sealed_before(
    word: str, hours: int, state: str
) -> None:
    end = NOW - timedelta(hours=2)
    did, log, signer = log_of(rotated=True, ends={word: end.isoformat()})
    payload = credential(
        did, ("X",), {"id": "urn:x:1", "a": 1}, id="urn:x:2", valid_from=NOW - timedelta(days=1)
    )
    dated = seal(payload, signer, created=NOW - timedelta(hours=hours))
    document = webvh.history(did, log, None, now=NOW).last.document
    undated = {**dated, "proof": {name: dated["proof"][name] for name in dated["proof"] if name != "created"}}
    found, without = run({"text": json.dumps(dated), "log": log}, {"text": json.dumps(undated), "log": log})
    assert states(found)["signature"] == state
    assert states(without)["signature"] == "failed"
    assert verify(dated, Known(did_document(document)), now=NOW).verified == (state == "held")


@dataclass
class Known:
    document: DidDocument

    def resolve(self, did: str, /) -> DidDocument:
        return self.document


@pytest.mark.parametrize(("mark", "state"), [(False, "held"), (True, "failed")])
def test_a_status_list_is_looked_up(mark: bool, state: str) -> None:
    url = "https://minato.example/status/1"
    bits = bytearray(16384)
    if mark:
        bits[1] |= 0x80  # entry 8, the first bit of its byte
    payload = status.status_list(
        SIGNER.did, url, bytes(bits), purpose="revocation", valid_from=NOW - timedelta(days=1),
        valid_until=NOW + timedelta(days=1),
    )  # fmt: skip
    listed = seal(payload, SIGNER, created=NOW)
    text = json.dumps(sealed(status=[status.entry(url, 8, "revocation")]))
    other = LocalSigner.from_seed(b"\x06" * 32)
    forged = json.dumps({**listed, "validUntil": "2030-01-01T00:00:00Z"})
    theirs = json.dumps(seal({**payload, "issuer": other.did}, other, created=NOW))
    lists: tuple[dict[str, str], ...] = ({"list": json.dumps(listed)}, {"list": forged}, {"list": theirs}, {})
    right, bad, alien, away = run(*({"text": text, **one} for one in lists))
    assert states(right)["status"] == state
    assert states(bad)["status"] == states(alien)["status"] == "failed"
    assert states(away)["status"] == "open"


@pytest.mark.skipif(not VECTORS.is_dir(), reason=f"the W3C vectors are not at {VECTORS}")
def test_the_w3c_vectors_are_canonical_alike() -> None:
    unsigned = (VECTORS.parent / "unsigned.json").read_text()
    config = (VECTORS / "proofConfigJCS.json").read_text()
    found = run(
        {"canonical": unsigned}, {"canonical": config}, {"text": (VECTORS / "signedJCS.json").read_text()}
    )
    assert found[0] == (VECTORS / "canonDocJCS.txt").read_text().strip()
    assert found[1] == (VECTORS / "proofCanonJCS.txt").read_text().strip()
    # The vector's issuer is a web address and its key a did:key: nothing binds one to the other.
    assert states(found[2])["signature"] == "failed"
