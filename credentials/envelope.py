"""Tokens where JSON-LD wants an object: VCDM 2.0's EnvelopedVerifiableCredential and …Presentation.

The token stands whole in the envelope's id, as a `data:` URL whose media type says how it is sealed. Stricter
than the standard in this: the envelope says nothing else, and the media type must be that of the token.
"""

from collections.abc import Mapping
from typing import Any, Final

from credentials import form, jose, jwt, sdjwt
from schemas.errors import Invalid

MEDIA_TYPES: Final[Mapping[str, str]] = {
    f"application/{jwt.TYPE}": form.ENVELOPED_CREDENTIAL,
    f"application/{sdjwt.TYPE}": form.ENVELOPED_CREDENTIAL,
    f"application/{jwt.PRESENTATION_TYPE}": form.ENVELOPED_PRESENTATION,
}
"""Of which type an envelope is, by the media type of what is in it."""


def enveloped(token: str, media_type: str, /) -> dict[str, Any]:
    """Put a token into an envelope, so that it can stand in a presentation or among JSON documents."""
    if media_type not in MEDIA_TYPES:
        raise Invalid("Nothing of the type {type} is put into an envelope.", type=media_type)
    return {"@context": [form.V2], "type": MEDIA_TYPES[media_type], "id": f"data:{media_type},{token}"}


def is_envelope(document: object, /) -> bool:
    """Say whether a document is, by its type, an envelope."""
    return isinstance(document, dict) and _type(document) is not None


def opened(document: Mapping[str, Any], /) -> tuple[str, str]:
    """Return the token in an envelope and its media type, or raise Invalid."""
    if set(document) - {"@context", "type", "id"}:
        raise Invalid("An envelope says nothing but what is in it.")
    if document.get("@context") != form.V2:
        form.contexts(document)
    address = document.get("id")
    if not isinstance(address, str) or not address.startswith("data:") or "," not in address:
        raise Invalid("The envelope does not hold its token in its id.")
    media_type, _, token = address.removeprefix("data:").partition(",")
    if MEDIA_TYPES.get(media_type) != _type(document):
        raise Invalid("The envelope is of another type than what is in it, {type}.", type=media_type)
    return token, media_type


def said(document: Mapping[str, Any], /) -> Mapping[str, Any]:
    """Return what a sealed document says, unchecked: the document itself, or what is in its envelope."""
    if not is_envelope(document):
        return document
    token, media_type = opened(document)
    if media_type == f"application/{sdjwt.TYPE}":
        return sdjwt.disclosed(token)
    return {n: value for n, value in jose.parsed(token).payload.items() if n not in jwt.PRESENTATION_CLAIMS}


def _type(document: Mapping[str, Any]) -> str | None:
    types = document.get("type")
    name = types[0] if isinstance(types, list) and len(types) == 1 else types
    return name if isinstance(name, str) and name in MEDIA_TYPES.values() else None
