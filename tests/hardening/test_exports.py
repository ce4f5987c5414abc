"""No cell of any export is a formula, whatever names the registry was given."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import openpyxl
import pytest

from credit_service.accounts.rules import Role
from credit_service.app import api_routes
from credit_service.platform import sheets
from tests.api import COMPANY, Api
from tests.records.test_life import LISTING
from tests.supervision.classes.test_tiers import filled

SIGNS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
HOSTILE = ["=cmd|' /C calc'!A0", '=HYPERLINK("http://x","y")', *(f"{sign}1+1" for sign in SIGNS)]
EXPORTS = {
    "/v1/entities/{uscc}/accesses/export": Role.SUBJECT,
    "/v1/lists/{code}/export": Role.PUBLIC,
    "/v1/supervision/entities/export": Role.REGULATOR,
}


def cells(kind: str, data: bytes) -> list[str]:
    """The texts of a file's cells; fails on one that a spreadsheet program would take for a formula."""
    if kind == "csv":
        texts = [cell for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) for cell in row]
        assert not [text for text in texts if text.startswith(SIGNS)]
        return texts
    sheet = openpyxl.load_workbook(io.BytesIO(data)).worksheets[0]
    found = [cell for row in sheet.iter_rows() for cell in row if cell.value is not None]
    assert {cell.data_type for cell in found} == {"s"}
    return [str(cell.value) for cell in found]


async def rows(names: list[str]) -> AsyncIterator[dict[str, Any]]:
    for name in names:
        yield {"name": name, "facts": {"list": [name, name]}}


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
async def test_the_guard_quotes_every_sign(kind: str) -> None:
    columns = [sheets.Column("名称", "name"), sheets.Column("事实", "facts", "list")]
    data = b"".join([chunk async for chunk in sheets.WRITERS[kind](columns, rows(HOSTILE))])
    assert len(cells(kind, data)) == 2 * len(HOSTILE) + 2


async def test_every_route_that_exports_is_tried_below(api: Api) -> None:
    named = {route.path for route in api_routes(api.app) if route.path.endswith("/export")}
    answers = {
        path: [kind for answer in operation["responses"].values() for kind in answer.get("content", {})]
        for path, operations in api.app.openapi()["paths"].items()
        for operation in operations.values()
    }
    tables = {path for path, kinds in answers.items() if any(sheets.MEDIA_TYPES["csv"] == kind for kind in kinds)}
    assert named | tables == set(EXPORTS)


@pytest.mark.parametrize("path", EXPORTS)
@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "@SUM(A1)", "\t=1+1"])
async def test_no_export_holds_a_formula(api: Api, owner: asyncpg.Connection[Any], path: str, name: str) -> None:
    """Names are changed behind the service's back, so that no rule on the way in can do the guard's work."""
    await filled(api.database, owner, api.clock)
    stored = await api.submit(**LISTING)
    assert stored.status_code == 201, stored.text
    await api.get(f"/v1/entities/{COMPANY}", Role.REGULATOR)
    while api.app.state.journal._unwritten:
        await asyncio.sleep(0.01)
    await owner.execute("UPDATE entity SET name = $1", name)
    await owner.execute("UPDATE agency SET name = $1", name)
    await owner.execute("UPDATE record SET entity_name = $1, authority_name = $1", name)
    target = path.format(uscc=COMPANY, code=LISTING["item_code"])
    for kind in ("csv", "xlsx"):
        answer = await api.get(target, EXPORTS[path], params={"format": kind})
        assert answer.status_code == 200, answer.text
        assert name.strip() in {text.lstrip("'").strip() for text in cells(kind, answer.content)}
