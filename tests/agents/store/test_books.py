"""Everything else in the books, read back as it was written."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.ports import Desk, Pass, User
from agents.role import Company, Evidence, Held, Item
from agents.store import SqlStore, open_store
from protocols.collection import Quote, Request
from schemas.claims import Member, MembershipRegister
from schemas.errors import Invalid, Unknown
from schemas.events import Event
from schemas.items import mint

from .company import PACK, US, WORDS, Clock, begin, connect, hear, say

NOW = datetime(2026, 4, 1, tzinfo=UTC)


# Dealings


async def test_dealings_are_listed_latest_first_and_by_page(store: SqlStore, clock: Clock) -> None:
    threads = []
    for n in range(5):
        threads.append(str(n))
        await store.write(
            lambda desk, t=str(n): hear(desk, begin(desk, connect(desk), t), WORDS[Request])  # type: ignore[misc]
        )
        clock.pass_(minutes=1)
    await store.write(
        lambda desk: say(desk, begin(desk, connect(desk), "1"), WORDS[Quote])  # the latest change now
    )
    order = ["1", "4", "3", "2", "0"]
    everything = await store.read(lambda desk: desk.dealings())
    assert [dealing.thread for dealing in everything] == order
    pages = [await store.read(lambda desk, n=n: desk.dealings(limit=2, offset=n)) for n in (0, 2, 4)]  # type: ignore[misc]
    assert [dealing for page in pages for dealing in page] == everything
    first = everything[0]
    assert (first.state, first.ours, first.about, first.side) == ("quoted", False, PACK, "collector")
    assert first.opened < first.updated

    async def found(**asked: object) -> list[str]:
        return [d.thread for d in await store.read(lambda desk: desk.dealings(**asked))]  # type: ignore[arg-type]

    assert await found(states=("quoted", "declined")) == ["1"]
    assert await found(ours=True) == order[1:]
    assert await found(ours=False) == ["1"]
    assert await found(protocol="collection/1.0", states=("requested",)) == order[1:]
    assert await found(protocol="delivery/1.0") == []
    assert await found(about=PACK) == order
    assert await found(about="P") == []


# Items


def cell(code: str, model: str = "", **more: object) -> Item:
    return Item(code, "cell", "did:example:registrar", model=model, **more)  # type: ignore[arg-type]


async def test_items_are_found_by_code_and_model(store: SqlStore) -> None:
    pack = Item(PACK, "pack", "did:example:registrar", model="Leaf 100%_Ω", mass_kg="294.50")
    cells = [cell(mint("cell", PACK, n), "AESC é 33") for n in range(1, 4)]

    def keep(desk: Desk) -> None:
        for one in (*cells[::-1], pack):
            desk.keep_item(one)

    await store.write(keep)

    async def found(text: str) -> list[Item]:
        return await store.read(lambda desk: desk.items(text=text))

    codes = sorted([pack, *cells], key=lambda one: one.code)
    assert await store.read(lambda desk: desk.item(PACK)) == pack
    assert await store.read(lambda desk: desk.item("P")) is None
    assert await store.read(lambda desk: desk.items(kind="cell")) == cells
    assert await store.read(lambda desk: desk.items(kind="cell", limit=1, offset=1)) == cells[1:2]
    assert await found(PACK[:4].lower()) == codes
    assert await found(PACK[1:4]) == []
    assert await found("aesc É") == cells
    assert await found("100%_ω") == [pack]
    assert await found("%") == [pack]
    assert await found("_") == [pack]
    assert await found("\\") == []
    assert await found("100_") == []


async def test_items_are_found_from_their_parts(store: SqlStore) -> None:
    cells = tuple(mint("cell", PACK, n) for n in range(1, 4))
    lots = [
        Item(mint("lot"), "lot", "did:example:registrar", made_of=cells[:2]),
        Item(mint("product"), "product", "did:example:registrar", made_of=cells[1:]),
    ]

    def keep(desk: Desk) -> None:
        for lot in (*lots, *lots):
            desk.keep_item(lot)
        desk.keep_item(cell(cells[0], part_of=PACK))

    await store.write(keep)
    assert await store.read(lambda desk: desk.containers(cells[0])) == lots[:1]
    assert await store.read(lambda desk: desk.containers(cells[1])) == sorted(lots, key=lambda x: x.code)
    assert await store.read(lambda desk: desk.containers(PACK)) == []
    assert [x.code for x in await store.read(lambda desk: desk.items(part_of=PACK))] == [cells[0]]


async def test_an_item_is_completed_and_only_its_registrar_changes_it(store: SqlStore) -> None:
    known = cell(PACK, "Leaf")
    other = replace(known, registrar="did:example:other", model="forged", chemistry="LMO")
    await store.write(lambda desk: desk.keep_item(known))
    await store.write(lambda desk: desk.keep_item(other))
    assert await store.read(lambda desk: desk.item(PACK)) == replace(known, chemistry="LMO")
    await store.write(lambda desk: desk.keep_item(replace(known, model="Leaf ZE0", made_of=("C",))))
    after = replace(known, chemistry="LMO", model="Leaf ZE0", made_of=("C",))
    assert await store.read(lambda desk: desk.item(PACK)) == after
    assert await store.read(lambda desk: desk.containers("C")) == [after]


# Events, credentials, evidence, measurements


def event(**more: object) -> Event:
    fields = {"item": PACK, "kind": "pack", "what": "weighed", "when": NOW, "who": "Welder"} | more
    return Event.model_validate(fields)


SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    details=st.dictionaries(st.text(max_size=10), SCALARS | st.floats(allow_nan=False, allow_infinity=False))
)
async def test_an_event_comes_back_equal(store: SqlStore, details: dict[str, object]) -> None:
    told = event(item=str(uuid4()), details=details, where="棚 3\x00", evidence=("0" * 64,), exchange="t")
    await store.write(lambda desk: desk.keep_event(told))
    assert await store.read(lambda desk: desk.events(told.item)) == (told,)


async def test_events_are_told_oldest_first_and_kept_once(store: SqlStore) -> None:
    late, early, same = event(when=NOW + timedelta(hours=1)), event(), event(what="moved")

    def keep(desk: Desk) -> None:
        for one in (late, early, same):
            desk.keep_event(one, source="" if one is late else "urn:uuid:theirs")
            desk.keep_event(one, source="" if one is late else "urn:uuid:again")

    await store.write(keep)
    assert await store.read(lambda desk: desk.events(PACK)) == (early, same, late)
    assert await store.read(lambda desk: desk.events(PACK, ours=True)) == (late,)
    forged = event(id=late.id, what="repaired")
    with pytest.raises(Invalid):
        await store.write(lambda desk: desk.keep_event(forged))
    assert await store.read(lambda desk: desk.events(PACK)) == (early, same, late)


async def test_a_credential_is_kept_once_and_as_it_was(store: SqlStore) -> None:
    document = {
        "id": "urn:uuid:1",
        "z": 1e-7,
        "a": 90.0,
        "credentialSubject": {"名": "値\x00", "n": [1, None]},
    }
    held = Held("urn:uuid:1", "ItemIdentity", PACK, "did:example:x", NOW, "d1", document)
    older = replace(held, id="urn:uuid:2", at=NOW - timedelta(days=1), type="HandlingRecord", source="p")

    def keep(desk: Desk) -> None:
        for one in (held, older, held):
            desk.keep_credential(one)

    await store.write(keep)
    found = await store.read(lambda desk: desk.credential("urn:uuid:1"))
    assert found == held
    assert list(found.document) == list(document)
    assert await store.read(lambda desk: desk.credentials(PACK)) == [older, held]
    assert await store.read(lambda desk: desk.credentials(PACK, "ItemIdentity")) == [held]
    assert await store.read(lambda desk: desk.credentials("P")) == []
    assert await store.read(lambda desk: desk.credential("urn:uuid:3")) is None
    with pytest.raises(Invalid):
        await store.write(lambda desk: desk.keep_credential(replace(held, digest="d2")))


async def test_a_file_is_awaited_until_it_is_held(store: SqlStore) -> None:
    awaited = Evidence("0" * 64, "photo.jpg", "image/jpeg", 4_000_000_000, "awaited")
    peer = (await store.write(connect)).id
    await store.write(lambda desk: desk.keep_evidence(awaited, link="https://x/1", key="k", peer=peer))
    await store.write(lambda desk: desk.keep_evidence(awaited))
    (file,) = await store.read(lambda desk: desk.awaited_evidence())
    assert (file.evidence, file.link, file.key, file.peer) == (awaited, "https://x/1", "k", peer)
    held = replace(awaited, state="held")
    await store.write(lambda desk: desk.keep_evidence(replace(awaited, state="refused")))
    assert await store.read(lambda desk: desk.awaited_evidence()) == []
    await store.write(lambda desk: desk.keep_evidence(held))
    await store.write(lambda desk: desk.keep_evidence(awaited, link="https://x/2", key="k", peer=peer))
    assert await store.read(lambda desk: desk.evidence("0" * 64)) == held
    assert await store.read(lambda desk: desk.awaited_evidence()) == []


async def test_measurements_are_kept_once_in_order(store: SqlStore) -> None:
    def keep(desk: Desk) -> None:
        desk.keep_measurement("C", "b", {"ohm": 0.00095, "subject": "urn:salted"})
        desk.keep_measurement("C", "a", {"ohm": [0.1, 1e-7]})
        desk.keep_measurement("C", "b", {"ohm": 7})

    await store.write(keep)
    first, second = await store.read(lambda desk: desk.measurements("C"))
    assert (first["ohm"], second["ohm"]) == (0.00095, [0.1, 1e-7])
    assert await store.read(lambda desk: desk.prediction_inputs("urn:salted")) == first
    assert await store.read(lambda desk: desk.prediction_inputs("")) is None
    assert await store.read(lambda desk: desk.prediction_inputs("urn:other")) is None


# Settings, members, workers


def register(version: int, *names: str) -> str:
    members = tuple(
        Member(did=f"did:example:{n}", name=n, roles=("collector",), status="accredited", since=NOW)
        for n in names
    )
    return MembershipRegister(did="did:example:a", version=version, members=members).model_dump_json()


async def test_members_are_those_of_the_register_held(store: SqlStore) -> None:
    assert await store.write(lambda desk: desk.members()) == ()
    await store.write(lambda desk: desk.set("register", register(1, "a")))
    assert [m.name for m in await store.read(lambda desk: desk.members())] == ["a"]

    def change(desk: Desk) -> list[str]:
        desk.set("register", register(2, "a", "b"))
        return [m.name for m in desk.members()]

    assert await store.write(change) == ["a", "b"]
    assert [m.name for m in await store.read(lambda desk: desk.members())] == ["a", "b"]
    once = await store.write(lambda desk: desk.members())
    assert await store.write(lambda desk: desk.members()) is once


async def test_the_authority_is_whom_we_trust_or_ourselves(url: str) -> None:
    for company, own in (
        (US, ""),
        (Company("did:example:a", "A", ("governance-authority",)), "did:example:a"),
    ):
        store = open_store(url, company)
        assert await store.read(lambda desk: desk.authority()) == own
        store.close()
    store = open_store(url, US)
    await store.write(lambda desk: desk.set("authority", "did:example:a"))
    assert await store.read(lambda desk: desk.authority()) == "did:example:a"
    assert await store.read(lambda desk: desk.company) == US
    store.close()


async def test_settings_and_qualifications_are_remembered(store: SqlStore) -> None:
    for value in ("one", "two"):
        await store.write(lambda desk, v=value: desk.set("name", v))  # type: ignore[misc]
        assert await store.read(lambda desk: desk.setting("name")) == value
        assert await store.write(lambda desk: desk.setting("name")) == value
    await store.write(lambda desk: desk.qualify("Welder", "high-voltage"))
    await store.write(lambda desk: desk.qualify("Welder", "high-voltage"))
    await store.write(lambda desk: desk.qualify("Welder", "forklift"))
    assert await store.read(lambda desk: desk.qualifications("Welder")) == {"high-voltage", "forklift"}
    assert await store.read(lambda desk: desk.qualifications("Packer")) == frozenset()


# Clicks and jobs


async def test_a_click_leads_where_it_first_led(store: SqlStore) -> None:
    assert await store.read(lambda desk: desk.done("k")) is None
    await store.write(lambda desk: desk.note_done("k", "t1"))
    await store.write(lambda desk: desk.note_done("k", "t2"))
    assert await store.read(lambda desk: desk.done("k")) == "t1"


async def test_jobs_are_found_by_state_oldest_first(store: SqlStore, clock: Clock) -> None:
    ids = [await store.write(lambda desk, n=n: desk.start("diagnose", {"n": n})) for n in range(3)]  # type: ignore[misc]
    await store.write(lambda desk: desk.note_job(ids[1], "running", {"cell": 7}))
    job = await store.read(lambda desk: desk.job(ids[1]))
    assert job is not None
    assert (job.state, job.progress, job.details, job.at) == ("running", {"cell": 7}, {"n": 1}, clock.now)
    assert [job.id for job in await store.read(lambda desk: desk.jobs())] == ids
    assert [job.id for job in await store.read(lambda desk: desk.jobs("queued"))] == [ids[0], ids[2]]
    assert [job.id for job in await store.read(lambda desk: desk.jobs("running", "done"))] == [ids[1]]
    assert await store.read(lambda desk: desk.job("none")) is None
    with pytest.raises(Unknown):
        await store.write(lambda desk: desk.note_job("none", "done", {}))


# Who may use this agent


async def test_users_come_change_and_go_with_all_their_passes(store: SqlStore, clock: Clock) -> None:
    welder, packer = User("welder", "hash", "manager", "ja"), User("packer", "", "operator")
    entry = Pass(
        "digest", "session", "welder", "manager", "phone", "csrf", clock.now, clock.now + timedelta(hours=1)
    )

    def keep(desk: Desk) -> None:
        for user in (welder, packer, replace(welder, rank="admin")):
            desk.keep_user(user)
        desk.keep_pass(entry)
        desk.keep_pass(replace(entry, digest="second", kind="token", expires=clock.now + timedelta(days=9)))
        desk.keep_pass(replace(entry, label="new phone"))

    await store.write(keep)
    assert await store.read(lambda desk: desk.users()) == [packer, replace(welder, rank="admin")]
    assert await store.read(lambda desk: desk.user("packer")) == packer
    assert await store.read(lambda desk: desk.user("ito")) is None
    assert await store.read(lambda desk: desk.passed("digest")) == replace(entry, label="new phone")
    assert [p.digest for p in await store.read(lambda desk: desk.passes("welder"))] == ["digest", "second"]
    clock.pass_(hours=1)
    assert await store.read(lambda desk: desk.passed("digest")) is None
    assert [p.digest for p in await store.read(lambda desk: desk.passes("welder"))] == ["second"]
    await store.write(lambda desk: desk.drop_pass("nothing"))
    await store.write(lambda desk: desk.drop_user("welder"))
    assert await store.read(lambda desk: desk.passed("second")) is None
    assert await store.read(lambda desk: desk.users()) == [packer]


async def test_failed_logins_are_counted_since_a_time(store: SqlStore, clock: Clock) -> None:
    start = clock.now
    for _ in range(3):
        await store.write(lambda desk: desk.note_failure("welder"))
        clock.pass_(minutes=1)
    assert await store.read(lambda desk: desk.failures("welder", start)) == 3
    assert await store.read(lambda desk: desk.failures("welder", start + timedelta(minutes=1))) == 2
    assert await store.read(lambda desk: desk.failures("packer", start)) == 0
    clock.pass_(days=30)
    await store.write(lambda desk: desk.note_failure("welder"))
    assert await store.read(lambda desk: desk.failures("welder", start)) == 1
