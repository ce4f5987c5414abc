"""Figures for dashboards: classes by month and place for supervisors, the sizes of lists for everybody."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel
from pydantic import Field as ApiField

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import require_purpose
from credit_service.accounts.rules import Audience, Permission, Principal
from credit_service.catalogue.models import Catalogue
from credit_service.platform.days import day_of
from credit_service.platform.errors import INVALID_REQUEST, FieldError, Problem
from credit_service.supervision.classes import tiers
from credit_service.supervision.classes.routes import PurposeHeader, Supervisor
from credit_service.supervision.classes.rules import CLASSES
from credit_service.supervision.classes.tier_routes import DivisionPrefix, IndustryPrefix

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

router = APIRouter(tags=["statistics 统计"])

Everybody = Annotated[Principal, Depends(requires(Permission.READ_LIST))]
Months = Annotated[int, Query(ge=1, le=120, description="月数 Months back from the present one")]
Level = Annotated[int, Query(ge=2, le=6, multiple_of=2, description="区划层级 Digits of GB/T 2260: 2, 4 or 6")]

_TREND = """
SELECT tag, risk_class, least(greatest(date_trunc('month', day)::date, $2::date), $3::date) AS month,
    sum(change)::bigint AS change
FROM class_flow f WHERE tag = ANY($1::text[]) {where} GROUP BY 1, 2, 3
"""
_HEAT = """
SELECT left(division, $2) AS division, left(industry, 1) AS section, risk_class, sum(entities)::bigint AS entities
FROM class_count c WHERE tag = $1 {where} GROUP BY 1, 2, 3 HAVING sum(entities) <> 0 ORDER BY 1, 2, 3
"""


class ClassMonth(BaseModel):
    """How many entities were in each class at the end of a month."""

    month: str = ApiField(description="月份 YYYY-MM; the present one: so far")
    classes: dict[str, int] = ApiField(description="各类别主体数")


class ClassTrend(BaseModel):
    """Classes by month."""

    months: list[ClassMonth] = ApiField(description="逐月分布")


class ClassCell(BaseModel):
    """Classes of one division and section."""

    division: str = ApiField(description="行政区划前缀")
    section: str = ApiField(description="行业门类; empty: not known")
    classes: dict[str, int] = ApiField(description="各类别主体数")


class ClassHeat(BaseModel):
    """Classes by division and section."""

    cells: list[ClassCell] = ApiField(description="热力表")


class ListSize(BaseModel):
    """How many entities a list shows, and showed at the end of each month."""

    code: str = ApiField(description="名单代码")
    name_zh: str = ApiField(description="名单名称")
    name_en: str = ApiField(description="Name of the list")
    colour: str = ApiField(description="red or black")
    entities: int = ApiField(description="主体数 Entities the public is shown on it")
    months: dict[str, int] = ApiField(description="逐月主体数 By YYYY-MM; the present month: so far")


class ListSizes(BaseModel):
    """The sizes of the lists."""

    pending: bool = ApiField(description="尚有待更新 Some figure has yet to follow a change; it does within a minute")
    lists: list[ListSize] = ApiField(description="名单")


class ListCell(BaseModel):
    """Listed entities of one division and section."""

    division: str = ApiField(description="行政区划前缀")
    section: str = ApiField(description="行业门类; empty: not known")
    entities: int = ApiField(description="主体数")


class ListHeat(BaseModel):
    """The entities of a list by division and section."""

    code: str = ApiField(description="名单代码")
    cells: list[ListCell] = ApiField(description="热力表")


def _places(division: str, industry: str, arguments: list[Any], table: str) -> str:
    parts = [(f"{table}.division", division), (f"{table}.industry", industry)]
    return "".join(f" AND {tiers.within(column, prefix, arguments)}" for column, prefix in parts if prefix)


def months_back(today: date, months: int) -> list[date]:
    """The first days of the last ``months`` months, the present one last."""
    first = today.replace(day=1)
    found = [first]
    while len(found) < months:
        first = (first - timedelta(days=1)).replace(day=1)
        found.append(first)
    return found[::-1]


async def trend(
    connection: AnyConnection, tags: list[str], division: str, industry: str, months: list[date]
) -> dict[tuple[str, str], list[int]]:
    """The count of each tag and class at the end of each month: a running sum of the changes.

    What is dated after the last month, by a clock that was ahead, is in it: its sum is what there is.
    """
    arguments: list[Any] = [tags, months[0], months[-1]]
    sql = _TREND.format(where=_places(division, industry, arguments, "f"))
    place = {month: index for index, month in enumerate(months)}
    found: dict[tuple[str, str], list[int]] = {}
    for row in await connection.fetch(sql, *arguments):
        series = found.setdefault((row["tag"], row["risk_class"]), [0] * len(months))
        series[place[row["month"]]] += row["change"]
    for series in found.values():
        for index in range(1, len(series)):
            series[index] += series[index - 1]
    return found


@router.get("/v1/statistics/classes", response_model=ClassTrend)
async def read_class_trend(
    request: Request,
    principal: Supervisor,
    division: DivisionPrefix = "",
    industry: IndustryPrefix = "",
    months: Months = 12,
    credit_purpose: PurposeHeader = None,
) -> ClassTrend:
    """类别趋势 How many entities were in each class, month by month. Not for the public."""
    require_purpose(principal, Audience.REGULATOR, credit_purpose, None)
    state = request.app.state
    days = months_back(day_of(state.clock.now()), months)
    pool = await state.database.pool()
    async with pool.acquire() as connection:
        found = await trend(connection, [""], division, industry, days)
    none = [0] * len(days)
    return ClassTrend(
        months=[
            ClassMonth(month=f"{day:%Y-%m}", classes={each: found.get(("", each), none)[index] for each in CLASSES})
            for index, day in enumerate(days)
        ]
    )


@router.get("/v1/statistics/classes/heat", response_model=ClassHeat)
async def read_class_heat(
    request: Request,
    principal: Supervisor,
    division: DivisionPrefix = "",
    industry: IndustryPrefix = "",
    level: Level = 6,
    credit_purpose: PurposeHeader = None,
) -> ClassHeat:
    """类别热力表 Classes by division and industry section. Not for the public."""
    require_purpose(principal, Audience.REGULATOR, credit_purpose, None)
    cells: dict[tuple[str, str], dict[str, int]] = {}
    for row in await _heat(request, "", division, industry, level):
        cell = cells.setdefault((row["division"], row["section"]), dict.fromkeys(CLASSES, 0))
        cell[row["risk_class"]] = row["entities"]
    return ClassHeat(
        cells=[ClassCell(division=place[0], section=place[1], classes=cell) for place, cell in cells.items()]
    )


async def _heat(request: Request, tag: str, division: str, industry: str, level: int) -> list[Any]:
    arguments: list[Any] = [tag, level]
    sql = _HEAT.format(where=_places(division, industry, arguments, "c"))
    pool = await request.app.state.database.pool()
    return list(await pool.fetch(sql, *arguments))


@router.get("/v1/statistics/lists", response_model=ListSizes)
async def read_list_sizes(
    request: Request,
    principal: Everybody,
    division: DivisionPrefix = "",
    industry: IndustryPrefix = "",
    months: Months = 12,
) -> ListSizes:
    """名单规模及趋势 How many entities each list shows the public, now and month by month."""
    state = request.app.state
    catalogue: Catalogue = state.catalogue
    lists = [item for item in catalogue.latest_items() if item.list_colour]
    now = state.clock.now()
    days = months_back(day_of(now), months)
    pool = await state.database.pool()
    async with pool.acquire() as connection:
        found = await trend(connection, [f"shown:{item.code}" for item in lists], division, industry, days)
        pending = await tiers.is_pending(connection, now)
    sizes = []
    for item in lists:
        series = [found[key] for key in found if key[0] == f"shown:{item.code}"]
        sums = [sum(each) for each in zip(*series, strict=True)] if series else [0] * len(days)
        sizes.append(
            ListSize(
                code=item.code,
                name_zh=item.name_zh,
                name_en=item.name_en,
                colour=item.list_colour or "",
                entities=sums[-1],
                months={f"{day:%Y-%m}": count for day, count in zip(days, sums, strict=True)},
            )
        )
    return ListSizes(pending=pending, lists=sizes)


@router.get("/v1/statistics/lists/heat", response_model=ListHeat)
async def read_list_heat(
    request: Request,
    principal: Everybody,
    code: Annotated[str, Query(alias="list", max_length=64, description="名单代码")],
    division: DivisionPrefix = "",
    industry: IndustryPrefix = "",
    level: Level = 6,
) -> ListHeat:
    """名单热力表 The entities that a list shows the public, by division and industry section."""
    item = request.app.state.catalogue.find(code)
    if item is None or not item.list_colour:
        raise Problem(INVALID_REQUEST, errors=[FieldError("query:list", "list-of-the-catalogue")])
    cells: dict[tuple[str, str], int] = {}
    for row in await _heat(request, f"shown:{code}", division, industry, level):
        place = (row["division"], row["section"])
        cells[place] = cells.get(place, 0) + row["entities"]
    return ListHeat(
        code=code, cells=[ListCell(division=d, section=s, entities=count) for (d, s), count in cells.items()]
    )
