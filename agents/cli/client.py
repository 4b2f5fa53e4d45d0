"""Speaking to an agent's REST API, over nothing but the standard library, so that commands start at once."""

import hashlib
import http.client
import json
import mimetypes
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import quote, urlencode, urlsplit
from uuid import uuid4

from schemas.errors import Fault, Invalid, Unavailable

API: Final = "/api/v1"
SECONDS: Final = 120.0
# What a broken connection looks like; whether the agent heard us, the key decides, not we.
_BROKEN = (ConnectionResetError, ConnectionAbortedError, BrokenPipeError, http.client.HTTPException)


class Unreachable(Unavailable):
    """Nobody answers at the agent's address."""

    hint = "is it running? Start it with “meguri start --home FOLDER”, or name another with --agent URL"


class Told(Fault):
    """A problem as the agent told it, in its words."""

    def __init__(self, problem: Mapping[str, Any], status: int) -> None:
        self.kind = str(problem.get("code") or _kind(status))
        self.status = status
        found = problem.get("fields")
        self.fields = {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
        words = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        super().__init__("{words}", words=words)


def _kind(status: int) -> str:
    kinds = {401: "unidentified", 403: "forbidden", 404: "unknown", 409: "out-of-step", 429: "unavailable"}
    if status >= 500:  # noqa: PLR2004
        return "unavailable" if status in {502, 503, 504} else "fault"
    return kinds.get(status, "malformed")


class Client:
    """One agent, spoken to as one user; `key` makes doing a thing twice the same as doing it once."""

    def __init__(self, url: str, token: str = "", language: str = "en", key: str = "") -> None:
        found = urlsplit(url)
        try:
            port = found.port
        except ValueError:
            port = -1
        if found.scheme not in {"http", "https"} or not found.hostname or port == -1:
            raise Invalid("“{url}” is not the address of an agent; write http://HOST:PORT", url=url[:80])
        self.url = url.rstrip("/")
        self.https = found.scheme == "https"
        self.host, self.port, self.base = found.hostname, port, found.path.rstrip("/")
        self.token, self.language = token, language
        self.key = key or str(uuid4())
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str, **query: object) -> Any:
        """Return what is at `path`; parameters that are None or empty are left out."""
        kept = {name: str(value) for name, value in query.items() if value not in (None, "", ())}
        return self.ask("GET", f"{API}{path}" + (f"?{urlencode(kept)}" if kept else ""))

    def post(self, path: str, data: Mapping[str, Any] | None = None) -> Any:
        """Send `data` to `path`."""
        return self.ask("POST", f"{API}{path}", None if data is None else json.dumps(data).encode())

    def perform(self, name: str, to: str, data: Mapping[str, Any]) -> Any:
        """Do an action."""
        return self.post(f"/actions/{quote(name, safe='')}", {**({"to": to} if to else {}), **data})

    def upload(self, file: Path) -> Any:
        """Have the agent keep a file; doing so twice keeps it once."""
        kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
        path = f"{API}/evidence?{urlencode({'name': file.name})}"
        return self.ask("POST", path, file, {"Content-Type": kind})

    def send(self, path: str, content: bytes) -> Any:
        """Send a file's content to `path`."""
        return self.ask("POST", f"{API}{path}", content, {"Content-Type": "application/octet-stream"})

    def download(self, path: str, **query: str) -> bytes:
        """Return a file's content; raises as `ask` does."""
        kept = {name: value for name, value in query.items() if value}
        status, _, content, _ = self.exchange("GET", f"{API}{path}?{urlencode(kept)}")
        if status != 200:  # noqa: PLR2004
            self._refused(status, content)
        return content

    def _refused(self, status: int, content: bytes) -> NoReturn:
        try:
            told = json.loads(content)
        except ValueError:
            told = None
        if status < 400 or not isinstance(told, dict):  # noqa: PLR2004
            raise Unavailable("at {url} is something else than an agent", url=self.url)
        raise Told(told, status)

    def ask(
        self,
        method: str,
        target: str,
        body: bytes | Path | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request and return the JSON it is answered with; a broken connection is tried again once.

        Raises `Told` with what the agent says is wrong, and `Unreachable`.
        """
        status, kind, text = self.exchange(method, target, body, headers)[:3]
        data = None
        if text and kind in {"application/json", "application/problem+json"}:
            try:
                data = json.loads(text)
            except ValueError:
                raise Unavailable("the answer of {url} cannot be read", url=self.url) from None
        if status >= 400:  # noqa: PLR2004
            raise Told(data if isinstance(data, dict) else {}, status)
        if status >= 300 or (text and data is None):  # noqa: PLR2004
            raise Unavailable("at {url} is something else than an agent", url=self.url)
        return data

    def waits_for(self) -> str:
        """Return what the agent needs before it can work, or nothing once it can."""
        _, _, text, _ = self.exchange("GET", "/ready")
        try:
            found = json.loads(text)
            return "" if found["ready"] else "; ".join(found["waiting_for"].values())
        except (ValueError, LookupError, AttributeError, TypeError):
            raise Unavailable("at {url} is something else than an agent", url=self.url) from None

    def enter(self, user: str, password: str) -> tuple[Mapping[str, Any], str]:
        """Log in by name and password; return the session and its cookie."""
        body = json.dumps({"name": user, "password": password}).encode()
        status, _, text, headers = self.exchange("POST", f"{API}/session", body)
        try:
            found = json.loads(text)
        except ValueError:
            found = {}
        if status >= 400:  # noqa: PLR2004
            raise Told(found if isinstance(found, dict) else {}, status)
        cookies = [one.partition(";")[0] for one in headers.get_all("Set-Cookie", [])]
        if status != 201 or not isinstance(found, dict) or "csrf" not in found:  # noqa: PLR2004
            raise Unavailable("at {url} is something else than an agent", url=self.url)
        return found, "; ".join(cookies)

    def exchange(
        self,
        method: str,
        target: str,
        body: bytes | Path | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str, bytes, http.client.HTTPMessage]:
        """Send one request and return status, media type, body and headers of the answer."""
        sent = {"Accept": "application/json", "Accept-Language": self.language, "User-Agent": "meguri-cli"}
        if isinstance(body, bytes):
            sent["Content-Type"] = "application/json"
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        if method != "GET":
            sent["Idempotency-Key"] = self.key
        sent |= headers or {}
        for attempt in (1, 2):
            try:
                return self._once(method, self.base + target, body, sent)
            except TimeoutError as error:
                self.close()
                raise Unavailable("{url} did not answer in time", url=self.url) from error
            except _BROKEN as error:
                self.close()
                if attempt == 2:  # noqa: PLR2004
                    raise Unreachable("the connection with {url} broke", url=self.url) from error
                time.sleep(0.2)
            except OSError as error:
                self.close()
                why = error.strerror or str(error)
                raise Unreachable("no agent answers at {url}: {why}", url=self.url, why=why) from error
        raise AssertionError

    def _once(
        self, method: str, target: str, body: bytes | Path | None, headers: Mapping[str, str]
    ) -> tuple[int, str, bytes, http.client.HTTPMessage]:
        if self._connection is None:
            self._connection = self._open()
        if isinstance(body, Path):
            with body.open("rb") as file:
                size = str(os.fstat(file.fileno()).st_size)
                self._connection.request(method, target, file, {**headers, "Content-Length": size})
        else:
            self._connection.request(method, target, body, dict(headers))
        answer = self._connection.getresponse()
        text = answer.read()
        kind = answer.headers.get_content_type()
        if answer.will_close:
            self.close()
        return answer.status, kind, text, answer.headers

    def _open(self) -> http.client.HTTPConnection:
        if self.https:
            return http.client.HTTPSConnection(self.host, self.port, timeout=SECONDS)
        return http.client.HTTPConnection(self.host, self.port, timeout=SECONDS)

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def digest_of(file: Path) -> str:
    """Return a file's SHA-256, or raise `Invalid` where it cannot be evidence."""
    from agents.evidence import MOST_FILE_BYTES  # cryptography behind it, needed for files only

    try:
        if file.stat().st_size > MOST_FILE_BYTES:
            raise Invalid(
                "{file} is too large: at most {limit} MB", file=file, limit=MOST_FILE_BYTES // 1_000_000
            )
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise Invalid("{file} cannot be read: {why}", file=file, why=error.strerror) from error


EXITS: Final[Mapping[str, int]] = {
    "malformed": 2,
    "not-json": 2,
    "too-large": 2,
    "unknown": 3,
    "out-of-step": 4,
    "forbidden": 5,
    "unidentified": 5,
    "unavailable": 6,
    "too-many-tries": 6,
}


def code_of(fault: Fault) -> str:
    """Return the code of a fault, ours or told by an agent."""
    return fault.kind if isinstance(fault, Told) else fault.code


def exit_status(fault: Fault) -> int:
    """Return the status a command ends with."""
    return EXITS.get(code_of(fault), 1)
