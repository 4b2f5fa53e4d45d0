"""An exchange is what two companies said to each other; a protocol is the table that allows it.

Both sides hold the same table and fold it over the same messages, so they reach the same state without a
manager in the middle. Messages can cross on the way. Each therefore says how many of the other side's
messages its sender had seen, and the fold puts crossed messages in one order on both sides: the opener's
first. A crossed message that no longer fits is overtaken: it stays on record and changes nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import Misstep

DOCUMENT = "https://w3id.org/meguri"
START = "new"


class Message(BaseModel):
    """A typed message body; each subclass names itself with `kind`."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, str_max_length=4000)
    kind: ClassVar[str]


class Because(Message):
    """A message that gives its reason."""

    reason: str = Field(min_length=1, max_length=1000, title="Reason")


@dataclass(frozen=True)
class Step:
    """In `state`, `sender` may send `message`; the exchange is then in `next_state`."""

    state: str
    sender: str
    message: type[Message]
    next_state: str


@dataclass(frozen=True)
class Protocol:
    """A versioned table of steps between two sides."""

    name: str
    steps: tuple[Step, ...]

    @cached_property
    def uri(self) -> str:
        """Return the protocol's URI, version included."""
        return f"{DOCUMENT}/{self.name}"

    @cached_property
    def messages(self) -> dict[str, type[Message]]:
        """Map each message's kind to its body."""
        return {step.message.kind: step.message for step in self.steps}

    @cached_property
    def opener(self) -> str:
        """Name the side that speaks first."""
        return self.steps[0].sender

    @cached_property
    def sides(self) -> tuple[str, str]:
        """Name both sides, the opener first."""
        (other,) = {step.sender for step in self.steps} - {self.opener}
        return self.opener, other

    def other(self, side: str) -> str:
        """Name the side opposite `side`."""
        opener, other = self.sides
        return other if side == opener else opener

    @cached_property
    def states(self) -> tuple[str, ...]:
        """List every state, in the order of the table."""
        return tuple(dict.fromkeys(s for step in self.steps for s in (step.state, step.next_state)))

    @cached_property
    def ends(self) -> frozenset[str]:
        """Name the states in which nothing more can be said."""
        return frozenset(self.states) - {step.state for step in self.steps}

    @cached_property
    def _table(self) -> dict[tuple[str, str, type[Message]], str]:
        return {(step.state, step.sender, step.message): step.next_state for step in self.steps}

    def next_state(self, state: str, sender: str, message: type[Message]) -> str | None:
        """Return the state after `message`, or None where the table has no such step."""
        return self._table.get((state, sender, message))

    def may_send(self, state: str, side: str) -> tuple[type[Message], ...]:
        """List the messages `side` may send in `state`."""
        return tuple(step.message for step in self.steps if (step.state, step.sender) == (state, side))


@dataclass(frozen=True)
class Said:
    """One message and its place: the sender's `order`-th (from 1), sent after seeing `seen` of the other's.

    `void` says why it does not count; a refused message keeps its place in its sender's order.
    """

    id: str
    sender: str
    order: int
    seen: int
    message: Message
    void: str = ""


@dataclass(frozen=True)
class Exchange:
    """One run of a protocol; both sides come to hold an equal one."""

    thread: str
    protocol: Protocol
    side: str
    peer: str
    said: tuple[Said, ...] = ()

    def by(self, sender: str) -> list[Said]:
        """Return what one side said, in its own order."""
        return sorted((s for s in self.said if s.sender == sender), key=lambda s: s.order)

    def _placed(self) -> Iterator[tuple[Said, bool]]:
        """Yield the messages in the one order both sides agree on, each with whether it crossed another."""
        opener, other = self.protocol.sides
        first, second = self.by(opener), self.by(other)
        i = j = 0
        while i < len(first) or j < len(second):
            if i < len(first) and (first[i].seen <= j or j == len(second)):
                yield first[i], first[i].seen < j
                i += 1
            else:
                yield second[j], second[j].seen < i
                j += 1

    @cached_property
    def _folded(self) -> tuple[str, tuple[Said, ...], tuple[Said, ...]]:
        state, standing, overtaken = START, [], []
        for said, crossed in self._placed():
            if said.void:
                continue
            after = self.protocol.next_state(state, said.sender, type(said.message))
            if after is not None:
                state = after
                standing.append(said)
            elif crossed:
                overtaken.append(said)
            else:
                raise Misstep(
                    "{sender} may not send {kind} when the exchange is {state}",
                    sender=said.sender,
                    kind=said.message.kind,
                    state=state,
                )
        return state, tuple(standing), tuple(overtaken)

    @property
    def state(self) -> str:
        """Return the fold of the table over the messages."""
        return self._folded[0]

    @property
    def standing(self) -> tuple[Said, ...]:
        """Return the messages that count, in the order both sides agree on."""
        return self._folded[1]

    @property
    def overtaken(self) -> tuple[Said, ...]:
        """Return the messages that crossed another and no longer fit."""
        return self._folded[2]

    @property
    def ended(self) -> bool:
        """Say whether nothing more can be said."""
        return self.state in self.protocol.ends

    def after(self, said: Said) -> "Exchange":
        """Return this exchange with one more message, or raise `Misstep` when it cannot stand there."""
        own, others = self.by(said.sender), self.by(self.protocol.other(said.sender))
        if said.order != len(own) + 1:
            raise Misstep("message {order} came where {due} was due", order=said.order, due=len(own) + 1)
        if said.seen > len(others) or (own and said.seen < own[-1].seen):
            raise Misstep("the message claims to answer something that was never said")
        after = replace(self, said=(*self.said, said))
        _ = after.state
        return after

    def say(self, id: str, message: Message) -> "Exchange":
        """Return this exchange after our own next message."""
        place = len(self.by(self.side)) + 1
        seen = len(self.by(self.protocol.other(self.side)))
        return self.after(Said(id, self.side, place, seen, message))

    def voided(self, id: str, reason: str) -> "Exchange":
        """Return this exchange with the message `id` refused."""
        said = tuple(replace(s, void=reason) if s.id == id else s for s in self.said)
        after = replace(self, said=said)
        try:
            _ = after.state
        except Misstep:
            # What its sender said later leaned on the refused message; the peer refuses those in their turn.
            place = next(i for i, s in enumerate(said) if s.id == id)
            sender = said[place].sender
            later = tuple(
                replace(s, void=reason) if s.sender == sender and s.order > said[place].order else s
                for s in said
            )
            after = replace(self, said=later)
        return after

    def last[M: Message](self, body: type[M]) -> M:
        """Return the latest standing message of type `body`."""
        for said in reversed(self.standing):
            if isinstance(said.message, body):
                return said.message
        raise Misstep("nobody has sent {kind} yet", kind=body.kind)
