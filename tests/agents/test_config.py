"""What an agent is told: a file in its folder, and the environment, which goes first."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.config import FILE, Config, _toml, keep_secret
from schemas.errors import Invalid

TOLD = {"MEGURI_NAME": "Dita", "MEGURI_ROLES": "dismantler, collector"}


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('name = "Cole"\nroles = ["collector"]\nweb_port = 9000\n', "utf-8")
    config = Config.load(tmp_path, {"MEGURI_NAME": "Dita", "MEGURI_ADMIN_PORT": "0"})
    assert (config.name, config.roles, config.web_port, config.admin_port) == (
        "Dita",
        ("collector",),
        9000,
        0,
    )


def test_the_first_start_writes_down_what_it_was_told_and_no_other_does(tmp_path: Path) -> None:
    config = Config.load(tmp_path / "home", TOLD | {"MEGURI_WEB_PORT": "9000"})
    config.save()
    assert Config.load(tmp_path / "home", {}) == config
    Config.load(tmp_path / "home", {"MEGURI_NAME": "Cole"}).save()
    assert Config.load(tmp_path / "home", {}) == config


def test_addresses_follow_from_host_and_ports_unless_told(tmp_path: Path) -> None:
    config = Config.load(tmp_path, TOLD | {"MEGURI_HOST": "0.0.0.0"})
    assert config.local_url == config.site_url == "http://127.0.0.1:8032"
    assert config.endpoint == "http://127.0.0.1:8030"
    assert config.books_url == f"sqlite:///{tmp_path / 'books.db'}"
    told = TOLD | {
        "MEGURI_PUBLIC_URL": "https://dita.example/",
        "MEGURI_DIDCOMM_URL": "https://dita.example/d",
    }
    config = Config.load(tmp_path, told)
    assert config.blobs_url == "https://dita.example/blobs"
    assert config.endpoint == "https://dita.example/d"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"MEGURI_NAME": " "}, "company's name"),
        ({"MEGURI_ROLES": " , "}, "company's role"),
        ({"MEGURI_WEB_PORT": "eighty"}, "web_port cannot be eighty"),
        ({"MEGURI_WEB_PORT": "0"}, "no port"),
        ({"MEGURI_WEB_PORT": "70000"}, "no port"),
        ({"MEGURI_WEB_PORT": "8030"}, "a number of its own"),
        ({"MEGURI_PUBLIC_URL": "dita.example"}, "no web address"),
        ({"MEGURI_REGISTRY": "registry.example"}, "registry is no web address"),
        ({"MEGURI_DID_HOST": "https://registry.example"}, "did_host is no host's name"),
        ({"MEGURI_DID_HOST": "localhost"}, "did_host is no host's name"),
        ({"MEGURI_LOG_LEVEL": "loud"}, "log_level is one of"),
        ({"MEGURI_VC_API": "yes"}, "vc_api is one of"),
        ({"MEGURI_VC_API": "loopback", "MEGURI_HOST": "0.0.0.0"}, "nobody else reaches"),
        ({"MEGURI_LONGEST_REST_S": "nan"}, "number of seconds"),
        ({"MEGURI_LONGEST_REST_S": "-1"}, "number of seconds"),
    ],
)
def test_what_cannot_be_is_said_in_words(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        Config.load(tmp_path, TOLD | changes)


@pytest.mark.parametrize("text", ["name = ", "colour = 'red'", "name = 5", "web_port = 1.5", "roles = 5"])
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text, "utf-8")
    with pytest.raises(Invalid):
        Config.load(tmp_path, {"MEGURI_HOST": "127.0.0.1"} | (TOLD if "colour" in text else {}))


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_survives_the_file(text: str) -> None:
    import tomllib

    assert tomllib.loads(f"name = {_toml(text)}") == {"name": text}


def test_a_secret_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    assert keep_secret(path, "first") == keep_secret(path, "second") == "first"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(Invalid, match="chmod 600"):
        keep_secret(path, "third")
