"""The catalogue in memory: the law as immutable values. Built by ``loader.load``; nothing here changes after start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any


@dataclass(frozen=True, slots=True)
class LegalBasis:
    """A document and, where known, its article. ``status`` says how well the citation was verified."""

    document: str
    article: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Document:
    """A law, regulation, rule or standard."""

    id: str
    title_zh: str
    title_en: str
    number: str | None
    effective_from: date | None
    effective_to: date | None
    status: str


@dataclass(frozen=True, slots=True)
class Field:
    """One of an item's own fields. ``publication``: public (社会公开), shared (政务共享) or restricted (授权查询)."""

    name: str
    label_zh: str
    type: str
    publication: str
    required: bool = False
    required_if: Mapping[str, tuple[str, ...]] | None = None
    max_length: int | None = None
    values: tuple[str, ...] = ()
    template_code: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A version of a rule of some kind (severity, publicity, retention, notice, repair, objection, deadline)."""

    kind: str
    name: str
    version: str
    effective_from: date
    effective_to: date | None
    applies_to_older_decisions: bool
    legal_basis: tuple[LegalBasis, ...]
    status: str
    body: Mapping[str, Any]
    note: str | None = None

    def in_force(self, day: date) -> bool:
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)


@dataclass(frozen=True, slots=True)
class Measure:
    """A consequence of a record. Kind A reduces rights or adds duties and needs a statute of its own."""

    code: str
    name_zh: str
    name_en: str
    kind: str
    needs_statute: bool
    legal_basis: tuple[LegalBasis, ...]
    implementer: str | None
    minimum_term: str | None
    maximum_term: str | None
    status: str


@dataclass(frozen=True, eq=False)
class Item:
    """What may be recorded, for an interval of decision dates (``effective_to`` is the first day no longer in force)."""

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
    measures: tuple[str, ...]
    fields: tuple[Field, ...]
    effective_from: date
    effective_to: date | None
    edition: str
    status: str

    def in_force(self, day: date) -> bool:
        return self.effective_from <= day and (self.effective_to is None or day < self.effective_to)

    @cached_property
    def field_names(self) -> frozenset[str]:
        return frozenset(f.name for f in self.fields)


@dataclass(frozen=True)
class Catalogue:
    """Every edition at once: what was in force on a day is asked of ``rules.item_in_force`` and ``rules.rule_for``."""

    edition: str
    documents: Mapping[str, Document]
    items: Mapping[str, tuple[Item, ...]]
    rules: Mapping[tuple[str, str], tuple[Rule, ...]]
    measures: Mapping[str, Measure]
    digest: str = field(default="")

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
