"""Records as the feed of changes shows them: by the law as it is when the feed is read, not when the change was."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from credit_service.accounts.purpose import note_subjects
from credit_service.accounts.rules import Audience, Principal, audience_of
from credit_service.catalogue.models import Catalogue
from credit_service.platform.database import Database
from credit_service.records import rules, store
from credit_service.records.models import Record
from credit_service.records.views import view


async def shown_now(
    database: Database, catalogue: Catalogue, principal: Principal, ids: Collection[UUID], now: datetime
) -> dict[str, tuple[int, dict[str, Any]]]:
    """Those of the records that the caller may see now, by id: version, and what it may see."""
    async with database.transaction() as session:
        records = await store.by_ids(session, ids)
    seen = {}
    for record in records:
        audience = audience_of(principal, record.uscc)
        if _may_see(record, principal, audience, now):
            seen[str(record.id)] = (record.version, view(catalogue, record, audience, now))
    note_subjects({shown["uscc"] for _, shown in seen.values()})
    return seen


def _may_see(record: Record, principal: Principal, audience: Audience, now: datetime) -> bool:
    if audience is Audience.PUBLIC:
        return rules.is_visible(record.state, record.publicity_from, record.publicity_until, now)
    if audience is Audience.AGENCY and record.source_uscc != principal.agency_uscc:
        return rules.is_shared(record.state, record.disclosure_until, now)
    return True
