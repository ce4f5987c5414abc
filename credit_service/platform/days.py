"""The two times of the house: instants are UTC, days of law are days in Asia/Shanghai. Pure; the clock is elsewhere."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
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


def rfc3339(instant: datetime) -> str:
    """UTC, six decimals, ``Z``: one spelling, so that stored and hashed text never differ."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
