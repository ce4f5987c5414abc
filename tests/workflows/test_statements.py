"""How much the database is asked for one step or one page: each object once, what changes in few statements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg
from sqlalchemy import event

from tests.workflows.support import AGENCY, AGENCY_NAME, HEIR, OFFICER, SUCCESSOR, House

A_REFUSAL = 14
A_PAGE = 2


@contextmanager
def statements_of(house: House, table: str) -> Iterator[list[str]]:
    """The statements, meanwhile, of the transaction that asks for a table: not those that admit or log the caller."""
    begun: list[list[str]] = []
    found: list[str] = []

    def begin(_connection: Any) -> None:
        begun.append([])

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        begun[-1].append(statement)

    engine = house.api.database.engine.sync_engine
    event.listen(engine, "begin", begin)
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(engine, "begin", begin)
        event.remove(engine, "before_cursor_execute", note)
        (asked,) = (each for each in begun if any(table in statement for statement in each))
        found += asked


def writes(sent: list[str], table: str) -> int:
    return sum(statement.startswith((f"UPDATE {table} ", f"INSERT INTO {table} ")) for statement in sent)


async def test_a_refusal_reads_each_object_once_and_writes_each_table_once(
    house: House, owner: asyncpg.Connection[Any]
) -> None:
    path = await house.repair(await house.record())
    with statements_of(house, "workflow_case") as sent:
        done = await house.done(path, "refuse", OFFICER, {"reason": "材料不全"})
    assert len(sent) <= A_REFUSAL, "\n".join(sent)
    for table in ("workflow_case", "stage_deadline", "audit_event", "notification", "notification_delivery"):
        assert writes(sent, table) == 1, table
    # What was written at once is all there: the two limits met or cancelled, each with its event, before the step's.
    assert len(done["deadlines"]) >= 2
    assert all(limit["closed_as"] for limit in done["deadlines"])
    actions = await owner.fetch("SELECT action FROM audit_event WHERE uscc = $1 ORDER BY id", done["uscc"])
    count = len(done["deadlines"])
    assert [row["action"] for row in actions][-count - 2 :] == [
        *["deadline.met"] * count, "repair.refuse", "notification.owed"
    ]  # fmt: skip


async def test_a_page_of_a_queue(house: House) -> None:
    await house.repair(await house.record())
    with statements_of(house, "workflow_case") as sent:
        page = await house.get("/v1/repairs?queue=agency&state=submitted", OFFICER)
    assert len(page["cases"]) == 1
    assert len(sent) <= A_PAGE, "\n".join(sent)


async def test_a_line_of_successors_is_followed_at_once(house: House) -> None:
    await house.repair(await house.record())
    for code, name, heir in ((AGENCY, AGENCY_NAME, SUCCESSOR), (SUCCESSOR, "重庆市渝中区综合监管局", AGENCY)):
        await house.put_agency(code, name, successor_uscc=heir, active=code == SUCCESSOR)
    with statements_of(house, "workflow_case") as sent:
        page = await house.get("/v1/repairs?queue=agency", HEIR)
    assert len(page["cases"]) == 1
    assert len(sent) <= A_PAGE, "\n".join(sent)
