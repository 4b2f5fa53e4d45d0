"""A scripted dialogue: the other end of a link, which fails on traffic unsent or unread."""

from collections.abc import Iterator
from contextlib import contextmanager

from instruments.transport import Silent


class Script:
    """Expects these messages in this order; a reply of None is for a message that has none."""

    resource = "SCRIPT::INSTR"

    def __init__(self, *lines: tuple[str, str | None]) -> None:
        self.lines = list(lines)
        self.timeouts_s: list[float] = []

    def tell(self, message: str) -> None:
        expected, reply = self._next(message)
        assert (message, reply) == (expected, None)

    def ask(self, message: str, timeout_s: float) -> str:
        expected, reply = self._next(message)
        assert message == expected
        self.timeouts_s.append(timeout_s)
        if reply is None:
            raise Silent("no reply to {message}", message=message)
        return reply

    def close(self) -> None:
        self.lines.clear()

    def _next(self, message: str) -> tuple[str, str | None]:
        assert self.lines, f"not in the script: {message}"
        return self.lines.pop(0)


@contextmanager
def script(*lines: tuple[str, str | None]) -> Iterator[Script]:
    """Play a dialogue to its end."""
    dialogue = Script(*lines)
    yield dialogue
    assert not dialogue.lines, f"never sent: {dialogue.lines}"
