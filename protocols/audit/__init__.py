"""Audit 1.0: a member has the authority recompute a prediction from its inputs."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from protocols.exchange import Because, Message, Protocol, Step


class AuditFinding(BaseModel):
    """One thing that does not hold."""

    model_config = ConfigDict(frozen=True)
    code: str = Field(max_length=60, title="Code")
    words: str = Field(max_length=1000, title="What was found")


class RequestAudit(Message):
    """Please recompute the attached prediction from these inputs."""

    kind: ClassVar[str] = "request-audit"
    carries: ClassVar[frozenset[str]] = frozenset({"Prediction", "CheckUps"})
    inputs: dict[str, Any] = Field(title="Inputs, sealed to the authority")
    fleet: dict[str, Any] | None = Field(default=None, title="Fleet, unless sent before")


class Certify(Message):
    """It holds; the audit certificate is attached."""

    kind: ClassVar[str] = "certify"
    carries: ClassVar[frozenset[str]] = frozenset({"AuditCertificate"})


class Find(Message):
    """It does not hold."""

    kind: ClassVar[str] = "find"
    findings: tuple[AuditFinding, ...] = Field(min_length=1, max_length=200, title="Findings")


class Refuse(Because):
    """We do not audit this."""

    kind: ClassVar[str] = "refuse"


class Withdraw(Because):
    """We no longer ask for the audit."""

    kind: ClassVar[str] = "withdraw"


AUDIT = Protocol(
    "audit/1.0",
    steps=(
        Step("new", "member", RequestAudit, "requested"),
        Step("requested", "authority", Certify, "certified"),
        Step("requested", "authority", Find, "found"),
        Step("requested", "authority", Refuse, "refused"),
        Step("requested", "member", Withdraw, "withdrawn"),
    ),
)
