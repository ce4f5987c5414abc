"""SQL of rule sets, settings and what is known of one entity."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.entities.history import ENTITIES_AT, RECORDS_AT
from credit_service.entities.models import Entity
from credit_service.identity import industries
from credit_service.platform.database import Database
from credit_service.platform.times import PointInTime
from credit_service.records.models import Record
from credit_service.supervision.classes.models import (
    ClassHistory,
    ClassRun,
    ClassRunChunk,
    EntityClass,
    RuleSetRow,
    SupervisionSetting,
)
from credit_service.supervision.classes.rules import Facts, RecordFact

_FACTS = "public_facts", "shared_facts", "restricted_facts"
_COLUMNS = "id", "item_code", "severity", "decided_on", "valid_until", "state", "publicity_from", "publicity_until"


async def in_force(session: AsyncSession) -> dict[str, RuleSetRow]:
    """The rule set in force for each division prefix that has its own; the empty prefix is the whole registry's."""
    rows = (await session.execute(select(RuleSetRow).where(col(RuleSetRow.state) == "active"))).scalars()
    return {row.division: row for row in rows}


async def rule_set(session: AsyncSession, rule_set_id: UUID, *, lock: bool = False) -> RuleSetRow | None:
    statement = select(RuleSetRow).where(col(RuleSetRow.id) == rule_set_id)
    return (await session.execute(statement.with_for_update() if lock else statement)).scalar_one_or_none()


async def edition(session: AsyncSession, agency_uscc: str, name: str, version: str) -> RuleSetRow | None:
    statement = select(RuleSetRow).where(
        col(RuleSetRow.agency_uscc) == agency_uscc, col(RuleSetRow.name) == name, col(RuleSetRow.edition) == version
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def rule_sets(session: AsyncSession, after: UUID | None, limit: int) -> Sequence[RuleSetRow]:
    """The newest first, one more than ``limit``."""
    statement = select(RuleSetRow).order_by(col(RuleSetRow.id).desc()).limit(limit + 1)
    if after is not None:
        statement = statement.where(col(RuleSetRow.id) < after)
    return (await session.execute(statement)).scalars().all()


async def facts_of(session: AsyncSession, uscc: str) -> Facts | None:
    """What the registry holds of an entity now."""
    entity = (await session.execute(select(Entity).where(col(Entity.uscc) == uscc))).scalar_one_or_none()
    if entity is None:
        return None
    rows = (await session.execute(select(Record).where(col(Record.uscc) == uscc))).scalars()
    return _facts(entity.model_dump(), [row.model_dump() for row in rows])


async def facts_at(database: Database, uscc: str, point: PointInTime, now: datetime) -> Facts | None:
    """What held in law at ``point.as_of`` by what was known at ``point.known_at``."""
    # The first statement needs no more of the parameters than $1 and $4, and has to name the others.
    pool = await database.pool()
    entity = await pool.fetchrow(
        f"{ENTITIES_AT} WHERE $2::timestamptz IS NOT NULL AND $3::text[] IS NOT NULL",
        [uscc],
        point.as_of,
        ["regulator"],
        point.known_at,
    )
    if entity is None:
        return None
    rows = await pool.fetch(RECORDS_AT, [uscc], point.as_of, ["regulator"], point.known_at, now)
    return _facts(dict(entity), [dict(row) | {name: orjson.loads(row[name]) for name in _FACTS} for row in rows])


def _facts(entity: dict[str, Any], records: list[dict[str, Any]]) -> Facts:
    return Facts(
        uscc=entity["uscc"],
        division=entity["division"],
        industry=_industry(entity["industry"]),
        category=entity["category"],
        registration_status=entity["registration_status"],
        established_on=entity["established_on"],
        records=tuple(
            RecordFact(
                **{name: row[name] for name in _COLUMNS},
                disclosure_until=row["disclosure_until"],
                values={**row["restricted_facts"], **row["shared_facts"], **row["public_facts"]},
            )
            for row in sorted(records, key=lambda row: (row["decided_on"], str(row["id"])))
        ),
    )


def _industry(code: str | None) -> str:
    """The section and division of GB/T 4754, as ``compiling.INDUSTRY`` writes it."""
    if not code:
        return ""
    if code[0].isalpha():
        return code[:3]
    section = industries.section_of(code[:2])
    return f"{section}{code[:2]}" if section else ""


async def class_of(session: AsyncSession, uscc: str) -> EntityClass | None:
    return await session.get(EntityClass, uscc)


async def history_of(session: AsyncSession, uscc: str) -> Sequence[ClassHistory]:
    """Every class an entity has had, the oldest first."""
    statement = (
        select(ClassHistory)
        .where(col(ClassHistory.uscc) == uscc)
        .order_by(col(ClassHistory.since), col(ClassHistory.id))
    )
    return (await session.execute(statement)).scalars().all()


async def setting(session: AsyncSession, agency_uscc: str, *, lock: bool = False) -> SupervisionSetting | None:
    statement = select(SupervisionSetting).where(col(SupervisionSetting.agency_uscc) == agency_uscc)
    return (await session.execute(statement.with_for_update() if lock else statement)).scalar_one_or_none()


async def opened(session: AsyncSession, division: str) -> bool:
    """Whether an authority of the division, or of one that it lies in, has opened classes to their subjects."""
    prefixes = {division[:length] for length in (2, 4, 6)}
    statement = select(col(SupervisionSetting.agency_uscc)).where(
        col(SupervisionSetting.open_to_subjects),
        or_(col(SupervisionSetting.division).in_(prefixes), col(SupervisionSetting.division) == ""),
    )
    return (await session.execute(statement.limit(1))).scalar_one_or_none() is not None


async def run(session: AsyncSession, run_id: UUID) -> ClassRun | None:
    return await session.get(ClassRun, run_id)


async def open_runs(session: AsyncSession) -> Sequence[UUID]:
    statement = select(col(ClassRun.id)).where(col(ClassRun.state) == "open").order_by(col(ClassRun.id))
    return (await session.execute(statement)).scalars().all()


async def open_full(session: AsyncSession) -> UUID | None:
    """The full run over the registry that is not finished; there is one at most."""
    statement = select(col(ClassRun.id)).where(
        col(ClassRun.kind) == "full", col(ClassRun.state) == "open", col(ClassRun.division) == ""
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def population(session: AsyncSession) -> int:
    """How many entities the registry holds."""
    return (await session.execute(select(func.count()).select_from(Entity))).scalar_one()


async def chunks(session: AsyncSession, run_id: UUID) -> Sequence[ClassRunChunk]:
    statement = select(ClassRunChunk).where(col(ClassRunChunk.run_id) == run_id).order_by(col(ClassRunChunk.number))
    return (await session.execute(statement)).scalars().all()
