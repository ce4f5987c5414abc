"""Proof that an answer about a record is what the log holds: for the fields shown, and for no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from credit_service.accounts.rules import Audience
from credit_service.audit import openings
from credit_service.audit.reader import LogReader
from credit_service.platform.errors import FieldError, Problem, ProblemType
from credit_service.platform.times import PointInTime
from credit_service.records.models import Record
from credit_service.records.standing import STANDING, version_fields
from credit_service.records.views import public_members, shared_members

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

PROOF_PENDING = ProblemType(
    "proof-pending", 409, "该版本尚未进入已签名的日志", "No signed head of the log covers this version yet"
)
UNPROVABLE = ProblemType("unprovable", 409, "该版本早于分字段承诺", "The version is older than commitments by field")
RETRY_SECONDS = 10

_NEWEST = """
SELECT * FROM record_version WHERE uscc = $1 AND record_id = $2 AND ($3::timestamptz IS NULL OR recorded_at <= $3)
ORDER BY version DESC LIMIT 1
"""
_STOOD = """
SELECT * FROM record_version WHERE uscc = $1 AND record_id = $2 AND recorded_at <= $3
    AND (standing::json ->> 'state_from')::timestamptz <= $4
ORDER BY version DESC LIMIT 1
"""
_EVENTS = """
SELECT e.canonical, l.sequence FROM audit_event e LEFT JOIN log_entry l ON l.uscc = e.uscc AND l.id = e.id
WHERE e.uscc = $1 AND e.subject_type = 'record' AND e.subject_id = $2
"""


def shown_fields(audience: Audience) -> frozenset[str]:
    """The fields of a version that an audience is shown."""
    shown = {*public_members, "public_facts"}
    if audience is not Audience.PUBLIC:
        shown |= {*shared_members, "shared_facts"}
    if audience in (Audience.REGULATOR, Audience.SUBJECT):
        shown.add("restricted_facts")
    return frozenset(shown)


async def proofs_of(
    reader: LogReader, record: Record, audience: Audience, point: PointInTime | None
) -> list[dict[str, Any]]:
    """Proofs of the versions that an answer rests on: what the record says, and where it stood if another says that.

    Raises ``PROOF_PENDING`` and ``UNPROVABLE``.
    """
    connection = await reader.connection()
    newest = await connection.fetchrow(_NEWEST, record.uscc, record.id, point.known_at if point else None)
    stood = newest
    if point is not None:
        stood = await connection.fetchrow(_STOOD, record.uscc, record.id, point.known_at, point.as_of)
    assert newest is not None
    assert stood is not None
    shown = shown_fields(audience)
    if newest["version"] == stood["version"]:
        return [await _proof(reader, connection, newest, shown)]
    return [
        await _proof(reader, connection, newest, shown - set(STANDING)),
        await _proof(reader, connection, stood, shown & set(STANDING)),
    ]


async def _proof(reader: LogReader, connection: AnyConnection, row: Any, shown: frozenset[str]) -> dict[str, Any]:
    fields = version_fields(row["content"].encode(), row["standing"].encode())
    if openings.commit(row["salt"], fields) != row["commitment"]:
        raise Problem(UNPROVABLE)
    events = await connection.fetch(_EVENTS, row["uscc"], str(row["record_id"]))
    digest = row["commitment"].hex()
    event = next(each for each in events if orjson.loads(each["canonical"])["after"] == digest)
    proof = await reader.proof(event["sequence"]) if event["sequence"] is not None else None
    if proof is None:
        raise Problem(
            PROOF_PENDING,
            errors=[FieldError("query:proof", "signed-head")],
            headers={"Retry-After": str(RETRY_SECONDS)},
        )
    return {
        "version": row["version"],
        "event": event["canonical"].decode(),
        "opening": openings.opening(row["salt"], fields, shown),
        "tlog_proof": proof,
    }
