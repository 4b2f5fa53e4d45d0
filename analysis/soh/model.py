"""A model of one cell type's state of health, trained on measured cells and kept as plain JSON.

It holds, for each temperature and state of charge it was trained at, what each algorithm learnt there.
Every figure of its quality comes from cells left out; every gate's limit comes from the training cells too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from analysis.result import Check, Domain, Estimate, NotAssessable, Range, digest
from analysis.soh import likeness
from analysis.soh.algorithms import GPR, POLARISATION, Algorithm, Learned, algorithms, shapes
from analysis.soh.likeness import Likeness
from analysis.soh.samples import GRID_HZ, Sample, digest_of
from analysis.soh.spectrum import kramers_kronig_residual
from schemas.errors import Invalid, Unknown

type Array = np.ndarray

FORMAT = "meguri.soh-model/1"
METHOD, VERSION = "reconciled-spectrum", "1.0"
COVERAGE = 0.9
MINIMUM_CELLS = 10
NEAR = (2.0, 5.0)  # °C and % of charge around a trained condition, where its neighbours tell the way
NEAR_ALONE = (1.0, 2.0)
CORRECTION_SHARE = 0.25
BAND_HZ = (0.098, 1020.0)
RESIDUAL_FACTOR = 1.4
LIKENESS_SHARE = 0.98
LIKENESS_FACTOR = 1.5
DISAGREEMENT_FACTOR = 1.5
BEYOND_PCT = 3.0


@dataclass(frozen=True, slots=True)
class Fit:
    """What one algorithm learnt at one condition, and what it did there on cells it had not seen."""

    algorithm: str
    version: str
    learned: Learned
    centre: tuple[float, ...]
    rmse_pct: float
    half_width_pct: float
    weight: float


@dataclass(frozen=True, slots=True)
class Condition:
    """One temperature and state of charge the model was trained at."""

    temperature_c: float
    soc_pct: float
    cells: int
    soh_pct: tuple[float, float]
    fits: tuple[Fit, ...]
    rmse_pct: float
    half_width_pct: float
    disagreement_limit_pct: float
    residual_limit: float
    drift_limit_ohm: float
    likeness: Likeness


@dataclass(frozen=True, slots=True)
class Finding:
    """What one algorithm says; without an interval where it was not calibrated."""

    algorithm: str
    version: str
    value: float
    lower: float | None
    upper: float | None
    weight: float


@dataclass(frozen=True, slots=True)
class Assessment:
    """The answer for one spectrum, every gate it was put to, and what each algorithm says."""

    name: str
    answer: Estimate | NotAssessable
    findings: tuple[Finding, ...] = ()

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values: value and interval, or the reason for none, and the gates."""
        found = self.answer
        assessed = isinstance(found, Estimate)
        return {
            "spectrum": self.name,
            "assessable": assessed,
            "value": found.value if isinstance(found, Estimate) else None,
            "interval": [found.lower, found.upper] if isinstance(found, Estimate) else None,
            "coverage": COVERAGE,
            "unit": "%",
            "reason": None if isinstance(found, Estimate) else found.reason,
            "words": None if isinstance(found, Estimate) else "not assessable: " + found.words,
            "gates": [
                {"name": c.name, "figure": c.figure, "limit": c.limit, "passed": c.passed}
                for c in found.checks
            ],
            "algorithms": [
                {
                    "name": f.algorithm,
                    "version": f.version,
                    "value": f.value,
                    "interval": None if f.lower is None else [f.lower, f.upper],
                    "weight": f.weight,
                }
                for f in self.findings
            ],
            "method": found.method,
            "version": found.version,
            "inputs_digest": found.inputs_digest,
        }


@dataclass(frozen=True)
class Model:
    """A trained model; `document` is all of it as JSON."""

    cell_model: str
    conditions: tuple[Condition, ...]
    likeness_limit: float
    margin_limit: float
    training: Mapping[str, Any]

    @cached_property
    def document(self) -> dict[str, Any]:
        """Return the model as JSON values, with its card in words."""
        return {
            "format": FORMAT,
            "cell_model": self.cell_model,
            "method": METHOD,
            "version": VERSION,
            "coverage": COVERAGE,
            "card": self.card,
            "training": dict(self.training),
            "likeness_limit": self.likeness_limit,
            "margin_limit": self.margin_limit,
            "conditions": [_plain(condition) for condition in self.conditions],
        }

    @cached_property
    def digest(self) -> str:
        """Return the digest of the document."""
        return digest(self.document)

    @property
    def card(self) -> dict[str, Any]:
        """Say in words what the model is for, how good it is, and what it cannot do."""
        low = min(c.soh_pct[0] for c in self.conditions)
        high = max(c.soh_pct[1] for c in self.conditions)
        cells, spectra = self.training["cells"], self.training["spectra"]
        return {
            "purpose": CARD["purpose"].format(model=self.cell_model),
            "training": CARD["training"].format(cells=cells, spectra=spectra, low=low, high=high),
            "quality": [
                CARD["quality"].format(
                    temperature=c.temperature_c,
                    charge=c.soc_pct,
                    error=c.rmse_pct,
                    coverage=COVERAGE,
                    half=c.half_width_pct,
                )
                for c in self.conditions
            ],
            "limits": CARD["limits"],
        }

    @classmethod
    def of(cls, document: Any) -> "Model":
        """Read a model's document; raise Invalid if it is anything else."""
        if not isinstance(document, Mapping) or document.get("format") != FORMAT:
            raise Invalid("this is no model in the format {format}", format=FORMAT)
        if (document.get("method"), document.get("version")) != (METHOD, VERSION):
            raise Invalid(
                "the model was made by {method} {version}; this is {ours}",
                method=document.get("method"),
                version=document.get("version"),
                ours=f"{METHOD} {VERSION}",
            )
        try:
            return cls(
                cell_model=str(document["cell_model"]),
                conditions=tuple(map(_condition, document["conditions"])),
                likeness_limit=float(document["likeness_limit"]),
                margin_limit=float(document["margin_limit"]),
                training=dict(document["training"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Invalid("the model cannot be read: {error}", error=repr(error)) from error

    def assess(self, samples: Sequence[Sample]) -> tuple[Assessment, ...]:
        """Give each sample's state of health, or the reason why there is none."""
        return tuple(self._assess(sample) for sample in samples)

    def _assess(self, sample: Sample) -> Assessment:
        spectrum = sample.spectrum
        if not spectrum.finite:
            return _no(sample, "non-finite", WORDS["non-finite"])
        refusal = _refused(sample, self.cell_model)
        if refusal:
            return _no(sample, *refusal)
        condition = self._condition(float(spectrum.temperature_c or 0), float(spectrum.soc_pct or 0))
        if condition is None:
            return _no(sample, *self._away(sample))
        shape = shapes([sample])
        if not np.isfinite(shape).all():
            words = WORDS["frequencies"].format(low=GRID_HZ[-1], high=GRID_HZ[0])
            return _no(sample, "frequencies", words)
        return self._answer(sample, condition, shape)

    def _answer(self, sample: Sample, condition: Condition, shape: Array) -> Assessment:
        findings, moved = self._findings(sample, condition)
        value, disagreement = reconcile(findings)
        checks = (
            *_steadiness(sample, condition),
            *self._likeness_checks(sample, condition, shape),
            _check("disagreement", disagreement, condition.disagreement_limit_pct),
            _check("range", _beyond(value, condition.soh_pct), BEYOND_PCT),
        )
        for check in checks:
            if not check.passed:
                low, high = condition.soh_pct
                words = WORDS[check.name].format(
                    figure=check.figure, limit=check.limit, model=self.cell_model, low=low, high=high
                )
                return _no(sample, check.name, words, checks, findings)
        half = condition.half_width_pct + CORRECTION_SHARE * abs(value - moved)
        return Assessment(
            sample.name,
            Estimate(
                value=value,
                lower=value - half,
                upper=value + half,
                coverage=COVERAGE,
                unit="%",
                method=METHOD,
                version=VERSION,
                model_digest=self.digest,
                inputs_digest=digest(sample.plain()),
                domain=self.domain(condition),
                checks=checks,
            ),
            findings,
        )

    def domain(self, condition: Condition) -> Domain:
        """Return where the answers at `condition` hold."""
        near_c, near_pct = self._near
        at_c, at_pct = condition.temperature_c, condition.soc_pct
        return Domain(
            subject=self.cell_model,
            ranges=(
                Range("temperature_c", at_c - near_c, at_c + near_c),
                Range("soc_pct", at_pct - near_pct, at_pct + near_pct),
                Range("frequency_hz", *BAND_HZ),
                Range("soh_pct", condition.soh_pct[0] - BEYOND_PCT, condition.soh_pct[1] + BEYOND_PCT),
            ),
            words=f"Trained on {condition.cells} cells at {at_c:g} °C and {at_pct:g} % state of charge.",
        )

    @cached_property
    def _near(self) -> tuple[float, float]:
        several = len({c.temperature_c for c in self.conditions}) > 1
        charges = len({c.soc_pct for c in self.conditions}) > 1
        return NEAR[0] if several else NEAR_ALONE[0], NEAR[1] if charges else NEAR_ALONE[1]

    def _condition(self, temperature_c: float, soc_pct: float) -> Condition | None:
        """Return the nearest condition that is near enough."""
        near_c, near_pct = self._near

        def distance(c: Condition) -> float:
            return max(abs(temperature_c - c.temperature_c) / near_c, abs(soc_pct - c.soc_pct) / near_pct)

        nearest = min(self.conditions, key=distance)
        return nearest if distance(nearest) <= 1 else None

    def _away(self, sample: Sample) -> tuple[str, str]:
        temperature = sample.spectrum.temperature_c or 0.0
        near_c = self._near[0]
        if all(abs(temperature - c.temperature_c) > near_c for c in self.conditions):
            known = ", ".join(f"{t:g}" for t in sorted({c.temperature_c for c in self.conditions}))
            return "temperature", WORDS["temperature"].format(at=temperature, near=near_c, known=known)
        known = ", ".join(f"{q:g}" for q in sorted({c.soc_pct for c in self.conditions}))
        return "state-of-charge", WORDS["state-of-charge"].format(
            at=sample.spectrum.soc_pct, near=self._near[1], temperature=temperature, known=known
        )

    def _findings(self, sample: Sample, condition: Condition) -> tuple[tuple[Finding, ...], float]:
        """Return what each algorithm says, and what they would say together without the correction."""
        findings, plain = [], []
        for fit in condition.fits:
            algorithm = _known(fit.algorithm, fit.version)
            x = algorithm.features([sample])
            if not np.isfinite(x).all():
                continue
            factor = self._factor(sample, condition, fit)
            value = float(algorithm.predict(fit.learned, x * factor)[0])
            raw = value if (factor == 1).all() else float(algorithm.predict(fit.learned, x)[0])
            half = fit.half_width_pct + CORRECTION_SHARE * abs(value - raw)
            findings.append(
                Finding(fit.algorithm, fit.version, value, value - half, value + half, fit.weight)
            )
            plain.append(Finding(fit.algorithm, fit.version, raw, None, None, fit.weight))
        vendor = sample.vendor_soh_pct
        if vendor is not None and all(f.algorithm != "vendor" for f in findings):
            findings.append(Finding("vendor", "1.0", vendor, None, None, 0.0))
        return tuple(findings), reconcile(plain)[0]

    def _factor(self, sample: Sample, condition: Condition, fit: Fit) -> Array:
        """Return by what to multiply each feature to bring it to the condition's temperature and charge.

        ln|x| of the typical cell is interpolated by a parabola through the three nearest trained
        temperatures at this charge, and likewise charges at this temperature.
        """
        at = (float(sample.spectrum.temperature_c or 0), float(sample.spectrum.soc_pct or 0))
        here = (condition.temperature_c, condition.soc_pct)
        log_factor = np.zeros(len(fit.centre))
        for axis in (0, 1):
            if at[axis] == here[axis]:
                continue
            row = [
                (position[axis], centre)
                for position, centre in self._centres(fit.algorithm)
                if position[1 - axis] == here[1 - axis]
            ]
            row = sorted(row, key=lambda each: abs(each[0] - here[axis]))[:3]
            centres = np.array([centre for _, centre in row])
            same = (np.sign(centres) == np.sign(centres[0])).all(axis=0) & (centres[0] != 0)
            logs = np.log(np.abs(np.where(same, centres, 1.0)))
            places = [place for place, _ in row]
            log_factor += _parabola(places, logs, here[axis]) - _parabola(places, logs, at[axis])
        return np.exp(log_factor)

    def _centres(self, algorithm: str) -> list[tuple[tuple[float, float], tuple[float, ...]]]:
        return [
            ((c.temperature_c, c.soc_pct), fit.centre)
            for c in self.conditions
            for fit in c.fits
            if fit.algorithm == algorithm
        ]

    def _likeness_checks(self, sample: Sample, condition: Condition, shape: Array) -> tuple[Check, ...]:
        fit = next((f for f in condition.fits if f.algorithm == GPR.name), None)
        factor = np.ones(shape.shape[1]) if fit is None else self._factor(sample, condition, fit)
        own = self.conditions.index(condition)
        figures = [c.likeness.figures(shape * factor if c is condition else shape) for c in self.conditions]
        margin = likeness.margins([float(f[1][0]) for f in figures], own)
        return (
            _check("likeness", float(figures[own][0][0]), self.likeness_limit),
            _check("other-conditions", margin, self.margin_limit),
        )


def train(samples: Sequence[Sample], cell_model: str, *, source: str = "") -> Model:
    """Train on measured cells of one model, and state what the result does on cells left out.

    Each sample needs its cell, temperature, state of charge and measured state of health. A condition is
    used when at least ten cells were measured there; Invalid is raised when there is none.
    """
    good = [s for s in samples if s.spectrum.finite and s.soh_pct is not None and not s.faults]
    groups: dict[tuple[float, float], list[Sample]] = {}
    for sample in good:
        at = (sample.spectrum.temperature_c, sample.spectrum.soc_pct)
        if at[0] is None or at[1] is None or not sample.cell:
            raise Invalid(
                "training needs the cell, temperature and charge of {spectrum}", spectrum=sample.name
            )
        if sample.spectrum.cell_model != cell_model:
            raise Invalid("{spectrum} is of another cell model", spectrum=sample.name)
        if np.isfinite(shapes([sample])).all():
            groups.setdefault((at[0], at[1]), []).append(sample)
    groups = {at: g for at, g in sorted(groups.items()) if len({s.cell for s in g}) >= MINIMUM_CELLS}
    if not groups:
        raise Invalid(
            "a model needs spectra from 0.1 Hz to 1 kHz of {cells} cells at one temperature and charge",
            cells=MINIMUM_CELLS,
        )
    used = [sample for group in groups.values() for sample in group]
    scale = shapes(used).std(axis=0) + 1e-12
    conditions = tuple(_trained(at, group, scale) for at, group in groups.items())
    likeness_limit, margin_limit = _likeness_limits(list(groups.values()), scale)
    return Model(
        cell_model=cell_model,
        conditions=conditions,
        likeness_limit=likeness_limit,
        margin_limit=margin_limit,
        training={
            "digest": digest_of(used),
            "spectra": len(used),
            "cells": len({s.cell for s in used}),
            "source": source,
        },
    )


def reconcile(findings: Sequence[Finding]) -> tuple[float, float]:
    """Return the weighted mean of the findings and their weighted standard deviation, in points.

    Weights are those of the training: one over the mean squared error on cells left out, for algorithms that
    a steady contact resistance leaves alone, and nothing for the others.
    """
    weights = np.array([f.weight for f in findings])
    values = np.array([f.value for f in findings])
    mean = float(weights @ values / weights.sum())
    return mean, float(np.sqrt(weights @ (values - mean) ** 2 / weights.sum()))


def conformal(worst: Sequence[float], coverage: float = COVERAGE) -> float:
    """Return the half-width that covers a new cell with probability `coverage`.

    It is the (coverage·(m + 1))-th smallest of the m left-out cells' largest absolute residuals, between two
    of them interpolated, the largest where there are too few. Source: J. Lei et al., JASA 113 (2018) 1094.
    """
    ordered = np.sort(np.asarray(worst, dtype=float))
    rank = min(coverage * (len(ordered) + 1), float(len(ordered)))
    return float(np.interp(rank, np.arange(1, len(ordered) + 1), ordered))


def _trained(at: tuple[float, float], group: Sequence[Sample], scale: Array) -> Condition:
    y = np.array([s.soh_pct for s in group], dtype=float)
    cells = np.array([s.cell for s in group])
    fits, predictions = [], []
    for algorithm in algorithms().values():
        x = algorithm.features(group)
        if not np.isfinite(x).all():
            continue
        out = algorithm.left_out(x, y, cells)
        rmse = float(np.sqrt(np.mean((out - y) ** 2)))
        weight = 1 / max(rmse, 0.01) ** 2 if algorithm.steady else 0.0
        centre = tuple(float(v) for v in np.median(x, axis=0))
        half = conformal(_worst(out - y, cells))
        learned = algorithm.learn(x, y)
        fits.append(Fit(algorithm.name, algorithm.version, learned, centre, rmse, half, weight))
        predictions.append(out)
    weights = np.array([fit.weight for fit in fits])
    together = weights @ np.array(predictions) / weights.sum()
    spread = np.sqrt(weights @ (np.array(predictions) - together) ** 2 / weights.sum())
    slope = next((f.learned["slope"] for f in fits if f.algorithm == POLARISATION.name), None)
    return Condition(
        temperature_c=at[0],
        soc_pct=at[1],
        cells=len(set(cells)),
        soh_pct=(float(y.min()), float(y.max())),
        fits=tuple(fits),
        rmse_pct=float(np.sqrt(np.mean((together - y) ** 2))),
        half_width_pct=conformal(_worst(together - y, cells)),
        disagreement_limit_pct=DISAGREEMENT_FACTOR * float(spread.max()),
        residual_limit=RESIDUAL_FACTOR * max(_residual(s) for s in group),
        # As much as moves the polarisation resistance's estimate by one point.
        drift_limit_ohm=1 / max(abs(slope), 1e-6) if slope else math.inf,
        likeness=likeness.learn(shapes(group), scale),
    )


def _worst(residuals: Array, cells: Array) -> list[float]:
    return [float(np.abs(residuals[cells == cell]).max()) for cell in np.unique(cells)]


def _likeness_limits(groups: Sequence[Sequence[Sample]], scale: Array) -> tuple[float, float]:
    """Return the limits of distance and margin from what each left-out cell shows at its own conditions."""
    x = [shapes(group) for group in groups]
    owner = [np.array([s.cell for s in group]) for group in groups]
    distances: list[float] = []
    for cell in sorted({c for each in owner for c in each}):
        for rows, cells in zip(x, owner, strict=True):
            out = cells == cell
            if out.any():
                distances += likeness.learn(rows[~out], scale).figures(rows[out])[0].tolist()
    return LIKENESS_FACTOR * conformal(distances, LIKENESS_SHARE), 0.0


def _residual(sample: Sample) -> float:
    spectrum = sample.spectrum
    inside = [i for i, f in enumerate(spectrum.frequencies_hz) if BAND_HZ[0] <= f <= BAND_HZ[1]]
    return kramers_kronig_residual(
        tuple(spectrum.frequencies_hz[i] for i in inside),
        tuple(spectrum.real_ohm[i] for i in inside),
        tuple(spectrum.imag_ohm[i] for i in inside),
    )


def _steadiness(sample: Sample, condition: Condition) -> tuple[Check, ...]:
    opening, closing = sample.spectrum.at(1000.0), sample.spectrum.closing_1khz_ohm
    drift = None if opening is None or closing is None else abs(closing.real - opening.real)
    return (
        _check("contact-drift", drift, condition.drift_limit_ohm),
        _check("kramers-kronig", _residual(sample), condition.residual_limit),
    )


def _refused(sample: Sample, cell_model: str) -> tuple[str, str] | None:
    spectrum = sample.spectrum
    if sample.faults:
        return "fault", WORDS["fault"].format(faults=", ".join(sample.faults))
    if spectrum.cell_model != cell_model:
        return "cell-model", WORDS["cell-model"].format(model=cell_model, other=spectrum.cell_model)
    if spectrum.temperature_c is None:
        return "temperature", WORDS["no-temperature"]
    if spectrum.soc_pct is None:
        return "state-of-charge", WORDS["no-charge"]
    if any(f <= 0 for f in spectrum.frequencies_hz) or any(r <= 0 for r in spectrum.real_ohm):
        return "negative", WORDS["negative"]
    if len(set(spectrum.frequencies_hz)) < len(spectrum.frequencies_hz):
        return "frequencies", WORDS["twice"]
    return None


def _check(name: str, figure: float | None, limit: float) -> Check:
    return Check(name, figure, limit, figure is None or figure <= limit)


def _beyond(value: float, soh_pct: tuple[float, float]) -> float:
    return max(soh_pct[0] - value, value - soh_pct[1], 0.0)


CARD = {
    "purpose": "State of health, as capacity in % of new, of cells of model {model} from their impedance "
    "between 0.1 Hz and 1 kHz.",
    "training": "{cells} cells, {spectra} spectra, {low:g} to {high:g} % of new.",
    "quality": "{temperature:g} °C, {charge:g} %: root mean square error {error:.2f} points on cells left "
    "out, {coverage:.0%} interval ± {half:.2f} points",
    "limits": "It answers for this cell model only, near the temperatures and states of charge it was "
    "trained at, and within the states of health it has seen. Impedance does not prove capacity: a standard "
    "that asks for a measured capacity is not met by this. A small error in the temperature or charge that "
    "is reported cannot be seen.",
}

# Whole sentences, so that a reader's language can have its own.
WORDS = {
    "non-finite": "A figure of the measurement is not a finite number.",
    "fault": "The instrument reported {faults}.",
    "cell-model": "The model is for cells of model {model}, not {other}.",
    "no-temperature": "Temperature was not recorded.",
    "no-charge": "State of charge was not recorded.",
    "temperature": "{at:g} °C is not within {near:g} °C of {known} °C.",
    "state-of-charge": "{at:g} % is not within {near:g} of a charge that was trained at {temperature:g} °C "
    "({known} %).",
    "negative": "A frequency or the real part of an impedance is zero or negative.",
    "twice": "A frequency was measured twice.",
    "frequencies": "The sweep must reach from {low:g} Hz to {high:g} Hz without a gap of more than a factor "
    "of two.",
    "contact-drift": "The contact changed while measuring: 1 kHz read {figure:.6f} ohm differently at the "
    "end, and {limit:.6f} is allowed.",
    "kramers-kronig": "The spectrum is not one of a steady cell: its Kramers-Kronig residual is "
    "{figure:.4f}, and {limit:.4f} is allowed.",
    "likeness": "The spectrum does not look like one of model {model} at this temperature and charge: its "
    "distance is {figure:.1f}, and {limit:.1f} is allowed.",
    "other-conditions": "The spectrum looks more like one taken at another temperature or charge than was "
    "reported.",
    "disagreement": "The algorithms disagree by {figure:.1f} points, and {limit:.1f} is allowed.",
    "range": "The answer lies {figure:.1f} points outside the {low:g} to {high:g} % the model has seen.",
}


def _no(
    sample: Sample,
    reason: str,
    words: str,
    checks: tuple[Check, ...] = (),
    findings: tuple[Finding, ...] = (),
) -> Assessment:
    inputs = digest(sample.plain()) if sample.spectrum.finite else None
    checks = checks or (Check(reason, None, 0.0, False),)
    return Assessment(sample.name, NotAssessable(reason, words, METHOD, VERSION, inputs, checks), findings)


def _known(name: str, version: str) -> Algorithm:
    found = algorithms().get(name)
    if found is None or found.version != version:
        raise Unknown("the model needs the algorithm {name} {version}", name=name, version=version)
    return found


def _parabola(places: Sequence[float], values: Array, at: float) -> Array:
    """Return Lagrange's interpolation through values (k, d) at k places, at most three."""
    total = np.zeros(values.shape[1])
    for i, place in enumerate(places):
        share = math.prod((at - other) / (place - other) for j, other in enumerate(places) if j != i)
        total += share * values[i]
    return total


def _plain(condition: Condition) -> dict[str, Any]:
    return {
        "temperature_c": condition.temperature_c,
        "soc_pct": condition.soc_pct,
        "cells": condition.cells,
        "soh_pct": list(condition.soh_pct),
        "rmse_pct": condition.rmse_pct,
        "half_width_pct": condition.half_width_pct,
        "disagreement_limit_pct": condition.disagreement_limit_pct,
        "residual_limit": condition.residual_limit,
        "drift_limit_ohm": condition.drift_limit_ohm,
        "likeness": condition.likeness.plain(),
        "fits": [
            {
                "algorithm": fit.algorithm,
                "version": fit.version,
                "centre": list(fit.centre),
                "rmse_pct": fit.rmse_pct,
                "half_width_pct": fit.half_width_pct,
                "weight": fit.weight,
                "learned": fit.learned,
            }
            for fit in condition.fits
        ],
    }


def _condition(values: Mapping[str, Any]) -> Condition:
    low, high = values["soh_pct"]
    numbers = (
        "temperature_c",
        "soc_pct",
        "rmse_pct",
        "half_width_pct",
        "disagreement_limit_pct",
        "residual_limit",
        "drift_limit_ohm",
    )
    return Condition(
        cells=int(values["cells"]),
        soh_pct=(float(low), float(high)),
        likeness=Likeness.of(values["likeness"]),
        fits=tuple(
            Fit(
                algorithm=str(fit["algorithm"]),
                version=str(fit["version"]),
                learned=dict(fit["learned"]),
                centre=tuple(map(float, fit["centre"])),
                rmse_pct=float(fit["rmse_pct"]),
                half_width_pct=float(fit["half_width_pct"]),
                weight=float(fit["weight"]),
            )
            for fit in values["fits"]
        ),
        **{name: float(values[name]) for name in numbers},
    )
