"""Asking what another company knows of an item, and answering within the framework.

What is limited is shown to who proves who it is and says why: it presents its accreditation, bound to this
question in this exchange, and names a contract of the framework. The holder shows of its own statements the
fields that the contract permits, sealed anew for the asker's key alone; of a statement that it did not make
it can show no part, so it passes one on whole or not at all. What is private never leaves.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

from pydantic import Field

from agents.role import Action, Books, Case, Duty, Effect, Held, Reveal, Send, member
from agents.roles.life import Form
from governance.framework import Framework
from protocols.disclosure import DISCLOSURE, Ask, Disclose, DiscloseInPart, Purpose, Refuse, Withheld
from schemas.claims import CLAIMS
from schemas.errors import Fault, Forbidden, Invalid, Misstep, Unknown
from schemas.items import Code

NAMING = frozenset({"item", "did", "subject"})
"""What a statement is about: it is shown with whatever else is."""


class AskForm(Form):
    """What we would like to know."""

    item: Code = Field(title="Item code")
    purpose: Purpose = Field(title="Purpose")
    claim_types: tuple[str, ...] = Field(
        default=(),
        max_length=40,
        title="Kinds of statement (none: all)",
        json_schema_extra={"choices": [*CLAIMS]},
    )
    contract: str = Field(default="", max_length=80, title="Contract of the framework (none: by purpose)")
    note: str = Field(default="", max_length=1000, title="Note")


class AnswerForm(Form):
    """What we hold back, if anything."""

    withhold: tuple[str, ...] = Field(
        default=(),
        max_length=40,
        title="Kinds of statement held back",
        json_schema_extra={"choices": [*CLAIMS]},
    )
    reason: str = Field(default="", max_length=1000, title="Reason for holding back")


def check_claim_types(names: Iterable[str]) -> None:
    """Raise `Invalid` for the first name that is no kind of statement."""
    for name in names:
        if name not in CLAIMS:
            raise Invalid("there is no kind of statement “{name}”", name=name[:60])


def admitted(books: Books, did: str) -> tuple[str, ...]:
    """Return the roles in which a company in good standing is admitted, or raise `Forbidden`."""
    if did and did == books.authority():
        return ("governance-authority",)
    entry = member(books, did)
    if entry is None:
        raise Forbidden("the company is not a member")
    if not books.framework().may_deal(entry.status):
        raise Forbidden(
            "{name} is no member in good standing: {status}", name=entry.name, status=entry.status
        )
    return entry.roles


def check_terms(rules: Framework, asked: Ask, roles: Iterable[str]) -> None:
    """Raise a Fault unless a company in these roles may ask so, under the framework in force here."""
    if not asked.contract:
        for name in asked.claim_types:
            if not rules.may_publish(name):
                raise Forbidden(
                    "“{type}” is shown only to who names a contract of the framework that permits it",
                    type=name,
                )
        return
    terms = rules.rules.contracts.get(asked.contract)
    if terms is None:
        raise Unknown("the framework has no contract “{contract}”", contract=asked.contract)
    if asked.terms != rules.terms(asked.contract):
        raise Misstep(
            "the contract “{contract}” is of another version of the framework than the one in force",
            contract=asked.contract,
        )
    if asked.purpose not in terms.purposes:
        raise Forbidden(
            "the contract “{contract}” is not for the purpose “{purpose}”",
            contract=asked.contract,
            purpose=asked.purpose,
        )
    if not any(rules.may_ask(role, asked.contract) for role in roles):
        raise Forbidden(
            "in none of its roles may the asker use the contract “{contract}”", contract=asked.contract
        )
    for name in asked.claim_types:
        if rules.opening(name) == "private":
            raise Forbidden("“{type}” is private: it never leaves its holder", type=name)
        if rules.opening(name) == "limited" and name not in terms.claims:
            raise Forbidden(
                "the contract “{contract}” does not permit “{type}”", contract=asked.contract, type=name
            )


def permitted(rules: Framework, asked: Ask, roles: Iterable[str], held: Held) -> tuple[str, ...]:
    """Return the fields of a statement that a company in these roles may be shown."""
    return tuple(
        name
        for name in held.claim
        if name != "id"
        and (
            name in NAMING
            or any(rules.may_see(role, held.type, name, asked.purpose, asked.contract) for role in roles)
        )
    )


def ask_disclosure(form: AskForm, case: Case) -> list[Effect]:
    """Ask a company what it knows of an item, under a contract of the framework."""
    check_claim_types(form.claim_types)
    rules, roles = case.books.framework(), admitted(case.books, case.books.company.did)
    contract = form.contract or rules.contract_for(roles, form.purpose)
    asked = Ask(
        item=form.item,
        purpose=form.purpose,
        claim_types=form.claim_types,
        note=form.note,
        contract=contract,
        terms=rules.terms(contract) if contract in rules.rules.contracts else "",
    )
    check_terms(rules, asked, roles)
    return [Send(asked, presents=bool(contract))]


def weigh_question(message: Ask, case: Case) -> list[Effect]:
    """Refuse a question that does not show who asks, or asks for more than the framework permits."""
    roles = set(admitted(case.books, case.them.did))
    if message.contract and case.them.did != case.books.authority():
        shown = [held for held in case.credentials if held.type == "Accreditation"]
        if not shown:
            raise Forbidden("the question does not show who asks: it comes without an accreditation")
        roles &= {str(role) for role in shown[0].claim["roles"]}
    check_terms(case.books.framework(), message, roles)
    return []


@dataclass(frozen=True)
class Share:
    """What is shown of a statement, and why the rest is not."""

    given: str | Reveal | None
    why_not: str = ""


def share(rules: Framework, asked: Ask, roles: Iterable[str], held: Held, us: str) -> Share:
    """Return what a company in these roles is shown of a statement that we hold."""
    if rules.opening(held.type) == "private":
        return Share(None, _because(Forbidden("it is private")))
    shown = permitted(rules, asked, roles, held)
    back = [name for name in held.claim if name != "id" and name not in shown]
    if not set(shown) - NAMING:
        return Share(None, _because(Forbidden("the contract does not permit it")))
    if held.issuer == us and asked.presentation:
        kept = _because(Forbidden("some fields are not permitted: {fields}", fields=", ".join(back)))
        return Share(Reveal(held.id, shown), kept if back else "")
    if back:
        return Share(None, _because(Forbidden("only its issuer can show a part of it")))
    return Share(held.id)


def _because(fault: Fault) -> str:
    return str(fault)[:1000]


def answer_disclosure(form: AnswerForm, case: Case) -> list[Effect]:
    """Answer with all that the framework lets us show of the item, less what we hold back."""
    asked, us, rules = case.here.last(Ask), case.books.company.did, case.books.framework()
    check_claim_types(form.withhold)
    roles = admitted(case.books, case.them.did)
    check_terms(rules, asked, roles)
    held = [
        h for h in case.books.in_force(asked.item) if not asked.claim_types or h.type in asked.claim_types
    ]
    if not held:
        raise Unknown("we hold nothing on {code}; refuse, and say so", code=asked.item)
    given: list[str | Reveal] = []
    withheld: dict[str, str] = {}
    for one in held:
        if one.type in form.withhold:
            withheld[one.type] = form.reason or _because(Forbidden("not for this purpose"))
            continue
        part = share(rules, asked, roles, one, us)
        given += [part.given] if part.given is not None else []
        if part.why_not:
            withheld.setdefault(one.type, part.why_not)
    if not given and not form.withhold:
        raise Forbidden("nothing of this may be shown; refuse, and say so")
    terms = rules.rules.contracts.get(asked.contract)
    until = (case.books.now + timedelta(days=terms.retention_days)).date() if terms else None
    if not withheld:
        return [Send(Disclose(until=until), credentials=tuple(given))]
    back = tuple(Withheld(claim_type=name, reason=why) for name, why in sorted(withheld.items()))
    return [Send(DiscloseInPart(withheld=back, until=until), credentials=tuple(given))]


def refuse_disclosure(form: Refuse, case: Case) -> list[Effect]:
    """Do not answer."""
    return [Send(form)]


def check_disclosure(message: Disclose | DiscloseInPart, case: Case) -> list[Effect]:
    """Refuse an answer about another item than asked for, or that shows more than its contract permits."""
    asked, rules = case.here.last(Ask), case.books.framework()
    roles = admitted(case.books, case.books.company.did) if asked.contract else ()
    for held in case.credentials:
        about = str(next((held.claim[name] for name in NAMING if name in held.claim), held.about))
        if about != asked.item:
            raise Invalid(
                "an attached {type} is about {code}, which is not at hand", type=held.type, code=about[:40]
            )
        if not held.bound:
            continue
        shown = permitted(rules, asked, roles, held)
        for name in held.claim:
            if name not in (*shown, "id"):
                raise Forbidden(
                    "the answer shows {field} of “{type}”, which the contract “{contract}” does not permit",
                    field=name,
                    type=held.type,
                    contract=asked.contract,
                )
    return []


ACTIONS = (
    Action(
        "ask-disclosure",
        "Ask what is known of an item",
        AskForm,
        ask_disclosure,
        DISCLOSURE,
        (Ask,),
        opens=True,
    ),
    Action(
        "answer-disclosure",
        "Answer the question",
        AnswerForm,
        answer_disclosure,
        DISCLOSURE,
        (Disclose, DiscloseInPart),
        rank="manager",
    ),
    Action(
        "refuse-disclosure",
        "Refuse to answer",
        Refuse,
        refuse_disclosure,
        DISCLOSURE,
        (Refuse,),
        rank="manager",
    ),
)
DUTIES = (
    Duty(DISCLOSURE, Ask, weigh_question),
    Duty(DISCLOSURE, Disclose, check_disclosure),
    Duty(DISCLOSURE, DiscloseInPart, check_disclosure),
)
