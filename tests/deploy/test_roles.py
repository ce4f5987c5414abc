"""What deploy/postgres/init-roles.sh makes of a new cluster: a service that works, and a backup that can be taken."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from credit_service.platform import embedded_runtime as runtime
from credit_service.platform import migration
from credit_service.platform.database import connect_arguments
from tests.cli.test_serve import COMMAND, environment, free_port
from tests.support import ROOT, reachable_folder

PASSWORD = "pw0123456789"


@dataclass(frozen=True)
class Cluster:
    """A server as the PostgreSQL image has it after its first start with our script."""

    folder: Path
    port: int

    def url(self, login: str) -> str:
        return f"postgresql://{login}:{PASSWORD}@127.0.0.1:{self.port}/credit"

    def as_superuser(self, statement: str) -> None:
        binaries = runtime.find_binaries(self.folder, runtime.server_user(self.folder))
        command = [
            str(binaries / "psql"),
            "-h",
            str(self.folder),
            "-p",
            str(self.port),
            "-U",
            "postgres",
            "-c",
            statement,
        ]
        done = subprocess.run([*command, "-v", "ON_ERROR_STOP=1"], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def give_backup_its_login(self) -> None:
        self.as_superuser(f"ALTER ROLE credit_backup LOGIN PASSWORD '{PASSWORD}'")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    folder, port = reachable_folder("credit-service-roles-"), free_port()
    user, data = runtime.server_user(folder), folder / "data"
    binaries = runtime.find_binaries(folder, user)
    secrets = folder / "secrets"
    secrets.mkdir()
    for name in ("owner_password", "app_password"):
        (secrets / name).write_text(PASSWORD + "\n")
    data.mkdir()
    if user is not None:
        for each in (folder, data):
            os.chown(each, user.uid, user.gid)

    def ran(*command: str) -> None:
        done = runtime.run([str(binaries / command[0]), *command[1:]], user)
        assert done.returncode == 0, done.stdout + done.stderr

    ran("initdb", "-D", str(data), "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync")
    # The image adds the line for databases: it matches no replication.
    with (data / "pg_hba.conf").open("a") as lines:
        lines.write("host all all all scram-sha-256\n")
    options = f"-c port={port} -c unix_socket_directories={folder} -c fsync=off -c shared_buffers=32MB"
    start = ("pg_ctl", "-D", str(data), "-w", "-t", "120", "-l", str(folder / "log"), "-o", options, "start")
    ran(*start)
    try:
        path = f"{binaries}:{os.environ['PATH']}"
        place = {"PATH": path, "PGHOST": str(folder), "PGPORT": str(port), "PGDATA": str(data)}
        script = ROOT / "deploy" / "postgres" / "init-roles.sh"
        done = subprocess.run(
            ["bash", str(script)],
            env=place | {"SECRETS_DIR": str(secrets)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert PASSWORD not in (folder / "log").read_text()
        ran("pg_ctl", "-D", str(data), "-w", "-m", "fast", "stop")
        ran(*start)
        made = Cluster(folder, port)
        migration.upgrade(made.url("credit_owner"))
        yield made
    finally:
        runtime.run([str(binaries / "pg_ctl"), "-D", str(data), "-w", "-m", "immediate", "stop"], user)
        shutil.rmtree(folder, ignore_errors=True)


async def refused(url: str, statement: str) -> str:
    connection = await asyncpg.connect(**connect_arguments(url))
    try:
        await connection.execute(statement)
    except asyncpg.PostgresError as error:
        return type(error).__name__
    finally:
        await connection.close()
    return ""


async def test_the_backup_has_no_login_until_it_is_given_one(cluster: Cluster) -> None:
    with pytest.raises(asyncpg.InvalidAuthorizationSpecificationError):
        await asyncpg.connect(**connect_arguments(cluster.url("credit_backup")))


def test_a_backup_is_taken_and_whole(cluster: Cluster) -> None:
    cluster.give_backup_its_login()
    keys = cluster.folder / "keys"
    keys.mkdir()
    (keys / "key.pem").write_text("a key")
    settings = {
        "CREDIT_DATABASE_URL": cluster.url("credit_app"),
        "CREDIT_BACKUP_URL": cluster.url("credit_backup"),
        "CREDIT_KEYS_DIR": str(keys),
        "CREDIT_DATA_DIR": str(cluster.folder),
    }
    backups = cluster.folder / "backups"

    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            env=environment() | settings | changes,
            cwd=ROOT,
            check=False,
            capture_output=True,
            text=True,
        )

    without = run("backup", str(backups), CREDIT_BACKUP_URL="")
    assert (without.returncode, "set CREDIT_BACKUP_URL" in without.stderr) == (1, True), without.stderr
    taken = run("backup", str(backups), "--keep", "14")
    assert taken.returncode == 0, taken.stderr
    (made,) = backups.iterdir()
    assert (made / "keys" / "key.pem").read_text() == "a key"
    checked = run("verify-backup", str(made))
    assert (checked.returncode, f"revision {migration.head()}" in checked.stdout) == (0, True), checked.stdout


async def test_neither_the_service_nor_the_backup_changes_anything(cluster: Cluster) -> None:
    cluster.give_backup_its_login()
    history = "UPDATE audit_event SET action = action"
    assert await refused(cluster.url("credit_app"), history) == "InsufficientPrivilegeError"
    assert await refused(cluster.url("credit_app"), "CREATE TABLE x (y int)") == "InsufficientPrivilegeError"
    for statement in (history, "SELECT * FROM record", "CREATE TABLE x (y int)"):
        assert await refused(cluster.url("credit_backup"), statement) in (
            "InsufficientPrivilegeError",
            "UndefinedTableError",
            "InvalidSchemaNameError",
        )
