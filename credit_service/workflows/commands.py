"""Taking a step in a case, in the caller's transaction: state, effects, time-limits, audit and notice move together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.accounts import commands as accounts
from credit_service.accounts.rules import Principal
from credit_service.audit import events
from credit_service.catalogue.models import Catalogue
from credit_service.catalogue.rule_models import DeadlineRule
from credit_service.deadlines.calendars import load_calendar
from credit_service.deadlines.models import StageDeadline
from credit_service.entities import commands as entities
from credit_service.evidence import commands as evidence
from credit_service.evidence.commands import Subject
from credit_service.platform.context import Actor
from credit_service.platform.days import day_of
from credit_service.platform.errors import (
    INVALID_REQUEST,
    NOT_FOUND,
    PRECONDITION_FAILED,
    PRECONDITION_REQUIRED,
    FieldError,
    Problem,
)
from credit_service.records.models import Record
from credit_service.workflows import access, gates, queues, rules, store, timing
from credit_service.workflows.contract import Material, StepBody
from credit_service.workflows.machine import Machine, Party, Step
from credit_service.workflows.models import Case
from credit_service.workflows.rules import NO_COMPETENT_AUTHORITY


@dataclass(frozen=True, slots=True)
class Caller:
    """Who takes a step, when, and by what law and office hours."""

    actor: Actor
    principal: Principal
    now: datetime
    catalogue: Catalogue
    cut_off: time | None = None
    warn_before: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """A step as it is taken: what its guards judge and its effects change. ``said`` is what they add to its finding."""

    session: AsyncSession
    caller: Caller
    workflow: Workflow
    case: Case
    record: Record
    step: Step
    body: StepBody
    plan: timing.Plan
    said: dict[str, Any] = field(default_factory=dict)

    @property
    def actor(self) -> Actor:
        return self.caller.actor

    @property
    def now(self) -> datetime:
        return self.caller.now

    @property
    def catalogue(self) -> Catalogue:
        return self.caller.catalogue


Part = Callable[[Turn], Awaitable[None]]


@dataclass(frozen=True)
class Workflow:
    """A machine with the code behind the names it uses.

    ``limits`` gives the deadline rule of each stage, by the divisions of the handling agency and of the entity;
    ``tell`` owes the notice of a step.
    """

    machine: Machine
    limits: Callable[[Caller, Record, str, str], Mapping[str, DeadlineRule]]
    guards: Mapping[str, Part]
    effects: Mapping[str, Part]
    tell: Part
    bodies: Mapping[str, type[StepBody]]

    def __post_init__(self) -> None:
        for step in (self.machine.opening, *self.machine.steps):
            assert set(step.guards) <= set(self.guards), step
            assert set(step.effects) <= set(self.effects), step
        assert self.bodies.keys() == self.machine.by_action.keys(), "each action has its body"


def version_tag(case: Case) -> str:
    """The ETag by which a step is asked for."""
    return f'"v{case.version}"'


def files_of(case: Case) -> Subject:
    """What the attachments of a case are given to."""
    return Subject(case.uscc, case.type, case.id)


async def competent(session: AsyncSession, record: Record) -> str:
    """Who decides about a record: the authority that determined it, or its successor (谁认定、谁修复).

    An authority that the registry does not know acts through the agency that submits for it. Raises
    ``NO_COMPETENT_AUTHORITY``.
    """
    found = await accounts.successor_of(session, record.authority_uscc)
    found = found or await accounts.successor_of(session, record.source_uscc)
    if found is None:
        raise Problem(NO_COMPETENT_AUTHORITY, errors=[FieldError("/record_id", "authority_uscc")])
    return found


async def open_case(
    session: AsyncSession,
    caller: Caller,
    workflow: Workflow,
    record: Record,
    body: StepBody,
    *,
    application_id: UUID,
    applicant_uscc: str,
    agent_uscc: str | None,
    content: Mapping[str, Any],
) -> Case:
    """A new case about a record that the caller holds. Raises ``NO_COMPETENT_AUTHORITY`` and what the guards do."""
    handler = await competent(session, record)
    machine, step = workflow.machine, workflow.machine.opening
    case = Case(
        uscc=record.uscc,
        id=uuid7(),
        application_id=application_id,
        type=machine.name,
        record_id=record.id,
        item_code=record.item_code,
        handler_uscc=handler,
        source_uscc=await accounts.successor_of(session, record.source_uscc) or record.source_uscc,
        division=await accounts.division_of(session, handler),
        state=machine.initial,
        applicant=caller.principal.id,
        applicant_uscc=applicant_uscc,
        agent_uscc=agent_uscc,
        content=dict(content),
        salt=b"",
        version=0,
        opened_at=caller.now,
        submitted_at=caller.now if "received" in step.events else None,
        changed_at=caller.now,
    )
    division = await entities.division_of(session, record.uscc)
    turn = await _turn(session, caller, workflow, case, record, step, body, division, ())
    await _check_attachments(turn)
    for name in step.guards:
        await workflow.guards[name](turn)
    session.add(case)
    await session.flush()
    await timing.advance(session, caller.actor, caller.now, case, step, turn.plan, "")
    for name in step.effects:
        await workflow.effects[name](turn)
    keep(session, caller.actor, caller.now, case, step.action, None)
    await session.flush()
    return case


async def _turn(
    session: AsyncSession,
    caller: Caller,
    workflow: Workflow,
    case: Case,
    record: Record,
    step: Step,
    body: StepBody,
    entity_division: str,
    limits: Iterable[StageDeadline],
) -> Turn:
    plan = timing.plan_of(
        await load_calendar(session),
        workflow.limits(caller, record, case.division, entity_division),
        limits,
        cut_off=caller.cut_off,
        warn_before=caller.warn_before,
    )
    return Turn(session, caller, workflow, case, record, step, body, plan)


@dataclass(frozen=True, slots=True)
class Taken:
    """A case after a step, its time-limits, and what the caller is to it."""

    case: Case
    limits: Sequence[StageDeadline]
    parties: frozenset[Party]


async def take(
    session: AsyncSession,
    caller: Caller,
    workflow: Workflow,
    case_id: UUID,
    action: str,
    body: StepBody,
    if_match: str | None,
) -> Taken:
    """Take one step, if it is legal, the caller has seen the newest version and every guard lets it pass.

    The entity's row is held first, as by every writer of its file, so two officers at once are one after the other.
    Raises ``NOT_FOUND``, ``PRECONDITION_REQUIRED``, ``PRECONDITION_FAILED`` with the new state, ``CASE_ACTION_ILLEGAL``
    and what the guards raise.
    """
    view = await access.view_of(session, caller.principal)
    reach = queues.Reach(caller.principal, view.standing.agencies, view.below, caller.now)
    # Only a case that the caller may see is looked for, so that nobody waits for, or holds, what is another's.
    held = await store.held(session, workflow.machine.name, case_id, queues.concerns(reach))
    if held is None:
        raise Problem(NOT_FOUND)
    case, record, entity = held
    found = view.of(case, caller.now)
    if if_match is None:
        raise Problem(PRECONDITION_REQUIRED, errors=[FieldError("header:If-Match", "required for an update")])
    if if_match.strip() not in ("*", version_tag(case)):
        raise Problem(PRECONDITION_FAILED, extra={"current": version_tag(case), "state": case.state})
    limits = await _perform(session, caller, workflow, case, record, action, body, found, entity.division)
    return Taken(case, limits, found)


async def perform(
    session: AsyncSession,
    caller: Caller,
    workflow: Workflow,
    case: Case,
    record: Record,
    action: str,
    body: StepBody,
) -> None:
    """As ``take``, for a case and its record that the caller holds and has just seen."""
    found = access.parties(await access.standing_of(session, caller.principal), case)
    division = await entities.division_of(session, record.uscc)
    await _perform(session, caller, workflow, case, record, action, body, found, division)


async def _perform(
    session: AsyncSession,
    caller: Caller,
    workflow: Workflow,
    case: Case,
    record: Record,
    action: str,
    body: StepBody,
    found: frozenset[Party],
    entity_division: str,
) -> Sequence[StageDeadline]:
    """Gives the case's time-limits after the step."""
    step = rules.legal_step(workflow.machine, case.state, action, found)
    limits = await timing.held(session, case)
    turn = await _turn(session, caller, workflow, case, record, step, body, entity_division, limits)
    await _check_attachments(turn)
    for name in step.guards:
        await workflow.guards[name](turn)
    await gates.check(session, caller.now, case, step)
    acting = step.by & found
    if Party.HANDLER in acting:
        await _hand_over(turn)
    for name in step.effects:
        await workflow.effects[name](turn)
    await _move(turn, acting)
    keep(session, caller.actor, caller.now, case, action, body.reason)
    # What a step changes is written at once, its notice with it: the notice asks for nothing that the step changes.
    with session.no_autoflush:
        await workflow.tell(turn)
    await session.flush()
    return turn.plan.rows


async def _check_attachments(turn: Turn) -> None:
    """Materials name files that the case holds: they are uploaded to a draft. Raises ``INVALID_REQUEST``."""
    materials: list[Material] = getattr(turn.body, "materials", [])
    if not any(material.attachment_ids for material in materials):
        return
    held = {attachment.id for attachment in await evidence.listed(turn.session, files_of(turn.case))}
    errors = [
        FieldError(f"/materials/{index}/attachment_ids/{place}", "a file of this case")
        for index, material in enumerate(materials)
        for place, attachment_id in enumerate(material.attachment_ids)
        if attachment_id not in held
    ]
    if errors:
        raise Problem(INVALID_REQUEST, errors=errors)


async def _move(turn: Turn, acting: frozenset[Party]) -> None:
    """State, officers, findings and time-limits of a step."""
    case, step, now = turn.case, turn.step, turn.now
    said = turn.body.model_dump(mode="json", exclude_defaults=True) | turn.said
    said = {"action": step.action, "on": day_of(now).isoformat(), **said} if said else {}
    if Party.APPLICANT in acting:
        case.content = case.content | ({"statements": [*case.content.get("statements", ()), said]} if said else {})
    else:
        case.officers = {**case.officers, step.action: turn.caller.principal.id}
        case.assignee = case.assignee or (turn.caller.principal.id if Party.HANDLER in acting else None)
        case.findings = [*case.findings, said] if said else case.findings
    case.state, case.returns_to = rules.next_state(step, case.state, case.returns_to)
    if case.submitted_at is None and "received" in step.events:
        case.submitted_at = now
    await timing.advance(turn.session, turn.actor, now, case, step, turn.plan, turn.body.reason or step.label.zh)
    if step.ends:
        on_time = timing.was_on_time(turn.plan)
        case.closed_at, case.on_time = now, on_time
    elif case.state not in turn.workflow.machine.closed:
        case.closed_at = case.on_time = None


async def _hand_over(turn: Turn) -> None:
    """The case of an authority that was merged or abolished is its successor's from the successor's first step on."""
    case, agency = turn.case, turn.caller.principal.agency_uscc
    assert agency is not None
    if case.handler_uscc == agency:
        return
    before, case.handler_uscc = case.handler_uscc, agency
    case.division, case.assignee = await accounts.division_of(turn.session, agency), None
    if case.source_uscc == before:
        case.source_uscc = agency
    await timing.hand_over(turn.session, turn.actor, turn.now, turn.plan, before, agency)
    keep(turn.session, turn.actor, turn.now, case, HANDED_OVER, timing.succession(before))


HANDED_OVER = "hand-over"


def keep(session: AsyncSession, actor: Actor, now: datetime, case: Case, action: str, reason: str | None) -> None:
    """A version of the case and its audit event, which commits to the content without telling it."""
    case.version += 1
    case.changed_at = now
    case.salt = events.new_salt()
    content = events.canonical_json(
        {name: getattr(case, name) for name in ("content", "findings", "officers", "state", "uscc")}
    )
    event = events.new_event(
        actor,
        now,
        f"{case.type}.{action}",
        uscc=case.uscc,
        subject_type=case.type,
        subject_id=str(case.id),
        version=case.version,
        after=events.commitment(case.salt, content),
        reason=reason,
    )
    events.append(session, [event])
