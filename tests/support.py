"""One PostgreSQL for a whole test run, kept by a process of its own.

The keeper outlives the worker that asked for it first and ends with the run, however the run ends: it watches the
process that pytest was started as, and stops when that is gone.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from credit_service.catalogue.loader import load
from credit_service.catalogue.store import synchronise
from credit_service.platform import migration
from credit_service.platform.database import connect_arguments
from credit_service.platform.embedded import EmbeddedServer

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"}
TEMPLATE = "credit"
FOLDER = "CREDIT_TEST_FOLDER"
ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120
STOP_SECONDS = 30


@dataclass(frozen=True)
class DatabaseUrls:
    """Addresses of one database: as the service, as the owner of its tables, and past every rule."""

    service: str
    owner: str
    superuser: str


def reachable_folder(prefix: str) -> Path:
    """A new folder that a server which is not root can enter (pytest's own are private); gone with the run's own."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=os.environ.get(FOLDER)))
    folder.chmod(0o711)
    return folder


class TestServer:
    """The server of this test run, in the folder that every process of the run knows."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = EmbeddedServer(folder / "data", options=FAST)

    @property
    def _pid_file(self) -> Path:
        return self.folder / "keeper.pid"

    def ensure(self) -> None:
        """Start the keeper unless another process of this run has; its server is migrated when this returns."""
        with (self.folder / "keeper.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._pid_file.exists():
                return
            log = self.folder / "keeper.log"
            if log.exists():  # one attempt for a run: the next test would only fail more slowly
                raise RuntimeError(f"the test database did not start:\n{log.read_text(errors='replace')}")
            self._start_keeper(log)

    def _start_keeper(self, log: Path) -> None:
        with log.open("wb") as output:
            keeper = subprocess.Popen(
                [sys.executable, "-m", "tests.support", str(self.folder), os.environ["CREDIT_TEST_CONTROLLER"]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._pid_file.exists():
            if keeper.poll() is not None or time.monotonic() > deadline:
                keeper.kill()
                raise RuntimeError(f"the test database did not start:\n{log.read_text(errors='replace')}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End the keeper and wait until its server and its folder are gone."""
        with suppress(FileNotFoundError, psutil.NoSuchProcess):
            keeper = psutil.Process(int(self._pid_file.read_text()))
            keeper.send_signal(signal.SIGTERM)
            with suppress(psutil.TimeoutExpired):
                keeper.wait(STOP_SECONDS)
        shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self, controller: int) -> None:
        """The keeper's life: start, migrate the template, wait for the end of the run, remove everything."""
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
        try:
            with self.server:
                migration.upgrade(self.server.owner_url)
                asyncio.run(synchronise(self.server.owner_url, load()))
                unfinished = self._pid_file.with_suffix(".new")
                unfinished.write_text(str(os.getpid()))
                unfinished.rename(self._pid_file)
                with suppress(psutil.NoSuchProcess):
                    psutil.Process(controller).wait()
        finally:
            if self._pid_file.exists():
                shutil.rmtree(self.folder, ignore_errors=True)

    def urls(self, database: str) -> DatabaseUrls:
        url = self.server.url
        return DatabaseUrls(url("credit_app", database), url("credit_owner", database), url("postgres", database))

    def create_database(self, name: str) -> DatabaseUrls:
        """A database of this name, cloned from the migrated template. Call it outside an event loop."""
        self.ensure()
        # Copying the files is three times as fast as going through the log, and nothing here must survive a crash.
        self._execute(f'CREATE DATABASE "{name}" TEMPLATE {TEMPLATE} OWNER credit_owner STRATEGY file_copy')
        return self.urls(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        async def run() -> None:
            connection = await asyncpg.connect(**connect_arguments(self.server.url("postgres", "postgres")))
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(run())


if __name__ == "__main__":
    TestServer(Path(sys.argv[1])).keep(int(sys.argv[2]))
