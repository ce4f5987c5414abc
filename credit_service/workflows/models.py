"""The case 办件: one application about one record, whatever its workflow."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic import Field as ApiField
from sqlalchemy import JSON, Column, LargeBinary
from sqlmodel import Field, SQLModel

from credit_service.platform.columns import code_column, instant_column, uscc_column
from credit_service.platform.days import day_of
from credit_service.platform.paging import Page


class Case(SQLModel, table=True):
    """One application about one record. ``type`` names its machine; ``handler_uscc`` is the agency that decides.

    ``content`` is what the applicant states, ``findings`` what the agencies said to it, the oldest first. ``officers``
    maps actions to the principals who took them last, for the separation of duties; ``events`` maps what happened in
    law to when, for the time-limits. ``application_id`` is shared by the cases of one application.
    """

    __tablename__ = "workflow_case"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    application_id: UUID
    type: str = Field(sa_column=code_column())
    record_id: UUID
    item_code: str = Field(sa_column=code_column())
    handler_uscc: str = Field(sa_column=uscc_column())
    source_uscc: str = Field(sa_column=uscc_column())
    division: str = Field(sa_column=code_column())
    state: str = Field(sa_column=code_column())
    returns_to: str | None = Field(default=None, sa_column=code_column(nullable=True))
    applicant: str = Field(sa_column=code_column())
    applicant_uscc: str = Field(sa_column=uscc_column())
    agent_uscc: str | None = Field(default=None, sa_column=uscc_column(nullable=True))
    content: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    findings: list[dict[str, Any]] = Field(default_factory=list, sa_column=Column(JSON, nullable=False))
    events: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    officers: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    assignee: str | None = Field(default=None, sa_column=code_column(nullable=True))
    supplement_until: date | None = None
    barred_until: date | None = None
    salt: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    version: int
    opened_at: datetime = Field(sa_column=instant_column())
    submitted_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    changed_at: datetime = Field(sa_column=instant_column())
    closed_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    on_time: bool | None = None

    @property
    def reference(self) -> str:
        """办件编号: all that is told of the case outside the registry."""
        return f"{_REFERENCES[self.type]}-{day_of(self.opened_at):%Y%m%d}-{str(self.id)[-8:].upper()}"


_REFERENCES = {"repair": "XF", "objection": "YY"}


class DeadlineView(BaseModel):
    """A time-limit of the case. A resumption counts anew what was left, from then on."""

    stage: str = ApiField(description="环节 accept, decide, total, own-decision, ...")
    started_at: datetime = ApiField(description="起算时间 Counted from the event of (UTC)")
    amount: int = ApiField(description="期限")
    unit: str = ApiField(description="单位 working-days, calendar-days, months or years")
    legal_basis: str = ApiField(description="依据")
    status: str = ApiField(description="核实情况 How well the figure is verified")
    due_at: datetime | None = ApiField(description="截止时间 First instant too late (UTC); empty while paused")
    paused: bool = ApiField(description="已中止计时")
    provisional: bool = ApiField(description="超出已知节假日历, 暂定")
    closed_as: str | None = ApiField(description="met 已完成, cancelled 不再计算; empty: open")
    closed_at: datetime | None = ApiField(description="完成时间 (UTC)")
    overdue: bool = ApiField(description="已逾期, or was kept late")


class ActionView(BaseModel):
    """Something the caller may do now."""

    action: str = ApiField(description="事项")
    label_zh: str = ApiField(description="名称")
    until: datetime | None = ApiField(description="截止时间 Until when it is due")
    needs_reason: bool = ApiField(description="须说明理由")


class ActionList(BaseModel):
    """What the caller may do with a case now."""

    state: str = ApiField(description="当前状态")
    version: int = ApiField(description="版本, for If-Match")
    actions: list[ActionView] = ApiField(description="可办事项")


class CaseView(BaseModel):
    """A case 办件 as its applicant and its officers see it."""

    id: UUID = ApiField(description="办件标识")
    application_id: UUID = ApiField(description="申请标识, shared by the cases of one application")
    reference: str = ApiField(description="办件编号")
    uscc: str = ApiField(description="统一社会信用代码 of the record's subject")
    record_id: UUID = ApiField(description="所涉记录")
    item_code: str = ApiField(description="目录事项代码")
    applicant_uscc: str = ApiField(description="申请人统一社会信用代码")
    agent_uscc: str | None = ApiField(description="代理人统一社会信用代码")
    handler_uscc: str = ApiField(description="办理单位统一社会信用代码")
    source_uscc: str = ApiField(description="数据来源单位统一社会信用代码")
    state: str = ApiField(description="状态")
    state_zh: str = ApiField(description="状态名称")
    content: dict[str, Any] = ApiField(description="申请内容")
    findings: list[dict[str, Any]] = ApiField(description="办理意见 What the agencies said, the oldest first")
    supplement_until: date | None = ApiField(description="补正截止日")
    barred_until: date | None = ApiField(description="至该日前不得申请修复 First day of new applications after fraud")
    version: int = ApiField(description="版本")
    opened_at: datetime = ApiField(description="创建时间 (UTC)")
    submitted_at: datetime | None = ApiField(description="提交时间 (UTC)")
    changed_at: datetime = ApiField(description="变更时间 (UTC)")
    closed_at: datetime | None = ApiField(description="办结时间 (UTC)")
    on_time: bool | None = ApiField(description="按时办结 empty: not closed")
    assignee: str | None = ApiField(description="经办人; shown to officers only")


class CaseRead(CaseView):
    """A case with its time-limits and what the caller may do now."""

    deadlines: list[DeadlineView] = ApiField(description="时限")
    actions: list[str] = ApiField(description="可办事项")


class CasePage(Page):
    """A page of cases, the oldest first."""

    cases: list[CaseView] = ApiField(description="办件")


class QueueCounts(BaseModel):
    """How much waits for an officer."""

    mine: int = ApiField(description="我的待办")
    agency: int = ApiField(description="本单位在办")
    unassigned: int = ApiField(description="待认领")
    overdue: int = ApiField(description="已逾期")
    due_today: int = ApiField(description="今日到期")
    supervised: int = ApiField(description="下级单位在办")


class TimelineEntry(BaseModel):
    """One step that was taken, as its audit event holds it."""

    event_id: UUID = ApiField(description="审计事件标识")
    at: datetime = ApiField(description="时间 (UTC)")
    action: str = ApiField(description="事项 e.g. repair.accept")
    label_zh: str = ApiField(description="名称")
    actor: str | None = ApiField(description="操作人; an officer's name is the agency's own business")
    agency_uscc: str | None = ApiField(description="操作单位")
    reason: str | None = ApiField(description="理由")
    version: int = ApiField(description="版本")


class Timeline(BaseModel):
    """Every step of a case, the oldest first, with its time-limits."""

    entries: list[TimelineEntry] = ApiField(description="步骤")
    deadlines: list[DeadlineView] = ApiField(description="时限")
