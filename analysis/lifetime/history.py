"""What is known of one cell's fade: observations in order, checked once."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from schemas.errors import Invalid

HIGHEST_SOH_PCT = 150.0
VERSION: Final = "1.1"
"""The version of every method here: they are one tool, released together."""


@dataclass(frozen=True, slots=True)
class Observation:
    """State of health in % after so many cycles, with the standard deviation it was measured with."""

    cycle: float
    soh_pct: float
    sd_pct: float = 0.0


@dataclass(frozen=True, slots=True)
class History:
    """Observations of one cell in strictly rising order of cycles; raises Invalid for anything else."""

    observations: tuple[Observation, ...]

    def __post_init__(self) -> None:
        if not self.observations:
            raise Invalid("The history is empty.")
        for seen in self.observations:
            if not all(map(math.isfinite, (seen.cycle, seen.soh_pct, seen.sd_pct))):
                raise Invalid("The history holds a figure that is not a finite number.")
            if seen.cycle < 0:
                raise Invalid("A cycle count is negative: {cycle:g}.", cycle=seen.cycle)
            if not 0 < seen.soh_pct <= HIGHEST_SOH_PCT:
                raise Invalid(
                    "State of health {soh:g} % at cycle {cycle:g} is not between 0 and {most:g} %.",
                    soh=seen.soh_pct,
                    cycle=seen.cycle,
                    most=HIGHEST_SOH_PCT,
                )
            if seen.sd_pct < 0:
                raise Invalid("A standard deviation is negative: {sd:g}.", sd=seen.sd_pct)
        for before, after in pairwise(self.observations):
            if after.cycle == before.cycle:
                raise Invalid("Cycle {cycle:g} stands in the history twice.", cycle=after.cycle)
            if after.cycle < before.cycle:
                raise Invalid("The history is not in order: cycle {cycle:g} comes late.", cycle=after.cycle)

    @property
    def first(self) -> float:
        """Return the first observed cycle."""
        return self.observations[0].cycle

    @property
    def last(self) -> float:
        """Return the last observed cycle."""
        return self.observations[-1].cycle
