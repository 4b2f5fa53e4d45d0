"""How long one of our agents takes to be ready, and what it then weighs, against bare ACA-Py.

From the start of the process until our /ready, or ACA-Py's /status/ready, answers 200; one process at a
time, the makers in turn. The first start of a folder makes the wallet and the database; every later one is
an ordinary start, and that is what the ratios compare. Run `python bench/boot.py [--json]`.
"""

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from pathlib import Path

if not __package__:  # run as a script: its folder would stand before the room of the same name
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from aiohttp import ClientSession

from bench.rig.processes import Agent, Maker

MAKERS: tuple[Maker, Maker] = ("meguri", "acapy")
SETTLE_S = 0.3
"""ACA-Py says it is ready before it has finished starting; its memory is looked at a moment later."""


async def boot(session: ClientSession, agent: Agent) -> tuple[float, float, float]:
    """Start and stop an agent; return the seconds until it was ready, its CPU seconds and its MiB then."""
    await agent.start()
    try:
        seconds = await agent.ready(session)
        cpu_s = agent.cpu_s()
        await asyncio.sleep(SETTLE_S)
        return seconds, cpu_s, agent.rss_bytes() / (1 << 20)
    finally:
        await agent.stop()


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Start both makers' agents in turn: first afresh, then again and again in the same folders."""
    agents = {maker: Agent(maker, folder / maker, "Booted", "collector", driven=False) for maker in MAKERS}
    first: dict[str, tuple[float, float, float]] = {}
    later: dict[str, list[tuple[float, float, float]]] = {maker: [] for maker in MAKERS}
    async with ClientSession() as session:
        for maker in MAKERS:  # so that every file has been read once
            await boot(session, Agent(maker, folder / f"warm-{maker}", "Warm", "collector", driven=False))
        for maker in MAKERS:
            first[maker] = await boot(session, agents[maker])
        for _ in range(options.repeat):
            for maker in MAKERS:
                later[maker].append(await boot(session, agents[maker]))
    ours, theirs = later["meguri"], later["acapy"]
    found: dict[str, float] = {
        f"{name}_ratio": statistics.median(a[n] / b[n] for a, b in zip(ours, theirs, strict=True))
        for n, name in enumerate(("ready", "cpu", "rss"))
    }
    for prefix, maker in (("", "meguri"), ("acapy_", "acapy")):
        for n, name in enumerate(("ready_s", "cpu_s", "rss_mib")):
            found[prefix + name] = statistics.median(one[n] for one in later[maker])
            found[f"{prefix}first_{name}"] = first[maker][n]
    return found


def table(found: dict[str, float]) -> str:
    """Write the figures for people."""
    lines = [f"{'':32}{'ours':>10}{'ACA-Py':>10}{'ratio':>8}"]
    for name, words in (
        ("ready_s", "until ready, s"),
        ("cpu_s", "CPU until then, s"),
        ("rss_mib", "memory then, MiB"),
        ("first_ready_s", "until ready the first time, s"),
        ("first_rss_mib", "memory the first time, MiB"),
    ):
        ours, theirs = found[name], found[f"acapy_{name}"]
        ratio = found.get(f"{name.rpartition('_')[0]}_ratio", ours / theirs)
        lines.append(f"{words:<32}{ours:>10.2f}{theirs:>10.2f}{ratio:>8.2f}")
    return "\n".join(lines)


def main() -> None:
    """Print a table, or JSON."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--json", action="store_true", help="print one JSON object")
    arguments.add_argument("--repeat", type=int, default=4, help="ordinary starts of each")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(measure(options, Path(folder)))
    print(
        json.dumps({name: round(value, 3) for name, value in found.items()}) if options.json else table(found)
    )


if __name__ == "__main__":
    main()
