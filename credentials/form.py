"""What a credential or presentation must hold before anyone looks at its seal (VCDM 2.0)."""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from credentials.moments import moment
from schemas.errors import Invalid

V2 = "https://www.w3.org/ns/credentials/v2"
CREDENTIAL: Literal["VerifiableCredential"] = "VerifiableCredential"
PRESENTATION: Literal["VerifiablePresentation"] = "VerifiablePresentation"
ENVELOPED_CREDENTIAL: Literal["EnvelopedVerifiableCredential"] = "EnvelopedVerifiableCredential"
ENVELOPED_PRESENTATION: Literal["EnvelopedVerifiablePresentation"] = "EnvelopedVerifiablePresentation"

SKEW = timedelta(minutes=1)
"""A company's clock may run ahead of ours this far before what it says is "not yet valid"."""

_TYPED = ("credentialStatus", "credentialSchema", "termsOfUse", "evidence", "refreshService")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\x00-\x1f\"<>\\^`{|}]+")


def contexts(document: Mapping[str, Any]) -> list[Any]:
    """Return the document's @context: the W3C's own first, then URLs or definitions."""
    items = document.get("@context")
    if not isinstance(items, list | tuple) or not items:
        raise Invalid("It has no list @context to say what its words mean.")
    if items[0] != V2:
        raise Invalid("Its first @context is not {expected}.", expected=V2)
    if not all(isinstance(item, dict) or is_url(item) for item in items):
        raise Invalid("Its @context holds something that is neither a web address nor a definition.")
    return list(items)


def kind(document: Mapping[str, Any]) -> str:
    """Say whether the document is a credential or a presentation."""
    types = document.get("type")
    if isinstance(types, str):
        types = [types]
    if not isinstance(types, list | tuple) or not types or not all(isinstance(item, str) for item in types):
        raise Invalid("It does not say of which type it is.")
    if len(set(types)) != len(types):
        raise Invalid("It names one of its types twice.")
    kinds = [name for name in (CREDENTIAL, PRESENTATION) if name in types]
    if len(kinds) != 1:
        raise Invalid("Its type is neither VerifiableCredential nor VerifiablePresentation, or is both.")
    return kinds[0]


def identifier(document: Mapping[str, Any]) -> str | None:
    """Return the document's own id, which it may leave out."""
    if "id" not in document:
        return None
    if not is_url(document["id"]):
        raise Invalid("Its id is not a URL.")
    return str(document["id"])


def author(document: Mapping[str, Any], member: str) -> str:
    """Return who speaks: the issuer of a credential or the holder of a presentation."""
    if member not in document:
        raise Invalid("It does not name its {member}.", member=member)
    who = document[member]
    if isinstance(who, dict):
        who = who.get("id")
    if not is_url(who):
        raise Invalid("Its {member} is not a DID or other URL.", member=member)
    return str(who)


def subjects(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what the credential speaks of; each subject says something."""
    items = _listed(document.get("credentialSubject"))
    if not items or not all(isinstance(item, dict) and item for item in items):
        raise Invalid("It says nothing of any subject.")
    for item in items:
        if "id" in item and not is_url(item["id"]):
            raise Invalid("The id of its subject is not a URL.")
    return items


def presented(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the credentials in a presentation; it may hold none."""
    if "verifiableCredential" not in document:
        return []
    items = _listed(document["verifiableCredential"])
    if not items:
        raise Invalid("Its list of credentials is empty.")
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict) or (
            item.get("type") not in (ENVELOPED_CREDENTIAL, [ENVELOPED_CREDENTIAL])
            and kind(item) != CREDENTIAL
        ):
            raise Invalid("Number {number} of what it presents is not a credential.", number=number)
    return items


def period(document: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """Return from when and until when the document holds, where it says so."""
    start = moment(document["validFrom"]) if "validFrom" in document else None
    end = moment(document["validUntil"]) if "validUntil" in document else None
    if start and end and end < start:
        raise Invalid("It ends ({until}) before it begins ({start}).", until=end, start=start)
    return start, end


def members(document: Mapping[str, Any]) -> None:
    """Raise Invalid unless what else the document says has the form that VCDM 2.0 gives it."""
    for name in _TYPED:
        for item in _listed(document.get(name, ())):
            if not isinstance(item, dict) or not _has_type(item):
                raise Invalid("Its {member} does not say of which type it is.", member=name)
            if (name == "credentialSchema" or "id" in item) and not is_url(item.get("id")):
                raise Invalid("The id of its {member} is not a URL.", member=name)
    issuer = document.get("issuer")
    for spoken in (document, issuer if isinstance(issuer, dict) else {}):
        for name in ("name", "description"):
            if name in spoken and not all(_is_text(item) for item in _listed(spoken[name])):
                raise Invalid("Its {member} is no text in a language.", member=name)
    resources = _listed(document.get("relatedResource", ()))
    for item in resources:
        if not isinstance(item, dict) or not is_url(item.get("id")):
            raise Invalid("It names a related resource by something else than a URL.")
        if not any(isinstance(item.get(name), str) for name in ("digestSRI", "digestMultibase")):
            raise Invalid("It names a related resource without its digest.")
    if len({item["id"] for item in resources}) != len(resources):
        raise Invalid("It names a related resource twice.")


def _has_type(item: Mapping[str, Any]) -> bool:
    types = _listed(item.get("type", ()))
    return bool(types) and all(isinstance(name, str) and name for name in types)


def _is_text(value: object) -> bool:
    """Say whether a value is a text, or a JSON-LD language value object."""
    if isinstance(value, dict):
        words = {name for name, text in value.items() if isinstance(text, str)}
        return set(value) == words and {"@value"} <= words <= {"@value", "@language", "@direction"}
    return isinstance(value, str)


def well_formed(document: Mapping[str, Any]) -> None:
    """Raise Invalid unless the document is worth a seal."""
    contexts(document)
    identifier(document)
    period(document)
    members(document)
    if kind(document) == CREDENTIAL:
        author(document, "issuer")
        subjects(document)
    else:
        if "holder" in document:
            author(document, "holder")
        presented(document)


def is_url(value: object) -> bool:
    """Say whether the value is an absolute URL."""
    return isinstance(value, str) and _URL.fullmatch(value) is not None


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
