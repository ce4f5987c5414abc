"""SQL of the access log: reading it, what stands out in it, its months."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.audit.access_models import AccessAnomaly, AccessCount, AccessLog

MONTHS_AHEAD = 3


async def page(
    session: AsyncSession,
    uscc: str,
    *,
    disclosed_at: datetime | None,
    since: datetime | None,
    until: datetime | None,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[AccessLog]:
    """Accesses to a subject's file, the newest first, ``limit`` + 1 rows.

    ``disclosed_at`` leaves out what the subject may not know yet; without it everything is shown.
    """
    where = [col(AccessLog.uscc) == uscc]
    if disclosed_at is not None:
        where.append(col(AccessLog.disclosed_from) <= disclosed_at)
    if since is not None:
        where.append(col(AccessLog.at) >= since)
    if until is not None:
        where.append(col(AccessLog.at) < until)
    if before is not None:
        moment, access_id = before
        at = col(AccessLog.at)
        where.append(or_(at < moment, and_(at == moment, col(AccessLog.id) < access_id)))
    statement = select(AccessLog).where(*where).order_by(col(AccessLog.at).desc(), col(AccessLog.id).desc())
    return (await session.execute(statement.limit(limit + 1))).scalars().all()


class AccessesOfAgency(NamedTuple):
    """How often an agency was shown a file for a purpose, and when last."""

    agency_uscc: str | None
    purpose: str
    accesses: int
    last_at: datetime


async def by_agency_and_purpose(session: AsyncSession, uscc: str, disclosed_at: datetime) -> list[AccessesOfAgency]:
    """What the subject may know of the accesses to its file by then, the newest first."""
    keys = (col(AccessLog.agency_uscc), col(AccessLog.purpose))
    last_at = func.max(col(AccessLog.at))
    statement = (
        select(*keys, func.count(), last_at)
        .where(col(AccessLog.uscc) == uscc, col(AccessLog.disclosed_from) <= disclosed_at)
        .group_by(*keys)
        .order_by(last_at.desc(), *keys)
    )
    return [AccessesOfAgency(*row) for row in await session.execute(statement)]


async def read_on(session: AsyncSession, agency_uscc: str, day: date) -> int:
    """How many files an agency has been shown on a day."""
    row = await session.get(AccessCount, (agency_uscc, day))
    return row.accesses if row is not None else 0


async def anomalies(
    session: AsyncSession, agencies: Sequence[str] | None, *, open_only: bool, limit: int
) -> Sequence[AccessAnomaly]:
    """What stands out, the newest first; of certain agencies, or of all."""
    statement = select(AccessAnomaly).order_by(
        col(AccessAnomaly.day).desc(), col(AccessAnomaly.agency_uscc), col(AccessAnomaly.kind)
    )
    if agencies is not None:
        statement = statement.where(col(AccessAnomaly.agency_uscc).in_(agencies))
    if open_only:
        statement = statement.where(col(AccessAnomaly.reviewed_at).is_(None))
    return (await session.execute(statement.limit(limit))).scalars().all()


async def anomaly(session: AsyncSession, agency_uscc: str, day: date, kind: str) -> AccessAnomaly | None:
    return await session.get(AccessAnomaly, (agency_uscc, day, kind), with_for_update=True)


async def make_months(session: AsyncSession, today: date) -> int:
    """Partitions for this month and the next ones; gives how many were made."""
    made: int = (await session.execute(select(func.make_access_log_months(today, MONTHS_AHEAD)))).scalar_one()
    return made


async def drop_before(session: AsyncSession, cut: date, today: date) -> int:
    """Drop months that ended before ``cut``. The database refuses any cut younger than five years."""
    dropped: int = (await session.execute(select(func.drop_access_log_before(cut, today)))).scalar_one()
    return dropped
