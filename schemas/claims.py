"""What can be stated in a credential: each claim type once, with its terms and units.

A claim is the credential's subject without its `id`; `item` or `did` says whom or what it is about.
Figures that come from an estimate carry value, interval, method, version and inputs' digest.
"""

from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.events import Event
from schemas.items import Code, Kind

CONTEXT = "https://w3id.org/meguri/contexts/v1"


MOST_PARTS = 2000
"""The most items that one lot or product names as its parts."""


class Claim(BaseModel):
    """A statement's content; the class name is the credential's type."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class ItemIdentity(Claim):
    """A code names an item; the issuer registered it."""

    item: Code = Field(title="Item code")
    kind: Kind = Field(title="Kind of item")
    part_of: Code | None = Field(default=None, title="Part of")
    made_of: tuple[Code, ...] = Field(default=(), max_length=MOST_PARTS, title="Made of")
    position: str = Field(default="", title="Position")
    model: str = Field(default="", title="Model")
    chemistry: str = Field(default="", title="Chemistry")
    mass_kg: Decimal | None = Field(default=None, title="Mass (kg)")


class VehicleHistory(Claim):
    """The first life of a pack, as its dismantler saw it; the chassis number only as a digest."""

    item: Code = Field(title="Item code")
    vehicle: Code = Field(title="Vehicle code")
    vehicle_model: str = Field(title="Vehicle model")
    pack_model: str = Field(title="Pack model")
    chassis_digest: str = Field(title="Chassis digest")
    first_registration: str = Field(title="First registration (year-month)")
    odometer_km: int = Field(title="Odometer (km)")
    capacity_low_pct: Decimal = Field(title="Capacity at least (%)")
    capacity_high_pct: Decimal = Field(title="Capacity at most (%)")
    capacity_source: str = Field(title="Where the capacity was read")
    findings: tuple[str, ...] = Field(default=(), title="Safety findings")


class HandlingRecord(Claim):
    """What the issuer did with an item: its events, in order."""

    item: Code = Field(title="Item code")
    events: tuple[Event, ...] = Field(title="Events")


class DiagnosisResult(Claim):
    """A cell's state of health by a named method, or why it cannot be told."""

    item: Code = Field(title="Item code")
    measured_at: AwareDatetime = Field(title="Measured at")
    soh_pct: Decimal | None = Field(default=None, title="State of health (%)")
    lower_pct: Decimal | None = Field(default=None, title="State of health at least (%)")
    upper_pct: Decimal | None = Field(default=None, title="State of health at most (%)")
    coverage: Decimal | None = Field(default=None, title="Coverage")
    not_assessable: str = Field(default="", title="Not assessable")
    method: str = Field(title="Method")
    method_version: str = Field(title="Method version")
    inputs_digest: str = Field(title="Inputs digest")
    measurement_digest: str = Field(title="Measurement digest")
    ohmic_resistance_ohm: Decimal = Field(title="Ohmic resistance (Ω)")
    ocv_v: Decimal = Field(title="Open-circuit voltage (V)")
    temperature_c: Decimal = Field(title="Temperature (°C)")
    soc_pct: Decimal | None = Field(default=None, title="State of charge (%)")
    instruments: tuple[str, ...] = Field(title="Instruments")


class HandOverReceipt(Claim):
    """A pack went from one company to another; both sides issue one, the second naming the first."""

    item: Code = Field(title="Item code")
    from_did: str = Field(title="DID of the company that hands over")
    to_did: str = Field(title="DID of the company that receives")
    truck: str = Field(title="Truck")
    distance_km: Decimal = Field(title="Distance (km)")
    load_share: Decimal = Field(title="Our share of the load (0 to 1)")
    fuel_economy_km_per_l: Decimal = Field(title="Fuel economy (km/L)")
    findings: tuple[str, ...] = Field(default=(), title="Safety findings")
    confirms_digest: str | None = Field(default=None, title="Confirms digest")


class Introduction(Claim):
    """The issuer is the company at the other end of this connection."""

    did: str = Field(title="Company DID")
    connection_did: str = Field(title="DID of the connection")


class Accreditation(Claim):
    """The authority admits a company in these roles."""

    did: str = Field(title="Company DID")
    name: str = Field(title="Company name")
    roles: tuple[str, ...] = Field(title="Roles")
    framework: str = Field(title="Framework")


class Member(BaseModel):
    """One company in the register."""

    model_config = ConfigDict(frozen=True)
    did: str = Field(title="Company DID")
    name: str = Field(title="Company name")
    roles: tuple[str, ...] = Field(title="Roles")
    status: Literal["accredited", "suspended", "withdrawn", "resigned"] = Field(title="Standing")
    since: AwareDatetime = Field(title="Since")


class MembershipRegister(Claim):
    """Who is a member, in which roles and standing; it says nothing of who deals with whom."""

    did: str = Field(title="Company DID")
    version: int = Field(title="Version of the register")
    members: tuple[Member, ...] = Field(title="Members")


class Prediction(Claim):
    """A forecast by a prescribed method about a subject known only by a salted digest."""

    subject: str = Field(title="Subject")
    statement: dict[str, object] = Field(title="Statement")


class AuditCertificate(Claim):
    """The authority recomputed a prediction from its inputs and found that it holds."""

    did: str = Field(title="Company DID")
    prediction_digest: str = Field(title="Prediction digest")
    method: str = Field(title="Method")
    method_version: str = Field(title="Method version")
    tolerance: str = Field(title="Tolerance")
    max_deviation: str = Field(title="Max deviation")
    audited_on: date = Field(title="Audited on")


CLAIMS: dict[str, type[Claim]] = {
    claim.__name__: claim
    for claim in (
        ItemIdentity,
        VehicleHistory,
        HandlingRecord,
        DiagnosisResult,
        HandOverReceipt,
        Introduction,
        Accreditation,
        MembershipRegister,
        Prediction,
        AuditCertificate,
    )
}
