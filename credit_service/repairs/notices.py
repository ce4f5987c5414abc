"""What the applicant is told about a repair, step by step."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

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
    day = turn.said.get("apply_again_from")
    again: Value = date.fromisoformat(day) if day else ""
    given: Mapping[Template, Mapping[str, Value]] = {
        Template.REPAIR_ACCEPTED: {"accepted_on": today},
        Template.REPAIR_REFUSED: {"reasons": reasons, "apply_again_from": again},
        Template.REPAIR_SUPPLEMENT_REQUESTED: {"materials": reasons, "supplement_by": case.supplement_until or today},
        Template.REPAIR_EXTENDED: {"reasons": reasons},
        Template.REPAIR_GRANTED: {"decided_on": today},
        Template.REPAIR_REJECTED: {"decided_on": today, "reasons": reasons, "apply_again_from": again},
        Template.REPAIR_REVOKED: {"decided_on": today, "reasons": reasons, "barred_until": case.barred_until or ""},
    }
    data = given[template]
    if template in (Template.REPAIR_ACCEPTED, Template.REPAIR_EXTENDED):
        return {**data, "decide_by": notices.decide_by(turn, "decide", "total")}
    return data
