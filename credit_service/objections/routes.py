"""HTTP of objections."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.objections import commands
from credit_service.objections.commands import WORKFLOW
from credit_service.objections.contract import ObjectionApplication
from credit_service.platform.http import change, json_answer
from credit_service.platform.idempotency import StoredAnswer
from credit_service.workflows.attachments import add_attachments
from credit_service.workflows.commands import version_tag
from credit_service.workflows.models import CaseRead
from credit_service.workflows.routes import Applicant, IdempotencyKey, add_actions, add_reading, caller_of, read_of

router = APIRouter(tags=["objections 异议"])
PATH = "/v1/objections"


@router.post(PATH, response_model=CaseRead, status_code=201)
async def object_to_record(
    request: Request, body: ObjectionApplication, principal: Applicant, idempotency_key: IdempotencyKey = None
) -> Response:
    """提出异议 Object to a record, as its subject or as an affected third party."""
    caller = caller_of(request, principal)

    async def run(session: AsyncSession) -> StoredAnswer:
        case = await commands.apply(session, caller, body)
        shown = await read_of(session, caller, WORKFLOW, case)
        headers = {"Location": f"{PATH}/{case.id}", "ETag": version_tag(case)}
        return json_answer(shown.model_dump(mode="json"), 201, headers)

    return await change(request, principal, run)


add_reading(router, WORKFLOW, PATH)
add_actions(router, WORKFLOW, PATH)
add_attachments(router, WORKFLOW, PATH)
