"""Time-limits of stages, and the notices that the calendar consists of."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import NamedTuple
from uuid import UUID

from pydantic import BaseModel
from pydantic import Field as ApiField
from sqlalchemy import ARRAY, Column, ColumnElement, Date, Integer, Time, and_, func, or_
from sqlmodel import Field, SQLModel, col

from credit_service.deadlines.rules import Period, Run
from credit_service.platform.columns import code_column, instant_column, text_column, uscc_column
from credit_service.platform.contract import Strict


class Stage(NamedTuple):
    """What is limited: a stage of a case of the entity ``uscc``."""

    uscc: str
    case_type: str
    case_id: UUID
    name: str


class StageDeadline(SQLModel, table=True):
    """The time-limit 时限 of one stage, from its start to its end.

    It counts ``amount`` of ``unit`` from ``counts_since``; a resumption begins a new count with what was left.
    ``due_at`` is the first instant too late, empty while paused (``paused_at`` and ``remaining`` are set then).
    ``attention_at`` is when a warning or the escalation falls due; ``calendar`` the version of the calendar it was
    computed by. A closed one says how (met or cancelled) and when.
    """

    __tablename__ = "stage_deadline"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    case_type: str = Field(sa_column=code_column())
    case_id: UUID
    stage: str = Field(sa_column=code_column())
    reference: str = Field(sa_column=text_column())
    agency_uscc: str = Field(sa_column=uscc_column())
    rule_version: str = Field(sa_column=code_column())
    legal_basis: str = Field(sa_column=text_column())
    status: str = Field(sa_column=code_column())
    rule_unit: str = Field(sa_column=code_column())
    extension: int | None = None
    cut_off: time | None = Field(default=None, sa_column=Column(Time, nullable=True))
    warn_before: list[int] = Field(sa_column=Column(ARRAY(Integer), nullable=False))
    started_at: datetime = Field(sa_column=instant_column())
    counts_since: datetime = Field(sa_column=instant_column())
    amount: int
    unit: str = Field(sa_column=code_column())
    due_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    provisional: bool = False
    calendar: int = 0
    paused_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    remaining: int | None = None
    extended_by: int | None = None
    extended_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    attention_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    warned: int | None = None
    escalated_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    closed_as: str | None = Field(default=None, sa_column=code_column(nullable=True))
    closed_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    version: int = 0

    @property
    def run(self) -> Run:
        """The stretch that is being counted."""
        return Run(self.counts_since, self.amount, self.unit, self.cut_off)

    def over(self, now: datetime) -> bool:
        """Whether it was over by ``now``, or when it was closed if that was sooner."""
        moment = now if self.closed_at is None else min(now, self.closed_at)
        return self.due_at is not None and moment >= self.due_at

    @classmethod
    def was_over(cls, now: datetime) -> ColumnElement[bool]:
        """Those that are over, or were when they were closed: ``rules.became_overdue`` in the terms of an index."""
        due, closed = col(cls.due_at), col(cls.closed_at)
        return and_(or_(closed.is_(None), due <= closed), due <= now)

    @classmethod
    def was_over_in(cls, period: Period) -> ColumnElement[bool]:
        """Of those, what was over in the period, as ``rules.punctuality`` says."""
        lasted = func.coalesce(col(cls.closed_at), period.now)
        return and_(col(cls.due_at) < period.until, lasted >= period.since)


class CalendarNotice(SQLModel, table=True):
    """A notice on days of rest and make-up working days 节假日安排通知. Append-only: a later one wins for its days."""

    __tablename__ = "calendar_notice"

    number: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    id: UUID
    document: str = Field(sa_column=text_column())
    announces: int | None = None
    rest: list[date] = Field(sa_column=Column(ARRAY(Date), nullable=False))
    worked: list[date] = Field(sa_column=Column(ARRAY(Date), nullable=False))
    entered_by: str = Field(sa_column=text_column())
    entered_at: datetime = Field(sa_column=instant_column())


class NoticeWrite(Strict):
    """A notice as an administrator enters it: a whole year's, or a change of single days."""

    document: str = ApiField(
        min_length=2, max_length=200, pattern=r"^[^\x00]*$", description="通知文号和标题 The notice's number and title"
    )
    year: int | None = ApiField(
        default=None,
        ge=2004,
        le=2200,
        description="通知所安排的年份 Year that it arranges in full; empty: single days only",
    )
    rest: list[date] = ApiField(default_factory=list, max_length=100, description="放假日期 Days of rest")
    worked: list[date] = ApiField(default_factory=list, max_length=100, description="调休上班日期 Make-up working days")


class NoticeRead(NoticeWrite):
    """A notice as it was entered, and what it changed."""

    number: int = ApiField(description="序号 Later numbers win")
    entered_by: str = ApiField(description="录入人")
    entered_at: datetime = ApiField(description="录入时间 (UTC)")
    recomputed: int | None = ApiField(default=None, description="重新计算的时限数 Told once, to who enters it")


class NoticeList(BaseModel):
    """Every notice that was entered."""

    notices: list[NoticeRead] = ApiField(description="通知")


class CalendarDay(BaseModel):
    """One day."""

    day: date = ApiField(description="日期")
    working: bool = ApiField(description="是否工作日 Working day")
    provisional: bool = ApiField(description="尚未公布, 暂按周末推算 Not announced yet: by weekends")
    notice: str | None = ApiField(description="录入的通知 The entered notice that says so; empty: as published before")


class CalendarRead(BaseModel):
    """The working-day calendar of a span of days."""

    time_zone: str = ApiField(default="Asia/Shanghai", description="时区")
    days: list[CalendarDay] = ApiField(description="日历")


class Timeliness(BaseModel):
    """How punctual an agency was in a stage."""

    agency_uscc: str = ApiField(description="办理单位统一社会信用代码")
    agency_name: str = ApiField(description="办理单位名称")
    case_type: str = ApiField(description="办件类型 repair, objection, record, ...")
    stage: str = ApiField(description="环节")
    stage_label: str = ApiField(description="环节名称")
    met_in_time: int = ApiField(description="按时办结数 Met in time, in the period")
    met_late: int = ApiField(description="超期办结数 Overdue in the period, met since")
    open_overdue: int = ApiField(description="超期未办结数 Overdue in the period, still open")
    cancelled_overdue: int = ApiField(description="超期后终止数 Overdue in the period, cancelled since")
    share_in_time: str = ApiField(
        description="按时率 met_in_time / (met_in_time + met_late + open_overdue + cancelled_overdue), four decimals"
    )


class TimelinessRead(BaseModel):
    """按时办理情况 Share on time by agency and stage."""

    since: date = ApiField(description="起 First day")
    until: date = ApiField(description="止 First day no longer counted")
    stages: list[Timeliness] = ApiField(description="各单位各环节")
