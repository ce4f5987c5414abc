"""What the class routes take and give."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel
from pydantic import Field as ApiField

from credit_service.platform.contract import Strict
from credit_service.platform.paging import Page

RiskClass = Literal["A", "B", "C", "D"]
PREFIX = r"^(\d{2}(\d{2}(\d{2})?)?)?$"


class RuleSetDraft(Strict):
    """A rule set to be tried out and activated: an object, or the text of a YAML or JSON file."""

    document: dict[str, Any] | str = ApiField(description="分类规则 By schemas/supervision/rule-set.schema.json")
    division: str | None = ApiField(
        default=None,
        pattern=PREFIX,
        description="适用行政区划前缀 Whose entities it is for; empty text: the whole registry; left out: all that the"
        " caller's agency answers for",
    )


class RuleSetSummary(BaseModel):
    """A rule set without its rules."""

    id: UUID = ApiField(description="规则标识")
    name: str = ApiField(description="规则名称")
    edition: str = ApiField(description="版本号 The version its document states")
    state: Literal["draft", "active", "retired"] = ApiField(description="状态 draft, active or retired")
    digest: str = ApiField(description="摘要 SHA-256 of the canonical document")
    agency_uscc: str = ApiField(description="提出单位统一社会信用代码")
    division: str = ApiField(description="适用行政区划前缀 empty: the whole registry")
    proposed_by: str = ApiField(description="提出人")
    proposed_at: datetime = ApiField(description="提出时间 (UTC)")
    approved_by: str | None = ApiField(description="批准人 A second person")
    activated_at: datetime | None = ApiField(description="生效时间 (UTC)")
    retirement_proposed_by: str | None = ApiField(description="停用提出人")
    retirement_proposed_at: datetime | None = ApiField(description="停用提出时间 (UTC)")
    retired_by: str | None = ApiField(description="停用批准人 A second person; empty: another rule set took its place")


class RuleSetRead(RuleSetSummary):
    """A rule set with its document."""

    document: dict[str, Any] = ApiField(description="分类规则")


class RuleSetPage(Page):
    """Rule sets, the newest first."""

    rule_sets: list[RuleSetSummary] = ApiField(description="分类规则")


class Activation(BaseModel):
    """A rule set that came into force or out of it, and the run that computes the classes of its division."""

    rule_set: RuleSetSummary = ApiField(description="分类规则")
    run_id: UUID = ApiField(description="全量计算标识")


class WhatIf(Strict):
    """What to try a rule set on. Without times: on the registry as it is."""

    division: str = ApiField(default="", pattern=PREFIX, description="行政区划前缀; empty: all")
    as_of: str | None = ApiField(default=None, max_length=40, description="法律时点 A day or an RFC 3339 instant")
    known_at: str | None = ApiField(default=None, max_length=40, description="登记时点 A day or an instant")


class Transition(BaseModel):
    """How many entities went from one class to another."""

    before: RiskClass | None = ApiField(description="原类别; empty: none")
    after: RiskClass = ApiField(description="新类别")
    entities: int = ApiField(description="主体数")


class RunRead(BaseModel):
    """A pass over the population, and for a what-if what it has found so far."""

    id: UUID = ApiField(description="标识")
    kind: Literal["full", "what-if"] = ApiField(description="类型 full or what-if")
    rule_set_id: UUID = ApiField(description="规则标识")
    baseline_id: UUID | None = ApiField(description="对照规则标识 The rule set in force at its start")
    division: str = ApiField(description="行政区划前缀")
    as_of: datetime | None = ApiField(description="法律时点 (UTC)")
    known_at: datetime | None = ApiField(description="登记时点 (UTC)")
    state: Literal["open", "finished", "superseded"] = ApiField(description="状态")
    started_at: datetime = ApiField(description="开始时间 (UTC)")
    finished_at: datetime | None = ApiField(description="完成时间 (UTC)")
    chunks: int = ApiField(description="分段数 Ranges")
    done: int = ApiField(description="已完成分段数")
    entities: int = ApiField(description="已计算主体数")
    changed: int = ApiField(description="变动主体数 Written by a full run; moved by a what-if")
    before: dict[str, int] = ApiField(description="原分布 Entities by class before (what-if)")
    after: dict[str, int] = ApiField(description="新分布 Entities by class after (what-if)")
    transitions: list[Transition] = ApiField(description="类别迁移 (what-if)")


class Move(BaseModel):
    """An entity whose class a rule set would change."""

    uscc: str = ApiField(description="统一社会信用代码")
    before: RiskClass | None = ApiField(description="原类别")
    after: RiskClass = ApiField(description="新类别")
    points_before: int | None = ApiField(description="原分值")
    points_after: int = ApiField(description="新分值")


class MovePage(Page):
    """Moved entities in the order of their codes."""

    moves: list[Move] = ApiField(description="变动主体")


class RuleSetUsed(BaseModel):
    """The rule set of an explanation."""

    id: UUID = ApiField(description="规则标识")
    name: str = ApiField(description="规则名称")
    edition: str = ApiField(description="版本号")
    division: str = ApiField(description="适用行政区划前缀 empty: the whole registry")
    status: str = ApiField(description="规则性质 example, trial or adopted")
    title_zh: str = ApiField(description="名称")
    digest: str = ApiField(description="摘要 SHA-256 of the canonical document")


class RecordUsed(BaseModel):
    """A record as the rules saw it."""

    id: UUID = ApiField(description="记录标识")
    item_code: str = ApiField(description="目录事项代码")
    item_name_zh: str = ApiField(description="事项名称")
    severity: str | None = ApiField(description="失信程度")
    decided_on: date = ApiField(description="决定日期")
    counts_until: datetime | None = ApiField(description="计入截止 (UTC); empty: no end is known")


class RecordLeftOut(RecordUsed):
    """A record that does not count, and why."""

    reason: str = ApiField(description="不计入的原因 repaired, annulled, publicity-ended, ...")


class ContributionRead(BaseModel):
    """What one rule added."""

    rule: str = ApiField(description="规则代码")
    label_zh: str = ApiField(description="规则说明")
    label_en: str = ApiField(description="Rule")
    points: int = ApiField(description="分值")
    at_least_class: RiskClass | None = ApiField(description="不优于该类别")
    records: list[UUID] = ApiField(description="依据记录 The records it looked at")


class EntityFacts(BaseModel):
    """The entity as the rules saw it."""

    division: str = ApiField(description="行政区划代码")
    industry: str = ApiField(description="行业大类 GB/T 4754")
    category: str = ApiField(description="机构类别")
    registration_status: str = ApiField(description="登记状态")
    established_on: date | None = ApiField(description="成立日期")


class Without(BaseModel):
    """The result had one record been repaired or annulled."""

    record_id: UUID = ApiField(description="记录标识")
    risk_class: RiskClass = ApiField(description="类别")
    points: int = ApiField(description="分值")


class ByTime(BaseModel):
    """A class that time alone brings."""

    at: datetime = ApiField(description="时间 (UTC)")
    risk_class: RiskClass = ApiField(description="类别")


class OutlookRead(BaseModel):
    """What would change the class."""

    without: list[Without] = ApiField(description="逐条修复后的结果 Each adverse record by itself")
    together: list[UUID] = ApiField(description="修复后可提升类别的最少记录 Records whose repair gives a better class")
    together_class: RiskClass | None = ApiField(description="修复上述记录后的类别")
    better_at: ByTime | None = ApiField(description="期限届满后的提升 When time alone gives a better class")
    next_at: ByTime | None = ApiField(description="下一次变动 When time alone gives another class")


class Explanation(BaseModel):
    """信用风险分类结果说明 Why an entity is in its class. For supervision only; not a public evaluation."""

    uscc: str = ApiField(description="统一社会信用代码")
    risk_class: RiskClass = ApiField(description="信用风险类别")
    points: int = ApiField(description="分值")
    evaluated_at: datetime = ApiField(description="计算时点 (UTC)")
    known_at: datetime | None = ApiField(description="登记时点 (UTC)")
    rule_set: RuleSetUsed = ApiField(description="所用规则")
    catalogue: str = ApiField(description="目录版本")
    facts: EntityFacts = ApiField(description="主体事实")
    contributions: list[ContributionRead] = ApiField(description="各规则的作用")
    counted: list[RecordUsed] = ApiField(description="计入的记录")
    left_out: list[RecordLeftOut] = ApiField(description="不计入的记录")
    outlook: OutlookRead = ApiField(description="改变类别的条件")


class ClassPeriod(BaseModel):
    """A class and when it began."""

    since: datetime = ApiField(description="起始时间 (UTC)")
    risk_class: RiskClass = ApiField(description="类别")
    previous_class: RiskClass | None = ApiField(description="原类别")
    points: int = ApiField(description="分值")
    division: str = ApiField(description="行政区划代码")
    industry: str = ApiField(description="行业大类")
    rule_set_id: UUID = ApiField(description="规则标识")


class ClassPeriods(BaseModel):
    """Every class an entity has had, the oldest first."""

    uscc: str = ApiField(description="统一社会信用代码")
    periods: list[ClassPeriod] = ApiField(description="类别历史")


class SettingWrite(Strict):
    """What an authority opens."""

    open_to_subjects: bool = ApiField(description="是否向主体开放其分类结果及说明")


class SettingRead(SettingWrite):
    """What an authority has opened for the entities of its division."""

    agency_uscc: str = ApiField(description="单位统一社会信用代码")
    division: str = ApiField(description="行政区划前缀")
    version: int = ApiField(description="版本")
