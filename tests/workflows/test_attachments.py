"""Files of repairs and objections: who may add, read and take away, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from credit_service.evidence import commands as evidence
from credit_service.evidence import rules
from tests.evidence.files import REAL, pdf
from tests.workflows.support import (
    ANYBODY,
    CLERK,
    COMMITMENT,
    OFFICER,
    PROOF,
    REGULATOR,
    RIVAL,
    SUBJECT,
    SUPERVISOR,
    WINDOW,
    House,
    Person,
)

UNKNOWN = "01890000-0000-7000-8000-000000000000"


async def add(house: House, path: str, person: Person, content: bytes = REAL[rules.PDF]) -> httpx.Response:
    headers = {"Content-Type": rules.PDF, "Content-Disposition": "attachment; filename*=UTF-8''%E7%BC%B4%E6%AC%BE.pdf"}
    return await house.call("POST", f"{path}/attachments", person, headers=headers, content=content)


@pytest.mark.parametrize("kind", ["repair", "objection"])
async def test_parties_add_and_whoever_sees_the_case_reads(house: House, kind: str) -> None:
    record_id = await house.record()
    path = await (house.repair if kind == "repair" else house.objection)(record_id)
    added = await add(house, path, SUBJECT)
    assert added.status_code == 201, added.text
    place = added.headers["location"]
    assert place == f"{path}/attachments/{added.json()['id']}"
    assert (await add(house, path, OFFICER, pdf(400))).status_code == 201
    assert (await add(house, path, CLERK, pdf(500))).status_code == 201, "the source answers with documents"
    for person in (RIVAL, SUPERVISOR, REGULATOR, ANYBODY):
        refused = await add(house, path, person, pdf(600))
        assert refused.status_code in ({401} if person is ANYBODY else {403, 404, 409}), person
    for person in (SUBJECT, OFFICER, CLERK, SUPERVISOR, REGULATOR):
        assert len((await house.get(f"{path}/attachments", person))["attachments"]) == 3
        answer = await house.call("GET", place, person, headers={"Range": "bytes=0-7"})
        assert (answer.status_code, answer.content) == (206, REAL[rules.PDF][:8])
    for reads in (place, f"{path}/attachments"):
        assert (await house.call("GET", reads, RIVAL)).status_code == 404
        assert (await house.call("GET", reads, ANYBODY)).status_code == 401
        without = await house.call("GET", reads, OFFICER, headers={"Credit-Purpose": ""})
        assert without.json()["type"].endswith("purpose-required")
        own = await house.call("GET", reads, SUBJECT, headers={"Credit-Purpose": ""})
        assert own.status_code == 200
    taken = await house.call("DELETE", place, SUBJECT)
    assert (taken.status_code, taken.json()["type"].rsplit(":", 1)[1]) == (409, "case-closed")
    await house.done(path, "withdraw", SUBJECT)
    late = await add(house, path, SUBJECT, pdf(700))
    assert (late.status_code, late.json()["type"].rsplit(":", 1)[1]) == (409, "case-closed")
    assert len((await house.get(f"{path}/attachments", OFFICER))["attachments"]) == 3, "what was submitted stays"


async def test_a_draft_is_its_applicants_alone_and_materials_name_its_files(house: House) -> None:
    record_id = await house.record()
    path = await house.repair(record_id, submit=False)
    place = (await add(house, path, SUBJECT)).headers["location"]
    for person in (OFFICER, WINDOW, SUPERVISOR, REGULATOR):
        assert (await house.call("GET", place, person)).status_code == 404
        assert (await house.call("GET", f"{path}/attachments", person)).status_code == 404
    other = (await add(house, path, SUBJECT, pdf(300))).json()["id"]
    assert (await house.call("DELETE", f"{path}/attachments/{other}", SUBJECT)).status_code == 204
    attachment_id = place.rsplit("/", 1)[1]

    def said(*ids: str) -> dict[str, Any]:
        return {"materials": [PROOF | {"attachment_ids": list(ids)}], "commitment": COMMITMENT}

    for wrong in (UNKNOWN, other):
        refused = await house.act(path, "revise", SUBJECT, said(attachment_id, wrong))
        assert refused.status_code == 422
        assert [error["pointer"] for error in refused.json()["errors"]] == ["/materials/0/attachment_ids/1"]
    await house.done(path, "revise", SUBJECT, said(attachment_id))
    await house.done(path, "submit", SUBJECT)
    assert len((await house.get(f"{path}/attachments", OFFICER))["attachments"]) == 1
    unheld = {"record_ids": [await house.record(document_number="另一号")], **said(attachment_id)}
    assert (await house.call("POST", "/v1/repairs", SUBJECT, json=unheld)).status_code == 422


async def test_content_of_two_cases_goes_with_the_last_of_them(house: House) -> None:
    first = await house.repair(await house.record(), submit=False)
    second = await house.repair(await house.record(document_number="另一号"), submit=False)
    places = [(await add(house, path, SUBJECT)).headers["location"] for path in (first, second)]
    vault, later = house.api.app.state.evidence, datetime.now(UTC) + timedelta(days=2)
    for left, place in ((1, places[0]), (0, places[1])):
        assert (await house.call("DELETE", place, SUBJECT)).status_code == 204
        assert await evidence.collect(house.api.database, vault, later) == 1 - left
        assert len([name async for name, _ in vault.blobs.names()]) == left
