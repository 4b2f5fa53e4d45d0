"""How an item is expected to fade, as the newest forecast made here states it: a sentence and a picture."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from agents.role import Books
from agents.roles.predictions import HISTORY
from analysis.result import digest

CYCLES_A_DAY = 1.0
DAYS_A_YEAR = 365.25


@dataclass(frozen=True)
class Outlook:
    """A stated forecast with the check-ups it was made from."""

    inputs_digest: str
    seen: tuple[tuple[float, float], ...]
    statement: str

    @property
    def stated(self) -> Mapping[str, Any]:
        """Return the figures."""
        found: Mapping[str, Any] = json.loads(self.statement)
        return found

    @property
    def years(self) -> float:
        """Return for how long it is 95 % likely to serve, at a cycle a day; less than nothing: not at all."""
        first = self.stated["end_of_life"]["earliest"]
        until = self.stated["cycles"][-1] if first is None else first
        return float((until - self.seen[-1][0]) / CYCLES_A_DAY / DAYS_A_YEAR)

    @property
    def at_least(self) -> bool:
        """Say whether the forecast reaches no farther."""
        return self.stated["end_of_life"]["earliest"] is None

    @property
    def drawable(self) -> bool:
        """Say whether pictures can be drawn here."""
        return find_spec("matplotlib") is not None


def newest(books: Books, code: str) -> Outlook | None:
    """Return the newest forecast of an item that was made here."""
    records = [one for one in books.measurements(code) if one.get("format") == HISTORY]
    if not records:
        return None
    named = digest(dict(records[-1]["inputs"]))
    for held in reversed(books.credentials(str(records[-1]["subject"]), "Prediction")):
        if held.claim["statement"].get("inputs_digest") == named:
            seen = tuple(
                (float(o["cycle"]), float(o["soh_pct"])) for o in records[-1]["inputs"]["observations"]
            )
            return Outlook(named, seen, json.dumps(held.claim["statement"], default=dict))
    return None


@lru_cache(maxsize=64)
def picture(outlook: Outlook, language: str) -> bytes:
    """Return a forecast's picture as SVG; the same one is drawn once."""
    from agents import plots  # matplotlib behind it, when a picture is wanted

    return plots.fade(outlook.seen, outlook.stated, language)
