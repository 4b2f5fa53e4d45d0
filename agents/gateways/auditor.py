"""The auditor: makes predictions again that members ask to have audited, one after the other, and resumes.

The kept tool runs in a process of its own and is waited for in a thread. What comes of it becomes one action
of the agent with a key of its own: after a crash no audit is answered twice.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from agents.ports import Desk
from agents.role import Held, Job, JobState
from agents.service import Agent
from governance.audit import Certified, Outcome, Sealed, audit, link
from governance.framework import Framework
from governance.tools import Workshop
from protocols.audit import RequestAudit
from schemas.claims import CheckUps
from schemas.errors import Fault, Misstep, Unavailable

LOG = logging.getLogger(__name__)
FLEETS = "fleets"


class Auditor:
    """Works for one authority's agent."""

    def __init__(self, agent: Agent, workshop: Workshop | None = None, *, poll_s: float = 0.5) -> None:
        self.agent = agent
        self.workshop = workshop or Workshop()
        self.poll_s = poll_s

    async def run(self) -> None:
        """Work through the queue until cancelled."""
        try:
            while True:
                await self.catch_up()
                await asyncio.sleep(self.poll_s)
        finally:
            self.workshop.close()

    async def catch_up(self) -> bool:
        """Do what is queued; say whether there was anything."""
        jobs = await self.agent.store.read(_pending)
        for job in jobs:
            await self.work(job)
        return bool(jobs)

    async def work(self, job: Job) -> None:
        """Do one job, or note why it cannot be done."""
        try:
            await self.answer(job)
        except Unavailable as fault:
            LOG.warning("the audit waits: %s", fault.template)
            return
        except Misstep as fault:
            await self._note(job, "stopped", str(fault))
        except Fault as fault:
            await self._note(job, "failed", str(fault))
        except Exception as error:
            LOG.exception("the audit broke off")
            await self._note(job, "failed", f"{type(error).__name__}: {error}")
        else:
            await self._note(job, "done")

    async def answer(self, job: Job) -> None:
        """Audit what one request asks for, and answer it."""
        thread, prediction = str(job.details["thread"]), str(job.details["prediction"])
        case = await self.agent.store.read(lambda desk: _case(desk, thread, prediction))
        outcome = await asyncio.to_thread(self._audit, *case)
        await self.agent.perform("record-audit", told(outcome, prediction), thread, key=job.id)

    def _audit(
        self,
        prediction: Sealed,
        inputs: Mapping[str, Any],
        fleet: Mapping[str, Any] | None,
        check_ups: list[Sealed],
        framework: Framework,
    ) -> Outcome:
        return audit(prediction, inputs, fleet, check_ups, self.workshop, framework)

    async def _note(self, job: Job, state: JobState, problem: str = "") -> None:
        await self.agent.store.write(lambda desk: desk.note_job(job.id, state, {"problem": problem}))


def told(outcome: Outcome, prediction: str) -> dict[str, object]:
    """Return what came of an audit as the form of `record-audit`."""
    if isinstance(outcome, Certified):
        return {"prediction": prediction, "certified": asdict(outcome)}
    findings = [{"code": f.code, "words": f"{f.words} {f.evidence}".strip()[:1000]} for f in outcome.findings]
    return {"prediction": prediction, "findings": findings}


def sealed(held: Held) -> Sealed:
    """Return a credential as the auditor needs it; check-ups are known by what they say."""
    name = link(CheckUps.model_validate(held.claim)) if held.type == "CheckUps" else held.digest
    return Sealed(name, issued(held), held.claim)


def issued(held: Held) -> datetime:
    """Return since when a credential is valid by its own word."""
    return datetime.fromisoformat(str(held.document["validFrom"]))


def _pending(desk: Desk) -> list[Job]:
    return [job for job in desk.jobs("queued", "running") if job.job == "audit"]


def _case(
    desk: Desk, thread: str, prediction: str
) -> tuple[Sealed, Mapping[str, Any], Mapping[str, Any] | None, list[Sealed], Framework]:
    """Gather what one audit needs: all check-ups that this member ever showed of this subject.

    The framework is the one that held when the prediction was made.
    """
    exchange = desk.exchange(thread)
    held = desk.credential(prediction)
    assert exchange
    assert held
    request = exchange.last(RequestAudit)
    named = str(request.inputs.get("fleet", ""))
    fleet = request.fleet or next(
        (one["fleet"] for one in desk.measurements(FLEETS) if one["digest"] == named), None
    )
    check_ups = [one for one in desk.credentials(held.about, "CheckUps") if one.issuer == held.issuer]
    said = sealed(held)
    return said, request.inputs, fleet, [sealed(one) for one in check_ups], desk.framework(said.at)
