"""SQL of notifications."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.notifications.models import Contact, Notification, NotificationDelivery
from credit_service.notifications.rules import Channel, DeliveryState


async def add(session: AsyncSession, notification: Notification) -> bool:
    """Insert unless one with its dedupe key is there; tells whether this one is. A concurrent twin is waited for."""
    statement = insert(Notification).values(**notification.model_dump()).on_conflict_do_nothing()
    return (await session.execute(statement.returning(col(Notification.id)))).scalar_one_or_none() is not None


async def by_dedupe_key(session: AsyncSession, uscc: str, dedupe_key: str) -> Notification:
    statement = select(Notification).where(col(Notification.uscc) == uscc, col(Notification.dedupe_key) == dedupe_key)
    return (await session.execute(statement)).scalar_one()


async def by_id(session: AsyncSession, notification_id: UUID, *, lock: bool = False) -> Notification | None:
    statement = select(Notification).where(col(Notification.id) == notification_id)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    return (await session.execute(statement)).scalar_one_or_none()


async def claim(session: AsyncSession, notification_id: UUID) -> bool:
    """Take the sending of a notification for this transaction. A killed sender's claim ends with its connection."""
    key = int.from_bytes(notification_id.bytes[8:], signed=True)
    statement = text("SELECT pg_try_advisory_xact_lock(:key)")
    return bool((await session.execute(statement, {"key": key})).scalar_one())


async def deliveries(session: AsyncSession, notification: Notification) -> Sequence[NotificationDelivery]:
    """Every attempt and service, the first one first."""
    statement = (
        select(NotificationDelivery)
        .where(
            col(NotificationDelivery.uscc) == notification.uscc,
            col(NotificationDelivery.notification_id) == notification.id,
        )
        .order_by(col(NotificationDelivery.attempt))
    )
    return (await session.execute(statement)).scalars().all()


async def deliveries_of(
    session: AsyncSession, notifications: Sequence[Notification]
) -> dict[UUID, list[NotificationDelivery]]:
    """The attempts of a page of notifications."""
    keys = [(row.uscc, row.id) for row in notifications]
    place = tuple_(col(NotificationDelivery.uscc), col(NotificationDelivery.notification_id))
    statement = select(NotificationDelivery).where(place.in_(keys)).order_by(col(NotificationDelivery.attempt))
    found: dict[UUID, list[NotificationDelivery]] = {row.id: [] for row in notifications}
    for row in (await session.execute(statement)).scalars():
        found[row.notification_id].append(row)
    return found


async def due(session: AsyncSession, now: datetime, limit: int) -> Sequence[UUID]:
    """Notifications with an attempt due, the longest waiting first."""
    statement = (
        select(col(Notification.id))
        .where(col(Notification.next_attempt_at) <= now)
        .order_by(col(Notification.next_attempt_at))
        .limit(limit)
    )
    return (await session.execute(statement)).scalars().all()


async def contacts(session: AsyncSession, kind: str, uscc: str, *, lock: bool = False) -> Sequence[Contact]:
    """The contact points in use, in the order they were made."""
    statement = (
        select(Contact)
        .where(col(Contact.uscc) == uscc, col(Contact.kind) == kind, col(Contact.removed_at).is_(None))
        .order_by(col(Contact.created_at), col(Contact.id))
    )
    if lock:
        statement = statement.with_for_update()
    return (await session.execute(statement)).scalars().all()


async def lock_contacts(session: AsyncSession, uscc: str) -> None:
    """One change of an owner's contact points at a time, also of the first ones."""
    await session.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended('contact ' || :uscc, 0))"), {"uscc": uscc}
    )


async def service(
    session: AsyncSession,
    case_uscc: str,
    case_type: str,
    case_id: UUID,
    template: str,
    recipient: tuple[str, str],
    now: datetime,
) -> NotificationDelivery | None:
    """The earliest delivery of a case's notice that counts as service and has come by ``now``."""
    statement = (
        select(NotificationDelivery)
        .join(
            Notification,
            and_(
                col(NotificationDelivery.uscc) == col(Notification.uscc),
                col(NotificationDelivery.notification_id) == col(Notification.id),
            ),
        )
        .where(
            col(Notification.uscc) == case_uscc,
            col(Notification.case_type) == case_type,
            col(Notification.case_id) == case_id,
            col(Notification.template) == template,
            tuple_(col(Notification.recipient_type), col(Notification.recipient)) == recipient,
            col(NotificationDelivery.counts_as_service),
            col(NotificationDelivery.state).in_((DeliveryState.SENT.value, DeliveryState.DELIVERED.value)),
            col(NotificationDelivery.at) <= now,
        )
        .order_by(col(NotificationDelivery.at), col(NotificationDelivery.attempt))
        .limit(1)
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def was_told(
    session: AsyncSession,
    case_uscc: str,
    case_type: str,
    case_id: UUID,
    template: str,
    recipients: Collection[tuple[str, str]],
    now: datetime,
) -> bool:
    """Whether the newest notice of a kind to one of the recipients was read, taken by a carrier or served by now."""
    latest = (
        select(Notification)
        .where(
            col(Notification.uscc) == case_uscc,
            col(Notification.case_type) == case_type,
            col(Notification.case_id) == case_id,
            col(Notification.template) == template,
            tuple_(col(Notification.recipient_type), col(Notification.recipient)).in_(list(recipients)),
        )
        .ext(distinct_on(col(Notification.recipient)))
        .order_by(col(Notification.recipient), col(Notification.created_at).desc(), col(Notification.id).desc())
        .subquery()
    )
    delivery = NotificationDelivery
    reached = exists().where(
        col(delivery.uscc) == latest.c.uscc,
        col(delivery.notification_id) == latest.c.id,
        col(delivery.state).in_((DeliveryState.SENT.value, DeliveryState.DELIVERED.value)),
        col(delivery.at) <= now,
        or_(col(delivery.channel) != Channel.INBOX.value, col(delivery.counts_as_service)),
    )
    told = select(latest.c.id).where(or_(latest.c.read_at <= now, reached))
    return (await session.execute(told.limit(1))).first() is not None


async def of_case(session: AsyncSession, uscc: str, case_type: str, case_id: UUID) -> Sequence[Notification]:
    """A case's notifications, held."""
    statement = (
        select(Notification)
        .where(
            col(Notification.uscc) == uscc,
            col(Notification.case_type) == case_type,
            col(Notification.case_id) == case_id,
        )
        .order_by(col(Notification.id))
        .with_for_update()
    )
    return (await session.execute(statement)).scalars().all()


def _inbox(recipient_type: str, recipient: str) -> list[ColumnElement[bool]]:
    return [
        col(Notification.recipient_type) == recipient_type,
        col(Notification.recipient) == recipient,
        col(Notification.contact_id).is_(None),
    ]


async def unread(session: AsyncSession, recipient_type: str, recipient: str) -> int:
    statement = select(func.count()).where(*_inbox(recipient_type, recipient), col(Notification.read_at).is_(None))
    return int((await session.execute(statement)).scalar_one())


async def inbox(
    session: AsyncSession, recipient_type: str, recipient: str, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Notification]:
    """Newest first, ``limit`` + 1 rows."""
    return await _page(session, _inbox(recipient_type, recipient), after, limit)


async def page(
    session: AsyncSession, agency: str | None, state: str | None, after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Notification]:
    """Newest first, ``limit`` + 1 rows; of one issuing agency, or of all."""
    conditions: list[ColumnElement[bool]] = []
    if agency is not None:
        conditions.append(col(Notification.agency_uscc) == agency)
    if state is not None:
        conditions.append(col(Notification.state) == state)
    return await _page(session, conditions, after, limit)


async def _page(
    session: AsyncSession, conditions: list[ColumnElement[bool]], after: tuple[datetime, UUID] | None, limit: int
) -> Sequence[Notification]:
    created, identifier = col(Notification.created_at), col(Notification.id)
    if after is not None:
        moment, last = after
        conditions.append(or_(created < moment, and_(created == moment, identifier < last)))
    statement = select(Notification).where(*conditions).order_by(created.desc(), identifier.desc()).limit(limit + 1)
    return (await session.execute(statement)).scalars().all()
