"""Introduction 1.0: two connected agents tell each other which company they are, and prove it."""

from typing import ClassVar

from pydantic import Field

from protocols.exchange import Message, Protocol, Step


class Hello(Message):
    """We are this company; the attached statement ties our DID to this connection."""

    kind: ClassVar[str] = "hello"
    carries: ClassVar[frozenset[str]] = frozenset({"Introduction"})
    name: str = Field(min_length=1, max_length=120, title="Company name")
    did: str = Field(max_length=400, title="Company DID")


class Welcome(Hello):
    """And we are this one."""

    kind: ClassVar[str] = "welcome"


INTRODUCTION = Protocol(
    "introduction/1.0",
    steps=(
        Step("new", "caller", Hello, "greeted"),
        Step("greeted", "host", Welcome, "introduced"),
    ),
)
