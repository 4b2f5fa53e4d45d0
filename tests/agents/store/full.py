"""A process whose files may not grow for a while, as on a full disk."""

import asyncio
import resource
import sys
from pathlib import Path

from agents.ports import Desk
from agents.store import open_store
from schemas.errors import Unavailable

from .company import US


def say(word: str | None) -> None:
    print(word, flush=True)  # noqa: T201


def log_size(url: str) -> int:
    return Path(url.removeprefix("sqlite:///") + "-wal").stat().st_size


def enlarge(desk: Desk) -> None:
    desk.set("kept", "no")
    desk.set("large", "x" * 100_000)


async def main(url: str) -> None:
    store = open_store(url, US)
    await store.write(lambda desk: desk.set("kept", "yes"))
    say(await store.write(lambda desk: desk.setting("kept")))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The work itself fits into memory: only its commit meets the end of the disk.
    resource.setrlimit(resource.RLIMIT_FSIZE, (log_size(url) + 8192, hard))
    try:
        await store.write(enlarge)
    except Unavailable:
        say("unavailable")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    say(await store.write(lambda desk: desk.setting("kept")))
    await store.write(lambda desk: desk.set("kept", "again"))
    say(await store.read(lambda desk: desk.setting("kept")))
    store.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
