"""How much of what is not public an agency may read a day."""

from __future__ import annotations

from datetime import date, datetime, timedelta

from credit_service.accounts import store
from credit_service.audit import access_store
from credit_service.platform.clock import Clock
from credit_service.platform.database import Database
from credit_service.platform.days import day_of, start_of
from credit_service.platform.errors import Problem, ProblemType

QUOTA_EXCEEDED = ProblemType(
    "quota-exceeded", 429, "已超出单位当日查询限额", "The agency's quota of non-public files for the day is used up"
)
COUNTED_AGAIN_AFTER = timedelta(seconds=30)


class DailyQuota:
    """Counts an agency's reads of the day: by the log, and by itself in between.

    Several processes each count their own reads between two looks at the log, so that a quota can be passed by what
    they read in half a minute; it is never forgotten.
    """

    def __init__(self, database: Database, clock: Clock, *, default: int) -> None:
        self._database = database
        self._clock = clock
        self._default = default
        self._counts: dict[str, tuple[date, datetime, int, int]] = {}

    async def admit(self, agency_uscc: str | None, files: int) -> None:
        """Count ``files`` more for the agency's day. Raises ``QUOTA_EXCEEDED`` (429) with Retry-After."""
        if agency_uscc is None:
            return
        now = self._clock.now()
        day = day_of(now)
        known = self._counts.get(agency_uscc)
        if known is None or known[0] != day or not timedelta() <= now - known[1] < COUNTED_AGAIN_AFTER:
            known = await self._count(agency_uscc, day, now, known)
        _, counted_at, read, quota = known
        if read + files > quota:
            wait = int((start_of(day + timedelta(days=1)) - now).total_seconds()) + 1
            raise Problem(QUOTA_EXCEEDED, extra={"quota": quota}, headers={"Retry-After": str(wait)})
        self._counts[agency_uscc] = (day, counted_at, read + files, quota)

    async def _count(
        self, agency_uscc: str, day: date, now: datetime, known: tuple[date, datetime, int, int] | None
    ) -> tuple[date, datetime, int, int]:
        async with self._database.transaction() as session:
            read = await access_store.read_on(session, agency_uscc, day)
            agency = await store.agency(session, agency_uscc)
        if known is not None and known[0] == day:
            read = max(read, known[2])  # what this process admitted may not be written yet
        quota = agency.daily_subjects if agency is not None else None
        return day, now, read, self._default if quota is None else quota
