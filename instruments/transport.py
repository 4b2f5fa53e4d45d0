"""The wire to an instrument: lines of text over PyVISA, with every byte written down."""

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from schemas.errors import Unavailable

SLICE_S = 0.1
"""How long one wait for the first byte of a reply lasts before the link looks at `stop` again."""


class LinkFault(Unavailable):
    """The talk with an instrument failed: silent, hung up, stopped, or not understood."""


class Silent(LinkFault):
    """No reply came in time."""


class Disconnected(LinkFault):
    """There is no connection, or it broke."""


class Stopped(LinkFault):
    """The operator stopped the measurement."""


class Garbled(LinkFault):
    """The reply is not what the instrument's manual describes."""


class Refused(LinkFault):
    """The instrument reports an error of its own."""


class Transcript:
    """Every byte that went to the instruments of one rack and came back, in order.

    Its text has one line a message: the instrument's name, `>` (sent) or `<` (received), a space, and the
    bytes as a JSON string in which each character stands for the byte of the same number (Latin-1).
    """

    def __init__(self) -> None:
        self._lines: list[str] = []

    def note(self, instrument: str, direction: str, payload: bytes) -> None:
        """Write one message down."""
        self._lines.append(f"{instrument}{direction} {json.dumps(payload.decode('latin-1'))}\n")

    def __len__(self) -> int:
        return len(self._lines)

    def text(self, since: int = 0) -> str:
        """Return the lines from number `since` on."""
        return "".join(self._lines[since:])

    def forget(self, since: int) -> None:
        """Drop the lines from number `since` on, once they are in a record."""
        del self._lines[since:]


def transcript_digest(text: str) -> str:
    """Return the SHA-256 of a transcript's text in UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


class Link(Protocol):
    """What a driver needs from the wire; tests play it with a script."""

    @property
    def resource(self) -> str:
        """Return the VISA resource name."""
        ...

    def tell(self, message: str) -> None:
        """Send a message that has no reply."""
        ...

    def ask(self, message: str, timeout_s: float) -> str:
        """Send a message and return the line that answers it."""
        ...

    def close(self) -> None:
        """Let go of the instrument."""
        ...


class VisaLink:
    """A link over PyVISA: TCP socket, serial, USB or GPIB, by resource name.

    It connects when first used. After any failure the connection is given up and the next message opens a
    new one, so a late reply can never pass for the answer to a later question.
    """

    def __init__(
        self,
        resource: str,
        *,
        name: str = "instrument",
        transcript: Transcript | None = None,
        stop: threading.Event | None = None,
        backend: str = "@py",
        termination: str = "\r\n",
        open_timeout_s: float = 5.0,
        baud_rate: int | None = None,
    ) -> None:
        self._resource = resource
        self._name = name
        self._transcript = transcript if transcript is not None else Transcript()
        self._stop = stop or threading.Event()
        self._backend = backend
        self._termination = termination.encode("ascii")
        self._open_timeout_s = open_timeout_s
        self._baud_rate = baud_rate
        self._session: Any = None
        self._heed = True

    @property
    def resource(self) -> str:
        """Return the VISA resource name."""
        return self._resource

    @contextmanager
    def unstoppable(self) -> Iterator[None]:
        """Ignore `stop` for as long as it takes to leave the instrument safe."""
        self._heed = False
        try:
            yield
        finally:
            self._heed = True

    def tell(self, message: str) -> None:
        """Send a message that has no reply."""
        with self._faults():
            self._send(message)

    def ask(self, message: str, timeout_s: float) -> str:
        """Send a message and return the line that answers it."""
        with self._faults():
            self._send(message)
            return self._receive(message, timeout_s)

    def close(self) -> None:
        """Let go of the instrument."""
        session, self._session = self._session, None
        if session is not None:
            try:
                session.close()
            except Exception:  # the session is given up either way, and PyVISA raises bare exceptions here
                return

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Give the connection up on any failure, and name the failure in our words."""
        import pyvisa

        try:
            yield
        except LinkFault:
            self.close()
            raise
        except (pyvisa.errors.Error, OSError) as error:
            self.close()
            raise Disconnected(
                "the connection to {resource} broke: {error}", resource=self._resource, error=error
            ) from error
        except BaseException:
            self.close()
            raise

    def _send(self, message: str) -> None:
        if self._heed and self._stop.is_set():
            raise Stopped("stopped by the operator")
        if self._session is None:
            self._session = self._open()
        payload = message.encode("ascii") + self._termination
        self._transcript.note(self._name, ">", payload)
        self._session.write_raw(payload)

    def _open(self) -> Any:
        import pyvisa

        try:
            session: Any = pyvisa.ResourceManager(self._backend).open_resource(
                self._resource, open_timeout=int(self._open_timeout_s * 1000)
            )
        except Exception as error:  # the back-ends raise bare exceptions when a host does not answer
            raise Disconnected(
                "cannot open {resource}: {error}", resource=self._resource, error=error
            ) from error
        session.read_termination = self._termination.decode("ascii")
        session.write_termination = ""
        if self._baud_rate is not None:
            session.baud_rate = self._baud_rate
        return session

    def _receive(self, message: str, timeout_s: float) -> str:
        """Wait for the first byte in slices, to see `stop` and hang-ups at once, then read the line.

        A slice that ends without a byte loses nothing: one byte is all it asks for. PyVISA throws away what
        it has of a longer read that times out.
        """
        import pyvisa

        deadline = time.monotonic() + timeout_s
        first: bytes | None = None
        while first is None:
            left_s = deadline - time.monotonic()
            self._session.timeout = max(1, int(1000 * min(SLICE_S, left_s)))
            try:
                first = self._session.read_bytes(1)
            except pyvisa.errors.VisaIOError as error:
                if error.error_code != pyvisa.constants.StatusCode.error_timeout:
                    raise
                if self._heed and self._stop.is_set():
                    raise Stopped("stopped by the operator") from None
                if _hung_up(self._session):
                    raise Disconnected("{resource} hung up", resource=self._resource) from None
                if left_s <= SLICE_S:
                    raise Silent(
                        "{resource} gave no reply to {message} within {seconds} s",
                        resource=self._resource,
                        message=message,
                        seconds=round(timeout_s, 3),
                    ) from None
        self._session.timeout = 2000
        line = first + (b"" if first == self._termination[-1:] else self._session.read_raw())
        self._transcript.note(self._name, "<", line)
        if not line.endswith(self._termination):
            raise Garbled("the reply to {message} is cut short", message=message)
        try:
            return line.removesuffix(self._termination).decode("ascii").strip()
        except UnicodeDecodeError:
            raise Garbled("the reply to {message} is no text", message=message) from None


def _hung_up(session: Any) -> bool:
    """Say whether the peer closed a socket that pyvisa-py holds, which itself would wait on."""
    holder = getattr(session.visalib, "sessions", {}).get(session.session)
    wire = getattr(holder, "interface", None)
    if not isinstance(wire, socket.socket):
        return False
    try:
        return wire.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
