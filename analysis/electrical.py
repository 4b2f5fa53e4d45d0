"""What tests with a cycler say of a cell: capacity, rested voltage, DC resistance, self-discharge.

An error limit ±a that an instrument's maker states is read as a uniform distribution, u = a/√3; the interval
is value ± 2·u, u by the propagation of independent errors. Source: JCGM 100:2008, 4.3.7, 5.1.2 and 6.3.
The limits below are this house's own, stricter than none and no standard's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from analysis.result import Check

VERSION = "1.0"
CAPACITY, OCV_REST = "capacity-by-discharge", "ocv-after-rest"
DC_RESISTANCE, SELF_DISCHARGE = "dc-resistance-by-pulse", "self-discharge-at-rest"
COVERAGE = 0.95
FACTOR = 2.0
ROOT3 = math.sqrt(3)
LOWEST_C, HIGHEST_C = 20.0, 30.0
CALIBRATION_D = 366.0
WINDOW_PCT = 1.0
"""How far from full and from empty a discharge may begin and end."""
LEAST_REST_S = 3600.0
TAIL_S = 1800.0
MOST_DRIFT_V_PER_H = 0.002
LEAST_SELF_DISCHARGE_H = 72.0
MONTH_H = 30.4375 * 24

WORDS: Mapping[str, str] = {
    "temperature": "{figure} °C is not between {low} and {high} °C.",
    "calibration": "The instrument was calibrated {figure} days before; {limit} are allowed.",
    "window": "The discharge went from {first} % to {last} %, not from full to empty.",
    "rest": "The rest of {figure} h is too short: {limit} h are needed.",
    "settled": "The voltage has not settled: it still moves by {figure} mV/h, and {limit} are allowed.",
    "pulse": "A pulse without a current tells no resistance.",
    "step": "The voltage moved by {figure} mV, no more than its error of {limit} mV.",
    "direction": "The voltage moved the wrong way for the direction of the current.",
    "slope": "How the charge follows the voltage is not given, and the voltage alone is no charge.",
    "gain": "More was found after the rest than before, by more than the error.",
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A figure by the name that statements have for it, half of its interval's width, and its formula."""

    name: str
    value: float
    half_width: float
    formula: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method gives: figures, or a reason why there are none, with every gate."""

    method: str
    quantities: tuple[Quantity, ...]
    checks: tuple[Check, ...]
    reason: str = ""
    words: str = ""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every test is judged by besides its own figures."""

    temperature_c: float
    calibrated_d: float


class _Closed(Exception):
    def __init__(self, check: Check, **values: object) -> None:
        super().__init__(check.name)
        self.check, self.words = check, WORDS[check.name].format(**values)


def _put(checks: list[Check], check: Check, **values: object) -> None:
    checks.append(check)
    if not check.passed:
        raise _Closed(check, **values)


def _around(checks: list[Check], seen: Surroundings) -> None:
    t, days = seen.temperature_c, seen.calibrated_d
    limit = LOWEST_C if t < LOWEST_C else HIGHEST_C
    values = {"figure": f"{t:g}", "low": f"{LOWEST_C:g}", "high": f"{HIGHEST_C:g}"}
    _put(checks, Check("temperature", t, limit, LOWEST_C <= t <= HIGHEST_C), **values)
    calibration = Check("calibration", days, CALIBRATION_D, days <= CALIBRATION_D)
    _put(checks, calibration, figure=f"{days:.0f}", limit=f"{CALIBRATION_D:.0f}")


def capacity(
    seen: Surroundings,
    *,
    discharge_ah: float,
    accuracy_pct: float,
    window_pct: tuple[float, float],
    rated_ah: float | None = None,
    energies_wh: tuple[float, float] | None = None,
) -> Answer:
    """Return the capacity, with a rated one the state of health, with both energies the efficiency.

    C = Q in Ah; SoH = 100·C/C_rated, loss = 100 − SoH and η = 100·E_discharge/E_charge in %;
    `energies_wh` is charge, discharge. The half-width is 2·C·a/√3 with a the relative error limit, √2 times
    that for η, which has two readings. Outside of 100 to 0 % (± 1) nothing is told.
    """
    checks: list[Check] = []
    u = FACTOR * accuracy_pct / 100 / ROOT3
    try:
        _around(checks, seen)
        off = max(abs(100 - window_pct[0]), abs(window_pct[1]))
        window = Check("window", off, WINDOW_PCT, off <= WINDOW_PCT)
        _put(checks, window, first=f"{window_pct[0]:g}", last=f"{window_pct[1]:g}")
    except _Closed as closed:
        return _none(CAPACITY, ("capacity_ah", *(("soh_pct",) if rated_ah else ())), checks, closed)
    found = [Quantity("capacity_ah", discharge_ah, discharge_ah * u, "C = Q_discharge")]
    if rated_ah:
        soh = 100 * discharge_ah / rated_ah
        found += [
            Quantity("soh_pct", soh, soh * u, "SoH = 100 · C / C_rated"),
            Quantity("capacity_fade_pct", 100 - soh, soh * u, "100 − 100 · C / C_rated"),
        ]
    if energies_wh:
        efficiency = 100 * energies_wh[1] / energies_wh[0]
        width = efficiency * u * math.sqrt(2)
        found.append(Quantity("efficiency_pct", efficiency, width, "η = 100 · E_discharge / E_charge"))
    return Answer(CAPACITY, tuple(found), tuple(checks))


def ocv_rest(
    seen: Surroundings, *, times_s: Sequence[float], voltages_v: Sequence[float], error_v: float
) -> Answer:
    """Return the last voltage of a rest of an hour or more that has settled; half-width 2·a/√3.

    Drift d = (U_end − U_ref)/(t_end − t_ref) in V/h, where ref is the last reading at least half an hour
    before the end; it has settled where |d| ≤ 2 mV/h. Times in s, rising; voltages in V.
    """
    checks: list[Check] = []
    rest = times_s[-1] - times_s[0]
    try:
        _around(checks, seen)
        _put_rest(checks, rest / 3600, LEAST_REST_S / 3600)
        ref = max(i for i, t in enumerate(times_s) if times_s[-1] - t >= TAIL_S)
        drift = (voltages_v[-1] - voltages_v[ref]) / (times_s[-1] - times_s[ref]) * 3600
        settled = Check("settled", drift, MOST_DRIFT_V_PER_H, abs(drift) <= MOST_DRIFT_V_PER_H)
        _put(checks, settled, figure=f"{1e3 * drift:.3g}", limit=f"{1e3 * MOST_DRIFT_V_PER_H:g}")
    except _Closed as closed:
        return _none(OCV_REST, ("ocv_v",), checks, closed)
    found = Quantity("ocv_v", voltages_v[-1], FACTOR * error_v / ROOT3, "OCV = U(t_end)")
    return Answer(OCV_REST, (found,), tuple(checks))


def dc_resistance(
    seen: Surroundings,
    *,
    current_a: float | None,
    before_v: float,
    after_v: float,
    pulse_s: float,
    accuracy_pct: float,
    error_v: float,
) -> Answer:
    """Return R(t) = (U_before − U_t)/I in Ω, t s into the pulse; I in A, positive for a discharge.

    u² = (R·u_I)² + 2·(u_U/I)², u_I the relative one of the current. No current, a step within the error
    of two voltages, or one in the wrong direction tell nothing.
    """
    checks: list[Check] = []
    current = current_a or 0.0
    step, noise = before_v - after_v, FACTOR * math.sqrt(2) * error_v / ROOT3
    try:
        _around(checks, seen)
        _put(checks, Check("pulse", abs(current), 0.0, current != 0))
        values = {"figure": f"{1e3 * step:.3g}", "limit": f"{1e3 * noise:.3g}"}
        _put(checks, Check("step", abs(step), noise, abs(step) > noise), **values)
        _put(checks, Check("direction", step / current, 0.0, step / current > 0))
    except _Closed as closed:
        return _none(DC_RESISTANCE, ("dc_resistance_ohm",), checks, closed)
    value = step / current
    u = math.hypot(value * accuracy_pct / 100 / ROOT3, math.sqrt(2) * error_v / ROOT3 / current)
    formula = f"R({pulse_s:g} s) = (U_before − U_{pulse_s:g}s) / I"
    return Answer(DC_RESISTANCE, (Quantity("dc_resistance_ohm", value, FACTOR * u, formula),), tuple(checks))


def self_discharge(
    seen: Surroundings,
    *,
    rest_h: float,
    charges_ah: tuple[float, float] | None = None,
    accuracy_pct: float = 0.0,
    voltages_v: tuple[float, float] | None = None,
    slope_pct_per_v: float | None = None,
    error_v: float = 0.0,
) -> Answer:
    """Return the charge lost in a month of rest, in %, from two capacities or two rested voltages.

    s = 100·(C₀ − C₁)/C₀·T/t, or s = k·(U₀ − U₁)·T/t with k the slope of the charge in %/V; T = 730.5 h.
    u = T/t·100·(C₁/C₀)·√2·a/√3, or T/t·k·√2·a/√3.
    """
    checks: list[Check] = []
    scale, root = MONTH_H / rest_h, math.sqrt(2) / ROOT3
    try:
        _around(checks, seen)
        _put_rest(checks, rest_h, LEAST_SELF_DISCHARGE_H)
        if charges_ah:
            first, last = charges_ah
            value, formula = 100 * (first - last) / first * scale, "s = 100 · (C₀ − C₁) / C₀ · 730.5 h / t"
            u = 100 * last / first * accuracy_pct / 100 * root * scale
        else:
            slope = slope_pct_per_v or 0.0
            _put(checks, Check("slope", slope, 0.0, slope > 0))
            first, last = voltages_v or (0.0, 0.0)
            value, formula = slope * (first - last) * scale, "s = k · (U₀ − U₁) · 730.5 h / t"
            u = slope * error_v * root * scale
        _put(checks, Check("gain", value, -FACTOR * u, value >= -FACTOR * u))
    except _Closed as closed:
        return _none(SELF_DISCHARGE, ("self_discharge_pct_per_month",), checks, closed)
    found = Quantity("self_discharge_pct_per_month", value, FACTOR * u, formula)
    return Answer(SELF_DISCHARGE, (found,), tuple(checks))


def _put_rest(checks: list[Check], rest_h: float, least_h: float) -> None:
    check = Check("rest", rest_h, least_h, rest_h >= least_h)
    _put(checks, check, figure=f"{rest_h:.3g}", limit=f"{least_h:g}")


def _none(method: str, names: Sequence[str], checks: Sequence[Check], closed: _Closed) -> Answer:
    """Name the quantities without figures: whatever was known of them before is told anew as unknown."""
    empty = tuple(Quantity(name, math.nan, math.nan, "") for name in names)
    return Answer(method, empty, tuple(checks), closed.check.name, closed.words)
