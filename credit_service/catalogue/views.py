"""The catalogue as the outside reads it: both languages and every status, for days on which it says the same."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from datetime import date
from functools import lru_cache
from itertools import chain
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic import Field as ApiField

from credit_service.catalogue.measures import measures_in_force
from credit_service.catalogue.models import Catalogue, Item, Measure, Trigger
from credit_service.catalogue.rule_models import Rule
from credit_service.catalogue.rules import rule_for
from credit_service.catalogue.validation import RULE_REFERENCES
from credit_service.catalogue.wording import STATUSES


class _View(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class BasisView(_View):
    """A legal basis 依据."""

    document: str = ApiField(description="文件标识 Document id")
    article: str | None = ApiField(description="条款 Article")
    status: str = ApiField(description="核实程度 How well the citation was verified")


class DocumentView(_View):
    """A law, regulation, rule or standard 法律文件."""

    id: str = ApiField(description="文件标识 Document id")
    title_zh: str = ApiField(description="名称")
    title_en: str = ApiField(description="Title")
    number: str | None = ApiField(description="文号 Number")
    level: str = ApiField(description="效力层级 Rank")
    effective_from: date | None = ApiField(description="施行日期 First day in force")
    effective_to: date | None = ApiField(description="废止日期 First day no longer in force")
    effective_status: str = ApiField(description="日期核实程度 How well its dates were verified")
    status: str = ApiField(description="核实程度 How well it was verified")


class FieldView(_View):
    """A field of an item 事项字段."""

    name: str = ApiField(description="字段名 Name")
    label_zh: str = ApiField(description="中文名称")
    type: str = ApiField(description="类型 string, text, date, money, integer, enum or list")
    publication: str = ApiField(description="公开范围 public, shared, restricted or never")
    required: bool = ApiField(description="必填 Required")
    required_if: dict[str, list[str]] | None = ApiField(
        description="条件必填 Required when these facts have these values"
    )
    max_length: int | None = ApiField(description="最大长度 Characters")
    values: list[str] = ApiField(description="可取值 Values")
    template_code: str | None = ApiField(description="双公示字段代码 Column of the submission template")
    format: str | None = ApiField(description="格式 Format that is checked")
    personal_information: str = ApiField(description="个人信息处理 What happens to personal data in a text")


class TransitionView(_View):
    """What a rule says of older decisions 过渡规则."""

    applies_to_older_decisions: bool = ApiField(description="是否适用于施行前的决定")
    note: str | None = ApiField(description="说明 The clause, or why none")
    status: str = ApiField(description="核实程度 How well it was verified")


class RuleView(_View):
    """A version of a rule 规则."""

    kind: str = ApiField(
        description="种类 severity, publicity, retention, notice, repair, objection, deadline, ceiling or report"
    )
    name: str = ApiField(description="规则名称 Name")
    version: str = ApiField(description="版本 Version")
    edition: str = ApiField(description="目录版次 Edition")
    effective_from: date = ApiField(description="施行日期 First day in force")
    effective_to: date | None = ApiField(description="失效日期 First day no longer in force")
    transition: TransitionView = ApiField(description="过渡规则 Older decisions")
    legal_basis: list[BasisView] = ApiField(description="依据 Legal basis")
    body: dict[str, Any] = ApiField(description="内容 What the rule says")
    note: str | None = ApiField(description="说明 Note")
    refines: str | None = ApiField(description="所细化的国家规则版本 National version that a supplement makes stricter")
    status: str = ApiField(description="核实程度 How well it was verified")


class TriggerView(_View):
    """Records that lead to a measure 触发条件."""

    item: str | None = ApiField(description="事项 Item")
    section: str | None = ApiField(description="栏目 Every item of this section")
    when_any: dict[str, list[str]] = ApiField(description="事实取值之一 A fact has one of these values")
    when_mentions: dict[str, list[str]] = ApiField(description="文字提及 A text mentions one of these")
    when_at_least: dict[str, str | None] = ApiField(description="金额不低于(元) An amount in yuan reaches this")
    established: bool = ApiField(
        description="记录即足以认定; 否则由实施单位认定 The record suffices; else the implementer finds"
    )


class MeasureView(_View):
    """A measure 惩戒或者激励措施."""

    code: str = ApiField(description="措施代码 Code")
    number: str | None = ApiField(description="基础清单序号 Row of the national list")
    name_zh: str = ApiField(description="名称")
    name_en: str = ApiField(description="Name")
    direction: str = ApiField(description="惩戒或者激励 punishment or incentive")
    kind: str = ApiField(
        description="类别 A reduces rights and needs a statute, B management, C free decision of others"
    )
    legal_basis: list[BasisView] = ApiField(description="依据 Legal basis")
    implementer: str = ApiField(description="实施单位 Who takes it")
    target: str | None = ApiField(description="对象 Against whom")
    minimum_term: str | None = ApiField(description="最短期限 Shortest term, ISO 8601")
    maximum_term: str | None = ApiField(description="最长期限 Longest term, ISO 8601")
    scenarios: list[str] = ApiField(description="适用场景 Scenarios")
    effect: str = ApiField(description="应当或者可以 required or optional")
    effect_status: str = ApiField(description="应当或者可以的核实程度 How well the effect was verified")
    subject: str = ApiField(description="entity or natural-person")
    triggers: list[TriggerView] = ApiField(description="触发条件 Which records lead to it")
    effective_from: date = ApiField(description="施行日期 First day in force")
    effective_to: date | None = ApiField(description="失效日期 First day no longer in force")
    edition: str = ApiField(description="目录版次 Edition")
    note: str | None = ApiField(description="说明 Note")
    status: str = ApiField(description="核实程度 How well it was verified")


class ScenarioView(_View):
    """A decision in which measures are asked for 适用场景."""

    code: str = ApiField(description="场景代码 Code")
    name_zh: str = ApiField(description="名称")
    name_en: str = ApiField(description="Name")


class LocalEntryView(_View):
    """What an item of a local supplement states 地方补充目录条目."""

    act: str = ApiField(description="具体行为 The concrete act")
    source: str = ApiField(description="来源 Source")
    publication: str = ApiField(description="公示属性 public, shared or restricted")
    sharing_scope: str = ApiField(description="共享范围 With whom it is shared")
    retention: str = ApiField(description="保存期限 ISO 8601")
    update_frequency: str = ApiField(description="更新频率 How often it is updated")


class ItemView(_View):
    """An item of the catalogue 目录事项."""

    code: str = ApiField(description="事项代码 Code")
    name_zh: str = ApiField(description="名称")
    name_en: str = ApiField(description="Name")
    kind: str = ApiField(description="种类 Kind of record")
    polarity: str = ApiField(description="性质 trust, distrust or neutral")
    list_colour: str | None = ApiField(description="名单 red, black or none")
    section: str = ApiField(description="报告栏目 Report section")
    authority_zh: str = ApiField(description="认定机关")
    authority_en: str = ApiField(description="Authority")
    legal_basis: list[BasisView] = ApiField(description="依据 Legal basis")
    rules: dict[str, str] = ApiField(description="规则版本 By kind: the version that governs decisions of the day")
    destination_rules: dict[str, str] = ApiField(
        description="公示渠道自有规则的版本 By destination that has its own publicity rule: its version"
    )
    duties: dict[str, list[str]] = ApiField(description="义务 Time-limits that bind the agency, by duty")
    subject_prefix: str | None = ApiField(description="主体代码前缀 Codes of its subjects begin with it")
    public_if: dict[str, list[str]] | None = ApiField(description="公示前提 Shown to the public only with these facts")
    measures: list[str] = ApiField(description="可能触发的措施 Measures a record may lead to")
    fields: list[FieldView] = ApiField(description="字段 Fields")
    effective_from: date = ApiField(description="施行日期 First day in force")
    effective_to: date | None = ApiField(description="失效日期 First day no longer in force")
    edition: str = ApiField(description="目录版次 Edition")
    local: LocalEntryView | None = ApiField(description="地方补充目录条目 Of a local supplement")
    status: str = ApiField(description="核实程度 How well it was verified")


class SupplementView(_View):
    """The local supplement in use 地方补充目录."""

    division: str = ApiField(description="行政区划代码 GB/T 2260")
    name_zh: str = ApiField(description="名称")
    name_en: str = ApiField(description="Name")
    basis: str = ApiField(description="依据的地方性法规 Local regulation it rests on")
    edition: str = ApiField(description="版次 Edition")


class _Head(_View):
    edition: str = ApiField(description="目录版次 Edition of the national catalogue")
    supplement: SupplementView | None = ApiField(description="地方补充目录 Local supplement")
    digest: str = ApiField(description="目录文件摘要 SHA-256 of the files")
    holds_from: date | None = ApiField(
        description="此内容自该日起有效 First decision date this holds for; empty: since ever"
    )
    holds_until: date | None = ApiField(
        description="至该日前有效 First day it no longer holds; empty: no change is known"
    )
    statuses: dict[str, dict[str, str]] = ApiField(description="核实程度说明 What each status means")


class CatalogueView(_Head):
    """The catalogue for decisions of a day 公共信用信息目录."""

    items: list[ItemView] = ApiField(description="事项 Items in force")
    rules: list[RuleView] = ApiField(description="规则 Rules that govern")
    measures: list[MeasureView] = ApiField(description="措施 Measures in force")
    scenarios: list[ScenarioView] = ApiField(description="场景 Scenarios of measures")
    documents: list[DocumentView] = ApiField(description="法律文件 Documents, in force or not")


class ItemAnswer(_Head):
    """An item with everything that governs it 目录事项及其规则."""

    item: ItemView = ApiField(description="事项 The item")
    versions: list[dict[str, date | None]] = ApiField(description="事项的全部有效区间 Every interval of the item")
    rules: list[RuleView] = ApiField(description="规则 Rules that govern it, deadlines included")
    measures: list[MeasureView] = ApiField(description="措施 Measures a record may lead to")
    documents: list[DocumentView] = ApiField(description="法律文件 Documents cited")


# Intervals ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def change_days(catalogue: Catalogue) -> tuple[date, ...]:
    """The days on which anything in the catalogue begins or ceases to hold, in order."""
    groups: chain[tuple[Item, ...] | tuple[Rule, ...] | tuple[Measure, ...]] = chain(
        catalogue.items.values(), catalogue.rules.values(), catalogue.measures.values()
    )
    days = {day for versions in groups for v in versions for day in (v.effective_from, v.effective_to)}
    return tuple(sorted(day for day in days if day is not None))


def interval_of(catalogue: Catalogue, on: date) -> tuple[date | None, date | None]:
    """The half-open interval of days around ``on`` in which the catalogue says the same of a decision."""
    days = change_days(catalogue)
    after = bisect_right(days, on)
    return (days[after - 1] if after else None, days[after] if after < len(days) else None)


# Content -----------------------------------------------------------------------------------------------------------


def catalogue_view(catalogue: Catalogue, on: date) -> CatalogueView:
    """Everything for decisions made on ``on``."""
    items = [item for versions in catalogue.items.values() for item in versions if item.in_force(on)]
    governing = {(rule.kind, rule.version): rule for item in items for rule in item_rules(catalogue, item, on)}
    for kind, name in catalogue.rules:
        rule = rule_for(catalogue, kind, name, on, on)
        if rule is not None and rule.in_force(on):
            governing[rule.kind, rule.version] = rule
    return CatalogueView(
        **_head(catalogue, on),
        items=[_item(catalogue, item, on) for item in sorted(items, key=lambda item: item.code)],
        rules=[_rule(rule) for _, rule in sorted(governing.items())],
        measures=[_measure(measure) for measure in measures_in_force(catalogue, on)],
        scenarios=[ScenarioView.model_validate(scenario) for scenario in catalogue.scenarios.values()],
        documents=[DocumentView.model_validate(document) for _, document in sorted(catalogue.documents.items())],
    )


def everything(catalogue: Catalogue) -> CatalogueView:
    """Every version of every entry, whenever it holds; an item names the rules of its own first day."""
    items = [item for _, versions in sorted(catalogue.items.items()) for item in versions]
    return CatalogueView(
        **_head(catalogue, date.min) | {"holds_from": None, "holds_until": None},
        items=[_item(catalogue, item, item.effective_from) for item in items],
        rules=[_rule(rule) for _, versions in sorted(catalogue.rules.items()) for rule in versions],
        measures=[_measure(measure) for _, versions in sorted(catalogue.measures.items()) for measure in versions],
        scenarios=[ScenarioView.model_validate(scenario) for scenario in catalogue.scenarios.values()],
        documents=[DocumentView.model_validate(document) for _, document in sorted(catalogue.documents.items())],
    )


def item_view(catalogue: Catalogue, item: Item, on: date) -> ItemAnswer:
    """An item in force on ``on`` with its rules, their deadlines, its measures and the documents they cite."""
    rules = list(item_rules(catalogue, item, on))
    measures = [m for m in measures_in_force(catalogue, on) if m.code in item.measures]
    bases = chain(item.legal_basis, *(rule.legal_basis for rule in rules), *(m.legal_basis for m in measures))
    cited = {basis.document for basis in bases}
    return ItemAnswer(
        **_head(catalogue, on),
        item=_item(catalogue, item, on),
        versions=[
            {"effective_from": version.effective_from, "effective_to": version.effective_to}
            for version in catalogue.items[item.code]
        ],
        rules=[_rule(rule) for rule in rules],
        measures=[_measure(measure) for measure in measures],
        documents=[DocumentView.model_validate(catalogue.documents[name]) for name in sorted(cited)],
    )


def item_rules(catalogue: Catalogue, item: Item, on: date) -> Iterator[Rule]:
    """The rules that govern decisions of a day on this item, the time-limits that they name among them."""
    names = [(kind, getattr(item, f"{kind}_rule")) for kind in RULE_REFERENCES]
    names += [("publicity", name) for name in item.destination_rules.values()]
    names += [("deadline", name) for duty in item.duties.values() for name in duty]
    for kind, name in names:
        rule = rule_for(catalogue, kind, name, on, on)
        if rule is not None:
            yield rule
            for deadline in dict.fromkeys(rule.body.get("deadlines", {}).values()):
                limit = rule_for(catalogue, "deadline", deadline, on, on)
                if limit is not None:
                    yield limit


def _head(catalogue: Catalogue, on: date) -> dict[str, Any]:
    holds_from, holds_until = interval_of(catalogue, on)
    return {
        "edition": catalogue.edition,
        "supplement": catalogue.supplement,
        "digest": catalogue.digest,
        "holds_from": holds_from,
        "holds_until": holds_until,
        "statuses": {status: words._asdict() for status, words in STATUSES.items()},
    }


def _item(catalogue: Catalogue, item: Item, on: date) -> ItemView:
    given = {name: getattr(item, name) for name in ItemView.model_fields if name != "rules"}
    named = {kind: rule_for(catalogue, kind, getattr(item, f"{kind}_rule"), on, on) for kind in RULE_REFERENCES}
    own = {
        destination: rule_for(catalogue, "publicity", name, on, on)
        for destination, name in item.destination_rules.items()
    }
    given["rules"] = {kind: rule.version for kind, rule in named.items() if rule is not None}
    given["destination_rules"] = {destination: rule.version for destination, rule in own.items() if rule is not None}
    return ItemView.model_validate(given)


def _rule(rule: Rule) -> RuleView:
    given = {name: getattr(rule, name) for name in RuleView.model_fields}
    return RuleView.model_validate(given | {"body": thawed(rule.body)})


def _measure(measure: Measure) -> MeasureView:
    given = {name: getattr(measure, name) for name in MeasureView.model_fields}
    return MeasureView.model_validate(given | {"triggers": [_trigger(trigger) for trigger in measure.triggers]})


def _trigger(trigger: Trigger) -> TriggerView:
    def sorted_values(values: Mapping[str, frozenset[str]]) -> dict[str, list[str]]:
        return {name: sorted(parts) for name, parts in values.items()}

    return TriggerView(
        item=next(iter(trigger.item.get("code", ())), None),
        section=next(iter(trigger.item.get("section", ())), None),
        when_any=sorted_values(trigger.any_of),
        when_mentions=sorted_values(trigger.mentions),
        when_at_least={name: None if value is None else f"{value}" for name, value in trigger.at_least.items()},
        established=trigger.established,
    )


def thawed(value: Any) -> Any:
    """A rule's frozen body as plain JSON values."""
    if isinstance(value, Mapping):
        return {name: thawed(part) for name, part in value.items()}
    return [thawed(part) for part in value] if isinstance(value, tuple) else value
