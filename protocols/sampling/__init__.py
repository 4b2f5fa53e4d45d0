"""Sampling 1.0: the authority audits some of the predictions that a member made in a period."""

from datetime import date
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from protocols.exchange import Because, Message, Protocol, Step

MOST_DECLARED = 2000
MOST_DRAWN = 50


class Made(BaseModel):
    """One prediction that was drawn, by its digest, and what it was made from."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    prediction: str = Field(max_length=200, title="Prediction (digest)")
    inputs: dict[str, Any] = Field(title="Inputs, sealed to the authority")


class Sent(BaseModel):
    """A fleet that predictions were made with, by the digest that their inputs name."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    named: str = Field(max_length=200, title="Fleet (digest)")
    fleet: dict[str, Any] = Field(title="Fleet")


class SampleFinding(BaseModel):
    """One thing that does not hold of one prediction; of the whole answer where none is named."""

    model_config = ConfigDict(frozen=True)
    prediction: str = Field(default="", max_length=200, title="Prediction (digest)")
    code: str = Field(max_length=60, title="Code")
    words: str = Field(max_length=1000, title="What was found")


class Announce(Message):
    """We shall audit some of the predictions that you made in this period; the seed of the draw is sealed."""

    kind: ClassVar[str] = "announce"
    first_day: date = Field(title="First day")
    last_day: date = Field(title="Last day")
    share_pct: int = Field(ge=0, le=100, title="Share to be audited (%)")
    least_count: int = Field(ge=1, le=MOST_DRAWN, title="Predictions audited at least")
    due: date = Field(title="Answer by")
    every_days: int = Field(ge=0, le=366, title="Again every (days; 0: not again)")
    commitment: str = Field(pattern="^[0-9a-f]{64}$", title="Digest of the seed")


class Declare(Message):
    """These are all predictions that we made in the period."""

    kind: ClassVar[str] = "declare"
    standing: tuple[str, ...] = Field(max_length=MOST_DECLARED, title="Predictions in force (digests)")
    withdrawn: tuple[str, ...] = Field(
        default=(), max_length=MOST_DECLARED, title="Predictions no longer in force (digests)"
    )


class Decline(Because):
    """We cannot declare our predictions."""

    kind: ClassVar[str] = "decline"


class Draw(Message):
    """The seed was this, and says which are drawn. Please send what they were made from."""

    kind: ClassVar[str] = "draw"
    seed: str = Field(pattern="^[0-9a-f]{64}$", title="Seed of the draw")


class Remind(Message):
    """Your answer is still missing."""

    kind: ClassVar[str] = "remind"
    due: date = Field(title="Answer by")


class Submit(Message):
    """These were drawn, with what they were made from."""

    kind: ClassVar[str] = "submit"
    carries: ClassVar[frozenset[str]] = frozenset({"Prediction", "CheckUps"})
    made: tuple[Made, ...] = Field(max_length=MOST_DRAWN, title="What they were made from")
    fleets: tuple[Sent, ...] = Field(default=(), max_length=MOST_DRAWN, title="Fleets they name")


class Certify(Message):
    """All that was drawn holds; the certificate says what was covered."""

    kind: ClassVar[str] = "certify"
    carries: ClassVar[frozenset[str]] = frozenset({"SamplingCertificate"})


class Find(Message):
    """Not everything holds."""

    kind: ClassVar[str] = "find"
    findings: tuple[SampleFinding, ...] = Field(min_length=1, max_length=500, title="Findings")


SAMPLING = Protocol(
    "sampling/1.0",
    steps=(
        Step("new", "authority", Announce, "announced"),
        Step("announced", "member", Declare, "declared"),
        Step("announced", "member", Decline, "declined"),
        Step("announced", "authority", Remind, "announced"),
        Step("announced", "authority", Find, "found"),
        Step("declared", "authority", Draw, "drawn"),
        Step("declared", "authority", Certify, "certified"),
        Step("declared", "authority", Find, "found"),
        Step("drawn", "member", Submit, "submitted"),
        Step("drawn", "authority", Remind, "drawn"),
        Step("drawn", "authority", Find, "found"),
        Step("submitted", "authority", Certify, "certified"),
        Step("submitted", "authority", Find, "found"),
    ),
)
