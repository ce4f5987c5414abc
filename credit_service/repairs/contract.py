"""What applicants and officers send about repair, and what they get back."""

from __future__ import annotations

from datetime import date
from typing import Literal
from uuid import UUID

from pydantic import BaseModel
from pydantic import Field as ApiField

from credit_service.identity.clean_text import CleanText
from credit_service.platform.contract import Strict
from credit_service.records.contract import DocumentNumber, Reason
from credit_service.workflows.contract import (
    Authorisation,
    Material,
    ReasonedStep,
    StepBody,
    Supplement,
    SupplementRequest,
    WindowFiling,
)
from credit_service.workflows.models import CaseRead


class CommitmentLetter(Strict):
    """信用承诺书 in the form the law asks for: the materials are true, and the consequences of a breach are accepted.

    Order 36, conditions (三). It is published as a commitment 信用修复型 when the repair is granted.
    """

    materials_are_true: Literal[True] = ApiField(description="承诺所提交材料真实有效")
    accepts_liability: Literal[True] = ApiField(description="愿意承担违反承诺的相应责任")
    content: CleanText = ApiField(min_length=10, max_length=4000, description="承诺内容")
    breach_liability: CleanText = ApiField(min_length=4, max_length=4000, description="违诺责任")
    signed_on: date = ApiField(description="签署日期")


class RepairContent(StepBody):
    """What an application for repair says."""

    materials: list[Material] = ApiField(default_factory=list, max_length=50, description="申请材料")
    commitment: CommitmentLetter | None = ApiField(default=None, description="信用承诺书")


class RepairApplication(RepairContent):
    """信用修复申请 for one or several records of one entity; each record becomes a case of its own."""

    record_ids: list[UUID] = ApiField(min_length=1, max_length=20, description="申请修复的记录")
    agent: Authorisation | None = ApiField(default=None, description="授权委托 Required of an agent")
    window: WindowFiling | None = ApiField(default=None, description="窗口代办 Required of an agency")
    submit: bool = ApiField(default=True, description="提交 false: keep as a draft")


class Grant(StepBody):
    """准予修复 The decision."""

    document_number: DocumentNumber


class Rejection(ReasonedStep):
    """不予修复 The decision and its reasons."""

    document_number: DocumentNumber


class Revocation(ReasonedStep):
    """撤销修复 Why a repair is taken back (Order 36; Order 44 art. 20)."""

    document_number: DocumentNumber
    ground: Literal["false-materials", "commitment-untrue", "commitment-not-kept"] = ApiField(
        description="提供虚假材料, 信用承诺严重不实, 故意不履行承诺"
    )
    evidence: Reason = ApiField(description="证据")


BODIES: dict[str, type[StepBody]] = {
    "submit": StepBody,
    "revise": RepairContent,
    "claim": StepBody,
    "request-supplement": SupplementRequest,
    "supplement": Supplement,
    "lapse": ReasonedStep,
    "accept": StepBody,
    "refuse": ReasonedStep,
    "review": StepBody,
    "extend": ReasonedStep,
    "propose": StepBody,
    "grant": Grant,
    "reject": Rejection,
    "confirm-push": ReasonedStep,
    "withdraw": StepBody,
    "revoke": Revocation,
}


class RepairReceipt(BaseModel):
    """The cases that an application became."""

    application_id: UUID = ApiField(description="申请标识")
    cases: list[CaseRead] = ApiField(description="办件, one for each record")


class ConditionView(BaseModel):
    """One condition of repair."""

    name: str = ApiField(description="条件代码")
    label_zh: str = ApiField(description="条件")
    label_en: str = ApiField(description="Condition")
    met: bool | None = ApiField(description="是否符合; empty: examined by the authority")
    from_on: date | None = ApiField(description="符合之日 The day on which it is or will be met, where time decides")
    why: str = ApiField(description="说明")


class Eligibility(BaseModel):
    """修复条件预检 Whether a record may be repaired now, condition by condition."""

    record_id: UUID = ApiField(description="记录标识")
    uscc: str = ApiField(description="统一社会信用代码")
    repairable: bool = ApiField(description="是否适用信用修复")
    why_not: list[str] = ApiField(description="不适用的原因")
    rule_version: str | None = ApiField(description="修复规则版本")
    rule_status: str | None = ApiField(description="核实情况 How well the rule is verified")
    eligible_from: date | None = ApiField(description="可申请修复日期")
    barred_until: date | None = ApiField(description="至该日前不得申请修复")
    may_apply_now: bool = ApiField(description="期限上可否申请 Neither time nor a bar stands in the way today")
    conditions: list[ConditionView] = ApiField(description="条件")
    materials: list[str] = ApiField(description="申请材料")
    handler_uscc: str | None = ApiField(description="办理单位 (谁认定、谁修复)")
    handler_name: str | None = ApiField(description="办理单位名称")
