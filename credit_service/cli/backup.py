"""``credit-service backup``, ``restore`` and ``verify-backup``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from credit_service.cli.database import DataDir, fail

if TYPE_CHECKING:
    from credit_service.platform.settings import Settings

WalArchive = Annotated[Path | None, typer.Option("--wal", help="WAL归档 Archive of WAL; default: the configured one.")]


def backup(
    destination: Annotated[Path, typer.Argument(help="备份目录 Folder that holds the backups.")],
    keep: Annotated[int, typer.Option(min=0, help="保留份数 Remove older ones; 0 keeps all.")] = 0,
    data: DataDir = None,
) -> None:
    """备份 Take a backup of the running (or stopped) installation, with its keys, passwords and evidence."""
    from credit_service.cli.serve import spinner
    from credit_service.platform import backup as backups

    settings = _settings(data)
    with _replication_address(data) as (address, embedded), spinner("正在备份 Taking a backup"):
        folders = backups.Folders(
            secrets=settings.data_dir / "secrets" if embedded else None,
            keys=settings.keys_directory,
            evidence=settings.evidence_directory,
        )
        try:
            # A login that may replicate need not be one that may read tables.
            read = settings.database_url.get_secret_value() if settings.database_url else address
            made = backups.take(address, destination, folders, scratch=settings.data_dir, revision=_revision(read))
            backups.verify(made, scratch=settings.data_dir)
            removed = backups.prune(destination, keep, wal_archive=settings.wal_archive_dir, scratch=settings.data_dir)
        except backups.BackupError as error:
            raise fail(str(error)) from error
    typer.echo(f"{made}: taken and verified" + (f"; {len(removed)} older removed" if removed else ""))


def verify_backup(
    folder: Annotated[Path, typer.Argument(help="备份 One backup.")],
    data: DataDir = None,
) -> None:
    """核对备份 Check every file of a backup against its digests, and that its WAL can be read."""
    from credit_service.platform import backup as backups

    try:
        manifest = backups.verify(folder, scratch=_settings(data).data_dir)
    except backups.BackupError as error:
        raise fail(str(error)) from error
    typer.echo(f"{folder}: whole; taken at {manifest['taken_at']}, revision {manifest['revision']}")


def restore(
    folder: Annotated[Path, typer.Argument(help="备份 One backup.")],
    to: Annotated[Path, typer.Option("--to", help="新数据目录 New data folder; must be empty.")],
    wal: WalArchive = None,
    until: Annotated[str | None, typer.Option(help="恢复到 Instant to reach, RFC 3339; default: the newest.")] = None,
    cluster_only: Annotated[
        bool, typer.Option("--cluster-only", help="仅准备 Leave the cluster to a server of your own.")
    ] = False,
) -> None:
    """恢复 Make a new data folder of a backup, as it was then or, with the WAL archive, at any later instant."""
    from credit_service.cli.serve import spinner
    from credit_service.platform import backup as backups
    from credit_service.platform.settings import Settings

    moment = None
    if until is not None:
        try:
            moment = datetime.fromisoformat(until)
        except ValueError as error:
            raise fail("--until is an RFC 3339 instant, for instance 2026-05-06T10:00:00+08:00") from error
        if moment.tzinfo is None:
            raise fail("--until needs an offset, for instance +08:00")
    try:
        with spinner("正在恢复 Restoring"):
            backups.restore(
                folder, to, wal_archive=wal or Settings().wal_archive_dir, until=moment, start=not cluster_only
            )
    except backups.BackupError as error:
        raise fail(str(error)) from error
    then = "start your server on it" if cluster_only else f"credit-service serve --data {to}"
    typer.echo(f"restored into {to}; next: {then}")


def _settings(data: Path | None) -> Settings:
    from credit_service.platform.settings import Settings

    return Settings(data_dir=data) if data else Settings()


@contextmanager
def _replication_address(data: Path | None) -> Iterator[tuple[str, bool]]:
    """Whom to ask for the backup, and whether it is the embedded server (started for this, if nobody keeps it)."""
    from credit_service.platform.embedded import AlreadyRunning, EmbeddedServer, EmbeddedServerError

    settings = _settings(data)
    if settings.backup_url is not None:
        yield settings.backup_url.get_secret_value(), False
        return
    if settings.database_url is not None:
        raise fail("set CREDIT_BACKUP_URL to a login with REPLICATION: the service's own may not read the cluster")
    server = EmbeddedServer(settings.data_dir, wal_archive=settings.wal_archive_dir)
    if server.first_start:
        raise fail(f"{settings.data_dir} holds no database")
    try:
        server.start()
    except AlreadyRunning:
        pass
    except EmbeddedServerError as error:
        raise fail(str(error)) from error
    try:
        yield server.superuser_url, True
    finally:
        server.stop()


def _revision(address: str) -> str | None:
    """The revision of the database, for the manifest."""
    import asyncio

    from credit_service.platform import migration

    return asyncio.run(migration.current(address))
