"""Values as people type them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.records.imports.values import (
    ValueRefused,
    is_spoiled,
    parse_date,
    parse_list,
    parse_ten_thousand_yuan,
)

DAYS = st.dates(min_value=date(1950, 1, 1), max_value=date(2099, 12, 31))
FORMS = (
    "{0:%Y-%m-%d}",
    "{0:%Y/%m/%d}",
    "{0.year}/{0.month}/{0.day}",
    "{0.year}.{0.month}.{0.day}",
    "{0:%Y%m%d}",
    "{0.year}年{0.month}月{0.day}日",
    "{0:%Y-%m-%d} 00:00:00",
    "{0:%Y-%m-%d}T08:30:00+08:00",
    " {0:%Y}－{0:%m}－{0:%d} ",
)


@given(DAYS, st.sampled_from(FORMS))
def test_every_form_of_a_date_is_that_date(day: date, form: str) -> None:
    assert parse_date(form.format(day)) == day


def test_excel_serial_numbers() -> None:
    assert parse_date("46148") == date(2026, 5, 6)
    assert parse_date("46148.5") == date(2026, 5, 6)


@pytest.mark.parametrize(
    "text", ["2026-02-30", "2026-13-01", "20260230", "yesterday", "2026-05", "26-05-06", "2026-5-6-7"]
)
def test_no_dates(text: str) -> None:
    with pytest.raises(ValueRefused):
        parse_date(text)


@pytest.mark.parametrize("text", ["", "-", "无", "/", "长期"])
def test_empty_dates(text: str) -> None:
    assert parse_date(text) is None


@given(st.decimals(min_value=0, max_value=10**9, places=6))
def test_amounts_are_exact(amount: Decimal) -> None:
    yuan = parse_ten_thousand_yuan(f"{amount:f}")
    assert yuan is not None
    assert Decimal(yuan) == amount * 10_000


@pytest.mark.parametrize(
    ("text", "yuan"),
    [
        ("1.2", "12000.00"),
        ("1,000.00", "10000000.00"),
        ("１２．５", "125000.00"),
        ("12.5万元", "125000.00"),
        ("0.000001", "0.01"),
        ("1E-4", "1.00"),
        ("￥3", "30000.00"),
        ("12000元", "12000.00"),  # not 120 million, though the column is in 万元
        ("１２，０００．５ 元", "12000.50"),
        ("0.01元", "0.01"),
        ("1.2 万 元", "12000.00"),
        ("无", None),
        ("-", None),
    ],
)
def test_amounts_as_typed(text: str, yuan: str | None) -> None:
    assert parse_ten_thousand_yuan(text) == yuan


@pytest.mark.parametrize(
    "text", ["-1", "1.2.3", "一万", "0.0000001", "NaN", "Infinity", "1e99", "1亿元", "0.001元", "#N/A", "万元元"]
)
def test_no_amounts(text: str) -> None:
    with pytest.raises(ValueRefused):
        parse_ten_thousand_yuan(text)


@pytest.mark.parametrize(
    "text",
    [
        "#N/A",
        "#REF!",
        "#VALUE!",
        "#DIV/0!",
        "#NAME?",
        "#NUM!",
        "#NULL!",
        "########",
        "2.02604E+11",
        "9.15001E+17",
        "1E+20",
    ],
)
def test_what_a_spreadsheet_shows_instead_of_a_value(text: str) -> None:
    assert is_spoiled(text)


@pytest.mark.parametrize(
    "text", ["", "#1锅炉", "渝市监处罚〔2026〕1号", "E+H仪表有限公司", "#", "#N/A公司", "1.2E+", "2E8", "C#开发!"]
)
def test_what_only_looks_like_it(text: str) -> None:
    assert not is_spoiled(text)


def test_lists() -> None:
    assert parse_list("罚款、没收违法所得") == ("罚款", "没收违法所得")
    assert parse_list("罚款,没收违法所得;罚款\n警告") == ("罚款", "没收违法所得", "警告")


@given(st.text(max_size=40))
def test_nothing_crashes(text: str) -> None:
    for parse in (parse_date, parse_ten_thousand_yuan, parse_list):
        try:
            parse(text)
        except ValueRefused as refused:
            assert str(refused)
