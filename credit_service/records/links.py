"""A negative inspection result stops together with the penalty or listing that followed from it (Order 107)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, col

from credit_service.platform.columns import uscc_column
from credit_service.platform.days import start_of
from credit_service.records.models import Record, State
from credit_service.records.rules import OPEN_STATES

REASON = "随其引起的处罚或列入同时停止公示 stops together with what followed from it"


class RecordLink(SQLModel, table=True):
    """A record ``caused_id`` (a penalty, a listing) that followed from ``record_id`` (an inspection result)."""

    __tablename__ = "record_link"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    record_id: UUID = Field(primary_key=True)
    caused_id: UUID = Field(primary_key=True)


Keep = Callable[[Record, str, str], Awaitable[None]]
"""Writes a changed record as its next version: the record, what happened, and why."""


async def _linked(
    session: AsyncSession, uscc: str, *, caused: UUID | None = None, of: UUID | None = None
) -> list[Record]:
    mine, other = (
        (RecordLink.record_id, col(RecordLink.caused_id) == caused)
        if caused is not None
        else (RecordLink.caused_id, col(RecordLink.record_id) == of)
    )
    statement = (
        select(Record)
        .join(RecordLink, (col(RecordLink.uscc) == col(Record.uscc)) & (mine == col(Record.id)))
        .where(col(Record.uscc) == uscc, other)
        .order_by(col(Record.id))
    )
    return list((await session.execute(statement)).scalars())


async def link(session: AsyncSession, record: Record, caused: Record, now: datetime, keep: Keep) -> None:
    """Note that ``caused`` followed from ``record``, whose publicity is from now on bound to it."""
    await session.merge(RecordLink(uscc=record.uscc, record_id=record.id, caused_id=caused.id))
    await session.flush()
    await _bind(session, record, now, keep)


async def follow(session: AsyncSession, changed: Record, now: datetime, keep: Keep) -> None:
    """Bring along what lies behind a record that changed, in its transaction."""
    for record in await _linked(session, changed.uscc, caused=changed.id):
        await _bind(session, record, now, keep)


async def follow_correction(session: AsyncSession, corrected: Record, now: datetime, keep: Keep) -> None:
    """As ``follow``; a corrected record that is bound itself, and was judged anew by its own term, stays bound."""
    await follow(session, corrected, now, keep)
    if await _linked(session, corrected.uscc, of=corrected.id):
        await _bind(session, corrected, now, keep)


async def _bind(session: AsyncSession, record: Record, now: datetime, keep: Keep) -> None:
    """Shown as long as the last of what followed from it; not at all once none of that stands."""
    standing = [each for each in await _linked(session, record.uscc, of=record.id) if each.state in OPEN_STATES]
    coupled = record.state == State.REPAIRED and (record.state_basis or {}).get("coupled") is True
    if not standing and record.state in OPEN_STATES:
        record.state, record.state_from, record.state_reason = State.REPAIRED, now, REASON
        record.state_basis = {"coupled": True}
        await keep(record, "record.repair", REASON)
    elif standing and (record.state in OPEN_STATES or coupled):
        until = _end(record, standing)
        if coupled:
            record.state, record.state_from, record.state_reason, record.state_basis = State.PUBLISHED, now, None, None
        elif record.publicity_until == until:
            return
        record.publicity_until = until
        await keep(record, "record.bound", REASON)


def _end(record: Record, standing: Sequence[Record]) -> datetime | None:
    """When the last of what is shown ends, or else, while nothing of it is, when the record's own term does.

    ``None``: without an end. A penalty that is not published, or not yet, has no end that a record could follow.
    """
    ends = [each.publicity_until for each in standing if each.publicity_from is not None]
    if not ends:
        own = record.publicity_latest_stop
        return start_of(own) if own is not None else None
    return None if None in ends else max(end for end in ends if end is not None)
