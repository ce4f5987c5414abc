"""What the inspection routes take and give."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel
from pydantic import Field as ApiField

from credit_service.identity.clean_text import CleanText, Reference
from credit_service.platform.contract import Strict
from credit_service.platform.paging import Page
from credit_service.records.contract import DocumentNumber
from credit_service.supervision.inspections.rules import Result

Code = Annotated[str, ApiField(pattern=r"^[a-z0-9][a-z0-9-]{1,63}$", description="抽查事项代码 Item")]


class ItemWrite(Strict):
    """An item of the agency's list of random inspections."""

    code: Code
    name: Reference = ApiField(min_length=2, max_length=200, description="抽查事项")
    legal_basis: CleanText = ApiField(min_length=2, max_length=1000, description="检查依据")


class ItemRead(ItemWrite):
    """An item with its agency."""

    agency_uscc: str = ApiField(description="单位统一社会信用代码")


class ItemList(BaseModel):
    """随机抽查事项清单."""

    items: list[ItemRead] = ApiField(description="抽查事项")


class InspectorWrite(Strict):
    """An officer of the pool. Nothing is kept of the person but a name and a staff number."""

    staff_number: str = ApiField(pattern=r"^[A-Za-z0-9-]{1,16}$", description="执法证号或工号 Staff number")
    name: Reference = ApiField(min_length=2, max_length=50, description="姓名")
    items: list[Code] = ApiField(default_factory=list, max_length=100, description="可检查事项; empty: every item")


class InspectorRead(InspectorWrite):
    """An officer of the pool, for the agency itself."""

    id: UUID = ApiField(description="标识")
    active: bool = ApiField(description="在岗")


class InspectorList(BaseModel):
    """执法检查人员名录库."""

    inspectors: list[InspectorRead] = ApiField(description="检查人员")


class ConflictWrite(Strict):
    """An entity that an officer must not inspect."""

    uscc: str = ApiField(max_length=40, description="统一社会信用代码")
    reason: CleanText = ApiField(min_length=2, max_length=200, description="回避事由")


class Quota(Strict):
    """Of a class: which share is drawn, and how often an entity may be drawn in a year by all agencies together."""

    ratio: str = ApiField(pattern=r"^(0(\.\d{1,6})?|1(\.0{1,6})?)$", description="抽查比例 0 to 1")
    max_per_year: int | None = ApiField(default=None, ge=1, le=366, description="年度最高频次; empty: no limit")


class PlanWrite(Strict):
    """A plan to be committed to later. A class that is not named is not drawn."""

    title: Reference = ApiField(min_length=2, max_length=200, description="计划名称")
    year: int = ApiField(ge=2020, le=2100, description="计划年度")
    items: list[Code] = ApiField(min_length=1, max_length=50, description="抽查事项")
    participants: list[str] = ApiField(default_factory=list, max_length=20, description="联合抽查单位 (部门联合双随机)")
    division: str = ApiField(
        default="", pattern=r"^(\d{2}(\d{2}(\d{2})?)?)?$", description="行政区划前缀，默认本机关辖区"
    )
    industry: str = ApiField(default="", pattern=r"^([A-T](\d{2})?)?$", description="行业门类或大类")
    quotas: dict[Literal["A", "B", "C", "D"], Quota] = ApiField(description="各类别抽查比例和频次")
    class_a_reason: CleanText | None = ApiField(
        default=None, min_length=4, max_length=500, description="抽取A类主体的理由 Why class A is not left in peace"
    )
    inspectors_each: int = ApiField(default=2, ge=1, le=10, description="每户检查人员数")


class PlanRead(PlanWrite):
    """A plan."""

    id: UUID = ApiField(description="计划标识")
    agency_uscc: str = ApiField(description="单位统一社会信用代码")
    state: Literal["draft", "committed", "drawn"] = ApiField(description="状态")
    version: int = ApiField(description="版本")
    created_at: datetime = ApiField(description="制定时间 (UTC)")


class PlanPage(Page):
    """The agency's plans, the newest first."""

    plans: list[PlanRead] = ApiField(description="抽查计划")


class Beacon(Strict):
    """The public value that will be part of the seed: from whom, which one, and when it will be known."""

    source: Reference = ApiField(min_length=2, max_length=200, description="公开随机值来源, e.g. 中国福利彩票双色球")
    round: Reference = ApiField(min_length=1, max_length=100, description="期号 Which value of the source")
    due_at: AwareDatetime = ApiField(description="公布时间 When it becomes known; later than the commitment")


class CommitmentWrite(Strict):
    """To fix plan, lists and secret before the public value is known."""

    beacon: Beacon = ApiField(description="公开随机值")


class Commitment(BaseModel):
    """What was fixed before the draw, as digests."""

    schema_: str = ApiField(alias="schema", description="格式")
    beacon: dict[str, str] = ApiField(description="公开随机值来源、期号、公布时间")
    committed_at: str = ApiField(description="承诺时间 (UTC)")
    material_sha256: str = ApiField(description="抽取名单摘要")
    openings_sha256: str = ApiField(description="名单与主体对应关系摘要")
    secret_sha256: str = ApiField(description="秘密值摘要")
    digest: str = ApiField(description="承诺摘要 SHA-256 of the canonical JSON of the other members")


class CommitmentReceipt(BaseModel):
    """What the commitment fixed."""

    plan_id: UUID = ApiField(description="计划标识")
    entities: int = ApiField(description="名单主体数")
    quota: int = ApiField(description="抽取户数")
    inspectors: int = ApiField(description="检查人员数")
    commitment: Commitment = ApiField(description="承诺")


class DrawWrite(Strict):
    """The public value, as its source published it."""

    public_value: str = ApiField(min_length=1, max_length=500, description="公开随机值")


class DrawReceipt(BaseModel):
    """What was drawn."""

    plan_id: UUID = ApiField(description="计划标识")
    drawn: int = ApiField(description="抽取户数")
    excluded: int = ApiField(description="因达到年度频次排除的户数")


class DrawDocument(BaseModel):
    """The published draw: all that is needed to repeat it (docs/inspection-draw.md)."""

    schema_: str = ApiField(alias="schema", description="格式")
    plan_id: UUID = ApiField(description="计划标识")
    material: dict[str, Any] = ApiField(description="抽取名单 Plan, strata of opaque handles, inspectors, conflicts")
    commitment: Commitment = ApiField(description="承诺")
    reveal: dict[str, Any] | None = ApiField(description="揭示 Secret, public value, those excluded; after the draw")
    drawn: list[dict[str, Any]] | None = ApiField(description="抽取结果 By handle; after the draw")


class PublishedDraw(BaseModel):
    """A draw that was committed to: what it is about, and whether it has been made."""

    plan_id: UUID = ApiField(description="计划标识")
    agency_uscc: str = ApiField(description="单位统一社会信用代码")
    participants: list[str] = ApiField(description="联合抽查单位")
    title: str = ApiField(description="计划名称")
    year: int = ApiField(description="计划年度")
    commitment: Commitment = ApiField(description="承诺")
    drawn_at: datetime | None = ApiField(description="抽取时间 (UTC); empty: not drawn yet")


class PublishedDraws(Page):
    """抽取公示目录. One that stays undrawn after its public value is known can be seen here."""

    draws: list[PublishedDraw] = ApiField(description="抽取, the newest commitment first")


class InspectionRead(BaseModel):
    """An entity drawn, for the agencies of the plan."""

    id: UUID = ApiField(description="检查标识")
    plan_id: UUID = ApiField(description="计划标识")
    uscc: str = ApiField(description="统一社会信用代码")
    handle: str = ApiField(description="名单代号 Its handle in the published lists")
    inspectors: list[str] = ApiField(description="检查人员标识")
    state: Literal["assigned", "recorded"] = ApiField(description="状态")
    version: int = ApiField(description="版本")
    result: Result | None = ApiField(description="检查结果")
    inspected_on: date | None = ApiField(description="检查日期")
    record_id: UUID | None = ApiField(description="检查结果记录标识")


class InspectionPage(Page):
    """The entities drawn by a plan."""

    inspections: list[InspectionRead] = ApiField(description="检查")


class ResultWrite(Strict):
    """What the inspectors found; it becomes a published record."""

    result: Result = ApiField(description="检查结果")
    inspected_on: date = ApiField(description="检查日期")
    document_number: DocumentNumber
    remarks: CleanText | None = ApiField(default=None, max_length=2000, description="备注")


class FollowUp(Strict):
    """The penalty or listing that followed from a negative result."""

    record_id: UUID = ApiField(description="处罚或列入记录标识")


class PublishedResult(BaseModel):
    """A published result."""

    uscc: str = ApiField(description="统一社会信用代码")
    result: Result = ApiField(description="检查结果")
    inspected_on: date = ApiField(description="检查日期")
    record_id: UUID = ApiField(description="记录标识")


class ResultPage(Page):
    """The results of a draw that are shown now."""

    results: list[PublishedResult] = ApiField(description="检查结果")
