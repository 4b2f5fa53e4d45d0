"""Credentials and presentations as plain VCDM 2.0 payloads, before they are sealed."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any

from credentials import form, keys
from credentials.canonical import canonical
from credentials.moments import stamp

_SHA2_256 = b"\x12\x20"  # multihash: sha2-256, 32 bytes


def credential(
    issuer: str | Mapping[str, Any],
    types: Sequence[str],
    subject: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    /,
    *,
    id: str,
    valid_from: datetime,
    valid_until: datetime | None = None,
    related: Iterable[Mapping[str, Any]] = (),
    evidence: Iterable[Mapping[str, Any]] = (),
    status: Iterable[Mapping[str, Any]] = (),
    contexts: Iterable[str | Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Build the payload of a credential; `contexts` are those after the W3C's own.

    `related` are references, `evidence` references that say their type, `status` entries of status lists.
    """
    document: dict[str, Any] = {
        "@context": [form.V2, *contexts],
        "id": id,
        "type": [form.CREDENTIAL, *types],
        "issuer": issuer if isinstance(issuer, str) else dict(issuer),
        "validFrom": stamp(valid_from),
    }
    if valid_until is not None:
        document["validUntil"] = stamp(valid_until)
    document["credentialSubject"] = (
        dict(subject) if isinstance(subject, Mapping) else [dict(item) for item in subject]
    )
    if resources := [dict(item) for item in related]:
        document["relatedResource"] = resources
    if grounds := [dict(item) for item in evidence]:
        document["evidence"] = grounds
    if entries := [dict(item) for item in status]:
        document["credentialStatus"] = entries[0] if len(entries) == 1 else entries
    form.well_formed(document)
    return document


def presentation(
    holder: str,
    credentials: Iterable[Mapping[str, Any]],
    /,
    *,
    id: str | None = None,
    contexts: Iterable[str | Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Build the payload in which a holder shows sealed credentials."""
    document: dict[str, Any] = {"@context": [form.V2, *contexts], "type": [form.PRESENTATION]}
    if id is not None:
        document["id"] = id
    document["holder"] = holder
    if shown := [dict(item) for item in credentials]:
        document["verifiableCredential"] = shown
    form.well_formed(document)
    return document


def digest(document: object, /) -> str:
    """Return the digest of a JSON value, independent of how it was written down.

    ``multibase58(0x12 0x20 + sha256(JCS(document)))``, the `digestMultibase` of VC Data Integrity: `zQm…`.
    """
    return content_digest(canonical(document))


def content_digest(content: bytes, /) -> str:
    """Return the digest of a file's bytes in the same writing, for photos and other evidence."""
    return keys.multibase(_SHA2_256 + sha256(content).digest())


def reference(document: Mapping[str, Any], /) -> dict[str, str]:
    """Refer to a sealed credential by its id and digest, as `relatedResource` and `evidence` do."""
    return {"id": str(document["id"]), "digestMultibase": digest(document)}
