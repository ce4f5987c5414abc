"""What applicants and officers send with a step, whatever the workflow."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field as ApiField

from credit_service.identity.clean_text import CleanText, Reference
from credit_service.platform.contract import Strict
from credit_service.records.contract import Reason

MaterialKind = Literal["proof-of-performance", "commitment-letter", "others-by-rule", "evidence"]
Attachments = Annotated[
    list[UUID], ApiField(default_factory=list, max_length=50, description="附件标识 Attachments of the case")
]


class Material(Strict):
    """A document that goes with an application; ``attachment_ids`` name the files."""

    kind: MaterialKind = ApiField(description="材料类型")
    title: CleanText = ApiField(min_length=2, max_length=200, description="材料名称")
    dated_on: date | None = ApiField(
        default=None, description="材料载明的日期, for proof of performance the day on which it was performed"
    )
    attachment_ids: Attachments


class Authorisation(Strict):
    """授权委托 What entitles an agent to act for the applicant; it is kept with the case."""

    document_number: Reference = ApiField(min_length=1, max_length=128, description="授权委托书编号")
    scope: CleanText = ApiField(min_length=2, max_length=1000, description="授权事项和权限")
    authorised_on: date = ApiField(description="授权日期")
    valid_until: date = ApiField(description="授权有效期至 Last day")
    attachment_ids: Attachments


class WindowFiling(Strict):
    """窗口代办 An application that an agency takes in at a window on behalf of the applicant."""

    received_on: date = ApiField(description="收件日期")
    evidence: CleanText = ApiField(min_length=2, max_length=500, description="申请人身份和意思表示的凭证")


class StepBody(Strict):
    """A step that may be explained."""

    reason: Reason | None = ApiField(default=None, description="理由或者说明")


class ReasonedStep(StepBody):
    """A step that must be explained."""

    reason: Reason


class SupplementRequest(ReasonedStep):
    """要求补正 What is missing, as the reason, and until when."""

    supplement_by: date = ApiField(description="补正截止日 Last day; the time-limits stand still meanwhile")


class Supplement(StepBody):
    """补正 What was missing."""

    materials: list[Material] = ApiField(default_factory=list, max_length=20, description="补正材料")
