"""Collection 1.0: a dismantler has a collector fetch a battery pack, from request to signed receipt."""

from datetime import date
from decimal import Decimal
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from protocols.exchange import Because, Message, Protocol, Step
from schemas.handling import SafetyFinding
from schemas.items import Code

BarSource = Literal["vehicle display", "OBD read-out", "seller's statement", "inspection report"]
YearMonth = Annotated[str, StringConstraints(pattern=r"^(19|20)\d{2}-(0[1-9]|1[0-2])$")]
ChassisNumber = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{2,8}-?[0-9]{4,9}$", to_upper=True)]


class Request(Message):
    """Please fetch this pack."""

    kind: ClassVar[str] = "request"
    vehicle: Code = Field(title="Vehicle code")
    pack: Code = Field(title="Pack code")
    vehicle_model: str = Field(min_length=1, max_length=80, title="Vehicle model")
    pack_model: str = Field(min_length=1, max_length=80, title="Pack model")
    chassis_number: ChassisNumber = Field(title="Chassis number")
    first_registration: YearMonth = Field(title="First registration (year-month)")
    odometer_km: int = Field(ge=0, le=2_000_000, title="Odometer (km)")
    capacity_low_pct: Decimal = Field(ge=0, le=100, title="Capacity at least (%)")
    capacity_high_pct: Decimal = Field(ge=0, le=100, title="Capacity at most (%)")
    capacity_source: BarSource = Field(title="Where the capacity was read")
    findings: tuple[SafetyFinding, ...] = Field(default=(), title="Safety findings")
    place: str = Field(min_length=1, max_length=200, title="Where to fetch it")
    note: str = Field(default="", max_length=1000, title="Note")

    @model_validator(mode="after")
    def _interval_is_in_order(self) -> Self:
        if self.capacity_low_pct > self.capacity_high_pct:
            raise ValueError("the lower capacity is above the upper one")
        return self


class Quote(Message):
    """We fetch it for this price: above zero we pay you, below zero you pay us."""

    kind: ClassVar[str] = "quote"
    price_jpy: int = Field(ge=-100_000_000, le=100_000_000, title="Price (yen; below zero: you pay us)")
    valid_until: date = Field(title="Valid until")
    note: str = Field(default="", max_length=1000, title="Note")


class Decline(Because):
    """We do not fetch it."""

    kind: ClassVar[str] = "decline"


class Accept(Message):
    """We accept the price."""

    kind: ClassVar[str] = "accept"


class Withdraw(Because):
    """We no longer ask for it to be fetched."""

    kind: ClassVar[str] = "withdraw"


class ProposeDate(Message):
    """We would come on this day."""

    kind: ClassVar[str] = "propose-date"
    pickup: date = Field(title="Day of collection")
    window: Literal["morning", "afternoon", "any time"] = Field(default="any time", title="Time of day")


class AgreeDate(Message):
    """That day suits us."""

    kind: ClassVar[str] = "agree-date"


class AskOtherDate(Because):
    """That day does not suit us."""

    kind: ClassVar[str] = "ask-other-date"


class Cancel(Because):
    """We call the collection off."""

    kind: ClassVar[str] = "cancel"


class HandOver(Message):
    """We have taken the pack over; the attached receipt is signed by us."""

    kind: ClassVar[str] = "hand-over"
    carries: ClassVar[frozenset[str]] = frozenset({"HandOverReceipt"})
    pack: Code = Field(title="Pack code")
    truck: str = Field(min_length=1, max_length=40, title="Truck")
    odometer_out_km: Decimal = Field(ge=0, le=5_000_000, title="Odometer at departure (km)")
    odometer_back_km: Decimal = Field(ge=0, le=5_000_000, title="Odometer on return (km)")
    load_share: Decimal = Field(gt=0, le=1, title="Our share of the load (0 to 1)")
    fuel_economy_km_per_l: Decimal = Field(gt=0, le=100, title="Fuel economy (km/L)")
    findings: tuple[SafetyFinding, ...] = Field(default=(), title="Safety findings at hand-over")

    @model_validator(mode="after")
    def _truck_came_back(self) -> Self:
        if self.odometer_back_km < self.odometer_out_km:
            raise ValueError("the odometer on return is below the one at departure")
        return self


class SignReceipt(Message):
    """We confirm the hand-over; the attached receipt is signed by us."""

    kind: ClassVar[str] = "sign-receipt"
    carries: ClassVar[frozenset[str]] = frozenset({"HandOverReceipt", "ItemIdentity", "VehicleHistory"})


class Dispute(Because):
    """The receipt is not right."""

    kind: ClassVar[str] = "dispute"


COLLECTION = Protocol(
    "collection/1.0",
    steps=(
        Step("new", "dismantler", Request, "requested"),
        Step("requested", "collector", Quote, "quoted"),
        Step("requested", "collector", Decline, "declined"),
        Step("requested", "dismantler", Withdraw, "withdrawn"),
        Step("quoted", "dismantler", Accept, "accepted"),
        Step("quoted", "dismantler", Withdraw, "withdrawn"),
        Step("accepted", "collector", ProposeDate, "date-proposed"),
        Step("accepted", "collector", Cancel, "cancelled"),
        Step("accepted", "dismantler", Cancel, "cancelled"),
        Step("date-proposed", "dismantler", AgreeDate, "scheduled"),
        Step("date-proposed", "dismantler", AskOtherDate, "accepted"),
        Step("date-proposed", "collector", Cancel, "cancelled"),
        Step("date-proposed", "dismantler", Cancel, "cancelled"),
        Step("scheduled", "collector", HandOver, "handed-over"),
        Step("scheduled", "collector", Cancel, "cancelled"),
        Step("scheduled", "dismantler", Cancel, "cancelled"),
        Step("handed-over", "dismantler", SignReceipt, "received"),
        Step("handed-over", "dismantler", Dispute, "disputed"),
        Step("disputed", "collector", HandOver, "handed-over"),
    ),
)
