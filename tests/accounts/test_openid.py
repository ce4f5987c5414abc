"""Tokens of an external provider: a real HTTP issuer on loopback, with rotation, outage and a flood of key ids."""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from jose import jwt

from credit_service.accounts import openid
from credit_service.accounts.openid import IssuerKeys
from credit_service.accounts.rules import Role
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from credit_service.platform.errors import Problem
from credit_service.platform.settings import OpenIdIssuer
from tests.api import COMPANY, penalty, running

NOW = datetime(2026, 5, 6, tzinfo=UTC)


def _number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()


class Provider:
    """An OpenID provider that serves its discovery document and its keys."""

    def __init__(self) -> None:
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.fetches = 0
        self.broken = False
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.fetches += self.path.endswith("/jwks")
                body = json.dumps(provider.jwks() if self.path.endswith("/jwks") else provider.discovery()).encode()
                self.send_response(500 if provider.broken else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}/realms/credit"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.rotate("first")

    def rotate(self, kid: str) -> None:
        self.keys = {kid: rsa.generate_private_key(65537, 2048)}

    def discovery(self) -> dict[str, str]:
        return {"issuer": self.issuer, "jwks_uri": f"{self.issuer}/jwks"}

    def jwks(self) -> dict[str, Any]:
        found = []
        for kid, key in self.keys.items():
            numbers = key.public_key().public_numbers()
            found.append({"kty": "RSA", "kid": kid, "use": "sig", "n": _number(numbers.n), "e": _number(numbers.e)})
        return {"keys": found}

    def token(self, algorithm: str = "RS256", **changes: Any) -> str:
        kid, key = next(iter(self.keys.items()))
        claims = {
            "iss": self.issuer,
            "aud": ["account", "credit-service"],
            "sub": "user-1",
            "exp": NOW.timestamp() + 300,
            "realm": {"role": "regulator"},
            "agency": "11500103009286543X",
        } | changes
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return str(jwt.encode(claims, pem, algorithm=algorithm, headers={"kid": changes.get("kid", kid)}))


@pytest.fixture
def provider() -> Iterator[Provider]:
    provider = Provider()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()


@pytest.fixture
async def keys(provider: Provider) -> Any:
    issuer = OpenIdIssuer(
        issuer=provider.issuer, audience="credit-service", role_claim="realm.role", agency_claim="agency"
    )
    async with httpx.AsyncClient(trust_env=False) as http:
        yield IssuerKeys(issuer, http)


async def test_a_providers_token_is_a_principal(provider: Provider, keys: IssuerKeys) -> None:
    principal = (await openid.verify(keys, provider.token(), now=NOW)).principal
    assert (principal.role, principal.agency_uscc) == (Role.REGULATOR, "11500103009286543X")
    assert principal.id == f"oidc:{provider.issuer}#user-1"
    for _ in range(5):
        await openid.verify(keys, provider.token(), now=NOW)
    assert provider.fetches == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "someone-else"},
        {"iss": "http://127.0.0.1:1/realms/credit"},
        {"exp": NOW.timestamp() - 31},
        {"nbf": NOW.timestamp() + 31},
        {"realm": {"role": "king"}},
        {"realm": "regulator"},
        {"agency": None},
        {"sub": ""},
    ],
)
async def test_wrong_claims(provider: Provider, keys: IssuerKeys, changes: dict[str, Any]) -> None:
    with pytest.raises(Problem):
        await openid.verify(keys, provider.token(**changes), now=NOW)


async def test_only_allowed_algorithms(provider: Provider, keys: IssuerKeys) -> None:
    with pytest.raises(Problem, match="algorithm"):
        await openid.verify(keys, provider.token(algorithm="RS512"), now=NOW)
    secret = jwt.encode({"iss": provider.issuer}, "secret", algorithm="HS256", headers={"kid": "first"})
    with pytest.raises(Problem, match="algorithm"):
        await openid.verify(keys, secret, now=NOW)


async def test_rotation_is_followed_and_an_outage_survived(
    provider: Provider, keys: IssuerKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openid, "LEAST_SECONDS_BETWEEN_FETCHES", 0.0)
    await openid.verify(keys, provider.token(), now=NOW)
    provider.rotate("second")
    assert await openid.verify(keys, provider.token(), now=NOW)
    provider.broken = True
    monkeypatch.setattr(openid, "KEPT_SECONDS", -1.0)
    assert await openid.verify(keys, provider.token(), now=NOW), "the keys at hand stay good"


async def test_invented_key_ids_do_not_flood_the_provider(provider: Provider, keys: IssuerKeys) -> None:
    await openid.verify(keys, provider.token(), now=NOW)
    for number in range(20):
        with pytest.raises(Problem, match="unknown key"):
            await openid.verify(keys, provider.token(kid=f"invented-{number}"), now=NOW)
    assert provider.fetches == 1


async def test_a_discovery_document_of_another_issuer_is_not_believed(provider: Provider, keys: IssuerKeys) -> None:
    keys.issuer.issuer = provider.issuer + "/"
    with pytest.raises(Problem):
        await openid.verify(keys, provider.token(), now=NOW)


async def test_a_providers_token_opens_the_api(
    provider: Provider, database: Database, clock: FixedClock, tmp_path: Path
) -> None:
    """Through the whole application: the regulator reads and cannot submit; another provider is a stranger."""
    issuer = {
        "issuer": provider.issuer,
        "audience": "credit-service",
        "role_claim": "realm.role",
        "agency_claim": "agency",
    }
    async with running(database, clock, tmp_path, oidc_issuers=[issuer]) as api:
        await api.submit()
        path = f"/v1/entities/{COMPANY}"
        now = clock.now().timestamp()
        headers = {"Authorization": f"Bearer {provider.token(exp=now + 300)}", "Credit-Purpose": "supervision"}
        assert (await api.http.get(path, headers=headers)).json()["audience"] == "regulator"
        assert (await api.http.post("/v1/records", json=penalty(), headers=headers)).status_code == 403
        stranger = Provider()
        try:
            headers["Authorization"] = f"Bearer {stranger.token(exp=now + 300)}"
            assert (await api.http.get(path, headers=headers)).status_code == 401
        finally:
            stranger.server.shutdown()
            stranger.server.server_close()


@pytest.mark.parametrize(
    "jwks",
    [
        [],
        {"keys": None},
        {"keys": ["kid"]},
        {"keys": [{"kid": []}]},
        {"keys": [{"kid": "first", "kty": "RSA", "n": 1}]},
    ],
)
async def test_keys_of_any_shape_are_refused_and_break_nothing(
    provider: Provider, keys: IssuerKeys, monkeypatch: pytest.MonkeyPatch, jwks: Any
) -> None:
    monkeypatch.setattr(provider, "jwks", lambda: jwks)
    with pytest.raises(Problem):
        await openid.verify(keys, provider.token(), now=NOW)


async def test_a_provider_that_stalls_keeps_no_caller_waiting(
    provider: Provider, keys: IssuerKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    await openid.verify(keys, provider.token(), now=NOW)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(provider, "discovery", lambda: {"issuer": provider.issuer, "jwks_uri": address})
        monkeypatch.setattr(openid, "KEPT_SECONDS", -1.0)
        monkeypatch.setattr(openid, "LEAST_SECONDS_BETWEEN_FETCHES", 0.0)
        await openid.verify(keys, provider.token(), now=NOW)
        assert keys._renewal is not None
        assert not keys._renewal.done()
        await keys.close()


async def test_the_salted_rsa_signature_is_verified_too(provider: Provider, keys: IssuerKeys) -> None:
    kid, key = next(iter(provider.keys.items()))
    header = base64.urlsafe_b64encode(json.dumps({"alg": "PS256", "kid": kid}).encode()).rstrip(b"=").decode()
    signed = f"{header}.{provider.token().split('.')[1]}"
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    for content, good in ((signed, True), (signed + "A", False)):
        signature = base64.urlsafe_b64encode(key.sign(content.encode(), scheme, hashes.SHA256())).rstrip(b"=")
        token = f"{signed}.{signature.decode()}"
        if good:
            await openid.verify(keys, token, now=NOW)
        else:
            with pytest.raises(Problem):
                await openid.verify(keys, token, now=NOW)
