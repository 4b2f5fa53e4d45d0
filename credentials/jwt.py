"""Credentials sealed as `vc+jwt` (W3C VC-JOSE-COSE): the payload as it is, in a token signed with EdDSA.

Stricter than the standard in this: EdDSA alone, a `kid` that is a DID URL of the issuer, no keys in the
header, and JWT claims that say the same as the credential (`iss`, `jti`, `sub`); `nbf`, `exp` and `iat`
narrow its time.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from credentials import contents, form, jose
from credentials.keys import Signer
from credentials.moments import moment, zoned
from credentials.report import Findings, Report
from credentials.resolution import Resolver
from credentials.status import Statuses
from schemas.errors import Invalid

TYPE = "vc+jwt"

CLAIMS = frozenset({"iss", "jti", "sub", "aud", "nbf", "exp", "iat"})
"""What the token says for itself, beside the credential in it."""

WORDS = contents.WORDS | jose.WORDS | {"token.claims": "The token says the same as the credential in it."}
"""What each check says when it passes."""


def seal(
    document: Mapping[str, Any], signer: Signer, /, *, created: datetime, expires: datetime | None = None
) -> str:
    """Return the credential as a token; it holds until `expires`, or as long as the credential itself."""
    form.well_formed(document)
    sealable(document, CLAIMS)
    if expires is None and "validUntil" in document:
        expires = moment(document["validUntil"])
    claims: dict[str, Any] = {"iss": form.author(document, "issuer"), "iat": jose.seconds(created)}
    if "id" in document:
        claims["jti"] = document["id"]
    if subject := _subject(document):
        claims["sub"] = subject
    if expires is not None:
        claims["exp"] = jose.seconds(expires)
    _same({**claims, **document})
    header = {"alg": jose.ALGORITHM, "typ": TYPE, "cty": "vc", "kid": signer.verification_method}
    return jose.compact(header, {**claims, **document}, signer)


def verify(
    text: object,
    resolver: Resolver,
    /,
    *,
    now: datetime,
    expected_issuer: str | None = None,
    statuses: Statuses | None = None,
) -> Report:
    """Look at everything a credential in a token must fulfil."""
    zoned(now)
    found = Findings(WORDS)
    token = found.ask("readable", jose.parsed, text)
    if token is None:
        return found.report()
    found.document = {name: value for name, value in token.payload.items() if name not in CLAIMS}
    contents.examine(
        found,
        token.payload,
        resolver,
        now=now,
        expected_author=expected_issuer,
        statuses=statuses,
    )
    found.ask("token.claims", _same, token.payload)
    found.ask("token.period", jose.in_time, token.payload, now)
    jose.examine(found, token, resolver, typ=TYPE, author=found.author)
    return found.report()


def sealable(document: Mapping[str, Any], claims: Collection[str], /) -> None:
    """Raise Invalid unless a document can be put into a token with such claims beside it."""
    if form.kind(document) != form.CREDENTIAL or "proof" in document:
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
    issuer = payload.get("issuer")
    said = {
        "iss": issuer.get("id") if isinstance(issuer, dict) else issuer,
        "jti": payload.get("id"),
        "sub": _subject(payload),
    }
    for name, value in said.items():
        if payload.get(name, value) != value:
            raise Invalid("The token's {name} is not that of the credential in it.", name=name)
    if form.kind(payload) != form.CREDENTIAL:
        raise Invalid("The token holds no credential.")
