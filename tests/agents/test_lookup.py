"""What is looked up elsewhere: believed only when right, kept while fresh, never replaced by worse."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.lookup import (
    LATEST,
    MOST_FOR_ONE,
    MOST_KEPT,
    MOST_LIST,
    SOONEST,
    USABLE,
    Known,
    Lookup,
    Wanting,
    Web,
)
from agents.ports import Copy, Desk
from agents.store import SqlStore
from agents.store import desk as desk_module
from credentials import status
from credentials.integrity import seal
from credentials.keys import LocalSigner
from credentials.resolution import did_document
from credentials.vc import credential, presentation
from schemas.errors import Fault, Invalid, Unavailable, Unknown
from tests.agents.clock import Clock
from tests.agents.pages import Pages
from tests.credentials.test_webvh import APPROVED, AUDITOR, AUTHORITY, ROTATED, Log, approvals

ISSUER, STRANGER = LocalSigner.generate(), LocalSigner.generate()
LIST = "https://collector.example/status/1"
INNER = "http://169.254.169.254/latest"
AWAY = Unavailable("its server cannot be reached")
EMPTY = bytes(status.LEAST // 8)
DAY = timedelta(days=1)


def listed(
    now: datetime, *revoked: int, signer: LocalSigner = ISSUER, url: str = LIST, **change: Any
) -> bytes:
    """An edition of a status list."""
    times = {"valid_from": now, "valid_until": now + DAY} | {
        name: change.pop(name) for name in ("valid_from", "valid_until") if name in change
    }
    bits = status._with(EMPTY, revoked, True)
    payload = status.status_list(signer.did, url, bits, purpose="revocation", **times)
    payload["credentialSubject"] |= change
    return json.dumps(seal(payload, signer, created=now)).encode()


def diagnosis(now: datetime, index: int = 7, signer: LocalSigner = ISSUER) -> dict[str, Any]:
    entry = status.entry(LIST, index, "revocation")
    payload = credential(signer.did, [], {"soh": 0.9}, id="urn:uuid:1", valid_from=now, status=[entry])
    return seal(payload, signer, created=now)


async def words(lookup: Lookup, document: object) -> str:
    """Return why a credential is refused, or nothing."""
    return (await lookup.verified(document)).reason


# Status lists


async def test_a_list_is_fetched_once_however_many_ask_at_once(clock: Clock) -> None:
    pages = Pages({LIST: listed(clock())})
    lookup = Lookup(pages, clock=clock)
    reasons = await asyncio.gather(*(words(lookup, diagnosis(clock(), index)) for index in range(20)))
    assert set(reasons) == {""}
    assert pages.asked == [LIST]


async def test_a_document_has_us_ask_only_so_many(clock: Clock) -> None:
    def one(number: int) -> dict[str, Any]:
        entry = status.entry(f"{LIST}/{number}", 1, "revocation")
        payload = credential(
            ISSUER.did, [], {"soh": 0.9}, id=f"urn:x:{number}", valid_from=clock(), status=[entry]
        )
        return seal(payload, ISSUER, created=clock())

    shown = presentation(ISSUER.did, [one(number) for number in range(MOST_FOR_ONE + 50)])
    pages = Pages()
    lookup = Lookup(pages, clock=clock)
    sealed = seal(shown, ISSUER, created=clock(), purpose="authentication")
    with pytest.raises(Unavailable, match="too much"):
        await lookup.verified(sealed)
    assert len(pages.asked) == MOST_FOR_ONE


async def test_what_is_asked_for_does_not_tell_which_credential_is_looked_at(clock: Clock) -> None:
    asked = []
    for index in (0, 7, status.LEAST - 1):
        pages = Pages({LIST: listed(clock())})
        await words(Lookup(pages, clock=clock), diagnosis(clock(), index))
        asked.append(pages.asked)
    assert asked == [[LIST]] * 3


async def test_a_revocation_is_seen_once_the_copy_is_due(clock: Clock) -> None:
    pages = Pages({LIST: listed(clock(), ttl=60_000)})
    lookup = Lookup(pages, clock=clock)
    document = diagnosis(clock())
    assert await words(lookup, document) == ""
    clock.wait(seconds=30)
    pages.pages[LIST] = listed(clock(), 7, ttl=60_000)
    assert await words(lookup, document) == ""
    clock.wait(seconds=30)
    assert await words(lookup, document) == "It was revoked by its issuer."


async def test_a_copy_that_is_forgotten_is_fetched_anew_at_once(clock: Clock) -> None:
    pages = Pages({LIST: listed(clock())})
    lookup = Lookup(pages, clock=clock)
    assert await words(lookup, diagnosis(clock())) == ""
    pages.pages[LIST] = listed(clock(), 7)
    lookup.forget(LIST)
    assert await words(lookup, diagnosis(clock())) == "It was revoked by its issuer."


async def test_work_goes_on_without_network_and_after_a_restart_until_the_list_expires(
    clock: Clock, store: SqlStore
) -> None:
    document = diagnosis(clock())
    assert await words(Lookup(Pages({LIST: listed(clock())}), store, clock=clock), document) == ""
    lost = Pages({LIST: AWAY})
    after = Lookup(lost, store, clock=clock)
    assert await words(after, document) == ""
    assert lost.asked == []
    clock.wait(hours=23)
    assert await words(after, document) == ""
    assert lost.asked == [LIST]
    clock.wait(hours=2)
    assert "cannot be had: its server cannot be reached" in await words(after, document)
    assert "cannot be had" in await words(Lookup(lost, store, clock=clock), document)


def wrong(now: datetime) -> dict[str, tuple[bytes | Fault, str]]:
    other = "https://collector.example/status/2"
    return {
        "away": (AWAY, "cannot be reached"),
        "gone": (Unknown("its server has no such thing"), "no such thing"),
        "elsewhere": (Invalid("its server sends us elsewhere, where we do not go"), "sends us elsewhere"),
        "too large": (b" " * (MOST_LIST + 1), "larger than"),
        "garbage": (b"<html>", "three parts"),
        "not JSON": (b"{", "JSON"),
        "bytes": (b"\xff\xfe", "UTF-8"),
        "nothing": (b"", "three parts"),
        "twice": (b'{"id": 1, "id": 2}', "twice"),
        "another's": (listed(now, signer=STRANGER), "not by the issuer"),
        "another list": (listed(now, url=other), "is another list"),
        "no list": (json.dumps(diagnosis(now)).encode(), "cannot be looked up here"),
        "forged": (listed(now).replace(b'"revocation"', b'"suspension"'), "signature is wrong"),
        "expired": (listed(now, valid_from=now - DAY, valid_until=now - timedelta(hours=1)), "expired"),
        "not yet": (listed(now, valid_from=now + DAY, valid_until=now + 2 * DAY), "not yet valid"),
        "other purpose": (listed(now, statusPurpose="message"), "not for revocation"),
        "two bits": (listed(now, statusSize=2), "more than one bit"),
        "short": (listed(now, encodedList="uH4sIAAAAAAAC_2NgGAWjYBSMYgAANIZJAwAQAAA"), "status list"),
    }


@pytest.mark.parametrize("name", sorted(wrong(datetime(2026, 4, 1, 9, tzinfo=UTC))))
async def test_a_credential_is_refused_with_what_is_wrong_with_its_list(name: str, clock: Clock) -> None:
    page, expected = wrong(clock())[name]
    assert expected in await words(Lookup(Pages({LIST: page}), clock=clock), diagnosis(clock()))


@pytest.mark.parametrize(
    "name",
    sorted(
        set(wrong(datetime(2026, 4, 1, 9, tzinfo=UTC)))
        - {"another's", "another list", "two bits", "other purpose", "short"}
    ),
)
async def test_nothing_that_is_wrong_takes_the_place_of_what_was_right(
    name: str, clock: Clock, store: SqlStore
) -> None:
    pages = Pages({LIST: listed(clock(), ttl=60_000)})
    lookup = Lookup(pages, store, clock=clock)
    document = diagnosis(clock())
    assert await words(lookup, document) == ""
    clock.wait(minutes=2)
    pages.pages[LIST] = wrong(clock())[name][0]
    assert await words(lookup, document) == ""
    assert pages.asked == [LIST] * 2
    assert await words(Lookup(pages, store, clock=clock), document) == ""


async def test_an_entry_outside_the_list_is_refused(clock: Clock) -> None:
    pages = Pages({LIST: listed(clock())})
    assert "has no entry" in await words(Lookup(pages, clock=clock), diagnosis(clock(), status.LEAST))


async def test_an_older_edition_never_takes_the_place_of_one_that_was_seen(
    clock: Clock, store: SqlStore
) -> None:
    old = listed(clock(), ttl=60_000, valid_until=clock() + 30 * DAY)
    clock.wait(hours=1)
    pages = Pages({LIST: listed(clock(), 7, ttl=60_000)})
    lookup = Lookup(pages, store, clock=clock)
    document = diagnosis(clock() - DAY)
    assert await words(lookup, document) == "It was revoked by its issuer."
    pages.pages[LIST] = old
    for again in (lookup, Lookup(pages, store, clock=clock)):
        clock.wait(hours=1)
        assert await words(again, document) == "It was revoked by its issuer."
    clock.wait(days=2)
    for again in (lookup, Lookup(pages, store, clock=clock)):
        assert "An older edition of it is served" in await words(again, document)


async def test_why_a_list_cannot_be_had_is_remembered_for_a_moment_only(clock: Clock) -> None:
    pages = Pages({LIST: AWAY})
    lookup = Lookup(pages, clock=clock)
    for _ in range(3):
        assert "cannot be reached" in await words(lookup, diagnosis(clock()))
    assert pages.asked == [LIST]
    clock.wait(seconds=SOONEST.total_seconds())
    pages.pages[LIST] = listed(clock())
    assert await words(lookup, diagnosis(clock())) == ""


@pytest.mark.parametrize("jump", [timedelta(days=400), -timedelta(days=400)])
async def test_a_clock_that_jumped_makes_us_ask_anew_and_leaves_no_trace(
    jump: timedelta, clock: Clock, store: SqlStore
) -> None:
    right = clock()
    pages = Pages({LIST: listed(clock())})
    lookup = Lookup(pages, store, clock=clock)
    document = diagnosis(clock())
    assert await words(lookup, document) == ""
    clock.now = right + jump
    assert await words(lookup, document) != ""
    assert len(pages.asked) == 2
    clock.now = right + timedelta(minutes=1)
    assert await words(lookup, document) == ""


async def test_a_copy_in_the_books_is_checked_before_it_is_used(clock: Clock, store: SqlStore) -> None:
    copy = Copy(LIST, {"list": listed(clock()).decode().replace("revocation", "suspension")}, clock(), "")
    await store.write(lambda desk: desk.keep_copy(copy))
    assert "cannot be had" in await words(Lookup(Pages({LIST: AWAY}), store, clock=clock), diagnosis(clock()))


async def test_a_full_disk_does_not_stop_the_work_but_books_that_cannot_be_read_do(
    clock: Clock, store: SqlStore
) -> None:
    @dataclass
    class Full:
        reads: bool

        async def read[T](self, work: Callable[[Desk], T]) -> T:
            if not self.reads:
                raise Unavailable("the company's database does not answer")
            return await store.read(work)

        async def write[T](self, work: Callable[[Desk], T]) -> T:
            raise Unavailable("the company's database does not answer: disk full")

    pages = Pages({LIST: listed(clock())})
    assert await words(Lookup(pages, Full(reads=True), clock=clock), diagnosis(clock())) == ""
    unread = await words(Lookup(pages, Full(reads=False), clock=clock), diagnosis(clock()))
    assert "database does not answer" in unread


async def test_memory_and_books_stay_bounded(
    clock: Clock, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk_module, "COPIES_KEPT", 3)

    def fill(desk: Any) -> list[bool]:
        for number in range(6):
            clock.wait(seconds=1)
            desk.keep_copy(Copy(f"https://x.example/{number}", {"list": "x"}, clock(), ""))
        return [desk.copy(f"https://x.example/{number}") is not None for number in range(6)]

    assert await store.write(fill) == [False] * 3 + [True] * 3
    monkeypatch.setattr(desk_module, "COPIED_BYTES_KEPT", 2)
    copy = Copy("https://x.example/large", {"list": "xx"}, clock(), "")
    await store.write(lambda desk: desk.keep_copy(copy))
    assert await store.read(lambda desk: desk.copy("https://x.example/5")) is None
    assert await store.read(lambda desk: desk.copy(copy.name)) == copy
    lookup = Lookup(Pages(), clock=clock)
    for number in range(MOST_KEPT + 10):
        await lookup.look(f"https://x.example/{number}")
    assert len(lookup._kept) == MOST_KEPT


async def test_what_leaves_something_behind_is_made_again_when_all_is_known(clock: Clock) -> None:
    lookup = Lookup(Pages({LIST: listed(clock())}), clock=clock)
    rounds = []

    async def run(known: Known) -> str:
        rounds.append(len(known.wanted))
        try:
            return known.status_list(LIST).reason
        except Unavailable:
            raise Wanting from None

    assert await lookup.with_known(run) == ""
    assert len(rounds) == 2


async def test_who_never_has_enough_is_stopped(clock: Clock) -> None:
    lookup, count = Lookup(Pages(), clock=clock), iter(range(1000))

    async def run(known: Known) -> None:
        try:
            known.status_list(f"https://x.example/{next(count)}")
        except Unavailable:
            raise Wanting from None

    with pytest.raises(Unavailable, match="too much"):
        await lookup.with_known(run)


# DIDs

FOLDER = "https://collector.example/.well-known/"
NOW = datetime(2026, 4, 1, 9, 30, tzinfo=UTC)


def published(log: Log = ROTATED, approved: str = APPROVED, folder: str = FOLDER) -> Pages:
    return Pages({folder + "did.jsonl": log.text.encode(), folder + "did-witness.json": approved.encode()})


async def resolved(lookup: Lookup, did: str = ROTATED.did) -> Any:
    kept = await lookup.look(did)
    return str(kept.value) if isinstance(kept.value, Fault) else kept.value


async def test_a_did_is_resolved_from_its_host_and_kept_for_as_long_as_its_log_says(
    clock: Clock, store: SqlStore
) -> None:
    clock.now, pages = NOW, published()
    lookup = Lookup(pages, store, clock=clock)
    for _ in range(2):
        assert (await resolved(lookup)).id == ROTATED.did
    assert (await resolved(Lookup(Pages(), store, clock=clock))).id == ROTATED.did
    assert pages.asked == [FOLDER + "did.jsonl", FOLDER + "did-witness.json"]
    clock.wait(seconds=60)
    await resolved(lookup)
    assert len(pages.asked) == 4


REGISTRY = "http://127.0.0.1:8132"
LOGS = REGISTRY + "/dids/logs"
DID_HOST = "registry.meguri.example"


def registered(*names: str) -> dict[str, Log]:
    """Logs of a registry by name; no name is the authority's own."""
    context = ["https://www.w3.org/ns/did/v1"]
    return {
        name: Log(
            {"@context": context, "id": ":".join(["did:webvh:{SCID}", DID_HOST, *([name] if name else [])])}
        )
        for name in names
    }


@pytest.mark.parametrize(
    ("listed", "site"),
    [
        ([{"id": "#files", "type": "relativeRef", "serviceEndpoint": "https://a.example/x/"}],
         "https://a.example/x"),
        ([{"id": "#site", "type": "LinkedDomains", "serviceEndpoint": "https://a.example"}], ""),
        ([{"id": "#files", "serviceEndpoint": "file:///etc"}, "x", {"id": ["#files"]}], ""),
        ([{"id": "#files", "serviceEndpoint": "https://a.example/?x=#y"}], ""),
        ({"id": "#files"}, ""),
        (None, ""),
    ],
)  # fmt: skip
def test_a_did_document_says_where_its_files_stand_or_nothing(listed: Any, site: str) -> None:
    did = "did:webvh:" + "Qm" + "1" * 44 + ":a.example"
    assert did_document({"id": did, "service": listed}).files == site
    full = [one | {"id": did + one["id"]} for one in listed] if site else []
    assert did_document({"id": did, "service": full}).files == site


def served(*logs: Log) -> bytes:
    lines = [{"did": log.did, "log": log.text, "witnesses": "[]"} for log in logs]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


async def test_dids_of_the_registrys_host_are_fetched_from_the_registry_all_at_once(clock: Clock) -> None:
    clock.now, logs = NOW, registered("", "kita", "minato", "asahi")
    pages = Pages({LOGS: served(*logs.values())})
    lookup = Lookup(pages, registry=REGISTRY, did_host=DID_HOST, clock=clock)
    found = await asyncio.gather(*(resolved(lookup, log.did) for log in logs.values()))
    assert [document.id for document in found] == [log.did for log in logs.values()]
    assert pages.asked == [LOGS]
    assert "no such thing" in await resolved(lookup, registered("else")["else"].did)
    await resolved(lookup, "did:webvh:" + "Qm" + "a" * 44 + ":registry.meguri.example.evil.example:a")
    assert pages.asked == [LOGS, "https://registry.meguri.example.evil.example/a/did.jsonl"]


async def test_the_registry_does_not_learn_whose_did_is_looked_up(clock: Clock) -> None:
    clock.now, logs = NOW, registered("kita", "minato")
    asked = []
    for log in logs.values():
        pages = Pages({LOGS: served(*logs.values())})
        await resolved(Lookup(pages, registry=REGISTRY, did_host=DID_HOST, clock=clock), log.did)
        asked.append(pages.asked)
    assert asked == [[LOGS]] * 2


async def test_of_many_in_the_registry_a_wrong_one_spoils_no_other(clock: Clock) -> None:
    clock.now, logs = NOW, registered("kita", "minato")
    bent = served(*logs.values()).replace(b"minato", b"asahi0") + served(logs["minato"]) + b"{}\n"
    lookup = Lookup(Pages({LOGS: bent}), registry=REGISTRY, did_host=DID_HOST, clock=clock)
    assert (await resolved(lookup, logs["kita"].did)).id == logs["kita"].did
    assert (await resolved(lookup, logs["minato"].did)).id == logs["minato"].did


async def test_a_key_newer_than_the_copy_is_looked_up_at_once(clock: Clock) -> None:
    log = Log()
    did, state, where = log.did, log.entries[0]["state"], "https://collector.example/.well-known/did.jsonl"
    clock.now, pages = NOW, Pages({where: log.text.encode()})
    lookup = Lookup(pages, clock=clock)
    await resolved(lookup, did)
    method = state["verificationMethod"][0] | {
        "id": f"{did}#key-2",
        "publicKeyMultibase": AUDITOR.did.removeprefix("did:key:"),
    }
    log.then(
        document=state
        | {
            "verificationMethod": [*state["verificationMethod"], method],
            "assertionMethod": [*state["assertionMethod"], method["id"]],
        }
    )

    def sealed(name: str) -> dict[str, Any]:
        payload = credential(did, [], {"soh": 1}, id="urn:x:1", valid_from=NOW)
        return seal(payload, LocalSigner(AUDITOR.key, did, f"{did}#{name}"), created=NOW)

    pages.pages[where] = log.text.encode()
    assert await words(lookup, sealed("key-2")) == ""
    asked = len(pages.asked)
    assert "has no key" in await words(lookup, sealed("key-3"))
    assert len(pages.asked) == asked + 1, "once for each check that misses a key"
    pages.pages[where] = AWAY
    assert "has no key" in await words(lookup, sealed("key-3"))
    assert await words(lookup, sealed("key-2")) == ""


async def test_a_log_that_lost_entries_is_refused_and_the_one_seen_stays(
    clock: Clock, store: SqlStore
) -> None:
    clock.now, pages = NOW, published()
    lookup = Lookup(pages, store, clock=clock)
    right = await resolved(lookup)
    shorter = Log.__new__(Log)
    shorter.entries = ROTATED.entries[:1]
    pages.pages[FOLDER + "did-witness.json"] = approvals((shorter.ids()[0], AUTHORITY)).encode()
    pages.pages[FOLDER + "did.jsonl"] = shorter.text.encode()
    for again in (lookup, Lookup(pages, store, clock=clock)):
        clock.wait(minutes=2)
        assert await resolved(again) == right
    clock.wait(days=USABLE.days, hours=1)
    assert "older edition" in await resolved(lookup)


async def test_a_log_without_its_witnesses_and_a_changed_one_are_refused(clock: Clock) -> None:
    clock.now = NOW
    pages = published(approved="[]")
    assert "witnesses needed" in await resolved(Lookup(pages, clock=clock))
    del pages.pages[FOLDER + "did-witness.json"]
    assert "witnesses needed" in await resolved(Lookup(pages, clock=clock))
    pages.pages[FOLDER + "did-witness.json"] = AWAY
    assert "cannot be reached" in await resolved(Lookup(pages, clock=clock))
    changed = published()
    changed.pages[FOLDER + "did.jsonl"] = ROTATED.text.replace("authentication", "assertionMethod").encode()
    assert await resolved(Lookup(changed, clock=clock)) != ""


@given(st.text(max_size=200) | st.sampled_from([ROTATED.did, ROTATED.did + ":..:x", "did:web:x.example"]))
@settings(deadline=None, max_examples=50)
def test_whatever_a_signer_is_called_it_is_answered_in_words(did: str) -> None:
    known = Known(Lookup(Pages()))
    with pytest.raises(Fault):
        known.resolve(did)
    assert known.wanted <= {did}


async def test_trouble_with_the_network_is_told_from_what_is_wrong(clock: Clock) -> None:
    clock.now = NOW
    for page, troubled in ((AWAY, True), (b"garbage", False)):
        pages = published()
        pages.pages[FOLDER + "did.jsonl"] = page
        seen: list[Known] = []

        async def run(known: Known, seen: list[Known] = seen) -> None:
            seen.append(known)
            with pytest.raises(Fault):
                known.resolve(ROTATED.did)

        await Lookup(pages, clock=clock).with_known(run)
        assert (seen[-1].trouble is not None) is troubled


# The real web, on this machine


@asynccontextmanager
async def serving(answer: Callable[[web.Request], Any]) -> AsyncIterator[str]:
    async def handle(request: web.Request) -> web.StreamResponse:
        found: web.StreamResponse = answer(request)
        return await found if asyncio.iscoroutine(found) else found

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_a_page_is_fetched_where_we_are_ourselves_and_nowhere_nearer() -> None:
    async with serving(lambda request: web.Response(body=b"here")) as url:
        assert await Web("http://127.0.0.1:1").get(url + "/a", 100) == b"here"
        assert await Web(registry=url).get(url + "/dids/a", 100) == b"here"
        for fetch in (Web(), Web("http://192.0.2.1:1"), Web(registry=url + "/below")):
            with pytest.raises(Invalid, match="network we do not ask"):
                await fetch.get(url + "/a", 100)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "localhost", "0"]
)
async def test_no_inner_address_is_asked_however_it_is_written(host: str) -> None:
    with pytest.raises(Fault) as caught:
        await Web().get(f"http://{host}:9/x", 100)
    assert "network we do not ask" in str(caught.value) or host == "0"


@pytest.mark.parametrize(
    ("answer", "error", "expected"),
    [
        (lambda r: web.Response(status=404), Unknown, "no such thing"),
        (lambda r: web.Response(status=410), Unknown, "no such thing"),
        (lambda r: web.Response(status=503), Unavailable, "answered 503"),
        (lambda r: web.Response(status=401), Unavailable, "answered 401"),
        (lambda r: web.Response(body=b"x" * 101), Invalid, "larger than 100"),
        (lambda r: web.Response(status=302, headers={"Location": INNER}), Invalid, "sends us elsewhere"),
        (lambda r: web.Response(status=301, headers={"Location": "/b"}), Invalid, "sends us elsewhere"),
        (lambda r: asyncio.sleep(5), Unavailable, "in time"),
    ],
)
async def test_answers_that_are_none(answer: Any, error: type[Fault], expected: str) -> None:
    asked = []

    def noted(request: web.Request) -> Any:
        asked.append(request.path)
        return answer(request)

    async with serving(noted) as url:
        with pytest.raises(error, match=expected):
            await Web(url, timeout_s=0.3).get(url + "/a", 100)
    assert asked == ["/a"]


async def test_a_server_that_is_not_there_may_be_there_later() -> None:
    async with serving(lambda request: web.Response()) as url:
        pass
    with pytest.raises(Unavailable, match="cannot be reached"):
        await Web(url).get(url + "/a", 100)


@pytest.mark.parametrize(
    "url", ["ftp://x.example/", "file:///etc/passwd", "https://", "http://[::1", "", "x"]
)
async def test_what_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        await Web("http://127.0.0.1:1").get(url, 100)


def test_nothing_is_used_longer_than_an_hour_without_asking() -> None:
    assert SOONEST < LATEST <= timedelta(hours=1)
