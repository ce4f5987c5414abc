"""The token endpoint, agencies and clients over HTTP."""

from __future__ import annotations

import asyncio
import base64
import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import orjson
import pytest

from credit_service.accounts.authenticator import RECHECKED_AFTER_SECONDS
from credit_service.accounts.dependencies import declared_permission
from credit_service.accounts.rules import Permission, Role
from credit_service.app import api_routes
from credit_service.identity.uscc import compose
from tests.api import AGENCY, AGENCY_NAME, COMPANY, Api, penalty

NEW = compose("11", "110105", "00006132")
GRANT = [{"item_code": "administrative-penalty", "division_prefix": "1101"}]


async def make_client(api: Api, **changes: Any) -> tuple[str, str]:
    body = {"client_id": "system-1", "name": "业务系统", "role": "agency-submitter", "agency_uscc": AGENCY} | changes
    made = await api.call("POST", "/v1/clients", Role.ADMINISTRATOR, json=body)
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    return made.json()["client_id"], made.json()["client_secret"]


async def ask_token(api: Api, client_id: str, secret: str, *, basic: bool = True) -> Any:
    form = {"grant_type": "client_credentials"}
    if basic:
        return await api.http.post("/oauth/token", data=form, auth=(client_id, secret))
    return await api.http.post("/oauth/token", data=form | {"client_id": client_id, "client_secret": secret})


@pytest.mark.parametrize("basic", [True, False])
async def test_client_credentials(api: Api, basic: bool) -> None:
    answer = await ask_token(api, *await make_client(api), basic=basic)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    granted = answer.json()
    assert (granted["token_type"], granted["expires_in"]) == ("Bearer", 900)
    headers = {"Authorization": f"Bearer {granted['access_token']}"}
    stored = await api.http.post("/v1/records", json=penalty(), headers=headers)
    assert stored.status_code == 201


async def test_wrong_credentials(api: Api) -> None:
    client_id, secret = await make_client(api)
    for wrong in ((client_id, "no"), ("nobody", secret), (client_id, "")):
        answer = await ask_token(api, *wrong)
        assert (answer.status_code, answer.json()) == (401, {"error": "invalid_client"})
        assert answer.headers["www-authenticate"] == "Basic"
    for body, code in (("", "invalid_request"), ("grant_type=password", "unsupported_grant_type")):
        answer = await api.http.post("/oauth/token", content=body)
        assert (answer.status_code, answer.json()["error"]) == (400, code)
    broken = {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()}
    assert (
        await api.http.post("/oauth/token", data={"grant_type": "client_credentials"}, headers=broken)
    ).status_code == 401


async def test_a_disabled_client_is_out_within_half_a_minute(api: Api, owner: asyncpg.Connection) -> None:
    client_id, secret = await make_client(api)
    token = (await ask_token(api, client_id, secret)).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert (await api.http.post("/v1/records", json=penalty(), headers=headers)).status_code == 201
    disabled = await api.call("POST", f"/v1/clients/{client_id}/disable", Role.ADMINISTRATOR)
    assert disabled.status_code == 204
    assert (await ask_token(api, client_id, secret)).status_code == 401
    api.clock.instant += timedelta(seconds=RECHECKED_AFTER_SECONDS)
    assert (await api.http.post("/v1/records", json=penalty(), headers=headers)).status_code == 401
    assert (await api.call("POST", "/v1/clients/nobody/disable", Role.ADMINISTRATOR)).status_code == 404
    actions = await owner.fetch("SELECT action FROM audit_event WHERE subject_type = 'client' ORDER BY id")
    assert [row["action"] for row in actions] == ["client.created", "client.disabled"]
    hashes = await owner.fetchval("SELECT secret_hash FROM client WHERE client_id = $1", client_id)
    assert hashes.startswith("$argon2id$")
    kept = await owner.fetch("SELECT canonical FROM audit_event UNION ALL SELECT body FROM idempotency_key")
    assert not any(secret.encode() in row[0] for row in kept)


async def test_whatever_an_administrator_changes_is_in_the_audit_log(api: Api, owner: asyncpg.Connection) -> None:
    agency = {"name": "北京市朝阳区市场监督管理局", "division": "110105", "level": "district"}
    client = {"client_id": "system-1", "name": "业务系统", "role": "auditor"}
    who = {"principal": "client:system-1", "reason": "离职交接期间停用"}
    changes: list[tuple[str, str, Any, str]] = [
        ("PUT", f"/v1/agencies/{NEW}", agency, "agency.created"),
        ("PUT", f"/v1/agencies/{NEW}", agency | {"daily_subjects": 5}, "agency.updated"),
        ("PUT", f"/v1/agencies/{NEW}", agency | {"grants": GRANT}, "agency.updated"),
        ("POST", "/v1/clients", client, "client.created"),
        ("POST", "/v1/principals/block", who | {"blocked": True}, "principal.blocked"),
        ("POST", "/v1/principals/block", who | {"blocked": False}, "principal.unblocked"),
        ("POST", "/v1/clients/system-1/disable", None, "client.disabled"),
    ]
    routes = [route for route in api_routes(api.app) if declared_permission(route) is Permission.MANAGE_ACCOUNTS]
    writes = {(method, route.path_regex.pattern) for route in routes for method in route.methods - {"GET"}}
    assert all(any(verb == m and re.match(p, path) for verb, path, _, _ in changes) for m, p in writes), "a new route"
    for method, path, body, action in changes:
        request_id = str(uuid4())
        done = await api.call(method, path, Role.ADMINISTRATOR, {"X-Request-ID": request_id}, json=body)
        assert done.status_code < 300, done.text
        by = "convert_from(attribution, 'UTF8')::json ->> 'request_id' = $1"
        rows = await owner.fetch(f"SELECT action, actor FROM audit_event WHERE {by}", request_id)
        assert [tuple(row) for row in rows] == [(action, "client:administrator-500103")]


async def test_a_token_dies_with_its_agency(api: Api) -> None:
    assert (await api.submit()).status_code == 201
    assert (await api.get("/v1/inspections/inspectors", Role.REGULATOR)).status_code == 200
    body = {"name": AGENCY_NAME, "division": "500103", "level": "district", "active": False}
    assert (await api.call("PUT", f"/v1/agencies/{AGENCY}", Role.ADMINISTRATOR, json=body)).status_code == 200
    api.clock.instant += timedelta(seconds=RECHECKED_AFTER_SECONDS)
    assert (await api.submit(document_number="2号")).status_code == 401
    assert (await api.get("/v1/inspections/inspectors", Role.REGULATOR)).status_code == 401


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"role": "public"}, "/role"),
        ({"role": "subject", "agency_uscc": None}, "/entity_uscc"),
        ({"agency_uscc": COMPANY}, "/agency_uscc"),
        ({"role": "regulator", "agency_uscc": None}, "/agency_uscc"),
        ({"client_id": "A b"}, "/client_id"),
    ],
)
async def test_clients_that_cannot_be(api: Api, changes: dict[str, Any], pointer: str) -> None:
    body = {"client_id": "system-1", "name": "业务系统", "role": "agency-submitter", "agency_uscc": AGENCY} | changes
    refused = await api.call("POST", "/v1/clients", Role.ADMINISTRATOR, json=body)
    assert refused.status_code == 422
    assert pointer in [error["pointer"] for error in refused.json()["errors"]]


async def test_a_client_is_made_once(api: Api) -> None:
    await make_client(api)
    body = {"client_id": "system-1", "name": "业务系统", "role": "auditor"}
    assert (await api.call("POST", "/v1/clients", Role.ADMINISTRATOR, json=body)).status_code == 409


async def test_agencies_and_their_grants(api: Api, owner: asyncpg.Connection) -> None:
    grants = [{"item_code": "administrative-penalty", "division_prefix": "1101"}]
    body = {"name": "北京市朝阳区文化和旅游局", "division": "110105", "level": "district", "grants": grants}
    path = f"/v1/agencies/{NEW}"
    created = await api.call("PUT", path, Role.ADMINISTRATOR, {"Idempotency-Key": "a"}, json=body)
    assert created.status_code == 201, created.text
    replayed = await api.call("PUT", path, Role.ADMINISTRATOR, {"Idempotency-Key": "a"}, json=body)
    assert (replayed.status_code, replayed.json()) == (201, created.json())
    assert (await api.get(path, Role.ADMINISTRATOR)).json()["grants"] == grants
    merged = body | {"active": False, "successor_uscc": AGENCY, "grants": []}
    assert (await api.call("PUT", path, Role.ADMINISTRATOR, json=merged)).json()["successor_uscc"] == AGENCY
    listed = (await api.get("/v1/agencies", Role.ADMINISTRATOR)).json()["agencies"]
    assert [agency["active"] for agency in listed if agency["uscc"] == NEW] == [False]
    for wrong, pointer in (
        ({"grants": [{"item_code": "score", "division_prefix": "11"}]}, "/grants/0/item_code"),
        ({"successor_uscc": NEW}, "/successor_uscc"),
        ({"parent_uscc": COMPANY}, "/parent_uscc"),
    ):
        refused = await api.call("PUT", path, Role.ADMINISTRATOR, json=body | wrong)
        assert pointer in [error["pointer"] for error in refused.json()["errors"]]
    assert (await api.get(f"/v1/agencies/{COMPANY}", Role.ADMINISTRATOR)).status_code == 404
    rows = await owner.fetch("SELECT canonical FROM audit_event WHERE uscc = $1 ORDER BY id", NEW)
    first, second = (orjson.loads(row["canonical"]) for row in rows)
    assert [first["action"], second["action"]] == ["agency.created", "agency.updated"]
    assert second["before"] == first["after"]


async def test_keys_and_metadata_are_published(api: Api) -> None:
    metadata = (await api.get("/.well-known/oauth-authorization-server")).json()
    assert metadata["token_endpoint"] == "http://test/oauth/token"
    published = (await api.get("/.well-known/jwks.json")).json()["keys"]
    assert published
    assert all("d" not in key for key in published)


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer ", "Basic abc", "Token x", "Bearer a.b.c", "Bearer " + "x" * 9000]
)
async def test_bad_authorization_headers(api: Api, header: str) -> None:
    answer = await api.http.post("/v1/records", json=penalty(), headers={"Authorization": header})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_a_client_that_cannot_exist_is_refused_like_any_other(api: Api) -> None:
    answer = await ask_token(api, "a\x00b", "x")
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_parameter_given_twice_or_two_ways_to_authenticate_is_an_invalid_request(api: Api) -> None:
    client, secret = await make_client(api)
    twice = f"grant_type=client_credentials&client_id={client}&client_id=x&client_secret={secret}"
    both = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
    for answer in (
        await api.http.post("/oauth/token", content=twice),
        await api.http.post("/oauth/token", data=both, auth=(client, secret)),
    ):
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_guesses_hold_no_connection_while_they_are_hashed(api: Api) -> None:
    guesses = [asyncio.create_task(ask_token(api, f"nobody-{number}", "x")) for number in range(40)]
    await asyncio.sleep(0.02)
    answer = await api.get("/v1/agencies", Role.ADMINISTRATOR)
    unfinished = sum(not guess.done() for guess in guesses)
    assert answer.status_code == 200
    assert unfinished > 0, "the read had to wait for the guesses"
    assert {found.status_code for found in await asyncio.gather(*guesses)} == {401}


@pytest.mark.parametrize(
    ("method", "path", "body", "pointer"),
    [
        ("GET", "/v1/agencies/a%00b", None, None),
        ("POST", "/v1/clients/a%00b/disable", None, None),
        (
            "POST",
            "/v1/clients",
            {"client_id": "abc", "name": "ab", "role": "auditor", "agency_uscc": "a\x00b"},
            "/agency_uscc",
        ),
        (
            "PUT",
            f"/v1/agencies/{AGENCY}",
            {"name": AGENCY_NAME, "division": "500103", "level": "district", "successor_uscc": "a\x00b"},
            "/successor_uscc",
        ),
    ],
)
async def test_text_that_no_database_holds_is_named_and_never_a_failure(
    api: Api, method: str, path: str, body: dict[str, str] | None, pointer: str | None
) -> None:
    answer = await api.call(method, path, Role.ADMINISTRATOR, json=body)
    if pointer is None:
        assert answer.status_code == 404
    else:
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"pointer": pointer, "rule": "no U+0000"}]
