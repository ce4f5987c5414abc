"""Records in two times: pages as of a time by what was known at a time, and what changed from version to version."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import orjson

from credit_service.accounts.rules import Audience
from credit_service.entities.history import MAY_BE_SHOWN, RECORD_AT
from credit_service.platform.database import Database
from credit_service.platform.times import PointInTime
from credit_service.records.models import RecordVersion

_SEEN = {
    Audience.PUBLIC: "at.state = 'published' AND at.publicity_from <= $2"
    " AND $2 < coalesce(at.publicity_until, 'infinity')",
    Audience.AGENCY: "at.state IN ('published', 'withheld') AND $2 < coalesce(at.disclosure_until, 'infinity')",
}
_JSON = ("public_facts", "shared_facts", "restricted_facts", "explanation")


class PastRecord(SimpleNamespace):
    """A record with its columns as they were; ``place`` is where its list goes on.

    What it says is taken from ``newest_version``, where it stood from ``stood_version``.
    """

    id: UUID
    place: tuple[date, UUID]
    newest_version: int
    stood_version: int


@dataclass(frozen=True, slots=True)
class Asked:
    """Whose eyes, which times, and which records: ``where`` is SQL about the record ``c`` and ``value`` its $1."""

    audience: Audience
    point: PointInTime
    now: datetime
    where: str
    value: Any
    item_code: str | None = None
    division: str | None = None
    industry: str | None = None
    decided_from: date | None = None
    decided_to: date | None = None


async def page(
    database: Database, asked: Asked, *, after: tuple[date, UUID] | None, limit: int
) -> Sequence[PastRecord]:
    """Up to ``limit`` records as they were, in the order of today's decision dates."""
    sql = f"""
        SELECT c.decided_on AS place_day, c.id AS place_id, newest.version AS newest_version,
            stood.version AS stood_version, at.* {RECORD_AT}
        WHERE {asked.where} AND {MAY_BE_SHOWN} AND {_SEEN.get(asked.audience, "true")}
            AND ($6::text IS NULL OR c.item_code = $6)
            AND ($7::text IS NULL OR EXISTS (
                SELECT FROM entity e WHERE e.uscc = c.uscc AND starts_with(e.division, $7)))
            AND ($11::text IS NULL OR EXISTS (
                SELECT FROM entity e WHERE e.uscc = c.uscc AND starts_with(e.industry, $11)))
            AND at.decided_on BETWEEN coalesce($12::date, '-infinity') AND coalesce($13::date, 'infinity')
            AND ($8::date IS NULL OR c.decided_on < $8 OR (c.decided_on = $8 AND c.id > $9))
        ORDER BY c.decided_on DESC, c.id LIMIT $10
    """  # noqa: S608 - composed of our own constants
    pool = await database.pool()
    day, record_id = after or (None, None)
    rows = await pool.fetch(
        sql,
        asked.value,
        asked.point.as_of,
        [asked.audience.value],
        asked.point.known_at,
        asked.now,
        asked.item_code,
        asked.division,
        day,
        record_id,
        limit,
        asked.industry,
        asked.decided_from,
        asked.decided_to,
    )
    return [_past(dict(row)) for row in rows]


def _past(row: dict[str, Any]) -> PastRecord:
    place = (row.pop("place_day"), row.pop("place_id"))
    return PastRecord(place=place, **row | {name: orjson.loads(row[name]) for name in _JSON})


def differences(before: RecordVersion | None, after: RecordVersion) -> list[dict[str, Any]]:
    """What changed from one version to the next, field by field, as JSON pointers into content and standing.

    An erased version has nothing left to compare.
    """
    old, new = (dict(_members(version)) for version in (before, after))
    return [
        {"field": field, "before": old.get(field), "after": new.get(field)}
        for field in sorted(old.keys() | new.keys())
        if old.get(field) != new.get(field)
    ]


def _members(version: RecordVersion | None) -> Iterator[tuple[str, Any]]:
    if version is None or version.content is None or version.standing is None:
        return
    for text in (version.content, version.standing):
        for name, value in orjson.loads(text).items():
            if isinstance(value, dict):
                yield from ((f"/{name}/{key}", member) for key, member in value.items())
            else:
                yield f"/{name}", value
