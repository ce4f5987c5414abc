"""How punctually an agency submits: from the decision to the registry, by the time-limit of publication here."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from pydantic import Field as ApiField

from credit_service.accounts.dependencies import requires
from credit_service.accounts.rules import Permission, Principal, Role
from credit_service.catalogue.models import Catalogue
from credit_service.deadlines import calendars
from credit_service.platform.calendar import WorkingCalendar
from credit_service.platform.days import day_of, start_of, year_before
from credit_service.platform.errors import INVALID_REQUEST, NOT_FOUND, FieldError, Problem
from credit_service.records import store
from credit_service.records.duties import HERE, PUBLISH, duty_rules

router = APIRouter(tags=["statistics 统计"])

LONGEST_DAYS = 400


class SubmissionTimeliness(BaseModel):
    """An item's records of the agency, and how many came in time."""

    agency_uscc: str = ApiField(description="数据来源单位统一社会信用代码")
    item_code: str = ApiField(description="目录事项代码")
    recorded: int = ApiField(description="入库数 First recorded in the period")
    in_time: int = ApiField(description="按时入库数 Within the time-limit to publish")
    share_in_time: str = ApiField(description="按时率, four decimals")


class SubmissionTimelinessRead(BaseModel):
    """报送及时率 Share of records submitted in time, by item. Items that are not to be published here have no limit."""

    since: date = ApiField(description="起")
    until: date = ApiField(description="止 First day no longer counted")
    submissions: list[SubmissionTimeliness] = ApiField(description="各事项")


@router.get("/v1/statistics/submissions", response_model=SubmissionTimelinessRead)
async def read_submissions(
    request: Request,
    principal: Annotated[Principal, Depends(requires(Permission.READ_PUNCTUALITY))],
    agency: Annotated[str | None, Query(max_length=18, description="数据来源单位 Default: one's own")] = None,
    since: Annotated[date | None, Query(description="起 First day; default: a year before until")] = None,
    until: Annotated[date | None, Query(description="止 First day no longer counted; default: tomorrow")] = None,
) -> SubmissionTimelinessRead:
    """报送及时率 How many of an agency's records came in time. An agency is told of itself, supervisors of any."""
    state = request.app.state
    agency = agency or (principal.agency_uscc if principal.role is Role.SUBMITTER else None)
    if agency is None:
        raise Problem(INVALID_REQUEST, errors=[FieldError("query:agency", "required for who is not an agency")])
    if principal.role is Role.SUBMITTER and agency != principal.agency_uscc:
        raise Problem(NOT_FOUND)
    until = until or day_of(state.clock.now()) + timedelta(days=1)
    since = since or year_before(until)
    if not timedelta() < until - since <= timedelta(days=LONGEST_DAYS):
        raise Problem(INVALID_REQUEST, errors=[FieldError("query:since", f"at most {LONGEST_DAYS} days before until")])
    async with state.database.transaction() as session:
        calendar = await calendars.load_calendar(session)
        counts = await store.recorded_by_day(session, agency, start_of(since), start_of(until))
    return SubmissionTimelinessRead(
        since=since, until=until, submissions=_shares(state.catalogue, calendar, agency, counts)
    )


def _shares(
    catalogue: Catalogue, calendar: WorkingCalendar, agency: str, counts: list[store.RecordedCount]
) -> list[SubmissionTimeliness]:
    limits: dict[tuple[str, date], date | None] = {}
    recorded: dict[str, int] = defaultdict(int)
    in_time: dict[str, int] = defaultdict(int)
    for found in counts:
        key = found.item_code, found.decided_on
        if key not in limits:
            limits[key] = _limit(catalogue, calendar, *key)
        limit = limits[key]
        if limit is not None:
            recorded[found.item_code] += found.number
            in_time[found.item_code] += found.number if found.recorded_on <= limit else 0
    return [
        SubmissionTimeliness(
            agency_uscc=agency,
            item_code=code,
            recorded=number,
            in_time=in_time[code],
            share_in_time=f"{in_time[code] / number:.4f}",
        )
        for code, number in sorted(recorded.items())
    ]


def _limit(catalogue: Catalogue, calendar: WorkingCalendar, item_code: str, decided_on: date) -> date | None:
    """The last day on which a decision of a day is recorded in time; ``None`` where nothing limits it."""
    rules = duty_rules(catalogue, catalogue.latest(item_code), PUBLISH, decided_on)
    days = (calendar.last_day(decided_on, rule.amount, rule.unit).day for rule in rules if rule.destination == HERE)
    return min(days, default=None)
