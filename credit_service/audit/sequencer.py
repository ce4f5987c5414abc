"""Give every event its place: gap-free, in the order in which events became visible, once.

Events are found by what is missing, not by a mark that a writer could forget: whatever is in ``audit_event`` and not in
``log_entry``. So that this need not look at all of them each time, it begins at the oldest transaction that was still
running when the pass before began: what older transactions wrote has been seen. A transaction that commits late is
found by the next pass, however long it took.

Each pass takes what one snapshot sees, so an event can never come before one it could have depended on that was
committed earlier; within a pass events are ordered by their time-ordered ids. Batches commit one by one; a crash leaves
whole batches, and the next pass finds the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from credit_service.audit import events
from credit_service.audit.merkle import leaf_hash, perfect_root
from credit_service.audit.models import SYSTEM_SUBJECT
from credit_service.audit.notes import Checkpoint
from credit_service.audit.shards import OPENED, REOPENED, Shard, end_of_log
from credit_service.audit.tiles import WIDTH, split
from credit_service.platform.context import Actor

if TYPE_CHECKING:
    from uuid import UUID

    from credit_service.platform.database import AnyConnection

BATCH = 8192
SEQUENCER = Actor("system", "log")

_HORIZON = """
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS txid, system_identifier AS cluster,
    (SELECT txid::text FROM log_progress WHERE cluster = system_identifier) AS seen
FROM pg_control_system()
"""
_WAITING = """
DECLARE waiting NO SCROLL CURSOR WITH HOLD FOR
SELECT e.uscc, e.id, sha256('\\x00'::bytea || e.canonical) AS leaf_hash FROM audit_event e
WHERE e.txid >= '{seen}'::xid8 AND NOT EXISTS (SELECT FROM log_entry l WHERE l.uscc = e.uscc AND l.id = e.id)
ORDER BY e.id, e.uscc
"""
_PROGRESS = """
INSERT INTO log_progress (single, txid, cluster) VALUES (true, $1::text::xid8, $2)
ON CONFLICT (single) DO UPDATE SET txid = excluded.txid, cluster = excluded.cluster
"""
_OPEN = "INSERT INTO log_shard (number, origin, first_sequence, opened_at) VALUES ($1, $2, $3, $4)"
_TILE_HASHES = """
SELECT root FROM log_tile WHERE shard = $1 AND level = $2 AND number >= $3 AND number < $4 ORDER BY number
"""
_LEAVES = "SELECT leaf_hash FROM log_entry WHERE sequence >= $1 ORDER BY sequence"

Waiting = tuple[str, "UUID", bytes]


async def sequence(connection: AnyConnection, shard: Shard, *, batch: int = BATCH) -> int:
    """One pass: every event that is visible now gets its place. Gives how many; the caller is ``alone``."""
    horizon = await connection.fetchrow(_HORIZON)
    assert horizon is not None
    # After a restore into another cluster its transaction numbers mean nothing here: look at everything once.
    seen = int(horizon["seen"] or 0)
    done = 0
    async with connection.transaction():
        await connection.execute(_WAITING.format(seen=seen))
    try:
        while rows := await connection.fetch(f"FETCH {batch} FROM waiting"):
            async with connection.transaction():
                await append(connection, shard, [(row[0], row[1], row[2]) for row in rows])
            done += len(rows)
    finally:
        if not connection.is_closed():
            await connection.execute("CLOSE waiting")
    if int(horizon["txid"]) != seen:
        await connection.execute(_PROGRESS, horizon["txid"], horizon["cluster"])
    return done


async def append(connection: AnyConnection, shard: Shard, waiting: Sequence[Waiting]) -> None:
    """Append entries, and the tiles they fill, in the caller's transaction."""
    end = await end_of_log(connection)
    size = end - shard.first_sequence
    full = size // WIDTH
    leaves = [row[0] for row in await connection.fetch(_LEAVES, shard.first_sequence + full * WIDTH)]
    leaves += [leaf for _, _, leaf in waiting]
    await connection.copy_records_to_table(
        "log_entry",
        records=[(number, uscc, event, leaf) for number, (uscc, event, leaf) in enumerate(waiting, end)],
        columns=("sequence", "uscc", "id", "leaf_hash"),
    )
    tiles: list[tuple[int, int, int, bytes, bytes]] = []
    level, hashes = 0, b"".join(leaves)
    while len(hashes) >= 32 * WIDTH:
        roots = []
        for place in range(0, len(hashes) - 32 * WIDTH + 1, 32 * WIDTH):
            tile = hashes[place : place + 32 * WIDTH]
            roots.append(perfect_root(split(tile)))
            tiles.append((shard.number, level, full + len(roots) - 1, tile, roots[-1]))
        above = full // WIDTH
        before = await connection.fetch(_TILE_HASHES, shard.number, level, above * WIDTH, full)
        level, full, hashes = level + 1, above, b"".join([*(row[0] for row in before), *roots])
    if tiles:
        await connection.copy_records_to_table(
            "log_tile", records=tiles, columns=("shard", "level", "number", "hashes", "root")
        )


@dataclass(frozen=True, slots=True)
class Before:
    """The log before: the last head that was signed of it and, where entries under that were lost, what is left."""

    last: Checkpoint
    lossy: bool = False
    left: Checkpoint | None = None


async def open_log(connection: AnyConnection, number: int, origin: str, now: datetime, before: Before | None) -> Shard:
    """Begin a log with an entry that commits to the last checkpoint of the one before it."""
    event: Any = events.new_event(
        SEQUENCER,
        now,
        REOPENED if before and before.lossy else OPENED,
        uscc=SYSTEM_SUBJECT,
        subject_type="log",
        subject_id=origin,
        before=before.last.digest() if before else None,
        after=before.left.digest() if before and before.left else None,
    )
    async with connection.transaction():
        shard = Shard(number, origin, await end_of_log(connection))
        await connection.execute(_OPEN, number, origin, shard.first_sequence, now)
        await connection.copy_records_to_table("audit_event", records=[events.row_of(event)], columns=events.COLUMNS)
        await append(connection, shard, [(event.uscc, event.id, leaf_hash(event.canonical))])
    return shard
