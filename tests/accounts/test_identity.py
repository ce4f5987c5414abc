"""Clients that sign or present a certificate, tokens bound to it, replay, revocation, persons shut out."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from jose import jwt
from uuid_utils import uuid7

from credit_service import worker
from credit_service.accounts import tokens
from credit_service.accounts.assertions import TYPE
from credit_service.accounts.certificates import thumbprint
from credit_service.accounts.keys import KeyStore
from credit_service.accounts.rules import Role
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from tests.api import AGENCY, ISSUER, Api, running

KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
SYSTEM = "scjg-system"


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_jwk(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    x, y = (base64.urlsafe_b64encode(n.to_bytes(32, "big")).rstrip(b"=").decode() for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid}


async def create(api: Api, client_id: str = SYSTEM, **more: Any) -> httpx.Response:
    body = {"client_id": client_id, "name": "业务系统", "role": "agency-submitter", "agency_uscc": AGENCY} | more
    return await api.call("POST", "/v1/clients", Role.ADMINISTRATOR, json=body)


def assertion(
    api: Api, key: ec.EllipticCurvePrivateKey = KEY, kid: str = "one", drop: str = "", **changes: Any
) -> dict[str, str]:
    now = api.clock.now().timestamp()
    claims = {"iss": SYSTEM, "sub": SYSTEM, "aud": f"{ISSUER}/oauth/token", "exp": now + 60, "jti": str(uuid7())}
    claims |= changes
    claims.pop(drop, None)
    signed = jwt.encode(claims, pem(key).decode(), algorithm="ES256", headers={"kid": kid})
    return {"grant_type": "client_credentials", "client_assertion_type": TYPE, "client_assertion": str(signed)}


@pytest.fixture
async def signing(api: Api) -> Api:
    made = await create(api, jwks=[public_jwk(KEY, "one")])
    assert made.status_code == 201, made.text
    assert made.json()["client_secret"] is None
    return api


async def ask(api: Api, form: dict[str, str], **more: Any) -> httpx.Response:
    return await api.http.post("/oauth/token", data=form, **more)


async def test_a_signed_assertion_gives_a_token_once(signing: Api) -> None:
    form = assertion(signing)
    first, again = await ask(signing, form), await ask(signing, form)
    assert first.status_code == 200, first.text
    assert (again.status_code, again.json()) == (401, {"error": "invalid_client"})
    headers = {"Authorization": f"Bearer {first.json()['access_token']}", "Credit-Purpose": "supervision"}
    assert (await signing.http.get("/v1/notifications", headers=headers)).status_code == 200


async def test_of_a_hundred_replays_at_once_one_wins(signing: Api) -> None:
    form = assertion(signing)
    answers = await asyncio.gather(*(ask(signing, form) for _ in range(20)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "http://elsewhere/oauth/token"},
        {"sub": "another"},
        {"iss": "another"},
        {"exp": 1},
        {"drop": "exp"},
        {"drop": "jti"},
        {"jti": "x" * 129},
        {"jti": 7},
        {"exp": datetime(2026, 5, 6, 3, tzinfo=UTC).timestamp()},  # an hour is too long a life
        {"nbf": datetime(2026, 5, 6, 3, tzinfo=UTC).timestamp()},
        {"kid": "two"},
        {"key": OTHER_KEY},
    ],
)
async def test_an_assertion_that_proves_nothing_is_refused(signing: Api, changes: dict[str, Any]) -> None:
    answer = await ask(signing, assertion(signing, **changes))
    assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})


@pytest.mark.parametrize(("seconds", "status"), [(-29, 200), (-31, 401), (329, 200), (331, 401)])
async def test_clock_skew_of_half_a_minute_is_forgiven(signing: Api, seconds: int, status: int) -> None:
    form = assertion(signing, exp=signing.clock.now().timestamp() + seconds)
    assert (await ask(signing, form)).status_code == status


async def test_a_used_assertion_is_remembered_as_long_as_it_could_be_accepted(
    signing: Api, owner: asyncpg.Connection[Any]
) -> None:
    form = assertion(signing)
    assert (await ask(signing, form)).status_code == 200
    for seconds in (59, 89, 91, 200):
        now = signing.clock.now() + timedelta(seconds=seconds)
        await worker.expire_idempotency_keys(signing.database, now)
        signing.clock.instant, before = now, signing.clock.instant
        assert (await ask(signing, form)).status_code == 401
        signing.clock.instant = before
    await worker.expire_idempotency_keys(signing.database, signing.clock.now() + timedelta(minutes=10))
    assert await owner.fetchval("SELECT count(*) FROM used_assertion") == 0


async def test_unsigned_and_confused_algorithms_are_refused(signing: Api) -> None:
    claims = {"iss": SYSTEM, "sub": SYSTEM, "aud": ISSUER, "exp": signing.clock.now().timestamp() + 60, "jti": "1"}
    public = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    confused = jwt.encode(claims, base64.b64encode(public).decode(), algorithm="HS256", headers={"kid": "one"})
    none = ".".join(
        base64.urlsafe_b64encode(part).rstrip(b"=").decode()
        for part in (b'{"alg":"none","kid":"one"}', str(claims).replace("'", '"').encode(), b"")
    )
    for text in (confused, none, "a.b.c", "." * 9000):
        form = {"grant_type": "client_credentials", "client_assertion_type": TYPE, "client_assertion": text}
        assert (await ask(signing, form)).status_code == 401


async def test_two_proofs_at_once_are_one_too_many(signing: Api) -> None:
    form = assertion(signing)
    assert (await ask(signing, form | {"client_secret": "x"})).json() == {"error": "invalid_request"}
    assert (await ask(signing, form, auth=(SYSTEM, "x"))).json() == {"error": "invalid_request"}
    assert (await ask(signing, form | {"client_id": "another"})).status_code == 401


@pytest.mark.parametrize(
    "key",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "EC", "crv": "P-256", "x": "x", "y": "y"},
        {**public_jwk(KEY, "one"), "d": "AQ"},
        {},
    ],
)
async def test_keys_that_verify_nothing_are_refused_when_registered(api: Api, key: dict[str, str]) -> None:
    answer = await create(api, jwks=[public_jwk(KEY, "one"), key])
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/jwks/1"


async def test_a_revoked_token_is_refused_within_half_a_minute(api: Api, owner: asyncpg.Connection[Any]) -> None:
    secret = (await create(api)).json()["client_secret"]
    other = (await create(api, "other-system")).json()["client_secret"]
    form = {"grant_type": "client_credentials"}
    token = (await ask(api, form, auth=(SYSTEM, secret))).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert (await api.http.get("/v1/notifications", headers=headers)).status_code == 200
    for client, password in (("other-system", other), (SYSTEM, secret), (SYSTEM, secret)):
        answer = await api.http.post("/oauth/revoke", data={"token": token}, auth=(client, password))
        assert (answer.status_code, answer.content) == (200, b"")
        api.clock.instant += timedelta(seconds=30)
        expected = 200 if client == "other-system" else 401
        assert (await api.http.get("/v1/notifications", headers=headers)).status_code == expected
    assert (await api.http.post("/oauth/revoke", data={"token": token})).status_code == 401
    assert (await api.http.post("/oauth/revoke", auth=(SYSTEM, secret))).status_code == 400
    assert await owner.fetchval("SELECT count(*) FROM audit_event WHERE action = 'token.revoked'") == 1


async def test_a_principal_is_shut_out_and_let_in_again(api: Api) -> None:
    who = api.principal(Role.SUBMITTER).id
    for blocked, status in ((True, 401), (False, 200)):
        body = {"principal": who, "blocked": blocked, "reason": "离职交接期间停用"}
        done = await api.call("POST", "/v1/principals/block", Role.ADMINISTRATOR, json=body)
        assert done.status_code == 204, done.text
        api.clock.instant += timedelta(seconds=30)
        assert (await api.get("/v1/notifications", Role.SUBMITTER)).status_code == status
    own = {"principal": api.principal(Role.ADMINISTRATOR).id, "blocked": True, "reason": "误操作测试"}
    assert (await api.call("POST", "/v1/principals/block", Role.ADMINISTRATOR, json=own)).status_code == 422


# --- certificates: a TLS proxy that demands one and hands it on as RFC 9440 says


def certificate(name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None = None) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .sign(CA_KEY, hashes.SHA256())
    )


CA_KEY = ec.generate_private_key(ec.SECP256R1())
CA = certificate("test ca", CA_KEY)


def files(folder: Path, name: str) -> tuple[Path, Path, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    made = certificate(name, key, CA)
    (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(pem(key))
    return folder / f"{name}.pem", folder / f"{name}.key", made


@asynccontextmanager
async def tls_proxy(api: Api, folder: Path) -> AsyncIterator[int]:
    """Terminates TLS with a compulsory client certificate and speaks for whoever proved one."""
    (folder / "ca.pem").write_bytes(CA.public_bytes(serialization.Encoding.PEM))
    cert, key, _ = files(folder, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    context.load_verify_locations(folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        lowered = {name.lower(): value for name, value in headers.items() if name.lower() != "client-cert"}
        body = await reader.readexactly(int(lowered.pop("content-length", "0")))
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        lowered["client-cert"] = f":{base64.b64encode(der).decode()}:"
        answer = await api.http.request(method, path, headers=lowered, content=body)
        writer.write(f"HTTP/1.1 {answer.status_code} x\r\nContent-Length: {len(answer.content)}\r\n".encode())
        writer.write(b"Content-Type: application/json\r\nConnection: close\r\n\r\n" + answer.content)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def connection(folder: Path, port: int, cert: Path, key: Path) -> httpx.AsyncClient:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(cert, key)
    return httpx.AsyncClient(base_url=f"https://localhost:{port}", verify=context, trust_env=False)


async def test_a_token_asked_for_with_a_certificate_is_good_on_its_connections_only(
    database: Database, clock: FixedClock, tmp_path: Path
) -> None:
    async with (
        running(database, clock, tmp_path, client_certificate_header=True) as api,
        tls_proxy(api, tmp_path) as port,
    ):
        cert, key, made = files(tmp_path, "scjg")
        bound = thumbprint(made.public_bytes(serialization.Encoding.DER))
        created = await create(api, certificate_thumbprint=bound)
        assert created.json()["client_secret"] is None
        form = {"grant_type": "client_credentials", "client_id": SYSTEM}
        async with (
            connection(tmp_path, port, cert, key) as ours,
            connection(tmp_path, port, *files(tmp_path, "stranger")[:2]) as stranger,
        ):
            assert (await stranger.post("/oauth/token", data=form)).status_code == 401
            answer = await ours.post("/oauth/token", data=form)
            assert answer.status_code == 200, answer.text
            headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
            assert (await ours.get("/v1/notifications", headers=headers)).status_code == 200
            stolen = await stranger.get("/v1/notifications", headers=headers)
            assert (stolen.status_code, stolen.json()["detail"]) == (401, "bound to another certificate")
            forged = await stranger.get("/v1/notifications", headers=headers | {"Client-Cert": ":AAAA:"})
            assert forged.status_code == 401
        assert (await api.http.get("/v1/notifications", headers=headers)).status_code == 401
        metadata = (await api.get("/.well-known/oauth-authorization-server")).json()
        assert metadata["tls_client_certificate_bound_access_tokens"] is True


async def test_the_header_counts_only_where_a_proxy_sets_it(api: Api) -> None:
    made = certificate("scjg", KEY, CA).public_bytes(serialization.Encoding.DER)
    assert (await create(api, certificate_thumbprint=thumbprint(made))).status_code == 201
    headers = {"Client-Cert": f":{base64.b64encode(made).decode()}:"}
    form = {"grant_type": "client_credentials", "client_id": SYSTEM}
    assert (await ask(api, form, headers=headers)).status_code == 401


@pytest.mark.parametrize("value", ["", "::", "no colons", ":%%%:", ":" + "A" * 20_000 + ":"])
async def test_an_unreadable_certificate_is_nobodys(
    database: Database, clock: FixedClock, tmp_path: Path, value: str
) -> None:
    async with running(database, clock, tmp_path, client_certificate_header=True) as api:
        token = await api.token(Role.REGULATOR)
        headers = {"Authorization": f"Bearer {token}", "Client-Cert": value}
        assert (await api.http.get("/v1/lists", headers=headers)).status_code == 401


def test_a_binding_we_cannot_check_is_refused(tmp_path: Path) -> None:
    keys = KeyStore(tmp_path)
    now = datetime(2026, 5, 6, tzinfo=UTC)
    claims = {
        "iss": ISSUER,
        "sub": "client:x",
        "aud": tokens.AUDIENCE,
        "exp": now.timestamp() + 60,
        "cnf": {"jkt": "x"},
    }
    claims |= {"credit_role": "administrator"}
    headers = {"kid": keys.signing().kid, "typ": tokens.TYPE}
    token = str(jwt.encode(claims, keys.signing().pem, algorithm="ES256", headers=headers))
    with pytest.raises(Exception, match="binding not supported"):
        tokens.verify(keys, token, issuer=ISSUER, now=now)
