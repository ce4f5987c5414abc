"""From the notice of an intended decision to the record: order, parties, and proof."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import httpx
import orjson
import pytest

from credit_service.accounts.rules import Role
from credit_service.records.proceedings.models import ProceedingState
from credit_service.records.proceedings.rules import TRANSITIONS, Step, steps_for
from tests.api import AGENCY, COMPANY, NOTICES, OTHER_AGENCY, OTHER_COMPANY, Api, penalty

PATH = "/v1/proceedings"
INTENT = {
    "item_code": "administrative-penalty",
    "uscc": COMPANY,
    "entity_name": "重庆测试有限公司",
    "findings": "当事人销售超过保质期的预包装食品。",
    "grounds": "违反食品安全法第三十四条。",
    "legal_basis": "《中华人民共和国食品安全法》第一百二十四条",
    "intended_content": "罚款一万二千元",
}
NOTICE = {
    "document_number": "渝中市监罚告〔2026〕1号",
    "served_on": "2026-05-06",
    "means": "direct",
    "evidence": "送达回证1",
    "statement_until": "2026-05-13",
}
STATEMENT = {"text": "首次违法且已改正, 请求从轻处罚。"}
RESPONSE = "复核后采纳, 从轻处罚。"


async def step(
    api: Api, place: str, name: str, body: dict[str, Any], role: Role = Role.SUBMITTER, **more: Any
) -> httpx.Response:
    return await api.call("POST", f"{place}/{name}", role, {"If-Match": more.pop("tag", "*")}, json=body, **more)


async def opened(api: Api) -> str:
    answer = await api.call("POST", PATH, Role.SUBMITTER, json=INTENT)
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def decision(day: str, **more: Any) -> dict[str, Any]:
    return {
        "record": penalty(decided_on=day, notices=[{**NOTICES[1], "served_on": day}, {**NOTICES[2], "served_on": day}])
    } | more


async def test_from_notice_to_published_record(api: Api, owner: asyncpg.Connection) -> None:
    place = await opened(api)
    assert (await api.get(place, Role.SUBJECT)).status_code == 404, "not before the notice"
    assert (await step(api, place, "decision", decision("2026-05-06"))).status_code == 409, "no decision without notice"
    served = (await step(api, place, "notice", NOTICE)).json()
    assert (served["state"], served["actions"]) == ("notice-served", ["abandonment", "decision", "statement"])
    seen = (await api.get(place, Role.SUBJECT)).json()
    assert (seen["state"], seen["actions"]) == ("notice-served", ["statement"])
    early = await step(api, place, "decision", decision("2026-05-06"))
    assert [error["rule"][:9] for error in early.json()["errors"]] == ["行政处罚法第四十五"]
    assert (await step(api, place, "statement", STATEMENT, Role.SUBJECT)).status_code == 200
    api.clock.instant += timedelta(days=3)
    mute = await step(api, place, "decision", decision("2026-05-09"))
    assert [error["pointer"] for error in mute.json()["errors"]] == ["/response"]
    decided = await step(api, place, "decision", decision("2026-05-09", response=RESPONSE))
    assert decided.status_code == 200, decided.text
    record = (await api.get(f"/v1/records/{decided.json()['record']['id']}")).json()
    assert record["document_number"] == penalty()["document_number"]
    kept = orjson.loads(await owner.fetchval("SELECT notices FROM record"))
    assert {notice["kind"]: notice["document_number"] for notice in kept}["facts-grounds-and-rights"] == (
        NOTICE["document_number"]
    )
    actions = await owner.fetch("SELECT action FROM audit_event WHERE subject_type = 'proceeding' ORDER BY id")
    assert [row[0] for row in actions] == [
        "proceeding.opened",
        "proceeding.notice-served",
        "proceeding.statement-received",
        "proceeding.decided",
    ]


async def test_silence_until_the_last_day_then_a_decision(api: Api) -> None:
    place = await opened(api)
    await step(api, place, "notice", NOTICE)
    api.clock.instant += timedelta(days=7)
    assert (await step(api, place, "decision", decision("2026-05-13"))).status_code == 422
    api.clock.instant += timedelta(days=1)
    late = await step(api, place, "statement", STATEMENT, Role.SUBJECT)
    assert late.json()["errors"][0]["rule"] == "statement-period-over"
    assert (await step(api, place, "decision", decision("2026-05-14"))).status_code == 200
    assert (await step(api, place, "abandonment", {"reason": "改变主意了"})).status_code == 409


async def test_a_proceeding_is_its_agencys_and_its_subjects(api: Api) -> None:
    place = await opened(api)
    await step(api, place, "notice", NOTICE)
    assert (await api.get(place, Role.SUBMITTER, agency=OTHER_AGENCY)).status_code == 404
    assert (await api.get(place, Role.SUBJECT, entity=OTHER_COMPANY)).status_code == 404
    assert (await api.get(place, Role.REGULATOR)).status_code == 403
    assert (await step(api, place, "statement", STATEMENT, Role.SUBJECT, entity=OTHER_COMPANY)).status_code == 404
    for more, count in (({}, 1), ({"agency": OTHER_AGENCY}, 0)):
        assert len((await api.get(PATH, Role.SUBMITTER, **more)).json()["proceedings"]) == count
    for company, count in ((COMPANY, 1), (OTHER_COMPANY, 0)):
        assert len((await api.get(PATH, Role.SUBJECT, entity=company)).json()["proceedings"]) == count
    assert (await step(api, place, "abandonment", {"reason": "证据不足"}, tag='"v9"')).status_code == 412
    ended = (await step(api, place, "abandonment", {"reason": "证据不足"})).json()
    assert (ended["state"], ended["actions"]) == ("abandoned", [])


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"served_on": "2026-05-07", "statement_until": "2026-05-20"}, "/served_on"),
        ({"statement_until": "2026-05-06"}, "/statement_until"),
    ],
)
async def test_notices_that_cannot_be(api: Api, change: dict[str, str], pointer: str) -> None:
    place = await opened(api)
    refused = await step(api, place, "notice", NOTICE | change)
    assert [error["pointer"] for error in refused.json()["errors"]] == [pointer]


async def test_only_what_needs_notice_and_only_the_same_subject(api: Api) -> None:
    refused = await api.call("POST", PATH, Role.SUBMITTER, json=INTENT | {"item_code": "administrative-licence"})
    assert refused.json()["errors"][0]["pointer"] == "/item_code"
    assert (await api.call("POST", PATH, Role.SUBMITTER, agency=OTHER_AGENCY, json=INTENT)).status_code == 403
    place = await opened(api)
    await step(api, place, "notice", NOTICE)
    await step(api, place, "statement", STATEMENT)
    other = decision("2026-05-06", response=RESPONSE)
    other["record"]["uscc"] = OTHER_COMPANY
    assert (await step(api, place, "decision", other)).json()["errors"][0]["pointer"] == "/record"


def test_no_step_leads_out_of_an_end() -> None:
    assert set(TRANSITIONS) == set(Step)
    for state in (ProceedingState.DECIDED, ProceedingState.ABANDONED):
        assert steps_for(state, "agency") == steps_for(state, "subject") == []
    assert AGENCY != OTHER_AGENCY
