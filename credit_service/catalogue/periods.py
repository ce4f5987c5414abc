"""Calendar periods of the law: how months and years are counted."""

from __future__ import annotations

import re
from calendar import monthrange
from datetime import date, timedelta
from functools import lru_cache

_PERIOD = re.compile(r"P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,5})D)?", re.ASCII)


@lru_cache(maxsize=256)
def parse_period(period: str) -> tuple[int, int]:
    """An ISO 8601 period of years, months and days as (months, days). Raises ValueError."""
    match = _PERIOD.fullmatch(period)
    if match is None or period == "P":
        raise ValueError(f"not a period: {period}")
    years, months, days = (int(part or 0) for part in match.groups())
    return years * 12 + months, days


def add_period(day: date, period: str) -> date:
    """``day`` plus an ISO 8601 period of years, months and days (``P3M``, ``P1Y``, ``P10D``).

    Months and years keep the day of the month, or take the month's last day where it has none: one month after
    31 January is 28 (29) February, one year after 29 February is 28 February. Days are added last. Raises ValueError.
    """
    months, days = parse_period(period)
    month_index = day.month - 1 + months
    year = day.year + month_index // 12
    month = month_index % 12 + 1
    return date(year, month, min(day.day, monthrange(year, month)[1])) + timedelta(days=days)
