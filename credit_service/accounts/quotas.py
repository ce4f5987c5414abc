"""How much of what is not public an agency may read a day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from credit_service.accounts import store
from credit_service.audit import access_store
from credit_service.platform.database import Database
from credit_service.platform.days import day_of, start_of
from credit_service.platform.errors import Problem, ProblemType

QUOTA_EXCEEDED = ProblemType(
    "quota-exceeded", 429, "已超出单位当日查询限额", "The agency's quota of non-public files for the day is used up"
)
COUNTED_AGAIN_AFTER = timedelta(seconds=30)


@dataclass(slots=True)
class _Count:
    """What an agency has read of its quota: as the log had it at ``counted_at``, and with what was admitted since."""

    counted_at: datetime
    counts_until: datetime
    day_ends: datetime
    quota: int
    read: int


class DailyQuota:
    """Counts an agency's reads of the day: by the log, and by itself in between.

    Several processes each count their own reads between two looks at the log, so that a quota can be passed by what
    they read in half a minute; it is never forgotten.
    """

    def __init__(self, database: Database, *, default: int) -> None:
        self._database = database
        self._default = default
        self._counts: dict[str, _Count] = {}

    async def admit(self, agency_uscc: str | None, files: int, now: datetime) -> None:
        """Count ``files`` more for the agency's day. Raises ``QUOTA_EXCEEDED`` (429) with Retry-After."""
        if agency_uscc is None:
            return
        known = self._counts.get(agency_uscc)
        if known is None or not known.counted_at <= now < known.counts_until:
            known = await self._count(agency_uscc, now)
        if known.read + files > known.quota:
            wait = int((known.day_ends - now).total_seconds()) + 1
            raise Problem(QUOTA_EXCEEDED, extra={"quota": known.quota}, headers={"Retry-After": str(wait)})
        known.read += files

    async def _count(self, agency_uscc: str, now: datetime) -> _Count:
        day = day_of(now)
        day_ends = start_of(day + timedelta(days=1))
        async with self._database.transaction() as session:
            read = await access_store.read_on(session, agency_uscc, day)
            agency = await store.agency(session, agency_uscc)
        before = self._counts.get(agency_uscc)
        if before is not None and before.day_ends == day_ends:
            read = max(read, before.read)  # what this process admitted may not be written yet
        quota = agency.daily_subjects if agency is not None else None
        counts_until = min(now + COUNTED_AGAIN_AFTER, day_ends)
        counted = _Count(now, counts_until, day_ends, self._default if quota is None else quota, read)
        self._counts[agency_uscc] = counted
        return counted
