"""The diagnosis station: what is on the racks, what begins and ends a shift, and what is on record beside it.

What is scanned and what came of it is a note of ours, which changes; what is on record of instruments and
room is kept as measurements are, under names no item has.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

import rfc8785
from pydantic import Field

from agents.role import Action, Books, Case, Effect, Job, Keep, Note, Start, Stop
from agents.roles.life import Form, Nothing, known
from instruments.care import Care, Climate, Limits, ZeroAdjustment
from instruments.load import RELAYS, Load, Place, is_command, read_place
from quality.lifecycle import Life, may_follow
from schemas.errors import Invalid, Misstep
from schemas.items import Code, read_code

DIAGNOSIS = "diagnosis"
# In the table of an item's life: what it means to be measured, and to be another's now.
MEASURING, GONE = frozenset({"diagnosed"}), frozenset({"shipped", "delivered"})
LOAD, RACKS, LIMITS = "load", "racks", "care limits"
type By = Literal["sweep", "fast", "both"]
ROOM, ZERO, CALIBRATION = "station/room", "station/zero-adjustment", "station/calibration"
READINGS_KEPT_IN_MIND = 500
MOST_RACKS = 16


class ScanForm(Form):
    """What was scanned."""

    scan: str = Field(min_length=1, max_length=80, title="Cell or channel")


class UnloadForm(Form):
    """Which channels are empty again."""

    channels: tuple[str, ...] = Field(default=(), max_length=528, title="Channels; none: all")


class DiagnoseForm(Form):
    """What holds for all cells of a shift."""

    cells: tuple[Code, ...] = Field(
        default=(), max_length=528, title="Cells, by channel; none: those that were scanned"
    )
    temperature_c: Decimal | None = Field(
        default=None, ge=-20, le=60, title="Room temperature (°C); empty: as last recorded"
    )
    soc_pct: Decimal | None = Field(default=None, ge=0, le=100, title="State of charge (%)")
    by: By = Field(default="sweep", title="Measure by")


class RepeatForm(Form):
    """Which cells to measure once more."""

    cells: tuple[Code, ...] = Field(default=(), max_length=528, title="Cells; none: those that were skipped")


class RoomForm(Form):
    """What the room is like now."""

    temperature_c: Decimal = Field(ge=-20, le=60, title="Room temperature (°C)")
    humidity_pct: Decimal | None = Field(default=None, ge=0, le=100, title="Humidity (%)")
    air_conditioning: str = Field(default="", max_length=80, title="Air-conditioning is set to")


class ZeroForm(Form):
    """A zero adjustment that was made just now with the shorting bar."""

    zero_adjustment: str = Field(min_length=1, max_length=40, title="Name of the zero adjustment")
    meter_serial: str = Field(min_length=1, max_length=40, title="Serial number of the meter")
    range_ohm: Decimal = Field(default=Decimal("0.1"), gt=0, le=10, title="Range (Ω)")
    rate: Literal["FAST", "MED", "SLOW"] = Field(default="MED", title="Rate")


class LimitsForm(Form):
    """From when on there is something to see to."""

    relay_life: int = Field(
        default=Limits.relay_life, ge=1, le=10**9, title="Life of a relay (times switched)"
    )
    zero_valid_h: Decimal = Field(
        default=Decimal(24), gt=0, le=8784, title="A zero adjustment holds for (hours)"
    )
    calibration_notice_d: int = Field(
        default=30, ge=0, le=366, title="Notice before a calibration ends (days)"
    )


class CalibrationForm(Form):
    """How long an instrument's calibration holds."""

    serial: str = Field(min_length=1, max_length=40, title="Serial number of the instrument")
    calibrated_until: date = Field(title="Calibrated until")


# What is on the racks


def load_of(books: Books) -> Load:
    """Return what is on the racks, of which there are as many as the agent was told of."""
    racks = int(books.note(RACKS).get("racks", 1))
    return Load.from_json({**books.note(LOAD), "racks": racks})


def _noted(load: Load) -> Note:
    return Note(LOAD, load.to_json())


def places_of(job: Job) -> dict[Place, str]:
    """Return the cells of a diagnosis by their places."""
    told: Mapping[str, str] = job.details["places"]
    found = {read_place(place, MOST_RACKS): cell for place, cell in told.items()}
    return {place: cell for place, cell in found.items() if place is not None}


def by_of(job: Job) -> By:
    """Return how the cells of a diagnosis are measured."""
    found: By = job.details.get("by", "sweep")
    return found


def analysers_of(books: Books) -> frozenset[int]:
    """Return which racks have a fast analyser."""
    return frozenset(map(int, books.note(RACKS).get("analysers", ())))


def _running(books: Books) -> list[Job]:
    return [job for job in books.jobs("queued", "running") if job.job == DIAGNOSIS]


def _free(books: Books, racks: Iterable[int]) -> None:
    busy = {place.rack for job in _running(books) for place in places_of(job)}
    for rack in sorted(busy.intersection(racks)):
        raise Misstep("rack {rack} is measuring; wait until it is done, or stop it", rack=rack)


def measurable(books: Books, code: str) -> None:
    """Raise where a cell is unknown, not ours, or not in a state to be measured."""
    (item,) = known(books, [code], "cell")
    state = Life(code, "cell", books.events(code, ours=True)).state
    if MEASURING.intersection(may_follow("cell", state)):
        return
    if state in GONE or (state == "new" and item.registrar != books.company.did):
        raise Misstep("{code} belongs to another company", code=code)
    raise Misstep("{code} cannot be measured: it is {state}", code=code, state=state)


def scan(form: ScanForm, case: Case) -> list[Effect]:
    """Take a scan at the station: a cell, then the channel it is on, or the other way round."""
    load = load_of(case.books)
    after = load.scanned(_spelt(form.scan))
    before = {"", load.cell, *load.cells.values()}
    for cell in {after.cell, *after.cells.values()} - before:
        measurable(case.books, cell)
    changed = (after.place, *(after.cells.keys() ^ load.cells.keys()))
    _free(case.books, {place.rack for place in changed if place})
    return [_noted(after)]


def _spelt(text: str) -> str:
    """Return a scanned cell's code in its one spelling; channels and `undo` as they are."""
    return text.strip() if is_command(text.strip()) else read_code(text)


def unload_rack(form: UnloadForm, case: Case) -> list[Effect]:
    """Note that channels are empty again."""
    load = load_of(case.books)
    gone = [place for text in form.channels if (place := read_place(text, load.racks)) is not None]
    if len(gone) < len(form.channels):
        wrong = next(text for text in form.channels if read_place(text, load.racks) is None)
        raise Invalid("there is no channel {place} here", place=wrong[:20])
    chosen = [place for place in (gone if form.channels else load.cells) if place in load.cells]
    _free(case.books, {place.rack for place in chosen})
    waiting = Load(load.racks, load.cells, load.outcomes) if not form.channels else load
    return [_noted(waiting.without(chosen))]


# The shift


def diagnose_cells(form: DiagnoseForm, case: Case) -> list[Effect]:
    """Have the station measure the cells on the racks."""
    load = load_of(case.books)
    if form.cells:
        load = _put_on(form.cells, load)
    elif load.cell or load.place:
        raise Misstep("a scan waits for its partner: finish it or undo it")
    if not load.cells:
        raise Misstep("nothing is on the racks: scan a cell and its channel")
    todo = load.todo
    if not todo:
        raise Misstep("all cells on the racks have been measured; repeat them, or put others on")
    soc = str(form.soc_pct) if form.soc_pct is not None else None
    return [_noted(load), *_begin(todo, form.temperature_c, soc, form.by, case)]


def _put_on(cells: tuple[str, ...], load: Load) -> Load:
    """Return a load with these cells by channel, from the first rack on."""
    if len(set(cells)) < len(cells):
        raise Invalid("a cell cannot be on two channels")
    places = [Place(rack, channel) for rack in range(1, load.racks + 1) for channel in RELAYS]
    if len(cells) > len(places):
        raise Invalid("there is room for {places} cells on the racks", places=len(places))
    return Load(load.racks, dict(zip(places, cells, strict=False)))


def _begin(
    todo: Mapping[Place, str], temperature_c: Decimal | None, soc_pct: str | None, by: By, case: Case
) -> list[Effect]:
    for cell in todo.values():
        known(case.books, [cell], "cell")
    _free(case.books, {place.rack for place in todo})
    if by != "sweep":
        for rack in sorted({place.rack for place in todo}.difference(analysers_of(case.books))):
            raise Invalid("rack {rack} has no fast analyser", rack=rack)
    care = care_of(case.books)
    if temperature_c is None:
        now = care.room_at(case.books.now)
        if now is None:
            raise Invalid("say the room's temperature: none was recorded in the last quarter of an hour")
        temperature_c = Decimal(str(now.temperature_c))
    newest = {zero.meter_serial: zero.id for zero in care.zero_adjustments.values()}
    details = {
        "places": {str(place): cell for place, cell in todo.items()},
        "temperature_c": str(temperature_c),
        "soc_pct": soc_pct,
        "by": by,
        "zero_adjustments": newest,
        "operator": case.user or case.books.company.name,
    }
    return [Start("diagnosis", details)]


def repeat_cells(form: RepeatForm, case: Case) -> list[Effect]:
    """Have cells on the racks measured once more: these, or those that could not be measured."""
    load = load_of(case.books)
    by_cell = {cell: place for place, cell in load.cells.items()}
    for cell in form.cells:
        if cell not in by_cell:
            raise Invalid("{cell} is not on a rack", cell=cell)
    again = {by_cell[cell]: cell for cell in form.cells} if form.cells else load.missed
    if not again:
        raise Misstep("no cell on the racks was skipped")
    last = [job for job in case.books.jobs() if job.job == DIAGNOSIS][-1:]
    if not last:
        raise Misstep("nothing was measured yet")
    left = {cell: words for cell, words in load.outcomes.items() if cell not in again.values()}
    awaiting = Load(load.racks, load.cells, left, load.cell, load.place)
    # A room that is on record may have changed since; where it is not, what was told then is told again.
    now = care_of(case.books).room_at(case.books.now)
    told = None if now else Decimal(str(last[0].details["temperature_c"]))
    return [_noted(awaiting), *_begin(again, told, last[0].details["soc_pct"], by_of(last[0]), case)]


def stop_diagnosis(form: Nothing, case: Case) -> list[Effect]:
    """Stop measuring at once: the relays open, and cells without outcome stay as they are."""
    running = _running(case.books)
    if not running:
        raise Misstep("nothing is being measured")
    return [Stop(job.id) for job in running]


def came_of(case: Case, job: str, cell: str, words: str = "") -> list[Effect]:
    """Note on the load what came of a cell in a job; no words: it was measured."""
    load = load_of(case.books)
    return [_noted(load.after(cell, words))] if job and load.where(cell) else []


# What is on record beside the measurements


def care_of(books: Books) -> Care:
    """Return what is on record of the instruments and the room."""
    zeros = [ZeroAdjustment(**dict(row) | {"at": _moment(row["at"])}) for row in books.measurements(ZERO)]
    until = {row["serial"]: date.fromisoformat(row["until"]) for row in books.measurements(CALIBRATION)}
    readings = books.measurements(ROOM, READINGS_KEPT_IN_MIND)
    room = (Climate(**dict(row) | {"at": _moment(row["at"])}) for row in readings)
    return Care(
        {zero.id: zero for zero in zeros}, until, tuple(sorted(room, key=lambda one: one.at)), _limits(books)
    )


def _limits(books: Books) -> Limits:
    told = LimitsForm.model_validate(books.note(LIMITS))
    return Limits(
        relay_life=told.relay_life,
        zero_valid=timedelta(hours=float(told.zero_valid_h)),
        calibration_notice=timedelta(days=told.calibration_notice_d),
    )


def set_care_limits(form: LimitsForm, case: Case) -> list[Effect]:
    """Note from when on the relays, zero adjustments and calibrations are to be seen to."""
    return [Note(LIMITS, form.model_dump(mode="json"))]


def _moment(text: object) -> datetime:
    return datetime.fromisoformat(str(text)).astimezone(UTC)


def _keep(what: str, entry: dict[str, Any]) -> Keep:
    return Keep(what, hashlib.sha256(rfc8785.dumps(entry)).hexdigest(), entry)


def record_room(form: RoomForm, case: Case) -> list[Effect]:
    """Note the room's temperature and humidity, and what the air-conditioning is set to."""
    humidity = float(form.humidity_pct) if form.humidity_pct is not None else None
    entry = {
        "at": case.books.now.isoformat(),
        "temperature_c": float(form.temperature_c),
        "humidity_pct": humidity,
        "air_conditioning": form.air_conditioning,
    }
    return [_keep(ROOM, entry)]


def record_zero_adjustment(form: ZeroForm, case: Case) -> list[Effect]:
    """Note a zero adjustment made with the shorting bar; it stands with what that meter measures then."""
    if form.zero_adjustment in care_of(case.books).zero_adjustments:
        raise Invalid("there is a zero adjustment {id} already", id=form.zero_adjustment)
    entry = {
        "id": form.zero_adjustment,
        "at": case.books.now.isoformat(),
        "by": case.user or case.books.company.name,
        "meter_serial": form.meter_serial,
        "range_ohm": float(form.range_ohm),
        "rate": form.rate,
    }
    return [_keep(ZERO, entry)]


def record_calibration(form: CalibrationForm, case: Case) -> list[Effect]:
    """Note how long an instrument's calibration holds."""
    entry = {
        "at": case.books.now.isoformat(),
        "serial": form.serial,
        "until": form.calibrated_until.isoformat(),
    }
    return [_keep(CALIBRATION, entry)]


ACTIONS = (
    Action("scan", "Scan a cell or a channel", ScanForm, scan),
    Action("unload-rack", "Take cells off the racks", UnloadForm, unload_rack),
    Action("diagnose-cells", "Diagnose the cells on the racks", DiagnoseForm, diagnose_cells),
    Action("repeat-cells", "Measure cells once more", RepeatForm, repeat_cells),
    Action("stop-diagnosis", "Stop measuring", Nothing, stop_diagnosis),
    Action("record-room", "Record the room's temperature", RoomForm, record_room),
    Action("record-zero-adjustment", "Record a zero adjustment", ZeroForm, record_zero_adjustment),
    Action("record-calibration", "Record a calibration", CalibrationForm, record_calibration),
    Action("set-care-limits", "Set when the station warns", LimitsForm, set_care_limits, rank="manager"),
)
