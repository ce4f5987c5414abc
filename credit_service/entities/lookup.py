"""The hot path: one primary-key read of bytes for each lookup, many lookups in one query.

Lookups that arrive while a query is under way wait for the next one and share it (``= ANY($1)``): under load the number
of round trips falls as the number of callers rises. Nothing is cached between queries, so an answer is never older than
the request for it.
"""

from __future__ import annotations

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Hashable
from datetime import datetime
from typing import TYPE_CHECKING, Generic, TypeVar

from credit_service.entities import profile
from credit_service.platform.clock import Clock
from credit_service.platform.database import Database
from credit_service.platform.times import PointInTime

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

MOST_CODES_A_QUERY = 256

_FETCH = """
SELECT uscc, status, etag, body FROM profile
WHERE audience = $1 AND uscc = ANY($2::varchar[]) AND fresh_until > $3
"""
_KNOWN = "SELECT EXISTS (SELECT FROM entity WHERE uscc = $1)"

Key = TypeVar("Key", bound=Hashable)
Answer = tuple[int, str, bytes]
"""HTTP status (200 or 410), ETag with its quotes, JSON bytes."""


class Coalescing(ABC, Generic[Key]):
    """Waiting lookups share queries; a subclass answers one batch of keys."""

    def __init__(self, database: Database, *, lanes: int = 2) -> None:
        self._database = database
        self._waiting: list[tuple[Key, asyncio.Future[Answer | None]]] = []
        self._idle_lanes = lanes
        self._tasks: set[asyncio.Task[None]] = set()

    async def ask(self, key: Key) -> Answer | None:
        """The answer for one key, found together with the others that wait."""
        future: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, future))
        self._open_lane()
        return await future

    def _open_lane(self) -> None:
        if self._waiting and self._idle_lanes:
            self._idle_lanes -= 1
            task = asyncio.create_task(self._drain())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _drain(self) -> None:
        try:
            pool = await self._database.pool()
            async with pool.acquire() as connection:
                while self._waiting:
                    await self._answer_batch(connection)
        except Exception as error:
            waiting, self._waiting = self._waiting, []
            _fail(waiting, error)
        finally:
            self._idle_lanes += 1
            self._open_lane()  # for whoever came while the connection was given back

    async def _answer_batch(self, connection: AnyConnection) -> None:
        batch = self._waiting[:MOST_CODES_A_QUERY]
        del self._waiting[:MOST_CODES_A_QUERY]
        try:
            found = await self._fetch(connection, [key for key, _ in batch])
        except Exception as error:
            _fail(batch, error)
            raise
        for key, future in batch:
            if not future.done():
                future.set_result(found.get(key))

    @abstractmethod
    async def _fetch(self, connection: AnyConnection, keys: list[Key]) -> dict[Key, Answer]:
        """The answers to a batch; a key without one is unknown."""


class Lookup(Coalescing[str]):
    """Present profiles of one audience; one instance an audience and process."""

    def __init__(self, database: Database, clock: Clock, audience: str) -> None:
        super().__init__(database)
        self._clock = clock
        self._audience = audience

    async def get(self, uscc: str) -> Answer | None:
        """The profile as it stands now, or ``None`` when the registry does not know the code."""
        answer = await self.ask(uscc)
        return await self._render(uscc) if answer is None else answer

    async def _fetch(self, connection: AnyConnection, keys: list[str]) -> dict[str, Answer]:
        # By its text, which the connection keeps prepared; connection.prepare() would parse it anew each time.
        rows = await connection.fetch(_FETCH, self._audience, keys, self._clock.now())
        return {row[0]: (row[1], row[2], row[3]) for row in rows}

    async def _render(self, uscc: str) -> Answer | None:
        """No fresh row: render it if the entity exists. Rare, so it takes its own connection and transaction."""
        pool = await self._database.pool()
        async with pool.acquire() as connection:
            if not await connection.fetchval(_KNOWN, uscc):
                return None
            now: datetime = self._clock.now()
            async with connection.transaction():
                await profile.render(connection, [uscc], now)
                row = await connection.fetchrow(
                    "SELECT status, etag, body FROM profile WHERE uscc = $1 AND audience = $2", uscc, self._audience
                )
        return (row[0], row[1], row[2]) if row else None


class PastLookup(Coalescing[tuple[str, PointInTime]]):
    """Profiles as of a time, by what was known at a time, rendered from the versions; nothing is stored."""

    def __init__(self, database: Database, clock: Clock, audience: str) -> None:
        super().__init__(database)
        self._clock = clock
        self._audience = audience

    async def _fetch(
        self, connection: AnyConnection, keys: list[tuple[str, PointInTime]]
    ) -> dict[tuple[str, PointInTime], Answer]:
        asked: dict[PointInTime, list[str]] = {}
        for uscc, point in keys:
            asked.setdefault(point, []).append(uscc)
        found: dict[tuple[str, PointInTime], Answer] = {}
        now = self._clock.now()
        for point, usccs in asked.items():
            rows = await connection.fetch(profile.AT, usccs, point.as_of, [self._audience], point.known_at, now)
            for uscc, status, body in rows:
                content = body.encode()
                etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
                found[uscc, point] = (status, etag, content)
        return found


def _fail(waiting: list[tuple[Key, asyncio.Future[Answer | None]]], error: Exception) -> None:
    for _, future in waiting:
        if not future.done():
            future.set_exception(error)
