"""SQL of cases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.audit.models import AuditEvent
from credit_service.workflows.models import Case


async def by_id(session: AsyncSession, case_type: str, case_id: UUID) -> Case | None:
    statement = select(Case).where(col(Case.id) == case_id, col(Case.type) == case_type)
    return (await session.execute(statement)).scalar_one_or_none()


async def open_on_record(session: AsyncSession, uscc: str, record_id: UUID, case_type: str) -> Sequence[Case]:
    """Cases of a type about a record that are not closed."""
    statement = select(Case).where(
        col(Case.uscc) == uscc,
        col(Case.record_id) == record_id,
        col(Case.type) == case_type,
        col(Case.closed_at).is_(None),
    )
    return (await session.execute(statement)).scalars().all()


async def of_entity(session: AsyncSession, uscc: str, case_type: str, states: Sequence[str]) -> Sequence[Case]:
    """An entity's cases of a type in certain states."""
    statement = select(Case).where(col(Case.uscc) == uscc, col(Case.type) == case_type, col(Case.state).in_(states))
    return (await session.execute(statement)).scalars().all()


async def page(
    session: AsyncSession, conditions: Sequence[ColumnElement[bool]], after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Case]:
    """Oldest submission first, ``limit`` + 1 rows."""
    where = list(conditions)
    if after is not None:
        moment, case_id = after
        opened = col(Case.opened_at)
        where.append(or_(opened > moment, and_(opened == moment, col(Case.id) > case_id)))
    statement = select(Case).where(*where).order_by(col(Case.opened_at), col(Case.id)).limit(limit + 1)
    return (await session.execute(statement)).scalars().all()


async def count(session: AsyncSession, conditions: Sequence[ColumnElement[bool]]) -> int:
    statement = select(func.count()).select_from(Case).where(*conditions)
    found: int = (await session.execute(statement)).scalar_one()
    return found


async def events(session: AsyncSession, case: Case) -> Sequence[Any]:
    """The audit events of a case, the oldest first: (occurred_at, action, actor, canonical)."""
    statement = (
        select(col(AuditEvent.occurred_at), col(AuditEvent.action), col(AuditEvent.actor), col(AuditEvent.canonical))
        .where(
            col(AuditEvent.uscc) == case.uscc,
            col(AuditEvent.subject_type) == case.type,
            col(AuditEvent.subject_id) == str(case.id),
        )
        .order_by(col(AuditEvent.id))
    )
    return (await session.execute(statement)).all()
