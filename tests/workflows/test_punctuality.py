"""Who counts as punctual, against an oracle that lives through each hour; the SQL of both figures against the rule."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncSession
from uuid_utils.compat import uuid7

from credit_service.deadlines import store as deadlines
from credit_service.deadlines.models import StageDeadline
from credit_service.deadlines.rules import Course, Period, Punctuality, punctuality
from credit_service.platform.database import Database
from credit_service.workflows.models import Case
from credit_service.workflows.rules import case_punctuality
from credit_service.workflows.statistics import By, figures_of
from tests.api import AGENCY, COMPANY, OTHER_AGENCY

ORIGIN = datetime(2026, 1, 1, tzinfo=UTC)
HOURS = 12


def hour(number: int) -> datetime:
    return ORIGIN + timedelta(hours=number)


@dataclass(frozen=True)
class Life:
    """A time-limit in whole hours: due (never: paused for good), and what closed it when."""

    due: int | None
    closed: int | None
    met: bool

    @property
    def course(self) -> Course:
        closed_as = None if self.closed is None else "met" if self.met else "cancelled"
        due_at = None if self.due is None else hour(self.due)
        return Course(due_at, closed_as, None if self.closed is None else hour(self.closed))

    def lived(self, now: int) -> tuple[set[int], int | None]:
        """The hours in which it was open or being closed and too late, and the hour in which it was met in time."""
        late = False
        hours, met = set[int](), None
        for tick in range(now + 1):
            late = late or tick == self.due
            if late:
                hours.add(tick)
            if tick == self.closed:
                met = tick if self.met and not late else None
                break
        return hours, met


@dataclass(frozen=True)
class Window:
    since: int
    until: int
    now: int

    @property
    def period(self) -> Period:
        return Period(hour(self.since), hour(self.until), hour(self.now))

    @property
    def hours(self) -> range:
        return range(self.since, self.until)


@st.composite
def windows(draw: st.DrawFn) -> Window:
    since = draw(st.integers(0, HOURS - 1))
    return Window(since, draw(st.integers(since + 1, HOURS)), draw(st.integers(0, HOURS)))


@st.composite
def lives(draw: st.DrawFn, now: int) -> Life:
    """What may have happened by ``now``; due then or later."""
    closed = draw(st.none() | st.integers(0, now))
    return Life(draw(st.none() | st.integers(0, HOURS)), closed, draw(st.booleans()))


situations = windows().flatmap(lambda window: st.tuples(st.just(window), lives(window.now)))
cases = windows().flatmap(
    lambda window: st.tuples(
        st.just(window), st.lists(lives(window.now), max_size=4), st.none() | st.integers(0, window.now)
    )
)


@given(situations)
def test_a_stage_counts_as_an_hour_by_hour_account_says(situation: tuple[Window, Life]) -> None:
    window, life = situation
    late, met = life.lived(window.now)
    expected = Punctuality.OVERDUE if late & set(window.hours) else Punctuality.IN_TIME if met in window.hours else None
    assert punctuality(life.course, window.period) is expected


@given(cases)
def test_a_case_counts_against_while_a_stage_is_overdue_and_for_when_none_ever_was(
    situation: tuple[Window, list[Life], int | None],
) -> None:
    window, limits, decided = situation
    late = set[int]().union(*(life.lived(window.now)[0] for life in limits))
    expected = None
    if late & set(window.hours):
        expected = Punctuality.OVERDUE
    elif decided in window.hours and not late:
        expected = Punctuality.IN_TIME
    decided_at = None if decided is None else hour(decided)
    assert case_punctuality(decided_at, [life.course for life in limits], window.period) is expected


@given(st.integers(1, HOURS), st.integers(0, HOURS), st.integers(1, 5))
def test_who_never_decides_is_never_punctual_again(due: int, later: int, length: int) -> None:
    """From the first instant too late on, every period up to now counts it, however long ago it became overdue."""
    never = Life(due, None, met=False).course
    since = due + later
    found = punctuality(never, Period(hour(since), hour(since + length), hour(since + length)))
    assert found is Punctuality.OVERDUE
    assert punctuality(never, Period(hour(0), hour(due), hour(HOURS * 3))) is None


def _case(number: int, random: Random, now: int) -> tuple[Case, int | None]:
    """A case of one of two agencies, submitted at some time, decided or withdrawn or not; and when it was decided."""
    submitted = random.randint(0, now)
    closed = random.choice([None, random.randint(submitted, now)])
    state = "under-review" if closed is None else random.choice(["granted", "revoked", "rejected", "withdrawn"])
    granted = closed if state == "granted" else random.randint(submitted, closed or 0) if state == "revoked" else None
    case = Case(
        uscc=COMPANY,
        id=uuid7(),
        application_id=uuid7(),
        type="repair",
        record_id=uuid7(),
        item_code="administrative-penalty",
        handler_uscc=random.choice([AGENCY, OTHER_AGENCY]),
        source_uscc=AGENCY,
        division="500103",
        state=state,
        applicant=f"client:{number}",
        applicant_uscc=COMPANY,
        content={},
        events={} if granted is None else {"repair-decision": hour(granted).isoformat()},
        salt=b"",
        version=1,
        opened_at=hour(submitted),
        submitted_at=hour(submitted),
        changed_at=hour(submitted),
        closed_at=None if closed is None else hour(closed),
        on_time=None if closed is None else random.random() < 0.5,  # what was entered then decides nothing here
    )
    return case, granted if state == "revoked" else closed if state != "withdrawn" else None


def _limit(case: Case, life: Life, agency: str) -> StageDeadline:
    course = life.course
    return StageDeadline(
        uscc=case.uscc,
        id=uuid7(),
        case_type=case.type,
        case_id=case.id,
        stage="decide",
        reference="",
        agency_uscc=agency,
        rule_version="",
        legal_basis="",
        status="",
        rule_unit="working-days",
        warn_before=[],
        started_at=ORIGIN,
        counts_since=ORIGIN,
        amount=1,
        unit="working-days",
        due_at=course.due_at,
        paused_at=ORIGIN if course.due_at is None else None,
        remaining=1 if course.due_at is None else None,
        closed_as=course.closed_as,
        closed_at=course.closed_at,
    )


async def test_the_sql_of_both_figures_is_the_rule(database: Database) -> None:
    """300 random cases; the public figures of seven periods against the rule applied to each of them."""
    random, now = Random(20261127), HOURS - 1
    kept: list[tuple[Case, int | None, list[tuple[str, Life]]]] = []
    async with database.transaction() as session:
        for number in range(300):
            case, decided = _case(number, random, now)
            session.add(case)
            limits = []
            for place in range(random.randint(0, 3)):
                closed = random.choice([None, random.randint(0, now)]) if place == 0 else random.randint(0, now)
                life = Life(random.choice([None, *range(HOURS + 1)]), closed, random.random() < 0.7)
                agency = random.choice([case.handler_uscc, case.handler_uscc, AGENCY])
                session.add(_limit(case, life, agency))
                limits.append((agency, life))
            kept.append((case, decided, limits))
        await session.flush()
        for since, until in ((0, 12), (0, 3), (3, 6), (6, 7), (7, 12), (11, 12), (0, 1)):
            window = Window(since, until, now)
            await _compare_stages(session, window, [found for _, _, limits in kept for found in limits])
            await _compare_cases(session, window, kept)


async def _compare_stages(session: AsyncSession, window: Window, limits: list[tuple[str, Life]]) -> None:
    expected: dict[str, Counter[str]] = {}
    for agency, life in limits:
        found = punctuality(life.course, window.period)
        if found is not None:
            late = {"met": "met_late", "cancelled": "cancelled_overdue", None: "open_overdue"}[life.course.closed_as]
            expected.setdefault(agency, Counter())[late if found is Punctuality.OVERDUE else "met_in_time"] += 1
    names = ("met_in_time", "met_late", "open_overdue", "cancelled_overdue")
    counted = await deadlines.timeliness(session, window.period)
    assert {
        row["agency_uscc"]: Counter({name: row[name] for name in names if row[name]}) for row in counted
    } == expected


async def _compare_cases(
    session: AsyncSession, window: Window, kept: list[tuple[Case, int | None, list[tuple[str, Life]]]]
) -> None:
    expected: dict[str, Counter[str]] = {}
    for case, decided, limits in kept:
        own = [life for agency, life in limits if agency == case.handler_uscc]
        found = case_punctuality(
            None if decided is None else hour(decided), [life.course for life in own], window.period
        )
        assert case.submitted_at is not None
        submitted = window.period.since <= case.submitted_at < window.period.until
        # Nothing can be late for a case before it was submitted; random limits do not know that.
        if case.submitted_at >= window.period.until:
            continue
        counts = expected.setdefault(case.handler_uscc, Counter())
        counts["submitted"] += submitted
        counts["closed_on_time"] += found is Punctuality.IN_TIME
        counts["overdue"] += found is Punctuality.OVERDUE
        still = any(life.closed is None and life.due is not None and life.due <= window.now for life in own)
        counts["open_overdue"] += found is Punctuality.OVERDUE and still
    names = ("submitted", "closed_on_time", "overdue", "open_overdue")
    found_figures = await figures_of(session, By.AGENCY, window.period)
    counted = {figures.key: Counter({name: getattr(figures, name) for name in names}) for figures in found_figures}
    assert {key: +counts for key, counts in counted.items()} == {
        key: +counts for key, counts in expected.items() if +counts
    }
