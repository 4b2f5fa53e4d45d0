"""What the writer remembers of committed rows, and what a transaction has changed of it so far."""

from collections.abc import Callable
from typing import Any

type Key = tuple[str, str]

_MISSING = object()
_FORGOTTEN = object()


class Cache:
    """The values last used, which agree with what is committed; only the writer's thread changes it."""

    def __init__(self, limit: int = 1024) -> None:
        self.limit = limit
        self._values: dict[Key, Any] = {}

    def peek(self, key: Key) -> Any:
        """Return a value, or None; any thread may ask."""
        return self._values.get(key)

    def get(self, key: Key) -> Any:
        """Return a value as the one used last, or `_MISSING`."""
        value = self._values.pop(key, _MISSING)
        if value is not _MISSING:
            self._values[key] = value
        return value

    def take(self, changes: dict[Key, Any]) -> None:
        """Take in what has been committed."""
        for key, value in changes.items():
            self._values.pop(key, None)
            if value is not _FORGOTTEN and value is not None:
                self._values[key] = value
        while len(self._values) > self.limit:
            del self._values[next(iter(self._values))]

    def clear(self) -> None:
        """Forget everything."""
        self._values = {}


class Layers:
    """A transaction's view of the cache: a layer for each open savepoint, dropped when it is undone."""

    def __init__(self, below: Cache | None = None) -> None:
        self._below = below
        self._layers: list[dict[Key, Any]] = [{}]

    def recall[T](self, key: Key, load: Callable[[], T]) -> T:
        """Return a value, loaded once if nobody has it."""
        value = _MISSING
        for layer in reversed(self._layers):
            if (value := layer.get(key, _MISSING)) is not _MISSING:
                break
        else:
            if self._below is not None:
                value = self._below.get(key)
        if value is _MISSING or value is _FORGOTTEN:
            value = self._layers[-1][key] = load()
        return value  # type: ignore[return-value]

    def put(self, key: Key, value: Any) -> None:
        """Change a value."""
        self._layers[-1][key] = value

    def forget(self, key: Key) -> None:
        """Have a value loaded anew when it is next asked for."""
        self._layers[-1][key] = _FORGOTTEN

    def open(self) -> None:
        """Begin a savepoint."""
        self._layers.append({})

    def keep(self) -> None:
        """End the innermost savepoint and keep its changes."""
        changes = self._layers.pop()
        self._layers[-1].update(changes)

    def drop(self) -> None:
        """End the innermost savepoint and drop its changes."""
        self._layers.pop()

    def commit(self) -> None:
        """Hand everything to the cache."""
        if self._below is not None:
            self._below.take(self._layers[0])
        self._layers = [{}]
