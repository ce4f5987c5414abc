"""Use cases on entities: a registrar reports one; a record names one the registrar has not reported yet."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.audit import events
from credit_service.entities import profile, store
from credit_service.entities.models import Entity, EntityName, EntityVersion, EntityWrite, RegistrationStatus
from credit_service.identity import industries
from credit_service.identity.uscc import Uscc, compose
from credit_service.platform.context import Actor
from credit_service.platform.database import driver_connection
from credit_service.platform.days import day_of, rfc3339
from credit_service.platform.errors import (
    INVALID_REQUEST,
    PRECONDITION_FAILED,
    PRECONDITION_REQUIRED,
    FieldError,
    Problem,
)

SUBJECT_TYPE = "entity"


def _check(body: EntityWrite) -> None:
    errors = []
    if body.industry is not None and not industries.is_known(body.industry):
        errors.append(FieldError("/industry", "GB/T 4754-2017"))
    if body.established_on and body.deregistered_on and body.deregistered_on < body.established_on:
        errors.append(FieldError("/deregistered_on", "ends-before-establishment"))
    if body.archived and body.registration_status is not RegistrationStatus.DEREGISTERED:
        errors.append(FieldError("/archived", "archived-only-when-deregistered"))
    if errors:
        raise Problem(INVALID_REQUEST, errors=errors)


def _apply(entity: Entity, body: EntityWrite, code: Uscc, now: datetime) -> None:
    entity.name = body.name
    entity.division = body.division or code.division
    entity.industry = body.industry
    entity.registration_status = body.registration_status
    entity.established_on = body.established_on
    entity.deregistered_on = body.deregistered_on
    entity.archived_at = (entity.archived_at or now) if body.archived else None
    entity.quality_flags = sorted(code.quality_flags)
    entity.quality_reason = (body.admit_bad_check_digit or entity.quality_reason) if code.quality_flags else None
    entity.source = "registrar"
    entity.updated_at = now


def content_of(entity: Entity, names: list[dict[str, str | None]]) -> bytes:
    """Canonical JSON of what the registry says of an entity: a version's content, and what its digest covers."""
    return events.canonical_json(
        {
            **entity.model_dump(mode="json", exclude={"created_at", "updated_at", "version"}),
            "archived_at": rfc3339(entity.archived_at) if entity.archived_at else None,
            "names": names,
        }
    )


async def _replace_names(session: AsyncSession, entity: Entity, body: EntityWrite) -> None:
    """Keep every name ever reported; a name that is no longer current becomes a former one."""
    today = day_of(entity.updated_at)
    known = {row.name: row for row in await store.names(session, entity.uscc)}
    reported = {period.name: period for period in body.former_names}
    for name, row in known.items():
        period = reported.get(name)
        if period is not None:
            row.used_from, row.used_until = period.used_from, period.used_until
        elif name != entity.name and row.used_until is None:
            row.used_until = today
    for name in (*reported, entity.name):
        if name not in known:
            period = reported.get(name)
            known[name] = EntityName.of(
                entity.uscc,
                name,
                period.used_from if period else None,
                (period.used_until or today) if period else None,
            )
            session.add(known[name])
    if entity.name in known and entity.name not in reported:
        known[entity.name].used_until = None


async def _names(session: AsyncSession, uscc: str) -> list[dict[str, str | None]]:
    await session.flush()
    rows = sorted(await store.names(session, uscc), key=lambda row: row.name)
    return [row.model_dump(mode="json", include={"name", "used_from", "used_until"}) for row in rows]


def _check_version(entity: Entity | None, if_match: str | None) -> None:
    if entity is None or entity.source == "record":
        return
    if if_match is None:
        raise Problem(PRECONDITION_REQUIRED, errors=[FieldError("header:If-Match", "required for an update")])
    if if_match.strip() not in ("*", version_tag(entity.version)):
        raise Problem(PRECONDITION_FAILED, extra={"current": version_tag(entity.version)})


def version_tag(version: int) -> str:
    """The ETag of an entity's registration data."""
    return f'"v{version}"'


async def put_entity(
    session: AsyncSession, actor: Actor, now: datetime, *, code: str, body: EntityWrite, if_match: str | None
) -> tuple[Entity, bool]:
    """Store what a registrar reports; gives the entity and whether it is new to the registry.

    Raises ``USCC_INVALID`` (a wrong check digit needs ``admit_bad_check_digit``, once), ``INVALID_REQUEST``,
    ``PRECONDITION_REQUIRED`` and ``PRECONDITION_FAILED`` (updates need If-Match).
    """
    uscc = Uscc.parse(code, pointer="path:uscc", admit_bad_check_digit=True)
    _check(body)
    entity = await store.get(session, uscc.value, lock=True)
    if entity is None and body.admit_bad_check_digit is None:
        Uscc.parse(code, pointer="path:uscc")  # one that is stored was admitted with its reason
    _check_version(entity, if_match)
    created = entity is None
    before = None
    if entity is None:
        entity = _new(uscc, body.name, "registrar", now)
        session.add(entity)
    else:
        before = events.commitment(b"", content_of(entity, await _names(session, entity.uscc)))
        entity.version += 1
    _apply(entity, body, uscc, now)
    await _replace_names(session, entity, body)
    content = content_of(entity, await _names(session, entity.uscc))
    change = "entity.registered" if created else "entity.updated"
    _append_version(session, actor, now, entity, content, before, change)
    await rewrite_profile(session, uscc.value, now)
    return entity, created


def _append_version(
    session: AsyncSession,
    actor: Actor,
    now: datetime,
    entity: Entity,
    content: bytes,
    before: bytes | None,
    change: str,
) -> None:
    session.add(
        EntityVersion(
            uscc=entity.uscc,
            version=entity.version,
            recorded_at=now,
            change=change,
            actor=actor.id,
            request_id=actor.request_id,
            content=content.decode(),
        )
    )
    event = events.new_event(
        actor,
        now,
        change,
        uscc=entity.uscc,
        subject_type=SUBJECT_TYPE,
        subject_id=entity.uscc,
        version=entity.version,
        before=before,
        after=events.commitment(b"", content),
        reason=entity.quality_reason,
    )
    events.append(session, [event])


def _new(code: Uscc, name: str, source: str, now: datetime) -> Entity:
    return Entity(
        uscc=code.value,
        name=name,
        category=code.category.code,
        division=code.division,
        registration_status=RegistrationStatus.UNKNOWN,
        quality_flags=sorted(code.quality_flags),
        source=source,
        created_at=now,
        updated_at=now,
    )


_NO_INSTANT = datetime.min.replace(tzinfo=UTC)


def noted_content(code: Uscc, name: str) -> bytes:
    """The first version of an entity that only a record names yet; when that was stands beside it, not in it."""
    return events.canonical_json(
        {
            **_unreported(),
            "uscc": code.value,
            "name": name,
            "category": code.category.code,
            "division": code.division,
            "quality_flags": sorted(code.quality_flags),
            "names": [{"name": name, "used_from": None, "used_until": None}],
        }
    )


@cache
def _unreported() -> dict[str, Any]:
    """What is said alike of every entity that nobody has reported: an import notes thousands."""
    entity = _new(Uscc.parse(compose("91", "110000", "00000000")), "", "record", _NO_INSTANT)
    found: dict[str, Any] = orjson.loads(content_of(entity, []))
    return found


async def ensure_entity(session: AsyncSession, actor: Actor, now: datetime, code: Uscc, name: str) -> Entity:
    """The entity a record is about, locked. One that no registrar has reported is noted with the record's name."""
    entity = await store.get(session, code.value, lock=True)
    if entity is not None:
        return entity
    if not await store.note(session, _new(code, name, "record", now)):
        return await store.get_locked(session, code.value)
    entity = await store.get_locked(session, code.value)
    session.add(EntityName.of(code.value, name))
    _append_version(session, actor, now, entity, noted_content(code, name), None, "entity.noted")
    return entity


async def is_admitted(session: AsyncSession, uscc: str) -> bool:
    """Whether a registrar has admitted this code although its check digit is wrong."""
    entity = await store.get(session, uscc)
    return entity is not None and bool(entity.quality_flags)


async def admitted_codes(session: AsyncSession) -> frozenset[str]:
    """Every code with a wrong check digit that a registrar has admitted (a few in any registry)."""
    return frozenset(await store.flagged(session))


async def known_names(session: AsyncSession, entity: Entity) -> list[str]:
    """The present name and every former one."""
    return [entity.name, *(row.name for row in await store.names(session, entity.uscc))]


async def division_of(session: AsyncSession, uscc: str) -> str:
    """Where an entity is registered; the division in its code where nobody has reported another."""
    entity = await store.get(session, uscc)
    return entity.division if entity is not None else uscc[2:8]


async def name_of(session: AsyncSession, uscc: str) -> str:
    """An entity's name; its code where the registry does not know it."""
    entity = await store.get(session, uscc)
    return entity.name if entity is not None else uscc


async def rewrite_profile(session: AsyncSession, uscc: str, now: datetime) -> None:
    """Render the profile for every audience in the transaction of the change, and note that the entity changed."""
    await session.flush()
    connection = await driver_connection(session)
    await profile.render(connection, [uscc], now)
    await profile.note_changes(connection, [uscc])
