"""How months and years are counted: the last day of the month where the day does not exist, leap days included."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from credit_service.catalogue.periods import add_period, parse_period

DAYS = st.dates(date(1990, 1, 1), date(2090, 12, 31))
MONTHS = st.integers(0, 120)


@pytest.mark.parametrize(
    ("day", "period", "end"),
    [
        ("2026-01-31", "P1M", "2026-02-28"),
        ("2024-01-31", "P1M", "2024-02-29"),
        ("2026-01-28", "P1M", "2026-02-28"),
        ("2026-02-28", "P1M", "2026-03-28"),
        ("2026-08-31", "P3M", "2026-11-30"),
        ("2026-11-30", "P3M", "2027-02-28"),
        ("2027-11-30", "P3M", "2028-02-29"),
        ("2024-02-29", "P1Y", "2025-02-28"),
        ("2024-02-29", "P3Y", "2027-02-28"),
        ("2024-02-29", "P4Y", "2028-02-29"),
        ("2023-02-28", "P1Y", "2024-02-28"),
        ("2026-12-31", "P1D", "2027-01-01"),
        ("2026-01-31", "P1M1D", "2026-03-01"),
        ("2026-01-31", "P1Y1M", "2027-02-28"),
        ("2026-05-06", "P0D", "2026-05-06"),
    ],
)
def test_ends_of_months(day: str, period: str, end: str) -> None:
    assert add_period(date.fromisoformat(day), period).isoformat() == end


@given(DAYS, MONTHS)
def test_the_day_is_kept_or_the_last_of_the_month(day: date, months: int) -> None:
    end = add_period(day, f"P{months}M")
    assert (end.year - day.year) * 12 + end.month - day.month == months
    assert end.day == min(day.day, monthrange(end.year, end.month)[1])


@given(DAYS, st.integers(0, 10))
def test_a_year_is_twelve_months(day: date, years: int) -> None:
    assert add_period(day, f"P{years}Y") == add_period(day, f"P{12 * years}M")


@given(DAYS, MONTHS)
def test_a_later_start_never_ends_earlier(day: date, months: int) -> None:
    assert add_period(day, f"P{months}M") <= add_period(day + timedelta(days=1), f"P{months}M")


@given(DAYS, MONTHS)
def test_a_longer_period_ends_later(day: date, months: int) -> None:
    assert add_period(day, f"P{months}M") < add_period(day, f"P{months + 1}M")


@pytest.mark.parametrize("text", ["", "P", "3M", "P3", "P-3M", "P3M ", "PT3H", "P1W", "P３M"])
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a period"):
        parse_period(text)
