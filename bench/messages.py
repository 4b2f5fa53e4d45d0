"""Durable, acknowledged messages between two of our agents, against ACA-Py's own basic messages.

Ours count when the sender's books hold the receipt that the receiver's application gave after its commit;
ACA-Py's when the receiver's handler has seen them, and a crash loses them. Both pairs run on this machine,
over the same transport and wallet type, and take turns; each is driven from within the sending process, and
then through its HTTP API. Run `python bench/messages.py [--json]`.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # run as a script: its folder would stand before the room of the same name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from aiohttp import ClientSession, ClientTimeout, TCPConnector

from bench.rig.orders import at_once
from bench.rig.processes import Agent, Used, admit, connect, connect_acapy, running
from schemas.items import mint

TEXT = "Is the cell known to have been wet, dropped or heated, and what was its capacity when last measured?"


@dataclass(frozen=True)
class Burst:
    """One burst of messages: how many a second, and the CPU ms of each side for one."""

    rate: float
    sender_ms: float
    receiver_ms: float

    @property
    def cpu_ms(self) -> float:
        """Return the CPU ms a message and side."""
        return (self.sender_ms + self.receiver_ms) / 2


@dataclass(frozen=True)
class Alone:
    """Messages sent one by one: the ms each took, and the CPU ms of one on each side."""

    took_ms: tuple[float, ...]
    cpu_ms: float


@dataclass
class Pair:
    """Two agents of one maker, the first of which sends."""

    sender: Agent
    receiver: Agent
    to: str
    width: int
    session: ClientSession

    async def measured(self, number: int, send: Callable[[], Awaitable[float]]) -> Burst:
        """Return what a burst took of both processes."""
        before = Used.by((self.sender, self.receiver))
        seconds = await send()
        sender, receiver = Used.by((self.sender, self.receiver)).since(before)
        return Burst(number / seconds, sender / number * 1000, receiver / number * 1000)

    async def burst(self, number: int) -> Burst:
        """Send from within the sending process."""
        return await self.measured(number, lambda: self.inside(number))

    async def burst_http(self, number: int) -> Burst:
        """Send through the HTTP API."""
        return await self.measured(number, lambda: self.through_the_door(number))

    async def one_by_one(self, number: int) -> "Alone":
        """Send one message after the other, each when the one before has arrived, or is acknowledged."""
        took: list[float] = []

        async def send() -> float:
            for _ in range(number):
                took.append(await self.inside(1))
            return sum(took)

        burst = await self.measured(number, send)
        return Alone(tuple(seconds * 1000 for seconds in took), burst.cpu_ms)

    async def inside(self, number: int) -> float:
        """Return the seconds until all messages have arrived, or are acknowledged."""
        raise NotImplementedError

    async def through_the_door(self, number: int) -> float:
        """Return the seconds until all messages have arrived, or are acknowledged."""
        raise NotImplementedError


class Ours(Pair):
    """Two of our agents."""

    async def inside(self, number: int) -> float:
        """Return the seconds until all messages are acknowledged."""
        said = await self.sender.ask(send=number, to=self.to, width=self.width, text=TEXT)
        return float(said["seconds"])

    async def through_the_door(self, number: int) -> float:
        """Return the seconds until all messages are acknowledged."""
        wanted = (await self.sender.ask(settled=0))["settled"] + number
        start = time.monotonic()

        async def one(_: int) -> None:
            await self.sender.do(
                self.session, "ask-disclosure", self.to, item=mint("pack"), purpose="safety", note=TEXT
            )

        await at_once(number, 16, one)
        return float((await self.sender.ask(settled=wanted))["at"]) - start


class Theirs(Pair):
    """Two bare ACA-Py agents."""

    async def inside(self, number: int) -> float:
        """Return the seconds until all messages have arrived."""
        wanted = (await self.receiver.ask(received=0))["received"] + number
        said = await self.sender.ask(send=number, to=self.to, width=self.width, text=TEXT)
        return float((await self.receiver.ask(**{"await": wanted}))["at"]) - float(said["started"])

    async def through_the_door(self, number: int) -> float:
        """Return the seconds until all messages have arrived."""
        wanted = (await self.receiver.ask(received=0))["received"] + number
        start = time.monotonic()

        async def one(_: int) -> None:
            path = f"/connections/{self.to}/send-message"
            await self.sender.call(self.session, "POST", path, json={"content": TEXT})

        await at_once(number, 16, one)
        return float((await self.receiver.ask(**{"await": wanted}))["at"]) - start


def median(bursts: Sequence[Burst], name: str) -> float:
    """Return the median of one figure."""
    return float(statistics.median(getattr(burst, name) for burst in bursts))


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Measure every figure, the pairs in turn, so that whatever else the machine does meets both alike."""
    asker = Agent("meguri", folder / "asker", "Asker", "dismantler")
    holder = Agent("meguri", folder / "holder", "Holder", "governance-authority")
    alice, bob = (Agent("acapy", folder / name, name) for name in ("Alice", "Bob"))
    async with (
        ClientSession(timeout=ClientTimeout(60), connector=TCPConnector(limit=0)) as session,
        running(session, asker, holder),
        running(session, alice, bob),
    ):
        await connect(session, holder, asker)
        await admit(session, holder, asker)
        connection = await connect_acapy(session, bob, alice)
        ours = Ours(asker, holder, holder.name, options.width, session)
        theirs = Theirs(alice, bob, connection, options.acapy_width, session)
        await ours.burst(options.warm_up)
        await theirs.burst(options.warm_up)
        inside: list[tuple[Burst, Burst]] = []
        for _ in range(options.repeat):
            inside.append((await ours.burst(options.messages), await theirs.burst(options.acapy_messages)))
        door: list[tuple[Burst, Burst]] = []
        for _ in range(options.http_repeat):
            number = options.http_messages
            door.append((await ours.burst_http(number), await theirs.burst_http(number)))
        alone = await ours.one_by_one(options.alone), await theirs.one_by_one(options.alone)
    return figures(inside, door, alone) | {"messages": options.messages, "repeats": options.repeat}


def figures(
    inside: list[tuple[Burst, Burst]], door: list[tuple[Burst, Burst]], alone: tuple[Alone, Alone]
) -> dict[str, float]:
    """Put the figures together; a ratio is the median of the ratios of bursts that followed one another."""
    found: dict[str, float] = {}
    for suffix, bursts in (("", inside), ("_http", door)):
        if not bursts:
            continue
        ours, theirs = [one for one, _ in bursts], [one for _, one in bursts]
        found[f"rate_ratio{suffix}"] = statistics.median(a.rate / b.rate for a, b in bursts)
        for prefix, sides in (("", ours), ("acapy_", theirs)):
            found[f"{prefix}rate{suffix}"] = median(sides, "rate")
            found[f"{prefix}cpu_ms_per_message{suffix}"] = median(sides, "cpu_ms")
            found[f"{prefix}sender_cpu_ms{suffix}"] = median(sides, "sender_ms")
            found[f"{prefix}receiver_cpu_ms{suffix}"] = median(sides, "receiver_ms")
    for prefix, one in zip(("", "acapy_"), alone, strict=True):
        cuts = statistics.quantiles(one.took_ms, n=100)
        found |= {f"{prefix}latency_p50_ms": cuts[49], f"{prefix}latency_p99_ms": cuts[98]}
        found[f"{prefix}cpu_ms_alone"] = one.cpu_ms
    return found


def table(found: dict[str, float]) -> str:
    """Write the figures for people."""
    lines = [f"{'':38}{'ours':>12}{'ACA-Py':>12}{'ratio':>9}"]
    for suffix, title in (("", "Driven from inside the sender"), ("_http", "Through the HTTP API")):
        if f"rate{suffix}" not in found:
            continue
        lines.append(title)
        for name, words in (
            ("rate", "messages a second"),
            ("cpu_ms_per_message", "CPU ms a message and side"),
            ("sender_cpu_ms", "the sender's CPU ms"),
            ("receiver_cpu_ms", "the receiver's CPU ms"),
        ):
            ours, theirs = found[name + suffix], found[f"acapy_{name}{suffix}"]
            ratio = found[f"rate_ratio{suffix}"] if name == "rate" else ours / theirs
            lines.append(f"  {words:<36}{ours:>12.2f}{theirs:>12.2f}{ratio:>9.2f}")
    lines.append("One by one, from inside the sender (ours until acknowledged, ACA-Py's until arrived)")
    for name, words in (
        ("latency_p50_ms", "ms, half took less"),
        ("latency_p99_ms", "ms, 99 in 100 took less"),
        ("cpu_ms_alone", "CPU ms a message and side"),
    ):
        ours, theirs = found[name], found[f"acapy_{name}"]
        lines.append(f"  {words:<36}{ours:>12.2f}{theirs:>12.2f}{ours / theirs:>9.2f}")
    return "\n".join(lines)


def main() -> None:
    """Print a table, or JSON."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--messages", type=int, default=1500, help="messages of ours in a burst")
    arguments.add_argument("--acapy-messages", type=int, default=400, help="messages of ACA-Py's in a burst")
    arguments.add_argument("--http-messages", type=int, default=400, help="messages in a burst through HTTP")
    arguments.add_argument("--warm-up", type=int, default=200, help="messages before anything is measured")
    arguments.add_argument("--repeat", type=int, default=5, help="bursts of each")
    arguments.add_argument("--http-repeat", type=int, default=3, help="bursts of each through the HTTP API")
    arguments.add_argument("--alone", type=int, default=100, help="messages sent one by one")
    arguments.add_argument("--width", type=int, default=64, help="of ours, asked for at a time")
    arguments.add_argument("--acapy-width", type=int, default=64, help="of ACA-Py's, asked for at a time")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(options, Path(folder)))
    print(
        json.dumps({name: round(value, 3) for name, value in found.items()}) if options.json else table(found)
    )


if __name__ == "__main__":
    main()
