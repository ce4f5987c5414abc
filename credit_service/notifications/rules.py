"""What is told to whom, when a notice counts as served, how often sending is tried again. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from credit_service.platform.errors import FieldError, ProblemType

CONTACT_CHANNEL_OFF = ProblemType(
    "contact-channel-off", 422, "本系统未开通该通知渠道", "This installation does not send over the channel"
)
VERIFICATION_FAILED = ProblemType(
    "contact-verification-failed", 422, "验证码错误或已过期", "The verification code is wrong or has expired"
)
NOTICE_NOT_PROVED = ProblemType(
    "notice-not-proved", 409, "尚无告知送达凭证", "No proof yet that the party was told what the law says it must be"
)
NOT_RETRYABLE = ProblemType("notification-not-failed", 409, "通知并未发送失败", "The notification has not failed")


class Template(StrEnum):
    """通知类型 What a notification is about; each has a Chinese and an English text in ``templates/``."""

    NOTICE_OF_INTENDED_DECISION = "notice-of-intended-decision"  # 拟作出决定告知书 (行政处罚法 art. 44)
    REPAIR_NOTICE = "repair-notice"  # 信用修复告知书 (国办发〔2025〕22号 九, 两书同达)
    REPAIR_ACCEPTED = "repair-accepted"  # 修复申请受理
    REPAIR_REFUSED = "repair-refused"  # 修复申请不予受理
    REPAIR_SUPPLEMENT_REQUESTED = "repair-supplement-requested"  # 补正通知
    REPAIR_EXTENDED = "repair-extended"  # 延长办理期限
    REPAIR_GRANTED = "repair-granted"  # 准予修复
    REPAIR_REJECTED = "repair-rejected"  # 不予修复
    REPAIR_REVOKED = "repair-revoked"  # 撤销修复
    OBJECTION_ACCEPTED = "objection-accepted"  # 异议受理
    OBJECTION_REFUSED = "objection-refused"  # 异议不予受理
    OBJECTION_SUPPLEMENT_REQUESTED = "objection-supplement-requested"  # 异议补正通知
    OBJECTION_FORWARDED = "objection-forwarded"  # 异议转办
    OBJECTION_DECIDED = "objection-decided"  # 异议处理结果
    OBJECTION_REVIEW_DECIDED = "objection-review-decided"  # 异议复核结果
    CASE_RECEIVED = "case-received"  # 新办件提醒
    DEADLINE_WARNING = "deadline-warning"  # 期限预警
    DEADLINE_OVERDUE = "deadline-overdue"  # 超期督办
    RECORD_CORRECTED = "record-corrected"  # 信息更正
    CONTACT_VERIFICATION = "contact-verification"  # 联系方式验证


_PARTIES = frozenset({"entity_name", "agency_name"})
VARIABLES: dict[Template, frozenset[str]] = {
    Template.NOTICE_OF_INTENDED_DECISION: _PARTIES
    | {"findings", "grounds", "legal_basis", "intended_content", "statement_until"},
    Template.REPAIR_NOTICE: frozenset({"notice"}),
    Template.REPAIR_ACCEPTED: _PARTIES | {"accepted_on", "decide_by"},
    Template.REPAIR_REFUSED: _PARTIES | {"reasons", "apply_again_from"},
    Template.REPAIR_SUPPLEMENT_REQUESTED: _PARTIES | {"materials", "supplement_by"},
    Template.REPAIR_EXTENDED: _PARTIES | {"reasons", "decide_by"},
    Template.REPAIR_GRANTED: _PARTIES | {"decided_on"},
    Template.REPAIR_REJECTED: _PARTIES | {"decided_on", "reasons", "apply_again_from"},
    Template.REPAIR_REVOKED: _PARTIES | {"decided_on", "reasons", "barred_until"},
    Template.OBJECTION_ACCEPTED: _PARTIES | {"accepted_on", "decide_by"},
    Template.OBJECTION_REFUSED: _PARTIES | {"reasons"},
    Template.OBJECTION_SUPPLEMENT_REQUESTED: _PARTIES | {"materials", "supplement_by"},
    Template.OBJECTION_FORWARDED: _PARTIES | {"forwarded_to", "decide_by"},
    Template.OBJECTION_DECIDED: _PARTIES | {"outcome", "reasons", "review_until"},
    Template.OBJECTION_REVIEW_DECIDED: _PARTIES | {"outcome", "reasons"},
    Template.CASE_RECEIVED: _PARTIES | {"matter", "received_on"},
    Template.DEADLINE_WARNING: frozenset({"agency_name", "stage", "due_on"}),
    Template.DEADLINE_OVERDUE: frozenset({"agency_name", "stage", "due_on", "days_overdue"}),
    Template.RECORD_CORRECTED: _PARTIES | {"document_number", "correction", "reasons"},
    Template.CONTACT_VERIFICATION: frozenset({"code", "valid_until"}),
}
"""What each text needs; ``case_reference`` is in all of them. Whoever owes a notification gives exactly these."""

ANNOUNCED = frozenset({"case_reference"})
"""What may be said outside the registry: an e-mail or a text message carries no more of a case than its reference."""
ANNOUNCED_TOO = {Template.CONTACT_VERIFICATION: frozenset({"code"})}


class Language(StrEnum):
    ZH = "zh"
    EN = "en"


class RecipientType(StrEnum):
    """Who is told."""

    ENTITY = "entity"  # 信用主体
    AGENCY = "agency"  # 单位


class Channel(StrEnum):
    """How a recipient is reached."""

    INBOX = "inbox"  # 站内信
    EMAIL = "email"  # 电子邮件
    SMS = "sms"  # 短信
    WEBHOOK = "webhook"  # 系统推送
    PAPER = "paper"  # 纸质送达


class NotificationState(StrEnum):
    """Where a notification stands."""

    OWED = "owed"  # 待送达
    SENT = "sent"  # 已发出: a carrier took it and cannot tell more
    DELIVERED = "delivered"  # 已送达: received, read or served
    FAILED = "failed"  # 发送失败
    CANCELLED = "cancelled"  # 已取消


class DeliveryState(StrEnum):
    """What became of one attempt."""

    SENDING = "sending"  # 发送中; found without a sender at work, it was interrupted
    SENT = "sent"  # 已发出
    DELIVERED = "delivered"  # 已送达
    FAILED = "failed"  # 失败; tried again where next_attempt_at is set


class ServiceMeans(StrEnum):
    """送达方式 How a notice reached the subject (民事诉讼法, chapter on service; 行政处罚法 art. 61)."""

    DIRECT = "direct"  # 直接送达
    LEFT = "left-in-place"  # 留置送达
    ELECTRONIC = "electronic"  # 电子送达
    POST = "post"  # 邮寄送达
    PUBLIC = "public-announcement"  # 公告送达
    ATTESTED = "attested-by-agency"  # 报送单位随批次声明已送达


PUBLIC_ANNOUNCEMENT = timedelta(days=30)
"""民事诉讼法 (2023) art. 95: thirty days after the announcement the document counts as served."""


def deemed_served_on(means: ServiceMeans, day: date) -> date:
    """The day from which a paper service counts.

    ``day`` is the day on the receipt: handed over (art. 88), left in place (art. 89), signed for (art. 91), or, for a
    public announcement, posted (art. 95). 行政处罚法 art. 61 sends administrative notices down these roads.
    """
    return day + PUBLIC_ANNOUNCEMENT if means is ServiceMeans.PUBLIC else day


@dataclass(frozen=True, slots=True)
class Proof:
    """Proof that a notice was served: when, how, and where it is recorded."""

    delivered_at: datetime
    means: ServiceMeans
    evidence: str


MOST_ATTEMPTS = 8
FIRST_DELAY = timedelta(minutes=1)
LONGEST_DELAY = timedelta(hours=12)


def delay_after(attempts: int, chance: float) -> timedelta:
    """How long to wait after the ``attempts``-th failure: 1, 3, 9 ... minutes, at most 12 hours, give or take a fifth.

    ``chance`` in [0, 1) spreads the retries of many notifications that failed together.
    """
    whole = min(FIRST_DELAY * 3 ** (attempts - 1), LONGEST_DELAY)
    spread: timedelta = whole * (0.8 + 0.4 * chance)
    return spread


@dataclass(frozen=True, slots=True)
class Track:
    """Where one contact point stands: its newest attempt, and when the next one is due."""

    state: DeliveryState
    next_attempt_at: datetime | None


def settle(tracks: Iterable[Track]) -> tuple[NotificationState, datetime | None]:
    """The state of a notification from where its contact points stand, and when sending goes on."""
    found = list(tracks)
    waiting = [track.next_attempt_at for track in found if track.next_attempt_at is not None]
    states = {track.state for track in found}
    if DeliveryState.DELIVERED in states or not found:
        state = NotificationState.DELIVERED  # without a contact point, the inbox is where it was to arrive
    elif DeliveryState.SENT in states:
        state = NotificationState.SENT
    else:
        state = NotificationState.OWED if waiting else NotificationState.FAILED
    return state, min(waiting, default=None)


def message_id(uscc: str, dedupe_key: str) -> str:
    """One name for a notification on every channel and in every attempt, by which a receiver knows a repeat."""
    return hashlib.sha256(f"{uscc}\n{dedupe_key}".encode()).hexdigest()[:40]


_EMAIL = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z][A-Za-z0-9-]{0,61}[A-Za-z0-9]"
)
_TELEPHONE = re.compile(r"\+[1-9][0-9]{6,14}")


def check_address(channel: Channel, address: str, pointer: str) -> list[FieldError]:
    """What is wrong with a contact point's address; which hosts a webhook may reach is judged when it is called."""
    if channel is Channel.EMAIL:
        good, rule = len(address) <= 254 and _EMAIL.fullmatch(address) is not None, "e-mail address (RFC 5321)"
    elif channel is Channel.SMS:
        good, rule = _TELEPHONE.fullmatch(address) is not None, "telephone number (E.164)"
    elif channel is Channel.WEBHOOK:
        good, rule = _is_webhook(address), "https address without user, password and fragment"
    else:
        good, rule = not address, "no address: the inbox is the recipient's own"
    return [] if good else [FieldError(pointer, rule)]


def _is_webhook(address: str) -> bool:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return False
    plain = address.isascii() and address.isprintable() and " " not in address
    whole = bool(parts.hostname) and port != 0 and parts.username is None and parts.password is None
    return plain and whole and not parts.fragment and (parts.scheme == "https" or is_loopback_http(address))


def is_loopback_http(address: str) -> bool:
    """Plain http to this very machine: for trials, where the installation allows it."""
    parts = urlsplit(address)
    return parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost")
