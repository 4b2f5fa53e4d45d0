"""The governance authority admits members, keeps their register, and audits their predictions."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from pydantic import Field

from agents.role import Action, Case, Duty, Effect, Held, Issue, Keep, Mark, Role, Send, Start
from agents.roles.life import Form
from agents.roles.sampling import SAMPLER_ACTIONS, SAMPLER_DUTIES
from analysis.result import digest
from governance.framework import FRAMEWORK, read_framework
from governance.versions import begins, instant
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
from protocols.membership import Framework as FrameworkMessage
from schemas.claims import (
    Accreditation,
    AuditCertificate,
    GovernanceFramework,
    Member,
    MembershipRegister,
)
from schemas.errors import Invalid, Misstep, Unknown

# How long the text of a framework may be, in characters.
MOST_RULES = 200_000

STANDING = ("applied", "accredited", "suspended")


class AccreditForm(Form):
    """Which of the roles applied for are granted."""

    roles: tuple[CompanyRole, ...] = Field(
        default=(), max_length=4, title="Roles granted (none: all applied for)"
    )


class AuditOutcomeForm(Form):
    """What came of making a prediction again: the figures of a certificate, or findings."""

    prediction: str = Field(min_length=1, max_length=400, title="Prediction (credential)")
    certified: dict[str, object] | None = Field(default=None, title="What held")
    findings: tuple[AuditFinding, ...] = Field(default=(), max_length=200, title="Findings")


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
    threads = _members(case) - {case.here.thread} | ({case.here.thread} if them else set())
    return [
        register,
        *(
            Send(Register(version=version), credentials=(register,), thread=thread)
            for thread in sorted(threads)
        ),
    ]


def _members(case: Case) -> set[str]:
    """Return the threads of all who are to hear of what binds everybody."""
    open_ = case.books.dealings(MEMBERSHIP.name, ("accredited", "suspended"), limit=100_000)
    return {dealing.thread for dealing in open_}


def _stated(case: Case) -> list[tuple[GovernanceFramework, Held | Issue]]:
    """Return every version of the framework we signed; the first is signed when it is first needed."""
    me = case.books.company.did
    held = case.books.credentials(me, "GovernanceFramework")
    if held:
        return [(GovernanceFramework.model_validate(one.claim), one) for one in held]
    first = GovernanceFramework(
        did=me, version=FRAMEWORK.version, holds_from=instant(case.books.now), rules=dict(FRAMEWORK.document)
    )
    return [(first, Issue(first, f"{me}/framework"))]


def _told(stated: GovernanceFramework, sealed: Held | Issue, thread: str | None = None) -> Send:
    return Send(
        FrameworkMessage(version=stated.version, holds_from=stated.holds_from),
        credentials=(sealed if isinstance(sealed, Issue) else sealed.id,),
        thread=thread,
    )


class FrameworkForm(Form):
    """The rules to put in force, and from when."""

    rules: str = Field(min_length=1, max_length=MOST_RULES, title="Rules (TOML or JSON)")
    holds_from: date = Field(title="Holds from")


def put_framework_in_force(form: FrameworkForm, case: Case) -> list[Effect]:
    """Sign a new version of the framework, which holds from a day on, and send it to every member."""
    from governance.conformity import conform  # the prescribed methods, needed here only

    framework = read_framework(form.rules)
    newest = case.books.frameworks().newest
    if framework.version <= newest.version:
        raise Invalid(
            "the framework's version is {version}; it must be greater than {newest}, the newest there is",
            version=framework.version,
            newest=newest.version,
        )
    conform(framework)
    me = case.books.company.did
    begin = begins(framework, form.holds_from, case.books.now)
    stated = GovernanceFramework(
        did=me, version=framework.version, holds_from=begin, rules=dict(framework.document)
    )
    earlier = [(one, sealed) for one, sealed in _stated(case) if isinstance(sealed, Issue)]
    new = Issue(stated, f"{me}/framework")
    return [
        *(sealed for _, sealed in earlier),
        new,
        *(
            _told(one, sealed, thread)
            for thread in sorted(_members(case))
            for one, sealed in (*earlier, (stated, new))
        ),
    ]


def accredit(form: AccreditForm, case: Case) -> list[Effect]:
    """Admit the company in these roles, and publish the register."""
    applied = case.here.last(Apply)
    roles = form.roles or applied.roles
    if extra := set(roles) - set(applied.roles):
        raise Invalid("the company did not apply as {role}", role=min(extra))
    claim = Accreditation(
        did=case.them.did, name=applied.name, roles=roles, framework=case.books.framework().title
    )
    return [
        Send(Accredit(roles=roles), credentials=(Issue(claim, case.them.did),)),
        *_tell_all(case, _entries(case, "accredited", roles), them=True),
        *(_told(stated, sealed) for stated, sealed in _stated(case)),
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
    """Withdraw the accreditation for good, and revoke what says it."""
    return [
        Send(form),
        *_revoked(case, form.reason),
        *_tell_all(case, _entries(case, "withdrawn"), them=False),
    ]


def note_resignation(message: Resign, case: Case) -> list[Effect]:
    """Take the company off the list of members in good standing, and revoke its accreditation."""
    return [*_revoked(case, message.reason), *_tell_all(case, _entries(case, "resigned"), them=False)]


def _revoked(case: Case, reason: str) -> list[Effect]:
    """Revoke the company's accreditations: whoever is shown one need not know the register."""
    me = case.books.company.did
    return [
        Mark(held.id, "revoked", reason or "the membership has ended")
        for held in case.books.credentials(case.them.did, "Accreditation")
        if held.issuer == me
        and not ((found := case.books.standing(held.id)) is not None and found.what == "revoked")
    ]


def audit(message: RequestAudit, case: Case) -> Sequence[Effect]:
    """Have the prediction made again from its inputs; what comes of it is answered by `record-audit`."""
    stated = [held for held in case.credentials if held.type == "Prediction" and held.issuer == case.them.did]
    if len(stated) != 1:
        return [Send(RefuseAudit(reason="attach one prediction, issued by yourself"))]
    if any(held.issuer != case.them.did for held in case.credentials):
        return [Send(RefuseAudit(reason="attach no statement of another company"))]
    return [Start("audit", {"thread": case.here.thread, "prediction": stated[0].id})]


def record_audit(form: AuditOutcomeForm, case: Case) -> list[Effect]:
    """Certify the prediction, or say what does not hold."""
    if not form.certified:
        if not form.findings:
            raise Invalid("an audit ends with a certificate or with findings")
        return [Send(Find(findings=form.findings[:200]))]
    held = case.books.credential(form.prediction)
    if held is None or held.issuer != case.them.did:
        raise Unknown("there is no such prediction here")
    request = case.here.last(RequestAudit)
    certificate = certificate_of(held, form.certified, case)
    return [*_kept_fleet(request), Send(Certify(), credentials=(Issue(certificate, case.them.did),))]


def certificate_of(held: Held, certified: Mapping[str, Any], case: Case) -> AuditCertificate:
    """Return the certificate that a prediction holds."""
    return AuditCertificate(
        did=held.issuer,
        prediction_digest=held.digest,
        method=certified["method"],
        method_version=certified["version"],
        code_digest=certified["code_digest"],
        inputs_digest=certified["inputs_digest"],
        observations_count=certified["observations"],
        tolerance=certified["tolerance"],
        max_deviation=f"{certified['max_deviation']:.3g}",
        audited_on=case.books.now.date(),
    )


def _kept_fleet(request: RequestAudit) -> list[Effect]:
    """Keep a fleet that a certified prediction was made from, so that it need not be sent again."""
    if not request.fleet:
        return []
    named = digest(dict(request.fleet))
    return [Keep("fleets", named, {"digest": named, "fleet": request.fleet})]


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
        Action(
            "put-framework-in-force",
            "Put a framework in force",
            FrameworkForm,
            put_framework_in_force,
            rank="admin",
        ),
        Action(
            "record-audit",
            "Record what an audit found",
            AuditOutcomeForm,
            record_audit,
            AUDIT,
            (Certify, Find),
        ),
        *SAMPLER_ACTIONS,
    ),
    duties=(
        Duty(MEMBERSHIP, Apply, note_application),
        Duty(MEMBERSHIP, Retract, note_retraction),
        Duty(MEMBERSHIP, Resign, note_resignation),
        Duty(AUDIT, RequestAudit, audit),
        *SAMPLER_DUTIES,
    ),
)
