"""State of health from the polarisation resistance Re Z(1 Hz) - Re Z(1 kHz).

A contact resistance adds the same to both real parts and drops out of the difference, so a worn
jig shifts nothing. The line through it is fitted per cell model; its figures are data in `models/`.
"""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from analysis.result import Check, Domain, Estimate, NotAssessable, Range, digest
from analysis.soh.spectrum import Spectrum, kramers_kronig_residual
from schemas.errors import Invalid, Unknown

METHOD = "polarisation-resistance"
VERSION = "1.1"
LOW_HZ, HIGH_HZ = 1.0, 1000.0
MINIMUM_CELLS = 10


@dataclass(frozen=True, slots=True)
class Line:
    """SoH = intercept + slope * x, with its leave-one-cell-out figures."""

    intercept_pct: float
    slope_pct_per_ohm: float
    rmse_pct: float
    half_width_pct: float
    coverage: float
    cells: int


@dataclass(frozen=True, slots=True)
class Model:
    """One cell model's line, the domain it holds in, the limits of its gates and its source."""

    line: Line
    domain: Domain
    drift_limit_ohm: float
    residual_limit: float
    minimum_points: int
    source: str
    digest: str

    @property
    def cell_model(self) -> str:
        """Name the cell model."""
        return self.domain.subject


def fit(resistance_ohm: Sequence[float], soh_pct: Sequence[float], cells: Sequence[str]) -> Line:
    """Fit the line and state what it does on cells it has not seen.

    SoH = a + b·x by least squares, x = Re Z(1 Hz) - Re Z(1 kHz) in ohm, SoH in %, three sequences of
    one length. Each cell is left out in turn; RMSE is over the left-out residuals, and the conformal
    half-width is the ⌈0.9·(m+1)⌉-th smallest of the m cells' largest absolute residuals.
    Raises Invalid for fewer than 10 cells. Source: J. Lei et al., JASA 113 (2018) 1094.
    """
    names = sorted(set(cells))
    if len(names) < MINIMUM_CELLS:
        raise Invalid("A model needs at least {least} cells; these are {cells}.", least=10, cells=len(names))
    x, y, who = np.asarray(resistance_ohm), np.asarray(soh_pct), np.asarray(cells)

    def line(keep: np.ndarray) -> tuple[float, float]:
        b, a = np.polyfit(x[keep] * 1e3, y[keep], 1)
        return float(a), float(b) * 1e3

    residuals = np.empty_like(y, dtype=float)
    for name in names:
        a, b = line(who != name)
        residuals[who == name] = y[who == name] - (a + b * x[who == name])
    worst = sorted(float(np.abs(residuals[who == name]).max()) for name in names)
    intercept, slope = line(np.ones(len(y), dtype=bool))
    return Line(
        intercept_pct=intercept,
        slope_pct_per_ohm=slope,
        rmse_pct=float(np.sqrt(np.mean(residuals**2))),
        half_width_pct=worst[math.ceil(0.9 * (len(names) + 1)) - 1],
        coverage=0.9,
        cells=len(names),
    )


def resistance(spectrum: Spectrum) -> float | None:
    """Return Re Z(1 Hz) - Re Z(1 kHz) in ohm, or None where one of the two was not measured."""
    low, high = spectrum.at(LOW_HZ), spectrum.at(HIGH_HZ)
    return None if low is None or high is None else low.real - high.real


@cache
def models() -> tuple[Model, ...]:
    """Return every model that comes with the house."""
    files = sorted(resources.files("analysis.soh").joinpath("models").iterdir(), key=lambda f: f.name)
    return tuple(_model(f.read_text()) for f in files if f.name.endswith(".toml"))


def model(cell_model: str) -> Model:
    """Return the model of `cell_model`."""
    for known in models():
        if known.cell_model == cell_model:
            return known
    raise Unknown("There is no state-of-health model for cells of model {model}.", model=cell_model)


def _model(text: str) -> Model:
    figures = tomllib.loads(text)
    gates = figures["gates"]
    return Model(
        line=Line(**figures["line"]),
        domain=Domain(
            subject=figures["cell_model"],
            ranges=tuple(Range(name, *bounds) for name, bounds in figures["domain"].items()),
            words=figures["words"],
        ),
        drift_limit_ohm=gates["drift_ohm"],
        residual_limit=gates["kramers_kronig_residual"],
        minimum_points=gates["minimum_points"],
        source=figures["source"]["words"],
        digest=digest(figures),
    )


def assess(spectrum: Spectrum) -> Estimate | NotAssessable:
    """Estimate state of health in % of the capacity when new, or say why it cannot be done."""
    if not spectrum.finite:
        return _no("non-finite", "A figure of the measurement is not a finite number.")
    inputs = spectrum.digest()
    known = next((m for m in models() if m.cell_model == spectrum.cell_model), None)
    if known is None:
        return _no("cell-model", f"No model was calibrated on cells of model {spectrum.cell_model}.", inputs)
    refusal = _refused_conditions(spectrum, known) or _refused_figures(spectrum)
    if refusal:
        return _no(*refusal, inputs)
    x, band = resistance(spectrum), _band(spectrum, known)
    if x is None or len(band) < known.minimum_points:
        bounds = known.domain.range("frequency_hz")
        words = (
            f"The sweep needs 1 Hz, 1 kHz and at least {known.minimum_points} points "
            f"from {bounds.lower:g} to {bounds.upper:g} Hz; it has {len(band)}."
        )
        return _no("frequencies", words, inputs)
    checks = _checks(spectrum, known, x, band)
    for check in checks:
        if not check.passed:
            return _no(check.name, _WORDS[check.name].format(check), inputs, checks)
    value = known.line.intercept_pct + known.line.slope_pct_per_ohm * x
    return Estimate(
        value=value,
        lower=value - known.line.half_width_pct,
        upper=value + known.line.half_width_pct,
        coverage=known.line.coverage,
        unit="%",
        method=METHOD,
        version=VERSION,
        model_digest=known.digest,
        inputs_digest=inputs,
        domain=known.domain,
        checks=checks,
    )


_WORDS = {
    "contact-drift": (
        "The contact changed while measuring: 1 kHz read {0.figure:.6f} ohm differently at the end, "
        "and {0.limit:.6f} is allowed."
    ),
    "kramers-kronig": (
        "The spectrum is not one of a steady cell: its Kramers-Kronig residual is {0.figure:.4f}, "
        "and {0.limit:.4f} is allowed."
    ),
    "resistance": (
        "The polarisation resistance, {0.figure:.6f} ohm, is outside what the model was calibrated on."
    ),
}


def _no(reason: str, words: str, inputs: str | None = None, checks: tuple[Check, ...] = ()) -> NotAssessable:
    return NotAssessable(reason, words, METHOD, VERSION, inputs, checks)


def _refused_conditions(spectrum: Spectrum, known: Model) -> tuple[str, str] | None:
    for reason, quantity, figure, unit in (
        ("temperature", "temperature_c", spectrum.temperature_c, "°C"),
        ("state-of-charge", "soc_pct", spectrum.soc_pct, "%"),
    ):
        bounds = known.domain.range(quantity)
        name = reason.replace("-", " ").capitalize()
        if figure is None:
            return reason, f"{name} was not recorded."
        if not bounds.holds(figure):
            return reason, f"{name} {figure:g} {unit} is outside {bounds.lower:g} to {bounds.upper:g} {unit}."
    return None


def _refused_figures(spectrum: Spectrum) -> tuple[str, str] | None:
    if any(f <= 0 for f in spectrum.frequencies_hz) or any(r <= 0 for r in spectrum.real_ohm):
        return "negative", "A frequency or the real part of an impedance is zero or negative."
    if len(set(spectrum.frequencies_hz)) < len(spectrum.frequencies_hz):
        return "frequencies", "A frequency was measured twice."
    return None


def _band(spectrum: Spectrum, known: Model) -> list[int]:
    bounds = known.domain.range("frequency_hz")
    return [i for i, f in enumerate(spectrum.frequencies_hz) if bounds.holds(f)]


def _checks(spectrum: Spectrum, known: Model, x: float, band: list[int]) -> tuple[Check, ...]:
    opening, closing = spectrum.at(HIGH_HZ), spectrum.closing_1khz_ohm
    drift = None if opening is None or closing is None else abs(closing.real - opening.real)
    residual = kramers_kronig_residual(
        tuple(spectrum.frequencies_hz[i] for i in band),
        tuple(spectrum.real_ohm[i] for i in band),
        tuple(spectrum.imag_ohm[i] for i in band),
    )
    bounds = known.domain.range("resistance_ohm")
    return (
        Check("contact-drift", drift, known.drift_limit_ohm, drift is None or drift <= known.drift_limit_ohm),
        Check("kramers-kronig", residual, known.residual_limit, residual <= known.residual_limit),
        Check("resistance", x, bounds.upper if x > bounds.lower else bounds.lower, bounds.holds(x)),
    )
