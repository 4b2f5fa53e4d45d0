"""What people see and do: the journey by pages alone, in both languages, whatever others write."""

import re
from datetime import UTC
from html import escape, unescape
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.forms import fields_of
from agents.web.gate import keep_file
from agents.web.pages import GETS
from agents.web.render import Words, environment
from agents.words import LANGUAGES
from protocols.catalogue import PROTOCOLS
from schemas.items import mint

from .conftest import Town
from .world import REQUEST, Browser, House, browsing

HOSTILE = """<script>alert(1)</script>"><img src=x onerror=alert(1)>' {{7*7}} {x} \u202e"""


def form_of(page: str) -> dict[str, list[str]]:
    """Return the hidden and filled fields of an action's form."""
    form = page.split('action="/do/')[1].split("</form>", maxsplit=1)[0]
    found: dict[str, list[str]] = {}
    for tag in re.findall(r"<input[^>]*>", form):
        name = re.search(r'name="([^"]*)"', tag)
        value = re.search(r'value="([^"]*)"', tag)
        boxed = re.search(r'type="(radio|checkbox|file)"', tag)
        if name and (not boxed or " checked" in tag):
            found.setdefault(name[1], []).append(unescape(value[1]) if value else "")
    return found


async def do(browser: Browser, name: str, to: str = "", **fields: Any) -> tuple[str, int]:
    """Fill in an action's page and send it; return where it leads, or the page."""
    given = form_of(await browser.get(f"/do/{name}?to={to}"))
    data = [(name, one) for name, values in given.items() for one in values]
    for key, value in fields.items():
        data = [pair for pair in data if pair[0] != key]
        data += [(key, str(one)) for one in (value if isinstance(value, list) else [value])]
    async with browser.client.post(f"/do/{name}", data=data, allow_redirects=False) as answer:
        where, status = answer.headers.get("Location", await answer.text()), answer.status
    await browser.house.street.deliver()
    return where, status


async def test_a_collection_goes_from_request_to_quote_by_pages_alone(town: Town) -> None:
    async with (
        browsing(town.dismantler, "chief") as dismantler,
        browsing(town.collector, "chief") as collector,
    ):
        where, status = await do(dismantler, "request-collection", town.to_collector, **REQUEST)
        assert status == 303
        assert where.endswith("?done=request-collection")
        assert "Done: Request a collection" in await dismantler.get(where)

        tray = await collector.get("/")
        assert "Waiting for you" in tray
        thread = re.findall(r'href="/exchanges/([0-9a-f-]{36})"', tray)[0]
        page = await collector.get(f"/exchanges/{thread}")
        assert "Quote a price" in page
        assert "Please fetch this pack." in page
        where, status = await do(
            collector, "quote-collection", thread, price_jpy=-12000, valid_until="2999-01-31"
        )
        assert status == 303

        page = await dismantler.get(f"/exchanges/{thread}")
        assert "¥12,000" in page
        assert "The dismantler pays the collector." in page
        assert "Accept the price" in page
        assert "Nothing waits for you" in await collector.get("/")


async def test_two_clicks_are_one(town: Town) -> None:
    async with browsing(town.dismantler, "chief") as browser:
        given = form_of(await browser.get(f"/do/request-collection?to={town.to_collector}"))
        data = {name: values[0] for name, values in given.items()} | {
            name: value if not isinstance(value, list) else value[0] for name, value in REQUEST.items()
        }
        wheres = []
        for _ in range(2):
            post = browser.client.post("/do/request-collection", data=data, allow_redirects=False)
            async with post as answer:
                assert answer.status == 303
                wheres.append(answer.headers["Location"])
        assert wheres[0] == wheres[1]
        dealings = await town.dismantler.store.read(lambda desk: desk.dealings(protocol="collection/1.0"))
        assert len(dealings) == 1


async def test_a_wrong_form_comes_back_as_it_was_filled_in_with_what_is_wrong(town: Town) -> None:
    async with browsing(town.dismantler, "chief", language="ja") as browser:
        fields: dict[str, Any] = REQUEST | {
            "odometer_km": "-5",
            "vehicle": "NONSENSE",
            "place": "",
            "note": HOSTILE,
        }
        page, status = await do(browser, "request-collection", town.to_collector, **fields)
        assert status == 422
        assert "0 以上にしてください" in page
        assert "入力してください" in page
        assert "品目コードではありません" in page
        assert 'value="Leaf ZE1"' in page
        assert escape(HOSTILE, quote=False) in page.replace("&#34;", '"').replace("&#39;", "'")
        assert re.search(r'name="odometer_km"[^>]*value="-5"[^>]*aria-invalid="true"', page)
        assert await town.dismantler.store.read(lambda desk: desk.dealings(protocol="collection/1.0")) == []


async def test_what_no_longer_fits_is_told_on_the_page(town: Town) -> None:
    thread = await town.request()
    async with browsing(town.collector, "chief") as browser:
        given = form_of(await browser.get(f"/do/quote-collection?to={thread}"))
        await town.dismantler.do("withdraw-request", thread, reason="sold")
        data = {name: values[0] for name, values in given.items()} | {
            "price_jpy": "1",
            "valid_until": "2999-01-01",
        }
        async with browser.client.post("/do/quote-collection", data=data) as answer:
            assert answer.status == 409
            assert "is not possible now: the exchange is withdrawn" in unescape(await answer.text())


async def test_photos_are_kept_while_the_form_is_corrected(town: Town) -> None:
    async with browsing(town.dismantler, "chief") as browser:

        def filled(form: dict[str, list[str]], place: str) -> aiohttp.FormData:
            data = aiohttp.FormData()
            for name, values in form.items():
                for one in values:
                    data.add_field(name, one)
            for field, value in (REQUEST | {"place": place}).items():
                for each in value if isinstance(value, list) else [value]:
                    data.add_field(field, str(each))
            return data

        form = form_of(await browser.get(f"/do/request-collection?to={town.to_collector}"))
        for name in REQUEST:
            form.pop(name, None)
        form.pop("photos", None)
        data = filled(form, "")
        data.add_field("photos", b"\xff\xd8\xff photo", filename="odo<b>.jpg", content_type="image/jpeg")
        async with browser.client.post("/do/request-collection", data=data) as answer:
            assert answer.status == 422
            page = await answer.text()
        (digest,) = form_of(page)["photos"][:1]
        assert len(digest) == 64
        form["photos"] = [digest]
        data = filled(form, "Yard 3")
        async with browser.client.post("/do/request-collection", data=data, allow_redirects=False) as answer:
            assert answer.status == 303
            where = answer.headers["Location"]
        assert f"/evidence/{digest}" in await browser.get(where)
        async with browser.client.get(f"/evidence/{digest}") as answer:
            assert answer.content_type == "image/jpeg"
            assert "sandbox" in answer.headers["Content-Security-Policy"]
            assert await answer.read() == b"\xff\xd8\xff photo"


async def test_no_file_is_kept_before_the_post_is_proved_genuine(town: Town) -> None:
    async with browsing(town.dismantler, "chief") as browser:
        data = aiohttp.FormData()
        data.add_field("photos", b"planted", filename="x.txt")
        data.add_field("csrf", await browser.csrf("/"))
        async with browser.client.post("/do/note-nonconformity", data=data) as answer:
            assert answer.status == 403
        kept = [path for path in town.dismantler.vault.folder.rglob("*") if path.is_file()]
        assert kept == []


async def test_one_more_row_keeps_what_was_filled_in(town: Town) -> None:
    house = town.street.open("Hikari Reuse", "reuse-manufacturer")
    await house.keep_user("chief")
    async with browsing(house, "chief") as browser:
        (rows,) = (one for one in fields_of(house.agent.play.action("predict-life").form) if one.fields)
        first = f"{rows.name}-0-{rows.fields[0].name}"
        page, status = await do(browser, "predict-life", more=rows.name, **{first: "7"})
        assert status == 200
        assert re.search(f'name="{first}"[^>]*value="7"', page)
        assert f'name="{rows.name}-1-{rows.fields[0].name}"' in page


async def test_a_scanned_code_leads_straight_to_its_item(town: Town) -> None:
    code = mint("pack")
    await town.dismantler.do("request-collection", town.to_collector, **REQUEST, pack=code)
    async with browsing(town.dismantler, "chief") as browser:
        async with browser.client.get("/items", params={"text": f" {code.lower()} "}) as answer:
            assert answer.url.path == f"/items/{code}"
            page = await answer.text()
        assert "Requested" in page
        assert "First life in the vehicle" in page
        assert "does not verify" not in page
        await browser.get(f"/items/{mint('pack')}", 404)
        await browser.get("/items/NONSENSE", 422)
        assert "Nothing found" in await browser.get("/items?text=nothing-like-it")


async def test_companies_meet_by_invitation_and_introduce_themselves(town: Town) -> None:
    house = town.street.open("New House", "recycler")
    await house.keep_user("chief")
    async with browsing(house, "chief") as browser, browsing(town.authority, "chief") as authority:
        text, status = await authority.post("/members", "/members/invite")
        assert status == 200
        assert 'class="qr"' in text
        url = re.findall(r"https://street[^<]*", text)[0]
        text, status = await browser.post("/members", "/members/accept", url="nonsense")
        assert status == 422
        assert "This is no invitation" in text
        assert await browser.post("/members", "/members/accept", url=unescape(url)) == ("/members", 303)
        peer = re.findall(r"/do/introduce\?to=([\w-]+)", await browser.get("/members"))[0]
        assert (await do(browser, "introduce", peer))[1] == 303
        assert "Battery Office" in await browser.get("/members")
        assert "Apply for membership" in await browser.get("/")


async def test_users_come_and_go(town: Town) -> None:
    async with browsing(town.dismantler, "chief") as browser:
        text, status = await browser.post("/users", "/users", name="clerk", rank="operator")
        assert status == 200
        path = re.findall(r"127\.0\.0\.1:8032(/welcome/[\w-]+)", text)[0]
        async with browsing(town.dismantler) as other:
            assert await other.post(path, path, password="correct horse battery") == ("/", 303)
            assert (await browser.post("/users", "/users/clerk/drop"))[1] == 303
            async with other.client.get("/", allow_redirects=False) as answer:
                assert answer.status == 303
        text, status = await browser.post("/users", "/users/chief/drop")
        assert status == 409
        assert "last administrator" in text


async def test_a_token_is_shown_once(town: Town) -> None:
    async with browsing(town.dismantler, "chief") as browser:
        text, _ = await browser.post("/account", "/account/tokens", label="scanner", rank="operator")
        token = re.findall(r"meguri_[\w-]+", text)[0]
        page = await browser.get("/account")
        assert "scanner" in page
        assert token not in page
        async with browser.client.get(
            "/api/v1/session", headers={"Authorization": f"Bearer {token}"}
        ) as answer:
            assert (await answer.json())["rank"] == "operator"
        digest = re.findall(r"/account/tokens/([0-9a-f]{64})/drop", page)[0]
        assert (await browser.post("/account", f"/account/tokens/{digest}/drop"))[1] == 303


async def test_the_language_is_the_readers(town: Town) -> None:
    async with browsing(town.dismantler, language="fr, ja;q=0.9, en;q=0.5") as browser:
        assert '<html lang="ja">' in await browser.get("/login")
        assert (await browser.post("/login", "/language", language="en", back="/login")) == ("/login", 303)
        assert '<html lang="en">' in await browser.get("/login")
        await browser.log_in("chief")
        await browser.post("/", "/language", language="ja", back="/new")
        assert '<html lang="ja">' in await browser.get("/")
    async with browsing(town.dismantler, "chief", language="en") as browser:
        assert '<html lang="ja">' in await browser.get("/")


async def test_dead_letters_are_seen_and_tried_again(town: Town) -> None:
    near, _ = town.to_collector, town.street.wires.pop(("dismantler", town.to_collector))
    thread = await town.request()

    def bury(desk: Any) -> None:
        (letter,) = desk.letters(thread)
        desk.settle(near, (letter.id,), "dead", "nobody answers")

    await town.dismantler.store.write(bury)
    async with browsing(town.dismantler, "chief") as browser:
        assert "could not be delivered" in await browser.get("/")
        page = await browser.get("/dead-letters")
        assert "Nobody answers" in page or "nobody answers" in page
        action = re.findall(r'action="(/dead-letters/[^"]*/retry)"', page)[0]
        assert await browser.post("/dead-letters", action) == ("/dead-letters", 303)
        assert "Everything was delivered" in await browser.get("/dead-letters")
        assert (await browser.post("/dead-letters", "/dead-letters/x/y/retry"))[1] == 404


async def pages_of(town: Town, house: House) -> list[str]:
    """Return the address of every page there is something on."""
    dealings = await house.store.read(lambda desk: desk.dealings())
    items = await house.store.read(lambda desk: desk.items())
    actions = house.agent.play.actions.values()
    station = any(action.name == "scan" for action in actions)
    # Who has no registry of DIDs has no page of it; its own tests look at that page.
    elsewhere = {"/registrations"} if station else {"/registrations", "/station"}
    fixed = [path for path in GETS if "{" not in path and path not in elsewhere]
    return [
        *fixed,
        *(f"/exchanges/{one.thread}" for one in dealings),
        *(f"/items/{one.code}" for one in items),
        *(f"/do/{action.name}" for action in actions if action.opens or action.protocol is None),
    ]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_page_is_there_in_every_language(
    town: Town, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = await town.request()
    await town.collector.do("decline-collection", thread, reason="too far")
    untold: set[str] = set()
    spoken = Words.t

    def listen(self: Words, text: str, **values: object) -> str:
        found = spoken(self, text, **values)
        if self.language == "ja" and found == (text.format(**values) if values else text):
            untold.add(text)
        return found

    monkeypatch.setattr(Words, "t", listen)
    for house in (town.dismantler, town.collector, town.authority):
        async with browsing(house, "chief", language=language) as browser:
            for path in await pages_of(town, house):
                async with browser.client.get(path) as answer:
                    page = await answer.text()
                assert answer.status == 200, (path, page[:500])
                assert f'<html lang="{language}">' in page
                assert page.count("<h1") == 1, path
                ids = re.findall(r'\sid="([^"]+)"', page)
                assert len(ids) == len(set(ids)), path
                for label in re.findall(r'<label[^>]* for="([^"]+)"', page):
                    assert label in ids, path
    assert {text for text in untold if re.search(r"[a-z]{3}", text)} == set()


async def test_what_others_write_is_shown_and_never_run(town: Town) -> None:
    words = dict.fromkeys(("vehicle_model", "pack_model", "place", "note"), HOSTILE)
    thread = await town.dismantler.do("request-collection", town.to_collector, **(REQUEST | words))
    await town.collector.do("decline-collection", thread, reason=HOSTILE)
    for house in (town.dismantler, town.collector):
        async with browsing(house, "chief") as browser:
            for path in await pages_of(town, house):
                page = await browser.get(path)
                assert "<script>alert" not in page, path
                assert "<img src=x" not in page, path
                assert "onerror=alert(1)>" not in page, path
            assert "{{7*7}}" in await browser.get(f"/exchanges/{thread}")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_in_any_message_is_escaped(text: str) -> None:
    text = f"<i>{text}"
    template = environment().from_string(
        "{% from 'parts.html' import facts with context %}{{ facts(w.facts(protocol, kind, body)) }}"
    )
    words = Words("en", UTC)
    for protocol in PROTOCOLS.values():
        for kind, model in protocol.messages.items():
            body = dict.fromkeys(model.model_fields, text) | {"lines": [{"item": text, "grade": text}]}
            page = template.render(
                w=words, t=words.t, protocol=protocol.name, kind=kind, body=body, csrf="", thread=""
            )
            assert "<i>" not in page


async def test_a_page_that_is_not_there_says_so_in_the_same_clothes(town: Town) -> None:
    async with browsing(town.dismantler, language="ja") as browser:
        page = await browser.get("/nowhere", 404)
        assert "見つかりません" in page
        assert "meguri.css" in page
        async with browser.client.post("/items") as answer:
            assert answer.status == 405


async def test_a_file_of_ours_may_be_kept_by_the_browser_until_it_changes(town: Town) -> None:
    async with browsing(town.dismantler) as browser:
        page = await browser.get("/login")
        for path in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
            async with browser.client.get(path) as answer:
                assert answer.status == 200
                assert "immutable" in answer.headers["Cache-Control"]
        await browser.get("/static/../gate.py", 404)
        await browser.get("/static/%2e%2e/gate.py", 404)


async def test_an_unknown_kind_of_file_is_only_downloaded(town: Town) -> None:
    async def parts() -> Any:
        yield b"<script>alert(1)</script>"

    entry = await keep_file(town.dismantler.context(), parts(), "page.html")
    async with browsing(town.dismantler, "chief") as browser:
        async with browser.client.get(f"/evidence/{entry.digest}") as answer:
            assert answer.content_type == "application/octet-stream"
            assert answer.headers["Content-Disposition"].startswith("attachment")
        await browser.get("/evidence/" + "0" * 64, 404)
