"""HTTP of the passes over the population: what a draft would change, and how far a computation has come."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.accounts.purpose import note_subjects, require_purpose
from credit_service.accounts.rules import Audience
from credit_service.platform import paging
from credit_service.platform.errors import NOT_FOUND, Problem
from credit_service.platform.http import actor_of, change, json_answer
from credit_service.platform.idempotency import StoredAnswer
from credit_service.platform.times import point_in_time
from credit_service.supervision.classes import commands, contract, runs, store
from credit_service.supervision.classes.models import ClassMove, ClassRun
from credit_service.supervision.classes.routes import (
    NO_STORE,
    Cursor,
    Id,
    IdempotencyKey,
    Limit,
    PurposeHeader,
    RuleMaker,
)
from credit_service.supervision.classes.rules import CLASSES

router = APIRouter(tags=["supervision 分级分类监管"])


@router.post("/v1/supervision/rule-sets/{rule_set_id}/what-if", response_model=contract.RunRead, status_code=202)
async def try_rule_set(
    request: Request,
    rule_set_id: Id,
    body: contract.WhatIf,
    principal: RuleMaker,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """规则试算 Find out what a rule set would change, now or at a time past. The answer names the run to follow."""
    now = request.app.state.clock.now()
    point = point_in_time(body.as_of, body.known_at, now)

    async def run(session: AsyncSession) -> StoredAnswer:
        actor = actor_of(request, principal)
        started = await commands.try_out(session, actor, now, rule_set_id, body.division, point)
        answer = await _read(session, started)
        headers = {"Location": f"/v1/supervision/runs/{started.id}"}
        return json_answer(answer.model_dump(mode="json"), 202, headers)

    return await change(request, principal, run)


@router.get("/v1/supervision/runs/{run_id}", response_model=contract.RunRead)
async def read_run(request: Request, run_id: Id, principal: RuleMaker) -> contract.RunRead:
    """计算进度及试算结果 How far a run has come, and the distribution before and after of a what-if."""
    async with request.app.state.database.transaction() as session:
        found = await store.run(session, run_id)
        if found is None:
            raise Problem(NOT_FOUND)
        return await _read(session, found)


async def _read(session: AsyncSession, run: ClassRun) -> contract.RunRead:
    progress = await runs.progress(session, run.id)
    pairs = await runs.matrix(session, run.id)
    fields: dict[str, Any] = {
        name: getattr(run, name) for name in contract.RunRead.model_fields.keys() & ClassRun.model_fields.keys()
    }
    return contract.RunRead(
        **fields,
        chunks=progress.chunks,
        done=progress.done,
        entities=progress.entities,
        changed=progress.changed,
        before={each: sum(n for (was, _), n in pairs.items() if was == each) for each in CLASSES} if pairs else {},
        after={each: sum(n for (_, now), n in pairs.items() if now == each) for each in CLASSES} if pairs else {},
        transitions=[
            contract.Transition(before=was or None, after=now, entities=n) for (was, now), n in sorted(pairs.items())
        ],
    )


@router.get("/v1/supervision/runs/{run_id}/moves", response_model=contract.MovePage)
async def read_moves(
    request: Request,
    run_id: Id,
    principal: RuleMaker,
    response: Response,
    after_class: Annotated[contract.RiskClass | None, Query(description="新类别 Only those that would be here")] = None,
    cursor: Cursor = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    credit_purpose: PurposeHeader = None,
) -> contract.MovePage:
    """变动主体清单 The entities whose class the rule set would change."""
    require_purpose(principal, Audience.REGULATOR, credit_purpose, None)
    statement = select(ClassMove).where(col(ClassMove.run_id) == run_id)
    if after_class is not None:
        statement = statement.where(col(ClassMove.after) == after_class)
    [after] = paging.place_of(cursor, paging.BY_TEXT) or ("",)
    statement = statement.where(col(ClassMove.uscc) > after)
    async with request.app.state.database.transaction() as session:
        if await store.run(session, run_id) is None:
            raise Problem(NOT_FOUND)
        found = await session.execute(statement.order_by(col(ClassMove.uscc)).limit(limit + 1))
        rows = found.scalars().all()
    note_subjects(row.uscc for row in rows[:limit])
    response.headers.update(NO_STORE)
    more = paging.encode_cursor(rows[limit - 1].uscc) if len(rows) > limit else None
    moves = [contract.Move.model_validate(row, from_attributes=True) for row in rows[:limit]]
    return contract.MovePage(moves=moves, next_cursor=more)
