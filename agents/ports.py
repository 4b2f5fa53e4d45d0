"""What the service needs from the world; each port is implemented once for real, once in memory."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from agents.role import Adopted, Books, Evidence, Held, Item, Job, JobState, Peer, Rank, Standing
from credentials.status import Ledger, Purpose
from governance.dids import Kept as Log
from protocols.exchange import Exchange, Said
from schemas.events import Event


@dataclass(frozen=True)
class Enclosure:
    """A file that comes with a message: in the vault already when it was small, else to be fetched.

    `problem` says why it cannot be taken: its bytes do not have the digest stated, or it is too large.
    """

    digest: str
    name: str
    media_type: str
    size: int
    held: bool = False
    link: str = ""
    key: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Parcel:
    """A message off the wire, not yet trusted in any way; `order` counts from 1."""

    id: str
    type: str
    thread: str
    order: int
    seen: int
    body: Mapping[str, Any]
    credentials: tuple[Mapping[str, Any], ...] = ()
    enclosures: tuple[Enclosure, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What became of a parcel: taken (or safely kept until its turn), or refused and why."""

    id: str
    code: str = ""
    template: str = ""
    values: Mapping[str, str] | None = None

    @property
    def taken(self) -> bool:
        """Say whether it is committed here."""
        return not self.code


Delivery = Literal["queued", "taken", "refused", "dead", "waiting"]


@dataclass(frozen=True)
class Letter:
    """A message row, in or out, with the state of its delivery."""

    peer: str
    id: str
    outward: bool
    thread: str
    protocol: str
    kind: str
    order: int
    seen: int
    body: str
    credentials: tuple[str, ...]
    evidence: tuple[str, ...]
    status: Delivery
    problem: str
    at: datetime
    attempts: int
    next_at: datetime
    sent_at: datetime | None = None


@dataclass(frozen=True)
class AwaitedFile:
    """A file to be fetched from a peer: ciphertext at `link`, opened with `key`."""

    evidence: Evidence
    link: str
    key: str
    peer: str


@dataclass(frozen=True)
class Copy:
    """What was fetched of a DID or a status list, and found right: so that work goes on without the network.

    `edition` tells it from those before and after, so that nobody can serve an older one again.
    """

    name: str
    parts: Mapping[str, str]
    at: datetime
    edition: str


@dataclass(frozen=True)
class Source:
    """An issuer whose published statements are indexed: where they stand, and how far they were read.

    `problem` says why it could not be read the last time, or is empty; `refused` which of its statements were
    not indexed and why, the latest of them.
    """

    issuer: str
    site: str
    next: int = 0
    at: datetime | None = None
    problem: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Entry:
    """What the index knows of a published statement; the statement itself stays with its issuer.

    `words` are what it is found by, `place` where it stands among all others: the later it was issued, the
    higher. Places are given when it is indexed.
    """

    id: str
    issuer: str
    type: str
    item: str
    model: str
    at: datetime
    digest: str
    words: frozenset[str] = frozenset()
    place: int = 0


@dataclass(frozen=True)
class Question:
    """What is searched for: all these words, in this time, the latest first; from below a place on."""

    words: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    below: int | None = None
    limit: int = 50


class Index(Protocol):
    """The index of what others have published, and of the issuers it was read from."""

    def sources(self) -> list[Source]:
        """List the issuers that are read."""
        ...

    def keep_source(self, source: Source) -> None:
        """Add an issuer, or note how far it was read."""
        ...

    def drop_source(self, issuer: str) -> None:
        """Forget an issuer with everything indexed of it."""
        ...

    def add(self, entries: Sequence[Entry]) -> None:
        """Index statements of known issuers, in the place of what was known under the same ids."""
        ...

    def drop(self, issuer: str, ids: Sequence[str]) -> None:
        """Forget statements of an issuer."""
        ...

    def clear(self) -> None:
        """Forget every statement, and read every issuer from the beginning."""
        ...

    def search(self, question: Question) -> list[Entry]:
        """Return what answers a question; raise `Unavailable` where it would take too long."""
        ...


@dataclass(frozen=True)
class Roll:
    """One of our status lists: what we keep of it, and the sealed edition that everybody may read."""

    id: str
    url: str
    issuer: str
    purpose: Purpose
    ledger: Ledger
    edition: str
    signed: datetime


@dataclass(frozen=True)
class Spares:
    """Entries of a list of ours that were given out already, and are not used yet."""

    url: str
    issuer: str
    indices: tuple[int, ...]


@dataclass(frozen=True)
class User:
    """A person or program that may use this agent; `secret` is an Argon2id hash, empty for token-only."""

    name: str
    secret: str
    rank: Rank
    language: str = ""


@dataclass(frozen=True)
class Pass:
    """A session, an access token or a one-time link, known by the digest of its secret."""

    digest: str
    kind: Literal["session", "token", "invitation"]
    user: str
    rank: Rank
    label: str
    csrf: str
    at: datetime
    expires: datetime


class Desk(Books, Protocol):
    """The books, open for writing in one transaction."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo what the block wrote when it raises, and let the error pass."""
        ...

    def save(self, exchange: Exchange, said: Said, *, about: str, ours: bool) -> None:
        """Save an exchange after `said`, whose message row is written apart."""
        ...

    def post(self, letter: Letter) -> None:
        """Write a message row, in or out; a row that waited for its turn is replaced."""
        ...

    def letter(self, peer: str, id: str) -> Letter | None:
        """Return one message row."""
        ...

    def letters(self, thread: str, *, outward: bool | None = None) -> list[Letter]:
        """Return the message rows of a thread, oldest first."""
        ...

    def waiting(self, peer: str, thread: str, order: int) -> Letter | None:
        """Return the message that arrived early and is due now."""
        ...

    def stalled(self) -> list[tuple[str, str]]:
        """List the peers and threads in which messages wait for their turn."""
        ...

    def settle(self, peer: str, ids: Sequence[str], status: Delivery, problem: str = "") -> list[Letter]:
        """Give message rows their final status; return those that changed."""
        ...

    def identify(self, peer: str, did: str, name: str) -> None:
        """Note which company a peer is; an older connection with the same company is replaced."""
        ...

    def keep_item(self, item: Item) -> None:
        """Add or complete an item."""
        ...

    def keep_credential(self, held: Held, message: str = "") -> None:
        """Add a credential, once; `message` is the one of an exchange that it stands or falls with."""
        ...

    def issued_with(self, message: str) -> list[Held]:
        """List the credentials of ours that stand or fall with a message."""
        ...

    def keep_standing(self, standing: Standing) -> None:
        """Append what became of a credential."""
        ...

    # Our status lists

    def rolls(self) -> list[Roll]:
        """List our status lists, oldest first."""
        ...

    def roll(self, url: str) -> Roll | None:
        """Return one of our status lists."""
        ...

    def keep_roll(self, roll: Roll) -> None:
        """Add a status list, or change it."""
        ...

    def edition(self, name: str) -> str | None:
        """Return the sealed edition of a list of ours, by its id or URL."""
        ...

    def spares(self, purpose: Purpose) -> Spares:
        """Return the entries of a list that are ready to be used; they are in memory only."""
        ...

    def keep_spares(self, purpose: Purpose, spares: Spares) -> None:
        """Change which entries are ready to be used."""
        ...

    def publish(self, id: str, about: str) -> None:
        """Note that a credential is shown to everyone from now on, as one about an item or company."""
        ...

    def unpublish(self, id: str) -> None:
        """Note that a credential is shown to everyone no more."""
        ...

    def keep_event(self, event: Event, source: str = "") -> None:
        """Append an event, once; `source` is the credential it came in."""
        ...

    def keep_evidence(self, evidence: Evidence, *, link: str = "", key: str = "", peer: str = "") -> None:
        """Add a file's entry, or complete it."""
        ...

    def keep_note(self, name: str, value: Mapping[str, Any]) -> None:
        """Note something under a name, in place of what stood there."""
        ...

    def keep_measurement(self, item: str, digest: str, measurement: Mapping[str, Any]) -> None:
        """Keep a measurement, once."""
        ...

    def keep_model(self, model: Adopted, document: Mapping[str, Any]) -> None:
        """Keep a model of states of health, or use it again."""
        ...

    def set_model_aside(self, digest: str) -> bool:
        """Note that a model is used no more; return whether it was in use."""
        ...

    def qualify(self, worker: str, qualification: str) -> None:
        """Note that a worker is trained for something."""
        ...

    def setting(self, name: str) -> str | None:
        """Return a setting."""
        ...

    def set(self, name: str, value: str) -> None:
        """Change a setting."""
        ...

    def done(self, key: str) -> str | None:
        """Return the thread an earlier click with this key led to, if there was one."""
        ...

    def note_done(self, key: str, thread: str) -> None:
        """Remember what a click led to."""
        ...

    def start(self, job: str, details: Mapping[str, Any]) -> str:
        """Queue a long piece of work; return its id."""
        ...

    def job(self, id: str) -> Job | None:
        """Return one job."""
        ...

    def note_job(self, id: str, state: JobState, progress: Mapping[str, Any]) -> None:
        """Note how far a job has come."""
        ...

    # Connections

    def contact(self, connection: str, our_did: str, their_did: str) -> Peer:
        """Return the peer of a connection, noting it first when it is new."""
        ...

    def forget(self, connection: str) -> None:
        """Forget a connection that no longer exists; the company and what was exchanged stay."""
        ...

    # What the courier carries

    def destinations(self) -> list[tuple[str, datetime]]:
        """List the peers with queued messages, each with the time its earliest one is due."""
        ...

    def due(self, peer: str, limit: int, *, not_before: bool = True) -> list[Letter]:
        """Return queued messages to a peer, in the order they were said; only those due now, unless told."""
        ...

    def attempted(self, peer: str, ids: Sequence[str], next_at: datetime) -> None:
        """Count a delivery attempt, and say when the next one is due if nobody acknowledges."""
        ...

    def dead_letters(self, limit: int = 1000) -> list[Letter]:
        """List the messages nobody could deliver, the latest first."""
        ...

    def tally(self) -> Mapping[str, int]:
        """Count the messages that are queued, wait for their turn, or are dead."""
        ...

    def census(self) -> Mapping[tuple[str, str], int]:
        """Count the exchanges by protocol and state."""
        ...

    def revive(self, peer: str, id: str) -> Letter:
        """Queue a dead letter again, as if it were new; raise `Unknown` where there is none."""
        ...

    def awaited_evidence(self) -> list[AwaitedFile]:
        """List the files we were told of and have yet to fetch."""
        ...

    # What was fetched from elsewhere

    def copy(self, name: str) -> Copy | None:
        """Return the copy of a DID's log or a status list."""
        ...

    def keep_copy(self, copy: Copy) -> None:
        """Keep a copy in the place of the one before; of too many, those fetched longest ago go."""
        ...

    # The registry of DIDs, which a governance authority keeps

    def did_log(self, name: str) -> Log | None:
        """Return the log that is registered under a name; no name is the authority's own."""
        ...

    def keep_did_entry(self, id: str, log: Log) -> None:
        """Add the last entry of a log, and its witness's approvals."""
        ...

    def dids(self) -> list[tuple[str, str]]:
        """List the names that are registered, each with its DID."""
        ...

    def whois(self, name: str) -> str:
        """Return the presentation that the holder of a DID shows of itself, or nothing."""
        ...

    def keep_whois(self, name: str, text: str) -> None:
        """Keep what the holder of a DID shows of itself."""
        ...

    def did_code(self, name: str) -> str | None:
        """Return the digest of the code with which a name can be registered, if it has not expired."""
        ...

    def did_codes(self) -> list[tuple[str, datetime]]:
        """List the names for which there is a code, each with the time when it expires."""
        ...

    def keep_did_code(self, name: str, digest: str, expires: datetime) -> None:
        """Let whoever has a code register a name; a code before it ends."""
        ...

    def drop_did_code(self, name: str) -> None:
        """End the code for a name."""
        ...

    @property
    def index(self) -> Index:
        """Return the index of what others have published."""
        ...

    # Who may use this agent

    def user(self, name: str) -> User | None:
        """Return one user."""
        ...

    def users(self) -> list[User]:
        """List the users by name."""
        ...

    def keep_user(self, user: User) -> None:
        """Add or change a user."""
        ...

    def drop_user(self, name: str) -> None:
        """Remove a user with all sessions and tokens."""
        ...

    def keep_pass(self, entry: Pass) -> None:
        """Keep a session, token or one-time link by its digest."""
        ...

    def passed(self, digest: str) -> Pass | None:
        """Return the session, token or one-time link with this digest, if it has not expired."""
        ...

    def passes(self, user: str) -> list[Pass]:
        """List a user's sessions and tokens."""
        ...

    def drop_pass(self, digest: str) -> None:
        """End a session, token or one-time link."""
        ...

    def note_failure(self, who: str) -> None:
        """Note a failed login of a name or address."""
        ...

    def failures(self, who: str, since: datetime) -> int:
        """Count failed logins since a time."""
        ...


class Store(Protocol):
    """Where a company's books are kept."""

    async def read[T](self, work: Callable[[Desk], T]) -> T:
        """Run `work` on the books as they stand; it may look at everything and change nothing."""
        ...

    async def write[T](self, work: Callable[[Desk], T]) -> T:
        """Run `work` in one transaction; when this returns, what it wrote survives a power cut.

        Where `work` raises, nothing of it stays. Works from many callers may share one commit.
        """
        ...


class Fetch(Protocol):
    """Whoever can read what stands at a URL."""

    async def get(self, url: str, most: int, /) -> bytes:
        """Return what stands at a URL, up to `most` bytes of it, or raise a Fault.

        Unavailable says that it may be had later; Unknown and Invalid, that asking again will not help.
        """
        ...


class Courier(Protocol):
    """Carries saved messages to peers until their agents acknowledge them."""

    def wake(self, peers: frozenset[str]) -> None:
        """There is something to carry to these peers; return at once."""
        ...


@dataclass(frozen=True)
class Spot:
    """Where a rack is: at which cell, in which stage, at which point of how many; idle without a job.

    `problem` says in words what keeps it from working.
    """

    rack: int
    job: str = ""
    channel: int = 0
    cell: str = ""
    stage: str = ""
    point: int = 0
    points: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Sweep:
    """A spectrum as far as it has come; frequencies in hertz, impedances in ohm."""

    rack: int
    channel: int
    cell: str
    frequencies_hz: tuple[float, ...] = ()
    impedances_ohm: tuple[complex, ...] = ()
    whole: bool = False


@dataclass(frozen=True)
class Sight:
    """What the station is doing now; `version` grows with every change."""

    version: int = 0
    spots: tuple[Spot, ...] = ()
    sweeps: tuple[Sweep, ...] = ()


class Works(Protocol):
    """Who does the long pieces of work."""

    def wake(self) -> None:
        """There may be a job to begin; return at once."""
        ...

    def halt(self, job: str) -> None:
        """Stop a job at once; return at once."""
        ...

    def look(self) -> Sight:
        """Return what is being done now."""
        ...


class Idle:
    """Nobody who does long pieces of work: they wait."""

    def wake(self) -> None:
        """Leave it waiting."""

    def halt(self, job: str) -> None:
        """Nothing runs here."""

    def look(self) -> Sight:
        """Return that nothing is being done."""
        return Sight()
