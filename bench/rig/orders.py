"""How a bench speaks to the driver inside a process: one JSON object a line, each way."""

import asyncio
import json
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

type Driver = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]


async def obey(driver: Driver) -> None:
    """Carry out orders from standard input until it ends."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        try:
            said: Mapping[str, Any] = await driver(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            said = {"problem": repr(error)}
        sys.stdout.write(f"@{json.dumps(said)}\n")
        sys.stdout.flush()


async def at_once(number: int, width: int, one: Callable[[int], Awaitable[object]]) -> None:
    """Do something `number` times, `width` at a time."""
    numbers = iter(range(number))

    async def lane() -> None:
        for n in numbers:
            await one(n)

    await asyncio.gather(*(lane() for _ in range(width)))


async def until(reached: Callable[[], bool]) -> float:
    """Wait until something has come true; return the monotonic time then, to a millisecond."""
    while not reached():  # noqa: ASYNC110, nobody tells
        await asyncio.sleep(0.001)
    return time.monotonic()
