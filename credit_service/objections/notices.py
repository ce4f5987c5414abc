"""What the applicant is told about an objection, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from credit_service.accounts import commands as accounts
from credit_service.notifications.rendering import Value
from credit_service.notifications.rules import Template
from credit_service.platform.days import day_of
from credit_service.workflows import notices
from credit_service.workflows.commands import Turn


async def tell(turn: Turn) -> None:
    """Owe the notice of the step, if it has one."""
    if turn.step.notice is not None:
        template = Template(turn.step.notice)
        await notices.tell_applicants(turn, template, await _data(turn, template))


async def _data(turn: Turn, template: Template) -> Mapping[str, Value]:
    case, today, reasons = turn.case, day_of(turn.now), turn.body.reason or ""
    outcome = turn.workflow.machine.states[case.state]
    if template is Template.OBJECTION_ACCEPTED:
        return {"accepted_on": today, "decide_by": notices.decide_by(turn, "own-decision")}
    if template is Template.OBJECTION_FORWARDED:
        source = await accounts.agency_name(turn.session, case.source_uscc)
        limit = notices.decide_by(turn, "forwarded-decision", "source-decision")
        return {"forwarded_to": source, "decide_by": limit}
    if template is Template.OBJECTION_SUPPLEMENT_REQUESTED:
        return {"materials": reasons, "supplement_by": case.supplement_until or today}
    if template is Template.OBJECTION_DECIDED:
        until = date.fromisoformat(turn.said["review_until"])
        return {"outcome": outcome, "reasons": reasons, "review_until": until}
    if template is Template.OBJECTION_REVIEW_DECIDED:
        return {"outcome": outcome, "reasons": reasons}
    return {"reasons": reasons}
