"""What things are called."""

import ast
import re
from importlib.metadata import packages_distributions

from .tree import ROOMS, ROOT, files

VAGUE = {"manager", "managers", "base", "util", "utils", "helper", "helpers", "impl"}


def words(name: str) -> set[str]:
    """Split a module's or class's name: `HTTPBaseThing` holds http, base and thing."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+", name)}


def test_no_installed_distribution_owns_one_of_our_names() -> None:
    owners = packages_distributions()
    taken = {
        name: owners[name] for name in (*ROOMS, "bench", "tests") if set(owners.get(name, ())) - {"meguri"}
    }
    assert taken == {}


def test_every_room_is_a_package_and_every_package_a_room() -> None:
    packages = {path.parent.name for path in files("/__init__.py") if path.parent.parent == ROOT}
    assert packages == {*ROOMS, "bench", "tests"}


def test_modules_and_classes_say_what_they_are() -> None:
    vague = []
    for path in files(".py"):
        place = path.relative_to(ROOT)
        vague += [str(place) for part in place.with_suffix("").parts if words(part) & VAGUE]
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and words(node.name) & VAGUE:
                vague.append(f"{place}:{node.lineno} {node.name}")
    assert vague == []


def test_no_test_mocks_the_house() -> None:
    mocking = [
        path.name
        for path in files(".py")
        if re.search(r"^\s*(from|import) (unittest\.)?mock\b", path.read_text("utf-8"), re.M)
    ]
    assert mocking == []
