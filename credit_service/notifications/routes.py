"""HTTP of notifications: a recipient's inbox and contact points, and those answerable for what was owed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts.dependencies import requires
from credit_service.accounts.rules import Permission, Principal
from credit_service.notifications import commands, contacts, store
from credit_service.notifications.channels import configured
from credit_service.notifications.commands import Recipient
from credit_service.notifications.models import (
    ContactsRead,
    ContactsWrite,
    DeliveryRead,
    InboxItem,
    InboxPage,
    Notification,
    NotificationDelivery,
    NotificationPage,
    NotificationRead,
    PaperService,
    Verification,
)
from credit_service.notifications.rules import Language, NotificationState
from credit_service.platform import paging
from credit_service.platform.http import actor_of, change, json_answer, language_of
from credit_service.platform.idempotency import StoredAnswer

router = APIRouter(tags=["notifications 通知"])

Reader = Annotated[Principal, Depends(requires(Permission.READ_INBOX))]
Owner = Annotated[Principal, Depends(requires(Permission.MANAGE_CONTACTS))]
Overseer = Annotated[Principal, Depends(requires(Permission.OVERSEE_NOTIFICATIONS))]
Server = Annotated[Principal, Depends(requires(Permission.SERVE_NOTICE))]
Id = Annotated[UUID, Path(description="通知标识 Notification id")]
Cursor = Annotated[str | None, Query(max_length=500, description="分页游标")]
Limit = Annotated[int, Query(ge=1, le=paging.LARGEST_LIMIT, description="每页条数")]
IfMatch = Annotated[str | None, Header(description="ETag or *")]
IdempotencyKey = Annotated[str | None, Header(description="幂等键")]
NO_STORE = {"Cache-Control": "no-store"}


def _recipient(principal: Principal) -> Recipient:
    """Whom a caller's inbox and contact points belong to: its agency, or the entity it speaks for."""
    if principal.agency_uscc is not None:
        return Recipient.agency(principal.agency_uscc)
    assert principal.entity_uscc is not None
    return Recipient.entity(principal.entity_uscc)


def _cut(rows: Sequence[Notification], limit: int) -> tuple[Sequence[Notification], str | None]:
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], paging.encode_cursor(rows[limit - 1].created_at, rows[limit - 1].id)


def _item(row: Notification) -> InboxItem:
    return InboxItem.model_validate(row, from_attributes=True)


def _overseen(row: Notification, attempts: Sequence[NotificationDelivery]) -> NotificationRead:
    deliveries = [DeliveryRead.model_validate(attempt, from_attributes=True) for attempt in attempts]
    names = NotificationRead.model_fields.keys() - {"deliveries"}
    return NotificationRead(**{name: getattr(row, name) for name in names}, deliveries=deliveries)


@router.get("/v1/inbox", response_model=InboxPage, response_model_exclude_none=False)
async def read_inbox(
    request: Request, principal: Reader, cursor: Cursor = None, limit: Limit = paging.DEFAULT_LIMIT
) -> InboxPage:
    """收件箱 The notifications of the caller's entity or agency."""
    owner = _recipient(principal)
    async with request.app.state.database.transaction() as session:
        rows = await store.inbox(
            session, owner.type.value, owner.uscc, paging.place_of(cursor, paging.BY_MOMENT), limit
        )
        unread = await store.unread(session, owner.type.value, owner.uscc)
    shown, following = _cut(rows, limit)
    return InboxPage(notifications=[_item(row) for row in shown], unread=unread, next_cursor=following)


@router.post("/v1/inbox/{notification_id}/read", response_model=InboxItem)
async def mark_read(
    request: Request, notification_id: Id, principal: Reader, idempotency_key: IdempotencyKey = None
) -> Response:
    """阅读回执 Enter that a notification was read."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        actor = actor_of(request, principal)
        row = await commands.read(session, actor, now, _recipient(principal), notification_id)
        return json_answer(_item(row).model_dump(mode="json"))

    return await change(request, principal, run)


def _webhook_key(request: Request) -> str | None:
    key = request.app.state.settings.webhook_key
    return None if key is None else str(key.get_secret_value())


@router.get("/v1/contacts", response_model=ContactsRead)
async def read_contacts(request: Request, principal: Owner, response: Response) -> ContactsRead:
    """联系方式 The caller's own contact points."""
    async with request.app.state.database.transaction() as session:
        shown, etag = await contacts.of_owner(session, _recipient(principal), _webhook_key(request))
    response.headers.update({"ETag": etag, **NO_STORE})
    return shown


@router.put("/v1/contacts", response_model=ContactsRead)
async def put_contacts(request: Request, body: ContactsWrite, principal: Owner, if_match: IfMatch = None) -> Response:
    """联系方式维护 Replace the caller's own contact points. The answer may hold a secret and is not kept for replay."""
    now, owner = request.app.state.clock.now(), _recipient(principal)

    async def run(session: AsyncSession) -> StoredAnswer:
        await contacts.replace(
            session,
            actor_of(request, principal),
            now,
            owner,
            body.contacts,
            if_match=if_match,
            channels=configured(request.app.state.settings),
            language=body.language or Language(language_of(request)),
        )
        shown, etag = await contacts.of_owner(session, owner, _webhook_key(request))
        return json_answer(shown.model_dump(mode="json"), 200, {"ETag": etag, **NO_STORE})

    return await change(request, principal, run, replayable=False)


@router.post("/v1/contacts/{contact_id}/verification", status_code=204)
async def verify_contact(
    request: Request,
    contact_id: Annotated[UUID, Path(description="联系方式标识 Contact point id")],
    body: Verification,
    principal: Owner,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """验证联系方式 Enter the code that arrived at a contact point."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        actor = actor_of(request, principal)
        await contacts.verify(session, actor, now, _recipient(principal), contact_id, body.code)
        return StoredAnswer(204, {}, b"")

    return await change(request, principal, run)


@router.get("/v1/notifications", response_model=NotificationPage)
async def list_notifications(
    request: Request,
    principal: Overseer,
    state: Annotated[NotificationState | None, Query(description="状态")] = None,
    cursor: Cursor = None,
    limit: Limit = paging.DEFAULT_LIMIT,
) -> NotificationPage:
    """通知送达情况 What an agency owed, or all that was owed, with every attempt; never the texts."""
    async with request.app.state.database.transaction() as session:
        rows = await store.page(session, principal.agency_uscc, state, paging.place_of(cursor, paging.BY_MOMENT), limit)
        shown, following = _cut(rows, limit)
        attempts = await store.deliveries_of(session, shown)
    found = [_overseen(row, attempts[row.id]) for row in shown]
    return NotificationPage(notifications=found, next_cursor=following)


Run = Callable[[AsyncSession], Awaitable[Notification]]


async def _answer(request: Request, principal: Principal, run: Run) -> Response:
    async def ran(session: AsyncSession) -> StoredAnswer:
        row = await run(session)
        await session.flush()
        return json_answer(_overseen(row, await store.deliveries(session, row)).model_dump(mode="json"))

    return await change(request, principal, ran)


@router.post("/v1/notifications/{notification_id}/retry", response_model=NotificationRead)
async def retry_notification(
    request: Request, notification_id: Id, principal: Overseer, idempotency_key: IdempotencyKey = None
) -> Response:
    """重新发送 Send a failed notification anew."""
    now, actor = request.app.state.clock.now(), actor_of(request, principal)
    return await _answer(request, principal, lambda session: commands.retry(session, actor, now, notification_id))


@router.post("/v1/notifications/{notification_id}/service", response_model=NotificationRead)
async def record_service(
    request: Request,
    notification_id: Id,
    body: PaperService,
    principal: Server,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """登记纸质送达 Record that the issuing agency served the notice on paper."""
    now, actor = request.app.state.clock.now(), actor_of(request, principal)
    return await _answer(
        request, principal, lambda session: commands.record_service(session, actor, now, notification_id, body)
    )
