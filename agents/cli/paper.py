"""What a terminal shows: aligned columns, a little colour, and nothing a stranger's text could do to it."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

# Control characters move the cursor or recolour the screen; bidirectional marks make text read as another.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff]")
_COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35", "cyan": "36"}
NARROWEST = 8


@dataclass(frozen=True)
class Ink:
    """Text with a look."""

    text: str
    colour: str = ""
    bold: bool = False
    dim: bool = False


type Text = str | Ink


def good(text: str) -> Ink:
    """Return text that says that all is well."""
    return Ink(text, "green")


def bad(text: str) -> Ink:
    """Return text that says that something is wrong."""
    return Ink(text, "red")


def faint(text: str) -> Ink:
    """Return text that stands back."""
    return Ink(text, dim=True)


def loud(text: str) -> Ink:
    """Return text that stands out."""
    return Ink(text, bold=True)


def clean(text: object) -> str:
    """Return text without what could steer a terminal; a line break becomes a space."""
    return _UNSAFE.sub(lambda found: " " if found[0] in "\n\r\t\u2028\u2029" else "�", str(text))


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes; East Asian wide characters take two."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if character < "\u0300":
        return 1
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def clipped(text: str, width: int) -> str:
    """Return text in at most `width` columns, with an ellipsis where something is missing."""
    if columns(text) <= width:
        return text
    kept, used = "", 0
    for character in text:
        used += _columns(character)
        if used > width - 1:
            break
        kept += character
    return kept + "…" if width > 0 else ""


def local(moment: str) -> str:
    """Return an ISO 8601 moment in this machine's time zone, to the minute."""
    try:
        return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError):
        return moment


@dataclass(frozen=True)
class Paper:
    """A sheet to write on; `width` is None where nobody's window ends."""

    write: Callable[[str], None]
    colour: bool = False
    width: int | None = None

    def line(self, *parts: Text) -> None:
        """Write one line."""
        self.write("".join(self._inked(part) for part in parts).rstrip() + "\n")

    def title(self, *parts: Text) -> None:
        """Write the line that says what follows."""
        self.line(*(loud(part) if isinstance(part, str) else part for part in parts))

    def _inked(self, part: Text) -> str:
        ink = Ink(part) if isinstance(part, str) else part
        text = clean(ink.text)
        if not self.colour or not text.strip():
            return text
        codes = [code for code, on in (("1", ink.bold), ("2", ink.dim)) if on]
        codes += [_COLOURS[ink.colour]] if ink.colour else []
        return f"\x1b[{';'.join(codes)}m{text}\x1b[0m" if codes else text

    def table(
        self, heads: Sequence[str], rows: Iterable[Sequence[Text]], *, indent: int = 0, flexible: int = -1
    ) -> None:
        """Write rows under heads; where the window is too narrow, the `flexible` column gives way first."""
        cells = [[_ink(cell) for cell in row] for row in rows]
        shown = [n for n in range(len(heads)) if any(row[n].text for row in cells)]
        if not cells or not shown:
            return
        sheet = [[Ink(heads[n], dim=True) for n in shown], *([row[n] for n in shown] for row in cells)]
        widths = [max(columns(row[n].text) for row in sheet) for n in range(len(shown))]
        if self.width is not None:
            widths = _narrowed(widths, self.width - indent - 2 * (len(widths) - 1), flexible)
        for row in sheet:
            parts: list[Text] = [" " * indent]
            for n, cell in enumerate(row):
                text = clipped(cell.text, widths[n])
                last = n == len(row) - 1
                parts.append(replace(cell, text=text))
                parts.append("" if last else " " * (widths[n] - columns(text) + 2))
            self.line(*parts)

    def pairs(self, rows: Iterable[tuple[str, Text]], *, indent: int = 0) -> None:
        """Write names and values below each other; what is empty is left out."""
        kept = [(name, _ink(value)) for name, value in rows]
        kept = [(name, value) for name, value in kept if value.text]
        wide = max((columns(name) for name, _ in kept), default=0)
        for name, value in kept:
            self.line(" " * indent, faint(name), " " * (wide - columns(name) + 2), value)


def _ink(cell: Text) -> Ink:
    ink = Ink(cell) if isinstance(cell, str) else cell
    return replace(ink, text=clean(ink.text))


def _narrowed(widths: list[int], room: int, flexible: int) -> list[int]:
    widths = list(widths)
    first = flexible % len(widths)
    order = [first, *(n for n in sorted(range(len(widths)), key=lambda n: -widths[n]) if n != first)]
    for n in order:
        excess = sum(widths) - room
        if excess > 0:
            widths[n] = max(min(widths[n], NARROWEST), widths[n] - excess)
    return widths
