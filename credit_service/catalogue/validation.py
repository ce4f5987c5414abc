"""What no JSON Schema can see: references, intervals, statutes behind measures. Each fault names file and line."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from credit_service.catalogue.building import fields_of
from credit_service.catalogue.periods import parse_period
from credit_service.catalogue.sources import Fault, Source

RULE_REFERENCES = ("severity", "publicity", "retention", "notice", "repair", "objection")
STATUTES = frozenset({"law", "administrative-regulation"})
"""Only these may reduce rights or add duties (国办发〔2020〕49号; regulations 4.2)."""
FOREVER = "9999-12-31"
PERSONAL_LABELS = ("证件号", "身份证", "手机", "电话", "银行账", "银行卡")
"""An item has no place for the number of an identity document, a phone or a bank card (个人信息保护法 arts. 6, 28)."""
POLARITY_OF_LIST = {"red": "trust", "black": "distrust"}


@dataclass(frozen=True, slots=True)
class Sources:
    """The entries of every file together; ``field_sets`` are the shared lists of fields by name, ``words`` by code."""

    documents: list[Source]
    items: list[Source]
    rules: list[Source]
    measures: list[Source]
    scenarios: list[Source]
    field_sets: Mapping[str, Any]
    words: Mapping[str, Any]


def semantic_faults(sources: Sources) -> list[Fault]:
    """Every fault of an edition whose files each meet the JSON Schema."""
    documents = {source.entry["id"]: source.entry for source in sources.documents}
    rules = {(source.entry["kind"], source.entry["name"]) for source in sources.rules}
    return [
        *_repeated(sources.documents, lambda entry: entry["id"]),
        *_repeated(sources.scenarios, lambda entry: entry["code"]),
        *_repeated(sources.rules, lambda entry: (entry["kind"], entry["version"])),
        *interval_faults(sources.items, lambda entry: entry["code"]),
        *interval_faults(sources.measures, lambda entry: f"measure {entry['code']}"),
        *interval_faults(sources.rules, lambda entry: f"{entry['kind']} {entry['name']}"),
        *_basis_faults(sources, documents),
        *_item_faults(sources, rules),
        *_duty_faults(sources, rules),
        *_field_faults(sources),
        *_exclusion_faults(sources),
        *_rule_faults(sources, rules),
        *_measure_faults(sources, documents),
        *_trigger_faults(sources),
    ]


def _repeated(sources: Iterable[Source], key: Callable[[Any], Hashable]) -> Iterable[Fault]:
    seen: dict[Hashable, Source] = {}
    for source in sources:
        first = seen.setdefault(key(source.entry), source)
        if first is not source:
            yield source.fault(f"{key(source.entry)} stands already in {first.file}:{first.entry.line}")


def interval_faults(sources: Iterable[Source], key: Callable[[Any], str]) -> Iterable[Fault]:
    """Two versions of one name never hold on one day, and none ends before it begins."""
    groups: dict[str, list[Source]] = defaultdict(list)
    for source in sources:
        groups[key(source.entry)].append(source)
        if source.entry.get("effective_to", FOREVER) <= source.entry["effective_from"]:
            yield source.fault("effective_to is not after effective_from", "effective_to")
    for name, versions in groups.items():
        versions.sort(key=lambda source: str(source.entry["effective_from"]))
        for earlier, later in pairwise(versions):
            if earlier.entry.get("effective_to", FOREVER) > later.entry["effective_from"]:
                reason = f"{name} overlaps the version in {earlier.file}:{earlier.entry.line}"
                yield later.fault(reason, "effective_from")


def _basis_faults(sources: Sources, documents: Mapping[str, Any]) -> Iterable[Fault]:
    for source in (*sources.items, *sources.rules, *sources.measures):
        names = [basis["document"] for basis in source.entry.get("legal_basis", ())]
        unknown = [name for name in names if name not in documents]
        for name in unknown:
            yield source.fault(f"unknown document {name}", "legal_basis")
        if "effective_from" in source.entry and not unknown:
            yield from _uncovered(source, [documents[name] for name in names])


def _uncovered(source: Source, bases: list[Any]) -> Iterable[Fault]:
    """No record without law: some basis holds on the first day of the interval, and some on the last."""
    begin, end = source.entry["effective_from"], source.entry.get("effective_to", FOREVER)
    what = "legal basis"
    if source.entry.get("kind") == "A":
        bases, what = [basis for basis in bases if basis["level"] in STATUTES], "law or administrative regulation"
        if not bases:
            return  # told by _measure_faults
    if not any(basis.get("effective_from", "") <= begin < basis.get("effective_to", FOREVER) for basis in bases):
        yield source.fault(f"no {what} in force on {begin}", "legal_basis")
    if not any(basis.get("effective_to", FOREVER) >= end for basis in bases):
        yield source.fault(f"no {what} in force until {end}", "legal_basis")


def _item_faults(sources: Sources, rules: set[tuple[str, str]]) -> Iterable[Fault]:
    measures = {source.entry["code"] for source in sources.measures}
    for source in sources.items:
        entry = source.entry
        for kind in RULE_REFERENCES:
            name = entry.get(f"{kind}_rule")
            if name is not None and (kind, name) not in rules:
                yield source.fault(f"unknown {kind} rule {name}", f"{kind}_rule")
        for name in entry.get("destination_rules", {}).values():
            if ("publicity", name) not in rules:
                yield source.fault(f"unknown publicity rule {name}", "destination_rules")
        for code in entry.get("measures", ()):
            if code not in measures:
                yield source.fault(f"unknown measure {code}", "measures")
        if POLARITY_OF_LIST.get(entry.get("list", ""), entry["polarity"]) != entry["polarity"]:
            yield source.fault(f"a {entry['list']} list cannot be of polarity {entry['polarity']}", "polarity")


def _duty_faults(sources: Sources, rules: set[tuple[str, str]]) -> Iterable[Fault]:
    for source in sources.items:
        for name in (name for names in source.entry.get("duties", {}).values() for name in names):
            if ("deadline", name) not in rules:
                yield source.fault(f"unknown deadline rule {name}", "duties")


def _field_faults(sources: Sources) -> Iterable[Fault]:
    given = _facts_of_severity_rules(sources.rules)
    for source in sources.items:
        entry = source.entry
        if entry.get("field_set") not in (None, *sources.field_sets):
            yield source.fault(f"unknown field set {entry['field_set']}", "field_set")
        fields = fields_of(entry, sources.field_sets)
        names = [field["name"] for field in fields]
        for name in sorted({name for name in names if names.count(name) > 1}):
            yield source.fault(f"field {name} stands twice", "fields")
        for field in fields:
            if any(word in field["label_zh"] for word in PERSONAL_LABELS):
                yield source.fault(
                    f"field {field['name']} ({field['label_zh']}) would hold a personal number", "fields"
                )
        wanted = {name for field in fields for name in field.get("required_if", {})}
        for name in sorted(wanted - set(names)):
            yield source.fault(f"required_if names {name}, which is not a field", "fields")
        for name in sorted(given.get(entry.get("severity_rule"), set()) - set(names)):
            yield source.fault(f"severity rule {entry['severity_rule']} reads {name}, which is not a field", "fields")


def _exclusion_faults(sources: Sources) -> Iterable[Fault]:
    """What an item rules out, and on what its publicity depends, are fields that exist."""
    names: dict[str, set[str]] = defaultdict(set)
    for source in sources.items:
        names[source.entry["code"]] |= {field["name"] for field in fields_of(source.entry, sources.field_sets)}
    for source in sources.items:
        own = names[source.entry["code"]]
        for name in sorted(set(source.entry.get("public_if", ())) - own):
            yield source.fault(f"public_if names {name}, which is not a field", "public_if")
        for exclusion in source.entry.get("excludes", ()):
            if exclusion["item"] not in names:
                yield source.fault(f"excludes names the unknown item {exclusion['item']}", "excludes")
                continue
            wrong = (set(exclusion["when"]) - own) | (set(exclusion["barred"]) - names[exclusion["item"]])
            for name in sorted(wrong):
                yield source.fault(f"excludes names {name}, which is not a field", "excludes")


def _facts_of_severity_rules(rules: Iterable[Source]) -> dict[str | None, set[str]]:
    """The facts each severity rule reads from the item's fields (not those it declares as given by the caller)."""
    read: dict[str | None, set[str]] = defaultdict(set)
    for source in rules:
        if source.entry["kind"] == "severity":
            body = source.entry["body"]
            parts = [c.get(key, {}) for c in body["conditions"] for key in ("when_only", "when_any", "when_at_least")]
            read[source.entry["name"]] |= {name for part in parts for name in part} - set(body.get("given_facts", ()))
    return read


def _rule_faults(sources: Sources, rules: set[tuple[str, str]]) -> Iterable[Fault]:
    for source in sources.rules:
        body = source.entry["body"]
        if source.entry["kind"] in ("repair", "objection"):
            for name in body.get("deadlines", {}).values():
                if ("deadline", name) not in rules:
                    yield source.fault(f"unknown deadline rule {name}", "body")
        if source.entry["kind"] == "repair":
            names = (*body["conditions"], *body.get("materials", ()))
            yield from (source.fault(f"{name} has no words", "body") for name in names if name not in sources.words)
        if source.entry["kind"] == "publicity":
            for severity, terms in body["classes"].items():
                if _reversed(terms.get("minimum"), terms.get("maximum")):
                    yield source.fault(f"{severity}: the minimum is longer than the maximum", "body")


def _reversed(minimum: str | None, maximum: str | None) -> bool:
    return minimum is not None and maximum is not None and parse_period(minimum) > parse_period(maximum)


def _measure_faults(sources: Sources, documents: Mapping[str, Any]) -> Iterable[Fault]:
    scenarios = {source.entry["code"] for source in sources.scenarios}
    for source in sources.measures:
        entry = source.entry
        levels = {documents.get(basis["document"], {}).get("level") for basis in entry.get("legal_basis", ())}
        if entry["kind"] == "A" and not levels & STATUTES:
            reason = f"measure {entry['code']} reduces rights and names no law or administrative regulation"
            yield source.fault(reason, "legal_basis")
        if _reversed(entry.get("minimum_term"), entry.get("maximum_term")):
            yield source.fault("minimum_term is longer than maximum_term", "minimum_term")
        for code in sorted(set(entry["scenarios"]) - scenarios):
            yield source.fault(f"unknown scenario {code}", "scenarios")


def _trigger_faults(sources: Sources) -> Iterable[Fault]:
    """A measure on entities has a record that leads to it, by facts that the record has; one on persons has none."""
    fields: dict[str, set[str]] = defaultdict(set)
    for item in sources.items:
        fields[item.entry["code"]] |= {field["name"] for field in fields_of(item.entry, sources.field_sets)}
    named = {code for item in sources.items for code in item.entry.get("measures", ())}
    for source in sources.measures:
        entry, triggers = source.entry, source.entry.get("triggers", ())
        if entry.get("subject") == "natural-person" and (triggers or entry["code"] in named):
            yield source.fault("a natural person's measure is triggered by no record of an entity", "triggers")
        if entry.get("subject") != "natural-person" and not triggers and entry["code"] not in named:
            yield source.fault(f"nothing triggers measure {entry['code']}")
        for trigger in triggers:
            if entry["kind"] == "A" and "section" in trigger:
                yield Fault(source.file, trigger.line, "what reduces rights is triggered by items, not by a section")
            if "item" in trigger and trigger["item"] not in fields:
                yield Fault(source.file, trigger.line, f"unknown item {trigger['item']}")
                continue
            read = {name for key in ("when_any", "when_mentions", "when_at_least") for name in trigger.get(key, ())}
            for name in sorted(read - fields.get(trigger.get("item", ""), set())):
                yield Fault(source.file, trigger.line, f"trigger reads {name}, which is not a field of the item")
