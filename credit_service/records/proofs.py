"""Proof that an answer about records is what the log holds: for the fields shown, and for no others."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from credit_service.accounts.rules import Audience
from credit_service.audit import openings
from credit_service.audit.reader import LogReader, Prover
from credit_service.platform.errors import FieldError, Problem, ProblemType
from credit_service.records.history import PastRecord
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

_VERSIONS = """
SELECT v.* FROM unnest($2::uuid[], $3::integer[]) AS wanted (record_id, version)
JOIN record_version v ON v.uscc = $1 AND v.record_id = wanted.record_id AND v.version = wanted.version
"""
_EVENTS = """
SELECT e.canonical, l.sequence FROM audit_event e LEFT JOIN log_entry l ON l.uscc = e.uscc AND l.id = e.id
WHERE e.uscc = $1 AND e.subject_type = $2 AND e.subject_id = ANY($3::text[])
"""

Said = tuple[str, int, str]
"""What an event says: of which subject, which version, and the commitment to it."""


@dataclass(frozen=True, slots=True)
class Rested:
    """The versions that an answer about a record rests on: what it says, and where it stood if another says that."""

    record_id: UUID
    newest: int
    stood: int


def rested_on(record: Record | PastRecord) -> Rested:
    if isinstance(record, PastRecord):
        return Rested(record.id, record.newest_version, record.stood_version)
    return Rested(record.id, record.version, record.version)


def shown_fields(audience: Audience) -> frozenset[str]:
    """The fields of a version that an audience is shown."""
    shown = {*public_members, "public_facts"}
    if audience is not Audience.PUBLIC:
        shown |= {*shared_members, "shared_facts"}
    if audience in (Audience.REGULATOR, Audience.SUBJECT):
        shown.add("restricted_facts")
    return frozenset(shown)


async def proofs_of(
    reader: LogReader, uscc: str, audience: Audience, rested: Sequence[Rested]
) -> dict[UUID, list[dict[str, Any]]]:
    """Proofs of the versions that an answer about an entity's records rests on, by record.

    Raises ``PROOF_PENDING`` and ``UNPROVABLE``.
    """
    connection = await reader.connection()
    wanted = sorted({(each.record_id, version) for each in rested for version in (each.newest, each.stood)})
    ids, numbers = [record_id for record_id, _ in wanted], [version for _, version in wanted]
    rows = await connection.fetch(_VERSIONS, uscc, ids, numbers)
    versions = {(row["record_id"], row["version"]): row for row in rows}
    said = await events_of(connection, uscc, "record", {str(record_id) for record_id in ids})
    prover, shown = Prover(reader), shown_fields(audience)

    async def proof(record_id: UUID, version: int, fields: frozenset[str]) -> dict[str, Any]:
        row = versions[record_id, version]
        told = opened(row, fields)
        return await proved(prover, said, (str(record_id), version, row["commitment"].hex())) | {"opening": told}

    found = {}
    for each in rested:
        if each.newest == each.stood:
            found[each.record_id] = [await proof(each.record_id, each.newest, shown)]
        else:
            found[each.record_id] = [
                await proof(each.record_id, each.newest, shown - set(STANDING)),
                await proof(each.record_id, each.stood, shown & set(STANDING)),
            ]
    return found


def opened(row: Any, fields: frozenset[str]) -> list[dict[str, str]] | None:
    """The opening of a version's commitment for some of its fields, ``None`` once it was erased.

    Raises ``UNPROVABLE``.
    """
    if row["content"] is None:
        return None
    of_version = version_fields(row["content"].encode(), row["standing"].encode())
    if openings.commit(row["salt"], of_version) != row["commitment"]:
        raise Problem(UNPROVABLE)
    return openings.opening(row["salt"], of_version, fields)


async def events_of(
    connection: AnyConnection, uscc: str, subject_type: str, subject_ids: Collection[str]
) -> dict[Said, tuple[bytes, int | None]]:
    """The events of some subjects of an entity with their places in the log, by what they say."""
    found: dict[Said, tuple[bytes, int | None]] = {}
    for row in await connection.fetch(_EVENTS, uscc, subject_type, list(subject_ids)):
        event = orjson.loads(row["canonical"])
        subject = event["subject"]
        found[subject["id"], subject["version"], event["after"]] = (row["canonical"], row["sequence"])
    return found


async def proved(prover: Prover, said: dict[Said, tuple[bytes, int | None]], what: Said) -> dict[str, Any]:
    """A version's entry in the log with its proof. Raises ``PROOF_PENDING``, and ``UNPROVABLE`` without an entry."""
    if what not in said:
        raise Problem(UNPROVABLE)
    canonical, sequence = said[what]
    proof = await prover.proof(sequence)
    if proof is None:
        raise Problem(
            PROOF_PENDING,
            errors=[FieldError("query:proof", "signed-head")],
            headers={"Retry-After": str(RETRY_SECONDS)},
        )
    return {"version": what[1], "event": canonical.decode(), "tlog_proof": proof}
