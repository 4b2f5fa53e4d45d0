import re
from pathlib import Path

import pytest

import credentials
from credentials import integrity, jwt, sdjwt, webvh

README = (Path(credentials.__file__).parent / "README.md").read_text()


def test_the_readmes_example_runs_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    (promised,) = re.findall(r"print\(.*\)  # (.*)", example)
    assert capsys.readouterr().out.strip() == promised


def test_the_readme_names_every_check_in_its_table() -> None:
    table = README.split("| check |")[1].split("\n\n")[0]
    first_columns = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert {name for column in first_columns for name in re.findall(r"`([^`]+)`", column)} == set(
        integrity.WORDS
    )


def test_the_readme_names_the_checks_of_every_seal() -> None:
    rows = {
        name
        for line in README.splitlines()
        if line.startswith("| `")
        for name in re.findall("`([^`]+)`", line)
    }
    assert set(integrity.WORDS) | set(jwt.WORDS) | set(sdjwt.WORDS) | set(webvh.WORDS) <= rows
