"""Which log an event goes to: one a year, under an origin of its own, each opened with the head of the one before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

OPENED = "log.opened"
REOPENED = "log.reopened"
"""The first entry of a log: after a year that ended well, and after a loss that is owned up to."""

LOCK = 0x6C6F67
"""Advisory lock of whoever extends or signs the log."""

_SHARDS = """
SELECT s.number, s.origin, s.first_sequence, s.opened_at,
    lead(s.first_sequence) OVER (ORDER BY s.number) AS end_sequence
FROM log_shard s ORDER BY s.number
"""
_END = "SELECT coalesce(max(sequence) + 1, 0) FROM log_entry"


class LogCorruptError(RuntimeError):
    """The log is not what was signed. ``fault`` names what is wrong, as ``verification`` does."""

    def __init__(self, fault: str, detail: str) -> None:
        super().__init__(f"{fault}: {detail}")
        self.fault = fault


@dataclass(frozen=True, slots=True)
class Shard:
    """A log; ``end_sequence`` is empty while it is open."""

    number: int
    origin: str
    first_sequence: int
    end_sequence: int | None = None


async def shards(connection: AnyConnection) -> list[Shard]:
    """Every log, the oldest first."""
    names = ("number", "origin", "first_sequence", "end_sequence")
    return [Shard(*(row[name] for name in names)) for row in await connection.fetch(_SHARDS)]


async def open_shard(connection: AnyConnection) -> Shard | None:
    """The log that still grows."""
    found = await shards(connection)
    return found[-1] if found else None


async def end_of_log(connection: AnyConnection) -> int:
    """The sequence number that the next event will get."""
    end: int = await connection.fetchval(_END)
    return end


async def size_of(connection: AnyConnection, shard: Shard) -> int:
    """How many entries a log has."""
    end = shard.end_sequence if shard.end_sequence is not None else await end_of_log(connection)
    return end - shard.first_sequence


@asynccontextmanager
async def alone(connection: AnyConnection, *, wait: bool = False) -> AsyncIterator[bool]:
    """Whether this session is the only one that extends or signs the log; with ``wait``, once it is."""
    if wait:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        held = True
    else:
        held = await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK)
    try:
        yield held
    finally:
        if held and not connection.is_closed():
            await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)
