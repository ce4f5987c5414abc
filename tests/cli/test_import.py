"""``credit-service import`` against a server that is not there, goes away, comes back, or does not want to now."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import Result
from typer.testing import CliRunner

from credit_service.cli import app, imports
from tests.cli.test_serve import free_port

ROWS = b"\xef\xbb\xbf" + "行政处罚决定书文号,备注\n".encode() * 60_000  # more than a connection holds by itself
DONE = {
    "file_name": "penalties.csv",
    "template": "administrative-penalty",
    "state": "completed",
    "receipts": "/v1/imports/1/receipts",
    **dict.fromkeys(("unchanged", "corrected", "refused", "natural_person"), 0),
    **dict.fromkeys(("rows", "stored"), 2),
}


class Script(BaseHTTPRequestHandler):
    """A server that does with each request what its script says; ``seen`` are the keys and bytes it got."""

    protocol_version = "HTTP/1.1"
    steps: ClassVar[list[Any]] = []
    seen: ClassVar[list[tuple[str, int]]] = []

    def do_POST(self) -> None:
        step = self.steps.pop(0)
        self.seen.append((self.headers["Idempotency-Key"], self._read(1 if step == "cut" else None)))
        if step == "cut":  # as a process that is killed in the middle of the upload
            self.connection.close()
            self.close_connection = True
            return
        status, body = step
        self.answer(status, json.dumps(body).encode(), "application/problem+json" if status >= 400 else "")

    def do_GET(self) -> None:
        self.answer(200, b'{"row": 1}\n', "application/x-ndjson")

    def answer(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type or "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True  # without a word, as a proxy closes what it has kept for long

    def _read(self, most: int | None) -> int:
        """Bytes of a chunked body, up to so many chunks."""
        total, chunks = 0, 0
        while (size := int(self.rfile.readline(), 16)) and (most is None or chunks < most):
            total += len(self.rfile.read(size + 2)) - 2
            chunks += 1
        if not size:
            self.rfile.readline()
        return total

    def log_message(self, *arguments: object) -> None:
        """Nothing to the tests' output."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Script.steps, Script.seen = [], []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Script)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "RETRY_SECONDS", 0.01)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def run(folder: Path, port: int, *more: str) -> Result:
    file = folder / "penalties.csv"
    file.write_bytes(ROWS)
    address = f"http://127.0.0.1:{port}"
    result = CliRunner().invoke(app, ["import", str(file), "--server", address, "--token", "t", *more])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def test_a_server_that_is_not_there_is_said_to_be_so_and_how_to_go_on(tmp_path: Path) -> None:
    port = free_port()
    result = run(tmp_path, port, "--wait", "0.05")
    assert result.exit_code == imports.UNFINISHED == 75
    words = " ".join(result.stderr.split())
    assert f"服务无应答 http://127.0.0.1:{port}: ConnectError; waiting for it up to 0.05 s (--wait)" in words
    assert words.count("服务无应答") == 1
    assert words.endswith("run the same command again and the import goes on where it was")
    assert run(tmp_path, port, "--wait", "0").exit_code == 75
    assert run(tmp_path, port, "--wait", "-1").exit_code == 2


def test_it_goes_on_with_the_same_key_when_the_server_comes_back(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    busy = {"title_en": "The request conflicts", "detail": "an import with this key is under way"}
    Script.steps += ["cut", (409, busy), (502, {"title_en": "Bad gateway"}), (201, DONE)]
    result = run(tmp_path, server.server_address[1], "--receipts", str(tmp_path / "receipts"))
    assert result.exit_code == 0, result.output
    assert len({key for key, _ in Script.seen}) == 1
    assert [size == len(ROWS) for _, size in Script.seen] == [False, True, True, True]
    assert (tmp_path / "receipts").read_bytes() == b'{"row": 1}\n'
    assert "服务无应答" in result.stderr
    assert "did not come back" not in result.stderr


def test_a_server_that_stays_busy_is_not_waited_for_without_end(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    Script.steps += [(409, {"title_en": "x", "detail": "an import with this key is under way"})] * 10_000
    result = run(tmp_path, server.server_address[1], "--wait", "0.1", "--key", "mine")
    assert result.exit_code == 75
    assert "HTTP 409, an import with this key is under way" in " ".join(result.stderr.split())


def test_a_refusal_is_not_taken_for_silence(tmp_path: Path, server: ThreadingHTTPServer) -> None:
    Script.steps += [(401, {"title_en": "Who are you?"})]
    result = run(tmp_path, server.server_address[1])
    assert result.exit_code == 1
    assert "Who are you?" in result.stderr
    assert "服务无应答" not in result.stderr
    assert len(Script.seen) == 1


def test_patience_begins_anew_only_when_the_server_has_taken_more() -> None:
    said: list[str] = []
    patience = imports.Patience(0.0, "http://server", said.append)
    with pytest.raises(imports.typer.Exit):
        patience.missed("ReadError", 100)
    assert len(said) == 2
    patient = imports.Patience(3600, "http://server", said.append)
    for sent in (100, 100, 50, 100):
        patient.missed("ReadError", sent)
    first = patient.missed_at
    assert len(said) == 3
    patient.missed("ReadError", 101)
    assert len(said) == 4
    assert first is not None
    assert patient.missed_at is not None
    assert patient.missed_at > first
