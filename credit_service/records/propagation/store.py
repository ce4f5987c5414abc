"""SQL of propagation."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, false, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.accounts.models import Agency
from credit_service.records.propagation.models import Propagation
from credit_service.records.propagation.rules import GIVEN_OUT, PropagationState, Receiver, Term

if TYPE_CHECKING:
    from asyncpg import Connection

# The first two digits of a division are its province; 10 is the country itself, which is no other province.
_TELL = """
WITH changed AS (
    SELECT r.uscc, r.id, r.version, r.item_code, r.document_number, r.authority_uscc, r.source_uscc, r.recorded_at,
        e.division, b.standing::json ->> 'publicity_from' <= $3 AS was_public
    FROM unnest($1::varchar[], $2::uuid[]) AS given (uscc, id)
    JOIN record r ON r.uscc = given.uscc AND r.id = given.id
    JOIN entity e ON e.uscc = r.uscc
    JOIN record_version b ON b.uscc = r.uscc AND b.record_id = r.id AND b.version = r.version - 1
    WHERE b.standing::json ->> 'state' = ANY ($4)
), told AS (
    SELECT c.*, 'credit-china' AS kind, 'credit-china' AS receiver FROM changed c WHERE c.was_public
    UNION ALL
    SELECT c.*, 'enterprise-publicity-system', 'enterprise-publicity-system' FROM changed c
    WHERE c.was_public AND c.item_code = ANY ($5)
    UNION ALL
    SELECT c.*, 'registration-place', c.division FROM changed c
    WHERE c.was_public AND left(c.division, 2) <> substr(c.authority_uscc, 3, 2)
        AND left(c.division, 2) <> '10' AND substr(c.authority_uscc, 3, 2) <> '10'
    UNION ALL
    SELECT c.*, 'agency', a.uscc FROM changed c CROSS JOIN LATERAL (
        SELECT c.source_uscc UNION SELECT c.authority_uscc
        UNION SELECT l.agency_uscc FROM access_log l WHERE l.uscc = c.uscc AND l.at >= c.recorded_at
    ) AS read (uscc) JOIN agency a ON a.uscc = read.uscc AND a.uscc IS DISTINCT FROM $6
), superseded AS (
    UPDATE propagation p SET superseded_at = $7
    FROM changed c WHERE p.uscc = c.uscc AND p.record_id = c.id AND p.acknowledged_at IS NULL
        AND p.superseded_at IS NULL
)
INSERT INTO propagation (uscc, id, record_id, record_version, change, instruction, receiver_type, receiver, item_code,
    document_number, source_uscc, authority_uscc, caused_at, due_at, provisional, rule_version, status,
    amount, unit, calendar)
SELECT told.uscc, uuidv7(), told.id, told.version, $8, $9, told.kind, told.receiver, told.item_code,
    told.document_number, told.source_uscc, told.authority_uscc, $7, t.due_at, t.provisional, t.rule_version, t.status,
    t.amount, t.unit, t.calendar
FROM told CROSS JOIN LATERAL (
    SELECT * FROM unnest($10::text[], $11::text[], $12::timestamptz[], $13::boolean[], $14::text[], $15::text[],
            $16::int[], $17::text[], $18::int[])
        AS each (kind, prefix, due_at, provisional, rule_version, status, amount, unit, calendar)
    WHERE each.kind = told.kind AND starts_with(substr(told.authority_uscc, 3, 6), each.prefix)
    ORDER BY length(each.prefix) DESC LIMIT 1
) AS t
"""


async def tell(
    connection: Connection[Any],
    keys: Collection[tuple[str, UUID]],
    *,
    now: datetime,
    now_text: str,
    items: Sequence[str],
    by_agency: str | None,
    change: str,
    instruction: str,
    terms: Iterable[tuple[Receiver, str, Term]],
) -> None:
    """Write the rows of records that have just changed, whatever their number, with one statement.

    Earlier ones that nobody has acknowledged are superseded: what counts is how the record stands now.
    """
    kinds, prefixes, found = zip(*terms, strict=True)
    await connection.execute(
        _TELL,
        [uscc for uscc, _ in keys],
        [record_id for _, record_id in keys],
        now_text,
        sorted(GIVEN_OUT),
        items,
        by_agency,
        now,
        change,
        instruction,
        [kind.value for kind in kinds],
        list(prefixes),
        [term.due_at for term in found],
        [term.provisional for term in found],
        [term.rule_version for term in found],
        [term.status for term in found],
        [term.amount for term in found],
        [term.unit for term in found],
        [term.calendar for term in found],
    )


def received_by(agency: str, prefix: str, platforms: Sequence[str]) -> ColumnElement[bool]:
    """Rows that an agency has to acknowledge: its own, its place's, and those of the platforms it runs."""
    kind, receiver = col(Propagation.receiver_type), col(Propagation.receiver)
    place = and_(kind == Receiver.REGISTRATION_PLACE, receiver.startswith(prefix)) if prefix else false()
    return or_(and_(kind == Receiver.AGENCY, receiver == agency), place, kind.in_(platforms))


def answered_for_by(agency: str) -> ColumnElement[bool]:
    """Rows of records that an agency, or one whose next higher authority it is, submitted or decided."""
    below = select(col(Agency.uscc)).where(or_(col(Agency.uscc) == agency, col(Agency.parent_uscc) == agency))
    return or_(col(Propagation.source_uscc).in_(below), col(Propagation.authority_uscc).in_(below))


def in_state(state: PropagationState, now: datetime) -> ColumnElement[bool]:
    """``rules.state_of`` in SQL."""
    acknowledged, superseded = col(Propagation.acknowledged_at), col(Propagation.superseded_at)
    if state is PropagationState.ACKNOWLEDGED:
        return acknowledged.is_not(None)
    if state is PropagationState.SUPERSEDED:
        return and_(acknowledged.is_(None), superseded.is_not(None))
    over = col(Propagation.due_at) <= literal(now)
    return and_(acknowledged.is_(None), superseded.is_(None), over if state is PropagationState.OVERDUE else ~over)


async def page(
    session: AsyncSession, where: Sequence[ColumnElement[bool]], after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Propagation]:
    """Those due first come first; ``limit`` + 1 rows."""
    conditions = list(where)
    if after is not None:
        due_at, identifier = after
        place = col(Propagation.due_at)
        conditions.append(or_(place > due_at, and_(place == due_at, col(Propagation.id) > identifier)))
    statement = select(Propagation).where(*conditions).order_by(col(Propagation.due_at), col(Propagation.id))
    return (await session.execute(statement.limit(limit + 1))).scalars().all()


async def one(session: AsyncSession, identifier: UUID, where: ColumnElement[bool]) -> Propagation | None:
    """A row among those of ``where``, held."""
    statement = select(Propagation).where(col(Propagation.id) == identifier, where).with_for_update()
    return (await session.execute(statement)).scalar_one_or_none()


_OPEN = (col(Propagation.acknowledged_at).is_(None), col(Propagation.superseded_at).is_(None))


async def overdue_untold(session: AsyncSession, now: datetime, limit: int) -> Sequence[Propagation]:
    """Overdue rows that no supervisor has been told of, held; those another worker holds are its own business."""
    statement = (
        select(Propagation)
        .where(*_OPEN, col(Propagation.escalated_at).is_(None), col(Propagation.due_at) <= now)
        .order_by(col(Propagation.due_at))
    )
    return await _held(session, statement, limit)


async def computed_before(session: AsyncSession, version: int, limit: int) -> Sequence[Propagation]:
    """Open rows whose time-limit an older calendar gave, held."""
    statement = (
        select(Propagation).where(*_OPEN, col(Propagation.calendar) < version).order_by(col(Propagation.calendar))
    )
    return await _held(session, statement, limit)


async def _held(session: AsyncSession, statement: Select[Propagation], limit: int) -> Sequence[Propagation]:
    held = statement.limit(limit).with_for_update(skip_locked=True).execution_options(populate_existing=True)
    return (await session.execute(held)).scalars().all()
