"""HTTP of records and lists."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import require_purpose
from credit_service.accounts.rules import Audience, Permission, Principal, Role, audience_of
from credit_service.catalogue.models import Catalogue
from credit_service.identity.uscc import Uscc
from credit_service.platform import paging
from credit_service.platform.database import Database
from credit_service.platform.errors import NOT_FOUND, FieldError, Problem
from credit_service.platform.http import actor_of, change, json_answer, matches
from credit_service.platform.idempotency import StoredAnswer
from credit_service.platform.times import AsOf, KnownAt, point_in_time
from credit_service.records import commands, history, rules, store
from credit_service.records.contract import RecordReceipt, RecordSubmission
from credit_service.records.models import Outcome, Record
from credit_service.records.views import ListIndex, RecordPage, RecordView, view

router = APIRouter(tags=["records 信用信息记录"])

Limit = Annotated[int, Query(ge=1, le=paging.LARGEST_LIMIT, description="每页条数 Rows a page")]
Cursor = Annotated[str | None, Query(max_length=500, description="分页游标 Cursor of the page before")]
PurposeHeader = Annotated[str | None, Header(description="查询目的 Required unless the caller is the public")]
ReadsRecords = Annotated[Principal, Depends(requires(Permission.READ_RECORD))]


@router.post("/v1/records", response_model=RecordReceipt, responses={201: {"model": RecordReceipt}})
async def submit_record(
    request: Request,
    body: RecordSubmission,
    principal: Annotated[Principal, Depends(requires(Permission.SUBMIT_RECORD))],
    idempotency_key: Annotated[str | None, Header(description="幂等键")] = None,
) -> Response:
    """记录报送 Submit a record: 201 stored, 200 unchanged or corrected (same item, document, entity and authority)."""
    state = request.app.state

    async def run(session: AsyncSession) -> StoredAnswer:
        receipt = await commands.submit(session, state.catalogue, actor_of(request, principal), state.clock.now(), body)
        status = 201 if receipt.outcome is Outcome.STORED else 200
        return json_answer(receipt.model_dump(mode="json"), status, {"Location": f"/v1/records/{receipt.id}"})

    return await change(request, principal, run)


def _seen_by(audience: Audience, now: datetime) -> ColumnElement[bool] | None:
    if audience is Audience.PUBLIC:
        return store.visible_at(now)
    return store.shared_at(now) if audience is Audience.AGENCY else None


def _tagged(request: Request, content: Any, audience: Audience) -> Response:
    """JSON with an ETag over its bytes, or 304."""
    body = orjson.dumps(content, default=str)
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    caching = "no-cache" if audience is Audience.PUBLIC else "private, no-cache"
    headers = {"ETag": etag, "Cache-Control": caching, "Vary": "Authorization"}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


@router.get("/v1/records/{record_id}", response_model=RecordView)
async def read_record(
    request: Request,
    record_id: Annotated[UUID, Path(description="记录标识 Record id")],
    principal: ReadsRecords,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    credit_purpose: PurposeHeader = None,
) -> Response:
    """记录查询 One record, if the caller may see it now; otherwise 404. With ``as_of`` as it stood then."""
    state = request.app.state
    now = state.clock.now()
    point = point_in_time(as_of, known_at, now)
    async with state.database.transaction() as session:
        record = await store.by_id(session, record_id)
    if record is None:
        raise Problem(NOT_FOUND)
    audience = audience_of(principal, record.uscc)
    is_source = audience is Audience.AGENCY and record.source_uscc == principal.agency_uscc
    if not is_source and not _may_see(record, audience, now):
        raise Problem(NOT_FOUND)
    require_purpose(principal, audience, credit_purpose, record.uscc)
    if point is not None:
        asked = history.Asked(audience, point, now, "c.id = $1::uuid", record_id)
        rows = await history.page(state.database, asked, after=None, limit=1)
        if not rows:
            raise Problem(NOT_FOUND)
        return _tagged(request, view(state.catalogue, rows[0], audience, point.as_of), audience)
    return _tagged(request, view(state.catalogue, record, audience, now), audience)


def _may_see(record: Record, audience: Audience, now: datetime) -> bool:
    if audience is Audience.PUBLIC:
        return rules.is_visible(record.state, record.publicity_from, record.publicity_until, now)
    return audience is not Audience.AGENCY or rules.is_shared(record.state, record.disclosure_until, now)


@router.get("/v1/entities/{uscc}/records", response_model=RecordPage)
async def entity_records(
    request: Request,
    uscc: Annotated[str, Path(description="统一社会信用代码")],
    principal: ReadsRecords,
    item: Annotated[str | None, Query(max_length=64, description="目录事项代码 Only this catalogue item")] = None,
    cursor: Cursor = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    credit_purpose: PurposeHeader = None,
) -> Response:
    """主体记录 Records of an entity, the newest decisions first."""
    code = Uscc.parse(uscc, pointer="path:uscc", admit_bad_check_digit=True).value
    audience = audience_of(principal, code)
    require_purpose(principal, audience, credit_purpose, code)
    now = request.app.state.clock.now()
    point = point_in_time(as_of, known_at, now)
    if point is not None:
        asked = history.Asked(audience, point, now, "c.uscc = $1::varchar", code, item_code=item)
        return await _past_page(request, asked, cursor, limit)
    where: list[ColumnElement[bool]] = [col(Record.uscc) == code]
    if item is not None:
        where.append(col(Record.item_code) == item)
    return await _page(request, audience, where, cursor, limit)


@router.get("/v1/lists", response_model=ListIndex)
async def read_lists(
    request: Request, principal: Annotated[Principal, Depends(requires(Permission.READ_LIST))]
) -> Response:
    """名单目录 Every red and black list of the catalogue."""
    catalogue: Catalogue = request.app.state.catalogue
    lists = [
        {"code": item.code, "name_zh": item.name_zh, "name_en": item.name_en, "colour": item.list_colour}
        for item in catalogue.latest_items()
        if item.list_colour
    ]
    return _tagged(request, {"lists": lists}, Audience.PUBLIC)


@router.get("/v1/lists/{code}/entries", response_model=RecordPage)
async def list_entries(
    request: Request,
    code: Annotated[str, Path(max_length=64, description="名单代码 Catalogue item of a list")],
    principal: Annotated[Principal, Depends(requires(Permission.READ_LIST))],
    division: Annotated[str | None, Query(pattern=r"^\d{2,6}$", description="行政区划前缀 Division prefix")] = None,
    cursor: Cursor = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    credit_purpose: PurposeHeader = None,
) -> Response:
    """名单查询 Entries of a red or black list, the newest decisions first."""
    item = request.app.state.catalogue.find(code)
    if item is None or not item.list_colour:
        raise Problem(NOT_FOUND, errors=[FieldError("path:code", "list-of-the-catalogue")])
    audience = Audience.PUBLIC if principal.role is Role.SUBJECT else audience_of(principal, "")
    require_purpose(principal, audience, credit_purpose, None)
    now = request.app.state.clock.now()
    point = point_in_time(as_of, known_at, now)
    if point is not None:
        asked = history.Asked(audience, point, now, "c.item_code = $1::text", code, division=division)
        return await _past_page(request, asked, cursor, limit)
    where: list[ColumnElement[bool]] = [col(Record.item_code) == code]
    if division:
        where.append(store.in_division(division))
    return await _page(request, audience, where, cursor, limit)


async def _past_page(request: Request, asked: history.Asked, cursor: str | None, limit: int) -> Response:
    state = request.app.state
    rows = await history.page(state.database, asked, after=_place(cursor), limit=limit + 1)
    shown = [view(state.catalogue, row, asked.audience, asked.point.as_of) for row in rows[:limit]]
    content: dict[str, Any] = {"records": shown}
    if len(rows) > limit:
        content["next_cursor"] = paging.encode_cursor(*rows[limit - 1].place)
    return _tagged(request, content, asked.audience)


async def _page(
    request: Request, audience: Audience, where: Sequence[ColumnElement[bool]], cursor: str | None, limit: int
) -> Response:
    state = request.app.state
    now = state.clock.now()
    database: Database = state.database
    async with database.transaction() as session:
        rows = await store.page(session, where, after=_place(cursor), limit=limit, seen=_seen_by(audience, now))
    content: dict[str, Any] = {"records": [view(state.catalogue, row, audience, now) for row in rows[:limit]]}
    if len(rows) > limit:
        last = rows[limit - 1]
        content["next_cursor"] = paging.encode_cursor(last.decided_on, last.id)
    return _tagged(request, content, audience)


def _place(cursor: str | None) -> tuple[date, UUID] | None:
    if cursor is None:
        return None
    day, record_id = paging.decode_cursor(cursor, 2)
    try:
        return date.fromisoformat(day), UUID(record_id)
    except (TypeError, ValueError, AttributeError) as error:
        raise paging.bad_cursor() from error
