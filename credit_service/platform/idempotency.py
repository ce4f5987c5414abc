"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): the first answer is stored and replayed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import JSON, Column, LargeBinary, SmallInteger, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import Field, SQLModel, col

from credit_service.platform.columns import code_column, instant_column
from credit_service.platform.errors import FieldError, Problem, ProblemType

IDEMPOTENCY_KEY_REUSED = ProblemType(
    "idempotency-key-reused", 422, "幂等键已用于另一请求", "The Idempotency-Key was used for a different request"
)
IDEMPOTENCY_KEY_INVALID = ProblemType(
    "idempotency-key-invalid", 400, "幂等键格式错误", "The Idempotency-Key is malformed"
)

KEPT = timedelta(hours=24)
LONGEST_KEY = 128
POINTER = "header:Idempotency-Key"


class IdempotencyKey(SQLModel, table=True):
    """The answer already given to a request, replayed when the same request comes again."""

    __tablename__ = "idempotency_key"

    principal: str = Field(sa_column=code_column(primary_key=True))
    key: str = Field(sa_column=code_column(primary_key=True))
    request_digest: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    status: int = Field(sa_column=Column(SmallInteger, nullable=False))
    headers: dict[str, str] = Field(sa_column=Column(JSON, nullable=False))
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = Field(sa_column=instant_column())


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as it was first given."""

    status: int
    headers: dict[str, str]
    body: bytes


def checked_key(value: str | None) -> str | None:
    """The header's value, or ``None`` when absent. Raises ``IDEMPOTENCY_KEY_INVALID``."""
    if value is None:
        return None
    key = value.strip().strip('"')
    if not key or len(key) > LONGEST_KEY or not key.isascii() or not key.isprintable():
        detail = f"1 to {LONGEST_KEY} printable ASCII characters"
        raise Problem(IDEMPOTENCY_KEY_INVALID, errors=[FieldError(POINTER, "format", detail)])
    return key


def request_digest(method: str, path: str, body: bytes) -> bytes:
    return hashlib.sha256(b"\0".join((method.encode(), path.encode(), body))).digest()


async def claim(
    session: AsyncSession, *, principal: str, key: str, digest: bytes, now: datetime
) -> StoredAnswer | None:
    """Take the key for this transaction, or give the answer it already stands for.

    Two requests with one key queue here: the second waits for the first one's commit and then finds its answer; if the
    first rolled back, the second takes the key. Raises ``IDEMPOTENCY_KEY_REUSED`` when the stored request was another.
    """
    claimed = await session.execute(
        insert(IdempotencyKey)
        .values(principal=principal, key=key, request_digest=digest, status=0, headers={}, body=b"", created_at=now)
        .on_conflict_do_nothing()
    )
    if claimed.rowcount:  # type: ignore[attr-defined]
        return None
    row = (
        await session.execute(
            select(IdempotencyKey).where(col(IdempotencyKey.principal) == principal, col(IdempotencyKey.key) == key)
        )
    ).scalar_one()
    if row.request_digest != digest:
        raise Problem(IDEMPOTENCY_KEY_REUSED, errors=[FieldError(POINTER, "same key, other request")])
    return StoredAnswer(row.status, row.headers, row.body)


async def remember(session: AsyncSession, *, principal: str, key: str, answer: StoredAnswer) -> None:
    """Store the answer beside the change it belongs to."""
    row = await session.get_one(IdempotencyKey, (principal, key))
    row.status, row.headers, row.body = answer.status, answer.headers, answer.body


async def forget_before(session: AsyncSession, instant: datetime) -> None:
    """Drop keys older than ``instant``; a repeat after that is judged by the natural key alone."""
    await session.execute(delete(IdempotencyKey).where(col(IdempotencyKey.created_at) < instant))
