"""Sending what is owed: at least once, one sender at a time, every attempt on record before it is made.

A sender claims a notification with an advisory lock, which ends with its connection however the sender ends. It enters
the attempts it is about to make and commits them, speaks to the carriers, and enters what they said. Whoever finds an
attempt still ``sending`` while holding the claim knows that its sender died: the attempt counts, and the next one
carries the same message id.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.notifications import commands, rules, store
from credit_service.notifications.channels import Carriers, Message, Outcome, failed
from credit_service.notifications.models import Contact, Notification, NotificationDelivery
from credit_service.notifications.rules import Channel, DeliveryState, NotificationState, Track
from credit_service.platform.clock import Clock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database

logger = structlog.get_logger(__name__)

DUE_AT_ONCE = 1000


async def wake_due(database: Database, now: datetime) -> int:
    """Leave jobs for what is due: retries whose time has come, and what a killed worker left behind."""
    async with database.transaction() as session:
        due = await store.due(session, now, DUE_AT_ONCE)
        for notification_id in due:
            await commands.wake(session, notification_id)
    return len(due)


async def send(database: Database, carriers: Carriers, clock: Clock, base_url: str, notification_id: UUID) -> None:
    """Make the attempts that are due for one notification. Another sender at work on it makes this one step back."""
    async with database.transaction() as held:
        if not await store.claim(held, notification_id):
            return
        async with database.transaction() as session:
            attempts = await _begin(session, clock.now(), notification_id, base_url)
        outcomes = await asyncio.gather(
            *(_carry(carriers, channel, message, clock) for channel, message, _ in attempts)
        )
        numbers = [number for _, _, number in attempts]
        await _finish(held, clock.now(), notification_id, dict(zip(numbers, outcomes, strict=True)))


Attempt = tuple[Channel, Message, int]


async def _begin(session: AsyncSession, now: datetime, notification_id: UUID, base_url: str) -> list[Attempt]:
    """Enter the attempts that are due now."""
    notification = await store.by_id(session, notification_id)
    if notification is None or notification.next_attempt_at is None:
        return []
    made = list(await store.deliveries(session, notification))
    newest = max(made, key=lambda row: row.attempt).attempt if made else 0
    begun: list[Attempt] = []
    for contact in await _targets(session, notification):
        tried = _tries(made, notification, contact)
        if tried and tried[-1].state == DeliveryState.SENDING:
            _enter(tried[-1], failed("interrupted"), len(tried), now, at_once=True)
        if tried and (tried[-1].next_attempt_at is None or tried[-1].next_attempt_at > now):
            continue
        newest += 1
        session.add(_sending(notification, contact, newest, now))
        begun.append((Channel(contact.channel), _message(notification, contact, base_url), newest))
    return begun


async def _targets(session: AsyncSession, notification: Notification) -> list[Contact]:
    """Where a notification goes besides the inbox: verified contact points, or the one to be verified."""
    contacts = await store.contacts(session, notification.recipient_type, notification.recipient)
    if notification.contact_id is not None:
        return [contact for contact in contacts if contact.id == notification.contact_id]
    return [contact for contact in contacts if contact.verified_at and contact.channel != Channel.INBOX]


def _tries(
    made: Sequence[NotificationDelivery], notification: Notification, contact: Contact
) -> list[NotificationDelivery]:
    """The attempts at a contact point that count: a retry by hand forgets the failures before it."""
    return [
        row
        for row in made
        if row.contact_id == contact.id
        and (row.attempt > notification.retried_after or row.state != DeliveryState.FAILED)
    ]


def _sending(notification: Notification, contact: Contact, attempt: int, now: datetime) -> NotificationDelivery:
    agreed = contact.service_consent_at is not None and contact.service_consent_at <= now
    return NotificationDelivery(
        uscc=notification.uscc,
        notification_id=notification.id,
        attempt=attempt,
        channel=contact.channel,
        contact_id=contact.id,
        state=DeliveryState.SENDING.value,
        at=now,
        counts_as_service=agreed,
    )


def _message(notification: Notification, contact: Contact, base_url: str) -> Message:
    return Message(
        message_id=rules.message_id(notification.uscc, notification.dedupe_key),
        contact_id=contact.id,
        address=contact.address,
        subject=notification.subject,
        text=f"{notification.announcement}\n{base_url}",
        language=notification.language,
        template=notification.template,
        notification_id=notification.id,
        case_type=notification.case_type,
        case_id=notification.case_id,
        case_reference=notification.case_reference,
        owed_at=notification.created_at,
    )


async def _carry(carriers: Carriers, channel: Channel, message: Message, clock: Clock) -> Outcome:
    carrier = carriers.get(channel)
    if carrier is None:
        return failed("channel not configured")
    try:
        return await carrier.send(message, clock.now())
    except Exception as error:  # a mistake in one carrier must not keep the outcomes of the others from being entered
        logger.error("carrier failed", channel=channel.value, error_type=type(error).__name__, exc_info=error)
        return failed(f"carrier: {type(error).__name__}")


def _enter(row: NotificationDelivery, outcome: Outcome, tries: int, now: datetime, *, at_once: bool = False) -> None:
    row.state, row.at, row.detail = outcome.state.value, now, {"answer": outcome.detail}
    row.next_attempt_at = None
    if outcome.state is DeliveryState.FAILED and not outcome.permanent and tries < rules.MOST_ATTEMPTS:
        row.next_attempt_at = now if at_once else now + rules.delay_after(tries, random.random())  # noqa: S311


async def _finish(session: AsyncSession, now: datetime, notification_id: UUID, outcomes: dict[int, Outcome]) -> None:
    """Enter what the carriers said and where the notification stands now."""
    notification = await store.by_id(session, notification_id, lock=True)
    if notification is None:
        return
    made = await store.deliveries(session, notification)
    tracks = []
    for contact in await _targets(session, notification):
        tried = _tries(made, notification, contact)
        if tried and tried[-1].attempt in outcomes:
            _enter(tried[-1], outcomes.pop(tried[-1].attempt), len(tried), now)
        if tried:
            tracks.append(Track(DeliveryState(tried[-1].state), tried[-1].next_attempt_at))
        else:
            tracks.append(Track(DeliveryState.FAILED, now))  # verified meanwhile: its turn is next
    for row in made:  # of contact points removed meanwhile
        if row.attempt in outcomes:
            _enter(row, outcomes[row.attempt], rules.MOST_ATTEMPTS, now)
    if notification.next_attempt_at is not None:
        _settle(session, notification, tracks, now)


def _settle(session: AsyncSession, notification: Notification, tracks: list[Track], now: datetime) -> None:
    state, next_attempt_at = rules.settle(tracks)
    if not tracks and notification.contact_id is not None:
        state = NotificationState.CANCELLED  # the contact point to be verified is gone
    notification.next_attempt_at = next_attempt_at
    if notification.state not in (state, NotificationState.DELIVERED):  # what was read stays delivered
        commands.change_state(notification, now, state)
        actor = Actor("system", f"{commands.JOB} {notification.id}")
        commands.note(session, actor, now, notification, f"notification.{state.value}")
        log = logger.warning if state is NotificationState.FAILED else logger.info
        log("notification", id=str(notification.id), template=notification.template, state=state.value)
