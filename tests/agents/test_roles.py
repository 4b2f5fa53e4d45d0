"""What the roles can do is documented, has no dead ends, and keeps to the framework, gates and tables."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from agents.role import Action, Duty, Item, Role
from agents.roles import ROLES, play
from agents.roles.common import COMMON
from governance.framework import FRAMEWORK
from protocols.audit import AUDIT, Find
from protocols.audit import Refuse as RefuseAudit
from protocols.catalogue import PROTOCOLS
from protocols.exchange import Message, Protocol
from protocols.introduction import Welcome
from protocols.membership import Framework, Register
from protocols.receipt import RECEIPT
from protocols.sampling import Declare, Decline, Draw, Submit
from schemas.claims import CLAIMS, Claim, Prediction
from schemas.errors import Fault, Forbidden, Invalid, Misstep, Unknown
from schemas.items import item_uri, mint
from tests.scenarios.town import (
    AUTHORITY,
    COLLECTOR,
    DISMANTLER,
    PACK,
    RECYCLER,
    REUSE_MANUFACTURER,
    Town,
    collect,
    diagnose,
    parcel,
    sealed,
    take_apart,
    town,
)

EVERYONE = (COMMON, *ROLES.values())
ACTIONS = {action.name: action for role in EVERYONE for action in role.actions}
DUTIES = [(role, duty) for role in EVERYONE for duty in role.duties]
# What no action sends, and who says it then.
SENT_BY_DUTIES: dict[type[Message], str] = {
    Welcome: "the answer to hello",
    Register: "the authority tells every member whenever its register changes",
    Framework: "the authority tells every member of a new version, and a new member of all",
    Declare: "the member's answer to an announced audit by sample",
    Decline: "the member's answer to an audit by sample of more than it can declare",
    Draw: "the authority shows the seed once the member has declared",
    Submit: "the member sends what was drawn",
    RefuseAudit: "the authority's answer to an audit request it cannot take",
}


def sides_of(role: Role, protocol: Protocol) -> set[str]:
    """Name the sides a role may take; what every company does, it does as any."""
    names = list(ROLES) if role is COMMON else [role.name]
    return {
        side for side in protocol.sides for name in names if FRAMEWORK.may_play(name, protocol.name, side)
    }


@pytest.mark.parametrize("action", ACTIONS.values(), ids=list(ACTIONS))
def test_every_action_and_each_field_of_its_form_is_put_in_words(action: Action[Any]) -> None:
    assert action.title
    assert action.run.__doc__
    assert action.form.__doc__
    assert action.name == action.name.lower().replace("_", "-").replace(" ", "-")
    for name, field in action.form.model_fields.items():
        assert field.title, f"{action.name}: {name} has no title"


def test_an_action_means_the_same_in_every_role() -> None:
    for role in EVERYONE:
        for action in role.actions:
            same = ACTIONS[action.name]
            assert (action.form, action.run, action.protocol, action.sends) == (
                same.form,
                same.run,
                same.protocol,
                same.sends,
            )


@pytest.mark.parametrize("name", ROLES)
def test_every_action_says_only_what_its_side_may_say(name: str) -> None:
    for role in (COMMON, ROLES[name]):
        for action in role.actions:
            if action.protocol:
                sides = {step.sender for step in action.protocol.steps if step.message in action.sends}
                assert sides & sides_of(role, action.protocol), action.name
            else:
                assert not action.sends
            if action.opens:
                assert action.protocol
                assert set(action.sends) <= set(action.protocol.may_send("new", action.protocol.opener))


@pytest.mark.parametrize(("role", "duty"), DUTIES, ids=[f"{r.name}-{d.on.kind}" for r, d in DUTIES])
def test_every_duty_is_about_a_message_the_other_side_may_send(role: Role, duty: Duty[Any]) -> None:
    assert duty.run.__doc__
    senders = {step.sender for step in duty.protocol.steps if step.message is duty.on}
    receiving = {duty.protocol.other(sender) for sender in senders}
    assert receiving & sides_of(role, duty.protocol)


@pytest.mark.parametrize(
    "protocol", [p for p in PROTOCOLS.values() if p is not RECEIPT], ids=lambda p: p.name
)
def test_every_step_of_every_table_can_be_taken(protocol: Protocol) -> None:
    for step in protocol.steps:
        able = [
            name
            for name in ROLES
            if FRAMEWORK.may_play(name, protocol.name, step.sender)
            and any(
                action.protocol is protocol and step.message in action.sends
                for action in play((name,)).actions.values()
            )
        ]
        assert bool(able) != (step.message in SENT_BY_DUTIES), step


# Claims


def samples(item: str, did: str) -> dict[str, Claim]:
    """Return one claim of each type, such as a company might make."""
    now = datetime.now(UTC)
    receipt = {"truck": "1", "distance_km": 1, "load_share": 1, "fuel_economy_km_per_l": 1}
    fields: dict[str, dict[str, Any]] = {
        "ItemIdentity": {"kind": "pack"},
        "VehicleHistory": {
            "vehicle": mint("vehicle"),
            "vehicle_model": "m",
            "pack_model": "p",
            "chassis_digest": "0",
            "first_registration": "2014-03",
            "odometer_km": 1,
            "capacity_low_pct": 1,
            "capacity_high_pct": 2,
            "capacity_source": "s",
        },
        "HandlingRecord": {"events": ()},
        "DiagnosisResult": {
            "measured_at": now,
            "soh_pct": None,
            "lower_pct": None,
            "upper_pct": None,
            "coverage": None,
            "method": "m",
            "method_version": "1",
            "inputs_digest": "",
            "measurement_digest": "",
            "ohmic_resistance_ohm": 1,
            "ocv_v": 3,
            "temperature_c": 25,
            "soc_pct": None,
            "instruments": (),
        },
        "MeasurementRecord": {
            "cell_model": "m",
            "measured_at": now,
            "measurement_digest": "",
            "transcript_digest": "",
            "measurement": {},
        },
        "SohModel": {
            "cell_model": "m",
            "method": "reconciled-spectrum",
            "method_version": "1.0",
            "model_digest": "",
            "training_digest": "",
            "suits": "p",
            "training": "t",
            "quality": (),
            "limits": "l",
        },
        "HandOverReceipt": {"from_did": did, "to_did": "did:key:b", **receipt},
        "Introduction": {"connection_did": "did:peer:x"},
        "Accreditation": {"name": "n", "roles": (), "framework": "f"},
        "MembershipRegister": {"version": 1, "members": ()},
        "CheckUps": {
            "subject": "urn:meguri:subject:1",
            "before_count": 0,
            "check_ups": ({"run_count": 0, "found_soh_pct": 90, "sd_pct": 1},),
        },
        "Prediction": {"subject": "urn:meguri:subject:1", "statement": {}},
        "AuditCertificate": {
            "prediction_digest": "0",
            "method": "m",
            "method_version": "1",
            "tolerance": "0",
            "max_deviation": "0",
            "audited_on": now.date(),
        },
        "SamplingCertificate": {
            "first_day": now.date(),
            "last_day": now.date(),
            "declared_count": 1,
            "withdrawn_count": 0,
            "passed_count": 1,
            "declaration_digest": "0",
            "sampled_digests": ("0",),
            "audited_on": now.date(),
        },
    }
    return {
        name: CLAIMS[name].model_validate({"item": item, "did": did} | values)
        for name, values in fields.items()
    }


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """Five members at rest; the collector has a pack's cells, one of them skipped by the station."""

    async def settle() -> Town:
        folder = tmp_path_factory.mktemp("settled")
        async with town(folder, DISMANTLER, COLLECTOR, REUSE_MANUFACTURER, RECYCLER) as made:
            _, pack = await collect(made)
            await diagnose(made, await take_apart(made, pack, 3), 2)
            return made

    return asyncio.run(settle())


async def refused(t: Town, who: str, kind: type[Fault], action: str, to: str = "", **form: object) -> str:
    before = t.tables(who)
    with pytest.raises(kind) as fault:
        await t.say(who, action, to, **form)
    assert t.tables(who) == before
    return str(fault.value)


async def test_a_statement_counts_only_from_a_role_that_may_make_it(t: Town) -> None:
    agent = t.agents[RECYCLER]
    for role in ROLES:
        key, item = t.keys[role], mint("pack")
        for type_, claim in samples(item, key.did).items():
            document = sealed(key, claim, item_uri(key.did, item) if hasattr(claim, "item") else key.did)
            check = partial(agent.check, document, known=agent.lookup.known())
            if FRAMEWORK.may_issue(role, type_):
                assert await t.read(RECYCLER, check) == (type_, key.did)
            else:
                with pytest.raises(Invalid, match=f"the issuer of an attached {type_} may not issue it"):
                    await t.read(RECYCLER, check)


async def test_a_company_states_nothing_in_a_role_it_is_not_admitted_in(t: Town) -> None:
    t.start(RECYCLER, (RECYCLER, REUSE_MANUFACTURER))
    cells = await t.codes(COLLECTOR, "cell")
    await sell(t, RECYCLER, cells)
    fade = [{"cycle": 100 * n, "soh_pct": 92 - 0.6 * n, "sd_pct": 0.3} for n in range(8)]
    form: dict[str, object] = {"item": cells[0], "history": fade, "cycles": [1000], "threshold_pct": 80}
    assert (
        await refused(t, RECYCLER, Forbidden, "predict-life", "", **form) == "we may not issue “Prediction”"
    )


async def test_who_is_no_member_yet_states_nothing_of_items(t: Town) -> None:
    t.found("newcomer", (REUSE_MANUFACTURER,))
    cell = mint("cell", mint("pack"), 1)
    await t.write("newcomer", lambda desk: desk.keep_item(Item(cell, "cell", "did:key:another")))
    words = await refused(t, "newcomer", Forbidden, "build-product", items=[cell], model="x")
    assert words == "we may not issue “ItemIdentity”"


# Gates


async def sell(t: Town, to: str, cells: list[str], *rejected: str, purpose: str = "recycling") -> str:
    """Sell cells as a lot, with some rejected; return the thread."""
    await t.do(COLLECTOR, "grade-items", items=cells)
    form: dict[str, object] = {"items": cells, "purpose": purpose, "price_jpy": 10}
    thread = (await t.do(COLLECTOR, "offer-lot", to, **form)).thread
    await t.do(to, "order-lot", thread)
    await t.do(COLLECTOR, "ship-lot", thread, carrier="Yamato")
    if rejected:
        part = [{"item": code, "reason": "dented"} for code in rejected]
        await t.do(to, "accept-lot-in-part", thread, rejected=part)
    else:
        await t.do(to, "accept-lot", thread)
    return thread


async def offer(t: Town, kind: type[Fault], *cells: str, purpose: str = "reuse") -> str:
    form: dict[str, object] = {"items": cells, "purpose": purpose, "price_jpy": 10}
    return await refused(t, COLLECTOR, kind, "offer-lot", REUSE_MANUFACTURER, **form)


async def test_a_cell_that_could_not_be_measured_is_not_sold_for_reuse(t: Town) -> None:
    good, _, bad = await t.codes(COLLECTOR, "cell")
    await t.do(COLLECTOR, "grade-items", items=[good, bad])
    words = await offer(t, Misstep, good, bad)
    assert words.startswith(f"{bad} may not be shipped for reuse: ")
    assert "It could not be measured: open." in words
    await sell(t, RECYCLER, [bad])


async def test_a_cell_that_was_never_diagnosed_is_not_sold_for_reuse(t: Town) -> None:
    _, pack = await collect(t)
    cells = await take_apart(t, pack, 1)
    await t.do(COLLECTOR, "store-items", items=cells, place="B-1")
    await t.do(COLLECTOR, "grade-items", items=cells)
    words = await offer(t, Misstep, *cells)
    assert "A signed diagnosis is missing." in words
    assert "It was never diagnosed." in words


async def test_a_cell_that_cannot_be_assessed_is_sold_for_its_materials_with_the_reason(t: Town) -> None:
    _, pack = await collect(t)
    (cell,) = await take_apart(t, pack, 1)
    await diagnose(t, [cell], soc_pct=None)
    await t.do(COLLECTOR, "grade-items", items=[cell])
    assert "Its diagnosis gave no state of health." in await offer(t, Misstep, cell)
    await sell(t, RECYCLER, [cell])
    assert t.refusals == []
    told = [one for one in (await t.trace(RECYCLER, cell)).credentials if one.type == "DiagnosisResult"]
    assert [(bool(one.claim["not_assessable"]), one.verifies) for one in told] == [(True, True)]


async def test_what_its_pack_was_found_with_keeps_a_cell_from_reuse_until_a_qualified_person_releases_it(
    t: Town,
) -> None:
    _, pack = await collect(t, findings=["wet"])
    (cell,) = await take_apart(t, pack, 1)
    await diagnose(t, [cell])
    await t.do(COLLECTOR, "grade-items", items=[cell])
    assert "Safety findings not released: wet." in await offer(t, Misstep, cell)
    release: dict[str, object] = {"item": cell, "findings": ["wet"], "reason": "dry", "worker": "W-07"}
    words = await refused(t, COLLECTOR, Invalid, "release-item", "", **release)
    assert "a person qualified for battery safety inspection" in words
    await t.do(COLLECTOR, "qualify-worker", worker="W-07", qualification="battery safety inspection")
    await t.do(COLLECTOR, "release-item", "", **release)
    await sell(t, REUSE_MANUFACTURER, [cell], purpose="reuse")
    assert (await t.life(REUSE_MANUFACTURER, cell)).state == "accepted"


async def test_what_is_set_aside_is_not_sold_for_reuse(t: Town) -> None:
    good, *_ = await t.codes(COLLECTOR, "cell")
    await t.do(COLLECTOR, "grade-items", items=[good])
    await t.do(COLLECTOR, "note-nonconformity", item=good, what="swollen")
    assert "It is set aside as nonconforming." in await offer(t, Misstep, good)


async def test_what_is_sold_is_not_sold_again(t: Town) -> None:
    good, *_ = await t.codes(COLLECTOR, "cell")
    await sell(t, RECYCLER, [good])
    assert "The cell is delivered." in await offer(t, Misstep, good, purpose="recycling")
    other = (await t.codes(COLLECTOR, "cell"))[1]
    assert await offer(t, Invalid, other, other) == "an item is in the lot twice"


# Products


async def test_a_product_is_made_of_accepted_cells_alone(t: Town) -> None:
    first, second, third = await t.codes(COLLECTOR, "cell")
    build = "build-product"
    words = await refused(t, REUSE_MANUFACTURER, Unknown, build, items=[first], model="Lantern")
    assert words == f"we have no item {first}"
    await sell(t, REUSE_MANUFACTURER, [first, second, third], third)
    words = await refused(t, REUSE_MANUFACTURER, Misstep, build, items=[first, third], model="Lantern")
    assert words.startswith("A cell that is refused cannot be built-in")
    words = await refused(t, REUSE_MANUFACTURER, Invalid, build, items=[first, first], model="Lantern")
    assert words == "an item is named twice"
    await t.do(REUSE_MANUFACTURER, build, items=[first], model="Lantern")
    words = await refused(t, REUSE_MANUFACTURER, Misstep, build, items=[first, second], model="Lantern")
    assert words.startswith("A cell that is built-in cannot be built-in")


# Prices


@pytest.mark.parametrize("price_jpy", [-100_000_000, -1, 0, 1, 100_000_000])
async def test_a_price_keeps_its_sign_on_the_way(t: Town, price_jpy: int) -> None:
    thread = (await t.do(DISMANTLER, "request-collection", COLLECTOR, **PACK)).thread
    await t.do(COLLECTOR, "quote-collection", thread, price_jpy=price_jpy, valid_until="2099-01-31")
    quote = (await t.exchange(DISMANTLER, thread)).said[-1].message
    assert quote.price_jpy == price_jpy  # type: ignore[attr-defined]


@pytest.mark.parametrize("price_jpy", [100_000_001, -100_000_001, "1.5", "NaN", None])
async def test_what_is_no_price_is_not_quoted(t: Town, price_jpy: object) -> None:
    thread = (await t.do(DISMANTLER, "request-collection", COLLECTOR, **PACK)).thread
    form: dict[str, object] = {"price_jpy": price_jpy, "valid_until": "2099-01-31"}
    assert "price_jpy: " in await refused(t, COLLECTOR, Invalid, "quote-collection", thread, **form)


# Audits


async def test_an_audit_without_a_prediction_of_ones_own_is_refused_with_the_reason(t: Town) -> None:
    key = t.keys[COLLECTOR]
    another = sealed(key, Prediction(subject="urn:meguri:subject:1", statement={}), key.did)
    for documents in ([], [another], [another, another]):
        peers = await t.read(AUTHORITY, lambda desk: desk.peers())
        (peer,) = [peer.id for peer in peers if peer.name == REUSE_MANUFACTURER]
        request = parcel(AUDIT, "request-audit", {"inputs": {}}, credentials=documents)
        (verdict,) = await t.give(AUTHORITY, peer, request)
        assert verdict.taken
        exchange = await t.exchange(AUTHORITY, request.thread)
        assert exchange.state == "refused"
        assert exchange.last(RefuseAudit).reason == "attach one prediction, issued by yourself"


@pytest.mark.parametrize("inputs", [{}, {"a": [1, {"b": None}]}, {"history": "x" * 1000}])
async def test_an_audit_of_inputs_that_make_nothing_ends_in_findings(
    t: Town, inputs: dict[str, object]
) -> None:
    key = t.keys[REUSE_MANUFACTURER]
    stated = sealed(key, Prediction(subject="urn:meguri:subject:1", statement={"a": 1}), key.did)
    peers = await t.read(AUTHORITY, lambda desk: desk.peers())
    (peer,) = [peer.id for peer in peers if peer.name == REUSE_MANUFACTURER]
    request = parcel(AUDIT, "request-audit", {"inputs": inputs}, credentials=[stated])
    (verdict,) = await t.give(AUTHORITY, peer, request)
    assert verdict.taken
    await t.audit()
    exchange = await t.exchange(AUTHORITY, request.thread)
    assert exchange.state == "found"
    assert exchange.last(Find).findings
