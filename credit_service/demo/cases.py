"""Open cases of both workflows, filed and taken up by the same commands as everybody's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlmodel import col

from credit_service.accounts.rules import Principal, Role
from credit_service.catalogue.models import Catalogue
from credit_service.objections import commands as objections
from credit_service.objections.contract import ObjectionApplication
from credit_service.objections.rules import Ground
from credit_service.platform.context import Actor
from credit_service.platform.days import day_of
from credit_service.records.models import Record, State
from credit_service.repairs import commands as repairs
from credit_service.repairs.contract import CommitmentLetter, RepairApplication
from credit_service.workflows import commands as workflows
from credit_service.workflows.commands import Caller, Workflow
from credit_service.workflows.contract import Material, StepBody
from credit_service.workflows.models import Case

EACH = 12
TAKEN_UP_ONE_IN = 3


async def open_cases(session: AsyncSession, catalogue: Catalogue, officer: Principal, now: datetime) -> None:
    """Some repairs and objections about the officer's agency's penalties; one in three is taken up."""
    for index, record in enumerate(await _records(session, officer.agency_uscc or "", now)):
        subject = Principal(f"client:demo-applicant-{index}", Role.SUBJECT, entity_uscc=record.uscc)
        workflow = repairs.WORKFLOW if index % 2 else objections.WORKFLOW
        filing, deciding = _caller(subject, catalogue, now), _caller(officer, catalogue, now)
        case = await _filed(session, filing, record, workflow)
        if index // 2 % TAKEN_UP_ONE_IN == 0:
            await workflows.perform(session, deciding, workflow, case, record, "accept", StepBody())


async def _filed(session: AsyncSession, caller: Caller, record: Record, workflow: Workflow) -> Case:
    today = day_of(caller.now)
    if workflow is objections.WORKFLOW:
        objection: dict[str, Any] = {"record_id": record.id, "ground": Ground.CONTENT_WRONG}
        return await objections.apply(session, caller, ObjectionApplication(**objection, reason="演示数据: 内容有误"))
    letter = CommitmentLetter(
        materials_are_true=True,
        accepts_liability=True,
        content="演示数据: 承诺所提交材料真实有效。",
        breach_liability="愿意承担相应责任",
        signed_on=today,
    )
    proof = Material(kind="proof-of-performance", title="缴款凭证", dated_on=today, attachment_ids=[])
    body = RepairApplication(record_ids=[record.id], materials=[proof], commitment=letter)
    _, cases = await repairs.apply(session, caller, body)
    return cases[0]


def _caller(principal: Principal, catalogue: Catalogue, now: datetime) -> Caller:
    return Caller(Actor(principal.id, "demo-data", principal.agency_uscc), principal, now, catalogue)


async def _records(session: AsyncSession, authority: str, now: datetime) -> Sequence[Record]:
    """Penalties shown now that may be repaired by now, of different entities where possible."""
    statement = (
        select(Record)
        .where(
            col(Record.item_code) == "administrative-penalty",
            col(Record.authority_uscc) == authority,
            col(Record.state) == State.PUBLISHED,
            col(Record.publicity_until) > now,
            col(Record.repair_eligible_from) <= day_of(now),
        )
        .order_by(col(Record.decided_on).desc(), col(Record.id))
        .limit(2 * EACH)
    )
    return (await session.execute(statement)).scalars().all()
