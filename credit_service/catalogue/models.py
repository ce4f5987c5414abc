"""The catalogue in memory: the law as immutable values. Built by ``loader.load``; nothing here changes after start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple


class Words(NamedTuple):
    """One meaning in Chinese and English."""

    zh: str
    en: str

    def __str__(self) -> str:
        return f"{self.zh} {self.en}"


@dataclass(frozen=True, slots=True)
class LegalBasis:
    """A document and, where known, its article. ``status`` says how well the citation was verified."""

    document: str
    article: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Document:
    """A law, regulation, rule or standard. ``level`` is its rank; ``effective_to`` is the first day it no longer holds.

    ``status`` says how well the document was verified, ``effective_status`` how well its dates were.
    """

    id: str
    title_zh: str
    title_en: str
    number: str | None
    level: str
    effective_from: date | None
    effective_to: date | None
    effective_status: str
    status: str


@dataclass(frozen=True, slots=True)
class Field:
    """One of an item's own fields.

    ``publication`` is public (社会公开), shared (政务共享), restricted (授权查询) or never (checked, then not kept).
    ``required_if`` names facts and the values that make this field compulsory; ``max_length`` counts characters.
    ``format`` names a code's structure (``catalogue.formats``). ``personal_information`` says what happens to identity,
    phone and bank-card numbers and persons' names in its text: mask, refuse, or identifier (the field holds numbers of
    its own: only an identity number is refused there).
    """

    name: str
    label_zh: str
    type: str
    publication: str
    required: bool = False
    required_if: Mapping[str, tuple[str, ...]] | None = None
    max_length: int | None = None
    values: tuple[str, ...] = ()
    template_code: str | None = None
    format: str | None = None
    personal_information: str = "mask"


@dataclass(frozen=True, slots=True)
class LocalEntry:
    """What an item of a local supplement 地方补充目录 states beside its rules (深圳经济特区社会信用条例 art. 34).

    ``publication`` is public, shared or restricted; ``retention`` an ISO 8601 period.
    """

    act: str
    source: str
    publication: str
    sharing_scope: str
    retention: str
    update_frequency: str


@dataclass(frozen=True, slots=True)
class Supplement:
    """A local supplement 地方补充目录: of which division, resting on which local regulation."""

    division: str
    name_zh: str
    name_en: str
    basis: str
    edition: str


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
class Trigger(Condition):
    """Records that lead to a measure; ``item`` names their code or section.

    Not ``established``: the facts only point to the measure's target, and the implementer finds whether it is met.
    """

    established: bool


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
    """信用修复. ``deadlines`` maps a step to the name of a deadline rule; ``early_after`` is an ISO 8601 period."""

    conditions: tuple[str, ...]
    materials: tuple[str, ...]
    effects: tuple[str, ...]
    early_after: str | None
    fraud: Fraud | None
    litigation_suspends_publicity: bool
    third_party_precedence: str | None
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
class Measure:
    """A consequence of a record, for an interval of days. Kind A reduces rights or adds duties and needs a statute.

    ``number`` is its row in the national list. ``effect``: required (应当、不得) or optional (可以) of the implementer,
    in each of ``scenarios``. Terms are ISO 8601 periods. No record triggers one on a natural person.
    """

    code: str
    number: str | None
    name_zh: str
    name_en: str
    direction: str
    kind: str
    needs_statute: bool
    legal_basis: tuple[LegalBasis, ...]
    implementer: str
    target: str | None
    minimum_term: str | None
    maximum_term: str | None
    scenarios: tuple[str, ...]
    effect: str
    effect_status: str
    subject: str
    triggers: tuple[Trigger, ...]
    effective_from: date
    effective_to: date | None
    edition: str
    status: str
    note: str | None

    def in_force(self, day: date) -> bool:
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A decision in which measures are asked for, such as 政府采购."""

    code: str
    name_zh: str
    name_en: str


@dataclass(frozen=True, slots=True)
class Exclusion:
    """What a record of an item rules out in another item of the same entity, such as grade D an industry grade of A.

    ``when`` and ``barred`` map facts to values. Only the newest record of the item in force decides.
    """

    when: Mapping[str, tuple[str, ...]]
    item: str
    barred: Mapping[str, tuple[str, ...]]
    article: str
    status: str


@dataclass(frozen=True, eq=False)
class Item:
    """What may be recorded, for an interval of decision dates (``effective_to`` is the first day after it).

    ``*_rule`` are names of rules; ``destination_rules`` names the publicity rule of a destination that has its own.
    ``duties`` names the deadline rules that bind the agency: to ``publish`` after the decision, to ``withdraw`` after
    its annulment.
    ``measures`` are the codes of those that a record of this item may lead to, whichever end of the link says so.
    ``subject_prefix``: the codes of its subjects begin with it. ``public_if``: facts and their values without which a
    record is not shown to the public, whatever its rule.
    ``local`` is what an item of a local supplement states, and ``None`` for an item of the national catalogue.
    """

    code: str
    name_zh: str
    name_en: str
    kind: str
    polarity: str
    list_colour: str | None
    section: str
    authority_zh: str
    authority_en: str
    legal_basis: tuple[LegalBasis, ...]
    severity_rule: str | None
    publicity_rule: str | None
    retention_rule: str | None
    notice_rule: str | None
    repair_rule: str | None
    objection_rule: str | None
    destination_rules: Mapping[str, str]
    duties: Mapping[str, tuple[str, ...]]
    measures: tuple[str, ...]
    fields: tuple[Field, ...]
    effective_from: date
    effective_to: date | None
    edition: str
    status: str
    subject_prefix: str | None = None
    public_if: Mapping[str, tuple[str, ...]] | None = None
    excludes: tuple[Exclusion, ...] = ()
    local: LocalEntry | None = None

    def in_force(self, day: date) -> bool:
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)

    @cached_property
    def field_names(self) -> frozenset[str]:
        return frozenset(f.name for f in self.fields)


@dataclass(frozen=True, slots=True, eq=False)
class Catalogue:
    """Every edition at once: what was in force on a day is asked of ``rules`` and ``measures``.

    ``words`` are those of the conditions and materials of repair.

    ``items``, ``measures`` and ``rules`` hold the versions of a code or a (kind, name), the oldest first. ``digest`` is
    the SHA-256 of the files, in hexadecimal.
    """

    edition: str
    documents: Mapping[str, Document]
    items: Mapping[str, tuple[Item, ...]]
    rules: Mapping[tuple[str, str], tuple[Rule, ...]]
    measures: Mapping[str, tuple[Measure, ...]]
    scenarios: Mapping[str, Scenario]
    words: Mapping[str, Words]
    supplement: Supplement | None = None
    digest: str = ""

    def find(self, code: str) -> Item | None:
        """The newest version of an item, in force or not."""
        versions = self.items.get(code)
        return versions[-1] if versions else None

    def latest(self, code: str) -> Item:
        """As ``find``, for a code that the registry has stored. Raises KeyError."""
        return self.items[code][-1]

    def latest_items(self) -> Iterator[Item]:
        """The newest version of every item, by code."""
        return (versions[-1] for _, versions in sorted(self.items.items()))
