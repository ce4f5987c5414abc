"""What the job runner does about propagation: tell supervisors of what is overdue, compute anew after a notice.

The mark on a row and what is owed because of it are one transaction, as with the time-limits of cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

import structlog
from pgqueuer import PgQueuer
from pgqueuer.models import Schedule
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts import commands as accounts
from credit_service.audit import events
from credit_service.deadlines.calendars import load_calendar
from credit_service.deadlines.rules import Run, days_overdue, due, last_day_of
from credit_service.deadlines.watch import supervisor_of
from credit_service.notifications import commands as notifications
from credit_service.notifications.commands import Recipient
from credit_service.notifications.rules import Template
from credit_service.platform.calendar import WorkingCalendar
from credit_service.platform.clock import Clock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.days import rfc3339
from credit_service.records.propagation import rules, store
from credit_service.records.propagation.models import Propagation
from credit_service.records.propagation.rules import Receiver

logger = structlog.get_logger(__name__)

EVERY_MINUTE = "* * * * *"
AT_ONCE = 200


async def escalate(session: AsyncSession, actor: Actor, now: datetime, limit: int) -> int:
    """Tell supervisors of what is overdue; gives how many rows. Rows of one receiver and day are one notification."""
    calendar = await load_calendar(session)
    rows = sorted(await store.overdue_untold(session, now, limit), key=_bundle)
    for _, found in groupby(rows, key=_bundle):
        await _escalate(session, calendar, actor, now, list(found))
    return len(rows)


def _answerable(row: Propagation) -> str:
    """Who has let it pass: the agency that was told, else the authority that has to see that others are (谁认定)."""
    return row.receiver if row.receiver_type == Receiver.AGENCY else row.authority_uscc


def _bundle(row: Propagation) -> tuple[str, str, str, datetime]:
    return _answerable(row), row.receiver_type, row.receiver, row.due_at


async def _escalate(
    session: AsyncSession, calendar: WorkingCalendar, actor: Actor, now: datetime, rows: Sequence[Propagation]
) -> None:
    first = min(rows, key=lambda row: row.id)
    supervisor = await supervisor_of(session, _answerable(first))
    last_day = last_day_of(first.due_at)
    await notifications.owe(
        session,
        actor,
        now,
        Recipient.agency(supervisor),
        Template.DEADLINE_OVERDUE,
        notifications.Case(first.uscc, "propagation", first.id, rules.reference_of(first.caused_at, first.id)),
        {
            "agency_name": await accounts.agency_name(session, supervisor),
            "stage": rules.stage_of(first.receiver_type, first.receiver, len(rows)),
            "due_on": last_day,
            "days_overdue": days_overdue(calendar, first.due_at, now),
        },
        dedupe_key=f"propagation {first.id} {last_day} overdue",
    )
    for row in rows:
        row.escalated_at = now
        _note(session, actor, now, row, "propagation.escalated", f"to {supervisor}")
    await session.flush()


async def recompute(session: AsyncSession, actor: Actor, now: datetime, limit: int) -> tuple[int, int]:
    """Compute anew what an older calendar gave; gives how many rows were looked at and how many of them changed."""
    calendar = await load_calendar(session)
    rows = await store.computed_before(session, calendar.version, limit)
    changed = 0
    for row in rows:
        before = (row.due_at, row.provisional)
        row.due_at, row.provisional = due(calendar, Run(row.caused_at, row.amount, row.unit, None))
        row.calendar = calendar.version
        if row.due_at > now:
            row.escalated_at = None  # it was overdue by the older calendar only
        if (row.due_at, row.provisional) != before:
            changed += 1
            _note(session, actor, now, row, "propagation.recomputed", f"calendar {calendar.version}")
    await session.flush()
    return len(rows), changed


def _note(session: AsyncSession, actor: Actor, now: datetime, row: Propagation, action: str, reason: str) -> None:
    content = {"due_at": rfc3339(row.due_at), "receiver": row.receiver, "rule_version": row.rule_version}
    event = events.new_event(
        actor,
        now,
        action,
        uscc=row.uscc,
        subject_type="propagation",
        subject_id=str(row.id),
        after=events.commitment(b"", events.canonical_json(content)),
        reason=reason,
    )
    events.append(session, [event])


async def attend(database: Database, actor: Actor, now: datetime) -> tuple[int, int]:
    """Both, a batch a transaction; gives how many time-limits moved and how many rows were escalated."""
    moved = escalated = 0
    seen = AT_ONCE
    while seen == AT_ONCE:
        async with database.transaction() as session:
            seen, changed = await recompute(session, actor, now, AT_ONCE)
        moved += changed
    done = AT_ONCE
    while done == AT_ONCE:
        async with database.transaction() as session:
            done = await escalate(session, actor, now, AT_ONCE)
        escalated += done
    return moved, escalated


def schedule(queue: PgQueuer, database: Database, clock: Clock, actor: Actor) -> None:
    """Enter the job. It computes before it escalates: nobody is reported for a day that a notice made a holiday."""

    @queue.schedule("attend-propagations", EVERY_MINUTE)
    async def _attend(job: Schedule) -> None:
        moved, escalated = await attend(database, actor, clock.now())
        logger.info("propagation attended to", recomputed=moved, escalated=escalated)
