"""Alembic, driven from the program: one linear history, shipped in the wheel, run as the owner of the database."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import asyncpg
from alembic import command, op
from alembic.config import Config
from alembic.script import ScriptDirectory

from credit_service.platform.database import connect_arguments
from credit_service.platform.resources import migrations_dir


def execute_script(sql: str) -> None:
    """Run several statements inside the current migration's transaction (the simple protocol takes them at once)."""
    adapted = cast("Any", op.get_bind().connection.dbapi_connection)
    adapted.run_async(lambda connection: connection.execute(sql))


def configuration(url: str | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_dir()).replace("%", "%%"))
    config.attributes["url"] = url
    return config


def upgrade(url: str, revision: str = "head") -> None:
    """Bring the database to ``revision``. Must be called outside an event loop."""
    command.upgrade(configuration(url), revision)


def downgrade(url: str, revision: str) -> None:
    """Take the database back to ``revision`` (``base`` empties it)."""
    command.downgrade(configuration(url), revision)


def check(url: str) -> None:
    """Raise when the tables in the code and the migrated database differ."""
    command.check(configuration(url))


def head() -> str | None:
    """The newest revision this program ships."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


async def current(url: str) -> str | None:
    """The revision the database is at, ``None`` when it has never been migrated."""
    connection = await asyncpg.connect(**connect_arguments(url))
    try:
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            return None
        return cast("str | None", await connection.fetchval("SELECT version_num FROM alembic_version"))
    finally:
        await connection.close()


def is_current(url: str) -> bool:
    return asyncio.run(current(url)) == head()
