"""Supervision in the demonstration: the example rule set in force, every class computed, one draw and one result."""

from __future__ import annotations

from datetime import datetime, timedelta

from credit_service.catalogue.models import Catalogue
from credit_service.demo.population import DemoAgency
from credit_service.platform.clock import FixedClock
from credit_service.platform.context import Actor
from credit_service.platform.database import Database
from credit_service.platform.days import day_of
from credit_service.supervision.classes import commands as classes
from credit_service.supervision.classes import documents, runs
from credit_service.supervision.classes.contract import RiskClass
from credit_service.supervision.inspections import commands, results, store
from credit_service.supervision.inspections.contract import (
    Beacon,
    InspectorWrite,
    ItemWrite,
    PlanWrite,
    Quota,
    ResultWrite,
)
from credit_service.supervision.inspections.rules import Result

ITEM = ItemWrite(code="food-operation", name="食品经营监督检查", legal_basis="《中华人民共和国食品安全法》第一百一十条")
QUOTAS: dict[RiskClass, Quota] = {
    "B": Quota(ratio="0.05", max_per_year=1),
    "C": Quota(ratio="0.2", max_per_year=2),
    "D": Quota(ratio="0.6"),
}
INSPECTORS = 8


async def load(database: Database, catalogue: Catalogue, office: DemoAgency, now: datetime) -> None:
    """Activate the example by two people, compute every class, and carry out one plan as far as its first result."""
    first, second = (Actor(f"demo-{name}", "demo-data", office.uscc) for name in ("proposer", "approver"))
    clock = FixedClock(now)
    for document in documents.shipped().values():
        async with database.transaction() as session:
            row = await classes.propose(session, catalogue, first, now, document)
        async with database.transaction() as session:
            _, run = await classes.activate(session, second, now, row.id, "*")
        await runs.work(database, catalogue, clock, run.id)
    await _inspect(database, catalogue, first, now)


async def _inspect(database: Database, catalogue: Catalogue, actor: Actor, now: datetime) -> None:
    earlier, due_at = now - timedelta(days=2), now - timedelta(days=1)
    body = PlanWrite(
        title="食品经营双随机抽查(演示)",
        year=day_of(due_at).year,
        items=[ITEM.code],
        division="5001",
        quotas=QUOTAS,
    )
    beacon = Beacon(source="中国福利彩票双色球(演示)", round=f"{day_of(due_at):%Y%m%d}", due_at=due_at)
    async with database.transaction() as session:
        await commands.add_item(session, actor, earlier, ITEM)
        for number in range(INSPECTORS):
            officer = InspectorWrite(staff_number=f"YS-{number + 1:03}", name=f"演示{number + 1}号")
            await commands.add_inspector(session, actor, earlier, officer)
        plan = await commands.add_plan(session, actor, earlier, body)
        await commands.commit(session, actor, earlier, plan.id, beacon, "*")
        await commands.draw(session, actor, due_at, plan.id, "03 08 12 25 31 33 + 07", "*")
        drawn = await store.inspections(session, plan.id, "", 1)
        result = ResultWrite(result=Result.NO_PROBLEM, inspected_on=day_of(now), document_number="演示检查〔1〕号")
        await results.record_result(session, catalogue, actor, now, drawn[0].id, result, "*")
