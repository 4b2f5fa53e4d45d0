"""The files of the house, as git sees them: tracked, or new and not ignored."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("agents", "analysis", "credentials", "governance", "instruments", "protocols", "quality", "schemas")


@cache
def files(suffix: str = "") -> tuple[Path, ...]:
    """Give every file of the house whose name ends so, in order."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(git, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout, so which files are ours is unknown")
    paths = (ROOT / name for name in sorted(listed.split("\0")) if name.endswith(suffix) and name)
    return tuple(path for path in paths if path.is_file())


def names(paths: list[Path]) -> list[str]:
    """Give the paths as they are written in the repository."""
    return [str(path.relative_to(ROOT)) for path in paths]
