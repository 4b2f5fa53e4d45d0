"""Receipt 1.0: what an agent's application says about messages it has committed, in batches, and the bundle.

Receipts are about messages, not items, and open no exchange: a lost receipt is made good when the message
comes again. So the table has one state, and either side may speak at any time.
"""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from protocols.exchange import Message, Protocol, Step

MOST_IN_A_BUNDLE = 200


class Problem(BaseModel):
    """One message that was not taken; the shape of `description` is that of Aries RFC 0035."""

    model_config = ConfigDict(frozen=True)
    id: str = Field(max_length=100, title="Message")
    code: str = Field(max_length=60, title="Code")
    en: str = Field(max_length=2000, title="What is wrong, in English")
    ja: str = Field(default="", max_length=2000, title="What is wrong, in Japanese")


class Receipt(Message):
    """These messages are committed with all they cause."""

    kind: ClassVar[str] = "receipt"
    taken: tuple[str, ...] = Field(max_length=MOST_IN_A_BUNDLE, title="Messages")


class ProblemReport(Message):
    """These messages were refused, and change nothing here."""

    kind: ClassVar[str] = "problem-report"
    problems: tuple[Problem, ...] = Field(min_length=1, max_length=MOST_IN_A_BUNDLE, title="Problems")


class Bundle(Message):
    """Several messages in one envelope, in the order they were sent."""

    kind: ClassVar[str] = "bundle"
    messages: tuple[dict[str, object], ...] = Field(max_length=MOST_IN_A_BUNDLE, title="Messages")


RECEIPT = Protocol(
    "receipt/1.0",
    steps=tuple(
        Step("new", side, message, "new")
        for message in (Bundle, Receipt, ProblemReport)
        for side in ("sender", "receiver")
    ),
)
