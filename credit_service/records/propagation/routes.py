"""HTTP of propagation: for receivers, for the agencies that answer for a record, and for their supervisors."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from sqlalchemy import ColumnElement, or_, true
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.accounts.dependencies import requires
from credit_service.accounts.rules import Permission, Principal
from credit_service.identity.uscc import Uscc
from credit_service.platform import paging
from credit_service.platform.http import actor_of, change, json_answer
from credit_service.platform.idempotency import StoredAnswer
from credit_service.records.propagation import commands, rules, store
from credit_service.records.propagation.models import Acknowledgement, Propagation, PropagationPage, PropagationRead
from credit_service.records.propagation.rules import PropagationState

router = APIRouter(tags=["propagation 信息同步"])

Reader = Annotated[Principal, Depends(requires(Permission.READ_PROPAGATION))]
Acknowledger = Annotated[Principal, Depends(requires(Permission.ACKNOWLEDGE_PROPAGATION))]


def _view(row: Propagation, now: datetime) -> PropagationRead:
    state = rules.state_of(row.due_at, row.acknowledged_at, row.superseded_at, now)
    late = row.acknowledged_at is not None and row.acknowledged_at >= row.due_at
    return PropagationRead(**row.model_dump(), state=state, late=late)


def _received(request: Request, principal: Principal) -> ColumnElement[bool]:
    """The rows a caller may acknowledge; whoever acts for no agency runs the registry and may for all."""
    if principal.agency_uscc is None:
        return true()
    division = Uscc.parse(principal.agency_uscc, admit_bad_check_digit=True).division
    run_by: dict[str, str] = request.app.state.settings.platform_agencies
    platforms = [platform for platform, agency in run_by.items() if agency == principal.agency_uscc]
    return store.received_by(principal.agency_uscc, rules.place_prefix(division), platforms)


@router.get("/v1/propagations", response_model=PropagationPage)
async def list_propagations(
    request: Request,
    principal: Reader,
    state: Annotated[PropagationState | None, Query(description="状态")] = None,
    record_id: Annotated[UUID | None, Query(description="记录标识")] = None,
    cursor: Annotated[str | None, Query(max_length=500, description="分页游标")] = None,
    limit: Annotated[int, Query(ge=1, le=paging.LARGEST_LIMIT, description="每页条数")] = paging.DEFAULT_LIMIT,
) -> PropagationPage:
    """信息同步清单 What the caller has to carry out, and what became elsewhere of the records it answers for."""
    now = request.app.state.clock.now()
    mine = _received(request, principal)
    if principal.agency_uscc is not None:
        mine = or_(mine, store.answered_for_by(principal.agency_uscc))
    async with request.app.state.database.transaction() as session:
        where = [mine]
        if state is not None:
            where.append(store.in_state(state, now))
        if record_id is not None:
            where.append(col(Propagation.record_id) == record_id)
        rows = await store.page(session, where, paging.place_of(cursor, paging.BY_MOMENT), limit)
    shown = rows[:limit]
    following = paging.encode_cursor(shown[-1].due_at, shown[-1].id) if len(rows) > limit else None
    return PropagationPage(propagations=[_view(row, now) for row in shown], next_cursor=following)


@router.post("/v1/propagations/{propagation_id}/acknowledgement", response_model=PropagationRead)
async def acknowledge(
    request: Request,
    propagation_id: Annotated[UUID, Path(description="同步事项标识 Propagation id")],
    body: Acknowledgement,
    principal: Acknowledger,
    idempotency_key: Annotated[str | None, Header(description="幂等键")] = None,
) -> Response:
    """回执 The receiver has stopped, corrected or restored its copy. Said again, it stays as first said."""
    now, actor, own = request.app.state.clock.now(), actor_of(request, principal), _received(request, principal)

    async def run(session: AsyncSession) -> StoredAnswer:
        row = await commands.acknowledge(session, actor, now, propagation_id, body, own)
        return json_answer(_view(row, now).model_dump(mode="json"))

    return await change(request, principal, run)
