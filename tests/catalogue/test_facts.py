"""An item's own fields: normalised, split by publication range, refused by name."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.catalogue.loader import load
from credit_service.catalogue.rules import compiled_validator, validate_facts

CATALOGUE = load()
PENALTY = CATALOGUE.latest("administrative-penalty")
GOOD: dict[str, Any] = {
    "violation_type": "无证经营",
    "violation_facts": "经查，当事人未取得许可从事经营。",
    "penalty_categories": ["罚款"],
    "penalty_content": "罚款一万二千元",
    "fine_amount": "12000",
    "procedure": "ordinary",
    "legal_representative": "王某",
}


def faults(**changes: Any) -> list[tuple[str, str]]:
    facts = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    return [(error.pointer, error.rule) for error in validate_facts(PENALTY, facts).errors]


def test_facts_are_split_by_publication_range() -> None:
    public, shared, restricted, errors, masked = validate_facts(PENALTY, GOOD)
    assert masked == ()
    assert errors == []
    assert public["fine_amount"] == "12000.00"
    assert shared == {"legal_representative": "王某"}
    assert restricted == {}
    assert compiled_validator(PENALTY) is compiled_validator(PENALTY)


@pytest.mark.parametrize("empty", [..., None, "", "   "])
def test_a_required_field_is_required(empty: Any) -> None:
    assert faults(violation_type=empty) == [("/facts/violation_type", "required")]


@pytest.mark.parametrize("empty", [[], [""], ["", " "]])
def test_a_list_of_blanks_is_absent(empty: list[str]) -> None:
    assert faults(penalty_categories=empty) == [("/facts/penalty_categories", "required")]


def test_required_if() -> None:
    assert faults(fine_amount=...) == [("/facts/fine_amount", "required for these facts")]
    assert faults(fine_amount=..., penalty_categories=["警告"]) == []
    both = faults(penalty_categories=["罚款", "没收违法所得", "吊销许可证件"])
    assert [pointer for pointer, _ in both] == ["/facts/confiscated_amount", "/facts/suspended_or_revoked_licences"]


def test_every_fault_is_told_at_once() -> None:
    told = faults(violation_type=..., fine_amount="many", procedure="quick", publicity_deadline="soon")
    assert len(told) == 4


def test_unknown_names_are_refused_by_name() -> None:
    assert faults(**{"id_number": "x"}) == [("/facts/id_number", "not a field of the item")]
    for name in ("a/b~c", "张三", "11010519491231002X", "x" * 65, ""):
        assert faults(**{name: "x"}) == [("/facts/*", "not a field of the item")], "it may be personal data itself"
    assert len(faults(**{"x" * 500: 1})[0][0]) < 100


def test_a_refused_value_is_never_repeated() -> None:
    errors = validate_facts(PENALTY, {**GOOD, "fine_amount": "secret", "procedure": "secret"}).errors
    assert "secret" not in "".join(f"{e.pointer}{e.rule}{e.detail}" for e in errors)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("12000.00", "12000.00"),
        ("12000", "12000.00"),
        ("12000.5", "12000.50"),
        (12000, "12000.00"),
        (0.1, "0.10"),
        (Decimal("1E+3"), "1000.00"),
        ("00012.00", "12.00"),
        ("0", "0.00"),
        ("-0", "0.00"),
        ("9999999999999999.99", "9999999999999999.99"),
    ],
)
def test_money_is_canonical(value: Any, text: str) -> None:
    assert validate_facts(PENALTY, {**GOOD, "fine_amount": value}).public["fine_amount"] == text


@pytest.mark.parametrize("value", ["-1", "0.001", "NaN", "Infinity", "1e17", True, [1], {}, "1万", "１２.0.0"])
def test_what_is_no_money_is_refused(value: Any) -> None:
    assert [pointer for pointer, _ in faults(fine_amount=value)] == ["/facts/fine_amount"]


@given(st.decimals(0, 10**15, places=2))
def test_canonical_money_is_a_fixed_point(value: Decimal) -> None:
    once = validate_facts(PENALTY, {**GOOD, "fine_amount": str(value)}).public["fine_amount"]
    assert Decimal(once) == value
    assert validate_facts(PENALTY, {**GOOD, "fine_amount": once}).public["fine_amount"] == once


@pytest.mark.parametrize("value", ["20260506", "2026-5-6", "2026-02-30", "2026-W01-1", 20260506, datetime(2026, 5, 6)])
def test_dates_have_one_spelling(value: Any) -> None:
    assert faults(publicity_deadline=value) == [("/facts/publicity_deadline", "date YYYY-MM-DD")]


def test_a_date_is_kept() -> None:
    assert faults(publicity_deadline="2026-05-06") == faults(publicity_deadline=date(2026, 5, 6)) == []


def test_lengths_and_values() -> None:
    assert faults(legal_representative="王" * 51) == [("/facts/legal_representative", "at most 50 characters")]
    assert faults(organisation_code="1" * 10) == [("/facts/organisation_code", "at most 9 characters")]
    assert faults(penalty_categories=["罚款", "口头批评"])[0][1].startswith("one of 警告、")
    assert faults(penalty_categories=["罚款", "其他-责令改正"]) == []
    assert faults(penalty_categories="罚款") == [("/facts/penalty_categories", "list of texts")]
    assert faults(violation_type="a\x00b") == [("/facts/violation_type", "no control characters")]
    assert faults(violation_type=1) == [("/facts/violation_type", "text")]


@pytest.mark.parametrize(("value", "kept"), [(2025, 2025), ("2025", 2025)])
def test_whole_numbers(value: Any, kept: int) -> None:
    item = CATALOGUE.latest("taxpayer-grade-a")
    assert validate_facts(item, {"evaluation_year": value}).public == {"evaluation_year": kept}


@pytest.mark.parametrize("value", [2025.0, True, "二〇二五", "2025年"])
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    errors = validate_facts(CATALOGUE.latest("taxpayer-grade-a"), {"evaluation_year": value}).errors
    assert [error.rule for error in errors] == ["whole number"]


@pytest.mark.parametrize("item", list(CATALOGUE.latest_items()), ids=lambda item: item.code)
def test_every_item_refuses_what_it_does_not_know_and_tells_what_it_needs(item: Any) -> None:
    checked = validate_facts(item, {"no_such_field": "x"})
    needed = [f"/facts/{field.name}" for field in item.fields if field.required]
    assert [error.pointer for error in checked.errors] == [*needed, "/facts/no_such_field"]


def test_what_one_field_may_hold_is_not_forgiven_in_another() -> None:
    """A number that a 注册号 may be is masked in free text, whichever came first."""
    number = "13812345678"
    held = validate_facts(PENALTY, {**GOOD, "registration_number": number})
    assert held.shared["registration_number"] == number
    told = validate_facts(
        PENALTY, {**GOOD, "violation_facts": number, "penalty_categories": ["罚款", "其他-" + number]}
    )
    assert number not in str(told)
    assert told.masked == ("violation_facts", "penalty_categories")
    court = CATALOGUE.latest("serious-dishonesty-judgment-debtor")
    named = {"reason": "法定代表人：李四"}
    assert validate_facts(court, named).public == named
    assert validate_facts(PENALTY, {**GOOD, "violation_facts": named["reason"]}).masked == ("violation_facts",)
