"""Backups 备份: a base backup of the cluster, the archive of its WAL, and the files that stand beside it.

A backup is a folder: ``cluster/`` as pg_basebackup wrote it (with the WAL it needs and a SHA-256 manifest),
``secrets/``, ``keys/`` and ``evidence/`` as the data folder has them, and ``backup.json`` with their digests. Passwords
and signing keys are in it: it is as secret as the data folder. With the WAL archive it opens at any later instant.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from credit_service.platform import embedded_runtime as runtime
from credit_service.platform.embedded import EmbeddedServer, EmbeddedServerError
from credit_service.platform.embedded_runtime import ServerUser

FORMAT = "credit-service-backup/1"
MANIFEST = "backup.json"
CLUSTER = "cluster"
RESTORE_SECONDS = 24 * 3600.0


class BackupError(Exception):
    """The backup cannot be taken, is not whole, or cannot be restored; the message says why."""


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders beside the cluster that belong to an installation; those that do not exist are left out."""

    secrets: Path | None
    keys: Path
    evidence: Path

    def named(self) -> dict[str, Path]:
        found = {"secrets": self.secrets, "keys": self.keys, "evidence": self.evidence}
        return {name: folder for name, folder in found.items() if folder is not None and folder.is_dir()}


def take(address: str, destination: Path, folders: Folders, *, scratch: Path, revision: str | None) -> Path:
    """Back up the server at ``address`` (a login that may replicate) into a new folder below ``destination``.

    Evidence is copied after the cluster, so that every file a row names is there. Raises ``BackupError``.
    """
    moment = datetime.now(UTC)
    target = destination / moment.strftime("%Y%m%dT%H%M%SZ")
    partial = destination / f".{target.name}.partial"
    destination.mkdir(parents=True, exist_ok=True)
    partial.mkdir(mode=0o700)
    try:
        command = [str(_binaries(scratch, None) / "pg_basebackup"), "-D", str(partial / CLUSTER), "--format=plain"]
        command += ["--wal-method=stream", "--checkpoint=fast", "--manifest-checksums=SHA256", "--no-password"]
        command += ["--label", target.name]
        _run(command, _environment(address))
        for name, folder in folders.named().items():
            shutil.copytree(folder, partial / name)
        manifest = {
            "format": FORMAT,
            "taken_at": moment.isoformat(),
            "revision": revision,
            "first_wal": _first_wal(partial / CLUSTER),
            "files": _digests(partial),
        }
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        _sync(partial)
        partial.rename(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return target


def verify(backup: Path, *, scratch: Path) -> dict[str, Any]:
    """Check every file of a backup against its digests, and that its WAL can be read; gives its manifest.

    Raises ``BackupError`` naming what is missing, changed or extra.
    """
    try:
        manifest: dict[str, Any] = json.loads((backup / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackupError(f"{backup} is not a backup: {MANIFEST} is missing or unreadable") from error
    if manifest.get("format") != FORMAT:
        raise BackupError(f"{backup}: format {manifest.get('format')!r} is not {FORMAT}")
    found, expected = _digests(backup), manifest["files"]
    wrong = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    if wrong:
        raise BackupError(f"{backup}: changed, missing or extra: " + ", ".join(wrong[:5]))
    _run([str(_binaries(scratch, None) / "pg_verifybackup"), "--exit-on-error", str(backup / CLUSTER)], {})
    return manifest


def restore(
    backup: Path,
    data_dir: Path,
    *,
    wal_archive: Path | None = None,
    until: datetime | None = None,
    start: bool = True,
) -> dict[str, Any]:
    """Lay a verified backup out as a data folder and bring it to ``until``, or to the end of the archive.

    Without an archive it opens as it was when it was taken. With ``start`` the embedded server replays, ends the
    recovery on a new timeline and is stopped again; without, the cluster is left prepared for the operator's server.
    Gives the manifest. Raises ``BackupError``: the target is in use, the backup is not whole, the archive ends before
    ``until``.
    """
    if data_dir.exists() and any(data_dir.iterdir()):
        raise BackupError(f"{data_dir} is not empty")
    if until is not None and wal_archive is None:
        raise BackupError("an instant can only be reached with the WAL archive")
    manifest = verify(backup, scratch=data_dir)
    data_dir.mkdir(parents=True, exist_ok=True)
    data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
    cluster = data_dir / "postgres"
    shutil.copytree(backup / CLUSTER, cluster)
    for name in ("secrets", "keys", "evidence"):
        if (backup / name).is_dir():
            shutil.copytree(backup / name, data_dir / name)
    user = runtime.server_user(data_dir / "no-cluster-yet")
    if wal_archive is not None:
        if not runtime.may("-r", wal_archive, user) or not runtime.may("-x", wal_archive, user):
            raise BackupError(f"PostgreSQL's user cannot read {wal_archive}")
        _prepare_recovery(cluster, wal_archive, until)
    _give_to(cluster, user)
    if start:
        _recover(data_dir)
    return manifest


def _prepare_recovery(cluster: Path, archive: Path, until: datetime | None) -> None:
    place = shlex.quote(str(archive)).replace("%", "%%")
    settings = {"restore_command": f'cp {place}/%f "%p"', "recovery_target_action": "promote"}
    if until is not None:
        settings["recovery_target_time"] = until.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f+00")
    lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
    with (cluster / "postgresql.auto.conf").open("a", encoding="utf-8") as file:
        file.writelines(lines)
    (cluster / "recovery.signal").touch()


def _recover(data_dir: Path) -> None:
    """Replay; the server answers nobody before it is done, and then forgets where it came from."""
    server = EmbeddedServer(data_dir, options={"hot_standby": "off", "archive_mode": "off"}, patience=RESTORE_SECONDS)
    try:
        with server:
            server.maintain(
                "ALTER SYSTEM RESET restore_command",
                "ALTER SYSTEM RESET recovery_target_time",
                "ALTER SYSTEM RESET recovery_target_action",
            )
    except EmbeddedServerError as error:
        raise BackupError(str(error)) from error


def prune(destination: Path, keep: int, *, wal_archive: Path | None, scratch: Path) -> list[Path]:
    """Remove all but the newest ``keep`` backups, and the WAL that none of those needs; gives what was removed."""
    backups = sorted(folder for folder in destination.iterdir() if (folder / MANIFEST).is_file())
    if keep < 1 or len(backups) <= keep:
        return []
    removed = backups[:-keep]
    for folder in removed:
        shutil.rmtree(folder)
    if wal_archive is not None:
        oldest = json.loads((backups[-keep] / MANIFEST).read_text(encoding="utf-8"))["first_wal"]
        _run([str(_binaries(scratch, None) / "pg_archivecleanup"), str(wal_archive), oldest], {})
    return removed


def _binaries(scratch: Path, user: ServerUser | None) -> Path:
    try:
        return runtime.find_binaries(scratch, user)
    except EmbeddedServerError as error:
        raise BackupError(str(error)) from error


def _environment(address: str) -> dict[str, str]:
    """libpq's variables for an address: a password on the command line would be everybody's to read."""
    parts = urlsplit(address)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    found = {
        "PGHOST": query.get("host") or parts.hostname,
        "PGPORT": str(query.get("port") or parts.port or 5432),
        "PGUSER": unquote(parts.username) if parts.username else None,
        "PGPASSWORD": unquote(parts.password) if parts.password else None,
        "PGSSLMODE": query.get("sslmode"),
    }
    return {name: value for name, value in found.items() if value}


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = runtime.run(command, None, environment)
    if done.returncode:
        tool = Path(command[0]).name
        raise BackupError(f"{tool} failed: {(done.stderr.strip() or done.stdout.strip())[-2000:]}")


def _first_wal(cluster: Path) -> str:
    """The first WAL file the backup needs, from its label: ``START WAL LOCATION: 0/2000028 (file 0000...)``."""
    label = (cluster / "backup_label").read_text(encoding="utf-8").splitlines()[0]
    return label.rsplit("file ", 1)[1].rstrip(")")


def _digests(backup: Path) -> dict[str, str]:
    """SHA-256 of every file beside the cluster, which has a manifest of its own."""
    found = {}
    for path in sorted(backup.rglob("*")):
        relative = path.relative_to(backup)
        if path.is_file() and relative.parts[0] != CLUSTER and relative.name != MANIFEST:
            with path.open("rb") as file:
                found[relative.as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _sync(folder: Path) -> None:
    """Everything below is on disk; pg_basebackup has seen to the cluster."""
    for path in [folder, *folder.rglob("*")]:
        if path.relative_to(folder).parts[:1] != (CLUSTER,):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def _give_to(folder: Path, user: ServerUser | None) -> None:
    folder.chmod(0o700)
    if user is not None:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, user.uid, user.gid, follow_symlinks=False)
