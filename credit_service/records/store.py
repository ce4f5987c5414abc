"""SQL of records."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ColumnElement, Date, Select, and_, cast, exists, func, or_, select, text, true, union_all
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.entities.archive import is_archived
from credit_service.entities.models import Entity
from credit_service.identity.document_number import normalised
from credit_service.records.models import EarlierNumber, Import, ImportReceipt, Record, RecordVersion, State


async def by_natural_key(session: AsyncSession, key: tuple[str, str, str, str]) -> Record | None:
    """The current row of (uscc, item, normalised document number, authority), or ``None``."""

    def keyed(table: type[Record | EarlierNumber], found: Any) -> Select[tuple[UUID]]:
        columns = (table.uscc, table.item_code, table.document_number, table.authority_uscc)
        return select(found).where(*(col(column) == value for column, value in zip(columns, key, strict=True)))

    ids = union_all(keyed(Record, Record.id), keyed(EarlierNumber, EarlierNumber.record_id))
    statement = select(Record).where(col(Record.uscc) == key[0], col(Record.id).in_(ids))
    return (await session.execute(statement)).scalar_one_or_none()


async def by_id(session: AsyncSession, record_id: UUID) -> Record | None:
    return (await session.execute(select(Record).where(col(Record.id) == record_id))).scalar_one_or_none()


async def by_id_and_archived(session: AsyncSession, record_id: UUID) -> tuple[Record | None, bool]:
    """The record, and whether its entity is deregistered and archived."""
    joined = select(Record, is_archived()).join(Entity, col(Entity.uscc) == col(Record.uscc))
    found = (await session.execute(joined.where(col(Record.id) == record_id))).one_or_none()
    return (found[0], found[1]) if found is not None else (None, False)


async def by_id_locked(session: AsyncSession, record_id: UUID) -> Record | None:
    """The record with its entity's row held: whoever changes a record is alone with its entity until the end."""
    found = await by_id(session, record_id)
    if found is not None:
        await hold(session, found)
    return found


async def hold(session: AsyncSession, record: Record) -> None:
    """Hold the entity's row of a record, and read the record again as whoever held it before has left it."""
    held = select(col(Entity.uscc)).where(col(Entity.uscc) == record.uscc).with_for_update(key_share=True)
    await session.execute(held)
    await session.refresh(record)


async def commitment_of(session: AsyncSession, record: Record, version: int) -> bytes:
    statement = select(col(RecordVersion.commitment)).where(
        col(RecordVersion.uscc) == record.uscc,
        col(RecordVersion.record_id) == record.id,
        col(RecordVersion.version) == version,
    )
    found: bytes = (await session.execute(statement)).scalar_one()
    return found


async def versions(session: AsyncSession, record: Record) -> Sequence[RecordVersion]:
    """Every version of a record, the oldest first."""
    statement = (
        select(RecordVersion)
        .where(col(RecordVersion.uscc) == record.uscc, col(RecordVersion.record_id) == record.id)
        .order_by(col(RecordVersion.version))
    )
    return (await session.execute(statement)).scalars().all()


async def authors(session: AsyncSession, record: Record, changes: Collection[str]) -> Sequence[str]:
    """Who made the versions of a record that came of these changes, the oldest first."""
    statement = (
        select(col(RecordVersion.actor))
        .where(
            col(RecordVersion.uscc) == record.uscc,
            col(RecordVersion.record_id) == record.id,
            col(RecordVersion.change).in_(changes),
        )
        .order_by(col(RecordVersion.version))
    )
    return (await session.execute(statement)).scalars().all()


async def standing_of_item(session: AsyncSession, uscc: str, item_code: str) -> Sequence[Record]:
    """An entity's records of one item that nothing has ended."""
    statement = select(Record).where(
        col(Record.uscc) == uscc,
        col(Record.item_code) == item_code,
        col(Record.state).in_((State.AWAITING_NOTICE, State.PUBLISHED, State.WITHHELD)),
    )
    return (await session.execute(statement)).scalars().all()


def visible_at(now: datetime, uscc: str | None = None) -> ColumnElement[bool]:
    """The publicity predicate in SQL, of entities that are not archived; ``records.rules.is_visible`` is the same."""
    return and_(
        _entity_stays(uscc),
        col(Record.state) == State.PUBLISHED,
        col(Record.publicity_from) <= now,
        or_(col(Record.publicity_until).is_(None), col(Record.publicity_until) > now),
    )


def shared_at(now: datetime, uscc: str | None = None) -> ColumnElement[bool]:
    """Shared between agencies: until repair, annulment or withdrawal stops sharing (Order 36 art. 3), or the limit."""
    return and_(
        _entity_stays(uscc),
        col(Record.state).in_((State.PUBLISHED, State.WITHHELD)),
        or_(col(Record.disclosure_until).is_(None), col(Record.disclosure_until) > now),
    )


def _entity_stays(uscc: str | None) -> ColumnElement[bool]:
    """Asked once where all records are of one entity, and of each record where they are not."""
    return ~exists().where(col(Entity.uscc) == (uscc or col(Record.uscc)), is_archived())


def in_division(prefix: str) -> ColumnElement[bool]:
    """Records of entities whose division lies within ``prefix``."""
    entities = select(col(Entity.uscc)).where(col(Entity.division).startswith(prefix, autoescape=True))
    return col(Record.uscc).in_(entities)


def in_industry(prefix: str) -> ColumnElement[bool]:
    """Records of entities whose industry lies within ``prefix``."""
    entities = select(col(Entity.uscc)).where(col(Entity.industry).startswith(prefix, autoescape=True))
    return col(Record.uscc).in_(entities)


async def page(
    session: AsyncSession,
    where: Sequence[ColumnElement[bool]],
    *,
    after: tuple[date, UUID] | None,
    limit: int,
    seen: ColumnElement[bool] | None,
) -> Sequence[Record]:
    """Newest decisions first, ``limit`` + 1 rows so that the caller knows whether more follow."""
    conditions = [*where, true() if seen is None else seen]
    if after is not None:
        day, record_id = after
        conditions.append(
            or_(col(Record.decided_on) < day, and_(col(Record.decided_on) == day, col(Record.id) > record_id))
        )
    statement = (
        select(Record).where(*conditions).order_by(col(Record.decided_on).desc(), col(Record.id)).limit(limit + 1)
    )
    return (await session.execute(statement)).scalars().all()


LED_TO = "led_to_decision"
"""The fact by which a record names the decision it led to."""


async def led_to(session: AsyncSession, record: Record) -> Sequence[Record]:
    """Standing records of the entity that name this record's document as the decision they led to."""
    statement = (
        select(Record)
        .where(
            col(Record.uscc) == record.uscc,
            col(Record.authority_uscc) == record.authority_uscc,
            col(Record.public_facts)[LED_TO].as_string().is_not(None),
            col(Record.state).in_((State.PUBLISHED, State.WITHHELD, State.SHIELDED)),
        )
        .order_by(col(Record.id))
    )
    decision = normalised(record.document_number)
    naming = (await session.execute(statement)).scalars()
    return [each for each in naming if normalised(each.public_facts[LED_TO]) == decision]


async def heavier_since(session: AsyncSession, record: Record) -> bool:
    """Whether the entity has a standing serious record that was decided after this one."""
    statement = select(
        exists().where(
            col(Record.uscc) == record.uscc,
            col(Record.id) != record.id,
            col(Record.severity) == "serious",
            col(Record.decided_on) > record.decided_on,
            col(Record.state).in_((State.AWAITING_NOTICE, State.PUBLISHED, State.WITHHELD, State.SHIELDED)),
        )
    )
    return bool((await session.execute(statement)).scalar_one())


async def import_of(session: AsyncSession, import_id: UUID, agency_uscc: str) -> Import | None:
    statement = select(Import).where(col(Import.id) == import_id, col(Import.agency_uscc) == agency_uscc)
    return (await session.execute(statement)).scalar_one_or_none()


async def import_by_key(session: AsyncSession, agency_uscc: str, key: str) -> Import | None:
    statement = select(Import).where(col(Import.agency_uscc) == agency_uscc, col(Import.idempotency_key) == key)
    return (await session.execute(statement)).scalar_one_or_none()


async def receipts(
    session: AsyncSession, import_id: UUID, *, outcome: str | None, after: int, limit: int
) -> Sequence[ImportReceipt]:
    """Receipts in the order of the file's rows, from the row after ``after``."""
    conditions: list[Any] = [col(ImportReceipt.import_id) == import_id, col(ImportReceipt.row_number) > after]
    if outcome:
        conditions.append(col(ImportReceipt.outcome) == outcome)
    statement = select(ImportReceipt).where(*conditions).order_by(col(ImportReceipt.row_number)).limit(limit + 1)
    return (await session.execute(statement)).scalars().all()


async def content_of(session: AsyncSession, record: Record) -> bytes:
    """The canonical content of the record's newest version."""
    statement = select(col(RecordVersion.content)).where(
        col(RecordVersion.uscc) == record.uscc,
        col(RecordVersion.record_id) == record.id,
        col(RecordVersion.version) == record.version,
    )
    content: str | None = (await session.execute(statement)).scalar_one()
    return (content or "").encode()


async def due_for_archive(session: AsyncSession, now: datetime, limit: int) -> Sequence[Record]:
    """Records past their disclosure limit, with their entities held; rows that another worker holds are passed over."""
    statement = (
        select(Record, Entity)
        .join(Entity, col(Entity.uscc) == col(Record.uscc))
        .where(
            col(Record.disclosure_until) <= now,
            col(Record.state) != State.ARCHIVED,
            col(Record.state) != State.SHIELDED,
        )
        .order_by(col(Record.uscc), col(Record.id))
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True)
    )
    return [record for record, _ in (await session.execute(statement)).all()]


async def erase(session: AsyncSession, record: Record, now: datetime) -> int:
    """Empty every version of a record, what led to it and what was said about it, through the functions that may.

    See migrations 0014, 0019, 0023 and 0027.
    """
    statement = select(func.erase_record(record.uscc, record.id, now))
    emptied: int = (await session.execute(statement)).scalar_one()
    await session.execute(select(func.forget_proceedings(record.uscc, record.id)))
    await session.execute(select(func.forget_cases(record.uscc, record.id)))
    await session.execute(select(func.forget_notices(record.uscc, record.id)))
    return emptied


async def is_under_consideration(session: AsyncSession, record: Record) -> bool:
    """Whether a repair of the record or an objection to it waits for a decision."""
    statement = text(
        "SELECT EXISTS (SELECT FROM workflow_case WHERE uscc = :uscc AND record_id = :record_id"
        " AND submitted_at IS NOT NULL AND closed_at IS NULL)"
    )
    found = await session.execute(statement, {"uscc": record.uscc, "record_id": record.id})
    return bool(found.scalar_one())


async def first_published_at(session: AsyncSession, record: Record) -> datetime | None:
    """When the record was first to be seen, by its versions: a repair revoked for fraud begins a second publicity."""
    statement = text(
        "SELECT min((standing::json ->> 'publicity_from')::timestamptz) FROM record_version"
        " WHERE uscc = :uscc AND record_id = :record_id"
    )
    found = await session.execute(statement, {"uscc": record.uscc, "record_id": record.id})
    first: datetime | None = found.scalar_one()
    return first or record.publicity_from


class RecordedCount(NamedTuple):
    """How many records of an item were decided on one day and first recorded on another."""

    item_code: str
    decided_on: date
    recorded_on: date
    number: int


async def recorded_by_day(
    session: AsyncSession, source_uscc: str, since: datetime, until: datetime
) -> list[RecordedCount]:
    """An agency's records of a period, counted by item, decision day and day of recording (Asia/Shanghai)."""
    recorded_on = cast(func.timezone("Asia/Shanghai", col(Record.recorded_at)), Date)
    keys = (col(Record.item_code), col(Record.decided_on), recorded_on)
    statement = (
        select(*keys, func.count())
        .where(
            col(Record.source_uscc) == source_uscc,
            col(Record.recorded_at) >= since,
            col(Record.recorded_at) < until,
        )
        .group_by(*keys)
    )
    return [RecordedCount(*row) for row in await session.execute(statement)]


async def by_ids(session: AsyncSession, ids: Collection[UUID]) -> Sequence[Record]:
    """The current rows of several records, in no order."""
    return (await session.execute(select(Record).where(col(Record.id).in_(ids)))).scalars().all()
