"""SQL of time-limits and of the calendar's notices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.accounts.models import Agency
from credit_service.deadlines import rules
from credit_service.deadlines.models import CalendarNotice, Stage, StageDeadline
from credit_service.deadlines.rules import Period


async def of_case(
    session: AsyncSession, uscc: str, case_type: str, case_id: UUID, *, held: bool = False
) -> Sequence[StageDeadline]:
    """Every time-limit of a case, the oldest first; ``held`` against other changes if so wanted."""
    statement = (
        select(StageDeadline)
        .where(
            col(StageDeadline.uscc) == uscc,
            col(StageDeadline.case_type) == case_type,
            col(StageDeadline.case_id) == case_id,
        )
        .order_by(col(StageDeadline.id))
    )
    if held:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return (await session.execute(statement)).scalars().all()


async def open_of(session: AsyncSession, stage: Stage) -> StageDeadline | None:
    """The open time-limit of a stage, held against other changes."""
    statement = (
        select(StageDeadline)
        .where(
            col(StageDeadline.uscc) == stage.uscc,
            col(StageDeadline.case_type) == stage.case_type,
            col(StageDeadline.case_id) == stage.case_id,
            col(StageDeadline.stage) == stage.name,
            col(StageDeadline.closed_as).is_(None),
        )
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def due_for_attention(session: AsyncSession, now: datetime, limit: int) -> Sequence[StageDeadline]:
    """Time-limits with a warning or an escalation due, held; those another worker holds are its own business."""
    statement = (
        select(StageDeadline)
        .where(col(StageDeadline.attention_at) <= now)
        .order_by(col(StageDeadline.attention_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return (await session.execute(statement)).scalars().all()


async def computed_before(session: AsyncSession, version: int, limit: int) -> Sequence[StageDeadline]:
    """Open time-limits that an older calendar gave, held; those another transaction holds come later."""
    statement = (
        select(StageDeadline)
        .where(col(StageDeadline.calendar) < version, col(StageDeadline.closed_as).is_(None))
        .order_by(col(StageDeadline.calendar))
        .limit(limit)
        .with_for_update(skip_locked=True)
        .execution_options(populate_existing=True)
    )
    return (await session.execute(statement)).scalars().all()


async def notices(session: AsyncSession) -> Sequence[CalendarNotice]:
    """Every notice, the oldest first."""
    return (await session.execute(select(CalendarNotice).order_by(col(CalendarNotice.number)))).scalars().all()


async def newest_notice(session: AsyncSession) -> tuple[int, UUID] | None:
    """Number and id of the newest notice."""
    statement = select(col(CalendarNotice.number), col(CalendarNotice.id))
    found = (await session.execute(statement.order_by(col(CalendarNotice.number).desc()).limit(1))).first()
    return (found[0], found[1]) if found is not None else None


async def hold_notices(session: AsyncSession) -> None:
    """One notice is entered after the other."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('calendar_notice'))"))


async def timeliness(session: AsyncSession, period: Period) -> list[dict[str, Any]]:
    """By agency, case type and stage: what was met in time in the period; what was overdue in it, and is met, open or
    cancelled since. ``rules.punctuality`` in SQL.
    """
    row = StageDeadline
    closed_as, closed_at = col(row.closed_as), col(row.closed_at)
    in_time = and_(
        closed_as == rules.MET,
        closed_at >= period.since,
        closed_at < period.until,
        or_(col(row.due_at).is_(None), closed_at < col(row.due_at)),
    )
    overdue = and_(row.was_over(period.now), row.was_over_in(period))
    keys = (col(row.agency_uscc), col(row.case_type), col(row.stage))
    statement = (
        select(
            *keys,
            func.coalesce(func.max(Agency.name), col(row.agency_uscc)).label("agency_name"),
            func.count().filter(in_time).label("met_in_time"),
            func.count().filter(overdue, closed_as == rules.MET).label("met_late"),
            func.count().filter(overdue, closed_as.is_(None)).label("open_overdue"),
            func.count().filter(overdue, closed_as == rules.CANCELLED).label("cancelled_overdue"),
        )
        .outerjoin(Agency, col(Agency.uscc) == col(row.agency_uscc))
        .where(or_(in_time, overdue))
        .group_by(*keys)
        .order_by(*keys)
    )
    return [dict(found) for found in (await session.execute(statement)).mappings()]
