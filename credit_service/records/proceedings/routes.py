"""HTTP of proceedings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import note_subjects, require_purpose
from credit_service.accounts.rules import Permission, Principal, audience_of
from credit_service.platform import paging
from credit_service.platform.errors import NOT_FOUND, Problem
from credit_service.platform.http import actor_of, change, json_answer
from credit_service.platform.idempotency import StoredAnswer
from credit_service.records.proceedings import commands, rules, store
from credit_service.records.proceedings.commands import Party
from credit_service.records.proceedings.models import (
    Abandonment,
    Decision,
    DecisionReceipt,
    NoticeOfIntent,
    Proceeding,
    ProceedingOpen,
    ProceedingPage,
    ProceedingState,
    ProceedingView,
    Statement,
)
from credit_service.records.proceedings.rules import Step

router = APIRouter(tags=["proceedings 拟作出决定"])

Agency = Annotated[Principal, Depends(requires(Permission.MANAGE_PROCEEDING))]
Parties = Annotated[Principal, Depends(requires(Permission.READ_PROCEEDING))]
Id = Annotated[UUID, Path(description="案件标识 Proceeding id")]
IfMatch = Annotated[str | None, Header(description='"v<version>" or *')]
IdempotencyKey = Annotated[str | None, Header(description="幂等键")]
Purpose = Annotated[str | None, Header(description="查询目的 Required of agencies")]
PATH = "/v1/proceedings"


def _party(request: Request, principal: Principal) -> Party:
    return Party(actor_of(request, principal), principal.agency_uscc, principal.entity_uscc)


def _view(proceeding: Proceeding, party: Party) -> dict[str, Any]:
    shown = proceeding.model_dump(mode="json", exclude={"opened_by", "salt"})
    return shown | {"actions": rules.steps_for(proceeding.state, party.side)}


@router.post(PATH, response_model=ProceedingView, status_code=201)
async def open_proceeding(
    request: Request, body: ProceedingOpen, principal: Agency, idempotency_key: IdempotencyKey = None
) -> Response:
    """拟定 Enter an intended decision."""
    state, party = request.app.state, _party(request, principal)

    async def run(session: AsyncSession) -> StoredAnswer:
        opened = await commands.open_proceeding(session, state.catalogue, party, state.clock.now(), body)
        headers = {"Location": f"{PATH}/{opened.id}", "ETag": commands.version_tag(opened)}
        return json_answer(_view(opened, party), 201, headers)

    return await change(request, principal, run)


@router.get(PATH, response_model=ProceedingPage)
async def list_proceedings(
    request: Request,
    principal: Parties,
    state: Annotated[ProceedingState | None, Query(description="状态")] = None,
    cursor: Annotated[str | None, Query(max_length=500, description="分页游标")] = None,
    limit: Annotated[int, Query(ge=1, le=paging.LARGEST_LIMIT, description="每页条数")] = paging.DEFAULT_LIMIT,
    credit_purpose: Purpose = None,
) -> dict[str, Any]:
    """案件列表 An agency's own proceedings, or those a subject was notified of."""
    party = _party(request, principal)
    require_purpose(principal, audience_of(principal, party.entity_uscc or ""), credit_purpose, None)
    async with request.app.state.database.transaction() as session:
        rows = await store.page(
            session,
            agency=party.agency_uscc,
            entity=party.entity_uscc if party.agency_uscc is None else None,
            state=state,
            after=paging.place_of(cursor, paging.BY_MOMENT),
            limit=limit,
        )
    note_subjects(row.uscc for row in rows[:limit])
    page: dict[str, Any] = {"proceedings": [_view(row, party) for row in rows[:limit]]}
    if len(rows) > limit:
        page["next_cursor"] = paging.encode_cursor(rows[limit - 1].changed_at, rows[limit - 1].id)
    return page


@router.get(f"{PATH}/{{proceeding_id}}", response_model=ProceedingView)
async def read_proceeding(
    request: Request, proceeding_id: Id, principal: Parties, response: Response, credit_purpose: Purpose = None
) -> dict[str, Any]:
    """案件 One proceeding, with what the caller may do now."""
    party = _party(request, principal)
    async with request.app.state.database.transaction() as session:
        proceeding = await store.by_id(session, proceeding_id)
    if proceeding is None or not commands.may_see(proceeding, party):
        raise Problem(NOT_FOUND)
    require_purpose(principal, audience_of(principal, proceeding.uscc), credit_purpose, proceeding.uscc)
    response.headers["ETag"] = commands.version_tag(proceeding)
    return _view(proceeding, party)


Run = Callable[[AsyncSession, Party, Proceeding], Awaitable[Any]]


async def _take(
    request: Request, principal: Principal, proceeding_id: UUID, step: Step, if_match: str | None, run: Run
) -> Response:
    party = _party(request, principal)

    async def taken(session: AsyncSession) -> StoredAnswer:
        proceeding = await commands.for_step(session, party, proceeding_id, step, if_match)
        result = await run(session, party, proceeding)
        content = _view(proceeding, party)
        if result is not None:
            content = {"proceeding": content, "record": result.model_dump(mode="json")}
        return json_answer(content, 200, {"ETag": commands.version_tag(proceeding)})

    return await change(request, principal, taken)


@router.post(f"{PATH}/{{proceeding_id}}/notice", response_model=ProceedingView)
async def serve_notice(
    request: Request,
    proceeding_id: Id,
    body: NoticeOfIntent,
    principal: Agency,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """告知送达 Record the service of the notice of the intended decision."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession, party: Party, proceeding: Proceeding) -> None:
        await commands.serve_notice(session, party, now, proceeding, body)

    return await _take(request, principal, proceeding_id, Step.SERVE_NOTICE, if_match, run)


@router.post(f"{PATH}/{{proceeding_id}}/statement", response_model=ProceedingView)
async def state_defence(
    request: Request,
    proceeding_id: Id,
    body: Statement,
    principal: Parties,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """陈述申辩 The subject's statement and defence, filed by itself or taken in by the agency."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession, party: Party, proceeding: Proceeding) -> None:
        await commands.state(session, party, now, proceeding, body)

    return await _take(request, principal, proceeding_id, Step.STATE, if_match, run)


@router.post(f"{PATH}/{{proceeding_id}}/decision", response_model=DecisionReceipt)
async def decide(
    request: Request,
    proceeding_id: Id,
    body: Decision,
    principal: Agency,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """决定 End the proceeding with a decision, which becomes a record."""
    state = request.app.state

    async def run(session: AsyncSession, party: Party, proceeding: Proceeding) -> Any:
        return await commands.decide(session, state.catalogue, party, state.clock.now(), proceeding, body)

    return await _take(request, principal, proceeding_id, Step.DECIDE, if_match, run)


@router.post(f"{PATH}/{{proceeding_id}}/abandonment", response_model=ProceedingView)
async def abandon(
    request: Request,
    proceeding_id: Id,
    body: Abandonment,
    principal: Agency,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """不予处理 End the proceeding without a decision."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession, party: Party, proceeding: Proceeding) -> None:
        await commands.abandon(session, party, now, proceeding, body.reason)

    return await _take(request, principal, proceeding_id, Step.ABANDON, if_match, run)
