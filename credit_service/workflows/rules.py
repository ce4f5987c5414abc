"""Who may act in a case and on what conditions: pure rules shared by the workflows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from credit_service.platform.errors import FieldError, Problem, ProblemType
from credit_service.workflows.machine import Machine, Party, Step

CASE_ACTION_ILLEGAL = ProblemType(
    "case-action-illegal", 409, "当前状态不允许该操作", "The case's state does not allow this"
)
CONFLICT_OF_INTEREST = ProblemType(
    "conflict-of-interest", 403, "经办人应当回避", "This officer must stand aside (separation of duties)"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a principal is to a case: applicant, officer of the handling agency, officer of the source."""

    principal: str
    agency_uscc: str | None
    entity_uscc: str | None

    def parties(
        self, *, applicant: str, applicant_uscc: str | None, handler_uscc: str, source_uscc: str
    ) -> frozenset[Party]:
        found = set()
        if self.principal == applicant or (self.entity_uscc is not None and self.entity_uscc == applicant_uscc):
            found.add(Party.APPLICANT)
        if self.agency_uscc is not None and self.agency_uscc == handler_uscc:
            found.add(Party.HANDLER)
        if self.agency_uscc is not None and self.agency_uscc == source_uscc:
            found.add(Party.SOURCE)
        return frozenset(found)


def legal_step(machine: Machine, state: str, action: str, parties: Collection[Party]) -> Step:
    """The step an action is. Raises ``CASE_ACTION_ILLEGAL`` with what the party may do instead."""
    step = machine.by_action.get(action)
    if step is None or state not in step.sources or not (step.by & set(parties)):
        possible = sorted({step.action for party in parties for step in machine.steps_for(state, party)})
        raise Problem(CASE_ACTION_ILLEGAL, extra={"state": state, "actions": possible})
    return step


def check_officer(step: Step, principal: str, officers: Mapping[str, str], recorded_by: Collection[str]) -> None:
    """Separation of duties: who recorded the fact, or decided before, does not decide now.

    ``officers`` maps actions to who took them. Raises ``CONFLICT_OF_INTEREST``.
    """
    if step.action in DECISIVE and principal in recorded_by:
        raise Problem(CONFLICT_OF_INTEREST, errors=[FieldError("", "the officer who recorded does not decide")])
    if step.another_officer and principal in {officers[name] for name in DECISIVE & officers.keys()}:
        raise Problem(CONFLICT_OF_INTEREST, errors=[FieldError("", "a review is another officer's")])


DECISIVE = frozenset(
    {"grant", "reject", "revoke", "correct", "remove", "uphold", "review-correct", "review-remove", "review-uphold"}
)
"""Actions that decide a case."""


def check_four_eyes(needed: bool, step: Step, principal: str, officers: Mapping[str, str]) -> None:
    """Removal from a serious list takes two officers: one proposes, another grants. Raises ``CONFLICT_OF_INTEREST``."""
    if not needed or step.action != "grant":
        return
    proposer = officers.get("propose")
    if proposer is None:
        raise Problem(CONFLICT_OF_INTEREST, errors=[FieldError("", "four eyes: propose first, another officer grants")])
    if proposer == principal:
        raise Problem(CONFLICT_OF_INTEREST, errors=[FieldError("", "four eyes: another officer than the proposer")])
