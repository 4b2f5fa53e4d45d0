"""A trained model: right where it may speak, silent elsewhere, and the same after its file."""

import csv
import gzip
import io
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from analysis.result import Estimate, NotAssessable
from analysis.soh.model import Finding, Model, conformal, reconcile, train
from analysis.soh.samples import Sample, digest_of
from analysis.soh.table import read
from schemas.errors import Invalid, Unknown
from tests.analysis.cells import MODEL, PLACES, SOHS, cell, population, touched

DATA = Path(__file__).parents[3] / "shared" / "data" / "eis_soh.csv.gz"
MEASURED = pytest.mark.skipif(not DATA.exists(), reason="the measured spectra (../shared/data) are not here")
states = st.floats(81, 99)


@cache
def trained() -> Model:
    return train(population(), MODEL, source="made up")


def answer(sample: Sample) -> Estimate | NotAssessable:
    return trained().assess([sample])[0].answer


def refused(sample: Sample) -> str:
    (found,) = trained().assess([sample])
    assert isinstance(found.answer, NotAssessable), found
    assert found.answer.words.endswith(".")
    assert not all(check.passed for check in found.answer.checks)
    assert found.plain()["value"] is None
    assert str(found.plain()["words"]).startswith("not assessable: ")
    return found.answer.reason


def changed(sample: Sample, **fields: object) -> Sample:
    return replace(sample, spectrum=replace(sample.spectrum, **fields))  # type: ignore[arg-type]


GOOD = cell(90.3, seed=9)


@settings(max_examples=20, deadline=None)
@given(states, st.sampled_from(PLACES), st.integers(1, 99))
def test_a_cell_never_seen_is_told_right(soh: float, place: tuple[float, float], seed: int) -> None:
    found = answer(cell(soh, *place, seed=seed))
    assume(isinstance(found, Estimate))  # one in fifty may be refused for looking odd
    assert isinstance(found, Estimate)
    assert found.value == pytest.approx(soh, abs=1.5)
    assert found.lower < found.value < found.upper
    assert found.domain.range("temperature_c").holds(place[0])


@settings(max_examples=20, deadline=None)
@given(st.floats(0, 0.01))
def test_a_worn_but_steady_contact_shifts_nothing(contact_ohm: float) -> None:
    worn, plain = answer(touched(GOOD, contact_ohm)), answer(GOOD)
    assert isinstance(worn, Estimate)
    assert isinstance(plain, Estimate)
    assert worn.value == pytest.approx(plain.value, abs=0.3)


@settings(max_examples=15, deadline=None)
@given(st.floats(-1.9, 1.9), states)
def test_near_a_trained_temperature_the_way_is_corrected_and_paid_for(off: float, soh: float) -> None:
    near, at = answer(cell(soh, 25 + off, seed=3)), answer(cell(soh, seed=3))
    if isinstance(near, Estimate) and isinstance(at, Estimate):
        assert near.value == pytest.approx(soh, abs=2.5)
        assert near.upper - near.lower >= at.upper - at.lower - 1e-9


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (changed(GOOD, temperature_c=None), "temperature"),
        (changed(GOOD, soc_pct=None), "state-of-charge"),
        (changed(GOOD, temperature_c=30.0), "temperature"),
        (changed(GOOD, temperature_c=15.0, soc_pct=20.0), "state-of-charge"),
        (changed(GOOD, cell_model="another"), "cell-model"),
        (changed(GOOD, temperature_c=15.0), "likeness"),
        (cell(90.0, 25.0, 20.0), "none"),
        (replace(GOOD, faults=("E01",)), "fault"),
        (changed(GOOD, closing_1khz_ohm=complex(GOOD.spectrum.real_ohm[0] + 0.001, 0)), "contact-drift"),
        (changed(GOOD, real_ohm=(float("nan"), *GOOD.spectrum.real_ohm[1:])), "non-finite"),
        (changed(GOOD, real_ohm=(-0.02, *GOOD.spectrum.real_ohm[1:])), "negative"),
        (changed(GOOD, frequencies_hz=tuple(f / 2 for f in GOOD.spectrum.frequencies_hz)), "frequencies"),
        (
            changed(
                GOOD,
                real_ohm=tuple(r + (0.001 if i > 9 else 0) for i, r in enumerate(GOOD.spectrum.real_ohm)),
            ),
            "kramers-kronig",
        ),
    ],
)
def test_each_gate_refuses_by_its_name(sample: Sample, reason: str) -> None:
    if reason == "none":
        assert isinstance(answer(sample), Estimate)
    else:
        assert refused(sample) == reason


@settings(max_examples=25, deadline=None)
@given(states, st.sampled_from(PLACES), st.sampled_from(PLACES))
def test_a_misreported_condition_never_gives_a_number(
    soh: float, true: tuple[float, float], told: tuple[float, float]
) -> None:
    assume(true != told)
    sample = changed(cell(soh, *true, seed=4), temperature_c=told[0], soc_pct=told[1])
    assert isinstance(answer(sample), NotAssessable)


@settings(max_examples=20, deadline=None)
@given(st.one_of(st.none(), st.floats(-40, 80)), st.one_of(st.none(), st.floats(0, 100)))
def test_a_number_comes_only_near_a_trained_condition(temperature: float | None, soc: float | None) -> None:
    found = answer(changed(GOOD, temperature_c=temperature, soc_pct=soc))
    near = (
        temperature is not None
        and soc is not None
        and any(abs(temperature - t) <= 2 and abs(soc - q) <= 5 for t, q in PLACES)
    )
    assert near or isinstance(found, NotAssessable)


def test_the_algorithms_stand_beside_the_answer() -> None:
    (found,) = trained().assess([replace(GOOD, vendor_soh_pct=70.0)])
    assert isinstance(found.answer, Estimate)
    said = {finding.algorithm: finding for finding in found.findings}
    assert set(said) == {
        "ohmic-resistance",
        "polarisation-resistance-line",
        "one-zarc",
        "gpr-shifted-spectrum",
        "extra-trees",
        "vendor",
    }
    assert (said["vendor"].value, said["vendor"].lower, said["vendor"].weight) == (70.0, None, 0.0)
    assert said["ohmic-resistance"].weight == 0
    voices = [f.value for f in found.findings if f.weight]
    assert min(voices) <= found.answer.value <= max(voices)


def test_what_disagrees_too_much_is_no_answer() -> None:
    model = trained()
    deaf = tuple(replace(c, disagreement_limit_pct=0.0) for c in model.conditions)
    (found,) = replace(model, conditions=deaf).assess([GOOD])
    assert isinstance(found.answer, NotAssessable)
    assert found.answer.reason == "disagreement"
    assert found.findings


@given(st.lists(st.tuples(st.floats(50, 110), st.floats(0.01, 10)), min_size=1, max_size=6))
def test_the_reconciled_value_lies_between_the_voices(voices: list[tuple[float, float]]) -> None:
    mean, spread = reconcile([Finding("x", "1", value, None, None, weight) for value, weight in voices])
    low, high = min(v for v, _ in voices), max(v for v, _ in voices)
    assert low - 1e-9 <= mean <= high + 1e-9
    assert 0 <= spread <= high - low + 1e-9


@given(st.lists(st.floats(0, 10), min_size=1, max_size=40))
def test_the_conformal_width_covers_nine_tenths_of_what_was_seen(worst: list[float]) -> None:
    width = conformal(worst)
    assert sum(w <= width for w in worst) >= min(int(0.9 * (len(worst) + 1)), len(worst))
    assert min(worst) <= width <= max(worst)


def test_intervals_cover_nine_tenths_of_cells_never_seen() -> None:
    fresh = [cell(soh, seed=seed) for seed in range(20, 26) for soh in np.linspace(81, 99, 10)]
    found = [(a.answer, s.soh_pct) for a, s in zip(trained().assess(fresh), fresh, strict=True)]
    inside = [a.lower <= truth <= a.upper for a, truth in found if isinstance(a, Estimate) and truth]
    assert len(inside) > 50
    assert np.mean(inside) > 0.75


def test_a_model_survives_its_file_and_says_what_it_is() -> None:
    model = trained()
    again = Model.of(json.loads(json.dumps(model.document)))
    assert again.digest == model.digest
    assert again.assess([GOOD])[0].plain() == model.assess([GOOD])[0].plain()
    assert again.training["digest"] == digest_of(population())
    assert MODEL in model.card["purpose"]
    assert len(model.card["quality"]) == len(PLACES)
    assert (again.training["cells"], again.training["source"]) == (len(SOHS), "made up")


def test_training_again_gives_the_same_model_in_any_order() -> None:
    backwards = tuple(reversed(population()))
    assert digest_of(backwards) == digest_of(population())
    assert train(population(), MODEL, source="made up").digest == trained().digest


@pytest.mark.parametrize("document", [None, [], {}, {"format": "meguri.soh-model/1"}, {"format": "other"}])
def test_what_is_no_model_is_refused(document: Any) -> None:
    with pytest.raises(Invalid):
        Model.of(document)


def test_a_model_that_needs_another_algorithm_says_so() -> None:
    document = json.loads(json.dumps(trained().document))
    document["conditions"][0]["fits"][0]["version"] = "9.9"
    at = document["conditions"][0]
    with pytest.raises(Unknown, match=r"9\.9"):
        Model.of(document).assess([cell(90.0, at["temperature_c"], at["soc_pct"])])


def test_training_refuses_what_teaches_nothing() -> None:
    with pytest.raises(Invalid, match="10 cells"):
        train(population()[:20], MODEL)
    with pytest.raises(Invalid, match="needs the cell, temperature"):
        train([changed(population()[0], temperature_c=None)], MODEL)
    with pytest.raises(Invalid, match="another cell model"):
        train(population(), "another")


def written(samples: tuple[Sample, ...], *, leave: frozenset[str] = frozenset()) -> io.StringIO:
    columns = ["spectrum", "cell", "temp_c", "soc_pct", "freq_hz", "re_ohm", "im_ohm", "soh_pct"]
    file = io.StringIO()
    out = csv.DictWriter(file, [c for c in columns if c not in leave], extrasaction="ignore")
    out.writeheader()
    for one in samples:
        s = one.spectrum
        for f, re, im in zip(s.frequencies_hz, s.real_ohm, s.imag_ohm, strict=True):
            row = (one.name, one.cell, s.temperature_c, s.soc_pct, f, re, im, one.soh_pct)
            out.writerow(dict(zip(columns, row, strict=True)))
    file.seek(0)
    return file


def test_samples_survive_their_file() -> None:
    samples = tuple(changed(s, closing_1khz_ohm=None) for s in population()[:6])
    assert read(written(samples), MODEL) == samples
    nameless = read(written(samples, leave=frozenset({"spectrum", "soh_pct"})), MODEL)
    assert [s.spectrum for s in nameless] == [s.spectrum for s in samples]
    assert {s.soh_pct for s in nameless} == {None}


def test_size_and_phase_are_read_as_well() -> None:
    (one,) = read(["freq_hz,zmod_ohm,phase_deg\n", "10,2,90\n"], MODEL)
    assert (one.spectrum.real_ohm[0], one.spectrum.imag_ohm[0]) == pytest.approx((0, 2))
    assert (one.spectrum.temperature_c, one.spectrum.soc_pct) == (None, None)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "columns"),
        (["freq_hz,re_ohm\n", "1,2\n"], "columns"),
        (["freq_hz,re_ohm,im_ohm\n"], "no spectrum"),
        (["freq_hz,re_ohm,im_ohm\n", "1,2,3\n", "a,2,3\n"], "line 3"),
        (["freq_hz,re_ohm,im_ohm\n", "1,2\n"], "line 2"),
        (["freq_hz,re_ohm,im_ohm,spectrum,temp_c\n", "1,2,3,A,25\n", "2,2,3,A,15\n"], "differ in temp_c"),
        (["freq_hz,re_ohm,im_ohm,soc_pct\n", "1,2,3,half\n"], "no number"),
    ],
)
def test_a_file_that_holds_no_spectra_is_refused_by_its_line(lines: list[str], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read(lines, MODEL)


@MEASURED
def test_measured_cells_left_out_are_told_within_their_promises() -> None:
    with gzip.open(DATA, "rt") as lines:
        samples = [
            s
            for s in read(lines, "warwick-5ah")
            if (s.spectrum.temperature_c, s.spectrum.soc_pct) == (25, 50)
        ]
    errors, inside = [], []
    for out in sorted({s.cell for s in samples}):
        model = train([s for s in samples if s.cell != out], "warwick-5ah")
        (mine,) = (s for s in samples if s.cell == out)
        for one in (mine, touched(mine, 0.005)):
            found = model.assess([one])[0].answer
            if isinstance(found, Estimate) and one.soh_pct is not None:
                errors.append(found.value - one.soh_pct)
                inside.append(found.lower <= one.soh_pct <= found.upper)
    assert len(errors) >= 32
    assert np.sqrt(np.mean(np.square(errors))) <= 1.0
    assert 0.8 <= np.mean(inside) <= 1.0
