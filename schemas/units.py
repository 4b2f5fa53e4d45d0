"""The units that names end in (`mass_kg`, `fuel_economy_km_per_l`): how each is shown, and its UCUM code."""

from collections.abc import Mapping
from types import MappingProxyType

UNITS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "pct": ("%", "%"),
        "km": ("km", "km"),
        "kg": ("kg", "kg"),
        "g": ("g", "g"),
        "ohm": ("Ω", "Ohm"),
        "v": ("V", "V"),
        "a": ("A", "A"),
        "ah": ("Ah", "A.h"),
        "w": ("W", "W"),
        "wh": ("Wh", "W.h"),
        "kwh": ("kWh", "kW.h"),
        "c": ("°C", "Cel"),
        "hz": ("Hz", "Hz"),
        "s": ("s", "s"),
        "h": ("h", "h"),
        "d": ("d", "d"),
        "month": ("month", "mo"),
        "l": ("L", "L"),
        "jpy": ("yen", ""),  # UCUM has no currencies
        "count": ("", "1"),
        "share": ("", "1"),
    }
)


def unit_of(name: str) -> tuple[str, str] | None:
    """Return how the unit that a name ends in is shown, and its UCUM code; None where it ends in none."""
    *words, last = name.split("_")
    if not words or last not in UNITS:
        return None
    shown, code = UNITS[last]
    if words[-1] != "per":
        return shown, code
    upper = UNITS.get(words[-2]) if len(words) > 2 else None  # noqa: PLR2004, a name, a unit and “per”
    code = f"({code})" if "." in code else code
    return (f"{upper[0]}/{shown}", f"{upper[1]}/{code}") if upper else (f"1/{shown}", f"/{code}")
