"""Contact points, notifications, and the record of every attempt to deliver one."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel
from pydantic import Field as ApiField
from sqlalchemy import JSON, Column, LargeBinary
from sqlmodel import Field, SQLModel

from credit_service.identity.clean_text import CleanText
from credit_service.notifications.rules import (
    Channel,
    DeliveryState,
    Language,
    NotificationState,
    RecipientType,
    ServiceMeans,
    Template,
)
from credit_service.platform.columns import code_column, instant_column, text_column, uscc_column
from credit_service.platform.contract import Strict
from credit_service.platform.paging import Page


class Contact(SQLModel, table=True):
    """A contact point 联系方式 of an entity or an agency. Removed ones stay: they are where notices were served."""

    __tablename__ = "contact"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    kind: str = Field(sa_column=code_column())
    channel: str = Field(sa_column=code_column())
    address: str = Field(sa_column=text_column())
    service_consent_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    verification_code: str | None = Field(default=None, sa_column=text_column(nullable=True))
    verification_until: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    verified_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    language: str = Field(default=Language.ZH.value, sa_column=code_column())
    created_at: datetime = Field(sa_column=instant_column())
    removed_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))


class Notification(SQLModel, table=True):
    """Something a recipient is to be told about a case of the entity ``uscc``, as rendered when it was owed.

    ``body`` is for the inbox; ``announcement`` is what leaves the registry. ``contact_id`` is set on the message that
    verifies a contact point, which goes there and into no inbox.
    """

    __tablename__ = "notification"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    id: UUID = Field(primary_key=True)
    case_type: str = Field(sa_column=code_column())
    case_id: UUID
    case_reference: str = Field(sa_column=text_column())
    template: str = Field(sa_column=code_column())
    language: str = Field(sa_column=code_column())
    recipient_type: str = Field(sa_column=code_column())
    recipient: str = Field(sa_column=uscc_column())
    agency_uscc: str | None = Field(default=None, sa_column=uscc_column(nullable=True))
    contact_id: UUID | None = None
    dedupe_key: str = Field(sa_column=code_column())
    subject: str = Field(sa_column=text_column())
    announcement: str = Field(sa_column=text_column())
    body: str = Field(sa_column=text_column())
    salt: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    state: str = Field(sa_column=code_column())
    next_attempt_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    retried_after: int = 0
    read_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))
    created_at: datetime = Field(sa_column=instant_column())
    changed_at: datetime = Field(sa_column=instant_column())


class NotificationDelivery(SQLModel, table=True):
    """One attempt over one channel, or one service on paper. ``counts_as_service``: the recipient had agreed to it."""

    __tablename__ = "notification_delivery"

    uscc: str = Field(sa_column=uscc_column(primary_key=True))
    notification_id: UUID = Field(primary_key=True)
    attempt: int = Field(primary_key=True)
    channel: str = Field(sa_column=code_column())
    contact_id: UUID | None = None
    state: str = Field(sa_column=code_column())
    at: datetime = Field(sa_column=instant_column())
    counts_as_service: bool = False
    detail: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSON, nullable=False))
    next_attempt_at: datetime | None = Field(default=None, sa_column=instant_column(nullable=True))


class ContactWrite(Strict):
    """A contact point as its owner states it."""

    channel: Literal["inbox", "email", "sms", "webhook"] = ApiField(description="渠道 Channel")
    address: str = ApiField(
        default="",
        max_length=2000,
        description="地址 E-mail address, telephone number (E.164), https address; none for inbox",
    )
    service_consent: bool = ApiField(
        default=False,
        description="同意电子送达并确认送达地址 Agrees to service here (行政处罚法 art. 61, 民事诉讼法 art. 90)",
    )


class ContactsWrite(Strict):
    """All of the owner's contact points; those left out are removed."""

    contacts: list[ContactWrite] = ApiField(max_length=10, description="联系方式 Contact points")
    language: Language | None = ApiField(
        default=None, description="通知语言 Language of the owner's notices; default: that of the request"
    )


class ContactRead(ContactWrite):
    """A contact point and where it stands."""

    id: UUID = ApiField(description="联系方式标识")
    verified_at: datetime | None = ApiField(description="验证时间 (UTC); nothing of a case is sent there before")
    service_consent_at: datetime | None = ApiField(description="同意电子送达的时间 (UTC)")
    signing_secret: str | None = ApiField(
        default=None, description="推送签名密钥 Standard Webhooks secret of a webhook (whsec_ and base64)"
    )


class ContactsRead(BaseModel):
    """The caller's own contact points."""

    contacts: list[ContactRead] = ApiField(description="联系方式 Contact points")
    language: Language = ApiField(description="通知语言 Language of the owner's notices")


class Verification(Strict):
    """The code that arrived at a contact point."""

    code: str = ApiField(min_length=1, max_length=40, description="验证码 Code")


class InboxItem(BaseModel):
    """A notification as its recipient reads it."""

    id: UUID = ApiField(description="通知标识")
    template: Template = ApiField(description="通知类型 Template")
    language: Language = ApiField(description="语言 Language")
    uscc: str = ApiField(description="案件所涉主体统一社会信用代码")
    case_type: str = ApiField(description="案件类型 Type of the case")
    case_id: UUID = ApiField(description="案件标识")
    case_reference: str = ApiField(description="案件编号 Reference of the case")
    agency_uscc: str | None = ApiField(description="发出单位统一社会信用代码 Issuing agency")
    subject: str = ApiField(description="标题")
    body: str = ApiField(description="正文")
    created_at: datetime = ApiField(description="发出时间 (UTC)")
    read_at: datetime | None = ApiField(description="阅读时间 (UTC)")


class InboxPage(Page):
    """A page of the inbox, the newest first."""

    notifications: list[InboxItem] = ApiField(description="通知 Notifications")
    unread: int = ApiField(description="未读数 Unread in the whole inbox")


class DeliveryRead(BaseModel):
    """One attempt or service."""

    attempt: int = ApiField(description="次序")
    channel: Channel = ApiField(description="渠道")
    state: DeliveryState = ApiField(description="状态")
    at: datetime = ApiField(description="时间 (UTC)")
    counts_as_service: bool = ApiField(description="是否计为送达 Whether it proves service")
    detail: dict[str, Any] = ApiField(description="说明 Carrier's answer, or means and evidence of a paper service")
    next_attempt_at: datetime | None = ApiField(description="下次发送时间 (UTC)")


class NotificationRead(BaseModel):
    """A notification as those answerable for it see it: without its text."""

    id: UUID = ApiField(description="通知标识")
    uscc: str = ApiField(description="案件所涉主体统一社会信用代码")
    template: Template = ApiField(description="通知类型")
    case_type: str = ApiField(description="案件类型")
    case_id: UUID = ApiField(description="案件标识")
    case_reference: str = ApiField(description="案件编号")
    recipient_type: RecipientType = ApiField(description="接收方类型")
    recipient: str = ApiField(description="接收方统一社会信用代码")
    agency_uscc: str | None = ApiField(description="发出单位统一社会信用代码")
    state: NotificationState = ApiField(description="状态")
    next_attempt_at: datetime | None = ApiField(description="下次发送时间 (UTC)")
    read_at: datetime | None = ApiField(description="阅读时间 (UTC)")
    created_at: datetime = ApiField(description="发出时间 (UTC)")
    deliveries: list[DeliveryRead] = ApiField(description="送达记录 Attempts and services")


class NotificationPage(Page):
    """A page of notifications, the newest first."""

    notifications: list[NotificationRead] = ApiField(description="通知 Notifications")


class PaperService(Strict):
    """纸质送达 A service on paper, recorded by the agency that owed the notice."""

    means: Literal["direct", "left-in-place", "post", "public-announcement"] = ApiField(
        description="送达方式 直接、留置、邮寄、公告 (民事诉讼法 arts. 88, 89, 91, 95)"
    )
    served_on: date = ApiField(description="送达日期 Day on the receipt; of an announcement, the day it was posted")
    evidence: CleanText = ApiField(
        min_length=2, max_length=500, pattern=r"^[^\x00]*$", description="送达凭证 Reference of the proof of service"
    )

    @property
    def service_means(self) -> ServiceMeans:
        return ServiceMeans(self.means)
