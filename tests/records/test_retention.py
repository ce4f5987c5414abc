"""Retention end to end: disclosed within the limit, archived by the worker, erased; only commitments are left."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import asyncpg
import orjson
import pytest

from credit_service.accounts.rules import Role
from credit_service.platform.context import Actor
from credit_service.records import life
from tests.api import CATALOGUE, COMPANY, NOTICES, OTHER_AGENCY, Api, penalty

TRACES = ("过期", "保质期", "陈述意见甲", "复核意见乙", "拟罚款丙")
ESCAPED = tuple(json.dumps(trace)[1:-1] for trace in TRACES)
"""As some JSON columns hold them."""


async def kept(owner: asyncpg.Connection[Any]) -> set[str]:
    """Tables in which something of the case can still be read."""
    found = set()
    for (table,) in await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        for row in await owner.fetch(f'SELECT * FROM "{table}"'):
            values = (v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in row.values())
            if any(trace in value for value in values for trace in (*TRACES, *ESCAPED)):
                found.add(table)
    return found


async def decided_after_hearing(api: Api) -> tuple[str, str]:
    """A penalty that came out of a proceeding; gives both ids."""
    opened = {
        "item_code": "administrative-penalty",
        "uscc": COMPANY,
        "entity_name": "重庆测试有限公司",
        "findings": "销售超过保质期的食品",
        "grounds": "违反食品安全法",
        "legal_basis": "《食品安全法》第一百二十四条",
        "intended_content": "拟罚款丙一万元",
    }
    proceeding = (await api.call("POST", "/v1/proceedings", Role.SUBMITTER, json=opened)).json()["id"]

    async def step(name: str, body: dict[str, Any], role: Role = Role.SUBMITTER) -> None:
        answer = await api.call("POST", f"/v1/proceedings/{proceeding}/{name}", role, {"If-Match": "*"}, json=body)
        assert answer.status_code in (200, 201), answer.text

    notice = {"document_number": "告1号", "served_on": "2026-05-06", "means": "direct", "evidence": "回证1号"}
    await step("notice", notice | {"statement_until": "2026-05-12"})
    await step("statement", {"text": "陈述意见甲"}, Role.SUBJECT)
    api.clock.instant += timedelta(days=7)
    record = penalty(decided_on="2026-05-13", notices=NOTICES[1:])
    await step("decision", {"record": record, "response": "复核意见乙"})
    found = (await api.get(f"/v1/entities/{COMPANY}/records", Role.REGULATOR)).json()["records"]
    return found[0]["id"], proceeding


async def test_disclosed_archived_erased_with_the_proof_intact(api: Api, owner: asyncpg.Connection[Any]) -> None:
    record_id, _ = await decided_after_hearing(api)
    limit = await owner.fetchval("SELECT disclosure_until FROM record")
    api.clock.instant = limit - timedelta(seconds=1)
    assert (await api.get(f"/v1/records/{record_id}", Role.SUBMITTER, agency=OTHER_AGENCY)).status_code == 200
    api.clock.instant = limit
    assert (await api.get(f"/v1/records/{record_id}", Role.SUBMITTER, agency=OTHER_AGENCY)).status_code == 404
    async with api.database.transaction() as session:
        assert await life.archive_due(session, CATALOGUE, Actor("worker", "job"), limit, 10) == 1
    assert {"record", "record_version", "proceeding"} <= await kept(owner)
    events = await owner.fetch("SELECT id, canonical FROM audit_event ORDER BY id")
    versions = await owner.fetch("SELECT version, commitment FROM record_version ORDER BY version")
    erased = await api.call(
        "POST", f"/v1/records/{record_id}/erasure", Role.ADMINISTRATOR, json={"reason": "披露期限届满"}
    )
    assert erased.status_code == 200, erased.text
    assert not await kept(owner) & {"record", "record_version", "proceeding", "profile", "audit_event"}
    assert await owner.fetchval("SELECT octet_length(content_digest) FROM record") == 0
    after = await owner.fetch("SELECT id, canonical FROM audit_event ORDER BY id")
    assert [tuple(row) for row in after[: len(events)]] == [tuple(row) for row in events], "what was logged stays"
    assert orjson.loads(after[-1]["canonical"])["action"] == "record.erased"
    assert await owner.fetch("SELECT version, commitment FROM record_version ORDER BY version") == versions


async def test_an_erased_record_is_not_brought_back(api: Api, owner: asyncpg.Connection[Any]) -> None:
    record_id = (await api.submit()).json()["id"]
    api.clock.instant = await owner.fetchval("SELECT disclosure_until FROM record")
    async with api.database.transaction() as session:
        await life.archive_due(session, CATALOGUE, Actor("worker", "job"), api.clock.instant, 10)
    body = {"reason": "披露期限届满"}
    erasure = f"/v1/records/{record_id}/erasure"
    assert (await api.call("POST", erasure, Role.ADMINISTRATOR, json=body)).status_code == 200
    again = await api.submit()
    assert (again.status_code, again.json()["type"].rsplit(":", 1)[-1].rsplit("/", 1)[-1]) == (409, "record-closed")
    assert await owner.fetchval("SELECT entity_name FROM record") == ""


async def test_nothing_of_a_standing_record_can_be_forgotten(api: Api) -> None:
    record_id = (await api.submit()).json()["id"]
    pool = await api.database.pool()
    with pytest.raises(asyncpg.CheckViolationError):
        await pool.fetchval("SELECT forget_proceedings($1, $2::uuid)", COMPANY, record_id)


def test_the_limit_is_in_the_catalogue_for_every_adverse_item_that_is_published() -> None:
    for item in CATALOGUE.latest_items():
        if item.polarity == "distrust" and item.publicity_rule != "not-public":
            assert item.retention_rule is not None, item.code
