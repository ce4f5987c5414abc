"""SQL of proceedings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.records.proceedings.models import Proceeding


async def by_id(session: AsyncSession, proceeding_id: UUID, *, lock: bool = False) -> Proceeding | None:
    statement = select(Proceeding).where(col(Proceeding.id) == proceeding_id)
    if lock:
        statement = statement.with_for_update()
    return (await session.execute(statement)).scalar_one_or_none()


async def page(
    session: AsyncSession,
    *,
    agency: str | None,
    entity: str | None,
    state: str | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Sequence[Proceeding]:
    """Newest change first, ``limit`` + 1 rows; a subject is not shown what it has not been notified of."""
    conditions: list[ColumnElement[bool]] = []
    if agency is not None:
        conditions.append(col(Proceeding.agency_uscc) == agency)
    if entity is not None:
        conditions += [col(Proceeding.uscc) == entity, col(Proceeding.notice).is_not(None)]
    if state is not None:
        conditions.append(col(Proceeding.state) == state)
    if after is not None:
        moment, proceeding_id = after
        changed = col(Proceeding.changed_at)
        conditions.append(or_(changed < moment, and_(changed == moment, col(Proceeding.id) > proceeding_id)))
    statement = (
        select(Proceeding)
        .where(*conditions)
        .order_by(col(Proceeding.changed_at).desc(), col(Proceeding.id))
        .limit(limit + 1)
    )
    return (await session.execute(statement)).scalars().all()
