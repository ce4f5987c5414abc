"""A local supplement adds what a local regulation bases, and is stricter only where the national rule lets it."""

from __future__ import annotations

from dataclasses import fields
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st

from credit_service.catalogue import building, loader
from credit_service.catalogue.loader import CatalogueError, load
from credit_service.catalogue.periods import add_period
from credit_service.catalogue.rules import SeverityFinding, publicity_window, rule_for
from credit_service.catalogue.sources import Entry, Source
from credit_service.catalogue.supplement import local_faults, refined
from credit_service.catalogue.validation import RULE_REFERENCES, Sources
from credit_service.platform.resources import schemas_dir
from tests.support import ROOT

EXAMPLE = ROOT / "examples" / "supplement"
TEXT = (EXAMPLE / "supplement.yaml").read_text(encoding="utf-8")
NATIONAL = load()
TODAY = date(2026, 11, 24)


def test_the_example_is_marked_and_loads() -> None:
    catalogue = load(None, EXAMPLE)
    assert "示例 EXAMPLE" in TEXT
    assert "示例" in catalogue.documents["example-credit-regulation"].title_zh
    assert catalogue.edition == NATIONAL.edition
    assert catalogue.supplement is not None
    assert catalogue.supplement.division == "990000"
    added = catalogue.items.keys() - NATIONAL.items.keys()
    assert {catalogue.latest(code).local is not None for code in added} == {True}
    assert all(catalogue.latest(code).local is None for code in NATIONAL.items)


def test_a_refined_rule_holds_for_its_time_and_the_national_one_before_and_after(tmp_path: Path) -> None:
    text = TEXT.replace("    set: {amount: 2}", "    effective_to: 2027-01-01\n    set: {amount: 2}")
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    catalogue = load(None, tmp_path)

    def limit(day: str) -> tuple[int, str | None]:
        on = date.fromisoformat(day)
        rule = rule_for(catalogue, "deadline", "objection-own", on, on)
        assert rule is not None
        return rule.amount, rule.refines

    assert limit("2026-04-30") == limit("2027-01-01") == (3, None)
    assert limit("2026-05-01") == limit("2026-12-31") == (2, "default-objection-own")
    assert NATIONAL.rules["deadline", "objection-forwarded"] == catalogue.rules["deadline", "objection-forwarded"]


ITEM = "  - code: example-fake-commitment"
BROKEN: dict[str, tuple[str, str, str, str]] = {
    # what is changed: the text it replaces, the new text, how the line told begins, the reason
    "longer time-limit": ("set: {amount: 2}", "set: {amount: 4}", "    set: {amount: 4}", "is not shorter than 3"),
    "longer disclosure": (
        "disclosure_maximum: P3Y}",
        "disclosure_maximum: P6Y}",
        "    set: {disclosure_maximum: P6Y}",
        "is not shorter than P5Y",
    ),
    "disclosure counted otherwise": (
        "disclosure_maximum: P3Y}",
        "disclosure_maximum: P300D}",
        "    set: {disclosure_maximum: P300D}",
        "is not shorter than P5Y",
    ),
    "query log kept shorter": (
        "disclosure_maximum: P3Y}",
        "query_log_minimum: P1Y}",
        "    set: {query_log_minimum: P1Y}",
        "is not longer than P5Y",
    ),
    "another unit": (
        "set: {amount: 2}",
        "set: {unit: calendar-days}",
        "    set: {unit: calendar-days}",
        "default-objection-own leaves no room for a local unit",
    ),
    "window of Order 36": (
        "    refines: default-objection-own\n",
        "    refines: ndrc-order-36-publicity\n",
        "    refines: ndrc-order-36-publicity",
        "unknown deadline rule version ndrc-order-36-publicity",
    ),
    "refined before it holds": (
        "    effective_from: 2026-05-01\n    set: {amount: 2}",
        "    effective_from: 2020-05-01\n    set: {amount: 2}",
        "    effective_from: 2020-05-01",
        "default-objection-own is not in force on 2020-05-01",
    ),
    "refinement on no local regulation": (
        "    legal_basis: [{document: example-credit-regulation, article: 第三十条,",
        "    legal_basis: [{document: state-council-2025-22, article: 第三十条,",
        "    legal_basis: [{document: state-council-2025-22, article: 第三十条",
        "rests on no local regulation",
    ),
    "item on no local regulation": (
        "    legal_basis: [{document: example-credit-regulation, article: 第二十条,",
        "    legal_basis: [{document: ndrc-order-36, article: 第二十条,",
        "    legal_basis: [{document: ndrc-order-36, article: 第二十条",
        "rests on no local regulation",
    ),
    "item without its columns": (
        TEXT[TEXT.index("    local:\n") : TEXT.index("    fields:\n")],
        "",
        ITEM,
        "第三十四条",
    ),
    "item without one column": (
        "      update_frequency: daily\n",
        "",
        "      act: ",
        "'update_frequency' is a required property",
    ),
    "national item": (
        "code: example-fake-commitment",
        "code: judgment",
        "  - code: judgment",
        "judgment is an item of the national catalogue",
    ),
    "no repair": ("    repair_rule: ndrc\n", "", ITEM, "an adverse item without a repair rule"),
    "no disclosure limit": (
        "    retention_rule: default\n",
        "    retention_rule: null\n",
        "    retention_rule: null",
        "an adverse item without a retention rule",
    ),
    "window of another rule": (
        "    publicity_rule: penalty\n",
        "    publicity_rule: publicity-regulation-serious-list\n",
        "    publicity_rule: publicity",
        "publicity rule publicity-regulation-serious-list is not open to local items",
    ),
    "kept too long": ("retention: P3Y", "retention: P9Y", "      retention: P9Y", "kept longer than P5Y"),
    "shown though not public": (
        "publication: public\n",
        "publication: shared\n",
        "      publication: shared",
        "not public, yet its publicity rule shows it",
    ),
    "measure that reduces rights": (
        "    retention_rule: default\n",
        "    retention_rule: default\n    measures: [procurement-bar]\n",
        "    measures:",
        "measure procurement-bar reduces rights",
    ),
    "document of a higher rank": (
        "level: local-regulation, title_zh: 示例市",
        "level: law, title_zh: 示例市",
        "  - {id: example",
        "cannot bring a document of level law",
    ),
    "supplement on a national document": (
        "  basis: example-credit-regulation",
        "  basis: ndrc-order-36",
        "  basis: ndrc-order-36",
        "ndrc-order-36 is no local regulation",
    ),
    "identity number": ("label_zh: 不实情况", "label_zh: 身份证号码", "    fields:", "would hold a personal number"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_supplement_beyond_its_bounds_is_refused(name: str, tmp_path: Path) -> None:
    old, new, text, reason = BROKEN[name]
    assert TEXT.count(old) == 1
    broken = TEXT.replace(old, new)
    line = broken[: broken.index("\n" + text) + 1].count("\n") + 1
    (tmp_path / "s.yaml").write_text(broken, encoding="utf-8")
    with pytest.raises(CatalogueError) as refused:
        load(None, tmp_path)
    told = [(f.file, f.line) for f in refused.value.faults if reason in f.reason]
    assert (f"{tmp_path.name}/s.yaml", line) in told, str(refused.value)


@pytest.mark.parametrize(
    ("addition", "reason"),
    [
        (
            "rules:\n  - {kind: publicity, name: own, version: own-1, effective_from: 2026-05-01, "
            "legal_basis: [{document: example-credit-regulation, status: inference}], "
            "transition: {applies_to_older_decisions: false, note: x, status: inference}, status: inference, "
            "body: {clock_start: publication, classes: {any: {published: true, maximum: P9Y}}}}\n",
            "a supplement makes no rules of its own",
        ),
        ("scenarios:\n  - {code: x, name_zh: x, name_en: x}\n", "scenarios are those of the national catalogue"),
        (
            "measures:\n  - {code: x, name_zh: x, name_en: x, kind: A, implementer: x, scenarios: [licence], "
            "legal_basis: [{document: administrative-licence-law, status: inference}], effect: required, "
            "effect_status: inference, effective_from: 2026-05-01, status: inference, triggers: [{item: judgment}]}\n",
            "measure x reduces rights: only the national catalogue may",
        ),
        (
            "measures:\n  - {code: x, name_zh: x, name_en: x, kind: B, implementer: x, scenarios: [licence], "
            "legal_basis: [{document: example-credit-regulation, status: inference}], effect: optional, "
            "effect_status: inference, effective_from: 2026-05-01, status: inference, triggers: [{item: judgment}]}\n",
            "a local measure is triggered by the supplement's own items",
        ),
    ],
)
def test_what_a_supplement_cannot_bring(addition: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(TEXT + addition, encoding="utf-8")
    with pytest.raises(CatalogueError) as refused:
        load(None, tmp_path)
    assert reason in str(refused.value)


def test_a_supplement_says_whose_it_is_and_only_a_supplement_may(tmp_path: Path) -> None:
    header = TEXT[TEXT.index("supplement:") : TEXT.index("documents:")]
    (tmp_path / "s.yaml").write_text(TEXT.replace(header, ""), encoding="utf-8")
    with pytest.raises(CatalogueError, match="says once whose it is"):
        load(None, tmp_path)
    with pytest.raises(CatalogueError, match="belongs into the folder of a local supplement"):
        load(EXAMPLE)


# Any supplement ---------------------------------------------------------------------------------------------------


@cache
def national() -> Sources:
    return loader._sources(loader._contents(schemas_dir() / "catalogue"))


def entry(value: dict[str, Any]) -> Entry:
    made = Entry()
    made.update({name: entry(part) if isinstance(part, dict) else part for name, part in value.items()})
    return made


NO_SOURCES = Sources(documents=[], items=[], rules=[], measures=[], scenarios=[], field_sets={}, words={})
HEADER = Source("s.yaml", entry({"division": "990000", "basis": "shanghai-credit-regulation"}), "1")
BASIS = [{"document": "shanghai-credit-regulation", "status": "inference"}]


def leaves(body: Any, path: str = "") -> dict[str, Any]:
    if isinstance(body, dict):
        return {key: value for name, part in body.items() for key, value in leaves(part, f"{path}.{name}").items()}
    return {path[1:]: body}


PLACES = [(source, path, value) for source in national().rules for path, value in leaves(source.entry["body"]).items()]
OPEN_PLACES = [
    (source, path, leaves(source.entry["body"]).get(path))
    for source in national().rules
    for path in source.entry.get("local", {}).get("refine", ())
]
VALUES = st.one_of(
    st.integers(0, 40),
    st.booleans(),
    st.builds(lambda n, unit: f"P{n}{unit}", st.integers(0, 12), st.sampled_from("YMD")),
    st.lists(
        st.sampled_from(["警告", "通报批评", "罚款", "repair-notice", "publicity-notice", "content-wrong", "other"])
    ),
)
DAYS = st.dates(date(2020, 1, 1), date(2030, 1, 1))


def nearby(value: Any) -> st.SearchStrategy[Any]:
    """Values that a refinement could hold where the national rule holds ``value``."""
    if isinstance(value, list):
        return st.one_of(VALUES, st.just([*value, "other"]), st.just(value[1:]))
    return st.one_of(VALUES, st.just(value))


@st.composite
def refinements(draw: st.DrawFn) -> Source:
    source, path, value = draw(st.one_of(st.sampled_from(OPEN_PLACES), st.sampled_from(PLACES)))
    rule = source.entry
    begins = draw(st.one_of(st.just(rule["effective_from"]), DAYS.map(date.isoformat)))
    changed = {
        "kind": rule["kind"],
        "refines": rule["version"],
        "version": "local-version",
        "legal_basis": BASIS,
        "effective_from": begins,
        "set": {path: draw(nearby(value))},
        "status": "inference",
    }
    return Source("s.yaml", entry(changed), "1")


def looser(old: Any, new: Any, on: date) -> list[str]:
    """What of a rule would weigh more on the subject, or bind the authorities less, than before."""

    def ends(period: str | None) -> date:
        return add_period(on, period) if period else date.max

    found = []
    match old.kind:
        case "publicity":
            for name, terms in new.classes.items():
                before = old.classes[name]
                found += [name] * (
                    (terms.published, terms.exceptional) > (before.published, before.exceptional)
                    or ends(terms.maximum) > ends(before.maximum)
                    or (terms.minimum is not None and ends(terms.minimum) > ends(before.minimum or "P0D"))
                    or terms.no_repair_for > before.no_repair_for
                    or terms.auto_stop < before.auto_stop
                )
            found += ["never published"] * (not new.never_published >= old.never_published)
            found += ["clock"] * (new.clock_start != old.clock_start)
        case "retention":
            found += ["disclosure"] * (ends(new.disclosure_maximum) > ends(old.disclosure_maximum))
            found += ["log"] * (ends(new.query_log_minimum or "P0D") < ends(old.query_log_minimum or "P0D"))
        case "notice":
            found += ["notices"] * (not set(new.notices) >= set(old.notices) or new.gate < old.gate)
            found += ["consent"] * (old.consent_of_higher_authority_for != new.consent_of_higher_authority_for)
        case "objection":
            found += ["flag"] * (new.flag_required < old.flag_required or not set(new.grounds) >= set(old.grounds))
            found += ["deadlines"] * (dict(new.deadlines) != dict(old.deadlines))
        case "deadline":
            found += ["unit"] * ((old.unit, old.starts, old.at_least) != (new.unit, new.starts, new.at_least))
            found += ["amount"] * (new.amount < old.amount if old.at_least else new.amount > old.amount)
            found += ["extension"] * ((new.extension or 0) > (old.extension or 0))
        case _:
            found += ["body"] * (new.body != old.body)
    return found


@settings(max_examples=400)
@given(refinement=refinements(), on=st.dates(date(2019, 1, 1), date(2031, 1, 1)))
def test_no_supplement_lengthens_or_loosens_a_national_rule(refinement: Source, on: date) -> None:
    faults = local_faults(national(), NO_SOURCES, [refinement], HEADER)
    event("refused" if faults else "taken")
    if faults:
        return
    kept = refined(national().rules, [refinement])
    rules = [building.rule(source.entry, source.edition) for source in kept]
    was = [building.rule(source.entry, source.edition) for source in national().rules]
    named = {rule.name for rule in was if rule.version == refinement.entry["refines"]}
    for kind, name in {(rule.kind, rule.name) for rule in was}:
        before = [rule for rule in was if (rule.kind, rule.name) == (kind, name) and rule.in_force(on)]
        after = [rule for rule in rules if (rule.kind, rule.name) == (kind, name) and rule.in_force(on)]
        # Never a gap, never two at once, nothing changed but what was refined, and that never to the worse.
        assert len(before) == len(after)
        for old, new in zip(before, after, strict=True):
            assert new.transition == old.transition
            assert looser(old, new, on) == []
            if name not in named:
                assert new == old


def test_refinements_of_every_direction_are_taken() -> None:
    taken = {
        ("deadline", "ndrc-order-36-decide"): {"amount": 5, "extension": 5},
        ("retention", "local-regulations-retention"): {"disclosure_maximum": "P4Y", "query_log_minimum": "P6Y"},
        ("notice", "penalty-law-notice"): {
            "notices": ["facts-grounds-and-rights", "publicity-notice", "repair-notice"]
        },
        ("publicity", "ndrc-order-36-publicity"): {"never_published": ["警告", "通报批评", "罚款"]},
        ("objection", "state-council-2025-22-objection"): {"flag_required": True},
    }
    for (kind, version), changes in taken.items():
        begins = next(s.entry["effective_from"] for s in national().rules if s.entry["version"] == version)
        value = {
            "kind": kind, "refines": version, "version": "local-version", "legal_basis": BASIS,
            "effective_from": begins, "set": changes, "status": "inference",
        }  # fmt: skip
        refinement = Source("s.yaml", entry(value), "1")
        assert local_faults(national(), NO_SOURCES, [refinement], HEADER) == []
        rules = [building.rule(s.entry, "1") for s in refined(national().rules, [refinement])]
        assert [rule.refines for rule in rules if rule.version == "local-version"] == [version]


RULE_NAMES = {
    kind: sorted({source.entry["name"] for source in national().rules if source.entry["kind"] == kind})
    for kind in RULE_REFERENCES
}


@given(
    changes=st.fixed_dictionaries(
        {},
        optional={f"{kind}_rule": st.one_of(st.none(), st.sampled_from(names)) for kind, names in RULE_NAMES.items()},
    ),
    retention=st.integers(1, 10),
    decided_on=st.dates(date(2023, 5, 1), date(2030, 12, 31)),
    severity=st.sampled_from(["minor", "general", "serious"]),
)
def test_no_local_item_is_shown_longer_or_guarded_less_than_order_36_lets(
    changes: dict[str, str | None], retention: int, decided_on: date, severity: str
) -> None:
    stated = yaml.safe_load(TEXT)["items"][0]
    local = stated["local"] | {"retention": f"P{retention}Y"}
    given_item = stated | changes | {"local": local, "legal_basis": BASIS}
    chosen = {name: given_item[name] for name in given_item if name.endswith("_rule")}
    item = Source("s.yaml", entry({k: v for k, v in given_item.items() if k != "fields"}), "1")
    faults = local_faults(national(), Sources(**{**vars_of(NO_SOURCES), "items": [item]}), [], HEADER)
    event("refused" if faults else "taken")
    if faults:
        return
    assert retention <= 5
    assert all(chosen.values())
    notice = rule_for(NATIONAL, "notice", chosen["notice_rule"], decided_on, TODAY)
    assert notice is not None
    assert notice.gate
    rule = rule_for(NATIONAL, "publicity", chosen["publicity_rule"], decided_on, TODAY)
    finding = SeverityFinding(severity, (), frozenset())
    window = publicity_window(rule, finding, decided_on=decided_on, first_published_on=decided_on + timedelta(days=3))
    if window.published and chosen["publicity_rule"] != "until-valid-until":
        assert window.latest_stop is not None
        assert window.latest_stop <= add_period(decided_on, "P3Y")


def vars_of(sources: Sources) -> dict[str, Any]:
    return {field.name: getattr(sources, field.name) for field in fields(sources)}
