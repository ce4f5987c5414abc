"""Fairness figures 办理情况统计: volumes, durations, punctuality and outcomes by item, agency or division.

Public: they are about how agencies handle cases and name no entity.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from pydantic import Field as ApiField
from sqlalchemy import case, extract, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.accounts.dependencies import requires
from credit_service.accounts.rules import Permission, Principal
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
    closed_on_time: int = ApiField(description="按时办结数")
    share_on_time: str | None = ApiField(description="按时率 closed_on_time / closed, four decimals")
    median_days: float | None = ApiField(description="办理时长中位数 Calendar days from submission to closing")
    p90_days: float | None = ApiField(description="办理时长九十分位数 Calendar days")


class WorkflowStatistics(BaseModel):
    """办理情况统计 Figures of the cases submitted in a period."""

    since: date = ApiField(description="起 Submitted on or after")
    until: date = ApiField(description="止 Submitted before")
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
    end = until or day_of(request.app.state.clock.now()) + timedelta(days=1)
    begin = since or year_before(end)
    if begin >= end:
        raise Problem(INVALID_REQUEST, errors=[FieldError("query:since", "before until")])
    async with request.app.state.database.transaction() as session:
        figures = await figures_of(session, by, start_of(begin), start_of(end))
    return WorkflowStatistics(since=begin, until=end, by=by, figures=figures)


async def figures_of(session: AsyncSession, by: By, begin: datetime, end: datetime) -> list[WorkflowFigures]:
    """The figures of cases submitted from ``begin`` until before ``end``."""
    key = col(_COLUMNS[by])
    chosen = (col(Case.submitted_at) >= begin, col(Case.submitted_at) < end)
    groups = (col(Case.type), key)
    counted = select(*groups, col(Case.state), func.count()).where(*chosen).group_by(*groups, col(Case.state))
    states: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for kind, name, state, number in (await session.execute(counted.order_by(*groups, col(Case.state)))).all():
        states[kind, name][state] = number
    lasted = extract("epoch", col(Case.closed_at) - col(Case.submitted_at)) / DAY_SECONDS
    spread = [func.percentile_cont(share_of).within_group(lasted) for share_of in (0.5, 0.9)]
    on_time = func.count(case((col(Case.on_time).is_(True), 1)))
    measured = select(*groups, func.count(), func.count(col(Case.closed_at)), on_time, *spread).where(*chosen)
    rows = (await session.execute(measured.group_by(*groups).order_by(*groups))).all()
    return [_figures(row, states[row[0], row[1]]) for row in rows]


def _figures(row: Sequence[Any], outcomes: dict[str, int]) -> WorkflowFigures:
    kind, key, submitted, closed, on_time, median, p90 = row
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
        share_on_time=share(on_time, closed),
        median_days=None if median is None else round(float(median), 2),
        p90_days=None if p90 is None else round(float(p90), 2),
    )
