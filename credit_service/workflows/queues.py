"""Which cases a caller may list, and the queues an officer works from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import ColumnElement, and_, false, func, or_
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.accounts import commands as accounts
from credit_service.accounts.rules import Principal, Role
from credit_service.platform.days import day_of, start_of
from credit_service.workflows import store
from credit_service.workflows.models import Case, QueueCounts


class Queue(StrEnum):
    """待办队列 What waits, and for whom."""

    MINE = "mine"  # 我的待办
    AGENCY = "agency"  # 本单位在办
    UNASSIGNED = "unassigned"  # 待认领
    OVERDUE = "overdue"  # 已逾期
    DUE_TODAY = "due-today"  # 今日到期
    SUPERVISED = "supervised"  # 下级单位在办


class Reach(NamedTuple):
    """What a caller is, in the terms of SQL: the agencies it answers for, and those under it."""

    principal: Principal
    agencies: frozenset[str]
    below: frozenset[str]
    now: datetime


async def reach_of(session: AsyncSession, principal: Principal, now: datetime) -> Reach:
    if principal.agency_uscc is None:
        return Reach(principal, frozenset(), frozenset(), now)
    line, below = await accounts.reach(session, principal.agency_uscc)
    return Reach(principal, line if principal.role is Role.SUBMITTER else frozenset(), below, now)


def visible(reach: Reach) -> ColumnElement[bool]:
    """The same as ``access.visible_case`` in SQL."""
    if reach.principal.role is not Role.SUBJECT:
        return concerns(reach)
    entity = reach.principal.entity_uscc
    authorised_until = func.coalesce(col(Case.content)["agent"]["valid_until"].as_string(), "9999")
    agent = and_(col(Case.agent_uscc) == entity, authorised_until >= day_of(reach.now).isoformat())
    return or_(col(Case.applicant_uscc) == entity, agent)


def concerns(reach: Reach) -> ColumnElement[bool]:
    """As ``visible``, and what an agent saw while it was authorised: that it is so no longer is told and not hidden."""
    principal = reach.principal
    submitted = col(Case.submitted_at).is_not(None)
    if principal.role is Role.SUBJECT:
        return or_(col(Case.applicant_uscc) == principal.entity_uscc, col(Case.agent_uscc) == principal.entity_uscc)
    overseen = {*reach.below, principal.agency_uscc or ""}
    mine = or_(
        col(Case.handler_uscc).in_(reach.agencies | overseen),
        col(Case.source_uscc).in_(reach.agencies),
    )
    return or_(col(Case.applicant) == principal.id, and_(submitted, mine))


def queue(reach: Reach, name: Queue) -> ColumnElement[bool]:
    """Open cases of a queue; by time also decided ones with something left to do, as a push to another province."""
    case_open = and_(col(Case.submitted_at).is_not(None), col(Case.closed_at).is_(None))
    handled = col(Case.handler_uscc).in_(reach.agencies)
    asked = and_(col(Case.source_uscc).in_(reach.agencies), col(Case.state) == "forwarded")
    tomorrow = start_of(day_of(reach.now) + timedelta(days=1))
    chosen: dict[Queue, ColumnElement[bool]] = {
        Queue.MINE: col(Case.assignee) == reach.principal.id,
        Queue.AGENCY: or_(handled, asked),
        Queue.UNASSIGNED: and_(handled, col(Case.assignee).is_(None)),
        Queue.OVERDUE: store.has_deadline(reach.agencies, None, reach.now),
        Queue.DUE_TODAY: store.has_deadline(reach.agencies, reach.now, tomorrow),
        Queue.SUPERVISED: col(Case.handler_uscc).in_(reach.below) if reach.below else false(),
    }
    return chosen[name] if name in (Queue.OVERDUE, Queue.DUE_TODAY) else and_(case_open, chosen[name])


async def counts(session: AsyncSession, reach: Reach, where: Sequence[ColumnElement[bool]]) -> QueueCounts:
    """How much waits in each queue."""
    names = list(Queue)
    found = await store.counts(session, [*where, visible(reach)], [queue(reach, name) for name in names])
    return QueueCounts(**{name.value.replace("-", "_"): number for name, number in zip(names, found, strict=True)})
