"""Delivery 1.0: a lot is offered, ordered, shipped with its credentials, and taken in item by item."""

from decimal import Decimal
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from protocols.exchange import Because, Message, Protocol, Step
from schemas.handling import Use
from schemas.items import Code


class Line(BaseModel):
    """One item of a lot, with what the buyer needs to know to decide."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    item: Code = Field(title="Item code")
    grade: str = Field(default="", max_length=40, title="Grade")
    soh_pct: Decimal | None = Field(default=None, ge=0, le=200, title="State of health (%)")
    chemistry: str = Field(default="", max_length=40, title="Chemistry")
    mass_kg: Decimal | None = Field(default=None, gt=0, le=100_000, title="Mass (kg)")


class Rejection(BaseModel):
    """One item not accepted, and why."""

    model_config = ConfigDict(frozen=True)
    item: Code = Field(title="Item code")
    reason: str = Field(min_length=1, max_length=1000, title="Reason")


class Offer(Message):
    """We offer this lot."""

    kind: ClassVar[str] = "offer"
    lot: Code = Field(title="Lot code")
    purpose: Use = Field(title="Purpose")
    lines: tuple[Line, ...] = Field(min_length=1, max_length=2000, title="Items")
    price_jpy: int = Field(ge=-1_000_000_000, le=1_000_000_000, title="Price (yen; below zero: we pay you)")
    note: str = Field(default="", max_length=1000, title="Note")


class Order(Message):
    """We take the lot."""

    kind: ClassVar[str] = "order"
    note: str = Field(default="", max_length=1000, title="Note")


class Decline(Because):
    """We do not take the lot."""

    kind: ClassVar[str] = "decline"


class Withdraw(Because):
    """The lot is no longer on offer."""

    kind: ClassVar[str] = "withdraw"


class Cancel(Because):
    """We cancel our order."""

    kind: ClassVar[str] = "cancel"


class Ship(Message):
    """The lot is on its way, its credentials attached."""

    kind: ClassVar[str] = "ship"
    carries: ClassVar[frozenset[str]] = frozenset(
        {"ItemIdentity", "VehicleHistory", "HandlingRecord", "DiagnosisResult"}
    )
    carrier: str = Field(min_length=1, max_length=80, title="Carrier")
    waybill: str = Field(default="", max_length=80, title="Waybill")


class Accept(Message):
    """Everything arrived and is accepted."""

    kind: ClassVar[str] = "accept"


class AcceptInPart(Message):
    """All but these items are accepted."""

    kind: ClassVar[str] = "accept-in-part"
    rejected: tuple[Rejection, ...] = Field(min_length=1, max_length=2000, title="Rejected items")


class Return(Message):
    """The rejected items are on their way back."""

    kind: ClassVar[str] = "return"
    carrier: str = Field(min_length=1, max_length=80, title="Carrier")
    waybill: str = Field(default="", max_length=80, title="Waybill")


class ConfirmReturn(Message):
    """The rejected items have arrived back."""

    kind: ClassVar[str] = "confirm-return"


DELIVERY = Protocol(
    "delivery/1.0",
    steps=(
        Step("new", "supplier", Offer, "offered"),
        Step("offered", "receiver", Order, "ordered"),
        Step("offered", "receiver", Decline, "declined"),
        Step("offered", "supplier", Withdraw, "withdrawn"),
        Step("ordered", "supplier", Ship, "shipped"),
        Step("ordered", "supplier", Withdraw, "withdrawn"),
        Step("ordered", "receiver", Cancel, "cancelled"),
        Step("shipped", "receiver", Accept, "accepted"),
        Step("shipped", "receiver", AcceptInPart, "accepted-in-part"),
        Step("accepted-in-part", "receiver", Return, "returning"),
        Step("returning", "supplier", ConfirmReturn, "closed"),
    ),
)
