"""HTTP of red and black lists 红黑名单: views on records, with filters, two times and exports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import ColumnElement
from sqlmodel import col

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import note_subjects, require_purpose
from credit_service.accounts.rules import Audience, Permission, Principal, Role, audience_of
from credit_service.catalogue.models import Catalogue, Item
from credit_service.platform import paging, sheets
from credit_service.platform.database import Database
from credit_service.platform.days import day_of
from credit_service.platform.errors import NOT_FOUND, FieldError, Problem
from credit_service.platform.times import AsOf, KnownAt, point_in_time
from credit_service.records import exports, history, pages, store
from credit_service.records.models import Record
from credit_service.records.views import ListIndex, ListPage, list_view

router = APIRouter(tags=["lists 名单"])

ReadsLists = Annotated[Principal, Depends(requires(Permission.READ_LIST))]
Code = Annotated[str, Path(max_length=64, description="名单代码 Catalogue item of a list")]
ROWS_A_READ = 1000


@dataclass(frozen=True)
class Filters:
    """Which entries of a list."""

    division: Annotated[str | None, Query(pattern=r"^\d{2,6}$", description="行政区划前缀 Division prefix")] = None
    industry: Annotated[
        str | None, Query(pattern=r"^[A-T]\d{0,4}$", description="行业代码前缀 GB/T 4754 prefix, e.g. F or F51")
    ] = None
    entered_from: Annotated[date | None, Query(description="列入日期起 Entered on or after")] = None
    entered_to: Annotated[date | None, Query(description="列入日期止 Entered on or before")] = None

    def conditions(self, code: str) -> list[ColumnElement[bool]]:
        """The same in SQL for the present; ``history.page`` has it for the past."""
        found: list[ColumnElement[bool]] = [col(Record.item_code) == code]
        if self.division:
            found.append(store.in_division(self.division))
        if self.industry:
            found.append(store.in_industry(self.industry))
        if self.entered_from:
            found.append(col(Record.decided_on) >= self.entered_from)
        if self.entered_to:
            found.append(col(Record.decided_on) <= self.entered_to)
        return found


@router.get("/v1/lists", response_model=ListIndex)
async def read_lists(request: Request, principal: ReadsLists) -> Response:
    """名单目录 Every red and black list of the catalogue."""
    catalogue: Catalogue = request.app.state.catalogue
    lists = [
        {"code": item.code, "name_zh": item.name_zh, "name_en": item.name_en, "colour": item.list_colour}
        for item in catalogue.latest_items()
        if item.list_colour
    ]
    return pages.tagged(request, {"lists": lists}, Audience.PUBLIC)


def _list(request: Request, code: str) -> Item:
    item: Item | None = request.app.state.catalogue.find(code)
    if item is None or not item.list_colour:
        raise Problem(NOT_FOUND, errors=[FieldError("path:code", "list-of-the-catalogue")])
    return item


def _audience(principal: Principal) -> Audience:
    return Audience.PUBLIC if principal.role is Role.SUBJECT else audience_of(principal, "")


@router.get("/v1/lists/{code}/entries", response_model=ListPage)
async def list_entries(
    request: Request,
    code: Code,
    principal: ReadsLists,
    filters: Annotated[Filters, Depends()],
    cursor: pages.Cursor = None,
    limit: pages.Limit = paging.DEFAULT_LIMIT,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    credit_purpose: pages.PurposeHeader = None,
) -> Response:
    """名单查询 Entries of a red or black list, the newest decisions first."""
    _list(request, code)
    audience = _audience(principal)
    require_purpose(principal, audience, credit_purpose, None)
    now = request.app.state.clock.now()
    point = point_in_time(as_of, known_at, now)
    if point is None:
        return await pages.page(request, audience, filters.conditions(code), cursor, limit, view=list_view)
    asked = history.Asked(
        audience,
        point,
        now,
        "c.item_code = $1::text",
        code,
        division=filters.division,
        industry=filters.industry,
        decided_from=filters.entered_from,
        decided_to=filters.entered_to,
    )
    return await pages.past_page(request, asked, cursor, limit, view=list_view)


@router.get(
    "/v1/lists/{code}/export",
    response_class=StreamingResponse,
    responses={200: {"content": {kind: {} for kind in sheets.MEDIA_TYPES.values()}}},
)
async def export_list(
    request: Request,
    code: Code,
    principal: ReadsLists,
    filters: Annotated[Filters, Depends()],
    format: Annotated[Literal["csv", "xlsx", "ndjson"], Query(description="文件格式")] = "csv",  # noqa: A002 - its name
    credit_purpose: pages.PurposeHeader = None,
) -> Response:
    """名单导出 The whole list as a file with the catalogue's Chinese headers, as the caller may see it now."""
    item = _list(request, code)
    audience = _audience(principal)
    require_purpose(principal, audience, credit_purpose, None)
    state = request.app.state
    now = state.clock.now()
    columns = exports.columns_of(item, audience)
    rows = _rows(state.database, state.catalogue, audience, filters.conditions(code), now)
    name = f"{item.name_zh}-{day_of(now)}.{format}"
    headers = {
        "Content-Disposition": f"attachment; filename=\"{code}.{format}\"; filename*=UTF-8''{quote(name)}",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    writer = sheets.WRITERS[format]
    return StreamingResponse(writer(columns, rows), media_type=sheets.MEDIA_TYPES[format], headers=headers)


async def _rows(
    database: Database,
    catalogue: Catalogue,
    audience: Audience,
    where: list[ColumnElement[bool]],
    now: datetime,
) -> AsyncIterator[dict[str, Any]]:
    """Every entry as of one instant, read in blocks so that no transaction stays open while a caller reads slowly."""
    after = None
    while True:
        async with database.transaction() as session:
            found = await store.page(session, where, after=after, limit=ROWS_A_READ, seen=pages.seen_by(audience, now))
        note_subjects(record.uscc for record in found[:ROWS_A_READ])
        for record in found[:ROWS_A_READ]:
            yield list_view(catalogue, record, audience, now)
        if len(found) <= ROWS_A_READ:
            return
        after = (found[ROWS_A_READ - 1].decided_on, found[ROWS_A_READ - 1].id)
