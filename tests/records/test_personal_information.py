"""Personal information never gets in: masked or refused on every way in, told of, never echoed, never kept."""

from __future__ import annotations

import json
from typing import Any

import asyncpg
import httpx
import pytest

from credit_service.accounts.rules import Role
from tests.api import COMPANY, NOTICES, Api, penalty
from tests.records.imports import files

IDENTITY_NUMBER = "11010519491231002X"
SPELLINGS = [IDENTITY_NUMBER, "１１０１０５１９４９１２３１００２Ｘ", "110105 19491231 002x"]
FACTS = "当事人孙小七(身份证号{}，电话13812345678)销售过期食品，货值金额1280.50元，订单号13812345678。"
CLEAN = (
    "当事人孙某(身份证号〔身份证号码已隐去〕，电话〔电话号码已隐去〕)销售过期食品，"
    "货值金额1280.50元，订单号13812345678。"
)


async def kept(owner: asyncpg.Connection[Any], *traces: str) -> list[str]:
    """Tables that hold any of these texts in any column."""
    found = []
    for (table,) in await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        for row in await owner.fetch(f'SELECT * FROM "{table}"'):
            text = b"".join(v if isinstance(v, bytes) else str(v).encode() for v in row.values()).decode(
                errors="replace"
            )
            found += [table for trace in traces if trace in text or json.dumps(trace)[1:-1] in text]
    return found


@pytest.mark.parametrize("spelling", SPELLINGS)
async def test_a_submission_is_masked_and_says_so(
    api: Api, owner: asyncpg.Connection[Any], capsys: pytest.CaptureFixture[str], spelling: str
) -> None:
    text = FACTS.format(spelling)
    body = {"legal_basis": "《食品安全法》，承办人电话13900001111", "facts": {"violation_facts": text}}
    receipt = (await api.submit(**body)).json()
    assert receipt["outcome"] == "stored"
    masked = ["personal-information-masked:legal_basis", "personal-information-masked:violation_facts"]
    assert receipt["warnings"] == masked
    public = (await api.get(f"/v1/entities/{COMPANY}")).json()["records"][0]
    assert public["facts"]["violation_facts"] == CLEAN
    again = (await api.submit(**body)).json()
    assert (again["outcome"], again["warnings"]) == ("unchanged", masked)
    assert await kept(owner, spelling, IDENTITY_NUMBER[:-1], "孙小七", "13900001111") == []
    assert IDENTITY_NUMBER[:-1] not in "".join(capsys.readouterr())


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"document_number": f"处罚{IDENTITY_NUMBER}号"}, "/document_number"),
    ({"entity_name": f"张三{IDENTITY_NUMBER}"}, "/entity_name"),
    ({"authority_name": f"某局{IDENTITY_NUMBER}"}, "/authority_name"),
    ({"notices": [NOTICES[0] | {"document_number": f"告知{IDENTITY_NUMBER}号"}]}, "/notices/0/document_number"),
    ({"uscc": IDENTITY_NUMBER}, "/uscc"),
    ({"authority_uscc": IDENTITY_NUMBER}, "/authority_uscc"),
    ({"facts": {"procedure": IDENTITY_NUMBER}}, "/facts/procedure"),
    ({"facts": {"fine_amount": IDENTITY_NUMBER}}, "/facts/fine_amount"),
    ({"facts": {"penalty_categories": [IDENTITY_NUMBER]}}, "/facts/penalty_categories"),
    ({"facts": {IDENTITY_NUMBER: "孙小七"}}, "/facts/*"),
    ({IDENTITY_NUMBER: "孙小七"}, "/*"),
    ({"notices": [NOTICES[0] | {IDENTITY_NUMBER: "孙小七"}]}, "/notices/0/*"),
    ({"facts": {IDENTITY_NUMBER: ["\x00"]}}, "/facts/*"),
]


@pytest.mark.parametrize(("changes", "pointer"), REFUSED)
async def test_where_masking_would_spoil_it_a_number_is_refused_and_not_repeated(
    api: Api, owner: asyncpg.Connection[Any], changes: dict[str, Any], pointer: str
) -> None:
    answer = await api.submit(**changes)
    assert answer.status_code == 422, answer.text
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert IDENTITY_NUMBER[:-1] not in answer.text
    assert await kept(owner, IDENTITY_NUMBER[:-1]) == []


async def test_a_number_of_the_field_made_of_an_identity_number_is_dropped(
    api: Api, owner: asyncpg.Connection[Any]
) -> None:
    """Old tax numbers of sole traders are their identity number and two digits; registration numbers have 15 digits."""
    facts = {"tax_number": IDENTITY_NUMBER + "01", "registration_number": "110105600101234"}
    receipt = (await api.submit(facts=facts)).json()
    assert receipt["warnings"] == ["personal-information-masked:tax_number"]
    stored = await owner.fetchval("SELECT shared_facts::text FROM record")
    assert "110105600101234" in stored
    assert "tax_number" not in stored


async def test_a_field_may_refuse(api: Api) -> None:
    """``personal_information: refuse`` of the catalogue: the title of a disclosure names nobody's number."""
    absent = dict.fromkeys(penalty()["facts"])
    facts = absent | {"title": "责任人张三电话13812345678", "disclosure_year": 2025, "content": "内容"}
    answer = await api.submit(item_code="social-responsibility-disclosure", notices=[], facts=facts)
    assert [(e["pointer"], e["rule"]) for e in answer.json()["errors"]] == [
        ("/facts/title", "personal information: personal-name、phone-number")
    ]


async def test_the_courts_list_names_the_representative_and_nobody_else(api: Api) -> None:
    facts = dict.fromkeys(penalty()["facts"]) | {
        "reason": "法定代表人：李四，联系人：王五，有履行能力而拒不履行",
        "legal_representative": "李四",
    }
    listed = await api.submit(item_code="serious-dishonesty-judgment-debtor", facts=facts)
    assert listed.json()["warnings"] == ["personal-information-masked:reason"]
    shown = (await api.get(f"/v1/entities/{COMPANY}")).json()["records"][0]["facts"]
    assert shown["reason"] == "法定代表人：李四，联系人：王某，有履行能力而拒不履行"
    assert shown["legal_representative"] == "李四"


async def move(api: Api, path: str, body: dict[str, Any], role: Role = Role.SUBMITTER) -> httpx.Response:
    return await api.call("POST", path, role, {"If-Match": "*"}, json=body)


async def test_corrections_reasons_and_declarations_are_masked(api: Api, owner: asyncpg.Connection[Any]) -> None:
    record_id = (await api.submit()).json()["id"]
    said = {
        "reason": f"更正: 当事人张三{IDENTITY_NUMBER}",
        "record": penalty(facts={"remarks": f"备注{IDENTITY_NUMBER}"}),
    }
    corrected = await move(api, f"/v1/records/{record_id}/correction", said)
    assert corrected.json()["warnings"] == ["personal-information-masked:remarks"]
    shielding = {"reason": f"裁定 {IDENTITY_NUMBER}", "court_name": "重庆市第五中级人民法院", "ruling_number": "破1号"}
    shielding |= {"ruled_on": "2026-05-06", "declaration": "联系人：赵六，电话13812345678"}
    assert (await move(api, f"/v1/records/{record_id}/shielding", shielding)).status_code == 200
    versions = (await api.get(f"/v1/records/{record_id}/versions", Role.REGULATOR)).json()["versions"]
    assert [v["reason"] for v in versions[1:]] == ["更正: 当事人张某〔身份证号码已隐去〕", "裁定 〔身份证号码已隐去〕"]
    assert await kept(owner, IDENTITY_NUMBER[:-1], "赵六", "13812345678", "张三1") == []


async def test_proceedings_and_statements_are_masked(api: Api, owner: asyncpg.Connection[Any]) -> None:
    opened = {
        "item_code": "administrative-penalty",
        "uscc": COMPANY,
        "entity_name": "重庆测试有限公司",
        "findings": f"经查，当事人张三({IDENTITY_NUMBER})销售过期食品",
        "grounds": "违反规定，举报人：王五",
        "legal_basis": "《食品安全法》第一百二十四条",
        "intended_content": "罚款一万元",
    }
    answer = await api.call("POST", "/v1/proceedings", Role.SUBMITTER, json=opened)
    assert answer.status_code == 201, answer.text
    path = f"/v1/proceedings/{answer.json()['id']}"
    notice = {"document_number": "告1号", "served_on": "2026-05-06", "means": "direct", "evidence": "回证1号"}
    served = await move(api, f"{path}/notice", notice | {"statement_until": "2026-05-12"})
    assert served.status_code == 200, served.text
    stated = await move(
        api, f"{path}/statement", {"text": f"我是张三，{IDENTITY_NUMBER}，电话13812345678"}, Role.SUBJECT
    )
    assert stated.json()["statement"]["text"] == "我是张三，〔身份证号码已隐去〕，电话〔电话号码已隐去〕"
    assert await kept(owner, IDENTITY_NUMBER[:-1], "王五", "13812345678") == []


async def test_neither_a_files_name_nor_what_stands_where_its_header_should_is_repeated(
    api: Api, owner: asyncpg.Connection[Any]
) -> None:
    headers = {"Content-Type": "text/csv", "Idempotency-Key": "a file without a header"}
    rows = f"{IDENTITY_NUMBER},孙小七\n{IDENTITY_NUMBER},孙小七\n".encode()
    refused = await api.call("POST", "/v1/imports", Role.SUBMITTER, headers, content=rows)
    assert (refused.status_code, refused.json()["errors"][0]["rule"]) == (422, "no column of any template")
    assert IDENTITY_NUMBER[:-1] not in refused.text
    said = {"file_name": f"孙小七{IDENTITY_NUMBER}.csv", "notice_attestation": f"经办人{IDENTITY_NUMBER}已送达"}
    headers["Idempotency-Key"] = "a file with a person's number in its name"
    done = await api.call(
        "POST", "/v1/imports", Role.SUBMITTER, headers, params=said, content=files.csv_file([files.penalty(1)])
    )
    assert (done.status_code, done.json()["stored"]) == (201, 1), done.text
    assert done.json()["file_name"].endswith("〔身份证号码已隐去〕.csv")
    assert await kept(owner, IDENTITY_NUMBER[:-1]) == []
