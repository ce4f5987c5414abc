"""The log in the job runner: extended as events come, signed at intervals, verified as a whole each night."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg
import structlog
from pgqueuer import PgQueuer
from pgqueuer.models import Schedule

from credit_service.audit.checkpoints import verify_stored
from credit_service.audit.log import Log
from credit_service.audit.sequencer import BATCH
from credit_service.audit.shards import LogCorruptError, shards
from credit_service.audit.signing import LogKeys
from credit_service.audit.witnesses import ask_all
from credit_service.platform.clock import Clock
from credit_service.platform.database import Database
from credit_service.platform.settings import LogWitness

logger = structlog.get_logger(__name__)

NIGHTLY = "23 18 * * *"  # 02:23 in Shanghai
PAUSE_SECONDS = 0.25
"""Between two passes, so that a busy registry's events are placed many at a time; a backlog is placed without pause."""
RETRY_SECONDS = 5.0


def schedule(queue: PgQueuer, database: Database, keys: LogKeys) -> None:
    """Enter the nightly verification of the whole log: a verifier that nobody runs finds nothing."""

    @queue.schedule("verify-log", NIGHTLY)
    async def _verify(job: Schedule) -> None:
        connection = await database.connect()
        try:
            for origin, entries, heads in await verify_stored(connection, keys):
                logger.info("log verified", origin=origin, entries=entries, heads=heads)
        except LogCorruptError as error:
            logger.critical("log corrupt", fault=error.fault, detail=str(error))
        finally:
            await connection.close()


async def keep(database: Database, log: Log, clock: Clock, signed_each: float) -> None:
    """Give events their place as they come and sign the head at intervals, until cancelled.

    A lost connection is opened again. A log that is not what was signed is signed no more, and said so each time.
    """
    loop = asyncio.get_running_loop()
    while True:
        try:
            connection = await database.connect()
            try:
                sign_at = loop.time()
                while True:
                    placed = await log.sequence(connection, clock.now())
                    if loop.time() >= sign_at:
                        sign_at = loop.time() + signed_each
                        await log.checkpoint(connection, clock.now())
                    if placed < BATCH:
                        await asyncio.sleep(PAUSE_SECONDS)
            finally:
                await connection.close()
        except LogCorruptError as error:
            logger.critical("log corrupt, no head signed", fault=error.fault, detail=str(error))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            logger.error("log not extended", error_type=type(error).__name__)
        await asyncio.sleep(RETRY_SECONDS)


async def gather(database: Database, witnesses: Sequence[LogWitness], clock: Clock, each: float) -> None:
    """Ask the witnesses for their cosignatures at intervals, until cancelled. The log does not wait for them."""
    while True:
        try:
            connection = await database.connect()
            try:
                while True:
                    await ask_all(connection, await shards(connection), witnesses, clock.now())
                    await asyncio.sleep(each)
            finally:
                await connection.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            logger.error("witnesses not asked", error_type=type(error).__name__)
        await asyncio.sleep(RETRY_SECONDS)
