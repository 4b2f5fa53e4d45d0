"""The glossary gives each term once, in both languages."""

import re

from schemas.items import KINDS

from .tree import ROOT


def rows() -> list[list[str]]:
    """Give the glossary's rows, without the tables' heads and rules."""
    lines = (ROOT / "docs" / "glossary.md").read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in cells if row[0] != "English"]


def test_each_term_is_given_once_and_in_full() -> None:
    assert [row for row in rows() if len(row) != 4 or not all(row)] == []
    terms = [row[0] for row in rows()]
    assert sorted(terms) == sorted(set(terms))


def test_each_language_keeps_to_its_column() -> None:
    japanese = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
    assert [row[0] for row in rows() if japanese.search(row[0] + row[2])] == []
    assert [row[0] for row in rows() if not japanese.search(row[3])] == []


def test_every_kind_of_item_is_explained() -> None:
    explained = " ".join(row[0] for row in rows())
    assert [kind for kind in KINDS if kind not in explained] == []
