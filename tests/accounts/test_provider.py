"""A real OpenID provider, end to end: sign-in with PKCE, both kinds of token, second factor, revocation.

The provider is the certified ``oidc-provider`` of the npm registry. CI installs it and names its folder; elsewhere:
``npm install --prefix FOLDER tests/accounts/provider`` and ``OPENID_PROVIDER_FOLDER=FOLDER``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from jose import jwt

from credit_service.accounts.assertions import TYPE
from credit_service.accounts.rules import Role
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from credit_service.platform.settings import OpenIdIssuer
from tests.accounts.test_identity import CA, KEY, OTHER_KEY, certificate, pem, public_jwk
from tests.api import AGENCY, COMPANY, Api, penalty, running

FOLDER = os.environ.get("OPENID_PROVIDER_FOLDER", "")
pytestmark = pytest.mark.skipif(
    not (FOLDER and shutil.which("node")), reason="OPENID_PROVIDER_FOLDER is not set, or there is no node"
)
CALLBACK = "http://127.0.0.1:1/callback"
FILE = f"/v1/entities/{COMPANY}"


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """The provider in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = Path(FOLDER) / f"provider-{port}.mjs"
    script.write_text((Path(__file__).parent / "provider" / "provider.mjs").read_text(encoding="utf-8"))
    system = [json.dumps(public_jwk(KEY, "system") | {"alg": "ES256", "use": "sig"}), AGENCY]
    process = subprocess.Popen(
        ["node", str(script), str(port), *system], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"ready"
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)
        script.unlink()


@pytest.fixture
async def api(issuer: str, database: Database, tmp_path: Path) -> AsyncIterator[Api]:
    provider = OpenIdIssuer(
        issuer=issuer,
        audience="credit-service",
        introspection_client_id="registry",
        introspection_client_secret="registry-secret",
    )
    clock = FixedClock(datetime.now(UTC))  # the provider's tokens are of this day
    signed_only = provider.model_copy(update={"introspection_client_id": None})
    chosen = provider if "opaque" in os.environ.get("PYTEST_CURRENT_TEST", "") else signed_only
    async with running(database, clock, tmp_path, oidc_issuers=[chosen], client_certificate_header=True) as found:
        yield found


async def sign_in(issuer: str, login: str, kind: str, *, verifier: str | None = None) -> httpx.Response:
    """The authorization code flow with PKCE, as a browser walks it; gives the answer of the token endpoint."""
    given = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(given.encode()).digest()).rstrip(b"=").decode()
    async with httpx.AsyncClient(trust_env=False, base_url=issuer, timeout=30) as browser:
        question = {
            "client_id": "portal",
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": "openid",
            "resource": f"urn:credit-service:{kind}",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        answer = await browser.get("/auth", params=question)
        for _ in range(12):
            while answer.has_redirect_location:
                target = urljoin(str(answer.url), answer.headers["location"])
                if target.startswith(CALLBACK):
                    code = parse_qs(urlsplit(target).query)["code"][0]
                    form = {
                        "grant_type": "authorization_code",
                        "client_id": "portal",
                        "code": code,
                        "redirect_uri": CALLBACK,
                        "code_verifier": verifier or given,
                        "resource": f"urn:credit-service:{kind}",
                    }
                    return await browser.post("/token", data=form)
                answer = await browser.get(target)
            action = re.search(r'<form[^>]*action="([^"]+)"', answer.text)
            prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)
            assert action, answer.text[:500]
            assert prompt, answer.text[:500]
            form = {"prompt": prompt[1]} | ({"login": login, "password": "x"} if prompt[1] == "login" else {})
            answer = await browser.post(action[1], data=form)
    raise AssertionError("the sign-in came to no end")


async def token_of(issuer: str, login: str, kind: str = "signed") -> str:
    answer = await sign_in(issuer, login, kind)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Credit-Purpose": "supervision"}


async def test_a_regulator_signs_in_with_pkce_and_reads(api: Api, issuer: str) -> None:
    assert (await api.submit()).status_code == 201
    token = await token_of(issuer, f"regulator:{AGENCY}")
    assert token.count(".") == 2
    answer = await api.http.get(FILE, headers=bearer(token))
    assert answer.status_code == 200
    assert answer.json()["audience"] == "regulator"


async def test_without_the_verifier_there_is_no_token(api: Api, issuer: str) -> None:
    answer = await sign_in(issuer, f"regulator:{AGENCY}", "signed", verifier="x" * 43)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_a_decision_asks_for_a_second_factor(api: Api, issuer: str) -> None:
    record = (await api.submit()).json()
    withdrawal = {"reason": "报送有误, 予以撤回"}
    statuses = []
    for login in (f"agency-submitter:{AGENCY}", f"agency-submitter:{AGENCY}+otp"):
        headers = bearer(await token_of(issuer, login)) | {"If-Match": "*"}
        assert (await api.http.get("/v1/notifications", headers=headers)).status_code == 200
        answer = await api.http.post(f"/v1/records/{record['id']}/withdrawal", json=withdrawal, headers=headers)
        statuses.append(answer.status_code)
        if answer.status_code == 401:
            assert "insufficient_user_authentication" in answer.headers["www-authenticate"]
            assert answer.json()["type"].endswith("second-factor-required")
    assert statuses == [401, 200]


async def test_whatever_decides_about_an_entity_asks_for_one(api: Api, issuer: str) -> None:
    """A proceeding ends with a decision, a measure reduces rights, a rule set classes every entity."""
    for role, path in (
        ("agency-submitter", "/v1/proceedings"),
        ("agency-submitter", "/v1/measures/applications"),
        ("regulator", "/v1/measures/applications"),
        ("regulator", "/v1/supervision/rule-sets"),
    ):
        found = []
        for login in (f"{role}:{AGENCY}", f"{role}:{AGENCY}+otp"):
            answer = await api.http.post(path, json={}, headers=bearer(await token_of(issuer, login)))
            found.append((answer.status_code, answer.json()["type"].rpartition(":")[2]))
        assert found == [(401, "second-factor-required"), (422, "invalid-request")], (role, path)


async def test_a_subject_sees_its_own_file(api: Api, issuer: str) -> None:
    assert (await api.submit()).status_code == 201
    answer = await api.http.get(FILE, headers=bearer(await token_of(issuer, f"subject:{COMPANY}")))
    assert answer.json()["audience"] == "subject"


async def test_an_opaque_token_is_the_providers_to_explain_and_to_revoke(api: Api, issuer: str) -> None:
    assert (await api.submit()).status_code == 201
    token = await token_of(issuer, f"regulator:{AGENCY}", "opaque")
    assert token.count(".") == 0
    assert (await api.http.get(FILE, headers=bearer(token))).status_code == 200
    async with httpx.AsyncClient(trust_env=False) as http:
        done = await http.post(f"{issuer}/token/revocation", data={"token": token, "client_id": "portal"})
    assert done.status_code == 200
    api.clock.instant += timedelta(seconds=30)  # within a minute
    assert (await api.http.get(FILE, headers=bearer(token))).status_code == 401
    assert (await api.http.get(FILE, headers=bearer("A" * 43))).status_code == 401


async def test_a_person_is_shut_out_whatever_its_provider_says(api: Api, issuer: str) -> None:
    token = await token_of(issuer, f"agency-submitter:{AGENCY}")
    headers = bearer(token)
    assert (await api.http.get("/v1/notifications", headers=headers)).status_code == 200
    body = {
        "principal": f"oidc:{issuer}#agency-submitter:{AGENCY}",
        "blocked": True,
        "reason": "已调离岗位",
    }
    assert (await api.call("POST", "/v1/principals/block", Role.ADMINISTRATOR, json=body)).status_code == 204
    api.clock.instant += timedelta(seconds=30)
    assert (await api.http.post("/v1/records", json=penalty(), headers=headers)).status_code == 401


def signed_assertion(issuer: str, key: Any = KEY) -> dict[str, str]:
    now = datetime.now(UTC).timestamp()
    claims = {"iss": "agency-system", "sub": "agency-system", "aud": issuer, "jti": secrets.token_urlsafe(16)}
    claims |= {"iat": int(now), "exp": int(now) + 60}
    text = jwt.encode(claims, pem(key).decode(), algorithm="ES256", headers={"kid": "system"})
    form = {"grant_type": "client_credentials", "client_assertion_type": TYPE, "client_assertion": str(text)}
    return form | {"resource": "urn:credit-service:signed"}


def handed_on(key: Any) -> dict[str, str]:
    """The header of a TLS proxy for a certificate of this key."""
    der = certificate("agency-system", key, CA).public_bytes(Encoding.DER)
    return {"Client-Cert": f":{base64.b64encode(der).decode()}:"}


async def test_an_agencys_system_signs_and_its_token_is_good_with_its_certificate_only(api: Api, issuer: str) -> None:
    """private_key_jwt and a token bound to a certificate, both of the provider's making (RFC 7523, RFC 8705)."""
    ours, stranger = handed_on(KEY), handed_on(OTHER_KEY)
    form = signed_assertion(issuer)
    async with httpx.AsyncClient(trust_env=False, base_url=issuer, timeout=30) as http:
        answer = await http.post("/token", data=form, headers=ours)
        assert answer.status_code == 200, answer.text
        assert (await http.post("/token", data=form, headers=ours)).status_code >= 400, "once"
        assert (await http.post("/token", data=signed_assertion(issuer, OTHER_KEY), headers=ours)).status_code >= 400
        assert (await http.post("/token", data=signed_assertion(issuer))).status_code >= 400, "no certificate"
    headers = bearer(answer.json()["access_token"])
    statuses = [
        (await api.http.post("/v1/records", json=penalty(), headers=headers | shown)).status_code
        for shown in (ours, stranger, {}, ours)
    ]
    assert statuses == [201, 401, 401, 200]
