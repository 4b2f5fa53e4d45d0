"""The front door: help, completion, and an end in words whatever comes in."""

import io
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.cli import people, running
from agents.cli.actions import everything, section
from agents.cli.call import COMMON, PLACE, Call, Command, language_of
from agents.cli.front import ROOMS, SECTIONS, WHERE, Front, front, run
from agents.role import RANKS
from agents.roles import ROLES
from agents.words import translate

ACTIONS = everything().actions
HEAVY = ("acapy_agent", "aries_askar", "sqlalchemy", "numpy", "pyvisa", "aiohttp", "jinja2")


def ended(capsys: pytest.CaptureFixture[str], *args: str, **environ: str) -> tuple[int, str, str]:
    capsys.readouterr()
    status = run(list(args), Call({"HOME": "/nonexistent", **environ}))
    said = capsys.readouterr()
    return status, said.out, said.err


def meguri(*args: str, code: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "agents.cli"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("MEGURI", "_MEGURI"))}
    return subprocess.run(
        [sys.executable, *start, *args],
        capture_output=True, text=True, check=False, timeout=120, env=kept | environ,
    )  # fmt: skip


PATHS = [
    (name, *inner)
    for room in ROOMS
    for name, made in import_module(f"agents.cli.{room}").COMMANDS.items()
    for inner in [(), *((one,) for one in getattr(made, "commands", ()))]
]


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_a_needed_option_is_explained_in_japanese_as_well(
    capsys: pytest.CaptureFixture[str], path: tuple[str, ...]
) -> None:
    status, out, _ = ended(capsys, *path, "--help", LANG="ja_JP.UTF-8")
    assert status == 0
    assert [english for english in ("[required]", "[default:", "Options:") if english in out] == []
    made = import_module(f"agents.cli.{WHERE[path[0]]}").COMMANDS[path[0]]
    for name in path[1:]:
        made = made.commands[name]
    text = "".join(out.split())
    for option in (one for one in made.params if isinstance(one, click.Option) and not one.hidden):
        if option.help and not hasattr(option, "told"):
            assert "".join(translate(option.help, None, "ja", PLACE).split()) in text


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = ended(capsys, "--help")
    assert (status, err) == (0, "")
    for name in (*WHERE, *ACTIONS):
        assert f"  {name} " in out
    for title in SECTIONS:
        assert f"\n{title}:" in out


def test_no_action_hides_behind_a_command_of_ours() -> None:
    assert not WHERE.keys() & ACTIONS.keys()
    assert len(WHERE) == sum(map(len, ROOMS.values()))
    assert {section(action) for action in ACTIONS.values()} <= set(SECTIONS)


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_an_actions_help_names_every_field(capsys: pytest.CaptureFixture[str], name: str) -> None:
    status, out, _ = ended(capsys, name, "--help")
    assert status == 0
    text = " ".join(out.split())
    for field, info in ACTIONS[name].form.model_fields.items():
        assert f"--{field.replace('_', '-')} " in text
        assert " ".join(str(info.title).split()) in text
        assert field.replace("_", "-") not in COMMON


@pytest.mark.parametrize("name", sorted(WHERE))
def test_our_own_commands_say_what_they_do(capsys: pytest.CaptureFixture[str], name: str) -> None:
    status, out, _ = ended(capsys, name, "--help")
    assert status == 0
    assert "--json" in out
    command = front().get_command(Front("meguri").make_context("meguri", [], resilient_parsing=True), name)
    assert command is not None
    assert command.get_short_help_str()


@pytest.mark.parametrize(
    "args", [("--help",), ("accept-quote", "--help"), ("inbox",), ("trace", "P3F9KQ27MH-5"), ("version",)]
)
def test_nothing_heavy_is_loaded_for_small_things(args: tuple[str, ...]) -> None:
    code = (
        "import sys; from agents.cli.front import run; run(sys.argv[1:]);"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    assert meguri(*args, code=code, HOME="/nonexistent").stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "at", "offered"),
    [
        ("meguri accept-q", 1, "accept-quote"),
        ("meguri request-collection X --vehicle-m", 3, "--vehicle-model"),
        ("meguri request-collection X --findings le", 4, "leak"),
        ("meguri completion ", 2, "fish"),
        ("meguri users ", 2, "add"),
        ("meguri accept-quote ", 2, ""),
    ],
)
def test_the_shell_completes(words: str, at: int, offered: str) -> None:
    said = meguri(_MEGURI_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(at), HOME="/nonexistent")
    assert said.stderr == ""
    found = [line.partition(",")[2] for line in said.stdout.splitlines()]
    assert not offered or offered in found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_for_the_shell(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    status, out, _ = ended(capsys, "completion", shell)
    assert status == 0
    assert f"_MEGURI_COMPLETE={shell}_complete" in out


WORDS = st.one_of(
    st.sampled_from(sorted({*WHERE, *ACTIONS} - {"start", "rack", "login", "init", "first-link"})),
    st.sampled_from(["--json", "--agent", "http://127.0.0.1:9", "--home", "/nonexistent", "--lang", "ja"]),
    st.sampled_from(["--data", "{}", "@x", "[", "--items", "--rejected", "--key", "--help", "--", "-", "-x"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
)


@given(st.lists(WORDS, max_size=6))
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_garbage_ends_in_one_line_and_a_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO()))
    status, out, err = ended(capsys, *words, MEGURI_AGENT="http://127.0.0.1:9")
    assert status in {0, 2, 3, 5, 6}
    assert "Traceback" not in out + err
    assert "something went wrong" not in err
    if status:
        assert err.startswith("meguri: ")
        assert err.count("\n") == 1
    if "--json" in words and status and out:
        assert "error" in json.loads(out)


def test_a_fault_of_ours_is_one_line_and_its_place_only_on_demand(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the sky fell")

    monkeypatch.setattr(Command, "invoke", broken)
    status, _, err = ended(capsys, "version")
    assert (status, err.count("\n")) == (1, 1)
    assert "the sky fell" in err
    with pytest.raises(RuntimeError):
        ended(capsys, "version", MEGURI_DEBUG="1")


def test_an_interrupt_ends_quietly(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Command, "invoke", interrupted)
    status, out, err = ended(capsys, "version")
    assert (status, out, err.strip()) == (130, "", "")


def test_a_reader_who_leaves_is_no_fault() -> None:
    code = "import sys, os; from agents.cli import main; sys.argv = ['meguri', '--help']; main()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 1


@pytest.mark.parametrize(
    ("environ", "language"),
    [
        ({}, "en"),
        ({"LANG": "ja_JP.UTF-8"}, "ja"),
        ({"LANG": "ja_JP.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LC_MESSAGES": "ja"}, "ja"),
    ],
)
def test_the_environment_says_which_language(environ: dict[str, str], language: str) -> None:
    assert language_of(environ) == language


def test_an_agent_is_set_up_in_a_folder_once(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    told = ("init", str(tmp_path / "kita"), "--name", "Kita 解体", "--role", "dismantler")
    status, out, err = ended(capsys, *told, "--web-port", "8132", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["site"] == "http://127.0.0.1:8132"
    assert 'name = "Kita 解体"' in (tmp_path / "kita" / "meguri.toml").read_text("utf-8")
    assert ended(capsys, *told)[0] == 2
    clash = ("init", str(tmp_path / "b"), "--name", "B", "--role", "recycler", "--web-port", "8030")
    assert ended(capsys, *clash)[0] == 2
    assert not (tmp_path / "b").exists()


def test_the_first_link_is_printed_while_the_agent_rests(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    home = str(tmp_path / "kita")
    assert ended(capsys, "first-link", "--home", home)[0] == 2
    ended(capsys, "init", home, "--name", "Kita", "--role", "dismantler")
    status, out, err = ended(capsys, "first-link", "--home", home)
    assert (status, err) == (0, "")
    assert out.startswith("http://127.0.0.1:8032/")
    assert ended(capsys, "first-link", "--home", home)[1] != out


def test_the_rack_is_passed_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(capsys, "rack")[0] == 2
    said = meguri("rack", "simulate", "--help")
    assert said.returncode == 0
    assert "--trouble" in said.stdout


def test_what_is_told_without_loading_the_agent_agrees_with_it() -> None:
    assert people.RANKS == RANKS
    assert set(running.ROLES) == set(ROLES)
