"""The calendar and the share on time over HTTP, and the command line."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from typer.testing import CliRunner

from credit_service.accounts.rules import Role
from credit_service.cli import app as command_line
from tests.api import AGENCY, AGENCY_NAME, Api
from tests.deadlines.test_commands import at, do, new_stage, notice, start
from tests.support import DatabaseUrls

NOTICES = "/v1/calendar/notices"


async def enter(api: Api, key: str = "k", role: Role = Role.ADMINISTRATOR, **changes: Any) -> Any:
    body = notice(**changes).model_dump(mode="json")
    return await api.call("POST", NOTICES, role, {"Idempotency-Key": key}, json=body)


async def test_a_span_of_days(api: Api) -> None:
    answer = await api.get("/v1/calendar", params={"from": "2026-02-13", "to": "2026-02-15"})
    assert [(day["day"], day["working"], day["provisional"]) for day in answer.json()["days"]] == [
        ("2026-02-13", True, False),
        ("2026-02-14", True, False),
        ("2026-02-15", False, False),
    ]
    whole = (await api.get("/v1/calendar")).json()["days"]
    assert (len(whole), whole[0]["day"], sum(day["working"] for day in whole)) == (365, "2026-01-01", 248)
    assert [day["day"] for day in whole if day["provisional"]] == ["2026-12-29", "2026-12-30", "2026-12-31"]


async def test_an_unchanged_calendar_is_not_sent_again_and_a_notice_changes_it(api: Api) -> None:
    span = {"from": "2026-12-28", "to": "2027-01-10"}
    first = await api.get("/v1/calendar", params=span)
    tag = {"If-None-Match": first.headers["etag"]}
    assert (await api.get("/v1/calendar", params=span, headers=tag)).status_code == 304
    assert (await enter(api)).status_code == 201
    again = await api.get("/v1/calendar", params=span, headers=tag)
    assert again.status_code == 200
    days = {day["day"]: day for day in again.json()["days"]}
    assert days["2027-01-01"] == {
        "day": "2027-01-01",
        "working": False,
        "provisional": False,
        "notice": "国办发明电〔2026〕9号",
    }
    assert days["2027-01-09"]["working"]
    assert not days["2026-12-31"]["provisional"]


@pytest.mark.parametrize(
    "span", [{"from": "2026-02-02", "to": "2026-02-01"}, {"from": "2020-01-01", "to": "2026-01-01"}]
)
async def test_a_span_that_cannot_be(api: Api, span: dict[str, str]) -> None:
    answer = await api.get("/v1/calendar", params=span)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "query:to")


async def test_a_notice_is_an_administrators_is_entered_once_and_audited(
    api: Api, owner: asyncpg.Connection[Any]
) -> None:
    await start(api.database, at("2026-12-25 10:00"), new_stage())
    for role in (Role.PUBLIC, Role.SUBMITTER, Role.REGULATOR, Role.AUDITOR):
        assert (await enter(api, role=role)).status_code in (401, 403)
    first, again = await enter(api), await enter(api)
    assert first.json() == again.json()
    assert (first.json()["number"], first.json()["recomputed"]) == (1, 1)
    listed = (await api.get(NOTICES)).json()["notices"]
    assert [(found["number"], found["year"], found["document"]) for found in listed] == [
        (1, 2027, "国办发明电〔2026〕9号")
    ]
    events = await owner.fetch("SELECT action, actor FROM audit_event WHERE action LIKE 'calendar.%'")
    assert [tuple(event) for event in events] == [("calendar.notice-entered", "client:administrator-500103")]
    refused = await enter(api, "other", rest=["2027-05-01"])
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/rest")


async def test_the_service_may_not_change_a_notice(api: Api, database_urls: DatabaseUrls) -> None:
    await enter(api)
    async with api.database.engine.connect() as connection:
        for statement in ("UPDATE calendar_notice SET rest = '{}'", "DELETE FROM calendar_notice"):
            with pytest.raises(Exception, match="permission denied"):
                await connection.exec_driver_sql(statement)
            await connection.rollback()


async def test_share_on_time_by_agency_and_stage(api: Api) -> None:
    started = at("2026-04-20 10:00")  # the last day is 29 April
    kept, tardy, cancelled, lapsed, paused, overdue, early = (new_stage() for _ in range(7))
    for stage in (kept, tardy, cancelled, lapsed, paused, overdue):
        await start(api.database, started, stage)
    await start(api.database, at("2026-05-06 09:00"), early)
    await start(api.database, started, new_stage("accept"))
    await do(api.database, "meet", at("2026-04-29 23:59:59"), kept)
    await do(api.database, "meet", at("2026-04-30 00:00"), tardy)
    await do(api.database, "cancel", at("2026-04-29 23:59:59"), cancelled, "撤回")
    await do(api.database, "cancel", at("2026-05-05 09:00"), lapsed, "撤回")
    await do(api.database, "pause", at("2026-04-21 09:00"), paused, "补正")
    answer = await api.get("/v1/statistics/timeliness")
    assert answer.json()["stages"] == [
        {
            "agency_uscc": AGENCY,
            "agency_name": AGENCY_NAME,
            "case_type": "repair",
            "stage": stage,
            "stage_label": label,
            "met_in_time": in_time,
            "met_late": late,
            "open_overdue": 1,
            "cancelled_overdue": lapsed,
            "share_in_time": share,
        }
        for stage, label, in_time, late, lapsed, share in (
            ("accept", "受理", 0, 0, 0, "0.0000"),
            ("decide", "作出决定", 1, 1, 1, "0.2500"),
        )
    ]
    later = await api.get("/v1/statistics/timeliness", params={"since": "2026-05-01"})
    names = ("met_in_time", "met_late", "open_overdue", "cancelled_overdue")
    found = {each["stage"]: [each[name] for name in names] for each in later.json()["stages"]}
    assert found == {"accept": [0, 0, 1, 0], "decide": [0, 0, 1, 1]}
    assert (await api.get("/v1/statistics/timeliness", params={"since": "2026-05-08"})).status_code == 422


def test_the_command_line_shows_and_enters(own_database_urls: DatabaseUrls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDIT_DATABASE_URL", own_database_urls.service)
    run = CliRunner().invoke
    before = run(command_line, ["calendar", "show", "2026"]).output.splitlines()
    assert before[1] == "2026-02 16 working  rest: 16 17 18 19 20 23  make-up: 14 28"
    assert before[-1] == "2026: 248 working days; provisional from 2026-12-29"
    entering = [
        "calendar",
        "set",
        "--document",
        "国办发明电〔2026〕9号",
        "--year",
        "2027",
        "--rest",
        "2027-01-01..2027-01-03",
    ]
    broken = run(command_line, entering)
    assert broken.exit_code == 1
    assert "/rest" in broken.output
    done = run(command_line, [*entering, "--rest", "2027-10-01..2027-10-07", "--worked", "2027-01-09"])
    assert done.output == "notice 1: 10 of rest, 1 worked; recomputed 0\n"
    after = run(command_line, ["calendar", "show", "2027"]).output.splitlines()
    assert after[0] == "2027-01 21 working  rest: 01*  make-up: 09*"
    assert after[-1].endswith("provisional from 2027-12-29")
    assert (
        run(command_line, ["calendar", "set", "--document", "通知", "--rest", "2027-01-03..2027-01-01"]).exit_code == 1
    )
