"""A proceeding 办理中案件: what an agency intends to decide and what the subject says to it."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic import Field as ApiField
from sqlalchemy import JSON, Column, LargeBinary
from sqlmodel import Field, SQLModel

from credit_service.identity.clean_text import CleanText, Reference
from credit_service.notifications.rules import ServiceMeans
from credit_service.platform.columns import code_column, instant_column, text_column, uscc_column
from credit_service.platform.contract import Strict
from credit_service.platform.days import day_of
from credit_service.platform.paging import Page
from credit_service.records.contract import DocumentNumber, Reason, RecordReceipt, RecordSubmission


class ProceedingState(StrEnum):
    """Where a proceeding stands."""

    DRAFT = "draft"  # 拟定
    NOTICE_SERVED = "notice-served"  # 已告知
    STATEMENT_RECEIVED = "statement-received"  # 已陈述申辩
    DECIDED = "decided"  # 已决定
    ABANDONED = "abandoned"  # 不予处理


class Proceeding(SQLModel, table=True):
    """One intended decision about one entity. It is no record: nobody but the agency and the subject is shown it."""

    __tablename__ = "proceeding"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    item_code: str = Field(sa_column=code_column())
    agency_uscc: str = Field(sa_column=uscc_column())
    opened_by: str = Field(sa_column=text_column())
    state: str = Field(sa_column=code_column())
    content: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))
    notice: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    statement_until: date | None = None
    statement: dict[str, Any] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))
    response: str | None = Field(default=None, sa_column=text_column(nullable=True))
    record_id: UUID | None = None
    reason: str | None = Field(default=None, sa_column=text_column(nullable=True))
    salt: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    version: int
    opened_at: datetime = Field(sa_column=instant_column())
    changed_at: datetime = Field(sa_column=instant_column())

    @property
    def reference(self) -> str:
        """案件编号: all that is told of it outside the registry."""
        return f"GZ-{day_of(self.opened_at):%Y%m%d}-{str(self.id)[-8:].upper()}"


class ProceedingOpen(Strict):
    """What an agency intends to decide, with facts, grounds and basis (行政处罚法 art. 44)."""

    item_code: str = ApiField(max_length=64, description="目录事项代码 Catalogue item")
    uscc: str = ApiField(max_length=40, description="统一社会信用代码")
    entity_name: Reference = ApiField(min_length=2, max_length=200, description="当事人名称 Name of the entity")
    findings: CleanText = ApiField(min_length=4, max_length=8000, description="事实 Facts found")
    grounds: CleanText = ApiField(min_length=4, max_length=8000, description="理由 Grounds")
    legal_basis: CleanText = ApiField(min_length=2, max_length=4000, description="依据 Provisions")
    intended_content: CleanText = ApiField(
        min_length=2, max_length=4000, description="拟作出的决定内容 Intended decision"
    )


class NoticeOfIntent(Strict):
    """告知书 The notice of the intended decision: as the agency served it, or for the registry to serve.

    Without day, means and evidence the registry serves it, and its own proof is asked for before the decision.
    """

    document_number: DocumentNumber
    served_on: date | None = ApiField(default=None, description="送达日期")
    means: ServiceMeans | None = ApiField(default=None, description="送达方式")
    evidence: CleanText | None = ApiField(default=None, min_length=2, max_length=500, description="送达凭证")
    statement_until: date = ApiField(description="陈述申辩截止日 Last day for the statement and defence")


class Statement(Strict):
    """陈述申辩 What the subject says; recorded by the agency where it was made at the window or by letter."""

    text: CleanText = ApiField(min_length=2, max_length=8000, description="陈述申辩内容")


class Decision(Strict):
    """The decision that ends a proceeding: the record, and the answer to what the subject said."""

    record: RecordSubmission = ApiField(description="决定形成的记录 The decision as a record")
    response: CleanText | None = ApiField(
        default=None, min_length=4, max_length=8000, description="对陈述申辩的复核意见 Required after a statement"
    )


class Abandonment(Strict):
    """不予处理 Why nothing is decided."""

    reason: Reason


class ProceedingView(BaseModel):
    """A proceeding as its agency and its subject see it."""

    id: UUID = ApiField(description="案件标识")
    uscc: str = ApiField(description="统一社会信用代码")
    item_code: str = ApiField(description="目录事项代码")
    agency_uscc: str = ApiField(description="办理机关统一社会信用代码")
    state: ProceedingState = ApiField(description="状态")
    content: dict[str, Any] = ApiField(description="拟处理内容 findings, grounds, legal_basis, intended_content")
    notice: dict[str, Any] | None = ApiField(description="告知 Notice as served, or as sent_on by the registry")
    statement_until: date | None = ApiField(description="陈述申辩截止日")
    statement: dict[str, Any] | None = ApiField(description="陈述申辩")
    response: str | None = ApiField(description="复核意见")
    record_id: UUID | None = ApiField(description="决定形成的记录 Record of the decision")
    reason: str | None = ApiField(description="不予处理理由")
    version: int = ApiField(description="版本")
    opened_at: datetime = ApiField(description="立案时间 (UTC)")
    changed_at: datetime = ApiField(description="变更时间 (UTC)")
    actions: list[str] = ApiField(default_factory=list, description="可办事项 What the caller may do now")


class ProceedingPage(Page):
    """A page of proceedings, the newest first."""

    proceedings: list[ProceedingView] = ApiField(description="案件 Proceedings")


class DecisionReceipt(BaseModel):
    """What became of a decision."""

    proceeding: ProceedingView = ApiField(description="案件")
    record: RecordReceipt = ApiField(description="记录回执 Receipt of the record")
