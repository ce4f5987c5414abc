"""``credit-service serve`` as a process: it answers, refuses, stops cleanly, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psutil
import pytest

from tests.support import ROOT

COMMAND = [sys.executable, "-c", "from credit_service.cli import main; main()"]
SECONDS = 240


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        check=False, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=SECONDS,
    )  # fmt: skip


def environment() -> dict[str, str]:
    """Of a process under test: no settings but the data folder of whatever names none."""
    own = "CREDIT_DATA_DIR"
    return {name: value for name, value in os.environ.items() if name == own or not name.startswith("CREDIT_")}


def runs(process: psutil.Process) -> bool:
    """Whether the process is there and not merely waiting for its parent to take note of its end."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def processes_of(data_dir: Path) -> list[psutil.Process]:
    """Every living process that names the folder: serve, its children, PostgreSQL."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(data_dir) in part for part in process.info["cmdline"] or []) and runs(process):
            found.append(process)
    return found


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def status(port: int, path: str) -> int | None:
    """What a server on this machine answers, if anything does."""
    # A client of httpx reads the authorities' certificates first: 25 ms, twenty times a second, beside what starts.
    asked = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        asked.request("GET", path)
        return asked.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        asked.close()


def answers(port: int, path: str = "/livez") -> bool:
    return status(port, path) == 200


@contextmanager
def serving(
    data_dir: Path, port: int, *more: str, settings: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    log = data_dir.parent / f"{data_dir.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, "serve", "--data", str(data_dir), "--port", str(port), *more],
            cwd=ROOT, env=environment() | (settings or {}), stdout=output, stderr=output,
        )  # fmt: skip
    try:
        eventually(lambda: answers(port) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield process
    finally:
        for left in processes_of(data_dir):
            left.kill()
        process.wait()
        log.unlink(missing_ok=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_and_stops_cleanly(data_dir: Path, number: signal.Signals) -> None:
    port = free_port()
    with serving(data_dir, port) as process:
        children = psutil.Process(process.pid).children(recursive=True)
        assert any(child.name() == "postgres" for child in children)
        process.send_signal(number)
        assert process.wait(SECONDS) == 0
        eventually(lambda: not processes_of(data_dir))
        assert not any(runs(child) for child in children)
    assert not (data_dir / "postgres" / "postmaster.pid").exists()


def test_a_second_serve_says_why_it_does_not_start(data_dir: Path) -> None:
    port = free_port()
    with serving(data_dir, port) as process:
        folder_taken = run("serve", "--data", str(data_dir), "--port", str(free_port()))
        assert folder_taken.returncode == 1
        assert f"already running on {data_dir} (process {process.pid})" in folder_taken.stderr
        port_taken = run("serve", "--data", str(data_dir / "other"), "--port", str(port))
        assert port_taken.returncode == 1
        assert f"port {port} on 127.0.0.1 is in use" in port_taken.stderr
        assert not (data_dir / "other").exists()
        assert "Traceback" not in folder_taken.stderr + port_taken.stderr
        assert answers(port)


def test_db_commands_reach_the_running_server(data_dir: Path) -> None:
    port = free_port()
    with serving(data_dir, port):
        for command in ("upgrade", "current", "check"):
            done = run("db", command, "--data", str(data_dir))
            assert done.returncode == 0, done.stderr
        assert run("healthcheck", "--url", f"http://127.0.0.1:{port}/livez").returncode == 0
        assert answers(port)
    assert run("healthcheck", "--url", f"http://127.0.0.1:{port}/livez").returncode == 1


def test_after_a_kill_nothing_holds_port_or_folder(data_dir: Path) -> None:
    port = free_port()
    with serving(data_dir, port, "--workers", "2") as process:
        assert answers(port, "/metrics")
        # Two web processes and the job runner; the database stays, for the next start to take over.
        companions = [child for child in psutil.Process(process.pid).children() if child.name() != "postgres"]
        assert len(companions) >= 3
        process.kill()
        process.wait()
        eventually(lambda: not any(runs(companion) for companion in companions))
        with serving(data_dir, port) as again:
            again.terminate()
            assert again.wait(SECONDS) == 0


def test_without_its_database_it_stops_with_an_error(data_dir: Path) -> None:
    with serving(data_dir, free_port()) as process:
        server = next(child for child in psutil.Process(process.pid).children() if child.name() == "postgres")
        server.kill()
        assert process.wait(SECONDS) == 1
        assert "PostgreSQL ended by itself" in (data_dir.parent / f"{data_dir.name}.log").read_text()


def test_help_needs_none_of_the_service() -> None:
    loaded = "import sys; import credit_service.cli; print({'fastapi', 'sqlalchemy', 'asyncpg'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
