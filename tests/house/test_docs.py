"""Documents that fail the build when they lie."""

import re
from pathlib import Path

import pytest

from .tree import ROOT, files

ADR = ROOT / "docs" / "adr"
FENCE = re.compile(r"^```.*?^```", re.M | re.S)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)>?[^)]*\)|\b(?:src|href)=\"([^\"]+)\"")


def headings(text: str) -> set[str]:
    """Give the anchors of a page's headings, spelt as the forges spell them."""
    found = re.findall(r"^#+ +(.+?) *#*$", FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}


def dead_links(page: Path) -> list[str]:
    """Give the page's links to files that are not there, or to headings that are not in them."""
    text = FENCE.sub("", page.read_text("utf-8"))
    dead = []
    for link in (a or b for a, b in LINK.findall(text)):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        lost = (
            target.is_file()
            and anchor
            and target.suffix == ".md"
            and anchor not in headings(target.read_text("utf-8"))
        )
        if not target.exists() or lost:
            dead.append(link)
    return dead


def test_every_link_leads_to_a_file() -> None:
    dead = {str(page.relative_to(ROOT)): links for page in files(".md") if (links := dead_links(page))}
    assert dead == {}


@pytest.mark.parametrize("link", ["gone.md", "page.md#gone", "#gone"])
def test_a_dead_link_is_found(tmp_path: Path, link: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n\n[live](page.md#here), [web](https://example.org), [dead]({link})\n", "utf-8")
    assert dead_links(page) == [link]


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in files(".md") if path.parent == ADR and path.name[0].isdigit()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_decisions_are_listed_and_shaped_alike() -> None:
    index = (ADR / "README.md").read_text("utf-8")
    for path in ADR.glob("[0-9]*.md"):
        text = path.read_text("utf-8")
        assert f"({path.name})" in index, f"docs/adr/README.md does not list {path.name}"
        assert text.startswith(f"# {int(path.name[:4])}. "), (
            f"{path.name} does not start with its number and title"
        )
        parts = re.findall(r"^## (.+)$", text, re.M)
        assert [part for part in ("Context", "Decision", "Consequences") if part not in parts] == [], (
            path.name
        )


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    assert re.search(r"^## \[?Unreleased\]?$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)


def test_the_licence_is_there() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text("utf-8")
