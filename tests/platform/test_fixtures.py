"""The fixtures everything else rests on: the service's role, empty tables, one database for each worker."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from credit_service.platform.database import Database
from credit_service.platform.settings import Settings, default_data_directory
from tests.cli.test_serve import environment
from tests.support import FOLDER, DatabaseUrls, reachable_folder

AGENCY = "INSERT INTO agency (uscc, name, division, level, created_at) VALUES ('1', 'x', '110000', 'city', now())"
GRANT = "INSERT INTO agency_grant VALUES ('1', 'some-item', '11')"


@pytest.mark.parametrize("time", [1, 2])
async def test_tables_are_empty_in_each_test(time: int, database: Database, owner: asyncpg.Connection[Any]) -> None:
    assert await owner.fetchval("SELECT count(*) FROM agency") == 0
    assert await owner.fetchval("SELECT count(*) FROM catalogue_item") > 0
    pool = await database.pool()
    await pool.execute(AGENCY)
    await pool.execute(GRANT)


async def test_the_service_acts_in_its_role_and_cannot_rewrite_history(database: Database) -> None:
    pool = await database.pool()
    assert await pool.fetchval("SELECT current_user") == "credit_service"
    for statement in ("DELETE FROM audit_event", "UPDATE record_version SET actor = ''", "TRUNCATE audit_event"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)


async def test_a_database_of_ones_own_is_migrated(own_database_urls: DatabaseUrls) -> None:
    database = Database(own_database_urls.service, role="credit_service")
    pool = await database.pool()
    assert await pool.fetchval("SELECT count(*) FROM agency") == 0
    await database.close()


def test_what_names_no_folder_keeps_away_from_an_installations() -> None:
    """A log's head that a test signed with the default folder's keys would stop the log of whoever serves from it."""
    process = {name: value for name, value in environment().items() if name.startswith("CREDIT_")}
    assert process == {"CREDIT_DATA_DIR": str(Settings().data_dir)}
    assert Settings().data_dir != default_data_directory()
    assert Settings().keys_directory.is_relative_to(Settings().data_dir)


def test_every_folder_of_a_run_goes_with_it(data_dir: Path) -> None:
    """Those of fixtures that last for a module, and the logs beside them, were left in the system's folder."""
    for folder in (data_dir, reachable_folder("credit-service-")):
        assert folder.parent == Path(os.environ[FOLDER])
