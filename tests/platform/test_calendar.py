"""The calendar against the State Council's notices written out by hand, and its arithmetic against a walk over them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from chinese_calendar.constants import holidays, workdays
from hypothesis import given
from hypothesis import strategies as st

from credit_service.platform.calendar import PACKAGE, Computed, Unit, WorkingCalendar, add_calendar
from credit_service.platform.days import SHANGHAI

# 国办发明电〔2023〕7号, 〔2024〕12号, 〔2025〕7号: days of rest as spans, then make-up working days (调休)
NOTICES = {
    2024: (
        "0101-0101 0210-0217 0404-0406 0501-0505 0608-0610 0915-0917 1001-1007",
        "0204 0218 0407 0428 0511 0914 0929 1012",
    ),
    2025: (
        "0101-0101 0128-0204 0404-0406 0501-0505 0531-0602 1001-1008",
        "0126 0208 0427 0928 1011",
    ),
    2026: (
        "0101-0103 0215-0223 0404-0406 0501-0505 0619-0621 0925-0927 1001-1007",
        "0104 0214 0228 0509 0920 1010",
    ),
}


def oracle() -> dict[date, bool]:
    """Every day of the three years: is it worked?"""
    table = {}
    day = date(2024, 1, 1)
    while day < date(2027, 1, 1):
        table[day] = day.strftime("%a") not in ("Sat", "Sun")
        day += timedelta(days=1)
    for year, (rest, worked) in NOTICES.items():
        for span in rest.split():
            first, last = (date(year, int(part[:2]), int(part[2:])) for part in span.split("-"))
            while first <= last:
                table[first] = False
                first += timedelta(days=1)
        for text in worked.split():
            table[date(year, int(text[:2]), int(text[2:]))] = True
    return table


ORACLE = oracle()
WORKED = sorted(day for day, works in ORACLE.items() if works)
days = st.dates(date(2024, 1, 1), date(2026, 6, 30))


def test_every_day_of_three_years_is_as_the_notices_say() -> None:
    assert {day: PACKAGE.is_working(day) for day in ORACLE} == ORACLE
    assert len(ORACLE) == 366 + 365 + 365
    assert [sum(day.year == year for day in WORKED) for year in NOTICES] == [251, 248, 248]


@given(days, st.integers(-60, 60).filter(bool))
def test_adding_working_days_is_the_position_in_the_list_of_them(day: date, amount: int) -> None:
    later = [other for other in WORKED if other > day]
    earlier = [other for other in reversed(WORKED) if other < day]
    expected = later[amount - 1] if amount > 0 else (earlier[-amount - 1] if len(earlier) >= -amount else None)
    if expected is not None:
        assert PACKAGE.add_working_days(day, amount) == Computed(expected, expected >= date(2026, 12, 29))


@given(days, days)
def test_days_between_are_those_of_the_list(first: date, last: date) -> None:
    sign, low, high = (1, first, last) if first <= last else (-1, last, first)
    assert PACKAGE.working_days_between(first, last) == sign * sum(low < day <= high for day in WORKED)


@given(days)
def test_no_working_day_is_the_day_itself_or_the_next_working_day(day: date) -> None:
    assert PACKAGE.add_working_days(day, 0).day == min(other for other in WORKED if other >= day)


@pytest.mark.parametrize(
    ("local", "cut_off", "counts"),
    [
        ("2026-02-12 23:59:59", None, "2026-02-12"),
        ("2026-02-13 00:00:00", None, "2026-02-13"),
        ("2026-02-15 10:00:00", None, "2026-02-15"),
        ("2026-02-13 17:29:59", "17:30", "2026-02-13"),
        ("2026-02-13 17:30:00", "17:30", "2026-02-14"),  # Saturday, made up for the Spring Festival
        ("2026-02-14 17:30:00", "17:30", "2026-02-24"),
        ("2026-02-15 09:00:00", "17:30", "2026-02-24"),
        ("2026-09-20 17:29:59", "17:30", "2026-09-20"),  # a Sunday that is worked
    ],
)
def test_an_event_counts_by_the_cut_off(local: str, cut_off: str | None, counts: str) -> None:
    instant = datetime.fromisoformat(local).replace(tzinfo=SHANGHAI).astimezone(UTC)
    found = PACKAGE.counted_day(instant, time.fromisoformat(cut_off) if cut_off else None)
    assert found == Computed(date.fromisoformat(counts), False)


@given(st.datetimes(datetime(2024, 1, 1), datetime(2026, 6, 30)), st.timedeltas(timedelta(), timedelta(days=12)))
def test_whoever_comes_later_never_has_less_time(moment: datetime, wait: timedelta) -> None:
    first, second = (PACKAGE.counted_day(at.replace(tzinfo=SHANGHAI), time(17, 30)) for at in (moment, moment + wait))
    assert first.day <= second.day


@pytest.mark.parametrize(
    ("day", "amount", "unit", "ends"),
    [
        ("2026-01-31", 1, "months", "2026-02-28"),  # a Saturday that is worked
        ("2024-01-31", 1, "months", "2024-02-29"),
        ("2024-02-29", 1, "years", "2025-02-28"),
        ("2025-03-31", 1, "months", "2025-04-30"),
        ("2025-09-30", 5, "calendar-days", "2025-10-09"),  # the fifth day is in the National Day holiday
        ("2026-05-06", 3, "calendar-days", "2026-05-09"),  # a Saturday that is worked
        ("2026-05-06", 4, "calendar-days", "2026-05-11"),
        ("2025-12-31", 2, "months", "2026-02-28"),
    ],
)
def test_a_calendar_term_ends_by_the_civil_code(day: str, amount: int, unit: str, ends: str) -> None:
    assert PACKAGE.last_day(date.fromisoformat(day), amount, unit) == Computed(date.fromisoformat(ends), False)


@given(st.dates(date(2000, 1, 1), date(2090, 1, 1)), st.integers(0, 120))
def test_months_keep_the_day_or_take_the_last(day: date, months: int) -> None:
    found = add_calendar(day, months, Unit.MONTHS)
    assert (found.year * 12 + found.month) - (day.year * 12 + day.month) == months
    assert found.day == day.day or (found.day < day.day and (found + timedelta(days=1)).day == 1)


def test_an_unknown_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="fortnights"):
        add_calendar(date(2026, 1, 1), 1, "fortnights")


def test_beyond_the_announced_years_weekends_decide_and_the_result_is_provisional() -> None:
    assert PACKAGE.add_working_days(date(2026, 12, 21), 5) == Computed(date(2026, 12, 28), False)
    assert PACKAGE.add_working_days(date(2026, 12, 21), 6) == Computed(date(2026, 12, 29), True)
    assert PACKAGE.add_working_days(date(2026, 12, 31), 1) == Computed(date(2027, 1, 1), True)
    assert PACKAGE.add_working_days(date(2003, 12, 29), 1).provisional
    assert PACKAGE.last_day(date(2026, 10, 12), 3, Unit.MONTHS) == Computed(date(2027, 1, 12), True)


def test_what_the_package_moved_across_a_year_came_with_the_next_years_notice() -> None:
    """The premise of the 29th of December: no earlier day was ever moved for a New Year's Day."""
    december = [day for day in [*holidays, *workdays] if day.month == 12]
    assert december
    assert min(day.day for day in december) == 29


def noticed(calendar: WorkingCalendar = PACKAGE) -> WorkingCalendar:
    rest = [date(2027, 1, n) for n in (1, 2, 3)] + [date(2027, 10, n) for n in range(1, 8)]
    return calendar.with_notice(1_2026, rest=rest, worked=[date(2027, 1, 9)], announces=2027)


def test_a_notice_announces_its_year_and_moves_its_days() -> None:
    calendar = noticed()
    assert calendar.add_working_days(date(2026, 12, 31), 1) == Computed(date(2027, 1, 4), False)
    assert calendar.add_working_days(date(2027, 1, 8), 1) == Computed(date(2027, 1, 9), False)
    assert calendar.is_announced(date(2026, 12, 31))
    assert not calendar.is_announced(date(2027, 12, 29))
    assert PACKAGE.is_working(date(2027, 1, 1)), "the calendar before the notice is as it was"


def test_a_later_notice_wins_for_its_days_only() -> None:
    changed = noticed().with_notice(2_2026, rest=[date(2027, 1, 9)], worked=[date(2027, 1, 3)], announces=None)
    assert [changed.is_working(date(2027, 1, n)) for n in (1, 2, 3, 9)] == [False, False, True, False]
    assert changed.is_announced(date(2027, 5, 4))


def test_a_single_day_may_be_known_before_its_year() -> None:
    calendar = PACKAGE.with_notice(1_2026, rest=[date(2027, 9, 3)], worked=[], announces=None)
    assert calendar.is_announced(date(2027, 9, 3))
    assert not calendar.is_announced(date(2027, 9, 2))
    assert calendar.add_working_days(date(2027, 9, 2), 1) == Computed(date(2027, 9, 6), True)
