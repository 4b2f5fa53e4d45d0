"""Disclosure 1.0: ask another company what it knows of an item; it answers in full, in part, or refuses."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

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
    note: str = Field(default="", max_length=1000, title="Note")


class Disclose(Message):
    """All we were asked for is attached."""

    kind: ClassVar[str] = "disclose"
    carries: ClassVar[frozenset[str]] = OF_ITEMS


class DiscloseInPart(Message):
    """What we may give is attached; this is held back."""

    kind: ClassVar[str] = "disclose-in-part"
    carries: ClassVar[frozenset[str]] = OF_ITEMS
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
