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

    item: Code
    kind: Kind
    part_of: Code | None = None
    made_of: tuple[Code, ...] = Field(default=(), max_length=MOST_PARTS)
    position: str = ""
    model: str = ""
    chemistry: str = ""
    mass_kg: Decimal | None = None


class VehicleHistory(Claim):
    """The first life of a pack, as its dismantler saw it; the chassis number only as a digest."""

    item: Code
    vehicle: Code
    vehicle_model: str
    pack_model: str
    chassis_digest: str
    first_registration: str
    odometer_km: int
    capacity_low_pct: Decimal
    capacity_high_pct: Decimal
    capacity_source: str
    findings: tuple[str, ...] = ()


class HandlingRecord(Claim):
    """What the issuer did with an item: its events, in order."""

    item: Code
    events: tuple[Event, ...]


class DiagnosisResult(Claim):
    """A cell's state of health by a named method, or why it cannot be told."""

    item: Code
    measured_at: AwareDatetime
    soh_pct: Decimal | None = None
    lower_pct: Decimal | None = None
    upper_pct: Decimal | None = None
    coverage: Decimal | None = None
    not_assessable: str = ""
    method: str
    method_version: str
    inputs_digest: str
    measurement_digest: str
    ohmic_resistance_ohm: Decimal
    ocv_v: Decimal
    temperature_c: Decimal
    soc_pct: Decimal | None = None
    instruments: tuple[str, ...]


class HandOverReceipt(Claim):
    """A pack went from one company to another; both sides issue one, the second naming the first."""

    item: Code
    from_did: str
    to_did: str
    truck: str
    distance_km: Decimal
    load_share: Decimal
    fuel_economy_km_per_l: Decimal
    findings: tuple[str, ...] = ()
    confirms_digest: str | None = None


class Introduction(Claim):
    """The issuer is the company at the other end of this connection."""

    did: str
    connection_did: str


class Accreditation(Claim):
    """The authority admits a company in these roles."""

    did: str
    name: str
    roles: tuple[str, ...]
    framework: str


class Member(BaseModel):
    """One company in the register."""

    model_config = ConfigDict(frozen=True)
    did: str
    name: str
    roles: tuple[str, ...]
    status: Literal["accredited", "suspended", "withdrawn", "resigned"]
    since: AwareDatetime


class MembershipRegister(Claim):
    """Who is a member, in which roles and standing; it says nothing of who deals with whom."""

    did: str
    version: int
    members: tuple[Member, ...]


class Prediction(Claim):
    """A forecast by a prescribed method about a subject known only by a salted digest."""

    subject: str
    statement: dict[str, object]


class AuditCertificate(Claim):
    """The authority recomputed a prediction from its inputs and found that it holds."""

    did: str
    prediction_digest: str
    method: str
    method_version: str
    tolerance: str
    max_deviation: str
    audited_on: date


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
