"""The files of a case: its parties add them while it is open, whoever may see the case may read them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts.dependencies import requires
from credit_service.accounts.rules import Permission, Principal
from credit_service.evidence import routes as evidence_routes
from credit_service.evidence.commands import Subject
from credit_service.evidence.models import AttachmentList, AttachmentRead
from credit_service.evidence.routes import FILE_ANSWER, FILE_BODY, SubjectOf
from credit_service.platform.errors import Problem
from credit_service.workflows import access
from credit_service.workflows.commands import Workflow, files_of
from credit_service.workflows.machine import Machine, Party
from credit_service.workflows.routes import Purpose, state_purpose
from credit_service.workflows.rules import CASE_CLOSED

Adder = Annotated[Principal, Depends(requires(Permission.APPLY))]
Reader = Annotated[Principal, Depends(requires(Permission.READ_CASE))]
Id = Annotated[UUID, Path(description="办件标识 Case id")]
AttachmentId = Annotated[UUID, Path(description="附件标识 Attachment id")]
IdempotencyKey = Annotated[str | None, Header(description="幂等键")]


def _read_by(machine: Machine, request: Request, principal: Principal, case_id: UUID, purpose: str | None) -> SubjectOf:
    async def subject(session: AsyncSession) -> Subject:
        case, found = await access.visible_case(session, machine, principal, case_id, request.app.state.clock.now())
        state_purpose(principal, found, case, purpose)
        return files_of(case)

    return subject


def _added_by(machine: Machine, request: Request, principal: Principal, case_id: UUID) -> SubjectOf:
    """A party of the case, while it is open. Raises ``NOT_FOUND`` and ``CASE_CLOSED``."""

    async def subject(session: AsyncSession) -> Subject:
        case, found = await access.visible_case(session, machine, principal, case_id, request.app.state.clock.now())
        if not found or case.closed_at is not None:
            raise Problem(CASE_CLOSED, extra={"state": case.state})
        return files_of(case)

    return subject


def _removed_by(machine: Machine, request: Request, principal: Principal, case_id: UUID) -> SubjectOf:
    """The applicant, before the application is submitted: what was submitted stays on file. Raises as above."""

    async def subject(session: AsyncSession) -> Subject:
        case, found = await access.visible_case(session, machine, principal, case_id, request.app.state.clock.now())
        if Party.APPLICANT not in found or case.submitted_at is not None:
            raise Problem(CASE_CLOSED, extra={"state": case.state})
        return files_of(case)

    return subject


def add_attachments(router: APIRouter, workflow: Workflow, path: str) -> None:
    """The routes of a workflow's attachments."""
    machine, name = workflow.machine, workflow.machine.name
    all_of, one = f"{path}/{{case_id}}/attachments", f"{path}/{{case_id}}/attachments/{{attachment_id}}"

    @router.post(
        all_of,
        response_model=AttachmentRead,
        status_code=201,
        responses={200: {"model": AttachmentRead}},
        openapi_extra=FILE_BODY,
        summary="上传附件 Add a file; one that the case holds already is answered with 200",
        name=f"{name} add attachment",
    )
    async def add(request: Request, case_id: Id, principal: Adder, idempotency_key: IdempotencyKey = None) -> Response:
        return await evidence_routes.upload(request, principal, _added_by(machine, request, principal, case_id))

    @router.get(
        all_of, response_model=AttachmentList, summary="附件清单 The files of a case", name=f"{name} attachments"
    )
    async def listing(
        request: Request, case_id: Id, principal: Reader, credit_purpose: Purpose = None
    ) -> AttachmentList:
        return await evidence_routes.listing(request, _read_by(machine, request, principal, case_id, credit_purpose))

    @router.get(
        one,
        response_class=Response,
        responses=FILE_ANSWER,
        summary="下载附件 A file, or the part that Range asks for",
        name=f"{name} attachment",
    )
    async def download(
        request: Request,
        case_id: Id,
        attachment_id: AttachmentId,
        principal: Reader,
        credit_purpose: Purpose = None,
    ) -> Response:
        subject = _read_by(machine, request, principal, case_id, credit_purpose)
        return await evidence_routes.download(request, subject, attachment_id)

    @router.delete(
        one,
        status_code=204,
        response_class=Response,
        summary="移除附件 Take a file from a draft",
        name=f"{name} remove attachment",
    )
    async def remove(
        request: Request,
        case_id: Id,
        attachment_id: AttachmentId,
        principal: Adder,
        idempotency_key: IdempotencyKey = None,
    ) -> Response:
        subject = _removed_by(machine, request, principal, case_id)
        return await evidence_routes.removal(request, principal, subject, attachment_id)
