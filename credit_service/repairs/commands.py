"""Use cases of repair: ask whether it is possible, apply for it. Every further step is ``workflows.commands.take``."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.accounts import commands as accounts
from credit_service.catalogue.models import Catalogue, Words
from credit_service.catalogue.rule_models import DeadlineRule
from credit_service.deadlines.rules import stage_rules
from credit_service.platform.days import day_of
from credit_service.platform.errors import INVALID_REQUEST, NOT_FOUND, FieldError, Problem
from credit_service.records import life
from credit_service.records.models import Record
from credit_service.repairs import notices, parts, rules
from credit_service.repairs.contract import BODIES, ConditionView, Eligibility, RepairApplication
from credit_service.repairs.machine import REPAIR
from credit_service.workflows import commands as workflows
from credit_service.workflows import filing, store
from credit_service.workflows.commands import Caller, Workflow
from credit_service.workflows.contract import StepBody
from credit_service.workflows.models import Case

CROSS_PROVINCE = "cross-province-push"


def limits(caller: Caller, record: Record, division: str, entity_division: str) -> Mapping[str, DeadlineRule]:
    """The deadline rules of a repair; a decision of the entity's own province needs no push to another (Order 107)."""
    today = day_of(caller.now)
    rule = rules.repair_rule(caller.catalogue, record.item_code, record.decided_on, today)
    found = dict(stage_rules(caller.catalogue, rule, division, today)) if rule is not None else {}
    if division[:2] == entity_division[:2]:
        found.pop(CROSS_PROVINCE, None)
    return found


WORKFLOW = Workflow(REPAIR, limits, parts.GUARDS, parts.EFFECTS, notices.tell, BODIES)


async def apply(session: AsyncSession, caller: Caller, body: RepairApplication) -> tuple[UUID, list[Case]]:
    """File an application: one case for each record, all or none; gives its id and its cases.

    Each record has its own authority, rule, time-limits and decision, so each is a case of its own; the application's
    id keeps them together. Raises ``NOT_FOUND``, ``INVALID_REQUEST`` and what the guards of the steps raise.
    """
    application_id = uuid7()
    held = [await life.held(session, record_id) for record_id in sorted(set(body.record_ids))]
    for record in held:
        # An agent says whom it acts for, which the subject sees.
        if body.agent is None and not await life.shown(session, caller.principal, record, caller.now):
            raise Problem(NOT_FOUND)
    if len({record.uscc for record in held}) != 1:
        raise Problem(INVALID_REQUEST, errors=[FieldError("/record_ids", "records of one entity")])
    applicant = filing.applicant_of(caller, held[0].uscc, agent=body.agent, window=body.window)
    if body.commitment is not None and body.commitment.signed_on > day_of(caller.now):
        raise Problem(INVALID_REQUEST, errors=[FieldError("/commitment/signed_on", "not after today")])
    content = body.model_dump(mode="json", include={"materials", "commitment", "agent", "window"})
    cases = []
    for record in held:
        case = await workflows.open_case(
            session,
            caller,
            WORKFLOW,
            record,
            body,
            application_id=application_id,
            applicant_uscc=applicant.uscc,
            agent_uscc=applicant.agent_uscc,
            content={**content, "statement": body.reason},
        )
        if body.submit:
            await workflows.perform(session, caller, WORKFLOW, case, record, "submit", StepBody())
        cases.append(case)
    return application_id, cases


async def eligibility(session: AsyncSession, caller: Caller, record_id: UUID) -> Eligibility:
    """Whether a record may be repaired today, condition by condition. Raises ``NOT_FOUND``."""
    record = await life.read(session, caller.principal, record_id, caller.now)
    today = day_of(caller.now)
    rule = rules.repair_rule(caller.catalogue, record.item_code, record.decided_on, today)
    first = rules.eligible_from(rule, record.decided_on, record.repair_eligible_from) if rule is not None else None
    why_not = rules.check_record(record.state, rule, first)
    barred = await store.barred_until(session, record.uscc)
    handler = await workflows.competent(session, record) if not why_not else None
    found: tuple[rules.Condition, ...] = ()
    if rule is not None:
        nothing = rules.Application((), committed=False)
        heavier = await life.heavier_since(session, record)
        found = rules.conditions(rule, first, nothing, heavier_since=heavier, today=today)
    in_time = first is not None and first <= today and (barred is None or barred <= today)
    return Eligibility(
        record_id=record.id,
        uscc=record.uscc,
        repairable=not why_not,
        why_not=[error.rule for error in why_not],
        rule_version=rule.version if rule is not None else None,
        rule_status=rule.status if rule is not None else None,
        eligible_from=first,
        barred_until=barred,
        may_apply_now=not why_not and in_time,
        conditions=[condition_view(caller.catalogue, condition) for condition in found],
        materials=list(rule.materials) if rule is not None else [],
        handler_uscc=handler,
        handler_name=await accounts.agency_name(session, handler) if handler is not None else None,
    )


def condition_view(catalogue: Catalogue, condition: rules.Condition) -> ConditionView:
    """A condition with its names in both languages."""
    label_zh, label_en = catalogue.words.get(condition.name, Words(condition.name, condition.name))
    return ConditionView(
        name=condition.name,
        label_zh=label_zh,
        label_en=label_en,
        met=condition.met,
        from_on=condition.from_on,
        why=condition.why,
    )
