"""HTTP of watchlists: an agency's own, never shown to anybody else."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts.dependencies import requires
from credit_service.accounts.purpose import note_subjects, require_purpose
from credit_service.accounts.rules import Permission, Principal, Role, audience_of
from credit_service.audit.shards import end_of_log
from credit_service.platform import paging
from credit_service.platform.database import driver_connection
from credit_service.platform.http import actor_of, change, json_answer
from credit_service.platform.idempotency import StoredAnswer
from credit_service.records.pages import Cursor, Limit, PurposeHeader
from credit_service.supervision.screening.reading import Row, screening
from credit_service.supervision.watchlists import commands, store
from credit_service.supervision.watchlists.models import (
    ChangeFeed,
    ChangeView,
    EntitiesChange,
    EntitiesReceipt,
    HitsPage,
    RecordNow,
    ReviewView,
    ReviewWrite,
    WatchedEntity,
    WatchedHit,
    WatchedHits,
    WatchedPage,
    WatchlistIndex,
    WatchlistView,
    WatchlistWrite,
)

router = APIRouter(tags=["watchlists 关注名单"])

Watcher = Annotated[Principal, Depends(requires(Permission.WATCH))]
Id = Annotated[UUID, Path(description="关注名单标识 Watchlist id")]
IdempotencyKey = Annotated[str | None, Header(description="幂等键")]
PATH = "/v1/watchlists"
ONE = f"{PATH}/{{watchlist_id}}"


@router.post(PATH, response_model=WatchlistView, status_code=201)
async def create_watchlist(
    request: Request, body: WatchlistWrite, principal: Watcher, idempotency_key: IdempotencyKey = None
) -> Response:
    """建立关注名单 A new watchlist of the caller's agency."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        row = await commands.create(session, actor_of(request, principal), now, body.name)
        shown = WatchlistView(id=row.id, name=row.name, created_at=row.created_at, entities=0)
        return json_answer(shown.model_dump(mode="json"), 201, {"Location": f"{PATH}/{row.id}"})

    return await change(request, principal, run)


@router.get(PATH, response_model=WatchlistIndex)
async def list_watchlists(request: Request, principal: Watcher) -> WatchlistIndex:
    """关注名单目录 The watchlists of the caller's agency."""
    async with request.app.state.database.transaction() as session:
        found = await store.of_agency(session, principal.agency_uscc or "")
    return WatchlistIndex(
        watchlists=[
            WatchlistView(id=row.id, name=row.name, created_at=row.created_at, entities=held) for row, held in found
        ]
    )


@router.delete(ONE, status_code=204)
async def close_watchlist(
    request: Request, watchlist_id: Id, principal: Watcher, idempotency_key: IdempotencyKey = None
) -> Response:
    """停用关注名单 Stop using a watchlist."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        await commands.close(session, actor_of(request, principal), now, watchlist_id)
        return StoredAnswer(204, {}, b"")

    return await change(request, principal, run)


@router.post(f"{ONE}/entities", response_model=EntitiesReceipt)
async def change_entities(
    request: Request,
    watchlist_id: Id,
    body: EntitiesChange,
    principal: Watcher,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """维护关注主体 Add and remove entities, up to 10,000 each; changes of one that is added are told from now on."""
    now = request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        receipt = await commands.change_entities(session, actor_of(request, principal), now, watchlist_id, body)
        return json_answer(receipt.model_dump(mode="json"))

    return await change(request, principal, run)


@router.get(f"{ONE}/entities", response_model=WatchedPage)
async def list_entities(
    request: Request,
    watchlist_id: Id,
    principal: Watcher,
    cursor: Cursor = None,
    limit: Limit = paging.DEFAULT_LIMIT,
) -> WatchedPage:
    """关注主体 The entities of a watchlist, by code."""
    [code] = paging.place_of(cursor, paging.BY_TEXT) or ("",)
    async with request.app.state.database.transaction() as session:
        await commands.own(session, actor_of(request, principal), watchlist_id)
        rows = await store.entities(await driver_connection(session), watchlist_id, code, limit)
    shown = [WatchedEntity(**row) for row in rows[:limit]]
    following = paging.encode_cursor(shown[-1].uscc) if len(rows) > limit else None
    return WatchedPage(entities=shown, next_cursor=following)


@router.get(f"{ONE}/changes", response_model=ChangeFeed)
async def read_changes(
    request: Request,
    watchlist_id: Id,
    principal: Watcher,
    after: Annotated[
        str | None, Query(max_length=100, description="上次的next_after Default: since each was added")
    ] = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    credit_purpose: PurposeHeader = None,
) -> ChangeFeed:
    """变更推送 What changed about the watched entities since a place in the log, each change once, in its order."""
    require_purpose(principal, audience_of(principal, ""), credit_purpose, None)
    agency = None if principal.role is Role.REGULATOR else principal.agency_uscc
    [place] = paging.place_of(after, paging.BY_NUMBER, name="after") or (0,)
    async with request.app.state.database.transaction() as session:
        await commands.own(session, actor_of(request, principal), watchlist_id)
        connection = await driver_connection(session)
        # The end is read first: what the log gains in between is past it, and is asked for next time.
        end = await end_of_log(connection)
        rows = [row for row in await store.changes(connection, watchlist_id, place, agency, limit) if row[0] < end]
    shown = [_change(row) for row in rows[:limit]]
    note_subjects({each.uscc for each in shown})
    more = len(rows) > limit
    following = shown[-1].sequence + 1 if more else max(end, place)
    return ChangeFeed(changes=shown, next_after=paging.encode_cursor(following), more=more)


@router.get(f"{ONE}/hits", response_model=HitsPage)
async def read_hits(
    request: Request,
    watchlist_id: Id,
    principal: Watcher,
    include_reviewed: Annotated[
        bool, Query(description="包括已核阅的 Also what was looked at and has not changed")
    ] = False,
    cursor: Cursor = None,
    limit: Limit = paging.DEFAULT_LIMIT,
    credit_purpose: PurposeHeader = None,
) -> HitsPage:
    """关注命中 Watched entities with standing list entries that nobody has looked at in their present version.

    A page looks at ``limit`` entities, so it may show fewer, or none; ``next_cursor`` tells whether to go on.
    """
    state, audience = request.app.state, audience_of(principal, "")
    require_purpose(principal, audience, credit_purpose, None)
    [code] = paging.place_of(cursor, paging.BY_TEXT) or ("",)
    async with state.database.transaction() as session:
        await commands.own(session, actor_of(request, principal), watchlist_id)
    async with screening(state.database, state.clock, state.catalogue, audience, None) as under_way:
        watched = await store.entities(under_way.connection, watchlist_id, code, limit)
        codes = [row["uscc"] for row in watched[:limit]]
        rows = await under_way.codes(codes)
        reviewed = await store.reviews(under_way.connection, watchlist_id, codes)
    shown = [_hits(row, reviewed, include_reviewed) for row in rows]
    following = paging.encode_cursor(codes[-1]) if len(watched) > limit else None
    return HitsPage(holds_at=under_way.holds_at, entities=[each for each in shown if each.hits], next_cursor=following)


@router.post(f"{ONE}/reviews", response_model=ReviewView)
async def review_hit(
    request: Request,
    watchlist_id: Id,
    body: ReviewWrite,
    principal: Watcher,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    """核阅 Note that a hit was looked at; it is not shown again until the record changes."""
    state, now = request.app.state, request.app.state.clock.now()

    async def run(session: AsyncSession) -> StoredAnswer:
        row = await commands.review(session, state.catalogue, actor_of(request, principal), now, watchlist_id, body)
        shown = ReviewView(**row.model_dump(include=set(ReviewView.model_fields)))
        return json_answer(shown.model_dump(mode="json"))

    return await change(request, principal, run)


def _change(row: Any) -> ChangeView:
    names = ("sequence", "uscc", "action", "subject_type", "subject_id", "occurred_at")
    now = RecordNow(**{name: row[name] for name in RecordNow.model_fields}) if row["item_code"] else None
    return ChangeView(**{name: row[name] for name in names}, record=now)


def _hits(row: Row, reviewed: dict[str, tuple[int, str | None]], include_reviewed: bool) -> WatchedHits:
    hits = []
    for hit in row.get("hits", ()):
        version, note = reviewed.get(hit["record_id"], (0, None))
        seen = version == hit["version"]
        if include_reviewed or not seen:
            hits.append(WatchedHit(**hit, reviewed=seen, changed_since_review=bool(version) and not seen, note=note))
    return WatchedHits(uscc=row["code"], name=row.get("name", ""), flags=row.get("flags", []), hits=hits)
