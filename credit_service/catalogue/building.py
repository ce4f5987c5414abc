"""Turn validated entries of the catalogue's files into its immutable values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Any, TypeVar

from credit_service.catalogue import models, rule_models

Entry = Mapping[str, Any]
Versioned = TypeVar("Versioned", models.Item, rule_models.Rule, models.Measure)
Key = TypeVar("Key", bound=Hashable)


def versions(values: Iterable[Versioned], key: Callable[[Versioned], Key]) -> Mapping[Key, tuple[Versioned, ...]]:
    """The versions of each key, the oldest first."""
    found: dict[Key, list[Versioned]] = defaultdict(list)
    for value in sorted(values, key=lambda value: value.effective_from):
        found[key(value)].append(value)
    return MappingProxyType({key: tuple(group) for key, group in found.items()})


def frozen(value: Any) -> Any:
    """``value`` with every mapping read-only and every list a tuple, all the way down."""
    if isinstance(value, dict):
        return MappingProxyType({key: frozen(part) for key, part in value.items()})
    if isinstance(value, list):
        return tuple(frozen(part) for part in value)
    return value


def _day(text: str | None) -> date | None:
    return date.fromisoformat(text) if text else None


def _bases(entry: Entry) -> tuple[rule_models.LegalBasis, ...]:
    bases = entry.get("legal_basis", ())
    return tuple(rule_models.LegalBasis(b["document"], b.get("article"), b["status"]) for b in bases)


def document(entry: Entry) -> models.Document:
    return models.Document(
        id=entry["id"],
        title_zh=entry["title_zh"],
        title_en=entry["title_en"],
        number=entry.get("number"),
        level=entry["level"],
        effective_from=_day(entry.get("effective_from")),
        effective_to=_day(entry.get("effective_to")),
        effective_status=entry.get("effective_status", entry["status"]),
        status=entry["status"],
    )


def _field(entry: Entry) -> models.Field:
    return models.Field(
        name=entry["name"],
        label_zh=entry["label_zh"],
        type=entry["type"],
        publication=entry["publication"],
        required=entry.get("required", False),
        required_if=frozen(entry["required_if"]) if "required_if" in entry else None,
        max_length=entry.get("max_length"),
        values=tuple(entry.get("values", ())),
        template_code=entry.get("template_code"),
        format=entry.get("format"),
        personal_information=entry.get("personal_information", "mask"),
    )


def fields_of(entry: Entry, field_sets: Mapping[str, Any]) -> list[Entry]:
    """An item's fields in order: those of its field set, then its own."""
    return [*field_sets.get(entry.get("field_set", ""), ()), *entry.get("fields", ())]


def item(entry: Entry, field_sets: Mapping[str, Any], edition: str) -> models.Item:
    return models.Item(
        code=entry["code"],
        name_zh=entry["name_zh"],
        name_en=entry["name_en"],
        kind=entry["kind"],
        polarity=entry["polarity"],
        list_colour=entry.get("list"),
        section=entry["section"],
        authority_zh=entry["authority_zh"],
        authority_en=entry["authority_en"],
        legal_basis=_bases(entry),
        severity_rule=entry.get("severity_rule"),
        publicity_rule=entry.get("publicity_rule"),
        retention_rule=entry.get("retention_rule"),
        notice_rule=entry.get("notice_rule"),
        repair_rule=entry.get("repair_rule"),
        objection_rule=entry.get("objection_rule"),
        destination_rules=frozen(dict(entry.get("destination_rules", {}))),
        duties=frozen({duty: list(names) for duty, names in entry.get("duties", {}).items()}),
        measures=tuple(entry.get("measures", ())),
        fields=tuple(_field(field) for field in fields_of(entry, field_sets)),
        effective_from=date.fromisoformat(entry["effective_from"]),
        effective_to=_day(entry.get("effective_to")),
        edition=edition,
        status=entry["status"],
        subject_prefix=entry.get("subject_prefix"),
        public_if=frozen(dict(entry["public_if"])) if "public_if" in entry else None,
        excludes=tuple(_exclusion(exclusion) for exclusion in entry.get("excludes", ())),
        local=models.LocalEntry(**entry["local"]) if "local" in entry else None,
    )


def _exclusion(entry: Entry) -> models.Exclusion:
    return models.Exclusion(
        when=frozen(dict(entry["when"])),
        item=entry["item"],
        barred=frozen(dict(entry["barred"])),
        article=entry["article"],
        status=entry["status"],
    )


def measure(entry: Entry, edition: str) -> models.Measure:
    return models.Measure(
        code=entry["code"],
        number=entry.get("number"),
        name_zh=entry["name_zh"],
        name_en=entry["name_en"],
        direction=entry.get("direction", "punishment"),
        kind=entry["kind"],
        needs_statute=entry["kind"] == "A",
        legal_basis=_bases(entry),
        implementer=entry["implementer"],
        target=entry.get("target"),
        minimum_term=entry.get("minimum_term"),
        maximum_term=entry.get("maximum_term"),
        scenarios=tuple(entry["scenarios"]),
        effect=entry["effect"],
        effect_status=entry["effect_status"],
        subject=entry.get("subject", "entity"),
        triggers=tuple(_trigger(trigger) for trigger in entry.get("triggers", ())),
        effective_from=date.fromisoformat(entry["effective_from"]),
        effective_to=_day(entry.get("effective_to")),
        edition=edition,
        status=entry["status"],
        note=entry.get("note"),
    )


def _trigger(entry: Entry) -> models.Trigger:
    attribute, name = ("code", entry["item"]) if "item" in entry else ("section", entry["section"])
    item = MappingProxyType({attribute: frozenset({name})})
    return models.Trigger(**_condition_parts(entry) | {"item": item}, established=entry.get("established", True))


def linked(
    items: Iterable[models.Item], measures: Iterable[models.Measure]
) -> tuple[list[models.Item], list[models.Measure]]:
    """Both ends of every link between items and measures, whichever end the edition states it at."""
    items, measures = list(items), list(measures)
    named = {(item.code, code) for item in items for code in item.measures}
    measures = [
        replace(
            measure, triggers=measure.triggers + tuple(_trigger({"item": code}) for code in _unsaid(measure, named))
        )
        for measure in measures
    ]
    for index, item in enumerate(items):
        led_to = (measure.code for measure in measures if any(_leads(t, item) for t in measure.triggers))
        items[index] = replace(item, measures=tuple(dict.fromkeys(led_to)))
    return items, measures


def _unsaid(measure: models.Measure, named: Iterable[tuple[str, str]]) -> list[str]:
    """Items that name the measure and that none of its triggers names."""
    said = {code for trigger in measure.triggers for code in trigger.item.get("code", ())}
    return sorted({item for item, code in named if code == measure.code} - said)


def _leads(trigger: models.Trigger, item: models.Item) -> bool:
    return all(getattr(item, name) in allowed for name, allowed in trigger.item.items())


def scenario(entry: Entry) -> models.Scenario:
    return models.Scenario(entry["code"], entry["name_zh"], entry["name_en"])


def rule(entry: Entry, edition: str) -> rule_models.Rule:
    """A rule of the class that its kind names."""
    transition = entry.get("transition", {})
    head = {
        "kind": entry["kind"],
        "name": entry["name"],
        "version": entry["version"],
        "edition": edition,
        "effective_from": date.fromisoformat(entry["effective_from"]),
        "effective_to": _day(entry.get("effective_to")),
        "transition": rule_models.Transition(
            transition.get("applies_to_older_decisions", False),
            transition.get("note"),
            transition.get("status", "inference"),
        ),
        "legal_basis": _bases(entry),
        "status": entry["status"],
        "body": frozen(entry["body"]),
        "note": entry.get("note"),
        "refines": entry.get("refines"),
    }
    return _BUILDERS[entry["kind"]](head, entry["body"])


def _severity(head: dict[str, Any], body: Entry) -> rule_models.Rule:
    conditions = tuple(_condition(entry) for entry in body["conditions"])
    names = {name for c in conditions for part in (c.only, c.any_of) for name in part}
    # A threshold that nobody has set yet is met by no amount, so the amount decides nothing.
    names |= {name for c in conditions for name, threshold in c.at_least.items() if threshold is not None}
    return rule_models.SeverityRule(**head, conditions=conditions, fact_names=frozenset(names))


def _condition(entry: Entry) -> rule_models.SeverityCondition:
    return rule_models.SeverityCondition(**_condition_parts(entry), then=entry["then"], article=entry["article"])


def _condition_parts(entry: Entry) -> dict[str, Any]:
    def sets(key: str) -> Mapping[str, frozenset[str]]:
        return MappingProxyType({name: frozenset(values) for name, values in entry.get(key, {}).items()})

    thresholds = entry.get("when_at_least", {})
    return {
        "only": sets("when_only"),
        "any_of": sets("when_any"),
        "mentions": sets("when_mentions"),
        "at_least": MappingProxyType({n: None if t is None else Decimal(t) for n, t in thresholds.items()}),
        "item": sets("when_item"),
    }


def _publicity(head: dict[str, Any], body: Entry) -> rule_models.Rule:
    return rule_models.PublicityRule(
        **head,
        clock_start=body["clock_start"],
        destination=body.get("destination"),
        never_published=frozenset(body.get("never_published", ())),
        classes=MappingProxyType({name: _terms(entry) for name, entry in body["classes"].items()}),
    )


def _terms(entry: Entry) -> rule_models.PublicityTerms:
    return rule_models.PublicityTerms(
        published=entry["published"],
        exceptional=entry.get("exceptional", False),
        minimum=entry.get("minimum"),
        maximum=entry.get("maximum"),
        until_valid_until=entry.get("until_valid_until", False),
        auto_stop=entry.get("auto_stop", True),
        auto_stop_suppressible=entry.get("auto_stop_suppressible", False),
        repair_from=entry.get("repair_from"),
        prolonged_by=frozenset(entry.get("prolonged_by", ())),
        no_repair_for=frozenset(entry.get("no_repair_for", ())),
    )


def _retention(head: dict[str, Any], body: Entry) -> rule_models.Rule:
    return rule_models.RetentionRule(
        **head,
        disclosure_maximum=body["disclosure_maximum"],
        starts=body["starts"],
        query_log_minimum=body.get("query_log_minimum"),
    )


def _notice(head: dict[str, Any], body: Entry) -> rule_models.Rule:
    return rule_models.NoticeRule(
        **head,
        notices=tuple(body["notices"]),
        gate=body["gate"],
        consent_of_higher_authority_for=tuple(body.get("consent_of_higher_authority_for", ())),
    )


def _repair(head: dict[str, Any], body: Entry) -> rule_models.Rule:
    fraud = body.get("fraud")
    return rule_models.RepairRule(
        **head,
        conditions=tuple(body["conditions"]),
        materials=tuple(body.get("materials", ())),
        effects=tuple(body["effects"]),
        early_after=body.get("early_after"),
        fraud=_fraud(fraud) if fraud else None,
        litigation_suspends_publicity=body.get("litigation_suspends_publicity", False),
        third_party_precedence=body.get("third_party_precedence"),
        statutory_terms_run_out=body.get("statutory_terms_run_out", False),
        deadlines=frozen(dict(body.get("deadlines", {}))),
    )


def _fraud(entry: Entry) -> rule_models.Fraud:
    return rule_models.Fraud(
        entry.get("publicity"), entry.get("bar"), entry.get("restarts_term", False), entry["status"]
    )


def _objection(head: dict[str, Any], body: Entry) -> rule_models.Rule:
    return rule_models.ObjectionRule(
        **head,
        jurisdiction=body["jurisdiction"],
        grounds=tuple(body.get("grounds", ())),
        flag_required=body["flag_required"],
        pauses_measures=body.get("pauses_measures", False),
        deadlines=frozen(dict(body.get("deadlines", {}))),
    )


def _deadline(head: dict[str, Any], body: Entry) -> rule_models.Rule:
    return rule_models.DeadlineRule(
        **head,
        amount=body["amount"],
        unit=body["unit"],
        starts=body["starts"],
        at_least=body.get("at_least", False),
        destination=body.get("destination"),
        jurisdiction=body.get("jurisdiction"),
        extension=body.get("extension"),
    )


def _ceiling(head: dict[str, Any], body: Entry) -> rule_models.Rule:
    return rule_models.CeilingRule(**head, maximum=Decimal(body["maximum"]), of=body["of"])


def _report(head: dict[str, Any], body: Entry) -> rule_models.Rule:
    return rule_models.ReportRule(
        **head,
        jurisdiction=body["jurisdiction"],
        procedures=frozenset(body.get("procedures", ())),
        repaired_items=body.get("repaired_items"),
    )


_BUILDERS: Mapping[str, Callable[[dict[str, Any], Entry], rule_models.Rule]] = {
    "severity": _severity,
    "publicity": _publicity,
    "retention": _retention,
    "notice": _notice,
    "repair": _repair,
    "objection": _objection,
    "deadline": _deadline,
    "ceiling": _ceiling,
    "report": _report,
}
