"""Whom a case's notices go to, and the days they name."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from credit_service.accounts import commands as accounts
from credit_service.catalogue.models import Words
from credit_service.deadlines.rules import last_day_of
from credit_service.entities import commands as entities
from credit_service.notifications.commands import Recipient
from credit_service.notifications.rendering import Value
from credit_service.notifications.rules import Template
from credit_service.platform.days import day_of
from credit_service.workflows import parts, timing
from credit_service.workflows.commands import Turn
from credit_service.workflows.rules import is_authorised

_STATUTORY = Words("法定期限届满", "the end of the statutory time-limit")


async def tell_applicants(turn: Turn, template: Template, data: Mapping[str, Value]) -> None:
    """Owe the applicant, and its agent while it is authorised, a notice; ``data`` is what it says besides."""
    case = turn.case
    both: dict[str, Value] = {
        "entity_name": await entities.name_of(turn.session, case.applicant_uscc),
        "agency_name": await accounts.agency_name(turn.session, case.handler_uscc),
    }
    told = {case.applicant_uscc}
    if case.agent_uscc is not None and is_authorised(case.content, day_of(turn.now)):
        told.add(case.agent_uscc)
    for uscc in sorted(told):
        await parts.owe(turn, Recipient.entity(uscc), template, both | dict(data))


def decide_by(turn: Turn, *stages: str) -> date | Words:
    """The last day of the first of these stages that runs, as a notice names it."""
    row = timing.due_of(turn.plan, *stages)
    return last_day_of(row.due_at) if row is not None and row.due_at is not None else _STATUTORY
