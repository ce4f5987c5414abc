"""A log under test: events of this many changes, given their place and signed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg

from credit_service.audit import events
from credit_service.audit.log import Log
from credit_service.audit.notes import Checkpoint
from credit_service.audit.signing import LogKeys
from credit_service.platform.clock import FixedClock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from tests.api import COMPANY

ORIGIN = "test/v1/log/2026"


def event_rows(count: int, now: datetime, *, start: int = 0) -> list[tuple[Any, ...]]:
    """Rows for ``audit_event`` as any writer would leave them."""
    actor = Actor("tester", "request")
    return [
        events.row_of(
            events.new_event(
                actor, now, "record.stored", uscc=COMPANY, subject_type="record", subject_id=str(number), reason="理由"
            )
        )
        for number in range(start, start + count)
    ]


async def write(connection: asyncpg.Connection[Any], rows: list[tuple[Any, ...]]) -> None:
    await connection.copy_records_to_table("audit_event", records=rows, columns=events.COLUMNS)


@dataclass
class Ledger:
    """The log, with a connection of its own."""

    log: Log
    keys: LogKeys
    clock: FixedClock
    connection: Any

    async def add(self, count: int, *, start: int = 0) -> None:
        await write(self.connection, event_rows(count, self.clock.now(), start=start))

    async def sequence(self) -> int:
        return await self.log.sequence(self.connection, self.clock.now())

    async def checkpoint(self) -> Checkpoint:
        found = await self.log.checkpoint(self.connection, self.clock.now())
        assert found is not None
        return found


@asynccontextmanager
async def ledger(database: Database, clock: FixedClock, folder: Path) -> AsyncIterator[Ledger]:
    connection = await database.connect()
    keys = LogKeys(folder / "log-keys")
    try:
        yield Ledger(Log(keys, "http://test"), keys, clock, connection)
    finally:
        await connection.close()
