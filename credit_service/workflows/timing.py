"""The time-limits of a case: which a step starts, meets, pauses, resumes or extends (regulations 2.5, 2.9)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.catalogue.models import Catalogue
from credit_service.catalogue.rules import rule_for
from credit_service.deadlines import commands as deadlines
from credit_service.deadlines.models import Stage, StageDeadline
from credit_service.deadlines.rules import Terms, terms_of
from credit_service.platform.calendar import WorkingCalendar
from credit_service.platform.context import Actor
from credit_service.workflows.machine import Step
from credit_service.workflows.models import Case, DeadlineView


class Plan(NamedTuple):
    """The calendar in use, and the terms of each stage under the rule that governs the case."""

    calendar: WorkingCalendar
    terms: Mapping[str, Terms]


def plan_of(
    catalogue: Catalogue,
    calendar: WorkingCalendar,
    names: Mapping[str, str],
    on: date,
    *,
    cut_off: time | None,
    warn_before: tuple[int, ...],
) -> Plan:
    """The terms by stage; ``names`` maps stages to deadline rules of the catalogue, in force ``on`` a day."""
    found = {}
    for stage, name in names.items():
        rule = rule_for(catalogue, "deadline", name, on, on)
        if rule is not None and not rule.at_least:
            found[stage] = terms_of(rule, cut_off=cut_off, warn_before=warn_before)
    return Plan(calendar, found)


async def advance(
    session: AsyncSession, actor: Actor, now: datetime, case: Case, step: Step, plan: Plan, reason: str
) -> None:
    """Move the case's time-limits as its step says. What is over stays over: it is counted and decides nothing."""
    running = {row.stage: row for row in await deadlines.of_case(session, *_key(case)) if row.closed_as is None}
    for name in step.meets:
        if name in running:
            await deadlines.meet(session, actor, now, _stage(case, name))
            del running[name]
    if step.ends:
        for name in running:
            await deadlines.cancel(session, actor, now, _stage(case, name), f"{case.type}.{step.action}")
        running = {}
    for name, row in running.items():
        if step.pauses and row.due_at is not None and not row.over(now):
            await deadlines.pause(session, plan.calendar, actor, now, _stage(case, name), reason)
        if step.resumes and row.due_at is None:
            await deadlines.resume(session, plan.calendar, actor, now, _stage(case, name))
    if step.extends:
        await _extend(session, actor, now, case, plan, reason)
    for name in step.starts:
        if name in plan.terms and name not in running:
            await deadlines.start(session, plan.calendar, actor, now, _stage(case, name), plan.terms[name])


async def _extend(session: AsyncSession, actor: Actor, now: datetime, case: Case, plan: Plan, reason: str) -> None:
    """The decision's limit gets its one extension, and the overall limit as many days more."""
    amount = plan.terms["decide"].extension if "decide" in plan.terms else None
    await deadlines.extend(session, plan.calendar, actor, now, _stage(case, "decide"), amount or 0, reason)
    if "total" in plan.terms:
        await deadlines.cancel(session, actor, now, _stage(case, "total"), reason)


def _key(case: Case) -> tuple[str, str, object]:
    return case.uscc, case.type, case.id


def _stage(case: Case, name: str) -> Stage:
    return Stage(case.uscc, case.type, case.id, name)


async def views(session: AsyncSession, case: Case, now: datetime) -> list[DeadlineView]:
    """The case's time-limits, the oldest first."""
    return [_view(row, now) for row in await deadlines.of_case(session, *_key(case))]


def _view(row: StageDeadline, now: datetime) -> DeadlineView:
    return DeadlineView(
        stage=row.stage,
        due_at=row.due_at,
        paused=row.closed_as is None and row.due_at is None,
        provisional=row.provisional,
        met=row.closed_as == "met",
        overdue=row.over(now),
    )


async def was_on_time(session: AsyncSession, case: Case) -> bool:
    """Whether every time-limit that the case had was met in time."""
    rows = await deadlines.of_case(session, *_key(case))
    return not any(row.closed_as == "met" and row.closed_at is not None and row.over(row.closed_at) for row in rows)
