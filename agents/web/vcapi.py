"""VC-API (W3C Credentials Community Group): issuing and verifying for programs that know nothing of us.

Independent suites can so be pointed at an agent. It is off unless configured: what it issues it seals with
the company's own key, whatever it says, so issuing is for administrators; and for everyone on this very
machine where the configuration says so.
"""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from agents import standing
from agents.web.gate import AS_PROGRAM, Handler, Pace, context_of, is_here, json_of, must_be
from agents.web.problems import Problem, as_json
from agents.web.rest import answer
from credentials import envelope, form, integrity, jwt, rdf, seals, status
from credentials.report import Check, Report
from schemas.errors import Forbidden, Invalid, Unknown

EXAMPLES: Final = "https://www.w3.org/ns/credentials/examples/v2"
MOST_A_MINUTE: Final = 120
"""So often a network elsewhere may have something verified: for each we look up what strangers name."""
ISSUED, VERIFIED, REFUSED, MALFORMED = 201, 200, 400, 422

_SYNTAX = frozenset(
    {"readable", "context", "type", "id", "issuer", "holder", "subject", "credentials", "status", "envelope"}
)
"""The checks that look at what a document is, before anyone looks at its seal."""

_MODEL = "https://www.w3.org/TR/vc-data-model#"
_INTEGRITY = "https://w3id.org/security#"
_LISTS = "https://www.w3.org/ns/credentials/status-list#"
_KINDS: Final = {
    "readable": f"{_MODEL}PARSING_ERROR",
    "proof": f"{_INTEGRITY}PROOF_VERIFICATION_ERROR",
    "token": f"{_MODEL}CRYPTOGRAPHIC_SECURITY_ERROR",
    "binding": f"{_MODEL}CRYPTOGRAPHIC_SECURITY_ERROR",
    "signers": f"{_INTEGRITY}PROOF_VERIFICATION_ERROR",
    "status.list": f"{_LISTS}STATUS_RETRIEVAL_ERROR",
    "status.standing": f"{_LISTS}STATUS_VERIFICATION_ERROR",
    "period": f"{_MODEL}RANGE_ERROR",
}


def contexts() -> rdf.Contexts:
    """Return the contexts of a seal over RDF: those kept here, and the W3C's for examples."""
    return {
        **rdf.published(),
        EXAMPLES: {"@context": {"@vocab": "https://www.w3.org/ns/credentials/examples#"}},
    }


async def issue(request: web.Request) -> web.Response:
    """Seal a credential as it is, with our key."""
    request[AS_PROGRAM] = True
    context = context_of(request)
    if not (context.vc_api == "loopback" and is_here(request)):
        must_be(request, "admin")
    body = await json_of(request)
    credential, options = _object(body, "credential"), _object(body, "options", needed=False)
    agent = context.agent
    now = await agent.store.read(lambda desk: desk.now)
    document = _ours(credential, agent.signer.did)
    if options.get("credentialStatus") is True and "credentialStatus" not in document:
        document["credentialStatus"] = await agent.store.write(
            lambda desk: standing.entries(desk, agent.signer, agent.site)
        )
    media_type = options.get("mediaType", "application/vc")
    if media_type == "application/vc":
        return answer(integrity.seal(document, agent.signer, created=now), ISSUED, of=dict[str, Any])
    if media_type != f"application/{jwt.TYPE}":
        raise Invalid("nothing is issued as {type} here", type=str(media_type)[:80])
    sealed = envelope.enveloped(jwt.seal(document, agent.signer, created=now), media_type)
    return answer(sealed, ISSUED, of=dict[str, Any])


def _ours(credential: dict[str, Any], did: str) -> dict[str, Any]:
    """Return a credential that we may seal: it is one, names us or nobody as its issuer, and has no seal."""
    document = {"issuer": did} | credential
    form.well_formed(document)
    try:
        rdf.meaningful(document, contexts())
    except Unknown as reason:  # of a context: what is asked for is here, what it says is not understood
        raise Invalid(reason.template, **reason.values) from reason
    rdf.check_digests(document)
    if status.ENTRY_TYPE in str(document.get("credentialStatus")):
        status.entries(document)
    if form.kind(document) != form.CREDENTIAL or "proof" in document:
        raise Invalid("Only a credential without proof can be sealed here.")
    if form.author(document, "issuer") != did:
        raise Forbidden("only what names {did} as its issuer is sealed here", did=did)
    return document


async def verify_credential(request: web.Request) -> web.Response:
    """Report on a credential."""
    request[AS_PROGRAM] = True
    body = await json_of(request)
    return await _reported(request, body, "verifiableCredential", presents=False)


async def verify_presentation(request: web.Request) -> web.Response:
    """Report on a presentation and on what it presents."""
    request[AS_PROGRAM] = True
    body = await json_of(request)
    return await _reported(request, body, "verifiablePresentation", presents=True)


async def _reported(
    request: web.Request, body: Mapping[str, Any], name: str, *, presents: bool
) -> web.Response:
    sealed = body.get(name)
    options = _object(body, "options", needed=False)
    asked = {key: options.get(key) for key in ("challenge", "domain")} if presents else {}
    for key, value in asked.items():
        if value is not None and not isinstance(value, str):
            raise Invalid("{name} is no text", name=key)
    report = await context_of(request).agent.lookup.verified(sealed, contexts=contexts(), **asked)
    found = seals.what(report.document)
    if report.verified and (found == "presentation") is not presents:
        raise Invalid("It is a {found}, which is not verified here.", found=found)
    return _told(report)


def _told(report: Report) -> web.Response:
    checks = _checks(report)
    told: dict[str, Any] = {
        "verified": report.verified,
        "checks": [check.name for check in checks if check.passed],
        "warnings": [],
        "errors": [],
    }
    if report.verified:
        return answer(told, VERIFIED, of=dict[str, Any])
    refused = [check for check in checks if not check.passed]
    malformed = all(check.name in _SYNTAX for check in refused[:1])
    code = MALFORMED if malformed else REFUSED
    told["errors"] = [_problem(check, code) for check in refused]
    return answer(told["errors"][0] | told, code, of=dict[str, Any])


def _checks(report: Report) -> list[Check]:
    return [*report.checks, *(check for inner in report.credentials for check in _checks(inner))]


def _problem(check: Check, code: int) -> dict[str, Any]:
    kind = _KINDS.get(check.name) or _KINDS.get(check.name.split(".")[0]) or f"{_MODEL}MALFORMED_VALUE_ERROR"
    return as_json(
        Problem(type=kind, title=str(check), status=code, detail=str(check), code=f"check:{check.name}")
    )


def _object(body: Mapping[str, Any], name: str, *, needed: bool = True) -> dict[str, Any]:
    value = body.get(name)
    if value is None and not needed:
        return {}
    if not isinstance(value, dict):
        raise Invalid("{name} is missing, or no JSON object", name=name)
    return value


def add_vc_api(app: web.Application) -> None:
    """Add the three addresses to the site."""
    pace = Pace(MOST_A_MINUTE)

    def paced(handler: Handler) -> Handler:
        async def answer(request: web.Request) -> web.StreamResponse:
            request[AS_PROGRAM] = True
            if not is_here(request):
                pace.step(request)
            return await handler(request)

        return answer

    app.router.add_post("/credentials/issue", issue)
    app.router.add_post("/credentials/verify", paced(verify_credential))
    app.router.add_post("/presentations/verify", paced(verify_presentation))
