"""Tokens of external OpenID providers: discovery and JWKS over httpx, cached, rotation and outages tolerated."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus

import httpx
import structlog
from jose.exceptions import JOSEError

from credit_service.accounts import tokens
from credit_service.accounts.rules import Principal
from credit_service.accounts.signatures import ALGORITHMS, VerifyingKeys, verifying_keys
from credit_service.accounts.tokens import Verified
from credit_service.platform.settings import OpenIdIssuer

TIMEOUT_SECONDS = 5.0
KEPT_SECONDS = 3600.0
LEAST_SECONDS_BETWEEN_FETCHES = 30.0
"""A flood of tokens with invented key ids must not become a flood of requests to the provider."""

logger = structlog.get_logger(__name__)


def claim_at(claims: dict[str, Any], path: str) -> Any:
    """The claim at a dotted path, or ``None``."""
    value: Any = claims
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


class IssuerKeys:
    """The public keys of one provider."""

    def __init__(self, issuer: OpenIdIssuer, http: httpx.AsyncClient) -> None:
        self.issuer = issuer
        self._http = http
        self._keys: dict[str, VerifyingKeys] = {}
        self._introspection: str | None = None
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None

    async def key(self, kid: str) -> VerifyingKeys | None:
        """The keys with this id. An unknown id asks the provider again, at most every 30 seconds.

        A known one never waits for the provider: old keys are renewed behind the callers' backs.
        """
        if kid not in self._keys:
            async with self._lock:
                if kid not in self._keys:
                    await self._refresh()
        elif self._is_due() and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self._renew())
        return self._keys.get(kid)

    def _is_due(self) -> bool:
        return time.monotonic() - self._fetched_at > KEPT_SECONDS and not self._lock.locked()

    async def close(self) -> None:
        """End a renewal that is under way."""
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    async def _renew(self) -> None:
        async with self._lock:
            await self._refresh()

    async def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._tried_at < LEAST_SECONDS_BETWEEN_FETCHES:
            return
        self._tried_at = now
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                found = await self._fetch()
        except Exception as error:
            # A stranger's answer can be wrong in any way; the keys at hand stay good while the provider is down.
            logger.warning("OpenID provider unreachable", issuer=self.issuer.issuer, error=type(error).__name__)
            return
        self._keys = found
        self._fetched_at = now

    async def _fetch(self) -> dict[str, VerifyingKeys]:
        base = self.issuer.issuer.rstrip("/")
        discovery = (await self._get(f"{base}/.well-known/openid-configuration")).json()
        if discovery["issuer"] != self.issuer.issuer:
            raise ValueError("the discovery document names another issuer")
        self._introspection = discovery.get("introspection_endpoint")
        members = (await self._get(discovery["jwks_uri"])).json()["keys"]
        found = {member["kid"]: self._usable(member) for member in members if isinstance(member.get("kid"), str)}
        return {kid: keys for kid, keys in found.items() if keys}

    def _usable(self, member: dict[str, Any]) -> VerifyingKeys:
        """What one member of the set verifies; one that cannot be read does not spoil the others."""
        try:
            return verifying_keys(member)
        except (JOSEError, ValueError, TypeError) as error:
            logger.warning("OpenID key unreadable", issuer=self.issuer.issuer, error=type(error).__name__)
            return {}

    @property
    def introspects(self) -> bool:
        return self.issuer.introspection_client_id is not None and self.issuer.introspection_client_secret is not None

    async def introspect(self, token: str) -> dict[str, Any]:
        """What the provider says of a token (RFC 7662). Raises whatever keeps it from answering."""
        secret = self.issuer.introspection_client_secret
        if self._introspection is None:
            async with self._lock:
                await self._refresh()
        if self._introspection is None or secret is None:
            raise ValueError("no introspection endpoint")
        credentials = (quote_plus(self.issuer.introspection_client_id or ""), quote_plus(secret.get_secret_value()))
        async with asyncio.timeout(TIMEOUT_SECONDS):
            answer = await self._http.post(self._introspection, data={"token": token}, auth=credentials)
        found = answer.raise_for_status().json()
        if not isinstance(found, dict):
            raise ValueError("not an introspection response")
        return found

    async def still_holds(self, token: str) -> bool:
        """Whether a signed token was not revoked, where the provider is to be asked.

        While the provider does not answer, a signed token holds until it expires: its outage is not everybody's.
        """
        if not self.introspects:
            return True
        try:
            return (await self.introspect(token)).get("active") is not False
        except Exception as error:
            logger.warning("OpenID introspection failed", issuer=self.issuer.issuer, error=type(error).__name__)
            return True

    async def _get(self, url: str) -> httpx.Response:
        response = await self._http.get(url, timeout=TIMEOUT_SECONDS, follow_redirects=False)
        return response.raise_for_status()


async def verify(keys: IssuerKeys, token: str, *, now: datetime) -> Verified:
    """What a provider's token says. Raises ``UNAUTHENTICATED``."""
    issuer = keys.issuer
    header = tokens.header_of(token)
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise tokens.refused("algorithm not allowed")
    found = await keys.key(str(header.get("kid")))
    if found is None:
        raise tokens.refused("unknown key")
    key = found.get(algorithm)
    if key is None:
        raise tokens.refused("algorithm not allowed with this key")
    claims = tokens.verified_claims(token, key, frozenset({algorithm}))
    expires = tokens.check_claims(claims, issuer=issuer.issuer, audience=issuer.audience, now=now)
    return Verified(_person(issuer, claims), expires, tokens.bound_certificate(claims))


async def verify_opaque(keys: IssuerKeys, token: str, *, now: datetime) -> Verified:
    """What a provider says of a token that says nothing itself. Raises ``UNAUTHENTICATED``."""
    issuer = keys.issuer
    try:
        claims = await keys.introspect(token)
    except Exception as error:
        logger.warning("OpenID introspection failed", issuer=issuer.issuer, error=type(error).__name__)
        raise tokens.refused("the provider does not answer") from error
    if claims.get("active") is not True:
        raise tokens.refused("not active")
    claims.setdefault("iss", issuer.issuer)  # optional in RFC 7662, and it was this provider that answered
    expires = tokens.check_claims(claims, issuer=issuer.issuer, audience=issuer.audience, now=now)
    return Verified(_person(issuer, claims), expires, tokens.bound_certificate(claims))


def _person(issuer: OpenIdIssuer, claims: dict[str, Any]) -> Principal:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise tokens.refused("subject missing")
    principal = tokens.principal_of(
        f"oidc:{issuer.issuer}#{subject}",
        claim_at(claims, issuer.role_claim),
        claim_at(claims, issuer.agency_claim),
        claim_at(claims, issuer.entity_claim),
    )
    return replace(principal, second_factor=has_second_factor(claims, issuer.second_factor))


def has_second_factor(claims: dict[str, Any], values: Collection[str]) -> bool:
    """Whether amr (RFC 8176) or acr says that the person proved itself by more than one factor."""
    methods = claims.get("amr")
    stated = [*(methods if isinstance(methods, list) else []), claims.get("acr")]
    return any(isinstance(value, str) and value in values for value in stated)
