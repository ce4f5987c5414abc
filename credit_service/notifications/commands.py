"""Use cases of notifications, each in the caller's transaction: nothing is sent before its commit."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.audit import events
from credit_service.notifications import rendering, rules, store
from credit_service.notifications.models import Contact, Notification, NotificationDelivery, PaperService
from credit_service.notifications.rules import (
    Channel,
    DeliveryState,
    Language,
    NotificationState,
    Proof,
    RecipientType,
    ServiceMeans,
    Template,
)
from credit_service.platform import jobs
from credit_service.platform.context import Actor
from credit_service.platform.days import day_of, start_of
from credit_service.platform.errors import INVALID_REQUEST, NOT_FOUND, FieldError, Problem

SUBJECT_TYPE = "notification"
JOB = "send-notification"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who is told: an entity or an agency, by its code."""

    type: RecipientType
    uscc: str

    @classmethod
    def entity(cls, uscc: str) -> Recipient:
        return cls(RecipientType.ENTITY, uscc)

    @classmethod
    def agency(cls, uscc: str) -> Recipient:
        return cls(RecipientType.AGENCY, uscc)


@dataclass(frozen=True, slots=True)
class Case:
    """What a notification is about: a case of the entity ``uscc``. ``reference`` is all that others are told of it."""

    uscc: str
    type: str
    id: UUID
    reference: str


async def owe(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    recipient: Recipient,
    template: Template,
    case: Case,
    data: Mapping[str, rendering.Value],
    dedupe_key: str,
) -> Notification:
    """Owe a recipient a notification; one with this dedupe key for the entity is owed once, whoever asks again.

    With the caller's commit it is in the recipient's inbox, and a job that sends it to verified contact points exists.
    It is in the recipient's language; the actor's agency is the issuer. Raises ``TemplateError`` when ``data`` is not
    what the template declares.
    """
    contacts = await store.contacts(session, recipient.type.value, recipient.uscc)
    notification = _new(actor, now, recipient, template, case, language_among(contacts), data, dedupe_key)
    if any(contact.verified_at and contact.channel != Channel.INBOX for contact in contacts):
        notification.next_attempt_at = now
    else:
        notification.state = NotificationState.DELIVERED.value
    if not await store.add(session, notification):
        return await store.by_dedupe_key(session, case.uscc, dedupe_key)
    agreed = any(contact.channel == Channel.INBOX and contact.service_consent_at for contact in contacts)
    session.add(_delivered(notification, 1, Channel.INBOX, now, counts_as_service=agreed))
    note(session, actor, now, notification, "notification.owed")
    if notification.next_attempt_at is not None:
        await wake(session, notification.id)
    return notification


def language_among(contacts: Sequence[Contact]) -> Language:
    """The language that an owner stated with its contact points; Chinese for one without any."""
    return Language(contacts[-1].language) if contacts else Language.ZH


async def language_of(session: AsyncSession, recipient: Recipient) -> Language:
    """The language of a recipient's notices, for a text that is made before it is owed."""
    return language_among(await store.contacts(session, recipient.type.value, recipient.uscc))


async def owe_to_contact(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    recipient: Recipient,
    contact_id: UUID,
    language: Language,
    data: Mapping[str, rendering.Value],
    dedupe_key: str,
) -> None:
    """Owe one contact point the message that verifies it; it is in no inbox."""
    case = Case(recipient.uscc, "contact", contact_id, str(contact_id))
    template = Template.CONTACT_VERIFICATION
    notification = _new(actor, now, recipient, template, case, language, data, dedupe_key)
    notification.contact_id, notification.next_attempt_at = contact_id, now
    if await store.add(session, notification):
        note(session, actor, now, notification, "notification.owed")
        await wake(session, notification.id)


def _new(
    actor: Actor,
    now: datetime,
    recipient: Recipient,
    template: Template,
    case: Case,
    language: Language,
    data: Mapping[str, rendering.Value],
    dedupe_key: str,
) -> Notification:
    rendered = rendering.render(template, language, case.reference, data)
    return Notification(
        uscc=case.uscc,
        id=uuid7(),
        case_type=case.type,
        case_id=case.id,
        case_reference=case.reference,
        template=template.value,
        language=language.value,
        recipient_type=recipient.type.value,
        recipient=recipient.uscc,
        agency_uscc=actor.agency_uscc,
        dedupe_key=dedupe_key,
        subject=rendered.subject,
        announcement=rendered.announcement,
        body=rendered.body,
        salt=events.new_salt(),
        state=NotificationState.OWED.value,
        retried_after=0,
        created_at=now,
        changed_at=now,
    )


def _delivered(
    notification: Notification,
    attempt: int,
    channel: Channel,
    at: datetime,
    *,
    counts_as_service: bool,
    detail: dict[str, str] | None = None,
) -> NotificationDelivery:
    return NotificationDelivery(
        uscc=notification.uscc,
        notification_id=notification.id,
        attempt=attempt,
        channel=channel.value,
        state=DeliveryState.DELIVERED.value,
        at=at,
        counts_as_service=counts_as_service,
        detail=detail or {},
    )


async def wake(session: AsyncSession, notification_id: UUID) -> None:
    """Leave a job that sends the notification once the caller's transaction has committed."""
    await jobs.enqueue(session, JOB, notification_id.bytes, once=str(notification_id))


def note(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    notification: Notification,
    action: str,
    reason: str | None = None,
) -> None:
    """Add the audit event of a change; it commits to the text without telling it."""
    content = events.canonical_json(
        {name: getattr(notification, name) for name in ("recipient", "template", "subject", "body", "state")}
    )
    event = events.new_event(
        actor,
        now,
        action,
        uscc=notification.uscc,
        subject_type=SUBJECT_TYPE,
        subject_id=str(notification.id),
        after=events.commitment(notification.salt, content),
        reason=reason,
    )
    events.append(session, [event])


def change_state(notification: Notification, now: datetime, state: NotificationState) -> None:
    notification.state, notification.changed_at = state.value, now


async def read(
    session: AsyncSession, actor: Actor, now: datetime, reader: Recipient, notification_id: UUID
) -> Notification:
    """Enter that the recipient has read a notification, which proves its receipt. Raises ``NOT_FOUND`` for others'."""
    notification = await store.by_id(session, notification_id, lock=True)
    if notification is None or notification.contact_id is not None:
        raise Problem(NOT_FOUND)
    if (notification.recipient_type, notification.recipient) != (reader.type, reader.uscc):
        raise Problem(NOT_FOUND)
    if notification.read_at is None:
        notification.read_at = now
        if notification.state != NotificationState.CANCELLED:
            change_state(notification, now, NotificationState.DELIVERED)
        note(session, actor, now, notification, "notification.read")
    return notification


async def cancel(session: AsyncSession, actor: Actor, now: datetime, case: Case, reason: str) -> int:
    """Send nothing more of a case that has ended otherwise; gives how many notifications were still owed."""
    owed = [
        found
        for found in await store.of_case(session, case.uscc, case.type, case.id)
        if found.state in (NotificationState.OWED, NotificationState.FAILED)
    ]
    for notification in owed:
        change_state(notification, now, NotificationState.CANCELLED)
        notification.next_attempt_at = None
        note(session, actor, now, notification, "notification.cancelled", reason)
    return len(owed)


async def _answered_for(session: AsyncSession, actor: Actor, notification_id: UUID) -> Notification:
    """The notification, held, if the actor's agency issued it or the actor acts for no agency. Raises ``NOT_FOUND``."""
    notification = await store.by_id(session, notification_id, lock=True)
    if notification is None or actor.agency_uscc not in (None, notification.agency_uscc):
        raise Problem(NOT_FOUND)
    return notification


async def retry(session: AsyncSession, actor: Actor, now: datetime, notification_id: UUID) -> Notification:
    """Send a failed notification anew, with all its attempts again. Raises ``NOT_FOUND`` and ``NOT_RETRYABLE``."""
    notification = await _answered_for(session, actor, notification_id)
    if notification.state != NotificationState.FAILED:
        raise Problem(rules.NOT_RETRYABLE, extra={"state": notification.state})
    attempts = await store.deliveries(session, notification)
    notification.retried_after = max((attempt.attempt for attempt in attempts), default=0)
    notification.next_attempt_at = now
    change_state(notification, now, NotificationState.OWED)
    note(session, actor, now, notification, "notification.retried")
    await wake(session, notification.id)
    return notification


async def record_service(
    session: AsyncSession, actor: Actor, now: datetime, notification_id: UUID, body: PaperService
) -> Notification:
    """Record that the issuing agency served a notice on paper. It counts from the day the law deems it served.

    Raises ``NOT_FOUND``, and ``INVALID_REQUEST`` for a day to come.
    """
    if actor.agency_uscc is None:
        raise Problem(NOT_FOUND)
    notification = await _answered_for(session, actor, notification_id)
    if body.served_on > day_of(now):
        raise Problem(INVALID_REQUEST, errors=[FieldError("/served_on", "not after today")])
    counts_from = start_of(rules.deemed_served_on(body.service_means, body.served_on))
    attempts = await store.deliveries(session, notification)
    attempt = max((found.attempt for found in attempts), default=0) + 1
    detail = {"means": body.means, "served_on": body.served_on.isoformat(), "evidence": body.evidence}
    session.add(_delivered(notification, attempt, Channel.PAPER, counts_from, counts_as_service=True, detail=detail))
    if counts_from <= now and notification.state != NotificationState.CANCELLED:
        change_state(notification, now, NotificationState.DELIVERED)
        notification.next_attempt_at = None
    note(session, actor, now, notification, "notification.served", f"{body.means} {body.served_on}")
    return notification


async def proof_of_notice(
    session: AsyncSession, now: datetime, case: Case, template: Template, recipient: Recipient | None = None
) -> Proof | None:
    """Proof that a case's notice was served by ``now``, on the case's own entity unless another recipient is named.

    On paper: as the agency recorded it (行政处罚法 art. 61; 民事诉讼法 arts. 88, 89, 91, 95). Electronically: only at a
    contact point whose owner agreed to it beforehand, when the carrier took the message (行政处罚法 art. 61 para. 2,
    民事诉讼法 art. 90, 法释〔2022〕11号 arts. 135 and 136). An e-mail nobody agreed to proves nothing.
    """
    told = recipient or Recipient.entity(case.uscc)
    found = await store.service(
        session, case.uscc, case.type, case.id, template.value, (told.type.value, told.uscc), now
    )
    if found is None:
        return None
    if found.channel == Channel.PAPER:
        return Proof(found.at, ServiceMeans(found.detail["means"]), found.detail["evidence"])
    evidence = f"{found.channel} {found.notification_id} {found.attempt}"
    return Proof(found.at, ServiceMeans.ELECTRONIC, evidence)


async def was_told(
    session: AsyncSession, now: datetime, case: Case, template: Template, recipients: Collection[Recipient]
) -> bool:
    """Whether one of the recipients has by ``now`` been told the newest of a case's notices of a kind (告知).

    It was when it read the notice in its inbox, a carrier took it for a verified contact point, or it was served. That
    it lies in an inbox whose owner agreed to nothing and never opened it is no proof.
    """
    told = [(recipient.type.value, recipient.uscc) for recipient in recipients]
    return await store.was_told(session, case.uscc, case.type, case.id, template.value, told, now)
