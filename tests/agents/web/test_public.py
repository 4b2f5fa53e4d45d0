"""What everyone may see, and that nothing else shows through."""

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.harvest import Harvest
from agents.ports import Desk
from agents.role import Issue
from agents.service import _Change
from agents.web.public import CREDENTIAL_TYPES, HTML, preferred
from schemas.claims import Claim, HandlingRecord, ItemIdentity
from schemas.errors import Forbidden, Invalid, Unknown
from schemas.events import Event
from schemas.items import mint
from tests.fakes import until

from .world import House, Street, admit, browsing

JSON = {"Accept": "application/json"}


@pytest.fixture
async def collector(street: Street) -> House:
    authority, collector = (
        street.open("Battery Office", "governance-authority"),
        street.open("Minato", "collector"),
    )
    await admit(authority, collector)
    await collector.keep_user("chief")
    return collector


async def issue(house: House, claim: Claim, about: str) -> str:
    """Have a house make a statement; return its id."""

    def work(desk: Desk) -> str:
        return _Change(house.agent, desk, house.agent.lookup.known()).issue(Issue(claim, about)).id

    return await house.store.write(work)


async def identify(house: House, code: str, model: str = "Leaf ZE1") -> str:
    return await issue(house, ItemIdentity(item=code, kind="pack", model=model, chemistry="NMC"), code)


async def feed(browser: Any, since: int = 0, **query: Any) -> dict[str, Any]:
    params = {"since": since, **query}
    async with browser.client.get("/published", headers=JSON, params=params) as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def test_a_statement_is_shown_to_everyone_once_it_is_published(collector: House) -> None:
    code = mint("pack")
    id = await identify(collector, code)
    await collector.do("publish", item=code, claim_types=["ItemIdentity"])
    async with browsing(collector) as browser:
        page = await browser.get(f"/items/{code}")
        assert "Leaf ZE1" in page
        assert "Minato" in page
        assert "accredited" in page
        page = await browser.get(f"/credentials/{id.removeprefix('urn:uuid:')}")
        assert "NMC" in page
        assert code in page
    async with browsing(collector, language="ja") as browser:
        assert "公開している内容" in await browser.get(f"/items/{code}")


@pytest.mark.parametrize("media_type", CREDENTIAL_TYPES)
async def test_programs_get_the_sealed_document_itself(collector: House, media_type: str) -> None:
    code = mint("pack")
    id = await identify(collector, code)
    await collector.do("publish", credential=id)
    async with browsing(collector) as browser:
        async with browser.client.get(f"/credentials/{id}", headers={"Accept": media_type}) as answer:
            assert answer.content_type == media_type
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            document = await answer.json(content_type=None)
        async with browser.client.get(f"/items/{code}", headers=JSON) as answer:
            assert await answer.json() == {"item": code, "credentials": [document]}
    assert (await collector.agent.lookup.verified(document)).verified


async def test_what_is_not_published_is_answered_like_what_does_not_exist(collector: House) -> None:
    kept, shown, unknown = mint("pack"), mint("pack"), mint("pack")
    id = await identify(collector, kept)
    await identify(collector, shown)
    await collector.do("publish", item=shown, claim_types=["ItemIdentity"])
    record = Event(
        item=shown, kind="pack", what="received", when=datetime(2026, 1, 1, tzinfo=UTC), who=collector.did
    )
    other = await issue(collector, HandlingRecord(item=shown, events=(record,)), shown)
    absent = "/credentials/urn:uuid:00000000-0000-4000-8000-000000000000"
    async with browsing(collector) as browser:
        for accept in (HTML, "application/json"):
            answers = set()
            for path in (f"/items/{kept}", f"/items/{unknown}", "/items/nonsense", f"/items/{kept[:-1]}!"):
                async with browser.client.get(path, headers={"Accept": accept}) as answer:
                    assert answer.status == 404
                    answers.add(_less(await answer.text(), path))
            for path in (f"/credentials/{id}", f"/credentials/{other}", absent, "/credentials/x"):
                async with browser.client.get(path, headers={"Accept": accept}) as answer:
                    assert answer.status == 404
                    answers.add(_less(await answer.text(), path))
            assert len(answers) == 1, "one answer, whatever we hold"
        page = await browser.get(f"/items/{shown}")
        assert other not in page
        assert "received" not in page
        assert len((await feed(browser))["entries"]) == 1


def _less(text: str, path: str) -> str:
    """Return an answer without the address that was asked for, and what is new in each."""
    return re.sub(r'value="[^"]*"', "", text).replace(path, "")


async def test_no_deal_shows_on_a_page_for_everyone(street: Street, collector: House) -> None:
    """What came from a peer, and in which exchange, is not for everyone, whatever we publish beside it."""
    dismantler = street.open("Sakura", "dismantler")
    await admit(street.houses["governance-authority"], dismantler)
    near, _ = await street.connect(dismantler, collector)
    from .world import REQUEST

    thread = await dismantler.do("request-collection", near, **REQUEST)
    pack = await collector.store.read(lambda desk: desk.dealings()[0].about)
    await identify(dismantler, pack)
    async with browsing(dismantler) as browser, browser.client.get(f"/items/{pack}") as answer:
        assert answer.status == 404, "our own dealings make nothing public"
    await dismantler.do("publish", item=pack, claim_types=["ItemIdentity"])
    async with browsing(dismantler) as browser:
        for path in (f"/items/{pack}", "/published"):
            for accept in (HTML, "application/json"):
                async with browser.client.get(path, headers={"Accept": accept}) as answer:
                    text = await answer.text()
                    assert thread not in text
                    assert "Minato" not in text
                    assert collector.did not in text
    theirs = await collector.store.read(lambda desk: [h for h in desk.credentials(pack) if h.source])
    for held in theirs:
        with pytest.raises(Unknown, match="no such statement of ours"):
            await collector.do("publish", credential=held.id)


async def test_what_the_framework_does_not_open_cannot_be_published(collector: House) -> None:
    code = mint("pack")
    record = Event(
        item=code, kind="pack", what="received", when=datetime(2026, 1, 1, tzinfo=UTC), who=collector.did
    )
    id = await issue(collector, HandlingRecord(item=code, events=(record,)), code)
    with pytest.raises(Forbidden, match="HandlingRecord"):
        await collector.do("publish", credential=id)
    with pytest.raises(Forbidden, match="HandlingRecord"):
        await collector.do("publish-always", claim_types=["HandlingRecord"])
    with pytest.raises(Invalid, match="name an item"):
        await collector.do("publish", item=code)
    with pytest.raises(Forbidden, match="manager"):
        await collector.agent.perform("publish", {"credential": id}, rank="operator")


async def test_what_is_taken_back_is_gone(collector: House) -> None:
    code = mint("pack")
    id = await identify(collector, code)
    await collector.do("publish", credential=id)
    await collector.do("publish", credential=id)
    async with browsing(collector) as browser:
        before = await feed(browser)
        assert [entry["id"] for entry in before["entries"]] == [id], "publishing twice is publishing once"
        await collector.do("unpublish", credential=id)
        await browser.get(f"/items/{code}", 404)
        await browser.get(f"/credentials/{id}", 404)
        after = await feed(browser, since=before["next"])
        assert [(entry["id"], entry["credential"]) for entry in after["entries"]] == [(id, None)]
        with pytest.raises(Unknown, match="no such statement is published"):
            await collector.do("unpublish", credential=id)
        await collector.do("publish", credential=id)
        again = await feed(browser, since=after["next"])
        assert [entry["credential"]["id"] for entry in again["entries"]] == [id]
        assert (await feed(browser, since=again["next"]))["entries"] == []
        whole = await feed(browser)
        assert whole["entries"] == again["entries"], "each credential once, at its last change"


async def test_the_feed_is_read_page_by_page(collector: House) -> None:
    await collector.do("publish-always", claim_types=["ItemIdentity"])
    ids = [await identify(collector, mint("pack")) for _ in range(5)]
    await collector.do("publish-always")
    await identify(collector, mint("pack"))
    found, since, more = [], 0, True
    async with browsing(collector) as browser:
        while more:
            page = await feed(browser, since=since, limit=2)
            found += [entry["id"] for entry in page["entries"]]
            since, more = page["next"], page["more"]
        assert found == ids
        for query in ("since=-1", "since=x", "limit=0", "limit=9999999", "since=1&since=2", "what=1"):
            async with browser.client.get(f"/published?{query}", headers=JSON) as answer:
                assert answer.status == 422, query
                assert answer.content_type == "application/problem+json"
        async with browser.client.get("/published", headers={"Accept": HTML}) as answer:
            assert f"/credentials/{ids[0].removeprefix('urn:uuid:')}" in await answer.text()


async def test_our_own_people_see_all_of_an_item_and_can_see_what_others_see(collector: House) -> None:
    code = mint("pack")
    id = await identify(collector, code)
    async with browsing(collector, "chief") as browser:
        assert "Do something with it" in await browser.get(f"/items/{code}")
        assert json.loads(await browser.get(f"/credentials/{id}"))["id"] == id
        await browser.get(f"/items/{code}?public", 404)
        await collector.do("publish", credential=id)
        assert "What everyone sees of it" in await browser.get(f"/items/{code}")
        assert "Do something with it" not in await browser.get(f"/items/{code}?public")


async def test_a_did_url_leads_to_the_page(collector: House) -> None:
    """The path of an item's DID URL has no check character."""
    code = mint("pack")
    await identify(collector, code)
    await collector.do("publish", item=code, claim_types=["ItemIdentity"])
    async with browsing(collector) as browser:
        assert "Leaf ZE1" in await browser.get(f"/items/{code.partition('-')[0]}")


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "application/vc"),
        ("*/*", "application/vc"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
        ("application/ld+json", "application/ld+json"),
        ("application/json;q=0.5, application/vc", "application/vc"),
        ("application/*;q=0.2, text/html;q=0.1", "application/vc"),
        ("*/*;q=0.1, application/vc;q=0", "application/ld+json"),
        ("image/png", ""),
        ("text/html;q=nonsense", ""),
    ],
)
def test_the_form_is_the_one_asked_for(accept: str, form: str) -> None:
    assert preferred(accept, (*CREDENTIAL_TYPES, HTML)) == form


@given(st.text(max_size=60))
def test_no_accept_header_makes_it_fail(accept: str) -> None:
    assert preferred(accept, (HTML, "application/json")) in {"", HTML, "application/json"}


class OwnSite:
    """Reads a site of ours as a registry does, through its door."""

    def __init__(self) -> None:
        self.browsers: dict[str, Any] = {}

    async def get(self, url: str, most: int, /) -> bytes:
        site, _, rest = url.partition("/published")
        async with self.browsers[site].client.get(f"/published{rest}") as answer:
            assert answer.status == 200
            content: bytes = await answer.read()
            return content


async def test_anyone_searches_what_a_registry_has_read_from_the_issuers_site(
    street: Street, collector: House
) -> None:
    authority, sites = street.houses["governance-authority"], OwnSite()
    code = mint("pack")
    await identify(collector, code, "リーフ ZE1")
    await collector.do("publish", item=code, claim_types=["ItemIdentity"])
    harvest = Harvest(authority.agent, sites)
    authority.harvest = harvest
    async with browsing(collector) as issuer, browsing(authority) as browser:
        sites.browsers["https://minato.example"] = issuer
        await harvest.add(collector.did, "https://minato.example")
        await harvest.harvest()
        page = await browser.get("/registry?text=リーフ")
        assert code in page
        assert "https://minato.example/credentials/" in page
        assert "accredited" in page
        assert code not in await browser.get("/registry?text=アリア")
        assert "Nothing found" in await browser.get("/registry?text=アリア")
        assert "no word" in await browser.get("/registry?text=%21", 422)
        async with browser.client.get("/registry/search", headers=JSON, params={"model": "ze1"}) as answer:
            (found,) = (await answer.json())["found"]
            assert (found["item"], found["issuer_name"]) == (code, "Minato")
        async with browser.client.get("/api/v1/registry/search", params={"item": code}) as answer:
            assert (await answer.json())["found"] == [found]
        for query in ("limit=1000", "since=x", "what=1", f"text={'x' * 300}"):
            async with browser.client.get(f"/registry/search?{query}", headers=JSON) as answer:
                assert answer.status == 422, query
        path = found["url"].removeprefix("https://minato.example")
        async with issuer.client.get(path, headers={"Accept": HTML}) as answer:
            assert "リーフ ZE1" in await answer.text()


async def test_a_manager_looks_after_the_issuers_that_are_read(street: Street, collector: House) -> None:
    authority, sites = street.houses["governance-authority"], OwnSite()
    authority.harvest = Harvest(authority.agent, sites)
    await authority.keep_user("chief")
    async with browsing(collector) as issuer, browsing(authority, "chief") as browser:
        sites.browsers["https://minato.example"] = issuer
        async with browser.client.get("/api/v1/session") as answer:
            head = {"X-CSRF-Token": (await answer.json())["csrf"]}
        source = {"issuer": "Minato", "site": "https://minato.example"}
        url = "/api/v1/registry"
        async with browser.client.post(f"{url}/sources", json=source, headers=head) as answer:
            assert answer.status == 204
        async with browser.client.post(f"{url}/harvest", json={"issuer": "Minato"}, headers=head) as answer:
            assert answer.status == 202

        async def read() -> Any:
            async with browser.client.get(f"{url}/sources") as answer:
                found = await answer.json()
                return None if found["running"] else found["sources"]

        (source,) = await until(read)
        assert (source["name"], source["problem"], source["refused"]) == ("Minato", "", {})
        async with browser.client.post(f"{url}/rebuild", headers=head) as answer:
            assert answer.status == 202
        await until(read)
        async with browser.client.delete(f"{url}/sources/Minato", headers=head) as answer:
            assert answer.status == 204
        assert await read() == []


async def test_an_agent_without_a_registry_says_so(collector: House) -> None:
    async with browsing(collector) as browser:
        assert "keeps no registry" in await browser.get("/registry", 404)
