"""HTTP of the access log 查询日志: the subject sees who looked at its file, supervisors what stands out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict
from pydantic import Field as ApiField
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts import store
from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import require_purpose
from credit_service.accounts.rules import Audience, Permission, Principal, Role
from credit_service.audit import access_store, events
from credit_service.audit.access_models import AccessAnomaly, AccessLog
from credit_service.audit.models import SYSTEM_SUBJECT
from credit_service.identity.clean_text import CleanText
from credit_service.identity.uscc import Uscc
from credit_service.platform import paging, sheets
from credit_service.platform.contract import Strict
from credit_service.platform.database import Database
from credit_service.platform.days import start_of
from credit_service.platform.errors import NOT_FOUND, Problem
from credit_service.platform.http import actor_of, change, json_answer
from credit_service.platform.idempotency import StoredAnswer

router = APIRouter(tags=["accesses 查询日志"])

ReadsAccesses = Annotated[Principal, Depends(requires(Permission.READ_ACCESSES))]
Oversees = Annotated[Principal, Depends(requires(Permission.OVERSEE_ACCESSES))]
Code = Annotated[str, Path(description="统一社会信用代码")]
Since = Annotated[date | None, Query(description="起始日期 From this day (Asia/Shanghai)")]
Until = Annotated[date | None, Query(description="截止日期 Before this day")]
PurposeHeader = Annotated[str | None, Header(description="查询目的, auditors only")]
ROWS_A_READ = 1000


class AccessView(BaseModel):
    """One access to a subject's file."""

    at: datetime = ApiField(description="查询时间 (UTC)")
    agency_uscc: str | None = ApiField(description="查询单位统一社会信用代码")
    agency_name: str | None = ApiField(description="查询单位")
    audience: str = ApiField(description="字段范围 Class of fields shown: agency or regulator")
    purpose: str = ApiField(description="查询目的")
    case_reference: str | None = ApiField(description="案号或者项目编号")
    principal: str | None = ApiField(default=None, description="查询人; shown to auditors only")
    route: str | None = ApiField(default=None, description="接口; shown to auditors only")
    disclosed_from: datetime | None = ApiField(default=None, description="向主体披露时间; shown to auditors only")


class AccessPage(paging.Page):
    """A page of accesses, the newest first."""

    accesses: list[AccessView] = ApiField(description="查询记录")


class AnomalyView(BaseModel):
    """A day on which an agency's reading stands out."""

    model_config = ConfigDict(from_attributes=True)

    agency_uscc: str = ApiField(description="查询单位统一社会信用代码")
    day: date = ApiField(description="日期 (Asia/Shanghai)")
    kind: str = ApiField(description="类型 over-quota 超限额, outside-duty 超职责范围批量查询")
    accesses: int = ApiField(description="查询次数")
    subjects: int = ApiField(description="主体数")
    outside: int = ApiField(description="职责范围外主体数")
    found_at: datetime = ApiField(description="发现时间 (UTC)")
    reviewed_at: datetime | None = ApiField(description="核查时间 (UTC)")
    review: str | None = ApiField(description="核查意见")


class AnomalyList(BaseModel):
    """What stands out."""

    anomalies: list[AnomalyView] = ApiField(description="异常查询")


class Review(Strict):
    """What a supervisor found out."""

    review: CleanText = ApiField(min_length=4, max_length=2000, description="核查意见")


def _view(row: AccessLog, names: dict[str, str], *, whole: bool) -> AccessView:
    return AccessView(
        at=row.at,
        agency_uscc=row.agency_uscc,
        agency_name=names.get(row.agency_uscc or ""),
        audience=row.audience,
        purpose=row.purpose,
        case_reference=row.case_reference,
        principal=row.principal if whole else None,
        route=row.route if whole else None,
        disclosed_from=row.disclosed_from if whole else None,
    )


def _whose(principal: Principal, uscc: str, purpose: str | None) -> tuple[str, bool]:
    """The code, and whether everything is shown. Another subject's accesses do not exist (404)."""
    code = Uscc.parse(uscc, pointer="path:uscc", admit_bad_check_digit=True).value
    whole = principal.role is Role.AUDITOR
    if not whole and principal.entity_uscc != code:
        raise Problem(NOT_FOUND)
    require_purpose(principal, Audience.REGULATOR if whole else Audience.SUBJECT, purpose, code)
    return code, whole


async def _rows(
    database: Database,
    code: str,
    now: datetime,
    *,
    whole: bool,
    since: date | None,
    until: date | None,
    before: tuple[datetime, UUID] | None = None,
    limit: int,
) -> tuple[list[AccessView], tuple[datetime, UUID] | None]:
    """A page as it is shown, and where the next one goes on."""
    async with database.transaction() as session:
        rows = await access_store.page(
            session,
            code,
            disclosed_at=None if whole else now,
            since=start_of(since) if since else None,
            until=start_of(until) if until else None,
            before=before,
            limit=limit,
        )
        names = await store.agency_names(session, {row.agency_uscc for row in rows if row.agency_uscc})
    shown = [_view(row, names, whole=whole) for row in rows[:limit]]
    return shown, (rows[limit - 1].at, rows[limit - 1].id) if len(rows) > limit else None


@router.get("/v1/entities/{uscc}/accesses", response_model=AccessPage)
async def read_accesses(
    request: Request,
    uscc: Code,
    principal: ReadsAccesses,
    since: Since = None,
    until: Until = None,
    cursor: Annotated[str | None, Query(max_length=500, description="分页游标")] = None,
    limit: Annotated[int, Query(ge=1, le=paging.LARGEST_LIMIT, description="每页条数")] = paging.DEFAULT_LIMIT,
    credit_purpose: PurposeHeader = None,
) -> Response:
    """查询日志 Who was shown the non-public file of an entity, for what. A marked investigation appears when it may."""
    state = request.app.state
    code, whole = _whose(principal, uscc, credit_purpose)
    shown, place = await _rows(
        state.database,
        code,
        state.clock.now(),
        whole=whole,
        since=since,
        until=until,
        before=paging.place_of(cursor, paging.BY_MOMENT),
        limit=limit,
    )
    content: dict[str, Any] = {"accesses": [each.model_dump(mode="json") for each in shown]}
    if place is not None:
        content["next_cursor"] = paging.encode_cursor(place[0].isoformat(), place[1])
    answer = json_answer(content, headers={"Cache-Control": "private, no-store"})
    return Response(answer.body, answer.status, answer.headers)


_COLUMNS = [
    sheets.Column("查询时间", "at"),
    sheets.Column("查询单位", "agency_name"),
    sheets.Column("查询单位统一社会信用代码", "agency_uscc"),
    sheets.Column("查询目的", "purpose"),
    sheets.Column("案号", "case_reference"),
    sheets.Column("字段范围", "audience"),
]


@router.get(
    "/v1/entities/{uscc}/accesses/export",
    response_class=StreamingResponse,
    responses={200: {"content": {kind: {} for kind in sheets.MEDIA_TYPES.values()}}},
)
async def export_accesses(
    request: Request,
    uscc: Code,
    principal: ReadsAccesses,
    since: Since = None,
    until: Until = None,
    format: Annotated[Literal["csv", "xlsx", "ndjson"], Query(description="文件格式")] = "csv",  # noqa: A002 - its name
    credit_purpose: PurposeHeader = None,
) -> Response:
    """查询日志导出 The whole log of an entity as a file, as the caller may see it now."""
    state = request.app.state
    code, whole = _whose(principal, uscc, credit_purpose)
    now = state.clock.now()

    async def rows() -> AsyncIterator[dict[str, Any]]:
        place = None
        while True:
            shown, place = await _rows(
                state.database, code, now, whole=whole, since=since, until=until, before=place, limit=ROWS_A_READ
            )
            for each in shown:
                # Files for readers state Shanghai's time, lines for programs UTC.
                yield each.model_dump(mode="json" if format == "ndjson" else "python")
            if place is None:
                return

    columns = [*_COLUMNS, sheets.Column("查询人", "principal")] if whole else _COLUMNS
    headers = {
        "Content-Disposition": f'attachment; filename="accesses-{code}.{format}"',
        "Cache-Control": "no-store",
    }
    writer = sheets.WRITERS[format]
    return StreamingResponse(writer(columns, rows()), media_type=sheets.MEDIA_TYPES[format], headers=headers)


@router.get("/v1/accesses/anomalies", response_model=AnomalyList)
async def read_anomalies(
    request: Request,
    principal: Oversees,
    open_only: Annotated[bool, Query(description="仅未核查的")] = True,
    limit: Annotated[int, Query(ge=1, le=paging.LARGEST_LIMIT, description="条数")] = paging.DEFAULT_LIMIT,
) -> AnomalyList:
    """异常查询 Days on which an agency read beyond its quota or its duty: of all, or of the caller's subordinates."""
    async with request.app.state.database.transaction() as session:
        agencies = await _overseen(session, principal)
        found = await access_store.anomalies(session, agencies, open_only=open_only, limit=limit)
    return AnomalyList(anomalies=[AnomalyView.model_validate(row) for row in found])


async def _overseen(session: AsyncSession, principal: Principal) -> list[str] | None:
    """Agencies whose reading the caller answers for: all for an auditor, its own and its subordinates for others."""
    if principal.role is Role.AUDITOR:
        return None
    own = principal.agency_uscc or ""
    return [own, *await store.subordinates(session, own)]


@router.post("/v1/accesses/anomalies/{agency_uscc}/{day}/{kind}/review", response_model=AnomalyView)
async def review_anomaly(
    request: Request,
    body: Review,
    principal: Oversees,
    agency_uscc: Annotated[str, Path(max_length=40, description="查询单位统一社会信用代码")],
    day: Annotated[date, Path(description="日期")],
    kind: Annotated[str, Path(max_length=20, description="类型")],
    idempotency_key: Annotated[str | None, Header(description="幂等键")] = None,
) -> Response:
    """核查异常查询 Record what was found out about it; an agency does not review itself."""
    state = request.app.state

    async def run(session: AsyncSession) -> StoredAnswer:
        overseen = await _overseen(session, principal)
        own = agency_uscc == principal.agency_uscc
        row = await access_store.anomaly(session, agency_uscc, day, kind)
        if row is None or own or (overseen is not None and agency_uscc not in overseen):
            raise Problem(NOT_FOUND)
        now = state.clock.now()
        row.reviewed_at, row.reviewed_by, row.review = now, principal.id, body.review
        events.append(session, [_event(request, principal, row, now)])
        return json_answer(AnomalyView.model_validate(row).model_dump(mode="json"))

    return await change(request, principal, run)


def _event(request: Request, principal: Principal, row: AccessAnomaly, now: datetime) -> Any:
    return events.new_event(
        actor_of(request, principal),
        now,
        "access-anomaly.reviewed",
        uscc=SYSTEM_SUBJECT,
        subject_type="access-anomaly",
        subject_id=f"{row.agency_uscc} {row.day} {row.kind}",
        reason=row.review,
    )
