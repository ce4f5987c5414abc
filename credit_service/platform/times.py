"""Two times: law time (``as_of``) and registry time (``known_at``)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, NamedTuple

from fastapi import Query

from credit_service.platform.days import start_of
from credit_service.platform.errors import INVALID_REQUEST, FieldError, Problem

AsOf = Annotated[
    str | None,
    Query(
        max_length=40,
        description="法律时点 What held in law then: a day in Asia/Shanghai (its end) or an RFC 3339 instant",
    ),
]
KnownAt = Annotated[
    str | None,
    Query(max_length=40, description="登记时点 By what the registry knew then: a day or an instant; default: now"),
]


NOT_BOUNDED = datetime(9999, 12, 31, tzinfo=UTC)
"""``known_at`` of whoever asks by what is known now: the same for all of them, so that they can share a query."""


class PointInTime(NamedTuple):
    """Both times as UTC instants."""

    as_of: datetime
    known_at: datetime


def point_in_time(as_of: str | None, known_at: str | None, now: datetime) -> PointInTime | None:
    """What a caller asked for, ``None`` when neither was given.

    ``known_at`` alone also asks what held in law at that time. Raises ``INVALID_REQUEST``: not a day or an instant with
    its offset, or in the future.
    """
    if as_of is None and known_at is None:
        return None
    if known_at is None:
        return PointInTime(_instant(as_of or "", "query:as_of", now), NOT_BOUNDED)
    known = _instant(known_at, "query:known_at", now)
    return PointInTime(_instant(as_of, "query:as_of", now) if as_of is not None else known, known)


def _instant(text: str, pointer: str, now: datetime) -> datetime:
    try:
        if len(text) == len("2026-03-31"):
            # The last moment of the day: whatever was shown from some hour of it on was shown that day.
            moment = min(start_of(date.fromisoformat(text) + timedelta(days=1)) - timedelta(microseconds=1), now)
            if start_of(date.fromisoformat(text)) > now:
                raise Problem(INVALID_REQUEST, errors=[FieldError(pointer, "not in the future")])
            return moment
        moment = datetime.fromisoformat(text.replace(" ", "+"))
        if moment.tzinfo is None or moment.utcoffset() is None:
            raise ValueError
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise Problem(INVALID_REQUEST, errors=[FieldError(pointer, "a day or an RFC 3339 instant")]) from error
    if moment > now:
        raise Problem(INVALID_REQUEST, errors=[FieldError(pointer, "not in the future")])
    return moment
