"""The access log 查询日志: who read a non-public file, for which purpose, when.

Law: 深圳 art. 45 (kept five years), 河南 art. 40 (a report states its query history).

Reads are written in batches by one task a process, so that no read waits for another round trip. What a crash can lose
is bounded: at most ``MOST_UNWRITTEN`` accesses, and none older than ``WRITTEN_WITHIN_SECONDS`` while the database
answers. A ``durable`` journal loses none: an answer leaves after its access was committed, and accesses that wait
together share one commit.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import structlog

from credit_service.platform.database import Database
from credit_service.platform.days import day_of

logger = structlog.get_logger(__name__)

WRITTEN_WITHIN_SECONDS = 0.1
MOST_UNWRITTEN = 10_000
ROWS_A_COPY = 5_000
RETRY_SECONDS = 0.5
CLOSING_SECONDS = 10
ROOM_SECONDS = 5
"""How long accesses wait for others to be written before them, when together they would be too many."""

COLUMNS = (
    "uscc",
    "at",
    "id",
    "principal",
    "agency_uscc",
    "audience",
    "purpose",
    "case_reference",
    "route",
    "request_id",
    "disclosed_from",
)


class Access(NamedTuple):
    """One non-public file shown to one caller, as a row of ``access_log``.

    ``audience`` is the class of fields shown (agency: shared, regulator: restricted too). ``disclosed_from`` is the
    instant from which the subject sees the access: ``at``, or later for a marked investigation.
    """

    uscc: str
    at: datetime
    id: UUID
    principal: str
    agency_uscc: str | None
    audience: str
    purpose: str
    case_reference: str | None
    route: str
    request_id: str
    disclosed_from: datetime


_COUNT = """
INSERT INTO access_count AS c (agency_uscc, day, accesses) VALUES ($1, $2, $3)
ON CONFLICT (agency_uscc, day) DO UPDATE SET accesses = c.accesses + excluded.accesses
"""


def _counts(batch: Sequence[Access]) -> list[tuple[str, date, int]]:
    """Accesses by agency and day, in one order for all writers, so that none waits for another in a circle."""
    counts = Counter((access.agency_uscc, day_of(access.at)) for access in batch if access.agency_uscc is not None)
    return sorted((agency, day, number) for (agency, day), number in counts.items())


class JournalUnavailable(Exception):
    """Accesses cannot be written at present, so nothing non-public may be shown."""


class Journal:
    """Writes accesses behind the reads, in the order in which they came."""

    def __init__(self, database: Database, *, durable: bool) -> None:
        self._database = database
        self._durable = durable
        self._unwritten: list[Access] = []
        self._taken = 0
        self._written = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._closing = False
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    async def write(self, accesses: Sequence[Access]) -> None:
        """Take accesses over, at most ``MOST_UNWRITTEN`` at a time.

        Raises ``JournalUnavailable`` when no room was made for them in time, or (durable) when the write failed.
        """
        if len(self._unwritten) + len(accesses) > MOST_UNWRITTEN:
            await self._wait_for_room(len(accesses))
        if self._closing:
            raise JournalUnavailable
        self._unwritten.extend(accesses)
        self._taken += len(accesses)
        self._arrived.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        if self._durable:
            written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((self._taken, written))
            await written

    async def _wait_for_room(self, number: int) -> None:
        try:
            async with asyncio.timeout(ROOM_SECONDS):
                while len(self._unwritten) + number > MOST_UNWRITTEN:
                    if self._failing or not self._unwritten:
                        raise JournalUnavailable
                    self._room.clear()
                    await self._room.wait()
        except TimeoutError as error:
            raise JournalUnavailable from error

    async def _run(self) -> None:
        while not (self._closing and not self._unwritten):
            await self._arrived.wait()
            self._arrived.clear()
            if not self._durable and not self._closing:
                await asyncio.sleep(WRITTEN_WITHIN_SECONDS)
            while self._unwritten:
                await self._write_batch()

    async def _write_batch(self) -> None:
        batch = self._unwritten[:ROWS_A_COPY]
        try:
            pool = await self._database.pool()
            async with pool.acquire() as connection, connection.transaction():
                await connection.copy_records_to_table("access_log", records=batch, columns=COLUMNS)
                await connection.executemany(_COUNT, _counts(batch))
        except Exception as error:
            await self._failed(error)
            return
        self._failing = False
        del self._unwritten[: len(batch)]
        self._written += len(batch)
        self._room.set()
        while self._waiting and self._waiting[0][0] <= self._written:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)

    async def _failed(self, error: Exception) -> None:
        """Keep what could not be written, and tell whoever waits that it was not."""
        if not self._failing:
            logger.error("access log not written", error_type=type(error).__name__, unwritten=len(self._unwritten))
        self._failing = True
        self._room.set()
        while self._waiting:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(JournalUnavailable())
        await asyncio.sleep(RETRY_SECONDS)

    async def close(self) -> None:
        """Write what is left; give up after ``CLOSING_SECONDS`` without a database."""
        self._closing = True
        if self._task is None:
            return
        self._arrived.set()
        try:
            await asyncio.wait_for(self._task, CLOSING_SECONDS)
        except TimeoutError:
            logger.error("access log lost", accesses=len(self._unwritten))
