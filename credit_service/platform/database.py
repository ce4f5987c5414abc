"""The engine, one transaction a command, and a bare asyncpg pool for the read path.

Two roads to one server: commands go through SQLModel sessions; lookups and bulk merges speak asyncpg directly, because
there the object mapper would cost more than the query.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

if TYPE_CHECKING:
    from asyncpg import Connection
    from asyncpg.pool import PoolConnectionProxy

    AnyConnection: TypeAlias = Connection[Any] | PoolConnectionProxy[Any]

CONNECT_TIMEOUT_SECONDS = 10


def connect_arguments(url: str) -> dict[str, Any]:
    """asyncpg keyword arguments of a ``postgresql://`` address, Unix sockets (``?host=/dir``) included."""
    parts = urlsplit(url)
    query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    arguments: dict[str, Any] = {
        "user": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "host": query.get("host") or parts.hostname,
        "port": int(query.get("port") or parts.port or 5432),
        "database": unquote(parts.path.lstrip("/")) or None,
        "timeout": CONNECT_TIMEOUT_SECONDS,
    }
    if "sslmode" in query:
        arguments["ssl"] = query["sslmode"]
    return {key: value for key, value in arguments.items() if value is not None}


async def _keep_state(connection: Connection[Any]) -> None:
    """The read pool's connections never change their session state, so the reset round trip buys nothing."""


class Database:
    """Connections of one process to one server, acting as the service's role."""

    def __init__(
        self,
        url: str,
        *,
        role: str | None,
        pool_size: int = 10,
        application_name: str = "credit-service",
        statement_seconds: int | None = None,
    ) -> None:
        self._arguments = connect_arguments(url)
        server_settings = {"application_name": application_name, "timezone": "UTC", "jit": "off", "work_mem": "32MB"}
        if statement_seconds is not None:
            # For the callers of a service: what takes longer is ended, and so is a transaction nobody goes on with.
            limit = f"{statement_seconds}s"
            names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
            server_settings |= dict.fromkeys(names, limit)
        if role:
            # A start-up parameter, not SET ROLE: RESET ROLE then comes back to this role and not to the login's.
            server_settings["role"] = role
        self._arguments["server_settings"] = server_settings
        self._pool_size = pool_size
        self._pool: asyncpg.Pool[Any] | None = None
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self.connect,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=CONNECT_TIMEOUT_SECONDS,
            pool_pre_ping=True,
            hide_parameters=True,  # an error is logged, and the values may be somebody's personal data
        )

    async def connect(self) -> Connection[Any]:
        """A connection outside every pool; the caller closes it."""
        return cast("Connection[Any]", await asyncpg.connect(**self._arguments))

    async def pool(self) -> asyncpg.Pool[Any]:
        """The read path's pool, opened at first use."""
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                min_size=1, max_size=self._pool_size, reset=_keep_state, **self._arguments
            )
        return self._pool

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One unit of work: commits when the block ends, rolls back when it raises."""
        async with AsyncSession(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    async def close(self) -> None:
        await self.engine.dispose()
        if self._pool is not None:
            await self._pool.close()
            self._pool = None


async def driver_connection(session: AsyncSession) -> Connection[Any]:
    """The asyncpg connection under a session, inside the session's transaction."""
    connection = await session.connection()
    raw = await connection.get_raw_connection()
    driver = cast("Connection[Any]", raw.driver_connection)
    if not driver.is_in_transaction():
        # SQLAlchemy begins with its first statement; until then what we send would commit by itself.
        await connection.exec_driver_sql("SELECT 1")
    return driver
