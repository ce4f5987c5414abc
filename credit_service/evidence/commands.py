"""Use cases of attachments, each in the caller's transaction. Whoever calls has judged who may."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.audit import events
from credit_service.evidence import rules, store
from credit_service.evidence.models import Attachment
from credit_service.evidence.vault import Received, Vault
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.errors import NOT_FOUND, Problem

SUBJECT_TYPE = "attachment"
ADDED = "attachment.added"
REMOVED = "attachment.removed"
ORPHANED_AFTER = timedelta(days=1)
_LOOKED_AT_ONCE = 500
_BLOB = re.compile(r"([0-9a-f]{64})(?:\.([a-z0-9-]+))?")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a file is given to: a case of the entity ``uscc``."""

    uscc: str
    type: str
    id: UUID


async def add(
    session: AsyncSession,
    vault: Vault,
    actor: Actor,
    now: datetime,
    subject: Subject,
    received: Received,
    file_name: str | None,
) -> tuple[Attachment, bool]:
    """Add a file to a case; gives it and whether it is new: the case holds the same content once.

    Raises ``TOO_MANY_ATTACHMENTS``.
    """
    await store.hold_content(session, received.digest)
    await vault.keep(received)  # it was kept before; again, in case it was collected as an orphan meanwhile
    present = await store.of_subject(session, subject.uscc, subject.type, subject.id)
    for attachment in present:
        if attachment.digest == received.digest:
            return attachment, False
    if len(present) >= vault.max_files:
        raise Problem(rules.TOO_MANY_ATTACHMENTS, extra={"most": vault.max_files})
    attachment = Attachment(
        uscc=subject.uscc,
        id=uuid7(),
        subject_type=subject.type,
        subject_id=subject.id,
        digest=received.digest,
        key_id=received.key_id,
        size=received.size,
        media_type=received.media_type,
        file_name=rules.safe_name(file_name, received.media_type),
        uploaded_by=actor.id,
        uploaded_at=now,
        salt=events.new_salt(),
    )
    session.add(attachment)
    _note(session, actor, now, attachment, ADDED, None)
    return attachment, True


async def listed(session: AsyncSession, subject: Subject) -> Sequence[Attachment]:
    return await store.of_subject(session, subject.uscc, subject.type, subject.id)


async def found(session: AsyncSession, subject: Subject, attachment_id: UUID) -> Attachment:
    """One file of a case. Raises ``NOT_FOUND`` for another case's."""
    attachment = await session.get(Attachment, (subject.uscc, attachment_id))
    if attachment is None or (attachment.subject_type, attachment.subject_id) != (subject.type, subject.id):
        raise Problem(NOT_FOUND)
    return attachment


async def remove(
    session: AsyncSession, actor: Actor, now: datetime, subject: Subject, attachment_id: UUID, reason: str | None = None
) -> None:
    """Take a file from a case: its name goes with the row, its content with the next collection.

    Raises ``NOT_FOUND``.
    """
    attachment = await found(session, subject, attachment_id)
    _note(session, actor, now, attachment, REMOVED, reason)
    await session.delete(attachment)


def _note(
    session: AsyncSession, actor: Actor, now: datetime, attachment: Attachment, action: str, reason: str | None
) -> None:
    """The audit event, which commits to the file and its name without telling either."""
    content = events.canonical_json(
        {
            "digest": attachment.digest.hex(),
            "file_name": attachment.file_name,
            "media_type": attachment.media_type,
            "size": attachment.size,
            "subject": {"id": str(attachment.subject_id), "type": attachment.subject_type},
        }
    )
    committed = events.commitment(attachment.salt, content)
    event = events.new_event(
        actor,
        now,
        action,
        uscc=attachment.uscc,
        subject_type=SUBJECT_TYPE,
        subject_id=str(attachment.id),
        before=committed if action == REMOVED else None,
        after=committed if action == ADDED else None,
        reason=reason,
    )
    events.append(session, [event])


async def collect(database: Database, vault: Vault, now: datetime) -> int:
    """Delete content that no attachment has and that was stored a day ago or earlier; gives how many blobs.

    Uploads that were cut off leave nothing but, after a kill, a file in the spool folder: those go as well.
    """
    before, removed = now - ORPHANED_AFTER, vault.clear_spool(now - ORPHANED_AFTER)
    batch: list[str] = []
    async for name, stored_at in vault.blobs.names():
        if stored_at <= before and _BLOB.fullmatch(name):
            batch.append(name)
        if len(batch) >= _LOOKED_AT_ONCE:
            removed += await _collect(database, vault, batch)
            batch = []
    return removed + await _collect(database, vault, batch)


def _content_of(name: str) -> tuple[bytes, str | None]:
    parts = _BLOB.fullmatch(name)
    assert parts is not None
    return bytes.fromhex(parts[1]), parts[2]


async def _collect(database: Database, vault: Vault, names: Sequence[str]) -> int:
    async with database.transaction() as session:
        kept = await store.named(session, [_content_of(name)[0] for name in names])
    removed = 0
    for name in names:
        content = _content_of(name)
        if content in kept:
            continue
        async with database.transaction() as session:
            await store.hold_content(session, content[0])
            if content not in await store.named(session, [content[0]]):
                await vault.blobs.delete(name)
                removed += 1
    return removed
