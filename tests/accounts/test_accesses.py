"""The access log: every non-public answer, nothing else; the subject's view of it; quotas; what stands out."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import orjson
import pytest
from sqlalchemy.exc import DBAPIError
from uuid_utils import uuid7

from credit_service.accounts.rules import Role
from credit_service.audit import access_store, accesses
from credit_service.audit.accesses import Access, Journal, JournalUnavailable
from credit_service.audit.models import SYSTEM_SUBJECT
from credit_service.entities import oversight
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from tests.api import AGENCY, COMPANY, OTHER_AGENCY, OTHER_COMPANY, Api, running

SUPERVISION = {"Credit-Purpose": "supervision"}
FILE = f"/v1/entities/{COMPANY}"


@pytest.fixture
async def stored(api: Api) -> Api:
    assert (await api.submit()).status_code == 201
    return api


async def logged(owner: asyncpg.Connection[Any], api: Api) -> list[asyncpg.Record]:
    """The log once everything taken over is written."""
    journal: Journal = api.app.state.journal
    while journal._unwritten:
        await asyncio.sleep(0.01)
    return await owner.fetch("SELECT * FROM access_log ORDER BY at, uscc")


async def test_a_non_public_answer_is_logged_with_who_why_and_what(stored: Api, owner: asyncpg.Connection[Any]) -> None:
    headers = {"Credit-Purpose": "licensing", "Credit-Case": quote("渝许可〔2026〕7号"), "X-Request-ID": "req-7"}
    assert (await stored.get(FILE, Role.REGULATOR, headers=headers)).status_code == 200
    (row,) = await logged(owner, stored)
    assert (row["uscc"], row["agency_uscc"], row["audience"], row["purpose"]) == (
        COMPANY,
        AGENCY,
        "regulator",
        "licensing",
    )
    assert (row["case_reference"], row["request_id"], row["route"]) == (
        "渝许可〔2026〕7号",
        "req-7",
        "/v1/entities/{uscc}",
    )
    assert row["at"] == row["disclosed_from"] == stored.clock.now()


async def test_what_shows_nothing_non_public_is_not_logged(stored: Api, owner: asyncpg.Connection[Any]) -> None:
    await stored.get(FILE)
    await stored.get(FILE, Role.SUBJECT)
    await stored.get(FILE, Role.REGULATOR, headers={"Credit-Purpose": "none"})  # refused
    await stored.get(f"/v1/entities/{OTHER_COMPANY}", Role.REGULATOR, headers=SUPERVISION)  # unknown
    assert await logged(owner, stored) == []


async def test_not_modified_tells_as_much_as_the_file_and_is_logged(
    stored: Api, owner: asyncpg.Connection[Any]
) -> None:
    first = await stored.get(FILE, Role.REGULATOR, headers=SUPERVISION)
    again = await stored.get(FILE, Role.REGULATOR, headers={**SUPERVISION, "If-None-Match": first.headers["etag"]})
    assert again.status_code == 304
    assert len(await logged(owner, stored)) == 2


async def test_a_page_of_several_is_an_access_to_each(stored: Api, owner: asyncpg.Connection[Any]) -> None:
    other = await stored.submit(
        uscc=OTHER_COMPANY, entity_name="重庆第二测试有限公司", document_number="渝中市监处罚〔2026〕2号"
    )
    assert other.status_code == 201
    await stored.get("/v1/lists/serious-dishonesty-market-regulation/entries", Role.REGULATOR, headers=SUPERVISION)
    (empty,) = await logged(owner, stored)
    assert empty["uscc"] == SYSTEM_SUBJECT
    await stored.get(f"{FILE}/records", Role.REGULATOR, headers=SUPERVISION)
    assert [row["uscc"] for row in await logged(owner, stored)].count(COMPANY) == 1


@pytest.mark.parametrize(
    ("headers", "place"),
    [
        ({"Credit-Purpose": "licensing"}, "header:Credit-Case"),
        ({"Credit-Purpose": "curiosity"}, "header:Credit-Purpose"),
        ({"Credit-Purpose": "licensing", "Credit-Case": "x" * 101}, "header:Credit-Case"),
        ({**SUPERVISION, "Credit-Sealed-Until": "2026-06-01"}, "header:Credit-Sealed-Until"),
        (
            {"Credit-Purpose": "inspection", "Credit-Case": "7", "Credit-Sealed-Until": "soon"},
            "header:Credit-Sealed-Until",
        ),
        (
            {"Credit-Purpose": "inspection", "Credit-Case": "7", "Credit-Sealed-Until": "2027-06-01"},
            "header:Credit-Sealed-Until",
        ),
    ],
)
async def test_a_purpose_is_whole_or_refused(
    stored: Api, owner: asyncpg.Connection[Any], headers: dict[str, str], place: str
) -> None:
    answer = await stored.get(FILE, Role.REGULATOR, headers=headers)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [place]
    assert await logged(owner, stored) == []


async def test_the_subject_sees_who_looked_and_an_investigation_when_it_may(
    stored: Api, owner: asyncpg.Connection[Any]
) -> None:
    sealed = {"Credit-Purpose": "inspection", "Credit-Case": "J-1", "Credit-Sealed-Until": "2026-06-01"}
    await stored.get(FILE, Role.REGULATOR, headers=sealed)
    stored.clock.instant += timedelta(seconds=1)
    await stored.get(FILE, Role.REGULATOR, headers=SUPERVISION)
    await logged(owner, stored)
    seen = (await stored.get(f"{FILE}/accesses", Role.SUBJECT)).json()["accesses"]
    assert [(row["purpose"], row["agency_name"], row["principal"]) for row in seen] == [
        ("supervision", "重庆市渝中区市场监督管理局", None)
    ]
    audited = await stored.get(f"{FILE}/accesses", Role.AUDITOR, headers={"Credit-Purpose": "audit"})
    assert [row["purpose"] for row in audited.json()["accesses"]] == ["supervision", "inspection"]
    assert audited.json()["accesses"][1]["principal"].startswith("client:regulator")
    await logged(owner, stored)
    stored.clock.instant = datetime(2026, 5, 31, 15, 59, 59, tzinfo=UTC)
    assert len((await stored.get(f"{FILE}/accesses", Role.SUBJECT)).json()["accesses"]) == 2  # with the auditor's
    stored.clock.instant = datetime(2026, 5, 31, 16, tzinfo=UTC)
    assert len((await stored.get(f"{FILE}/accesses", Role.SUBJECT)).json()["accesses"]) == 3


async def test_another_subjects_accesses_do_not_exist(stored: Api) -> None:
    answer = await stored.get(f"/v1/entities/{OTHER_COMPANY}/accesses", Role.SUBJECT)
    assert answer.status_code == 404


async def test_pages_and_files_hold_every_access_once(stored: Api, owner: asyncpg.Connection[Any]) -> None:
    for _ in range(5):
        await stored.get(FILE, Role.REGULATOR, headers=SUPERVISION)  # one instant: the order rests on the id
    await logged(owner, stored)
    found, cursor = [], ""
    while cursor is not None:
        page = (await stored.get(f"{FILE}/accesses?limit=2{cursor and f'&cursor={cursor}'}", Role.SUBJECT)).json()
        found += page["accesses"]
        cursor = page.get("next_cursor")
    assert len(found) == 5
    file = await stored.get(f"{FILE}/accesses/export?format=csv", Role.SUBJECT)
    lines = file.text.splitlines()
    assert lines[0].lstrip("\ufeff").split(",")[0] == "查询时间"
    assert len(lines) == 6
    assert "client:" not in file.text
    assert found[0]["at"] == "2026-05-06T02:00:00Z"
    assert lines[1].startswith("2026-05-06 10:00:00,"), "in Shanghai's time"
    told = (await stored.get(f"{FILE}/accesses/export?format=ndjson", Role.SUBJECT)).text.splitlines()
    assert [orjson.loads(line)["查询时间"] for line in told] == ["2026-05-06T02:00:00Z"] * 5
    nothing = await stored.get(f"{FILE}/accesses?until=2026-05-06", Role.SUBJECT)
    assert nothing.json()["accesses"] == []


async def test_the_services_role_can_neither_change_nor_remove_an_access(
    stored: Api, owner: asyncpg.Connection[Any], database: Database
) -> None:
    await stored.get(FILE, Role.REGULATOR, headers=SUPERVISION)
    await logged(owner, stored)
    pool = await database.pool()
    for statement in (
        "DELETE FROM access_log",
        "UPDATE access_log SET purpose = 'x'",
        "DELETE FROM access_log_default",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await pool.execute(statement)
    async with database.transaction() as session:
        with pytest.raises(DBAPIError, match="five years"):
            await access_store.drop_before(session, date(2024, 1, 1), date(2026, 5, 6))
    async with database.transaction() as session:
        with pytest.raises(DBAPIError, match="five years"):
            await access_store.drop_before(session, date(2094, 1, 1), date(2099, 5, 6))


async def test_months_are_made_ahead_and_dropped_after_five_years(
    own_database: Database, own_owner: asyncpg.Connection[Any]
) -> None:
    async with own_database.transaction() as session:
        assert await access_store.make_months(session, date(2015, 11, 20)) == 3
        assert await access_store.make_months(session, date(2015, 12, 1)) == 1
    insert = "INSERT INTO access_log VALUES ($1, $2, $3, 'p', NULL, 'regulator', 'audit', NULL, '/', 'r', $2)"
    for moment in (datetime(2015, 11, 30, 23, 59, 59, tzinfo=UTC), datetime(2015, 12, 1, tzinfo=UTC)):
        await own_owner.execute(insert, COMPANY, moment, uuid4())
    counts = "SELECT tableoid::regclass::text, count(*) FROM access_log GROUP BY 1 ORDER BY 1"
    assert [tuple(row) for row in await own_owner.fetch(counts)] == [("access_log_201511", 1), ("access_log_201512", 1)]
    async with own_database.transaction() as session:
        assert await access_store.drop_before(session, date(2015, 12, 1), date(2020, 12, 1)) == 1
    assert await own_owner.fetchval("SELECT min(at) FROM access_log") == datetime(2015, 12, 1, tzinfo=UTC)


NOON = datetime(2026, 5, 6, 4, tzinfo=UTC)


def answer(files: int = 1) -> Access:
    subjects = [f"{number:018}" for number in range(files)]
    return Access(uuid7(), NOON, NOON, "r", "client:x", AGENCY, "regulator", "audit", None, "/", subjects)


async def written(owner: asyncpg.Connection[Any]) -> int:
    """How many files the log holds; the agency's count of the day agrees with it."""
    rows: int = await owner.fetchval("SELECT count(*) FROM access_log")
    counted = await owner.fetch("SELECT agency_uscc, day, accesses FROM access_count")
    assert [tuple(row) for row in counted] == [(AGENCY, date(2026, 5, 6), rows)]
    return rows


async def test_a_durable_journal_answers_after_the_commit(database: Database, owner: asyncpg.Connection[Any]) -> None:
    journal = Journal(database, durable=True)
    await asyncio.gather(*(journal.write(answer()) for _ in range(50)))
    assert await written(owner) == 50
    await journal.close()


async def test_what_is_taken_over_is_written_when_the_service_ends(
    database: Database, owner: asyncpg.Connection[Any]
) -> None:
    journal = Journal(database, durable=False)
    await journal.write(answer(5_000))
    await journal.write(answer(1))
    await journal.close()
    assert await written(owner) == 5_001
    with pytest.raises(JournalUnavailable):
        await journal.write(answer())


async def test_an_answer_across_midnight_counts_for_its_own_day(
    database: Database, owner: asyncpg.Connection[Any]
) -> None:
    journal = Journal(database, durable=False)
    midnight = datetime(2026, 5, 6, 16, tzinfo=UTC)  # in Shanghai
    for moment in (midnight - timedelta(microseconds=1), midnight, midnight - timedelta(days=1), NOON):
        await journal.write(answer(2)._replace(at=moment))
    await journal.write(answer(1)._replace(agency_uscc=None))
    await journal.close()
    counted = await owner.fetch("SELECT day, accesses FROM access_count ORDER BY day")
    assert [tuple(row) for row in counted] == [(date(2026, 5, 6), 6), (date(2026, 5, 7), 2)]


async def test_a_commit_whose_answer_was_lost_is_not_made_again(
    database: Database, owner: asyncpg.Connection[Any]
) -> None:
    journal, access = Journal(database, durable=True), answer(2)
    await owner.execute("REVOKE INSERT ON access_log FROM credit_service")
    try:
        with pytest.raises(JournalUnavailable):
            await journal.write(access)
        rows = [(*access[:-1], uscc) for uscc in access.subjects]  # as if the attempt had been committed all the same
        await owner.copy_records_to_table("access_log", records=rows, columns=accesses.COLUMNS)
    finally:
        await owner.execute("GRANT INSERT ON access_log TO credit_service")
    await journal.write(answer(1))
    await journal.close()
    assert await owner.fetchval("SELECT count(*) FROM access_log") == 3


async def test_two_large_answers_wait_for_room_and_a_log_that_fails_turns_them_away(
    database: Database, owner: asyncpg.Connection[Any]
) -> None:
    journal = Journal(database, durable=False)
    most = accesses.MOST_UNWRITTEN
    await asyncio.gather(*(journal.write(answer(size)) for size in (most - 1, most, 2)))
    await owner.execute("REVOKE INSERT ON access_log FROM credit_service")
    try:
        with pytest.raises(JournalUnavailable):
            await journal.write(answer(most))
    finally:
        await owner.execute("GRANT INSERT ON access_log TO credit_service")
    with pytest.raises(JournalUnavailable):
        await journal.write(answer(most + 1))
    await journal.close()
    assert await written(owner) == 2 * most + 1


async def test_without_a_log_nothing_non_public_is_shown(
    database: Database, owner: asyncpg.Connection[Any], clock: FixedClock, tmp_path: Path
) -> None:
    async with running(database, clock, tmp_path, access_log_durable=True) as api:
        assert (await api.submit()).status_code == 201
        await owner.execute("REVOKE INSERT ON access_log FROM credit_service")
        try:
            refused = await api.get(FILE, Role.REGULATOR, headers=SUPERVISION)
            public = await api.get(FILE)
        finally:
            await owner.execute("GRANT INSERT ON access_log TO credit_service")
        assert (refused.status_code, public.status_code) == (503, 200)
        assert refused.headers["retry-after"] == "5"
        assert "records" not in refused.json()
        assert (await api.get(FILE, Role.REGULATOR, headers=SUPERVISION)).status_code == 200


async def test_a_quota_ends_the_days_reading_and_is_seen(stored: Api, owner: asyncpg.Connection[Any]) -> None:
    await owner.execute("UPDATE agency SET daily_subjects = 3 WHERE uscc = $1", AGENCY)
    statuses = [(await stored.get(FILE, Role.REGULATOR, headers=SUPERVISION)).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    refused = await stored.get(FILE, Role.REGULATOR, headers=SUPERVISION)
    assert refused.json()["type"].endswith("quota-exceeded")
    assert refused.headers["retry-after"] == str(14 * 3600 + 1)  # 10:00 in Shanghai
    assert len(await logged(owner, stored)) == 3
    await oversight.find_anomalies(stored.database, stored.clock.now(), default_quota=1000)
    (found,) = (await stored.get("/v1/accesses/anomalies", Role.AUDITOR)).json()["anomalies"]
    assert (found["kind"], found["accesses"], found["subjects"]) == ("over-quota", 3, 1)
    stored.clock.instant += timedelta(hours=14)
    assert (await stored.get(FILE, Role.REGULATOR, headers=SUPERVISION)).status_code == 200


async def test_bulk_reading_outside_duty_stands_out_and_is_reviewed_by_the_supervisor(
    stored: Api, owner: asyncpg.Connection[Any]
) -> None:
    await owner.execute("UPDATE agency SET parent_uscc = $1 WHERE uscc = $2", OTHER_AGENCY, AGENCY)
    await owner.execute(
        "INSERT INTO entity SELECT (jsonb_populate_record(e, jsonb_build_object('uscc', left(e.uscc, 8) || "
        "lpad(n::text, 10, '0'), 'division', '440305'))).* FROM entity e, generate_series(1, 150) n WHERE e.uscc = $1",
        COMPANY,
    )
    await owner.execute(
        "INSERT INTO access_log SELECT uscc, $1, gen_random_uuid(), 'client:x', $2, 'regulator', 'supervision', NULL, "
        "'/', 'r', $1 FROM entity",
        stored.clock.now(),
        AGENCY,
    )
    for _ in range(2):
        await oversight.find_anomalies(stored.database, stored.clock.now(), default_quota=1000)
    own = await stored.get("/v1/accesses/anomalies", Role.REGULATOR)
    (found,) = own.json()["anomalies"]
    assert (found["kind"], found["subjects"], found["outside"]) == ("outside-duty", 151, 150)
    review = f"/v1/accesses/anomalies/{AGENCY}/2026-05-06/outside-duty/review"
    body = {"review": "已约谈, 属专项检查"}
    assert (await stored.call("POST", review, Role.REGULATOR, json=body)).status_code == 404  # not one's own
    done = await stored.call("POST", review, Role.REGULATOR, agency=OTHER_AGENCY, json=body)
    assert done.status_code == 200, done.text
    await oversight.find_anomalies(stored.database, stored.clock.now(), default_quota=1000)
    assert (await stored.get("/v1/accesses/anomalies", Role.AUDITOR)).json()["anomalies"] == []
    assert await owner.fetchval("SELECT count(*) FROM audit_event WHERE action = 'access-anomaly.reviewed'") == 1


@pytest.fixture
async def own_database(own_database_urls: Any) -> Any:
    database = Database(own_database_urls.service, role="credit_service", pool_size=2)
    yield database
    await database.close()


@pytest.fixture
async def own_owner(own_database_urls: Any) -> Any:
    from credit_service.platform.database import connect_arguments

    connection = await asyncpg.connect(**connect_arguments(own_database_urls.owner))
    yield connection
    await connection.close()
