"""Client authentication with a signed assertion: ``private_key_jwt`` (RFC 7523; OpenID Connect Core section 9)."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from jose import jwt
from jose.exceptions import JOSEError
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.accounts import store, tokens
from credit_service.accounts.models import Client, UsedAssertion
from credit_service.accounts.rules import Principal, Role
from credit_service.accounts.signatures import ALGORITHMS, VerifyingKeys, verifying_keys
from credit_service.platform.errors import Problem

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST = 8192
LONGEST_LIFE_SECONDS = 300
LONGEST_ID = 128


async def check_assertion(
    session: AsyncSession, text: str, *, audiences: Collection[str], now: datetime
) -> Principal | None:
    """The principal of a client that signed an assertion, ``None`` for one that proves nothing.

    Each assertion is good once, on all processes together: its id is kept, by a unique key and in this transaction,
    for as long as the assertion could be accepted (its life and the leeway), so that no replay finds a gap.
    """
    if len(text) > LONGEST:
        return None
    try:
        client_id = jwt.get_unverified_claims(text).get("iss")
        client = await store.client(session, str(client_id)) if _is_name(client_id) else None
        if client is None or client.disabled_at is not None or not client.jwks:
            return None
        claims = _verified(text, client)
        expires = tokens.check_claims(claims, issuer=client.client_id, audience=_aimed_at(claims, audiences), now=now)
    except (Problem, JOSEError, ValueError, TypeError, RecursionError):
        return None
    assertion_id = claims.get("jti")
    if claims.get("sub") != client.client_id or not _is_name(assertion_id):
        return None
    if expires > now.timestamp() + LONGEST_LIFE_SECONDS + tokens.LEEWAY_SECONDS:
        return None
    kept = datetime.fromtimestamp(expires, UTC) + timedelta(seconds=2 * tokens.LEEWAY_SECONDS)
    row = UsedAssertion(client_id=client.client_id, assertion_id=str(assertion_id), kept_until=kept)
    first = insert(UsedAssertion).values(**row.model_dump()).on_conflict_do_nothing()
    if (await session.execute(first.returning(col(UsedAssertion.client_id)))).first() is None:
        return None
    return principal_of_client(client)


def principal_of_client(client: Client) -> Principal:
    """Who a client of our own is once it has proved itself."""
    return Principal(
        id=f"client:{client.client_id}",
        role=Role(client.role),
        agency_uscc=client.agency_uscc,
        entity_uscc=client.entity_uscc,
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID and value.isascii() and value.isprintable()


def _verified(text: str, client: Client) -> dict[str, Any]:
    """The claims, signed with a key the client registered; the key decides which algorithm. Raises ``Problem``."""
    header = tokens.header_of(text)
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise tokens.refused("algorithm not allowed")
    members = [member for member in client.jwks or () if kid is None or member.get("kid") == kid]
    if len(members) != 1:
        raise tokens.refused("unknown key")
    found: VerifyingKeys = verifying_keys(members[0])
    if algorithm not in found:
        raise tokens.refused("algorithm not allowed with this key")
    return tokens.verified_claims(text, found[algorithm], frozenset({algorithm}))


def _aimed_at(claims: dict[str, Any], audiences: Collection[str]) -> str:
    """The one of our names that the assertion is for. Raises ``Problem`` when it is for somebody else."""
    aimed = claims.get("aud")
    for name in aimed if isinstance(aimed, list) else [aimed]:
        if isinstance(name, str) and name in audiences:
            return name
    raise tokens.refused("wrong audience")


def unusable_keys(members: list[dict[str, Any]]) -> list[int]:
    """Places of keys that verify nothing: private, too small, of an unknown kind, or unreadable."""
    found = []
    for place, member in enumerate(members):
        try:
            usable = bool(verifying_keys(member))
        except (JOSEError, ValueError, TypeError):
            usable = False
        if not usable:
            found.append(place)
    return found
