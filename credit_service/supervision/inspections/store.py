"""SQL of inspections."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import and_, any_, literal, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.entities.archive import is_archived
from credit_service.entities.models import Entity
from credit_service.records.models import Record
from credit_service.supervision.classes.tiers import within
from credit_service.supervision.inspections.models import (
    Inspection,
    InspectionDraw,
    InspectionItem,
    InspectionPlan,
    Inspector,
    InspectorConflict,
)

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

DRAW_LOCK = 0x64726177
"""One draw at a time, whoever draws: so nobody is drawn once too often."""

_CANDIDATES = """
SELECT c.uscc, c.risk_class, coalesce(i.visits, 0) AS visits
FROM entity_class c JOIN entity e ON e.uscc = c.uscc
LEFT JOIN (SELECT uscc, count(*) AS visits FROM inspection WHERE year = $1 GROUP BY uscc) i ON i.uscc = c.uscc
WHERE c.risk_class = ANY($2::varchar[]) AND e.registration_status = 'active' AND e.archived_at IS NULL {where}
ORDER BY c.uscc
"""
_VISITS = "SELECT uscc, count(*) AS visits FROM inspection WHERE year = $1 GROUP BY uscc"


async def lock_draws(connection: AnyConnection) -> None:
    await connection.execute("SELECT pg_advisory_xact_lock($1)", DRAW_LOCK)


async def candidates(connection: AnyConnection, plan: InspectionPlan, classes: list[str]) -> list[Any]:
    """Entities in the plan's scope with their visits of the year so far, in the order of their codes."""
    arguments: list[Any] = [plan.year, classes]
    parts = [("c.division", plan.division), ("c.industry", plan.industry)]
    where = "".join(f" AND {within(column, prefix, arguments)}" for column, prefix in parts if prefix)
    return list(await connection.fetch(_CANDIDATES.format(where=where), *arguments))


async def visits(connection: AnyConnection, year: int) -> dict[str, int]:
    """How often each entity was drawn in a year, by any agency."""
    return {row["uscc"]: row["visits"] for row in await connection.fetch(_VISITS, year)}


async def items(session: AsyncSession, agency_uscc: str) -> Sequence[InspectionItem]:
    statement = select(InspectionItem).where(col(InspectionItem.agency_uscc) == agency_uscc)
    return (await session.execute(statement.order_by(col(InspectionItem.code)))).scalars().all()


async def inspectors(session: AsyncSession, agencies: Sequence[str]) -> Sequence[Inspector]:
    statement = select(Inspector).where(col(Inspector.agency_uscc).in_(agencies)).order_by(col(Inspector.id))
    return (await session.execute(statement)).scalars().all()


async def inspector(session: AsyncSession, agency_uscc: str, inspector_id: UUID) -> Inspector | None:
    return await session.get(Inspector, (agency_uscc, inspector_id))


async def conflicts(session: AsyncSession, ids: Sequence[UUID]) -> Sequence[InspectorConflict]:
    statement = select(InspectorConflict).where(col(InspectorConflict.inspector_id).in_(ids))
    return (await session.execute(statement)).scalars().all()


async def plan(session: AsyncSession, plan_id: UUID, *, lock: bool = False) -> InspectionPlan | None:
    statement = select(InspectionPlan).where(col(InspectionPlan.id) == plan_id)
    return (await session.execute(statement.with_for_update() if lock else statement)).scalar_one_or_none()


async def plans(session: AsyncSession, agency_uscc: str, after: UUID | None, limit: int) -> Sequence[InspectionPlan]:
    """An agency's own plans and those it takes part in, the newest first, one more than ``limit``."""
    taking_part = literal(agency_uscc) == any_(col(InspectionPlan.participants))
    own = or_(col(InspectionPlan.agency_uscc) == agency_uscc, taking_part)
    statement = select(InspectionPlan).where(own).order_by(col(InspectionPlan.id).desc()).limit(limit + 1)
    if after is not None:
        statement = statement.where(col(InspectionPlan.id) < after)
    return (await session.execute(statement)).scalars().all()


async def draw(session: AsyncSession, plan_id: UUID) -> InspectionDraw | None:
    return await session.get(InspectionDraw, plan_id)


async def draws(
    session: AsyncSession, before: tuple[datetime, UUID] | None, limit: int
) -> Sequence[tuple[InspectionPlan, dict[str, Any], datetime | None]]:
    """Plans that were committed to, with commitment and time of the draw, the newest first, one more than ``limit``."""
    place = col(InspectionDraw.committed_at), col(InspectionDraw.plan_id)
    statement = (
        select(InspectionPlan, col(InspectionDraw.commitment), col(InspectionDraw.drawn_at))
        .join(InspectionDraw, col(InspectionDraw.plan_id) == col(InspectionPlan.id))
        .order_by(*(each.desc() for each in place))
        .limit(limit + 1)
    )
    if before is not None:
        statement = statement.where(tuple_(*place) < before)
    return [(row[0], row[1], row[2]) for row in (await session.execute(statement)).all()]


async def inspections(session: AsyncSession, plan_id: UUID, after: str, limit: int) -> Sequence[Inspection]:
    """The entities a plan drew in the order of their codes, one more than ``limit``."""
    statement = select(Inspection).where(col(Inspection.plan_id) == plan_id, col(Inspection.uscc) > after)
    return (await session.execute(statement.order_by(col(Inspection.uscc)).limit(limit + 1))).scalars().all()


async def results(session: AsyncSession, plan_id: UUID, after: str, limit: int) -> Sequence[tuple[Inspection, Record]]:
    """The recorded results of a plan with their records, shown or not, in the order of the codes; one more.

    Without those of archived entities.
    """
    statement = (
        select(Inspection, Record)
        .join(Record, and_(col(Record.uscc) == col(Inspection.uscc), col(Record.id) == col(Inspection.record_id)))
        .join(Entity, and_(col(Entity.uscc) == col(Inspection.uscc), ~is_archived()))
        .where(col(Inspection.plan_id) == plan_id, col(Inspection.uscc) > after)
        .order_by(col(Inspection.uscc))
        .limit(limit + 1)
    )
    return [(found, record) for found, record in (await session.execute(statement)).all()]


async def inspection(session: AsyncSession, inspection_id: UUID, *, lock: bool = False) -> Inspection | None:
    statement = select(Inspection).where(col(Inspection.id) == inspection_id)
    return (await session.execute(statement.with_for_update() if lock else statement)).scalar_one_or_none()
