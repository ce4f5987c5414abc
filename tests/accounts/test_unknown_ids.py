"""An id that names what a caller is not shown answers as one that never was: status, body, headers and work done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
import httpx
import pytest
from sqlalchemy import event

from credit_service.accounts.rules import Role
from tests.accounts.objects import UNKNOWN_ID
from tests.api import AGENCY, COMPANY, NOTICES, OTHER_AGENCY, OTHER_COMPANY, Api, penalty
from tests.workflows.support import COMMITMENT, PROOF

PER_REQUEST = {"x-request-id", "date", "ratelimit", "ratelimit-policy"}
WINDOW = {"received_on": "2026-05-06", "evidence": "身份证件和委托书原件核验"}
STRANGER = {"agency": OTHER_AGENCY, "entity": OTHER_COMPANY}
BASIS = {"kind": "own-review", "document_number": "渝监撤〔2026〕1号", "decided_on": "2026-05-06"}


def told(answer: httpx.Response) -> tuple[int, dict[str, str], Any]:
    body = answer.json()
    for name in ("request_id", "instance"):
        body.pop(name, None)
    return answer.status_code, {k: v for k, v in answer.headers.items() if k not in PER_REQUEST}, body


@contextmanager
def statements(api: Api) -> Iterator[list[str]]:
    """What the service asks its database meanwhile."""
    asked: list[str] = []
    engine = api.database.engine.sync_engine

    def note(*arguments: Any) -> None:
        asked.append(arguments[2])

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", note)


def asked_of(record_id: str) -> list[tuple[str, str, dict[str, Any]]]:
    """Every way a route takes the id of a record from an agency: in its path, in its body, well asked and badly."""
    record = f"/v1/records/{record_id}"
    repair = {"record_ids": [record_id], "materials": [PROOF], "commitment": COMMITMENT}
    objection = {"record_id": record_id, "ground": "content-wrong", "reason": "罚款金额登记有误"}
    reads = ("", "/versions", "/repair-eligibility", "/repair-notice", "?proof=true", "?as_of=2026-05-01")
    asked: list[tuple[str, str, dict[str, Any]]] = []
    for read in reads:
        asked += [("GET", record + read, {"headers": headers}) for headers in ({}, {"Credit-Purpose": "curiosity"})]
    asked.append(("GET", record, {"headers": {"If-None-Match": "*"}}))
    for action, body in (
        ("withdrawal", {"reason": "重复报送"}),
        ("annulment", {"reason": "重复报送", "basis": BASIS}),
        ("notices", {"notices": NOTICES}),
        ("correction", {"reason": "金额有误", "record": penalty()}),
    ):
        for headers in ({}, {"If-Match": "*"}, {"If-Match": '"v7"'}, {"If-Match": "*", "Idempotency-Key": record_id}):
            asked.append(("POST", f"{record}/{action}", {"json": body, "headers": headers}))
    asked.append(("POST", f"{record}/repair-notice", {}))
    for more in ({}, {"window": WINDOW}, {"submit": True, "window": WINDOW}):
        asked.append(("POST", "/v1/repairs", {"json": repair | more}))
    asked += [("POST", "/v1/objections", {"json": objection | more}) for more in ({}, {"window": WINDOW})]
    return asked


@pytest.mark.parametrize("state", ["withdrawn", "published"])
async def test_an_agency_cannot_tell_a_record_that_it_is_not_shown_from_none(api: Api, state: str) -> None:
    """And of one that it is shown, nothing without a purpose, so that nobody asks unseen whether there is one."""
    record_id = (await api.submit()).json()["id"]
    if state == "withdrawn":
        gone = await api.call(
            "POST",
            f"/v1/records/{record_id}/withdrawal",
            Role.SUBMITTER,
            {"If-Match": "*"},
            json={"reason": "重复报送"},
        )
        assert gone.status_code == 200, gone.text
    different = []
    for existing, unknown in zip(asked_of(record_id), asked_of(UNKNOWN_ID), strict=True):
        (method, path, more), (_, never, other) = existing, unknown
        purpose = more.get("headers", {}).get("Credit-Purpose")
        if state == "published" and (method, purpose) != ("GET", "curiosity"):
            continue
        answers = [
            await api.call(method, place, Role.SUBMITTER, agency=OTHER_AGENCY, **sent)
            for place, sent in ((path, more), (never, other))
        ]
        if told(answers[0]) != told(answers[1]) or answers[0].status_code not in (404, 422):
            different.append(f"{method} {path} {more}: {told(answers[0])}, unknown: {told(answers[1])}")
    assert different == [], "\n".join(different)


async def test_what_is_not_ones_own_takes_no_more_of_the_database_than_what_is_not_there(
    api: Api, owner: asyncpg.Connection[Any]
) -> None:
    record_id = (await api.submit(decided_on="2026-01-20")).json()["id"]
    body = {"record_ids": [record_id], "materials": [PROOF], "commitment": COMMITMENT}
    case = (await api.call("POST", "/v1/repairs", Role.SUBJECT, json=body)).json()["cases"][0]["id"]
    assert await owner.fetchval("SELECT count(*) FROM workflow_case WHERE uscc = $1", COMPANY) == 1
    withdrawal = {"json": {"reason": "重复报送"}}
    counted = {}
    for method, path, more in (
        ("POST", f"/v1/records/{record_id}/withdrawal", withdrawal),
        ("GET", f"/v1/records/{record_id}/repair-notice", {}),
        ("GET", f"/v1/repairs/{case}", {}),
        ("GET", f"/v1/repairs/{case}/actions", {}),
        ("POST", f"/v1/repairs/{case}/withdraw", withdrawal),
    ):
        found = []
        for place in (path, path.replace(record_id, UNKNOWN_ID).replace(case, UNKNOWN_ID)):
            await api.call(method, place, Role.SUBMITTER, {"If-Match": "*"}, agency=OTHER_AGENCY, **more)
            headers = {"If-Match": "*"}
            with statements(api) as asked:
                answer = await api.call(method, place, Role.SUBMITTER, headers, agency=OTHER_AGENCY, **more)
            assert answer.status_code == 404, (place, answer.text)
            found.append(len([each for each in asked if "client" not in each]))
        counted[f"{method} {path}"] = found
    assert {path: found for path, found in counted.items() if len(set(found)) > 1} == {}


async def test_ones_own_and_predecessors_are_asked_about_as_ever(api: Api) -> None:
    record_id = (await api.submit(decided_on="2026-01-20")).json()["id"]
    gone = await api.call(
        "POST", f"/v1/records/{record_id}/withdrawal", Role.SUBMITTER, {"If-Match": "*"}, json={"reason": "重复报送"}
    )
    assert gone.status_code == 200
    path = f"/v1/records/{record_id}/repair-eligibility"
    assert (await api.get(path, Role.SUBMITTER)).status_code == 200
    assert (await api.get(path, Role.REGULATOR, agency=OTHER_AGENCY)).status_code == 200
    assert (await api.get(path, Role.SUBMITTER, agency=OTHER_AGENCY)).status_code == 404
    heir = {"name": "重庆市渝中区市场监督管理局", "division": "500103", "level": "district", "grants": []}
    merged = await api.call(
        "PUT",
        f"/v1/agencies/{AGENCY}",
        Role.ADMINISTRATOR,
        json=heir | {"active": False, "successor_uscc": OTHER_AGENCY},
    )
    assert merged.status_code == 200, merged.text
    assert (await api.get(path, Role.SUBMITTER, agency=OTHER_AGENCY)).status_code == 200
