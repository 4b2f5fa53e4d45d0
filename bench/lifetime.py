"""How well, and how fast, each method forecasts the second half of real cells' lives.

For each battery model, five folds over cells: the fleet is fitted to the cells of four, each cell of the
fifth shows 30 check-ups of its first half, and 30 of its second half are forecast. Nothing is told of when
the record ends but the cycles asked for. Run
`python bench/lifetime.py --data ../shared/data/capacity_fade.csv.gz [--json] [--cells N]`.
"""

import argparse
import json
import math
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

if not __package__:  # run as a script: its folder would stand before the room of the same name
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # matrices of 30 rows: threads only wait for each other

import numpy as np

from analysis.lifetime import batch, fleet, forecasts, lanes, regression
from analysis.lifetime.forecasts import FORECASTERS, Past
from analysis.lifetime.history import History, Observation
from analysis.lifetime.predictive import Array, Predictive, single
from analysis.lifetime.table import read_fade
from analysis.lifetime.warranty import Terms, Tier, price
from analysis.result import NotAssessable

FOLDS, CHECKUPS, SEED = 5, 30, 20
THRESHOLDS = (95.0, 90.0, 85.0)


def picked(history: History, count: int) -> History:
    """Return at most `count` observations, evenly spaced in their order."""
    seen = history.observations
    at = np.unique(np.round(np.linspace(0, len(seen) - 1, count)).astype(int))
    return History(tuple(seen[i] for i in at))


def halves(history: History) -> tuple[History, History]:
    """Return 30 check-ups of the first half of the recorded life, and 30 of the second."""
    middle = history.last / 2
    first = tuple(o for o in history.observations if o.cycle <= middle)
    return picked(History(first), CHECKUPS), picked(History(history.observations[len(first) :]), CHECKUPS)


def ols(history: History, cycles: tuple[float, ...]) -> Predictive:
    """Forecast with a straight line by least squares and its prediction interval."""
    x = np.array([o.cycle for o in history.observations])
    y = np.array([o.soh_pct for o in history.observations])
    basis = np.column_stack([np.ones_like(x), x])
    normal = np.linalg.inv(basis.T @ basis)
    b = normal @ basis.T @ y
    rest = y - basis @ b
    noise = float(rest @ rest) / max(len(x) - 2, 1)
    at = np.column_stack([np.ones(len(cycles)), np.array(cycles)])
    return single(cycles, at @ b, noise * at @ normal @ at.T, math.sqrt(noise), "ols", "", ())


def persistent(history: History, cycles: tuple[float, ...]) -> Predictive:
    """Forecast the last observation, as sure as the differences between observations."""
    y = np.array([o.soh_pct for o in history.observations])
    noise = float(np.std(np.diff(y))) if len(y) > 1 else 1.0
    mean = np.full(len(cycles), y[-1])
    return single(cycles, mean, np.zeros((len(cycles),) * 2), max(noise, 1e-3), "persistence", "", ())


def sklearn_gp(history: History, cycles: tuple[float, ...]) -> Predictive:
    """Forecast with scikit-learn's regressor, standardised, amplitude, length and noise by its optimiser."""
    mean, sd, noise = sklearn_fit(history, np.array(cycles))
    return single(cycles, mean, np.diag(np.maximum(sd**2 - noise**2, 0)), noise, "scikit-learn", "", ())


def sklearn_fit(history: History, at: Array, optimise: bool = True) -> tuple[Array, Array, float]:
    """Return scikit-learn's mean, standard deviation with noise, and noise SD, in % state of health."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    x = np.array([o.cycle for o in history.observations])
    y = np.array([o.soh_pct for o in history.observations])
    kernel = ConstantKernel(1.0, (1e-3, 1e3)) * RBF(1.0, (0.05, 20)) + WhiteKernel(1e-2, (1e-6, 1.0))
    model = GaussianProcessRegressor(kernel, optimizer="fmin_l_bfgs_b" if optimise else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(((x - x.mean()) / x.std())[:, None], (y - y.mean()) / y.std())
        mean, sd = model.predict(((at - x.mean()) / x.std())[:, None], return_std=True)
    noise = math.sqrt(float(np.exp(model.kernel_.theta[2])))
    return y.mean() + y.std() * mean, y.std() * sd, float(noise * y.std())


BESIDE: dict[str, Callable[[History, tuple[float, ...]], Predictive]] = {
    "scikit-learn GP (RBF, MLE)": sklearn_gp,
    "OLS": ols,
    "persistence": persistent,
}


def end_of_life_error(made: Predictive, past: History, ahead: History, threshold: float) -> float | None:
    """Return by how much the median first passage misses, in % of the true one; None where none was seen."""
    truth, fell = _passage(ahead, threshold)
    if not fell or past.observations[-1].soh_pct < threshold:
        return None
    line = made.quantile(0.5, observed=False)
    under = np.flatnonzero(line < threshold)
    guess = made.cycles[int(under[0])] if under.size else made.cycles[-1]
    return 100 * abs(guess - truth) / truth


def _passage(history: History, threshold: float) -> tuple[float, bool]:
    from analysis.lifetime.weibull import passage

    return passage(history, threshold)


class Scores:
    """Scores of one method, cell by cell."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, float, float]] = []
        self.ends: list[float] = []
        self.fallbacks = 0

    def add(self, made: Predictive | NotAssessable, past: History, ahead: History) -> None:
        """Score one forecast; where a method gives none, persistence speaks in its place."""
        cycles = tuple(o.cycle for o in ahead.observations)
        y = np.array([o.soh_pct for o in ahead.observations])
        if isinstance(made, NotAssessable):
            self.fallbacks += 1
            made = persistent(past, cycles)
        error = float(np.mean(np.square(y - made.mean())))
        self.rows.append((error, float(made.crps(y).mean()), float(made.covered(y).mean())))
        for threshold in THRESHOLDS:
            missed = end_of_life_error(made, past, ahead, threshold)
            if missed is not None:
                self.ends.append(missed)

    def figures(self) -> dict[str, float]:
        """Return the means over cells."""
        square, crps, coverage = np.array(self.rows).mean(axis=0)
        return {
            "rmse": round(math.sqrt(square), 4),
            "crps": round(float(crps), 4),
            "coverage": round(float(coverage), 4),
            "end_of_life_error_pct": round(float(np.mean(self.ends)), 2) if self.ends else math.nan,
            "without_answer": self.fallbacks,
        }


PROMISES_PCT = (2.0, 3.0, 4.0, 6.0)
TERMS = (0.5, 0.75)  # of the cycles already run; no record ends before, so none is chosen by its end


class Claims:
    """Predicted and realised cost of warranties sold at half life: paid 1 early in the term, ½ late."""

    def __init__(self) -> None:
        self.predicted: dict[float, list[float]] = {term: [] for term in TERMS}
        self.realised: dict[float, list[float]] = {term: [] for term in TERMS}

    def add(self, known: Past, ahead: History) -> None:
        """Promise one cell so many per cent below where it stands, and see what it comes to."""
        past = known.history
        now = float(np.median([o.soh_pct for o in past.observations[-3:]]))
        for term in TERMS:
            span = term * past.last
            for promise in PROMISES_PCT:
                terms = Terms(now - promise, span, 100.0, span, (Tier(0.5, 1.0), Tier(1.0, 0.5)))
                if promise == PROMISES_PCT[0]:
                    made = forecasts.forecast(known, terms.grid(past.last))
                if isinstance(made, NotAssessable):
                    continue
                self.predicted[term].append(price(made, terms, paths=2000).mean)
                when, fell = _passage(ahead, terms.threshold_pct)
                share = np.array([(when - past.last) / span if fell else math.inf])
                self.realised[term].append(float(terms.payout(share)[0]))

    def figures(self, term: float) -> dict[str, float]:
        """Return the ratio of both sums, and the sums."""
        predicted, realised = math.fsum(self.predicted[term]), math.fsum(self.realised[term])
        return {
            "warranties": len(self.predicted[term]),
            "predicted": round(predicted, 2),
            "realised": round(realised, 2),
            "ratio": round(predicted / realised, 4) if realised else math.nan,
        }


def accuracy(data: Path, cells: int | None) -> tuple[dict[str, dict[str, float]], Claims]:
    """Return the scores of every method over every cell, and what a warranty came to."""
    fade = read_fade(data)
    scores: dict[str, Scores] = {}
    claims = Claims()

    def add(name: str, made: Predictive | NotAssessable, past: History, ahead: History) -> None:
        scores.setdefault(name, Scores()).add(made, past, ahead)

    fitted: dict[str, fleet.Fleet] = {}
    for model, histories in fade.items():
        names = sorted(histories)
        order = [names[i] for i in np.random.default_rng(SEED).permutation(len(names))]
        for fold in range(FOLDS):
            learnt = [histories[n] for i, n in enumerate(order) if i % FOLDS != fold]
            lot = fleet.fit(model, learnt)
            if isinstance(lot, NotAssessable):
                print(f"{model}: {lot.words}", file=sys.stderr)
                continue
            fitted[model] = lot
            few = [picked(h, 100) for h in learnt]
            for name in order[fold::FOLDS][:cells]:
                past, ahead = halves(histories[name])
                cycles = tuple(o.cycle for o in ahead.observations)
                known = Past(past, model, lot, few)
                claims.add(known, ahead)
                for method in FORECASTERS:
                    add(method, forecasts.forecast(known, cycles, method), past, ahead)
                for method, run in BESIDE.items():
                    add(method, run(past, cycles), past, ahead)
            print(f"{model}: fold {fold + 1} of {FOLDS}", file=sys.stderr, flush=True)
    for model, histories in fade.items():
        others = [m for m in fitted if m != model]
        for i, name in enumerate(sorted(histories)[: None if cells is None else cells * FOLDS]):
            past, ahead = halves(histories[name])
            cycles = tuple(o.cycle for o in ahead.observations)
            wrong = fitted[others[i % len(others)]]
            add("wrong fleet, said so", forecasts.forecast(Past(past, model, wrong), cycles), past, ahead)
            add("wrong fleet, mislabelled", forecasts.forecast(Past(past, "", wrong), cycles), past, ahead)
    return {name: found.figures() for name, found in scores.items()}, claims


def speed(lot: int = 10_000) -> dict[str, float]:
    """Return how many times as fast as scikit-learn ours is, both timed in this run."""
    drawn = np.random.default_rng(SEED)
    cycles = np.linspace(0, 500, CHECKUPS) * np.exp(0.2 * drawn.standard_normal((lot, 1)))
    bend = 1 + drawn.random((lot, 1))
    soh = 98 - 10 * (cycles / cycles[:, -1:]) ** bend + 0.1 * drawn.standard_normal(cycles.shape)
    uneven = np.sort(np.maximum(cycles + 3 * drawn.standard_normal(cycles.shape), 0) + 0.01, axis=1)
    few = [
        History(tuple(Observation(float(c), float(s)) for c, s in zip(*row, strict=True)))
        for row in zip(cycles[:20], soh[:20], strict=True)
    ]
    ahead = cycles[:, -1:] * np.linspace(1.02, 1.5, CHECKUPS)
    grids = [tuple(map(float, row)) for row in ahead[:20]]

    def each(call: Callable[[History, tuple[float, ...]], object]) -> float:
        times = []
        for history, grid in zip(few, grids, strict=True):
            began = time.perf_counter()
            call(history, grid)
            times.append(time.perf_counter() - began)
        return float(np.median(times))

    def once(call: Callable[[], object]) -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    theirs_fixed = each(lambda h, at: sklearn_fit(h, np.array(at), optimise=False))
    theirs = each(lambda h, at: sklearn_fit(h, np.array(at)))
    ours_fixed, ours = each(regression.by_default), each(regression.by_likelihood)
    batch.fit(cycles[:1], soh[:1])  # compiled once, kept on disk
    whole = min(once(lambda: batch.fit(cycles, soh)) for _ in range(3))
    odd = min(once(lambda: batch.fit(uneven, soh)) for _ in range(3))
    fits = batch.fit(cycles, soh)
    square = drawn.standard_normal((1000, 1000))
    fastest = min(once(lambda: square @ square) for _ in range(5))
    flops = lot * (lanes.OCTAVES + 1) * 4 / 3 * (CHECKUPS + 1) ** 3
    return {
        "speed_one_fixed": round(theirs_fixed / ours_fixed, 1),
        "speed_one_mle": round(theirs / ours, 1),
        "speed_batch": round(theirs * lot / whole, 1),
        "speed_batch_uneven": round(theirs * lot / odd, 1),
        "forecast_10000_s": round(min(once(lambda: fits.forecast(ahead)) for _ in range(3)), 4),
        "forecast_10000_with_bands_s": round(once(lambda: (fits.forecast(ahead), fits.deviation(ahead))), 4),
        "batch_s": round(whole, 3),
        "batch_uneven_s": round(odd, 3),
        "share_of_flop_limit": round(flops / 2e9 * fastest / odd, 3),
        "sklearn_one_mle_s": round(theirs, 5),
    }


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/capacity_fade.csv.gz"))
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--cells", type=int, help="at most so many cells of each fold")
    parser.add_argument("--speed", action="store_true", help="the speed figures alone")
    given = parser.parse_args()
    if given.speed:
        print(json.dumps(speed(), indent=2))
        return
    if not given.data.exists():
        raise SystemExit(f"{given.data} is not there; name the fade data with --data")
    started = time.perf_counter()
    table, claims = accuracy(given.data, given.cells)
    figures: dict[str, Any] = {
        "crps_default": table[forecasts.DEFAULT]["crps"],
        "coverage_default": table[forecasts.DEFAULT]["coverage"],
        "crps_cell_only": table[fleet.CELL_ONLY]["crps"],
        "crps_wrong_fleet": table["wrong fleet, said so"]["crps"],
        "crps_wrong_fleet_mislabelled": table["wrong fleet, mislabelled"]["crps"],
        "warranty_cost_ratio": claims.figures(TERMS[0])["ratio"],
        "warranty_cost_ratio_longer": claims.figures(TERMS[1])["ratio"],
        "warranty": claims.figures(TERMS[0]),
        "warranty_longer": claims.figures(TERMS[1]),
        **speed(),
        "seconds": round(time.perf_counter() - started, 1),
    }
    if given.json:
        print(json.dumps({**figures, "methods": table}, indent=2))
        return
    print(f"{'method':30} {'RMSE':>7} {'CRPS':>7} {'cover':>7} {'EoL err %':>9} {'no answer':>9}")
    for name, row in sorted(table.items(), key=lambda item: item[1]["crps"]):
        print(
            f"{name:30} {row['rmse']:7.3f} {row['crps']:7.3f} {row['coverage']:7.3f} "
            f"{row['end_of_life_error_pct']:9.1f} {row['without_answer']:9.0f}"
        )
    for name, figure in figures.items():
        print(f"{name:30} {figure}")


if __name__ == "__main__":
    main()
