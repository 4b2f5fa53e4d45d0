"""Diagnosis 1.0: have another company assess stored measurements by its own algorithms and models."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from protocols.exchange import Because, Message, Protocol, Step
from schemas.items import Code

MOST_ASKED = 100
"""The most measurements in one request: more are asked for in several."""


class Asked(BaseModel):
    """One measurement to be assessed."""

    model_config = ConfigDict(frozen=True)
    item: Code = Field(title="Item code")
    measurement_digest: str = Field(pattern=r"^[0-9a-f]{64}$", title="Measurement digest")


class RequestDiagnosis(Message):
    """Please assess the attached measurements by your own methods."""

    kind: ClassVar[str] = "request-diagnosis"
    carries: ClassVar[frozenset[str]] = frozenset({"MeasurementRecord"})
    measurements: tuple[Asked, ...] = Field(min_length=1, max_length=MOST_ASKED, title="Measurements")
    note: str = Field(default="", max_length=1000, title="Note")


class Answer(Message):
    """What they say by our methods is attached."""

    kind: ClassVar[str] = "answer"
    carries: ClassVar[frozenset[str]] = frozenset({"DiagnosisResult"})
    note: str = Field(default="", max_length=1000, title="Note")


class Refuse(Because):
    """We do not assess these."""

    kind: ClassVar[str] = "refuse"


class Withdraw(Because):
    """We no longer ask for it."""

    kind: ClassVar[str] = "withdraw"


DIAGNOSIS = Protocol(
    "diagnosis/1.0",
    steps=(
        Step("new", "client", RequestDiagnosis, "requested"),
        Step("requested", "assessor", Answer, "answered"),
        Step("requested", "assessor", Refuse, "refused"),
        Step("requested", "client", Withdraw, "withdrawn"),
    ),
)
