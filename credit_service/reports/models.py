"""The API models of reports."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel
from pydantic import Field as ApiField

from credit_service.accounts.rules import Audience
from credit_service.entities.models import DeclarationView


class Wording(BaseModel):
    """One text in both languages."""

    zh: str = ApiField(description="中文")
    en: str = ApiField(description="English")


class Mark(Wording):
    """A mark on a record 标注."""

    code: str = ApiField(description="disputed 异议处理中, repaired 已修复, shielded 临时屏蔽")
    since: datetime | None = ApiField(description="自何时起 (UTC)")


class ReportSection(BaseModel):
    """A section of the report 栏目."""

    code: str = ApiField(description="栏目代码 Section, as in the catalogue")
    title: Wording = ApiField(description="栏目名称")
    records: list[dict[str, Any]] = ApiField(
        description="记录 Members of the profile's records, with `marks` 标注, the newest decisions first"
    )
    note: Wording | None = ApiField(description="无记录时的说明 Of an empty section")


class AccessesOfAgency(BaseModel):
    """How often an agency was shown the file for a purpose."""

    agency_uscc: str | None = ApiField(description="查询单位统一社会信用代码")
    agency_name: str | None = ApiField(description="查询单位")
    purpose: str = ApiField(description="查询目的")
    accesses: int = ApiField(description="次数")
    last_at: datetime = ApiField(description="最近一次 (UTC)")


class CreditReport(BaseModel):
    """What is signed, in canonical JSON (RFC 8785)."""

    number: str = ApiField(description="报告编号 yyyyMMddHHmmss (Asia/Shanghai) and 8 characters")
    title: Wording = ApiField(description="报告名称")
    version: str = ApiField(description="报告版本 Version of the layout")
    issued_at: datetime = ApiField(description="生成时间, 即信息时点 (UTC) The instant that everything holds for")
    issuer: str = ApiField(description="出具单位 Address of the registry")
    catalogue_edition: str = ApiField(description="目录版本")
    audience: Audience = ApiField(description="受众 Whose eyes it is for")
    registration: dict[str, Any] = ApiField(description="基础信息 Registration data, as in the profile")
    trust_incentive_subject: bool = ApiField(description="守信激励对象")
    distrust_punishment_subject: bool = ApiField(description="失信惩戒对象")
    declarations: list[DeclarationView] = ApiField(description="重整、和解期间的声明 While records are shielded")
    summary: dict[str, int] = ApiField(description="分栏目记录数 Records by section")
    complete: bool = ApiField(description="是否包含全部记录 False beyond 10,000 records; the rest is paged")
    disputed: int = ApiField(description="异议处理中的记录数")
    sections: list[ReportSection] = ApiField(description="栏目")
    accesses: list[AccessesOfAgency] | None = ApiField(
        description="被查询情况 Who was shown the file, for the subject only; a marked investigation when it may"
    )
    notes: list[Wording] = ApiField(description="报告说明")
    proof: dict[str, Any] | None = ApiField(
        description="登记信息的日志证明 With ?proof=true; each record then has proofs as well"
    )


class SignedReport(BaseModel):
    """A report with its digest and signature."""

    report: CreditReport = ApiField(description="信用报告")
    digest: str = ApiField(description="SHA-256 of the report's canonical JSON, hexadecimal")
    jws: str = ApiField(description="签名 Compact JWS (ES256) whose claims name the digest, the number and the subject")
