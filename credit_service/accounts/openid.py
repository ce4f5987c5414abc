"""Tokens of external OpenID providers: discovery and JWKS over httpx, cached, rotation and outages tolerated."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from typing import Any

import httpx
import structlog

from credit_service.accounts import tokens
from credit_service.accounts.rules import Principal
from credit_service.platform.settings import OpenIdIssuer

ALGORITHMS = frozenset({"ES256", "RS256", "PS256"})
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
        self._keys: dict[str, dict[str, Any]] = {}
        self._fetched_at = float("-inf")
        self._tried_at = float("-inf")
        self._lock = asyncio.Lock()

    async def key(self, kid: str) -> dict[str, Any] | None:
        """The key with this id. An unknown id asks the provider again, at most every 30 seconds."""
        if kid not in self._keys or time.monotonic() - self._fetched_at > KEPT_SECONDS:
            async with self._lock:
                if kid not in self._keys or time.monotonic() - self._fetched_at > KEPT_SECONDS:
                    await self._refresh()
        return self._keys.get(kid)

    async def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._tried_at < LEAST_SECONDS_BETWEEN_FETCHES:
            return
        self._tried_at = now
        try:
            base = self.issuer.issuer.rstrip("/")
            discovery = (await self._get(f"{base}/.well-known/openid-configuration")).json()
            if discovery.get("issuer") != self.issuer.issuer:
                raise ValueError("the discovery document names another issuer")
            found = (await self._get(discovery["jwks_uri"])).json()["keys"]
            keys = {key["kid"]: key for key in found if "kid" in key and key.get("use", "sig") == "sig"}
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            # The keys at hand stay good while the provider is down.
            logger.warning("OpenID provider unreachable", issuer=self.issuer.issuer, error=type(error).__name__)
            return
        self._keys = keys
        self._fetched_at = now

    async def _get(self, url: str) -> httpx.Response:
        response = await self._http.get(url, timeout=TIMEOUT_SECONDS, follow_redirects=False)
        return response.raise_for_status()


async def verify(keys: IssuerKeys, token: str, *, now: datetime) -> tuple[Principal, float]:
    """The principal of a provider's token, and when it expires. Raises ``UNAUTHENTICATED``."""
    issuer = keys.issuer
    header = tokens.header_of(token)
    if header.get("alg") not in ALGORITHMS:
        raise tokens.refused("algorithm not allowed")
    key = await keys.key(str(header.get("kid")))
    if key is None:
        raise tokens.refused("unknown key")
    # The key's own type decides what may verify with it, so an RSA key is never taken for something else.
    fitting = {"EC": {"ES256"}, "RSA": {"RS256", "PS256"}}.get(str(key.get("kty")), set())
    claims = tokens.verified_claims(token, key, ALGORITHMS & frozenset(fitting))
    expires = tokens.check_claims(claims, issuer=issuer.issuer, audience=issuer.audience, now=now)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise tokens.refused("subject missing")
    principal = tokens.principal_of(
        f"oidc:{issuer.issuer}#{subject}",
        claim_at(claims, issuer.role_claim),
        claim_at(claims, issuer.agency_claim),
        claim_at(claims, issuer.entity_claim),
    )
    return principal, expires
