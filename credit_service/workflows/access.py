"""Whose a case is, and who may see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts import commands as accounts
from credit_service.accounts.rules import Principal, Role
from credit_service.platform.days import day_of
from credit_service.platform.errors import NOT_FOUND, Problem
from credit_service.workflows import store
from credit_service.workflows.machine import Machine, Party
from credit_service.workflows.models import Case
from credit_service.workflows.rules import Standing, check_authorisation


async def standing_of(session: AsyncSession, principal: Principal) -> Standing:
    """What a principal is to cases. An agency answers for those it succeeded."""
    agency = principal.agency_uscc
    return _standing(principal, await accounts.answers_for(session, agency) if agency is not None else frozenset())


def _standing(principal: Principal, line: frozenset[str]) -> Standing:
    agencies = line if principal.role is Role.SUBMITTER else frozenset()
    entity = principal.entity_uscc if principal.role is Role.SUBJECT else None
    return Standing(principal.id, principal.agency_uscc, entity, agencies)


def parties(standing: Standing, case: Case) -> frozenset[Party]:
    """What a principal is to the case."""
    return standing.parties(
        applicant=case.applicant,
        applicants=(case.applicant_uscc, case.agent_uscc),
        handler_uscc=case.handler_uscc,
        source_uscc=case.source_uscc if case.source_uscc != case.handler_uscc else "",
    )


async def visible_case(
    session: AsyncSession, machine: Machine, principal: Principal, case_id: UUID, now: datetime
) -> tuple[Case, frozenset[Party]]:
    """The case, and what the caller is to it.

    It is for its parties, for regulators of the handling agency and for the agency above it. Others' and others' drafts
    do not exist: raises ``NOT_FOUND``, for them as soon as for one that never was, and ``AUTHORISATION_ENDED`` for an
    agent that was authorised no longer.
    """
    view = await view_of(session, principal)
    case = await store.by_id(session, machine.name, case_id)
    if case is None:
        raise Problem(NOT_FOUND)
    return case, view.of(case, now)


@dataclass(frozen=True, slots=True)
class View:
    """What a principal may see of cases: what it is to them, and the agencies under its own."""

    standing: Standing
    agency_uscc: str | None
    below: frozenset[str]

    def of(self, case: Case, now: datetime) -> frozenset[Party]:
        """What the caller is to a case that it may see. Raises as ``visible_case`` does."""
        found = parties(self.standing, case)
        if case.submitted_at is None:
            found &= {Party.APPLICANT}
        oversees = self.agency_uscc is not None and case.handler_uscc in self.below | {self.agency_uscc}
        if not found and not (case.submitted_at is not None and oversees):
            raise Problem(NOT_FOUND)
        entity = self.standing.entity_uscc
        if entity is not None and entity == case.agent_uscc:
            check_authorisation(case.content, day_of(now))
        return found


async def view_of(session: AsyncSession, principal: Principal) -> View:
    """All that must be known of a caller, before a case is looked for."""
    agency = principal.agency_uscc
    line, below = await accounts.reach(session, agency) if agency is not None else (frozenset(), frozenset())
    return View(_standing(principal, line), agency, below)
