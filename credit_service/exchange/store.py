"""SQL of the feed of changes and of its daily digests."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import orjson

from credit_service.entities.archive import ARCHIVED

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

_CHANGES = """
SELECT l.sequence, l.leaf_hash, e.occurred_at, e.action, e.uscc, e.subject_type, e.subject_id
FROM log_entry l LEFT JOIN audit_event e ON e.uscc = l.uscc AND e.id = l.id
WHERE l.sequence > $1 ORDER BY l.sequence LIMIT $2
"""

# What the public is shown at one instant, in 256 parts by the last two digits of the id (random in a UUIDv7). Records
# whose last change, or their entity's, has no place in the log yet are left out and named, so that the digest is exact
# at ``through``.
_TAKE = f"""
WITH pending AS MATERIALIZED (
    SELECT DISTINCT e.uscc, e.subject_type, e.subject_id FROM audit_event e
    WHERE e.txid >= coalesce((SELECT txid FROM log_progress), '0'::xid8) AND e.subject_type IN ('record', 'entity')
        AND NOT EXISTS (SELECT FROM log_entry l WHERE l.uscc = e.uscc AND l.id = e.id)
), unsettled AS MATERIALIZED (
    SELECT subject_id FROM pending WHERE subject_type = 'record'
    UNION SELECT r.id::text FROM pending p JOIN record r USING (uscc) WHERE p.subject_type = 'entity'
), shown AS (
    SELECT r.id, r.version FROM record r
    WHERE r.state = 'published' AND r.publicity_from <= $1 AND $1 < coalesce(r.publicity_until, 'infinity')
        AND r.id::text NOT IN (SELECT subject_id FROM unsettled)
        AND NOT EXISTS (SELECT FROM entity e WHERE e.uscc = r.uscc AND {ARCHIVED})
), parts AS (
    SELECT right(id::text, 2) AS part, count(*) AS records,
        encode(sha256(convert_to(string_agg(id || ' ' || version || chr(10), '' ORDER BY id), 'UTF8')), 'hex') AS digest
    FROM shown GROUP BY 1
)
SELECT coalesce((SELECT max(sequence) FROM log_entry), -1) AS through,
    coalesce((SELECT sum(records) FROM parts), 0)::bigint AS records,
    coalesce((SELECT json_object_agg(part, digest ORDER BY part) FROM parts), '{{}}') AS parts,
    coalesce((SELECT json_agg(subject_id ORDER BY subject_id) FROM unsettled), '[]') AS unsettled
"""  # noqa: S608 - composed of our own constants
_KEEP = """
INSERT INTO change_digest (day, taken_at, through, records, parts, unsettled) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (day) DO NOTHING
"""
_DIGEST = "SELECT * FROM change_digest WHERE $1::date IS NULL OR day = $1 ORDER BY day DESC LIMIT 1"


async def changes(connection: AnyConnection, after: int, limit: int) -> list[Any]:
    """The entries after a place in the one order of all changes."""
    return list(await connection.fetch(_CHANGES, after, limit))


async def end(connection: AnyConnection) -> int:
    """The last place given, -1 before the first."""
    found: int = await connection.fetchval("SELECT coalesce(max(sequence), -1) FROM log_entry")
    return found


async def take_digest(connection: AnyConnection, day: date, now: datetime) -> bool:
    """Take the digest of a day unless it was taken; gives whether it was taken now. One statement sees one state."""
    if await connection.fetchval("SELECT 1 FROM change_digest WHERE day = $1", day):
        return False
    row = await connection.fetchrow(_TAKE, now)
    assert row is not None
    await connection.execute(_KEEP, day, now, row["through"], row["records"], row["parts"], row["unsettled"])
    return True


async def digest(connection: AnyConnection, day: date | None) -> dict[str, Any] | None:
    """The digest of a day, or the newest."""
    row = await connection.fetchrow(_DIGEST, day)
    if row is None:
        return None
    return dict(row) | {name: orjson.loads(row[name]) for name in ("parts", "unsettled")}
