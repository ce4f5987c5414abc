"""One embedded PostgreSQL for the whole run, one database for each worker, empty tables for each test.

Nothing starts before a test asks for it: tests of pure rules run without a server.
"""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from hypothesis import settings

from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database, connect_arguments
from tests.api import Api, running
from tests.support import FOLDER, DatabaseUrls, TestServer, reachable_folder

NOW = datetime(2026, 5, 6, 2, tzinfo=UTC)
CONTROLLER = "CREDIT_TEST_CONTROLLER"
KEPT_TABLES = ("alembic_version", "catalogue_item")

# The same examples on each run, so that a failure is the change's own. HYPOTHESIS_PROFILE=explore looks for new ones.
settings.register_profile("repeat", derandomize=True)
settings.register_profile("explore", print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


def pytest_configure(config: pytest.Config) -> None:
    """The controller (or the only process) names the folder and cleans up; workers find both in the environment."""
    gc.disable()  # until everything is collected, see below
    if hasattr(config, "workerinput"):
        return
    for name in [name for name in os.environ if name.startswith("CREDIT_")]:
        del os.environ[name]  # a developer's own settings are not the tests'
    folder = reachable_folder("credit-service-tests-")
    os.environ[FOLDER] = str(folder)
    os.environ[CONTROLLER] = str(os.getpid())
    os.environ["CREDIT_DATA_DIR"] = str(folder / "data")  # whatever names no folder keeps away from an installation's
    config.add_cleanup(TestServer(folder).stop)


def pytest_collection_finish() -> None:
    """What was imported and collected stays for the run: the collector need not go through it again and again."""
    gc.enable()
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_server() -> TestServer:
    """The run's server, started by whoever asks first."""
    server = TestServer(Path(os.environ[FOLDER]))
    server.ensure()
    return server


@pytest.fixture(scope="session")
def database_urls(postgres_server: TestServer) -> DatabaseUrls:
    """Addresses of this worker's own migrated database."""
    return postgres_server.create_database(f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}")


@pytest.fixture
def own_database_urls(postgres_server: TestServer) -> Iterator[DatabaseUrls]:
    """Addresses of a freshly cloned database of one test's own: for migrations, kills and other violence."""
    name = f"test_{os.urandom(6).hex()}"
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
async def _sweeper(database_urls: DatabaseUrls) -> AsyncIterator[tuple[asyncpg.Connection[Any], str]]:
    """A connection that empties the tables. As a replica it checks no foreign keys, so that any order will do."""
    connection = await asyncpg.connect(
        **connect_arguments(database_urls.superuser),
        server_settings={"session_replication_role": "replica", "lock_timeout": "10s"},
    )
    tables = await connection.fetch(
        "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL ($1)",
        KEPT_TABLES,
    )
    # DELETE: 0.2 ms for all tables, against 7 ms for TRUNCATE, which makes new files for each.
    yield connection, ";".join(f"DELETE FROM {table['name']}" for table in tables)
    await connection.close()


@pytest.fixture
async def _empty_tables(_sweeper: tuple[asyncpg.Connection[Any], str]) -> None:
    connection, sweep = _sweeper
    await connection.execute(sweep)


@pytest.fixture
async def owner(_empty_tables: None, database_urls: DatabaseUrls) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A connection as the owner of the tables: for looking behind the service's back."""
    connection = await asyncpg.connect(**connect_arguments(database_urls.owner))
    yield connection
    await connection.close()


@pytest.fixture
async def database(_empty_tables: None, database_urls: DatabaseUrls) -> AsyncIterator[Database]:
    """The service's own access, to empty tables."""
    database = Database(database_urls.service, role="credit_service", pool_size=6)
    yield database
    await database.close()


@pytest.fixture
def clock() -> FixedClock:
    """A working day in the life of Order 36: 2026-05-06 10:00 in Shanghai."""
    return FixedClock(NOW)


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A folder that a server which is not root can reach (pytest's own are private)."""
    folder = reachable_folder("credit-service-test-")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def api(database: Database, clock: FixedClock, tmp_path: Path) -> AsyncIterator[Api]:
    """The application on the real database, for callers of every role."""
    async with running(database, clock, tmp_path) as found:
        yield found
