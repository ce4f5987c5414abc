"""Rule sets by two people, what a draft would change, who is told a class, and that the public never is."""

from __future__ import annotations

from typing import Any

import asyncpg
import httpx
import pytest
import yaml

from credit_service.accounts.dependencies import declared_permission
from credit_service.accounts.rules import Role, permitted
from credit_service.app import api_routes
from credit_service.supervision.classes import runs
from tests.api import AGENCY, CATALOGUE, COMPANY, OTHER_AGENCY, OTHER_COMPANY, Api
from tests.supervision.classes.support import SHIPPED, adopt

PATH = "/v1/supervision/rule-sets"


async def upload(api: Api, document: dict[str, Any] | str = SHIPPED, **who: Any) -> httpx.Response:
    return await api.call("POST", PATH, Role.REGULATOR, json={"document": document}, **who)


async def second(api: Api, method: str, path: str, **more: Any) -> httpx.Response:
    """Another regulator of the same agency."""
    agency = more.pop("agency", AGENCY)
    name = f"second-regulator-{agency[2:8]}"
    from sqlalchemy.dialects.postgresql import insert

    from credit_service.accounts import tokens
    from credit_service.accounts.models import Client
    from credit_service.accounts.rules import Principal
    from tests.api import ISSUER

    principal = Principal(id=f"client:{name}", role=Role.REGULATOR, agency_uscc=agency)
    row = Client(
        client_id=name,
        name="第二人",
        role="regulator",
        agency_uscc=agency,
        secret_hash="none",
        created_at=api.clock.now(),
    )
    async with api.database.transaction() as session:
        await session.execute(insert(Client).values(**row.model_dump()).on_conflict_do_nothing())
    token = tokens.issue(
        api.app.state.keys, issuer=ISSUER, principal=principal, now=api.clock.now(), lifetime_seconds=900
    )
    headers = {"Authorization": f"Bearer {token}", "Credit-Purpose": "supervision"} | more.pop("headers", {})
    return await api.http.request(method, path, headers=headers, **more)


async def test_a_rule_set_needs_a_second_person(api: Api, owner: asyncpg.Connection[Any]) -> None:
    made = await upload(api, yaml.safe_dump(SHIPPED, allow_unicode=True))
    assert made.status_code == 201, made.text
    path = f"{PATH}/{made.json()['id']}"
    assert (made.json()["state"], made.json()["document"]) == ("draft", SHIPPED)
    assert (await upload(api)).status_code == 409
    tag = {"If-Match": made.headers["etag"]}
    own = await api.call("POST", f"{path}/activation", Role.REGULATOR, tag)
    assert (own.status_code, own.json()["type"]) == (403, "urn:credit-service:problem:four-eyes")
    other = await api.call("POST", f"{path}/activation", Role.REGULATOR, tag, agency=OTHER_AGENCY)
    assert other.status_code == 404
    assert (await second(api, "POST", f"{path}/activation")).status_code == 428
    done = await second(api, "POST", f"{path}/activation", headers=tag)
    assert done.status_code == 200, done.text
    assert done.json()["rule_set"]["state"] == "active"
    again = await second(api, "POST", f"{path}/activation", headers={"If-Match": "*"})
    assert (again.status_code, again.json()["type"]) == (409, "urn:credit-service:problem:rule-set-not-draft")
    progress = await api.get(f"/v1/supervision/runs/{done.json()['run_id']}", Role.REGULATOR)
    assert (progress.json()["state"], progress.json()["kind"]) == ("open", "full")
    events = await owner.fetch("SELECT action FROM audit_event WHERE subject_type IN ('rule-set', 'class-run')")
    assert [row["action"] for row in events] == ["rule-set.proposed", "rule-set.activated", "class-run.full.started"]
    with pytest.raises(asyncpg.CheckViolationError):
        await owner.execute("UPDATE rule_set SET approved_by = proposed_by")


async def test_a_refused_upload_says_where(api: Api) -> None:
    answer = await upload(api, SHIPPED | {"bands": {"B": 1, "C": 1, "D": 2}})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/document/bands")
    assert (await upload(api, "a: *b")).status_code == 422


async def test_what_a_draft_would_change(api: Api, owner: asyncpg.Connection[Any]) -> None:
    await api.submit()
    await api.submit(uscc=OTHER_COMPANY, document_number="另一号", facts={"penalty_categories": ["警告"]})
    await adopt(api.database, api.clock)
    draft = (await upload(api, SHIPPED | {"version": "2", "bands": {"B": 5, "C": 8, "D": 60}})).json()["id"]
    asked = await api.call("POST", f"{PATH}/{draft}/what-if", Role.REGULATOR, json={})
    assert asked.status_code == 202, asked.text
    await runs.resume(api.database, CATALOGUE, api.clock)
    found = (await api.get(asked.headers["location"], Role.REGULATOR)).json()
    assert (found["state"], found["entities"], found["changed"]) == ("finished", 2, 1)
    assert found["before"] == {"A": 1, "B": 1, "C": 0, "D": 0}
    assert found["after"] == {"A": 1, "B": 0, "C": 1, "D": 0}
    assert {"before": "B", "after": "C", "entities": 1} in found["transitions"]
    moves = (await api.get(f"{asked.headers['location']}/moves", Role.REGULATOR)).json()["moves"]
    assert [(m["uscc"], m["before"], m["after"]) for m in moves] == [(COMPANY, "B", "C")]
    await api.app.state.journal.close()
    read = await owner.fetch("SELECT uscc FROM access_log WHERE route LIKE '%/moves'")
    assert [row["uscc"] for row in read] == [COMPANY], "whoever is shown to move is told who looked"
    past = await api.call("POST", f"{PATH}/{draft}/what-if", Role.REGULATOR, json={"as_of": "2026-05-01"})
    await runs.resume(api.database, CATALOGUE, api.clock)
    found = (await api.get(past.headers["location"], Role.REGULATOR)).json()
    assert (found["changed"], found["after"]) == (0, {"A": 2, "B": 0, "C": 0, "D": 0}), "nothing was known yet"


async def test_a_subject_asks_for_its_own_class_where_it_is_open(api: Api) -> None:
    await api.submit()
    closed = await api.get("/v1/supervision/own-class", Role.SUBJECT)
    assert (closed.status_code, closed.json()["type"]) == (403, "urn:credit-service:problem:class-not-open")
    put = await api.call("PUT", "/v1/supervision/settings", Role.REGULATOR, json={"open_to_subjects": True})
    assert put.json() | {"version": 1} == put.json() | {"open_to_subjects": True, "division": "500103"}
    none = await api.get("/v1/supervision/own-class", Role.SUBJECT)
    assert none.json()["type"] == "urn:credit-service:problem:no-rule-set"
    await adopt(api.database, api.clock)
    own = await api.get("/v1/supervision/own-class", Role.SUBJECT)
    assert (own.status_code, own.json()["uscc"], own.json()["risk_class"]) == (200, COMPANY, "B")
    again = await api.call("PUT", "/v1/supervision/settings", Role.REGULATOR, json={"open_to_subjects": False})
    assert again.status_code == 428
    tag = {"If-Match": (await api.get("/v1/supervision/settings", Role.REGULATOR)).headers["etag"]}
    await api.call("PUT", "/v1/supervision/settings", Role.REGULATOR, tag, json={"open_to_subjects": False})
    assert (await api.get("/v1/supervision/own-class", Role.SUBJECT)).status_code == 403


async def test_no_public_surface_shows_a_class(api: Api) -> None:
    """Every route the public may call, and every other role's view of the file, without class, points or tags."""
    record = (await api.submit()).json()["id"]
    await adopt(api.database, api.clock)
    await runs.resume(api.database, CATALOGUE, api.clock)
    assert (await api.get(f"/v1/supervision/entities/{COMPANY}/class", Role.REGULATOR)).json()["risk_class"] == "B"
    tried = 0
    for route in api_routes(api.app):
        permission = declared_permission(route)
        assert permission is not None
        if "GET" not in (route.methods or ()):
            continue
        path = route.path
        values = {"uscc": COMPANY, "record_id": record, "code": "abnormal-operation-list"}
        for name, value in values.items():
            path = path.replace("{" + name + "}", value)
        if "{" in path:
            path = path.replace("{", "").replace("}", "")
        for role in (Role.PUBLIC, Role.SUBJECT, Role.SUBMITTER):
            if path.startswith("/openapi") or not permitted(api.principal(role), permission):
                continue
            answer = await api.get(path, role)
            tried += 1
            for word in ('"risk_class"', '"points"', '"tags"'):
                assert word not in answer.text or path == "/v1/supervision/own-class", (role, path)
    assert tried > 30
    for role in (Role.PUBLIC, Role.SUBJECT, Role.SUBMITTER, Role.REGISTRAR, Role.ADMINISTRATOR):
        answer = await api.get(f"/v1/supervision/entities/{COMPANY}/class", role)
        assert answer.status_code in (401, 403)


async def test_a_class_is_read_for_a_purpose_only(api: Api) -> None:
    await api.submit()
    await adopt(api.database, api.clock)
    path = f"/v1/supervision/entities/{COMPANY}/class"
    answer = await api.get(path, Role.REGULATOR, headers={"Credit-Purpose": ""})
    assert answer.json()["type"] == "urn:credit-service:problem:purpose-required"
    assert (await api.get(path.replace(COMPANY, OTHER_COMPANY), Role.REGULATOR)).status_code == 404
    assert (await api.get(f"{path}/history", Role.REGULATOR)).status_code == 404
    await runs.resume(api.database, CATALOGUE, api.clock)
    periods = (await api.get(f"{path}/history", Role.REGULATOR)).json()["periods"]
    assert [(p["risk_class"], p["previous_class"]) for p in periods] == [("B", None)]
