"""Taking a step in a case, in the caller's transaction: state, time-limits, audit and notice move together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.accounts import commands as accounts
from credit_service.accounts.rules import Principal
from credit_service.audit import events
from credit_service.platform.context import Actor
from credit_service.platform.errors import (
    INVALID_REQUEST,
    NOT_FOUND,
    PRECONDITION_FAILED,
    PRECONDITION_REQUIRED,
    FieldError,
    Problem,
)
from credit_service.records.models import Record
from credit_service.workflows import rules, store, timing
from credit_service.workflows.machine import Machine, Party, Step
from credit_service.workflows.models import Case
from credit_service.workflows.rules import Standing


@dataclass(frozen=True, slots=True)
class Taken:
    """A step as it is taken: who, when, and in which workflow."""

    machine: Machine
    actor: Actor
    principal: Principal
    now: datetime

    @property
    def standing(self) -> Standing:
        return Standing(self.principal.id, self.principal.agency_uscc, self.principal.entity_uscc)


def version_tag(case: Case) -> str:
    return f'"v{case.version}"'


def parties(taken: Taken, case: Case) -> frozenset[Party]:
    """What the caller is to the case."""
    return taken.standing.parties(
        applicant=case.applicant,
        applicant_uscc=case.applicant_uscc,
        handler_uscc=case.handler_uscc,
        source_uscc=case.source_uscc,
    )


async def visible_case(session: AsyncSession, taken: Taken, case_id: UUID) -> Case:
    """The case, if the caller is a party to it or its handler's supervisor. Raises ``NOT_FOUND``."""
    case = await store.by_id(session, taken.machine.name, case_id)
    if case is None or not (parties(taken, case) or await _supervises(session, taken, case)):
        raise Problem(NOT_FOUND)
    return case


async def _supervises(session: AsyncSession, taken: Taken, case: Case) -> bool:
    agency = taken.principal.agency_uscc
    return agency is not None and await accounts.parent_of(session, case.handler_uscc) == agency


async def open_case(
    session: AsyncSession,
    taken: Taken,
    record: Record,
    *,
    applicant_uscc: str | None,
    handler_uscc: str,
    division: str,
    content: Mapping[str, Any],
) -> Case:
    """A new case about a record, in the machine's first state."""
    case = Case(
        uscc=record.uscc,
        id=uuid7(),
        type=taken.machine.name,
        record_id=record.id,
        item_code=record.item_code,
        handler_uscc=handler_uscc,
        source_uscc=record.source_uscc,
        division=division,
        state=taken.machine.initial,
        applicant=taken.principal.id,
        applicant_uscc=applicant_uscc,
        content=dict(content),
        salt=b"",
        version=0,
        opened_at=taken.now,
        submitted_at=None,
        changed_at=taken.now,
    )
    session.add(case)
    keep(session, taken, case, "open", None)
    await session.flush()
    return case


async def case_for_step(
    session: AsyncSession, taken: Taken, case_id: UUID, action: str, if_match: str | None
) -> tuple[Case, Record, Step]:
    """The case and its record, held, with the step the action is.

    The entity's row is locked first, as by every writer of its file, so two officers at once are one after the other.
    Raises ``NOT_FOUND``, ``PRECONDITION_REQUIRED``, ``PRECONDITION_FAILED`` with the new state, ``CASE_ACTION_ILLEGAL``.
    """
    from credit_service.records import life

    found = await visible_case(session, taken, case_id)
    record = await life.held(session, found.record_id)
    case = await store.by_id(session, taken.machine.name, case_id)
    assert case is not None
    await session.refresh(case)
    if if_match is None:
        raise Problem(PRECONDITION_REQUIRED, errors=[FieldError("header:If-Match", "required for an update")])
    if if_match.strip() not in ("*", version_tag(case)):
        raise Problem(PRECONDITION_FAILED, extra={"current": version_tag(case), "state": case.state})
    return case, record, rules.legal_step(taken.machine, case.state, action, parties(taken, case))


async def take(
    session: AsyncSession, taken: Taken, case: Case, step: Step, plan: timing.Plan, *, reason: str | None = None
) -> None:
    """Take a legal step: its officer, state, time-limits, audit event. The caller's effects share the transaction.

    Raises ``INVALID_REQUEST`` when the step needs a reason and none is given, and ``DEADLINE`` problems.
    """
    if step.reason and not reason:
        raise Problem(INVALID_REQUEST, errors=[FieldError("/reason", "required for this action")])
    if taken.principal.agency_uscc is not None:
        case.officers = {**case.officers, step.action: taken.principal.id}
    case.returns_to, case.state = (
        case.state if step.pauses else None,
        step.to or case.returns_to or taken.machine.initial,
    )
    if case.submitted_at is None and case.state != "draft":
        case.submitted_at = taken.now
    await timing.advance(session, taken.actor, taken.now, case, step, plan, reason or "")
    if step.ends:
        case.closed_at = taken.now
        case.on_time = await timing.was_on_time(session, case)
    elif case.closed_at is not None:
        case.closed_at = None
    keep(session, taken, case, step.action, reason)


def keep(session: AsyncSession, taken: Taken, case: Case, action: str, reason: str | None) -> None:
    """A version of the case and its audit event, which commits to the content without telling it."""
    case.version += 1
    case.changed_at = taken.now
    case.salt = events.new_salt()
    content = events.canonical_json(
        {name: getattr(case, name) for name in ("content", "outcome", "state", "uscc", "officers")}
    )
    event = events.new_event(
        taken.actor,
        taken.now,
        f"{case.type}.{action}",
        uscc=case.uscc,
        subject_type=case.type,
        subject_id=str(case.id),
        version=case.version,
        after=events.commitment(case.salt, content),
        reason=reason,
    )
    events.append(session, [event])
