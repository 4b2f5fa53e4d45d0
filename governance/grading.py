"""Into which reuse class an item falls by its measurements, or which of them are missing to tell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from governance.framework import Grade, Need


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured quantity, with its interval if it has one."""

    value: Decimal
    lower: Decimal | None = None
    upper: Decimal | None = None

    @property
    def least(self) -> Decimal:
        """Return the least it may truly be."""
        return self.value if self.lower is None else self.lower

    @property
    def most(self) -> Decimal:
        """Return the most it may truly be."""
        return self.value if self.upper is None else self.upper


@dataclass(frozen=True, slots=True)
class NotGradable:
    """No class can be told before these are measured."""

    needs: tuple[str, ...]


def grade(grades: Sequence[Grade], figures: Mapping[str, Figure]) -> Grade | NotGradable:
    """Return the first class whose needs are all met.

    A class is passed over only where a limit is surely broken: if all that stands in its way is missing,
    the answer is what is missing, and not a lower class.
    """
    for one in grades:
        judged = [_meets(need, figures.get(need.measurement)) for need in one.needs]
        if all(judged):
            return one
        if False not in judged:
            missing = (n.measurement for n, met in zip(one.needs, judged, strict=True) if met is None)
            return NotGradable(tuple(missing))
    return NotGradable(())


def _meets(need: Need, figure: Figure | None) -> bool | None:
    if figure is None:
        return None
    if need.interval_at_most is not None and figure.most - figure.least > need.interval_at_most:
        return False
    if need.at_least is not None and figure.least < need.at_least:
        return False
    return need.at_most is None or figure.most <= need.at_most
