"""HTTP of what is published of a draw, and of what its auditors see besides."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import note_subjects, require_purpose
from credit_service.accounts.rules import Audience, Permission, Principal, Role
from credit_service.platform import paging
from credit_service.platform.errors import NOT_FOUND, Problem
from credit_service.platform.http import matches
from credit_service.records.rules import is_visible
from credit_service.supervision.classes.routes import NO_STORE, Cursor, Id, Limit, PurposeHeader
from credit_service.supervision.inspections import contract, store
from credit_service.supervision.inspections.models import InspectionDraw
from credit_service.supervision.inspections.rules import SCHEMA

router = APIRouter(tags=["inspections 双随机抽查"])

Everybody = Annotated[Principal, Depends(requires(Permission.READ_DRAW))]
Auditor = Annotated[Principal, Depends(requires(Permission.READ_OPENINGS))]


async def _draw(request: Request, plan_id: UUID) -> InspectionDraw:
    async with request.app.state.database.transaction() as session:
        found = await store.draw(session, plan_id)
    if found is None:
        raise Problem(NOT_FOUND)
    return found


@router.get("/v1/inspections/draws", response_model=contract.PublishedDraws)
async def read_draws(
    request: Request, principal: Everybody, cursor: Cursor = None, limit: Limit = paging.DEFAULT_LIMIT
) -> contract.PublishedDraws:
    """抽取公示目录 Every draw that was committed to, made or not, the newest commitment first."""
    async with request.app.state.database.transaction() as session:
        rows = await store.draws(session, paging.place_of(cursor, paging.BY_MOMENT), limit)
    shown = [
        contract.PublishedDraw(
            plan_id=plan.id,
            agency_uscc=plan.agency_uscc,
            participants=plan.participants,
            title=plan.title,
            year=plan.year,
            commitment=contract.Commitment.model_validate(commitment),
            drawn_at=drawn_at,
        )
        for plan, commitment, drawn_at in rows[:limit]
    ]
    last = shown[-1] if len(rows) > limit else None
    more = paging.encode_cursor(last.commitment.committed_at, last.plan_id) if last is not None else None
    return contract.PublishedDraws(draws=shown, next_cursor=more)


@router.get("/v1/inspections/draws/{plan_id}", response_model=contract.DrawDocument)
async def read_draw(request: Request, plan_id: Id, principal: Everybody) -> Response:
    """抽取公示 All that is needed to repeat a draw, from its commitment on. Entities appear as opaque handles."""
    found = await _draw(request, plan_id)
    etag = f'"{found.commitment["digest"][:32]}-{"drawn" if found.drawn is not None else "committed"}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    body = b"".join(
        (
            b'{"schema":',
            orjson.dumps(SCHEMA),
            b',"plan_id":',
            orjson.dumps(str(plan_id)),
            b',"commitment":',
            orjson.dumps(found.commitment),
            b',"reveal":',
            orjson.dumps(found.reveal),
            b',"drawn":',
            found.drawn if found.drawn is not None else b"null",
            b',"material":',
            found.material,
            b"}",
        )
    )
    return Response(body, media_type="application/json", headers=headers)


@router.get("/v1/inspections/draws/{plan_id}/results", response_model=contract.ResultPage)
async def read_results(
    request: Request, plan_id: Id, principal: Everybody, cursor: Cursor = None, limit: Limit = paging.DEFAULT_LIMIT
) -> contract.ResultPage:
    """抽查结果公示 The results of a draw that are shown now, in the order of the entities' codes."""
    [after] = paging.place_of(cursor, paging.BY_TEXT) or ("",)
    now = request.app.state.clock.now()
    await _draw(request, plan_id)
    async with request.app.state.database.transaction() as session:
        rows = await store.results(session, plan_id, after, limit)
    shown = [
        contract.PublishedResult.model_validate(found, from_attributes=True)
        for found, record in rows[:limit]
        if is_visible(record.state, record.publicity_from, record.publicity_until, now)
    ]
    more = paging.encode_cursor(rows[limit - 1][0].uscc) if len(rows) > limit else None
    return contract.ResultPage(results=shown, next_cursor=more)


@router.get("/v1/inspections/draws/{plan_id}/openings")
async def read_openings(
    request: Request, plan_id: Id, principal: Auditor, credit_purpose: PurposeHeader = None
) -> Response:
    """名单对应关系 Which handle is whom, and which stratum which class: for auditors and the plan's own agencies."""
    require_purpose(principal, Audience.REGULATOR, credit_purpose, None)
    found = await _draw(request, plan_id)
    async with request.app.state.database.transaction() as session:
        plan = await store.plan(session, plan_id)
    own = plan is not None and principal.agency_uscc in (plan.agency_uscc, *plan.participants)
    if principal.role is not Role.AUDITOR and not own:
        raise Problem(NOT_FOUND)
    note_subjects(uscc for stratum in orjson.loads(found.openings)["strata"] for uscc in stratum["entities"])
    return Response(found.openings, media_type="application/json", headers=NO_STORE)
