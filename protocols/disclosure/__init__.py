"""Disclosure 1.0: ask another company what it knows of an item; it answers in full, in part, or refuses.

Who asks for what is limited names a contract of the governance framework and presents its accreditation.
"""

from datetime import date
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from credentials.vc import digest
from protocols.exchange import Because, Message, Protocol, Step
from schemas.items import Code

Purpose = Literal["purchase", "safety", "recycling", "warranty", "audit", "traceability"]


OF_ITEMS = frozenset(
    {"ItemIdentity", "VehicleHistory", "HandlingRecord", "DiagnosisResult", "HandOverReceipt"}
)


class Withheld(BaseModel):
    """One kind of statement not given, and why."""

    model_config = ConfigDict(frozen=True)
    claim_type: str = Field(max_length=80, title="Kind of statement")
    reason: str = Field(min_length=1, max_length=1000, title="Reason")


class Ask(Message):
    """Please tell us what you know of this item."""

    kind: ClassVar[str] = "ask"
    item: Code = Field(title="Item code")
    purpose: Purpose = Field(title="Purpose")
    claim_types: tuple[str, ...] = Field(default=(), max_length=40, title="Kinds of statement (none: all)")
    contract: str = Field(default="", max_length=80, title="Contract of the framework")
    terms: str = Field(default="", max_length=80, title="Digest of its terms")
    note: str = Field(default="", max_length=1000, title="Note")
    presentation: str = Field(
        default="", max_length=65_536, title="Who asks", json_schema_extra={"sealed": True}
    )

    def question(self, thread: str) -> str:
        """Return what the presentation of who asks must answer: this very question, in this exchange."""
        return digest({"thread": thread, **self.model_dump(mode="json", exclude={"presentation"})})


class Disclose(Message):
    """All we were asked for is attached."""

    kind: ClassVar[str] = "disclose"
    carries: ClassVar[frozenset[str]] = OF_ITEMS
    limited: ClassVar[bool] = True
    until: date | None = Field(default=None, title="To be deleted by")


class DiscloseInPart(Message):
    """What we may give is attached; this is held back."""

    kind: ClassVar[str] = "disclose-in-part"
    carries: ClassVar[frozenset[str]] = OF_ITEMS
    limited: ClassVar[bool] = True
    until: date | None = Field(default=None, title="To be deleted by")
    withheld: tuple[Withheld, ...] = Field(min_length=1, max_length=40, title="Held back")


class Refuse(Because):
    """We do not answer."""

    kind: ClassVar[str] = "refuse"


DISCLOSURE = Protocol(
    "disclosure/1.0",
    steps=(
        Step("new", "asker", Ask, "asked"),
        Step("asked", "holder", Disclose, "disclosed"),
        Step("asked", "holder", DiscloseInPart, "disclosed-in-part"),
        Step("asked", "holder", Refuse, "refused"),
    ),
)
