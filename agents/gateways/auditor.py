"""The auditor: makes predictions again that members ask to have audited or that a sample drew, and resumes.

The kept tool runs in a process of its own and is waited for in a thread. What comes of it becomes one action
of the agent with a key of its own: after a crash no audit is answered twice. Once a day it also does what
the audits by sample have due: reminders, findings of who did not answer, the next of each schedule.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from agents.ports import Desk
from agents.role import Held, Job, JobState
from agents.roles.sampling import errands, made_on, sample_of
from agents.service import Agent
from governance.audit import Certified, Findings, Outcome, Sealed, audit, link
from governance.finding import Finding
from governance.framework import Framework
from governance.sampling import NOT_SUBMITTED, OTHER_PERIOD
from governance.tools import Workshop
from protocols.audit import RequestAudit
from protocols.sampling import Announce, Draw, Submit
from schemas.claims import CheckUps
from schemas.errors import Fault, Misstep, Unavailable

LOG = logging.getLogger(__name__)
FLEETS = "fleets"
JOBS = ("audit", "sampling")

type Gathered = tuple[Sealed, Mapping[str, Any], Mapping[str, Any] | None, list[Sealed], Framework]


class Auditor:
    """Works for one authority's agent."""

    def __init__(self, agent: Agent, workshop: Workshop | None = None, *, poll_s: float = 0.5) -> None:
        self.agent = agent
        self.workshop = workshop or Workshop()
        self.poll_s = poll_s
        self.watched: date | None = None

    async def run(self) -> None:
        """Work through the queue until cancelled."""
        try:
            while True:
                await self.watch()
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

    async def watch(self) -> None:
        """Do once a day what the audits by sample have due."""
        today = await self.agent.store.read(lambda desk: desk.now.date())
        if self.watched == today:
            return
        for errand in await self.agent.store.read(errands):
            try:
                await self.agent.perform(errand.action, errand.form, errand.to, key=errand.key)
            except Fault as fault:
                LOG.warning("%s is due and cannot be done: %s", errand.action, fault)
            except Exception:
                LOG.exception("%s is due and broke off", errand.action)
        self.watched = today

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
        thread = str(job.details["thread"])
        if job.job == "sampling":
            await self._sample(job, thread)
            return
        prediction = str(job.details["prediction"])
        case = await self.agent.store.read(lambda desk: _requested(desk, thread, prediction))
        outcome = await asyncio.to_thread(self._audit, *case)
        await self.agent.perform("record-audit", told(outcome, prediction), thread, key=job.id)

    async def _sample(self, job: Job, thread: str) -> None:
        """Audit each prediction of a sample, and answer for all of them."""
        sent = await self.agent.store.read(lambda desk: _sampled(desk, thread, job.details["predictions"]))
        outcomes = []
        for name, case in sent.items():
            if isinstance(case, Finding):
                found: Outcome = Findings((case,))
            else:
                found = await asyncio.to_thread(self._audit, *case)
            findings = told(found, name)["findings"] if isinstance(found, Findings) else []
            outcomes.append({"prediction": name, "findings": findings})
        await self.agent.perform("record-sampling", {"outcomes": outcomes}, thread, key=job.id)

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
    """Return since when a credential is valid by its own word, or we have it."""
    said = held.document.get("validFrom")
    return datetime.fromisoformat(str(said)) if said else held.at


def _pending(desk: Desk) -> list[Job]:
    return [job for job in desk.jobs("queued", "running") if job.job in JOBS]


def _sampled(desk: Desk, thread: str, sent: Sequence[str]) -> dict[str, Gathered | Finding]:
    """Gather what the audit of each prediction that was drawn needs, or what is wrong before it."""
    exchange = desk.exchange(thread)
    assert exchange
    plan, submitted = exchange.last(Announce), exchange.last(Submit)
    inputs = {one.prediction: one.inputs for one in submitted.made}
    fleets = {one.named: one.fleet for one in submitted.fleets}
    held = {one.digest: one for one in map(desk.credential, sent) if one}
    found: dict[str, Gathered | Finding] = {}
    for name in sample_of(exchange, exchange.last(Draw).seed):
        if name not in inputs or name not in held:
            found[name] = NOT_SUBMITTED
        elif not plan.first_day <= made_on(held[name]) <= plan.last_day:
            found[name] = OTHER_PERIOD
        else:
            fleet = fleets.get(str(inputs[name].get("fleet", "")))
            found[name] = _case(desk, held[name], inputs[name], fleet)
    return found


def _requested(desk: Desk, thread: str, prediction: str) -> Gathered:
    """Gather what an audit that was asked for needs."""
    exchange = desk.exchange(thread)
    held = desk.credential(prediction)
    assert exchange
    assert held
    request = exchange.last(RequestAudit)
    return _case(desk, held, request.inputs, request.fleet)


def _case(desk: Desk, held: Held, inputs: Mapping[str, Any], fleet: Mapping[str, Any] | None) -> Gathered:
    """Gather what one audit needs: all check-ups that this member ever showed of this subject.

    The framework is the one that held when the prediction was made.
    """
    named = str(inputs.get("fleet", ""))
    fleet = fleet or next((one["fleet"] for one in desk.measurements(FLEETS) if one["digest"] == named), None)
    check_ups = [one for one in desk.credentials(held.about, "CheckUps") if one.issuer == held.issuer]
    said = sealed(held)
    return said, inputs, fleet, [sealed(one) for one in check_ups], desk.framework(said.at)
