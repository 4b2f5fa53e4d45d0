"""Audit by re-execution: a stated forecast is made again from its inputs, figure by figure.

Pure: it reads nothing but its arguments and the prescribed methods. It sees histories under pseudonyms,
never an item, a buyer or a price.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from analysis.lifetime.gp import Forecast
from analysis.lifetime.statement import DECIMALS, Inputs, Statement, figures
from analysis.result import NotAssessable
from governance.methods import METHODS, Method, method
from schemas.errors import Fault

UNIT = 10.0**-DECIMALS


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not hold: a stable code, the same in words, and the figures that show it."""

    code: str
    words: str
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """The statement does not hold."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Certified:
    """Every figure came out again within the tolerance."""

    method: str
    version: str
    code_digest: str
    inputs_digest: str
    statement_digest: str
    figures: int
    tolerance: str
    max_deviation: float


type Outcome = Certified | Findings


def recompute(statement: Statement | Mapping[str, Any], inputs: Inputs | Mapping[str, Any]) -> Outcome:
    """Make the stated forecast again from `inputs` with the method it names, and compare."""
    try:
        said = _read(Statement, statement)
        held = _read(Inputs, inputs)
    except ValidationError as wrong:
        where = ".".join(map(str, wrong.errors()[0]["loc"]))
        return _found("malformed", "The statement or its inputs cannot be read.", where)
    first = _malformed(said, held)
    if first:
        return Findings(first)
    found = (*_mismatched(said, held), *_unprescribed(said))
    known = method(said.method, said.version)
    if found or known is None or known.forecast is None:
        return Findings(found)
    try:
        made = known.forecast(held.history(), said.cycles, said.threshold_pct)
    except Fault as fault:
        return _found("bad-inputs", "The method refuses these inputs.", str(fault))
    if isinstance(made, NotAssessable):
        return _found("not-assessable", "The method gives no forecast for these inputs.", made.words)
    return _compared(said, made, known)


def _read[M: BaseModel](model: type[M], value: M | Mapping[str, Any]) -> M:
    return value if isinstance(value, model) else model.model_validate(value)


def _found(code: str, words: str, evidence: str = "") -> Findings:
    return Findings((Finding(code, words, evidence),))


def _malformed(said: Statement, held: Inputs) -> tuple[Finding, ...]:
    observed = (x for o in held.observations for x in (o.cycle, o.soh_pct, o.sd_pct))
    rows = {name: figure for name, figure in _rows(said) if figure is not None}
    endless = [name for name, figure in rows.items() if not math.isfinite(figure)]
    endless += [f"cycles[{i}]" for i, c in enumerate(said.cycles) if not math.isfinite(c)]
    if not math.isfinite(said.threshold_pct):
        endless.append("threshold_pct")
    if not all(map(math.isfinite, observed)):
        endless.append("observations")
    if endless:
        return (Finding("non-finite", "A figure is not a finite number.", ", ".join(endless[:20])),)
    lengths = {len(said.cycles), len(said.mean_pct), len(said.sd_pct), *map(len, said.quantiles_pct.values())}
    if lengths == {0} or len(lengths) > 1:
        return (Finding("malformed", "The columns of figures are not of one length.", str(sorted(lengths))),)
    return ()


def _mismatched(said: Statement, held: Inputs) -> Iterator[Finding]:
    if held.subject != said.subject:
        yield Finding("other-subject", "The inputs are about another subject than the statement.")
    actual = held.digest()
    if actual != said.inputs_digest:
        evidence = f"stated {said.inputs_digest}, received {actual}"
        yield Finding("wrong-inputs", "The inputs are not those the statement was made from.", evidence)


def _unprescribed(said: Statement) -> Iterator[Finding]:
    known = method(said.method, said.version)
    versions = [m.version for m in METHODS if m.name == said.method and m.forecast]
    if not versions:
        yield Finding("unknown-method", "No method of this name is prescribed.", said.method)
    elif known is None:
        evidence = f"stated {said.version}, prescribed {', '.join(versions)}"
        yield Finding("unknown-version", "This version of the method is not prescribed.", evidence)
    elif known.code_digest != said.code_digest:
        evidence = f"stated {said.code_digest}, prescribed {known.code_digest}"
        yield Finding("other-code", "The statement was made with other code than prescribed.", evidence)


def _rows(said: Statement) -> Iterator[tuple[str, float | None]]:
    columns = {"mean_pct": said.mean_pct, "sd_pct": said.sd_pct}
    columns |= {f"quantiles_pct.{level}": column for level, column in sorted(said.quantiles_pct.items())}
    for name, column in columns.items():
        for i, figure in enumerate(column):
            yield f"{name}[{i}]", figure
    yield "noise_sd_pct", said.noise_sd_pct
    for name, figure in said.end_of_life.model_dump().items():
        yield f"end_of_life.{name}", figure


def _compared(said: Statement, made: Forecast, known: Method) -> Outcome:
    again = figures(made, said.subject, said.inputs_digest, said.code_digest)
    stated, expected = dict(_rows(said)), dict(_rows(again))
    found: list[Finding] = []
    if stated.keys() != expected.keys():
        odd = sorted(stated.keys() ^ expected.keys())
        found.append(Finding("other-figures", "Figures are missing or more than the method gives.", odd[0]))
    largest = 0.0
    for name in (n for n in expected if n in stated):
        was, is_ = stated[name], expected[name]
        if was is None or is_ is None:
            if was is not is_:
                found.append(_deviation(name, was, is_))
            continue
        largest = max(largest, abs(was - is_))
        # Both sides are rounded: they may differ by one unit where a figure lies on the edge of two.
        if abs(was - is_) > 1.001 * UNIT + known.relative_tolerance * abs(is_):
            found.append(_deviation(name, was, is_))
    if said.limits != made.limits:
        found.append(Finding("other-limits", "The statement leaves out or alters the method's limits."))
    if found:
        return Findings(tuple(found))
    return Certified(
        method=said.method,
        version=said.version,
        code_digest=said.code_digest,
        inputs_digest=said.inputs_digest,
        statement_digest=said.digest(),
        figures=len(expected),
        tolerance=f"{UNIT:g} and {known.relative_tolerance:g} of the figure",
        max_deviation=largest,
    )


def _deviation(name: str, was: float | None, is_: float | None) -> Finding:
    by = "" if was is None or is_ is None else f", by {was - is_:+.6f}"
    return Finding("deviates", "A stated figure did not come out again.", f"{name}: {was} for {is_}{by}")
