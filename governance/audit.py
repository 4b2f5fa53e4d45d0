"""Audit by re-execution: a stated forecast is made again from its inputs, figure by figure.

Pure but for the workshop it is given, which runs the very tool that the statement names. It sees histories
under pseudonyms, never an item, a buyer or a price.

What it compares. Figures are stated to a fixed number of decimals, and so one unit of the last may differ
where a figure lies on the edge of two. Methods that solve equations come out alike on every machine to that
unit. Methods that search for an optimum (gp-ml-…) stop where the last digits of the linear algebra library
(BLAS) let them, and those differ between processors: by 27 units at most on the six kinds of OpenBLAS kernel
that were tried, so they get 200. In state of health that is 0.0002 %.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from analysis.lifetime.statement import Inputs
from analysis.result import digest
from governance.finding import Finding
from governance.framework import FRAMEWORK, Framework
from schemas.claims import CheckUps
from schemas.errors import Fault

ENVELOPE: Final = ("subject", "code_digest", "inputs_digest")
DECIMALS: Final = {"end_of_life": 2}
_DECIMALS: Final = 6
_MOST_FINDINGS: Final = 100


class Rerun(Protocol):
    """Whatever runs a kept tool."""

    def run(
        self, code_digest: str, inputs: Mapping[str, Any], fleet: Mapping[str, Any] | None
    ) -> Mapping[str, Any]:
        """Run the tool of this digest."""
        ...


class Statement(BaseModel):
    """What every statement of a forecast names, whatever its tool's figures look like."""

    model_config = ConfigDict(frozen=True, extra="allow")
    subject: str = Field(max_length=200)
    code_digest: str = Field(max_length=200)
    inputs_digest: str = Field(max_length=200)
    method: str = Field(max_length=80)
    version: str = Field(max_length=20)


@dataclass(frozen=True, slots=True)
class Findings:
    """The statement does not hold."""

    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Certified:
    """Every figure came out again within the tolerance, from a history that is whole and sealed."""

    method: str
    version: str
    code_digest: str
    inputs_digest: str
    figures: int
    observations: int
    tolerance: str
    max_deviation: float


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed statement as an auditor needs it: its digest, when it was made, and what it says."""

    digest: str
    at: datetime
    claim: Mapping[str, Any]


type Outcome = Certified | Findings


def state(figures: Mapping[str, Any], inputs: Inputs, code_digest: str) -> dict[str, object]:
    """Return the statement of a forecast made from `inputs` by the tool of this digest."""
    return {
        "subject": inputs.subject,
        "code_digest": code_digest,
        "inputs_digest": inputs.digest(),
        **figures,
    }


def link(claim: CheckUps) -> str:
    """Return by which digest later check-ups and the inputs of forecasts name these."""
    return digest(claim.model_dump(mode="json"))


def audit(
    prediction: Sealed,
    inputs: Mapping[str, Any],
    fleet: Mapping[str, Any] | None,
    check_ups: Sequence[Sealed],
    rerun: Rerun,
    framework: Framework = FRAMEWORK,
) -> Outcome:
    """Check the inputs of a prediction against the sealed check-ups, make it again, and compare.

    `check_ups` are all of the member about this subject that the auditor has ever seen.
    """
    try:
        said = Statement.model_validate(prediction.claim.get("statement"))
        held = Inputs.model_validate(inputs)
    except ValidationError as wrong:
        where = ".".join(map(str, wrong.errors(include_url=False, include_input=False)[0]["loc"]))
        return _found("malformed", "The statement or its inputs cannot be read.", where)
    stated = {name: value for name, value in said.model_dump().items() if name not in ENVELOPE}
    endless = [name for name, figure in leaves(stated) if isinstance(figure, float) and not _finite(figure)]
    if endless:
        return _found("non-finite", "A figure is not a finite number.", ", ".join(endless[:20]))
    found = (
        *_mismatched(said, held, fleet),
        *_other_settings(stated, held),
        *_unprescribed(said, framework),
        *_unsealed(held, [one for one in check_ups if one.at <= prediction.at]),
    )
    if found:
        return Findings(found[:_MOST_FINDINGS])
    try:
        made = rerun.run(said.code_digest, held.model_dump(mode="json"), fleet)
    except Fault as fault:
        return _found("tool-missing", "The tool of this version cannot be run.", str(fault))
    if "figures" not in made:
        return _unmade(made)
    return _compared(said, stated, made["figures"], held)


def _found(code: str, words: str, evidence: str = "") -> Findings:
    return Findings((Finding(code, words, evidence[:400]),))


def _finite(figure: float) -> bool:
    return math.isfinite(figure)


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every figure and word of a JSON value with its place: `mean_pct[3]`."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for i, inner in enumerate(value):
            yield from leaves(inner, f"{name}[{i}]")
    else:
        yield name, value


def _mismatched(said: Statement, held: Inputs, fleet: Mapping[str, Any] | None) -> Iterator[Finding]:
    if held.subject != said.subject:
        yield Finding("other-subject", "The inputs are about another subject than the statement.")
    actual = held.digest()
    if actual != said.inputs_digest:
        evidence = f"stated {said.inputs_digest}, received {actual}"
        yield Finding("wrong-inputs", "The inputs are not those the statement was made from.", evidence)
    try:
        came = "" if fleet is None else digest(dict(fleet))
    except (TypeError, ValueError, RecursionError):
        came = "unreadable"
    if came != held.fleet:
        evidence = f"named {held.fleet or 'none'}, received {came or 'none'}"
        yield Finding("other-fleet", "The fleet is not the one the inputs name.", evidence)


def _other_settings(stated: Mapping[str, Any], held: Inputs) -> Iterator[Finding]:
    for name, asked in (("method", held.method), ("threshold_pct", held.threshold_pct)):
        if stated.get(name) != asked:
            evidence = f"{name}: stated {stated.get(name)}, in the inputs {asked}"
            yield Finding(
                "other-settings", "The statement is about other settings than its inputs.", evidence
            )


def _unprescribed(said: Statement, framework: Framework) -> Iterator[Finding]:
    known = [m for m in framework.rules.methods if m.name == said.method and m.purpose == "prediction"]
    versions = [m.version for m in known]
    codes = [m.code_digest for m in known if m.version == said.version]
    if not known:
        yield Finding("unknown-method", "No method of this name is prescribed.", said.method)
    elif not codes:
        evidence = f"stated {said.version}, prescribed {', '.join(versions)}"
        yield Finding("unknown-version", "This version of the method is not prescribed.", evidence)
    elif said.code_digest not in codes:
        evidence = f"stated {said.code_digest}, prescribed {', '.join(codes)}"
        yield Finding("other-code", "The statement was made with other code than prescribed.", evidence)


def _unsealed(held: Inputs, sealed: Sequence[Sealed]) -> Iterator[Finding]:
    """Find what is not as the sealed check-ups say: a chain of them, of which nothing may be left out."""
    claims = {one.digest: CheckUps.model_validate(one.claim) for one in sealed}
    claims = {name: claim for name, claim in claims.items() if claim.subject == held.subject}
    count, before = 0, ""
    entries: dict[float, tuple[float, float]] = {}
    for name in held.check_ups:
        claim = claims.pop(name, None)
        if claim is None:
            yield Finding("missing-check-ups", "Sealed check-ups that the inputs name are not here.", name)
            return
        if (claim.before_count, claim.previous_digest) != (count, before):
            evidence = f"{claim.before_count} came before, where {count} did"
            yield Finding("broken-chain", "The sealed check-ups do not follow on one another.", evidence)
            return
        for entry in claim.check_ups:
            if float(entry.run_count) in entries:
                yield Finding("twice", "A cycle was checked up twice.", f"cycle {entry.run_count}")
            entries[float(entry.run_count)] = (float(entry.found_soh_pct), float(entry.sd_pct))
        count, before = count + len(claim.check_ups), name
    for name, claim in claims.items():
        forked = claim.before_count < count
        code = "two-histories" if forked else "left-out"
        words = (
            "There is a second history of sealed check-ups of this subject."
            if forked
            else "Check-ups that were sealed before the prediction are left out of its history."
        )
        evidence = f"{name}: cycles {', '.join(str(e.run_count) for e in claim.check_ups[:10])}"
        yield Finding(code, words, evidence)
    given = {o.cycle: (o.soh_pct, o.sd_pct) for o in held.observations}
    for cycle in sorted(entries.keys() - given.keys()):
        words = "Check-ups that were sealed before the prediction are left out of its history."
        yield Finding("left-out", words, f"cycle {cycle:g}: {entries[cycle][0]:g} %")
    for cycle in sorted(given.keys() - entries.keys()):
        words = "An observation of the history is in no sealed check-up."
        yield Finding("uncredentialed", words, f"cycle {cycle:g}: {given[cycle][0]:g} %")
    for cycle in sorted(given.keys() & entries.keys()):
        if given[cycle] != entries[cycle]:
            evidence = f"cycle {cycle:g}: {given[cycle][0]:g} %, sealed {entries[cycle][0]:g} %"
            yield Finding("altered", "An observation is not as it was sealed.", evidence)


def _unmade(made: Mapping[str, Any]) -> Findings:
    if "not_assessable" in made:
        words = "The method gives no forecast for these inputs."
        return _found("not-assessable", words, str(made.get("words", "")))
    if "invalid" in made:
        return _found("bad-inputs", "The method refuses these inputs.", str(made["invalid"]))
    why = str(made.get("stopped", ""))
    words = "The tool did not come to an end with these inputs within its limits of time and memory."
    return _found("too-costly", words, f"{why} {made.get('words', '')}".strip())


def _unit(name: str) -> float:
    return float(10.0 ** -DECIMALS.get(name.partition(".")[0], _DECIMALS))


def units(method: str) -> int:
    """Return by how many units of the last decimal a figure may differ: more where an optimum is searched."""
    return 200 if method.startswith("gp-ml-") else 1


def _compared(said: Statement, stated: Mapping[str, Any], made: Mapping[str, Any], held: Inputs) -> Outcome:
    was, is_ = dict(leaves(stated)), dict(leaves(made))
    found: list[Finding] = []
    if odd := sorted(was.keys() ^ is_.keys()):
        others = Counter("limits" if name.startswith(("limits", "warnings")) else "figures" for name in odd)
        if others["figures"]:
            first = next(name for name in odd if not name.startswith(("limits", "warnings")))
            words = "Figures are missing or more than the method gives."
            found.append(Finding("other-figures", words, first))
        if others["limits"]:
            words = "The statement leaves out or alters the method's limits or warnings."
            found.append(Finding("other-limits", words))
    allowed, largest, count = units(said.method), 0.0, 0
    for name in (n for n in is_ if n in was):
        one, other = was[name], is_[name]
        if _number(one) and _number(other):
            count += 1
            largest = max(largest, abs(one - other))
            if abs(one - other) > (allowed + 1e-3) * _unit(name):
                found.append(_deviation(name, one, other))
        elif one != other or type(one) is not type(other):
            if name.startswith(("limits", "warnings")):
                words = "The statement leaves out or alters the method's limits or warnings."
                found.append(Finding("other-limits", words))
            else:
                found.append(_deviation(name, one, other))
    if found:
        return Findings(tuple(dict.fromkeys(found))[:_MOST_FINDINGS])
    return Certified(
        method=said.method,
        version=said.version,
        code_digest=said.code_digest,
        inputs_digest=said.inputs_digest,
        figures=count,
        observations=len(held.observations),
        tolerance=f"{allowed} of the last decimal",
        max_deviation=largest,
    )


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _deviation(name: str, was: object, is_: object) -> Finding:
    by = f", by {was - is_:+.6f}" if _number(was) and _number(is_) else ""  # type: ignore[operator]
    return Finding(
        "deviates", "A stated figure did not come out again.", f"{name}: {was} for {is_}{by}"[:400]
    )
