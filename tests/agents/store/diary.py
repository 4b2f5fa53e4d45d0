"""A process that writes until it is killed, and says what it was told is saved."""

import asyncio
import sys
from random import Random

from agents.ports import Desk
from agents.store import SqlStore, open_store
from protocols.exchange import Exchange

from .company import US, begin, connect, steps, wander


async def keep(store: SqlStore, thread: str, random: Random) -> None:
    def step(desk: Desk) -> Exchange:
        return wander(desk, begin(desk, connect(desk), thread), random)

    while True:
        after = await store.write(step)
        if not after.said:
            continue
        print(thread, after.state, steps(after), flush=True)  # noqa: T201
        if after.ended or len(after.said) > 40:
            thread += "+"


async def main(url: str, round_: str) -> None:
    store = open_store(url, US)
    await asyncio.gather(*(keep(store, f"{round_}-{n}", Random(n)) for n in range(8)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
