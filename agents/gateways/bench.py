"""The diagnosis bench: runs shifts on the racks, side by side, and takes up what was cut short.

The racks block, so each shift works in threads of its own. An outcome stands in the shift's journal before
the next cell begins; from there it goes into the books as one action, with a key of its own. After a crash
the journal and the books together say which cells are done: none is measured twice, none is lost.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agents.ports import Desk, Sight, Spot, Sweep
from agents.role import Job, JobState
from agents.roles.diagnosis import spectra
from agents.roles.station import DIAGNOSIS, RACKS, by_of, load_of, places_of
from agents.service import Agent
from instruments.load import Place
from schemas.errors import Fault, Unavailable

if TYPE_CHECKING:
    from instruments.measurement import Measurement, Outcome, Settings
    from instruments.shift import Journal, Order, Summary
    from instruments.station import Progress, Station

LOG = logging.getLogger(__name__)
LONGEST_PAUSE_S: Final = 30.0


class Bench:
    """The racks of a company, each by the VISA resource names of its meter and its switch.

    A rack with a fast analyser also names its adapter and its resource.
    """

    def __init__(
        self,
        agent: Agent,
        racks: Sequence[tuple[str, ...]],
        journals: Path,
        *,
        settings: "Settings | None" = None,
        poll_s: float = 0.5,
    ) -> None:
        self.agent = agent
        self.racks = tuple(racks)
        self.journals = journals
        self.settings = settings
        self.poll_s = poll_s
        self._woken = asyncio.Event()
        self._works: dict[str, asyncio.Task[None]] = {}
        self._stations: dict[str, list[Station]] = {}
        self._version = 0
        self._spots = {rack: Spot(rack) for rack in range(1, len(self.racks) + 1)}
        self._sweeps: dict[Place, Sweep] = {}

    # What others see and want of it

    def wake(self) -> None:
        """Look for a job to begin."""
        self._woken.set()

    def halt(self, job: str) -> None:
        """Stop a job at once: the running cells are not recorded, their relays open."""
        for station in self._stations.get(job, ()):
            station.stop()

    def look(self) -> Sight:
        """Return what the racks are doing now."""
        return Sight(self._version, tuple(self._spots.values()), tuple(self._sweeps.values()))

    # The queue

    async def run(self) -> None:
        """Work through the queue until cancelled; a job cut short goes on from there next time."""
        await self.settle()
        try:
            while True:
                self._woken.clear()
                for job in await self.agent.store.read(_pending):
                    if job.id not in self._works and not self._busy(job):
                        self._works[job.id] = asyncio.create_task(self._worked(job), name=f"shift {job.id}")
                try:
                    await asyncio.wait_for(self._woken.wait(), self.poll_s)
                except TimeoutError:
                    continue
        finally:
            for work in self._works.values():
                work.cancel()
            await asyncio.gather(*self._works.values(), return_exceptions=True)

    async def settle(self) -> None:
        """Note how many racks there are, and show the spectra of what is on them."""

        def work(desk: Desk) -> "dict[Place, Measurement]":
            analysers = [number for number, rack in enumerate(self.racks, 1) if rack[2:]]
            desk.keep_note(RACKS, {"racks": len(self.racks), "analysers": analysers})
            load = load_of(desk)
            measured = {p: c for p, c in load.cells.items() if load.outcomes.get(c) == ""}
            return {p: found for p, c in measured.items() for found in spectra(desk, c)[-1:]}

        for place, found in (await self.agent.store.write(work)).items():
            self._draw(place, found)

    def _busy(self, job: Job) -> bool:
        racks = {place.rack for place in places_of(job)}
        return any(self._spots[rack].job for rack in racks if rack in self._spots)

    async def _worked(self, job: Job) -> None:
        try:
            await self.work(job)
        finally:
            del self._works[job.id]
            self.wake()

    async def work(self, job: Job) -> None:
        """Measure the cells of one job that have no outcome yet, all its racks side by side."""
        places = places_of(job)
        for rack in {place.rack for place in places} & self._spots.keys():
            self._show(Spot(rack, job.id, stage="waiting", problem=str(job.progress.get("problem", ""))))
        try:
            problem = await self._shift(job, places)
        except Unavailable as fault:
            problem = str(fault)
        except Fault as fault:
            await self._note(job, "failed", str(fault))
            problem = ""
        except Exception as error:
            LOG.exception("the diagnosis broke off")
            await self._note(job, "failed", f"{type(error).__name__}: {error}")
            problem = ""
        try:
            if problem:
                LOG.warning("the diagnosis waits: %s", problem)
                await self._note(job, "queued", problem)
                for rack in {place.rack for place in places} & self._spots.keys():
                    self._show(Spot(rack, job.id, stage="waiting", problem=problem))
                await asyncio.sleep(min(LONGEST_PAUSE_S, 10 * self.poll_s))
        finally:
            for rack in {place.rack for place in places} & self._spots.keys():
                self._show(Spot(rack, problem=problem))

    # One shift

    async def _shift(self, job: Job, places: Mapping[Place, str]) -> str:
        """Run a shift to its end; return what keeps it from its end, in words."""
        from instruments.measurement import Reason, Skipped
        from instruments.shift import Order

        self.journals.mkdir(parents=True, exist_ok=True, mode=0o700)
        zeros = job.details.get("zero_adjustments") or {}
        soc = job.details.get("soc_pct")
        order = Order(
            str(job.details["operator"]),
            float(job.details["temperature_c"]),
            None if soc is None else float(soc),
            {str(serial): str(id) for serial, id in zeros.items()},
        )
        *first, last = rounds_of(job)
        problem = ""
        for one in first:
            left, problem, stopped = await self._round(job, one, places, order)
            if stopped:
                await self._note(job, "stopped")
                return ""
        unswept, broken, _ = await self._round(job, last, places, order)
        if broken:
            return broken
        if problem and not unswept:  # the analyser was away all the while; that holds up no sweep
            for place, cell in left.items():
                words = problem[:400]
                missed = Skipped(cell, place.channel, Reason.DISCONNECTED, words, str(place.rack))
                await self._record(job, missed, *first)
        await self._note(job, "stopped" if unswept else "done", problem)
        return ""

    async def _round(
        self, job: Job, one: "Round", places: Mapping[Place, str], order: "Order"
    ) -> tuple[dict[Place, str], str, bool]:
        """Measure in one way; return what has no outcome, what is broken in words, whether it was stopped."""
        from instruments.shift import Journal

        done = await self._note(job, "running", one=one)
        with Journal(self.journals / one.journal(job)) as journal:
            # What was measured just before a crash stands in the journal, and is not in the books yet.
            for cell, outcome in journal.outcomes.items():
                if cell not in done:
                    done = await self._record(job, outcome, one)
            todo = {place: cell for place, cell in places.items() if cell not in done}
            summary = await self._measured(job, todo, replace(order, fast=one.fast), journal, one)
            done = await self._note(job, "running", one=one)
        left = {place: cell for place, cell in places.items() if cell not in done}
        broken = "" if summary.stopped else "; ".join(summary.broken.values())
        return left, broken, bool(left) and not broken

    async def _measured(
        self, job: Job, todo: Mapping[Place, str], order: "Order", journal: "Journal", one: "Round"
    ) -> "Summary":
        """Have the racks measure in their threads, and put each outcome into the books."""
        from instruments.shift import run

        loop, written = asyncio.get_running_loop(), asyncio.Queue["Outcome | None"]()

        def tell(step: "Progress") -> None:
            loop.call_soon_threadsafe(self._progress, job, step)

        def hand_over(outcome: "Outcome") -> None:
            loop.call_soon_threadsafe(written.put_nowait, outcome)

        stations = self._stations[job.id] = [self._station(rack) for rack in sorted({p.rack for p in todo})]
        if (now := await self.agent.store.read(lambda desk: desk.job(job.id))) and now.state == "stopped":
            self.halt(job.id)  # it was stopped before there was a station to stop
        loads = {
            station: {p.channel: cell for p, cell in todo.items() if f"{p.rack}" == station.rack}
            for station in stations
        }
        measuring = asyncio.ensure_future(
            asyncio.to_thread(run, loads, order, journal, on_progress=tell, on_written=hand_over)
        )
        measuring.add_done_callback(lambda _: written.put_nowait(None))
        try:
            while (outcome := await written.get()) is not None:
                await self._record(job, outcome, one)
            return await asyncio.shield(measuring)
        finally:
            # Cancelled, or the books cannot be written: the racks open their relays before anything else.
            for station in stations:
                station.stop()
            await asyncio.wait({measuring})
            del self._stations[job.id]

    def _station(self, rack: int) -> "Station":
        from instruments.analyser import adapter
        from instruments.station import Station

        if rack > len(self.racks):
            raise Unavailable("rack {rack} is not here", rack=rack)
        meter, switch, *analyser = self.racks[rack - 1]
        name, resource = analyser or ("", "")
        return Station(
            meter,
            switch,
            rack=f"{rack}",
            settings=self.settings,
            analyser_resource=resource,
            analyser=adapter(name) if name else None,
        )

    async def _record(self, job: Job, outcome: "Outcome", one: "Round") -> dict[str, str]:
        """Record what came of one cell, once; return what came of all so far."""
        from instruments.analyser import Analysis
        from instruments.measurement import Measurement

        form: dict[str, object]
        known_as = job.id if one.last else ""
        if isinstance(outcome, Measurement):
            name, words = "record-measurement", "measured"
            form = {"measurement": outcome.without_transcript().to_json(), "job": known_as}
        elif isinstance(outcome, Analysis):
            name, words = "record-analysis", "measured"
            form = {"analysis": outcome.without_transcript().to_json(), "job": known_as}
        else:
            name, words = "record-skip", f"skipped: {outcome.words}"
            form = {
                "cell": outcome.cell,
                "reason": str(outcome.reason),
                "words": outcome.words,
                "by": "fast" if one.fast else "sweep",
                "job": known_as,
            }
        try:
            await self.agent.perform(
                name, form, user=str(job.details["operator"]), key=one.key(job, outcome.cell)
            )
        except Unavailable:
            raise
        except Fault as fault:
            words = f"not recorded: {fault}"
        return await self._note(job, "running", now={outcome.cell: words}, one=one)

    async def _note(
        self,
        job: Job,
        state: JobState,
        problem: str = "",
        now: Mapping[str, str] | None = None,
        one: "Round | None" = None,
    ) -> dict[str, str]:
        """Note how far a job is, with what came of cells just `now`; return what came of all in this round.

        Who stopped a job has the last word on its state, unless it was done before.
        """

        def work(desk: Desk) -> dict[str, str]:
            here = one or rounds_of(job)[-1]
            outcomes = dict(here.outcomes(desk, job)) | dict(now or {})
            known = desk.job(job.id)
            stopped = known is not None and known.state == "stopped" and state != "done"
            progress = {"outcomes": {}, "analysed": {}, **(known or job).progress, here.noted: outcomes}
            progress = {**progress, "total": len(places_of(job)), "problem": problem}
            said = {name: value for name, value in progress.items() if value or name != "analysed"}
            desk.note_job(job.id, "stopped" if stopped else state, said)
            return outcomes

        return await self.agent.store.write(work)

    # What is to be seen

    def _show(self, spot: Spot) -> None:
        self._spots[spot.rack] = spot
        self._version += 1

    def _progress(self, job: Job, step: "Progress") -> None:
        from instruments.measurement import Measurement

        place = Place(int(step.rack), step.channel)
        self._show(Spot(place.rack, job.id, step.channel, step.cell, step.stage, step.point, step.points))
        if isinstance(step.outcome, Measurement):
            self._draw(place, step.outcome)
        elif step.stage in {"close", "skipped"}:
            self._sweeps[place] = Sweep(place.rack, place.channel, step.cell)
        elif step.stage == "sweep" and step.reading is not None:
            so_far = self._sweeps.get(place) or Sweep(place.rack, place.channel, step.cell)
            self._sweeps[place] = replace(
                so_far,
                frequencies_hz=(*so_far.frequencies_hz, step.reading.frequency_hz),
                impedances_ohm=(*so_far.impedances_ohm, step.reading.impedance_ohm),
            )

    def _draw(self, place: Place, measured: "Outcome") -> None:
        from instruments.measurement import Measurement

        assert isinstance(measured, Measurement)
        spectrum = (measured.frequencies_hz, measured.impedances_ohm)
        self._sweeps[place] = Sweep(place.rack, place.channel, measured.cell, *spectrum, whole=True)
        self._version += 1


def _pending(desk: Desk) -> list[Job]:
    return [job for job in desk.jobs("queued", "running") if job.job == DIAGNOSIS]


@dataclass(frozen=True)
class Round:
    """One way of measuring all cells of a job; what came of the last is what came of the job."""

    fast: bool
    last: bool = True

    @property
    def noted(self) -> str:
        """Return under which name a job's progress holds what came of it."""
        return "outcomes" if self.last else "analysed"

    def journal(self, job: Job) -> str:
        """Return the name of its journal."""
        return f"{job.id}{'-fast' if self.fast else ''}.journal"

    def key(self, job: Job, cell: str) -> str:
        """Return the key under which the outcome of a cell is recorded once."""
        return f"{job.id}:{cell}{':fast' if self.fast else ''}"

    def outcomes(self, desk: Desk, job: Job) -> Iterator[tuple[str, str]]:
        """Yield what came of a job's cells so far, also of one recorded just before a crash."""
        known = desk.job(job.id) or job
        noted: Mapping[str, str] = known.progress.get(self.noted, {})
        for cell in places_of(job).values():
            if cell in noted:
                yield cell, noted[cell]
            elif desk.done(self.key(job, cell)) is not None:
                (last,) = desk.events(cell, ours=True)[-1:]
                words = last.details.get("words", "")
                yield cell, f"skipped: {words}" if words else "measured"


def rounds_of(job: Job) -> tuple[Round, ...]:
    """Return how the cells of a job are measured, in order: the analyser first, as it is the faster."""
    by = by_of(job)
    return (Round(fast=True, last=False), Round(fast=False)) if by == "both" else (Round(fast=by == "fast"),)
