"""What binds everyone, for everyone to read: the governance framework, and the words of credentials."""

from typing import Final

from aiohttp import web

from agents.web import pages
from agents.web.public import CREDENTIAL_TYPES, FOR_ALL, HTML, chosen, data
from agents.web.rest import Which, query_of, see
from schemas import terms
from schemas.claims import CLAIMS
from schemas.errors import Unknown

EDITION: Final = "v1"
_KINDS: Final = {"jsonld": "application/ld+json", "json": "application/schema+json"}
_FOREVER: Final = "public, max-age=31536000, immutable"


async def framework(request: web.Request) -> web.Response:
    """Show the rules: to people in their language, to programs as signed."""
    form = chosen(request, HTML, *CREDENTIAL_TYPES)
    wanted = query_of(request, Which)
    view = await see(request, lambda s: s.framework_view(s.framework_of(wanted.version, wanted.at)))
    if form == "application/vc":
        if view.credential is None:
            raise Unknown("this version of the framework has not been signed; it comes with the software")
        return data(view.credential, form)
    if form != HTML:
        return data(view.model_dump(mode="json"), form)
    rules = view.read().rules
    return await pages.render(request, "framework.html", x=view, rules=rules)


async def vocabulary(request: web.Request) -> web.Response:
    """Show every word of credentials: to people, or to programs as JSON-LD."""
    form = chosen(request, HTML, "application/ld+json", "application/json")
    if form != HTML:
        return data(terms.vocabulary(), form)
    files = {name.partition(".")[0]: f"/terms/{EDITION}/{name}" for name in terms.files()}
    rules = await see(request, lambda s: s.framework)
    return await pages.render(
        request,
        "terms.html",
        files=files,
        words=terms.words(),
        meanings={name: terms.meaning(name) for name in CLAIMS},
        rules=rules,
    )


async def file(request: web.Request) -> web.Response:
    """Serve a schema, context or vocabulary; what stands under a digest never changes."""
    name = request.match_info["name"]
    text = terms.files().get(name)
    if text is None:
        raise web.HTTPNotFound
    headers = FOR_ALL | {"Cache-Control": _FOREVER, "ETag": f'"{name.split(".")[1]}"'}
    return web.Response(body=text, content_type=_KINDS[name.rpartition(".")[2]], headers=headers)


def add_rules(app: web.Application) -> None:
    """Add the framework and the vocabulary to the site."""
    app.router.add_get("/framework", framework)
    app.router.add_get("/terms", vocabulary)
    app.router.add_get(f"/terms/{EDITION}/{{name}}", file)
