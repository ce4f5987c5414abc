"""Items to the day, rules by version, severity with its reason, publicity windows."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.catalogue.loader import load
from credit_service.catalogue.models import Catalogue
from credit_service.catalogue.periods import add_period
from credit_service.catalogue.rule_models import Transition
from credit_service.catalogue.rules import (
    CATALOGUE_ITEM_NOT_IN_FORCE,
    CATALOGUE_ITEM_UNKNOWN,
    SeverityFinding,
    classify,
    item_in_force,
    publicity_window,
    rule_for,
)
from credit_service.platform.errors import Problem

CATALOGUE = load()
PENALTY = CATALOGUE.latest("administrative-penalty")
FINE: dict[str, Any] = {"procedure": "ordinary", "penalty_categories": ["罚款"], "fine_amount": "12000.00"}


def window(
    facts: dict[str, Any], decided_on: date, first: date | None = None, name: str = "penalty", **more: Any
) -> Any:
    finding = classify(PENALTY, rule_for(CATALOGUE, "severity", name, decided_on, decided_on), facts)
    rule = rule_for(CATALOGUE, "publicity", name, decided_on, decided_on)
    return publicity_window(rule, finding, decided_on=decided_on, first_published_on=first or decided_on, **more)


# Items --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "first", "last"),
    [
        ("administrative-penalty", date(2021, 7, 15), None),
        ("serious-dishonesty-tax", date(2022, 2, 1), None),
        ("serious-dishonesty-customs", date(2021, 11, 1), None),
        ("customs-aeo", date(2026, 4, 1), None),
    ],
)
def test_an_item_holds_from_its_first_day(code: str, first: date, last: date | None) -> None:
    assert item_in_force(CATALOGUE, code, first).code == code
    with pytest.raises(Problem) as refused:
        item_in_force(CATALOGUE, code, first - timedelta(days=1))
    assert refused.value.type is CATALOGUE_ITEM_NOT_IN_FORCE
    assert [error.pointer for error in refused.value.errors] == ["/item_code"]
    assert first.isoformat() in refused.value.detail


@pytest.mark.parametrize("code", [code for code, versions in CATALOGUE.items.items() if len(versions) > 1])
def test_versions_of_an_item_change_on_the_day(code: str) -> None:
    earlier, later = CATALOGUE.items[code]
    assert earlier.effective_to == later.effective_from
    assert item_in_force(CATALOGUE, code, later.effective_from - timedelta(days=1)) is earlier
    assert item_in_force(CATALOGUE, code, later.effective_from) is later


def test_an_unknown_item_is_refused() -> None:
    with pytest.raises(Problem) as refused:
        item_in_force(CATALOGUE, "no-such-item", date(2026, 1, 1))
    assert refused.value.type is CATALOGUE_ITEM_UNKNOWN
    assert (refused.value.type.status, refused.value.errors[0].pointer) == (422, "/item_code")


# Versions of rules --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "decided_on", "version"),
    [
        ("penalty", "2026-04-01", "ndrc-order-36-publicity"),
        ("penalty", "2026-03-31", "ndrc-order-58-publicity"),
        ("penalty", "2023-05-01", "ndrc-order-58-publicity"),
        ("penalty", "2023-04-30", "ndrc-before-2023-publicity"),
        ("penalty", "2010-01-01", "ndrc-before-2023-publicity"),
        ("market-regulation-penalty", "2025-12-25", "samr-order-107-publicity"),
        ("market-regulation-penalty", "2025-12-24", "samr-2021-3-publicity"),
        ("market-regulation-penalty", "2020-01-01", "samr-2021-3-publicity"),
    ],
)
def test_a_decision_keeps_the_rule_of_its_day(name: str, decided_on: str, version: str) -> None:
    rule = rule_for(CATALOGUE, "publicity", name, date.fromisoformat(decided_on), date(2026, 11, 24))
    assert rule is not None
    assert rule.version == version


def reaching_back(kind: str, name: str) -> Catalogue:
    """The catalogue, but its newest version of a rule applies to older decisions."""
    versions = CATALOGUE.rules[kind, name]
    newest = replace(versions[-1], transition=Transition(True, "test", "inference"))
    rules = {**CATALOGUE.rules, (kind, name): (*versions[:-1], newest)}
    return replace(CATALOGUE, rules=MappingProxyType(rules))


@pytest.mark.parametrize(
    ("name", "day"), [("penalty", date(2026, 4, 1)), ("market-regulation-penalty", date(2025, 12, 25))]
)
def test_a_rule_that_reaches_back_governs_older_decisions_from_its_own_day(name: str, day: date) -> None:
    catalogue, older = reaching_back("publicity", name), day - timedelta(days=100)
    versions = catalogue.rules["publicity", name]
    assert rule_for(catalogue, "publicity", name, older, day - timedelta(days=1)) is versions[-2]
    assert rule_for(catalogue, "publicity", name, older, day) is versions[-1]


def test_procedure_of_the_day_applies_to_older_decisions() -> None:
    def repair(today: date) -> str:
        rule = rule_for(CATALOGUE, "repair", "ndrc", date(2025, 1, 1), today)
        assert rule is not None
        return rule.version

    assert repair(date(2026, 3, 31)) == "ndrc-order-58-repair"
    assert repair(date(2026, 4, 1)) == "ndrc-order-36-repair"


def test_no_name_means_no_rule() -> None:
    assert rule_for(CATALOGUE, "repair", None, date(2026, 1, 1), date(2026, 1, 1)) is None


# Severity -----------------------------------------------------------------------------------------


def test_the_reason_names_article_and_fact() -> None:
    rule = rule_for(CATALOGUE, "severity", "penalty", date(2026, 4, 1), date(2026, 4, 1))
    finding = classify(PENALTY, rule, {**FINE, "penalty_categories": ["罚款", "责令停产停业"]})
    assert (finding.severity, finding.explanation[0].fact) == ("serious", "penalty_categories=责令停产停业")
    assert finding.categories == {"罚款", "责令停产停业"}


def test_a_threshold_that_is_not_set_is_never_met_and_one_that_is_set_is() -> None:
    rule = rule_for(CATALOGUE, "severity", "penalty", date(2026, 4, 1), date(2026, 4, 1))
    assert rule is not None
    assert classify(PENALTY, rule, {**FINE, "fine_amount": "999999999.00"}).severity == "general"
    conditions = tuple(
        replace(c, at_least={"fine_amount": Decimal(1_000_000)}) if c.at_least else c for c in rule.conditions
    )
    local = replace(rule, conditions=conditions)
    assert classify(PENALTY, local, {**FINE, "fine_amount": "1000000.00"}).severity == "serious"
    assert classify(PENALTY, local, {**FINE, "fine_amount": "999999.99"}).severity == "general"


def test_a_rule_tells_every_fact_it_can_turn_on() -> None:
    rule = rule_for(CATALOGUE, "severity", "penalty", date(2026, 4, 1), date(2026, 4, 1))
    assert rule is not None
    assert rule.fact_names == {"procedure", "penalty_categories"}, "no threshold of a huge fine is set"


def test_order_58_took_the_supervised_field_from_the_caller() -> None:
    rule = rule_for(CATALOGUE, "severity", "penalty", date(2026, 3, 31), date(2026, 3, 31))
    assert classify(PENALTY, rule, FINE).severity == "general"
    assert classify(PENALTY, rule, {**FINE, "supervision_field": "食品"}).severity == "serious"


# Windows ------------------------------------------------------------------------------------------


def test_order_36_against_order_58() -> None:
    new, old = window(FINE, date(2026, 4, 1)), window(FINE, date(2026, 3, 31))
    assert (new.earliest_stop, new.latest_stop) == (date(2026, 7, 1), date(2027, 4, 1))
    assert (old.earliest_stop, old.latest_stop) == (date(2026, 6, 30), date(2029, 3, 31))
    assert (new.rule_version, old.rule_version) == ("ndrc-order-36-publicity", "ndrc-order-58-publicity")
    assert new.repair_eligible_from == new.earliest_stop


def test_order_107_against_the_rule_of_2021_counts_from_publication() -> None:
    first = date(2026, 1, 31)
    new = window(FINE, date(2025, 12, 25), first, "market-regulation-penalty")
    old = window(FINE, date(2025, 12, 24), first, "market-regulation-penalty")
    assert (new.earliest_stop, new.latest_stop) == (date(2026, 4, 30), date(2027, 1, 31))
    assert (old.earliest_stop, old.latest_stop) == (date(2026, 7, 31), date(2029, 1, 31))


def test_a_warning_is_never_published() -> None:
    warning = {"procedure": "ordinary", "penalty_categories": ["警告"]}
    for day in (date(2023, 6, 1), date(2026, 3, 31), date(2026, 4, 1)):
        told = window(warning, day, exceptionally_published=True)
        assert (told.published, told.latest_stop, told.repair_eligible_from) == (False, None, day)
    assert not window(warning, date(2026, 4, 1), name="market-regulation-penalty").published


def test_a_minor_penalty_is_published_only_by_exception() -> None:
    minor, day = {"procedure": "simple", "penalty_categories": ["罚款"]}, date(2026, 5, 31)
    usual = window(minor, day)
    assert (usual.published, usual.earliest_stop, usual.latest_stop) == (False, None, None)
    assert usual.repair_eligible_from == day
    shown = window(minor, day, exceptionally_published=True)
    assert (shown.published, shown.earliest_stop, shown.latest_stop) == (True, day, date(2026, 8, 31))
    # Order 58 knew no exception.
    assert not window(minor, date(2026, 3, 31), exceptionally_published=True).published


def test_automatic_stop_is_suppressed_only_where_the_rule_allows_it() -> None:
    assert window(FINE, date(2026, 4, 1), auto_stop_suppressed=True).latest_stop is None
    assert window(FINE, date(2026, 3, 31), auto_stop_suppressed=True).latest_stop == date(2029, 3, 31)


def test_order_45_lets_a_longer_restriction_run_and_bars_early_stop() -> None:
    restricted = {**FINE, "penalty_categories": ["限制从业"]}
    day, longer = date(2022, 1, 10), date(2030, 1, 9)
    told = window(restricted, day, name="market-regulation-penalty", valid_until=longer)
    assert (told.latest_stop, told.repair_eligible_from) == (date(2030, 1, 10), None)
    assert window(FINE, day, name="market-regulation-penalty", valid_until=longer).latest_stop == date(2025, 1, 10)
    ended = window(restricted, day, name="market-regulation-penalty", valid_until=date(2022, 6, 1))
    assert ended.latest_stop == date(2025, 1, 10)


@pytest.mark.parametrize(
    ("valid_until", "stop"),
    [(date(2026, 12, 31), date(2027, 1, 1)), (date(2099, 12, 31), None), (None, None)],
)
def test_a_licence_is_shown_through_its_last_day(valid_until: date | None, stop: date | None) -> None:
    rule = rule_for(CATALOGUE, "publicity", "until-valid-until", date(2026, 5, 6), date(2026, 5, 6))
    finding = SeverityFinding(None, ())
    day = date(2026, 5, 6)
    told = publicity_window(rule, finding, decided_on=day, first_published_on=day, valid_until=valid_until)
    assert (told.published, told.latest_stop) == (True, stop)


def test_no_rule_means_not_published() -> None:
    day = date(2026, 5, 6)
    told = publicity_window(None, SeverityFinding("general", ()), decided_on=day, first_published_on=day)
    assert (told.published, told.rule_version) == (False, "none")


@pytest.mark.parametrize("code", sorted(i.code for i in CATALOGUE.latest_items() if i.list_colour == "black"))
def test_every_black_list_is_published_for_three_years_at_most(code: str) -> None:
    item, day = CATALOGUE.latest(code), date(2026, 11, 24)
    finding = classify(item, rule_for(CATALOGUE, "severity", item.severity_rule, day, day), {})
    rule = rule_for(CATALOGUE, "publicity", item.publicity_rule, day, day)
    told = publicity_window(rule, finding, decided_on=day, first_published_on=day)
    assert told.published
    # 企业信息公示暂行条例 art. 17: five years; the abnormal list has no term, only removal.
    own = {"serious-dishonesty-publicity-regulation": date(2031, 11, 24), "abnormal-operation-list": None}
    if code in own:
        assert told.latest_stop == own[code]
    else:
        assert told.latest_stop is not None
        assert told.latest_stop <= date(2029, 11, 24)


CATEGORIES = next(f.values for f in PENALTY.fields if f.name == "penalty_categories")


@given(
    st.dates(date(2021, 7, 15), date(2035, 12, 31)),
    st.integers(0, 800),
    st.lists(st.sampled_from(CATEGORIES), min_size=1, max_size=4, unique=True),
    st.sampled_from([None, "simple", "ordinary"]),
    st.sampled_from(["penalty", "market-regulation-penalty"]),
)
def test_no_window_is_longer_than_three_years_from_its_start(
    day: date, late: int, categories: list[str], procedure: str | None, name: str
) -> None:
    first = day + timedelta(days=late)
    told = window({"penalty_categories": categories, "procedure": procedure}, day, first, name)
    start = day if name == "penalty" else first
    assert told.published or (told.earliest_stop, told.latest_stop) == (None, None)
    if told.published:
        assert start <= (told.earliest_stop or start) <= told.latest_stop <= add_period(start, "P3Y")
    assert set(categories) - {"警告", "通报批评"} or name != "penalty" or not told.published
