"""What agencies send and get back about records."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel
from pydantic import Field as ApiField

from credit_service.identity.clean_text import CleanText, Reference
from credit_service.identity.document_number import normalised
from credit_service.notifications.rules import Language, NotificationState, ServiceMeans
from credit_service.platform.contract import Strict
from credit_service.records.models import NoticeKind, Outcome

DocumentNumber = Annotated[
    Reference,
    AfterValidator(normalised),
    ApiField(min_length=1, max_length=128, description="决定文书号 Number of the deciding document"),
]
"""A number in one form, whichever brackets its year was typed in: by it records and decisions are found again."""

Reason = Annotated[CleanText, ApiField(min_length=4, max_length=2000, description="理由 Reason")]


class Notice(Strict):
    """A notice 告知书 served on the subject, and what proves it."""

    kind: NoticeKind = ApiField(description="告知书类型")
    document_number: DocumentNumber | None = ApiField(default=None, description="告知书文号")
    served_on: date = ApiField(description="送达日期 Day of service (Asia/Shanghai)")
    means: ServiceMeans = ApiField(description="送达方式")
    evidence: CleanText = ApiField(
        min_length=2, max_length=500, description="送达凭证 Reference of the proof of service"
    )


class Consent(Strict):
    """上级机关同意 The next higher authority's consent to a listing or a removal (Order 44 art. 22)."""

    authority_uscc: str = ApiField(max_length=40, description="同意机关统一社会信用代码")
    authority_name: Reference = ApiField(min_length=2, max_length=200, description="同意机关")
    document_number: DocumentNumber
    consented_on: date = ApiField(description="同意日期")


class PublicityGrounds(Strict):
    """Grounds for showing what is not shown by default, or for showing it on: good only where the rule allows it."""

    necessary_because: Reason | None = ApiField(
        default=None, description="确有必要公示的理由 Why a minor matter must be published (Order 36 chapter 2)"
    )
    uncorrected_because: Reason | None = ApiField(
        default=None, description="届满未纠正继续公示的理由 Why it stays published at its maximum (国办发〔2025〕22号)"
    )


class RecordSubmission(Strict):
    """One record as an agency 数据来源单位 submits it."""

    item_code: str = ApiField(
        max_length=64, description="目录事项代码 Catalogue item", examples=["administrative-penalty"]
    )
    uscc: str = ApiField(max_length=40, description="统一社会信用代码 Unified social credit code of the entity")
    entity_name: Reference = ApiField(min_length=2, max_length=200, description="行政相对人名称 Name of the entity")
    document_number: DocumentNumber
    decided_on: date = ApiField(description="决定日期 Decision date (Asia/Shanghai)")
    valid_until: date | None = ApiField(default=None, description="有效期至 End of validity; 2099-12-31 is open-ended")
    authority_uscc: str = ApiField(max_length=40, description="决定机关统一社会信用代码 Code of the deciding authority")
    authority_name: Reference = ApiField(min_length=2, max_length=200, description="决定机关 Deciding authority")
    legal_basis: str = ApiField(min_length=2, max_length=4000, description="依据 Provision the decision cites")
    notices: list[Notice] = ApiField(
        default_factory=list, max_length=10, description="告知送达 Notices served on the subject, with their evidence"
    )
    consent: Consent | None = ApiField(
        default=None, description="上级机关同意 Consent of the next higher authority, where the rule asks for it"
    )
    publicity_grounds: PublicityGrounds | None = ApiField(default=None, description="公示的特别理由")
    facts: dict[str, Any] = ApiField(
        default_factory=dict, description="事项字段 The item's own fields (see the catalogue)"
    )


class RecordReceipt(BaseModel):
    """What became of a submission."""

    outcome: Outcome = ApiField(description="处理结果 stored, unchanged or corrected")
    id: UUID = ApiField(description="记录标识 Record id")
    uscc: str = ApiField(description="统一社会信用代码")
    document_number: str = ApiField(description="决定文书号 As stored: the year stands in 〔〕, a case's in （）")
    version: int = ApiField(description="版本 Version of the record")
    warnings: list[str] = ApiField(default_factory=list, description="提示 Warnings, e.g. name-differs")


class NoticesServed(Strict):
    """Proof of notice that comes after the decision was submitted: the agency's own, the registry's, or both."""

    notices: list[Notice] = ApiField(default_factory=list, max_length=10, description="告知送达")
    by_registry: bool = ApiField(
        default=False, description="本系统送达 The repair notice that the registry sent, by the registry's own proof"
    )


class RepairNoticeSent(BaseModel):
    """The repair notice as it was sent to the subject."""

    notification_id: UUID = ApiField(description="通知标识 See /v1/notifications")
    state: NotificationState = ApiField(description="送达状态")
    language: Language = ApiField(description="语言")
    sent_at: datetime = ApiField(description="发出时间 (UTC)")


class AnnulmentBasis(Strict):
    """What annulled the decision: reconsideration, a judgment, the authority's own review (行政处罚法 art. 48)."""

    kind: Literal["reconsideration", "judgment", "own-review", "supervision"] = ApiField(
        description="行政复议, 判决, 自行撤销, 上级监督"
    )
    document_number: DocumentNumber
    authority_name: Reference = ApiField(min_length=2, max_length=200, description="作出机关")
    decided_on: date = ApiField(description="作出日期; the three working days to withdraw run from here")


class Correction(Strict):
    """更正 What the record should say, and why."""

    reason: Reason
    basis: AnnulmentBasis | None = ApiField(
        default=None, description="变更依据 The decision that changed it, if one did; three working days run from it"
    )
    record: RecordSubmission = ApiField(description="更正后的记录 The record as it should be")


class Annulment(Strict):
    """撤销 The decision behind a record no longer holds."""

    reason: Reason
    basis: AnnulmentBasis = ApiField(description="撤销依据 What annulled it")


class Withdrawal(Strict):
    """撤回 The source takes back what it should not have submitted."""

    reason: Reason


class Removal(Strict):
    """移出名单 A listing ends before its term, by a decision of its own."""

    reason: Reason
    document_number: DocumentNumber
    decided_on: date = ApiField(description="移出决定日期")
    consent: Consent | None = ApiField(default=None, description="上级机关同意, where the rule asks for it")


class Shielding(Strict):
    """临时屏蔽 A court has approved a reorganisation plan or a settlement (国办发〔2025〕22号 七, Order 36)."""

    reason: Reason
    court_name: Reference = ApiField(min_length=2, max_length=200, description="裁定法院")
    ruling_number: DocumentNumber
    ruled_on: date = ApiField(description="裁定日期")
    declaration: CleanText = ApiField(
        min_length=4, max_length=2000, description="声明 Shown with the file to everybody"
    )


class Unshielding(Strict):
    """解除屏蔽 The plan was carried out or has failed."""

    reason: Reason
    outcome: Literal["performed", "failed"] = ApiField(description="执行完毕, 未能执行")
    document_number: DocumentNumber
    decided_on: date = ApiField(description="裁定日期")


class Erasure(Strict):
    """删除内容 Why an archived record is forgotten."""

    reason: Reason
