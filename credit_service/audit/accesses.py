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
from collections.abc import Collection, Iterable
from datetime import date, datetime, timedelta
from typing import NamedTuple

import structlog
from uuid_utils import UUID

from credit_service.platform.database import Database
from credit_service.platform.days import day_of, start_of

logger = structlog.get_logger(__name__)

WRITTEN_WITHIN_SECONDS = 0.1
MOST_UNWRITTEN = 10_000
RETRY_SECONDS = 0.5
CLOSING_SECONDS = 10
ROOM_SECONDS = 5
"""How long accesses wait for others to be written before them, when together they would be too many."""


class Access(NamedTuple):
    """One answer that showed non-public files to one caller: a row of ``access_log`` for each of its ``subjects``.

    ``id`` is the answer's. ``audience`` is the class of fields shown (agency: shared, regulator: restricted too).
    ``disclosed_from`` is the instant from which the subject sees the access: ``at``, or later for a marked
    investigation.
    """

    id: UUID
    at: datetime
    disclosed_from: datetime
    request_id: str
    principal: str
    agency_uscc: str | None
    audience: str
    purpose: str
    case_reference: str | None
    route: str
    subjects: Collection[str]


COLUMNS = (*Access._fields[:-1], "uscc")

_COUNT = """
INSERT INTO access_count AS c (agency_uscc, day, accesses) VALUES ($1, $2, $3)
ON CONFLICT (agency_uscc, day) DO UPDATE SET accesses = c.accesses + excluded.accesses
"""
_THERE = "SELECT EXISTS (SELECT FROM access_log WHERE uscc = $1 AND at = $2 AND id = $3)"
"""Whether an attempt that seemed to fail had been committed, and only the word of it was lost."""


def _counts(batch: Iterable[Access]) -> list[tuple[str, date, int]]:
    """Files by agency and day, in one order for all writers, so that none waits for another in a circle."""
    counts: Counter[tuple[str, date]] = Counter()
    begins = ends = None
    for access in batch:
        if begins is None or ends is None or not begins <= access.at < ends:  # nearly all fall on one day
            day = day_of(access.at)
            begins, ends = start_of(day), start_of(day + timedelta(days=1))
        if access.agency_uscc is not None:
            counts[access.agency_uscc, day] += len(access.subjects)
    return sorted((agency, day, number) for (agency, day), number in counts.items())


class JournalUnavailable(Exception):
    """Accesses cannot be written at present, so nothing non-public may be shown."""


class Journal:
    """Writes accesses behind the reads, in the order in which they came."""

    def __init__(self, database: Database, *, durable: bool) -> None:
        self._database = database
        self._durable = durable
        self._arriving: list[Access] = []
        self._writing: list[Access] = []
        self._unwritten = 0
        self._written = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._closing = False
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    async def write(self, access: Access) -> None:
        """Take an answer's accesses over, at most ``MOST_UNWRITTEN``.

        Raises ``JournalUnavailable`` when no room was made for them in time, or (durable) when the write failed.
        """
        number = len(access.subjects)
        if self._unwritten + number > MOST_UNWRITTEN:
            await self._wait_for_room(number)
        if self._closing:
            raise JournalUnavailable
        self._arriving.append(access)
        self._unwritten += number
        self._arrived.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        if self._durable:
            written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append((self._written + self._unwritten, written))
            await written

    async def _wait_for_room(self, number: int) -> None:
        try:
            async with asyncio.timeout(ROOM_SECONDS):
                while self._unwritten + number > MOST_UNWRITTEN:
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
        """Write what has arrived, or once more what could not be written."""
        if not self._writing:
            self._writing, self._arriving = self._arriving, []
        rows = [(*access[:-1], uscc) for access in self._writing for uscc in access.subjects]
        try:
            pool = await self._database.pool()
            async with pool.acquire() as connection, connection.transaction():
                if not (self._failing and await connection.fetchval(_THERE, rows[0][-1], rows[0][1], rows[0][0])):
                    await connection.copy_records_to_table("access_log", records=rows, columns=COLUMNS)
                    await connection.executemany(_COUNT, _counts(self._writing))
        except Exception as error:
            await self._failed(error)
            return
        self._failing, self._writing = False, []
        self._unwritten -= len(rows)
        self._written += len(rows)
        self._room.set()
        while self._waiting and self._waiting[0][0] <= self._written:
            _, future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)

    async def _failed(self, error: Exception) -> None:
        """Keep what could not be written, and tell whoever waits that it was not."""
        if not self._failing:
            logger.error("access log not written", error_type=type(error).__name__, unwritten=self._unwritten)
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
            logger.error("access log lost", accesses=self._unwritten)
