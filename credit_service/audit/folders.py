"""Verify a folder of logs: each of them, that nothing else lies in it, and that each goes on from the one before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from credit_service.audit.notes import Checkpoint, NoteError, parse_note
from credit_service.audit.shards import OPENED, REOPENED
from credit_service.audit.tiles import (
    ENTRIES,
    HASH,
    HEIGHT,
    WIDTH,
    Tile,
    bundles_of,
    pack,
    path_of,
    tile_of,
    tiles_of,
    unpack,
)
from credit_service.audit.verification import Read, Report, Trust, folder_reader, logs_in, verify_log


@dataclass(frozen=True, slots=True)
class _Log:
    read: Read
    head: Checkpoint | None
    report: Report


def verify_folder(place: Path, trust: Trust) -> list[Report]:
    """Verify everything there is in a folder: one log, or a registry's logs, one a year.

    A log by itself is verified as that; among others each must go on from the one before, so that none is left out.
    """
    found = logs_in(place)
    logs = [_verified(folder, trust) for folder in found]
    seen = trust.seen
    if seen is not None and seen.origin not in {log.report.origin for log in logs}:
        logs[-1].report.found("log-missing", f"{seen.origin}, which was seen")
    if found != [place]:
        _follow(logs)
    return [log.report for log in logs]


def _verified(folder: Path, trust: Trust) -> _Log:
    read = folder_reader(folder)
    report = verify_log(read, trust)
    if report.hashes:
        _beside(folder, read, report)
    try:
        head = Checkpoint.parse(parse_note((read("checkpoint") or b"").decode()).text) if report.hashes else None
    except (NoteError, UnicodeDecodeError):
        head = None
    return _Log(read, head, report)


def _beside(folder: Path, read: Read, report: Report) -> None:
    """Files that were not looked at: the partial tiles of older heads must be beginnings of what was, others are found.

    Whoever is handed the folder takes them for the log's.
    """
    covered = {path_of(tile) for tiles in (tiles_of, bundles_of) for tile in tiles(report.size)}
    strange = sorted(path for path in _files(folder) if path not in covered and not _outgrown(path, read, report.size))
    if strange:
        report.found("files-unsigned", f"{strange[0]}" + (f" and {len(strange) - 1} more" if strange[1:] else ""))


def _files(folder: Path) -> Iterator[str]:
    for parent, _, names in os.walk(folder / "tile"):
        for name in names:
            yield (Path(parent) / name).relative_to(folder).as_posix()


def _outgrown(path: str, read: Read, size: int) -> bool:
    """Whether a file is a partial tile of an older head, and begins as the one that took its place."""
    tile = tile_of(path)
    if tile is None or tile.width == WIDTH:
        return False
    width = min(WIDTH, (size >> HEIGHT * max(tile.level, 0)) - tile.number * WIDTH)
    if width < tile.width:
        return False
    whole, part = read(path_of(tile._replace(width=width))), read(path)
    if whole is None or part is None:
        return False
    return part == (_first_entries(whole, tile) if tile.level == ENTRIES else whole[: HASH * tile.width])


def _first_entries(bundle: bytes, tile: Tile) -> bytes | None:
    try:
        return pack(unpack(bundle)[: tile.width])
    except ValueError:
        return None


def _follow(logs: list[_Log]) -> None:
    """Each log's first entry commits to the last head of the one before. A copy without entries cannot show it."""
    before: _Log | None = None
    for log in sorted(logs, key=lambda each: _number(each.report.origin)):
        if before is not None and before.report.origin == log.report.origin:
            log.report.found("history-rewritten", f"{log.report.origin} is here twice")
        elif log.report.entries:
            _follows(log, before)
        before = log


def _number(origin: str) -> int:
    last = origin.rpartition("/")[2]
    return int(last) if last.isdecimal() else 0


def _follows(log: _Log, before: _Log | None) -> None:
    opening = _opening(log.read, log.report.size)
    reopened = opening.get("action") == REOPENED
    said = opening.get("after" if reopened else "before") if reopened or opening.get("action") == OPENED else None
    there = before.head.digest().hex() if before is not None and before.head else None
    if said == there or (reopened and said is None):  # of a log that was lost whole nothing is left
        return
    origin = log.report.origin
    if said is None:
        log.report.found("history-rewritten", f"{origin} does not go on from the log before it")
    elif before is not None and _number(before.report.origin) + 1 == _number(origin):
        before.report.found("log-rolled-back", f"{origin} goes on from a later head of {before.report.origin}")
    else:
        log.report.found("log-missing", f"the log that {origin} goes on from")


def _opening(read: Read, size: int) -> dict[str, Any]:
    """What the first entry says. Its bytes were verified, or the report tells otherwise."""
    bundle = read(path_of(Tile(ENTRIES, 0, min(WIDTH, size)))) or read(path_of(Tile(ENTRIES, 0))) or b""
    try:
        said = orjson.loads(unpack(bundle)[0])
    except (ValueError, IndexError):
        return {}
    return said if isinstance(said, dict) else {}
