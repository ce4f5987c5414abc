"""Every template against the catalogue, and every kind of record by file: stored, unchanged, lawfully refused."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import asyncpg
import openpyxl
import orjson
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from credit_service.catalogue.loader import load
from credit_service.identity.uscc import compose
from credit_service.platform.resources import schemas_dir
from credit_service.records.imports.templates import detect, header_key, templates
from credit_service.records.schemas import record_schemas
from examples.record_files import AGENCY, TEMPLATES, coded, company, rows
from tests.records.imports.conftest import Sender
from tests.records.imports.files import IDENTITY_NUMBER

CATALOGUE = load()
CORE = {"entity_name", "uscc", "document_number", "decided_on", "valid_until", "authority_name", "authority_uscc"}
CORE |= {"legal_basis", "source_name", "source_uscc", "item"}
DERIVED = {"subject_type", "procedure"}
"""Facts without a column: the first comes from 相对人类别, the second is in no file."""


def sheet(found: list[dict[str, str]]) -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, found[0])
    writer.writeheader()
    writer.writerows(found)
    return out.getvalue().encode("gb18030")


@pytest.fixture
async def granted(sender: Sender, owner: asyncpg.Connection[Any]) -> Sender:
    """The sender may submit every item."""
    for code in CATALOGUE.items:
        await owner.execute("INSERT INTO agency_grant VALUES ($1, $2, '5001') ON CONFLICT DO NOTHING", AGENCY, code)
    return sender


def test_every_item_has_a_template_and_every_template_has_examples() -> None:
    covered = [code for template in templates().values() for code in template.items]
    assert sorted(covered) == sorted(CATALOGUE.items)
    assert set(TEMPLATES) == set(templates())


@pytest.mark.parametrize("name", sorted(templates()))
def test_a_template_fits_its_items(name: str) -> None:
    template = templates()[name]
    targets = {target for column in template.columns for target in column.targets}
    fields = {field.name: field for code in template.items for field in CATALOGUE.latest(code).fields}
    facts = {target[5:] for target in targets if target.startswith("fact:")}
    assert facts - DERIVED <= set(fields), "a column for no field"
    assert set(fields) - facts <= DERIVED, "a field without a column"
    assert {target[5:] for target in targets if target.startswith("core:")} <= CORE
    assert ("core:item" in targets) == (len(template.items) > 1)
    keys = [
        key for column in template.columns for key in {header_key(text) for text in (*column.labels, *column.codes)}
    ]
    assert len(keys) == len(set(keys)), "two columns of one name"
    for column in template.columns:
        for target in column.targets:
            field = fields.get(target.removeprefix("fact:")) if target.startswith("fact:") else None
            if field is not None:
                assert (column.type == "date") == (field.type == "date"), target
                assert (column.type == "ten-thousand-yuan") == (field.type == "money"), target
                if field.type == "enum":
                    assert set(column.values.values()) <= set(field.values), target


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_a_header_is_recognised_by_label_and_code(name: str) -> None:
    row = rows(name, 1)[0]
    assert detect(list(row)) == name
    assert detect(list(coded(name, row))) == name


def test_the_shipped_record_schemas_are_current() -> None:
    folder = schemas_dir() / "records"
    shipped = {path.name: orjson.loads(path.read_bytes()) for path in folder.glob("*.json")}
    assert shipped == {f"{code}.schema.json": schema for code, schema in record_schemas(CATALOGUE).items()}
    for schema in shipped.values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("form", ["csv", "xlsx", "ndjson"])
async def test_every_kind_of_record_by_file(
    granted: Sender, owner: asyncpg.Connection[Any], tmp_path: Path, form: str
) -> None:
    """Each template's file is recognised by its header; what it stores meets the shipped schema of its item."""
    for name in TEMPLATES:
        found = rows(name)
        if form == "csv":
            data = sheet(found)
        elif form == "ndjson":
            data = b"\n".join(orjson.dumps(coded(name, row)) for row in found)
        else:
            book = openpyxl.Workbook()
            book.active.append([templates()[name].name_zh])
            for cells in (list(found[0]), *(list(row.values()) for row in found)):
                book.active.append(cells)
            book.save(tmp_path / "a.xlsx")
            data = (tmp_path / "a.xlsx").read_bytes()
        imported = (await granted.send(data, key=f"{name} 1")).json()
        told = await granted.refusals(imported)
        assert (imported["template"], imported["stored"]) == (name, len(found)), told
        again = (await granted.send(data, key=f"{name} 2")).json()
        assert (again["stored"], again["unchanged"], again["refused"]) == (0, len(found), 0)
    schemas = {
        code: Draft202012Validator(schema, format_checker=FormatChecker())
        for code, schema in record_schemas(CATALOGUE).items()
    }
    stored = await owner.fetch("SELECT * FROM record")
    kinds = {code for name in TEMPLATES for code in templates()[name].items}
    assert {row["item_code"] for row in stored} <= kinds
    assert {CATALOGUE.latest(row["item_code"]).kind for row in stored} == {
        item.kind for item in CATALOGUE.latest_items()
    }
    for row in stored:
        facts = {}
        for part in ("public_facts", "shared_facts", "restricted_facts"):
            facts |= orjson.loads(row[part])
        names = (
            "item_code",
            "uscc",
            "entity_name",
            "document_number",
            "authority_uscc",
            "authority_name",
            "legal_basis",
        )
        submission = {key: row[key] for key in names} | {"decided_on": row["decided_on"].isoformat(), "facts": facts}
        schemas[row["item_code"]].validate(submission)


async def test_a_commitment_says_itself_who_may_see_it(granted: Sender, owner: asyncpg.Connection[Any]) -> None:
    await granted.send(sheet(rows("commitment")))
    states = {row["document_number"][-1]: row["state"] for row in await owner.fetch("SELECT * FROM record")}
    assert states == {"0": "published", "1": "withheld", "2": "published"}
    public = (await granted.http.get(f"/v1/entities/{company(2)}")).json()
    assert public["records"][0]["facts"]["fulfilment"] == "部分履行"
    assert public["records"][0]["facts"]["unperformed_content"] == "未按承诺配备冷藏设施。"
    assert (await granted.http.get(f"/v1/entities/{company(1)}")).json()["records"] == []


@pytest.mark.parametrize(
    ("changes", "column", "words"),
    [
        ({"承诺编码": "5001032026041500001"}, "承诺编码", "20 digits"),
        ({"承诺编码": "50010320260231000001"}, "承诺编码", "day"),
        ({"承诺编码": "99010320260415000001"}, "承诺编码", "division"),
        ({"承诺履行状态": "部分履行"}, "未履行的承诺内容", "required"),
        ({"承诺履行状态": "全部未履行", "未履行的承诺内容": "全部"}, "违诺责任追究内容", "required"),
        ({"承诺履行状态": "大体履行"}, "承诺履行状态", "one of"),
        ({"承诺类型": "0"}, "commitment_type_other", "required"),
        ({"公开类型": ""}, "公开类型", "required"),
    ],
)
async def test_a_commitment_is_refused(granted: Sender, changes: dict[str, str], column: str, words: str) -> None:
    imported = (await granted.send(sheet([rows("commitment", 1)[0] | changes]))).json()
    assert imported["refused"] == 1
    told = [f"{e['pointer']} {e['rule']}" for e in (await granted.refusals(imported))[1]]
    assert any(column in text and words in text for text in told), told


async def test_a_fulfilled_commitment_that_is_breached_is_a_new_version(granted: Sender) -> None:
    row = rows("commitment", 1)[0]
    await granted.send(sheet([row]))
    breach = {"承诺履行状态": "全部未履行", "未履行的承诺内容": "材料虚假", "违诺责任追究内容": "撤销许可"}
    imported = (await granted.send(sheet([row | breach]), key="k2")).json()
    assert imported["corrected"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"身份证号码/组织机构代码": IDENTITY_NUMBER},
        {"身份证号码/组织机构代码": "1101051949****002X"},
        {"性别": "男"},
        {"年龄": "45"},
        {"主体类别": "自然人"},
    ],
)
async def test_a_judgment_debtor_who_is_a_person_leaves_a_count(
    granted: Sender, owner: asyncpg.Connection[Any], changes: dict[str, str]
) -> None:
    row = {"性别": "", "年龄": "", "主体类别": ""} | rows("judgment-debtor", 1)[0] | {"姓名/名称": "王五"} | changes
    imported = (await granted.send(sheet([row]))).json()
    assert (imported["refused"], imported["natural_person"]) == (1, 1)
    assert await owner.fetchval("SELECT count(*) FROM record") == 0


async def test_government_integrity_is_about_state_bodies_only(granted: Sender) -> None:
    row = rows("government-integrity", 1)[0]
    wrong = row | {"机关统一社会信用代码": compose("12", "500103", "MC000001")}
    imported = (await granted.send(sheet([row, wrong]))).json()
    assert (imported["stored"], imported["refused"]) == (1, 1)
    [error] = (await granted.refusals(imported))[2]
    assert "begins with 11" in error["rule"]


async def test_a_list_that_nobody_knows_is_refused_by_name(granted: Sender) -> None:
    row = rows("serious-dishonesty-list", 1)[0]
    imported = (await granted.send(sheet([row | {"名单名称": "不存在的名单"}, row | {"名单名称": ""}]))).json()
    told = await granted.refusals(imported)
    assert [[e["rule"] for e in told[number]] for number in (1, 2)] == [
        ["name of one of the template's items"],
        ["required"],
    ]


async def test_a_field_of_another_list_is_refused(granted: Sender) -> None:
    row = rows("serious-dishonesty-list", 2)[1] | {"案件性质": "虚开发票"}
    imported = (await granted.send(sheet([row]))).json()
    [error] = (await granted.refusals(imported))[1]
    assert (error["pointer"], error["rule"]) == ("案件性质/case_nature", "not a field of the item")


async def test_a_grade_d_bars_and_ends_an_industry_grade_of_a(granted: Sender, owner: asyncpg.Connection[Any]) -> None:
    """国办发〔2026〕8号, both ways, between files: the D is stored as received, the A is refused or ends."""
    industry, grade = rows("industry-evaluation", 2), rows("comprehensive-evaluation", 2)
    assert (await granted.send(sheet(industry))).json()["stored"] == 2
    worse = [grade[0] | {"综合评价等级": "D"}, grade[1]]
    assert (await granted.send(sheet(worse), key="k2")).json()["stored"] == 2
    states = dict(await owner.fetch("SELECT uscc, state FROM record WHERE item_code = 'industry-evaluation'"))
    assert states == {company(0): "removed", company(1): "withheld"}
    ended = await owner.fetchrow("SELECT state_reason, state_basis, version FROM record WHERE state = 'removed'")
    assert ended is not None
    assert "不得评为A级" in ended["state_reason"]
    assert ended["version"] == 2
    assert await owner.fetchval("SELECT count(*) FROM audit_event WHERE action = 'record.excluded'") == 1
    newer = industry[0] | {"评价批次": "食品-2026-2"}
    refused = (await granted.send(sheet([newer, newer | {"评价批次": "3", "行业评价等级": "B"}]), key="k3")).json()
    assert (refused["stored"], refused["refused"]) == (1, 1)
    assert "不得评为A级" in (await granted.refusals(refused))[1][0]["rule"]
    better = grade[0] | {"评价批次": "2026-2", "综合评价等级": "C", "评定时间": "2026-05-02"}
    assert (await granted.send(sheet([better]), key="k4")).json()["stored"] == 1
    assert (await granted.send(sheet([newer]), key="k5")).json()["stored"] == 1


async def test_a_correction_to_a_barred_grade_is_refused_for_its_row(granted: Sender) -> None:
    row = rows("industry-evaluation", 1)[0] | {"行业评价等级": "B"}
    await granted.send(sheet([row]))
    await granted.send(sheet([rows("comprehensive-evaluation", 1)[0] | {"综合评价等级": "D"}]), key="k2")
    other = rows("industry-evaluation", 2)[1]
    imported = (await granted.send(sheet([row | {"行业评价等级": "A"}, other]), key="k3")).json()
    assert (imported["stored"], imported["corrected"], imported["refused"]) == (1, 0, 1)
