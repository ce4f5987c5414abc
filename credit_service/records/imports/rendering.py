"""Render what an import has made stale: for the public at once, for the others by a job (decision 0004)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

from credit_service.entities import profile
from credit_service.platform.clock import Clock
from credit_service.platform.database import Database

JOB = "render-import"
RECEIPTS_AT_ONCE = 50_000
"""A file may be about as many entities as it has rows: they are looked for stretch by stretch."""
ENTITIES_AT_ONCE = 400
RENDERERS = 2

_TOUCHED = """
SELECT DISTINCT r.uscc FROM import_receipt r
WHERE r.import_id = $1 AND r.row_number > $4 AND r.row_number <= $5 AND r.outcome IN ('stored', 'corrected')
    AND NOT EXISTS (
        SELECT FROM profile p WHERE p.uscc = r.uscc AND p.audience = $3 AND p.fresh_until > $2)
"""


async def _stretches(
    database: Database, import_id: UUID, now: datetime, audience: str
) -> AsyncIterator[list[list[str]]]:
    """Batches of the entities whose profile for ``audience`` the import has left stale or missing.

    Those of one stretch of receipts at a time, so that what is held does not grow with the file; of the next ones when
    these are rendered.
    """
    pool = await database.pool()
    last = await pool.fetchval("SELECT max(row_number) FROM import_receipt WHERE import_id = $1", import_id)
    for start in range(0, last or 0, RECEIPTS_AT_ONCE):
        rows = await pool.fetch(_TOUCHED, import_id, now, audience, start, start + RECEIPTS_AT_ONCE)
        usccs = [row["uscc"] for row in rows]
        yield [usccs[first : first + ENTITIES_AT_ONCE] for first in range(0, len(usccs), ENTITIES_AT_ONCE)]


async def render_public(database: Database, import_id: UUID, clock: Clock) -> None:
    """Render the public profiles, before the import is answered."""
    pool = await database.pool()

    async def renderer(batches: list[list[str]]) -> None:
        async with pool.acquire() as connection:
            while batches:
                batch = batches.pop()
                async with connection.transaction():
                    # The import's last transaction waits for the disk and takes these along.
                    await connection.execute("SET LOCAL synchronous_commit = off")
                    await profile.render(connection, batch, clock.now(), ("public",))

    async for batches in _stretches(database, import_id, clock.now(), "public"):
        await asyncio.gather(*(renderer(batches) for _ in range(RENDERERS)))


async def render_rest(database: Database, import_id: UUID, clock: Clock) -> int:
    """Render every audience's profiles that are still stale or missing; gives how many entities that were."""
    pool = await database.pool()
    rendered = 0
    async for batches in _stretches(database, import_id, clock.now(), "agency"):
        for batch in batches:
            async with pool.acquire() as connection, connection.transaction():
                await profile.render(connection, batch, clock.now())
            rendered += len(batch)
    return rendered
