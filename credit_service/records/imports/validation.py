"""Judge a block of rows: pure work that runs in a process of its own, next to the server's event loop.

What comes back is ready for COPY (PostgreSQL's text format), with a receipt for every row that is refused. Nothing of a
refused row but its number, its fields' names and the rules it broke leaves this module.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import date
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from credit_service.accounts.rules import may_submit
from credit_service.catalogue.facts import checker_of
from credit_service.catalogue.loader import load
from credit_service.catalogue.models import Catalogue, Item
from credit_service.catalogue.rule_models import SeverityRule
from credit_service.catalogue.rules import item_in_force
from credit_service.entities.rules import comparable_name
from credit_service.identity import batch
from credit_service.identity.document_number import normalised
from credit_service.identity.hidden import holds_hidden, holds_unprintable
from credit_service.identity.personal import holds_identity_number, scrub
from credit_service.identity.uscc import normalise
from credit_service.platform.days import day_of
from credit_service.platform.errors import FieldError, Problem
from credit_service.records import rules
from credit_service.records.imports.judged import Context, Judged
from credit_service.records.imports.persons import is_natural_person
from credit_service.records.imports.staging import assessment_line, staged_line, standing_text
from credit_service.records.imports.templates import Plan, item_names, template_of
from credit_service.records.imports.values import EMPTY, SPOILED, ValueRefused, is_spoiled, parse_date, typed
from credit_service.records.rules import Draft

NATURAL_PERSON = "natural-person"
MOST_RECEIPT_ERRORS = 20
_PLACEHOLDER = "0" * 17 + "X"
_SUBJECT_TYPES = {"法人及非法人组织": "legal_entity", "个体工商户": "individual_business", "": None}
_REFERENCES = ("entity_name", "document_number", "authority_name")
"""Texts that masking would spoil: an identity number in them refuses the row."""
_LONGEST = {"entity_name": 200, "document_number": 128, "authority_name": 200, "legal_basis": 4000}


_folders: list[Path | None] = [None, None]


def judge_by(catalogue_dir: Path | None, supplement_dir: Path | None) -> None:
    """Name the folders of the catalogue that this process judges by."""
    _folders[:] = catalogue_dir, supplement_dir
    _catalogue.cache_clear()


@cache
def _catalogue() -> Catalogue:
    return load(*_folders)


def judge(plan: Plan, rows: Sequence[Sequence[str] | None], first_row: int, context: Context) -> Judged:
    """Judge data rows, the first of which has number ``first_row`` (the file's first data row is 1)."""
    return _Judge(plan, context).judge(rows, first_row)


class _Judge:
    """The state of one block: caches, and what was seen in it."""

    def __init__(self, plan: Plan, context: Context) -> None:
        self.plan = plan
        self.context = context
        self.template = template_of(plan.template)
        self.catalogue = _catalogue()
        self.today = day_of(context.now)
        self.items: dict[tuple[str, date], Item | Problem] = {}
        self.assessments: dict[tuple[Any, ...], tuple[bytes, int]] = {}
        self.assessed: list[str] = []
        self.attested: dict[tuple[Item, date], tuple[dict[str, Any], ...]] = {}
        self.consents: dict[tuple[Item, date], list[FieldError]] = {}
        self.deciding: dict[Item, tuple[str, ...]] = {}
        self.authorities: dict[tuple[str, str], tuple[str, list[FieldError]]] = {}
        self.seen: dict[tuple[str, str, str, str], int] = {}
        self.out: list[str] = []
        self.judged = Judged()
        self.salts = b""
        self.masked: list[str] = []
        self.renumbered = False
        self.targets = [target for _, target, _ in plan.positions]
        self.order = [position for position, _, _ in plan.positions]
        self.last_position = max(self.order, default=0)
        self.one_column_each = len(set(self.targets)) == len(self.targets)
        self.keeps_subject_type = any(
            "subject_type" in self.catalogue.latest(c).field_names for c in self.template.items
        )
        self.fact_columns = [
            (target, target[5:], kind) for _, target, kind in plan.positions if target.startswith("fact:")
        ]

    def judge(self, rows: Sequence[Sequence[str] | None], first_row: int) -> Judged:
        cells = [self._targets(row) if row is not None else None for row in rows]
        codes = [normalise(row.get("core:uscc", "")) if row is not None else "" for row in cells]
        verdicts = batch.check_batch(codes).tolist() if codes else []
        self.salts = os.urandom(32 * len(cells))
        for index, row in enumerate(cells):
            if row is None:
                self._refuse(first_row + index, [FieldError("", "JSON object a line")])
            elif any(row.values()):
                self._row(first_row + index, row, codes[index], verdicts[index], index)
            self.judged.rows += 1
        self.judged.staged = "".join(self.out).encode()
        self.judged.assessments = "".join(self.assessed).encode()
        self.judged.staged_count = len(self.out)
        self.judged.waves = max(self.seen.values(), default=1)
        return self.judged

    def _targets(self, row: Sequence[str]) -> dict[str, str]:
        """Text by target; where two columns have one target (处罚类别1 and 2) the first filled one wins, lists join."""
        length = len(row)
        if length > self.last_position and self.one_column_each:
            texts = [row[position].strip() for position in self.order]
            return dict(zip(self.targets, [text if text not in EMPTY else "" for text in texts], strict=True))
        found: dict[str, str] = {}
        for position, target, kind in self.plan.positions:
            text = row[position].strip() if position < length else ""
            if text in EMPTY:
                found.setdefault(target, "")
            elif kind == "list" and found.get(target):
                found[target] += "、" + text
            elif not found.get(target):
                found[target] = text
        return found

    # One row -------------------------------------------------------------------------------------------------------

    def _row(self, number: int, row: dict[str, str], code: str, verdict: int, index: int) -> None:
        if is_natural_person(row, verdict):
            self.judged.natural_persons += 1
            self._refuse(number, [FieldError(self._label("person:category"), NATURAL_PERSON)])
            return
        errors: list[FieldError] = []
        if verdict and not (verdict in (batch.CHECK_17_WRONG, batch.CHECK_18_WRONG) and code in self.context.admitted):
            rule = "placeholder-code" if code == _PLACEHOLDER else batch.RULES[verdict]
            errors.append(FieldError(self._label("core:uscc"), rule if code else "required"))
        self.masked = []
        draft = self._draft(row, code, errors)
        if draft is None or errors:
            self._refuse(number, errors)
            return
        self._stage(number, draft, index)

    def _draft(self, row: dict[str, str], code: str, errors: list[FieldError]) -> Draft | None:
        """The row as a draft; every fault is added to ``errors``, and ``None`` means that no more could be found."""
        texts = self._texts(row, errors)
        decided_on = self._date(row, "core:decided_on", errors)
        valid_until = self._date(row, "core:valid_until", errors)
        item_code = self._item_code(row, errors)
        if item_code is None:
            return None
        authority = self._authority(row, item_code, errors)
        if decided_on is None:
            errors += [] if row.get("core:decided_on") else [FieldError(self._label("core:decided_on"), "required")]
            return None
        errors += [
            FieldError(self._label("core:" + e.pointer[1:]), e.rule)
            for e in rules.check_dates(decided_on, valid_until, self.today)
        ]
        item = self._item(item_code, decided_on)
        if isinstance(item, Problem):
            errors += [FieldError(self._label("core:decided_on"), error.rule, error.detail) for error in item.errors]
            return None
        self._check_consent(item, decided_on, errors)
        errors += [FieldError(self._label("core:uscc"), e.rule) for e in rules.check_subject(item, code)]
        facts = checker_of(item)(self._facts(row, errors))
        errors += [FieldError(self._label("fact:" + e.pointer[7:]), e.rule) for e in facts.errors]
        self.masked += facts.masked
        return Draft(
            item=item,
            uscc=code,
            entity_name=texts["entity_name"],
            document_number=texts["document_number"],
            decided_on=decided_on,
            valid_until=valid_until,
            authority_uscc=authority,
            authority_name=texts["authority_name"],
            source_uscc=self.context.source_uscc,
            source_name=self.context.source_name,
            legal_basis=texts["legal_basis"],
            public_facts=facts.public,
            shared_facts=facts.shared,
            restricted_facts=facts.restricted,
            notices=self._notices(item, decided_on),
        )

    def _texts(self, row: dict[str, str], errors: list[FieldError]) -> dict[str, str]:
        texts = {name: row.get(f"core:{name}", "") for name in _LONGEST}
        texts["legal_basis"] = texts["legal_basis"] or self.template.legal_basis_default or ""
        texts["document_number"] = texts["document_number"] or row.get(self.template.document_number_from or "", "")
        for name, longest in _LONGEST.items():
            text = texts[name]
            if not text:
                errors.append(FieldError(self._label(f"core:{name}"), "required"))
            elif len(text) > longest:
                errors.append(FieldError(self._label(f"core:{name}"), f"at most {longest} characters"))
            elif "\ufffd" in text:
                errors.append(FieldError(self._label(f"core:{name}"), "encoding"))
            elif is_spoiled(text):
                errors.append(FieldError(self._label(f"core:{name}"), SPOILED))
            elif (holds_unprintable if name == "legal_basis" else holds_hidden)(text):
                errors.append(FieldError(self._label(f"core:{name}"), "hidden-character"))
        if holds_identity_number("|".join(texts[name] for name in _REFERENCES)):
            errors += [
                FieldError(self._label(f"core:{name}"), "personal information: identity-number")
                for name in _REFERENCES
                if holds_identity_number(texts[name])
            ]
        number = texts["document_number"]
        texts["document_number"] = normalised(number)
        self.renumbered = texts["document_number"] != number
        basis = texts["legal_basis"]
        texts["legal_basis"] = _clean_basis(basis)
        if texts["legal_basis"] != basis:
            self.masked.append("legal_basis")
        return texts

    def _date(self, row: dict[str, str], target: str, errors: list[FieldError]) -> date | None:
        text = row.get(target, "")
        if not text:
            return None
        try:
            return parse_date(text)
        except ValueRefused as refused:
            errors.append(FieldError(self._label(target), str(refused)))
            return None

    def _item_code(self, row: dict[str, str], errors: list[FieldError]) -> str | None:
        """The item a row is about: the template's only one, or the one its column names by code or Chinese name."""
        if len(self.template.items) == 1:
            return self.template.items[0]
        text = row.get("core:item", "")
        code = item_names(self.catalogue, self.template.items).get(comparable_name(text))
        if code is None:
            errors.append(
                FieldError(self._label("core:item"), "name of one of the template's items" if text else "required")
            )
        return code

    def _item(self, code: str, decided_on: date) -> Item | Problem:
        item = self.items.get((code, decided_on))
        if item is None:
            try:
                item = item_in_force(self.catalogue, code, decided_on)
            except Problem as problem:
                item = problem
            self.items[code, decided_on] = item
        return item

    def _authority(self, row: dict[str, str], item_code: str, errors: list[FieldError]) -> str:
        text = row.get("core:authority_uscc", "")
        if "core:authority_uscc" not in self.plan.labels and self._is_own(row.get("core:authority_name", "")):
            # Files older than 2019 have no such column: an agency then reports its own decisions only.
            text = self.context.source_uscc
        known = self.authorities.get((item_code, text))
        if known is None:
            known = self.authorities[item_code, text] = self._check_authority(item_code, text)
        errors += known[1]
        self._check_source(row, errors)
        return known[0]

    def _is_own(self, name: str) -> bool:
        return comparable_name(name) == comparable_name(self.context.source_name)

    def _check_authority(self, item_code: str, text: str) -> tuple[str, list[FieldError]]:
        label = self._label("core:authority_uscc")
        code = normalise(text)
        if not code:
            return "", [FieldError(label, "required")]
        verdict = int(batch.check_batch([code])[0])
        if verdict:
            return "", [FieldError(label, batch.RULES[verdict])]
        if not may_submit(self.context.grants, item_code, code[2:8]):
            return code, [FieldError(label, "agency-grant")]
        return code, []

    def _check_source(self, row: dict[str, str], errors: list[FieldError]) -> None:
        text = row.get("core:source_uscc", "")
        if text and normalise(text) != self.context.source_uscc:
            errors.append(FieldError(self._label("core:source_uscc"), "the submitting agency's own code"))

    def _facts(self, row: dict[str, str], errors: list[FieldError]) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        for target, name, kind in self.fact_columns:
            text = row[target]
            if not text:
                continue
            if kind == "text":
                if is_spoiled(text):
                    errors.append(FieldError(self._label(target), SPOILED))
                meanings = self.plan.values.get(target)
                facts[name] = meanings.get(text, text) if meanings else text
                continue
            try:
                facts[name] = typed(kind, text)
            except ValueRefused as refused:
                errors.append(FieldError(self._label(target), str(refused)))
        category = row.get("person:category", "")
        subject_type = _SUBJECT_TYPES.get(category, "")
        if subject_type == "":
            errors.append(FieldError(self._label("person:category"), "法人及非法人组织 or 个体工商户"))
        elif subject_type is not None and self.keeps_subject_type:
            facts["subject_type"] = subject_type
        return facts

    # Receipts and staging ------------------------------------------------------------------------------------------

    def _label(self, target: str) -> str:
        """What a receipt points at: the file's own column, and the name in the API."""
        label = self.plan.labels.get(target)
        name = target.partition(":")[2]
        return f"{label}/{name}" if label else f"/{name}"

    def _refuse(self, number: int, errors: Iterable[FieldError]) -> None:
        told = [{"pointer": e.pointer, "rule": e.rule} for e in errors]
        unique = list({(e["pointer"], e["rule"]): e for e in told}.values())
        self.judged.refused.append((number, unique[:MOST_RECEIPT_ERRORS]))

    def _deciding_facts(self, item: Item) -> tuple[str, ...]:
        """Every fact that severity (in any version) or publicity turns on: an assessment is remembered by these."""
        names = self.deciding.get(item)
        if names is None:
            versions = self.catalogue.rules.get(("severity", item.severity_rule or ""), ())
            found = {name for rule in versions if isinstance(rule, SeverityRule) for name in rule.fact_names}
            found |= set(item.public_if or ())
            names = self.deciding[item] = tuple(sorted(found))
        return names

    def _assessed(self, draft: Draft) -> tuple[bytes, int]:
        """Standing of a draft and the number of its staged assessment, remembered by everything they can turn on."""
        public = draft.public_facts
        deciding = [
            _frozen(public.get(name) or draft.shared_facts.get(name) or draft.restricted_facts.get(name))
            for name in self._deciding_facts(draft.item)
        ]
        key = (draft.item, draft.decided_on, draft.valid_until, *deciding)
        known = self.assessments.get(key)
        if known is None:
            assessment = rules.assess(self.catalogue, draft, first_published_at=self.context.now)
            standing = standing_text(draft, assessment, self.context.now)
            known = self.assessments[key] = (standing, len(self.assessed))
            self.assessed.append(assessment_line(known[1], draft, assessment, standing))
        return known

    def _notices(self, item: Item, decided_on: date) -> tuple[dict[str, Any], ...]:
        known = self.attested.get((item, decided_on))
        if known is None:
            known = self.attested[item, decided_on] = rules.attested_notices(
                self.catalogue, item, decided_on, self.context.notice_attestation
            )
        return known

    def _check_consent(self, item: Item, decided_on: date, errors: list[FieldError]) -> None:
        found = self.consents.get((item, decided_on))
        if found is None:
            told = rules.check_consent(self.catalogue, item, decided_on, self.context.source_level, "", None)
            found = [FieldError("", f"{error.rule}: submit it singly") for error in told]
            self.consents[item, decided_on] = found
        errors += found

    def _stage(self, number: int, draft: Draft, index: int) -> None:
        key = draft.natural_key
        wave = self.seen.get(key, 0) + 1
        self.seen[key] = wave
        salt = self.salts[32 * index : 32 * index + 32]
        warnings = rules.masked_warnings(self.masked) if self.masked else []
        warnings += [rules.RENUMBERED] if self.renumbered else []
        self.out.append(staged_line(number, wave, draft, salt, *self._assessed(draft), warnings))


@lru_cache(maxsize=1024)
def _clean_basis(basis: str) -> str:
    """The cited provision without personal information; the rows of a file cite few."""
    return scrub(basis).text


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
