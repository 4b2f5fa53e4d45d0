"""The tutorial's commands, run as they stand: in a shell, with real agents, in a fresh home."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from agents.demo import free_ports

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.M | re.S)
PORT = re.compile(r"\b80[345][012]\b")
LOOKS = {"company", "peers", "members", "inbox", "show", "items", "trace", "head"}
PATIENCE_S = 120.0


def lessons() -> list[tuple[list[str], str]]:
    """Return the commands of each block, and the output shown after it."""
    found: list[tuple[list[str], str]] = []
    for kind, text in BLOCK.findall(PAGE.read_text("utf-8")):
        if kind == "sh":
            found.append((text.replace("\\\n", " ").splitlines(), ""))
        else:
            commands, _ = found.pop()
            found.append((commands, text))
    return found


def missing(shown: str, said: str) -> str:
    """Return the first line shown that was not said, in order; `…` stands for anything."""
    lines = iter([" ".join(line.split()) for line in said.splitlines()])
    for line in shown.splitlines():
        wanted = re.compile(".*".join(re.escape(" ".join(part.split())) for part in line.split("…")))
        pattern = re.compile(wanted.pattern.replace(".*", r"\s?.*\s?"))
        if line.strip("… ") and not any(pattern.fullmatch(one) for one in lines):
            return line
    return ""


class Shell:
    """One shell that stays, as a reader's terminal does."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def run(self, command: str) -> tuple[int, str]:
        """Run one line; return its status and what it wrote."""
        assert self.process.stdin
        assert self.process.stdout
        end = f"end of {time.monotonic_ns()}"
        self.process.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n{end} %s\\n' $?\n")
        self.process.stdin.flush()
        said: list[str] = []
        for line in self.process.stdout:
            if line.startswith(end):
                return int(line.removeprefix(end)), "".join(said)
            said.append(line)
        raise AssertionError(f"the shell ended at: {command}\n{''.join(said)}")


@contextmanager
def shell(home: Path) -> Iterator[Shell]:
    """Open a shell with a home of its own, and end all that it started."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MEGURI_", "XDG_"))}
    environ |= {"HOME": str(home), "LC_ALL": "C.UTF-8"}
    process = subprocess.Popen(
        ["bash", "--norc"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=environ,
        start_new_session=True,
    )
    try:
        yield Shell(process)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def follow(terminal: Shell, commands: list[str], shown: str) -> None:
    """Give the commands of a block as a patient reader would: again, where the answer was not there yet."""
    said = ""
    until = time.monotonic() + PATIENCE_S
    for command in commands:
        status, told = terminal.run(command)
        while status and time.monotonic() < until:
            time.sleep(0.5)
            status, told = terminal.run(command)
        assert status == 0, f"{command}\n{told}"
        said += told
    looks = not LOOKS.isdisjoint(commands[-1].split()[:2])
    while looks and missing(shown, said) and time.monotonic() < until:
        time.sleep(0.5)
        said += terminal.run(commands[-1])[1]
    assert not missing(shown, said), f"“{missing(shown, said)}” is not in:\n{said}"


@pytest.mark.slow
def test_the_tutorial_can_be_followed_to_its_end(tmp_path: Path) -> None:
    if shutil.which("bash") is None or not (ROOT / ".venv/bin/meguri").exists():
        pytest.skip("needs bash, and the program in .venv")
    fixed = sorted(set(PORT.findall(PAGE.read_text("utf-8"))))
    ports = dict(zip(fixed, map(str, free_ports(len(fixed))), strict=True))
    with shell(tmp_path) as terminal:
        for commands, shown in lessons():
            follow(
                terminal,
                [PORT.sub(lambda found: ports[found[0]], command) for command in commands],
                PORT.sub(lambda found: ports[found[0]], shown),
            )


def test_the_tutorial_shows_commands_and_what_they_say() -> None:
    assert len(lessons()) > 10
    assert sum(bool(shown) for _, shown in lessons()) > 8


def test_a_line_that_was_not_said_is_missed() -> None:
    said = "one  two 3\nfour five\nsix\n"
    assert missing("one …\n…\nsix\n", said) == ""
    assert missing("six\none …\n", said) == "one …"
    assert missing("four … six", said) == "four … six"
