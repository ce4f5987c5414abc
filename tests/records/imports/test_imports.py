"""Imports end to end: real files in, receipts out, on the real database."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import orjson
import pytest
from pgqueuer import PgQueuer

from credit_service import worker
from credit_service.platform.clock import SystemClock
from credit_service.platform.database import Database
from credit_service.records.imports import rendering
from tests.api import CATALOGUE, NOTICES
from tests.records.imports.conftest import ATTESTED, Sender
from tests.records.imports.files import (
    AGENCY,
    BAD,
    BAD_CHECK_DIGIT,
    IDENTITY_NUMBER,
    LABELS,
    company,
    csv_file,
    penalty,
    xlsx_file,
)

Owner: TypeAlias = "asyncpg.Connection[Any]"


async def counts(owner: Owner) -> dict[str, int]:
    tables = ("record", "record_version", "entity", "import_receipt")
    found = {table: await owner.fetchval(f"SELECT count(*) FROM {table}") for table in tables}
    events = await owner.fetch("SELECT action, count(*) FROM audit_event GROUP BY action")
    return found | {row["action"]: row["count"] for row in events}


def mixed(good: int) -> tuple[list[dict[str, str]], dict[int, str]]:
    """Good rows with each kind of bad row among them; gives the rows and which row is bad in which way."""
    rows = [penalty(number) for number in range(good)]
    places = {}
    for index, (changes, _, _) in enumerate(BAD.values()):
        rows.insert(index * 3, penalty(1000 + index, **changes))
    for number, row in enumerate(rows, 1):
        for index, way in enumerate(BAD):
            if row["document"] == penalty(1000 + index)["document"] or (
                way == "no document number" and row["document"] == "-"
            ):
                places[number] = way
    return rows, places


@pytest.mark.parametrize("form", ["csv", "gb18030", "xlsx", "ndjson"])
async def test_twelve_ways_to_be_wrong_each_with_field_and_rule(
    sender: Sender, owner: Owner, tmp_path: Path, form: str
) -> None:
    rows, places = mixed(40)
    if form == "xlsx":
        data = xlsx_file(rows, tmp_path / "a.xlsx")
    elif form == "ndjson":
        data = b"\n".join(orjson.dumps({LABELS[name]: value for name, value in row.items()}) for row in rows)
    else:
        data = csv_file(rows, "utf-8-sig" if form == "csv" else form)
    imported = (await sender.send(data)).json()
    assert (imported["state"], imported["rows"]) == ("completed", 52)
    assert (imported["stored"], imported["refused"], imported["unchanged"]) == (40, 12, 0)
    refusals = await sender.refusals(imported)
    assert refusals.keys() == places.keys()
    for number, way in places.items():
        _, column, words = BAD[way]
        told = [f"{error['pointer']} {error['rule']}" for error in refusals[number]]
        assert any(LABELS[column] in text and words in text for text in told), (way, told)
    again = (await sender.send(data, key="k2")).json()
    assert (again["stored"], again["unchanged"], again["refused"]) == (0, 40, 12)
    found = await counts(owner)
    assert found["record"] == found["record_version"] == found["record.stored"] == 40
    assert found["entity"] == found["entity.noted"] == 40
    assert found["import_receipt"] == 104


def committed(salt: bytes, *documents: bytes) -> bytes:
    """The commitment field by field, in the words of ``docs/audit-log.md``."""
    fields = [field for document in documents for field in orjson.loads(document).items()]
    salts = hashlib.shake_128(salt).digest(16 * len(fields))
    digests = b""
    for place, (name, value) in enumerate(fields):
        text = name.encode() + b"=" + orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        digests += hashlib.sha256(salts[16 * place : 16 * place + 16] + text).digest()
    return hashlib.sha256(b"record-version/2\n" + digests).digest()


async def test_stored_bytes_are_those_of_a_single_submission(sender: Sender, owner: Owner) -> None:
    """The set-based merge writes content, commitment and audit event exactly as a single submission would."""
    await sender.send(csv_file([penalty(1), penalty(2, fine="0.5", categories="罚款、警告", valid="")]))
    headers = {"Authorization": f"Bearer {sender.token}"}
    for number in (3, 4):
        body = {
            "item_code": "administrative-penalty",
            "uscc": company(number),
            "entity_name": f"重庆测试{number}有限公司",
            "document_number": f"渝中市监处罚〔2026〕{number}号",
            "decided_on": "2026-04-20",
            "valid_until": "2099-12-31",
            "authority_uscc": AGENCY,
            "authority_name": "重庆市渝中区市场监督管理局",
            "legal_basis": "《中华人民共和国食品安全法》第一百二十四条",
            "notices": NOTICES,
            "facts": {
                "subject_type": "legal_entity",
                "legal_representative": "张三",
                "violation_type": "经营超过保质期的食品",
                "violation_facts": '当事人销售"超过保质期"的食品\n若干，已整改。',
                "penalty_categories": ["罚款"],
                "penalty_content": "罚款一万二千元",
                "fine_amount": "12000.00",
            },
        }
        assert (await sender.http.post("/v1/records", json=body, headers=headers)).status_code == 201
    versions = await owner.fetch("SELECT * FROM record_version ORDER BY recorded_at, uscc")
    assert len(versions) == 4
    for version in versions:
        content = version["content"].encode()
        assert orjson.dumps(orjson.loads(content), option=orjson.OPT_SORT_KEYS) == content
        assert version["commitment"] == committed(version["salt"], content, version["standing"].encode())
        event = await owner.fetchrow(
            "SELECT * FROM audit_event WHERE subject_id = $1 AND subject_type = 'record'", str(version["record_id"])
        )
        assert event is not None
        said = orjson.loads(event["canonical"])
        assert orjson.dumps(said, option=orjson.OPT_SORT_KEYS) == event["canonical"]
        assert said["after"] == version["commitment"].hex()
        assert (said["id"], said["subject"]["uscc"]) == (str(event["id"]), version["uscc"])
    for column in ("content", "standing"):
        assert len({tuple(sorted(orjson.loads(version[column]))) for version in versions}) == 1
    single = orjson.loads(versions[-1]["content"])
    imported = orjson.loads((await owner.fetchrow("SELECT content FROM record_version WHERE uscc = $1", company(1)))[0])
    same = ("entity_name", "uscc", "document_number")
    assert {k: v for k, v in single.items() if k not in same} == {k: v for k, v in imported.items() if k not in same}
    events = [
        orjson.loads(row[0])
        for row in await owner.fetch("SELECT canonical FROM audit_event WHERE action = 'record.stored'")
    ]
    assert len({tuple(sorted(event)) for event in events}) == 1
    columns = "severity, state, publicity_until, rule_version, state_from, disclosure_until, explanation::jsonb AS why"
    codes = [company(1), company(3)]
    records = await owner.fetch(f"SELECT {columns} FROM record WHERE uscc = ANY($1)", codes)
    assert dict(records[0]) == dict(records[1])


async def test_a_correction_is_a_new_version_and_names_are_warned_of(sender: Sender, owner: Owner) -> None:
    await sender.send(csv_file([penalty(1), penalty(2)]))
    imported = (
        await sender.send(
            csv_file([penalty(1, fine="2.5"), penalty(2, name="另一家有限公司", document="新1号")]), key="k2"
        )
    ).json()
    assert (imported["corrected"], imported["stored"], imported["unchanged"]) == (1, 1, 0)
    versions = await owner.fetch(
        "SELECT version, change FROM record_version WHERE uscc = $1 ORDER BY version", company(1)
    )
    assert [tuple(row) for row in versions] == [(1, "record.stored"), (2, "record.corrected")]
    facts = await owner.fetchval("SELECT public_facts FROM record WHERE uscc = $1", company(1))
    assert orjson.loads(facts)["fine_amount"] == "25000.00"
    events = await owner.fetch(
        "SELECT canonical FROM audit_event WHERE uscc = $1 AND subject_type = 'record' ORDER BY id", company(1)
    )
    first, second = (orjson.loads(row[0]) for row in events)
    assert second["before"] == first["after"]
    page = (await sender.get(imported["receipts"])).json()
    assert [receipt.get("warnings") for receipt in page["receipts"]] == [None, ["name-differs"]]
    public = (await sender.http.get(f"/v1/entities/{company(1)}")).json()
    assert public["records"][0]["facts"]["fine_amount"] == "25000.00"


async def test_one_key_twice_in_a_file_is_stored_then_unchanged_then_corrected(sender: Sender, owner: Owner) -> None:
    imported = (await sender.send(csv_file([penalty(1), penalty(1), penalty(1, fine="9")]))).json()
    assert (imported["stored"], imported["unchanged"], imported["corrected"]) == (1, 1, 1)
    assert await owner.fetchval("SELECT version FROM record") == 2


async def test_per_file_nothing_is_stored_when_one_row_is_refused(sender: Sender, owner: Owner) -> None:
    rows = [penalty(number) for number in range(30)]
    rows[20] = penalty(20, decided="2026-02-30")
    before = await counts(owner)
    imported = (await sender.send(csv_file(rows), atomicity="file")).json()
    assert (imported["state"], imported["stored"], imported["refused"]) == ("refused", 0, 1)
    assert list(await sender.refusals(imported)) == [21]
    after = await counts(owner)
    assert after["record"] == after["record_version"] == after["entity"] == 0
    assert after.get("record.stored") is before.get("record.stored") is None
    rows[20] = penalty(20)
    imported = (await sender.send(csv_file(rows), key="k2", atomicity="file")).json()
    assert (imported["state"], imported["stored"]) == ("completed", 30)


async def test_natural_persons_leave_a_count_and_no_trace(sender: Sender, owner: Owner) -> None:
    rows = [
        penalty(1),
        penalty(2, category="自然人", name="李四"),
        penalty(3, uscc=IDENTITY_NUMBER, name="王五"),
        penalty(4, certificate=IDENTITY_NUMBER, name="赵六"),
    ]
    imported = (await sender.send(csv_file(rows))).json()
    assert (imported["stored"], imported["refused"], imported["natural_person"]) == (1, 3, 3)
    assert {errors[0]["rule"] for errors in (await sender.refusals(imported)).values()} == {"natural-person"}
    tables = await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    for (table,) in tables:
        for row in await owner.fetch(f'SELECT * FROM "{table}"'):
            kept = b"".join(value if isinstance(value, bytes) else str(value).encode() for value in row.values())
            assert not any(trace.encode() in kept for trace in (IDENTITY_NUMBER[:-1], "李四", "王五", "赵六")), table


async def test_a_code_with_a_bad_check_digit_passes_once_admitted(sender: Sender, owner: Owner) -> None:
    await owner.execute(
        "INSERT INTO entity (uscc, name, category, division, registration_status, quality_flags, source, created_at,"
        " updated_at) VALUES ($1, '厦门某公司', '91', '350203', 'active', '{check-digit-18}', 'registrar',"
        " now(), now())",
        BAD_CHECK_DIGIT,
    )
    imported = (await sender.send(csv_file([penalty(1, uscc=BAD_CHECK_DIGIT)]))).json()
    assert imported["stored"] == 1


@pytest.mark.parametrize("state", ["repaired", "annulled", "withdrawn"])
async def test_a_closed_record_is_not_brought_back(sender: Sender, owner: Owner, state: str) -> None:
    await sender.send(csv_file([penalty(1)]))
    await owner.execute("UPDATE record SET state = $1", state)
    imported = (await sender.send(csv_file([penalty(1, fine="7")]), key="k2")).json()
    assert imported["refused"] == 1
    assert (await sender.refusals(imported))[1][0]["rule"] == "record-closed"
    assert await owner.fetchval("SELECT state FROM record") == state
    unchanged = (await sender.send(csv_file([penalty(1)]), key="k3")).json()
    assert unchanged["unchanged"] == 1


async def test_the_same_key_answers_again_and_another_file_under_it_is_refused(sender: Sender) -> None:
    first = await sender.send(csv_file([penalty(1)]), file_name="a.csv")
    again = await sender.send(csv_file([penalty(1)]), file_name="a.csv")
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.headers["idempotency-replayed"] == "true"
    assert first.json() == again.json()
    other = await sender.send(csv_file([penalty(1)]), file_name="b.csv")
    assert other.json()["type"].endswith("idempotency-key-reused")
    assert (
        await sender.http.post("/v1/imports", content=b"x", headers={"Authorization": f"Bearer {sender.token}"})
    ).status_code == 400


async def test_another_agency_sees_nothing_of_an_import(sender: Sender) -> None:
    imported = (await sender.send(csv_file([penalty(1)]))).json()
    for path in (f"/v1/imports/{imported['id']}", imported["receipts"]):
        assert (await sender.get(path)).status_code == 200
        assert (await sender.get(path, token=sender.other_token)).status_code == 404


async def test_receipts_are_paged_and_exported(sender: Sender) -> None:
    imported = (await sender.send(csv_file([penalty(number) for number in range(25)]))).json()
    rows, cursor = [], None
    while True:
        query = {"limit": 10} | ({"cursor": cursor} if cursor else {})
        page = (await sender.get(imported["receipts"], **query)).json()
        rows += [receipt["row"] for receipt in page["receipts"]]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert rows == list(range(1, 26))
    headers = {"Authorization": f"Bearer {sender.token}", "Accept": "application/x-ndjson"}
    lines = (await sender.http.get(imported["receipts"], headers=headers)).content.splitlines()
    assert [orjson.loads(line)["row"] for line in lines] == rows


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 422), (b"a,b\n1,2\n", 422), (b"%PDF-1.7 x", 415), (b"PK\x03\x04broken", 422), (b'{"x": 1}', 422)],
)
async def test_a_file_that_cannot_be_read_leaves_nothing(
    sender: Sender, owner: Owner, data: bytes, status: int
) -> None:
    response = await sender.send(data)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert await owner.fetchval("SELECT count(*) FROM import") == 0
    assert (await sender.send(csv_file([penalty(1)]))).status_code == 201


async def test_two_imports_of_one_file_at_once(sender: Sender, owner: Owner) -> None:
    data = csv_file([penalty(number) for number in range(200)])
    answers = await asyncio.gather(*(sender.send(data, key=f"k{number}") for number in range(4)))
    assert [answer.status_code for answer in answers] == [201] * 4
    totals = [answer.json() for answer in answers]
    assert sum(total["stored"] for total in totals) == 200
    assert sum(total["unchanged"] for total in totals) == 600
    found = await counts(owner)
    assert found["record"] == found["record_version"] == found["record.stored"] == 200
    assert found["entity"] == found["entity.noted"] == 200


async def test_one_key_at_once_is_a_conflict(sender: Sender) -> None:
    data = csv_file([penalty(number) for number in range(2000)])
    statuses = sorted(answer.status_code for answer in await asyncio.gather(sender.send(data), sender.send(data)))
    assert statuses in ([201, 409], [200, 201])


async def test_a_cut_off_import_goes_on(sender: Sender, owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The upload dies after the first block; the same file with the same key stores the rest and nothing twice."""
    monkeypatch.setattr("credit_service.records.imports.readers.BLOCK_BYTES", 20_000)
    rows = [penalty(number) for number in range(300)]
    data = csv_file(rows)

    async def dying() -> Any:
        for start in range(0, len(data) // 2, 5_000):
            yield data[start : start + 5_000]
        raise ConnectionResetError

    headers = {"Authorization": f"Bearer {sender.token}", "Idempotency-Key": "k1"}
    with suppress(ConnectionResetError):
        await sender.http.post("/v1/imports", params=ATTESTED, content=dying(), headers=headers)
    done = await owner.fetchval("SELECT rows_done FROM import")
    assert 0 < done < 300
    imported = (await sender.send(data)).json()
    assert (imported["rows"], imported["stored"], imported["unchanged"]) == (300, 300, 0)
    found = await counts(owner)
    assert found["record"] == found["record.stored"] == found["import_receipt"] == 300
    assert await owner.fetchval("SELECT count(*) FROM profile WHERE audience = 'public'") == 300


async def test_licences_are_imported_too(sender: Sender, owner: Owner) -> None:
    header = [
        "行政相对人名称",
        "行政相对人类别",
        "行政相对人代码_1",
        "行政许可决定文书名称",
        "行政许可决定文书号",
        "许可类别",
        "许可内容",
    ]
    header += ["许可决定日期", "有效期自", "有效期至", "许可机关", "许可机关统一社会信用代码", "当前状态"]
    cells = [
        "重庆测试1有限公司",
        "法人及非法人组织",
        company(1),
        "准予许可决定书",
        "许〔2026〕1号",
        "普通",
        "食品经营",
        "2026.4.1",
    ]
    cells += ["20260401", "2031-03-31", "重庆市渝中区市场监督管理局", AGENCY, "1"]
    data = "\n".join([",".join(header), ",".join(cells)]).encode("gb18030")
    refused = (await sender.send(data)).json()
    assert (await sender.refusals(refused))[1][0]["rule"] == "agency-grant"
    await owner.execute("INSERT INTO agency_grant VALUES ($1, 'administrative-licence', '50')", AGENCY)
    imported = (await sender.send(data, key="k2")).json()
    assert imported["stored"] == 1, await sender.refusals(imported)
    row = await owner.fetchrow("SELECT state, legal_basis, publicity_until FROM record")
    assert row is not None
    assert row["state"] == "published"


async def test_a_job_renders_the_other_audiences(sender: Sender, owner: Owner, database: Database) -> None:
    """The job exists with the import's last transaction; a real runner takes it, and doing it twice does nothing."""
    imported = (await sender.send(csv_file([penalty(number) for number in range(30)]))).json()
    profiles = "SELECT audience, count(*) FROM profile GROUP BY audience"
    assert [tuple(row) for row in await owner.fetch(profiles)] == [("public", 30)]
    waiting = await owner.fetch("SELECT entrypoint, payload FROM pgqueuer")
    assert [(row["entrypoint"], row["payload"]) for row in waiting] == [(rendering.JOB, UUID(imported["id"]).bytes)]
    connection = await database.connect()
    queue = PgQueuer.from_asyncpg_connection(connection)
    worker.schedule(queue, database, CATALOGUE, SystemClock())
    running = asyncio.create_task(queue.run())
    while await owner.fetchval("SELECT count(*) FROM pgqueuer"):
        await asyncio.sleep(0.05)
    queue.shutdown.set()
    await running
    await connection.close()
    assert sorted(tuple(row) for row in await owner.fetch(profiles)) == [
        ("agency", 30),
        ("public", 30),
        ("regulator", 30),
        ("subject", 30),
    ]
    assert await rendering.render_rest(database, UUID(imported["id"]), SystemClock()) == 0


async def test_personal_information_in_a_file_is_masked_and_told_of(sender: Sender, owner: Owner) -> None:
    """Masked in free text, dropped from numbers of the field's own, refused in what must stay as it is."""
    rows = [
        penalty(1),
        penalty(2, facts=f"当事人张三({IDENTITY_NUMBER})电话13812345678，订单号13812345678"),
        penalty(3, basis="《食品安全法》，联系人：王五"),
        penalty(4, document=f"处罚{IDENTITY_NUMBER}号"),
        penalty(5, remarks="１１０１０５１９４９１２３１００２Ｘ"),
    ]
    imported = (await sender.send(csv_file(rows))).json()
    assert (imported["stored"], imported["refused"]) == (4, 1)
    page = (await sender.get(imported["receipts"])).json()["receipts"]
    masked = {receipt["row"]: receipt.get("warnings") for receipt in page}
    told = "personal-information-masked:"
    assert masked == {1: None, 2: [f"{told}violation_facts"], 3: [f"{told}legal_basis"], 4: None, 5: [f"{told}remarks"]}
    [error] = (await sender.refusals(imported))[4]
    assert (error["pointer"].split("/")[0], error["rule"]) == (
        LABELS["document"],
        "personal information: identity-number",
    )
    facts = await owner.fetchval("SELECT public_facts::text FROM record WHERE uscc = $1", company(2))
    assert "当事人张某(〔身份证号码已隐去〕)电话〔电话号码已隐去〕，订单号13812345678" in facts
    for (table,) in await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        for row in await owner.fetch(f'SELECT * FROM "{table}"'):
            kept = b"".join(value if isinstance(value, bytes) else str(value).encode() for value in row.values())
            assert not any(trace.encode() in kept for trace in (IDENTITY_NUMBER[:-1], "１１０１", "王五")), table
    again = (await sender.send(csv_file(rows), key="k2")).json()
    assert (again["unchanged"], again["refused"]) == (4, 1)
    page = (await sender.get(again["receipts"], outcome="unchanged")).json()["receipts"]
    assert {receipt["row"]: receipt.get("warnings") for receipt in page} == {n: masked[n] for n in (1, 2, 3, 5)}
