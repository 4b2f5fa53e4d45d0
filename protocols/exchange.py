"""An exchange is what two companies said to each other; a protocol is the table that allows it.

Both sides hold the same table and fold it over the same messages, so they reach the same state without a
manager in the middle. Messages can cross on the way. Each therefore says how many of the other side's
messages its sender had seen, and the fold puts crossed messages in one order on both sides: the opener's
first. A crossed message that no longer fits is overtaken: it stays on record and changes nothing.

The fold is a function of the messages and of which of them are void, and of nothing else: not of when they
came. So sides that hold the same messages and know the same refusals are in the same state. Only a message
that has just come is judged (`after`); what was said before a refusal became known and leans on it counts
for nothing until its receiver has judged it too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import Misstep

DOCUMENT = "https://w3id.org/meguri"
START = "new"


class Message(BaseModel):
    """A typed message body; a subclass names itself in `kind`, and in `carries` the claims it may bring.

    Where `limited`, it may bring them sealed for its receiver alone.
    """

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, str_max_length=4000)
    kind: ClassVar[str]
    carries: ClassVar[frozenset[str]] = frozenset()
    limited: ClassVar[bool] = False


class Because(Message):
    """A message that gives its reason."""

    reason: str = Field(min_length=1, max_length=1000, title="Reason")


class Unreadable(Message):
    """A message refused before it could be read; it only keeps its place in its sender's order."""

    kind: ClassVar[str] = "unreadable"


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

    `void` says why it does not count. A refused message keeps its place in its sender's order, and to have
    seen it counts as having seen any other.
    """

    id: str
    sender: str
    order: int
    seen: int
    message: Message
    void: str = ""


type _Chain = tuple[_Chain, Said] | None


class _Fold(NamedTuple):
    """What the messages laid so far come to; chained, so that the ten-thousandth costs what the first did."""

    state: str = START
    latest: Mapping[str, Said] = MappingProxyType({})
    standing: _Chain = None
    overtaken: _Chain = None
    misfit: tuple[Said, str] | None = None

    def count(self, side: str) -> int:
        """Count the messages of one side."""
        return self.latest[side].order if side in self.latest else 0

    def then(self, said: Said, protocol: Protocol) -> "_Fold":
        """Lay the next message: it stands, is overtaken, or fits nowhere and counts for nothing."""
        state, latest, standing, overtaken, misfit = self
        latest = {**latest, said.sender: said}
        if not said.void:
            after = protocol.next_state(state, said.sender, type(said.message))
            if after is not None:
                state, standing = after, (standing, said)
            elif said.seen < self.count(protocol.other(said.sender)):
                overtaken = overtaken, said
            else:
                misfit = said, state
        return _Fold(state, latest, standing, overtaken, misfit)


def _listed(chain: _Chain) -> tuple[Said, ...]:
    messages = []
    while chain is not None:
        chain, said = chain
        messages.append(said)
    return tuple(reversed(messages))


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

    def _placed(self) -> Iterator[Said]:
        """Yield the messages in the one order both sides agree on: the opener's as early as it may stand."""
        first, second = map(self.by, self.protocol.sides)
        j = 0
        for said in first:
            yield from second[j : said.seen]
            j = max(j, said.seen)
            yield said
        yield from second[j:]

    @cached_property
    def _fold(self) -> _Fold:
        fold = _Fold()
        for said in self._placed():
            fold = fold.then(said, self.protocol)
        return fold

    @property
    def state(self) -> str:
        """Return the fold of the table over the messages."""
        return self._fold.state

    @cached_property
    def standing(self) -> tuple[Said, ...]:
        """Return the messages that count, in the order both sides agree on."""
        return _listed(self._fold.standing)

    @cached_property
    def overtaken(self) -> tuple[Said, ...]:
        """Return the messages that crossed another and no longer fit."""
        return _listed(self._fold.overtaken)

    @property
    def ended(self) -> bool:
        """Say whether nothing more can be said."""
        return self.state in self.protocol.ends

    def after(self, said: Said) -> "Exchange":
        """Return this exchange with one more message, or raise `Misstep` when it cannot stand there.

        A message that is already void takes its place in its sender's order and nothing else.
        """
        so_far = self._fold
        own, others = so_far.latest.get(said.sender), so_far.count(self.protocol.other(said.sender))
        due, seen_before = (own.order + 1, own.seen) if own else (1, 0)
        if said.order != due:
            raise Misstep("message {order} came where {due} was due", order=said.order, due=due)
        if said.void:
            said = replace(said, seen=min(max(said.seen, seen_before), others))
        if not seen_before <= said.seen <= others:
            raise Misstep("the message claims to answer something that was never said")
        after = replace(self, said=self.said + (said,))  # noqa: RUF005, unpacking copies twice
        # An opener's message stands before those it crossed; every other new message lands at the end.
        if said.seen == others or said.sender != self.protocol.opener:
            after.__dict__["_fold"] = so_far.then(said, self.protocol)
        misfit = after._fold.misfit  # noqa: SLF001, another of us
        if misfit is not None and misfit[0] is said:
            raise Misstep(
                "{sender} may not send {kind} when the exchange is {state}",
                sender=said.sender,
                kind=said.message.kind,
                state=misfit[1],
            )
        return after

    def say(self, id: str, message: Message) -> "Exchange":
        """Return this exchange after our own next message."""
        fold = self._fold
        place, seen = fold.count(self.side) + 1, fold.count(self.protocol.other(self.side))
        return self.after(Said(id, self.side, place, seen, message))

    def voided(self, id: str, reason: str) -> "Exchange":
        """Return this exchange with the message `id` refused; what leaned on it no longer counts either."""
        return replace(self, said=tuple(replace(s, void=reason) if s.id == id else s for s in self.said))

    def last[M: Message](self, body: type[M]) -> M:
        """Return the latest standing message of type `body`."""
        for said in reversed(self.standing):
            if isinstance(said.message, body):
                return said.message
        raise Misstep("nobody has sent {kind} yet", kind=body.kind)
