"""A thousand predictions audited, a hundred of them tampered with in every way known.

    python bench/audit.py [--count 1000] [--tampered 100] [--json]

Each prediction is stated from the make-believe fade of a cell of its own, by one of the prescribed methods,
from sealed check-ups. The auditor has what a member sends, and nothing else; every one of them is computed
again in a process of its own. `found` counts the tampered ones that got findings, `false_alarms` the honest
ones that did.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from analysis.lifetime.forecasts import FORECASTERS
from analysis.lifetime.statement import Inputs
from governance.audit import Certified, audit
from governance.tools import Workshop
from tests.governance.stated import THEN, Stated, chain, fleet, sealed, stated

type Trick = Callable[[Stated], Stated]


def _restated(one: Stated, **change: object) -> Stated:
    """Change the inputs and name their new digest, as a careful cheat would."""
    inputs = Inputs.model_validate({**one.inputs, **change})
    return replace(one.saying(inputs_digest=inputs.digest()), inputs=inputs.model_dump(mode="json"))


def _figure(name: str, at: int, by: float) -> Trick:
    def trick(one: Stated) -> Stated:
        values = list(one.prediction.claim["statement"][name])
        values[at] += by
        return one.saying(**{name: values})

    return trick


def _observations(one: Stated) -> list[dict[str, float]]:
    return [dict(seen) for seen in one.inputs["observations"]]


def _kinder(one: Stated) -> Stated:
    seen = _observations(one)
    seen[-1]["soh_pct"] += 1.5
    return _restated(one, observations=seen)


def _left_out(one: Stated) -> Stated:
    seen = _observations(one)
    del seen[-2]
    return _restated(one, observations=seen)


def _stopped_early(one: Stated) -> Stated:
    return _restated(one, observations=_observations(one)[:6], check_ups=one.inputs["check_ups"][:1])


def _invented(one: Stated) -> Stated:
    seen = [*_observations(one), {"cycle": 575.0, "soh_pct": 96.0, "sd_pct": 0.3}]
    return _restated(one, observations=seen)


def _second_history(one: Stated) -> Stated:
    rows = [(seen["cycle"], seen["soh_pct"] + 1) for seen in _observations(one)]
    other = chain(one.inputs["subject"], rows)
    seen = [{"cycle": c, "soh_pct": s, "sd_pct": 0.3} for c, s in rows]
    told = _restated(one, observations=seen, check_ups=[link.digest for link in other])
    return replace(told, check_ups=(*one.check_ups, *other))


def _withheld_link(one: Stated) -> Stated:
    return replace(one, check_ups=one.check_ups[1:])


def _other_item(one: Stated) -> Stated:
    other = stated(int(one.inputs["seed"]) + 50, one.inputs["method"])
    return replace(one, inputs=other.inputs, check_ups=other.check_ups)


def _other_fleet(one: Stated) -> Stated:
    return replace(one, fleet={**fleet().model_dump(mode="json"), "cells": 99})


def _late(one: Stated) -> Stated:
    from schemas.claims import CheckUps

    last = CheckUps.model_validate(
        {**one.check_ups[0].claim, "before_count": 12, "previous_digest": one.check_ups[-1].digest}
    )
    return replace(one, check_ups=(*one.check_ups, sealed(last, THEN - timedelta(hours=1))))


TRICKS: dict[str, Trick] = {
    "edited mean": _figure("mean_pct", 2, 0.8),
    "narrowed spread": _figure("sd_pct", 1, -0.01),
    "edited chance": _figure("below_threshold", 3, -0.05),
    "no warnings": lambda one: one.saying(limits=[]),
    "later end of life": lambda one: one.saying(
        end_of_life={"earliest": 2000.0, "median": None, "latest": None}
    ),
    "other version": lambda one: one.saying(version="1.0"),
    "other code": lambda one: one.saying(code_digest="sha256:" + "0" * 64),
    "other method": lambda one: one.saying(
        method="gp-default" if one.inputs["method"] != "gp-default" else "weibull"
    ),
    "other threshold": lambda one: one.saying(threshold_pct=70.0),
    "edited inputs": lambda one: one.given(seed=one.inputs["seed"] + 1),
    "kinder observation": _kinder,
    "left out": _left_out,
    "stopped early": _stopped_early,
    "invented observation": _invented,
    "second history": _second_history,
    "withheld link": _withheld_link,
    "sealed and not told": _late,
    "other item": _other_item,
    "other fleet": _other_fleet,
    "no number": lambda one: one.saying(noise_sd_pct=float("nan")),
}


def measure(count: int, tampered: int) -> dict[str, object]:
    """Audit `count` predictions, of which `tampered` were tampered with, and return the figures."""
    methods = list(FORECASTERS)
    cases: list[tuple[str, Stated]] = []
    for number in range(count):
        # The default method is what most predictions are made by.
        method = methods[0] if number % 2 else methods[number // 2 % len(methods)]
        cases.append(("", stated(number, method, seed=number)))
    every = count // tampered if tampered else count + 1
    names = list(TRICKS)
    for turn in range(tampered):
        at = turn * every + turn % every
        cases[at] = (names[turn % len(names)], TRICKS[names[turn % len(names)]](cases[at][1]))
    missed: list[str] = []
    alarms: list[str] = []
    codes: Counter[str] = Counter()
    with Workshop() as shop:
        begun = time.perf_counter()
        for trick, one in cases:
            outcome = audit(one.prediction, one.inputs, one.fleet, one.check_ups, shop)
            if isinstance(outcome, Certified):
                missed += [trick] if trick else []
            else:
                codes.update({f.code for f in outcome.findings})
                alarms += [] if trick else [str(outcome.findings[0])]
        seconds = time.perf_counter() - begun
    return {
        "audited": count,
        "tampered": sum(1 for trick, _ in cases if trick),
        "found": sum(1 for trick, _ in cases if trick) - len(missed),
        "false_alarms": len(alarms),
        "seconds_each": round(seconds / count, 4),
        "tricks": len({trick for trick, _ in cases} - {""}),
        "missed": missed,
        "alarms": alarms[:5],
        "codes": dict(codes.most_common()),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Print the figures; 0 when every trick was found and no honest prediction was blamed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--tampered", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    figures = measure(options.count, options.tampered)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:>14}  {figure}")
    return 0 if not figures["missed"] and not figures["alarms"] else 1


if __name__ == "__main__":
    sys.exit(main())
