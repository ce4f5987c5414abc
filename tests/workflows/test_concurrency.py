"""Officers and applicants at the same moment: one wins, the other learns what came of it."""

from __future__ import annotations

import asyncio

import asyncpg

from tests.workflows.support import COLLEAGUE, COMMITMENT, OFFICER, PROOF, SUBJECT, House

ROUNDS = 6


async def test_of_two_officers_at_once_one_decides(house: House, owner: asyncpg.Connection) -> None:
    for number in range(ROUNDS):
        path = await house.objection(await house.record(document_number=f"渝中市监处罚〔2026〕{number}号"))
        await house.done(path, "accept", OFFICER)
        tag = (await house.call("GET", path, OFFICER)).headers["etag"]
        answers = await asyncio.gather(
            house.act(path, "remove", OFFICER, {"reason": "登记内容错误"}, tag),
            house.act(path, "uphold", COLLEAGUE, {"reason": "登记内容无误"}, tag),
            house.act(path, "remove", COLLEAGUE, {"reason": "登记内容错误"}, tag),
        )
        assert sorted(answer.status_code for answer in answers) == [200, 412, 412]
        won = next(answer for answer in answers if answer.status_code == 200)
        for lost in (answer for answer in answers if answer.status_code == 412):
            assert (lost.json()["state"], lost.json()["current"]) == (won.json()["state"], won.headers["etag"])
        case_id = won.json()["id"]
        decided = "SELECT count(*) FROM audit_event WHERE subject_id = $1 AND action ~ '\\.(remove|uphold)$'"
        assert await owner.fetchval(decided, case_id) == 1
        told = "SELECT count(*) FROM notification WHERE case_id = $1 AND template = 'objection-decided'"
        assert await owner.fetchval(told, case_id) == 1


async def test_of_applications_at_once_one_is_taken_in(house: House, owner: asyncpg.Connection) -> None:
    for number in range(ROUNDS):
        record_id = await house.record(document_number=f"渝中市监处罚〔2026〕{number}号")
        body = {"record_ids": [record_id], "materials": [PROOF], "commitment": COMMITMENT}
        answers = await asyncio.gather(*(house.call("POST", "/v1/repairs", SUBJECT, json=body) for _ in range(3)))
        assert sorted(answer.status_code for answer in answers) == [201, 409, 409]
        assert await owner.fetchval("SELECT count(*) FROM workflow_case WHERE record_id = $1", record_id) == 1
