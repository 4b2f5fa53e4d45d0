"""The client against agents that break off, and against things that are no agents."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from agents.cli.client import Client, Told, Unreachable, exit_status
from schemas.errors import Forbidden, Invalid, Misstep, Unavailable, Unknown

OK = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[str, list[str]]]:
    """Take one connection for each answer, keep what was asked, answer and hang up."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    text = b""
                    while b"\r\n\r\n" not in text:
                        text += connection.recv(65536)
                    head, _, body = text.partition(b"\r\n\r\n")
                    length = next(
                        (
                            int(line.split(b":")[1])
                            for line in head.split(b"\r\n")
                            if b"ontent-" in line and b"ength" in line
                        ),
                        0,
                    )
                    while len(body) < length:
                        body += connection.recv(65536)
                    asked.append((head + b"\r\n\r\n" + body).decode())
                    connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        thread.join(30)


def test_a_broken_connection_is_tried_once_more_with_the_same_key() -> None:
    with answering(b"", OK) as (url, asked):
        assert Client(url, "secret").perform("accept-quote", "thread", {}) == {}
    keys = [line for text in asked for line in text.split("\r\n") if line.startswith("Idempotency-Key: ")]
    assert len(keys) == 2
    assert len(set(keys)) == 1
    assert asked[0] == asked[1]


def test_an_answer_cut_short_counts_as_broken() -> None:
    with answering(OK[:-1], OK) as (url, asked):
        assert Client(url).post("/invitations") == {}
    assert len(asked) == 2


def test_a_connection_that_breaks_twice_is_given_up() -> None:
    with answering(b"", b"") as (url, asked), pytest.raises(Unreachable):
        Client(url).get("/company")
    assert len(asked) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<br>",
        b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n{",
    ],
)
def test_what_is_no_agent_is_not_believed(answer: bytes) -> None:
    with answering(answer) as (url, asked), pytest.raises(Unavailable):
        Client(url, "secret").get("/company")
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("status", "exit_with"), [(422, 2), (404, 3), (409, 4), (403, 5), (401, 5), (503, 6), (429, 6), (500, 1)]
)
def test_an_http_status_without_details_still_has_its_exit_status(status: int, exit_with: int) -> None:
    assert exit_status(Told({}, status)) == exit_with


@pytest.mark.parametrize(
    ("fault", "exit_with"), [(Invalid, 2), (Unknown, 3), (Misstep, 4), (Forbidden, 5), (Unavailable, 6)]
)
def test_every_fault_has_its_exit_status(fault: type[Invalid], exit_with: int) -> None:
    assert exit_status(fault("so")) == exit_with


@pytest.mark.parametrize(
    "url", ["", "agent", "ftp://agent", "http://", "http://a:x", "http://a:99999", "//a"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        Client(url)
