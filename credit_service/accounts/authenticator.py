"""From a bearer token to a principal, once for each token and half minute."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections import OrderedDict
from datetime import datetime

import httpx
import orjson

from credit_service.accounts import openid, store, tokens
from credit_service.accounts.keys import KeyStore
from credit_service.accounts.rules import Principal, Role
from credit_service.platform.clock import Clock
from credit_service.platform.database import Database
from credit_service.platform.settings import OpenIdIssuer

MOST_CACHED = 10_000
LONGEST_TOKEN = 8192
RECHECKED_AFTER_SECONDS = 30.0
"""A disabled client, or one whose agency was abolished, is out within half a minute."""


class Authenticator:
    """Verifies tokens of our own and of the configured providers; a repeated token costs a dictionary look-up."""

    def __init__(
        self, database: Database, clock: Clock, keys: KeyStore, *, issuer: str, providers: list[OpenIdIssuer]
    ) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys
        self._issuer = issuer
        self._http = httpx.AsyncClient()
        self._providers = {provider.issuer: openid.IssuerKeys(provider, self._http) for provider in providers}
        self._cache: OrderedDict[bytes, tuple[Principal, float, float]] = OrderedDict()

    async def authenticate(self, token: str) -> Principal:
        """The principal a token stands for. Raises ``UNAUTHENTICATED``."""
        if len(token) > LONGEST_TOKEN:
            raise tokens.refused("token too long")
        now = self._clock.now()
        digest = hashlib.sha256(token.encode()).digest()
        cached = self._cache.get(digest)
        if cached is not None and _still_good(cached, now):
            return cached[0]
        principal, expires = await self._verify(token, now)
        await self._check_standing(principal)
        self._cache[digest] = (principal, expires, now.timestamp())
        if len(self._cache) > MOST_CACHED:
            self._cache.popitem(last=False)
        return principal

    async def _verify(self, token: str, now: datetime) -> tuple[Principal, float]:
        issuer = _unverified_issuer(token)
        if issuer == self._issuer:
            return tokens.verify(self._keys, token, issuer=self._issuer, now=now)
        provider = self._providers.get(issuer or "")
        if provider is None:
            raise tokens.refused("unknown issuer")
        return await openid.verify(provider, token, now=now)

    async def _check_standing(self, principal: Principal) -> None:
        async with self._database.transaction() as session:
            if principal.id.startswith("client:"):
                client = await store.client(session, principal.id.removeprefix("client:"))
                if client is None or client.disabled_at is not None or client.role != principal.role:
                    raise tokens.refused("client disabled")
            if principal.role is Role.SUBMITTER:
                agency = await store.agency(session, principal.agency_uscc or "")
                if agency is None or not agency.active:
                    raise tokens.refused("agency not active")

    async def close(self) -> None:
        await self._http.aclose()


def _still_good(cached: tuple[Principal, float, float], now: datetime) -> bool:
    _, expires, checked = cached
    instant = now.timestamp()
    return instant < expires and 0 <= instant - checked < RECHECKED_AFTER_SECONDS


def _unverified_issuer(token: str) -> str | None:
    """The iss claim before verification: it only chooses whose keys to try."""
    try:
        payload = token.split(".")[1]
        issuer = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("iss")
    except (IndexError, binascii.Error, ValueError, AttributeError) as error:
        raise tokens.refused("malformed token") from error
    return issuer if isinstance(issuer, str) else None
