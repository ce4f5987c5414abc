"""Time-limits on the real database: what may follow what, each change with its audit event, two at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.deadlines import calendars, commands
from credit_service.deadlines.models import NoticeWrite, Stage, StageDeadline
from credit_service.deadlines.rules import Terms
from credit_service.platform.calendar import PACKAGE, WorkingCalendar
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.days import SHANGHAI
from credit_service.platform.errors import Problem
from tests.api import AGENCY, COMPANY, OTHER_AGENCY

ACTOR = Actor("client:officer", "req", AGENCY)
TERMS = Terms(7, "working-days", "ndrc-order-36-decide", "ndrc-order-36", "memory", 10, None, (3, 1))


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI).astimezone(UTC)


def new_stage(name: str = "decide") -> Stage:
    return Stage(COMPANY, "repair", uuid7(), name)


async def start(database: Database, now: datetime, stage: Stage, terms: Terms = TERMS) -> StageDeadline:
    async with database.transaction() as session:
        return await commands.start(session, PACKAGE, ACTOR, now, stage, terms, agency=AGENCY)


async def rows(database: Database, stage: Stage) -> list[StageDeadline]:
    async with database.transaction() as session:
        return list(await commands.of_case(session, *stage[:3]))


async def do(database: Database, name: str, now: datetime, stage: Stage, *more: Any) -> StageDeadline:
    """Run the command ``name``, with the calendar where it takes one."""
    first: tuple[Any, ...] = (PACKAGE,) if name in ("pause", "resume", "extend") else ()
    command: Callable[..., Awaitable[StageDeadline]] = getattr(commands, name)
    async with database.transaction() as session:
        return await command(session, *first, ACTOR, now, stage, *more)


async def refused(database: Database, name: str, now: datetime, stage: Stage, *more: Any) -> str:
    with pytest.raises(Problem) as caught:
        await do(database, name, now, stage, *more)
    return caught.value.type.slug


async def audited(owner: asyncpg.Connection[Any], row_id: UUID) -> list[str]:
    query = "SELECT action FROM audit_event WHERE subject_type = 'deadline' AND subject_id = $1 ORDER BY id"
    return [row["action"] for row in await owner.fetch(query, str(row_id))]


async def test_a_life_with_a_pause_and_an_extension(database: Database, owner: asyncpg.Connection[Any]) -> None:
    stage = new_stage()
    row = await start(database, at("2026-05-06 10:00"), stage)
    assert row.due_at == at("2026-05-15 00:00")  # 7 8 9 11 12 13 14: Saturday 9 May is worked
    await do(database, "pause", at("2026-05-08 09:00"), stage, "补正")
    (paused,) = await rows(database, stage)
    assert (paused.due_at, paused.remaining, paused.over(at("2030-01-01"))) == (None, 5, False)
    assert await refused(database, "extend", at("2026-05-08 10:00"), stage, 3, "复杂") == "deadline-paused"
    await do(database, "resume", at("2026-05-20 16:00"), stage)
    (resumed,) = await rows(database, stage)
    assert resumed.due_at == at("2026-05-28 00:00")
    await do(database, "extend", at("2026-05-27 23:59:59"), stage, 10, "情况复杂")
    (extended,) = await rows(database, stage)
    assert extended.due_at == at("2026-06-11 00:00")
    assert await refused(database, "extend", at("2026-05-28 09:00"), stage, 1, "再延") == "deadline-not-extendable"
    await do(database, "meet", at("2026-06-10 23:59:59"), stage)
    (met,) = await rows(database, stage)
    assert (met.closed_as, met.over(at("2026-12-01"))) == ("met", False)
    names = ["started", "paused", "resumed", "extended", "met"]
    assert await audited(owner, row.id) == [f"deadline.{name}" for name in names]


async def test_what_is_over_is_neither_paused_nor_extended_and_met_late(database: Database) -> None:
    stage = new_stage()
    due_at = (await start(database, at("2026-05-06 10:00"), stage)).due_at
    assert due_at is not None
    assert await refused(database, "pause", due_at, stage, "补正") == "deadline-over"
    assert await refused(database, "extend", due_at, stage, 1, "复杂") == "deadline-over"
    await do(database, "meet", due_at, stage)
    (row,) = await rows(database, stage)
    assert row.over(due_at)
    assert not row.over(due_at - timedelta(microseconds=1))


@pytest.mark.parametrize("amount", [0, -1, 11])
async def test_an_extension_stays_within_the_rule(database: Database, amount: int) -> None:
    stage = new_stage()
    await start(database, at("2026-05-06 10:00"), stage)
    assert await refused(database, "extend", at("2026-05-06 11:00"), stage, amount, "x") == "deadline-not-extendable"


async def test_a_stage_runs_once_at_a_time_and_may_start_anew(database: Database) -> None:
    stage = new_stage()
    await start(database, at("2026-05-06 10:00"), stage)
    with pytest.raises(Problem, match="deadline-running"):
        await start(database, at("2026-05-06 11:00"), stage)
    await start(database, at("2026-05-06 11:00"), stage._replace(name="total"))
    await do(database, "cancel", at("2026-05-07 10:00"), stage, "撤回")
    assert await refused(database, "meet", at("2026-05-07 10:00"), stage) == "deadline-not-open"
    await start(database, at("2026-05-08 10:00"), stage)
    found = [(row.stage, row.closed_as) for row in await rows(database, stage)]
    assert found == [("decide", "cancelled"), ("total", None), ("decide", None)]


async def test_resuming_needs_a_pause_and_a_pause_no_pause(database: Database) -> None:
    stage = new_stage()
    await start(database, at("2026-05-06 10:00"), stage)
    assert await refused(database, "resume", at("2026-05-06 11:00"), stage) == "deadline-not-paused"
    await do(database, "pause", at("2026-05-06 12:00"), stage, "补正")
    assert await refused(database, "pause", at("2026-05-06 13:00"), stage, "补正") == "deadline-paused"


async def test_a_clock_that_is_set_back_gives_no_days_back(database: Database) -> None:
    stage = new_stage()
    before = (await start(database, at("2026-05-06 10:00"), stage)).due_at
    await do(database, "pause", at("2026-05-08 10:00"), stage, "补正")
    await do(database, "resume", at("2026-05-07 10:00"), stage)
    assert [row.due_at for row in await rows(database, stage)] == [before]


async def test_two_at_once_are_one_after_the_other(database: Database) -> None:
    stage = new_stage()
    await start(database, at("2026-05-06 10:00"), stage)
    now = at("2026-05-07 10:00")
    outcomes = await asyncio.gather(
        *(do(database, "extend", now, stage, 5, f"officer {n}") for n in range(4)), return_exceptions=True
    )
    assert sum(isinstance(outcome, StageDeadline) for outcome in outcomes) == 1
    assert {o.type.slug for o in outcomes if isinstance(o, Problem)} == {"deadline-not-extendable"}
    (row,) = await rows(database, stage)
    assert row.amount == 12


async def test_a_handover_moves_the_duty(database: Database) -> None:
    stage = new_stage()
    await start(database, at("2026-05-06 10:00"), stage)
    await do(database, "hand_over", at("2026-05-07 10:00"), stage, OTHER_AGENCY, "机构合并")
    assert [row.agency_uscc for row in await rows(database, stage)] == [OTHER_AGENCY]


def notice(**changes: Any) -> NoticeWrite:
    rest = [date(2027, 1, n) for n in (1, 2, 3)] + [date(2027, 10, n) for n in range(1, 8)]
    return NoticeWrite.model_validate(
        {"document": "国办发明电〔2026〕9号", "year": 2027, "rest": rest, "worked": [date(2027, 1, 9)]} | changes
    )


async def enter(database: Database, body: NoticeWrite, now: datetime) -> int:
    async with database.transaction() as session:
        return (await calendars.enter_notice(session, ACTOR, now, body))[1]


async def calendar_of(database: Database) -> WorkingCalendar:
    async with database.transaction() as session:
        return await calendars.load_calendar(session)


async def test_a_notice_recomputes_what_was_provisional(database: Database, owner: asyncpg.Connection[Any]) -> None:
    provisional, certain, paused = (new_stage() for _ in range(3))
    row = await start(database, at("2026-12-25 10:00"), provisional)
    assert (row.due_at, row.provisional) == (at("2027-01-06 00:00"), True)
    await start(database, at("2026-12-01 10:00"), certain)
    await start(database, at("2026-12-30 10:00"), paused)
    await do(database, "pause", at("2027-01-04 10:00"), paused, "补正")
    assert [row.remaining for row in await rows(database, paused)] == [4]  # 31 December, 1 and 4 January are gone
    assert await enter(database, notice(), at("2027-01-04 11:00")) == 2
    (row,) = await rows(database, provisional)
    assert (row.due_at, row.provisional) == (at("2027-01-07 00:00"), False)
    assert [row.due_at for row in await rows(database, certain)] == [at("2026-12-11 00:00")]
    assert [row.remaining for row in await rows(database, paused)] == [5]
    assert await audited(owner, row.id) == ["deadline.started", "deadline.recomputed"]
    assert await owner.fetchval("SELECT count(*) FROM audit_event WHERE action = 'calendar.notice-entered'") == 1


async def test_a_closed_time_limit_stays_as_it_was(database: Database) -> None:
    stage = new_stage()
    due_at = (await start(database, at("2026-12-25 10:00"), stage)).due_at
    await do(database, "meet", at("2026-12-28 10:00"), stage)
    await enter(database, notice(), at("2026-12-29 10:00"))
    assert [row.due_at for row in await rows(database, stage)] == [due_at]


async def test_the_calendar_in_use_follows_the_notices_of_other_processes(database: Database) -> None:
    assert not (await calendar_of(database)).is_announced(date(2027, 1, 4))
    await enter(database, notice(), at("2026-11-05 10:00"))
    first = await calendar_of(database)
    assert (first.is_announced(date(2027, 1, 4)), first.is_working(date(2027, 1, 1))) == (True, False)
    assert await calendar_of(database) is first, "one query tells that it is still the newest"
    await enter(
        database, notice(year=None, rest=[], worked=[date(2027, 1, 2)], document="更正"), at("2026-11-06 10:00")
    )
    assert (await calendar_of(database)).is_working(date(2027, 1, 2))


async def test_a_notice_rolled_back_is_in_nobodys_calendar(database: Database) -> None:
    async with AsyncSession(database.engine) as session:
        await calendars.enter_notice(session, ACTOR, at("2026-11-05 10:00"), notice())
        assert (await calendars.load_calendar(session)).is_announced(date(2027, 1, 4))
        await session.rollback()
    assert await calendar_of(database) is PACKAGE


async def test_two_notices_at_once_get_two_numbers(database: Database) -> None:
    await asyncio.gather(*(enter(database, notice(document=f"通知 {n}"), at("2026-11-05 10:00")) for n in range(4)))
    async with database.transaction() as session:
        newest = await calendars.store.newest_notice(session)
    assert newest is not None
    assert newest[0] == 4


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"year": None, "rest": [], "worked": []}, "/rest"),
        ({"worked": [date(2027, 1, 1)]}, "/worked"),
        ({"rest": [date(2027, 1, 1)]}, "/rest"),
        ({"worked": [date(2028, 1, 8)]}, "/worked"),
    ],
)
async def test_a_notice_that_cannot_be_is_refused(database: Database, changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Problem) as caught:
        await enter(database, notice(**changes), at("2026-11-05 10:00"))
    assert [error.pointer for error in caught.value.errors] == [pointer]
