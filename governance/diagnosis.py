"""What a stored measurement says of a cell: the result of every fitting model, as the claims that state it.

Pure: the same measurement and models give the same results in any company. Each names its method, the digests
of code, model and inputs, every gate with its figure, and what each algorithm says.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from analysis.result import Check, Estimate, NotAssessable
from analysis.soh import polarisation
from analysis.soh.algorithms import VENDOR
from analysis.soh.model import Finding, Model
from analysis.soh.samples import Sample
from analysis.soh.spectrum import Spectrum
from governance.methods import method
from instruments.analyser import Analysis
from instruments.measurement import Measurement
from schemas.claims import AlgorithmResult, DiagnosisResult, Gate
from schemas.errors import Fault

GATES = (
    *("fault", "cell-model", "temperature", "state-of-charge", "frequencies", "negative", "non-finite"),
    *("contact-drift", "kramers-kronig", "likeness", "other-conditions", "disagreement", "range"),
    *("resistance", "method"),
    *("calibration", "window", "rest", "settled", "pulse", "step", "direction", "slope", "gain"),  # of tests
)

# What the polarisation resistance says besides what the models say too.
SENTENCES = (
    "No model was calibrated on cells of model {model}.",
    "Temperature {figure} °C is outside {low} to {high} °C.",
    "State of charge {figure} % is outside {low} to {high} %.",
    "The sweep needs 1 Hz, 1 kHz and at least {points} points from {low} to {high} Hz; it has {found}.",
    "The polarisation resistance, {figure} ohm, is outside what the model was calibrated on.",
    "The method broke off: {error}",
)


@dataclass(frozen=True, slots=True)
class Trained:
    """A model in use, and which company signed it."""

    model: Model
    signer: str


def results(
    measured: Measurement,
    cell_model: str,
    models: Sequence[Trained],
    measured_by: str = "",
    said: Analysis | None = None,
) -> tuple[DiagnosisResult, ...]:
    """Return each fitting model's result of a measurement, those with a state of health last.

    Where no model is for cells of `cell_model`, the polarisation resistance answers alone. `measured_by` is
    the company that measured, where another one did; `said` is what a fast analyser said of the cell, which
    stands beside the others without a voice.
    """
    spectrum = Spectrum(
        measured.frequencies_hz,
        measured.real_ohm,
        measured.imag_ohm,
        cell_model,
        measured.temperature_c,
        measured.soc_pct,
        complex(*measured.closing_ohm),
    )
    fitting = [each for each in models if each.model.cell_model == cell_model]
    found = [_by_model(measured, spectrum, each, measured_by, said) for each in fitting]
    if not found:
        answer = polarisation.assess(spectrum)
        found = [_result(measured, answer, measured_by, said=said)]
    return tuple(sorted(found, key=lambda each: each.soh_pct is not None))


def is_same(one: DiagnosisResult, other: DiagnosisResult) -> bool:
    """Say whether two results come from the same inputs, code and model."""
    named = (
        *("measurement_digest", "inputs_digest", "method", "method_version", "code_digest", "model_digest"),
        "algorithms",  # a fast analyser may have been asked since
    )
    return all(getattr(one, name) == getattr(other, name) for name in named)


def _by_model(
    measured: Measurement, spectrum: Spectrum, by: Trained, measured_by: str, said: Analysis | None
) -> DiagnosisResult:
    sample = Sample(
        measured.digest, measured.cell, spectrum, vendor_soh_pct=None if said is None else said.soh_pct
    )
    try:
        (assessment,) = by.model.assess([sample])
        answer, findings = assessment.answer, assessment.findings
    except (Fault, ArithmeticError, LookupError, ValueError) as error:
        # A model from elsewhere may break on a spectrum; that is no answer, and no reason to stop either.
        method_, version = by.model.document["method"], by.model.document["version"]
        words = f"The method broke off: {type(error).__name__}"
        answer, findings = NotAssessable("method", words, method_, version), ()
    return _result(measured, answer, measured_by, by, findings, said)


def _result(
    measured: Measurement,
    answer: Estimate | NotAssessable,
    measured_by: str,
    by: Trained | None = None,
    findings: Sequence[Finding] = (),
    said: Analysis | None = None,
) -> DiagnosisResult:
    value = answer if isinstance(answer, Estimate) else None
    known = method(answer.method, answer.version)
    at_1khz = min(
        zip(measured.frequencies_hz, measured.real_ohm, strict=True), key=lambda point: abs(point[0] - 1000)
    )
    return DiagnosisResult(
        item=measured.cell,
        measured_at=measured.finished,
        soh_pct=figure(value.value, "0.01") if value else None,
        lower_pct=figure(value.lower, "0.01") if value else None,
        upper_pct=figure(value.upper, "0.01") if value else None,
        coverage=figure(value.coverage, "0.01") if value else None,
        not_assessable="" if isinstance(answer, Estimate) else answer.words,
        gate_closed="" if isinstance(answer, Estimate) else answer.reason,
        method=answer.method,
        method_version=answer.version,
        code_digest=known.code_digest if known else "",
        model_digest=by.model.digest if by else value.model_digest if value else "",
        model_signer=by.signer if by else "",
        model_source=str(by.model.training.get("source", "")) if by else "",
        inputs_digest=answer.inputs_digest or "",
        measurement_digest=measured.digest,
        transcript_digest=measured.transcript_sha256,
        measured_by=measured_by,
        gates=tuple(gate_of(check) for check in answer.checks),
        algorithms=_voices(findings, said),
        ohmic_resistance_ohm=figure(at_1khz[1], "0.000001"),
        ocv_v=figure(measured.ocv_v, "0.0001"),
        temperature_c=figure(measured.temperature_c, "0.1"),
        soc_pct=figure(measured.soc_pct, "0.1") if measured.soc_pct is not None else None,
        instruments=(
            str(measured.meter),
            str(measured.switch),
            *(() if said is None else (str(said.analyser),)),
        ),
    )


def gate_of(check: Check) -> Gate:
    """Return a gate as it is stated, its figures with their units."""
    unit = _UNITS.get(check.name, "")
    return Gate(
        gate=check.name,
        figure=_said(check.figure, unit),
        limit=_said(check.limit, unit),
        is_open=check.passed,
    )


_UNITS = {
    **{"contact-drift": " Ω", "resistance": " Ω", "direction": " Ω", "disagreement": " %", "range": " %"},
    **{"calibration": " d", "window": " %", "rest": " h", "settled": " V/h", "pulse": " A", "step": " V"},
    **{"slope": " %/V", "gain": " %/month"},
}


def _said(value: float | None, unit: str) -> str:
    """Return a gate's figure to four digits; what has no end is no limit."""
    return "" if value is None or not math.isfinite(value) else f"{value:.4g}{unit}"


def _voices(findings: Sequence[Finding], said: Analysis | None) -> tuple[AlgorithmResult, ...]:
    total = sum(finding.weight for finding in findings) or 1.0
    if said is not None:  # as the analyser itself says it, with the interval it states
        findings = [each for each in findings if (each.algorithm, each.lower) != (VENDOR.name, None)]
        own = (said.soh_pct, said.lower_pct, said.upper_pct)
        findings.append(Finding(VENDOR.name, VENDOR.version, *own, 0.0))
    return tuple(
        AlgorithmResult(
            algorithm=finding.algorithm,
            algorithm_version=finding.version,
            soh_pct=figure(finding.value, "0.01"),
            lower_pct=None if finding.lower is None else figure(finding.lower, "0.01"),
            upper_pct=None if finding.upper is None else figure(finding.upper, "0.01"),
            voice_pct=figure(100 * finding.weight / total, "0.1"),
        )
        for finding in findings
    )


def figure(value: float, step: str) -> Decimal:
    """Return a figure as it is stated: rounded to `step`."""
    return Decimal(value).quantize(Decimal(step))
