"""Use cases of time-limits, each in the caller's transaction.

A stage's time-limit starts once and is open until it is met or cancelled; later it may start anew. What is over stays
over: meeting it late is counted as late, and nothing is decided by it. The interface for workflows::

    of_case(session, uscc, case_type, case_id) -> Sequence[StageDeadline]            # the oldest first
    start(session, calendar, actor, now, stage, terms, agency=..., reference=...) -> StageDeadline
    meet(session, actor, now, stage)          cancel(session, actor, now, stage, reason)
    pause(session, calendar, actor, now, stage, reason)      resume(session, calendar, actor, now, stage)
    extend(session, calendar, actor, now, stage, amount, reason)
    hand_over(session, actor, now, stage, agency, reason)

``agency`` is who has to keep it: the warning goes there, the escalation to its parent. ``reference`` is all that their
e-mail tells of the case (default: its id). ``calendar`` comes from ``calendars.load_calendar(session)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.audit import events
from credit_service.deadlines import rules, store
from credit_service.deadlines.models import Stage, StageDeadline
from credit_service.deadlines.rules import Terms
from credit_service.platform.calendar import WorkingCalendar
from credit_service.platform.context import Actor
from credit_service.platform.days import rfc3339
from credit_service.platform.errors import Problem

SUBJECT_TYPE = "deadline"
Held = Stage | StageDeadline
"""A stage, or its time-limit as ``held_of_case`` gave it."""


async def of_case(session: AsyncSession, uscc: str, case_type: str, case_id: UUID) -> Sequence[StageDeadline]:
    """Every time-limit of a case, the oldest first, closed ones too."""
    await session.flush()
    return await store.of_case(session, uscc, case_type, case_id)


async def held_of_case(session: AsyncSession, uscc: str, case_type: str, case_id: UUID) -> Sequence[StageDeadline]:
    """As ``of_case``, held against other changes: what changes a stage takes such a row in its place."""
    await session.flush()
    return await store.of_case(session, uscc, case_type, case_id, held=True)


async def start(
    session: AsyncSession,
    calendar: WorkingCalendar,
    actor: Actor,
    now: datetime,
    stage: Stage,
    terms: Terms,
    *,
    agency: str,
    reference: str | None = None,
    since: datetime | None = None,
) -> StageDeadline:
    """Start a stage's time-limit at ``now``, or as of an earlier event. Raises ``DEADLINE_RUNNING``."""
    await session.flush()
    if await store.open_of(session, stage) is not None:
        raise Problem(rules.DEADLINE_RUNNING, extra={"stage": stage.name})
    return enter(session, calendar, actor, now, stage, terms, agency=agency, reference=reference, since=since)


def enter(
    session: AsyncSession,
    calendar: WorkingCalendar,
    actor: Actor,
    now: datetime,
    stage: Stage,
    terms: Terms,
    *,
    agency: str,
    reference: str | None = None,
    since: datetime | None = None,
) -> StageDeadline:
    """As ``start``, for a stage of which the caller, holding its case, has seen that no time-limit is open."""
    row = StageDeadline(
        uscc=stage.uscc,
        id=uuid7(),
        case_type=stage.case_type,
        case_id=stage.case_id,
        stage=stage.name,
        reference=reference or str(stage.case_id),
        agency_uscc=agency,
        rule_version=terms.rule_version,
        legal_basis=terms.legal_basis,
        status=terms.status,
        rule_unit=terms.unit,
        extension=terms.extension,
        cut_off=terms.cut_off,
        warn_before=list(terms.warn_before),
        started_at=now,
        counts_since=since or now,
        amount=terms.amount,
        unit=terms.unit,
    )
    begin(calendar, row, now)
    session.add(row)
    keep(session, actor, now, row, "started", None)
    return row


def begin(calendar: WorkingCalendar, row: StageDeadline, now: datetime) -> None:
    """Compute a count that begins or is prolonged at ``now``: its warnings are those that are still to come."""
    compute(calendar, row)
    assert row.due_at is not None
    row.warned = rules.passed(calendar, row.due_at, tuple(row.warn_before), now)
    row.escalated_at = None
    plan_attention(calendar, row)


def compute(calendar: WorkingCalendar, row: StageDeadline) -> None:
    """Enter when the row is due, or what is left of it, by a calendar."""
    row.calendar = calendar.version
    if row.paused_at is not None:
        row.remaining, _ = rules.remaining(calendar, row.run, row.paused_at)
        row.due_at, row.provisional, row.attention_at = None, False, None
        return
    row.due_at, row.provisional = rules.due(calendar, row.run)
    plan_attention(calendar, row)


def plan_attention(calendar: WorkingCalendar, row: StageDeadline) -> None:
    """Enter when the next warning or the escalation falls due."""
    row.attention_at = None
    if row.closed_as is None and row.due_at is not None and row.escalated_at is None:
        warning = rules.next_warning(calendar, row.due_at, tuple(row.warn_before), row.warned)
        row.attention_at = row.due_at if warning is None else min(warning[1], row.due_at)


async def meet(session: AsyncSession, actor: Actor, now: datetime, stage: Held) -> StageDeadline:
    """The stage was done at ``now``, in time or late. Raises ``DEADLINE_NOT_OPEN``."""
    return await _close(session, actor, now, stage, rules.MET, None)


async def cancel(session: AsyncSession, actor: Actor, now: datetime, stage: Held, reason: str) -> StageDeadline:
    """The stage need not be done any more. Raises ``DEADLINE_NOT_OPEN``."""
    return await _close(session, actor, now, stage, rules.CANCELLED, reason)


async def _close(
    session: AsyncSession, actor: Actor, now: datetime, stage: Held, closed_as: str, reason: str | None
) -> StageDeadline:
    row = await _open(session, stage)
    row.closed_as, row.closed_at, row.attention_at = closed_as, now, None
    keep(session, actor, now, row, closed_as, reason)
    return row


async def pause(
    session: AsyncSession, calendar: WorkingCalendar, actor: Actor, now: datetime, stage: Held, reason: str
) -> StageDeadline:
    """Stop counting; lateness is not undone.

    Raises ``DEADLINE_NOT_OPEN``, ``DEADLINE_PAUSED`` and ``DEADLINE_OVER``.
    """
    row = await _running(session, now, stage)
    row.paused_at = now
    compute(calendar, row)
    keep(session, actor, now, row, "paused", reason)
    return row


async def resume(
    session: AsyncSession, calendar: WorkingCalendar, actor: Actor, now: datetime, stage: Held
) -> StageDeadline:
    """Count on with what was left. Raises ``DEADLINE_NOT_OPEN`` and ``DEADLINE_NOT_PAUSED``."""
    row = await _open(session, stage)
    if row.paused_at is None:
        raise Problem(rules.DEADLINE_NOT_PAUSED, extra={"stage": row.stage})
    row.amount, row.unit = rules.remaining(calendar, row.run, row.paused_at)
    # A clock that was set back meanwhile does not give back days that were counted before the pause.
    row.counts_since = max(now, row.paused_at)
    row.paused_at = row.remaining = None
    begin(calendar, row, now)
    keep(session, actor, now, row, "resumed", None)
    return row


async def extend(
    session: AsyncSession,
    calendar: WorkingCalendar,
    actor: Actor,
    now: datetime,
    stage: Held,
    amount: int,
    reason: str,
) -> StageDeadline:
    """Give the one extension that the rule allows, while the time-limit is not over.

    Raises ``DEADLINE_NOT_OPEN``, ``DEADLINE_PAUSED``, ``DEADLINE_OVER`` and ``DEADLINE_NOT_EXTENDABLE``.
    """
    row = await _running(session, now, stage)
    if row.extended_at is not None or not 0 < amount <= (row.extension or 0):
        raise Problem(rules.DEADLINE_NOT_EXTENDABLE, extra={"stage": row.stage, "most": row.extension or 0})
    run = rules.extended(calendar, row.run, amount, row.rule_unit)
    row.amount, row.extended_by, row.extended_at = run.amount, amount, now
    begin(calendar, row, now)
    keep(session, actor, now, row, "extended", reason)
    return row


async def hand_over(
    session: AsyncSession, actor: Actor, now: datetime, stage: Held, agency: str, reason: str
) -> StageDeadline:
    """Another agency has to keep the time-limit from now on. Raises ``DEADLINE_NOT_OPEN``."""
    row = await _open(session, stage)
    row.agency_uscc = agency
    keep(session, actor, now, row, "handed-over", reason)
    return row


async def recompute(
    session: AsyncSession, calendar: WorkingCalendar, actor: Actor, now: datetime, limit: int
) -> tuple[int, int]:
    """Compute anew what an older calendar gave; gives how many were looked at and how many of them changed."""
    rows = await store.computed_before(session, calendar.version, limit)
    changed = 0
    for row in rows:
        before = (row.due_at, row.remaining, row.provisional)
        compute(calendar, row)
        if row.escalated_at is not None and row.due_at is not None and not row.over(now):
            begin(calendar, row, now)
        if (row.due_at, row.remaining, row.provisional) != before:
            changed += 1
            keep(session, actor, now, row, "recomputed", f"calendar {calendar.version}")
    return len(rows), changed


async def _open(session: AsyncSession, stage: Held) -> StageDeadline:
    row: StageDeadline | None
    if isinstance(stage, StageDeadline):
        row = stage if stage.closed_as is None else None
    else:
        await session.flush()
        row = await store.open_of(session, stage)
    if row is None:
        raise Problem(rules.DEADLINE_NOT_OPEN, extra={"stage": _name(stage)})
    return row


async def _running(session: AsyncSession, now: datetime, stage: Held) -> StageDeadline:
    row = await _open(session, stage)
    if row.paused_at is not None:
        raise Problem(rules.DEADLINE_PAUSED, extra={"stage": row.stage})
    if row.over(now):
        raise Problem(rules.DEADLINE_OVER, extra={"stage": row.stage})
    return row


def _name(stage: Held) -> str:
    return stage.name if isinstance(stage, Stage) else stage.stage


def keep(
    session: AsyncSession, actor: Actor, now: datetime, row: StageDeadline, change: str, reason: str | None
) -> None:
    """A version of the time-limit and the audit event that commits to it, written together with the next flush."""
    row.version += 1
    event = events.new_event(
        actor,
        now,
        f"{SUBJECT_TYPE}.{change}",
        uscc=row.uscc,
        subject_type=SUBJECT_TYPE,
        subject_id=str(row.id),
        version=row.version,
        after=events.commitment(b"", events.canonical_json(content_of(row))),
        reason=reason,
    )
    events.append(session, [event])


def content_of(row: StageDeadline) -> dict[str, Any]:
    """What a version's audit event commits to; instants as RFC 3339."""
    instants = ("started_at", "counts_since", "due_at", "paused_at", "extended_at", "closed_at")
    plain = ("case_type", "stage", "agency_uscc", "rule_version", "amount", "unit", "remaining", "closed_as")
    found: dict[str, Any] = {name: getattr(row, name) for name in plain}
    found |= {name: None if (at := getattr(row, name)) is None else rfc3339(at) for name in instants}
    return found | {"case_id": str(row.case_id)}
