"""What the service may do to its own history: add to it. And that it never works as the owner of the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncpg

from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database, connect_arguments
from tests.api import COMPANY, running
from tests.support import DatabaseUrls

APPENDED = {
    "access_log",
    "audit_event",
    "calendar_notice",
    "change_digest",
    "class_history",
    "entity_version",
    "inspection_item",
    "inspector_conflict",
    "log_checkpoint",
    "log_cosignature",
    "log_entry",
    "log_key",
    "log_shard",
    "log_tile",
    "measure_application",
    "measure_feedback",
    "measure_lifting",
    "measure_statistics",
    "record_link",
    "record_version",
}
"""Tables that only grow. A new table that the service may only add to belongs here, and none may leave."""

PRIVILEGES = """
SELECT t.table_name, array_agg(DISTINCT p.privilege_type::text)
FROM information_schema.tables t
JOIN (SELECT table_schema, table_name, grantee, privilege_type FROM information_schema.table_privileges
      UNION SELECT table_schema, table_name, grantee, privilege_type FROM information_schema.column_privileges) p
  USING (table_schema, table_name)
WHERE t.table_schema = 'public' AND p.grantee IN ('credit_service', 'credit_app', 'PUBLIC')
GROUP BY 1
"""


async def test_history_is_only_added_to(owner: asyncpg.Connection[Any]) -> None:
    """The privileges of the role, of the login and of everybody, on whole tables and on single columns."""
    held = {table: set(privileges) for table, privileges in await owner.fetch(PRIVILEGES)}
    assert [table for table in sorted(APPENDED) if held.get(table) != {"SELECT", "INSERT"}] == []
    assert {table for table, privileges in held.items() if privileges == {"SELECT", "INSERT"}} == APPENDED
    assert set().union(*held.values()) <= {"SELECT", "INSERT", "UPDATE", "DELETE"}, "no TRUNCATE, TRIGGER, REFERENCES"
    owners = await owner.fetch("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert [row["tableowner"] for row in owners] == ["credit_owner"]


async def test_the_service_cannot_become_the_owner(owner: asyncpg.Connection[Any]) -> None:
    for role in ("credit_app", "credit_service"):
        found = await owner.fetchrow(
            "SELECT pg_has_role($1, 'credit_owner', 'MEMBER') AS owns, rolsuper, rolbypassrls, rolcreaterole,"
            " rolcreatedb FROM pg_roles WHERE rolname = $1",
            role,
        )
        assert found is not None
        assert set(found.values()) == {False}, role


async def test_the_running_service_connects_as_itself(
    database: Database, database_urls: DatabaseUrls, clock: FixedClock, tmp_path: Path
) -> None:
    """Of everything that is connected while it answers, nothing but the observer logs in as anybody else."""
    async with running(database, clock, tmp_path) as api:
        assert (await api.submit()).status_code == 201
        assert (await api.get(f"/v1/entities/{COMPANY}")).status_code == 200
        assert (await api.get("/readyz")).status_code == 200
        async with database.transaction() as session:
            raw = (await (await session.connection()).get_raw_connection()).driver_connection
            assert raw is not None
            assert await raw.fetchval("SELECT current_user") == "credit_service"
        assert await (await database.pool()).fetchval("SELECT current_user") == "credit_service"
        observer = await asyncpg.connect(**connect_arguments(database_urls.superuser))
        try:
            rows = await observer.fetch(
                "SELECT usename, application_name FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend'"
            )
        finally:
            await observer.close()
    names = [row["usename"] for row in rows]
    assert "credit_app" in names
    assert set(names) <= {"credit_app", "postgres"}, rows
