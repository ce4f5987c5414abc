"""The audit event: one a change, in the change's transaction, as canonical bytes that are never re-derived."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, DateTime, LargeBinary, Text
from sqlmodel import Field, SQLModel

from credit_service.platform.columns import code_column, uscc_column

SYSTEM_SUBJECT = "0" * 18
"""Leading key of events that belong to no entity (keys, clients)."""


class AuditEvent(SQLModel, table=True):
    """Append-only: the service's role has INSERT and SELECT here, nothing else."""

    __tablename__ = "audit_event"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    occurred_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    action: str = Field(sa_column=code_column())
    subject_type: str = Field(sa_column=code_column())
    subject_id: str = Field(sa_column=code_column())
    actor: str = Field(sa_column=Column(Text, nullable=False))
    canonical: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
