"""Keys that signed documents stay published when they are replaced, and say so when they were stolen.

A document is kept longer than the key that signed it. So the public half of a key, and when it signed, stand in the
database and in the log before it signs anything: every process and every backup of the database has them. A key that
was replaced or revoked never signs again, even where an old backup brought its file back.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts import store
from credit_service.accounts.keys import KeyStore, SigningKey
from credit_service.accounts.models import DocumentKey, DocumentKeySet, PublishedKey, Revocation
from credit_service.audit import events
from credit_service.audit.models import SYSTEM_SUBJECT
from credit_service.platform.clock import Clock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.errors import INVALID_REQUEST, NOT_FOUND, FieldError, Problem

RECHECKED_AFTER_SECONDS = 30.0
SERVICE = Actor("service", "published-keys")


class PublishedKeys:
    """The key that signs, published before it does; one process of several."""

    def __init__(self, database: Database, clock: Clock, keys: KeyStore) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys
        self._published: str | None = None
        self._checked_at = float("-inf")

    async def signing(self) -> SigningKey:
        """The key to sign with now. What another process or a restored database knows of it is asked for each half
        minute."""
        key = self._keys.signing()
        now = time.monotonic()
        if key.kid != self._published or now - self._checked_at >= RECHECKED_AFTER_SECONDS:
            async with self._database.transaction() as session:
                row = await store.published_key(session, key.kid)
                if row is None or _ended(row):
                    key = await publish(session, SERVICE, self._clock.now(), self._keys)
            self._published, self._checked_at = key.kid, now
        return key


def _ended(row: PublishedKey) -> bool:
    return row.replaced_at is not None or row.revoked_at is not None


async def publish(session: AsyncSession, actor: Actor, now: datetime, keys: KeyStore) -> SigningKey:
    """Publish the keys of the directory, and of those replaced there until when they signed; gives the one that signs.

    One that has ended is no key to sign with, so that another is made.
    """
    await store.lock_published_keys(session)
    key = keys.newest()
    rows = {row.kid: row for row in await store.published_keys(session)}
    while key.kid in rows and _ended(rows[key.kid]):
        key = keys.replace(key.kid)
    here = keys.in_order()
    for each in here:
        if each.kid not in rows:
            rows[each.kid] = PublishedKey(kid=each.kid, jwk=each.jwk, made_at=_made_at(each, now))
            session.add(rows[each.kid])
            _note(session, actor, now, "published", rows[each.kid])
    for older, successor in pairwise(here):
        row = rows[older.kid]
        if row.replaced_at is None:
            row.replaced_at = max(_made_at(successor, now), row.made_at)
            _note(session, actor, now, "replaced", row)
    return key


async def rotate(session: AsyncSession, actor: Actor, now: datetime, keys: KeyStore) -> SigningKey:
    """Make a key and publish it; it signs from now on."""
    keys.rotate()
    return await publish(session, actor, now, keys)


async def revoke(
    session: AsyncSession, actor: Actor, now: datetime, keys: KeyStore, kid: str, *, since: datetime, reason: str
) -> PublishedKey:
    """Publish that nothing a key signed at ``since`` or later is to be believed; an earlier instant may follow.

    The key that signs is replaced. The caller removes the file once this is committed. Raises ``NOT_FOUND`` for a key
    that neither was published nor lies in the directory, ``INVALID_REQUEST`` for an instant to come or after one
    that was published.
    """
    await publish(session, actor, now, keys)
    row = await store.published_key(session, kid)
    if row is None:
        raise Problem(NOT_FOUND, detail="no such key was published or is here")
    if since > now or (row.revoked_at is not None and since >= row.revoked_at):
        raise Problem(INVALID_REQUEST, errors=[FieldError("/since", "not to come, and before the one published")])
    row.revoked_at = since
    row.replaced_at = row.replaced_at or now
    _note(session, actor, now, "revoked", row, reason)
    await session.flush()
    await publish(session, actor, now, keys)
    return row


def _made_at(key: SigningKey, now: datetime) -> datetime:
    return min(datetime.fromtimestamp(key.made_at, UTC), now)


def _note(
    session: AsyncSession, actor: Actor, now: datetime, what: str, row: PublishedKey, reason: str | None = None
) -> None:
    """The event commits to what is published of the key from now on."""
    event = events.new_event(
        actor,
        now,
        f"signing-key.{what}",
        uscc=SYSTEM_SUBJECT,
        subject_type="signing-key",
        subject_id=row.kid,
        after=events.commitment(b"", events.canonical_json(_described(row).model_dump(exclude_none=True))),
        reason=reason,
    )
    events.append(session, [event])


async def accepts_tokens(session: AsyncSession, kid: str, now: datetime, lifetime_seconds: float) -> bool:
    """Whether a key is good for access tokens: not revoked, nor replaced for longer than any token lives."""
    row = await store.published_key(session, kid)
    if row is None:
        return True
    late = row.replaced_at is not None and now >= row.replaced_at + timedelta(seconds=lifetime_seconds)
    return row.revoked_at is None and not late


def key_set(rows: Iterable[PublishedKey]) -> DocumentKeySet:
    """What is published of keys, the oldest first."""
    return DocumentKeySet(keys=[_described(row) for row in rows])


def _described(row: PublishedKey) -> DocumentKey:
    return DocumentKey(
        **row.jwk,
        iat=int(row.made_at.timestamp()),
        exp=int(row.replaced_at.timestamp()) if row.replaced_at else None,
        revoked=Revocation(revoked_at=int(row.revoked_at.timestamp())) if row.revoked_at else None,
    )
