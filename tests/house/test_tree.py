"""What the tree holds, and what it must not."""

import re
import subprocess

import pytest

from .tree import ROOT, files, names

TEXT = (
    ".py",
    ".md",
    ".toml",
    ".ini",
    ".cfg",
    ".yaml",
    ".yml",
    ".json",
    ".html",
    ".css",
    ".js",
    ".sh",
    ".mako",
)
# Written in pieces, so that this file does not find itself.
HOSTS = re.compile(
    r"\b(pypi\.|pythonhosted\.|registry\.npm|deb\.debian\.|archive\.ubuntu\.|ghcr\.|quay\.|crates\.)"
    + r"(org|js|io)\b"
)
HOMES = re.compile(r"(?<![\w.~/-])(/home/|/Users/|/ro" + r"ot/)\w")


def test_no_file_but_the_lock_names_a_registry() -> None:
    plain = [path for path in files() if path.suffix in TEXT or not path.suffix]
    naming = [path for path in plain if HOSTS.search(path.read_text("utf-8", errors="replace"))]
    assert names(naming) == []


def test_no_file_names_somebodys_home() -> None:
    plain = [path for path in files() if path.suffix in TEXT or not path.suffix]
    naming = [path for path in plain if HOMES.search(path.read_text("utf-8", errors="replace"))]
    assert names(naming) == []


def test_every_step_of_the_set_up_may_be_run() -> None:
    assert all((ROOT / script).stat().st_mode & 0o111 for script in ("bin/setup", ".ci/run"))


def test_make_helps_with_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.M)
    assert phony
    documented = re.findall(r"^([a-z-]+):.* ## \S", makefile, re.M)
    assert sorted(documented) == sorted(phony[1].split())
    help_ = subprocess.run(
        ["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert [target for target in documented if f"make {target} " not in help_] == []


@pytest.mark.parametrize("script", ["bin/setup", ".ci/run"])
def test_the_scripts_parse(script: str) -> None:
    shell = (ROOT / script).read_text("utf-8").splitlines()[0].split("/")[-1].split()[-1]
    subprocess.run([shell, "-n", script], cwd=ROOT, check=True)
