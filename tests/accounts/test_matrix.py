"""Every cell of the matrix against every route: one's own object answers, another's is as one that never was."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from credit_service.accounts import matrix
from credit_service.accounts.dependencies import declared_permission
from credit_service.accounts.matrix import BY_ROUTE, MATRIX, MEANINGS, ROLES, Scope, scope_of
from credit_service.accounts.rules import AGENCY_ROLES, PERMISSIONS, Permission, Role
from credit_service.app import api_routes, create_app
from credit_service.audit.accesses import Journal
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from credit_service.platform.settings import Settings
from tests.accounts.objects import FILE, OBJECTS, UNKNOWN, UNKNOWN_ID, World, body_for, template_of
from tests.api import AGENCY, COMPANY, OTHER_AGENCY, OTHER_COMPANY, Api, penalty, running
from tests.evidence.files import pdf
from tests.records.imports.conftest import ATTESTED
from tests.records.imports.files import csv_file
from tests.records.imports.files import penalty as row_of
from tests.records.test_proceedings import INTENT
from tests.support import ROOT

NARROW = frozenset(Scope) - {Scope.EVERYTHING, Scope.AS_SHOWN}


@dataclass(frozen=True)
class Cell:
    """A role before a route that reaches some objects only."""

    role: Role
    method: str
    path: str
    scope: Scope
    body: Any

    def __str__(self) -> str:
        return f"{self.role} {self.method} {self.path}"


def routes_of(app: Any) -> Iterator[tuple[str, Any, Permission]]:
    for route in api_routes(app):
        permission = declared_permission(route)
        assert permission is not None
        for method in sorted(route.methods or ()):
            yield method, route, permission


def narrow_cells(app: Any) -> list[Cell]:
    """Those of routes that name an object; what takes an object away comes last."""
    cells = []
    for method, route, permission in routes_of(app):
        for role in sorted(PERMISSIONS[permission]):
            scope = scope_of(permission, role, f"{method} {route.path}")
            if scope in NARROW and "{" in route.path:
                model = next((each.field_info.annotation for each in route.dependant.body_params), None)
                cells.append(Cell(role, method, route.path, scope, model))
    return sorted(cells, key=lambda cell: cell.method == "DELETE")


@pytest.fixture
async def world(
    database: Database, clock: FixedClock, tmp_path: Path, owner: asyncpg.Connection[Any]
) -> AsyncIterator[World]:
    async with running(database, clock, tmp_path, platform_agencies={"credit-china": AGENCY}) as api:
        yield World(api, owner, tmp_path)


def test_every_permission_of_every_role_has_a_scope() -> None:
    assert {permission: set(row.scopes) for permission, row in MATRIX.items()} == PERMISSIONS
    assert set(MEANINGS) == set(Scope)
    assert set(ROLES) == set(Role)


def test_exceptions_are_of_routes_that_exist_and_say_something_else(tmp_path: Path) -> None:
    app = create_app(Settings(data_dir=tmp_path))
    known = {f"{method} {route.path}": permission for method, route, permission in routes_of(app)}
    for route, scopes in BY_ROUTE.items():
        default = MATRIX[known[route]].scopes
        assert all(default[role] != scope for role, scope in scopes.items()), route


def test_every_object_can_be_made(tmp_path: Path) -> None:
    cells = narrow_cells(create_app(Settings(data_dir=tmp_path)))
    assert len(cells) > 90
    assert not [cell for cell in cells if cell.scope is Scope.GRANTED], "granted are items, not objects"
    for cell in cells:
        template_of(cell.path)
    with pytest.raises(AssertionError, match="add how to make one"):
        template_of("/v1/parcels/{parcel_id}")
    with pytest.raises(AssertionError, match="add how to make one"):
        template_of("/v1/repairs/{case_id}/parcels/{parcel_id}")


def test_the_page_is_current() -> None:
    assert (ROOT / "docs" / "permissions.md").read_text(encoding="utf-8") == matrix.page()


async def ask(
    world: World, cell: Cell, path: str, *, stranger: bool, request_id: str = ""
) -> tuple[int, dict[str, Any]]:
    identity = {"agency": OTHER_AGENCY, "entity": OTHER_COMPANY} if stranger else {}
    more: dict[str, Any] = {}
    headers = {"If-Match": "*"} | ({"X-Request-ID": request_id} if request_id else {})
    if cell.body is not None:
        more["json"] = body_for(cell.body, await world.listed())
    elif cell.method == "POST" and path.endswith("/attachments"):
        more["content"] = pdf(500)
        headers |= FILE
    answer = await world.api.call(cell.method, path, cell.role, headers, **identity, **more)
    problem = answer.status_code >= 400
    return answer.status_code, answer.json() if problem else {}


def unknown_of(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: UNKNOWN.get(found[1], UNKNOWN_ID), path)


async def test_ones_own_answers_and_anothers_never_was(world: World) -> None:
    cells = narrow_cells(world.api.app)
    places = {}
    for cell in cells:
        template = template_of(cell.path)
        places[cell] = await world.path(template, cell.role) + cell.path[len(template) :]
    wrong = []
    for cell, place in places.items():
        unknown = await ask(world, cell, unknown_of(cell.path), stranger=False)
        foreign = await ask(world, cell, place, stranger=True)
        for _, problem in (unknown, foreign):
            problem.pop("request_id", None)
            problem.pop("instance", None)
        if foreign[0] != 404 or foreign != unknown:
            wrong.append(f"another's: {cell}: {foreign}, and unknown: {unknown}")
    changed = {}
    for cell, place in places.items():
        request_id = str(uuid4())
        status, problem = await ask(world, cell, place, stranger=False, request_id=request_id)
        if (status in (401, 403, 404)) != (cell.scope is Scope.NOTHING) or status >= 500:
            wrong.append(f"one's own: {cell}: {status} {problem}")
        if status < 300 and cell.method != "GET" and cell.path not in UNCHANGED:
            changed[request_id] = cell
    assert len({cell.path for cell in changed.values()}) > 20
    wrong += [f"no event: {changed[each]}" for each in changed.keys() - await audited(world)]
    assert wrong == [], "\n".join(wrong)


UNCHANGED = {"/v1/watchlists/{watchlist_id}/entities": "the sample adds nothing that is not there already"}


async def audited(world: World) -> set[str]:
    """The requests that the audit log tells of."""
    rows = await world.owner.fetch(
        "SELECT DISTINCT convert_from(attribution, 'UTF8')::json ->> 'request_id' FROM audit_event"
    )
    return {row[0] for row in rows}


NO_OBJECTS = {
    "/v1/repairs/counts": "figures of the cases above",
    "/v1/objections/counts": "figures of the cases above",
    "/v1/measures/statistics": "figures of the applications above",
    "/v1/statistics/submissions": "figures of an agency's own records",
    "/v1/supervision/settings": "one row an agency",
    "/v1/supervision/own-class": "the caller's own",
    "/v1/inspections/items": "named by a code of its agency, see tests/supervision/inspections",
}
"""Routes without an id that give no ids either."""


def list_cells(app: Any) -> list[tuple[Cell, str]]:
    """Each role before each list that is not the same for all, with the objects of the table that it holds."""
    found = []
    for method, route, permission in routes_of(app):
        if method != "GET" or "{" in route.path or route.path in NO_OBJECTS:
            continue
        template = next((each for each in OBJECTS if each.startswith(f"{route.path}/{{")), None)
        for role in sorted(PERMISSIONS[permission]):
            scope = scope_of(permission, role, f"GET {route.path}")
            if scope in NARROW and scope is not Scope.NOTHING:
                assert template is not None, f"no object for {route.path}: add how to make one to OBJECTS"
                found.append((Cell(role, "GET", route.path, scope, None), template))
    return found


async def test_a_list_holds_ones_own_and_nothing_of_anothers(world: World) -> None:
    cells = list_cells(world.api.app)
    assert len({cell.path for cell, _ in cells}) >= 11
    names = {}
    for cell, template in cells:
        place = await world.path(template, cell.role)
        names[cell] = place.split("/")[len(template.split("/{")[0].split("/"))]
    wrong = []
    others = {"agency": OTHER_AGENCY, "entity": OTHER_COMPANY}
    for cell, _ in cells:
        own = await world.api.get(cell.path, cell.role)
        foreign = await world.api.get(cell.path, cell.role, **others)
        if (own.status_code, foreign.status_code) != (200, 200) or names[cell] not in own.text:
            wrong.append(f"one's own: {cell}: {own.status_code} {own.text[:300]}")
        shown = [name for name in names.values() if name in foreign.text]
        if shown:
            wrong.append(f"another's: {cell}: {shown}")
    assert wrong == [], "\n".join(wrong)


QUEUES = ("mine", "agency", "unassigned", "overdue", "due-today", "supervised")


def filters(known: set[str], own: httpx.Response, record_id: str) -> list[dict[str, str]]:
    """What a stranger may ask of a list to get at another's: its subject, its record, its queues, its cursor."""
    asked = [{"uscc": COMPANY}, {"record_id": record_id}, *({"queue": name} for name in QUEUES)]
    cursor = own.json().get("next_cursor")
    asked += [{"cursor": cursor}] if cursor else []
    return [each for each in asked if each.keys() <= known]


async def test_no_filter_and_no_cursor_brings_anothers_objects(world: World) -> None:
    paths = world.api.app.openapi()["paths"]
    others = {"agency": OTHER_AGENCY, "entity": OTHER_COMPANY}
    cells = list_cells(world.api.app)
    names = set()
    for cell, template in cells:
        place = await world.path(template, cell.role)
        names.add(place.split("/")[len(template.split("/{")[0].split("/"))])
    record_id = await world.listed()
    wrong, tried = [], []
    for cell, _ in cells:
        known = {each["name"] for each in paths[cell.path]["get"].get("parameters", [])}
        own = await world.api.get(cell.path, cell.role, params={"limit": "1"} if "limit" in known else {})
        assert own.status_code == 200, own.text
        for asked in filters(known, own, record_id):
            tried += asked
            foreign = await world.api.get(cell.path, cell.role, params=asked, **others)
            shown = [name for name in names if name in foreign.text]
            if foreign.status_code >= 500 or shown:
                wrong.append(f"{cell} {asked}: {foreign.status_code} {shown}")
    assert wrong == [], "\n".join(wrong)
    assert set(tried) == {"uscc", "record_id", "queue", "cursor"}
    assert len(tried) > 40


def zero(figures: Any) -> bool:
    """Whether an answer counts nothing."""
    if isinstance(figures, dict):
        return all(zero(each) for each in figures.values())
    if isinstance(figures, list):
        return all(zero(each) for each in figures)
    return not isinstance(figures, int) or figures == 0


async def test_figures_count_nothing_of_anothers(world: World) -> None:
    made = [await world.path(f"/v1/{kind}/{{case_id}}", Role.SUBJECT) for kind in ("repairs", "objections")]
    assert len(set(made)) == 2
    await world.path("/v1/measures/applications/{application_id}", Role.REGULATOR)
    others = {"agency": OTHER_AGENCY, "entity": OTHER_COMPANY}
    for path in ("/v1/repairs/counts", "/v1/objections/counts"):
        for role in (Role.SUBMITTER, Role.REGULATOR, Role.SUBJECT):
            foreign = await world.api.get(path, role, **others)
            assert (foreign.status_code, zero(foreign.json())) == (200, True), (path, role, foreign.text)
        assert not zero((await world.api.get(path, Role.SUBMITTER)).json()), path
    own = await world.api.get("/v1/statistics/submissions", Role.SUBMITTER)
    assert (own.status_code, zero(own.json())) == (200, False), own.text
    for params in ({}, {"agency": AGENCY}):
        foreign = await world.api.get("/v1/statistics/submissions", Role.SUBMITTER, params=params, **others)
        assert foreign.status_code in (403, 404) or zero(foreign.json()), foreign.text


NO_QUERY = {
    "/v1/records/{record_id}/repair-notice": "a form, filled from the caller's own record",
    "/v1/imports/{import_id}": "what the caller sent",
    "/v1/imports/{import_id}/receipts": "what became of what the caller sent",
    "/v1/propagations": "what the caller has to carry out",
    "/v1/inbox": "what was sent to the caller",
    "/v1/contacts": "the caller's own addresses",
    "/v1/notifications": "what the caller owed to others",
    "/v1/watchlists": "names of lists",
    "/v1/watchlists/{watchlist_id}/entities": "codes that the caller put there",
    "/v1/inspections/plans": "the caller's plans, which name nobody",
    "/v1/inspections/plans/{plan_id}": "the caller's plan, which names nobody",
    "/v1/inspections/inspectors": "the caller's own people",
    "/v1/accesses/anomalies": "agencies, not subjects",
}
"""Reading that shows an agency nothing about a subject which it did not send, or was not sent."""


async def test_what_an_agency_reads_of_a_subject_is_in_the_access_log(world: World) -> None:
    cells = [cell for cell in narrow_cells(world.api.app) if cell.method == "GET" and cell.scope is not Scope.NOTHING]
    cells += [cell for cell, _ in list_cells(world.api.app)]
    cells = [cell for cell in cells if cell.role in AGENCY_ROLES]
    assert set(NO_QUERY) <= {cell.path for cell in cells}, "each exception is of a route"
    places = {}
    for cell in cells:
        template = template_of(cell.path) if "{" in cell.path else ""
        places[cell] = (await world.path(template, cell.role) if template else "") + cell.path[len(template) :]
    for cell, template in list_cells(world.api.app):
        await world.path(template, cell.role)
    journal: Journal = world.api.app.state.journal
    wrong = []
    for cell, place in places.items():
        if cell.path in NO_QUERY:
            continue
        headers = {"X-Request-ID": str(uuid4())}
        answer = await world.api.get(place, cell.role, headers=headers)
        unstated = await world.api.get(place, cell.role, headers={"Credit-Purpose": ""})
        while journal._unwritten:
            await asyncio.sleep(0.01)
        query = "SELECT DISTINCT agency_uscc FROM access_log WHERE request_id = $1"
        logged = [row["agency_uscc"] for row in await world.owner.fetch(query, headers["X-Request-ID"])]
        if (answer.status_code, unstated.status_code, logged) != (200, 422, [AGENCY]):
            wrong.append(f"{cell}: {answer.status_code}, without a purpose {unstated.status_code}, logged {logged}")
    assert wrong == [], "\n".join(wrong)


async def test_another_division_is_not_granted(api: Api) -> None:
    """An agency of Shanghai with the item, for its own division, submits what an authority of Chongqing decided."""
    grants = [{"item_code": "administrative-penalty", "division_prefix": "3101"}]
    body = {"name": "上海市浦东新区城市管理行政执法局", "division": "310115", "level": "district", "grants": grants}
    put = await api.call("PUT", f"/v1/agencies/{OTHER_AGENCY}", Role.ADMINISTRATOR, json=body)
    assert put.status_code == 200, put.text
    there = {"agency": OTHER_AGENCY}
    refused = await api.call("POST", "/v1/records", Role.SUBMITTER, json=penalty(), **there)
    assert (refused.status_code, refused.json()["errors"][0]["rule"]) == (403, "agency-grant")
    own = penalty(authority_uscc=OTHER_AGENCY, authority_name=body["name"])
    assert (await api.call("POST", "/v1/records", Role.SUBMITTER, json=own, **there)).status_code == 201
    headers, content = {"Idempotency-Key": "k"}, csv_file([row_of(1)])
    imported = await api.call("POST", "/v1/imports", Role.SUBMITTER, headers, content=content, params=ATTESTED, **there)
    assert (imported.json()["stored"], imported.json()["refused"]) == (0, 1)
    receipts = await api.get(imported.json()["receipts"], Role.SUBMITTER, **there)
    assert "agency-grant" in [error["rule"] for error in receipts.json()["receipts"][0]["errors"]]
    opened = await api.call("POST", "/v1/proceedings", Role.SUBMITTER, json=INTENT, **there)
    assert opened.status_code == 201, "an agency proceeds for itself, in its own division"
    taken = await api.call("PUT", f"/v1/agencies/{OTHER_AGENCY}", Role.ADMINISTRATOR, json=body | {"grants": []})
    assert taken.status_code == 200, taken.text
    none = await api.call("POST", "/v1/proceedings", Role.SUBMITTER, json=INTENT, **there)
    assert none.status_code == 403, none.text
