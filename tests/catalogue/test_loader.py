"""The shipped edition loads whole; a broken one is refused with file, line and reason."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from credit_service.catalogue.loader import RULE_REFERENCES, CatalogueError, load

STATUSES = {"verified", "secondary", "wording", "memory", "inference"}
SERIOUS = [
    "judgment-debtor",
    "tax",
    "wage-arrears",
    "work-safety",
    "market-regulation",
    "government-procurement",
    "customs",
    "culture-tourism",
    "food-safety",
    "statistics",
    "social-organisation",
    "overload-transport",
    "social-insurance",
    "vaccine",
    "telecom-fraud",
    "research-integrity",
    "geological-survey",
    "internet-information-service",
    "intellectual-property",
    "fire-safety",
    "medical-insurance",
    "environmental-assessment",
    "security-service",
    "securities",
    "express",
    "telecom",
]
OTHERS = [
    "administrative-licence",
    "administrative-penalty",
    "abnormal-operation-list",
    "taxpayer-grade-a",
    "customs-aeo-advanced",
    "customs-aeo",
    "trustworthy-model",
    "trustworthy-model-transport-construction",
    "commitment",
    "honour",
    "inspection-result",
    "self-discipline-pledge",
    "social-responsibility-disclosure",
    "judgment",
    "government-integrity",
    "comprehensive-evaluation",
    "contract-performance",
]
PENALTY_FACTS = [
    "subject_type",
    "registration_number",
    "organisation_code",
    "tax_number",
    "institution_certificate_number",
    "social_organisation_number",
    "legal_representative",
    "violation_type",
    "violation_facts",
    "penalty_categories",
    "penalty_content",
    "fine_amount",
    "confiscated_amount",
    "suspended_or_revoked_licences",
    "publicity_deadline",
    "procedure",
    "remarks",
]
LICENCE_FACTS = [
    "subject_type",
    "registration_number",
    "organisation_code",
    "tax_number",
    "institution_certificate_number",
    "social_organisation_number",
    "legal_representative",
    "document_name",
    "licence_category",
    "certificate_name",
    "licence_number",
    "licence_content",
    "valid_from",
    "current_status",
    "remarks",
]

SMALL = """\
edition: "2026-01-01"
documents:
  - {id: some-law, level: law, title_zh: 某法, title_en: A law, effective_from: 2020-01-01, status: verified}
  - {id: some-notice, level: normative-document, title_zh: 某通知, title_en: A notice, status: memory}
rules:
  - kind: publicity
    name: shown
    version: shown-1
    effective_from: 2020-01-01
    legal_basis: [{document: some-law, status: verified}]
    transition: {applies_to_older_decisions: false, note: none, status: inference}
    status: verified
    body: {clock_start: publication, classes: {any: {published: true, minimum: P3M, maximum: P1Y}}}
measures:
  - {code: ban, name_zh: 禁, name_en: B, kind: A, legal_basis: [{document: some-law, status: verified}],
     implementer: 机关, scenarios: [licence], effect: required, effect_status: memory,
     effective_from: 2020-01-01, status: memory}
scenarios:
  - {code: licence, name_zh: 许可, name_en: Licence}
items:
  - code: thing
    name_zh: 事项
    name_en: Thing
    kind: penalty
    polarity: distrust
    section: other
    authority_zh: 机关
    authority_en: Authority
    legal_basis: [{document: some-law, status: verified}]
    severity_rule: null
    publicity_rule: shown
    measures: [ban]
    fields: [{name: reason, label_zh: 原因, type: text, publication: public}]
    effective_from: 2020-01-01
    status: verified
"""
SECOND = SMALL[SMALL.index("  - code: thing") :]


def test_the_shipped_catalogue_loads() -> None:
    catalogue = load()
    assert {f"serious-dishonesty-{name}" for name in SERIOUS} | set(OTHERS) <= catalogue.items.keys()
    assert [f.name for f in catalogue.latest("administrative-penalty").fields if f.name not in PENALTY_FACTS] == []
    assert catalogue.latest("administrative-penalty").field_names == set(PENALTY_FACTS)
    assert catalogue.latest("administrative-licence").field_names == set(LICENCE_FACTS)
    assert catalogue.digest == load().digest
    assert len(catalogue.digest) == 64


def test_every_entry_says_how_well_it_was_verified() -> None:
    catalogue = load()
    entries: list[Any] = [version for versions in catalogue.items.values() for version in versions]
    entries += [version for versions in catalogue.rules.values() for version in versions]
    entries += [version for versions in catalogue.measures.values() for version in versions]
    for entry in entries:
        assert {entry.status, *(basis.status for basis in entry.legal_basis)} <= STATUSES
        assert entry.legal_basis
        assert entry.edition <= catalogue.edition
        assert entry.effective_to is None or entry.effective_from < entry.effective_to


def test_no_item_has_a_place_for_an_identity_number() -> None:
    words = ("证件号", "身份证", "手机", "电话", "银行")
    fields = [field for item in load().latest_items() for field in item.fields]
    assert [field.label_zh for field in fields if any(word in field.label_zh for word in words)] == []


def test_only_the_courts_list_publishes_the_legal_representative() -> None:
    """法释〔2017〕7号 art. 6 (1) orders it; everything else shares it between agencies at most."""
    ranges = {
        item.code: field.publication
        for item in load().latest_items()
        for field in item.fields
        if field.name == "legal_representative"
    }
    assert ranges.pop("serious-dishonesty-judgment-debtor") == "public"
    assert set(ranges.values()) == {"shared"}


def test_nothing_changes_after_load() -> None:
    catalogue = load()
    item = catalogue.latest("administrative-penalty")
    rule: Any = catalogue.rules["publicity", "penalty"][0]
    with pytest.raises(FrozenInstanceError):
        item.code = "other"  # type: ignore[misc]
    mappings: list[Any] = [catalogue.items, catalogue.rules, rule.body, rule.body["classes"], rule.classes]
    for mapping in mappings:
        with pytest.raises(TypeError):
            mapping["general"] = None
    with pytest.raises(FrozenInstanceError):
        rule.note = "other"


def test_every_rule_and_measure_of_the_shipped_catalogue_is_used_or_stands_alone_by_design() -> None:
    catalogue = load()
    items = [item for versions in catalogue.items.values() for item in versions]
    named = {(kind, getattr(item, f"{kind}_rule")) for item in items for kind in RULE_REFERENCES}
    named |= {("publicity", name) for item in items for name in item.destination_rules.values()}
    alone = {key for key in catalogue.rules if key[0] != "deadline"} - named
    assert alone == {
        ("ceiling", "annual-report-fine"),
        ("objection", "credit-reporting"),
        ("objection", "henan"),
        ("objection", "shandong"),
        ("objection", "shanghai"),
        ("objection", "shenzhen"),
        ("report", "repaired-items"),
        ("report", "special-report-penalties"),
        ("report", "special-report-penalties-chongqing"),
        ("report", "special-report-repaired-items"),
        ("publicity", "enterprise-publicity-system-penalty"),
        ("severity", "market-regulation-penalty"),
        ("severity", "other-dishonesty"),
    }


def write(folder: Path, text: str) -> Path:
    (folder / "edition.yaml").write_text(text, encoding="utf-8")
    return folder


def test_a_small_edition_loads(tmp_path: Path) -> None:
    catalogue = load(write(tmp_path, SMALL))
    assert (catalogue.edition, list(catalogue.items)) == ("2026-01-01", ["thing"])


BROKEN: dict[str, tuple[str, str | None, str, str]] = {
    # what is changed: the text it replaces, the new text, how the line told begins, the reason
    "item without basis": (
        "    legal_basis: [{document: some-law, status: verified}]\n    severity_rule: null\n",
        "    severity_rule: null\n",
        "  - code: thing",
        "'legal_basis' is a required property",
    ),
    "empty basis": (
        "legal_basis: [{document: some-law, status: verified}]\n    severity_rule",
        "legal_basis: []\n    severity_rule",
        "    legal_basis: []",
        "[] should be non-empty",
    ),
    "unknown document": (
        "some-law, status: verified}]\n    severity",
        "none, status: verified}]\n    severity",
        "    legal_basis: [{document: none",
        "unknown document none",
    ),
    "basis not yet in force": (
        "    effective_from: 2020-01-01\n    status: verified\n",
        "    effective_from: 2019-12-31\n    status: verified\n",
        "    legal_basis: [",
        "no legal basis in force on 2019-12-31",
    ),
    "basis repealed": (
        "effective_from: 2020-01-01, status: verified}",
        "effective_from: 2020-01-01, effective_to: 2021-01-01, status: verified}",
        "    legal_basis: [",
        "no legal basis in force until 9999-12-31",
    ),
    "overlap": (
        "    status: verified\n",
        None,
        "    effective_from: 2020-01-01",
        "thing overlaps the version in edition.yaml:21",
    ),
    "unknown rule": (
        "publicity_rule: shown",
        "publicity_rule: hidden",
        "    publicity_rule: hidden",
        "unknown publicity rule hidden",
    ),
    "unknown duty": (
        "    measures: [ban]",
        "    duties: {withdraw: [at-once]}\n    measures: [ban]",
        "    duties: ",
        "unknown deadline rule at-once",
    ),
    "unknown measure": ("measures: [ban]", "measures: [fine]", "    measures: [fine]", "unknown measure fine"),
    "kind A without basis": (
        "kind: A, legal_basis: [{document: some-law, status: verified}],",
        "kind: A,",
        "  - {code: ban",
        "'legal_basis' is a required property",
    ),
    "kind A on a notice": (
        "kind: A, legal_basis: [{document: some-law,",
        "kind: A, legal_basis: [{document: some-notice,",
        "  - {code: ban",
        "measure ban reduces rights and names no law or administrative regulation",
    ),
    "kind A on a repealed law": (
        "effective_from: 2020-01-01, status: memory}",
        "effective_from: 2019-01-01, status: memory}",
        "  - {code: ban",
        "no law or administrative regulation in force on 2019-01-01",
    ),
    "measure without effect": ("effect: required, ", "", "  - {code: ban", "'effect' is a required property"),
    "unknown scenario": ("[licence]", "[lunch]", "     implementer:", "unknown scenario lunch"),
    "measure that nothing triggers": (
        "    measures: [ban]\n",
        "",
        "  - {code: ban",
        "nothing triggers measure ban",
    ),
    "measure of a person that a record triggers": (
        "effect: required,",
        "effect: required, subject: natural-person,",
        "  - {code: ban",
        "a natural person's measure is triggered by no record of an entity",
    ),
    "trigger on an unknown item": (
        "effect: required,",
        "effect: required, triggers: [{item: none}],",
        "     implementer:",
        "unknown item none",
    ),
    "trigger on an unknown fact": (
        "effect: required,",
        "effect: required, triggers: [{item: thing, when_any: {colour: [red]}}],",
        "     implementer:",
        "trigger reads colour, which is not a field of the item",
    ),
    "trigger on a fact of a section": (
        "effect: required,",
        "effect: required, triggers: [{section: other, when_any: {reason: [red]}}],",
        "     implementer:",
        "'item' is a required property",
    ),
    "not YAML": ("    name_zh: 事项\n", "    name_zh: [事项\n", "    name_en: Thing", "not YAML"),
    "key twice": (
        "    name_en: Thing\n",
        "    name_en: Thing\n    name_en: Again\n",
        "    name_en: Again",
        "key 'name_en' stands twice",
    ),
    "unknown key": (
        "    name_en: Thing\n",
        "    name_en: Thing\n    colour: red\n",
        "  - code: thing",
        "'colour' was unexpected",
    ),
    "unknown status": ("    polarity: distrust", "    polarity: bad", "    polarity: bad", "'bad' is not one of"),
    "impossible date": (
        "    effective_from: 2020-01-01\n    status: verified\n",
        "    effective_from: 2020-02-30\n    status: verified\n",
        "    effective_from: 2020-02-30",
        "'2020-02-30' is not a 'date'",
    ),
    "ends before it begins": (
        "    effective_from: 2020-01-01\n    status: verified\n",
        "    effective_from: 2020-01-01\n    effective_to: 2020-01-01\n    status: verified\n",
        "    effective_to: 2020-01-01",
        "effective_to is not after effective_from",
    ),
    "field twice": (
        "publication: public}]",
        "publication: public}, {name: reason, label_zh: 又, type: text, publication: public}]",
        "    fields: [",
        "field reason stands twice",
    ),
    "required_if of no field": (
        "publication: public}]",
        "publication: public, required_if: {kind: [a]}}]",
        "    fields: [",
        "required_if names kind, which is not a field",
    ),
    "enum without values": ("type: text", "type: enum", "    fields: [", "'values' is a required property"),
    "field set": ("    measures: [ban]\n", "    field_set: none\n", "    field_set: none", "unknown field set none"),
    "minimum over maximum": (
        "minimum: P3M",
        "minimum: P13M",
        "    body: ",
        "any: the minimum is longer than the maximum",
    ),
    "no period": ("minimum: P3M", "minimum: 3M", "    body: ", "does not match"),
    "list of the wrong polarity": (
        "    section: other",
        "    list: red\n    section: other",
        "    polarity: distrust",
        "a red list cannot be of polarity distrust",
    ),
    "body of another kind": ("{clock_start: publication, ", "{", "    body: ", "'clock_start' is a required property"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_edition_is_refused(name: str, tmp_path: Path) -> None:
    old, new, text, reason = BROKEN[name]
    assert old in SMALL
    broken = SMALL + SECOND if new is None else new.join(SMALL.rsplit(old, 1))
    line = broken[: broken.rindex("\n" + text) + 1].count("\n") + 1
    with pytest.raises(CatalogueError) as refused:
        load(write(tmp_path, broken))
    told = [(fault.file, fault.line) for fault in refused.value.faults if reason in fault.reason]
    assert ("edition.yaml", line) in told, str(refused.value)
    assert f"edition.yaml:{line}: " in str(refused.value)


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    broken = SMALL.replace("publicity_rule: shown", "publicity_rule: hidden").replace("[ban]", "[ban, fine]")
    with pytest.raises(CatalogueError) as refused:
        load(write(tmp_path, broken))
    assert len(refused.value.faults) == 2


@pytest.mark.parametrize("text", ["", "- a\n", "a\n"])
def test_a_file_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=r"edition\.yaml:1: "):
        load(write(tmp_path, text))


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    (tmp_path / "edition.yaml").write_bytes(SMALL.encode("gbk"))
    with pytest.raises(CatalogueError, match="not UTF-8"):
        load(tmp_path)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no catalogue files"):
        load(tmp_path)


def test_a_severity_rule_reads_only_facts_that_the_item_has(tmp_path: Path) -> None:
    rule = SMALL[SMALL.index("  - kind: publicity") : SMALL.index("measures:")]
    severity = rule.replace("kind: publicity", "kind: severity").replace("shown", "graded")
    head, _, _ = severity.partition("    body:")
    severity = head + "    body: {conditions: [{when_any: {procedure: [a]}, then: minor, article: x}]}\n"
    broken = SMALL.replace("measures:\n", severity + "measures:\n", 1).replace(
        "severity_rule: null", "severity_rule: graded"
    )
    with pytest.raises(CatalogueError, match="severity rule graded reads procedure, which is not a field"):
        load(write(tmp_path, broken))
    load(write(tmp_path, broken.replace("{conditions:", "{given_facts: [procedure], conditions:")))


def test_a_condition_of_repair_has_words_to_be_told_in(tmp_path: Path) -> None:
    rule = SMALL[SMALL.index("  - kind: publicity") : SMALL.index("measures:")]
    head, _, _ = rule.replace("kind: publicity", "kind: repair").partition("    body:")
    repair = head + "    body: {conditions: [apology-made], effects: [stop-publication]}\n"
    text = SMALL.replace("measures:\n", repair + "measures:\n", 1)
    with pytest.raises(CatalogueError, match=r"edition\.yaml:\d+: apology-made has no words"):
        load(write(tmp_path, text))
    words = load(write(tmp_path, text + "words:\n  apology-made: {zh: 已道歉, en: an apology was made}\n")).words
    assert words["apology-made"] == ("已道歉", "an apology was made")


def test_an_entry_of_its_own_wins_over_the_anchor_it_merges(tmp_path: Path) -> None:
    text = SMALL.replace("items:\n", "x-base: &base\n  name_en: Base\n  kind: licence\nitems:\n")
    text = text.replace("    code: thing", "    code: thing").replace(
        "  - code: thing\n", "  - <<: *base\n    code: thing\n"
    )
    text = text.replace("    kind: penalty\n", "")
    item = load(write(tmp_path, text)).latest("thing")
    assert (item.name_en, item.kind) == ("Thing", "licence")
