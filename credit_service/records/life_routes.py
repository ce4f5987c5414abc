"""HTTP of what happens to a stored record. Each change names its reason and needs If-Match."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import BaseModel
from pydantic import Field as ApiField
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts import commands as accounts
from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import note_subjects, require_purpose
from credit_service.accounts.rules import Audience, Permission, Principal, audience_of
from credit_service.catalogue.models import Catalogue
from credit_service.platform.context import Actor
from credit_service.platform.days import day_of
from credit_service.platform.errors import INVALID_REQUEST, NOT_FOUND, FieldError, Problem
from credit_service.platform.http import actor_of, change, json_answer
from credit_service.platform.idempotency import StoredAnswer
from credit_service.records import commands, duties, history, life, rules, serving, store
from credit_service.records.contract import (
    Annulment,
    Correction,
    Erasure,
    NoticesServed,
    Removal,
    RepairNoticeSent,
    Shielding,
    Unshielding,
    Withdrawal,
)
from credit_service.records.models import Record, RecordVersion
from credit_service.records.notices import RepairNotice, repair_notice
from credit_service.records.rules import RECORD_REFUSED
from credit_service.records.standing import Action

router = APIRouter(tags=["records 信用信息记录"])

Changer = Annotated[Principal, Depends(requires(Permission.CHANGE_RECORD))]
Id = Annotated[UUID, Path(description="记录标识 Record id")]
IfMatch = Annotated[str | None, Header(description='"v<version>" or *')]
IdempotencyKey = Annotated[str | None, Header(description="幂等键")]
PATH = "/v1/records/{record_id}"
AWAITING_SECOND = "awaiting-second-officer"


class RecordState(BaseModel):
    """Where a record stands after a change."""

    id: UUID = ApiField(description="记录标识")
    uscc: str = ApiField(description="统一社会信用代码")
    state: str = ApiField(description="状态")
    state_from: datetime = ApiField(description="状态起始时间 (UTC)")
    version: int = ApiField(description="版本")
    warnings: list[str] = ApiField(
        default_factory=list, description="提示 Warnings, e.g. of masked personal information"
    )


def _answer(record: Record, warnings: Sequence[str] = ()) -> StoredAnswer:
    content = RecordState(**record.model_dump(include=set(RecordState.model_fields)), warnings=list(warnings))
    return json_answer(content.model_dump(mode="json"), 200, {"ETag": life.version_tag(record)})


Run = Callable[[AsyncSession, Catalogue, Actor, datetime, Record], Awaitable[Record]]


async def _change(
    request: Request,
    principal: Principal,
    record_id: UUID,
    if_match: str | None,
    run: Run,
    warnings: Sequence[str] = (),
) -> Response:
    state, actor = request.app.state, actor_of(request, principal)

    async def changed(session: AsyncSession) -> StoredAnswer:
        record = await life.for_change(session, actor, record_id, if_match)
        return _answer(await run(session, state.catalogue, actor, state.clock.now(), record), warnings)

    return await change(request, principal, changed)


@router.post(f"{PATH}/notices", response_model=RecordState)
async def serve_notices(
    request: Request,
    record_id: Id,
    body: NoticesServed,
    principal: Changer,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """补报送达 Proof of notice; with the last one the law asks for, publicity begins.

    What the registry is said to have served it proves itself: without that proof the answer is 409.
    """

    async def run(session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, record: Record) -> Record:
        notices = [notice.model_dump(mode="json") for notice in body.notices]
        if body.by_registry:
            notices.append(await serving.proved(session, now, record))
        if not notices:
            raise Problem(INVALID_REQUEST, errors=[FieldError("/notices", "at least one")])
        return await life.serve_notices(session, catalogue, actor, now, record, notices)

    return await _change(request, principal, record_id, if_match, run)


@router.post(f"{PATH}/correction", response_model=RecordState)
async def correct(
    request: Request,
    record_id: Id,
    body: Correction,
    principal: Changer,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """更正 Correct what a record says; item, document, entity and authority stay."""
    warnings: list[str] = []

    async def run(session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, record: Record) -> Record:
        draft, masked = await commands.draft_of(session, catalogue, actor, now, body.record)
        warnings.extend(masked)
        corrected = await life.correct(session, catalogue, actor, now, record, draft, body.reason)
        if body.basis is not None:
            _not_in_future(body.basis.decided_on <= day_of(now), "/basis/decided_on")
            await duties.record_withdrawal(session, catalogue, actor, now, record, body.basis.decided_on)
        return corrected

    return await _change(request, principal, record_id, if_match, run, warnings)


@router.post(f"{PATH}/annulment", response_model=RecordState)
async def annul(
    request: Request,
    record_id: Id,
    body: Annulment,
    principal: Changer,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """撤销 The decision no longer holds: gone from every surface with this call, its reasons kept.

    A serious listing that the agency annuls on its own review takes two officers, as its removal does.
    """
    warnings: list[str] = []

    async def run(session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, record: Record) -> Record:
        _not_in_future(body.basis.decided_on <= day_of(now), "/basis/decided_on")
        basis = body.basis.model_dump(mode="json")
        ends = life.end if body.basis.kind == "own-review" else life.move
        if await ends(session, catalogue, actor, now, record, Action.ANNUL, reason=body.reason, basis=basis):
            await duties.record_withdrawal(session, catalogue, actor, now, record, body.basis.decided_on)
        else:
            warnings.append(AWAITING_SECOND)
        return record

    return await _change(request, principal, record_id, if_match, run, warnings)


def _not_in_future(holds: bool, pointer: str) -> None:
    if not holds:
        raise Problem(RECORD_REFUSED, errors=[FieldError(pointer, "decision-date-in-future")])


@router.post(f"{PATH}/withdrawal", response_model=RecordState)
async def withdraw(
    request: Request,
    record_id: Id,
    body: Withdrawal,
    principal: Changer,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """撤回 The source takes back a record; it stays in the history. A serious listing takes two officers."""
    warnings: list[str] = []

    async def run(session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, record: Record) -> Record:
        if not await life.end(session, catalogue, actor, now, record, Action.WITHDRAW, reason=body.reason):
            warnings.append(AWAITING_SECOND)
        return record

    return await _change(request, principal, record_id, if_match, run, warnings)


@router.post(f"{PATH}/removal", response_model=RecordState)
async def remove(
    request: Request,
    record_id: Id,
    body: Removal,
    principal: Changer,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """移出名单 End a listing by a decision of its own, with the higher authority's consent where needed.

    From a serious list it takes two officers: the first one's call proposes it (``awaiting-second-officer``), the same
    decision sent by another officer ends the listing.
    """
    warnings: list[str] = []

    async def run(session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, record: Record) -> Record:
        _not_in_future(body.decided_on <= day_of(now), "/decided_on")
        item = catalogue.latest(record.item_code)
        if item.list_colour is None:
            raise Problem(RECORD_REFUSED, errors=[FieldError("", "an entry of a list")])
        agency = await accounts.load_agency(session, actor.agency_uscc or "")
        consent, level = commands.consent_of(body.consent), agency.level if agency else ""
        errors = rules.check_consent(catalogue, item, body.decided_on, level, record.authority_uscc, consent)
        if errors:
            raise Problem(RECORD_REFUSED, errors=errors)
        basis = body.model_dump(mode="json", exclude={"reason"}) | {"consent": consent}
        if not await life.end(session, catalogue, actor, now, record, Action.REMOVE, reason=body.reason, basis=basis):
            warnings.append(AWAITING_SECOND)
        return record

    return await _change(request, principal, record_id, if_match, run, warnings)


@router.post(f"{PATH}/shielding", response_model=RecordState)
async def shield(
    request: Request,
    record_id: Id,
    body: Shielding,
    principal: Changer,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """临时屏蔽 Shield a record while a court-approved reorganisation or settlement is carried out."""

    async def run(session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, record: Record) -> Record:
        _not_in_future(body.ruled_on <= day_of(now), "/ruled_on")
        basis = body.model_dump(mode="json", exclude={"reason"})
        return await life.move(session, catalogue, actor, now, record, Action.SHIELD, reason=body.reason, basis=basis)

    return await _change(request, principal, record_id, if_match, run)


@router.post(f"{PATH}/unshielding", response_model=RecordState)
async def unshield(
    request: Request,
    record_id: Id,
    body: Unshielding,
    principal: Changer,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """解除屏蔽 The plan was carried out or failed: the record is again what its rule says."""

    async def run(session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, record: Record) -> Record:
        _not_in_future(body.decided_on <= day_of(now), "/decided_on")
        basis = body.model_dump(mode="json", exclude={"reason"})
        return await life.move(session, catalogue, actor, now, record, Action.UNSHIELD, reason=body.reason, basis=basis)

    return await _change(request, principal, record_id, if_match, run)


class Difference(BaseModel):
    """One member that a version changed."""

    field: str = ApiField(description="字段 JSON pointer")
    before: Any = ApiField(description="变更前")
    after: Any = ApiField(description="变更后")


class VersionView(BaseModel):
    """A version of a record: what it changed, who did, when and why."""

    version: int = ApiField(description="版本")
    recorded_at: datetime = ApiField(description="登记时间 (UTC)")
    superseded_at: datetime | None = ApiField(description="被取代时间 (UTC); empty: the present version")
    change: str = ApiField(description="变更 record.stored, record.corrected, ...")
    reason: str | None = ApiField(description="理由")
    actor: str = ApiField(description="操作人 Principal")
    request_id: str = ApiField(description="请求标识")
    commitment: str = ApiField(description="内容承诺值 Salted SHA-256 of the version, as in its audit event")
    erased: bool = ApiField(description="内容已依法删除")
    differences: list[Difference] = ApiField(description="字段差异; the first version: its whole content")


class VersionList(BaseModel):
    """Every version of a record, the oldest first."""

    versions: list[VersionView] = ApiField(description="版本")


@router.get(f"{PATH}/versions", response_model=VersionList)
async def read_versions(
    request: Request,
    record_id: Id,
    principal: Annotated[Principal, Depends(requires(Permission.READ_RECORD))],
    credit_purpose: Annotated[str | None, Header(description="查询目的 Required unless it is one's own file")] = None,
) -> VersionList:
    """版本历史 Who changed what and why. For the subject, its supervisor and the agency that submitted the record."""
    require_purpose(principal, audience_of(principal, principal.entity_uscc or ""), credit_purpose, None)
    async with request.app.state.database.transaction() as session:
        record = await store.by_id(session, record_id)
        if record is None:
            raise Problem(NOT_FOUND)
        audience = audience_of(principal, record.uscc)
        own = audience is Audience.AGENCY and principal.agency_uscc in (record.source_uscc, record.authority_uscc)
        if not own and audience not in (Audience.REGULATOR, Audience.SUBJECT):
            raise Problem(NOT_FOUND)
        note_subjects([record.uscc])
        versions = await store.versions(session, record)
    return VersionList(versions=[_version(versions, index) for index in range(len(versions))])


def _version(versions: Sequence[RecordVersion], index: int) -> VersionView:
    row = versions[index]
    before = versions[index - 1] if index else None
    return VersionView(
        **row.model_dump(include={"version", "recorded_at", "change", "reason", "actor", "request_id"}),
        superseded_at=versions[index + 1].recorded_at if index + 1 < len(versions) else None,
        commitment=row.commitment.hex(),
        erased=row.content is None,
        differences=[Difference(**found) for found in history.differences(before, row)],
    )


@router.get(f"{PATH}/repair-notice", response_model=RepairNotice)
async def read_repair_notice(request: Request, record_id: Id, principal: Changer) -> RepairNotice:
    """信用修复告知书 The notice to serve together with the decision, for the agency that answers for the record."""
    state = request.app.state
    async with state.database.transaction() as session:
        record = await life.for_change(session, actor_of(request, principal), record_id, "*")
        return repair_notice(
            state.catalogue, life.draft_of(state.catalogue, record), first_published_at=record.publicity_from
        )


@router.post(f"{PATH}/repair-notice", response_model=RepairNoticeSent)
async def send_repair_notice(
    request: Request, record_id: Id, principal: Changer, idempotency_key: IdempotencyKey = None
) -> Response:
    """信用修复告知书送达 Send the subject the notice; ``POST .../notices`` with ``by_registry`` takes its proof."""
    state, actor = request.app.state, actor_of(request, principal)
    now = state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        record = await life.for_change(session, actor, record_id, "*")
        sent = await serving.tell(session, state.catalogue, actor, now, record)
        told = RepairNoticeSent(
            notification_id=sent.id, state=sent.state, language=sent.language, sent_at=sent.created_at
        )
        return json_answer(told.model_dump(mode="json"))

    return await change(request, principal, run)


class ErasureReceipt(BaseModel):
    """What an erasure emptied."""

    id: UUID = ApiField(description="记录标识")
    versions: int = ApiField(description="已清空版本数 Versions emptied")


@router.post(f"{PATH}/erasure", response_model=ErasureReceipt)
async def erase(
    request: Request,
    record_id: Id,
    body: Erasure,
    principal: Annotated[Principal, Depends(requires(Permission.ERASE_RECORD))],
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """删除内容 Forget an archived record past its disclosure limit; commitments and audit events stay."""
    now, actor = request.app.state.clock.now(), actor_of(request, principal)

    async def run(session: AsyncSession) -> StoredAnswer:
        record = await store.by_id_locked(session, record_id)
        if record is None:
            raise Problem(NOT_FOUND)
        versions = await life.erase(session, actor, now, record, body.reason)
        return json_answer({"id": str(record_id), "versions": versions})

    return await change(request, principal, run)
