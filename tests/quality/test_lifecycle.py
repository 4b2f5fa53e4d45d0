from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.lifecycle import DISASSEMBLY, LIFE, NEEDS, SAFETY, START, Life, may_follow, step
from schemas.errors import Invalid, Misstep
from schemas.events import ANNULLED, CORRECTED, Event
from schemas.items import KINDS, Kind

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SKILLED = (DISASSEMBLY, SAFETY)


def event(what: str, kind: Kind = "cell", **fields: Any) -> Event:
    """An event that carries all its step needs."""
    needs = NEEDS.get(what)
    details = dict.fromkeys(needs.details, "given") if needs else {}
    details |= fields.pop("details", {})
    return Event(
        **{
            "item": "X",
            "kind": kind,
            "what": what,
            "when": NOON,
            "who": "worker 7",
            "where": "bench 2",
            "evidence": ("sha256:00",),
            "details": details,
        }
        | fields
    )


def life(kind: Kind, *whats: str) -> Life:
    lived = Life("X", kind)
    for what in whats:
        lived = lived.after(event(what, kind), SKILLED)
    return lived


def change(what: str, target: Event, **fields: Any) -> Event:
    fields = {"how": "mistyped", "details": {}, "evidence": (), "where": ""} | fields
    return event(what, target.kind, corrects=target.id, **fields)


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """Any walk along the table."""
    lived = Life("X", draw(st.sampled_from(KINDS)))
    for _ in range(draw(st.integers(0, 12))):
        may = may_follow(lived.kind, lived.state)
        if not may:
            break
        lived = lived.after(event(draw(st.sampled_from(may)), lived.kind), SKILLED)
    return lived


def test_the_table_is_deterministic() -> None:
    assert Counter((s.kind, s.state, s.event) for s in LIFE).most_common(1)[0][1] == 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_state_of_every_kind_can_be_reached(kind: Kind) -> None:
    reached, grown = {START}, True
    while grown:
        more = {s.next_state for s in LIFE if s.kind == kind and s.state in reached} - reached
        reached, grown = reached | more, bool(more)
    assert {x for s in LIFE if s.kind == kind for x in (s.state, s.next_state)} == reached


def test_what_an_event_needs_is_of_an_event_that_can_happen() -> None:
    assert set(NEEDS) <= {s.event for s in LIFE}


@given(lives())
def test_no_event_is_lost_and_the_state_is_their_fold(lived: Life) -> None:
    state = START
    for seen in lived.events:
        state = step(lived.kind, state, seen.what).next_state
    assert lived.state == state
    assert lived.standing == lived.events
    assert Life("X", lived.kind, lived.events) == lived


@given(lives(), st.data())
def test_an_event_told_twice_happens_once(lived: Life, data: st.DataObject) -> None:
    if lived.events:
        assert lived.after(data.draw(st.sampled_from(lived.events))) == lived


@given(lives())
def test_the_last_event_annulled_leaves_the_state_before_it_and_both_on_record(lived: Life) -> None:
    if lived.events:
        last = lived.events[-1]
        annulled = lived.after(change(ANNULLED, last))
        assert annulled.state == Life("X", lived.kind, lived.events[:-1]).state
        assert annulled.events[:-1] == lived.events


@given(lives(), st.data())
def test_a_correction_is_an_event_that_moves_no_state(lived: Life, data: st.DataObject) -> None:
    if lived.events:
        wrong = data.draw(st.sampled_from(lived.events))
        corrected = lived.after(change(CORRECTED, wrong, details={"note": "right"}))
        assert corrected.state == lived.state
        assert len(corrected.events) == len(lived.events) + 1
        assert wrong in corrected.events
        assert next(e for e in corrected.standing if e.id == wrong.id).details["note"] == "right"


def test_a_pack_travels_from_the_request_to_its_disassembly() -> None:
    assert life("pack", "requested", "collected", "stored", "moved", "disassembled").state == "disassembled"


def test_a_cell_is_sold_refused_returned_and_recycled() -> None:
    sold = life("cell", "extracted", "diagnosed", "graded", "lotted", "shipped")
    assert sold.state == "shipped"
    assert life("cell", *(e.what for e in sold.events), "accepted").state == "delivered"
    back = life("cell", *(e.what for e in sold.events), "rejected", "returned", "graded", "shipped")
    assert back.state == "shipped"


def test_a_buyer_takes_a_cell_in_and_builds_it_into_a_product() -> None:
    assert life("cell", "accepted", "built-in").state == "built-in"
    assert life("cell", "rejected", "returned").state == "sent-back"


def test_a_cell_that_cannot_be_measured_goes_on_as_unmeasured() -> None:
    assert life("cell", "extracted", "skipped").state == "unmeasured"
    assert "graded" in may_follow("cell", "unmeasured")


@pytest.mark.parametrize(
    "state", sorted({s.state for s in LIFE if (s.kind, s.event) == ("cell", "diagnosed")})
)
def test_whatever_may_be_measured_may_also_be_skipped_and_keeps_what_is_known(state: str) -> None:
    after = step("cell", state, "skipped").next_state
    assert after == (state if state in {"diagnosed", "graded"} else "unmeasured")


def test_what_may_not_follow_is_refused_and_says_what_may() -> None:
    lived = life("pack", "requested")
    with pytest.raises(Misstep, match=r"requested cannot be disassembled.*cancelled, collected"):
        lived.after(event("disassembled", "pack"), SKILLED)
    assert lived.state == "requested"


def test_an_untrained_worker_disassembles_nothing() -> None:
    with pytest.raises(Invalid, match="qualified for high-voltage disassembly"):
        life("pack", "requested", "collected", "stored").after(event("disassembled", "pack"))


@pytest.mark.parametrize("what", sorted(w for w, n in NEEDS.items() if n.details))
def test_a_record_without_its_details_is_refused(what: str) -> None:
    at = next(s for s in LIFE if s.event == what)
    lived = Life("X", at.kind)
    path = _path(at.kind, at.state)
    for before in path:
        lived = lived.after(event(before, at.kind), SKILLED)
    bare = event(what, at.kind).model_copy(update={"details": {}})
    with pytest.raises(Invalid, match="lacks the detail"):
        lived.after(bare, SKILLED)


def _path(kind: Kind, state: str) -> tuple[str, ...]:
    paths: dict[str, tuple[str, ...]] = {START: ()}
    while state not in paths:
        for s in LIFE:
            if s.kind == kind and s.state in paths and s.next_state not in paths:
                paths[s.next_state] = (*paths[s.state], s.event)
    return paths[state]


def test_an_event_on_which_others_rest_cannot_be_annulled() -> None:
    lived = life("cell", "extracted", "diagnosed", "graded")
    with pytest.raises(Misstep, match="later events rest on it"):
        lived.after(change(ANNULLED, lived.events[0]))


def test_a_correction_says_why_and_names_a_standing_event() -> None:
    lived = life("cell", "extracted", "diagnosed")
    with pytest.raises(Invalid, match="says why"):
        lived.after(change(CORRECTED, lived.events[1], how=""))
    with pytest.raises(Invalid, match="no standing event"):
        lived.after(change(CORRECTED, event("diagnosed")))
    annulled = lived.after(change(ANNULLED, lived.events[1]))
    with pytest.raises(Invalid, match="no standing event"):
        annulled.after(change(CORRECTED, lived.events[1]))


def test_a_correction_may_not_take_away_what_the_step_needs() -> None:
    lived = life("cell", "extracted", "skipped")
    with pytest.raises(Invalid, match="reason"):
        lived.after(change(CORRECTED, lived.events[1], details={"reason": ""}))


def test_an_event_of_another_item_or_under_a_taken_id_is_refused() -> None:
    lived = life("cell", "extracted")
    with pytest.raises(Invalid, match="about Y"):
        lived.after(event("diagnosed", item="Y"))
    with pytest.raises(Invalid, match="already on record"):
        lived.after(event("diagnosed", id=lived.events[0].id))
