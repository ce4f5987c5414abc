"""What is overdue reaches a supervisor, once; a notice of holidays moves what is open; local rules bind their own."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any

import asyncpg

from credit_service.accounts.models import Grant
from credit_service.accounts.rules import Role
from credit_service.deadlines import calendars
from credit_service.deadlines.models import NoticeWrite
from credit_service.identity.uscc import compose
from credit_service.platform.context import Actor
from credit_service.platform.days import start_of
from credit_service.records.propagation import watch
from credit_service.records.standing import Action
from tests.api import AGENCY, AGENCY_NAME, Api
from tests.records.propagation.test_propagation import move
from tests.workflows.support import furnished

WORKER = Actor("worker", "test")
PARENT = compose("11", "500000", "00777002")
HENAN = compose("11", "410102", "00555009")


async def attend(api: Api) -> tuple[int, int]:
    return await watch.attend(api.database, WORKER, api.clock.now())


async def overdue_notices(owner: asyncpg.Connection[Any]) -> list[tuple[Any, ...]]:
    rows = await owner.fetch(
        "SELECT recipient, body FROM notification WHERE case_type = 'propagation' ORDER BY created_at, body"
    )
    return [tuple(row) for row in rows]


async def repaired(api: Api) -> str:
    await furnished(api)
    record_id = str((await api.submit()).json()["id"])
    await move(api, record_id, Action.REPAIR)
    return record_id


async def test_the_supervisor_is_told_once_of_what_is_overdue(api: Api, owner: asyncpg.Connection[Any]) -> None:
    await repaired(api)
    due = await owner.fetchval("SELECT max(due_at) FROM propagation")
    rows = await owner.fetchval("SELECT count(*) FROM propagation")
    assert rows > 0
    api.clock.instant = due - timedelta(seconds=1)
    assert await attend(api) == (0, 0)
    api.clock.instant = due
    assert sum(done for _, done in await asyncio.gather(attend(api), attend(api))) == rows, "two workers share it"
    told = await overdue_notices(owner)
    assert {recipient for recipient, _ in told} == {PARENT}
    assert any("信用中国" in body for _, body in told)
    api.clock.instant += timedelta(days=3)
    assert await attend(api) == (0, 0)
    assert await overdue_notices(owner) == told
    escalated = "SELECT count(*) FROM audit_event WHERE action = 'propagation.escalated'"
    assert await owner.fetchval(escalated) == rows


async def test_what_was_acknowledged_or_superseded_is_nobody_s_fault(api: Api, owner: asyncpg.Connection[Any]) -> None:
    record_id = await repaired(api)
    page = (await api.get("/v1/propagations", Role.ADMINISTRATOR)).json()["propagations"]
    for row in page:
        body = {"receipt": "回执1号", "carried_out_on": "2026-05-06"}
        answer = await api.call("POST", f"/v1/propagations/{row['id']}/acknowledgement", Role.ADMINISTRATOR, json=body)
        assert answer.status_code == 200, (record_id, answer.text)
    api.clock.instant = await owner.fetchval("SELECT max(due_at) FROM propagation") + timedelta(days=9)
    assert await attend(api) == (0, 0)
    assert await overdue_notices(owner) == []


async def test_a_notice_of_holidays_moves_what_is_open(api: Api, owner: asyncpg.Connection[Any]) -> None:
    await repaired(api)  # on Wednesday 6 May 2026; the third working day is Saturday the 9th, made up
    assert {row[0] for row in await owner.fetch("SELECT due_at FROM propagation")} == {start_of(date(2026, 5, 10))}
    api.clock.instant = start_of(date(2026, 5, 10))
    _, escalated = await attend(api)
    assert escalated > 0
    notice = NoticeWrite(document="国办发明电〔2026〕99号", rest=[date(2026, 5, 8), date(2026, 5, 9)])
    async with api.database.transaction() as session:
        await calendars.enter_notice(session, WORKER, api.clock.now(), notice)
    # Thursday the 7th, Monday the 11th, Tuesday the 12th: it was not overdue, and will be once more.
    moved, again = await attend(api)
    assert (moved, again) == (escalated, 0)
    assert {row[0] for row in await owner.fetch("SELECT due_at FROM propagation")} == {start_of(date(2026, 5, 13))}
    assert await attend(api) == (0, 0), "computed once by each calendar"
    api.clock.instant = start_of(date(2026, 5, 13))
    assert await attend(api) == (0, escalated)


async def test_henan_s_single_day_binds_its_own_decisions(api: Api, owner: asyncpg.Connection[Any]) -> None:
    house = await furnished(api)
    await house.put_agency(HENAN, "郑州市中原区市场监督管理局", parent_uscc=PARENT)
    grants = [Grant(item_code="administrative-penalty", division_prefix="41")]
    await house.put_agency(AGENCY, AGENCY_NAME, parent_uscc=PARENT, grants=grants)
    submitted = await api.submit(authority_uscc=HENAN)
    assert submitted.status_code == 201, submitted.text
    await move(api, str(submitted.json()["id"]), Action.ANNUL)
    found = await owner.fetch("SELECT receiver_type, rule_version, amount FROM propagation ORDER BY receiver_type")
    rules = {row["receiver_type"]: (row["rule_version"], row["amount"]) for row in found}
    assert rules["credit-china"] == ("henan-annulled-removal", 1)
    assert rules["enterprise-publicity-system"] == ("samr-order-45-11", 3)
