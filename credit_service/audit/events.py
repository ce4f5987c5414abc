"""Build and append audit events.

The bytes are RFC 8785 canonical JSON. An event holds only strings, integers, nulls and objects with ASCII keys, and for
those orjson with sorted keys writes exactly what RFC 8785 asks (the tests hold it against another implementation).

What happened to what, and when, stands in the bytes. Who did it, under which request, and the reason given stand beside
them, each under a salted commitment: whoever is shown a record can be shown its event without learning who entered it,
and a reason that must be forgotten can be erased without breaking the log.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.audit.models import AuditEvent
from credit_service.platform.context import Actor
from credit_service.platform.days import rfc3339

SCHEMA = "audit-event/2"
MOST_BYTES = 65_535
"""An entry bundle of the log gives the length of an entry in 16 bits."""

COLUMNS = (
    "uscc",
    "id",
    "occurred_at",
    "action",
    "subject_type",
    "subject_id",
    "actor",
    "canonical",
    "attribution",
    "salt",
    "reason",
    "reason_salt",
)
"""Columns of ``audit_event`` in the order of ``row_of``, for COPY."""


def canonical_json(value: Any) -> bytes:
    """RFC 8785 bytes of a value without floating-point numbers, with ASCII keys."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def commitment(salt: bytes, content: bytes) -> bytes:
    """SHA-256 over a 32-byte salt and the content: erasing salt and content later leaves every proof valid."""
    return hashlib.sha256(salt + content).digest()


def new_salt() -> bytes:
    return os.urandom(32)


def attribution_of(actor: Actor) -> bytes:
    """Who acted, for which agency, under which request: canonical JSON, stored beside the event."""
    return canonical_json({"actor": actor.id, "agency": actor.agency_uscc, "request_id": actor.request_id})


def canonical_event(
    *,
    event_id: UUID | str,
    occurred_at: datetime,
    action: str,
    uscc: str,
    subject_type: str,
    subject_id: str,
    version: int,
    attribution: bytes,
    before: bytes | None,
    after: bytes | None,
    reason: bytes | None,
) -> bytes:
    """The bytes that are stored and hashed into the log.

    ``attribution``, ``reason``, ``before`` and ``after`` are commitments, written in lower-case hexadecimal. Raises
    ``ValueError`` when the log could not hold the event.
    """
    canonical = canonical_json(
        {
            "action": action,
            "after": after.hex() if after else None,
            "attribution": attribution.hex(),
            "before": before.hex() if before else None,
            "id": str(event_id),
            "occurred_at": rfc3339(occurred_at),
            "reason": reason.hex() if reason else None,
            "schema": SCHEMA,
            "subject": {"id": subject_id, "type": subject_type, "uscc": uscc, "version": version},
        }
    )
    if len(canonical) > MOST_BYTES:
        raise ValueError(f"an audit event of {len(canonical)} bytes")
    return canonical


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
    attribution, salt = attribution_of(actor), new_salt()
    reason_salt = new_salt() if reason is not None else None
    canonical = canonical_event(
        event_id=event_id,
        occurred_at=occurred_at,
        action=action,
        uscc=uscc,
        subject_type=subject_type,
        subject_id=subject_id,
        version=version,
        attribution=commitment(salt, attribution),
        before=before,
        after=after,
        reason=commitment(reason_salt, reason.encode()) if reason is not None and reason_salt else None,
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
        attribution=attribution,
        salt=salt,
        reason=reason,
        reason_salt=reason_salt,
    )


def row_of(event: AuditEvent) -> tuple[Any, ...]:
    """An event as a row of ``COLUMNS``."""
    return tuple(getattr(event, name) for name in COLUMNS)


@dataclass(frozen=True, slots=True)
class Account:
    """Who did what an event tells of, and why: not in its bytes, but committed to by them."""

    actor: str
    agency_uscc: str | None
    request_id: str
    reason: str | None
    version: int


def account_of(event: AuditEvent) -> Account:
    """The account of an event. One of schema audit-event/1 gives it in its bytes."""
    said = orjson.loads(event.canonical)
    author = orjson.loads(event.attribution) if event.attribution is not None else said
    reason = event.reason if event.attribution is not None else said["reason"]
    return Account(author["actor"], author["agency"], author["request_id"], reason, said["subject"]["version"])


def append(session: AsyncSession, events: Iterable[AuditEvent]) -> None:
    """Add events to the caller's transaction; they are written with its change or not at all."""
    session.add_all(events)
