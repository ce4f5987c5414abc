"""信用修复告知书: the repair notice that is served together with the decision (国办发〔2025〕22号 九, 两书同达)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime

from pydantic import BaseModel
from pydantic import Field as ApiField

from credit_service.catalogue.models import Catalogue, Words
from credit_service.catalogue.rules import rule_for
from credit_service.platform.days import start_of
from credit_service.records.models import NoticeKind
from credit_service.records.rules import Assessment, Draft, assess


class RepairNotice(BaseModel):
    """The notice as data and as text in both languages. Dates are days in Asia/Shanghai."""

    entity_name: str = ApiField(description="当事人")
    uscc: str = ApiField(description="统一社会信用代码")
    document_number: str = ApiField(description="决定文书号")
    severity: str | None = ApiField(description="失信程度")
    earliest_stop: date | None = ApiField(description="最短公示期届满日 First day on which repair may end publicity")
    latest_stop: date | None = ApiField(description="最长公示期届满日 First day no longer shown in any case")
    repair_eligible_from: date | None = ApiField(description="可申请修复日期; empty: not by this rule")
    conditions: list[str] = ApiField(description="修复条件 codes of the repair rule")
    materials: list[str] = ApiField(description="申请材料 codes of the repair rule")
    rule_version: str | None = ApiField(description="修复规则版本")
    text_zh: str = ApiField(description="告知书正文")
    text_en: str = ApiField(description="Text in English")


def repair_notice(catalogue: Catalogue, draft: Draft, *, first_published_at: datetime | None) -> RepairNotice:
    """The notice for a decision, under the rules that govern it; before publication, as if published on its date."""
    on = draft.decided_on
    served = tuple({"kind": kind.value} for kind in NoticeKind)
    window = assess(catalogue, draft._replace(notices=served), first_published_at=first_published_at or start_of(on))
    rule = rule_for(catalogue, "repair", draft.item.repair_rule, on, on)
    conditions, materials = (rule.conditions, rule.materials) if rule else ((), ())
    asked = [catalogue.words[name] for name in conditions]
    brought = [catalogue.words[name] for name in materials]
    return RepairNotice(
        entity_name=draft.entity_name,
        uscc=draft.uscc,
        document_number=draft.document_number,
        severity=window.severity,
        earliest_stop=window.publicity_earliest_stop,
        latest_stop=window.publicity_latest_stop,
        repair_eligible_from=window.repair_eligible_from,
        conditions=list(conditions),
        materials=list(materials),
        rule_version=rule.version if rule else None,
        text_zh=_chinese(draft, window, asked, brought),
        text_en=_english(draft, window, asked, brought),
    )


def _chinese(draft: Draft, window: Assessment, conditions: Iterable[Words], materials: Iterable[Words]) -> str:
    stop = window.publicity_latest_stop
    lines = [
        "信用修复告知书",
        f"{draft.entity_name}({draft.uscc}):",
        f"{draft.authority_name}作出的{draft.item.name_zh}({draft.document_number}, {draft.decided_on})将依法公示。",
        f"公示最迟于{stop}停止。" if stop else "公示截止日由适用规则确定。",
    ]
    if window.repair_eligible_from:
        lines.append(f"自{window.repair_eligible_from}起, 符合下列条件的, 可以向作出决定的机关申请信用修复:")
        lines += [f"{number}. {words.zh}" for number, words in enumerate(conditions, 1)]
        lines.append("申请材料: " + "; ".join(words.zh for words in materials) + "。")
    lines.append("信用修复不收取费用。对公示信息有异议的, 可以提出异议申诉。")
    return "\n".join(lines)


def _english(draft: Draft, window: Assessment, conditions: Iterable[Words], materials: Iterable[Words]) -> str:
    stop = window.publicity_latest_stop
    lines = [
        "Notice of credit repair",
        f"To {draft.entity_name} ({draft.uscc}):",
        f"The {draft.item.name_en.lower()} {draft.document_number} of {draft.decided_on} by {draft.authority_name} "
        "will be published as the law requires.",
        f"Publication stops on {stop} at the latest." if stop else "The applicable rule determines when it stops.",
    ]
    if window.repair_eligible_from:
        lines.append(f"From {window.repair_eligible_from} you may apply to the deciding authority for repair when:")
        lines += [f"{number}. {words.en}" for number, words in enumerate(conditions, 1)]
        lines.append("Materials: " + "; ".join(words.en for words in materials) + ".")
    lines.append("Repair is free of charge. You may object to what is published.")
    return "\n".join(lines)
