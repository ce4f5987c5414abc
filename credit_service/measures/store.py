"""SQL of measures. Where an application stands is worked out in SQL, from its record and the instant asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.measures.models import MeasureFeedback, MeasureStatistics

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

_STANDING = """
SELECT a.*, r.item_code, e.name AS entity_name, r.disputed_since, CASE
        WHEN r.id IS NULL THEN 'withdrawn'
        WHEN r.state IN ('repaired', 'annulled', 'withdrawn', 'removed', 'archived') THEN r.state
        WHEN $1 >= least(a.ends_at, r.disclosure_until) THEN 'expired'
        WHEN a.follows_record AND $1 >= least(r.publicity_until,
            CASE WHEN extract(year FROM r.valid_until) < 2099
                THEN (r.valid_until + 1)::timestamp AT TIME ZONE 'Asia/Shanghai' END) THEN 'expired'
    END AS lifted_because,
    CASE WHEN r.state = 'shielded' THEN 'suspended'
        WHEN r.disputed_since IS NOT NULL AND r.item_code = ANY($2::text[]) THEN 'paused'
        ELSE 'applied' END AS otherwise
FROM measure_application a
JOIN entity e ON e.uscc = a.uscc
LEFT JOIN record r ON r.uscc = a.uscc AND r.id = a.record_id
"""
_PAGE = f"""
SELECT * FROM (SELECT s.*, CASE WHEN lifted_because IS NULL THEN otherwise ELSE 'lifted' END AS state
    FROM ({_STANDING}
        WHERE ($3::varchar IS NULL OR a.agency_uscc = $3) AND ($4::varchar IS NULL OR a.uscc = $4)
            AND ($5::uuid IS NULL OR a.id = $5)
            AND ($6::timestamptz IS NULL OR (a.applied_at, a.id) < ($6, $7::uuid))) s) found
WHERE $8::text IS NULL OR state = $8
ORDER BY applied_at DESC, id DESC LIMIT $9
"""
_UNANNOUNCED = f"""
SELECT uscc, id, lifted_because FROM ({_STANDING}
    WHERE NOT EXISTS (SELECT FROM measure_lifting l WHERE l.uscc = a.uscc AND l.application_id = a.id)) s
WHERE lifted_because IS NOT NULL ORDER BY uscc, id LIMIT $3
"""
_ANNOUNCE = """
INSERT INTO measure_lifting (uscc, application_id, reason, announced_at) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING RETURNING true
"""


async def page(
    connection: AnyConnection,
    now: datetime,
    *,
    pausing: Sequence[str],
    agency: str | None = None,
    uscc: str | None = None,
    application_id: UUID | None = None,
    state: str | None = None,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 1,
) -> list[dict[str, Any]]:
    """Applications, the newest first, each with its ``state`` at ``now``; ``pausing`` items pause while disputed."""
    moment, identifier = after or (None, None)
    rows = await connection.fetch(_PAGE, now, pausing, agency, uscc, application_id, moment, identifier, state, limit)
    return [dict(row) for row in rows]


async def feedback_of(session: AsyncSession, keys: Sequence[tuple[str, UUID]]) -> dict[UUID, list[MeasureFeedback]]:
    """The feedback on a page of applications, the oldest first."""
    found: dict[UUID, list[MeasureFeedback]] = {identifier: [] for _, identifier in keys}
    place = tuple_(col(MeasureFeedback.uscc), col(MeasureFeedback.application_id))
    statement = select(MeasureFeedback).where(place.in_(keys)).order_by(col(MeasureFeedback.id))
    for row in (await session.execute(statement)).scalars():
        found[row.application_id].append(row)
    return found


async def unannounced(connection: AnyConnection, now: datetime, limit: int) -> list[tuple[str, UUID, str]]:
    """Applications that are lifted and of which nothing says so yet."""
    return [tuple(row) for row in await connection.fetch(_UNANNOUNCED, now, [], limit)]


async def announce(connection: AnyConnection, uscc: str, application_id: UUID, reason: str, now: datetime) -> bool:
    """Enter that an application is known to be lifted; tells whether this call did."""
    return bool(await connection.fetchval(_ANNOUNCE, uscc, application_id, reason, now))


async def statistics(
    session: AsyncSession, agency: str | None, year: int | None, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[MeasureStatistics]:
    """Batch statistics, the newest first, ``limit`` + 1 rows."""
    conditions = []
    if agency is not None:
        conditions.append(col(MeasureStatistics.agency_uscc) == agency)
    if year is not None:
        conditions.append(col(MeasureStatistics.year) == year)
    place = tuple_(col(MeasureStatistics.made_at), col(MeasureStatistics.id))
    if after is not None:
        conditions.append(place < after)
    statement = (
        select(MeasureStatistics)
        .where(*conditions)
        .order_by(col(MeasureStatistics.made_at).desc(), col(MeasureStatistics.id).desc())
        .limit(limit + 1)
    )
    return (await session.execute(statement)).scalars().all()
