"""Tests with a cycler or a voltmeter: capacity, rest, DC resistance, self-discharge, kept and stated."""

from datetime import date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from agents.role import Action, Books, Case, Effect, Issue, Keep
from agents.roles.diagnosis import told
from agents.roles.life import Form, happened
from agents.roles.station import measurable
from instruments.electrical import FORMAT, KIND_OF, Kind, Test, from_json
from schemas.errors import Invalid
from schemas.items import Code, kind_of, read_code

MOST_TESTS = 500
_BESIDE = {"kind", "item", "readings"}


class TestRow(BaseModel):
    """One test of one cell; what its kind does not ask for stays empty."""

    __test__ = False
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True)
    kind: Kind = Field(title="Test")
    item: str = Field(default="", max_length=80, title="Cell code; empty: the one scanned")
    began: str = Field(max_length=40, title="Began (such as 2026-04-22T09:00+09:00)")
    ended: str = Field(max_length=40, title="Ended")
    temperature_c: float = Field(title="Temperature (°C)")
    instrument: str = Field(min_length=1, max_length=80, title="Instrument")
    serial: str = Field(min_length=1, max_length=40, title="Serial number of the instrument")
    calibrated_on: date = Field(title="Calibrated on")
    accuracy_pct: float = Field(title="Limit of error of current and charge (%)")
    error_v: float = Field(title="Limit of error of the voltage (V)")
    operator: str = Field(default="", max_length=80, title="Operator")
    file_sha256: str = Field(
        default="", pattern=r"^([0-9a-f]{64})?$", title="SHA-256 of the instrument's own file"
    )
    current_a: float | None = Field(default=None, title="Current (A; above zero: discharge)")
    lower_v: float | None = Field(default=None, title="Lower voltage limit (V)")
    upper_v: float | None = Field(default=None, title="Upper voltage limit (V)")
    rest_h: float | None = Field(default=None, title="Rest before (h)")
    soc_from_pct: float | None = Field(default=None, title="State of charge at the beginning (%)")
    soc_to_pct: float | None = Field(default=None, title="State of charge at the end (%)")
    charge_ah: float | None = Field(default=None, title="Charged (Ah)")
    charge_wh: float | None = Field(default=None, title="Charged (Wh)")
    discharge_ah: float | None = Field(default=None, title="Discharged (Ah)")
    discharge_wh: float | None = Field(default=None, title="Discharged (Wh)")
    rated_ah: float | None = Field(default=None, title="Rated capacity (Ah)")
    readings: str = Field(
        default="", max_length=100_000, title="Readings at rest (seconds and volts; 0 3.712; 60 3.710; …)"
    )
    before_v: float | None = Field(default=None, title="Voltage before (V)")
    after_v: float | None = Field(default=None, title="Voltage after (V)")
    pulse_s: float | None = Field(default=None, title="Read after, in the pulse (s)")
    before_ah: float | None = Field(default=None, title="Capacity before (Ah)")
    after_ah: float | None = Field(default=None, title="Capacity after (Ah)")
    slope_pct_per_v: float | None = Field(default=None, title="Slope of the charge (%/V)")


class TestForm(Form):
    """Tests that were made with a cycler or a voltmeter, of one cell or of several."""

    __test__ = False
    item: Code | None = Field(default=None, title="Cell code")
    tests: tuple[TestRow, ...] = Field(min_length=1, max_length=MOST_TESTS, title="Tests")
    files: tuple[str, ...] = Field(
        default=(), max_length=20, title="The instrument's own files", json_schema_extra={"evidence": True}
    )


def recorded_tests(books: Books, code: str) -> list[Test]:
    """Return the recorded tests of a cell, oldest first."""
    return [from_json(one) for one in books.measurements(code) if one.get("format") == FORMAT]


def record_test(form: TestForm, case: Case) -> list[Effect]:
    """Keep tests of cells as they were made, and state what they say; one that is here is not taken twice."""
    effects: list[Effect] = []
    seen: set[tuple[str, str, datetime]] = set()
    for row in form.tests:
        test = _test(row, form, case)
        named = (test.cell, test.kind, test.began)
        values = {"kind": test.kind, "code": test.cell, "at": test.began.isoformat()}
        if named in seen:
            raise Invalid("the test {kind} of {code} at {at} stands here twice", **values)
        seen.add(named)
        measurable(case.books, test.cell)
        before = recorded_tests(case.books, test.cell)
        if any(one.digest == test.digest for one in before):
            continue
        if any((one.cell, one.kind, one.began) == named for one in before):
            raise Invalid("the test {kind} of {code} at {at} is recorded with other figures", **values)
        effects += _effects(test, case)
    return effects


def _effects(test: Test, case: Case) -> list[Effect]:
    from governance.electrical import result  # numpy behind it, needed for this alone

    stated = result(test)
    effects: list[Effect] = [Keep(test.cell, test.digest, test.to_json()), Issue(stated, test.cell)]
    if stated.soh_pct is not None:
        # A test that gives no state of health takes nothing from a cell that was diagnosed.
        evidence = (test.digest, test.file_sha256)
        effects.append(
            happened(case, test.cell, "diagnosed", details=told(stated), evidence=evidence, who=test.operator)
        )
    return effects


def _test(row: TestRow, form: TestForm, case: Case) -> Test:
    code = read_code(row.item) if row.item else form.item
    if not code:
        raise Invalid("scan the cell, or name it in each row")
    if kind_of(code) != "cell":
        raise Invalid("{code} is a {kind}, not a {wanted}", code=code, kind=kind_of(code), wanted="cell")
    given: dict[str, Any] = {k: v for k, v in row if v is not None and k not in _BESIDE}
    given |= {"cell": code, "began": _moment(row.began), "ended": _moment(row.ended)}
    if given["ended"] > case.books.now:
        raise Invalid("the test of {code} ends in the future", code=code)
    given["operator"] = row.operator or case.user or case.books.company.name
    given["file_sha256"] = row.file_sha256 or (form.files[0] if len(form.files) == 1 else "")
    if not given["file_sha256"]:
        raise Invalid("add the instrument's own file, or its SHA-256 in the row of {code}", code=code)
    if row.readings:
        given["times_s"], given["voltages_v"] = _readings(row.readings, code)
    kind = KIND_OF[row.kind]
    fields = kind.__dataclass_fields__
    for name in given:
        if name not in fields:
            raise Invalid("a test of the kind {kind} has no {name}", kind=row.kind, name=name)
    for name in _NEEDED[row.kind]:
        if name not in given:
            raise Invalid("a test of the kind {kind} needs {name}", kind=row.kind, name=name)
    return kind(**given)


_NEEDED: dict[str, tuple[str, ...]] = {
    "capacity": ("discharge_ah", "soc_from_pct", "soc_to_pct"),
    "ocv-rest": ("times_s",),
    "dc-resistance": ("before_v", "after_v", "pulse_s"),
    "self-discharge": (),
}


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise Invalid("“{text}” is no time such as 2026-04-22T09:00+09:00", text=text) from None


def _readings(text: str, code: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    try:
        pairs = [
            tuple(map(float, part.split())) for part in text.replace("\n", ";").split(";") if part.strip()
        ]
        times, voltages = zip(*((t, v) for t, v in pairs), strict=True)
    except ValueError:
        raise Invalid("the readings of {code} are not pairs of seconds and volts", code=code) from None
    return times, voltages


RECORD_TEST: Action[TestForm] = Action(
    "record-test", "Record a capacity or other test", TestForm, record_test
)
