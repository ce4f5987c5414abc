"""Render what an import has made stale: for the public at once, for the others by a job (decision 0004)."""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import UUID

from credit_service.entities import profile
from credit_service.platform.clock import Clock
from credit_service.platform.database import Database

JOB = "render-import"
ENTITIES_AT_ONCE = 400
RENDERERS = 2

_TOUCHED = """
SELECT DISTINCT r.uscc FROM import_receipt r
WHERE r.import_id = $1 AND r.outcome IN ('stored', 'corrected') AND NOT EXISTS (
    SELECT FROM profile p WHERE p.uscc = r.uscc AND p.audience = $3 AND p.fresh_until > $2)
"""


async def _batches(database: Database, import_id: UUID, now: datetime, audience: str) -> list[list[str]]:
    """Entities the import touched whose profile for ``audience`` is not fresh."""
    pool = await database.pool()
    usccs = [row["uscc"] for row in await pool.fetch(_TOUCHED, import_id, now, audience)]
    return [usccs[start : start + ENTITIES_AT_ONCE] for start in range(0, len(usccs), ENTITIES_AT_ONCE)]


async def render_public(database: Database, import_id: UUID, clock: Clock) -> None:
    """Render the public profiles, before the import is answered."""
    pool = await database.pool()
    batches = await _batches(database, import_id, clock.now(), "public")

    async def renderer() -> None:
        async with pool.acquire() as connection:
            while batches:
                batch = batches.pop()
                async with connection.transaction():
                    # The import's last transaction waits for the disk and takes these along.
                    await connection.execute("SET LOCAL synchronous_commit = off")
                    await profile.render(connection, batch, clock.now(), ("public",))

    await asyncio.gather(*(renderer() for _ in range(RENDERERS)))


async def render_rest(database: Database, import_id: UUID, clock: Clock) -> int:
    """Render every audience's profiles that are still stale or missing; gives how many entities that were."""
    pool = await database.pool()
    rendered = 0
    for batch in await _batches(database, import_id, clock.now(), "agency"):
        async with pool.acquire() as connection, connection.transaction():
            await profile.render(connection, batch, clock.now())
        rendered += len(batch)
    return rendered
