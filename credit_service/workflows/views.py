"""Cases as their parties see them."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts.rules import Principal
from credit_service.audit.events import account_of
from credit_service.deadlines.models import StageDeadline
from credit_service.workflows import rules, store, timing
from credit_service.workflows.commands import HANDED_OVER
from credit_service.workflows.machine import Machine, Party, Step
from credit_service.workflows.models import (
    ActionList,
    ActionView,
    Case,
    CaseRead,
    CaseView,
    DeadlineView,
    Timeline,
    TimelineEntry,
)

_PLAIN = (
    *("id", "application_id", "reference", "uscc", "record_id", "item_code", "applicant_uscc", "agent_uscc"),
    *("handler_uscc", "source_uscc", "state", "content", "findings", "supplement_until", "barred_until"),
    *("version", "opened_at", "submitted_at", "changed_at", "closed_at", "on_time"),
)


def view(machine: Machine, case: Case, *, officer: bool) -> CaseView:
    """A case; an officer's name is the agency's own business."""
    shown = {name: getattr(case, name) for name in _PLAIN}
    return CaseView(**shown, state_zh=machine.states[case.state].zh, assignee=case.assignee if officer else None)


def read(
    machine: Machine, case: Case, limits: Iterable[StageDeadline], parties: Collection[Party], now: datetime
) -> CaseRead:
    """A case with its time-limits and what the caller may do now."""
    shown = view(machine, case, officer=bool({Party.HANDLER, Party.SOURCE} & set(parties)))
    return CaseRead(
        **shown.model_dump(),
        deadlines=timing.views(limits, now),
        actions=rules.possible(machine, case.state, parties),
    )


async def actions(
    session: AsyncSession, machine: Machine, case: Case, parties: Collection[Party], now: datetime
) -> ActionList:
    """What the caller may do now, and until when it is due."""
    limits = await timing.rows_of(session, case)
    deadlines = [found for found in timing.views(limits, now) if found.closed_as is None]
    possible = [machine.by_action[name] for name in rules.possible(machine, case.state, parties)]
    return ActionList(
        state=case.state,
        version=case.version,
        actions=[
            ActionView(
                action=step.action, label_zh=step.label.zh, until=_until(step, deadlines), needs_reason=step.reason
            )
            for step in possible
        ],
    )


def _until(step: Step, deadlines: Collection[DeadlineView]) -> datetime | None:
    limited = {*step.meets, step.extends}
    return min((found.due_at for found in deadlines if found.stage in limited and found.due_at), default=None)


async def timeline(
    session: AsyncSession,
    machine: Machine,
    case: Case,
    principal: Principal,
    parties: Collection[Party],
    now: datetime,
) -> Timeline:
    """Every step as its audit event holds it, with the time-limits."""
    officer = bool({Party.HANDLER, Party.SOURCE} & set(parties))
    labels = {step.action: step.label.zh for step in (machine.opening, *machine.steps)} | {HANDED_OVER: "移交承继单位"}
    entries = []
    for event in await store.events(session, case):
        account = account_of(event)
        named = officer or account.actor == principal.id
        entries.append(
            TimelineEntry(
                event_id=event.id,
                at=event.occurred_at,
                action=event.action,
                label_zh=labels[event.action.partition(".")[2]],
                actor=account.actor if named else None,
                agency_uscc=account.agency_uscc,
                reason=account.reason,
                version=account.version,
            )
        )
    entries.sort(key=lambda entry: entry.version)
    return Timeline(entries=entries, deadlines=timing.views(await timing.rows_of(session, case), now))
