"""Tampering is found by name, by two verifiers that share no code, trusting nothing but the public key."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest

from credit_service.audit import checkpoints, export, notes, tiles
from credit_service.audit.merkle import leaf_hash
from credit_service.audit.shards import LogCorruptError, open_shard
from credit_service.audit.signing import LogKeys
from credit_service.audit.verification import FAULTS, Report, Trust, folder_reader, logs_in, verify_log
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from tests.audit.support import ORIGIN, Ledger, ledger
from tests.support import ROOT

Owner: TypeAlias = "asyncpg.Connection[Any]"
SIZE = 700
BUNDLE = "tile/entries/001"
INDEPENDENT = ROOT / "examples" / "verify_log.py"


@pytest.fixture
async def book(database: Database, clock: FixedClock, tmp_path: Path) -> AsyncIterator[Ledger]:
    async with ledger(database, clock, tmp_path) as found:
        yield found


@pytest.fixture
async def folder(book: Ledger, tmp_path: Path) -> Path:
    """A signed log of 700 entries as static files, and beside it the head it had at 300."""
    await book.add(299)
    await book.sequence()
    await book.checkpoint()
    await exported(book, tmp_path / "at-300")
    await book.add(400, start=299)
    await book.sequence()
    await book.checkpoint()
    return await exported(book, tmp_path / "log")


async def exported(book: Ledger, target: Path, *, entries: bool = True) -> Path:
    shard = await open_shard(book.connection)
    assert shard is not None
    head = await checkpoints.latest(book.connection, shard)
    assert head is not None
    await export.export(book.connection, shard, head[1], target, entries=entries)
    return target


def verified(folder: Path, book: Ledger, **trust: Any) -> Report:
    return verify_log(folder_reader(folder), Trust(book.keys.verifiers(ORIGIN), **trust))


def independent(folder: Path, book: Ledger, *options: str) -> subprocess.CompletedProcess[str]:
    keys = [part for key in book.keys.verifiers(ORIGIN) for part in ("--key", str(key))]
    command = [sys.executable, "-I", str(INDEPENDENT), str(folder), *keys, *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def names(report: Report) -> set[str]:
    return {finding.fault for finding in report.findings}


def rewrite(folder: Path, path: str, change: Callable[[bytes], bytes]) -> None:
    (folder / path).write_bytes(change((folder / path).read_bytes()))


def flip(place: int) -> Callable[[bytes], bytes]:
    return lambda content: content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def in_entries(change: Callable[[list[bytes]], list[bytes]]) -> Callable[[bytes], bytes]:
    return lambda bundle: tiles.pack(change(tiles.unpack(bundle)))


def forge_head(folder: Path) -> None:
    """Whoever has no key signs with another under the log's name."""
    text = notes.parse_note((folder / "checkpoint").read_text()).text.replace(f"\n{SIZE}\n", "\n699\n")
    forger = LogKeys(folder / "forger").rotate(ORIGIN)
    (folder / "checkpoint").write_text(str(notes.Note(text, (forger.sign(text),))))


def claim_signature(folder: Path) -> None:
    """A head's text is changed under the true signature."""
    rewrite(folder, "checkpoint", lambda text: text.replace(b"\n700\n", b"\n699\n"))


def cut_tail(folder: Path) -> None:
    for path in ("tile/0/002.p/188", "tile/entries/002.p/188"):
        (folder / path).unlink()


def shorten_tail(folder: Path) -> None:
    rewrite(folder, "tile/0/002.p/188", lambda tile: tile[:-32])


def cut_front(folder: Path) -> None:
    for path in ("tile/0/000", "tile/entries/000"):
        (folder / path).unlink()


def rehash(folder: Path) -> None:
    """An entry and its hash are changed together: only the signed root is against it."""
    bundle = tiles.unpack((folder / BUNDLE).read_bytes())
    bundle[5] = bundle[5].replace(b"record.stored", b"record.annuld")
    (folder / BUNDLE).write_bytes(tiles.pack(bundle))
    rewrite(folder, "tile/0/001", lambda tile: tile[:160] + leaf_hash(bundle[5]) + tile[192:])


def everything(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


TAMPERING: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "row changed": (lambda f: rewrite(f, BUNDLE, flip(30)), {"entry-altered"}),
    "row deleted": (lambda f: rewrite(f, BUNDLE, in_entries(lambda e: e[:9] + e[10:])), {"entry-missing"}),
    "first row deleted": (lambda f: rewrite(f, "tile/entries/000", in_entries(lambda e: e[1:])), {"entry-missing"}),
    "rows re-ordered": (
        lambda f: rewrite(f, BUNDLE, in_entries(lambda e: [e[1], e[0], *e[2:]])),
        {"entries-reordered"},
    ),
    "row emptied": (lambda f: rewrite(f, BUNDLE, in_entries(lambda e: [b"", *e[1:]])), {"entry-altered"}),
    "tail cut": (cut_tail, {"tail-truncated"}),
    "tail shortened": (shorten_tail, {"tail-truncated"}),
    "front cut": (cut_front, {"tile-missing"}),
    "hash changed": (lambda f: rewrite(f, "tile/0/001", flip(77)), {"entry-altered", "root-differs", "tile-altered"}),
    "row and hash changed": (rehash, {"root-differs", "tile-altered"}),
    "upper tile changed": (lambda f: rewrite(f, "tile/1/000.p/2", flip(3)), {"tile-altered"}),
    "whole log deleted": (everything, {"log-missing"}),
    "head deleted": (lambda f: (f / "checkpoint").unlink(), {"checkpoint-missing"}),
    "head forged": (forge_head, {"checkpoint-forged"}),
    "head's text changed": (claim_signature, {"checkpoint-forged"}),
    "entries left out": (lambda f: shutil.rmtree(f / "tile" / "entries"), {"entries-missing"}),
}
UPPER_TILES_ONLY = {"upper tile changed"}  # the independent verifier needs none and reads none


async def test_a_log_that_holds_says_how_much_was_checked(folder: Path, book: Ledger) -> None:
    report = verified(folder, book)
    assert (report.holds, report.size, report.hashes, report.entries) == (True, SIZE, SIZE, SIZE)
    other = independent(folder, book)
    assert (other.returncode, other.stdout) == (0, f"{ORIGIN}: {SIZE} hashes and {SIZE} entries checked\n")
    public = await exported(book, folder.parent / "public", entries=False)
    assert verified(public, book, hashes_only=True).holds
    assert names(verified(public, book)) == {"entries-missing"}
    assert independent(public, book, "--hashes-only").returncode == 0
    assert independent(public, book).returncode == 1


async def test_every_tampering_is_found_by_name_and_by_both_verifiers(folder: Path, book: Ledger) -> None:
    for name, (tamper, expected) in TAMPERING.items():
        copy = folder.parent / "tampered"
        shutil.copytree(folder, copy)
        tamper(copy)
        report = verified(copy, book)
        assert names(report) == expected, name
        assert not report.holds, name
        other = independent(copy, book)
        assert other.returncode == (0 if name in UPPER_TILES_ONLY else 1), (name, other.stdout)
        shutil.rmtree(copy)
    assert {fault for _, faults in TAMPERING.values() for fault in faults} <= FAULTS.keys()


async def test_a_head_seen_before_anchors_the_tail(folder: Path, book: Ledger, tmp_path: Path) -> None:
    """A log rolled back to an older signed head holds in itself: only one who saw more can tell."""
    old = tmp_path / "at-300"
    assert verified(old, book).holds
    newer = (folder / "checkpoint").read_text()
    seen = notes.Checkpoint.parse(notes.parse_note(newer).text)
    assert names(verified(old, book, seen=seen)) == {"log-rolled-back"}
    (tmp_path / "newer").write_text(newer)
    assert independent(old, book, "--since", str(tmp_path / "newer")).returncode == 1
    earlier = notes.Checkpoint.parse(notes.parse_note((old / "checkpoint").read_text()).text)
    assert verified(folder, book, seen=earlier).holds
    assert independent(folder, book, "--since", str(old / "checkpoint")).returncode == 0
    forked = notes.Checkpoint(ORIGIN, earlier.size, seen.root)
    assert names(verified(folder, book, seen=forked)) == {"history-rewritten"}


async def test_an_empty_log_and_no_key_prove_nothing(folder: Path, book: Ledger, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert logs_in(empty) == [empty]
    assert logs_in(tmp_path) == [tmp_path / "at-300", folder], "each once"
    assert names(verified(empty, book)) == {"log-missing"}
    head = notes.Checkpoint(
        ORIGIN, 0, bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    )
    signer = book.keys.signers(ORIGIN)[0]
    (empty / "checkpoint").write_text(str(notes.Note(head.text(), (signer.sign(head.text()),))))
    assert names(verified(empty, book)) == {"log-empty"}
    assert independent(empty, book).returncode == 1
    assert names(verify_log(folder_reader(folder), Trust([]))) == {"checkpoint-forged"}


STORED_TAMPERING = {
    "entry-altered": "UPDATE audit_event SET canonical = canonical || ' '::bytea WHERE subject_id = '123'",
    "entry-missing": "DELETE FROM audit_event WHERE subject_id = '4'",
    "entries-reordered": """UPDATE log_entry l SET uscc = o.uscc, id = o.id, leaf_hash = o.leaf_hash FROM log_entry o
        WHERE (l.sequence, o.sequence) IN ((100, 101), (101, 100))""",
    "tile-altered": "UPDATE log_tile SET hashes = set_byte(hashes, 5, get_byte(hashes, 5) # 1) WHERE number = 0",
    "tile-missing": "DELETE FROM log_tile",
    "log-rolled-back": "DELETE FROM log_entry WHERE sequence > 650",
    "checkpoint-forged": "UPDATE log_checkpoint SET note = replace(note, E'\\n300\\n', E'\\n299\\n')",
}


@pytest.mark.parametrize("fault", STORED_TAMPERING)
async def test_tampering_with_the_database_is_found_by_name(
    folder: Path, book: Ledger, owner: Owner, fault: str
) -> None:
    assert await checkpoints.verify_stored(book.connection, book.keys) == [(ORIGIN, SIZE, 2)]
    if fault == "entries-reordered":
        await owner.execute("ALTER TABLE log_entry DROP CONSTRAINT log_entry_event")
    try:
        await owner.execute(STORED_TAMPERING[fault])
        with pytest.raises(LogCorruptError) as found:
            await checkpoints.verify_stored(book.connection, book.keys)
        assert found.value.fault == fault
    finally:
        if fault == "entries-reordered":
            await owner.execute("ALTER TABLE log_entry ADD CONSTRAINT log_entry_event UNIQUE (uscc, id)")


async def test_a_later_export_adds_what_is_new(folder: Path, book: Ledger, tmp_path: Path) -> None:
    grown = await exported(book, tmp_path / "at-300")
    assert verified(grown, book).entries == SIZE
    kept = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    there = {path.relative_to(grown) for path in grown.rglob("*") if path.is_file()}
    assert kept <= there
    assert all((folder / path).read_bytes() == (grown / path).read_bytes() for path in kept)
    assert (grown / "checkpoint").stat().st_mode & 0o777 == 0o644 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


async def test_the_demonstration_finds_every_tampering_and_says_when_it_does_not(
    folder: Path, book: Ledger, tmp_path: Path
) -> None:
    keys = [part for key in book.keys.verifiers(ORIGIN) for part in ("--key", str(key))]
    command = [sys.executable, str(ROOT / "examples" / "tampering.py")]

    def demonstrated(log: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*command, str(log), *keys], cwd=ROOT, capture_output=True, text=True, check=False)

    told = demonstrated(folder)
    assert told.returncode == 0, told.stdout + told.stderr
    rows = [line.split(" | ") for line in told.stdout.splitlines() if " | yes | " in line]
    assert len(rows) == 11
    assert {row[2].removesuffix(" |").split(", ")[-1] for row in rows} <= FAULTS.keys()
    assert f"{SIZE} hashes and {SIZE} entries checked" in told.stdout
    (folder / BUNDLE).unlink()
    assert demonstrated(folder).returncode == 1, "a log that does not hold shows nothing"
    assert demonstrated(tmp_path / "none").returncode == 1


def test_the_independent_verifier_is_short_and_ours_in_nothing() -> None:
    source = INDEPENDENT.read_text(encoding="utf-8")
    assert "credit_service" not in source
    assert len(source.splitlines()) < 150
