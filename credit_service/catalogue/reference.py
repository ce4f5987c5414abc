"""The catalogue as a page for readers (Markdown): every item with its rules, in both languages."""

from __future__ import annotations

from collections.abc import Iterator

from credit_service.catalogue.models import Catalogue, Document, Item, Measure
from credit_service.catalogue.rule_models import LegalBasis, Rule
from credit_service.catalogue.validation import RULE_REFERENCES
from credit_service.catalogue.wording import KINDS, LEVELS, SECTIONS, STATUSES, basis_words, period, rule_lines

_COLOURS = {"red": "红名单 red list", "black": "黑名单 black list"}
_POLARITIES = {"trust": "守信 trust", "distrust": "失信 distrust", "neutral": "中性 neutral"}


def page(catalogue: Catalogue) -> str:
    """The whole page; written by ``credit-service catalogue page``, and never by hand."""
    return "\n".join(_lines(catalogue)) + "\n"


def _lines(catalogue: Catalogue) -> Iterator[str]:
    yield "# 目录全文 The catalogue in full"
    yield ""
    yield f"Edition {catalogue.edition}. Written by `credit-service catalogue page`; see [catalogue.md](catalogue.md)."
    yield ""
    yield from (f"- {status}: {words}" for status, words in STATUSES.items())
    yield ""
    yield "## 事项 Items"
    for section, words in SECTIONS.items():
        items = [v for _, versions in sorted(catalogue.items.items()) for v in versions if v.section == section]
        if items:
            yield from ("", f"### {words}")
            for item in items:
                yield from _item_lines(catalogue, item)
    yield from ("", "## 规则 Rules")
    for kind, words in KINDS.items():
        yield from ("", f"### {words}")
        for (of, _), versions in sorted(catalogue.rules.items()):
            if of == kind:
                for rule in versions:
                    yield from _rule_lines(catalogue, rule)
    yield from ("", "## 措施 Measures", "")
    yield from _table("代码 code", "名称 name", "类别 kind", "期限 term", "场景 scenarios", "依据 basis", "状态 status")
    for _, measures in sorted(catalogue.measures.items()):
        yield from (_measure_line(catalogue, measure) for measure in measures)
    yield from ("", "## 法律文件 Documents", "")
    yield from _table("标识 id", "名称 title", "文号 number", "层级 level", "有效 in force", "状态 status")
    yield from (_document_line(document) for _, document in sorted(catalogue.documents.items()))


def _table(*headings: str) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{'---|' * len(headings)}"


def _interval(entry: Item | Rule | Document) -> str:
    return f"[{entry.effective_from or '?'}, {entry.effective_to or ''})"


def _bases(catalogue: Catalogue, bases: tuple[LegalBasis, ...]) -> str:
    return "; ".join(f"{basis_words(catalogue, basis)} ({basis.status})" for basis in bases)


def _item_lines(catalogue: Catalogue, item: Item) -> Iterator[str]:
    yield from ("", f"#### {item.name_zh} {item.name_en} `{item.code}`", "")
    colour = f" · {_COLOURS[item.list_colour]}" if item.list_colour else ""
    yield f"- {_POLARITIES[item.polarity]}{colour} · {_interval(item)} · {item.status}"
    yield f"- 认定机关 authority: {item.authority_zh} {item.authority_en}"
    yield f"- 依据 basis: {_bases(catalogue, item.legal_basis)}"
    for kind in RULE_REFERENCES:
        name = getattr(item, f"{kind}_rule")
        if name is not None:
            yield f"- {KINDS[kind]}: {_links(catalogue, kind, name, item)}"
    for destination, name in item.destination_rules.items():
        yield f"- {KINDS['publicity']} ({destination}): {_links(catalogue, 'publicity', name, item)}"
    for duty, names in item.duties.items():
        yield f"- 义务 duty to {duty}: {', '.join(_links(catalogue, 'deadline', name, item) for name in names)}"
    if item.measures:
        yield f"- 措施 measures: {', '.join(f'`{code}`' for code in item.measures)}"
    fields = ", ".join(
        f"{f.label_zh} `{f.name}` ({f.publication}{', required' if f.required else ''})" for f in item.fields
    )
    yield f"- 字段 fields: {fields}"


def _links(catalogue: Catalogue, kind: str, name: str, item: Item) -> str:
    """The versions of a rule that can govern the item's decisions."""
    held = [
        rule
        for rule in catalogue.rules[kind, name]
        if (item.effective_to is None or rule.effective_from < item.effective_to)
        and (rule.effective_to is None or rule.effective_to > item.effective_from)
    ] or [catalogue.rules[kind, name][0]]
    return ", ".join(f"[{rule.version}](#{kind}-{rule.version}) {_interval(rule)}" for rule in held)


def _rule_lines(catalogue: Catalogue, rule: Rule) -> Iterator[str]:
    yield from ("", f'#### <a id="{rule.kind}-{rule.version}"></a>{KINDS[rule.kind]} `{rule.name}`: {rule.version}', "")
    yield f"{_interval(rule)} · {rule.status} · 依据 basis: {_bases(catalogue, rule.legal_basis)}"
    yield ""
    for label, value in rule_lines(catalogue, rule):
        yield f"- {label.zh}: {value.zh} — {label.en}: {value.en}"
    back = "是 yes" if rule.applies_to_older_decisions else "否 no"
    why = f"{rule.transition.status}; {rule.transition.note or '-'}"
    yield f"- 适用于施行前的决定 applies to older decisions: {back} ({why})"
    if rule.note:
        yield f"- 说明 note: {rule.note}"


def _measure_line(catalogue: Catalogue, measure: Measure) -> str:
    terms = [period(term) for term in (measure.minimum_term, measure.maximum_term) if term is not None]
    term = " - ".join(dict.fromkeys(f"{words}" for words in terms)) or "—"
    scenarios = ", ".join(
        f"{catalogue.scenarios[code].name_zh} {catalogue.scenarios[code].name_en}" for code in measure.scenarios
    )
    cells = (
        f"`{measure.code}`",
        f"{measure.name_zh} {measure.name_en}",
        f"{measure.kind}, {measure.effect}, {measure.direction}",
        term,
        scenarios,
        _bases(catalogue, measure.legal_basis),
        measure.status,
    )
    return f"| {' | '.join(cells)} |"


def _document_line(document: Document) -> str:
    cells = (
        f"`{document.id}`",
        f"{document.title_zh} {document.title_en}",
        document.number or "—",
        f"{LEVELS[document.level]}",
        f"{_interval(document)} ({document.effective_status})",
        document.status,
    )
    return f"| {' | '.join(cells)} |"
