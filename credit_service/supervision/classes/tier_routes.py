"""HTTP of tier queries: entities by class, their export, the distribution of classes and its change. Not public."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, TypeAdapter
from pydantic import Field as ApiField

from credit_service.accounts.purpose import note_subjects, require_purpose
from credit_service.accounts.rules import Audience
from credit_service.catalogue.models import Catalogue
from credit_service.platform import paging, sheets
from credit_service.platform.database import Database
from credit_service.platform.days import day_of
from credit_service.platform.errors import INVALID_REQUEST, FieldError, Problem
from credit_service.supervision.classes import tiers
from credit_service.supervision.classes.contract import RiskClass, Transition
from credit_service.supervision.classes.routes import NO_STORE, Cursor, Limit, PurposeHeader, Supervisor
from credit_service.supervision.classes.rules import CLASSES

router = APIRouter(tags=["supervision 分级分类监管"])

DivisionPrefix = Annotated[str, Query(pattern=r"^(\d{2}(\d{2}(\d{2})?)?)?$", description="行政区划前缀; empty: all")]
IndustryPrefix = Annotated[
    str, Query(pattern=r"^([A-T](\d{2})?)?$", description="行业门类或大类 GB/T 4754 section or division, F or F51")
]
ListCode = Annotated[str | None, Query(alias="list", max_length=64, description="名单代码 On this list")]
Kind = Annotated[str | None, Query(max_length=32, description="记录类型 With a record of this kind that counts")]
Order = Annotated[Literal["division", "risk", "since"], Query(description="排序 division, risk (worst first), since")]
ROWS_A_READ = 1000
Points = Annotated[int, ApiField(strict=True, ge=-(2**31), lt=2**31)]
PLACES: dict[str, TypeAdapter[tuple[Any, ...]]] = {
    "division": TypeAdapter(tuple[Literal["division"], paging.Text, paging.Text]),
    "risk": TypeAdapter(tuple[Literal["risk"], paging.Text, Points, paging.Text]),
    "since": TypeAdapter(tuple[Literal["since"], paging.Moment, paging.Text]),
}
"""What a cursor of each order holds: the order itself, then its columns."""


@dataclass(frozen=True)
class Asked:
    """Which entities."""

    risk_class: Annotated[list[RiskClass] | None, Query(alias="class", description="信用风险类别, repeatable")] = None
    division: DivisionPrefix = ""
    industry: IndustryPrefix = ""
    list_code: ListCode = None
    kind: Kind = None
    since_from: Annotated[date | None, Query(description="进入该类别日期起 In its class since this day or later")] = (
        None
    )
    since_to: Annotated[date | None, Query(description="进入该类别日期止")] = None

    def filters(self, catalogue: Catalogue) -> tiers.Filters:
        """Raises ``INVALID_REQUEST``: no list, or no kind, of the catalogue."""
        if self.list_code is not None:
            item = catalogue.find(self.list_code)
            if item is None or not item.list_colour:
                raise Problem(INVALID_REQUEST, errors=[FieldError("query:list", "list-of-the-catalogue")])
        if self.kind is not None and self.kind not in {item.kind for item in catalogue.latest_items()}:
            raise Problem(INVALID_REQUEST, errors=[FieldError("query:kind", "kind-of-the-catalogue")])
        return tiers.Filters(
            classes=tuple(sorted(set(self.risk_class or ()))),
            division=self.division,
            industry=self.industry,
            list_code=self.list_code,
            kind=self.kind,
            since_from=self.since_from,
            since_to=self.since_to,
        )


class TierRow(BaseModel):
    """An entity with its class."""

    uscc: str = ApiField(description="统一社会信用代码")
    name: str = ApiField(description="名称")
    risk_class: RiskClass = ApiField(description="信用风险类别")
    points: int = ApiField(description="分值")
    division: str = ApiField(description="行政区划代码")
    industry: str = ApiField(description="行业大类")
    registration_status: str = ApiField(description="登记状态")
    lists: list[str] = ApiField(description="所在名单")
    kinds: list[str] = ApiField(description="计入的记录类型")
    since: datetime = ApiField(description="进入该类别时间 (UTC)")
    evaluated_at: datetime = ApiField(description="最近一次使结果变动的计算 (UTC)")
    rule_set_id: UUID = ApiField(description="规则标识")


class TierPage(paging.Page):
    """Entities by class, with the exact number of all that match."""

    entities: list[TierRow] = ApiField(description="主体")
    total: int = ApiField(description="总数 Exact")
    pending: bool = ApiField(description="尚有待重算 Some class has yet to follow a change; it does within a minute")


class Distribution(BaseModel):
    """How many entities are in each class."""

    day: date | None = ApiField(description="日期 At its end; empty: now")
    classes: dict[str, int] = ApiField(description="各类别主体数")
    total: int = ApiField(description="合计")
    pending: bool = ApiField(description="尚有待重算")


class Migration(BaseModel):
    """From which class to which, between the ends of two days."""

    from_day: date = ApiField(description="起始日期")
    to_day: date = ApiField(description="截止日期")
    transitions: list[Transition] = ApiField(description="类别迁移矩阵")


def _row(row: Any) -> dict[str, Any]:
    tags: list[str] = row["tags"]
    found = {name: row[name] for name in TierRow.model_fields if name not in ("lists", "kinds")}
    found["lists"] = [tag.removeprefix("list:") for tag in tags if tag.startswith("list:")]
    found["kinds"] = [tag.removeprefix("kind:") for tag in tags if tag.startswith("kind:")]
    return found


def _after(cursor: str | None, order: str) -> list[Any] | None:
    place = paging.place_of(cursor, PLACES[order])
    return None if place is None else list(place[1:])


@router.get("/v1/supervision/entities", response_model=TierPage)
async def tier_entities(
    request: Request,
    principal: Supervisor,
    response: Response,
    asked: Annotated[Asked, Depends()],
    sort: Order = "division",
    cursor: Cursor = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    credit_purpose: PurposeHeader = None,
) -> TierPage:
    """分级分类查询 Entities by class, place, list, kind of record and date."""
    state = request.app.state
    filters, after = asked.filters(state.catalogue), _after(cursor, sort)
    require_purpose(principal, Audience.REGULATOR, credit_purpose, None)
    pool = await state.database.pool()
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        rows = await tiers.page(connection, filters, sort, after, limit)
        counted = await tiers.count(connection, filters)
        pending = await tiers.is_pending(connection, state.clock.now())
    note_subjects(row["uscc"] for row in rows[:limit])
    response.headers.update(NO_STORE)
    more = paging.encode_cursor(sort, *tiers.place_of(sort, rows[limit - 1])) if len(rows) > limit else None
    return TierPage(
        entities=[TierRow(**_row(row)) for row in rows[:limit]],
        total=sum(counted.values()),
        pending=pending,
        next_cursor=more,
    )


_EXPORTED = [
    sheets.Column(header, member)
    for header, member in (
        ("统一社会信用代码", "uscc"),
        ("名称", "name"),
        ("信用风险类别", "risk_class"),
        ("分值", "points"),
        ("行政区划代码", "division"),
        ("行业大类", "industry"),
        ("登记状态", "registration_status"),
        ("所在名单", "lists"),
        ("记录类型", "kinds"),
        ("进入该类别时间", "since"),
    )
]


@router.get(
    "/v1/supervision/entities/export",
    response_class=StreamingResponse,
    responses={200: {"content": {kind: {} for kind in sheets.MEDIA_TYPES.values()}}},
)
async def export_tier(
    request: Request,
    principal: Supervisor,
    asked: Annotated[Asked, Depends()],
    format: Annotated[Literal["csv", "xlsx", "ndjson"], Query(description="文件格式")] = "csv",  # noqa: A002 - its name
    sort: Order = "division",
    credit_purpose: PurposeHeader = None,
) -> Response:
    """分级分类导出 Every entity that matches, as a file for internal use."""
    state = request.app.state
    filters = asked.filters(state.catalogue)
    require_purpose(principal, Audience.REGULATOR, credit_purpose, None)
    rows = _exported(state.database, filters, sort)
    name = quote(f"信用风险分类-{day_of(state.clock.now())}.{format}")
    headers = {
        "Content-Disposition": f"attachment; filename=\"risk-classes.{format}\"; filename*=UTF-8''{name}",
        "X-Content-Type-Options": "nosniff",
        **NO_STORE,
    }
    return StreamingResponse(
        sheets.WRITERS[format](_EXPORTED, rows), media_type=sheets.MEDIA_TYPES[format], headers=headers
    )


async def _exported(database: Database, filters: tiers.Filters, order: str) -> AsyncIterator[dict[str, Any]]:
    """Read in blocks, so that no transaction stays open while a caller reads slowly."""
    after: list[Any] | None = None
    while True:
        pool = await database.pool()
        async with pool.acquire() as connection, connection.transaction(readonly=True):
            rows = await tiers.page(connection, filters, order, after, ROWS_A_READ)
        note_subjects(row["uscc"] for row in rows[:ROWS_A_READ])
        for row in rows[:ROWS_A_READ]:
            yield _row(row)
        if len(rows) <= ROWS_A_READ:
            return
        after = tiers.place_of(order, rows[ROWS_A_READ - 1])


@router.get("/v1/supervision/distribution", response_model=Distribution)
async def read_distribution(
    request: Request,
    principal: Supervisor,
    division: DivisionPrefix = "",
    industry: IndustryPrefix = "",
    list_code: ListCode = None,
    day: Annotated[date | None, Query(description="日期 At the end of this day; default: now")] = None,
    credit_purpose: PurposeHeader = None,
) -> Distribution:
    """类别分布 How many entities are in each class, now or at the end of a day."""
    state = request.app.state
    require_purpose(principal, Audience.REGULATOR, credit_purpose, None)
    filters = Asked(division=division, industry=industry, list_code=list_code).filters(state.catalogue)
    pool = await state.database.pool()
    async with pool.acquire() as connection:
        found = await tiers.distribution(connection, filters, day)
        pending = await tiers.is_pending(connection, state.clock.now())
    classes = {each: found.get(each, 0) for each in CLASSES}
    return Distribution(day=day, classes=classes, total=sum(found.values()), pending=pending)


@router.get("/v1/supervision/migration", response_model=Migration)
async def read_migration(
    request: Request,
    principal: Supervisor,
    from_day: Annotated[date, Query(description="起始日期 At its end")],
    to_day: Annotated[date, Query(description="截止日期 At its end")],
    division: DivisionPrefix = "",
    industry: IndustryPrefix = "",
    credit_purpose: PurposeHeader = None,
) -> Migration:
    """类别迁移 How many entities went from which class to which between two days."""
    require_purpose(principal, Audience.REGULATOR, credit_purpose, None)
    if to_day < from_day:
        raise Problem(INVALID_REQUEST, errors=[FieldError("query:to_day", "not before from_day")])
    pool = await request.app.state.database.pool()
    async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        found = await tiers.migration(connection, from_day, to_day, division, industry)
    transitions = [
        Transition.model_validate({"before": before or None, "after": after, "entities": n})
        for (before, after), n in sorted(found.items())
    ]
    return Migration(from_day=from_day, to_day=to_day, transitions=transitions)
