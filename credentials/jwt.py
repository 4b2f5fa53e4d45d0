"""Credentials sealed as `vc+jwt`, presentations as `vp+jwt` (W3C VC-JOSE-COSE): their payload in a token.

Stricter than the standard in this: EdDSA alone, a `kid` that is a DID URL of the issuer or holder, no keys in
the header, and JWT claims that say the same as the payload (`iss`, `jti`, `sub`); `nbf`, `exp` and `iat`
narrow its time. A presentation answers who asked (`aud`) and what (`nonce`), and where nobody asked, neither
may stand in it.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from credentials import contents, form, jose
from credentials.keys import Signer
from credentials.moments import moment, zoned
from credentials.rdf import Contexts
from credentials.report import Findings, Report
from credentials.resolution import Resolver
from credentials.status import Statuses
from schemas.errors import Invalid

TYPE = "vc+jwt"
PRESENTATION_TYPE = "vp+jwt"

CLAIMS = frozenset({"iss", "jti", "sub", "aud", "nbf", "exp", "iat"})
"""What the token says for itself, beside the credential in it."""
PRESENTATION_CLAIMS = CLAIMS | {"nonce"}

WORDS = (
    contents.WORDS
    | jose.WORDS
    | {
        "token.claims": "The token says the same as the credential in it.",
        "token.question": "It was presented to us, in answer to our question.",
    }
)
"""What each check says when it passes."""


def seal(
    document: Mapping[str, Any],
    signer: Signer,
    /,
    *,
    created: datetime,
    expires: datetime | None = None,
    challenge: str | None = None,
    domain: str | None = None,
) -> str:
    """Return a credential or presentation as a token; it holds until `expires`, or as long as itself.

    A presentation says with it what it answers (`challenge`) and to whom (`domain`).
    """
    form.well_formed(document)
    presents = form.kind(document) == form.PRESENTATION
    sealable(document, PRESENTATION_CLAIMS if presents else CLAIMS)
    if not presents and (challenge, domain) != (None, None):
        raise Invalid("Only a presentation answers a question.")
    if expires is None and "validUntil" in document:
        expires = moment(document["validUntil"])
    author = (
        form.author(document, "holder" if presents else "issuer")
        if not presents or "holder" in document
        else signer.did
    )
    claims: dict[str, Any] = {"iss": author, "iat": jose.seconds(created)}
    claims |= {name: said for name, said in (("nonce", challenge), ("aud", domain)) if said is not None}
    if "id" in document:
        claims["jti"] = document["id"]
    if subject := _subject(document):
        claims["sub"] = subject
    if expires is not None:
        claims["exp"] = jose.seconds(expires)
    _same({**claims, **document})
    header = {
        "alg": jose.ALGORITHM,
        "typ": PRESENTATION_TYPE if presents else TYPE,
        "cty": "vp" if presents else "vc",
        "kid": signer.verification_method,
    }
    return jose.compact(header, {**claims, **document}, signer)


def verify(
    text: object,
    resolver: Resolver,
    /,
    *,
    now: datetime,
    expected_issuer: str | None = None,
    statuses: Statuses | None = None,
    challenge: str | None = None,
    domain: str | None = None,
    contexts: Contexts | None = None,
) -> Report:
    """Look at everything a credential or presentation in a token must fulfil."""
    zoned(now)
    found = Findings(WORDS)
    token = found.ask("readable", jose.parsed, text)
    if token is None:
        return found.report()
    presents = form.PRESENTATION in _types(token.payload)
    claims = PRESENTATION_CLAIMS if presents else CLAIMS
    found.document = {name: value for name, value in token.payload.items() if name not in claims}
    contents.examine(
        found,
        token.payload,
        resolver,
        now=now,
        expected_author=expected_issuer,
        statuses=statuses,
        challenge=challenge,
        domain=domain,
        contexts=contexts,
        speaker=str(token.header.get("kid", "")).partition("#")[0] or None,
    )
    found.ask("token.claims", _same, token.payload)
    found.ask("token.period", jose.in_time, token.payload, now)
    if presents or (challenge, domain) != (None, None):
        found.ask("token.question", _answered, token.payload, presents, challenge, domain)
    jose.examine(
        found,
        token,
        resolver,
        typ=PRESENTATION_TYPE if presents else TYPE,
        author=found.author,
        purpose="authentication" if presents else "assertionMethod",
    )
    return found.report()


def sealable(document: Mapping[str, Any], claims: Collection[str], /) -> None:
    """Raise Invalid unless a document can be put into a token with such claims beside it."""
    if "proof" in document:
        raise Invalid("Only a credential without proof can be put into a token.")
    for name in document:
        if name in claims:
            raise Invalid("In a token, {name} cannot be a name of the credential's own.", name=name)


def _subject(document: Mapping[str, Any]) -> str | None:
    subject = document.get("credentialSubject")
    name = subject.get("id") if isinstance(subject, dict) else None
    return name if isinstance(name, str) else None


def _same(payload: Mapping[str, Any]) -> None:
    for name in ("vc", "vp", "proof"):
        if name in payload:
            raise Invalid("The token holds something that its type does not know ({name}).", name=name)
    presents = form.kind(payload) == form.PRESENTATION
    author = payload.get("holder", payload.get("iss")) if presents else payload.get("issuer")
    said = {
        "iss": author.get("id") if isinstance(author, dict) else author,
        "jti": payload.get("id"),
        "sub": _subject(payload),
    }
    for name, value in said.items():
        if payload.get(name, value) != value:
            raise Invalid("The token's {name} is not that of the credential in it.", name=name)


def _types(payload: Mapping[str, Any]) -> list[Any]:
    types = payload.get("type")
    return types if isinstance(types, list) else [types]


def _answered(payload: Mapping[str, Any], presents: bool, challenge: str | None, domain: str | None) -> None:
    if not presents:
        raise Invalid("It is no presentation, so it answers no question.")
    if payload.get("nonce") != challenge:
        raise Invalid("It does not answer the challenge that was set, or answers one that was not.")
    audience = payload.get("aud")
    if audience != domain and not (isinstance(audience, list) and domain in audience):
        raise Invalid("It was presented to {found}, not to {audience}.", found=audience, audience=domain)
