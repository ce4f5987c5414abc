"""HTTP of the feed of changes 变更流: one order for all, shown to each by the law at the time of reading.

Every place is in everybody's feed, so that nobody has to trust that none was left out; what a caller may not see has
its hash in the log and nothing else. A record that is not shown has the same entry whatever the reason: never public,
repaired, annulled, ended. Whoever had it drops it; whoever had not learns nothing of it. An entity that was archived is
gone with its records; if a registrar takes that back, its next entry says so and its records are read at its address.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from datetime import date
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import require_purpose
from credit_service.accounts.rules import Audience, Permission, Principal, audience_of
from credit_service.exchange import store
from credit_service.exchange.log import reader_of
from credit_service.exchange.models import ChangePage, Digest
from credit_service.platform.errors import NOT_FOUND, Problem
from credit_service.records.feed import shown_now
from credit_service.records.pages import PurposeHeader

router = APIRouter(tags=["changes 变更"])

Reads = Annotated[Principal, Depends(requires(Permission.READ_CHANGES))]
DEFAULT_LIMIT, LARGEST_LIMIT = 200, 1000
LONGEST_WAIT = 30
LOOK_SECONDS = 0.5


@router.get("/v1/changes", response_model=ChangePage)
async def read_changes(
    request: Request,
    principal: Reads,
    after: Annotated[int, Query(ge=-1, lt=1 << 62, description="上次序号 Last place seen; -1: from the first")] = -1,
    limit: Annotated[int, Query(ge=1, le=LARGEST_LIMIT, description="每页条数 Changes a page")] = DEFAULT_LIMIT,
    wait: Annotated[int, Query(ge=0, le=LONGEST_WAIT, description="等待秒数 Wait so long for a change")] = 0,
    credit_purpose: PurposeHeader = None,
) -> Response:
    """变更流 Changes after a place. Come back with ``next_after``, after however long."""
    audience = audience_of(principal, principal.entity_uscc or "")
    require_purpose(principal, audience, credit_purpose, None)
    state = request.app.state
    connection = await reader_of(request).connection()
    rows = await store.changes(connection, after, limit)
    for _ in range(int(wait / LOOK_SECONDS)):
        if rows or await request.is_disconnected():
            break
        await asyncio.sleep(LOOK_SECONDS)
        rows = await store.changes(connection, after, limit)
    ids = {UUID(row["subject_id"]) for row in rows if row["subject_type"] == "record"}
    usccs = {row["subject_id"] for row in rows if row["subject_type"] == "entity"}
    records, archived = await shown_now(state.database, state.catalogue, principal, ids, usccs, state.clock.now())
    content = {
        "changes": [_shown(row, records, archived) for row in rows],
        "next_after": rows[-1]["sequence"] if rows else after,
        "end": await store.end(connection),
    }
    caching = "no-cache" if audience is Audience.PUBLIC else "private, no-store"
    headers = {"Cache-Control": caching, "Vary": "Authorization"}
    return Response(orjson.dumps(content, default=str), media_type="application/json", headers=headers)


def _shown(row: Any, records: Mapping[str, tuple[int, Mapping[str, Any]]], archived: Collection[str]) -> dict[str, Any]:
    """An entry for the caller. The registration data of an entity is everybody's to read at its own address."""
    entry: dict[str, Any] = {"sequence": row["sequence"], "leaf_hash": row["leaf_hash"].hex()}
    kind, subject = row["subject_type"], row["subject_id"]
    if (kind == "record" and subject not in records) or (kind == "entity" and subject in archived):
        return entry | {"subject_type": kind, "subject_id": subject, "gone": True}
    if kind not in ("record", "entity"):
        return entry
    entry |= {"subject_type": kind, "subject_id": subject, "occurred_at": row["occurred_at"], "action": row["action"]}
    if kind == "entity":
        return entry
    version, record = records[subject]
    return entry | {"version": version, "record": record}


@router.get("/v1/changes/digest", response_model=Digest)
async def read_digest(
    request: Request,
    principal: Reads,
    day: Annotated[date | None, Query(description="日期 Day in Asia/Shanghai; default: the newest")] = None,
) -> Digest:
    """每日摘要 What the public was shown on a day, to check a mirror against."""
    found = await store.digest(await reader_of(request).connection(), day)
    if found is None:
        raise Problem(NOT_FOUND)
    return Digest(**found)
