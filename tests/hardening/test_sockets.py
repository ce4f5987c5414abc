"""The limits as a caller meets them on a socket of the served process: too many, too slow, too large, too deep."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.cli.test_serve import free_port, serving
from tests.support import reachable_folder

PLACES = 3
MOST_BYTES = 20_000
SETTINGS = {
    "CREDIT_MOST_IN_FLIGHT": str(PLACES),
    "CREDIT_BODY_SECONDS": "3",
    "CREDIT_MAX_BODY_BYTES": str(MOST_BYTES),
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    found = free_port()
    with serving(reachable_folder("credit-service-sockets-"), found, settings=SETTINGS):
        yield found


def opened(port: int, head: str, body: bytes = b"") -> socket.socket:
    """A connection that has sent a request, or as much of it as is given."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(f"{head}\r\nHost: localhost\r\n\r\n".encode() + body)
    return connection


def answer(connection: socket.socket) -> tuple[int, str]:
    """Status and the rest of the answer, read until the server closes or says no more."""
    with connection:
        text = b""
        while b"\r\n\r\n" not in text and (part := connection.recv(65536)):
            text += part
        head, _, rest = text.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        while len(rest) < length and (part := connection.recv(65536)):
            rest += part
    return int(head.split()[1]), (head + b"\n" + rest).decode()


def posted(port: int, path: str, body: bytes, kind: str, *, declared: int | None = None) -> socket.socket:
    length = len(body) if declared is None else declared
    return opened(port, f"POST {path} HTTP/1.1\r\nContent-Type: {kind}\r\nContent-Length: {length}", body)


FORM = "application/x-www-form-urlencoded"


def test_who_stops_sending_loses_the_place_and_others_are_told_to_come_back(port: int) -> None:
    stalled = [posted(port, "/oauth/token", b"grant_type=", FORM, declared=1000) for _ in range(PLACES)]
    status, told = 200, ""
    while status != 503:  # the stalled ones are under way as soon as the process has read their heads
        status, told = answer(opened(port, "GET /v1/lists HTTP/1.1"))
    assert "retry-after: 1" in told.lower()
    assert "urn:credit-service:problem:overloaded" in told
    assert answer(opened(port, "GET /livez HTTP/1.1"))[0] == 200
    for connection in stalled:
        status, told = answer(connection)
        assert (status, "urn:credit-service:problem:request-timeout" in told) == (408, True)
        assert "connection: close" in told.lower()
    assert answer(opened(port, "GET /v1/lists HTTP/1.1"))[0] == 200


@pytest.mark.parametrize("declared", [None, MOST_BYTES * 100])
def test_a_body_beyond_the_limit_ends_where_the_limit_is(port: int, declared: int | None) -> None:
    status, told = answer(posted(port, "/oauth/token", b"a" * (MOST_BYTES + 1), FORM, declared=declared))
    assert (status, "urn:credit-service:problem:payload-too-large" in told) == (413, True), told
    assert "connection: close" in told.lower()


def test_a_length_that_is_none_is_refused(port: int) -> None:
    head = f"POST /oauth/token HTTP/1.1\r\nContent-Type: {FORM}\r\nContent-Length: many"
    assert answer(opened(port, head))[0] == 400


def test_a_head_too_large_is_refused(port: int) -> None:
    status, _ = answer(opened(port, "GET /v1/lists HTTP/1.1\r\nX-Long: " + "a" * 1_000_000))
    assert status in {400, 431}
    assert answer(opened(port, "GET /v1/lists HTTP/1.1"))[0] == 200
