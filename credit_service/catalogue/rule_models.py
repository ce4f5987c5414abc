"""The rules of the catalogue in memory: one immutable class for each kind of rule, with its versions and its basis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class LegalBasis:
    """A document and, where known, its article. ``status`` says how well the citation was verified."""

    document: str
    article: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Transition:
    """What a rule version says of decisions made before it took effect."""

    applies_to_older_decisions: bool
    note: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A version of a rule. ``body`` is the deeply frozen text of the edition; subclasses give it types.

    ``refines`` names the national version that a version of a local supplement makes stricter.
    """

    kind: str
    name: str
    version: str
    edition: str
    effective_from: date
    effective_to: date | None
    transition: Transition
    legal_basis: tuple[LegalBasis, ...]
    status: str
    body: Mapping[str, Any]
    note: str | None
    refines: str | None

    @property
    def applies_to_older_decisions(self) -> bool:
        return self.transition.applies_to_older_decisions

    def in_force(self, day: date) -> bool:
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)


@dataclass(frozen=True, slots=True)
class Condition:
    """What a record must be to meet a line of the law; every part must be met. Facts are named as in the item's fields.

    ``only``: the fact's values are a non-empty subset of these. ``any_of``: at least one value is among these.
    ``mentions``: a text contains at least one of these. ``at_least``: an amount in yuan reaches the threshold; ``None``
    means that no threshold is set, so never met. ``item``: attributes of the item itself, such as its section.
    """

    only: Mapping[str, frozenset[str]]
    any_of: Mapping[str, frozenset[str]]
    mentions: Mapping[str, frozenset[str]]
    at_least: Mapping[str, Decimal | None]
    item: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class SeverityCondition(Condition):
    """A line of a severity rule: the class it leads to, and the article that says so."""

    then: str | None
    article: str


@dataclass(frozen=True, slots=True)
class SeverityRule(Rule):
    """轻微、一般、严重: the first condition that is met decides. ``fact_names`` are all the facts it can turn on."""

    conditions: tuple[SeverityCondition, ...]
    fact_names: frozenset[str]


@dataclass(frozen=True, slots=True)
class PublicityTerms:
    """How long a class of record is shown; periods are ISO 8601 (``P3M``).

    ``exceptional``: an unpublished class may be shown where the regulator finds it necessary. ``prolonged_by``: penalty
    categories whose own statutory term, where longer, prolongs publicity. ``no_repair_for``: categories that may not
    stop early.
    """

    published: bool
    exceptional: bool
    minimum: str | None
    maximum: str | None
    until_valid_until: bool
    auto_stop: bool
    auto_stop_suppressible: bool
    repair_from: str | None
    prolonged_by: frozenset[str]
    no_repair_for: frozenset[str]


@dataclass(frozen=True, slots=True)
class PublicityRule(Rule):
    """公示期: ``clock_start`` is finding-document (认定文书之日) or publication (公示之日).

    ``classes`` maps minor, general, serious or any to their terms.
    """

    clock_start: str
    destination: str | None
    never_published: frozenset[str]
    classes: Mapping[str, PublicityTerms]


@dataclass(frozen=True, slots=True)
class RetentionRule(Rule):
    """披露期限: ``disclosure_maximum`` is an ISO 8601 period from the event ``starts``."""

    disclosure_maximum: str
    starts: str
    query_log_minimum: str | None


@dataclass(frozen=True, slots=True)
class NoticeRule(Rule):
    """告知: the notices that go with a decision, and whether publication waits for the evidence of service."""

    notices: tuple[str, ...]
    gate: bool
    consent_of_higher_authority_for: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fraud:
    """What a false promise costs: how long it is published and how long no repair may be applied for (ISO 8601)."""

    publicity: str | None
    bar: str | None
    restarts_term: bool
    status: str


@dataclass(frozen=True, slots=True)
class RepairRule(Rule):
    """信用修复. ``deadlines`` maps a step to the name of a deadline rule; ``early_after`` is an ISO 8601 period.

    ``statutory_terms_run_out``: a measure with a statutory term is not lifted before its term ends.
    """

    conditions: tuple[str, ...]
    materials: tuple[str, ...]
    effects: tuple[str, ...]
    early_after: str | None
    fraud: Fraud | None
    litigation_suspends_publicity: bool
    third_party_precedence: str | None
    statutory_terms_run_out: bool
    deadlines: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ObjectionRule(Rule):
    """异议: a profile of one jurisdiction. ``deadlines`` maps a step to the name of a deadline rule.

    ``pauses_measures``: measures that rest on a disputed record wait for the decision.
    """

    jurisdiction: str
    grounds: tuple[str, ...]
    flag_required: bool
    pauses_measures: bool
    deadlines: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class DeadlineRule(Rule):
    """A time-limit: ``amount`` of ``unit`` (working-days, calendar-days, months, years) from the event ``starts``.

    ``at_least`` marks a shortest term (keep for at least) instead of a latest day; ``extension`` is in the same unit.
    """

    amount: int
    unit: str
    starts: str
    at_least: bool
    destination: str | None
    jurisdiction: str | None
    extension: int | None


@dataclass(frozen=True, slots=True)
class CeilingRule(Rule):
    """限额: the highest amount in yuan that the law sets ``of`` something, such as a fine."""

    maximum: Decimal
    of: str


@dataclass(frozen=True, slots=True)
class ReportRule(Rule):
    """信用报告: one answer to what a jurisdiction's report shows; sources that disagree are rules of their own.

    ``procedures``: the penalties in it were decided by these (simple, ordinary). ``repaired_items``: marked (已修复)
    or not-shared (停止共享和使用). A rule answers one of the two.
    """

    jurisdiction: str
    procedures: frozenset[str]
    repaired_items: str | None
