"""The repair notice that the registry serves itself, together with the decision (国办发〔2025〕22号 九, 两书同达)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.catalogue.models import Catalogue
from credit_service.notifications import commands as notifications
from credit_service.notifications.commands import Recipient
from credit_service.notifications.models import Notification
from credit_service.notifications.rules import NOTICE_NOT_PROVED, Language, Template
from credit_service.platform.context import Actor
from credit_service.platform.days import day_of
from credit_service.platform.errors import INVALID_REQUEST, FieldError, Problem
from credit_service.records import life, rules
from credit_service.records.models import NoticeKind, Record, State
from credit_service.records.notices import repair_notice
from credit_service.records.rules import RECORD_CLOSED

LAW = "国办发〔2025〕22号 九"


def _case(record: Record) -> notifications.Case:
    reference = f"JL-{day_of(record.recorded_at):%Y%m%d}-{str(record.id)[-8:].upper()}"
    return notifications.Case(record.uscc, "record", record.id, reference)


def is_missing(catalogue: Catalogue, record: Record) -> bool:
    """Whether the record waits for the proof of its repair notice."""
    if record.state != State.AWAITING_NOTICE:
        return False
    item = life.draft_of(catalogue, record).item
    return NoticeKind.REPAIR in rules.missing_notices(catalogue, item, record.decided_on, record.notices)


async def tell(
    session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, record: Record
) -> Notification:
    """Owe the subject the repair notice of a decision, in its language; of one version of a record once.

    Raises ``INVALID_REQUEST`` where its rule asks for none, and ``RECORD_CLOSED`` when it no longer stands.
    """
    draft = life.draft_of(catalogue, record)
    rule = rules.notice_rule(catalogue, draft.item, record.decided_on)
    if rule is None or NoticeKind.REPAIR not in rule.notices:
        raise Problem(INVALID_REQUEST, errors=[FieldError("", "a decision whose rule asks for the repair notice")])
    if record.state not in rules.OPEN_STATES:
        raise Problem(RECORD_CLOSED, extra={"state": record.state})
    notice = repair_notice(catalogue, draft, first_published_at=record.publicity_from)
    subject, case = Recipient.entity(record.uscc), _case(record)
    language = await notifications.language_of(session, subject)
    data = {"notice": notice.text_en if language is Language.EN else notice.text_zh}
    key = f"{record.id}:{record.version}:{Template.REPAIR_NOTICE.value}"
    return await notifications.owe(session, actor, now, subject, Template.REPAIR_NOTICE, case, data, key)


async def proved(session: AsyncSession, now: datetime, record: Record) -> dict[str, Any]:
    """The repair notice that the registry served, as proof of notice. Raises ``NOTICE_NOT_PROVED``."""
    proof = await notifications.proof_of_notice(session, now, _case(record), Template.REPAIR_NOTICE)
    if proof is None:
        raise Problem(
            NOTICE_NOT_PROVED,
            errors=[FieldError("/by_registry", f"{LAW}: {Template.REPAIR_NOTICE.value}")],
            extra={"notice": Template.REPAIR_NOTICE.value, "legal_basis": LAW},
        )
    return {
        "kind": NoticeKind.REPAIR.value,
        "document_number": None,
        "served_on": day_of(proof.delivered_at).isoformat(),
        "means": proof.means.value,
        "evidence": proof.evidence,
    }
