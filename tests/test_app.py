"""Every route is behind a declared permission; every error is a problem document; the contract is current."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import httpx
import pytest
from fastapi import APIRouter, Depends

from credit_service import app as application
from credit_service.accounts.dependencies import declared_permission, requires
from credit_service.accounts.rules import PERMISSIONS, Permission, Principal, Role, permitted
from credit_service.app import api_routes, create_app
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from credit_service.platform.errors import ProblemType
from credit_service.platform.settings import Settings
from tests.api import AGENCY, COMPANY, Api, running
from tests.support import ROOT

UNKNOWN_ID = "01890000-0000-7000-8000-000000000000"
PARAMETERS = {
    "agency_uscc": AGENCY,
    "client_id": "nobody",
    "code": "taxpayer-grade-a",
    "day": "2026-05-06",
    "index": "0",
    "kind": "over-quota",
    "place": "0/000",
    "uscc": COMPANY,
    "year": "2026",
}
"""Path parameters that are not ids."""


def test_every_route_declares_one_permission(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    routes = list(api_routes(app))
    assert len(routes) > 15
    assert all(declared_permission(route) is not None for route in routes)


def test_a_route_without_a_permission_keeps_the_service_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless = APIRouter()

    @careless.get("/v1/everything")
    async def everything() -> str:
        return "all of it"

    @careless.get("/v1/two")
    async def two(
        a: Annotated[Principal, Depends(requires(Permission.HEALTH))],
        b: Annotated[Principal, Depends(requires(Permission.METRICS))],
    ) -> str:
        return "which?"

    monkeypatch.setattr(application, "ROUTERS", (careless,))
    with pytest.raises(RuntimeError, match=r"/v1/everything.*/v1/two"):
        create_app(Settings(data_dir=tmp_path))


def test_the_table_of_permissions_is_whole_and_denies_by_default() -> None:
    assert set(PERMISSIONS) == set(Permission)
    assert not any(permitted(Principal("x", role), "no such thing") for role in Role)  # type: ignore[arg-type]
    writers = {role for permission in (Permission.SUBMIT_RECORD, Permission.IMPORT) for role in PERMISSIONS[permission]}
    assert writers == {Role.SUBMITTER}


@pytest.mark.parametrize("role", list(Role))
async def test_each_role_meets_each_route(api: Api, role: Role) -> None:
    """401 for the public and 403 for others exactly where the table does not hold the role."""
    for route in api_routes(api.app):
        path = re.sub(r"\{(\w+)(:path)?\}", lambda found: PARAMETERS.get(found[1], UNKNOWN_ID), route.path)
        permission = declared_permission(route)
        assert permission is not None
        for method in sorted(route.methods or ()):
            response = await api.call(method, path, role, {"Idempotency-Key": "k"}, content=b"{}")
            denied = 401 if role is Role.PUBLIC else 403
            place = f"{role} {method} {path}: {response.status_code}"
            if permitted(Principal("x", role), permission):
                closed = path == "/v1/supervision/own-class"  # its authority has not opened it
                assert response.status_code not in (401, 403) or path.startswith("/oauth/") or closed, place
            else:
                assert response.status_code == denied, place
            assert response.status_code < 500, place
            if response.status_code >= 400 and not path.startswith("/oauth/"):
                assert response.headers["content-type"] == "application/problem+json", place
                assert {"type", "title", "title_zh", "title_en", "status"} <= response.json().keys()


async def test_problems_speak_both_languages_and_name_the_request(api: Api) -> None:
    chinese = await api.get("/nowhere", headers={"X-Request-ID": "req-1"})
    english = await api.get("/nowhere", headers={"Accept-Language": "en-GB,zh;q=0.5"})
    assert (chinese.status_code, chinese.json()["title"]) == (404, "未找到")
    assert english.json()["title"] == "Not found"
    assert chinese.headers["x-request-id"] == chinese.json()["request_id"] == "req-1"
    forged = await api.get("/nowhere", headers={"X-Request-ID": "a\tb" * 40})
    assert len(forged.headers["x-request-id"]) == 36
    wrong = await api.call("DELETE", f"/v1/entities/{COMPANY}")
    assert (wrong.status_code, wrong.json()["type"]) == (405, "urn:credit-service:problem:method-not-allowed")
    broken = await api.call("POST", "/v1/records", Role.SUBMITTER, {"Content-Type": "application/json"}, content=b"{")
    assert broken.json()["type"].endswith("malformed-request")


async def test_a_body_beyond_the_limit_is_refused(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    response = await api.call("POST", "/v1/records", Role.SUBMITTER, headers, content=b'"' + b"x" * (1 << 20) + b'"')
    assert response.status_code == 413, response.text
    assert response.headers["content-type"] == "application/problem+json", response.text
    assert response.json()["type"].endswith("payload-too-large")


async def test_an_identity_number_is_neither_echoed_nor_logged(
    database: Database, clock: FixedClock, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    number = "11010519491231002X"
    async with running(database, clock, tmp_path, log_level="debug", log_reads=True) as api:
        tokens = [await api.token(role) for role in (Role.REGULATOR, Role.SUBMITTER)]
        answers = [
            await api.get(f"/v1/entities/{number}"),
            await api.get(f"/v1/entities/{number}", Role.REGULATOR),
            await api.get(f"/v1/entities/{number}/records", Role.REGULATOR),
            await api.submit(uscc=number),
            await api.call("PUT", f"/v1/entities/{number}", Role.REGISTRAR, json={"name": "某人"}),
            await api.submit(facts={"penalty_categories": [number]}),
        ]
    assert {answer.status_code for answer in answers} == {422}
    said = "".join(answer.text + str(answer.headers) for answer in answers)
    logged = "".join(capfd.readouterr())
    assert "request" in logged
    for part in (number[start : start + 8] for start in range(11)):
        assert part not in said
        assert part not in logged
    assert not any(token.rsplit(".", 1)[1] in logged for token in tokens)


@pytest.mark.parametrize("form", ["json", "console"])
async def test_a_failure_is_logged_without_what_was_sent(
    database: Database,
    clock: FixedClock,
    tmp_path: Path,
    owner: asyncpg.Connection[Any],
    capfd: pytest.CaptureFixture[str],
    form: str,
) -> None:
    """Not what a statement was given, and no number in what an error says, as a cast or a validator may repeat it."""
    await owner.execute("ALTER TABLE record_version RENAME TO elsewhere")
    try:
        async with running(database, clock, tmp_path, log_level="error", log_format=form) as api:
            failed = await api.submit(entity_name="重庆某某甲乙丙有限公司")

            @api.app.get("/failing")
            def failing() -> None:
                raise RuntimeError("input_value='11010519491231002X'")

            again = await api.http.get("/failing")
    finally:
        await owner.execute("ALTER TABLE elsewhere RENAME TO record_version")
    assert (failed.status_code, again.status_code) == (500, 500)
    logged = "".join(capfd.readouterr())
    assert "record_version" in logged, "what failed is told"
    assert "input_value" in logged
    assert not any(part in logged for part in ("甲乙丙", "超过保质期", "11010519491231002X"))


def test_the_contract_is_current_and_complete(tmp_path: Path) -> None:
    document = create_app(Settings(data_dir=tmp_path)).openapi()
    assert document["openapi"].startswith("3.1")
    written = json.loads((ROOT / "schemas" / "openapi.json").read_text(encoding="utf-8"))
    assert written == json.loads(json.dumps(document))
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert all(operation.get("summary") and operation["responses"]["default"] for operation in operations)
    for schema in document["components"]["schemas"].values():
        for name, field in schema.get("properties", {}).items():
            assert field.get("description") or schema.get("title") is None, (schema.get("title"), name)


async def test_health_and_metrics(api: Api) -> None:
    assert (await api.get("/livez")).json() == {"status": "ok"}
    ready = (await api.get("/readyz")).json()
    assert ready["status"] == "ok"
    await api.get(f"/v1/entities/{COMPANY}")
    metrics = (await api.get("/metrics")).text
    assert 'route="/v1/entities/{uscc}"' in metrics
    assert COMPANY not in metrics
    problems = (await api.get("/v1/problems")).json()["problems"]
    assert len(problems) == len(ProblemType.registry)


async def test_not_ready_without_its_database(clock: FixedClock, tmp_path: Path) -> None:
    database = Database("postgresql://nobody@/none?host=/nowhere", role=None)
    app = create_app(Settings(data_dir=tmp_path, log_level="error"), clock=clock, database=database)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        assert (await client.get("/livez")).status_code == 200
        response = await client.get("/readyz")
    assert response.status_code == 503
    assert response.headers["retry-after"]
    assert AGENCY not in response.text
