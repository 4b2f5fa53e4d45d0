"""The REST API: each route once, with what it takes and answers, so that the OpenAPI document can tell."""

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache, partial
from typing import Any, Literal
from urllib.parse import quote

from aiohttp import web
from pydantic import BaseModel, Field, TypeAdapter

from agents import accounts
from agents.accounts import Visitor
from agents.evidence import MOST_FILE_BYTES
from agents.harvest import NOT_READ, Harvest, Search, did_of
from agents.measurements import MEDIA_TYPES, hand_out, take_in
from agents.measurements import MOST_BYTES as MOST_MEASUREMENT_BYTES
from agents.ports import Desk
from agents.role import Rank
from agents.service import read_form
from agents.trace import trace
from agents.web import views
from agents.web.context import Context
from agents.web.gate import (
    DOOR,
    MOST_IN_AN_ACTION,
    address_of,
    body_of,
    context_of,
    is_here,
    json_of,
    keep_file,
    must_be,
    set_cookie,
    visitor_of,
)
from agents.web.problems import NotJson
from agents.web.station import StationView, station_of
from agents.web.views import Seeing, View, seen
from schemas.errors import Invalid, Unknown
from schemas.items import read_code

API = "/api/v1"
PAGE = 50
MOST_ON_A_PAGE = 500


@dataclass(frozen=True)
class Route:
    """One route of the API, and what there is to say about it."""

    method: str
    path: str
    run: Callable[[web.Request], Awaitable[web.StreamResponse]]
    summary: str
    answer: Any = None
    takes: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    status: int = 200
    rank: Rank | None = "operator"
    media_type: str = "application/json"
    takes_media_type: str = "application/json"
    headers: tuple[str, ...] = ()


ROUTES: list[Route] = []


def route(method: str, path: str, **known: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a route; its summary is the handler's docstring."""

    def add(run: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        summary = (run.__doc__ or "").strip().splitlines()[0].rstrip(".")
        ROUTES.append(Route(method, path, run, summary, **known))
        return run

    return add


@cache
def adapter(shape: Any) -> TypeAdapter[Any]:
    """Return what writes data of a shape; making it costs more than most answers."""
    return TypeAdapter(shape)


def answer(
    data: Any, status: int = 200, *, of: Any = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return data as JSON."""
    shape: Any = of or type(data)
    text = adapter(shape).dump_json(data)
    return web.Response(body=text, status=status, content_type="application/json", headers=headers)


async def see[T](request: web.Request, work: Callable[[Seeing], T]) -> T:
    """Return what is seen in the books."""
    context = context_of(request)
    return await context.agent.look(seen(context, work))


def query_of[F: BaseModel](request: web.Request, form: type[F]) -> F:
    """Return a query's parameters."""
    given = {name: value for name, value in request.query.items() if value}
    if len(request.query) != len(set(request.query)):
        raise Invalid("a parameter stands twice in the address")
    return read_form(form, given)


# What is asked


class Page(BaseModel):
    """Which part of a list."""

    limit: int = Field(default=PAGE, ge=1, le=MOST_ON_A_PAGE, title="How many")
    offset: int = Field(default=0, ge=0, le=10_000_000, title="How many to leave out first")


class Which(BaseModel):
    """Which version of the framework: by its number, or the one that holds on a day; else the present one."""

    version: int | None = Field(default=None, ge=1, title="Version of the framework")
    at: date | None = Field(default=None, title="Day")


class DealingQuery(Page):
    """Which exchanges."""

    protocol: str | None = Field(default=None, max_length=60, title="Protocol, such as collection/1.0")
    state: str | None = Field(default=None, max_length=60, title="State")
    ours: bool | None = Field(default=None, title="Whether something is for us to do")
    about: str | None = Field(default=None, max_length=40, title="Code of an item or lot")


class DisclosureQuery(Page):
    """Which disclosures."""

    about: str | None = Field(default=None, max_length=40, title="Code of an item")


class ItemQuery(Page):
    """Which items."""

    kind: str | None = Field(default=None, max_length=20, title="Kind of item")
    text: str = Field(default="", max_length=80, title="Text in its code or model")
    part_of: str | None = Field(default=None, max_length=40, title="What it came out of")


class InvitationUrl(BaseModel):
    """An invitation of another agent."""

    url: str = Field(min_length=1, max_length=20_000, title="Invitation")


class Login(BaseModel):
    """Who logs in."""

    name: str = Field(max_length=200, title="User name")
    password: str = Field(max_length=2000, title="Password")


class NewUser(BaseModel):
    """Whom to let in."""

    name: str = Field(min_length=1, max_length=60, title="User name")
    rank: Rank = Field(title="Rank")


class NewToken(BaseModel):
    """A token for a program."""

    label: str = Field(min_length=1, max_length=60, title="What it is for")
    rank: Rank = Field(default="operator", title="Rank")
    days: int = Field(default=365, ge=1, le=3650, title="Days it lives")


class UserChange(BaseModel):
    """What changes of a user."""

    rank: Rank | None = Field(default=None, title="Rank")
    language: Literal["", "en", "ja"] | None = Field(default=None, title="Language")


# What is answered besides views


class Link(View):
    """A link to pass on."""

    url: str


class Connected(View):
    """A connection begun."""

    connection: str


class Secret(View):
    """A new token; it is shown this once."""

    token: str


class SessionView(View):
    """Who is asking."""

    user: str
    rank: Rank
    language: str
    csrf: str = Field(
        description="To be sent as X-CSRF-Token with every change, where a cookie says who asks"
    )


class Ready(View):
    """Whether the agent can work."""

    ready: bool
    waiting_for: dict[str, str]


class CheckView(View):
    """One thing that was looked at."""

    name: str
    passed: bool
    words: str
    evidence: dict[str, str]


class ReportView(View):
    """Everything that was looked at in a credential, and whether all of it held."""

    verified: bool
    author: str | None
    signers: list[str]
    checks: list[CheckView]
    credentials: list["ReportView"]


class CredentialView(views.Statement):
    """A credential and its document."""

    document: dict[str, Any]


# The company


@route("GET", "/company", answer=views.Company)
async def company(request: web.Request) -> web.Response:
    """Tell whose agent this is."""
    return answer(await see(request, Seeing.company))


@route("GET", "/framework", answer=views.FrameworkView, query=Which)
async def framework(request: web.Request) -> web.Response:
    """Tell the governance framework that holds now, or held on a day."""
    wanted = query_of(request, Which)
    return answer(await see(request, lambda s: s.framework_view(s.framework_of(wanted.version, wanted.at))))


@route("GET", "/members", answer=list[views.MemberView])
async def members(request: web.Request) -> web.Response:
    """List the register of members."""
    return answer(await see(request, Seeing.members), of=list[views.MemberView])


@route("GET", "/peers", answer=list[views.Counterpart])
async def peers(request: web.Request) -> web.Response:
    """List the connected agents, with the state of their circuit breakers."""
    return answer(await see(request, Seeing.peers), of=list[views.Counterpart])


@route("POST", "/invitations", answer=Link, status=201, rank="manager")
async def create_invitation(request: web.Request) -> web.Response:
    """Make an invitation that another company's agent can accept."""
    return answer(Link(url=await context_of(request).invitations.create()), 201)


@route("POST", "/invitations/accept", takes=InvitationUrl, answer=Connected, status=201, rank="manager")
async def accept_invitation(request: web.Request) -> web.Response:
    """Accept another company's invitation."""
    form = read_form(InvitationUrl, await json_of(request))
    return answer(Connected(connection=await context_of(request).invitations.accept(form.url.strip())), 201)


# Exchanges


@route("GET", "/exchanges", answer=list[views.DealingView], query=DealingQuery)
async def exchanges(request: web.Request) -> web.Response:
    """List exchanges, the latest change first."""
    wanted = query_of(request, DealingQuery)
    filters = wanted.model_dump(exclude={"state"}) | {"states": (wanted.state,) if wanted.state else ()}
    return answer(await see(request, lambda s: s.dealings(**filters)), of=list[views.DealingView])


@route("GET", "/exchanges/{thread}", answer=views.ExchangeView)
async def exchange(request: web.Request) -> web.Response:
    """Tell one exchange with all that was said, and what may be done now."""
    return answer(await see(request, lambda s: s.exchange(request.match_info["thread"])))


@route("GET", "/actions", answer=list[views.OpenAction])
async def actions(request: web.Request) -> web.Response:
    """List everything this company can do; the forms are in the OpenAPI document."""
    play = context_of(request).agent.play
    found = await see(request, lambda s: [s.action(action) for action in play.actions.values()])
    return answer(found, of=list[views.OpenAction])


@route("GET", "/disclosures", answer=list[views.Disclosure], query=DisclosureQuery)
async def disclosures(request: web.Request) -> web.Response:
    """List who was shown what, for which purpose and under which contract."""
    wanted = query_of(request, DisclosureQuery).model_dump()
    return answer(await see(request, lambda s: s.disclosures(**wanted)), of=list[views.Disclosure])


# Items and statements


@route("GET", "/items", answer=list[views.ItemView], query=ItemQuery)
async def items(request: web.Request) -> web.Response:
    """Search items."""
    wanted = query_of(request, ItemQuery).model_dump()
    return answer(
        await see(request, lambda s: [s.item(one) for one in s.desk.items(**wanted)]), of=list[views.ItemView]
    )


@route("GET", "/items/{code}", answer=views.ItemStory)
async def item(request: web.Request) -> web.Response:
    """Tell an item with its life, its chain and its credentials."""
    return answer(await see(request, lambda s: s.story(request.match_info["code"])))


@route("GET", "/items/{code}/trace", answer=dict[str, Any])
async def item_trace(request: web.Request) -> web.Response:
    """Trace an item through its chain, each credential verified."""
    code = read_code(request.match_info["code"])
    judge = context_of(request).agent.judge
    found = await see(request, lambda s: trace(s.desk, code, partial(judge, known=s.known)).to_json())
    return answer(found, of=dict[str, Any])


@route("GET", "/credentials/{id}", answer=CredentialView)
async def credential(request: web.Request) -> web.Response:
    """Return one credential, verified now."""
    held, statement = await see(request, lambda s: s.credential(request.match_info["id"]))
    return answer(CredentialView(**statement.model_dump(), document=dict(held.document)))


@route("POST", "/verify", takes=None, answer=ReportView)
async def verify_credential(request: web.Request) -> web.Response:
    """Look at a credential from anywhere, and report everything that holds or does not."""
    document = await json_of(request)
    report = await context_of(request).agent.lookup.verified(document)
    return answer(ReportView.model_validate(report.as_json()))


@route("GET", "/models", answer=list[views.ModelView])
async def models(request: web.Request) -> web.Response:
    """List the models of states of health that were adopted, each with the statement that vouches for it."""
    return answer(await see(request, lambda s: s.models()), of=list[views.ModelView])


@route("GET", "/models/{digest}", answer=dict[str, Any])
async def model(request: web.Request) -> web.Response:
    """Return a model as a file that another company can adopt: the model, and its sealed statement."""
    digest = request.match_info["digest"]

    def work(s: Seeing) -> dict[str, Any]:
        found = next((one for one in s.desk.models() if one.digest == digest), None)
        document = s.desk.model(digest) if found else None
        if found is None or document is None:
            raise Unknown("there is no model {digest} here", digest=digest[:80])
        return {"model": document, "credential": dict(s.credential(found.credential)[0].document)}

    return answer(await see(request, work), of=dict[str, Any])


# What others have published


class NewSource(BaseModel):
    """An issuer's site to be read."""

    issuer: str = Field(min_length=1, max_length=400, title="Issuer, by DID or name")
    site: str = Field(min_length=1, max_length=200, title="Address of its site")


class HarvestForm(BaseModel):
    """What to read."""

    issuer: str = Field(default="", max_length=400, title="Issuer, by DID or name (none: all)")


class FoundView(View):
    """A published statement, as the index knows it; the statement itself stands at its issuer's site."""

    id: str
    type: str
    item: str
    model: str
    issuer: str
    issuer_name: str
    standing: str = Field(description="The issuer's standing in the register, or empty")
    at: datetime
    digest: str = Field(description="Digest of the sealed document, to compare with what the site gives")
    url: str


class FoundPage(View):
    """What was found, the latest first."""

    found: tuple[FoundView, ...]
    next: str = Field(description="To be given as `after` for the next page, or empty")


class SourceView(View):
    """An issuer that is read."""

    issuer: str
    name: str
    site: str
    read_to: int = Field(description="The last change read")
    at: datetime | None
    problem: str
    refused: dict[str, str] = Field(description="What was not indexed, and why: the latest")


class SourcesView(View):
    """The issuers that are read."""

    running: bool = Field(description="Whether they are being read now")
    sources: tuple[SourceView, ...]


def harvest_of(request: web.Request) -> Harvest:
    """Return the registry of this agent."""
    harvest = context_of(request).harvest
    if harvest is None:
        raise Unknown("this agent keeps no registry")
    return harvest


async def searched(request: web.Request, search: Search) -> FoundPage:
    """Return what is found."""
    found, sites, following = await harvest_of(request).search(search)

    def work(s: Seeing) -> FoundPage:
        cards = {did: s.card(did) for did in {one.issuer for one in found}}
        return FoundPage(
            found=tuple(
                FoundView(
                    id=one.id,
                    type=one.type,
                    item=one.item,
                    model=one.model,
                    issuer=one.issuer,
                    issuer_name=cards[one.issuer].name,
                    standing=cards[one.issuer].standing,
                    at=one.at,
                    digest=one.digest,
                    url=f"{sites[one.issuer]}/credentials/{quote(one.id.removeprefix('urn:uuid:'), safe='')}",
                )
                for one in found
            ),
            next=following,
        )

    return await see(request, work)


@route("GET", "/registry/search", answer=FoundPage, query=Search, rank=None)
async def registry_search(request: web.Request) -> web.Response:
    """Search what companies have published; anyone may."""
    return answer(await searched(request, query_of(request, Search)))


@route("GET", "/registry/sources", answer=SourcesView)
async def registry_sources(request: web.Request) -> web.Response:
    """List the issuers whose sites are read, and what was wrong the last time."""
    harvest = harvest_of(request)

    def work(s: Seeing) -> tuple[SourceView, ...]:
        return tuple(
            SourceView(
                issuer=one.issuer,
                name=s.card(one.issuer).name,
                site=one.site,
                read_to=one.next,
                at=one.at,
                problem=one.problem,
                refused=dict(one.refused),
            )
            for one in s.desk.index.sources()
            if one.site != NOT_READ
        )

    return answer(SourcesView(running=harvest.running, sources=await see(request, work)))


@route("POST", "/registry/sources", takes=NewSource, status=204, rank="manager")
async def registry_add(request: web.Request) -> web.Response:
    """Have an issuer's site read from now on."""
    form = read_form(NewSource, await json_of(request))
    did = await see(request, lambda s: did_of(form.issuer, s.desk))
    await harvest_of(request).add(did, form.site)
    return web.Response(status=204)


@route("DELETE", "/registry/sources/{did}", status=204, rank="manager")
async def registry_drop(request: web.Request) -> web.Response:
    """Read an issuer's site no more, and forget what was indexed of it."""
    did = await see(request, lambda s: did_of(request.match_info["did"], s.desk))
    await harvest_of(request).drop(did)
    return web.Response(status=204)


@route("POST", "/registry/harvest", takes=HarvestForm, status=202, rank="manager")
async def registry_harvest(request: web.Request) -> web.Response:
    """Begin to read what is new at the issuers' sites; the list of issuers tells when it is done."""
    form = read_form(HarvestForm, await json_of(request))
    did = await see(request, lambda s: did_of(form.issuer, s.desk)) if form.issuer else ""
    harvest_of(request).begin(did)
    return web.Response(status=202)


@route("POST", "/registry/rebuild", status=202, rank="admin")
async def registry_rebuild(request: web.Request) -> web.Response:
    """Forget the index, and begin to read it anew from the issuers."""
    harvest_of(request).begin(anew=True)
    return web.Response(status=202)


# Evidence


@route(
    "POST", "/evidence", answer=views.File, status=201, takes_media_type="application/octet-stream",
    headers=("Content-Disposition",),
)  # fmt: skip
async def upload(request: web.Request) -> web.Response:
    """Keep a file; the body is the file, its name stands in Content-Disposition or ?name=."""
    if request.content_type == "multipart/form-data":
        raise NotJson("send the file itself as the body")
    if (request.content_length or 0) > MOST_FILE_BYTES:
        raise web.HTTPRequestEntityTooLarge(MOST_FILE_BYTES, request.content_length or 0)
    found = re.search(r'filename="?([^";]+)', request.headers.get("Content-Disposition", ""))
    name = request.query.get("name") or (found[1] if found else "file")
    evidence = await keep_file(context_of(request), request.content.iter_chunked(1 << 16), name)
    return answer(views.file_of(evidence), 201)


@route("GET", "/evidence/{digest}", media_type="application/octet-stream")
async def evidence(request: web.Request) -> web.StreamResponse:
    """Return a file's bytes."""
    return await serve_file(request)


async def serve_file(request: web.Request) -> web.StreamResponse:
    """Serve a file of the vault so that a browser shows pictures and runs nothing."""
    digest = request.match_info["digest"]
    context = context_of(request)
    entry = await context.agent.store.read(lambda desk: desk.evidence(digest))
    if entry is None:
        raise Unknown("there is no file {digest} here", digest=digest[:64])
    path = context.vault.path(digest)
    shown = entry.media_type in {"image/jpeg", "image/png"}
    response = web.FileResponse(path)
    response.content_type = (
        entry.media_type if shown or entry.media_type == "application/pdf" else ("application/octet-stream")
    )
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox; frame-ancestors 'none'"
    response.headers["Cache-Control"] = "private, max-age=31536000, immutable"
    if not shown:
        response.headers["Content-Disposition"] = f'attachment; filename="{digest[:12]}"'
    return response


# What goes on


@route("GET", "/dead-letters", answer=list[views.DeadLetter])
async def dead_letters(request: web.Request) -> web.Response:
    """List the messages nobody could deliver."""
    return answer(await see(request, Seeing.dead_letters), of=list[views.DeadLetter])


@route("POST", "/dead-letters/{peer}/{id}/retry", status=204)
async def retry(request: web.Request) -> web.Response:
    """Try to deliver a message again."""
    await revive(context_of(request), request.match_info["peer"], request.match_info["id"])
    return web.Response(status=204)


async def revive(context: Context, peer: str, id: str) -> None:
    """Queue a dead letter again, and have it carried."""
    await context.agent.store.write(lambda desk: desk.revive(peer, id))
    context.agent.courier.wake(frozenset({peer}))


@route("GET", "/jobs", answer=list[views.JobView])
async def jobs(request: web.Request) -> web.Response:
    """List long pieces of work."""
    return answer(
        await see(request, lambda s: [views.job_of(job) for job in s.desk.jobs()]), of=list[views.JobView]
    )


@route("GET", "/jobs/{id}", answer=views.JobView)
async def job(request: web.Request) -> web.Response:
    """Tell how far a piece of work has come."""
    return answer(await see(request, lambda s: s.job(request.match_info["id"])))


# The station


async def look_at_station(request: web.Request) -> StationView:
    """Return the station as it is now; raise Unknown where the company has none."""
    agent = context_of(request).agent
    agent.play.action("scan")
    sight = agent.works.look()
    return await agent.store.read(lambda desk: station_of(desk, sight))


@route("GET", "/station", answer=StationView)
async def station(request: web.Request) -> web.Response:
    """Tell what is on the racks, what is being measured, and the spectra as they come."""
    return answer(await look_at_station(request))


# Measurements


class MeasurementQuery(BaseModel):
    """Which measurements, and how they are spelt."""

    format: Literal["csv", "json"] = Field(default="json", title="csv or json")
    item: str = Field(default="", max_length=40, title="Code of a cell, or of what cells came out of")


class IntakeView(View):
    """What came of a file of measurements."""

    taken: list[str] = Field(description="Cells whose measurements were taken in")
    known: list[str] = Field(description="Cells whose measurements we had already")
    refused: dict[str, str] = Field(description="By cell, in words, why a measurement was not taken in")


@route("GET", "/measurements", query=MeasurementQuery, media_type="application/json")
async def measurements(request: web.Request) -> web.Response:
    """Return measurements as a file, JSON or CSV."""
    wanted = query_of(request, MeasurementQuery)
    item = read_code(wanted.item) if wanted.item else ""
    text = await see(request, lambda s: hand_out(s.desk, wanted.format, item))
    name = f"measurements{'-' + item if item else ''}.{wanted.format}"
    return web.Response(
        text=text,
        content_type=MEDIA_TYPES[wanted.format],
        charset="utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@route(
    "POST", "/measurements", answer=IntakeView, takes_media_type="application/octet-stream"
)  # fmt: skip
async def import_measurements(request: web.Request) -> web.Response:
    """Take in a file of measurements, CSV or JSON; the body is the file."""
    return answer(await take_in_file(request, await body_of(request, MOST_MEASUREMENT_BYTES)))


async def take_in_file(request: web.Request, content: bytes) -> IntakeView:
    """Take in a file of measurements for whoever asks."""
    visitor = must_be(request)
    found = await take_in(context_of(request).agent, content, user=visitor.user, rank=visitor.rank)
    return IntakeView(taken=list(found.taken), known=list(found.known), refused=dict(found.refused))


# Who may use this agent


def _session(visitor: Visitor) -> SessionView:
    return SessionView(user=visitor.user, rank=visitor.rank, language=visitor.language, csrf=visitor.csrf)


@route("GET", "/session", answer=SessionView)
async def session(request: web.Request) -> web.Response:
    """Tell who is asking."""
    return answer(_session(must_be(request)))


@route("POST", "/session", takes=Login, answer=SessionView, status=201, rank=None)
async def log_in(request: web.Request) -> web.Response:
    """Log in by name and password; the session is a cookie."""
    form = read_form(Login, await json_of(request))
    secret, visitor = await request.app[DOOR].enter(form.name, form.password, address_of(request))
    if (before := visitor_of(request)) is not None and before.kind == "session":
        await accounts.leave(context_of(request).agent.store, before)
    response = answer(_session(visitor), 201)
    open_session(request, response, secret)
    return response


def open_session(request: web.Request, response: web.StreamResponse, secret: str) -> None:
    """Give the browser a session's secret."""
    seconds = int(accounts.LONGEST_SESSION.total_seconds())
    set_cookie(response, context_of(request), "session", secret, seconds)


@route("DELETE", "/session", status=204)
async def log_out(request: web.Request) -> web.Response:
    """Log out, or give up the token that asks."""
    await accounts.leave(context_of(request).agent.store, must_be(request))
    response = web.Response(status=204)
    set_cookie(response, context_of(request), "session", "", 0)
    return response


@route("GET", "/users", answer=list[views.UserView], rank="admin")
async def users(request: web.Request) -> web.Response:
    """List who may use this agent."""
    found = await context_of(request).agent.store.read(lambda desk: desk.users())
    return answer([views.UserView.of(user) for user in found], of=list[views.UserView])


@route("POST", "/users", takes=NewUser, answer=Link, status=201, rank="admin")
async def add_user(request: web.Request) -> web.Response:
    """Add a user, or give one a new start; answers the one-time link to set a password."""
    form = read_form(NewUser, await json_of(request))
    context = context_of(request)
    return answer(
        Link(url=await accounts.invite(context.agent.store, context.public_url, form.name, form.rank)), 201
    )


@route("PATCH", "/users/{name}", takes=UserChange, status=204, rank="admin")
async def change_user(request: web.Request) -> web.Response:
    """Change a user's rank or language."""
    form = read_form(UserChange, await json_of(request))
    changes = form.model_dump(exclude_none=True)
    await accounts.change_user(
        context_of(request).agent.store, request.match_info["name"], lambda user: replace(user, **changes)
    )
    return web.Response(status=204)


@route("DELETE", "/users/{name}", status=204, rank="admin")
async def drop_user(request: web.Request) -> web.Response:
    """Remove a user with all sessions and tokens."""
    await accounts.drop_user(context_of(request).agent.store, request.match_info["name"])
    return web.Response(status=204)


@route("GET", "/tokens", answer=list[views.TokenView])
async def tokens(request: web.Request) -> web.Response:
    """List one's own tokens."""
    found = await accounts.tokens(context_of(request).agent.store, must_be(request).user)
    return answer([views.TokenView.of(one) for one in found], of=list[views.TokenView])


@route("POST", "/tokens", takes=NewToken, answer=Secret, status=201)
async def new_token(request: web.Request) -> web.Response:
    """Make a token for a program; it is shown this once."""
    form = read_form(NewToken, await json_of(request))
    store = context_of(request).agent.store
    return answer(
        Secret(token=await accounts.new_token(store, must_be(request), form.label, form.rank, form.days)), 201
    )


@route("DELETE", "/tokens/{id}", status=204)
async def drop_token(request: web.Request) -> web.Response:
    """End one of one's own tokens."""
    store = context_of(request).agent.store
    await accounts.drop_token(store, must_be(request).user, request.match_info["id"])
    return web.Response(status=204)


# Actions


class Towards(BaseModel):
    """Where an action goes."""

    to: str = Field(default="", max_length=400, title="Thread of an exchange, or a company's name, DID or id")


async def act(request: web.Request) -> web.Response:
    """Do an action."""
    visitor = must_be(request)
    data = await json_of(request, MOST_IN_AN_ACTION)
    to = read_form(Towards, {"to": data.pop("to")}).to if "to" in data else ""
    key = request.headers.get("Idempotency-Key", "")
    done = await do(context_of(request), visitor, request.match_info["name"], data, to, key)
    return answer(done, 201)


async def do(
    context: Context, visitor: Visitor, name: str, data: Mapping[str, object], to: str, key: str
) -> views.Outcome:
    """Do an action for a visitor: the page and the API both end here."""
    if len(key) > 200:  # noqa: PLR2004
        raise Invalid("the key has more than {limit} characters", limit=200)
    done = await context.agent.perform(
        name,
        data,
        to,
        user=visitor.user,
        rank=visitor.rank,
        key=f"{visitor.user} {name} {key}" if key else "",
    )
    return views.Outcome.of(done)


# For machines around the agent


async def ready(request: web.Request) -> web.Response:
    """Say whether the agent can work."""
    waiting = dict(context_of(request).ready())
    return answer(Ready(ready=not waiting, waiting_for=waiting), 503 if waiting else 200)


async def blob(request: web.Request) -> web.StreamResponse:
    """Serve an encrypted file to whoever has its unguessable name."""
    response = web.FileResponse(context_of(request).vault.blob(request.match_info["id"]), chunk_size=1 << 18)
    response.content_type = "application/octet-stream"
    return response


async def metrics(request: web.Request) -> web.Response:
    """Tell the figures of operation, as Prometheus reads them."""
    if not is_here(request):
        must_be(request)
    context = context_of(request)

    def work(desk: Desk) -> list[str]:
        breakers = context.breakers()
        lines = ["# TYPE meguri_messages gauge"]
        lines += [f'meguri_messages{{status="{status}"}} {n}' for status, n in desk.tally().items()]
        lines.append("# TYPE meguri_exchanges gauge")
        lines += [
            f'meguri_exchanges{{protocol="{protocol}",state="{state}"}} {number}'
            for (protocol, state), number in sorted(desk.census().items())
        ]
        lines.append(
            f"# TYPE meguri_waiting_for_us gauge\nmeguri_waiting_for_us {len(desk.dealings(ours=True))}"
        )
        lines.append("# TYPE meguri_jobs gauge")
        by_state = Counter(job.state for job in desk.jobs())
        lines += [f'meguri_jobs{{state="{state}"}} {number}' for state, number in sorted(by_state.items())]
        lines.append("# TYPE meguri_breakers gauge")
        by_breaker = Counter(breakers.values())
        lines += [f'meguri_breakers{{state="{s}"}} {number}' for s, number in sorted(by_breaker.items())]
        lines.append(
            f"# TYPE meguri_awaited_files gauge\nmeguri_awaited_files {len(desk.awaited_evidence())}"
        )
        return lines

    lines = await context.agent.store.read(work)
    lines.append(f"# TYPE meguri_ready gauge\nmeguri_ready {int(not context.ready())}")
    return web.Response(text="\n".join(lines) + "\n", content_type="text/plain", charset="utf-8")


def guarded(one: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return a route's handler behind the rank it needs."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if one.rank is not None:
            must_be(request, one.rank)
        return await one.run(request)

    return handler


def add_routes(app: web.Application) -> None:
    """Add the API to the site."""
    for one in ROUTES:
        app.router.add_route(one.method, API + one.path, guarded(one))
    app.router.add_post(API + "/actions/{name}", act)
    app.router.add_get("/ready", ready)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/blobs/{id}", blob)
