"""The governance framework as data: who may do, state and see what, by which methods, under which terms.

What it does not allow is not allowed. Its text is TOML or JSON; what people read in it is in English and
Japanese. How far a statement may go is its opening: `public` may be published, on purpose, by its issuer;
`limited` is shown to parties under one of the contracts; `private` is shown to nobody.
"""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib import resources
from types import MappingProxyType
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from analysis.result import digest
from credentials.strict import loads
from schemas.errors import Invalid, Unknown
from schemas.handling import Use

ANY = "any"
EVER = datetime.min.replace(tzinfo=UTC)

Opening = Literal["public", "limited", "private"]
OPENINGS: tuple[Opening, ...] = ("public", "limited", "private")
StatusPurpose = Literal["revocation", "suspension"]


def _sealed[V](table: Mapping[str, V]) -> Mapping[str, V]:
    return MappingProxyType(dict(table))


type Table[V] = Annotated[Mapping[str, V], AfterValidator(_sealed)]


class Rule(BaseModel):
    """A part of the framework."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, str_max_length=4000)


class Text(Rule):
    """What people read, in both languages."""

    en: str = Field(min_length=1)
    ja: str = Field(min_length=1)


class RoleRule(Text):
    """What a role is, and what whoever wants to be admitted in it must show."""

    admission: tuple[Text, ...] = ()


class Standing(Rule):
    """What a member's standing lets it do: open new dealings; stand in the register."""

    may_deal: bool
    listed: bool


class ClaimRule(Rule):
    """Who may state a type of claim, by which schema, how far it may go and how long it is kept."""

    issuers: tuple[str, ...]
    schema_digest: str = Field(alias="schema", pattern=r"^sha256:[0-9a-f]{64}$")
    opening: Opening
    fields: Table[Opening] = Field(default_factory=dict, validate_default=True)
    status: tuple[StatusPurpose, ...] = ()
    retention_years: int = Field(ge=1, le=100)


class Contract(Rule):
    """Terms under which limited statements are shown: to whom, for what, which fields, with which duties."""

    title: Text
    purposes: tuple[str, ...] = Field(min_length=1)
    askers: tuple[str, ...] = Field(min_length=1)
    claims: Table[tuple[str, ...]]
    obligations: tuple[Text, ...] = ()
    retention_days: int = Field(ge=1, le=36500)
    may_pass_on: bool = False


class Fee(Rule):
    """What a member pays."""

    what: Text
    amount_jpy: int = Field(ge=0)
    every: Literal["once", "month", "year", "audit"]
    roles: tuple[str, ...] = (ANY,)


class Prescribed(Rule):
    """A method whose figures count, with the digest of its code."""

    name: str
    version: str
    purpose: str
    code_digest: str


class Tool(Rule):
    """An instrument or program that may be used; a program is named by the digest of its code."""

    name: str = Field(min_length=1)
    purpose: str
    code_digest: str = ""
    calibration_months: int | None = Field(default=None, ge=1)


class Need(Rule):
    """A measurement that a grade needs, and its limits; a limit is held by the whole interval."""

    measurement: str
    at_least: Decimal | None = None
    at_most: Decimal | None = None
    interval_at_most: Decimal | None = None


class Grade(Rule):
    """A reuse class: an item is of the first one all of whose needs it meets."""

    name: str = Field(min_length=1, max_length=40)
    title: Text
    use: Use
    needs: tuple[Need, ...] = ()


class Suites(Rule):
    """The seals in which statements may be made, those that are understood besides, and DID methods."""

    issue: tuple[str, ...]
    verify: tuple[str, ...] = ()
    did_methods: tuple[str, ...]


class StatusLists(Rule):
    """How it is told that a statement no longer counts."""

    entries: int = Field(ge=131_072)
    decoys_pct: int = Field(ge=0, le=100)
    fresh_for_s: int = Field(ge=60, le=7 * 24 * 3600)


class Legal(Rule):
    """The law that holds, where disputes go, by which clock days begin; liability and property."""

    jurisdiction: Text
    court: Text
    time_zone: str
    liability: Text
    intellectual_property: Text


class Recognised(Rule):
    """Another authority whose word on an action and resource is taken here."""

    did: str = Field(pattern=r"^did:")
    actions: tuple[str, ...] = Field(min_length=1)
    resources: tuple[str, ...] = Field(min_length=1)


class Rules(Rule):
    """Everything the framework says."""

    name: str = Field(min_length=1, max_length=200)
    version: int = Field(ge=1)
    roles: Table[RoleRule]
    statuses: Table[Standing]
    protocols: Table[Mapping[str, tuple[str, ...]]]
    claims: Table[ClaimRule]
    purposes: Table[Text]
    contracts: Table[Contract]
    methods: tuple[Prescribed, ...]
    tools: tuple[Tool, ...] = ()
    grades: tuple[Grade, ...] = ()
    fees: tuple[Fee, ...] = ()
    suites: Suites
    status_lists: StatusLists
    legal: Legal
    recognised: tuple[Recognised, ...] = ()


@dataclass(frozen=True)
class Framework:
    """One version of the rules, and from when it holds; the first has always held."""

    rules: Rules
    document: Mapping[str, Any]
    digest: str
    holds_from: datetime = EVER

    @property
    def name(self) -> str:
        """Return its name."""
        return self.rules.name

    @property
    def version(self) -> int:
        """Return its number."""
        return self.rules.version

    @property
    def title(self) -> str:
        """Return its name and number."""
        return f"{self.name} {self.version}"

    @property
    def roles(self) -> Mapping[str, RoleRule]:
        """Return the roles by name."""
        return self.rules.roles

    def may_play(self, role: str, protocol: str, side: str) -> bool:
        """Say whether a company in `role` may take `side` in `protocol`, named as `collection/1.0`."""
        return self._is_of(role, self.rules.protocols.get(protocol, {}).get(side, ()))

    def may_issue(self, role: str, claim_type: str) -> bool:
        """Say whether a statement of this type counts when a company in `role` makes it."""
        rule = self.rules.claims.get(claim_type)
        return rule is not None and self._is_of(role, rule.issuers)

    def may_deal(self, status: str) -> bool:
        """Say whether a member of this status may open new dealings."""
        return status in self.rules.statuses and self.rules.statuses[status].may_deal

    def opening(self, claim_type: str, field: str = "") -> Opening:
        """Return how far a statement of this type, or one field of it, may go."""
        rule = self.rules.claims.get(claim_type)
        if rule is None:
            return "private"
        narrowest = max(OPENINGS.index(rule.opening), OPENINGS.index(rule.fields.get(field, "public")))
        return OPENINGS[narrowest]

    def may_publish(self, claim_type: str) -> bool:
        """Say whether a statement of this type may be shown to everyone."""
        return self.opening(claim_type) == "public"

    def may_see(self, role: str, claim_type: str, field: str, purpose: str, contract: str) -> bool:
        """Say whether a company in `role` may be shown this field, for this purpose under this contract."""
        opening = self.opening(claim_type, field)
        terms = self.rules.contracts.get(contract)
        if opening != "limited" or terms is None:
            return opening == "public"
        fields = terms.claims.get(claim_type, ())
        return (
            purpose in terms.purposes
            and self._is_of(role, terms.askers)
            and (ANY in fields or field in fields)
        )

    def may_ask(self, role: str, contract: str) -> bool:
        """Say whether a company in `role` may ask for limited statements under a contract."""
        terms = self.rules.contracts.get(contract)
        return terms is not None and self._is_of(role, terms.askers)

    def contract_for(self, roles: Iterable[str], purpose: str) -> str:
        """Name the first contract under which a company in these roles may ask for a purpose, or nothing."""
        return next(
            (
                name
                for name, terms in self.rules.contracts.items()
                if purpose in terms.purposes and any(self._is_of(role, terms.askers) for role in roles)
            ),
            "",
        )

    def terms(self, contract: str) -> str:
        """Return the digest of a contract as it stands in this version, or raise `Unknown`."""
        if contract not in self.rules.contracts:
            raise Unknown("the framework has no contract “{contract}”", contract=contract)
        return digest({"framework": self.digest, "contract": contract})

    def prescribes(self, name: str, version: str, code_digest: str) -> bool:
        """Say whether figures by exactly this code count."""
        return any(
            (m.name, m.version, m.code_digest) == (name, version, code_digest) for m in self.rules.methods
        )

    def understands(self, suite: str) -> bool:
        """Say whether statements sealed so count."""
        return suite in (*self.rules.suites.issue, *self.rules.suites.verify)

    def _is_of(self, role: str, roles: Iterable[str]) -> bool:
        return role in self.rules.roles and (role in roles or ANY in roles)


def read_framework(text: str) -> Framework:
    """Return the framework that a TOML or JSON text describes, or raise Invalid naming what is wrong with it.

    Nothing may stand in it that is not understood.
    """
    try:
        document = loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (Invalid, ValueError, RecursionError) as wrong:
        raise Invalid("The framework cannot be read: {wrong}.", wrong=str(wrong)[:200].rstrip(".")) from wrong
    return framework_of(document, strict=True)


def framework_of(
    document: Mapping[str, Any], holds_from: datetime = EVER, *, strict: bool = False
) -> Framework:
    """Return the framework that a document states; unless `strict`, what is not understood is left aside."""
    try:
        rules = Rules.model_validate(document, extra="forbid" if strict else "ignore")
        named = digest(dict(document))
    except (ValidationError, ValueError, RecursionError) as wrong:
        raise Invalid("The framework cannot be read: {wrong}.", wrong=_words(wrong)) from wrong
    _check_names(rules)
    return Framework(rules, MappingProxyType(dict(document)), named, holds_from)


def _check_names(rules: Rules) -> None:
    """Raise Invalid for the first name in the rules that stands for nothing."""
    named = {role for sides in rules.protocols.values() for side in sides.values() for role in side}
    named |= {role for claim in rules.claims.values() for role in claim.issuers}
    named |= {role for contract in rules.contracts.values() for role in contract.askers}
    named |= {role for fee in rules.fees for role in fee.roles}
    _known("role", named - {ANY}, rules.roles)
    for contract in rules.contracts.values():
        _known("purpose", contract.purposes, rules.purposes)
        _known("claim type", contract.claims, rules.claims)
    grades = [grade.name for grade in rules.grades]
    if len(set(grades)) < len(grades):
        raise Invalid("two grades of the framework have one name")
    try:
        ZoneInfo(rules.legal.time_zone)
    except (KeyError, ValueError, OSError) as unknown:
        raise Invalid("there is no time zone {name}", name=rules.legal.time_zone[:40]) from unknown


def _known(what: str, named: Iterable[str], known: Iterable[str]) -> None:
    if unknown := set(named) - set(known):
        raise Invalid(
            "the framework names a {what} it does not have: {name}", what=what, name=min(unknown)[:60]
        )


def _words(wrong: Exception) -> str:
    if not isinstance(wrong, ValidationError):
        return str(wrong)[:200]
    found = wrong.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in found["loc"])
    words = found["msg"].removeprefix("Value error, ")
    return f"{place}: {words}" if place else words


FRAMEWORK = read_framework(resources.files("governance").joinpath("framework.toml").read_text("utf-8"))
