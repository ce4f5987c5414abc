"""HTTP of the working-day calendar and of punctuality."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts.dependencies import requires
from credit_service.accounts.rules import Permission, Principal
from credit_service.deadlines import calendars, rules, store
from credit_service.deadlines.models import (
    CalendarRead,
    NoticeList,
    NoticeRead,
    NoticeWrite,
    Timeliness,
    TimelinessRead,
)
from credit_service.platform.days import day_of, start_of, year_before
from credit_service.platform.errors import INVALID_REQUEST, FieldError, Problem
from credit_service.platform.http import actor_of, change, json_answer, matches
from credit_service.platform.idempotency import StoredAnswer

router = APIRouter(tags=["deadlines 时限"])

ReadsCalendar = Annotated[Principal, Depends(requires(Permission.READ_CALENDAR))]
LONGEST_SPAN_DAYS = 800
COUNTED = ("met_in_time", "met_late", "open_overdue", "cancelled_overdue")
CACHED = {"Cache-Control": "public, max-age=300"}


@router.get("/v1/calendar", response_model=CalendarRead)
async def read_calendar(
    request: Request,
    principal: ReadsCalendar,
    first: Annotated[date | None, Query(alias="from", description="起始日期 Default: the year's first day")] = None,
    last: Annotated[
        date | None, Query(alias="to", description="截止日期, with it; default: the year's last day")
    ] = None,
) -> Response:
    """工作日历 Which days are working days, and which of them are not announced yet."""
    year = (first or last or day_of(request.app.state.clock.now())).year
    first, last = first or date(year, 1, 1), last or date(year, 12, 31)
    if not timedelta() <= last - first < timedelta(days=LONGEST_SPAN_DAYS):
        rule = f"not before from, and less than {LONGEST_SPAN_DAYS} days after it"
        raise Problem(INVALID_REQUEST, errors=[FieldError("query:to", rule)])
    async with request.app.state.database.transaction() as session:
        version = (await calendars.load_calendar(session)).version
        etag = f'"c{version}.{first:%Y%m%d}.{last:%Y%m%d}"'
        headers = {"ETag": etag, **CACHED}
        if matches(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        found = CalendarRead(days=await calendars.days(session, first, last))
    return Response(found.model_dump_json(), media_type="application/json", headers=headers)


@router.get("/v1/calendar/notices", response_model=NoticeList)
async def read_notices(request: Request, principal: ReadsCalendar) -> NoticeList:
    """节假日安排通知 The notices entered since the calendar that came with the program, the oldest first."""
    async with request.app.state.database.transaction() as session:
        return NoticeList(notices=[calendars.notice_read(notice) for notice in await store.notices(session)])


@router.post("/v1/calendar/notices", response_model=NoticeRead, status_code=201)
async def enter_notice(
    request: Request,
    body: NoticeWrite,
    principal: Annotated[Principal, Depends(requires(Permission.MANAGE_CALENDAR))],
    idempotency_key: Annotated[str | None, Header(description="幂等键")] = None,
) -> Response:
    """录入通知 Enter a year's notice or a change of single days; open time-limits are computed anew.

    Nothing is overwritten: for each day the newest notice that names it holds.
    """

    async def run(session: AsyncSession) -> StoredAnswer:
        now = request.app.state.clock.now()
        notice, changed = await calendars.enter_notice(session, actor_of(request, principal), now, body)
        answer = calendars.notice_read(notice).model_dump(mode="json") | {"recomputed": changed}
        return json_answer(answer, 201, {"Location": "/v1/calendar/notices"})

    return await change(request, principal, run)


@router.get("/v1/statistics/timeliness", response_model=TimelinessRead)
async def read_timeliness(
    request: Request,
    principal: Annotated[Principal, Depends(requires(Permission.READ_STATISTICS))],
    since: Annotated[date | None, Query(description="起 First day; default: a year before until")] = None,
    until: Annotated[date | None, Query(description="止 First day no longer counted; default: tomorrow")] = None,
) -> Response:
    """按时办理率 Share of stages done in time, by agency and stage.

    What was met in time in the period, of that and of whatever was overdue in it: a stage counts as overdue from the
    day after its last one until it is closed, in each period that it lasts into.
    """
    now = request.app.state.clock.now()
    until = until or day_of(now) + timedelta(days=1)
    since = since or year_before(until)
    if since >= until:
        raise Problem(INVALID_REQUEST, errors=[FieldError("query:since", "before until")])
    async with request.app.state.database.transaction() as session:
        found = await store.timeliness(session, rules.Period(start_of(since), start_of(until), now))
    stages = [
        Timeliness(
            **row,
            stage_label=rules.label_of(row["stage"]).zh,
            share_in_time=f"{row['met_in_time'] / sum(row[name] for name in COUNTED):.4f}",
        )
        for row in found
    ]
    answer = TimelinessRead(since=since, until=until, stages=stages)
    return Response(answer.model_dump_json(), media_type="application/json", headers=CACHED)
