"""Whoever reads English is told in English: only names and document numbers, which have no English form, stay."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import asyncpg

from credit_service.deadlines import jobs
from credit_service.notifications.rules import Template
from credit_service.records.propagation import watch
from credit_service.worker import WORKER
from tests.api import AGENCY_NAME
from tests.workflows.support import (
    ANSWERER,
    COLLEAGUE,
    OFFICER,
    RIVAL,
    SUBJECT,
    SUPERVISOR,
    House,
    Person,
)

CHINESE = re.compile("[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]+")
NAMES = (
    *("重庆测试有限公司", "重庆另一家有限公司", AGENCY_NAME, "重庆市市场监督管理局", "重庆市渝中区公共信用信息平台"),
    *(f"渝中市监处罚〔2026〕{number}号" for number in range(1, 9)),
)
ELSEWHERE = {Template.CONTACT_VERIFICATION, Template.NOTICE_OF_INTENDED_DECISION}
"""Tried where they are sent: one names no case, the other says what the agency wrote."""
REASON = {"reason": "as found on examination"}
DECISION = REASON | {"document_number": "2026-1"}
SUPPLEMENT = REASON | {"supplement_by": "2026-06-20"}
CORRECTION = REASON | {"correction": {"facts": {"penalty_content": "罚款一千二百元"}}}


async def _reads_english(house: House, *persons: Person) -> None:
    wanted = {"contacts": [{"channel": "inbox", "address": ""}], "language": "en"}
    for person in persons:
        answer = await house.call("PUT", "/v1/contacts", person, headers={"If-Match": "*"}, json=wanted)
        assert answer.status_code == 200, answer.text


async def _take(house: House, path: str, *steps: tuple[str, Person, dict[str, Any]]) -> None:
    for action, person, body in steps:
        await house.done(path, action, person, body)


async def _repairs(house: House) -> None:
    numbers = iter(range(1, 9))

    async def application(**changes: Any) -> str:
        return await house.repair(
            await house.record(document_number=f"渝中市监处罚〔2026〕{next(numbers)}号", **changes)
        )

    path = await application()
    await _take(house, path, ("accept", OFFICER, {}), ("review", OFFICER, {}), ("extend", OFFICER, REASON))
    await house.reads(SUBJECT)
    await house.done(path, "reject", OFFICER, DECISION)
    path = await application(decided_on="2026-04-25")
    await _take(house, path, ("request-supplement", OFFICER, SUPPLEMENT), ("supplement", SUBJECT, {}))
    await house.done(path, "refuse", OFFICER, REASON)
    path = await application()
    await _take(house, path, ("accept", OFFICER, {}), ("review", OFFICER, {}), ("grant", OFFICER, DECISION))
    fraud = DECISION | {"ground": "false-materials", "evidence": "letter of the bank"}
    await house.done(path, "revoke", COLLEAGUE, fraud)


async def _objections(house: House) -> None:
    record_id = await house.record(document_number="渝中市监处罚〔2026〕8号")
    notice = await house.call("POST", f"/v1/records/{record_id}/repair-notice", OFFICER)
    assert notice.status_code == 200, notice.text
    path = await house.objection(record_id)
    await house.done(path, "refuse", OFFICER, REASON)
    path = await house.objection(record_id)
    await _take(house, path, ("request-supplement", OFFICER, SUPPLEMENT), ("supplement", SUBJECT, {}))
    await _take(house, path, ("accept", OFFICER, {}), ("forward", OFFICER, {}))
    await house.done(path, "answer", ANSWERER, REASON | {"mistaken": False})
    await _take(house, path, ("uphold", OFFICER, REASON), ("request-review", SUBJECT, REASON))
    await house.done(path, "review-uphold", COLLEAGUE, REASON)
    path = await house.objection(record_id, RIVAL, interest="known by a like name")
    await _take(house, path, ("accept", OFFICER, {}), ("correct", OFFICER, CORRECTION))


async def test_every_notice_to_whoever_reads_english_is_english(house: House, owner: asyncpg.Connection[Any]) -> None:
    await _reads_english(house, SUBJECT, RIVAL, OFFICER, ANSWERER, SUPERVISOR)
    await house.repair(await house.record(document_number="渝中市监处罚〔2026〕7号"))  # nobody looks at this one
    await _repairs(house)
    await _objections(house)
    for days in (2, 60):
        house.api.clock.instant += timedelta(days=days)
        await jobs.attend(house.api.database, WORKER, house.api.clock.now())
        await watch.attend(house.api.database, WORKER, house.api.clock.now())
    notes = await owner.fetch("SELECT template, language, subject, announcement, body FROM notification")
    assert {note["language"] for note in notes} == {"en"}
    assert {note["template"] for note in notes} == {template.value for template in set(Template) - ELSEWHERE}
    found = set()
    for note in notes:
        text = "\n".join((note["subject"], note["announcement"], note["body"]))
        for name in NAMES:
            text = text.replace(name, "")
        found |= {(note["template"], words) for words in CHINESE.findall(text)}
    assert found == set()
