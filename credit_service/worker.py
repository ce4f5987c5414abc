"""The job runner (pgqueuer): announces what time has already made true, and clears what is no longer needed.

No job has to run for a publication to stop: a read past ``fresh_until`` renders anew. The jobs keep rows fresh so that
such reads are rare, and keep tables small.
"""

from __future__ import annotations

import asyncio
import signal
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from pgqueuer import PgQueuer
from pgqueuer.models import Job, Schedule

from credit_service.accounts import store as account_store
from credit_service.audit import access_store, keeping
from credit_service.audit.log import Log, keys_of
from credit_service.catalogue.loader import configured
from credit_service.catalogue.models import Catalogue
from credit_service.deadlines import jobs as deadlines
from credit_service.entities import oversight, profile
from credit_service.evidence import commands as evidence
from credit_service.evidence.vault import Vault
from credit_service.exchange import jobs as feed
from credit_service.identity.personal import masked
from credit_service.measures import commands as measures
from credit_service.notifications import rendering as notices
from credit_service.notifications import sending
from credit_service.notifications.channels import Carriers, carriers
from credit_service.notifications.commands import JOB as SEND_NOTIFICATION
from credit_service.platform import idempotency
from credit_service.platform.clock import Clock, clock_of
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.days import day_of
from credit_service.platform.settings import Settings
from credit_service.platform.telemetry import configure_logging
from credit_service.records import life
from credit_service.records.imports import commands as imports
from credit_service.records.imports import rendering
from credit_service.records.propagation import watch as propagation
from credit_service.supervision import jobs as supervision

logger = structlog.get_logger(__name__)

EVERY_MINUTE = "* * * * *"
HOURLY = "7 * * * *"
DAILY = "17 1 * * *"
ACCESS_LOG_YEARS = 5
"""深圳 art. 45: query logs are kept for five years at least."""
PROFILES_A_BATCH = 200
ARCHIVED_AT_ONCE = 200
WORKER = Actor("worker", "worker")
ABANDONED_AFTER = timedelta(minutes=10)
SENDERS = 3
"""Notifications under way at once: each holds two of the process's connections."""

_DUE = """
SELECT DISTINCT uscc FROM (
    SELECT uscc FROM profile WHERE fresh_until <= $1 AND fresh_until <> 'infinity' ORDER BY fresh_until LIMIT $2
) AS due
"""


async def refresh_profiles(database: Database, now: datetime) -> int:
    """Render the profiles whose time has come; gives how many entities were rendered."""
    rendered = 0
    pool = await database.pool()
    async with pool.acquire() as connection:
        while True:
            async with connection.transaction():
                due = [row["uscc"] for row in await connection.fetch(_DUE, now, 4 * PROFILES_A_BATCH)]
                if not due:
                    return rendered
                await profile.render(connection, due, now)
            rendered += len(due)


async def expire_idempotency_keys(database: Database, now: datetime) -> None:
    """Forget answers older than a day, and assertions and revoked tokens that their age refuses by now."""
    async with database.transaction() as session:
        await idempotency.forget_before(session, now - idempotency.KEPT)
        await account_store.forget_expired(session, now)


async def mark_abandoned_imports(database: Database, now: datetime) -> None:
    """An import whose sender is gone is interrupted: it waits to be resumed with the same key."""
    async with database.transaction() as session:
        await imports.mark_interrupted(session, now, now - ABANDONED_AFTER)


async def archive_records(database: Database, catalogue: Catalogue, now: datetime) -> int:
    """Archive what nobody but the subject and its supervisor has been shown since its disclosure limit passed."""
    archived = 0
    while True:
        async with database.transaction() as session:
            done = await life.archive_due(session, catalogue, WORKER, now, ARCHIVED_AT_ONCE)
        archived += done
        if done < ARCHIVED_AT_ONCE:
            return archived


async def announce_lifted_measures(database: Database, now: datetime) -> int:
    """Enter of measures that are lifted that they are; they ended with their record or their term, not with this."""
    async with database.transaction() as session:
        return await measures.announce_lifted(session, WORKER, now)


def schedule(queue: PgQueuer, database: Database, catalogue: Catalogue, clock: Clock) -> None:
    """Enter the recurring jobs, and those that imports leave behind."""

    @queue.entrypoint(rendering.JOB)
    async def _render(job: Job) -> None:
        import_id = UUID(bytes=job.payload)
        rendered = await rendering.render_rest(database, import_id, clock)
        logger.info("import rendered", import_id=str(import_id), entities=rendered)

    @queue.schedule("refresh-profiles", EVERY_MINUTE)
    async def _refresh(job: Schedule) -> None:
        rendered = await refresh_profiles(database, clock.now())
        logger.info("profiles refreshed", entities=rendered)

    @queue.schedule("expire-idempotency-keys", HOURLY)
    async def _expire(job: Schedule) -> None:
        await expire_idempotency_keys(database, clock.now())

    @queue.schedule("announce-lifted-measures", EVERY_MINUTE)
    async def _lifted(job: Schedule) -> None:
        await announce_lifted_measures(database, clock.now())

    @queue.schedule("archive-records", HOURLY)
    async def _archive(job: Schedule) -> None:
        archived = await archive_records(database, catalogue, clock.now())
        logger.info("records archived", records=archived)

    @queue.schedule("mark-abandoned-imports", EVERY_MINUTE)
    async def _abandoned(job: Schedule) -> None:
        await mark_abandoned_imports(database, clock.now())


def schedule_access_log(queue: PgQueuer, database: Database, clock: Clock, default_quota: int) -> None:
    """Enter the jobs that make room in the access log, clear it, and look for what stands out in it."""

    @queue.schedule("access-log-months", DAILY)
    async def _months(job: Schedule) -> None:
        today = day_of(clock.now())
        async with database.transaction() as session:
            made = await access_store.make_months(session, today)
            dropped = await access_store.drop_before(
                session, today.replace(year=today.year - ACCESS_LOG_YEARS, day=1), today
            )
        logger.info("access log", months_made=made, months_dropped=dropped)

    @queue.schedule("access-anomalies", HOURLY)
    async def _anomalies(job: Schedule) -> None:
        await oversight.find_anomalies(database, clock.now(), default_quota=default_quota)


def schedule_notifications(queue: PgQueuer, database: Database, clock: Clock, roads: Carriers, base_url: str) -> None:
    """Enter the job that sends a notification, and the one that finds those whose turn it is."""
    free = asyncio.Semaphore(SENDERS)

    @queue.entrypoint(SEND_NOTIFICATION)
    async def _send(job: Job) -> None:
        async with free:
            await sending.send(database, roads, clock, base_url, UUID(bytes=job.payload))

    @queue.schedule("wake-due-notifications", EVERY_MINUTE)
    async def _wake(job: Schedule) -> None:
        await sending.wake_due(database, clock.now())


def schedule_collection(queue: PgQueuer, database: Database, clock: Clock, vault: Vault) -> None:
    """Enter the job that deletes content no attachment has."""

    @queue.schedule("collect-evidence", HOURLY)
    async def _collect(job: Schedule) -> None:
        removed = await evidence.collect(database, vault, clock.now())
        logger.info("orphaned content collected", blobs=removed)


def _log_keepers(
    settings: Settings, database: Database, clock: Clock, stopping: asyncio.Event
) -> list[asyncio.Task[None]]:
    """What extends and signs the log; a log that nobody extends must not go unnoticed, so the runner ends with them."""
    log, signed_each = Log(keys_of(settings), settings.base_url), settings.log_checkpoint_seconds
    keepers = [asyncio.create_task(keeping.keep(database, log, clock, signed_each))]
    if settings.log_witnesses:
        asked = keeping.gather(database, settings.log_witnesses, clock, signed_each)
        keepers.append(asyncio.create_task(asked))
    for keeper in keepers:
        keeper.add_done_callback(lambda ended: stopping.set())
    return keepers


async def serve(settings: Settings) -> None:
    """Run jobs until SIGINT or SIGTERM: what is under way is finished, nothing new is begun."""
    if settings.database_url is None:
        raise RuntimeError("no database: start with `credit-service serve`, or set CREDIT_DATABASE_URL")
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    database = Database(
        settings.database_url.get_secret_value(), role=settings.database_role, application_name="credit-service-worker"
    )
    connection = await database.connect()
    try:
        queue = PgQueuer.from_asyncpg_connection(connection)
        clock = clock_of(settings.clock_file)
        catalogue = configured(settings)
        schedule(queue, database, catalogue, clock)
        schedule_access_log(queue, database, clock, settings.daily_subjects)
        deadlines.schedule(queue, database, clock, WORKER)
        propagation.schedule(queue, database, clock, WORKER)
        supervision.schedule(queue, database, catalogue, clock, WORKER)
        notices.texts()
        schedule_notifications(queue, database, clock, carriers(settings), settings.base_url)
        schedule_collection(queue, database, clock, Vault(settings))
        keeping.schedule(queue, database, keys_of(settings))
        feed.schedule(queue, database, clock)
        keepers = _log_keepers(settings, database, clock, stopping)
        keepers.append(asyncio.create_task(_shut_down(queue, stopping)))
        try:
            await queue.run()
        finally:
            for keeper in keepers:
                keeper.cancel()
            ended = await asyncio.gather(*keepers, return_exceptions=True)
        failed = next((each for each in ended if isinstance(each, Exception)), None)
        if failed is not None:
            raise failed
    finally:
        await connection.close()
        await database.close()


async def _shut_down(queue: PgQueuer, stopping: asyncio.Event) -> None:
    await stopping.wait()
    queue.shutdown.set()


def run() -> None:
    """Entry of ``credit-service worker``."""
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format, masked)
    asyncio.run(serve(settings))


if __name__ == "__main__":
    run()
