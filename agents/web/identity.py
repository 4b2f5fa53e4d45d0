"""The REST API of the company's own DID, and of the names that an authority admits to its registry."""

from datetime import datetime, timedelta

from aiohttp import web
from pydantic import AwareDatetime, BaseModel, Field

from agents.dids import Registrar
from agents.identity import Identity
from agents.service import read_form
from agents.web.context import Context
from agents.web.gate import context_of, json_of
from agents.web.rest import answer, route
from agents.web.views import View
from credentials.resolution import did_document
from governance.dids import twin
from schemas.errors import Misstep, Unknown

# Our own DID


class Turn(BaseModel):
    """How keys are replaced."""

    leaked_since: AwareDatetime | None = Field(default=None, title="Since when the wallet may have leaked")


class NewService(BaseModel):
    """A service to list in the DID document."""

    name: str = Field(min_length=1, max_length=40, title="Name, such as site")
    type: str = Field(min_length=1, max_length=60, title="Type, such as LinkedDomains or DIDCommMessaging")
    url: str = Field(min_length=1, max_length=2000, title="Address")


class End(BaseModel):
    """A confirmation."""

    confirm: str = Field(max_length=400, title="The DID itself, to confirm")


class DidService(View):
    """A service in a DID document."""

    name: str
    type: str
    url: str


class DidKey(View):
    """A key in a DID document, and until when what it seals counts."""

    id: str
    until: datetime | None


class DidVersion(View):
    """One entry of a DID's log."""

    number: int
    id: str
    time: datetime


class DidView(View):
    """A company's DID, as it stands in the registry or, a did:key, for itself."""

    did: str
    web: str = ""
    keys: list[DidKey]
    services: list[DidService] = Field(default_factory=list)
    versions: list[DidVersion] = Field(default_factory=list)
    deactivated: bool = False
    waiting: bool = Field(default=False, description="Whether the registry has yet to take a change")


@route("GET", "/did", answer=DidView)
async def did(request: web.Request) -> web.Response:
    """Tell our DID, with its keys, services and versions."""
    context = context_of(request)
    if context.identity is None:
        signer = context.agent.signer
        return answer(DidView(did=signer.did, keys=[DidKey(id=signer.verification_method, until=None)]))
    return answer(did_view(context.identity))


def did_view(identity: Identity) -> DidView:
    """Return a company's DID as it is shown."""
    history = identity.history
    last = history.last
    return DidView(
        did=history.did,
        web=twin(history.did),
        keys=[DidKey(id=key.id, until=key.until) for key in did_document(last.document).methods],
        services=[
            DidService(name=one["id"].partition("#")[2], type=one["type"], url=one["serviceEndpoint"])
            for one in last.document.get("service", ())
        ],
        versions=[DidVersion(number=one.number, id=one.id, time=one.time) for one in history.versions],
        deactivated=last.rules.deactivated,
        waiting=identity.standing.change is not None,
    )


def own_did(context: Context) -> Identity:
    """Return the DID that can be changed, or raise `Misstep`."""
    if context.identity is None:
        raise Misstep("this company is known by a did:key, which cannot be changed")
    return context.identity


@route("POST", "/did/rotate", takes=Turn, answer=DidView, rank="admin")
async def rotate(request: web.Request) -> web.Response:
    """Replace the key that seals and those that change the DID; what was sealed before goes on verifying."""
    form = read_form(Turn, await json_of(request))
    identity = own_did(context_of(request))
    await identity.rotate(form.leaked_since)
    return answer(did_view(identity))


@route("POST", "/did/services", takes=NewService, answer=DidView, status=201, rank="admin")
async def add_service(request: web.Request) -> web.Response:
    """List a service in our DID document, or change it."""
    form = read_form(NewService, await json_of(request))
    identity = own_did(context_of(request))
    await identity.add_service(form.name, form.type, form.url)
    return answer(did_view(identity), 201)


@route("DELETE", "/did/services/{name}", status=204, rank="admin")
async def remove_service(request: web.Request) -> web.Response:
    """Take a service out of our DID document."""
    await own_did(context_of(request)).remove_service(request.match_info["name"])
    return web.Response(status=204)


@route("POST", "/did/deactivate", takes=End, answer=DidView, rank="admin")
async def deactivate(request: web.Request) -> web.Response:
    """Give our DID up for good: nothing that we sealed verifies any more, and nothing can follow."""
    form = read_form(End, await json_of(request))
    identity = own_did(context_of(request))
    await identity.deactivate(form.confirm)
    return answer(did_view(identity))


# The registry of DIDs, at the authority


class NewName(BaseModel):
    """A name to be registered."""

    name: str = Field(min_length=1, max_length=40, title="Name")
    days: int = Field(default=7, ge=1, le=90, title="Days that the code is good")


class Code(View):
    """A code; it is shown this once."""

    code: str


class Registered(View):
    """A name in the registry, with its DID or, until it is registered, the end of its code."""

    name: str
    did: str = ""
    expires: datetime | None = None


def registrar_of(context: Context) -> Registrar:
    """Return the registry that is kept here, or raise `Unknown`."""
    if context.registrar is None:
        raise Unknown("no registry of DIDs is kept here")
    return context.registrar


@route("GET", "/registrations", answer=list[Registered])
async def registrations(request: web.Request) -> web.Response:
    """List the names in the registry of DIDs, and those admitted to it."""
    return answer(await registered(registrar_of(context_of(request))), of=list[Registered])


async def registered(registrar: Registrar) -> list[Registered]:
    """Return the names in the registry, and those admitted to it."""
    known = [Registered(name=name, did=did) for name, did in await registrar.registered() if name]
    return [
        *known,
        *(Registered(name=one.name, expires=one.expires) for one in await registrar.admissions()),
    ]


@route("POST", "/registrations", takes=NewName, answer=Code, status=201, rank="manager")
async def admit(request: web.Request) -> web.Response:
    """Admit a name to the registry of DIDs; answers the one-time code that its company starts with."""
    form = read_form(NewName, await json_of(request))
    code = await registrar_of(context_of(request)).admit(form.name, timedelta(days=form.days))
    return answer(Code(code=code), 201)


@route("DELETE", "/registrations/{name}", status=204, rank="manager")
async def dismiss(request: web.Request) -> web.Response:
    """End the code for a name."""
    await registrar_of(context_of(request)).dismiss(request.match_info["name"])
    return web.Response(status=204)
