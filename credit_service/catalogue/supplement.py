"""A local supplement 地方补充目录: what it may add, and where it may be stricter than the national catalogue.

It adds items that rest on a local regulation and use national rules open to them. It makes a national rule stricter
only at the parts, and in the direction, that the rule's own ``local.refine`` names. Everything else is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from credit_service.catalogue.periods import parse_period
from credit_service.catalogue.sources import Entry, Fault, Source
from credit_service.catalogue.validation import FOREVER, RULE_REFERENCES, Sources, interval_faults

LOCAL_REGULATION = "local-regulation"
_OWN_LEVELS = frozenset({LOCAL_REGULATION, "normative-document", "standard"})
_SHENZHEN_33 = "深圳经济特区社会信用条例第三十三条"
_SHENZHEN_34 = "深圳经济特区社会信用条例第三十四条"


def local_faults(national: Sources, local: Sources, refinements: list[Source], header: Source) -> list[Fault]:
    """Every reason to refuse a supplement whose files each meet the JSON Schema."""
    documents = {source.entry["id"]: source.entry for source in (*national.documents, *local.documents)}
    return [
        *_header_faults(documents, header),
        *_foreign_faults(national, local),
        *_item_faults(national, local, documents),
        *_measure_faults(local, documents),
        *_refinement_faults(national, refinements, documents),
    ]


def _level(documents: Mapping[str, Any], name: str) -> str:
    return str(documents.get(name, {}).get("level"))


def _header_faults(documents: Mapping[str, Any], header: Source) -> Iterator[Fault]:
    basis = header.entry["basis"]
    if _level(documents, basis) != LOCAL_REGULATION:
        yield header.fault(f"{basis} is no local regulation ({_SHENZHEN_33})", "basis")


def _foreign_faults(national: Sources, local: Sources) -> Iterator[Fault]:
    """What belongs to the national catalogue alone."""
    for source in local.documents:
        if source.entry["level"] not in _OWN_LEVELS:
            yield source.fault(f"a supplement cannot bring a document of level {source.entry['level']}", "level")
    for source in local.rules:
        yield source.fault("a supplement makes no rules of its own: it refines national ones", "name")
    for source in local.scenarios:
        yield source.fault("scenarios are those of the national catalogue", "code")
    codes = {source.entry["code"] for source in national.items}
    for source in local.items:
        if source.entry["code"] in codes:
            yield source.fault(f"{source.entry['code']} is an item of the national catalogue, which stands", "code")


def _item_faults(national: Sources, local: Sources, documents: Mapping[str, Any]) -> Iterator[Fault]:
    rules = _versions(national.rules)
    rights_reducing = {source.entry["code"] for source in national.measures if source.entry["kind"] == "A"}
    for source in local.items:
        entry = source.entry
        if "local" not in entry:
            yield source.fault(f"states no act, source, publicity, sharing, retention and update ({_SHENZHEN_34})")
        if not any(_level(documents, basis["document"]) == LOCAL_REGULATION for basis in entry["legal_basis"]):
            yield source.fault(f"rests on no local regulation ({_SHENZHEN_33})", "legal_basis")
        if "destination_rules" in entry:
            yield source.fault("destinations are the national catalogue's to name", "destination_rules")
        if "excludes" in entry:
            yield source.fault("what rules out another record is the national catalogue's to say", "excludes")
        for code in sorted(set(entry.get("measures", ())) & rights_reducing):
            yield source.fault(f"measure {code} reduces rights: its statute names its targets", "measures")
        yield from _rule_choice_faults(source, rules)
        if "local" in entry:
            yield from _entry_faults(source, rules)


def _versions(rules: Iterable[Source]) -> dict[tuple[str, str], list[Entry]]:
    found: dict[tuple[str, str], list[Entry]] = {}
    for source in rules:
        found.setdefault((source.entry["kind"], source.entry["name"]), []).append(source.entry)
    return found


def _rule_choice_faults(source: Source, rules: Mapping[tuple[str, str], list[Entry]]) -> Iterator[Fault]:
    """An adverse item has every rule that protects its subject, and all are open to supplements."""
    entry = source.entry
    for kind in RULE_REFERENCES:
        name = entry.get(f"{kind}_rule")
        if name is None:
            if entry["polarity"] == "distrust":
                yield source.fault(
                    f"an adverse item without a {kind} rule leaves its subject unprotected", f"{kind}_rule"
                )
        elif not all(rule.get("local", {}).get("items", False) for rule in rules.get((kind, name), ())):
            yield source.fault(f"{kind} rule {name} is not open to local items", f"{kind}_rule")


def _entry_faults(source: Source, rules: Mapping[tuple[str, str], list[Entry]]) -> Iterator[Fault]:
    entry, stated = source.entry, source.entry["local"]
    publicity = rules.get(("publicity", entry.get("publicity_rule") or ""), ())
    shown = any(
        terms["published"] or terms.get("exceptional")
        for rule in publicity
        for terms in rule["body"]["classes"].values()
    )
    if shown and stated["publication"] != "public":
        yield Fault(source.file, stated.line_of("publication"), "not public, yet its publicity rule shows it")
    for rule in rules.get(("retention", entry.get("retention_rule") or ""), ()):
        if not _shorter(rule["body"]["disclosure_maximum"], stated["retention"]):
            reason = f"kept longer than {rule['body']['disclosure_maximum']} ({rule['version']})"
            yield Fault(source.file, stated.line_of("retention"), reason)


def _measure_faults(local: Sources, documents: Mapping[str, Any]) -> Iterator[Fault]:
    own = {source.entry["code"] for source in local.items}
    for source in local.measures:
        entry = source.entry
        if entry["kind"] == "A":
            yield source.fault(f"measure {entry['code']} reduces rights: only the national catalogue may", "kind")
        if not any(_level(documents, basis["document"]) == LOCAL_REGULATION for basis in entry["legal_basis"]):
            yield source.fault(f"rests on no local regulation ({_SHENZHEN_33})", "legal_basis")
        for trigger in entry.get("triggers", ()):
            if trigger.get("item") not in own:
                yield Fault(source.file, trigger.line, "a local measure is triggered by the supplement's own items")


# Refinements ------------------------------------------------------------------------------------------------------


def _refinement_faults(national: Sources, refinements: list[Source], documents: Mapping[str, Any]) -> Iterator[Fault]:
    rules = {(source.entry["kind"], source.entry["version"]): source.entry for source in national.rules}
    yield from interval_faults(refinements, lambda entry: f"refinement of {entry['refines']}")
    for source in refinements:
        entry = source.entry
        if not any(_level(documents, basis["document"]) == LOCAL_REGULATION for basis in entry["legal_basis"]):
            yield source.fault(f"rests on no local regulation ({_SHENZHEN_33})", "legal_basis")
        if (entry["kind"], entry["version"]) in rules:
            yield source.fault(f"{entry['version']} is a version of the national catalogue", "version")
        rule = rules.get((entry["kind"], entry["refines"]))
        if rule is None:
            yield source.fault(f"unknown {entry['kind']} rule version {entry['refines']}", "refines")
            continue
        if entry["effective_from"] < rule["effective_from"] or entry["effective_from"] >= rule.get(
            "effective_to", FOREVER
        ):
            yield source.fault(f"{entry['refines']} is not in force on {entry['effective_from']}", "effective_from")
        yield from _stricter_faults(source, rule)


def _stricter_faults(source: Source, rule: Entry) -> Iterator[Fault]:
    allowed, changes = rule.get("local", {}).get("refine", {}), source.entry["set"]
    for path, value in changes.items():
        line = changes.line_of(path)
        direction = allowed.get(path)
        if direction is None:
            yield Fault(source.file, line, f"{rule['version']} leaves no room for a local {path}")
            continue
        old = _at(rule["body"], path)
        if not _DIRECTIONS[direction](old, value):
            yield Fault(source.file, line, f"{path}: {value} is not {direction} than {old} ({rule['version']})")


def _at(body: Any, path: str) -> Any:
    for part in path.split("."):
        body = body.get(part) if isinstance(body, dict) else None
    return body


def _measure_of(value: Any) -> tuple[int, int] | None:
    """A count or a period as (months or units, days); ``None`` for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value, 0
    try:
        return parse_period(value)
    except (TypeError, ValueError):
        return None


def _shorter(old: Any, new: Any) -> bool:
    """Not longer, whatever the day it is counted from: months against months and days against days."""
    before, after = _measure_of(old), _measure_of(new)
    if before is None or after is None or type(old) is not type(new):
        return False
    return after[0] <= before[0] and after[1] <= before[1]


def _more(old: Any, new: Any) -> bool:
    return isinstance(new, list) and set(old or ()) <= set(new)


_DIRECTIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "shorter": _shorter,
    "longer": lambda old, new: _shorter(new, old),
    "more": _more,
    "enabled": lambda old, new: new is True,
}


def refined(rules: Iterable[Source], refinements: Iterable[Source]) -> list[Source]:
    """The national rules with each refined version in its place for the time of its refinement."""
    found = list(rules)
    for refinement in refinements:
        key = (refinement.entry["kind"], refinement.entry["refines"])
        begin = refinement.entry["effective_from"]
        for index, source in enumerate(found):
            entry = source.entry
            if key == (entry["kind"], entry["version"]) and _holds(entry, begin):
                found[index : index + 1] = _pieces(source, refinement)
                break
    return found


def _holds(entry: Entry, day: str) -> bool:
    return bool(entry["effective_from"] <= day < entry.get("effective_to", FOREVER))


def _pieces(source: Source, refinement: Source) -> Iterator[Source]:
    """The version before, the refined one, and the version after it, where the refinement ends earlier."""
    entry, local = source.entry, refinement.entry
    begin, last = local["effective_from"], entry.get("effective_to", FOREVER)
    end = min(local.get("effective_to", FOREVER), last)
    if entry["effective_from"] < begin:
        yield Source(source.file, _changed(entry, {"effective_to": begin}), source.edition)
    yield Source(refinement.file, _changed(entry, _local_version(entry, local, end)), refinement.edition)
    if end < last:
        yield Source(source.file, _changed(entry, {"effective_from": end}), source.edition)


def _local_version(entry: Entry, local: Entry, end: str) -> dict[str, Any]:
    kept = ("version", "refines", "legal_basis", "effective_from", "status")
    body = entry["body"]
    for path, value in local["set"].items():
        body = _replaced(body, path.split("."), value)
    ends = {"effective_to": end} if end != FOREVER else {}
    return (
        {name: local[name] for name in kept}
        | ends
        | {"body": body, "note": local.get("note", f"refines {entry['version']}")}
    )


def _replaced(body: Mapping[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    head, *rest = path
    return {**body, head: _replaced(body.get(head, {}), rest, value) if rest else value}


def _changed(entry: Entry, changes: Mapping[str, Any]) -> Entry:
    changed = Entry(entry.line)
    changed.update({**entry, **changes})
    changed.lines = entry.lines
    return changed
