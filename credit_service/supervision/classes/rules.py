"""The class of an entity: a pure function of facts, rule set and instant, with the reasons and what would change it.

``compiling`` says the same in SQL for a whole population; the tests hold the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from credit_service.platform.days import day_of, days_after, start_of
from credit_service.platform.errors import ProblemType
from credit_service.records.models import State

RULE_SET_REFUSED = ProblemType("rule-set-refused", 422, "分类规则不符合要求", "The rule set is not valid")
RULE_SET_CLOSED = ProblemType(
    "rule-set-not-draft", 409, "规则不是待生效草案", "The rule set is not a draft waiting for activation"
)
RULE_SET_NOT_IN_FORCE = ProblemType(
    "rule-set-not-in-force",
    409,
    "规则未生效或未提出停用",
    "The rule set is not in force, or nobody proposed to retire it",
)
RULE_SET_NEEDED = ProblemType(
    "rule-set-needed",
    409,
    "适用全部主体的规则只能由新规则替代",
    "The whole registry's rule set judges whoever has no other: only another takes its place",
)
FOUR_EYES = ProblemType(
    "four-eyes", 403, "提出人不得自行批准", "Whoever proposed this may not approve it: a second person must"
)
OUTSIDE_JURISDICTION = ProblemType(
    "outside-jurisdiction", 403, "超出本单位管辖的行政区划", "The division is not one that the agency answers for"
)
NO_RULE_SET = ProblemType("no-rule-set", 409, "尚无生效的分类规则", "No rule set is active yet")
CLASS_NOT_OPEN = ProblemType(
    "class-not-open", 403, "主管机关未开放分类结果查询", "The authority has not opened classes to their subjects"
)

CLASSES = "ABCD"
NOT_YET = "not-yet-published"
COUNTED_STATES = frozenset({State.PUBLISHED, State.WITHHELD})


@dataclass(frozen=True, slots=True)
class RecordCondition:
    """Which records a rule looks at; an empty set asks for nothing. ``items`` is resolved against the catalogue."""

    items: frozenset[str]
    severities: frozenset[str] = frozenset()
    facts: Mapping[str, frozenset[str]] | None = None
    within_days: int | None = None


@dataclass(frozen=True, slots=True)
class EntityCondition:
    """What the entity itself must be. ``industries`` are sections or divisions of GB/T 4754 (``F``, ``F51``)."""

    statuses: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    industries: tuple[str, ...] = ()
    younger_than_days: int | None = None
    older_than_days: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of a rule set: what it looks at, and what it adds when it holds."""

    id: str
    label_zh: str
    label_en: str
    points: int
    each_further: int
    most: int | None
    at_least: int
    at_least_class: str
    records: RecordCondition | None
    entity: EntityCondition | None

    def points_for(self, count: int) -> int:
        """What ``count`` records add; nothing below ``at_least``, and never beyond ``most``."""
        if count < self.at_least:
            return 0
        found = self.points + self.each_further * (count - self.at_least)
        if self.most is None:
            return found
        return min(found, self.most) if self.points >= 0 else max(found, self.most)


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A version of the rules. ``bands`` are the points from which B, C and D begin."""

    name: str
    version: str
    status: str
    title_zh: str
    title_en: str
    bands: tuple[int, int, int]
    rules: tuple[Rule, ...]


def chosen(division: str, prefixes: Iterable[str]) -> str | None:
    """Of the prefixes that rule sets are in force for, the longest that a division begins with."""
    return max((prefix for prefix in prefixes if division.startswith(prefix)), key=len, default=None)


@dataclass(frozen=True, slots=True)
class RecordFact:
    """What a rule may know of a record. ``values`` are the item's fields of every publication range."""

    id: UUID
    item_code: str
    severity: str | None
    decided_on: date
    valid_until: date | None
    state: str
    publicity_from: datetime | None
    publicity_until: datetime | None
    disclosure_until: datetime | None
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the registry holds of an entity at an instant. ``industry`` is the division of GB/T 4754, ``F51``."""

    uscc: str
    division: str
    industry: str
    category: str
    registration_status: str
    established_on: date | None
    records: tuple[RecordFact, ...] = ()


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one rule added and why; ``records`` are those it looked at."""

    rule: Rule
    points: int
    records: tuple[RecordFact, ...]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A class with its points and what they are made of."""

    risk_class: str
    points: int
    contributions: tuple[Contribution, ...]


def bar(record: RecordFact, at: datetime) -> str | None:
    """Why a record does not count at ``at``; ``None`` when it does.

    A repaired, annulled, withdrawn, removed, shielded or archived record never counts, nor one whose publicity, its
    disclosure or, where it is not published, the act's own validity has ended, nor one whose subject was not heard yet.
    """
    if record.state not in COUNTED_STATES:
        return str(record.state)
    if record.publicity_until is not None and record.publicity_until <= at:
        return "publicity-ended"
    if record.disclosure_until is not None and record.disclosure_until <= at:
        return "disclosure-ended"
    if record.state == State.WITHHELD and record.valid_until is not None and record.valid_until < day_of(at):
        return "validity-ended"
    if record.state == State.PUBLISHED and record.publicity_from is not None and record.publicity_from > at:
        return NOT_YET
    return None


def ends(record: RecordFact) -> list[datetime]:
    """The instants at which a record stops to count by time: of publicity, of disclosure, of an unpublished act."""
    found = [end for end in (record.publicity_until, record.disclosure_until) if end is not None]
    valid_until = record.valid_until
    if record.state == State.WITHHELD and valid_until is not None and valid_until < date.max:
        found.append(start_of(valid_until + timedelta(days=1)))
    return found


def _meets(condition: RecordCondition, record: RecordFact, today: date) -> bool:
    if record.item_code not in condition.items:
        return False
    if condition.severities and record.severity not in condition.severities:
        return False
    if condition.within_days is not None and (today - record.decided_on).days >= condition.within_days:
        return False
    return all(_says(record.values.get(name), values) for name, values in (condition.facts or {}).items())


def _says(value: Any, wanted: frozenset[str]) -> bool:
    if isinstance(value, list):
        return any(member in wanted for member in value if isinstance(member, str))
    return isinstance(value, str) and value in wanted


def _is(condition: EntityCondition, facts: Facts, today: date) -> bool:
    if condition.statuses and facts.registration_status not in condition.statuses:
        return False
    if condition.categories and facts.category not in condition.categories:
        return False
    if condition.industries and not facts.industry.startswith(condition.industries):
        return False
    young, old = condition.younger_than_days, condition.older_than_days
    if young is None and old is None:
        return True
    if facts.established_on is None:
        return False
    age = (today - facts.established_on).days
    return (young is None or age < young) and (old is None or age >= old)


def evaluate(facts: Facts, rule_set: RuleSet, at: datetime) -> Evaluation:
    """The class at an instant: the band of the points, or worse where a rule says so."""
    today = day_of(at)
    counted = [record for record in facts.records if bar(record, at) is None]
    contributions = []
    worst = "A"
    for rule in rule_set.rules:
        if rule.entity is not None:
            found: tuple[RecordFact, ...] = ()
            held = _is(rule.entity, facts, today)
            points = rule.points if held else 0
        else:
            assert rule.records is not None
            found = tuple(record for record in counted if _meets(rule.records, record, today))
            held, points = len(found) >= rule.at_least, rule.points_for(len(found))
        if held:
            worst = max(worst, rule.at_least_class)
            contributions.append(Contribution(rule, points, found))
    total = max(0, sum(contribution.points for contribution in contributions))
    band = CLASSES[sum(total >= floor for floor in rule_set.bands)]
    return Evaluation(max(band, worst), total, tuple(contributions))


def boundaries(facts: Facts, rule_set: RuleSet, at: datetime) -> list[datetime]:
    """The instants after ``at`` at which time alone may change the class, the earliest first."""
    return sorted({moment for moment in _moments(facts, rule_set, at) if moment > at})


def _moments(facts: Facts, rule_set: RuleSet, at: datetime) -> Iterator[datetime]:
    today = day_of(at)
    for record in facts.records:
        barred = bar(record, at)
        if barred == NOT_YET and record.publicity_from is not None:
            yield record.publicity_from
        if barred is not None:
            continue
        yield from ends(record)
        for days in windows(rule_set, record.item_code):
            if (today - record.decided_on).days < days:
                yield start_of(record.decided_on + timedelta(days=days))
    for age in ages(rule_set):
        if facts.established_on is not None:
            yield start_of(days_after(facts.established_on, age))


def windows(rule_set: RuleSet, item_code: str) -> set[int]:
    """The numbers of days within which rules look at an item."""
    conditions = (rule.records for rule in rule_set.rules if rule.records is not None)
    return {found.within_days for found in conditions if found.within_days is not None and item_code in found.items}


def ages(rule_set: RuleSet) -> set[int]:
    """The ages in days at which a rule about the entity begins or ceases to hold."""
    conditions = [rule.entity for rule in rule_set.rules if rule.entity is not None]
    found = {condition.younger_than_days for condition in conditions}
    found |= {condition.older_than_days for condition in conditions}
    return {days for days in found if days is not None}


@dataclass(frozen=True, slots=True)
class Outlook:
    """What would change a class. Each statement is an evaluation of the same facts with something else in their place.

    ``without``: each record that added points, and the result had it been repaired or annulled. ``together``: records
    whose repair together gives a better class (the fewest that a greedy search finds; empty: none would).
    ``better_at``, ``next_at``: when time alone gives a better class, or any other one.
    """

    without: tuple[tuple[RecordFact, Evaluation], ...]
    together: tuple[RecordFact, ...]
    together_class: str | None
    better_at: tuple[datetime, str] | None
    next_at: tuple[datetime, str] | None


def outlook(facts: Facts, rule_set: RuleSet, at: datetime) -> Outlook:
    """What would change the class that ``evaluate`` gives."""
    now = evaluate(facts, rule_set, at)
    adverse = {
        record.id: record
        for contribution in now.contributions
        if contribution.points > 0 or contribution.rule.at_least_class > "A"
        for record in contribution.records
    }
    without = [(record, evaluate(_without(facts, {record.id}), rule_set, at)) for record in adverse.values()]
    without.sort(key=lambda pair: (pair[1].risk_class, pair[1].points, str(pair[0].id)))
    together, reached = _together(facts, rule_set, at, now, adverse)
    changes = [
        (moment, found.risk_class)
        for moment, found in ((moment, evaluate(facts, rule_set, moment)) for moment in boundaries(facts, rule_set, at))
        if found.risk_class != now.risk_class
    ]
    better = next((change for change in changes if change[1] < now.risk_class), None)
    return Outlook(tuple(without), together, reached, better, changes[0] if changes else None)


def _without(facts: Facts, gone: Iterable[UUID]) -> Facts:
    dropped = set(gone)
    return replace(facts, records=tuple(record for record in facts.records if record.id not in dropped))


def _together(
    facts: Facts, rule_set: RuleSet, at: datetime, now: Evaluation, adverse: Mapping[UUID, RecordFact]
) -> tuple[tuple[RecordFact, ...], str | None]:
    """Take away, each time, the record whose absence helps most, until the class is better; then put back the idle."""
    gone: list[UUID] = []
    left = dict(adverse)

    def without(ids: Iterable[UUID]) -> Evaluation:
        return evaluate(_without(facts, ids), rule_set, at)

    while left:
        best = min(left, key=lambda each: ((e := without([*gone, each])).risk_class, e.points, str(each)))
        gone.append(best)
        del left[best]
        if without(gone).risk_class < now.risk_class:
            break
    else:
        return (), None
    for each in list(gone[:-1]):
        fewer = [other for other in gone if other != each]
        if without(fewer).risk_class < now.risk_class:
            gone = fewer
    return tuple(adverse[each] for each in gone), without(gone).risk_class


def tags(facts: Facts, kinds: Mapping[str, str], lists: Iterable[str], at: datetime) -> tuple[str, ...]:
    """What an entity is found by besides its class: the kinds of its records that count, the lists it is on.

    ``shown:`` is the part of ``list:`` that the public is shown. ``kinds`` gives the kind of each item, ``lists`` the
    items that are lists.
    """
    found, listed = set(), set(lists)
    for record in facts.records:
        if bar(record, at) is not None or record.item_code not in kinds:
            continue
        found.add(f"kind:{kinds[record.item_code]}")
        if record.item_code in listed:
            found.add(f"list:{record.item_code}")
            if record.state == State.PUBLISHED:
                found.add(f"shown:{record.item_code}")
    return tuple(sorted(found))
