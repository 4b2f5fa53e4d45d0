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

from schemas.claim import ITEM, Evidence, ItemKind, Means

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
    item: Annotated[str, ITEM] = Field(min_length=1, title="Item code")
    kind: ItemKind
    what: Annotated[
        str,
        Means(
            "The step in the item's life, such as stored or diagnosed.", "品目に起きたこと。保管、診断など。"
        ),
    ] = Field(min_length=1, max_length=40, title="What happened")
    when: Annotated[
        AwareDatetime, AfterValidator(_utc), Means("When it happened.", "起きた時刻（UTC）。")
    ] = Field(title="When (UTC)")
    who: Annotated[str, Means("The person or company that did it.", "行った人または会社。")] = Field(
        min_length=1, title="Who did it"
    )
    where: Annotated[str, Means("The place where it happened.", "起きた場所。")] = Field(
        default="", title="Where"
    )
    how: Annotated[str, Means("How it was done, or why, in words.", "どのように、またはなぜ行ったか。")] = (
        Field(default="", title="How")
    )
    details: Annotated[
        Details,
        Means("The figures and words that belong to it, by name.", "付随する数値や言葉。名前をつけて示す。"),
    ] = Field(default_factory=dict, validate_default=True, title="What was recorded")
    evidence: Evidence = ()
    exchange: Annotated[
        str, Means("The exchange between companies in which it happened.", "それが起きた会社間のやりとり。")
    ] = Field(default="", title="Exchange it belongs to")
    message: Annotated[
        str,
        Means(
            "The message that it stands or falls with.", "それとともに成り立ち、また取り消されるメッセージ。"
        ),
    ] = Field(default="", title="Message it was recorded with, and stands or falls with")
    corrects: Annotated[
        UUID | None, Means("The event that this one corrects or annuls.", "訂正または取り消される事象。")
    ] = Field(default=None, title="Event it corrects or annuls")

    @model_validator(mode="after")
    def _names_what_it_changes(self) -> Self:
        if (self.what in {CORRECTED, ANNULLED}) != (self.corrects is not None):
            raise ValueError("a correction or annulment names the event it changes, and nothing else does")
        return self
