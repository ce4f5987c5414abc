"""Use cases on watchlists. Events of theirs belong to no entity: nobody's file tells that it is watched."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.accounts.rules import Audience
from credit_service.audit import events
from credit_service.audit.models import SYSTEM_SUBJECT
from credit_service.audit.shards import end_of_log
from credit_service.catalogue.models import Catalogue
from credit_service.identity.personal import holds_identity_number
from credit_service.identity.uscc import normalise
from credit_service.platform.context import Actor
from credit_service.platform.database import driver_connection
from credit_service.platform.errors import (
    INVALID_REQUEST,
    NOT_FOUND,
    PRECONDITION_FAILED,
    FieldError,
    Problem,
)
from credit_service.records.bulk import standing_records
from credit_service.supervision.watchlists import store
from credit_service.supervision.watchlists.models import (
    EntitiesChange,
    EntitiesReceipt,
    ReviewWrite,
    Watchlist,
    WatchlistReview,
)

SUBJECT_TYPE = "watchlist"


def agency_of(actor: Actor) -> str:
    assert actor.agency_uscc is not None  # the permission is of roles that act for an agency
    return actor.agency_uscc


async def own(session: AsyncSession, actor: Actor, watchlist_id: UUID) -> Watchlist:
    """A watchlist of the actor's agency, held. Raises ``NOT_FOUND``, for others' too."""
    found = await store.own(session, watchlist_id, agency_of(actor))
    if found is None:
        raise Problem(NOT_FOUND)
    return found


async def create(session: AsyncSession, actor: Actor, now: datetime, name: str) -> Watchlist:
    _refuse_persons("/name", name)
    row = Watchlist(id=uuid7(), agency_uscc=agency_of(actor), name=name, created_by=actor.id, created_at=now)
    session.add(row)
    _record(session, actor, now, "created", row.id, {"name": name})
    return row


async def close(session: AsyncSession, actor: Actor, now: datetime, watchlist_id: UUID) -> None:
    """Stop using a watchlist. Raises ``NOT_FOUND``."""
    row = await own(session, actor, watchlist_id)
    row.closed_at = now
    _record(session, actor, now, "closed", row.id, {})


async def change_entities(
    session: AsyncSession, actor: Actor, now: datetime, watchlist_id: UUID, body: EntitiesChange
) -> EntitiesReceipt:
    """Add and remove entities; who is added is told of what happens from now on. Raises ``NOT_FOUND``."""
    row = await own(session, actor, watchlist_id)
    connection = await driver_connection(session)
    adding = [normalise(code) for code in body.add]
    registered = await store.known(connection, adding)
    removed = await store.remove(connection, row.id, [normalise(code) for code in body.remove])
    since = await end_of_log(connection)
    added = await store.add(connection, row.id, sorted(registered), since, now)
    if added or removed:
        _record(session, actor, now, "changed", row.id, {"added": sorted(added), "removed": sorted(removed)})
    return EntitiesReceipt(
        added=len(added),
        removed=len(removed),
        unknown=[place for place, code in enumerate(adding) if code not in registered],
        entities=await store.count(session, row.id),
    )


async def review(
    session: AsyncSession,
    catalogue: Catalogue,
    actor: Actor,
    now: datetime,
    watchlist_id: UUID,
    body: ReviewWrite,
) -> WatchlistReview:
    """Note that a hit was looked at in its present version.

    Raises ``NOT_FOUND`` when the record does not stand, and ``PRECONDITION_FAILED`` when it has changed meanwhile.
    """
    _refuse_persons("/note", body.note or "")
    row = await own(session, actor, watchlist_id)
    connection = await driver_connection(session)
    uscc = normalise(body.uscc)
    found = await standing_records(connection, [uscc], catalogue.items, Audience.AGENCY, now)
    record = next((each for each in found if each.id == body.record_id), None)
    if record is None:
        raise Problem(NOT_FOUND, errors=[FieldError("/record_id", "a standing record of the entity")])
    if record.version != body.version:
        raise Problem(PRECONDITION_FAILED, extra={"current": record.version})
    reviewed = WatchlistReview(
        uscc=uscc,
        watchlist_id=row.id,
        record_id=body.record_id,
        version=body.version,
        note=body.note,
        reviewed_by=actor.id,
        reviewed_at=now,
    )
    await store.keep_review(connection, reviewed)
    _record(session, actor, now, "reviewed", row.id, {"record": str(body.record_id), "version": body.version})
    return reviewed


def _refuse_persons(pointer: str, text: str) -> None:
    if holds_identity_number(text):
        raise Problem(INVALID_REQUEST, errors=[FieldError(pointer, "no identity number of a person")])


def _record(
    session: AsyncSession, actor: Actor, now: datetime, what: str, identifier: UUID, content: dict[str, Any]
) -> None:
    event = events.new_event(
        actor,
        now,
        f"watchlist.{what}",
        uscc=SYSTEM_SUBJECT,
        subject_type=SUBJECT_TYPE,
        subject_id=str(identifier),
        after=events.commitment(b"", events.canonical_json(content)),
    )
    events.append(session, [event])
