"""The jobs that keep risk classes: after each change, at their time, and all of them once a month."""

from __future__ import annotations

from uuid import UUID

import structlog
from pgqueuer import PgQueuer
from pgqueuer.models import Job, Schedule

from credit_service.catalogue.models import Catalogue
from credit_service.platform.clock import Clock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.supervision.classes import recompute, runs

logger = structlog.get_logger(__name__)

EVERY_MINUTE = "* * * * *"
MONTHLY = "41 17 1 * *"


def schedule(queue: PgQueuer, database: Database, catalogue: Catalogue, clock: Clock, actor: Actor) -> None:
    """Enter the recurring jobs, and the one that a run leaves behind."""

    @queue.entrypoint(runs.JOB)
    async def _run(job: Job) -> None:
        await runs.work(database, catalogue, clock, UUID(bytes=job.payload))

    @queue.schedule("follow-class-changes", EVERY_MINUTE)
    async def _follow(job: Schedule) -> None:
        judged = await recompute.follow_changes(database, catalogue, clock)
        logger.info("classes followed", entities=judged)

    @queue.schedule("resume-class-runs", EVERY_MINUTE)
    async def _resume(job: Schedule) -> None:
        await runs.resume(database, catalogue, clock)

    @queue.schedule("compute-all-classes", MONTHLY)
    async def _monthly(job: Schedule) -> None:
        await runs.start_monthly(database, actor, clock)
