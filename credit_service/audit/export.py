"""Write a log as static files for any web server, in the layout of C2SP tlog-tiles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from credit_service.audit.notes import Checkpoint, NoteError, parse_note
from credit_service.audit.shards import Shard
from credit_service.audit.signing import write_durably
from credit_service.audit.tiles import Tile, bundles_of, path_of, tiles_of
from credit_service.audit.tree import Tree

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection


async def export(connection: AnyConnection, shard: Shard, note: str, folder: Path, *, entries: bool) -> int:
    """Write the tiles of a signed head, then the head; gives how many files.

    A later export into the same folder adds what is new. ``entries`` are for those who may read the audit trail: they
    name what happened to which entity, so a public folder has none.
    """
    size, tree = Checkpoint.parse(parse_note(note).text).size, Tree(shard)
    head = folder / "checkpoint"
    start = _size_there(head) if _has_entries(folder) or not entries else 0
    written = 0
    for tile in tiles_of(size, start=start):
        _write(folder / path_of(tile), await tree.tile(connection, tile))
        written += 1
    if entries:
        async for tile, bundle in _bundles(connection, tree, size, start):
            _write(folder / path_of(tile), bundle)
            written += 1
    _publish(head, note)
    return written + 1


def _publish(head: Path, note: str) -> None:
    """Last, so that a reader never meets a head whose tiles are not there."""
    head.parent.mkdir(parents=True, exist_ok=True)
    write_durably(head, note.encode(), 0o644)


async def _bundles(connection: AnyConnection, tree: Tree, size: int, start: int) -> AsyncIterator[tuple[Tile, bytes]]:
    for tile in bundles_of(size, start=start):
        yield tile, await tree.bundle(connection, tile)


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)


def _size_there(head: Path) -> int:
    try:
        return Checkpoint.parse(parse_note(head.read_text(encoding="utf-8")).text).size
    except (FileNotFoundError, NoteError):
        return 0


def _has_entries(folder: Path) -> bool:
    return (folder / "tile" / "entries").is_dir()
