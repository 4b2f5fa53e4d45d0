"""The pages: the same actions and views as the API's, for people; they work without JavaScript."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote, urlsplit

from aiohttp import web

from agents import accounts
from agents.accounts import Visitor
from agents.dids import LIVES
from agents.forms import Field, fields_of
from agents.role import RANKS, Action, Rank
from agents.roles.statements import MARKING
from agents.service import Misfilled, read_form
from agents.web.forms import from_file, read_posted, shown
from agents.web.gate import (
    DOOR,
    Posted,
    address_of,
    context_of,
    csrf_of,
    language_of,
    must_be,
    posted,
    set_cookie,
    visitor_of,
)
from agents.web.identity import NewName, registered, registrar_of
from agents.web.outlook import newest, picture
from agents.web.problems import Problem, problem_of, status_of
from agents.web.render import PROTOCOL_TITLES, Words, environment
from agents.web.rest import (
    IntakeView,
    answer,
    do,
    look_at_station,
    open_session,
    revive,
    see,
    serve_file,
    take_in_file,
)
from agents.web.station import drawn
from agents.web.views import NO_BUSINESS, ExchangeView, MessageView, Seeing, TokenView, UserView, job_of
from agents.words import LANGUAGES, say
from instruments.load import UNDO
from schemas.errors import Fault, Invalid, Unknown
from schemas.items import KINDS, read_code

PAGE = 50
RECENT = 20

type Answer = Awaitable[web.StreamResponse]


@dataclass(frozen=True)
class Counts:
    """What the tabs count."""

    ours: int = 0
    dead: int = 0


async def render(
    request: web.Request, template: str, here: str = "", status: int = 200, **values: Any
) -> web.Response:
    """Return a page."""
    visitor = visitor_of(request)
    frame = await _frame(request, visitor)
    words = Words(language_of(request), context_of(request).zone)
    done = request.query.get("done", "")
    action = context_of(request).agent.play.actions.get(done)
    values = {
        "w": words,
        "t": words.t,
        "visitor": visitor,
        "marking": {action.name: action.title for action in MARKING},
        "csrf": csrf_of(request),
        "here": here,
        "back": request.path_qs if request.method == "GET" else "/",
        "refresh": 0,
        "done": words.t("Done: {title}", title=words.t(action.title)) if action and visitor else "",
        **frame,
        **values,
    }
    text = environment().get_template(template).render(values)
    return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")


async def _frame(request: web.Request, visitor: Visitor | None) -> dict[str, Any]:
    def work(s: Seeing) -> dict[str, Any]:
        counts = Counts()
        if visitor is not None:
            counts = Counts(len(s.desk.dealings(ours=True, limit=100)), s.desk.tally()["dead"])
        station = "scan" in s.context.agent.play.actions
        return {"company": s.desk.company.name, "counts": counts, "station": station}

    return await see(request, work)


async def show_problem(request: web.Request, problem: Problem) -> web.Response:
    """Return a problem as a page; who is not logged in is sent to do so."""
    if problem.status == 401 and request.method == "GET":  # noqa: PLR2004
        return went(f"/login?next={quote(request.path_qs, safe='')}")
    try:
        return await render(request, "problem.html", status=problem.status, problem=problem)
    except Fault:
        return web.Response(text=problem.detail, status=problem.status)


def went(place: str) -> web.Response:
    """Send the browser on after a post."""
    return web.Response(status=303, headers={"Location": place})


def words_of(request: web.Request, fault: Fault) -> str:
    """Return a fault in the reader's words."""
    return say(fault, language_of(request))


# What waits


async def tray(request: web.Request) -> web.Response:
    """Show what waits for us, then what is recent."""
    must_be(request)

    def work(s: Seeing) -> dict[str, Any]:
        company = s.company()
        ours = s.dealings(ours=True, limit=100)
        threads = {one.thread for one in ours}
        recent = [
            one
            for one in s.dealings(limit=2 * RECENT + len(ours))
            if one.thread not in threads and not (one.ended and one.protocol in NO_BUSINESS)
        ]
        step = ""
        if not s.peers():
            step = "connect"
        elif company.standing == "suspended":
            step = "suspended"
        elif company.standing != "accredited" and "governance-authority" not in company.roles:
            applied = s.desk.dealings(protocol="membership/1.0", states=("applied",), limit=1)
            step = "" if applied else "join"
        return {
            "ours": ours,
            "recent": recent[:RECENT],
            "jobs": [job_of(job) for job in s.desk.jobs("queued", "running")],
            "next_step": step,
        }

    return await render(request, "tray.html", "tray", **await see(request, work))


def _offset(request: web.Request) -> int:
    text = request.query.get("offset", "0")
    return min(int(text), 10_000_000) if text.isascii() and text.isdigit() else 0


def _pages(found: list[Any], offset: int) -> dict[str, Any]:
    return {
        "previous": max(0, offset - PAGE) if offset else None,
        "following": offset + PAGE if len(found) > PAGE else None,
    }


async def exchanges(request: web.Request) -> web.Response:
    """List all dealings."""
    must_be(request)
    offset, chosen = _offset(request), request.query.get("protocol", "")[:60]
    found = await see(request, lambda s: s.dealings(protocol=chosen or None, limit=PAGE + 1, offset=offset))
    return await render(
        request,
        "exchanges.html",
        "more",
        dealings=found[:PAGE],
        chosen=chosen,
        protocols=[name for name in PROTOCOL_TITLES if name != "receipt/1.0"],
        **_pages(found, offset),
    )


async def exchange(request: web.Request) -> web.Response:
    """Tell the story of one exchange, and what may be done now."""
    visitor = must_be(request)
    x = await see(request, lambda s: s.exchange(request.match_info["thread"]))
    mine = [one for one in x.actions if visitor.may(one.rank)]
    actions = sorted(mine, key=lambda one: not one.goes_on)  # what goes on first, then what ends it
    return await render(request, "exchange.html", "tray", x=x, actions=actions, thread=x.thread)


# Doing something


async def new(request: web.Request) -> web.Response:
    """Offer what can be begun."""
    visitor = must_be(request)
    actions = context_of(request).agent.play.actions.values()
    mine = [one for one in actions if visitor.may(one.rank)]
    unneeded = await see(request, _unneeded)
    return await render(
        request,
        "new.html",
        "new",
        opening=[one for one in mine if one.opens and one.protocol and one.protocol.name not in unneeded],
        own=[one for one in mine if one.protocol is None and _by_hand(one)],
    )


def _unneeded(s: Seeing) -> set[str]:
    """Name the protocols that need not be begun any more: all have introduced themselves, we have joined."""
    done = set()
    if all(peer.did for peer in s.peers()):
        done.add("introduction/1.0")
    if s.company().standing:
        done.add("membership/1.0")
    return done


def _by_hand(action: Action[Any]) -> bool:
    """Say whether a person begins this from nothing: not at an event or statement, and not with JSON."""
    fields = fields_of(action.form)
    return action not in MARKING and not any(one.name == "event" or one.shape == "json" for one in fields)


async def form_page(request: web.Request) -> web.Response:
    """Show an action's form."""
    visitor = must_be(request)
    action = context_of(request).agent.play.action(request.match_info["name"])
    must_be(request, action.rank)
    fields = fields_of(action.form)
    given = {name: request.query.getall(name) for name in request.query if name != "to"}
    data = read_posted(fields, given)
    return await _form(request, visitor, action, fields, data, request.query.get("to", ""))


async def _form(
    request: web.Request,
    visitor: Visitor,
    action: Action[Any],
    fields: tuple[Field, ...],
    data: Mapping[str, Any],
    to: str,
    *,
    key: str = "",
    fault: Fault | None = None,
) -> web.Response:
    digests = [d for one in fields if one.shape == "evidence" for d in data.get(one.name, ())]

    def work(s: Seeing) -> dict[str, Any]:
        x: ExchangeView | None = None
        last: MessageView | None = None
        if action.protocol is not None and not action.opens:
            x = s.exchange(to)
            last = next((m for m in reversed(x.messages) if m.standing == "standing" and not m.from_us), None)
        kept = {d: found.name for d in digests if (found := s.desk.evidence(str(d)))}
        return {"x": x, "last": last, "peers": s.suitable(action) if action.opens else [], "kept": kept}

    language = language_of(request)
    problem = problem_of(fault, language) if fault else None
    words = Words(language, context_of(request).zone)
    return await render(
        request,
        "do.html",
        "new",
        status=status_of(fault) if fault else 200,
        action=action,
        fields=fields,
        values=shown(fields, data),
        titles={one.name: words.t(one.title) for one in fields},
        to=to,
        key=key or secrets.token_urlsafe(18),
        problem=problem,
        errors=dict(problem.fields) if problem else {},
        **await see(request, work),
    )


async def form_post(request: web.Request) -> web.Response:
    """Do an action with what was filled in, or show the form again with what is wrong."""
    visitor = must_be(request)
    given = await posted(request)
    action = context_of(request).agent.play.action(request.match_info["name"])
    must_be(request, action.rank)
    fields = fields_of(action.form)
    data, to, key = read_posted(fields, given), given.one("to"), given.one("key")
    if more := given.one("more"):
        rows = data.get(more)
        data = {**data, more: [*(rows if isinstance(rows, list) else []), {}]}
        return await _form(request, visitor, action, fields, data, to, key=key)
    try:
        filled = {**data, **await _from_files(request, fields, given)}
        done = await do(context_of(request), visitor, action.name, filled, to, key)
    except Misfilled as fault:
        return await _form(request, visitor, action, fields, data, to, key=key, fault=fault)
    except Fault as fault:
        if fault.code in {"forbidden", "unidentified"}:
            raise
        if fault.code == "unknown" and action.protocol is not None and not action.opens:
            raise
        return await _form(request, visitor, action, fields, data, to, key=key, fault=fault)
    return went(_after(action, fields, data, done.thread, done.jobs))


async def _from_files(
    request: web.Request, fields: Sequence[Field], given: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    """Return the fields that were filled by a file instead of by hand."""
    vault, found = context_of(request).vault, {}
    for one in fields:
        digest = given.get(one.name, ("",))[-1] if one.shape in {"json", "rows"} else ""
        if digest and vault.holds(digest):
            found[one.name] = from_file(one, await asyncio.to_thread(vault.get, digest))
    return found


def _after(
    action: Action[Any],
    fields: tuple[Field, ...],
    data: Mapping[str, Any],
    thread: str,
    jobs: tuple[str, ...],
) -> str:
    """Return where to look once an action is done."""
    done = f"?done={action.name}"
    if thread:
        return f"/exchanges/{thread}{done}"
    if jobs:
        return f"/jobs/{jobs[0]}{done}"
    for one in fields:
        if one.shape == "code" and isinstance(code := data.get(one.name), str):
            try:
                return f"/items/{read_code(code)}{done}"
            except Fault:
                continue
    return f"/{done}"


# Items


async def items(request: web.Request) -> web.Response:
    """Search items; a scanned code leads straight to its item."""
    must_be(request)
    text, offset = request.query.get("text", "").strip()[:80], _offset(request)
    kind = next((one for one in KINDS if one == request.query.get("kind")), "")

    def work(s: Seeing) -> tuple[str, list[Any]]:
        try:
            code = read_code(text)
        except Fault:
            code = ""
        if code and (s.desk.item(code) or s.desk.events(code) or s.desk.credentials(code)):
            return code, []
        found = s.desk.items(kind=kind or None, text=text, limit=PAGE + 1, offset=offset)
        return "", [s.item(one) for one in found]

    code, found = await see(request, work)
    if code:
        return went(f"/items/{code}")
    return await render(
        request,
        "items.html",
        "items",
        items=found[:PAGE],
        text=text,
        kind=kind,
        kinds=KINDS,
        **_pages(found, offset),
    )


async def item(request: web.Request) -> web.Response:
    """Tell an item's life."""
    visitor = must_be(request)
    x = await see(request, lambda s: s.story(request.match_info["code"]))
    outlook = await see(request, lambda s: newest(s.desk, x.code))
    actions = [
        action
        for action in context_of(request).agent.play.actions.values()
        if action.protocol is None and visitor.may(action.rank) and _place_for(action, x.kind)
    ]
    about_event = [action for action in actions if "event" in action.form.model_fields]
    return await render(
        request,
        "item.html",
        "items",
        x=x,
        here_code=x.code,
        outlook=outlook,
        actions=[
            (action, _place_for(action, x.kind))
            for action in actions
            if action not in about_event and _by_hand(action)
        ],
        about_event=about_event,
    )


async def outlook_picture(request: web.Request) -> web.Response:
    """Draw the newest forecast of an item as it is stated."""
    must_be(request)
    code = read_code(request.match_info["code"])
    found = await see(request, lambda s: newest(s.desk, code))
    if found is None:
        raise Unknown("there is no forecast of {code} here", code=code)
    drawing = await asyncio.to_thread(picture, found, language_of(request))
    headers = {
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    }
    return web.Response(body=drawing, content_type="image/svg+xml", headers=headers)


def _place_for(action: Action[Any], kind: str) -> str:
    """Name the field of an action's form that takes an item of this kind, if there is one."""
    names = {"item": "code", "items": "codes", kind: "code", f"{kind}s": "codes"}
    return next((one.name for one in fields_of(action.form) if names.get(one.name) == one.shape), "")


async def credential(request: web.Request) -> web.Response:
    """Show a sealed document as it is."""
    must_be(request)
    held, _ = await see(request, lambda s: s.credential(request.match_info["id"]))
    return answer(dict(held.document), of=dict[str, Any])


async def models(request: web.Request) -> web.Response:
    """Show the models of states of health we use, each with its card in words."""
    visitor = must_be(request)
    names = ("adopt-model", "set-model-aside")
    play = context_of(request).agent.play
    may = {name: name in play.actions and visitor.may(play.action(name).rank) for name in names}
    return await render(
        request, "models.html", "more", models=await see(request, lambda s: s.models()), may=may
    )


async def evidence(request: web.Request) -> web.StreamResponse:
    """Show a photo or file."""
    must_be(request)
    return await serve_file(request)


# The station

STAGES: Mapping[str, str] = {"waiting": "waits for", "retry": "tries again", "close": "closes"}
STATES: Mapping[str, str] = {
    "free": "free",
    "expected": "scanned",
    "waiting": "to be measured",
    "measuring": "measuring",
    "measured": "has been measured",
    "skipped": "could not be measured",
}
BESIDE = ("record-room", "record-zero-adjustment", "record-calibration", "set-care-limits")


async def station(request: web.Request) -> web.Response:
    """Show the station: what to scan next, the racks, and the spectra as they come."""
    return await _station(request)


async def _station(
    request: web.Request, fault: Fault | None = None, intake: IntakeView | None = None
) -> web.Response:
    visitor, actions = must_be(request), context_of(request).agent.play.actions
    values = await _live(request)
    words = Words(language_of(request), context_of(request).zone)
    beside = [(name, words.t(actions[name].title)) for name in BESIDE if visitor.may(actions[name].rank)]
    return await render(
        request,
        "station.html",
        "station",
        status=status_of(fault) if fault else 200,
        problem=words_of(request, fault) if fault else "",
        beside=beside,
        intake=intake,
        **values,
    )


async def _live(request: web.Request) -> dict[str, Any]:
    x = await look_at_station(request)
    words = Words(language_of(request), context_of(request).zone)
    titles = (
        words.t("Nyquist plot of {n} cells", n=len(x.sweeps)),
        words.t("Bode plot of {n} cells", n=len(x.sweeps)),
    )
    return {"x": x, "drawn": drawn(x.sweeps, titles), "stages": STAGES, "states": STATES}


async def station_live(request: web.Request) -> web.Response:
    """Return the part of the station's page that changes, unless it has not."""
    must_be(request)
    words = Words(language_of(request), context_of(request).zone)
    values = {"w": words, "t": words.t, "csrf": csrf_of(request), **await _live(request)}
    text = environment().get_template("station_live.html").render(values)
    tag = f'"{sha256(text.encode()).hexdigest()[:32]}"'
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"ETag": tag})
    return web.Response(text=text, content_type="text/html", charset="utf-8", headers={"ETag": tag})


async def station_post(request: web.Request) -> web.Response:
    """Do what a button of the station says."""
    visitor = must_be(request)
    given = await posted(request)
    context, wanted = context_of(request), given.one("do")
    told = {name: text for name in ("temperature_c", "soc_pct", "by") if (text := given.one(name).strip())}
    cell = given.one("cell").strip()
    forms: dict[str, tuple[str, dict[str, object]]] = {
        "scan": ("scan", {"scan": given.one("scan").strip()}),
        "undo": ("scan", {"scan": UNDO}),
        "start": ("diagnose-cells", dict(told)),
        "repeat": ("repeat-cells", {"cells": [cell]} if cell else {}),
        "stop": ("stop-diagnosis", {}),
        "unload": ("unload-rack", {}),
    }
    if wanted not in forms:
        raise Unknown("there is no button “{name}” here", name=wanted[:20])
    name, form = forms[wanted]
    try:
        await do(context, visitor, name, form, "", "")
    except Fault as fault:
        if fault.code in {"forbidden", "unidentified"}:
            raise
        return await _station(request, fault)
    return went("/station")


async def measurements_post(request: web.Request) -> web.Response:
    """Take in a file of measurements, and say what came of it."""
    must_be(request)
    digest = (await posted(request)).one("file")
    if not digest:
        return await _station(request, Invalid("choose a file"))
    content = await asyncio.to_thread(context_of(request).vault.path(digest).read_bytes)
    try:
        found = await take_in_file(request, content)
    except Fault as fault:
        if fault.code in {"forbidden", "unidentified"}:
            raise
        return await _station(request, fault)
    return await _station(request, intake=found)


# Companies


async def disclosures(request: web.Request) -> web.Response:
    """Show who was shown what, and why."""
    must_be(request)
    offset = _offset(request)
    found = await see(request, lambda s: s.disclosures(limit=PAGE + 1, offset=offset))
    return await render(
        request,
        "disclosures.html",
        "more",
        disclosures=found[:PAGE],
        **_pages(found, offset),
    )


async def members(request: web.Request) -> web.Response:
    """Show the register, the connections, and how to connect."""
    return await _members(request)


async def _members(request: web.Request, status: int = 200, **values: Any) -> web.Response:
    visitor = must_be(request)

    def work(s: Seeing) -> dict[str, Any]:
        found = s.members()
        known = {one.did for one in found}
        return {"members": found, "strangers": [p for p in s.peers() if not p.did or p.did not in known]}

    introduce = context_of(request).agent.play.actions.get("introduce")
    shown_values = {"invitation": "", "problem": "", "url": ""} | values
    return await render(
        request,
        "members.html",
        "members",
        status=status,
        may_introduce=introduce is not None and visitor.may(introduce.rank),
        **await see(request, work),
        **shown_values,
    )


async def invite(request: web.Request) -> web.Response:
    """Make an invitation, and show it."""
    must_be(request, "manager")
    await posted(request)
    return await _members(request, invitation=await context_of(request).invitations.create())


async def accept(request: web.Request) -> web.Response:
    """Accept an invitation."""
    must_be(request, "manager")
    url = (await posted(request)).one("url").strip()
    try:
        await context_of(request).invitations.accept(url)
    except Fault as fault:
        return await _members(request, status_of(fault), problem=words_of(request, fault), url=url)
    return went("/members")


# Names in the registry of DIDs, at the authority


async def registrations(request: web.Request) -> web.Response:
    """List the names in the registry of DIDs, and those admitted to it."""
    return await _registrations(request)


async def _registrations(request: web.Request, status: int = 200, **values: Any) -> web.Response:
    visitor = must_be(request)
    names = await registered(registrar_of(context_of(request)))
    shown_values = {"problem": "", "code": "", "name": "", "days": LIVES.days} | values
    return await render(
        request,
        "registrations.html",
        "more",
        status=status,
        names=names,
        may_admit=visitor.may("manager"),
        **shown_values,
    )


async def admit(request: web.Request) -> web.Response:
    """Admit a name, and show its one-time code."""
    must_be(request, "manager")
    given = await posted(request)
    told = {"name": given.one("name").strip(), "days": given.one("days").strip()}
    registrar = registrar_of(context_of(request))
    try:
        form = read_form(NewName, told)
        code = await registrar.admit(form.name, timedelta(days=form.days))
    except Fault as fault:
        return await _registrations(request, status_of(fault), problem=words_of(request, fault), **told)
    return await _registrations(request, code=code, name=form.name)


async def dismiss(request: web.Request) -> web.Response:
    """End the code for a name."""
    must_be(request, "manager")
    await posted(request)
    await registrar_of(context_of(request)).dismiss(request.match_info["name"])
    return went("/registrations")


# What goes on


async def dead_letters(request: web.Request) -> web.Response:
    """Show the messages nobody could deliver."""
    must_be(request)
    return await render(request, "dead.html", "more", letters=await see(request, Seeing.dead_letters))


async def retry(request: web.Request) -> web.Response:
    """Try to deliver a message again."""
    must_be(request)
    await posted(request)
    await revive(context_of(request), request.match_info["peer"], request.match_info["id"])
    return went("/dead-letters")


async def jobs(request: web.Request) -> web.Response:
    """List long pieces of work, the latest first."""
    must_be(request)
    found = await see(request, lambda s: [job_of(job) for job in reversed(s.desk.jobs())])
    return await render(request, "jobs.html", "more", jobs=found[:PAGE], refresh=10 if _going(found) else 0)


def _going(found: list[Any]) -> bool:
    return any(one.state in {"queued", "running"} for one in found)


async def job(request: web.Request) -> web.Response:
    """Tell how far a piece of work has come."""
    must_be(request)
    x = await see(request, lambda s: s.job(request.match_info["id"]))
    return await render(request, "job.html", "more", x=x, refresh=5 if _going([x]) else 0)


async def more(request: web.Request) -> web.Response:
    """Show the way to everything else."""
    must_be(request)
    return await render(request, "more.html", "more", registrar=context_of(request).registrar)


async def about(request: web.Request) -> web.Response:
    """Tell what this is; more of it to those who are logged in."""
    x = await see(request, Seeing.company) if visitor_of(request) else None
    return await render(request, "about.html", "more", x=x, version=context_of(request).version)


# Who may use this agent


async def login_page(request: web.Request) -> web.Response:
    """Ask for name and password."""
    if visitor_of(request) is not None:
        return went(_inside(request.query.get("next", "/")))
    return await _login(request, next=_inside(request.query.get("next", "/")))


async def _login(request: web.Request, status: int = 200, **values: Any) -> web.Response:
    admin = await accounts.has_admin(context_of(request).agent.store)
    return await render(
        request, "login.html", status=status, has_admin=admin, **({"problem": "", "name": ""} | values)
    )


def _inside(place: str) -> str:
    """Return a place on this site, never on another."""
    found = urlsplit(place)
    inside = place.startswith("/") and not place.startswith(("//", "/\\")) and not found.netloc
    return place if inside and place.isprintable() and "\\" not in place else "/"


async def login(request: web.Request) -> web.Response:
    """Let somebody in."""
    given = await posted(request)
    name, place = given.one("name"), _inside(given.one("next"))
    try:
        secret, _ = await request.app[DOOR].enter(name, given.one("password"), address_of(request))
    except Fault as fault:
        page = await _login(
            request, status_of(fault), problem=words_of(request, fault), name=name[:60], next=place
        )
        if isinstance(fault, accounts.Hurried):
            page.headers["Retry-After"] = str(fault.seconds)
        return page
    return await _let_in(request, secret, place)


async def _let_in(request: web.Request, secret: str, place: str) -> web.Response:
    store = context_of(request).agent.store
    if (before := visitor_of(request)) is not None and before.kind == "session":
        await accounts.leave(store, before)
    response = went(place)
    open_session(request, response, secret)
    return response


async def logout(request: web.Request) -> web.Response:
    """End the session."""
    visitor = must_be(request)
    await posted(request)
    await accounts.leave(context_of(request).agent.store, visitor)
    response = went("/login")
    set_cookie(response, context_of(request), "session", "", 0)
    return response


async def welcome_page(request: web.Request) -> web.Response:
    """Ask who comes by a one-time link for a password."""
    entry = await accounts.invited(context_of(request).agent.store, request.match_info["secret"])
    return await render(request, "welcome.html", user=entry.user, name="", problem="")


async def welcome(request: web.Request) -> web.Response:
    """Set the password, and let them in."""
    store, secret = context_of(request).agent.store, request.match_info["secret"]
    given = await posted(request)
    entry = await accounts.invited(store, secret)
    try:
        user = await accounts.redeem(
            store, secret, given.one("name"), given.one("password"), language_of(request)
        )
    except Fault as fault:
        return await render(
            request,
            "welcome.html",
            status=status_of(fault),
            user=entry.user,
            name=given.one("name")[:60],
            problem=words_of(request, fault),
        )
    session, _ = await accounts.begin_session(store, user)
    return await _let_in(request, session, "/")


async def users(request: web.Request) -> web.Response:
    """List who may use this agent."""
    return await _users(request)


async def _users(request: web.Request, status: int = 200, **values: Any) -> web.Response:
    must_be(request, "admin")
    found = await context_of(request).agent.store.read(lambda desk: desk.users())
    return await render(
        request,
        "users.html",
        "more",
        status=status,
        users=[UserView.of(user) for user in found],
        **({"problem": "", "link": "", "name": ""} | values),
    )


async def add_user(request: web.Request) -> web.Response:
    """Add a user, or give one a new start, and show the one-time link."""
    must_be(request, "admin")
    given, context = await posted(request), context_of(request)
    try:
        name = accounts.read_name(given.one("name"))
        link = await accounts.invite(context.agent.store, context.public_url, name, _rank(given))
    except Fault as fault:
        return await _users(request, status_of(fault), problem=words_of(request, fault))
    return await _users(request, link=link, name=name)


def _rank(given: Posted) -> Rank:
    rank = given.one("rank")
    found: Rank | None = next((one for one in RANKS if one == rank), None)
    if found is None:
        raise Unknown("there is no rank “{rank}”", rank=rank[:40])
    return found


async def drop_user(request: web.Request) -> web.Response:
    """Remove a user."""
    must_be(request, "admin")
    await posted(request)
    try:
        await accounts.drop_user(context_of(request).agent.store, request.match_info["name"])
    except Fault as fault:
        return await _users(request, status_of(fault), problem=words_of(request, fault))
    return went("/users")


async def account(request: web.Request) -> web.Response:
    """Show one's own account."""
    return await _account(request)


async def _account(request: web.Request, status: int = 200, **values: Any) -> web.Response:
    visitor = must_be(request)
    found = await accounts.tokens(context_of(request).agent.store, visitor.user)
    ranks = [rank for rank in RANKS if visitor.may(rank)]
    return await render(
        request,
        "account.html",
        "more",
        status=status,
        tokens=[TokenView.of(one) for one in found],
        ranks=ranks,
        **({"problem": "", "token": ""} | values),
    )


async def change_password(request: web.Request) -> web.Response:
    """Change one's own password."""
    visitor = must_be(request)
    given = await posted(request)
    try:
        await accounts.change_password(
            context_of(request).agent.store, visitor, given.one("old"), given.one("new")
        )
    except Fault as fault:
        return await _account(request, status_of(fault), problem=words_of(request, fault))
    words = Words(language_of(request), context_of(request).zone)
    return await _account(request, done=words.t("The password is changed."))


async def new_token(request: web.Request) -> web.Response:
    """Make a token, and show it this once."""
    visitor = must_be(request)
    given = await posted(request)
    try:
        store = context_of(request).agent.store
        token = await accounts.new_token(store, visitor, given.one("label"), _rank(given))
    except Fault as fault:
        return await _account(request, status_of(fault), problem=words_of(request, fault))
    return await _account(request, token=token)


async def drop_token(request: web.Request) -> web.Response:
    """End a token."""
    visitor = must_be(request)
    await posted(request)
    await accounts.drop_token(context_of(request).agent.store, visitor.user, request.match_info["id"])
    return went("/account")


async def language(request: web.Request) -> web.Response:
    """Choose a language: for this browser, and for the user who is logged in."""
    given = await posted(request)
    chosen = given.one("language")
    if chosen not in LANGUAGES:
        raise Unknown("there is no language “{language}” here", language=chosen[:20])
    visitor = visitor_of(request)
    if visitor is not None:
        store = context_of(request).agent.store
        await accounts.change_user(store, visitor.user, lambda user: replace(user, language=chosen))
    response = went(_inside(given.one("back")))
    set_cookie(response, context_of(request), "language", chosen, 365 * 24 * 3600)
    return response


GETS: Mapping[str, Callable[[web.Request], Answer]] = {
    "/": tray,
    "/new": new,
    "/do/{name}": form_page,
    "/exchanges": exchanges,
    "/exchanges/{thread}": exchange,
    "/items": items,
    "/items/{code}/outlook.svg": outlook_picture,
    "/evidence/{digest}": evidence,
    "/station": station,
    "/models": models,
    "/disclosures": disclosures,
    "/members": members,
    "/registrations": registrations,
    "/dead-letters": dead_letters,
    "/jobs": jobs,
    "/jobs/{id}": job,
    "/more": more,
    "/about": about,
    "/users": users,
    "/account": account,
    "/login": login_page,
    "/welcome/{secret}": welcome_page,
}
POSTS: Mapping[str, Callable[[web.Request], Answer]] = {
    "/do/{name}": form_post,
    "/station": station_post,
    "/station/measurements": measurements_post,
    "/members/invite": invite,
    "/members/accept": accept,
    "/registrations": admit,
    "/registrations/{name}/dismiss": dismiss,
    "/dead-letters/{peer}/{id}/retry": retry,
    "/users": add_user,
    "/users/{name}/drop": drop_user,
    "/account/password": change_password,
    "/account/tokens": new_token,
    "/account/tokens/{id}/drop": drop_token,
    "/login": login,
    "/logout": logout,
    "/welcome/{secret}": welcome,
    "/language": language,
}


def add_pages(app: web.Application) -> None:
    """Add the pages to the site."""
    for path, handler in GETS.items():
        app.router.add_get(path, handler)
    app.router.add_get("/station/live", station_live)
    for path, handler in POSTS.items():
        app.router.add_post(path, handler)
