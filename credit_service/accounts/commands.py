"""Use cases on accounts; each change leaves an audit event."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerifyMismatchError
from sqlalchemy.ext.asyncio import AsyncSession

from credit_service.accounts import store
from credit_service.accounts.assertions import principal_of_client, unusable_keys
from credit_service.accounts.models import (
    Agency,
    AgencyRead,
    AgencyWrite,
    BlockedPrincipal,
    Client,
    ClientCreate,
    ClientSecret,
    PrincipalBlock,
)
from credit_service.accounts.rules import AGENCY_ROLES, Principal, Role
from credit_service.audit import events
from credit_service.audit.models import SYSTEM_SUBJECT
from credit_service.catalogue.models import Catalogue
from credit_service.identity.uscc import Uscc
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.errors import CONFLICT, INVALID_REQUEST, NOT_FOUND, FieldError, Problem

_hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)  # RFC 9106 / OWASP second choice
_DECOY = _hasher.hash(secrets.token_urlsafe(32))
_hashing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="secrets")


@dataclass(frozen=True, slots=True)
class SubmittingAgency:
    """An active agency with its grants of (item, division prefix)."""

    uscc: str
    name: str
    grants: tuple[tuple[str, str], ...]
    level: str


async def load_agency(session: AsyncSession, uscc: str) -> SubmittingAgency | None:
    """The agency if it is known and active."""
    row = await store.agency(session, uscc)
    if row is None or not row.active:
        return None
    grants = await store.grants(session, uscc)
    return SubmittingAgency(row.uscc, row.name, tuple((g.item_code, g.division_prefix) for g in grants), row.level)


async def read_agency(session: AsyncSession, uscc: str) -> AgencyRead:
    """An agency with its grants. Raises ``NOT_FOUND``."""
    row = await store.agency(session, uscc)
    if row is None:
        raise Problem(NOT_FOUND)
    return await _read(session, row)


async def _read(session: AsyncSession, row: Agency) -> AgencyRead:
    return AgencyRead(
        **row.model_dump(exclude={"created_at"}),
        grants=await store.grants(session, row.uscc),
    )


async def list_agencies(session: AsyncSession) -> list[AgencyRead]:
    """Every agency with its grants, by code."""
    return [await _read(session, row) for row in await store.agencies(session)]


async def put_agency(
    session: AsyncSession, catalogue: Catalogue, actor: Actor, now: datetime, code: str, body: AgencyWrite
) -> tuple[AgencyRead, bool]:
    """Enter or change an agency and what it may submit; gives it and whether it is new.

    Raises ``USCC_INVALID`` and ``INVALID_REQUEST`` (unknown item, parent or successor; a successor of its own).
    """
    uscc = Uscc.parse(code, pointer="path:uscc").value
    row = await store.agency(session, uscc)
    await _check(session, catalogue, uscc, body)
    created = row is None
    before = None if row is None else _digest(await _read(session, row))
    row = row or Agency(uscc=uscc, name="", division="", level="", created_at=now)
    for name in ("name", "division", "level", "parent_uscc", "successor_uscc", "active", "daily_subjects"):
        setattr(row, name, getattr(body, name))
    session.add(row)
    await store.replace_grants(session, uscc, body.grants)
    await session.flush()
    agency = await _read(session, row)
    action = "agency.created" if created else "agency.updated"
    event = events.new_event(
        actor,
        now,
        action,
        uscc=uscc,
        subject_type="agency",
        subject_id=uscc,
        before=before,
        after=_digest(agency),
    )
    events.append(session, [event])
    return agency, created


def _digest(agency: AgencyRead) -> bytes:
    return events.commitment(b"", events.canonical_json(agency.model_dump(mode="json")))


async def _check(session: AsyncSession, catalogue: Catalogue, uscc: str, body: AgencyWrite) -> None:
    errors = [
        FieldError(f"/grants/{index}/item_code", "catalogue")
        for index, grant in enumerate(body.grants)
        if catalogue.find(grant.item_code) is None
    ]
    for name in ("parent_uscc", "successor_uscc"):
        other = getattr(body, name)
        if other is not None and (other == uscc or await store.agency(session, other) is None):
            errors.append(FieldError(f"/{name}", "another known agency"))
    if errors:
        raise Problem(INVALID_REQUEST, errors=errors)


async def create_client(session: AsyncSession, actor: Actor, now: datetime, body: ClientCreate) -> ClientSecret:
    """Make a client; its secret is given here and never again. Raises ``CONFLICT`` and ``INVALID_REQUEST``."""
    if await store.client(session, body.client_id) is not None:
        raise Problem(CONFLICT, errors=[FieldError("/client_id", "unique")])
    entity = Uscc.parse(body.entity_uscc, pointer="/entity_uscc").value if body.entity_uscc else None
    errors = []
    if body.role is Role.PUBLIC:
        errors.append(FieldError("/role", "the public needs no client"))
    if body.role is Role.SUBJECT and entity is None:
        errors.append(FieldError("/entity_uscc", "required for a subject"))
    acts_for_agency = body.role in AGENCY_ROLES or body.agency_uscc is not None
    if acts_for_agency and await store.agency(session, body.agency_uscc or "") is None:
        errors.append(FieldError("/agency_uscc", "known agency"))
    errors += [
        FieldError(f"/jwks/{place}", "a public key: RSA of 2048 bits or more, or EC P-256")
        for place in unusable_keys(body.jwks or [])
    ]
    if errors:
        raise Problem(INVALID_REQUEST, errors=errors)
    # A client with a better proof has no secret that could leak beside it.
    secret = None if body.jwks or body.certificate_thumbprint else secrets.token_urlsafe(32)
    session.add(
        Client(
            client_id=body.client_id,
            name=body.name,
            role=body.role.value,
            agency_uscc=body.agency_uscc,
            entity_uscc=entity,
            secret_hash=await asyncio.to_thread(_hasher.hash, secret) if secret else None,
            jwks=body.jwks,
            certificate_thumbprint=body.certificate_thumbprint,
            created_at=now,
        )
    )
    _note(session, actor, now, "client.created", body.client_id)
    return ClientSecret(client_id=body.client_id, client_secret=secret)


async def disable_client(session: AsyncSession, actor: Actor, now: datetime, client_id: str) -> None:
    """Shut a client out; its tokens stop working within half a minute. Raises ``NOT_FOUND``."""
    row = await store.client(session, client_id)
    if row is None:
        raise Problem(NOT_FOUND)
    if row.disabled_at is None:
        row.disabled_at = now
        _note(session, actor, now, "client.disabled", client_id)


async def block(session: AsyncSession, actor: Actor, now: datetime, body: PrincipalBlock) -> None:
    """Shut a person or client out, or let it in again. Raises ``INVALID_REQUEST`` for oneself."""
    if body.principal == actor.id:
        raise Problem(INVALID_REQUEST, errors=[FieldError("/principal", "not oneself")])
    if body.blocked:
        row = BlockedPrincipal(principal=body.principal, reason=body.reason, blocked_by=actor.id, blocked_at=now)
        await store.block(session, row)
    else:
        await store.unblock(session, body.principal)
    event = events.new_event(
        actor,
        now,
        "principal.blocked" if body.blocked else "principal.unblocked",
        uscc=SYSTEM_SUBJECT,
        subject_type="principal",
        subject_id=body.principal,
        reason=body.reason,
    )
    events.append(session, [event])


def _note(session: AsyncSession, actor: Actor, now: datetime, action: str, client_id: str) -> None:
    event = events.new_event(actor, now, action, uscc=SYSTEM_SUBJECT, subject_type="client", subject_id=client_id)
    events.append(session, [event])


async def check_secret(database: Database, client_id: str, secret: str) -> Principal | None:
    """The principal of a client's credentials, or ``None``. An unknown client costs as much time as a wrong secret.

    The hash is checked outside any transaction and only a few at a time: a flood of guesses waits for itself and
    neither holds the connections nor the cores that everybody else needs.
    """
    row = None
    if client_id.isascii() and client_id.isprintable():  # RFC 6749 appendix A.1
        async with database.transaction() as session:
            row = await store.client(session, client_id)
    fits = await asyncio.get_running_loop().run_in_executor(
        _hashing, _fits, (row.secret_hash if row is not None else None) or _DECOY, secret
    )
    if row is None or row.secret_hash is None or not fits or row.disabled_at is not None:
        return None
    return principal_of_client(row)


async def check_certificate(database: Database, client_id: str, certificate: str | None) -> Principal | None:
    """The principal of a client whose connection proved its registered certificate (RFC 8705 section 2.2)."""
    if certificate is None or not client_id.isascii() or not client_id.isprintable():
        return None
    async with database.transaction() as session:
        row = await store.client(session, client_id)
    if row is None or row.disabled_at is not None or row.certificate_thumbprint is None:
        return None
    return principal_of_client(row) if hmac.compare_digest(row.certificate_thumbprint, certificate) else None


async def revoke_token(session: AsyncSession, actor: Actor, now: datetime, token_id: str, expires_at: datetime) -> None:
    """Revoke a token of the actor's own before it expires; doing it twice changes nothing."""
    if await store.revoke(session, token_id, expires_at, now):
        _note(session, actor, now, "token.revoked", actor.id.removeprefix("client:"))


def _fits(stored: str, secret: str) -> bool:
    try:
        return _hasher.verify(stored, secret)
    except (VerifyMismatchError, InvalidHashError):
        return False


async def successor_of(session: AsyncSession, uscc: str) -> str | None:
    """Who answers now for what an agency did: the last of its line of successors, itself while it is active."""
    seen: set[str] = set()
    current: str | None = uscc
    while current is not None and current not in seen:
        seen.add(current)
        row = await store.agency(session, current)
        if row is None or row.active:
            return current if row is not None else None
        current = row.successor_uscc
    return None


async def parent_of(session: AsyncSession, uscc: str) -> str | None:
    """The next higher authority of an agency, which its overdue cases are escalated to."""
    row = await store.agency(session, uscc)
    return row.parent_uscc if row is not None else None


async def agency_name(session: AsyncSession, uscc: str) -> str:
    """An agency's name, for a notice; its code where the registry does not know it."""
    row = await store.agency(session, uscc)
    return row.name if row is not None else uscc


async def answers_for(session: AsyncSession, uscc: str) -> frozenset[str]:
    """The agencies whose cases are this one's: its own and those it succeeded, while it is active."""
    return frozenset(await store.line(session, uscc))


async def division_of(session: AsyncSession, uscc: str) -> str:
    """An agency's division; the one in its code where the registry does not know it."""
    row = await store.agency(session, uscc)
    return row.division if row is not None else uscc[2:8]


async def reach(session: AsyncSession, uscc: str) -> tuple[frozenset[str], frozenset[str]]:
    """As ``answers_for``, and the agencies whose next higher authority this one is."""
    return await store.line_and_children(session, uscc)
