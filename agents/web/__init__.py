"""The company's own site: pages for people, a REST API for programs, both ending in the one service."""

from hashlib import sha256

from aiohttp import web

import agents.web.identity  # noqa: F401, its routes
from agents.accounts import Door
from agents.standing import REST
from agents.web.context import Context, Invitations
from agents.web.dids import add_dids
from agents.web.gate import CONTEXT, DOOR, SHOW_PROBLEM, dressed, explained, introduced, must_be
from agents.web.openapi import document
from agents.web.pages import add_pages, show_problem
from agents.web.public import CREDENTIAL_TYPES, add_public, preferred
from agents.web.render import assets
from agents.web.rest import add_routes
from agents.web.rules import add_rules
from agents.web.trqp import add_trqp
from agents.web.vcapi import add_vc_api

__all__ = ["Context", "Invitations", "site"]

_KINDS = {
    "css": "text/css",
    "js": "text/javascript",
    "svg": "image/svg+xml",
    "json": "application/manifest+json",
}


def site(context: Context) -> web.Application:
    """Return a company's site."""
    app = web.Application(middlewares=(dressed, explained, introduced))
    app[CONTEXT] = context
    app[DOOR] = Door(context.agent.store)
    app[SHOW_PROBLEM] = show_problem
    if context.registrar is not None:
        add_dids(app, context.registrar)
    add_routes(app)
    add_pages(app)
    add_public(app)
    add_rules(app)
    if "put-framework-in-force" in context.agent.play.actions:
        add_trqp(app)
    if context.vc_api != "off":
        add_vc_api(app)
    app.router.add_get("/static/{name}", _static)
    app.router.add_get("/openapi.json", _openapi)
    app.router.add_get("/status/{id}", _status_list)
    return app


async def _status_list(request: web.Request) -> web.Response:
    """Publish a status list of ours; whoever asks tells nothing of themselves, not even by a login."""
    id = request.match_info["id"]
    edition = await request.app[CONTEXT].agent.store.read(lambda desk: desk.edition(id))
    if edition is None:
        raise web.HTTPNotFound
    body = edition.encode()
    tag = sha256(body).hexdigest()[:32]
    headers = {
        "Cache-Control": f"public, max-age={int(REST.total_seconds())}",
        "ETag": f'"{tag}"',
        "Access-Control-Allow-Origin": "*",
        "Cross-Origin-Resource-Policy": "cross-origin",
    }
    if any(given.value == tag for given in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    accept = ",".join(request.headers.getall("Accept", []))
    form = (
        preferred(accept, CREDENTIAL_TYPES) or CREDENTIAL_TYPES[0]
    )  # many ask for JSON, and read nothing else
    return web.Response(body=body, content_type=form, headers=headers | {"Vary": "Accept"})


async def _static(request: web.Request) -> web.Response:
    found = assets().get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    data, version = found
    fresh = request.query.get("v") == version
    return web.Response(
        body=data,
        content_type=_KINDS[request.match_info["name"].rpartition(".")[2]],
        charset="utf-8",
        headers={"Cache-Control": "public, max-age=31536000, immutable" if fresh else "no-cache"},
    )


async def _openapi(request: web.Request) -> web.Response:
    must_be(request)
    context = request.app[CONTEXT]
    company = await context.agent.store.read(lambda desk: desk.company.name)
    return web.json_response(document(context, company))
