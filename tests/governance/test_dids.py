"""The registry's laws: what it takes verifies for anybody, and nothing is taken that was not committed to."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from credentials import integrity, webvh
from credentials.keys import LocalSigner
from credentials.resolution import did_document
from credentials.vc import credential
from governance import dids
from governance.dids import Kept
from schemas.errors import Fault, Invalid, Misstep
from tests.credentials.json_values import changed, places, values, without

from .registered import REGISTRY, START, WITNESS, Holder, begun, key, public

STEPS = st.lists(st.sampled_from(["rotate", "leak", "serve", "drop", "again", "fork"]), max_size=5)


def step(holder: Holder, what: str) -> None:
    document = holder.history.last.document
    match what:
        case "rotate":
            holder.take(holder.rotated())
        case "leak":
            holder.take(holder.rotated(leaked_since=START))
        case "serve":
            holder.take(
                holder.next(dids.with_service(document, "site", "LinkedDomains", "https://k.example"))
            )
        case "drop" if document.get("service"):
            holder.take(holder.next(dids.without_service(document, "site")))
        case "again":
            before = holder.kept
            assert all(holder.take(entry) is before for entry in holder.entries())
        case "fork":  # another one was faster
            entry, url = holder.next(), f"https://k.example/{holder.number}"
            holder.take(holder.next(dids.with_service(document, "site", "Other", url)))
            with pytest.raises(Misstep):
                holder.take(entry)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_whatever_was_taken_verifies_for_an_outsider(steps: list[str]) -> None:
    holder = begun()
    for what in steps:
        step(holder, what)
        kept, did = holder.kept, holder.history.did
        report = webvh.verify(did, kept.log, kept.approvals, now=holder.now)
        assert report.verified
        assert holder.history.last.rules.witnesses == (WITNESS.did,)
        web = json.loads(dids.web_document(holder.history))
        assert web["id"] == "did:web:registry.meguri.example:kita"
        assert did in web["alsoKnownAs"]
        assert web["id"] in holder.history.last.document["alsoKnownAs"]
        assert did_document(web).methods[0].public_key == did_document(report.document).methods[0].public_key
        # Who read the log just before the last entry came finds its approval as well.
        shorter = "".join(kept.lines[:-1])
        assert not shorter or webvh.verify(did, shorter, kept.approvals, now=holder.now).verified


ENTRY = begun().next()
FIRST = Holder().first()


@settings(max_examples=150, deadline=None)
@given(st.data(), values)
def test_an_entry_changed_anywhere_is_not_taken(data: st.DataObject, new: Any) -> None:
    for kept, entry in ((begun().kept, ENTRY), (Kept("kita"), FIRST)):
        place = data.draw(st.sampled_from([*places(entry)]))
        for bent in (changed(entry, place, new), *([without(entry, place)] if place else [])):
            if bent == entry:
                continue
            with pytest.raises(Fault):
                dids.followed(kept, bent, REGISTRY, WITNESS, now=START + timedelta(hours=1))


@settings(max_examples=60, deadline=None)
@given(values)
def test_any_json_is_an_entry_or_refused_in_words(entry: Any) -> None:
    for kept in (begun().kept, Kept("kita")):
        with pytest.raises((Invalid, Misstep)):
            dids.followed(kept, entry, REGISTRY, WITNESS, now=START)


def refusal(holder: Holder, entry: object) -> str:
    before = holder.kept
    with pytest.raises(Fault) as found:
        holder.take(entry)
    assert holder.kept is before
    return str(found.value)


def test_a_key_that_was_not_committed_to_signs_nothing() -> None:
    holder = begun()
    thief = key("thief")
    assert "did not commit" in refusal(holder, holder.bent(thief, updateKeys=[public(thief)]))
    assert "not allowed to sign" in refusal(holder, holder.bent(thief))
    assert "did not commit" in refusal(
        holder, holder.bent(thief, updateKeys=[public(holder.update_key()), public(thief)])
    )


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"witness": {}}, "does not name the registry's witness"),
        ({"witness": {"threshold": 1, "witnesses": [{"id": key("x").did}]}}, "registry's witness"),
        (
            {"witness": {"threshold": 1, "witnesses": [{"id": WITNESS.did}, {"id": key("x").did}]}},
            "registry's witness",
        ),
        ({"nextKeyHashes": []}, "does not commit to the key of the next"),
        ({"watchers": ["https://w.example"]}, "names no watchers"),
    ],
)
def test_an_entry_against_the_registrys_rules_is_refused(parameters: dict[str, Any], words: str) -> None:
    holder = begun()
    assert words in refusal(holder, holder.bent(**parameters))


def first(**parameters: Any) -> dict[str, Any]:
    holder = Holder()
    document = json.loads(
        json.dumps(holder.first()["state"]).replace(holder.first()["parameters"]["scid"], webvh.PLACEHOLDER)
    )
    own = {
        "updateKeys": [public(holder.update_key())],
        "nextKeyHashes": [webvh.key_hash(public(holder.update_key(1)))],
        "witness": REGISTRY.witnesses,
    }
    own = {name: value for name, value in (own | parameters).items() if value is not None}
    return webvh.created(document, holder.update_key(), when=START, parameters=own)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"witness": None}, "registry's witness"),
        ({"nextKeyHashes": None}, "commit to the key of the next"),
        ({"portable": True}, "cannot be portable"),
    ],
)
def test_a_first_entry_keeps_the_rules_too(parameters: dict[str, Any], words: str) -> None:
    assert Holder().take(first()).lines
    assert words in refusal(Holder(), first(**parameters))


def test_an_entry_stands_under_its_own_name_and_host() -> None:
    assert "another DID than the one of this name" in refusal(Holder("minato"), Holder("kita").first())
    elsewhere = Holder(registry=dids.Registry("elsewhere.example", WITNESS.did)).first()
    assert "another DID than the one of this name" in refusal(Holder("kita"), elsewhere)
    assert "another DID than the one of this name" in refusal(Holder(""), Holder("kita").first())


def test_the_document_names_its_did_web() -> None:
    holder = begun()
    document = {**holder.history.last.document, "alsoKnownAs": ["did:web:elsewhere.example"]}
    assert "does not name its did:web" in refusal(holder, holder.next(document))


def test_no_entry_comes_before_its_turn_or_instead_of_another() -> None:
    holder, other = begun(), begun()
    other.take(other.next())
    assert refusal(holder, other.next()) == "entry 2 is due, not 3"
    forked = other.bent()
    other.kept = Kept("kita", other.kept.lines[:1], other.kept.approvals)
    other.take(other.next({**other.history.last.document, "service": []}))
    assert refusal(other, forked | {"versionId": "2" + forked["versionId"][1:]}) == (
        "entry 2 of this DID is another one here"
    )


def test_a_did_that_was_given_up_stays_so() -> None:
    holder = begun()
    holder.take(dids.ended(holder.history, holder.update_key(), when=holder.now))
    assert webvh.verify(holder.history.did, holder.kept.log, holder.kept.approvals, now=holder.now).verified
    assert "nothing can follow" in refusal(holder, holder.bent())


def test_neither_a_long_entry_nor_a_long_log_is_kept() -> None:
    holder = begun()
    wordy = {**holder.history.last.document, "service": [{"id": "#x", "type": "x" * dids.MOST_BYTES}]}
    assert "larger than" in refusal(holder, holder.next(wordy))
    full = Kept("kita", holder.kept.lines * dids.MOST_ENTRIES, holder.kept.approvals)
    late = ENTRY | {"versionId": f"{dids.MOST_ENTRIES + 1}{ENTRY['versionId'][1:]}"}
    with pytest.raises(Invalid, match="keeps no more than"):
        dids.followed(full, late, REGISTRY, WITNESS, now=START)


def sealed(signer: LocalSigner, holder: Holder, hours: float) -> bool:
    when = START + timedelta(hours=hours)
    document = credential(signer.did, ["Thing"], {"id": "urn:x:1"}, id="urn:x:2", valid_from=when)

    class Known:
        def resolve(self, did: str, /) -> Any:
            return did_document(holder.history.last.document)

    document = integrity.seal(document, signer, created=when)
    return integrity.verify(document, Known(), now=START + timedelta(days=9)).verified


def test_after_a_rotation_old_seals_hold_and_the_old_key_seals_no_more() -> None:
    holder = begun()
    old = holder.sealer()
    holder.take(holder.rotated())
    new = holder.sealer()
    assert sealed(old, holder, 0.5)
    assert sealed(old, holder, 24)  # what was on its way
    assert not sealed(old, holder, 26)
    assert sealed(new, holder, 26)


def test_after_a_leak_nothing_holds_that_was_sealed_since() -> None:
    holder = begun()
    first = holder.sealer()
    holder.take(holder.rotated())
    second = holder.sealer()
    holder.take(holder.rotated(leaked_since=START + timedelta(hours=3)))
    assert sealed(first, holder, 2)
    assert not sealed(first, holder, 4)
    assert sealed(second, holder, 2)
    assert not sealed(second, holder, 4)
    assert sealed(holder.sealer(), holder, 4)


@pytest.mark.parametrize(
    ("name", "kind", "url", "words"),
    [
        ("Site", "LinkedDomains", "https://k.example", "cannot be called"),
        ("whois", "LinkedDomains", "https://k.example", "cannot be called"),
        ("site", "Linked Domains", "https://k.example", "no type of service"),
        ("site", "LinkedDomains", "javascript:alert(1)", "no web address"),
        ("site", "LinkedDomains", "https://k.example/\n", "no web address"),
    ],
)
def test_a_wrong_service_is_refused(name: str, kind: str, url: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        dids.with_service({"id": "did:web:k.example"}, name, kind, url)


def test_a_service_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(Invalid, match="no service"):
        dids.without_service({"id": "did:web:k.example"}, "site")


@pytest.mark.parametrize("name", ["Kita", "kita.example", "-kita", "kita-", "a" * 41, "../x", "きた"])
def test_a_name_is_of_plain_letters(name: str) -> None:
    with pytest.raises(Invalid, match="small letters"):
        Holder(name).first()
