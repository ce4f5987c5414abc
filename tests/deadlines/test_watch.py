"""Warnings and escalations: each once, whoever looks, and whatever the clock does. Nothing is decided by them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts import commands as accounts
from credit_service.accounts.models import AgencyWrite
from credit_service.deadlines import calendars, jobs, watch
from credit_service.identity.uscc import compose
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.worker import WORKER
from tests.api import AGENCY, CATALOGUE, OTHER_AGENCY
from tests.deadlines.test_commands import TERMS, at, do, enter, new_stage, notice, rows, start

PARENT = compose("11", "500000", "00928000")
STARTED = at("2026-05-06 10:00")  # 7 working days: the last one is Thursday 14 May
NAMES = {PARENT: "重庆市市场监督管理局", AGENCY: "重庆市渝中区市场监督管理局", OTHER_AGENCY: "渝中区新局"}


@pytest.fixture(autouse=True)
async def agencies(database: Database) -> None:
    async with database.transaction() as session:
        for code, parent in ((PARENT, None), (AGENCY, PARENT), (OTHER_AGENCY, None)):
            body = AgencyWrite(name=NAMES[code], division=code[2:8], level="district", grants=[], parent_uscc=parent)
            await accounts.put_agency(session, CATALOGUE, Actor("t", "t"), STARTED, code, body)


async def told(owner: asyncpg.Connection[Any]) -> list[tuple[str, str]]:
    query = "SELECT template, recipient FROM notification ORDER BY created_at, id"
    return [(row["template"], row["recipient"]) for row in await owner.fetch(query)]


async def look(database: Database, text: str) -> int:
    return await jobs.attend(database, WORKER, at(text))


async def test_warned_at_the_points_then_escalated_and_never_decided(
    database: Database, owner: asyncpg.Connection[Any]
) -> None:
    stage = new_stage()
    row = await start(database, STARTED, stage)
    attended = [
        await look(database, moment)
        for moment in (
            "2026-05-10 23:59:59",
            "2026-05-11 00:00",  # three working days before the 14th
            "2026-05-12 12:00",
            "2026-05-13 00:00",
            "2026-05-14 23:59:59",
            "2026-05-15 00:00",
            "2026-06-30 00:00",
        )
    ]
    assert attended == [0, 1, 0, 1, 0, 1, 0]
    assert await told(owner) == [("deadline-warning", AGENCY)] * 2 + [("deadline-overdue", PARENT)]
    (after,) = await rows(database, stage)
    assert (after.closed_as, after.escalated_at, after.warned) == (None, at("2026-05-15 00:00"), 1)
    body = await owner.fetchval("SELECT body FROM notification WHERE template = 'deadline-overdue'")
    assert NAMES[PARENT] in body
    assert "“作出决定”环节应于2026年5月14日办结，已超期1个工作日" in body
    actions = await owner.fetch("SELECT action FROM audit_event WHERE subject_id = $1 ORDER BY id", str(row.id))
    names = ["started", "warned", "warned", "escalated"]
    assert [found["action"] for found in actions] == [f"deadline.{name}" for name in names]


async def test_points_that_passed_unattended_give_one_warning(
    database: Database, owner: asyncpg.Connection[Any]
) -> None:
    await start(database, STARTED, new_stage())
    assert await look(database, "2026-05-14 08:00") == 1
    assert await told(owner) == [("deadline-warning", AGENCY)]


async def test_points_before_the_beginning_are_no_warnings(database: Database, owner: asyncpg.Connection[Any]) -> None:
    await start(database, STARTED, new_stage(), replace(TERMS, amount=2))
    assert await look(database, "2026-05-06 10:01") == 0
    assert await look(database, "2026-05-07 00:00") == 1
    assert await told(owner) == [("deadline-warning", AGENCY)]


async def test_a_clock_stepped_back_and_forth_says_nothing_twice(
    database: Database, owner: asyncpg.Connection[Any]
) -> None:
    await start(database, STARTED, new_stage())
    for moment in ("2026-05-13 09:00", "2026-05-12 09:00", "2026-05-13 09:00", "2026-05-15 09:00", "2026-05-14 09:00"):
        await look(database, moment)
    for day in range(14, 20):
        await look(database, f"2026-05-{day} 09:00")
    assert await told(owner) == [("deadline-warning", AGENCY), ("deadline-overdue", PARENT)]


async def test_a_resumed_and_an_extended_count_are_warned_of_anew(
    database: Database, owner: asyncpg.Connection[Any]
) -> None:
    stage = new_stage()
    await start(database, STARTED, stage)
    await look(database, "2026-05-13 09:00")
    await do(database, "pause", at("2026-05-13 10:00"), stage, "补正")
    assert await look(database, "2026-08-01 09:00") == 0, "a paused time-limit is nobody's delay"
    await do(database, "resume", at("2026-08-03 10:00"), stage)
    await do(database, "extend", at("2026-08-03 11:00"), stage, 5, "复杂")
    assert await look(database, "2026-08-07 09:00") == 1
    assert await look(database, "2026-08-12 09:00") == 1
    assert [template for template, _ in await told(owner)] == ["deadline-warning"] * 2 + ["deadline-overdue"]


async def test_what_is_closed_is_let_be(database: Database, owner: asyncpg.Connection[Any]) -> None:
    met, cancelled = new_stage(), new_stage()
    for stage in (met, cancelled):
        await start(database, STARTED, stage)
    await do(database, "meet", at("2026-05-07 10:00"), met)
    await do(database, "cancel", at("2026-05-07 10:00"), cancelled, "撤回")
    assert await look(database, "2026-07-01 09:00") == 0
    assert await told(owner) == []


async def test_an_abolished_agency_is_answered_for_by_its_successor(
    database: Database, owner: asyncpg.Connection[Any]
) -> None:
    await start(database, STARTED, new_stage())
    body = AgencyWrite(
        name=NAMES[AGENCY], division="500103", level="district", grants=[], active=False, successor_uscc=OTHER_AGENCY
    )
    async with database.transaction() as session:
        await accounts.put_agency(session, CATALOGUE, Actor("t", "t"), STARTED, AGENCY, body)
    await look(database, "2026-05-13 09:00")
    await look(database, "2026-05-15 09:00")
    assert await told(owner) == [("deadline-warning", OTHER_AGENCY), ("deadline-overdue", OTHER_AGENCY)]


async def test_several_workers_at_once_tell_everybody_once(
    database: Database, owner: asyncpg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "AT_ONCE", 7)
    stages = [new_stage() for _ in range(60)]
    for stage in stages:
        await start(database, STARTED, stage)
    attended = await asyncio.gather(*(look(database, "2026-05-15 09:00") for _ in range(4)))
    attended.append(await look(database, "2026-05-15 09:00"))
    assert sum(attended) == len(stages)
    assert await told(owner) == [("deadline-overdue", PARENT)] * len(stages)
    assert await owner.fetchval("SELECT count(DISTINCT case_id) FROM notification") == len(stages)


async def test_an_officer_and_the_worker_at_once_leave_one_outcome(
    database: Database, owner: asyncpg.Connection[Any]
) -> None:
    stage = new_stage()
    await start(database, STARTED, stage)
    now = at("2026-05-15 09:00")
    await asyncio.gather(do(database, "meet", now, stage), look(database, "2026-05-15 09:00"))
    (row,) = await rows(database, stage)
    assert (row.closed_as, row.attention_at) == ("met", None)
    assert len(await told(owner)) == (row.escalated_at is not None)


async def test_the_job_recomputes_what_a_notice_could_not_reach(
    database: Database, owner: asyncpg.Connection[Any]
) -> None:
    """A time-limit that began with the old calendar while the notice was being entered."""
    stage = new_stage()
    await enter(database, notice(), at("2026-12-24 10:00"))
    await start(database, at("2026-12-25 10:00"), stage)  # as by a process that had loaded the calendar before
    assert await jobs.recompute(database, WORKER, at("2026-12-25 10:01")) == 1
    assert await jobs.recompute(database, WORKER, at("2026-12-25 10:02")) == 0
    (row,) = await rows(database, stage)
    assert (row.due_at, row.provisional) == (at("2027-01-07 00:00"), False)


async def test_an_escalation_that_a_notice_undid_is_given_again_when_it_is_true(
    database: Database, owner: asyncpg.Connection[Any]
) -> None:
    stage = new_stage()
    await start(database, at("2026-12-23 10:00"), stage)  # by weekends: 24, 25, 28, 29, 30, 31 December, 1 January
    assert await look(database, "2027-01-02 09:00") == 1
    await enter(database, notice(), at("2027-01-02 10:00"))
    (row,) = await rows(database, stage)
    assert (row.due_at, row.escalated_at) == (at("2027-01-05 00:00"), None)
    assert await look(database, "2027-01-05 00:00") == 1
    assert [template for template, _ in await told(owner)] == ["deadline-overdue"] * 2


async def test_the_mark_and_the_notification_are_one_transaction(
    database: Database, owner: asyncpg.Connection[Any]
) -> None:
    stage = new_stage()
    await start(database, STARTED, stage)
    async with AsyncSession(database.engine) as session:
        calendar = await calendars.load_calendar(session)
        assert await watch.attend(session, calendar, Actor("w", "w"), at("2026-05-15 09:00"), 10) == 1
        await session.rollback()
    assert await told(owner) == []
    assert [row.escalated_at for row in await rows(database, stage)] == [None]
    assert await look(database, "2026-05-15 09:01") == 1
