"""SQL of watchlists. The feed reads the audit log's own order, which has no gaps and never grows backwards.

A transaction that commits late gets a later place in the log, so it comes after everything already delivered: nothing
that a reader has passed can appear behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.supervision.watchlists.models import Watchlist, WatchlistEntry, WatchlistReview

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

_ADD = """
INSERT INTO watchlist_entry (uscc, watchlist_id, since_sequence, added_at)
SELECT e.uscc, $2, $3, $4 FROM entity e WHERE e.uscc = ANY($1::varchar[]) ORDER BY e.uscc
ON CONFLICT DO NOTHING RETURNING uscc
"""
_KNOWN = "SELECT uscc FROM entity WHERE uscc = ANY($1::varchar[])"
_REMOVE = "DELETE FROM watchlist_entry WHERE watchlist_id = $2 AND uscc = ANY($1::varchar[]) RETURNING uscc"
_PAGE = """
SELECT w.uscc, e.name, w.added_at FROM watchlist_entry w JOIN entity e USING (uscc)
WHERE w.watchlist_id = $1 AND w.uscc > $2 ORDER BY w.uscc LIMIT $3
"""
# A record that waits for its notices is known to its own agency and to regulators only.
_CHANGES = """
SELECT l.sequence, e.uscc, e.action, e.subject_type, e.subject_id, e.occurred_at,
    r.item_code, r.state, r.version, r.publicity_until, r.disputed_since
FROM log_entry l
JOIN audit_event e ON e.uscc = l.uscc AND e.id = l.id
JOIN watchlist_entry w ON w.uscc = l.uscc AND w.watchlist_id = $1 AND w.since_sequence <= l.sequence
LEFT JOIN record r ON e.subject_type = 'record' AND r.uscc = e.uscc AND r.id::text = e.subject_id
WHERE l.sequence >= $2 AND e.subject_type IN ('entity', 'record')
    AND ($3::varchar IS NULL OR e.subject_type = 'entity' OR r.state <> 'awaiting-notice' OR r.source_uscc = $3)
ORDER BY l.sequence LIMIT $4
"""
_REVIEWS = """
SELECT record_id, version, note FROM watchlist_review WHERE watchlist_id = $1 AND uscc = ANY($2::varchar[])
"""
_REVIEW = """
INSERT INTO watchlist_review (uscc, watchlist_id, record_id, version, note, reviewed_by, reviewed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (uscc, watchlist_id, record_id) DO UPDATE SET version = excluded.version, note = excluded.note,
    reviewed_by = excluded.reviewed_by, reviewed_at = excluded.reviewed_at
"""


async def own(session: AsyncSession, watchlist_id: UUID, agency: str) -> Watchlist | None:
    """A watchlist of the agency that is in use, held."""
    statement = (
        select(Watchlist)
        .where(col(Watchlist.id) == watchlist_id, col(Watchlist.agency_uscc) == agency)
        .where(col(Watchlist.closed_at).is_(None))
        .with_for_update()
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def of_agency(session: AsyncSession, agency: str) -> Sequence[tuple[Watchlist, int]]:
    """The agency's watchlists in use with how many entities they hold, the oldest first."""
    held = (
        select(func.count()).where(col(WatchlistEntry.watchlist_id) == col(Watchlist.id)).correlate(Watchlist)
    ).scalar_subquery()
    statement = (
        select(Watchlist, held)
        .where(col(Watchlist.agency_uscc) == agency, col(Watchlist.closed_at).is_(None))
        .order_by(col(Watchlist.id))
    )
    return [(row[0], row[1]) for row in (await session.execute(statement)).all()]


async def count(session: AsyncSession, watchlist_id: UUID) -> int:
    statement = select(func.count()).where(col(WatchlistEntry.watchlist_id) == watchlist_id)
    found: int = (await session.execute(statement)).scalar_one()
    return found


async def known(connection: AnyConnection, codes: Sequence[str]) -> set[str]:
    """Those of the codes that are registered."""
    return {row["uscc"] for row in await connection.fetch(_KNOWN, codes)}


async def add(
    connection: AnyConnection, watchlist_id: UUID, codes: Sequence[str], since: int, now: datetime
) -> list[str]:
    """Watch registered entities from a place in the log on; gives those that were not watched yet."""
    return [row["uscc"] for row in await connection.fetch(_ADD, codes, watchlist_id, since, now)]


async def remove(connection: AnyConnection, watchlist_id: UUID, codes: Sequence[str]) -> list[str]:
    return [row["uscc"] for row in await connection.fetch(_REMOVE, codes, watchlist_id)]


async def entities(connection: AnyConnection, watchlist_id: UUID, after: str, limit: int) -> list[Any]:
    """Entities by code, ``limit`` + 1 rows."""
    return await connection.fetch(_PAGE, watchlist_id, after, limit + 1)


async def changes(
    connection: AnyConnection, watchlist_id: UUID, after: int, agency: str | None, limit: int
) -> list[Any]:
    """Changes from a place in the log on, ``limit`` + 1 rows; ``agency`` unless a regulator asks."""
    return await connection.fetch(_CHANGES, watchlist_id, after, agency, limit + 1)


async def reviews(
    connection: AnyConnection, watchlist_id: UUID, codes: Sequence[str]
) -> dict[str, tuple[int, str | None]]:
    """By record: the version that was looked at, and the note."""
    rows = await connection.fetch(_REVIEWS, watchlist_id, codes)
    return {str(row["record_id"]): (row["version"], row["note"]) for row in rows}


async def keep_review(connection: AnyConnection, review: WatchlistReview) -> None:
    """Enter a review, in the place of an older one of the same record."""
    await connection.execute(
        _REVIEW,
        review.uscc,
        review.watchlist_id,
        review.record_id,
        review.version,
        review.note,
        review.reviewed_by,
        review.reviewed_at,
    )
