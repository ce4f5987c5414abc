"""Fairness figures 办理情况统计: volumes, durations, punctuality and outcomes by item, agency or division.

Public: they are about how agencies handle cases and name no entity. Volumes, durations and outcomes are of the cases
submitted in the period; punctuality is of what was decided in time and what was overdue in it (``case_punctuality``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from pydantic import Field as ApiField
from sqlalchemy import CTE, ColumnElement, DateTime, and_, cast, extract, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.accounts.dependencies import requires
from credit_service.accounts.rules import Permission, Principal
from credit_service.deadlines.models import StageDeadline
from credit_service.deadlines.rules import Period
from credit_service.platform.days import day_of, start_of, year_before
from credit_service.platform.errors import INVALID_REQUEST, FieldError, Problem
from credit_service.workflows.models import Case

router = APIRouter(tags=["statistics 统计"])
DAY_SECONDS = 86400

GRANTED = {
    "repair": frozenset({"granted", "revoked"}),
    "objection": frozenset({"corrected", "removed", "reviewed-corrected", "reviewed-removed"}),
}
"""Outcomes for the applicant; a repair revoked later had been granted."""
DENIED = {
    "repair": frozenset({"refused", "rejected"}),
    "objection": frozenset({"refused", "upheld", "reviewed-upheld"}),
}
WITHDRAWN = "withdrawn"


class By(StrEnum):
    """What the figures are broken down by."""

    ITEM = "item"  # 目录事项
    AGENCY = "agency"  # 办理单位
    DIVISION = "division"  # 办理单位所在区划


_COLUMNS = {By.ITEM: Case.item_code, By.AGENCY: Case.handler_uscc, By.DIVISION: Case.division}


class WorkflowFigures(BaseModel):
    """The figures of one item, agency or division in one workflow."""

    type: str = ApiField(description="办件类型 repair, objection")
    key: str = ApiField(description="目录事项代码, 单位统一社会信用代码或者区划代码")
    submitted: int = ApiField(description="收件数")
    open: int = ApiField(description="在办数")
    closed: int = ApiField(description="办结数")
    outcomes: dict[str, int] = ApiField(description="各状态件数 by state")
    granted: int = ApiField(description="支持申请人件数 Repaired, or corrected or removed")
    denied: int = ApiField(description="不支持件数 Refused, rejected or upheld")
    grant_rate: str | None = ApiField(description="支持率 granted / (granted + denied), four decimals")
    closed_on_time: int = ApiField(description="按时办结数 Decided in the period, no time-limit ever over")
    overdue: int = ApiField(description="超期数 A time-limit was over in the period, decided or not")
    open_overdue: int = ApiField(description="超期未办数 Of these, where a time-limit that is over is still open")
    share_on_time: str | None = ApiField(description="按时率 closed_on_time / (closed_on_time + overdue)")
    median_days: float | None = ApiField(description="办理时长中位数 Calendar days from submission to decision")
    p90_days: float | None = ApiField(description="办理时长九十分位数 Calendar days")


class WorkflowStatistics(BaseModel):
    """办理情况统计 Figures of a period: of the cases submitted in it, and how punctual it was."""

    since: date = ApiField(description="起 First day")
    until: date = ApiField(description="止 First day no longer counted")
    by: By = ApiField(description="分组")
    figures: list[WorkflowFigures] = ApiField(description="统计")


def share(part: int, whole: int) -> str | None:
    """A share with four decimals; nothing of nothing has none."""
    return f"{part / whole:.4f}" if whole else None


@router.get("/v1/statistics/workflows", response_model=WorkflowStatistics)
async def read_workflow_statistics(
    request: Request,
    principal: Annotated[Principal, Depends(requires(Permission.READ_STATISTICS))],
    by: Annotated[By, Query(description="分组")] = By.ITEM,
    since: Annotated[date | None, Query(description="起; default: a year before the end")] = None,
    until: Annotated[date | None, Query(description="止, not included; default: tomorrow")] = None,
) -> WorkflowStatistics:
    """办理情况统计 How cases were decided and how fast, by item, agency or division."""
    now = request.app.state.clock.now()
    end = until or day_of(now) + timedelta(days=1)
    begin = since or year_before(end)
    if begin >= end:
        raise Problem(INVALID_REQUEST, errors=[FieldError("query:since", "before until")])
    async with request.app.state.database.transaction() as session:
        figures = await figures_of(session, by, Period(start_of(begin), start_of(end), now))
    return WorkflowStatistics(since=begin, until=end, by=by, figures=figures)


async def figures_of(session: AsyncSession, by: By, period: Period) -> list[WorkflowFigures]:
    """The figures of a period, by type of case and key."""
    groups = (col(Case.type), col(_COLUMNS[by]))
    submitted = and_(col(Case.submitted_at) >= period.since, col(Case.submitted_at) < period.until)
    counted = select(*groups, col(Case.state), func.count()).where(submitted).group_by(*groups, col(Case.state))
    states: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for kind, name, state, number in (await session.execute(counted.order_by(*groups, col(Case.state)))).all():
        states[kind, name][state] = number
    late = _late(period)
    in_time, overdue = _decided_in(period) & late.c.uscc.is_(None), late.c.in_period.is_(True)
    lasted = extract("epoch", _decided_at() - col(Case.submitted_at)) / DAY_SECONDS
    measured = (
        select(
            *groups,
            func.count().filter(submitted),
            func.count(col(Case.closed_at)).filter(submitted),
            func.count().filter(in_time),
            func.count().filter(overdue),
            func.count().filter(overdue, late.c.open),
            *(func.percentile_cont(part).within_group(lasted).filter(submitted) for part in (0.5, 0.9)),
        )
        .outerjoin(late, and_(*(late.c[name] == getattr(Case, of) for name, of in _LATE_CASE.items())))
        .where(col(Case.submitted_at) < period.until, or_(submitted, in_time, overdue))
    )
    rows = (await session.execute(measured.group_by(*groups).order_by(*groups))).all()
    return [_figures(row, states[row[0], row[1]]) for row in rows]


_LATE_CASE = {"uscc": "uscc", "case_type": "type", "case_id": "id", "agency_uscc": "handler_uscc"}


def _late(period: Period) -> CTE:
    """Cases with time-limits of an agency that are or were over; whether in the period, and whether one is open."""
    row = StageDeadline
    keys = [col(getattr(row, name)) for name in _LATE_CASE]
    in_period, still = row.was_over_in(period), col(row.closed_as).is_(None)
    found = select(*keys, func.bool_or(in_period).label("in_period"), func.bool_or(still).label("open"))
    return found.where(row.was_over(period.now)).group_by(*keys).cte("late")


def _decided_at() -> ColumnElement[Any]:
    """When a case was decided. A revocation closes a repair once more, long after that."""
    granted = cast(col(Case.events)["repair-decision"].as_string(), DateTime(timezone=True))
    return func.coalesce(granted, col(Case.closed_at))


def _decided_in(period: Period) -> ColumnElement[bool]:
    decided_at = _decided_at()
    return and_(col(Case.state) != WITHDRAWN, decided_at >= period.since, decided_at < period.until)


def _figures(row: Sequence[Any], outcomes: dict[str, int]) -> WorkflowFigures:
    kind, key, submitted, closed, on_time, overdue, open_overdue, median, p90 = row
    granted = sum(number for state, number in outcomes.items() if state in GRANTED[kind])
    denied = sum(number for state, number in outcomes.items() if state in DENIED[kind])
    return WorkflowFigures(
        type=kind,
        key=key,
        submitted=submitted,
        open=submitted - closed,
        closed=closed,
        outcomes=outcomes,
        granted=granted,
        denied=denied,
        grant_rate=share(granted, granted + denied),
        closed_on_time=on_time,
        overdue=overdue,
        open_overdue=open_overdue,
        share_on_time=share(on_time, on_time + overdue),
        median_days=None if median is None else round(float(median), 2),
        p90_days=None if p90 is None else round(float(p90), 2),
    )
