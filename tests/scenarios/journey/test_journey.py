"""The whole journey with real processes, and what the governance authority learns of it: nothing.

One run of the demo serves every test here: its five folders, databases and logs stay behind.
"""

import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from agents.demo import COMPANIES

ROOT = Path(__file__).parents[3]
OTHERS = [role for role in COMPANIES if role != "governance-authority"]
PRICES = (38000, 16500)


@dataclass(frozen=True)
class Played:
    """A demo that has run to its end."""

    folder: Path
    said: str
    complaint: str
    status: int

    def rows(self, role: str, query: str) -> list[tuple[object, ...]]:
        """Query a company's database."""
        (database,) = (self.folder / role).glob("books.db")
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            return connection.execute(query).fetchall()

    def everything(self, role: str) -> str:
        """Return all a company's database and log hold, as text."""
        (database,) = (self.folder / role).glob("books.db")
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
            dump = "\n".join(connection.iterdump())
        return dump + (self.folder / role / "agent.log").read_text(errors="replace")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MEGURI_")}
    done = subprocess.run(
        [sys.executable, "-m", "agents.demo", "--folder", str(folder)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    return Played(folder, done.stdout, done.stderr, done.returncode)


def test_the_demo_plays_to_its_end(played: Played) -> None:
    assert played.status == 0, played.said + played.complaint
    assert "Traceback" not in played.said + played.complaint
    assert "skipped" in played.said, "the cell with the bad contact is skipped, and it shows"


def test_no_agent_is_left_running(played: Played) -> None:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = process.read_bytes()
        except OSError:
            continue
        assert str(played.folder).encode() not in command


def test_no_agent_complained(played: Played) -> None:
    for role in COMPANIES:
        log = (played.folder / role / "agent.log").read_text(errors="replace")
        assert "Traceback" not in log, f"{role}: {log[-3000:]}"


def test_both_sides_of_every_exchange_hold_the_same_state(played: Played) -> None:
    states: dict[str, set[object]] = {}
    for role in COMPANIES:
        for thread, state in played.rows(role, "select thread, state from exchange"):
            states.setdefault(str(thread), set()).add(state)
    assert states
    assert {thread: held for thread, held in states.items() if len(held) > 1} == {}


def test_every_message_was_acknowledged_and_none_refused(played: Played) -> None:
    for role in COMPANIES:
        counted = played.rows(role, "select status, count(*) from message group by status")
        assert {status for status, _ in counted} == {"taken"}, (role, counted)


def codes_of(played: Played, role: str) -> set[str]:
    return {str(code) for (code,) in played.rows(role, "select code from item")}


def test_the_authority_holds_no_identifier_of_any_item(played: Played) -> None:
    codes = set().union(*(codes_of(played, role) for role in OTHERS))
    assert len(codes) > 15
    held = played.everything("governance-authority")
    assert sorted(code for code in codes if code in held) == []
    bases = {code.split("-")[0] for code in codes}
    assert sorted(base for base in bases if base in held) == []
    assert codes_of(played, "governance-authority") == set()


def test_the_authority_holds_no_price_and_no_chassis_number(played: Played) -> None:
    held = played.everything("governance-authority")
    assert "price" not in held.lower()
    for secret in (*map(str, PRICES), "ZE0-012345", "Truck 4", "MT-2207"):
        assert secret not in held
        assert any(secret in played.everything(role) for role in OTHERS), (
            "the test must look for real secrets"
        )


def test_the_authority_cannot_tell_who_deals_with_whom(played: Played) -> None:
    """What a member sent names no other member, in the database or anywhere in the wallet's connections."""
    names = dict(played.rows("governance-authority", "select did, name from peer"))
    assert len(names) == len(OTHERS)
    sent = played.rows(
        "governance-authority",
        "select peer.did, message.body from message join peer on message.peer = peer.id where not outward",
    )
    assert sent
    for sender, body in sent:
        for did, name in names.items():
            if did != sender:
                assert str(did) not in str(body)
                assert str(name) not in str(body)


def test_a_member_is_told_of_all_members_at_once_so_that_asking_reveals_nothing(played: Played) -> None:
    kinds = {
        str(kind)
        for (kind,) in played.rows("governance-authority", "select kind from message where not outward")
    }
    assert kinds <= {"hello", "welcome", "apply", "request-audit", "resign", "retract"}


def test_the_audit_names_its_subject_by_a_pseudonym(played: Played) -> None:
    (claims,) = played.rows(
        "governance-authority", "select document from credential where type = 'Prediction'"
    )
    subject = json.loads(str(claims[0]))["credentialSubject"]["subject"]
    assert subject.startswith("urn:meguri:subject:")
    cells = codes_of(played, "reuse-manufacturer")
    assert not any(cell in str(claims[0]) for cell in cells)


def test_the_chassis_number_stays_between_dismantler_and_collector(played: Played) -> None:
    for role in ("reuse-manufacturer", "recycler", "governance-authority"):
        assert "ZE0-012345" not in played.everything(role)
