"""One of our agents, as `meguri start` runs it, with a driver inside."""

import asyncio
import gc
import time
from collections.abc import Mapping
from typing import Any

from agents.acapy.start import Running, agent
from agents.config import Config
from bench.rig.orders import at_once, obey, until
from schemas.items import mint


async def drive(running: Running, order: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out one order."""
    match order:
        case {"send": int(number), "to": str(to), "width": int(width), "text": str(text)}:
            return await send(running, number, to, width, text)
        case {"settled": int(number)}:
            at = await until(lambda: running.postman.settled_count >= number)
            return {"settled": running.postman.settled_count, "at": at}
    raise ValueError(f"no such order: {order}")


def question(text: str) -> dict[str, object]:
    """Return the form of a message of ours that carries a text."""
    return {"item": mint("pack"), "purpose": "safety", "note": text}


async def send(running: Running, number: int, to: str, width: int, text: str) -> dict[str, Any]:
    """Send messages, and wait until the peer's application has acknowledged all of them."""
    postman = running.postman
    forms = [question(text) for _ in range(number)]
    wanted = postman.settled_count + number
    start = time.monotonic()
    await at_once(number, width, lambda n: running.agent.perform("ask-disclosure", forms[n], to))
    saved = time.monotonic() - start
    done = await until(lambda: postman.settled_count >= wanted)
    return {"seconds": done - start, "saved": saved, "sent": number}


async def main() -> None:
    """Run the agent until standard input ends."""
    async with agent(Config.load()) as running:
        await obey(lambda order: drive(running, order))


if __name__ == "__main__":
    gc.disable()  # as `meguri start` does until the agent is ready
    asyncio.run(main())
