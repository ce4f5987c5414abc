"""One embedded PostgreSQL for the whole run, one database for each worker, empty tables for each test."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from credit_service.platform import migration
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database, connect_arguments
from tests.support import DatabaseUrls, TestServer

NOW = datetime(2026, 5, 6, 2, tzinfo=UTC)


def pytest_configure(config: pytest.Config) -> None:
    """The controller (or the only process) owns the server; workers find its folder in the environment."""
    if "CREDIT_TEST_SERVER" not in os.environ and not config.option.collectonly:
        server = TestServer.start()
        os.environ["CREDIT_TEST_SERVER"] = str(server.data_dir)
        config.add_cleanup(server.stop)
        config.add_cleanup(lambda: os.environ.pop("CREDIT_TEST_SERVER", None))


@pytest.fixture(scope="session")
def database_urls(worker_id: str) -> Iterator[DatabaseUrls]:
    """Addresses of this worker's own migrated database."""
    server = TestServer(Path(os.environ["CREDIT_TEST_SERVER"]))
    yield server.create_database(f"test_{worker_id}")


@pytest.fixture(scope="session")
def worker_id(request: pytest.FixtureRequest) -> str:
    return os.environ.get("PYTEST_XDIST_WORKER", "main")


@pytest.fixture
async def owner(database_urls: DatabaseUrls) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection as the owner of the tables: for looking behind the service's back."""
    connection = await asyncpg.connect(**connect_arguments(database_urls.owner))
    yield connection
    await connection.close()


@pytest.fixture
async def database(database_urls: DatabaseUrls, owner: asyncpg.Connection[Any]) -> AsyncIterator[Database]:
    """The service's own access, to empty tables."""
    tables = await owner.fetch(
        "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'"
        " AND tablename NOT IN ('alembic_version', 'catalogue_item')"
    )
    await owner.execute("".join(f"DELETE FROM {row['name']};" for row in _children_first(tables)))
    database = Database(database_urls.service, role="credit_service", pool_size=6)
    yield database
    await database.close()


def _children_first(tables: list[Any]) -> list[Any]:
    order = {"import_receipt": 0, "client": 0, "agency_grant": 0}
    return sorted(tables, key=lambda row: order.get(row["name"], 1))


@pytest.fixture
def clock() -> FixedClock:
    """A working day in the life of Order 36: 2026-05-06 10:00 in Shanghai."""
    return FixedClock(NOW)


@pytest.fixture
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder that a server which is not root can reach (pytest's own are private)."""
    folder = Path("/tmp") / f"credit-service-test-{os.getpid()}-{os.urandom(4).hex()}"  # noqa: S108
    folder.mkdir(mode=0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


__all__ = ["migration"]
