"""Build and append audit events.

The bytes are RFC 8785 canonical JSON. An event holds only strings, integers, nulls and objects with ASCII keys, and for
those orjson with sorted keys writes exactly what RFC 8785 asks (the tests hold it against another implementation).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.audit.models import AuditEvent
from credit_service.platform.context import Actor
from credit_service.platform.days import rfc3339

SCHEMA = "audit-event/1"


def canonical_json(value: Any) -> bytes:
    """RFC 8785 bytes of a value without floating-point numbers, with ASCII keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def commitment(salt: bytes, content: bytes) -> bytes:
    """SHA-256 over a 32-byte salt and the content: erasing salt and content later leaves every proof valid."""
    return hashlib.sha256(salt + content).digest()


def new_salt() -> bytes:
    return os.urandom(32)


def canonical_event(
    *,
    event_id: UUID,
    occurred_at: datetime,
    action: str,
    uscc: str,
    subject_type: str,
    subject_id: str,
    version: int,
    actor: Actor,
    before: bytes | None,
    after: bytes | None,
    reason: str | None,
) -> bytes:
    """The bytes that are stored and, later, hashed into the log. Digests are lower-case hexadecimal."""
    return canonical_json(
        {
            "action": action,
            "actor": actor.id,
            "after": after.hex() if after else None,
            "agency": actor.agency_uscc,
            "before": before.hex() if before else None,
            "id": str(event_id),
            "occurred_at": rfc3339(occurred_at),
            "reason": reason,
            "request_id": actor.request_id,
            "schema": SCHEMA,
            "subject": {"id": subject_id, "type": subject_type, "uscc": uscc, "version": version},
        }
    )


def new_event(
    actor: Actor,
    occurred_at: datetime,
    action: str,
    *,
    uscc: str,
    subject_type: str,
    subject_id: str,
    version: int = 1,
    before: bytes | None = None,
    after: bytes | None = None,
    reason: str | None = None,
) -> AuditEvent:
    """One event, ready to be added to the transaction of the change it describes."""
    event_id = uuid7()
    canonical = canonical_event(
        event_id=event_id,
        occurred_at=occurred_at,
        action=action,
        uscc=uscc,
        subject_type=subject_type,
        subject_id=subject_id,
        version=version,
        actor=actor,
        before=before,
        after=after,
        reason=reason,
    )
    return AuditEvent(
        uscc=uscc,
        id=event_id,
        occurred_at=occurred_at,
        action=action,
        subject_type=subject_type,
        subject_id=subject_id,
        actor=actor.id,
        canonical=canonical,
    )


def append(session: AsyncSession, events: Iterable[AuditEvent]) -> None:
    """Add events to the caller's transaction; they are written with its change or not at all."""
    session.add_all(events)
