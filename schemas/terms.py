"""What credentials say, published: JSON Schemas (2020-12), a JSON-LD context, a vocabulary in two languages.

All are made from the claim types alone. One word has one meaning: a name that two claims use is of the same
kind in both, and defined alike. Every file is named by the digest of its bytes, so what a credential once
pointed to stays.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from hashlib import sha256
from types import MappingProxyType, UnionType
from typing import Any, Literal, TypeAliasType, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from schemas.claim import Means
from schemas.claims import CLAIMS, CONTEXT
from schemas.units import unit_of

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMAS = "https://w3id.org/meguri/schemas/v1"
VOCABULARY = "https://w3id.org/meguri/terms#"

_XSD = "http://www.w3.org/2001/XMLSchema#"
_KINDS: Mapping[type, str] = {
    Decimal: _XSD + "decimal",
    datetime: _XSD + "dateTime",
    date: _XSD + "date",
    int: _XSD + "integer",
}
_OTHERS = {"name": "https://schema.org/name"}
"""Words that the W3C's own context has defined already, and as what."""


@dataclass(frozen=True)
class Word:
    """One word of credentials: its title, meaning and unit, and the claims it stands in."""

    name: str
    title: str
    means: Means
    unit: tuple[str, str] | None = None
    claims: tuple[str, ...] = ()


def schema(claim: str, /) -> dict[str, Any]:
    """Return the JSON Schema of credentials that make this claim."""
    model = CLAIMS[claim]
    inner = model.model_json_schema(mode="serialization")
    definitions = inner.pop("$defs", {})
    inner["properties"] = {"id": {"type": "string", "format": "uri"}, **inner["properties"]}
    return {
        "$schema": DIALECT,
        "$id": f"{SCHEMAS}/{claim}",
        "title": claim,
        "description": inner.pop("description"),
        "type": "object",
        "properties": {
            "@context": {"type": "array", "contains": {"const": CONTEXT}},
            "type": {"type": "array", "contains": {"const": claim}},
            "credentialSubject": inner,
        },
        "required": ["@context", "type", "issuer", "credentialSubject"],
        "$defs": definitions,
    }


def context() -> dict[str, Any]:
    """Return the JSON-LD context in which every claim type and every name in one has its meaning."""
    types = {name: VOCABULARY + name for name in CLAIMS}
    return {"@context": {"@protected": True, **types, **_terms(*CLAIMS.values())}}


def words() -> tuple[Word, ...]:
    """Return the words that stand in claims, in the order of the alphabet, each with its one meaning."""
    found: dict[str, Word] = {}
    for claim in CLAIMS.values():
        for model in _models(claim):
            for name, info in model.model_fields.items():
                if name == "id":
                    continue
                means = next((one for one in info.metadata if isinstance(one, Means)), None)
                if means is None:
                    raise ValueError(f"{name} of {model.__name__} is not defined")
                known = found.get(name) or Word(name, info.title or name, means, unit_of(name))
                if known.means != means:
                    raise ValueError(f"{name} is defined in two ways, in {model.__name__} and elsewhere")
                claims = dict.fromkeys((*known.claims, claim.__name__))
                found[name] = replace(known, claims=tuple(claims))
    return tuple(found[name] for name in sorted(found))


def meaning(claim: str, /) -> Means:
    """Return what a claim type states, in both languages."""
    model = CLAIMS[claim]
    return Means((model.__doc__ or "").strip().splitlines()[0], model.ja)


def vocabulary() -> dict[str, Any]:
    """Return every claim type and word, with definitions and unit, as RDF Schema in JSON-LD."""
    graph: list[dict[str, Any]] = [
        {"@id": VOCABULARY + name, "@type": "rdfs:Class", "rdfs:label": name, **_defined(meaning(name))}
        for name in CLAIMS
    ]
    for word in words():
        entry = {
            "@id": _OTHERS.get(word.name, VOCABULARY + word.name),
            "@type": "rdf:Property",
            "rdfs:label": word.title,
            **_defined(word.means),
        }
        if word.unit and word.unit[1]:
            entry["qudt:ucumCode"] = word.unit[1]
        graph.append(entry)
    return {
        "@context": {
            "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
            "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
            "qudt": "http://qudt.org/schema/qudt/",
        },
        "@graph": graph,
    }


def _defined(means: Means) -> dict[str, Any]:
    return {
        "rdfs:comment": [
            {"@language": "en", "@value": means.en},
            {"@language": "ja", "@value": means.ja},
        ]
    }


def schema_digest(claim: str, /) -> str:
    """Return `sha256:` and the digest of a claim type's published schema."""
    return "sha256:" + sha256(_bytes(schema(claim))).hexdigest()


def _bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


@cache
def files() -> Mapping[str, bytes]:
    """Return what is published, by the name under which it stands: the digest of its bytes is part of it."""
    made = {"context": context(), "vocabulary": vocabulary()} | {name: schema(name) for name in CLAIMS}
    found: dict[str, bytes] = {}
    for name, value in made.items():
        text = _bytes(value)
        ending = "jsonld" if name in {"context", "vocabulary"} else "schema.json"
        found[f"{name}.{sha256(text).hexdigest()}.{ending}"] = text
    return MappingProxyType(found)


def fields() -> Iterator[tuple[type[BaseModel], str, FieldInfo]]:
    """Yield every field of every claim and of what stands in one."""
    for model in _models(*CLAIMS.values()):
        for name, info in model.model_fields.items():
            yield model, name, info


def _models(*roots: type[BaseModel]) -> tuple[type[BaseModel], ...]:
    found: dict[type[BaseModel], None] = {}
    for root in roots:
        found[root] = None
        for info in root.model_fields.values():
            inner = _plain(info.annotation)[0]
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                found |= dict.fromkeys(_models(inner))
    return tuple(found)


def _terms(*models: type[BaseModel]) -> dict[str, Any]:
    """Return the terms of some models; what stands in a claim has terms of its own where it stands."""
    terms: dict[str, Any] = {}
    for model in models:
        for name, info in model.model_fields.items():
            if name in _OTHERS:
                continue
            term = _term(name, info)
            if terms.setdefault(name, term) != term:
                raise ValueError(f"{name} means two things, in {model.__name__} and elsewhere")
    return dict(sorted(terms.items()))


def _term(name: str, info: FieldInfo) -> dict[str, Any]:
    kind, several = _plain(info.annotation)
    term: dict[str, Any] = {"@id": VOCABULARY + name}
    if several:
        term["@container"] = "@list"  # else RDF, and a seal over it, would lose the order
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        inner = _terms(kind)
        if "id" in inner:  # an id that is no address, so not JSON-LD's own
            inner["id"] = {"@id": VOCABULARY + "eventId"}
        term["@context"] = {"@protected": True, **inner}
    elif kind is dict:
        term["@type"] = "@json"
    elif name == "did" or name.endswith("_did"):
        term["@type"] = "@id"
    elif kind in _KINDS:
        term["@type"] = _KINDS[kind]
    return term


def _plain(annotation: Any) -> tuple[Any, bool]:
    """Return of which kind a field is, and whether it holds several."""
    if isinstance(annotation, TypeAliasType):
        return _plain(annotation.__value__)
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin in {Union, UnionType}:
        (kind,) = {one for one in inside if one is not type(None)}
        return _plain(kind)
    if origin is tuple:
        return _plain(inside[0])[0], True
    if origin is Literal:
        return str, False
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return dict, False
    if inside and hasattr(annotation, "__metadata__"):
        return _plain(inside[0])
    if annotation is UUID:
        return str, False
    return (
        (datetime, False) if getattr(annotation, "__name__", "") == "AwareDatetime" else (annotation, False)
    )
