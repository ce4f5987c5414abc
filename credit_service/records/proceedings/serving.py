"""The notice of an intended decision: the subject is told, and when it was served (行政处罚法 arts. 44, 61)."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts import commands as accounts
from credit_service.notifications import commands as notifications
from credit_service.notifications.commands import Recipient
from credit_service.notifications.rendering import Value
from credit_service.notifications.rules import NOTICE_NOT_PROVED, Template
from credit_service.platform.context import Actor
from credit_service.platform.days import day_of
from credit_service.platform.errors import FieldError, Problem
from credit_service.records.proceedings.models import Proceeding
from credit_service.records.proceedings.rules import statement_ends

LAW = "行政处罚法第四十四条"
NOTICE = Template.NOTICE_OF_INTENDED_DECISION


def _case(proceeding: Proceeding) -> notifications.Case:
    return notifications.Case(proceeding.uscc, "proceeding", proceeding.id, proceeding.reference)


async def tell(session: AsyncSession, actor: Actor, now: datetime, proceeding: Proceeding) -> None:
    """Owe the subject the notice."""
    assert proceeding.statement_until is not None
    said = proceeding.content
    data: dict[str, Value] = {
        **{name: said[name] for name in ("entity_name", "findings", "grounds", "legal_basis", "intended_content")},
        "agency_name": await accounts.agency_name(session, proceeding.agency_uscc),
        "statement_until": proceeding.statement_until,
    }
    key = f"{proceeding.id}:{NOTICE.value}"
    await notifications.owe(
        session, actor, now, Recipient.entity(proceeding.uscc), NOTICE, _case(proceeding), data, key
    )


async def served(session: AsyncSession, now: datetime, proceeding: Proceeding) -> tuple[dict[str, Any], date] | None:
    """The notice with its proof, and the last day for the statement; ``None`` while nothing proves that it was served.

    What the agency served by its own means it proved with the notice; for the rest the registry has its own proof.
    """
    assert proceeding.notice is not None
    assert proceeding.statement_until is not None
    notice = dict(proceeding.notice)
    sent = notice.pop("sent_on", None)
    if sent is None:
        return notice, proceeding.statement_until
    proof = await notifications.proof_of_notice(session, now, _case(proceeding), NOTICE)
    if proof is None:
        return None
    day = day_of(proof.delivered_at)
    notice |= {"served_on": day.isoformat(), "means": proof.means.value, "evidence": proof.evidence}
    return notice, statement_ends(proceeding.statement_until, date.fromisoformat(sent), day)


async def proved(session: AsyncSession, now: datetime, proceeding: Proceeding) -> tuple[dict[str, Any], date]:
    """The same for a step that waits for the proof. Raises ``NOTICE_NOT_PROVED``."""
    found = await served(session, now, proceeding)
    if found is None:
        raise Problem(
            NOTICE_NOT_PROVED,
            errors=[FieldError("", f"{LAW}: {NOTICE.value}")],
            extra={"notice": NOTICE.value, "legal_basis": LAW},
        )
    return found
