"""The standing records of many entities in one query, as an audience may see them at one instant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from credit_service.accounts.rules import Audience
from credit_service.records.models import State

if TYPE_CHECKING:
    from credit_service.platform.database import AnyConnection

_VISIBLE = """r.state = 'published' AND r.publicity_from <= $3 AND $3 < coalesce(r.publicity_until, 'infinity')"""
_SHARED = """r.state IN ('published', 'withheld') AND $3 < coalesce(r.disclosure_until, 'infinity')"""
_SEEN = {
    Audience.PUBLIC: _VISIBLE,
    Audience.SUBJECT: _VISIBLE,
    Audience.AGENCY: _SHARED,
    Audience.REGULATOR: f"({_SHARED} OR r.state = 'shielded')",
}
_FACTS = {
    Audience.PUBLIC: "r.public_facts::text, NULL",
    Audience.SUBJECT: "r.public_facts::text, NULL",
    Audience.AGENCY: "r.public_facts::text, r.shared_facts::text",
    Audience.REGULATOR: "r.public_facts::text, r.shared_facts::text",
}
_STANDING = """
SELECT r.uscc, r.id, r.item_code, r.document_number, r.decided_on, r.valid_until, r.authority_uscc, r.authority_name,
    r.severity, r.state, r.publicity_from, r.publicity_until, r.disclosure_until, r.disputed_since, r.version,
    CASE WHEN r.item_code = ANY($4::text[]) THEN ARRAY[:facts:] END
FROM record r
WHERE r.uscc = ANY($1::varchar[]) AND r.item_code = ANY($2::text[]) AND :seen:
"""
_QUERIES = {
    audience: _STANDING.replace(":facts:", _FACTS[audience]).replace(":seen:", seen) for audience, seen in _SEEN.items()
}


@dataclass(frozen=True, slots=True)
class StandingRecord:
    """What a decision about the entity needs to know of one of its records. Empty ``facts`` were not asked for."""

    uscc: str
    id: UUID
    item_code: str
    document_number: str
    decided_on: date
    valid_until: date | None
    authority_uscc: str
    authority_name: str
    severity: str | None
    state: str
    publicity_from: datetime | None
    publicity_until: datetime | None
    disclosure_until: datetime | None
    disputed_since: datetime | None
    version: int
    texts: list[str | None] | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The facts that the audience may see, public ones first."""
        found: dict[str, Any] = {}
        for text in self.texts or ():
            found |= orjson.loads(text) if text else {}
        return found

    @property
    def is_shielded(self) -> bool:
        return self.state == State.SHIELDED


async def standing_records(
    connection: AnyConnection,
    usccs: Sequence[str],
    items: Iterable[str],
    audience: Audience,
    now: datetime,
    *,
    with_facts: Iterable[str] = (),
) -> list[StandingRecord]:
    """Records of ``items`` that stand at ``now``: never repaired, annulled, withdrawn, removed or archived ones.

    A regulator is also told of shielded records, which stand for nothing while they are. Facts come with the items of
    ``with_facts`` only. The order is the database's.
    """
    rows = await connection.fetch(_QUERIES[audience], usccs, list(items), now, list(with_facts))
    return [StandingRecord(*row) for row in rows]
