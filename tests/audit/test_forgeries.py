"""What else somebody could hand on as a registry's log: each is found by both verifiers, and none of them stumbles."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from credit_service import cli
from credit_service.audit import checkpoints, export, notes, tiles
from credit_service.audit.folders import verify_folder
from credit_service.audit.merkle import EMPTY_ROOT
from credit_service.audit.notes import COSIGNATURE, Checkpoint, Note, Signer
from credit_service.audit.shards import shards
from credit_service.audit.verification import FAULTS, Report, Trust, folder_reader, verify_log
from tests.audit.support import ORIGIN, Ledger
from tests.audit.test_verification import (
    BUNDLE,
    SIZE,
    book,
    exported,
    flip,
    folder,
    in_entries,
    independent,
    names,
    rewrite,
)

__all__ = ["book", "folder"]
TAIL, TAIL_BUNDLE = "tile/0/002.p/188", "tile/entries/002.p/188"
FORGED = b'{"action":"record.removed"}'


def put(folder: Path, path: str, content: bytes) -> None:
    (folder / path).parent.mkdir(exist_ok=True)
    (folder / path).write_bytes(content)


def in_head(change: Callable[[str], str]) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, "checkpoint", lambda text: change(text.decode()).encode())


def append(path: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: rewrite(folder, path, lambda there: there + content)


def drop_one_of_two_alike(folder: Path) -> None:
    """A hash stands twice, and one of the two entries is gone."""
    rewrite(folder, "tile/0/001", lambda tile: tile[:288] + tile[256:288] + tile[320:])
    rewrite(folder, BUNDLE, in_entries(lambda entries: entries[:9] + entries[10:]))


def other_root(text: str) -> str:
    origin, size, _, rest = text.split("\n", 3)
    return "\n".join((origin, size, base64.b64encode(EMPTY_ROOT).decode(), rest))


def folder_for(path: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / path).unlink()
        (folder / path).mkdir()

    return change


def older_partial_of_another_log(folder: Path) -> None:
    put(folder, "tile/entries/001.p/9", tiles.pack([FORGED] * 9))


def beyond_the_head(folder: Path) -> None:
    put(folder, "tile/0/003", bytes(32 * 256))
    put(folder, "tile/entries/003", tiles.pack([FORGED] * 256))


FORGERIES: dict[str, tuple[Callable[[Path], None], set[str]]] = {
    "an entry more than was signed": (append(BUNDLE, tiles.pack([FORGED])), {"entry-added"}),
    "an entry after the last": (append(TAIL_BUNDLE, tiles.pack([FORGED])), {"entry-added"}),
    "a byte after the last entry": (append(BUNDLE, b"\0"), {"entry-altered"}),
    "half an entry after the last": (append(BUNDLE, b"\x01\x00{"), {"entry-altered"}),
    "an entry twice": (
        lambda f: rewrite(f, BUNDLE, in_entries(lambda e: [*e[:9], e[8], *e[10:]])),
        {"entry-altered"},
    ),
    "an entry slipped in": (
        lambda f: rewrite(f, BUNDLE, in_entries(lambda e: [*e[:9], FORGED, *e[9:]])),
        {"entry-added"},
    ),
    "a hash more than was signed": (append("tile/0/001", bytes(32)), {"tile-altered"}),
    "a hash after the last": (append(TAIL, bytes(32)), {"tile-altered"}),
    "the last hashes of another log": (
        lambda f: rewrite(f, TAIL, lambda tile: bytes(len(tile))),
        {"entry-altered", "root-differs"},
    ),
    "one of two that are alike": (drop_one_of_two_alike, {"entry-missing", "root-differs", "tile-altered"}),
    "bundles left out here and there": (lambda f: (f / "tile/entries/000").unlink(), {"entry-missing"}),
    "tiles beyond the head": (beyond_the_head, {"files-unsigned"}),
    "an older partial bundle of another log": (older_partial_of_another_log, {"files-unsigned"}),
    "a file that is no tile": (lambda f: put(f, "tile/entries/more.json", FORGED), {"files-unsigned"}),
    "a folder for a bundle": (folder_for(BUNDLE), {"entry-missing"}),
    "a folder for the head": (folder_for("checkpoint"), {"checkpoint-missing"}),
    "a head of another origin": (in_head(lambda text: text.replace("2026\n", "2025\n", 1)), {"checkpoint-forged"}),
    "a signature over another root": (in_head(other_root), {"checkpoint-forged"}),
    "a head that says it is empty": (
        in_head(lambda text: text.replace(f"\n{SIZE}\n", "\n0\n")),
        {"checkpoint-forged"},
    ),
    "a line more in the head": (in_head(lambda text: text.replace("\n\n", "\nmore\n\n")), {"checkpoint-forged"}),
    "a head with other line ends": (in_head(lambda text: text.replace("\n", "\r\n")), {"checkpoint-forged"}),
    "a head that is no text": (lambda f: rewrite(f, "checkpoint", lambda _: b"\xff\xfe\n\n"), {"checkpoint-forged"}),
    "a head of nothing": (lambda f: rewrite(f, "checkpoint", lambda _: b""), {"checkpoint-forged"}),
}


def looked_at(folder: Path, book: Ledger, **trust: object) -> Report:
    (report,) = verify_folder(folder, Trust(book.keys.verifiers(ORIGIN), **trust))  # type: ignore[arg-type]
    return report


async def test_every_forgery_is_found_by_name_and_by_both_verifiers(folder: Path, book: Ledger) -> None:
    assert looked_at(folder, book).holds
    for name, (forge, expected) in FORGERIES.items():
        copy = folder.parent / "forged"
        shutil.copytree(folder, copy)
        forge(copy)
        report = looked_at(copy, book)
        assert (names(report), report.holds) == (expected, False), name
        other = independent(copy, book)
        assert other.returncode == 1, (name, other.stdout)
        assert other.stderr.startswith("DOES NOT HOLD: "), (name, other.stderr)
        shutil.rmtree(copy)
    assert {fault for _, faults in FORGERIES.values() for fault in faults} <= FAULTS.keys()


async def test_a_public_copy_has_no_entries_rather_than_some(folder: Path, book: Ledger) -> None:
    """Asked to make do with hashes, neither verifier passes over bundles that are there."""
    (folder / "tile/entries/000").unlink()
    rewrite(folder, BUNDLE, flip(30))
    assert names(looked_at(folder, book, hashes_only=True)) == {"entry-missing"}
    assert independent(folder, book, "--hashes-only").returncode == 1


async def test_what_an_older_export_left_must_begin_what_took_its_place(
    folder: Path, book: Ledger, tmp_path: Path
) -> None:
    grown = await exported(book, tmp_path / "at-300")
    left = {path.relative_to(grown).as_posix() for path in grown.rglob("*.p/*")}
    assert {"tile/0/001.p/44", "tile/entries/001.p/44"} < left
    assert looked_at(grown, book).holds
    assert independent(grown, book).returncode == 0
    for path in ("tile/0/001.p/44", "tile/entries/001.p/44", "tile/1/000.p/1"):
        rewrite(grown, path, flip(40 if "entries" in path else 3))
        assert names(looked_at(grown, book)) == {"files-unsigned"}, path
        assert independent(grown, book).returncode == ("/1/" not in path), path
        rewrite(grown, path, flip(40 if "entries" in path else 3))


async def test_a_head_seen_of_a_log_that_is_not_there(folder: Path, book: Ledger, tmp_path: Path) -> None:
    key = book.keys.signers(ORIGIN)[0].private
    other = Signer("test/v1/log/2025", notes.ED25519, key)
    text = Checkpoint(other.name, 9, EMPTY_ROOT).text()
    (tmp_path / "seen").write_text(str(Note(text, (other.sign(text),))))
    assert names(looked_at(folder, book, seen=Checkpoint.parse(text))) == {"log-missing"}
    options = ("--key", str(other.verifier), "--since", str(tmp_path / "seen"))
    assert independent(folder, book, *options).returncode == 1


async def test_each_witness_counts_once_and_the_log_is_none(folder: Path, book: Ledger) -> None:
    text = notes.parse_note((folder / "checkpoint").read_text()).text
    key = Ed25519PrivateKey.generate()
    witness, alias = (Signer(name, COSIGNATURE, key) for name in ("w.example/one", "w.example/two"))
    log = book.keys.signers(ORIGIN)[0]
    own = Signer("w.example/own", COSIGNATURE, log.private)
    lines = "".join(signer.sign(text, time=1).line() for signer in (witness, alias, own))
    rewrite(folder, "checkpoint", lambda head: head + lines.encode())
    trusted = [each.verifier for each in (witness, witness, alias, own)] + [log.verifier]
    report = looked_at(folder, book, witnesses=trusted, quorum=2)
    assert (names(report), len(report.witnesses)) == ({"not-witnessed"}, 1)
    assert looked_at(folder, book, witnesses=trusted, quorum=1).holds
    rewrite(folder, "checkpoint", lambda head: head + witness.sign(text, time=2).line().encode())
    assert names(looked_at(folder, book, witnesses=trusted, quorum=2)) == {"not-witnessed"}


async def test_the_command_complains_and_does_not_stumble(folder: Path, book: Ledger, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    key = str(book.keys.verifiers(ORIGIN)[0])
    witness = str(Signer("w.example/one", COSIGNATURE, Ed25519PrivateKey.generate()).verifier)

    def run(*options: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli.app, ["verify", *options])
        assert result.exception is None or isinstance(result.exception, SystemExit), (options, result.exception)
        return result.exit_code, result.output

    assert run(str(folder), "--key", key)[0] == 0
    for option in ("--key", "--witness", "--since"):
        for given in (str(tmp_path / "nowhere"), str(tmp_path / "binary"), str(tmp_path)):
            assert run(str(folder), "--key", key, option, given)[0] in (1, 2), (option, given)
    for content in (b"[" * 100_000, b'{"a":' * 100_000, b'{"records":[1,"x",null,[]]}', b'{"id":"1","proofs":5}'):
        (tmp_path / "answer").write_bytes(content)
        code, said = run(str(tmp_path / "answer"), "--key", key)
        assert (code, "FAULT answer-unproved" in said) == (1, True), content[:30]
    code, said = run(str(folder), "--key", key, "--witness", witness)
    assert (code, "FAULT not-witnessed at 0 of 1" in said) == (1, True), "who names a witness wants it to have signed"
    assert run(str(folder), "--key", key, "--witness", witness, "--quorum", "0")[0] == 0


async def years(book: Ledger, target: Path) -> Path:
    """Three years' logs as an auditor has them."""
    for year in (2026, 2027, 2028):
        book.clock.instant = datetime(year, 6, 1, tzinfo=UTC)
        await book.add(300, start=year * 1000)
        await book.sequence()
        await book.checkpoint()
    await every(book, target)
    return target


async def every(book: Ledger, target: Path) -> None:
    for shard in await shards(book.connection):
        head = await checkpoints.latest(book.connection, shard)
        if head is not None:
            await export.export(book.connection, shard, head[1], target / str(shard.number), entries=True)


def together(place: Path, book: Ledger) -> tuple[list[bool], set[str]]:
    keys = [key for year in (2026, 2027, 2028) for key in book.keys.verifiers(f"test/v1/log/{year}")]
    reports = verify_folder(place, Trust(keys))
    return [report.holds for report in reports], {fault for report in reports for fault in names(report)}


async def test_no_year_is_left_out_cut_back_or_put_in_anothers_place(book: Ledger, tmp_path: Path) -> None:
    first = await exported_at(book, tmp_path)
    whole = await years(book, tmp_path / "all")
    assert together(whole, book) == ([True] * 3, set())

    def changed(change: Callable[[Path], object]) -> tuple[list[bool], set[str]]:
        copy = tmp_path / "copy"
        shutil.copytree(whole, copy)
        change(copy)
        found = together(copy, book)
        shutil.rmtree(copy)
        return found

    def replaced(year: int, by: Path) -> Callable[[Path], object]:
        return lambda f: (shutil.rmtree(f / str(year)), shutil.copytree(by, f / str(year)))

    assert changed(lambda f: shutil.rmtree(f / "2027")) == ([True, False], {"log-missing"})
    assert changed(lambda f: shutil.rmtree(f / "2026")) == ([False, True], {"log-missing"})
    assert changed(replaced(2026, first)) == ([False, True, True], {"log-rolled-back"})
    assert changed(replaced(2027, whole / "2026"))[1] == {"history-rewritten", "log-missing"}
    assert changed(lambda f: shutil.copytree(whole / "2026", f, dirs_exist_ok=True))[1] == {"history-rewritten"}
    alone = verify_folder(whole / "2028", Trust(book.keys.verifiers("test/v1/log/2028")))
    assert [report.holds for report in alone] == [True], "a log by itself is verified as that"


async def exported_at(book: Ledger, tmp_path: Path) -> Path:
    """The first year's log as it was in spring."""
    await book.add(20)
    await book.sequence()
    await book.checkpoint()
    return await exported(book, tmp_path / "spring")


async def test_a_log_that_owned_up_to_a_loss_loses_no_more(book: Ledger, owner: object, tmp_path: Path) -> None:
    await book.add(20)
    await book.sequence()
    await book.checkpoint()
    early = await exported(book, tmp_path / "early")
    await book.add(20, start=20)
    await book.sequence()
    await book.checkpoint()
    await book.add(20, start=40)
    await book.sequence()
    lost = await book.checkpoint()
    for statement in (
        "DELETE FROM log_checkpoint WHERE size = 61",
        "DELETE FROM log_entry WHERE sequence >= 41",
        "DELETE FROM audit_event e WHERE NOT EXISTS (SELECT FROM log_entry l WHERE l.id = e.id)",
    ):
        await owner.execute(statement)  # type: ignore[attr-defined]
    assert lost.size == 61
    await book.log.reopen(book.connection, book.clock.now())
    await book.checkpoint()
    await every(book, tmp_path / "all")
    assert together(tmp_path / "all", book) == ([True, True], set())
    shutil.rmtree(tmp_path / "all" / "2026")
    shutil.copytree(early, tmp_path / "all" / "2026")
    assert together(tmp_path / "all", book) == ([False, True], {"log-rolled-back"})
    assert verify_log(folder_reader(early), Trust(book.keys.verifiers(ORIGIN))).holds
