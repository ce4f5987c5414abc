"""HTTP of repair."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Header, Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts.purpose import note_subjects, require_purpose
from credit_service.accounts.rules import audience_of
from credit_service.platform.http import change, json_answer
from credit_service.platform.idempotency import StoredAnswer
from credit_service.repairs import commands
from credit_service.repairs.commands import WORKFLOW
from credit_service.repairs.contract import Eligibility, RepairApplication, RepairReceipt
from credit_service.workflows.attachments import add_attachments
from credit_service.workflows.routes import (
    Applicant,
    IdempotencyKey,
    Reader,
    add_actions,
    add_reading,
    caller_of,
    read_of,
)

router = APIRouter(tags=["repairs 信用修复"])
PATH = "/v1/repairs"


@router.post(PATH, response_model=RepairReceipt, status_code=201)
async def apply_for_repair(
    request: Request, body: RepairApplication, principal: Applicant, idempotency_key: IdempotencyKey = None
) -> Response:
    """申请信用修复 Apply for the repair of one or several records of an entity."""
    caller = caller_of(request, principal)

    async def run(session: AsyncSession) -> StoredAnswer:
        application_id, cases = await commands.apply(session, caller, body)
        shown = [await read_of(session, caller, WORKFLOW, case) for case in cases]
        receipt = RepairReceipt(application_id=application_id, cases=shown)
        return json_answer(receipt.model_dump(mode="json"), 201, {"Location": f"{PATH}/{cases[0].id}"})

    return await change(request, principal, run)


@router.get("/v1/records/{record_id}/repair-eligibility", response_model=Eligibility)
async def read_eligibility(
    request: Request,
    record_id: Annotated[UUID, Path(description="记录标识 Record id")],
    principal: Reader,
    credit_purpose: Annotated[str | None, Header(description="查询目的 Required of agencies")] = None,
) -> Eligibility:
    """修复条件预检 Whether a record may be repaired today, condition by condition, or from which day."""
    caller = caller_of(request, principal)
    require_purpose(principal, audience_of(principal, principal.entity_uscc or ""), credit_purpose, None)
    async with request.app.state.database.transaction() as session:
        found = await commands.eligibility(session, caller, record_id)
    note_subjects([found.uscc])
    return found


add_reading(router, WORKFLOW, PATH)
add_actions(router, WORKFLOW, PATH)
add_attachments(router, WORKFLOW, PATH)
