"""The use case that opens an objection. Every further step is ``workflows.commands.take``."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.accounts.rules import Role
from credit_service.catalogue.rule_models import DeadlineRule
from credit_service.objections import notices, parts, rules
from credit_service.objections.contract import BODIES, ObjectionApplication
from credit_service.objections.machine import OBJECTION
from credit_service.platform.days import day_of
from credit_service.platform.errors import NOT_FOUND, FieldError, Problem
from credit_service.records import life
from credit_service.records.models import Record
from credit_service.workflows import commands as workflows
from credit_service.workflows import filing
from credit_service.workflows.commands import Caller, Workflow
from credit_service.workflows.filing import FILING_REFUSED, Applicant
from credit_service.workflows.models import Case


def limits(caller: Caller, record: Record, division: str, entity_division: str) -> Mapping[str, DeadlineRule]:
    """The deadline rules of an objection, in the jurisdiction of the agency that handles it."""
    today = day_of(caller.now)
    rule = rules.objection_rule(caller.catalogue, record.item_code, record.decided_on, today)
    return rules.limits(caller.catalogue, rule, division, today)


WORKFLOW = Workflow(OBJECTION, limits, parts.GUARDS, parts.EFFECTS, notices.tell, BODIES)


async def apply(session: AsyncSession, caller: Caller, body: ObjectionApplication) -> Case:
    """File an objection. Raises ``NOT_FOUND``, ``FILING_REFUSED`` and what the guards of the opening raise."""
    record = await life.held(session, body.record_id)
    if body.agent is None and not await life.shown(session, caller.principal, record, caller.now):
        raise Problem(NOT_FOUND)
    applicant = _applicant(caller, record, body)
    return await workflows.open_case(
        session,
        caller,
        WORKFLOW,
        record,
        body,
        application_id=uuid7(),
        applicant_uscc=applicant.uscc,
        agent_uscc=applicant.agent_uscc,
        content=body.model_dump(mode="json", exclude={"record_id", "reason"}) | {"statement": body.reason},
    )


def _applicant(caller: Caller, record: Record, body: ObjectionApplication) -> Applicant:
    """The record's subject, its agent or window, or a third party that sees the record and says how it is affected."""
    principal = caller.principal
    third = principal.role is Role.SUBJECT and principal.entity_uscc != record.uscc and body.agent is None
    if not third:
        return filing.applicant_of(caller, record.uscc, agent=body.agent, window=body.window)
    if body.interest is None or body.window is not None:
        raise Problem(FILING_REFUSED, errors=[FieldError("/interest", "required of a third party")])
    assert principal.entity_uscc is not None
    return Applicant(principal.entity_uscc, None)
