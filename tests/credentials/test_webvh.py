import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from did_webvh.core.resolver import DidResolver, LocalHistoryResolver  # type: ignore[import-untyped]
from did_webvh.verify import WebvhVerifier  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from credentials import integrity, webvh
from credentials.canonical import canonical
from credentials.keys import LocalSigner, multikey
from credentials.report import Report
from credentials.resolution import ByMethod, Cached, DidDocument, did_document
from credentials.vc import credential
from credentials.webvh import (
    History,
    WebResolver,
    WebvhResolver,
    appended,
    approval,
    created,
    history,
    key_hash,
)
from schemas.errors import Fault, Invalid, Unavailable, Unknown
from tests.credentials.json_values import changed, places, texts, values, without

NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
START = NOW - 10 * HOUR
HOST = "collector.example"
KEYS = [LocalSigner.from_seed(bytes([number]) * 32) for number in range(1, 6)]
COMPANY = LocalSigner.from_seed(b"c" * 32)
AUTHORITY, AUDITOR, STRANGER = (LocalSigner.from_seed(letter * 32) for letter in (b"a", b"b", b"s"))


def public(signer: LocalSigner) -> str:
    return multikey(signer.key.public_key().public_bytes_raw())


def document(host: str = HOST, key: LocalSigner = COMPANY) -> dict[str, Any]:
    did = f"did:webvh:{webvh.PLACEHOLDER}:{host}"
    return {
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
        "id": did,
        "verificationMethod": [
            {"id": f"{did}#key-1", "type": "Multikey", "controller": did, "publicKeyMultibase": public(key)}
        ],
        "assertionMethod": [f"{did}#key-1"],
        "authentication": ["#key-1"],
    }


def witness(*signers: LocalSigner, threshold: int = 1) -> dict[str, Any]:
    return {"threshold": threshold, "witnesses": [{"id": signer.did} for signer in signers]}


def approvals(*pairs: tuple[str, LocalSigner]) -> str:
    return json.dumps(
        [
            {"versionId": version, "proof": [approval({"versionId": version}, signer, when=NOW)]}
            for version, signer in pairs
        ]
    )


class Log:
    """A log in the making, each entry an hour after the one before."""

    def __init__(self, document: Any = None, signer: LocalSigner = KEYS[0], **parameters: Any) -> None:
        first = globals()["document"]() if document is None else document
        parameters = {"updateKeys": [public(KEYS[0])], **parameters}
        self.entries = [created(first, signer, when=START, parameters=parameters)]

    @property
    def did(self) -> str:
        return str(self.entries[-1]["state"]["id"])

    @property
    def text(self) -> str:
        return "".join(map(webvh.line, self.entries))

    @property
    def before(self) -> History:
        last = self.entries[-1]
        version = webvh.Version(len(self.entries), last["versionId"], START, last["state"], webvh.Rules())
        return History(self.did, (version,))

    def then(self, signer: LocalSigner = KEYS[0], document: Any = None, **parameters: Any) -> "Log":
        when = START + len(self.entries) * HOUR
        self.entries.append(
            appended(self.before, signer, when=when, parameters=parameters, document=document)
        )
        return self

    def ids(self) -> list[str]:
        return [entry["versionId"] for entry in self.entries]


def rotating() -> Log:
    """Keys committed to one entry ahead, a witness, and a new key for the company."""
    log = Log(nextKeyHashes=[key_hash(public(KEYS[1]))], witness=witness(AUTHORITY))
    log.then(KEYS[1], updateKeys=[public(KEYS[1])], nextKeyHashes=[key_hash(public(KEYS[2]))])
    state = json.loads(json.dumps(document(key=AUDITOR)).replace(webvh.PLACEHOLDER, log.did.split(":")[2]))
    return log.then(
        KEYS[2], state, updateKeys=[public(KEYS[2])], nextKeyHashes=[key_hash(public(KEYS[3]))], ttl=60
    )


ROTATED = rotating()
APPROVED = approvals((ROTATED.ids()[-1], AUTHORITY))


def report(log: Log | str, witnesses: str | None = None, did: str | None = None, **options: Any) -> Report:
    text = log if isinstance(log, str) else log.text
    name = did or (log.did if isinstance(log, Log) else ROTATED.did)
    return webvh.verify(name, text, witnesses, **({"now": NOW} | options))


def refused(log: Log | str, witnesses: str | None = None, **options: Any) -> dict[str, str]:
    found = report(log, witnesses, **options)
    assert found.verified == (not found.refusals)
    return {check.name: str(check) for check in found.refusals}


# Laws


def test_a_log_that_follows_the_rules_verifies() -> None:
    found = report(ROTATED, APPROVED)
    assert found.reason == ""
    assert found.document == ROTATED.entries[-1]["state"]
    assert {check.name for check in found.checks} == set(webvh.WORDS)
    assert did_document(found.document).methods[0].purposes == {"assertionMethod", "authentication"}


@given(st.data(), values)
@settings(max_examples=200, deadline=None)
def test_nothing_in_a_log_can_be_replaced(data: st.DataObject, new: Any) -> None:
    number = data.draw(st.integers(0, 2))
    entry = ROTATED.entries[number]
    other = changed(entry, data.draw(st.sampled_from(places(entry))), new)
    if canonical(other) != canonical(entry):
        lines = [webvh.line(each) for each in ROTATED.entries]
        lines[number] = canonical(other).decode() + "\n"
        assert refused("".join(lines), APPROVED)


def test_nothing_in_a_log_can_be_left_out_or_put_in() -> None:
    for number, entry in enumerate(ROTATED.entries):
        for path in places(entry):
            lines: list[Any] = list(ROTATED.entries)
            if path:
                lines[number] = without(entry, path)
                assert refused("".join(map(webvh.line, lines)), APPROVED), path
            inside = entry
            for name in path:
                inside = inside[name]  # type: ignore[index]
            if isinstance(inside, dict):
                lines[number] = changed(entry, path, inside | {"added": 1})
                assert refused("".join(map(webvh.line, lines)), APPROVED), path


@given(st.permutations(range(3)) | st.lists(st.integers(0, 2), max_size=5))
def test_entries_stand_in_their_order_and_once(order: list[int]) -> None:
    text = "".join(webvh.line(ROTATED.entries[number]) for number in order)
    if order != [0, 1, 2]:
        assert refused(text, APPROVED)


@given(st.data(), texts)
@settings(max_examples=100, deadline=None)
def test_no_letter_of_an_approval_can_be_changed(data: st.DataObject, new: str) -> None:
    cut = data.draw(st.integers(0, len(APPROVED)))
    other = APPROVED[:cut] + new + APPROVED[data.draw(st.integers(cut, cut + 2)) :]
    try:
        same = json.loads(other) == json.loads(APPROVED)
    except ValueError:
        same = False
    if not same:
        found = report(ROTATED, other)
        assert found.verified is (found.reason == "")
        if found.verified:  # what was changed is passed over, as when a name that nobody reads is added
            assert AUTHORITY.verification_method in other


@given(st.text() | st.binary())
def test_any_text_gets_a_report(text: Any) -> None:
    assert not webvh.verify(ROTATED.did, text, text, now=NOW).verified
    assert not webvh.verify(ROTATED.did, ROTATED.text, text, now=NOW).verified


@given(st.lists(values, max_size=3), values)
def test_any_json_gets_a_report(lines: list[Any], witnesses: Any) -> None:
    text = "".join(json.dumps(each) + "\n" for each in lines)
    assert refused(text, json.dumps(witnesses))
    assert refused(ROTATED, json.dumps(witnesses))


@given(
    st.dictionaries(st.sampled_from([*ROTATED.entries[0]["parameters"], "portable", "deactivated"]), values)
)
@settings(deadline=None)
def test_any_parameters_rightly_signed_get_a_report(parameters: dict[str, Any]) -> None:
    for log in (Log(**parameters), Log().then(**parameters)):
        found = report(log)
        assert found.verified == (not found.refusals)


@given(st.dictionaries(st.sampled_from([*document(), "alsoKnownAs", "keyAgreement"]), values))
@settings(deadline=None)
def test_any_document_rightly_signed_gets_a_report(members: dict[str, Any]) -> None:
    log = Log()
    found = report(log.then(document=log.entries[0]["state"] | members), did=log.did)
    assert found.verified == (not found.refusals)


@given(texts | st.from_regex("did:webvh:.*", fullmatch=True))
def test_any_name_leads_to_a_place_or_is_refused(did: str) -> None:
    try:
        found = webvh.place(did)
    except Invalid:
        return
    assert found.log.startswith("https://")


# Each refusal has its reason


FIRST = Log().entries[0]


def resigned(change: dict[str, Any], signer: LocalSigner = KEYS[0]) -> str:
    """A first entry with another content, hashed anew as far as the change allows."""
    content = {name: value for name, value in (FIRST | change).items() if name != "proof"}
    return webvh.line(content | {"proof": [approval(content, signer, when=NOW)]})


@pytest.mark.parametrize(
    ("text", "name", "reason"),
    [
        ("", "log", "The text is not JSON"),
        ("[]\n", "log", "An entry of the log is not a JSON object."),
        ("\n", "log", "The text is not JSON"),
        (Log().text + "\n", "log", "The text is not JSON"),
        (Log().text.replace('"state"', '"state":{},"state"', 1), "log", "stands twice in one object"),
        ("{}\n" * 10_001, "log", "more than 10000 entries"),
        ("{}\n", "entry.form", "lacks a part, or has one too many"),
        (webvh.line(FIRST | {"more": 1}), "entry.form", "lacks a part, or has one too many"),
        (webvh.line(FIRST | {"proof": []}), "entry.form", "no proof, or more than 8"),
        (webvh.line(FIRST | {"proof": FIRST["proof"] * 9}), "entry.form", "no proof, or more than 8"),
        (webvh.line(FIRST | {"proof": FIRST["proof"] * 2}), "entry.form", "It carries one proof twice."),
        (resigned({"versionId": "1-Qm"}), "entry.hash", "does not follow from the one before"),
        (resigned({"versionTime": "2026-03-31T00:00:00Z"}), "entry.hash", "not made from this first entry"),
        (resigned({"state": {"id": "x"}}), "entry.hash", "not made from this first entry"),
        (
            resigned({"state": FIRST["state"] | {"x": webvh.PLACEHOLDER}}),
            "entry.hash",
            "does not carry its own hash as it should",
        ),
    ],
    ids=range(15),
)
def test_a_wrong_entry_is_refused_with_the_reason(text: str, name: str, reason: str) -> None:
    assert reason in refused(text)[name]


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"method": "did:webvh:0.5"}, "rules unknown here (did:webvh:0.5)"),
        ({"method": "did:webvh:99.0"}, "rules unknown here"),
        ({"prerotation": True}, "a parameter unknown here (prerotation)"),
        ({"updateKeys": None}, "sets updateKeys to what it cannot be"),
        ({"updateKeys": ["z6MkNot"]}, "is not an Ed25519 multikey"),
        ({"nextKeyHashes": None}, "sets nextKeyHashes to what it cannot be"),
        ({"watchers": [1]}, "sets watchers to what it cannot be"),
        ({"portable": "yes"}, "sets portable to what it cannot be"),
        ({"deactivated": 1}, "sets deactivated to what it cannot be"),
        ({"ttl": -1}, "sets ttl to what it cannot be"),
        ({"ttl": True}, "sets ttl to what it cannot be"),
        ({"ttl": 1.5}, "sets ttl to what it cannot be"),
        ({"witness": None}, "sets witness to what it cannot be"),
        ({"witness": {"threshold": 1, "witnesses": []}}, "sets witness to what it cannot be"),
        ({"witness": witness(AUTHORITY) | {"more": 1}}, "sets witness to what it cannot be"),
        ({"witness": witness(AUTHORITY, threshold=0)}, "0 of 1 witnesses cannot approve"),
        ({"witness": witness(AUTHORITY, threshold=2)}, "2 of 1 witnesses cannot approve"),
        ({"witness": witness(AUTHORITY, AUTHORITY, threshold=2)}, "A witness is named twice."),
        (
            {"witness": {"threshold": 1, "witnesses": [{"id": "did:web:authority.example"}]}},
            "by something else than its did:key",
        ),
        (
            {"witness": {"threshold": 1, "witnesses": [{"id": AUTHORITY.did, "weight": 1}]}},
            "by something else than its did:key",
        ),
    ],
)
def test_a_wrong_parameter_is_refused_with_the_reason(parameters: dict[str, Any], reason: str) -> None:
    assert reason in refused(Log(**parameters))["entry.rules"]


def test_what_only_the_first_entry_may_set_is_refused_later() -> None:
    assert (
        "Only the first entry may set scid"
        in refused(Log().then(scid=FIRST["parameters"]["scid"]))["entry.rules"]
    )
    assert "Only the first entry may set portable" in refused(Log().then(portable=True))["entry.rules"]


def test_an_entry_needs_a_key_that_the_one_before_allowed() -> None:
    log = Log().then(updateKeys=[public(KEYS[1])])
    assert report(log).verified
    assert "was not allowed to sign" in refused(log.then(KEYS[0]))["entry.proof"]
    assert "was not allowed to sign" in refused(Log().then(STRANGER))["entry.proof"]
    assert (
        "was not allowed to sign" in refused(Log().then(KEYS[1], updateKeys=[public(KEYS[1])]))["entry.proof"]
    )
    assert "was not allowed to sign" in refused(Log(signer=STRANGER))["entry.proof"]


def test_a_stolen_key_does_not_get_past_what_was_committed_to() -> None:
    committed: dict[str, Any] = {"nextKeyHashes": [key_hash(public(KEYS[1]))]}
    stolen = Log(**committed).then(KEYS[0], updateKeys=[public(STRANGER)], nextKeyHashes=[])
    assert "did not commit to the key" in refused(stolen)["entry.rules"]
    lazy = Log(**committed).then(KEYS[0])
    assert "must set updateKeys" in refused(lazy)["entry.rules"]
    half = Log(**committed).then(KEYS[1], updateKeys=[public(KEYS[1])])
    assert "must set nextKeyHashes" in refused(half)["entry.rules"]
    both = Log(**committed).then(
        KEYS[1], updateKeys=[public(KEYS[1]), public(STRANGER)], nextKeyHashes=committed["nextKeyHashes"]
    )
    assert "did not commit to the key" in refused(both)["entry.rules"]
    old = Log(**committed).then(KEYS[0], updateKeys=[public(KEYS[1])], nextKeyHashes=[])
    assert "was not allowed to sign" in refused(old)["entry.proof"]
    right = Log(**committed).then(KEYS[1], updateKeys=[public(KEYS[1])], nextKeyHashes=[])
    assert report(right).verified
    assert report(right.then(KEYS[1], updateKeys=[public(KEYS[2])]).then(KEYS[2])).verified


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"type": "Ed25519Signature2020"}, "unknown type"),
        ({"cryptosuite": "ecdsa-jcs-2019"}, "unknown suite"),
        ({"cryptosuite": None}, "unknown suite"),
        ({"proofPurpose": "authentication"}, "made for authentication, not for assertionMethod"),
        ({"verificationMethod": KEYS[0].did}, "does not name the key"),
        ({"verificationMethod": KEYS[0].did + "#" + public(STRANGER)}, "does not name the key"),
        ({"verificationMethod": FIRST["state"]["id"] + "#key-1"}, "does not name the key"),
        ({"created": "yesterday"}, "is not a date"),
        ({"expires": "2099-01-01T00:00:00Z"}, "cannot expire"),
        ({"proofValue": "z" + "1" * 64}, "The signature is wrong"),
        ({"proofValue": None}, "does not name the key"),
        ({"added": 1}, "The signature is wrong"),
    ],
)
def test_a_wrong_proof_is_refused_with_the_reason(change: dict[str, Any], reason: str) -> None:
    proof = FIRST["proof"][0] | change
    assert reason in refused(webvh.line(FIRST | {"proof": [proof]}))["entry.proof"]
    found = refused(webvh.line(FIRST | {"proof": [*FIRST["proof"], proof]}))
    assert {"entry.proof", "entry.form"} & set(found)


def test_entries_follow_each_other_in_time_and_none_is_from_the_future() -> None:
    log = Log()
    log.entries.append(appended(log.before, KEYS[0], when=START, parameters={}))
    assert refused(log)["entry.time"] == "The entry is not later than the one before."
    assert "made in the future" in refused(Log(), now=START - HOUR)["entry.time"]


def test_a_did_that_was_given_up_stays_so() -> None:
    log = Log().then(deactivated=True, updateKeys=[])
    assert history(log.did, log.text, None, now=NOW).last.rules.deactivated
    assert "given up; nothing can follow" in refused(log.then())["entry.rules"]


def moved(log: Log, host: str, **more: Any) -> dict[str, Any]:
    state = json.dumps(log.entries[-1]["state"]).replace(HOST, host)
    return dict(json.loads(state)) | more


def test_only_a_portable_did_moves_and_says_where_it_was() -> None:
    log = Log(portable=True)
    assert (
        "does not name where it was" in refused(log.then(document=moved(log, "new.example")))["entry.state"]
    )
    log = Log(portable=True)
    was = log.did
    log.then(document=moved(log, "new.example", alsoKnownAs=[was]))
    assert report(log).verified
    assert "The log is of" in refused(log, did=was)["log.did"]
    log = Log()
    assert (
        "has moved, which it may not" in refused(log.then(document=moved(log, "new.example")))["entry.state"]
    )


def test_a_log_of_another_did_is_refused() -> None:
    other = Log(document("other.example"))
    assert "The log is of" in refused(Log(), did=other.did)["log.did"]
    log = Log()
    state = log.entries[0]["state"] | {"id": other.did}
    assert refused(log.then(document=state), did=other.did)["entry.state"] == "The entry is of another DID."


# Witnesses


def test_an_entry_without_enough_approvals_is_refused() -> None:
    first, second, third = ROTATED.ids()
    lacking = "0 of the 1 witnesses needed have approved."
    assert refused(ROTATED)["entry.witnesses"] == lacking
    assert refused(ROTATED, approvals((third, STRANGER)))["entry.witnesses"] == lacking
    assert refused(ROTATED, approvals((second, AUTHORITY), (first, AUTHORITY)))["entry.witnesses"] == lacking
    assert refused(ROTATED, approvals(("4-QmFuture", AUTHORITY)))["entry.witnesses"] == lacking
    assert report(ROTATED, approvals((first, AUTHORITY), (third, AUTHORITY))).verified


def test_one_witness_counts_once_however_often_it_approves() -> None:
    log = Log(witness=witness(AUTHORITY, AUDITOR, threshold=2))
    (only,) = log.ids()
    twice = approvals((only, AUTHORITY), (only, AUTHORITY))
    assert refused(log, twice)["entry.witnesses"] == "1 of the 2 witnesses needed have approved."
    assert report(log, approvals((only, AUTHORITY), (only, AUDITOR))).verified


def test_new_witnesses_take_over_after_the_old_have_approved_the_change() -> None:
    log = Log(witness=witness(AUTHORITY)).then(witness=witness(AUDITOR)).then()
    _, second, third = log.ids()
    assert report(log, approvals((second, AUTHORITY), (third, AUDITOR))).verified
    assert "entry.witnesses" in refused(log, approvals((third, AUDITOR)))
    assert "entry.witnesses" in refused(log, approvals((third, AUTHORITY)))


def test_the_first_witnesses_approve_the_entry_that_names_them_and_the_last_the_one_that_ends_it() -> None:
    log = Log().then(witness=witness(AUTHORITY)).then(witness={}).then()
    _, second, third, _ = log.ids()
    assert "entry.witnesses" in refused(log)
    assert "entry.witnesses" in refused(log, approvals((second, AUTHORITY)))
    assert report(log, approvals((third, AUTHORITY))).verified


# Where it stands


@pytest.mark.parametrize(
    ("rest", "url"),
    [
        ("collector.example", "https://collector.example/.well-known/did.jsonl"),
        ("collector.example%3A8443", "https://collector.example:8443/.well-known/did.jsonl"),
        ("Collector.Example:dids:one", "https://collector.example/dids/one/did.jsonl"),
        ("collector.example:a%20b", "https://collector.example/a%20b/did.jsonl"),
        ("xn--kprw13d.example", "https://xn--kprw13d.example/.well-known/did.jsonl"),
    ],
)
def test_a_did_leads_to_its_log(rest: str, url: str) -> None:
    assert webvh.place(f"did:webvh:{ROTATED.did.split(':')[2]}:{rest}").log == url


@pytest.mark.parametrize(
    "rest",
    [
        "localhost",
        "127.0.0.1",
        "127.0.0.0x1",
        "%5B%3A%3A1%5D",
        "collector.example%3A0",
        "collector.example%3A65536",
        "collector.example%3A80%3A81",
        "collector.example%2Fpath",
        "user%40collector.example",
        "collector.example:..",
        "collector.example:%2e%2e",
        "collector.example:a%2Fb",
        "collector.example:a%5Cb",
        "collector.example:%00",
        "collector.example:%20a",
        "collector.example:%ff",
        "collector.example:%2",
        "collector.example:",
        "collector.example:a::b",
        "-a.example",
        "a..example",
        "",
    ],
)
def test_a_did_that_leads_elsewhere_is_refused(rest: str) -> None:
    with pytest.raises(Invalid):
        webvh.place(f"did:webvh:{ROTATED.did.split(':')[2]}:{rest}")


def test_a_did_without_hash_or_host_is_refused() -> None:
    for did in ("did:webvh:Qm1:collector.example", "did:webvh", "did:web:collector.example", ""):
        with pytest.raises(Invalid, match="is not a did:webvh"):
            webvh.place(did)


# The port


def web(files: dict[str, str]) -> Callable[[str], bytes]:
    def fetch(url: str) -> bytes:
        if url not in files:
            raise Unknown("{url} is not there.", url=url)
        return files[url].encode()

    return fetch


FOLDER = f"https://{HOST}/.well-known/"
FILES = {FOLDER + "did.jsonl": ROTATED.text, FOLDER + "did-witness.json": APPROVED}


def test_a_credential_is_verified_by_the_key_in_the_log() -> None:
    class Company:
        did = ROTATED.did
        verification_method = ROTATED.did + "#key-1"

        def sign(self, data: bytes, /) -> bytes:
            return AUDITOR.sign(data)

    payload = credential(ROTATED.did, [], {"soh": 0.9}, id="urn:uuid:1", valid_from=NOW)
    sealed = integrity.seal(payload, Company(), created=NOW)

    def reason(files: dict[str, str]) -> str:
        resolver = ByMethod({"webvh": WebvhResolver(web(files), lambda: NOW)})
        return integrity.verify(sealed, resolver, now=NOW).reason

    assert reason(FILES) == ""
    assert "0 of the 1 witnesses" in reason({FOLDER + "did.jsonl": ROTATED.text})
    assert "is not there" in reason({})
    assert "The log is of" in reason({FOLDER + "did.jsonl": Log(document("other.example")).text})
    early = "".join(map(webvh.line, ROTATED.entries[:1]))
    witnessed = {FOLDER + "did-witness.json": approvals((ROTATED.ids()[0], AUTHORITY))}
    assert "The signature is wrong" in reason(witnessed | {FOLDER + "did.jsonl": early})
    given_up = rotating().then(KEYS[3], updateKeys=[public(KEYS[3])], nextKeyHashes=[], deactivated=True)
    files = {FOLDER + "did.jsonl": given_up.text}
    files[FOLDER + "did-witness.json"] = approvals((given_up.ids()[-1], AUTHORITY))
    assert "has been given up by its owner" in reason(files)


def test_a_host_that_does_not_answer_for_its_witnesses_is_no_refusal_by_them() -> None:
    def fetch(url: str) -> bytes:
        if url.endswith("did.jsonl"):
            return ROTATED.text.encode()
        raise Unavailable("{url} does not answer.", url=url)

    with pytest.raises(Unavailable, match="does not answer"):
        WebvhResolver(fetch, lambda: NOW).resolve(ROTATED.did)


def test_a_version_is_found_by_its_time() -> None:
    found = history(ROTATED.did, ROTATED.text, APPROVED, now=NOW)
    assert [found.at(START + hours * HOUR).number for hours in (0, 1, 1.5, 2, 9)] == [1, 2, 2, 3, 3]
    with pytest.raises(Invalid, match="did not exist yet"):
        found.at(START - HOUR)


def test_the_same_did_is_published_as_did_web() -> None:
    found = history(ROTATED.did, ROTATED.text, APPROVED, now=NOW)
    published = webvh.web_document(found)
    assert published["id"] == f"did:web:{HOST}"
    assert published["alsoKnownAs"] == [ROTATED.did]
    resolver = WebResolver(web({FOLDER + "did.json": json.dumps(published)}))
    (method,) = resolver.resolve(f"did:web:{HOST}").methods
    assert (method.id, method.controller) == (f"did:web:{HOST}#key-1", f"did:web:{HOST}")
    with pytest.raises(Invalid, match="The log is of"):
        WebResolver(web({"https://other.example/.well-known/did.json": json.dumps(published)})).resolve(
            "did:web:other.example"
        )


def test_what_was_resolved_is_kept_for_a_while_and_refusals_are_not() -> None:
    asked: list[str] = []
    clock = [0.0]

    class Counting:
        def resolve(self, did: str, /) -> DidDocument:
            asked.append(did)
            if did == "did:web:gone.example":
                raise Unavailable("{did} does not answer.", did=did)
            return DidDocument(did, ())

    cached = Cached(Counting(), lambda: clock[0], seconds=10, most=2)
    for _ in range(3):
        cached.resolve("did:web:a.example")
        with pytest.raises(Fault):
            cached.resolve("did:web:gone.example")
    assert asked.count("did:web:a.example") == 1
    assert asked.count("did:web:gone.example") == 3
    clock[0] = 10
    cached.resolve("did:web:a.example")
    cached.forget("did:web:a.example")
    cached.resolve("did:web:a.example")
    assert asked.count("did:web:a.example") == 3
    for name in "bcd":
        cached.resolve(f"did:web:{name}.example")
    cached.resolve("did:web:a.example")
    assert asked.count("did:web:a.example") == 4


@pytest.mark.parametrize(
    "change",
    [
        {"id": 1},
        {"id": "no did"},
        {"verificationMethod": {}},
        {"verificationMethod": [{"id": "#a"}, {"id": "#a"}]},
        {"authentication": [1]},
        {"authentication": [{"type": "Multikey"}]},
        {"verificationMethod": [{"id": "#a", "type": "Multikey", "publicKeyMultibase": "z6Mk1"}]},
    ],
)
def test_a_document_that_is_none_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        did_document(document() | {"id": "did:web:a.example"} | change)


@given(values, st.dictionaries(st.sampled_from(["id", "verificationMethod", "authentication"]), values))
def test_any_json_is_a_did_document_or_refused(value: Any, members: dict[str, Any]) -> None:
    for each in (value, members, {"id": "did:web:a.example"} | members):
        try:
            found = did_document(each)
        except Fault:
            continue
        assert isinstance(found, DidDocument)


# An independent implementation


def theirs(log: Log, witnesses: str | None, folder: Path) -> Any:
    (folder / "did.jsonl").write_text(log.text)
    (folder / "did-witness.json").write_text(witnesses or "[]")
    source = LocalHistoryResolver(folder / "did.jsonl", folder / "did-witness.json")
    return asyncio.run(DidResolver(WebvhVerifier()).resolve(log.did, source))


def test_the_did_webvh_package_resolves_what_we_write(tmp_path: Path) -> None:
    found = theirs(ROTATED, APPROVED, tmp_path)
    assert found.document == ROTATED.entries[-1]["state"]
    assert theirs(ROTATED, approvals((ROTATED.ids()[-1], STRANGER)), tmp_path).document is None


def test_we_resolve_what_the_did_webvh_package_writes(tmp_path: Path) -> None:
    from did_webvh.askar import AskarSigningKey  # type: ignore[import-untyped]
    from did_webvh.history import update_document_state  # type: ignore[import-untyped]
    from did_webvh.provision import provision_did  # type: ignore[import-untyped]

    first, second = (AskarSigningKey.generate("ed25519") for _ in range(2))
    parameters = {"updateKeys": [first.multikey], "nextKeyHashes": [key_hash(second.multikey)]}
    state = provision_did(document(), params=parameters, timestamp=START)
    state.proofs.append(state.create_proof(first, timestamp=START))
    then = update_document_state(
        state, second, params_update={"updateKeys": [second.multikey], "nextKeyHashes": []}, timestamp=NOW
    )
    log = "".join(each.history_json() + "\n" for each in (state, then))
    assert webvh.verify(state.document_id, log, None, now=NOW).reason == ""
