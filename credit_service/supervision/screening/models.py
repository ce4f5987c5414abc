"""What a caller of the screening sends and gets back."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic import Field as ApiField

from credit_service.accounts.rules import Audience
from credit_service.entities.ranking import Normalisation

MOST_SUBJECTS = 10_000


class Status(StrEnum):
    """What the registry can say of one screened text. Only a code identifies; a name has candidates at most."""

    KNOWN = "known"  # 已登记
    ARCHIVED = "archived"  # 已注销并归档
    UNKNOWN = "unknown"  # 未登记
    INVALID = "invalid"  # 不是统一社会信用代码
    REFUSED = "refused"  # 自然人身份证件号码, 不受理
    CANDIDATES = "candidates"  # 名称有候选主体
    NO_CANDIDATE = "no-candidate"  # 名称无候选主体


Text = Annotated[str, ApiField(max_length=200)]


class ScreeningRequest(BaseModel):
    """Up to 10,000 codes and names together."""

    model_config = ConfigDict(extra="forbid")

    codes: list[Text] = ApiField(default_factory=list, description="统一社会信用代码 Codes, however typed")
    names: list[Text] = ApiField(default_factory=list, description="名称 Names; they are given candidates, never hits")
    scenario: str | None = ApiField(
        default=None,
        max_length=64,
        description="应用场景 Scenario of the catalogue (procurement, bidding, licence, subsidy, honours ...)",
    )


class Hit(BaseModel):
    """A standing record of a list, or one that leads to a measure in the scenario."""

    list: str = ApiField(description="目录事项代码 Catalogue item; its names are in ``lists``")
    record_id: UUID = ApiField(description="记录标识")
    version: int = ApiField(description="记录版本")
    document_number: str = ApiField(description="决定文书号")
    decided_on: date = ApiField(description="决定日期")
    authority_name: str = ApiField(description="决定机关")
    severity: str | None = ApiField(description="严重程度")
    publicity_until: datetime | None = ApiField(description="公示截止 (UTC)")
    disputed_since: datetime | None = ApiField(description="异议处理中, 自 (UTC)")


class AppliedMeasure(BaseModel):
    """A measure that a record leads to in the scenario; its law is in ``measures``."""

    measure: str = ApiField(description="措施代码")
    record_id: UUID = ApiField(description="所依据的记录")
    outcome: str = ApiField(description="required 应当, optional 可以, none 异议期间暂停")
    established: bool = ApiField(description="事实已具备; 否则由实施单位认定 Whether the facts alone establish it")
    fact: str = ApiField(description="触发的事实 What in the record leads to it")
    until: date | None = ApiField(description="终止日期 First day on which it no longer applies")
    paused: bool = ApiField(description="异议期间暂停")


class NameCandidate(BaseModel):
    """An entity whose present or former name is the screened one, however typed."""

    uscc: str = ApiField(description="统一社会信用代码")
    matched_name: str = ApiField(description="匹配的名称")
    matched_former: bool = ApiField(description="是否曾用名")
    normalisation: Normalisation = ApiField(description="匹配方式")
    per_mille: int = ApiField(description="相近程度, 千分之")


class ScreenedSubject(BaseModel):
    """One screened text. What is empty is left out; a refused text is not repeated."""

    index: int = ApiField(description="序号, 自0起, 先代码后名称 Position in the request, codes first")
    status: Status = ApiField(description="结果")
    code: str | None = ApiField(default=None, description="统一社会信用代码, 规范写法")
    name: str | None = ApiField(default=None, description="名称 As registered, or as screened")
    registration_status: str | None = ApiField(default=None, description="登记状态")
    rule: str | None = ApiField(default=None, description="未通过的规则 Rule that an invalid or refused text breaks")
    flags: list[str] = ApiField(
        default_factory=list, description="标识 check-digit-17, check-digit-18, disputed, shielded (监管人员可见)"
    )
    hits: list[Hit] = ApiField(default_factory=list, description="命中的名单和记录")
    measures: list[AppliedMeasure] = ApiField(default_factory=list, description="该场景适用的措施")
    candidates: list[NameCandidate] = ApiField(default_factory=list, description="名称候选主体, 不等于主体相同")


class ScreeningResult(BaseModel):
    """What is signed, in canonical JSON (RFC 8785)."""

    id: UUID = ApiField(description="核查标识")
    holds_at: datetime = ApiField(description="时点 The one instant that the whole answer holds for (UTC)")
    audience: Audience = ApiField(description="受众")
    scenario: str | None = ApiField(description="应用场景")
    catalogue: dict[str, str] = ApiField(description="目录版本和摘要 Edition and digest of the catalogue")
    counts: dict[str, int] = ApiField(description="各结果数量 Subjects by status, and with hits")
    lists: dict[str, Any] = ApiField(description="涉及的名单 Items that hits name")
    measures: dict[str, Any] = ApiField(description="涉及的措施及依据 Measures with legal basis and implementer")
    subjects: list[ScreenedSubject] = ApiField(description="逐个结果")


class SignedScreening(BaseModel):
    """A result with its digest and signature."""

    result: ScreeningResult = ApiField(description="核查结果")
    digest: str = ApiField(description="SHA-256 of the result's canonical JSON, hexadecimal")
    jws: str = ApiField(description="签名 Compact JWS (ES256) whose claims name the digest and the instant")
