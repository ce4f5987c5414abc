"""The time-limits of a case: which a step starts, meets, pauses, resumes or extends (regulations 2.5, 2.9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, time
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.catalogue.rule_models import DeadlineRule
from credit_service.deadlines import commands as deadlines
from credit_service.deadlines.models import Stage, StageDeadline
from credit_service.deadlines.rules import Terms, terms_of
from credit_service.platform.calendar import WorkingCalendar
from credit_service.platform.context import Actor
from credit_service.platform.days import rfc3339
from credit_service.platform.errors import FieldError, Problem
from credit_service.workflows.machine import Step
from credit_service.workflows.models import Case, DeadlineView
from credit_service.workflows.rules import EXTENSION_NOT_ALLOWED, event_of


class Limit(NamedTuple):
    """A stage's time-limit under the rule that governs the case, and the event it counts from."""

    terms: Terms
    event: str


class Plan(NamedTuple):
    """The calendar in use, the limit of each stage, and the time-limits that the case has, held."""

    calendar: WorkingCalendar
    limits: Mapping[str, Limit]
    rows: list[StageDeadline]

    @property
    def running(self) -> dict[str, StageDeadline]:
        """The open time-limits by stage."""
        return {row.stage: row for row in self.rows if row.closed_as is None}


def plan_of(
    calendar: WorkingCalendar,
    rules: Mapping[str, DeadlineRule],
    rows: Iterable[StageDeadline],
    *,
    cut_off: time | None,
    warn_before: tuple[int, ...],
) -> Plan:
    """The limits by stage."""
    limits = {
        stage: Limit(terms_of(rule, cut_off=cut_off, warn_before=warn_before), event_of(rule.starts))
        for stage, rule in rules.items()
    }
    return Plan(calendar, limits, list(rows))


async def advance(
    session: AsyncSession, actor: Actor, now: datetime, case: Case, step: Step, plan: Plan, reason: str
) -> None:
    """Move the case's time-limits as its step says. What is over stays over: it is counted and decides nothing."""
    running = plan.running
    for name in step.meets:
        if name in running:
            await deadlines.meet(session, actor, now, running.pop(name))
    if step.ends:
        for row in running.values():
            await deadlines.cancel(session, actor, now, row, f"{case.type}.{step.action}")
        running = {}
    for row in running.values():
        if step.pauses and row.due_at is not None and not row.over(now):
            await deadlines.pause(session, plan.calendar, actor, now, row, reason)
        if step.resumes and row.due_at is None:
            await deadlines.resume(session, plan.calendar, actor, now, row)
    if step.extends:
        await _extend(session, actor, now, case, step.extends, plan, reason)
    case.events = case.events | dict.fromkeys(step.events, rfc3339(now))
    starting = [name for name in step.starts if name not in running]
    if any(row.stage in starting for row in plan.rows):
        await session.flush()  # a stage has one open time-limit: its former one is closed before it starts anew
    _start(session, actor, now, case, starting, plan)


def _start(session: AsyncSession, actor: Actor, now: datetime, case: Case, names: Iterable[str], plan: Plan) -> None:
    """Start what counts from an event that has happened; the count begins with the event, not with the step."""
    for name in names:
        limit = plan.limits.get(name)
        if limit is None or limit.event not in case.events:
            continue
        row = deadlines.enter(
            session,
            plan.calendar,
            actor,
            now,
            Stage(case.uscc, case.type, case.id, name),
            limit.terms,
            since=datetime.fromisoformat(case.events[limit.event]),
            agency=case.source_uscc if name == "source-decision" else case.handler_uscc,
            reference=case.reference,
        )
        plan.rows.append(row)


async def _extend(
    session: AsyncSession, actor: Actor, now: datetime, case: Case, name: str, plan: Plan, reason: str
) -> None:
    """The stage gets its one extension; an overall limit, which holds "as a rule", no longer does then."""
    amount = plan.limits[name].terms.extension if name in plan.limits else None
    if amount is None:
        raise Problem(EXTENSION_NOT_ALLOWED, errors=[FieldError("", f"{name}: no extension in its rule")])
    stage = plan.running.get(name, Stage(case.uscc, case.type, case.id, name))
    await deadlines.extend(session, plan.calendar, actor, now, stage, amount, reason)
    if "total" in plan.running:
        await deadlines.cancel(session, actor, now, plan.running["total"], reason)


async def hand_over(session: AsyncSession, actor: Actor, now: datetime, plan: Plan, before: str, after: str) -> None:
    """The open time-limits of the agency ``before`` are those of ``after`` now."""
    for row in plan.running.values():
        if row.agency_uscc == before:
            await deadlines.hand_over(session, actor, now, row, after, succession(before))


def succession(before: str) -> str:
    """The reason for which an agency's case is another's."""
    return f"承继 {before}"


def due_of(plan: Plan, *stages: str) -> StageDeadline | None:
    """The open time-limit of the first of these stages that has one."""
    return next((plan.running[stage] for stage in stages if stage in plan.running), None)


def views(rows: Iterable[StageDeadline], now: datetime) -> list[DeadlineView]:
    """Time-limits as they are shown."""
    return [_view(row, now) for row in rows]


def was_on_time(plan: Plan) -> bool:
    """Whether every time-limit that the case had was met in time."""
    return not any(row.closed_at is not None and row.over(row.closed_at) for row in plan.rows)


def _view(row: StageDeadline, now: datetime) -> DeadlineView:
    return DeadlineView(
        stage=row.stage,
        started_at=row.counts_since,
        amount=row.amount,
        unit=row.unit,
        legal_basis=row.legal_basis,
        status=row.status,
        due_at=row.due_at,
        paused=row.closed_as is None and row.due_at is None,
        provisional=row.provisional,
        closed_as=row.closed_as,
        closed_at=row.closed_at,
        overdue=row.over(now),
    )


async def rows_of(session: AsyncSession, case: Case) -> Sequence[StageDeadline]:
    """The case's time-limits, the oldest first."""
    return await deadlines.of_case(session, case.uscc, case.type, case.id)


async def held(session: AsyncSession, case: Case) -> Sequence[StageDeadline]:
    """The same for a step that changes them."""
    return await deadlines.held_of_case(session, case.uscc, case.type, case.id)
