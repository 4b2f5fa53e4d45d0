"""docs/actions.md says of every action what the code says, and its examples would be taken as they stand."""

import hashlib
import json
import re
import shlex
from base64 import b64decode
from pathlib import Path
from uuid import UUID

import pytest

from agents.cli.actions import command_for, section
from agents.cli.forms import Form, read_data
from agents.cli.front import SECTIONS
from agents.forms import fields_of
from agents.service import read_form
from instruments.measurement import Measurement
from quality.lifecycle import LIFE
from schemas.claims import CLAIMS
from schemas.events import ANNULLED
from tests.docs.actions import ACTIONS, Section, facts, sections, spoken

PICTURE = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mNoAAAAggCB2kUIOwAAAABJRU5ErkJggg=="
)
EVENTS = {step.event for step in LIFE} | {ANNULLED}

every_section = pytest.mark.parametrize("shown", sections(), ids=lambda shown: shown.name)


def test_every_action_is_documented_once_and_nothing_else() -> None:
    documented = [shown.name for shown in sections()]
    assert sorted(documented) == sorted(ACTIONS)


def test_the_page_is_in_the_order_of_the_help() -> None:
    titles = [title for title in SECTIONS if any(section(one) == title for one in ACTIONS.values())]
    expected = [(title, name) for title in titles for name, one in ACTIONS.items() if section(one) == title]
    assert [(shown.part, shown.name) for shown in sections()] == expected


@every_section
def test_the_facts_are_those_of_the_code(shown: Section) -> None:
    assert shown.facts == facts(ACTIONS[shown.name])


@every_section
def test_it_names_the_statements_and_events_of_the_code_and_no_others(shown: Section) -> None:
    words = set(re.findall(r"`([^`]+)`", shown.prose))
    named = words & (CLAIMS.keys() | EVENTS)
    assert named == spoken(ACTIONS[shown.name]) & (CLAIMS.keys() | EVENTS)
    assert all(word in ACTIONS or word.startswith("meguri ") for word in words - named)


@every_section
def test_the_command_and_the_body_fill_the_same_form(
    shown: Section, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    action, body = ACTIONS[shown.name], json.loads(shown.json)
    to = body.pop("to", "")
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"[\w-]+\.png", shown.sh):
        Path(name).write_bytes(PICTURE)
    for name in ("measurement", "analysis", "fleet"):
        Path(f"{name}.json").write_text(json.dumps(body.get(name)))

    program, name, *words = shlex.split(shown.sh.replace("\\\n", " "))
    assert (program, name) == ("meguri", shown.name)
    command = command_for(action)
    with command.make_context(name, words) as context:
        given = dict(context.params)
    data, files = Form(action.form).read(given)
    if given.get("data"):
        data = read_data(given["data"]) | data
    assert read_form(action.form, data) == read_form(action.form, body)
    assert set(files) <= {hashlib.sha256(PICTURE).hexdigest()}

    if action.protocol is None:
        assert not to
    elif action.opens:
        assert given["to"] == to
    else:
        assert given["to"]
        assert str(UUID(to)) == to


@every_section
def test_the_example_shows_every_field_of_the_form(shown: Section) -> None:
    body = json.loads(shown.json)
    assert {field.name for field in fields_of(ACTIONS[shown.name].form)} == body.keys() - {"to"}


def test_the_measurement_shown_can_be_read() -> None:
    (body,) = (json.loads(shown.json) for shown in sections() if shown.name == "record-measurement")
    assert Measurement.from_json(body["measurement"]).cell == body["measurement"]["cell"]
