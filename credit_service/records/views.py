"""What each audience is shown of a record; the same members as in the rendered profile."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from pydantic import Field as ApiField

from credit_service.accounts.rules import Audience
from credit_service.catalogue.models import Catalogue
from credit_service.platform.days import day_of
from credit_service.platform.paging import Page
from credit_service.records import rules
from credit_service.records.duties import Standing
from credit_service.records.history import PastRecord
from credit_service.records.models import Record, State


class DutyView(BaseModel):
    """A duty of the agency about the record; each destination has its own."""

    duty: str = ApiField(description="义务 submit or publish")
    destination: str = ApiField(description="公示去向 registry, credit-china, enterprise-publicity-system, ...")
    rule_version: str = ApiField(description="适用规则版本")
    legal_basis: list[str] = ApiField(description="依据 Documents and articles")
    status: str = ApiField(description="依据核实程度 verified, secondary, memory, inference")
    due_on: date = ApiField(description="期限最后一日 Last day in time")
    provisional: bool = ApiField(description="超出已公布节假日, 暂定 Rests on days not announced yet")
    done_on: date | None = ApiField(description="履行日期; empty: not done here")
    standing: Standing = ApiField(description="履行情况")


class OpenedField(BaseModel):
    """A field of a version: shown with its salt, or its digest alone."""

    name: str = ApiField(description="字段 Field")
    salt: str | None = ApiField(default=None, description="盐 Hexadecimal; of a field that is shown")
    value: str | None = ApiField(default=None, description="值 Canonical JSON text; of a field that is shown")
    digest: str | None = ApiField(default=None, description="摘要 SHA-256, hexadecimal; of a field that is not shown")


class VersionProof(BaseModel):
    """A version of the record as the log holds it; `credit-service verify` checks it offline."""

    version: int = ApiField(description="版本 Version")
    event: str = ApiField(description="审计事件原文 The log's entry, canonical JSON")
    opening: list[OpenedField] = ApiField(description="字段承诺 SHA-256 over their digests is the event's after")
    tlog_proof: str = ApiField(description="离线可验证的证明 C2SP tlog-proof of the event")


class RecordView(BaseModel):
    """A record 信用信息记录. The members after ``facts`` are shown to agencies, regulators and the subject only."""

    id: UUID = ApiField(description="记录标识 Record id")
    uscc: str = ApiField(description="统一社会信用代码")
    entity_name: str = ApiField(description="行政相对人名称")
    item_code: str = ApiField(description="目录事项代码 Catalogue item")
    item_name_zh: str = ApiField(description="事项名称")
    item_name_en: str = ApiField(description="事项英文名称 Item name")
    polarity: str = ApiField(description="性质 trust, distrust or neutral")
    list_colour: str | None = ApiField(description="名单 red, black or none")
    section: str = ApiField(description="报告栏目 Report section")
    document_number: str = ApiField(description="决定文书号")
    decided_on: date = ApiField(description="决定日期")
    valid_until: date | None = ApiField(description="有效期至")
    authority_uscc: str = ApiField(description="决定机关统一社会信用代码")
    authority_name: str = ApiField(description="决定机关")
    source_name: str = ApiField(description="数据来源单位")
    legal_basis: str = ApiField(description="依据")
    severity: str | None = ApiField(description="失信程度 minor, general or serious")
    publicity_from: datetime | None = ApiField(description="公示开始 (UTC)")
    publicity_until: datetime | None = ApiField(description="公示截止 (UTC); empty: no rule ends it")
    repair_eligible_from: date | None = ApiField(description="可申请修复日期")
    disputed_since: datetime | None = ApiField(description="异议处理中 An objection is being examined since (UTC)")
    facts: dict[str, Any] = ApiField(description="事项字段(社会公开)")
    visible_to_public: bool | None = ApiField(default=None, description="是否公示中")
    state: str | None = ApiField(default=None, description="状态")
    state_from: datetime | None = ApiField(default=None, description="状态起始时间 (UTC)")
    state_reason: str | None = ApiField(default=None, description="状态变更理由")
    version: int | None = ApiField(default=None, description="版本")
    recorded_at: datetime | None = ApiField(default=None, description="入库时间 (UTC)")
    changed_at: datetime | None = ApiField(default=None, description="变更时间 (UTC)")
    source_uscc: str | None = ApiField(default=None, description="数据来源单位统一社会信用代码")
    rule_version: str | None = ApiField(default=None, description="适用规则版本")
    explanation: list[dict[str, str]] | None = ApiField(default=None, description="认定说明 Why this severity and term")
    shared_facts: dict[str, Any] | None = ApiField(default=None, description="事项字段(政务共享)")
    restricted_facts: dict[str, Any] | None = ApiField(default=None, description="事项字段(授权查询)")
    proofs: list[VersionProof] | None = ApiField(default=None, description="日志证明 With ?proof=true")
    duties: list[DutyView] | None = ApiField(
        default=None,
        description="报送和公示义务 Of the single record as it stands now: what is due by when, by which rule",
    )


class ListEntry(RecordView):
    """An entry of a red or black list 名单条目."""

    entered_on: date = ApiField(description="列入日期 Day of the listing decision")
    removed_on: date | None = ApiField(description="移出日期 First day no longer listed; empty: listed")
    removal_reason: str | None = ApiField(description="移出理由 Why it is no longer listed")


class ListPage(Page):
    """A page of list entries, the newest decisions first."""

    records: list[ListEntry] = ApiField(description="名单条目 Entries")


class RecordPage(Page):
    """A page of records, the newest decisions first."""

    records: list[RecordView] = ApiField(description="记录 Records")


class ListSummary(BaseModel):
    """A red or black list of the catalogue."""

    code: str = ApiField(description="目录事项代码 Catalogue item")
    name_zh: str = ApiField(description="名称")
    name_en: str = ApiField(description="Name")
    colour: str = ApiField(description="红名单或黑名单 red or black")


class ListIndex(BaseModel):
    """Every list of the catalogue."""

    lists: list[ListSummary] = ApiField(description="名单 Lists")


_PUBLIC = (
    "id",
    "uscc",
    "entity_name",
    "item_code",
    "document_number",
    "decided_on",
    "valid_until",
    "authority_uscc",
    "authority_name",
    "source_name",
    "legal_basis",
    "severity",
    "publicity_from",
    "publicity_until",
    "repair_eligible_from",
    "disputed_since",
)
_SHARED = (
    "state",
    "state_from",
    "state_reason",
    "version",
    "recorded_at",
    "changed_at",
    "source_uscc",
    "rule_version",
    "explanation",
    "shared_facts",
)
public_members, shared_members = _PUBLIC, _SHARED


def view(catalogue: Catalogue, record: Record | PastRecord, audience: Audience, now: datetime) -> dict[str, Any]:
    """The members of ``record`` that ``audience`` may see, as of ``now``."""
    item = catalogue.latest(record.item_code)
    shown: dict[str, Any] = {name: getattr(record, name) for name in _PUBLIC}
    shown |= {
        "item_name_zh": item.name_zh,
        "item_name_en": item.name_en,
        "polarity": item.polarity,
        "list_colour": item.list_colour,
        "section": item.section,
        "facts": record.public_facts,
    }
    if audience is not Audience.PUBLIC:
        shown |= {name: getattr(record, name) for name in _SHARED}
        shown["visible_to_public"] = rules.is_visible(record.state, record.publicity_from, record.publicity_until, now)
    if audience in (Audience.REGULATOR, Audience.SUBJECT):
        shown["restricted_facts"] = record.restricted_facts
    return shown


TERM_ENDED = "公示期届满 the term has ended"
_REMOVED = frozenset({State.REMOVED, State.REPAIRED, State.ANNULLED, State.WITHDRAWN})


def list_view(catalogue: Catalogue, record: Record | PastRecord, audience: Audience, now: datetime) -> dict[str, Any]:
    """As ``view``, with when the entity was entered and removed, and why."""
    shown = view(catalogue, record, audience, now) | {
        "entered_on": record.decided_on,
        "removed_on": None,
        "removal_reason": None,
    }
    if record.state in _REMOVED:
        # An annulled listing reaches back to its beginning in law; it left the list when that was entered.
        shown |= {"removed_on": day_of(record.changed_at), "removal_reason": record.state_reason}
    elif record.publicity_until is not None and record.publicity_until <= now:
        shown |= {"removed_on": day_of(record.publicity_until), "removal_reason": TERM_ENDED}
    return shown
