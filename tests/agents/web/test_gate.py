"""Who gets in, and what does not."""

import json
import re
from typing import Any

import pytest

from agents import accounts
from agents.web.gate import HEADERS, MOST_IN_AN_ACTION
from agents.web.pages import POSTS
from agents.web.rest import API, ROUTES

from .conftest import Town
from .world import PASSWORD, Browser, browsing

FREE = {"/login", "/about", "/ready"}


def path_of(path: str) -> str:
    return re.sub(r"{\w+}", "x", path)


@pytest.mark.parametrize("path", ["/", "/new", "/items", "/members", "/users", "/do/request-collection"])
async def test_who_is_not_logged_in_is_asked_to(town: Town, path: str) -> None:
    async with (
        browsing(town.dismantler) as browser,
        browser.client.get(path, allow_redirects=False) as answer,
    ):
        assert answer.status == 303
        assert answer.headers["Location"].startswith("/login?next=")


async def test_the_api_wants_to_know_who_asks(town: Town) -> None:
    async with browsing(town.dismantler) as browser:
        for one in ROUTES:
            if one.rank is None:
                continue
            async with browser.client.request(one.method, API + path_of(one.path)) as answer:
                assert answer.status == 401, one.path
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                problem = await answer.json(content_type="application/problem+json")
                assert problem["code"] == "unidentified"


async def test_no_form_is_taken_without_its_token(town: Town) -> None:
    async with browsing(town.dismantler, "chief") as browser:
        for path in POSTS:
            for token in ({}, {"csrf": "guess"}):
                async with browser.client.post(path_of(path), data=token, allow_redirects=False) as answer:
                    assert answer.status == 403, path


async def test_no_login_is_taken_without_the_pages_token(town: Town) -> None:
    async with browsing(town.dismantler) as browser:
        data = {"name": "chief", "password": PASSWORD}
        async with browser.client.post("/login", data=data) as answer:
            assert answer.status == 403


async def test_a_session_changes_nothing_by_the_api_without_its_token(town: Town) -> None:
    async with browsing(town.dismantler, "chief") as browser:
        async with browser.client.post(f"{API}/tokens", json={"label": "x"}) as answer:
            assert answer.status == 403
        async with browser.client.get(f"{API}/session") as answer:
            csrf = (await answer.json())["csrf"]
        headers = {"X-CSRF-Token": csrf}
        async with browser.client.post(f"{API}/tokens", json={"label": "x"}, headers=headers) as answer:
            assert answer.status == 201
        headers["Sec-Fetch-Site"] = "cross-site"
        async with browser.client.post(f"{API}/tokens", json={"label": "x"}, headers=headers) as answer:
            assert answer.status == 403


async def test_logging_in_begins_a_new_session(town: Town) -> None:
    async with browsing(town.dismantler) as browser:
        await browser.get("/login")
        before = {cookie.value for cookie in browser.client.session.cookie_jar}
        assert await browser.log_in("chief") == 303
        (session,) = sessions(browser)
        assert session["value"] not in before
        assert session["httponly"]
        assert session["samesite"] == "Lax"
        assert not session["secure"]


async def test_a_planted_session_is_not_taken_over(town: Town) -> None:
    async with browsing(town.dismantler, "chief") as browser:
        (mine,) = sessions(browser)
    async with browsing(town.dismantler) as browser:
        browser.client.session.cookie_jar.update_cookies(
            {mine["name"]: "planted"}, browser.client.make_url("/")
        )
        assert await browser.log_in("chief") == 303
        (session,) = sessions(browser)
        assert session["value"] != "planted"


async def test_cookies_are_for_https_where_the_site_is(town: Town) -> None:
    async with (
        browsing(town.dismantler, public_url="https://sakura.example") as browser,
        browser.client.get("/login") as answer,
    ):
        (cookie,) = answer.headers.getall("Set-Cookie")
        assert cookie.startswith("__Host-visit-")
        assert "Secure" in cookie
        assert "Strict-Transport-Security" in answer.headers


def sessions(browser: Browser) -> list[dict[str, Any]]:
    return [
        {
            "name": cookie.key,
            "value": cookie.value,
            "httponly": cookie["httponly"],
            "samesite": cookie["samesite"],
            "secure": cookie["secure"],
        }
        for cookie in browser.client.session.cookie_jar
        if "session" in cookie.key
    ]


async def test_logging_out_ends_the_session(town: Town) -> None:
    async with browsing(town.dismantler, "chief") as browser:
        (session,) = sessions(browser)
        assert await browser.post("/more", "/logout") == ("/login", 303)
        assert await accounts.recognise(town.dismantler.store, session["value"], "session") is None


async def test_guessing_gets_a_pause(town: Town) -> None:
    async with browsing(town.dismantler) as browser:
        statuses = []
        for name in ("chief", "nobody") * 4:
            _text, status = await browser.post("/login", "/login", name=name, password="wrong horse battery")
            statuses.append(status)
        assert statuses[:4] == [401] * 4
        assert statuses[-1] == 429
        async with browser.client.post(f"{API}/session", json={"name": "x", "password": "y"}) as answer:
            assert answer.status == 429
            assert int(answer.headers["Retry-After"]) > 0


async def test_both_wrong_answers_are_the_same_page(town: Town) -> None:
    async with browsing(town.dismantler) as browser:
        pages = []
        for name in ("chief", "nobody"):
            text, status = await browser.post("/login", "/login", name=name, password="wrong horse battery")
            assert status == 401
            pages.append(re.sub(r'value="[^"]*"', "", text))
        assert pages[0] == pages[1]


@pytest.mark.parametrize(
    "place", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/\r\nX: y"]
)
async def test_the_way_back_stays_inside(town: Town, place: str) -> None:
    async with browsing(town.dismantler) as browser:
        where, status = await browser.post("/login", "/login", name="chief", password=PASSWORD, next=place)
        assert (where, status) == ("/", 303)


async def test_every_answer_wears_the_security_headers(town: Town) -> None:
    async with browsing(town.dismantler, "chief") as browser:
        for path in ("/", "/nowhere", "/ready", f"{API}/company", "/login", "/do/nothing"):
            async with browser.client.get(path, allow_redirects=False) as answer:
                for name, value in HEADERS.items():
                    assert answer.headers[name] == value, (path, name)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"to": "x", "to": "y"}', 400),
        ('{"odometer_km": NaN}', 400),
        ('{"odometer_km": 1e999}', 400),
        ("{", 400),
        ("[]", 400),
        ("\xff", 400),
        ("[" * 5000, 400),
        ('{"note": "' + "x" * MOST_IN_AN_ACTION + '"}', 413),
        ('{"to": 7}', 422),
        ('{"nonsense": 7}', 422),
    ],
)
async def test_a_body_that_two_may_read_differently_is_not_read(town: Town, body: str, status: int) -> None:
    async with browsing(town.dismantler) as browser:
        token = await token_of(browser)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = body.encode("latin-1")
        url = f"{API}/actions/request-collection"
        async with browser.client.post(url, data=data, headers=headers) as answer:
            assert answer.status == status, await answer.text()
            assert answer.content_type == "application/problem+json"
            problem = json.loads(await answer.text())
            assert problem["status"] == status
            assert problem["type"].startswith("https://")


async def token_of(browser: Browser) -> str:
    store = browser.house.store
    _, visitor = await accounts.Door(store).enter("chief", PASSWORD, "127.0.0.9")
    return await accounts.new_token(store, visitor, "test", "admin")


async def test_a_bad_token_is_told_so(town: Town) -> None:
    async with browsing(town.dismantler) as browser:
        headers = {"Authorization": "Bearer meguri_nonsense"}
        async with browser.client.get(f"{API}/company", headers=headers) as answer:
            assert answer.status == 401


async def test_lower_ranks_are_stopped_at_the_door(town: Town) -> None:
    await town.dismantler.keep_user("clerk", "operator")
    async with browsing(town.dismantler, "clerk") as browser:
        await browser.get("/users", 403)
        await browser.get("/do/accept-quote", 403)
        await browser.get("/")
        assert (await browser.post("/", "/members/invite"))[1] == 403
        assert (await browser.post("/", "/users", name="eve", rank="admin"))[1] == 403
        async with browser.client.get(f"{API}/users") as answer:
            assert answer.status == 403


async def test_who_comes_by_the_first_link_is_let_in(town: Town) -> None:
    house = town.street.open("New House", "recycler")
    link = await accounts.first_link(house.store, "http://127.0.0.1:8032")
    path = link.removeprefix("http://127.0.0.1:8032")
    async with browsing(house, language="ja") as browser:
        assert "一度限りのリンク" in await browser.get("/login")
        text, status = await browser.post(path, path, name="chief", password="short")
        assert status == 422
        assert "10～256文字" in text
        assert await browser.post(path, path, name="chief", password=PASSWORD) == ("/", 303)
        assert "Meguri へようこそ" in await browser.get("/")
        await browser.get(path, 404)


async def test_metrics_are_for_this_machine_and_for_tokens(town: Town) -> None:
    async with browsing(town.dismantler) as browser:
        text = await browser.get("/metrics")
        assert 'meguri_exchanges{protocol="membership/1.0",state="accredited"} 1' in text
        assert "meguri_ready 1" in text
        async with browser.client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.7"}) as answer:
            assert answer.status == 401


async def test_readiness_says_what_is_missing(town: Town) -> None:
    async with browsing(town.dismantler) as browser:
        assert json.loads(await browser.get("/ready")) == {"ready": True, "waiting_for": {}}
        town.dismantler.waiting_for["wallet"] = "it is being opened"
        assert json.loads(await browser.get("/ready", 503))["waiting_for"] == {"wallet": "it is being opened"}
