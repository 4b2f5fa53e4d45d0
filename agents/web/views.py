"""What can be seen: each view once, as the REST API answers it and as the pages show it."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import date, datetime, time
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, Field

from agents.lookup import Known
from agents.ports import Desk, Letter, Pass, User
from agents.role import Action, Dealing, Evidence, Held, Item, Job, Peer, Play, Rank, ancestry
from agents.roles.diagnosis import proposed
from agents.roles.electrical import recorded_tests
from agents.service import Done, about, fell, roles_of, told_of
from agents.web.context import Context
from governance.framework import EVER, Framework, framework_of
from protocols.catalogue import PROTOCOLS
from protocols.disclosure import DISCLOSURE, Ask, Disclose, DiscloseInPart, Refuse
from protocols.exchange import Exchange, Said
from schemas.claims import CLAIMS
from schemas.errors import Unknown
from schemas.events import Event
from schemas.items import Kind, kind_of, read_code

NO_BUSINESS = ("introduction/1.0",)
ANSWERS = (Disclose, DiscloseInPart, Refuse)


class View(BaseModel):
    """Something the API answers."""


class Company(View):
    """Whose agent this is."""

    did: str
    name: str
    roles: tuple[str, ...]
    authority: str = Field(description="DID of the governance authority that is trusted, or empty")
    standing: str = Field(description="This company's standing in the register, or empty")


class Outcome(View):
    """What came of an action."""

    thread: str = Field(description="The exchange it belongs to, or empty")
    state: str
    issued: tuple[str, ...] = Field(description="Ids of the credentials issued with it")
    jobs: tuple[str, ...] = Field(description="Ids of the jobs it started")

    @classmethod
    def of(cls, done: Done) -> "Outcome":
        """Return an outcome as seen."""
        return cls(thread=done.thread, state=done.state, issued=done.issued, jobs=done.jobs)


class Counterpart(View):
    """A connected agent."""

    id: str
    did: str
    name: str = Field(description="The company's name, once it has introduced itself")
    standing: str = Field(default="", description="Its standing in the register, or empty")
    roles: tuple[str, ...] = ()
    breaker: str = Field(default="", description="State of the circuit breaker towards it")

    @property
    def label(self) -> str:
        """Return what to call it."""
        return self.name or self.did or self.id


class CompanyCard(View):
    """A company as the register tells it to everyone."""

    did: str
    name: str
    roles: tuple[str, ...]
    standing: str = Field(description="Its standing in the register, or empty")
    authority: str = Field(description="Name or DID of the governance authority that says so, or empty")


class DealingView(View):
    """An exchange in brief."""

    thread: str
    protocol: str
    side: str
    peer: Counterpart
    state: str
    ended: bool
    about: str = Field(description="Code of the item or lot it is about, or empty")
    ours: bool = Field(description="Whether something is for us to do")
    opened: datetime
    updated: datetime


class OpenAction(View):
    """An action, and what its form asks for."""

    name: str
    title: str
    rank: Rank
    opens: bool
    goes_on: bool = Field(description="Whether it carries an exchange forward, instead of calling off")
    protocol: str = ""


class File(View):
    """A file given as evidence."""

    digest: str
    name: str
    media_type: str
    size: int
    state: Literal["held", "awaited", "refused"]

    @property
    def picture(self) -> bool:
        """Say whether a page can show it."""
        return self.state == "held" and self.media_type in {"image/jpeg", "image/png"}


class StandingView(View):
    """What became of a credential since it was issued."""

    what: Literal["revoked", "suspended", "reinstated"]
    at: datetime = Field(description="When we did it or, of another company's, first saw it")
    who: str = Field(description="Who did it here, or empty")
    reason: str
    successor: str = Field(description="Id of the credential in its place, or empty")


class Shown(View):
    """What was shown of one statement."""

    credential: str
    type: str
    issuer: str
    issuer_name: str
    fields: tuple[str, ...]
    bound: bool = Field(description="Whether it was sealed for the asker alone")


class Disclosure(View):
    """A question what is known of an item, and what was shown in answer; both sides keep the same."""

    thread: str
    item: str
    given: bool = Field(description="Whether we were asked, and showed it; else it was shown to us")
    peer: Counterpart
    state: str
    asked: datetime
    answered: datetime | None
    purpose: str
    contract: str = Field(description="Name of the contract of the framework, or empty for what is public")
    terms: str = Field(description="Digest of the contract in the framework's version of that day")
    presented: bool = Field(description="Whether the asker showed its accreditation")
    shown: tuple[Shown, ...]
    withheld: dict[str, str] = Field(description="Kinds of statement held back, and why")
    until: date | None = Field(description="By when what was shown is to be deleted")


class Statement(View):
    """A credential in brief."""

    id: str
    type: str
    about: str
    issuer: str
    issuer_name: str
    at: datetime
    verified: bool
    reason: str = Field(description="Why it does not verify, or empty")
    standing: StandingView | None = Field(description="What became of it since, where something did")
    marks: tuple[str, ...] = Field(
        description="Names of the actions by which we may change that, if it is ours"
    )
    claim: dict[str, Any]


class MessageView(View):
    """One message of an exchange."""

    id: str
    kind: str
    sender: str = Field(description="The side that said it")
    from_us: bool
    at: datetime
    order: int
    standing: Literal["standing", "overtaken", "refused", "waiting"] = Field(
        description="standing counts; overtaken crossed another and no longer fits; waiting has yet to count"
    )
    problem: str = Field(description="Why it was refused, or empty")
    delivery: str
    attempts: int
    body: dict[str, Any]
    credentials: tuple[str, ...]
    evidence: tuple[File, ...]


class ExchangeView(DealingView):
    """An exchange with all that was said."""

    messages: tuple[MessageView, ...]
    actions: tuple[OpenAction, ...] = Field(description="What we may do now")
    credentials: tuple[Statement, ...]


class ItemView(View):
    """An item in brief."""

    code: str
    kind: Kind
    registrar: str
    registrar_name: str
    part_of: str | None
    made_of: tuple[str, ...]
    position: str
    model: str
    chemistry: str
    mass_kg: str | None


class EventView(View):
    """One thing that happened to an item."""

    id: str
    what: str
    when: datetime
    who: str
    where: str
    how: str
    details: dict[str, Any]
    evidence: tuple[File, ...]
    exchange: str
    corrects: str | None
    ours: bool = Field(description="Whether we recorded it ourselves")
    annulled: bool = Field(description="Whether a later event corrects or annuls it")


class TestView(View):
    """A test that was made of a cell, as it is kept."""

    __test__ = False
    kind: str
    began: datetime
    digest: str
    record: dict[str, Any]


class ItemStory(ItemView):
    """An item with its life, what it is part of and what it holds."""

    above: tuple[ItemView, ...] = Field(description="What it came out of, the nearest first")
    parts: tuple[ItemView, ...]
    containers: tuple[ItemView, ...]
    events: tuple[EventView, ...]
    credentials: tuple[Statement, ...]
    published: tuple[str, ...] = Field(description="Ids of those of our credentials that everyone may see")
    dealings: tuple[DealingView, ...]
    tests: tuple[TestView, ...] = Field(default=(), description="Capacity and other tests, oldest first")
    grade: str = Field(default="", description="The reuse class that the rules give it, or empty")
    grade_words: str = Field(default="", description="Why, or what is missing; for cells, modules and packs")


class ModelView(View):
    """A model of states of health that we adopted, with the statement that vouches for it."""

    digest: str
    cell_model: str
    signer: str
    at: datetime
    in_use: bool
    statement: Statement


class MemberView(View):
    """A company in the register."""

    did: str
    name: str
    roles: tuple[str, ...]
    status: str
    since: datetime
    peer: Counterpart | None = Field(description="The connection with it, if there is one")
    us: bool


class DeadLetter(View):
    """A message nobody could deliver."""

    peer: Counterpart
    id: str
    thread: str
    protocol: str
    kind: str
    at: datetime
    attempts: int
    problem: str


class JobView(View):
    """A long piece of work."""

    id: str
    job: str
    state: str
    details: dict[str, Any]
    progress: dict[str, Any]
    at: datetime


class UserView(View):
    """Somebody who may use this agent."""

    name: str
    rank: Rank
    language: str
    has_password: bool

    @classmethod
    def of(cls, user: User) -> "UserView":
        """Return a user without the secret."""
        return cls(name=user.name, rank=user.rank, language=user.language, has_password=bool(user.secret))


class TokenView(View):
    """A token for a program; its secret is shown once, when it is made."""

    id: str = Field(description="Digest of the token")
    label: str
    rank: Rank
    at: datetime
    expires: datetime

    @classmethod
    def of(cls, entry: Pass) -> "TokenView":
        """Return a token without the secret."""
        return cls(id=entry.digest, label=entry.label, rank=entry.rank, at=entry.at, expires=entry.expires)


class VersionView(View):
    """A version of the governance framework in brief."""

    version: int
    holds_from: datetime | None = Field(description="Since when it holds; null for ever")
    digest: str


class FrameworkView(VersionView):
    """A version of the governance framework with its rules."""

    name: str
    authority: str = Field(description="DID of the governance authority, or empty")
    in_force: bool = Field(description="Whether it holds now")
    rules: dict[str, Any]
    credential: dict[str, Any] | None = Field(description="The sealed document, or null if it was not signed")
    versions: tuple[VersionView, ...] = Field(description="All there are, the oldest first")

    def read(self) -> Framework:
        """Return it as the framework that it states."""
        return framework_of(self.rules)


def version_of(framework: Framework) -> VersionView:
    """Show a version in brief."""
    begin = None if framework.holds_from == EVER else framework.holds_from
    return VersionView(version=framework.version, holds_from=begin, digest=framework.digest)


class Seeing:
    """Makes views of one company's books, within one transaction."""

    def __init__(self, context: Context, desk: Desk, known: Known) -> None:
        self.context = context
        self.desk = desk
        self.known = known
        self.play: Play = context.agent.play
        self.framework: Framework = desk.framework()
        self._breakers = context.breakers()
        self._register = {entry.did: entry for entry in desk.members()}
        self._peers = {peer.id: peer for peer in desk.peers()}

    # Companies

    def company(self) -> Company:
        """Show whose agent this is."""
        own, authority = self.desk.company, self.desk.authority()
        entry = self._register.get(own.did)
        standing = "accredited" if own.did == authority else entry.status if entry else ""
        return Company(did=own.did, name=own.name, roles=own.roles, authority=authority, standing=standing)

    def framework_of(self, version: int | None, day: date | None) -> Framework:
        """Return the version of a number, or the one that holds at the end of a day; else the present one."""
        versions = self.desk.frameworks()
        if version is not None:
            if (found := versions.number(version)) is None:
                raise Unknown("there is no version {version} of the framework here", version=version)
            return found
        if day is None:
            return self.framework
        zone = ZoneInfo(versions.newest.rules.legal.time_zone)
        return versions.at(datetime.combine(day, time(23, 59, 59), zone))

    def framework_view(self, framework: Framework) -> FrameworkView:
        """Show a version of the governance framework."""
        authority = self.desk.authority()
        held = self.desk.credentials(authority, "GovernanceFramework") if authority else []
        signed = next((one for one in held if one.claim["rules"] == framework.document), None)
        return FrameworkView(
            **version_of(framework).model_dump(),
            name=framework.name,
            authority=authority,
            in_force=framework.digest == self.framework.digest,
            rules=dict(framework.document),
            credential=dict(signed.document) if signed else None,
            versions=tuple(map(version_of, self.desk.frameworks())),
        )

    def name(self, did: str) -> str:
        """Return what to call a company."""
        if did == self.desk.company.did:
            return self.desk.company.name
        if did in self._register:
            return self._register[did].name
        return next((peer.name for peer in self._peers.values() if peer.did == did and peer.name), "")

    def card(self, did: str) -> CompanyCard:
        """Show a company by the register alone."""
        authority = self.desk.authority()
        entry = self._register.get(did)
        roles = roles_of(self.desk, did, authority)
        return CompanyCard(
            did=did,
            name=self.desk.company.name if did == self.desk.company.did else entry.name if entry else "",
            roles=roles,
            standing="accredited" if did == authority else entry.status if entry else "",
            authority=self.name(authority) or authority,
        )

    def counterpart(self, id: str) -> Counterpart:
        """Show a connected agent."""
        peer = self._peers.get(id) or self.desk.peer(id) or Peer(id, "", "", "")
        entry = self._register.get(peer.did)
        return Counterpart(
            id=id,
            did=peer.did,
            name=(entry.name if entry else "") or peer.name,
            standing=entry.status if entry else "",
            roles=roles_of(self.desk, peer.did, self.desk.authority()) if peer.did else (),
            breaker=self._breakers.get(id, ""),
        )

    def peers(self) -> list[Counterpart]:
        """Show the connected agents."""
        return [self.counterpart(id) for id in self._peers]

    def members(self) -> list[MemberView]:
        """Show the register of members."""
        by_did = {peer.did: peer.id for peer in self._peers.values() if peer.did}
        return [
            MemberView(
                did=entry.did,
                name=entry.name,
                roles=entry.roles,
                status=entry.status,
                since=entry.since,
                peer=self.counterpart(by_did[entry.did]) if entry.did in by_did else None,
                us=entry.did == self.desk.company.did,
            )
            for entry in self._register.values()
        ]

    def suitable(self, action: Action[Any]) -> list[Counterpart]:
        """List the companies that an action may be opened with."""
        protocol = action.protocol
        if protocol is None:
            return []
        if protocol.name in NO_BUSINESS:
            return self.peers()
        side = protocol.sides[1]
        found = []
        for peer in self.peers():
            if protocol.name == "membership/1.0":
                fits = bool(peer.did) and self.desk.authority() in {"", peer.did}
            else:
                fits = peer.standing in {"", "accredited"} and any(
                    self.framework.may_play(role, protocol.name, side) for role in peer.roles
                )
            if fits:
                found.append(peer)
        return found

    # Exchanges

    def dealing(self, dealing: Dealing) -> DealingView:
        """Show an exchange in brief."""
        protocol = PROTOCOLS.get(dealing.protocol)
        return DealingView(
            thread=dealing.thread,
            protocol=dealing.protocol,
            side=dealing.side,
            peer=self.counterpart(dealing.peer),
            state=dealing.state,
            ended=protocol is not None and dealing.state in protocol.ends,
            about=dealing.about,
            ours=dealing.ours,
            opened=dealing.opened,
            updated=dealing.updated,
        )

    def dealings(self, **filters: Any) -> list[DealingView]:
        """Show exchanges in brief, the latest change first."""
        return [self.dealing(one) for one in self.desk.dealings(**filters)]

    def exchange(self, thread: str) -> ExchangeView:
        """Show an exchange with all that was said."""
        exchange = self.desk.exchange(thread)
        if exchange is None:
            raise Unknown("there is no exchange “{thread}” here", thread=thread[:60])
        letters = [letter for letter in self.desk.letters(thread) if self._theirs(letter.peer, exchange.peer)]
        actions = [self.action(action) for action in self.play.fitting(exchange)]
        ids = dict.fromkeys(id for letter in letters for id in letter.credentials)
        held = [found for id in ids if (found := self.desk.credential(id))]
        return ExchangeView(
            thread=thread,
            protocol=exchange.protocol.name,
            side=exchange.side,
            peer=self.counterpart(exchange.peer),
            state=exchange.state,
            ended=exchange.ended,
            about=about(exchange),
            ours=any(action.goes_on for action in actions),
            opened=letters[0].at if letters else self.desk.now,
            updated=letters[-1].at if letters else self.desk.now,
            messages=tuple(
                self._message(letter, exchange) for letter in letters if letter.status != "waiting"
            ),
            actions=tuple(actions),
            credentials=tuple(map(self.statement, held)),
        )

    def disclosures(self, **filters: Any) -> list[Disclosure]:
        """Show who was shown what, for which purpose and under which contract, the latest change first."""
        found = self.desk.dealings(protocol=DISCLOSURE.name, **filters)
        return [self._disclosure(exchange) for one in found if (exchange := self.desk.exchange(one.thread))]

    def _disclosure(self, exchange: Exchange) -> Disclosure:
        asked = exchange.last(Ask)
        letters = {letter.id: letter for letter in self.desk.letters(exchange.thread)}
        answer = next((said for said in exchange.standing if isinstance(said.message, ANSWERS)), None)
        letter = letters.get(answer.id) if answer else None
        held = [self.desk.credential(id) for id in letter.credentials] if letter else []
        message: Any = answer.message if answer else None
        return Disclosure(
            thread=exchange.thread,
            item=asked.item,
            given=exchange.side != DISCLOSURE.opener,
            peer=self.counterpart(exchange.peer),
            state=exchange.state,
            asked=min((one.at for one in letters.values()), default=self.desk.now),
            answered=letter.at if letter else None,
            purpose=asked.purpose,
            contract=asked.contract,
            terms=asked.terms,
            presented=bool(asked.presentation),
            shown=tuple(self._shown(one) for one in held if one),
            withheld={one.claim_type: one.reason for one in getattr(message, "withheld", ())},
            until=getattr(message, "until", None),
        )

    def _shown(self, held: Held) -> Shown:
        return Shown(
            credential=held.id,
            type=held.type,
            issuer=held.issuer,
            issuer_name=self.name(held.issuer),
            fields=tuple(name for name in CLAIMS[held.type].model_fields if name in held.claim),
            bound=held.bound,
        )

    def _theirs(self, one: str, other: str) -> bool:
        """Say whether two ids name the same peer: an older connection's id still names its company."""
        first, second = self.desk.peer(one), self.desk.peer(other)
        return one == other or (first is not None and second is not None and first.id == second.id)

    def _message(self, letter: Letter, exchange: Exchange) -> MessageView:
        said = next((one for one in exchange.said if one.id == letter.id), None)
        sender = exchange.side if letter.outward else exchange.protocol.other(exchange.side)
        return MessageView(
            id=letter.id,
            kind=letter.kind,
            sender=sender,
            from_us=letter.outward,
            at=letter.at,
            order=letter.order,
            standing=_standing(said, exchange),
            problem=told_of(letter.problem or (said.void if said else "")),
            delivery=letter.status,
            attempts=letter.attempts,
            body=_object(letter.body),
            credentials=letter.credentials,
            evidence=self.files(letter.evidence),
        )

    def action(self, action: Action[Any]) -> OpenAction:
        """Show an action."""
        return OpenAction(
            name=action.name,
            title=action.title,
            rank=action.rank,
            opens=action.opens,
            goes_on=action.goes_on,
            protocol=action.protocol.name if action.protocol else "",
        )

    # Items

    def item(self, item: Item) -> ItemView:
        """Show an item in brief."""
        return ItemView(
            code=item.code,
            kind=item.kind,
            registrar=item.registrar,
            registrar_name=self.name(item.registrar),
            part_of=item.part_of,
            made_of=item.made_of,
            position=item.position,
            model=item.model,
            chemistry=item.chemistry,
            mass_kg=item.mass_kg,
        )

    def story(self, code: str) -> ItemStory:
        """Show an item with its life."""
        code = read_code(code)
        line = ancestry(self.desk, code)
        events, credentials = self.desk.events(code), self.desk.credentials(code)
        if not (line or events or credentials):
            raise Unknown("we have no item {code}", code=code)
        item, *above = line or [Item(code, kind_of(code), "")]
        made_of = [self.desk.item(part) or Item(part, kind_of(part), "") for part in item.made_of]
        parts = {part.code: part for part in [*made_of, *self.desk.items(part_of=code)]}
        mine = {event.id for event in self.desk.events(code, ours=True)}
        grade, why = proposed(self.desk, code) if item.kind in {"cell", "module", "pack"} else ("", "")
        changed = {str(event.corrects) for event in events if event.corrects}
        return ItemStory(
            **self.item(item).model_dump(),
            above=tuple(map(self.item, above)),
            parts=tuple(map(self.item, parts.values())),
            containers=tuple(map(self.item, self.desk.containers(code))),
            events=tuple(self._event(event, changed, event.id in mine) for event in events),
            credentials=tuple(map(self.statement, credentials)),
            published=tuple(held.id for held in self.desk.published(about=code)),
            dealings=tuple(self.dealings(about=code)),
            tests=tuple(
                TestView(kind=one.kind, began=one.began, digest=one.digest, record=one.to_json())
                for one in (recorded_tests(self.desk, code) if item.kind == "cell" else ())
            ),
            grade=grade,
            grade_words=why,
        )

    def _event(self, event: Event, changed: set[str], ours: bool) -> EventView:
        return EventView(
            id=str(event.id),
            what=event.what,
            when=event.when,
            who=self.name(event.who) or event.who,
            where=event.where,
            how=event.how,
            details=dict(event.details),
            evidence=self.files(event.evidence),
            exchange=event.exchange,
            corrects=str(event.corrects) if event.corrects else None,
            ours=ours,
            annulled=str(event.id) in changed,
        )

    # Statements and files

    def statement(self, held: Held) -> Statement:
        """Show a credential, verified now."""
        report = self.context.agent.report(held, self.desk, self.known)
        standing = self.desk.standing(held.id)
        return Statement(
            id=held.id,
            type=held.type,
            about=held.about,
            issuer=held.issuer,
            issuer_name=self.name(held.issuer),
            at=held.at,
            verified=report.verified,
            reason=report.reason,
            standing=StandingView(**asdict(standing)) if standing else None,
            marks=_marks(held, fell(standing)),
            claim=dict(held.claim),
        )

    def credential(self, id: str) -> tuple[Held, Statement]:
        """Return a credential, and how it is seen."""
        held = self.desk.credential(id)
        if held is None:
            raise Unknown("there is no credential “{id}” here", id=id[:80])
        return held, self.statement(held)

    def models(self) -> list[ModelView]:
        """Show the models of states of health we adopted, those in use first."""
        found = [
            ModelView(
                digest=one.digest,
                cell_model=one.cell_model,
                signer=one.signer,
                at=one.at,
                in_use=one.in_use,
                statement=self.credential(one.credential)[1],
            )
            for one in self.desk.models()
        ]
        return sorted(found, key=lambda one: not one.in_use)

    def files(self, digests: tuple[str, ...]) -> tuple[File, ...]:
        """Show files."""
        return tuple(file_of(found) for digest in digests if (found := self.desk.evidence(digest)))

    # What goes on

    def dead_letters(self, limit: int = 1000) -> list[DeadLetter]:
        """Show the messages nobody could deliver."""
        return [
            DeadLetter(
                peer=self.counterpart(letter.peer),
                id=letter.id,
                thread=letter.thread,
                protocol=letter.protocol,
                kind=letter.kind,
                at=letter.at,
                attempts=letter.attempts,
                problem=told_of(letter.problem),
            )
            for letter in self.desk.dead_letters(limit)
        ]

    def job(self, id: str) -> JobView:
        """Show a job."""
        job = self.desk.job(id)
        if job is None:
            raise Unknown("there is no job “{id}” here", id=id[:60])
        return job_of(job)


def seen[T](context: Context, work: Callable[[Seeing], T]) -> Callable[[Desk, Known], T]:
    """Return a reading of the desk that makes views."""
    return lambda desk, known: work(Seeing(context, desk, known))


def _marks(held: Held, fallen: str) -> tuple[str, ...]:
    """Name what may be done about a credential of ours."""
    if held.source or "credentialStatus" not in held.document or fallen == "revoked":
        return ()
    if fallen:
        return ("reinstate-credential", "revoke-credential")
    return ("revoke-credential", "suspend-credential", "refresh-credential")


def file_of(evidence: Evidence) -> File:
    """Show a file's entry."""
    return File(
        digest=evidence.digest,
        name=evidence.name,
        media_type=evidence.media_type,
        size=evidence.size,
        state=evidence.state,
    )


def job_of(job: Job) -> JobView:
    """Show a job."""
    return JobView(
        id=job.id,
        job=job.job,
        state=job.state,
        details=dict(job.details),
        progress=dict(job.progress),
        at=job.at,
    )


def _standing(
    said: Said | None, exchange: Exchange
) -> Literal["standing", "overtaken", "refused", "waiting"]:
    if said is None or said.void:
        return "refused"
    if said in exchange.standing:
        return "standing"
    return "overtaken" if said in exchange.overtaken else "waiting"


def _object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
