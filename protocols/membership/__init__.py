"""Membership 1.0: the governance authority admits a company, and says so to all when that changes."""

from typing import ClassVar, Literal

from pydantic import AwareDatetime, Field

from protocols.exchange import Because, Message, Protocol, Step

CompanyRole = Literal["dismantler", "collector", "reuse-manufacturer", "recycler"]


class Apply(Message):
    """Please admit us in these roles."""

    kind: ClassVar[str] = "apply"
    name: str = Field(min_length=1, max_length=120, title="Company name")
    roles: tuple[CompanyRole, ...] = Field(min_length=1, max_length=4, title="Roles applied for")
    contact: str = Field(default="", max_length=200, title="Contact")


class Retract(Because):
    """We no longer ask to be admitted."""

    kind: ClassVar[str] = "retract"


class Accredit(Message):
    """You are admitted; the attached accreditation names the roles granted."""

    kind: ClassVar[str] = "accredit"
    carries: ClassVar[frozenset[str]] = frozenset({"Accreditation"})
    roles: tuple[CompanyRole, ...] = Field(min_length=1, max_length=4, title="Roles granted")


class Refuse(Because):
    """You are not admitted."""

    kind: ClassVar[str] = "refuse"


class Suspend(Because):
    """Until further notice you open no new dealings."""

    kind: ClassVar[str] = "suspend"


class Reinstate(Because):
    """The suspension is lifted."""

    kind: ClassVar[str] = "reinstate"


class Withdraw(Because):
    """Your accreditation is withdrawn."""

    kind: ClassVar[str] = "withdraw"


class Resign(Because):
    """We leave."""

    kind: ClassVar[str] = "resign"


class Register(Message):
    """The attached credential is the register of members from now on."""

    kind: ClassVar[str] = "register"
    carries: ClassVar[frozenset[str]] = frozenset({"MembershipRegister"})
    version: int = Field(ge=1, title="Version of the register")


class Framework(Message):
    """The attached credential is a version of the governance framework, with the time from which it holds."""

    kind: ClassVar[str] = "framework"
    carries: ClassVar[frozenset[str]] = frozenset({"GovernanceFramework"})
    version: int = Field(ge=1, title="Version of the framework")
    holds_from: AwareDatetime = Field(title="Holds from")


MEMBERSHIP = Protocol(
    "membership/1.0",
    steps=(
        Step("new", "member", Apply, "applied"),
        Step("applied", "member", Retract, "retracted"),
        Step("applied", "authority", Refuse, "refused"),
        Step("applied", "authority", Accredit, "accredited"),
        Step("accredited", "authority", Suspend, "suspended"),
        Step("suspended", "authority", Reinstate, "accredited"),
        Step("accredited", "authority", Withdraw, "withdrawn"),
        Step("suspended", "authority", Withdraw, "withdrawn"),
        Step("accredited", "member", Resign, "resigned"),
        Step("suspended", "member", Resign, "resigned"),
        Step("accredited", "authority", Register, "accredited"),
        Step("suspended", "authority", Register, "suspended"),
        Step("accredited", "authority", Framework, "accredited"),
        Step("suspended", "authority", Framework, "suspended"),
    ),
)
