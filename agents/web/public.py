"""What everyone may see: what we published, for people and, by content negotiation, for machines.

Nothing else shows through. What we do not hold, hold for ourselves or tell on request is answered alike,
after the same question to the database. What others gave us, and in which dealing, is never looked at here.
"""

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import BaseModel, Field

from agents.harvest import LONGEST_TEXT, Search
from agents.role import Held, Publication
from agents.web import pages
from agents.web.gate import AS_PROGRAM, context_of, visitor_of
from agents.web.problems import status_of
from agents.web.rest import FoundPage, answer, query_of, searched, see
from agents.web.views import CompanyCard, Seeing, Statement, View
from schemas.claims import CLAIMS
from schemas.errors import Fault, Invalid, Unknown
from schemas.items import check_character, kind_of, read_code

CREDENTIAL_TYPES = ("application/vc", "application/ld+json", "application/json")
DATA_TYPES = ("application/json",)
HTML = "text/html"
FEED_PAGE = 100
LARGEST_FEED_PAGE = 500
_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_STEM = re.compile("[VPLRS][0-9A-HJKMNP-TV-Z]{9}")
# Whoever checks a statement may do so from another site's page.
FOR_ALL = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Vary": "Accept, Cookie",
}


class NotPublished(Unknown):
    """What is not published, whether we hold it or not: one answer, so that nobody learns which."""

    def __init__(self) -> None:
        super().__init__(
            "nothing is published under this address. What is not for everyone, a member may ask for"
            " over disclosure/1.0"
        )


# Which form


def preferred(accept: str, offers: Sequence[str]) -> str:
    """Return which of the media types offered an Accept header likes best, the first of equals; or nothing.

    RFC 9110, section 12.5.1: the most specific range that matches an offer gives its weight.
    """
    ranges: list[tuple[str, float]] = []
    for part in (accept[:1000] or "*/*").split(","):
        name, *parameters = (one.strip().lower() for one in part.split(";"))
        told = next((one[2:] for one in parameters if one.startswith("q=")), "1")
        try:
            ranges.append((name, float(told)))
        except ValueError:
            continue
    best, most = "", 0.0
    for offer in offers:
        fitting = {offer, f"{offer.partition('/')[0]}/*", "*/*"}
        found = min(
            ((name.count("*"), weight) for name, weight in ranges if name in fitting), default=(0, 0.0)
        )
        if found[1] > most:
            best, most = offer, found[1]
    return best


def chosen(request: web.Request, *offers: str) -> str:
    """Return in which form to answer; from here on, problems are told to programs as JSON."""
    form = preferred(",".join(request.headers.getall("Accept", [])), offers)
    request[AS_PROGRAM] = form != HTML
    if not form:
        raise web.HTTPNotAcceptable
    return form


def data(value: Any, media_type: str) -> web.Response:
    """Return JSON that programs and other sites' pages may read."""
    response = answer(value, of=Any, headers=FOR_ALL)
    response.content_type = media_type
    return response


# Items


async def item(request: web.Request) -> web.Response:
    """Tell what is published of an item; to our own people, all of it."""
    if visitor_of(request) is not None and "public" not in request.query:
        return await pages.item(request)
    name = request.match_info["code"]
    if _STEM.fullmatch(name):  # as in a DID URL, which has no check character
        raise web.HTTPPermanentRedirect(f"/items/{name}-{check_character(name)}")
    form = chosen(request, HTML, *DATA_TYPES)
    code = _code(name)

    def work(s: Seeing) -> tuple[list[Held], CompanyCard, list[Statement]]:
        held = s.desk.published(about=code)
        if not held:
            raise NotPublished
        return held, s.card(s.desk.company.did), [s.statement(one) for one in held]

    held, issuer, statements = await see(request, work)
    if form != HTML:
        return data({"item": code, "credentials": [dict(one.document) for one in held]}, form)
    known = next((one.claim for one in held if one.type == "ItemIdentity"), {})
    return await pages.render(
        request,
        "public_item.html",
        code=code,
        kind=kind_of(code),
        known=known,
        issuer=issuer,
        statements=statements,
    )


def _code(name: str) -> str:
    """Return the code an address names; for a mistyped one what no item is called, looked for alike."""
    try:
        return read_code(name)
    except Fault:
        return "-"


# Credentials


async def credential(request: web.Request) -> web.Response:
    """Show a sealed statement: to people what it says, to programs the document; ours see all we hold."""
    id = request.match_info["id"]
    if _UUID.fullmatch(id):  # as in a DID URL
        id = f"urn:uuid:{id}"
    inside = visitor_of(request) is not None and "public" not in request.query
    if inside and not await see(request, lambda s: s.desk.published(id=id)):
        return await pages.credential(request)
    form = chosen(request, HTML, *CREDENTIAL_TYPES)

    def work(s: Seeing) -> tuple[Held, CompanyCard, Statement]:
        held = s.desk.published(id=id)
        if not held:
            raise NotPublished
        return held[0], s.card(held[0].issuer), s.statement(held[0])

    held, issuer, statement = await see(request, work)
    if form != HTML:
        return data(dict(held.document), form)
    return await pages.render(request, "public_credential.html", x=statement, issuer=issuer)


# All that is published, for registries


class FeedQuery(BaseModel):
    """From where on."""

    since: int = Field(default=0, ge=0, le=2**62, title="After which change")
    limit: int = Field(default=FEED_PAGE, ge=1, le=LARGEST_FEED_PAGE, title="How many at most")


class FeedEntry(View):
    """One change: a credential that is published, or one that no longer is."""

    number: int
    id: str
    credential: dict[str, Any] | None = Field(description="The sealed document, or null where taken back")


class FeedPage(View):
    """Changes in order, each credential once, at its last; while there is `more`, go on since `next`."""

    issuer: str
    entries: tuple[FeedEntry, ...]
    next: int
    more: bool


async def published(request: web.Request) -> web.Response:
    """List what is published: for registries every change in order, for people what there is."""
    form = chosen(request, *DATA_TYPES, HTML)
    wanted = query_of(request, FeedQuery)
    if form == HTML:
        return await _listed(request, wanted)

    def work(s: Seeing) -> FeedPage:
        found = s.desk.publications(wanted.since, wanted.limit + 1)
        kept = found[: wanted.limit]
        return FeedPage(
            issuer=s.desk.company.did,
            entries=tuple(map(_entry, kept)),
            next=kept[-1].number if kept else wanted.since,
            more=len(found) > len(kept),
        )

    return data((await see(request, work)).model_dump(mode="json"), form)


def _entry(one: Publication) -> FeedEntry:
    document = dict(one.held.document) if one.held else None
    return FeedEntry(number=one.number, id=one.id, credential=document)


async def _listed(request: web.Request, wanted: FeedQuery) -> web.Response:
    def work(s: Seeing) -> tuple[list[Publication], CompanyCard]:
        return s.desk.publications(wanted.since, wanted.limit + 1), s.card(s.desk.company.did)

    found, issuer = await see(request, work)
    kept = found[: wanted.limit]
    following = f"/published?since={kept[-1].number}" if len(found) > len(kept) else ""
    shown = [one.held for one in kept if one.held]
    return await pages.render(
        request, "published.html", shown=shown, issuer=issuer, following=following, since=wanted.since
    )


async def own_log(request: web.Request) -> web.Response:
    """Return the log of our own DID, so that a reader's browser can find our keys in it."""
    request[AS_PROGRAM] = True

    identity = context_of(request).identity
    if identity is None or request.query.get("did") != identity.did:
        raise NotPublished
    return web.Response(text=identity.standing.kept.log, content_type="text/jsonl", headers=FOR_ALL)


# The registry of credentials


async def registry(request: web.Request) -> web.Response:
    """Search what companies have published."""
    form = chosen(request, HTML, *DATA_TYPES)
    fault: Fault | None = None
    search = Search()
    page = FoundPage(found=(), next="")
    try:
        search = query_of(request, Search)
        page = await searched(request, search)
    except Invalid as wrong:
        if form != HTML:
            raise
        fault = wrong
    if form != HTML:
        return data(page.model_dump(mode="json"), form)
    asked = {name: request.query.get(name, "")[:LONGEST_TEXT] for name in Search.model_fields}
    following = {**asked, "after": page.next}
    types = await see(request, lambda s: [name for name in CLAIMS if s.framework.may_publish(name)])
    return await pages.render(
        request,
        "registry.html",
        "more",
        status=status_of(fault) if fault else 200,
        asked=asked,
        page=page,
        types=types,
        following=urlencode({name: value for name, value in following.items() if value}),
        problem=pages.words_of(request, fault) if fault else "",
    )


def add_public(app: web.Application) -> None:
    """Add to the site what everyone may see."""
    app.router.add_get("/items/{code}", item)
    app.router.add_get("/credentials/{id}", credential)
    app.router.add_get("/published", published)
    app.router.add_get("/published/log", own_log)
    app.router.add_get("/registry", registry)
    app.router.add_get("/registry/search", registry)
