"""Use cases of contact points: an owner states its own, and proves that they are."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.audit import events
from credit_service.notifications import commands, store
from credit_service.notifications.channels.webhook import signing_secret
from credit_service.notifications.commands import Recipient
from credit_service.notifications.models import Contact, ContactRead, ContactsRead, ContactWrite
from credit_service.notifications.rules import (
    CONTACT_CHANNEL_OFF,
    VERIFICATION_FAILED,
    Channel,
    Language,
    check_address,
)
from credit_service.platform.context import Actor
from credit_service.platform.days import SHANGHAI
from credit_service.platform.errors import (
    INVALID_REQUEST,
    NOT_FOUND,
    PRECONDITION_FAILED,
    PRECONDITION_REQUIRED,
    FieldError,
    Problem,
)

CODE_GOOD_FOR = timedelta(hours=24)


async def of_owner(session: AsyncSession, owner: Recipient, webhook_key: str | None) -> tuple[ContactsRead, str]:
    """The owner's contact points, and their ETag."""
    rows = await store.contacts(session, owner.type.value, owner.uscc)
    shown = ContactsRead(contacts=[_read(row, webhook_key) for row in rows], language=commands.language_among(rows))
    digest = hashlib.sha256(shown.model_dump_json(exclude={"contacts": {"__all__": {"signing_secret"}}}).encode())
    return shown, f'"{digest.hexdigest()[:32]}"'


def _read(row: Contact, webhook_key: str | None) -> ContactRead:
    is_signed = row.channel == Channel.WEBHOOK and webhook_key is not None
    return ContactRead(
        id=row.id,
        channel=row.channel,
        address=row.address,
        service_consent=row.service_consent_at is not None,
        service_consent_at=row.service_consent_at,
        verified_at=row.verified_at,
        signing_secret=signing_secret(webhook_key, row.id) if is_signed and webhook_key else None,
    )


async def replace(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    owner: Recipient,
    wanted: list[ContactWrite],
    *,
    if_match: str | None,
    channels: Collection[Channel],
    language: Language,
) -> None:
    """Make the owner's contact points those wanted, and ``language`` that of its notices.

    New ones are sent a code; nothing of a case goes there before.

    Raises ``PRECONDITION_REQUIRED``, ``PRECONDITION_FAILED``, ``INVALID_REQUEST`` and ``CONTACT_CHANNEL_OFF``.
    """
    await store.lock_contacts(session, owner.uscc)
    _, etag = await of_owner(session, owner, None)
    if if_match is None:
        raise Problem(PRECONDITION_REQUIRED, errors=[FieldError("header:If-Match", "required for an update")])
    if if_match.strip() not in ("*", etag):
        raise Problem(PRECONDITION_FAILED, extra={"current": etag})
    _check(wanted, channels)
    rows = {(row.channel, row.address): row for row in await store.contacts(session, owner.type.value, owner.uscc)}
    for contact in wanted:
        row = rows.pop((contact.channel, contact.address), None) or _enter(session, now, owner, contact)
        row.language = language.value
        _consent(row, now, agreed=contact.service_consent)
        await _ask_for_verification(session, actor, now, owner, row, language)
    for row in rows.values():
        row.removed_at = now
    event = events.new_event(
        actor, now, "contacts.changed", uscc=owner.uscc, subject_type="contacts", subject_id=owner.type.value
    )
    events.append(session, [event])
    await session.flush()


def _check(wanted: list[ContactWrite], channels: Collection[Channel]) -> None:
    errors, off = [], []
    seen: set[tuple[str, str]] = set()
    for index, contact in enumerate(wanted):
        channel, pointer = Channel(contact.channel), f"/contacts/{index}"
        errors += check_address(channel, contact.address, f"{pointer}/address")
        if (contact.channel, contact.address) in seen:
            errors.append(FieldError(pointer, "each contact point once"))
        seen.add((contact.channel, contact.address))
        if channel not in channels:
            off.append(FieldError(f"{pointer}/channel", "configured"))
    if errors:
        raise Problem(INVALID_REQUEST, errors=errors)
    if off:
        raise Problem(CONTACT_CHANNEL_OFF, errors=off)


def _enter(session: AsyncSession, now: datetime, owner: Recipient, contact: ContactWrite) -> Contact:
    row = Contact(
        uscc=owner.uscc,
        id=uuid7(),
        kind=owner.type.value,
        channel=contact.channel,
        address=contact.address,
        verified_at=now if Channel(contact.channel) is Channel.INBOX else None,
        created_at=now,
    )
    session.add(row)
    return row


def _consent(row: Contact, now: datetime, *, agreed: bool) -> None:
    """Keep the instant of an agreement that stands: what was sent before it is not served by it."""
    if not agreed:
        row.service_consent_at = None
    elif row.service_consent_at is None:
        row.service_consent_at = now


async def _ask_for_verification(
    session: AsyncSession, actor: Actor, now: datetime, owner: Recipient, row: Contact, language: Language
) -> None:
    if row.verified_at is not None or (row.verification_until is not None and now < row.verification_until):
        return
    row.verification_code = base64.b32encode(secrets.token_bytes(5)).decode()
    row.verification_until = now + CODE_GOOD_FOR
    data = {
        "code": row.verification_code,
        "valid_until": f"{row.verification_until.astimezone(SHANGHAI):%Y-%m-%d %H:%M}",
    }
    key = f"contact-verification {row.id} {row.verification_until.isoformat()}"
    await commands.owe_to_contact(session, actor, now, owner, row.id, language, data, key)


async def verify(
    session: AsyncSession, actor: Actor, now: datetime, owner: Recipient, contact_id: UUID, code: str
) -> None:
    """Enter that the owner read the code at the contact point. Raises ``NOT_FOUND`` and ``VERIFICATION_FAILED``."""
    rows = await store.contacts(session, owner.type.value, owner.uscc, lock=True)
    row = next((row for row in rows if row.id == contact_id), None)
    if row is None:
        raise Problem(NOT_FOUND)
    if row.verified_at is not None:
        return
    expected, until = row.verification_code, row.verification_until
    given = code.strip().upper().encode()
    if expected is None or until is None or now >= until or not secrets.compare_digest(expected.encode(), given):
        raise Problem(VERIFICATION_FAILED, errors=[FieldError("/code", "the newest code sent, within a day")])
    row.verified_at, row.verification_code, row.verification_until = now, None, None
    event = events.new_event(
        actor, now, "contact.verified", uscc=owner.uscc, subject_type="contact", subject_id=str(contact_id)
    )
    events.append(session, [event])
