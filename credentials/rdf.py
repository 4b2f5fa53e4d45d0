"""What a JSON-LD document says as RDF, in one byte form: RDF Dataset Canonicalization, for others' seals.

`eddsa-rdfc-2022` signs the statements that a document expands to, not its text. Whatever the expansion drops
is not signed, so a document in which anything is dropped, or could be read in two ways, is refused: terms
without definition, names that JSON-LD passes over, nulls, empty lists, relative addresses. Contexts come from
a cache and only from there; none may stand in the document itself, for it would not be signed either.

What RDF cannot tell apart, no such seal can: the order of a list, the same value twice in one, `1` and `1.0`.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any

from credentials import base64url, form, strict
from credentials.vc import content_digest
from schemas import terms
from schemas.claims import CONTEXT
from schemas.errors import Invalid, Unknown

type Contexts = Mapping[str, Any]
"""Contexts by URL; whoever adds one vouches that it gives no word another meaning than the others do."""

_FILES = {
    form.V2: "credentials-v2.jsonld",
    "https://w3id.org/security/data-integrity/v2": "data-integrity-v2.jsonld",
}
_VALUE_WORDS = frozenset({"@value", "@language", "@type"})
_NODE_WORDS = frozenset({"@id", "@type"})
_BASE = "https://relative.invalid/"
"""Relative addresses are read against this, to be told from others; without it PyLD invents a base."""
_EXACT = 1e21  # from here on JSON-LD takes a whole number for a double
_MAX_WORK = 500
"""Nodes without a name that look alike are told apart by trying; a document may be made to need for ever."""


def check_digests(document: Mapping[str, Any], /) -> None:
    """Raise Invalid where a document gives another digest of a context that is kept here than ours has."""
    resources_ = document.get("relatedResource", ())
    for item in resources_ if isinstance(resources_, list | tuple) else [resources_]:
        if isinstance(item, dict) and item.get("id") in _FILES:
            content = resources.files(__package__).joinpath("contexts", _FILES[item["id"]]).read_bytes()
            for name, made in (("digestSRI", _sri(content)), ("digestMultibase", _multibase(content))):
                if name in item and item[name] not in made:
                    raise Invalid("The digest of {url} is another than stated.", url=item["id"])


def _sri(content: bytes) -> set[str]:
    names = ("sha256", "sha384", "sha512")
    return {f"{name}-{b64encode(hashlib.new(name, content).digest()).decode()}" for name in names}


def _multibase(content: bytes) -> set[str]:
    digest = hashlib.sha256(content).digest()
    return {
        content_digest(content),
        "u" + base64url.encode(digest),
        "u" + base64url.encode(b"\x12\x20" + digest),
    }


@cache
def published() -> Contexts:
    """Return the contexts of the W3C that are kept here, and our own."""
    folder = resources.files(__package__).joinpath("contexts")
    kept = {url: strict.loads(folder.joinpath(name).read_bytes()) for url, name in _FILES.items()}
    return MappingProxyType(kept | {CONTEXT: terms.context()})


def meaningful(document: Mapping[str, Any], contexts: Contexts, /) -> None:
    """Raise Invalid unless every word of a JSON-LD document has a meaning; it may define some itself.

    For who seals its text and not its RDF: what it defines itself is sealed along.
    """
    _expanded(document, contexts, inline=True)


def canonical_quads(document: Mapping[str, Any], contexts: Contexts, /) -> bytes:
    """Return the canonical N-Quads of a JSON-LD document, or raise Invalid where something would be lost."""
    from pyld import jsonld  # type: ignore[import-untyped]

    expanded, options = _expanded(_plain(document, contexts), contexts)
    try:
        dataset = jsonld.to_rdf(expanded, options)
        return _canonicaliser()().main(dataset, {"format": "application/n-quads"}).encode()  # type: ignore[no-any-return]
    except (Invalid, Unknown):
        raise
    except Exception as error:
        raise _reason(error) from None


def _expanded(document: Mapping[str, Any], contexts: Contexts, *, inline: bool = False) -> tuple[Any, Any]:
    from pyld import jsonld  # seldom needed, and slow to load

    def load(url: str, options: object) -> dict[str, Any]:
        if url not in contexts:
            raise Unknown("The context {url} is not known here.", url=url)
        return {
            "contentType": "application/ld+json",
            "contextUrl": None,
            "documentUrl": url,
            "document": contexts[url],
        }

    def dropped(name: object) -> None:
        raise Invalid("One of its words has no meaning in its @context ({name}).", name=name)

    options = {"documentLoader": load, "base": _BASE}
    try:
        expanded = jsonld.expand(dict(document) if inline else document, options, dropped)
        _absolute(expanded)
        return expanded, options
    except (Invalid, Unknown):
        raise
    except Exception as error:  # PyLD raises of every kind for what it did not expect
        raise _reason(error) from None


def _reason(error: Exception) -> Invalid | Unknown:
    for cause in _causes(error):
        if isinstance(cause, Invalid | Unknown):
            return cause
    return Invalid("Its JSON-LD cannot be processed.")


@cache
def _canonicaliser() -> Any:
    from pyld.canon import URDNA2015  # type: ignore[import-untyped]

    class Bounded(URDNA2015):  # type: ignore[misc]
        """Gives up on documents made to be slow."""

        work = 0

        def hash_n_degree_quads(self, id_: object, issuer: object) -> object:
            self.work += 1
            if self.work > _MAX_WORK:
                raise Invalid("Too many of its parts look alike and have no id.")
            return super().hash_n_degree_quads(id_, issuer)

    return Bounded


def _causes(error: BaseException) -> list[BaseException]:
    """Return what led to an error of PyLD, which wraps what its loader and handler raise."""
    found: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None and len(found) < 20:  # noqa: PLR2004 - a chain of causes is short
        inner = getattr(seen, "cause", None)
        found.append(seen)
        seen = inner if isinstance(inner, BaseException) else seen.__cause__ or seen.__context__
    return found


def _plain(value: Any, contexts: Contexts) -> Any:
    """Return a value as JSON-LD takes it, or raise Invalid where an expansion would pass over part of it."""
    if value is None:
        raise Invalid("It holds a null, which its seal does not cover.")
    if isinstance(value, str):
        return _plain_text(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    if isinstance(value, list | tuple):
        if not value:
            raise Invalid("It holds an empty list, which its seal does not cover.")
        if any(isinstance(item, list | tuple) for item in value):
            raise Invalid("It holds a list within a list, which its seal does not cover.")
        return [_plain(item, contexts) for item in value]
    if isinstance(value, Mapping):
        if not value:
            raise Invalid("It holds an empty object, which its seal does not cover.")
        known = _VALUE_WORDS if "@value" in value else _NODE_WORDS
        return {name: _plain_member(name, item, known, contexts) for name, item in value.items()}
    return value


def _plain_member(name: str, item: Any, known: frozenset[str], contexts: Contexts) -> Any:
    if name == "@context":
        for url in item if isinstance(item, list | tuple) else [item]:
            if not isinstance(url, str) or url not in contexts:
                raise Unknown("The context {url} is not known here.", url=url)
        return list(item) if isinstance(item, tuple) else item
    if name.startswith("_:") or (name.startswith("@") and name not in known):
        raise Invalid("It uses the word {name}, which its seal does not cover.", name=name)
    return _plain(item, contexts)


def _plain_text(text: str) -> str:
    if any(letter < " " and letter not in "\n\r" for letter in text) or "\x7f" in text:
        raise Invalid("It holds a control character.")
    if text.startswith("_:"):
        raise Invalid("It names a part that has no name ({name}).", name=text)
    return text


def _absolute(value: Any) -> None:
    """Raise Invalid where an expanded document names something by a relative address: that would be lost."""
    if isinstance(value, list):
        for item in value:
            _absolute(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in {"@id", "@type"}:
                for address in item if isinstance(item, list) else [item]:
                    if address != "@json" and (not form.is_url(address) or address.startswith(_BASE)):
                        raise Invalid(
                            "It names something by a relative address ({name}).",
                            name=str(address).removeprefix(_BASE),
                        )
            elif name != "@value":
                _absolute(item)
