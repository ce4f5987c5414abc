"""What applicants and officers send about objections."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from pydantic import Field as ApiField

from credit_service.identity.clean_text import CleanText, Reference
from credit_service.objections.rules import Ground
from credit_service.platform.contract import Strict
from credit_service.records.contract import Reason
from credit_service.workflows.contract import (
    Authorisation,
    Material,
    ReasonedStep,
    StepBody,
    Supplement,
    SupplementRequest,
    WindowFiling,
)


class ObjectionApplication(ReasonedStep):
    """异议申请 against one record, by its subject or by an affected third party."""

    record_id: UUID = ApiField(description="异议所涉记录")
    ground: Ground = ApiField(description="异议事由")
    interest: Reason | None = ApiField(
        default=None, description="与该记录的利害关系 How a third party is affected; required of one"
    )
    materials: list[Material] = ApiField(default_factory=list, max_length=50, description="证明材料")
    agent: Authorisation | None = ApiField(default=None, description="授权委托 Required of an agent")
    window: WindowFiling | None = ApiField(default=None, description="窗口代办 Required of an agency")


class RecordChange(Strict):
    """更正内容: only what changes. ``facts`` replace single facts; null takes one away."""

    entity_name: Reference | None = ApiField(default=None, min_length=2, max_length=200, description="行政相对人名称")
    decided_on: date | None = ApiField(default=None, description="决定日期")
    valid_until: date | None = ApiField(default=None, description="有效期至")
    legal_basis: CleanText | None = ApiField(default=None, min_length=2, max_length=4000, description="依据")
    facts: dict[str, Any] = ApiField(default_factory=dict, description="事项字段")


class CorrectionDecision(ReasonedStep):
    """更正 The decision: what was wrong, and what is right."""

    correction: RecordChange = ApiField(description="更正内容")


class Answer(ReasonedStep):
    """来源单位反馈 What the source found, as the reason."""

    mistaken: bool = ApiField(description="来源数据是否有误")


BODIES: dict[str, type[StepBody]] = {
    "claim": StepBody,
    "request-supplement": SupplementRequest,
    "supplement": Supplement,
    "lapse": ReasonedStep,
    "accept": StepBody,
    "refuse": ReasonedStep,
    "forward": StepBody,
    "extend": ReasonedStep,
    "answer": Answer,
    "recall": ReasonedStep,
    "concur": ReasonedStep,
    "correct": CorrectionDecision,
    "remove": ReasonedStep,
    "uphold": ReasonedStep,
    "request-review": ReasonedStep,
    "review-correct": CorrectionDecision,
    "review-remove": ReasonedStep,
    "review-uphold": ReasonedStep,
    "withdraw": StepBody,
}
