"""Backups on real clusters: whole or refused, opened at the instant asked for, pruned with the WAL nobody needs."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from credit_service.platform import backup, migration
from credit_service.platform.backup import BackupError, Folders
from credit_service.platform.database import connect_arguments
from credit_service.platform.embedded import EmbeddedServer
from credit_service.platform.wal_archive import archive_settings
from tests.support import reachable_folder

SMALL = {"shared_buffers": "32MB", "fsync": "off"}
KEPT = "INSERT INTO catalogue_item SELECT '{}', 'x', 'x', 'x', 'neutral', NULL, 'x', 'x'"


def ask(url: str, statement: str) -> Any:
    async def run() -> Any:
        connection = await asyncpg.connect(**connect_arguments(url))
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def codes(server: EmbeddedServer) -> str:
    return str(ask(server.owner_url, "SELECT string_agg(code, ' ' ORDER BY code) FROM catalogue_item"))


@dataclass(frozen=True)
class Installation:
    """A data folder with its archive, backed up between its first and its second row; a third came an instant later."""

    folder: Path
    data: Path
    archive: Path
    backup: Path
    before_third: datetime

    def restored(self, name: str, **more: Any) -> EmbeddedServer:
        backup.restore(self.backup, self.folder / name, **more)
        return EmbeddedServer(self.folder / name, options=SMALL)


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    folder = reachable_folder("credit-service-backup-")
    data, archive = folder / "data", folder / "wal"
    with EmbeddedServer(data, options=SMALL, wal_archive=archive) as server:
        migration.upgrade(server.owner_url)
        for name in ("keys", "evidence"):
            (data / name / "deep").mkdir(parents=True)
            (data / name / "deep" / "file").write_text(name)
        ask(server.owner_url, KEPT.format("one"))
        folders = Folders(data / "secrets", data / "keys", data / "evidence")
        taken = backup.take(server.superuser_url, folder / "backups", folders, scratch=data, revision="r")
        ask(server.owner_url, KEPT.format("two"))
        moment = ask(server.owner_url, "SELECT clock_timestamp()")
        ask(server.owner_url, "SELECT pg_sleep(0.1)")
        ask(server.owner_url, KEPT.format("three"))
        ask(server.superuser_url, "SELECT pg_switch_wal()")
    yield Installation(folder, data, archive, taken, moment)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_backup_opens_as_it_was_taken(installation: Installation) -> None:
    with installation.restored("as-taken") as server:
        assert codes(server) == "one"
        assert (server.data_dir / "keys" / "deep" / "file").read_text() == "keys"
        assert (server.data_dir / "evidence" / "deep" / "file").read_text() == "evidence"
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            ask(server.service_url, "DELETE FROM audit_event")
        assert ask(server.superuser_url, "SHOW restore_command") == ""


def test_with_the_archive_it_opens_at_the_instant_asked_for(installation: Installation) -> None:
    with installation.restored("then", wal_archive=installation.archive, until=installation.before_third) as server:
        assert codes(server) == "one two"
        assert ask(server.superuser_url, "SHOW restore_command") == ""
        assert ask(server.superuser_url, "SELECT pg_is_in_recovery()") is False
        ask(server.owner_url, KEPT.format("after"))
    with EmbeddedServer(installation.folder / "then", options=SMALL) as server:
        assert codes(server) == "after one two"


def test_and_otherwise_at_the_end_of_the_archive(installation: Installation) -> None:
    with installation.restored("newest", wal_archive=installation.archive) as server:
        assert codes(server) == "one three two"


def test_an_instant_the_archive_does_not_reach_is_no_restore(installation: Installation) -> None:
    later = installation.before_third + timedelta(days=1)
    with pytest.raises(BackupError, match="recovery ended before configured recovery target was reached"):
        installation.restored("beyond", wal_archive=installation.archive, until=later)
    with pytest.raises(BackupError, match="only be reached with the WAL archive"):
        installation.restored("without", until=installation.before_third)
    with pytest.raises(BackupError, match="is not empty"):
        backup.restore(installation.backup, installation.data)


@pytest.mark.parametrize(
    "place", ["keys/deep/file", "secrets/postgres", "cluster/PG_VERSION", "cluster/backup_manifest"]
)
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_backup_is_refused(installation: Installation, tmp_path: Path, place: str, damage: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(installation.backup, copy, copy_function=_link)
    file = copy / place
    content = bytearray(file.read_bytes())
    file.unlink()
    if damage == "changed":
        content[-3] ^= 1
        file.write_bytes(content)
    with pytest.raises(BackupError):
        backup.verify(copy, scratch=installation.data)


def _link(source: str, target: str) -> None:
    Path(target).hardlink_to(source)


def test_what_is_no_backup_or_holds_more_is_refused(installation: Installation, tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="is not a backup"):
        backup.verify(tmp_path, scratch=installation.data)
    copy = tmp_path / "copy"
    shutil.copytree(installation.backup, copy, copy_function=_link)
    assert backup.verify(copy, scratch=installation.data)["revision"] == "r"
    (copy / "keys" / "planted").write_text("x")
    with pytest.raises(BackupError, match=r"extra: keys/planted"):
        backup.verify(copy, scratch=installation.data)


def test_a_failed_backup_leaves_nothing(tmp_path: Path) -> None:
    folders = Folders(None, tmp_path / "keys", tmp_path / "evidence")
    with pytest.raises(BackupError, match="pg_basebackup failed"):
        backup.take("postgresql://nobody@127.0.0.1:1/x", tmp_path / "b", folders, scratch=tmp_path, revision=None)
    assert list((tmp_path / "b").iterdir()) == []


def test_older_backups_go_with_the_wal_they_alone_needed(installation: Installation, tmp_path: Path) -> None:
    archive, backups = tmp_path / "wal", tmp_path / "backups"
    archive.mkdir()
    for number in range(1, 9):
        (archive / f"0000000100000000{number:08X}").touch()
    for day, first in (("20260101", 2), ("20260102", 4), ("20260103", 6)):
        folder = backups / f"{day}T000000Z"
        folder.mkdir(parents=True)
        manifest = {"first_wal": f"0000000100000000{first:08X}"}
        (folder / backup.MANIFEST).write_text(json.dumps(manifest))
    assert backup.prune(backups, 3, wal_archive=archive, scratch=installation.data) == []
    removed = backup.prune(backups, 2, wal_archive=archive, scratch=installation.data)
    assert [folder.name for folder in removed] == ["20260101T000000Z"]
    assert sorted(path.name[-1] for path in archive.iterdir()) == ["4", "5", "6", "7", "8"]


def test_a_segment_is_archived_once_and_never_overwritten(tmp_path: Path) -> None:
    archive, segment = tmp_path / "an archive's", tmp_path / "000000010000000000000001"
    archive.mkdir()
    segment.write_bytes(b"wal")
    command = archive_settings(archive)["archive_command"]
    command = command.replace("%p", f"'{segment}'").replace("%f", segment.name).replace("%%", "%")

    def run() -> int:
        return subprocess.run(["/bin/sh", "-c", command], check=False).returncode

    assert (run(), run()) == (0, 0)
    assert (archive / segment.name).read_bytes() == b"wal"
    segment.write_bytes(b"other")
    assert run() != 0
    assert (archive / segment.name).read_bytes() == b"wal"
    assert [path.name for path in archive.iterdir()] == [segment.name]
