"""Audit events: canonical, one for each change, in its transaction, and out of reach for the service."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from credit_service.accounts.rules import Role
from credit_service.audit import events
from credit_service.platform.context import Actor
from credit_service.platform.database import Database, connect_arguments
from credit_service.records.imports.merge import stored_event_frame
from tests.api import AGENCY, COMPANY, Api, penalty
from tests.support import DatabaseUrls

texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=40)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz_09", max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_canonical_bytes_are_those_of_another_implementation(value: Any) -> None:
    assert events.canonical_json(value) == rfc8785.dumps(value)


@given(texts, texts, st.none() | texts, st.binary(min_size=32, max_size=32))
def test_the_set_based_event_is_the_single_one_byte_by_byte(
    actor_id: str, request_id: str, agency: str | None, after: bytes
) -> None:
    now = datetime(2026, 5, 6, 2, 0, 0, 123456, tzinfo=UTC)
    actor = Actor(actor_id, request_id, agency)
    event = events.new_event(
        actor,
        now,
        "record.stored",
        uscc=COMPANY,
        subject_type="record",
        subject_id="0190-a",
        after=after,
    )
    assert event.salt is not None
    attribution = events.commitment(event.salt, events.attribution_of(actor))
    head, middle, before_record, before_code, tail = stored_event_frame(attribution, now)
    assembled = f"{head}{after.hex()}{middle}{event.id}{before_record}0190-a{before_code}{COMPANY}{tail}"
    assert assembled.encode() == event.canonical


def test_a_commitment_depends_on_its_salt() -> None:
    assert events.commitment(b"a" * 32, b"content") != events.commitment(b"b" * 32, b"content")


async def test_a_change_that_rolls_back_leaves_no_event(api: Api, owner: asyncpg.Connection) -> None:
    before = await owner.fetchval("SELECT count(*) FROM audit_event")
    with pytest.raises(RuntimeError):  # noqa: PT012
        async with api.database.transaction() as session:
            event = events.new_event(
                Actor("a", "r"), api.clock.now(), "x", uscc=COMPANY, subject_type="t", subject_id="s"
            )
            events.append(session, [event])
            await session.flush()
            raise RuntimeError
    assert await owner.fetchval("SELECT count(*) FROM audit_event") == before


async def test_a_change_whose_event_cannot_be_written_does_not_happen(api: Api, owner: asyncpg.Connection) -> None:
    """No error path drops the event and keeps the change: the database refuses one insert, and all of it is undone."""
    await owner.execute("ALTER TABLE audit_event ADD CONSTRAINT broken CHECK (action <> 'record.stored') NOT VALID")
    try:
        assert (await api.submit()).status_code == 500
    finally:
        await owner.execute("ALTER TABLE audit_event DROP CONSTRAINT broken")
    assert await owner.fetchval("SELECT count(*) FROM record") == 0
    assert await owner.fetchval("SELECT count(*) FROM record_version") == 0


async def test_an_event_says_who_what_and_under_which_request(api: Api, owner: asyncpg.Connection) -> None:
    await api.call("POST", "/v1/records", headers={}, json={})
    headers = {"X-Request-ID": "request-7"}
    stored = (await api.call("POST", "/v1/records", Role.SUBMITTER, headers, json=penalty())).json()
    row = await owner.fetchrow("SELECT * FROM audit_event WHERE action = 'record.stored'")
    assert row is not None
    said = orjson.loads(row["canonical"])
    assert orjson.loads(row["attribution"]) == {
        "actor": "client:agency-submitter-500103",
        "agency": AGENCY,
        "request_id": "request-7",
    }
    assert said["attribution"] == events.commitment(row["salt"], row["attribution"]).hex()
    assert b"agency-submitter" not in row["canonical"]
    assert said["subject"] == {"id": stored["id"], "type": "record", "uscc": COMPANY, "version": 1}
    assert "重庆" not in row["canonical"].decode()


@pytest.mark.parametrize("table", ["audit_event", "record_version"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET actor = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_the_service_cannot_change_history(database: Database, table: str, statement: str) -> None:
    connection = await database.connect()
    try:
        for attempt in ("SELECT 1", "RESET ROLE"):
            await connection.execute(attempt)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement.format(table))
    finally:
        await connection.close()


async def test_the_services_login_owns_and_creates_nothing(database_urls: DatabaseUrls, database: Database) -> None:
    connection = await asyncpg.connect(**connect_arguments(database_urls.service))
    try:
        for statement in (
            "CREATE TABLE mine (a int)",
            "DROP TABLE record",
            "ALTER TABLE audit_event DISABLE TRIGGER ALL",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(statement)
        assert not await connection.fetchval(
            "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
        )
    finally:
        await connection.close()
