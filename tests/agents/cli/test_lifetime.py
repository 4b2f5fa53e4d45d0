import json
import math
from datetime import date, timedelta
from pathlib import Path

import pytest

from agents.cli.front import run

TERMS = """
threshold_pct = 90
cycles = 300
years = 5
cycles_per_year = 100
[[tiers]]
up_to_share = 1.0
payout = 1000
"""


@pytest.fixture
def history(tmp_path: Path) -> Path:
    place = tmp_path / "history.csv"
    rows = [
        f"m,{cell},{20 * i},{2 - 0.0002 * 20 * i + 0.002 * math.sin(i + cell)},2.0"
        for cell in (1, 2)
        for i in range(25)
    ]
    place.write_text("dataset,cell,cycle,capacity_Ah,nominal_Ah\n" + "\n".join(rows) + "\n", "utf-8")
    return place


def told(capsys: pytest.CaptureFixture[str], *args: object) -> dict[str, object]:
    assert run([*map(str, args), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def test_a_warranty_is_priced_for_each_cell_and_for_the_lot(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terms = tmp_path / "terms.toml"
    terms.write_text(TERMS, "utf-8")
    made = told(capsys, "warranty", "price", terms, history, "--paths", 500, "--vary", "threshold_pct=80,94")
    cases = made["cases"]
    assert isinstance(cases, list)
    low, high = cases[1]["lot"]["mean"], cases[2]["lot"]["mean"]
    assert low < cases[0]["lot"]["mean"] < high
    assert [cell["cell"] for cell in cases[0]["cells"]] == ["1", "2"]
    assert cases[0]["lot"]["mean"] == pytest.approx(sum(c["mean"] for c in cases[0]["cells"]), abs=1e-3)
    assert run(["warranty", "price", str(terms), str(history), "--paths", "500"]) == 0
    assert "lot of 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("threshold", "is no TOML"),
        (TERMS.replace("cycles = 300", ""), "cycles"),
        (TERMS.replace("= 90", "= 900"), "threshold"),
        (TERMS.replace("1.0", "0.5"), "tiers"),
        (TERMS + "extra = 1\n", "extra"),
    ],
)
def test_terms_that_cannot_be_meant_are_refused_in_words(
    text: str, words: str, history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    terms = tmp_path / "terms.toml"
    terms.write_text(text, "utf-8")
    assert run(["warranty", "price", str(terms), str(history)]) != 0
    assert words in capsys.readouterr().err


def test_how_long_a_cell_will_serve_is_said_in_years(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = told(capsys, "lifetime", "remaining", history, "--threshold", 90, "--per-day", 2)
    cells = made["cells"]
    assert isinstance(cells, list)
    assert all(cell["years"] == pytest.approx(cell["cycles"] / 2 / 365.25, abs=0.01) for cell in cells)
    assert run(["lifetime", "remaining", str(history), "--threshold", "90"]) == 0
    assert "% likely above 90 %" in capsys.readouterr().out


def test_the_methods_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    methods = told(capsys, "lifetime")["methods"]
    assert isinstance(methods, list)
    assert [m["method"] for m in methods if m["default"]] == ["fleet-weighted"]


def dated(history: Path, dates: list[str]) -> Path:
    lines = history.read_text("utf-8").splitlines()
    rows = [f"{row},{day}" for row, day in zip(lines[1:26], dates, strict=True)]
    history.write_text("\n".join([lines[0] + ",date", *rows]) + "\n", "utf-8")
    return history


def test_years_follow_the_pace_of_the_check_ups_where_they_are_dated(
    history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assumed = told(capsys, "lifetime", "remaining", history, "--threshold", 90)["cells"]
    assert isinstance(assumed, list)
    assert assumed[0]["pace"] == "assumed"
    # 480 cycles in 240 days.
    days = [(date(2026, 1, 1) + timedelta(days=10 * i)).isoformat() for i in range(25)]
    by_date = told(capsys, "lifetime", "remaining", dated(history, days), "--threshold", 90)
    assert (by_date["cycles_per_day"], by_date["pace"]) == (2.0, "as so far")
    assert by_date["years"] == pytest.approx(assumed[0]["years"] / 2, abs=0.01)
    given = told(capsys, "lifetime", "remaining", history, "--threshold", 90, "--per-day", 1)
    assert (given["pace"], given["years"]) == ("given", assumed[0]["years"])


@pytest.mark.parametrize(
    ("day", "words"), [("2025-01-01", "goes back"), ("1 April", "is no date"), ("2026-13-01", "is no date")]
)
def test_dates_that_make_no_sense_are_refused(
    day: str, words: str, history: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    days = ["2026-01-01"] * 24 + [day]
    assert run(["lifetime", "remaining", str(dated(history, days))]) != 0
    assert words in capsys.readouterr().err
