"""What a terminal shows is aligned and harmless."""

import re

from hypothesis import given
from hypothesis import strategies as st

from agents.cli.call import as_json
from agents.cli.paper import Ink, Paper, clean, clipped, columns, loud

TEXT = st.text(max_size=30)
PLAIN = st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=30)


def sheet(*, colour: bool = False, width: int | None = None) -> tuple[Paper, list[str]]:
    lines: list[str] = []
    return Paper(lines.append, colour, width), lines


@given(TEXT, st.booleans())
def test_nothing_shown_can_steer_the_terminal(text: str, colour: bool) -> None:
    paper, lines = sheet(colour=colour)
    paper.line(text, loud(text))
    paper.table(["a"], [[text], [Ink(text, "red")]])
    paper.pairs([(text, text)])
    for line in lines:
        assert line.endswith("\n")
        plain = re.sub(r"\x1b\[[0-9;]*m", "", line[:-1])
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", plain)


@given(TEXT, st.integers(0, 40))
def test_what_is_clipped_fits(text: str, width: int) -> None:
    text = clean(text)
    assert columns(clipped(text, width)) <= max(width, 0)
    if columns(text) <= width:
        assert clipped(text, width) == text


@given(st.lists(st.tuples(PLAIN, PLAIN, PLAIN), min_size=1, max_size=5))
def test_columns_stand_below_each_other(rows: list[tuple[str, str, str]]) -> None:
    paper, lines = sheet()
    paper.table(["left", "middle", "right"], [(f"x{a}", f"y{b}", f"z{c}|") for a, b, c in rows])
    ends = {
        columns(line[: line.index("z" + row[2] + "|")]) for line, row in zip(lines[1:], rows, strict=True)
    }
    assert len(ends) == 1


@given(st.lists(st.tuples(PLAIN, PLAIN, PLAIN), min_size=1, max_size=5), st.integers(40, 120))
def test_a_table_keeps_to_the_window(rows: list[tuple[str, str, str]], width: int) -> None:
    paper, lines = sheet(width=width)
    paper.table(["left", "middle", "right"], rows)
    assert all(columns(line[:-1]) <= width for line in lines)


def test_wide_characters_take_two_columns() -> None:
    assert columns("リーフ ZE1") == 10
    assert columns("e\u0301") == 1


def test_colour_is_only_where_it_is_wanted() -> None:
    plain, colourful = sheet(), sheet(colour=True)
    for paper, _ in (plain, colourful):
        paper.line(loud("x"))
    assert plain[1] == ["x\n"]
    assert colourful[1] == ["\x1b[1mx\x1b[0m\n"]


@given(st.dictionaries(TEXT, TEXT))
def test_json_is_read_back_as_it_was_and_harmless(document: dict[str, str]) -> None:
    import json

    text = as_json(document)
    assert json.loads(text) == document
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    text.encode()
