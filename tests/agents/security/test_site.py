"""What the network, other websites and bad luck can do to the site."""

import asyncio
import logging
import re

import pytest
from aiohttp import FormData

from agents import accounts
from tests.agents.web.conftest import Town
from tests.agents.web.world import PASSWORD, Browser, browsing

BAD = "wrong horse battery"


async def guess(browser: Browser, address: str, name: str = "nobody") -> int:
    body = {"name": name, "password": BAD}
    headers = {"X-Forwarded-For": address}
    async with browser.client.post("/api/v1/session", json=body, headers=headers) as answer:
        return answer.status


async def test_nobody_escapes_the_pause_by_naming_ports_or_nonsense(town: Town) -> None:
    async with browsing(town.dismantler) as browser:
        tries = [await guess(browser, f"203.0.113.7:{4000 + n}", f"n{n}") for n in range(6)]
        assert tries[-1] == 429
        tries = [await guess(browser, f"nonsense-{n}", f"m{n}") for n in range(6)]
        assert tries[-1] == 429
        assert await guess(browser, f"203.0.113.7, 198.51.100.{1}", "x") == 401, "the last one counts"


async def test_nobody_reads_the_metrics_through_a_name_that_leads_here(town: Town) -> None:
    """A website may have its own name lead to this machine, and ask from a browser that runs here."""
    async with browsing(town.dismantler) as browser:
        for host, status in (("evil.example", 401), ("localhost:8032", 200), ("[::1]:8032", 200)):
            async with browser.client.get("/metrics", headers={"Host": host}) as answer:
                assert answer.status == status, host


@pytest.mark.parametrize("name", ["visit", "session"])
async def test_an_odd_cookie_or_token_is_no_fault_of_ours(
    town: Town,
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with browsing(town.dismantler) as browser:
        page = await browser.get("/login")
        cookie = next(str(one.key) for one in browser.client.session.cookie_jar if "visit" in one.key)
        browser.client.session.cookie_jar.clear()
        head = {"Cookie": f"{cookie.replace('visit', name)}=\udcff\udcfe"}
        assert "csrf" in page
        async with browser.client.get("/login", headers=head) as answer:
            assert answer.status == 200
        async with browser.client.post("/login", headers=head, data={"csrf": "ÿ", "name": "x"}) as answer:
            assert answer.status == 403
        async with browser.client.get(
            "/api/v1/company", headers={"Authorization": "Bearer \udc80"}
        ) as answer:
            assert answer.status == 401
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"--b\r\n",
        b"--b\r\nno colon here\r\n\r\nx\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: form-data; name="csrf"\r\n\r\nx',
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n'
        b"Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--\r\n",
    ],
)
async def test_a_form_that_broke_off_or_is_none_is_said_to_be_so(
    town: Town,
    body: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with browsing(town.dismantler, "chief") as browser:
        head = {"Content-Type": "multipart/form-data; boundary=b"}
        async with browser.client.post("/do/request-collection", data=body, headers=head) as answer:
            assert answer.status in (400, 403)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_fault_of_ours_tells_the_log_no_secret_and_the_reader_nothing(
    town: Town,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the engine room")

    monkeypatch.setattr(accounts, "invited", broken)
    async with browsing(town.dismantler) as browser, browser.client.get("/welcome/s3cret-link") as answer:
        assert answer.status == 500
        assert "engine room" not in await answer.text()
    assert "failed" in caplog.text
    assert "s3cret" not in caplog.text


async def test_logging_in_again_by_the_api_ends_the_session_before(town: Town) -> None:
    async with browsing(town.dismantler, "chief") as browser:
        jar = browser.client.session.cookie_jar
        before = next(str(one.value) for one in jar if "session" in one.key)
        csrf = (await (await browser.client.get("/api/v1/session")).json())["csrf"]
        body = {"name": "chief", "password": PASSWORD}
        async with browser.client.post(
            "/api/v1/session", json=body, headers={"X-CSRF-Token": csrf}
        ) as answer:
            assert answer.status == 201
        assert await accounts.recognise(town.dismantler.store, before, "session") is None


async def test_no_file_of_a_user_or_peer_runs_on_our_origin(town: Town) -> None:
    page = b"<html><script>alert(1)</script>"
    picture = b"\xff\xd8\xff" + page
    async with browsing(town.dismantler, "chief") as browser:
        csrf = (await (await browser.client.get("/api/v1/session")).json())["csrf"]
        for data, name in ((page, "x.html"), (picture, "x.svg"), (b"%PDF-1.7", "x.pdf")):
            head = {"Content-Type": "image/svg+xml", "X-CSRF-Token": csrf}
            url = f"/api/v1/evidence?name={name}"
            async with browser.client.post(url, data=data, headers=head) as answer:
                digest = (await answer.json())["digest"]
            async with browser.client.get(f"/evidence/{digest}") as answer:
                assert "sandbox" in answer.headers["Content-Security-Policy"]
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
                shown = answer.content_type == "image/jpeg"
                assert shown == (data is picture)
                assert shown or answer.headers["Content-Disposition"].startswith("attachment")
                assert answer.content_type in ("image/jpeg", "application/pdf", "application/octet-stream")


async def test_an_upload_that_finds_no_room_is_told_so_and_leaves_nothing(
    town: Town,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import errno

    from agents.evidence import Draft

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Draft, "write", full)
    async with browsing(town.dismantler, "chief") as browser:
        csrf = (await (await browser.client.get("/api/v1/session")).json())["csrf"]
        head = {"X-CSRF-Token": csrf, "Content-Type": "application/octet-stream"}
        async with browser.client.post("/api/v1/evidence?name=a", data=b"x" * 99, headers=head) as answer:
            assert answer.status == 503
            assert "No space left" in (await answer.json(content_type=None))["detail"]
        form = FormData({"csrf": await browser.csrf("/do/request-collection")})
        form.add_field("photos", b"x" * 99, filename="a.jpg")
        async with browser.client.post("/do/request-collection", data=form) as answer:
            assert answer.status == 503
    assert [one for one in (town.dismantler.vault.folder / "files").rglob("*") if one.is_file()] == []


async def test_an_upload_that_breaks_off_leaves_nothing(town: Town) -> None:
    async with browsing(town.dismantler, "chief") as browser:
        cookies = "; ".join(f"{c.key}={c.value}" for c in browser.client.session.cookie_jar)
        csrf = (await (await browser.client.get("/api/v1/session")).json())["csrf"]
        head = (
            f"POST /api/v1/evidence?name=a HTTP/1.1\r\nHost: localhost\r\nCookie: {cookies}\r\n"
            f"X-CSRF-Token: {csrf}\r\nContent-Type: application/octet-stream\r\nContent-Length: 1000\r\n\r\n"
        )
        _, writer = await asyncio.open_connection(browser.client.host, browser.client.port)
        writer.write(head.encode() + b"x" * 500)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
        await browser.get("/")
        for _ in range(100):
            files = [one for one in (town.dismantler.vault.folder / "files").rglob("*") if one.is_file()]
            if not files:
                break
            await asyncio.sleep(0.02)
        assert files == []


RANKED = re.compile(r"needs the rank|Not allowed")


async def test_an_operator_does_nothing_that_needs_a_higher_rank_through_any_door(town: Town) -> None:
    house = town.dismantler
    await house.keep_user("picker", "operator")
    thread = await town.request()
    await town.collector.do("quote-collection", thread, price_jpy=5, valid_until="2099-01-01")
    async with browsing(house, "picker") as browser:
        csrf = (await (await browser.client.get("/api/v1/session")).json())["csrf"]
        head = {"X-CSRF-Token": csrf}
        api = [
            ("POST", "/actions/accept-quote", {"to": thread}),
            ("POST", "/actions/resign", {"to": thread, "reason": "x"}),
            ("POST", "/actions/introduce", {"to": town.to_collector}),
            ("POST", "/invitations", {}),
            ("POST", "/invitations/accept", {"url": "https://x.example"}),
            ("GET", "/users", None),
            ("POST", "/users", {"name": "picker", "rank": "admin"}),
            ("PATCH", "/users/picker", {"rank": "admin"}),
            ("DELETE", "/users/chief", None),
            ("POST", "/tokens", {"label": "x", "rank": "admin"}),
            ("POST", "/tokens", {"label": "x", "rank": "manager"}),
        ]
        for method, path, body in api:
            async with browser.client.request(method, "/api/v1" + path, json=body, headers=head) as answer:
                assert answer.status == 403, (method, path, await answer.text())
        for path, fields in (
            ("/do/accept-quote", {"to": thread}),
            ("/members/invite", {}),
            ("/members/accept", {"url": "https://x.example"}),
            ("/users", {"name": "picker", "rank": "admin"}),
            ("/users/chief/drop", {}),
            ("/account/tokens", {"label": "x", "rank": "admin"}),
        ):
            text, status = await browser.post("/account", path, **fields)
            assert status == 403, (path, status)
            assert "higher rank" in text or RANKED.search(text)
    users = await house.store.read(lambda desk: {user.name: user.rank for user in desk.users()})
    assert (users["picker"], users["chief"]) == ("operator", "admin")
    exchange = await house.store.read(lambda desk: desk.exchange(thread))
    assert exchange
    assert exchange.state == "quoted"
