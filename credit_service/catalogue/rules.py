"""What the catalogue says of a fact on a day: pure functions, no clock, no I/O."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from credit_service.catalogue.models import Catalogue, Item, Rule
from credit_service.platform.errors import FieldError, Problem, ProblemType

CATALOGUE_ITEM_UNKNOWN = ProblemType(
    "catalogue-item-unknown", 422, "目录中没有该事项", "The catalogue has no such item"
)
CATALOGUE_ITEM_NOT_IN_FORCE = ProblemType(
    "catalogue-item-not-in-force", 422, "决定日期该事项不在有效期内", "The item was not in force on the decision date"
)

_PERIOD = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?")


def item_in_force(catalogue: Catalogue, code: str, on: date) -> Item:
    """The version of an item that was in force on a decision date.

    Raises ``CATALOGUE_ITEM_UNKNOWN`` and ``CATALOGUE_ITEM_NOT_IN_FORCE`` (with the intervals in the detail).
    """
    versions = catalogue.items.get(code)
    if not versions:
        raise Problem(CATALOGUE_ITEM_UNKNOWN, errors=[FieldError("/item_code", "catalogue")])
    for item in versions:
        if item.in_force(on):
            return item
    intervals = "; ".join(f"{item.effective_from} .. {item.effective_to or ''}" for item in versions)
    errors = [FieldError("/decided_on", "catalogue interval", intervals)]
    raise Problem(CATALOGUE_ITEM_NOT_IN_FORCE, detail=f"{code}: {intervals}", errors=errors)


def rule_for(catalogue: Catalogue, kind: str, name: str | None, decided_on: date, today: date) -> Rule | None:
    """The rule version that governs a decision: the one in force when it was made, unless a newer one reaches back.

    A version with ``applies_to_older_decisions`` governs every older decision from the day it takes effect. A decision
    older than every version is governed by the oldest.
    """
    if name is None:
        return None
    versions = catalogue.rules[kind, name]
    for rule in reversed(versions):
        if rule.effective_from <= today and (rule.applies_to_older_decisions or rule.in_force(decided_on)):
            return rule
    return versions[0]


def add_period(day: date, period: str) -> date:
    """``day`` plus an ISO 8601 period of years, months and days.

    Months and years keep the day of the month, or take the month's last day where it has none: one month after
    31 January is 28 (29) February, one year after 29 February is 28 February.
    """
    match = _PERIOD.fullmatch(period)
    if match is None:
        raise ValueError(f"not a period: {period}")
    years, months, days = (int(part or 0) for part in match.groups())
    month_index = day.month - 1 + months
    year = day.year + years + month_index // 12
    month = month_index % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1])) + timedelta(days=days)


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: the article that decided, and the fact it met."""

    article: str
    fact: str


@dataclass(frozen=True, slots=True)
class SeverityFinding:
    """minor 轻微, general 一般, serious 严重, or ``None`` where the item knows no severity."""

    severity: str | None
    explanation: tuple[Reason, ...]
    only_never_published: frozenset[str] = frozenset()


def classify(item: Item, rule: Rule | None, facts: Mapping[str, Any]) -> SeverityFinding:
    """Severity by the first condition of the rule that the facts meet (Order 36 chapter 2; each names its article)."""
    if rule is None:
        return SeverityFinding(None, ())
    for condition in rule.body["conditions"]:
        fact = _met(condition, facts)
        if fact is not None:
            return SeverityFinding(condition["then"], (Reason(condition["article"], fact),), _values(facts, "penalty_categories"))
    return SeverityFinding(None, (Reason(rule.version, f"{item.code}: no condition met"),))


def _values(facts: Mapping[str, Any], name: str) -> frozenset[str]:
    value = facts.get(name)
    if value is None:
        return frozenset()
    return frozenset(value) if isinstance(value, list | tuple) else frozenset({str(value)})


def _met(condition: Mapping[str, Any], facts: Mapping[str, Any]) -> str | None:
    """The facts that met every part of a condition, in words; ``None`` when one part is not met."""
    met = []
    for name, wanted in condition.get("when_equal", {}).items():
        if facts.get(name) != wanted:
            return None
        met.append(f"{name}={wanted}")
    for name, allowed in condition.get("when_only", {}).items():
        values = _values(facts, name)
        if not values or not values <= frozenset(allowed):
            return None
        met.append(f"{name}={'、'.join(sorted(values))}")
    for name, wanted in condition.get("when_any", {}).items():
        values = _values(facts, name) & frozenset(wanted)
        if not values:
            return None
        met.append(f"{name}={'、'.join(sorted(values))}")
    return "; ".join(met) or "otherwise"


@dataclass(frozen=True, slots=True)
class PublicityWindow:
    """When a record may be shown. Publication ends at 00:00 Asia/Shanghai of ``latest_stop``."""

    published: bool
    earliest_stop: date | None
    latest_stop: date | None
    repair_eligible_from: date | None
    rule_version: str
    explanation: tuple[Reason, ...]


def publicity_window(
    rule: Rule | None,
    finding: SeverityFinding,
    *,
    decided_on: date,
    first_published_on: date,
    valid_until: date | None = None,
) -> PublicityWindow:
    """The publicity window of a finding under a publicity rule; no rule means: not published.

    The clock starts at the finding document's date or at first publication, as the rule says (regulations 2.1: the
    sources disagree, so each rule names its own).
    """
    if rule is None:
        return PublicityWindow(False, None, None, None, "none", (Reason("none", "no publicity rule"),))
    never = frozenset(rule.body.get("never_published", ()))
    if finding.only_never_published and finding.only_never_published <= never:
        reason = Reason(rule.version, "never published: " + "、".join(sorted(finding.only_never_published)))
        return PublicityWindow(False, None, None, decided_on, rule.version, (reason,))
    classes = rule.body["classes"]
    terms = classes.get(finding.severity) or classes.get("any")
    if terms is None:
        return PublicityWindow(False, None, None, None, rule.version, (Reason(rule.version, "severity not in the rule"),))
    start = decided_on if rule.body["clock_start"] == "finding-document" else first_published_on
    earliest = add_period(start, terms["minimum"]) if "minimum" in terms else None
    latest = _latest_stop(terms, start, valid_until)
    reason = Reason(rule.version, f"{finding.severity or 'any'}: {terms.get('minimum', '-')} .. {terms.get('maximum', '-')}")
    return PublicityWindow(
        published=terms["published"],
        earliest_stop=earliest,
        latest_stop=latest,
        repair_eligible_from=_repair_from(terms, decided_on, earliest),
        rule_version=rule.version,
        explanation=(reason,),
    )


def _latest_stop(terms: Mapping[str, Any], start: date, valid_until: date | None) -> date | None:
    if terms.get("until_valid_until") and valid_until is not None and valid_until.year < 2099:
        return valid_until + timedelta(days=1)
    if "maximum" in terms and terms.get("auto_stop", True):
        return add_period(start, terms["maximum"])
    return None


def _repair_from(terms: Mapping[str, Any], decided_on: date, earliest: date | None) -> date | None:
    how = terms.get("repair_from")
    if how == "obligations-done":
        return decided_on
    return earliest if how == "minimum" else None
