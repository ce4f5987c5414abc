"""Records as the feed of changes shows them: by the law as it is when the feed is read, not when the change was."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from credit_service.accounts.purpose import note_subjects
from credit_service.accounts.rules import Audience, Principal, audience_of
from credit_service.catalogue.models import Catalogue
from credit_service.entities.archive import archived_among, hidden_from
from credit_service.platform.database import Database
from credit_service.records import rules, store
from credit_service.records.views import view


async def shown_now(
    database: Database,
    catalogue: Catalogue,
    principal: Principal,
    ids: Collection[UUID],
    usccs: Collection[str],
    now: datetime,
) -> tuple[dict[str, tuple[int, dict[str, Any]]], frozenset[str]]:
    """Those of the records that the caller may see now, by id: version, and what it may see.

    And those of the entities that are archived, if that hides them from the caller.
    """
    async with database.transaction() as session:
        records = await store.by_ids(session, ids)
        archived = await archived_among(session, {*usccs, *(record.uscc for record in records)})
    archived = frozenset(uscc for uscc in archived if hidden_from(audience_of(principal, uscc)))
    seen = {}
    for record in records:
        audience = audience_of(principal, record.uscc)
        own = audience is Audience.AGENCY and record.source_uscc == principal.agency_uscc
        if own or (record.uscc not in archived and rules.may_see(record, audience, now)):
            seen[str(record.id)] = (record.version, view(catalogue, record, audience, now))
    note_subjects({shown["uscc"] for _, shown in seen.values()})
    return seen, archived
