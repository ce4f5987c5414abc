"""What records of an entity rule out in each other, for a staged block: found by sets, judged by the one rule."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.catalogue.models import Catalogue
from credit_service.platform.context import Actor
from credit_service.platform.days import day_of
from credit_service.records import commands, exclusions, rules, store
from credit_service.records.exclusions import Stated

if TYPE_CHECKING:
    from asyncpg import Connection

Refusal = tuple[int, list[dict[str, str]]]

_ITEMS = "SELECT DISTINCT item_code FROM import_staging"
_ROWS = "SELECT row_number, uscc, public_facts, shared_facts FROM import_staging WHERE item_code = $1"
_STANDING = """
SELECT uscc, public_facts::text, shared_facts::text, decided_on, valid_until FROM record
WHERE uscc = ANY($1) AND item_code = $2 AND state = ANY($3)
"""
_STORED = """
SELECT r.id, r.public_facts::text, r.shared_facts::text
FROM import_staging s JOIN record r ON r.uscc = s.uscc AND r.id = s.record_id
WHERE s.item_code = $1
"""


async def items_concerned(connection: Connection[Any], catalogue: Catalogue) -> list[str]:
    """The staged items that rule something out, or can be ruled out. Mostly none."""
    concerned = {code for code, versions in catalogue.items.items() if versions[-1].excludes}
    concerned |= {exclusion.item for code in concerned for exclusion in catalogue.latest(code).excludes}
    if not concerned:
        return []
    return sorted({row["item_code"] for row in await connection.fetch(_ITEMS)} & concerned)


async def refuse(connection: Connection[Any], catalogue: Catalogue, item_code: str, now: datetime) -> list[Refusal]:
    """Take rows that a stored record rules out from the staging table; gives their numbers and the rule."""
    refusals: list[Refusal] = []
    for code, exclusion in exclusions.excluded_by(catalogue, catalogue.latest(item_code)):
        barred = {}
        for row in await connection.fetch(_ROWS, item_code):
            errors = exclusions.refusal(exclusion, _facts(row))
            if errors:
                barred[row["row_number"]] = (row["uscc"], errors)
        standing = await _standing(connection, {uscc for uscc, _ in barred.values()}, code)
        for number, (uscc, errors) in barred.items():
            if exclusions.bars(exclusion, standing[uscc], day_of(now)):
                refusals.append((number, [{"pointer": error.pointer, "rule": error.rule} for error in errors]))
    numbers = [number for number, _ in refusals]
    await connection.execute("DELETE FROM import_staging WHERE row_number = ANY($1)", numbers)
    return refusals


async def end(
    session: AsyncSession,
    connection: Connection[Any],
    catalogue: Catalogue,
    actor: Actor,
    item_code: str,
    now: datetime,
) -> None:
    """End what the records just stored rule out."""
    excludes = catalogue.latest(item_code).excludes
    for row in await connection.fetch(_STORED, item_code) if excludes else ():
        if any(exclusions.holds(exclusion.when, _facts(row)) for exclusion in excludes):
            record = await store.by_id(session, row["id"])
            assert record is not None
            await commands.end_excluded(session, catalogue, actor, now, record)
    await session.flush()


async def _standing(connection: Connection[Any], usccs: set[str], item_code: str) -> dict[str, list[Stated]]:
    found: dict[str, list[Stated]] = defaultdict(list)
    for row in await connection.fetch(_STANDING, list(usccs), item_code, sorted(rules.OPEN_STATES)):
        found[row["uscc"]].append(Stated(_facts(row), row["decided_on"], row["valid_until"]))
    return found


def _facts(row: Any) -> dict[str, Any]:
    return {**orjson.loads(row["shared_facts"]), **orjson.loads(row["public_facts"])}
