"""Which cell is on which channel: told by two scans a cell, in either order, and wrong scans told at once."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from instruments.sw1001 import Mainframe
from schemas.errors import Invalid

UNDO = "undo"
RELAYS = Mainframe().relays()


@dataclass(frozen=True, order=True)
class Place:
    """A channel of a rack; racks count from 1."""

    rack: int
    channel: int

    def __str__(self) -> str:
        return f"{self.rack}:{self.channel}"


@dataclass(frozen=True)
class Load:
    """What is on the racks; `cell` or `place` is a scan that waits for its partner.

    `outcomes` says by cell, in words, what came of it since it was put on; empty words: measured.
    """

    racks: int = 1
    cells: Mapping[Place, str] = field(default_factory=dict)
    outcomes: Mapping[str, str] = field(default_factory=dict)
    cell: str = ""
    place: Place | None = None

    def scanned(self, text: str) -> Self:
        """Return the load after one more scan; raise Invalid for a wrong one, in words."""
        scan = text.strip()
        if scan.lower() == UNDO:
            return self.undone()
        place = read_place(scan, self.racks)
        return self._cell(scan) if place is None else self._place(place)

    def _cell(self, cell: str) -> Self:
        if not cell:
            raise Invalid("nothing was scanned")
        if is_command(cell):
            raise Invalid("there is no channel {place} here", place=cell)
        if cell == self.cell:
            raise Invalid("{cell} was scanned just now; scan its channel", cell=cell)
        if self.cell:
            raise Invalid("scan the channel of {cell} first, or undo", cell=self.cell)
        if (at := self.where(cell)) is not None:
            raise Invalid("{cell} is on channel {place} already", cell=cell, place=self.shown(at))
        return self._paired(cell, self.place) if self.place else replace(self, cell=cell)

    def _place(self, place: Place) -> Self:
        if (there := self.cells.get(place)) is not None:
            raise Invalid("channel {place} is taken by {cell}", place=self.shown(place), cell=there)
        if self.place is not None and place != self.place:
            raise Invalid("scan the cell on channel {place} first, or undo", place=self.shown(self.place))
        return self._paired(self.cell, place) if self.cell else replace(self, place=place)

    def _paired(self, cell: str, place: Place) -> Self:
        return replace(self, cells={**self.cells, place: cell}, cell="", place=None)

    def undone(self) -> Self:
        """Return the load without the scan that waits; where none waits, without the cell put on last."""
        if self.cell or self.place:
            return replace(self, cell="", place=None)
        if not self.cells:
            raise Invalid("there is nothing to undo")
        return self.without([list(self.cells)[-1]])

    def without(self, places: Iterable[Place]) -> Self:
        """Return the load with these places empty."""
        gone = set(places)
        kept = {place: cell for place, cell in self.cells.items() if place not in gone}
        outcomes = {cell: words for cell, words in self.outcomes.items() if cell in kept.values()}
        return replace(self, cells=kept, outcomes=outcomes)

    def after(self, cell: str, words: str) -> Self:
        """Return the load with what came of a cell, in words; no words: it was measured."""
        return replace(self, outcomes={**self.outcomes, cell: words})

    def awaited(self) -> Self:
        """Return the load as if nothing on it had been measured."""
        return replace(self, outcomes={})

    def where(self, cell: str) -> Place | None:
        """Return where a cell is."""
        return next((place for place, known in self.cells.items() if known == cell), None)

    @property
    def todo(self) -> dict[Place, str]:
        """Return the cells without outcome, in the order of the channels."""
        return {p: cell for p, cell in sorted(self.cells.items()) if cell not in self.outcomes}

    @property
    def missed(self) -> dict[Place, str]:
        """Return the cells that could not be measured, in the order of the channels."""
        return {p: cell for p, cell in sorted(self.cells.items()) if self.outcomes.get(cell)}

    def on(self, rack: int) -> dict[int, str]:
        """Return the cells of one rack by channel."""
        return {place.channel: cell for place, cell in sorted(self.cells.items()) if place.rack == rack}

    def shown(self, place: Place) -> str:
        """Return a channel as it is scanned: with one rack, the rack is left out."""
        return str(place) if self.racks > 1 else str(place.channel)

    def to_json(self) -> dict[str, Any]:
        """Return the load as JSON values."""
        return {
            "racks": self.racks,
            "cells": {str(place): cell for place, cell in self.cells.items()},
            "outcomes": dict(self.outcomes),
            "cell": self.cell,
            "place": str(self.place) if self.place else "",
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], racks: int = 1) -> Self:
        """Read what `to_json` wrote; what is on a rack that is no more is left out."""
        racks = int(document.get("racks", racks))
        cells = {
            place: str(cell)
            for text, cell in document.get("cells", {}).items()
            if (place := read_place(text, racks)) is not None
        }
        waiting = read_place(str(document.get("place", "")), racks)
        return cls(racks, cells, dict(document.get("outcomes", {})), str(document.get("cell", "")), waiting)


def read_place(scan: str, racks: int = 1) -> Place | None:
    """Read a channel, `101` or `2:101` on the second rack; None where it is none that is there."""
    first, mark, last = scan.strip().rpartition(":")
    if not (last.isascii() and last.isdecimal()) or (mark and not (first.isascii() and first.isdecimal())):
        return None
    place = Place(int(first) if mark else 1, int(last))
    return place if place.channel in RELAYS and 1 <= place.rack <= racks else None


def is_command(scan: str) -> bool:
    """Say whether a scan is meant for a channel, there or not, or for the station itself."""
    return scan.lower() == UNDO or re.fullmatch(r"(\d{1,2}:)?\d{1,4}", scan, re.ASCII) is not None
