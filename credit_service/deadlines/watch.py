"""What the job runner does about time-limits: warn, escalate, compute anew. Nothing is decided here.

The mark on the time-limit and what is owed because of it are one transaction, taken by one worker. A worker that dies
leaves neither; a clock that is set back finds the mark and says nothing twice.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts import commands as accounts
from credit_service.deadlines import commands, rules, store
from credit_service.deadlines.models import StageDeadline
from credit_service.notifications import commands as notifications
from credit_service.notifications.commands import Recipient
from credit_service.notifications.rules import Template
from credit_service.platform.calendar import WorkingCalendar
from credit_service.platform.context import Actor


async def attend(session: AsyncSession, calendar: WorkingCalendar, actor: Actor, now: datetime, limit: int) -> int:
    """Warn of what comes due and escalate what is over; gives how many time-limits were attended to."""
    rows = await store.due_for_attention(session, now, limit)
    for row in rows:
        if row.over(now):
            await _escalate(session, calendar, actor, now, row)
        else:
            await _warn(session, calendar, actor, now, row)
    return len(rows)


async def _warn(
    session: AsyncSession, calendar: WorkingCalendar, actor: Actor, now: datetime, row: StageDeadline
) -> None:
    """One warning to the agency that has to keep it, also where several points have passed unattended."""
    assert row.due_at is not None
    before, row.warned = row.warned, rules.passed(calendar, row.due_at, tuple(row.warn_before), now)
    commands.plan_attention(calendar, row)
    if row.warned is None or row.warned == before:
        return  # a notice has moved the point since it was planned
    agency = await _answerable(session, row.agency_uscc)
    await _owe(session, actor, now, row, agency, Template.DEADLINE_WARNING, f"warning {row.warned}", {})
    commands.keep(session, actor, now, row, "warned", f"{row.warned} working days before")


async def _escalate(
    session: AsyncSession, calendar: WorkingCalendar, actor: Actor, now: datetime, row: StageDeadline
) -> None:
    """Tell the supervisor, or the agency itself where the registry knows none above it."""
    assert row.due_at is not None
    row.escalated_at, row.attention_at = now, None
    supervisor = await supervisor_of(session, row.agency_uscc)
    days = rules.days_overdue(calendar, row.due_at, now)
    await _owe(session, actor, now, row, supervisor, Template.DEADLINE_OVERDUE, "overdue", {"days_overdue": days})
    commands.keep(session, actor, now, row, "escalated", f"to {supervisor}")


async def supervisor_of(session: AsyncSession, agency: str) -> str:
    """Who is told of what an agency has let pass: the agency above it, itself where the registry knows none."""
    answerable = await _answerable(session, agency)
    parent = await accounts.parent_of(session, answerable)
    return await _answerable(session, parent) if parent is not None else answerable


async def _answerable(session: AsyncSession, agency: str) -> str:
    """Who answers now for an agency that was merged or abolished."""
    return await accounts.successor_of(session, agency) or agency


async def _owe(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    row: StageDeadline,
    agency: str,
    template: Template,
    occasion: str,
    data: dict[str, int],
) -> None:
    assert row.due_at is not None
    last_day = rules.last_day_of(row.due_at)
    await notifications.owe(
        session,
        actor,
        now,
        Recipient.agency(agency),
        template,
        notifications.Case(row.uscc, row.case_type, row.case_id, row.reference),
        {
            "agency_name": await accounts.agency_name(session, agency),
            "stage": rules.label_of(row.stage),
            "due_on": last_day,
            **data,
        },
        dedupe_key=f"deadline {row.id} {last_day} {occasion}",
    )
