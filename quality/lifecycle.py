"""An item's life as a table: which step may follow which, what it must record, and who may do it.

Each company keeps the life of an item as it saw it: a pack begins at the dismantler as `registered`, at
the collector as `requested`, at a buyer as `accepted`. The table is the same for all.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from uuid import UUID

from schemas.errors import Invalid, Misstep
from schemas.events import ANNULLED, CORRECTED, Event
from schemas.handling import Qualification
from schemas.items import Kind

START = "new"
DISASSEMBLY: Qualification = "high-voltage disassembly"
SAFETY: Qualification = "battery safety inspection"


@dataclass(frozen=True, slots=True)
class Needs:
    """What an event must carry: details, a place, a qualification of who did it, pieces of evidence."""

    details: tuple[str, ...] = ()
    where: bool = False
    qualification: str = ""
    evidence: int = 0


@dataclass(frozen=True, slots=True)
class LifeStep:
    """An item of `kind` in `state` may see `event`; it is then in `next_state`."""

    kind: Kind
    state: str
    event: str
    next_state: str
    needs: Needs = Needs()


NEEDS: dict[str, Needs] = {
    "collected": Needs(details=("truck", "distance_km", "load_share", "fuel_economy_km_per_l")),
    "stored": Needs(where=True),
    "moved": Needs(where=True),
    "disassembled": Needs(details=("bench", "result"), qualification=DISASSEMBLY),
    "extracted": Needs(details=("part_of", "position")),
    "weighed": Needs(details=("mass_kg",)),
    "diagnosed": Needs(details=("method", "result"), evidence=1),
    "skipped": Needs(details=("reason",)),
    "analysed": Needs(details=("result",)),
    "graded": Needs(details=("grade", "rule")),
    "lotted": Needs(details=("lot",)),
    "shipped": Needs(details=("carrier", "purpose")),
    "rejected": Needs(details=("reason",)),
    "cancelled": Needs(details=("reason",)),
    "built-in": Needs(details=("product", "position")),
    "recycled": Needs(details=("result",)),
    "nonconforming": Needs(details=("reason",)),
    "released": Needs(details=("reason", "findings"), qualification=SAFETY),
}


def _steps(kinds: tuple[Kind, ...], *rows: str) -> tuple[LifeStep, ...]:
    """Read rows of `state state ... : event > next_state`; `=` as the next state is the same one."""
    steps = []
    for row in rows:
        states, _, rest = row.partition(":")
        event, _, after = (part.strip() for part in rest.partition(">"))
        needs = NEEDS.get(event, Needs())
        steps += [
            LifeStep(kind, state, event, state if after == "=" else after, needs)
            for kind in kinds
            for state in states.split()
        ]
    return tuple(steps)


# Whoever takes an item in has it accepted, or refused and sent back; for whoever shipped it, it is
# delivered, or rejected and returned. An item may come again.
_ENTERING = (
    "new delivered sent-back : accepted > accepted",
    "new delivered sent-back : rejected > refused",
    "refused : returned > sent-back",
    "shipped : accepted > delivered",
    "shipped : rejected > rejected",
    "rejected : returned > returned",
    "accepted returned : stored > stored",
)
_MEASURED = (
    "accepted returned stored diagnosed unmeasured graded : diagnosed > diagnosed",
    "accepted returned stored unmeasured : skipped > unmeasured",
    "accepted returned stored diagnosed unmeasured graded : analysed > =",  # a vendor's value decides nothing
    "diagnosed graded : skipped > =",  # what could not be measured anew is known as it was
    "accepted returned stored diagnosed unmeasured graded : graded > graded",
)
_TRADED = (
    "graded : lotted > lotted",
    "lotted : unlotted > graded",
    "graded lotted : shipped > shipped",
)
_USED = (
    "accepted stored diagnosed graded : built-in > built-in",
    "built-in : extracted > stored",
    "accepted stored diagnosed unmeasured graded quarantined : recycled > recycled",
)
_SET_ASIDE = (
    "accepted returned stored diagnosed unmeasured graded lotted : nonconforming > quarantined",
    "quarantined : nonconforming > =",
    "quarantined : released > stored",
    "quarantined : shipped > shipped",
    "accepted returned stored diagnosed unmeasured graded lotted : released > =",
    "stored diagnosed unmeasured graded lotted quarantined : moved > =",
)

LIFE: tuple[LifeStep, ...] = (
    *_steps(("vehicle",), "new : registered > registered", "registered : disassembled > disassembled"),
    *_steps(
        ("pack",),
        "new : registered > registered",
        "new registered : requested > requested",
        "requested : cancelled > registered",
        "requested : collected > collected",
        "collected : stored > stored",
        "registered collected : nonconforming > quarantined",
        "registered : stored > stored",
        "stored : requested > requested",
    ),
    *_steps(
        ("pack", "module"),
        "accepted stored diagnosed graded unmeasured quarantined : disassembled > disassembled",
    ),
    *_steps(
        ("module", "cell"),
        "new : extracted > extracted",
        "extracted : stored > stored",
        "extracted : diagnosed > diagnosed",
        "extracted : skipped > unmeasured",
        "extracted : analysed > =",
        "extracted : nonconforming > quarantined",
        "extracted : moved > =",
    ),
    *_steps(("pack", "module", "cell"), *_ENTERING, *_MEASURED, *_TRADED, *_USED, *_SET_ASIDE),
    *_steps(
        ("lot",),
        "new : lotted > assembled",
        "assembled : lotted > =",
        "assembled : unlotted > dissolved",
        "assembled : moved > =",
        "assembled : shipped > shipped",
        "new : accepted > accepted",
        "new : rejected > refused",
        "refused : returned > sent-back",
        "shipped : accepted > delivered",
        "shipped : rejected > rejected",
        "rejected : returned > assembled",
    ),
    *_steps(
        ("product",),
        *_ENTERING,
        "new : registered > registered",
        "registered stored : diagnosed > =",
        "registered stored returned : shipped > shipped",
        "registered stored : moved > =",
        "registered accepted stored returned : nonconforming > quarantined",
        "quarantined : released > stored",
        "quarantined : moved > =",
        "accepted stored returned quarantined : disassembled > disassembled",
        "accepted stored returned quarantined : recycled > recycled",
    ),
    *_steps(
        ("material",),
        *_ENTERING,
        "new : weighed > weighed",
        "weighed stored : weighed > =",
        "weighed : stored > stored",
        "stored quarantined : moved > =",
        "weighed stored quarantined returned : shipped > shipped",
        "weighed stored accepted : nonconforming > quarantined",
        "quarantined : released > stored",
        "weighed stored accepted quarantined : recycled > recycled",
    ),
)

_TABLE: dict[tuple[Kind, str, str], LifeStep] = {(s.kind, s.state, s.event): s for s in LIFE}


def step(kind: Kind, state: str, event: str) -> LifeStep:
    """Return the step of the table, or raise Misstep saying what may happen instead."""
    found = _TABLE.get((kind, state, event))
    if found is None:
        may = ", ".join(may_follow(kind, state)) or "nothing"
        raise Misstep(
            "A {kind} that is {state} cannot be {event}; what may follow: {may}.",
            kind=kind,
            state=state,
            event=event,
            may=may,
        )
    return found


def may_follow(kind: Kind, state: str) -> tuple[str, ...]:
    """List the events that may follow in `state`, in the table's order."""
    return tuple(s.event for s in LIFE if (s.kind, s.state) == (kind, state))


def missing(needs: Needs, event: Event, qualifications: Collection[str]) -> tuple[str, ...]:
    """Say in words what `event` lacks of `needs`; `qualifications` are those of the person who did it."""
    lacks = [f"the detail “{d}”" for d in needs.details if event.details.get(d) in (None, "")]
    if needs.where and not event.where:
        lacks.append("the place")
    if needs.qualification and needs.qualification not in qualifications:
        lacks.append(f"a person qualified for {needs.qualification}")
    if len(event.evidence) < needs.evidence:
        lacks.append("the evidence")
    return tuple(lacks)


@dataclass(frozen=True)
class Life:
    """One item's events in the order they were recorded; equal events make an equal life."""

    item: str
    kind: Kind
    events: tuple[Event, ...] = ()

    @cached_property
    def standing(self) -> tuple[Event, ...]:
        """Return what holds now: annulled events left out, corrected ones with their latest correction."""
        return _standing(self.events)

    @cached_property
    def state(self) -> str:
        """Return the state: the fold of the standing events over the table."""
        state = START
        for event in self.standing:
            state = step(self.kind, state, event.what).next_state
        return state

    def after(self, event: Event, qualifications: Collection[str] = ()) -> "Life":
        """Return this life with `event` appended, or raise Misstep or Invalid and change nothing.

        An event already recorded, by its id, is not recorded again.
        """
        if (event.item, event.kind) != (self.item, self.kind):
            raise Invalid("The event is about {other}, not about {item}.", other=event.item, item=self.item)
        known = {e.id: e for e in self.events}
        if event.id in known:
            if known[event.id] == event:
                return self
            raise Invalid("Another event with the id {id} is already on record.", id=event.id)
        grown = Life(self.item, self.kind, (*self.events, event))
        if event.corrects is None:
            needs = step(self.kind, self.state, event.what).needs
            now = event
        else:
            needs, now = self._corrected(event, grown)
        lacks = missing(needs, now, qualifications)
        if lacks:
            raise Invalid("“{event}” lacks {lacks}.", event=now.what, lacks=", ".join(lacks))
        return grown

    def _corrected(self, event: Event, grown: "Life") -> tuple[Needs, Event]:
        target = next((e for e in self.standing if e.id == event.corrects), None)
        if target is None:
            raise Invalid("There is no standing event {id} to correct.", id=event.corrects)
        if not event.how:
            raise Invalid("A correction says why.")
        if event.what == ANNULLED:
            try:
                grown.state  # noqa: B018 - folds what is left, and raises where it no longer fits
            except Misstep as misstep:
                raise Misstep(
                    "“{event}” cannot be annulled: later events rest on it. {why}",
                    event=target.what,
                    why=misstep,
                ) from misstep
            return Needs(), event
        # The qualification was seen to when the event was first recorded; a clerk may correct a figure.
        needs = NEEDS.get(target.what, Needs())
        now = next(e for e in grown.standing if e.id == target.id)
        return Needs(needs.details, needs.where, "", needs.evidence), now


def _standing(events: Iterable[Event]) -> tuple[Event, ...]:
    now: dict[UUID, Event] = {}
    for event in events:
        if event.corrects is None:
            now[event.id] = event
        elif event.corrects in now and event.what == ANNULLED:
            del now[event.corrects]
        elif event.corrects in now and event.what == CORRECTED:
            before = now[event.corrects]
            now[event.corrects] = before.model_copy(
                update={
                    "details": MappingProxyType({**before.details, **event.details}),
                    "where": event.where or before.where,
                    "evidence": event.evidence or before.evidence,
                }
            )
    return tuple(now.values())
