"""The catalogue in memory: the law as immutable values. Built by ``loader.load``; nothing here changes after start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import NamedTuple

from credit_service.catalogue.rule_models import Condition, LegalBasis, Rule


class Words(NamedTuple):
    """One meaning in Chinese and English."""

    zh: str
    en: str

    def __str__(self) -> str:
        return f"{self.zh} {self.en}"


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
class Trigger(Condition):
    """Records that lead to a measure; ``item`` names their code or section.

    Not ``established``: the facts only point to the measure's target, and the implementer finds whether it is met.
    """

    established: bool


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
