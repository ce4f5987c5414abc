"""The sequencer and the signer: gap-free, complete under concurrent writers, and nothing signed that was altered."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import orjson
import pytest

from credit_service.audit import events, merkle, sequencer
from credit_service.audit.checkpoints import verify_stored
from credit_service.audit.notes import open_checkpoint
from credit_service.audit.shards import LogCorruptError, open_shard, shards
from credit_service.audit.tree import Tree
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from tests.audit.support import ORIGIN, Ledger, event_rows, ledger, write

Owner: TypeAlias = "asyncpg.Connection[Any]"


@pytest.fixture
async def book(database: Database, clock: FixedClock, tmp_path: Path) -> AsyncIterator[Ledger]:
    async with ledger(database, clock, tmp_path) as found:
        yield found


async def test_every_event_has_one_place_and_no_place_is_empty(book: Ledger, owner: Owner) -> None:
    await book.add(600)
    assert await book.sequence() == 600
    await book.add(3, start=600)
    assert await book.sequence() == 3
    assert await book.sequence() == 0
    rows = await owner.fetch("SELECT sequence, leaf_hash FROM log_entry ORDER BY sequence")
    assert [row["sequence"] for row in rows] == list(range(604)), "the log's opening and 603 events"
    written = await owner.fetch("SELECT canonical FROM audit_event")
    assert {merkle.leaf_hash(row[0]) for row in written} == {row["leaf_hash"] for row in rows}
    assert await owner.fetchval("SELECT count(*) FROM log_tile") == 2


async def test_the_tree_is_that_of_the_rfc_at_every_size(book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequencer, "BATCH", 37)
    await book.add(700)
    await book.sequence()
    shard = await open_shard(book.connection)
    assert shard is not None
    leaves = [row[0] for row in await book.connection.fetch("SELECT leaf_hash FROM log_entry ORDER BY sequence")]
    growing, tree = merkle.Frontier(), Tree(shard)
    for size, leaf in enumerate(leaves, 1):
        growing.append(leaf)
        if size % 50 in (0, 6) or size > 690:
            assert await tree.root(book.connection, size) == growing.root()
    root = growing.root()
    for index in (0, 255, 256, 511, 600, 700):
        path = await tree.inclusion(book.connection, index, 701)
        merkle.verify_inclusion(index, 701, leaves[index], path, root)
    for first in (1, 255, 256, 257, 512, 700):
        proof = await tree.consistency(book.connection, first, 701)
        merkle.verify_consistency(first, 701, await tree.root(book.connection, first), root, proof)


async def test_a_transaction_that_commits_late_is_not_lost(book: Ledger, database: Database) -> None:
    """Its rows are older than what has been sequenced; a mark at the newest row would pass them over."""
    late = await database.connect()
    transaction = late.transaction()
    await transaction.start()
    await write(late, event_rows(5, book.clock.now(), start=1000))
    for number in range(4):
        await book.add(10, start=number * 10)
        assert await book.sequence() == 10
    await transaction.commit()
    await late.close()
    await book.add(1, start=2000)
    assert await book.sequence() == 6
    assert await book.sequence() == 0


async def test_concurrent_writers_and_sequencers_neither_fork_nor_skip(
    book: Ledger, database: Database, owner: Owner, tmp_path: Path
) -> None:
    await book.sequence()

    async def writes(worker: int) -> None:
        connection = await database.connect()
        for turn in range(12):
            async with connection.transaction():
                for number in range(turn % 4 + 1):
                    await write(connection, event_rows(1, book.clock.now(), start=worker * 1000 + turn * 10 + number))
                    await asyncio.sleep(0.001 * (worker % 3))
        await connection.close()

    writing = asyncio.gather(*(writes(worker) for worker in range(5)))

    async def sequences() -> None:
        async with ledger(database, book.clock, tmp_path) as other:
            while not writing.done():
                await other.sequence()
                await other.log.checkpoint(other.connection, book.clock.now())
                await asyncio.sleep(0)

    await asyncio.gather(writing, sequences(), sequences())
    await book.sequence()
    await book.checkpoint()
    numbers = [row[0] for row in await owner.fetch("SELECT sequence FROM log_entry ORDER BY sequence")]
    assert numbers == list(range(1 + 5 * 30))
    assert await owner.fetchval("SELECT count(*) FROM audit_event") == len(numbers)


async def test_a_crash_between_batches_leaves_whole_batches(
    book: Ledger, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    await book.sequence()
    await book.add(100)
    monkeypatch.setattr(sequencer, "BATCH", 30)
    real, calls = sequencer.append, itertools.count()

    async def dies(*arguments: Any) -> None:
        await real(*arguments)
        if next(calls) == 2:
            raise ConnectionError("the third batch's transaction does not commit")

    monkeypatch.setattr(sequencer, "append", dies)
    with pytest.raises(ConnectionError):
        await sequencer.sequence(book.connection, (await shards(book.connection))[-1], batch=30)
    monkeypatch.setattr(sequencer, "append", real)
    assert await owner.fetchval("SELECT count(*) FROM log_entry") == 61
    assert await book.sequence() == 40
    assert (await book.checkpoint()).size == 101
    assert await owner.fetchval("SELECT count(DISTINCT (uscc, id)) FROM log_entry") == 101


async def test_in_another_cluster_transaction_numbers_start_anew(book: Ledger, owner: Owner) -> None:
    """After a dump is restored elsewhere, what was seen there says nothing about transactions here."""
    await book.add(2)
    await book.sequence()
    await owner.execute("UPDATE log_progress SET txid = '18446744073709551000'::xid8, cluster = cluster + 1")
    await book.add(3, start=2)
    assert await book.sequence() == 3


async def test_events_of_one_cut_keep_the_order_of_their_making(book: Ledger, owner: Owner) -> None:
    rows = event_rows(20, book.clock.now())
    for row in reversed(rows):
        await write(book.connection, [row])
    await book.sequence()
    ids = [row[0] for row in await owner.fetch("SELECT id FROM log_entry ORDER BY sequence OFFSET 1")]
    assert ids == [row[1] for row in rows]


async def test_a_checkpoint_is_a_signed_note_of_the_tree(book: Ledger, owner: Owner) -> None:
    await book.add(299)
    await book.sequence()
    checkpoint = await book.checkpoint()
    assert (checkpoint.origin, checkpoint.size) == (ORIGIN, 300)
    again = await book.checkpoint()
    assert again == checkpoint
    row = await owner.fetchrow("SELECT * FROM log_checkpoint")
    assert row is not None
    opened, note = open_checkpoint(row["note"], book.keys.verifiers(ORIGIN))
    assert opened == checkpoint
    assert len(note.signatures) == 1
    canonical = [
        row[0]
        for row in await owner.fetch(
            "SELECT e.canonical FROM log_entry JOIN audit_event e USING (uscc, id) ORDER BY sequence"
        )
    ]
    growing = merkle.Frontier()
    for entry in canonical:
        growing.append(merkle.leaf_hash(entry))
    assert growing.root() == checkpoint.root


async def test_keys_change_with_an_overlap(book: Ledger, owner: Owner) -> None:
    await book.sequence()
    await book.checkpoint()
    old = book.keys.verifiers(ORIGIN)
    new = book.keys.rotate(ORIGIN).verifier
    await book.add(1)
    await book.sequence()
    await book.checkpoint()
    note = await owner.fetchval("SELECT note FROM log_checkpoint WHERE size = 2")
    for trusted in (old, [new], [*old, new]):
        assert open_checkpoint(note, trusted)[0].size == 2
    assert [gone.verifier for gone in book.keys.retire(ORIGIN)] == old
    await book.add(1, start=1)
    await book.sequence()
    await book.checkpoint()
    note = await owner.fetchval("SELECT note FROM log_checkpoint WHERE size = 3")
    assert open_checkpoint(note, [new])[0].size == 3
    with pytest.raises(ValueError, match="not signed by a trusted key"):
        open_checkpoint(note, old)
    assert {row[0] for row in await owner.fetch("SELECT vkey FROM log_key")} == {str(key) for key in [*old, new]}


async def test_a_year_begins_with_the_head_of_the_year_before(book: Ledger, owner: Owner) -> None:
    await book.add(5)
    await book.sequence()
    await book.add(2, start=5)  # committed before midnight, sequenced after it
    book.clock.instant = datetime(2026, 12, 31, 16, tzinfo=UTC)
    assert await book.sequence() == 2
    old, new = await shards(book.connection)
    assert (old.number, old.end_sequence, new.number, new.first_sequence) == (2026, 6, 2027, 6)
    closed = await owner.fetchrow("SELECT size, note FROM log_checkpoint WHERE shard = 2026")
    assert closed is not None
    assert closed["size"] == 6
    final, _ = open_checkpoint(closed["note"], book.keys.verifiers(ORIGIN))
    opening = orjson.loads((await Tree(new).entries(book.connection, 0, 1))[0])
    assert opening["action"] == "log.opened"
    assert opening["before"] == events.commitment(b"", final.text().encode()).hex()
    checkpoint = await book.checkpoint()
    assert (checkpoint.origin, checkpoint.size) == ("test/v1/log/2027", 3)
    assert await Tree(new).root(book.connection, 3) == checkpoint.root
    book.clock.instant = datetime(2026, 6, 1, tzinfo=UTC)
    await book.add(1, start=9)
    assert await book.sequence() == 1, "a clock that goes back opens no log again"
    assert len(await shards(book.connection)) == 2


DAMAGES = {
    "entry-altered": "UPDATE audit_event SET canonical = canonical || ' '::bytea WHERE subject_id = '700'",
    "entry-missing": "DELETE FROM audit_event WHERE subject_id = '650'",
    "tile-altered": "UPDATE log_tile SET hashes = set_byte(hashes, 3209, get_byte(hashes, 3209) # 1) WHERE number = 2",
    "tile-missing": "DELETE FROM log_tile WHERE number = 2 AND level = 0",
    "tree-altered": "UPDATE log_tile SET root = set_byte(root, 9, get_byte(root, 9) # 1) WHERE number = 1",
    "checkpoint-forged": "UPDATE log_checkpoint SET note = replace(note, E'\\n601\\n', E'\\n602\\n')",
    "log-rolled-back": "DELETE FROM log_entry WHERE sequence >= 590",
}
GAP = "DELETE FROM log_entry WHERE sequence = 640"


@pytest.mark.parametrize("fault", [*DAMAGES, "gap"])
async def test_nothing_is_signed_that_was_altered(book: Ledger, owner: Owner, fault: str) -> None:
    await book.add(600)
    await book.sequence()
    await book.checkpoint()
    await book.add(200, start=600)
    await book.sequence()
    await owner.execute(DAMAGES.get(fault, GAP))
    with pytest.raises(LogCorruptError) as found:
        await book.checkpoint()
    assert found.value.fault == ("entry-missing" if fault == "gap" else fault)
    assert await owner.fetchval("SELECT count(*) FROM log_checkpoint") == 1


RENUMBER = """
UPDATE log_entry SET sequence = n - 1
FROM (SELECT id AS i, row_number() OVER (ORDER BY sequence) AS n FROM log_entry) o WHERE id = i
"""


async def test_after_a_lost_tail_a_new_log_owns_up_to_it(book: Ledger, owner: Owner) -> None:
    await book.add(20)
    await book.sequence()
    lost = await book.checkpoint()
    with pytest.raises(LogCorruptError, match="log-missing"):
        await book.log.reopen(book.connection, book.clock.now())
    await owner.execute("DELETE FROM audit_event WHERE subject_id > '15'")
    await owner.execute("DELETE FROM log_entry l WHERE NOT EXISTS (SELECT FROM audit_event e WHERE e.id = l.id)")
    await owner.execute(RENUMBER)
    await owner.execute("DELETE FROM log_checkpoint")
    with pytest.raises(LogCorruptError, match="log-rolled-back"):
        await book.checkpoint()
    with pytest.raises(LogCorruptError, match="log-rolled-back"):
        await verify_stored(book.connection, book.keys)
    opened = await book.log.reopen(book.connection, book.clock.now())
    opening = orjson.loads((await Tree(opened).entries(book.connection, 0, 1))[0])
    assert opening["before"] == events.commitment(b"", lost.text().encode()).hex()
    await book.add(3, start=100)
    assert await book.sequence() == 3
    assert (await book.checkpoint()).size == 4
    assert [found[2] for found in await verify_stored(book.connection, book.keys)] == [0, 1]


async def test_an_emptied_database_is_not_signed_as_a_new_log(book: Ledger, owner: Owner) -> None:
    await book.add(10)
    await book.sequence()
    await book.checkpoint()
    for table in ("audit_event", "log_entry", "log_tile", "log_shard", "log_checkpoint", "log_progress"):
        await owner.execute(f"DELETE FROM {table}")
    await book.add(3)
    with pytest.raises(LogCorruptError, match="log-rolled-back"):
        await book.sequence()
    with pytest.raises(LogCorruptError, match="log-rolled-back"):
        await book.checkpoint()
    await book.log.reopen(book.connection, book.clock.now())
    assert await owner.fetchval("SELECT count(*) FROM log_checkpoint") == 0, "what is left may be another log's"
    assert await book.sequence() == 3


@pytest.mark.parametrize(
    "table", ["log_entry", "log_tile", "log_checkpoint", "log_shard", "log_cosignature", "log_key"]
)
async def test_the_service_cannot_change_the_log(database: Database, table: str) -> None:
    connection = await database.connect()
    try:
        for statement in (f"UPDATE {table} SET shard = 1", f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedColumnError)):
                await connection.execute(statement)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute(f"DELETE FROM {table}")
    finally:
        await connection.close()
