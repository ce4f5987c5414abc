"""Jobs are rows: enqueued in the transaction of the change that wants them, so they exist exactly when it does."""

from __future__ import annotations

from pgqueuer import Queries
from pgqueuer.db import AsyncpgDriver
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.platform.database import driver_connection


async def enqueue(session: AsyncSession, name: str, payload: bytes, *, once: str) -> None:
    """Add a job to the caller's transaction; one with the key ``once`` that still waits is not added again."""
    driver = AsyncpgDriver(await driver_connection(session))
    await Queries(driver).enqueue(name, payload, dedupe_key=f"{name} {once}", on_conflict="skip")
