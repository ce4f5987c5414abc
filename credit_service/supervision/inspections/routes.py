"""HTTP of inspections for the agencies that make them: items, inspectors, plans, commitment, draw, results."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import note_subjects, require_purpose
from credit_service.accounts.rules import Audience, Permission, Principal
from credit_service.platform import paging
from credit_service.platform.errors import NOT_FOUND, Problem
from credit_service.platform.http import actor_of, change, json_answer
from credit_service.platform.idempotency import StoredAnswer
from credit_service.supervision.classes.commands import tag_of
from credit_service.supervision.classes.routes import (
    NO_STORE,
    Cursor,
    Id,
    IdempotencyKey,
    IfMatch,
    Limit,
    PurposeHeader,
)
from credit_service.supervision.inspections import commands, contract, results, store
from credit_service.supervision.inspections.models import Inspection, InspectionPlan, Inspector

router = APIRouter(tags=["inspections 双随机抽查"])

Officer = Annotated[Principal, Depends(requires(Permission.MANAGE_INSPECTIONS))]


def _plan(row: InspectionPlan) -> contract.PlanRead:
    return contract.PlanRead.model_validate(row, from_attributes=True)


def _inspector(row: Inspector) -> contract.InspectorRead:
    return contract.InspectorRead.model_validate(row, from_attributes=True)


def _inspection(row: Inspection) -> contract.InspectionRead:
    return contract.InspectionRead.model_validate(row, from_attributes=True)


@router.post("/v1/inspections/items", response_model=contract.ItemRead, status_code=201)
async def add_item(
    request: Request, body: contract.ItemWrite, principal: Officer, idempotency_key: IdempotencyKey = None
) -> Response:
    """增加抽查事项 Add an item to the agency's list of random inspections."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        item = await commands.add_item(session, actor_of(request, principal), now, body)
        return json_answer(contract.ItemRead.model_validate(item, from_attributes=True).model_dump(), 201)

    return await change(request, principal, run)


@router.get("/v1/inspections/items", response_model=contract.ItemList)
async def read_items(request: Request, principal: Officer) -> contract.ItemList:
    """随机抽查事项清单 The agency's list of random inspections."""
    async with request.app.state.database.transaction() as session:
        rows = await store.items(session, principal.agency_uscc or "")
    return contract.ItemList(items=[contract.ItemRead.model_validate(row, from_attributes=True) for row in rows])


@router.post("/v1/inspections/inspectors", response_model=contract.InspectorRead, status_code=201)
async def add_inspector(
    request: Request, body: contract.InspectorWrite, principal: Officer, idempotency_key: IdempotencyKey = None
) -> Response:
    """增加检查人员 Add an officer to the agency's pool."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        row = await commands.add_inspector(session, actor_of(request, principal), now, body)
        return json_answer(_inspector(row).model_dump(mode="json"), 201)

    return await change(request, principal, run)


@router.get("/v1/inspections/inspectors", response_model=contract.InspectorList)
async def read_inspectors(request: Request, principal: Officer, response: Response) -> contract.InspectorList:
    """执法检查人员名录库 The agency's own pool."""
    async with request.app.state.database.transaction() as session:
        rows = await store.inspectors(session, [principal.agency_uscc or ""])
    response.headers.update(NO_STORE)
    return contract.InspectorList(inspectors=[_inspector(row) for row in rows])


@router.post("/v1/inspections/inspectors/{inspector_id}/retirement", response_model=contract.InspectorRead)
async def retire_inspector(
    request: Request, inspector_id: Id, principal: Officer, idempotency_key: IdempotencyKey = None
) -> Response:
    """检查人员离岗 Take an officer out of the pool."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        row = await commands.retire_inspector(session, actor_of(request, principal), now, inspector_id)
        return json_answer(_inspector(row).model_dump(mode="json"))

    return await change(request, principal, run)


@router.post("/v1/inspections/inspectors/{inspector_id}/conflicts", response_model=contract.ConflictWrite)
async def add_conflict(
    request: Request,
    inspector_id: Id,
    body: contract.ConflictWrite,
    principal: Officer,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """登记回避事项 Note an entity that an officer must not inspect."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        await commands.add_conflict(session, actor_of(request, principal), now, inspector_id, body)
        return json_answer(body.model_dump())

    return await change(request, principal, run)


@router.post("/v1/inspections/plans", response_model=contract.PlanRead, status_code=201)
async def add_plan(
    request: Request, body: contract.PlanWrite, principal: Officer, idempotency_key: IdempotencyKey = None
) -> Response:
    """制定抽查计划 Keep a plan; it can be committed to later."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        plan = await commands.add_plan(session, actor_of(request, principal), now, body)
        headers = {"ETag": tag_of(plan.version), "Location": f"/v1/inspections/plans/{plan.id}"}
        return json_answer(_plan(plan).model_dump(mode="json"), 201, headers)

    return await change(request, principal, run)


@router.get("/v1/inspections/plans", response_model=contract.PlanPage)
async def read_plans(
    request: Request, principal: Officer, cursor: Cursor = None, limit: Limit = paging.DEFAULT_LIMIT
) -> contract.PlanPage:
    """抽查计划目录 The agency's plans and those it takes part in, the newest first."""
    [after] = paging.place_of(cursor, paging.BY_ID) or (None,)
    async with request.app.state.database.transaction() as session:
        rows = await store.plans(session, principal.agency_uscc or "", after, limit)
    more = paging.encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return contract.PlanPage(plans=[_plan(row) for row in rows[:limit]], next_cursor=more)


async def _visible(session: AsyncSession, principal: Principal, plan_id: UUID) -> InspectionPlan:
    plan = await store.plan(session, plan_id)
    if plan is None or principal.agency_uscc not in (plan.agency_uscc, *plan.participants):
        raise Problem(NOT_FOUND)
    return plan


@router.get("/v1/inspections/plans/{plan_id}", response_model=contract.PlanRead)
async def read_plan(request: Request, plan_id: Id, principal: Officer, response: Response) -> contract.PlanRead:
    """抽查计划 A plan of the agency, or one it takes part in."""
    async with request.app.state.database.transaction() as session:
        plan = await _visible(session, principal, plan_id)
    response.headers["ETag"] = tag_of(plan.version)
    return _plan(plan)


@router.post("/v1/inspections/plans/{plan_id}/commitment", response_model=contract.CommitmentReceipt)
async def commit_plan(
    request: Request,
    plan_id: Id,
    body: contract.CommitmentWrite,
    principal: Officer,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """承诺 Fix plan, lists and secret and publish their digests, before the public value is known."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        actor = actor_of(request, principal)
        plan, draw = await commands.commit(session, actor, now, plan_id, body.beacon, if_match)
        strata, inspectors = commands.sizes(draw)
        answer = {
            "plan_id": plan.id,
            "entities": sum(size for size, _ in strata),
            "quota": sum(quota for _, quota in strata),
            "inspectors": inspectors,
            "commitment": draw.commitment,
        }
        return json_answer(answer, headers={"ETag": tag_of(plan.version)})

    return await change(request, principal, run)


@router.post("/v1/inspections/plans/{plan_id}/draw", response_model=contract.DrawReceipt)
async def draw_plan(
    request: Request,
    plan_id: Id,
    body: contract.DrawWrite,
    principal: Officer,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """抽取 Draw with the public value that has become known; the secret and the draw are published."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        actor = actor_of(request, principal)
        plan, draw = await commands.draw(session, actor, now, plan_id, body.public_value, if_match)
        answer = {"plan_id": plan.id, **commands.outcome(draw)}
        return json_answer(answer, headers={"ETag": tag_of(plan.version)})

    return await change(request, principal, run)


@router.get("/v1/inspections/plans/{plan_id}/inspections", response_model=contract.InspectionPage)
async def read_inspections(
    request: Request,
    plan_id: Id,
    principal: Officer,
    response: Response,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=paging.LARGEST_LIMIT, description="每页条数")] = paging.DEFAULT_LIMIT,
    credit_purpose: PurposeHeader = None,
) -> contract.InspectionPage:
    """抽取名单 The entities drawn with their inspectors, for the agencies of the plan."""
    require_purpose(principal, Audience.REGULATOR, credit_purpose, None)
    [after] = paging.place_of(cursor, paging.BY_TEXT) or ("",)
    async with request.app.state.database.transaction() as session:
        await _visible(session, principal, plan_id)
        rows = await store.inspections(session, plan_id, after, limit)
    note_subjects(row.uscc for row in rows[:limit])
    response.headers.update(NO_STORE)
    more = paging.encode_cursor(rows[limit - 1].uscc) if len(rows) > limit else None
    return contract.InspectionPage(inspections=[_inspection(row) for row in rows[:limit]], next_cursor=more)


@router.post("/v1/inspections/{inspection_id}/result", response_model=contract.InspectionRead)
async def record_result(
    request: Request,
    inspection_id: Id,
    body: contract.ResultWrite,
    principal: Officer,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """录入检查结果 Enter what was found; it becomes a record of the entity and is published."""
    state = request.app.state
    now = state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        actor = actor_of(request, principal)
        found, _ = await results.record_result(session, state.catalogue, actor, now, inspection_id, body, if_match)
        return _answer(found)

    return await change(request, principal, run)


def _answer(found: Inspection) -> StoredAnswer:
    content: dict[str, Any] = _inspection(found).model_dump(mode="json")
    return json_answer(content, headers={"ETag": tag_of(found.version)})


@router.post("/v1/inspections/{inspection_id}/follow-up", response_model=contract.InspectionRead)
async def link_follow_up(
    request: Request,
    inspection_id: Id,
    body: contract.FollowUp,
    principal: Officer,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """关联后续处理 Link a negative result with the penalty or listing that followed: they stop together."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        actor = actor_of(request, principal)
        return _answer(await results.follow_up(session, actor, now, inspection_id, body.record_id))

    return await change(request, principal, run)
