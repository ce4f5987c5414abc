"""The recurring job of the feed of changes."""

from __future__ import annotations

import structlog
from pgqueuer import PgQueuer
from pgqueuer.models import Schedule

from credit_service.exchange import store
from credit_service.platform.clock import Clock
from credit_service.platform.database import Database
from credit_service.platform.days import day_of

logger = structlog.get_logger(__name__)

HOURLY = "11 * * * *"  # the first of a day takes it; the others find it taken


def schedule(queue: PgQueuer, database: Database, clock: Clock) -> None:
    """Enter the job that takes each day's digest."""

    @queue.schedule("change-digest", HOURLY)
    async def _digest(job: Schedule) -> None:
        now = clock.now()
        pool = await database.pool()
        async with pool.acquire() as connection:
            if await store.take_digest(connection, day_of(now), now):
                logger.info("change digest taken", day=str(day_of(now)))
