"""The order of a proceeding: notice before statement, statement before decision (行政处罚法 arts. 44, 45)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from credit_service.platform.errors import FieldError
from credit_service.records.proceedings.models import ProceedingState


class Step(StrEnum):
    """What can be done in a proceeding."""

    SERVE_NOTICE = "notice"  # 告知
    STATE = "statement"  # 陈述申辩
    DECIDE = "decision"  # 决定
    ABANDON = "abandonment"  # 不予处理


@dataclass(frozen=True, slots=True)
class Transition:
    """Who may take a step from where to where; ``by`` holds ``agency`` and ``subject``."""

    sources: frozenset[ProceedingState]
    to: ProceedingState
    by: frozenset[str]


_OPEN = frozenset({ProceedingState.DRAFT, ProceedingState.NOTICE_SERVED, ProceedingState.STATEMENT_RECEIVED})
_NOTIFIED = _OPEN - {ProceedingState.DRAFT}
_AGENCY = frozenset({"agency"})

TRANSITIONS: dict[Step, Transition] = {
    Step.SERVE_NOTICE: Transition(frozenset({ProceedingState.DRAFT}), ProceedingState.NOTICE_SERVED, _AGENCY),
    Step.STATE: Transition(
        frozenset({ProceedingState.NOTICE_SERVED}), ProceedingState.STATEMENT_RECEIVED, frozenset({"agency", "subject"})
    ),
    Step.DECIDE: Transition(_NOTIFIED, ProceedingState.DECIDED, _AGENCY),
    Step.ABANDON: Transition(_OPEN, ProceedingState.ABANDONED, _AGENCY),
}


def check_notice(served_on: date | None, statement_until: date, today: date, *, proved: bool) -> list[FieldError]:
    """A notice comes with its proof or is the registry's to serve, is not of the future, and leaves a day to answer it.

    ``proved``: means and evidence are given.
    """
    errors = []
    if proved != (served_on is not None):
        errors.append(FieldError("/served_on", "served_on, means and evidence together, or none of them"))
    if served_on is not None and served_on > today:
        errors.append(FieldError("/served_on", "service-date-in-future"))
    if statement_until <= (served_on or today):
        errors.append(FieldError("/statement_until", "leaves the subject time to answer"))
    return errors


def statement_ends(statement_until: date, sent_on: date, served_on: date) -> date:
    """The days that were granted run from the service: what arrived later than it was sent ends later."""
    return statement_until + max(served_on - sent_on, timedelta())


def check_statement(statement_until: date | None, today: date, *, by: str) -> list[FieldError]:
    """The subject speaks within its time; an agency may take in later what it still wants to hear.

    Before the notice has been served no time runs (``None``).
    """
    if by == "subject" and statement_until is not None and today > statement_until:
        return [FieldError("", "statement-period-over")]
    return []


def check_decision(
    state: str, statement_until: date, *, served_on: date, decided_on: date, response: str | None
) -> list[FieldError]:
    """The subject was heard, or let its time pass; what it said was answered (行政处罚法 art. 45)."""
    errors = []
    if decided_on < served_on:
        errors.append(FieldError("/record/decided_on", "行政处罚法第四十四条: the notice comes before the decision"))
    if state == ProceedingState.STATEMENT_RECEIVED:
        if response is None:
            errors.append(FieldError("/response", "行政处罚法第四十五条: a statement is answered"))
    elif decided_on <= statement_until:
        errors.append(FieldError("/record/decided_on", "行政处罚法第四十五条: not before the statement period is over"))
    return errors


def steps_for(state: str, by: str) -> list[str]:
    """What a party may do now."""
    found = [step.value for step, t in TRANSITIONS.items() if state in t.sources and by in t.by]
    return sorted(found)
