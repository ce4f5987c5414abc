"""``serve`` and ``worker`` on a configured server, with the service's own login and nothing more."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg

from credit_service.platform.database import connect_arguments
from tests.audit.support import event_rows, write
from tests.cli.test_serve import COMMAND, SECONDS, answers, environment, eventually, free_port
from tests.conftest import NOW
from tests.support import ROOT, DatabaseUrls


def test_the_service_needs_no_more_than_its_own_login(own_database_urls: DatabaseUrls, tmp_path: Path) -> None:
    port = free_port()
    settings = {"CREDIT_DATABASE_URL": own_database_urls.service, "CREDIT_KEYS_DIR": str(tmp_path / "keys")}
    command = [*COMMAND, "serve", "--port", str(port), "--no-jobs"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment() | settings)
    try:
        eventually(lambda: answers(port, "/readyz") or process.poll() is not None)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()


def connected(urls: DatabaseUrls) -> bool:
    """Whether the job runner works on its database."""

    async def ask() -> bool:
        connection = await asyncpg.connect(**connect_arguments(urls.superuser))
        try:
            query = "SELECT count(*) > 1 FROM pg_stat_activity WHERE application_name = 'credit-service-worker'"
            found: bool = await connection.fetchval(query + " AND datname = current_database()")
            return found
        finally:
            await connection.close()

    return asyncio.run(ask())


def test_the_job_runner_ends_in_order(own_database_urls: DatabaseUrls) -> None:
    """Without closing the interpreter, which a bucket's native threads would meet: 15 of 100 ends were a SIGABRT."""
    settings = {"CREDIT_DATABASE_URL": own_database_urls.service}
    program = "import atexit; atexit.register(print, 'closed'); from credit_service.cli import main; main()"
    command = [sys.executable, "-c", program, "worker"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment() | settings, stdout=subprocess.PIPE)
    try:
        eventually(lambda: connected(own_database_urls) or process.poll() is not None)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        told, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        assert b"closed" not in told
    finally:
        process.kill()


def test_the_job_runner_ends_when_nobody_extends_the_log(own_database_urls: DatabaseUrls, tmp_path: Path) -> None:
    """A key of the log that is none: without its keeper the runner would go on, and no head be signed."""
    keys = tmp_path / "keys" / "log"
    keys.mkdir(parents=True)
    (keys / "0001.pem").write_text("not a key")

    async def add() -> None:
        connection = await asyncpg.connect(**connect_arguments(own_database_urls.superuser))
        await write(connection, event_rows(1, NOW))
        await connection.close()

    asyncio.run(add())
    settings = {"CREDIT_DATABASE_URL": own_database_urls.service, "CREDIT_KEYS_DIR": str(tmp_path / "keys")}
    process = subprocess.Popen([*COMMAND, "worker"], cwd=ROOT, env=environment() | settings, stderr=subprocess.PIPE)
    try:
        _, told = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "is not an Ed25519 key" in " ".join(told.decode().split())
