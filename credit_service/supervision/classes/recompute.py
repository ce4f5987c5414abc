"""Compute classes for many entities in one transaction: judge, compare, write what differs, keep the counts exact.

Writers of two kinds meet here. A full run over the registry takes ranges that do not overlap and works on them side
by side; it holds ``LOCK`` shared. What follows single changes holds ``LOCK`` alone, as does a full run over a
division, which may be open beside the registry's: so nobody writes the class of an entity twice at once. Who follows
changes takes the notes of changed entities together with the entities' rows. A change that commits while a range is
being judged leaves its note, and is judged again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from credit_service.catalogue.models import Catalogue
from credit_service.platform.clock import Clock
from credit_service.platform.database import Database, driver_connection
from credit_service.platform.days import day_of
from credit_service.supervision.classes import compiling, documents, store
from credit_service.supervision.classes.models import RuleSetRow
from credit_service.supervision.classes.rules import RuleSet, chosen

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

LOCK = 0x636C6173
ENTITIES_A_BATCH = 500

_CHANGED = """
CREATE TEMPORARY TABLE IF NOT EXISTS class_changed (
    uscc varchar(18) COLLATE "C", division varchar(6) COLLATE "C", industry varchar(3) COLLATE "C",
    risk_class varchar(1) COLLATE "C", points integer, fresh_until timestamptz, tags text[] COLLATE "C",
    old_division varchar(6) COLLATE "C", old_industry varchar(3) COLLATE "C", old_class varchar(1) COLLATE "C",
    old_tags text[] COLLATE "C", moved boolean, retagged boolean, rule_set_id uuid
) ON COMMIT DELETE ROWS
"""
# A range is grouped in memory: spilled to files it takes half as long again.
_SETTINGS = "TRUNCATE class_changed; SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL work_mem = '64MB'"
_JUDGE = """
INSERT INTO class_changed
SELECT j.uscc, j.division, j.industry, j.risk_class, j.points, j.fresh_until, j.tags,
    c.division, c.industry, c.risk_class, c.tags,
    (j.division, j.industry, j.risk_class) IS DISTINCT FROM (c.division, c.industry, c.risk_class),
    j.tags IS DISTINCT FROM c.tags, {rule_set}::uuid
FROM ({judged}) j LEFT JOIN (SELECT * FROM entity_class WHERE {where}) c ON c.uscc = j.uscc
WHERE (j.division, j.industry, j.risk_class, j.points, j.fresh_until, j.tags, {rule_set}::uuid)
    IS DISTINCT FROM (c.division, c.industry, c.risk_class, c.points, c.fresh_until, c.tags, c.rule_set_id)
"""
# In the order of codes, which is that of places too, as the indexes are: a fifth less work.
_WRITE = """
INSERT INTO entity_class AS c (uscc, division, industry, risk_class, points, tags, rule_set_id, since, evaluated_at,
    fresh_until)
SELECT uscc, division, industry, risk_class, points, tags, rule_set_id, $1, $1, fresh_until FROM class_changed
ORDER BY uscc
ON CONFLICT (uscc) DO UPDATE SET division = excluded.division, industry = excluded.industry,
    risk_class = excluded.risk_class, points = excluded.points, tags = excluded.tags,
    rule_set_id = excluded.rule_set_id, evaluated_at = excluded.evaluated_at, fresh_until = excluded.fresh_until,
    since = CASE WHEN c.risk_class = excluded.risk_class THEN c.since ELSE excluded.since END
"""
_HISTORY = """
INSERT INTO class_history (uscc, id, since, division, industry, risk_class, previous_class, points, rule_set_id)
SELECT uscc, uuidv7(), $1, division, industry, risk_class, old_class, points, rule_set_id FROM class_changed WHERE moved
ORDER BY uscc
"""
_UNTAG = """
DELETE FROM class_tag t USING class_changed x
WHERE t.uscc = x.uscc AND (x.moved OR x.retagged) AND x.old_tags <> '{}'
"""
_TAG = """
INSERT INTO class_tag (uscc, tag, division, industry, risk_class)
SELECT uscc, unnest(tags), division, industry, risk_class FROM class_changed WHERE moved OR retagged ORDER BY uscc
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
SELECT uscc, division FROM entity WHERE uscc IN (SELECT uscc FROM due) ORDER BY uscc FOR NO KEY UPDATE SKIP LOCKED
"""
_TAKEN = "DELETE FROM entity_change WHERE uscc = ANY($1::varchar[])"


def built(row: RuleSetRow, catalogue: Catalogue) -> RuleSet:
    """The rule set of a stored row, by the catalogue of today."""
    return documents.build(row.document, catalogue)


@dataclass(frozen=True, slots=True)
class Part:
    """Whom a rule set judges: a range (from, to] of codes (``ranged``), or the codes named."""

    row: RuleSetRow
    scope: list[str]
    ranged: bool = False


def parts_of(in_force: Mapping[str, RuleSetRow], places: Iterable[tuple[str, str]]) -> list[Part]:
    """Entities, given as code and division, by the rule set that is in force for each."""
    codes: dict[str, list[str]] = {}
    for uscc, division in places:
        prefix = chosen(division, in_force)
        assert prefix is not None  # a rule set of a division comes after one for the whole registry
        codes.setdefault(prefix, []).append(uscc)
    return [Part(in_force[prefix], usccs) for prefix, usccs in codes.items()]


async def write(connection: AnyConnection, catalogue: Catalogue, parts: Iterable[Part], now: datetime) -> int:
    """Judge entities at ``now``, each in one part only, and write what differs; gives for how many something did.

    Runs in the caller's transaction, which holds ``LOCK``.
    """
    await connection.execute(_CHANGED)
    await connection.execute(_SETTINGS)
    changed = 0
    for part in parts:
        compiled = compiling.present(built(part.row, catalogue), catalogue, part.scope, now, ranged=part.ranged)
        sql = _JUDGE.format(judged=compiled.sql, where=compiled.where, rule_set=f"${len(compiled.arguments) + 1}")
        done = await connection.execute(sql, *compiled.arguments, part.row.id)
        changed += int(done.rsplit(" ", 1)[1])
    if changed:
        await connection.execute(_WRITE, now)
        await connection.execute(_HISTORY, now)
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
    nothing while no rule set is in force; the notes wait.
    """
    judged = 0
    while judged < most:
        async with database.transaction() as session:
            connection = await driver_connection(session)
            await take_alone(connection)
            in_force = await store.in_force(session)
            taken = await _follow(connection, catalogue, in_force, clock.now()) if in_force else 0
        judged += taken
        if taken < ENTITIES_A_BATCH:
            break
    return judged


async def _follow(
    connection: AnyConnection, catalogue: Catalogue, in_force: Mapping[str, RuleSetRow], now: datetime
) -> int:
    places = [(found["uscc"], found["division"]) for found in await connection.fetch(_TAKE, now, ENTITIES_A_BATCH)]
    if places:
        await connection.execute(_TAKEN, [uscc for uscc, _ in places])
        await write(connection, catalogue, parts_of(in_force, places), now)
    return len(places)
