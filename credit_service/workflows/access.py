"""Whose a case is, and who may see it."""

from __future__ import annotations

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
    agencies: frozenset[str] = frozenset()
    if principal.agency_uscc is not None and principal.role is Role.SUBMITTER:
        agencies = await accounts.answers_for(session, principal.agency_uscc)
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
    do not exist: raises ``NOT_FOUND``, and ``AUTHORISATION_ENDED`` for an agent that was authorised no longer.
    """
    case = await store.by_id(session, machine.name, case_id)
    if case is None:
        raise Problem(NOT_FOUND)
    return case, await seen_as(session, principal, case, now)


async def seen_as(session: AsyncSession, principal: Principal, case: Case, now: datetime) -> frozenset[Party]:
    """What the caller is to a case that it may see. Raises as ``visible_case`` does."""
    found = parties(await standing_of(session, principal), case)
    if case.submitted_at is None:
        found &= {Party.APPLICANT}
    if not found and not (case.submitted_at is not None and await _oversees(session, principal, case)):
        raise Problem(NOT_FOUND)
    if principal.entity_uscc is not None and principal.entity_uscc == case.agent_uscc:
        check_authorisation(case.content, day_of(now))
    return found


async def _oversees(session: AsyncSession, principal: Principal, case: Case) -> bool:
    agency = principal.agency_uscc
    return agency is not None and agency in (case.handler_uscc, await accounts.parent_of(session, case.handler_uscc))
