"""A record that is erased takes with it what was said about it in its cases; what the log committed to stays."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from credit_service.accounts.rules import Role
from credit_service.evidence import commands as evidence
from credit_service.evidence import rules
from credit_service.platform.context import Actor
from credit_service.records import life
from credit_service.worker import expire_idempotency_keys
from tests.api import CATALOGUE
from tests.evidence.files import REAL
from tests.workflows.support import OFFICER, PROOF, SUBJECT, House

TRACES = ("陈情甲句", "补正乙句", "驳回丙句", "异议丁句", "维持戊句", "回证己号", "缴款庚证", "过期食品")
ESCAPED = tuple(json.dumps(trace)[1:-1] for trace in TRACES)


async def kept(owner: asyncpg.Connection[Any]) -> set[str]:
    """Tables in which something of the record or its cases can still be read."""
    found = set()
    for (table,) in await owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        for row in await owner.fetch(f'SELECT * FROM "{table}"'):
            values = (v.decode(errors="replace") if isinstance(v, bytes) else str(v) for v in row.values())
            if any(trace in value for value in values for trace in (*TRACES, *ESCAPED)):
                found.add(table)
    return found


async def heard(house: House) -> tuple[str, str]:
    """A record with a repair that was refused and an objection that was upheld, with a file and a paper service."""
    record_id = await house.record(facts={"violation_facts": "销售过期食品"})
    repair = await house.repair(record_id, reason="陈情甲句", materials=[PROOF | {"title": "缴款庚证"}], submit=False)
    headers = {"Content-Type": rules.PDF, "Content-Disposition": "attachment; filename*=UTF-8''a.pdf"}
    added = await house.call("POST", f"{repair}/attachments", SUBJECT, headers=headers, content=REAL[rules.PDF])
    assert added.status_code == 201, added.text
    await house.done(repair, "submit", SUBJECT)
    ask = {"reason": "补正乙句", "supplement_by": "2026-05-20"}
    await house.done(repair, "request-supplement", OFFICER, ask)
    await house.done(repair, "supplement", SUBJECT, {"materials": [PROOF]})
    await house.done(repair, "refuse", OFFICER, {"reason": "驳回丙句"})
    objection = await house.objection(record_id, reason="异议丁句")
    await house.done(objection, "accept", OFFICER)
    await house.done(objection, "uphold", OFFICER, {"reason": "维持戊句"})
    note = (await house.get("/v1/notifications?state=delivered", OFFICER))["notifications"][0]
    served = {"means": "direct", "served_on": "2026-05-06", "evidence": "回证己号"}
    answer = await house.call("POST", f"/v1/notifications/{note['id']}/service", OFFICER, json=served)
    assert answer.status_code == 200, answer.text
    return record_id, objection


async def test_the_cases_of_an_erased_record_are_forgotten_and_stay_provable(
    house: House, owner: asyncpg.Connection[Any]
) -> None:
    api = house.api
    record_id, objection = await heard(house)
    vault = api.app.state.evidence
    digest = await owner.fetchval("SELECT encode(digest, 'hex') FROM attachment")
    holding = {"workflow_case", "notification", "notification_delivery", "audit_event", "record", "record_version"}
    assert holding <= await kept(owner)
    api.clock.instant = await owner.fetchval("SELECT disclosure_until FROM record WHERE id = $1", record_id)
    async with api.database.transaction() as session:
        assert await life.archive_due(session, CATALOGUE, Actor("worker", "job"), api.clock.now(), 10) == 1
    logged = await owner.fetch("SELECT id, canonical FROM audit_event ORDER BY id")
    erased = await api.call(
        "POST", f"/v1/records/{record_id}/erasure", Role.ADMINISTRATOR, json={"reason": "披露期限届满"}
    )
    assert erased.status_code == 200, erased.text
    await expire_idempotency_keys(api.database, api.clock.now())
    assert await kept(owner) == set()
    after = await owner.fetch("SELECT id, canonical FROM audit_event ORDER BY id")
    assert [tuple(row) for row in after[: len(logged)]] == [tuple(row) for row in logged], "what was logged stays"
    salts = "SELECT count(*) FROM workflow_case c WHERE octet_length(salt) > 0 AND record_id = $1"
    assert await owner.fetchval(salts, record_id) == 0, "no guess at the content can be confirmed"
    assert await owner.fetchval("SELECT count(*) FROM attachment") == 0
    names = [name async for name, _ in vault.blobs.names()]
    assert any(digest in name for name in names)
    await evidence.collect(api.database, vault, datetime.now(UTC) + timedelta(days=2))
    assert not [name async for name, _ in vault.blobs.names()], "the file itself goes with the next collection"
    detail = json.loads(await owner.fetchval("SELECT detail FROM notification_delivery WHERE channel = 'paper'"))
    assert detail == {"means": "direct", "served_on": "2026-05-06", "evidence": ""}
    again = await house.act(objection, "request-review", SUBJECT, {"reason": "再次申请复查"})
    assert again.json()["type"].endswith("too-late")


async def test_a_record_is_not_erased_while_a_case_about_it_is_open(
    house: House, owner: asyncpg.Connection[Any]
) -> None:
    record_id = await house.record()
    await house.objection(record_id)
    house.api.clock.instant = await owner.fetchval("SELECT disclosure_until FROM record WHERE id = $1", record_id)
    async with house.api.database.transaction() as session:
        await life.archive_due(session, CATALOGUE, Actor("worker", "job"), house.api.clock.now(), 10)
    body = {"reason": "披露期限届满"}
    refused = await house.api.call("POST", f"/v1/records/{record_id}/erasure", Role.ADMINISTRATOR, json=body)
    assert refused.status_code == 422, refused.text
    assert "no open repair or objection" in refused.json()["errors"][0]["rule"]
