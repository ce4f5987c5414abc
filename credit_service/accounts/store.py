"""SQL of accounts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, delete, literal, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.accounts.models import (
    Agency,
    AgencyGrant,
    BlockedPrincipal,
    Client,
    Grant,
    PublishedKey,
    RevokedToken,
    UsedAssertion,
)


async def agency(session: AsyncSession, uscc: str) -> Agency | None:
    return await session.get(Agency, uscc)


async def agencies(session: AsyncSession) -> Sequence[Agency]:
    return (await session.execute(select(Agency).order_by(col(Agency.uscc)))).scalars().all()


async def grants(session: AsyncSession, uscc: str) -> list[Grant]:
    statement = (
        select(AgencyGrant)
        .where(col(AgencyGrant.agency_uscc) == uscc)
        .order_by(col(AgencyGrant.item_code), col(AgencyGrant.division_prefix))
    )
    rows = (await session.execute(statement)).scalars()
    return [Grant(item_code=row.item_code, division_prefix=row.division_prefix) for row in rows]


async def replace_grants(session: AsyncSession, uscc: str, wanted: Iterable[Grant]) -> None:
    await session.flush()
    await session.execute(delete(AgencyGrant).where(col(AgencyGrant.agency_uscc) == uscc))
    session.add_all(
        AgencyGrant(agency_uscc=uscc, item_code=grant.item_code, division_prefix=grant.division_prefix)
        for grant in dict.fromkeys(wanted)
    )


async def agency_names(session: AsyncSession, codes: Iterable[str]) -> dict[str, str]:
    """Names by code; unknown codes are left out."""
    statement = select(col(Agency.uscc), col(Agency.name)).where(col(Agency.uscc).in_(list(codes)))
    return {row.uscc: row.name for row in await session.execute(statement)}


async def subordinates(session: AsyncSession, uscc: str) -> list[str]:
    """Agencies directly below one."""
    statement = select(col(Agency.uscc)).where(col(Agency.parent_uscc) == uscc)
    return list((await session.execute(statement)).scalars())


async def client(session: AsyncSession, client_id: str) -> Client | None:
    return await session.get(Client, client_id)


async def is_revoked(session: AsyncSession, token_id: str) -> bool:
    return await session.get(RevokedToken, token_id) is not None


async def revoke(session: AsyncSession, token_id: str, expires_at: datetime, now: datetime) -> bool:
    """Remember a token as revoked; gives whether it was not yet."""
    row = RevokedToken(token_id=token_id, expires_at=expires_at, revoked_at=now)
    statement = insert(RevokedToken).values(**row.model_dump()).on_conflict_do_nothing()
    return (await session.execute(statement.returning(col(RevokedToken.token_id)))).first() is not None


async def lock_published_keys(session: AsyncSession) -> None:
    """One transaction at a time changes which key signs."""
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('published keys', 0))"))


async def published_key(session: AsyncSession, kid: str) -> PublishedKey | None:
    return await session.get(PublishedKey, kid)


async def published_keys(session: AsyncSession) -> Sequence[PublishedKey]:
    statement = select(PublishedKey).order_by(col(PublishedKey.made_at), col(PublishedKey.kid))
    return (await session.execute(statement)).scalars().all()


async def is_blocked(session: AsyncSession, principal: str) -> bool:
    return await session.get(BlockedPrincipal, principal) is not None


async def block(session: AsyncSession, row: BlockedPrincipal) -> None:
    """Shut a principal out; the newest reason counts."""
    statement = insert(BlockedPrincipal).values(**row.model_dump())
    await session.execute(statement.on_conflict_do_update(index_elements=["principal"], set_=row.model_dump()))


async def unblock(session: AsyncSession, principal: str) -> None:
    await session.execute(delete(BlockedPrincipal).where(col(BlockedPrincipal.principal) == principal))


async def forget_expired(session: AsyncSession, now: datetime) -> None:
    """Forget assertions and tokens that are refused for their age by now."""
    late = now - timedelta(minutes=5)  # well beyond every leeway
    await session.execute(delete(UsedAssertion).where(col(UsedAssertion.kept_until) < late))
    await session.execute(delete(RevokedToken).where(col(RevokedToken.expires_at) < late))


def _line(uscc: str) -> Select[Any]:
    """An active agency and those no longer active that name one of the line as their successor."""
    line = select(col(Agency.uscc)).where(col(Agency.uscc) == uscc, col(Agency.active)).cte("line", recursive=True)
    gone = select(col(Agency.uscc)).where(col(Agency.successor_uscc) == line.c.uscc, col(Agency.active).is_(False))
    line = line.union(gone)  # and not UNION ALL: a circle of successors ends
    return select(line.c.uscc)


async def line(session: AsyncSession, uscc: str) -> list[str]:
    """An agency and those it succeeded, while it is active."""
    return list((await session.execute(_line(uscc))).scalars())


async def line_and_children(session: AsyncSession, uscc: str) -> tuple[frozenset[str], frozenset[str]]:
    """As ``line``, and the agencies directly under it."""
    below = select(col(Agency.uscc), literal(True)).where(col(Agency.parent_uscc) == uscc)
    statement = _line(uscc).add_columns(literal(False)).union_all(below)
    rows = (await session.execute(statement)).all()
    return frozenset(code for code, under in rows if not under), frozenset(code for code, under in rows if under)
