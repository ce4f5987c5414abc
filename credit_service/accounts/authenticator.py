"""From a bearer token to a principal, once for each token and half minute."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections import OrderedDict
from datetime import datetime

import httpx
import orjson

from credit_service.accounts import openid, store, tokens
from credit_service.accounts.keys import KeyStore
from credit_service.accounts.published_keys import accepts_tokens
from credit_service.accounts.rules import Principal, Role
from credit_service.accounts.tokens import Verified
from credit_service.platform.clock import Clock
from credit_service.platform.database import Database
from credit_service.platform.errors import Problem
from credit_service.platform.settings import OpenIdIssuer

MOST_CACHED = 10_000
LONGEST_TOKEN = 8192
RECHECKED_AFTER_SECONDS = 30.0
"""A disabled client, a revoked token or key, or one whose agency was abolished, is out within half a minute."""


class Authenticator:
    """Verifies tokens of our own and of the configured providers; a repeated token costs a dictionary look-up."""

    def __init__(
        self, database: Database, clock: Clock, keys: KeyStore, *, issuer: str, providers: list[OpenIdIssuer]
    ) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys
        self._issuer = issuer
        # Without providers nobody is asked, and a client alone reads the authorities' certificates for 25 ms.
        self._http = httpx.AsyncClient() if providers else None
        self._providers = {each.issuer: openid.IssuerKeys(each, self._http) for each in providers if self._http}
        self._cache: OrderedDict[bytes, tuple[Verified, float]] = OrderedDict()

    async def authenticate(self, token: str, *, certificate: str | None = None) -> Principal:
        """The principal a token stands for on a connection with this certificate. Raises ``UNAUTHENTICATED``."""
        if len(token) > LONGEST_TOKEN:
            raise tokens.refused("token too long")
        now = self._clock.now()
        digest = hashlib.sha256(token.encode()).digest()
        cached = self._cache.get(digest)
        if cached is not None and _still_good(*cached, now):
            return _on_its_connection(cached[0], certificate)
        self._cache.pop(digest, None)
        verified = await self._verify(token, now)
        await self._check_standing(verified)
        self._cache[digest] = (verified, now.timestamp())
        if len(self._cache) > MOST_CACHED:
            self._cache.popitem(last=False)
        return _on_its_connection(verified, certificate)

    async def _verify(self, token: str, now: datetime) -> Verified:
        if token.count(".") != 2:
            return await self._ask_providers(token, now)
        issuer = _unverified_issuer(token)
        if issuer == self._issuer:
            return tokens.verify(self._keys, token, issuer=self._issuer, now=now)
        provider = self._providers.get(issuer or "")
        if provider is None:
            raise tokens.refused("unknown issuer")
        verified = await openid.verify(provider, token, now=now)
        if not await provider.still_holds(token):
            raise tokens.refused("revoked")
        return verified

    async def _ask_providers(self, token: str, now: datetime) -> Verified:
        """An opaque token is a question for the providers that answer it."""
        refused = tokens.refused("malformed token")
        for provider in self._providers.values():
            if provider.introspects:
                try:
                    return await openid.verify_opaque(provider, token, now=now)
                except Problem as problem:
                    refused = problem
        raise refused

    async def _check_standing(self, verified: Verified) -> None:
        principal = verified.principal
        async with self._database.transaction() as session:
            if principal.id.startswith("client:"):
                client = await store.client(session, principal.id.removeprefix("client:"))
                if client is None or client.disabled_at is not None or client.role != principal.role:
                    raise tokens.refused("client disabled")
                if await store.is_revoked(session, verified.token_id or ""):
                    raise tokens.refused("revoked")
            if verified.key_id is not None and not await accepts_tokens(
                session, verified.key_id, self._clock.now(), self._keys.lifetime_seconds
            ):
                raise tokens.refused("unknown key")
            if await store.is_blocked(session, principal.id):
                raise tokens.refused("blocked")
            if principal.agency_uscc is not None:
                agency = await store.agency(session, principal.agency_uscc)
                known = agency is not None or principal.role is not Role.SUBMITTER
                if not known or (agency is not None and not agency.active):
                    raise tokens.refused("agency not active")

    async def close(self) -> None:
        if self._http is not None:
            await self._http.aclose()


def _on_its_connection(verified: Verified, certificate: str | None) -> Principal:
    """A token that is bound to a certificate is nobody's on another connection (RFC 8705 section 3)."""
    if verified.certificate is not None and not (
        certificate is not None and hmac.compare_digest(verified.certificate, certificate)
    ):
        raise tokens.refused("bound to another certificate")
    return verified.principal


def _still_good(verified: Verified, checked: float, now: datetime) -> bool:
    instant = now.timestamp()
    return instant < verified.expires and 0 <= instant - checked < RECHECKED_AFTER_SECONDS


def _unverified_issuer(token: str) -> str | None:
    """The iss claim before verification: it only chooses whose keys to try."""
    try:
        payload = token.split(".")[1]
        issuer = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))).get("iss")
    except (IndexError, binascii.Error, ValueError, AttributeError) as error:
        raise tokens.refused("malformed token") from error
    return issuer if isinstance(issuer, str) else None
