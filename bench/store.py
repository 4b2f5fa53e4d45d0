"""What a saved message costs: works that share commits, against one commit a work, in the same run.

Each work is what a company's database does for one incoming message: look whether it came before, take its
exchange, write its row, save the exchange. Half of them open an exchange, half end one. Run
`python bench/store.py [--json] [--url URL]`; without a URL, SQLite in a folder of its own.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

if not __package__:  # run as a script: its folder would stand before the room of the same name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from agents.ports import Desk, Letter
from agents.role import Company, Peer
from agents.store import SqlStore, open_store
from protocols.collection import COLLECTION, Request, Withdraw
from protocols.exchange import Exchange, Message, Said
from schemas.items import mint

ROUNDS, THREADS = 5, 200


def request() -> Request:
    """Build a request for collection."""
    return Request(
        vehicle=mint("vehicle"),
        pack=mint("pack"),
        vehicle_model="Leaf ZE0",
        pack_model="24 kWh",
        chassis_number="ZE0-123456",
        first_registration="2012-04",
        odometer_km=84000,
        capacity_low_pct=Decimal(58),
        capacity_high_pct=Decimal(67),
        capacity_source="vehicle display",
        place="Yard 3",
    )


def take(desk: Desk, peer: Peer, thread: str, order: int, message: Message) -> None:
    """Take in one message, as the service does."""
    id = str(uuid4())
    if desk.letter(peer.id, id) is not None:
        return
    exchange = desk.exchange(thread) or Exchange(thread, COLLECTION, "collector", peer.id)
    said = Said(id, "dismantler", order, 0, message)
    after = exchange.after(said)
    assert desk.waiting(peer.id, thread, order + 1) is None
    with desk.savepoint():
        desk.post(
            Letter(
                peer=peer.id,
                id=id,
                outward=False,
                thread=thread,
                protocol=COLLECTION.name,
                kind=message.kind,
                order=order,
                seen=0,
                body=message.model_dump_json(),
                credentials=(),
                evidence=(),
                status="taken",
                problem="",
                at=desk.now,
                attempts=0,
                next_at=desk.now,
            )
        )
        desk.save(after, said, about="", ours=order == 1)


async def burst(store: SqlStore, peer: Peer, *, together: bool) -> float:
    """Return the works a second when all are asked for together, or each after the one before."""
    threads = [str(uuid4()) for _ in range(THREADS)]
    messages = [(t, 1, request()) for t in threads] + [(t, 2, Withdraw(reason="sold")) for t in threads]
    start = time.perf_counter()
    if together:
        await asyncio.gather(
            *(store.write(lambda desk, m=m: take(desk, peer, *m)) for m in messages)  # type: ignore[misc]
        )
    else:
        for message in messages:
            await store.write(lambda desk, m=message: take(desk, peer, *m))  # type: ignore[misc]
    return len(messages) / (time.perf_counter() - start)


async def in_one_transaction(store: SqlStore, peer: Peer) -> float:
    """Return the milliseconds a work takes by itself, without its commit."""
    threads = [str(uuid4()) for _ in range(THREADS)]
    messages = [(t, 1, request()) for t in threads] + [(t, 2, Withdraw(reason="sold")) for t in threads]

    def work(desk: Desk) -> float:
        start = time.perf_counter()
        for message in messages:
            with desk.savepoint():
                take(desk, peer, *message)
        return time.perf_counter() - start

    return await store.write(work) / len(messages) * 1000


async def measure(url: str) -> dict[str, float]:
    """Measure every figure, in turn, so that whatever else the machine does meets all alike."""
    store = open_store(url, Company("did:example:me", "Me", ("collector",)))
    try:
        peer = await store.write(lambda desk: desk.contact(str(uuid4()), "did:peer:us", "did:peer:them"))
        await burst(store, peer, together=True)
        together, apart, alone = [], [], []
        for _ in range(ROUNDS):
            together.append(await burst(store, peer, together=True))
            apart.append(await burst(store, peer, together=False))
            alone.append(await in_one_transaction(store, peer))
    finally:
        store.close()
    return {
        "works_per_s": statistics.median(together),
        "works_per_s_alone": statistics.median(apart),
        "group_ratio": statistics.median(a / b for a, b in zip(together, apart, strict=True)),
        "work_ms": statistics.median(alone),
    }


def main() -> None:
    """Print a table, or JSON."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--url", help="a database that may be written to")
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(chosen.url or f"sqlite:///{folder}/bench.db"))
    if chosen.json:
        print(json.dumps({name: round(value, 3) for name, value in figures.items()}))
        return
    print(f"works a second, sharing commits   {figures['works_per_s']:10.0f}")
    print(f"works a second, a commit each     {figures['works_per_s_alone']:10.0f}")
    print(f"ratio                             {figures['group_ratio']:10.1f}")
    print(f"one work without its commit, ms   {figures['work_ms']:10.3f}")


if __name__ == "__main__":
    main()
