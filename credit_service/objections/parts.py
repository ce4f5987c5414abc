"""Guards and effects of objections, by the names that its machine uses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from credit_service.accounts import commands as accounts
from credit_service.catalogue.facts import checker_of
from credit_service.catalogue.rules import item_in_force
from credit_service.deadlines.rules import Run, due, last_day_of
from credit_service.notifications.commands import Recipient
from credit_service.notifications.rendering import Value
from credit_service.notifications.rules import Template
from credit_service.objections import rules
from credit_service.objections.contract import CorrectionDecision
from credit_service.objections.rules import Ground
from credit_service.platform.days import day_of
from credit_service.platform.errors import FieldError, Problem
from credit_service.records import life
from credit_service.records.rules import RECORD_REFUSED, Draft, check_dates, needs_four_eyes
from credit_service.workflows import parts, store
from credit_service.workflows.commands import Part, Turn
from credit_service.workflows.rules import (
    CASE_ACTION_ILLEGAL,
    TOO_EARLY,
    TOO_LATE,
    check_another,
    check_concurrence,
    is_flagged,
)


async def known_ground(turn: Turn) -> None:
    """The record's rule knows objections on the ground. Raises ``GROUND_UNKNOWN``."""
    rule = rules.objection_rule(turn.catalogue, turn.record.item_code, turn.record.decided_on, day_of(turn.now))
    if not rules.is_ground(rule, Ground(turn.case.content["ground"])):
        allowed = ", ".join(rule.grounds)
        raise Problem(rules.GROUND_UNKNOWN, errors=[FieldError("/ground", f"{rule.version}: {allowed}")])


async def data_of_another(turn: Turn) -> None:
    """Only another agency's data is forwarded. Raises ``CASE_ACTION_ILLEGAL``."""
    if turn.case.source_uscc == turn.case.handler_uscc:
        raise Problem(CASE_ACTION_ILLEGAL, errors=[FieldError("", "the agency's own data")])


async def source_silent(turn: Turn) -> None:
    """The source has no time left for its answer, or none was set. Raises ``TOO_EARLY``."""
    limit = turn.plan.running.get("source-decision")
    if limit is not None and not limit.over(turn.now):
        until = None if limit.due_at is None else last_day_of(limit.due_at).isoformat()
        raise Problem(TOO_EARLY, errors=[FieldError("", "the source's time-limit")], extra={"after": until})


async def another_officer(turn: Turn) -> None:
    """A review is another officer's. Raises ``CONFLICT_OF_INTEREST``."""
    check_another(turn.workflow.machine, turn.caller.principal.id, turn.case.officers)


async def four_eyes(turn: Turn) -> None:
    """What ends a serious listing takes two officers. Raises ``CONFLICT_OF_INTEREST``."""
    item = turn.catalogue.latest(turn.record.item_code)
    if needs_four_eyes(item.list_colour, turn.record.severity):
        check_concurrence(turn.caller.principal.id, turn.case.officers)


async def forget_concurrence(turn: Turn) -> None:
    """Who agreed to the first decision has not agreed to what the review comes to."""
    turn.case.officers = {action: who for action, who in turn.case.officers.items() if action != "concur"}


async def review_in_time(turn: Turn) -> None:
    """A review is asked for within its term, and not once the case has been erased. Raises ``TOO_LATE``."""
    until = next((said["review_until"] for said in reversed(turn.case.findings) if "review_until" in said), None)
    if until is None or day_of(turn.now) > date.fromisoformat(until):
        raise Problem(TOO_LATE, errors=[FieldError("", "review_until")], extra={"until": until})


async def flag(turn: Turn) -> None:
    """The record is marked on every surface."""
    if turn.record.disputed_since is None:
        await life.dispute(turn.session, turn.actor, turn.now, turn.record, since=turn.now, reason=turn.case.reference)


async def unflag(turn: Turn) -> None:
    """The mark goes with the last objection that is open."""
    case, machine = turn.case, turn.workflow.machine
    if turn.record.disputed_since is None:
        return
    for other in await store.on_record(turn.session, case.uscc, case.record_id, case.type):
        if other.id != case.id and is_flagged(machine, other.state, other.returns_to):
            return
    await life.dispute(turn.session, turn.actor, turn.now, turn.record, since=None, reason=case.reference)


async def offer_review(turn: Turn) -> None:
    """Until when the applicant may ask for the one review."""
    term = rules.review_term(turn.catalogue, day_of(turn.now))
    ends = due(turn.plan.calendar, Run(turn.now, term.amount, term.unit, None))
    turn.said["review_until"] = ends.last_day.isoformat()


async def correct_record(turn: Turn) -> None:
    """A mistake found corrects the record, and with it every receiver. Raises ``RECORD_REFUSED``, ``RECORD_CLOSED``."""
    assert isinstance(turn.body, CorrectionDecision)
    draft = corrected(turn, life.draft_of(turn.catalogue, turn.record), turn.body)
    await life.correct(turn.session, turn.catalogue, turn.actor, turn.now, turn.record, draft, turn.body.reason)


def corrected(turn: Turn, draft: Draft, body: CorrectionDecision) -> Draft:
    """The record with what the decision changes. Raises ``RECORD_REFUSED`` (each field with its rule)."""
    changes: dict[str, Any] = body.correction.model_dump(exclude={"facts"}, exclude_none=True)
    decided_on: date = changes.get("decided_on", draft.decided_on)
    item = item_in_force(turn.catalogue, draft.item.code, decided_on)
    merged = draft.facts | body.correction.facts
    facts = checker_of(item)({name: value for name, value in merged.items() if value is not None})
    valid_until = changes.get("valid_until", draft.valid_until)
    errors = [*check_dates(decided_on, valid_until, day_of(turn.now)), *facts.errors]
    if errors:
        at = [FieldError(f"/correction{error.pointer}", error.rule, error.detail) for error in errors]
        raise Problem(RECORD_REFUSED, errors=at)
    return draft._replace(
        item=item,
        public_facts=facts.public,
        shared_facts=facts.shared,
        restricted_facts=facts.restricted,
        **changes,
    )


async def remove_record(turn: Turn) -> None:
    """What should not be there goes, in the way of its ground. Raises ``ILLEGAL_TRANSITION``."""
    action = rules.REMOVALS[Ground(turn.case.content["ground"])]
    basis = {"case_id": str(turn.case.id), "decided_on": day_of(turn.now).isoformat()}
    reason = turn.body.reason or ""
    await life.move(turn.session, turn.catalogue, turn.actor, turn.now, turn.record, action, reason=reason, basis=basis)


async def tell_subject(turn: Turn) -> None:
    """The record's subject learns of a change that another asked for."""
    if turn.case.applicant_uscc == turn.case.uscc:
        return
    data: dict[str, Value] = {
        "entity_name": turn.record.entity_name,
        "agency_name": await accounts.agency_name(turn.session, turn.case.handler_uscc),
        "document_number": turn.record.document_number,
        "correction": turn.step.label,
        "reasons": turn.body.reason or "",
    }
    await parts.owe(turn, Recipient.entity(turn.case.uscc), Template.RECORD_CORRECTED, data)


GUARDS: Mapping[str, Part] = {
    **parts.GUARDS,
    "known-ground": known_ground,
    "data-of-another": data_of_another,
    "source-silent": source_silent,
    "another-officer": another_officer,
    "four-eyes": four_eyes,
    "review-in-time": review_in_time,
}
EFFECTS: Mapping[str, Part] = {
    **parts.EFFECTS,
    "flag": flag,
    "unflag": unflag,
    "offer-review": offer_review,
    "forget-concurrence": forget_concurrence,
    "correct-record": correct_record,
    "remove-record": remove_record,
    "tell-subject": tell_subject,
}
