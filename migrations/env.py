"""Alembic environment: one linear history, run as the owner, never as the service's role."""

from __future__ import annotations

import asyncio

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlmodel import SQLModel

from credit_service.accounts import models as accounts
from credit_service.audit import access_models as accesses
from credit_service.audit import models as audit
from credit_service.deadlines import models as deadlines
from credit_service.entities import models as entities
from credit_service.evidence import models as evidence
from credit_service.exchange import models as exchange
from credit_service.measures import models as measures
from credit_service.notifications import models as notifications
from credit_service.platform import idempotency
from credit_service.platform.database import Database
from credit_service.records import links
from credit_service.records import models as records
from credit_service.records.proceedings import models as proceedings
from credit_service.records.propagation import models as propagation
from credit_service.supervision.classes import models as classes
from credit_service.supervision.inspections import models as inspections
from credit_service.supervision.watchlists import models as watchlists
from credit_service.workflows import models as workflows

TABLES = (
    accesses,
    accounts,
    audit,
    classes,
    deadlines,
    entities,
    exchange,
    evidence,
    idempotency,
    inspections,
    links,
    measures,
    notifications,
    proceedings,
    workflows,
    propagation,
    records,
    watchlists,
)  # imported for their tables, which fill SQLModel.metadata
ischema_names["xid8"] = audit.TransactionId
LOCK = 0x63726564  # one migration at a time on one database, whoever starts it


def ours(thing: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
    """What a comparison looks at: our tables and columns. Indexes are the migrations' own business."""
    partition = kind == "table" and (name or "").startswith("access_log_")
    return kind in ("table", "column") and not partition and not (name or "").startswith("pgqueuer")


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        transaction_per_migration=True,
        include_object=ours,
        compare_type=True,
    )
    with context.begin_transaction():
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({LOCK})")
        context.run_migrations()


async def main() -> None:
    database = Database(context.config.attributes["url"], role=None, application_name="credit-service-migrations")
    engine = create_async_engine("postgresql+asyncpg://", async_creator=database.connect, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
        await connection.commit()
    await engine.dispose()
    await database.close()


asyncio.run(main())
