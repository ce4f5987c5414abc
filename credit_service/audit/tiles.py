"""The layout of C2SP tlog-tiles: where the hashes and entries of a tree lie as static files. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from credit_service.audit.merkle import Node

HEIGHT = 8
WIDTH = 1 << HEIGHT
HASH = 32
ENTRIES = -1
"""The level under which entry bundles are named here."""

_PATH = re.compile(r"tile/(entries|0|[1-9][0-9]?)/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


class Tile(NamedTuple):
    """``width`` hashes of a level (of the bundle's entries, for level ``ENTRIES``), the ``number``-th 256 of them."""

    level: int
    number: int
    width: int = WIDTH


def path_of(tile: Tile) -> str:
    """``tile/0/x001/x234/067`` or ``tile/entries/000.p/12``."""
    number = f"{tile.number:03d}"
    number = number.zfill(-(-len(number) // 3) * 3)
    parts = [number[place : place + 3] for place in range(0, len(number), 3)]
    name = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
    level = "entries" if tile.level == ENTRIES else str(tile.level)
    return f"tile/{level}/{name}" + (f".p/{tile.width}" if tile.width < WIDTH else "")


def tile_of(path: str) -> Tile | None:
    """The tile that a path names, ``None`` when it names none: each tile has one path."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    level, name, width = found.groups()
    tile = Tile(
        ENTRIES if level == "entries" else int(level),
        int(name.replace("x", "").replace("/", "")),
        int(width) if width else WIDTH,
    )
    return tile if path_of(tile) == path and tile.level < 64 else None


def tiles_of(size: int, *, start: int = 0) -> Iterator[Tile]:
    """Every tile of a tree of ``size``, the lower levels first; with ``start`` those a tree of that size lacks."""
    level, count, before = 0, size, start
    while count:
        for number in range(before // WIDTH, count // WIDTH):
            yield Tile(level, number)
        if count % WIDTH and count != before:
            yield Tile(level, count // WIDTH, count % WIDTH)
        level, count, before = level + 1, count // WIDTH, before // WIDTH


def bundles_of(size: int, *, start: int = 0) -> Iterator[Tile]:
    """Every entry bundle of a tree of ``size``; with ``start`` those a tree of that size lacks."""
    for tile in tiles_of(size, start=start):
        if tile.level:
            return
        yield tile._replace(level=ENTRIES)


def place_of(node: Node) -> tuple[int, int, int, int]:
    """Where the hashes below a perfect subtree lie: tile level, tile number, first hash and how many."""
    level, index = node
    tile_level, within = divmod(level, HEIGHT)
    first = index << within
    return tile_level, first // WIDTH, first % WIDTH, 1 << within


def split(hashes: bytes) -> list[bytes]:
    """The single hashes of a tile."""
    return [hashes[place : place + HASH] for place in range(0, len(hashes), HASH)]


def pack(entries: Iterable[bytes]) -> bytes:
    """An entry bundle: each entry after its length in 16 bits, big-endian."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unpack(bundle: bytes) -> list[bytes]:
    """The entries of a bundle. Raises ``ValueError`` when it does not end with an entry."""
    entries, place = [], 0
    while place < len(bundle):
        length = int.from_bytes(bundle[place : place + 2], "big")
        entry = bundle[place + 2 : place + 2 + length]
        if place + 2 > len(bundle) or len(entry) != length:
            raise ValueError("a bundle cut off")
        entries.append(entry)
        place += 2 + length
    return entries
