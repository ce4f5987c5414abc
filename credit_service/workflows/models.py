"""The case 办件: one application about one record, whatever its workflow."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic import Field as ApiField
from sqlalchemy import JSON, Column, LargeBinary
from sqlmodel import Field, SQLModel

from credit_service.platform.columns import code_column, instant_column, uscc_column
from credit_service.platform.paging import Page


class Case(SQLModel, table=True):
    """One application about one record. ``type`` names its machine; ``handler_uscc`` is the agency that decides.

    ``content`` is what the applicant states, ``outcome`` what was decided and why; ``officers`` are the principals who
    took which action, for the separation of duties.
    """

    __tablename__ = "workflow_case"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    type: str = Field(sa_column=code_column())
    record_id: UUID
    item_code: str = Field(sa_column=code_column())
    handler_uscc: str = Field(sa_column=uscc_column())
    source_uscc: str = Field(sa_column=uscc_column())
    division: str = Field(sa_column=code_column())
    state: str = Field(sa_column=code_column())
    returns_to: str | None = Field(default=None, sa_column=code_column(nullable=True))
    applicant: str = Field(sa_column=code_column())
    applicant_uscc: str | None = Field(default=None, sa_column=uscc_column(nullable=True))
    content: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    outcome: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    officers: dict[str, str] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    assignee: str | None = Field(default=None, sa_column=code_column(nullable=True))
    salt: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    version: int
    opened_at: datetime = Field(sa_column=instant_column())
    submitted_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    changed_at: datetime = Field(sa_column=instant_column())
    closed_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    on_time: bool | None = None


class DeadlineView(BaseModel):
    """A time-limit of the case."""

    stage: str = ApiField(description="环节 accept, decide, total, ...")
    due_at: datetime | None = ApiField(description="截止时间 First instant too late (UTC); empty while paused")
    paused: bool = ApiField(description="已中止计时")
    provisional: bool = ApiField(description="超出已知节假日历, 暂定")
    met: bool = ApiField(description="已完成")
    overdue: bool = ApiField(description="已逾期")


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
    uscc: str = ApiField(description="统一社会信用代码")
    record_id: UUID = ApiField(description="所涉记录")
    item_code: str = ApiField(description="目录事项代码")
    handler_uscc: str = ApiField(description="办理单位统一社会信用代码")
    state: str = ApiField(description="状态")
    content: dict[str, Any] = ApiField(description="申请内容")
    outcome: dict[str, Any] | None = ApiField(description="办理结果和理由")
    version: int = ApiField(description="版本")
    opened_at: datetime = ApiField(description="创建时间 (UTC)")
    submitted_at: datetime | None = ApiField(description="提交时间 (UTC)")
    changed_at: datetime = ApiField(description="变更时间 (UTC)")
    closed_at: datetime | None = ApiField(description="办结时间 (UTC)")
    assignee: str | None = ApiField(default=None, description="经办人; shown to officers only")
    deadlines: list[DeadlineView] = ApiField(default_factory=list, description="时限")
    actions: list[str] = ApiField(default_factory=list, description="可办事项")


class CasePage(Page):
    """A page of cases, the most urgent first."""

    cases: list[CaseView] = ApiField(description="办件")


class QueueCounts(BaseModel):
    """How much waits for an officer."""

    mine: int = ApiField(description="我的待办")
    agency: int = ApiField(description="本单位在办")
    overdue: int = ApiField(description="已逾期")
    due_today: int = ApiField(description="今日到期")


class TimelineEntry(BaseModel):
    """One step that was taken, as the audit events hold it."""

    at: datetime = ApiField(description="时间 (UTC)")
    action: str = ApiField(description="事项 e.g. repair.accept")
    actor: str | None = ApiField(description="操作人; an officer's name is the agency's own business")
    reason: str | None = ApiField(description="理由")
    version: int = ApiField(description="版本")


class Timeline(BaseModel):
    """Every step of a case, the oldest first, with its time-limits."""

    entries: list[TimelineEntry] = ApiField(description="步骤")
    deadlines: list[DeadlineView] = ApiField(description="时限")
