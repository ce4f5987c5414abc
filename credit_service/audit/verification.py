"""Verify a log offline, trusting nothing but public keys: a folder in the tlog-tiles layout, wherever it came from.

Whatever is wrong has a name (``FAULTS``). A verification says how much it looked at, and looking at nothing is a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from credit_service.audit.merkle import Frontier, leaf_hashes, perfect_root
from credit_service.audit.notes import Checkpoint, Note, NoteError, Verifier, open_checkpoint, signed_by
from credit_service.audit.sm2 import Sm2Verifier
from credit_service.audit.tiles import ENTRIES, HASH, HEIGHT, WIDTH, Tile, bundles_of, path_of, split, tiles_of, unpack

FAULTS = {
    "log-missing": "没有日志 There is no log here: no checkpoint and no tile",
    "checkpoint-missing": "没有检查点 Tiles without a checkpoint prove nothing",
    "checkpoint-forged": "检查点伪造 No trusted key has signed this checkpoint",
    "log-empty": "空日志 A log of no entries: nothing was checked",
    "entries-missing": "没有条目 No entry was checked, only hashes",
    "entry-missing": "条目缺失 An entry is gone",
    "entry-added": "条目多出 There are more entries than were signed",
    "entry-altered": "条目被改 An entry is not the one whose hash is in the tree",
    "entries-reordered": "条目换序 Entries stand in another order",
    "tile-missing": "数据块缺失 Hashes of the tree are gone",
    "tile-altered": "数据块被改 Hashes of the tree do not follow from those below",
    "files-unsigned": "文件无签名 Files lie in the log that its signed head does not cover",
    "tail-truncated": "尾部截断 The log ends before the size that was signed",
    "root-differs": "树根不符 The tree is not the one that was signed",
    "log-rolled-back": "日志回退 The log is shorter than one seen before",
    "history-rewritten": "历史被改 The log does not extend one seen before",
    "proof-invalid": "证明无效 The proof does not lead from the entry to the signed head",
    "answer-altered": "答复被改 The answer is not what the log holds",
    "answer-unproved": "答复无证明 The answer says what no proof covers",
    "key-revoked": "密钥已吊销 Its key is revoked since before its date: it may be a thief's",
    "key-not-in-use": "密钥不在使用期 Its key did not sign at its date",
    "report-forged": "报告伪造 This is not what was signed, or none of these keys has signed it",
    "report-empty": "空报告 The signed report says nothing: nothing was checked",
    "draw-differs": "抽取不符 The draw does not follow from what was committed to",
    "sm2-missing": "无SM2签名 The SM2 key asked for has not signed this checkpoint",
    "sm2-forged": "SM2签名伪造 What claims to be the SM2 key's signature is not",
    "not-witnessed": "见证不足 Fewer witnesses than asked for have signed",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault, where it is, and what is there."""

    fault: str
    place: str


@dataclass(slots=True)
class Report:
    """What a verification looked at and found."""

    origin: str = ""
    size: int = 0
    hashes: int = 0
    entries: int = 0
    signers: list[str] = field(default_factory=list)
    witnesses: list[str] = field(default_factory=list)
    unproved: set[str] = field(default_factory=set)
    """Members of an answer that follow from the catalogue or the clock: shown, and for no proof to cover."""
    findings: list[Finding] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.findings and self.hashes > 0

    def found(self, fault: str, place: str) -> None:
        self.findings.append(Finding(fault, place))


@dataclass(frozen=True, slots=True)
class Trust:
    """What a verifier knows beforehand: the log's keys, witnesses and how many must have signed, a head seen before."""

    keys: Sequence[Verifier]
    witnesses: Sequence[Verifier] = ()
    quorum: int = 0
    seen: Checkpoint | None = None
    hashes_only: bool = False
    sm2: Sm2Verifier | None = None

    def witnesses_of(self, note: Note) -> list[str]:
        """Who else has signed: each key counts once, however often it is named, and the log's own never do."""
        own = {key.public for key in self.keys}
        found = {key.public: key.name for key in signed_by(note, self.witnesses) if key.public not in own}
        return list(found.values())


Read = Callable[[str], bytes | None]
"""The bytes of a file of the log, ``None`` when there is none."""


def folder_reader(folder: Path) -> Read:
    def read(path: str) -> bytes | None:
        try:
            return (folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None

    return read


def logs_in(folder: Path) -> list[Path]:
    """A folder that is a log, and those in it that are; a folder with neither is a log that is missing."""
    names = ("checkpoint", "tile")
    own = [folder] if any((folder / name).exists() for name in names) else []
    return own + sorted({each.parent for name in names for each in folder.glob(f"*/{name}")}) or [folder]


def verify_log(read: Read, trust: Trust) -> Report:
    """Verify everything there is of one log."""
    report = Report()
    checkpoint = _checkpoint(read, trust, report)
    if checkpoint is None:
        return report
    report.origin, report.size = checkpoint.origin, checkpoint.size
    if checkpoint.size == 0:
        report.found("log-empty", checkpoint.origin)
        return report
    leaves = _leaves(read, checkpoint.size, report)
    if leaves is None:
        return report
    _entries(read, leaves, trust, report)
    _tree(read, leaves, checkpoint, trust, report)
    return report


def _checkpoint(read: Read, trust: Trust, report: Report) -> Checkpoint | None:
    text = read("checkpoint")
    if text is None:
        there = read(path_of(Tile(0, 0))) or read(path_of(Tile(0, 0, 1)))
        report.found("checkpoint-missing" if there else "log-missing", "checkpoint")
        return None
    try:
        checkpoint, note = open_checkpoint(text.decode(), trust.keys)
        report.witnesses = trust.witnesses_of(note)
        report.signers = [key.name for key in signed_by(note, trust.keys)]
    except (NoteError, UnicodeDecodeError) as error:
        report.found("checkpoint-forged", str(error))
        return None
    fault = trust.sm2.fault(note) if trust.sm2 else None
    if fault is not None:
        report.found(fault, checkpoint.origin)
    if len(report.witnesses) < trust.quorum:
        report.found("not-witnessed", f"{len(report.witnesses)} of {trust.quorum}")
    return checkpoint


def _read_tile(read: Read, tile: Tile) -> bytes | None:
    """A tile as it is; where the tree has outgrown a partial one, the beginning of the full one does as well."""
    found = read(path_of(tile))
    if found is None and tile.width < WIDTH:
        found = read(path_of(tile._replace(width=WIDTH)))
        return found[: HASH * tile.width] if found is not None else None
    return found


def _leaves(read: Read, size: int, report: Report) -> list[bytes] | None:
    """The tiles of the lowest level. Nothing more can be said when one is missing."""
    tiles = []
    for tile in tiles_of(size):
        if tile.level:
            break
        found = _read_tile(read, tile)
        if found is not None and len(found) > HASH * tile.width:
            report.found("tile-altered", path_of(tile))
            return None
        if found is None or len(found) < HASH * tile.width:
            after = any(read(path_of(later)) for later in _later(tile, size))
            report.found("tile-missing" if after else "tail-truncated", path_of(tile))
            return None
        tiles.append(found)
        report.hashes += tile.width
    return tiles


def _later(tile: Tile, size: int) -> Iterator[Tile]:
    return (other for other in tiles_of(size) if other.level == tile.level and other.number > tile.number)


def _entries(read: Read, leaves: list[bytes], trust: Trust, report: Report) -> None:
    for number, hashes in enumerate(leaves):
        tile = Tile(ENTRIES, number, len(hashes) // HASH)
        bundle, most = read(path_of(tile)), None
        if bundle is None and tile.width < WIDTH:
            bundle, most = read(path_of(tile._replace(width=WIDTH))), tile.width
        if bundle is None:
            some = report.entries or any(read(path_of(each)) is not None for each in bundles_of(report.size))
            if some or not trust.hashes_only:
                report.found("entry-missing" if some else "entries-missing", path_of(tile))
            return
        _compare(bundle, most, split(hashes), tile, report)


def _compare(bundle: bytes, most: int | None, hashes: list[bytes], tile: Tile, report: Report) -> None:
    start = tile.number * WIDTH
    try:
        computed = leaf_hashes(unpack(bundle)[:most])
    except ValueError:
        report.found("entry-altered", f"{path_of(tile)}: cut off")
        return
    report.entries += min(len(computed), len(hashes))
    if computed == hashes:
        return
    if len(computed) > len(hashes):
        report.found("entry-added", f"{path_of(tile)}: {len(computed)} entries, {len(hashes)} were signed")
    elif len(computed) < len(hashes):
        kept = set(computed)
        lost = next((place for place, leaf in enumerate(hashes) if leaf not in kept), len(computed))
        report.found("entry-missing", f"entry {start + lost}")
    elif sorted(computed) == sorted(hashes):
        report.found("entries-reordered", path_of(tile))
    else:
        first = next(place for place, leaf in enumerate(hashes) if leaf != computed[place])
        report.found("entry-altered", f"entry {start + first}")


def _tree(read: Read, leaves: list[bytes], checkpoint: Checkpoint, trust: Trust, report: Report) -> None:
    seen, growing = trust.seen, Frontier()
    if seen is not None and seen.origin != checkpoint.origin:
        seen = None
    if seen is not None and seen.size > checkpoint.size:
        report.found("log-rolled-back", f"{checkpoint.size} entries, {seen.size} were seen")
        seen = None
    roots = []
    for tile in leaves:
        if seen is not None and growing.size <= seen.size < growing.size + WIDTH:
            _compare_seen(seen, growing, tile, report)
        if len(tile) == HASH * WIDTH:
            roots.append(perfect_root(split(tile)))
            growing.append(roots[-1], HEIGHT)
        else:
            for leaf in split(tile):
                growing.append(leaf)
    if seen is not None and seen.size == growing.size and seen.root != growing.root():
        report.found("history-rewritten", f"at {seen.size} entries")
    if growing.root() != checkpoint.root:
        report.found("root-differs", f"at {checkpoint.size} entries")
    _upper(read, roots, report)


def _compare_seen(seen: Checkpoint, growing: Frontier, tile: bytes, report: Report) -> None:
    older = growing.copy()
    for leaf in split(tile)[: seen.size - growing.size]:
        older.append(leaf)
    if older.root() != seen.root:
        report.found("history-rewritten", f"at {seen.size} entries")


def _upper(read: Read, hashes: list[bytes], report: Report) -> None:
    """The tiles of the upper levels, which readers of proofs rely on, must follow from the lowest."""
    level = 1
    while hashes:
        above = []
        for place in range(0, len(hashes), WIDTH):
            part = hashes[place : place + WIDTH]
            tile = Tile(level, place // WIDTH, len(part))
            found = _read_tile(read, tile)
            if found != b"".join(part):
                report.found("tile-missing" if found is None else "tile-altered", path_of(tile))
            if len(part) == WIDTH:
                above.append(perfect_root(part))
        hashes, level = above, level + 1
