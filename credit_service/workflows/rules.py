"""Who may act in a case and on what conditions: pure rules shared by the workflows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from credit_service.deadlines.rules import Course, Period, Punctuality, became_overdue, punctuality
from credit_service.platform.errors import FieldError, Problem, ProblemType
from credit_service.records.rules import CONFLICT_OF_INTEREST
from credit_service.workflows.machine import Machine, Party, Step

CASE_ACTION_ILLEGAL = ProblemType(
    "case-action-illegal", 409, "当前状态不允许该操作", "The case's state does not allow this"
)
CASE_CLOSED = ProblemType(
    "case-closed", 409, "当前不可增减附件", "The case takes no files from this caller, or none any more"
)
CASE_ALREADY_OPEN = ProblemType("case-already-open", 409, "已有在办申请", "Such an application is already open")
NO_COMPETENT_AUTHORITY = ProblemType(
    "no-competent-authority", 409, "无承继的办理单位", "The deciding authority is gone and has no successor"
)
EXTENSION_NOT_ALLOWED = ProblemType(
    "extension-not-allowed", 409, "依法不得延期", "The law allows no extension of this time-limit"
)
AUTHORISATION_ENDED = ProblemType("authorisation-ended", 403, "代理授权已届满", "The agent's authorisation has ended")
TOO_EARLY = ProblemType("too-early", 409, "尚未到可办理的日期", "Not before the day named")
TOO_LATE = ProblemType("too-late", 409, "已超过可办理的日期", "Not after the day named")


@dataclass(frozen=True, slots=True)
class Standing:
    """What a principal is to cases. ``agencies`` are the codes its agency answers for, its own and predecessors'."""

    principal: str
    agency_uscc: str | None
    entity_uscc: str | None
    agencies: frozenset[str]

    def parties(
        self, *, applicant: str, applicants: Collection[str | None], handler_uscc: str, source_uscc: str
    ) -> frozenset[Party]:
        """``applicants`` are the codes of the applicant and its agent; ``applicant`` is the principal who applied."""
        found = set()
        if self.principal == applicant or (self.entity_uscc is not None and self.entity_uscc in applicants):
            found.add(Party.APPLICANT)
        if handler_uscc in self.agencies:
            found.add(Party.HANDLER)
        if source_uscc in self.agencies:
            found.add(Party.SOURCE)
        return frozenset(found)


def is_authorised(content: Mapping[str, Any], today: date) -> bool:
    """Whether the agent that a case names is authorised still; one whose case was erased has nothing to see."""
    agent = content.get("agent")
    return agent is None or today <= date.fromisoformat(agent["valid_until"])


def check_authorisation(content: Mapping[str, Any], today: date) -> None:
    """An agent acts, and sees the case, while it is authorised. Raises ``AUTHORISATION_ENDED``."""
    if not is_authorised(content, today):
        raise Problem(AUTHORISATION_ENDED, extra={"valid_until": content["agent"]["valid_until"]})


def legal_step(machine: Machine, state: str, action: str, parties: Collection[Party]) -> Step:
    """The step an action is. Raises ``CASE_ACTION_ILLEGAL`` with what the party may do instead."""
    step = machine.by_action.get(action)
    if step is None or state not in step.sources or not (step.by & set(parties)):
        raise Problem(CASE_ACTION_ILLEGAL, extra={"state": state, "actions": possible(machine, state, parties)})
    return step


def possible(machine: Machine, state: str, parties: Collection[Party]) -> list[str]:
    """What the parties may do in a state."""
    return sorted({step.action for party in parties for step in machine.steps_for(state, party)})


def is_flagged(machine: Machine, state: str, returns_to: str | None) -> bool:
    """Whether the record is marked as objected to while a case is in a state: a wait for materials changes nothing."""
    return state in machine.flagged or (returns_to is not None and returns_to in machine.flagged)


def check_separate(principal: str, applicant: str, recorded_by: Collection[str]) -> None:
    """Separation of duties: neither who recorded the fact nor who filed the application decides on it.

    Raises ``CONFLICT_OF_INTEREST``.
    """
    if principal in recorded_by:
        raise Problem(CONFLICT_OF_INTEREST, errors=[FieldError("", "the officer who recorded does not decide")])
    if principal == applicant:
        raise Problem(CONFLICT_OF_INTEREST, errors=[FieldError("", "the officer who filed does not decide")])


def check_another(machine: Machine, principal: str, officers: Mapping[str, str]) -> None:
    """A review is another officer's than the first decision. Raises ``CONFLICT_OF_INTEREST``."""
    if principal in {officers[name] for name in machine.decisive & officers.keys()}:
        raise Problem(CONFLICT_OF_INTEREST, errors=[FieldError("", "a review is another officer's")])


def check_four_eyes(needed: bool, state: str, principal: str, officers: Mapping[str, str]) -> None:
    """Removal from a serious list takes two officers: one proposes, another grants. Raises ``CONFLICT_OF_INTEREST``."""
    if state == "proposed" and officers.get("propose") == principal:
        raise Problem(CONFLICT_OF_INTEREST, errors=[FieldError("", "four eyes: another officer than the proposer")])
    if needed and state != "proposed":
        raise Problem(CONFLICT_OF_INTEREST, errors=[FieldError("", "four eyes: propose first, another officer grants")])


def check_concurrence(principal: str, officers: Mapping[str, str]) -> None:
    """What ends a serious listing takes two officers: one concurs, another decides. Raises ``CONFLICT_OF_INTEREST``."""
    if officers.get("concur") in (None, principal):
        raise Problem(CONFLICT_OF_INTEREST, errors=[FieldError("", "four eyes: another officer concurs first")])


def check_supplement_overdue(supplement_until: date | None, today: date) -> None:
    """An application lapses only after the day until which its supplement was awaited. Raises ``TOO_EARLY``."""
    if supplement_until is None or today <= supplement_until:
        raise Problem(TOO_EARLY, errors=[FieldError("", "supplement_until")], extra={"after": str(supplement_until)})


def next_state(step: Step, state: str, returns_to: str | None) -> tuple[str, str | None]:
    """Where a step leads, and where the case will come back to from there."""
    if step.pauses:
        return step.target(state, returns_to), state
    target = step.target(state, returns_to)
    return target, returns_to if target == state else None


RECEIVED = frozenset(
    {"pushed-to-authority", "received-by-credit-china", "application", "received", "material-received"}
)


def event_of(starts: str) -> str:
    """The event of a case that a time-limit counts from, by what its rule says."""
    return "received" if starts in RECEIVED else starts


def case_punctuality(decided_at: datetime | None, limits: Iterable[Course], period: Period) -> Punctuality | None:
    """How a case counts in a period, by the time-limits that its handling agency has or had; ``None``: not at all.

    Overdue while one of them is, decided or not; in time when it is decided in the period and none ever was overdue.
    ``decided_at`` is empty for what is not decided: what was withdrawn in time says nothing of the agency.
    """
    courses = list(limits)
    if any(punctuality(course, period) is Punctuality.OVERDUE for course in courses):
        return Punctuality.OVERDUE
    if decided_at is None or not period.since <= decided_at < period.until:
        return None
    late = any(became_overdue(course, period.now) is not None for course in courses)
    return None if late else Punctuality.IN_TIME
