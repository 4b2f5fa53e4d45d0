"""From views to pages: words, times, prices and facts as a reader wants them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from pydantic import BaseModel
from qrcode.constants import ERROR_CORRECT_L  # type: ignore[import-untyped]
from qrcode.main import QRCode  # type: ignore[import-untyped]

from agents.forms import Field, fields_of
from agents.words import LANGUAGES, SENTENCES, recall, term, titled, translate
from governance.framework import FRAMEWORK
from protocols.catalogue import PROTOCOLS
from schemas import terms
from schemas.claims import CLAIMS
from schemas.errors import Invalid
from schemas.events import Event
from schemas.items import read_code

# Who pays whom when a price is above zero.
PAYS: Mapping[str, tuple[str, str]] = {
    "collection/1.0": ("collector", "dismantler"),
    "delivery/1.0": ("receiver", "supplier"),
}
PROTOCOL_TITLES: Mapping[str, str] = {
    "introduction/1.0": "Introduction",
    "membership/1.0": "Membership",
    "collection/1.0": "Collection",
    "delivery/1.0": "Delivery",
    "disclosure/1.0": "Disclosure",
    "diagnosis/1.0": "Diagnosis",
    "audit/1.0": "Audit",
    "sampling/1.0": "Audit by sample",
    "receipt/1.0": "Receipt",
}
LONG = 60
STATIC = ("meguri.css", "meguri.js", "verify.js", "station.js", "mark.svg", "manifest.json")
_DIGEST_SHOWN = 12


@dataclass(frozen=True)
class Fact:
    """One field of something said, ready to be shown."""

    title: str
    shape: Literal["text", "code", "price", "rows", "list", "long"]
    text: str = ""
    note: str = ""
    several: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    rows: tuple[tuple["Fact", ...], ...] = ()


class Words:
    """One reader's language and clock; what templates call."""

    def __init__(self, language: str, zone: tzinfo) -> None:
        self.language = language
        self.zone = zone

    def t(self, text: str, **values: object) -> str:
        """Return a text of the pages."""
        return translate(text, values, self.language)

    def recall(self, text: str) -> str:
        """Return a text that was filled elsewhere."""
        return recall(text, self.language)

    def state(self, protocol: str, state: str) -> str:
        """Return a state of a protocol in words."""
        return term(state, self.language, protocol)

    def side(self, side: str) -> str:
        """Return a side or role in words."""
        return term(side, self.language, "side")

    def protocol(self, name: str) -> str:
        """Return a protocol's title."""
        return self.t(PROTOCOL_TITLES.get(name, name))

    def what(self, what: str) -> str:
        """Return an event's name in words."""
        found = translate(what, None, self.language, "event")
        return found if found != what else what.replace("-", " ").capitalize()

    def kind(self, kind: str) -> str:
        """Return a kind of item in words."""
        return translate(kind, None, self.language, "kind")

    def claim(self, type_: str) -> str:
        """Return a type of credential in words."""
        return translate(type_, None, self.language, "claim")

    def contract(self, name: str) -> str:
        """Return what a contract of the framework is called."""
        terms = FRAMEWORK.rules.contracts.get(name)
        return str(getattr(terms.title, self.language, terms.title.en)) if terms else name

    def field(self, name: str) -> str:
        """Return the title of a field of a statement."""
        return self.t(title_of(name))

    def choice(self, text: str) -> str:
        """Return a choice of a form in words."""
        found = translate(text, None, self.language, "claim" if text in CLAIMS else "choice")
        return found if found != text or " " in text else text.replace("-", " ")

    def said(self, protocol: str, kind: str) -> str:
        """Return what a message says, in one sentence."""
        model = PROTOCOLS[protocol].messages.get(kind) if protocol in PROTOCOLS else None
        if model is None:
            return self.t("A message that could not be read.")
        return translate(sentence(model), None, self.language, protocol)

    def means(self, text: Any) -> str:
        """Return a text of the framework, or the meaning of a word, in the reader's language."""
        found: str = getattr(text, self.language, text.en)
        return found

    def title(self, name: str) -> str:
        """Return the title of a word of credentials."""
        return self.t(_word_titles().get(name, name))

    def help(self, run: Any) -> str:
        """Return what an action does, in one sentence."""
        return translate(sentence(run), None, self.language, "action")

    def moment(self, when: datetime) -> Markup:
        """Return a time, local to the company, with UTC behind it."""
        local, now = when.astimezone(self.zone), datetime.now(self.zone)
        clock = f"{local:%H:%M}"
        if local.date() == now.date():
            shown = self.t("today {time}", time=clock)
        elif local.date() == (now - timedelta(days=1)).date():
            shown = self.t("yesterday {time}", time=clock)
        else:
            shown = f"{self.day(local.date())} {clock}"
        utc = when.astimezone(UTC)
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            utc.isoformat(timespec="seconds"), f"{utc:%Y-%m-%d %H:%M:%S} UTC", shown
        )

    def day(self, day: date) -> str:
        """Return a day."""
        if self.language == "ja":
            return f"{day.year}年{day.month}月{day.day}日"
        return f"{day.day} {day:%b} {day.year}"

    def price(self, protocol: str, yen: int) -> tuple[str, str]:
        """Return a price, and in words who pays whom."""
        payer, paid = PAYS.get(protocol, ("", ""))
        if yen < 0:
            payer, paid = paid, payer
        amount = f"¥{abs(yen):,}"
        if yen == 0:
            return amount, self.t("Nobody pays.")
        if not payer:
            return amount, ""
        return amount, self.t("The {payer} pays the {paid}.", payer=self.side(payer), paid=self.side(paid))

    def size(self, size: int) -> str:
        """Return a file's size."""
        return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{max(1, round(size / 1e3))} kB"  # noqa: PLR2004

    # Facts

    def facts(self, protocol: str, kind: str, body: Mapping[str, Any]) -> list[Fact]:
        """Return the fields of a message."""
        model = PROTOCOLS[protocol].messages.get(kind) if protocol in PROTOCOLS else None
        if model is None:
            return []
        return [
            fact
            for field in fields_of(model)
            if (fact := self._fact(field.title, field, body.get(field.name), protocol))
        ]

    def claimed(self, type_: str, claim: Mapping[str, Any]) -> list[Fact]:
        """Return what a credential states."""
        model = CLAIMS.get(type_)
        fields = {one.name: one for one in fields_of(model)} if model else {}
        return [
            fact
            for name, value in claim.items()
            if name not in {"id", "item", "events", "members"}
            and (fact := self._fact(title_of(name), fields.get(name), value, ""))
        ]

    def details(self, details: Mapping[str, Any]) -> list[Fact]:
        """Return what was recorded with an event."""
        return [
            fact for name, value in details.items() if (fact := self._fact(title_of(name), None, value, ""))
        ]

    def _fact(self, title: str, field: Field | None, value: Any, protocol: str) -> Fact | None:
        if value in (None, "", [], {}, ()):
            return None
        shown = self.t(title)
        shape = field.shape if field else "text"
        if field and field.name.endswith("_jpy") and isinstance(value, int):
            amount, note = self.price(protocol, value)
            return Fact(self.t("Price"), "price", amount, note)
        if shape == "rows" and field and isinstance(value, list):
            used = [one for one in field.fields if any(_get(row, one.name) for row in value)]
            return Fact(
                shown,
                "rows",
                head=tuple(self.t(one.title) for one in used),
                rows=tuple(
                    tuple(
                        self._fact(one.title, one, _get(row, one.name), protocol)
                        or Fact(self.t(one.title), "text")
                        for one in used
                    )
                    for row in value
                ),
            )
        if isinstance(value, list | tuple):
            if field and field.name in SENTENCES:
                value = [self.recall(str(one)) for one in value]
            if all(not isinstance(one, dict | list) for one in value):
                return Fact(shown, "list", several=tuple(self._text(one) for one in value))
            return Fact(shown, "text", self.t("{n} entries", n=len(value)))
        if isinstance(value, dict):
            return Fact(shown, "text", self.t("{n} entries", n=len(value)))
        text = self._number(value) if shape == "number" else self._text(value)
        if field and field.name in SENTENCES:
            text = self.recall(text)
        if shape == "code" or (isinstance(value, str) and _is_code(value)):
            return Fact(shown, "code", text)
        return Fact(shown, "long" if len(text) > LONG or shape == "paragraph" else "text", text)

    def _number(self, value: Any) -> str:
        try:
            return f"{Decimal(str(value)):,}"
        except InvalidOperation:
            return str(value)

    def _text(self, value: Any) -> str:
        if isinstance(value, bool):
            return self.t("yes") if value else self.t("no")
        if isinstance(value, int):
            return f"{value:,}"
        if isinstance(value, float | Decimal):
            return f"{value:g}"
        text = str(value)
        if len(text) == 10 and text[4] == text[7] == "-":  # noqa: PLR2004, a day
            try:
                return self.day(date.fromisoformat(text))
            except ValueError:
                return text
        if len(text) >= 19 and text[10:11] == "T":  # noqa: PLR2004, a time
            try:
                local = datetime.fromisoformat(text).astimezone(self.zone)
            except ValueError:
                return text
            return f"{self.day(local.date())} {local:%H:%M}"
        bare = text.removeprefix("sha256:")
        if len(bare) == 64 and all(c in "0123456789abcdef" for c in bare):  # noqa: PLR2004, a digest
            return f"{bare[:_DIGEST_SHOWN]}…"
        return self.choice(text) if len(text) <= LONG and text.islower() else text


def _get(row: Any, name: str) -> Any:
    return row.get(name) if isinstance(row, Mapping) else None


def _is_code(text: str) -> bool:
    try:
        return read_code(text) == text
    except Invalid:
        return False


def sentence(thing: Any) -> str:
    """Return the first sentence of a docstring."""
    return (thing.__doc__ or "").strip().splitlines()[0] if thing.__doc__ else ""


@cache
def _titles() -> Mapping[str, str]:
    titles: dict[str, str] = {}

    def gather(fields: Sequence[Field], model: type[BaseModel]) -> None:
        for one in fields:
            if model.model_fields[one.name].title:
                titles.setdefault(one.name, one.title)

    for protocol in PROTOCOLS.values():
        for message in protocol.messages.values():
            gather(fields_of(message), message)
    gather(fields_of(Event), Event)
    for _, name, info in terms.fields():
        titles.setdefault(name, info.title or "")
    return titles


@cache
def _word_titles() -> Mapping[str, str]:
    return {word.name: word.title for word in terms.words()}


def title_of(name: str) -> str:
    """Return the title of a field known only by its name: a known one's, else the name in words."""
    return _titles().get(name) or titled(name)


def as_sentence(words: str) -> str:
    """Return words that begin a line."""
    return words[:1].upper() + words[1:]


def qr(text: str) -> Markup:
    """Return a 2D code as SVG."""
    code = QRCode(error_correction=ERROR_CORRECT_L, border=3)
    code.add_data(text)
    code.make(fit=True)
    matrix = code.get_matrix()
    path = "".join(f"M{x} {y}h1v1h-1z" for y, row in enumerate(matrix) for x, dark in enumerate(row) if dark)
    side = len(matrix)
    return Markup(
        '<svg class="qr" viewBox="0 0 {0} {0}" role="img" aria-label="QR" shape-rendering="crispEdges">'
        '<rect width="{0}" height="{0}" fill="#fff"/><path fill="#000" d="{1}"/></svg>'
    ).format(side, path)


@cache
def assets() -> Mapping[str, tuple[bytes, str]]:
    """Return the files the pages need: their bytes and the mark of their version."""
    folder = resources.files("agents.web").joinpath("static")
    found = {name: folder.joinpath(name).read_bytes() for name in STATIC}
    return {name: (data, sha256(data).hexdigest()[:10]) for name, data in found.items()}


def asset(name: str) -> str:
    """Return the address of a file of ours; it changes with its content."""
    return f"/static/{name}?v={assets()[name][1]}"


@cache
def environment() -> Environment:
    """Return the one template environment."""
    found = Environment(
        loader=PackageLoader("agents.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.globals.update(asset=asset, qr=qr, sentence=as_sentence, LANGUAGES=LANGUAGES, escape=escape)
    return found
