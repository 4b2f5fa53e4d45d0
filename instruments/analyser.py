"""Fast analysers, which give a state of health of their own in seconds: the interface, and a simulated one.

No maker publishes a protocol, so a real one is an adapter of its maker's or yours: a class with these two
methods, named in the entry point group `meguri.analysers`. What it says is recorded as the vendor's value,
beside what the spectrum says, and never mixed into it.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Protocol

import numpy as np

from instruments.commands import Identity
from instruments.spectra import Aged
from schemas.errors import Invalid, Unknown

GROUP = "meguri.analysers"


@dataclass(frozen=True)
class Analysis:
    """What an analyser says of one cell, as it says it."""

    cell: str
    soh_pct: float
    resistance_ohm: float
    voltage_v: float
    seconds: float
    analyser: Identity
    raw: str = field(repr=False, default="")

    def __post_init__(self) -> None:
        figures = (self.soh_pct, self.resistance_ohm, self.voltage_v, self.seconds)
        if not all(map(math.isfinite, figures)) or not 0 <= self.soh_pct <= 150:  # noqa: PLR2004
            raise Invalid("the analyser's figures of {cell} are no figures of a cell", cell=self.cell)


class Analyser(Protocol):
    """A fast analyser at the end of its own cable."""

    def identify(self) -> Identity:
        """Ask who it is."""
        ...

    def analyse(self, cell: str) -> Analysis:
        """Analyse the cell that is connected now; blocks until done.

        Raises Unavailable (see `instruments.transport`) if it does not answer, Invalid if it sees no cell.
        """
        ...


class SimulatedAnalyser:
    """Plays an analyser on simulated cells: right within a point or so, about 10 s a cell."""

    def __init__(
        self,
        cells: Callable[[str], Aged],
        *,
        spread_pct: float = 1.0,
        nominal_s: float = 10.0,
        time_scale: float = 1.0,
        seed: int = 0,
    ) -> None:
        self._cells = cells
        self._spread_pct = spread_pct
        self._nominal_s = nominal_s
        self._time_scale = time_scale
        self._random = np.random.default_rng(seed)

    def identify(self) -> Identity:
        """Say that it is simulated."""
        return Identity("MEGURI", "FAST-ANALYSER", "SIM000000", "SIMULATED")

    def analyse(self, cell: str) -> Analysis:
        """Return the circuit's state of health with a random error."""
        aged = self._cells(cell)
        time.sleep(self._nominal_s * self._time_scale)
        shown = round(aged.soh_pct + float(self._random.normal(0, self._spread_pct)), 1)
        resistance = round(aged.circuit.impedance(1000.0).real, 5)
        return Analysis(
            cell=cell,
            soh_pct=min(max(shown, 0.0), 110.0),
            resistance_ohm=resistance,
            voltage_v=3.68,
            seconds=self._nominal_s,
            analyser=self.identify(),
            raw=f"{shown:.1f},{resistance:.5f},3.680",
        )


def analyser(name: str) -> type[Analyser]:
    """Return the analyser's adapter that a distribution brings under this name."""
    for entry in entry_points(group=GROUP, name=name):
        found: type[Analyser] = entry.load()
        return found
    raise Unknown("there is no adapter for an analyser called {name}", name=name)
