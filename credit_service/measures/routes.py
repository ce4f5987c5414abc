"""HTTP of measures: what follows from a file, taking a measure, reporting on it."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import note_subjects, require_purpose
from credit_service.accounts.rules import Audience, Permission, Principal, Role, audience_of
from credit_service.entities.archive import hidden_from
from credit_service.measures import commands, store
from credit_service.measures.models import (
    ApplicationPage,
    ApplicationView,
    ApplicationWrite,
    FeedbackView,
    FeedbackWrite,
    MeasureCheck,
    MeasureCheckView,
    MeasureFeedback,
    MeasureStatistics,
    StatisticsPage,
    StatisticsView,
    StatisticsWrite,
)
from credit_service.measures.rules import ApplicationState
from credit_service.platform import paging
from credit_service.platform.database import driver_connection
from credit_service.platform.errors import NOT_FOUND, Problem
from credit_service.platform.http import actor_of, change, json_answer
from credit_service.platform.idempotency import StoredAnswer
from credit_service.records.pages import Cursor, Limit, PurposeHeader

router = APIRouter(tags=["measures 联合奖惩"])

Checker = Annotated[Principal, Depends(requires(Permission.CHECK_MEASURES))]
Implementer = Annotated[Principal, Depends(requires(Permission.APPLY_MEASURE))]
Reader = Annotated[Principal, Depends(requires(Permission.READ_MEASURES))]
Id = Annotated[UUID, Path(description="实施标识 Application id")]
IdempotencyKey = Annotated[str | None, Header(description="幂等键")]
PATH = "/v1/measures/applications"


def _audience(principal: Principal, uscc: str) -> Audience:
    """Whose records count in a check: a subject may ask about itself, and is told what agencies are told."""
    if principal.role is Role.SUBJECT and principal.entity_uscc != uscc:
        raise Problem(NOT_FOUND)
    return Audience.AGENCY


@router.post("/v1/measure-checks", response_model=MeasureCheckView)
async def check_measures(
    request: Request, body: MeasureCheck, principal: Checker, credit_purpose: PurposeHeader = None
) -> MeasureCheckView:
    """奖惩措施核查 What the law asks of whoever decides in a scenario, with basis, term and implementer."""
    state, audience = request.app.state, _audience(principal, body.uscc)
    if principal.role is not Role.SUBJECT:
        require_purpose(principal, audience, credit_purpose, None)
    pool = await state.database.pool()
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        found = await commands.check(
            connection,
            state.catalogue,
            body.uscc,
            body.scenario,
            audience,
            state.clock.now(),
            shows_archived=not hidden_from(audience_of(principal, body.uscc)),
        )
    note_subjects([found.uscc])
    return found


@router.post(PATH, response_model=ApplicationView, status_code=201)
async def apply_measure(
    request: Request, body: ApplicationWrite, principal: Implementer, idempotency_key: IdempotencyKey = None
) -> Response:
    """措施实施登记 Take a measure on the ground of a standing record; without such a ground it is refused."""
    state, now = request.app.state, request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        row = await commands.apply(session, state.catalogue, actor_of(request, principal), now, body)
        await session.flush()
        [shown] = await _found(request, session, application_id=row.id)
        return json_answer(shown.model_dump(mode="json"), 201, {"Location": f"{PATH}/{row.id}"})

    return await change(request, principal, run)


@router.get(PATH, response_model=ApplicationPage)
async def list_applications(
    request: Request,
    principal: Reader,
    state: Annotated[ApplicationState | None, Query(description="状态 As it is now")] = None,
    uscc: Annotated[str | None, Query(max_length=18, description="统一社会信用代码")] = None,
    cursor: Cursor = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    credit_purpose: PurposeHeader = None,
) -> ApplicationPage:
    """措施实施情况 Own ones of an agency, all for a regulator, those about itself for a subject."""
    require_purpose(principal, audience_of(principal, principal.entity_uscc or ""), credit_purpose, None)
    async with request.app.state.database.transaction() as session:
        found = await _found(
            request,
            session,
            agency=principal.agency_uscc if principal.role is Role.SUBMITTER else None,
            uscc=principal.entity_uscc if principal.role is Role.SUBJECT else uscc,
            state=state.value if state else None,
            after=paging.place_of(cursor, paging.BY_MOMENT),
            limit=limit + 1,
        )
    shown = found[:limit]
    note_subjects({each.uscc for each in shown})
    following = paging.encode_cursor(shown[-1].applied_at, shown[-1].id) if len(found) > limit else None
    return ApplicationPage(applications=shown, next_cursor=following)


@router.get(f"{PATH}/{{application_id}}", response_model=ApplicationView)
async def read_application(
    request: Request, application_id: Id, principal: Reader, credit_purpose: PurposeHeader = None
) -> ApplicationView:
    """措施实施详情 One application with its feedback."""
    require_purpose(principal, audience_of(principal, principal.entity_uscc or ""), credit_purpose, None)
    async with request.app.state.database.transaction() as session:
        found = await _found(
            request,
            session,
            agency=principal.agency_uscc if principal.role is Role.SUBMITTER else None,
            uscc=principal.entity_uscc,
            application_id=application_id,
        )
    if not found:
        raise Problem(NOT_FOUND)
    note_subjects([found[0].uscc])
    return found[0]


@router.post(f"{PATH}/{{application_id}}/feedback", response_model=ApplicationView, status_code=201)
async def give_feedback(
    request: Request,
    application_id: Id,
    body: FeedbackWrite,
    principal: Implementer,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """案例反馈 Append feedback on an application of one's own; it cannot be changed or taken back."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        await commands.give_feedback(session, actor_of(request, principal), now, application_id, body)
        await session.flush()
        [shown] = await _found(request, session, application_id=application_id)
        return json_answer(shown.model_dump(mode="json"), 201)

    return await change(request, principal, run)


@router.post("/v1/measures/statistics", response_model=StatisticsView, status_code=201)
async def report_statistics(
    request: Request, body: StatisticsWrite, principal: Implementer, idempotency_key: IdempotencyKey = None
) -> Response:
    """批次统计反馈 Report how much of a batch was received and dealt with."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        row = await commands.report(session, actor_of(request, principal), now, body)
        shown = _statistics(row)
        return json_answer(shown.model_dump(mode="json"), 201)

    return await change(request, principal, run)


@router.get("/v1/measures/statistics", response_model=StatisticsPage)
async def read_statistics(
    request: Request,
    principal: Implementer,
    year: Annotated[int | None, Query(ge=2014, le=2100, description="年度")] = None,
    cursor: Cursor = None,
    limit: Limit = paging.DEFAULT_LIMIT,
) -> StatisticsPage:
    """批次统计查询 Own ones of an agency, all for a regulator."""
    agency = principal.agency_uscc if principal.role is Role.SUBMITTER else None
    async with request.app.state.database.transaction() as session:
        rows = await store.statistics(session, agency, year, paging.place_of(cursor, paging.BY_MOMENT), limit)
    shown = [_statistics(row) for row in rows[:limit]]
    following = paging.encode_cursor(shown[-1].made_at, shown[-1].id) if len(rows) > limit else None
    return StatisticsPage(statistics=shown, next_cursor=following)


async def _found(request: Request, session: AsyncSession, **asked: Any) -> list[ApplicationView]:
    """Applications as they stand now, each with its feedback."""
    state = request.app.state
    now = state.clock.now()
    connection = await driver_connection(session)
    rows = await store.page(connection, now, pausing=commands.pausing_items(state.catalogue, now), **asked)
    feedback = await store.feedback_of(session, [(row["uscc"], row["id"]) for row in rows])
    return [_view(row, [_feedback(each) for each in feedback[row["id"]]]) for row in rows]


def _feedback(row: MeasureFeedback) -> FeedbackView:
    return FeedbackView.model_validate(row.model_dump(include=set(FeedbackView.model_fields)))


def _statistics(row: MeasureStatistics) -> StatisticsView:
    return StatisticsView.model_validate(row.model_dump(include=set(StatisticsView.model_fields)))


def _view(row: dict[str, Any], feedback: list[FeedbackView]) -> ApplicationView:

    law = orjson.loads(row["law"]) if isinstance(row["law"], str) else row["law"]
    names = ApplicationView.model_fields.keys() - {"direction", "law", "feedback"}
    return ApplicationView(
        **{name: row[name] for name in names},
        direction=law["direction"],
        law=law,
        feedback=feedback,
    )
