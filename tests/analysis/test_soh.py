import csv
import gzip
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.result import Estimate, NotAssessable
from analysis.soh.polarisation import assess, fit, model, models, resistance
from analysis.soh.spectrum import Spectrum, kramers_kronig_residual
from schemas.errors import Invalid, Unknown

DATA = Path(__file__).parents[3] / "shared" / "data" / "eis_soh.csv.gz"
MEASURED = pytest.mark.skipif(not DATA.exists(), reason="the measured spectra (../shared/data) are not here")
SWEEP = tuple(float(f) for f in np.geomspace(1000, 0.1, 41))


def circuit(contact_ohm: float = 0.0, arc_ohm: float = 0.0045) -> Spectrum:
    """A cell of R, two RC arcs and a series capacity: it obeys Kramers-Kronig exactly."""
    omega = 2 * np.pi * np.array(SWEEP)
    z = contact_ohm + 0.02 + arc_ohm / (1 + 1j * omega * 0.01) + 0.002 / (1 + 1j * omega * 1.0)
    z = z - 1j / (omega * 5000)
    return Spectrum(
        frequencies_hz=SWEEP,
        real_ohm=tuple(map(float, z.real)),
        imag_ohm=tuple(map(float, z.imag)),
        cell_model="warwick-5ah",
        temperature_c=25.0,
        soc_pct=50.0,
        closing_1khz_ohm=complex(z[0]),
    )


GOOD = circuit()


def refused(spectrum: Spectrum) -> str:
    answer = assess(spectrum)
    assert isinstance(answer, NotAssessable), answer
    assert answer.words.endswith(".")
    return answer.reason


def test_an_estimate_carries_its_method_interval_and_domain() -> None:
    answer = assess(GOOD)
    assert isinstance(answer, Estimate)
    known = model("warwick-5ah")
    x = resistance(GOOD)
    assert x is not None
    assert answer.value == pytest.approx(known.line.intercept_pct + known.line.slope_pct_per_ohm * x)
    assert answer.upper - answer.value == pytest.approx(known.line.half_width_pct)
    assert answer.lower < answer.value < answer.upper
    assert (answer.method, answer.version, answer.unit) == ("polarisation-resistance", "1.1", "%")
    assert answer.model_digest == known.digest
    assert answer.inputs_digest == GOOD.digest()
    assert [c.name for c in answer.checks if c.passed] == ["contact-drift", "kramers-kronig", "resistance"]


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 0.01))
def test_a_steady_contact_resistance_shifts_nothing(contact_ohm: float) -> None:
    shifted, plain = assess(circuit(contact_ohm)), assess(GOOD)
    assert isinstance(shifted, Estimate)
    assert isinstance(plain, Estimate)
    assert shifted.value == pytest.approx(plain.value, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.floats(-40, 80), st.floats(0, 100))
def test_outside_its_temperature_and_charge_it_never_gives_a_number(temperature: float, soc: float) -> None:
    inside = 23 <= temperature <= 27 and 45 <= soc <= 55
    answer = assess(replace(GOOD, temperature_c=temperature, soc_pct=soc))
    assert isinstance(answer, Estimate) is inside


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"temperature_c": None}, "temperature"),
        ({"temperature_c": math.nan}, "non-finite"),
        ({"soc_pct": None}, "state-of-charge"),
        ({"cell_model": "another"}, "cell-model"),
        ({"real_ohm": (math.nan, *GOOD.real_ohm[1:])}, "non-finite"),
        ({"imag_ohm": (math.inf, *GOOD.imag_ohm[1:])}, "non-finite"),
        ({"real_ohm": (-0.02, *GOOD.real_ohm[1:])}, "negative"),
        ({"frequencies_hz": (0.0, *GOOD.frequencies_hz[1:])}, "negative"),
        ({"frequencies_hz": (GOOD.frequencies_hz[1], *GOOD.frequencies_hz[1:])}, "frequencies"),
        ({"frequencies_hz": (), "real_ohm": (), "imag_ohm": ()}, "frequencies"),
        ({"frequencies_hz": tuple(f / 2 for f in SWEEP)}, "frequencies"),
        ({"closing_1khz_ohm": complex(GOOD.real_ohm[0] + 0.00011, 0)}, "contact-drift"),
        ({"closing_1khz_ohm": complex(math.nan, 0)}, "non-finite"),
    ],
)
def test_each_gate_refuses_by_its_name(change: dict[str, object], reason: str) -> None:
    assert refused(replace(GOOD, **change)) == reason  # type: ignore[arg-type]


def test_a_sweep_of_few_points_is_refused() -> None:
    few = [i for i, f in enumerate(SWEEP) if i % 10 == 0 or f in {1.0}]
    thin = replace(
        GOOD,
        frequencies_hz=tuple(SWEEP[i] for i in few),
        real_ohm=tuple(GOOD.real_ohm[i] for i in few),
        imag_ohm=tuple(GOOD.imag_ohm[i] for i in few),
    )
    assert refused(thin) == "frequencies"


def test_a_sweep_that_steps_over_1_hz_is_read_between_its_points() -> None:
    at = [i for i, f in enumerate(SWEEP) if abs(f - 1) > 0.05]
    stepped = replace(
        GOOD,
        frequencies_hz=tuple(SWEEP[i] for i in at),
        real_ohm=tuple(GOOD.real_ohm[i] for i in at),
        imag_ohm=tuple(GOOD.imag_ohm[i] for i in at),
    )
    there, exact = stepped.at(1.0), GOOD.at(1.0)
    assert there is not None
    assert exact is not None
    assert there == pytest.approx(exact, abs=2e-5)
    assert isinstance(assess(stepped), Estimate)


def test_a_resistance_the_model_never_saw_is_refused() -> None:
    assert refused(circuit(arc_ohm=0.008)) == "resistance"
    assert refused(circuit(arc_ohm=0.001)) == "resistance"


def test_a_contact_that_steps_in_mid_sweep_shows_in_the_residual() -> None:
    step = 0.05 * abs(complex(GOOD.real_ohm[20], GOOD.imag_ohm[20]))
    stepped = tuple(r + (step if i >= 20 else 0) for i, r in enumerate(GOOD.real_ohm))
    assert kramers_kronig_residual(GOOD.frequencies_hz, GOOD.real_ohm, GOOD.imag_ohm) < 1e-3
    assert kramers_kronig_residual(GOOD.frequencies_hz, stepped, GOOD.imag_ohm) > 5e-3
    assert refused(replace(GOOD, real_ohm=stepped)) == "kramers-kronig"


def test_parts_of_unequal_length_are_no_spectrum() -> None:
    with pytest.raises(Invalid, match="one real and one imaginary"):
        replace(GOOD, real_ohm=GOOD.real_ohm[1:])


def test_the_digest_follows_every_figure() -> None:
    assert GOOD.digest() != replace(GOOD, soc_pct=50.5).digest()
    assert GOOD.digest() != replace(GOOD, closing_1khz_ohm=None).digest()


def test_a_model_not_there_is_unknown_and_each_one_there_names_its_source() -> None:
    with pytest.raises(Unknown, match="another"):
        model("another")
    assert all(m.source and m.domain.words for m in models())


def test_a_line_needs_ten_cells_and_finds_a_true_line() -> None:
    with pytest.raises(Invalid, match="at least 10"):
        fit([0.004] * 9, [90.0] * 9, [str(i) for i in range(9)])
    x = [0.0036 + 0.0001 * i for i in range(20)]
    line = fit(x, [140 - 11000 * r for r in x], [str(i) for i in range(20)])
    assert (line.intercept_pct, line.slope_pct_per_ohm) == pytest.approx((140, -11000))
    assert line.half_width_pct == pytest.approx(0, abs=1e-9)


def measured() -> dict[tuple[str, float], Spectrum]:
    """Every measured spectrum by its name, with the state of health it was measured at."""
    rows: dict[tuple[str, float], list[tuple[float, float, float]]] = {}
    conditions: dict[tuple[str, float], tuple[float, float]] = {}
    with gzip.open(DATA, "rt") as file:
        for row in csv.DictReader(file):
            key = (row["spectrum"], float(row["soh_pct"]))
            rows.setdefault(key, []).append(
                (float(row["freq_hz"]), float(row["re_ohm"]), float(row["im_ohm"]))
            )
            conditions[key] = float(row["temp_c"]), float(row["soc_pct"])
    spectra = {}
    for key, points in rows.items():
        frequencies, real, imag = (tuple(p[i] for p in points) for i in range(3))
        spectra[key] = Spectrum(frequencies, real, imag, "warwick-5ah", *conditions[key])
    return spectra


@MEASURED
def test_the_stored_line_is_the_one_the_measured_cells_give() -> None:
    seen = {k: s for k, s in measured().items() if (s.temperature_c, s.soc_pct) == (25, 50)}
    x = [r for r in map(resistance, seen.values()) if r is not None]
    line = fit(x, [soh for _, soh in seen], [name.split("_")[0] for name, _ in seen])
    stored = model("warwick-5ah").line
    for name in ("intercept_pct", "slope_pct_per_ohm", "rmse_pct", "half_width_pct"):
        assert getattr(line, name) == pytest.approx(getattr(stored, name), rel=1e-9)
    assert (line.cells, stored.cells) == (19, 19)
    assert stored.rmse_pct < 1.25


@MEASURED
def test_of_all_measured_spectra_only_those_inside_the_domain_get_a_number() -> None:
    for (name, soh), spectrum in measured().items():
        answer = assess(spectrum)
        inside = (spectrum.temperature_c, spectrum.soc_pct) == (25, 50)
        assert isinstance(answer, Estimate) is inside, name
        if isinstance(answer, Estimate):
            assert abs(answer.value - soh) < 3
