"""The diagnosis bench: runs queued diagnosis jobs on the rack, one cell after the other, and resumes them.

The station blocks, so it works in a thread. Each outcome becomes one action of the agent as soon as it
stands, with a key of its own: after a crash, cells that were recorded are not measured again.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from agents.ports import Desk, Job, JobState
from agents.service import Agent
from schemas.errors import Fault, Unavailable

LOG = logging.getLogger(__name__)
FIRST_CHANNEL, PER_SLOT = 101, 11


def channels(count: int) -> list[int]:
    """Return the switch's channels in the order cells are put on: 101-111, 201-211, 301-311."""
    return [FIRST_CHANNEL + 100 * (place // PER_SLOT) + place % PER_SLOT for place in range(count)]


class Bench:
    """One rack, by the VISA resource names of its meter and its switch."""

    def __init__(self, agent: Agent, meter: str, switch: str, *, poll_s: float = 0.5) -> None:
        self.agent = agent
        self.meter = meter
        self.switch = switch
        self.poll_s = poll_s
        self._station: Any = None

    async def run(self) -> None:
        """Work through the queue until cancelled; a running job is stopped safely and resumed next time."""
        try:
            while True:
                jobs = await self.agent.store.read(_pending)
                for job in jobs:
                    await self.work(job)
                await asyncio.sleep(self.poll_s)
        finally:
            if self._station is not None:
                self._station.stop()

    async def work(self, job: Job) -> None:
        """Measure the cells of one job that have no outcome yet."""
        cells: list[str] = list(job.details["cells"])
        done: dict[str, str] = dict(job.progress.get("outcomes", {}))
        todo = {
            channel: cell
            for channel, cell in zip(channels(len(cells)), cells, strict=True)
            if cell not in done
        }
        await self._note(job, "running", done, len(cells))
        try:
            await self._measure(job, todo, done, len(cells))
        except Unavailable as fault:
            LOG.warning("the rack cannot be reached: %s", fault)
            await self._note(job, "queued", done, len(cells), str(fault))
            await asyncio.sleep(min(30.0, 10 * self.poll_s))
            return
        except Fault as fault:
            await self._note(job, "failed", done, len(cells), str(fault))
            return
        await self._note(job, "done", done, len(cells))

    async def _measure(self, job: Job, todo: Mapping[int, str], done: dict[str, str], total: int) -> None:
        from instruments.measurement import (
            Measurement,
            Reason,
        )  # the instruments are loaded when there is work
        from instruments.station import Station

        station = self._station = Station(self.meter, self.switch)
        soc = job.details.get("soc_pct")
        outcomes = station.outcomes(
            todo,
            str(job.details["operator"]),
            float(job.details["temperature_c"]),
            soc_pct=None if soc is None else float(soc),
        )
        try:
            while (outcome := await asyncio.to_thread(next, outcomes, None)) is not None:
                if isinstance(outcome, Measurement):
                    name = "record-measurement"
                    form: dict[str, object] = {"measurement": outcome.without_transcript().to_json()}
                    words = "measured"
                else:
                    if outcome.reason is Reason.STOPPED:
                        return
                    name = "record-skip"
                    form = {"cell": outcome.cell, "reason": str(outcome.reason), "words": outcome.words}
                    words = f"skipped: {outcome.words}"
                key = f"{job.id}:{outcome.cell}"
                await self.agent.perform(name, form, user=str(job.details["operator"]), key=key)
                done[outcome.cell] = words
                await self._note(job, "running", done, total)
        finally:
            await asyncio.to_thread(outcomes.close)
            self._station = None

    async def _note(
        self, job: Job, state: JobState, outcomes: Mapping[str, str], total: int, problem: str = ""
    ) -> None:
        progress = {"outcomes": dict(outcomes), "total": total, "problem": problem}
        await self.agent.store.write(lambda desk: desk.note_job(job.id, state, progress))


def _pending(desk: Desk) -> list[Job]:
    return [job for job in desk.jobs("queued", "running") if job.job == "diagnosis"]
