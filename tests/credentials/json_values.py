"""JSON values of every kind, and small changes to them, for laws that must hold for all."""

from typing import Any

from hypothesis import strategies as st

# Everything except lone surrogates; astral characters included, since they sort differently in UTF-16.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | texts
values: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in a JSON value, the whole included."""
    inside: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return [path, *(place for name, item in inside for place in places(item, (*path, name)))]


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


def changed(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """The same value with another at one place."""
    if not path:
        return new
    name, *rest = path
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    copy[name] = changed(copy[name], tuple(rest), new)
    return copy


def without(value: Any, path: tuple[str | int, ...]) -> Any:
    """The same value without one of its members or elements."""
    copy: Any = value.copy()
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = without(copy[path[0]], path[1:])
    return copy


def shuffled(value: Any) -> Any:
    """The same value with its members written in the opposite order."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in reversed(list(value))}
    return [shuffled(item) for item in value] if isinstance(value, list) else value
