"""Whether a framework fits the code that runs: what an authority looks at before it puts one in force."""

from collections.abc import Iterable, Iterator
from typing import get_args

from governance.framework import ANY, FRAMEWORK, Framework
from governance.methods import METHODS
from protocols.catalogue import PROTOCOLS
from protocols.disclosure import Purpose
from protocols.membership import MEMBERSHIP
from schemas import terms
from schemas.claims import CLAIMS, DiagnosisResult
from schemas.errors import Invalid
from schemas.units import unit_of

AUTHORITY = "governance-authority"
OWN = ("Accreditation", "MembershipRegister", "GovernanceFramework")
"""What the authority must be able to state, lest it lock itself and everyone out."""

SEAL = "eddsa-jcs-2022"
"""The seal that agents put on what they send each other."""


def conform(framework: Framework) -> None:
    """Raise `Invalid` with the first thing in a framework that this software could not live by."""
    for problem in problems(framework):
        raise problem


def problems(framework: Framework) -> Iterator[Invalid]:
    """Yield everything in a framework that this software could not live by."""
    rules = framework.rules
    yield from _same("role", rules.roles, FRAMEWORK.roles)
    yield from _same("standing", rules.statuses, FRAMEWORK.rules.statuses)
    yield from _same("purpose", rules.purposes, get_args(Purpose))
    yield from _same("protocol", rules.protocols, PROTOCOLS)
    yield from _same("claim type", rules.claims, CLAIMS)
    for name, sides in rules.protocols.items():
        if name in PROTOCOLS:
            yield from _same("side", sides, PROTOCOLS[name].sides)
    for name, rule in rules.claims.items():
        if name not in CLAIMS:
            continue
        if rule.schema_digest != terms.schema_digest(name):
            yield Invalid("the framework names another schema of {type} than this agent has", type=name)
        yield from _known_fields(name, rule.fields)
        for contract in rules.contracts.values():
            yield from _known_fields(name, set(contract.claims.get(name, ())) - {ANY})
    held = {(m.name, m.version, m.code_digest) for m in METHODS}
    for method in rules.methods:
        if (method.name, method.version, method.code_digest) not in held:
            yield Invalid(
                "the framework prescribes a method this agent does not have: {name}",
                name=f"{method.name} {method.version}",
            )
    for need in (need for one in rules.grades for need in one.needs):
        if need.measurement not in DiagnosisResult.model_fields or not unit_of(need.measurement):
            yield Invalid("a grade needs what no diagnosis states: {name}", name=need.measurement[:60])
    if SEAL not in rules.suites.issue:
        yield Invalid("the framework does not allow the seal that agents use: {name}", name=SEAL)
    for type_ in OWN:
        if not framework.may_issue(AUTHORITY, type_):
            yield Invalid("the authority could no longer issue {type}", type=type_)
    if not framework.may_play(AUTHORITY, MEMBERSHIP.name, "authority"):
        yield Invalid("the authority could no longer admit members")
    if not framework.may_deal("accredited"):
        yield Invalid("nobody could deal with anybody any more")


def _same(what: str, named: Iterable[str], known: Iterable[str]) -> Iterator[Invalid]:
    for name in sorted(set(named) - set(known)):
        yield Invalid(
            "the framework has a {what} this agent does not know: {name}", what=what, name=name[:60]
        )
    for name in sorted(set(known) - set(named)):
        yield Invalid("the framework lacks a {what}: {name}", what=what, name=name)


def _known_fields(type_: str, fields: Iterable[str]) -> Iterator[Invalid]:
    for name in sorted(set(fields) - set(CLAIMS[type_].model_fields)):
        yield Invalid("{type} has no field {name}", type=type_, name=name[:60])
