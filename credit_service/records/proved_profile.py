"""An entity's profile with proof that the log holds what it says: the registration data, and each record in it."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from credit_service.accounts.rules import Audience
from credit_service.audit.events import commitment
from credit_service.audit.reader import LogReader, Prover
from credit_service.entities import profile
from credit_service.entities.commands import SUBJECT_TYPE
from credit_service.entities.history import RECORD_AT
from credit_service.entities.lookup import Answer
from credit_service.platform.database import Database
from credit_service.platform.times import NOT_BOUNDED, PointInTime
from credit_service.records.proofs import Rested, events_of, proofs_of, proved

_RESTED = f"""
SELECT c.id, newest.version AS newest, stood.version AS stood {RECORD_AT} WHERE c.uscc = $1::varchar
    AND c.id = ANY($3::uuid[])
"""
_REGISTERED = """
SELECT version, content FROM entity_version WHERE uscc = $1 AND recorded_at <= $2 ORDER BY version DESC LIMIT 1
"""


class ProvedProfiles:
    """Rendered from the versions in one snapshot, so that an answer and its proofs are of the same instant."""

    def __init__(self, database: Database, reader: LogReader) -> None:
        self._database = database
        self._reader = reader

    async def ask(self, uscc: str, audience: Audience, point: PointInTime | None, now: datetime) -> Answer | None:
        """The profile now or as of ``point``, ``None`` for a code the registry does not know.

        Raises ``PROOF_PENDING`` and ``UNPROVABLE``.
        """
        asked = point or PointInTime(now, NOT_BOUNDED)
        status, content = await self._read(profile.AT, uscc, audience, asked, now, proof=True)
        if content is None:
            return (status, "", b"") if status else None
        body = orjson.dumps(content)
        return status, f'"{hashlib.sha256(body).hexdigest()[:32]}"', body

    async def whole(
        self, uscc: str, audience: Audience, now: datetime, *, proof: bool
    ) -> tuple[int, dict[str, Any] | None]:
        """The HTTP status and the present profile with every record, for a report; (0, ``None``) for an unknown code.

        Raises ``PROOF_PENDING`` and ``UNPROVABLE``.
        """
        return await self._read(profile.WHOLE_AT, uscc, audience, PointInTime(now, NOT_BOUNDED), now, proof=proof)

    async def _read(
        self, statement: str, uscc: str, audience: Audience, asked: PointInTime, now: datetime, *, proof: bool
    ) -> tuple[int, dict[str, Any] | None]:
        pool = await self._database.pool()
        async with (
            pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            rows = await connection.fetch(statement, [uscc], asked.as_of, [audience.value], asked.known_at, now)
            if not rows or rows[0]["status"] != 200:
                return (rows[0]["status"] if rows else 0), None
            content: dict[str, Any] = orjson.loads(rows[0]["body"])
            if not proof:
                return 200, content
            ids = [UUID(record["id"]) for record in content["records"]]
            rested = await connection.fetch(_RESTED, uscc, asked.as_of, ids, asked.known_at)
            registered = await connection.fetchrow(_REGISTERED, uscc, asked.known_at)
        content["proof"] = await self._registration(uscc, audience, registered)
        proofs = await proofs_of(
            self._reader, uscc, audience, [Rested(row["id"], row["newest"], row["stood"]) for row in rested]
        )
        for record in content["records"]:
            record["proofs"] = proofs[UUID(record["id"])]
        return 200, content

    async def _registration(self, uscc: str, audience: Audience, row: Any) -> dict[str, Any]:
        """The entry of the registration data, and its content unless that says more than the audience may see."""
        said = await events_of(await self._reader.connection(), uscc, SUBJECT_TYPE, [uscc])
        digest = commitment(b"", row["content"].encode()).hex()
        proof = await proved(Prover(self._reader), said, (uscc, row["version"], digest))
        may_see = audience is not Audience.PUBLIC or not orjson.loads(row["content"])["quality_reason"]
        return proof | {"content": row["content"] if may_see else None}
