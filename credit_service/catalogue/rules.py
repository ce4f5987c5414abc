"""What the catalogue says of a fact on a day: pure functions, no clock, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal, overload

from credit_service.catalogue.conditions import met_by, values_of
from credit_service.catalogue.facts import CheckedFacts, FactsChecker, checker_of
from credit_service.catalogue.models import Catalogue, Item
from credit_service.catalogue.periods import add_period
from credit_service.catalogue.rule_models import (
    DeadlineRule,
    NoticeRule,
    ObjectionRule,
    PublicityRule,
    PublicityTerms,
    RepairRule,
    RetentionRule,
    Rule,
    SeverityRule,
)
from credit_service.platform.errors import FieldError, Problem, ProblemType

__all__ = [
    "CATALOGUE_ITEM_NOT_IN_FORCE",
    "CATALOGUE_ITEM_UNKNOWN",
    "PublicityWindow",
    "Reason",
    "SeverityFinding",
    "add_period",
    "classify",
    "compiled_validator",
    "item_in_force",
    "publicity_window",
    "rule_for",
    "validate_facts",
]

CATALOGUE_ITEM_UNKNOWN = ProblemType(
    "catalogue-item-unknown", 422, "目录中没有该事项", "The catalogue has no such item"
)
CATALOGUE_ITEM_NOT_IN_FORCE = ProblemType(
    "catalogue-item-not-in-force", 422, "决定日期该事项不在有效期内", "The item was not in force on the decision date"
)

PENALTY_CATEGORIES = "penalty_categories"
OPEN_ENDED_YEAR = 2099
"""A ``valid_until`` in this year or later means open-ended (双公示 data, regulations 6.2 no. 24)."""


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
    intervals = "; ".join(f"[{item.effective_from}, {item.effective_to or ''})" for item in versions)
    errors = [FieldError("/item_code", "catalogue interval", intervals)]
    raise Problem(CATALOGUE_ITEM_NOT_IN_FORCE, detail=f"{code}: {intervals}", errors=errors)


def compiled_validator(item: Item) -> FactsChecker:
    """The item's checks, compiled once: call it with the facts of each row."""
    return checker_of(item)


def validate_facts(item: Item, facts: Mapping[str, Any]) -> CheckedFacts:
    """Normalised facts as (public, shared, restricted, errors). Every fault is listed; unknown names are refused."""
    return checker_of(item)(facts)


@overload
def rule_for(
    catalogue: Catalogue, kind: Literal["severity"], name: str | None, decided_on: date, today: date
) -> SeverityRule | None: ...
@overload
def rule_for(
    catalogue: Catalogue, kind: Literal["publicity"], name: str | None, decided_on: date, today: date
) -> PublicityRule | None: ...
@overload
def rule_for(
    catalogue: Catalogue, kind: Literal["retention"], name: str | None, decided_on: date, today: date
) -> RetentionRule | None: ...
@overload
def rule_for(
    catalogue: Catalogue, kind: Literal["notice"], name: str | None, decided_on: date, today: date
) -> NoticeRule | None: ...
@overload
def rule_for(
    catalogue: Catalogue, kind: Literal["repair"], name: str | None, decided_on: date, today: date
) -> RepairRule | None: ...
@overload
def rule_for(
    catalogue: Catalogue, kind: Literal["objection"], name: str | None, decided_on: date, today: date
) -> ObjectionRule | None: ...
@overload
def rule_for(
    catalogue: Catalogue, kind: Literal["deadline"], name: str | None, decided_on: date, today: date
) -> DeadlineRule | None: ...
@overload
def rule_for(catalogue: Catalogue, kind: str, name: str | None, decided_on: date, today: date) -> Rule | None: ...
def rule_for(catalogue: Catalogue, kind: str, name: str | None, decided_on: date, today: date) -> Rule | None:
    """The rule version that governs a decision: the one in force when it was made, unless a newer one reaches back.

    A version whose transition says ``applies_to_older_decisions`` governs every older decision from the day it takes
    effect (``today``). A decision older than every version is governed by the oldest; one that falls between two
    versions by the earlier. ``None`` when ``name`` is ``None``. Raises KeyError for a rule the catalogue does not have.
    """
    if name is None:
        return None
    governing = (versions := catalogue.rules[kind, name])[0]
    for rule in versions:
        if rule.effective_from <= decided_on or (rule.applies_to_older_decisions and rule.effective_from <= today):
            governing = rule
    return governing


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: the article that decided, and the fact it met."""

    article: str
    fact: str


@dataclass(frozen=True, slots=True)
class SeverityFinding:
    """minor 轻微, general 一般, serious 严重, or ``None`` where the item knows no severity.

    ``categories`` are the penalty categories of the decision, which some publicity rules treat apart.
    """

    severity: str | None
    explanation: tuple[Reason, ...]
    categories: frozenset[str] = frozenset()


def classify(item: Item, rule: SeverityRule | None, facts: Mapping[str, Any]) -> SeverityFinding:
    """Severity by the first condition of the rule that the facts meet (Order 36 chapter 2; each names its article)."""
    categories = values_of(facts, PENALTY_CATEGORIES)
    if rule is None:
        return SeverityFinding(None, (), categories)
    for condition in rule.conditions:
        met = met_by(condition, item, facts)
        if met is not None:
            return SeverityFinding(condition.then, (Reason(condition.article, met),), categories)
    return SeverityFinding(None, (Reason(rule.version, "no condition met"),), categories)


@dataclass(frozen=True, slots=True)
class PublicityWindow:
    """When a record may be shown, as days in Asia/Shanghai.

    Publication stops at 00:00 of ``latest_stop``: that day is the first on which the record is no longer shown; an
    empty one means that no rule ends it. ``earliest_stop`` is the first day on which it may stop by repair. Both are
    empty for what is not published.
    """

    published: bool
    earliest_stop: date | None
    latest_stop: date | None
    repair_eligible_from: date | None
    rule_version: str
    explanation: tuple[Reason, ...]


def publicity_window(
    rule: PublicityRule | None,
    finding: SeverityFinding,
    *,
    decided_on: date,
    first_published_on: date,
    valid_until: date | None = None,
    exceptionally_published: bool = False,
    auto_stop_suppressed: bool = False,
) -> PublicityWindow:
    """The publicity window of a finding under a publicity rule; no rule means: not published.

    The clock starts at the finding document's date or at first publication, as the rule says (regulations 2.1: the
    sources disagree, so each rule names its own). ``valid_until`` is the last day of the act's own validity.
    ``exceptionally_published``: the regulator found it necessary to show a class that is not shown by default;
    ``auto_stop_suppressed``: its own rule keeps what is still uncorrected at the maximum (国办发〔2025〕22号).
    Each counts only where the rule allows it.
    """
    if rule is None:
        return PublicityWindow(False, None, None, None, "none", (Reason("none", "no publicity rule"),))
    if finding.categories and finding.categories <= rule.never_published:
        return _unpublished(rule, decided_on, "never published: " + "、".join(sorted(finding.categories)))
    terms = rule.classes.get(finding.severity or "any") or rule.classes.get("any")
    if terms is None:
        return _unpublished(rule, None, f"{finding.severity}: not a class of the rule")
    start = decided_on if rule.clock_start == "finding-document" else first_published_on
    earliest = add_period(start, terms.minimum) if terms.minimum else None
    repair_from = _repair_from(terms, finding, decided_on, earliest)
    if not (terms.published or (terms.exceptional and exceptionally_published)):
        return _unpublished(rule, repair_from, f"{finding.severity or 'any'}: not published by default")
    keep = auto_stop_suppressed and terms.auto_stop_suppressible
    span = f"{terms.minimum or '-'} .. {terms.maximum or '-'} from {start} ({rule.clock_start})"
    return PublicityWindow(
        published=True,
        earliest_stop=earliest,
        latest_stop=None if keep else _latest_stop(terms, finding, start, valid_until),
        repair_eligible_from=repair_from,
        rule_version=rule.version,
        explanation=(Reason(rule.version, f"{finding.severity or 'any'}: {span}"),),
    )


def _unpublished(rule: PublicityRule, repair_from: date | None, why: str) -> PublicityWindow:
    return PublicityWindow(False, None, None, repair_from, rule.version, (Reason(rule.version, why),))


def _latest_stop(terms: PublicityTerms, finding: SeverityFinding, start: date, valid_until: date | None) -> date | None:
    own_end = None
    if valid_until is not None and valid_until.year < OPEN_ENDED_YEAR:
        own_end = valid_until + timedelta(days=1)
    if terms.until_valid_until:
        return own_end
    if terms.maximum is None or not terms.auto_stop:
        return None
    stop = add_period(start, terms.maximum)
    if own_end is not None and finding.categories & terms.prolonged_by:
        return max(stop, own_end)
    return stop


def _repair_from(
    terms: PublicityTerms, finding: SeverityFinding, decided_on: date, earliest: date | None
) -> date | None:
    if finding.categories & terms.no_repair_for:
        return None
    if terms.repair_from == "obligations-done":
        return decided_on
    return earliest if terms.repair_from == "minimum" else None
