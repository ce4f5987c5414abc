"""SQL of entities."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.entities.models import Entity, EntityName


async def get(session: AsyncSession, uscc: str, *, lock: bool = False) -> Entity | None:
    """The entity's row; with ``lock`` it is held until the transaction ends, so that its profile has one writer."""
    if not lock:
        return await session.get(Entity, uscc)
    statement = select(Entity).where(col(Entity.uscc) == uscc).with_for_update(key_share=True)
    return (await session.execute(statement)).scalar_one_or_none()


async def get_locked(session: AsyncSession, uscc: str) -> Entity:
    statement = select(Entity).where(col(Entity.uscc) == uscc).with_for_update(key_share=True)
    entity: Entity = (await session.execute(statement)).scalar_one()
    return entity


async def note(session: AsyncSession, entity: Entity) -> bool:
    """Insert unless another transaction did meanwhile; tells whether this one did."""
    statement = insert(Entity).values(**entity.model_dump()).on_conflict_do_nothing().returning(col(Entity.uscc))
    return (await session.execute(statement)).scalar_one_or_none() is not None


async def names(session: AsyncSession, uscc: str) -> Sequence[EntityName]:
    """Present and former names, the oldest row first."""
    return (
        (await session.execute(select(EntityName).where(col(EntityName.uscc) == uscc).order_by(col(EntityName.id))))
        .scalars()
        .all()
    )


async def flagged(session: AsyncSession) -> Sequence[str]:
    """Codes of entities with quality flags."""
    statement = select(col(Entity.uscc)).where(func.cardinality(col(Entity.quality_flags)) > 0)
    return (await session.execute(statement)).scalars().all()
