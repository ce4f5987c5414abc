"""The two times of the house: instants are UTC, days of law are days in Asia/Shanghai. Pure; the clock is elsewhere."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")


def day_of(instant: datetime) -> date:
    """The calendar day in Asia/Shanghai on which ``instant`` falls."""
    return instant.astimezone(SHANGHAI).date()


def start_of(day: date) -> datetime:
    """The UTC instant at which ``day`` begins in Asia/Shanghai; that of the first day of all is before all instants."""
    if day == date.min:
        return datetime.min.replace(tzinfo=UTC)
    return datetime.combine(day, time(), SHANGHAI).astimezone(UTC)


def end_of(day: date) -> datetime:
    """The UTC instant at which ``day`` ends and the next begins; that of the last day of all is after all instants."""
    if day == date.max:
        return datetime.max.replace(tzinfo=UTC)
    return start_of(day + timedelta(days=1))


def days_after(day: date, count: int) -> date:
    """The day ``count`` days later, or the last of all."""
    return day + min(timedelta(days=count), date.max - day)


def year_before(day: date) -> date:
    """The day 365 days earlier, or the first of all."""
    return day - min(timedelta(days=365), day - date.min)


def rfc3339(instant: datetime) -> str:
    """UTC, six decimals, ``Z``: one spelling, so that stored and hashed text never differ."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
