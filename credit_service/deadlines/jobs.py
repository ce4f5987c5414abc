"""The jobs that keep the time-limits, a batch a transaction. No stage is decided by them."""

from __future__ import annotations

from datetime import datetime

import structlog
from pgqueuer import PgQueuer
from pgqueuer.models import Schedule

from credit_service.deadlines import calendars, commands, watch
from credit_service.platform.clock import Clock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database

logger = structlog.get_logger(__name__)

EVERY_MINUTE = "* * * * *"
AT_ONCE = 100


async def attend(database: Database, actor: Actor, now: datetime) -> int:
    """Warn of time-limits that come due and escalate those that are over; gives how many."""
    attended = 0
    while True:
        async with database.transaction() as session:
            calendar = await calendars.load_calendar(session)
            done = await watch.attend(session, calendar, actor, now, AT_ONCE)
        attended += done
        if done < AT_ONCE:
            return attended


async def recompute(database: Database, actor: Actor, now: datetime) -> int:
    """Compute anew what an older calendar gave, after a notice or with a newer package; gives how many changed."""
    changed = 0
    while True:
        async with database.transaction() as session:
            calendar = await calendars.load_calendar(session)
            seen, moved = await commands.recompute(session, calendar, actor, now, AT_ONCE)
        changed += moved
        if seen < AT_ONCE:
            return changed


def schedule(queue: PgQueuer, database: Database, clock: Clock, actor: Actor) -> None:
    """Enter both jobs."""

    @queue.schedule("attend-deadlines", EVERY_MINUTE)
    async def _attend(job: Schedule) -> None:
        attended = await attend(database, actor, clock.now())
        logger.info("deadlines attended to", deadlines=attended)

    @queue.schedule("recompute-deadlines", EVERY_MINUTE)
    async def _recompute(job: Schedule) -> None:
        changed = await recompute(database, actor, clock.now())
        logger.info("deadlines recomputed", changed=changed)
