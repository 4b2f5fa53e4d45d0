"""The registry of DIDs on the authority's site: what everybody may read, and what holders post.

Nobody logs in here: a first entry needs its code, every other proves itself, and what is served was checked.
"""

from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from agents.dids import MOST_BYTES, Registrar
from agents.web.gate import Pace, body_of
from agents.web.problems import NotJson
from credentials import strict
from governance.dids import Kept
from schemas.errors import Invalid

OWN: Final = ".well-known"
"""The folder of the authority's own DID, which has no name under its host."""

MOST_POSTED: Final = 120
MOST_READ: Final = 600
"""How often a network may post and have a history checked for it in a minute: each is work for us."""

_AROUND: Final = {
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "Cache-Control": "no-cache",
}


def add_dids(app: web.Application, registrar: Registrar) -> None:
    """Add the registry to the authority's site."""
    posting, reading = Pace(MOST_POSTED), Pace(MOST_READ)

    async def about(request: web.Request) -> web.Response:
        return _json({"host": registrar.registry.host, "witness": registrar.registry.witness})

    async def take(request: web.Request) -> web.Response:
        posting.step(request)
        if not _name(request):  # its own DID the authority begins by itself: nobody has a code for it
            await registrar.log("")
        posted = await _posted(request)
        if not set(posted) <= {"entry", "code"} or not isinstance(posted.get("code", ""), str):
            raise Invalid("post an entry, and for the first one the code")
        return _json(_told(await registrar.take(_name(request), posted.get("entry"), posted.get("code", ""))))

    async def show(request: web.Request) -> web.Response:
        posting.step(request)
        await registrar.show(_name(request), await _posted(request))
        return web.Response(status=204)

    async def logs(request: web.Request) -> web.Response:
        reading.step(request)
        return _served(await registrar.logs(), "text/jsonl")

    async def log(request: web.Request) -> web.Response:
        kept = await registrar.log(_name(request))
        return _served(kept.log, "text/jsonl", f'"{len(kept.lines)}"')

    async def approvals(request: web.Request) -> web.Response:
        kept = await registrar.log(_name(request))
        return _served(kept.approvals, "application/json", f'"{len(kept.lines)}"')

    async def document(request: web.Request) -> web.Response:
        reading.step(request)
        return _served(await registrar.web_document(_name(request)), "application/did+json")

    async def whois(request: web.Request) -> web.Response:
        return _served(await registrar.whois(_name(request)), "application/vp")

    async def onward(request: web.Request) -> web.Response:
        """Send who follows a DID URL on to the site that its DID names, whether or not that has it."""
        kind, id = request.match_info["kind"], quote(request.match_info["id"], safe="")
        place = f"{await registrar.site(_name(request))}/{kind}/{id}"
        return web.Response(status=307, headers=_AROUND | {"Location": place})

    add = app.router.add_route
    add("GET", "/dids", about)
    add("GET", "/dids/logs", logs)
    add("POST", "/dids/{name}", take)
    add("POST", "/dids/{name}/whois", show)
    # Under the host itself as the DIDs say, and in one folder for a proxy that keeps the host for others too.
    for folder in ("", "/dids"):
        add("GET", folder + "/{name}/did.jsonl", log)
        add("GET", folder + "/{name}/did-witness.json", approvals)
        add("GET", folder + "/{name}/did.json", document)
        add("GET", folder + "/{name}/whois.vp", whois)
        add("GET", folder + "/{name}/{kind:items|credentials}/{id}", onward)
    add("GET", "/whois.vp", whois)


def _name(request: web.Request) -> str:
    name = request.match_info.get("name", OWN)
    return "" if name == OWN else name


async def _posted(request: web.Request) -> dict[str, Any]:
    try:
        posted = strict.loads(await body_of(request, MOST_BYTES), limit=MOST_BYTES)
    except Invalid as invalid:
        if invalid.code != Invalid.code:
            raise
        raise NotJson(invalid.template, **invalid.values) from invalid
    if not isinstance(posted, dict):
        raise NotJson("send one JSON object")
    return posted


def _told(kept: Kept) -> dict[str, Any]:
    return {"versionId": strict.loads(kept.lines[-1])["versionId"]}


def _json(value: dict[str, Any]) -> web.Response:
    return web.json_response(value, headers=_AROUND)


def _served(text: str, media_type: str, tag: str = "") -> web.Response:
    headers = _AROUND | ({"ETag": tag} if tag else {})
    return web.Response(text=text, content_type=media_type, headers=headers)
