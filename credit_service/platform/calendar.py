"""The working-day calendar 工作日历: State Council holidays and make-up working days, and arithmetic on them. Pure.

The days come from the ``chinesecalendar`` package and from notices entered since, which win. A year is *announced*
when its notice (国务院办公厅关于部分节假日安排的通知) is known; a year's notice has also moved days from 29 December of
the year before on. What rests on a day nobody has announced is computed by weekends and says that it is provisional.

Counting: the day of the event is not counted (民法典 art. 201). A term of working days ends with its last working day;
a term of calendar days, months or years whose last day is a day of rest ends with the next working day (art. 203); a
month without the corresponding day ends on its last day (art. 202). The articles are cited from memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import NamedTuple

from chinese_calendar.constants import holidays, workdays  # type: ignore[import-untyped]

from credit_service.platform.days import SHANGHAI, start_of

_DAY = timedelta(days=1)
_SATURDAY = 5
_NEXT_YEARS_NOTICE = (12, 29)
"""The earliest day that a notice since 2004 has moved for the New Year's Day of the year after."""
_NATIONAL_DAY = (10, 1)


class Unit(StrEnum):
    """Units of a term, as the catalogue's deadline rules name them."""

    WORKING_DAYS = "working-days"  # 工作日
    CALENDAR_DAYS = "calendar-days"  # 日
    MONTHS = "months"  # 月
    YEARS = "years"  # 年


class Computed(NamedTuple):
    """A day of law, and whether it rests on a day that has not been announced yet."""

    day: date
    provisional: bool

    @property
    def ends_at(self) -> datetime:
        """The first instant after the day (UTC)."""
        return start_of(self.day + _DAY)


@dataclass(frozen=True)
class WorkingCalendar:
    """Which days are worked. ``version`` grows with every notice and with the package's last year."""

    rest: frozenset[date]
    worked: frozenset[date]
    announced: frozenset[int]
    version: int

    def is_working(self, day: date) -> bool:
        """Whether ``day`` is a working day; by weekends where nobody has said otherwise."""
        return day in self.worked or (day.weekday() < _SATURDAY and day not in self.rest)

    def is_announced(self, day: date) -> bool:
        """Whether every notice that may move ``day`` is known."""
        known = day in self.worked or day in self.rest
        reached = (day.month, day.day) < _NEXT_YEARS_NOTICE or day.year + 1 in self.announced
        return known or (day.year in self.announced and reached)

    def with_notice(
        self, version: int, *, rest: Iterable[date], worked: Iterable[date], announces: int | None
    ) -> WorkingCalendar:
        """This calendar after a notice; the days that it names are as it says, whatever was said before."""
        off, on = frozenset(rest), frozenset(worked)
        announced = self.announced if announces is None else self.announced | {announces}
        return replace(
            self, rest=(self.rest - on) | off, worked=(self.worked - off) | on, announced=announced, version=version
        )

    def working_on_or_after(self, day: date) -> Computed:
        """The first working day that is not before ``day``."""
        provisional = not self.is_announced(day)
        while not self.is_working(day):
            day += _DAY
            provisional |= not self.is_announced(day)
        return Computed(day, provisional)

    def counted_day(self, instant: datetime, cut_off: time | None = None) -> Computed:
        """The day on which an event counts.

        Its day in Asia/Shanghai. Where the office has a cut-off, an event at or after it, or on a day of rest, counts
        as one of the next working day: whoever comes later never has less time.
        """
        local = instant.astimezone(SHANGHAI)
        if cut_off is None:
            return Computed(local.date(), False)
        late = self.is_working(local.date()) and local.time() >= cut_off
        found = self.working_on_or_after(local.date() + _DAY if late else local.date())
        return Computed(found.day, found.provisional or not self.is_announced(local.date()))

    def add_working_days(self, day: date, amount: int) -> Computed:
        """The ``amount``-th working day after ``day``, before it when negative.

        None at all: ``day`` itself, or the next working day where it is a day of rest.
        """
        if amount == 0:
            return self.working_on_or_after(day)
        step, left, provisional = (_DAY if amount > 0 else -_DAY), abs(amount), False
        while left:
            day += step
            provisional |= not self.is_announced(day)
            left -= self.is_working(day)
        return Computed(day, provisional)

    def working_days_between(self, first: date, last: date) -> int:
        """Working days after ``first`` up to and with ``last``; negative when ``last`` is the earlier."""
        if last < first:
            return -self.working_days_between(last, first)
        return sum(self.is_working(first + timedelta(days=n)) for n in range(1, (last - first).days + 1))

    def last_day(self, counted: date, amount: int, unit: str) -> Computed:
        """The last day of a term that counts from (not with) the day ``counted``."""
        if unit == Unit.WORKING_DAYS:
            return self.add_working_days(counted, amount)
        return self.working_on_or_after(add_calendar(counted, amount, unit))


def add_calendar(day: date, amount: int, unit: str) -> date:
    """``day`` plus calendar days, months or years, without regard to days of rest. Raises ValueError."""
    if unit == Unit.CALENDAR_DAYS:
        return day + timedelta(days=amount)
    if unit not in (Unit.MONTHS, Unit.YEARS):
        raise ValueError(f"not a calendar unit: {unit}")
    index = day.year * 12 + day.month - 1 + amount * (12 if unit == Unit.YEARS else 1)
    first = date(index // 12, index % 12 + 1, 1)
    length = (date(first.year + first.month // 12, first.month % 12 + 1, 1) - first).days
    return first.replace(day=min(day.day, length))


def _years(days: Iterable[date]) -> frozenset[int]:
    """The years in full among the package's days of rest: those whose National Day is there.

    The package itself refuses what comes after its last year, but takes a year for known by one New Year's Day of it.
    """
    return frozenset(day.year for day in days if (day.month, day.day) == _NATIONAL_DAY)


_PACKAGE_REST: frozenset[date] = frozenset(holidays)
_PACKAGE_YEARS = _years(_PACKAGE_REST)


def version_of(notice: int) -> int:
    """The version of the package's calendar with every notice up to number ``notice``; a newer one is larger."""
    return notice * 10_000 + max(_PACKAGE_YEARS)


PACKAGE = WorkingCalendar(_PACKAGE_REST, frozenset(workdays), _PACKAGE_YEARS, version_of(0))
"""The calendar of the installed package."""
