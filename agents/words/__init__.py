"""What people read, in their language: English is the key, each other language a catalogue beside this file.

`en.toml` holds only the texts whose English reads better than their key: names of states, the checks of
pydantic. In a catalogue `[text]` holds what means the same everywhere, and `[in."collection/1.0"]` what
means something else in one place, such as a state of that protocol.
"""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from string import Formatter

from schemas.errors import Fault
from schemas.units import UNITS

LANGUAGES: Mapping[str, str] = {"en": "English", "ja": "日本語"}
DEFAULT = "en"

# Values that are words of ours, not of the users.
_OURS = frozenset({"state", "status", "side", "sender", "kind", "rank", "role", "protocol", "type", "what"})
# Values that are sentences of ours.
_SENTENCES = frozenset({"reason", "words"})
_LONGEST = 2000

# Fields of statements that hold whole sentences of ours, to be read in the reader's language.
SENTENCES = frozenset(
    {"not_assessable", "purpose", "suits", "training", "quality", "limits", "words", "needs"}
)


class Catalogue:
    """The texts of one language."""

    def __init__(self, language: str) -> None:
        text = resources.files(__package__).joinpath(f"{language}.toml").read_text("utf-8")
        tables = tomllib.loads(text)
        self.text: Mapping[str, str] = tables.get("text", {})
        self.places: Mapping[str, Mapping[str, str]] = tables.get("in", {})

    def find(self, text: str, place: str = "") -> str | None:
        """Return the text in this language, as it is said in `place`; without a place, as first found."""
        found = self.places.get(place, {}).get(text)
        if found is None:
            found = self.text.get(text)
        if found is None and not place:
            found = next((texts[text] for texts in self.places.values() if text in texts), None)
        return found


@cache
def catalogue(language: str) -> Catalogue:
    """Return the catalogue of a language."""
    return Catalogue(language if language in LANGUAGES else DEFAULT)


def translate(
    template: str, values: Mapping[str, object] | None = None, language: str = DEFAULT, place: str = ""
) -> str:
    """Return `template` in a language, filled with `values`; what has no translation stays English."""
    texts = catalogue(language)
    found = texts.find(template, place)
    if not values:
        return template if found is None else found
    filled = {name: _value(name, value, language, place) for name, value in values.items()}
    try:
        return (template if found is None else found).format_map(filled)
    except (KeyError, IndexError, ValueError, AttributeError):
        return template  # a peer's template need not fit its values


def _value(name: str, value: object, language: str, place: str) -> object:
    if name in _OURS and isinstance(value, str):
        return catalogue(language).find(value, place) or value
    if name in _SENTENCES and language != DEFAULT:
        return say(value, language) if isinstance(value, Fault) else recall(str(value), language)
    return value


def term(word: str, language: str = DEFAULT, place: str = "") -> str:
    """Return a word of the trade, such as a state of a protocol, in a language."""
    found = translate(word, None, language, place)
    return found if found != word else word.replace("-", " ")


def titled(name: str) -> str:
    """Return the English title of a field that has none: its name in words, its unit in brackets."""
    *words, last = name.split("_")
    if words and last in UNITS and UNITS[last][0]:
        return f"{' '.join(words).capitalize()} ({UNITS[last][0]})"
    return name.replace("_", " ").capitalize()


def say(fault: Fault, language: str = DEFAULT) -> str:
    """Return a fault in the reader's words."""
    return translate(fault.template, fault.values, language)


def placeholders(template: str) -> frozenset[str]:
    """Name the values a template wants."""
    return frozenset(name for _, name, _, _ in Formatter().parse(template) if name is not None)


@cache
def _shapes(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return each template with values as a pattern of its English text, the most telling first."""
    templates = {**catalogue(DEFAULT).text, **catalogue(language).text}
    shapes = []
    for template in sorted(templates, key=len, reverse=True):
        if not placeholders(template):
            continue
        pattern, seen = "", set[str]()
        for before, name, _, _ in Formatter().parse(template):
            pattern += re.escape(before)
            if name:
                pattern += f"(?P={name})" if name in seen else f"(?P<{name}>.*?)"
                seen.add(name)
        if re.search(r"[A-Za-z]{3}", re.sub(r"\(\?P.*?\)", "", pattern)):
            shapes.append((re.compile(pattern, re.S), template))
    return tuple(shapes)


def recall(text: str, language: str = DEFAULT) -> str:
    """Return English that was filled elsewhere (a check of pydantic, an old refusal) in a language."""
    found = catalogue(language).find(text)
    if found is not None:
        return found
    if len(text) <= _LONGEST:
        for shape, template in _shapes(language):
            if match := shape.fullmatch(text):
                return translate(template, match.groupdict(), language)
    return text
