"""Two companies that speak at the same time come to the same exchange, whatever the link does.

The link keeps each direction's order and delays as it likes. A side that receives a message judges it with
`after`; one that cannot stand it refuses, as it may refuse any other for reasons of its own (a forged
credential, say), keeps it void and reports. Reports come late too, and their sender goes on talking.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from protocols.catalogue import PROTOCOLS
from protocols.exchange import START, Exchange, Message, Protocol, Said, Step
from schemas.errors import Misstep


class First(Message):
    kind: ClassVar[str] = "first"


class Second(Message):
    kind: ClassVar[str] = "second"


class Third(Message):
    kind: ClassVar[str] = "third"


STATES = (START, "one", "two", "three", "four")
LETTERS: tuple[type[Message], ...] = (First, Second, Third)
DIALOGUES = [protocol for name, protocol in PROTOCOLS.items() if name != "receipt/1.0"]


@st.composite
def any_table(draw: st.DrawFn) -> Protocol:
    """Any table of two sides, loops and all: more crossings than our own tables ever see."""
    targets = draw(st.lists(st.sampled_from((*[None] * len(STATES), *STATES)), min_size=30, max_size=30))
    keys = [(state, side, body) for state in STATES for side in ("host", "guest") for body in LETTERS]
    steps = {key: to for key, to in zip(keys, targets, strict=True) if to is not None}
    steps |= {
        (START, "host", First): "one",
        ("one", "guest", First): steps.get(("one", "guest", First), "two"),
    }
    ordered = sorted(steps.items(), key=lambda entry: entry[0] != (START, "host", First))
    return Protocol("any/1.0", tuple(Step(*key, to) for key, to in ordered))


@dataclass(frozen=True)
class Verdict:
    """What the receiver says of one message."""

    id: str
    refused: bool


@dataclass
class Company:
    """One side: its exchange, what is on the way to it, and which of its messages wait for a verdict."""

    exchange: Exchange
    inbox: deque[Said | Verdict] = field(default_factory=deque)
    verdicts: list[Verdict] = field(default_factory=list)
    unanswered: set[str] = field(default_factory=set)

    @property
    def side(self) -> str:
        return self.exchange.side

    def hear(self, verdict: Verdict) -> None:
        self.unanswered.discard(verdict.id)
        if verdict.refused:
            self.exchange = self.exchange.voided(verdict.id, "refused")

    def waits_with(self, said: Said) -> bool:
        heard = self.exchange.by(self.side)[: said.seen]
        return any(own.id in self.unanswered for own in heard)


@dataclass
class Link:
    """Two companies and the wires between them, driven by a script of choices.

    `refusals`: a receiver may refuse what the table allows.
    `in_line`: a verdict reaches its addressee before whatever the receiver says after it; else any time.
    `patient`: what does not fit waits while a message of ours that it has seen has no verdict yet.
    """

    protocol: Protocol
    script: list[int]
    refusals: bool = False
    in_line: bool = True
    patient: bool = False
    missteps: list[Said] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.choices = iter(self.script)
        self.companies = {
            side: Company(Exchange("thread", self.protocol, side, self.protocol.other(side)))
            for side in self.protocol.sides
        }

    def pick[T](self, options: Sequence[T]) -> T:
        return options[next(self.choices, 0) % len(options)]

    def facing(self, company: Company) -> Company:
        return self.companies[self.protocol.other(company.side)]

    def may_say(self, company: Company) -> tuple[type[Message], ...]:
        return self.protocol.may_send(company.exchange.state, company.side)

    def say(self, company: Company) -> None:
        body = self.pick(self.may_say(company))
        id = f"{company.side}-{len(company.exchange.by(company.side)) + 1}"
        company.exchange = company.exchange.say(id, body.model_construct())
        company.unanswered.add(id)
        self.facing(company).inbox.append(company.exchange.said[-1])

    def deliver(self, company: Company) -> None:
        parcel = company.inbox[0]
        if isinstance(parcel, Verdict):
            company.hear(parcel)
        elif not self.judge(company, parcel):
            return
        company.inbox.popleft()

    def judge(self, company: Company, said: Said) -> bool:
        try:
            after = company.exchange.after(said)
            refused = self.refusals and self.pick((False, False, True))
        except Misstep:
            if self.patient and company.waits_with(said):
                return False
            self.missteps.append(said)
            refused = True
        company.exchange = company.exchange.after(replace(said, void="refused")) if refused else after
        verdict = Verdict(said.id, refused)
        sender = self.facing(company)
        if self.in_line:
            sender.inbox.append(verdict)
        else:
            sender.verdicts.append(verdict)
        return True

    def hear_any(self, company: Company) -> None:
        verdict = self.pick(company.verdicts)
        company.verdicts.remove(verdict)
        company.hear(verdict)

    def moves(self, *, talking: bool = True) -> list[tuple[Callable[[Company], None], Company]]:
        sides = self.companies.values()
        return [
            *((self.say, company) for company in sides if talking and self.may_say(company)),
            *((self.deliver, company) for company in sides if company.inbox),
            *((self.hear_any, company) for company in sides if company.verdicts),
        ]

    def play(self) -> "Link":
        """Follow the script, then deliver all there is."""
        for _ in self.script:
            if moves := self.moves():
                move, company = self.pick(moves)
                move(company)
        while moves := self.moves(talking=False):
            for move, company in moves:
                move(company)
        return self

    @property
    def exchanges(self) -> tuple[Exchange, Exchange]:
        first, second = (company.exchange for company in self.companies.values())
        return first, second

    @property
    def refused(self) -> set[str]:
        return {said.id for exchange in self.exchanges for said in exchange.said if said.void}


def assert_agreed(link: Link) -> None:
    ours, theirs = link.exchanges
    assert ours.state == theirs.state
    assert ours.standing == theirs.standing
    assert ours.overtaken == theirs.overtaken
    assert set(ours.said) == set(theirs.said)


choices = st.integers(0, 11)
scripts = st.lists(choices, max_size=20) | st.lists(choices, min_size=40, max_size=80)
protocols = st.sampled_from(DIALOGUES) | any_table()


@given(protocols, scripts)
def test_two_sides_agree_however_their_messages_cross(protocol: Protocol, script: list[int]) -> None:
    link = Link(protocol, script).play()
    assert_agreed(link)
    assert not link.missteps


@given(protocols, scripts)
def test_two_sides_agree_once_every_refusal_is_known(protocol: Protocol, script: list[int]) -> None:
    assert_agreed(Link(protocol, script, refusals=True).play())


@given(protocols, scripts, st.booleans())
def test_two_sides_agree_even_when_reports_come_late(
    protocol: Protocol, script: list[int], patient: bool
) -> None:
    assert_agreed(Link(protocol, script, refusals=True, in_line=False, patient=patient).play())


@given(protocols, scripts, st.booleans())
def test_an_honest_message_is_out_of_step_only_if_it_leans_on_a_refused_one(
    protocol: Protocol, script: list[int], late: bool
) -> None:
    link = Link(protocol, script, refusals=True, in_line=not late, patient=late).play()
    for said in link.missteps:
        assert any(f"{said.sender}-{order}" in link.refused for order in range(1, said.order))


@given(protocols, scripts)
def test_a_message_stands_or_is_overtaken_or_is_refused(protocol: Protocol, script: list[int]) -> None:
    link = Link(protocol, script, refusals=True).play()
    for exchange in link.exchanges:
        void = tuple(said for said in exchange.said if said.void)
        assert len(exchange.said) == len(exchange.standing) + len(exchange.overtaken) + len(void)
        assert set(exchange.said) == {*exchange.standing, *exchange.overtaken, *void}


@given(protocols, scripts)
def test_the_openers_word_is_never_overtaken(protocol: Protocol, script: list[int]) -> None:
    for exchange in Link(protocol, script).play().exchanges:
        assert all(said.sender != protocol.opener for said in exchange.overtaken)


@given(protocols, scripts, st.booleans(), st.randoms(use_true_random=False))
def test_the_state_depends_on_what_was_said_and_not_on_when_it_came(
    protocol: Protocol, script: list[int], in_line: bool, random: Random
) -> None:
    for exchange in Link(protocol, script, refusals=True, in_line=in_line).play().exchanges:
        anew = replace(exchange, said=tuple(random.sample(exchange.said, len(exchange.said))))
        assert (anew.state, anew.standing, anew.overtaken) == (
            exchange.state,
            exchange.standing,
            exchange.overtaken,
        )


@given(protocols, scripts)
def test_what_stands_is_a_way_through_the_table_that_no_message_breaks(
    protocol: Protocol, script: list[int]
) -> None:
    for exchange in Link(protocol, script, refusals=True).play().exchanges:
        state: str | None = START
        for said in exchange.standing:
            assert state is not None
            state = protocol.next_state(state, said.sender, type(said.message))
        assert state == exchange.state
        for side in protocol.sides:
            orders = [said.order for said in exchange.standing if said.sender == side]
            assert orders == sorted(orders)
        for place, said in enumerate(exchange.standing):
            behind = [s for s in exchange.standing[place:] if s.sender != said.sender]
            assert all(said.seen < later.order for later in behind), "an answer stands before its question"
