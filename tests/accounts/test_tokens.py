"""Signing keys and our own tokens."""

from __future__ import annotations

import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from jose import jwt

from credit_service.accounts import tokens
from credit_service.accounts.keys import RELOAD_SECONDS, KeyStore
from credit_service.accounts.rules import PUBLIC, Audience, Principal, Role, audience_of, complete, may_submit
from credit_service.platform.errors import Problem

NOW = datetime(2026, 5, 6, tzinfo=UTC)
ISSUER = "http://test"
REGULATOR = Principal(id="client:r", role=Role.REGULATOR, agency_uscc="A")


@pytest.fixture
def keys(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "keys")


def issue(keys: KeyStore) -> str:
    return tokens.issue(keys, issuer=ISSUER, principal=REGULATOR, now=NOW, lifetime_seconds=900)


def forge(keys: KeyStore, *, drop: str | None = None, headers: dict[str, str] | None = None, **claims: Any) -> str:
    """A token with a good signature and claims of our choice."""
    key = keys.signing()
    good = {"iss": ISSUER, "sub": "client:r", "aud": tokens.AUDIENCE, "iat": NOW.timestamp(), "nbf": NOW.timestamp()}
    good |= {"exp": NOW.timestamp() + 900, "credit_role": "regulator", "credit_agency": "A"} | claims
    good.pop(drop or "", None)
    sent = {"kid": key.kid, "typ": tokens.TYPE} | (headers or {})
    return str(jwt.encode(good, key.pem, algorithm="ES256", headers=sent))


def verify(keys: KeyStore, token: str, now: datetime = NOW) -> Principal:
    return tokens.verify(keys, token, issuer=ISSUER, now=now)[0]


def test_a_token_goes_round(keys: KeyStore) -> None:
    assert verify(keys, issue(keys)) == REGULATOR


@pytest.mark.parametrize(("seconds", "good"), [(-31, False), (-29, True), (0, True), (929, True), (930, False)])
def test_times_with_half_a_minute_of_leeway(keys: KeyStore, seconds: int, good: bool) -> None:
    token, now = issue(keys), NOW + timedelta(seconds=seconds)
    if good:
        assert verify(keys, token, now)
        return
    with pytest.raises(Problem, match=r"expired|not yet valid"):
        verify(keys, token, now)


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "http://elsewhere"},
        {"aud": "another-service"},
        {"aud": ["x", "y"]},
        {"drop": "exp"},
        {"exp": "tomorrow"},
        {"credit_role": "emperor"},
        {"credit_role": "public"},
        {"credit_role": None},
        {"drop": "credit_agency"},
        {"headers": {"typ": "JWT"}},
        {"headers": {"kid": "unknown"}},
    ],
)
def test_wrong_claims_are_refused(keys: KeyStore, changes: dict[str, Any]) -> None:
    with pytest.raises(Problem) as caught:
        verify(keys, forge(keys, **changes))
    assert caught.value.type.status == 401
    assert "WWW-Authenticate" in caught.value.headers


def test_other_algorithms_are_refused_before_anything_is_decoded(keys: KeyStore) -> None:
    key = keys.signing()
    claims = {"iss": ISSUER, "aud": tokens.AUDIENCE, "exp": NOW.timestamp() + 900, "credit_role": "regulator"}
    headers = {"kid": key.kid, "typ": tokens.TYPE}
    confused = jwt.encode(claims, "any-secret", algorithm="HS256", headers=headers)
    unsigned = confused.split(".")
    none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0Iiwia2lkIjoiIn0." + unsigned[1] + "."
    for token in (confused, none, "", "a.b", "a.b.c", "x" * 9000):
        with pytest.raises(Problem):
            verify(keys, token)


def test_tampering_is_found(keys: KeyStore) -> None:
    head, payload, signature = issue(keys).split(".")
    other = forge(keys, credit_role="administrator").split(".")[1]
    for token in (f"{head}.{other}.{signature}", f"{head}.{payload}.{signature[:-4]}AAAA"):
        with pytest.raises(Problem, match="signature"):
            verify(keys, token)


def test_rotation_keeps_old_tokens_until_their_key_retires(keys: KeyStore) -> None:
    old = issue(keys)
    first = keys.signing()
    os.utime(keys.directory / f"{first.kid}.pem", (time.time() - 50, time.time() - 50))
    second = keys.rotate()
    assert keys.signing().kid == second.kid != first.kid
    assert verify(keys, old)
    assert keys.retire(3600) == []
    os.utime(keys.directory / f"{second.kid}.pem", (time.time() - 40, time.time() - 40))
    assert keys.retire(30) == [first.kid]
    with pytest.raises(Problem, match="unknown key"):
        verify(keys, old)
    assert verify(keys, issue(keys))


def test_a_rotation_reaches_another_process(keys: KeyStore) -> None:
    running = KeyStore(keys.directory)
    running.signing()
    made = keys.rotate()
    running._checked_at -= RELOAD_SECONDS
    assert made.kid in running.all()


def test_keys_are_private_and_made_once_by_many(tmp_path: Path) -> None:
    stores = [KeyStore(tmp_path / "keys") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda store: store.rotate().kid, stores))
    assert len(set(made)) == 8
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    for file in (tmp_path / "keys").iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    published = stores[0].jwks()["keys"]
    assert all(key.keys() == {"crv", "kty", "x", "y", "kid", "alg", "use"} for key in published)


def test_a_foreign_key_file_is_no_signing_key(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "rsa.pem").write_bytes(pem)
    with pytest.raises(TypeError):
        KeyStore(tmp_path).signing()


def test_rules() -> None:
    grants = (("administrative-penalty", "5001"),)
    assert may_submit(grants, "administrative-penalty", "500103")
    assert not may_submit(grants, "administrative-penalty", "500200")
    assert not may_submit(grants, "administrative-licence", "500103")
    assert not complete(Principal("x", Role.SUBMITTER))
    assert not complete(Principal("x", Role.SUBJECT))
    assert complete(Principal("x", Role.AUDITOR))
    assert audience_of(PUBLIC, "A") is Audience.PUBLIC
    assert audience_of(Principal("x", Role.SUBJECT, entity_uscc="A"), "A") is Audience.SUBJECT
    assert audience_of(Principal("x", Role.SUBJECT, entity_uscc="A"), "B") is Audience.PUBLIC
    assert audience_of(Principal("x", Role.ADMINISTRATOR), "B") is Audience.PUBLIC
