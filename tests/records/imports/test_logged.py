"""Every writer's events land in the log: those of a file, which never touch the helper of single writes, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import orjson

from credit_service.audit.events import commitment
from credit_service.audit.merkle import leaf_hash
from credit_service.platform.clock import FixedClock
from credit_service.platform.database import Database
from tests.audit.support import ledger
from tests.records.imports.conftest import Sender
from tests.records.imports.files import csv_file, penalty

Owner: TypeAlias = "asyncpg.Connection[Any]"


async def test_an_imports_events_are_in_the_log_each_once(
    sender: Sender, owner: Owner, database: Database, clock: FixedClock, tmp_path: Path
) -> None:
    await sender.send(csv_file([penalty(number) for number in range(40)]))
    corrections = [penalty(number, fine="3") for number in range(7)]
    await sender.send(csv_file([*corrections, penalty(50)]), key="k2", atomicity="file")
    headers = {"Authorization": f"Bearer {sender.token}"}
    assert (await sender.http.post("/v1/records", json={}, headers=headers)).status_code == 422
    async with ledger(database, clock, tmp_path) as book:
        await book.sequence()
        size = (await book.checkpoint()).size
    events = await owner.fetch("SELECT * FROM audit_event")
    actions = [event["action"] for event in events]
    assert (actions.count("record.stored"), actions.count("record.corrected")) == (41, 7)
    assert actions.count("entity.noted") == 41
    assert actions.count("import.completed") == 2
    placed = await owner.fetch("SELECT leaf_hash FROM log_entry")
    assert len(events) == len(placed) == size
    assert {leaf_hash(event["canonical"]) for event in events} == {row["leaf_hash"] for row in placed}
    for event in events:
        said = orjson.loads(event["canonical"])
        assert said["attribution"] == commitment(event["salt"], event["attribution"]).hex()
        assert said["occurred_at"] == event["occurred_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "to the microsecond"
