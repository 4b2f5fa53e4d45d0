"""The agent as a process: it says in one line why it does not start, and stops when told."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from time import sleep
from urllib.error import URLError
from urllib.request import urlopen

import pytest

START = [sys.executable, "-m", "agents.cli", "start"]


def environment(home: Path, **changes: str) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("MEGURI_")}
    ports = {}
    for name in ("DIDCOMM", "WEB", "ADMIN"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports[f"MEGURI_{name}_PORT"] = str(probe.getsockname()[1])
    own = {"MEGURI_HOME": str(home), "MEGURI_NAME": "Dita", "MEGURI_ROLES": "dismantler"}
    return inherited | ports | own | changes


def ready(url: str) -> bool:
    try:
        with urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (URLError, OSError):
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_it_becomes_ready_and_stops_at_a_signal_with_status_zero(
    tmp_path: Path, number: signal.Signals
) -> None:
    settings = environment(tmp_path)
    with subprocess.Popen(START, env=settings, stderr=subprocess.PIPE, umask=0o022) as process:
        try:
            while process.poll() is None and not ready(
                f"http://127.0.0.1:{settings['MEGURI_WEB_PORT']}/ready"
            ):
                sleep(0.05)
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert b"Traceback" not in errors
    assert b"ready after" in errors
    open_to_others = {place.name for place in tmp_path.rglob("*") if place.stat().st_mode & 0o077}
    assert open_to_others == set(), "books, wallet and files are for the owner alone"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"MEGURI_DATABASE_URL": "mysql://example.org/books"}, "not a database we can use"),
        ({"MEGURI_ROLES": "florist"}, "there is no role"),
        ({"MEGURI_WEB_PORT": "many"}, "web_port cannot be many"),
        ({"MEGURI_NAME": ""}, "say the company's name"),
    ],
)
def test_it_says_in_one_line_why_it_does_not_start(
    tmp_path: Path, changes: dict[str, str], words: str
) -> None:
    done = subprocess.run(
        START,
        env=environment(tmp_path, **changes),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert words in last
    assert "Traceback" not in done.stderr
