"""What the pages of records share: who is shown which, where a page goes on, ETags."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import Header, Query, Request, Response
from sqlalchemy import ColumnElement

from credit_service.accounts.purpose import note_subjects
from credit_service.accounts.rules import Audience
from credit_service.catalogue.models import Catalogue
from credit_service.entities.archive import require_shown
from credit_service.platform import paging
from credit_service.platform.database import Database
from credit_service.platform.http import matches
from credit_service.records import history, store
from credit_service.records.models import Record
from credit_service.records.proofs import proofs_of, rested_on
from credit_service.records.views import view as record_view

Limit = Annotated[int, Query(ge=1, le=paging.LARGEST_LIMIT, description="每页条数 Rows a page")]
Proof = Annotated[bool, Query(description="附日志证明 With proof that the log holds what is shown")]
Cursor = Annotated[str | None, Query(max_length=500, description="分页游标 Cursor of the page before")]
PurposeHeader = Annotated[str | None, Header(description="查询目的 Required unless the caller is the public")]


View = Callable[[Catalogue, Any, Audience, datetime], dict[str, Any]]


def seen_by(audience: Audience, now: datetime, uscc: str | None = None) -> ColumnElement[bool] | None:
    """Which records, of everybody or of one entity, an audience is shown, in SQL; ``None``: all of them."""
    if audience is Audience.PUBLIC:
        return store.visible_at(now, uscc)
    return store.shared_at(now, uscc) if audience is Audience.AGENCY else None


def tagged(request: Request, content: Any, audience: Audience) -> Response:
    """JSON with an ETag over its bytes, or 304."""
    body = orjson.dumps(content, default=str)
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    caching = "no-cache" if audience is Audience.PUBLIC else "private, no-cache"
    headers = {"ETag": etag, "Cache-Control": caching, "Vary": "Authorization"}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/json", headers=headers)


async def add_proofs(
    request: Request,
    audience: Audience,
    rows: Sequence[Record | history.PastRecord],
    shown: Sequence[dict[str, Any]],
) -> None:
    """Give each record that is shown its proofs; they are of one entity. Raises ``PROOF_PENDING``, ``UNPROVABLE``."""
    if rows:
        proofs = await proofs_of(request.app.state.log_reader, rows[0].uscc, audience, [rested_on(row) for row in rows])
        for row, told in zip(rows, shown, strict=True):
            told["proofs"] = proofs[row.id]


async def past_page(
    request: Request,
    asked: history.Asked,
    cursor: str | None,
    limit: int,
    *,
    view: View = record_view,
    of: str | None = None,
    proof: bool = False,
) -> Response:
    """A page of records as they were; with ``proof``, which is for records of one entity, that the log holds them.

    Raises ``NOT_FOUND`` and ``GONE`` where the page is ``of`` an entity that is unknown or archived.
    """
    state = request.app.state
    rows = await history.page(state.database, asked, after=paging.place_of(cursor, paging.BY_DAY), limit=limit + 1)
    if not rows and of is not None:
        async with state.database.transaction() as session:
            await require_shown(session, of, asked.audience)
    note_subjects(row.uscc for row in rows[:limit])
    shown = [view(state.catalogue, row, asked.audience, asked.point.as_of) for row in rows[:limit]]
    if proof:
        await add_proofs(request, asked.audience, rows[:limit], shown)
    content: dict[str, Any] = {"records": shown}
    if len(rows) > limit:
        content["next_cursor"] = paging.encode_cursor(*rows[limit - 1].place)
    return tagged(request, content, asked.audience)


async def page(
    request: Request,
    audience: Audience,
    where: Sequence[ColumnElement[bool]],
    cursor: str | None,
    limit: int,
    *,
    view: View = record_view,
    of: str | None = None,
    proof: bool = False,
) -> Response:
    """A page of records as they are, otherwise as ``past_page``."""
    state = request.app.state
    now = state.clock.now()
    database: Database = state.database
    after = paging.place_of(cursor, paging.BY_DAY)
    async with database.transaction() as session:
        rows = await store.page(session, where, after=after, limit=limit, seen=seen_by(audience, now, of))
        if not rows and of is not None:
            await require_shown(session, of, audience)
    note_subjects(row.uscc for row in rows[:limit])
    shown = [view(state.catalogue, row, audience, now) for row in rows[:limit]]
    if proof:
        await add_proofs(request, audience, rows[:limit], shown)
    content: dict[str, Any] = {"records": shown}
    if len(rows) > limit:
        last = rows[limit - 1]
        content["next_cursor"] = paging.encode_cursor(last.decided_on, last.id)
    return tagged(request, content, audience)
