"""The governance authority admits members, keeps their register, and audits their predictions."""

from collections.abc import Sequence

from pydantic import Field

from agents.role import Action, Case, Duty, Effect, Issue, Role, Send
from agents.roles.life import Form
from governance.framework import FRAMEWORK
from protocols.audit import AUDIT, AuditFinding, Certify, Find, RequestAudit
from protocols.audit import Refuse as RefuseAudit
from protocols.membership import (
    MEMBERSHIP,
    Accredit,
    Apply,
    CompanyRole,
    Refuse,
    Register,
    Reinstate,
    Resign,
    Retract,
    Suspend,
    Withdraw,
)
from schemas.claims import Accreditation, AuditCertificate, Member, MembershipRegister, Prediction
from schemas.errors import Invalid, Misstep

STANDING = ("applied", "accredited", "suspended")


class AccreditForm(Form):
    """Which of the roles applied for are granted."""

    roles: tuple[CompanyRole, ...] = Field(
        default=(), max_length=4, title="Roles granted (none: all applied for)"
    )


def _entries(case: Case, status: str, roles: tuple[str, ...] | None = None) -> dict[str, Member]:
    """Return the register with this exchange's member in its new standing."""
    entries = {entry.did: entry for entry in case.books.members()}
    applied = case.here.last(Apply)
    before = entries.get(case.them.did)
    granted = roles if roles is not None else before.roles if before else applied.roles
    entry = Member(did=case.them.did, name=applied.name, roles=granted, status=status, since=case.books.now)
    return entries | {case.them.did: entry}


def _tell_all(case: Case, entries: dict[str, Member], *, them: bool) -> list[Effect]:
    """Publish the register to every member: all of it to each, so that we learn nothing of who asks."""
    me = case.books.company
    if me.did not in entries:
        own = Member(
            did=me.did,
            name=me.name,
            roles=("governance-authority",),
            status="accredited",
            since=case.books.now,
        )
        entries = {me.did: own} | entries
    version = 1 + int(
        max((h.claim["version"] for h in case.books.credentials(me.did, "MembershipRegister")), default=0)
    )
    register = Issue(MembershipRegister(did=me.did, version=version, members=tuple(entries.values())), me.did)
    open_ = case.books.dealings(MEMBERSHIP.name, ("accredited", "suspended"), limit=100_000)
    threads = {dealing.thread for dealing in open_} - {case.here.thread} | (
        {case.here.thread} if them else set()
    )
    return [
        register,
        *(
            Send(Register(version=version), credentials=(register,), thread=thread)
            for thread in sorted(threads)
        ),
    ]


def accredit(form: AccreditForm, case: Case) -> list[Effect]:
    """Admit the company in these roles, and publish the register."""
    applied = case.here.last(Apply)
    roles = form.roles or applied.roles
    if extra := set(roles) - set(applied.roles):
        raise Invalid("the company did not apply as {role}", role=min(extra))
    claim = Accreditation(did=case.them.did, name=applied.name, roles=roles, framework=FRAMEWORK.title)
    return [
        Send(Accredit(roles=roles), credentials=(Issue(claim, case.them.did),)),
        *_tell_all(case, _entries(case, "accredited", roles), them=True),
    ]


def note_application(message: Apply, case: Case) -> list[Effect]:
    """Refuse a second application beside one that runs."""
    running = case.books.dealings(MEMBERSHIP.name, STANDING, limit=100_000)
    if any(d.peer == case.them.id and d.thread != case.here.thread for d in running):
        raise Misstep("the company has applied already, or is a member")
    return []


def refuse_application(form: Refuse, case: Case) -> list[Effect]:
    """Do not admit the company."""
    return [Send(form), *_strike_off(case)]


def note_retraction(message: Retract, case: Case) -> list[Effect]:
    """Strike the company off the register if our admission crossed its retraction."""
    return _strike_off(case)


def _strike_off(case: Case) -> list[Effect]:
    entries = {entry.did: entry for entry in case.books.members()}
    return _tell_all(case, entries, them=False) if entries.pop(case.them.did, None) else []


def suspend(form: Suspend, case: Case) -> list[Effect]:
    """Suspend the member until further notice."""
    return [Send(form), *_tell_all(case, _entries(case, "suspended"), them=True)]


def reinstate(form: Reinstate, case: Case) -> list[Effect]:
    """Lift the suspension."""
    return [Send(form), *_tell_all(case, _entries(case, "accredited"), them=True)]


def withdraw_accreditation(form: Withdraw, case: Case) -> list[Effect]:
    """Withdraw the accreditation for good."""
    return [Send(form), *_tell_all(case, _entries(case, "withdrawn"), them=False)]


def note_resignation(message: Resign, case: Case) -> list[Effect]:
    """Take the company off the list of members in good standing."""
    return _tell_all(case, _entries(case, "resigned"), them=False)


def audit(message: RequestAudit, case: Case) -> Sequence[Effect]:
    """Make the prediction again from its inputs, and certify it or say what does not hold."""
    from governance.audit import Certified, recompute  # numpy, needed here only

    stated = [held for held in case.credentials if held.type == "Prediction" and held.issuer == case.them.did]
    if len(stated) != 1:
        return [Send(RefuseAudit(reason="attach one prediction, issued by yourself"))]
    prediction = Prediction.model_validate(stated[0].claim)
    outcome = recompute(prediction.statement, message.inputs)
    if not isinstance(outcome, Certified):
        findings = tuple(
            AuditFinding(code=f.code, words=f"{f.words} {f.evidence}".strip()[:1000])
            for f in outcome.findings
        )
        return [Send(Find(findings=findings[:200]))]
    certificate = AuditCertificate(
        did=case.them.did,
        prediction_digest=stated[0].digest,
        method=outcome.method,
        method_version=outcome.version,
        tolerance=outcome.tolerance,
        max_deviation=f"{outcome.max_deviation:.3g}",
        audited_on=case.books.now.date(),
    )
    return [Send(Certify(), credentials=(Issue(certificate, case.them.did),))]


AUTHORITY = Role(
    "governance-authority",
    actions=(
        Action(
            "accredit", "Admit the company", AccreditForm, accredit, MEMBERSHIP, (Accredit,), rank="manager"
        ),
        Action(
            "refuse-application",
            "Refuse the application",
            Refuse,
            refuse_application,
            MEMBERSHIP,
            (Refuse,),
            rank="manager",
        ),
        Action("suspend", "Suspend the member", Suspend, suspend, MEMBERSHIP, (Suspend,), rank="manager"),
        Action(
            "reinstate", "Lift the suspension", Reinstate, reinstate, MEMBERSHIP, (Reinstate,), rank="manager"
        ),
        Action(
            "withdraw-accreditation",
            "Withdraw the accreditation",
            Withdraw,
            withdraw_accreditation,
            MEMBERSHIP,
            (Withdraw,),
            rank="manager",
        ),
    ),
    duties=(
        Duty(MEMBERSHIP, Apply, note_application),
        Duty(MEMBERSHIP, Retract, note_retraction),
        Duty(MEMBERSHIP, Resign, note_resignation),
        Duty(AUDIT, RequestAudit, audit),
    ),
)
