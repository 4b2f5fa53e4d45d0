"""What stands between the network and the site: who asks, in which language, and what may come in."""

import hmac
import ipaddress
import logging
import secrets
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from agents import accounts
from agents.accounts import Unidentified, Visitor
from agents.evidence import MOST_FILE_BYTES, TooLarge, clean_name
from agents.role import Evidence, Rank
from agents.web.context import Context
from agents.web.problems import (
    NotJson,
    Problem,
    as_json,
    extra_headers,
    problem_of,
    problem_of_status,
)
from agents.words import DEFAULT, LANGUAGES
from credentials import strict
from schemas.errors import Fault, Forbidden, Invalid

LOG = logging.getLogger(__name__)

CONTEXT: Final = web.AppKey("context", Context)
DOOR: Final = web.AppKey("door", accounts.Door)
type ShowProblem = Callable[[web.Request, Problem], Awaitable[web.Response]]
SHOW_PROBLEM: Final[web.AppKey[ShowProblem]] = web.AppKey("show_problem", Callable)  # type: ignore[arg-type]

VISITOR: Final[web.RequestKey[Visitor | None]] = web.RequestKey("visitor")
LANGUAGE: Final = web.RequestKey("language", str)
AS_PROGRAM: Final = web.RequestKey("as_program", bool)
VISIT: Final = web.RequestKey("visit", str)

MOST_BYTES: Final = 1 << 20
MOST_IN_AN_ACTION: Final = 8 << 20  # a trained model is the largest form there is
MOST_FIELDS: Final = 20_000
MOST_KNOWN: Final = 10_000
_MINUTE: Final = 60.0
UNSAFE: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "manifest-src 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Server": "Meguri",
}

type Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def context_of(request: web.Request) -> Context:
    """Return what the site needs of its process."""
    return request.app[CONTEXT]


def for_programs(request: web.Request) -> bool:
    """Say whether the caller wants problems as JSON."""
    if (told := request.get(AS_PROGRAM)) is not None:
        return bool(told)
    return request.path.startswith(("/api/", "/dids")) or request.path in {
        "/openapi.json",
        "/authorization",
        "/recognition",
        "/ready",
        "/metrics",
    }


# Cookies. Browsers do not tell ports apart, and several agents may share a host: each has names of its own.


def cookie_name(context: Context, name: str) -> str:
    """Return the name of a cookie of this site."""
    own = f"{name}-{sha256(context.public_url.encode()).hexdigest()[:8]}"
    return f"__Host-{own}" if secure(context) else own


def secure(context: Context) -> bool:
    """Say whether the site is reached by https."""
    return urlsplit(context.public_url).scheme == "https"


def set_cookie(response: web.StreamResponse, context: Context, name: str, value: str, seconds: int) -> None:
    """Set a cookie of this site, or end it with 0 seconds."""
    response.set_cookie(
        cookie_name(context, name),
        value,
        max_age=seconds,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=secure(context),
    )


def cookie(request: web.Request, name: str) -> str:
    """Return a cookie of this site, or nothing."""
    return request.cookies.get(cookie_name(context_of(request), name), "")


# Who asks


def visitor_of(request: web.Request) -> Visitor | None:
    """Return who asks, if they said so."""
    return request.get(VISITOR)


def must_be(request: web.Request, rank: Rank = "operator") -> Visitor:
    """Return who asks, or raise `Unidentified` or `Forbidden`."""
    visitor = visitor_of(request)
    if visitor is None:
        raise Unidentified("please log in first")
    if not visitor.may(rank):
        raise Forbidden("this needs the rank of {rank}", rank=rank)
    return visitor


def address_of(request: web.Request) -> str:
    """Return the caller's address; behind a proxy on this machine, the one the proxy saw."""
    address = request.remote or ""
    if is_loopback(address) and (forwarded := request.headers.getall("X-Forwarded-For", [])):
        return forwarded[-1].rpartition(",")[2].strip()[:60]
    return address


def is_loopback(address: str) -> bool:
    """Say whether an address is this machine."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def is_here(request: web.Request) -> bool:
    """Say whether the caller runs on this machine and knows it: a website may lead its own name here."""
    host = urlsplit(f"//{request.host}").hostname or ""
    named = is_loopback(host) or host == "localhost"
    return named and is_loopback(request.remote or "") and is_loopback(address_of(request))


def language_of(request: web.Request) -> str:
    """Return the reader's language: their own setting, else the cookie's, else the browser's."""
    found: str = request.get(LANGUAGE, DEFAULT)
    return found


def _language(request: web.Request, visitor: Visitor | None) -> str:
    if visitor and visitor.language in LANGUAGES:
        return visitor.language
    if (chosen := cookie(request, "language")) in LANGUAGES:
        return chosen
    wanted = []
    for part in request.headers.get("Accept-Language", "")[:400].split(","):
        name, _, weight = part.strip().partition(";q=")
        try:
            wanted.append((-float(weight or 1), name.split("-")[0].lower()))
        except ValueError:
            continue
    return next((name for _, name in sorted(wanted, key=lambda one: one[0]) if name in LANGUAGES), DEFAULT)


# Who asks too often


class Pace:
    """Counts what each network asks within a minute, where anybody may ask."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.most = most
        self.clock = clock
        self._since = clock()
        self._counts: dict[str, int] = {}

    def step(self, request: web.Request) -> None:
        """Count a request; raise `Hurried` for one too many."""
        self.count(accounts.network(address_of(request))[0])

    def count(self, network: str) -> None:
        """Count what a network asks; raise `Hurried` for one too many."""
        now = self.clock()
        if now - self._since >= _MINUTE or len(self._counts) >= MOST_KNOWN:
            self._since, self._counts = now, {}
        count = self._counts[network] = self._counts.get(network, 0) + 1
        if count > self.most:
            raise accounts.Hurried(max(1, round(_MINUTE - (now - self._since))))


# Forged posts


def csrf_of(request: web.Request) -> str:
    """Return what forms of this visitor carry to prove that they came from our own pages."""
    visitor = visitor_of(request)
    if visitor is not None:
        return visitor.csrf
    if VISIT not in request:
        request[VISIT] = cookie(request, "visit") or secrets.token_urlsafe(24)
    return sha256(f"csrf {request[VISIT]}".encode()).hexdigest()


def check_csrf(request: web.Request, given: str) -> None:
    """Raise `Forbidden` unless the post came from one of our own pages."""
    known = visitor_of(request) is not None or cookie(request, "visit")
    if not known or not hmac.compare_digest(given.encode(), csrf_of(request).encode()):
        raise Forbidden("the page had expired; please try once more")


# What comes in


async def body_of(request: web.Request, limit: int = MOST_BYTES) -> bytes:
    """Return a body of at most `limit` bytes."""
    if (request.content_length or 0) > limit:
        raise TooLarge("the request is larger than {limit} bytes", limit=limit)
    chunks, size = [], 0
    async for chunk in request.content.iter_chunked(1 << 16):
        size += len(chunk)
        if size > limit:
            raise TooLarge("the request is larger than {limit} bytes", limit=limit)
        chunks.append(chunk)
    return b"".join(chunks)


async def json_of(request: web.Request, limit: int = MOST_BYTES) -> dict[str, Any]:
    """Return the JSON object of a request's body of at most `limit` bytes."""
    if request.content_type != "application/json" and not request.content_type.endswith("+json"):
        raise NotJson("send JSON, with the content type application/json")
    try:
        data = strict.loads(await body_of(request, limit), limit=limit)
    except TooLarge:
        raise
    except Invalid as invalid:
        raise NotJson(invalid.template, **invalid.values) from invalid
    if not isinstance(data, dict):
        raise NotJson("send one JSON object")
    return data


class Posted(dict[str, list[str]]):
    """The fields of a posted form."""

    def one(self, name: str) -> str:
        """Return the last value of a field, or nothing."""
        return self.get(name, [""])[-1]


async def posted(request: web.Request) -> Posted:
    """Return a posted form that came from our own pages; files go to the vault, their digests in the form."""
    found = Posted()
    if request.content_type == "multipart/form-data":
        try:
            await _read_parts(request, found)
        except (ValueError, HttpProcessingError):
            raise NotJson("the form could not be read") from None
    elif request.content_type == "application/x-www-form-urlencoded":
        try:
            pairs = parse_qsl(
                (await body_of(request)).decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS
            )
        except ValueError:
            raise NotJson("the form could not be read") from None
        for name, value in pairs:
            found.setdefault(name, []).append(value)
    check_csrf(request, found.one("csrf"))
    return found


async def _read_parts(request: web.Request, found: Posted) -> None:
    reader = await request.multipart()
    room, count = MOST_BYTES, 0
    while (part := await reader.next()) is not None:
        count += 1
        if not isinstance(part, BodyPartReader) or part.name is None or count > MOST_FIELDS:
            raise NotJson("the form could not be read")
        if part.filename is not None:
            # The proof that the post is genuine stands first, before anything is kept.
            check_csrf(request, found.one("csrf"))
            must_be(request)
            if part.filename:
                found.setdefault(part.name, []).append(await _keep(request, part))
            continue
        value = bytearray()
        while chunk := await part.read_chunk():
            value += chunk
            if len(value) > room:
                raise TooLarge("the request is larger than {limit} bytes", limit=MOST_BYTES)
        room -= len(value)
        found.setdefault(part.name, []).append(value.decode("utf-8", "replace"))


async def _keep(request: web.Request, part: BodyPartReader) -> str:
    async def chunks() -> AsyncIterator[bytes]:
        while chunk := await part.read_chunk(1 << 16):
            yield bytes(chunk)

    return (await keep_file(context_of(request), chunks(), part.filename or "")).digest


async def keep_file(context: Context, chunks: AsyncIterable[bytes], name: str) -> Evidence:
    """Keep a file in the vault, and note it in the books."""
    stored = await context.vault.put_stream(chunks, limit=MOST_FILE_BYTES)
    if not stored.size:
        raise Invalid("the file is empty")
    entry = Evidence(stored.digest, clean_name(name), stored.media_type, stored.size)
    await context.agent.store.write(lambda desk: desk.keep_evidence(entry))
    return entry


# Middlewares, the outermost first


@web.middleware
async def dressed(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Put the security headers on every answer."""

    def dress(response: web.StreamResponse) -> None:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if secure(context_of(request)):
            response.headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        if VISIT in request:
            set_cookie(response, context_of(request), "visit", request[VISIT], 24 * 3600)

    try:
        response = await handler(request)
    except web.HTTPException as answer:
        dress(answer)
        raise
    if not response.prepared:
        dress(response)
    return response


@web.middleware
async def explained(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer faults: with problem details, or with a page."""
    headers: dict[str, str] = {}
    try:
        return await handler(request)
    except Fault as fault:
        problem = problem_of(fault, language_of(request))
        headers = extra_headers(fault)
    except web.HTTPRequestEntityTooLarge:
        problem = problem_of_status(413, language_of(request))
    except web.HTTPException as answer:
        if answer.status < 400:  # noqa: PLR2004, a redirection
            raise
        problem = problem_of_status(answer.status, language_of(request))
        if "Allow" in answer.headers:
            headers = {"Allow": answer.headers["Allow"]}
    except (ConnectionError, TimeoutError):
        raise
    except Exception:
        # Not the path itself: it may hold a one-time link or an item's code.
        resource = request.match_info.route.resource
        LOG.exception("%s %s failed", request.method, resource.canonical if resource else "")
        problem = problem_of_status(500, language_of(request))
    if for_programs(request):
        response = web.json_response(
            as_json(problem), status=problem.status, content_type="application/problem+json", headers=headers
        )
    else:
        response = await request.app[SHOW_PROBLEM](request, problem)
        response.headers.update(headers)
    if request.method in UNSAFE and not request.content.at_eof():
        response.force_close()  # the rest of the body is not read
    return response


@web.middleware
async def introduced(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Find out who asks, and refuse what another site made a browser send."""
    if request.path.startswith("/static/"):
        return await handler(request)
    context = context_of(request)
    request[LANGUAGE] = _language(request, None)
    store = context.agent.store
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    visitor = None
    if scheme.lower() == "bearer":
        visitor = await accounts.recognise(store, secret.strip(), "token")
        if visitor is None:
            raise Unidentified("this token is not known, or has expired")
    elif secret := cookie(request, "session"):
        visitor = await accounts.recognise(store, secret, "session")
    request[VISITOR] = visitor
    request[LANGUAGE] = _language(request, visitor)
    if request.method in UNSAFE and (visitor is None or visitor.kind == "session"):
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            raise Forbidden("another site may not do this in your name")
        if visitor is not None and for_programs(request):
            check_csrf(request, request.headers.get("X-CSRF-Token", ""))
    return await handler(request)
