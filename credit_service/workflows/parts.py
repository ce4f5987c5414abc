"""Guards and effects that repair and objection share, by the names that their machines use."""

from __future__ import annotations

from collections.abc import Mapping

from credit_service.accounts import commands as accounts
from credit_service.catalogue.models import Words
from credit_service.notifications import commands as notifications
from credit_service.notifications.commands import Recipient
from credit_service.notifications.rendering import Value
from credit_service.notifications.rules import Template
from credit_service.platform.days import day_of
from credit_service.platform.errors import INVALID_REQUEST, FieldError, Problem
from credit_service.records import life
from credit_service.workflows import rules, store
from credit_service.workflows.commands import Part, Turn
from credit_service.workflows.contract import SupplementRequest


async def separate_officer(turn: Turn) -> None:
    """The officer who recorded does not decide, nor does the one who filed. Raises ``CONFLICT_OF_INTEREST``."""
    recorded_by = await life.recorders(turn.session, turn.record)
    rules.check_separate(turn.caller.principal.id, turn.case.applicant, recorded_by)


async def supplement_overdue(turn: Turn) -> None:
    """The day until which the supplement was awaited has passed. Raises ``TOO_EARLY``."""
    rules.check_supplement_overdue(turn.case.supplement_until, day_of(turn.now))


async def extendable(turn: Turn) -> None:
    """The rule of the stage knows an extension. Raises ``EXTENSION_NOT_ALLOWED``."""
    limit = turn.plan.limits.get(turn.step.extends or "")
    if limit is None or limit.terms.extension is None:
        raise Problem(rules.EXTENSION_NOT_ALLOWED, errors=[FieldError("", f"{turn.step.extends}: no extension")])


async def only_one(turn: Turn) -> None:
    """No other application of the kind is open on the record, of the same applicant where several may apply.

    Raises ``CASE_ALREADY_OPEN``.
    """
    case = turn.case
    for other in await store.on_record(turn.session, case.uscc, case.record_id, case.type):
        if other.id != case.id and (case.type == "repair" or other.applicant_uscc == case.applicant_uscc):
            raise Problem(rules.CASE_ALREADY_OPEN, errors=[FieldError("/record_id", "one application at a time")])


async def assign(turn: Turn) -> None:
    """The officer takes the case over."""
    turn.case.assignee = turn.caller.principal.id


async def await_supplement(turn: Turn) -> None:
    """Until when the applicant may supplement. Raises ``INVALID_REQUEST`` for a day that leaves no time."""
    assert isinstance(turn.body, SupplementRequest)
    if turn.body.supplement_by <= day_of(turn.now):
        raise Problem(INVALID_REQUEST, errors=[FieldError("/supplement_by", "leaves the applicant time")])
    turn.case.supplement_until = turn.body.supplement_by


async def tell_agency(turn: Turn) -> None:
    """The handling agency learns of a case that waits for it."""
    await _tell_agency(turn, turn.case.handler_uscc)


async def tell_source(turn: Turn) -> None:
    """The source of the data learns of a case that waits for its answer."""
    await _tell_agency(turn, turn.case.source_uscc)


async def _tell_agency(turn: Turn, agency: str) -> None:
    machine, label = turn.workflow.machine, turn.step.label
    data: dict[str, Value] = {
        "agency_name": await accounts.agency_name(turn.session, agency),
        "entity_name": turn.record.entity_name,
        "matter": Words(f"{machine.label.zh}: {label.zh}", f"{machine.label.en}: {label.en}"),
        "received_on": day_of(turn.now),
    }
    await owe(turn, Recipient.agency(agency), Template.CASE_RECEIVED, data)


async def owe(turn: Turn, recipient: Recipient, template: Template, data: Mapping[str, Value]) -> None:
    """Owe a notification about the case; a step owes each of its own once."""
    case = turn.case
    await notifications.owe(
        turn.session,
        turn.actor,
        turn.now,
        recipient,
        template,
        notifications.Case(case.uscc, case.type, case.id, case.reference),
        data,
        f"{case.id}:{case.version}:{template.value}:{recipient.uscc}",
    )


GUARDS: Mapping[str, Part] = {
    "separate-officer": separate_officer,
    "supplement-overdue": supplement_overdue,
    "extendable": extendable,
    "only-one": only_one,
}
EFFECTS: Mapping[str, Part] = {
    "assign": assign,
    "await-supplement": await_supplement,
    "tell-agency": tell_agency,
    "tell-source": tell_source,
}
