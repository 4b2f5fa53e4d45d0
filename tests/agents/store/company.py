"""A company and what it says and hears, as the service would save it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from uuid import uuid4

from agents.ports import Delivery, Desk, Letter
from agents.role import Company, Peer
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
from protocols.exchange import Exchange, Message, Said, Unreadable
from schemas.errors import Misstep

US = Company("did:example:us", "Seto Recycling", ("collector",))
PACK = "P3F9KQ27MT-I"

WORDS: dict[type[Message], Message] = {
    Request: Request(
        vehicle="V3F9KQ27MT-R",
        pack=PACK,
        vehicle_model="Leaf ZE0",
        pack_model="24 kWh",
        chassis_number="ZE0-123456",
        first_registration="2012-04",
        odometer_km=84000,
        capacity_low_pct=Decimal("58.50"),
        capacity_high_pct=Decimal(67),
        capacity_source="vehicle display",
        findings=("wet",),
        place="置き場 3",
    ),
    Quote: Quote(price_jpy=-12000, valid_until=date(2026, 5, 1)),
    Decline: Decline(reason="too far"),
    Accept: Accept(),
    Withdraw: Withdraw(reason="sold"),
    ProposeDate: ProposeDate(pickup=date(2026, 4, 20)),
    AgreeDate: AgreeDate(),
    AskOtherDate: AskOtherDate(reason="a holiday"),
    Cancel: Cancel(reason="the truck broke down"),
}


@dataclass
class Clock:
    """A clock that a test sets."""

    now: datetime = field(default_factory=lambda: datetime(2026, 4, 1, 9, 30, tzinfo=UTC))

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


def connect(desk: Desk, name: str = "one") -> Peer:
    return desk.contact(f"connection {name}", f"did:peer:us-{name}", f"did:peer:{name}")


def write(
    desk: Desk,
    exchange: Exchange,
    said: Said,
    *,
    status: Delivery | None = None,
    problem: str = "",
    seen: int | None = None,
) -> Letter:
    """Return the message row of what was said."""
    outward = said.sender == exchange.side
    return Letter(
        peer=exchange.peer,
        id=said.id,
        outward=outward,
        thread=exchange.thread,
        protocol=exchange.protocol.name,
        kind=said.message.kind,
        order=said.order,
        seen=said.seen if seen is None else seen,
        body=said.message.model_dump_json(),
        credentials=("urn:uuid:a", "urn:uuid:b") if outward else (),
        evidence=("0" * 64,),
        status=status or ("queued" if outward else "taken"),
        problem=problem,
        at=desk.now,
        attempts=0,
        next_at=desk.now,
    )


def begin(desk: Desk, peer: Peer, thread: str = "", side: str = "collector") -> Exchange:
    return desk.exchange(thread) or Exchange(thread or str(uuid4()), COLLECTION, side, peer.id)


def hear(desk: Desk, exchange: Exchange, message: Message, *, seen: int | None = None) -> Exchange:
    """Take in the other side's next message."""
    sender = exchange.protocol.other(exchange.side)
    ours = len(exchange.by(exchange.side))
    said = Said(str(uuid4()), sender, len(exchange.by(sender)) + 1, ours if seen is None else seen, message)
    after = exchange.after(said)
    desk.post(write(desk, exchange, said))
    desk.save(after, said, about=PACK, ours=True)
    return after


def refuse(desk: Desk, exchange: Exchange, *, seen: int = 0) -> Exchange:
    """Refuse the other side's next message, which keeps its place."""
    sender = exchange.protocol.other(exchange.side)
    problem = '{"code": "malformed"}'
    said = Said(str(uuid4()), sender, len(exchange.by(sender)) + 1, seen, Unreadable(), void=problem)
    after = exchange.after(said)
    desk.post(write(desk, exchange, said, status="refused", problem=problem, seen=seen))
    desk.save(after, after.said[-1], about=PACK, ours=True)
    return after


def say(desk: Desk, exchange: Exchange, message: Message) -> Exchange:
    """Say our next message."""
    after = exchange.say(str(uuid4()), message)
    said = after.said[-1]
    desk.post(write(desk, after, said))
    desk.save(after, said, about=PACK, ours=False)
    return after


def take_back(desk: Desk, exchange: Exchange, id: str) -> Exchange:
    """Note that the other side refused a message of ours."""
    (letter,) = desk.settle(exchange.peer, (id,), "refused", "no such pack")
    after = exchange.voided(id, letter.problem)
    desk.save(after, next(said for said in after.said if said.id == id), about=PACK, ours=False)
    return after


def wander(desk: Desk, exchange: Exchange, random: Random) -> Exchange:
    """Take one step at random, of those a company may see."""
    other = exchange.protocol.other(exchange.side)
    open_ = [s.id for s in exchange.by(exchange.side) if not s.void]
    if exchange.said and random.random() < 0.2:
        return refuse(desk, exchange, seen=random.randint(0, 9))
    if open_ and random.random() < 0.2:
        return take_back(desk, exchange, random.choice(open_))
    side = random.choice((exchange.side, other)) if exchange.said else exchange.protocol.opener
    said: Sequence[type[Message]] = [
        body for body in exchange.protocol.may_send(exchange.state, side) if body in WORDS
    ]
    if not said:
        return exchange
    message = WORDS[random.choice(said)]
    if side == exchange.side:
        return say(desk, exchange, message)
    try:
        return hear(desk, exchange, message, seen=random.choice((None, 0, 1)))
    except Misstep:
        return refuse(desk, exchange)


def steps(exchange: Exchange) -> int:
    """Count what has happened in an exchange; every step of `wander` adds to it."""
    return len(exchange.said) + sum(bool(said.void) for said in exchange.said)
