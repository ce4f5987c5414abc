"""HTTP of imports."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from pydantic import Field as ApiField
from starlette.requests import ClientDisconnect

from credit_service.accounts.dependencies import requires
from credit_service.accounts.rules import Permission, Principal
from credit_service.identity.clean_text import CleanText
from credit_service.platform import idempotency, paging
from credit_service.platform.errors import MALFORMED_REQUEST, NOT_FOUND, FieldError, Problem
from credit_service.platform.http import actor_of, json_answer
from credit_service.records import store
from credit_service.records.imports import commands
from credit_service.records.models import Import, ImportReceipt, Outcome

router = APIRouter(tags=["imports 批量报送"])

Submitter = Annotated[Principal, Depends(requires(Permission.IMPORT))]
ImportId = Annotated[UUID, Path(description="批次标识 Import id")]
RECEIPTS_A_READ = 2000
IMPORT_PATH = "/v1/imports"

_FILE = {
    "requestBody": {
        "required": True,
        "description": "文件 The file itself: XLSX, CSV (UTF-8 or GB18030) or NDJSON",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in (
                "application/octet-stream",
                "text/csv",
                "application/x-ndjson",
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            )
        },
    }
}


class ImportView(BaseModel):
    """An import 批量报送 and what became of its rows."""

    id: UUID = ApiField(description="批次标识 Import id")
    state: Literal["receiving", "interrupted", "completed", "refused"] = ApiField(description="状态 State")
    template: str = ApiField(description="数据模板 Template")
    atomicity: Literal["row", "file"] = ApiField(description="原子性 row or file")
    file_name: str = ApiField(description="文件名 File name")
    rows: int = ApiField(description="已处理行数 Rows handled")
    stored: int = ApiField(description="入库 Stored")
    unchanged: int = ApiField(description="未变化 Unchanged")
    corrected: int = ApiField(description="更正 Corrected")
    refused: int = ApiField(description="退回 Refused, natural persons included")
    natural_person: int = ApiField(
        description="其中自然人 Of these: rows about natural persons, of which nothing is kept"
    )
    receipts: str = ApiField(description="回执 Where the receipts are")
    created_at: datetime = ApiField(description="开始时间 (UTC)")
    updated_at: datetime = ApiField(description="更新时间 (UTC)")


class ReceiptView(BaseModel):
    """What became of one row."""

    row: int = ApiField(description="行号, 首个数据行为1 Row number; the first data row is 1")
    outcome: Outcome = ApiField(description="处理结果")
    uscc: str | None = ApiField(default=None, description="统一社会信用代码")
    record_id: UUID | None = ApiField(default=None, description="记录标识")
    errors: list[dict[str, str]] | None = ApiField(default=None, description="字段和规则 Fields and rules")
    warnings: list[str] | None = ApiField(default=None, description="提示 Warnings")


class ReceiptPage(paging.Page):
    """A page of receipts in the order of the file."""

    receipts: list[ReceiptView] = ApiField(description="回执 Receipts")


def _view(record: Import) -> dict[str, Any]:
    names = ("id", "state", "template", "atomicity", "file_name", "created_at", "updated_at")
    counts = ("stored", "unchanged", "corrected", "refused", "natural_person")
    return {
        **{name: getattr(record, name) for name in (*names, *counts)},
        "rows": record.rows_done,
        "receipts": f"/v1/imports/{record.id}/receipts",
    }


@router.post(
    IMPORT_PATH,
    response_model=ImportView,
    status_code=201,
    responses={200: {"model": ImportView}},
    openapi_extra=_FILE,
)
async def import_file(
    request: Request,
    principal: Submitter,
    idempotency_key: Annotated[str | None, Header(description="幂等键, 必填; 中断后以同键重发即续传 Required")] = None,
    template: Annotated[str, Query(max_length=64, description="数据模板, auto按表头识别 Template")] = "auto",
    atomicity: Annotated[Literal["row", "file"], Query(description="逐行或整批 Per row or per file")] = "row",
    file_name: Annotated[CleanText, Query(max_length=200, description="文件名 File name")] = "",
    notice_attestation: Annotated[
        CleanText | None,
        Query(
            min_length=4,
            max_length=500,
            description="告知送达声明 The agency's word, with its reference, that the law's notices were served on "
            "every subject in the file; without it adverse records wait unpublished for proof of notice",
        ),
    ] = None,
) -> Response:
    """批量报送 Import a file. With the same key a cut-off import goes on and a finished one answers again."""
    key = idempotency.checked_key(idempotency_key)
    if key is None:
        raise Problem(MALFORMED_REQUEST, errors=[FieldError("header:Idempotency-Key", "required")])
    state = request.app.state
    importer = commands.Importer(
        state.database,
        state.clock,
        state.catalogue,
        state.import_executor,
        actor_of(request, principal),
        commands.Request(
            key, template, atomicity, file_name, request.headers.get("content-type", ""), notice_attestation
        ),
    )
    try:
        record, again = await importer.run(request.stream(), state.settings.max_import_bytes)
    except ClientDisconnect:
        return Response(status_code=499)
    answer = json_answer(_view(record), 200 if again else 201, {"Location": f"/v1/imports/{record.id}"})
    extra = {"Idempotency-Replayed": "true"} if again else {}
    return Response(answer.body, answer.status, {**answer.headers, **extra})


async def _own(request: Request, principal: Principal, import_id: UUID) -> Import:
    """The caller's own import; another agency's is as unknown as one that does not exist."""
    async with request.app.state.database.transaction() as session:
        record = await store.import_of(session, import_id, principal.agency_uscc or "")
    if record is None:
        raise Problem(NOT_FOUND)
    return record


@router.get("/v1/imports/{import_id}", response_model=ImportView)
async def read_import(request: Request, import_id: ImportId, principal: Submitter) -> Response:
    """批次 One import of the caller's agency."""
    record = await _own(request, principal, import_id)
    return Response(json_answer(_view(record)).body, media_type="application/json")


def _receipt(row: ImportReceipt) -> dict[str, Any]:
    shown = {"row": row.row_number, "outcome": row.outcome, "uscc": row.uscc, "record_id": row.record_id}
    shown |= {"errors": row.errors, "warnings": row.warnings}
    return {name: value for name, value in shown.items() if value is not None}


@router.get("/v1/imports/{import_id}/receipts", response_model=ReceiptPage)
async def read_receipts(
    request: Request,
    import_id: ImportId,
    principal: Submitter,
    outcome: Annotated[Outcome | None, Query(description="处理结果 Only this outcome")] = None,
    cursor: Annotated[str | None, Query(max_length=500, description="分页游标")] = None,
    limit: Annotated[int, Query(ge=1, le=paging.LARGEST_LIMIT, description="每页条数")] = paging.DEFAULT_LIMIT,
) -> Response:
    """回执 Receipts in the order of the file; all of them at once as NDJSON with Accept: application/x-ndjson."""
    await _own(request, principal, import_id)
    if "application/x-ndjson" in request.headers.get("accept", ""):
        return StreamingResponse(_all_receipts(request, import_id, outcome), media_type="application/x-ndjson")
    [after] = paging.place_of(cursor, paging.BY_NUMBER) or (0,)
    async with request.app.state.database.transaction() as session:
        rows = await store.receipts(session, import_id, outcome=outcome, after=after, limit=limit)
    content: dict[str, Any] = {"receipts": [_receipt(row) for row in rows[:limit]]}
    if len(rows) > limit:
        content["next_cursor"] = paging.encode_cursor(rows[limit - 1].row_number)
    return Response(json_answer(content).body, media_type="application/json")


async def _all_receipts(request: Request, import_id: UUID, outcome: str | None) -> AsyncIterator[bytes]:
    after = 0
    while True:
        async with request.app.state.database.transaction() as session:
            rows = await store.receipts(session, import_id, outcome=outcome, after=after, limit=RECEIPTS_A_READ)
        yield b"".join(orjson.dumps(_receipt(row), default=str) + b"\n" for row in rows[:RECEIPTS_A_READ])
        if len(rows) <= RECEIPTS_A_READ:
            return
        after = rows[RECEIPTS_A_READ - 1].row_number
