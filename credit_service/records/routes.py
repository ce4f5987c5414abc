"""HTTP of records."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import note_subjects, require_purpose
from credit_service.accounts.rules import Audience, Permission, Principal, audience_of
from credit_service.entities.archive import hidden_from
from credit_service.identity.uscc import Uscc
from credit_service.platform import paging
from credit_service.platform.errors import GONE, NOT_FOUND, Problem
from credit_service.platform.http import actor_of, change, json_answer
from credit_service.platform.idempotency import StoredAnswer
from credit_service.platform.times import AsOf, KnownAt, point_in_time
from credit_service.records import commands, duties, history, pages, rules, store
from credit_service.records.contract import RecordReceipt, RecordSubmission
from credit_service.records.models import Outcome, Record
from credit_service.records.views import RecordPage, RecordView, view

router = APIRouter(tags=["records 信用信息记录"])

GONE_ANSWER: dict[int | str, dict[str, str]] = {410: {"description": "The entity is deregistered and archived"}}
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


@router.get("/v1/records/{record_id}", response_model=RecordView, responses=GONE_ANSWER)
async def read_record(
    request: Request,
    record_id: Annotated[UUID, Path(description="记录标识 Record id")],
    principal: ReadsRecords,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    proof: pages.Proof = False,
    credit_purpose: pages.PurposeHeader = None,
) -> Response:
    """记录查询 One record, if the caller may see it now; otherwise 404. With ``as_of`` as it stood then."""
    state = request.app.state
    now = state.clock.now()
    point = point_in_time(as_of, known_at, now)
    # Before anything is looked for: whether a purpose is missing tells nothing of what there is.
    require_purpose(principal, audience_of(principal, principal.entity_uscc or ""), credit_purpose, None)
    async with state.database.transaction() as session:
        record, archived = await store.by_id_and_archived(session, record_id)
    if record is None:
        raise Problem(NOT_FOUND)
    audience = audience_of(principal, record.uscc)
    is_source = audience is Audience.AGENCY and record.source_uscc == principal.agency_uscc
    if not is_source and not rules.may_see(record, audience, now):
        raise Problem(NOT_FOUND)
    if not is_source and archived and hidden_from(audience):
        raise Problem(GONE)
    note_subjects([record.uscc])
    if point is not None:
        asked = history.Asked(audience, point, now, "c.id = $1::uuid", record_id)
        rows = await history.page(state.database, asked, after=None, limit=1)
        if not rows:
            raise Problem(NOT_FOUND)
        shown = view(state.catalogue, rows[0], audience, point.as_of)
        if proof:
            await pages.add_proofs(request, audience, rows, [shown])
        return pages.tagged(request, shown, audience)
    shown = view(state.catalogue, record, audience, now)
    if proof:
        await pages.add_proofs(request, audience, [record], [shown])
    if audience is not Audience.PUBLIC:
        async with state.database.transaction() as session:
            owed = await duties.duties_of(session, state.catalogue, now, record)
        shown["duties"] = [asdict(duty) for duty in owed]
    return pages.tagged(request, shown, audience)


@router.get("/v1/entities/{uscc}/records", response_model=RecordPage, responses=GONE_ANSWER)
async def entity_records(
    request: Request,
    uscc: Annotated[str, Path(description="统一社会信用代码")],
    principal: ReadsRecords,
    item: Annotated[str | None, Query(max_length=64, description="目录事项代码 Only this catalogue item")] = None,
    cursor: pages.Cursor = None,
    limit: pages.Limit = paging.DEFAULT_LIMIT,
    as_of: AsOf = None,
    known_at: KnownAt = None,
    proof: pages.Proof = False,
    credit_purpose: pages.PurposeHeader = None,
) -> Response:
    """主体记录 Records of an entity, the newest decisions first. 404 and 410 as its profile."""
    code = Uscc.parse(uscc, pointer="path:uscc", admit_bad_check_digit=True).value
    audience = audience_of(principal, code)
    require_purpose(principal, audience, credit_purpose, code)
    now = request.app.state.clock.now()
    point = point_in_time(as_of, known_at, now)
    if point is not None:
        asked = history.Asked(audience, point, now, "c.uscc = $1::varchar", code, item_code=item)
        return await pages.past_page(request, asked, cursor, limit, of=code, proof=proof)
    where: list[ColumnElement[bool]] = [col(Record.uscc) == code]
    if item is not None:
        where.append(col(Record.item_code) == item)
    return await pages.page(request, audience, where, cursor, limit, of=code, proof=proof)
