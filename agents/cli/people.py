"""People and companies: connecting agents, logging in, users and their tokens."""

import io
import json
import socket
import sys
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

import click

from agents.cli.call import (
    Call,
    Group,
    argument,
    command,
    default_login,
    group,
    keep_logins,
    logins,
    option,
)
from agents.cli.client import API, Client, Told
from agents.cli.paper import Paper, faint, good, local, loud
from schemas.errors import Forbidden, Invalid, Unavailable

SECTION: Final = "People"
RANKS: Final = ("operator", "manager", "admin")
_RANK = click.Choice(RANKS)


# Connecting companies


@command("invite", option("--qr", "Draw it as a QR code as well.", is_flag=True))
def invite(call: Call, qr: bool) -> None:
    """Make a link with which another company's agent connects to ours."""
    found = call.client.post("/invitations")

    def draw(paper: Paper) -> None:
        paper.line(found["url"])
        if qr:
            paper.write(_drawn(found["url"]))
        call.note("give it to the other company: there, “meguri join URL” connects both agents")

    call.show(found, draw)


def _drawn(text: str) -> str:
    import qrcode  # type: ignore[import-untyped]  # slow to import, and seldom wanted

    code = qrcode.QRCode(border=2, error_correction=qrcode.constants.ERROR_CORRECT_L)
    code.add_data(text)
    page = io.StringIO()
    code.print_ascii(out=page, invert=sys.stdout.isatty())
    return page.getvalue()


@command("join", argument("url", "The link the other company made."))
def join(call: Call, url: str) -> None:
    """Connect to the company whose invitation this is."""
    found = call.client.post("/invitations/accept", {"url": url})

    def draw(paper: Paper) -> None:
        paper.line(good("✓ "), call.say("connected; both introduce themselves now, see “meguri peers”"))

    call.show(found, draw)


# Logging in


@command(
    "login",
    option("--user", "Your name at the agent."),
    option("--token-stdin", "Keep the token that standard input holds, instead of a password.", is_flag=True),
)
def login(call: Call, user: str | None, token_stdin: bool) -> None:
    """Log in to an agent; commands without --agent go there from now on.

    The token is kept in ~/.config/meguri, for nobody else to read. “meguri logout” ends it.
    """
    url = (call.agent or call.environ.get("MEGURI_AGENT", "") or default_login(call.environ)).rstrip("/")
    if not url:
        raise Invalid("say which agent: --agent URL")
    found = urlsplit(url)
    if found.scheme == "http" and found.hostname not in {"localhost", "127.0.0.1", "::1"}:
        call.note("{url} is not encrypted: whoever is on the way can read the password", url=url)
    agent = Client(url, "", call.language)
    if token_stdin:
        token = sys.stdin.readline().strip()
        who = Client(url, token, call.language).get("/session")
    else:
        token, who = _enter(call, agent, user)
    place = keep_logins(
        call.environ, {**logins(call.environ), url: {"token": token, "user": who["user"]}}, url
    )

    def draw(paper: Paper) -> None:
        paper.line(
            good("✓ "),
            call.say("logged in as {user} ({rank})", user=who["user"], rank=call.term(who["rank"], "side")),
        )

    call.show({"agent": url, "user": who["user"], "rank": who["rank"], "kept_in": str(place)}, draw)


def _enter(call: Call, agent: Client, user: str | None) -> tuple[str, Mapping[str, Any]]:
    user = user or str(click.prompt(call.say("User"), err=True))
    password = str(click.prompt(call.say("Password"), hide_input=True, err=True))
    who, cookie = agent.enter(user, password)
    with_cookie = {"Cookie": cookie, "X-CSRF-Token": who["csrf"]}
    made = agent.ask(
        "POST",
        f"{API}/tokens",
        json.dumps({"label": f"meguri {_machine()}", "rank": who["rank"]}).encode(),
        with_cookie,
    )
    agent.ask("DELETE", f"{API}/session", None, with_cookie)
    return str(made["token"]), who


def _machine() -> str:
    return "".join(c for c in socket.gethostname() if c.isalnum() or c in "-.")[:40]


@command("logout", option("--all", "Log out of every agent.", is_flag=True))
def logout(call: Call, all: bool) -> None:
    """End the token that was kept at login."""
    known = logins(call.environ)
    url = (call.agent or default_login(call.environ)).rstrip("/")
    ended = list(known) if all else [one for one in [url] if one in known]
    if not ended:
        raise Forbidden("you are not logged in")
    for one in ended:
        try:
            Client(one, known[one].get("token", ""), call.language).ask("DELETE", f"{API}/session")
        except (Told, Unavailable) as error:
            call.note("{url} could not be told: {words}", url=one, words=str(error))
    kept = {one: entry for one, entry in known.items() if one not in ended}
    default = default_login(call.environ)
    keep_logins(call.environ, kept, default if default in kept else next(iter(kept), ""))
    call.show({"ended": ended}, lambda paper: paper.line(good("✓ "), call.say("logged out")))


@command("whoami")
def whoami(call: Call) -> None:
    """As whom, and where, commands are run."""
    found = call.client.get("/session")
    shown = {"agent": call.client.url, "user": found["user"], "rank": found["rank"]}
    call.show(
        shown,
        lambda paper: paper.line(
            loud(shown["user"]), f" ({call.say(shown['rank'])})  ", faint(shown["agent"])
        ),
    )


# Users


def _list_users(call: Call) -> None:
    found = call.client.get("/users")

    def draw(paper: Paper) -> None:
        heads = [call.say(head) for head in ("user", "rank", "language", "password")]
        paper.table(
            heads,
            [
                (
                    u["name"],
                    call.term(u["rank"], "side"),
                    u["language"],
                    good("✓") if u["has_password"] else "",
                )
                for u in found
            ],
        )

    call.show(found, draw)


users: Group = group("users", _list_users, "The users of this agent.")


@users.add(
    "add",
    argument("name", "The user's name."),
    option("--rank", "What they may do.", type=_RANK, default="operator"),
)
def add_user(call: Call, name: str, rank: str) -> None:
    """Let somebody in; prints the one-time link with which they set a password."""
    found = call.client.post("/users", {"name": name, "rank": rank})
    call.show(found, lambda paper: paper.line(found["url"]))


@users.add(
    "change",
    argument("name", "The user's name."),
    option("--rank", "What they may do.", type=_RANK, required=True),
)
def change_user(call: Call, name: str, rank: str) -> None:
    """Change what a user may do."""
    body = json.dumps({"rank": rank}).encode()
    call.client.ask("PATCH", f"{API}/users/{quote(name, safe='')}", body)
    call.show({"name": name, "rank": rank}, lambda paper: paper.line(good("✓ "), name))


@users.add("remove", argument("name", "The user's name."))
def remove_user(call: Call, name: str) -> None:
    """Remove a user with all sessions and tokens."""
    call.client.ask("DELETE", f"{API}/users/{quote(name, safe='')}")
    call.show({"removed": name}, lambda paper: paper.line(good("✓ "), name))


# Tokens


def _list_tokens(call: Call) -> None:
    found = call.client.get("/tokens")

    def draw(paper: Paper) -> None:
        heads = [call.say(head) for head in ("id", "for", "rank", "made", "until")]
        paper.table(
            heads,
            [
                (t["id"][:12], t["label"], call.term(t["rank"], "side"), local(t["at"]), local(t["expires"]))
                for t in found
            ],
            flexible=1,
        )

    call.show(found, draw)


tokens: Group = group("token", _list_tokens, "Your tokens, for programs.")


@tokens.add(
    "new",
    argument("label", "What it is for."),
    option("--rank", "What it may do.", type=_RANK, default="operator"),
    option("--days", "How long it lives.", type=click.IntRange(1, 3650), default=365, show_default=True),
)
def new_token(call: Call, label: str, rank: str, days: int) -> None:
    """Make a token; it is shown this once."""
    found = call.client.post("/tokens", {"label": label, "rank": rank, "days": days})
    call.show(found, lambda paper: paper.line(found["token"]))


@tokens.add("end", argument("id", "The id of the token, or its first characters."))
def end_token(call: Call, id: str) -> None:
    """End a token."""
    found = [one["id"] for one in call.client.get("/tokens") if id and one["id"].startswith(id.lower())]
    if len(found) > 1:
        raise Invalid("“{text}” may stand for {count} tokens; give more of the id", text=id, count=len(found))
    ended = found[0] if found else id
    call.client.ask("DELETE", f"{API}/tokens/{quote(ended, safe='')}")
    call.show({"ended": ended}, lambda paper: paper.line(good("✓ "), ended[:12]))


COMMANDS: Final = {one.name: one for one in (invite, join, login, logout, whoami, users, tokens)}
