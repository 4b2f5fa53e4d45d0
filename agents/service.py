"""The one service: the web page, the CLI, the REST route and DIDComm all end here."""

import json
import logging
from asyncio import gather
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, ValidationError

from agents import bound, standing
from agents.lookup import Known, Lookup, Wanting
from agents.ports import Courier, Delivery, Desk, Enclosure, Idle, Letter, Parcel, Store, Verdict, Works
from agents.role import (
    RANKS,
    Action,
    Adopt,
    Adopted,
    AdoptModel,
    Books,
    Case,
    Change,
    Effect,
    Evidence,
    Held,
    Identify,
    Issue,
    Item,
    Keep,
    Mark,
    Note,
    Peer,
    Play,
    Publish,
    PublishAlways,
    Qualify,
    Rank,
    Record,
    Reveal,
    Send,
    SetAside,
    Standing,
    Start,
    Stop,
    Trust,
    Unpublish,
    member,
)
from credentials import envelope
from credentials.envelope import is_envelope
from credentials.integrity import seal
from credentials.keys import Signer
from credentials.moments import moment
from credentials.report import Report
from credentials.seals import suite, verify
from credentials.vc import credential, digest
from protocols.catalogue import MESSAGES
from protocols.disclosure import Ask
from protocols.exchange import Exchange, Message, Protocol, Said, Unreadable
from protocols.introduction import INTRODUCTION
from protocols.membership import MEMBERSHIP
from protocols.receipt import RECEIPT
from quality.lifecycle import Life
from schemas.claims import (
    CLAIMS,
    CONTEXT,
    Claim,
    GovernanceFramework,
    HandlingRecord,
    HandOverReceipt,
    ItemIdentity,
    MembershipRegister,
    SohModel,
)
from schemas.errors import Fault, Forbidden, Invalid, Misstep, Unavailable, Unknown
from schemas.events import ANNULLED, Event
from schemas.items import find_codes, item_uri, kind_of

LOG = logging.getLogger(__name__)

# How many messages may wait in one exchange for one that is missing.
MOST_EARLY = 1000

# How many statements come with a message that is not yet, or not only, for members.
MOST_BY_STRANGERS = 4

# How much of a message that opened nothing is kept, in characters.
MOST_KEPT = 4096

# The setting that names the types of statement we publish as soon as we make them.
ALWAYS_PUBLISHED = "always-published"

# How long a credential's id and what it is about may be: both are looked up by.
LONGEST_NAME = 400


@dataclass(frozen=True)
class Done:
    """What came of an action: the exchange it belongs to, and the credentials issued with it."""

    thread: str
    state: str
    issued: tuple[str, ...] = ()
    jobs: tuple[str, ...] = ()


class Agent:
    """One company's agent: its roles, played with a store, a courier and a key.

    `lookup` finds what others' statements need to be checked; `site` is where our status lists are published.
    """

    def __init__(
        self,
        play: Play,
        store: Store,
        courier: Courier,
        signer: Signer,
        lookup: Lookup,
        site: str,
    ) -> None:
        self.play = play
        self.store = store
        self.courier = courier
        self.signer = signer
        self.lookup = lookup
        self.works: Works = Idle()
        self.site = site

    async def perform(
        self,
        name: str,
        data: Mapping[str, object],
        to: str = "",
        *,
        user: str = "",
        rank: Rank = "admin",
        key: str = "",
    ) -> Done:
        """Do an action in thread `to`, or towards peer `to` when it opens an exchange.

        A second call with the same `key` changes nothing and returns what the first one led to.
        Raises `Invalid`, `Unknown`, `Misstep` or `Forbidden`; then nothing has changed.
        """
        action = self.play.action(name)
        if RANKS.index(rank) < RANKS.index(action.rank):
            raise Forbidden("“{action}” needs the rank of {rank}", action=action.name, rank=action.rank)
        form = read_form(action.form, data)
        halted: list[str] = []

        def work(change: _Change) -> Done:
            desk = change.desk
            change.user = user
            if key and (earlier := desk.done(key)) is not None:
                exchange = desk.exchange(earlier)
                return Done(earlier, exchange.state if exchange else "")
            done = change.perform(action, form, to)
            halted.extend(change.halted)
            if key:
                desk.note_done(key, done.thread)
            return done

        try:
            return await self._change(work)
        finally:
            # Who wants a stop gets it, whether or not it could be written down.
            for job in halted:
                self.works.halt(job)

    def _tell(self, change: "_Change") -> None:
        """Let those know who need to, now that a transaction's work is saved."""
        for url in change.marked:
            self.lookup.forget(url)
        if change.jobs:
            self.works.wake()
        if change.wake:
            self.courier.wake(frozenset(change.wake))

    async def receive(self, peer: Peer, parcels: Sequence[Parcel]) -> list[Verdict]:
        """Take in what a peer sent, in the order given; each parcel commits or is refused by itself.

        A verdict is returned only for what is committed: taken, kept for its turn, or refused. A parcel
        without one must come again. Verdicts on parcels that had waited for these come last.
        """

        async def one(parcel: Parcel) -> list[Verdict]:
            def work(change: _Change) -> list[Verdict]:
                verdict = change.receive(change.desk.peer(peer.id) or peer, parcel)
                return [*((verdict,) if verdict else ()), *change.late]

            return await self._change(work)

        # Started together, in order, so that they share a commit.
        outcomes = await gather(*map(one, parcels), return_exceptions=True)
        verdicts: list[Verdict] = []
        for parcel, outcome in zip(parcels, outcomes, strict=True):
            if isinstance(outcome, Invalid):
                # Not even a refusal of it can be kept: an id or a place in order that no database holds.
                verdicts.append(Verdict(parcel.id, outcome.code, str(outcome), {}))
            elif isinstance(outcome, BaseException):
                # No verdict: the peer will send it again.
                LOG.error("could not take message %s from %s", parcel.id, peer.id, exc_info=outcome)
            else:
                verdicts += outcome
        return verdicts

    async def settle(self, peer: str, taken: Sequence[str], problems: Sequence[Verdict]) -> list[Verdict]:
        """Note what a peer's application says became of our messages.

        Returns verdicts on the peer's own messages that had to wait for this news.
        """

        def work(change: _Change) -> list[Verdict]:
            desk = change.desk
            desk.settle(peer, taken, "taken")
            for problem in problems:
                if change.is_built_upon(peer, problem.id):
                    LOG.warning("peer %s refused a message that it has built upon", peer)
                    desk.settle(peer, (problem.id,), "taken")
                    continue
                for letter in desk.settle(peer, (problem.id,), "refused", noted(problem)):
                    change.void(letter)
            return change.late

        return await self._change(work)

    async def resume(self) -> dict[str, list[Verdict]]:
        """Take the messages that waited only for something that could not be looked up; return verdicts."""
        found: dict[str, list[Verdict]] = {}
        for id, thread in await self.store.read(lambda desk: desk.stalled()):

            def work(change: _Change, id: str = id, thread: str = thread) -> list[Verdict]:
                peer, exchange = change.desk.peer(id), change.desk.exchange(thread)
                if peer is not None and exchange is not None:
                    theirs = exchange.by(exchange.protocol.other(exchange.side))
                    change.drain(peer, thread, len(theirs) + 1)
                return change.late

            if late := await self._change(work):
                found.setdefault(id, []).extend(late)
        return found

    async def renew(self) -> int:
        """Sign our status lists anew before they expire; return how many were due."""
        return await self.store.write(lambda desk: standing.renew(desk, self.signer))

    async def _change[T](self, work: "Callable[[_Change], T]") -> T:
        """Do a work in one transaction, looking up before it what it needs to check statements."""

        async def run(known: Known) -> "tuple[T, _Change]":
            def transact(desk: Desk) -> "tuple[T, _Change]":
                change = _Change(self, desk, known)
                return work(change), change

            done = await self.store.write(transact)
            known.wanted.clear()  # what is saved is not done again
            return done

        found, change = await self.lookup.with_known(run)
        self._tell(change)
        return found

    async def look[T](self, work: Callable[[Desk, Known], T]) -> T:
        """Read the books with what statements need to be checked, and note what became of them since."""
        last: list[Known] = []

        async def run(known: Known) -> T:
            last[:] = [known]
            return await self.store.read(lambda desk: work(desk, known))

        found = await self.lookup.with_known(run)
        if last and (seen := last[0].seen):

            def note(desk: Desk) -> None:
                for id, what in seen.items():
                    if fell(desk.standing(id)) != (what if what != "reinstated" else ""):
                        desk.keep_standing(Standing(id, what, desk.now))

            await self.store.write(note)
            found = await self.lookup.with_known(run)
        return found

    def report(self, held: Held, books: Books, known: Known) -> Report:
        """Verify a credential that we hold; `known.seen` notes a standing unlike the one last seen."""
        report = verify(held.document, known, now=books.now, statuses=known.status_list)
        if held.source and "credentialStatus" in held.document and not known.wanted:
            purposes = [
                check.evidence["purpose"]
                for check in report.checks
                if check.name == "status.standing" and not check.passed
            ]
            before = fell(books.standing(held.id))
            if report.verified and before:
                known.seen[held.id] = "reinstated"
            elif "status.list" not in {check.name for check in report.refusals} and purposes:
                now: Change = "revoked" if "revocation" in purposes else "suspended"
                if now != before:
                    known.seen[held.id] = now
        return report

    def judge(self, held: Held, books: Books, known: Known) -> None:
        """Raise `Fault` for a credential that we hold which does not hold now."""
        report = self.report(held, books, known)
        if not report.verified:
            check = report.refusals[0]
            raise Invalid(check.words, **check.evidence)
        self.entitled(held.document, books)

    def check(
        self,
        document: Mapping[str, Any],
        books: Books,
        known: Known,
        trusted: str = "",
        *,
        vouched: str = "",
    ) -> tuple[str, str]:
        """Return the claim type and issuer of a credential, or raise `Invalid` with what is wrong with it.

        It must verify, be neither revoked nor suspended, say what its type must say, and come from a company
        that may say it, by the version of the framework that held when it was said and the register as it
        stands now; for one issuer a person here may have vouched. Raises `Unavailable` where that cannot be
        found out now.
        """
        known.trouble = None
        report = verify(document, known, now=books.now, statuses=known.status_list)
        if known.trouble is not None or known.wanted:
            raise Unavailable("it cannot be checked now: {reason}", reason=known.trouble or "")
        if not report.verified:
            words = report.refusals[0]
            raise Invalid(
                "an attached credential does not verify: {words}", words=Fault(words.words, **words.evidence)
            )
        return self.entitled(document, books, trusted, vouched)

    def entitled(
        self, document: Mapping[str, Any], books: Books, trusted: str = "", vouched: str = ""
    ) -> tuple[str, str]:
        """Return the claim type and issuer of a credential whose seal holds, or raise `Invalid`.

        It must say what its type must say, and come from a company that may say it.
        """
        told = envelope.said(document)
        if not 0 < len(str(told.get("id", ""))) <= LONGEST_NAME:
            raise Invalid(
                "an attached credential has no id, or one of more than {limit} characters", limit=LONGEST_NAME
            )
        types = [name for name in told.get("type", ()) if name in CLAIMS]
        if len(types) != 1:
            raise Invalid("an attached credential is of no type we know")
        issuer = issuer_of(told)
        claim: Claim | None = None
        try:
            claim = CLAIMS[types[0]].model_validate(told["credentialSubject"])
        except ValidationError as error:
            if not (is_envelope(document) and is_part(error) and _about(document)):
                words = first_words(error)
                raise Invalid(
                    "an attached {type} does not say what it must: {words}", type=types[0], words=words
                ) from error
        if (claim is not None and not its_own(claim, issuer)) or len(_about(document)) > LONGEST_NAME:
            raise Invalid("an attached {type} states what its issuer cannot", type=types[0])
        roles = roles_of(books, issuer, books.authority() or trusted)
        if types[0] == "Introduction" or (vouched and issuer == vouched):
            return types[0], issuer
        framework = books.framework(moment(told["validFrom"]) if "validFrom" in told else None)
        for name in suites_of(document):
            if not framework.understands(name):
                raise Invalid(
                    "an attached {type} bears a seal that the framework does not know", type=types[0]
                )
        if not any(framework.may_issue(r, types[0]) for r in roles):
            raise Invalid("the issuer of an attached {type} may not issue it", type=types[0])
        return types[0], issuer


class _Change:
    """One transaction's work on the desk."""

    def __init__(self, agent: Agent, desk: Desk, known: Known) -> None:
        self.agent = agent
        self.desk = desk
        self.known = known
        self.user = ""
        self.wake: set[str] = set()
        # Which of our status lists have a new edition.
        self.marked: set[str] = set()
        # By identity; each effect is kept with its credential, lest another takes over its identity.
        self.issued: dict[int, tuple[Issue, Held]] = {}
        self.late: list[Verdict] = []
        self.jobs: list[str] = []
        self.halted: list[str] = []
        # The message that what is recorded now stands or falls with; and the id of ours that is to be it.
        self.cause = self.promised = ""

    # What a person does

    def perform(self, action: Action[Any], form: BaseModel, to: str) -> Done:
        """Run an action of ours and all it causes."""
        exchange, peer = None, None
        if action.opens and action.protocol:
            peer = find_peer(self.desk, to)
            exchange = Exchange(str(uuid4()), action.protocol, action.protocol.opener, peer.id)
            self.may_open(action.protocol, self.desk.company.did, peer.did)
        elif action.protocol:
            exchange = self.desk.exchange(to)
            if exchange is None:
                raise Unknown("there is no exchange “{thread}” here", thread=to[:60])
            peer = self.desk.peer(exchange.peer)
            if not action.fits(exchange):
                raise Misstep(
                    "“{action}” is not possible now: the exchange is {state}",
                    action=action.name,
                    state=exchange.state,
                )
        effects = action.run(form, Case(self.desk, self.user, exchange, peer))
        if any(isinstance(effect, Send) for effect in effects):
            self.cause = self.promised = str(uuid4())
        exchange = self.apply(effects, exchange)
        issued = tuple(dict.fromkeys(held.id for _, held in self.issued.values()))
        return Done(
            exchange.thread if exchange else "", exchange.state if exchange else "", issued, tuple(self.jobs)
        )

    def may_open(self, protocol: Protocol, opener: str, other: str) -> None:
        """Raise `Forbidden` unless these two companies may begin such an exchange."""
        if protocol.name == INTRODUCTION.name:
            return
        if not opener or not other:
            raise Forbidden("the company has not introduced itself yet")
        authority = self.desk.authority()
        if protocol.name == MEMBERSHIP.name:
            if authority not in (other, "") or (other == self.desk.company.did and not authority):
                raise Forbidden("only the governance authority admits members")
            return
        for did, side in zip((opener, other), protocol.sides, strict=True):
            self.may_play(protocol, did, side)

    def may_play(self, protocol: Protocol, did: str, side: str) -> None:
        """Raise `Forbidden` unless a company is a member in good standing in a role that plays `side`."""
        entry = member(self.desk, did)
        name = entry.name if entry else did
        roles = roles_of(self.desk, did, self.desk.authority())
        if not roles:
            ours = did == self.desk.company.did
            raise Forbidden("we are not a member yet" if ours else "the company is not a member")
        framework = self.desk.framework()
        if entry and not framework.may_deal(entry.status):
            raise Forbidden("{name} is no member in good standing: {status}", name=name, status=entry.status)
        if not any(framework.may_play(role, protocol.name, side) for role in roles):
            raise Forbidden(
                "{name} is not admitted as {side} in {protocol}", name=name, side=side, protocol=protocol.name
            )

    # What a peer sends

    def receive(self, peer: Peer, parcel: Parcel) -> Verdict | None:
        """Take in one parcel: once, in its turn, and only when all of it is right.

        None means that it cannot be judged before the peer's verdict on one of our messages is here, or
        before what its statements need can be looked up.
        """
        if (before := self.desk.letter(peer.id, parcel.id)) is not None:
            if not is_same(before, parcel):
                known = Invalid("another message has had this id before")
                return Verdict(parcel.id, known.code, known.template, {})
            if before.status == "refused":
                return _told(parcel.id, before.problem)
            return Verdict(parcel.id)
        exchange = self.desk.exchange(parcel.thread)
        due = 1 if exchange is None else len(exchange.by(exchange.protocol.other(exchange.side))) + 1
        stranger = exchange is not None and exchange.peer != peer.id
        early = due < parcel.order <= due + MOST_EARLY
        if exchange is None:
            early = early and self.may_wait(peer, parcel)
        if early and not stranger and not self.opening_was_refused(peer, parcel):
            self.post_in(peer, parcel, "waiting", whole=True)
            return Verdict(parcel.id)
        verdict = self.take(peer, parcel, exchange, due)
        if verdict is not None:
            self.drain(peer, parcel.thread, parcel.order + 1)
        return verdict

    def drain(self, peer: Peer, thread: str, order: int) -> None:
        """Take the messages that had arrived early and are due now."""
        while (early := self.desk.waiting(peer.id, thread, order)) is not None:
            verdict = self.take(peer, parcel_from(early), self.desk.exchange(thread), order)
            if verdict is None:
                return
            if not verdict.taken:
                self.late.append(verdict)
            order += 1

    def may_wait(self, peer: Peer, parcel: Parcel) -> bool:
        """Say whether a message may wait for the one that opens its exchange; a stranger's only if small."""
        if roles_of(self.desk, peer.did, self.desk.authority()):
            return True
        bare = not parcel.credentials and not parcel.enclosures
        small = len(json.dumps(dict(parcel.body), default=str)) <= MOST_KEPT
        return bare and small and parcel.type.startswith(f"{MEMBERSHIP.uri}/") and bool(peer.did)

    def opening_was_refused(self, peer: Peer, parcel: Parcel) -> bool:
        return any(
            letter.peer == peer.id and letter.order == 1 and letter.status == "refused"
            for letter in self.desk.letters(parcel.thread, outward=False)
        )

    def take(self, peer: Peer, parcel: Parcel, exchange: Exchange | None, due: int) -> Verdict | None:
        """Take a parcel whose turn it is, or refuse it; either way it has had its turn."""
        try:
            protocol, message = read_message(parcel)
            if exchange is None:
                exchange = self.begin(peer, parcel, protocol, message)
            elif exchange.peer != peer.id or exchange.protocol is not protocol:
                raise Unknown("there is no such exchange with you")
            elif parcel.order < due:
                raise Misstep("message {order} came where {due} was due", order=parcel.order, due=due)
            sender = protocol.other(exchange.side)
            said = Said(parcel.id, sender, parcel.order, parcel.seen, message)
            after = exchange.after(said)
            for enclosure in parcel.enclosures:
                if enclosure.problem:
                    raise Invalid(
                        "the file “{name}” {problem}", name=enclosure.name, problem=enclosure.problem
                    )
            credentials = self.check_credentials(peer, parcel, protocol, message)
            if isinstance(message, Ask):
                credentials = self.check_asker(peer, parcel, message)
        except Misstep as misstep:
            if exchange is not None and self.unheard(exchange, parcel):
                return None
            return self.refuse(peer, parcel, exchange, due, misstep)
        except Unavailable as trouble:
            LOG.warning("message %s cannot be judged now: %s", parcel.id, trouble)
            return None
        except Fault as fault:
            return self.refuse(peer, parcel, exchange, due, fault)
        try:
            with self.desk.savepoint():
                self.settle_in(peer, parcel, exchange, after, credentials)
        except Fault as fault:
            return self.refuse(peer, parcel, exchange, due, fault)
        return Verdict(parcel.id)

    def unheard(self, exchange: Exchange, parcel: Parcel) -> bool:
        """Say whether the peer has judged a message of ours that this one builds on, and not told us yet.

        It may have refused ours: its next step would then look out of step here only until we know.
        """
        ours = self.desk.letters(exchange.thread, outward=True)
        return any(letter.status == "queued" and letter.order <= parcel.seen for letter in ours)

    def settle_in(
        self,
        peer: Peer,
        parcel: Parcel,
        before: Exchange,
        after: Exchange,
        credentials: tuple[Held, ...],
    ) -> None:
        """Save what came and do this company's duty about it, unless it was overtaken."""
        said = after.said[-1]
        for held in credentials:
            self.keep(held)
        evidence = tuple(self.note_evidence(peer, parcel))
        self.post_in(peer, parcel, "taken", tuple(held.id for held in credentials))
        self.save(after, said)
        for one in self.turn(before, after):
            if one.id == said.id:
                self.heed(after, said, credentials, evidence)
            else:
                self.heed_late(after, one)

    def turn(self, before: Exchange, after: Exchange) -> list[Said]:
        """Take back what rests on messages that count no more; return the peer's that count only now."""
        stood, stand = ({said.id for said in exchange.standing} for exchange in (before, after))
        for said in reversed(before.standing):
            if said.id not in stand:
                self.take_back(after, said)
        return [said for said in after.standing if said.id not in stood and said.sender != after.side]

    def take_back(self, exchange: Exchange, said: Said) -> None:
        """Annul the events that were recorded with a message, the latest first; revoke what it issued."""
        words = why_void(exchange, said)
        issued = self.desk.issued_with(said.id)
        standing_ = [
            one for one in issued if not self.was_revoked(one) and "credentialStatus" in one.document
        ]
        self.mark(standing_, "revoked", words)
        for code in reversed(named(exchange)):
            life = Life(code, kind_of(code), self.desk.events(code, ours=True))
            for event in reversed(life.standing):
                if event.message == said.id:
                    self.annul(event, words)

    def was_revoked(self, held: Held) -> bool:
        found = self.desk.standing(held.id)
        return found is not None and found.what == "revoked"

    def mark(self, held: Sequence[Held], what: Change, reason: str, successor: str = "") -> None:
        """Say in our status lists what becomes of credentials of ours, and of what is published of them."""
        shown = [
            edition
            for one in held
            for edition in self.desk.credentials(one.id)
            if not edition.source and not (what == "revoked" and self.was_revoked(edition))
        ]
        if held:
            self.marked |= standing.mark(
                self.desk,
                self.agent.signer,
                (*held, *shown),
                what,
                who=self.user,
                reason=reason,
                successor=successor,
            )

    def annul(self, event: Event, words: str) -> None:
        try:
            self.record(
                Event(
                    item=event.item,
                    kind=event.kind,
                    what=ANNULLED,
                    when=self.desk.now,
                    who=self.desk.company.name,
                    how=words,
                    exchange=event.exchange,
                    corrects=event.id,
                )
            )
        except Misstep as misstep:
            # What rests on it was done by people, who see the message's fate in the exchange.
            # Logs are read by more people than the books: no codes, no words of a deal.
            LOG.warning("event %s stays on record: %s", event.id, misstep.template)

    def heed(
        self,
        exchange: Exchange,
        said: Said,
        credentials: tuple[Held, ...],
        evidence: tuple[Evidence, ...],
    ) -> None:
        """Do this company's duty about a message of the peer."""
        self.cause = said.id
        case = Case(self.desk, "", exchange, self.desk.peer(exchange.peer), credentials, evidence)
        self.apply(self.agent.play.answer(said.message, case), exchange)

    def heed_late(self, exchange: Exchange, said: Said) -> None:
        """Do the duty about a message taken long ago that counts only now."""
        letter = self.desk.letter(exchange.peer, said.id)
        credentials = [self.desk.credential(id) for id in letter.credentials] if letter else []
        evidence = [self.desk.evidence(digest) for digest in letter.evidence] if letter else []
        try:
            with self.desk.savepoint():
                self.heed(
                    self.desk.exchange(exchange.thread) or exchange,
                    said,
                    tuple(held for held in credentials if held),
                    tuple(file for file in evidence if file),
                )
        except Fault as fault:
            LOG.warning("message %s counts again, but nothing could be done: %s", said.id, fault.template)

    def begin(self, peer: Peer, parcel: Parcel, protocol: Protocol, message: Message) -> Exchange:
        """Return the exchange a first message opens, if its sender may open it."""
        opens = protocol is not RECEIPT and type(message) in protocol.may_send("new", protocol.opener)
        if parcel.order != 1 or not opens:
            raise Unknown("there is no such exchange with you")
        self.may_open(protocol, peer.did, self.desk.company.did)
        return Exchange(parcel.thread, protocol, protocol.other(protocol.opener), peer.id)

    def refuse(
        self, peer: Peer, parcel: Parcel, exchange: Exchange | None, due: int, fault: Fault
    ) -> Verdict:
        """Refuse a parcel; in a running exchange it keeps its place in its sender's order."""
        values = {name: str(value) for name, value in fault.values.items()}
        verdict = Verdict(parcel.id, fault.code, fault.template, values)
        problem = noted(verdict)
        self.post_in(peer, parcel, "refused", problem=problem, brief=exchange is None)
        if exchange is not None and exchange.peer == peer.id and exchange.said and parcel.order == due:
            sender = exchange.protocol.other(exchange.side)
            said = Said(parcel.id, sender, parcel.order, parcel.seen, Unreadable(), void=problem)
            after = exchange.after(said)
            self.save(after, after.said[-1])
        return verdict

    def check_credentials(
        self, peer: Peer, parcel: Parcel, protocol: Protocol, message: Message
    ) -> tuple[Held, ...]:
        """Return the attached credentials, each verified, issued by a company that may, and in its place."""
        if parcel.credentials and not message.carries:
            raise Invalid("sealed statements do not go with “{kind}”", kind=message.kind)
        # Each costs us a signature or more to check, so those whom anybody can be bring few.
        open_to_all = protocol.name in (INTRODUCTION.name, MEMBERSHIP.name)
        if open_to_all and len(parcel.credentials) > MOST_BY_STRANGERS:
            raise Invalid("more statements are attached than the {limit} we take", limit=MOST_BY_STRANGERS)
        trusted = peer.did if protocol.name == MEMBERSHIP.name else ""
        # For strangers nothing is fetched but their DIDs: no status lists, whose addresses they choose.
        if not roles_of(self.desk, peer.did, self.desk.authority() or trusted) and any(
            "credentialStatus" in document for document in parcel.credentials
        ):
            raise Invalid("an attached credential has a status, which is looked up for members only")
        held = []
        for document in parcel.credentials:
            try:
                type_, issuer = self.agent.check(document, self.desk, self.known, trusted)
            except Unavailable:
                if not self.known.wanted:
                    raise
                continue
            if type_ not in message.carries:
                raise Invalid("an attached {type} does not go with “{kind}”", type=type_, kind=message.kind)
            if is_envelope(document):
                if not message.limited:
                    raise Invalid("an attached {type} is for one reader alone", type=type_)
                if not bound.is_for(document, self.agent.signer):
                    raise Forbidden("an attached {type} is bound to another key than ours", type=type_)
            one = _held(document, type_, issuer, self.desk.now, peer.id, parcel.thread)
            if (known := self.desk.credential(one.id)) is not None and known.issuer != issuer:
                # Ids are chosen by issuers: who takes another's gets neither its place nor in its way.
                one = replace(one, id=f"{one.id}#{one.digest}")
            held.append(one)
        if self.known.wanted:
            raise Wanting
        return tuple(held)

    def check_asker(self, peer: Peer, parcel: Parcel, asked: Ask) -> tuple[Held, ...]:
        """Return the accreditation by which a company shows who asks; none where it shows nothing."""
        held = []
        for document in bound.shown_by(asked, parcel.thread, peer.did, self.desk, self.known):
            type_, issuer = self.agent.entitled(document, self.desk)  # its seal held with the presentation's
            one = _held(document, type_, issuer, self.desk.now, peer.id)
            if (type_, one.about) != ("Accreditation", peer.did):
                raise Forbidden("the presentation of who asks shows something else than its accreditation")
            held.append(one)
        return tuple(held)

    def note_evidence(self, peer: Peer, parcel: Parcel) -> Sequence[Evidence]:
        """Note the files a parcel brought, or says where to fetch."""
        noted = []
        for enclosure in parcel.enclosures:
            known = self.desk.evidence(enclosure.digest)
            held = enclosure.held or (known is not None and known.state == "held")
            entry = Evidence(
                enclosure.digest,
                enclosure.name,
                enclosure.media_type,
                enclosure.size,
                "held" if held else "awaited",
            )
            self.desk.keep_evidence(entry, link=enclosure.link, key=enclosure.key, peer=peer.id)
            noted.append(entry)
        return noted

    def post_in(
        self,
        peer: Peer,
        parcel: Parcel,
        status: Delivery,
        credentials: tuple[str, ...] = (),
        *,
        problem: str = "",
        whole: bool = False,
        brief: bool = False,
    ) -> None:
        """Write the inbox row of a parcel."""
        protocol, _ = MESSAGES.get(parcel.type, (None, None))
        body = parcel_to_json(parcel) if whole else json.dumps(dict(parcel.body), default=str)
        if brief:
            body = in_brief(body)
        self.desk.post(
            Letter(
                peer=peer.id,
                id=parcel.id,
                outward=False,
                thread=parcel.thread,
                protocol=protocol.name if protocol else "",
                kind=parcel.type.rpartition("/")[2],
                order=parcel.order,
                seen=parcel.seen,
                body=body,
                credentials=credentials,
                evidence=tuple(enclosure.digest for enclosure in parcel.enclosures),
                status=status,
                problem=problem,
                at=self.desk.now,
                attempts=0,
                next_at=self.desk.now,
            )
        )

    # What follows from either

    def apply(  # noqa: PLR0915, one case each effect
        self, effects: Sequence[Effect], exchange: Exchange | None
    ) -> Exchange | None:
        """Carry out effects, and return the exchange they belong to as it then stands."""
        for effect in effects:
            match effect:
                case Send():
                    if effect.thread is None or (exchange and effect.thread == exchange.thread):
                        if exchange is None:
                            raise Unknown("no exchange was named")
                        exchange = self.send(effect, exchange)
                    else:
                        other = self.desk.exchange(effect.thread)
                        if other is None:
                            raise Unknown("there is no exchange “{thread}” here", thread=effect.thread)
                        self.send(effect, other)
                case Issue():
                    self.issue(effect, self.cause if exchange is not None else "")
                case Mark():
                    held = self.desk.credential(effect.credential)
                    if held is None or held.source or held.issuer != self.desk.company.did:
                        raise Unknown("we issued no credential “{id}”", id=effect.credential[:80])
                    successor = self.issue(effect.successor).id if effect.successor else ""
                    self.mark((held,), effect.what, effect.reason, successor)
                case Record():
                    event = effect.event
                    cause = self.cause if event.exchange else ""
                    self.record(event.model_copy(update={"message": cause}) if cause else event)
                case Identify():
                    if exchange is not None:
                        self.desk.identify(exchange.peer, effect.did, effect.name)
                case Trust():
                    if not self.desk.authority():
                        self.desk.set("authority", effect.did)
                case Adopt():
                    self.adopt(effect.credential)
                case Keep():
                    self.desk.keep_measurement(effect.item, effect.digest, effect.measurement)
                case AdoptModel():
                    self.adopt_model(effect)
                case SetAside():
                    if not self.desk.set_model_aside(effect.digest):
                        raise Unknown("no model {digest} is in use here", digest=effect.digest[:80])
                case Qualify():
                    self.desk.qualify(effect.worker, effect.qualification)
                case Publish():
                    one = effect.credential
                    self.publish(self.issue(one).id if isinstance(one, Issue) else one)
                case Unpublish():
                    self.desk.unpublish(effect.credential)
                case PublishAlways():
                    for name in effect.claim_types:
                        self.may_publish(name)
                    self.desk.set(ALWAYS_PUBLISHED, json.dumps(effect.claim_types))
                case Start():
                    self.jobs.append(self.desk.start(effect.job, effect.details))
                case Stop():
                    self.stop(effect.job)
                case Note():
                    self.desk.keep_note(effect.name, effect.value)
        return exchange

    def send(self, effect: Send, exchange: Exchange) -> Exchange:
        """Save a message of ours, to be carried once the transaction stands."""
        id, self.promised = self.promised or str(uuid4()), ""
        message = effect.message
        if effect.presents and isinstance(message, Ask):
            message = bound.presented(message, exchange, self.desk, self.agent.signer)
        after = exchange.say(id, message)
        said = after.said[-1]
        for digest_ in effect.evidence:
            file = self.desk.evidence(digest_)
            if file is None or file.state != "held":
                raise Unknown("we have no file {digest}", digest=digest_[:64])
        attached = tuple(self.attached(one, id, exchange, message) for one in effect.credentials)
        now = self.desk.now
        self.desk.post(
            Letter(
                peer=exchange.peer,
                id=id,
                outward=True,
                thread=exchange.thread,
                protocol=exchange.protocol.name,
                kind=message.kind,
                order=said.order,
                seen=said.seen,
                body=message.model_dump_json(),
                credentials=attached,
                evidence=effect.evidence,
                status="queued",
                problem="",
                at=now,
                attempts=0,
                next_at=now,
            )
        )
        self.save(after, said)
        self.wake.add(exchange.peer)
        return after

    def attached(self, one: str | Issue | Reveal, id: str, exchange: Exchange, message: Message) -> str:
        """Return the id of the credential that goes with the message of this id."""
        match one:
            case Issue():
                return self.issue(one, id).id
            case Reveal():
                until = bound.end_of(message, self.desk.now)
                document = bound.revealed(one, exchange, self.desk, self.agent.signer, self.known, until)
                said = envelope.said(document)
                held = _held(document, said["type"][1], said["issuer"], self.desk.now, "", exchange.thread)
                self.keep(held, id)
                return held.id
        return one

    def issue(self, effect: Issue, message: str = "") -> Held:
        """Seal a claim, which stands or falls with a message unless it is lasting.

        The same effect named twice in one transaction is one credential.
        """
        if (made := self.issued.get(id(effect))) is not None:
            return made[1]
        held = self.sealed(effect)
        self.keep(held, "" if effect.lasting else message)
        if held.type in ("MembershipRegister", "GovernanceFramework"):
            self.adopt(held)
        if held.type in always_published(self.desk):
            self.publish(held.id)
        self.issued[id(effect)] = effect, held
        return held

    def sealed(self, effect: Issue) -> Held:
        """Return a claim of ours, sealed."""
        type_ = type(effect.claim).__name__
        company = self.desk.company
        roles = roles_of(self.desk, company.did, self.desk.authority())
        framework = self.desk.framework()
        if type_ != "Introduction" and not any(framework.may_issue(r, type_) for r in roles):
            raise Forbidden("we may not issue “{type}”", type=type_)
        if not its_own(effect.claim, company.did):
            raise Invalid("“{type}” would state what we cannot", type=type_)
        about = (
            effect.about if effect.about.startswith(("did:", "urn:")) else item_uri(company.did, effect.about)
        )
        subject = {"id": about} | effect.claim.model_dump(mode="json", exclude_none=True)
        document = seal(
            credential(
                company.did,
                (type_,),
                subject,
                id=f"urn:uuid:{uuid4()}",
                valid_from=self.desk.now,
                status=self.entries(type_),
                contexts=(CONTEXT,),
            ),
            self.agent.signer,
            created=self.desk.now,
        )
        return _held(document, type_, company.did, self.desk.now, "")

    def publish(self, id: str) -> None:
        """Show a credential to everyone, if it is our own and of a type that may be."""
        held = self.desk.credential(id)
        if held is None:
            raise Unknown("there is no credential “{id}” here", id=id[:80])
        if held.issuer != self.desk.company.did:
            raise Forbidden("only its issuer publishes a statement")
        self.may_publish(held.type)
        shown = self.edition(held)
        if not self.desk.published(id=shown.id):
            self.desk.publish(shown.id, held.about)

    def edition(self, held: Held) -> Held:
        """Return a statement as everyone may see it: itself, or one without the fields that not everyone may.

        What is sealed shows whole or not at all, so such an edition is a statement of its own. It is kept as
        one about the statement, not about the item: whoever asks of the item gets the whole.
        """
        opening = self.desk.framework().opening
        claim = {name: value for name, value in held.claim.items() if name != "id"}
        open_ = {name: value for name, value in claim.items() if opening(held.type, name) == "public"}
        if all(value in ("", [], {}, None) for name, value in claim.items() if name not in open_):
            return held
        try:
            fewer = CLAIMS[held.type].model_validate(open_)
        except ValidationError as error:
            raise Forbidden(
                "“{type}” cannot be shown to everyone without what is not for everyone", type=held.type
            ) from error
        stated = fewer.model_dump(mode="json", exclude_none=True)
        for known in self.desk.credentials(held.id, held.type):
            if {name: value for name, value in known.claim.items() if name != "id"} == stated:
                return known
        made = replace(self.sealed(Issue(fewer, held.about)), about=held.id)
        self.desk.keep_credential(made)
        return made

    def may_publish(self, type_: str) -> None:
        """Raise `Forbidden` for a type of statement that the framework does not open to everyone."""
        if not self.desk.framework().may_publish(type_):
            raise Forbidden("the framework does not let “{type}” be shown to everyone", type=type_)

    def entries(self, type_: str) -> Sequence[Mapping[str, str]]:
        """Return the status entries of a new credential."""
        if type_ in standing.WITHOUT:
            return ()
        return standing.entries(self.desk, self.agent.signer, self.agent.site)

    def record(self, event: Event) -> None:
        """Append an event to an item's life here, if the table of its kind lets it follow."""
        life = Life(event.item, event.kind, self.desk.events(event.item, ours=True))
        life.after(event, self.desk.qualifications(event.who))
        self.desk.keep_event(event)

    def keep(self, held: Held, message: str = "") -> None:
        """Keep a credential and what it makes known: an item, or an item's events.

        What was sealed for one reader alone, under a contract, makes nothing known beyond its exchange.
        """
        self.desk.keep_credential(held, message)
        if held.bound:
            return
        if held.type == "ItemIdentity":
            claim = ItemIdentity.model_validate(held.claim)
            mass = str(claim.mass_kg) if claim.mass_kg is not None else None
            self.desk.keep_item(
                Item(
                    claim.item,
                    claim.kind,
                    held.issuer,
                    claim.part_of,
                    claim.made_of,
                    claim.position,
                    claim.model,
                    claim.chemistry,
                    mass,
                )
            )
        elif held.type == "HandlingRecord" and held.source and held.issuer != self.desk.company.did:
            for event in HandlingRecord.model_validate(held.claim).events:
                self.desk.keep_event(event, source=held.id)

    def stop(self, id: str) -> None:
        """Stop a job for good, unless it has ended."""
        job = self.desk.job(id)
        if job is not None and job.state in {"queued", "running"}:
            self.halted.append(id)
            self.desk.note_job(id, "stopped", job.progress)

    def adopt(self, held: Held) -> None:
        """Hold what binds us all if the authority we trust signed it and it is newer than ours."""
        if held.issuer != self.desk.authority():
            raise Forbidden("the {type} is not signed by the governance authority", type=held.type)
        if held.type == "GovernanceFramework":
            stated = GovernanceFramework.model_validate(held.claim)
            if self.desk.frameworks().takes(stated, moment(held.document["validFrom"])):
                known = json.loads(self.desk.setting("frameworks") or "[]")
                self.desk.set("frameworks", json.dumps([*known, (held.id, held.digest)]))
            return
        register = MembershipRegister.model_validate(held.claim)
        if register.version > int(self.desk.setting("register-version") or 0):
            self.desk.set("register-version", str(register.version))
            self.desk.set("register", register.model_dump_json())

    def adopt_model(self, effect: AdoptModel) -> None:
        """Use a model from now on, if the statement that vouches for it holds and is about this model."""
        if effect.credential is None:
            held = self.issue(Issue(effect.statement, effect.about))
        else:
            document = effect.credential
            try:
                type_, issuer = self.agent.check(document, self.desk, self.known, vouched=effect.vouched)
            except Unavailable:
                if self.known.wanted:
                    raise Wanting from None
                raise
            held = _held(document, type_, issuer, self.desk.now, "")
            if type_ != "SohModel" or SohModel.model_validate(held.claim) != effect.statement:
                raise Invalid("the statement that came with the model is about another one")
            if effect.vouched not in ("", issuer):
                raise Invalid("the model is not signed by {signer}", signer=effect.vouched[:200])
            self.keep(held)
        said = effect.statement
        self.desk.keep_model(
            Adopted(said.model_digest, said.cell_model, held.issuer, held.id, self.desk.now), effect.document
        )

    def is_built_upon(self, peer: str, id: str) -> bool:
        """Say whether the peer has said what it could not have said had it refused this message of ours.

        What crossed ours is overtaken without it, or stands anyway; only what leaned on it fits nowhere.
        So nobody unmakes what both sides have settled.
        """
        letter = self.desk.letter(peer, id)
        exchange = self.desk.exchange(letter.thread) if letter and letter.outward else None
        if exchange is None:
            return False
        after = exchange.voided(id, "refused")
        counting = {said.id for said in (*after.standing, *after.overtaken)}
        return any(s.sender != exchange.side and s.id not in counting for s in exchange.standing)

    def void(self, letter: Letter) -> None:
        """Take back a message of ours that the peer refused."""
        exchange = self.desk.exchange(letter.thread)
        if exchange is None:
            return
        after = exchange.voided(letter.id, letter.problem)
        self.save(after, next(s for s in after.said if s.id == letter.id))
        for said in self.turn(exchange, after):
            self.heed_late(after, said)
        peer = self.desk.peer(letter.peer)
        if peer is not None:
            theirs = after.by(after.protocol.other(after.side))
            self.drain(peer, letter.thread, len(theirs) + 1)

    def save(self, exchange: Exchange, said: Said) -> None:
        """Save an exchange, what it is about, and whether something is for us to do."""
        ours = any(action.goes_on for action in self.agent.play.fitting(exchange))
        self.desk.save(exchange, said, about=about(exchange), ours=ours)


def always_published(desk: Desk) -> tuple[str, ...]:
    """Return the types of statement that are published as soon as we make them."""
    return tuple(json.loads(desk.setting(ALWAYS_PUBLISHED) or "[]"))


def about(exchange: Exchange) -> str:
    """Return the code of the item or lot an exchange is about, or nothing."""
    for said in exchange.standing:
        for name in ("pack", "lot", "item"):
            if code := getattr(said.message, name, ""):
                return str(code)
    return ""


def named(exchange: Exchange) -> tuple[str, ...]:
    """Return the codes of all items an exchange speaks of."""
    return find_codes("\n".join(said.message.model_dump_json() for said in exchange.said))


def why_void(exchange: Exchange, said: Said) -> str:
    """Return in words why a message of an exchange counts no more."""
    now = next(one for one in exchange.said if one.id == said.id)
    if now.void:
        return f"“{said.message.kind}” was refused: {told_of(now.void)}"[:1000]
    if now in exchange.overtaken:
        return f"“{said.message.kind}” was overtaken by a message of the other side"
    return f"“{said.message.kind}” built on a message that was refused"


def noted(verdict: Verdict) -> str:
    """Return what is kept of a refusal with its message; `told_of` reads it for people."""
    told = {"code": verdict.code, "template": verdict.template, "values": dict(verdict.values or {})}
    return json.dumps(told)


def told_of(problem: str) -> str:
    """Return in words what was wrong with a message: a template with its values, or plain words."""
    try:
        told = json.loads(problem)
        words, values = str(told["template"]), dict(told["values"] or {})
    except (ValueError, LookupError, TypeError):
        return problem
    for name, value in values.items():
        words = words.replace(f"{{{name}}}", str(value))
    return words


def fell(standing: Standing | None) -> str:
    """Return what keeps a credential from holding: revoked, suspended, or nothing."""
    return standing.what if standing is not None and standing.what != "reinstated" else ""


def its_own(claim: Claim, issuer: str) -> bool:
    """Say whether a claim speaks only for its issuer, and of the item it is about."""
    match claim:
        case ItemIdentity():
            return claim.kind == kind_of(claim.item)
        case HandlingRecord():
            theirs = (claim.item, kind_of(claim.item), issuer)
            return all((event.item, event.kind, event.who) == theirs for event in claim.events)
        case HandOverReceipt():
            return issuer in (claim.from_did, claim.to_did)
        case MembershipRegister() | GovernanceFramework():
            return claim.did == issuer
    return True


def is_same(letter: Letter, parcel: Parcel) -> bool:
    """Say whether a parcel is the message that came before under its id."""
    body = json.loads(letter.body)
    if letter.status == "waiting":
        body = body["body"]
    kept = (letter.outward, letter.thread, letter.order, letter.kind, body)
    came = (False, parcel.thread, parcel.order, parcel.type.rpartition("/")[2])
    text = json.dumps(dict(parcel.body), default=str)
    return kept == (*came, json.loads(text)) or kept == (*came, json.loads(in_brief(text)))


def in_brief(body: str) -> str:
    """Return what is kept of a refused message that opened nothing: of a long one, only a digest."""
    return body if len(body) <= MOST_KEPT else json.dumps({"sha256": sha256(body.encode()).hexdigest()})


def roles_of(books: Books, did: str, authority: str) -> tuple[str, ...]:
    """Return the roles a company is admitted in, whatever its standing."""
    if did and did == authority:
        return ("governance-authority",)
    entry = member(books, did)
    return entry.roles if entry else ()


def find_peer(books: Books, to: str) -> Peer:
    """Return the one peer meant by an id, a DID or a company's name."""
    peers = books.peers() if to else []
    # What a company calls itself proves nothing: no name stands in the way of an id or a DID.
    found = [peer for peer in peers if to in (peer.id, peer.did)] or [p for p in peers if p.name == to]
    if len(found) > 1:
        raise Invalid("“{name}” is the name of several companies; give its DID", name=to[:80])
    if not found:
        raise Unknown("we know no company “{name}”", name=to[:80])
    return found[0]


def read_form[F: BaseModel](form: type[F], data: Mapping[str, object]) -> F:
    """Return the form filled with `data`, or raise `Invalid` naming each field that is wrong."""
    try:
        return form.model_validate(data, extra="forbid")
    except ValidationError as error:
        raise Misfilled(error) from error


class Misfilled(Invalid):
    """A form with wrong fields; `fields` maps each to what is wrong with it."""

    def __init__(self, error: ValidationError) -> None:
        self.fields = {
            ".".join(str(part) for part in found["loc"]) or "form": found["msg"].removeprefix("Value error, ")
            for found in error.errors(include_url=False, include_context=False, include_input=False)
        }
        super().__init__(
            "please correct: {fields}", fields="; ".join(f"{k}: {v}" for k, v in self.fields.items())
        )


def is_part(error: ValidationError) -> bool:
    """Say whether nothing is wrong with a claim but that some of it is missing."""
    return all(found["type"] == "missing" for found in error.errors(include_url=False, include_input=False))


def first_words(error: ValidationError) -> str:
    """Return the first thing that is wrong, with its place."""
    found = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in found["loc"])
    return f"{place}: {found['msg'].removeprefix('Value error, ')}" if place else found["msg"]


def read_message(parcel: Parcel) -> tuple[Protocol, Message]:
    """Return a parcel's protocol and message, or raise `Invalid` or `Unknown`."""
    found = MESSAGES.get(parcel.type)
    if found is None:
        raise Unknown("we do not speak {type}", type=parcel.type[:120])
    protocol, body = found
    try:
        return protocol, body.model_validate(parcel.body)
    except ValidationError as error:
        raise Invalid("not a valid {kind}: {words}", kind=body.kind, words=first_words(error)) from error


def issuer_of(document: Mapping[str, Any]) -> str:
    """Return a credential's issuer."""
    issuer = document["issuer"]
    return str(issuer["id"] if isinstance(issuer, Mapping) else issuer)


def suites_of(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the suites of a document's seals, or the type of the token in it."""
    if is_envelope(document):
        return (suite(document),)
    proofs = document.get("proof") or ()
    return tuple(
        str(proof.get("cryptosuite", ""))
        for proof in (proofs if isinstance(proofs, list) else (proofs,))
        if isinstance(proof, Mapping)
    )


def _held(
    document: Mapping[str, Any], type_: str, issuer: str, at: datetime, source: str, thread: str = ""
) -> Held:
    about = thread if is_envelope(document) else _about(document)
    return Held(
        str(envelope.said(document)["id"]), type_, about, issuer, at, digest(document), document, source
    )


def _about(document: Mapping[str, Any]) -> str:
    subject = envelope.said(document)["credentialSubject"]
    return str(subject.get("item") or subject.get("did") or subject.get("subject") or subject.get("id", ""))


def _told(id: str, problem: str) -> Verdict:
    told = json.loads(problem)
    return Verdict(id, told["code"], told["template"], told["values"])


def parcel_to_json(parcel: Parcel) -> str:
    """Write a parcel that waits for its turn; its files are in the vault already."""
    return json.dumps(asdict(parcel), default=dict)


def parcel_from(letter: Letter) -> Parcel:
    """Read a parcel that has waited for its turn."""
    fields = json.loads(letter.body)
    enclosures = tuple(Enclosure(**enclosure) for enclosure in fields.pop("enclosures"))
    return Parcel(**(fields | {"credentials": tuple(fields["credentials"]), "enclosures": enclosures}))
