"""Into which reuse class an item falls by its measurements, or which of them are missing to tell."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from governance.framework import Grade, Need
from schemas.claims import DiagnosisResult
from schemas.units import unit_of


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


# How the field writes these quantities, in every language; another goes by its field's name.
SIGNS = {
    "soh_pct": "SOH",
    "capacity_ah": "C",
    "ohmic_resistance_ohm": "R₀",
    "dc_resistance_ohm": "R(DC)",
    "open_circuit_voltage_v": "OCV",
    "self_discharge_pct_per_month": "SD",
}
WORDS = ("class {grade} because {facts}", "not gradable: needs {needs}", "class {grade}: it asks for nothing")


def because(grades: Sequence[Grade], figures: Mapping[str, Figure]) -> str:
    """Return the answer in words: `class A because …`, or `not gradable: needs …`."""
    found = grade(grades, figures)
    if isinstance(found, NotGradable):
        return WORDS[1].format(needs=", ".join(SIGNS.get(name, name) for name in found.needs) or "–")
    # A class that asks for nothing is reached by what kept the item from the others.
    needs = found.needs or next((one.needs for one in reversed(grades) if one.needs), ())
    facts = [_fact(need, figures[need.measurement]) for need in needs if need.measurement in figures]
    return WORDS[0 if facts else 2].format(grade=found.name, facts="; ".join(facts))


def _fact(need: Need, figure: Figure) -> str:
    """Say a figure and its limits in signs, which every reader reads in their own language."""
    told = f"{figure.least}" if figure.least == figure.most else f"{figure.least}–{figure.most}"
    limits = (("≥", need.at_least), ("≤", need.at_most), ("±", need.interval_at_most))
    asked = ", ".join(f"{sign} {limit}" for sign, limit in limits if limit is not None)
    sign, (unit, _) = SIGNS.get(need.measurement, need.measurement), unit_of(need.measurement) or ("", "")
    return f"{sign} {told}{' ' if unit else ''}{unit} ({'✓' if _meets(need, figure) else '✗'} {asked})"


def figures_of(results: Iterable[DiagnosisResult]) -> dict[str, Figure]:
    """Return what an item's results state, given oldest first: of each quantity the newest.

    A newer result that gives no state of health takes the older one's place: it is then not known. So with
    any quantity that a newer test could not tell.
    """
    found: dict[str, Figure] = {}
    for result in results:
        stated = {one.quantity: one for one in result.figures}
        if result.not_assessable:
            for name in stated or ("soh_pct",):
                found.pop(name, None)
        for name in DiagnosisResult.model_fields:
            value = getattr(result, name)
            if name == "soh_pct" and value is not None:
                found[name] = Figure(value, result.lower_pct, result.upper_pct)
            elif isinstance(value, Decimal):
                told = stated.get(name)
                found[name] = Figure(value, told.lower, told.upper) if told else Figure(value)
    return found


def worst_of(parts: Sequence[Mapping[str, Figure]]) -> dict[str, Figure]:
    """Return what a whole is known for by its parts: what every part has, as wide as all of them."""
    named = set.intersection(*(set(part) for part in parts)) if parts else set()
    found = {}
    for name in named:
        least, most = min(part[name].least for part in parts), max(part[name].most for part in parts)
        found[name] = Figure(least, least, most)
    return found


def _meets(need: Need, figure: Figure | None) -> bool | None:
    if figure is None:
        return None
    if need.interval_at_most is not None and figure.most - figure.least > need.interval_at_most:
        return False
    if need.at_least is not None and figure.least < need.at_least:
        return False
    return need.at_most is None or figure.most <= need.at_most
