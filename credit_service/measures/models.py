"""Applications of measures, their case feedback, and batch statistics: append-only."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel
from pydantic import Field as ApiField
from sqlalchemy import JSON, BigInteger, Column, Numeric
from sqlmodel import Field, SQLModel

from credit_service.identity.clean_text import Reference
from credit_service.measures.rules import ApplicationState, Outcome
from credit_service.platform.columns import code_column, instant_column, text_column, uscc_column
from credit_service.platform.contract import Strict
from credit_service.platform.paging import Page


class MeasureApplication(SQLModel, table=True):
    """A measure taken against, or for, an entity on the ground of one record.

    Nothing here is ever changed: where it stands follows from the record, from time and from ``ends_at``, the first
    instant after its term. ``follows_record``: the measure has no term of its own statute and ends with the publicity.
    """

    __tablename__ = "measure_application"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    record_id: UUID
    measure: str = Field(sa_column=code_column())
    scenario: str = Field(sa_column=code_column())
    agency_uscc: str = Field(sa_column=uscc_column())
    department: str = Field(sa_column=text_column())
    content: str = Field(sa_column=text_column())
    finding: str | None = Field(default=None, sa_column=text_column(nullable=True))
    amount: Decimal | None = Field(default=None, sa_column=Column(Numeric(20, 2)))
    begins_on: date
    ends_on: date | None = None
    ends_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    follows_record: bool
    law: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    edition: str = Field(sa_column=text_column())
    applied_by: str = Field(sa_column=text_column())
    applied_at: datetime = Field(sa_column=instant_column())


class MeasureFeedback(SQLModel, table=True):
    """案例反馈: what came of an application, as often as there is something to tell."""

    __tablename__ = "measure_feedback"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    application_id: UUID = Field(primary_key=True)
    id: UUID = Field(primary_key=True)
    content: str = Field(sa_column=text_column())
    explanation: str | None = Field(default=None, sa_column=text_column(nullable=True))
    amount: Decimal | None = Field(default=None, sa_column=Column(Numeric(20, 2)))
    department: str = Field(sa_column=text_column())
    publisher: str | None = Field(default=None, sa_column=text_column(nullable=True))
    made_by: str = Field(sa_column=text_column())
    made_at: datetime = Field(sa_column=instant_column())


class MeasureLifting(SQLModel, table=True):
    """That an application is lifted was entered in the audit events; it was lifted before."""

    __tablename__ = "measure_lifting"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    application_id: UUID = Field(primary_key=True)
    reason: str = Field(sa_column=code_column())
    announced_at: datetime = Field(sa_column=instant_column())


class MeasureStatistics(SQLModel, table=True):
    """批次统计反馈: how many rows of a batch an agency received and dealt with."""

    __tablename__ = "measure_statistics"

    agency_uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    source: str = Field(sa_column=text_column())
    kind: str = Field(sa_column=code_column())
    year: int
    category: str = Field(sa_column=text_column())
    batch: str | None = Field(default=None, sa_column=text_column(nullable=True))
    received: int = Field(sa_column=Column(BigInteger, nullable=False))
    processed: int = Field(sa_column=Column(BigInteger, nullable=False))
    made_by: str = Field(sa_column=text_column())
    made_at: datetime = Field(sa_column=instant_column())


Code = Annotated[str, ApiField(max_length=40, description="统一社会信用代码")]
Scenario = Annotated[str, ApiField(max_length=64, description="应用场景 Scenario of the catalogue")]
Amount = Annotated[
    Decimal | None,
    ApiField(ge=0, max_digits=20, decimal_places=2, description="涉及金额(元) Amount concerned, yuan"),
]
Department = Annotated[Reference, ApiField(min_length=2, max_length=200, description="反馈部门 Department that acts")]


class MeasureCheck(Strict):
    """What is asked before a decision."""

    uscc: Code
    scenario: Scenario


class LegalBasisView(BaseModel):
    """A citation, and how well it was verified."""

    document: str = ApiField(description="文件代码")
    title_zh: str = ApiField(description="文件名称")
    number: str | None = ApiField(description="文号")
    article: str | None = ApiField(description="条款")
    status: str = ApiField(description="核实状态 verified, secondary, wording, memory, inference")


class MeasureView(BaseModel):
    """A measure that a record leads to, with its law."""

    measure: str = ApiField(description="措施代码")
    name_zh: str = ApiField(description="措施名称")
    name_en: str = ApiField(description="Name")
    kind: Literal["A", "B", "C"] = ApiField(description="类别 A 减损权益或增加义务, B 公共管理措施, C 市场主体自主措施")
    direction: str = ApiField(description="punishment 惩戒, incentive 激励")
    outcome: Outcome = ApiField(description="required 应当, optional 可以, none 异议期间暂停")
    established: bool = ApiField(description="事实已具备; 否则由实施单位认定 Otherwise the implementer finds")
    fact: str = ApiField(description="触发的事实")
    implementer: str = ApiField(description="实施单位")
    target: str | None = ApiField(description="惩戒对象")
    effect: str = ApiField(description="法律规定 required 应当、不得, optional 可以")
    effect_status: str = ApiField(description="该规定的核实状态")
    status: str = ApiField(description="措施的核实状态")
    minimum_term: str | None = ApiField(description="最短期限 ISO 8601")
    maximum_term: str | None = ApiField(description="最长期限 ISO 8601")
    until: date | None = ApiField(description="终止日期 First day on which it no longer applies")
    paused: bool = ApiField(description="异议期间暂停")
    legal_basis: list[LegalBasisView] = ApiField(description="依据")
    record_id: UUID = ApiField(description="所依据的记录")
    item_code: str = ApiField(description="记录事项")
    document_number: str = ApiField(description="决定文书号")
    decided_on: date = ApiField(description="决定日期")
    authority_name: str = ApiField(description="决定机关")
    disputed_since: datetime | None = ApiField(description="异议处理中, 自 An objection to the record is open (UTC)")


class MeasureCheckView(BaseModel):
    """The answer for one instant."""

    uscc: str = ApiField(description="统一社会信用代码")
    name: str = ApiField(description="名称")
    scenario: str = ApiField(description="应用场景")
    holds_at: datetime = ApiField(description="时点 (UTC)")
    punishment: Outcome = ApiField(description="惩戒 required 应当采取, optional 可以采取, none 无")
    incentive: Outcome = ApiField(description="激励")
    measures: list[MeasureView] = ApiField(description="措施及依据")


class ApplicationWrite(Strict):
    """A measure as the agency takes it."""

    uscc: Code
    scenario: Scenario
    measure: str = ApiField(max_length=64, description="措施代码")
    record_id: UUID = ApiField(description="关联信用数据 Record it rests on")
    content: str = ApiField(min_length=2, max_length=2000, description="执行措施内容 What is done")
    department: Department
    amount: Amount = None
    finding: str | None = ApiField(
        default=None,
        min_length=4,
        max_length=2000,
        description="认定说明 How the implementer found that the target is met; required when facts only point to it",
    )
    begins_on: date | None = ApiField(default=None, description="开始日期 First day; default: today")
    ends_on: date | None = ApiField(
        default=None, description="截止日期 First day after the term; required where the statute sets a range"
    )


class FeedbackWrite(Strict):
    """A case's feedback, with the fields of the national template."""

    content: str = ApiField(min_length=2, max_length=2000, description="执行措施内容")
    explanation: str | None = ApiField(default=None, max_length=2000, description="奖惩说明")
    amount: Amount = None
    department: Department
    publisher: Reference | None = ApiField(default=None, max_length=200, description="发布单位")


class FeedbackView(FeedbackWrite):
    """Feedback as it stands."""

    id: UUID = ApiField(description="反馈标识")
    made_at: datetime = ApiField(description="反馈时间 (UTC)")


class ApplicationView(BaseModel):
    """An application and where it stands now."""

    id: UUID = ApiField(description="实施标识")
    uscc: str = ApiField(description="主体标识")
    entity_name: str = ApiField(description="主体名称")
    item_code: str | None = ApiField(description="红黑名单或事项代码 Item of the record")
    measure: str = ApiField(description="关联措施")
    direction: str = ApiField(description="奖惩类型 punishment 惩戒, incentive 激励")
    scenario: str = ApiField(description="应用场景")
    record_id: UUID = ApiField(description="关联信用数据")
    disputed_since: datetime | None = ApiField(description="异议处理中, 自 An objection to the record is open (UTC)")
    agency_uscc: str = ApiField(description="实施单位统一社会信用代码")
    department: str = ApiField(description="反馈部门")
    content: str = ApiField(description="执行措施内容")
    finding: str | None = ApiField(description="认定说明")
    amount: Decimal | None = ApiField(description="涉及金额(元)")
    begins_on: date = ApiField(description="开始日期")
    ends_on: date | None = ApiField(description="截止日期")
    state: ApplicationState = ApiField(
        description="applied 实施中, paused 暂停, suspended 临时屏蔽期间停止, lifted 已解除"
    )
    lifted_because: str | None = ApiField(description="解除原因 State of the record that lifts it, or expired")
    law: dict[str, Any] = ApiField(description="依据 The measure as it was when it was taken")
    applied_at: datetime = ApiField(description="登记时间 (UTC)")
    feedback: list[FeedbackView] = ApiField(description="案例反馈")


class ApplicationPage(Page):
    """A page of applications, the newest first."""

    applications: list[ApplicationView] = ApiField(description="措施实施情况")


class StatisticsWrite(Strict):
    """Batch statistics as an agency reports them."""

    source: Reference = ApiField(min_length=2, max_length=200, description="信息来源")
    kind: Literal["incentive", "punishment"] = ApiField(description="反馈类型")
    year: int = ApiField(ge=2014, le=2100, description="年度")
    category: Reference = ApiField(min_length=2, max_length=200, description="信息类别")
    batch: Reference | None = ApiField(default=None, max_length=100, description="批次号")
    received: int = ApiField(ge=0, le=10**12, description="接收条数")
    processed: int = ApiField(ge=0, le=10**12, description="实际处理条数")


class StatisticsView(StatisticsWrite):
    """Batch statistics as they stand."""

    id: UUID = ApiField(description="标识")
    agency_uscc: str = ApiField(description="反馈单位统一社会信用代码")
    made_at: datetime = ApiField(description="反馈时间 (UTC)")


class StatisticsPage(Page):
    """A page of batch statistics, the newest first."""

    statistics: list[StatisticsView] = ApiField(description="批次统计反馈")
