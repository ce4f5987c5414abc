"""Red and black lists: entries with entry and removal, filters, and files that spreadsheets read back."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import orjson
import pytest
from openpyxl import load_workbook

from credit_service.accounts.rules import Role
from credit_service.platform.sheets import spreadsheet_text
from tests.api import AGENCY, COMPANY, CONSENT, OTHER_COMPANY, Api
from tests.records.test_life import LISTING, REMOVAL, act, removed

LIST = "/v1/lists/serious-dishonesty-market-regulation"
FORMULA = '=HYPERLINK("http://evil","x")'


async def two_entries(api: Api) -> list[str]:
    await api.call(
        "PUT", f"/v1/entities/{COMPANY}", Role.REGISTRAR, json={"name": "重庆测试有限公司", "industry": "F5123"}
    )
    ids = []
    for number, (company, day, reason) in enumerate(
        ((COMPANY, "2026-04-01", FORMULA), (OTHER_COMPANY, "2026-04-15", "情节严重"))
    ):
        facts = {**LISTING["facts"], "reason": reason}
        body = LISTING | {"uscc": company, "document_number": f"列{number}", "decided_on": day, "facts": facts}
        answer = await api.submit(**body)
        assert answer.status_code == 201, answer.text
        ids.append(answer.json()["id"])
    return ids


async def entries(api: Api, role: Role = Role.PUBLIC, **query: str) -> list[dict[str, Any]]:
    answer = await api.get(f"{LIST}/entries", role, params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["records"]
    return found


async def test_an_entry_tells_when_it_was_entered_and_removed_and_why(api: Api) -> None:
    first, second = await two_entries(api)
    listed = (await entries(api))[0]
    assert (listed["entered_on"], listed["removed_on"], listed["removal_reason"]) == ("2026-04-15", None, None)
    assert (listed["document_number"], listed["authority_uscc"]) == ("列1", AGENCY)
    api.clock.instant += timedelta(days=1)
    await removed(api, second, REMOVAL | {"consent": CONSENT})
    assert [entry["id"] for entry in await entries(api)] == [first]
    gone = (await entries(api, Role.REGULATOR))[0]
    assert (gone["removed_on"], gone["removal_reason"]) == ("2026-05-07", REMOVAL["reason"])
    api.clock.instant += timedelta(days=3 * 366)
    ended = (await entries(api, Role.REGULATOR))[1]
    assert (ended["removed_on"], ended["removal_reason"][:5]) == ("2029-04-01", "公示期届满")
    assert await entries(api) == []


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"division": "500103"}, 2),
        ({"division": "31"}, 0),
        ({"industry": "F"}, 1),
        ({"industry": "F51"}, 1),
        ({"industry": "C"}, 0),
        ({"entered_from": "2026-04-02"}, 1),
        ({"entered_to": "2026-04-01"}, 1),
        ({"entered_from": "2026-04-01", "entered_to": "2026-04-15"}, 2),
    ],
)
async def test_filters_in_the_present_and_the_past(api: Api, query: dict[str, str], count: int) -> None:
    await two_entries(api)
    assert len(await entries(api, **query)) == count
    assert len(await entries(api, **query, as_of="2026-05-06")) == count
    assert len((await api.get(f"{LIST}/export", params=query | {"format": "ndjson"})).text.splitlines()) == count


async def test_exports_read_back_with_the_catalogues_headers(api: Api) -> None:
    await two_entries(api)
    files = {}
    for kind in ("csv", "xlsx", "ndjson"):
        answer = await api.get(f"{LIST}/export", params={"format": kind})
        assert answer.status_code == 200, answer.text
        assert f'filename="serious-dishonesty-market-regulation.{kind}"' in answer.headers["content-disposition"]
        files[kind] = answer.content
    assert files["csv"].startswith(b"\xef\xbb\xbf")
    table = list(csv.DictReader(io.StringIO(files["csv"].decode("utf-8-sig"))))
    sheet = load_workbook(io.BytesIO(files["xlsx"]), read_only=True).worksheets[0]
    header, *rows = [list(row) for row in sheet.iter_rows(values_only=True)]
    lines = [orjson.loads(line) for line in files["ndjson"].splitlines()]
    assert header == list(table[0]) == list(lines[0])
    assert header[:3] == ["主体名称", "统一社会信用代码", "决定文书号"]
    assert [row[1] for row in rows] == [row["统一社会信用代码"] for row in table] == [OTHER_COMPANY, COMPANY]
    ends = [row["公示截止"] for row in table]
    assert ends == [row[header.index("公示截止")] for row in rows]
    assert all(end.endswith(" 00:00:00") for end in ends), ends  # Shanghai's midnight
    reason = next(name for name, value in lines[1].items() if value == FORMULA)
    assert table[1][reason] == f"'{FORMULA}"
    cell = load_workbook(io.BytesIO(files["xlsx"])).worksheets[0].cell(3, header.index(reason) + 1)
    assert (cell.value, cell.data_type) == (FORMULA, "s")


async def test_an_audience_gets_its_own_columns_and_rows(api: Api) -> None:
    first, _ = await two_entries(api)
    for officer in ("one", "another"):
        await act(api, first, "withdrawal", {"reason": "重复报送"}, officer=officer)
    public = (await api.get(f"{LIST}/export")).text.splitlines()
    whole = (await api.get(f"{LIST}/export", Role.REGULATOR)).text.splitlines()
    assert (len(public), len(whole)) == (2, 3)
    assert len(whole[0].split(",")) >= len(public[0].split(","))
    refused = await api.get(f"{LIST}/export", Role.REGULATOR, headers={"Credit-Purpose": ""})
    assert refused.json()["type"].endswith("purpose-required")
    assert (await api.get(f"{LIST}/export", params={"format": "exe"})).status_code == 422
    assert (await api.get("/v1/lists/administrative-penalty/export")).status_code == 404


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_becomes_a_formula(sign: str) -> None:
    assert spreadsheet_text(f"{sign}1") == f"'{sign}1"
    assert spreadsheet_text(f"1{sign}") == f"1{sign}"
