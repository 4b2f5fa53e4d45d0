"""How well states of health are told from impedance on cells the model has never seen.

Each cell is left out in turn. A model is trained on all others, its intervals, weights and gates included,
and assesses every spectrum of the cell left out: as measured, with 5 milliohm of contact resistance added,
without temperature or charge, and under each temperature and charge it was not measured at. Then the one-ZARC
fit is timed against the `impedance` package on the same spectra. `python bench/soh.py [--json] [--data FILE]`
"""

import argparse
import gzip
import json
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

if not __package__:  # run as a script: its folder would stand before the room of the same name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np

from analysis.result import Estimate
from analysis.soh import zarc
from analysis.soh.model import Assessment, train
from analysis.soh.samples import GRID_HZ, Sample, resampled
from analysis.soh.table import read

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "eis_soh.csv.gz"
CELL_MODEL = "bench"
REFERENCE = (25.0, 50.0)
CONTACT_OHM = 0.005
ROUNDS = 3


def spectra(path: Path) -> tuple[Sample, ...]:
    """Read the measured spectra."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        return read(lines, CELL_MODEL)


def under(sample: Sample, temperature_c: float | None, soc_pct: float | None) -> Sample:
    """Return the sample as if it had been reported under these conditions."""
    return replace(sample, spectrum=replace(sample.spectrum, temperature_c=temperature_c, soc_pct=soc_pct))


def touched(sample: Sample, contact_ohm: float) -> Sample:
    """Return the sample as measured through an additional contact resistance."""
    real = tuple(r + contact_ohm for r in sample.spectrum.real_ohm)
    return replace(sample, spectrum=replace(sample.spectrum, real_ohm=real))


def conditions(sample: Sample) -> tuple[float | None, float | None]:
    """Return temperature and charge as reported."""
    return sample.spectrum.temperature_c, sample.spectrum.soc_pct


@dataclass
class Tally:
    """Errors and hits of the answers to one question, and how many got none."""

    errors: list[float] = field(default_factory=list)
    inside: list[bool] = field(default_factory=list)
    refused: int = 0

    def add(self, samples: Sequence[Sample], assessments: Sequence[Assessment]) -> None:
        """Compare assessments with what was measured."""
        for sample, assessment in zip(samples, assessments, strict=True):
            found, truth = assessment.answer, sample.soh_pct
            if not isinstance(found, Estimate) or truth is None:
                self.refused += 1
                continue
            self.errors.append(found.value - truth)
            self.inside.append(found.lower <= truth <= found.upper)

    @property
    def rmse(self) -> float:
        """Return the root mean square error of the answers given, in points."""
        return float(np.sqrt(np.mean(np.square(self.errors)))) if self.errors else float("nan")

    @property
    def coverage(self) -> float:
        """Return the share of answers whose interval holds the truth."""
        return float(np.mean(self.inside)) if self.inside else float("nan")

    @property
    def answered(self) -> float:
        """Return the share of questions that got an answer."""
        asked = len(self.errors) + self.refused
        return len(self.errors) / asked if asked else float("nan")


def left_out(samples: Sequence[Sample]) -> tuple[dict[str, Tally], dict[str, list[float]]]:
    """Return the tallies of every question, and the errors of each algorithm at the reference condition."""
    tallies = {name: Tally() for name in ("reference", "contact", "all", "unknown", "misreported")}
    singles: dict[str, list[float]] = {}
    places = sorted({conditions(s) for s in samples}, key=str)
    for cell in sorted({s.cell for s in samples}):
        model = train([s for s in samples if s.cell != cell], CELL_MODEL)
        mine = [s for s in samples if s.cell == cell]
        at_reference = [s for s in mine if conditions(s) == REFERENCE]
        answers = model.assess(at_reference)
        tallies["reference"].add(at_reference, answers)
        for sample, answer in zip(at_reference, answers, strict=True):
            for finding in answer.findings:
                singles.setdefault(finding.algorithm, []).append(finding.value - (sample.soh_pct or 0.0))
        worn = [touched(s, CONTACT_OHM) for s in at_reference]
        tallies["contact"].add(worn, model.assess(worn))
        tallies["all"].add(mine, model.assess(mine))
        for temperature_c, soc_pct in ((None, None), (None, 50.0), (25.0, None)):
            blind = [under(s, temperature_c, soc_pct) for s in mine]
            tallies["unknown"].add(blind, model.assess(blind))
        lies = [under(s, *place) for s in mine for place in places if place != conditions(s)]
        tallies["misreported"].add(lies, model.assess(lies))
    return tallies, singles


def fits_a_second(samples: Sequence[Sample]) -> dict[str, float]:
    """Time our fit and the `impedance` package's on the same spectra, in turn."""
    f = np.asarray(GRID_HZ)
    z = np.array(
        [grid for s in samples if conditions(s) == REFERENCE and (grid := resampled(s.spectrum)) is not None]
    )
    ours, alone, theirs = [], [], []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from impedance.models.circuits import CustomCircuit  # type: ignore[import-untyped]
    except ImportError:
        CustomCircuit = None  # noqa: N806 - as the package spells it
    for _ in range(ROUNDS):
        start = time.perf_counter()
        zarc.fit(f, z)
        ours.append(len(z) / (time.perf_counter() - start))
        start = time.perf_counter()
        for row in z:
            zarc.fit(f, row)
        alone.append(len(z) / (time.perf_counter() - start))
        if CustomCircuit is not None:
            start = time.perf_counter()
            for row in z:
                circuit = CustomCircuit("L0-R0-Zarc0-W0", initial_guess=[5e-7, 0.02, 0.005, 1e-3, 0.6, 2e-3])
                circuit.fit(f, row, weight_by_modulus=True)
            theirs.append(len(z) / (time.perf_counter() - start))
    figures = {"onezarc_per_s": float(np.median(ours)), "onezarc_one_by_one_per_s": float(np.median(alone))}
    if theirs:
        figures["impedance_per_s"] = float(np.median(theirs))
        figures["onezarc_ratio"] = figures["onezarc_per_s"] / figures["impedance_per_s"]
        figures["onezarc_one_by_one_ratio"] = figures["onezarc_one_by_one_per_s"] / figures["impedance_per_s"]
    return figures


def measure(path: Path) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Measure every figure."""
    samples = spectra(path)
    tallies, singles = left_out(samples)
    wrong = tallies["misreported"]
    answered = len(wrong.errors)
    figures = {
        "rmse": tallies["reference"].rmse,
        "coverage": tallies["reference"].coverage,
        "answered": tallies["reference"].answered,
        "rmse_contact_5mohm": tallies["contact"].rmse,
        "coverage_contact_5mohm": tallies["contact"].coverage,
        "answered_contact_5mohm": tallies["contact"].answered,
        "rmse_all_conditions": tallies["all"].rmse,
        "coverage_all_conditions": tallies["all"].coverage,
        "answered_all_conditions": tallies["all"].answered,
        "answered_unknown_conditions": tallies["unknown"].answered,
        "answered_misreported_conditions": wrong.answered,
        "wrong_misreported_conditions": answered * (1 - wrong.coverage) / (answered + wrong.refused)
        if answered
        else 0.0,
    }
    return figures | fits_a_second(samples), singles


def main() -> int:
    """Print a table, or JSON."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--data", type=Path, default=DATA, help="spectra as CSV, may be gzipped")
    chosen = arguments.parse_args()
    if not chosen.data.exists():
        print(
            json.dumps({"skipped": f"{chosen.data} is not here"})
            if chosen.json
            else f"{chosen.data} is not here"
        )
        return 0
    figures, singles = measure(chosen.data)
    if chosen.json:
        print(json.dumps({name: round(value, 4) for name, value in figures.items()}))
        return 0
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):34} {value:12.3f}")
    print("\nat 25 °C and 50 %, cells left out: root mean square error in points")
    for name, errors in sorted(singles.items(), key=lambda each: np.mean(np.square(each[1]))):
        print(f"  {name:32} {np.sqrt(np.mean(np.square(errors))):12.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
