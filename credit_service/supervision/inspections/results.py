"""Use cases of inspections after the draw: record what was found, and link what followed from it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts import commands as accounts
from credit_service.catalogue.models import Catalogue
from credit_service.entities.models import Entity
from credit_service.platform.context import Actor
from credit_service.platform.days import day_of
from credit_service.platform.errors import NOT_FOUND, FieldError, Problem
from credit_service.records import commands as records
from credit_service.records import life
from credit_service.records.contract import RecordReceipt, RecordSubmission
from credit_service.supervision.classes.commands import check_version
from credit_service.supervision.inspections import store
from credit_service.supervision.inspections.commands import agency_of, note
from credit_service.supervision.inspections.contract import ResultWrite
from credit_service.supervision.inspections.models import Inspection, InspectionPlan
from credit_service.supervision.inspections.rules import DRAW_REFUSED, NEGATIVE, PLAN_STATE

RESULT_ITEM = "inspection-result"


async def _inspection(session: AsyncSession, actor: Actor, inspection_id: UUID) -> tuple[Inspection, InspectionPlan]:
    found = await store.inspection(session, inspection_id, lock=True)
    plan = await store.plan(session, found.plan_id) if found is not None else None
    if found is None or plan is None or agency_of(actor) not in (plan.agency_uscc, *plan.participants):
        raise Problem(NOT_FOUND)
    return found, plan


async def record_result(
    session: AsyncSession,
    catalogue: Catalogue,
    actor: Actor,
    now: datetime,
    inspection_id: UUID,
    body: ResultWrite,
    if_match: str | None,
) -> tuple[Inspection, RecordReceipt]:
    """Enter what was found; it becomes a record of the entity and is published with the others.

    Raises ``NOT_FOUND``, ``PLAN_STATE`` (recorded already) and what a submission raises.
    """
    found, plan = await _inspection(session, actor, inspection_id)
    check_version(found.version, if_match)
    if found.state != "assigned":
        raise Problem(PLAN_STATE, extra={"state": found.state})
    if body.inspected_on < day_of(found.drawn_at):
        raise Problem(DRAW_REFUSED, errors=[FieldError("/inspected_on", "not before the draw")])
    agency = await accounts.read_agency(session, agency_of(actor))
    basis = {
        item.code: item for each in (plan.agency_uscc, *plan.participants) for item in await store.items(session, each)
    }
    chosen = [basis[code] for code in plan.items]
    facts = {"inspection_item": "、".join(item.name for item in chosen)[:200], "result": body.result.value}
    submission = RecordSubmission(
        item_code=RESULT_ITEM,
        uscc=found.uscc,
        entity_name=await _name_of(session, found.uscc),
        document_number=body.document_number,
        decided_on=body.inspected_on,
        authority_uscc=agency.uscc,
        authority_name=agency.name,
        legal_basis="; ".join(item.legal_basis for item in chosen)[:4000],
        facts=facts | ({"remarks": body.remarks} if body.remarks else {}),
    )
    receipt = await records.submit(session, catalogue, actor, now, submission)
    found.state, found.result, found.inspected_on = "recorded", body.result.value, body.inspected_on
    found.record_id, found.recorded_by, found.recorded_at = receipt.id, actor.id, now
    found.version += 1
    note(session, actor, now, "inspection.recorded", str(found.id))
    return found, receipt


async def _name_of(session: AsyncSession, uscc: str) -> str:
    entity = await session.get(Entity, uscc)
    assert entity is not None
    return entity.name


async def follow_up(
    session: AsyncSession, actor: Actor, now: datetime, inspection_id: UUID, record_id: UUID
) -> Inspection:
    """Link a negative result with the penalty or listing that followed: they stop being shown together (Order 107).

    Raises ``NOT_FOUND``, ``PLAN_STATE`` (not a negative result), ``RECORD_REFUSED`` and ``RECORD_CLOSED``.
    """
    found, _ = await _inspection(session, actor, inspection_id)
    if found.record_id is None or found.result not in NEGATIVE:
        raise Problem(PLAN_STATE, errors=[FieldError("", "a negative result")], extra={"state": found.state})
    caused = await life.held(session, record_id)
    await life.bind(session, actor, now, await life.held(session, found.record_id), caused)
    note(session, actor, now, "inspection.follow-up-linked", str(found.id))
    return found
