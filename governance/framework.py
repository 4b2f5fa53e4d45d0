"""The governance framework as data: roles, what each may do, member statuses, prescribed methods."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType

from analysis.result import digest
from schemas.errors import Invalid

ANY = "any"


@dataclass(frozen=True, slots=True)
class Status:
    """A member's standing."""

    name: str
    may_deal: bool
    listed: bool


@dataclass(frozen=True, slots=True)
class Prescribed:
    """A method whose figures count, with the digest of its code."""

    name: str
    version: str
    purpose: str
    code_digest: str


@dataclass(frozen=True)
class Framework:
    """One version of the rules; what it does not allow is not allowed."""

    name: str
    version: str
    digest: str
    roles: Mapping[str, str]
    statuses: Mapping[str, Status]
    sides: Mapping[tuple[str, str], frozenset[str]]
    claims: Mapping[str, frozenset[str]]
    public: frozenset[str]
    methods: tuple[Prescribed, ...]

    def may_play(self, role: str, protocol: str, side: str) -> bool:
        """Say whether a company in `role` may take `side` in `protocol`, named as `collection/1.0`."""
        return role in self.sides.get((protocol, side), frozenset())

    def may_issue(self, role: str, claim_type: str) -> bool:
        """Say whether a statement of this type counts when a company in `role` makes it."""
        return role in self.claims.get(claim_type, frozenset())

    def may_publish(self, claim_type: str) -> bool:
        """Say whether a statement of this type may be shown to everyone."""
        return claim_type in self.public

    def may_deal(self, status: str) -> bool:
        """Say whether a member of this status may open new dealings."""
        return status in self.statuses and self.statuses[status].may_deal

    def prescribes(self, name: str, version: str, code_digest: str) -> bool:
        """Say whether figures by exactly this code count."""
        return any((m.name, m.version, m.code_digest) == (name, version, code_digest) for m in self.methods)


def read_framework(text: str) -> Framework:
    """Return the framework that a TOML text describes, or raise Invalid naming what is wrong with it."""
    try:
        rules = tomllib.loads(text)
        framework = Framework(
            name=rules["name"],
            version=rules["version"],
            digest=digest(rules),
            roles=MappingProxyType(rules["roles"]),
            statuses=MappingProxyType({n: Status(n, **rule) for n, rule in rules["statuses"].items()}),
            sides=MappingProxyType(
                {
                    (protocol, side): _roles(rules, roles)
                    for protocol, sides in rules["protocols"].items()
                    for side, roles in sides.items()
                }
            ),
            claims=MappingProxyType({n: _roles(rules, roles) for n, roles in rules["claims"].items()}),
            public=frozenset(rules["openings"]["public"]),
            methods=tuple(Prescribed(**method) for method in rules["methods"]),
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as wrong:
        raise Invalid("The framework cannot be read: {wrong}.", wrong=wrong) from wrong
    return framework


def _roles(rules: Mapping[str, Mapping[str, str]], named: Iterable[str]) -> frozenset[str]:
    known = frozenset(rules["roles"])
    named = frozenset(named)
    if named == {ANY}:
        return known
    if named - known:
        raise Invalid("The framework names a role it does not have: {roles}.", roles=min(named - known))
    return named


FRAMEWORK = read_framework(resources.files("governance").joinpath("framework.toml").read_text("utf-8"))
