"""What the law lets an agency do only once the applicant has been told of something: proof of it is asked for here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.notifications import commands as notifications
from credit_service.notifications.commands import Recipient
from credit_service.notifications.rules import NOTICE_NOT_PROVED, Template
from credit_service.platform.errors import FieldError, Problem
from credit_service.workflows.machine import Step
from credit_service.workflows.models import Case


async def check(session: AsyncSession, now: datetime, case: Case, step: Step) -> None:
    """The applicant, or its agent, was told what the step's gate asks for. Raises ``NOTICE_NOT_PROVED``."""
    gate = step.gate
    if gate is None or case.state not in gate.sources:
        return
    told = [Recipient.entity(uscc) for uscc in (case.applicant_uscc, case.agent_uscc) if uscc is not None]
    about = notifications.Case(case.uscc, case.type, case.id, case.reference)
    if not await notifications.was_told(session, now, about, Template(gate.notice), told):
        raise Problem(
            NOTICE_NOT_PROVED,
            errors=[FieldError("", f"{gate.legal_basis}: {gate.notice}")],
            extra={"notice": gate.notice, "legal_basis": gate.legal_basis, "status": gate.status},
        )
