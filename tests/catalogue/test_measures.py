"""The list of measures as the sources give it, and which records lead to which measure."""

from __future__ import annotations

import csv
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from credit_service.catalogue.loader import load
from credit_service.catalogue.measures import measures_in_force, measures_triggered
from credit_service.catalogue.models import Item, Measure

HERE = Path(__file__).parent
CATALOGUE = load()
TODAY = date(2026, 11, 24)
ROWS = list(csv.DictReader((HERE / "measures.csv").open(encoding="utf-8")))
MEASURES = [measure for versions in CATALOGUE.measures.values() for measure in versions]
STATUTES = {"law", "administrative-regulation"}
DIGITS = {digit: value for value, digit in enumerate("零一二三四五六七八九")}


def article_number(article: str | None) -> str:
    """第七十八条 as 78."""
    match = re.match(r"第([零一二三四五六七八九十百]+)条", article or "")
    if match is None:
        return ""
    value = part = 0
    for sign in match[1]:
        if sign in DIGITS:
            part = DIGITS[sign]
        else:
            value += (part or 1) * {"十": 10, "百": 100}[sign]
            part = 0
    return str(value + part)


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row['number']}-{row['document']}-{row['article']}-{row['kind']}"
)
def test_every_row_of_the_list_is_in_the_catalogue(row: dict[str, str]) -> None:
    given = tuple(row.values())
    told = [
        (m.number, m.kind, basis.document, article_number(basis.article), m.minimum_term or "", m.maximum_term or "")
        for m in MEASURES
        for basis in m.legal_basis
    ]
    assert given in told


def test_no_row_of_the_list_was_invented() -> None:
    assert {m.number for m in MEASURES if m.number is not None} == {row["number"] for row in ROWS}


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.code)
def test_what_reduces_rights_rests_on_a_statute_in_force(measure: Measure) -> None:
    held = [CATALOGUE.documents[basis.document] for basis in measure.legal_basis]
    in_force = [d for d in held if d.effective_from is not None and d.effective_from <= measure.effective_from]
    assert in_force
    if measure.kind == "A":
        assert {d.level for d in in_force} & STATUTES
    assert set(measure.scenarios) <= CATALOGUE.scenarios.keys()


def test_every_scenario_has_a_measure() -> None:
    assert {scenario for m in MEASURES for scenario in m.scenarios} == CATALOGUE.scenarios.keys()


def test_a_natural_persons_measure_is_led_to_by_nothing() -> None:
    persons = {m.code for m in MEASURES if m.subject == "natural-person"}
    assert persons == {"limit-office", "limit-schooling", "exit-restriction-military-service"}
    assert not any(m.triggers for m in MEASURES if m.code in persons)
    assert not any(set(item.measures) & persons for item in CATALOGUE.latest_items())


def codes(item: str, facts: dict[str, Any], scenario: str | None = None, on: date = TODAY) -> dict[str, bool]:
    triggered = measures_triggered(CATALOGUE, CATALOGUE.latest(item), facts, on, scenario)
    return {found.measure.code: found.established for found in triggered}


PENALTY = "administrative-penalty"


@pytest.mark.parametrize(
    ("item", "facts", "scenario", "expected"),
    [
        (PENALTY, {"penalty_categories": ["罚款"], "fine_amount": "1999999.99"}, "procurement", {}),
        (PENALTY, {"fine_amount": "2000000.00"}, "procurement", {"procurement-eligibility": False}),
        (PENALTY, {"penalty_categories": ["罚款", "责令停产停业"]}, "procurement", {"procurement-eligibility": True}),
        (PENALTY, {"violation_type": "投标人串通投标"}, "bidding", {"bidding-collusion-bar": False}),
        (PENALTY, {"violation_type": "投标人串通投标"}, "procurement", {}),
        (PENALTY, {"violation_type": "以欺骗手段取得许可"}, "licence", {"licence-fraud-bar": False}),
        (PENALTY, {}, "publication", {"publish-and-share": True}),
        (
            "serious-dishonesty-wage-arrears",
            {},
            "subsidy",
            {"no-public-funds": True, "wage-arrears-restrictions": True},
        ),
        ("serious-dishonesty-tax", {}, "procurement", {}),
        ("serious-dishonesty-government-procurement", {}, "procurement", {"procurement-bar": True}),
        (
            "serious-dishonesty-government-procurement",
            {"reason": "捏造事实恶意投诉"},
            "procurement",
            {"procurement-bar": True, "procurement-false-complaint-bar": False},
        ),
        ("serious-dishonesty-work-safety", {}, "insurance", {"work-safety-restrictions": True}),
        ("abnormal-operation-list", {}, "inspection", {"key-supervision": True}),
        ("abnormal-operation-list", {}, "honours", {}),
        ("taxpayer-grade-a", {}, "inspection", {"fewer-inspections": True}),
        ("administrative-licence", {}, None, {}),
    ],
)
def test_what_a_record_leads_to(
    item: str, facts: dict[str, Any], scenario: str | None, expected: dict[str, bool]
) -> None:
    assert codes(item, facts, scenario) == expected


def test_a_record_that_establishes_and_points_is_named_once_as_established() -> None:
    facts = {"penalty_categories": ["吊销许可证件"], "fine_amount": "9000000.00"}
    found = measures_triggered(CATALOGUE, CATALOGUE.latest(PENALTY), facts, TODAY, "procurement")
    assert [(f.measure.code, f.established) for f in found] == [("procurement-eligibility", True)]
    assert "penalty_categories=吊销许可证件" in found[0].fact


def test_a_measure_is_taken_only_while_its_law_is_in_force() -> None:
    last_day_before = date(2022, 11, 30)
    item = "serious-dishonesty-telecom-fraud"
    assert "telecom-fraud-restrictions" not in codes(item, {}, on=last_day_before)
    assert "telecom-fraud-restrictions" in codes(item, {}, on=date(2022, 12, 1))
    assert all(measure.in_force(last_day_before) for measure in measures_in_force(CATALOGUE, last_day_before))


def test_both_ends_of_a_link_agree() -> None:
    def led_to(measure: Measure, item: Item) -> bool:
        return any(
            item.code in t.item.get("code", ()) or item.section in t.item.get("section", ()) for t in measure.triggers
        )

    for item in CATALOGUE.latest_items():
        assert set(item.measures) == {m.code for m in MEASURES if led_to(m, item)}
    assert set(CATALOGUE.latest("serious-dishonesty-tax").measures) >= {"publish-and-share", "no-honours"}
