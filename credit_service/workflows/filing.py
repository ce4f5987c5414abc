"""Who applies: the entity itself, its authorised agent, or an agency on its behalf at a window."""

from __future__ import annotations

from typing import NamedTuple

from credit_service.accounts.rules import Role
from credit_service.platform.days import day_of
from credit_service.platform.errors import FieldError, Problem, ProblemType
from credit_service.workflows.commands import Caller
from credit_service.workflows.contract import Authorisation, WindowFiling

FILING_REFUSED = ProblemType(
    "filing-refused", 422, "申请人资格不符合要求", "The caller may not apply for this entity as stated"
)


class Applicant(NamedTuple):
    """For whom an application is filed, and by which agent."""

    uscc: str
    agent_uscc: str | None


def applicant_of(caller: Caller, uscc: str, *, agent: Authorisation | None, window: WindowFiling | None) -> Applicant:
    """The applicant of an application for the entity ``uscc``. Raises ``FILING_REFUSED``."""
    principal, today = caller.principal, day_of(caller.now)
    if principal.role is not Role.SUBJECT:
        if window is None or agent is not None or window.received_on > today:
            raise Problem(FILING_REFUSED, errors=[FieldError("/window", "the filing an agency took in, by today")])
        return Applicant(uscc, None)
    if window is not None:
        raise Problem(FILING_REFUSED, errors=[FieldError("/window", "an agency's only")])
    if principal.entity_uscc == uscc:
        return Applicant(uscc, None)
    if agent is None or not agent.authorised_on <= today <= agent.valid_until:
        raise Problem(FILING_REFUSED, errors=[FieldError("/agent", "an authorisation in force")])
    return Applicant(uscc, principal.entity_uscc)
