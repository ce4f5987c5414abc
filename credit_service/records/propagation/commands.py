"""Use cases of propagation. ``tell`` is called by whatever changes a record, in the change's transaction."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.audit import events
from credit_service.catalogue.models import Catalogue
from credit_service.deadlines.calendars import load_calendar
from credit_service.platform.context import Actor
from credit_service.platform.database import driver_connection
from credit_service.platform.days import day_of, rfc3339
from credit_service.platform.errors import INVALID_REQUEST, NOT_FOUND, FieldError, Problem
from credit_service.records.propagation import rules, store
from credit_service.records.propagation.models import Acknowledgement, Propagation

SUBJECT_TYPE = "propagation"


async def tell(
    session: AsyncSession,
    catalogue: Catalogue,
    actor: Actor,
    now: datetime,
    change: str,
    keys: Collection[tuple[str, UUID]],
) -> None:
    """Owe the receivers of records (uscc, id) that have just undergone ``change`` what they have to do about it.

    A receiver is whoever may hold a copy: Credit China, the enterprise publicity system for its items, the place of
    registration when that is in another province, and the agencies that submitted, decided or were shown the file.
    """
    instruction = rules.instruction_of(change)
    if instruction is None or not keys:
        return
    await session.flush()
    await store.tell(
        await driver_connection(session),
        keys,
        now=now,
        now_text=rfc3339(now),
        items=rules.enterprise_publicity_items(catalogue),
        by_agency=actor.agency_uscc,
        change=change,
        instruction=instruction.value,
        terms=rules.terms(catalogue, await load_calendar(session), change, now),
    )


async def acknowledge(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    identifier: UUID,
    body: Acknowledgement,
    own: ColumnElement[bool],
) -> Propagation:
    """Enter a receiver's word, once; ``own`` are the rows it answers for.

    Raises ``NOT_FOUND``, ``INVALID_REQUEST`` for an impossible day, ``PROPAGATION_SUPERSEDED`` when a later change of
    the record asks something else.
    """
    row = await store.one(session, identifier, own)
    if row is None:
        raise Problem(NOT_FOUND)
    if row.acknowledged_at is not None:
        return row
    if row.superseded_at is not None:
        raise Problem(rules.PROPAGATION_SUPERSEDED)
    if not day_of(row.caused_at) <= body.carried_out_on <= day_of(now):
        raise Problem(INVALID_REQUEST, errors=[FieldError("/carried_out_on", "from the change's day to today")])
    row.acknowledged_at, row.acknowledged_by = now, actor.id
    row.receipt, row.carried_out_on = body.receipt, body.carried_out_on
    content = {"carried_out_on": body.carried_out_on.isoformat(), "receipt": body.receipt, "receiver": row.receiver}
    event = events.new_event(
        actor,
        now,
        "propagation.acknowledged",
        uscc=row.uscc,
        subject_type=SUBJECT_TYPE,
        subject_id=str(row.id),
        after=events.commitment(b"", events.canonical_json(content)),
        reason=row.change,
    )
    events.append(session, [event])
    return row
