"""What the catalogue's codes mean, in both languages, for editors and readers of its pages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from credit_service.catalogue.models import Catalogue, Words
from credit_service.catalogue.rule_models import LegalBasis, Rule


def _words(lines: str) -> dict[str, Words]:
    rows = (line.split("|") for line in lines.strip().splitlines())
    return {code.strip(): Words(zh.strip(), en.strip()) for code, zh, en in rows}


KINDS = _words("""
severity|失信程度|Severity
publicity|公示期|Publicity
retention|披露期限|Disclosure
notice|告知|Notice
repair|信用修复|Repair
objection|异议|Objection
deadline|时限|Time-limit
ceiling|限额|Ceiling
report|信用报告|Report
""")

SECTIONS = _words("""
administrative|行政管理|Administration
trustworthy|诚实守信|Trustworthiness
serious-dishonesty|严重失信|Serious dishonesty
abnormal-operation|经营异常|Abnormal operation
commitment|信用承诺|Commitments
evaluation|信用评价|Evaluation
judicial|司法判决|Judgments
other|其他|Other
""")

TERMS = _words("""
minor|轻微|minor
general|一般|general
serious|严重|serious
any|各类|any class
clock_start|起算|counts from
destination|公示渠道|destination
never_published|不予公示|never published
published|公示|published
exceptional|确有必要可公示|shown where found necessary
minimum|最短|at least
maximum|最长|at most
until_valid_until|公示至有效期满|shown until its validity ends
auto_stop|到期自动停止|stops by itself
auto_stop_suppressible|未纠正可继续公示|may go on while uncorrected
repair_from|可申请修复|repair may be applied for
prolonged_by|按实际期限延长|prolonged by the term of
no_repair_for|不得提前停止|no early stop for
disclosure_maximum|披露最长|disclosed at most
starts|起算|counts from
query_log_minimum|查询记录保存至少|query log kept at least
notices|应送达文书|notices to be served
gate|送达后方可公示|publication waits for service
consent_of_higher_authority_for|须经上一级同意|consent of the next higher level for
conditions|条件|conditions
materials|材料|materials
effects|效果|effects
early_after|提前移出最早|early removal after
fraud|虚假承诺|false promise
fraud.publicity|公示|published for
fraud.bar|不得申请修复|no repair for
fraud.restarts_term|重新起算|term starts anew
fraud.status|核实程度|verified
litigation_suspends_publicity|复议诉讼期间暂停公示|litigation suspends publicity
third_party_precedence|不一致时以此为准|prevails where others differ
statutory_terms_run_out|法定期限届满前不解除措施|measures with a statutory term run out
deadlines|时限|time-limits
jurisdiction|适用地区|jurisdiction
grounds|理由|grounds
flag_required|须加异议标注|flagged while examined
pauses_measures|异议期间暂停措施|measures pause meanwhile
amount|期限|term
unit|单位|unit
extension|可延长|extension
at_least|不少于|a shortest term
of|事项|of
procedures|列入的处罚程序|penalties by procedure
repaired_items|已修复信息|repaired items
given_facts|另行提供的事实|facts given beside the record
""")

VALUES = _words("""
finding-document|认定文书之日|date of the finding document
publication|公示之日|date of publication
obligations-done|义务履行完毕|once obligations are performed
minimum|最短公示期届满|after the minimum
never|不得|never
credit-china|信用中国|Credit China
enterprise-publicity-system|国家企业信用信息公示系统|enterprise publicity system
other-province|外省登记机关|the other province
government-site|政府网站|government site
working-days|个工作日|working days
calendar-days|日|calendar days
months|个月|months
years|年|years
decision|决定|the decision
accepted|受理|acceptance
received|收到|receipt
application|申请|the application
annulment|撤销|annulment
end-of-dishonest-act|失信行为终止之日|the end of the dishonest act
facts-grounds-and-rights|事实、理由、依据和权利告知书|facts, grounds and rights
publicity-notice|公示告知|publicity notice
repair-notice|信用修复告知书|repair notice
stop-publication|终止公示|publication stops
stop-sharing|停止共享和使用|sharing and use stop
lift-measures|解除惩戒措施|measures are lifted
refresh-evaluation|更新评价结果|evaluation is refreshed
content-wrong|内容有误|content wrong
past-its-term|超过公示期|past its term
wrongly-listed|错误列入|wrongly listed
not-removed|应移出未移出|not removed
repair-result-wrong|修复结果有误|repair result wrong
simple|简易程序|simple procedure
ordinary|普通程序|ordinary procedure
marked|注明已修复|marked as repaired
not-shared|停止共享和使用|no longer shared or used
national|全国|national
chongqing|重庆|Chongqing
""")

LEVELS = _words("""
law|法律|law
administrative-regulation|行政法规|administrative regulation
central-policy|党中央、国务院政策文件|central policy
judicial-interpretation|司法解释|judicial interpretation
departmental-rule|部门规章|departmental rule
normative-document|规范性文件|normative document
local-regulation|地方性法规|local regulation
standard|标准|standard
""")

STATUSES = _words("""
verified|已核对原文|read in the primary text
secondary|见于二手资料|read in a secondary source
wording|见过条文,未见数字|clause seen, figure not
memory|凭记忆,未核实|from memory, not verified
inference|推断|our inference
""")

_YES = Words("是", "yes")
_NO = Words("否", "no")
_PERIOD = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?")
_PARTS = (("年", "year"), ("个月", "month"), ("日", "day"))


def period(text: str) -> Words:
    """An ISO 8601 period in words: ``P3M`` is 3个月, 3 months."""
    match = _PERIOD.fullmatch(text)
    assert match is not None
    given = [(int(n), zh, en) for n, (zh, en) in zip(match.groups(), _PARTS, strict=True) if n is not None]
    return Words(
        "".join(f"{n}{zh}" for n, zh, _ in given), " ".join(f"{n} {en}{'' if n == 1 else 's'}" for n, _, en in given)
    )


def value_words(value: Any, words: Mapping[str, Words]) -> Words:
    """A value of a rule in words, those of the edition first; what has none stays as it is."""
    if isinstance(value, bool):
        return _YES if value else _NO
    if isinstance(value, tuple | list):
        parts = [value_words(part, words) for part in value]
        return Words("、".join(part.zh for part in parts), ", ".join(part.en for part in parts))
    text = str(value)
    if text.startswith("P") and _PERIOD.fullmatch(text):
        return period(text)
    return words.get(text) or VALUES.get(text) or STATUSES.get(text) or TERMS.get(text) or Words(text, text)


def rule_lines(catalogue: Catalogue, rule: Rule) -> Iterator[tuple[Words, Words]]:
    """What a rule says, a line each: what it is about, and what it sets."""
    if rule.kind == "severity":
        for condition in rule.body["conditions"]:
            yield TERMS[condition["then"]] if condition["then"] else _NO, _condition(condition)
        return
    if rule.kind == "deadline":
        yield TERMS["amount"], _time_limit(rule.body)
    for path, value in _leaves(rule.body):
        if rule.kind != "deadline" or path not in (("amount",), ("unit",)):
            yield _label(path), value_words(value, catalogue.words)


def _time_limit(body: Mapping[str, Any]) -> Words:
    amount, unit = body["amount"], VALUES[body["unit"]]
    return Words(f"{amount}{unit.zh}", f"{amount} {unit.en if amount != 1 else unit.en.removesuffix('s')}")


def _condition(condition: Mapping[str, Any]) -> Words:
    # A threshold of none is one that no regulator has set.
    parts = [
        f"{name} {sign} {'、'.join(map(str, values)) if isinstance(values, tuple) else values or '未设定 (none set)'}"
        for key, sign in (("when_only", "⊆"), ("when_any", "∋"), ("when_at_least", "≥"), ("when_item", "="))
        for name, values in condition.get(key, {}).items()
    ]
    text = "; ".join(parts)
    return Words(f"{text or '其他情形'} — {condition['article']}", text or "otherwise")


def _leaves(value: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, part in value.items():
        here = (*path, key) if key != "classes" else path
        if isinstance(part, Mapping):
            yield from _leaves(part, here)
        else:
            yield here, part


def _label(path: tuple[str, ...]) -> Words:
    whole = TERMS.get(".".join(path))
    if whole is not None and len(path) > 1:
        parts = [TERMS[path[0]], whole]
    else:
        parts = [TERMS.get(part) or Words(part, part) for part in path]
    return Words(
        "".join(f"{'·' if i else ''}{part.zh}" for i, part in enumerate(parts)), ": ".join(p.en for p in parts)
    )


def basis_words(catalogue: Catalogue, basis: LegalBasis) -> Words:
    """A citation: 《title》article, and the title in English."""
    document = catalogue.documents[basis.document]
    return Words(f"《{document.title_zh}》{basis.article or ''}", f"{document.title_en} {basis.article or ''}".rstrip())
