"""The test run's own PostgreSQL, and a client for the application under test."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from credit_service.catalogue.loader import load
from credit_service.catalogue.store import synchronise
from credit_service.platform import migration
from credit_service.platform.database import connect_arguments
from credit_service.platform.embedded import EmbeddedServer

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "128MB"}
TEMPLATE = "test_template"


@dataclass(frozen=True)
class DatabaseUrls:
    """Addresses of one database: as the service, and as the owner of its tables."""

    service: str
    owner: str


class TestServer:
    """The embedded server of this test run, in a folder that an unprivileged server can reach."""

    __test__ = False

    def __init__(self, data_dir: Path, server: EmbeddedServer | None = None) -> None:
        self.data_dir = data_dir
        self._server = server or EmbeddedServer(data_dir)

    @classmethod
    def start(cls) -> TestServer:
        data_dir = Path(tempfile.mkdtemp(prefix="credit-service-tests-"))
        data_dir.chmod(0o755)
        server = EmbeddedServer(data_dir, options=FAST)
        server.start()
        return cls(data_dir, server)

    def stop(self) -> None:
        self._server.stop()
        shutil.rmtree(self.data_dir, ignore_errors=True)

    def create_database(self, name: str) -> DatabaseUrls:
        """A migrated database of this name, cloned from a template that the first caller makes."""
        lock = os.open(self.data_dir / "template.lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            if asyncio.run(self._create(TEMPLATE, "template1")):
                url = self._server.url("credit_owner", TEMPLATE)
                migration.upgrade(url)
                asyncio.run(synchronise(url, load()))
            asyncio.run(self._create(name, TEMPLATE))
        finally:
            os.close(lock)
        return DatabaseUrls(self._server.url("credit_app", name), self._server.url("credit_owner", name))

    async def _create(self, name: str, template: str) -> bool:
        connection = await asyncpg.connect(**connect_arguments(self._server.url("postgres", "postgres")))
        try:
            with suppress(asyncpg.DuplicateDatabaseError):
                await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER credit_owner')
                fresh = await asyncpg.connect(**connect_arguments(self._server.url("postgres", name)))
                await fresh.execute("ALTER SCHEMA public OWNER TO credit_owner")
                await fresh.close()
                return True
            return False
        finally:
            await connection.close()
