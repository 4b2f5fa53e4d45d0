"""What happened to an item: who, what, where, when, how, and with which evidence.

Events are appended, never edited. A correction is an event that names the one it corrects, and an
annulment one that says the other did not happen; both stay on record beside what they change.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Self
from uuid import UUID, uuid4

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)

from schemas.items import Kind

CORRECTED, ANNULLED = "corrected", "annulled"

type Scalar = str | int | float | bool | None


def _utc(when: datetime) -> datetime:
    return when.astimezone(UTC)


def _sealed(details: Mapping[str, Scalar | tuple[Scalar, ...]]) -> Mapping[str, Scalar | tuple[Scalar, ...]]:
    return MappingProxyType(dict(details))


type Details = Annotated[
    Mapping[str, Scalar | tuple[Scalar, ...]],
    AfterValidator(_sealed),
    PlainSerializer(dict, return_type=dict[str, Scalar | tuple[Scalar, ...]]),
]


class Event(BaseModel):
    """One thing that happened to one item; equal again after a round through JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, str_max_length=1000)

    id: UUID = Field(default_factory=uuid4)
    item: str = Field(min_length=1, title="Item code")
    kind: Kind = Field(title="Kind of item")
    what: str = Field(min_length=1, max_length=40, title="What happened")
    when: Annotated[AwareDatetime, AfterValidator(_utc)] = Field(title="When (UTC)")
    who: str = Field(min_length=1, title="Who did it")
    where: str = Field(default="", title="Where")
    how: str = Field(default="", title="How")
    details: Details = Field(default_factory=dict, validate_default=True, title="What was recorded")
    evidence: tuple[str, ...] = Field(default=(), title="Digests of the evidence")
    exchange: str = Field(default="", title="Exchange it belongs to")
    message: str = Field(default="", title="Message it was recorded with, and stands or falls with")
    corrects: UUID | None = Field(default=None, title="Event it corrects or annuls")

    @model_validator(mode="after")
    def _names_what_it_changes(self) -> Self:
        if (self.what in {CORRECTED, ANNULLED}) != (self.corrects is not None):
            raise ValueError("a correction or annulment names the event it changes, and nothing else does")
        return self
