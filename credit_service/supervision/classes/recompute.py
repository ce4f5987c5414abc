"""Compute classes for many entities in one transaction: judge, compare, write what differs, keep the counts exact.

Two kinds of writers meet here. A full run takes ranges that do not overlap and works on them side by side; it holds
``LOCK`` shared. What follows single changes holds ``LOCK`` alone, so that nobody writes the class of an entity twice at
once, and takes the notes of changed entities together with the entities' rows. A change that commits while a range is
being judged leaves its note, and is judged again.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from credit_service.catalogue.models import Catalogue
from credit_service.platform.clock import Clock
from credit_service.platform.database import Database, driver_connection
from credit_service.platform.days import day_of
from credit_service.supervision.classes import compiling, documents, store
from credit_service.supervision.classes.models import RuleSetRow
from credit_service.supervision.classes.rules import RuleSet

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

LOCK = 0x636C6173
ENTITIES_A_BATCH = 500

_CHANGED = """
CREATE TEMPORARY TABLE IF NOT EXISTS class_changed (
    uscc varchar(18) COLLATE "C", division varchar(6) COLLATE "C", industry varchar(3) COLLATE "C",
    risk_class varchar(1) COLLATE "C", points integer, fresh_until timestamptz, tags text[] COLLATE "C",
    old_division varchar(6) COLLATE "C", old_industry varchar(3) COLLATE "C", old_class varchar(1) COLLATE "C",
    old_tags text[] COLLATE "C", moved boolean, retagged boolean
) ON COMMIT DELETE ROWS
"""
_JUDGE = """
INSERT INTO class_changed
SELECT j.uscc, j.division, j.industry, j.risk_class, j.points, j.fresh_until, j.tags,
    c.division, c.industry, c.risk_class, c.tags,
    (j.division, j.industry, j.risk_class) IS DISTINCT FROM (c.division, c.industry, c.risk_class),
    j.tags IS DISTINCT FROM c.tags
FROM ({judged}) j LEFT JOIN entity_class c ON c.uscc = j.uscc
WHERE (j.division, j.industry, j.risk_class, j.points, j.fresh_until, j.tags, {rule_set}::uuid)
    IS DISTINCT FROM (c.division, c.industry, c.risk_class, c.points, c.fresh_until, c.tags, c.rule_set_id)
"""
_WRITE = """
INSERT INTO entity_class AS c (uscc, division, industry, risk_class, points, tags, rule_set_id, since, evaluated_at,
    fresh_until)
SELECT uscc, division, industry, risk_class, points, tags, $1, $2, $2, fresh_until FROM class_changed
ON CONFLICT (uscc) DO UPDATE SET division = excluded.division, industry = excluded.industry,
    risk_class = excluded.risk_class, points = excluded.points, tags = excluded.tags,
    rule_set_id = excluded.rule_set_id, evaluated_at = excluded.evaluated_at, fresh_until = excluded.fresh_until,
    since = CASE WHEN c.risk_class = excluded.risk_class THEN c.since ELSE excluded.since END
"""
_HISTORY = """
INSERT INTO class_history (uscc, id, since, division, industry, risk_class, previous_class, points, rule_set_id)
SELECT uscc, uuidv7(), $2, division, industry, risk_class, old_class, points, $1 FROM class_changed WHERE moved
"""
_UNTAG = """
DELETE FROM class_tag t USING class_changed x
WHERE t.uscc = x.uscc AND (x.moved OR x.retagged) AND x.old_tags <> '{}'
"""
_TAG = """
INSERT INTO class_tag (uscc, tag, division, industry, risk_class)
SELECT uscc, unnest(tags), division, industry, risk_class FROM class_changed WHERE moved OR retagged
"""
_DELTA = """
SELECT {day} tag, division, industry, risk_class, sum(change) FROM (
    SELECT unnest(array_append(tags, '')) AS tag, division, industry, risk_class, 1 AS change
    FROM class_changed WHERE moved OR retagged
    UNION ALL
    SELECT unnest(array_append(old_tags, '')), old_division, old_industry, old_class, -1
    FROM class_changed WHERE (moved OR retagged) AND old_class IS NOT NULL
) each GROUP BY tag, division, industry, risk_class HAVING sum(change) <> 0
ORDER BY tag, division, industry, risk_class
"""
# Everybody updates counts in one order, and counts before flows: nobody waits in a circle.
_COUNT = f"""
INSERT INTO class_count AS c (tag, division, industry, risk_class, entities) {_DELTA.format(day="")}
ON CONFLICT (tag, division, industry, risk_class) DO UPDATE SET entities = c.entities + excluded.entities
"""
_FLOW = f"""
INSERT INTO class_flow AS c (day, tag, division, industry, risk_class, change) {_DELTA.format(day="$1::date,")}
ON CONFLICT (tag, day, division, industry, risk_class) DO UPDATE SET change = c.change + excluded.change
"""
_TAKE = """
WITH due AS MATERIALIZED (
    (SELECT uscc FROM entity_change LIMIT $2)
    UNION
    (SELECT uscc FROM entity_class WHERE fresh_until <= $1 AND fresh_until <> 'infinity'
     ORDER BY fresh_until LIMIT $2)
)
SELECT uscc FROM entity WHERE uscc IN (SELECT uscc FROM due) ORDER BY uscc FOR NO KEY UPDATE SKIP LOCKED
"""
_TAKEN = "DELETE FROM entity_change WHERE uscc = ANY($1::varchar[])"


def built(row: RuleSetRow, catalogue: Catalogue) -> RuleSet:
    """The rule set of a stored row, by the catalogue of today."""
    return documents.build(row.document, catalogue)


async def write(
    connection: AnyConnection,
    catalogue: Catalogue,
    row: RuleSetRow,
    scope: list[str],
    now: datetime,
    *,
    ranged: bool,
) -> int:
    """Judge the entities in scope at ``now`` and write what differs; gives for how many something did.

    Runs in the caller's transaction, which holds ``LOCK``.
    """
    compiled = compiling.present(built(row, catalogue), catalogue, scope, now, ranged=ranged)
    rule_set = f"${len(compiled.arguments) + 1}"
    await connection.execute(_CHANGED)
    await connection.execute("TRUNCATE class_changed; SET LOCAL plan_cache_mode = force_custom_plan")
    sql = _JUDGE.format(judged=compiled.sql, rule_set=rule_set)
    done = await connection.execute(sql, *compiled.arguments, row.id)
    changed = int(done.rsplit(" ", 1)[1])
    if changed:
        await connection.execute(_WRITE, row.id, now)
        await connection.execute(_HISTORY, row.id, now)
        await connection.execute(_UNTAG)
        await connection.execute(_TAG)
        await connection.execute(_COUNT)
        await connection.execute(_FLOW, day_of(now))
    return changed


async def take_alone(connection: AnyConnection) -> None:
    """Keep every other writer of classes away until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)


async def take_beside(connection: AnyConnection) -> None:
    """Keep those away who follow single changes; others that take ranges may work beside."""
    await connection.execute("SELECT pg_advisory_xact_lock_shared($1)", LOCK)


async def follow_changes(database: Database, catalogue: Catalogue, clock: Clock, *, most: int = 100_000) -> int:
    """Judge every entity that has changed, or whose time has come; gives how many were judged.

    Entities that somebody is changing at this moment are passed over: the note of that change brings them back. Does
    nothing while no rule set is active; the notes wait.
    """
    judged = 0
    while judged < most:
        async with database.transaction() as session:
            connection = await driver_connection(session)
            await take_alone(connection)
            row = await store.active(session)
            taken = await _follow(connection, catalogue, row, clock.now()) if row is not None else 0
        judged += taken
        if taken < ENTITIES_A_BATCH:
            break
    return judged


async def _follow(connection: AnyConnection, catalogue: Catalogue, row: RuleSetRow, now: datetime) -> int:
    usccs = [found["uscc"] for found in await connection.fetch(_TAKE, now, ENTITIES_A_BATCH)]
    if usccs:
        await connection.execute(_TAKEN, usccs)
        await write(connection, catalogue, row, usccs, now, ranged=False)
    return len(usccs)
