"""HTTP of rule sets and of the class of one entity. Nothing here is for the public."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import require_purpose
from credit_service.accounts.rules import Audience, Permission, Principal
from credit_service.identity.uscc import Uscc
from credit_service.platform import paging
from credit_service.platform.errors import NOT_FOUND, FieldError, Problem
from credit_service.platform.http import actor_of, change, json_answer
from credit_service.platform.idempotency import StoredAnswer
from credit_service.platform.times import AsOf, KnownAt, point_in_time
from credit_service.supervision.classes import commands, contract, documents, explaining, recompute, store
from credit_service.supervision.classes.models import RuleSetRow
from credit_service.supervision.classes.rules import CLASS_NOT_OPEN, NO_RULE_SET, chosen

router = APIRouter(tags=["supervision 分级分类监管"])

Supervisor = Annotated[Principal, Depends(requires(Permission.SUPERVISE))]
RuleMaker = Annotated[Principal, Depends(requires(Permission.MANAGE_RULE_SETS))]
Subject = Annotated[Principal, Depends(requires(Permission.READ_OWN_CLASS))]
Id = Annotated[UUID, Path(description="标识 Id")]
Code = Annotated[str, Path(description="统一社会信用代码")]
Cursor = Annotated[str | None, Query(max_length=500, description="分页游标")]
Limit = Annotated[int, Query(ge=1, le=paging.LARGEST_LIMIT, description="每页条数")]
IfMatch = Annotated[str | None, Header(description="ETag or *")]
IdempotencyKey = Annotated[str | None, Header(description="幂等键")]
PurposeHeader = Annotated[str | None, Header(description="查询目的 Purpose of the query")]
NO_STORE = {"Cache-Control": "no-store"}


def summary(row: RuleSetRow) -> contract.RuleSetSummary:
    return contract.RuleSetSummary.model_validate(row, from_attributes=True)


@router.post("/v1/supervision/rule-sets", response_model=contract.RuleSetRead, status_code=201)
async def propose_rule_set(
    request: Request, body: contract.RuleSetDraft, principal: RuleMaker, idempotency_key: IdempotencyKey = None
) -> Response:
    """提出分类规则 Upload a rule set as a draft; it judges nobody until a second person activates it."""
    state = request.app.state
    document = documents.parse(body.document) if isinstance(body.document, str) else body.document

    async def run(session: AsyncSession) -> StoredAnswer:
        actor = actor_of(request, principal)
        row = await commands.propose(session, state.catalogue, actor, state.clock.now(), document, body.division)
        headers = {"ETag": commands.tag_of(row.version), "Location": f"/v1/supervision/rule-sets/{row.id}"}
        return json_answer(_read(row).model_dump(mode="json"), 201, headers)

    return await change(request, principal, run)


def _read(row: RuleSetRow) -> contract.RuleSetRead:
    return contract.RuleSetRead.model_validate(row, from_attributes=True)


@router.get("/v1/supervision/rule-sets", response_model=contract.RuleSetPage)
async def read_rule_sets(
    request: Request, principal: RuleMaker, cursor: Cursor = None, limit: Limit = paging.DEFAULT_LIMIT
) -> contract.RuleSetPage:
    """分类规则目录 Rule sets, the newest first."""
    [after] = paging.place_of(cursor, paging.BY_ID) or (None,)
    async with request.app.state.database.transaction() as session:
        rows = await store.rule_sets(session, after, limit)
    more = paging.encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
    return contract.RuleSetPage(rule_sets=[summary(row) for row in rows[:limit]], next_cursor=more)


@router.get("/v1/supervision/rule-sets/{rule_set_id}", response_model=contract.RuleSetRead)
async def read_rule_set(
    request: Request, rule_set_id: Id, principal: RuleMaker, response: Response
) -> contract.RuleSetRead:
    """分类规则 A rule set with its rules."""
    async with request.app.state.database.transaction() as session:
        row = await store.rule_set(session, rule_set_id)
    if row is None:
        raise Problem(NOT_FOUND)
    response.headers["ETag"] = commands.tag_of(row.version)
    return _read(row)


@router.post("/v1/supervision/rule-sets/{rule_set_id}/activation", response_model=contract.Activation)
async def activate_rule_set(
    request: Request,
    rule_set_id: Id,
    principal: RuleMaker,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """批准生效 Put a draft in force for its division: by another person than its proposer (four eyes)."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        row, started = await commands.activate(session, actor_of(request, principal), now, rule_set_id, if_match)
        answer = contract.Activation(rule_set=summary(row), run_id=started.id)
        return json_answer(answer.model_dump(mode="json"), headers={"ETag": commands.tag_of(row.version)})

    return await change(request, principal, run)


@router.post("/v1/supervision/rule-sets/{rule_set_id}/retirement-proposal", response_model=contract.RuleSetRead)
async def propose_retirement(
    request: Request,
    rule_set_id: Id,
    principal: RuleMaker,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """提出停用 Propose that a division follow the wider rules again; its own judge until a second person agrees."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        row = await commands.propose_retirement(session, actor_of(request, principal), now, rule_set_id, if_match)
        return json_answer(_read(row).model_dump(mode="json"), headers={"ETag": commands.tag_of(row.version)})

    return await change(request, principal, run)


@router.post("/v1/supervision/rule-sets/{rule_set_id}/retirement", response_model=contract.Activation)
async def retire_rule_set(
    request: Request,
    rule_set_id: Id,
    principal: RuleMaker,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """批准停用 Take a division's rule set out of force: by another person than who proposed it (four eyes)."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        row, started = await commands.retire(session, actor_of(request, principal), now, rule_set_id, if_match)
        answer = contract.Activation(rule_set=summary(row), run_id=started.id)
        return json_answer(answer.model_dump(mode="json"), headers={"ETag": commands.tag_of(row.version)})

    return await change(request, principal, run)


@router.get("/v1/supervision/entities/{uscc}/class", response_model=contract.Explanation)
async def read_class(
    request: Request,
    uscc: Code,
    principal: Supervisor,
    response: Response,
    rule_set: Annotated[
        UUID | None, Query(description="规则标识 Any rule set; default: the one in force for its division")
    ] = None,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    credit_purpose: PurposeHeader = None,
) -> contract.Explanation:
    """分类结果及说明 The class of an entity with its reasons, computed now or replayed for any time and rule set."""
    code = Uscc.parse(uscc, pointer="path:uscc", admit_bad_check_digit=True).value
    require_purpose(principal, Audience.REGULATOR, credit_purpose, code)
    response.headers.update(NO_STORE)
    return await _explained(request, code, rule_set, as_of, known_at)


async def _explained(
    request: Request, code: str, rule_set_id: UUID | None, as_of: str | None, known_at: str | None
) -> contract.Explanation:
    state = request.app.state
    now: datetime = state.clock.now()
    point = point_in_time(as_of, known_at, now)
    async with state.database.transaction() as session:
        named = await store.rule_set(session, rule_set_id) if rule_set_id else None
        if rule_set_id and named is None:
            raise Problem(NOT_FOUND)
        in_force = await store.in_force(session)
        facts = await store.facts_of(session, code) if point is None else None
    if point is not None:
        facts = await store.facts_at(state.database, code, point, now)
    if facts is None:
        raise Problem(NOT_FOUND, errors=[FieldError("path:uscc", "known-entity")])
    row = named or in_force.get(chosen(facts.division, in_force) or "")
    if row is None:
        raise Problem(NO_RULE_SET)
    at = now if point is None else point.as_of
    known = point.known_at if point is not None and known_at is not None else None
    return explaining.explain(facts, recompute.built(row, state.catalogue), row, state.catalogue, at, known)


@router.get("/v1/supervision/entities/{uscc}/class/history", response_model=contract.ClassPeriods)
async def read_class_history(
    request: Request, uscc: Code, principal: Supervisor, response: Response, credit_purpose: PurposeHeader = None
) -> contract.ClassPeriods:
    """分类历史 Every class an entity has had, and since when."""
    code = Uscc.parse(uscc, pointer="path:uscc", admit_bad_check_digit=True).value
    require_purpose(principal, Audience.REGULATOR, credit_purpose, code)
    response.headers.update(NO_STORE)
    async with request.app.state.database.transaction() as session:
        rows = await store.history_of(session, code)
    if not rows:
        raise Problem(NOT_FOUND, errors=[FieldError("path:uscc", "an entity with a class")])
    periods = [contract.ClassPeriod.model_validate(row, from_attributes=True) for row in rows]
    return contract.ClassPeriods(uscc=code, periods=periods)


@router.get("/v1/supervision/own-class", response_model=contract.Explanation)
async def read_own_class(request: Request, principal: Subject, response: Response) -> contract.Explanation:
    """本单位分类结果 The caller's own class with its reasons, where the authority of its division opens it."""
    assert principal.entity_uscc is not None
    async with request.app.state.database.transaction() as session:
        facts = await store.facts_of(session, principal.entity_uscc)
        if facts is None:
            raise Problem(NOT_FOUND)
        if not await store.opened(session, facts.division):
            raise Problem(CLASS_NOT_OPEN)
    response.headers.update(NO_STORE)
    return await _explained(request, principal.entity_uscc, None, None, None)


@router.get("/v1/supervision/settings", response_model=contract.SettingRead)
async def read_setting(request: Request, principal: RuleMaker, response: Response) -> contract.SettingRead:
    """监管设置 What the caller's agency has opened."""
    async with request.app.state.database.transaction() as session:
        found = await store.setting(session, principal.agency_uscc or "")
    if found is None:
        raise Problem(NOT_FOUND)
    response.headers["ETag"] = commands.tag_of(found.version)
    return contract.SettingRead.model_validate(found, from_attributes=True)


@router.put("/v1/supervision/settings", response_model=contract.SettingRead)
async def write_setting(
    request: Request,
    body: contract.SettingWrite,
    principal: RuleMaker,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """修改监管设置 Open classes to their subjects, or close them, for the caller's division."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        actor = actor_of(request, principal)
        found = await commands.open_classes(session, actor, now, to_subjects=body.open_to_subjects, if_match=if_match)
        content: dict[str, Any] = contract.SettingRead.model_validate(found, from_attributes=True).model_dump()
        return json_answer(content, headers={"ETag": commands.tag_of(found.version)})

    return await change(request, principal, run)
