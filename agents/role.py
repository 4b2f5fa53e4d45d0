"""A role is data: what a company can do, what it does when a message comes, and what it may look at.

Actions and duties are pure: they read the books they are given, and return effects. The service applies
all the effects of one action or message in one transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel

from credentials.envelope import is_envelope, said
from governance.framework import Framework
from governance.versions import Versions
from protocols.exchange import Because, Exchange, Message
from protocols.exchange import Protocol as Table
from schemas.claims import Claim, Member, SohModel
from schemas.errors import Unknown
from schemas.events import Event
from schemas.items import Kind

Rank = Literal["operator", "manager", "admin"]
RANKS: tuple[Rank, ...] = ("operator", "manager", "admin")


@dataclass(frozen=True)
class Company:
    """Whose agent this is."""

    did: str
    name: str
    roles: tuple[str, ...]


@dataclass(frozen=True)
class Peer:
    """A connected agent; `did` is empty until it has proved which company it is."""

    id: str
    connection: str
    our_did: str
    their_did: str
    did: str = ""
    name: str = ""


@dataclass(frozen=True)
class Item:
    """An item as its identity credential tells it."""

    code: str
    kind: Kind
    registrar: str
    part_of: str | None = None
    made_of: tuple[str, ...] = ()
    position: str = ""
    model: str = ""
    chemistry: str = ""
    mass_kg: str | None = None


@dataclass(frozen=True)
class Held:
    """A credential we issued or were given; `source` is the peer it came from, empty if we issued it."""

    id: str
    type: str
    about: str
    issuer: str
    at: datetime
    digest: str
    document: Mapping[str, Any]
    source: str = ""

    @property
    def claim(self) -> Mapping[str, Any]:
        """Return what it states."""
        subject: Mapping[str, Any] = said(self.document)["credentialSubject"]
        return subject

    @property
    def bound(self) -> bool:
        """Say whether it was sealed for one reader alone; it then belongs to its exchange alone."""
        return is_envelope(self.document)


type Change = Literal["revoked", "suspended", "reinstated"]


@dataclass(frozen=True)
class Standing:
    """What became of a credential: what we said of ours, or when we first saw what another's list says.

    `who` and `reason` are ours alone and never published; `successor` is the credential in its place.
    """

    credential: str
    what: Change
    at: datetime
    who: str = ""
    reason: str = ""
    successor: str = ""


@dataclass(frozen=True)
class Evidence:
    """A file known by its digest (sha-256, hex); `state` tells whether we hold its bytes."""

    digest: str
    name: str
    media_type: str
    size: int
    state: Literal["held", "awaited", "refused"] = "held"


@dataclass(frozen=True)
class Publication:
    """That a credential of ours is shown to everyone (`held`), or no more, as the last thing said of it.

    `number` counts every such change, so that who has read up to one can go on from there.
    """

    number: int
    id: str
    at: datetime
    held: Held | None


@dataclass(frozen=True)
class Dealing:
    """An exchange in brief, for lists."""

    thread: str
    protocol: str
    side: str
    peer: str
    state: str
    about: str
    ours: bool
    opened: datetime
    updated: datetime


JobState = Literal["queued", "running", "done", "failed", "stopped"]


@dataclass(frozen=True)
class Job:
    """A long piece of work, resumed after a crash until it is done."""

    id: str
    job: str
    details: Mapping[str, Any]
    state: JobState
    progress: Mapping[str, Any]
    at: datetime


@dataclass(frozen=True)
class Adopted:
    """A trained model of states of health that we adopted; `credential` names the statement that vouches."""

    digest: str
    cell_model: str
    signer: str
    credential: str
    at: datetime
    in_use: bool = True


class Books(Protocol):
    """What a role may look at: this company's own records, as they stand in the present transaction."""

    @property
    def company(self) -> Company:
        """Return whose books these are."""
        ...

    @property
    def now(self) -> datetime:
        """Return the time of this transaction, in UTC."""
        ...

    def exchange(self, thread: str) -> Exchange | None:
        """Return one exchange."""
        ...

    def dealings(
        self,
        protocol: str | None = None,
        states: Sequence[str] = (),
        about: str | None = None,
        ours: bool | None = None,
        limit: int = 1000,
        offset: int = 0,
    ) -> list[Dealing]:
        """List exchanges, the latest change first."""
        ...

    def peer(self, id: str) -> Peer | None:
        """Return one connected agent by its id."""
        ...

    def peers(self) -> list[Peer]:
        """List the connected agents."""
        ...

    def members(self) -> tuple[Member, ...]:
        """List the companies of the register we hold."""
        ...

    def authority(self) -> str:
        """Return the DID of the governance authority we trust, or nothing."""
        ...

    def frameworks(self) -> Versions:
        """Return the versions of the governance framework that we hold."""
        ...

    def framework(self, at: datetime | None = None) -> Framework:
        """Return the version of the governance framework that holds now, or held at a moment."""
        ...

    def item(self, code: str) -> Item | None:
        """Return one item."""
        ...

    def items(
        self,
        kind: str | None = None,
        part_of: str | None = None,
        text: str = "",
        limit: int = 1000,
        offset: int = 0,
    ) -> list[Item]:
        """List items."""
        ...

    def containers(self, code: str) -> list[Item]:
        """List the lots and products made of an item."""
        ...

    def events(self, item: str, *, ours: bool = False) -> tuple[Event, ...]:
        """Return what happened to an item, oldest first; only what we recorded ourselves if asked."""
        ...

    def qualifications(self, worker: str) -> frozenset[str]:
        """Return what a worker is trained for."""
        ...

    def credentials(self, about: str, type: str | None = None) -> list[Held]:
        """List the credentials about an item or company, oldest first."""
        ...

    def issued(self, issuer: str, type: str, since: date) -> list[Held]:
        """List the credentials of a type by one company that we have had since a day, oldest first."""
        ...

    def credential(self, id: str) -> Held | None:
        """Return one credential."""
        ...

    def credential_at(self, about: str, type: str, at: datetime) -> Held | None:
        """Return the newest credential of a type about a company that we had issued at a moment."""
        ...

    def published(self, about: str = "", id: str = "") -> list[Held]:
        """List our credentials that are shown to everyone: those about an item or company, or the one."""
        ...

    def publications(self, since: int = 0, limit: int = 1000) -> list[Publication]:
        """List what was published or taken back after change number `since`, in that order."""
        ...

    def in_force(self, about: str, type: str | None = None) -> list[Held]:
        """List those of these credentials that we do not know to be revoked or suspended."""
        ...

    def standing(self, credential: str) -> Standing | None:
        """Return what became of a credential last, or nothing where it was never revoked or suspended."""
        ...

    def evidence(self, digest: str) -> Evidence | None:
        """Return one file's entry."""
        ...

    def measurements(self, item: str, latest: int | None = None) -> list[Mapping[str, Any]]:
        """List the stored measurements of a cell, oldest first, each in its JSON form; or the latest few."""
        ...

    def note(self, name: str) -> Mapping[str, Any]:
        """Return what a role noted under a name; nothing where it has not."""
        ...

    def jobs(self, *states: JobState) -> list[Job]:
        """List jobs in these states (all if none is named), oldest first."""
        ...

    def models(self, cell_model: str | None = None, *, in_use: bool = False) -> list[Adopted]:
        """List the models of states of health we have adopted, oldest first."""
        ...

    def model(self, digest: str) -> Mapping[str, Any] | None:
        """Return one adopted model itself."""
        ...

    def prediction_inputs(self, subject: str) -> Mapping[str, Any] | None:
        """Return the kept inputs of the prediction about a pseudonym."""
        ...


def member(books: Books, did: str) -> Member | None:
    """Return a company's entry in the register."""
    return next((m for m in books.members() if m.did == did), None)


def ancestry(books: Books, code: str) -> list[Item]:
    """Return an item, then what it came out of, as far as we know it.

    Others tell us what is part of what, so the way up may lead in a circle; it is gone round once.
    """
    found: dict[str, Item] = {}
    item = books.item(code)
    while item is not None and item.code not in found:
        found[item.code] = item
        item = books.item(item.part_of) if item.part_of else None
    return list(found.values())


@dataclass(frozen=True)
class Issue:
    """Seal `claim`, about `about` (an item code, a DID or a URL), as a credential of ours.

    It is revoked when the message it goes with is refused or overtaken, unless it is `lasting`.
    """

    claim: Claim
    about: str
    lasting: bool = False


@dataclass(frozen=True)
class Mark:
    """Say in our status lists that a credential of ours is revoked, suspended, or in force again."""

    credential: str
    what: Change
    reason: str
    successor: Issue | None = None


@dataclass(frozen=True)
class Reveal:
    """Show these fields of a statement of ours, sealed for the key of who asked and for nobody else."""

    credential: str
    fields: tuple[str, ...]


@dataclass(frozen=True)
class Send:
    """Say `message` in `thread` (this one unless named), with credentials and files attached.

    `credentials` holds ids of credentials we have, claims to issue with this very message, or parts of ours
    to show. Where it `presents`, our accreditation goes with the message, bound to the question it asks.
    """

    message: Message
    credentials: "tuple[str | Issue | Reveal, ...]" = ()
    evidence: tuple[str, ...] = ()
    thread: str | None = None
    presents: bool = False


@dataclass(frozen=True)
class Record:
    """Append an event to an item's life."""

    event: Event


@dataclass(frozen=True)
class Identify:
    """The peer of this exchange has proved to be this company."""

    did: str
    name: str


@dataclass(frozen=True)
class Trust:
    """Take this company for the governance authority, unless one is trusted already."""

    did: str


@dataclass(frozen=True)
class Adopt:
    """Hold this register of members, or this version of the framework, if it is newer than what we hold."""

    credential: Held


@dataclass(frozen=True)
class Keep:
    """Keep a measurement (its JSON form) of a cell; it is never changed."""

    item: str
    digest: str
    measurement: Mapping[str, Any]


@dataclass(frozen=True)
class AdoptModel:
    """Use a model of states of health from now on.

    `credential` is the sealed statement that came with it, whose signer must be a member who may make it, or
    `vouched` for by a person here; without one, the model is ours and we seal `statement` ourselves.
    """

    document: Mapping[str, Any]
    statement: SohModel
    about: str
    credential: Mapping[str, Any] | None = None
    vouched: str = ""


@dataclass(frozen=True)
class SetAside:
    """Use a model no more; results by it stay."""

    digest: str


@dataclass(frozen=True)
class Start:
    """Have the agent begin a long piece of work, and resume it after a crash."""

    job: str
    details: Mapping[str, Any]


@dataclass(frozen=True)
class Stop:
    """Have the agent stop a long piece of work at once, for good."""

    job: str


@dataclass(frozen=True)
class Note:
    """Keep in mind what stands under a name, in place of what stood there; unlike a record it may change."""

    name: str
    value: Mapping[str, Any]


@dataclass(frozen=True)
class Qualify:
    """Note that a worker is trained for something."""

    worker: str
    qualification: str


@dataclass(frozen=True)
class Publish:
    """Show a credential of ours to everyone, at our own site."""

    credential: str | Issue


@dataclass(frozen=True)
class Unpublish:
    """Show a credential to everyone no more; who copied it meanwhile has it."""

    credential: str


@dataclass(frozen=True)
class PublishAlways:
    """From now on publish whatever we issue of these types."""

    claim_types: tuple[str, ...]


type Effect = (
    Send
    | Issue
    | Mark
    | Record
    | Identify
    | Trust
    | Adopt
    | Keep
    | Start
    | Stop
    | Note
    | Qualify
    | Publish
    | Unpublish
    | PublishAlways
    | AdoptModel
    | SetAside
)


@dataclass(frozen=True)
class Case:
    """What an action or duty is told: the books, and the exchange and peer it concerns."""

    books: Books
    user: str = ""
    exchange: Exchange | None = None
    peer: Peer | None = None
    credentials: tuple[Held, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def here(self) -> Exchange:
        """Return the exchange, where there must be one."""
        if self.exchange is None:
            raise Unknown("no exchange was named")
        return self.exchange

    @property
    def them(self) -> Peer:
        """Return the peer, where there must be one."""
        if self.peer is None:
            raise Unknown("no company was named")
        return self.peer


@dataclass(frozen=True)
class Action[F: BaseModel]:
    """One thing a person can do; its form drives the web page, the CLI and the REST route.

    With `protocol` and `opens`, it opens an exchange with a peer; with `protocol` alone, it goes on with
    one, wherever the table lets our side send one of `sends`; without, it concerns our own books only.
    """

    name: str
    title: str
    form: type[F]
    run: Callable[[F, Case], Sequence[Effect]]
    protocol: Table | None = None
    sends: tuple[type[Message], ...] = ()
    opens: bool = False
    rank: Rank = "operator"

    @property
    def side(self) -> str | None:
        """Name the side that takes this action."""
        steps = self.protocol.steps if self.protocol else ()
        return next((step.sender for step in steps if step.message in self.sends), None)

    @property
    def goes_on(self) -> bool:
        """Say whether it carries an exchange forward, instead of saying no or calling off, with a reason."""
        return not self.sends or not all(issubclass(message, Because) for message in self.sends)

    def fits(self, exchange: Exchange) -> bool:
        """Say whether the table lets us take this action now."""
        return (
            not self.opens
            and self.protocol is exchange.protocol
            and any(exchange.protocol.next_state(exchange.state, exchange.side, m) for m in self.sends)
        )


@dataclass(frozen=True)
class Duty[M: Message]:
    """What the agent does by itself when `on` arrives in `protocol`."""

    protocol: Table
    on: type[M]
    run: Callable[[M, Case], Sequence[Effect]]


@dataclass(frozen=True)
class Role:
    """Everything one kind of company does, and the sides it plays."""

    name: str
    actions: tuple[Action[Any], ...] = ()
    duties: tuple[Duty[Any], ...] = ()


@dataclass(frozen=True)
class Play:
    """The roles one company plays, as one."""

    roles: tuple[Role, ...]
    actions: Mapping[str, Action[Any]] = field(init=False)
    duties: Mapping[tuple[str, type[Message]], Duty[Any]] = field(init=False)

    def __post_init__(self) -> None:
        actions = {action.name: action for role in self.roles for action in role.actions}
        duties = {(duty.protocol.name, duty.on): duty for role in self.roles for duty in role.duties}
        object.__setattr__(self, "actions", actions)
        object.__setattr__(self, "duties", duties)

    def action(self, name: str) -> Action[Any]:
        """Return the action called `name`."""
        try:
            return self.actions[name]
        except KeyError:
            raise Unknown("this company has no action “{name}”", name=name[:60]) from None

    def fitting(self, exchange: Exchange) -> list[Action[Any]]:
        """List the actions open to us in an exchange."""
        return [action for action in self.actions.values() if action.fits(exchange)]

    def answer(self, message: Message, case: Case) -> Sequence[Effect]:
        """Run the duty for `message`; no duty means a person decides."""
        duty = self.duties.get((case.here.protocol.name, type(message)))
        return duty.run(message, case) if duty else ()
