"""Audits by sample: the authority announces them, the member's agent answers, and who is late is found out.

The authority seals a seed before it knows the member's predictions, the member declares them before it knows
the seed (see `governance.sampling`). Nothing that is said names an item, a buyer or a price.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agents.role import Action, Books, Case, Duty, Effect, Held, Issue, Note, Send, Start, member
from agents.roles.life import Form, Nothing
from agents.roles.predictions import check_ups_for, fleet_kept, prediction_of
from analysis.result import digest
from credentials.moments import moment
from governance.finding import Finding
from governance.sampling import LEFT_OUT, commitment, drawn, fresh_seed, no_answer, too_many
from protocols.audit import AuditFinding
from protocols.exchange import Exchange, Message
from protocols.sampling import (
    MOST_DECLARED,
    MOST_DRAWN,
    SAMPLING,
    Announce,
    Certify,
    Declare,
    Decline,
    Draw,
    Find,
    Made,
    Remind,
    SampleFinding,
    Sent,
    Submit,
)
from schemas.claims import SamplingCertificate
from schemas.errors import Fault, Invalid, Misstep, Unknown

# How many days before the due date the member is reminded.
REMINDED_DAYS = 3
WAITING = ("announced", "drawn")


class AnnounceForm(Form):
    """Which period, how many of its predictions, by when the member has to answer, and how often again."""

    first_day: date = Field(title="First day")
    last_day: date = Field(title="Last day")
    share_pct: int = Field(default=10, ge=0, le=100, title="Share to be audited (%)")
    least_count: int = Field(default=1, ge=1, le=MOST_DRAWN, title="Predictions audited at least")
    due: date = Field(title="Answer by")
    every_days: int = Field(default=0, ge=0, le=366, title="Again every (days; 0: not again)")


class Outcome(BaseModel):
    """What came of one prediction that was drawn; it holds where nothing was found."""

    model_config = ConfigDict(frozen=True)
    prediction: str = Field(max_length=200, title="Prediction (digest)")
    findings: tuple[AuditFinding, ...] = Field(default=(), max_length=100, title="Findings")


class SampleOutcomeForm(Form):
    """What came of each prediction drawn; nothing where the member did not answer in time."""

    outcomes: tuple[Outcome, ...] = Field(default=(), max_length=MOST_DRAWN, title="Outcomes")


@dataclass(frozen=True)
class Errand:
    """An action that is due by itself."""

    action: str
    form: Mapping[str, object]
    to: str
    key: str


def in_period(books: Books, plan: Announce, issuer: str) -> list[Held]:
    """Return a company's predictions of the announced period that are here, by the day they were sealed."""
    # Another's clock may be ahead of ours: what it sealed may have come the day before.
    stated = books.issued(issuer, "Prediction", since=plan.first_day - timedelta(days=1))
    return [one for one in stated if not one.bound and plan.first_day <= made_on(one) <= plan.last_day]


def made_on(held: Held) -> date:
    """Return the day (UTC) since which a credential is valid by its own word, or we have it."""
    said = held.document.get("validFrom")
    return (moment(said).astimezone(UTC) if said else held.at).date()


def withdrawn(books: Books, held: Held) -> bool:
    """Say whether a credential of ours is revoked or suspended."""
    last = books.standing(held.id)
    return last is not None and last.what != "reinstated"


def sample_of(exchange: Exchange, seed: str) -> tuple[str, ...]:
    """Return what was drawn from the declaration with this seed."""
    plan, said = exchange.last(Announce), exchange.last(Declare)
    return drawn(said.standing, seed, plan.share_pct, plan.least_count, MOST_DRAWN)


# The authority


def announce_sampling(form: AnnounceForm, case: Case) -> list[Effect]:
    """Announce an audit by sample of a past period; the seed of the draw is sealed now and shown later."""
    today = case.books.now.date()
    if form.last_day < form.first_day:
        raise Invalid("the period ends before it begins")
    if form.last_day >= today:
        raise Invalid("the period is not over yet")
    if form.due <= today:
        raise Invalid("the day to answer by must lie ahead")
    seed = fresh_seed()
    announce = Announce(**form.model_dump(), commitment=commitment(seed))
    return [Note(f"sampling {announce.commitment}", {"seed": seed}), Send(announce)]


def draw_sample(message: Declare, case: Case) -> Sequence[Effect]:
    """Show the seed, unless a prediction we know of is not declared, or there is nothing to draw from."""
    plan = case.here.last(Announce)
    declared = {*message.standing, *message.withdrawn}
    missing = [one for one in in_period(case.books, plan, case.them.did) if one.digest not in declared]
    if missing:
        found = [_finding(LEFT_OUT, one.digest) for one in missing[:500]]
        return [Send(Find(findings=tuple(found)))]
    if not message.standing:
        return [certified(case, ())]
    seed = str(case.books.note(f"sampling {plan.commitment}").get("seed", ""))
    if not seed:
        raise Unknown("the seed of this draw is not here")
    return [Send(Draw(seed=seed))]


def take_sample(message: Submit, case: Case) -> Sequence[Effect]:
    """Have the predictions drawn made again; what comes of it is told by `record-sampling`."""
    if any(held.issuer != case.them.did for held in case.credentials):
        raise Invalid("attach no statement of another company")
    stated = [held.id for held in case.credentials if held.type == "Prediction"]
    return [Start("sampling", {"thread": case.here.thread, "predictions": stated})]


def remind_sampling(form: Nothing, case: Case) -> list[Effect]:
    """Remind the member that its answer is missing."""
    return [Send(Remind(due=case.here.last(Announce).due))]


def record_sampling(form: SampleOutcomeForm, case: Case) -> list[Effect]:
    """End the audit: certify what was covered if all that was drawn holds, else say what does not."""
    plan = case.here.last(Announce)
    if case.here.state in WAITING:
        if case.books.now.date() <= plan.due:
            raise Misstep("the member has until {due} to answer", due=plan.due)
        return [Send(Find(findings=(_finding(no_answer(plan.due)),)))]
    names = sample_of(case.here, case.here.last(Draw).seed)
    came = {one.prediction: one.findings for one in form.outcomes}
    if lacking := [name for name in names if name not in came]:
        raise Invalid("say what came of every prediction drawn: {digest} is missing", digest=lacking[0])
    found = [
        SampleFinding(prediction=name, code=one.code, words=one.words) for name in names for one in came[name]
    ]
    return [Send(Find(findings=tuple(found[:500])))] if found else [certified(case, names)]


def _finding(found: Finding, prediction: str = "") -> SampleFinding:
    return SampleFinding(prediction=prediction, code=found.code, words=found.words)


def certified(case: Case, names: tuple[str, ...]) -> Send:
    """Return the certificate of what was covered."""
    plan, said = case.here.last(Announce), case.here.last(Declare)
    declared = sorted({*said.standing, *said.withdrawn})
    claim = SamplingCertificate(
        did=case.them.did,
        first_day=plan.first_day,
        last_day=plan.last_day,
        declared_count=len(declared),
        withdrawn_count=len(declared) - len(set(said.standing)),
        passed_count=len(names),
        declaration_digest=digest(declared),
        sampled_digests=names,
        audited_on=case.books.now.date(),
    )
    return Send(Certify(), credentials=(Issue(claim, case.them.did),))


def errands(books: Books) -> list[Errand]:
    """Return what is due today: reminders, findings of who did not answer, and the next of each schedule."""
    today, found = books.now.date(), list[Errand]()
    newest: dict[str, tuple[Announce, str, datetime]] = {}
    for dealing in books.dealings(SAMPLING.name, limit=100_000):
        exchange = books.exchange(dealing.thread)
        plan = exchange.said[0].message if exchange and exchange.said else None
        if exchange is None or not isinstance(plan, Announce):
            continue
        thread = dealing.thread
        if dealing.peer not in newest or newest[dealing.peer][2] < dealing.opened:
            newest[dealing.peer] = plan, thread, dealing.opened
        if dealing.state not in WAITING:
            continue
        if today > plan.due:
            found.append(Errand("record-sampling", {}, thread, f"sampling-late {thread}"))
        elif (plan.due - today).days <= REMINDED_DAYS and not _reminded(exchange):
            found.append(Errand("remind-sampling", {}, thread, f"sampling-remind {thread}"))
    for id, (plan, thread, opened) in newest.items():
        last = plan.last_day + timedelta(days=plan.every_days)
        peer = books.peer(id)
        entry = member(books, peer.did) if peer else None
        if plan.every_days and last < today and entry and books.framework().may_deal(entry.status):
            form = plan.model_dump(mode="json", exclude={"commitment"}) | {
                "first_day": str(plan.last_day + timedelta(days=1)),
                "last_day": str(last),
                "due": str(today + (plan.due - opened.date())),
            }
            found.append(Errand("announce-sampling", form, id, f"sampling-next {thread}"))
    return found


def _reminded(exchange: Exchange) -> bool:
    return any(isinstance(said.message, Remind) for said in exchange.said)


# The member


def declare_predictions(message: Announce, case: Case) -> Sequence[Effect]:
    """Declare all our predictions of the period by their digests, before the seed of the draw is known."""
    standing, fallen = list[str](), list[str]()
    for one in in_period(case.books, message, case.books.company.did):
        (fallen if withdrawn(case.books, one) else standing).append(one.digest)
    if max(len(standing), len(fallen)) > MOST_DECLARED:
        return [Send(Decline(reason=too_many(MOST_DECLARED).words))]
    return [Send(Declare(standing=tuple(sorted(standing)), withdrawn=tuple(sorted(fallen))))]


def submit_sample(message: Draw, case: Case) -> Sequence[Effect]:
    """Send what was drawn with its inputs and check-ups; refuse a seed that is not the one sealed before."""
    plan = case.here.last(Announce)
    if commitment(message.seed) != plan.commitment:
        raise Invalid("the seed is not the one that was sealed before we declared")
    names = set(sample_of(case.here, message.seed))
    made, attached = list[Made](), dict[str, None]()
    fleets = dict[str, Sent]()
    for held in in_period(case.books, plan, case.books.company.did):
        if held.digest not in names or withdrawn(case.books, held):
            continue
        try:
            _, inputs = prediction_of(case.books, held.id)
        except Fault:
            continue  # what we cannot send, the authority finds missing
        made.append(Made(prediction=held.digest, inputs=dict(inputs)))
        attached |= dict.fromkeys((held.id, *check_ups_for(case.books, held)))
        fleet = (
            fleet_kept(case.books, str(inputs["model"]), str(inputs["fleet"])) if inputs["fleet"] else None
        )
        if fleet:
            fleets[str(inputs["fleet"])] = Sent(named=str(inputs["fleet"]), fleet=dict(fleet))
    return [Send(Submit(made=tuple(made), fleets=tuple(fleets.values())), credentials=tuple(attached))]


def _action(
    name: str, title: str, form: type[Form], run: Any, *sends: type[Message], **more: Any
) -> Action[Any]:
    return Action(name, title, form, run, SAMPLING, sends, **more)


SAMPLER_ACTIONS = (
    _action(
        "announce-sampling",
        "Audit by sample",
        AnnounceForm,
        announce_sampling,
        Announce,
        opens=True,
        rank="manager",
    ),
    _action("remind-sampling", "Remind of the missing answer", Nothing, remind_sampling, Remind),
    _action(
        "record-sampling", "Record what a sample found", SampleOutcomeForm, record_sampling, Certify, Find
    ),
)
SAMPLER_DUTIES = (Duty(SAMPLING, Declare, draw_sample), Duty(SAMPLING, Submit, take_sample))
SAMPLED_DUTIES = (Duty(SAMPLING, Announce, declare_predictions), Duty(SAMPLING, Draw, submit_sample))
