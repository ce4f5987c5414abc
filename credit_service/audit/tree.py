"""A log's tree as it is stored: nodes, roots, proofs, tiles and bundles.

Full tiles are rows; a tile that is not yet full is put together from the hashes below it. So nothing that is stored
ever has to be changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from credit_service.audit.merkle import (
    Frontier,
    Node,
    Range,
    consistency_ranges,
    inclusion_ranges,
    perfect_nodes,
    perfect_root,
    range_hash,
)
from credit_service.audit.shards import LogCorruptError, Shard
from credit_service.audit.tiles import ENTRIES, WIDTH, Tile, pack, place_of, split

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

KEPT_TILES = 2048
"""Full tiles remembered by a tree: 16 MiB."""
KEPT_NODES = 200_000
"""Nodes above the lowest tiles and at the right edge that are remembered, so that a proof reads one tile: 40 MiB."""

_LEAVES = "SELECT leaf_hash FROM log_entry WHERE sequence >= $1 AND sequence < $2 ORDER BY sequence"
_TILE = "SELECT hashes FROM log_tile WHERE shard = $1 AND level = $2 AND number = $3"
_TILES = """
SELECT t.level, t.number, t.hashes FROM log_tile t
JOIN unnest($2::smallint[], $3::bigint[]) AS wanted (level, number) USING (level, number)
WHERE t.shard = $1
"""
_ROOTS = "SELECT root FROM log_tile WHERE shard = $1 AND level = $2 AND number >= $3 AND number < $4 ORDER BY number"
_ENTRIES = """
SELECT e.canonical FROM log_entry l JOIN audit_event e ON e.uscc = l.uscc AND e.id = l.id
WHERE l.sequence >= $1 AND l.sequence < $2 ORDER BY l.sequence
"""


class Tree:
    """The tree of one log, read through whatever connection is at hand."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self._full: dict[tuple[int, int], bytes] = {}
        self._nodes: dict[Node, bytes] = {}  # a perfect subtree never changes

    async def root(self, connection: AnyConnection, size: int) -> bytes:
        """The root of the first ``size`` entries."""
        nodes = await self.nodes(connection, perfect_nodes((0, size)))
        return range_hash((0, size), nodes.__getitem__)

    async def frontier(self, connection: AnyConnection, size: int) -> Frontier:
        """The right edge of the first ``size`` entries."""
        edge = list(perfect_nodes((0, size)))
        nodes = await self.nodes(connection, edge)
        return Frontier(size, [nodes[node] for node in edge])

    async def inclusion(self, connection: AnyConnection, index: int, size: int) -> list[bytes]:
        """Proof that entry ``index`` is among the first ``size``. Raises ``ProofError``."""
        return await self._ranges(connection, inclusion_ranges(index, size))

    async def consistency(self, connection: AnyConnection, first: int, second: int) -> list[bytes]:
        """Proof that the first ``second`` entries begin with the first ``first``. Raises ``ProofError``."""
        return await self._ranges(connection, consistency_ranges(first, second))

    async def _ranges(self, connection: AnyConnection, ranges: list[Range]) -> list[bytes]:
        nodes = await self.nodes(connection, (node for part in ranges for node in perfect_nodes(part)))
        return [range_hash(part, nodes.__getitem__) for part in ranges]

    async def nodes(self, connection: AnyConnection, wanted: Iterable[Node]) -> dict[Node, bytes]:
        """The hashes of perfect subtrees. Raises ``LogCorruptError`` where what they rest on is missing."""
        asked = list(wanted)
        found = {node: self._nodes[node] for node in asked if node in self._nodes}
        places = {node: place_of(node) for node in asked if node not in found}
        needed: dict[tuple[int, int], int] = {}
        for level, number, first, count in places.values():
            needed[level, number] = max(needed.get((level, number), 0), first + count)
        tiles = await self._load(connection, needed)
        for node, (level, number, first, count) in places.items():
            hashes = tiles[level, number][32 * first : 32 * (first + count)]
            found[node] = hashes if count == 1 else perfect_root(split(hashes))
            if level or (level, number) not in self._full:
                self._nodes[node] = found[node]
        if len(self._nodes) > KEPT_NODES:
            self._nodes.clear()
        return found

    async def _load(
        self, connection: AnyConnection, needed: dict[tuple[int, int], int]
    ) -> dict[tuple[int, int], bytes]:
        tiles = {place: self._full[place] for place in needed if place in self._full}
        missing = [place for place in needed if place not in tiles]
        if missing:
            for place, hashes in await self._full_tiles(connection, missing):
                tiles[place] = self._full[place] = hashes
            while len(self._full) > KEPT_TILES:
                del self._full[next(iter(self._full))]
        for (level, number), width in needed.items():
            if (level, number) not in tiles:
                tiles[level, number] = await self._growing(connection, level, number, width)
        return tiles

    async def _full_tiles(
        self, connection: AnyConnection, places: list[tuple[int, int]]
    ) -> list[tuple[tuple[int, int], bytes]]:
        if len(places) == 1:  # most proofs need one, and for one there is a cheaper plan
            hashes = await connection.fetchval(_TILE, self.shard.number, *places[0])
            return [(places[0], hashes)] if hashes is not None else []
        rows = await connection.fetch(_TILES, self.shard.number, *zip(*places, strict=True))
        return [((row["level"], row["number"]), row["hashes"]) for row in rows]

    async def _growing(self, connection: AnyConnection, level: int, number: int, width: int) -> bytes:
        """The first ``width`` hashes of a tile that is not full yet."""
        start = number * WIDTH
        if level == 0:
            first = self.shard.first_sequence + start
            rows = await connection.fetch(_LEAVES, first, first + width)
        else:
            rows = await connection.fetch(_ROOTS, self.shard.number, level - 1, start, start + width)
        if len(rows) != width:
            raise LogCorruptError("tile-missing", f"level {level}, tile {number}: {len(rows)} of {width} hashes")
        return b"".join(row[0] for row in rows)

    async def tile(self, connection: AnyConnection, tile: Tile) -> bytes:
        """A tile, or the beginning of one. The caller knows that the tree has it."""
        found = await self._load(connection, {(tile.level, tile.number): tile.width})
        return found[tile.level, tile.number][: 32 * tile.width]

    async def entries(self, connection: AnyConnection, start: int, end: int) -> list[bytes]:
        """The entries from ``start`` to before ``end``."""
        first = self.shard.first_sequence
        rows = await connection.fetch(_ENTRIES, first + start, first + end)
        if len(rows) != end - start:
            raise LogCorruptError("entry-missing", f"{len(rows)} of the entries {start} to {end - 1}")
        return [row[0] for row in rows]

    async def bundle(self, connection: AnyConnection, tile: Tile) -> bytes:
        """An entry bundle, or the beginning of one."""
        assert tile.level == ENTRIES
        start = tile.number * WIDTH
        return pack(await self.entries(connection, start, start + tile.width))
