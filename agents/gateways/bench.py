"""The diagnosis bench: runs queued diagnosis jobs on the rack, one cell after the other, and resumes them.

The station blocks, so it works in a thread. Each outcome becomes one action of the agent as soon as it
stands, with a key of its own: after a crash, cells that were recorded are not measured again.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agents.ports import Desk, Job, JobState
from agents.service import Agent
from schemas.errors import Fault, Unavailable

if TYPE_CHECKING:
    from instruments.station import Outcome, Station

LOG = logging.getLogger(__name__)
FIRST_CHANNEL, PER_SLOT = 101, 11
LONGEST_PAUSE_S = 30.0


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
        self._station: Station | None = None

    async def run(self) -> None:
        """Work through the queue until cancelled; a job cut short goes on from there next time."""
        while True:
            for job in await self.agent.store.read(_pending):
                await self.work(job)
            await asyncio.sleep(self.poll_s)

    def stop(self) -> None:
        """Stop the job at hand: the running cell is not recorded, its relay opens, the job is not resumed."""
        if self._station is not None:
            self._station.stop()

    async def work(self, job: Job) -> None:
        """Measure the cells of one job that have no outcome yet."""
        cells: list[str] = list(job.details["cells"])
        done = await self.agent.store.read(lambda desk: _outcomes(desk, job))
        todo = {
            channel: cell
            for channel, cell in zip(channels(len(cells)), cells, strict=True)
            if cell not in done
        }
        await self._note(job, "running", done)
        try:
            finished = await self._measure(job, todo, done)
        except Unavailable as fault:
            LOG.warning("the diagnosis waits: %s", fault)
            await self._note(job, "queued", done, str(fault))
            await asyncio.sleep(min(LONGEST_PAUSE_S, 10 * self.poll_s))
        except Fault as fault:
            await self._note(job, "failed", done, str(fault))
        except Exception as error:
            LOG.exception("the diagnosis broke off")
            await self._note(job, "failed", done, f"{type(error).__name__}: {error}")
        else:
            await self._note(job, "done" if finished else "stopped", done)

    async def _measure(self, job: Job, todo: Mapping[int, str], done: dict[str, str]) -> bool:
        """Measure cell by cell; return whether all were gone through."""
        from instruments.measurement import Reason, Skipped  # the instruments, when there is work
        from instruments.station import Station

        station = self._station = Station(self.meter, self.switch)
        soc = job.details.get("soc_pct")
        outcomes = station.outcomes(
            todo,
            str(job.details["operator"]),
            float(job.details["temperature_c"]),
            soc_pct=None if soc is None else float(soc),
        )
        step: asyncio.Future[Outcome | None] | None = None
        try:
            while True:
                step = asyncio.ensure_future(asyncio.to_thread(next, outcomes, None))
                outcome = await asyncio.shield(step)
                if outcome is None:
                    return True
                if isinstance(outcome, Skipped) and outcome.reason is Reason.STOPPED:
                    return False
                done[outcome.cell] = await self._record(job, outcome)
                await self._note(job, "running", done)
        finally:
            # Cancelled in the middle of a cell: the station opens its relay before anything else goes on.
            station.stop()
            if step is not None:
                await asyncio.wait({step})
            await asyncio.to_thread(outcomes.close)
            self._station = None

    async def _record(self, job: Job, outcome: "Outcome") -> str:
        """Record what came of one cell, once; return it in words."""
        from instruments.measurement import Measurement

        if isinstance(outcome, Measurement):
            name, words = "record-measurement", "measured"
            form: dict[str, object] = {"measurement": outcome.without_transcript().to_json()}
        else:
            name, words = "record-skip", f"skipped: {outcome.words}"
            form = {"cell": outcome.cell, "reason": str(outcome.reason), "words": outcome.words}
        key = f"{job.id}:{outcome.cell}"
        try:
            await self.agent.perform(name, form, user=str(job.details["operator"]), key=key)
        except Unavailable:
            raise
        except Fault as fault:
            return f"not recorded: {fault}"
        return words

    async def _note(self, job: Job, state: JobState, outcomes: Mapping[str, str], problem: str = "") -> None:
        progress = {"outcomes": dict(outcomes), "total": len(job.details["cells"]), "problem": problem}
        await self.agent.store.write(lambda desk: desk.note_job(job.id, state, progress))


def _pending(desk: Desk) -> list[Job]:
    return [job for job in desk.jobs("queued", "running") if job.job == "diagnosis"]


def _outcomes(desk: Desk, job: Job) -> dict[str, str]:
    """Return what came of a job's cells so far, also of one recorded just before a crash."""
    known = desk.job(job.id) or job
    outcomes: dict[str, str] = dict(known.progress.get("outcomes", {}))
    for cell in job.details["cells"]:
        if cell not in outcomes and desk.done(f"{job.id}:{cell}") is not None:
            (last,) = desk.events(cell, ours=True)[-1:]
            skipped = last.what == "skipped"
            outcomes[cell] = f"skipped: {last.details['words']}" if skipped else "measured"
    return outcomes
