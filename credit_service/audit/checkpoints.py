"""Sign the head of a log, after everything since the last signature was looked at again.

One flipped bit that gets signed ends a log, so nothing is taken from what the sequencer worked out: entries are hashed
anew from the stored bytes, the tree is grown anew from the last signed head, and the stored tiles must agree with it.
What was signed last is also remembered beside the keys, so that a database that was rolled back or emptied is found out
before it makes the log contradict itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import orjson
import structlog

from credit_service.audit.merkle import Frontier
from credit_service.audit.notes import Checkpoint, Note, NoteError, Signer, Verifier, open_checkpoint
from credit_service.audit.shards import LogCorruptError, Shard, shards, size_of
from credit_service.audit.signing import LogKeys
from credit_service.audit.sm2 import Sm2UnavailableError
from credit_service.audit.tiles import WIDTH, split
from credit_service.audit.tree import Tree

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

logger = structlog.get_logger(__name__)

CHUNK = 64 * WIDTH

_LAST = "SELECT size, note FROM log_checkpoint WHERE shard = $1 ORDER BY size DESC LIMIT 1"
_HEADS = "SELECT size, note FROM log_checkpoint WHERE shard = $1 ORDER BY size"
_OPENING = """
SELECT e.canonical FROM log_entry l JOIN audit_event e ON e.uscc = l.uscc AND e.id = l.id WHERE l.sequence = $1
"""
_STORE = """
INSERT INTO log_checkpoint (shard, size, root, note, created_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (shard, size) DO NOTHING
"""
_STORE_KEY = "INSERT INTO log_key (vkey, created_at) VALUES ($1, $2) ON CONFLICT DO NOTHING"
_KEYS = "SELECT vkey FROM log_key ORDER BY created_at, vkey"
_STORED = """
SELECT l.sequence, l.leaf_hash, sha256('\\x00'::bytea || e.canonical) AS computed
FROM log_entry l LEFT JOIN audit_event e ON e.uscc = l.uscc AND e.id = l.id
WHERE l.sequence >= $1 AND l.sequence < $2 ORDER BY l.sequence
"""
_TILES = "SELECT number, hashes FROM log_tile WHERE shard = $1 AND level = 0 AND number >= $2 AND number < $3"


async def public_keys(connection: AnyConnection) -> list[Verifier]:
    """Every key that has signed checkpoints of any of the logs, the oldest first."""
    return [Verifier.parse(row["vkey"]) for row in await connection.fetch(_KEYS)]


async def latest(connection: AnyConnection, shard: Shard) -> tuple[int, str] | None:
    """Size and note of the last checkpoint of a log."""
    row = await connection.fetchrow(_LAST, shard.number)
    return (row["size"], row["note"]) if row else None


async def sign(connection: AnyConnection, shard: Shard, keys: LogKeys, now: datetime) -> Checkpoint:
    """Sign the present head of a log, or give the head that is signed already. The caller is ``alone``.

    Raises ``LogCorruptError``, and then nothing was signed.
    """
    tree, size = Tree(shard), await size_of(connection, shard)
    signers = keys.signers(shard.origin)
    last = await _last_signed(connection, shard, keys)
    if last is not None and last.size > size:
        raise LogCorruptError("log-rolled-back", f"{shard.origin}: {size} entries, {last.size} were signed")
    frontier = await tree.frontier(connection, last.size if last else 0)
    if last is not None and frontier.root() != last.root:
        raise LogCorruptError("tree-altered", f"{shard.origin}: not the tree that was signed at {last.size}")
    await recompute(connection, shard, frontier, size)
    checkpoint = Checkpoint(shard.origin, size, frontier.root())
    if checkpoint.root != await tree.root(connection, size):
        raise LogCorruptError("tile-altered", f"{shard.origin}: the stored tiles have another root at {size}")
    stored = await latest(connection, shard)
    if stored is None or stored[0] != size:
        note = _signed(checkpoint, signers, keys)
        keys.remember(shard.origin, note)
        await _publish(connection, shard, checkpoint, note, signers, now)
    return checkpoint


async def close(connection: AnyConnection, shard: Shard, keys: LogKeys, now: datetime) -> Checkpoint | None:
    """Sign what is left of a log whose tail was lost, so that its last entries can be proved. The caller is ``alone``.

    These entries stand where they stood under the lost head, which stays what is remembered of this log. A log without
    any head is not signed: nothing says that its entries are those of the lost one. Gives the head that is left.
    Raises ``LogCorruptError``, and then nothing was signed.
    """
    size, frontier = await size_of(connection, shard), Frontier()
    left: Checkpoint | None = None
    for each in await connection.fetch(_HEADS, shard.number):
        await recompute(connection, shard, frontier, each["size"])
        left = _check_head(shard, each["note"], frontier, keys)
    await recompute(connection, shard, frontier, size)
    if left is not None and left.size < size:
        signers = keys.signers(shard.origin)
        left = Checkpoint(shard.origin, size, frontier.root())
        await _publish(connection, shard, left, _signed(left, signers, keys), signers, now)
    return left


def _signed(checkpoint: Checkpoint, signers: Sequence[Signer], keys: LogKeys) -> Note:
    text = checkpoint.text()
    made = [signer.sign(text) for signer in reversed(signers)]
    if keys.sm2:
        try:
            made.append(keys.sm2.sign(text))
        except Sm2UnavailableError as error:
            # The log does not wait for a device: this head shows `sm2-missing`, the next has it again.
            logger.error("head not signed with SM2", origin=checkpoint.origin, detail=str(error))
    return Note(text, tuple(made))


async def _publish(
    connection: AnyConnection, shard: Shard, head: Checkpoint, note: Note, signers: Sequence[Signer], now: datetime
) -> None:
    async with connection.transaction():
        await connection.executemany(_STORE_KEY, [(str(signer.verifier), now) for signer in signers])
        await connection.execute(_STORE, shard.number, head.size, head.root, str(note), now)


async def _last_signed(connection: AnyConnection, shard: Shard, keys: LogKeys) -> Checkpoint | None:
    """The newest head that we signed, by the database and by what is remembered beside the keys."""
    stored = await latest(connection, shard)
    try:
        remembered = keys.remembered(shard.origin)
        checkpoint = open_checkpoint(stored[1], keys.verifiers(shard.origin))[0] if stored else None
    except NoteError as error:
        raise LogCorruptError("checkpoint-forged", f"{shard.origin}: {error}") from error
    if checkpoint is not None and remembered is not None and checkpoint.size == remembered.size:
        if checkpoint.root != remembered.root:
            raise LogCorruptError("checkpoint-forged", f"{shard.origin}: not what was signed at {checkpoint.size}")
        return remembered
    found = [each for each in (checkpoint, remembered) if each is not None]
    return max(found, key=lambda each: each.size, default=None)


async def recompute(connection: AnyConnection, shard: Shard, frontier: Frontier, size: int) -> None:
    """Grow ``frontier`` to ``size`` from the stored bytes of each entry. Raises ``LogCorruptError``."""
    async for start, leaves in _leaves(connection, shard, frontier.size, size):
        for leaf in leaves:
            frontier.append(leaf)
        await _check_tiles(connection, shard, start, leaves)


async def verify_stored(connection: AnyConnection, keys: LogKeys) -> list[tuple[str, int, int]]:
    """Verify every log from the first entry on; gives for each its origin, its entries and its signed heads.

    Raises ``LogCorruptError``. Entries that no head has been signed over yet are hashed, too.
    """
    found = []
    for shard in await shards(connection):
        size, frontier = await size_of(connection, shard), Frontier()
        last = await _last_signed(connection, shard, keys)
        if last is not None and last.size > size and not await _succeeded(connection, shard, last):
            raise LogCorruptError("log-rolled-back", f"{shard.origin}: {size} entries, {last.size} were signed")
        heads = await connection.fetch(_HEADS, shard.number)
        for head in heads:
            await recompute(connection, shard, frontier, head["size"])
            _check_head(shard, head["note"], frontier, keys)
        await recompute(connection, shard, frontier, size)
        if frontier.root() != await Tree(shard).root(connection, size):
            raise LogCorruptError("tile-altered", f"{shard.origin}: the stored tiles have another root at {size}")
        found.append((shard.origin, size, len(heads)))
    return found


async def _succeeded(connection: AnyConnection, shard: Shard, lost: Checkpoint) -> bool:
    """Whether the log that follows owns up to the lost tail: its first entry commits to the last signed head."""
    if shard.end_sequence is None:
        return False
    rows = await connection.fetch(_OPENING, shard.end_sequence)
    said = orjson.loads(rows[0]["canonical"]) if rows else {}
    return said.get("before") == lost.digest().hex()


def _check_head(shard: Shard, note: str, frontier: Frontier, keys: LogKeys) -> Checkpoint:
    try:
        head, _ = open_checkpoint(note, keys.verifiers(shard.origin))
    except NoteError as error:
        raise LogCorruptError("checkpoint-forged", f"{shard.origin}: {error}") from error
    if (head.origin, head.size) != (shard.origin, frontier.size):
        raise LogCorruptError("checkpoint-forged", f"{shard.origin}: a note of {head.origin} at {head.size}")
    if head.root != frontier.root():
        raise LogCorruptError("root-differs", f"{shard.origin}: not the tree that was signed at {head.size}")
    return head


async def _leaves(
    connection: AnyConnection, shard: Shard, start: int, size: int
) -> AsyncIterator[tuple[int, list[bytes]]]:
    """The leaf hashes of the stored bytes, chunk by chunk from the tile that ``start`` lies in."""
    while start < size:
        end = min(size, start - start % WIDTH + CHUNK)
        first = shard.first_sequence
        rows = await connection.fetch(_STORED, first + start, first + end)
        for number, row in enumerate(rows, first + start):
            if row["sequence"] != number or row["computed"] is None:
                raise LogCorruptError("entry-missing", f"{shard.origin}: entry {number - first}")
            if row["computed"] != row["leaf_hash"]:
                raise LogCorruptError("entry-altered", f"{shard.origin}: entry {number - first}")
        if len(rows) != end - start:
            raise LogCorruptError("entry-missing", f"{shard.origin}: {len(rows)} of {end - start} after {start}")
        yield start, [row["computed"] for row in rows]
        start = end


async def _check_tiles(connection: AnyConnection, shard: Shard, start: int, leaves: list[bytes]) -> None:
    """Compare the full tiles of the lowest level with the leaves, as far as these reach."""
    end = start + len(leaves)
    rows = await connection.fetch(_TILES, shard.number, start // WIDTH, end // WIDTH)
    if len(rows) != end // WIDTH - start // WIDTH:
        raise LogCorruptError("tile-missing", f"{shard.origin}: entries {start} to {end - 1}")
    for row in rows:
        first = row["number"] * WIDTH
        stored = split(row["hashes"])[max(0, start - first) :]
        computed = leaves[max(0, first - start) : first - start + WIDTH]
        if stored != computed:
            fault = "entries-reordered" if sorted(stored) == sorted(computed) else "tile-altered"
            raise LogCorruptError(fault, f"{shard.origin}: tile {row['number']}")
