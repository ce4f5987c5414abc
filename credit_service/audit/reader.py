"""Read the published log: heads with their cosignatures, tiles up to the signed size, proofs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from credit_service.audit.shards import Shard, shards
from credit_service.audit.tiles import HEIGHT, Tile
from credit_service.audit.tree import Tree
from credit_service.platform.database import Database

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

_HEAD = """
SELECT c.size, c.root, c.note, c.created_at,
    (SELECT coalesce(string_agg(s.line, '' ORDER BY s.witness), '') FROM log_cosignature s
     WHERE s.shard = c.shard AND s.size = c.size) AS cosignatures
FROM log_checkpoint c WHERE c.shard = $1 AND ($2::bigint IS NULL OR c.size >= $2) ORDER BY c.size {order} LIMIT 1
"""
_NEWEST = _HEAD.format(order="DESC")
_FIRST_WITH = _HEAD.format(order="ASC")


@dataclass(frozen=True, slots=True)
class Head:
    """A signed head of a log, as it is published."""

    tree: Tree
    size: int
    root: bytes
    note: str


class LogReader:
    """The published logs of a database; trees are kept, since what is full in them never changes."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._trees: dict[int, Tree] = {}

    async def connection(self) -> AnyConnection:
        """The read pool, which answers queries as a connection does."""
        return cast("AnyConnection", await self._database.pool())

    async def shards(self) -> list[Shard]:
        return await shards(await self.connection())

    async def tree(self, number: int) -> Tree | None:
        """The tree of a year's log, ``None`` when there is no such log."""
        if number not in self._trees:
            self._trees |= {shard.number: Tree(shard) for shard in await self.shards() if shard.number == number}
        return self._trees.get(number)

    async def head(self, number: int) -> Head | None:
        """The newest signed head of a year's log."""
        return await self._head(_NEWEST, number, None)

    async def head_with(self, number: int, size: int) -> Head | None:
        """The oldest signed head of at least ``size`` entries."""
        return await self._head(_FIRST_WITH, number, size)

    async def _head(self, query: str, number: int, size: int | None) -> Head | None:
        tree = await self.tree(number)
        return await _head_of(await self.connection(), tree, query, number, size) if tree is not None else None


async def newest_head(connection: AnyConnection, shard: Shard) -> Head | None:
    """The newest signed head of a log with its cosignatures, as ``LogReader.head`` gives it."""
    return await _head_of(connection, Tree(shard), _NEWEST, shard.number, None)


async def _head_of(connection: AnyConnection, tree: Tree, query: str, number: int, size: int | None) -> Head | None:
    row = await connection.fetchrow(query, number, size)
    return Head(tree, row["size"], row["root"], row["note"] + row["cosignatures"]) if row else None


class Prover:
    """Proofs for one answer: all under the same heads, each of which is read once."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._shards: list[Shard] | None = None
        self._heads: dict[int, Head | None] = {}

    async def proof(self, sequence: int | None) -> str | None:
        """A proof (C2SP tlog-proof) of an entry under the newest head, ``None`` before a head covers it."""
        head, index = await self._place(sequence) if sequence is not None else (None, 0)
        if head is None or index >= head.size:
            return None
        path = await head.tree.inclusion(await self._reader.connection(), index, head.size)
        return tlog_proof(index, path, head.note)

    async def _place(self, sequence: int) -> tuple[Head | None, int]:
        if self._shards is None:
            self._shards = await self._reader.shards()
        holders = [shard for shard in self._shards if shard.first_sequence <= sequence]
        if not holders:
            return None, 0
        number = holders[-1].number
        if number not in self._heads:
            self._heads[number] = await self._reader.head(number)
        return self._heads[number], sequence - holders[-1].first_sequence


def within(tile: Tile, size: int) -> bool:
    """Whether a tile belongs to a tree of ``size``: nothing beyond the signed head is shown."""
    level = max(tile.level, 0)
    return tile.number * (1 << HEIGHT) + tile.width <= size >> (HEIGHT * level)


def tlog_proof(index: int, path: Sequence[bytes], note: str) -> str:
    """A proof that can be verified offline (C2SP tlog-proof)."""
    lines = ["c2sp.org/tlog-proof@v1", f"index {index}", *(base64.b64encode(found).decode() for found in path)]
    return "\n".join(lines) + "\n\n" + note
