"""Deregistered and archived entities 已注销并归档: on every surface gone for the public and other agencies, 410.

The subject and its supervisor go on seeing them. What is gone now is gone as of any day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.accounts.rules import Audience
from credit_service.entities.models import Entity, RegistrationStatus
from credit_service.identity.uscc import Uscc
from credit_service.platform.errors import GONE, NOT_FOUND, FieldError, Problem

if TYPE_CHECKING:
    from collections.abc import Collection

ARCHIVED = "archived_at IS NOT NULL AND registration_status = 'deregistered'"
"""The condition as SQL on a row of ``entity``; ``is_archived`` is the same for the object mapper."""


def is_archived() -> ColumnElement[bool]:
    return and_(
        col(Entity.archived_at).is_not(None), col(Entity.registration_status) == RegistrationStatus.DEREGISTERED
    )


def hidden_from(audience: Audience) -> bool:
    """Whether archived entities are gone for this audience."""
    return audience in (Audience.PUBLIC, Audience.AGENCY)


async def archived_among(session: AsyncSession, usccs: Collection[str]) -> frozenset[str]:
    """Those of the entities that are archived."""
    found = await session.execute(select(col(Entity.uscc)).where(col(Entity.uscc).in_(usccs), is_archived()))
    return frozenset(found.scalars())


async def require_shown(session: AsyncSession, text: str, audience: Audience) -> None:
    """Raises ``NOT_FOUND`` for an entity that the registry does not know, and ``GONE`` for one that is gone.

    A code with a wrong check digit that nobody has admitted is ``USCC_INVALID``, as in the lookup.
    """
    code = Uscc.parse(text, pointer="path:uscc", admit_bad_check_digit=True)
    found = await session.execute(select(is_archived()).where(col(Entity.uscc) == code.value))
    archived = found.scalar_one_or_none()
    if archived is None:
        if code.quality_flags:
            Uscc.parse(text, pointer="path:uscc")
        raise Problem(NOT_FOUND, errors=[FieldError("path:uscc", "known-entity")])
    if archived and hidden_from(audience):
        raise Problem(GONE)
