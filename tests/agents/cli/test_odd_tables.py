"""Tables as newcomers bring them: whatever is wrong with one, the answer is a sentence and no traceback."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agents.cli import front

HEAD = "dataset,cell,cycle,capacity_Ah,nominal_Ah\n"
TERMS = """threshold_pct = 75
cycles = 300
years = 2
cycles_per_year = 300
[[tiers]]
up_to_share = 1.0
payout = 100
"""


def table(*rows: tuple[object, object]) -> str:
    return HEAD + "".join(f"M,a,{cycle},{capacity},5\n" for cycle, capacity in rows)


FADING = [(50 * n, round(5 - 0.05 * n - 0.001 * n * n, 4)) for n in range(12)]
ODD = {
    "one point": (table((0, 5)), "too few"),
    "two points": (table((0, 5), (50, 4.9)), "too few"),
    "constant": (table(*((50 * n, 5) for n in range(9))), "never changed"),
    "rising": (table(*((50 * n, 4 + 0.05 * n) for n in range(9))), "rises"),
    "no number": (table((0, 5), (50, "NaN")), "not a number"),
    "words": (table((0, 5), (50, "good")), "not a number"),
    "endless": (table((0, 5), ("inf", 4)), "not a number"),
    "told twice": (table((0, 5), (50, 4.9), (50, 4.8)), "twice"),
    "below nothing": (table((-5, 5)), "negative"),
    "no capacity": (table((0, 0)), "not above 0"),
    "other delimiter": (table(*FADING).replace(",", ";"), "lacks the columns"),
    "other columns": ("cycle,soh\n0,100\n", "lacks the columns"),
    "nothing": ("", "is empty"),
    "a head alone": (HEAD, "no observation"),
    "another code": (table(*FADING).encode("utf-16").decode("latin-1"), ""),
}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    def done(*words: str) -> tuple[int, str]:
        status = front.run(list(words))
        told = capsys.readouterr()
        return status, told.out + told.err

    return done


type Run = Callable[..., tuple[int, str]]


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("command", ["forecast", "plot", "price"])
def test_an_odd_table_gets_a_sentence_and_no_picture(
    name: str, command: str, tmp_path: Path, run: Run
) -> None:
    text, words = ODD[name]
    place, terms, out = tmp_path / "odd.csv", tmp_path / "terms.toml", tmp_path / "out.svg"
    place.write_text(text, "latin-1" if name == "another code" else "utf-8")
    terms.write_text(TERMS)
    commands = {
        "forecast": ("lifetime", "forecast", str(place), "--at", "600,700"),
        "plot": ("lifetime", "plot", str(place), "--out", str(out)),
        "price": ("warranty", "price", str(terms), str(place)),
    }
    status, said = run(*commands[command])
    assert words in said
    assert "Traceback" not in said
    assert not out.exists()
    # A lot of which nothing can be priced is an answer too: it says so of every cell.
    assert status != 0 or command == "price"


@pytest.mark.parametrize("change", ["a mark at the beginning", "unsorted", "more columns"])
def test_what_is_only_unusual_is_read(change: str, tmp_path: Path, run: Run) -> None:
    text = {
        "a mark at the beginning": "\ufeff" + table(*FADING),
        "unsorted": table(*reversed(FADING)),
        "more columns": "\n".join(
            line + (",x" if n else ",note") for n, line in enumerate(table(*FADING).split())
        ),
    }[change]
    place, out = tmp_path / "odd.csv", tmp_path / "out.svg"
    place.write_text(text, "utf-8")
    status, said = run("--json", "lifetime", "plot", str(place), "--at", "600:900:50", "--out", str(out))
    assert status == 0, said
    assert json.loads(said)["cell"] == "a"
    assert out.read_bytes().startswith(b"<?xml")


def test_a_picture_is_of_a_kind_we_draw_and_of_one_cell(tmp_path: Path, run: Run) -> None:
    place = tmp_path / "two.csv"
    place.write_text(table(*FADING) + table(*FADING).removeprefix(HEAD).replace(",a,", ",b,"))
    assert "neither .svg nor .png" in run("lifetime", "plot", str(place), "--out", "x.gif")[1]
    assert "--cell" in run("lifetime", "plot", str(place), "--out", str(tmp_path / "x.svg"))[1]
    assert run("lifetime", "plot", str(place), "--cell", "b", "--out", str(tmp_path / "x.png"))[0] == 0
