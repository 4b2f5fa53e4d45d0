"""What issuers publish is found again; what hostile sites tell is refused, and the rest goes on."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agents.harvest import Harvest, Harvested, Search
from agents.lookup import MOST_FOR_ONE
from agents.ports import Desk, Entry
from agents.role import Issue
from agents.service import _Change
from agents.web.public import FeedEntry, FeedPage
from credentials import status
from credentials.integrity import seal
from credentials.vc import credential
from schemas.claims import CONTEXT, Claim, DiagnosisResult, HandlingRecord, ItemIdentity
from schemas.errors import Fault, Forbidden, Invalid, Unavailable, Unknown
from schemas.events import Event
from schemas.items import item_uri, mint
from tests.agents.pages import Pages
from tests.agents.web.world import House, Street, admit
from tests.fakes import until

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class Sites:
    """The web, in memory: what each site answers, and where it breaks."""

    pages: dict[str, Callable[[int], bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def get(self, url: str, most: int, /) -> bytes:
        site, _, since = url.partition("/published?since=")
        self.asked.append(url)
        content = self.pages[site](int(since))
        if len(content) > most:
            raise Invalid("it is larger than {limit} bytes", limit=most)
        return content


@dataclass
class Scene:
    """An authority that reads two issuers."""

    street: Street
    authority: House
    collector: House
    dismantler: House
    sites: Sites
    harvest: Harvest

    async def show(self, house: House, *documents: dict[str, Any] | None, page: int = 100) -> None:
        """Have a site tell what its house published, and after that these documents."""
        feed = await house.store.read(lambda desk: desk.publications())
        told = [
            FeedEntry(number=one.number, id=one.id, credential=dict(one.held.document) if one.held else None)
            for one in feed
        ]
        last = feed[-1].number if feed else 0
        for n, one in enumerate(documents, last + 1):
            told.append(FeedEntry(number=n, id=(one or {}).get("id", "urn:x"), credential=one))

        def answer(since: int) -> bytes:
            after = [one for one in told if one.number > since]
            some = after[:page]
            following = some[-1].number if some else since
            more = len(after) > len(some)
            feed_page = FeedPage(issuer=house.did, entries=tuple(some), next=following, more=more)
            return feed_page.model_dump_json().encode()

        self.sites.pages[f"https://{house.role}.example"] = answer

    async def publish(self, house: House, claim: Claim, about: str) -> str:
        """Have a house state something and publish it; return its id."""

        def work(desk: Desk) -> str:
            change = _Change(house.agent, desk, house.agent.lookup.known())
            held = change.issue(Issue(claim, about))
            change.publish(held.id)
            return held.id

        return await house.store.write(work)

    async def read(self, issuer: str = "") -> dict[str, Harvested]:
        return {one.issuer: one for one in await self.harvest.harvest(issuer)}

    async def find(self, **asked: Any) -> list[str]:
        found, _, _ = await self.harvest.search(Search(**asked))
        return [one.id for one in found]


@pytest.fixture
async def scene(street: Street) -> Scene:
    authority = street.open("Battery Office", "governance-authority")
    collector, dismantler = street.open("Minato", "collector"), street.open("Sakura", "dismantler")
    await admit(authority, collector, dismantler)
    sites = Sites()
    scene = Scene(street, authority, collector, dismantler, sites, Harvest(authority.agent, sites))
    for house in (collector, dismantler):
        await scene.show(house)
        await scene.harvest.add(house.did, f"https://{house.role}.example/")
    return scene


@pytest.fixture
def street(tmp_path: Path) -> Any:
    street = Street(tmp_path)
    yield street
    street.close()


def pack(code: str, model: str = "Leaf ZE1", chemistry: str = "NMC") -> ItemIdentity:
    return ItemIdentity(item=code, kind="pack", model=model, chemistry=chemistry)


def document(
    house: House, type_: str, subject: dict[str, Any], id: str = "urn:x:1", issuer: str = ""
) -> dict[str, Any]:
    """Return a sealed document as a hostile site could make it."""
    made = credential(issuer or house.did, (type_,), subject, id=id, valid_from=NOON, contexts=(CONTEXT,))
    return seal(made, house.agent.signer, created=NOON)


async def test_what_is_published_is_found_by_all_that_can_be_asked(scene: Scene) -> None:
    first, second = mint("pack"), mint("pack")
    a = await scene.publish(scene.collector, pack(first, "リーフ ZE1", "リン酸鉄リチウム"), first)
    b = await scene.publish(scene.dismantler, pack(second, "Sakura 20 kWh"), second)
    for house in (scene.collector, scene.dismantler):
        await scene.show(house)
    came = await scene.read()
    assert [came[h.did].indexed for h in (scene.collector, scene.dismantler)] == [1, 1]
    assert set(await scene.find()) == {a, b}
    for asked, found in (
        ({"text": "鉄リチウム"}, [a]),
        ({"text": "リーフ"}, [a]),
        ({"text": "sakura KWH"}, [b]),
        ({"text": "sakura リーフ"}, []),
        ({"text": first}, [a]),
        ({"model": "ZE1"}, [a]),
        ({"model": "NMC"}, []),
        ({"item": second.lower()}, [b]),
        ({"issuer": "Minato"}, [a]),
        ({"issuer": scene.dismantler.did, "type": "ItemIdentity"}, [b]),
        ({"type": "DiagnosisResult"}, []),
        ({"until": "2020-01-01"}, []),
        ({"issuer": "Sakura", "since": "2020-01-01", "text": "20"}, [b]),
    ):
        assert await scene.find(**asked) == found, asked


async def test_pages_go_on_where_the_last_one_ended(scene: Scene) -> None:
    ids = set()
    for _ in range(5):
        code = mint("pack")
        ids.add(await scene.publish(scene.collector, pack(code), code))
    await scene.show(scene.collector, page=2)
    await scene.read()
    seen: list[str] = []
    after = "start"
    while after:
        found, sites, after = await scene.harvest.search(
            Search(limit=2, after="" if after == "start" else after)
        )
        seen += [one.id for one in found]
        assert sites[scene.collector.did] == "https://collector.example"
    assert len(seen) == 5
    assert set(seen) == ids


async def test_what_is_taken_back_is_found_no_more_and_a_rebuilt_index_is_the_same(scene: Scene) -> None:
    codes = [mint("pack") for _ in range(3)]
    ids = [await scene.publish(scene.collector, pack(code), code) for code in codes]
    await scene.show(scene.collector)
    await scene.read()
    assert set(await scene.find()) == set(ids)
    await scene.collector.do("unpublish", credential=ids[0])
    await scene.show(scene.collector)
    came = await scene.read(scene.collector.did)
    assert came[scene.collector.did].removed == 1
    before = await _everything(scene)
    assert {one.id for one in before} == set(ids[1:])
    await scene.harvest.rebuild()
    assert await _everything(scene) == before


async def _everything(scene: Scene) -> list[Entry]:
    found, _, _ = await scene.harvest.search(Search(limit=100))
    return found


async def test_a_diagnosis_is_found_by_the_model_its_issuer_registered(scene: Scene) -> None:
    """Whichever was published first."""
    code = mint("cell", "P3F9KQ27MH-5", 1)
    result = DiagnosisResult(
        item=code, measured_at=NOON, not_assessable="x", method="m", method_version="1", inputs_digest="d",
        measurement_digest="d", ohmic_resistance_ohm=Decimal("0.001"), ocv_v=Decimal("3.7"),
        temperature_c=Decimal(25), instruments=("BT4560",),
    )  # fmt: skip
    diagnosis = await scene.publish(scene.collector, result, code)
    await scene.show(scene.collector)
    await scene.read()
    assert await scene.find(type="DiagnosisResult", model="EX-cell") == []
    await scene.publish(scene.collector, ItemIdentity(item=code, kind="cell", model="EX-cell"), code)
    await scene.show(scene.collector)
    await scene.read()
    assert await scene.find(type="DiagnosisResult", model="EX-cell") == [diagnosis]


async def test_each_wrong_statement_is_refused_with_its_reason_and_the_rest_goes_on(scene: Scene) -> None:
    code, other = mint("pack"), mint("pack")
    house = scene.collector
    good = await scene.publish(house, pack(code), code)
    theirs = await scene.publish(scene.dismantler, pack(other), other)
    held = await scene.dismantler.store.read(lambda desk: desk.credential(theirs))
    assert held is not None
    subject = {"id": item_uri(house.did, other), "item": other, "kind": "pack", "model": "x"}
    event = Event(item=other, kind="pack", what="received", when=NOON, who=house.did)
    record = HandlingRecord(item=other, events=(event,)).model_dump(mode="json", exclude_none=True)
    wrong = {
        "changed": document(house, "ItemIdentity", subject, "urn:x:changed")
        | {"validFrom": "2026-01-02T00:00:00Z"},
        "theirs": dict(held.document),
        "posed": document(house, "ItemIdentity", subject, "urn:x:posed", issuer=scene.dismantler.did),
        "record": document(house, "HandlingRecord", {"id": subject["id"], **record}, "urn:x:record"),
        "kind": document(house, "ItemIdentity", subject | {"kind": "cell"}, "urn:x:kind"),
        "items": document(house, "ItemIdentity", subject | {"id": item_uri(house.did, code)}, "urn:x:items"),
        "code": document(house, "ItemIdentity", subject | {"item": "nonsense"}, "urn:x:code"),
        "type": document(house, "Marvel", subject, "urn:x:type"),
        "office": document(
            house, "MembershipRegister", {"did": house.did, "version": 1, "members": []}, "urn:x:office"
        ),
    }
    await scene.show(house, *wrong.values())
    came = (await scene.read())[house.did]
    reasons = {
        "urn:x:changed": "signature is wrong",
        theirs: "another issuer",
        "urn:x:posed": "another issuer",
        "urn:x:record": "HandlingRecord",
        "urn:x:kind": "cannot",
        "urn:x:items": "two items",
        "urn:x:code": "does not say what it must",
        "urn:x:type": "no type we know",
        "urn:x:office": "may not issue",
    }
    assert came.indexed == 1
    assert came.refused.keys() == reasons.keys()
    for id, words in reasons.items():
        assert words in came.refused[id], (id, came.refused[id])
    assert await scene.find() == [good]
    (source, _) = await scene.authority.store.read(lambda desk: desk.index.sources())
    assert source.refused.keys() == reasons.keys()
    assert source.at is not None


async def test_a_site_has_us_look_up_nobody_and_few_lists(scene: Scene) -> None:
    house, code = scene.collector, mint("pack")
    subject = {"id": item_uri(house.did, code), "item": code, "kind": "pack", "model": "x"}
    scid = "Qm" + "1" * 44
    strangers = [
        document(house, "ItemIdentity", subject, f"urn:x:{n}", issuer=f"did:webvh:{scid}:bank{n}.example")
        for n in range(50)
    ]
    pages = Pages()
    scene.authority.agent.lookup.fetch = pages
    await scene.show(house, *strangers)
    came = (await scene.read())[house.did]
    assert (came.problem, len(came.refused), pages.asked) == ("", 50, [])
    many = [
        seal(
            credential(
                house.did,
                ("ItemIdentity",),
                subject,
                id=f"urn:x:{n}",
                valid_from=NOON,
                contexts=(CONTEXT,),
                status=[
                    status.entry(f"https://bank{n}.example/{m}", 1, "revocation")
                    for m in range(status.MAX_ENTRIES)
                ],
            ),
            house.agent.signer,
            created=NOON,
        )
        for n in range(50)
    ]
    await scene.harvest.agent.store.write(lambda desk: desk.index.clear())
    await scene.show(house, *many)
    came = (await scene.read())[house.did]
    assert came.problem == "too much would have to be looked up"
    assert len(pages.asked) == MOST_FOR_ONE


async def test_a_statement_that_is_wrong_now_is_found_no_more(scene: Scene) -> None:
    code = mint("pack")
    id = await scene.publish(scene.collector, pack(code), code)
    await scene.show(scene.collector)
    await scene.read()
    assert await scene.find() == [id]
    held = await scene.collector.store.read(lambda desk: desk.credential(id))
    assert held is not None
    await scene.show(scene.collector, {**held.document, "validFrom": "2026-01-02T00:00:00Z"})
    assert id in (await scene.read())[scene.collector.did].refused
    assert await scene.find() == []


def told(**changes: Any) -> bytes:
    page = {"issuer": "did:key:x", "entries": [], "next": 0, "more": False}
    return json.dumps(page | changes).encode()


ENTRY = {"number": 1, "id": "urn:x", "credential": None}
BROKEN: dict[str, bytes] = {
    "no JSON": b"<html>",
    "a name twice": b'{"issuer": "a", "issuer": "b", "entries": [], "next": 0, "more": false}',
    "nothing": b"",
    "a list": b"[]",
    "of somebody else": told(),
    "in a loop": told(issuer="US", more=True),
    "backwards": told(issuer="US", entries=[ENTRY | {"number": 2}, ENTRY], next=2),
    "back to before": told(issuer="US", entries=[ENTRY], next=0),
    "twice the same": told(issuer="US", entries=[ENTRY, ENTRY], next=1),
    "too many": told(issuer="US", entries=[ENTRY | {"number": n} for n in range(1, 600)], next=599),
    "numbers that are none": told(issuer="US", entries=[ENTRY | {"number": "x"}], next=1),
    "beyond all numbers": told(issuer="US", next=2**63),
    "too large": told(issuer="US", entries=[ENTRY | {"id": "x" * (5 << 20)}]),
}


@pytest.mark.parametrize("how", BROKEN)
async def test_a_broken_feed_is_told_of_and_the_other_issuers_are_read(scene: Scene, how: str) -> None:
    page = BROKEN[how].replace(b'"US"', json.dumps(scene.collector.did).encode())
    scene.sites.pages["https://collector.example"] = lambda since: page
    code = mint("pack")
    good = await scene.publish(scene.dismantler, pack(code), code)
    await scene.show(scene.dismantler)
    came = await scene.read()
    assert came[scene.collector.did].problem
    assert not came[scene.dismantler.did].problem
    assert await scene.find() == [good]
    assert len(scene.sites.asked) <= 3


async def test_a_feed_without_an_end_is_left_after_a_while(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(since: int) -> bytes:
        entry = {"number": since + 1, "id": f"urn:x:{since}", "credential": None}
        return told(issuer=scene.collector.did, entries=[entry], next=since + 1, more=True)

    monkeypatch.setattr("agents.harvest.MOST_PAGES", 5)
    scene.sites.pages["https://collector.example"] = endless
    came = await scene.read(scene.collector.did)
    assert "more than is read at a time" in came[scene.collector.did].problem
    assert len(scene.sites.asked) == 5
    await scene.read(scene.collector.did)
    assert scene.sites.asked[5].endswith("since=5"), "it goes on where it was left"


async def test_reading_goes_on_where_it_broke_off(scene: Scene) -> None:
    ids = []
    for _ in range(4):
        code = mint("pack")
        ids.append(await scene.publish(scene.collector, pack(code), code))
    await scene.show(scene.collector, page=2)
    whole = scene.sites.pages["https://collector.example"]

    def away(since: int) -> bytes:
        if since:
            raise Unavailable("its server does not answer in time")
        return whole(since)

    scene.sites.pages["https://collector.example"] = away
    assert "in time" in (await scene.read())[scene.collector.did].problem
    assert set(await scene.find()) == set(ids[:2])
    scene.sites.pages["https://collector.example"] = whole
    came = (await scene.read())[scene.collector.did]
    assert (came.indexed, came.problem) == (2, "")
    assert set(await scene.find()) == set(ids)


async def test_who_is_no_member_in_good_standing_is_not_read(scene: Scene) -> None:
    with pytest.raises(Forbidden, match="not a member"):
        await scene.harvest.add("did:key:z6Mkstranger", "https://stranger.example")
    for site in ("ftp://x", "javascript:1", "https://", "https://x?y", "https://x/" + "x" * 300):
        with pytest.raises(Invalid, match="address of a site"):
            await scene.harvest.add(scene.collector.did, site)
    thread = await scene.authority.store.read(
        lambda desk: next(
            d.thread for d in desk.dealings() if d.protocol == "membership/1.0" and d.state == "accredited"
        )
    )
    await scene.authority.do("suspend", thread, reason="audit")
    problems = {one.problem for one in await scene.harvest.harvest()}
    assert problems == {"", "no member in good standing: suspended"}
    with pytest.raises(Unknown):
        await scene.harvest.harvest("did:key:z6Mkstranger")


async def test_who_is_read_no_more_is_found_no_more(scene: Scene) -> None:
    code = mint("pack")
    await scene.publish(scene.collector, pack(code), code)
    await scene.show(scene.collector)
    await scene.read()
    await scene.harvest.drop(scene.collector.did)
    assert await scene.find() == []


async def test_members_are_read_where_their_dids_say_that_they_publish(scene: Scene) -> None:
    named = {
        scene.collector.did: "https://collector.example",
        scene.dismantler.did: "ftp://nowhere.example",  # one strange word keeps nobody else from being read
        scene.authority.did: "",
    }

    async def site(did: str) -> str:
        return named[did]

    codes = [mint("pack") for _ in range(2)]
    ids = [await scene.publish(scene.collector, pack(code), code) for code in codes]
    await scene.show(scene.collector)
    scene.harvest = Harvest(scene.authority.agent, scene.sites, site)

    def forget(desk: Desk) -> None:
        for house in (scene.collector, scene.dismantler):
            desk.index.drop_source(house.did)

    await scene.authority.store.write(forget)
    assert set(await scene.read()) == {scene.collector.did}
    assert set(await scene.find()) == set(ids)

    scene.sites.pages["https://moved.example"] = scene.sites.pages.pop("https://collector.example")
    named[scene.collector.did] = "https://moved.example"
    came = await scene.read()
    assert (came[scene.collector.did].problem, came[scene.collector.did].indexed) == ("", 2)

    await scene.harvest.drop(scene.collector.did)
    assert await scene.read() == {}
    assert await scene.find() == []
    await scene.harvest.add(scene.collector.did, "https://moved.example")
    assert set(await scene.read()) == {scene.collector.did}


async def test_who_is_no_member_in_good_standing_is_not_looked_for(scene: Scene) -> None:
    asked: list[str] = []

    async def site(did: str) -> str:
        asked.append(did)
        return ""

    def of_the_collector(desk: Desk) -> str:
        peer = next(one.id for one in desk.peers() if one.did == scene.collector.did)
        return next(one.thread for one in desk.dealings("membership/1.0") if one.peer == peer)

    thread = await scene.authority.store.read(of_the_collector)
    await scene.authority.do("withdraw-accreditation", thread, reason="closed")
    await Harvest(scene.authority.agent, scene.sites, site).harvest()
    assert scene.collector.did not in asked
    assert scene.dismantler.did in asked


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"text": "、。 !"}, "no word"),
        ({"text": " ".join(f"w{n}" for n in range(50))}, "fewer words"),
        ({"item": "P0"}, "not an item code"),
        ({"issuer": "Nobody"}, "no issuer"),
        ({"since": "2026-02-31"}, "not a date"),
    ],
)
async def test_what_cannot_be_searched_for_is_said_so(
    scene: Scene, asked: dict[str, str], words: str
) -> None:
    with pytest.raises(Fault, match=words):
        await scene.find(**asked)


async def test_a_flood_of_searches_is_held_off(scene: Scene) -> None:
    scene.harvest._waiting = 20
    with pytest.raises(Unavailable, match="too many search"):
        await scene.find()


async def test_what_tells_of_a_deal_is_left_out_of_what_is_published(scene: Scene) -> None:
    """Everyone sees an edition without the fields that the framework keeps closed; the whole stays ours."""
    vehicle, code = mint("vehicle"), mint("pack")
    whole = ItemIdentity(item=code, kind="pack", model="Leaf", part_of=vehicle, position="rack 3")
    id = await scene.publish(scene.collector, whole, code)
    shown = await scene.collector.store.read(lambda desk: desk.published(code))
    assert [one.claim["model"] for one in shown] == ["Leaf"]
    assert vehicle not in json.dumps(dict(shown[0].document))
    assert "rack 3" not in json.dumps(dict(shown[0].document))
    assert shown[0].id != id
    about = await scene.collector.store.read(lambda desk: [one.id for one in desk.credentials(code)])
    assert about == [id], "whoever asks of the item gets the whole"
    await scene.collector.do("publish", credential=id)
    assert len(await scene.collector.store.read(lambda desk: desk.publications())) == 1
    await scene.collector.do("unpublish", credential=id)
    assert await scene.collector.store.read(lambda desk: desk.published(code)) == []


async def test_an_agent_begins_to_read_by_itself_and_stops(scene: Scene) -> None:
    code = mint("pack")
    id = await scene.publish(scene.collector, pack(code), code)
    await scene.show(scene.collector)

    async def site(did: str) -> str:
        return "https://governance-authority.example" if did == scene.authority.did else ""

    await scene.show(scene.authority)
    harvest = Harvest(scene.authority.agent, scene.sites, site, every_s=60).start()
    scene.harvest = harvest

    async def found() -> bool:
        return await scene.find() == [id]

    await until(found)
    sources = await scene.authority.store.read(lambda desk: desk.index.sources())
    assert "https://governance-authority.example" in [one.site for one in sources]
    await harvest.stop()
