"""The drill of docs/backup.md as an operator types it: restored to an instant, the log is proved to an outsider."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
import pytest

from credit_service.audit.log import Log
from credit_service.audit.signing import LogKeys
from credit_service.platform import migration
from credit_service.platform.database import connect_arguments
from credit_service.platform.embedded import EmbeddedServer
from credit_service.platform.settings import Settings
from tests.audit.support import event_rows, write
from tests.cli.test_serve import run
from tests.platform.test_backup import SMALL, ask
from tests.support import reachable_folder

EVENTS = "SELECT count(*) FROM audit_event"


@pytest.fixture
def place() -> Iterator[Path]:
    folder = reachable_folder("credit-service-drill-")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def done(*command: object) -> str:
    """What a command that must end well printed."""
    answer = run(*(str(part) for part in command))
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


def refused(*command: object) -> str:
    """What a command that must not end well complained of."""
    answer = run(*(str(part) for part in command))
    assert answer.returncode == 1, answer.stdout + answer.stderr
    return answer.stderr


def add(server: EmbeddedServer, count: int, start: int) -> None:
    async def inside() -> None:
        connection = await asyncpg.connect(**connect_arguments(server.service_url))
        try:
            await write(connection, event_rows(count, datetime.now(UTC), start=start))
        finally:
            await connection.close()

    asyncio.run(inside())


def place_without_signing(server: EmbeddedServer, data: Path) -> None:
    """As the job runner does each second, between two signed heads."""

    async def inside() -> None:
        connection = await asyncpg.connect(**connect_arguments(server.service_url))
        try:
            log = Log(LogKeys(data / "keys" / "log"), Settings(data_dir=data).base_url)
            assert await log.sequence(connection, datetime.now(UTC), wait=True) == 3
        finally:
            await connection.close()

    asyncio.run(inside())


def lose(place: Path) -> datetime:
    """An installation that was backed up, went on, and is lost; gives an instant before its last signed head."""
    data, wal = place / "lost", place / "wal"
    with EmbeddedServer(data, options=SMALL, wal_archive=wal) as server:
        migration.upgrade(server.owner_url)
        add(server, 20, 0)
        done("log", "checkpoint", "--data", data)
        done("backup", place / "backups", "--data", data)
        add(server, 10, 20)
        done("log", "checkpoint", "--data", data)
        add(server, 3, 30)
        place_without_signing(server, data)
        add(server, 1, 33)  # without a place in the log yet
        moment: datetime = ask(server.owner_url, "SELECT clock_timestamp()")
        ask(server.owner_url, "SELECT pg_sleep(0.1)")
        add(server, 7, 34)
        done("log", "checkpoint", "--data", data)
        done("log", "export", place / "witnessed", "--data", data)
        ask(server.superuser_url, "SELECT pg_switch_wal()")
    return moment


def test_a_restored_installation_proves_its_log_to_an_outsider(place: Path) -> None:
    moment = lose(place)
    (taken,) = (place / "backups").iterdir()
    data = place / "restored"
    done("restore", taken, "--to", data, "--wal", place / "wal", "--until", moment.isoformat())
    assert "34 entries and 2 signed heads checked, all hold" in done("log", "verify", "--data", data), "an older memory"
    shutil.rmtree(data / "keys")
    shutil.copytree(place / "lost" / "keys", data / "keys")
    assert "log-rolled-back" in refused("log", "verify", "--data", data)
    assert "log-rolled-back" in refused("log", "checkpoint", "--data", data), "and nothing is signed over it"
    done("log", "reopen", "--data", data)
    done("log", "checkpoint", "--data", data)
    done("log", "verify", "--data", data)
    done("log", "export", place / "out", "--entries", "--data", data)
    with EmbeddedServer(data, options=SMALL) as server:
        events = ask(server.owner_url, EVENTS)
        assert ask(server.owner_url, EVENTS + " WHERE subject_type = 'record'") == 34
    trusted = [part for key in done("log", "keys", "list", "--data", data).split() for part in ("--key", key)]
    told = done("verify", place / "out", *trusted).splitlines()
    checked = [int(line.partition(" hashes and ")[2].split(" ")[0]) for line in told]
    assert (len(checked), sum(checked)) == (2, events), told
    (seen,) = (place / "witnessed").glob("*/checkpoint")
    assert seen.read_text().split("\n")[1] == "42"
    assert "FAULT log-rolled-back at 34 entries, 42 were seen" in refused(
        "verify", place / "out", *trusted, "--since", seen
    )
