"""How one exchange takes messages in turn, crossed, refused and repeated."""

from datetime import date
from decimal import Decimal

import pytest

from protocols.collection import (
    COLLECTION,
    Accept,
    AgreeDate,
    AskOtherDate,
    Cancel,
    Decline,
    ProposeDate,
    Quote,
    Request,
    Withdraw,
)
from protocols.exchange import Exchange, Message, Said
from protocols.membership import MEMBERSHIP, Accredit, Apply, Register, Resign
from schemas.errors import Misstep
from schemas.items import mint

REQUEST = Request(
    vehicle=mint("vehicle"),
    pack=mint("pack"),
    vehicle_model="Example EV 40",
    pack_model="EX-40A",
    chassis_number="EXA10-0123456",
    first_registration="2018-03",
    odometer_km=86_420,
    capacity_low_pct=Decimal("66.25"),
    capacity_high_pct=Decimal("72.5"),
    capacity_source="vehicle display",
    place="Yard 2, north gate",
)
QUOTE = Quote(price_jpy=12_000, valid_until=date(2026, 12, 24))
PROPOSAL = ProposeDate(pickup=date(2026, 12, 18))


class Pair:
    """The two sides of one exchange, each with its own copy."""

    def __init__(self) -> None:
        self.at = {
            side: Exchange("thread", COLLECTION, side, COLLECTION.other(side)) for side in COLLECTION.sides
        }

    def say(self, side: str, *messages: Message) -> list[Said]:
        """Let one side speak; what it says is under way."""
        for message in messages:
            self.at[side] = self.at[side].say(f"{side}-{len(self.at[side].by(side)) + 1}", message)
        return self.at[side].by(side)[-len(messages) :]

    def hear(self, *said: Said) -> None:
        for one in said:
            side = COLLECTION.other(one.sender)
            self.at[side] = self.at[side].after(one)

    def talk(self, side: str, *messages: Message) -> None:
        self.hear(*self.say(side, *messages))

    def refuse(self, said: Said) -> None:
        side = COLLECTION.other(said.sender)
        self.at[side] = self.at[side].after(
            Said(said.id, said.sender, said.order, said.seen, Message(), void="forged")
        )

    def report(self, said: Said) -> None:
        self.at[said.sender] = self.at[said.sender].voided(said.id, "forged")

    @property
    def state(self) -> str:
        here, there = self.at.values()
        assert (here.state, len(here.standing)) == (there.state, len(there.standing))
        return here.state


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_nobody_accepts_twice(pair: Pair) -> None:
    pair.talk("dismantler", REQUEST)
    pair.talk("collector", QUOTE)
    pair.talk("dismantler", Accept())
    with pytest.raises(Misstep, match="dismantler may not send accept when the exchange is accepted"):
        pair.say("dismantler", Accept())
    assert pair.state == "accepted"


def test_only_the_collector_quotes(pair: Pair) -> None:
    pair.talk("dismantler", REQUEST)
    with pytest.raises(Misstep):
        pair.say("dismantler", QUOTE)


def test_the_end_is_the_end(pair: Pair) -> None:
    pair.talk("dismantler", REQUEST)
    assert not pair.at["collector"].ended
    pair.talk("collector", Decline(reason="no truck free"))
    assert all(exchange.ended for exchange in pair.at.values())


def test_a_withdrawal_overtakes_the_quote_it_crosses(pair: Pair) -> None:
    pair.talk("dismantler", REQUEST)
    withdrawal = pair.say("dismantler", Withdraw(reason="sold elsewhere"))
    quote = pair.say("collector", QUOTE)
    pair.hear(*withdrawal, *quote)
    assert pair.state == "withdrawn"
    assert [exchange.overtaken for exchange in pair.at.values()] == [tuple(quote), tuple(quote)]


def test_when_both_cancel_one_cancellation_stands(pair: Pair) -> None:
    pair.talk("dismantler", REQUEST)
    pair.talk("collector", QUOTE)
    pair.talk("dismantler", Accept())
    ours = pair.say("dismantler", Cancel(reason="sold elsewhere"))
    theirs = pair.say("collector", Cancel(reason="no truck free"))
    pair.hear(*ours, *theirs)
    assert pair.state == "cancelled"
    assert pair.at["collector"].last(Cancel).reason == "sold elsewhere"


def test_a_message_comes_once_and_in_its_turn(pair: Pair) -> None:
    (request,) = pair.say("dismantler", REQUEST)
    pair.hear(request)
    with pytest.raises(Misstep, match="message 1 came where 2 was due"):
        pair.hear(request)
    with pytest.raises(Misstep, match="message 3 came where 2 was due"):
        pair.hear(Said("early", "dismantler", 3, 0, Withdraw(reason="sold")))


@pytest.mark.parametrize("seen", [-1, 0, 3])
def test_nobody_answers_what_was_never_said_or_forgets_what_was_heard(pair: Pair, seen: int) -> None:
    pair.talk("dismantler", REQUEST)
    pair.talk("collector", QUOTE)
    pair.talk("dismantler", Accept())
    with pytest.raises(Misstep, match="never said"):
        pair.hear(Said("odd", "dismantler", 3, seen, Cancel(reason="sold")))


def test_a_refused_message_keeps_its_place_and_changes_nothing(pair: Pair) -> None:
    pair.talk("dismantler", REQUEST)
    (quote,) = pair.say("collector", QUOTE)
    pair.refuse(quote)
    assert pair.at["dismantler"].state == "requested"
    pair.report(quote)
    pair.talk("collector", QUOTE)
    assert pair.state == "quoted"


def test_a_message_that_is_void_takes_its_place_whatever_it_claims_to_have_seen(pair: Pair) -> None:
    pair.talk("dismantler", REQUEST)
    void = Said("odd", "collector", 1, 99, Message(), void="malformed")
    pair.hear(void)
    pair.hear(Said("quote", "collector", 2, 1, QUOTE))
    assert pair.at["dismantler"].state == "quoted"


def test_who_goes_on_talking_after_a_refused_message_is_heard_again_from_where_the_peer_stood(
    pair: Pair,
) -> None:
    pair.talk("dismantler", REQUEST)
    pair.talk("collector", QUOTE)
    pair.talk("dismantler", Accept())
    pair.talk("collector", PROPOSAL)
    agreed, cancelled = pair.say("dismantler", AgreeDate(), Cancel(reason="sold elsewhere"))
    pair.refuse(agreed)
    pair.hear(cancelled)
    assert pair.at["collector"].state == "cancelled"
    pair.report(agreed)
    assert pair.state == "cancelled"


def test_what_leans_on_a_refused_message_counts_for_nothing_until_it_is_judged_too(pair: Pair) -> None:
    pair.talk("dismantler", REQUEST)
    quote, *_ = pair.say("collector", QUOTE)
    pair.hear(quote)
    refused = pair.say("dismantler", Accept())[0]
    pair.refuse(refused)
    pair.report(refused)
    pair.talk("dismantler", Accept())
    proposal = pair.say("collector", PROPOSAL)[0]
    pair.hear(proposal)
    other_date, after = pair.say("dismantler", AskOtherDate(reason="closed"), Cancel(reason="sold"))
    pair.refuse(other_date)
    pair.hear(after)
    pair.report(other_date)
    assert pair.state == "cancelled"
    assert all(not exchange.overtaken for exchange in pair.at.values())


def test_a_refusal_takes_back_only_what_was_refused() -> None:
    authority = Exchange("thread", MEMBERSHIP, "authority", "member")
    authority = authority.after(Said("apply", "member", 1, 0, Apply(name="Collector", roles=("collector",))))
    authority = authority.say("accredit", Accredit(roles=("collector",)))
    authority = authority.say("register-1", Register(version=1)).say("register-2", Register(version=2))
    authority = authority.voided("register-1", "forged")
    assert authority.state == "accredited"
    assert authority.last(Register).version == 2
    unaccredited = authority.voided("accredit", "forged")
    assert unaccredited.state == "applied"
    assert [said.id for said in unaccredited.standing] == ["apply"]
    assert [said.void for said in unaccredited.said] == ["", "forged", "forged", ""]


def test_the_last_message_of_a_kind_is_the_one_that_stands(pair: Pair) -> None:
    pair.talk("dismantler", REQUEST)
    with pytest.raises(Misstep, match="nobody has sent quote yet"):
        pair.at["dismantler"].last(Quote)
    pair.talk("collector", QUOTE)
    assert pair.at["dismantler"].last(Quote) == QUOTE


def test_ten_thousand_registers_are_folded_as_they_come_and_anew_alike() -> None:
    # Folding anew for every message would take minutes here.
    member = Exchange("thread", MEMBERSHIP, "member", "authority")
    member = member.say("apply", Apply(name="Collector", roles=("collector",)))
    member = member.after(Said("accredit", "authority", 1, 1, Accredit(roles=("collector",))))
    for number in range(2, 10_002):
        member = member.after(Said(f"{number}", "authority", number, 1, Register(version=number)))
    member = member.say("resign", Resign(reason="closing down"))
    anew = Exchange("thread", MEMBERSHIP, "member", "authority", member.said)
    assert (anew.state, anew.standing) == (member.state, member.standing)
    assert len(member.standing) == 10_003
