"""Where the sources disagree the catalogue holds both sides, each for its place, and resolves nothing by guess."""

from __future__ import annotations

from datetime import date
from typing import Any

from credit_service.catalogue.loader import load
from credit_service.catalogue.rules import rule_for

CATALOGUE = load()
TODAY = date(2026, 11, 24)


def rule(kind: str, name: str, day: date = TODAY) -> Any:
    return rule_for(CATALOGUE, kind, name, day, day)


def test_each_rule_names_the_start_of_its_clock() -> None:
    assert rule("publicity", "penalty").clock_start == "finding-document"
    assert rule("publicity", "enterprise-publicity-system-penalty").clock_start == "publication"
    assert rule("publicity", "penalty").destination != rule("publicity", "market-regulation-penalty").destination


def test_one_penalty_has_a_deadline_for_each_destination() -> None:
    item = CATALOGUE.latest("administrative-penalty")
    limits = [rule("deadline", name) for name in item.duties["publish"]]
    assert {(limit.destination, limit.amount, limit.unit, limit.starts) for limit in limits} == {
        ("credit-china", 7, "working-days", "decision"),
        ("enterprise-publicity-system", 20, "working-days", "decision"),
    }


def test_order_45_and_order_107_stand_side_by_side() -> None:
    old, new = (
        rule("publicity", name) for name in ("enterprise-publicity-system-penalty", "market-regulation-penalty")
    )
    assert (old.in_force(TODAY), new.in_force(TODAY)) == (True, True)
    assert (old.classes["any"].maximum, new.classes["serious"].maximum) == ("P3Y", "P3Y")
    # Order 45 art. 14: no early stop for the severe; Order 107: after a year.
    assert "吊销许可证件" in old.classes["any"].no_repair_for
    assert (new.classes["serious"].minimum, new.classes["serious"].no_repair_for) == ("P1Y", frozenset())
    assert CATALOGUE.latest("administrative-penalty").destination_rules == {
        "enterprise-publicity-system": "market-regulation-penalty"
    }


def test_the_five_year_list_and_the_three_year_list_are_two_lists() -> None:
    five = CATALOGUE.latest("serious-dishonesty-publicity-regulation")
    three = CATALOGUE.latest("serious-dishonesty-market-regulation")
    assert rule("publicity", str(five.publicity_rule)).classes["serious"].maximum == "P5Y"
    assert rule("publicity", str(three.publicity_rule)).classes["serious"].maximum == "P3Y"
    assert {basis.document for basis in five.legal_basis} & {basis.document for basis in three.legal_basis} == set()


def test_a_report_marks_what_order_36_no_longer_shares() -> None:
    """Both answers hold today, each with its own status: the mark comes from an article, the stop from the text."""
    marked, stopped = rule("report", "special-report-repaired-items"), rule("report", "repaired-items")
    assert (marked.in_force(TODAY), stopped.in_force(TODAY)) == (True, True)
    assert (marked.repaired_items, marked.status) == ("marked", "secondary")
    assert (stopped.repaired_items, stopped.status) == ("not-shared", "verified")
    assert [(b.document, b.article) for b in stopped.legal_basis] == [("ndrc-order-36", "第三条")]
    assert "stop-sharing" in rule("repair", "ndrc").effects


def test_the_national_report_and_that_of_chongqing_differ_in_the_simple_procedure() -> None:
    both = [rule("report", f"special-report-penalties{place}") for place in ("", "-chongqing")]
    assert [(each.jurisdiction, each.status) for each in both] == [("national", "verified"), ("chongqing", "verified")]
    national, chongqing = (each.procedures for each in both)
    assert national - chongqing == {"simple"}
    field = next(f for f in CATALOGUE.latest("administrative-penalty").fields if f.name == "procedure")
    assert national == set(field.values)


def test_order_58_let_statutory_terms_run_out_and_nothing_says_that_order_36_does() -> None:
    old, new = rule("repair", "ndrc", date(2026, 3, 31)), rule("repair", "ndrc")
    assert (old.version, old.statutory_terms_run_out, old.status) == ("ndrc-order-58-repair", True, "memory")
    assert (new.version, new.statutory_terms_run_out) == ("ndrc-order-36-repair", False)


def test_what_was_not_read_says_so() -> None:
    """Section 12 no. 7 and 8: the draft revision of Order 44, the figures of Order 36 and 107 that nobody read."""
    assert "not known to be in force" in rule("publicity", "market-regulation-serious-list").note
    assert rule("deadline", "repair-decide").status == "memory"
    assert rule("repair", "ndrc").fraud.status == "memory"
    assert rule("deadline", "objection-own").status == "inference"
    assert rule("publicity", "customs-list").status == "inference"


def test_no_newer_window_reaches_back_unless_its_clause_was_read() -> None:
    for (kind, _), versions in CATALOGUE.rules.items():
        for version in versions:
            if kind in ("publicity", "severity") and version.applies_to_older_decisions:
                assert version.name == "serious-list"
                assert version.transition.note
    pairs = (("penalty", date(2026, 4, 1)), ("market-regulation-penalty", date(2025, 12, 25)))
    for name, first_day in pairs:
        newest = CATALOGUE.rules["publicity", name][-1]
        assert (newest.effective_from, newest.applies_to_older_decisions) == (first_day, False)
        assert newest.transition.status == "inference"
