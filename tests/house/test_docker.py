"""The container files agree with the code, as far as that can be told without a Docker engine."""

import re
from dataclasses import fields

import yaml  # type: ignore[import-untyped]  # comes with ACA-Py

from agents.config import Config

from .tree import ROOMS, ROOT, files

DOCKER = ROOT / "docker"


def test_the_image_takes_in_every_room() -> None:
    kept = re.findall(r"^!(.+)$", (DOCKER / "Dockerfile.dockerignore").read_text("utf-8"), re.M)
    assert set(kept) == {*ROOMS, "pyproject.toml", "uv.lock", "README.md", "LICENSE"}
    assert [name for name in kept if not (ROOT / name).exists()] == []


def test_the_image_builds_with_the_locked_uv() -> None:
    built = re.search(r"^ARG UV_VERSION=(.+)$", (DOCKER / "Dockerfile").read_text("utf-8"), re.M)
    locked = re.search(r'^name = "uv"\nversion = "(.+)"$', (ROOT / "uv.lock").read_text("utf-8"), re.M)
    assert built
    assert locked
    assert built[1] == locked[1]


def test_the_image_runs_the_python_of_the_house() -> None:
    pythons = re.findall(r"^FROM python:([\d.]+)-slim", (DOCKER / "Dockerfile").read_text("utf-8"), re.M)
    assert set(pythons) == {(ROOT / ".python-version").read_text("utf-8").strip()}


def test_five_companies_share_no_volume_and_no_port() -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))["services"]
    assert len(services) == 5
    for what in ("volumes", "ports"):
        shared = [entry for service in services.values() for entry in service[what]]
        assert len(set(shared)) == len(shared) == 5
    assert {name: service["environment"]["MEGURI_ROLES"] for name, service in services.items()} == {
        name: name for name in services
    }


def test_every_setting_of_the_containers_is_read_by_the_agent() -> None:
    texts = [path.read_text("utf-8") for path in files() if path.parent == DOCKER]
    named = {name for text in texts for name in re.findall(r"\bMEGURI_[A-Z_]+\b", text)}
    assert named
    assert named <= {f"MEGURI_{one.name.upper()}" for one in fields(Config)}
