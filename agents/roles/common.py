"""What every company does: introduce itself, join, ask and answer, correct its records."""

from uuid import UUID

from pydantic import Field

from agents.role import (
    Action,
    Adopt,
    Case,
    Duty,
    Effect,
    Held,
    Identify,
    Issue,
    Publish,
    PublishAlways,
    Record,
    Role,
    Send,
    Trust,
    Unpublish,
)
from agents.roles import disclosures
from agents.roles.disclosures import check_claim_types
from agents.roles.life import Form, Nothing, happened, known
from agents.roles.statements import MARKING
from governance.framework import FRAMEWORK
from protocols.introduction import INTRODUCTION, Hello, Welcome
from protocols.membership import (
    MEMBERSHIP,
    Accredit,
    Apply,
    Framework,
    Register,
    Resign,
    Retract,
)
from schemas.claims import CLAIMS, Introduction
from schemas.errors import Forbidden, Invalid, Misstep, Unknown
from schemas.events import ANNULLED
from schemas.items import Code

# Introduction


def _greeting[M: Hello](message: type[M], case: Case) -> Send:
    me = case.books.company
    claim = Introduction(did=me.did, connection_did=case.them.our_did)
    return Send(message(name=me.name, did=me.did), credentials=(Issue(claim, me.did),))


def _identified(hello: Hello, case: Case) -> Identify:
    for held in case.credentials:
        claim = Introduction.model_validate(held.claim) if held.type == "Introduction" else None
        if claim and held.issuer == claim.did == hello.did and claim.connection_did == case.them.their_did:
            if case.them.did not in ("", hello.did):
                raise Forbidden("this connection belongs to another company")
            return Identify(hello.did, hello.name)
    raise Forbidden("the introduction does not prove which company is at the other end")


def introduce(form: Nothing, case: Case) -> list[Effect]:
    """Tell the peer which company we are, and prove it."""
    return [_greeting(Hello, case)]


def meet(hello: Hello, case: Case) -> list[Effect]:
    """Note which company called, and introduce ourselves in turn."""
    return [_identified(hello, case), _greeting(Welcome, case)]


def be_met(welcome: Welcome, case: Case) -> list[Effect]:
    """Note which company we called."""
    return [_identified(welcome, case)]


# Membership, the member's side


def apply_for_membership(form: Apply, case: Case) -> list[Effect]:
    """Ask the governance authority to admit us; whom we ask is whom we trust from now on."""
    running = case.books.dealings(MEMBERSHIP.name, ("applied", "accredited", "suspended"))
    if any(dealing.side == MEMBERSHIP.opener for dealing in running):
        raise Misstep("we have applied already, or are a member")
    return [Trust(case.them.did), Send(form)]


def retract_application(form: Retract, case: Case) -> list[Effect]:
    """Take our application back."""
    return [Send(form)]


def resign(form: Resign, case: Case) -> list[Effect]:
    """Leave."""
    return [Send(form)]


def be_accredited(message: Accredit, case: Case) -> list[Effect]:
    """Check that the accreditation attached is about us and grants these roles."""
    for held in case.credentials:
        granted = tuple(held.claim.get("roles", ()))
        if (held.type, held.about, granted) == ("Accreditation", case.books.company.did, message.roles):
            return []
    raise Invalid("the accreditation attached does not grant us these roles")


def adopt_register(message: Register, case: Case) -> list[Effect]:
    """Hold the attached register of members from now on."""
    found = [Adopt(held) for held in case.credentials if held.type == "MembershipRegister"]
    if not found:
        raise Invalid("no register is attached")
    return [*found]


def adopt_framework(message: Framework, case: Case) -> list[Effect]:
    """Hold the attached version of the framework; it holds from the time it names."""
    found = [Adopt(held) for held in case.credentials if held.claim.get("version") == message.version]
    if not found:
        raise Invalid("no framework of this version is attached")
    return [*found]


# Our own records


class AnnulForm(Form):
    """Which event did not happen as recorded."""

    item: Code = Field(title="Item code")
    event: UUID = Field(title="Event")
    reason: str = Field(min_length=1, max_length=1000, title="Reason")


class NoteForm(Form):
    """Something wrong with an item."""

    item: Code = Field(title="Item code")
    what: str = Field(min_length=1, max_length=1000, title="What is wrong")
    disposal: str = Field(default="", max_length=400, title="What was done with it")
    photos: tuple[str, ...] = Field(
        default=(), max_length=20, title="Photos", json_schema_extra={"evidence": True}
    )


def annul_event(form: AnnulForm, case: Case) -> list[Effect]:
    """Say that an event did not happen; both stay on record."""
    known(case.books, [form.item])
    if form.event not in {event.id for event in case.books.events(form.item)}:
        raise Unknown("{code} has no event {event}", code=form.item, event=form.event)
    record = happened(case, form.item, ANNULLED, how=form.reason)
    event = record.event.model_validate(record.event.model_dump() | {"corrects": form.event})
    return [Record(event)]


def note_nonconformity(form: NoteForm, case: Case) -> list[Effect]:
    """Record that an item is not as it should be."""
    known(case.books, [form.item])
    details = {"reason": form.what, "disposal": form.disposal}
    return [happened(case, form.item, "nonconforming", how=form.what, details=details, evidence=form.photos)]


# What everyone may see

PUBLIC = [name for name in CLAIMS if FRAMEWORK.may_publish(name)]


class PublishForm(Form):
    """Which of our statements."""

    item: Code | None = Field(default=None, title="Item code")
    claim_types: tuple[str, ...] = Field(
        default=(), max_length=40, title="Kinds of statement", json_schema_extra={"choices": [*PUBLIC]}
    )
    credential: str = Field(default="", max_length=400, title="One statement alone, by its id")


class PublishAlwaysForm(Form):
    """Which kinds of statement."""

    claim_types: tuple[str, ...] = Field(
        default=(),
        max_length=40,
        title="Kinds of statement (none: end the rule)",
        json_schema_extra={"choices": [*PUBLIC]},
    )


def _chosen(form: PublishForm, held: list[Held], case: Case) -> list[Held]:
    """Return those of the statements about an item that the form names; or the one, by its id."""
    check_claim_types(form.claim_types)
    if not form.credential and not (form.item and form.claim_types):
        raise Invalid("name an item and kinds of statement about it, or one statement")
    if not form.item:
        found = case.books.credential(form.credential)
        held = [found] if found else []
    wanted = [
        one
        for one in held
        if one.issuer == case.books.company.did
        and form.credential in ("", one.id)
        and (not form.claim_types or one.type in form.claim_types)
    ]
    if not wanted:
        raise Unknown("there is no such statement of ours")
    return wanted


def publish(form: PublishForm, case: Case) -> list[Effect]:
    """Show statements of ours to everyone: at our site, and in every registry that reads it."""
    held = case.books.credentials(form.item) if form.item else []
    return [Publish(one.id) for one in _chosen(form, held, case)]


def unpublish(form: PublishForm, case: Case) -> list[Effect]:
    """Show statements to everyone no more; whoever has copied them keeps them."""
    held = case.books.published(form.item) if form.item else []
    chosen = _chosen(form, held, case)
    editions = [edition for one in chosen for edition in case.books.credentials(one.id)]
    shown = [one.id for one in (*chosen, *editions) if case.books.published(id=one.id)]
    if not shown:
        raise Unknown("no such statement is published")
    return [Unpublish(id) for id in shown]


def publish_always(form: PublishAlwaysForm, case: Case) -> list[Effect]:
    """Publish statements of these kinds from now on as soon as we make them."""
    check_claim_types(form.claim_types)
    return [PublishAlways(form.claim_types)]


COMMON = Role(
    "company",
    actions=(
        Action(
            "introduce",
            "Introduce ourselves",
            Nothing,
            introduce,
            INTRODUCTION,
            (Hello,),
            opens=True,
            rank="admin",
        ),
        Action(
            "apply-for-membership",
            "Apply for membership",
            Apply,
            apply_for_membership,
            MEMBERSHIP,
            (Apply,),
            opens=True,
            rank="admin",
        ),
        Action(
            "retract-application",
            "Retract the application",
            Retract,
            retract_application,
            MEMBERSHIP,
            (Retract,),
            rank="admin",
        ),
        Action("resign", "Resign", Resign, resign, MEMBERSHIP, (Resign,), rank="admin"),
        *disclosures.ACTIONS,
        Action("annul-event", "Annul a wrong record", AnnulForm, annul_event, rank="manager"),
        Action("note-nonconformity", "Record a nonconformity", NoteForm, note_nonconformity),
        Action("publish", "Publish", PublishForm, publish, rank="manager"),
        Action("unpublish", "Publish no more", PublishForm, unpublish, rank="manager"),
        Action(
            "publish-always",
            "Publish by rule",
            PublishAlwaysForm,
            publish_always,
            rank="manager",
        ),
        *MARKING,
    ),
    duties=(
        Duty(INTRODUCTION, Hello, meet),
        Duty(INTRODUCTION, Welcome, be_met),
        Duty(MEMBERSHIP, Accredit, be_accredited),
        Duty(MEMBERSHIP, Register, adopt_register),
        Duty(MEMBERSHIP, Framework, adopt_framework),
        *disclosures.DUTIES,
    ),
)
