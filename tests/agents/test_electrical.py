"""Tests with a cycler are kept once, judged within their domain, and make a class of what had none."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from agents.cli.forms import Form
from agents.forms import fields_of
from agents.roles.diagnosis import proposed
from agents.roles.electrical import RECORD_TEST, recorded_tests
from agents.web.forms import from_file
from agents.words import recall
from schemas.claims import DiagnosisResult
from schemas.errors import Fault, Invalid, Misstep, Unknown
from schemas.items import mint
from tests.scenarios.town import (
    COLLECTOR,
    DISMANTLER,
    REUSE_MANUFACTURER,
    Town,
    collect,
    take_apart,
    town,
)

AROUND: dict[str, Any] = {
    "began": "2026-04-22T09:00+09:00",
    "ended": "2026-04-22T14:00+09:00",
    "temperature_c": 25,
    "instrument": "Cycler 5 V 100 A",
    "serial": "C-17",
    "calibrated_on": "2026-01-10",
    "operator": "W-07",
    "accuracy_pct": 0.1,
    "error_v": 0.0005,
    "file_sha256": "ab" * 32,
}
CAPACITY = AROUND | {
    "kind": "capacity",
    "current_a": 20,
    "lower_v": 2.7,
    "upper_v": 4.2,
    "charge_ah": 46,
    "charge_wh": 172,
    "discharge_ah": 45.5,
    "discharge_wh": 164,
    "soc_from_pct": 100,
    "soc_to_pct": 0,
    "rated_ah": 50,
}
REST = AROUND | {"kind": "ocv-rest", "readings": "0 3.7200; 1800 3.7110; 3600 3.7102; 7200 3.7100"}
PULSE = AROUND | {"kind": "dc-resistance", "current_a": 50, "before_v": 3.71, "after_v": 3.61, "pulse_s": 10}
LOSS = AROUND | {
    "kind": "self-discharge",
    "ended": "2026-05-22T09:00+09:00",
    "before_ah": 45.5,
    "after_ah": 44.6,
}


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A collector with two cells that nobody has measured."""

    async def settle() -> Town:
        async with town(tmp_path_factory.mktemp("tests"), DISMANTLER, COLLECTOR, REUSE_MANUFACTURER) as made:
            _, pack = await collect(made)
            await take_apart(made, pack, 2)
            return made

    return asyncio.run(settle())


async def record(t: Town, cell: str, *rows: dict[str, Any]) -> None:
    await t.do(COLLECTOR, "record-test", "", item=cell, tests=rows)


async def stated(t: Town, cell: str) -> DiagnosisResult:
    held = await t.read(COLLECTOR, lambda desk: desk.credentials(cell, "DiagnosisResult"))
    return DiagnosisResult.model_validate(held[-1].claim)


async def graded(t: Town, cell: str) -> tuple[str, str]:
    return await t.read(COLLECTOR, lambda desk: proposed(desk, cell))


async def refused(t: Town, kind: type[Fault], *rows: dict[str, Any], item: str | None) -> str:
    before = t.tables(COLLECTOR)
    with pytest.raises(kind) as fault:
        await t.say(COLLECTOR, "record-test", "", item=item, tests=rows)
    assert t.tables(COLLECTOR) == before
    words = str(fault.value)
    assert recall(words, "ja") != words
    return words


async def test_a_capacity_makes_a_class_of_what_could_not_be_graded(t: Town) -> None:
    cell, other = await t.codes(COLLECTOR, "cell")
    assert await graded(t, cell) == ("", "not gradable: needs SOH")
    await record(t, cell, CAPACITY)
    assert await graded(t, cell) == ("A", "class A because SOH 90.895–91.105 % (✓ ≥ 90)")
    assert (await graded(t, other))[0] == ""
    found = await stated(t, cell)
    assert (found.capacity_ah, found.soh_pct) == (Decimal("45.5000"), Decimal("91.000"))
    assert found.efficiency_pct == Decimal("95.349")
    assert (found.method, found.method_version, found.coverage) == (
        "capacity-by-discharge", "1.0", Decimal("0.95"),
    )  # fmt: skip
    (kept,) = await t.read(COLLECTOR, lambda desk: recorded_tests(desk, cell))
    assert (found.measurement_digest, found.transcript_digest) == (kept.digest, "ab" * 32)
    assert all(len(one) == len("sha256:") + 64 for one in (found.code_digest, found.inputs_digest))
    assert all(one.formula and one.lower and one.upper for one in found.figures)
    assert (await t.whats(COLLECTOR, cell))[-1] == "diagnosed"
    await t.do(COLLECTOR, "grade-items", items=[cell])


async def test_each_kind_states_its_figure_with_interval_and_formula(t: Town) -> None:
    cell, _ = await t.codes(COLLECTOR, "cell")
    expected = {
        "ocv_v": (REST, "3.71000", "3.70942", "3.71058"),
        "dc_resistance_ohm": (PULSE, "0.002000", "0.001984", "0.002016"),
        # 100·0.9/45.5·730.5/720 = 2.0069 %; its error, √2·0.1 %·2/√3·44.6/45.5, is 0.162.
        "self_discharge_pct_per_month": (LOSS, "2.007", "1.844", "2.169"),
    }
    for name, (row, *figures) in expected.items():
        await record(t, cell, row)
        (one,) = (await stated(t, cell)).figures
        assert one.quantity == name
        assert [one.value, one.lower, one.upper] == list(map(Decimal, figures))
        assert one.formula
        assert getattr(await stated(t, cell), name) == one.value
    assert len(await t.read(COLLECTOR, lambda desk: recorded_tests(desk, cell))) == 3


async def test_a_slope_makes_a_loss_of_charge_of_two_voltages(t: Town) -> None:
    cell, _ = await t.codes(COLLECTOR, "cell")
    row = {k: v for k, v in LOSS.items() if not k.endswith("_ah")} | {"before_v": 3.71, "after_v": 3.70}
    await record(t, cell, row | {"slope_pct_per_v": 150})
    assert (await stated(t, cell)).self_discharge_pct_per_month == Decimal("1.522")


OUTSIDE: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("temperature", CAPACITY | {"temperature_c": 12}, "12 °C is not between 20 and 30 °C."),
    ("window", CAPACITY | {"soc_to_pct": 20}, "The discharge went from 100 % to 20 %"),
    ("calibration", CAPACITY | {"calibrated_on": "2024-01-10"}, "The instrument was calibrated 833 days"),
    ("rest", REST | {"readings": "0 3.72; 600 3.711"}, "The rest of 0.167 h is too short"),
    ("settled", REST | {"readings": "0 3.72; 1800 3.71; 3600 3.70"}, "The voltage has not settled"),
    ("pulse", PULSE | {"current_a": 0}, "A pulse without a current"),
    ("step", PULSE | {"after_v": 3.7096}, "The voltage moved by 0.4 mV, no more than its error"),
    ("direction", PULSE | {"current_a": -50}, "The voltage moved the wrong way"),
    ("rest", LOSS | {"ended": "2026-04-23T09:00+09:00"}, "The rest of 24.9 h is too short: 72 h"),
    ("gain", LOSS | {"after_ah": 46.5}, "More was found after the rest"),
    (
        "slope",
        AROUND | {"kind": "self-discharge", "ended": LOSS["ended"], "before_v": 3.71, "after_v": 3.70},
        "How the charge follows the voltage is not given",
    ),
)


async def test_outside_its_domain_a_test_gives_the_reason_and_never_a_number(t: Town) -> None:
    cell, _ = await t.codes(COLLECTOR, "cell")
    for minute, (gate, row, words) in enumerate(OUTSIDE):
        await record(t, cell, row | {"began": f"2026-04-22T08:{minute:02d}+09:00"})
        found = await stated(t, cell)
        assert found.gate_closed == gate
        assert found.not_assessable.startswith(words)
        assert recall(found.not_assessable, "ja") != found.not_assessable
        assert all(one.value is None for one in found.figures)
        assert found.soh_pct is None
    assert (await t.whats(COLLECTOR, cell))[-1] != "diagnosed"
    assert (await graded(t, cell))[0] == ""


async def test_a_test_of_something_else_takes_no_class_away_and_a_failed_capacity_does(t: Town) -> None:
    cell, _ = await t.codes(COLLECTOR, "cell")
    await record(t, cell, CAPACITY)
    await record(t, cell, PULSE, PULSE | {"began": "2026-04-22T10:00+09:00", "current_a": 0})
    assert (await graded(t, cell))[0] == "A"
    await record(t, cell, CAPACITY | {"began": "2026-04-22T08:00+09:00", "temperature_c": 5})
    assert await graded(t, cell) == ("", "not gradable: needs SOH")


async def test_a_reuse_lot_is_offered_by_its_state_of_health_though_a_pulse_came_after(t: Town) -> None:
    cells = await t.codes(COLLECTOR, "cell")
    for cell in cells:
        await record(t, cell, CAPACITY, PULSE)
    await t.do(COLLECTOR, "grade-items", items=cells)
    form: dict[str, object] = {"items": cells, "purpose": "reuse", "price_jpy": 10}
    thread = (await t.do(COLLECTOR, "offer-lot", REUSE_MANUFACTURER, **form)).thread
    await t.do(REUSE_MANUFACTURER, "order-lot", thread)
    await t.do(COLLECTOR, "ship-lot", thread, carrier="Yamato")
    assert t.refusals == []
    assert "belongs to another company" in await refused(
        t, Misstep, CAPACITY | {"error_v": 0.1}, item=cells[0]
    )


async def test_the_same_test_is_kept_once_and_another_of_its_name_is_refused(t: Town) -> None:
    cell, other = await t.codes(COLLECTOR, "cell")
    await record(t, cell, CAPACITY, CAPACITY | {"item": other})
    before = await t.books(COLLECTOR)
    await record(t, cell, CAPACITY)
    assert await t.books(COLLECTOR) == before
    words = await refused(t, Invalid, CAPACITY | {"discharge_ah": 40}, item=cell)
    assert words.endswith("is recorded with other figures")
    assert (await refused(t, Invalid, PULSE, PULSE, item=cell)).endswith("stands here twice")


async def test_a_csv_file_of_several_cells_is_the_same_behind_page_and_command(
    t: Town, tmp_path: Path
) -> None:
    cells = await t.codes(COLLECTOR, "cell")
    other = CAPACITY | {"discharge_ah": 42, "charge_ah": 43, "charge_wh": 160, "discharge_wh": 151}
    rows = [CAPACITY | {"item": cells[0]}, other | {"item": cells[1]}]
    file = tmp_path / "tests.csv"
    lines = [",".join(CAPACITY | {"item": ""}), *(",".join(map(str, row.values())) for row in rows)]
    file.write_text("\n".join(lines), "utf-8")
    asked, _ = Form(RECORD_TEST.form).read({"field_tests": (f"@{file}",)})
    (field,) = (one for one in fields_of(RECORD_TEST.form) if one.name == "tests")
    assert asked["tests"] == from_file(field, file.read_bytes())
    await record(t, cells[0], *asked["tests"])
    assert [(await graded(t, cell))[0] for cell in cells] == ["A", "B"]


BAD: tuple[tuple[dict[str, Any], str], ...] = (
    (CAPACITY | {"discharge_ah": -45}, "discharge_ah of {} is below zero"),
    (CAPACITY | {"discharge_ah": "nan"}, "discharge_ah of {} is not a finite number"),
    (CAPACITY | {"temperature_c": "inf"}, "temperature_c of {} is not a finite number"),
    (CAPACITY | {"discharge_ah": 45500}, "discharge_ah of {} is 45500, more than 5000: is the unit right?"),
    (CAPACITY | {"discharge_ah": 455}, "455 Ah cannot have flowed in 5 h at 20 A: is the unit right? {}"),
    (
        CAPACITY | {"discharge_wh": 0.164},
        "0.164 Wh for 45.5 Ah is outside the voltage limits: right unit? {}",
    ),
    (CAPACITY | {"rated_ah": 5000}, "45.5 Ah is no capacity of a cell rated 5000 Ah: is the unit right? {}"),
    (CAPACITY | {"discharge_ah": 0}, "discharge_ah and rated_ah of {} must be above zero"),
    (CAPACITY | {"lower_v": 4.3}, "the lower voltage limit of {} is not below the upper one"),
    (CAPACITY | {"soc_from_pct": 101}, "soc_from_pct of {} is 101, more than 100: is the unit right?"),
    (CAPACITY | {"ended": "2026-04-22T08:00+09:00"}, "the test of {} ends before it begins"),
    (CAPACITY | {"ended": "2126-04-22T08:00+09:00"}, "the test of {} ends in the future"),
    (CAPACITY | {"began": "2026-04-22T09:00"}, "the times of a test need a time zone"),
    (CAPACITY | {"began": "noon"}, "“noon” is no time such as 2026-04-22T09:00+09:00"),
    (CAPACITY | {"calibrated_on": "2026-05-01"}, "the instrument was calibrated only after the test of {}"),
    (CAPACITY | {"file_sha256": ""}, "add the instrument's own file, or its SHA-256 in the row of {}"),
    (CAPACITY | {"pulse_s": 10}, "a test of the kind capacity has no pulse_s"),
    (AROUND | {"kind": "capacity"}, "a test of the kind capacity needs discharge_ah"),
    (PULSE | {"before_v": 371, "current_a": 5}, "more than 10 Ω: are the units of {} right?"),
    (PULSE | {"before_v": 3710}, "before_v of {} is 3710, more than 1500: is the unit right?"),
    (PULSE | {"pulse_s": 0}, "the pulse of {} must last, and no longer than the test"),
    (REST | {"readings": "0 3.7; 10"}, "the readings of {} are not pairs of seconds and volts"),
    (REST | {"readings": "0 3.7"}, "a rest needs two readings or more, each a time and a voltage: {}"),
    (REST | {"readings": "60 3.7; 0 3.7"}, "the readings of {} are not in order of time"),
    (REST | {"readings": "0 3.7; 90000 3.7"}, "the readings of {} go on after the test has ended"),
    (LOSS | {"after_ah": None}, "give two voltages or two capacities of {}, before and after"),
    (LOSS | {"before_v": 3.7}, "give two voltages or two capacities of {}, before and after"),
)


async def test_what_cannot_be_true_is_refused_in_its_own_words(t: Town) -> None:
    cell, _ = await t.codes(COLLECTOR, "cell")
    for row, words in BAD:
        assert await refused(t, Invalid, row, item=cell) == words.format(cell)


async def test_only_a_cell_that_is_here_is_tested(t: Town) -> None:
    cell, _ = await t.codes(COLLECTOR, "cell")
    (pack,) = await t.codes(COLLECTOR, "pack")
    assert await refused(t, Invalid, CAPACITY, item=pack) == f"{pack} is a pack, not a cell"
    assert await refused(t, Invalid, CAPACITY, item=None) == "scan the cell, or name it in each row"
    stranger = mint("cell", mint("pack"), 1)
    assert await refused(t, Unknown, CAPACITY, item=stranger) == f"we have no item {stranger}"
    mistyped = cell[:-1] + ("A" if cell[-1] != "A" else "B")
    assert "check character" in await refused(t, Invalid, CAPACITY | {"item": mistyped}, item=None)
