"""What a recorded test says of a cell, as the claim that states it: pure, and the same in any company."""

import math
from decimal import Decimal

from analysis import electrical as method_of
from analysis.electrical import Answer, Quantity, Surroundings
from analysis.result import digest
from governance.diagnosis import figure, gate_of
from governance.methods import method
from instruments.electrical import Capacity, DcResistance, OcvRest, SelfDischarge, Test
from schemas.claims import DiagnosisResult, StatedFigure


def answer(test: Test) -> Answer:
    """Return what the method for a test of this kind gives."""
    seen = Surroundings(test.temperature_c, float((test.began.date() - test.calibrated_on).days))
    match test:
        case Capacity():
            energies = (test.charge_wh, test.discharge_wh)
            return method_of.capacity(
                seen,
                discharge_ah=test.discharge_ah,
                accuracy_pct=test.accuracy_pct,
                window_pct=(test.soc_from_pct, test.soc_to_pct),
                rated_ah=test.rated_ah,
                energies_wh=(energies[0], energies[1]) if energies[0] and energies[1] else None,
            )
        case OcvRest():
            return method_of.ocv_rest(
                seen, times_s=test.times_s, voltages_v=test.voltages_v, error_v=test.error_v
            )
        case DcResistance():
            return method_of.dc_resistance(
                seen,
                current_a=test.current_a,
                before_v=test.before_v,
                after_v=test.after_v,
                pulse_s=test.pulse_s,
                accuracy_pct=test.accuracy_pct,
                error_v=test.error_v,
            )
        case SelfDischarge():
            ah, volts = (test.before_ah, test.after_ah), (test.before_v, test.after_v)
            return method_of.self_discharge(
                seen,
                rest_h=test.hours,
                charges_ah=(ah[0], ah[1]) if ah[0] is not None and ah[1] is not None else None,
                accuracy_pct=test.accuracy_pct,
                voltages_v=(volts[0], volts[1]) if volts[0] is not None and volts[1] is not None else None,
                slope_pct_per_v=test.slope_pct_per_v,
                error_v=test.error_v,
            )
    raise TypeError(type(test).__name__)


def result(test: Test) -> DiagnosisResult:
    """Return a test's figures with their intervals, formulas and gates, or why there are none."""
    found = answer(test)
    known = method(found.method, method_of.VERSION)
    stated = tuple(_stated(one) for one in found.quantities)
    values = {one.quantity: one.value for one in stated if one.value is not None}
    soh = next((one for one in stated if one.quantity == "soh_pct" and one.value is not None), None)
    return DiagnosisResult.model_validate(
        {
            "item": test.cell,
            "measured_at": test.ended,
            **values,
            "lower_pct": soh.lower if soh else None,
            "upper_pct": soh.upper if soh else None,
            "coverage": figure(method_of.COVERAGE, "0.01") if values else None,
            "not_assessable": found.words,
            "gate_closed": found.reason,
            "method": found.method,
            "method_version": method_of.VERSION,
            "code_digest": known.code_digest if known else "",
            "inputs_digest": digest(test.to_json()),
            "measurement_digest": test.digest,
            "transcript_digest": test.file_sha256,
            "gates": tuple(gate_of(check) for check in found.checks),
            "figures": stated,
            "temperature_c": figure(test.temperature_c, "0.1"),
            "instruments": (f"{test.instrument} {test.serial}",),
        }
    )


_STEPS = {"ohm": "0.000001", "v": "0.00001", "ah": "0.0001"}


def _stated(one: Quantity) -> StatedFigure:
    step = _STEPS.get(one.name.rpartition("_")[2], "0.001")

    def told(value: float) -> Decimal | None:
        return figure(value, step) if math.isfinite(value) else None

    return StatedFigure(
        quantity=one.name,
        value=told(one.value),
        lower=told(one.value - one.half_width),
        upper=told(one.value + one.half_width),
        formula=one.formula,
    )
