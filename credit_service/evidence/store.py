"""SQL of attachments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.evidence.models import Attachment


async def hold_content(session: AsyncSession, digest: bytes) -> None:
    """Keep everybody else from adding or collecting this content until the transaction's end."""
    key = int.from_bytes(digest[:8], signed=True)
    await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


async def of_subject(session: AsyncSession, uscc: str, subject_type: str, subject_id: UUID) -> Sequence[Attachment]:
    """A case's files in the order they came."""
    statement = (
        select(Attachment)
        .where(
            col(Attachment.uscc) == uscc,
            col(Attachment.subject_type) == subject_type,
            col(Attachment.subject_id) == subject_id,
        )
        .order_by(col(Attachment.id))
    )
    return (await session.execute(statement)).scalars().all()


async def named(session: AsyncSession, digests: Iterable[bytes]) -> set[tuple[bytes, str | None]]:
    """Which of these contents some attachment has, each with the key that sealed it."""
    statement = select(col(Attachment.digest), col(Attachment.key_id)).where(col(Attachment.digest).in_(list(digests)))
    return {(digest, key_id) for digest, key_id in (await session.execute(statement)).all()}
