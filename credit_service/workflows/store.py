"""SQL of cases."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.audit.models import AuditEvent
from credit_service.deadlines.models import StageDeadline
from credit_service.entities.models import Entity
from credit_service.records.models import Record
from credit_service.workflows.models import Case


async def by_id(session: AsyncSession, case_type: str, case_id: UUID) -> Case | None:
    statement = select(Case).where(col(Case.id) == case_id, col(Case.type) == case_type)
    return (await session.execute(statement)).scalar_one_or_none()


async def held(
    session: AsyncSession, case_type: str, case_id: UUID, seen: ColumnElement[bool]
) -> tuple[Case, Record, Entity] | None:
    """A case that is ``seen`` and its record, as they are once the entity's row is held: one writer of its file."""
    whose = (
        select(Entity)
        .join(Case, col(Case.uscc) == col(Entity.uscc))
        .where(col(Case.id) == case_id, col(Case.type) == case_type, seen)
        .with_for_update(key_share=True, of=Entity)
        .execution_options(populate_existing=True)
    )
    entity = (await session.execute(whose)).scalar_one_or_none()
    if entity is None:
        return None
    # A statement of its own: it sees what the row's last holder has committed.
    statement = (
        select(Case, Record)
        .join(Record, and_(col(Record.uscc) == col(Case.uscc), col(Record.id) == col(Case.record_id)))
        .where(col(Case.uscc) == entity.uscc, col(Case.id) == case_id)
        .execution_options(populate_existing=True)
    )
    case, record = (await session.execute(statement)).one()
    return case, record, entity


async def on_record(session: AsyncSession, uscc: str, record_id: UUID, case_type: str) -> Sequence[Case]:
    """Cases of a type about a record that are neither drafts nor closed, the oldest first."""
    statement = (
        select(Case)
        .where(
            col(Case.uscc) == uscc,
            col(Case.record_id) == record_id,
            col(Case.type) == case_type,
            col(Case.submitted_at).is_not(None),
            col(Case.closed_at).is_(None),
        )
        .order_by(col(Case.submitted_at))
    )
    return (await session.execute(statement)).scalars().all()


async def barred_until(session: AsyncSession, uscc: str) -> date | None:
    """Until when an entity may apply for no repair after false applications."""
    statement = select(func.max(col(Case.barred_until))).where(col(Case.uscc) == uscc)
    found: date | None = (await session.execute(statement)).scalar_one()
    return found


async def page(
    session: AsyncSession, conditions: Sequence[ColumnElement[bool]], after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Case]:
    """The oldest first, ``limit`` + 1 rows."""
    where = list(conditions)
    if after is not None:
        moment, case_id = after
        opened = col(Case.opened_at)
        where.append(or_(opened > moment, and_(opened == moment, col(Case.id) > case_id)))
    statement = select(Case).where(*where).order_by(col(Case.opened_at), col(Case.id)).limit(limit + 1)
    return (await session.execute(statement)).scalars().all()


def has_deadline(agencies: Collection[str], after: datetime | None, until: datetime) -> ColumnElement[bool]:
    """Cases with an open time-limit of these agencies that ends after an instant and by another."""
    ends = col(StageDeadline.due_at) <= until
    return exists().where(
        col(StageDeadline.uscc) == col(Case.uscc),
        col(StageDeadline.case_type) == col(Case.type),
        col(StageDeadline.case_id) == col(Case.id),
        col(StageDeadline.closed_as).is_(None),
        col(StageDeadline.agency_uscc).in_(agencies),
        ends if after is None else and_(ends, col(StageDeadline.due_at) > after),
    )


async def counts(
    session: AsyncSession, conditions: Sequence[ColumnElement[bool]], of: Sequence[ColumnElement[bool]]
) -> tuple[int, ...]:
    """How many cases under the conditions fulfil each of ``of``."""
    columns = [func.count().filter(each) for each in of]
    row = (await session.execute(select(*columns).select_from(Case).where(*conditions))).one()
    return tuple(row)


async def events(session: AsyncSession, case: Case) -> Sequence[AuditEvent]:
    """The audit events of a case, the oldest first."""
    statement = (
        select(AuditEvent)
        .where(
            col(AuditEvent.uscc) == case.uscc,
            col(AuditEvent.subject_type) == case.type,
            col(AuditEvent.subject_id) == str(case.id),
        )
        .order_by(col(AuditEvent.id))
    )
    return (await session.execute(statement)).scalars().all()
