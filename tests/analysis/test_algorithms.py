"""The algorithms one by one: what they find where the truth is known, and what cannot sway them."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.soh import algorithms as room
from analysis.soh import forest, gpr, zarc
from analysis.soh.algorithms import BUILT_IN, GPR, OHMIC, TREE_ENSEMBLE, VENDOR, algorithms, leave_out
from analysis.soh.samples import GRID_HZ, Sample, resampled
from schemas.errors import Invalid
from tests.analysis.cells import cell, touched

F = np.array(GRID_HZ)
STEADY = [each for each in BUILT_IN if each.steady]


@settings(max_examples=25, deadline=None)
@given(
    r0=st.floats(1e-4, 0.1),
    r1=st.floats(0.5, 3.0),
    tau=st.floats(-7.0, -4.0),
    alpha=st.floats(0.5, 0.95),
    sigma=st.floats(0.05, 0.3),
    inductance=st.floats(0, 1e-6),
)
def test_the_fit_finds_a_circuit_again(
    r0: float, r1: float, tau: float, alpha: float, sigma: float, inductance: float
) -> None:
    s = 2j * np.pi * F
    z = r0 + s * inductance + r1 * r0 / (1 + (s * np.exp(tau)) ** alpha)
    z = z + sigma * r0 * (1 - 1j) / np.sqrt(2 * np.pi * F)
    found = zarc.fit(F, z)
    assert found.residual[0] < 1e-4
    assert found.r1_ohm[0] == pytest.approx(r1 * r0, rel=0.02)
    assert found.impedance(F)[0] == pytest.approx(z, rel=1e-3)


def test_many_spectra_are_fitted_as_each_alone() -> None:
    z = np.array([resampled(cell(soh).spectrum) for soh in (82.0, 88.0, 97.0)])
    together = zarc.fit(F, z)
    for n, row in enumerate(z):
        assert zarc.fit(F, row).r1_ohm[0] == pytest.approx(together.r1_ohm[n], rel=1e-6)


@pytest.mark.parametrize(
    ("f", "z"), [(F[:5], np.ones(5)), (F, np.ones(18)), (np.array([0.0, *F[1:]]), np.ones(19))]
)
def test_a_circuit_needs_its_points(f: np.ndarray, z: np.ndarray) -> None:
    with pytest.raises(Invalid):
        zarc.fit(f, z)


def test_a_tree_gives_back_what_it_learnt() -> None:
    random = np.random.default_rng(5)
    x, y = random.normal(size=(40, 6)), random.normal(size=40)
    grown = forest.grow(x, y, np.ones((7, 40), dtype=bool), random)
    assert grown.each(x) == pytest.approx(np.tile(y, (7, 1)))
    assert (grown.feature == forest.LEAF).sum() == 7 * 40


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(1, 4))
def test_a_forest_never_leaves_what_it_has_seen(seed: int, n: int, d: int) -> None:
    random = np.random.default_rng(seed)
    x, y = random.integers(0, 3, (n, d)).astype(float), random.normal(size=n)
    members = random.random((5, n)) < 0.7
    members[:, 0] = True
    answers = forest.grow(x, y, members, random).each(10 * random.normal(size=(20, d)))
    for tree, seen in zip(answers, members, strict=True):
        assert (tree >= y[seen].min() - 1e-9).all()
        assert (tree <= y[seen].max() + 1e-9).all()


def test_trees_left_out_together_are_those_left_out_one_by_one() -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(15, 4))
    y = x[:, 0] + 0.1 * random.normal(size=15)
    groups = np.repeat(np.arange(5), 3)
    together, apart = TREE_ENSEMBLE.left_out(x, y, groups), leave_out(TREE_ENSEMBLE, x, y, groups)
    assert np.corrcoef(together, apart)[0, 1] > 0.98  # other random cuts, the same ensemble


def test_a_process_goes_through_a_smooth_law_and_back_to_the_mean() -> None:
    x = np.linspace(-2, 2, 15)[:, None]
    process = gpr.fit(x, 90 + 3 * np.sin(x[:, 0]))
    assert process.mean(np.array([[0.7]]))[0] == pytest.approx(90 + 3 * np.sin(0.7), abs=0.3)
    flat = gpr.fit(x, np.full(15, 90.0))
    assert flat.mean(x) == pytest.approx(np.full(15, 90.0))


@pytest.mark.parametrize("algorithm", STEADY, ids=lambda each: each.name)
@settings(max_examples=10, deadline=None)
@given(contact_ohm=st.floats(0, 0.02))
def test_a_steady_contact_moves_no_algorithm_that_has_a_voice(
    algorithm: room.Algorithm, contact_ohm: float
) -> None:
    one = cell(90.0)
    x = algorithm.features([one, touched(one, contact_ohm)])
    # The one-ZARC fit weighs with 1/|Z|, so a misfit of the model moves it a little.
    assert x[1] == pytest.approx(x[0], rel=0.03 if algorithm.name == "one-zarc" else 1e-9, abs=1e-12)


def test_the_ohmic_resistance_is_swayed_and_says_so() -> None:
    one = cell(90.0)
    assert not OHMIC.steady
    assert OHMIC.features([touched(one, 0.005)])[0, 0] == pytest.approx(OHMIC.features([one])[0, 0] + 0.005)


def test_what_cannot_be_read_is_no_number() -> None:
    one = cell(90.0)
    cut = replace(one, spectrum=replace(one.spectrum, frequencies_hz=(), real_ohm=(), imag_ohm=()))
    for algorithm in (GPR, TREE_ENSEMBLE, OHMIC):
        x = algorithm.features([one, cut])
        assert np.isfinite(x[0]).all()
        assert np.isnan(x[1]).all()
    assert np.isnan(VENDOR.features([one])).all()


class Guess:
    """An algorithm of somebody else."""

    name, version, steady = "guess", "1.0", False

    def features(self, samples: Sequence[Sample]) -> np.ndarray:
        return np.zeros((len(samples), 1))

    def learn(self, x: np.ndarray, y: np.ndarray) -> dict[str, float]:
        return {"mean": float(y.mean())}

    def predict(self, learned: dict[str, float], x: np.ndarray) -> np.ndarray:
        return np.full(len(x), learned["mean"])

    def left_out(self, x: np.ndarray, y: np.ndarray, groups: np.ndarray) -> np.ndarray:
        return leave_out(self, x, y, groups)


GUESS: room.Algorithm = Guess()
IMPOSTOR = object()


def installed(folder: Path, name: str) -> None:
    place = folder / "guesses-1.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_text("Metadata-Version: 2.1\nName: guesses\nVersion: 1.0\n")
    (place / "entry_points.txt").write_text(f"[{room.GROUP}]\nguess = {__name__}:{name}\n")


def test_another_distribution_brings_an_algorithm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "GUESS")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    algorithms.cache_clear()
    try:
        assert algorithms()["guess"] is GUESS
        assert [*algorithms()][: len(BUILT_IN)] == [each.name for each in BUILT_IN]
    finally:
        algorithms.cache_clear()


def test_what_is_no_algorithm_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(tmp_path, "IMPOSTOR")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    algorithms.cache_clear()
    try:
        with pytest.raises(Invalid, match="no algorithm"):
            algorithms()
    finally:
        algorithms.cache_clear()
