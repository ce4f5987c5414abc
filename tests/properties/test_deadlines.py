"""Whatever is done to a time-limit, it is due when a walk over the notices says, and everybody is told once.

The oracle knows no calendar but the table written out by hand, and counts day by day: a day counts unless it lies
after the day of a pause and up to the day of its resumption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import asyncpg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from credit_service.deadlines import jobs
from credit_service.deadlines.models import Stage
from credit_service.deadlines.rules import Terms
from credit_service.platform.database import Database
from credit_service.platform.days import SHANGHAI, day_of, start_of
from credit_service.platform.errors import Problem
from credit_service.worker import WORKER
from tests.deadlines.test_commands import do, new_stage, rows, start
from tests.platform.test_calendar import ORACLE

DAY = timedelta(days=1)
WARNED_BEFORE = 1


@dataclass
class Model:
    """One time-limit as the law counts it."""

    started: datetime
    amount: int
    pauses: list[tuple[date, date]] = field(default_factory=list)
    paused_on: date | None = None
    extended: bool = False
    closed: bool = False
    escalated: bool = False

    def last_day(self) -> date:
        """Day by day until enough are counted; a count that ended before its resumption ends with that day."""
        day, left = day_of(self.started), self.amount
        while left:
            day += DAY
            left -= ORACLE[day] and not any(first < day <= until for first, until in self.pauses)
        if self.pauses and day <= self.pauses[-1][1]:
            day = self.pauses[-1][1]
            while not ORACLE[day]:
                day += DAY
        return day

    @property
    def due_at(self) -> datetime | None:
        return None if self.paused_on is not None else start_of(self.last_day() + DAY)

    def refusal(self, step: str, now: datetime) -> str | None:
        """The problem that the law gives to a step now."""
        if self.closed:
            return "deadline-not-open"
        if step == "resume":
            return None if self.paused_on is not None else "deadline-not-paused"
        if step in ("pause", "extend"):
            if self.paused_on is not None:
                return "deadline-paused"
            if self.due_at is not None and now >= self.due_at:
                return "deadline-over"
            if step == "extend" and self.extended:
                return "deadline-not-extendable"
        return None

    def take(self, step: str, now: datetime, more: int) -> None:
        match step:
            case "pause":
                self.paused_on = day_of(now)
            case "resume":
                assert self.paused_on is not None
                self.pauses.append((self.paused_on, day_of(now)))
                self.paused_on = None
            case "extend":
                self.amount += more
                self.extended = True
            case "meet":
                self.closed = True

    def attend(self, now: datetime) -> None:
        """What is owed when the worker looks: the supervisor is told of each overdue count once."""
        if not self.closed and not self.escalated and self.due_at is not None and now >= self.due_at:
            self.escalated = True


steps = st.lists(
    st.tuples(
        st.sampled_from(["pause", "resume", "extend", "meet", "attend", "attend"]),
        st.integers(0, 120),
        st.integers(1, 5),
    ),
    max_size=12,
)
starts = st.datetimes(datetime(2024, 1, 2), datetime(2025, 11, 1)).map(lambda local: local.replace(tzinfo=SHANGHAI))


async def told(owner: asyncpg.Connection[Any], stage: Stage, template: str) -> int:
    query = "SELECT count(*) FROM notification WHERE case_id = $1 AND template = $2"
    found: int = await owner.fetchval(query, stage.case_id, template)
    return found


async def take(database: Database, step: str, now: datetime, stage: Stage, more: int) -> str | None:
    """Take a step; gives the slug of the problem it met."""
    arguments = {"pause": ["补正"], "extend": [more, "复杂"]}.get(step, [])
    try:
        await do(database, step, now, stage, *arguments)
    except Problem as problem:
        return problem.type.slug
    return None


@given(begun=starts, amount=st.integers(1, 12), life=steps)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_a_time_limit_is_due_when_a_walk_over_the_notices_says(
    database: Database,
    owner: asyncpg.Connection[Any],
    begun: datetime,
    amount: int,
    life: Sequence[tuple[str, int, int]],
) -> None:
    now, stage, model = begun, new_stage(), Model(begun, amount)
    terms = Terms(amount, "working-days", "r", "b", "verified", 5, None, (WARNED_BEFORE,))
    await start(database, now, stage, terms)
    for step, hours, more in life:
        now += timedelta(hours=hours)
        if step == "attend":
            await jobs.attend(database, WORKER, now)
            model.attend(now)
        else:
            expected = model.refusal(step, now)
            assert await take(database, step, now, stage, more) == expected, (step, now)
            if expected is None:
                model.take(step, now, more)
        (row,) = await rows(database, stage)
        assert (row.due_at, row.closed_as is not None) == (model.due_at, model.closed)
        assert (row.escalated_at is not None) == model.escalated
        assert await told(owner, stage, "deadline-overdue") == model.escalated
        late = model.due_at is not None and now >= model.due_at
        assert row.over(now) == late or model.closed
    (row,) = await rows(database, stage)
    query = "SELECT count(*) FROM audit_event WHERE subject_type = 'deadline' AND subject_id = $1"
    assert await owner.fetchval(query, str(row.id)) == row.version, "each change is in the log once"
    assert await told(owner, stage, "deadline-warning") <= 1 + len(model.pauses) + model.extended
